/* glance_test.c - results as lines for people, and texts made harmless. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/glance.h"

enum { NOON_MS = 12 * 3600 * 1000 };

static void expect_line(const struct result *result, bool is_coloured, const char *expected)
{
    struct byte_writer out;

    byte_writer_init(&out);
    glance_result(result, is_coloured, &out);
    byte_put_u8(&out, 0);
    assert_string_equal(out.data, expected);
    byte_writer_free(&out);
}

static struct result sample_alert(void)
{
    static const struct pair group[] = {{VIEW_LITERAL("user_id"), VIEW_LITERAL("anna")}};

    return (struct result){
        .kind = RESULT_ALERT,
        .id = VIEW_LITERAL("a1"),
        .tenant_id = VIEW_LITERAL("acme"),
        .alert = {.type = VIEW_LITERAL("failed-auth-by-user"),
                  .severity = SEVERITY_HIGH,
                  .status = ALERT_OPEN,
                  .group = {group, 1},
                  .window_ms = 300000,
                  .value = 5,
                  .last_event_time_ms = NOON_MS,
                  .message = VIEW_LITERAL("5 failures, tenant acme, user_id anna")},
    };
}

static void test_alert(void **state)
{
    struct result result = sample_alert();

    (void)state;
    expect_line(&result, false,
                "12:00:00 HIGH   open    acme        failed-auth-by-user      user_id=anna  "
                "5 failures");
    expect_line(&result, true,
                "\033[2m12:00:00\033[0m \033[1;31mHIGH\033[0m   \033[1mopen\033[0m    "
                "acme        \033[1;31mfailed-auth-by-user\033[0m      "
                "user_id=\033[1manna\033[0m  5 failures");
    result.alert.group.count = 0;
    result.alert.severity = SEVERITY_LOW;
    expect_line(&result, false,
                "12:00:00 low    open    acme        failed-auth-by-user      5 failures");
    result.alert.status = ALERT_CLOSED;
    result.alert.merged_into = VIEW_LITERAL("a0");
    expect_line(&result, false,
                "12:00:00 low    closed  acme        failed-auth-by-user      merged into a0");
}

static void test_hostile_texts(void **state)
{
    struct result result = sample_alert();
    struct byte_writer out;

    (void)state;
    result.tenant_id = VIEW_LITERAL("a\033[2Jb\n");
    result.alert.message = VIEW_LITERAL("x\xff\xc2\x9by\xc3\xa9\xe2\x80\xae.");
    expect_line(&result, false,
                "12:00:00 HIGH   open    a?[2Jb?     failed-auth-by-user      user_id=anna  "
                "x??y\xc3\xa9?.");
    byte_writer_init(&out);
    glance_text((struct view){NULL, 0}, &out);
    assert_int_equal(out.size, 0);
    byte_writer_free(&out);
}

static void test_recommendation(void **state)
{
    static const struct recommended_item items[] = {
        {1, VIEW_LITERAL("tea-01"), 0.9, {NULL, 0}},  {1, VIEW_LITERAL("tea-02"), 0.8, {NULL, 0}},
        {1, VIEW_LITERAL("tea-03"), 0.71, {NULL, 0}}, {1, VIEW_LITERAL("tea-04"), 0.6, {NULL, 0}},
        {1, VIEW_LITERAL("tea-05"), 0.5, {NULL, 0}},  {1, VIEW_LITERAL("tea-06"), 0.4, {NULL, 0}},
    };
    struct result result = {
        .kind = RESULT_RECOMMENDATION,
        .tenant_id = VIEW_LITERAL("acme"),
        .recommendation = {.customer_id = VIEW_LITERAL("anna"),
                           .items = {items, 2},
                           .strategy = STRATEGY_ITEM_ITEM,
                           .event_time_ms = NOON_MS},
    };

    (void)state;
    expect_line(&result, false,
                "12:00:00 offer  item_item      acme        anna         "
                "tea-01 0.90, tea-02 0.80");
    result.recommendation.items.count = 6;
    expect_line(&result, false,
                "12:00:00 offer  item_item      acme        anna         tea-01 0.90, tea-02 0.80, "
                "tea-03 0.71, tea-04 0.60, tea-05 0.50 and 1 more");
    result.recommendation.items.count = 0;
    expect_line(&result, false, "12:00:00 offer  item_item      acme        anna         nothing");
}

static void test_every_kind_has_a_line(void **state)
{
    (void)state;
    for (int kind = 0; kind < RESULT_KIND_COUNT; kind++) {
        struct result result = {.kind = (enum result_kind)kind};
        struct byte_writer out;
        byte_writer_init(&out);
        glance_result(&result, false, &out);
        assert_true(out.size > 20);
        assert_true(view_contains(byte_writer_view(&out), VIEW_LITERAL("platform")));
        byte_writer_free(&out);
    }
}

static void test_dead_letter(void **state)
{
    struct record record = {.topic = TOPIC_DEAD_LETTER,
                            .timestamp_ms = NOON_MS,
                            .value = VIEW_LITERAL("{\"amount\":\x01}")};
    struct glance_letter letter = {
        .code = VIEW_LITERAL("bad-syntax"),
        .reason = VIEW_LITERAL("a value was expected"),
        .field = VIEW_LITERAL("amount"),
        .topic = VIEW_LITERAL("orders"),
        .partition = VIEW_LITERAL("3"),
        .offset = VIEW_LITERAL("17"),
    };
    struct byte_writer out;

    (void)state;
    byte_writer_init(&out);
    glance_dead_letter(&record, &letter, false, &out);
    byte_put_u8(&out, 0);
    assert_string_equal(out.data, "12:00:00 dead   bad-syntax     orders/3@17  a value was "
                                  "expected [amount]  {\"amount\":?}");
    byte_writer_free(&out);
}

/* Reading past the end is for the sanitizer to see: the block is of exactly that size. */
static void test_character_cut_off(void **state)
{
    struct byte_writer out;
    char *text = malloc(2);

    (void)state;
    assert_non_null(text);
    memcpy(text, "a\xC2", 2);
    byte_writer_init(&out);
    glance_text((struct view){text, 2}, &out);
    byte_put_u8(&out, 0);
    assert_string_equal(out.data, "a?");
    byte_writer_free(&out);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alert),          cmocka_unit_test(test_hostile_texts),
        cmocka_unit_test(test_recommendation), cmocka_unit_test(test_every_kind_has_a_line),
        cmocka_unit_test(test_dead_letter),    cmocka_unit_test(test_character_cut_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
