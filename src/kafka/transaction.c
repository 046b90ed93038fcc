#include "kafka/transaction.h"

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/view.h"
#include "kafka/client.h"
#include "kafka/group.h"
#include "kafka/mend.h"

static const char room[] = "kafka";

enum { STEP_MS = 5000, RETRY_PAUSE_MS = 100, MEND_PAUSE_MS = 500 };

enum phase { PHASE_NONE, PHASE_MENDING, PHASE_OPEN, PHASE_ENDING, PHASE_VOID };

/* Whose turn it is with `offsets`, `metadata`, `status` and `failure`: ASKED, the committer's;
 * else, the owner's. */
enum job { JOB_NONE, JOB_ASKED, JOB_DONE, JOB_QUIT };

struct transaction {
    const struct kafka_setup *setup;
    struct client *client;
    struct group *group;
    struct mend *mend;
    int64_t mend_again_ms;
    enum phase phase; /* ENDING and MENDING: the committer's to end */
    int64_t begun_ms; /* the transaction that is open, or was last */
    atomic_bool is_closing;

    pthread_t committer;
    pthread_mutex_t lock; /* guards job */
    pthread_cond_t changed;
    enum job job;
    rd_kafka_topic_partition_list_t *offsets;     /* NULL: none to commit */
    rd_kafka_consumer_group_metadata_t *metadata; /* with offsets */
    enum status status;
    struct failure failure;

    struct metric *rollbacks;
};

/* Sorts out how a step ended. STATUS_AGAIN: the same call again. */
static enum status judge(struct client *client, const char *doing, rd_kafka_error_t *error,
                         struct failure *failure)
{
    enum status status = STATUS_BROKEN;

    if (error == NULL)
        return STATUS_OK;
    /* The order matters: an error may be more than one of these. */
    if (rd_kafka_error_txn_requires_abort(error)) {
        rd_kafka_poll(client->handle, 0); /* the report of a refused record may be behind it */
        if (!client_is_hopeless(client, failure))
            failure_set(failure, REMEDY_ROLL_BACK, "%s: %s (%s)", doing,
                        rd_kafka_error_string(error), rd_kafka_error_name(error));
    } else if (rd_kafka_error_is_retriable(error)) {
        log_write(client_is_told(view_of(doing)) ? LOG_DEBUG : LOG_WARN, room,
                  "%s: %s; trying again", doing, rd_kafka_error_string(error));
        status = STATUS_AGAIN;
    } else {
        int code = rd_kafka_error_is_fatal(error) ? (int)RD_KAFKA_RESP_ERR__FATAL
                                                  : (int)rd_kafka_error_code(error);
        client_fail(client, code, doing, rd_kafka_error_string(error), failure);
        if (failure != NULL)
            failure->remedy = REMEDY_STOP;
    }
    rd_kafka_error_destroy(error);
    return status;
}

bool transaction_is_spent(const struct transaction *transaction)
{
    return rd_kafka_fatal_error(transaction->client->handle, NULL, 0) != RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* Only an id that outlives its process can be taken over by another process. One that nobody
 * else has is fenced by the coordinator alone, when it ends a transaction that took too long:
 * and so may the other, after an outage. Should it have a successor as well, the group tells. */
static bool is_taken_over(const struct transaction *transaction)
{
    const struct kafka_options *options = transaction->setup->options;

    if (options->group_instance_id == NULL)
        return false;
    if (transaction->phase != PHASE_NONE &&
        clock_monotonic_ms(clock_system()) - transaction->begun_ms >=
            options->transaction_timeout_ms)
        return false;
    switch (rd_kafka_fatal_error(transaction->client->handle, NULL, 0)) {
    case RD_KAFKA_RESP_ERR__FENCED:
    case RD_KAFKA_RESP_ERR_PRODUCER_FENCED:
    case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH:
        return true;
    default:
        return false;
    }
}

/* A fatal error ends the producer, not the work: the broker has voided the transaction (it
 * took too long, as in an outage or a long stop), so the state goes back and a new producer
 * goes on. Were somebody else to own the partitions, the group would refuse our positions. */
static enum status soften(const struct transaction *transaction, enum status status,
                          struct failure *failure)
{
    if (status == STATUS_BROKEN && failure != NULL && failure->remedy == REMEDY_STOP &&
        transaction_is_spent(transaction) && !is_taken_over(transaction) &&
        !client_is_hopeless(transaction->client, NULL))
        failure->remedy = REMEDY_ROLL_BACK;
    return status;
}

/* ---- the committer ---- */

/* True when the step is to be done once more, after a pause. */
static bool is_to_repeat(struct transaction *transaction, enum status status)
{
    if (status != STATUS_AGAIN || atomic_load(&transaction->is_closing))
        return false;
    rd_kafka_poll(transaction->client->handle, RETRY_PAUSE_MS);
    return true;
}

static enum status commit(struct transaction *transaction, struct failure *failure)
{
    struct client *client = transaction->client;
    enum status status = STATUS_OK;

    /* Not resumable: again means the same arguments, which is why both are kept. */
    if (transaction->offsets != NULL) {
        do
            status = judge(client, "committing positions",
                           rd_kafka_send_offsets_to_transaction(
                               client->handle, transaction->offsets, transaction->metadata, -1),
                           failure);
        while (is_to_repeat(transaction, status));
    }
    if (status != STATUS_OK)
        return soften(transaction, status, failure);
    /* Flushes, then commits. Resumable. -1 is the transaction's timeout; with a shorter one the
     * call could end with the outcome open. */
    do
        status = judge(client, "committing a transaction",
                       rd_kafka_commit_transaction(client->handle, -1), failure);
    while (is_to_repeat(transaction, status));
    return soften(transaction, status, failure);
}

static void *run_committer(void *context)
{
    struct transaction *transaction = context;

    pthread_mutex_lock(&transaction->lock);
    for (;;) {
        while (transaction->job != JOB_ASKED && transaction->job != JOB_QUIT)
            pthread_cond_wait(&transaction->changed, &transaction->lock);
        if (transaction->job == JOB_QUIT)
            break;
        pthread_mutex_unlock(&transaction->lock);
        transaction->status =
            transaction->phase == PHASE_MENDING
                ? mend_run(transaction->mend, transaction->metadata, &transaction->failure)
                : commit(transaction, &transaction->failure);
        pthread_mutex_lock(&transaction->lock);
        transaction->job = JOB_DONE;
        pthread_cond_broadcast(&transaction->changed);
    }
    pthread_mutex_unlock(&transaction->lock);
    return NULL;
}

static void set_job(struct transaction *transaction, enum job job)
{
    pthread_mutex_lock(&transaction->lock);
    transaction->job = job;
    pthread_cond_broadcast(&transaction->changed);
    pthread_mutex_unlock(&transaction->lock);
}

/* False when the committer is still at work after timeout_ms (-1: waits for ever). */
static bool wait_for_committer(struct transaction *transaction, int64_t timeout_ms)
{
    int result = 0;

    pthread_mutex_lock(&transaction->lock);
    if (timeout_ms < 0) {
        while (transaction->job == JOB_ASKED)
            pthread_cond_wait(&transaction->changed, &transaction->lock);
    } else if (timeout_ms > 0) {
        struct timespec until = clock_deadline(timeout_ms);
        while (transaction->job == JOB_ASKED && result == 0)
            result = pthread_cond_timedwait(&transaction->changed, &transaction->lock, &until);
    }
    bool is_idle = transaction->job != JOB_ASKED;
    pthread_mutex_unlock(&transaction->lock);
    return is_idle;
}

static void start_committer(struct transaction *transaction)
{
    pthread_mutex_init(&transaction->lock, NULL);
    clock_condition_init(&transaction->changed);
    if (pthread_create(&transaction->committer, NULL, run_committer, transaction) != 0)
        abort();
}

static void clear_job(struct transaction *transaction)
{
    if (transaction->offsets != NULL)
        rd_kafka_topic_partition_list_destroy(transaction->offsets);
    if (transaction->metadata != NULL)
        rd_kafka_consumer_group_metadata_destroy(transaction->metadata);
    transaction->offsets = NULL;
    transaction->metadata = NULL;
    set_job(transaction, JOB_NONE);
}

/* ---- opening and closing ---- */

/*
 * A static member keeps its transactional id over a restart, so that the broker voids at once
 * what the predecessor left open. Others take an id that nobody had: two processes on one host
 * must not fence each other, and a transaction left open ends after its timeout.
 */
void transaction_name(const struct kafka_setup *setup, char id[TRANSACTIONAL_ID_MAX])
{
    const struct kafka_options *options = setup->options;
    size_t size = TRANSACTIONAL_ID_MAX;
    char host[128] = "";

    if (options->group_instance_id != NULL) {
        snprintf(id, size, "%s-%s-%s-%s", options->transactional_id_prefix, options->group_id,
                 options->group_instance_id, setup->name);
        return;
    }
    gethostname(host, sizeof host - 1);
    uint64_t salt = hash_mix((uint64_t)clock_monotonic_ns(clock_system()),
                             (uint64_t)clock_wall_ms(clock_system()));
    snprintf(id, size, "%s-%s-%s-%ld-%08x-%s", options->transactional_id_prefix, options->group_id,
             host, (long)getpid(), (unsigned)salt, setup->name);
}

void transaction_configure(const struct kafka_setup *setup, const char *id, rd_kafka_conf_t *conf)
{
    char timeout[32];

    snprintf(timeout, sizeof timeout, "%lld", (long long)setup->options->transaction_timeout_ms);
    client_set(conf, "transactional.id", id);
    client_set(conf, "transaction.timeout.ms", timeout);
    client_set(conf, "message.timeout.ms", timeout);
}

/* Called with a bounded timeout, over and over: it is resumable. */
static enum status acquire_id(struct transaction *transaction, struct failure *failure)
{
    const struct kafka_setup *setup = transaction->setup;
    int64_t until_ms = clock_monotonic_ms(clock_system()) + setup->wait_ms;

    for (;;) {
        enum status status =
            judge(transaction->client, "starting transactions",
                  rd_kafka_init_transactions(transaction->client->handle, STEP_MS), failure);
        if (status != STATUS_AGAIN)
            return status;
        if (setup->is_stopping != NULL && atomic_load(setup->is_stopping))
            return STATUS_AGAIN;
        if (setup->wait_ms >= 0 && clock_monotonic_ms(clock_system()) >= until_ms)
            return failure_set(failure, REMEDY_RETRY,
                               "starting transactions: no coordinator at %s; it needs as many "
                               "brokers as transaction.state.log.replication.factor says",
                               setup->options->bootstrap_servers);
        rd_kafka_poll(transaction->client->handle, RETRY_PAUSE_MS);
    }
}

enum status transaction_open(const struct kafka_setup *setup, struct client *client,
                             struct group *group, struct transaction **out, struct failure *failure)
{
    struct transaction *transaction = calloc(1, sizeof *transaction);

    if (transaction == NULL)
        abort();
    transaction->setup = setup;
    transaction->client = client;
    transaction->group = group;
    enum status status = acquire_id(transaction, failure);
    if (status != STATUS_OK) {
        free(transaction);
        return status;
    }
    transaction->mend = mend_create(setup, client, group, &transaction->is_closing);
    start_committer(transaction);
    if (setup->metrics != NULL)
        transaction->rollbacks = metric_counter(setup->metrics, "weir_kafka_rollbacks_total",
                                                "Transactions voided.", NULL);
    *out = transaction;
    return STATUS_OK;
}

void transaction_close(struct transaction *transaction)
{
    if (transaction == NULL)
        return;
    atomic_store(&transaction->is_closing, true);
    wait_for_committer(transaction, -1);
    set_job(transaction, JOB_QUIT);
    pthread_join(transaction->committer, NULL);
    if (transaction->phase != PHASE_NONE && transaction->client->handle != NULL) {
        rd_kafka_error_t *error = rd_kafka_abort_transaction(transaction->client->handle, STEP_MS);
        if (error != NULL)
            rd_kafka_error_destroy(error); /* its timeout will void it */
    }
    clear_job(transaction);
    mend_destroy(transaction->mend);
    pthread_cond_destroy(&transaction->changed);
    pthread_mutex_destroy(&transaction->lock);
    free(transaction);
}

/* ---- what Kafka left open ---- */

static void start_mending(struct transaction *transaction)
{
    if (clock_monotonic_ms(clock_system()) < transaction->mend_again_ms)
        return;
    transaction->metadata = mend_prepare(transaction->mend);
    if (transaction->metadata == NULL)
        return;
    transaction->phase = PHASE_MENDING;
    set_job(transaction, JOB_ASKED);
}

/* Harmless when nothing is mended. */
static void await_mending(struct transaction *transaction, int64_t timeout_ms)
{
    if (transaction->phase != PHASE_MENDING || !wait_for_committer(transaction, timeout_ms))
        return;
    clear_job(transaction);
    transaction->mend_again_ms = clock_monotonic_ms(clock_system()) + MEND_PAUSE_MS;
    transaction->phase = transaction->status == STATUS_BROKEN ? PHASE_VOID : PHASE_NONE;
    if (transaction->status == STATUS_BROKEN)
        log_warn(room, "%s", transaction->failure.text);
}

void transaction_serve(struct transaction *transaction)
{
    await_mending(transaction, 0);
    if (transaction->phase == PHASE_NONE && mend_is_due(transaction->mend))
        start_mending(transaction);
}

void transaction_let_go(struct transaction *transaction)
{
    await_mending(transaction, -1);
}

void transaction_note(struct transaction *transaction, enum topic topic, int32_t partition,
                      int64_t offset)
{
    mend_note(transaction->mend, topic, partition, offset);
}

/* ---- the owner's calls ---- */

enum status transaction_begin(struct transaction *transaction, struct failure *failure)
{
    if (transaction->phase == PHASE_OPEN)
        return STATUS_OK;
    transaction_serve(transaction);
    switch (transaction->phase) {
    case PHASE_OPEN:
        return STATUS_OK;
    case PHASE_ENDING:
    case PHASE_MENDING:
        return STATUS_AGAIN;
    case PHASE_VOID:
        if (client_is_hopeless(transaction->client, failure))
            return STATUS_BROKEN;
        return failure_set(failure, REMEDY_ROLL_BACK, "the transaction is void");
    case PHASE_NONE:
        break;
    }
    if (client_is_hopeless(transaction->client, failure))
        return STATUS_BROKEN;
    if (mend_is_due(transaction->mend))
        return STATUS_AGAIN;
    mend_begin(transaction->mend);
    enum status status = judge(transaction->client, "beginning a transaction",
                               rd_kafka_begin_transaction(transaction->client->handle), failure);
    transaction->begun_ms = clock_monotonic_ms(clock_system());
    if (status == STATUS_OK)
        transaction->phase = PHASE_OPEN;
    else if (transaction_is_spent(transaction))
        transaction->phase = PHASE_VOID;
    return soften(transaction, status, failure);
}

bool transaction_is_ending(const struct transaction *transaction)
{
    return transaction->phase == PHASE_ENDING || transaction->phase == PHASE_MENDING;
}

void transaction_set_void(struct transaction *transaction)
{
    transaction->phase = PHASE_VOID;
}

/* STATUS_AGAIN: we are a member. */
static enum status check_membership(struct transaction *transaction, struct failure *failure)
{
    rd_kafka_consumer_group_metadata_t *metadata = NULL;
    enum status status = group_membership(transaction->group, &metadata, failure);

    if (status != STATUS_OK)
        return status;
    rd_kafka_consumer_group_metadata_destroy(metadata);
    return STATUS_AGAIN;
}

enum status transaction_end(struct transaction *transaction, const struct position *positions,
                            uint32_t count, struct failure *failure)
{
    rd_kafka_topic_partition_list_t *offsets = NULL;
    enum status status;

    if (transaction->phase == PHASE_NONE && count == 0)
        return STATUS_OK; /* nothing to commit */
    status = transaction_begin(transaction, failure);
    /* Whoever is in no group need not wait until the last one is settled. */
    if (status == STATUS_AGAIN && count > 0 && transaction->phase != PHASE_ENDING)
        status = check_membership(transaction, failure);
    if (status != STATUS_OK)
        return status;
    if (count > 0)
        offsets = group_offsets(transaction->group, positions, count);
    if (offsets != NULL && offsets->cnt == 0) {
        rd_kafka_topic_partition_list_destroy(offsets);
        offsets = NULL;
    }
    /* The membership of this moment, taken on the thread that serves the group: one older or
     * newer than the positions could pass for somebody else's. */
    if (offsets != NULL)
        status = group_membership(transaction->group, &transaction->metadata, failure);
    if (status != STATUS_OK) {
        rd_kafka_topic_partition_list_destroy(offsets);
        transaction->phase = PHASE_VOID;
        return status;
    }
    if (offsets != NULL)
        mend_note_positions(transaction->mend, offsets);
    transaction->offsets = offsets;
    transaction->phase = PHASE_ENDING;
    set_job(transaction, JOB_ASKED);
    return STATUS_OK;
}

enum status transaction_wait(struct transaction *transaction, int64_t timeout_ms,
                             struct failure *failure)
{
    if (transaction->phase != PHASE_ENDING)
        return STATUS_OK;
    if (!wait_for_committer(transaction, timeout_ms))
        return STATUS_AGAIN;
    clear_job(transaction);
    if (transaction->status == STATUS_OK) {
        mend_end(transaction->mend, true, false);
        transaction->phase = PHASE_NONE;
        return STATUS_OK;
    }
    transaction->phase = PHASE_VOID;
    if (failure != NULL)
        *failure = transaction->failure;
    return STATUS_BROKEN;
}

enum status transaction_abort(struct transaction *transaction, struct failure *failure)
{
    await_mending(transaction, STEP_MS);
    if (transaction->phase == PHASE_MENDING)
        return failure_set(failure, REMEDY_RETRY,
                           "looking at how the last transaction ended: no answer yet");
    if (transaction->phase == PHASE_ENDING && transaction_wait(transaction, -1, NULL) == STATUS_OK)
        return STATUS_OK; /* it was committed after all */
    if (transaction->phase == PHASE_NONE || transaction_is_spent(transaction))
        return STATUS_OK;
    enum status status =
        judge(transaction->client, "voiding a transaction",
              rd_kafka_abort_transaction(transaction->client->handle, STEP_MS), failure);
    if (status == STATUS_AGAIN)
        return failure_set(failure, REMEDY_RETRY, "voiding a transaction: no answer yet");
    if (status != STATUS_OK)
        return transaction_is_spent(transaction) ? STATUS_OK : status;
    metric_add(transaction->rollbacks, 1);
    mend_end(transaction->mend, false, false);
    transaction->phase = PHASE_NONE;
    /* It could have come to light only now that a record of it will never be taken; going round
     * again would end here again. */
    return client_is_hopeless(transaction->client, failure) ? STATUS_BROKEN : STATUS_OK;
}

enum status transaction_restart(struct transaction *transaction, struct failure *failure)
{
    enum status status =
        judge(transaction->client, "starting transactions",
              rd_kafka_init_transactions(transaction->client->handle, STEP_MS), failure);

    if (status == STATUS_AGAIN)
        return failure_set(failure, REMEDY_RETRY, "starting transactions: no answer yet");
    if (status == STATUS_OK) {
        metric_add(transaction->rollbacks, 1);
        if (transaction->phase != PHASE_NONE)
            mend_end(transaction->mend, false, true);
        transaction->phase = PHASE_NONE;
    }
    return status;
}
