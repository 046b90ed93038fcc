/* Looking at many bytes at once says what looking at each says, wherever a text begins and ends. */
#include "codec/lanes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "unit/codec/sample.h"

enum { ROUNDS = 200000, TEXT_MAX = 70 };

static uint32_t fill(struct dice *dice, char *text)
{
    static const char odd[] = "\"\\\n\x1F\x00\x7F\x80\xFF\xC3\xA9 !#[]";
    const uint32_t size = dice_below(dice, TEXT_MAX + 1);

    for (uint32_t i = 0; i < size; i++)
        text[i] = dice_one_in(dice, 25) ? odd[dice_below(dice, sizeof odd - 1)]
                                        : (char)('a' + dice_below(dice, 26));
    /* Characters of two bytes, whole, so that not every high byte is an error. */
    for (uint32_t i = 0; i + 1 < size; i += 2)
        if (dice_one_in(dice, 20))
            memcpy(text + i, "\xC3\xA9", 2);
    return size;
}

static void test_find_special(void **state)
{
    struct dice dice = {3};

    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        char text[TEXT_MAX];
        const uint32_t size = fill(&dice, text);
        bool has_high = false, expected_high = false;
        uint32_t expected = 0;
        for (; expected < size; expected++) {
            const unsigned char byte = (unsigned char)text[expected];
            if (byte < 0x20 || byte == '"' || byte == '\\')
                break;
            expected_high |= byte >= 0x80;
        }
        assert_ptr_equal(lanes_find_special(text, text + size, &has_high), text + expected);
        assert_int_equal(has_high, expected_high);
    }
}

static void test_is_clean(void **state)
{
    struct dice dice = {4};
    uint32_t clean = 0;

    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        char text[TEXT_MAX];
        const uint32_t size = fill(&dice, text);
        const uint32_t before = dice_below(&dice, TEXT_MAX - size + 1);
        const bool expected =
            memchr(text, 0, size) == NULL && view_is_utf8((struct view){text, size});
        /* Exactly what may be read, so that a sanitizer sees a step beyond. */
        char *exact = malloc(before + size > 0 ? before + size : 1);
        memset(exact, dice_one_in(&dice, 2) ? 0xFF : 0, before);
        memcpy(exact + before, text, size);
        assert_int_equal(lanes_is_clean(exact + before, size, before), expected);
        free(exact);
        clean += expected;
    }
    assert_in_range(clean, ROUNDS / 10, ROUNDS * 9 / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find_special),
        cmocka_unit_test(test_is_clean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
