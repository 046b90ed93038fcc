/* Under which key a result is published. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pipeline/result_key.h"

static struct view key_of(struct arena *arena, const char *tenant, const char *job)
{
    struct result result = {
        .kind = RESULT_BATCH_JOB, .id = view_of(job), .tenant_id = view_of(tenant)};

    return result_key(&result, arena);
}

static void no_two_jobs_have_the_same_key(void **state)
{
    static const char *const pairs[][2] = {
        {"acme", "r-1"}, {"emca", "r-1"}, {"acme", "r-2"}, {"a/b", "c"},     {"a", "b/c"},
        {"a%2Fb", "c"},  {"a%", "2Fb/c"}, {"", "a/b/c"},   {"a%252Fb", "c"},
    };
    enum { PAIRS = sizeof pairs / sizeof pairs[0] };
    struct arena *arena = arena_create(1 << 12);

    (void)state;
    for (int i = 0; i < PAIRS; i++)
        for (int k = 0; k < i; k++)
            assert_false(view_is_equal(key_of(arena, pairs[i][0], pairs[i][1]),
                                       key_of(arena, pairs[k][0], pairs[k][1])));
    assert_true(view_is_text(key_of(arena, "acme", "r-1"), "acme/r-1"));
    assert_true(view_is_text(key_of(arena, "a/b%", "c/%"), "a%2Fb%25/c/%"));
    arena_destroy(arena);
}

static void others_go_by_tenant_or_command(void **state)
{
    struct result result = {.id = VIEW_LITERAL("id"), .tenant_id = VIEW_LITERAL("acme")};

    (void)state;
    result.kind = RESULT_RECOMMENDATION;
    assert_true(view_is_text(result_key(&result, NULL), "acme"));
    result.kind = RESULT_COMMAND_RESULT;
    assert_true(view_is_text(result_key(&result, NULL), "id"));
    result.kind = RESULT_AUDIT;
    result.tenant_id = (struct view){NULL, 0};
    assert_true(view_is_absent(result_key(&result, NULL)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_two_jobs_have_the_same_key),
        cmocka_unit_test(others_go_by_tenant_or_command),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
