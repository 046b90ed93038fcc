/* The customers of a market, and what they have bought. */
#include <assert.h>
#include <string.h>

#include "base/hash.h"
#include "recommend/choose.h"
#include "recommend/market.h"

enum { HABITS_LEAST = 4, HABITS_DROP_SHARE = 16 };

/* .9 to the power of 0 .. 15, and of 0, 16, 32, ... */
float habit_fade(uint32_t orders)
{
    static const float ones[16] = {1.0f,       .9f,        .81f,       .729f,
                                   .6561f,     .59049f,    .531441f,   .4782969f,
                                   .43046721f, .38742049f, .34867844f, .3138106f,
                                   .28242954f, .25418658f, .22876792f, .20589113f};
    static const float sixteens[16] = {
        1.0f,          .18530202f,     3.4336838e-2f,  6.3626855e-3f, 1.1790185e-3f, 2.1847450e-4f,
        4.0483766e-5f, 7.5017235e-6f,  1.3900845e-6f,  2.5758546e-7f, 4.7731106e-8f, 8.8446703e-9f,
        1.6389353e-9f, 3.0369801e-10f, 5.6275853e-11f, 1.0428029e-11f};

    return orders < 256 ? ones[orders & 15] * sixteens[orders >> 4] : 0;
}

/* ---- finding ---- */

static uint32_t hash_customer(const struct market *market, struct view id)
{
    return (uint32_t)hash_place(id, market->hash);
}

uint32_t customer_find(const struct store *store, const struct market *market, struct view id)
{
    uint32_t hash = hash_customer(market, id);
    uint32_t at, reference;

    for (reference = table_first(&store->customer_table, hash, &at); reference != 0;
         reference = table_next(&store->customer_table, hash, &at)) {
        const struct customer *customer = customer_at(store, reference);
        if (customer->market == market && view_is_equal(customer->id, id))
            return reference;
    }
    return 0;
}

/* ---- the order of activity ---- */

static void unlink_customer(struct store *store, uint32_t reference)
{
    struct customer *customer = customer_at(store, reference);
    struct market *market = customer->market;

    if (customer->newer != 0)
        customer_at(store, customer->newer)->older = customer->older;
    else
        market->newest = customer->older;
    if (customer->older != 0)
        customer_at(store, customer->older)->newer = customer->newer;
    else
        market->oldest = customer->newer;
}

static void link_newest(struct store *store, struct market *market, uint32_t reference)
{
    struct customer *customer = customer_at(store, reference);

    customer->newer = 0;
    customer->older = market->newest;
    if (market->newest != 0)
        customer_at(store, market->newest)->newer = reference;
    else
        market->oldest = reference;
    market->newest = reference;
}

void customer_touch(struct store *store, uint32_t reference)
{
    struct customer *customer = customer_at(store, reference);

    if (customer->market->newest == reference)
        return;
    unlink_customer(store, reference);
    link_newest(store, customer->market, reference);
}

/* ---- memory ---- */

/* On the account of the customer's market, and of all customers. */
static void *take_run(struct store *store, struct customer *customer, size_t bytes)
{
    store->customer_bytes += blocks_round(bytes);
    return market_take(store, customer->market, bytes);
}

static void give_run(struct store *store, struct customer *customer, void *run, size_t bytes)
{
    if (run == NULL)
        return;
    store->customer_bytes -= blocks_round(bytes);
    market_give(store, customer->market, run, bytes);
}

/* ---- life ---- */

uint32_t customer_create(struct store *store, struct market *market, struct view id)
{
    uint32_t reference = slab_take(&store->customers);
    struct customer *customer = customer_at(store, reference);

    customer->market = market;
    char *text = take_run(store, customer, (size_t)id.size + 1);
    memcpy(text, id.data, id.size);
    text[id.size] = '\0';
    customer->id = (struct view){text, id.size};
    customer->hash = hash_customer(market, id);
    customer->last_ms = customer->session_ms = INT64_MIN;
    table_put(&store->customer_table, customer->hash, reference);
    link_newest(store, market, reference);
    market->customer_count++;
    store->customer_count++;
    market->bytes += store->customers.item_bytes;
    store->bytes += store->customers.item_bytes;
    store->customer_bytes += store->customers.item_bytes;
    return reference;
}

void customer_destroy(struct store *store, uint32_t reference)
{
    struct customer *customer = customer_at(store, reference);
    struct market *market = customer->market;

    table_remove(&store->customer_table, customer->hash, reference);
    unlink_customer(store, reference);
    store->pair_count -= customer->habit_count;
    give_run(store, customer, customer->habits, customer->habit_capacity * sizeof(struct habit));
    give_run(store, customer, customer->basket, customer->basket_capacity * sizeof(uint32_t));
    give_run(store, customer, (void *)(uintptr_t)customer->id.data, (size_t)customer->id.size + 1);
    memset(customer, 0, sizeof *customer);
    slab_give(&store->customers, reference);
    market->customer_count--;
    store->customer_count--;
    market->bytes -= store->customers.item_bytes;
    store->bytes -= store->customers.item_bytes;
    store->customer_bytes -= store->customers.item_bytes;
}

/* ---- habits ---- */

void customer_reserve(struct store *store, struct customer *customer, uint32_t habit_count)
{
    uint32_t capacity = habit_count > 0 ? HABITS_LEAST : 0;
    struct habit *habits = NULL;

    while (capacity < habit_count)
        capacity *= 2;
    if (capacity == customer->habit_capacity)
        return;
    if (capacity > 0)
        habits = take_run(store, customer, capacity * sizeof(struct habit));
    if (customer->habit_count > 0)
        memcpy(habits, customer->habits, customer->habit_count * sizeof(struct habit));
    give_run(store, customer, customer->habits, customer->habit_capacity * sizeof(struct habit));
    customer->habits = habits;
    customer->habit_capacity = capacity;
}

/* Makes room in a full history: the sixteenth that counts least by now goes, the later
 * ones among equals. */
static void drop_weakest(struct store *store, struct customer *customer)
{
    float weights[HISTORY_PRODUCTS_MAX];
    uint32_t count = customer->habit_count, drop = count / HABITS_DROP_SHARE + 1, kept = 0;

    for (uint32_t i = 0; i < count; i++)
        weights[i] = customer->habits[i].weight *
                     habit_fade(customer->orders - customer->habits[i].last_basket);
    float limit = choose_nth(weights, count, drop - 1);
    uint32_t above = 0;
    for (uint32_t i = drop; i < count; i++)
        above += weights[i] > limit;
    uint32_t ties = count - drop - above; /* equal to the limit, and staying */
    for (uint32_t i = 0; i < count; i++) {
        const struct habit *habit = &customer->habits[i];
        float weight = habit->weight * habit_fade(customer->orders - habit->last_basket);
        if (weight < limit || (weight == limit && ties == 0))
            continue;
        ties -= weight == limit;
        customer->habits[kept++] = *habit;
    }
    store->pair_count -= count - kept;
    customer->habit_count = kept;
    customer_reserve(store, customer, kept);
}

void customer_trim_habits(struct store *store, struct customer *customer)
{
    while (customer->habit_count > (uint32_t)store->options.history_products_max)
        drop_weakest(store, customer);
}

struct habit *customer_add_habit(struct store *store, struct customer *customer, uint32_t product)
{
    if (customer->habit_count >= (uint32_t)store->options.history_products_max)
        drop_weakest(store, customer);
    if (customer->habit_count == customer->habit_capacity)
        customer_reserve(store, customer, customer->habit_count + 1);
    struct habit *habit = &customer->habits[customer->habit_count++];
    store->pair_count++;
    *habit = (struct habit){.product = product, .last_basket = customer->orders};
    return habit;
}

void customer_set_basket(struct store *store, struct customer *customer, const uint32_t *products,
                         uint32_t count)
{
    /* A run is rounded up anyway: use all of it. */
    uint32_t capacity =
        count > 0 ? (uint32_t)(blocks_round(count * sizeof(uint32_t)) / sizeof(uint32_t)) : 0;

    if (capacity != customer->basket_capacity) {
        give_run(store, customer, customer->basket, customer->basket_capacity * sizeof(uint32_t));
        customer->basket = NULL;
        if (capacity > 0)
            customer->basket = take_run(store, customer, capacity * sizeof(uint32_t));
        customer->basket_capacity = capacity;
    }
    if (count > 0)
        memcpy(customer->basket, products, count * sizeof(uint32_t));
    customer->basket_count = count;
}

static void renumber_basket(struct store *store, struct customer *customer, const uint32_t *numbers)
{
    uint32_t products[BASKET_KEPT_MAX], kept = 0;

    for (uint32_t i = 0; i < customer->basket_count; i++)
        if (numbers[customer->basket[i]] != 0)
            products[kept++] = numbers[customer->basket[i]];
    customer_set_basket(store, customer, products, kept);
}

void customer_renumber(struct store *store, struct customer *customer, const uint32_t *numbers)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < customer->habit_count; i++) {
        struct habit habit = customer->habits[i];
        habit.product = numbers[habit.product];
        if (habit.product != 0)
            customer->habits[kept++] = habit;
    }
    store->pair_count -= customer->habit_count - kept;
    customer->habit_count = kept;
    customer_reserve(store, customer, kept);
    renumber_basket(store, customer, numbers);
}
