#include "base/option.h"
#include "pipeline/pipeline.h"

static const char *const guarantees[] = {"at_least_once", "exactly_once", NULL};

#define AT(field) offsetof(struct pipeline_options, field)

static const struct option options[] = {
    {.name = "guarantee",
     .type = OPTION_CHOICE,
     .offset = AT(guarantee),
     .preset = "exactly_once",
     .choices = guarantees,
     .purpose = "exactly_once: results, offsets and state move together, and a read-committed "
                "consumer sees each result once. at_least_once: results leave at once, and may "
                "come twice, under the same id."},
    {.name = "commit.interval_ms",
     .type = OPTION_DURATION_MS,
     .offset = AT(commit_interval_ms),
     .preset = "100ms",
     .least = 1,
     .most = 60000,
     .purpose = "How long results of a transaction wait at most. Shorter: lower latency, more "
                "work for the brokers."},
    {.name = "commit.records_max",
     .type = OPTION_INT,
     .offset = AT(commit_records_max),
     .preset = "100000",
     .least = 1,
     .most = 10000000,
     .unit = "records",
     .purpose = "A commit is due after so many records, however little time has passed."},
    {.name = "poll.records_max",
     .type = OPTION_INT,
     .offset = AT(poll_records_max),
     .preset = "4096",
     .least = 1,
     .most = 100000,
     .unit = "records",
     .purpose = "Records taken in one turn."},
    {.name = "tick.interval_ms",
     .type = OPTION_DURATION_MS,
     .offset = AT(tick_interval_ms),
     .preset = "1s",
     .least = 10,
     .most = 60000,
     .purpose = "How often a partition is told the time, which drives its timers. Each tick is "
                "journalled."},
    {.name = "snapshot.interval_ms",
     .type = OPTION_DURATION_MS,
     .offset = AT(snapshot_interval_ms),
     .preset = "5m",
     .least = 0,
     .most = 86400000,
     .purpose = "Time between two snapshots of a partition; 0: none are made, and recovery reads "
                "the inputs from their beginning. Inputs must be kept for longer than this."},
    {.name = "snapshot.events",
     .type = OPTION_INT,
     .offset = AT(snapshot_events),
     .preset = "10000000",
     .least = 1,
     .most = INT64_MAX,
     .unit = "events",
     .purpose = "A snapshot is due after so many events, however little time has passed: it "
                "bounds the time of a recovery."},
    {.name = "snapshot.chunk",
     .type = OPTION_BYTES,
     .offset = AT(snapshot_chunk_bytes),
     .preset = "512KiB",
     .least = 64,
     .most = 8388608,
     .purpose = "Size of a piece of a snapshot before compression; one message each. Keep it "
                "below the brokers' message.max.bytes."},
    {.name = "snapshot.rebuild_ms",
     .type = OPTION_DURATION_MS,
     .offset = AT(snapshot_rebuild_ms),
     .preset = "1h",
     .least = 0,
     .most = 2592000000,
     .purpose = "When no snapshot can be read and the journal does not reach back to its first "
                "record, the state is made again from so much of the latest history. As long as "
                "the longest window, at least."},
};

const struct option_table pipeline_option_table = {
    .section = "processing",
    .options = options,
    .count = sizeof(options) / sizeof(options[0]),
    .bytes = sizeof(struct pipeline_options),
};
