#include "window/blocks.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "window/pages.h"

enum { SEGMENT_BYTES = 128 * 1024, CACHE_LINE_BYTES = 64 };

static const size_t shared_bytes_max = (size_t)BLOCKS_LEAST_BYTES << (BLOCKS_CLASS_COUNT - 1);

void blocks_open_in(struct blocks *blocks, struct pages *pages)
{
    *blocks = (struct blocks){.pages = pages};
}

void blocks_open(struct blocks *blocks)
{
    blocks_open_in(blocks, pages_create());
    blocks->owns_pages = true;
}

void blocks_close(struct blocks *blocks)
{
    if (blocks->owns_pages)
        pages_destroy(blocks->pages);
    *blocks = (struct blocks){0};
}

static uint32_t class_of(size_t bytes)
{
    if (bytes <= BLOCKS_LEAST_BYTES)
        return 0;
    return 64 - (uint32_t)__builtin_clzll((unsigned long long)(bytes - 1)) - 4;
}

size_t blocks_round(size_t bytes)
{
    assert(bytes > 0);
    return (size_t)BLOCKS_LEAST_BYTES << class_of(bytes);
}

static void *heap_take(size_t bytes)
{
    void *run = aligned_alloc(CACHE_LINE_BYTES, bytes);

    if (run == NULL) {
        fprintf(stderr, "blocks: the heap has no %zu bytes left\n", bytes);
        abort();
    }
    return run;
}

/* Cuts runs for later off the unused rest until it is a multiple of `bytes`, a power of two,
 * so nothing is lost. A segment ends at an address that is one, so the rest begins at one. */
static void cut_rest(struct blocks *blocks, size_t bytes)
{
    while ((blocks->left & (bytes - 1)) != 0) {
        size_t cut = blocks->left & -blocks->left;
        uint32_t size_class = class_of(cut);
        memcpy(blocks->at, &blocks->free_first[size_class], sizeof(void *));
        blocks->free_first[size_class] = blocks->at;
        blocks->at += cut;
        blocks->left -= cut;
    }
}

static void add_segment(struct blocks *blocks)
{
    cut_rest(blocks, SEGMENT_BYTES);
    blocks->at = pages_take(blocks->pages, SEGMENT_BYTES);
    blocks->left = SEGMENT_BYTES;
}

void *blocks_take(struct blocks *blocks, size_t bytes)
{
    size_t rounded = blocks_round(bytes);
    uint32_t size_class = class_of(bytes);
    void *run;

    blocks->bytes += rounded;
    if (rounded > shared_bytes_max)
        return heap_take(rounded);
    run = blocks->free_first[size_class];
    if (run != NULL) {
        memcpy(&blocks->free_first[size_class], run, sizeof(void *));
        return run;
    }
    cut_rest(blocks, rounded < CACHE_LINE_BYTES ? rounded : CACHE_LINE_BYTES);
    if (blocks->left < rounded)
        add_segment(blocks);
    run = blocks->at;
    blocks->at += rounded;
    blocks->left -= rounded;
    return run;
}

void blocks_give(struct blocks *blocks, void *run, size_t bytes)
{
    if (run == NULL)
        return;
    size_t rounded = blocks_round(bytes);
    uint32_t size_class = class_of(bytes);

    assert(blocks->bytes >= rounded);
    blocks->bytes -= rounded;
    if (rounded > shared_bytes_max) {
        free(run);
        return;
    }
    memcpy(run, &blocks->free_first[size_class], sizeof(void *));
    blocks->free_first[size_class] = run;
}
