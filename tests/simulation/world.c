#include "simulation/world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "pipeline/machine.h"

enum {
    TENANT_COUNT = 7,
    SETTLE_TURNS_MAX = 4000,
    QUIET_TURNS = 3,
    POLL_MS_MAX = 20,
    CLOSING_MS = 200000,
    RETENTION_EVERY = 8,
};

static struct world *present; /* for what stands behind the codec's calls */

void world_fail(struct world *world, const char *format, ...)
{
    va_list arguments;

    if (world->has_failed)
        return;
    world->has_failed = true;
    va_start(arguments, format);
    vsnprintf(world->text, sizeof(world->text), format, arguments);
    va_end(arguments);
}

static uint64_t roll(struct world *world, uint64_t below)
{
    return cluster_random(&world->cluster, below);
}

/* ---- a registry that comes and goes: the codec's two calls, wrapped at link time ---------- */

enum status __real_codec_decode_event(struct codec *codec, enum event_kind kind,
                                      struct view message, struct arena *arena, struct event *event,
                                      struct codec_reason *reason, struct failure *failure);
enum status __wrap_codec_decode_event(struct codec *codec, enum event_kind kind,
                                      struct view message, struct arena *arena, struct event *event,
                                      struct codec_reason *reason, struct failure *failure);
enum status __real_codec_encode_result(struct codec *codec, const struct result *result,
                                       struct byte_writer *out, struct failure *failure);
enum status __wrap_codec_encode_result(struct codec *codec, const struct result *result,
                                       struct byte_writer *out, struct failure *failure);

enum status __wrap_codec_decode_event(struct codec *codec, enum event_kind kind,
                                      struct view message, struct arena *arena, struct event *event,
                                      struct codec_reason *reason, struct failure *failure)
{
    enum status status;

    if (!present->cluster.is_calm &&
        cluster_chance(&present->cluster, present->cluster.fault_permille / 8))
        return failure_set(failure, REMEDY_RETRY, "the registry does not answer");
    status = __real_codec_decode_event(codec, kind, message, arena, event, reason, failure);
    /* A schema that is registered only after its first messages: what was set aside at
     * first could be read later, and must not be. */
    if (status == STATUS_OK && !present->may_mend && event->id.size > 0 &&
        event->id.data[0] == 's') {
        reason->error = CODEC_ERROR_SCHEMA_UNKNOWN;
        return failure_set(failure, REMEDY_SET_ASIDE, "schema not known yet");
    }
    return status;
}

enum status __wrap_codec_encode_result(struct codec *codec, const struct result *result,
                                       struct byte_writer *out, struct failure *failure)
{
    if (!present->cluster.is_calm &&
        cluster_chance(&present->cluster, present->cluster.fault_permille / 8)) {
        byte_put(out, "half", 4);
        return failure_set(failure, REMEDY_RETRY, "the registry does not answer");
    }
    return __real_codec_encode_result(codec, result, out, failure);
}

/* Counted by the pipeline: how often it said that something is gone. */
void __real_meters_gap(struct pipeline *pipeline);
void __wrap_meters_gap(struct pipeline *pipeline);

void __wrap_meters_gap(struct pipeline *pipeline)
{
    present->gap_count++;
    __real_meters_gap(pipeline);
}

/* ---- input --------------------------------------------------------------------------------- */

static void write_event(struct world *world, enum topic topic, const char *id, const char *tenant,
                        int64_t time_ms, char *text, size_t size)
{
    uint64_t who = roll(world, 4);
    char head[200];

    snprintf(head, sizeof(head),
             "{\"event_id\":\"%s\",\"tenant_id\":\"%s\",\"event_time\":%" PRId64, id, tenant,
             time_ms);
    switch ((int)topic) {
    case TOPIC_ORDERS:
        snprintf(text, size,
                 "%s,\"order_id\":\"o%s\",\"customer_id\":\"c%" PRIu64 "\",\"amount\":%" PRIu64
                 ",\"currency\":\"EUR\",\"items\":[{\"product_id\":\"p%" PRIu64
                 "\",\"quantity\":1,\"unit_price\":2}]}",
                 head, id, who, roll(world, 20000), roll(world, 9));
        break;
    case TOPIC_REQUESTS:
        snprintf(text, size,
                 "{\"request_id\":\"r%s-%s\",\"tenant_id\":\"%s\",\"event_time\":%" PRId64
                 ",\"customer_id%s\":%sc%" PRIu64 "%s}",
                 id, tenant, tenant, time_ms, who == 0 ? "s" : "", who == 0 ? "[\"" : "\"", who,
                 who == 0 ? "\",\"c9\"]" : "\"");
        break;
    case TOPIC_AUTH_EVENTS:
        snprintf(text, size,
                 "%s,\"user_id\":\"u%" PRIu64 "\",\"outcome\":\"%s\",\"ip\":\"10.0.0.%" PRIu64
                 "\"}",
                 head, who, roll(world, 3) == 0 ? "success" : "failure", who);
        break;
    default:
        snprintf(text, size,
                 "%s,\"client_id\":\"k%" PRIu64
                 "\",\"method\":\"GET\",\"path\":\"/\",\"status\":200}",
                 head, who);
        break;
    }
}

static int64_t choose_time(struct world *world)
{
    int64_t now_ms = world->cluster.wall_ms;

    switch (roll(world, 40)) {
    case 0:
        return now_ms - 40000 - (int64_t)roll(world, 40000); /* late */
    case 1:
        return now_ms + 7200000; /* from the future */
    default:
        return now_ms - (int64_t)roll(world, 15000);
    }
}

static void produce_event(struct world *world)
{
    static const enum topic topics[] = {TOPIC_ORDERS, TOPIC_AUTH_EVENTS, TOPIC_API_CALLS,
                                        TOPIC_ORDERS, TOPIC_REQUESTS};
    struct cluster *cluster = &world->cluster;
    enum topic topic = topics[roll(world, 5)];
    char tenant[16], id[24], text[500];
    struct outgoing outgoing = {.topic = topic};
    int32_t partition;

    snprintf(tenant, sizeof(tenant), "t%" PRIu64, roll(world, TENANT_COUNT));
    if (roll(world, 60) == 0)
        snprintf(tenant, sizeof(tenant), "stranger");
    snprintf(id, sizeof(id), "%s%u", roll(world, 50) == 0 ? "s" : "e",
             roll(world, 20) == 0 && world->produced_count > 0 ? world->produced_count - 1
                                                               : world->produced_count);
    write_event(world, topic, id, tenant, choose_time(world), text, sizeof(text));
    if (roll(world, 40) == 0)
        text[roll(world, strlen(text))] = '\0'; /* cut short */
    outgoing.key = view_of(tenant);
    outgoing.value = view_of(text);
    outgoing.headers = &(struct header){"trace-id", view_of(id)};
    outgoing.header_count = 1;
    partition = hash_partition(outgoing.key, cluster->partition_count);
    if (roll(world, 25) == 0)
        partition = (int32_t)roll(world, (uint64_t)cluster->partition_count);
    if (roll(world, 40) == 0)
        cluster_append_marker(cluster, topic, partition);
    cluster_append(cluster, &outgoing, partition, NULL);
    if (roll(world, 60) == 0) {
        struct transaction *transaction = cluster_begin(cluster, 1000000 + roll(world, 3));

        cluster_append(cluster, &outgoing, partition, transaction);
        cluster_decide(cluster, transaction, roll(world, 2) == 0);
    }
    world->produced_count++;
}

static void produce_command(struct world *world)
{
    char text[300];
    struct outgoing outgoing = {.topic = TOPIC_COMMANDS, .key = VIEW_LITERAL("platform")};

    snprintf(text, sizeof(text),
             "{\"command_id\":\"command-%u\",\"type\":\"ignore-me\",\"event_time\":%" PRId64 "%s",
             world->produced_count++, world->cluster.wall_ms, roll(world, 10) == 0 ? "" : "}");
    outgoing.value = view_of(text);
    cluster_append(&world->cluster, &outgoing, 0, NULL);
}

static void produce(struct world *world)
{
    uint64_t count = roll(world, 6);

    while (count-- > 0 && world->produced_count < world->options.event_count)
        produce_event(world);
    if (roll(world, 20) == 0 && world->produced_count < world->options.event_count)
        produce_command(world);
}

/* ---- processes ------------------------------------------------------------------------------- */

static void start_process(struct world *world, struct process *process)
{
    struct door_options member = {.number = ++world->door_next,
                                  .is_member = true,
                                  .is_transactional =
                                      world->options.guarantee == GUARANTEE_EXACTLY_ONCE,
                                  .producer = process->producer};
    struct door_options beside = {.number = ++world->door_next};
    struct pipeline_setup setup = {.options = &world->pipeline_options,
                                   .engine_config =
                                       roll(world, 4) == 0 ? world->other_config : world->config,
                                   .codec = world->codec,
                                   .clock = &world->cluster.clock,
                                   .worker = process->number,
                                   .owner = member.number};
    struct failure failure = {0};

    /* A new identity each time leaves what its predecessor began to the time-out. */
    if (roll(world, 2) == 0)
        member.producer = process->producer = ++world->cluster.producer_next;
    process->door = door_open(&world->cluster, &member);
    process->side = door_open(&world->cluster, &beside);
    setup.transport = door_transport(process->door);
    setup.side = door_transport(process->side);
    process->is_frozen = false;
    process->birth = ++world->restart_count;
    if (pipeline_open(&setup, &process->pipeline, &failure) != STATUS_OK) {
        door_close(process->side);
        door_close(process->door);
        process->pipeline = NULL;
    }
}

static void end_process(struct world *world, struct process *process)
{
    if (process->pipeline == NULL)
        return;
    pipeline_close(process->pipeline);
    door_close(process->side);
    door_close(process->door);
    process->pipeline = NULL;
    cluster_trace(&world->cluster, 0, OPERATION_DISTURB, -1, (int32_t)process->number, 1, STATUS_OK,
                  REMEDY_NONE);
}

static void kill_process(struct world *world, struct process *process)
{
    if (process->pipeline == NULL)
        return;
    door_kill(process->door);
    door_kill(process->side);
    world->crash_count++;
    end_process(world, process);
}

static void stop_process(struct world *world, struct process *process)
{
    struct failure failure;

    if (process->pipeline == NULL || process->is_frozen)
        return;
    pipeline_drain(process->pipeline, &failure);
    if (door_is_dead(process->door) || door_is_dead(process->side)) {
        kill_process(world, process);
        return;
    }
    world->stop_count++;
    end_process(world, process);
}

static void corrupt_snapshot(struct world *world)
{
    int32_t partition = (int32_t)roll(world, (uint64_t)world->cluster.partition_count);
    struct log *log = &world->cluster.logs[TOPIC_SNAPSHOTS][partition];
    struct entry *entry;

    if (log->count == 0)
        return;
    entry = &log->entries[roll(world, (uint64_t)log->count)];
    if (entry->state == ENTRY_VISIBLE && entry->value_size > 0)
        entry->value[roll(world, entry->value_size)] ^= 0x20;
}

/* Mostly what everybody has long read, as retention should; now and then more. */
static void delete_records(struct world *world)
{
    static const enum topic topics[] = {TOPIC_ORDERS,   TOPIC_AUTH_EVENTS, TOPIC_API_CALLS,
                                        TOPIC_REQUESTS, TOPIC_FORWARD,     TOPIC_JOURNAL};
    struct cluster *cluster = &world->cluster;
    enum topic topic = topics[roll(world, 6)];
    int32_t partition = (int32_t)roll(world, (uint64_t)cluster->partition_count);
    const struct log *log = &cluster->logs[topic][partition];
    int64_t upto = roll(world, 4) == 0 ? log->count : log->count / 2;

    /* What is deleted before anybody began with the topic, nobody misses. */
    if (cluster->committed[topic][partition] < 0)
        return;
    cluster_delete(cluster, topic, partition, (int64_t)roll(world, (uint64_t)upto + 1));
}

static void disturb_process(struct world *world, struct process *process)
{
    switch (roll(world, 6)) {
    case 0:
        kill_process(world, process);
        break;
    case 1:
        stop_process(world, process);
        break;
    case 2:
        if (!world->options.has_zombies || process->pipeline == NULL)
            break;
        process->is_frozen = true;
        process->frozen_turns = 1 + (uint32_t)roll(world, 200);
        world->freeze_count++;
        break;
    default:
        if (process->pipeline == NULL)
            start_process(world, process);
        break;
    }
}

/* One fault, or none. */
static void disturb(struct world *world)
{
    struct cluster *cluster = &world->cluster;

    if (roll(world, 1000) >= world->options.fault_permille)
        return;
    switch (roll(world, 10)) {
    case 0:
        cluster->wall_ms += (int64_t)roll(world, 60000);
        break;
    case 1:
        cluster->wall_ms -= (int64_t)roll(world, 60000);
        break;
    case 2:
        corrupt_snapshot(world);
        break;
    case 3:
        cluster_compact(cluster, TOPIC_SNAPSHOTS,
                        (int32_t)roll(world, (uint64_t)cluster->partition_count));
        break;
    case 4:
        cluster->is_down = true;
        world->down_until_turn = cluster->turn + 1 + roll(world, 30);
        break;
    case 5:
        world->may_mend = true;
        break;
    default:
        if (world->options.has_retention && roll(world, 2) == 0)
            delete_records(world);
        disturb_process(world, &world->processes[roll(world, PROCESSES_MAX)]);
        break;
    }
}

/* ---- checks of every turn
 * ------------------------------------------------------------------------ */

static void check_watermarks(struct world *world, const struct process *process,
                             const struct partition *partition)
{
    struct engine_stats stats;
    uint64_t life = (uint64_t)process->birth << 32 | partition->life;
    int64_t *seen = world->watermarks[partition->number];

    engine_stats(partition->engine, &stats);
    /* A new owner goes on from the last commit, which may lie behind what the old one saw. */
    if (world->watermark_lives[partition->number] != life) {
        world->watermark_lives[partition->number] = life;
        memcpy(seen, stats.watermark_ms, sizeof(stats.watermark_ms));
    }
    for (int i = 0; i < EVENT_KIND_COUNT; i++) {
        if (stats.watermark_ms[i] < seen[i])
            world_fail(world, "partition %" PRId32 ": watermark %d went back", partition->number,
                       i);
        seen[i] = stats.watermark_ms[i];
    }
}

static void check_process(struct world *world, const struct process *process)
{
    const struct pipeline *pipeline = process->pipeline;

    for (int32_t i = 0; i < pipeline->partition_count; i++) {
        const struct partition *partition = pipeline->partitions[i];

        if (partition == NULL || !partition_is_running(partition))
            continue;
        if (!process->is_frozen)
            check_watermarks(world, process, partition);
        if (partition->committed_sequence > partition->sequence)
            world_fail(world, "partition %" PRId32 ": committed more than was decided", i);
        for (int topic = 0; topic < TOPIC_INPUT_COUNT; topic++)
            if (partition->committed_positions[topic] > partition->positions[topic] &&
                partition->positions[topic] >= 0)
                world_fail(world, "partition %" PRId32 ": a commit passed what was applied", i);
    }
    if (pipeline->records_since_cut > (uint64_t)pipeline->options.commit_records_max +
                                          (uint64_t)pipeline->options.poll_records_max +
                                          SINGLE_BATCH_RECORDS * PARTITIONS_MAX &&
        commit_is_under_way(pipeline))
        world_fail(world, "more is held than the limits say");
}

/* ---- turns
 * -------------------------------------------------------------------------------------------- */

static void turn_process(struct world *world, struct process *process)
{
    struct failure failure = {0};
    enum status status;

    if (process->pipeline == NULL)
        return;
    if (process->is_frozen) {
        if (process->frozen_turns-- == 0)
            process->is_frozen = false;
        return;
    }
    status = pipeline_turn(process->pipeline, (int64_t)roll(world, POLL_MS_MAX), &failure);
    if (door_is_dead(process->door) || door_is_dead(process->side)) {
        kill_process(world, process);
        return;
    }
    if (status == STATUS_OK) {
        check_process(world, process);
        return;
    }
    if (status != STATUS_BROKEN || failure.remedy != REMEDY_STOP)
        world_fail(world, "a turn ended with %s, remedy %d: %s", status_name(status),
                   failure.remedy, failure.text);
    end_process(world, process);
}

static void begin_turn(struct world *world)
{
    struct cluster *cluster = &world->cluster;

    cluster->turn++;
    cluster_pass_ms(cluster, 1 + (int64_t)roll(world, 40));
    if (cluster->wall_ms > world->wall_last_ms)
        world->wall_last_ms = cluster->wall_ms;
    if (cluster->turn >= world->down_until_turn)
        cluster->is_down = false;
    cluster_step(cluster);
}

void world_turn(struct world *world)
{
    begin_turn(world);
    produce(world);
    disturb(world);
    for (int i = 0; i < PROCESSES_MAX; i++)
        turn_process(world, &world->processes[i]);
}

static bool is_consumed(const struct world *world)
{
    const struct cluster *cluster = &world->cluster;

    for (int topic = 0; topic < TOPIC_INPUT_COUNT; topic++)
        for (int32_t partition = 0; partition < cluster->partition_count; partition++) {
            const struct log *log = &cluster->logs[topic][partition];
            int64_t last = log->count - 1;

            while (last >= log->first && log->entries[last].state != ENTRY_VISIBLE)
                last--;
            if (last >= log->first && cluster->committed[topic][partition] != last + 1)
                return false;
        }
    return true;
}

/* Says what is left, for the failure. */
static void tell_unrest(struct world *world)
{
    const struct cluster *cluster = &world->cluster;
    char text[400] = "";
    size_t size = 0;

    for (int topic = 0; topic < TOPIC_INPUT_COUNT && size < sizeof(text) - 80; topic++)
        for (int32_t i = 0; i < cluster->partition_count && size < sizeof(text) - 80; i++)
            if (cluster->committed[topic][i] < cluster->logs[topic][i].count - 1)
                size += (size_t)snprintf(
                    text + size, sizeof(text) - size, " %s %" PRId32 ": %" PRId64 " of %" PRId64,
                    topic_info((enum topic)topic)->name, i, cluster->committed[topic][i],
                    cluster->logs[topic][i].count);
    for (int i = 0; i < PROCESSES_MAX && size < sizeof(text) - 80; i++) {
        const struct pipeline *pipeline = world->processes[i].pipeline;

        for (int32_t k = 0; pipeline != NULL && k < pipeline->partition_count; k++)
            if (pipeline->partitions[k] != NULL && size < sizeof(text) - 80)
                size += (size_t)snprintf(text + size, sizeof(text) - size,
                                         " process %d partition %" PRId32 " phase %d", i, k,
                                         pipeline->partitions[k]->phase);
    }
    world_fail(world, "it does not come to rest:%s", text);
}

static bool has_read(const struct world *world, const struct partition *partition,
                     enum single single)
{
    const struct log *log = &world->cluster.logs[single_topic(single)][0];
    int64_t last = log->count - 1;

    while (last >= 0 && log->entries[last].state != ENTRY_VISIBLE)
        last--;
    return partition->single_positions[single] > last ||
           (single == SINGLE_POPULARITY && !engine_config_is_sharing(world->config));
}

static bool is_at_rest(const struct world *world)
{
    int32_t live_count = 0;

    for (int i = 0; i < PROCESSES_MAX; i++) {
        const struct pipeline *pipeline = world->processes[i].pipeline;

        if (pipeline == NULL)
            continue;
        for (int32_t k = 0; k < pipeline->partition_count; k++) {
            const struct partition *partition = pipeline->partitions[k];

            if (partition == NULL)
                continue;
            if (partition->phase != PARTITION_LIVE ||
                !has_read(world, partition, SINGLE_COMMANDS) ||
                !has_read(world, partition, SINGLE_POPULARITY))
                return false;
            live_count++;
        }
    }
    return live_count == world->cluster.partition_count && is_consumed(world);
}

/* Nothing is under way any more; the pipelines stay, to be looked at. */
static bool drain_all(struct world *world)
{
    struct cluster *cluster = &world->cluster;
    struct failure failure;

    for (int i = 0; i < PROCESSES_MAX; i++)
        if (world->processes[i].pipeline != NULL &&
            pipeline_drain(world->processes[i].pipeline, &failure) != STATUS_OK)
            return false;
    for (int i = 0; i < TRANSACTIONS_MAX; i++)
        if (cluster->transactions[i].state >= TRANSACTION_COMMITS)
            cluster_finish(cluster, &cluster->transactions[i]);
    return true;
}

/* One event for each partition and topic, late enough to close every window. Its
 * tenant does nothing else. */
static void produce_closing(struct world *world)
{
    static const enum topic topics[] = {TOPIC_ORDERS, TOPIC_AUTH_EVENTS, TOPIC_API_CALLS};

    for (uint32_t candidate = 0, found = 0; found != (1u << world->cluster.partition_count) - 1;
         candidate++) {
        char tenant[24], id[40], text[500];
        int32_t partition;

        snprintf(tenant, sizeof(tenant), "closer-%u", candidate);
        partition = hash_partition(view_of(tenant), world->cluster.partition_count);
        if (found >> partition & 1)
            continue;
        found |= 1u << partition;
        for (int i = 0; i < 3; i++) {
            struct outgoing outgoing = {.topic = topics[i], .key = view_of(tenant)};

            snprintf(id, sizeof(id), "end-%u-%d", candidate, i);
            write_event(world, topics[i], id, tenant, world->wall_last_ms + CLOSING_MS, text,
                        sizeof(text));
            outgoing.value = view_of(text);
            cluster_append(&world->cluster, &outgoing, partition, NULL);
        }
    }
}

bool world_settle(struct world *world)
{
    uint32_t quiet = 0;

    if (world->cluster.wall_ms < world->wall_last_ms)
        world->cluster.wall_ms = world->wall_last_ms;
    produce_closing(world);

    world->cluster.is_calm = true;
    world->cluster.is_down = false;
    world->is_settling = true;
    for (int i = 0; i < PROCESSES_MAX; i++)
        world->processes[i].is_frozen = false;
    for (int turn = 0; turn < SETTLE_TURNS_MAX && !world->has_failed; turn++) {
        begin_turn(world);
        if (world->processes[0].pipeline == NULL)
            start_process(world, &world->processes[0]);
        for (int i = 0; i < PROCESSES_MAX; i++)
            turn_process(world, &world->processes[i]);
        quiet = is_at_rest(world) ? quiet + 1 : 0;
        if (quiet < QUIET_TURNS)
            continue;
        if (!drain_all(world))
            return false;
        /* The last transaction may have forwarded strays. */
        if (is_consumed(world))
            return true;
        quiet = 0;
    }
    tell_unrest(world);
    return false;
}

/* ---- begin and end
 * --------------------------------------------------------------------------------------- */

static void choose_options(struct world *world)
{
    struct pipeline_options *options = &world->pipeline_options;

    option_preset(&pipeline_option_table, options);
    world->options.guarantee =
        roll(world, 4) == 0 ? GUARANTEE_AT_LEAST_ONCE : GUARANTEE_EXACTLY_ONCE;
    world->options.has_zombies = roll(world, 2) == 0;
    /* By the seed, not by chance: the other worlds stay what they were. */
    world->options.has_retention = world->seed % RETENTION_EVERY == 3;
    world->options.event_count = 50 + (uint32_t)roll(world, 250);
    world->options.fault_permille = 10 + (uint32_t)roll(world, 60);
    options->guarantee = world->options.guarantee;
    options->commit_interval_ms = 1 + (int64_t)roll(world, 200);
    options->commit_records_max = 1 + (int64_t)roll(world, 100);
    options->poll_records_max = 1 + (int64_t)roll(world, 40);
    options->tick_interval_ms = 10 + (int64_t)roll(world, 500);
    options->snapshot_interval_ms = roll(world, 5) == 0 ? 0 : 100 + (int64_t)roll(world, 3000);
    options->snapshot_events = 1 + (int64_t)roll(world, 200);
    options->snapshot_chunk_bytes = 64 + (int64_t)roll(world, 512);
}

void world_begin(struct world *world, uint64_t seed)
{
    struct codec_options codec = {0};
    struct failure failure;

    *world = (struct world){.seed = seed};
    present = world;
    cluster_create(&world->cluster, seed);
    world->cluster.partition_count = 1 + (int32_t)roll(world, PARTITIONS_MAX);
    choose_options(world);
    world->cluster.fault_permille = (uint32_t)roll(world, 40);
    world->config = machine_config(false);
    world->other_config = machine_config(true);
    option_preset(&codec_option_table, &codec);
    if (codec_create(&codec, &world->codec, &failure) != STATUS_OK) {
        fprintf(stderr, "codec: %s\n", failure.text);
        exit(2);
    }
    for (uint32_t i = 0; i < PROCESSES_MAX; i++) {
        world->processes[i].number = i;
        world->processes[i].producer = ++world->cluster.producer_next;
    }
    start_process(world, &world->processes[0]);
}

void world_end(struct world *world)
{
    for (int i = 0; i < PROCESSES_MAX; i++)
        end_process(world, &world->processes[i]);
    codec_destroy(world->codec);
    engine_config_destroy(world->config);
    engine_config_destroy(world->other_config);
    cluster_destroy(&world->cluster);
}
