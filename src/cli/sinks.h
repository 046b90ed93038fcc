#ifndef CLI_SINKS_H
#define CLI_SINKS_H
/*
 * sinks.h - the roles that carry results to a destination: one row each in sinks.c.
 *
 * Each sink has a member of a group of its own, a codec, a runner and its thread.
 *
 * Threads  one owner; questions may be asked from any thread
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"
#include "cli/host.h"

struct sinks;

/* Opens those that settings->roles names and starts their threads. `host` is borrowed for
 * the life of the sinks. STATUS_AGAIN: asked to stop while waiting for a broker. */
enum status sinks_open(const struct host *host, struct sinks **sinks, struct failure *failure);
/* Commits what is confirmed, joins the threads, closes everything. NULL is allowed. */
void sinks_close(struct sinks *sinks);

bool sinks_are_ready(const struct sinks *sinks);
/* Some runner has given up for good. */
bool sinks_have_failed(const struct sinks *sinks);
/* The oldest end of a turn, monotonic; INT64_MAX: there are no sinks. */
int64_t sinks_last_turn_ms(const struct sinks *sinks);
/* A JSON object, a member for each sink. */
void sinks_status(const struct sinks *sinks, struct byte_writer *out);
#endif
