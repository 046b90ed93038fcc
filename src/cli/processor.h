#ifndef CLI_PROCESSOR_H
#define CLI_PROCESSOR_H
/*
 * processor.h - the role that turns events into results: its workers, put together.
 *
 *   worker = group member + two side transports + codec + pipeline + thread
 *
 * Threads  one owner; questions may be asked from any thread
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"
#include "cli/host.h"

struct processor;

/* Opens settings->process.workers workers and starts their threads. `host` is borrowed for
 * the life of the processor. STATUS_AGAIN: asked to stop while waiting for a broker. */
enum status processor_open(const struct host *host, struct processor **processor,
                           struct failure *failure);
/* Lets every worker finish its batch and commit, joins the threads, closes everything.
 * NULL is allowed. */
void processor_close(struct processor *processor);

bool processor_is_ready(const struct processor *processor);
/* Some worker has given up for good. */
bool processor_has_failed(const struct processor *processor);
/* The oldest end of a turn among the workers, monotonic. */
int64_t processor_last_turn_ms(const struct processor *processor);
/* Of each input topic. */
int32_t processor_partition_count(const struct processor *processor);
/* A JSON array, an object for each worker. */
void processor_status(const struct processor *processor, struct byte_writer *out);
#endif
