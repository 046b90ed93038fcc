/*
 * The products of a market: names, popularity, the lists of the most popular.
 *
 * A list of the most popular is a heap with the least popular of them on top. Growing
 * weights make it exact for nothing: a product's value changes only when it is bought,
 * and then it can only rise, so who is not on the list gets there at a purchase or never.
 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "recommend/market.h"
#include "recommend/model.h"
#include "recommend/quick.h"

const float half_life_days[HALF_LIFE_COUNT] = {3, 7, 14, 60};
const int top_half_life[TOP_COUNT] = {HALF_LIFE_3, HALF_LIFE_14};

#define DAY_MS 86400000.0

enum { PRODUCTS_LEAST = 16, ZERO_AGE_HALF_LIVES_MAX = 60 };

/* ---- names ---- */

uint32_t product_hash(const struct market *market, struct view id)
{
    uint32_t hash = (uint32_t)hash_place(id, 0);

    table_prefetch(&market->product_table, hash);
    return hash;
}

/* Only guesses, by hash: to fetch another's product is harmless. */
void product_prefetch(const struct market *market, const uint32_t *hashes, uint32_t count)
{
    uint32_t at;

    if (market->products == NULL) /* before the first */
        return;
    for (uint32_t i = 0; i < count; i++) {
        const char *product =
            (const char *)&market->products[table_first(&market->product_table, hashes[i], &at)];
        __builtin_prefetch(product);
        __builtin_prefetch(product + 64);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = table_first(&market->product_table, hashes[i], &at);
        if (number != 0)
            __builtin_prefetch(market->products[number].id.data);
    }
}

uint32_t product_find_hashed(const struct market *market, struct view id, uint32_t hash)
{
    uint32_t at, number;

    for (number = table_first(&market->product_table, hash, &at); number != 0;
         number = table_next(&market->product_table, hash, &at))
        if (view_is_equal(market->products[number].id, id))
            return number;
    return 0;
}

uint32_t product_find(const struct market *market, struct view id)
{
    return product_find_hashed(market, id, (uint32_t)hash_place(id, 0));
}

static void *resize_run(struct store *store, struct market *market, void *old, size_t item_bytes,
                        uint32_t capacity)
{
    void *run = market_take(store, market, capacity * item_bytes);
    size_t used = old != NULL ? ((size_t)market->product_count + 1) * item_bytes : 0;

    memset(run, 0, capacity * item_bytes);
    if (used > 0)
        memcpy(run, old, used);
    market_give(store, market, old, market->product_capacity * item_bytes);
    return run;
}

/* The capacity follows from the count alone, so that a loaded market takes the memory of
 * the one that was saved. */
void product_reserve(struct store *store, struct market *market, uint32_t count)
{
    uint32_t capacity = PRODUCTS_LEAST;

    while (capacity <= count)
        capacity *= 2;
    if (capacity == market->product_capacity)
        return;
    market->products =
        resize_run(store, market, market->products, sizeof(struct product), capacity);
    market->scales =
        resize_run(store, market, market->scales, sizeof(struct product_scale), capacity);
    market->product_capacity = capacity;
}

uint32_t product_add(struct store *store, struct market *market, struct view id)
{
    uint32_t hash = (uint32_t)hash_place(id, 0);

    if (market->product_count + 1 >= market->product_capacity)
        product_reserve(store, market, market->product_count + 1);
    uint32_t number = ++market->product_count;
    store->product_count++;
    struct product *product = &market->products[number];
    char *text = market_take(store, market, (size_t)id.size + 1);
    memcpy(text, id.data, id.size);
    text[id.size] = '\0';
    *product = (struct product){
        .id = {text, id.size},
        .hash = hash,
        .first_ms = INT64_MAX,
        .last_ms = INT64_MIN,
    };
    product_rescale(market, number);
    table_put(&market->product_table, hash, number);
    return number;
}

void product_make_room(struct store *store, struct market *market, uint32_t count)
{
    uint32_t max = (uint32_t)store->options.products_max;
    uint32_t share = max / 8;

    if (market->product_count + count > max && market->product_count > 0) {
        uint32_t drop = market->product_count + count - max;
        product_drop_oldest(store, market, drop > share ? drop : share);
    }
}

void product_see(struct market *market, uint32_t number, int64_t time_ms)
{
    struct product *product = &market->products[number];

    if (time_ms < product->first_ms)
        product->first_ms = time_ms;
    if (time_ms > product->last_ms)
        product->last_ms = time_ms;
}

uint32_t product_find_or_add(struct store *store, struct market *market, struct view id,
                             int64_t time_ms)
{
    uint32_t number = product_find(market, id);

    if (number == 0)
        number = product_add(store, market, id);
    product_see(market, number, time_ms);
    return number;
}

void product_free(struct store *store, struct market *market, uint32_t number)
{
    struct product *product = &market->products[number];
    size_t bytes = neighbours_bytes(product->neighbours.bucket_count);

    store->product_count--;
    store->neighbour_count -= product->neighbours.count;
    market_give(store, market, product->neighbours.entries, bytes);
    market_give(store, market, (void *)(uintptr_t)product->id.data, (size_t)product->id.size + 1);
    *product = (struct product){0};
}

/* ---- popularity ---- */

static bool is_below(const struct market *market, int half_life, uint32_t a, uint32_t b)
{
    float left = market->products[a].popularity[half_life];
    float right = market->products[b].popularity[half_life];

    return left < right || (left == right && a > b);
}

static void put_top(struct market *market, int top, uint32_t at, uint32_t number)
{
    market->tops[top][at] = number;
    market->products[number].top_at[top] = (uint16_t)(at + 1);
}

/* Its value has risen: it goes away from the least. */
static void sink_top(struct market *market, int top, uint32_t at)
{
    int half_life = top_half_life[top];
    uint32_t count = market->top_counts[top];
    uint32_t number = market->tops[top][at];

    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= count)
            break;
        if (child + 1 < count &&
            is_below(market, half_life, market->tops[top][child + 1], market->tops[top][child]))
            child++;
        if (!is_below(market, half_life, market->tops[top][child], number))
            break;
        put_top(market, top, at, market->tops[top][child]);
        at = child;
    }
    put_top(market, top, at, number);
}

static void enter_top(struct market *market, int top, uint32_t number)
{
    uint32_t at = market->top_counts[top]++;

    while (at > 0) {
        uint32_t parent = (at - 1) / 2;
        if (!is_below(market, top_half_life[top], number, market->tops[top][parent]))
            break;
        put_top(market, top, at, market->tops[top][parent]);
        at = parent;
    }
    put_top(market, top, at, number);
}

static void raise_top(struct market *market, int top, uint32_t number)
{
    uint32_t at = market->products[number].top_at[top];

    if (at != 0) {
        sink_top(market, top, at - 1);
    } else if (market->top_counts[top] < TOP_PRODUCTS_MAX) {
        enter_top(market, top, number);
    } else if (is_below(market, top_half_life[top], market->tops[top][0], number)) {
        market->products[market->tops[top][0]].top_at[top] = 0;
        market->tops[top][0] = number;
        sink_top(market, top, 0);
    }
}

void product_raise(struct market *market, uint32_t number, const float growth[HALF_LIFE_COUNT],
                   float amount)
{
    struct product *product = &market->products[number];

    for (int i = 0; i < HALF_LIFE_COUNT; i++) {
        product->popularity[i] += growth[i] * amount;
        if (product->popularity[i] > market->most[i])
            market->most[i] = product->popularity[i];
    }
    for (int top = 0; top < TOP_COUNT; top++)
        raise_top(market, top, number);
}

static float growth_between(int64_t from_ms, int64_t to_ms, int half_life)
{
    double days = ((double)to_ms - (double)from_ms) / DAY_MS;

    return exp2f((float)(days / (double)half_life_days[half_life]));
}

/* Moves the zero of the growing weights. Scaling by powers of different size keeps the
 * order of values, or makes them equal: so heaps stay heaps after a new build. */
static void move_zero(struct market *market, int64_t zero_ms)
{
    for (int i = 0; i < HALF_LIFE_COUNT; i++) {
        float factor = growth_between(zero_ms, market->zero_ms, i);
        market->most[i] *= factor;
        for (uint32_t number = 1; number <= market->product_count; number++)
            market->products[number].popularity[i] *= factor;
    }
    market->zero_ms = zero_ms;
    product_rebuild_tops(market);
}

void market_growth(struct market *market, int64_t time_ms, float growth[HALF_LIFE_COUNT])
{
    static const double age_ms_max = ZERO_AGE_HALF_LIVES_MAX * 3 * DAY_MS;

    if (market->zero_ms == INT64_MIN)
        market->zero_ms = time_ms;
    if ((double)time_ms - (double)market->zero_ms > age_ms_max)
        move_zero(market, time_ms);
    for (int i = 0; i < HALF_LIFE_COUNT; i++)
        growth[i] = growth_between(market->zero_ms, time_ms, i);
}

void market_fade(const struct market *market, int64_t time_ms, float fade[HALF_LIFE_COUNT])
{
    /* An old question is answered from what is known by now. */
    int64_t at_ms = time_ms > market->latest_ms ? time_ms : market->latest_ms;

    for (int i = 0; i < HALF_LIFE_COUNT; i++)
        fade[i] = market->zero_ms == INT64_MIN ? 0 : growth_between(at_ms, market->zero_ms, i);
}

void product_rebuild_tops(struct market *market)
{
    for (int top = 0; top < TOP_COUNT; top++) {
        market->top_counts[top] = 0;
        for (uint32_t number = 1; number <= market->product_count; number++)
            market->products[number].top_at[top] = 0;
        for (uint32_t number = 1; number <= market->product_count; number++)
            raise_top(market, top, number);
    }
}

/* x to the power of `exponent`, x > 0. */
static float power(float x, float exponent)
{
    return quick_exp(quick_log(x) * exponent);
}

/* Common products are worth less as evidence, at either end of a pair; how much less was
 * found by trying. */
static const float few = 5.0f;

void product_rescale_sources(struct market *market, uint32_t number)
{
    struct product *product = &market->products[number];

    product->from_next = power(product->sources + few, -.6f);
}

void product_rescale_orders(struct market *market, uint32_t number)
{
    struct product *product = &market->products[number];
    float orders = product->orders + few;
    float root = 1.0f / sqrtf(orders);

    product->from_together = 1.0f / orders;
    market->scales[number] = (struct product_scale){{
        [SIGNAL_LAST] = root,
        [SIGNAL_EXTRA] = 1.0f,
        [SIGNAL_TOGETHER] = root,
        [SIGNAL_NEXT] = power(orders, -.4f),
    }};
}

void product_rescale(struct market *market, uint32_t number)
{
    product_rescale_sources(market, number);
    product_rescale_orders(market, number);
}

void product_meet(struct store *store, struct market *market, uint32_t number,
                  const uint32_t *others, uint32_t other_count, uint64_t what)
{
    struct neighbours *row = &market->products[number].neighbours;
    uint32_t buckets_before = row->bucket_count, count_before = row->count;

    neighbours_add(row, &store->blocks, store->bucket_max, number, others, other_count, what);
    store->neighbour_count += row->count - count_before;
    if (row->bucket_count == buckets_before)
        return;
    size_t before = buckets_before > 0 ? blocks_round(neighbours_bytes(buckets_before)) : 0;
    size_t after = blocks_round(neighbours_bytes(row->bucket_count));
    market->bytes += after - before;
    store->bytes += after - before;
}

/* ---- dropping ---- */

static int compare_times(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;

    return (left > right) - (left < right);
}

/* numbers[old] = new, or 0 for the `drop` longest unseen; ties by number. */
static void renumber_all(struct market *market, uint32_t drop, uint32_t *numbers, int64_t *times)
{
    uint32_t count = market->product_count, next = 0;

    for (uint32_t number = 1; number <= count; number++)
        times[number - 1] = market->products[number].last_ms;
    qsort(times, count, sizeof *times, compare_times);
    int64_t limit = times[drop - 1];
    uint32_t ties = drop;
    for (uint32_t number = 1; number <= count; number++)
        ties -= market->products[number].last_ms < limit;
    numbers[0] = 0;
    for (uint32_t number = 1; number <= count; number++) {
        int64_t last_ms = market->products[number].last_ms;
        bool goes = last_ms < limit || (last_ms == limit && ties > 0);
        if (goes && last_ms == limit)
            ties--;
        /* A blocked product that comes back must still be blocked. */
        numbers[number] = goes && !market->products[number].is_blocked ? 0 : ++next;
    }
}

static void renumber_products(struct store *store, struct market *market, const uint32_t *numbers)
{
    uint32_t count = market->product_count, kept = 0;

    table_clear(&market->product_table);
    for (int i = 0; i < HALF_LIFE_COUNT; i++)
        market->most[i] = 0;
    for (uint32_t number = 1; number <= count; number++) {
        if (numbers[number] == 0) {
            product_free(store, market, number);
            store->products_evicted++;
            continue;
        }
        kept++;
        assert(numbers[number] == kept);
        struct product *product = &market->products[kept];
        if (kept != number) {
            *product = market->products[number];
            market->scales[kept] = market->scales[number];
            market->products[number] = (struct product){0};
        }
        store->neighbour_count -= product->neighbours.count;
        neighbours_renumber(&product->neighbours, &store->blocks, numbers);
        store->neighbour_count += product->neighbours.count;
        for (int i = 0; i < HALF_LIFE_COUNT; i++)
            if (product->popularity[i] > market->most[i])
                market->most[i] = product->popularity[i];
        table_put(&market->product_table, product->hash, kept);
    }
    market->product_count = kept;
    product_reserve(store, market, kept);
    product_rebuild_tops(market);
}

void product_drop_oldest(struct store *store, struct market *market, uint32_t count)
{
    size_t numbers_bytes = ((size_t)market->product_count + 1) * sizeof(uint32_t);
    size_t times_bytes = ((size_t)market->product_count + 1) * sizeof(int64_t);

    if (count > market->product_count)
        count = market->product_count;
    if (count == 0)
        return;
    uint32_t *numbers = blocks_take(&store->blocks, numbers_bytes);
    int64_t *times = blocks_take(&store->blocks, times_bytes);
    uint32_t before = market->product_count;
    renumber_all(market, count, numbers, times);
    renumber_products(store, market, numbers);
    for (uint32_t reference = market->newest; reference != 0;
         reference = customer_at(store, reference)->older)
        customer_renumber(store, customer_at(store, reference), numbers);
    if (market->kind != NULL && market->kind->renumber != NULL)
        market->kind->renumber(market->model, numbers, before);
    blocks_give(&store->blocks, times, times_bytes);
    blocks_give(&store->blocks, numbers, numbers_bytes);
}
