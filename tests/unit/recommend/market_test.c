/* What a market keeps: decayed popularity, the lists of the most popular, counts of
 * neighbours, histories; each against a plain reckoning. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "recommend/model.h"
#include "recommend/state.h"
#include "shop.h"

enum { ORDERS = 800 };

/* The product's sum of 2^(-age/H) over the orders it stood in. */
static double decayed(const struct event *orders, uint32_t count, struct view product,
                      double half_life_days_value, int64_t now_ms)
{
    double sum = 0;

    for (uint32_t i = 0; i < count; i++) {
        const struct order_item *items = orders[i].order.items.at;
        bool is_in = false;
        for (uint32_t k = 0; k < orders[i].order.items.count; k++)
            is_in = is_in || view_is_equal(items[k].product_id, product);
        if (is_in)
            sum += exp2(-(double)(now_ms - orders[i].event_time_ms) / 86400000.0 /
                        half_life_days_value);
    }
    return sum;
}

static void popularity_decays_as_defined(void **state)
{
    struct recommend_options options = shop_options();
    struct shop shop = shop_open(11);
    struct outbox *outbox = outbox_create();
    struct recommend *recommend = recommend_open(&options);
    static struct event orders[ORDERS];
    float fade[HALF_LIFE_COUNT];

    (void)state;
    for (uint32_t i = 0; i < ORDERS; i++) {
        orders[i] = shop_any_order(&shop, "t");
        /* Some come late, and after a long silence the weights are scaled anew. */
        if (i % 5 == 0)
            orders[i].event_time_ms -= 3 * SHOP_HOUR_MS;
        if (i == ORDERS / 2)
            shop.now_ms += 250 * 24 * SHOP_HOUR_MS;
        shop_apply(recommend, &orders[i], outbox);
    }
    const struct market *market = market_find(&recommend->store, view_of("t"));
    int64_t now_ms = market->latest_ms + 5 * 24 * SHOP_HOUR_MS;
    market_fade(market, now_ms, fade);
    for (uint32_t number = 1; number <= market->product_count; number++)
        for (int i = 0; i < HALF_LIFE_COUNT; i++) {
            const struct product *product = &market->products[number];
            double truth = decayed(orders, ORDERS, product->id, (double)half_life_days[i], now_ms);
            double kept = (double)(product->popularity[i] * fade[i]);
            assert_true(fabs(kept - truth) <= 1e-3 * truth + 1e-6);
            assert_true(product->popularity[i] <= market->most[i]);
        }
    shop_end(&shop, recommend, outbox);
}

/* A thousand products and more, so that most stay outside the lists. */
static void the_most_popular_are_known(void **state)
{
    struct recommend_options options = shop_options();
    struct shop shop = shop_open(12);
    struct outbox *outbox = outbox_create();
    struct recommend *recommend = recommend_open(&options);
    uint32_t products[SHOP_BASKET_MAX];

    (void)state;
    for (uint32_t i = 0; i < 3000; i++) {
        for (uint32_t k = 0; k < SHOP_BASKET_MAX; k++)
            products[k] = (uint32_t)shop_draw(&shop, 1 + shop_draw(&shop, 1500));
        shop.now_ms += (int64_t)shop_draw(&shop, SHOP_HOUR_MS);
        struct event event = shop_order(&shop, "t", NULL, products, SHOP_BASKET_MAX);
        shop_apply(recommend, &event, outbox);
    }
    const struct market *market = market_find(&recommend->store, view_of("t"));
    assert_true(market->product_count > 1000);
    for (int top = 0; top < TOP_COUNT; top++) {
        float least = INFINITY;
        assert_int_equal(market->top_counts[top], TOP_PRODUCTS_MAX);
        for (uint32_t i = 0; i < TOP_PRODUCTS_MAX; i++) {
            uint32_t number = market->tops[top][i];
            float value = market->products[number].popularity[top_half_life[top]];
            assert_int_equal(market->products[number].top_at[top], i + 1);
            least = value < least ? value : least;
        }
        for (uint32_t number = 1; number <= market->product_count; number++)
            if (market->products[number].top_at[top] == 0)
                assert_true(market->products[number].popularity[top_half_life[top]] <= least);
    }
    shop_end(&shop, recommend, outbox);
}

static bool is_in(const struct event *order, struct view product)
{
    const struct order_item *items = order->order.items.at;

    for (uint32_t i = 0; i < order->order.items.count; i++)
        if (view_is_equal(items[i].product_id, product))
            return true;
    return false;
}

/* Orders with both; and orders with b whose customer's last order had a. */
static void count_pairs(const struct event *orders, uint32_t count, struct view a, struct view b,
                        uint32_t *together, uint32_t *next)
{
    *together = *next = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!is_in(&orders[i], b))
            continue;
        *together += is_in(&orders[i], a);
        uint32_t last = i;
        while (!view_is_absent(orders[i].order.customer_id) && last-- > 0)
            if (view_is_equal(orders[last].order.customer_id, orders[i].order.customer_id)) {
                *next += is_in(&orders[last], a);
                break;
            }
    }
}

static void neighbours_are_counted_as_defined(void **state)
{
    struct recommend_options options = shop_options();
    struct shop shop = shop_open(13);
    struct outbox *outbox = outbox_create();
    static struct event orders[ORDERS];

    (void)state;
    /* Room enough that nothing is replaced, and every order counts. */
    options.neighbours_max = NEIGHBOUR_BUCKETS_MAX * NEIGHBOUR_BUCKET;
    options.neighbours_exact = ORDERS + 1;
    struct recommend *recommend = recommend_open(&options);
    for (uint32_t i = 0; i < ORDERS; i++) {
        orders[i] = shop_any_order(&shop, "t");
        shop_apply(recommend, &orders[i], outbox);
    }
    const struct market *market = market_find(&recommend->store, view_of("t"));
    for (uint32_t a = 1; a <= market->product_count; a += 7)
        for (uint32_t b = 1; b <= market->product_count; b += 3) {
            uint32_t together, next;
            uint64_t found = neighbours_find(&market->products[a].neighbours, b);
            if (a == b)
                continue;
            count_pairs(orders, ORDERS, market->products[a].id, market->products[b].id, &together,
                        &next);
            assert_int_equal(neighbour_together(found), together);
            assert_int_equal(neighbour_next(found), next);
        }
    shop_end(&shop, recommend, outbox);
}

/* A count is a sum of draws of at most WEIGHT each: it stays within six deviations of such. */
static void what_was_in_many_orders_is_counted_by_lot(void **state)
{
    enum { MANY_ORDERS = 20000, EXACT = 128, WEIGHT = 16, COMPANIONS = 30 };
    struct recommend_options options = shop_options();
    struct shop shop = shop_open(14);
    struct outbox *outbox = outbox_create();
    uint32_t truth[COMPANIONS] = {0}, different = 0;

    (void)state;
    options.neighbours_exact = EXACT;
    struct recommend *recommend = recommend_open(&options);
    for (uint32_t i = 0; i < MANY_ORDERS; i++) {
        uint32_t companion = (uint32_t)shop_draw(&shop, 1 + shop_draw(&shop, COMPANIONS));
        uint32_t products[] = {COMPANIONS, companion};
        struct event event = shop_order(&shop, "t", NULL, products, 2);
        truth[companion]++;
        shop_apply(recommend, &event, outbox);
    }
    const struct market *market = market_find(&recommend->store, view_of("t"));
    const struct product *one = &market->products[product_find(market, view_of("p030"))];
    assert_true(one->orders == MANY_ORDERS);
    for (uint32_t i = 0; i < COMPANIONS; i++) {
        uint32_t number = product_find(market, shop_text(&shop, "p%03u", i));
        double counted = neighbour_together(neighbours_find(&one->neighbours, number));
        assert_true(fabs(counted - truth[i]) <= 6 * sqrt((double)truth[i] * WEIGHT));
        different += counted != truth[i];
        /* The other row is counted by itself, exactly while its product is new to it. */
        const struct neighbours *row = &market->products[number].neighbours;
        counted = neighbour_together(neighbours_find(row, (uint32_t)(one - market->products)));
        if (truth[i] < EXACT)
            assert_true(counted == truth[i]);
    }
    assert_true(different > COMPANIONS / 2);
    shop_end(&shop, recommend, outbox);
}

static void old_products_make_room_for_new_ones(void **state)
{
    struct recommend_options options = shop_options();
    struct shop shop = shop_open(14);
    struct outbox *outbox = outbox_create();
    struct recommend *recommend;
    uint32_t products[10];

    (void)state;
    options.products_max = 4096;
    recommend = recommend_open(&options);
    struct event block = shop_command(&shop, "t", "block-product");
    block.command.product_id = VIEW_LITERAL("p005");
    assert_true(shop_tell(&shop, recommend, &block, outbox).is_accepted);
    for (uint32_t i = 0; i < 3000; i++) {
        for (uint32_t k = 0; k < 10; k++)
            products[k] = i * 5 + k;
        shop.now_ms += SHOP_HOUR_MS;
        struct event event =
            shop_order(&shop, "t", shop_text(&shop, "c%u", i % 50).data, products, 10);
        shop_apply(recommend, &event, outbox);
    }
    const struct market *market = market_find(&recommend->store, view_of("t"));
    assert_true(market->product_count <= 4096 && market->product_count > 3000);
    assert_true(market->products[product_find(market, view_of("p005"))].is_blocked);
    assert_int_equal(product_find(market, view_of("p100")), 0);
    for (uint32_t number = 1; number <= market->product_count; number++) {
        const struct product *product = &market->products[number];
        assert_int_equal(product_find(market, product->id), number);
        for (uint32_t i = 0; i < neighbours_places(&product->neighbours); i++)
            assert_in_range(neighbour_number(product->neighbours.entries[i]), 0,
                            market->product_count);
    }
    /* The youngest order's products, and what stood in it together, are still told right. */
    uint64_t pair =
        neighbours_find(&market->products[product_find(market, view_of("p15000"))].neighbours,
                        product_find(market, view_of("p15001")));
    assert_int_equal(neighbour_together(pair), 1);
    shop_end(&shop, recommend, outbox);
}

static void a_history_keeps_what_counts_most(void **state)
{
    struct recommend_options options = shop_options();
    struct shop shop = shop_open(15);
    struct outbox *outbox = outbox_create();
    struct recommend *recommend;
    uint32_t products[2] = {0, 1};

    (void)state;
    options.history_products_max = 32;
    recommend = recommend_open(&options);
    for (uint32_t i = 0; i < 500; i++) {
        products[1] = i;
        struct event event = shop_order(&shop, "t", "c", products, 2);
        shop_apply(recommend, &event, outbox);
    }
    const struct market *market = market_find(&recommend->store, view_of("t"));
    const struct customer *customer =
        customer_at(&recommend->store, customer_find(&recommend->store, market, view_of("c")));
    assert_true(customer->habit_count <= 32 && customer->habit_count >= 28);
    assert_int_equal(recommend->store.pair_count, customer->habit_count);
    bool has_faithful = false;
    for (uint32_t i = 0; i < customer->habit_count; i++) {
        struct view id = market->products[customer->habits[i].product].id;
        has_faithful = has_faithful || view_is_text(id, "p000");
        assert_true(view_is_text(id, "p000") || view_compare(id, view_of("p460")) > 0);
    }
    assert_true(has_faithful);
    shop_end(&shop, recommend, outbox);
}

static uint64_t hash_model(const struct market *market)
{
    struct byte_writer out;

    byte_writer_init(&out);
    market->kind->save(market->model, &out);
    uint64_t hash = hash_bytes(out.data, out.size, 0);
    byte_writer_free(&out);
    return hash;
}

/* Orders of customers who have ordered before, in parts of all of them. */
static void lessons_become_fewer(void **state)
{
    enum { PART_ORDERS = 4000, PARTS = 5 };
    struct recommend_options options = shop_options();
    struct shop shop = shop_open(15);
    struct outbox *outbox = outbox_create();
    struct recommend *recommend = recommend_open(&options);
    uint32_t lessons[PARTS] = {0}, all = 0;
    uint64_t before = 0;

    (void)state;
    for (uint32_t i = 0; i < PART_ORDERS * PARTS; i++) {
        struct event event = shop_any_order(&shop, "t");
        if (view_is_absent(event.order.customer_id))
            event.order.customer_id = VIEW_LITERAL("c0");
        shop_apply(recommend, &event, outbox);
        uint64_t after = hash_model(market_find(&recommend->store, view_of("t")));
        lessons[i / PART_ORDERS] += after != before;
        before = after;
    }
    for (int i = 0; i < PARTS; i++)
        all += lessons[i];
    /* One in eight until there are 1,024, then one in 32; six deviations of the lot. */
    assert_in_range(lessons[0], PART_ORDERS / 8 - 125, PART_ORDERS / 8 + 125);
    assert_in_range(lessons[PARTS - 1], PART_ORDERS / 32 - 66, PART_ORDERS / 32 + 66);
    assert_true(all > 1024);
    shop_end(&shop, recommend, outbox);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(popularity_decays_as_defined),
        cmocka_unit_test(the_most_popular_are_known),
        cmocka_unit_test(neighbours_are_counted_as_defined),
        cmocka_unit_test(what_was_in_many_orders_is_counted_by_lot),
        cmocka_unit_test(old_products_make_room_for_new_ones),
        cmocka_unit_test(lessons_become_fewer),
        cmocka_unit_test(a_history_keeps_what_counts_most),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
