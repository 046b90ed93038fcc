#include "recommend/rank.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DAY_MS 86400000.0
#define MINUTE_MS 60000

/* ---- scratch ---- */

static void *take_zeroed(size_t count, size_t bytes)
{
    void *memory = aligned_alloc(64, (count * bytes + 63) & ~(size_t)63);

    assert(memory != NULL);
    memset(memory, 0, count * bytes);
    return memory;
}

void ranking_open(struct ranking *ranking)
{
    *ranking = (struct ranking){0};
}

static void free_by_product(struct ranking *ranking)
{
    free(ranking->signals);
    free(ranking->habit_at);
    free(ranking->marks);
}

static void free_by_candidate(struct ranking *ranking)
{
    free(ranking->candidates);
    free(ranking->facts);
    free(ranking->scores);
    free(ranking->features);
}

void ranking_close(struct ranking *ranking)
{
    free_by_product(ranking);
    free_by_candidate(ranking);
    *ranking = (struct ranking){0};
}

/* Room for the market; everything in it is zero between rankings, so nothing is copied. */
static void fit_scratch(struct ranking *ranking, const struct market *market,
                        const struct store *store)
{
    uint32_t candidates = (uint32_t)store->options.history_products_max +
                          TOP_COUNT * TOP_PRODUCTS_MAX + SIGNAL_COUNT * SIGNAL_CANDIDATES;

    if (ranking->product_capacity < market->product_capacity) {
        free_by_product(ranking);
        ranking->product_capacity = market->product_capacity;
        ranking->signals = take_zeroed(ranking->product_capacity, sizeof(quad));
        ranking->habit_at = take_zeroed(ranking->product_capacity, sizeof(uint16_t));
        ranking->marks = take_zeroed(ranking->product_capacity, sizeof(uint8_t));
    }
    if (ranking->candidate_capacity < candidates) {
        free_by_candidate(ranking);
        ranking->candidate_capacity = candidates;
        ranking->candidates = take_zeroed(candidates, sizeof(struct candidate));
        ranking->facts = take_zeroed(candidates, sizeof(struct facts));
        ranking->scores = take_zeroed(candidates, sizeof(float));
        ranking->features = take_zeroed(candidates, OWNED_COUNT * sizeof(float));
    }
}

/* ---- begin and end ---- */

void ranking_begin(struct ranking *ranking, const struct store *store, struct market *market,
                   const struct customer *customer, int64_t now_ms, const uint32_t *context,
                   uint32_t context_count)
{
    fit_scratch(ranking, market, store);
    ranking->store = store;
    ranking->market = market;
    ranking->customer = customer;
    ranking->now_ms = now_ms > market->latest_ms ? now_ms : market->latest_ms;
    ranking->context = context;
    ranking->context_count = context_count < CONTEXT_MAX ? context_count : CONTEXT_MAX;
    ranking->owned_count = ranking->count = 0;
    market_fade(market, now_ms, ranking->fade);
    for (int i = 0; i < HALF_LIFE_COUNT; i++)
        ranking->most[i] = market->most[i] * ranking->fade[i] + 1e-9f;
    for (int i = 0; i < SIGNAL_COUNT; i++)
        ranking->signal_most[i] = 1e-9f;
    for (uint32_t i = 0; customer != NULL && i < customer->habit_count; i++)
        ranking->habit_at[customer->habits[i].product] = (uint16_t)(i + 1);
    for (uint32_t i = 0; i < ranking->context_count; i++)
        ranking->marks[context[i]] |= MARK_CONTEXT;
}

void ranking_end(struct ranking *ranking)
{
    uint32_t products = ranking->market->product_count + 1;

    memset(ranking->signals, 0, products * sizeof(quad));
    memset(ranking->marks, 0, products);
    for (uint32_t i = 0; ranking->customer != NULL && i < ranking->customer->habit_count; i++)
        ranking->habit_at[ranking->customer->habits[i].product] = 0;
}

/* ---- signals ---- */

float ranking_fondness(const struct ranking *ranking, const struct habit *habit)
{
    uint32_t orders = ranking->customer->orders;
    uint32_t since = orders > habit->last_basket ? orders - 1 - habit->last_basket : 0;
    /* What it would be had the product stood in every order: the sum of a geometric series. */
    float most = orders > 0 ? (1.0f - habit_fade(orders)) / (1.0f - HABIT_FADE) : 1.0f;

    return habit->weight * habit_fade(since) / most;
}

struct source {
    uint32_t product;
    float fondness;
};

static bool is_fonder(struct source a, struct source b)
{
    return a.fondness > b.fondness || (a.fondness == b.fondness && a.product < b.product);
}

/* The habits of most fondness; a sorted list, as most do not get into it. */
static uint32_t choose_sources(const struct ranking *ranking, struct source *sources)
{
    const struct customer *customer = ranking->customer;
    uint32_t count = 0;

    for (uint32_t i = 0; customer != NULL && i < customer->habit_count; i++) {
        struct source source = {customer->habits[i].product,
                                ranking_fondness(ranking, &customer->habits[i])};
        if (source.fondness <= 0)
            continue;
        if (count == SOURCES_MAX && !is_fonder(source, sources[count - 1]))
            continue;
        uint32_t at = count < SOURCES_MAX ? count++ : count - 1;
        for (; at > 0 && is_fonder(source, sources[at - 1]); at--)
            sources[at] = sources[at - 1];
        sources[at] = source;
    }
    return count;
}

/* A slot is {number, together, next, missed}; an empty one adds zeros to nobody. */
static void add_row(struct ranking *ranking, uint32_t number, quad factors)
{
    const struct neighbours *row = &ranking->market->products[number].neighbours;
    quad *signals = ranking->signals;

    for (uint32_t at = 0; at < row->slot_count; at++) {
        const struct neighbour *slot = &row->slots[at];
        quad counts = {slot->next, slot->together, slot->together, 0};
        signals[slot->product] += counts * factors;
    }
}

void ranking_add_neighbours(struct ranking *ranking)
{
    struct source sources[SOURCES_MAX];
    const struct product *products = ranking->market->products;
    const uint32_t *last = ranking->context;
    uint32_t last_count = ranking->context_count;
    uint32_t source_count = choose_sources(ranking, sources);

    if (last_count == 0 && ranking->customer != NULL) {
        last = ranking->customer->basket;
        last_count = ranking->customer->basket_count;
    }
    for (uint32_t i = 0; i < source_count; i++) {
        const struct product *product = &products[sources[i].product];
        float fondness = sources[i].fondness;
        quad factors = {fondness * product->from_next, fondness * product->from_together, 0, 0};
        add_row(ranking, sources[i].product, factors);
    }
    for (uint32_t i = 0; i < last_count; i++) {
        quad factors = {0, 0, products[last[i]].from_together, 0};
        add_row(ranking, last[i], factors);
    }
}

/* ---- candidates ---- */

static const struct habit *habit_of(const struct ranking *ranking, uint32_t number)
{
    uint32_t at = ranking->habit_at[number];

    return at != 0 ? &ranking->customer->habits[at - 1] : NULL;
}

static void add_candidate(struct ranking *ranking, uint32_t number)
{
    if ((ranking->marks[number] & MARK_CANDIDATE) != 0)
        return;
    assert(ranking->count < ranking->candidate_capacity);
    ranking->marks[number] |= MARK_CANDIDATE;
    ranking->candidates[ranking->count++] = (struct candidate){number, habit_of(ranking, number)};
}

static void scale_signals(struct ranking *ranking)
{
    const struct product_scale *scales = ranking->market->scales;
    uint32_t count = ranking->market->product_count;
    quad most = {0};

    for (uint32_t number = 1; number <= count; number++) {
        quad signal = ranking->signals[number] * quad_load(scales[number].lanes);
        ranking->signals[number] = signal;
        most = quad_max(signal, most);
    }
    for (int i = 0; i < SIGNAL_COUNT; i++)
        if (most[i] > ranking->signal_most[i])
            ranking->signal_most[i] = most[i];
}

/*
 * The best of each signal without sorting: a histogram by the leading bits of the numbers
 * (floats above zero are ordered as their bits are), sixteen steps an octave. From the step
 * in which the list fills up, the products of the lowest numbers are taken.
 */
enum { STEP_SHIFT = 19, STEP_COUNT = 256 };

struct cut {
    int32_t base;  /* the step below which nothing is looked at, less one */
    uint32_t step; /* all above are taken, */
    uint32_t room; /* and so many of it */
};

static uint32_t step_of(float value, int32_t base)
{
    int32_t bits;

    memcpy(&bits, &value, sizeof bits);
    int32_t step = (bits >> STEP_SHIFT) - base;
    return step > 0 ? (uint32_t)step : 0;
}

static struct cut find_cut(const uint16_t *steps, int32_t base)
{
    uint32_t count = 0, step = STEP_COUNT - 1;

    while (step > 0 && count + steps[step] <= SIGNAL_CANDIDATES)
        count += steps[step--];
    return (struct cut){base, step, step > 0 ? SIGNAL_CANDIDATES - count : 0};
}

static void choose_by_signal(struct ranking *ranking, int signal)
{
    uint16_t steps[STEP_COUNT] = {0};
    uint32_t count = ranking->market->product_count;
    int32_t base = (int32_t)step_of(ranking->signal_most[signal], 0) - (STEP_COUNT - 1);
    const float *values = (const float *)ranking->signals + signal;

    for (uint32_t number = 1; number <= count; number++) {
        uint32_t step = step_of(values[(size_t)number * SIGNAL_COUNT], base);
        if (ranking->habit_at[number] == 0)
            steps[step] = (uint16_t)(steps[step] + (steps[step] < UINT16_MAX));
    }
    struct cut cut = find_cut(steps, base);
    for (uint32_t number = 1; number <= count; number++) {
        uint32_t step = step_of(values[(size_t)number * SIGNAL_COUNT], base);
        if (step < cut.step || step == 0 || ranking->habit_at[number] != 0)
            continue;
        if (step == cut.step) {
            if (cut.room == 0)
                continue;
            cut.room--;
        }
        add_candidate(ranking, number);
    }
}

static void add_owned(struct ranking *ranking)
{
    const struct customer *customer = ranking->customer;

    for (uint32_t i = 0; customer != NULL && i < customer->habit_count; i++)
        if (customer->habits[i].count > 0)
            add_candidate(ranking, customer->habits[i].product);
    ranking->owned_count = ranking->count;
    for (uint32_t i = 0; customer != NULL && i < customer->habit_count; i++)
        if (customer->habits[i].count <= 0)
            add_candidate(ranking, customer->habits[i].product);
}

void ranking_choose(struct ranking *ranking)
{
    const struct market *market = ranking->market;

    scale_signals(ranking);
    add_owned(ranking);
    for (int top = 0; top < TOP_COUNT; top++)
        for (uint32_t i = 0; i < market->top_counts[top]; i++)
            add_candidate(ranking, market->tops[top][i]);
    for (int signal = 0; signal < SIGNAL_COUNT; signal++)
        if (ranking->signal_most[signal] > 1e-9f)
            choose_by_signal(ranking, signal);
}

/* ---- facts ---- */

static float log_third(float value)
{
    return quick_log(value) / 3.0f;
}

static void add_product_facts(const struct ranking *ranking, uint32_t number, struct facts *facts)
{
    const struct product *product = &ranking->market->products[number];
    const float *signals = (const float *)&ranking->signals[number];
    float popularity[HALF_LIFE_COUNT];

    for (int i = 0; i < HALF_LIFE_COUNT; i++)
        popularity[i] = product->popularity[i] * ranking->fade[i];
    facts->log_3 = log_third((popularity[HALF_LIFE_3] + .05f) / ranking->most[HALF_LIFE_3]);
    facts->log_14 = log_third((popularity[HALF_LIFE_14] + .1f) / ranking->most[HALF_LIFE_14]);
    facts->log_60 = log_third((popularity[HALF_LIFE_60] + .2f) / ranking->most[HALF_LIFE_60]);
    facts->part_3 = popularity[HALF_LIFE_3] / ranking->most[HALF_LIFE_3];
    facts->part_14 = popularity[HALF_LIFE_14] / ranking->most[HALF_LIFE_14];
    facts->next = signals[SIGNAL_NEXT] / ranking->signal_most[SIGNAL_NEXT];
    facts->together = signals[SIGNAL_TOGETHER] / ranking->signal_most[SIGNAL_TOGETHER];
    facts->last = signals[SIGNAL_LAST] / ranking->signal_most[SIGNAL_LAST];
    facts->log_next = log_third(facts->next + .01f);
    facts->log_together = log_third(facts->together + .01f);
    facts->log_last = log_third(facts->last + .01f);
    facts->log_repeat =
        log_third((product->repeat_hits + 1.0f) / (product->repeat_chances + 10.0f));
    facts->age =
        product->first_ms > ranking->now_ms
            ? 0
            : quick_log(1.0f + (float)((double)(ranking->now_ms - product->first_ms) / DAY_MS)) /
                  5.0f;
    facts->log_orders = quick_log(1.0f + product->orders) / 5.0f;
    /* Half the popularity of one order keeps a product that is out of fashion alive. */
    facts->formula = facts->fondness * quick_exp(.3f * quick_log((popularity[HALF_LIFE_14] + .5f) /
                                                                 ranking->most[HALF_LIFE_14])) +
                     .09f * facts->next + .02f * facts->part_3;
    facts->log_formula = log_third(facts->formula + .003f);
}

static float days_since(const struct ranking *ranking, uint32_t minute)
{
    double days = ((double)ranking->now_ms - (double)minute * MINUTE_MS) / DAY_MS;

    return days > 0 ? (float)days : 0;
}

static void add_habit_facts(const struct ranking *ranking, const struct habit *habit,
                            struct facts *facts)
{
    uint32_t orders = ranking->customer->orders;

    facts->fondness = ranking_fondness(ranking, habit);
    facts->count = habit->count;
    facts->days = days_since(ranking, habit->last_minute);
    facts->baskets = orders > habit->last_basket ? (float)(orders - habit->last_basket) : 1.0f;
    facts->quantity = habit->quantity;
    facts->gap = habit->count > 1.0f ? (float)(habit->last_minute - habit->first_minute) /
                                           (float)(DAY_MS / MINUTE_MS) / (habit->count - 1.0f)
                                     : 0;
}

static void add_customer_facts(const struct ranking *ranking, struct facts *facts)
{
    const struct customer *customer = ranking->customer;

    if (customer == NULL || customer->orders == 0) {
        facts->orders = 1;
        return;
    }
    facts->orders = (float)customer->orders;
    facts->silence = customer->last_ms < ranking->now_ms
                         ? (float)((double)(ranking->now_ms - customer->last_ms) / DAY_MS)
                         : 0;
    facts->log_silence = quick_log(1.0f + facts->silence) / 5.0f;
    facts->log_loyalty =
        quick_log((customer->repeat_hits + 2.0f) / (customer->repeat_items + 10.0f));
    facts->log_basket = quick_log(1.0f + customer->items / facts->orders) / 4.0f;
}

void ranking_add_facts(struct ranking *ranking)
{
    struct facts common = {0};

    add_customer_facts(ranking, &common);
    for (uint32_t i = 0; i < ranking->count; i++) {
        struct facts *facts = &ranking->facts[i];
        const struct habit *habit = ranking->candidates[i].habit;
        *facts = common;
        if (habit != NULL)
            add_habit_facts(ranking, habit, facts);
        add_product_facts(ranking, ranking->candidates[i].product, facts);
    }
}

#define FILL_OWNED(name, value) x[OWNED_##name] = (value);
#define FILL_FRESH(name, value) x[FRESH_##name] = (value);

static void fill_owned(const struct facts *k, float *x)
{
    OWNED_FEATURES(FILL_OWNED)
}

static void fill_fresh(const struct facts *k, float *x)
{
    FRESH_FEATURES(FILL_FRESH)
}

void ranking_add_features(struct ranking *ranking)
{
    float *x = ranking->features;

    for (uint32_t i = 0; i < ranking->owned_count; i++, x += OWNED_COUNT)
        fill_owned(&ranking->facts[i], x);
    for (uint32_t i = ranking->owned_count; i < ranking->count; i++, x += FRESH_COUNT)
        fill_fresh(&ranking->facts[i], x);
}
