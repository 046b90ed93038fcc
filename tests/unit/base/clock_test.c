#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <time.h>

#include "base/clock.h"

static int64_t fixed_ns(void *context)
{
    return *(int64_t *)context;
}

static void test_a_clock_of_our_own(void **state)
{
    int64_t now_ns = 1999999;
    struct clock clock = {.wall_ms = fixed_ns, .monotonic_ns = fixed_ns, .context = &now_ns};

    (void)state;
    assert_int_equal(clock_monotonic_ns(&clock), 1999999);
    assert_int_equal(clock_monotonic_ms(&clock), 1);
    assert_int_equal(clock_wall_ms(&clock), 1999999);
}

static void test_the_clock_of_the_machine(void **state)
{
    const struct clock *clock = clock_system();
    int64_t before_ns = clock_monotonic_ns(clock);
    int64_t seconds = (int64_t)time(NULL);
    int64_t wall_s = clock_wall_ms(clock) / 1000;

    (void)state;
    assert_true(clock_monotonic_ns(clock) >= before_ns);
    assert_true(wall_s - seconds >= -1 && wall_s - seconds <= 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_clock_of_our_own),
        cmocka_unit_test(test_the_clock_of_the_machine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
