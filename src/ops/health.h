#ifndef OPS_HEALTH_H
#define OPS_HEALTH_H
/*
 * health.h - who is well: every part of the process answers for itself.
 *
 *   /healthz   live: every critical source turned lately. Lag and dead destinations
 *              never fail it: a restart would not help them
 *   /readyz    ready: every critical source is live and has what it needs
 *   /status    all of it, as JSON, for people
 *
 * Sources are asked at once, each by a thread of its own. One that does not answer within
 * check_ms counts as not live until it does; the others' answers do not wait for it. A source
 * whose answer changes is logged once and kept in the history.
 *
 * Units    _ms milliseconds
 * Threads  sources are added before the first question; then questions come from any thread.
 *          A source is asked by one thread, never twice at once
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/clock.h"

struct ops_source {
    const char *name; /* borrowed for life */
    bool is_critical; /* counts for /healthz and /readyz */
    void *context;
    bool (*is_live)(void *context);  /* NULL: always */
    bool (*is_ready)(void *context); /* NULL: as is_live */
    /* Appends one JSON value. NULL: nothing to add. */
    void (*status_json)(void *context, struct byte_writer *out);
};

struct health;

struct health *health_create(const struct clock *clock, int64_t check_ms);
/* Waits for a source that hangs; nobody asks meanwhile. */
void health_destroy(struct health *health);
void health_add(struct health *health, const struct ops_source *source);

/* Each appends a JSON object with one entry a source and says whether all is well. */
bool health_live(struct health *health, struct byte_writer *out);
bool health_ready(struct health *health, struct byte_writer *out);
/* Both, what each source says of itself, and the last changes. */
void health_status(struct health *health, struct byte_writer *out);
#endif
