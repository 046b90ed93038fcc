#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/status.h"

static void test_failure_says_what_to_do(void **state)
{
    struct failure failure;

    (void)state;
    assert_int_equal(failure_set(&failure, REMEDY_RETRY, "broker %d: %s", 7, "gone"),
                     STATUS_BROKEN);
    assert_int_equal(failure.remedy, REMEDY_RETRY);
    assert_string_equal(failure.text, "broker 7: gone");
}

static void test_failure_may_be_dropped(void **state)
{
    (void)state;
    assert_int_equal(failure_set(NULL, REMEDY_STOP, "%s", "unheard"), STATUS_BROKEN);
}

static void test_long_text_is_cut_and_ends_in_nul(void **state)
{
    struct failure failure;
    char text[2 * FAILURE_TEXT_MAX];

    (void)state;
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    failure_set(&failure, REMEDY_STOP, "%s", text);
    assert_int_equal(strlen(failure.text), FAILURE_TEXT_MAX - 1);
}

static void test_text_is_one_line(void **state)
{
    struct failure failure;

    (void)state;
    failure_set(&failure, REMEDY_STOP, "first\nsecond\r\nthird\tfourth");
    assert_string_equal(failure.text, "first second  third fourth");
}

static void test_every_status_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int a = STATUS_OK; a <= STATUS_BROKEN; a++)
        for (int b = a + 1; b <= STATUS_BROKEN; b++)
            assert_string_not_equal(status_name((enum status)a), status_name((enum status)b));
    assert_string_equal(status_name(STATUS_LATE), "late");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failure_says_what_to_do),
        cmocka_unit_test(test_failure_may_be_dropped),
        cmocka_unit_test(test_long_text_is_cut_and_ends_in_nul),
        cmocka_unit_test(test_text_is_one_line),
        cmocka_unit_test(test_every_status_has_a_name_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
