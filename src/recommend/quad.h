#ifndef RECOMMEND_QUAD_H
#define RECOMMEND_QUAD_H
/*
 * quad.h - four floats at once, by the vector extension that GCC and Clang share. Without
 * the instructions the compiler does one after the other, with the same results.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

typedef float quad __attribute__((vector_size(16)));
typedef int32_t quad_mask __attribute__((vector_size(16)));

static inline quad quad_of(float value)
{
    return (quad){value, value, value, value};
}

/* From memory that need not be aligned. */
static inline quad quad_load(const float *at)
{
    quad value;

    memcpy(&value, at, sizeof value);
    return value;
}

static inline float quad_sum(quad value)
{
    return (value[0] + value[1]) + (value[2] + value[3]);
}

/* `a` where the mask is set, else `b`. */
static inline quad quad_choose(quad_mask mask, quad a, quad b)
{
    return (quad)((mask & (quad_mask)a) | (~mask & (quad_mask)b));
}

/* The compilers do not see by themselves that these are single instructions. */
static inline quad quad_max(quad a, quad b)
{
#ifdef __SSE__
    return (quad)_mm_max_ps((__m128)a, (__m128)b);
#else
    return quad_choose(a > b, a, b);
#endif
}

static inline quad quad_root(quad value)
{
#ifdef __SSE__
    return (quad)_mm_sqrt_ps((__m128)value);
#else
    return (quad){sqrtf(value[0]), sqrtf(value[1]), sqrtf(value[2]), sqrtf(value[3])};
#endif
}
#endif
