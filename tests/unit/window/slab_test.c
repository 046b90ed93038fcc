/* Things of one size: zeroed, apart from each other, staying where they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "window/pages.h"
#include "window/slab.h"

enum { ITEM_BYTES = 48, MANY = 20000 };

static void items_are_zeroed_and_apart(void **state)
{
    struct slab slab;
    uint32_t *references = malloc(MANY * sizeof *references);
    char **items = malloc(MANY * sizeof *items);

    (void)state;
    slab_open(&slab, ITEM_BYTES);
    for (uint32_t number = 0; number < MANY; number++) {
        references[number] = slab_take(&slab);
        assert_int_not_equal(references[number], 0);
        items[number] = slab_at(&slab, references[number]);
        for (size_t at = 0; at < ITEM_BYTES; at++)
            assert_int_equal(items[number][at], 0);
        memset(items[number], (int)(number % 251), ITEM_BYTES);
    }
    assert_int_equal(slab.live_count, MANY);
    for (uint32_t number = 0; number < MANY; number++) {
        assert_ptr_equal(slab_at(&slab, references[number]), items[number]);
        for (size_t at = 0; at < ITEM_BYTES; at++)
            assert_int_equal((unsigned char)items[number][at], number % 251);
    }
    slab_close(&slab);
    free(items);
    free(references);
}

static void what_is_given_is_taken_again_zeroed(void **state)
{
    struct slab slab;

    (void)state;
    slab_open(&slab, ITEM_BYTES);
    uint32_t first = slab_take(&slab);
    uint32_t second = slab_take(&slab);
    memset(slab_at(&slab, first), 7, ITEM_BYTES);
    slab_give(&slab, first);
    assert_int_equal(slab.live_count, 1);
    uint32_t again = slab_take(&slab);
    assert_int_equal(again, first);
    assert_int_not_equal(again, second);
    for (size_t at = 0; at < ITEM_BYTES; at++)
        assert_int_equal(((char *)slab_at(&slab, again))[at], 0);
    slab_close(&slab);
}

static void two_slabs_share_pages(void **state)
{
    struct pages *pages = pages_create();
    struct slab small, large;

    (void)state;
    slab_open_in(&small, pages, 16);
    slab_open_in(&large, pages, 8192);
    for (int number = 0; number < 1000; number++) {
        memset(slab_at(&small, slab_take(&small)), 1, 16);
        memset(slab_at(&large, slab_take(&large)), 2, 8192);
    }
    for (uint32_t reference = 1; reference <= 1000; reference++) {
        assert_int_equal(((char *)slab_at(&small, reference))[15], 1);
        assert_int_equal(((char *)slab_at(&large, reference))[0], 2);
    }
    slab_close(&small);
    slab_close(&large);
    pages_destroy(pages);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_are_zeroed_and_apart),
        cmocka_unit_test(what_is_given_is_taken_again_zeroed),
        cmocka_unit_test(two_slabs_share_pages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
