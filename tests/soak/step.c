/*
 * step.c - preloaded into the program under test: a fault exactly at a step of a commit.
 *
 * The campaign and the process share a page (WEIR_SOAK_STEP names its file). The campaign
 * writes there which call of librdkafka the process shall not survive; the process looks
 * at it before and after each such call:
 *
 *   BEFORE   nothing of the step has happened
 *   WITHIN   delay_us after the call began, wherever it is then
 *   AFTER    the step has happened, and nobody has heard of it yet
 *
 * `count` such calls are let pass first. The product itself knows nothing of this.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <librdkafka/rdkafka.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* The order is the campaign's (campaign.py, STEPS). */
enum step {
    STEP_INIT,
    STEP_BEGIN,
    STEP_PRODUCE,
    STEP_OFFSETS,
    STEP_COMMIT,
    STEP_ABORT,
    STEP_ASSIGN,
    STEP_COMMITTED,
    STEP_CLOSE,
    STEP_FORK,
};

enum moment { MOMENT_NEVER, MOMENT_BEFORE, MOMENT_WITHIN, MOMENT_AFTER };

struct order {
    _Atomic int32_t moment; /* written last; MOMENT_NEVER again when it has been carried out */
    int32_t step;
    _Atomic int32_t count;
    int32_t signal;
    int32_t delay_us;
};

static struct order *order;

__attribute__((constructor)) static void map_order(void)
{
    const char *path = getenv("WEIR_SOAK_STEP");
    int file = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);

    if (file < 0)
        return;
    void *page = mmap(NULL, sizeof *order, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (page != MAP_FAILED)
        order = page;
}

static void carry_out(void)
{
    int signal = order->signal;

    atomic_store(&order->moment, MOMENT_NEVER);
    kill(getpid(), signal);
}

/* The kernel sends the signal, whatever this process does by then. */
static void carry_out_later(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = order->signal};
    struct itimerspec when = {.it_value = {.tv_sec = order->delay_us / 1000000,
                                           .tv_nsec = order->delay_us % 1000000 * 1000L}};
    timer_t timer;

    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 ||
        timer_settime(timer, 0, &when, NULL) != 0)
        abort();
    atomic_store(&order->moment, MOMENT_NEVER);
}

/* Which moment of this call was ordered. */
static enum moment begin(enum step step)
{
    int32_t moment = order == NULL ? MOMENT_NEVER : atomic_load(&order->moment);

    if (moment == MOMENT_NEVER || order->step != (int32_t)step ||
        atomic_fetch_sub(&order->count, 1) != 0)
        return MOMENT_NEVER;
    if (moment == MOMENT_BEFORE)
        carry_out();
    else if (moment == MOMENT_WITHIN)
        carry_out_later();
    return (enum moment)moment;
}

static void end(enum moment moment)
{
    if (moment == MOMENT_AFTER)
        carry_out();
}

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);

    if (found == NULL)
        abort();
    return found;
}

rd_kafka_error_t *rd_kafka_init_transactions(rd_kafka_t *handle, int timeout_ms)
{
    enum moment moment = begin(STEP_INIT);
    rd_kafka_error_t *result = REAL(rd_kafka_init_transactions)(handle, timeout_ms);

    end(moment);
    return result;
}

rd_kafka_error_t *rd_kafka_begin_transaction(rd_kafka_t *handle)
{
    enum moment moment = begin(STEP_BEGIN);
    rd_kafka_error_t *result = REAL(rd_kafka_begin_transaction)(handle);

    end(moment);
    return result;
}

int rd_kafka_produce(rd_kafka_topic_t *topic, int32_t partition, int flags, void *payload,
                     size_t size, const void *key, size_t key_size, void *opaque)
{
    static _Atomic(__typeof__(&rd_kafka_produce)) produce; /* called for every result */
    enum moment moment = begin(STEP_PRODUCE);

    if (atomic_load(&produce) == NULL)
        atomic_store(&produce, REAL(rd_kafka_produce));
    int result =
        atomic_load(&produce)(topic, partition, flags, payload, size, key, key_size, opaque);

    end(moment);
    return result;
}

rd_kafka_error_t *rd_kafka_send_offsets_to_transaction(
    rd_kafka_t *handle, const rd_kafka_topic_partition_list_t *offsets,
    const rd_kafka_consumer_group_metadata_t *membership, int timeout_ms)
{
    enum moment moment = begin(STEP_OFFSETS);
    rd_kafka_error_t *result =
        REAL(rd_kafka_send_offsets_to_transaction)(handle, offsets, membership, timeout_ms);

    end(moment);
    return result;
}

rd_kafka_error_t *rd_kafka_commit_transaction(rd_kafka_t *handle, int timeout_ms)
{
    enum moment moment = begin(STEP_COMMIT);
    rd_kafka_error_t *result = REAL(rd_kafka_commit_transaction)(handle, timeout_ms);

    end(moment);
    return result;
}

rd_kafka_error_t *rd_kafka_abort_transaction(rd_kafka_t *handle, int timeout_ms)
{
    enum moment moment = begin(STEP_ABORT);
    rd_kafka_error_t *result = REAL(rd_kafka_abort_transaction)(handle, timeout_ms);

    end(moment);
    return result;
}

rd_kafka_resp_err_t rd_kafka_assign(rd_kafka_t *handle,
                                    const rd_kafka_topic_partition_list_t *partitions)
{
    enum moment moment = begin(STEP_ASSIGN);
    rd_kafka_resp_err_t result = REAL(rd_kafka_assign)(handle, partitions);

    end(moment);
    return result;
}

rd_kafka_resp_err_t rd_kafka_committed(rd_kafka_t *handle,
                                       rd_kafka_topic_partition_list_t *partitions, int timeout_ms)
{
    enum moment moment = begin(STEP_COMMITTED);
    rd_kafka_resp_err_t result = REAL(rd_kafka_committed)(handle, partitions, timeout_ms);

    end(moment);
    return result;
}

rd_kafka_resp_err_t rd_kafka_consumer_close(rd_kafka_t *handle)
{
    enum moment moment = begin(STEP_CLOSE);
    rd_kafka_resp_err_t result = REAL(rd_kafka_consumer_close)(handle);

    end(moment);
    return result;
}

/* The image of a snapshot. */
pid_t fork(void)
{
    pid_t self = getpid();
    enum moment moment = begin(STEP_FORK);
    pid_t result = REAL(fork)();

    if (getpid() == self)
        end(moment);
    return result;
}
