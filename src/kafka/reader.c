/*
 * The library's "simple consumer": one handle, started and stopped by the partition, with
 * no group behind it. Unlike assign, starting one reader does not disturb another.
 */
#include "kafka/reader.h"

#include <assert.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "kafka/client.h"
#include "kafka/loan.h"

static const char room[] = "kafka";

struct reader_hall {
    struct client client;
    struct transport_reader *first;
};

struct transport_reader {
    struct reader_hall *hall;
    struct transport_reader *next;
    enum topic topic;
    int32_t partition;
    int64_t expected;
    rd_kafka_topic_t *handle;
    rd_kafka_queue_t *queue;
    struct loan loan;
    rd_kafka_resp_err_t fault; /* to be faced before more is read */
    bool is_at_end;
    bool is_end_said; /* later polls wait before they say it again */
};

struct client *reader_hall_client(struct reader_hall *hall)
{
    return &hall->client;
}

enum status reader_hall_open(const struct kafka_setup *setup, const char *isolation,
                             struct reader_hall **out, struct failure *failure)
{
    struct reader_hall *hall = calloc(1, sizeof *hall);
    rd_kafka_conf_t *conf = client_configure(setup->options, CLIENT_READER, NULL);
    enum status status;

    if (hall == NULL)
        abort();
    client_set(conf, "enable.partition.eof", "true");
    client_set(conf, "isolation.level", isolation);
    status =
        client_open(&hall->client, setup->options, CLIENT_READER, conf, setup->name, hall, failure);
    if (status != STATUS_OK) {
        free(hall);
        return status;
    }
    *out = hall;
    return STATUS_OK;
}

void reader_hall_close(struct reader_hall *hall)
{
    struct transport_reader *next;

    if (hall == NULL)
        return;
    for (struct transport_reader *reader = hall->first; reader != NULL; reader = next) {
        next = reader->next;
        reader_close(reader);
    }
    client_close(&hall->client);
    free(hall);
}

static enum status check_free(struct reader_hall *hall, enum topic topic, int32_t partition)
{
    for (const struct transport_reader *reader = hall->first; reader != NULL; reader = reader->next)
        if (reader->topic == topic && reader->partition == partition)
            return STATUS_FULL;
    return STATUS_OK;
}

enum status reader_open(struct reader_hall *hall, enum topic topic, int32_t partition, int64_t from,
                        struct transport_reader **out, struct failure *failure)
{
    const char *name = hall->client.names[topic];
    struct transport_reader *reader;
    int32_t count;
    char doing[CLIENT_TEXT_MAX];
    enum status status;

    assert(check_free(hall, topic, partition) == STATUS_OK);
    snprintf(doing, sizeof doing, "read %s[%d]", name, (int)partition);
    status = client_partition_count(&hall->client, topic, &count, failure);
    if (status != STATUS_OK)
        return status;
    if (partition < 0 || partition >= count)
        return client_fail(&hall->client, RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, doing, NULL,
                           failure);
    reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        abort();
    reader->hall = hall;
    reader->topic = topic;
    reader->partition = partition;
    reader->expected = from == POSITION_NONE ? POSITION_BEGINNING : from;
    reader->handle = rd_kafka_topic_new(hall->client.handle, name, NULL);
    reader->queue = rd_kafka_queue_new(hall->client.handle);
    if (rd_kafka_consume_start_queue(reader->handle, partition, reader->expected, reader->queue) !=
        0) {
        status = client_fail(&hall->client, rd_kafka_last_error(), doing, NULL, failure);
        rd_kafka_queue_destroy(reader->queue);
        rd_kafka_topic_destroy(reader->handle);
        free(reader);
        return status;
    }
    reader->next = hall->first;
    hall->first = reader;
    *out = reader;
    return STATUS_OK;
}

void reader_close(struct transport_reader *reader)
{
    struct transport_reader **link;

    if (reader == NULL)
        return;
    loan_free(&reader->loan);
    rd_kafka_consume_stop(reader->handle, reader->partition);
    rd_kafka_queue_destroy(reader->queue);
    rd_kafka_topic_destroy(reader->handle);
    for (link = &reader->hall->first; *link != reader; link = &(*link)->next)
        ;
    *link = reader->next;
    free(reader);
}

/* The log does not have the offset that we wanted: on with the oldest it has. For the journal
 * and the commands that is right, since what is gone is covered by a newer snapshot or by
 * nothing at all; the reader sees the jump in the offsets. */
static enum status face_reset(struct transport_reader *reader, struct failure *failure)
{
    struct client *client = &reader->hall->client;
    int64_t first, next;
    enum status status =
        client_bounds(client, reader->topic, reader->partition, &first, &next, failure);

    if (status != STATUS_OK)
        return status;
    int64_t from = reader->expected > next ? next : first;
    log_warn(room, "%s[%d]: offset %lld is not in the log (%lld to %lld); reading on at %lld",
             client->names[reader->topic], (int)reader->partition, (long long)reader->expected,
             (long long)first, (long long)next, (long long)from);
    reader->expected = from;
    rd_kafka_consume_stop(reader->handle, reader->partition);
    if (rd_kafka_consume_start_queue(reader->handle, reader->partition, from, reader->queue) != 0)
        return client_fail(client, rd_kafka_last_error(), client->names[reader->topic], NULL,
                           failure);
    return STATUS_OK;
}

/* While it cannot be, it stays, and nothing is read beyond it. */
static enum status face_fault(struct transport_reader *reader, struct failure *failure)
{
    struct client *client = &reader->hall->client;
    enum status status;

    if (reader->fault == RD_KAFKA_RESP_ERR_NO_ERROR)
        return STATUS_OK;
    status = reader->fault == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET
                 ? face_reset(reader, failure)
                 : client_fail(client, reader->fault, client->names[reader->topic], NULL, failure);
    if (status == STATUS_OK)
        reader->fault = RD_KAFKA_RESP_ERR_NO_ERROR;
    return status;
}

static void note_error(struct transport_reader *reader, const rd_kafka_message_t *message)
{
    switch (message->err) {
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
        reader->is_at_end = true;
        break;
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        reader->fault = message->err;
        break;
    default:
        log_warn(room, "%s[%d]: %s", reader->hall->client.names[reader->topic],
                 (int)reader->partition, rd_kafka_message_errstr(message));
    }
}

enum status reader_poll(struct transport_reader *reader, struct record *records, uint32_t max,
                        int64_t timeout_ms, uint32_t *count, struct failure *failure)
{
    enum status status;
    uint32_t kept = 0;

    *count = 0;
    loan_release(&reader->loan);
    if (max == 0)
        return STATUS_OK;
    status = face_fault(reader, failure);
    if (status != STATUS_OK)
        return status;
    if (reader->is_at_end && !reader->is_end_said)
        timeout_ms = 0;
    rd_kafka_poll(reader->hall->client.handle, 0);
    uint32_t fetched = loan_fetch(&reader->loan, reader->queue, max, timeout_ms);
    for (uint32_t index = 0; index < fetched; index++) {
        rd_kafka_message_t *message = reader->loan.messages[index];
        if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
            note_error(reader, message);
        if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR || message->offset < reader->expected) {
            rd_kafka_message_destroy(message);
            continue;
        }
        reader->is_at_end = false;
        reader->expected = message->offset + 1;
        loan_fill_record(&records[kept], message, reader->topic);
        reader->loan.messages[kept++] = message;
    }
    reader->loan.count = kept;
    *count = kept;
    if (kept > 0 || !reader->is_at_end) {
        reader->is_end_said = false;
        /* What came before a fault is the caller's; the fault waits for the next poll. */
        return kept > 0 ? STATUS_OK : face_fault(reader, failure);
    }
    reader->is_end_said = true;
    return STATUS_END;
}
