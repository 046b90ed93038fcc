#ifndef SINK_BACKOFF_H
#define SINK_BACKOFF_H
/*
 * backoff.h - how long to wait before the next attempt.
 *
 * Full jitter: attempt n waits a random time between 0 and base * 2^n, at most
 * `most_ms`, so that many clients of one destination that came back do not return
 * in step (M. Brooker, "Exponential Backoff and Jitter", 2015). The random numbers
 * are SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number
 * generators", 2014): the same seed gives the same waits.
 *
 * Units    _ms milliseconds
 * Threads  one owner, no locks
 */
#include <stdint.h>

struct backoff {
    int64_t base_ms; /* > 0 */
    int64_t most_ms; /* >= base_ms */
    uint64_t random;
    uint32_t attempt; /* failures so far */
};

void backoff_init(struct backoff *backoff, int64_t base_ms, int64_t most_ms, uint64_t seed);
/* The wait after one more failure: 1 .. most_ms. */
int64_t backoff_next_ms(struct backoff *backoff);
/* After a success. */
void backoff_reset(struct backoff *backoff);
#endif
