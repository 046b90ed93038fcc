/* What is published, when, and with which figures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "stream.h"

struct world {
    struct rule_set *rules;
    struct anomaly_options options;
    struct anomaly *anomaly;
    struct outbox *outbox;
};

static void open_world(struct world *world, const char *rules, int64_t lateness_ms)
{
    world->rules = rules_of(rules);
    world->options = options_with(lateness_ms);
    world->anomaly = anomaly_open(world->rules, &world->options);
    world->outbox = outbox_create();
}

static void close_world(struct world *world)
{
    anomaly_close(world->anomaly);
    outbox_destroy(world->outbox);
    rule_set_destroy(world->rules);
}

static void order(struct world *world, const char *id, const char *customer, int64_t time_ms,
                  double amount)
{
    struct event event = order_event(id, "acme", customer, time_ms, amount);

    outbox_reset(world->outbox);
    apply_one(world->anomaly, &event, world->outbox);
}

static void advance(struct world *world, int64_t watermark_ms)
{
    outbox_reset(world->outbox);
    advance_to(world->anomaly, watermark_ms, world->outbox);
}

static const struct alert *only_alert(const struct world *world, enum alert_status status)
{
    assert_int_equal(outbox_count(world->outbox), 1);
    const struct result *result = outbox_at(world->outbox, 0);
    assert_int_equal(result->kind, RESULT_ALERT);
    assert_int_equal(result->alert.status, status);
    return &result->alert;
}

static bool has(const struct result *result, const char *name)
{
    uint32_t index = 0;

    assert_non_null(shape_find(result_shape(result->kind), view_of(name), &index));
    return shape_has(result_shape(result->kind), result, index);
}

#define RAPID                                                                                      \
    "{rules: [{name: rapid, title: Rapid orders, severity: high, on: orders, "                     \
    "group-by: [customer_id], type: event_count, timespan: 100s, condition: {gte: 3}}]}"

static void an_episode_opens_is_updated_and_closes(void **state)
{
    struct world world;

    (void)state;
    open_world(&world, RAPID, 0);
    order(&world, "e1", "ada", 1000, 1);
    order(&world, "e2", "ada", 2000, 1);
    assert_int_equal(outbox_count(world.outbox), 0);
    order(&world, "e3", "ada", 3000, 1);
    const struct alert *alert = only_alert(&world, ALERT_OPEN);
    const struct result *result = outbox_at(world.outbox, 0);
    assert_true(view_is_text(result->tenant_id, "acme"));
    assert_true(view_is_text(alert->type, "rapid"));
    assert_int_equal(alert->severity, SEVERITY_HIGH);
    assert_int_equal(alert->category, ALERT_SECURITY);
    assert_int_equal(alert->group.count, 1);
    assert_true(view_is_text(alert->group.at[0].name, "customer_id"));
    assert_true(view_is_text(alert->group.at[0].value, "ada"));
    assert_int_equal(alert->count, 1);
    assert_int_equal(alert->window_ms, 100000);
    assert_true(alert->threshold == 3 && alert->value == 3);
    assert_int_equal(alert->first_event_time_ms, 1000);
    assert_int_equal(alert->opened_time_ms, 3000);
    assert_int_equal(alert->last_event_time_ms, 3000);
    assert_int_equal(alert->evidence.count, 1);
    assert_true(view_is_text(alert->evidence.at[0], "e3"));
    assert_true(view_is_text(alert->message, "Rapid orders: 3 events within 100s (limit: 3), "
                                             "tenant acme, customer_id ada"));
    assert_true(has(result, "threshold") && has(result, "value") && has(result, "window_ms"));
    assert_false(has(result, "merged_into"));
    order(&world, "e4", "ada", 3500, 1);
    order(&world, "e5", "ada", 3600, 1);
    assert_int_equal(outbox_count(world.outbox), 0);
    order(&world, "e6", "ada", 3700, 1);
    alert = only_alert(&world, ALERT_UPDATED);
    assert_true(alert->value == 6);
    assert_int_equal(alert->count, 4);
    assert_int_equal(alert->evidence.count, 4);
    /* A minute later, although the value has not doubled. */
    order(&world, "e7", "ada", 63699, 1);
    assert_int_equal(outbox_count(world.outbox), 0);
    order(&world, "e8", "ada", 63700, 1);
    alert = only_alert(&world, ALERT_UPDATED);
    assert_int_equal(alert->evidence.count, 5);
    assert_true(view_is_text(alert->evidence.at[4], "e7"));
    advance(&world, 163700);
    assert_int_equal(outbox_count(world.outbox), 0);
    advance(&world, 163701);
    alert = only_alert(&world, ALERT_CLOSED);
    assert_int_equal(alert->count, 6);
    assert_true(alert->value == 8);
    assert_int_equal(alert->last_event_time_ms, 63700);
    advance(&world, 900000);
    assert_int_equal(outbox_count(world.outbox), 0);
    close_world(&world);
}

static void ids_come_from_rule_group_and_opening_event(void **state)
{
    struct world world;
    char ids[4][33] = {{0}};
    const char *events[] = {"e3", "e3", "f3", "e3"};
    const char *customers[] = {"ada", "ada", "ada", "bob"};

    (void)state;
    for (int run = 0; run < 4; run++) {
        open_world(&world, RAPID, 0);
        order(&world, "e1", customers[run], 1000 + run, 1);
        order(&world, "e2", customers[run], 2000, 1);
        order(&world, events[run], customers[run], 3000, 1);
        only_alert(&world, ALERT_OPEN);
        memcpy(ids[run], outbox_at(world.outbox, 0)->id.data, 32);
        close_world(&world);
    }
    assert_string_equal(ids[0], ids[1]);
    assert_string_not_equal(ids[0], ids[2]);
    assert_string_not_equal(ids[0], ids[3]);
}

static void late_events_move_boundaries(void **state)
{
    struct world world;

    (void)state;
    open_world(&world, RAPID, 60000);
    order(&world, "e1", "ada", 1000, 1);
    order(&world, "e2", "ada", 30000, 1);
    order(&world, "e3", "ada", 50000, 1);
    only_alert(&world, ALERT_OPEN);
    order(&world, "late", "ada", 20000, 1);
    const struct alert *alert = only_alert(&world, ALERT_UPDATED);
    assert_int_equal(alert->opened_time_ms, 30000);
    assert_int_equal(alert->last_event_time_ms, 50000);
    assert_int_equal(alert->count, 2);
    assert_true(alert->value == 4);
    /* With this one 20 s satisfies too. */
    order(&world, "later", "ada", 500, 1);
    alert = only_alert(&world, ALERT_UPDATED);
    assert_int_equal(alert->first_event_time_ms, 500);
    assert_int_equal(alert->opened_time_ms, 20000);
    close_world(&world);
}

static void joined_alerts_end_in_the_elder(void **state)
{
    struct world world;
    char elder[33] = {0}, younger[33] = {0};

    (void)state;
    open_world(&world,
               "{rules: [{name: burst, severity: low, on: orders, group-by: [customer_id], "
               "type: event_count, timespan: 10s, quiet: 10s, condition: {gte: 2}}]}",
               60000);
    order(&world, "a1", "ada", 40000, 1);
    order(&world, "a2", "ada", 41000, 1);
    only_alert(&world, ALERT_OPEN);
    memcpy(elder, outbox_at(world.outbox, 0)->id.data, 32);
    order(&world, "b1", "ada", 20000, 1);
    order(&world, "b2", "ada", 21000, 1);
    only_alert(&world, ALERT_OPEN);
    memcpy(younger, outbox_at(world.outbox, 0)->id.data, 32);
    /* 30 s satisfies with 21 s, and is within 10 s of both 21 s and 40 s. */
    order(&world, "c1", "ada", 30500, 1);
    assert_int_equal(outbox_count(world.outbox), 2);
    const struct result *first = outbox_at(world.outbox, 0);
    const struct result *second = outbox_at(world.outbox, 1);
    assert_memory_equal(first->id.data, younger, 32);
    assert_int_equal(first->alert.status, ALERT_CLOSED);
    assert_true(view_is_text(first->alert.merged_into, elder));
    assert_memory_equal(second->id.data, elder, 32);
    assert_int_equal(second->alert.status, ALERT_UPDATED);
    assert_int_equal(second->alert.opened_time_ms, 21000);
    assert_int_equal(second->alert.last_event_time_ms, 41000);
    assert_true(view_is_text(second->alert.evidence.at[0], "b2"));
    outbox_reset(world.outbox);
    anomaly_finish(world.anomaly, world.outbox);
    assert_int_equal(only_alert(&world, ALERT_CLOSED)->opened_time_ms, 21000);
    assert_memory_equal(outbox_at(world.outbox, 0)->id.data, elder, 32);
    close_world(&world);
}

static void an_event_rule_publishes_each_event_once(void **state)
{
    struct world world;

    (void)state;
    open_world(&world,
               "{rules: [{name: large, severity: high, on: orders, selection: {amount|gt: 10}}]}",
               0);
    order(&world, "e1", NULL, 1000, 10);
    assert_int_equal(outbox_count(world.outbox), 0);
    order(&world, "e2", NULL, 1000, 11);
    const struct alert *alert = only_alert(&world, ALERT_OPEN);
    const struct result *result = outbox_at(world.outbox, 0);
    assert_int_equal(alert->count, 1);
    assert_int_equal(alert->opened_time_ms, 1000);
    assert_int_equal(alert->first_event_time_ms, 1000);
    assert_int_equal(alert->last_event_time_ms, 1000);
    assert_true(view_is_text(alert->evidence.at[0], "e2"));
    assert_false(has(result, "threshold") || has(result, "value") || has(result, "window_ms"));
    outbox_reset(world.outbox);
    anomaly_finish(world.anomaly, world.outbox);
    assert_int_equal(outbox_count(world.outbox), 0);
    close_world(&world);
}

static void null_groups_are_no_groups(void **state)
{
    struct world world;
    struct anomaly_stats stats;

    (void)state;
    open_world(&world, RAPID, 0);
    for (int number = 0; number < 10; number++)
        order(&world, "e", NULL, 1000, 1);
    assert_int_equal(outbox_count(world.outbox), 0);
    anomaly_stats(world.anomaly, &stats);
    assert_int_equal(stats.groups, 0);
    close_world(&world);
}

static void keys_are_told_apart_by_their_parts(void **state)
{
    struct world world;

    (void)state;
    open_world(&world,
               "{rules: [{name: two, severity: low, on: orders, group-by: [customer_id, country], "
               "type: event_count, timespan: 1m, condition: {gte: 2}}]}",
               0);
    const char *const parts[][2] = {{"ab", "c"}, {"a", "bc"}, {"abc", ""}, {"", "abc"}};
    for (int round = 0; round < 2; round++) {
        for (int at = 0; at < 4; at++) {
            struct event event = order_event("e", "t", parts[at][0], 1000 + round, 1);
            order_set_text(&event, "country", parts[at][1]);
            outbox_reset(world.outbox);
            apply_one(world.anomaly, &event, world.outbox);
            assert_int_equal(outbox_count(world.outbox), round);
        }
    }
    close_world(&world);
}

/* Longer than fits into a group. */
static void long_keys_are_kept_whole(void **state)
{
    struct world world;
    char first[257], second[257];

    (void)state;
    memset(first, 'x', 256);
    first[256] = '\0';
    memcpy(second, first, sizeof second);
    second[255] = 'y';
    open_world(&world, RAPID, 0);
    for (int number = 0; number < 2; number++) {
        order(&world, "e", first, 1000, 1);
        order(&world, "e", second, 1000, 1);
        assert_int_equal(outbox_count(world.outbox), 0);
    }
    order(&world, "e3", first, 1000, 1);
    assert_true(view_is_text(only_alert(&world, ALERT_OPEN)->group.at[0].value, first));
    close_world(&world);
}

static void silence_closes_and_late_comers_reopen(void **state)
{
    struct world world;
    int64_t arrivals[EVENT_KIND_COUNT];

    (void)state;
    for (int kind = 0; kind < EVENT_KIND_COUNT; kind++)
        arrivals[kind] = 5000000;
    open_world(&world, RAPID, 60000);
    order(&world, "e1", "ada", 1000, 1);
    order(&world, "e2", "ada", 2000, 1);
    order(&world, "e3", "ada", 3000, 1);
    only_alert(&world, ALERT_OPEN);
    outbox_reset(world.outbox);
    anomaly_tick(world.anomaly, 5159999, arrivals, world.outbox);
    assert_int_equal(outbox_count(world.outbox), 0);
    anomaly_tick(world.anomaly, 5160000, arrivals, world.outbox);
    only_alert(&world, ALERT_CLOSED);
    outbox_reset(world.outbox);
    anomaly_tick(world.anomaly, 5170000, arrivals, world.outbox);
    assert_int_equal(outbox_count(world.outbox), 0);
    world.anomaly = reload(world.anomaly, world.rules, &world.options);
    order(&world, "e4", "ada", 3100, 1);
    const struct alert *alert = only_alert(&world, ALERT_UPDATED);
    assert_int_equal(alert->count, 2);
    advance(&world, 103101);
    assert_int_equal(only_alert(&world, ALERT_CLOSED)->last_event_time_ms, 3100);
    close_world(&world);
}

static void silence_then_the_watermark_closes_once(void **state)
{
    struct world world;
    int64_t arrivals[EVENT_KIND_COUNT] = {0};

    (void)state;
    open_world(&world, RAPID, 0);
    for (int number = 0; number < 3; number++)
        order(&world, "e", "ada", 1000, 1);
    outbox_reset(world.outbox);
    anomaly_tick(world.anomaly, 200000, arrivals, world.outbox);
    only_alert(&world, ALERT_CLOSED);
    advance(&world, 500000);
    assert_int_equal(outbox_count(world.outbox), 0);
    close_world(&world);
}

static void several_kinds_go_by_the_least_watermark(void **state)
{
    struct world world;
    int64_t watermarks[EVENT_KIND_COUNT];

    (void)state;
    for (int kind = 0; kind < EVENT_KIND_COUNT; kind++)
        watermarks[kind] = INT64_MIN;
    open_world(&world,
               "{rules: [{name: any, severity: low, on: [orders, auth-events], quiet: 10s}]}", 0);
    order(&world, "e1", "ada", 1000, 1);
    only_alert(&world, ALERT_OPEN);
    outbox_reset(world.outbox);
    watermarks[EVENT_ORDER] = 90000;
    anomaly_advance(world.anomaly, watermarks, world.outbox);
    assert_int_equal(outbox_count(world.outbox), 0);
    watermarks[EVENT_AUTH] = 11000;
    anomaly_advance(world.anomaly, watermarks, world.outbox);
    assert_int_equal(outbox_count(world.outbox), 0);
    /* Left out for being idle: orders alone decide. */
    watermarks[EVENT_AUTH] = INT64_MAX;
    anomaly_advance(world.anomaly, watermarks, world.outbox);
    only_alert(&world, ALERT_CLOSED);
    /* Back again, behind: what is settled stays settled. */
    watermarks[EVENT_AUTH] = 20000;
    outbox_reset(world.outbox);
    anomaly_advance(world.anomaly, watermarks, world.outbox);
    struct event event = {.kind = EVENT_AUTH,
                          .id = view_of("a1"),
                          .tenant_id = view_of("acme"),
                          .event_time_ms = 50000};
    apply_one(world.anomaly, &event, world.outbox);
    assert_int_equal(outbox_count(world.outbox), 0);
    event.event_time_ms = 90000;
    apply_one(world.anomaly, &event, world.outbox);
    only_alert(&world, ALERT_OPEN);
    /* All left out: nothing is known, nothing moves. */
    watermarks[EVENT_AUTH] = INT64_MAX;
    watermarks[EVENT_ORDER] = INT64_MAX;
    outbox_reset(world.outbox);
    anomaly_advance(world.anomaly, watermarks, world.outbox);
    assert_int_equal(outbox_count(world.outbox), 0);
    close_world(&world);
}

static void sums_are_exact_decimals(void **state)
{
    struct world world;

    (void)state;
    open_world(&world,
               "{rules: [{name: sum, severity: low, on: orders, type: value_sum, field: amount, "
               "timespan: 1m, condition: {gte: 0.3}}]}",
               0);
    order(&world, "e1", NULL, 1000, 0.1);
    assert_int_equal(outbox_count(world.outbox), 0);
    /* In doubles 0.1 + 0.2 is above 0.3, and 0.2 + 0.1 - 0.1 below 0.2. */
    order(&world, "e2", NULL, 1001, 0.2);
    assert_true(only_alert(&world, ALERT_OPEN)->value == 0.3);
    order(&world, "e3", NULL, 1002, -5);
    assert_int_equal(outbox_count(world.outbox), 0);
    order(&world, "e4", NULL, 1003, 1e300);
    assert_true(only_alert(&world, ALERT_UPDATED)->value >= 1e14);
    outbox_reset(world.outbox);
    anomaly_finish(world.anomaly, world.outbox);
    assert_int_equal(only_alert(&world, ALERT_CLOSED)->count, 3);
    close_world(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_episode_opens_is_updated_and_closes),
        cmocka_unit_test(ids_come_from_rule_group_and_opening_event),
        cmocka_unit_test(late_events_move_boundaries),
        cmocka_unit_test(joined_alerts_end_in_the_elder),
        cmocka_unit_test(an_event_rule_publishes_each_event_once),
        cmocka_unit_test(null_groups_are_no_groups),
        cmocka_unit_test(keys_are_told_apart_by_their_parts),
        cmocka_unit_test(long_keys_are_kept_whole),
        cmocka_unit_test(silence_closes_and_late_comers_reopen),
        cmocka_unit_test(silence_then_the_watermark_closes_once),
        cmocka_unit_test(several_kinds_go_by_the_least_watermark),
        cmocka_unit_test(sums_are_exact_decimals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
