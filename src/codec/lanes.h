#ifndef CODEC_LANES_H
#define CODEC_LANES_H
/*
 * lanes.h - looking at many bytes of text at once.
 *
 * lanes_* load LANE_COUNT bytes and answer with a mask of LANE_BITS bits a byte, the
 * first byte lowest. In the portable form a mask is exact up to its lowest byte that
 * is set, which is all that the callers use.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/view.h"

#if defined(__SSE2__)
#include <emmintrin.h>

enum { LANE_COUNT = 16, LANE_BITS = 1 };

/* Quotes, backslashes and control characters: what ends or changes a JSON text. */
static inline uint64_t lanes_special(const char *at)
{
    const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
    const __m128i control = _mm_set1_epi8(0x1F);
    const __m128i found = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')),
                                                    _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'))),
                                       _mm_cmpeq_epi8(_mm_min_epu8(bytes, control), bytes));

    return (uint64_t)_mm_movemask_epi8(found);
}

static inline uint64_t lanes_high(const char *at)
{
    return (uint64_t)_mm_movemask_epi8(_mm_loadu_si128((const __m128i *)(const void *)at));
}

/* Bytes that are not plain: over 0x7F, or NUL. */
static inline uint64_t lanes_odd(const char *at)
{
    const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);

    return (uint64_t)_mm_movemask_epi8(
        _mm_or_si128(bytes, _mm_cmpeq_epi8(bytes, _mm_setzero_si128())));
}

#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>

enum { LANE_COUNT = 16, LANE_BITS = 4 };

static inline uint64_t lanes_mask(uint8x16_t found)
{
    return vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(found), 4)), 0);
}

static inline uint64_t lanes_special(const char *at)
{
    const uint8x16_t bytes = vld1q_u8((const uint8_t *)at);

    return lanes_mask(
        vorrq_u8(vorrq_u8(vceqq_u8(bytes, vdupq_n_u8('"')), vceqq_u8(bytes, vdupq_n_u8('\\'))),
                 vcltq_u8(bytes, vdupq_n_u8(0x20))));
}

static inline uint64_t lanes_high(const char *at)
{
    return lanes_mask(vcgeq_u8(vld1q_u8((const uint8_t *)at), vdupq_n_u8(0x80)));
}

static inline uint64_t lanes_odd(const char *at)
{
    const uint8x16_t bytes = vld1q_u8((const uint8_t *)at);

    return lanes_mask(vorrq_u8(vcgeq_u8(bytes, vdupq_n_u8(0x80)), vceqzq_u8(bytes)));
}

#else
#include <endian.h>

enum { LANE_COUNT = 8, LANE_BITS = 8 };

#define LANES_ALL(byte) (UINT64_C(0x0101010101010101) * (byte))

static inline uint64_t lanes_load(const char *at)
{
    uint64_t bytes;

    memcpy(&bytes, at, sizeof bytes);
    return le64toh(bytes);
}

/* The top bit of each byte that is below `limit` (<= 0x80). */
static inline uint64_t lanes_below(uint64_t bytes, uint8_t limit)
{
    return (bytes - LANES_ALL(limit)) & ~bytes & LANES_ALL(0x80);
}

static inline uint64_t lanes_special(const char *at)
{
    const uint64_t bytes = lanes_load(at);

    return lanes_below(bytes, 0x20) | lanes_below(bytes ^ LANES_ALL('"'), 1) |
           lanes_below(bytes ^ LANES_ALL('\\'), 1);
}

static inline uint64_t lanes_high(const char *at)
{
    return lanes_load(at) & LANES_ALL(0x80);
}

static inline uint64_t lanes_odd(const char *at)
{
    const uint64_t bytes = lanes_load(at);

    return lanes_below(bytes, 1) | (bytes & LANES_ALL(0x80));
}
#endif

/* The first quote, backslash or control character, or `end`. *has_high is set when a
 * byte over 0x7F stands before it. */
static inline const char *lanes_find_special(const char *at, const char *end, bool *has_high)
{
    while (end - at >= LANE_COUNT) {
        const uint64_t special = lanes_special(at);
        const uint64_t high = lanes_high(at);
        if (special != 0) {
            *has_high |= (high & ((special & -special) - 1)) != 0;
            return at + __builtin_ctzll(special) / LANE_BITS;
        }
        *has_high |= high != 0;
        at += LANE_COUNT;
    }
    for (; at < end; at++) {
        const unsigned char byte = (unsigned char)*at;
        if (byte < 0x20 || byte == '"' || byte == '\\')
            break;
        *has_high |= byte >= 0x80;
    }
    return at;
}

/* Well-formed UTF-8 without U+0000. `before` is how many bytes in front of `data` may be read:
 * with enough of them a short text is looked at in one go, from its end backwards. */
static inline bool lanes_is_clean(const char *data, size_t size, size_t before)
{
    uint64_t odd = 0;
    size_t at = 0;

    if (size >= LANE_COUNT) {
        for (; at + LANE_COUNT < size && odd == 0; at += LANE_COUNT)
            odd = lanes_odd(data + at);
        odd |= lanes_odd(data + size - LANE_COUNT);
    } else if (size > 0 && before + size >= LANE_COUNT) {
        odd = lanes_odd(data + size - LANE_COUNT) >> ((LANE_COUNT - size) * LANE_BITS);
    } else {
        for (; at < size; at++)
            odd |= (unsigned char)data[at] - 1u >= 0x7F;
    }
    return odd == 0 ||
           (memchr(data, '\0', size) == NULL && view_is_utf8((struct view){data, (uint32_t)size}));
}
#endif
