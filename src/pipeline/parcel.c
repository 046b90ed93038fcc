#include "pipeline/parcel.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Added to a record that is too large. */
enum { LETTER_HEADERS_MAX = 5 };

struct parcel_header {
    const char *name;
    size_t value_at;
    uint32_t value_size;
    bool is_absent;
};

struct parcel {
    enum topic topic;
    int32_t partition;
    bool has_key;
    size_t key_at;
    size_t value_at;
    uint32_t key_size;
    uint32_t value_size;
    struct record origin; /* handle NULL and value absent: none */
    bool has_origin;
    uint32_t header_count;
    struct parcel_header headers[PARCEL_HEADERS_MAX];
};

void parcel_queue_init(struct parcel_queue *queue)
{
    *queue = (struct parcel_queue){0};
    byte_writer_init(&queue->bytes);
}

void parcel_queue_free(struct parcel_queue *queue)
{
    free(queue->parcels);
    byte_writer_free(&queue->bytes);
    *queue = (struct parcel_queue){0};
}

void parcel_queue_reset(struct parcel_queue *queue)
{
    queue->count = 0;
    queue->next = 0;
    queue->origin_count = 0;
    byte_writer_reset(&queue->bytes);
}

static struct parcel *add_parcel(struct parcel_queue *queue)
{
    if (queue->count == queue->capacity) {
        queue->capacity = queue->capacity == 0 ? 64 : 2 * queue->capacity;
        queue->parcels = realloc(queue->parcels, queue->capacity * sizeof(*queue->parcels));
        if (queue->parcels == NULL)
            abort();
    }
    struct parcel *parcel = &queue->parcels[queue->count];
    parcel->has_origin = false;
    parcel->header_count = 0;
    return parcel;
}

struct byte_writer *parcel_begin(struct parcel_queue *queue, enum topic topic, int32_t partition,
                                 struct view key)
{
    struct parcel *parcel = add_parcel(queue);

    parcel->topic = topic;
    parcel->partition = partition;
    parcel->has_key = !view_is_absent(key);
    parcel->key_at = queue->bytes.size;
    parcel->key_size = key.size;
    byte_put(&queue->bytes, key.data, key.size);
    parcel->value_at = queue->bytes.size;
    return &queue->bytes;
}

void parcel_end(struct parcel_queue *queue)
{
    struct parcel *parcel = &queue->parcels[queue->count];

    parcel->value_size = (uint32_t)(queue->bytes.size - parcel->value_at);
    queue->count++;
}

void parcel_cancel(struct parcel_queue *queue)
{
    queue->bytes.size = queue->parcels[queue->count].key_at;
}

void parcel_add_record(struct parcel_queue *queue, enum topic topic, int32_t partition,
                       const struct record *origin, const struct header *headers,
                       uint32_t header_count)
{
    struct parcel *parcel = add_parcel(queue);

    assert(header_count <= PARCEL_HEADERS_MAX);
    parcel->topic = topic;
    parcel->partition = partition;
    parcel->origin = *origin;
    parcel->has_origin = true;
    parcel->header_count = header_count;
    for (uint32_t i = 0; i < header_count; i++) {
        parcel->headers[i] =
            (struct parcel_header){headers[i].name, queue->bytes.size, headers[i].value.size,
                                   view_is_absent(headers[i].value)};
        byte_put(&queue->bytes, headers[i].value.data, headers[i].value.size);
    }
    queue->count++;
    queue->origin_count++;
}

/* The log does not take so large a record: what is well packed in a batch may be larger than
 * Weir may write. Waiting for it would stand still for ever, so a letter goes without it, and
 * says how large it is; at the source it stands still. What should have gone home is a letter
 * now, too. `headers` has room for LETTER_HEADERS_MAX more. */
static enum status produce_cut(struct outgoing *outgoing, struct header *headers,
                               const struct transport *transport, struct failure *failure)
{
    enum status status;
    char size[24];

    snprintf(size, sizeof(size), "%" PRIu32, outgoing->value.size);
    headers[outgoing->header_count++] = (struct header){"weir.source.bytes", view_of(size)};
    if (outgoing->topic == TOPIC_FORWARD) {
        headers[outgoing->header_count++] =
            (struct header){"weir.error.code", VIEW_LITERAL("too-large")};
        headers[outgoing->header_count++] = (struct header){
            "weir.error.reason", VIEW_LITERAL("in a foreign partition, too large to be sent home")};
        headers[outgoing->header_count++] = (struct header){"weir.error.field", VIEW_LITERAL("")};
        headers[outgoing->header_count++] =
            (struct header){"weir.version", VIEW_LITERAL(WEIR_VERSION)};
        outgoing->topic = TOPIC_DEAD_LETTER;
        outgoing->partition = -1;
    }
    outgoing->value = (struct view){0};
    status = transport->door->produce(transport->context, outgoing, failure);
    if (status != STATUS_BROKEN || failure->remedy != REMEDY_SET_ASIDE)
        return status;
    /* Then it is a key or headers of that size. */
    outgoing->key = (struct view){0};
    outgoing->origin = NULL;
    return transport->door->produce(transport->context, outgoing, failure);
}

static enum status produce_parcel(const struct parcel_queue *queue, const struct parcel *parcel,
                                  const struct transport *transport, struct failure *failure)
{
    const char *bytes = byte_writer_view(&queue->bytes).data;
    struct header headers[PARCEL_HEADERS_MAX + LETTER_HEADERS_MAX];
    struct outgoing outgoing = {.topic = parcel->topic,
                                .partition = parcel->partition,
                                .headers = headers,
                                .header_count = parcel->header_count};

    for (uint32_t i = 0; i < parcel->header_count; i++) {
        const struct parcel_header *header = &parcel->headers[i];

        headers[i].name = header->name;
        headers[i].value = header->is_absent
                               ? (struct view){0}
                               : (struct view){bytes + header->value_at, header->value_size};
    }
    if (parcel->has_origin) {
        outgoing.key = parcel->origin.key;
        outgoing.value = parcel->origin.value;
        outgoing.origin = &parcel->origin;
        outgoing.timestamp_ms = parcel->origin.timestamp_ms > 0 ? parcel->origin.timestamp_ms : 0;
    } else {
        if (parcel->has_key)
            outgoing.key = (struct view){bytes + parcel->key_at, parcel->key_size};
        outgoing.value = (struct view){bytes + parcel->value_at, parcel->value_size};
    }
    enum status status = transport->door->produce(transport->context, &outgoing, failure);
    if (status == STATUS_BROKEN && failure->remedy == REMEDY_SET_ASIDE && parcel->has_origin)
        status = produce_cut(&outgoing, headers, transport, failure);
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
        queue->origin_count -= parcel->has_origin;
        queue->next++;
    }
    parcel_queue_reset(queue);
    return STATUS_OK;
}
