#include "event/outbox.h"

#include <assert.h>
#include <stdlib.h>

enum { OUTBOX_CHUNK_BYTES = 65536, OUTBOX_COUNT_FIRST = 256 };

struct outbox {
    struct arena *arena;
    struct result **results; /* each in the arena; the list itself only grows */
    uint32_t count;
    uint32_t capacity;
    bool is_muted;
};

struct outbox *outbox_create(void)
{
    struct outbox *outbox = calloc(1, sizeof(*outbox));

    assert(outbox != NULL);
    outbox->arena = arena_create(OUTBOX_CHUNK_BYTES);
    return outbox;
}

void outbox_destroy(struct outbox *outbox)
{
    if (outbox == NULL)
        return;
    arena_destroy(outbox->arena);
    free(outbox->results);
    free(outbox);
}

void outbox_mute(struct outbox *outbox, bool is_muted)
{
    outbox->is_muted = is_muted;
}

void outbox_add(struct outbox *outbox, const struct result *result)
{
    struct result *copy;

    if (outbox->is_muted)
        return;
    if (outbox->count == outbox->capacity) {
        outbox->capacity = outbox->capacity > 0 ? 2 * outbox->capacity : OUTBOX_COUNT_FIRST;
        outbox->results = realloc(outbox->results, outbox->capacity * sizeof(struct result *));
        assert(outbox->results != NULL);
    }
    copy = arena_alloc(outbox->arena, sizeof(*copy));
    shape_copy(result_shape(result->kind), result, copy, outbox->arena);
    outbox->results[outbox->count++] = copy;
}

uint32_t outbox_count(const struct outbox *outbox)
{
    return outbox->count;
}

const struct result *outbox_at(const struct outbox *outbox, uint32_t index)
{
    assert(index < outbox->count);
    return outbox->results[index];
}

struct arena *outbox_scratch(struct outbox *outbox)
{
    return outbox->arena;
}

void outbox_reset(struct outbox *outbox)
{
    arena_reset(outbox->arena);
    outbox->count = 0;
}
