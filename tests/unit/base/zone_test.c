#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/zone.h"

static struct failure failure;

static struct zone *open_zone(const char *name)
{
    struct zone *zone = NULL;

    if (zone_open(name, &zone, &failure) != STATUS_OK)
        fail_msg("%s", failure.text);
    return zone;
}

/* Milliseconds of a UTC moment. */
static int64_t moment(int year, int month, int day, int hour, int minute, int second)
{
    struct tm parts = {.tm_year = year - 1900,
                       .tm_mon = month - 1,
                       .tm_mday = day,
                       .tm_hour = hour,
                       .tm_min = minute,
                       .tm_sec = second};

    return (int64_t)timegm(&parts) * 1000;
}

static void test_utc(void **state)
{
    struct zone *opened = open_zone("UTC");

    (void)state;
    assert_int_equal(zone_offset_s(zone_utc(), 0), 0);
    assert_int_equal(zone_offset_s(zone_utc(), INT64_MIN), 0);
    assert_int_equal(zone_hour(zone_utc(), moment(2026, 11, 21, 9, 12, 7)), 9);
    assert_int_equal(zone_hour(zone_utc(), -1), 23);
    assert_int_equal(zone_hour(zone_utc(), -3600000), 23);
    assert_int_equal(zone_hour(zone_utc(), -3600001), 22);
    assert_int_equal(zone_hour(opened, 0), 0);
    zone_close(opened);
    zone_close(NULL);
}

static void test_berlin_around_its_changes(void **state)
{
    struct zone *berlin = open_zone("Europe/Berlin");
    int64_t spring = moment(2026, 3, 29, 1, 0, 0);
    int64_t autumn = moment(2026, 10, 25, 1, 0, 0);

    (void)state;
    assert_int_equal(zone_offset_s(berlin, spring - 1), 3600);
    assert_int_equal(zone_offset_s(berlin, spring), 7200);
    assert_int_equal(zone_hour(berlin, spring - 1), 1);
    assert_int_equal(zone_hour(berlin, spring), 3); /* there is no 2 o'clock */
    assert_int_equal(zone_offset_s(berlin, autumn - 1), 7200);
    assert_int_equal(zone_offset_s(berlin, autumn), 3600);
    assert_int_equal(zone_hour(berlin, autumn - 1), 2);
    assert_int_equal(zone_hour(berlin, autumn), 2); /* 2 o'clock comes twice */
    assert_int_equal(zone_offset_s(berlin, moment(1800, 1, 1, 0, 0, 0)), 3208);
    assert_int_equal(zone_offset_s(berlin, moment(1945, 6, 1, 0, 0, 0)), 10800);
    zone_close(berlin);
}

static void test_new_york_around_its_changes(void **state)
{
    struct zone *new_york = open_zone("America/New_York");
    int64_t spring = moment(2026, 3, 8, 7, 0, 0);
    int64_t autumn = moment(2026, 11, 1, 6, 0, 0);

    (void)state;
    assert_int_equal(zone_offset_s(new_york, spring - 1), -18000);
    assert_int_equal(zone_offset_s(new_york, spring), -14400);
    assert_int_equal(zone_offset_s(new_york, autumn - 1), -14400);
    assert_int_equal(zone_offset_s(new_york, autumn), -18000);
    assert_int_equal(zone_hour(new_york, moment(2026, 1, 1, 3, 0, 0)), 22);
    zone_close(new_york);
}

static void test_kolkata_has_half_an_hour(void **state)
{
    struct zone *kolkata = open_zone("Asia/Kolkata");

    (void)state;
    assert_int_equal(zone_offset_s(kolkata, moment(2026, 7, 1, 0, 0, 0)), 19800);
    assert_int_equal(zone_hour(kolkata, moment(2026, 7, 1, 18, 29, 59)), 23);
    assert_int_equal(zone_hour(kolkata, moment(2026, 7, 1, 18, 30, 0)), 0);
    assert_int_equal(zone_offset_s(kolkata, moment(2200, 7, 1, 0, 0, 0)), 19800);
    zone_close(kolkata);
}

static void test_years_after_the_table_follow_the_rule(void **state)
{
    struct zone *berlin = open_zone("Europe/Berlin");
    struct zone *sydney = open_zone("Australia/Sydney");

    (void)state;
    /* 2500-03-28 is the last Sunday of its month, and so is 2500-10-31. */
    assert_int_equal(zone_offset_s(berlin, moment(2500, 3, 28, 1, 0, 0) - 1), 3600);
    assert_int_equal(zone_offset_s(berlin, moment(2500, 3, 28, 1, 0, 0)), 7200);
    assert_int_equal(zone_offset_s(berlin, moment(2500, 10, 31, 1, 0, 0) - 1), 7200);
    assert_int_equal(zone_offset_s(berlin, moment(2500, 10, 31, 1, 0, 0)), 3600);
    /* In the south summer spans the turn of the year. */
    assert_int_equal(zone_offset_s(sydney, moment(2500, 1, 1, 0, 0, 0)), 39600);
    assert_int_equal(zone_offset_s(sydney, moment(2500, 7, 1, 0, 0, 0)), 36000);
    assert_int_equal(zone_offset_s(sydney, moment(2500, 12, 31, 23, 0, 0)), 39600);
    /* Moments that no clock shows are computed all the same. */
    assert_in_range(zone_hour(berlin, INT64_MAX), 0, 23);
    assert_in_range(zone_hour(berlin, INT64_MIN), 0, 23);
    zone_close(berlin);
    zone_close(sydney);
}

/* The C library, asked by way of TZ, is the second opinion. */
static void test_agrees_with_the_c_library(void **state)
{
    static const char *const names[] = {
        "Europe/Berlin",     "America/New_York",  "Asia/Kolkata",       "Australia/Lord_Howe",
        "America/Sao_Paulo", "Africa/Casablanca", "Europe/Dublin",      "Pacific/Apia",
        "Asia/Tehran",       "America/Nuuk",      "Pacific/Kiritimati", "Asia/Gaza",
        "EST5EDT",           "Etc/GMT+12",
    };

    (void)state;
    for (size_t index = 0; index < sizeof names / sizeof names[0]; index++) {
        struct zone *zone = open_zone(names[index]);
        setenv("TZ", names[index], 1);
        tzset();
        for (uint64_t seed = 0; seed < 5000; seed++) {
            time_t second = (time_t)(hash_mix(seed, index) % UINT64_C(17000000000)) - 5000000000;
            struct tm parts;
            localtime_r(&second, &parts);
            if (zone_offset_s(zone, (int64_t)second * 1000) != parts.tm_gmtoff)
                fail_msg("%s at %lld: %d, not %ld", names[index], (long long)second,
                         zone_offset_s(zone, (int64_t)second * 1000), parts.tm_gmtoff);
            assert_int_equal(zone_hour(zone, (int64_t)second * 1000), parts.tm_hour);
        }
        zone_close(zone);
    }
    unsetenv("TZ");
    tzset();
}

static void put_big_endian(struct byte_writer *out, uint64_t value, int bytes)
{
    for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
        byte_put_u8(out, (uint8_t)(value >> shift));
}

static void put_header(struct byte_writer *out, char version, uint32_t transitions, uint32_t types)
{
    byte_put(out, "TZif", 4);
    byte_put_u8(out, (uint8_t)version);
    for (int index = 0; index < 15; index++)
        byte_put_u8(out, 0);
    for (int index = 0; index < 3; index++)
        put_big_endian(out, 0, 4);
    put_big_endian(out, transitions, 4);
    put_big_endian(out, types, 4);
    put_big_endian(out, 4, 4);
}

static void put_type(struct byte_writer *out, int32_t offset_s)
{
    put_big_endian(out, (uint32_t)offset_s, 4);
    byte_put(out, "\0\0", 2);
}

/* A file of version 2 with one type, offset 0, and `rule`. */
static enum status parse_with_rule(const char *rule, struct zone **zone)
{
    struct byte_writer out;

    byte_writer_init(&out);
    for (int copy = 0; copy < 2; copy++) {
        put_header(&out, '2', 0, 1);
        put_type(&out, 0);
        byte_put(&out, "LMT", 4);
    }
    byte_print(&out, "\n%s\n", rule);
    enum status status = zone_parse(out.data, out.size, zone, &failure);
    byte_writer_free(&out);
    return status;
}

static void test_rules_of_every_form(void **state)
{
    struct zone *zone;

    (void)state;
    assert_int_equal(parse_with_rule("", &zone), STATUS_OK);
    assert_int_equal(zone_offset_s(zone, 0), 0);
    zone_close(zone);

    assert_int_equal(parse_with_rule("<+0530>-5:30", &zone), STATUS_OK);
    assert_int_equal(zone_offset_s(zone, 0), 19800);
    zone_close(zone);

    /* Day 60 without 29 February is 1 March in every year; counted from 0 with it,
     * day 59 is 29 February in a leap year. */
    assert_int_equal(parse_with_rule("AAA0BBB,J60/0,J300/0", &zone), STATUS_OK);
    assert_int_equal(zone_offset_s(zone, moment(2028, 3, 1, 0, 0, 0) - 1), 0);
    assert_int_equal(zone_offset_s(zone, moment(2028, 3, 1, 0, 0, 0)), 3600);
    assert_int_equal(zone_offset_s(zone, moment(2027, 3, 1, 0, 0, 0) - 1), 0);
    assert_int_equal(zone_offset_s(zone, moment(2027, 3, 1, 0, 0, 0)), 3600);
    zone_close(zone);
    assert_int_equal(parse_with_rule("AAA0BBB-2,59/0,300/0", &zone), STATUS_OK);
    assert_int_equal(zone_offset_s(zone, moment(2028, 2, 29, 0, 0, 0) - 1), 0);
    assert_int_equal(zone_offset_s(zone, moment(2028, 2, 29, 0, 0, 0)), 7200);
    zone_close(zone);

    /* Summer all year (RFC 8536, 3.3.1). */
    assert_int_equal(parse_with_rule("XXX3EDT4,0/0,J365/23", &zone), STATUS_OK);
    for (int month = 1; month <= 12; month++)
        assert_int_equal(zone_offset_s(zone, moment(2026, month, 1, 4, 0, 0)), -14400);
    assert_int_equal(zone_offset_s(zone, moment(2026, 1, 1, 3, 30, 0)), -14400);
    zone_close(zone);

    /* Times before and long after the day. */
    assert_int_equal(parse_with_rule("<-02>2<-01>,M3.5.0/-1,M10.5.0/100:30:15", &zone), STATUS_OK);
    assert_int_equal(zone_offset_s(zone, moment(2026, 3, 29, 1, 0, 0) - 1), -7200);
    assert_int_equal(zone_offset_s(zone, moment(2026, 3, 29, 1, 0, 0)), -3600);
    assert_int_equal(zone_offset_s(zone, moment(2026, 10, 29, 5, 30, 14)), -3600);
    assert_int_equal(zone_offset_s(zone, moment(2026, 10, 29, 5, 30, 15)), -7200);
    zone_close(zone);
}

static void test_rules_that_are_none(void **state)
{
    static const char *const bad[] = {
        "A0",
        "AAA",
        "AAA25",
        "<AAA0",
        "AAA0BBB",
        "AAA0BBB,M3",
        "AAA0BBB,M13.1.0,M1.1.0",
        "AAA0BBB,M3.6.0,M1.1.0",
        "AAA0BBB,M3.1.7,M1.1.0",
        "AAA0BBB,M0.1.0,M1.1.0",
        "AAA0BBB,M3.0.0,M1.1.0",
        "AAA0BBB,J0,J1",
        "AAA0BBB,J366,J1",
        "AAA0BBB,1,366",
        "AAA0BBB,1,2/168",
        "AAA0BBB,1,2x",
        "AAA0BBB,1",
        "AAA0:60",
        "AAA0:",
        "AAA1234",
        "AAA0 ",
        "AAA0BBB1,",
        "AAA0B,1,2",
    };
    struct zone *zone;

    (void)state;
    for (size_t index = 0; index < sizeof bad / sizeof bad[0]; index++) {
        if (parse_with_rule(bad[index], &zone) != STATUS_BROKEN)
            fail_msg("%s", bad[index]);
        assert_null(zone);
        assert_int_equal(failure.remedy, REMEDY_STOP);
    }
}

static void test_version_1_has_32_bits_and_no_rule(void **state)
{
    struct byte_writer out;
    struct zone *zone;

    (void)state;
    byte_writer_init(&out);
    put_header(&out, 0, 2, 2);
    put_big_endian(&out, (uint32_t)-100, 4);
    put_big_endian(&out, 100, 4);
    byte_put(&out, "\1\0", 2);
    put_type(&out, -3600);
    put_type(&out, 7200);
    byte_put(&out, "LMT", 4);
    assert_int_equal(zone_parse(out.data, out.size, &zone, &failure), STATUS_OK);
    assert_int_equal(zone_offset_s(zone, -100001), -3600);
    assert_int_equal(zone_offset_s(zone, -100000), 7200);
    assert_int_equal(zone_offset_s(zone, 99999), 7200);
    assert_int_equal(zone_offset_s(zone, 100000), -3600);
    zone_close(zone);
    byte_writer_free(&out);
}

static size_t read_file(const char *path, char *data, size_t bytes_max)
{
    FILE *file = fopen(path, "rb");

    assert_non_null(file);
    size_t size = fread(data, 1, bytes_max, file);
    fclose(file);
    return size;
}

/* Whatever the bytes, parsing ends in a zone that computes or in a failure. */
static void test_damaged_files(void **state)
{
    static char good[1 << 16];
    size_t size = read_file("/usr/share/zoneinfo/Europe/Berlin", good, sizeof good);
    struct zone *zone;

    (void)state;
    for (size_t cut = 0; cut < size; cut++) {
        char *bytes = malloc(cut + 1); /* exactly sized, for the address sanitizer */
        memcpy(bytes, good, cut);
        assert_int_equal(zone_parse(bytes, cut, &zone, &failure), STATUS_BROKEN);
        free(bytes);
    }
    for (uint64_t seed = 0; seed < 20000; seed++) {
        char *bytes = malloc(size);
        memcpy(bytes, good, size);
        for (uint64_t change = 0; change <= seed % 3; change++) {
            uint64_t random = hash_mix(seed, change);
            /* Half of the damage goes where the counts are. */
            size_t at = random % 2 == 0 ? random % size : random % 44;
            bytes[at] = (char)(random >> 48);
        }
        if (zone_parse(bytes, size, &zone, &failure) == STATUS_OK) {
            assert_in_range(zone_hour(zone, (int64_t)hash_mix(seed, 9)), 0, 23);
            zone_close(zone);
        }
        free(bytes);
    }
}

static void test_names_that_are_refused(void **state)
{
    static const char *const bad[] = {
        "",        "/etc/passwd", "../../etc/passwd", "Europe/..", "Europe/../UTC", "./UTC",
        "Europe/", "Berlin; rm",  "Europe",           "No/Such",   "zone1970.tab"};
    struct zone *zone;

    (void)state;
    for (size_t index = 0; index < sizeof bad / sizeof bad[0]; index++) {
        assert_int_equal(zone_open(bad[index], &zone, &failure), STATUS_BROKEN);
        assert_null(zone);
        assert_int_equal(failure.remedy, REMEDY_STOP);
    }
}

static void test_another_folder(void **state)
{
    struct zone *zone;

    (void)state;
    setenv("TZDIR", "/nowhere", 1);
    assert_int_equal(zone_open("Europe/Berlin", &zone, &failure), STATUS_BROKEN);
    assert_string_equal(failure.text, "time zone Europe/Berlin: /nowhere/Europe/Berlin: No such "
                                      "file or directory");
    assert_int_equal(zone_open("UTC", &zone, &failure), STATUS_OK);
    zone_close(zone);
    unsetenv("TZDIR");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utc),
        cmocka_unit_test(test_berlin_around_its_changes),
        cmocka_unit_test(test_new_york_around_its_changes),
        cmocka_unit_test(test_kolkata_has_half_an_hour),
        cmocka_unit_test(test_years_after_the_table_follow_the_rule),
        cmocka_unit_test(test_agrees_with_the_c_library),
        cmocka_unit_test(test_rules_of_every_form),
        cmocka_unit_test(test_rules_that_are_none),
        cmocka_unit_test(test_version_1_has_32_bits_and_no_rule),
        cmocka_unit_test(test_damaged_files),
        cmocka_unit_test(test_names_that_are_refused),
        cmocka_unit_test(test_another_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
