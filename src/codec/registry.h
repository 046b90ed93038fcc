#ifndef CODEC_REGISTRY_H
#define CODEC_REGISTRY_H
/*
 * registry.h - a schema registry over HTTP (Confluent's API).
 *
 *   GET  /schemas/ids/ID                the schema that a message names
 *   POST /subjects/SUBJECT/versions     the id of a schema of ours
 *
 * All codecs of one address share one registry: a schema is asked for once a process.
 * A registry that does not answer is left alone for a while (back-off, doubling from
 * REGISTRY_PAUSE_MIN_MS to REGISTRY_PAUSE_MAX_MS); meanwhile calls return at once with
 * REMEDY_RETRY. Nothing sleeps here. An id that it does not know is not asked for again
 * for REGISTRY_UNKNOWN_MS.
 *
 * Memory   schemas live until the last registry_close of that address
 * Threads  any; a request over the network blocks its caller for at most the timeout,
 *          and only one is under way at a time
 */
#include <stdint.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/status.h"
#include "base/view.h"
#include "codec/schema.h"

enum {
    REGISTRY_PAUSE_MIN_MS = 100,
    REGISTRY_PAUSE_MAX_MS = 10000,
    REGISTRY_UNKNOWN_MS = 5000,
    REGISTRY_ANSWER_BYTES_MAX = 8 << 20,
};

struct registry;

struct registry_options {
    const char *url;  /* http(s)://host:port[/path] */
    const char *user; /* NULL: no credentials */
    const char *password;
    int64_t timeout_ms; /* of one request, connecting included */
};

/* Connects to nothing. STATUS_BROKEN: no such URL scheme. */
enum status registry_open(const struct registry_options *options, struct registry **registry,
                          struct failure *failure);
void registry_close(struct registry *registry);

/* STATUS_ABSENT: the registry has no such id. STATUS_BROKEN with REMEDY_SET_ASIDE: what it
 * has is no Avro schema that we can use; with REMEDY_RETRY: it does not answer. */
enum status registry_schema(struct registry *registry, const struct clock *clock, uint32_t id,
                            const struct schema **schema, struct failure *failure);
/* Registers `text` under `subject`, or finds it there. STATUS_BROKEN with REMEDY_STOP: the
 * registry refuses it for good (incompatible, invalid). */
enum status registry_register(struct registry *registry, const struct clock *clock,
                              struct view subject, struct view text, uint32_t *id,
                              struct failure *failure);

/* What answers say, without a network. They are outside bytes, from whoever listens there.
 *
 * STATUS_OK: a schema, in the arena. STATUS_ABSENT: no such id. STATUS_BROKEN with
 * REMEDY_SET_ASIDE: no Avro schema that we can use. STATUS_AGAIN: nothing about it. */
enum status registry_read_schema(long http_status, struct view answer, struct arena *arena,
                                 const struct schema **schema, struct failure *failure);
/* STATUS_OK: the id of what was registered. STATUS_AGAIN: no id. */
enum status registry_read_id(long http_status, struct view answer, uint32_t *id);
#endif
