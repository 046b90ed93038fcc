#ifndef CODEC_NUMBER_H
#define CODEC_NUMBER_H
/*
 * number.h - JSON numbers, exactly.
 *
 * number_scan checks the grammar of RFC 8259 and takes the number apart in one pass;
 * number_int and number_double say what it is, without losing a bit.
 */
#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/view.h"

struct number {
    struct view text;
    uint64_t digits;  /* the first 19 that count */
    int32_t exponent; /* digits * 10^exponent, when is_exact */
    bool is_negative;
    bool is_exact;
};

/* Where a number of at most seven digits ends that has no sign and no exponent; NULL: it
 * is none such, or stands too near to the end, and number_scan must see to it. It is
 * digits / 10^places. */
static inline const char *number_scan_short(const char *at, const char *end, uint32_t *digits,
                                            uint32_t *places);

enum number_fit { NUMBER_FITS, NUMBER_NOT_WHOLE, NUMBER_TOO_LARGE };

/* Where the number ends, or NULL when none begins at `at`. */
const char *number_scan(const char *at, const char *end, struct number *number);
/* 1.0 and 1e3 are whole. */
enum number_fit number_int(const struct number *number, int64_t *value);
/* The nearest double; one too small for a double becomes zero. */
enum number_fit number_double(const struct number *number, double *value);

/* The value of eight digits (not characters), the first one lowest. Pairs of digits, then fours,
 * then all eight are joined by multiplication. */
static inline uint32_t number_join_eight(uint64_t digits)
{
    digits = digits * 10 + (digits >> 8);
    return (uint32_t)((((digits & UINT64_C(0x000000FF000000FF)) * UINT64_C(0x000F424000000064)) +
                       (((digits >> 16) & UINT64_C(0x000000FF000000FF)) *
                        UINT64_C(0x0000271000000001))) >>
                      32);
}

/* The eight bytes at `at` as digits, and a bit for each byte that is none. */
static inline uint64_t number_load_eight(const char *at, uint64_t *others)
{
    uint64_t bytes;

    memcpy(&bytes, at, sizeof bytes);
    bytes = le64toh(bytes) ^ UINT64_C(0x3030303030303030);
    *others = (((bytes & UINT64_C(0x7F7F7F7F7F7F7F7F)) + UINT64_C(0x7676767676767676)) | bytes) &
              UINT64_C(0x8080808080808080);
    return bytes;
}

static inline const char *number_scan_short(const char *at, const char *end, uint32_t *digits,
                                            uint32_t *places)
{
    uint64_t others, bytes;

    if (end - at < 8)
        return NULL;
    bytes = number_load_eight(at, &others);
    if (others == 0)
        return NULL;
    uint32_t count = (uint32_t)__builtin_ctzll(others) / 8;
    uint32_t size = count;
    /* Neither nothing nor a zero in front of other digits. */
    if (count == 0 || (count > 1 && (bytes & 0xFF) == 0))
        return NULL;
    *places = 0;
    if (at[count] == '.') {
        others &= others - 1;
        if (others == 0)
            return NULL;
        /* The digits behind the point move down over it. */
        const uint64_t before = (UINT64_C(1) << 8 * count) - 1;
        bytes = (bytes & before) | (bytes >> 8 & ~before);
        size = (uint32_t)__builtin_ctzll(others) / 8;
        *places = size - count - 1;
        if (*places == 0)
            return NULL;
        count = size - 1;
    }
    if ((at[size] | 0x20) == 'e' || at[size] == '.')
        return NULL;
    *digits = number_join_eight(bytes << (64 - 8 * count));
    return at + size;
}
#endif
