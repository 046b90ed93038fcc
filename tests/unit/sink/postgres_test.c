/*
 * What can be said of the PostgreSQL sink without a server: values as text, statements, and which
 * of several records of one key is stored.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "sink/batch.h"
#include "sink/postgres_table.h"
#include "sink/postgres_text.h"
#include "unit/sink/alert.h"

static void values_become_arrays(void **state)
{
    struct byte_writer out;

    (void)state;
    byte_writer_init(&out);
    array_begin(&out);
    array_end(&out);
    assert_string_equal(out.data, "{}");
    array_begin(&out);
    array_put_text(&out, VIEW_LITERAL("a\"b\\c,{}\n"), 100);
    array_put_text(&out, VIEW_LITERAL(""), 100);
    array_put_text(&out, VIEW_LITERAL("NULL"), 100);
    array_put_null(&out);
    array_put_text(&out, (struct view){0}, 100);
    array_put_int(&out, INT64_MIN);
    array_put_double(&out, 0.1);
    array_put_double(&out, NAN);
    array_put_double(&out, -INFINITY);
    array_put_bytes(&out, VIEW_LITERAL("\x00\xFF"));
    array_put_bytes(&out, (struct view){0});
    array_end(&out);
    assert_string_equal(out.data, "{\"a\\\"b\\\\c,{}\n\",\"\",\"NULL\",NULL,NULL,"
                                  "-9223372036854775808,0.1,NaN,-Infinity,\"\\\\x00ff\",NULL}");
    assert_int_equal(out.size, strlen(out.data));
    byte_writer_free(&out);
}

static void texts_are_cleaned_and_cut_between_characters(void **state)
{
    static const struct {
        struct view text;
        uint32_t most;
        const char *expected;
    } cases[] = {
        {VIEW_LITERAL("a\0b"), 10,
         "{\"a\xEF\xBF\xBD"
         "b\"}"},
        {VIEW_LITERAL("a\xFF"), 10, "{\"a\xEF\xBF\xBD\"}"},
        {VIEW_LITERAL("a\xC3"), 10, "{\"a\xEF\xBF\xBD\"}"},
        {VIEW_LITERAL("a\xC3\xA9"), 3, "{\"a\xC3\xA9\"}"},
        {VIEW_LITERAL("a\xC3\xA9"), 2, "{\"a\"}"},
        {VIEW_LITERAL("abc"), 0, "{\"\"}"},
    };
    struct byte_writer out;

    (void)state;
    byte_writer_init(&out);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        array_begin(&out);
        array_put_text(&out, cases[i].text, cases[i].most);
        array_end(&out);
        assert_string_equal(out.data, cases[i].expected);
    }
    byte_writer_free(&out);
}

static void null_characters_leave_json(void **state)
{
    static const char *const cases[][2] = {
        {"\"\\u0000\"", "\"\\ufffd\""},
        {"\"\\\\u0000\"", "\"\\\\u0000\""},
        {"\"\\\\\\u0000\"", "\"\\\\\\ufffd\""},
        {"\"\\u0000\\u0000u0000\"", "\"\\ufffd\\ufffdu0000\""},
        {"\"\\u0001\\\"\"", "\"\\u0001\\\"\""},
        {"\\u000", "\\u000"},
        {"", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[64];

        snprintf(text, sizeof(text), "%s", cases[i][0]);
        json_drop_null_escapes(text, strlen(text));
        assert_string_equal(text, cases[i][1]);
    }
}

/* A field that somebody adds to a result is stored, or this says where it was forgotten. */
static void every_field_of_every_result_is_stored(void **state)
{
    (void)state;
    for (int kind = 0; kind < RESULT_KIND_COUNT; kind++) {
        const struct shape *shape = result_shape((enum result_kind)kind);
        const struct result result = {.kind = (enum result_kind)kind};
        const struct delivery_item item = {.result = &result};
        bool is_taken = kind == RESULT_POPULARITY; /* Weir's own */

        for (uint32_t t = 0; !is_taken; t++) {
            struct table *table = table_create(t);

            assert_non_null(table);
            is_taken = table_takes(table, &item);
            for (uint32_t f = 0; is_taken && f < shape->field_count; f++) {
                char column[80];

                snprintf(column, sizeof(column), "\"%s\"", shape->fields[f].name);
                if (strstr(table_statement(table), column) == NULL)
                    fail_msg("%s has no column %s", table_name(table), column);
            }
            table_destroy(table);
        }
    }
}

static void statements_hold_no_values(void **state)
{
    struct table *table;

    (void)state;
    for (uint32_t t = 0; (table = table_create(t)) != NULL; t++) {
        const char *statement = table_statement(table);

        assert_non_null(strstr(statement, "FROM unnest($1::text[], "));
        assert_null(strchr(statement, '%'));
        assert_null(strchr(statement, ';'));
        table_destroy(table);
    }
    assert_true(table == NULL);
}

static void the_last_record_of_a_key_is_kept(void **state)
{
    enum { ITEMS = 500, KEYS = 37 };
    static struct result results[ITEMS];
    static struct delivery_item items[ITEMS];
    const struct delivery_item *list[ITEMS];
    struct table *table = table_create(0);
    uint32_t random = 1;
    char ids[KEYS][8];
    int last[KEYS];

    (void)state;
    for (int k = 0; k < KEYS; k++) {
        snprintf(ids[k], sizeof(ids[k]), "a-%d", k);
        last[k] = -1;
    }
    for (int i = 0; i < ITEMS; i++) {
        random = random * 1103515245 + 12345;
        int k = (int)(random >> 16) % KEYS;

        results[i] = make_alert(ids[k], SEVERITY_LOW, ALERT_OPEN);
        items[i] = (struct delivery_item){.record = {.offset = i}, .result = &results[i]};
        list[i] = &items[i];
        last[k] = i;
    }
    uint32_t kept = table_dedupe(table, list, ITEMS);
    assert_int_equal(kept, KEYS);
    for (uint32_t i = 0; i < kept; i++) {
        int64_t offset = list[i]->record.offset;
        int k = 0;

        while (!view_is_text(results[offset].id, ids[k]))
            k++;
        assert_int_equal(offset, last[k]);
        assert_true(i == 0 || offset > list[i - 1]->record.offset);
    }
    table_destroy(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_become_arrays),
        cmocka_unit_test(texts_are_cleaned_and_cut_between_characters),
        cmocka_unit_test(null_characters_leave_json),
        cmocka_unit_test(every_field_of_every_result_is_stored),
        cmocka_unit_test(statements_hold_no_values),
        cmocka_unit_test(the_last_record_of_a_key_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
