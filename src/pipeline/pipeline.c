/*
 * pipeline.c - one turn of the machine.
 *
 *   clock ─► commit ─► restore ─► ticks ─► commands ─► poll, decode, apply
 *                                                          │
 *   report ◄─ snapshots ◄─ commit ◄─ encode ◄──────────────┘
 *
 * The clock is read at the top, once. Every other file of this room does one of these
 * steps and returns; none of them waits, but poll when there is nothing to do, and
 * commit_relieve when more is held than may be.
 */
#include "pipeline/pipeline.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "pipeline/machine.h"

enum {
    ARENA_CHUNK_BYTES = 256 << 10,
    BUSY_WAIT_MS = 2, /* for records, while a commit is under way */
    DRAIN_DEADLINE_MS = 30000,
};

static void read_clock(struct pipeline *pipeline)
{
    pipeline->wall_ms = clock_wall_ms(pipeline->setup.clock);
    pipeline->now_ms = clock_monotonic_ms(pipeline->setup.clock);
}

/* An outage may last: its lines become rarer, not the attempts. */
static void meet_trouble(struct pipeline *pipeline, const struct failure *failure)
{
    snprintf(pipeline->trouble, sizeof(pipeline->trouble), "%s", failure->text);
    pipeline->is_troubled = true;
    if (pipeline->now_ms < pipeline->complain_due_ms)
        return;
    log_warn(ROOM, "worker %" PRIu32 ": trying again: %s", pipeline->setup.worker, failure->text);
    pipeline->complain_due_ms = pipeline->now_ms + pipeline->complain_ms;
    pipeline->complain_ms *= 2;
    if (pipeline->complain_ms > COMPLAIN_MOST_MS)
        pipeline->complain_ms = COMPLAIN_MOST_MS;
}

static void forget_trouble(struct pipeline *pipeline)
{
    pipeline->trouble[0] = '\0';
    pipeline->complain_due_ms = INT64_MIN;
    pipeline->complain_ms = COMPLAIN_MS;
}

/* At the top of a turn: the one before may have met trouble after long waiting for it. */
static void watch_trouble(struct pipeline *pipeline)
{
    if (pipeline->is_troubled)
        pipeline->troubled_ms = pipeline->now_ms;
    pipeline->is_troubled = false;
    if (pipeline->trouble[0] == '\0' || pipeline->now_ms - pipeline->troubled_ms < TROUBLE_MS)
        return;
    log_info(ROOM, "worker %" PRIu32 ": nothing to try again any more", pipeline->setup.worker);
    forget_trouble(pipeline);
}

enum status machine_obey(struct pipeline *pipeline, const struct failure *failure)
{
    switch (failure->remedy) {
    case REMEDY_NONE:
    case REMEDY_RETRY:
    case REMEDY_SET_ASIDE:
        meet_trouble(pipeline, failure);
        return STATUS_AGAIN;
    case REMEDY_ROLL_BACK:
        commit_roll_back(pipeline, failure);
        return STATUS_AGAIN;
    case REMEDY_STOP:
        if (!pipeline->is_stopped)
            pipeline->stop = *failure;
        pipeline->is_stopped = true;
        return STATUS_BROKEN;
    }
    return STATUS_BROKEN;
}

enum status machine_serve(struct pipeline *pipeline, int64_t timeout_ms)
{
    const struct transport *transport = &pipeline->setup.transport;
    struct failure failure = {0};
    uint32_t count = 0;

    if (transport->door->poll(transport->context, NULL, 0, timeout_ms, &count, &failure) ==
        STATUS_BROKEN)
        return machine_obey(pipeline, &failure);
    return STATUS_OK;
}

/* ---- open and close -------------------------------------------------------------------------- */

static enum status check_topic(const struct pipeline *pipeline, enum topic topic, int32_t *count,
                               struct failure *failure)
{
    const struct transport *transport = &pipeline->setup.transport;
    enum status status =
        transport->door->partition_count(transport->context, topic, count, failure);

    if (status == STATUS_ABSENT || (status == STATUS_OK && *count <= 0))
        return failure_set(failure, REMEDY_STOP,
                           "topic %s does not exist: create it with `weir topics create`",
                           topic_info(topic)->name);
    if (status != STATUS_OK && status != STATUS_BROKEN)
        return failure_set(failure, REMEDY_RETRY, "topic %s: no answer from the log",
                           topic_info(topic)->name);
    return status;
}

/* All of a tenant meets in one partition, so all inputs need the same number of them. */
static enum status check_topics(struct pipeline *pipeline, struct failure *failure)
{
    enum status status = check_topic(pipeline, TOPIC_ORDERS, &pipeline->partition_count, failure);

    for (int i = 0; i < TOPIC_COUNT && status == STATUS_OK; i++) {
        int32_t count;

        if (topic_info((enum topic)i)->layout != LAYOUT_INPUT)
            continue;
        status = check_topic(pipeline, (enum topic)i, &count, failure);
        if (status == STATUS_OK && count != pipeline->partition_count)
            status = failure_set(failure, REMEDY_STOP,
                                 "%s has %" PRId32 " partitions and %s has %" PRId32
                                 ": all inputs, the journal and the snapshots need the same "
                                 "number (weir topics describe)",
                                 topic_info((enum topic)i)->name, count,
                                 topic_info(TOPIC_ORDERS)->name, pipeline->partition_count);
    }
    return status;
}

static void create_parts(struct pipeline *pipeline)
{
    const struct pipeline_setup *setup = &pipeline->setup;
    struct snapshot_writer_setup snapshots = {
        .transport = setup->snapshots.door != NULL ? setup->snapshots : setup->side,
        .clock = setup->clock,
        .chunk_bytes = pipeline->options.snapshot_chunk_bytes,
        .is_threaded = setup->snapshots.door != NULL,
    };

    pipeline->partitions = calloc((size_t)pipeline->partition_count, sizeof(*pipeline->partitions));
    pipeline->records =
        calloc((size_t)pipeline->options.poll_records_max, sizeof(*pipeline->records));
    pipeline->commit_positions = calloc((size_t)pipeline->partition_count * (TOPIC_INPUT_COUNT + 1),
                                        sizeof(*pipeline->commit_positions));
    pipeline->batch = calloc(1, sizeof(*pipeline->batch));
    if (pipeline->partitions == NULL || pipeline->records == NULL ||
        pipeline->commit_positions == NULL || pipeline->batch == NULL)
        abort();
    pipeline->arena = arena_create(ARENA_CHUNK_BYTES);
    pipeline->outbox = outbox_create();
    pipeline->muted = outbox_create();
    outbox_mute(pipeline->muted, true);
    if (pipeline->options.snapshot_interval_ms > 0)
        pipeline->snapshots = snapshot_writer_create(&snapshots);
    pipeline->meters = meters_create(pipeline);
}

enum status pipeline_open(const struct pipeline_setup *setup, struct pipeline **out,
                          struct failure *failure)
{
    static const enum topic inputs[TOPIC_INPUT_COUNT] = {
        TOPIC_ORDERS,   TOPIC_AUTH_EVENTS, TOPIC_API_CALLS, TOPIC_INTERACTIONS,
        TOPIC_OUTCOMES, TOPIC_REQUESTS,    TOPIC_FORWARD,
    };
    struct pipeline *pipeline = calloc(1, sizeof(*pipeline));
    enum status status;

    if (pipeline == NULL)
        abort();
    *out = NULL;
    pipeline->setup = *setup;
    pipeline->options = *setup->options;
    pipeline->is_exact = setup->options->guarantee == GUARANTEE_EXACTLY_ONCE;
    forget_trouble(pipeline);
    parcel_queue_init(&pipeline->queues[0]);
    parcel_queue_init(&pipeline->queues[1]);
    pipeline->current = &pipeline->queues[0];
    pipeline->leaving = &pipeline->queues[1];
    read_clock(pipeline);
    status = check_topics(pipeline, failure);
    if (status != STATUS_OK)
        goto failed;
    engine_config_set_partitions(setup->engine_config, pipeline->partition_count);
    create_parts(pipeline);
    member_listen(pipeline, &pipeline->listener);
    status = setup->transport.door->subscribe(setup->transport.context, inputs, TOPIC_INPUT_COUNT,
                                              &pipeline->listener, failure);
    if (status == STATUS_OK) {
        *out = pipeline;
        return STATUS_OK;
    }

failed:
    pipeline_close(pipeline);
    return status == STATUS_BROKEN
               ? status
               : failure_set(failure, REMEDY_RETRY, "subscribe: %s", status_name(status));
}

void pipeline_close(struct pipeline *pipeline)
{
    if (pipeline == NULL)
        return;
    for (int32_t i = 0; pipeline->partitions != NULL && i < pipeline->partition_count; i++)
        partition_destroy(pipeline->partitions[i]);
    free(pipeline->partitions);
    snapshot_writer_destroy(pipeline->snapshots);
    for (int i = 0; i < SINGLE_COUNT; i++)
        tap_close(&pipeline->singles[i].tap);
    parcel_queue_free(&pipeline->queues[0]);
    parcel_queue_free(&pipeline->queues[1]);
    outbox_destroy(pipeline->outbox);
    outbox_destroy(pipeline->muted);
    if (pipeline->arena != NULL)
        arena_destroy(pipeline->arena);
    free(pipeline->records);
    free(pipeline->batch);
    free(pipeline->commit_positions);
    meters_destroy(pipeline);
    free(pipeline);
}

/* ---- the turn
 * ------------------------------------------------------------------------------------ */

/* How long poll may wait: not past the next commit or tick, and hardly at all while
 * there is other work. */
static int64_t wait_of(const struct pipeline *pipeline, int64_t timeout_ms)
{
    int64_t due_ms = commit_due_ms(pipeline);

    if (commit_is_under_way(pipeline) && timeout_ms > BUSY_WAIT_MS)
        timeout_ms = BUSY_WAIT_MS;
    if (!pipeline->is_restore_idle || intake_is_busy(pipeline))
        timeout_ms = 0;
    for (int32_t i = 0; i < pipeline->partition_count; i++) {
        const struct partition *partition = pipeline->partitions[i];

        if (partition == NULL)
            continue;
        if (partition->phase != PARTITION_LIVE && timeout_ms > BUSY_WAIT_MS)
            timeout_ms = BUSY_WAIT_MS;
    }
    if (timeout_ms > pipeline->options.tick_interval_ms)
        timeout_ms = pipeline->options.tick_interval_ms;
    return timeout_ms > due_ms ? due_ms : timeout_ms;
}

static enum status take_turn(struct pipeline *pipeline, int64_t timeout_ms)
{
    if (intake_encode(pipeline) == STATUS_BROKEN || commit_step(pipeline) == STATUS_BROKEN ||
        commit_relieve(pipeline) == STATUS_BROKEN || restore_step(pipeline) == STATUS_BROKEN)
        return STATUS_BROKEN;
    if (!pipeline->is_encoding_late &&
        (intake_ticks(pipeline) == STATUS_BROKEN || intake_singles(pipeline) == STATUS_BROKEN))
        return STATUS_BROKEN;
    if (intake_encode(pipeline) == STATUS_BROKEN || member_fetch(pipeline) == STATUS_BROKEN)
        return STATUS_BROKEN;
    if (intake_records(pipeline, wait_of(pipeline, timeout_ms)) == STATUS_BROKEN ||
        intake_encode(pipeline) == STATUS_BROKEN || commit_step(pipeline) == STATUS_BROKEN)
        return STATUS_BROKEN;
    keep_step(pipeline);
    return STATUS_OK;
}

static enum status stopped(const struct pipeline *pipeline, struct failure *failure)
{
    if (failure != NULL)
        *failure = pipeline->stop;
    return STATUS_BROKEN;
}

enum status pipeline_turn(struct pipeline *pipeline, int64_t timeout_ms, struct failure *failure)
{
    if (pipeline->is_stopped)
        return stopped(pipeline, failure);
    read_clock(pipeline);
    watch_trouble(pipeline);
    if (take_turn(pipeline, timeout_ms) == STATUS_BROKEN || pipeline->is_stopped)
        return stopped(pipeline, failure);
    report_turn(pipeline);
    return STATUS_OK;
}

enum status pipeline_drain(struct pipeline *pipeline, struct failure *failure)
{
    enum status status;

    if (pipeline->is_stopped)
        return stopped(pipeline, failure);
    read_clock(pipeline);
    status = commit_now(pipeline, DRAIN_DEADLINE_MS);
    if (status == STATUS_BROKEN)
        return stopped(pipeline, failure);
    if (status != STATUS_OK)
        return failure_set(failure, REMEDY_RETRY,
                           "the last commit did not succeed in time; its records will be "
                           "processed again by whoever takes over");
    return STATUS_OK;
}
