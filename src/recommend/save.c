/*
 * The state as bytes. What decides later results is written as it lies in memory, the
 * places in tables of neighbours and in heaps included, so that a loaded state goes on to
 * the last bit as the saved one would have.
 *
 * Floats are written as their bits; counts, numbers and times as varints.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "recommend/dedicated.h"
#include "recommend/job.h"
#include "recommend/model.h"
#include "recommend/state.h"

enum { SAVED_VERSION = 6 };
#define SAVED_MAGIC UINT32_C(0x4d4d4352) /* "RCMM" */

static struct view take_id(struct byte_reader *in)
{
    struct view id = byte_take_view(in);

    if (view_is_absent(id))
        in->broken = true;
    return id;
}

/* ---- neighbours ---- */

static void save_neighbours(const struct neighbours *row, struct byte_writer *out)
{
    uint32_t last = 0;

    byte_put_varint(out, row->bucket_count);
    byte_put_varint(out, row->count);
    for (uint32_t place = 0; place < neighbours_places(row); place++) {
        if (row->entries[place] == 0)
            continue;
        byte_put_varint(out, place - last);
        byte_put_u64(out, row->entries[place]);
        last = place;
    }
}

static void load_neighbours(struct store *store, struct market *market, struct neighbours *row,
                            struct byte_reader *in)
{
    uint32_t bucket_count = byte_take_upto(in, NEIGHBOUR_BUCKETS_MAX), place = 0;
    uint64_t count = byte_take_count(in, 9);

    if (bucket_count == 0 || (bucket_count & (bucket_count - 1)) != 0 || in->broken) {
        in->broken |= bucket_count != 0 || count != 0;
        return;
    }
    neighbours_reserve(row, &store->blocks, bucket_count);
    market->bytes += blocks_round(neighbours_bytes(bucket_count));
    store->bytes += blocks_round(neighbours_bytes(bucket_count));
    for (uint64_t i = 0; i < count && !in->broken; i++) {
        place += byte_take_upto(in, NEIGHBOUR_BUCKETS_MAX * NEIGHBOUR_BUCKET);
        uint64_t entry = byte_take_u64(in);
        if (neighbour_number(entry) > market->product_count || !neighbours_place(row, place, entry))
            in->broken = true;
    }
    store->neighbour_count += row->count;
}

/* ---- products ---- */

static void save_product(const struct product *product, struct byte_writer *out)
{
    byte_put_view(out, product->id);
    byte_put_u8(out, product->is_blocked);
    for (int top = 0; top < TOP_COUNT; top++)
        byte_put_u16(out, product->top_at[top]);
    for (int i = 0; i < HALF_LIFE_COUNT; i++)
        byte_put_float(out, product->popularity[i]);
    byte_put_float(out, product->orders);
    byte_put_float(out, product->sources);
    byte_put_float(out, product->repeat_chances);
    byte_put_float(out, product->repeat_hits);
    byte_put_svarint(out, product->first_ms);
    byte_put_svarint(out, product->last_ms);
}

static void load_product(struct store *store, struct market *market, struct byte_reader *in)
{
    struct view id = take_id(in);

    if (in->broken || product_find(market, id) != 0) {
        in->broken = true;
        return;
    }
    uint32_t number = product_add(store, market, id);
    struct product *product = &market->products[number];
    product->is_blocked = byte_take_u8(in) != 0;
    for (int top = 0; top < TOP_COUNT; top++) {
        uint16_t at = byte_take_u16(in);
        if (at > TOP_PRODUCTS_MAX || (at > 0 && market->tops[top][at - 1] != 0)) {
            in->broken = true;
            return;
        }
        product->top_at[top] = at;
        if (at > 0) {
            market->tops[top][at - 1] = number;
            market->top_counts[top]++;
        }
    }
    for (int i = 0; i < HALF_LIFE_COUNT; i++)
        product->popularity[i] = byte_take_float(in);
    product->orders = byte_take_float(in);
    product->sources = byte_take_float(in);
    product->repeat_chances = byte_take_float(in);
    product->repeat_hits = byte_take_float(in);
    product->first_ms = byte_take_svarint(in);
    product->last_ms = byte_take_svarint(in);
    product_rescale(market, number);
    market->blocked_count += product->is_blocked;
}

static void save_products(const struct market *market, struct byte_writer *out)
{
    byte_put_varint(out, market->product_count);
    for (uint32_t number = 1; number <= market->product_count; number++)
        save_product(&market->products[number], out);
    for (uint32_t number = 1; number <= market->product_count; number++)
        save_neighbours(&market->products[number].neighbours, out);
}

static void load_products(struct store *store, struct market *market, struct byte_reader *in)
{
    uint64_t count = byte_take_count(in, 40);

    if (in->broken || count > UINT32_MAX / 2) {
        in->broken = true;
        return;
    }
    if (count > 0)
        product_reserve(store, market, (uint32_t)count);
    for (uint64_t i = 0; i < count && !in->broken; i++)
        load_product(store, market, in);
    /* The heaps have no gaps. */
    for (int top = 0; top < TOP_COUNT; top++)
        for (uint32_t at = 0; at < market->top_counts[top]; at++)
            in->broken |= market->tops[top][at] == 0;
    for (uint32_t number = 1; number <= market->product_count && !in->broken; number++)
        load_neighbours(store, market, &market->products[number].neighbours, in);
}

/* ---- customers ---- */

static void save_customer(const struct customer *customer, struct byte_writer *out)
{
    byte_put_view(out, customer->id);
    byte_put_varint(out, customer->orders);
    byte_put_varint(out, customer->sessions);
    byte_put_varint(out, customer->interactions);
    byte_put_float(out, customer->repeat_hits);
    byte_put_float(out, customer->repeat_items);
    byte_put_float(out, customer->items);
    byte_put_double(out, customer->spent);
    byte_put_svarint(out, customer->last_ms);
    byte_put_svarint(out, customer->session_ms);
    byte_put_u64(out, customer->session_hash);
    byte_put_varint(out, customer->habit_count);
    for (uint32_t i = 0; i < customer->habit_count; i++) {
        const struct habit *habit = &customer->habits[i];
        byte_put_varint(out, habit->product);
        byte_put_varint(out, habit->last_basket);
        byte_put_float(out, habit->count);
        byte_put_float(out, habit->weight);
        byte_put_float(out, habit->quantity);
        byte_put_varint(out, habit->first_minute);
        byte_put_varint(out, habit->last_minute);
        byte_put_varint(out, habit->views);
    }
    byte_put_varint(out, customer->basket_count);
    for (uint32_t i = 0; i < customer->basket_count; i++)
        byte_put_varint(out, customer->basket[i]);
}

static void load_habits(struct store *store, struct customer *customer, struct byte_reader *in)
{
    uint32_t products = customer->market->product_count;
    uint64_t count = byte_take_count(in, 17);

    if (in->broken || count > HISTORY_PRODUCTS_MAX) {
        in->broken = true;
        return;
    }
    customer_reserve(store, customer, (uint32_t)count);
    for (uint64_t i = 0; i < count; i++) {
        struct habit *habit = &customer->habits[i];
        habit->product = byte_take_upto(in, products);
        habit->last_basket = byte_take_upto(in, UINT32_MAX);
        habit->count = byte_take_float(in);
        habit->weight = byte_take_float(in);
        habit->quantity = byte_take_float(in);
        habit->first_minute = byte_take_upto(in, UINT32_MAX);
        habit->last_minute = byte_take_upto(in, UINT32_MAX);
        habit->views = byte_take_upto(in, UINT32_MAX);
        in->broken |= habit->product == 0 || !isfinite(habit->weight);
    }
    customer->habit_count = (uint32_t)count;
    store->pair_count += count;
    if (!in->broken)
        customer_trim_habits(store, customer);
}

static void load_basket(struct store *store, struct customer *customer, struct byte_reader *in)
{
    uint32_t products[BASKET_KEPT_MAX];
    uint64_t count = byte_take_count(in, 1);

    if (in->broken || count > BASKET_KEPT_MAX) {
        in->broken = true;
        return;
    }
    for (uint64_t i = 0; i < count; i++) {
        products[i] = byte_take_upto(in, customer->market->product_count);
        in->broken |= products[i] == 0;
    }
    customer_set_basket(store, customer, products, (uint32_t)count);
}

static void load_customer(struct store *store, struct market *market, struct byte_reader *in)
{
    struct view id = take_id(in);

    if (in->broken || customer_find(store, market, id) != 0) {
        in->broken = true;
        return;
    }
    struct customer *customer = customer_at(store, customer_create(store, market, id));
    customer->orders = byte_take_upto(in, UINT32_MAX);
    customer->sessions = byte_take_upto(in, UINT32_MAX);
    customer->interactions = byte_take_upto(in, UINT32_MAX);
    customer->repeat_hits = byte_take_float(in);
    customer->repeat_items = byte_take_float(in);
    customer->items = byte_take_float(in);
    customer->spent = byte_take_double(in);
    customer->last_ms = byte_take_svarint(in);
    customer->session_ms = byte_take_svarint(in);
    customer->session_hash = byte_take_u64(in);
    load_habits(store, customer, in);
    load_basket(store, customer, in);
}

/* From the longest silent, so that creating them in this order restores the order. */
static void save_customers(const struct store *store, const struct market *market,
                           struct byte_writer *out)
{
    byte_put_varint(out, market->customer_count);
    for (uint32_t reference = market->oldest; reference != 0;
         reference = customer_at(store, reference)->newer)
        save_customer(customer_at(store, reference), out);
}

static void load_customers(struct store *store, struct market *market, struct byte_reader *in)
{
    uint64_t count = byte_take_count(in, 30);

    for (uint64_t i = 0; i < count && !in->broken; i++)
        load_customer(store, market, in);
}

/* ---- markets ---- */

static void save_totals(const struct market_totals *totals, struct byte_writer *out)
{
    const uint64_t *numbers = (const uint64_t *)totals;

    for (size_t i = 0; i < sizeof *totals / sizeof *numbers; i++)
        byte_put_varint(out, numbers[i]);
}

static void load_totals(struct market_totals *totals, struct byte_reader *in)
{
    uint64_t *numbers = (uint64_t *)totals;

    for (size_t i = 0; i < sizeof *totals / sizeof *numbers; i++)
        numbers[i] = byte_take_varint(in);
}

static void save_market(const struct store *store, const struct market *market,
                        struct byte_writer *out)
{
    byte_put_view(out, view_of(market->kind->name));
    byte_put_u8(out, market->is_pushing);
    byte_put_varint(out, market->activity);
    byte_put_svarint(out, market->zero_ms);
    byte_put_svarint(out, market->latest_ms);
    for (int i = 0; i < HALF_LIFE_COUNT; i++)
        byte_put_float(out, market->most[i]);
    byte_put_svarint(out, market->summary_ms);
    byte_put_u8(out, market->has_news);
    byte_put_u8(
        out, (uint8_t)(market->is_sharing | market->has_share << 1 | market->has_share_news << 2));
    byte_put_svarint(out, market->share_ms);
    save_totals(&market->totals, out);
    save_products(market, out);
    save_customers(store, market, out);
    byte_put_varint(out, market->job_count);
    for (const struct job *job = market->jobs; job != NULL; job = job->next)
        job_save(job, out);
    if (market->kind->save != NULL)
        market->kind->save(market->model, out);
    dedicated_save(market, out);
}

/* What new tenants began with when the state was saved. */
struct presets {
    const struct model_kind *kind; /* NULL: of a name that is no more */
    bool is_pushing;
};

static void save_presets(const struct store *store, struct byte_writer *out)
{
    byte_put_view(out, view_of(model_kinds[store->options.model]->name));
    byte_put_u8(out, store->options.is_pushing);
}

static struct presets load_presets(struct byte_reader *in)
{
    struct view name = byte_take_view(in);
    struct presets presets = {.is_pushing = byte_take_u8(in) != 0};

    if (!view_is_absent(name))
        presets.kind = model_find(name);
    return presets;
}

/* A tenant that is as the configuration had it follows the configuration. */
static void follow_presets(struct store *store, struct market *market,
                           const struct presets *presets)
{
    const struct model_kind *kind = model_kinds[store->options.model];

    if (market->is_pushing == presets->is_pushing)
        market->is_pushing = store->options.is_pushing;
    if (market->kind == presets->kind && market->kind != kind)
        market_select_kind(store, market, kind);
}

static void load_market(struct store *store, struct market *market, const struct presets *presets,
                        struct byte_reader *in)
{
    struct view name = byte_take_view(in);
    const struct model_kind *kind = view_is_absent(name) ? NULL : model_find(name);

    in->broken |= kind == NULL;
    market->is_pushing = byte_take_u8(in) != 0;
    market->activity = byte_take_varint(in);
    market->zero_ms = byte_take_svarint(in);
    market->latest_ms = byte_take_svarint(in);
    for (int i = 0; i < HALF_LIFE_COUNT; i++)
        market->most[i] = byte_take_float(in);
    market->summary_ms = byte_take_svarint(in);
    market->has_news = byte_take_u8(in) != 0;
    uint8_t flags = byte_take_u8(in);
    market->is_sharing = flags & 1;
    market->has_share = flags >> 1 & 1;
    market->has_share_news = flags >> 2 & 1;
    market->share_ms = byte_take_svarint(in);
    load_totals(&market->totals, in);
    if (!in->broken)
        load_products(store, market, in);
    if (!in->broken)
        load_customers(store, market, in);
    uint64_t jobs = byte_take_count(in, 10);
    for (uint64_t i = 0; i < jobs && !in->broken; i++)
        job_load(store, market, in);
    if (in->broken)
        return;
    if (kind != market->kind)
        market_select_kind(store, market, kind);
    if (kind->load != NULL)
        kind->load(market->model, store, market, in);
    if (!in->broken)
        dedicated_load(store, market, in);
    if (!in->broken)
        follow_presets(store, market, presets);
}

/* ---- the store ---- */

/* Markets keep their places: turns and summaries go by them. */
static void save_markets(const struct store *store, struct byte_writer *out)
{
    save_presets(store, out);
    byte_put_varint(out, store->market_count);
    for (uint32_t i = 0; i < store->market_count; i++) {
        const struct market *market = store->markets[i];
        byte_put_view(out, market != NULL ? market->id : (struct view){NULL, 0});
        if (market != NULL)
            save_market(store, market, out);
    }
}

static void load_markets(struct store *store, struct byte_reader *in)
{
    const struct presets presets = load_presets(in);
    uint64_t count = byte_take_count(in, 1);

    for (uint64_t i = 0; i < count && !in->broken; i++) {
        struct view id = byte_take_view(in);
        if (view_is_absent(id)) {
            store_skip_place(store);
            continue;
        }
        if (market_find(store, id) != NULL) {
            in->broken = true;
            return;
        }
        load_market(store, market_create(store, id), &presets, in);
    }
}

static void save_ring(const struct store *store, struct byte_writer *out)
{
    const struct market *market = store->busy;
    uint32_t count = 0;

    for (; market != NULL && (count == 0 || market != store->busy); market = market->busy_next)
        count++;
    byte_put_varint(out, count);
    for (uint32_t i = 0; i < count; i++, market = market->busy_next)
        byte_put_varint(out, market->index);
}

static void load_ring(struct store *store, struct byte_reader *in)
{
    struct market *first = NULL, *last = NULL;
    uint64_t count = byte_take_count(in, 1), busy_count = 0;

    for (uint32_t i = 0; i < store->market_count; i++) {
        struct market *market = store->markets[i];
        busy_count += market != NULL && market->jobs != NULL;
        if (market != NULL)
            market->busy_next = NULL;
    }
    store->busy = NULL;
    in->broken |= count != busy_count;
    for (uint64_t i = 0; i < count && !in->broken; i++) {
        uint32_t index = byte_take_upto(in, store->market_count - 1);
        struct market *market = store->markets[index];
        if (market == NULL || market->jobs == NULL || market->busy_next != NULL || market == last) {
            in->broken = true;
            return;
        }
        if (last != NULL)
            last->busy_next = market;
        else
            first = market;
        market->busy_next = first;
        last = market;
        store->busy = first;
    }
}

void recommend_save(const struct recommend *recommend, struct byte_writer *out)
{
    const struct store *store = &recommend->store;
    const uint64_t totals[] = {
        recommend->totals.orders,
        recommend->totals.interactions,
        recommend->totals.recommendations,
        recommend->totals.by_strategy[STRATEGY_PERSONAL],
        recommend->totals.by_strategy[STRATEGY_ITEM_ITEM],
        recommend->totals.by_strategy[STRATEGY_POPULAR_TENANT],
        recommend->totals.by_strategy[STRATEGY_POPULAR_ALL],
        recommend->totals.jobs_submitted,
        recommend->totals.jobs_completed,
        recommend->totals.jobs_failed,
        recommend->totals.jobs_cancelled,
        store->sequence,
        store->customers_evicted,
        store->products_evicted,
        store->markets_evicted,
        recommend->summary_at,
        store->model_turn,
        recommend->share_at,
        recommend->dedicated_at,
    };

    byte_put_u32(out, SAVED_MAGIC);
    byte_put_u16(out, SAVED_VERSION);
    byte_put_svarint(out, recommend->now_ms);
    for (size_t i = 0; i < sizeof totals / sizeof totals[0]; i++)
        byte_put_varint(out, totals[i]);
    save_markets(store, out);
    save_ring(store, out);
    shared_save(&recommend->shared, out);
}

static void load_all(struct recommend *recommend, struct byte_reader *in)
{
    struct store *store = &recommend->store;
    uint64_t summary_at = 0, model_turn = 0, share_at = 0, dedicated_at = 0;
    uint64_t *const totals[] = {
        &recommend->totals.orders,
        &recommend->totals.interactions,
        &recommend->totals.recommendations,
        &recommend->totals.by_strategy[STRATEGY_PERSONAL],
        &recommend->totals.by_strategy[STRATEGY_ITEM_ITEM],
        &recommend->totals.by_strategy[STRATEGY_POPULAR_TENANT],
        &recommend->totals.by_strategy[STRATEGY_POPULAR_ALL],
        &recommend->totals.jobs_submitted,
        &recommend->totals.jobs_completed,
        &recommend->totals.jobs_failed,
        &recommend->totals.jobs_cancelled,
        &store->sequence,
        &store->customers_evicted,
        &store->products_evicted,
        &store->markets_evicted,
        &summary_at,
        &model_turn,
        &share_at,
        &dedicated_at,
    };

    recommend->now_ms = byte_take_svarint(in);
    for (size_t i = 0; i < sizeof totals / sizeof totals[0]; i++)
        *totals[i] = byte_take_varint(in);
    recommend->summary_at = (uint32_t)summary_at;
    store->model_turn = (uint32_t)model_turn;
    recommend->share_at = (uint32_t)share_at;
    recommend->dedicated_at = (uint32_t)dedicated_at;
    load_markets(store, in);
    store->skipped_count = 0;
    if (!in->broken)
        load_ring(store, in);
    if (!in->broken)
        shared_load(&recommend->shared, store, in);
}

struct recommend *recommend_load(const struct recommend_options *options, struct byte_reader *in,
                                 struct failure *failure)
{
    uint32_t magic = byte_take_u32(in);
    uint16_t version = byte_take_u16(in);

    if (in->broken || magic != SAVED_MAGIC) {
        failure_set(failure, REMEDY_STOP, "recommend: these bytes are no saved state");
        return NULL;
    }
    if (version != SAVED_VERSION) {
        failure_set(failure, REMEDY_STOP,
                    "recommend: saved by version %u of the format; this program reads %d", version,
                    SAVED_VERSION);
        return NULL;
    }
    struct recommend *recommend = recommend_open(options);
    load_all(recommend, in);
    if (in->broken) {
        recommend_close(recommend);
        failure_set(failure, REMEDY_STOP, "recommend: the saved state is damaged");
        return NULL;
    }
    return recommend;
}

uint64_t recommend_digest(const struct recommend *recommend)
{
    struct byte_writer out;

    byte_writer_init(&out);
    recommend_save(recommend, &out);
    uint64_t digest = hash_bytes(out.data, out.size, 0);
    byte_writer_free(&out);
    return digest;
}
