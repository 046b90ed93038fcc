#ifndef KAFKA_TOPICS_H
#define KAFKA_TOPICS_H
/*
 * topics.h - makes the topics of event/topic.h, and looks at those that are there.
 *
 * For `weir topics create` and `weir topics describe`. Layout and names come from
 * event/topic.h; prefix, partitions, replication and retention from the options.
 *
 *   inputs, journal, snapshots, forward   options->topics.partitions
 *   results                               the same
 *   commands, popularity                  1
 *   snapshots, popularity                 cleanup.policy=compact
 *   others                                retention.ms
 *   forward, dead-letter                  max.message.bytes with room for headers
 *
 * Threads  blocks until the broker has answered; one caller
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "event/topic.h"
#include "kafka/kafka.h"

enum topic_state {
    TOPIC_STATE_MISSING,
    TOPIC_STATE_CREATED, /* by this call */
    TOPIC_STATE_PRESENT, /* it was there */
    TOPIC_STATE_FAILED,  /* could not be made; see problem */
};

enum { TOPIC_PROBLEM_MAX = 300 };

struct topic_report {
    enum topic topic;
    char name[256]; /* with prefix */
    enum topic_state state;
    int32_t partitions;
    int32_t replication_factor;
    int64_t retention_ms; /* -1: for ever; 0: not known */
    int64_t bytes_max;    /* of a message, max.message.bytes; 0: not known */
    bool is_compacted;
    char problem[TOPIC_PROBLEM_MAX]; /* what is wrong and what to do; "": nothing */
};

/* Creates what is missing, changes nothing that is there, then looks at all of them.
 * `reports` has room for TOPIC_COUNT. STATUS_OK even when a report has a problem. */
enum status topics_create(const struct kafka_options *options,
                          struct topic_report reports[TOPIC_COUNT], struct failure *failure);
enum status topics_describe(const struct kafka_options *options,
                            struct topic_report reports[TOPIC_COUNT], struct failure *failure);
/* At the start. STATUS_BROKEN, REMEDY_STOP: a topic that a recovery replays keeps its records for
 * less than least_ms, the time between two snapshots (0: there are none). Of other problems the log
 * is told. What the broker does not tell is not checked, with a warning. */
enum status topics_check(const struct kafka_options *options, int64_t least_ms,
                         struct failure *failure);
/* How many partitions a topic is to have. */
int32_t topics_partitions(const struct kafka_options *options, enum topic topic);
#endif
