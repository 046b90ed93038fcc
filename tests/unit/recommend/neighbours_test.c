/* Rows of neighbours against plain counters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "recommend/neighbours.h"

enum { PRODUCTS = 3000, BASKETS = 3000, BASKET_MAX = 20, SELF = 7 };

struct truth {
    uint32_t together[PRODUCTS + 1], next[PRODUCTS + 1];
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

static void fill(struct neighbours *row, struct blocks *blocks, struct truth *truth,
                 uint32_t bucket_max, uint32_t range)
{
    uint32_t numbers[BASKET_MAX];

    memset(truth, 0, sizeof *truth);
    for (uint32_t i = 0; i < BASKETS; i++) {
        uint32_t count = draw_basket(i, numbers, range);
        bool is_next = i % 3 == 0, is_together = i % 4 != 0 || !is_next;
        neighbours_add(row, blocks, bucket_max, SELF, numbers, count,
                       (is_next ? NEIGHBOUR_NEXT : 0) | (is_together ? NEIGHBOUR_TOGETHER : 0));
        for (uint32_t k = 0; k < count; k++) {
            if (numbers[k] == SELF)
                continue;
            truth->next[numbers[k]] += is_next;
            truth->together[numbers[k]] += is_together;
        }
    }
}

static void counts_are_exact_while_all_fit(void **state)
{
    struct neighbours row = {0};
    struct truth truth;
    struct blocks blocks;
    uint32_t count = 0;

    (void)state;
    blocks_open(&blocks);
    fill(&row, &blocks, &truth, NEIGHBOUR_BUCKETS_MAX, 300);
    assert_int_equal(neighbours_find(&row, SELF), 0);
    for (uint32_t number = 1; number <= 300; number++) {
        uint64_t found = neighbours_find(&row, number);
        assert_int_equal(neighbour_together(found), truth.together[number]);
        assert_int_equal(neighbour_next(found), truth.next[number]);
        assert_int_equal(neighbour_missed(found), 0);
        count += found != 0;
    }
    assert_int_equal(row.count, count);
    neighbours_free(&row, &blocks);
    assert_int_equal(blocks.bytes, 0);
    blocks_close(&blocks);
}

static uint32_t weight_of(uint64_t entry)
{
    return neighbour_together(entry) + neighbour_next(entry) + neighbour_missed(entry);
}

/* A bucket's least weight is what any product that is not in it may have at most. */
static void what_is_replaced_is_bounded(void **state)
{
    static const uint32_t limits[] = {1, 4, 16, 64};

    (void)state;
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        struct neighbours row = {0};
        struct truth truth;
        struct blocks blocks;
        uint64_t total = 0, written = 0;
        uint32_t most_missed = 0;
        blocks_open(&blocks);
        fill(&row, &blocks, &truth, limits[i], PRODUCTS);
        assert_int_equal(row.bucket_count, limits[i]);
        assert_int_equal(row.count, neighbours_places(&row));
        for (uint32_t place = 0; place < neighbours_places(&row); place++) {
            written += weight_of(row.entries[place]);
            if (neighbour_missed(row.entries[place]) > most_missed)
                most_missed = neighbour_missed(row.entries[place]);
        }
        assert_true(most_missed > 0);
        for (uint32_t number = 1; number <= PRODUCTS; number++) {
            uint64_t found = neighbours_find(&row, number);
            uint32_t weight = truth.together[number] + truth.next[number];
            total += weight;
            if (found == 0) {
                assert_true(limits[i] > 1 || weight * NEIGHBOUR_BUCKET <= written);
                continue;
            }
            assert_true(neighbour_together(found) <= truth.together[number]);
            assert_true(neighbour_next(found) <= truth.next[number]);
            assert_true(weight_of(found) >= weight);
        }
        /* Whatever is counted is in one place: nothing is lost, nothing comes twice. */
        if (most_missed < NEIGHBOUR_MISSED_MAX)
            assert_int_equal(written, total);
        neighbours_free(&row, &blocks);
        blocks_close(&blocks);
    }
}

/* With one bucket: whatever weighs more than an eighth of all is there. */
static void heavy_neighbours_stay(void **state)
{
    struct neighbours row = {0};
    struct blocks blocks;
    uint32_t heavy[2] = {5, 6};

    (void)state;
    blocks_open(&blocks);
    for (uint32_t i = 0; i < 3000; i++) {
        uint32_t light = 100 + i;
        neighbours_add(&row, &blocks, 1, SELF, &light, 1, NEIGHBOUR_NEXT);
        if (i % 3 == 0)
            neighbours_add(&row, &blocks, 1, SELF, heavy, 2, NEIGHBOUR_TOGETHER);
    }
    for (int i = 0; i < 2; i++) {
        uint64_t found = neighbours_find(&row, heavy[i]);
        assert_int_equal(neighbour_together(found) + neighbour_missed(found) >= 1000, 1);
        assert_true(neighbour_together(found) > 900);
    }
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
        neighbours_add(&row, &blocks, 4, SELF, &number, 1, NEIGHBOUR_TOGETHER);
    neighbours_add(&row, &blocks, 4, SELF, &number, 1, NEIGHBOUR_NEXT);
    assert_int_equal(neighbour_together(neighbours_find(&row, number)), 65535);
    assert_int_equal(neighbour_next(neighbours_find(&row, number)), 1);
    assert_int_equal(neighbour_number(neighbours_find(&row, number)), number);
    /* Steps of more than one do not pass it either. */
    for (uint32_t i = 0; i < 300; i++)
        neighbours_add(&row, &blocks, 4, SELF, &number, 1,
                       (NEIGHBOUR_NEXT | NEIGHBOUR_TOGETHER) * NEIGHBOUR_WEIGHT_MAX);
    assert_int_equal(neighbour_together(neighbours_find(&row, number)), 65535);
    assert_int_equal(neighbour_next(neighbours_find(&row, number)), 65535);
    assert_int_equal(neighbour_number(neighbours_find(&row, number)), number);
    assert_int_equal(neighbour_missed(neighbours_find(&row, number)), 0);
    neighbours_free(&row, &blocks);
    blocks_close(&blocks);
}

static void numbers_can_change(void **state)
{
    static uint32_t numbers[PRODUCTS + 1];
    struct neighbours row = {0};
    struct truth truth;
    struct blocks blocks;
    uint32_t next = 0, count = 0;

    (void)state;
    for (uint32_t number = 1; number <= PRODUCTS; number++)
        numbers[number] = number % 3 == 0 ? 0 : ++next;
    blocks_open(&blocks);
    fill(&row, &blocks, &truth, NEIGHBOUR_BUCKETS_MAX, 300);
    neighbours_renumber(&row, &blocks, numbers);
    for (uint32_t number = 1; number <= 300; number++)
        if (numbers[number] != 0) {
            uint64_t found = neighbours_find(&row, numbers[number]);
            assert_int_equal(neighbour_together(found), truth.together[number]);
            assert_int_equal(neighbour_next(found), truth.next[number]);
            count += found != 0;
        }
    for (uint32_t number = numbers[299] + 1; number <= 300; number++)
        assert_int_equal(neighbours_find(&row, number), 0);
    assert_int_equal(row.count, count);
    neighbours_free(&row, &blocks);
    blocks_close(&blocks);
}

/* As a saved row is read: each entry where it was, and nowhere else. */
static void entries_have_their_places(void **state)
{
    struct neighbours row = {0}, copy = {0};
    struct truth truth;
    struct blocks blocks;

    (void)state;
    blocks_open(&blocks);
    fill(&row, &blocks, &truth, 16, 400);
    neighbours_reserve(&copy, &blocks, row.bucket_count);
    assert_false(neighbours_place(&copy, 0, 0));
    assert_false(neighbours_place(&copy, neighbours_places(&copy), row.entries[0]));
    assert_false(neighbours_place(&copy, NEIGHBOUR_BUCKET, row.entries[0]));
    assert_false(neighbours_place(&copy, 1, row.entries[1]));
    for (uint32_t place = 0; place < neighbours_places(&row); place++)
        if (row.entries[place] != 0) {
            assert_true(neighbours_place(&copy, place, row.entries[place]));
            assert_false(neighbours_place(&copy, place, row.entries[place]));
        }
    assert_int_equal(copy.count, row.count);
    assert_memory_equal(copy.entries, row.entries, neighbours_bytes(row.bucket_count));
    neighbours_free(&row, &blocks);
    neighbours_free(&copy, &blocks);
    blocks_close(&blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_exact_while_all_fit),
        cmocka_unit_test(what_is_replaced_is_bounded),
        cmocka_unit_test(heavy_neighbours_stay),
        cmocka_unit_test(counts_stop_at_their_end),
        cmocka_unit_test(numbers_can_change),
        cmocka_unit_test(entries_have_their_places),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
