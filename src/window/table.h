#ifndef WINDOW_TABLE_H
#define WINDOW_TABLE_H
/*
 * table.h - from a hash to references, for keys that their owner stores and compares.
 *
 *   for (reference = table_first(t, hash, &at); reference != 0;
 *        reference = table_next(t, hash, &at))
 *           if (key of reference is the one sought) ...
 *
 * Open addressing with linear steps, at most 3/4 full; removal closes the gap, so
 * there are no tombstones. Equal hashes only cost comparisons.
 *
 * Memory   8 bytes a slot, grows by doubling
 * Threads  one owner, no locks
 */
#include <stdint.h>

struct table_slot {
    uint32_t hash;
    uint32_t reference; /* 0: empty */
};

struct table {
    struct table_slot *slots;
    uint32_t mask; /* slots - 1 */
    uint32_t count;
};

void table_open(struct table *table);
void table_close(struct table *table);
void table_put(struct table *table, uint32_t hash, uint32_t reference);
/* The reference must be there. */
void table_remove(struct table *table, uint32_t hash, uint32_t reference);
void table_clear(struct table *table);

static inline uint32_t table_next(const struct table *table, uint32_t hash, uint32_t *at)
{
    for (;; *at = (*at + 1) & table->mask) {
        struct table_slot slot = table->slots[*at];
        if (slot.reference == 0)
            return 0;
        if (slot.hash == hash) {
            *at = (*at + 1) & table->mask;
            return slot.reference;
        }
    }
}

static inline uint32_t table_first(const struct table *table, uint32_t hash, uint32_t *at)
{
    *at = hash & table->mask;
    return table_next(table, hash, at);
}

static inline void table_prefetch(const struct table *table, uint32_t hash)
{
    __builtin_prefetch(&table->slots[hash & table->mask]);
}
#endif
