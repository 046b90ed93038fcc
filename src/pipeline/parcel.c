#include "pipeline/parcel.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event/letter.h"

/* Added to a record that is too large. */
enum { CUT_HEADERS_MAX = 1 + LETTER_HEADERS_MAX };

/* A run of the queue's bytes; is_absent: null, which is not the same as empty. */
struct piece {
    size_t at;
    uint32_t size;
    bool is_absent;
};

struct parcel_header {
    size_t name_at; /* with its zero */
    struct piece value;
};

struct parcel {
    enum topic topic;
    int32_t partition;
    int64_t timestamp_ms; /* 0: now */
    struct piece key, value;
    uint32_t header_first, header_count;
    uint32_t own_count; /* those of the record, which come first */
    bool is_record;
};

void parcel_queue_init(struct parcel_queue *queue)
{
    *queue = (struct parcel_queue){0};
    byte_writer_init(&queue->bytes);
}

void parcel_queue_free(struct parcel_queue *queue)
{
    free(queue->parcels);
    free(queue->headers);
    free(queue->leaving);
    byte_writer_free(&queue->bytes);
    *queue = (struct parcel_queue){0};
}

void parcel_queue_reset(struct parcel_queue *queue)
{
    queue->count = 0;
    queue->next = 0;
    queue->header_count = 0;
    byte_writer_reset(&queue->bytes);
}

static struct piece put_piece(struct parcel_queue *queue, struct view view)
{
    struct piece piece = {queue->bytes.size, view.size, view_is_absent(view)};

    byte_put(&queue->bytes, view.data, view.size);
    return piece;
}

static struct view view_piece(const struct parcel_queue *queue, struct piece piece)
{
    return piece.is_absent
               ? (struct view){0}
               : (struct view){byte_writer_view(&queue->bytes).data + piece.at, piece.size};
}

static struct parcel *add_parcel(struct parcel_queue *queue, enum topic topic, int32_t partition,
                                 struct view key)
{
    if (queue->count == queue->capacity) {
        queue->capacity = queue->capacity == 0 ? 64 : 2 * queue->capacity;
        queue->parcels = realloc(queue->parcels, queue->capacity * sizeof(*queue->parcels));
        if (queue->parcels == NULL)
            abort();
    }
    struct parcel *parcel = &queue->parcels[queue->count];
    *parcel = (struct parcel){.topic = topic,
                              .partition = partition,
                              .key = put_piece(queue, key),
                              .header_first = queue->header_count};
    return parcel;
}

struct byte_writer *parcel_begin(struct parcel_queue *queue, enum topic topic, int32_t partition,
                                 struct view key)
{
    struct parcel *parcel = add_parcel(queue, topic, partition, key);

    parcel->value.at = queue->bytes.size;
    return &queue->bytes;
}

void parcel_end(struct parcel_queue *queue)
{
    struct piece *value = &queue->parcels[queue->count].value;

    value->size = (uint32_t)(queue->bytes.size - value->at);
    queue->count++;
}

void parcel_cancel(struct parcel_queue *queue)
{
    queue->bytes.size = queue->parcels[queue->count].key.at;
}

static void add_header(struct parcel_queue *queue, struct parcel *parcel,
                       const struct header *header)
{
    struct parcel_header *place;

    if (queue->header_count == queue->header_capacity) {
        queue->header_capacity = queue->header_capacity == 0 ? 64 : 2 * queue->header_capacity;
        queue->headers = realloc(queue->headers, queue->header_capacity * sizeof(*queue->headers));
        queue->leaving = realloc(queue->leaving, (queue->header_capacity + CUT_HEADERS_MAX) *
                                                     sizeof(*queue->leaving));
        if (queue->headers == NULL || queue->leaving == NULL)
            abort();
    }
    place = &queue->headers[queue->header_count++];
    parcel->header_count++;
    place->name_at = queue->bytes.size;
    byte_put(&queue->bytes, header->name, strlen(header->name) + 1);
    place->value = put_piece(queue, header->value);
}

static bool has_header(const struct letter *letter, const char *name)
{
    for (uint32_t i = 0; i < letter->header_count; i++)
        if (strcmp(letter->headers[i].name, name) == 0)
            return true;
    return false;
}

void parcel_add_record(struct parcel_queue *queue, enum topic topic, int32_t partition,
                       const struct transport *transport, const struct record *record,
                       const struct letter *letter)
{
    struct parcel *parcel = add_parcel(queue, topic, partition, record->key);
    struct header header;

    assert(letter->header_count > 0);
    parcel->is_record = true;
    parcel->value = put_piece(queue, record->value);
    parcel->timestamp_ms = record->timestamp_ms > 0 ? record->timestamp_ms : 0;
    for (uint32_t i = 0; transport->door->header_at(transport->context, record, i, &header); i++)
        if (!has_header(letter, header.name))
            add_header(queue, parcel, &header);
    parcel->own_count = parcel->header_count;
    for (uint32_t i = 0; i < letter->header_count; i++)
        add_header(queue, parcel, &letter->headers[i]);
    queue->count++;
}

/* The log does not take so large a record: what is well packed in a batch may be larger than
 * Weir may write. Waiting for it would stand still for ever, so a letter goes without it, and
 * says how large it is; at the source it stands still. What should have gone home is a letter
 * now, too. */
static enum status produce_cut(const struct parcel_queue *queue, const struct parcel *parcel,
                               struct outgoing *outgoing, const struct transport *transport,
                               struct failure *failure)
{
    struct header *headers = queue->leaving;
    struct letter letter = {0};
    enum status status;
    char size[24];

    snprintf(size, sizeof(size), "%" PRIu32, outgoing->value.size);
    headers[outgoing->header_count++] = (struct header){"weir.source.bytes", view_of(size)};
    if (outgoing->topic == TOPIC_FORWARD) {
        letter_add_error(&letter, "too-large", "in a foreign partition, too large to be sent home",
                         "");
        outgoing->topic = TOPIC_DEAD_LETTER;
        outgoing->partition = -1;
    }
    for (uint32_t i = 0; i < letter.header_count; i++)
        headers[outgoing->header_count++] = letter.headers[i];
    outgoing->value = (struct view){0};
    status = transport->door->produce(transport->context, outgoing, failure);
    if (status != STATUS_BROKEN || failure->remedy != REMEDY_SET_ASIDE)
        return status;
    /* Then it is a key or headers of that size. */
    outgoing->key = (struct view){0};
    outgoing->headers += parcel->own_count;
    outgoing->header_count -= parcel->own_count;
    return transport->door->produce(transport->context, outgoing, failure);
}

static enum status produce_parcel(const struct parcel_queue *queue, const struct parcel *parcel,
                                  const struct transport *transport, struct failure *failure)
{
    const char *bytes = byte_writer_view(&queue->bytes).data;
    enum status status;
    struct outgoing outgoing = {.topic = parcel->topic,
                                .partition = parcel->partition,
                                .key = view_piece(queue, parcel->key),
                                .value = view_piece(queue, parcel->value),
                                .headers = queue->leaving,
                                .header_count = parcel->header_count,
                                .timestamp_ms = parcel->timestamp_ms};

    for (uint32_t i = 0; i < parcel->header_count; i++) {
        const struct parcel_header *header = &queue->headers[parcel->header_first + i];

        queue->leaving[i] =
            (struct header){bytes + header->name_at, view_piece(queue, header->value)};
    }
    status = transport->door->produce(transport->context, &outgoing, failure);
    if (status == STATUS_BROKEN && failure->remedy == REMEDY_SET_ASIDE && parcel->is_record)
        status = produce_cut(queue, parcel, &outgoing, transport, failure);
    return status;
}

enum status parcel_flush(struct parcel_queue *queue, const struct transport *transport,
                         struct failure *failure)
{
    while (queue->next < queue->count) {
        const struct parcel *parcel = &queue->parcels[queue->next];
        enum status status = produce_parcel(queue, parcel, transport, failure);

        if (status != STATUS_OK)
            return status;
        queue->next++;
    }
    parcel_queue_reset(queue);
    return STATUS_OK;
}
