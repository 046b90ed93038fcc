#include "window/table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "window/pages.h"

enum { SLOTS_LEAST = 64 };

static struct table_slot *take_slots(uint32_t count)
{
    return pages_take_zeroed(count * sizeof(struct table_slot));
}

void table_open(struct table *table)
{
    *table = (struct table){.slots = take_slots(SLOTS_LEAST), .mask = SLOTS_LEAST - 1};
}

void table_close(struct table *table)
{
    free(table->slots);
    *table = (struct table){0};
}

void table_clear(struct table *table)
{
    memset(table->slots, 0, ((size_t)table->mask + 1) * sizeof *table->slots);
    table->count = 0;
}

static void place(struct table *table, struct table_slot slot)
{
    uint32_t at = slot.hash & table->mask;

    while (table->slots[at].reference != 0)
        at = (at + 1) & table->mask;
    table->slots[at] = slot;
}

static void grow(struct table *table)
{
    struct table_slot *old = table->slots;
    uint32_t count = table->mask + 1;

    assert(count <= UINT32_MAX / 4);
    table->slots = take_slots(count * 2);
    table->mask = count * 2 - 1;
    for (uint32_t at = 0; at < count; at++)
        if (old[at].reference != 0)
            place(table, old[at]);
    free(old);
}

void table_put(struct table *table, uint32_t hash, uint32_t reference)
{
    assert(reference != 0);
    if ((uint64_t)(table->count + 1) * 4 > (uint64_t)(table->mask + 1) * 3)
        grow(table);
    place(table, (struct table_slot){hash, reference});
    table->count++;
}

void table_remove(struct table *table, uint32_t hash, uint32_t reference)
{
    uint32_t gap = hash & table->mask;

    while (table->slots[gap].reference != reference) {
        assert(table->slots[gap].reference != 0);
        gap = (gap + 1) & table->mask;
    }
    /* Whatever follows and may stand in the gap moves there (Knuth, TAOCP 6.4, R). */
    for (uint32_t at = (gap + 1) & table->mask; table->slots[at].reference != 0;
         at = (at + 1) & table->mask) {
        uint32_t home = table->slots[at].hash & table->mask;
        if (((at - home) & table->mask) >= ((at - gap) & table->mask)) {
            table->slots[gap] = table->slots[at];
            gap = at;
        }
    }
    table->slots[gap] = (struct table_slot){0, 0};
    table->count--;
}
