#include "sink/breaker.h"

#include <assert.h>

void breaker_init(struct breaker *breaker, int64_t failures_max, int64_t open_ms)
{
    assert(failures_max > 0);
    assert(open_ms > 0);
    *breaker = (struct breaker){.failures_max = failures_max, .open_ms = open_ms};
}

bool breaker_allows(struct breaker *breaker, int64_t now_ms)
{
    switch (breaker->state) {
    case BREAKER_CLOSED:
        return true;
    case BREAKER_OPEN:
        if (now_ms - breaker->opened_at_ms < breaker->open_ms)
            return false;
        breaker->state = BREAKER_HALF_OPEN;
        breaker->is_probing = true;
        return true;
    case BREAKER_HALF_OPEN:
        if (breaker->is_probing)
            return false;
        breaker->is_probing = true;
        return true;
    }
    assert(!"a state outside the enum");
    return false;
}

void breaker_succeeded(struct breaker *breaker)
{
    breaker_reset(breaker);
}

void breaker_failed(struct breaker *breaker, int64_t now_ms)
{
    breaker->is_probing = false;
    if (breaker->failures < breaker->failures_max)
        breaker->failures++;
    /* A failure that was under way when the breaker opened does not lengthen the wait. */
    if (breaker->state == BREAKER_OPEN || breaker->failures < breaker->failures_max)
        return;
    breaker->state = BREAKER_OPEN;
    breaker->opened_at_ms = now_ms;
}

void breaker_reset(struct breaker *breaker)
{
    breaker->state = BREAKER_CLOSED;
    breaker->failures = 0;
    breaker->is_probing = false;
}

int64_t breaker_wait_ms(const struct breaker *breaker, int64_t now_ms)
{
    int64_t left_ms = breaker->opened_at_ms + breaker->open_ms - now_ms;

    return breaker->state == BREAKER_OPEN && left_ms > 0 ? left_ms : 0;
}

const char *breaker_state_name(enum breaker_state state)
{
    switch (state) {
    case BREAKER_CLOSED:
        return "closed";
    case BREAKER_OPEN:
        return "open";
    case BREAKER_HALF_OPEN:
        return "half-open";
    }
    assert(!"a state outside the enum");
    return "";
}
