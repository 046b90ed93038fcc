/* JSON numbers: the nearest double always, as the C library says; the grammar exactly. */
#include "codec/number.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "unit/codec/sample.h"

enum { ROUNDS = 400000 };

static void check_double(const char *text)
{
    const char *end = text + strlen(text);
    struct number number;
    double value = 0;
    const double expected = strtod(text, NULL);

    if (number_scan(text, end, &number) != end)
        fail_msg("no number: %s", text);
    const enum number_fit fit = number_double(&number, &value);
    if (isinf(expected)) {
        assert_int_equal(fit, NUMBER_TOO_LARGE);
        return;
    }
    if (fit != NUMBER_FITS || memcmp(&value, &expected, sizeof value) != 0)
        fail_msg("%s: %.17g, expected %.17g", text, value, expected);
}

static void test_doubles_are_the_nearest(void **state)
{
    struct dice dice = {5};
    char text[80];

    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        const uint64_t bits = dice_roll(&dice);
        double value;
        memcpy(&value, &bits, sizeof value);
        if (isfinite(value)) {
            snprintf(text, sizeof text, "%.*g", 1 + (int)dice_below(&dice, 19), value);
            check_double(text);
        }
        /* What people and programs write: up to 19 digits, a point somewhere. */
        const int places = (int)dice_below(&dice, 25);
        snprintf(text, sizeof text, "%llu.%0*llu",
                 (unsigned long long)(bits >> dice_below(&dice, 64)), places + 1,
                 (unsigned long long)(dice_roll(&dice) >> dice_below(&dice, 64)));
        check_double(text);
        snprintf(text, sizeof text, "-%llue%d", (unsigned long long)(bits >> dice_below(&dice, 64)),
                 (int)dice_below(&dice, 70) - 35);
        check_double(text);
    }
}

/* Halfway between two doubles, a hair above and a hair below. */
static void test_halves_round_to_even(void **state)
{
    static const char *const cases[] = {
        "9007199254740993",
        "9007199254740993.0000000000000000000000001",
        "9007199254740992.9999999999999999999999999",
        "9007199254740995",
        "4503599627370496.5",
        "4503599627370497.5",
        "1.00000000000000011102230246251565404236316680908203125",
        "1.00000000000000011102230246251565404236316680908203124",
        "1.00000000000000011102230246251565404236316680908203126",
        "0.500000000000000166533453693773481063544750213623046875",
        "179769313486231570814527423731704356798070e267",
        ("179769313486231580793728971405303415079934132710037826936173778980444968292764750946649"
         "01759775871"),
        "5e-324",
        "2.4703282292062327208e-324",
        "2.4703282292062328e-324",
        "2.2250738585072011e-308",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "0.000000000000000000000000000000000000000000000000000000000000001",
        "1e22",
        "1e23",
        "8.5e-27",
        "123456789012345678e-27",
        "9999999999999999999e27",
        "0e400",
        "-0",
        "-0.0e-99",
        "-7e-4999999999999999999999999",
        "7e4999999999999999999999999",
        "0e4999999999999999999999999",
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_double(cases[i]);
}

static void test_what_is_no_number(void **state)
{
    static const struct {
        const char *text;
        int size; /* of the number that it begins with; -1: none */
    } cases[] = {
        {"", -1},          {"-", -1},       {"+1", -1},
        {".5", -1},        {"01", -1},      {"-01", -1},
        {"1.", -1},        {"1.e5", -1},    {"1e", -1},
        {"1e+", -1},       {"e5", -1},      {"Infinity", -1},
        {"1x", 1},         {"1-1", 1},      {"0x10", 1},
        {"1.5.2", 3},      {"1e5e5", 3},    {"12345678a", 8},
        {"0,1", 1},        {"1234567:", 7}, {"123456789012345678901234/", 24},
        {"-0.50E-10}", 9},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct number number;
        /* Of its own size, so that a sanitizer sees a step beyond the end. */
        const size_t size = strlen(cases[i].text);
        char *exact = malloc(size > 0 ? size : 1);
        memcpy(exact, cases[i].text, size);
        const char *after = number_scan(exact, exact + size, &number);
        if (after == NULL ? cases[i].size != -1 : after - exact != cases[i].size)
            fail_msg("%s", cases[i].text);
        free(exact);
    }
}

/* As many places as an exponent cut short would take back. */
static void test_a_huge_exponent_meets_many_places(void **state)
{
    static const char *const exponents[] = {"e1000000", "e1000000000", "e10000000000"};
    enum { PLACES = 100000 };
    char *text = malloc(PLACES + 32);

    (void)state;
    for (size_t i = 0; i < sizeof exponents / sizeof exponents[0]; i++) {
        struct number number;
        int64_t whole = 5;
        memset(text, '0', PLACES + 2);
        text[1] = '.';
        strcpy(text + PLACES + 1, "1");
        strcat(text + PLACES + 2, exponents[i]);
        const char *const end = text + strlen(text);
        assert_ptr_equal(number_scan(text, end, &number), end);
        assert_int_equal(number_int(&number, &whole), NUMBER_TOO_LARGE);
    }
    free(text);
}

static void test_integers_at_the_edges(void **state)
{
    static const struct {
        const char *text;
        enum number_fit fit;
        int64_t value;
    } cases[] = {
        {"9223372036854775807", NUMBER_FITS, INT64_MAX},
        {"9223372036854775808", NUMBER_TOO_LARGE, 0},
        {"-9223372036854775808", NUMBER_FITS, INT64_MIN},
        {"-9223372036854775809", NUMBER_TOO_LARGE, 0},
        {"922337203685477580.7e1", NUMBER_FITS, INT64_MAX},
        {"9.223372036854775807e18", NUMBER_FITS, INT64_MAX},
        {"10000000000000000000", NUMBER_TOO_LARGE, 0},
        {"100000000000000000000e-2", NUMBER_FITS, 1000000000000000000},
        {"99999999999999999999999999", NUMBER_TOO_LARGE, 0},
        {"1e99999999999", NUMBER_TOO_LARGE, 0},
        {"1e-99999999999", NUMBER_NOT_WHOLE, 0},
        {"0.1", NUMBER_NOT_WHOLE, 0},
        {"1.0000000000000000000000000000001", NUMBER_NOT_WHOLE, 0},
        {"1.0000000000000000000000000000000", NUMBER_FITS, 1},
        {"-0", NUMBER_FITS, 0},
        {"0.0e5", NUMBER_FITS, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct number number;
        int64_t value = 0;
        assert_non_null(number_scan(cases[i].text, cases[i].text + strlen(cases[i].text), &number));
        if (number_int(&number, &value) != cases[i].fit || value != cases[i].value)
            fail_msg("%s: %lld", cases[i].text, (long long)value);
    }
}

/* The short way takes what it can, and then says what the long way says. */
static void test_short_numbers(void **state)
{
    static const char letters[] = "0123456789012345678901234567890123456789..eE-+,}] ";
    struct dice dice = {11};
    uint32_t taken = 0;

    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        char text[12];
        const uint32_t size = dice_below(&dice, sizeof text);
        for (uint32_t at = 0; at < size; at++)
            text[at] = letters[dice_below(&dice, sizeof letters - 1)];
        struct number number;
        uint32_t digits, places;
        const char *after = number_scan_short(text, text + size, &digits, &places);
        if (after == NULL)
            continue;
        taken++;
        if (number_scan(text, text + size, &number) != after || number.digits != digits ||
            number.exponent != -(int32_t)places || number.is_negative || !number.is_exact)
            fail_msg("%.*s: %u, %u places", (int)size, text, digits, places);
    }
    assert_in_range(taken, ROUNDS / 10, ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_doubles_are_the_nearest),
        cmocka_unit_test(test_halves_round_to_even),
        cmocka_unit_test(test_what_is_no_number),
        cmocka_unit_test(test_a_huge_exponent_meets_many_places),
        cmocka_unit_test(test_integers_at_the_edges),
        cmocka_unit_test(test_short_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
