#include "sink/backoff.h"

#include <assert.h>

static uint64_t draw(struct backoff *backoff)
{
    uint64_t word = backoff->random += 0x9E3779B97F4A7C15u;

    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9u;
    word = (word ^ (word >> 27)) * 0x94D049BB133111EBu;
    return word ^ (word >> 31);
}

void backoff_init(struct backoff *backoff, int64_t base_ms, int64_t most_ms, uint64_t seed)
{
    assert(base_ms > 0);
    assert(most_ms >= base_ms);
    *backoff = (struct backoff){.base_ms = base_ms, .most_ms = most_ms, .random = seed};
}

int64_t backoff_next_ms(struct backoff *backoff)
{
    int64_t ceiling_ms = backoff->base_ms;

    for (uint32_t i = 0; i < backoff->attempt && ceiling_ms < backoff->most_ms; i++)
        ceiling_ms = ceiling_ms > backoff->most_ms / 2 ? backoff->most_ms : 2 * ceiling_ms;
    if (backoff->attempt < UINT32_MAX)
        backoff->attempt++;
    return 1 + (int64_t)(draw(backoff) % (uint64_t)ceiling_ms);
}

void backoff_reset(struct backoff *backoff)
{
    backoff->attempt = 0;
}
