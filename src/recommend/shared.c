#include "recommend/shared.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

enum {
    SUMMARIES_LEAST = 16,
    BUDGET_SHARE = 16,
    LIST_WAIT_MS = 10 * 1000,      /* between two lists, when summaries come */
    LIST_AGE_MAX_MS = 3600 * 1000, /* as they fade, when none come */
};

#define FORTNIGHT_MS (14 * 86400000.0)

/* Purchases that a tenant must have for half a say. */
static const float half_say = 50.0f;

struct summary_item {
    struct view id;
    float count; /* as of time_ms */
};

/* One run with the items and the texts. */
struct summary {
    size_t bytes;
    struct view tenant_id;
    uint32_t hash; /* of tenant_id */
    uint32_t item_count;
    int64_t time_ms;
    struct summary_item items[];
};

void shared_open(struct shared *shared)
{
    *shared = (struct shared){.built_ms = INT64_MIN};
    byte_writer_init(&shared->texts);
}

static void drop(struct shared *shared, struct store *store, uint32_t index)
{
    struct summary *summary = shared->summaries[index];

    shared->bytes -= blocks_round(summary->bytes);
    store->bytes -= blocks_round(summary->bytes);
    blocks_give(&store->blocks, summary, summary->bytes);
    shared->summary_count--;
    memmove(&shared->summaries[index], &shared->summaries[index + 1],
            (shared->summary_count - index) * sizeof *shared->summaries);
    shared->is_stale = true;
}

void shared_close(struct shared *shared, struct store *store)
{
    while (shared->summary_count > 0)
        drop(shared, store, shared->summary_count - 1);
    free(shared->summaries);
    byte_writer_free(&shared->texts);
}

/* ---- summaries that come ---- */

static size_t bytes_of(struct view tenant_id, const struct popular_item *items, uint32_t count)
{
    size_t bytes = sizeof(struct summary) + count * sizeof(struct summary_item) + tenant_id.size;

    for (uint32_t i = 0; i < count; i++)
        bytes += items[i].product_id.size;
    return bytes;
}

static struct view keep_text(char **at, struct view text)
{
    struct view kept = {*at, text.size};

    memcpy(*at, text.data, text.size);
    *at += text.size;
    return kept;
}

static void add(struct shared *shared, struct store *store, struct view tenant_id, int64_t time_ms,
                const struct popular_item *items, uint32_t count)
{
    size_t bytes = bytes_of(tenant_id, items, count);
    struct summary *summary = blocks_take(&store->blocks, bytes);
    char *text = (char *)&summary->items[count];

    shared->bytes += blocks_round(bytes);
    store->bytes += blocks_round(bytes);
    summary->bytes = bytes;
    summary->tenant_id = keep_text(&text, tenant_id);
    summary->hash = (uint32_t)hash_view(tenant_id, 0);
    summary->item_count = count;
    summary->time_ms = time_ms;
    for (uint32_t i = 0; i < count; i++)
        summary->items[i] = (struct summary_item){
            .id = keep_text(&text, items[i].product_id),
            .count = (float)items[i].count,
        };
    if (shared->summary_count == shared->summary_capacity) {
        shared->summary_capacity =
            shared->summary_capacity == 0 ? SUMMARIES_LEAST : 2 * shared->summary_capacity;
        shared->summaries =
            realloc(shared->summaries, shared->summary_capacity * sizeof *shared->summaries);
        assert(shared->summaries != NULL);
    }
    shared->summaries[shared->summary_count++] = summary;
    shared->is_stale = true;
}

static uint32_t find(const struct shared *shared, struct view tenant_id)
{
    uint32_t hash = (uint32_t)hash_view(tenant_id, 0), index = 0;

    while (index < shared->summary_count &&
           (shared->summaries[index]->hash != hash ||
            !view_is_equal(shared->summaries[index]->tenant_id, tenant_id)))
        index++;
    return index;
}

void shared_take(struct shared *shared, struct store *store, const struct result *result)
{
    const struct popularity *popularity = &result->popularity;
    uint32_t count = popularity->items.count, index = find(shared, result->tenant_id);
    bool is_known = index < shared->summary_count;

    if (is_known && shared->summaries[index]->time_ms > popularity->event_time_ms && count > 0)
        return;
    if (is_known)
        drop(shared, store, index);
    if (count > SHARED_PRODUCTS_MAX)
        count = SHARED_PRODUCTS_MAX;
    /* What a tenant takes back is shown no longer than it must. */
    if (count == 0)
        shared->built_ms = INT64_MIN;
    else
        add(shared, store, result->tenant_id, popularity->event_time_ms, popularity->items.at,
            count);
    while (shared->summary_count > 0 && (shared->summary_count > SHARED_TENANTS_MAX ||
                                         shared->bytes > store->options.bytes_max / BUDGET_SHARE))
        drop(shared, store, 0);
}

/* ---- the list ---- */

struct tally {
    struct shared_product *products;
    uint32_t count;
    struct table table; /* index + 1 */
};

static struct shared_product *place_of(struct tally *tally, struct view id)
{
    uint32_t hash = (uint32_t)hash_view(id, 0);
    uint32_t at, reference;

    for (reference = table_first(&tally->table, hash, &at); reference != 0;
         reference = table_next(&tally->table, hash, &at))
        if (view_is_equal(tally->products[reference - 1].id, id))
            return &tally->products[reference - 1];
    table_put(&tally->table, hash, ++tally->count);
    tally->products[tally->count - 1] = (struct shared_product){id, 0};
    return &tally->products[tally->count - 1];
}

static void count_summary(struct tally *tally, const struct summary *summary, int64_t now_ms)
{
    double age_ms = (double)now_ms - (double)summary->time_ms;
    float fade = exp2f((float)(-(age_ms > 0 ? age_ms : 0) / FORTNIGHT_MS));
    float sum = 0;

    for (uint32_t i = 0; i < summary->item_count; i++)
        sum += summary->items[i].count * fade;
    for (uint32_t i = 0; i < summary->item_count; i++)
        place_of(tally, summary->items[i].id)->score +=
            summary->items[i].count * fade / (sum + half_say);
}

/* The best first; among equals the one that came first. */
static void offer(struct shared *shared, const struct shared_product *product)
{
    uint32_t count = shared->product_count;

    if (count == SHARED_PRODUCTS_MAX && !(product->score > shared->products[count - 1].score))
        return;
    uint32_t at = count < SHARED_PRODUCTS_MAX ? shared->product_count++ : count - 1;
    for (; at > 0 && product->score > shared->products[at - 1].score; at--)
        shared->products[at] = shared->products[at - 1];
    shared->products[at] = *product;
}

/* The list outlives the summaries that it was made from. */
static void keep_texts(struct shared *shared)
{
    size_t bytes = 0;

    for (uint32_t i = 0; i < shared->product_count; i++)
        bytes += shared->products[i].id.size;
    byte_writer_reset(&shared->texts);
    char *text = byte_writer_reserve(&shared->texts, bytes + 1);
    for (uint32_t i = 0; i < shared->product_count; i++)
        shared->products[i].id = keep_text(&text, shared->products[i].id);
}

static void build(struct shared *shared, int64_t now_ms)
{
    struct tally tally = {0};
    size_t item_count = 0;

    for (uint32_t i = 0; i < shared->summary_count; i++)
        item_count += shared->summaries[i]->item_count;
    tally.products = malloc((item_count + 1) * sizeof *tally.products);
    assert(tally.products != NULL);
    table_open(&tally.table);
    for (uint32_t i = 0; i < shared->summary_count; i++)
        count_summary(&tally, shared->summaries[i], now_ms);
    shared->product_count = 0;
    for (uint32_t i = 0; i < tally.count; i++) {
        tally.products[i].score /= (float)shared->summary_count;
        offer(shared, &tally.products[i]);
    }
    keep_texts(shared);
    table_close(&tally.table);
    free(tally.products);
    shared->built_ms = now_ms;
    shared->is_stale = false;
}

void shared_tick(struct shared *shared, int64_t now_ms)
{
    int64_t wait_ms = shared->is_stale ? LIST_WAIT_MS : LIST_AGE_MAX_MS;

    if (shared->summary_count == 0 && shared->product_count == 0)
        return;
    if (shared->built_ms == INT64_MIN || now_ms - shared->built_ms >= wait_ms)
        build(shared, now_ms);
}

/* ---- a summary that goes ---- */

static int compare_items(const void *a, const void *b)
{
    const struct popular_item *left = a, *right = b;

    if (left->count != right->count)
        return left->count > right->count ? -1 : 1;
    return view_compare(left->product_id, right->product_id);
}

static struct record_list list_items(const struct market *market, int64_t now_ms,
                                     struct arena *arena)
{
    struct popular_item *items = arena_alloc(arena, TOP_PRODUCTS_MAX * sizeof *items);
    float fade[HALF_LIFE_COUNT];
    uint32_t count = 0;

    _Static_assert((int)TOP_PRODUCTS_MAX <= (int)SHARED_PRODUCTS_MAX, "all of them are told");
    market_fade(market, now_ms, fade);
    for (uint32_t i = 0; i < market->top_counts[1]; i++) {
        const struct product *product = &market->products[market->tops[1][i]];
        double popularity = (double)(product->popularity[HALF_LIFE_14] * fade[HALF_LIFE_14]);
        if (!product->is_blocked && product->orders > 0 && popularity > 0)
            items[count++] = (struct popular_item){3, product->id, popularity};
    }
    qsort(items, count, sizeof *items, compare_items);
    return (struct record_list){items, count};
}

void shared_publish(const struct market *market, int64_t now_ms, bool is_withdrawn,
                    struct outbox *outbox)
{
    struct arena *arena = outbox_scratch(outbox);
    uint64_t high = hash_mix(hash_view(market->id, 11), (uint64_t)now_ms);
    uint64_t low = hash_mix(hash_view(market->id, 12), (uint64_t)now_ms);
    struct result result = {.kind = RESULT_POPULARITY, .tenant_id = market->id};

    assert(top_half_life[1] == HALF_LIFE_14);
    result.id = view_of(arena_print(arena, "pop-%016llx%016llx", (unsigned long long)high,
                                    (unsigned long long)low));
    result.popularity.event_time_ms = now_ms;
    if (!is_withdrawn)
        result.popularity.items = list_items(market, now_ms, arena);
    result_mark(&result, NULL);
    outbox_add(outbox, &result);
}

/* ---- saving ---- */

/* Of a tenant or a product: never empty. */
static struct view take_id(struct byte_reader *in)
{
    struct view id = byte_take_view(in);

    in->broken |= id.size == 0;
    return id;
}

static void save_summary(const struct summary *summary, struct byte_writer *out)
{
    byte_put_view(out, summary->tenant_id);
    byte_put_svarint(out, summary->time_ms);
    byte_put_varint(out, summary->item_count);
    for (uint32_t i = 0; i < summary->item_count; i++) {
        byte_put_view(out, summary->items[i].id);
        byte_put_float(out, summary->items[i].count);
    }
}

void shared_save(const struct shared *shared, struct byte_writer *out)
{
    byte_put_varint(out, shared->summary_count);
    for (uint32_t i = 0; i < shared->summary_count; i++)
        save_summary(shared->summaries[i], out);
    byte_put_u8(out, shared->is_stale);
    byte_put_svarint(out, shared->built_ms);
    byte_put_varint(out, shared->product_count);
    for (uint32_t i = 0; i < shared->product_count; i++) {
        byte_put_view(out, shared->products[i].id);
        byte_put_float(out, shared->products[i].score);
    }
}

static void load_summary(struct shared *shared, struct store *store, struct byte_reader *in)
{
    struct popular_item items[SHARED_PRODUCTS_MAX];
    struct view tenant_id = take_id(in);
    int64_t time_ms = byte_take_svarint(in);
    uint64_t count = byte_take_count(in, 5);

    if (in->broken || count == 0 || count > SHARED_PRODUCTS_MAX ||
        find(shared, tenant_id) < shared->summary_count) {
        in->broken = true;
        return;
    }
    for (uint64_t i = 0; i < count; i++) {
        items[i].product_id = take_id(in);
        items[i].count = (double)byte_take_float(in);
    }
    if (!in->broken)
        add(shared, store, tenant_id, time_ms, items, (uint32_t)count);
}

void shared_load(struct shared *shared, struct store *store, struct byte_reader *in)
{
    uint64_t summary_count = byte_take_count(in, 8);

    for (uint64_t i = 0; i < summary_count && !in->broken; i++)
        load_summary(shared, store, in);
    shared->is_stale = byte_take_u8(in) != 0;
    shared->built_ms = byte_take_svarint(in);
    uint64_t product_count = byte_take_count(in, 6);
    in->broken |= product_count > SHARED_PRODUCTS_MAX;
    for (uint64_t i = 0; i < product_count && !in->broken; i++) {
        struct view id = take_id(in);
        shared->products[shared->product_count++] =
            (struct shared_product){id, byte_take_float(in)};
    }
    if (in->broken)
        shared->product_count = 0;
    keep_texts(shared);
}
