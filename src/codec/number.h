#ifndef CODEC_NUMBER_H
#define CODEC_NUMBER_H
/*
 * number.h - JSON numbers, exactly.
 *
 * number_scan checks the grammar of RFC 8259 and takes the number apart in one pass;
 * number_int and number_double say what it is, without losing a bit.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"

struct number {
    struct view text;
    uint64_t digits;  /* the first 19 that count */
    int32_t exponent; /* digits * 10^exponent, when is_exact */
    bool is_negative;
    bool is_exact;
};

enum number_fit { NUMBER_FITS, NUMBER_NOT_WHOLE, NUMBER_TOO_LARGE };

/* Where the number ends, or NULL when none begins at `at`. */
const char *number_scan(const char *at, const char *end, struct number *number);
/* 1.0 and 1e3 are whole. */
enum number_fit number_int(const struct number *number, int64_t *value);
/* The nearest double; one too small for a double becomes zero. */
enum number_fit number_double(const struct number *number, double *value);
#endif
