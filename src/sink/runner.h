#ifndef SINK_RUNNER_H
#define SINK_RUNNER_H
/*
 * runner.h - one sink at work: result topics on one side, a destination on the other.
 *
 *   poll ─► hold ─► decode ─► deliver ─► confirmed ─► commit
 *                     │          │
 *                     └──────────┴─► dead-letter, for what cannot be read or stored
 *
 * A runner owns a member of a consumer group (its transport), a codec and one
 * delivery. It has at most one batch in hand: while the destination is away the
 * batch waits, the log is polled with no room (the group is kept, nothing more is
 * read), and attempts follow full-jitter back-off behind a circuit breaker.
 *
 * Only confirmed positions are committed, after the delivery of what was produced on
 * the way (dead letters, notifications). A crash repeats work; it loses none.
 *
 * Units    _ms milliseconds
 * Threads  sink_runner_start gives the runner a thread of its own; without it, whoever
 *          calls sink_runner_turn is the owner. Questions may be asked from any thread
 * Errors   a runner stops by itself only when nothing can help: then sink_runner_has_failed
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/metric.h"
#include "base/option.h"
#include "base/status.h"
#include "codec/codec.h"
#include "event/delivery.h"
#include "event/transport.h"

struct sink_options {
    int64_t batch_records_max;
    int64_t commit_interval_ms;
    int64_t retry_base_ms;
    int64_t retry_most_ms;
    int64_t breaker_failures_max;
    int64_t breaker_open_ms;
    int64_t takeover_wait_ms;
};
/* Section "sink": what all destinations share. */
extern const struct option_table sink_option_table;

/* Everything borrowed, and alive longer than the runner. */
struct sink_setup {
    const struct sink_options *options;
    struct delivery delivery;
    struct transport transport; /* its own, in a group of its own, not yet subscribed */
    struct codec *codec;        /* its own */
    const struct clock *clock;
    struct metric_registry *metrics;
    uint64_t seed; /* of the jitter */
};

struct sink_runner;

/* Subscribes. */
enum status sink_runner_open(const struct sink_setup *setup, struct sink_runner **runner,
                             struct failure *failure);
/* After stop, where it was started. NULL is allowed. Closes neither transport nor delivery. */
void sink_runner_close(struct sink_runner *runner);

/* One turn; waits at most timeout_ms for records, and not at all while the destination is
 * waited for: *wait_ms is then how long nothing can be done. STATUS_BROKEN: REMEDY_STOP. */
enum status sink_runner_turn(struct sink_runner *runner, int64_t timeout_ms, int64_t *wait_ms,
                             struct failure *failure);
/* Commits what is confirmed and gives the partitions up. The last call before close. */
void sink_runner_drain(struct sink_runner *runner);

/* Turns on a thread of its own until stopped. */
enum status sink_runner_start(struct sink_runner *runner, struct failure *failure);
/* Lets the turn end, drains, joins. Harmless when it was not started. */
void sink_runner_stop(struct sink_runner *runner);

/* Of any thread. Ready: not failed. A destination that is away is waited for, and no other process
 * could do more; its status says so. */
bool sink_runner_is_ready(const struct sink_runner *runner);
bool sink_runner_has_failed(const struct sink_runner *runner);
/* Monotonic milliseconds at which the last turn ended, for liveness. */
int64_t sink_runner_last_turn_ms(const struct sink_runner *runner);
/* A JSON object for /status: phase, records in hand, lag, breaker, last failure. */
void sink_runner_status(struct sink_runner *runner, struct byte_writer *out);
#endif
