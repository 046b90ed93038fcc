/* What stands on a list, and what must not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shop.h"

struct world {
    struct shop shop;
    struct recommend *recommend;
    struct outbox *outbox;
};

/* A shop in which much has happened. */
static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    struct recommend_options options = shop_options();

    world->shop = shop_open(21);
    world->recommend = recommend_open(&options);
    world->outbox = outbox_create();
    for (uint32_t i = 0; i < 600; i++) {
        struct event event = shop_any_order(&world->shop, "t");
        shop_apply(world->recommend, &event, world->outbox);
    }
    assert_int_equal(outbox_count(world->outbox), 0);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    shop_end(&world->shop, world->recommend, world->outbox);
    free(world);
    return 0;
}

static const struct recommendation *ask(struct world *world, struct event *event)
{
    outbox_reset(world->outbox);
    shop_apply(world->recommend, event, world->outbox);
    assert_int_equal(outbox_count(world->outbox), 1);
    return shop_list(world->outbox);
}

static void check_order(const struct recommendation *list)
{
    const struct recommended_item *items = shop_items(list);

    for (uint32_t i = 0; i < list->items.count; i++) {
        assert_false(view_is_absent(items[i].product_id));
        assert_true(items[i].reason.size > 0);
        assert_true(i == 0 || items[i].score <= items[i - 1].score);
        for (uint32_t k = 0; k < i; k++)
            assert_false(view_is_equal(items[i].product_id, items[k].product_id));
    }
}

static void a_known_customer_gets_a_personal_list(void **state)
{
    struct world *world = *state;
    struct event event = shop_request(&world->shop, "t", "c3", 0);
    const struct recommendation *list = ask(world, &event);
    uint32_t own = 0;

    assert_int_equal(list->items.count, 10);
    assert_int_equal(list->strategy, STRATEGY_PERSONAL);
    assert_true(view_is_text(list->model_name, "weir"));
    assert_true(view_is_equal(list->request_id, event.id));
    assert_true(view_is_text(list->customer_id, "c3"));
    assert_int_equal(list->event_time_ms, event.event_time_ms);
    check_order(list);
    for (uint32_t i = 0; i < list->items.count; i++)
        own += view_has_prefix(shop_items(list)[i].reason, view_of("bought"));
    assert_true(own >= 3);
    event.request.count = 100;
    list = ask(world, &event);
    assert_int_equal(list->items.count, 100);
    check_order(list);
}

static void purchased_products_can_be_left_out(void **state)
{
    struct world *world = *state;
    struct event summary = shop_command(&world->shop, "t", "summarize-customer");

    for (uint32_t i = 0; i < SHOP_CUSTOMERS; i++) {
        struct event event =
            shop_request(&world->shop, "t", shop_text(&world->shop, "c%u", i).data, 100);
        event.request.exclude_purchased = true;
        const struct recommendation *list = ask(world, &event);
        check_order(list);
        assert_true(list->items.count >= 50);
        for (uint32_t k = 0; k < list->items.count; k++)
            assert_false(view_has_prefix(shop_items(list)[k].reason, view_of("bought")));
    }
    (void)summary;
}

static void blocked_products_never_appear(void **state)
{
    struct world *world = *state;
    struct event request = shop_request(&world->shop, "t", "c3", 5);
    const struct recommendation *list = ask(world, &request);
    struct view best = arena_copy(world->shop.arena, shop_items(list)[0].product_id);
    struct event block = shop_command(&world->shop, "t", "block-product");

    block.command.product_id = best;
    assert_true(shop_tell(&world->shop, world->recommend, &block, world->outbox).is_accepted);
    request.request.count = 100;
    assert_false(shop_has(ask(world, &request), best.data));
    struct event anybody = shop_request(&world->shop, "t", NULL, 100);
    assert_false(shop_has(ask(world, &anybody), best.data));
    block.command.type = VIEW_LITERAL("unblock-product");
    struct recommend_answer answer =
        shop_tell(&world->shop, world->recommend, &block, world->outbox);
    assert_true(answer.is_accepted);
    assert_true(view_is_text(answer.before.at[0].value, "true"));
    assert_true(shop_has(ask(world, &request), best.data));
}

/* A list twice as long on the next product that was never sold shows nothing of it. */
static void products_of_the_page_are_not_recommended_on_it(void **state)
{
    struct world *world = *state;
    struct view page[3] = {VIEW_LITERAL("p003"), VIEW_LITERAL("p011"), VIEW_LITERAL("unknown")};

    for (int known = 0; known < 2; known++) {
        struct event event = shop_request(&world->shop, "t", known != 0 ? "c5" : "stranger", 10);
        event.request.context.product_ids = (struct view_list){page, 3};
        const struct recommendation *list = ask(world, &event);
        uint32_t together = 0;
        assert_int_equal(list->strategy, STRATEGY_ITEM_ITEM);
        assert_int_equal(list->items.count, 10);
        check_order(list);
        assert_false(shop_has(list, "p003"));
        assert_false(shop_has(list, "p011"));
        for (uint32_t i = 0; i < list->items.count; i++) {
            struct view id = shop_items(list)[i].product_id;
            /* Both are of taste 3: so is what goes with them. */
            together += atoi(id.data + 1) % SHOP_TASTES == 3;
            if (known == 0)
                assert_true(view_contains(shop_items(list)[i].reason,
                                          view_of("often bought together with p0")));
        }
        assert_true(together >= 7);
    }
}

static void a_page_that_nobody_knows_shows_what_is_popular(void **state)
{
    struct world *world = *state;
    struct view page = VIEW_LITERAL("brand-new");
    struct event event = shop_request(&world->shop, "t", NULL, 10);

    event.request.context.product_ids = (struct view_list){&page, 1};
    const struct recommendation *list = ask(world, &event);
    assert_int_equal(list->strategy, STRATEGY_POPULAR_TENANT);
    assert_int_equal(list->items.count, 10);
    assert_true(view_is_text(shop_items(list)[0].reason, "popular now"));
}

static void strangers_and_nobody_get_what_is_popular(void **state)
{
    struct world *world = *state;
    struct event stranger = shop_request(&world->shop, "t", "stranger", 10);
    struct event nobody = shop_request(&world->shop, "t", NULL, 10);
    const struct recommendation *list = ask(world, &stranger);

    assert_int_equal(list->strategy, STRATEGY_POPULAR_TENANT);
    assert_true(view_is_text(list->model_name, "popularity"));
    assert_int_equal(list->items.count, 10);
    check_order(list);
    struct view first = arena_copy(world->shop.arena, shop_items(list)[0].product_id);
    list = ask(world, &nobody);
    assert_true(view_is_absent(list->customer_id));
    assert_true(view_is_equal(shop_items(list)[0].product_id, first));
}

static void an_empty_shop_gets_an_empty_list(void **state)
{
    struct world *world = *state;
    struct event event = shop_request(&world->shop, "unheard-of", "c1", 10);
    const struct recommendation *list = ask(world, &event);

    assert_int_equal(list->items.count, 0);
    assert_int_equal(list->strategy, STRATEGY_POPULAR_TENANT);
}

static void a_young_shop_shows_what_others_sell_only_if_both_share(void **state)
{
    static const struct recommend_context sharing = {.is_sharing = true};
    static const struct recommend_context keeping = {.is_sharing = false};
    struct world *world = *state;
    struct event event;

    for (uint32_t i = 0; i < 50; i++) {
        event = shop_any_order(&world->shop, "sharer");
        recommend_apply(world->recommend, &event, &sharing, world->outbox);
    }
    outbox_reset(world->outbox);
    recommend_tick(world->recommend, world->shop.now_ms, world->outbox);
    assert_int_equal(shop_bring_back(world->recommend, world->outbox, 0), 1);
    recommend_tick(world->recommend, world->shop.now_ms + 1000, world->outbox);
    outbox_reset(world->outbox);
    event = shop_request(&world->shop, "young", "c1", 10);
    recommend_apply(world->recommend, &event, &keeping, world->outbox);
    assert_int_equal(shop_list(world->outbox)->items.count, 0);
    recommend_apply(world->recommend, &event, &sharing, world->outbox);
    assert_int_equal(shop_list(world->outbox)->items.count, 10);
    assert_int_equal(shop_list(world->outbox)->strategy, STRATEGY_POPULAR_ALL);
    assert_true(
        view_is_text(shop_items(shop_list(world->outbox))[0].reason, "popular in other shops now"));
    /* Its own few products first. */
    uint32_t own[2] = {900, 901};
    event = shop_order(&world->shop, "young", "c1", own, 2);
    recommend_apply(world->recommend, &event, &keeping, world->outbox);
    event = shop_request(&world->shop, "young", "c1", 10);
    recommend_apply(world->recommend, &event, &sharing, world->outbox);
    const struct recommendation *list = shop_list(world->outbox);
    assert_int_equal(list->items.count, 10);
    assert_true(view_has_prefix(shop_items(list)[0].product_id, view_of("p90")));
    assert_true(view_has_prefix(shop_items(list)[1].product_id, view_of("p90")));
    assert_int_equal(list->strategy, STRATEGY_PERSONAL);
    /* What "t" sells, which does not share, is in nobody's list. */
    event = shop_request(&world->shop, "young", NULL, 100);
    recommend_apply(world->recommend, &event, &sharing, world->outbox);
    list = shop_list(world->outbox);
    struct event known = shop_request(&world->shop, "sharer", NULL, 100);
    struct outbox *other = outbox_create();
    shop_apply(world->recommend, &known, other);
    assert_true(list->items.count <= shop_list(other)->items.count + 2);
    outbox_destroy(other);
}

static void a_list_made_twice_is_one_list(void **state)
{
    struct world *world = *state;
    struct event event = shop_request(&world->shop, "t", "c1", 10);

    ask(world, &event);
    struct view first = arena_copy(world->shop.arena, outbox_at(world->outbox, 0)->id);
    ask(world, &event);
    assert_true(view_is_equal(outbox_at(world->outbox, 0)->id, first));
    event.request.customer_id = VIEW_LITERAL("c2");
    ask(world, &event);
    assert_false(view_is_equal(outbox_at(world->outbox, 0)->id, first));
    event.request.customer_id = VIEW_LITERAL("c1");
    event.id = VIEW_LITERAL("another");
    ask(world, &event);
    assert_false(view_is_equal(outbox_at(world->outbox, 0)->id, first));
}

static void lists_are_pushed_when_enabled(void **state)
{
    struct world *world = *state;
    struct event order = shop_any_order(&world->shop, "t");
    struct event command = shop_command(&world->shop, "t", "push-recommendations");

    order.order.customer_id = VIEW_LITERAL("c1");
    shop_apply(world->recommend, &order, world->outbox);
    assert_int_equal(outbox_count(world->outbox), 0);
    command.command.enabled = true;
    assert_true(shop_tell(&world->shop, world->recommend, &command, world->outbox).is_accepted);
    order.id = VIEW_LITERAL("e-2");
    shop_apply(world->recommend, &order, world->outbox);
    assert_int_equal(outbox_count(world->outbox), 1);
    assert_true(view_is_text(shop_list(world->outbox)->customer_id, "c1"));
    assert_true(view_is_absent(shop_list(world->outbox)->request_id));
    order.order.customer_id = (struct view){NULL, 0};
    shop_apply(world->recommend, &order, world->outbox);
    order.order.customer_id = VIEW_LITERAL("c1");
    order.order.status = ORDER_CANCELLED;
    shop_apply(world->recommend, &order, world->outbox);
    assert_int_equal(outbox_count(world->outbox), 1);
}

/* Carts and ratings move a product up, a bad rating moves it down. */
static void interactions_move_products(void **state)
{
    struct world *world = *state;
    struct event event;

    for (uint32_t i = 0; i < 3; i++) {
        event = shop_interaction(&world->shop, "t", "fresh", INTERACTION_ADD_TO_CART, 777);
        shop_apply(world->recommend, &event, world->outbox);
    }
    event = shop_request(&world->shop, "t", "fresh", 100);
    const struct recommendation *list = ask(world, &event);
    assert_int_equal(list->strategy, STRATEGY_PERSONAL);
    assert_true(shop_has(list, "p777"));
    event = shop_interaction(&world->shop, "t", "c1", INTERACTION_RATING, 8);
    event.interaction.value = 5;
    shop_apply(world->recommend, &event, world->outbox);
    event = shop_command(&world->shop, "t", "summarize-tenant");
    assert_true(shop_tell(&world->shop, world->recommend, &event, world->outbox).is_accepted);
    const struct result *totals = outbox_at(world->outbox, outbox_count(world->outbox) - 2);
    assert_int_equal(totals->kind, RESULT_ANALYTICS);
    assert_true(view_is_text(totals->analytics.type, "totals"));
    const struct analytics_item *items = totals->analytics.items.at;
    uint32_t seen = 0;
    for (uint32_t i = 0; i < totals->analytics.items.count; i++) {
        if (view_is_text(items[i].subject, "orders"))
            seen += items[i].value == 600;
        if (view_is_text(items[i].subject, "carts"))
            seen += items[i].value == 3;
        if (view_is_text(items[i].subject, "ratings"))
            seen += items[i].value == 1;
        if (view_is_text(items[i].subject, "recommendations"))
            seen += items[i].value == 1;
    }
    assert_int_equal(seen, 4);
}

static void models_can_be_selected(void **state)
{
    struct world *world = *state;

    for (int model = 0; recommend_model_names[model] != NULL; model++) {
        struct event command = shop_command(&world->shop, "t", "select-model");
        command.command.model_name = view_of(recommend_model_names[model]);
        assert_true(shop_tell(&world->shop, world->recommend, &command, world->outbox).is_accepted);
        for (uint32_t i = 0; i < 50; i++) {
            struct event order = shop_any_order(&world->shop, "t");
            shop_apply(world->recommend, &order, world->outbox);
        }
        struct event event = shop_request(&world->shop, "t", "c1", 10);
        const struct recommendation *list = ask(world, &event);
        assert_true(view_is_text(list->model_name, recommend_model_names[model]));
        assert_int_equal(list->items.count, 10);
        check_order(list);
    }
    struct event command = shop_command(&world->shop, "t", "select-model");
    command.command.model_name = VIEW_LITERAL("wishful-thinking");
    struct recommend_answer answer =
        shop_tell(&world->shop, world->recommend, &command, world->outbox);
    assert_false(answer.is_accepted);
    assert_true(view_contains(answer.error, view_of("weir, popularity")));
    command.command.model_name = VIEW_LITERAL("weir");
    command.command.model_version = VIEW_LITERAL("99");
    assert_false(shop_tell(&world->shop, world->recommend, &command, world->outbox).is_accepted);
}

/* No byte of the name stays in what is saved. */
static void a_forgotten_customer_leaves_no_trace(void **state)
{
    struct world *world = *state;
    uint32_t products[] = {1, 2, 3};
    struct event order = shop_order(&world->shop, "t", "jane-doe", products, 3);
    struct event job = shop_request(&world->shop, "t", NULL, 5);
    struct view customers[2] = {VIEW_LITERAL("c1"), VIEW_LITERAL("jane-doe")};
    struct event command = shop_command(&world->shop, "t", "forget-customer");
    struct byte_writer out;

    job.request.customer_ids = (struct view_list){customers, 2};
    shop_apply(world->recommend, &order, world->outbox);
    shop_apply(world->recommend, &job, world->outbox);
    assert_false(shop_tell(&world->shop, world->recommend, &command, world->outbox).is_accepted);
    command.command.customer_id = VIEW_LITERAL("jane-doe");
    struct recommend_answer answer =
        shop_tell(&world->shop, world->recommend, &command, world->outbox);
    assert_true(answer.is_accepted);
    assert_true(view_is_text(answer.before.at[0].value, "true"));
    assert_true(view_is_text(answer.after.at[0].value, "false"));
    byte_writer_init(&out);
    recommend_save(world->recommend, &out);
    assert_false(view_contains(byte_writer_view(&out), view_of("jane-doe")));
    byte_writer_free(&out);
    struct event request = shop_request(&world->shop, "t", "jane-doe", 5);
    assert_int_equal(ask(world, &request)->strategy, STRATEGY_POPULAR_TENANT);
    assert_true(shop_tell(&world->shop, world->recommend, &command, world->outbox).is_accepted);
}

static void cancelled_orders_teach_nothing(void **state)
{
    struct world *world = *state;
    uint32_t products[] = {888};
    struct event order = shop_order(&world->shop, "t", "c1", products, 1);
    struct event request = shop_request(&world->shop, "t", "c1", 100);

    order.order.status = ORDER_CANCELLED;
    shop_apply(world->recommend, &order, world->outbox);
    assert_false(shop_has(ask(world, &request), "p888"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_known_customer_gets_a_personal_list),
        TEST(purchased_products_can_be_left_out),
        TEST(blocked_products_never_appear),
        TEST(products_of_the_page_are_not_recommended_on_it),
        TEST(a_page_that_nobody_knows_shows_what_is_popular),
        TEST(strangers_and_nobody_get_what_is_popular),
        TEST(an_empty_shop_gets_an_empty_list),
        TEST(a_young_shop_shows_what_others_sell_only_if_both_share),
        TEST(a_list_made_twice_is_one_list),
        TEST(lists_are_pushed_when_enabled),
        TEST(interactions_move_products),
        TEST(models_can_be_selected),
        TEST(a_forgotten_customer_leaves_no_trace),
        TEST(cancelled_orders_teach_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
