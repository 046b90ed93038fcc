/* Dedicated models: the steps of a request, fits in slices, the month, forgetting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shop.h"

enum { ORDERS = 600, TICKS_MAX = 5000 };
#define MONTH_MS (30 * 24 * SHOP_HOUR_MS)

struct world {
    struct shop shop;
    struct recommend_options options;
    struct recommend *recommend;
    struct outbox *outbox;
    struct recommend_answer answer;
    bool is_enterprise;
};

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof *world);

    world->options = shop_options();
    world->options.summary_ms = 0;
    world->options.dedicated_orders_min = ORDERS;
    world->shop = shop_open(51);
    world->recommend = recommend_open(&world->options);
    world->outbox = outbox_create();
    world->is_enterprise = true;
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

static void apply(struct world *world, const struct event *event)
{
    struct recommend_context context = {.is_sharing = true, .is_enterprise = world->is_enterprise};

    recommend_apply(world->recommend, event, &context, world->outbox);
}

static void buy(struct world *world, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct event event = shop_any_order(&world->shop, "acme");
        apply(world, &event);
    }
}

static bool tell(struct world *world, const char *type, const char *subject)
{
    struct recommend_context context = {.is_enterprise = world->is_enterprise};
    struct event event = shop_command(&world->shop, "acme", type);

    event.command.actor = VIEW_LITERAL("eve");
    if (subject != NULL)
        event.command.subject = view_of(subject);
    recommend_command(world->recommend, &event, &context, world->shop.arena, world->outbox,
                      &world->answer);
    return world->answer.is_accepted;
}

static const char *value_of(struct world *world, struct pair_list pairs, const char *name)
{
    for (uint32_t i = 0; i < pairs.count; i++)
        if (view_is_text(pairs.at[i].name, name))
            return arena_print(world->shop.arena, "%.*s", VIEW_PRINT(pairs.at[i].value));
    return "";
}

static const char *status_of(struct world *world, const char *name)
{
    assert_true(tell(world, "isolation-status", NULL));
    return value_of(world, world->answer.result, name);
}

static const struct recommendation *ask(struct world *world)
{
    struct event event = shop_request(&world->shop, "acme", "c1", 10);

    apply(world, &event);
    return shop_list(world->outbox);
}

static void check_model(struct world *world, const char *name, const char *version)
{
    const struct recommendation *list = ask(world);

    assert_true(view_is_text(list->model_name, name));
    assert_true(view_is_text(list->model_version, version));
    assert_int_equal(list->strategy, STRATEGY_PERSONAL);
    assert_true(list->items.count > 0);
}

static void tick(struct world *world)
{
    recommend_tick(world->recommend, world->shop.now_ms, world->outbox);
}

/* Until nothing is left to do; returns how many ticks it took. */
static uint32_t work(struct world *world)
{
    uint32_t ticks = 0;

    do {
        world->shop.now_ms++;
        tick(world);
        assert_true(ticks++ < TICKS_MAX);
    } while (recommend_is_busy(world->recommend));
    return ticks;
}

static const struct result *last_audit(const struct world *world)
{
    const struct result *audit = NULL;

    for (uint32_t i = 0; i < outbox_count(world->outbox); i++)
        if (outbox_at(world->outbox, i)->kind == RESULT_AUDIT)
            audit = outbox_at(world->outbox, i);
    return audit;
}

static void grant(struct world *world)
{
    assert_true(tell(world, "request-isolation", NULL));
    assert_true(tell(world, "approve-isolation", NULL));
    assert_true(tell(world, "create-tenant-model", NULL));
}

static bool is_refused(const struct world *world, const char *why)
{
    return !world->answer.is_accepted && view_contains(world->answer.error, view_of(why));
}

static void each_step_needs_the_one_before(void **state)
{
    struct world *world = *state;

    world->is_enterprise = false;
    assert_false(tell(world, "request-isolation", NULL));
    assert_true(is_refused(world, "plan is enterprise"));
    world->is_enterprise = true;
    assert_false(tell(world, "approve-isolation", NULL));
    assert_true(is_refused(world, "request-isolation comes first"));
    assert_false(tell(world, "create-tenant-model", NULL));
    assert_string_equal(status_of(world, "status"), "none");
    assert_true(tell(world, "request-isolation", NULL));
    assert_string_equal(value_of(world, world->answer.before, "status"), "none");
    assert_string_equal(value_of(world, world->answer.after, "status"), "pending");
    assert_string_equal(value_of(world, world->answer.after, "requested_by"), "eve");
    const char *id = value_of(world, world->answer.after, "request_id");
    assert_true(id[0] != '\0');
    assert_false(tell(world, "request-isolation", NULL));
    assert_true(is_refused(world, "is pending"));
    assert_false(tell(world, "create-tenant-model", NULL));
    assert_true(is_refused(world, "is pending"));
    assert_false(tell(world, "approve-isolation", "another"));
    assert_true(is_refused(world, id));
    assert_true(tell(world, "approve-isolation", id));
    assert_false(tell(world, "reject-isolation", NULL));
    buy(world, ORDERS - 1);
    assert_false(tell(world, "create-tenant-model", NULL));
    assert_true(is_refused(world, "599 orders; a dedicated model needs 600"));
    assert_string_equal(status_of(world, "status"), "approved");
    buy(world, 1);
    assert_true(tell(world, "create-tenant-model", NULL));
    assert_string_equal(value_of(world, world->answer.after, "status"), "training");
    assert_false(tell(world, "create-tenant-model", NULL));
}

static void a_rejected_tenant_may_ask_again(void **state)
{
    struct world *world = *state;

    assert_true(tell(world, "request-isolation", NULL));
    const char *first = status_of(world, "request_id");
    assert_true(tell(world, "reject-isolation", NULL));
    assert_string_equal(status_of(world, "status"), "rejected");
    assert_string_equal(status_of(world, "decided_by"), "eve");
    assert_false(tell(world, "approve-isolation", NULL));
    assert_true(tell(world, "request-isolation", NULL));
    assert_string_not_equal(status_of(world, "request_id"), first);
    assert_string_equal(status_of(world, "decided_by"), "");
}

static void weights_are_fitted_slice_by_slice(void **state)
{
    struct world *world = *state;

    buy(world, ORDERS);
    grant(world);
    check_model(world, "weir", "1");
    assert_true(work(world) > 10);
    check_model(world, "dedicated", "1");
    const struct result *audit = last_audit(world);
    assert_non_null(audit);
    assert_true(view_is_text(audit->audit.action, "model.fitted"));
    assert_true(view_is_text(audit->tenant_id, "acme"));
    assert_string_equal(value_of(world, audit->audit.before, "model_version"), "0");
    assert_string_equal(value_of(world, audit->audit.after, "model_version"), "1");
    assert_string_equal(value_of(world, audit->audit.after, "status"), "active");
    double without = atof(value_of(world, audit->audit.after, "loss_default"));
    double with = atof(value_of(world, audit->audit.after, "loss_dedicated"));
    assert_true(without > 0 && with <= without);
    assert_string_equal(status_of(world, "fitted_orders"), status_of(world, "orders_kept"));
}

static void a_month_later_they_are_fitted_anew(void **state)
{
    struct world *world = *state;

    buy(world, ORDERS);
    grant(world);
    work(world);
    check_model(world, "dedicated", "1");
    world->shop.now_ms += MONTH_MS - 60000;
    work(world);
    check_model(world, "dedicated", "1");
    world->shop.now_ms += 60000;
    assert_true(work(world) > 10);
    check_model(world, "dedicated", "2");
}

static void a_revoked_model_is_gone(void **state)
{
    struct world *world = *state;

    buy(world, ORDERS);
    grant(world);
    work(world);
    check_model(world, "dedicated", "1");
    assert_true(tell(world, "revoke-isolation", NULL));
    check_model(world, "weir", "1");
    work(world);
    check_model(world, "weir", "1");
    assert_string_equal(status_of(world, "status"), "revoked");
    grant(world);
    work(world);
    /* A version names one set of weights, whichever request they came from. */
    check_model(world, "dedicated", "2");
}

static void other_kinds_of_model_are_left_alone(void **state)
{
    struct world *world = *state;
    struct event event = shop_command(&world->shop, "acme", "select-model");

    buy(world, ORDERS);
    event.command.model_name = VIEW_LITERAL("knn");
    assert_true(shop_tell(&world->shop, world->recommend, &event, world->outbox).is_accepted);
    assert_true(tell(world, "request-isolation", NULL));
    assert_true(tell(world, "approve-isolation", NULL));
    assert_false(tell(world, "create-tenant-model", NULL));
    assert_true(is_refused(world, "select-model"));
}

static uint32_t count_told(const struct world *world)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < outbox_count(world->outbox); i++) {
        const struct result *result = outbox_at(world->outbox, i);
        if (result->kind == RESULT_POPULARITY)
            count += result->popularity.items.count > 0 ? 1 : 100;
    }
    return count;
}

static void an_isolated_tenant_takes_back_what_it_shared(void **state)
{
    struct world *world = *state;

    buy(world, 50);
    tick(world);
    assert_int_equal(count_told(world), 1);
    assert_true(tell(world, "request-isolation", NULL));
    assert_true(tell(world, "approve-isolation", NULL));
    buy(world, 50);
    tick(world);
    assert_int_equal(count_told(world), 101);
    world->shop.now_ms += MONTH_MS;
    buy(world, 1);
    tick(world);
    assert_int_equal(count_told(world), 101);
}

static void orders_of_a_forgotten_customer_are_not_kept(void **state)
{
    struct world *world = *state;

    buy(world, ORDERS);
    int before = atoi(status_of(world, "orders_kept"));
    assert_true(before > 100);
    for (uint32_t i = 0; i < SHOP_CUSTOMERS; i++) {
        struct event event = shop_command(&world->shop, "acme", "forget-customer");
        event.command.customer_id = shop_text(&world->shop, "c%u", i);
        shop_tell(&world->shop, world->recommend, &event, world->outbox);
        int after = atoi(status_of(world, "orders_kept"));
        assert_true(after <= before);
        before = after;
    }
    assert_int_equal(before, 0);
}

static void standard_tenants_keep_nothing(void **state)
{
    struct world *world = *state;

    world->is_enterprise = false;
    buy(world, 200);
    assert_string_equal(status_of(world, "orders_kept"), "0");
}

static void reload_from(struct world *world, bool is_same)
{
    struct byte_writer out;
    struct failure failure = {0};
    struct recommend_stats stats, loaded_stats;

    byte_writer_init(&out);
    recommend_save(world->recommend, &out);
    struct byte_reader in = byte_reader_of(out.data, out.size);
    struct recommend *loaded = recommend_load(&world->options, &in, &failure);
    assert_non_null(loaded);
    assert_int_equal(byte_reader_left(&in), 0);
    recommend_stats(world->recommend, &stats);
    recommend_stats(loaded, &loaded_stats);
    if (is_same) {
        assert_int_equal(recommend_digest(loaded), recommend_digest(world->recommend));
        assert_int_equal(stats.bytes, loaded_stats.bytes);
    }
    recommend_close(world->recommend);
    world->recommend = loaded;
    byte_writer_free(&out);
}

static void reload(struct world *world)
{
    reload_from(world, true);
}

static void limit(struct world *world, int64_t kept_orders_max, int64_t history_products_max)
{
    world->options.kept_orders_max = kept_orders_max;
    world->options.history_products_max = history_products_max;
    reload_from(world, false);
}

/* Saved and loaded in the middle of fits, at every step: the same bytes come out. */
static void compare_restarts(struct world *world, bool is_changing)
{
    struct world twin = {.options = world->options, .is_enterprise = true};

    twin.shop = shop_open(51);
    twin.recommend = recommend_open(&twin.options);
    twin.outbox = outbox_create();
    buy(world, ORDERS);
    buy(&twin, ORDERS);
    reload(&twin);
    grant(world);
    grant(&twin);
    for (uint32_t turn = 0; turn < 600; turn++) {
        world->shop.now_ms += turn == 300 ? MONTH_MS : 1;
        twin.shop.now_ms += turn == 300 ? MONTH_MS : 1;
        tick(world);
        tick(&twin);
        if (turn % 5 == 0) {
            buy(world, 1);
            buy(&twin, 1);
        }
        if (turn % 23 == 0)
            reload(&twin);
        if (is_changing && (turn == 1 || turn == 200 || turn == 400)) {
            limit(world, turn == 200 ? 9000 : 120, turn == 400 ? 500 : 16);
            limit(&twin, turn == 200 ? 9000 : 120, turn == 400 ? 500 : 16);
        }
    }
    check_model(world, "dedicated", "2");
    check_model(&twin, "dedicated", "2");
    assert_true(shop_same(world->outbox, twin.outbox));
    assert_int_equal(recommend_digest(world->recommend), recommend_digest(twin.recommend));
    shop_end(&twin.shop, twin.recommend, twin.outbox);
}

static void a_fit_survives_a_restart(void **state)
{
    compare_restarts(*state, false);
}

static void a_fit_survives_a_change_of_options(void **state)
{
    compare_restarts(*state, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_step_needs_the_one_before, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_rejected_tenant_may_ask_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(weights_are_fitted_slice_by_slice, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_month_later_they_are_fitted_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_revoked_model_is_gone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_kinds_of_model_are_left_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_isolated_tenant_takes_back_what_it_shared, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(orders_of_a_forgotten_customer_are_not_kept, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(standard_tenants_keep_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_fit_survives_a_restart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_fit_survives_a_change_of_options, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
