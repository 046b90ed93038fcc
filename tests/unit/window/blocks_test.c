/* Runs of bytes: rounded, counted, never overlapping. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "window/blocks.h"

static void sizes_double(void **state)
{
    (void)state;
    assert_int_equal(blocks_round(1), 16);
    assert_int_equal(blocks_round(16), 16);
    assert_int_equal(blocks_round(17), 32);
    assert_int_equal(blocks_round(64), 64);
    assert_int_equal(blocks_round(65), 128);
    assert_int_equal(blocks_round(32769), 65536);
}

static void bytes_in_use_are_counted(void **state)
{
    struct blocks blocks;

    (void)state;
    blocks_open(&blocks);
    void *small = blocks_take(&blocks, 20);
    void *large = blocks_take(&blocks, 100000);
    assert_int_equal(blocks.bytes, 32 + 131072);
    blocks_give(&blocks, large, 100000);
    assert_int_equal(blocks.bytes, 32);
    blocks_give(&blocks, small, 20);
    blocks_give(&blocks, NULL, 5);
    assert_int_equal(blocks.bytes, 0);
    assert_ptr_equal(blocks_take(&blocks, 32), small);
    blocks_close(&blocks);
}

/* Rows that are looked up by cache lines must not straddle them, whatever came before. */
static void runs_lie_on_their_size(void **state)
{
    struct blocks blocks;

    (void)state;
    blocks_open(&blocks);
    for (uint64_t turn = 0; turn < 5000; turn++) {
        size_t bytes = 1 + hash_mix(6, turn) % 9000;
        size_t rounded = blocks_round(bytes);
        uintptr_t at = (uintptr_t)blocks_take(&blocks, bytes);
        assert_int_equal(at % (rounded < 64 ? rounded : 64), 0);
    }
    blocks_close(&blocks);
}

enum { RUNS = 512, TURNS = 40000 };

static void runs_keep_what_is_written(void **state)
{
    static struct {
        unsigned char *at;
        size_t bytes;
    } runs[RUNS];
    struct blocks blocks;

    (void)state;
    blocks_open(&blocks);
    for (uint64_t turn = 0; turn < TURNS; turn++) {
        uint64_t random = hash_mix(5, turn);
        uint32_t number = random % RUNS;
        if (runs[number].at != NULL) {
            assert_int_equal(runs[number].at[0], number % 255);
            assert_int_equal(runs[number].at[runs[number].bytes - 1], number % 255);
            blocks_give(&blocks, runs[number].at, runs[number].bytes);
        }
        runs[number].bytes = 1 + (random >> 20) % ((random >> 60) == 0 ? 70000 : 600);
        runs[number].at = blocks_take(&blocks, runs[number].bytes);
        assert_int_equal((uintptr_t)runs[number].at % 16, 0);
        memset(runs[number].at, (int)(number % 255), runs[number].bytes);
    }
    for (uint32_t number = 0; number < RUNS; number++)
        blocks_give(&blocks, runs[number].at, runs[number].bytes);
    assert_int_equal(blocks.bytes, 0);
    blocks_close(&blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_double),
        cmocka_unit_test(bytes_in_use_are_counted),
        cmocka_unit_test(runs_keep_what_is_written),
        cmocka_unit_test(runs_lie_on_their_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
