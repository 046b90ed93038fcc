#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/map.h"

static void test_put_get_remove(void **state)
{
    struct map *map = map_create();
    uint64_t value = 0;

    (void)state;
    assert_false(map_get(map, view_of("orders"), &value));
    assert_true(map_put(map, view_of("orders"), 7));
    assert_false(map_put(map, view_of("orders"), 8));
    assert_int_equal(map_count(map), 1);
    assert_true(map_get(map, view_of("orders"), &value));
    assert_int_equal(value, 8);
    assert_true(map_get(map, view_of("orders"), NULL));
    assert_true(map_remove(map, view_of("orders")));
    assert_false(map_remove(map, view_of("orders")));
    assert_false(map_get(map, view_of("orders"), &value));
    assert_int_equal(map_count(map), 0);
    map_destroy(map);
    map_destroy(NULL);
}

static void test_keys_are_copied_and_told_apart(void **state)
{
    struct map *map = map_create();
    char key[] = "key";
    uint64_t value;

    (void)state;
    map_put(map, view_of(key), 1);
    key[0] = 'X';
    assert_true(map_get(map, view_of("key"), &value));
    map_put(map, view_of(""), 2);
    map_put(map, view_of(NULL), 3);
    map_put(map, (struct view){"a\0b", 3}, 4);
    assert_int_equal(map_count(map), 4);
    assert_true(map_get(map, view_of(""), &value));
    assert_int_equal(value, 2);
    assert_true(map_get(map, view_of(NULL), &value));
    assert_int_equal(value, 3);
    assert_false(map_get(map, view_of("a"), &value));
    map_destroy(map);
}

/* Random puts and removes against an array that cannot be wrong. */
static void test_agrees_with_an_array(void **state)
{
    enum { KEY_COUNT = 300, STEP_COUNT = 60000 };
    struct map *map = map_create();
    uint64_t expected[KEY_COUNT] = {0}; /* 0: not there */
    uint32_t count = 0;
    char name[16];

    (void)state;
    for (uint64_t step = 1; step <= STEP_COUNT; step++) {
        uint64_t random = hash_mix(step, 99);
        uint32_t index = (uint32_t)(random % KEY_COUNT);
        uint64_t value = 0;
        snprintf(name, sizeof name, "key %u", index);
        assert_int_equal(map_get(map, view_of(name), &value), expected[index] != 0);
        assert_int_equal(value, expected[index]);
        if ((random >> 32) % 2 == 0) {
            assert_int_equal(map_remove(map, view_of(name)), expected[index] != 0);
            count -= expected[index] != 0;
            expected[index] = 0;
        } else {
            assert_int_equal(map_put(map, view_of(name), step), expected[index] == 0);
            count += expected[index] == 0;
            expected[index] = step;
        }
        assert_int_equal(map_count(map), count);
    }
    map_destroy(map);
}

static void test_next_meets_each_key_once(void **state)
{
    struct map *map = map_create();
    bool is_met[1000] = {false};
    uint32_t cursor = 0;
    struct view key;
    uint64_t value;
    char name[16];

    (void)state;
    for (uint64_t index = 0; index < 1000; index++) {
        snprintf(name, sizeof name, "%d", (int)index);
        map_put(map, view_of(name), index);
    }
    for (uint32_t index = 0; index < 1000; index++) {
        assert_true(map_next(map, &cursor, &key, &value));
        assert_false(is_met[value]);
        is_met[value] = true;
        snprintf(name, sizeof name, "%d", (int)value);
        assert_true(view_is_text(key, name));
    }
    assert_false(map_next(map, &cursor, &key, &value));
    map_destroy(map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_get_remove),
        cmocka_unit_test(test_keys_are_copied_and_told_apart),
        cmocka_unit_test(test_agrees_with_an_array),
        cmocka_unit_test(test_next_meets_each_key_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
