#define XXH_INLINE_ALL
#include <xxhash.h>

#include <assert.h>
#include <endian.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "base/hash.h"

uint64_t hash_bytes(const void *data, size_t size, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, size, seed);
}

uint64_t hash_view(struct view view, uint64_t seed)
{
    return XXH3_64bits_withSeed(view.data, view.size, seed);
}

uint64_t hash_secret;

void hash_set_secret(uint64_t secret)
{
    hash_secret = secret;
}

/* The finalizer of murmur3, over a sum in which `hash` and `word` are not exchangeable. */
uint64_t hash_mix(uint64_t hash, uint64_t word)
{
    uint64_t mixed = hash * UINT64_C(0x9E3779B97F4A7C15) + word + UINT64_C(0xD6E8FEB86659FD93);

    mixed = (mixed ^ (mixed >> 33)) * UINT64_C(0xFF51AFD7ED558CCD);
    mixed = (mixed ^ (mixed >> 33)) * UINT64_C(0xC4CEB9FE1A85EC53);
    return mixed ^ (mixed >> 33);
}

uint32_t hash_murmur2(const void *data, size_t size)
{
    const uint32_t multiplier = 0x5bd1e995;
    const unsigned char *at = data;
    const unsigned char *end = at + (size & ~(size_t)3);
    uint32_t hash = UINT32_C(0x9747b28c) ^ (uint32_t)size;
    uint32_t word;

    for (; at != end; at += sizeof word) {
        memcpy(&word, at, sizeof word);
        word = le32toh(word) * multiplier;
        word = (word ^ (word >> 24)) * multiplier;
        hash = (hash * multiplier) ^ word;
    }
    switch (size & 3) {
    case 3:
        hash ^= (uint32_t)at[2] << 16; /* fall through */
    case 2:
        hash ^= (uint32_t)at[1] << 8; /* fall through */
    case 1:
        hash = (hash ^ at[0]) * multiplier;
    }
    hash = (hash ^ (hash >> 13)) * multiplier;
    return hash ^ (hash >> 15);
}

int32_t hash_partition(struct view key, int32_t count)
{
    assert(count > 0);
    return (int32_t)(hash_murmur2(key.data, key.size) & 0x7fffffff) % count;
}

/* CRC-32C eight bytes at a time: crc_tables[n][byte] is what `byte` does to the
 * sum n bytes later. */
static uint32_t crc_tables[8][256];
static pthread_once_t crc_once = PTHREAD_ONCE_INIT;

static void fill_crc_tables(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t sum = byte;
        for (int bit = 0; bit < 8; bit++)
            sum = (sum >> 1) ^ ((sum & 1) != 0 ? UINT32_C(0x82F63B78) : 0);
        crc_tables[0][byte] = sum;
    }
    for (uint32_t byte = 0; byte < 256; byte++)
        for (int table = 1; table < 8; table++) {
            uint32_t sum = crc_tables[table - 1][byte];
            crc_tables[table][byte] = (sum >> 8) ^ crc_tables[0][sum & 0xFF];
        }
}

uint32_t hash_crc32c_portable(const void *data, size_t size)
{
    const unsigned char *at = data;
    uint32_t sum = UINT32_MAX;
    uint64_t word;

    pthread_once(&crc_once, fill_crc_tables);
    for (; size >= sizeof word; size -= sizeof word, at += sizeof word) {
        memcpy(&word, at, sizeof word);
        word = le64toh(word) ^ sum;
        sum = 0;
        for (int byte = 0; byte < 8; byte++)
            sum ^= crc_tables[7 - byte][(word >> (8 * byte)) & 0xFF];
    }
    for (; size > 0; size--, at++)
        sum = (sum >> 8) ^ crc_tables[0][(sum ^ *at) & 0xFF];
    return ~sum;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_by_instruction(const void *data,
                                                                        size_t size)
{
    const unsigned char *at = data;
    uint64_t sum = UINT32_MAX;
    uint64_t word;

    for (; size >= sizeof word; size -= sizeof word, at += sizeof word) {
        memcpy(&word, at, sizeof word);
        sum = __builtin_ia32_crc32di(sum, word);
    }
    for (; size > 0; size--, at++)
        sum = __builtin_ia32_crc32qi((uint32_t)sum, *at);
    return ~(uint32_t)sum;
}
#endif

uint32_t hash_crc32c(const void *data, size_t size)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return crc32c_by_instruction(data, size);
#endif
    return hash_crc32c_portable(data, size);
}
