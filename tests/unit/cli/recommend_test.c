/*
 * The recommendations on a year of a real shop (Online Retail, UCI 352): what is counted
 * against the counts of another program, and `weir evaluate` as a user runs it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/input.h"
#include "recommend/state.h"

static char *data_path(const char *name)
{
    static char path[4096];
    const char *folder = getenv("WEIR_DATA");

    if (folder == NULL || folder[0] == '\0') {
        printf("skipped: WEIR_DATA not set\n");
        skip();
    }
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void learn_file(struct recommend *recommend, const char *path)
{
    static const struct recommend_context context = {.is_sharing = false};
    struct outbox *outbox = outbox_create();
    struct codec_options options;
    struct codec *codec;
    struct input *input;
    struct failure failure;
    struct event event;

    option_preset(&codec_option_table, &options);
    assert_int_equal(codec_create(&options, &codec, &failure), STATUS_OK);
    assert_int_equal(input_open(path, EVENT_ORDER, codec, 1 << 20, &input, &failure), STATUS_OK);
    while (input_next(input, &event, &failure) == STATUS_OK)
        recommend_apply(recommend, &event, &context, outbox);
    input_close(input);
    codec_destroy(codec);
    outbox_destroy(outbox);
}

static const struct product *find(const struct recommend *recommend, const char *tenant,
                                  const json_t *product_id)
{
    const struct market *market = market_find(&recommend->store, view_of(tenant));
    uint32_t number = product_find(market, view_of(json_string_value(product_id)));

    assert_true(number != 0);
    return &market->products[number];
}

static void check_top_products(const struct recommend *recommend, json_t *tenants)
{
    const char *tenant;
    json_t *answers, *row;
    size_t index, checked = 0;

    json_object_foreach(tenants, tenant, answers)
    {
        json_array_foreach(json_object_get(answers, "top_products"), index, row)
        {
            const struct product *product =
                find(recommend, tenant, json_object_get(row, "product_id"));
            assert_int_equal((int)product->orders,
                             json_integer_value(json_object_get(row, "orders")));
            checked++;
        }
    }
    assert_true(checked > 300);
}

/* Exact where nothing was dropped, else short of the truth by no more than it may be. */
static void check_pairs(const struct recommend *recommend, json_t *products)
{
    const struct market *market = market_find(&recommend->store, view_of("united-kingdom"));
    const char *name;
    json_t *rows, *row;
    size_t index, exact = 0;

    json_object_foreach(products, name, rows)
    {
        const struct product *product = &market->products[product_find(market, view_of(name))];
        json_array_foreach(rows, index, row)
        {
            uint32_t orders = (uint32_t)json_integer_value(json_object_get(row, "orders"));
            uint64_t found = neighbours_find(
                &product->neighbours,
                product_find(market,
                             view_of(json_string_value(json_object_get(row, "product_id")))));
            assert_int_not_equal(found, 0);
            assert_true(neighbour_together(found) <= orders);
            assert_true(neighbour_together(found) + neighbour_missed(found) >= orders);
            exact += neighbour_together(found) == orders;
        }
    }
    assert_true(exact >= 190);
}

static void counts_are_those_of_another_program(void **state)
{
    struct recommend_options options;
    json_error_t error;
    json_t *expected =
        json_load_file(data_path("expected-orders-online-retail-2011.json"), 0, &error);

    (void)state;
    assert_non_null(expected);
    option_preset(&recommend_option_table, &options);
    options.bytes_max = SIZE_MAX;
    options.neighbours_max = NEIGHBOUR_BUCKETS_MAX * NEIGHBOUR_BUCKET;
    options.basket_pairs_max = BASKET_MAX;
    options.neighbours_exact = 1 << 30;
    for (int64_t i = 0; recommend_model_names[i] != NULL; i++)
        if (strcmp(recommend_model_names[i], "popularity") == 0)
            options.model = i;
    struct recommend *recommend = recommend_open(&options);
    learn_file(recommend, data_path("orders-online-retail-2011.jsonl.gz"));
    check_top_products(recommend, json_object_get(expected, "tenants"));
    check_pairs(recommend,
                json_object_get(json_object_get(expected, "co_occurrence"), "united-kingdom"));
    recommend_close(recommend);
    json_decref(expected);
}

/* ---- weir evaluate ---- */

static json_t *evaluate(char *orders, const char *model, char *emit)
{
    char output[] = "/tmp/weir-evaluate-XXXXXX", name[32];
    char *argv[] = {(char[]){"evaluate"},
                    (char[]){"--orders"},
                    orders,
                    (char[]){"--json"},
                    (char[]){"--model"},
                    name,
                    (char[]){"--emit"},
                    emit,
                    NULL};
    int file = mkstemp(output), keep = dup(STDOUT_FILENO);
    json_error_t error;

    snprintf(name, sizeof name, "%s", model);
    assert_true(file >= 0 && keep >= 0);
    fflush(stdout);
    dup2(file, STDOUT_FILENO);
    int code = evaluate_main(emit != NULL ? 8 : 6, argv);
    fflush(stdout);
    dup2(keep, STDOUT_FILENO);
    close(keep);
    close(file);
    json_t *result = json_load_file(output, 0, &error);
    unlink(output);
    assert_int_equal(code, 0);
    assert_non_null(result);
    return result;
}

static double figure(const json_t *result, const char *name)
{
    const json_t *model = json_array_get(json_object_get(result, "models"), 0);

    return json_number_value(json_object_get(model, name));
}

/* What the protocol's own program says of the two baselines: .112 and .287. */
static void the_baselines_are_those_of_the_protocol(void **state)
{
    static const struct {
        const char *model;
        double ndcg;
    } rows[] = {{"popularity", .1115}, {"personal", .2866}};
    char orders[4096];

    (void)state;
    snprintf(orders, sizeof orders, "%s", data_path("orders-online-retail-2011.jsonl.gz"));
    for (size_t i = 0; i < 2; i++) {
        json_t *result = evaluate(orders, rows[i].model, NULL);
        assert_int_equal(json_integer_value(json_object_get(result, "evaluated")), 7887);
        /* Tenants share nothing, so a name that two of them sell is two products. */
        assert_int_equal(json_integer_value(json_object_get(result, "product_names")), 3796);
        assert_int_equal(json_integer_value(json_object_get(result, "products")), 19494);
        assert_int_equal(json_integer_value(json_object_get(result, "tenants")), 38);
        assert_true(figure(result, "ndcg@10") > rows[i].ndcg - .002);
        assert_true(figure(result, "ndcg@10") < rows[i].ndcg + .002);
        json_decref(result);
    }
}

static void the_default_model_is_good_enough(void **state)
{
    char orders[4096];

    (void)state;
    snprintf(orders, sizeof orders, "%s", data_path("orders-online-retail-2011.jsonl.gz"));
    json_t *result = evaluate(orders, "weir", NULL);
    assert_true(figure(result, "ndcg@10") >= .300);
    assert_true(figure(result, "hit@10") >= .737);
    assert_true(figure(result, "recall@10") >= .190);
    assert_true(figure(result, "explore_ndcg@10") >= .082);
    json_decref(result);
}

/* Three orders of one customer, by hand: the last two are evaluated. */
static void figures_are_reckoned_as_said(void **state)
{
    static const char text[] =
        "{\"event_id\":\"e1\",\"tenant_id\":\"t\",\"order_id\":\"o1\",\"customer_id\":\"c\","
        "\"amount\":1,\"currency\":\"EUR\",\"event_time\":1000,\"items\":["
        "{\"product_id\":\"a\",\"quantity\":1,\"unit_price\":1},"
        "{\"product_id\":\"b\",\"quantity\":1,\"unit_price\":1}]}\n"
        "{\"event_id\":\"e2\",\"tenant_id\":\"t\",\"order_id\":\"o2\",\"customer_id\":null,"
        "\"amount\":1,\"currency\":\"EUR\",\"event_time\":2000,\"items\":["
        "{\"product_id\":\"x\",\"quantity\":1,\"unit_price\":1}]}\n"
        "{\"event_id\":\"e3\",\"tenant_id\":\"t\",\"order_id\":\"o3\",\"customer_id\":\"c\","
        "\"amount\":1,\"currency\":\"EUR\",\"event_time\":3000,\"items\":["
        "{\"product_id\":\"x\",\"quantity\":1,\"unit_price\":1},"
        "{\"product_id\":\"a\",\"quantity\":1,\"unit_price\":1},"
        "{\"product_id\":\"x\",\"quantity\":1,\"unit_price\":1}]}\n";
    char orders[] = "/tmp/weir-orders-XXXXXX", emit[] = "/tmp/weir-lists-XXXXXX";
    int file = mkstemp(orders), lists = mkstemp(emit);

    (void)state;
    assert_int_equal(write(file, text, sizeof text - 1), (ssize_t)sizeof text - 1);
    close(file);
    close(lists);
    json_t *result = evaluate(orders, "personal", emit);
    assert_int_equal(json_integer_value(json_object_get(result, "orders")), 3);
    assert_int_equal(json_integer_value(json_object_get(result, "evaluated")), 1);
    /* Of a, b, x in this order: hits at places 1 and 3, of two products. */
    double ndcg = (1 + .5) / (1 + 1 / 1.5849625007211562);
    assert_true(figure(result, "ndcg@10") > ndcg - 1e-9 && figure(result, "ndcg@10") < ndcg + 1e-9);
    assert_true(figure(result, "recall@10") == 1);
    assert_true(figure(result, "hit@10") == 1);
    assert_true(figure(result, "explore_ndcg@10") == 1);
    assert_true(figure(result, "coverage") == 1);
    json_decref(result);
    json_error_t error;
    json_t *line = json_load_file(emit, 0, &error);
    assert_non_null(line);
    assert_string_equal(json_string_value(json_object_get(line, "event_id")), "e3");
    assert_int_equal(json_array_size(json_object_get(line, "items")), 3);
    assert_string_equal(json_string_value(json_array_get(json_object_get(line, "new_items"), 0)),
                        "x");
    assert_int_equal(json_array_size(json_object_get(line, "new_items")), 1);
    json_decref(line);
    unlink(orders);
    unlink(emit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_those_of_another_program),
        cmocka_unit_test(the_baselines_are_those_of_the_protocol),
        cmocka_unit_test(the_default_model_is_good_enough),
        cmocka_unit_test(figures_are_reckoned_as_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
