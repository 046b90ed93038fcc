#ifndef CLI_RANDOM_H
#define CLI_RANDOM_H
/*
 * random.h - numbers by chance from a seed, the same on every machine: SplitMix64
 * (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
 * For synthetic events, never for secrets.
 */
#include <math.h>
#include <stdint.h>

struct random {
    uint64_t state;
};

static inline uint64_t random_next(struct random *random)
{
    uint64_t word = random->state += UINT64_C(0x9E3779B97F4A7C15);

    word = (word ^ (word >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    word = (word ^ (word >> 27)) * UINT64_C(0x94D049BB133111EB);
    return word ^ (word >> 31);
}

/* In [0, 1). */
static inline double random_unit(struct random *random)
{
    return (double)(random_next(random) >> 11) * 0x1.0p-53;
}

/* In [0, bound); bound > 0. The bias of the remainder is below bound / 2^64. */
static inline uint64_t random_below(struct random *random, uint64_t bound)
{
    return random_next(random) % bound;
}

/* Both included. */
static inline int64_t random_between(struct random *random, int64_t least, int64_t most)
{
    return least + (int64_t)random_below(random, (uint64_t)(most - least) + 1);
}

/* In [0, bound), the small ones oftener; skew 1: all alike. */
static inline uint64_t random_skewed(struct random *random, uint64_t bound, double skew)
{
    uint64_t number = (uint64_t)(pow(random_unit(random), skew) * (double)bound);

    return number < bound ? number : bound - 1;
}
#endif
