/* What customers may like, as a row of the dispatch table. */
#include "engine/room.h"

#include "recommend/recommend.h"

static struct recommend_options options_of(const struct room_setup *setup)
{
    struct recommend_options options = *(const struct recommend_options *)setup->options;

    options.bytes_max = setup->bytes_max;
    return options;
}

static void *open_recommend(const struct room_setup *setup)
{
    struct recommend_options options = options_of(setup);

    return recommend_open(&options);
}

static void close_recommend(void *state)
{
    recommend_close(state);
}

static struct recommend_context context_of(const struct tenant *tenant)
{
    return (struct recommend_context){
        .is_sharing = tenant->is_sharing,
        .is_enterprise = tenant->plan == PLAN_ENTERPRISE,
    };
}

static void apply(void *state, const struct room_event *event, struct outbox *outbox)
{
    struct recommend_context context = context_of(event->tenant);

    recommend_apply(state, event->event, &context, outbox);
}

static void take_popularity(void *state, const struct result *result)
{
    recommend_take_popularity(state, result);
}

static void tick(void *state, int64_t now_ms, int64_t awake_ms, const int64_t *last_arrival_ms,
                 struct outbox *outbox)
{
    (void)awake_ms;
    (void)last_arrival_ms;
    recommend_tick(state, now_ms, outbox);
}

static void run_command(void *state, const struct event *event, const struct tenant *tenant,
                        struct arena *arena, struct outbox *outbox, struct room_answer *answer)
{
    struct recommend_context context = {.is_sharing = false};
    struct recommend_answer own = {0};

    if (tenant != NULL)
        context = context_of(tenant);
    recommend_command(state, event, &context, arena, outbox, &own);
    *answer = (struct room_answer){own.is_accepted, own.error, own.before, own.after, own.result};
}

static bool is_busy(const void *state)
{
    return recommend_is_busy(state);
}

static void save(const void *state, struct byte_writer *out)
{
    recommend_save(state, out);
}

static void *load(const struct room_setup *setup, struct byte_reader *in, struct failure *failure)
{
    struct recommend_options options = options_of(setup);

    return recommend_load(&options, in, failure);
}

static uint64_t digest(const void *state)
{
    return recommend_digest(state);
}

static uint64_t digest_options(const void *options)
{
    return recommend_options_digest(options);
}

static void add_stats(const void *state, struct engine_stats *stats)
{
    struct recommend_stats own;

    recommend_stats(state, &own);
    stats->state_bytes += own.bytes;
    stats->recommendations += own.recommendations;
    for (int i = 0; i < STRATEGY_COUNT; i++)
        stats->recommendations_by[i] += own.by_strategy[i];
    stats->orders_learnt += own.orders;
    stats->interactions_learnt += own.interactions;
    stats->customers += own.customers;
    stats->products += own.products;
    stats->pairs += own.pairs;
    stats->customers_evicted += own.customers_evicted;
    stats->products_evicted += own.products_evicted;
    stats->tenants_evicted += own.tenants_evicted;
    stats->recommend_bytes += own.bytes;
    stats->dedicated_models += own.dedicated_models;
    stats->jobs_submitted += own.jobs_submitted;
    stats->jobs_completed += own.jobs_completed;
    stats->jobs_failed += own.jobs_failed;
    stats->jobs_cancelled += own.jobs_cancelled;
    stats->jobs_waiting += own.jobs_waiting;
    stats->jobs_running += own.jobs_running;
    stats->job_customers += own.job_customers;
}

const struct room room_recommend = {
    .name = "recommend",
    .kinds = RECOMMEND_KINDS,
    .memory_share = 1,
    .options = &recommend_option_table,
    .options_digest = digest_options,
    .command_types = recommend_command_types,
    .open = open_recommend,
    .close = close_recommend,
    .apply = apply,
    .tick = tick,
    .take_popularity = take_popularity,
    .command = run_command,
    .is_busy = is_busy,
    .save = save,
    .load = load,
    .digest = digest,
    .stats = add_stats,
};
