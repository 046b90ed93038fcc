/* The laws of the machine: determinism, transparent snapshots, isolation, bounded memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shop.h"

enum { ROUNDS = 1200 };

/* A bit of everything that may happen, in three shops; two of them share. */
static void play(struct shop *shop, struct recommend *recommend, uint32_t rounds,
                 struct outbox *outbox)
{
    static const char *const tenants[] = {"north", "south", "west"};
    struct view customers[5];

    for (uint32_t i = 0; i < rounds; i++) {
        uint64_t tenant = shop_draw(shop, 3), what = shop_draw(shop, 20);
        struct recommend_context context = {.is_sharing = tenant != 0};
        const char *customer =
            shop_text(shop, "c%u", (unsigned)shop_draw(shop, SHOP_CUSTOMERS + 2)).data;
        struct event event;
        if (what < 12) {
            event = shop_any_order(shop, tenants[tenant]);
        } else if (what < 15) {
            event = shop_interaction(shop, tenants[tenant], customer,
                                     (enum interaction_type)shop_draw(shop, 6),
                                     (uint32_t)shop_draw(shop, SHOP_PRODUCTS));
            event.interaction.value = 1 + (double)shop_draw(shop, 5);
        } else if (what < 18) {
            event = shop_request(shop, tenants[tenant], customer, 1 + (int64_t)shop_draw(shop, 30));
            event.request.exclude_purchased = shop_draw(shop, 2) == 0;
        } else if (what < 19) {
            event = shop_request(shop, tenants[tenant], NULL, 5);
            for (uint32_t k = 0; k < 5; k++)
                customers[k] = shop_text(shop, "c%u", (unsigned)shop_draw(shop, SHOP_CUSTOMERS));
            event.request.customer_ids = (struct view_list){customers, 5};
        } else {
            uint32_t from = outbox_count(outbox);
            recommend_tick(recommend, shop->now_ms, outbox);
            shop_bring_back(recommend, outbox, from);
            continue;
        }
        recommend_apply(recommend, &event, &context, outbox);
    }
}

static struct recommend *load_copy(const struct recommend_options *options,
                                   const struct recommend *recommend)
{
    struct byte_writer out;
    struct failure failure = {0};

    byte_writer_init(&out);
    recommend_save(recommend, &out);
    struct byte_reader in = byte_reader_of(out.data, out.size);
    struct recommend *loaded = recommend_load(options, &in, &failure);
    assert_non_null(loaded);
    assert_int_equal(byte_reader_left(&in), 0);
    byte_writer_free(&out);
    return loaded;
}

static struct recommend *reload_under(const struct recommend_options *options,
                                      struct recommend *recommend)
{
    struct recommend *loaded = load_copy(options, recommend);

    recommend_close(recommend);
    return loaded;
}

static struct recommend *reload(const struct recommend_options *options,
                                struct recommend *recommend)
{
    struct recommend_stats stats, loaded_stats;
    struct recommend *loaded = load_copy(options, recommend);

    assert_int_equal(recommend_digest(loaded), recommend_digest(recommend));
    recommend_stats(recommend, &stats);
    recommend_stats(loaded, &loaded_stats);
    assert_memory_equal(&loaded_stats, &stats, sizeof stats);
    recommend_close(recommend);
    return loaded;
}

/* Plays the same twice, the second time saved and loaded after every `every` rounds. */
static void compare_with_reloads(struct recommend_options options, uint32_t every)
{
    struct shop shop = shop_open(1), again = shop_open(1);
    struct recommend *one = recommend_open(&options), *other = recommend_open(&options);
    struct outbox *results = outbox_create(), *others = outbox_create();
    struct recommend_stats stats, other_stats;

    for (uint32_t done = 0; done < ROUNDS; done += 100) {
        outbox_reset(results);
        outbox_reset(others);
        play(&shop, one, 100, results);
        for (uint32_t i = 0; i < 100; i += every) {
            play(&again, other, every, others);
            if (every < 100)
                other = reload(&options, other);
        }
        assert_true(outbox_count(results) > 10);
        assert_true(shop_same(results, others));
        assert_int_equal(recommend_digest(one), recommend_digest(other));
    }
    recommend_stats(one, &stats);
    recommend_stats(other, &other_stats);
    assert_memory_equal(&stats, &other_stats, sizeof stats);
    shop_end(&shop, one, results);
    shop_end(&again, other, others);
}

static void the_same_events_give_the_same_bytes(void **state)
{
    (void)state;
    compare_with_reloads(shop_options(), 100);
}

static void a_loaded_state_goes_on_as_the_saved_one(void **state)
{
    (void)state;
    for (int64_t model = 0; recommend_model_names[model] != NULL; model++) {
        struct recommend_options options = shop_options();
        options.model = model;
        options.summary_ms = SHOP_HOUR_MS;
        compare_with_reloads(options, 20);
    }
}

/* So that whatever must be dropped is dropped while it runs. */
static void the_same_holds_when_memory_is_short(void **state)
{
    struct recommend_options options = shop_options();

    (void)state;
    options.bytes_max = 400000;
    options.history_products_max = 16;
    options.neighbours_max = 24;
    options.is_pushing = true;
    compare_with_reloads(options, 1);
}

/* Tenants follow the model and push of the configuration unless a command said otherwise, and no
 * limit is too low for what was saved under a higher one. */
static void a_state_of_other_options_follows_them(void **state)
{
    static const char *const names[] = {"north", "south"};
    struct recommend_options options = shop_options();
    struct shop shop = shop_open(1);
    struct outbox *outbox = outbox_create();
    struct recommend *recommend = recommend_open(&options);
    struct recommend_stats before, after;
    struct event event;

    (void)state;
    play(&shop, recommend, ROUNDS, outbox);
    event = shop_command(&shop, names[1], "select-model");
    event.command.model_name = VIEW_LITERAL("knn");
    shop_tell(&shop, recommend, &event, outbox);
    recommend_stats(recommend, &before);
    while (strcmp(recommend_model_names[options.model], "popularity") != 0)
        options.model++;
    options.is_pushing = true;
    options.history_products_max = 16;
    options.neighbours_max = 8;
    recommend = reload_under(&options, recommend);
    recommend_stats(recommend, &after);
    assert_int_equal(after.customers, before.customers);
    assert_int_equal(after.products, before.products);
    assert_true(after.pairs < before.pairs && after.pairs > 0);
    for (uint32_t tenant = 0; tenant < 2; tenant++) {
        outbox_reset(outbox);
        event = shop_order(&shop, names[tenant], "c1", (const uint32_t[]){1, 2}, 2);
        shop_apply(recommend, &event, outbox);
        assert_true(
            view_is_text(shop_list(outbox)->model_name, tenant == 0 ? "popularity" : "knn"));
    }
    play(&shop, recommend, 100, outbox);
    recommend = reload(&options, recommend);
    shop_end(&shop, recommend, outbox);
}

static void state_stays_within_its_budget(void **state)
{
    struct recommend_options options = shop_options();
    struct shop shop = shop_open(3);
    struct outbox *outbox = outbox_create();
    struct recommend_stats stats;

    (void)state;
    options.bytes_max = 300000;
    struct recommend *recommend = recommend_open(&options);
    for (uint32_t i = 0; i < 3000; i++) {
        struct event event =
            shop_any_order(&shop, shop_text(&shop, "t%u", (unsigned)shop_draw(&shop, 9)).data);
        shop_apply(recommend, &event, outbox);
        recommend_stats(recommend, &stats);
        assert_true(stats.bytes <= options.bytes_max);
    }
    assert_true(stats.customers_evicted > 0);
    assert_true(stats.customers > 0);
    shop_end(&shop, recommend, outbox);
}

/* Asks for everybody that the tenant may have. */
static void summarize_customers(struct shop *shop, const char *tenant, struct recommend *recommend,
                                struct outbox *outbox)
{
    for (uint32_t i = 0; i < SHOP_CUSTOMERS; i++) {
        struct event event = shop_command(shop, tenant, "summarize-customer");
        event.command.customer_id = shop_text(shop, "c%u", i);
        shop_tell(shop, recommend, &event, outbox);
    }
}

/* While another tenant is far below its bound, and the budget of all is not reached. */
static void a_tenant_stays_within_its_own_bound(void **state)
{
    struct recommend_options options = shop_options();
    struct shop shop = shop_open(8);
    struct outbox *outbox = outbox_create();
    struct recommend_stats small, stats = {0};

    (void)state;
    options.tenant_bytes_max = 250000;
    struct recommend *recommend = recommend_open(&options);
    for (uint32_t i = 0; i < 30; i++) {
        struct event event = shop_any_order(&shop, "small");
        shop_apply(recommend, &event, outbox);
    }
    recommend_stats(recommend, &small);
    for (uint32_t i = 0; i < 3000; i++) {
        uint32_t product = i;
        struct event event =
            shop_order(&shop, "large", shop_text(&shop, "l%u", i).data, &product, 1);
        shop_apply(recommend, &event, outbox);
        recommend_stats(recommend, &stats);
        assert_true(stats.bytes <= small.bytes + 250000);
    }
    assert_true(stats.bytes > small.bytes + 125000);
    assert_true(stats.customers_evicted > 1000);
    assert_int_equal(stats.tenants_evicted, 0);
    assert_true(stats.customers > small.customers);
    summarize_customers(&shop, "small", recommend, outbox);
    assert_true(outbox_count(outbox) >= small.customers);
    shop_end(&shop, recommend, outbox);
}

/* Whatever a tenant does that shares nothing, nobody else's results or memory change. */
static void a_poisoned_tenant_changes_nobody_else(void **state)
{
    struct recommend_options options = shop_options();
    struct shop shop = shop_open(4), again = shop_open(4), poison = shop_open(5);
    struct recommend *alone = recommend_open(&options), *beside = recommend_open(&options);
    struct outbox *results = outbox_create(), *others = outbox_create(), *dust = outbox_create();
    uint32_t products[SHOP_PRODUCTS];

    (void)state;
    for (uint32_t i = 0; i < SHOP_PRODUCTS; i++)
        products[i] = i;
    for (uint32_t i = 0; i < 500; i++) {
        struct event event = shop_any_order(&shop, "good");
        struct event copy = shop_any_order(&again, "good");
        shop_apply(alone, &event, results);
        poison.now_ms = copy.event_time_ms + (int64_t)(i % 7) * 1000 * SHOP_HOUR_MS;
        struct event bad = shop_order(&poison, i % 2 == 0 ? "bad" : "good\n", "c1", products,
                                      1 + (uint32_t)shop_draw(&poison, SHOP_PRODUCTS));
        shop_apply(beside, &bad, dust);
        shop_apply(beside, &copy, others);
        event = shop_request(&shop, "good", i % 3 == 0 ? NULL : "c1", 20);
        copy = shop_request(&again, "good", i % 3 == 0 ? NULL : "c1", 20);
        shop_apply(alone, &event, results);
        shop_apply(beside, &copy, others);
    }
    assert_true(shop_same(results, others));
    outbox_destroy(dust);
    shop_end(&shop, alone, results);
    shop_end(&again, beside, others);
    shop_close(&poison);
}

static struct recommend_context context_of(const char *tenant)
{
    /* `good` shares nothing; of the others only `young` has too few orders to have its own. */
    return (struct recommend_context){.is_sharing = strcmp(tenant, "good") != 0,
                                      .is_enterprise = true};
}

static void say(struct recommend *recommend, const struct event *event, const char *tenant,
                struct outbox *outbox)
{
    struct recommend_context context = context_of(tenant);

    recommend_apply(recommend, event, &context, outbox);
}

/* One round of decent tenants; all draws come from `shop`, so that two worlds hear the same. */
static void live(struct shop *shop, struct recommend *recommend, uint32_t round,
                 struct outbox *outbox)
{
    static const char *const tenants[] = {"good", "friend"};
    char customer[16];

    for (int i = 0; i < 2; i++) {
        struct event event = shop_any_order(shop, tenants[i]);
        say(recommend, &event, tenants[i], outbox);
        snprintf(customer, sizeof customer, "c%u", (unsigned)shop_draw(shop, SHOP_CUSTOMERS));
        event = shop_interaction(shop, tenants[i], customer, INTERACTION_VIEW,
                                 (uint32_t)shop_draw(shop, SHOP_PRODUCTS));
        say(recommend, &event, tenants[i], outbox);
        event = shop_request(shop, tenants[i], round % 3 == 0 ? NULL : customer, 20);
        say(recommend, &event, tenants[i], outbox);
    }
    if (round % 40 == 20) {
        const uint32_t own = 7;
        struct event event = shop_order(shop, "young", "c1", &own, 1);
        say(recommend, &event, "young", outbox);
    }
    struct event event = shop_request(shop, "young", "c1", 10);
    say(recommend, &event, "young", outbox);
}

/* Everything that somebody of ill will can say: huge orders of products that others have too,
 * looks, requests, jobs, commands. */
static void poison_a_round(struct shop *shop, struct recommend *recommend, uint32_t round,
                           struct outbox *outbox)
{
    static const char *const commands[] = {"block-product",     "forget-customer",
                                           "request-isolation", "approve-isolation",
                                           "summarize-tenant",  "revoke-isolation"};
    static const char *const names[] = {"bad", "good\n", "goo", "young "};
    const char *tenant = names[round % 4];
    struct recommend_context context = {.is_sharing = true, .is_enterprise = true};
    struct view customers[3] = {VIEW_LITERAL("c1"), VIEW_LITERAL("c2"), VIEW_LITERAL("c3")};
    uint32_t products[SHOP_PRODUCTS];

    for (uint32_t i = 0; i < SHOP_PRODUCTS; i++)
        products[i] = i;
    struct event event =
        shop_order(shop, tenant, "c1", products, 1 + (uint32_t)shop_draw(shop, SHOP_PRODUCTS));
    recommend_apply(recommend, &event, &context, outbox);
    event = shop_interaction(shop, tenant, "c2", INTERACTION_ADD_TO_CART, round % SHOP_PRODUCTS);
    recommend_apply(recommend, &event, &context, outbox);
    event = shop_request(shop, tenant, NULL, 5);
    event.request.customer_ids = (struct view_list){customers, 3};
    recommend_apply(recommend, &event, &context, outbox);
    event = shop_command(shop, tenant, commands[round % 6]);
    event.command.product_id = VIEW_LITERAL("p007");
    event.command.customer_id = VIEW_LITERAL("c1");
    shop_tell(shop, recommend, &event, outbox);
}

/* The results of one tenant, in order. */
static struct outbox *results_of(const struct outbox *all, const char *tenant)
{
    struct outbox *own = outbox_create();

    for (uint32_t i = 0; i < outbox_count(all); i++)
        if (view_is_text(outbox_at(all, i)->tenant_id, tenant))
            outbox_add(own, outbox_at(all, i));
    return own;
}

static bool is_foreign(const struct recommended_item *item)
{
    return view_is_text(item->reason, "popular in other shops now");
}

/* The lists of `young` in both worlds: what is its own is the same, in the same places, and
 * whatever else differs came as popularity. Returns how many places differ. */
static uint32_t compare_young(const struct outbox *a, const struct outbox *b)
{
    uint32_t differing = 0;

    assert_int_equal(outbox_count(a), outbox_count(b));
    for (uint32_t i = 0; i < outbox_count(a); i++) {
        if (outbox_at(a, i)->kind != RESULT_RECOMMENDATION)
            continue;
        const struct recommendation *one = &outbox_at(a, i)->recommendation;
        const struct recommendation *other = &outbox_at(b, i)->recommendation;
        for (uint32_t k = 0; k < one->items.count && k < other->items.count; k++) {
            const struct recommended_item *left = &shop_items(one)[k],
                                          *right = &shop_items(other)[k];
            assert_true(is_foreign(left) == is_foreign(right));
            if (view_is_equal(left->product_id, right->product_id) && left->score == right->score)
                continue;
            assert_true(is_foreign(left) && is_foreign(right));
            differing++;
        }
    }
    return differing;
}

static void compare_tenant(const struct outbox *a, const struct outbox *b, const char *tenant)
{
    struct outbox *one = results_of(a, tenant), *other = results_of(b, tenant);

    assert_true(outbox_count(one) > 100);
    assert_true(shop_same(one, other));
    outbox_destroy(one);
    outbox_destroy(other);
}

/* Where tenants share, popularity is all that passes, and only to those who share and have
 * little of their own. */
static void sharing_lets_popularity_through_and_nothing_else(void **state)
{
    struct recommend_options options = shop_options();
    struct shop shop = shop_open(8), again = shop_open(8), poison = shop_open(9);
    struct outbox *results = outbox_create(), *others = outbox_create();

    (void)state;
    options.share_ms = SHOP_HOUR_MS;
    struct recommend *alone = recommend_open(&options), *beside = recommend_open(&options);
    for (uint32_t round = 0; round < 160; round++) {
        uint32_t from = outbox_count(results), others_from = outbox_count(others);
        live(&shop, alone, round, results);
        poison.now_ms = again.now_ms;
        poison_a_round(&poison, beside, round, others);
        live(&again, beside, round, others);
        assert_int_equal(shop.now_ms, again.now_ms);
        recommend_tick(alone, shop.now_ms, results);
        recommend_tick(beside, shop.now_ms, others);
        shop_bring_back(alone, results, from);
        shop_bring_back(beside, others, others_from);
    }
    compare_tenant(results, others, "good");
    compare_tenant(results, others, "friend");
    struct outbox *young = results_of(results, "young"), *poisoned = results_of(others, "young");
    assert_true(compare_young(young, poisoned) > 0);
    outbox_destroy(young);
    outbox_destroy(poisoned);
    shop_end(&shop, alone, results);
    shop_end(&again, beside, others);
    shop_close(&poison);
}

/* Within a budget too: the one that takes most is the one that loses. */
static void a_greedy_tenant_loses_its_own_customers(void **state)
{
    struct recommend_options options = shop_options();
    struct shop shop = shop_open(6);
    struct outbox *outbox = outbox_create();
    struct recommend_stats before, after;
    uint32_t products[SHOP_PRODUCTS];

    (void)state;
    options.bytes_max = 2000000;
    struct recommend *recommend = recommend_open(&options);
    for (uint32_t i = 0; i < 100; i++) {
        struct event event = shop_any_order(&shop, "good");
        shop_apply(recommend, &event, outbox);
    }
    recommend_stats(recommend, &before);
    for (uint32_t i = 0; i < SHOP_PRODUCTS; i++)
        products[i] = i;
    for (uint32_t i = 0; i < 2000; i++) {
        struct event event =
            shop_order(&shop, "greedy", shop_text(&shop, "g%u", i).data, products, 50);
        shop_apply(recommend, &event, outbox);
    }
    recommend_stats(recommend, &after);
    assert_true(after.customers_evicted > 0);
    assert_int_equal(after.tenants_evicted, 0);
    summarize_customers(&shop, "good", recommend, outbox);
    assert_true(outbox_count(outbox) >= before.customers);
    shop_end(&shop, recommend, outbox);
}

static void broken_bytes_are_refused(void **state)
{
    struct recommend_options options = shop_options();
    struct shop shop = shop_open(7);
    struct outbox *outbox = outbox_create();
    struct recommend *recommend = recommend_open(&options);
    struct byte_writer out;
    struct failure failure;

    (void)state;
    play(&shop, recommend, 300, outbox);
    byte_writer_init(&out);
    recommend_save(recommend, &out);
    for (size_t size = 0; size < out.size; size += 1 + size / 50) {
        char *copy = malloc(size + 1);
        memcpy(copy, out.data, size);
        struct byte_reader in = byte_reader_of(copy, size);
        assert_null(recommend_load(&options, &in, &failure));
        assert_int_equal(failure.remedy, REMEDY_STOP);
        free(copy);
    }
    /* A flipped bit may give another state, but never a crash. */
    for (uint32_t i = 0; i < 2000; i++) {
        size_t at = (size_t)shop_draw(&shop, out.size);
        char bit = (char)(1 << shop_draw(&shop, 8));
        out.data[at] ^= bit;
        struct byte_reader in = byte_reader_of(out.data, out.size);
        struct recommend *loaded = recommend_load(&options, &in, &failure);
        if (loaded != NULL) {
            outbox_reset(outbox);
            struct event event = shop_request(&shop, "north", "c1", 10);
            shop_apply(loaded, &event, outbox);
            recommend_close(loaded);
        }
        out.data[at] ^= bit;
    }
    byte_writer_free(&out);
    shop_end(&shop, recommend, outbox);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_events_give_the_same_bytes),
        cmocka_unit_test(a_loaded_state_goes_on_as_the_saved_one),
        cmocka_unit_test(the_same_holds_when_memory_is_short),
        cmocka_unit_test(a_state_of_other_options_follows_them),
        cmocka_unit_test(state_stays_within_its_budget),
        cmocka_unit_test(a_tenant_stays_within_its_own_bound),
        cmocka_unit_test(a_poisoned_tenant_changes_nobody_else),
        cmocka_unit_test(sharing_lets_popularity_through_and_nothing_else),
        cmocka_unit_test(a_greedy_tenant_loses_its_own_customers),
        cmocka_unit_test(broken_bytes_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
