#ifndef KAFKA_LOAN_H
#define KAFKA_LOAN_H
/*
 * loan.h - the messages of one poll, lent out until the next.
 *
 * For this room only. A fetch waits for the first message only: the library's batch call
 * alone would wait for a full batch.
 *
 * Memory   the array grows to the largest `max` asked for; messages are the library's
 * Threads  one owner
 */
#include <stdint.h>

#include "event/topic.h"

struct rd_kafka_message_s;
struct rd_kafka_queue_s;
struct record;

/* Zeroed: empty. */
struct loan {
    struct rd_kafka_message_s **messages;
    uint32_t count; /* lent out; what a fetch returned is not counted yet */
    uint32_t room;
};

/* Gives back to the library what was lent. */
void loan_release(struct loan *loan);
void loan_free(struct loan *loan);

/* At most `max` messages and errors at loan->messages; how many. The caller destroys those
 * that it does not keep, and counts those that it does. */
uint32_t loan_fetch(struct loan *loan, struct rd_kafka_queue_s *queue, uint32_t max,
                    int64_t timeout_ms);

/* The message as a record of `topic`. */
void loan_fill_record(struct record *record, struct rd_kafka_message_s *message, enum topic topic);
#endif
