/*
 * Matrix factorisation, a step at each order. A product is two vectors: what it says of who
 * bought it (`from`) and what speaks for it (`to`); a customer is the mean of `from` over
 * what it is fond of, so there is nothing to keep, evict or forget of a customer
 * (asymmetric factors: Paterek 2007; Kabbur et al., "FISM", 2013).
 *
 *   score(customer, product) = customer . to(product) + bias(product)
 *
 * Each product of an order is told apart from one drawn product that is not in it, and the
 * vectors take a step of stochastic gradient on that pair (Rendle et al., "BPR", 2009), once,
 * as the order passes (Vinagre et al., "Fast Incremental Matrix Factorization", 2014).
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "recommend/model.h"

enum { FACTOR_COUNT = 32, FACTOR_QUADS = FACTOR_COUNT / 4, LESSON_MAX = 64, PAIRS_EACH = 2 };

static const float rate = .05f;
static const float shrinking = .01f;
static const float start_size = .1f;

struct vectors {
    quad from[FACTOR_QUADS];
    quad to[FACTOR_QUADS];
    float bias;
    float padding[3];
};

struct factors {
    struct store *store;
    struct market *market;
    struct vectors *products;
    uint32_t count; /* products with vectors: numbers 1 .. count */
    uint32_t capacity;
    uint64_t drawn;
};

/* ---- memory ---- */

static void *open_model(struct store *store, struct market *market)
{
    struct factors *factors = market_take(store, market, sizeof *factors);

    *factors = (struct factors){.store = store, .market = market};
    return factors;
}

static void close_model(void *model, struct store *store, struct market *market)
{
    struct factors *factors = model;

    market_give(store, market, factors->products, factors->capacity * sizeof(struct vectors));
    market_give(store, market, factors, sizeof *factors);
}

/* To the capacity of the market, so that it follows from what is saved. */
static void resize(struct factors *factors, uint32_t capacity)
{
    uint32_t kept = capacity < factors->capacity ? capacity : factors->capacity;

    if (capacity == factors->capacity)
        return;
    struct vectors *products =
        market_take(factors->store, factors->market, capacity * sizeof *products);
    if (kept > 0)
        memcpy(products, factors->products, kept * sizeof *products);
    market_give(factors->store, factors->market, factors->products,
                factors->capacity * sizeof *products);
    factors->products = products;
    factors->capacity = capacity;
}

/* Small numbers by the product's name, so that they do not depend on its number. */
static void start(struct factors *factors, uint32_t number)
{
    struct vectors *product = &factors->products[number];
    uint64_t seed = hash_view(factors->market->products[number].id, 77);
    float *values = (float *)product;

    memset(product, 0, sizeof *product);
    for (uint32_t i = 0; i < 2 * FACTOR_COUNT; i++)
        values[i] =
            start_size * ((float)(int64_t)(hash_mix(seed, i) >> 40) / (float)(1 << 23) - 1.0f);
}

static void start_new(struct factors *factors)
{
    resize(factors, factors->market->product_capacity);
    while (factors->count < factors->market->product_count)
        start(factors, ++factors->count);
}

/* ---- vectors ---- */

static float product_of(const quad *a, const quad *b)
{
    quad sum = {0};

    for (int i = 0; i < FACTOR_QUADS; i++)
        sum += a[i] * b[i];
    return quad_sum(sum);
}

struct taste {
    quad vector[FACTOR_QUADS];
    uint32_t products[SOURCES_MAX];
    uint32_t count;
};

/* From the customer's habits, the latest bought: a mean over at most SOURCES_MAX. */
static void sum_up(const struct factors *factors, const uint32_t *products, uint32_t count,
                   struct taste *taste)
{
    *taste = (struct taste){.count = 0};
    for (uint32_t i = 0; i < count && taste->count < SOURCES_MAX; i++) {
        if (products[i] > factors->count)
            continue;
        for (int k = 0; k < FACTOR_QUADS; k++)
            taste->vector[k] += factors->products[products[i]].from[k];
        taste->products[taste->count++] = products[i];
    }
    if (taste->count > 0)
        for (int k = 0; k < FACTOR_QUADS; k++)
            taste->vector[k] /= quad_of(sqrtf((float)taste->count));
}

/* ---- learning ---- */

static void learn_pair(struct factors *factors, const struct taste *taste, uint32_t bought,
                       uint32_t other, quad *change)
{
    struct vectors *yes = &factors->products[bought], *no = &factors->products[other];
    float margin = product_of(taste->vector, yes->to) - product_of(taste->vector, no->to) +
                   yes->bias - no->bias;
    float step = rate / (1.0f + quick_exp(margin));

    for (int k = 0; k < FACTOR_QUADS; k++) {
        change[k] += quad_of(step) * (yes->to[k] - no->to[k]);
        yes->to[k] += quad_of(step) * taste->vector[k] - quad_of(rate * shrinking) * yes->to[k];
        no->to[k] -= quad_of(step) * taste->vector[k] + quad_of(rate * shrinking) * no->to[k];
    }
    yes->bias += step - rate * shrinking * yes->bias;
    no->bias -= step + rate * shrinking * no->bias;
}

static bool is_in(const struct lesson *lesson, uint32_t number)
{
    for (uint32_t i = 0; i < lesson->product_count; i++)
        if (lesson->products[i] == number)
            return true;
    return false;
}

/* In turn each product of the lesson is the one to be told from a drawn one; it is left out
 * of the taste when the customer is not known, whose taste is the order itself. */
static void learn(void *model, struct store *store, const struct lesson *lesson,
                  struct ranking *ranking)
{
    struct factors *factors = model;
    const struct customer *customer = lesson->customer;
    uint32_t count = lesson->product_count < LESSON_MAX ? lesson->product_count : LESSON_MAX;
    quad change[FACTOR_QUADS] = {{0}};
    struct taste taste;

    (void)store, (void)ranking;
    start_new(factors);
    if (customer == NULL || customer->basket_count == 0)
        return;
    sum_up(factors, customer->basket, customer->basket_count, &taste);
    for (uint32_t i = 0; i < count * PAIRS_EACH && taste.count > 0; i++) {
        uint32_t other = 1 + (uint32_t)(hash_mix(78, factors->drawn++) % factors->count);
        if (!is_in(lesson, other))
            learn_pair(factors, &taste, lesson->products[i / PAIRS_EACH], other, change);
    }
    for (uint32_t i = 0; i < taste.count; i++)
        for (int k = 0; k < FACTOR_QUADS; k++) {
            quad *from = &factors->products[taste.products[i]].from[k];
            *from +=
                change[k] / quad_of(sqrtf((float)taste.count)) - quad_of(rate * shrinking) * *from;
        }
}

/* ---- lists ---- */

static void suggest(const void *model, struct ranking *ranking)
{
    const struct factors *factors = model;
    uint32_t products[SOURCES_MAX + LAST_MAX], count = 0;
    struct taste taste;

    for (uint32_t i = 0; i < ranking->source_count; i++)
        if (ranking->sources[i].is_last > 0)
            products[count++] = ranking->sources[i].product;
    sum_up(factors, products, count, &taste);
    for (uint32_t number = 1; number <= factors->count && taste.count > 0; number++) {
        const struct vectors *product = &factors->products[number];
        float value = product_of(taste.vector, product->to) + product->bias;
        ((float *)&ranking->signals[number])[SIGNAL_EXTRA] += quick_exp(value);
    }
}

/* ---- renumbering, saving ---- */

static void renumber(void *model, const uint32_t *numbers, uint32_t count)
{
    struct factors *factors = model;
    uint32_t kept = 0;

    for (uint32_t number = 1; number <= count && number <= factors->count; number++)
        if (numbers[number] != 0)
            factors->products[++kept] = factors->products[number];
    factors->count = kept;
    if (factors->capacity > 0)
        resize(factors, factors->market->product_capacity);
}

static void save(const void *model, struct byte_writer *out)
{
    const struct factors *factors = model;

    byte_put_varint(out, factors->capacity);
    byte_put_varint(out, factors->count);
    byte_put_u64(out, factors->drawn);
    if (factors->count > 0)
        byte_put(out, &factors->products[1], factors->count * sizeof(struct vectors));
}

static void load(void *model, struct store *store, struct market *market, struct byte_reader *in)
{
    struct factors *factors = model;
    uint64_t capacity = byte_take_varint(in);
    uint64_t count = byte_take_count(in, sizeof(struct vectors));

    (void)store;
    factors->drawn = byte_take_u64(in);
    if (in->broken || capacity > market->product_capacity || count > market->product_count ||
        (count > 0 && count >= capacity)) {
        in->broken = true;
        return;
    }
    if (capacity > 0)
        resize(factors, (uint32_t)capacity);
    const void *vectors = byte_take(in, count * sizeof(struct vectors));
    if (vectors != NULL && count > 0)
        memcpy(&factors->products[1], vectors, count * sizeof(struct vectors));
    factors->count = in->broken ? 0 : (uint32_t)count;
}

const struct model_kind model_factors = {
    .name = "factors",
    .version = "1",
    .strategy = STRATEGY_PERSONAL,
    .needs_neighbours = true,
    .needs_facts = true,
    .open = open_model,
    .close = close_model,
    .suggest = suggest,
    .score = model_score_extra,
    .learn = learn,
    .renumber = renumber,
    .save = save,
    .load = load,
};
