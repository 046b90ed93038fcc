#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sink/backoff.h"
#include "sink/breaker.h"
#include "sink/token_bucket.h"

static void fail_times(struct breaker *breaker, int times, int64_t now_ms)
{
    for (int i = 0; i < times; i++) {
        assert_true(breaker_allows(breaker, now_ms));
        breaker_failed(breaker, now_ms);
    }
}

static void opens_after_failures_in_a_row(void **state)
{
    struct breaker breaker;

    (void)state;
    breaker_init(&breaker, 5, 60000);
    fail_times(&breaker, 4, 1000);
    assert_int_equal(breaker.state, BREAKER_CLOSED);
    assert_true(breaker_allows(&breaker, 1000));
    breaker_succeeded(&breaker);
    fail_times(&breaker, 4, 1000);
    assert_int_equal(breaker.state, BREAKER_CLOSED);
    fail_times(&breaker, 1, 1000);
    assert_int_equal(breaker.state, BREAKER_OPEN);
    assert_false(breaker_allows(&breaker, 1000));
    assert_int_equal(breaker_wait_ms(&breaker, 1000), 60000);
    assert_false(breaker_allows(&breaker, 60999));
    assert_int_equal(breaker_wait_ms(&breaker, 60999), 1);
}

static void half_open_lets_one_through(void **state)
{
    struct breaker breaker;

    (void)state;
    breaker_init(&breaker, 2, 100);
    fail_times(&breaker, 2, 0);
    assert_true(breaker_allows(&breaker, 100));
    assert_int_equal(breaker.state, BREAKER_HALF_OPEN);
    assert_false(breaker_allows(&breaker, 100));
    breaker_failed(&breaker, 150);
    assert_int_equal(breaker.state, BREAKER_OPEN);
    assert_false(breaker_allows(&breaker, 249));
    assert_true(breaker_allows(&breaker, 250));
    breaker_succeeded(&breaker);
    assert_int_equal(breaker.state, BREAKER_CLOSED);
    fail_times(&breaker, 1, 300);
    assert_int_equal(breaker.state, BREAKER_CLOSED);
}

static void a_late_failure_does_not_lengthen_the_wait(void **state)
{
    struct breaker breaker;

    (void)state;
    breaker_init(&breaker, 1, 100);
    fail_times(&breaker, 1, 0);
    breaker_failed(&breaker, 90);
    assert_true(breaker_allows(&breaker, 100));
    breaker_reset(&breaker);
    assert_int_equal(breaker.state, BREAKER_CLOSED);
    assert_string_equal(breaker_state_name(BREAKER_HALF_OPEN), "half-open");
}

static void backoff_stays_under_a_ceiling_that_doubles(void **state)
{
    static const int64_t ceilings_ms[] = {100, 200, 400, 800, 1000, 1000, 1000};

    (void)state;
    for (uint64_t seed = 0; seed < 2000; seed++) {
        struct backoff backoff, twin;

        backoff_init(&backoff, 100, 1000, seed);
        backoff_init(&twin, 100, 1000, seed);
        for (size_t i = 0; i < sizeof(ceilings_ms) / sizeof(ceilings_ms[0]); i++) {
            int64_t wait_ms = backoff_next_ms(&backoff);

            assert_in_range(wait_ms, 1, ceilings_ms[i]);
            assert_int_equal(wait_ms, backoff_next_ms(&twin));
        }
        backoff_reset(&backoff);
        assert_in_range(backoff_next_ms(&backoff), 1, 100);
    }
}

/* Full jitter is uniform: of many first waits a tenth lies in each tenth. */
static void backoff_uses_the_whole_range(void **state)
{
    int tenths[10] = {0};
    struct backoff backoff;

    (void)state;
    backoff_init(&backoff, 1000, 1000, 42);
    for (int i = 0; i < 10000; i++)
        tenths[(backoff_next_ms(&backoff) - 1) / 100]++;
    for (int i = 0; i < 10; i++)
        assert_in_range(tenths[i], 850, 1150);
}

static void backoff_survives_many_failures(void **state)
{
    struct backoff backoff;

    (void)state;
    backoff_init(&backoff, 1, INT64_MAX / 2, 7);
    for (int i = 0; i < 1000; i++)
        assert_true(backoff_next_ms(&backoff) >= 1);
}

static void bucket_gives_a_burst_and_then_one_an_interval(void **state)
{
    struct token_bucket bucket;
    int taken = 0;

    (void)state;
    token_bucket_init(&bucket, 1000, 3, 5000);
    for (int i = 0; i < 10; i++)
        taken += token_bucket_take(&bucket, 5000);
    assert_int_equal(taken, 3);
    assert_int_equal(token_bucket_wait_ms(&bucket, 5000), 1000);
    assert_false(token_bucket_take(&bucket, 5999));
    assert_int_equal(token_bucket_wait_ms(&bucket, 5999), 1);
    assert_true(token_bucket_take(&bucket, 6000));
    /* In the long run, one an interval, whenever it is asked. */
    taken = 0;
    for (int64_t now_ms = 6000; now_ms <= 106000; now_ms += 7)
        taken += token_bucket_take(&bucket, now_ms);
    assert_int_equal(taken, 99);
}

static void bucket_keeps_no_more_than_a_burst(void **state)
{
    struct token_bucket bucket;
    int taken = 0;

    (void)state;
    token_bucket_init(&bucket, 10, 2, 0);
    for (int i = 0; i < 10; i++)
        taken += token_bucket_take(&bucket, INT64_MAX / 2);
    assert_int_equal(taken, 2);
    /* A clock that goes back gives nothing. */
    assert_false(token_bucket_take(&bucket, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_after_failures_in_a_row),
        cmocka_unit_test(half_open_lets_one_through),
        cmocka_unit_test(a_late_failure_does_not_lengthen_the_wait),
        cmocka_unit_test(backoff_stays_under_a_ceiling_that_doubles),
        cmocka_unit_test(backoff_uses_the_whole_range),
        cmocka_unit_test(backoff_survives_many_failures),
        cmocka_unit_test(bucket_gives_a_burst_and_then_one_an_interval),
        cmocka_unit_test(bucket_keeps_no_more_than_a_burst),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
