/*
 * report.c - what the outside may know: metrics, and the summary behind /status.
 *
 * Counts on the hot path are plain and the engine's own; once in RENEW_MS they are
 * added to the metrics and copied into the summary, which other threads read under
 * its lock.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_writer.h"
#include "pipeline/machine.h"

enum { RENEW_MS = 200, LABEL_BYTES_FIRST = 64 };
enum { JOBS_SUBMITTED, JOBS_COMPLETED, JOBS_FAILED, JOBS_CANCELLED, JOBS_COUNT };

struct meters {
    struct metric_registry *registry;
    struct metric *events[EVENT_KIND_COUNT];
    struct metric *late[EVENT_KIND_COUNT];
    struct metric *future[EVENT_KIND_COUNT];
    struct metric *duplicates[EVENT_KIND_COUNT];
    struct metric *opened[3];
    struct metric *recommendations[STRATEGY_COUNT], *recommendations_empty;
    struct metric *recommendation_seconds;
    struct metric *learnt_orders, *learnt_interactions;
    struct metric *products_evicted, *tenants_evicted;
    struct metric *jobs_ended[JOBS_COUNT];
    struct metric *forwarded;
    struct metric *batches, *batch_records;
    struct metric *commit_seconds, *commit_wait_seconds, *roll_backs;
    struct metric *snapshots_written, *snapshots_failed, *snapshot_seconds, *snapshot_pause_seconds;
    struct metric *restores, *restore_seconds, *restore_events, *restore_gaps;
    struct metric *restoring;
    struct metric *busy_seconds;
    uint64_t batch_count, batch_record_count;
    int64_t renewed_ms;
};

struct partition_meters {
    struct metric *keys, *evicted, *customers_evicted, *state_bytes, *episodes_open;
    struct metric *customers, *products, *pairs, *recommend_bytes, *dedicated_models;
    struct metric *jobs_pending, *jobs_processing, *job_customers;
    struct metric *watermark[EVENT_KIND_COUNT];
    struct metric *lag[TOPIC_INPUT_COUNT];
    struct metric *snapshot_bytes, *snapshot_age, *restore_eta;
    struct engine_stats seen; /* what has been added to the counters */
    bool has_seen;
    uint64_t evicted_seen;
};

struct partition_summary {
    int32_t number;
    enum partition_phase phase;
    uint64_t sequence, committed_sequence, epoch;
    int64_t single_positions[SINGLE_COUNT], tick_ms;
    int64_t positions[TOPIC_INPUT_COUNT], ends[TOPIC_INPUT_COUNT];
    struct engine_stats stats;
    struct restore_progress progress;
};

struct summary {
    pthread_mutex_t lock;
    struct partition_summary *partitions;
    uint32_t count;
    bool is_ready;
    int64_t last_turn_ms;
    char trouble[FAILURE_TEXT_MAX];
};

static const char *topic_name_of(int kind)
{
    return topic_info(topic_of_event((enum event_kind)kind))->name;
}

/* ---- registration ---------------------------------------------------------------------- */

static struct metric *labelled(struct metric_registry *registry, enum metric_kind kind,
                               const char *name, const char *help, const char *const *labels)
{
    struct byte_writer text;
    struct metric *metric = NULL;

    byte_writer_init(&text);
    for (; *labels != NULL; labels += 2)
        metric_label(&text, labels[0], view_of(labels[1]));
    byte_put_u8(&text, 0);
    switch (kind) {
    case METRIC_COUNTER:
        metric = metric_counter(registry, name, help, text.data);
        break;
    case METRIC_GAUGE:
        metric = metric_gauge(registry, name, help, text.data);
        break;
    case METRIC_HISTOGRAM:
        metric = metric_histogram(registry, name, help, text.data);
        break;
    }
    byte_writer_free(&text);
    return metric;
}

static void register_kinds(struct meters *meters)
{
    static const char *const severities[] = {"low", "medium", "high"};

    for (int kind = 0; kind < EVENT_KIND_COUNT; kind++) {
        const char *const labels[] = {"topic", topic_name_of(kind), NULL};

        meters->events[kind] = labelled(meters->registry, METRIC_COUNTER, "weir_events_total",
                                        "Events applied.", labels);
        meters->late[kind] =
            labelled(meters->registry, METRIC_COUNTER, "weir_late_total",
                     "Events later than the allowed lateness, not applied.", labels);
        meters->future[kind] = labelled(meters->registry, METRIC_COUNTER, "weir_future_total",
                                        "Events too far in the future, not applied.", labels);
        meters->duplicates[kind] =
            labelled(meters->registry, METRIC_COUNTER, "weir_duplicates_total",
                     "Events with an id seen before, not applied.", labels);
    }
    for (int i = 0; i < 3; i++)
        meters->opened[i] =
            labelled(meters->registry, METRIC_COUNTER, "weir_alerts_opened_total", "Alerts opened.",
                     (const char *const[]){"severity", severities[i], NULL});
}

static void register_recommendations(struct meters *meters)
{
    static const char *const ends[JOBS_COUNT] = {"submitted", "completed", "failed", "cancelled"};
    struct metric_registry *registry = meters->registry;

    for (int i = 0; i < STRATEGY_COUNT; i++)
        meters->recommendations[i] =
            labelled(registry, METRIC_COUNTER, "weir_recommendations_total",
                     "Lists made, those of batch jobs included, by what served them.",
                     (const char *const[]){"strategy", strategy_names[i], NULL});
    meters->recommendations_empty =
        metric_counter(registry, "weir_recommendations_empty_total",
                       "Lists with nothing on them: no product was known.", NULL);
    meters->recommendation_seconds =
        metric_histogram(registry, "weir_recommendation_seconds",
                         "From the time of a request for one customer to its answer.", NULL);
    meters->learnt_orders = metric_counter(registry, "weir_recommend_orders_total",
                                           "Orders that recommendations learnt from.", NULL);
    meters->learnt_interactions =
        metric_counter(registry, "weir_recommend_interactions_total",
                       "Interactions that recommendations learnt from.", NULL);
    meters->products_evicted = metric_counter(registry, "weir_products_evicted_total",
                                              "Products forgotten for want of memory, or beyond "
                                              "recommend.products.max.",
                                              NULL);
    meters->tenants_evicted =
        metric_counter(registry, "weir_tenants_evicted_total",
                       "Tenants that recommendations forgot for want of memory.", NULL);
    for (int i = 0; i < JOBS_COUNT; i++)
        meters->jobs_ended[i] =
            labelled(registry, METRIC_COUNTER, "weir_batch_jobs_total", "Batch jobs so far.",
                     (const char *const[]){"status", ends[i], NULL});
}

static void register_plain(struct meters *meters)
{
    struct metric_registry *registry = meters->registry;

    meters->forwarded = metric_counter(registry, "weir_forwarded_total",
                                       "Records sent to their tenant's partition.", NULL);
    meters->batches = metric_counter(registry, "weir_batches_total", "Batches taken.", NULL);
    meters->batch_records =
        metric_counter(registry, "weir_batch_records_total", "Records in batches.", NULL);
    meters->commit_seconds =
        metric_histogram(registry, "weir_commit_seconds", "Duration of commits.", NULL);
    meters->commit_wait_seconds =
        metric_counter(registry, "weir_commit_wait_seconds_total",
                       "Time that workers waited for a commit instead of working.", NULL);
    meters->roll_backs = metric_counter(registry, "weir_roll_backs_total",
                                        "Transactions given up, with the state.", NULL);
    meters->snapshots_written =
        labelled(registry, METRIC_COUNTER, "weir_snapshots_total", "Snapshots by result.",
                 (const char *const[]){"result", "written", NULL});
    meters->snapshots_failed =
        labelled(registry, METRIC_COUNTER, "weir_snapshots_total", "Snapshots by result.",
                 (const char *const[]){"result", "failed", NULL});
    meters->snapshot_seconds =
        metric_histogram(registry, "weir_snapshot_seconds", "Duration of writing one.", NULL);
    meters->snapshot_pause_seconds = metric_histogram(
        registry, "weir_snapshot_pause_seconds", "How long a worker stood still for one.", NULL);
    meters->restores =
        metric_counter(registry, "weir_restores_total", "Partitions restored.", NULL);
    meters->restore_seconds =
        metric_histogram(registry, "weir_restore_seconds", "Duration of restoring one.", NULL);
    meters->restore_events =
        metric_counter(registry, "weir_restore_events_total", "Events replayed.", NULL);
    meters->restore_gaps =
        metric_counter(registry, "weir_restore_gaps_total",
                       "Ranges of history that were gone when they were needed.", NULL);
    meters->restoring =
        metric_gauge(registry, "weir_restore_partitions", "Partitions being restored now.", NULL);
}

struct meters *meters_create(struct pipeline *pipeline)
{
    struct meters *meters = calloc(1, sizeof(*meters));
    struct summary *summary = calloc(1, sizeof(*summary));

    if (meters == NULL || summary == NULL)
        abort();
    meters->registry = pipeline->setup.metrics;
    meters->renewed_ms = INT64_MIN;
    if (meters->registry != NULL) {
        register_kinds(meters);
        register_recommendations(meters);
        register_plain(meters);
    }
    pthread_mutex_init(&summary->lock, NULL);
    summary->partitions = calloc((size_t)pipeline->partition_count, sizeof(*summary->partitions));
    if (summary->partitions == NULL)
        abort();
    pipeline->summary = summary;
    return meters;
}

void meters_destroy(struct pipeline *pipeline)
{
    free(pipeline->meters);
    pipeline->meters = NULL;
    if (pipeline->summary == NULL)
        return;
    pthread_mutex_destroy(&pipeline->summary->lock);
    free(pipeline->summary->partitions);
    free(pipeline->summary);
    pipeline->summary = NULL;
}

static void register_shop(struct metric_registry *registry, struct partition_meters *meters,
                          const char *const *labels)
{
    const char *const pending[] = {labels[0], labels[1], "status", "pending", NULL};
    const char *const processing[] = {labels[0], labels[1], "status", "processing", NULL};

    meters->customers = labelled(registry, METRIC_GAUGE, "weir_recommend_customers",
                                 "Customers that recommendations know.", labels);
    meters->products = labelled(registry, METRIC_GAUGE, "weir_recommend_products",
                                "Products that recommendations know.", labels);
    meters->pairs = labelled(registry, METRIC_GAUGE, "weir_recommend_pairs",
                             "Customers and products they bought or looked at, kept.", labels);
    meters->recommend_bytes = labelled(registry, METRIC_GAUGE, "weir_recommend_bytes",
                                       "Memory of recommendations.", labels);
    meters->dedicated_models = labelled(registry, METRIC_GAUGE, "weir_dedicated_models",
                                        "Tenants whose lists a dedicated model makes.", labels);
    meters->jobs_pending = labelled(registry, METRIC_GAUGE, "weir_batch_jobs",
                                    "Unfinished batch jobs by status.", pending);
    meters->jobs_processing = labelled(registry, METRIC_GAUGE, "weir_batch_jobs",
                                       "Unfinished batch jobs by status.", processing);
    meters->job_customers =
        labelled(registry, METRIC_GAUGE, "weir_batch_job_customers",
                 "Customers of unfinished batch jobs without their list yet.", labels);
}

static void register_lags(struct pipeline *pipeline, struct partition_meters *meters,
                          const char *partition)
{
    const char *group = pipeline->setup.group != NULL ? pipeline->setup.group : "weir";

    for (int i = 0; i < TOPIC_INPUT_COUNT; i++)
        meters->lag[i] = labelled(pipeline->setup.metrics, METRIC_GAUGE, "kafka_consumergroup_lag",
                                  "Records between the committed position and the end.",
                                  (const char *const[]){"consumergroup", group, "topic",
                                                        topic_info((enum topic)i)->name,
                                                        "partition", partition, NULL});
    for (int kind = 0; kind < EVENT_KIND_COUNT; kind++)
        meters->watermark[kind] = labelled(
            pipeline->setup.metrics, METRIC_GAUGE, "weir_watermark_seconds",
            "Event time up to which a topic is complete, epoch seconds.",
            (const char *const[]){"partition", partition, "topic", topic_name_of(kind), NULL});
}

struct partition_meters *partition_meters_create(struct pipeline *pipeline, int32_t number)
{
    struct partition_meters *meters = calloc(1, sizeof(*meters));
    struct metric_registry *registry = pipeline->setup.metrics;
    char partition[16];
    const char *const labels[] = {"partition", partition, NULL};
    struct byte_writer text;

    if (meters == NULL)
        abort();
    if (registry == NULL)
        return meters;
    byte_writer_init(&text);
    byte_print(&text, "%" PRId32, number);
    byte_put_u8(&text, 0);
    memcpy(partition, text.data, text.size);
    byte_writer_free(&text);
    meters->keys = labelled(registry, METRIC_GAUGE, "weir_keys", "Groups with state.", labels);
    meters->evicted = labelled(registry, METRIC_COUNTER, "weir_keys_evicted_total",
                               "Groups dropped for want of memory.", labels);
    meters->customers_evicted = labelled(registry, METRIC_COUNTER, "weir_customers_evicted_total",
                                         "Customers forgotten for want of memory.", labels);
    meters->state_bytes =
        labelled(registry, METRIC_GAUGE, "weir_state_bytes", "Memory of the state.", labels);
    meters->episodes_open =
        labelled(registry, METRIC_GAUGE, "weir_episodes_open", "Episodes open.", labels);
    meters->snapshot_bytes = labelled(registry, METRIC_GAUGE, "weir_snapshot_bytes",
                                      "Size of the last snapshot, compressed.", labels);
    meters->snapshot_age = labelled(registry, METRIC_GAUGE, "weir_snapshot_age_seconds",
                                    "Time since the last snapshot began.", labels);
    meters->restore_eta = labelled(registry, METRIC_GAUGE, "weir_restore_eta_seconds",
                                   "Time left of a restoration; 0: live.", labels);
    register_shop(registry, meters, labels);
    register_lags(pipeline, meters, partition);
    return meters;
}

/* NULL: unknown. */
static void set_shop(struct partition_meters *meters, const struct engine_stats *stats)
{
    metric_set(meters->customers, stats != NULL ? (double)stats->customers : NAN);
    metric_set(meters->products, stats != NULL ? (double)stats->products : NAN);
    metric_set(meters->pairs, stats != NULL ? (double)stats->pairs : NAN);
    metric_set(meters->recommend_bytes, stats != NULL ? (double)stats->recommend_bytes : NAN);
    metric_set(meters->dedicated_models, stats != NULL ? (double)stats->dedicated_models : NAN);
    metric_set(meters->jobs_pending, stats != NULL ? (double)stats->jobs_waiting : NAN);
    metric_set(meters->jobs_processing, stats != NULL ? (double)stats->jobs_running : NAN);
    metric_set(meters->job_customers, stats != NULL ? (double)stats->job_customers : NAN);
}

/* A partition that has left: NaN, so that no old figure is taken for a new one. */
void partition_meters_destroy(struct partition_meters *meters)
{
    if (meters == NULL)
        return;
    metric_set(meters->keys, NAN);
    metric_set(meters->state_bytes, NAN);
    metric_set(meters->episodes_open, NAN);
    metric_set(meters->snapshot_bytes, NAN);
    metric_set(meters->snapshot_age, NAN);
    metric_set(meters->restore_eta, NAN);
    set_shop(meters, NULL);
    for (int i = 0; i < TOPIC_INPUT_COUNT; i++)
        metric_set(meters->lag[i], NAN);
    for (int i = 0; i < EVENT_KIND_COUNT; i++)
        metric_set(meters->watermark[i], NAN);
    free(meters);
}

/* ---- single occurrences ------------------------------------------------------------------ */

void meters_dead_letter(struct pipeline *pipeline, const char *code)
{
    if (pipeline->setup.metrics == NULL)
        return;
    /* Looked up each time, under the registry's lock: dead letters are not the rule, and
     * each costs a message anyway. */
    metric_add(labelled(pipeline->setup.metrics, METRIC_COUNTER, "weir_dead_letter_total",
                        "Records set aside, by reason.",
                        (const char *const[]){"reason", code, NULL}),
               1);
}

void meters_forward(struct pipeline *pipeline)
{
    metric_add(pipeline->meters->forwarded, 1);
}

void meters_recommendation(struct pipeline *pipeline, const struct result *result)
{
    int64_t waited_ms = pipeline->wall_ms - result->recommendation.event_time_ms;

    if (view_is_absent(result->recommendation.request_id) ||
        !view_is_absent(result->recommendation.job_id))
        return;
    metric_observe(pipeline->meters->recommendation_seconds,
                   waited_ms > 0 ? (double)waited_ms / 1e3 : 0);
}

void meters_batch(struct pipeline *pipeline, uint32_t count)
{
    pipeline->meters->batch_count += count > 0;
    pipeline->meters->batch_record_count += count;
}

void meters_commit(struct pipeline *pipeline, int64_t duration_ns)
{
    metric_observe(pipeline->meters->commit_seconds, (double)duration_ns / 1e9);
}

void meters_commit_wait(struct pipeline *pipeline, int64_t duration_ns)
{
    metric_add(pipeline->meters->commit_wait_seconds, (double)duration_ns / 1e9);
}

void meters_roll_back(struct pipeline *pipeline)
{
    metric_add(pipeline->meters->roll_backs, 1);
}

void meters_snapshot(struct pipeline *pipeline, const struct snapshot_outcome *outcome)
{
    const struct partition *partition = pipeline->partitions[outcome->partition];

    metric_observe(pipeline->meters->snapshot_pause_seconds, (double)outcome->pause_ns / 1e9);
    if (outcome->is_written) {
        metric_add(pipeline->meters->snapshots_written, 1);
        metric_observe(pipeline->meters->snapshot_seconds, (double)outcome->duration_ms / 1e3);
        if (partition != NULL)
            metric_set(partition->meters->snapshot_bytes, (double)outcome->manifest.stored_bytes);
    } else if (!outcome->is_void) {
        metric_add(pipeline->meters->snapshots_failed, 1);
    }
}

void meters_restored(struct pipeline *pipeline, int64_t duration_ms, uint64_t events)
{
    metric_add(pipeline->meters->restores, 1);
    metric_observe(pipeline->meters->restore_seconds, (double)duration_ms / 1e3);
    metric_add(pipeline->meters->restore_events, (double)events);
}

void meters_gap(struct pipeline *pipeline)
{
    metric_add(pipeline->meters->restore_gaps, 1);
}

/* ---- once in a while ------------------------------------------------------------------------ */

static void add_delta(struct metric *metric, uint64_t now, uint64_t seen)
{
    metric_add(metric, (double)(now - seen));
}

static void add_shop_deltas(struct meters *meters, const struct engine_stats *now,
                            const struct engine_stats *seen)
{
    uint64_t empty = now->recommendations, empty_seen = seen->recommendations;

    for (int i = 0; i < STRATEGY_COUNT; i++) {
        add_delta(meters->recommendations[i], now->recommendations_by[i],
                  seen->recommendations_by[i]);
        empty -= now->recommendations_by[i];
        empty_seen -= seen->recommendations_by[i];
    }
    add_delta(meters->recommendations_empty, empty, empty_seen);
    add_delta(meters->learnt_orders, now->orders_learnt, seen->orders_learnt);
    add_delta(meters->learnt_interactions, now->interactions_learnt, seen->interactions_learnt);
    add_delta(meters->products_evicted, now->products_evicted, seen->products_evicted);
    add_delta(meters->tenants_evicted, now->tenants_evicted, seen->tenants_evicted);
    add_delta(meters->jobs_ended[JOBS_SUBMITTED], now->jobs_submitted, seen->jobs_submitted);
    add_delta(meters->jobs_ended[JOBS_COMPLETED], now->jobs_completed, seen->jobs_completed);
    add_delta(meters->jobs_ended[JOBS_FAILED], now->jobs_failed, seen->jobs_failed);
    add_delta(meters->jobs_ended[JOBS_CANCELLED], now->jobs_cancelled, seen->jobs_cancelled);
}

static void add_deltas(struct meters *meters, struct partition_meters *partition,
                       const struct engine_stats *stats)
{
    const struct engine_stats *seen = &partition->seen;

    /* The totals are part of the state: of those that came with it, others have told. */
    for (int i = 0; partition->has_seen && i < EVENT_KIND_COUNT; i++) {
        add_delta(meters->events[i], stats->applied[i], seen->applied[i]);
        add_delta(meters->late[i], stats->late[i], seen->late[i]);
        add_delta(meters->future[i], stats->future[i], seen->future[i]);
        add_delta(meters->duplicates[i], stats->duplicates[i], seen->duplicates[i]);
    }
    for (int i = 0; partition->has_seen && i < 3; i++)
        add_delta(meters->opened[i], stats->alerts_opened[i], seen->alerts_opened[i]);
    if (partition->has_seen) {
        add_delta(partition->evicted, stats->keys_evicted, seen->keys_evicted);
        add_delta(partition->customers_evicted, stats->customers_evicted, seen->customers_evicted);
        add_shop_deltas(meters, stats, seen);
    }
    partition->seen = *stats;
    partition->has_seen = true;
}

/* Called when a partition has its state, before its first live event. */
void meters_baseline(struct partition *partition)
{
    engine_stats(partition->engine, &partition->meters->seen);
    partition->meters->has_seen = true;
}

static void renew_partition(struct pipeline *pipeline, struct partition *partition,
                            struct partition_summary *summary)
{
    struct partition_meters *meters = partition->meters;

    *summary = (struct partition_summary){.number = partition->number,
                                          .phase = partition->phase,
                                          .sequence = partition->sequence,
                                          .committed_sequence = partition->committed_sequence,
                                          .epoch = partition->epoch,
                                          .tick_ms = partition->tick_ms};
    memcpy(summary->single_positions, partition->single_positions,
           sizeof(summary->single_positions));
    if (partition->restore != NULL) {
        restore_progress(partition->restore, pipeline->now_ms, &summary->progress);
        metric_set(meters->restore_eta,
                   summary->progress.left_ms < 0 ? NAN : (double)summary->progress.left_ms / 1000);
        return;
    }
    if (partition->engine == NULL)
        return;
    engine_stats(partition->engine, &summary->stats);
    add_deltas(pipeline->meters, meters, &summary->stats);
    metric_set(meters->restore_eta, 0);
    metric_set(meters->keys, (double)summary->stats.keys);
    metric_set(meters->state_bytes, (double)summary->stats.state_bytes);
    metric_set(meters->episodes_open, (double)summary->stats.episodes_open);
    set_shop(meters, &summary->stats);
    metric_set(meters->snapshot_age, (double)(pipeline->now_ms - partition->snapshot_ms) / 1000);
    for (int i = 0; i < EVENT_KIND_COUNT; i++) {
        int64_t at = summary->stats.watermark_ms[i];

        metric_set(meters->watermark[i],
                   at == INT64_MIN || at == INT64_MAX ? NAN : (double)at / 1000);
    }
    for (int i = 0; i < TOPIC_INPUT_COUNT; i++) {
        const struct transport *transport = &pipeline->setup.transport;
        int64_t committed =
            partition->committed_positions[i] > 0 ? partition->committed_positions[i] : 0;

        summary->positions[i] = partition->positions[i] > 0 ? partition->positions[i] : 0;
        summary->ends[i] =
            transport->door->known_end(transport->context, (enum topic)i, partition->number);
        if (summary->ends[i] >= 0)
            metric_set(meters->lag[i],
                       summary->ends[i] > committed ? (double)(summary->ends[i] - committed) : 0);
    }
}

static bool is_ready(const struct pipeline *pipeline)
{
    if (!pipeline->has_assignment || pipeline->is_stopped)
        return false;
    for (int32_t i = 0; i < pipeline->partition_count; i++)
        if (pipeline->partitions[i] != NULL && pipeline->partitions[i]->phase != PARTITION_LIVE)
            return false;
    return true;
}

static void renew(struct pipeline *pipeline)
{
    struct summary *summary = pipeline->summary;
    uint32_t restoring_count = 0;

    summary->count = 0;
    for (int32_t i = 0; i < pipeline->partition_count; i++) {
        struct partition *partition = pipeline->partitions[i];

        if (partition == NULL)
            continue;
        restoring_count += partition->phase == PARTITION_RESTORING;
        renew_partition(pipeline, partition, &summary->partitions[summary->count++]);
    }
    metric_set(pipeline->meters->restoring, restoring_count);
    memcpy(summary->trouble, pipeline->trouble, sizeof(summary->trouble));
}

void report_turn(struct pipeline *pipeline)
{
    struct meters *meters = pipeline->meters;
    struct summary *summary = pipeline->summary;

    if (meters->batch_count > 0) {
        metric_add(meters->batches, (double)meters->batch_count);
        metric_add(meters->batch_records, (double)meters->batch_record_count);
        meters->batch_count = 0;
        meters->batch_record_count = 0;
    }
    pthread_mutex_lock(&summary->lock);
    summary->is_ready = is_ready(pipeline);
    summary->last_turn_ms = clock_monotonic_ms(pipeline->setup.clock);
    if (meters->renewed_ms == INT64_MIN || pipeline->now_ms - meters->renewed_ms >= RENEW_MS) {
        meters->renewed_ms = pipeline->now_ms;
        renew(pipeline);
    }
    pthread_mutex_unlock(&summary->lock);
}

/* ---- /status ------------------------------------------------------------------------------------
 */

bool pipeline_is_ready(const struct pipeline *pipeline)
{
    bool answer;

    pthread_mutex_lock(&pipeline->summary->lock);
    answer = pipeline->summary->is_ready;
    pthread_mutex_unlock(&pipeline->summary->lock);
    return answer;
}

int64_t pipeline_last_turn_ms(const struct pipeline *pipeline)
{
    int64_t answer;

    pthread_mutex_lock(&pipeline->summary->lock);
    answer = pipeline->summary->last_turn_ms;
    pthread_mutex_unlock(&pipeline->summary->lock);
    return answer;
}

static void print_time(struct json_writer *json, const char *name, int64_t time_ms)
{
    json_name(json, name);
    if (time_ms == INT64_MIN || time_ms == INT64_MAX)
        json_null_value(json);
    else
        json_int(json, time_ms);
}

static void print_topics(struct json_writer *json, const struct partition_summary *partition)
{
    json_name(json, "topics");
    json_begin_object(json);
    for (int i = 0; i < TOPIC_INPUT_COUNT; i++) {
        int kind = topic_info((enum topic)i)->event_kind;

        json_name(json, topic_info((enum topic)i)->name);
        json_begin_object(json);
        json_name(json, "position");
        json_int(json, partition->positions[i]);
        json_name(json, "lag");
        if (partition->ends[i] < 0)
            json_null_value(json);
        else
            json_int(json, partition->ends[i] > partition->positions[i]
                               ? partition->ends[i] - partition->positions[i]
                               : 0);
        if (kind >= 0)
            print_time(json, "watermark", partition->stats.watermark_ms[kind]);
        json_end_object(json);
    }
    json_end_object(json);
}

static void print_progress(struct json_writer *json, const struct restore_progress *progress)
{
    json_name(json, "restore");
    json_begin_object(json);
    json_name(json, "step");
    json_text(json, progress->phase);
    json_name(json, "events");
    json_int(json, (int64_t)progress->events_done);
    json_name(json, "events_total");
    json_int(json, (int64_t)progress->events_total);
    json_name(json, "elapsed_ms");
    json_int(json, progress->elapsed_ms);
    json_name(json, "left_ms");
    if (progress->left_ms < 0)
        json_null_value(json);
    else
        json_int(json, progress->left_ms);
    json_end_object(json);
}

static void print_partition(struct json_writer *json, const struct partition_summary *partition)
{
    static const char *const phases[] = {"restoring", "catching up", "live", "parked"};

    json_begin_object(json);
    json_name(json, "partition");
    json_int(json, partition->number);
    json_name(json, "phase");
    json_text(json, phases[partition->phase]);
    if (partition->phase == PARTITION_RESTORING) {
        print_progress(json, &partition->progress);
    } else {
        json_name(json, "journal_record");
        json_int(json, (int64_t)partition->sequence);
        json_name(json, "committed_record");
        json_int(json, (int64_t)partition->committed_sequence);
        json_name(json, "epoch");
        json_int(json, (int64_t)partition->epoch);
        json_name(json, "command_position");
        json_int(json, partition->single_positions[SINGLE_COMMANDS]);
        json_name(json, "popularity_position");
        json_int(json, partition->single_positions[SINGLE_POPULARITY]);
        print_time(json, "tick", partition->tick_ms);
        json_name(json, "keys");
        json_int(json, (int64_t)partition->stats.keys);
        json_name(json, "state_bytes");
        json_int(json, (int64_t)partition->stats.state_bytes);
        json_name(json, "episodes_open");
        json_int(json, (int64_t)partition->stats.episodes_open);
        print_topics(json, partition);
    }
    json_end_object(json);
}

void pipeline_status(struct pipeline *pipeline, struct byte_writer *out)
{
    struct json_writer json = json_writer_on(out);
    struct summary *summary = pipeline->summary;

    pthread_mutex_lock(&summary->lock);
    json_begin_object(&json);
    json_name(&json, "worker");
    json_int(&json, pipeline->setup.worker);
    json_name(&json, "guarantee");
    json_text(&json, pipeline->is_exact ? "exactly_once" : "at_least_once");
    json_name(&json, "ready");
    json_bool(&json, summary->is_ready);
    json_name(&json, "trouble");
    json_text(&json, summary->trouble[0] != '\0' ? summary->trouble : NULL);
    json_name(&json, "partitions");
    json_begin_array(&json);
    for (uint32_t i = 0; i < summary->count; i++)
        print_partition(&json, &summary->partitions[i]);
    json_end_array(&json);
    json_end_object(&json);
    pthread_mutex_unlock(&summary->lock);
}
