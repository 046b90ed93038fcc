#ifndef BASE_HASH_H
#define BASE_HASH_H
/*
 * hash.h - the hash functions of the house.
 *
 * hash_bytes     XXH3, 64 bits: ids, digests, what is saved. The same on every machine.
 * hash_place     with a secret of the process: where a text lies in a table. Who chooses the
 *                texts cannot make them meet there. Never in anything that is saved or that
 *                another process computes too.
 * hash_murmur2   murmur2 as Kafka's Java client partitions keys (Utils.murmur2,
 *                seed 0x9747b28c); librdkafka calls it "murmur2".
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/view.h"

uint64_t hash_bytes(const void *data, size_t size, uint64_t seed);
uint64_t hash_view(struct view view, uint64_t seed);
/* Before the first table that uses hash_place, and before threads; preset 0. */
void hash_set_secret(uint64_t secret);
extern uint64_t hash_secret; /* for hash_place alone */

/* Most ids fill one or two words, and are not worth a call: the words, which overlap, are
 * multiplied and the product folded, as XXH3 does it. */
static inline uint64_t hash_place(struct view view, uint64_t seed)
{
    uint64_t first, last;

    seed ^= hash_secret;
    if (view.size < sizeof first || view.size > 2 * sizeof first)
        return hash_bytes(view.data, view.size, seed);
    memcpy(&first, view.data, sizeof first);
    memcpy(&last, view.data + view.size - sizeof last, sizeof last);
    first ^= seed + UINT64_C(0x9E3779B97F4A7C15) * view.size;
    last ^= (seed >> 32 | seed << 32) ^ UINT64_C(0xD6E8FEB86659FD93);
    const unsigned __int128 product = (unsigned __int128)first * last;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}
/* Mixes one more word into a running hash; cheap, order matters. */
uint64_t hash_mix(uint64_t hash, uint64_t word);
uint32_t hash_murmur2(const void *data, size_t size);
/* The partition of `key` among `count` (> 0), as Kafka's Java client says. */
int32_t hash_partition(struct view key, int32_t count);
/* CRC-32C (Castagnoli), for stored blocks. */
uint32_t hash_crc32c(const void *data, size_t size);
/* The same sum on machines without an instruction for it. */
uint32_t hash_crc32c_portable(const void *data, size_t size);
#endif
