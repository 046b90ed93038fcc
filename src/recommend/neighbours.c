#include "recommend/neighbours.h"

#include <assert.h>
#include <string.h>

#include "recommend/choose.h"

/* In an index word the place takes 11 bits; 5 bits of the hash spare most looks at entries
 * of other products. */
enum {
    PLACE_BITS = 11,
    PLACE_MASK = (1 << PLACE_BITS) - 1,
    COUNT_MAX = 0xFFFF,
    WEIGHT_STEPS = 256
};

static uint32_t hash_of(uint32_t number)
{
    uint32_t hash = number * UINT32_C(0x9E3779B1);

    return hash ^ (hash >> 15);
}

static uint16_t tag_of(uint32_t hash)
{
    return (uint16_t)(hash >> 27 << PLACE_BITS);
}

static uint32_t capacity_of(uint32_t slot_count)
{
    return slot_count / 4 * 3;
}

/* The slot of the product, or the empty one where it would be. */
static uint32_t find_slot(const struct neighbours *row, uint32_t number, uint32_t hash)
{
    uint32_t mask = row->slot_count - 1u, at = hash & mask;
    uint16_t tag = tag_of(hash), word;

    while ((word = row->index[at]) != 0) {
        if ((word & ~PLACE_MASK) == tag &&
            neighbour_number(row->entries[(word & PLACE_MASK) - 1]) == number)
            break;
        at = (at + 1) & mask;
    }
    return at;
}

static void fill_index(struct neighbours *row)
{
    uint32_t mask = row->slot_count - 1u;

    memset(row->index, 0, row->slot_count * sizeof *row->index);
    for (uint32_t place = 0; place < row->count; place++) {
        uint32_t hash = hash_of(neighbour_number(row->entries[place])), at = hash & mask;
        while (row->index[at] != 0)
            at = (at + 1) & mask;
        row->index[at] = (uint16_t)((place + 1) | tag_of(hash));
    }
}

void neighbours_reserve(struct neighbours *row, struct blocks *blocks, uint32_t slot_count)
{
    assert(slot_count >= NEIGHBOURS_SLOTS_LEAST && slot_count <= NEIGHBOURS_SLOTS_MAX &&
           (slot_count & (slot_count - 1)) == 0);
    row->entries = blocks_take(blocks, neighbours_bytes(slot_count));
    row->index = (uint16_t *)(row->entries + capacity_of(slot_count));
    row->slot_count = (uint16_t)slot_count;
    memset(row->index, 0, slot_count * sizeof *row->index);
}

static void grow(struct neighbours *row, struct blocks *blocks)
{
    struct neighbours old = *row;

    neighbours_reserve(row, blocks,
                       old.slot_count == 0 ? NEIGHBOURS_SLOTS_LEAST : old.slot_count * 2u);
    if (old.entries == NULL)
        return;
    memcpy(row->entries, old.entries, old.count * sizeof *old.entries);
    blocks_give(blocks, old.entries, neighbours_bytes(old.slot_count));
    fill_index(row);
}

/* ---- purging ---- */

static uint32_t weight_of(uint64_t entry)
{
    return neighbour_missed(entry) + neighbour_together(entry) + neighbour_next(entry);
}

/* The weight that the `drop` lightest do not exceed; *ties of them weigh as much. Nearly all
 * are light, so counting by weight finds it; else they are put in order. */
static uint32_t find_limit(const struct neighbours *row, uint32_t drop, uint32_t *ties)
{
    uint32_t steps[WEIGHT_STEPS] = {0}, below = 0, step = 0;
    float weights[NEIGHBOURS_MAX]; /* whole numbers far below 2^24: exact */

    for (uint32_t i = 0; i < row->count; i++) {
        uint32_t weight = weight_of(row->entries[i]);
        uint32_t above = weight > row->floor ? weight - row->floor : 0;
        steps[above < WEIGHT_STEPS ? above : WEIGHT_STEPS - 1]++;
        weights[i] = (float)weight;
    }
    while (step < WEIGHT_STEPS - 1 && below + steps[step] < drop)
        below += steps[step++];
    if (step < WEIGHT_STEPS - 1) {
        *ties = drop - below;
        return row->floor + step;
    }
    float limit = choose_nth(weights, row->count, drop - 1);
    *ties = 0;
    for (uint32_t i = 0; i < drop; i++)
        *ties += weights[i] == limit;
    return (uint32_t)limit;
}

/* Those that weigh exactly as much as the heaviest one dropped stay as far as there is
 * room, the newer ones: dropping them would be allowed, keeping them costs nothing. */
static void purge(struct neighbours *row)
{
    uint32_t ties, kept = 0;
    uint32_t limit = find_limit(row, row->count / 3u, &ties);

    for (uint32_t i = 0; i < row->count; i++) {
        uint32_t weight = weight_of(row->entries[i]);
        if (weight > limit || (weight == limit && ties == 0))
            row->entries[kept++] = row->entries[i];
        else
            ties -= weight == limit;
    }
    row->count = (uint16_t)kept;
    row->floor = limit > row->floor ? limit : row->floor;
    fill_index(row);
}

/* ---- counting ---- */

static void add_entry(struct neighbours *row, struct blocks *blocks, uint32_t count_max,
                      uint32_t number, uint32_t hash, uint32_t at, uint64_t one)
{
    if (row->count >= count_max) {
        purge(row);
        at = find_slot(row, number, hash);
    } else if (row->count == capacity_of(row->slot_count)) {
        grow(row, blocks);
        at = find_slot(row, number, hash);
    }
    uint32_t missed = row->floor < NEIGHBOUR_MISSED_MAX ? row->floor : NEIGHBOUR_MISSED_MAX;
    row->entries[row->count] = number | (uint64_t)missed << 20 | one;
    row->index[at] = (uint16_t)(++row->count | tag_of(hash));
}

static uint64_t count_one(uint64_t entry, uint64_t what)
{
    if (neighbour_together(entry) == COUNT_MAX)
        what &= ~NEIGHBOUR_TOGETHER;
    if (neighbour_next(entry) == COUNT_MAX)
        what &= ~NEIGHBOUR_NEXT;
    return entry + what;
}

void neighbours_prefetch_index(const struct neighbours *row, const uint32_t *numbers,
                               uint32_t number_count)
{
    uint32_t mask = row->slot_count - 1u;

    for (uint32_t i = 0; i < number_count && row->slot_count != 0; i++)
        __builtin_prefetch(&row->index[hash_of(numbers[i]) & mask]);
}

void neighbours_prefetch_entries(const struct neighbours *row, const uint32_t *numbers,
                                 uint32_t number_count)
{
    uint32_t mask = row->slot_count - 1u;

    for (uint32_t i = 0; i < number_count && row->slot_count != 0; i++) {
        uint32_t place = row->index[hash_of(numbers[i]) & mask] & PLACE_MASK;
        __builtin_prefetch(&row->entries[place > 0 ? place - 1 : 0], 1);
    }
}

void neighbours_add(struct neighbours *row, struct blocks *blocks, uint32_t count_max,
                    uint32_t self, const uint32_t *numbers, uint32_t number_count, uint64_t what)
{
    uint32_t weight = (what & NEIGHBOUR_TOGETHER ? 1 : 0) + (what & NEIGHBOUR_NEXT ? 1 : 0);

    assert(count_max >= 3 && count_max <= NEIGHBOURS_MAX);
    if (row->slot_count == 0)
        grow(row, blocks);
    for (uint32_t i = 0; i < number_count; i++) {
        if (numbers[i] == self)
            continue;
        uint32_t hash = hash_of(numbers[i]);
        uint32_t at = find_slot(row, numbers[i], hash);
        uint32_t place = row->index[at] & PLACE_MASK;
        if (place == 0)
            add_entry(row, blocks, count_max, numbers[i], hash, at, what);
        else
            row->entries[place - 1] = count_one(row->entries[place - 1], what);
        row->total += weight;
    }
}

uint64_t neighbours_find(const struct neighbours *row, uint32_t number)
{
    if (row->slot_count == 0)
        return 0;
    uint16_t word = row->index[find_slot(row, number, hash_of(number))];
    return word != 0 ? row->entries[(word & PLACE_MASK) - 1] : 0;
}

bool neighbours_append(struct neighbours *row, uint64_t entry)
{
    uint32_t number = neighbour_number(entry), hash = hash_of(number);

    if (row->slot_count == 0 || row->count == capacity_of(row->slot_count) || number == 0)
        return false;
    uint32_t at = find_slot(row, number, hash);
    if (row->index[at] != 0)
        return false;
    row->entries[row->count] = entry;
    row->index[at] = (uint16_t)(++row->count | tag_of(hash));
    return true;
}

void neighbours_renumber(struct neighbours *row, const uint32_t *numbers)
{
    uint32_t kept = 0;

    if (row->slot_count == 0)
        return;
    for (uint32_t i = 0; i < row->count; i++) {
        uint64_t number = numbers[neighbour_number(row->entries[i])];
        if (number != 0)
            row->entries[kept++] = (row->entries[i] & ~(uint64_t)NEIGHBOUR_NUMBER_MAX) | number;
    }
    row->count = (uint16_t)kept;
    fill_index(row);
}

void neighbours_free(struct neighbours *row, struct blocks *blocks)
{
    if (row->entries != NULL)
        blocks_give(blocks, row->entries, neighbours_bytes(row->slot_count));
    *row = (struct neighbours){0};
}
