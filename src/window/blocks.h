#ifndef WINDOW_BLOCKS_H
#define WINDOW_BLOCKS_H
/*
 * blocks.h - runs of bytes that grow by doubling: 16, 32, 64, ... bytes.
 *
 * What is given back waits in a list of its size. Runs of more than 32 KiB come
 * from the heap one by one; such growth is amortised over what fills them.
 *
 * Memory   from pages of its own or shared ones, but for what is over 32 KiB. `bytes` counts what
 * is taken at present, rounded as above Threads  one owner, no locks
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pages;

enum { BLOCKS_CLASS_COUNT = 12, BLOCKS_LEAST_BYTES = 16 };

struct blocks {
    void *free_first[BLOCKS_CLASS_COUNT];
    struct pages *pages;
    char *at; /* the unused rest of the newest segment */
    size_t left;
    size_t bytes;
    bool owns_pages;
};

void blocks_open(struct blocks *blocks);
/* The same, in memory shared with others: what it took stays there after blocks_close. */
void blocks_open_in(struct blocks *blocks, struct pages *pages);
/* Runs over 32 KiB must have been given back. */
void blocks_close(struct blocks *blocks);
/* What a request for `bytes` (> 0) really takes. */
size_t blocks_round(size_t bytes);
/* Not zeroed; aligned to its size, but for those over a cache line, which are to that. */
void *blocks_take(struct blocks *blocks, size_t bytes);
/* `bytes`: as it was asked for. NULL is allowed. */
void blocks_give(struct blocks *blocks, void *run, size_t bytes);
#endif
