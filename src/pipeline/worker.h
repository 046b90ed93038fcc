#ifndef PIPELINE_WORKER_H
#define PIPELINE_WORKER_H
/*
 * worker.h - threads, each turning one pipeline.
 *
 *   start ──► [ turn, turn, turn, ... ] ──► stop: drain, close ──► join
 *
 * The first worker that cannot go on stops all the others, which drain; join then
 * gives its failure.
 *
 * Threads  start, join and destroy on one thread; the rest from any
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "pipeline/pipeline.h"

struct worker_group;

/* Opens a pipeline for each setup, one after the other, then starts all. What the
 * setups point to is borrowed until worker_group_destroy; the transports are the
 * caller's to close, after join. STATUS_BROKEN as pipeline_open, nothing runs then. */
enum status worker_group_start(const struct pipeline_setup *setups, uint32_t count,
                               struct worker_group **group, struct failure *failure);
/* Asks all to finish; returns at once. May be called from a signal handler. */
void worker_group_stop(struct worker_group *group);
/* Waits until all have drained and closed their pipelines. STATUS_BROKEN: the first
 * failure that ended a worker. */
enum status worker_group_join(struct worker_group *group, struct failure *failure);
/* After join. */
void worker_group_destroy(struct worker_group *group);

/* False once one of them has ended. */
bool worker_group_is_running(const struct worker_group *group);
/* Every worker has its partitions, and all of them are live. */
bool worker_group_is_ready(struct worker_group *group);
/* Of the worker that has turned least recently, monotonic milliseconds: for liveness. */
int64_t worker_group_last_turn_ms(struct worker_group *group);
/* A JSON array of pipeline_status objects. */
void worker_group_status(struct worker_group *group, struct byte_writer *out);
#endif
