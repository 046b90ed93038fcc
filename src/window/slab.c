#include "window/slab.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "window/pages.h"

enum { SEGMENT_BYTES_MAX = PAGES_TAKE_MAX, SEGMENTS_LEAST = 16 };

void slab_open_in(struct slab *slab, struct pages *pages, size_t item_bytes)
{
    assert(item_bytes >= 16 && item_bytes % 16 == 0 && item_bytes <= 8192);
    *slab = (struct slab){.pages = pages, .item_bytes = item_bytes};
    while ((item_bytes << (slab->segment_bits + 1)) <= (size_t)SEGMENT_BYTES_MAX)
        slab->segment_bits++;
}

void slab_open(struct slab *slab, size_t item_bytes)
{
    slab_open_in(slab, pages_create(), item_bytes);
    slab->owns_pages = true;
}

void slab_close(struct slab *slab)
{
    if (slab->owns_pages)
        pages_destroy(slab->pages);
    free(slab->segments);
    *slab = (struct slab){0};
}

static void add_segment(struct slab *slab)
{
    if (slab->segment_count == slab->segment_max) {
        slab->segment_max = slab->segment_max == 0 ? SEGMENTS_LEAST : slab->segment_max * 2;
        slab->segments = realloc(slab->segments, slab->segment_max * sizeof *slab->segments);
        if (slab->segments == NULL) {
            fprintf(stderr, "slab: the heap has no room for %u segments\n", slab->segment_max);
            abort();
        }
    }
    slab->segments[slab->segment_count++] =
        pages_take(slab->pages, slab->item_bytes << slab->segment_bits);
}

uint32_t slab_take(struct slab *slab)
{
    uint32_t reference = slab->free_first;

    if (reference != 0) {
        memcpy(&slab->free_first, slab_at(slab, reference), sizeof slab->free_first);
    } else {
        assert(slab->used_count < UINT32_MAX - 1);
        if (slab->used_count == slab->segment_count << slab->segment_bits)
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
