/*
 * keep.c - when a partition's machine is saved.
 *
 * At a cut the machine is exactly the state after the journal record just written,
 * and at no other time: that is when the image is taken. One partition of a worker
 * at a time, the one that has waited longest.
 */
#include <inttypes.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "pipeline/machine.h"

enum { TRY_AGAIN_MS = 10000 };

static bool is_due(const struct pipeline *pipeline, const struct partition *partition)
{
    const struct pipeline_options *options = &pipeline->options;

    if (!partition_is_running(partition) || partition->draft.count > 0)
        return false;
    return partition->wants_snapshot ||
           pipeline->now_ms - partition->snapshot_ms >= options->snapshot_interval_ms ||
           partition->snapshot_events >= (uint64_t)options->snapshot_events;
}

static struct partition *find_due(struct pipeline *pipeline)
{
    struct partition *due = NULL;

    for (int32_t i = 0; i < pipeline->partition_count; i++) {
        struct partition *partition = pipeline->partitions[i];

        if (partition == NULL || !is_due(pipeline, partition))
            continue;
        if (due == NULL || partition->snapshot_ms < due->snapshot_ms)
            due = partition;
    }
    return due;
}

void keep_at_cut(struct pipeline *pipeline)
{
    struct partition *partition;
    struct snapshot_manifest manifest = {0};
    struct failure failure = {0};
    enum status status;

    if (pipeline->snapshots == NULL || !snapshot_writer_is_idle(pipeline->snapshots))
        return;
    partition = find_due(pipeline);
    if (partition == NULL)
        return;
    manifest.slot = partition->snapshot_slot;
    manifest.epoch = partition->epoch;
    manifest.sequence = partition->sequence;
    manifest.journal_floor = partition->journal_floor;
    manifest.taken_ms = pipeline->wall_ms;
    manifest.tick_ms = partition->tick_ms;
    memcpy(manifest.single_positions, partition->single_positions,
           sizeof(manifest.single_positions));
    memcpy(manifest.positions, partition->positions, sizeof(manifest.positions));
    manifest.partition_count = pipeline->partition_count;
    manifest.config_digest = engine_config_digest(pipeline->setup.engine_config);
    /* Never 0, which stands for none. */
    manifest.generation =
        hash_mix(hash_mix(manifest.epoch, manifest.sequence), (uint64_t)manifest.taken_ms) | 1;
    status = snapshot_writer_take(pipeline->snapshots, partition->number, partition->engine,
                                  &manifest, partition->chunk_counts[manifest.slot], &failure);
    if (status == STATUS_AGAIN)
        return;
    partition->snapshot_ms = pipeline->now_ms;
    partition->snapshot_events = 0;
    partition->wants_snapshot = false;
    if (status != STATUS_OK)
        log_error(ROOM, "partition %" PRId32 ": no snapshot: %s", partition->number, failure.text);
}

static void note_outcome(struct pipeline *pipeline, const struct snapshot_outcome *outcome)
{
    struct partition *partition = pipeline->partitions[outcome->partition];
    const struct snapshot_manifest *manifest = &outcome->manifest;

    meters_snapshot(pipeline, outcome);
    if (outcome->is_written)
        log_info(ROOM,
                 "partition %" PRId32 ": snapshot at journal record %" PRIu64 ": %" PRIu64
                 " bytes as %" PRIu64 " in %" PRIu32 " chunks, %" PRId64 " ms, stood still %.1f ms",
                 outcome->partition, manifest->sequence, manifest->raw_bytes,
                 manifest->stored_bytes, manifest->chunk_count, outcome->duration_ms,
                 (double)outcome->pause_ns / 1e6);
    else if (!outcome->is_void)
        log_error(ROOM, "partition %" PRId32 ": snapshot not written: %s", outcome->partition,
                  outcome->text);
    if (partition == NULL || partition->epoch != manifest->epoch)
        return; /* another time, another owner */
    if (outcome->is_written) {
        partition->chunk_counts[manifest->slot] = manifest->chunk_count;
        partition->snapshot_slot = (manifest->slot + 1) % SNAPSHOT_SLOT_COUNT;
        partition->journal_floor = outcome->journal_next;
    } else {
        partition->snapshot_ms =
            pipeline->now_ms - pipeline->options.snapshot_interval_ms + TRY_AGAIN_MS;
    }
}

void keep_step(struct pipeline *pipeline)
{
    struct snapshot_outcome outcome;

    if (pipeline->snapshots == NULL)
        return;
    snapshot_writer_step(pipeline->snapshots);
    if (snapshot_writer_outcome(pipeline->snapshots, &outcome))
        note_outcome(pipeline, &outcome);
}
