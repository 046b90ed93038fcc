#include "recommend/neighbours.h"

#include <assert.h>
#include <string.h>

enum { COUNT_MAX = 0xFFFF };

static uint32_t hash_of(uint32_t number)
{
    uint32_t hash = number * UINT32_C(0x9E3779B1);

    return hash ^ (hash >> 15);
}

static uint64_t *bucket_of(const struct neighbours *row, uint32_t number)
{
    uint32_t bucket = hash_of(number) & (row->bucket_count - 1);

    return row->entries + (size_t)bucket * NEIGHBOUR_BUCKET;
}

void neighbours_reserve(struct neighbours *row, struct blocks *blocks, uint32_t bucket_count)
{
    assert(bucket_count > 0 && bucket_count <= NEIGHBOUR_BUCKETS_MAX &&
           (bucket_count & (bucket_count - 1)) == 0);
    row->entries = blocks_take(blocks, neighbours_bytes(bucket_count));
    row->bucket_count = bucket_count;
    memset(row->entries, 0, neighbours_bytes(bucket_count));
}

/* Into the first empty place of its bucket, which must have one. */
static void put_entry(struct neighbours *row, uint64_t entry)
{
    uint64_t *bucket = bucket_of(row, neighbour_number(entry));

    while (*bucket != 0)
        bucket++;
    *bucket = entry;
}

static void grow(struct neighbours *row, struct blocks *blocks)
{
    struct neighbours old = *row;

    neighbours_reserve(row, blocks, old.bucket_count == 0 ? 1 : old.bucket_count * 2);
    for (uint32_t place = 0; place < neighbours_places(&old); place++)
        if (old.entries[place] != 0)
            put_entry(row, old.entries[place]);
    if (old.entries != NULL)
        blocks_give(blocks, old.entries, neighbours_bytes(old.bucket_count));
}

/* ---- a bucket ---- */

/* All eight entries at once, by the vector extension that GCC and Clang share: a loop would
 * leave at another place each time, which costs more than to look at them all. */
typedef uint32_t four __attribute__((vector_size(16)));

_Static_assert(NEIGHBOUR_BUCKET == 8, "two of four");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "see split_bucket");

/* The lower halves of the entries, number and missed, and the upper ones, the counts. */
static inline void split_bucket(const uint64_t *bucket, four low[2], four high[2])
{
    for (int i = 0; i < 2; i++) {
        four first, second;
        memcpy(&first, bucket + 4 * i, sizeof first);
        memcpy(&second, bucket + 4 * i + 2, sizeof second);
        low[i] = __builtin_shufflevector(first, second, 0, 2, 4, 6);
        high[i] = __builtin_shufflevector(first, second, 1, 3, 5, 7);
    }
}

/* Where `number` stands, from 1; 0: nowhere. */
static inline uint32_t find_in(const uint64_t *bucket, uint32_t number)
{
    static const four places[2] = {{1, 2, 3, 4}, {5, 6, 7, 8}};
    four low[2], high[2], found = {0};

    split_bucket(bucket, low, high);
    for (int i = 0; i < 2; i++)
        found |= (four)((low[i] & NEIGHBOUR_NUMBER_MAX) == number) & places[i];
    found |= __builtin_shufflevector(found, found, 2, 3, 0, 1);
    return found[0] | found[1];
}

static uint32_t weight_of(uint64_t entry)
{
    return neighbour_missed(entry) + neighbour_together(entry) + neighbour_next(entry);
}

/* The first of the lightest. */
static uint64_t *lightest_of(uint64_t *bucket)
{
    static const four places[2] = {{0, 1, 2, 3}, {4, 5, 6, 7}};
    four low[2], high[2], keys[2];

    split_bucket(bucket, low, high);
    for (int i = 0; i < 2; i++)
        keys[i] = ((low[i] >> 20) + (high[i] & 0xFFFF) + (high[i] >> 16)) << 3 | places[i];
    four is_first = (four)(keys[0] < keys[1]);
    four least = (keys[0] & is_first) | (keys[1] & ~is_first);
    uint32_t key = least[0];
    for (int i = 1; i < 4; i++)
        key = least[i] < key ? least[i] : key;
    return &bucket[key & (NEIGHBOUR_BUCKET - 1)];
}

/* ---- counting ---- */

/* Counts stop at their end; `what` is far less than half of that. */
static uint64_t count_near_end(uint64_t entry, uint64_t what)
{
    uint64_t together = neighbour_together(entry) + neighbour_together(what);
    uint64_t next = neighbour_next(entry) + neighbour_next(what);

    together = together < COUNT_MAX ? together : COUNT_MAX;
    next = next < COUNT_MAX ? next : COUNT_MAX;
    return (entry & UINT32_MAX) | together << 32 | next << 48;
}

static inline uint64_t count_one(uint64_t entry, uint64_t what)
{
    static const uint64_t halves = (NEIGHBOUR_TOGETHER | NEIGHBOUR_NEXT) << 15;

    return (entry & halves) == 0 ? entry + what : count_near_end(entry, what);
}

/* A newcomer. False: its bucket is full, and the row may still grow. An empty place is the
 * lightest there is, so that what happens does not hang on how full the bucket is: whoever
 * cannot foresee a branch pays for it dearly. */
static bool enter(struct neighbours *row, uint64_t *bucket, uint32_t bucket_max, uint32_t number,
                  uint64_t what)
{
    uint64_t *lightest = lightest_of(bucket);
    uint64_t missed = weight_of(*lightest);

    if (row->bucket_count < bucket_max && *lightest != 0)
        return false;
    missed = missed < NEIGHBOUR_MISSED_MAX ? missed : NEIGHBOUR_MISSED_MAX;
    row->count += *lightest == 0;
    *lightest = number | missed << 20 | what;
    return true;
}

void neighbours_add(struct neighbours *row, struct blocks *blocks, uint32_t bucket_max,
                    uint32_t self, const uint32_t *numbers, uint32_t number_count, uint64_t what)
{
    assert(bucket_max > 0 && bucket_max <= NEIGHBOUR_BUCKETS_MAX &&
           (bucket_max & (bucket_max - 1)) == 0);
    if (row->bucket_count == 0)
        grow(row, blocks);
    for (uint32_t i = 0; i < number_count; i++) {
        if (numbers[i] == self)
            continue;
        uint64_t *bucket = bucket_of(row, numbers[i]);
        uint32_t place = find_in(bucket, numbers[i]);
        if (place != 0) {
            bucket[place - 1] = count_one(bucket[place - 1], what);
            continue;
        }
        while (!enter(row, bucket, bucket_max, numbers[i], what)) {
            grow(row, blocks);
            bucket = bucket_of(row, numbers[i]);
        }
    }
}

void neighbours_prefetch(const struct neighbours *row, const uint32_t *numbers,
                         uint32_t number_count)
{
    for (uint32_t i = 0; i < number_count && row->bucket_count != 0; i++)
        __builtin_prefetch(bucket_of(row, numbers[i]), 1);
}

uint64_t neighbours_find(const struct neighbours *row, uint32_t number)
{
    if (row->bucket_count == 0)
        return 0;
    const uint64_t *bucket = bucket_of(row, number);
    uint32_t place = find_in(bucket, number);
    return place != 0 ? bucket[place - 1] : 0;
}

/* ---- numbers, loading ---- */

bool neighbours_place(struct neighbours *row, uint32_t place, uint64_t entry)
{
    uint32_t number = neighbour_number(entry);
    const uint64_t *bucket = row->entries + place / NEIGHBOUR_BUCKET * NEIGHBOUR_BUCKET;

    if (number == 0 || place >= neighbours_places(row) || row->entries[place] != 0 ||
        bucket_of(row, number) != bucket || neighbours_find(row, number) != 0 ||
        (place % NEIGHBOUR_BUCKET > 0 && row->entries[place - 1] == 0))
        return false;
    row->entries[place] = entry;
    row->count++;
    return true;
}

/* The size stays; of those whom their new numbers bring into a full bucket the lightest
 * goes. */
void neighbours_renumber(struct neighbours *row, struct blocks *blocks, const uint32_t *numbers)
{
    struct neighbours old = *row;

    if (old.bucket_count == 0)
        return;
    *row = (struct neighbours){0};
    neighbours_reserve(row, blocks, old.bucket_count);
    for (uint32_t place = 0; place < neighbours_places(&old); place++) {
        uint64_t entry = old.entries[place];
        uint64_t number = numbers[neighbour_number(entry)];
        if (entry == 0 || number == 0)
            continue;
        entry = (entry & ~(uint64_t)NEIGHBOUR_NUMBER_MAX) | number;
        uint64_t *bucket = bucket_of(row, (uint32_t)number);
        if (bucket[NEIGHBOUR_BUCKET - 1] == 0) {
            put_entry(row, entry);
            row->count++;
        } else if (weight_of(*lightest_of(bucket)) < weight_of(entry)) {
            *lightest_of(bucket) = entry;
        }
    }
    blocks_give(blocks, old.entries, neighbours_bytes(old.bucket_count));
}

void neighbours_free(struct neighbours *row, struct blocks *blocks)
{
    if (row->entries != NULL)
        blocks_give(blocks, row->entries, neighbours_bytes(row->bucket_count));
    *row = (struct neighbours){0};
}
