#ifndef WINDOW_SLAB_H
#define WINDOW_SLAB_H
/*
 * slab.h - many things of one size, named by a number instead of a pointer.
 *
 * A reference is 4 bytes, 0 names nothing, and a thing never moves while it is taken.
 *
 * Memory   from pages of its own or shared ones, a segment at a time; what is given is
 *          taken again first
 * Threads  one owner, no locks
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pages;

struct slab {
    struct pages *pages;
    char **segments;
    size_t item_bytes;     /* a multiple of 16; segments start on a pair of cache lines */
    uint32_t segment_bits; /* a segment holds 1 << segment_bits things */
    uint32_t segment_count;
    uint32_t segment_max;
    uint32_t free_first;
    uint32_t used_count; /* ever handed out, so the next fresh reference is one more */
    uint32_t live_count;
    bool owns_pages;
};

/* item_bytes: a multiple of 16, at most 8 KiB. */
void slab_open(struct slab *slab, size_t item_bytes);
/* The same, in memory shared with others: what it took stays there after slab_close. */
void slab_open_in(struct slab *slab, struct pages *pages, size_t item_bytes);
void slab_close(struct slab *slab);
/* Zeroed. Never 0. */
uint32_t slab_take(struct slab *slab);
void slab_give(struct slab *slab, uint32_t reference);

static inline void *slab_at(const struct slab *slab, uint32_t reference)
{
    uint32_t index = reference - 1;

    return slab->segments[index >> slab->segment_bits] +
           (index & ((1u << slab->segment_bits) - 1)) * slab->item_bytes;
}
#endif
