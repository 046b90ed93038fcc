/* Rows of neighbours against plain counters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "recommend/neighbours.h"

enum { PRODUCTS = 3000, BASKETS = 4000, BASKET_MAX = 20, SELF = 7 };

struct truth {
    uint32_t together[PRODUCTS + 1], next[PRODUCTS + 1];
    uint64_t total;
};

/* Low numbers often, high ones seldom; distinct. */
static uint32_t draw_basket(uint64_t seed, uint32_t *numbers, uint32_t range)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < BASKET_MAX; i++) {
        uint64_t word = hash_mix(seed, i);
        uint32_t number = 1 + (uint32_t)((word >> 8) % (1 + (word & 0xFF) * range / 256));
        bool is_new = true;
        for (uint32_t k = 0; k < count; k++)
            is_new = is_new && numbers[k] != number;
        if (is_new)
            numbers[count++] = number;
    }
    return count;
}

static void fill(struct neighbours *row, struct blocks *blocks, struct truth *truth, uint32_t max,
                 uint32_t range)
{
    uint32_t numbers[BASKET_MAX];

    memset(truth, 0, sizeof *truth);
    for (uint32_t i = 0; i < BASKETS; i++) {
        uint32_t count = draw_basket(i, numbers, range);
        bool is_next = i % 3 == 0;
        neighbours_add(row, blocks, max, SELF, numbers, count,
                       is_next ? NEIGHBOUR_NEXT : NEIGHBOUR_TOGETHER);
        for (uint32_t k = 0; k < count; k++) {
            if (numbers[k] == SELF)
                continue;
            truth->total++;
            if (is_next)
                truth->next[numbers[k]]++;
            else
                truth->together[numbers[k]]++;
        }
    }
}

static void counts_are_exact_while_all_fit(void **state)
{
    struct neighbours row = {0};
    struct truth truth;
    struct blocks blocks;

    (void)state;
    blocks_open(&blocks);
    fill(&row, &blocks, &truth, NEIGHBOURS_MAX, 1000);
    assert_int_equal(row.floor, 0);
    assert_int_equal(row.total, truth.total);
    assert_int_equal(neighbours_find(&row, SELF), 0);
    for (uint32_t number = 1; number <= 1000; number++) {
        uint64_t found = neighbours_find(&row, number);
        assert_int_equal(neighbour_together(found), truth.together[number]);
        assert_int_equal(neighbour_next(found), truth.next[number]);
        assert_int_equal(neighbour_missed(found), 0);
    }
    neighbours_free(&row, &blocks);
    assert_int_equal(blocks.bytes, 0);
    blocks_close(&blocks);
}

static void what_is_dropped_is_bounded(void **state)
{
    static const uint32_t limits[] = {12, 100, 300, 768};

    (void)state;
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        struct neighbours row = {0};
        struct truth truth;
        struct blocks blocks;
        uint32_t kept = limits[i] - limits[i] / 3;
        blocks_open(&blocks);
        fill(&row, &blocks, &truth, limits[i], PRODUCTS);
        assert_true(row.count <= limits[i]);
        assert_true(row.floor > 0);
        assert_true((uint64_t)row.floor * kept <= row.total);
        for (uint32_t number = 1; number <= PRODUCTS; number++) {
            uint64_t found = neighbours_find(&row, number);
            uint32_t weight = truth.together[number] + truth.next[number];
            if (found == 0) {
                assert_true(weight <= row.floor);
                continue;
            }
            assert_true(neighbour_together(found) <= truth.together[number]);
            assert_true(neighbour_next(found) <= truth.next[number]);
            assert_true(neighbour_together(found) + neighbour_next(found) +
                            neighbour_missed(found) >=
                        weight);
        }
        neighbours_free(&row, &blocks);
        blocks_close(&blocks);
    }
}

/* All weigh alike and more than the counting by weight looks at. */
static void heavy_rows_are_purged_too(void **state)
{
    struct neighbours row = {0};
    struct blocks blocks;
    uint32_t numbers[24], more[8];

    (void)state;
    for (uint32_t i = 0; i < 24; i++)
        numbers[i] = 100 + i;
    for (uint32_t i = 0; i < 8; i++)
        more[i] = 200 + i;
    blocks_open(&blocks);
    for (uint32_t i = 0; i < 1000; i++)
        neighbours_add(&row, &blocks, 24, SELF, numbers, 24, NEIGHBOUR_TOGETHER);
    neighbours_add(&row, &blocks, 24, SELF, more, 8, NEIGHBOUR_NEXT);
    assert_int_equal(row.floor, 1000);
    assert_int_equal(row.count, 24);
    for (uint32_t i = 0; i < 8; i++) {
        assert_int_equal(neighbours_find(&row, numbers[i]), 0);
        assert_int_equal(neighbour_next(neighbours_find(&row, more[i])), 1);
        assert_true(neighbour_missed(neighbours_find(&row, more[i])) >= 1000);
    }
    for (uint32_t i = 8; i < 24; i++)
        assert_int_equal(neighbour_together(neighbours_find(&row, numbers[i])), 1000);
    neighbours_free(&row, &blocks);
    blocks_close(&blocks);
}

static void counts_stop_at_their_end(void **state)
{
    struct neighbours row = {0};
    struct blocks blocks;
    uint32_t number = 9;

    (void)state;
    blocks_open(&blocks);
    for (uint32_t i = 0; i < 70000; i++)
        neighbours_add(&row, &blocks, 24, SELF, &number, 1, NEIGHBOUR_TOGETHER);
    neighbours_add(&row, &blocks, 24, SELF, &number, 1, NEIGHBOUR_NEXT);
    assert_int_equal(neighbour_together(neighbours_find(&row, number)), 65535);
    assert_int_equal(neighbour_next(neighbours_find(&row, number)), 1);
    assert_int_equal(neighbour_number(neighbours_find(&row, number)), number);
    neighbours_free(&row, &blocks);
    blocks_close(&blocks);
}

static void numbers_can_change(void **state)
{
    static uint32_t numbers[PRODUCTS + 1];
    struct neighbours row = {0};
    struct truth truth;
    struct blocks blocks;
    uint32_t next = 0;

    (void)state;
    for (uint32_t number = 1; number <= PRODUCTS; number++)
        numbers[number] = number % 3 == 0 ? 0 : ++next;
    blocks_open(&blocks);
    fill(&row, &blocks, &truth, NEIGHBOURS_MAX, 1000);
    neighbours_renumber(&row, numbers);
    for (uint32_t number = 1; number <= 1000; number++)
        if (numbers[number] != 0)
            assert_int_equal(neighbour_together(neighbours_find(&row, numbers[number])),
                             truth.together[number]);
    for (uint32_t number = numbers[1000] + 1; number <= 1000; number++)
        assert_int_equal(neighbours_find(&row, number), 0);
    neighbours_free(&row, &blocks);
    blocks_close(&blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_exact_while_all_fit),
        cmocka_unit_test(what_is_dropped_is_bounded),
        cmocka_unit_test(heavy_rows_are_purged_too),
        cmocka_unit_test(counts_stop_at_their_end),
        cmocka_unit_test(numbers_can_change),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
