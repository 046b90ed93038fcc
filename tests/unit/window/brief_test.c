/* A list of times against a plain array of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "window/brief.h"

static void times_come_back_in_order(void **state)
{
    struct brief brief = {0};
    struct blocks blocks;
    int64_t times_ms[BRIEF_MAX];

    (void)state;
    blocks_open(&blocks);
    assert_true(brief_newest(&brief) == INT64_MIN);
    for (uint32_t number = 0; number < 30; number++)
        assert_true(brief_add(&brief, &blocks, (int64_t)(hash_mix(5, number) % 1000), INT64_MIN));
    assert_int_equal(brief_list(&brief, times_ms), 30);
    for (uint32_t index = 1; index < 30; index++)
        assert_true(times_ms[index - 1] <= times_ms[index]);
    assert_true(brief_newest(&brief) == times_ms[29]);
    brief_forget(&brief, &blocks, times_ms[24]);
    assert_true(brief_list(&brief, times_ms) <= 5);
    assert_int_equal(brief.capacity, 0);
    brief_forget(&brief, &blocks, 1000);
    assert_true(brief_newest(&brief) == INT64_MIN);
    brief_free(&brief, &blocks);
    assert_int_equal(blocks.bytes, 0);
    blocks_close(&blocks);
}

static void what_has_no_room_is_refused(void **state)
{
    struct brief brief = {0};
    struct blocks blocks;
    uint32_t added = 0;

    (void)state;
    blocks_open(&blocks);
    while (brief_add(&brief, &blocks, 100 + added, INT64_MIN))
        assert_true(++added <= BRIEF_MAX);
    assert_int_equal(brief.count, added);
    assert_true(brief_add(&brief, &blocks, 1000, 100 + added));
    assert_int_equal(brief.count, 1);
    /* Further apart than can be said. */
    assert_false(brief_add(&brief, &blocks, INT64_C(1) << 33, INT64_MIN));
    assert_false(brief_add(&brief, &blocks, -(INT64_C(1) << 33), INT64_MIN));
    assert_true(brief_newest(&brief) == 1000);
    brief_free(&brief, &blocks);
    blocks_close(&blocks);
}

static void a_saved_one_is_the_same(void **state)
{
    struct brief brief = {0}, loaded = {0};
    struct byte_writer saved, again;
    struct blocks blocks;

    (void)state;
    blocks_open(&blocks);
    byte_writer_init(&saved);
    byte_writer_init(&again);
    for (uint32_t number = 0; number < 20; number++)
        assert_true(brief_add(&brief, &blocks, 5000 - number, INT64_MIN));
    brief.mark = 6;
    brief_save(&brief, &saved);
    struct byte_reader reader = byte_reader_of(saved.data, saved.size);
    assert_true(brief_load(&loaded, &blocks, &reader));
    brief_save(&loaded, &again);
    assert_int_equal(saved.size, again.size);
    assert_memory_equal(saved.data, again.data, saved.size);
    brief_free(&loaded, &blocks);
    for (size_t size = 0; size < saved.size; size++) {
        reader = byte_reader_of(saved.data, size);
        assert_false(brief_load(&loaded, &blocks, &reader));
        brief_free(&loaded, &blocks);
    }
    brief_free(&brief, &blocks);
    byte_writer_free(&saved);
    byte_writer_free(&again);
    blocks_close(&blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_come_back_in_order),
        cmocka_unit_test(what_has_no_room_is_refused),
        cmocka_unit_test(a_saved_one_is_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
