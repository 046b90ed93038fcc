/*
 * Analytics: what a tenant's shop is doing, and what one customer likes.
 *
 * A product trends when its purchases of the last days exceed what its fortnight leads to
 * expect. With a steady rate r the decayed count at half-life H is about r H / ln 2, so a
 * count p14 leads to expect p3 = p14 * 3/14; the excess is measured in standard deviations
 * of a count.
 */
#include <math.h>

#include "base/hash.h"
#include "recommend/state.h"

enum {
    TRENDING_MAX = 10,
    FAVOURITES_MAX = 5,
    TOTALS_MAX = 24,
    MARKETS_A_TICK = 64, /* looked at for a summary that is due */
};

struct figures {
    struct analytics_item items[TOTALS_MAX];
    uint32_t count;
};

static void add_figure(struct figures *figures, struct view subject, double value)
{
    figures->items[figures->count++] =
        (struct analytics_item){.present = 3, .subject = subject, .value = value};
}

static void publish(struct view tenant_id, const char *type, struct view subject,
                    const struct figures *figures, int64_t time_ms, struct view cause,
                    struct outbox *outbox)
{
    uint64_t high = hash_mix(hash_view(tenant_id, 7), hash_view(view_of(type), 8));
    uint64_t low = hash_mix(hash_view(subject, 9),
                            view_is_absent(cause) ? (uint64_t)time_ms : hash_view(cause, 10));
    struct result result = {
        .kind = RESULT_ANALYTICS,
        .id = view_of(arena_print(outbox_scratch(outbox), "an-%016llx%016llx",
                                  (unsigned long long)high, (unsigned long long)low)),
        .tenant_id = tenant_id,
        .analytics =
            {
                .type = view_of(type),
                .subject = subject,
                .event_time_ms = time_ms,
                .items = {figures->items, figures->count},
            },
    };

    result_mark(&result, NULL);
    outbox_add(outbox, &result);
}

static void publish_totals(const struct market *market, int64_t time_ms, struct view cause,
                           struct outbox *outbox)
{
    const struct market_totals *totals = &market->totals;
    struct figures figures = {.count = 0};

    add_figure(&figures, VIEW_LITERAL("orders"), (double)totals->orders);
    add_figure(&figures, VIEW_LITERAL("orders_cancelled"), (double)totals->cancelled);
    add_figure(&figures, VIEW_LITERAL("orders_of_guests"), (double)totals->guests);
    add_figure(&figures, VIEW_LITERAL("orders_recommended"), (double)totals->recommended_orders);
    add_figure(&figures, VIEW_LITERAL("customers"), market->customer_count);
    add_figure(&figures, VIEW_LITERAL("products"), market->product_count);
    add_figure(&figures, VIEW_LITERAL("products_blocked"), market->blocked_count);
    add_figure(&figures, VIEW_LITERAL("recommendations"), (double)totals->recommendations);
    add_figure(&figures, VIEW_LITERAL("clicks_recommended"), (double)totals->recommended_clicks);
    add_figure(&figures, VIEW_LITERAL("sessions"), (double)totals->sessions);
    add_figure(&figures, VIEW_LITERAL("impressions"),
               (double)totals->interactions[INTERACTION_IMPRESSION]);
    add_figure(&figures, VIEW_LITERAL("views"), (double)totals->interactions[INTERACTION_VIEW]);
    add_figure(&figures, VIEW_LITERAL("clicks"), (double)totals->interactions[INTERACTION_CLICK]);
    add_figure(&figures, VIEW_LITERAL("carts"),
               (double)totals->interactions[INTERACTION_ADD_TO_CART]);
    add_figure(&figures, VIEW_LITERAL("purchases"),
               (double)totals->interactions[INTERACTION_PURCHASE]);
    add_figure(&figures, VIEW_LITERAL("ratings"), (double)totals->interactions[INTERACTION_RATING]);
    add_figure(&figures, VIEW_LITERAL("jobs_completed"), (double)totals->jobs_completed);
    add_figure(&figures, VIEW_LITERAL("jobs_failed"), (double)totals->jobs_failed);
    add_figure(&figures, VIEW_LITERAL("jobs_cancelled"), (double)totals->jobs_cancelled);
    add_figure(&figures, VIEW_LITERAL("jobs_waiting"), market->job_count);
    publish(market->id, "totals", (struct view){NULL, 0}, &figures, time_ms, cause, outbox);
}

/* Keeps the highest `max`, sorted; the earlier first among equals. */
static void offer_figure(struct figures *figures, uint32_t max, struct view subject, double value)
{
    if (figures->count == max && !(value > figures->items[figures->count - 1].value))
        return;
    uint32_t at = figures->count < max ? figures->count++ : figures->count - 1;
    for (; at > 0 && value > figures->items[at - 1].value; at--)
        figures->items[at] = figures->items[at - 1];
    figures->items[at] = (struct analytics_item){.present = 3, .subject = subject, .value = value};
}

static void publish_trending(const struct market *market, int64_t time_ms, struct view cause,
                             struct outbox *outbox)
{
    const float share = half_life_days[HALF_LIFE_3] / half_life_days[HALF_LIFE_14];
    struct figures figures = {.count = 0};
    float fade[HALF_LIFE_COUNT];

    market_fade(market, time_ms, fade);
    for (uint32_t i = 0; i < market->top_counts[0]; i++) {
        const struct product *product = &market->products[market->tops[0][i]];
        float recent = product->popularity[HALF_LIFE_3] * fade[HALF_LIFE_3];
        float expected = product->popularity[HALF_LIFE_14] * fade[HALF_LIFE_14] * share;
        float excess = (recent - expected) / sqrtf(expected + 1);
        if (excess > 0 && !product->is_blocked)
            offer_figure(&figures, TRENDING_MAX, product->id, (double)excess);
    }
    publish(market->id, "trending", (struct view){NULL, 0}, &figures, time_ms, cause, outbox);
}

void summarize_tenant(struct recommend *recommend, struct market *market, int64_t time_ms,
                      struct view cause, struct outbox *outbox)
{
    (void)recommend;
    publish_totals(market, time_ms, cause, outbox);
    publish_trending(market, time_ms, cause, outbox);
}

void summarize_customer(struct recommend *recommend, const struct market *market,
                        const struct customer *customer, int64_t time_ms, struct view cause,
                        struct outbox *outbox)
{
    struct figures figures = {.count = 0}, favourites = {.count = 0};

    (void)recommend;
    add_figure(&figures, VIEW_LITERAL("orders"), customer->orders);
    add_figure(&figures, VIEW_LITERAL("spent"), customer->spent);
    add_figure(&figures, VIEW_LITERAL("products"), customer->habit_count);
    add_figure(&figures, VIEW_LITERAL("interactions"), customer->interactions);
    add_figure(&figures, VIEW_LITERAL("sessions"), customer->sessions);
    if (customer->orders > 0) {
        add_figure(&figures, VIEW_LITERAL("products_an_order"),
                   (double)customer->items / customer->orders);
        add_figure(&figures, VIEW_LITERAL("last_order_time"), (double)customer->last_ms);
    }
    for (uint32_t i = 0; i < customer->habit_count; i++) {
        const struct habit *habit = &customer->habits[i];
        offer_figure(&favourites, FAVOURITES_MAX, market->products[habit->product].id,
                     (double)(habit->weight * habit_fade(customer->orders - habit->last_basket)));
    }
    for (uint32_t i = 0; i < favourites.count; i++)
        add_figure(&figures,
                   view_of(arena_print(outbox_scratch(outbox), "product %.*s",
                                       VIEW_PRINT(favourites.items[i].subject))),
                   favourites.items[i].value);
    publish(market->id, "user_summary", customer->id, &figures, time_ms, cause, outbox);
}

void tell_forgotten(struct view tenant_id, struct view customer_id, int64_t time_ms,
                    struct view cause, struct outbox *outbox)
{
    const struct figures nothing = {.count = 0};

    publish(tenant_id, "forgotten", customer_id, &nothing, time_ms, cause, outbox);
}

void summary_tick(struct recommend *recommend, int64_t now_ms, struct outbox *outbox)
{
    struct store *store = &recommend->store;
    int64_t interval_ms = store->options.summary_ms;

    if (interval_ms == 0 || store->market_count == 0)
        return;
    for (uint32_t i = 0; i < MARKETS_A_TICK && i < store->market_count; i++) {
        recommend->summary_at = (recommend->summary_at + 1) % store->market_count;
        struct market *market = store->markets[recommend->summary_at];
        if (market == NULL || !market->has_news || now_ms - market->summary_ms < interval_ms)
            continue;
        market->summary_ms = now_ms;
        market->has_news = false;
        summarize_tenant(recommend, market, now_ms, (struct view){NULL, 0}, outbox);
    }
}
