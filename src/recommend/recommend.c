#include "recommend/recommend.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "recommend/dedicated.h"
#include "recommend/job.h"
#include "recommend/model.h"
#include "recommend/state.h"

/* ---- options ---- */

#define AT(member) offsetof(struct recommend_options, member)

static const struct option options[] = {
    {.name = "model",
     .type = OPTION_CHOICE,
     .offset = AT(model),
     .preset = "weir",
     .choices = recommend_model_names,
     .purpose = "What a tenant's lists are made with until a select-model command."},
    {.name = "push",
     .type = OPTION_BOOL,
     .offset = AT(is_pushing),
     .preset = "false",
     .purpose = "Publish a list for the customer after each order, unasked."},
    {.name = "tenant.bytes_max",
     .type = OPTION_BYTES,
     .offset = AT(tenant_bytes_max),
     .preset = "256MiB",
     .least = 32 << 20,
     .most = INT64_C(1) << 40,
     .purpose = "Memory of one tenant. Beyond it the tenant's least recently active customers are "
                "forgotten, when none is left its longest unseen products; "
                "`engine.memory.bytes_max` bounds all tenants of a partition together."},
    {.name = "products.max",
     .type = OPTION_INT,
     .offset = AT(products_max),
     .preset = "100000",
     .least = 4096,
     .most = NEIGHBOUR_NUMBER_MAX / 2,
     .purpose = "Products kept of one tenant; the longest unseen go first."},
    {.name = "neighbours.max",
     .type = OPTION_INT,
     .offset = AT(neighbours_max),
     .preset = "512",
     .least = NEIGHBOUR_BUCKET,
     .most = NEIGHBOUR_BUCKETS_MAX * NEIGHBOUR_BUCKET,
     .purpose = "Products kept with each product as bought together with it; rounded down to a "
                "power of two."},
    {.name = "neighbours.exact_orders",
     .type = OPTION_INT,
     .offset = AT(neighbours_exact),
     .preset = "64",
     .least = 1,
     .most = 1 << 30,
     .purpose = "Orders of one product that all count for what is bought together with it. From so "
                "many on one in two counts, as two; from four times as many one in four, as four; "
                "and so on: what thousands of orders have told, the next hardly changes."},
    {.name = "basket.pairs_max",
     .type = OPTION_INT,
     .offset = AT(basket_pairs_max),
     .preset = "256",
     .least = 2,
     .most = BASKET_MAX,
     .purpose = "Products of one order that are counted as bought together, the first ones: the "
                "work grows with the square, and a basket of hundreds says little of pairs."},
    {.name = "history.products_max",
     .type = OPTION_INT,
     .offset = AT(history_products_max),
     .preset = "512",
     .least = 16,
     .most = HISTORY_PRODUCTS_MAX,
     .purpose = "Products kept of one customer; the least fond ones go first."},
    {.name = "slice.customers_max",
     .type = OPTION_INT,
     .offset = AT(slice_customers_max),
     .preset = "32",
     .least = 1,
     .most = 1000,
     .purpose = "Customers of batch jobs served between two batches of events; fewer in shops of "
                "more than 8,000 products, whose lists take longer."},
    {.name = "jobs.max",
     .type = OPTION_INT,
     .offset = AT(jobs_max),
     .preset = "100",
     .least = 1,
     .most = 10000,
     .purpose = "Unfinished batch jobs of one tenant; further ones fail at once."},
    {.name = "jobs.attempts_max",
     .type = OPTION_INT,
     .offset = AT(job_attempts_max),
     .preset = "5",
     .least = 1,
     .most = 20,
     .purpose = "How often the failed customers of a batch job are tried."},
    {.name = "jobs.retry",
     .type = OPTION_DURATION_MS,
     .offset = AT(job_retry_ms),
     .preset = "10s",
     .least = 1,
     .most = 86400000,
     .purpose = "Pause before the second attempt; it doubles with each further one."},
    {.name = "share",
     .type = OPTION_DURATION_MS,
     .offset = AT(share_ms),
     .preset = "1h",
     .least = 0,
     .most = 7 * INT64_C(86400000),
     .purpose = "How often the most popular products of a tenant that shares "
                "(tenants.list) are told to the others, when it has new orders; 0: never."},
    {.name = "dedicated.orders_min",
     .type = OPTION_INT,
     .offset = AT(dedicated_orders_min),
     .preset = "10000",
     .least = 1,
     .most = 1000000000,
     .purpose = "Orders of a tenant before it may have a dedicated model."},
    {.name = "dedicated.retrain",
     .type = OPTION_DURATION_MS,
     .offset = AT(dedicated_retrain_ms),
     .preset = "30d",
     .least = 60000,
     .most = 366 * INT64_C(86400000),
     .purpose = "How often a dedicated model is fitted anew."},
    {.name = "dedicated.kept_orders_max",
     .type = OPTION_INT,
     .offset = AT(kept_orders_max),
     .preset = "2048",
     .least = 0,
     .most = KEPT_ORDERS_MAX,
     .purpose = "Orders of a tenant of plan enterprise that are kept, as numbers, for fits; one "
                "of four of its newest, up to 5 KiB each."},
    {.name = "summary",
     .type = OPTION_DURATION_MS,
     .offset = AT(summary_ms),
     .preset = "5m",
     .least = 0,
     .most = 86400000,
     .purpose = "How often totals and trending products of an active tenant are published; "
                "0: never."},
};

const struct option_table recommend_option_table = {
    .section = "recommend",
    .options = options,
    .count = sizeof options / sizeof options[0],
    .bytes = sizeof(struct recommend_options),
};

uint64_t recommend_options_digest(const struct recommend_options *values)
{
    const int64_t numbers[] = {
        values->model,
        values->is_pushing,
        values->tenant_bytes_max,
        values->products_max,
        values->neighbours_max,
        values->neighbours_exact,
        values->history_products_max,
        values->basket_pairs_max,
        values->slice_customers_max,
        values->jobs_max,
        values->job_attempts_max,
        values->job_retry_ms,
        values->summary_ms,
        values->share_ms,
        values->dedicated_orders_min,
        values->dedicated_retrain_ms,
        values->kept_orders_max,
        (int64_t)values->bytes_max,
    };

    return hash_bytes(numbers, sizeof numbers, 0);
}

/* ---- life ---- */

struct recommend *recommend_open(const struct recommend_options *values)
{
    struct recommend *recommend = calloc(1, sizeof *recommend);

    assert(recommend != NULL);
    assert(values->model >= 0 && values->model < model_kind_count());
    assert(values->products_max > BASKET_MAX && values->history_products_max > 0);
    store_open(&recommend->store, values);
    shared_open(&recommend->shared);
    ranking_open(&recommend->ranking);
    recommend->now_ms = INT64_MIN;
    return recommend;
}

void recommend_close(struct recommend *recommend)
{
    if (recommend == NULL)
        return;
    shared_close(&recommend->shared, &recommend->store);
    store_close(&recommend->store);
    ranking_close(&recommend->ranking);
    free(recommend->basket.place);
    free(recommend);
}

/* ---- events ---- */

static void answer_request(struct recommend *recommend, const struct event *event,
                           const struct recommend_context *context, struct outbox *outbox)
{
    const struct request *request = &event->request;
    struct question question = {
        .tenant_id = event->tenant_id,
        .customer_id = request->customer_id,
        .request_id = event->id,
        .cause = event->id,
        .context = request->context.product_ids,
        .count = request->count > 0 ? (uint32_t)request->count : LIST_COUNT_PRESET,
        .excludes_purchased = request->exclude_purchased,
        .is_sharing = context->is_sharing,
        .time_ms = event->event_time_ms,
    };

    if (request->customer_ids.count > 0)
        job_submit(recommend, event, context->is_sharing, outbox);
    else
        answer(recommend, &question, outbox);
}

static void push_list(struct recommend *recommend, const struct event *event,
                      const struct recommend_context *context, struct outbox *outbox)
{
    const struct market *market = market_find(&recommend->store, event->tenant_id);
    struct question question = {
        .tenant_id = event->tenant_id,
        .customer_id = event->order.customer_id,
        .cause = event->id,
        .count = LIST_COUNT_PRESET,
        .is_sharing = context->is_sharing,
        .time_ms = event->event_time_ms,
    };

    if (market != NULL && market->is_pushing && !view_is_absent(question.customer_id) &&
        event->order.status == ORDER_PLACED)
        answer(recommend, &question, outbox);
}

void recommend_apply(struct recommend *recommend, const struct event *event,
                     const struct recommend_context *context, struct outbox *outbox)
{
    recommend->store.sequence++;
    switch (event->kind) {
    case EVENT_ORDER:
        learn_order(recommend, event, context);
        push_list(recommend, event, context, outbox);
        break;
    case EVENT_INTERACTION:
        learn_interaction(recommend, event);
        break;
    case EVENT_REQUEST:
        answer_request(recommend, event, context, outbox);
        break;
    case EVENT_AUTH:
    case EVENT_API_CALL:
    case EVENT_OUTCOME:
    case EVENT_COMMAND:
    case EVENT_KIND_COUNT:
        break;
    }
}

void recommend_take_popularity(struct recommend *recommend, const struct result *result)
{
    assert(result->kind == RESULT_POPULARITY);
    shared_take(&recommend->shared, &recommend->store, result);
}

/* ---- time ---- */

enum { MARKETS_A_TICK = 64 };

static void share(struct recommend *recommend, struct market *market, int64_t now_ms,
                  struct outbox *outbox)
{
    bool is_sharing =
        market->is_sharing && market->totals.orders >= FEW_ORDERS && !dedicated_is_isolated(market);
    bool is_due =
        !market->has_share || now_ms - market->share_ms >= recommend->store.options.share_ms;

    if (is_sharing ? !market->has_share_news || !is_due : !market->has_share)
        return;
    shared_publish(market, now_ms, !is_sharing, outbox);
    market->has_share = is_sharing;
    market->has_share_news = false;
    market->share_ms = now_ms;
}

/* Some markets a tick take their turn to tell others. */
static void share_tick(struct recommend *recommend, int64_t now_ms, struct outbox *outbox)
{
    const struct store *store = &recommend->store;

    if (store->options.share_ms == 0)
        return;
    for (uint32_t i = 0; i < MARKETS_A_TICK && i < store->market_count; i++) {
        recommend->share_at = (recommend->share_at + 1) % store->market_count;
        if (store->markets[recommend->share_at] != NULL)
            share(recommend, store->markets[recommend->share_at], now_ms, outbox);
    }
}

void recommend_tick(struct recommend *recommend, int64_t now_ms, struct outbox *outbox)
{
    if (now_ms < recommend->now_ms)
        return;
    recommend->now_ms = now_ms;
    job_tick(recommend, now_ms, outbox);
    model_tick(&recommend->store, now_ms);
    recommend->store.is_model_busy |= dedicated_tick(recommend, now_ms, outbox);
    summary_tick(recommend, now_ms, outbox);
    share_tick(recommend, now_ms, outbox);
    shared_tick(&recommend->shared, now_ms);
}

bool recommend_is_busy(const struct recommend *recommend)
{
    const struct store *store = &recommend->store;

    return (store->is_job_busy && store->job_count > 0) || store->is_model_busy;
}

/* ---- figures ---- */

static uint64_t customers_of_jobs(const struct market *market)
{
    uint64_t count = 0;

    for (const struct job *job = market->jobs; job != NULL; job = job->next)
        count += job->total - job->processed;
    return count;
}

void recommend_stats(const struct recommend *recommend, struct recommend_stats *stats)
{
    const struct store *store = &recommend->store;

    *stats = (struct recommend_stats){
        .orders = recommend->totals.orders,
        .interactions = recommend->totals.interactions,
        .recommendations = recommend->totals.recommendations,
        .jobs_submitted = recommend->totals.jobs_submitted,
        .jobs_completed = recommend->totals.jobs_completed,
        .jobs_failed = recommend->totals.jobs_failed,
        .jobs_cancelled = recommend->totals.jobs_cancelled,
        .customers_evicted = store->customers_evicted,
        .products_evicted = store->products_evicted,
        .tenants_evicted = store->markets_evicted,
        .jobs_waiting = store->job_count - store->processing_count,
        .jobs_running = store->processing_count,
        .tenants = store->live_count,
        .customers = store->customer_count,
        .products = store->product_count,
        .pairs = store->pair_count,
        .neighbours = store->neighbour_count,
        .bytes = store->bytes,
        .customer_bytes = store->customer_bytes,
        .dedicated_models = store->dedicated_count,
    };
    memcpy(stats->by_strategy, recommend->totals.by_strategy, sizeof stats->by_strategy);
    /* Markets with jobs stand in a ring. */
    const struct market *market = store->busy;
    for (bool is_first = true; market != NULL && (is_first || market != store->busy);
         is_first = false, market = market->busy_next)
        stats->job_customers += customers_of_jobs(market);
}
