#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "base/json_writer.h"

static struct byte_writer writer;
static struct json_writer json;

static int begin(void **state)
{
    (void)state;
    byte_writer_init(&writer);
    json = json_writer_on(&writer);
    return 0;
}

static int end(void **state)
{
    (void)state;
    byte_writer_free(&writer);
    return 0;
}

static const char *written(void)
{
    byte_put_u8(&writer, 0);
    return writer.data;
}

static void test_commas_come_by_themselves(void **state)
{
    (void)state;
    json_begin_object(&json);
    json_name(&json, "a");
    json_int(&json, -1);
    json_name(&json, "b");
    json_begin_array(&json);
    json_bool(&json, true);
    json_bool(&json, false);
    json_null_value(&json);
    json_begin_object(&json);
    json_end_object(&json);
    json_begin_array(&json);
    json_end_array(&json);
    json_end_array(&json);
    json_name_view(&json, view_of("c"));
    json_raw(&json, view_of("{\"raw\":1}"));
    json_name(&json, "d");
    json_double(&json, 1.5);
    json_end_object(&json);
    assert_string_equal(written(),
                        "{\"a\":-1,\"b\":[true,false,null,{},[]],\"c\":{\"raw\":1},\"d\":1.5}");
}

static void test_text_is_escaped(void **state)
{
    (void)state;
    json_text(&json, "quote \" slash \\ / \b\f\n\r\t \x01\x1F\x7F");
    assert_string_equal(written(),
                        "\"quote \\\" slash \\\\ / \\b\\f\\n\\r\\t \\u0001\\u001f\x7F\"");
}

static void test_a_nul_inside_a_view_is_escaped(void **state)
{
    (void)state;
    json_view(&json, (struct view){"a\0b", 3});
    assert_string_equal(written(), "\"a\\u0000b\"");
}

static void test_names_are_escaped_too(void **state)
{
    (void)state;
    json_begin_object(&json);
    json_name(&json, "a\"b");
    json_text(&json, "");
    json_end_object(&json);
    assert_string_equal(written(), "{\"a\\\"b\":\"\"}");
}

static void test_utf8_passes_and_bad_bytes_are_replaced(void **state)
{
    (void)state;
    json_text(&json, "\xE2\x82\xAC\xF0\x9F\x8C\x8A|\xFF|\xE2\x82|\xC0\x80|\xC3");
    assert_string_equal(written(),
                        "\"\xE2\x82\xAC\xF0\x9F\x8C\x8A|\xEF\xBF\xBD|\xEF\xBF\xBD\xEF\xBF\xBD|"
                        "\xEF\xBF\xBD\xEF\xBF\xBD|\xEF\xBF\xBD\"");
}

static void test_absent_is_null(void **state)
{
    (void)state;
    json_begin_array(&json);
    json_text(&json, NULL);
    json_view(&json, view_of(NULL));
    json_view(&json, view_of(""));
    json_double(&json, NAN);
    json_double(&json, INFINITY);
    json_double(&json, -2);
    json_end_array(&json);
    assert_string_equal(written(), "[null,null,\"\",null,null,-2]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_commas_come_by_themselves, begin, end),
        cmocka_unit_test_setup_teardown(test_text_is_escaped, begin, end),
        cmocka_unit_test_setup_teardown(test_a_nul_inside_a_view_is_escaped, begin, end),
        cmocka_unit_test_setup_teardown(test_names_are_escaped_too, begin, end),
        cmocka_unit_test_setup_teardown(test_utf8_passes_and_bad_bytes_are_replaced, begin, end),
        cmocka_unit_test_setup_teardown(test_absent_is_null, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
