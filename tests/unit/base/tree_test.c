#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/tree.h"

static struct arena *arena;
static struct complaints complaints;

static int begin(void **state)
{
    (void)state;
    arena = arena_create(4096);
    complaints_init(&complaints, arena);
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_destroy(arena);
    return 0;
}

static struct tree scalar(const char *name, const char *value)
{
    return (struct tree){.kind = TREE_SCALAR,
                         .line = 12,
                         .file = "weir.yaml",
                         .name = view_of(name),
                         .value = view_of(value)};
}

static void test_children_by_name(void **state)
{
    struct tree b = scalar("b", "2");
    struct tree a = scalar("a", "1");
    struct tree map = {.kind = TREE_MAP, .child = &a};
    struct tree list = {.kind = TREE_LIST, .child = &a};

    (void)state;
    a.next = &b;
    assert_ptr_equal(tree_get(&map, "b"), &b);
    assert_null(tree_get(&map, "c"));
    assert_null(tree_get(&list, "a"));
    assert_null(tree_get(NULL, "a"));
    assert_null(tree_get(&a, "a"));
    assert_int_equal(tree_count(&list), 2);
    assert_int_equal(tree_count(NULL), 0);
    assert_int_equal(tree_count(&b), 0);
}

static void test_complaints_keep_their_order(void **state)
{
    struct tree at = scalar("severity", "hihg");

    (void)state;
    complain(&complaints, &at, "severity: expected %s, not '%s'", "low or high", "hihg");
    complain(&complaints, NULL, "WEIR_X: %d", 7);
    at.file = NULL;
    complain(&complaints, &at, "third");
    assert_int_equal(complaints.count, 3);
    assert_string_equal(complaints.first->text,
                        "weir.yaml:12: severity: expected low or high, not 'hihg'");
    assert_string_equal(complaints.first->next->text, "WEIR_X: 7");
    assert_string_equal(complaints.first->next->next->text, "line 12: third");
    assert_null(complaints.first->next->next->next);
}

static void test_scalars_that_say_it(void **state)
{
    struct tree whole = scalar("a", "42");
    struct tree real = scalar("b", "0.5");
    struct tree truth = scalar("c", "yes");
    struct tree wait = scalar("d", "5m");
    int64_t integer = 0;
    double number = 0;
    bool is_on = false;

    (void)state;
    assert_true(tree_int(&whole, &integer, &complaints));
    assert_int_equal(integer, 42);
    assert_true(tree_double(&real, &number, &complaints));
    assert_true(number == 0.5);
    assert_true(tree_bool(&truth, &is_on, &complaints));
    assert_true(is_on);
    wait.is_quoted = true;
    assert_true(tree_duration_ms(&wait, &integer, &complaints));
    assert_int_equal(integer, 300000);
    assert_int_equal(complaints.count, 0);
}

static void test_scalars_that_do_not(void **state)
{
    struct tree text = scalar("port", "x");
    struct tree list = {.kind = TREE_LIST, .line = 3, .file = "r.yaml", .name = view_of("wait")};
    struct tree item = {.kind = TREE_MAP, .line = 4, .file = "r.yaml"};
    int64_t integer = 7;
    double number = 7;
    bool is_on = true;

    (void)state;
    assert_false(tree_int(&text, &integer, &complaints));
    assert_false(tree_duration_ms(&list, &integer, &complaints));
    assert_false(tree_double(&item, &number, &complaints));
    assert_false(tree_bool(NULL, &is_on, &complaints));
    text.value = view_of("8080");
    text.is_quoted = true;
    assert_false(tree_int(&text, &integer, &complaints));
    assert_int_equal(integer, 7);

    const struct complaint *complaint = complaints.first;
    assert_string_equal(complaint->text, "weir.yaml:12: port: expected a whole number, not 'x'");
    complaint = complaint->next;
    assert_string_equal(
        complaint->text,
        "r.yaml:3: wait: expected a duration such as 250ms, 60s, 5m, 1h or 7d, not a list");
    complaint = complaint->next;
    assert_string_equal(complaint->text, "r.yaml:4: expected a number, not a map");
    complaint = complaint->next;
    assert_string_equal(complaint->text, "expected true or false");
    complaint = complaint->next;
    assert_string_equal(complaint->text,
                        "weir.yaml:12: port: expected a whole number, not the text '8080'");
}

static void test_integers(void **state)
{
    static const char *const bad[] = {"",
                                      "-",
                                      "+",
                                      " 1",
                                      "1 ",
                                      "1.0",
                                      "0x10",
                                      "1e3",
                                      "--1",
                                      "1_000",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "99999999999999999999999",
                                      "\xD9\xA1"};
    int64_t value = 0;

    (void)state;
    assert_true(text_int(view_of("-9223372036854775808"), &value));
    assert_true(value == INT64_MIN);
    assert_true(text_int(view_of("+9223372036854775807"), &value));
    assert_true(value == INT64_MAX);
    assert_true(text_int(view_of("-0007"), &value));
    assert_int_equal(value, -7);
    value = 5;
    for (size_t index = 0; index < sizeof bad / sizeof bad[0]; index++)
        assert_false(text_int(view_of(bad[index]), &value));
    assert_false(text_int(view_of(NULL), &value));
    assert_false(text_int((struct view){"1\0", 2}, &value));
    assert_int_equal(value, 5);
}

static void assert_double(const char *text, double expected)
{
    double value = -1;

    if (!text_double(view_of(text), &value) || memcmp(&value, &expected, sizeof value) != 0)
        fail_msg("%s: %.17g, not %.17g", text, value, expected);
}

static void test_doubles(void **state)
{
    static const char *const bad[] = {"",      ".",   "-",     "1e",     "1e+", "e5",
                                      "1.2.3", " 1",  "1 ",    "0x1p3",  "inf", "nan",
                                      "NaN",   "1,5", "1e999", "-1e999", "1f",  "1e5.0"};
    double value;

    (void)state;
    assert_double("0", 0);
    assert_double("-0", -0.0);
    assert_double("+12.50", 12.5);
    assert_double(".5", .5);
    assert_double("5.", 5);
    assert_double("1e3", 1000);
    assert_double("1E-2", 0.01);
    assert_double("123456789012345678901234567890", 123456789012345678901234567890.);
    assert_double("0.30000000000000004", 0.1 + 0.2);
    assert_double("9007199254740993", 9007199254740992);
    assert_double("9007199254740993.00000000000000000000001", 9007199254740994);
    assert_double("1e23", 1e23);
    assert_double("2.2250738585072011e-308", 2.2250738585072011e-308);
    assert_double("5e-324", 5e-324);
    assert_double("1e-400", 0);
    assert_double("-7e-4999999999999999999999999", -0.0);
    assert_double("0e99999999999999999999", 0);
    assert_double("0.000000000000000000000000000000000000000000000000001e51", 1);
    for (size_t index = 0; index < sizeof bad / sizeof bad[0]; index++)
        assert_false(text_double(view_of(bad[index]), &value));
    assert_false(text_double(view_of(NULL), &value));
    assert_false(text_double((struct view){"1\0", 2}, &value));
    assert_false(text_double(view_of("1e99999999999999999999"), &value));
}

static void test_a_long_double(void **state)
{
    char text[1002];
    double value = 0;

    (void)state;
    memset(text, '0', sizeof text);
    text[0] = '1';
    text[1] = '.';
    text[1000] = '\0';
    assert_true(text_double(view_of(text), &value));
    assert_true(value == 1);
    text[1000] = '0';
    text[1001] = '\0';
    assert_false(text_double(view_of(text), &value));
}

static void test_doubles_agree_with_strtod(void **state)
{
    char text[64];

    (void)state;
    for (uint64_t seed = 0; seed < 100000; seed++) {
        uint64_t random = hash_mix(seed, 5);
        double value;
        memcpy(&value, &random, sizeof value);
        if (seed % 2 == 0)
            snprintf(text, sizeof text, "%lld.%05llue%d", (long long)(random >> 44),
                     (unsigned long long)(random % 100000), (int)(random >> 20) % 40);
        else if (isfinite(value))
            snprintf(text, sizeof text, "%.*g", (int)(seed % 20) + 1, value);
        if (isfinite(strtod(text, NULL)))
            assert_double(text, strtod(text, NULL));
    }
}

static void test_durations(void **state)
{
    static const struct {
        const char *text;
        int64_t value_ms;
    } good[] = {{"0", 0},       {"250", 250},     {"250ms", 250},    {"60s", 60000},
                {"5m", 300000}, {"1h", 3600000},  {"7d", 604800000}, {"1.5h", 5400000},
                {"0.29s", 290}, {"-5m", -300000}, {"0.001s", 1}};
    static const char *const bad[] = {"",
                                      "ms",
                                      "5 m",
                                      "5x",
                                      "1.5",
                                      "0.0005s",
                                      "m5",
                                      "1h30m",
                                      "5S",
                                      "1e3s",
                                      "9223372036854775807d",
                                      "5m "};
    int64_t value = 0;

    (void)state;
    for (size_t index = 0; index < sizeof good / sizeof good[0]; index++) {
        assert_true(text_duration_ms(view_of(good[index].text), &value));
        assert_int_equal(value, good[index].value_ms);
    }
    for (size_t index = 0; index < sizeof bad / sizeof bad[0]; index++)
        assert_false(text_duration_ms(view_of(bad[index]), &value));
    assert_false(text_duration_ms(view_of(NULL), &value));
}

static void test_sizes(void **state)
{
    static const struct {
        const char *text;
        int64_t bytes;
    } good[] = {{"0", 0},
                {"1024", 1024},
                {"10B", 10},
                {"64MB", 64000000},
                {"64KB", 64000},
                {"64kB", 64000},
                {"1GiB", INT64_C(1) << 30},
                {"1.5KiB", 1536},
                {"2TiB", INT64_C(2) << 40},
                {"3TB", INT64_C(3000000000000)}};
    static const char *const bad[] = {"", "MB", "1M", "1 MB", "1mb", "1.0001KB", "9000000TiB"};
    int64_t value = 0;

    (void)state;
    for (size_t index = 0; index < sizeof good / sizeof good[0]; index++) {
        assert_true(text_bytes(view_of(good[index].text), &value));
        assert_int_equal(value, good[index].bytes);
    }
    for (size_t index = 0; index < sizeof bad / sizeof bad[0]; index++)
        assert_false(text_bytes(view_of(bad[index]), &value));
    assert_false(text_bytes(view_of(NULL), &value));
}

static void test_bools(void **state)
{
    bool value = false;

    (void)state;
    assert_true(text_bool(view_of("on"), &value) && value);
    assert_true(text_bool(view_of("no"), &value) && !value);
    assert_true(text_bool(view_of("true"), &value) && value);
    assert_false(text_bool(view_of("True "), &value));
    assert_false(text_bool(view_of("1"), &value));
    assert_false(text_bool(view_of(NULL), &value));
}

static uint32_t distance(const char *a, const char *b)
{
    return text_distance(view_of(a), view_of(b));
}

static void test_distances(void **state)
{
    char text[100];

    (void)state;
    assert_int_equal(distance("", ""), 0);
    assert_int_equal(distance("", "abc"), 3);
    assert_int_equal(distance("abc", ""), 3);
    assert_int_equal(distance("kitten", "sitting"), 3);
    assert_int_equal(distance("hihg", "high"), 1); /* a swap of neighbours is one slip */
    assert_int_equal(distance("comit", "commit"), 1);
    assert_int_equal(distance("abcd", "abcd"), 0);
    memset(text, 'a', sizeof text);
    assert_int_equal(text_distance((struct view){text, 64}, (struct view){text, 63}), 1);
    assert_int_equal(text_distance((struct view){text, 65}, (struct view){text, 65}), UINT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_children_by_name),
        cmocka_unit_test_setup_teardown(test_complaints_keep_their_order, begin, end),
        cmocka_unit_test_setup_teardown(test_scalars_that_say_it, begin, end),
        cmocka_unit_test_setup_teardown(test_scalars_that_do_not, begin, end),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_doubles),
        cmocka_unit_test(test_a_long_double),
        cmocka_unit_test(test_doubles_agree_with_strtod),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_bools),
        cmocka_unit_test(test_distances),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
