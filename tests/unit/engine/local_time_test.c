#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <time.h>

#include "base/hash.h"
#include "engine/local_time.h"

enum { HOUR_MS = 3600000, DAY_MS = 24 * HOUR_MS, ZONE_COUNT = 5 };

static const char *const names[ZONE_COUNT] = {"UTC", "Europe/Berlin", "Australia/Lord_Howe",
                                              "America/St_Johns", "Asia/Kathmandu"};
static struct zone *zones[ZONE_COUNT];
static struct local_time *local;

static int open_zones(void **state)
{
    (void)state;
    for (int i = 0; i < ZONE_COUNT; i++)
        if (zone_open(names[i], &zones[i], NULL) != STATUS_OK)
            return -1;
    local = local_time_create((const struct zone *const *)zones, ZONE_COUNT);
    return 0;
}

static int close_zones(void **state)
{
    (void)state;
    local_time_destroy(local);
    for (int i = 0; i < ZONE_COUNT; i++)
        zone_close(zones[i]);
    return 0;
}

static int64_t moment(int year, int month, int day, int hour, int minute)
{
    struct tm parts = {.tm_year = year - 1900,
                       .tm_mon = month - 1,
                       .tm_mday = day,
                       .tm_hour = hour,
                       .tm_min = minute};

    return (int64_t)timegm(&parts) * 1000;
}

/* In Berlin on 29 March 2026 the hour from two to three does not exist; on 25 October it
 * comes twice. */
static void test_hours_around_summer_time(void **state)
{
    (void)state;
    assert_int_equal(local_time_hour(local, 1, moment(2026, 3, 29, 0, 59)), 1);
    assert_int_equal(local_time_hour(local, 1, moment(2026, 3, 29, 1, 0) - 1), 1);
    assert_int_equal(local_time_hour(local, 1, moment(2026, 3, 29, 1, 0)), 3);
    assert_int_equal(local_time_hour(local, 1, moment(2026, 10, 25, 0, 30)), 2);
    assert_int_equal(local_time_hour(local, 1, moment(2026, 10, 25, 1, 30)), 2);
    assert_int_equal(local_time_hour(local, 1, moment(2026, 10, 25, 2, 0)), 3);
}

/* Every minute of two weeks around each change, forwards, then at random: what is
 * remembered never changes the answer. Lord Howe changes by half an hour. */
static void test_remembering_changes_nothing(void **state)
{
    static const int days[][2] = {{3, 22}, {4, 1}, {10, 1}, {10, 20}};

    (void)state;
    for (uint32_t zone = 0; zone < ZONE_COUNT; zone++)
        for (size_t i = 0; i < sizeof days / sizeof days[0]; i++) {
            int64_t start_ms = moment(2026, days[i][0], days[i][1], 0, 0);
            for (int64_t at_ms = start_ms; at_ms < start_ms + 14 * DAY_MS; at_ms += 59999)
                assert_int_equal(local_time_hour(local, zone, at_ms),
                                 zone_hour(zones[zone], at_ms));
        }
    for (uint64_t i = 0; i < 200000; i++) {
        uint64_t random = hash_mix(1, i);
        uint32_t zone = (uint32_t)(random % ZONE_COUNT);
        int64_t at_ms =
            (int64_t)(hash_mix(2, i) % (UINT64_C(120) * 366 * DAY_MS)) - (int64_t)40 * 366 * DAY_MS;
        assert_int_equal(local_time_hour(local, zone, at_ms), zone_hour(zones[zone], at_ms));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hours_around_summer_time),
        cmocka_unit_test(test_remembering_changes_nothing),
    };

    return cmocka_run_group_tests(tests, open_zones, close_zones);
}
