#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "engine/deduplicate.h"

enum { WINDOW_MS = 300000, LATENESS_MS = 60000 };

static const struct view acme = VIEW_LITERAL("acme");

static bool admit(struct deduplicate *ids, const char *id, int64_t time_ms)
{
    return deduplicate_admit(ids, acme, view_of(id), time_ms, time_ms - LATENESS_MS);
}

static void test_same_id_counts_once_inside_the_window(void **state)
{
    struct deduplicate *ids = deduplicate_create(WINDOW_MS, 1 << 20);

    (void)state;
    assert_true(admit(ids, "a", 1000000));
    assert_false(admit(ids, "a", 1000000));
    assert_true(admit(ids, "b", 1000000));
    assert_false(admit(ids, "a", 1000000 + WINDOW_MS));
    assert_false(deduplicate_admit(ids, acme, view_of("a"), 1000000 - 1, INT64_MIN));
    assert_true(admit(ids, "a", 1000000 + WINDOW_MS + 1));
    deduplicate_destroy(ids);
}

static void test_tenants_do_not_shadow_each_other(void **state)
{
    struct deduplicate *ids = deduplicate_create(WINDOW_MS, 1 << 20);

    (void)state;
    assert_true(deduplicate_admit(ids, view_of("ab"), view_of("c"), 5, INT64_MIN));
    assert_true(deduplicate_admit(ids, view_of("a"), view_of("bc"), 5, INT64_MIN));
    assert_false(deduplicate_admit(ids, view_of("ab"), view_of("c"), 5, INT64_MIN));
    deduplicate_destroy(ids);
}

/* A naive list of all that was admitted says the same, for arrival displaced by up to
 * the lateness and an id that comes back again and again. */
static void test_agrees_with_a_list(void **state)
{
    enum { COUNT = 4000, IDS = 700 };
    static int64_t last_ms[IDS];
    struct deduplicate *ids = deduplicate_create(WINDOW_MS, 1 << 22);
    int64_t highest_ms = INT64_MIN;
    uint32_t duplicates = 0;

    (void)state;
    for (int i = 0; i < IDS; i++)
        last_ms[i] = 0; /* long before the first */
    for (uint64_t i = 0; i < COUNT; i++) {
        uint64_t random = hash_mix(7, i);
        uint32_t id = (uint32_t)(random % IDS);
        int64_t time_ms = 10000000 + (int64_t)i * 977 - (int64_t)((random >> 32) % LATENESS_MS);
        char text[16];
        snprintf(text, sizeof text, "id-%u", id);
        if (time_ms > highest_ms)
            highest_ms = time_ms;
        bool is_new = time_ms > last_ms[id] + WINDOW_MS || time_ms < last_ms[id] - WINDOW_MS;
        bool is_admitted =
            deduplicate_admit(ids, acme, view_of(text), time_ms, highest_ms - LATENESS_MS);
        assert_int_equal(is_admitted, is_new);
        if (is_new)
            last_ms[id] = time_ms;
        duplicates += is_new ? 0 : 1;
    }
    assert_true(duplicates > COUNT / 10);
    assert_int_equal(deduplicate_pushed_out(ids), 0);
    deduplicate_destroy(ids);
}

static void test_bytes_are_bounded_and_the_oldest_go_first(void **state)
{
    enum { BYTES_MAX = 16384, COUNT = 10000, HELD = BYTES_MAX / 32 };
    struct deduplicate *ids = deduplicate_create(WINDOW_MS, BYTES_MAX);
    char text[16];

    (void)state;
    for (int i = 0; i < COUNT; i++) {
        snprintf(text, sizeof text, "id-%d", i);
        assert_true(deduplicate_admit(ids, acme, view_of(text), 1000, 0));
        assert_in_range(deduplicate_bytes(ids), 1, BYTES_MAX + 256);
    }
    assert_int_equal(deduplicate_pushed_out(ids), COUNT - HELD);
    for (int i = COUNT - HELD; i < COUNT; i++) {
        snprintf(text, sizeof text, "id-%d", i);
        assert_false(deduplicate_admit(ids, acme, view_of(text), 1000, 0));
    }
    assert_true(deduplicate_admit(ids, acme, view_of("id-0"), 1000, 0));
    deduplicate_destroy(ids);
}

static void test_saved_and_loaded_it_goes_on_the_same(void **state)
{
    struct deduplicate *ids = deduplicate_create(WINDOW_MS, 1 << 16);
    struct deduplicate *again = deduplicate_create(WINDOW_MS, 1 << 16);
    struct byte_writer saved, resaved;
    struct byte_reader reader;
    char text[16];

    (void)state;
    byte_writer_init(&saved);
    byte_writer_init(&resaved);
    for (uint64_t i = 0; i < 3000; i++) {
        snprintf(text, sizeof text, "id-%u", (unsigned)(hash_mix(3, i) % 5000));
        admit(ids, text, 1000000 + (int64_t)i * 200);
    }
    deduplicate_save(ids, &saved);
    reader = byte_reader_of(saved.data, saved.size);
    deduplicate_load(again, &reader);
    assert_false(reader.broken);
    assert_int_equal(byte_reader_left(&reader), 0);
    deduplicate_save(again, &resaved);
    assert_int_equal(saved.size, resaved.size);
    assert_memory_equal(saved.data, resaved.data, saved.size);
    for (uint64_t i = 3000; i < 6000; i++) {
        snprintf(text, sizeof text, "id-%u", (unsigned)(hash_mix(3, i) % 5000));
        assert_int_equal(admit(ids, text, 1000000 + (int64_t)i * 200),
                         admit(again, text, 1000000 + (int64_t)i * 200));
    }
    byte_writer_free(&saved);
    byte_writer_free(&resaved);
    deduplicate_destroy(ids);
    deduplicate_destroy(again);
}

static void test_damaged_bytes_are_survived(void **state)
{
    struct deduplicate *ids = deduplicate_create(WINDOW_MS, 1 << 16);
    struct byte_writer saved;

    (void)state;
    byte_writer_init(&saved);
    admit(ids, "a", 5);
    admit(ids, "b", 6);
    deduplicate_save(ids, &saved);
    deduplicate_destroy(ids);
    for (size_t size = 0; size < saved.size; size++) {
        struct byte_reader reader = byte_reader_of(saved.data, size);
        ids = deduplicate_create(WINDOW_MS, 1 << 16);
        deduplicate_load(ids, &reader);
        assert_true(reader.broken);
        deduplicate_destroy(ids);
    }
    byte_writer_free(&saved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_id_counts_once_inside_the_window),
        cmocka_unit_test(test_tenants_do_not_shadow_each_other),
        cmocka_unit_test(test_agrees_with_a_list),
        cmocka_unit_test(test_bytes_are_bounded_and_the_oldest_go_first),
        cmocka_unit_test(test_saved_and_loaded_it_goes_on_the_same),
        cmocka_unit_test(test_damaged_bytes_are_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
