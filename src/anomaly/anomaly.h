#ifndef ANOMALY_ANOMALY_H
#define ANOMALY_ANOMALY_H
/*
 * anomaly.h - rules over sliding windows, and the episodes that they find.
 *
 *   rules document ─► rule_set_compile ─► rule_set (immutable, shared)
 *                                            │
 *   event ─► anomaly_apply ─► group of each rule that selects it ─► alert ─► outbox
 *   watermark ─► anomaly_advance ─► settles figures, closes episodes
 *
 * The exact meaning of windows, episodes, publication and late events is that of
 * README.md, "What an alert means" (event time only; ties have no order; a published
 * alert is never withdrawn, late events correct it).
 *
 * An event rule without `quiet` publishes each event once, as open; no closed follows.
 * A null or negative value adds nothing to value_sum, a null is no value of value_count;
 * the event counts all the same. Sums are kept in whole millionths, so that no order of
 * arrival changes them. What temporal rules mean is said in window/steps.h. A rule of
 * several kinds goes by the least of their watermarks; an event older than what that has
 * been is late for the rule and is not applied to it.
 *
 * Costs    an event and group, in order: O(1) amortised; value_count and temporal rules
 *          O(log n) in the points n of the window once they are many. Late: O(log n), but
 *          temporal rules O(points that are later)
 * Units    _ms epoch or plain milliseconds
 * Memory   a byte budget; the least recently active groups go first, counted
 * Threads  one owner an anomaly; a rule_set is shared and never changes
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"
#include "base/tree.h"
#include "event/event.h"
#include "event/outbox.h"

struct rule_set;
struct anomaly;

/* Complains of every error with file:line; NULL when there was any. `root` may go after. */
struct rule_set *rule_set_compile(const struct tree *root, struct complaints *complaints);
void rule_set_destroy(struct rule_set *rules);
uint32_t rule_set_count(const struct rule_set *rules);
struct view rule_set_name(const struct rule_set *rules, uint32_t index);
bool rule_set_is_enabled(const struct rule_set *rules, uint32_t index);
/* Before any anomaly uses it. STATUS_ABSENT: no such rule. */
enum status rule_set_switch(struct rule_set *rules, struct view name, bool is_enabled);
/* True when some enabled rule reads this kind of event. */
bool rule_set_reads(const struct rule_set *rules, enum event_kind kind);
uint64_t rule_set_digest(const struct rule_set *rules);

struct anomaly_options {
    int64_t lateness_ms[EVENT_KIND_COUNT];
    size_t bytes_max;
};

/* What the engine knows of an event beyond its fields: rules see them as the virtual
 * field `local_hour` and as `amount`. */
struct anomaly_context {
    int32_t local_hour;      /* 0..23 in the tenant's time zone */
    double reference_amount; /* of an order, in the reference currency */
    uint32_t expected;       /* its number in the last anomaly_expect, from 1; 0: in none */
};

struct anomaly *anomaly_open(const struct rule_set *rules, const struct anomaly_options *options);
void anomaly_close(struct anomaly *anomaly);

/* The caller has dropped what is late by its topic's watermark. */
void anomaly_apply(struct anomaly *anomaly, const struct event *event,
                   const struct anomaly_context *context, struct outbox *outbox);
/* A hint, which changes no result: these events will be applied next. The memory of their
 * groups is asked for all at once, where anomaly_apply would wait for one group after the
 * other; and what was found is used again for an event that comes with `expected`, which
 * must be the same with the same context. count <= ANOMALY_EXPECT_MAX. */
enum { ANOMALY_EXPECT_MAX = 32 };
void anomaly_expect(struct anomaly *anomaly, const struct event *events,
                    const struct anomaly_context *contexts, uint32_t count);
/* Watermarks of every kind, never going back. INT64_MIN: nothing seen yet; INT64_MAX:
 * leave it out (idle). A rule over several kinds goes by the least. Cheap when no
 * episode or window is due. */
void anomaly_advance(struct anomaly *anomaly, const int64_t watermark_ms[EVENT_KIND_COUNT],
                     struct outbox *outbox);
/* Time passes without events: an episode whose kinds have all been silent for
 * quiet + lateness (now_ms - last_arrival_ms[kind], both tick time) is published as
 * closed although the watermark stands. Its state stays: should events of that time
 * still come, the same alert is published again and the final figures are exact. */
void anomaly_tick(struct anomaly *anomaly, int64_t now_ms,
                  const int64_t last_arrival_ms[EVENT_KIND_COUNT], struct outbox *outbox);
/* Closes everything, as if the watermark went to infinity. */
void anomaly_finish(struct anomaly *anomaly, struct outbox *outbox);
/* Rules whose definition is unchanged keep their state; episodes of the others are
 * closed. The caller keeps `rules` alive. */
void anomaly_replace_rules(struct anomaly *anomaly, const struct rule_set *rules,
                           struct outbox *outbox);

/* What is loaded under other rules keeps the state of those whose definition is unchanged; open
 * episodes of the others are given up without a word. */
void anomaly_save(const struct anomaly *anomaly, struct byte_writer *out);
struct anomaly *anomaly_load(const struct rule_set *rules, const struct anomaly_options *options,
                             struct byte_reader *in, struct failure *failure);
uint64_t anomaly_digest(const struct anomaly *anomaly);

struct anomaly_stats {
    uint64_t groups;
    uint64_t groups_evicted;
    uint64_t episodes_open;
    uint64_t opened[3]; /* by severity, since the beginning */
    size_t bytes;
};
void anomaly_stats(const struct anomaly *anomaly, struct anomaly_stats *stats);
#endif
