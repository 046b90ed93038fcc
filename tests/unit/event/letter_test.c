/*
 * letter_test.c - where from and why, as headers, and read back.
 */
#include "event/letter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* A record with the headers of one letter. */
static struct view log_header(void *context, const struct record *record, const char *name)
{
    const struct letter *letter = context;

    (void)record;
    for (uint32_t i = 0; letter != NULL && i < letter->header_count; i++)
        if (strcmp(letter->headers[i].name, name) == 0)
            return letter->headers[i].value;
    return (struct view){0};
}

static struct view log_topic_name(void *context, enum topic topic)
{
    (void)context;
    switch ((int)topic) {
    case TOPIC_ORDERS:
        return VIEW_LITERAL("shop.orders");
    case TOPIC_API_CALLS:
        return VIEW_LITERAL("shop.api-calls");
    default:
        return VIEW_LITERAL("shop.other");
    }
}

static const struct transport_door log_door = {.header = log_header, .topic_name = log_topic_name};

static void test_the_source_is_named_as_the_log_names_it(void **state)
{
    const struct record record = {
        .topic = TOPIC_API_CALLS, .partition = 7, .offset = 1234567890123, .timestamp_ms = -1};
    struct letter letter = {0};
    const struct transport transport = {&log_door, &letter};

    (void)state;
    assert_false(letter_has_source(&transport, &record));
    assert_int_equal(letter_source(&transport, &record), TOPIC_COUNT);
    letter_add_source(&letter, &transport, &record);
    assert_true(letter_has_source(&transport, &record));
    assert_int_equal(letter_source(&transport, &record), TOPIC_API_CALLS);
    assert_true(view_is_text(log_header(&letter, NULL, "weir.source.topic"), "shop.api-calls"));
    assert_true(view_is_text(log_header(&letter, NULL, "weir.source.partition"), "7"));
    assert_true(view_is_text(log_header(&letter, NULL, "weir.source.offset"), "1234567890123"));
    assert_true(view_is_text(log_header(&letter, NULL, "weir.source.timestamp"), "-1"));
}

static void test_another_prefix_is_not_ours(void **state)
{
    const struct record record = {.topic = TOPIC_FORWARD};
    struct letter letter = {.headers = {{"weir.source.topic", VIEW_LITERAL("orders")}},
                            .header_count = 1};
    const struct transport transport = {&log_door, &letter};

    (void)state;
    assert_true(letter_has_source(&transport, &record));
    assert_int_equal(letter_source(&transport, &record), TOPIC_COUNT);
}

static void test_an_error_says_why_and_who(void **state)
{
    struct letter letter = {0};

    (void)state;
    letter_add_error(&letter, "late", "older than the allowed lateness", "event_time");
    assert_int_equal(letter.header_count, 4);
    assert_true(view_is_text(log_header(&letter, NULL, "weir.error.code"), "late"));
    assert_true(view_is_text(log_header(&letter, NULL, "weir.error.reason"),
                             "older than the allowed lateness"));
    assert_true(view_is_text(log_header(&letter, NULL, "weir.error.field"), "event_time"));
    assert_true(view_is_text(log_header(&letter, NULL, "weir.version"), WEIR_VERSION));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_source_is_named_as_the_log_names_it),
        cmocka_unit_test(test_another_prefix_is_not_ours),
        cmocka_unit_test(test_an_error_says_why_and_who),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
