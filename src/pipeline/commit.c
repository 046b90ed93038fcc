/*
 * commit.c - what leaves, and when it counts.
 *
 *            current ──flush──► the open transaction
 *   cut ──►  current becomes leaving, with the journal at its end
 *            leaving ──flush──► commit_start ──► commit_wait ──► counted
 *            new current: results of the next transaction, held until then
 *
 * The intake goes on through all of it; only when too much is held does it wait
 * (weir_commit_wait_seconds_total). At-least-once the same machinery runs, but
 * results leave at once, behind the journal that explains them: whoever takes over
 * repeats exactly these decisions, and so makes the same results again.
 *
 * With the offsets of the inputs goes the sequence of the journal, as the committed
 * offset of the journal topic. Who recovers knows by it which journal record is the
 * last that counts, even one without any offsets (ticks), and even while that record
 * is not visible yet.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "pipeline/machine.h"

bool commit_is_under_way(const struct pipeline *pipeline)
{
    return pipeline->commit_phase != COMMIT_IDLE;
}

bool commit_is_rolling_back(const struct pipeline *pipeline)
{
    switch (pipeline->commit_phase) {
    case COMMIT_IDLE:
    case COMMIT_LEAVING:
    case COMMIT_STARTING:
    case COMMIT_RUNNING:
        return false;
    case COMMIT_ABORTING:
    case COMMIT_SWEEPING:
    case COMMIT_SWEPT:
        return true;
    }
    return false;
}

static bool is_anything_dirty(const struct pipeline *pipeline)
{
    for (int32_t i = 0; i < pipeline->partition_count; i++)
        if (pipeline->partitions[i] != NULL && partition_is_dirty(pipeline->partitions[i]))
            return true;
    return false;
}

/* Some partition's draft has so many operations. */
static bool is_journal_long(const struct pipeline *pipeline, uint32_t operations)
{
    for (int32_t i = 0; i < pipeline->partition_count; i++)
        if (pipeline->partitions[i] != NULL && pipeline->partitions[i]->draft.count >= operations)
            return true;
    return false;
}

int64_t commit_due_ms(const struct pipeline *pipeline)
{
    int64_t left =
        pipeline->commit_cut_ms + pipeline->options.commit_interval_ms - pipeline->now_ms;

    if (!is_anything_dirty(pipeline))
        return INT64_MAX;
    if (pipeline->records_since_cut >= (uint64_t)pipeline->options.commit_records_max ||
        is_journal_long(pipeline, JOURNAL_OPERATIONS_MAX))
        return 0;
    return left > 0 ? left : 0;
}

/* ---- the cut ----------------------------------------------------------------------- */

static void cut_journal(struct pipeline *pipeline, struct partition *partition)
{
    struct journal_head head = {
        .config_digest = engine_config_digest(pipeline->setup.engine_config),
        .epoch = partition->epoch,
        .sequence = ++partition->sequence,
        .base = partition->base,
        .partition_count = pipeline->partition_count,
        .is_ahead = !pipeline->is_exact,
    };
    struct byte_writer *value =
        parcel_begin(pipeline->current, TOPIC_JOURNAL, partition->number, (struct view){0});

    journal_encode(&head, &partition->draft, value);
    parcel_end(pipeline->current);
    journal_draft_reset(&partition->draft);
}

void commit_journal_ahead(struct pipeline *pipeline)
{
    for (int32_t i = 0; i < pipeline->partition_count; i++) {
        struct partition *partition = pipeline->partitions[i];

        if (partition != NULL && partition_is_running(partition) && partition->draft.count > 0)
            cut_journal(pipeline, partition);
    }
}

static void add_position(struct pipeline *pipeline, enum topic topic, int32_t partition,
                         int64_t offset)
{
    pipeline->commit_positions[pipeline->commit_position_count++] =
        (struct position){topic, partition, offset};
}

static void cut_partition(struct pipeline *pipeline, struct partition *partition)
{
    if (partition->draft.count > 0)
        cut_journal(pipeline, partition);
    partition->cut_sequence = partition->sequence;
    for (int i = 0; i < TOPIC_INPUT_COUNT; i++) {
        partition->cut_positions[i] = partition->positions[i];
        if (partition->positions[i] >= 0 &&
            partition->positions[i] != partition->committed_positions[i])
            add_position(pipeline, (enum topic)i, partition->number, partition->positions[i]);
    }
    add_position(pipeline, TOPIC_JOURNAL, partition->number, (int64_t)partition->sequence);
}

static void begin_commit(struct pipeline *pipeline)
{
    struct parcel_queue *empty = pipeline->leaving;

    assert(parcel_queue_is_empty(empty));
    pipeline->commit_position_count = 0;
    for (int32_t i = 0; i < pipeline->partition_count; i++)
        if (pipeline->partitions[i] != NULL && partition_is_dirty(pipeline->partitions[i]))
            cut_partition(pipeline, pipeline->partitions[i]);
    pipeline->leaving = pipeline->current;
    pipeline->current = empty;
    pipeline->commit_cut_ms = pipeline->now_ms;
    pipeline->records_since_cut = 0;
    pipeline->commit_phase = COMMIT_LEAVING;
    keep_at_cut(pipeline);
}

/* ---- the steps ---------------------------------------------------------------------- */

static void finish_commit(struct pipeline *pipeline)
{
    meters_commit(pipeline, clock_monotonic_ns(pipeline->setup.clock) - pipeline->commit_began_ns);
    for (int32_t i = 0; i < pipeline->partition_count; i++) {
        struct partition *partition = pipeline->partitions[i];

        if (partition == NULL || partition->cut_sequence <= partition->committed_sequence)
            continue;
        partition->committed_sequence = partition->cut_sequence;
        for (int topic = 0; topic < TOPIC_INPUT_COUNT; topic++)
            partition->committed_positions[topic] = partition->cut_positions[topic];
    }
    if (pipeline->snapshots != NULL)
        snapshot_writer_settle(pipeline->snapshots, true);
    pipeline->commit_phase = COMMIT_IDLE;
}

void commit_roll_back(struct pipeline *pipeline, const struct failure *failure)
{
    if (commit_is_rolling_back(pipeline))
        return;
    log_warn(ROOM, "worker %" PRIu32 ": back to the last commit: %s", pipeline->setup.worker,
             failure->text);
    meters_roll_back(pipeline);
    for (int32_t i = 0; i < pipeline->partition_count; i++)
        if (pipeline->partitions[i] != NULL && pipeline->partitions[i]->phase != PARTITION_PARKED)
            member_restart(pipeline, pipeline->partitions[i]);
    parcel_queue_reset(pipeline->current);
    parcel_queue_reset(pipeline->leaving);
    outbox_reset(pipeline->outbox);
    pipeline->outbox_next = 0;
    pipeline->is_encoding_late = false;
    pipeline->commit_position_count = 0;
    pipeline->records_since_cut = 0;
    pipeline->fetch_is_stale = true;
    pipeline->commit_phase = COMMIT_ABORTING;
    if (pipeline->snapshots != NULL)
        snapshot_writer_settle(pipeline->snapshots, false);
}

/* STATUS_OK: all has left. */
static enum status flush(struct pipeline *pipeline, struct parcel_queue *queue)
{
    struct failure failure = {0};
    enum status status = parcel_flush(queue, &pipeline->setup.transport, &failure);

    if (status == STATUS_BROKEN)
        return machine_obey(pipeline, &failure);
    return status == STATUS_OK ? STATUS_OK : STATUS_AGAIN;
}

static enum status start_commit(struct pipeline *pipeline)
{
    const struct transport *transport = &pipeline->setup.transport;
    struct failure failure = {0};
    enum status status = transport->door->commit_start(
        transport->context, pipeline->commit_positions, pipeline->commit_position_count, &failure);

    if (status == STATUS_BROKEN)
        return machine_obey(pipeline, &failure);
    if (status != STATUS_OK)
        return STATUS_AGAIN;
    pipeline->commit_began_ns = clock_monotonic_ns(pipeline->setup.clock);
    pipeline->commit_phase = COMMIT_RUNNING;
    return STATUS_OK;
}

static enum status await_commit(struct pipeline *pipeline, int64_t timeout_ms)
{
    const struct transport *transport = &pipeline->setup.transport;
    struct failure failure = {0};
    enum status status = transport->door->commit_wait(transport->context, timeout_ms, &failure);

    if (status == STATUS_BROKEN) {
        pipeline->commit_phase = COMMIT_STARTING;
        return machine_obey(pipeline, &failure);
    }
    if (status != STATUS_OK)
        return STATUS_AGAIN;
    finish_commit(pipeline);
    return STATUS_OK;
}

static enum status abort_commit(struct pipeline *pipeline)
{
    const struct transport *transport = &pipeline->setup.transport;
    struct failure failure = {0};
    enum status status = transport->door->abort(transport->context, &failure);

    if (status == STATUS_BROKEN && failure.remedy == REMEDY_ROLL_BACK)
        return STATUS_AGAIN;
    if (status == STATUS_BROKEN)
        return machine_obey(pipeline, &failure);
    if (status != STATUS_OK)
        return STATUS_AGAIN;
    pipeline->commit_phase = pipeline->is_exact ? COMMIT_IDLE : COMMIT_SWEEPING;
    return STATUS_OK;
}

static enum status sweep(struct pipeline *pipeline)
{
    const struct transport *transport = &pipeline->setup.transport;
    struct failure failure = {0};
    enum status status;

    if (pipeline->commit_phase == COMMIT_SWEEPING)
        status = transport->door->commit_start(transport->context, NULL, 0, &failure);
    else
        status = transport->door->commit_wait(transport->context, 0, &failure);
    if (status == STATUS_BROKEN && failure.remedy == REMEDY_ROLL_BACK) {
        pipeline->commit_phase = COMMIT_ABORTING;
        return STATUS_AGAIN;
    }
    if (status == STATUS_BROKEN) {
        pipeline->commit_phase = COMMIT_SWEEPING;
        return machine_obey(pipeline, &failure);
    }
    if (status != STATUS_OK)
        return STATUS_AGAIN;
    pipeline->commit_phase = pipeline->commit_phase == COMMIT_SWEEPING ? COMMIT_SWEPT : COMMIT_IDLE;
    return STATUS_OK;
}

/* One step. STATUS_OK: it was made, another may follow. STATUS_AGAIN: not now. */
static enum status advance(struct pipeline *pipeline, bool is_due)
{
    switch (pipeline->commit_phase) {
    case COMMIT_IDLE: {
        enum status status = flush(pipeline, pipeline->current);

        if (status == STATUS_BROKEN || pipeline->commit_phase != COMMIT_IDLE)
            return status;
        if (!is_due || pipeline->is_encoding_late || !is_anything_dirty(pipeline))
            return STATUS_AGAIN;
        begin_commit(pipeline);
        return STATUS_OK;
    }
    case COMMIT_LEAVING: {
        enum status status = flush(pipeline, pipeline->leaving);

        if (status == STATUS_OK)
            pipeline->commit_phase = COMMIT_STARTING;
        return status;
    }
    case COMMIT_STARTING:
        return start_commit(pipeline);
    case COMMIT_RUNNING: {
        enum status status = await_commit(pipeline, 0);

        /* At-least-once, results need not wait for the positions. */
        if (status == STATUS_AGAIN && !pipeline->is_exact)
            return flush(pipeline, pipeline->current) == STATUS_BROKEN ? STATUS_BROKEN
                                                                       : STATUS_AGAIN;
        return status;
    }
    case COMMIT_ABORTING:
        return abort_commit(pipeline);
    case COMMIT_SWEEPING:
    case COMMIT_SWEPT:
        return sweep(pipeline);
    }
    return STATUS_AGAIN;
}

enum status commit_step(struct pipeline *pipeline)
{
    for (;;) {
        bool is_idle = pipeline->commit_phase == COMMIT_IDLE;
        enum status status = advance(pipeline, commit_due_ms(pipeline) == 0);

        if (status == STATUS_BROKEN)
            return status;
        if (status != STATUS_OK || (is_idle && pipeline->commit_phase == COMMIT_IDLE))
            return STATUS_OK;
    }
}

static bool is_all_committed(const struct pipeline *pipeline)
{
    return pipeline->commit_phase == COMMIT_IDLE && !is_anything_dirty(pipeline) &&
           parcel_queue_is_empty(pipeline->current) && !pipeline->is_encoding_late;
}

static enum status wait_slice(struct pipeline *pipeline)
{
    int64_t began_ns = clock_monotonic_ns(pipeline->setup.clock);
    enum status status = STATUS_AGAIN;

    if (pipeline->commit_phase == COMMIT_RUNNING)
        status = await_commit(pipeline, COMMIT_SLICE_MS);
    /* A door that fails at once must not make this a loop without a pause. */
    if (status == STATUS_AGAIN &&
        clock_monotonic_ns(pipeline->setup.clock) - began_ns < COMMIT_SLICE_MS * 100000)
        status = machine_serve(pipeline, COMMIT_SLICE_MS);
    return status;
}

enum status commit_now(struct pipeline *pipeline, int64_t deadline_ms)
{
    int64_t until = clock_monotonic_ms(pipeline->setup.clock) + deadline_ms;

    for (;;) {
        enum status status = intake_encode(pipeline);

        if (status != STATUS_BROKEN)
            status = advance(pipeline, true);
        if (status == STATUS_BROKEN)
            return status;
        if (commit_is_rolling_back(pipeline))
            return STATUS_AGAIN;
        if (is_all_committed(pipeline))
            return STATUS_OK;
        if (clock_monotonic_ms(pipeline->setup.clock) >= until)
            return STATUS_AGAIN;
        if (status != STATUS_OK && wait_slice(pipeline) == STATUS_BROKEN)
            return STATUS_BROKEN;
    }
}

bool commit_is_overfull(const struct pipeline *pipeline)
{
    uint64_t records_max = HELD_COMMITS_MAX * (uint64_t)pipeline->options.commit_records_max;

    return pipeline->current->bytes.size + pipeline->leaving->bytes.size >= HELD_BYTES_MAX ||
           (commit_is_under_way(pipeline) && (pipeline->records_since_cut >= records_max ||
                                              is_journal_long(pipeline, JOURNAL_HELD_MAX)));
}

enum status commit_relieve(struct pipeline *pipeline)
{
    int64_t began_ns;
    enum status status;

    if (pipeline->commit_phase != COMMIT_RUNNING || !commit_is_overfull(pipeline))
        return STATUS_OK;
    began_ns = clock_monotonic_ns(pipeline->setup.clock);
    status = await_commit(pipeline, COMMIT_SLICE_MS);
    meters_commit_wait(pipeline, clock_monotonic_ns(pipeline->setup.clock) - began_ns);
    if (status == STATUS_OK)
        status = commit_step(pipeline);
    return status;
}
