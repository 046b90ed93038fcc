/*
 * member.c - partitions come and go.
 *
 *                 on_assigned            restored            commands read
 *   (not ours) ──► restoring ───────────────► catching up ──────► live
 *       ▲              ▲                                            │
 *       │              └─── straight back ──┐       on_revoked: commit, then
 *       └──── assigned elsewhere ────────── parked ◄────────────────┘
 *
 * With the eager protocol of the range assignor every rebalance takes all partitions
 * away and gives most of them back. A parked machine is then the freshest snapshot
 * there can be: it replays what others committed meanwhile, mostly nothing.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "pipeline/machine.h"

struct partition *partition_create(int32_t number)
{
    struct partition *partition = calloc(1, sizeof(*partition));

    if (partition == NULL)
        abort();
    partition->number = number;
    partition->tick_ms = INT64_MIN;
    journal_draft_init(&partition->draft);
    return partition;
}

void partition_destroy(struct partition *partition)
{
    if (partition == NULL)
        return;
    restore_end(partition->restore);
    engine_close(partition->engine);
    journal_draft_free(&partition->draft);
    partition_meters_destroy(partition->meters);
    free(partition);
}

bool partition_is_running(const struct partition *partition)
{
    return partition->phase == PARTITION_CATCHING_UP || partition->phase == PARTITION_LIVE;
}

bool partition_is_dirty(const struct partition *partition)
{
    return partition_is_running(partition) &&
           (partition->draft.count > 0 || partition->sequence != partition->committed_sequence);
}

static void drop(struct pipeline *pipeline, int32_t number)
{
    partition_destroy(pipeline->partitions[number]);
    pipeline->partitions[number] = NULL;
    pipeline->fetch_is_stale = true;
}

void member_restart(struct pipeline *pipeline, struct partition *partition)
{
    restore_end(partition->restore);
    partition->restore = NULL;
    engine_close(partition->engine);
    partition->engine = NULL;
    journal_draft_reset(&partition->draft);
    partition->phase = PARTITION_RESTORING;
    partition->restore = restore_begin(pipeline, partition);
    pipeline->fetch_is_stale = true;
}

void member_go_live(struct pipeline *pipeline, struct partition *partition)
{
    partition->phase = PARTITION_CATCHING_UP;
    partition->life = ++pipeline->life_count;
    partition->snapshot_ms = pipeline->now_ms;
    partition->snapshot_events = 0;
    partition->singles_read = 0;
    meters_baseline(partition);
    for (int i = 0; i < TOPIC_INPUT_COUNT; i++)
        partition->hold_until_ms[i] = 0;
    pipeline->fetch_is_stale = true;
}

/* ---- what to read ---------------------------------------------------------------------- */

static uint32_t list_positions(struct pipeline *pipeline, struct position *positions)
{
    uint32_t count = 0;

    for (int32_t i = 0; i < pipeline->partition_count && !pipeline->is_encoding_late; i++) {
        const struct partition *partition = pipeline->partitions[i];

        if (partition == NULL || partition->phase != PARTITION_LIVE)
            continue;
        for (int topic = 0; topic < TOPIC_INPUT_COUNT; topic++)
            if (partition->hold_until_ms[topic] == 0)
                positions[count++] =
                    (struct position){(enum topic)topic, i, partition->positions[topic]};
    }
    return count;
}

static void release_holds(struct pipeline *pipeline)
{
    for (int32_t i = 0; i < pipeline->partition_count; i++) {
        struct partition *partition = pipeline->partitions[i];

        for (int topic = 0; partition != NULL && topic < TOPIC_INPUT_COUNT; topic++) {
            if (partition->hold_until_ms[topic] == 0 ||
                partition->hold_until_ms[topic] > pipeline->now_ms)
                continue;
            partition->hold_until_ms[topic] = 0;
            pipeline->fetch_is_stale = true;
        }
    }
}

enum status member_fetch(struct pipeline *pipeline)
{
    const struct transport *transport = &pipeline->setup.transport;
    struct position *positions;
    struct failure failure = {0};
    enum status status;

    release_holds(pipeline);
    if (!pipeline->fetch_is_stale)
        return STATUS_OK;
    positions = calloc((size_t)pipeline->partition_count * TOPIC_INPUT_COUNT, sizeof(*positions));
    if (positions == NULL)
        abort();
    /* Cleared first: a listener called from within may ask again. */
    pipeline->fetch_is_stale = false;
    status = transport->door->resume(transport->context, positions,
                                     list_positions(pipeline, positions), &failure);
    free(positions);
    if (status == STATUS_OK)
        return STATUS_OK;
    pipeline->fetch_is_stale = true;
    return status == STATUS_BROKEN ? machine_obey(pipeline, &failure) : STATUS_OK;
}

/* ---- the listener ------------------------------------------------------------------------- */

static void stop_for(struct pipeline *pipeline, const struct topic_partition *missing)
{
    struct failure failure;

    failure_set(&failure, REMEDY_STOP,
                "partition %" PRId32 " was assigned here, but not that of %s: all inputs need "
                "the same number of partitions and the range assignor (weir topics describe)",
                missing->partition, topic_info(missing->topic)->name);
    machine_obey(pipeline, &failure);
}

/* Everything of a tenant must meet here, so partition p comes with that of every input. */
static bool is_complete(struct pipeline *pipeline, const struct partition *partition)
{
    for (int topic = 0; topic < TOPIC_INPUT_COUNT; topic++) {
        if (partition->assigned_topics >> topic & 1)
            continue;
        stop_for(pipeline, &(struct topic_partition){(enum topic)topic, partition->number});
        return false;
    }
    return true;
}

static void note_assigned(struct pipeline *pipeline, const struct topic_partition *assigned)
{
    struct partition *partition;

    if (assigned->partition < 0 || assigned->partition >= pipeline->partition_count) {
        struct failure failure;

        failure_set(&failure, REMEDY_STOP,
                    "%s has more partitions than there were at the start (%" PRId32
                    "): tenants have moved; restart, and see \"Changing the number of "
                    "partitions\"",
                    topic_info(assigned->topic)->name, pipeline->partition_count);
        machine_obey(pipeline, &failure);
        return;
    }
    partition = pipeline->partitions[assigned->partition];
    if (partition == NULL) {
        partition = partition_create(assigned->partition);
        partition->phase = PARTITION_PARKED; /* with nothing to begin from */
        partition->meters = partition_meters_create(pipeline, assigned->partition);
        pipeline->partitions[assigned->partition] = partition;
    }
    partition->assigned_topics |= UINT64_C(1) << assigned->topic;
}

static void on_assigned(void *context, const struct topic_partition *partitions, uint32_t count)
{
    struct pipeline *pipeline = context;
    uint32_t restoring_count = 0;

    for (uint32_t i = 0; i < count; i++)
        note_assigned(pipeline, &partitions[i]);
    for (int32_t i = 0; i < pipeline->partition_count && !pipeline->is_stopped; i++) {
        struct partition *partition = pipeline->partitions[i];

        if (partition == NULL || partition->phase != PARTITION_PARKED)
            continue;
        if (partition->assigned_topics == 0) {
            drop(pipeline, i);
        } else if (is_complete(pipeline, partition)) {
            partition->restore = restore_begin(pipeline, partition);
            partition->phase = PARTITION_RESTORING;
            restoring_count++;
        }
    }
    pipeline->fetch_is_stale = true;
    pipeline->has_assignment = true;
    log_info(ROOM, "worker %" PRIu32 ": %" PRIu32 " partition%s assigned", pipeline->setup.worker,
             restoring_count, restoring_count == 1 ? "" : "s");
}

/* What is left of a partition after its last commit. */
static void leave(struct pipeline *pipeline, int32_t number, bool is_committed)
{
    struct partition *partition =
        number >= 0 && number < pipeline->partition_count ? pipeline->partitions[number] : NULL;

    if (partition == NULL)
        return;
    pipeline->fetch_is_stale = true;
    if (is_committed && partition_is_running(partition)) {
        partition->phase = PARTITION_PARKED;
        partition->assigned_topics = 0;
        journal_draft_reset(&partition->draft);
    } else if (partition->phase != PARTITION_PARKED) {
        drop(pipeline, number);
    }
}

static void on_revoked(void *context, const struct topic_partition *partitions, uint32_t count,
                       bool is_lost)
{
    struct pipeline *pipeline = context;
    bool is_committed = false;

    if (!is_lost && !pipeline->is_stopped)
        is_committed = commit_now(pipeline, COMMIT_DEADLINE_MS) == STATUS_OK;
    if (!is_committed && !pipeline->is_stopped) {
        struct failure failure;

        failure_set(&failure, REMEDY_ROLL_BACK, "%s",
                    is_lost ? "the group gave our partitions to others"
                            : "partitions were taken away before their last commit succeeded");
        commit_roll_back(pipeline, &failure);
    }
    for (uint32_t i = 0; i < count; i++)
        leave(pipeline, partitions[i].partition, is_committed);
    /* Taken away for good until the group says otherwise; in a rebalance the answer follows. */
    if (is_lost)
        pipeline->has_assignment = false;
    log_info(ROOM, "worker %" PRIu32 ": partitions %s", pipeline->setup.worker,
             is_lost ? "lost" : "given back");
}

/* Passed by in the journal, so that the position goes on behind them at once: the topic may stay
 * silent, and whoever takes over must not be told again. */
static void on_gone(void *context, const struct topic_partition *gone, int64_t from, int64_t to)
{
    struct pipeline *pipeline = context;
    struct partition *partition = pipeline->partitions[gone->partition];

    if (partition == NULL || partition->phase != PARTITION_LIVE ||
        partition->positions[gone->topic] >= to)
        return;
    log_error(ROOM,
              "partition %" PRId32 ": offsets %" PRId64 " to %" PRId64 " of %s were deleted before "
              "they were read (its retention is shorter than we are behind): its state is without "
              "them",
              gone->partition, from, to - 1, topic_info(gone->topic)->name);
    meters_gap(pipeline);
    journal_draft_record(&partition->draft, JOURNAL_PASS, gone->topic, to - 1);
    partition->positions[gone->topic] = to;
}

void member_listen(struct pipeline *pipeline, struct transport_listener *listener)
{
    *listener = (struct transport_listener){.context = pipeline,
                                            .on_assigned = on_assigned,
                                            .on_revoked = on_revoked,
                                            .on_gone = on_gone};
}
