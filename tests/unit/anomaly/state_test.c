/* The laws of the state: determinism, snapshots, the budget, rules replaced under way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "stream.h"

static const char every_kind[] =
    "{rules: ["
    "{name: count, severity: low, on: orders, group-by: [customer_id], type: event_count,"
    " timespan: 300ms, condition: {gte: 6}},"
    "{name: busy, severity: low, on: orders, type: event_count, timespan: 2s,"
    " condition: {gte: 900}, quiet: 50ms},"
    "{name: sum, severity: high, on: orders, type: value_sum, field: amount, timespan: 100ms,"
    " group-by: [country], condition: {gt: 400}},"
    "{name: distinct, severity: medium, on: orders, type: value_count, field: customer_id,"
    " group-by: [country], timespan: 200ms, condition: {gte: 12}, quiet: 20ms},"
    "{name: any-order, severity: low, type: temporal, timespan: 40ms, group-by: [country],"
    " on: orders, steps: [{selection: {amount|gt: 95}, count: 2}, {selection: {amount|lt: 2}}]},"
    "{name: in-turn, severity: low, type: temporal_ordered, timespan: 150ms,"
    " group-by: [customer_id], on: orders,"
    " steps: [{selection: {amount|gt: 50}, count: 3}, {selection: {amount|lt: 5}}]},"
    "{name: large, severity: high, on: orders, selection: {amount|gt: 99}},"
    "{name: seen, severity: low, on: orders, group-by: [customer_id], quiet: 30ms,"
    " selection: {amount|lt: 10}}]}";

enum { EVENTS = 6000, LATENESS_MS = 500, TEXT_BYTES = 24 };

struct texts {
    char id[TEXT_BYTES], tenant[TEXT_BYTES], customer[TEXT_BYTES], country[TEXT_BYTES];
};

/* Event `number` of a fixed stream, about three a millisecond, late within the bound. */
static struct event draw(uint32_t number, struct texts *texts)
{
    uint64_t random = hash_mix(77, number);
    int64_t time_ms = LATENESS_MS + number / 3;

    if (random % 4 == 0)
        time_ms -= (int64_t)(random >> 50) % LATENESS_MS;
    snprintf(texts->id, TEXT_BYTES, "e%u", number);
    snprintf(texts->tenant, TEXT_BYTES, "t%u", (uint32_t)(random >> 8) % 2);
    snprintf(texts->customer, TEXT_BYTES, "c%u", (uint32_t)(random >> 16) % 60);
    snprintf(texts->country, TEXT_BYTES, "%c", 'A' + (char)((random >> 24) % 5));
    struct event event = order_event(texts->id, texts->tenant, texts->customer, time_ms,
                                     (double)((random >> 32) % 10000) / 100);
    order_set_text(&event, "country", texts->country);
    return event;
}

static uint64_t digest_results(struct outbox *outbox, uint64_t digest)
{
    for (uint32_t at = 0; at < outbox_count(outbox); at++) {
        const struct result *result = outbox_at(outbox, at);
        const struct alert *alert = &result->alert;
        digest = hash_mix(digest, hash_view(result->id, 1));
        digest = hash_mix(digest, (uint64_t)alert->status);
        digest = hash_mix(digest, (uint64_t)alert->count);
        digest = hash_mix(digest, (uint64_t)alert->last_event_time_ms);
        digest = hash_mix(digest, (uint64_t)alert->opened_time_ms);
        digest = hash_mix(digest, hash_view(alert->message, 2));
        digest = hash_mix(digest, hash_view(alert->merged_into, 3));
        for (uint32_t id = 0; id < alert->evidence.count; id++)
            digest = hash_mix(digest, hash_view(alert->evidence.at[id], 4));
    }
    outbox_reset(outbox);
    return digest;
}

struct ending {
    uint64_t results;
    uint64_t state;
    uint64_t evicted;
};

/* Events that were told of ahead, as many as can be. */
struct told {
    struct texts texts[ANOMALY_EXPECT_MAX];
    struct event events[ANOMALY_EXPECT_MAX];
    struct anomaly_context contexts[ANOMALY_EXPECT_MAX];
    uint32_t first;
};

static void expect_some(struct anomaly *anomaly, uint32_t number, struct told *told)
{
    told->first = number;
    for (uint32_t at = 0; at < ANOMALY_EXPECT_MAX; at++) {
        told->events[at] = draw(number + at, &told->texts[at]);
        told->contexts[at] = context_of(&told->events[at]);
    }
    anomaly_expect(anomaly, told->events, told->contexts, ANOMALY_EXPECT_MAX);
}

/* Every seventh as if nobody had told of it. */
static void apply_told(struct anomaly *anomaly, uint32_t number, struct told *told,
                       struct outbox *outbox)
{
    uint32_t at = number - told->first;

    told->contexts[at].expected = number % 7 == 0 ? 0 : at + 1;
    anomaly_apply(anomaly, &told->events[at], &told->contexts[at], outbox);
}

/* reload_every: 0 never. expect_every: up to ANOMALY_EXPECT_MAX; 0 never. */
static struct ending run_with(size_t bytes_max, uint32_t reload_every, uint32_t expect_every)
{
    struct rule_set *rules = rules_of(every_kind);
    struct anomaly_options options = options_with(LATENESS_MS);
    struct outbox *outbox = outbox_create();
    struct ending ending = {0};
    struct anomaly_stats stats;
    static struct told told[1];
    struct texts texts;

    options.bytes_max = bytes_max;
    struct anomaly *anomaly = anomaly_open(rules, &options);
    for (uint32_t number = 0; number < EVENTS; number++) {
        struct event event = draw(number, &texts);
        if (expect_every > 0 && number % expect_every == 0)
            expect_some(anomaly, number, told);
        if (expect_every > 0)
            apply_told(anomaly, number, told, outbox);
        else
            apply_one(anomaly, &event, outbox);
        advance_to(anomaly, (int64_t)number / 3, outbox);
        anomaly_stats(anomaly, &stats);
        assert_true(stats.bytes <= bytes_max);
        ending.results = digest_results(outbox, ending.results);
        if (reload_every > 0 && number % reload_every == reload_every / 2)
            anomaly = reload(anomaly, rules, &options);
    }
    ending.state = anomaly_digest(anomaly);
    anomaly_finish(anomaly, outbox);
    assert_true(outbox_count(outbox) > 0);
    ending.results = digest_results(outbox, ending.results);
    anomaly_stats(anomaly, &stats);
    ending.evicted = stats.groups_evicted;
    assert_true(stats.opened[0] > 0 && stats.opened[1] > 0 && stats.opened[2] > 0);
    anomaly_close(anomaly);
    outbox_destroy(outbox);
    rule_set_destroy(rules);
    return ending;
}

static struct ending run(size_t bytes_max, uint32_t reload_every)
{
    return run_with(bytes_max, reload_every, 0);
}

static void assert_same(struct ending a, struct ending b)
{
    assert_true(a.results == b.results);
    assert_true(a.state == b.state);
    assert_int_equal(a.evicted, b.evicted);
}

static void the_same_events_give_the_same_results(void **state)
{
    (void)state;
    assert_same(run((size_t)1 << 30, 0), run((size_t)1 << 30, 0));
}

static void what_is_expected_changes_nothing(void **state)
{
    (void)state;
    assert_same(run((size_t)1 << 30, 0), run_with((size_t)1 << 30, 0, 5));
    assert_same(run(120000, 0), run_with(120000, 0, ANOMALY_EXPECT_MAX));
    /* What was told of outlives neither a reload nor the groups that it was about. */
    assert_same(run(120000, 0), run_with(120000, 100, ANOMALY_EXPECT_MAX));
}

static void a_loaded_state_goes_on_as_the_saved_one(void **state)
{
    struct ending whole = run((size_t)1 << 30, 0);

    (void)state;
    assert_int_equal(whole.evicted, 0);
    assert_same(whole, run((size_t)1 << 30, 1));
    assert_same(whole, run((size_t)1 << 30, 997));
}

static void so_it_does_when_memory_is_short(void **state)
{
    struct ending whole = run(120000, 0);

    (void)state;
    assert_true(whole.evicted > 0);
    assert_same(whole, run(120000, 0));
    assert_same(whole, run(120000, 7));
    assert_same(whole, run(120000, 1500));
}

#define COUNTED                                                                                    \
    "{rules: [{name: counted, severity: low, on: orders, group-by: [customer_id], "                \
    "type: event_count, timespan: 1h, condition: {gte: 3}}]}"

static void the_least_recently_active_go_first(void **state)
{
    struct rule_set *rules = rules_of(COUNTED);
    struct anomaly_options options = options_with(0);
    struct outbox *outbox = outbox_create();
    struct anomaly_stats stats;
    char customer[16];

    (void)state;
    options.bytes_max = 20000;
    struct anomaly *anomaly = anomaly_open(rules, &options);
    struct event event = order_event("e", "t", "kept", 1000, 1);
    apply_one(anomaly, &event, outbox);
    for (int number = 0; number < 2000; number++) {
        snprintf(customer, sizeof customer, "c%d", number);
        struct event other = order_event("e", "t", customer, 1000, 1);
        apply_one(anomaly, &other, outbox);
        anomaly_stats(anomaly, &stats);
        assert_true(stats.bytes <= options.bytes_max);
        if (number % 50 == 49)
            apply_one(anomaly, &event, outbox);
        assert_int_equal(outbox_count(outbox) > 0, number >= 99);
    }
    for (uint32_t at = 0; at < outbox_count(outbox); at++)
        assert_true(view_is_text(outbox_at(outbox, at)->alert.group.at[0].value, "kept"));
    assert_true(stats.groups_evicted > 1500);
    assert_int_equal(stats.groups + stats.groups_evicted, 2001);
    outbox_reset(outbox);
    anomaly_finish(anomaly, outbox);
    assert_int_equal(outbox_count(outbox), 1);
    assert_int_equal(outbox_at(outbox, 0)->alert.count, 41);
    anomaly_close(anomaly);
    outbox_destroy(outbox);
    rule_set_destroy(rules);
}

static void an_evicted_episode_is_closed(void **state)
{
    struct rule_set *rules = rules_of(COUNTED);
    struct anomaly_options options = options_with(0);
    struct outbox *outbox = outbox_create();
    char customer[16];

    (void)state;
    options.bytes_max = 5000;
    struct anomaly *anomaly = anomaly_open(rules, &options);
    for (int number = 0; number < 3; number++) {
        struct event event = order_event("e", "t", "ada", 1000, 1);
        apply_one(anomaly, &event, outbox);
    }
    assert_int_equal(outbox_count(outbox), 1);
    outbox_reset(outbox);
    for (int number = 0; number < 100 && outbox_count(outbox) == 0; number++) {
        snprintf(customer, sizeof customer, "c%d", number);
        struct event event = order_event("e", "t", customer, 1000, 1);
        apply_one(anomaly, &event, outbox);
    }
    assert_int_equal(outbox_count(outbox), 1);
    assert_int_equal(outbox_at(outbox, 0)->alert.status, ALERT_CLOSED);
    outbox_reset(outbox);
    anomaly_finish(anomaly, outbox);
    assert_int_equal(outbox_count(outbox), 0);
    anomaly_close(anomaly);
    outbox_destroy(outbox);
    rule_set_destroy(rules);
}

static void what_is_over_makes_room(void **state)
{
    struct rule_set *rules =
        rules_of("{rules: [{name: counted, severity: low, on: orders, group-by: [customer_id], "
                 "type: event_count, timespan: 1s, condition: {gte: 3}}]}");
    struct anomaly_options options = options_with(0);
    struct outbox *outbox = outbox_create();
    struct anomaly_stats stats;
    char customer[16];

    (void)state;
    struct anomaly *anomaly = anomaly_open(rules, &options);
    for (int number = 0; number < 100000; number++) {
        snprintf(customer, sizeof customer, "c%d", number);
        struct event event = order_event("e", "t", customer, number, 1);
        apply_one(anomaly, &event, outbox);
        advance_to(anomaly, number, outbox);
    }
    anomaly_stats(anomaly, &stats);
    assert_true(stats.groups < 2100);
    assert_int_equal(stats.groups_evicted, 0);
    anomaly_close(anomaly);
    outbox_destroy(outbox);
    rule_set_destroy(rules);
}

#define FIRST "{name: first, severity: low, on: orders, type: event_count, timespan: 1m, "
#define SECOND "{name: second, severity: low, on: orders, type: event_count, timespan: 1m, "
#define THIRD "{name: third, severity: low, on: orders, quiet: 1m}"

static void replaced_rules_keep_what_is_unchanged(void **state)
{
    struct rule_set *before =
        rules_of("{rules: [" FIRST "condition: {gte: 2}}, " SECOND "condition: {gte: 2}}]}");
    struct rule_set *after = rules_of("{rules: [" THIRD ", " SECOND "title: Second, "
                                      "condition: {gte: 2}}, " FIRST "condition: {gte: 3}}]}");
    struct anomaly_options options = options_with(0);
    struct anomaly *anomaly = anomaly_open(before, &options);
    struct outbox *outbox = outbox_create();
    char id[33] = {0};

    (void)state;
    for (int number = 0; number < 2; number++) {
        struct event event = order_event("e", "t", "ada", 1000, 1);
        apply_one(anomaly, &event, outbox);
    }
    assert_int_equal(outbox_count(outbox), 2);
    memcpy(id, outbox_at(outbox, 1)->id.data, 32);
    outbox_reset(outbox);
    anomaly_replace_rules(anomaly, after, outbox);
    rule_set_destroy(before);
    assert_int_equal(outbox_count(outbox), 1);
    assert_true(view_is_text(outbox_at(outbox, 0)->alert.type, "first"));
    assert_int_equal(outbox_at(outbox, 0)->alert.status, ALERT_CLOSED);
    outbox_reset(outbox);
    struct event event = order_event("e3", "t", "ada", 2000, 1);
    apply_one(anomaly, &event, outbox);
    assert_int_equal(outbox_count(outbox), 1);
    assert_true(view_is_text(outbox_at(outbox, 0)->alert.type, "third"));
    outbox_reset(outbox);
    anomaly = reload(anomaly, after, &options);
    anomaly_finish(anomaly, outbox);
    assert_int_equal(outbox_count(outbox), 2);
    const struct result *second = outbox_at(outbox, 0);
    if (!view_is_text(second->alert.type, "second"))
        second = outbox_at(outbox, 1);
    assert_true(view_is_text(second->id, id));
    assert_int_equal(second->alert.count, 3);
    anomaly_close(anomaly);
    outbox_destroy(outbox);
    rule_set_destroy(after);
}

/* A state in the middle of things. */
static void save_some(const struct rule_set *rules, struct byte_writer *saved)
{
    struct anomaly_options options = options_with(LATENESS_MS);
    struct anomaly *anomaly = anomaly_open(rules, &options);
    struct outbox *outbox = outbox_create();
    struct texts texts;

    for (uint32_t number = 0; number < 400; number++) {
        struct event event = draw(number, &texts);
        apply_one(anomaly, &event, outbox);
        outbox_reset(outbox);
    }
    anomaly_save(anomaly, saved);
    anomaly_close(anomaly);
    outbox_destroy(outbox);
}

static void damaged_states_are_refused(void **state)
{
    struct rule_set *rules = rules_of(every_kind);
    struct anomaly_options options = options_with(LATENESS_MS);
    struct byte_writer saved;
    struct failure failure;

    (void)state;
    byte_writer_init(&saved);
    save_some(rules, &saved);
    for (size_t size = 0; size < saved.size; size += 1 + size / 40) {
        struct byte_reader reader = byte_reader_of(saved.data, size);
        assert_null(anomaly_load(rules, &options, &reader, &failure));
        assert_int_equal(failure.remedy, REMEDY_STOP);
    }
    /* Any byte may be wrong: refused, or a state that can go on. */
    struct outbox *outbox = outbox_create();
    for (uint32_t turn = 0; turn < 600; turn++) {
        uint64_t random = hash_mix(99, turn);
        size_t at = random % saved.size;
        char kept = saved.data[at];
        saved.data[at] = (char)(random >> 40);
        struct byte_reader reader = byte_reader_of(saved.data, saved.size);
        struct anomaly *anomaly = anomaly_load(rules, &options, &reader, &failure);
        saved.data[at] = kept;
        if (anomaly == NULL)
            continue;
        anomaly_finish(anomaly, outbox);
        outbox_reset(outbox);
        anomaly_close(anomaly);
    }
    outbox_destroy(outbox);
    byte_writer_free(&saved);
    rule_set_destroy(rules);
}

/* The rule that two documents have in common goes on where it was; nothing of the others is
 * left. */
static void a_rule_survives_a_change_of_the_others(void **state)
{
    struct rule_set *alone = rules_of(COUNTED);
    struct rule_set *among = rules_of(
        "{rules: [{name: first, severity: low, on: orders, timespan: 1h, type: event_count,"
        " condition: {gte: 2}}, {name: counted, severity: low, on: orders,"
        " group-by: [customer_id], type: event_count, timespan: 1h, condition: {gte: 3}},"
        " {name: sum, severity: low, on: orders, type: value_sum, field: amount, timespan: 1h,"
        " condition: {gt: 1}}]}");
    struct anomaly_options options = options_with(LATENESS_MS);
    struct outbox *outbox = outbox_create();
    struct event event = order_event("e", "t", "ada", 1000, 1);
    struct anomaly_stats stats;
    struct byte_writer saved;
    struct failure failure;

    (void)state;
    byte_writer_init(&saved);
    struct anomaly *anomaly = anomaly_open(among, &options);
    for (int i = 0; i < 2; i++)
        apply_one(anomaly, &event, outbox);
    outbox_reset(outbox);
    anomaly_save(anomaly, &saved);
    anomaly_close(anomaly);
    struct byte_reader reader = byte_reader_of(saved.data, saved.size);
    anomaly = anomaly_load(alone, &options, &reader, &failure);
    assert_non_null(anomaly);
    assert_int_equal(byte_reader_left(&reader), 0);
    anomaly_stats(anomaly, &stats);
    assert_int_equal(stats.groups, 1);
    assert_int_equal(stats.episodes_open, 0);
    apply_one(anomaly, &event, outbox);
    assert_int_equal(outbox_count(outbox), 1);
    assert_int_equal(outbox_at(outbox, 0)->alert.count, 3);
    assert_int_equal((int64_t)outbox_at(outbox, 0)->alert.value, 3);
    anomaly_close(anomaly);
    outbox_destroy(outbox);
    byte_writer_free(&saved);
    rule_set_destroy(alone);
    rule_set_destroy(among);
}

static void a_state_of_another_version_is_refused(void **state)
{
    struct rule_set *rules = rules_of(every_kind);
    struct anomaly_options options = options_with(LATENESS_MS);
    struct byte_writer saved;
    struct failure failure;

    (void)state;
    byte_writer_init(&saved);
    save_some(rules, &saved);
    saved.data[0] = 77;
    struct byte_reader reader = byte_reader_of(saved.data, saved.size);
    assert_null(anomaly_load(rules, &options, &reader, &failure));
    assert_non_null(strstr(failure.text, "version 77"));
    byte_writer_free(&saved);
    rule_set_destroy(rules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_events_give_the_same_results),
        cmocka_unit_test(what_is_expected_changes_nothing),
        cmocka_unit_test(a_loaded_state_goes_on_as_the_saved_one),
        cmocka_unit_test(so_it_does_when_memory_is_short),
        cmocka_unit_test(the_least_recently_active_go_first),
        cmocka_unit_test(an_evicted_episode_is_closed),
        cmocka_unit_test(what_is_over_makes_room),
        cmocka_unit_test(replaced_rules_keep_what_is_unchanged),
        cmocka_unit_test(damaged_states_are_refused),
        cmocka_unit_test(a_rule_survives_a_change_of_the_others),
        cmocka_unit_test(a_state_of_another_version_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
