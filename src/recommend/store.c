/* All markets together: finding them, and keeping them within the budget. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "recommend/dedicated.h"
#include "recommend/job.h"
#include "recommend/market.h"
#include "recommend/model.h"

enum {
    CUSTOMER_BYTES = (sizeof(struct customer) + 15) & ~15,
    MARKETS_LEAST = 16,
    /* A market below this is no longer worth thinning out. */
    THIN_BYTES = 64 * 1024,
    /* One in so many goes at a time: a trim is a walk, so it should last. */
    CUSTOMER_SHARE = 32,
    PRODUCT_SHARE = 8,
};

void store_open(struct store *store, const struct recommend_options *options)
{
    *store = (struct store){.options = *options, .bucket_max = 1};
    while (store->bucket_max * 2 * NEIGHBOUR_BUCKET <= options->neighbours_max)
        store->bucket_max *= 2;
    blocks_open(&store->blocks);
    slab_open(&store->customers, CUSTOMER_BYTES);
    table_open(&store->customer_table);
    table_open(&store->market_table);
}

void store_close(struct store *store)
{
    for (uint32_t i = 0; i < store->market_count; i++)
        if (store->markets[i] != NULL)
            market_destroy(store, store->markets[i]);
    free(store->markets);
    table_close(&store->market_table);
    table_close(&store->customer_table);
    slab_close(&store->customers);
    blocks_close(&store->blocks);
}

/* ---- memory ---- */

void *market_take(struct store *store, struct market *market, size_t bytes)
{
    size_t rounded = blocks_round(bytes);

    market->bytes += rounded;
    store->bytes += rounded;
    return blocks_take(&store->blocks, bytes);
}

void market_give(struct store *store, struct market *market, void *run, size_t bytes)
{
    if (run == NULL)
        return;
    size_t rounded = blocks_round(bytes);
    market->bytes -= rounded;
    store->bytes -= rounded;
    blocks_give(&store->blocks, run, bytes);
}

/* ---- markets ---- */

struct market *market_find(const struct store *store, struct view id)
{
    uint32_t hash = (uint32_t)hash_view(id, 0);
    uint32_t at, reference;

    for (reference = table_first(&store->market_table, hash, &at); reference != 0;
         reference = table_next(&store->market_table, hash, &at)) {
        struct market *market = store->markets[reference - 1];
        if (view_is_equal(market->id, id))
            return market;
    }
    return NULL;
}

static uint32_t add_place(struct store *store)
{
    if (store->market_count == store->market_capacity) {
        store->market_capacity =
            store->market_capacity == 0 ? MARKETS_LEAST : store->market_capacity * 2;
        store->markets = realloc(store->markets, store->market_capacity * sizeof(struct market *));
        assert(store->markets != NULL);
    }
    store->markets[store->market_count] = NULL;
    return store->market_count++;
}

static uint32_t take_place(struct store *store)
{
    if (store->live_count < store->market_count - store->skipped_count)
        for (uint32_t i = 0; i < store->market_count; i++)
            if (store->markets[i] == NULL)
                return i;
    return add_place(store);
}

void store_skip_place(struct store *store)
{
    add_place(store);
    store->skipped_count++;
}

struct market *market_create(struct store *store, struct view id)
{
    struct market *market = calloc(1, sizeof *market);

    assert(market != NULL);
    market->bytes = sizeof *market;
    store->bytes += sizeof *market;
    market->zero_ms = market->latest_ms = INT64_MIN;
    table_open(&market->product_table);
    char *text = market_take(store, market, (size_t)id.size + 1);
    memcpy(text, id.data, id.size);
    market->id = (struct view){text, id.size};
    market->hash = (uint32_t)hash_view(id, 0);
    market->index = take_place(store);
    store->markets[market->index] = market;
    store->live_count++;
    table_put(&store->market_table, market->hash, market->index + 1);
    market_select_kind(store, market, model_kinds[store->options.model]);
    market->is_pushing = store->options.is_pushing;
    return market;
}

void market_destroy(struct store *store, struct market *market)
{
    while (market->oldest != 0)
        customer_destroy(store, market->oldest);
    market_drop_jobs(store, market);
    dedicated_close(store, market);
    market_select_kind(store, market, NULL);
    for (uint32_t number = 1; number <= market->product_count; number++)
        product_free(store, market, number);
    market_give(store, market, market->products, market->product_capacity * sizeof(struct product));
    market_give(store, market, market->scales,
                market->product_capacity * sizeof(struct product_scale));
    table_close(&market->product_table);
    table_remove(&store->market_table, market->hash, market->index + 1);
    store->markets[market->index] = NULL;
    store->live_count--;
    market_give(store, market, (void *)(uintptr_t)market->id.data, (size_t)market->id.size + 1);
    store->bytes -= market->bytes;
    free(market);
}

/* ---- the budget ---- */

static struct market *largest(const struct store *store)
{
    struct market *found = NULL;

    for (uint32_t i = 0; i < store->market_count; i++) {
        struct market *market = store->markets[i];
        if (market != NULL && (found == NULL || market->bytes > found->bytes))
            found = market;
    }
    return found;
}

static struct market *longest_silent(const struct store *store, const struct market *keep)
{
    struct market *found = NULL;

    for (uint32_t i = 0; i < store->market_count; i++) {
        struct market *market = store->markets[i];
        if (market != NULL && market != keep && market->jobs == NULL &&
            !dedicated_has_request(market) && (found == NULL || market->activity < found->activity))
            found = market;
    }
    return found;
}

/* True when something went. */
static bool thin_out(struct store *store, struct market *market, uint32_t keep_customer)
{
    uint32_t count = market->customer_count / CUSTOMER_SHARE + 1;
    bool has_shrunk = false;

    while (count-- > 0 && market->oldest != 0 && market->oldest != keep_customer) {
        customer_destroy(store, market->oldest);
        store->customers_evicted++;
        has_shrunk = true;
    }
    if (!has_shrunk && market->product_count >= PRODUCT_SHARE) {
        product_drop_oldest(store, market, market->product_count / PRODUCT_SHARE);
        has_shrunk = true;
    }
    return has_shrunk || dedicated_drop_orders(store, market);
}

void store_trim(struct store *store, struct market *grown, uint32_t keep_customer)
{
    size_t tenant_bytes_max = (size_t)store->options.tenant_bytes_max;

    while (grown != NULL && grown->bytes > tenant_bytes_max)
        if (!thin_out(store, grown, keep_customer))
            break;
    while (store->bytes > store->options.bytes_max) {
        struct market *market = largest(store);
        if (market != NULL && market->bytes > THIN_BYTES && thin_out(store, market, keep_customer))
            continue;
        market = longest_silent(store, grown);
        if (market == NULL)
            return;
        market_destroy(store, market);
        store->markets_evicted++;
    }
}
