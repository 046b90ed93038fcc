#ifndef RECOMMEND_NEIGHBOURS_H
#define RECOMMEND_NEIGHBOURS_H
/*
 * neighbours.h - the products met together with one product, the heavy ones kept.
 *
 * For each neighbour: in how many orders both stood (`together`), and how often it
 * followed in the customer's next order (`next`). Open addressing, at most 3/4 full.
 *
 * A row that is full drops its lightest quarter and remembers in `floor` how much a
 * product unknown to it may have weighed: the summary of Misra and Gries (1982), purged
 * in batches (Anderson et al., "A High-Performance Algorithm for Identifying Frequent
 * Items in Data Streams", 2017). With `total` the weight ever added and k = 3/4 of the
 * neighbours allowed:
 *
 *   floor <= total / k, every neighbour heavier than floor is there, and what is
 *   written of it falls short of the truth by at most `missed` <= floor
 *
 * What is written never exceeds the truth, and is exact while nothing was dropped.
 *
 * Memory   16 bytes a slot from the market's blocks
 */
#include <stdint.h>

#include "window/blocks.h"

struct neighbour {
    uint32_t product; /* number; 0: an empty slot */
    float together;
    float next;
    float missed;
};

struct neighbours {
    struct neighbour *slots;
    uint32_t slot_count; /* 0 or a power of two */
    uint32_t count;
    float floor;
    float total;
};

/* More than this would make a purge slow and a row heavy. */
enum { NEIGHBOURS_MAX = 1536 };

/* Adds to each of `products` (distinct, numbers > 0) but `self`. `count_max` <=
 * NEIGHBOURS_MAX, the same in every call. */
void neighbours_add(struct neighbours *row, struct blocks *blocks, uint32_t count_max,
                    uint32_t self, const uint32_t *products, uint32_t product_count, float together,
                    float next);
/* NULL when it is not there. */
const struct neighbour *neighbours_find(const struct neighbours *row, uint32_t product);
/* Products get other numbers, by the old ones; 0: it goes. Never more than before. */
void neighbours_renumber(struct neighbours *row, const uint32_t *numbers);
void neighbours_free(struct neighbours *row, struct blocks *blocks);
/* For load: slot_count empty slots, a power of two. */
void neighbours_reserve(struct neighbours *row, struct blocks *blocks, uint32_t slot_count);

static inline size_t neighbours_bytes(uint32_t slot_count)
{
    return (size_t)slot_count * sizeof(struct neighbour);
}
#endif
