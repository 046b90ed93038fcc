#include "window/pages.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    UNIT_BYTES = 128, /* two cache lines, which processors fetch together */
    SMALL_REGION_BYTES = 128 * 1024,
    SMALL_BYTES_MAX = 2 * 1024 * 1024, /* until then, pages of the usual size */
    HUGE_BYTES = 2 * 1024 * 1024,
    REGIONS_LEAST = 16,
};

struct pages {
    char **regions;
    char *at; /* the unused rest of the newest region */
    size_t left;
    size_t bytes; /* taken from the heap */
    uint32_t region_count;
    uint32_t region_max;
};

static size_t round_up(size_t bytes, size_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

static void *heap_take(size_t bytes)
{
    size_t unit = bytes >= HUGE_BYTES ? HUGE_BYTES : UNIT_BYTES;
    void *memory = aligned_alloc(unit, round_up(bytes, unit));

    if (memory == NULL) {
        fprintf(stderr, "pages: the heap has no %zu bytes left\n", bytes);
        abort();
    }
    /* A wish: without huge pages everything works, only slower. */
    if (bytes >= HUGE_BYTES)
        (void)madvise(memory, round_up(bytes, unit), MADV_HUGEPAGE);
    return memory;
}

struct pages *pages_create(void)
{
    struct pages *pages = calloc(1, sizeof *pages);

    if (pages == NULL) {
        fprintf(stderr, "pages: the heap is exhausted\n");
        abort();
    }
    return pages;
}

void pages_destroy(struct pages *pages)
{
    if (pages == NULL)
        return;
    for (uint32_t index = 0; index < pages->region_count; index++)
        free(pages->regions[index]);
    free(pages->regions);
    free(pages);
}

static void add_region(struct pages *pages, size_t bytes)
{
    size_t size = pages->bytes < SMALL_BYTES_MAX ? SMALL_REGION_BYTES : HUGE_BYTES;

    if (size < bytes)
        size = bytes;
    if (pages->region_count == pages->region_max) {
        uint32_t max = pages->region_max == 0 ? REGIONS_LEAST : pages->region_max * 2;
        char **regions = realloc(pages->regions, max * sizeof *regions);
        if (regions == NULL) {
            fprintf(stderr, "pages: the heap is exhausted\n");
            abort();
        }
        pages->regions = regions;
        pages->region_max = max;
    }
    pages->at = heap_take(size);
    pages->left = size;
    pages->bytes += size;
    pages->regions[pages->region_count++] = pages->at;
}

void *pages_take(struct pages *pages, size_t bytes)
{
    size_t rounded = round_up(bytes, UNIT_BYTES);

    assert(bytes > 0 && bytes <= PAGES_TAKE_MAX);
    if (pages->left < rounded)
        add_region(pages, rounded);
    void *memory = pages->at;
    pages->at += rounded;
    pages->left -= rounded;
    return memory;
}

void *pages_take_zeroed(size_t bytes)
{
    void *memory = heap_take(bytes);

    memset(memory, 0, bytes);
    return memory;
}
