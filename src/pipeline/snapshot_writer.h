#ifndef PIPELINE_SNAPSHOT_WRITER_H
#define PIPELINE_SNAPSHOT_WRITER_H
/*
 * snapshot_writer.h - saves an engine without stopping its partition.
 *
 *   worker      take ── fork ──────────────── settle(committed) ──► outcome
 *   child             └─ engine_save ─► pipe
 *   own thread                           └─► compress ─► produce ─► manifest
 *
 * The child owns a copy-on-write image of the engine at the moment of the cut, as
 * Redis saves its data set; the worker goes on after the fork. The image belongs to
 * the journal record just cut, whose transaction may still fail: the manifest is
 * written only once the worker says that it was committed.
 *
 * Without a thread (is_threaded false) the engine is saved in process and written in
 * steps, a chunk a step: for simulations, and where a process cannot fork.
 *
 * Memory   one chunk; without a thread the saved engine besides
 * Threads  take, settle, step and outcome belong to the worker; the transport to the
 *          writer's thread, or without one to the worker
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "engine/engine.h"
#include "event/transport.h"
#include "pipeline/snapshot.h"

struct snapshot_writer;

struct snapshot_writer_setup {
    struct transport transport; /* not transactional, in no group */
    const struct clock *clock;
    int64_t chunk_bytes; /* raw */
    bool is_threaded;
};

struct snapshot_outcome {
    int32_t partition;
    bool is_written;
    bool is_void;        /* not written because its commit failed: no fault */
    int64_t pause_ns;    /* how long the worker stood still */
    int64_t duration_ms; /* from take to the manifest's delivery */
    struct snapshot_manifest manifest;
    /* Where journal and snapshots ended when the writing began: the floor of the next. */
    int64_t journal_next;
    char text[FAILURE_TEXT_MAX]; /* why it was not written */
};

struct snapshot_writer *snapshot_writer_create(const struct snapshot_writer_setup *setup);
/* Gives up what is being written. */
void snapshot_writer_destroy(struct snapshot_writer *writer);
/* One at a time. */
bool snapshot_writer_is_idle(const struct snapshot_writer *writer);
/* The manifest comes with everything but what only the writing tells (counts, hashes,
 * digest, chunks_from). stale_chunk_count: chunks of the generation that this one
 * replaces; those beyond ours are deleted. STATUS_AGAIN: another worker of this process is
 * forking, which would stop ours for as long; at the next cut. STATUS_BROKEN: fork failed. */
enum status snapshot_writer_take(struct snapshot_writer *writer, int32_t partition,
                                 const struct engine *engine,
                                 const struct snapshot_manifest *manifest,
                                 uint32_t stale_chunk_count, struct failure *failure);
/* The commit that the last take belongs to ended; harmless when there is none. */
void snapshot_writer_settle(struct snapshot_writer *writer, bool is_committed);
/* Without a thread: does one piece of work. */
void snapshot_writer_step(struct snapshot_writer *writer);
/* True once for every take. */
bool snapshot_writer_outcome(struct snapshot_writer *writer, struct snapshot_outcome *outcome);
#endif
