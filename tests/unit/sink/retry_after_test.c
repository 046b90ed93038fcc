#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sink/retry_after.h"

enum { NOW_S = 784111777 }; /* Sun, 06 Nov 1994 08:49:37 GMT */

static int64_t read_line(const char *line)
{
    return retry_after_read(view_of(line), (int64_t)NOW_S * 1000);
}

static void reads_seconds_and_dates(void **state)
{
    (void)state;
    assert_int_equal(read_line("Retry-After: 30\r\n"), 30000);
    assert_int_equal(read_line("retry-after:0"), 0);
    assert_int_equal(read_line("Retry-After: Sun, 06 Nov 1994 08:50:07 GMT\r\n"), 30000);
    assert_int_equal(read_line("Retry-After: Sun, 06 Nov 1994 08:00:00 GMT"), 0);
    assert_int_equal(read_line("X-RateLimit-Reset: 784111787\r\n"), 10000);
    assert_int_equal(read_line("x-ratelimit-reset: 5"), 0);
}

static void is_bounded(void **state)
{
    (void)state;
    assert_int_equal(read_line("Retry-After: 99999999999999"), RETRY_AFTER_MOST_MS);
    assert_int_equal(read_line("Retry-After: 9223372036854775807"), RETRY_AFTER_MOST_MS);
    assert_int_equal(read_line("X-RateLimit-Reset: 9223372036854775807"), RETRY_AFTER_MOST_MS);
    assert_int_equal(read_line("Retry-After: Sun, 06 Nov 2094 08:49:37 GMT"), RETRY_AFTER_MOST_MS);
}

static void what_says_nothing_is_nothing(void **state)
{
    static const char *const lines[] = {
        "",
        "Retry-After",
        "Retry-After:",
        "Retry-After: soon",
        "Retry-After: -1",
        "Retry-After-That: 30",
        "X-RateLimit-Reset: tomorrow",
        "X-RateLimit-Reset:",
        "HTTP/1.1 429 Too Many Requests",
        "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT and then a good deal more than a date has",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        assert_int_equal(read_line(lines[i]), -1);
    assert_int_equal(retry_after_read((struct view){"Retry-After: \0", 14}, 0), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_seconds_and_dates),
        cmocka_unit_test(is_bounded),
        cmocka_unit_test(what_says_nothing_is_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
