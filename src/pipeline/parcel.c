#include "pipeline/parcel.h"

#include <assert.h>
#include <stdlib.h>

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

static enum status produce_parcel(const struct parcel_queue *queue, const struct parcel *parcel,
                                  const struct transport *transport, struct failure *failure)
{
    const char *bytes = byte_writer_view(&queue->bytes).data;
    struct header headers[PARCEL_HEADERS_MAX];
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
    return transport->door->produce(transport->context, &outgoing, failure);
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
