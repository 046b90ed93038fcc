#ifndef RECOMMEND_NEIGHBOURS_H
#define RECOMMEND_NEIGHBOURS_H
/*
 * neighbours.h - the products met together with one product, the heavy ones kept.
 *
 * For each neighbour: in how many orders both stood (`together`), and how often it
 * followed in the customer's next order (`next`); both stop at 65,535.
 *
 *   entries  [ e e e e e . . ]            8 bytes each, in one piece: they are read in
 *   index    [ . 2 . . 1 5 . . 4 3 ]      full far oftener than one is looked up
 *
 * A row that is full drops its lightest third and remembers in `floor` how much a
 * product unknown to it may have weighed: the summary of Misra and Gries (1982), purged
 * in batches (Anderson et al., "A High-Performance Algorithm for Identifying Frequent
 * Items in Data Streams", 2017). With `total` the weight ever added and k two thirds of the
 * neighbours allowed:
 *
 *   floor <= total / k, every neighbour heavier than floor is there, and what is
 *   written of it falls short of the truth by at most what was `missed` <= floor
 *
 * What is written never exceeds the truth, and is exact while nothing was dropped. The
 * bounds are void for rows of which a count has come to its end, or floor to 4,096.
 *
 * Memory   a row of up to 3/4 2^n neighbours takes 2^n times 8 bytes of `blocks`
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "window/blocks.h"

enum {
    NEIGHBOURS_MAX = 1536,                /* more would make a purge slow and a row heavy */
    NEIGHBOUR_NUMBER_MAX = (1 << 20) - 1, /* of products */
    NEIGHBOUR_MISSED_MAX = (1 << 12) - 1
};

struct neighbours {
    /* From the lowest bits: number 20, missed 12, together 16, next 16. */
    uint64_t *entries;
    uint16_t *index; /* place of the entry + 1, and bits of its hash; 0: empty */
    uint16_t count;
    uint16_t slot_count; /* of the index; 0 or a power of two */
    uint32_t floor;
    uint64_t total;
};

static inline uint32_t neighbour_number(uint64_t entry)
{
    return (uint32_t)entry & NEIGHBOUR_NUMBER_MAX;
}
static inline uint32_t neighbour_together(uint64_t entry)
{
    return (uint32_t)(entry >> 32) & 0xFFFF;
}
static inline uint32_t neighbour_next(uint64_t entry)
{
    return (uint32_t)(entry >> 48);
}
/* Before it was there; NEIGHBOUR_MISSED_MAX: that or more. */
static inline uint32_t neighbour_missed(uint64_t entry)
{
    return (uint32_t)entry >> 20;
}

/* What is counted: one of them, or both. */
#define NEIGHBOUR_TOGETHER (UINT64_C(1) << 32)
#define NEIGHBOUR_NEXT (UINT64_C(1) << 48)

/* Counts each of `numbers` (distinct, > 0) but `self` once. `count_max` <= NEIGHBOURS_MAX,
 * the same in every call. */
void neighbours_add(struct neighbours *row, struct blocks *blocks, uint32_t count_max,
                    uint32_t self, const uint32_t *numbers, uint32_t number_count, uint64_t what);
/* Rows lie far apart: before neighbours_add of the same, while something else is done, first
 * the one and then the other. */
void neighbours_prefetch_index(const struct neighbours *row, const uint32_t *numbers,
                               uint32_t number_count);
void neighbours_prefetch_entries(const struct neighbours *row, const uint32_t *numbers,
                                 uint32_t number_count);
/* 0 when it is not there. */
uint64_t neighbours_find(const struct neighbours *row, uint32_t number);
/* Products get other numbers, by the old ones, none of them twice; 0: it goes. */
void neighbours_renumber(struct neighbours *row, const uint32_t *numbers);
void neighbours_free(struct neighbours *row, struct blocks *blocks);

/* For load: an empty row with an index of so many slots, a power of two of at least 16. */
void neighbours_reserve(struct neighbours *row, struct blocks *blocks, uint32_t slot_count);
/* For load, at the end. False: there is no room, or the number is there already or 0. */
bool neighbours_append(struct neighbours *row, uint64_t entry);

enum { NEIGHBOURS_SLOTS_LEAST = 16, NEIGHBOURS_SLOTS_MAX = 2048 };

static inline size_t neighbours_bytes(uint32_t slot_count)
{
    return (size_t)slot_count * 8;
}
#endif
