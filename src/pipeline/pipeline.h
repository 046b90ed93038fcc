#ifndef PIPELINE_PIPELINE_H
#define PIPELINE_PIPELINE_H
/*
 * pipeline.h - one worker: take, decode, apply, deliver, journal, commit.
 *
 *   poll ─► decode ─► engine_apply ─► outbox ─► encode ─► produce
 *     ▲                                                     │
 *     └────── commit: results + journal + offsets ◄─────────┘   every commit interval
 *
 * A worker owns one transport (one member of the group), the engines of its
 * partitions, and nothing else: it shares nothing with its siblings. It knows only
 * the doors, so that a simulation can hold them.
 *
 * On assignment a partition is restored before it goes live: newest good snapshot,
 * then the journalled ranges with the outbox muted, in slices, while the other
 * partitions go on.
 *
 * Units    _ms milliseconds
 * Threads  one owner a pipeline; pipeline_status may be read from any thread
 * Errors   pipeline_turn returns STATUS_BROKEN only with REMEDY_STOP
 */
#include <stdint.h>

#include "base/clock.h"
#include "base/metric.h"
#include "base/option.h"
#include "base/status.h"
#include "codec/codec.h"
#include "engine/engine.h"
#include "event/transport.h"

enum guarantee { GUARANTEE_AT_LEAST_ONCE, GUARANTEE_EXACTLY_ONCE };

struct pipeline_options {
    int64_t guarantee; /* enum guarantee */
    int64_t commit_interval_ms;
    int64_t commit_records_max;
    int64_t poll_records_max;
    int64_t tick_interval_ms;
    int64_t snapshot_interval_ms; /* 0: none */
    int64_t snapshot_events;
    int64_t snapshot_chunk_bytes;
    int64_t snapshot_rebuild_ms;
};
/* Section "processing". */
extern const struct option_table pipeline_option_table;

/* Everything borrowed, and alive longer than the pipeline. */
struct pipeline_setup {
    const struct pipeline_options *options;
    struct engine_config *engine_config;
    struct codec *codec;        /* this worker's own */
    struct transport transport; /* this worker's own, in the group, not yet subscribed */
    struct transport side;      /* not transactional, in no group: commands, journal, snapshots */
    /* As side, but of the thread that writes snapshots. door NULL: no such thread;
     * snapshots are then saved in process and written through `side`, in turns. */
    struct transport snapshots;
    const char *group; /* the consumer group's name, for the lag metric; NULL: "weir" */
    const struct clock *clock;
    struct metric_registry *metrics;
    uint32_t worker; /* number, for metrics and the log */
    uint32_t owner;  /* unlike that of other workers, here or elsewhere: tells apart those that
                      * take a partition over in the same millisecond (at-least-once) */
};

struct pipeline;

/* STATUS_BROKEN, REMEDY_STOP: a topic is missing or has another number of partitions
 * than the inputs; REMEDY_RETRY: the log does not answer now. */
enum status pipeline_open(const struct pipeline_setup *setup, struct pipeline **pipeline,
                          struct failure *failure);
/* One turn; waits at most timeout_ms for records. */
enum status pipeline_turn(struct pipeline *pipeline, int64_t timeout_ms, struct failure *failure);
/* Finishes the batch, commits, writes no more. Then pipeline_close. */
enum status pipeline_drain(struct pipeline *pipeline, struct failure *failure);
void pipeline_close(struct pipeline *pipeline);

/* True when partitions are assigned and all of them are live (or the group gave us none). */
bool pipeline_is_ready(const struct pipeline *pipeline);
/* Monotonic milliseconds at which the last turn ended, for liveness. */
int64_t pipeline_last_turn_ms(const struct pipeline *pipeline);
/* A JSON object for /status: partitions, phase (restoring with ETA, live), offsets,
 * lag, watermark. */
void pipeline_status(struct pipeline *pipeline, struct byte_writer *out);
#endif
