#include "window/slab.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CACHE_LINE_BYTES = 64, SEGMENTS_LEAST = 16 };

void slab_open(struct slab *slab, size_t item_bytes)
{
    assert(item_bytes >= 16 && item_bytes % 16 == 0);
    *slab = (struct slab){.item_bytes = item_bytes};
}

void slab_close(struct slab *slab)
{
    for (uint32_t index = 0; index < slab->segment_count; index++)
        free(slab->segments[index]);
    free(slab->segments);
    *slab = (struct slab){.item_bytes = slab->item_bytes};
}

static void stop_for_want_of_memory(size_t bytes)
{
    fprintf(stderr, "slab: the heap has no %zu bytes left\n", bytes);
    abort();
}

static void add_segment(struct slab *slab)
{
    size_t bytes = slab->item_bytes * SLAB_SEGMENT_COUNT;

    if (slab->segment_count == slab->segment_max) {
        slab->segment_max = slab->segment_max == 0 ? SEGMENTS_LEAST : slab->segment_max * 2;
        slab->segments = realloc(slab->segments, slab->segment_max * sizeof *slab->segments);
        if (slab->segments == NULL)
            stop_for_want_of_memory(slab->segment_max * sizeof *slab->segments);
    }
    char *segment = aligned_alloc(CACHE_LINE_BYTES,
                                  (bytes + CACHE_LINE_BYTES - 1) & ~(size_t)(CACHE_LINE_BYTES - 1));
    if (segment == NULL)
        stop_for_want_of_memory(bytes);
    slab->segments[slab->segment_count++] = segment;
}

uint32_t slab_take(struct slab *slab)
{
    uint32_t reference = slab->free_first;

    if (reference != 0) {
        memcpy(&slab->free_first, slab_at(slab, reference), sizeof slab->free_first);
    } else {
        assert(slab->used_count < UINT32_MAX - 1);
        if (slab->used_count == slab->segment_count * (uint32_t)SLAB_SEGMENT_COUNT)
            add_segment(slab);
        reference = ++slab->used_count;
    }
    slab->live_count++;
    memset(slab_at(slab, reference), 0, slab->item_bytes);
    return reference;
}

void slab_give(struct slab *slab, uint32_t reference)
{
    assert(reference != 0 && reference <= slab->used_count);
    memcpy(slab_at(slab, reference), &slab->free_first, sizeof slab->free_first);
    slab->free_first = reference;
    slab->live_count--;
}
