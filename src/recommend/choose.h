#ifndef RECOMMEND_CHOOSE_H
#define RECOMMEND_CHOOSE_H
/*
 * choose.h - the n-th of some numbers, without sorting them.
 */
#include <stdint.h>

/* Rearranges `values` so that none before `index` is greater than the one there and none
 * after is less, and returns it. No NaN; index < count. The same input gives the same
 * order. */
float choose_nth(float *values, uint32_t count, uint32_t index);
#endif
