/* References by hash, with few different hashes, so that most of them collide. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "window/table.h"

enum { REFERENCES = 3000, TURNS = 60000 };

static bool is_found(const struct table *table, uint32_t hash, uint32_t sought)
{
    uint32_t at;
    uint32_t reference = table_first(table, hash, &at);

    while (reference != 0 && reference != sought)
        reference = table_next(table, hash, &at);
    return reference != 0;
}

/* Near each other and across the end of the table. */
static uint32_t hash_of(uint32_t reference)
{
    return UINT32_MAX - 40 + reference % 97;
}

static void removal_loses_nothing_else(void **state)
{
    static bool is_there[REFERENCES + 1];
    struct table table;
    uint32_t count = 0;

    (void)state;
    table_open(&table);
    for (uint64_t turn = 0; turn < TURNS; turn++) {
        uint32_t reference = 1 + (uint32_t)(hash_mix(3, turn) % REFERENCES);
        if (is_there[reference])
            table_remove(&table, hash_of(reference), reference);
        else
            table_put(&table, hash_of(reference), reference);
        is_there[reference] = !is_there[reference];
        count += is_there[reference] ? 1 : -1u;
        assert_int_equal(table.count, count);
        if (turn % 2000 != 0)
            continue;
        for (uint32_t known = 1; known <= REFERENCES; known++)
            assert_int_equal(is_found(&table, hash_of(known), known), is_there[known]);
    }
    table_clear(&table);
    assert_int_equal(table.count, 0);
    assert_false(is_found(&table, hash_of(1), 1));
    table_close(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(removal_loses_nothing_else)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
