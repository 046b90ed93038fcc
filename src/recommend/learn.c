/*
 * What an order teaches, in this order:
 *
 *   the model learns from the state before the order
 *   what was bought before: was it bought again?
 *   products: orders, popularity
 *   neighbours: of each other, and of the customer's last basket
 *   the customer: habits, the new last basket
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "recommend/dedicated.h"
#include "recommend/model.h"
#include "recommend/state.h"

#define MINUTE_MS 60000

/* How long what a customer buys again is remembered, from order to order. */
static const float loyalty_fade = .8f;

/* ---- the basket ---- */

/* The market may grow within an order: what is marked stays marked. */
static void fit_places(struct basket *basket, const struct market *market)
{
    uint32_t capacity = market->product_capacity, before = basket->place_capacity;

    if (before >= capacity)
        return;
    basket->place = realloc(basket->place, capacity * sizeof *basket->place);
    assert(basket->place != NULL);
    memset(basket->place + before, 0, (capacity - before) * sizeof *basket->place);
    basket->place_capacity = capacity;
}

static void add_item(struct recommend *recommend, struct market *market,
                     const struct order_item *item, uint32_t hash, int64_t time_ms)
{
    struct basket *basket = &recommend->basket;
    uint32_t number = product_find_hashed(market, item->product_id, hash);

    if (number == 0 && basket->count == BASKET_MAX)
        return;
    if (number == 0)
        number = product_add(&recommend->store, market, item->product_id);
    product_see(market, number, time_ms);
    fit_places(basket, market);
    if (basket->place[number] == 0) {
        if (basket->count == BASKET_MAX)
            return;
        basket->products[basket->count] = number;
        basket->quantities[basket->count] = 0;
        basket->place[number] = ++basket->count;
    }
    basket->quantities[basket->place[number] - 1] += (float)item->quantity;
}

/* Products lie anywhere, their names elsewhere: a handful is fetched at once. */
static void fill_basket(struct recommend *recommend, struct market *market,
                        const struct event *event)
{
    enum { HANDFUL = 32 };
    const struct order_item *items = event->order.items.at;
    uint32_t item_count = event->order.items.count;
    uint32_t hashes[HANDFUL];

    product_make_room(&recommend->store, market, item_count < BASKET_MAX ? item_count : BASKET_MAX);
    recommend->basket.count = 0;
    for (uint32_t done = 0; done < item_count; done += HANDFUL) {
        uint32_t count = item_count - done < HANDFUL ? item_count - done : HANDFUL;
        for (uint32_t i = 0; i < count; i++)
            hashes[i] = product_hash(market, items[done + i].product_id);
        product_prefetch(market, hashes, count);
        for (uint32_t i = 0; i < count; i++)
            add_item(recommend, market, &items[done + i], hashes[i], event->event_time_ms);
    }
}

static void empty_basket(struct basket *basket)
{
    for (uint32_t i = 0; i < basket->count; i++)
        basket->place[basket->products[i]] = 0;
    basket->count = 0;
}

/* ---- the parts of a lesson ---- */

static void teach_model(struct recommend *recommend, struct market *market,
                        const struct customer *customer, int64_t time_ms)
{
    const struct model_kind *kind = market->kind;
    struct ranking *ranking = &recommend->ranking;
    const struct basket *basket = &recommend->basket;
    struct lesson lesson = {
        .market = market,
        .customer = customer,
        .products = basket->products,
        .product_count = basket->count,
        .time_ms = time_ms,
    };

    if (kind->learn == NULL)
        return;
    if (!kind->learns_by_ranking) {
        kind->learn(market->model, &recommend->store, &lesson, NULL);
        return;
    }
    if (customer == NULL || customer->orders == 0)
        return;
    if (kind->is_due != NULL && !kind->is_due(market->model, market))
        return;
    ranking_begin(ranking, &recommend->store, market, customer, time_ms, NULL, 0);
    model_prepare_lesson(kind, ranking, &lesson);
    kind->learn(market->model, &recommend->store, &lesson, ranking);
    ranking_end(ranking);
}

static void learn_repeats(const struct basket *basket, struct market *market,
                          struct customer *customer)
{
    float hits = 0;

    if (customer->orders == 0)
        return;
    for (uint32_t i = 0; i < customer->habit_count; i++) {
        if (customer->habits[i].count <= 0)
            continue;
        struct product *product = &market->products[customer->habits[i].product];
        bool is_again = basket->place[customer->habits[i].product] != 0;
        product->repeat_chances += 1;
        product->repeat_hits += is_again;
        hits += is_again;
    }
    customer->repeat_hits = customer->repeat_hits * loyalty_fade + hits;
    customer->repeat_items = customer->repeat_items * loyalty_fade + (float)basket->count;
}

/* The products of the basket that are counted with each other. */
static uint32_t count_of_pairs(const struct recommend *recommend)
{
    uint32_t most = (uint32_t)recommend->store.options.basket_pairs_max;

    return recommend->basket.count < most ? recommend->basket.count : most;
}

/* A product, and what of the basket is counted with it. */
struct meeting {
    uint32_t number;
    uint64_t what;
};

/* How many orders the one in hand stands for in the product's row: of a product in so many
 * orders that they tell little news, one in `weight` is counted as so many, chosen as if by
 * lot. 0: not this one. */
static uint32_t weigh_meeting(const struct recommend *recommend, const struct market *market,
                              uint32_t number)
{
    float orders = market->products[number].orders;
    float limit = (float)recommend->store.options.neighbours_exact;
    uint32_t weight = 1;

    for (; orders >= limit && weight < NEIGHBOUR_WEIGHT_MAX; limit *= 4)
        weight *= 2;
    if (weight > 1 && (hash_mix(market->totals.orders, number) & (weight - 1)) != 0)
        return 0;
    return weight;
}

/* Takes out whom the lot passes over. */
static uint32_t weigh_meetings(const struct recommend *recommend, const struct market *market,
                               struct meeting *meetings, uint32_t count)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t weight = weigh_meeting(recommend, market, meetings[i].number);
        meetings[kept] = meetings[i];
        meetings[kept].what *= weight;
        kept += weight != 0;
    }
    return kept;
}

/* Those of the basket met each other, those of the customer's last basket were followed by
 * it. Most of the time goes into fetching their rows, so each is visited once. */
static uint32_t list_meetings(const struct recommend *recommend, const struct customer *customer,
                              struct meeting *meetings)
{
    const struct basket *basket = &recommend->basket;
    uint32_t pair_count = count_of_pairs(recommend), count = pair_count;

    for (uint32_t i = 0; i < pair_count; i++)
        meetings[i] = (struct meeting){basket->products[i], NEIGHBOUR_TOGETHER};
    for (uint32_t i = 0; customer != NULL && i < customer->basket_count; i++) {
        uint32_t place = basket->place[customer->basket[i]];
        if (place > 0 && place <= pair_count)
            meetings[place - 1].what |= NEIGHBOUR_NEXT;
        else
            meetings[count++] = (struct meeting){customer->basket[i], NEIGHBOUR_NEXT};
    }
    return count;
}

/* Rows lie far apart, so while one is counted in, the buckets of the next and the head of the
 * one after it are on their way. */
static void learn_meetings(struct recommend *recommend, struct market *market,
                           const struct customer *customer)
{
    struct meeting meetings[BASKET_MAX + BASKET_KEPT_MAX];
    const uint32_t *others = recommend->basket.products;
    const struct product *products = market->products;
    uint32_t count = list_meetings(recommend, customer, meetings);
    count = weigh_meetings(recommend, market, meetings, count);
    uint32_t other_count = count_of_pairs(recommend);

    for (uint32_t i = 0; i < count; i++) {
        if (i + 2 < count)
            __builtin_prefetch(&products[meetings[i + 2].number].neighbours);
        if (i + 1 < count)
            neighbours_prefetch(&products[meetings[i + 1].number].neighbours, others, other_count);
        product_meet(&recommend->store, market, meetings[i].number, others, other_count,
                     meetings[i].what);
    }
}

static void learn_products(struct recommend *recommend, struct market *market,
                           const struct customer *customer, int64_t time_ms)
{
    const struct basket *basket = &recommend->basket;
    float growth[HALF_LIFE_COUNT];

    market_growth(market, time_ms, growth);
    for (uint32_t i = 0; customer != NULL && i < customer->basket_count; i++) {
        market->products[customer->basket[i]].sources += 1;
        product_rescale_sources(market, customer->basket[i]);
    }
    for (uint32_t i = 0; i < basket->count; i++) {
        market->products[basket->products[i]].orders += 1;
        product_rescale_orders(market, basket->products[i]);
        product_raise(market, basket->products[i], growth, 1);
    }
}

static uint32_t minute_of(int64_t time_ms)
{
    int64_t minute = time_ms / MINUTE_MS;

    return minute < 0 ? 0 : minute > UINT32_MAX ? UINT32_MAX : (uint32_t)minute;
}

static void buy(struct habit *habit, const struct customer *customer, uint32_t minute,
                float quantity)
{
    habit->weight = habit->weight * habit_fade(customer->orders - habit->last_basket) + 1.0f;
    habit->last_basket = customer->orders;
    if (habit->count <= 0) {
        habit->first_minute = habit->last_minute = minute;
    } else {
        habit->first_minute = minute < habit->first_minute ? minute : habit->first_minute;
        habit->last_minute = minute > habit->last_minute ? minute : habit->last_minute;
    }
    habit->count += 1;
    habit->quantity += quantity;
}

static void learn_habits(struct recommend *recommend, struct customer *customer, int64_t time_ms)
{
    struct basket *basket = &recommend->basket;
    uint32_t minute = minute_of(time_ms);
    uint32_t known_count = customer->habit_count;

    /* One walk over the history instead of a search for each product. */
    for (uint32_t i = 0; i < known_count; i++) {
        uint32_t place = basket->place[customer->habits[i].product];
        if (place != 0) {
            buy(&customer->habits[i], customer, minute, basket->quantities[place - 1]);
            basket->quantities[place - 1] = -1;
        }
    }
    for (uint32_t i = 0; i < basket->count; i++)
        if (basket->quantities[i] >= 0)
            buy(customer_add_habit(&recommend->store, customer, basket->products[i]), customer,
                minute, basket->quantities[i]);
    customer->orders++;
    customer->items += (float)basket->count;
    customer->last_ms = time_ms > customer->last_ms ? time_ms : customer->last_ms;
    customer_set_basket(&recommend->store, customer, basket->products,
                        basket->count < BASKET_KEPT_MAX ? basket->count : BASKET_KEPT_MAX);
}

/* ---- an order ---- */

static struct market *market_of(struct recommend *recommend, const struct event *event)
{
    struct market *market = market_find(&recommend->store, event->tenant_id);

    if (market == NULL)
        market = market_create(&recommend->store, event->tenant_id);
    market->activity = recommend->store.sequence;
    market->has_news = true;
    return market;
}

void learn_order(struct recommend *recommend, const struct event *event,
                 const struct recommend_context *context)
{
    struct store *store = &recommend->store;
    const struct order *order = &event->order;
    int64_t time_ms = event->event_time_ms;
    struct market *market = market_of(recommend, event);
    struct customer *customer = NULL;
    uint32_t reference = 0;

    if (order->status == ORDER_CANCELLED) {
        market->totals.cancelled++;
        return;
    }
    fill_basket(recommend, market, event);
    if (!view_is_absent(order->customer_id)) {
        reference = customer_find(store, market, order->customer_id);
        if (reference == 0)
            reference = customer_create(store, market, order->customer_id);
        customer_touch(store, reference);
        customer = customer_at(store, reference);
        customer->spent += order->amount;
    }
    if (recommend->basket.count > 0) {
        if (context->is_enterprise)
            dedicated_keep(recommend, market, customer, recommend->basket.products,
                           recommend->basket.count, time_ms);
        teach_model(recommend, market, customer, time_ms);
        if (customer != NULL)
            learn_repeats(&recommend->basket, market, customer);
        learn_products(recommend, market, customer, time_ms);
        learn_meetings(recommend, market, customer);
        if (customer != NULL)
            learn_habits(recommend, customer, time_ms);
    }
    empty_basket(&recommend->basket);
    market->totals.orders++;
    market->totals.guests += customer == NULL;
    market->totals.recommended_orders += !view_is_absent(order->recommendation_id);
    if (time_ms > market->latest_ms)
        market->latest_ms = time_ms;
    recommend->totals.orders++;
    market->is_sharing = context->is_sharing;
    market->has_share_news = true;
    store_trim(store, market, reference);
}

/* ---- an interaction ---- */

/* What it adds to the customer's fondness and to popularity, where an order adds 1. A
 * purchase adds nothing: its order has done so already. */
static const struct {
    float fondness;
    float popularity;
} weights[] = {
    [INTERACTION_IMPRESSION] = {0, 0}, [INTERACTION_VIEW] = {.05f, .01f},
    [INTERACTION_CLICK] = {.1f, .02f}, [INTERACTION_ADD_TO_CART] = {.3f, .1f},
    [INTERACTION_PURCHASE] = {0, 0},   [INTERACTION_RATING] = {0, 0},
};

/* A rating of 3 of 5 is worth nothing, 5 half an order, 1 takes half an order away. */
static float rating_weight(double rating)
{
    double stars = rating < 1 ? 1 : rating > 5 ? 5 : rating;

    return (float)((stars - 3) / 4);
}

/* Looking again and again does not make it more than an order. */
static const float fondness_by_looking_max = 1.0f;

static void raise_fondness(struct recommend *recommend, struct customer *customer, uint32_t number,
                           float amount, int64_t time_ms)
{
    struct habit *habit = NULL;

    for (uint32_t i = 0; i < customer->habit_count && habit == NULL; i++)
        if (customer->habits[i].product == number)
            habit = &customer->habits[i];
    if (habit == NULL) {
        habit = customer_add_habit(&recommend->store, customer, number);
        habit->first_minute = minute_of(time_ms);
    }
    float weight = habit->weight * habit_fade(customer->orders - habit->last_basket);
    float most = habit->count > 0 ? weight + amount : fondness_by_looking_max;
    weight = weight + amount < most ? weight + amount : most;
    habit->weight = weight > 0 ? weight : 0;
    habit->last_basket = customer->orders;
    if (habit->count <= 0)
        habit->last_minute = minute_of(time_ms);
    habit->views++;
}

static void count_session(struct market *market, struct customer *customer,
                          const struct event *event)
{
    static const int64_t silence_ms = 30 * 60 * 1000;
    struct view id = event->interaction.session_id;
    uint64_t hash = view_is_absent(id) ? 0 : hash_view(id, 0) | 1;
    bool is_new = hash != 0 ? hash != customer->session_hash
                            : customer->session_ms == INT64_MIN ||
                                  event->event_time_ms - customer->session_ms > silence_ms;

    if (is_new) {
        customer->sessions++;
        market->totals.sessions++;
    }
    customer->session_hash = hash;
    if (event->event_time_ms > customer->session_ms)
        customer->session_ms = event->event_time_ms;
}

void learn_interaction(struct recommend *recommend, const struct event *event)
{
    struct store *store = &recommend->store;
    const struct interaction *interaction = &event->interaction;
    struct market *market = market_of(recommend, event);
    float fondness = weights[interaction->type].fondness;
    float popularity = weights[interaction->type].popularity;
    float growth[HALF_LIFE_COUNT];

    product_make_room(store, market, 1);
    uint32_t number =
        product_find_or_add(store, market, interaction->product_id, event->event_time_ms);
    uint32_t reference = customer_find(store, market, interaction->customer_id);
    if (reference == 0)
        reference = customer_create(store, market, interaction->customer_id);
    customer_touch(store, reference);
    struct customer *customer = customer_at(store, reference);
    if (interaction->type == INTERACTION_RATING)
        fondness = rating_weight(interaction->value);
    if (fondness != 0)
        raise_fondness(recommend, customer, number, fondness, event->event_time_ms);
    if (popularity > 0) {
        market_growth(market, event->event_time_ms, growth);
        product_raise(market, number, growth, popularity);
    }
    count_session(market, customer, event);
    customer->interactions++;
    market->totals.interactions[interaction->type]++;
    market->totals.recommended_clicks +=
        interaction->type == INTERACTION_CLICK && !view_is_absent(interaction->recommendation_id);
    if (event->event_time_ms > market->latest_ms)
        market->latest_ms = event->event_time_ms;
    recommend->totals.interactions++;
    store_trim(store, market, reference);
}
