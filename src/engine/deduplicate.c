/*
 * A ring of entries in order of arrival, and a hash table of positions in it:
 *
 *        head                       head + count
 *   ring: [ hash, time | hash, time | ...      ]
 *              ^
 *   index: [ - | position | - | - | position ]     linear probing, half full at most
 *
 * Arrival is nearly the order of time, so the head is (nearly) the oldest: expiry
 * looks at the head only and costs nothing while nothing expires. Whether two events
 * are the same is decided by their times, not by what happens to be in the ring.
 *
 * Ids are kept as 128 bits of hash. Two different ids are taken for one with a
 * probability of n^2 / 2^129: for 10^9 remembered ids, 10^-21.
 *
 * Invariant: each entry that the index names is in the ring; an entry that the index
 * does not name was replaced by a newer one of the same id.
 */
#include "engine/deduplicate.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

enum { RING_FIRST = 128 };

struct entry {
    uint64_t hash[2];
    int64_t time_ms;
};

enum { ENTRY_BYTES = sizeof(struct entry) + 2 * sizeof(uint32_t) };

struct deduplicate {
    int64_t window_ms;
    struct entry *ring;
    uint32_t *index;   /* position in the ring + 1; 0: free; 2 * capacity of them */
    uint32_t capacity; /* a power of two */
    uint32_t capacity_max;
    uint64_t head; /* counts for ever; position = head modulo capacity */
    uint32_t count;
    uint64_t pushed_out;
};

struct deduplicate *deduplicate_create(int64_t window_ms, size_t bytes_max)
{
    struct deduplicate *deduplicate = calloc(1, sizeof *deduplicate);

    assert(deduplicate != NULL);
    assert(window_ms > 0);
    deduplicate->window_ms = window_ms;
    deduplicate->capacity_max = RING_FIRST;
    while (deduplicate->capacity_max < UINT32_MAX / 4 &&
           (size_t)deduplicate->capacity_max * 2 * ENTRY_BYTES <= bytes_max)
        deduplicate->capacity_max *= 2;
    return deduplicate;
}

void deduplicate_destroy(struct deduplicate *deduplicate)
{
    if (deduplicate == NULL)
        return;
    free(deduplicate->ring);
    free(deduplicate->index);
    free(deduplicate);
}

static uint32_t position_of(const struct deduplicate *deduplicate, uint64_t number)
{
    return (uint32_t)(number & (deduplicate->capacity - 1));
}

static uint32_t home_of(const uint64_t hash[2], uint32_t mask)
{
    return (uint32_t)hash_place((struct view){(const char *)hash, 2 * sizeof *hash}, 0) & mask;
}

/* The slot of that hash, or the free one where it belongs. */
static uint32_t find_slot(const struct deduplicate *deduplicate, const uint64_t hash[2])
{
    uint32_t mask = 2 * deduplicate->capacity - 1;

    for (uint32_t slot = home_of(hash, mask);; slot = (slot + 1) & mask) {
        uint32_t position = deduplicate->index[slot];
        if (position == 0)
            return slot;
        const struct entry *entry = &deduplicate->ring[position - 1];
        if (entry->hash[0] == hash[0] && entry->hash[1] == hash[1])
            return slot;
    }
}

/* Frees a slot and moves up those behind it that would not be found any more. */
static void free_slot(struct deduplicate *deduplicate, uint32_t slot)
{
    uint32_t mask = 2 * deduplicate->capacity - 1;

    for (uint32_t next = (slot + 1) & mask; deduplicate->index[next] != 0;
         next = (next + 1) & mask) {
        uint32_t position = deduplicate->index[next];
        uint32_t home = home_of(deduplicate->ring[position - 1].hash, mask);
        if (((next - home) & mask) < ((next - slot) & mask))
            continue;
        deduplicate->index[slot] = position;
        slot = next;
    }
    deduplicate->index[slot] = 0;
}

static void drop_head(struct deduplicate *deduplicate)
{
    uint32_t position = position_of(deduplicate, deduplicate->head);
    uint32_t slot = find_slot(deduplicate, deduplicate->ring[position].hash);

    if (deduplicate->index[slot] == position + 1)
        free_slot(deduplicate, slot);
    deduplicate->head++;
    deduplicate->count--;
}

static void grow(struct deduplicate *deduplicate)
{
    uint32_t capacity = deduplicate->capacity > 0 ? 2 * deduplicate->capacity : RING_FIRST;
    struct entry *ring = malloc(capacity * sizeof *ring);
    struct entry *old = deduplicate->ring;

    assert(ring != NULL);
    for (uint32_t i = 0; i < deduplicate->count; i++)
        ring[(deduplicate->head + i) & (capacity - 1)] =
            old[position_of(deduplicate, deduplicate->head + i)];
    free(deduplicate->ring);
    free(deduplicate->index);
    deduplicate->ring = ring;
    deduplicate->index = calloc((size_t)2 * capacity, sizeof(uint32_t));
    assert(deduplicate->index != NULL);
    deduplicate->capacity = capacity;
    /* From old to new: the newest entry of an id is the one that the index names. */
    for (uint32_t i = 0; i < deduplicate->count; i++) {
        uint32_t position = position_of(deduplicate, deduplicate->head + i);
        deduplicate->index[find_slot(deduplicate, ring[position].hash)] = position + 1;
    }
}

static void make_room(struct deduplicate *deduplicate)
{
    if (deduplicate->count < deduplicate->capacity)
        return;
    if (deduplicate->capacity < deduplicate->capacity_max) {
        grow(deduplicate);
        return;
    }
    drop_head(deduplicate);
    deduplicate->pushed_out++;
}

static void append(struct deduplicate *deduplicate, const struct entry *entry)
{
    uint32_t position;

    make_room(deduplicate);
    position = position_of(deduplicate, deduplicate->head + deduplicate->count);
    deduplicate->ring[position] = *entry;
    deduplicate->count++;
    deduplicate->index[find_slot(deduplicate, entry->hash)] = position + 1;
}

static bool is_within(int64_t a_ms, int64_t b_ms, int64_t window_ms)
{
    return a_ms > b_ms ? a_ms - b_ms <= window_ms : b_ms - a_ms <= window_ms;
}

bool deduplicate_admit(struct deduplicate *deduplicate, struct view tenant_id, struct view id,
                       int64_t time_ms, int64_t watermark_ms)
{
    struct entry entry = {
        .hash = {hash_view(id, hash_view(tenant_id, 1)), hash_view(id, hash_view(tenant_id, 2))},
        .time_ms = time_ms,
    };

    while (deduplicate->count > 0) {
        const struct entry *oldest =
            &deduplicate->ring[position_of(deduplicate, deduplicate->head)];
        if (oldest->time_ms >= watermark_ms ||
            is_within(oldest->time_ms, watermark_ms, deduplicate->window_ms))
            break;
        drop_head(deduplicate);
    }
    if (deduplicate->count > 0) {
        uint32_t position = deduplicate->index[find_slot(deduplicate, entry.hash)];
        if (position != 0 &&
            is_within(deduplicate->ring[position - 1].time_ms, time_ms, deduplicate->window_ms))
            return false;
    }
    append(deduplicate, &entry);
    return true;
}

size_t deduplicate_bytes(const struct deduplicate *deduplicate)
{
    return sizeof *deduplicate + (size_t)deduplicate->capacity * ENTRY_BYTES;
}

uint64_t deduplicate_pushed_out(const struct deduplicate *deduplicate)
{
    return deduplicate->pushed_out;
}

void deduplicate_save(const struct deduplicate *deduplicate, struct byte_writer *out)
{
    byte_put_u64(out, deduplicate->pushed_out);
    byte_put_varint(out, deduplicate->count);
    for (uint32_t i = 0; i < deduplicate->count; i++) {
        const struct entry *entry =
            &deduplicate->ring[position_of(deduplicate, deduplicate->head + i)];
        byte_put_u64(out, entry->hash[0]);
        byte_put_u64(out, entry->hash[1]);
        byte_put_i64(out, entry->time_ms);
    }
}

void deduplicate_load(struct deduplicate *deduplicate, struct byte_reader *in)
{
    uint64_t pushed_out = byte_take_u64(in);
    uint64_t count = byte_take_count(in, sizeof(struct entry));

    assert(deduplicate == NULL || deduplicate->count == 0);
    for (uint64_t i = 0; i < count && !in->broken; i++) {
        struct entry entry;
        entry.hash[0] = byte_take_u64(in);
        entry.hash[1] = byte_take_u64(in);
        entry.time_ms = byte_take_i64(in);
        if (deduplicate != NULL)
            append(deduplicate, &entry);
    }
    if (deduplicate != NULL)
        deduplicate->pushed_out += pushed_out;
}
