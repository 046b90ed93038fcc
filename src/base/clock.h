#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H
/*
 * clock.h - the only place that reads the time, behind a struct so that tests
 * and simulations bring their own.
 *
 * Only the shell (pipeline, kafka, sink, ops, cli) reads a clock, and never per
 * event; the engine is told the time (engine_tick).
 */
#include <pthread.h>
#include <stdint.h>
#include <time.h>

struct clock {
    int64_t (*wall_ms)(void *context);      /* epoch milliseconds, may jump */
    int64_t (*monotonic_ns)(void *context); /* nanoseconds, never goes back */
    void *context;
};

/* The machine's clock. Lives for ever. */
const struct clock *clock_system(void);

/* Goes by CLOCK_MONOTONIC. */
void clock_condition_init(pthread_cond_t *condition);
/* The end of a wait that begins now, for such a condition variable. */
struct timespec clock_deadline(int64_t timeout_ms);

static inline int64_t clock_wall_ms(const struct clock *clock)
{
    return clock->wall_ms(clock->context);
}
static inline int64_t clock_monotonic_ns(const struct clock *clock)
{
    return clock->monotonic_ns(clock->context);
}
static inline int64_t clock_monotonic_ms(const struct clock *clock)
{
    return clock->monotonic_ns(clock->context) / 1000000;
}
#endif
