#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/arena.h"

static void test_memory_is_zeroed_and_aligned(void **state)
{
    struct arena *arena = arena_create(1024);

    (void)state;
    for (int round = 0; round < 3; round++) {
        for (size_t bytes = 0; bytes < 200; bytes++) {
            arena_text(arena, bytes % 7);
            unsigned char *memory = arena_alloc(arena, bytes);
            assert_non_null(memory);
            assert_int_equal((uintptr_t)memory % 16, 0);
            for (size_t index = 0; index < bytes; index++)
                assert_int_equal(memory[index], 0);
            memset(memory, 0xAB, bytes);
        }
        arena_reset(arena);
    }
    arena_destroy(arena);
}

static void test_allocations_do_not_overlap(void **state)
{
    struct arena *arena = arena_create(128);
    char *texts[100];

    (void)state;
    for (size_t index = 0; index < 100; index++) {
        texts[index] = arena_text(arena, index + 1);
        memset(texts[index], (int)index, index + 1);
    }
    for (size_t index = 0; index < 100; index++)
        for (size_t at = 0; at <= index; at++)
            assert_int_equal(texts[index][at], index);
    arena_destroy(arena);
}

static void use_a_batch(struct arena *arena)
{
    for (int index = 0; index < 1000; index++)
        arena_alloc(arena, (size_t)(index * 37 % 900));
    arena_alloc(arena, 50000); /* larger than a chunk */
}

static void test_the_heap_is_left_alone_after_the_largest_batch(void **state)
{
    struct arena *arena = arena_create(4096);

    (void)state;
    use_a_batch(arena);
    arena_reset(arena);
    size_t bytes = arena_bytes(arena);
    assert_true(bytes > 50000);
    for (int round = 0; round < 10; round++) {
        use_a_batch(arena);
        arena_reset(arena);
        assert_int_equal(arena_bytes(arena), bytes);
    }
    arena_destroy(arena);
}

static void test_another_order_needs_no_more(void **state)
{
    struct arena *arena = arena_create(100);

    (void)state;
    for (int index = 0; index < 5; index++)
        arena_alloc(arena, 96);
    arena_alloc(arena, 5000);
    arena_reset(arena);
    size_t bytes = arena_bytes(arena);
    arena_alloc(arena, 5000);
    for (int index = 0; index < 5; index++)
        arena_alloc(arena, 96);
    assert_int_equal(arena_bytes(arena), bytes);
    arena_destroy(arena);
}

static void test_copies_end_in_nul_and_absent_stays_absent(void **state)
{
    struct arena *arena = arena_create(64);
    char text[] = "volatile";

    (void)state;
    struct view copy = arena_copy(arena, view_of(text));
    text[0] = 'X';
    assert_string_equal(copy.data, "volatile");
    assert_int_equal(copy.size, 8);
    assert_true(view_is_absent(arena_copy(arena, view_of(NULL))));
    assert_false(view_is_absent(arena_copy(arena, view_of(""))));
    arena_destroy(arena);
}

static void test_print_of_any_length(void **state)
{
    struct arena *arena = arena_create(64);

    (void)state;
    assert_string_equal(arena_print(arena, "%s %d", "partition", 3), "partition 3");
    assert_int_equal(strlen(arena_print(arena, "%0255d", 1)), 255);
    assert_int_equal(strlen(arena_print(arena, "%0256d", 1)), 256);
    assert_int_equal(strlen(arena_print(arena, "%05000d", 1)), 5000);
    arena_destroy(arena);
}

static void test_destroying_nothing_is_harmless(void **state)
{
    (void)state;
    arena_destroy(NULL);
    arena_destroy(arena_create(1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_is_zeroed_and_aligned),
        cmocka_unit_test(test_allocations_do_not_overlap),
        cmocka_unit_test(test_the_heap_is_left_alone_after_the_largest_batch),
        cmocka_unit_test(test_another_order_needs_no_more),
        cmocka_unit_test(test_copies_end_in_nul_and_absent_stays_absent),
        cmocka_unit_test(test_print_of_any_length),
        cmocka_unit_test(test_destroying_nothing_is_harmless),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
