/*
 * Baskets like this customer's: vector-multiplication session kNN (Kersbergen, Sprangers
 * and Schelter, "Serenade", SIGMOD 2022), over baskets instead of clicks.
 *
 *   what the customer is fond of ──► the newest baskets with it ──► the most similar
 *     ──► what else is in them, the rarer the better
 *
 * The similarity of a basket is the sum of the fondness for what it shares with the
 * customer. What the customer buys itself counts as much as what its neighbours do (Hu et
 * al., "Modeling Personalized Item Frequency Information", 2020).
 *
 * Baskets stand in a ring, the newest over the oldest; a product knows the newest that it
 * is in.
 */
#include <assert.h>
#include <string.h>

#include "recommend/choose.h"
#include "recommend/model.h"

enum {
    BASKETS = 8192,        /* remembered; a power of two */
    BASKET_PRODUCTS = 32,  /* of each */
    PRODUCT_BASKETS = 128, /* a product knows so many, the newest */
    NEIGHBOURS = 100,      /* baskets that speak for a list */
    BASKETS_MET_MAX = SOURCES_MAX * PRODUCT_BASKETS,
    BASKETS_LEAST = 64,
};

struct basket_row {
    uint32_t count;
    uint32_t products[BASKET_PRODUCTS];
};

/* Numbers of baskets count up for ever; the place in the ring is the number modulo it. */
struct product_row {
    uint32_t next; /* place to write */
    uint32_t count;
    uint32_t baskets[PRODUCT_BASKETS];
};

struct knn {
    struct store *store;
    struct market *market;
    struct basket_row *baskets;
    uint32_t basket_capacity; /* grows to BASKETS by doubling, before the ring turns */
    uint32_t basket_number;   /* of the next one */
    struct product_row **products;
    uint32_t product_capacity;
    float *similarity; /* by place; zero between lists */
    uint32_t *met;
    float *values;
};

/* ---- memory ---- */

static void *open_model(struct store *store, struct market *market)
{
    struct knn *knn = market_take(store, market, sizeof *knn);

    *knn = (struct knn){.store = store, .market = market};
    knn->similarity = market_take(store, market, BASKETS * sizeof *knn->similarity);
    memset(knn->similarity, 0, BASKETS * sizeof *knn->similarity);
    knn->met = market_take(store, market, BASKETS_MET_MAX * sizeof *knn->met);
    knn->values = market_take(store, market, BASKETS_MET_MAX * sizeof *knn->values);
    return knn;
}

static void drop_product(struct knn *knn, uint32_t number)
{
    market_give(knn->store, knn->market, knn->products[number], sizeof(struct product_row));
    knn->products[number] = NULL;
}

static void close_model(void *model, struct store *store, struct market *market)
{
    struct knn *knn = model;

    for (uint32_t number = 0; number < knn->product_capacity; number++)
        if (knn->products[number] != NULL)
            drop_product(knn, number);
    market_give(store, market, knn->products, knn->product_capacity * sizeof *knn->products);
    market_give(store, market, knn->baskets, knn->basket_capacity * sizeof *knn->baskets);
    market_give(store, market, knn->similarity, BASKETS * sizeof *knn->similarity);
    market_give(store, market, knn->met, BASKETS_MET_MAX * sizeof *knn->met);
    market_give(store, market, knn->values, BASKETS_MET_MAX * sizeof *knn->values);
    market_give(store, market, knn, sizeof *knn);
}

/* To the capacity of the market, so that it follows from what is saved. */
static void resize_products(struct knn *knn, uint32_t capacity)
{
    uint32_t kept = capacity < knn->product_capacity ? capacity : knn->product_capacity;
    size_t bytes = capacity * sizeof *knn->products;

    if (capacity == knn->product_capacity)
        return;
    struct product_row **products = market_take(knn->store, knn->market, bytes);
    memset(products, 0, bytes);
    if (kept > 0)
        memcpy(products, knn->products, kept * sizeof *products);
    market_give(knn->store, knn->market, knn->products,
                knn->product_capacity * sizeof *knn->products);
    knn->products = products;
    knn->product_capacity = capacity;
}

static void fit_baskets(struct knn *knn, uint32_t count)
{
    uint32_t capacity = knn->basket_capacity == 0 ? BASKETS_LEAST : knn->basket_capacity;

    while (capacity < count && capacity < BASKETS)
        capacity *= 2;
    if (capacity == knn->basket_capacity)
        return;
    struct basket_row *baskets = market_take(knn->store, knn->market, capacity * sizeof *baskets);
    if (knn->basket_capacity > 0)
        memcpy(baskets, knn->baskets, knn->basket_capacity * sizeof *baskets);
    market_give(knn->store, knn->market, knn->baskets, knn->basket_capacity * sizeof *knn->baskets);
    knn->baskets = baskets;
    knn->basket_capacity = capacity;
}

/* ---- learning ---- */

static void remember(struct knn *knn, uint32_t product, uint32_t basket)
{
    if (knn->products[product] == NULL) {
        knn->products[product] = market_take(knn->store, knn->market, sizeof(struct product_row));
        memset(knn->products[product], 0, sizeof(struct product_row));
    }
    struct product_row *row = knn->products[product];
    row->baskets[row->next] = basket;
    row->next = (row->next + 1) % PRODUCT_BASKETS;
    row->count += row->count < PRODUCT_BASKETS;
}

static void learn(void *model, struct store *store, const struct lesson *lesson,
                  struct ranking *ranking)
{
    struct knn *knn = model;
    uint32_t number = knn->basket_number++;

    (void)store, (void)ranking;
    resize_products(knn, lesson->market->product_capacity);
    fit_baskets(knn, knn->basket_number);
    struct basket_row *row = &knn->baskets[number % BASKETS];
    row->count = lesson->product_count < BASKET_PRODUCTS ? lesson->product_count : BASKET_PRODUCTS;
    for (uint32_t i = 0; i < row->count; i++) {
        row->products[i] = lesson->products[i];
        remember(knn, row->products[i], number);
    }
}

/* ---- lists ---- */

/* The places of baskets that share something with the customer; *count of them. */
static void meet_baskets(const struct knn *knn, const struct ranking *ranking, uint32_t *count)
{
    *count = 0;
    for (uint32_t i = 0; i < ranking->source_count; i++) {
        const struct source *source = &ranking->sources[i];
        float weight = source->fondness + (ranking->context_count > 0 ? source->is_last : 0);
        if (source->product >= knn->product_capacity || weight <= 0 ||
            knn->products[source->product] == NULL)
            continue;
        const struct product_row *row = knn->products[source->product];
        for (uint32_t k = 0; k < row->count; k++) {
            uint32_t place = row->baskets[k] % BASKETS;
            if (knn->basket_number - row->baskets[k] > BASKETS)
                continue;
            if (knn->similarity[place] == 0 && *count < BASKETS_MET_MAX)
                knn->met[(*count)++] = place;
            knn->similarity[place] += weight;
        }
    }
}

static void suggest(const void *model, struct ranking *ranking)
{
    const struct knn *knn = model;
    float limit = 0, orders = (float)(knn->basket_number + 1);
    uint32_t count;

    meet_baskets(knn, ranking, &count);
    for (uint32_t i = 0; i < count; i++)
        knn->values[i] = knn->similarity[knn->met[i]];
    if (count > NEIGHBOURS)
        limit = choose_nth(knn->values, count, count - NEIGHBOURS);
    for (uint32_t i = 0; i < count; i++) {
        const struct basket_row *row = &knn->baskets[knn->met[i]];
        float similarity = knn->similarity[knn->met[i]];
        knn->similarity[knn->met[i]] = 0;
        for (uint32_t k = 0; similarity >= limit && k < row->count; k++) {
            float rarity = quick_log(
                1.0f + orders / (1.0f + ranking->market->products[row->products[k]].orders));
            ((float *)&ranking->signals[row->products[k]])[SIGNAL_EXTRA] += similarity * rarity;
        }
    }
}

static void score(const void *model, struct ranking *ranking, bool is_fresh_only)
{
    (void)model, (void)is_fresh_only;
    for (uint32_t i = 0; i < ranking->count; i++) {
        const struct facts *facts = &ranking->facts[i];
        ranking->scores[i] = facts->fondness + facts->extra + .01f * facts->part_14;
    }
}

/* ---- renumbering, saving ---- */

static void renumber(void *model, const uint32_t *numbers, uint32_t count)
{
    struct knn *knn = model;
    uint32_t baskets =
        knn->basket_number < knn->basket_capacity ? knn->basket_number : knn->basket_capacity;

    for (uint32_t number = 1; number <= count && number < knn->product_capacity; number++) {
        struct product_row *row = knn->products[number];
        if (row == NULL || numbers[number] == number)
            continue;
        if (numbers[number] == 0) {
            drop_product(knn, number);
            continue;
        }
        /* Numbers only go down, so nothing that is still needed is overwritten. */
        knn->products[number] = NULL;
        knn->products[numbers[number]] = row;
    }
    if (knn->product_capacity > 0)
        resize_products(knn, knn->market->product_capacity);
    for (uint32_t i = 0; i < baskets; i++) {
        struct basket_row *row = &knn->baskets[i];
        uint32_t kept = 0;
        for (uint32_t k = 0; k < row->count; k++)
            if (numbers[row->products[k]] != 0)
                row->products[kept++] = numbers[row->products[k]];
        row->count = kept;
    }
}

static void save(const void *model, struct byte_writer *out)
{
    const struct knn *knn = model;
    uint32_t baskets =
        knn->basket_number < knn->basket_capacity ? knn->basket_number : knn->basket_capacity;

    byte_put_varint(out, knn->basket_number);
    for (uint32_t i = 0; i < baskets; i++) {
        byte_put_varint(out, knn->baskets[i].count);
        for (uint32_t k = 0; k < knn->baskets[i].count; k++)
            byte_put_varint(out, knn->baskets[i].products[k]);
    }
    byte_put_varint(out, knn->product_capacity);
    for (uint32_t number = 0; number < knn->product_capacity; number++) {
        const struct product_row *row = knn->products[number];
        byte_put_varint(out, row != NULL ? row->count : 0);
        if (row == NULL)
            continue;
        byte_put_varint(out, row->next);
        for (uint32_t k = 0; k < row->count; k++)
            byte_put_varint(out, row->baskets[k]);
    }
}

static void load_baskets(struct knn *knn, struct byte_reader *in)
{
    knn->basket_number = byte_take_upto(in, UINT32_MAX - 1);
    uint32_t baskets = knn->basket_number < BASKETS ? knn->basket_number : BASKETS;

    in->broken |= byte_reader_left(in) < baskets;
    if (in->broken || baskets == 0)
        return;
    fit_baskets(knn, baskets);
    for (uint32_t i = 0; i < baskets; i++) {
        struct basket_row *row = &knn->baskets[i];
        row->count = byte_take_upto(in, BASKET_PRODUCTS);
        for (uint32_t k = 0; k < row->count; k++) {
            row->products[k] = byte_take_upto(in, knn->market->product_count);
            in->broken |= row->products[k] == 0;
        }
    }
}

static void load(void *model, struct store *store, struct market *market, struct byte_reader *in)
{
    struct knn *knn = model;

    (void)store;
    load_baskets(knn, in);
    uint32_t capacity = byte_take_upto(in, market->product_capacity);
    if (in->broken)
        return;
    if (capacity > 0)
        resize_products(knn, capacity);
    for (uint32_t number = 0; number < capacity && !in->broken; number++) {
        uint32_t count = byte_take_upto(in, PRODUCT_BASKETS);
        if (count == 0)
            continue;
        in->broken |= number == 0 || number > market->product_count || knn->basket_number == 0;
        struct product_row *row = market_take(knn->store, knn->market, sizeof *row);
        memset(row, 0, sizeof *row);
        knn->products[number] = row;
        row->count = count;
        row->next = byte_take_upto(in, PRODUCT_BASKETS - 1);
        for (uint32_t k = 0; k < count; k++)
            row->baskets[k] = byte_take_upto(in, knn->basket_number - 1);
    }
}

const struct model_kind model_knn = {
    .name = "knn",
    .version = "1",
    .strategy = STRATEGY_PERSONAL,
    .needs_neighbours = true,
    .needs_facts = true,
    .open = open_model,
    .close = close_model,
    .suggest = suggest,
    .score = score,
    .learn = learn,
    .renumber = renumber,
    .save = save,
    .load = load,
};
