#include "recommend/neighbours.h"

#include <assert.h>
#include <string.h>

#include "recommend/choose.h"

enum { SLOTS_LEAST = 16 };

static uint32_t home_of(const struct neighbours *row, uint32_t product)
{
    uint32_t mixed = product * UINT32_C(0x9E3779B1);

    return (mixed >> 15) & (row->slot_count - 1);
}

static struct neighbour *find_slot(const struct neighbours *row, uint32_t product)
{
    uint32_t mask = row->slot_count - 1;
    uint32_t at = home_of(row, product);

    while (row->slots[at].product != product && row->slots[at].product != 0)
        at = (at + 1) & mask;
    return &row->slots[at];
}

void neighbours_reserve(struct neighbours *row, struct blocks *blocks, uint32_t slot_count)
{
    assert(slot_count > 0 && (slot_count & (slot_count - 1)) == 0);
    row->slots = blocks_take(blocks, neighbours_bytes(slot_count));
    memset(row->slots, 0, neighbours_bytes(slot_count));
    row->slot_count = slot_count;
}

static void grow(struct neighbours *row, struct blocks *blocks)
{
    struct neighbour *old = row->slots;
    uint32_t old_count = row->slot_count;

    neighbours_reserve(row, blocks, old_count == 0 ? SLOTS_LEAST : old_count * 2);
    for (uint32_t at = 0; at < old_count; at++)
        if (old[at].product != 0)
            *find_slot(row, old[at].product) = old[at];
    if (old != NULL)
        blocks_give(blocks, old, neighbours_bytes(old_count));
}

static float weight_of(const struct neighbour *neighbour)
{
    return neighbour->missed + neighbour->together + neighbour->next;
}

/* Puts `kept` back into an empty row. */
static void refill(struct neighbours *row, const struct neighbour *kept, uint32_t count)
{
    memset(row->slots, 0, neighbours_bytes(row->slot_count));
    for (uint32_t i = 0; i < count; i++)
        *find_slot(row, kept[i].product) = kept[i];
    row->count = count;
}

/* Those that weigh exactly as much as the heaviest one dropped stay as far as there is
 * room: dropping them would be allowed, keeping them costs nothing. */
static void purge(struct neighbours *row)
{
    static const uint32_t drop_share = 4;
    float weights[NEIGHBOURS_MAX];
    struct neighbour kept[NEIGHBOURS_MAX];
    uint32_t drop = row->count / drop_share, count = 0, kept_count = 0, ties;

    for (uint32_t at = 0; at < row->slot_count; at++)
        if (row->slots[at].product != 0)
            weights[count++] = weight_of(&row->slots[at]);
    assert(count == row->count && drop > 0);
    float limit = choose_nth(weights, count, drop - 1);
    /* choose_nth leaves nothing above the limit before it. */
    ties = 0;
    for (uint32_t i = 0; i < drop; i++)
        ties += weights[i] == limit;
    for (uint32_t at = 0; at < row->slot_count; at++) {
        const struct neighbour *slot = &row->slots[at];
        if (slot->product == 0 || weight_of(slot) < limit)
            continue;
        if (weight_of(slot) == limit && ties > 0) {
            ties--;
            continue;
        }
        kept[kept_count++] = *slot;
    }
    row->floor = limit > row->floor ? limit : row->floor;
    refill(row, kept, kept_count);
}

static void add_one(struct neighbours *row, struct blocks *blocks, uint32_t count_max,
                    uint32_t product, float together, float next)
{
    struct neighbour *slot = find_slot(row, product);

    if (slot->product == 0) {
        if (row->count >= count_max) {
            purge(row);
            slot = find_slot(row, product);
        } else if ((row->count + 1) * 4 > row->slot_count * 3) {
            grow(row, blocks);
            slot = find_slot(row, product);
        }
        *slot = (struct neighbour){.product = product, .missed = row->floor};
        row->count++;
    }
    slot->together += together;
    slot->next += next;
}

void neighbours_add(struct neighbours *row, struct blocks *blocks, uint32_t count_max,
                    uint32_t self, const uint32_t *products, uint32_t product_count, float together,
                    float next)
{
    assert(count_max >= 4 && count_max <= NEIGHBOURS_MAX);
    if (row->slot_count == 0)
        grow(row, blocks);
    /* The slots lie all over the row: ask for them all before the first is needed. */
    for (uint32_t i = 0; i < product_count; i++)
        __builtin_prefetch(&row->slots[home_of(row, products[i])], 1);
    for (uint32_t i = 0; i < product_count; i++) {
        if (products[i] == self)
            continue;
        add_one(row, blocks, count_max, products[i], together, next);
        row->total += together + next;
    }
}

const struct neighbour *neighbours_find(const struct neighbours *row, uint32_t product)
{
    if (row->slot_count == 0)
        return NULL;
    const struct neighbour *slot = find_slot(row, product);
    return slot->product != 0 ? slot : NULL;
}

void neighbours_renumber(struct neighbours *row, const uint32_t *numbers)
{
    struct neighbour kept[NEIGHBOURS_MAX];
    uint32_t count = 0;

    for (uint32_t at = 0; at < row->slot_count; at++) {
        uint32_t number = numbers[row->slots[at].product];
        if (row->slots[at].product == 0 || number == 0)
            continue;
        kept[count] = row->slots[at];
        kept[count++].product = number;
    }
    if (row->slot_count > 0)
        refill(row, kept, count);
}

void neighbours_free(struct neighbours *row, struct blocks *blocks)
{
    if (row->slots != NULL)
        blocks_give(blocks, row->slots, neighbours_bytes(row->slot_count));
    *row = (struct neighbours){0};
}
