/*
 * Two ways to commit: transaction.h, results and positions together; receipt.h,
 * positions behind the deliveries. An idempotent producer without a message timeout only
 * ever delays, so with the second a broker outage holds commits up and loses nothing.
 */
#include "kafka/writer.h"

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "kafka/client.h"
#include "kafka/receipt.h"
#include "kafka/transaction.h"

/* Producers replaced with no commit between them. */
enum { REPLACEMENTS_MAX = 10 };

/* A batch of one record beside key, value and headers; the lengths of a header: at most. */
enum { BATCH_HEAD_BYTES = 61 + 40, HEADER_SIZES_BYTES = 10 };

struct writer {
    struct client client;
    char transactional_id[TRANSACTIONAL_ID_MAX];
    uint32_t replacements;           /* since the last commit */
    struct transaction *transaction; /* NULL: at-least-once */
    struct receipt *receipt;         /* NULL: transactional */
    const struct kafka_setup *setup;
    bool is_transactional;
    bool is_replacing; /* a new producer is about to start its transactions */
    atomic_bool is_closing;
    rd_kafka_topic_t *topics[TOPIC_COUNT]; /* those written to so far */
    int64_t bytes_max[TOPIC_COUNT];        /* of a message there; 0: not known */
    int64_t commit_started_ns;             /* 0: none under way */
    struct metric *commit_seconds, *undelivered, *replaced;
};

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
    metric_add(writer->undelivered, 1);
    /* The transaction fails with it, and is done again, unless that would fail the same way. */
    if (writer->is_transactional && !is_refusal(message->err))
        return;
    snprintf(doing, sizeof doing, "record for %s not delivered", rd_kafka_topic_name(message->rkt));
    /* Not rd_kafka_message_errstr: for a producer it would hand out the record's own bytes. */
    client_fail(&writer->client, message->err, doing,
                message->err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE
                    ? "larger than the topic takes; set its max.message.bytes to " MESSAGE_BYTES_MAX
                      " (kafka-configs.sh --alter) and start again"
                    : rd_kafka_err2str(message->err),
                &failure);
    /* It is in nobody's hands any more, so it cannot be set aside; nor may the positions behind
     * it be committed. */
    failure.remedy = REMEDY_STOP;
    client_give_up(&writer->client, &failure);
}

/* On the owner's thread, or the committer's while a transaction ends. Registered in any case:
 * without it rd_kafka_flush looks only every 10 ms whether all is delivered. */
static void on_delivery(rd_kafka_t *handle, const rd_kafka_message_t *message, void *opaque)
{
    struct client *client = opaque;
    struct writer *writer = client->owner;

    (void)handle;
    if (writer->receipt != NULL)
        receipt_delivered(writer->receipt, (uint32_t)(uintptr_t)message->_private);
    if (writer->transaction != NULL)
        transaction_note(
            writer->transaction, client_topic_of(&writer->client, writer->topics, message->rkt),
            message->partition, message->err == RD_KAFKA_RESP_ERR_NO_ERROR ? message->offset : -1);
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR && !atomic_load(&writer->is_closing))
        note_undelivered(writer, message);
}

/* ---- opening and closing ---- */

static void register_metrics(struct writer *writer, struct metric_registry *metrics)
{
    if (metrics == NULL)
        return;
    writer->commit_seconds = metric_histogram(metrics, "weir_kafka_commit_seconds",
                                              "From the start of a commit to its end.", NULL);
    writer->undelivered = metric_counter(metrics, "weir_kafka_undelivered_total",
                                         "Records that the broker did not take.", NULL);
    writer->replaced = metric_counter(metrics, "weir_kafka_producers_replaced_total",
                                      "Transactional producers that broke down.", NULL);
}

static enum status open_producer(struct writer *writer, struct failure *failure)
{
    rd_kafka_conf_t *conf = client_configure(writer->setup->options, CLIENT_PRODUCER, NULL);

    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    if (writer->is_transactional)
        transaction_configure(writer->setup, writer->transactional_id, conf);
    else
        client_set(conf, "message.timeout.ms", "0"); /* never give up */
    return client_open(&writer->client, writer->setup->options, CLIENT_PRODUCER, conf,
                       writer->setup->name, writer, failure);
}

static void close_producer(struct writer *writer)
{
    if (writer->client.handle != NULL) {
        rd_kafka_purge(writer->client.handle, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        rd_kafka_poll(writer->client.handle, 0);
    }
    for (int topic = 0; topic < TOPIC_COUNT; topic++) {
        if (writer->topics[topic] != NULL)
            rd_kafka_topic_destroy(writer->topics[topic]);
        writer->topics[topic] = NULL;
    }
    client_close(&writer->client); /* reports may still come out of it */
}

enum status writer_open(const struct kafka_setup *setup, struct group *group, struct writer **out,
                        struct failure *failure)
{
    struct writer *writer = calloc(1, sizeof *writer);
    enum status status;

    if (writer == NULL)
        abort();
    writer->setup = setup;
    writer->is_transactional = setup->is_transactional;
    register_metrics(writer, setup->metrics);
    if (writer->is_transactional)
        transaction_name(setup, writer->transactional_id);
    status = open_producer(writer, failure);
    if (status == STATUS_OK && group == NULL)
        status = client_wait_ready(&writer->client, setup, failure);
    if (status == STATUS_OK && setup->is_transactional)
        status = transaction_open(setup, &writer->client, group, &writer->transaction, failure);
    else if (status == STATUS_OK)
        writer->receipt = receipt_create(&writer->client, group);
    if (status != STATUS_OK) {
        writer_close(writer);
        return status;
    }
    *out = writer;
    return STATUS_OK;
}

void writer_close(struct writer *writer)
{
    if (writer == NULL)
        return;
    atomic_store(&writer->is_closing, true);
    transaction_close(writer->transaction);
    writer->transaction = NULL; /* reports may still come */
    close_producer(writer);
    receipt_destroy(writer->receipt);
    free(writer);
}

/* The dead producer's records are void, like the transaction that they were part of. */
static enum status replace_producer(struct writer *writer, struct failure *failure)
{
    enum status status = STATUS_OK;

    if (!writer->is_replacing) {
        if (++writer->replacements > REPLACEMENTS_MAX)
            return failure_set(failure, REMEDY_STOP,
                               "%d producers broke down with no commit between them; the log "
                               "above says how",
                               REPLACEMENTS_MAX);
        metric_add(writer->replaced, 1);
        log_warn("kafka", "%s: a new producer takes over", writer->setup->name);
        atomic_store(&writer->is_closing, true);
        close_producer(writer);
        status = open_producer(writer, failure);
        atomic_store(&writer->is_closing, false);
        writer->is_replacing = status == STATUS_OK;
    }
    if (status == STATUS_OK)
        status = transaction_restart(writer->transaction, failure);
    if (status == STATUS_OK)
        writer->is_replacing = false;
    return status;
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
    /* What others made may be too large for the copy's topic. The broker's refusal would come when
     * the record is in nobody's hands any more. */
    if (!writer->setup->options->is_embedded &&
        (topic == TOPIC_FORWARD || topic == TOPIC_DEAD_LETTER))
        writer->bytes_max[topic] = client_message_bytes(&writer->client, topic);
    writer->topics[topic] =
        rd_kafka_topic_new(writer->client.handle, writer->client.names[topic], NULL);
    return STATUS_OK;
}

static bool is_too_large(const struct writer *writer, const struct outgoing *outgoing)
{
    const int64_t bytes_max = writer->bytes_max[outgoing->topic];
    int64_t bytes = BATCH_HEAD_BYTES + (int64_t)outgoing->key.size + (int64_t)outgoing->value.size;

    for (uint32_t index = 0; index < outgoing->header_count; index++)
        bytes += (int64_t)strlen(outgoing->headers[index].name) +
                 (int64_t)outgoing->headers[index].value.size + HEADER_SIZES_BYTES;
    return bytes_max > 0 && bytes > bytes_max;
}

static rd_kafka_headers_t *collect_headers(const struct outgoing *outgoing)
{
    rd_kafka_headers_t *all = rd_kafka_headers_new(outgoing->header_count);

    for (uint32_t index = 0; index < outgoing->header_count; index++) {
        const struct header *header = &outgoing->headers[index];
        rd_kafka_header_add(all, header->name, -1, header->value.data, (ssize_t)header->value.size);
    }
    return all;
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
        transaction_set_void(writer->transaction);
        return transaction_begin(writer->transaction, failure); /* says so */
    }
    snprintf(doing, sizeof doing, "produce to %s", writer->client.names[topic]);
    client_fail(&writer->client, code, doing, NULL, failure);
    if (writer->is_transactional && transaction_is_spent(writer->transaction)) {
        transaction_set_void(writer->transaction);
        if (failure != NULL)
            failure->remedy = REMEDY_ROLL_BACK;
    }
    return STATUS_BROKEN;
}

enum status writer_produce(struct writer *writer, const struct outgoing *outgoing,
                           struct failure *failure)
{
    enum status status = open_topic(writer, outgoing->topic, failure);
    rd_kafka_resp_err_t code;
    uint32_t mark = 0;

    if (status == STATUS_OK && is_too_large(writer, outgoing))
        return failure_set(failure, REMEDY_SET_ASIDE,
                           "produce to %s: more than its "
                           "max.message.bytes",
                           writer->client.names[outgoing->topic]);
    if (status == STATUS_OK && writer->is_transactional)
        status = transaction_begin(writer->transaction, failure);
    else if (status == STATUS_OK && client_is_hopeless(&writer->client, failure))
        status = STATUS_BROKEN;
    if (status != STATUS_OK)
        return status;
    if (writer->receipt != NULL)
        mark = receipt_sent(writer->receipt);
    if (outgoing->header_count > 0 || outgoing->timestamp_ms != 0)
        code = client_produce(&writer->client, writer->topics[outgoing->topic], outgoing,
                              collect_headers(outgoing), (void *)(uintptr_t)mark);
    else
        code = produce_plain(writer, outgoing, (void *)(uintptr_t)mark);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return STATUS_OK;
    if (writer->receipt != NULL)
        receipt_unsent(writer->receipt, mark);
    return fail_produce(writer, outgoing->topic, code, failure);
}

enum status writer_serve(struct writer *writer, int64_t timeout_ms, struct failure *failure)
{
    if (writer->is_transactional && !writer->is_replacing)
        transaction_serve(writer->transaction);
    /* The committer takes the reports while it works. */
    if (!writer->is_transactional || !transaction_is_ending(writer->transaction))
        rd_kafka_poll(writer->client.handle, (int)timeout_ms);
    return !writer->is_transactional && client_is_hopeless(&writer->client, failure) ? STATUS_BROKEN
                                                                                     : STATUS_OK;
}

/* ---- commit ---- */

enum status writer_commit_start(struct writer *writer, const struct position *positions,
                                uint32_t count, struct failure *failure)
{
    enum status status = writer->is_transactional
                             ? transaction_end(writer->transaction, positions, count, failure)
                             : receipt_start(writer->receipt, positions, count, failure);

    if (status == STATUS_OK)
        writer->commit_started_ns = clock_monotonic_ns(clock_system());
    return status;
}

enum status writer_commit_wait(struct writer *writer, int64_t timeout_ms, struct failure *failure)
{
    enum status status = writer->is_transactional
                             ? transaction_wait(writer->transaction, timeout_ms, failure)
                             : receipt_wait(writer->receipt, timeout_ms, failure);

    if (status == STATUS_OK && writer->commit_started_ns != 0) {
        writer->replacements = 0;
        metric_observe(writer->commit_seconds,
                       (double)(clock_monotonic_ns(clock_system()) - writer->commit_started_ns) /
                           1e9);
    }
    if (status != STATUS_AGAIN)
        writer->commit_started_ns = 0;
    return status;
}

enum status writer_abort(struct writer *writer, struct failure *failure)
{
    enum status status = STATUS_OK;

    if (!writer->is_transactional) {
        receipt_let_go(writer->receipt);
        return STATUS_OK;
    }
    if (!writer->is_replacing)
        status = transaction_abort(writer->transaction, failure);
    if (status == STATUS_OK && (writer->is_replacing || transaction_is_spent(writer->transaction)))
        status = replace_producer(writer, failure);
    return status;
}

void writer_let_go(struct writer *writer)
{
    if (writer->is_transactional)
        transaction_let_go(writer->transaction);
    else
        receipt_let_go(writer->receipt);
}
