#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/view.h"

static bool is_utf8(const char *data, size_t size)
{
    return view_is_utf8((struct view){data, (uint32_t)size});
}

static void test_what_changes_how_others_show(void **state)
{
    static const char *const harmful[] = {
        "\x01",         "\n",           "\x7f",         "\xC2\x80",     "\xC2\x9F",    "\xD8\x9C",
        "\xE2\x80\x8E", "\xE2\x80\xA8", "\xE2\x80\xAE", "\xE2\x81\xA6", "\xE2\x81\xA9"};
    static const char *const harmless[] = {" ",
                                           "~",
                                           "\xC2\xA0",
                                           "\xC3\xA9",
                                           "\xD8\x9D",
                                           "\xE2\x80\x8D",
                                           "\xE2\x80\xA6",
                                           "\xE2\x80\xAF",
                                           "\xE2\x81\xAA",
                                           "\xE3\x80\xAE",
                                           "\xF0\x9F\x98\x80"};

    (void)state;
    for (size_t i = 0; i < sizeof harmful / sizeof harmful[0]; i++)
        if (!view_rune_is_control(harmful[i], (uint32_t)strlen(harmful[i])))
            fail_msg("%zu", i);
    for (size_t i = 0; i < sizeof harmless / sizeof harmless[0]; i++)
        if (view_rune_is_control(harmless[i], (uint32_t)strlen(harmless[i])))
            fail_msg("%zu", i);
    assert_false(view_rune_is_control("\xff", 0));
}

static void test_absent_is_not_empty(void **state)
{
    (void)state;
    assert_true(view_is_absent(view_of(NULL)));
    assert_false(view_is_absent(view_of("")));
    assert_false(view_is_equal(view_of(NULL), view_of("")));
    assert_true(view_is_equal(view_of(NULL), view_of(NULL)));
    assert_true(view_is_text(view_of("abc"), "abc"));
    assert_false(view_is_text(view_of("abc"), "abd"));
}

static void test_order_is_that_of_bytes(void **state)
{
    (void)state;
    assert_true(view_compare(view_of("a"), view_of("b")) < 0);
    assert_true(view_compare(view_of("b"), view_of("a")) > 0);
    assert_true(view_compare(view_of("a"), view_of("aa")) < 0);
    assert_true(view_compare(view_of("\xFF"), view_of("a")) > 0);
    assert_int_equal(view_compare(view_of("aa"), view_of("aa")), 0);
    assert_int_equal(view_compare(view_of(NULL), view_of("")), 0);
    assert_true(view_compare(view_of(NULL), view_of("a")) < 0);
}

static void test_parts(void **state)
{
    struct view text = view_of("customer.orders");

    (void)state;
    assert_true(view_has_prefix(text, view_of("customer")));
    assert_false(view_has_prefix(text, view_of("orders")));
    assert_true(view_has_suffix(text, view_of("orders")));
    assert_false(view_has_suffix(text, view_of("customer")));
    assert_true(view_contains(text, view_of("r.o")));
    assert_false(view_contains(text, view_of("ro")));
    assert_false(view_has_prefix(view_of("a"), view_of("ab")));
    assert_false(view_has_suffix(view_of("b"), view_of("ab")));
    assert_true(view_has_prefix(view_of(NULL), view_of("")));
    assert_true(view_has_suffix(view_of(NULL), view_of(NULL)));
    assert_true(view_contains(view_of(NULL), view_of("")));
    assert_false(view_contains(view_of(NULL), view_of("a")));
}

static void test_utf8_that_is_well_formed(void **state)
{
    (void)state;
    assert_true(view_is_utf8(view_of(NULL)));
    assert_true(view_is_utf8(view_of("")));
    assert_true(view_is_utf8(view_of("plain text, longer than a word")));
    assert_true(view_is_utf8(view_of("Gr\xC3\xBC\xC3\x9F"
                                     "e, \xE2\x82\xAC 5, \xF0\x9F\x8C\x8A")));
    assert_true(view_is_utf8(view_of("\xED\x9F\xBF\xEE\x80\x80"))); /* around the surrogates */
    assert_true(view_is_utf8(view_of("\xF4\x8F\xBF\xBF")));         /* U+10FFFF */
    assert_true(is_utf8("a\0b", 3));
}

static void test_utf8_that_is_not(void **state)
{
    static const char *const bad[] = {
        "\x80",             /* begins in the middle */
        "\xC0\xAF",         /* overlong */
        "\xC1\xBF",         /* overlong */
        "\xE0\x9F\xBF",     /* overlong */
        "\xF0\x8F\xBF\xBF", /* overlong */
        "\xED\xA0\x80",     /* surrogate */
        "\xF4\x90\x80\x80", /* above U+10FFFF */
        "\xF5\x80\x80\x80",
        "\xFF",
        "\xC3",         /* cut off */
        "\xE2\x82",     /* cut off */
        "\xF0\x9F\x8C", /* cut off */
        "\xE2\x82"
        "a",
        "\xF0\x9F\x8C"
        "a",
        "eight by\xC3",
    };

    (void)state;
    for (size_t index = 0; index < sizeof bad / sizeof bad[0]; index++)
        assert_false(view_is_utf8(view_of(bad[index])));
}

/* Every sequence of up to three bytes against the definition by decoding. */
static bool decodes(const unsigned char *at, size_t size)
{
    while (size > 0) {
        uint32_t length = at[0] < 0x80   ? 1
                          : at[0] < 0xC0 ? 0
                          : at[0] < 0xE0 ? 2
                          : at[0] < 0xF0 ? 3
                                         : 4;
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        if (length == 0 || length > size || at[0] >= 0xF8)
            return false;
        uint32_t code = length == 1 ? at[0] : at[0] & (0x7Fu >> length);
        for (uint32_t index = 1; index < length; index++) {
            if ((at[index] & 0xC0) != 0x80)
                return false;
            code = code << 6 | (at[index] & 0x3F);
        }
        if (code < least[length] || (code >= 0xD800 && code < 0xE000) || code > 0x10FFFF)
            return false;
        at += length;
        size -= length;
    }
    return true;
}

static void test_utf8_agrees_with_decoding(void **state)
{
    unsigned char bytes[4] = {0, 0, 0, 0x80};

    (void)state;
    for (uint32_t code = 0; code < 1 << 24; code += code < 1 << 23 ? 17 : 1) {
        bytes[0] = (unsigned char)(code >> 16);
        bytes[1] = (unsigned char)(code >> 8);
        bytes[2] = (unsigned char)code;
        if (is_utf8((const char *)bytes, 3) != decodes(bytes, 3) ||
            is_utf8((const char *)bytes, 4) != decodes(bytes, 4))
            fail_msg("bytes %06x", code);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_changes_how_others_show),
        cmocka_unit_test(test_absent_is_not_empty),
        cmocka_unit_test(test_order_is_that_of_bytes),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_utf8_that_is_well_formed),
        cmocka_unit_test(test_utf8_that_is_not),
        cmocka_unit_test(test_utf8_agrees_with_decoding),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
