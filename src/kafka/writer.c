/*
 * Two ways to commit.
 *
 * Transactional. A transaction begins with the first record or commit after the last
 * one. commit_start notes the positions and our membership and wakes the committer, a
 * thread that sends both to the coordinator and commits; meanwhile the owner polls and
 * decodes (a commit takes 7-9 ms at the broker, and standing still for it would cost a
 * tenth of the throughput). Produce answers AGAIN until commit_wait has said OK.
 *
 *      NONE ── produce, commit_start ──► OPEN ── commit_start ──► COMMITTING
 *       ▲                                 │                           │
 *       └──────────── abort ◄─────────────┴── VOID ◄── ROLL_BACK ─────┤
 *       └───────────────────────────────────────────── done ──────────┘
 *
 * At-least-once. Every record carries the parity of its commit interval, and each parity
 * has a count of records that are not delivered yet. commit_start turns the parity
 * over; when the count of the old one is zero, its positions go to the coordinator. An
 * idempotent producer without a message timeout only ever delays, so a broker outage
 * holds the commit up and loses nothing.
 */
#include "kafka/writer.h"

#include <assert.h>
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "kafka/client.h"
#include "kafka/group.h"

static const char room[] = "kafka";

enum { TRANSACTION_STEP_MS = 5000 };

enum transaction { TRANSACTION_NONE, TRANSACTION_OPEN, TRANSACTION_COMMITTING, TRANSACTION_VOID };

/* At-least-once: how far a commit is. */
enum stage { STAGE_IDLE, STAGE_DELIVERING, STAGE_STORING, STAGE_STORED };

enum job { JOB_NONE, JOB_ASKED, JOB_DONE, JOB_QUIT };

/* What the committer works on; `job` says whose it is. */
struct committer {
    pthread_t thread;
    bool is_running;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum job job;
    rd_kafka_topic_partition_list_t *offsets;     /* NULL: none to commit */
    rd_kafka_consumer_group_metadata_t *metadata; /* with offsets */
    enum status status;
    struct failure failure;
};

struct writer {
    struct client client;
    const struct kafka_setup *setup;
    struct group *group;
    bool is_transactional;
    rd_kafka_topic_t *topics[TOPIC_COUNT]; /* those written to so far */
    atomic_bool is_closing;

    enum transaction transaction;
    struct committer committer;

    enum stage stage;
    uint32_t parity;
    uint64_t undelivered[2]; /* by parity */
    rd_kafka_topic_partition_list_t *offsets;
    rd_kafka_queue_t *stored; /* answers to offset commits */
    rd_kafka_resp_err_t stored_code;

    pthread_mutex_t lock;  /* guards broken, which the committer may set */
    struct failure broken; /* a record that can never be delivered */
    atomic_bool is_broken;

    int64_t commit_started_ns;
    struct metric *commit_seconds, *rollbacks, *undeliverable;
};

struct client *writer_client(struct writer *writer)
{
    return &writer->client;
}

/* ---- deliveries ---- */

/* The broker will never take this record. */
static bool is_refusal(rd_kafka_resp_err_t code)
{
    switch (code) {
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_COMPRESSION_TYPE:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
        return true;
    default:
        return false;
    }
}

static void note_undelivered(struct writer *writer, const rd_kafka_message_t *message)
{
    char doing[CLIENT_TEXT_MAX];
    struct failure failure;

    if (message->err == RD_KAFKA_RESP_ERR__PURGE_QUEUE ||
        message->err == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT)
        return; /* an abort, or closing: our wish */
    metric_add(writer->undeliverable, 1);
    /* The transaction fails with it, and is done again, unless that would fail the same way. */
    if (writer->is_transactional && !is_refusal(message->err))
        return;
    snprintf(doing, sizeof doing, "record for %s not delivered", rd_kafka_topic_name(message->rkt));
    client_fail(&writer->client, message->err, doing, rd_kafka_message_errstr(message), &failure);
    /* It is in nobody's hands any more, so it cannot be set aside; nor may the positions behind
     * it be committed. */
    failure.remedy = REMEDY_STOP;
    pthread_mutex_lock(&writer->lock);
    if (writer->broken.remedy == REMEDY_NONE)
        writer->broken = failure;
    pthread_mutex_unlock(&writer->lock);
    atomic_store(&writer->is_broken, true);
}

/* On the owner's thread, or the committer's while a transaction ends. Registered in any case:
 * without it rd_kafka_flush looks only every 10 ms whether all is delivered. */
static void on_delivery(rd_kafka_t *handle, const rd_kafka_message_t *message, void *opaque)
{
    struct client *client = opaque;
    struct writer *writer = client->owner;

    (void)handle;
    if (!writer->is_transactional)
        writer->undelivered[(uintptr_t)message->_private & 1]--;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR && !atomic_load(&writer->is_closing))
        note_undelivered(writer, message);
}

static enum status give_broken(struct writer *writer, struct failure *failure)
{
    pthread_mutex_lock(&writer->lock);
    if (failure != NULL)
        *failure = writer->broken;
    pthread_mutex_unlock(&writer->lock);
    return STATUS_BROKEN;
}

/* ---- the committer ---- */

/* Sorts out how a step of a transaction ended. STATUS_AGAIN: the same call again. */
static enum status judge(struct writer *writer, const char *doing, rd_kafka_error_t *error,
                         struct failure *failure)
{
    enum status status = STATUS_BROKEN;

    if (error == NULL)
        return STATUS_OK;
    /* The order matters: an error may be more than one of these. */
    if (rd_kafka_error_txn_requires_abort(error)) {
        if (atomic_load(&writer->is_broken))
            give_broken(writer, failure);
        else
            failure_set(failure, REMEDY_ROLL_BACK, "%s: %s (%s)", doing,
                        rd_kafka_error_string(error), rd_kafka_error_name(error));
    } else if (rd_kafka_error_is_retriable(error)) {
        log_warn(room, "%s: %s: %s; trying again", writer->setup->name, doing,
                 rd_kafka_error_string(error));
        status = STATUS_AGAIN;
    } else {
        int code = rd_kafka_error_is_fatal(error) ? (int)RD_KAFKA_RESP_ERR__FATAL
                                                  : (int)rd_kafka_error_code(error);
        client_fail(&writer->client, code, doing, rd_kafka_error_string(error), failure);
        if (failure != NULL)
            failure->remedy = REMEDY_STOP;
    }
    rd_kafka_error_destroy(error);
    return status;
}

static enum status commit_transaction(struct writer *writer, struct failure *failure)
{
    struct committer *committer = &writer->committer;
    rd_kafka_t *handle = writer->client.handle;
    enum status status = STATUS_OK;

    /* Not resumable: again means the same arguments, which is why both are kept. */
    if (committer->offsets != NULL) {
        do
            status = judge(writer, "committing positions",
                           rd_kafka_send_offsets_to_transaction(handle, committer->offsets,
                                                                committer->metadata, -1),
                           failure);
        while (status == STATUS_AGAIN && !atomic_load(&writer->is_closing));
    }
    if (status != STATUS_OK)
        return status;
    /* Flushes, then commits. Resumable. -1: for the transaction's timeout, the value that the
     * library recommends, since a shorter one leaves the outcome open. */
    do
        status = judge(writer, "committing a transaction", rd_kafka_commit_transaction(handle, -1),
                       failure);
    while (status == STATUS_AGAIN && !atomic_load(&writer->is_closing));
    return status;
}

static void *run_committer(void *context)
{
    struct writer *writer = context;
    struct committer *committer = &writer->committer;

    pthread_mutex_lock(&committer->lock);
    for (;;) {
        while (committer->job != JOB_ASKED && committer->job != JOB_QUIT)
            pthread_cond_wait(&committer->changed, &committer->lock);
        if (committer->job == JOB_QUIT)
            break;
        pthread_mutex_unlock(&committer->lock);
        struct failure failure = {0};
        enum status status = commit_transaction(writer, &failure);
        pthread_mutex_lock(&committer->lock);
        committer->status = status;
        committer->failure = failure;
        committer->job = JOB_DONE;
        pthread_cond_broadcast(&committer->changed);
    }
    pthread_mutex_unlock(&committer->lock);
    return NULL;
}

static void start_committer(struct writer *writer)
{
    struct committer *committer = &writer->committer;
    pthread_condattr_t attributes;

    pthread_mutex_init(&committer->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&committer->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    if (pthread_create(&committer->thread, NULL, run_committer, writer) != 0)
        abort();
    committer->is_running = true;
}

static void clear_job(struct committer *committer)
{
    if (committer->offsets != NULL)
        rd_kafka_topic_partition_list_destroy(committer->offsets);
    if (committer->metadata != NULL)
        rd_kafka_consumer_group_metadata_destroy(committer->metadata);
    committer->offsets = NULL;
    committer->metadata = NULL;
}

/* False when the committer is still at work after timeout_ms (-1: waits for ever). */
static bool wait_for_committer(struct committer *committer, int64_t timeout_ms)
{
    struct timespec until;
    bool is_idle;
    int result = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += timeout_ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&committer->lock);
    while (committer->job == JOB_ASKED && result == 0 && timeout_ms != 0)
        result = timeout_ms < 0
                     ? pthread_cond_wait(&committer->changed, &committer->lock)
                     : pthread_cond_timedwait(&committer->changed, &committer->lock, &until);
    is_idle = committer->job != JOB_ASKED;
    pthread_mutex_unlock(&committer->lock);
    return is_idle;
}

static void stop_committer(struct committer *committer)
{
    if (!committer->is_running)
        return;
    wait_for_committer(committer, -1);
    pthread_mutex_lock(&committer->lock);
    committer->job = JOB_QUIT;
    pthread_cond_broadcast(&committer->changed);
    pthread_mutex_unlock(&committer->lock);
    pthread_join(committer->thread, NULL);
    pthread_cond_destroy(&committer->changed);
    pthread_mutex_destroy(&committer->lock);
    clear_job(committer);
    committer->is_running = false;
}

/* ---- opening and closing ---- */

/*
 * A static member keeps its transactional id over a restart, so that the broker voids what
 * the predecessor left open at once. Others take an id nobody had: two processes on one host
 * must not fence each other, and a transaction left open ends after its timeout.
 */
static void name_transactions(const struct kafka_setup *setup, char *id, size_t size)
{
    const struct kafka_options *options = setup->options;
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

static void configure(struct writer *writer, rd_kafka_conf_t *conf)
{
    const struct kafka_setup *setup = writer->setup;
    char id[512], timeout[32];

    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    if (!writer->is_transactional) {
        client_set(conf, "message.timeout.ms", "0"); /* never give up */
        return;
    }
    name_transactions(setup, id, sizeof id);
    snprintf(timeout, sizeof timeout, "%lld", (long long)setup->options->transaction_timeout_ms);
    client_set(conf, "transactional.id", id);
    client_set(conf, "transaction.timeout.ms", timeout);
    client_set(conf, "message.timeout.ms", timeout);
}

/* Fences and finishes the predecessor of the same id. */
static enum status begin_transactions(struct writer *writer, struct failure *failure)
{
    const struct kafka_setup *setup = writer->setup;
    enum status status;

    for (int64_t waited = 0;; waited += TRANSACTION_STEP_MS) {
        status =
            judge(writer, "starting transactions",
                  rd_kafka_init_transactions(writer->client.handle, TRANSACTION_STEP_MS), failure);
        if (status != STATUS_AGAIN)
            break;
        if (setup->is_stopping != NULL && atomic_load(setup->is_stopping))
            return STATUS_AGAIN;
        if (setup->wait_ms >= 0 && waited + TRANSACTION_STEP_MS >= setup->wait_ms)
            return failure_set(failure, REMEDY_RETRY,
                               "starting transactions: no coordinator at %s; the broker needs "
                               "transaction.state.log.replication.factor brokers",
                               setup->options->bootstrap_servers);
    }
    return status;
}

static void register_metrics(struct writer *writer)
{
    struct metric_registry *metrics = writer->setup->metrics;

    if (metrics == NULL)
        return;
    writer->commit_seconds = metric_histogram(metrics, "weir_kafka_commit_seconds",
                                              "From the start of a commit to its end.", NULL);
    writer->rollbacks =
        metric_counter(metrics, "weir_kafka_rollbacks_total", "Transactions voided.", NULL);
    writer->undeliverable = metric_counter(metrics, "weir_kafka_undelivered_total",
                                           "Records that the broker refused.", NULL);
}

enum status writer_open(const struct kafka_setup *setup, struct group *group, struct writer **out,
                        struct failure *failure)
{
    struct writer *writer = calloc(1, sizeof *writer);
    rd_kafka_conf_t *conf = client_configure(setup->options, CLIENT_PRODUCER, NULL);
    enum status status;

    if (writer == NULL)
        abort();
    writer->setup = setup;
    writer->group = group;
    writer->is_transactional = setup->is_transactional;
    pthread_mutex_init(&writer->lock, NULL);
    register_metrics(writer);
    configure(writer, conf);
    status = client_open(&writer->client, setup->options, CLIENT_PRODUCER, conf, setup->name,
                         writer, failure);
    if (status == STATUS_OK && group == NULL)
        status = client_wait_ready(&writer->client, setup, failure);
    if (status == STATUS_OK && writer->is_transactional)
        status = begin_transactions(writer, failure);
    if (status != STATUS_OK) {
        writer_close(writer);
        return status;
    }
    if (writer->is_transactional)
        start_committer(writer);
    else if (group != NULL)
        writer->stored = rd_kafka_queue_new(group_client(group)->handle);
    *out = writer;
    return STATUS_OK;
}

void writer_close(struct writer *writer)
{
    if (writer == NULL)
        return;
    atomic_store(&writer->is_closing, true);
    stop_committer(&writer->committer);
    if (writer->client.handle != NULL) {
        if (writer->transaction == TRANSACTION_OPEN || writer->transaction == TRANSACTION_VOID) {
            rd_kafka_error_t *error =
                rd_kafka_abort_transaction(writer->client.handle, TRANSACTION_STEP_MS);
            if (error != NULL)
                rd_kafka_error_destroy(error);
        }
        rd_kafka_purge(writer->client.handle, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        rd_kafka_poll(writer->client.handle, 0);
    }
    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        if (writer->topics[topic] != NULL)
            rd_kafka_topic_destroy(writer->topics[topic]);
    if (writer->stored != NULL)
        rd_kafka_queue_destroy(writer->stored);
    if (writer->offsets != NULL)
        rd_kafka_topic_partition_list_destroy(writer->offsets);
    client_close(&writer->client);
    pthread_mutex_destroy(&writer->lock);
    free(writer);
}

/* ---- produce ---- */

/*
 * The first record for a topic learns about it here, once, and not inside the library's
 * produce: that would let a missing topic pass for 30 s, and can stand still for a second
 * when it is given the topic by name.
 */
static enum status open_topic(struct writer *writer, enum topic topic, struct failure *failure)
{
    int32_t count;

    if (writer->topics[topic] != NULL)
        return STATUS_OK;
    enum status status = client_partition_count(&writer->client, topic, &count, failure);
    if (status != STATUS_OK)
        return status;
    writer->topics[topic] =
        rd_kafka_topic_new(writer->client.handle, writer->client.names[topic], NULL);
    return STATUS_OK;
}

static enum status begin(struct writer *writer, struct failure *failure)
{
    switch (writer->transaction) {
    case TRANSACTION_OPEN:
        return STATUS_OK;
    case TRANSACTION_COMMITTING:
        return STATUS_AGAIN;
    case TRANSACTION_VOID:
        return failure_set(failure, REMEDY_ROLL_BACK, "the transaction is void");
    case TRANSACTION_NONE:
        break;
    }
    enum status status = judge(writer, "beginning a transaction",
                               rd_kafka_begin_transaction(writer->client.handle), failure);
    if (status == STATUS_OK)
        writer->transaction = TRANSACTION_OPEN;
    return status;
}

static bool is_ours(const struct outgoing *outgoing, const char *name)
{
    for (uint32_t index = 0; index < outgoing->header_count; index++)
        if (strcmp(outgoing->headers[index].name, name) == 0)
            return true;
    return false;
}

/* The origin's headers in their order, without those that ours replace, then ours. */
static rd_kafka_headers_t *collect_headers(const struct outgoing *outgoing)
{
    rd_kafka_headers_t *all = rd_kafka_headers_new(outgoing->header_count + 8);
    rd_kafka_headers_t *given = NULL;
    const char *name;
    const void *value;
    size_t size;

    if (outgoing->origin != NULL)
        rd_kafka_message_headers(outgoing->origin->handle, &given);
    for (size_t index = 0;
         given != NULL && rd_kafka_header_get_all(given, index, &name, &value, &size) == 0; index++)
        if (!is_ours(outgoing, name))
            rd_kafka_header_add(all, name, -1, value, (ssize_t)size);
    for (uint32_t index = 0; index < outgoing->header_count; index++) {
        const struct header *header = &outgoing->headers[index];
        rd_kafka_header_add(all, header->name, -1, header->value.data, (ssize_t)header->value.size);
    }
    return all;
}

/* Headers and timestamps need producev. The list is given as a whole: with single headers a
 * failing call frees them twice (fixed in 2.12). */
static rd_kafka_resp_err_t produce_with_headers(struct writer *writer,
                                                const struct outgoing *outgoing, void *opaque)
{
    rd_kafka_headers_t *headers = collect_headers(outgoing);
    rd_kafka_resp_err_t code = rd_kafka_producev(
        writer->client.handle, RD_KAFKA_V_RKT(writer->topics[outgoing->topic]),
        RD_KAFKA_V_PARTITION(outgoing->partition), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_KEY(outgoing->key.data, outgoing->key.size),
        RD_KAFKA_V_VALUE((void *)(uintptr_t)outgoing->value.data, outgoing->value.size),
        RD_KAFKA_V_TIMESTAMP(outgoing->timestamp_ms), RD_KAFKA_V_HEADERS(headers),
        RD_KAFKA_V_OPAQUE(opaque), RD_KAFKA_V_END);

    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        rd_kafka_headers_destroy(headers);
    return code;
}

static rd_kafka_resp_err_t produce_plain(struct writer *writer, const struct outgoing *outgoing,
                                         void *opaque)
{
    if (rd_kafka_produce(writer->topics[outgoing->topic], outgoing->partition, RD_KAFKA_MSG_F_COPY,
                         (void *)(uintptr_t)outgoing->value.data, outgoing->value.size,
                         outgoing->key.data, outgoing->key.size, opaque) == 0)
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    return rd_kafka_last_error();
}

static enum status fail_produce(struct writer *writer, enum topic topic, rd_kafka_resp_err_t code,
                                struct failure *failure)
{
    char doing[CLIENT_TEXT_MAX];

    if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL)
        return STATUS_FULL;
    /* The library has voided the transaction on its own: a delivery failed. */
    if (code == RD_KAFKA_RESP_ERR__STATE && writer->is_transactional) {
        writer->transaction = TRANSACTION_VOID;
        if (atomic_load(&writer->is_broken))
            return give_broken(writer, failure);
        return failure_set(failure, REMEDY_ROLL_BACK, "the transaction is void");
    }
    snprintf(doing, sizeof doing, "produce to %s", writer->client.names[topic]);
    return client_fail(&writer->client, code, doing, NULL, failure);
}

enum status writer_produce(struct writer *writer, const struct outgoing *outgoing,
                           struct failure *failure)
{
    enum status status;
    rd_kafka_resp_err_t code;
    void *opaque = (void *)(uintptr_t)writer->parity;

    if (atomic_load(&writer->is_broken) && !writer->is_transactional)
        return give_broken(writer, failure);
    status = open_topic(writer, outgoing->topic, failure);
    if (status == STATUS_OK && writer->is_transactional)
        status = begin(writer, failure);
    if (status != STATUS_OK)
        return status;
    if (outgoing->header_count > 0 || outgoing->origin != NULL || outgoing->timestamp_ms != 0)
        code = produce_with_headers(writer, outgoing, opaque);
    else
        code = produce_plain(writer, outgoing, opaque);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return fail_produce(writer, outgoing->topic, code, failure);
    if (!writer->is_transactional)
        writer->undelivered[writer->parity]++;
    return STATUS_OK;
}

enum status writer_serve(struct writer *writer, int64_t timeout_ms, struct failure *failure)
{
    /* The committer takes the reports while it works. */
    if (writer->transaction != TRANSACTION_COMMITTING)
        rd_kafka_poll(writer->client.handle, (int)timeout_ms);
    if (atomic_load(&writer->is_broken) && !writer->is_transactional)
        return give_broken(writer, failure);
    return STATUS_OK;
}

/* ---- commit, transactional ---- */

static enum status start_transaction_end(struct writer *writer, const struct position *positions,
                                         uint32_t count, struct failure *failure)
{
    struct committer *committer = &writer->committer;
    rd_kafka_topic_partition_list_t *offsets = NULL;
    enum status status;

    if (writer->transaction == TRANSACTION_NONE && count == 0)
        return STATUS_OK; /* nothing to commit */
    status = begin(writer, failure);
    if (status != STATUS_OK)
        return status;
    if (count > 0)
        offsets = group_offsets(writer->group, positions, count);
    if (offsets != NULL && offsets->cnt == 0) {
        rd_kafka_topic_partition_list_destroy(offsets);
        offsets = NULL;
    }
    /* The membership of this moment, taken on the thread that serves the group: one that is
     * older or newer than the positions could pass for somebody else's. */
    if (offsets != NULL)
        status = group_membership(writer->group, &committer->metadata, failure);
    if (status != STATUS_OK) {
        rd_kafka_topic_partition_list_destroy(offsets);
        writer->transaction = TRANSACTION_VOID;
        return status;
    }
    pthread_mutex_lock(&committer->lock);
    committer->offsets = offsets;
    committer->job = JOB_ASKED;
    pthread_cond_broadcast(&committer->changed);
    pthread_mutex_unlock(&committer->lock);
    writer->transaction = TRANSACTION_COMMITTING;
    return STATUS_OK;
}

static enum status wait_transaction_end(struct writer *writer, int64_t timeout_ms,
                                        struct failure *failure)
{
    struct committer *committer = &writer->committer;

    if (writer->transaction != TRANSACTION_COMMITTING)
        return STATUS_OK;
    if (!wait_for_committer(committer, timeout_ms))
        return STATUS_AGAIN;
    pthread_mutex_lock(&committer->lock);
    committer->job = JOB_NONE;
    clear_job(committer);
    pthread_mutex_unlock(&committer->lock);
    if (committer->status == STATUS_OK) {
        writer->transaction = TRANSACTION_NONE;
        return STATUS_OK;
    }
    writer->transaction = TRANSACTION_VOID;
    if (failure != NULL)
        *failure = committer->failure;
    return STATUS_BROKEN;
}

enum status writer_abort(struct writer *writer, struct failure *failure)
{
    enum status status;

    if (!writer->is_transactional)
        return STATUS_OK;
    if (writer->transaction == TRANSACTION_COMMITTING) {
        wait_for_committer(&writer->committer, -1);
        if (wait_transaction_end(writer, 0, NULL) == STATUS_OK)
            return STATUS_OK; /* it was committed after all */
    }
    if (writer->transaction == TRANSACTION_NONE)
        return STATUS_OK;
    status = judge(writer, "voiding a transaction",
                   rd_kafka_abort_transaction(writer->client.handle, TRANSACTION_STEP_MS), failure);
    if (status == STATUS_AGAIN)
        return failure_set(failure, REMEDY_RETRY, "voiding a transaction: no answer yet");
    if (status != STATUS_OK)
        return status;
    metric_add(writer->rollbacks, 1);
    writer->transaction = TRANSACTION_NONE;
    return STATUS_OK;
}

/* ---- commit, at least once ---- */

static void on_stored(rd_kafka_t *handle, rd_kafka_resp_err_t code,
                      rd_kafka_topic_partition_list_t *offsets, void *opaque)
{
    struct writer *writer = opaque;

    (void)handle;
    /* The call as a whole may succeed while a partition fails. */
    for (int index = 0; offsets != NULL && index < offsets->cnt; index++)
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
            code = offsets->elems[index].err;
    writer->stored_code = code;
    writer->stage = STAGE_STORED;
}

static enum status start_store(struct writer *writer, const struct position *positions,
                               uint32_t count, struct failure *failure)
{
    if (writer->stage != STAGE_IDLE)
        return STATUS_AGAIN;
    if (atomic_load(&writer->is_broken))
        return give_broken(writer, failure);
    if (count > 0) {
        assert(writer->group != NULL);
        writer->offsets = group_offsets(writer->group, positions, count);
    }
    /* All of the parity before the last one was delivered, or that commit would not have ended. */
    writer->parity ^= 1;
    writer->stage = STAGE_DELIVERING;
    return STATUS_OK;
}

static void end_store(struct writer *writer)
{
    if (writer->offsets != NULL)
        rd_kafka_topic_partition_list_destroy(writer->offsets);
    writer->offsets = NULL;
    writer->stage = STAGE_IDLE;
}

static enum status send_offsets(struct writer *writer, struct failure *failure)
{
    rd_kafka_consumer_group_metadata_t *metadata = NULL;
    enum status status = group_membership(writer->group, &metadata, failure);

    if (status != STATUS_OK)
        return status;
    rd_kafka_consumer_group_metadata_destroy(metadata);
    writer->stage = STAGE_STORING;
    rd_kafka_resp_err_t code = rd_kafka_commit_queue(
        group_client(writer->group)->handle, writer->offsets, writer->stored, on_stored, writer);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return STATUS_OK;
    writer->stage = STAGE_DELIVERING;
    return client_fail(group_client(writer->group), code, "committing positions", NULL, failure);
}

static enum status finish_store(struct writer *writer, struct failure *failure)
{
    rd_kafka_resp_err_t code = writer->stored_code;

    switch (code) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
    case RD_KAFKA_RESP_ERR__NO_OFFSET:
        end_store(writer);
        return STATUS_OK;
    case RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS:
        end_store(writer);
        /* Our part of the rebalance comes with the next poll. Inside it, it is too late. */
        return failure_set(failure,
                           group_is_rebalancing(writer->group) ? REMEDY_ROLL_BACK : REMEDY_RETRY,
                           "committing positions: the group is being rebalanced");
    case RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID:
    case RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST:
        end_store(writer);
        return failure_set(failure, REMEDY_ROLL_BACK,
                           "committing positions: the group has moved on (%s)",
                           rd_kafka_err2name(code));
    default:
        break;
    }
    struct failure found = {0};
    client_fail(group_client(writer->group), code, "committing positions", NULL, &found);
    if (found.remedy == REMEDY_RETRY) {
        /* A coordinator that is away: the same offsets again. */
        writer->stage = STAGE_DELIVERING;
        return STATUS_AGAIN;
    }
    end_store(writer);
    if (failure != NULL)
        *failure = found;
    return STATUS_BROKEN;
}

/* One step of waiting at most; the caller comes again. */
static enum status wait_store(struct writer *writer, int64_t timeout_ms, struct failure *failure)
{
    enum status status;

    if (writer->stage == STAGE_IDLE)
        return STATUS_OK;
    status = writer_serve(writer, 0, failure);
    if (status == STATUS_OK && writer->stage == STAGE_DELIVERING &&
        writer->undelivered[writer->parity ^ 1] > 0)
        status = writer_serve(writer, timeout_ms, failure);
    if (status != STATUS_OK) {
        end_store(writer);
        return status;
    }
    if (writer->stage == STAGE_DELIVERING && writer->undelivered[writer->parity ^ 1] > 0)
        return STATUS_AGAIN;
    if (writer->stage == STAGE_DELIVERING) {
        if (writer->offsets == NULL || writer->offsets->cnt == 0) {
            end_store(writer);
            return STATUS_OK;
        }
        status = send_offsets(writer, failure);
        if (status != STATUS_OK) {
            end_store(writer);
            return status;
        }
    }
    if (writer->stage == STAGE_STORING)
        rd_kafka_queue_poll_callback(writer->stored, (int)timeout_ms);
    return writer->stage == STAGE_STORED ? finish_store(writer, failure) : STATUS_AGAIN;
}

/* ---- the door's two calls ---- */

enum status writer_commit_start(struct writer *writer, const struct position *positions,
                                uint32_t count, struct failure *failure)
{
    enum status status;

    if (writer->is_transactional)
        status = start_transaction_end(writer, positions, count, failure);
    else
        status = start_store(writer, positions, count, failure);
    if (status == STATUS_OK)
        writer->commit_started_ns = clock_monotonic_ns(clock_system());
    return status;
}

enum status writer_commit_wait(struct writer *writer, int64_t timeout_ms, struct failure *failure)
{
    bool is_under_way =
        writer->transaction == TRANSACTION_COMMITTING || writer->stage != STAGE_IDLE;
    enum status status = writer->is_transactional
                             ? wait_transaction_end(writer, timeout_ms, failure)
                             : wait_store(writer, timeout_ms, failure);

    if (status == STATUS_OK && is_under_way)
        metric_observe(writer->commit_seconds,
                       (double)(clock_monotonic_ns(clock_system()) - writer->commit_started_ns) /
                           1e9);
    return status;
}
