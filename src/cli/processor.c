#include "cli/processor.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "cli/stop.h"
#include "kafka/kafka.h"
#include "kafka/topics.h"

enum {
    TURN_WAIT_MS = 100,   /* for records */
    RETRY_WAIT_MS = 1000, /* while the log does not answer at the start */
};

struct worker {
    uint32_t number;
    struct transport group, side, snapshots; /* door NULL: not opened */
    struct codec *codec;
    struct pipeline *pipeline;
    pthread_t thread;
    bool is_started;
    atomic_bool is_stopping;
    atomic_bool has_failed;
};

struct processor {
    const struct host *host;
    struct arena *arena;
    struct worker *workers;
    uint32_t worker_count;
    int32_t partition_count;
};

/* ---- one worker ---- */

static void *run_worker(void *context)
{
    struct worker *worker = context;
    struct failure failure = {0};
    enum status status = STATUS_OK;

    while (status != STATUS_BROKEN && !atomic_load(&worker->is_stopping))
        status = pipeline_turn(worker->pipeline, TURN_WAIT_MS, &failure);
    if (status != STATUS_BROKEN)
        status = pipeline_drain(worker->pipeline, &failure);
    if (status == STATUS_BROKEN) {
        log_error("run", "worker %u stops: %s", worker->number, failure.text);
        atomic_store(&worker->has_failed, true);
    }
    return NULL;
}

static enum status open_transport(const struct processor *processor, const struct worker *worker,
                                  enum kafka_role role, const char *suffix,
                                  struct transport *transport, struct failure *failure)
{
    const struct host *host = processor->host;
    bool is_exact = host->settings->pipeline.guarantee == GUARANTEE_EXACTLY_ONCE;
    struct kafka_setup setup = {
        .options = &host->settings->kafka,
        .role = role,
        .is_transactional = role == KAFKA_PROCESSOR && is_exact,
        .name = arena_print(processor->arena, "worker-%u%s", worker->number, suffix),
        .metrics = host->metrics,
        .is_stopping = host->is_stopping,
        .wait_ms = -1,
    };

    return kafka_open(&setup, transport, failure);
}

/* Differs between workers, processes and machines, and after a restart. */
static uint32_t name_owner(const struct worker *worker)
{
    char host[256] = "";
    uint64_t name;

    gethostname(host, sizeof host - 1);
    name = hash_view(view_of(host), (uint64_t)getpid());
    name = hash_mix(name, worker->number);
    return (uint32_t)hash_mix(name, (uint64_t)clock_monotonic_ns(clock_system()));
}

static enum status open_pipeline(const struct processor *processor, struct worker *worker,
                                 struct failure *failure)
{
    const struct host *host = processor->host;
    struct pipeline_setup setup = {
        .options = &host->settings->pipeline,
        .engine_config = host->settings->engine_config,
        .codec = worker->codec,
        .transport = worker->group,
        .side = worker->side,
        .snapshots = worker->snapshots,
        .group = host->settings->kafka.group_id,
        .clock = host->clock,
        .metrics = host->metrics,
        .worker = worker->number,
        .owner = name_owner(worker),
    };
    enum status status;

    while ((status = pipeline_open(&setup, &worker->pipeline, failure)) == STATUS_BROKEN &&
           failure->remedy == REMEDY_RETRY) {
        log_warn("run", "%s; trying again", failure->text);
        if (stop_wait(RETRY_WAIT_MS))
            return STATUS_AGAIN;
    }
    return status;
}

/* Replay needs what came after the snapshot before the newest. */
static enum status check_topics(const struct processor *processor, struct failure *failure)
{
    const struct settings *settings = processor->host->settings;

    if (settings->kafka.is_embedded)
        return STATUS_OK;
    return topics_check(&settings->kafka, settings->pipeline.snapshot_interval_ms, failure);
}

/* Every engine must know how many partitions there are before the first one is opened. */
static enum status tell_partitions(struct processor *processor, const struct worker *worker,
                                   struct failure *failure)
{
    int32_t count = 0;
    enum status status;

    while ((status = worker->side.door->partition_count(worker->side.context, TOPIC_ORDERS, &count,
                                                        failure)) == STATUS_BROKEN &&
           failure->remedy == REMEDY_RETRY) {
        log_warn("run", "%s; trying again", failure->text);
        if (stop_wait(RETRY_WAIT_MS))
            return STATUS_AGAIN;
    }
    processor->partition_count = count;
    if (status == STATUS_OK && count > 0)
        engine_config_set_partitions(processor->host->settings->engine_config, count);
    return status;
}

static enum status open_worker(struct processor *processor, struct worker *worker,
                               struct failure *failure)
{
    enum status status = codec_create(&processor->host->settings->codec, &worker->codec, failure);

    if (status == STATUS_OK)
        status = open_transport(processor, worker, KAFKA_SIDE, "-side", &worker->side, failure);
    if (status == STATUS_OK)
        status = open_transport(processor, worker, KAFKA_SIDE, "-snapshots", &worker->snapshots,
                                failure);
    if (status == STATUS_OK)
        status = open_transport(processor, worker, KAFKA_PROCESSOR, "", &worker->group, failure);
    if (status == STATUS_OK && worker->number == 0)
        status = check_topics(processor, failure);
    if (status == STATUS_OK && worker->number == 0)
        status = tell_partitions(processor, worker, failure);
    if (status == STATUS_OK)
        status = open_pipeline(processor, worker, failure);
    return status;
}

static void close_transport(struct transport *transport)
{
    if (transport->door != NULL)
        transport->door->close(transport->context);
}

static void close_worker(struct worker *worker)
{
    if (worker->pipeline != NULL)
        pipeline_close(worker->pipeline);
    close_transport(&worker->group);
    close_transport(&worker->side);
    close_transport(&worker->snapshots);
    codec_destroy(worker->codec);
}

/* ---- all workers ---- */

static enum status start_workers(struct processor *processor, struct failure *failure)
{
    for (uint32_t i = 0; i < processor->worker_count; i++) {
        struct worker *worker = &processor->workers[i];
        if (pthread_create(&worker->thread, NULL, run_worker, worker) != 0)
            return failure_set(failure, REMEDY_STOP, "worker %u: no thread to be had", i);
        worker->is_started = true;
    }
    return STATUS_OK;
}

enum status processor_open(const struct host *host, struct processor **out, struct failure *failure)
{
    struct processor *processor = calloc(1, sizeof *processor);
    enum status status = STATUS_OK;

    *out = NULL;
    if (processor == NULL)
        abort();
    processor->host = host;
    processor->arena = arena_create(4096);
    processor->worker_count = (uint32_t)host->settings->process.workers;
    processor->workers = calloc(processor->worker_count, sizeof *processor->workers);
    if (processor->workers == NULL)
        abort();
    for (uint32_t i = 0; i < processor->worker_count && status == STATUS_OK; i++) {
        processor->workers[i].number = i;
        status = open_worker(processor, &processor->workers[i], failure);
    }
    if (status == STATUS_OK)
        status = start_workers(processor, failure);
    if (status == STATUS_OK)
        *out = processor;
    else
        processor_close(processor);
    return status;
}

void processor_close(struct processor *processor)
{
    if (processor == NULL)
        return;
    for (uint32_t i = 0; i < processor->worker_count; i++)
        atomic_store(&processor->workers[i].is_stopping, true);
    /* Nobody leaves the group before all have made their last commit: a group that hands
     * partitions over takes no commits. */
    for (uint32_t i = 0; i < processor->worker_count; i++)
        if (processor->workers[i].is_started)
            pthread_join(processor->workers[i].thread, NULL);
    for (uint32_t i = 0; i < processor->worker_count; i++)
        close_worker(&processor->workers[i]);
    free(processor->workers);
    arena_destroy(processor->arena);
    free(processor);
}

bool processor_is_ready(const struct processor *processor)
{
    for (uint32_t i = 0; i < processor->worker_count; i++)
        if (!pipeline_is_ready(processor->workers[i].pipeline))
            return false;
    return true;
}

bool processor_has_failed(const struct processor *processor)
{
    for (uint32_t i = 0; i < processor->worker_count; i++)
        if (atomic_load(&processor->workers[i].has_failed))
            return true;
    return false;
}

int64_t processor_last_turn_ms(const struct processor *processor)
{
    int64_t oldest_ms = INT64_MAX;

    for (uint32_t i = 0; i < processor->worker_count; i++) {
        int64_t turn_ms = pipeline_last_turn_ms(processor->workers[i].pipeline);
        oldest_ms = turn_ms < oldest_ms ? turn_ms : oldest_ms;
    }
    return oldest_ms;
}

int32_t processor_partition_count(const struct processor *processor)
{
    return processor->partition_count;
}

void processor_status(const struct processor *processor, struct byte_writer *out)
{
    byte_put_u8(out, '[');
    for (uint32_t i = 0; i < processor->worker_count; i++) {
        if (i > 0)
            byte_put_u8(out, ',');
        pipeline_status(processor->workers[i].pipeline, out);
    }
    byte_put_u8(out, ']');
}
