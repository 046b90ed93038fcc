#ifndef RECOMMEND_NEIGHBOURS_H
#define RECOMMEND_NEIGHBOURS_H
/*
 * neighbours.h - the products met together with one product, the heavy ones kept.
 *
 * For each neighbour: in how many orders both stood (`together`), and how often it
 * followed in the customer's next order (`next`); both stop at 65,535. An order may count as
 * several, where those are passed over (learn.c).
 *
 *   bucket 0  [ e e e e e . . . ]     a bucket is a cache line of eight entries,
 *   bucket 1  [ e e e e e e e e ]     the empty ones last; a product has one bucket
 *   ...                               by its hash
 *
 * When a bucket is full the row doubles, up to a bound. From then on a newcomer takes the
 * place of the lightest in its bucket and inherits its weight as what it may have
 * `missed`: Space-Saving (Metwally, Agrawal and El Abbadi, 2005) in each bucket. So with W
 * the weight ever counted in a bucket:
 *
 *   missed <= W / 8, every neighbour heavier than W / 8 is there, and what is written of
 *   it falls short of the truth by at most `missed`
 *
 * What is written never exceeds what was counted, and is exact while nothing was replaced. The
 * bounds are void where a count has come to its end, and begin anew when products are
 * numbered anew.
 *
 * Memory   64 bytes a bucket, of `blocks`
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "window/blocks.h"

enum {
    NEIGHBOUR_BUCKET = 8,                 /* entries */
    NEIGHBOUR_BUCKETS_MAX = 256,          /* more would make a row heavy to read */
    NEIGHBOUR_NUMBER_MAX = (1 << 20) - 1, /* of products */
    NEIGHBOUR_MISSED_MAX = (1 << 12) - 1,
};

struct neighbours {
    /* From the lowest bits: number 20, missed 12, together 16, next 16. 0: empty. */
    uint64_t *entries;
    uint32_t bucket_count; /* 0 or a power of two */
    uint32_t count;
};

static inline uint32_t neighbour_number(uint64_t entry)
{
    return (uint32_t)entry & NEIGHBOUR_NUMBER_MAX;
}
/* Before it was there; NEIGHBOUR_MISSED_MAX: that or more. */
static inline uint32_t neighbour_missed(uint64_t entry)
{
    return (uint32_t)entry >> 20;
}
static inline uint32_t neighbour_together(uint64_t entry)
{
    return (uint32_t)(entry >> 32) & 0xFFFF;
}
static inline uint32_t neighbour_next(uint64_t entry)
{
    return (uint32_t)(entry >> 48);
}

/* What is counted: one of them, or both; times how many orders that stands for. */
#define NEIGHBOUR_TOGETHER (UINT64_C(1) << 32)
#define NEIGHBOUR_NEXT (UINT64_C(1) << 48)
enum { NEIGHBOUR_WEIGHT_MAX = 256 };

/* Counts `what` for each of `numbers` (distinct, > 0) but `self`. bucket_max: a power of two,
 * at most NEIGHBOUR_BUCKETS_MAX, the same in every call. */
void neighbours_add(struct neighbours *row, struct blocks *blocks, uint32_t bucket_max,
                    uint32_t self, const uint32_t *numbers, uint32_t number_count, uint64_t what);
/* Rows lie far apart: before neighbours_add of the same, while something else is done. */
void neighbours_prefetch(const struct neighbours *row, const uint32_t *numbers,
                         uint32_t number_count);
/* 0 when it is not there. */
uint64_t neighbours_find(const struct neighbours *row, uint32_t number);
/* Products get other numbers, by the old ones, none of them twice; 0: it goes. */
void neighbours_renumber(struct neighbours *row, struct blocks *blocks, const uint32_t *numbers);
void neighbours_free(struct neighbours *row, struct blocks *blocks);

static inline size_t neighbours_bytes(uint32_t bucket_count)
{
    return (size_t)bucket_count * NEIGHBOUR_BUCKET * sizeof(uint64_t);
}
static inline uint32_t neighbours_places(const struct neighbours *row)
{
    return row->bucket_count * NEIGHBOUR_BUCKET;
}

/* For load: an empty row of so many buckets, a power of two. */
void neighbours_reserve(struct neighbours *row, struct blocks *blocks, uint32_t bucket_count);
/* For load: at the place where it was. False: it cannot have stood there. */
bool neighbours_place(struct neighbours *row, uint32_t place, uint64_t entry);
#endif
