#ifndef KAFKA_BROKER_H
#define KAFKA_BROKER_H
/*
 * broker.h - an embedded broker on this machine, for demos and tests.
 *
 * librdkafka's mock cluster, served on a free port of 127.0.0.1 to any number of
 * processes. It speaks the protocol and keeps nothing: see broker_limits. Clients are
 * to be set up with kafka_options_embed.
 *
 * Memory   the records, at most 5 MiB a partition
 * Threads  the library's own serve it; these functions have one caller
 */
#include <stdint.h>

#include "base/status.h"
#include "kafka/kafka.h"

struct broker;

/* Starts it with all topics of event/topic.h: options->topics gives prefix and partitions. */
enum status broker_start(const struct kafka_options *options, struct broker **broker,
                         struct failure *failure);
/* "127.0.0.1:PORT"; lives as long as the broker. */
const char *broker_address(const struct broker *broker);
/* What it cannot do, one line each, ended by NULL; to be shown when it starts. */
const char *const *broker_limits(void);
/* Clients must be closed before. */
void broker_stop(struct broker *broker);

/* ---- for tests: faults ---- */

/* The next `count` requests of a kind (its number in Kafka's protocol) are answered with
 * `code` (an error number of the protocol or of librdkafka). */
void broker_fail_requests(struct broker *broker, int16_t request, int code, uint32_t count);
/* Away: refuses connections and drops those there are. */
void broker_set_away(struct broker *broker, bool is_away);
#endif
