#include "kafka/receipt.h"

#include <assert.h>
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdlib.h>

#include "kafka/client.h"
#include "kafka/group.h"

enum stage { STAGE_NONE, STAGE_DELIVERING, STAGE_STORING, STAGE_STORED };

struct receipt {
    struct client *producer;
    struct group *group;
    enum stage stage;
    uint32_t parity;
    uint64_t undelivered[2]; /* by parity */
    rd_kafka_topic_partition_list_t *offsets;
    rd_kafka_queue_t *answers; /* of the member that the positions were given to */
    rd_kafka_resp_err_t code;  /* of the last answer */
};

struct receipt *receipt_create(struct client *producer, struct group *group)
{
    struct receipt *receipt = calloc(1, sizeof *receipt);

    if (receipt == NULL)
        abort();
    receipt->producer = producer;
    receipt->group = group;
    return receipt;
}

static void close_receipt(struct receipt *receipt)
{
    if (receipt->offsets != NULL)
        rd_kafka_topic_partition_list_destroy(receipt->offsets);
    /* With the queue goes an answer that is still to come. */
    if (receipt->answers != NULL)
        rd_kafka_queue_destroy(receipt->answers);
    receipt->offsets = NULL;
    receipt->answers = NULL;
    receipt->stage = STAGE_NONE;
}

void receipt_destroy(struct receipt *receipt)
{
    if (receipt == NULL)
        return;
    close_receipt(receipt);
    free(receipt);
}

uint32_t receipt_sent(struct receipt *receipt)
{
    receipt->undelivered[receipt->parity]++;
    return receipt->parity;
}

void receipt_unsent(struct receipt *receipt, uint32_t mark)
{
    receipt_delivered(receipt, mark);
}

void receipt_delivered(struct receipt *receipt, uint32_t mark)
{
    assert(receipt->undelivered[mark & 1] > 0);
    receipt->undelivered[mark & 1]--;
}

/* All of the interval that is being committed. */
static bool is_delivered(const struct receipt *receipt)
{
    return receipt->undelivered[receipt->parity ^ 1] == 0;
}

enum status receipt_start(struct receipt *receipt, const struct position *positions, uint32_t count,
                          struct failure *failure)
{
    /* What was let go of has only deliveries left to wait for. */
    if (receipt->stage != STAGE_NONE) {
        enum status status = receipt_wait(receipt, 0, failure);
        if (status != STATUS_OK)
            return status;
    }
    if (client_is_hopeless(receipt->producer, failure))
        return STATUS_BROKEN;
    if (count > 0) {
        assert(receipt->group != NULL);
        receipt->offsets = group_offsets(receipt->group, positions, count);
    }
    /* The other parity is empty: a receipt closes behind its deliveries, or for good. */
    assert(receipt->undelivered[receipt->parity ^ 1] == 0);
    receipt->parity ^= 1;
    receipt->stage = STAGE_DELIVERING;
    return STATUS_OK;
}

static void on_stored(rd_kafka_t *handle, rd_kafka_resp_err_t code,
                      rd_kafka_topic_partition_list_t *offsets, void *opaque)
{
    struct receipt *receipt = opaque;

    (void)handle;
    /* The call as a whole may succeed while a partition fails. */
    for (int index = 0; offsets != NULL && index < offsets->cnt; index++)
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
            code = offsets->elems[index].err;
    receipt->code = code;
    receipt->stage = STAGE_STORED;
}

static enum status store(struct receipt *receipt, struct failure *failure)
{
    struct client *client = group_client(receipt->group);
    rd_kafka_consumer_group_metadata_t *metadata = NULL;
    enum status status = group_membership(receipt->group, &metadata, failure);

    if (status != STATUS_OK)
        return status;
    rd_kafka_consumer_group_metadata_destroy(metadata);
    if (receipt->answers == NULL)
        receipt->answers = rd_kafka_queue_new(client->handle);
    receipt->stage = STAGE_STORING;
    rd_kafka_resp_err_t code = rd_kafka_commit_queue(client->handle, receipt->offsets,
                                                     receipt->answers, on_stored, receipt);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return STATUS_OK;
    return client_fail(client, code, "committing positions", NULL, failure);
}

/* Closes it, unless the same positions are to be sent again. */
static enum status judge_answer(struct receipt *receipt, struct failure *failure)
{
    struct failure found = {0};

    switch (receipt->code) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
    case RD_KAFKA_RESP_ERR__NO_OFFSET:
        close_receipt(receipt);
        return STATUS_OK;
    case RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS:
        close_receipt(receipt);
        /* Our part of the rebalance comes with the next poll. Inside it, it is too late. */
        return failure_set(failure,
                           group_is_rebalancing(receipt->group) ? REMEDY_ROLL_BACK : REMEDY_RETRY,
                           "committing positions: the group is being rebalanced");
    case RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID:
    case RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST:
        close_receipt(receipt);
        return failure_set(failure, REMEDY_ROLL_BACK,
                           "committing positions: the group has moved on (%s)",
                           rd_kafka_err2name(receipt->code));
    default:
        break;
    }
    client_fail(group_client(receipt->group), receipt->code, "committing positions", NULL, &found);
    if (found.remedy == REMEDY_RETRY) {
        receipt->stage = STAGE_DELIVERING; /* a coordinator that is away */
        return STATUS_AGAIN;
    }
    close_receipt(receipt);
    if (failure != NULL)
        *failure = found;
    return STATUS_BROKEN;
}

void receipt_let_go(struct receipt *receipt)
{
    if (receipt->stage == STAGE_NONE)
        return;
    if (is_delivered(receipt)) {
        close_receipt(receipt);
        return;
    }
    if (receipt->offsets != NULL)
        rd_kafka_topic_partition_list_destroy(receipt->offsets);
    receipt->offsets = NULL;
}

/* Waits at most once; the caller comes again. */
enum status receipt_wait(struct receipt *receipt, int64_t timeout_ms, struct failure *failure)
{
    enum status status = STATUS_OK;

    if (receipt->stage == STAGE_NONE)
        return STATUS_OK;
    rd_kafka_poll(receipt->producer->handle, 0);
    if (receipt->stage == STAGE_DELIVERING && !is_delivered(receipt))
        rd_kafka_poll(receipt->producer->handle, (int)timeout_ms);
    if (client_is_hopeless(receipt->producer, failure)) {
        close_receipt(receipt);
        return STATUS_BROKEN;
    }
    if (receipt->stage == STAGE_DELIVERING && !is_delivered(receipt))
        return STATUS_AGAIN;
    if (receipt->stage == STAGE_DELIVERING) {
        if (receipt->offsets == NULL || receipt->offsets->cnt == 0) {
            close_receipt(receipt);
            return STATUS_OK;
        }
        status = store(receipt, failure);
    }
    if (status != STATUS_OK) {
        close_receipt(receipt);
        return status;
    }
    if (receipt->stage == STAGE_STORING)
        rd_kafka_queue_poll_callback(receipt->answers, (int)timeout_ms);
    return receipt->stage == STAGE_STORED ? judge_answer(receipt, failure) : STATUS_AGAIN;
}
