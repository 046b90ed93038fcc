/*
 * A number is w * 10^e with w of at most 19 digits. Three ways to its double, the
 * cheapest that is exact:
 *
 *   w <= 2^53, |e| <= 22   both factors are doubles, and one multiplication or
 *                          division rounds once (W. Clinger, "How to Read Floating
 *                          Point Numbers Accurately", PLDI 1990)
 *   |e| <= 27              5^27 < 2^63, so product or quotient fit 128 bits; what
 *                          they leave over decides the rounding
 *   else                   the C library
 */
#include "codec/number.h"

#include <string.h>

#include "base/tree.h"

/* What is counted is cut short where it is far out of range: places beyond any message, so that
 * an exponent that was cut cannot meet as many of them and come out small. */
enum {
    DIGITS_MAX = 19,
    FIVES_MAX = 27,
    DROPPED_LIMIT = 100000,
    EXPONENT_LIMIT = 100000000,
    PLACES_LIMIT = 1000000000
};

static const uint64_t fives[FIVES_MAX + 1] = {
    UINT64_C(1),
    UINT64_C(5),
    UINT64_C(25),
    UINT64_C(125),
    UINT64_C(625),
    UINT64_C(3125),
    UINT64_C(15625),
    UINT64_C(78125),
    UINT64_C(390625),
    UINT64_C(1953125),
    UINT64_C(9765625),
    UINT64_C(48828125),
    UINT64_C(244140625),
    UINT64_C(1220703125),
    UINT64_C(6103515625),
    UINT64_C(30517578125),
    UINT64_C(152587890625),
    UINT64_C(762939453125),
    UINT64_C(3814697265625),
    UINT64_C(19073486328125),
    UINT64_C(95367431640625),
    UINT64_C(476837158203125),
    UINT64_C(2384185791015625),
    UINT64_C(11920928955078125),
    UINT64_C(59604644775390625),
    UINT64_C(298023223876953125),
    UINT64_C(1490116119384765625),
    UINT64_C(7450580596923828125),
};

static inline bool is_digit(char letter)
{
    return (unsigned char)(letter - '0') <= 9;
}

/* How many of the eight bytes at `at` are digits before one that is none, and their
 * value. */
static inline uint32_t take_eight(const char *at, uint64_t *value)
{
    uint64_t others;
    const uint64_t bytes = number_load_eight(at, &others);
    const uint32_t count = others == 0 ? 8 : (uint32_t)__builtin_ctzll(others) / 8;

    if (count > 0)
        *value = number_join_eight(bytes << (64 - 8 * count)); /* zeros in front */
    return count;
}

struct digit_run {
    uint64_t digits;
    uint32_t count;  /* leading zeros do not count */
    int32_t dropped; /* digits beyond DIGITS_MAX */
    bool is_exact;   /* those were zeros */
};

static inline const char *take_digits(const char *at, const char *end, struct digit_run *run)
{
    static const uint64_t powers[] = {1,      10,      100,      1000,     10000,
                                      100000, 1000000, 10000000, 100000000};
    uint64_t eight;

    while (run->digits == 0 && at < end && *at == '0')
        at++;
    while (end - at >= 8 && run->count + 8 <= DIGITS_MAX) {
        const uint32_t count = take_eight(at, &eight);
        if (count == 0)
            return at;
        run->digits = run->digits * powers[count] + eight;
        run->count += count;
        at += count;
        if (count < 8)
            return at;
    }
    for (; at < end && is_digit(*at); at++) {
        const unsigned digit = (unsigned)(*at - '0');
        if (run->count < DIGITS_MAX) {
            run->digits = run->digits * 10 + digit;
            run->count++;
        } else {
            run->dropped += run->dropped < DROPPED_LIMIT;
            run->is_exact &= digit == 0;
        }
    }
    return at;
}

/* e [+-] digits; huge ones are cut to what is far out of range anyway. */
static const char *take_exponent(const char *at, const char *end, int32_t *exponent)
{
    bool is_negative = false;
    int32_t value = 0;

    at++;
    if (at < end && (*at == '+' || *at == '-'))
        is_negative = *at++ == '-';
    if (at == end || !is_digit(*at))
        return NULL;
    for (; at < end && is_digit(*at); at++)
        if (value < EXPONENT_LIMIT)
            value = value * 10 + (*at - '0');
    *exponent = is_negative ? -value : value;
    return at;
}

const char *number_scan(const char *at, const char *end, struct number *number)
{
    const char *const start = at;
    struct digit_run run = {.is_exact = true};
    int32_t exponent = 0;

    number->is_negative = at < end && *at == '-';
    at += number->is_negative;
    if (at == end || !is_digit(*at))
        return NULL;
    if (*at == '0') {
        at++;
        if (at < end && is_digit(*at))
            return NULL;
    } else {
        at = take_digits(at, end, &run);
        exponent = run.dropped;
    }
    if (at < end && *at == '.') {
        const char *const fraction = ++at;
        const int32_t dropped = run.dropped;
        at = take_digits(at, end, &run);
        if (at == fraction)
            return NULL;
        const int64_t places = (at - fraction) - (run.dropped - dropped);
        exponent -= places < PLACES_LIMIT ? (int32_t)places : PLACES_LIMIT;
    }
    if (at < end && (*at | 0x20) == 'e') {
        int32_t power = 0;
        at = take_exponent(at, end, &power);
        if (at == NULL)
            return NULL;
        exponent += power;
    }
    number->digits = run.digits;
    number->is_exact = run.is_exact && run.dropped < DROPPED_LIMIT;
    number->exponent = exponent;
    number->text = (struct view){start, (uint32_t)(at - start)};
    return at;
}

enum number_fit number_int(const struct number *number, int64_t *value)
{
    const uint64_t limit = (uint64_t)INT64_MAX + number->is_negative;
    uint64_t digits = number->digits;
    int32_t exponent = number->exponent;

    if (digits == 0 && number->is_exact) {
        *value = 0;
        return NUMBER_FITS;
    }
    for (; exponent < 0 && digits % 10 == 0; exponent++)
        digits /= 10;
    /* More than 19 digits that count: whole or not, it is out of range, unless the
     * exponent makes most of them a fraction. */
    if (exponent < 0 || (!number->is_exact && exponent <= 0))
        return NUMBER_NOT_WHOLE;
    for (; exponent > 0; exponent--)
        if (__builtin_mul_overflow(digits, 10, &digits))
            return NUMBER_TOO_LARGE;
    if (!number->is_exact || digits > limit)
        return NUMBER_TOO_LARGE;
    *value = number->is_negative ? (int64_t)-digits : (int64_t)digits;
    return NUMBER_FITS;
}

/* bits * 2^exponent, where `has_rest` says that something below the lowest bit was left. */
static double round_bits(uint64_t bits, int exponent, bool has_rest)
{
    const int shift = __builtin_clzll(bits);

    bits <<= shift;
    exponent -= shift;
    uint64_t mantissa = bits >> 11;
    const uint64_t rest = bits & 0x7FF;
    if (rest > 0x400 || (rest == 0x400 && (has_rest || (mantissa & 1) != 0)))
        mantissa++;
    const uint64_t power_bits = (uint64_t)(exponent + 11 + 1023) << 52;
    double power;
    memcpy(&power, &power_bits, sizeof power);
    return (double)mantissa * power;
}

static double from_128_bits(uint64_t digits, int32_t exponent)
{
    if (exponent >= 0) {
        const unsigned __int128 product = (unsigned __int128)digits * fives[exponent];
        const uint64_t high = (uint64_t)(product >> 64);
        if (high == 0)
            return round_bits((uint64_t)product, exponent, false);
        const int shift = __builtin_clzll(high);
        const unsigned __int128 moved = product << shift;
        return round_bits((uint64_t)(moved >> 64), exponent + 64 - shift, (uint64_t)moved != 0);
    }
    /* Both topmost bits set, the dividend half a word higher: the quotient has 63 or
     * 64 bits, enough for the mantissa and the bit that decides. */
    const uint64_t five = fives[-exponent];
    const int up = __builtin_clzll(digits), down = __builtin_clzll(five);
    const unsigned __int128 dividend = (unsigned __int128)(digits << up) << 63;
    const uint64_t divisor = five << down;
    const uint64_t quotient = (uint64_t)(dividend / divisor);
    const bool has_rest = dividend % divisor != 0;
    return round_bits(quotient, exponent - 63 - up + down, has_rest);
}

enum number_fit number_double(const struct number *number, double *value)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    const uint64_t exact_max = UINT64_C(1) << 53;
    const int32_t exponent = number->exponent;
    double read;

    if (number->is_exact && number->digits <= exact_max && exponent >= -22 && exponent <= 22) {
        read = (double)number->digits;
        read = exponent < 0 ? read / powers[-exponent] : read * powers[exponent];
    } else if (number->is_exact && exponent >= -FIVES_MAX && exponent <= FIVES_MAX) {
        read = number->digits == 0 ? 0 : from_128_bits(number->digits, exponent);
    } else if (number->is_exact && number->digits == 0) {
        read = 0;
    } else {
        return text_double(number->text, value) ? NUMBER_FITS : NUMBER_TOO_LARGE;
    }
    *value = number->is_negative ? -read : read;
    return NUMBER_FITS;
}
