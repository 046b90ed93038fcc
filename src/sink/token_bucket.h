#ifndef SINK_TOKEN_BUCKET_H
#define SINK_TOKEN_BUCKET_H
/*
 * token_bucket.h - at most so many messages a time, with short bursts.
 *
 * A token appears every interval_ms, up to burst_max of them; a message takes one.
 * Counted in milliseconds of credit, so that nothing is lost to rounding.
 *
 * Pure: time comes as data.
 *
 * Units    _ms milliseconds of one clock that never goes back
 * Threads  one owner, no locks
 */
#include <stdbool.h>
#include <stdint.h>

struct token_bucket {
    int64_t interval_ms; /* > 0 */
    int64_t burst_max;   /* > 0 */
    int64_t credit_ms;   /* 0 .. interval_ms * burst_max */
    int64_t seen_ms;
};

/* Begins full. */
void token_bucket_init(struct token_bucket *bucket, int64_t interval_ms, int64_t burst_max,
                       int64_t now_ms);
/* False: no token yet. */
bool token_bucket_take(struct token_bucket *bucket, int64_t now_ms);
/* Until there is a token; 0: now. */
int64_t token_bucket_wait_ms(const struct token_bucket *bucket, int64_t now_ms);
#endif
