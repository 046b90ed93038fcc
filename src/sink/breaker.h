#ifndef SINK_BREAKER_H
#define SINK_BREAKER_H
/*
 * breaker.h - stops calling a destination that does not answer.
 *
 *             failures_max failures in a row
 *   CLOSED ──────────────────────────────────► OPEN
 *     ▲                                         │ open_ms have passed
 *     │ success                                 ▼
 *     └───────────────────────────────────── HALF_OPEN ── failure ──► OPEN
 *
 * Half open lets exactly one call through; the others wait for its outcome.
 *
 * Pure: time comes as data.
 *
 * Units    _ms milliseconds of one clock that never goes back
 * Threads  one owner, no locks
 */
#include <stdbool.h>
#include <stdint.h>

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };

struct breaker {
    int64_t failures_max; /* > 0 */
    int64_t open_ms;      /* > 0 */
    enum breaker_state state;
    int64_t failures; /* in a row */
    int64_t opened_at_ms;
    bool is_probing; /* half open: the one call is under way */
};

void breaker_init(struct breaker *breaker, int64_t failures_max, int64_t open_ms);
/* True: make the call, and say how it ended with one of the two below. */
bool breaker_allows(struct breaker *breaker, int64_t now_ms);
void breaker_succeeded(struct breaker *breaker);
void breaker_failed(struct breaker *breaker, int64_t now_ms);
/* Closed at once, by hand. */
void breaker_reset(struct breaker *breaker);
/* Until a call may be allowed; 0: now. */
int64_t breaker_wait_ms(const struct breaker *breaker, int64_t now_ms);
const char *breaker_state_name(enum breaker_state state);
#endif
