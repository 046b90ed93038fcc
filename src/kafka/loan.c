#include "kafka/loan.h"

#include <assert.h>
#include <librdkafka/rdkafka.h>
#include <stdlib.h>

#include "event/transport.h"

void loan_release(struct loan *loan)
{
    for (uint32_t index = 0; index < loan->count; index++)
        rd_kafka_message_destroy(loan->messages[index]);
    loan->count = 0;
}

void loan_free(struct loan *loan)
{
    loan_release(loan);
    free(loan->messages);
    *loan = (struct loan){0};
}

static void make_room(struct loan *loan, uint32_t max)
{
    if (max <= loan->room)
        return;
    free(loan->messages);
    loan->messages = calloc(max, sizeof(rd_kafka_message_t *));
    if (loan->messages == NULL)
        abort();
    loan->room = max;
}

uint32_t loan_fetch(struct loan *loan, rd_kafka_queue_t *queue, uint32_t max, int64_t timeout_ms)
{
    assert(loan->count == 0);
    make_room(loan, max);
    ssize_t count = rd_kafka_consume_batch_queue(queue, 0, loan->messages, max);

    if (count == 0 && timeout_ms > 0) {
        rd_kafka_message_t *message =
            rd_kafka_consume_queue(queue, timeout_ms > INT32_MAX ? INT32_MAX : (int)timeout_ms);
        if (message == NULL)
            return 0;
        loan->messages[0] = message;
        count = rd_kafka_consume_batch_queue(queue, 0, loan->messages + 1, max - 1);
        count = (count < 0 ? 0 : count) + 1;
    }
    return count < 0 ? 0 : (uint32_t)count;
}

void loan_fill_record(struct record *record, rd_kafka_message_t *message, enum topic topic)
{
    rd_kafka_timestamp_type_t type;

    record->topic = topic;
    record->partition = message->partition;
    record->offset = message->offset;
    record->timestamp_ms = rd_kafka_message_timestamp(message, &type);
    if (type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE)
        record->timestamp_ms = -1;
    record->key = (struct view){message->key, (uint32_t)message->key_len};
    record->value = (struct view){message->payload, (uint32_t)message->len};
    record->handle = message;
}
