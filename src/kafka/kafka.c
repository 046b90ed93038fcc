/*
 * The door: a group member, a writer and a hall of readers behind one context.
 */
#include "kafka/kafka.h"

#include <assert.h>
#include <librdkafka/rdkafka.h>
#include <stdlib.h>

#include "kafka/client.h"
#include "kafka/group.h"
#include "kafka/reader.h"
#include "kafka/writer.h"

struct kafka {
    struct kafka_setup setup; /* a copy: group, writer and hall point here */
    char *name;
    char *topic_names[TOPIC_COUNT];
    struct group *group; /* NULL: a side transport */
    struct writer *writer;
    struct reader_hall *hall; /* opened when it is first needed */
};

static enum status need_hall(struct kafka *kafka, struct failure *failure)
{
    return kafka->hall != NULL
               ? STATUS_OK
               : reader_hall_open(&kafka->setup, "read_committed", &kafka->hall, failure);
}

/* Any consumer will do for questions; only they ask for the last stable offset. */
static enum status need_client(struct kafka *kafka, struct client **client, struct failure *failure)
{
    enum status status = STATUS_OK;

    if (kafka->group != NULL) {
        *client = group_client(kafka->group);
        return STATUS_OK;
    }
    status = need_hall(kafka, failure);
    if (status == STATUS_OK)
        *client = reader_hall_client(kafka->hall);
    return status;
}

static enum status door_subscribe(void *context, const enum topic *topics, uint32_t count,
                                  const struct transport_listener *listener,
                                  struct failure *failure)
{
    struct kafka *kafka = context;

    assert(kafka->group != NULL);
    return group_subscribe(kafka->group, topics, count, listener, failure);
}

static enum status door_resume(void *context, const struct position *positions, uint32_t count,
                               struct failure *failure)
{
    struct kafka *kafka = context;

    assert(kafka->group != NULL);
    return group_resume(kafka->group, positions, count, failure);
}

static enum status door_poll(void *context, struct record *records, uint32_t max,
                             int64_t timeout_ms, uint32_t *count, struct failure *failure)
{
    struct kafka *kafka = context;
    bool has_room = kafka->group != NULL && max > 0;
    /* With no room to read, the wait is for deliveries. */
    enum status status = writer_serve(kafka->writer, has_room ? 0 : timeout_ms, failure);

    *count = 0;
    if (status != STATUS_OK || !has_room)
        return status;
    if (group_is_spent(kafka->group)) {
        writer_let_go(kafka->writer);
        status = group_replace(kafka->group, failure);
    }
    if (status != STATUS_OK)
        return status;
    return group_poll(kafka->group, records, max, timeout_ms, count, failure);
}

static struct view door_header(void *context, const struct record *record, const char *name)
{
    rd_kafka_headers_t *headers = NULL;
    const void *value = NULL;
    size_t size = 0;

    (void)context;
    if (rd_kafka_message_headers(record->handle, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        rd_kafka_header_get_last(headers, name, &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return (struct view){0};
    return (struct view){value, (uint32_t)size};
}

static bool door_header_at(void *context, const struct record *record, uint32_t index,
                           struct header *header)
{
    rd_kafka_headers_t *headers = NULL;
    const void *value = NULL;
    size_t size = 0;

    (void)context;
    if (rd_kafka_message_headers(record->handle, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        rd_kafka_header_get_all(headers, index, &header->name, &value, &size) !=
            RD_KAFKA_RESP_ERR_NO_ERROR)
        return false;
    header->value = (struct view){value, (uint32_t)size};
    return true;
}

static struct view door_topic_name(void *context, enum topic topic)
{
    return view_of(((struct kafka *)context)->topic_names[topic]);
}

static enum status door_produce(void *context, const struct outgoing *outgoing,
                                struct failure *failure)
{
    return writer_produce(((struct kafka *)context)->writer, outgoing, failure);
}

static enum status door_commit_start(void *context, const struct position *positions,
                                     uint32_t count, struct failure *failure)
{
    return writer_commit_start(((struct kafka *)context)->writer, positions, count, failure);
}

static enum status door_commit_wait(void *context, int64_t timeout_ms, struct failure *failure)
{
    return writer_commit_wait(((struct kafka *)context)->writer, timeout_ms, failure);
}

static enum status door_abort(void *context, struct failure *failure)
{
    return writer_abort(((struct kafka *)context)->writer, failure);
}

static enum status door_committed(void *context, struct position *positions, uint32_t count,
                                  struct failure *failure)
{
    struct kafka *kafka = context;

    assert(kafka->group != NULL);
    return group_committed(kafka->group, positions, count, failure);
}

static enum status door_partition_count(void *context, enum topic topic, int32_t *count,
                                        struct failure *failure)
{
    struct client *client = NULL;
    enum status status = need_client(context, &client, failure);

    return status != STATUS_OK ? status : client_partition_count(client, topic, count, failure);
}

static enum status door_bounds(void *context, enum topic topic, int32_t partition, int64_t *first,
                               int64_t *next, struct failure *failure)
{
    struct client *client = NULL;
    enum status status = need_client(context, &client, failure);

    return status != STATUS_OK ? status
                               : client_bounds(client, topic, partition, first, next, failure);
}

static int64_t door_known_end(void *context, enum topic topic, int32_t partition)
{
    struct kafka *kafka = context;

    assert(kafka->group != NULL);
    return group_known_end(kafka->group, topic, partition);
}

static enum status door_reader_open(void *context, enum topic topic, int32_t partition,
                                    int64_t from, struct transport_reader **reader,
                                    struct failure *failure)
{
    struct kafka *kafka = context;
    enum status status = need_hall(kafka, failure);

    return status != STATUS_OK ? status
                               : reader_open(kafka->hall, topic, partition, from, reader, failure);
}

/* The writer first: it asks the group for its membership until its last commit has ended. */
static void door_close(void *context)
{
    struct kafka *kafka = context;

    reader_hall_close(kafka->hall);
    writer_close(kafka->writer);
    group_close(kafka->group);
    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        free(kafka->topic_names[topic]);
    free(kafka->name);
    free(kafka);
}

static const struct transport_door door = {
    .subscribe = door_subscribe,
    .resume = door_resume,
    .poll = door_poll,
    .header = door_header,
    .header_at = door_header_at,
    .topic_name = door_topic_name,
    .produce = door_produce,
    .commit_start = door_commit_start,
    .commit_wait = door_commit_wait,
    .abort = door_abort,
    .committed = door_committed,
    .partition_count = door_partition_count,
    .bounds = door_bounds,
    .known_end = door_known_end,
    .reader_open = door_reader_open,
    .reader_poll = reader_poll,
    .reader_close = reader_close,
    .close = door_close,
};

static enum status open_group(struct kafka *kafka, struct failure *failure)
{
    const struct kafka_setup *setup = &kafka->setup;
    char *group_id = NULL;
    enum status status;

    if (setup->role == KAFKA_SIDE)
        return STATUS_OK;
    if (asprintf(&group_id, "%s%s%s", setup->options->group_id,
                 setup->role == KAFKA_SINK ? "-" : "",
                 setup->role == KAFKA_SINK ? setup->name : "") < 0)
        abort();
    status = group_open(setup, group_id, &kafka->group, failure);
    if (status == STATUS_OK)
        status = client_wait_ready(group_client(kafka->group), setup, failure);
    free(group_id);
    return status;
}

enum status kafka_open(const struct kafka_setup *setup, struct transport *out,
                       struct failure *failure)
{
    struct kafka *kafka = calloc(1, sizeof *kafka);
    enum status status;

    if (kafka == NULL || asprintf(&kafka->name, "%s", setup->name) < 0)
        abort();
    assert(!setup->is_transactional || setup->role == KAFKA_PROCESSOR);
    kafka->setup = *setup;
    kafka->setup.name = kafka->name;
    client_name_topics(setup->options, kafka->topic_names);
    status = open_group(kafka, failure);
    if (status == STATUS_OK)
        status = writer_open(&kafka->setup, kafka->group, &kafka->writer, failure);
    if (status != STATUS_OK) {
        door_close(kafka);
        return status;
    }
    *out = (struct transport){&door, kafka};
    return STATUS_OK;
}
