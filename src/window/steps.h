#ifndef WINDOW_STEPS_H
#define WINDOW_STEPS_H
/*
 * steps.h - several things happening within one sliding window, in any order or in turn.
 *
 * Step j is complete in a window when `count` of its events lie in it. In turn: step
 * j + 1 counts only events that are not earlier than the time at which step j became
 * complete; events of one time may be taken in whatever order completes most. The value
 * at a point t is the number of steps complete in (t - window, t] (in turn: the first so
 * many, without a gap). An event counts for every step that it belongs to.
 *
 *   window      (-----------------------]  t
 *   step 1         x   x   x
 *   step 2                       x         reach of step 2 at t: the first x above
 *
 * The reach of step j at t is the latest start from which everything up to step j is
 * complete by t. So step j is complete exactly when its reach lies inside the window, and
 * the reach at t follows from that of earlier points:
 *
 *   any order   reach(j, t) = time of the count-th latest event of step j up to t
 *   in turn     reach(j, t) = reach(j - 1, that time)
 *
 * Costs   in order O(steps) amortised; late: O(points that are later)
 * Memory  one run that doubles
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "window/blocks.h"
#include "window/series.h"

enum { STEPS_MAX = 8 };

struct steps_rule {
    int64_t window_ms;
    bool is_in_turn;
    uint32_t need; /* steps that must be complete; 1..step_count */
    uint32_t step_count;
    uint32_t counts[STEPS_MAX]; /* > 0 */
};

/* All zeros: empty. */
struct steps {
    char *points;
    uint32_t head, count, capacity;
};

/* bit j of `mask`: the event belongs to step j. Reports the points that come to satisfy,
 * as series_add does. */
void steps_add(struct steps *steps, struct blocks *blocks, const struct steps_rule *rule,
               int64_t time_ms, uint32_t mask, struct series_outcome *outcome,
               struct point_list *satisfied);
void steps_trim(struct steps *steps, struct blocks *blocks, const struct steps_rule *rule,
                int64_t watermark_ms);
uint32_t steps_max(const struct steps *steps, const struct steps_rule *rule, int64_t from_ms,
                   int64_t until_ms);
int64_t steps_first_after(const struct steps *steps, const struct steps_rule *rule,
                          int64_t after_ms);
int64_t steps_last(const struct steps *steps, const struct steps_rule *rule);
/* Asks for the memory that steps_trim and steps_add will look at first. */
void steps_prefetch(const struct steps *steps, const struct steps_rule *rule);
void steps_free(struct steps *steps, struct blocks *blocks, const struct steps_rule *rule);
void steps_save(const struct steps *steps, const struct steps_rule *rule, struct byte_writer *out);
bool steps_load(struct steps *steps, struct blocks *blocks, const struct steps_rule *rule,
                struct byte_reader *in);
#endif
