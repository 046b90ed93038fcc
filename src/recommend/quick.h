#ifndef RECOMMEND_QUICK_H
#define RECOMMEND_QUICK_H
/*
 * quick.h - logarithm and exponential good to four digits, a few instructions each.
 *
 * Features are logarithms of counts, some thousand of them in a ranking; the C library's
 * would take most of its time. No table and no library: the same everywhere.
 */
#include <stdint.h>
#include <string.h>

/* log2 of x > 0, normal. Over the mantissa m in [1, 2): a fourth-degree polynomial in m that
 * is exact at both ends. */
static inline float quick_log2(float x)
{
    uint32_t bits;
    float mantissa;

    memcpy(&bits, &x, sizeof bits);
    float exponent = (float)((int32_t)(bits >> 23) - 127);
    bits = (bits & UINT32_C(0x007FFFFF)) | UINT32_C(0x3F800000);
    memcpy(&mantissa, &bits, sizeof mantissa);
    float m = mantissa - 1.0f;
    return exponent +
           m * (1.0f +
                (1.0f - m) * (0.441836f + m * (-0.266536f + m * (0.147019f - m * 0.0442437f))));
}

static inline float quick_log(float x)
{
    return quick_log2(x) * 0.69314718f;
}

/* e to the power of x; 0 below -87 and of no number, and x is cut at 87. */
static inline float quick_exp(float x)
{
    float scaled = x * 1.44269504f;
    float value;

    if (!(scaled >= -125.0f))
        return 0.0f;
    if (scaled > 125.0f)
        scaled = 125.0f;
    int32_t whole = (int32_t)(scaled + 126.0f) - 126; /* rounds down: the sum is positive */
    float rest = scaled - (float)whole;
    uint32_t bits = (uint32_t)(whole + 127) << 23;
    memcpy(&value, &bits, sizeof value);
    return value *
           (1.0f +
            rest * (0.69315f +
                    rest * (0.24015f + rest * (0.05583f + rest * (0.00898f + rest * 0.00189f)))));
}
#endif
