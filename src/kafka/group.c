/*
 * A lane is one partition of ours: whether we own it, whether it flows, and the offset
 * of the next record to hand out. The library's own position is never used: it runs
 * ahead of what was handed out, by everything that it has fetched.
 *
 *   ASSIGN ──► owned ── resume ──► flowing ── poll: expected = offset + 1
 *                 ▲                   │
 *                 └─── resume without it
 *   REVOKE ──► neither
 *
 * Whenever the flowing set changes, the whole set is assigned anew with explicit
 * offsets (the expected ones); the library drops what it had fetched and fetches again
 * from there, so a lane that only stood by loses time, never records.
 *
 * The trap (librdkafka 2.0.2): the batch call serves the rebalance callback while
 * records already sit in its array. They may be of a partition that is lost by now, or
 * taken and given back with another offset. So a rebalance voids the batch that it
 * happened in: all its records are thrown away and the flowing set is assigned anew.
 * That is exact, because `expected` moves only when a record leaves poll.
 *
 * Never pause and resume: in 2.0.2, with batches, they skip offsets (fixed in 2.1.0).
 * Backpressure is not polling; the library's queues have bounds.
 */
#include "kafka/group.h"

#include <assert.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "kafka/client.h"
#include "kafka/inquiry.h"
#include "kafka/loan.h"

static const char room[] = "kafka";

struct lane {
    int64_t expected; /* offset of the next record, or POSITION_* when none came yet */
    int64_t end;      /* of the log, where all before it was read; 0: not known */
    bool is_owned;
    bool is_flowing;
};

struct group {
    struct client client;
    const struct kafka_setup *setup;
    char *group_id;
    rd_kafka_queue_t *queue;
    rd_kafka_topic_t *topics[TOPIC_COUNT]; /* of those subscribed to */
    struct lane *lanes[TOPIC_COUNT];
    int32_t lane_count[TOPIC_COUNT];
    struct transport_listener listener;
    uint32_t owned_count;

    struct loan loan;
    struct inquiries *inquiries;

    bool is_assigned;    /* since the last loss, if only of nothing */
    bool is_rebalancing; /* inside the callback */
    bool is_batch_void;  /* a rebalance happened inside the batch under way */
    bool is_closing;
    bool is_spent;         /* fenced by its own ghost; see face_fence */
    struct failure broken; /* found inside a callback; given out by the next poll */

    struct metric *rebalances, *losses, *discarded, *replaced;
};

struct client *group_client(struct group *group)
{
    return &group->client;
}

bool group_is_rebalancing(const struct group *group)
{
    return group->is_rebalancing;
}

/* ---- lanes ---- */

static struct lane *lane_of(struct group *group, enum topic topic, int32_t partition)
{
    if (partition < 0 || partition >= group->lane_count[topic])
        return NULL;
    return &group->lanes[topic][partition];
}

static void grow_lanes(struct group *group, enum topic topic, int32_t count)
{
    int32_t had = group->lane_count[topic];

    if (count <= had)
        return;
    struct lane *lanes = realloc(group->lanes[topic], (size_t)count * sizeof *lanes);
    if (lanes == NULL)
        abort();
    memset(lanes + had, 0, (size_t)(count - had) * sizeof *lanes);
    group->lanes[topic] = lanes;
    group->lane_count[topic] = count;
}

static void forget_lanes(struct group *group)
{
    group->is_assigned = false;
    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        for (int32_t partition = 0; partition < group->lane_count[topic]; partition++)
            group->lanes[topic][partition] = (struct lane){0};
    group->owned_count = 0;
}

/* Makes the library fetch what flows, from where we are. */
static rd_kafka_resp_err_t assign_flowing(struct group *group)
{
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)group->owned_count);

    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        for (int32_t partition = 0; partition < group->lane_count[topic]; partition++) {
            const struct lane *lane = &group->lanes[topic][partition];
            if (!lane->is_owned || !lane->is_flowing)
                continue;
            rd_kafka_topic_partition_list_add(list, group->client.names[topic], partition)->offset =
                lane->expected;
        }
    /* An empty list still accepts the assignment; NULL would leave the group's round. */
    rd_kafka_resp_err_t code = rd_kafka_assign(group->client.handle, list);
    rd_kafka_topic_partition_list_destroy(list);
    return code;
}

/* ---- rebalance ---- */

/* The caller frees. */
static struct topic_partition *take_partitions(struct group *group,
                                               const rd_kafka_topic_partition_list_t *list)
{
    struct topic_partition *taken = calloc((size_t)list->cnt + 1, sizeof *taken);

    if (taken == NULL)
        abort();
    for (int index = 0; index < list->cnt; index++) {
        taken[index].topic = client_topic(&group->client, list->elems[index].topic);
        taken[index].partition = list->elems[index].partition;
        assert(taken[index].topic != TOPIC_COUNT);
    }
    return taken;
}

static void take_over(struct group *group, const rd_kafka_topic_partition_list_t *list)
{
    struct topic_partition *taken = take_partitions(group, list);

    forget_lanes(group);
    for (int index = 0; index < list->cnt; index++) {
        grow_lanes(group, taken[index].topic, taken[index].partition + 1);
        lane_of(group, taken[index].topic, taken[index].partition)->is_owned = true;
    }
    group->owned_count = (uint32_t)list->cnt;
    group->is_assigned = true;
    inquiries_forget(group->inquiries);
    log_info(room, "%s: %d partitions assigned", group->setup->name, list->cnt);
    metric_add(group->rebalances, 1);
    if (!group->is_closing && group->listener.on_assigned != NULL)
        group->listener.on_assigned(group->listener.context, taken, (uint32_t)list->cnt);
    free(taken);
}

static void give_back(struct group *group, const rd_kafka_topic_partition_list_t *list)
{
    bool is_lost = rd_kafka_assignment_lost(group->client.handle) != 0;
    struct topic_partition *taken = take_partitions(group, list);

    log_info(room, "%s: %d partitions %s", group->setup->name, list->cnt,
             is_lost ? "lost" : "revoked");
    if (is_lost)
        metric_add(group->losses, 1);
    inquiries_forget(group->inquiries);
    if (!group->is_closing && group->listener.on_revoked != NULL)
        group->listener.on_revoked(group->listener.context, taken, (uint32_t)list->cnt, is_lost);
    forget_lanes(group);
    free(taken);
}

static void on_rebalance(rd_kafka_t *handle, rd_kafka_resp_err_t code,
                         rd_kafka_topic_partition_list_t *list, void *opaque)
{
    struct client *client = opaque;
    struct group *group = client->owner;
    rd_kafka_resp_err_t result;

    group->is_rebalancing = true;
    group->is_batch_void = true;
    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        take_over(group, list);
        /* What the listener resumed already; the rest joins when it is resumed. */
        result = assign_flowing(group);
    } else {
        if (code == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS)
            give_back(group, list);
        else
            log_warn(room, "%s: rebalance: %s", group->setup->name, rd_kafka_err2str(code));
        result = rd_kafka_assign(handle, NULL);
    }
    if (result != RD_KAFKA_RESP_ERR_NO_ERROR && !group->is_closing)
        client_fail(client, result, "taking an assignment", NULL, &group->broken);
    group->is_rebalancing = false;
}

/* ---- opening and closing ---- */

static void name_member(const struct kafka_setup *setup, const char *group_id,
                        rd_kafka_conf_t *conf)
{
    const char *instance = setup->options->group_instance_id;
    char id[256];

    client_set(conf, "group.id", group_id);
    client_set(conf, "enable.partition.eof", "true"); /* note_end */
    if (instance == NULL)
        return;
    snprintf(id, sizeof id, "%s-%s", instance, setup->name);
    client_set(conf, "group.instance.id", id);
}

static enum status open_member(struct group *group, struct failure *failure)
{
    rd_kafka_conf_t *conf = client_configure(group->setup->options, CLIENT_MEMBER, NULL);
    enum status status;

    name_member(group->setup, group->group_id, conf);
    rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    status = client_open(&group->client, group->setup->options, CLIENT_MEMBER, conf,
                         group->setup->name, group, failure);
    if (status != STATUS_OK)
        return status;
    /* One queue for records, rebalances and errors: all callbacks run inside poll. */
    rd_kafka_poll_set_consumer(group->client.handle);
    group->queue = rd_kafka_queue_get_consumer(group->client.handle);
    group->inquiries = inquiries_create(&group->client);
    return STATUS_OK;
}

/* Leaves the group, unless the group has thrown us out. Harmless when it is closed. */
static void close_member(struct group *group)
{
    if (group->queue == NULL)
        return;
    group->is_closing = true;
    loan_release(&group->loan);
    for (int topic = 0; topic < TOPIC_COUNT; topic++) {
        if (group->topics[topic] != NULL)
            rd_kafka_topic_destroy(group->topics[topic]);
        group->topics[topic] = NULL;
    }
    rd_kafka_consumer_close(group->client.handle);
    inquiries_destroy(group->inquiries);
    group->inquiries = NULL;
    rd_kafka_queue_destroy(group->queue);
    group->queue = NULL;
    client_close(&group->client);
    group->is_closing = false;
}

enum status group_open(const struct kafka_setup *setup, const char *group_id, struct group **out,
                       struct failure *failure)
{
    struct group *group = calloc(1, sizeof *group);
    enum status status;

    if (group == NULL || asprintf(&group->group_id, "%s", group_id) < 0)
        abort();
    group->setup = setup;
    status = open_member(group, failure);
    if (status != STATUS_OK) {
        group_close(group);
        return status;
    }
    if (setup->metrics != NULL) {
        group->rebalances = metric_counter(setup->metrics, "weir_kafka_rebalances_total",
                                           "Assignments taken.", NULL);
        group->losses = metric_counter(setup->metrics, "weir_kafka_assignments_lost_total",
                                       "Assignments lost without a chance to commit.", NULL);
        group->discarded = metric_counter(
            setup->metrics, "weir_kafka_records_discarded_total",
            "Records fetched but not ours to read (any more); they are fetched again.", NULL);
        group->replaced =
            metric_counter(setup->metrics, "weir_kafka_members_replaced_total",
                           "Static members that came back after they were cut off.", NULL);
    }
    *out = group;
    return STATUS_OK;
}

void group_close(struct group *group)
{
    if (group == NULL)
        return;
    close_member(group);
    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        free(group->lanes[topic]);
    loan_free(&group->loan);
    free(group->group_id);
    free(group);
}

/* ---- subscribing ---- */

/* Partition p of one input and partition p of another must belong to one engine, so all
 * inputs need as many partitions. */
static enum status check_count(struct group *group, enum topic topic, int32_t count,
                               enum topic *first, int32_t *expected, struct failure *failure)
{
    if (topic_info(topic)->layout != LAYOUT_INPUT)
        return STATUS_OK;
    if (*expected == 0) {
        *expected = count;
        *first = topic;
        return STATUS_OK;
    }
    if (count == *expected)
        return STATUS_OK;
    return failure_set(failure, REMEDY_STOP,
                       "%s has %d partitions but %s has %d: a tenant's events would not meet. "
                       "Give all inputs the same number (kafka-topics.sh --alter --partitions), "
                       "then restart producers; `weir topics describe` shows all of them",
                       group->client.names[topic], (int)count, group->client.names[*first],
                       (int)*expected);
}

/* To all topics that have a handle. */
static enum status subscribe(struct group *group, struct failure *failure)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(TOPIC_COUNT);

    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        if (group->topics[topic] != NULL)
            rd_kafka_topic_partition_list_add(list, group->client.names[topic],
                                              RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t code = rd_kafka_subscribe(group->client.handle, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return STATUS_OK;
    return client_fail(&group->client, code, "subscribe", NULL, failure);
}

enum status group_subscribe(struct group *group, const enum topic *topics, uint32_t count,
                            const struct transport_listener *listener, struct failure *failure)
{
    enum status status = STATUS_OK;
    enum topic first = TOPIC_COUNT;
    int32_t expected = 0;

    group->listener = *listener;
    for (uint32_t index = 0; index < count && status == STATUS_OK; index++) {
        enum topic topic = topics[index];
        const char *name = group->client.names[topic];
        int32_t partitions = 0;
        status = client_partition_count(&group->client, topic, &partitions, failure);
        if (status != STATUS_OK)
            break;
        status = check_count(group, topic, partitions, &first, &expected, failure);
        grow_lanes(group, topic, partitions);
        if (group->topics[topic] == NULL)
            group->topics[topic] = rd_kafka_topic_new(group->client.handle, name, NULL);
    }
    return status == STATUS_OK ? subscribe(group, failure) : status;
}

/* ---- a new member in the place of a dead one ---- */

bool group_is_spent(const struct group *group)
{
    return group->is_spent;
}

/* Whoever listens must not learn of the end from the new member's first assignment. */
static void tell_loss(struct group *group)
{
    struct topic_partition *owned = calloc((size_t)group->owned_count + 1, sizeof *owned);
    uint32_t count = 0;

    if (owned == NULL)
        abort();
    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        for (int32_t partition = 0; partition < group->lane_count[topic]; partition++)
            if (group->lanes[topic][partition].is_owned)
                owned[count++] = (struct topic_partition){(enum topic)topic, partition};
    group->is_rebalancing = true;
    if (count > 0)
        metric_add(group->losses, 1);
    if (count > 0 && group->listener.on_revoked != NULL)
        group->listener.on_revoked(group->listener.context, owned, count, true);
    group->is_rebalancing = false;
    forget_lanes(group);
    free(owned);
}

enum status group_replace(struct group *group, struct failure *failure)
{
    bool is_subscribed[TOPIC_COUNT];
    enum status status;

    assert(group->is_spent);
    log_warn(room, "%s: a new member takes over", group->setup->name);
    metric_add(group->replaced, 1);
    tell_loss(group);
    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        is_subscribed[topic] = group->topics[topic] != NULL;
    close_member(group);
    group->is_spent = false;
    status = open_member(group, failure);
    if (status != STATUS_OK)
        return status;
    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        if (is_subscribed[topic])
            group->topics[topic] =
                rd_kafka_topic_new(group->client.handle, group->client.names[topic], NULL);
    return subscribe(group, failure);
}

/* ---- resume ---- */

/* The end is where it is now, not where it will be when the library asks: a second assign
 * before the first record would otherwise skip what came between. */
static enum status settle_offset(struct group *group, const struct position *position,
                                 int64_t *offset, struct failure *failure)
{
    int64_t first;

    *offset = position->offset;
    if (*offset == POSITION_NONE)
        *offset = POSITION_BEGINNING;
    if (*offset != POSITION_END)
        return STATUS_OK;
    return client_bounds(&group->client, position->topic, position->partition, &first, offset,
                         failure);
}

static const struct position *find_position(const struct position *positions, uint32_t count,
                                            enum topic topic, int32_t partition)
{
    for (uint32_t index = 0; index < count; index++)
        if (positions[index].topic == topic && positions[index].partition == partition)
            return &positions[index];
    return NULL;
}

enum status group_resume(struct group *group, const struct position *positions, uint32_t count,
                         struct failure *failure)
{
    bool has_changed = false;

    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        for (int32_t partition = 0; partition < group->lane_count[topic]; partition++) {
            struct lane *lane = &group->lanes[topic][partition];
            const struct position *wanted =
                find_position(positions, count, (enum topic)topic, partition);
            int64_t offset = 0;
            if (wanted == NULL || !lane->is_owned) {
                has_changed |= lane->is_flowing;
                lane->is_flowing = false;
                continue;
            }
            enum status status = settle_offset(group, wanted, &offset, failure);
            if (status != STATUS_OK)
                return status;
            if (lane->is_flowing && lane->expected == offset)
                continue;
            lane->is_flowing = true;
            lane->expected = offset;
            lane->end = 0;
            has_changed = true;
        }
    /* Inside the callback the assignment follows when the listener returns. */
    if (!has_changed || group->is_rebalancing || group->owned_count == 0)
        return STATUS_OK;
    rd_kafka_resp_err_t code = assign_flowing(group);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return client_fail(&group->client, code, "resume", NULL, failure);
    return STATUS_OK;
}

/* ---- poll ---- */

static void tell_gone(struct group *group, const struct topic_partition *partition, int64_t from,
                      int64_t to)
{
    if (group->listener.on_gone != NULL)
        group->listener.on_gone(group->listener.context, partition, from, to);
    else
        log_error(room, "%s[%d]: retention removed offsets %lld to %lld before they were read",
                  group->client.names[partition->topic], (int)partition->partition, (long long)from,
                  (long long)to - 1);
}

/* The log does not have the offset that we wanted to read. */
static enum status face_reset(struct group *group, enum topic topic, int32_t partition,
                              struct failure *failure)
{
    struct lane *lane = lane_of(group, topic, partition);
    const char *name = group->client.names[topic];
    int64_t first, next;
    enum status status;

    if (lane == NULL || !lane->is_flowing)
        return STATUS_OK;
    status = client_bounds(&group->client, topic, partition, &first, &next, failure);
    if (status != STATUS_OK)
        return status;
    if (lane->expected > next)
        return failure_set(failure, REMEDY_STOP,
                           "%s[%d] ends at offset %lld but we have read up to %lld: the topic was "
                           "made anew or lost its end. If it was made anew, delete the consumer "
                           "group (kafka-consumer-groups.sh --delete) and the topics weir.*, and "
                           "start again",
                           name, (int)partition, (long long)next, (long long)lane->expected);
    if (lane->expected < first && lane->expected >= 0) {
        tell_gone(group, &(struct topic_partition){topic, partition}, lane->expected, first);
        lane->expected = first;
    }
    if (lane->expected < 0)
        lane->expected = first;
    rd_kafka_resp_err_t code = assign_flowing(group);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return client_fail(&group->client, code, name, NULL, failure);
    return STATUS_OK;
}

/*
 * A static member that was cut off for longer than its session joins again under a new member
 * id, which fences its own old id; an answer to a request that carried the old one then ends
 * the library's client for good. Nobody else is there: a new client goes on. Without such a cut
 * somebody else has our name, and both taking over in turn would help nobody.
 */
static enum status face_fence(struct group *group, const char *text, struct failure *failure)
{
    if (!client_was_cut_off(&group->client))
        return client_fail(&group->client, RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID, "consume", text,
                           failure);
    group->is_spent = true;
    group->is_batch_void = true;
    return STATUS_OK;
}

static bool is_fence(struct group *group, rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID ||
           (code == RD_KAFKA_RESP_ERR__FATAL &&
            rd_kafka_fatal_error(group->client.handle, NULL, 0) ==
                RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID);
}

static enum status face_error(struct group *group, const rd_kafka_message_t *message,
                              struct failure *failure)
{
    enum topic topic = client_topic_of(&group->client, group->topics, message->rkt);

    if (is_fence(group, message->err))
        return face_fence(group, rd_kafka_message_errstr(message), failure);
    switch (message->err) {
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
        return STATUS_OK;
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
        if (topic == TOPIC_COUNT)
            return STATUS_OK;
        group->is_batch_void = true; /* the set is assigned anew */
        return face_reset(group, topic, message->partition, failure);
    case RD_KAFKA_RESP_ERR__FATAL:
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
        return client_fail(&group->client, message->err, "consume",
                           rd_kafka_message_errstr(message), failure);
    default:
        /* The library goes on trying. */
        log_warn(room, "%s: %s", group->setup->name, rd_kafka_message_errstr(message));
        return STATUS_OK;
    }
}

static void note_end(struct group *group, const rd_kafka_message_t *message)
{
    struct lane *lane;

    if (message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF)
        return;
    enum topic topic = client_topic_of(&group->client, group->topics, message->rkt);
    lane = topic == TOPIC_COUNT ? NULL : lane_of(group, topic, message->partition);
    if (lane != NULL)
        lane->end = message->offset;
}

/* Hands out what flows, in place; the rest of `count` messages is destroyed. */
static uint32_t sort_out(struct group *group, uint32_t count, struct record *records)
{
    const rd_kafka_topic_t *handle = NULL;
    enum topic topic = TOPIC_COUNT;
    int32_t partition = -1;
    struct lane *lane = NULL;
    uint32_t kept = 0, dropped = 0;

    for (uint32_t index = 0; index < count; index++) {
        rd_kafka_message_t *message = group->loan.messages[index];
        if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            note_end(group, message);
            rd_kafka_message_destroy(message);
            continue;
        }
        if (message->rkt != handle || message->partition != partition) {
            if (message->rkt != handle)
                topic = client_topic_of(&group->client, group->topics, message->rkt);
            handle = message->rkt;
            partition = message->partition;
            lane = topic == TOPIC_COUNT ? NULL : lane_of(group, topic, partition);
        }
        if (lane == NULL || !lane->is_flowing || message->offset < lane->expected) {
            rd_kafka_message_destroy(message);
            dropped++;
            continue;
        }
        lane->expected = message->offset + 1;
        loan_fill_record(&records[kept], message, topic);
        group->loan.messages[kept++] = message;
    }
    group->loan.count = kept;
    if (dropped > 0)
        metric_add(group->discarded, dropped);
    return kept;
}

static void void_batch(struct group *group, uint32_t count)
{
    group->loan.count = count;
    loan_release(&group->loan);
    if (count > 0)
        metric_add(group->discarded, count);
}

enum status group_poll(struct group *group, struct record *records, uint32_t max,
                       int64_t timeout_ms, uint32_t *count, struct failure *failure)
{
    enum status status = STATUS_OK;

    *count = 0;
    loan_release(&group->loan);
    if (max == 0)
        return STATUS_OK;
    if (client_is_hopeless(&group->client, failure))
        return STATUS_BROKEN;
    group->is_batch_void = false;
    uint32_t fetched = loan_fetch(&group->loan, group->queue, max, timeout_ms);
    for (uint32_t index = 0; index < fetched && status == STATUS_OK; index++)
        if (group->loan.messages[index]->err != RD_KAFKA_RESP_ERR_NO_ERROR)
            status = face_error(group, group->loan.messages[index], failure);
    if (group->broken.remedy != REMEDY_NONE) {
        if (failure != NULL)
            *failure = group->broken;
        group->broken.remedy = REMEDY_NONE;
        status = STATUS_BROKEN;
    }
    if (!group->is_batch_void && status == STATUS_OK) {
        *count = sort_out(group, fetched, records);
        return STATUS_OK;
    }
    void_batch(group, fetched);
    /* What was thrown away is fetched again, from the expected offsets. */
    if (fetched > 0 && group->owned_count > 0 && !group->is_spent) {
        rd_kafka_resp_err_t code = assign_flowing(group);
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR && status == STATUS_OK)
            status = client_fail(&group->client, code, "poll", NULL, failure);
    }
    return status;
}

/* ---- positions ---- */

enum status group_committed(struct group *group, struct position *positions, uint32_t count,
                            struct failure *failure)
{
    return inquiries_ask(group->inquiries, positions, count, failure);
}

int64_t group_known_end(struct group *group, enum topic topic, int32_t partition)
{
    const struct lane *lane = lane_of(group, topic, partition);
    int64_t first, next;

    if (rd_kafka_get_watermark_offsets(group->client.handle, group->client.names[topic], partition,
                                       &first, &next) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        next < 0)
        return -1;
    /* What lies between is no record: the ends of transactions, and what was voided. */
    if (lane != NULL && lane->end >= next)
        return lane->expected > 0 ? lane->expected : 0;
    return next;
}

rd_kafka_topic_partition_list_t *group_offsets(struct group *group,
                                               const struct position *positions, uint32_t count)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);

    for (uint32_t index = 0; index < count; index++)
        if (positions[index].offset >= 0)
            rd_kafka_topic_partition_list_add(list, group->client.names[positions[index].topic],
                                              positions[index].partition)
                ->offset = positions[index].offset;
    return list;
}

/*
 * A coordinator does not check a commit that carries a negative generation (that of a client
 * in no group), so one who was just thrown out would write over the positions of the new
 * owner. The library has no getter for the generation; the serialised form has it behind
 * its mark, and a form that we do not know leaves us with the flag of a lost assignment.
 */
static bool has_generation(const rd_kafka_consumer_group_metadata_t *metadata)
{
    static const char mark[] = "CGMDv2:";
    void *bytes = NULL;
    size_t size = 0;
    int32_t generation = 0;
    rd_kafka_error_t *error = rd_kafka_consumer_group_metadata_write(metadata, &bytes, &size);

    if (error != NULL) {
        rd_kafka_error_destroy(error);
        return false;
    }
    if (size >= sizeof mark - 1 + sizeof generation && memcmp(bytes, mark, sizeof mark - 1) == 0)
        memcpy(&generation, (const char *)bytes + sizeof mark - 1, sizeof generation);
    rd_kafka_mem_free(NULL, bytes);
    return generation >= 0;
}

bool group_owns(const struct group *group, int32_t partition)
{
    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        if (partition < group->lane_count[topic] && group->lanes[topic][partition].is_owned)
            return true;
    return false;
}

rd_kafka_consumer_group_metadata_t *group_current_membership(struct group *group)
{
    rd_kafka_consumer_group_metadata_t *metadata =
        rd_kafka_consumer_group_metadata(group->client.handle);

    /* First the membership, then the question whether it is lost: the other way round a loss
     * between the two would pass. */
    if (metadata != NULL && group->is_assigned && has_generation(metadata) &&
        !rd_kafka_assignment_lost(group->client.handle))
        return metadata;
    if (metadata != NULL)
        rd_kafka_consumer_group_metadata_destroy(metadata);
    return NULL;
}

enum status group_membership(struct group *group, rd_kafka_consumer_group_metadata_t **out,
                             struct failure *failure)
{
    *out = group->owned_count > 0 ? group_current_membership(group) : NULL;
    if (*out != NULL)
        return STATUS_OK;
    return failure_set(failure, REMEDY_ROLL_BACK,
                       "%s: the partitions were lost before their positions could be committed",
                       group->setup->name);
}
