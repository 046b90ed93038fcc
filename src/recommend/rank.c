#include "recommend/rank.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

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
    free(ranking->merits);
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

/* Room for the market; what counts is zero between rankings, so nothing is copied. */
static void fit_scratch(struct ranking *ranking, const struct market *market,
                        const struct store *store)
{
    uint32_t candidates = (uint32_t)store->options.history_products_max +
                          TOP_COUNT * TOP_PRODUCTS_MAX + SIGNAL_CANDIDATES;

    if (ranking->product_capacity < market->product_capacity) {
        free_by_product(ranking);
        ranking->product_capacity = market->product_capacity;
        ranking->signals = take_zeroed(ranking->product_capacity, sizeof(quad));
        ranking->merits = take_zeroed(ranking->product_capacity, sizeof(float));
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
    ranking->owned_count = ranking->count = ranking->source_count = 0;
    market_fade(market, now_ms, ranking->fade);
    for (int i = 0; i < HALF_LIFE_COUNT; i++)
        ranking->parts[i] = 1.0f / (market->most[i] * ranking->fade[i] + 1e-9f);
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

static bool is_fonder(const struct source *a, const struct source *b)
{
    return a->fondness > b->fondness || (a->fondness == b->fondness && a->product < b->product);
}

/* The habits of most fondness; a sorted list, as most do not get into it. */
static void choose_sources(struct ranking *ranking)
{
    const struct customer *customer = ranking->customer;
    struct source *sources = ranking->sources;
    uint32_t count = 0;

    for (uint32_t i = 0; customer != NULL && i < customer->habit_count; i++) {
        struct source source = {customer->habits[i].product,
                                ranking_fondness(ranking, &customer->habits[i]), 0};
        if (source.fondness <= 0 ||
            (count == SOURCES_MAX && !is_fonder(&source, &sources[count - 1])))
            continue;
        uint32_t at = count < SOURCES_MAX ? count++ : count - 1;
        for (; at > 0 && is_fonder(&source, &sources[at - 1]); at--)
            sources[at] = sources[at - 1];
        sources[at] = source;
    }
    ranking->source_count = count;
}

/* The last basket, or what the request names in its place. */
static void add_last(struct ranking *ranking)
{
    const struct customer *customer = ranking->customer;
    const uint32_t *last = ranking->context;
    uint32_t count = ranking->context_count;
    uint8_t *marks = ranking->marks;

    if (count == 0 && customer != NULL) {
        last = customer->basket;
        count = customer->basket_count < LAST_MAX ? customer->basket_count : LAST_MAX;
    }
    for (uint32_t i = 0; i < count; i++)
        marks[last[i]] |= MARK_LAST;
    for (uint32_t i = 0; i < ranking->source_count; i++) {
        struct source *source = &ranking->sources[i];
        marks[source->product] |= MARK_SOURCE;
        source->is_last = (marks[source->product] & MARK_LAST) != 0;
    }
    for (uint32_t i = 0; i < count; i++)
        if ((marks[last[i]] & MARK_SOURCE) == 0)
            ranking->sources[ranking->source_count++] = (struct source){last[i], 0, 1};
}

/* The upper half of an entry is its two counts, which stand in the lanes of the signals. */
_Static_assert(SIGNAL_LAST == 0 && SIGNAL_TOGETHER == 2 && SIGNAL_NEXT == 3, "see counts_of");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "see counts_of");

typedef uint16_t eight_words __attribute__((vector_size(16)));

/* Each of four words with 16 zeros above. */
static inline quad counts_of(eight_words wide)
{
    quad counts = __builtin_convertvector((quad_mask)wide, quad);

    return __builtin_shufflevector(counts, counts, 2, 2, 2, 3);
}

/* A row is a bucket a line, and lies anywhere: line by line the `next` one is fetched. */
static void add_row(quad *signals, const struct neighbours *row, const struct neighbours *next,
                    quad factors)
{
    const uint64_t *entry = row->entries, *end = entry + neighbours_places(row);
    const char *ahead = (const char *)next->entries;
    const eight_words zero = {0};

    for (; entry < end; ahead += NEIGHBOUR_BUCKET * sizeof *entry) {
        __builtin_prefetch(ahead);
        /* An empty place is nobody's, and adds nothing. */
        for (int i = 0; i < NEIGHBOUR_BUCKET / 2; i++, entry += 2) {
            eight_words words;
            memcpy(&words, entry, sizeof words);
            eight_words first = __builtin_shufflevector(words, zero, 0, 8, 1, 9, 2, 10, 3, 11);
            eight_words second = __builtin_shufflevector(words, zero, 4, 12, 5, 13, 6, 14, 7, 15);
            signals[neighbour_number(entry[0])] += counts_of(first) * factors;
            signals[neighbour_number(entry[1])] += counts_of(second) * factors;
        }
    }
}

void ranking_add_neighbours(struct ranking *ranking)
{
    const struct product *products = ranking->market->products;

    choose_sources(ranking);
    add_last(ranking);
    for (uint32_t i = 0; i < ranking->source_count; i++) {
        const struct source *source = &ranking->sources[i];
        const struct product *product = &products[source->product];
        quad factors = {source->is_last * product->from_together, 0,
                        source->fondness * product->from_together,
                        source->fondness * product->from_next};
        const struct source *next = i + 1 < ranking->source_count ? source + 1 : source;
        if (i + 2 < ranking->source_count)
            __builtin_prefetch(&products[source[2].product].neighbours);
        add_row(ranking->signals, &product->neighbours, &products[next->product].neighbours,
                factors);
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

/* Number 0 is nobody, and capacities are multiples of four: there is always a number + 3. */
static void scale_signals(struct ranking *ranking)
{
    const struct product_scale *scales = ranking->market->scales;
    quad *signals = ranking->signals;
    uint32_t count = ranking->market->product_count;
    /* By turns, so that a comparison does not wait for the one before. */
    quad even = quad_of(1e-9f), odd = even;

    for (uint32_t number = 0; number <= count; number += 2) {
        signals[number] *= quad_load(scales[number].lanes);
        signals[number + 1] *= quad_load(scales[number + 1].lanes);
        even = quad_max(signals[number], even);
        odd = quad_max(signals[number + 1], odd);
    }
    ranking->signal_parts = quad_of(1) / quad_max(even, odd);
}

/*
 * The strongest without sorting: a histogram by the leading bits of the merits (floats
 * above zero are ordered as their bits are), sixteen steps an octave. From the step in which
 * the list fills up, the products of the lowest numbers are taken.
 */
enum { STEP_SHIFT = 19, STEP_COUNT = 256 };

/* A merit is at most SIGNAL_COUNT, so this many steps below lie at 2^-14 and less. */
static const int32_t step_base = (129 << 4) - (STEP_COUNT - 1);

/* The least merit of a step > 0. */
static float least_of_step(uint32_t step)
{
    int32_t bits = (step_base + (int32_t)step) << STEP_SHIFT;
    float merit;

    memcpy(&merit, &bits, sizeof merit);
    return merit;
}

/* The sums of four signals' lanes, each as quad_sum has it. */
static inline quad sum_lanes(const quad *signals, quad parts)
{
    quad a = signals[0] * parts, b = signals[1] * parts;
    quad c = signals[2] * parts, d = signals[3] * parts;
    quad ab = __builtin_shufflevector(a, b, 0, 2, 4, 6) + __builtin_shufflevector(a, b, 1, 3, 5, 7);
    quad cd = __builtin_shufflevector(c, d, 0, 2, 4, 6) + __builtin_shufflevector(c, d, 1, 3, 5, 7);

    return __builtin_shufflevector(ab, cd, 0, 2, 4, 6) +
           __builtin_shufflevector(ab, cd, 1, 3, 5, 7);
}

/* Four products a turn. Neighbours fall into the same step often; a counter for each of the
 * four keeps them from waiting for one another. */
static void add_merits(struct ranking *ranking, uint32_t (*steps)[4])
{
    typedef uint16_t four_words __attribute__((vector_size(8)));
    const quad_mask base = {step_base, step_base, step_base, step_base};
    const quad *signals = ranking->signals;
    quad parts = ranking->signal_parts;
    uint32_t count = ranking->market->product_count;

    for (uint32_t number = 0; number <= count; number += 4) {
        four_words habits;
        memcpy(&habits, ranking->habit_at + number, sizeof habits);
        quad_mask is_new = __builtin_convertvector(habits, quad_mask) == 0;
        quad_mask merits = (quad_mask)sum_lanes(signals + number, parts) & is_new;
        memcpy(ranking->merits + number, &merits, sizeof merits);
        quad_mask step = (merits >> STEP_SHIFT) - base;
        step &= step > 0;
        steps[step[0]][0]++;
        steps[step[1]][1]++;
        steps[step[2]][2]++;
        steps[step[3]][3]++;
    }
}

static inline bool is_any(quad_mask mask)
{
    typedef int64_t pair __attribute__((vector_size(16)));
    pair halves = (pair)mask;

    return (halves[0] | halves[1]) != 0;
}

static uint32_t count_step(const uint32_t *counters)
{
    return counters[0] + counters[1] + counters[2] + counters[3];
}

static void choose_by_merit(struct ranking *ranking)
{
    uint32_t steps[STEP_COUNT][4] = {{0}};
    uint32_t count = ranking->market->product_count, above = 0, step = STEP_COUNT - 1;
    const float *merits = ranking->merits;

    add_merits(ranking, steps);
    for (; step > 0 && above + count_step(steps[step]) <= SIGNAL_CANDIDATES; step--)
        above += count_step(steps[step]);
    uint32_t room = step > 0 ? SIGNAL_CANDIDATES - above : 0;
    float least = least_of_step(step > 0 ? step : 1), next = least_of_step(step + 1);
    for (uint32_t number = 0; number <= count; number++) {
        /* Most are not chosen: four at once. */
        if (number % 4 == 0 && !is_any(quad_load(merits + number) >= quad_of(least))) {
            number += 3;
            continue;
        }
        float merit = merits[number];
        if (merit < least || (merit < next && room == 0 && step > 0))
            continue;
        room -= merit < next && step > 0;
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
    choose_by_merit(ranking);
}

void ranking_thin(struct ranking *ranking, uint64_t draw)
{
    uint32_t owned_count = ranking->owned_count, kept = 0;

    for (uint32_t i = 0; i < ranking->count; i++) {
        uint32_t product = ranking->candidates[i].product;
        if ((ranking->marks[product] & MARK_TRUTH) == 0 &&
            (hash_mix(draw, product) & (LESSON_THINNING - 1)) != 0) {
            ranking->owned_count -= i < owned_count;
            continue;
        }
        ranking->candidates[kept++] = ranking->candidates[i];
    }
    ranking->count = kept;
}

/* ---- facts ---- */

static float log_third(float value)
{
    return quick_log2(value) * (0.69314718f / 3.0f);
}

static float log_fifth(float value)
{
    return quick_log2(value) * (0.69314718f / 5.0f);
}

/* What is added before a logarithm: less than one purchase, so that it matters for products
 * without any only. */
static void add_popularity(const struct ranking *ranking, const struct product *product,
                           struct facts *facts)
{
    quad popularity = quad_load(product->popularity) * quad_load(ranking->fade);
    quad parts = popularity * quad_load(ranking->parts);
    quad grounds = (popularity + (quad){.05f, 0, .1f, .2f}) * quad_load(ranking->parts);

    _Static_assert(HALF_LIFE_COUNT == 4, "a lane each");
    facts->log_3 = log_third(grounds[HALF_LIFE_3]);
    facts->log_14 = log_third(grounds[HALF_LIFE_14]);
    facts->log_60 = log_third(grounds[HALF_LIFE_60]);
    facts->part_3 = parts[HALF_LIFE_3];
    facts->part_14 = parts[HALF_LIFE_14];
}

static void add_product_facts(const struct ranking *ranking, uint32_t number, struct facts *facts)
{
    const struct product *product = &ranking->market->products[number];
    quad signals = ranking->signals[number] * ranking->signal_parts;
    float days = (float)(ranking->now_ms - product->first_ms) * (float)(1 / DAY_MS);

    add_popularity(ranking, product, facts);
    facts->next = signals[SIGNAL_NEXT];
    facts->together = signals[SIGNAL_TOGETHER];
    facts->last = signals[SIGNAL_LAST];
    facts->extra = signals[SIGNAL_EXTRA];
    facts->log_next = log_third(facts->next + .01f);
    facts->log_together = log_third(facts->together + .01f);
    facts->log_last = log_third(facts->last + .01f);
    facts->log_repeat =
        log_third((product->repeat_hits + 1.0f) / (product->repeat_chances + 10.0f));
    facts->age = days > 0 ? log_fifth(1.0f + days) : 0;
    facts->log_orders = log_fifth(1.0f + product->orders);
    facts->formula = .09f * facts->next + .02f * facts->part_3;
    /* Half the popularity of one order keeps what is out of fashion alive. */
    if (facts->fondness > 0) {
        float popularity = facts->part_14 + .5f * ranking->parts[HALF_LIFE_14];
        facts->formula += facts->fondness * quick_exp(.3f * quick_log(popularity));
    }
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
    facts->log_hours = quick_log(1.0f + 24.0f * facts->silence) / 8.0f;
    facts->log_loyalty =
        quick_log((customer->repeat_hits + 2.0f) / (customer->repeat_items + 10.0f));
    facts->log_basket = quick_log(1.0f + customer->items / facts->orders) / 4.0f;
}

static void prefetch_product(const struct ranking *ranking, uint32_t number)
{
    const struct product *product = &ranking->market->products[number];

    __builtin_prefetch(product->popularity);
    __builtin_prefetch(&product->first_ms);
    __builtin_prefetch(&ranking->signals[number]);
}

void ranking_add_facts(struct ranking *ranking)
{
    enum { FACTS_AHEAD = 6 };
    struct facts common = {0};

    add_customer_facts(ranking, &common);
    for (uint32_t i = 0; i < ranking->count; i++) {
        struct facts *facts = &ranking->facts[i];
        const struct habit *habit = ranking->candidates[i].habit;
        if (i + FACTS_AHEAD < ranking->count)
            prefetch_product(ranking, ranking->candidates[i + FACTS_AHEAD].product);
        *facts = common;
        if (habit != NULL)
            add_habit_facts(ranking, habit, facts);
        add_product_facts(ranking, ranking->candidates[i].product, facts);
    }
}

#define FILL_OWNED(name, value, start) x[OWNED_##name] = (value);
#define FILL_FRESH(name, value, start, fresh_start) x[FRESH_##name] = (value);

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
