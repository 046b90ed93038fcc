#include "sink/token_bucket.h"

#include <assert.h>

void token_bucket_init(struct token_bucket *bucket, int64_t interval_ms, int64_t burst_max,
                       int64_t now_ms)
{
    assert(interval_ms > 0);
    assert(burst_max > 0);
    *bucket = (struct token_bucket){.interval_ms = interval_ms,
                                    .burst_max = burst_max,
                                    .credit_ms = interval_ms * burst_max,
                                    .seen_ms = now_ms};
}

static int64_t credit_at(const struct token_bucket *bucket, int64_t now_ms)
{
    int64_t most_ms = bucket->interval_ms * bucket->burst_max;
    int64_t passed_ms = now_ms - bucket->seen_ms;

    if (passed_ms <= 0)
        return bucket->credit_ms;
    return passed_ms >= most_ms - bucket->credit_ms ? most_ms : bucket->credit_ms + passed_ms;
}

bool token_bucket_take(struct token_bucket *bucket, int64_t now_ms)
{
    bucket->credit_ms = credit_at(bucket, now_ms);
    if (now_ms > bucket->seen_ms)
        bucket->seen_ms = now_ms;
    if (bucket->credit_ms < bucket->interval_ms)
        return false;
    bucket->credit_ms -= bucket->interval_ms;
    return true;
}

int64_t token_bucket_wait_ms(const struct token_bucket *bucket, int64_t now_ms)
{
    int64_t missing_ms = bucket->interval_ms - credit_at(bucket, now_ms);

    return missing_ms > 0 ? missing_ms : 0;
}
