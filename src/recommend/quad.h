#ifndef RECOMMEND_QUAD_H
#define RECOMMEND_QUAD_H
/*
 * quad.h - four floats at once, by the vector extension that GCC and Clang share. Without
 * the instructions the compiler does one after the other, with the same results.
 */
#include <stdint.h>
#include <string.h>

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

static inline quad quad_max(quad a, quad b)
{
    return quad_choose(a > b, a, b);
}
#endif
