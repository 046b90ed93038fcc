/* Steps within a window, by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "window/steps.h"

enum { FIRST = 1, SECOND = 2, THIRD = 4 };

struct world {
    struct blocks blocks;
    struct steps steps;
    struct steps_rule rule;
    struct point_list satisfied;
    struct series_outcome outcome;
};

static void open_world(struct world *world, struct steps_rule rule)
{
    *world = (struct world){.rule = rule};
    blocks_open(&world->blocks);
}

static void close_world(struct world *world)
{
    steps_free(&world->steps, &world->blocks, &world->rule);
    assert_int_equal(world->blocks.bytes, 0);
    blocks_close(&world->blocks);
    point_list_free(&world->satisfied);
}

/* The value at that time afterwards. */
static int64_t add(struct world *world, int64_t time_ms, uint32_t mask)
{
    steps_add(&world->steps, &world->blocks, &world->rule, time_ms, mask, &world->outcome,
              &world->satisfied);
    return (int64_t)world->outcome.value;
}

static void any_order_counts_each_step_by_itself(void **state)
{
    struct world world;

    (void)state;
    open_world(&world,
               (struct steps_rule){.window_ms = 10, .need = 2, .step_count = 2, .counts = {2, 1}});
    assert_int_equal(add(&world, 1, SECOND), 1);
    assert_int_equal(add(&world, 3, FIRST), 1);
    assert_int_equal(world.satisfied.count, 0);
    assert_int_equal(add(&world, 10, FIRST), 2);
    assert_int_equal(world.satisfied.count, 1);
    /* (1, 11]: the second step has left. */
    assert_int_equal(add(&world, 11, FIRST), 1);
    close_world(&world);
}

static void in_turn_the_later_step_comes_later(void **state)
{
    struct world world;

    (void)state;
    open_world(
        &world,
        (struct steps_rule){
            .window_ms = 100, .is_in_turn = true, .need = 2, .step_count = 2, .counts = {2, 1}});
    assert_int_equal(add(&world, 1, SECOND), 0);
    assert_int_equal(add(&world, 2, FIRST), 0);
    assert_int_equal(add(&world, 3, FIRST), 1);
    /* Events of one time may be taken in the order that completes more. */
    assert_int_equal(add(&world, 3, SECOND), 2);
    assert_int_equal(world.satisfied.count, 1);
    assert_int_equal(world.satisfied.at[0].count, 2);
    assert_int_equal(add(&world, 101, SECOND), 2);
    assert_int_equal(add(&world, 102, SECOND), 0);
    close_world(&world);
}

static void a_late_event_completes_later_points(void **state)
{
    struct world world;

    (void)state;
    open_world(
        &world,
        (struct steps_rule){
            .window_ms = 50, .is_in_turn = true, .need = 3, .step_count = 3, .counts = {1, 1, 1}});
    add(&world, 10, FIRST);
    add(&world, 30, THIRD);
    add(&world, 40, THIRD);
    add(&world, 70, THIRD);
    assert_int_equal(world.satisfied.count, 0);
    assert_int_equal(add(&world, 20, SECOND), 2);
    assert_false(world.outcome.is_last);
    assert_int_equal(world.satisfied.count, 2);
    assert_int_equal(world.satisfied.at[0].time_ms, 30);
    assert_int_equal(world.satisfied.at[1].time_ms, 40);
    assert_int_equal(steps_max(&world.steps, &world.rule, 0, 30), 2);
    assert_int_equal(steps_max(&world.steps, &world.rule, 0, 100), 3);
    assert_int_equal(steps_first_after(&world.steps, &world.rule, 10), 20);
    assert_int_equal(steps_first_after(&world.steps, &world.rule, 70), INT64_MAX);
    close_world(&world);
}

static void forgetting_old_points_invents_nothing(void **state)
{
    struct world world;

    (void)state;
    open_world(&world,
               (struct steps_rule){.window_ms = 10, .need = 1, .step_count = 1, .counts = {3}});
    add(&world, 0, FIRST);
    add(&world, 5, FIRST);
    steps_trim(&world.steps, &world.blocks, &world.rule, 16);
    assert_int_equal(steps_last(&world.steps, &world.rule), INT64_MIN);
    assert_int_equal(add(&world, 16, FIRST), 0);
    assert_int_equal(add(&world, 17, FIRST), 0);
    assert_int_equal(add(&world, 18, FIRST), 1);
    for (int64_t time_ms = 100; time_ms < 100000; time_ms += 3) {
        steps_trim(&world.steps, &world.blocks, &world.rule, time_ms);
        assert_int_equal(add(&world, time_ms, FIRST), time_ms < 106 ? 0 : 1);
    }
    assert_true(world.blocks.bytes <= 512);
    close_world(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_counts_each_step_by_itself),
        cmocka_unit_test(in_turn_the_later_step_comes_later),
        cmocka_unit_test(a_late_event_completes_later_points),
        cmocka_unit_test(forgetting_old_points_invents_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
