/*
 * What the configuration means to the engine: every error with its line, and the verdict
 * on each event.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "cli/yaml.h"
#include "engine/engine.h"
#include "support/event_mark.h"

enum { MINUTE_MS = 60000, HOUR_MS = 3600000 };

static const int64_t start_ms = INT64_C(1700000000000);

static struct arena *arena;
static struct complaints complaints;
static struct outbox *outbox;

static int set_up(void **state)
{
    (void)state;
    arena = arena_create(65536);
    complaints_init(&complaints, arena);
    outbox = outbox_create();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_destroy(arena);
    outbox_destroy(outbox);
    return 0;
}

/* NULL and complaints when the text is wrong. */
static struct engine_config *read_config(const char *text)
{
    struct tree *root = NULL;

    assert_int_equal(yaml_parse_text(view_of(text), "weir.yaml", arena, &root, &complaints),
                     STATUS_OK);
    return engine_config_create(root, NULL, yaml_parse_text, &complaints);
}

static struct engine_config *good_config(const char *text)
{
    struct engine_config *config = read_config(text);

    if (config == NULL)
        fail_msg("%s", complaints.first->text);
    return config;
}

static struct event make_order(const char *id, const char *tenant, int64_t time_ms)
{
    struct event event = {.kind = EVENT_ORDER, .id = view_of(id), .tenant_id = view_of(tenant)};
    const struct shape *shape = event_shape(EVENT_ORDER);

    event.event_time_ms = time_ms;
    event.order.order_id = event.id;
    event.order.amount = 20000;
    event.order.currency = VIEW_LITERAL("USD");
    for (uint32_t i = 0; i < shape->field_count; i++)
        if ((shape->fields[i].flags & FIELD_REQUIRED) != 0 &&
            strcmp(shape->fields[i].name, "customer_id") != 0)
            shape_set_present(shape, &event, i);
    return event;
}

static enum verdict apply(struct engine *engine, const char *id, const char *tenant,
                          int64_t time_ms)
{
    struct event event = make_order(id, tenant, time_ms);

    return engine_apply(engine, &event, outbox);
}

static uint32_t count_results(enum result_kind kind)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < outbox_count(outbox); i++)
        count += outbox_at(outbox, i)->kind == kind ? 1 : 0;
    return count;
}

static void test_every_error_has_its_line(void **state)
{
    static const char text[] = "engine:\n"
                               "  lateness: soon\n"
                               "  latenes: 5s\n"
                               "  lateness_by_topic: {bills: 1m, orders: never}\n"
                               "  late: drop\n"
                               "  deduplicate:\n"
                               "    commands: 5m\n"
                               "    orders: 0\n"
                               "tenants:\n"
                               "  time_zone: Mars/Olympus\n"
                               "  unknown: maybe\n"
                               "  list:\n"
                               "    acme: {time_zone: Europe/Atlantis, plan: gold, colour: red}\n"
                               "    emca: {currency: GBP, sharing: perhaps}\n"
                               "    free: 7\n"
                               "currency:\n"
                               "  rates: {euro: 1, CHF: 0, USD: 2, SEK: much}\n";
    static const char *const expected[] = {
        "weir.yaml:2: ",
        "weir.yaml:3: engine.latenes: unknown; did you mean engine.lateness?",
        "weir.yaml:5: ",
        "weir.yaml:4: engine.lateness_by_topic: expected an input topic such as orders, not "
        "'bills'",
        "weir.yaml:4: orders: expected a duration",
        "weir.yaml:7: engine.deduplicate: expected an input topic",
        "weir.yaml:8: engine.deduplicate.orders: expected 1ms to 7d",
        "weir.yaml:17: currency.rates: expected a code of three capital letters such as EUR, "
        "not 'euro'",
        "weir.yaml:17: currency.rates.CHF: expected a rate above 0",
        "weir.yaml:17: currency.rates.USD: the reference currency is worth 1",
        "weir.yaml:17: SEK: expected a number",
        "weir.yaml:11: ",
        "weir.yaml:10: tenants: time zone Mars/Olympus",
        "weir.yaml:13: tenants: time zone Europe/Atlantis",
        "weir.yaml:13: plan: expected free, standard or enterprise, not 'gold'",
        "weir.yaml:13: colour: a tenant has time_zone, currency, plan and sharing",
        "weir.yaml:14: currency: GBP has no rate in currency.rates",
        "weir.yaml:14: sharing: expected true or false",
        "weir.yaml:15: tenants.list: expected a map of settings of free",
    };
    const struct complaint *at;
    uint32_t index = 0;

    (void)state;
    assert_null(read_config(text));
    for (at = complaints.first; at != NULL; at = at->next, index++) {
        assert_true(index < sizeof expected / sizeof expected[0]);
        if (strncmp(at->text, expected[index], strlen(expected[index])) != 0)
            fail_msg("'%s' does not begin with '%s'", at->text, expected[index]);
    }
    assert_int_equal(index, sizeof expected / sizeof expected[0]);
}

static void test_lateness_by_topic(void **state)
{
    struct engine_config *config =
        good_config("engine: {lateness: 10s, lateness_by_topic: {orders: 2m}, late: dead_letter}");
    struct engine *engine = engine_open(config, 0);
    struct engine_stats stats;

    (void)state;
    assert_int_equal(apply(engine, "a", "acme", start_ms), VERDICT_APPLIED);
    assert_int_equal(apply(engine, "b", "acme", start_ms - 2 * MINUTE_MS), VERDICT_APPLIED);
    assert_int_equal(apply(engine, "c", "acme", start_ms - 2 * MINUTE_MS - 1),
                     VERDICT_LATE_SET_ASIDE);
    engine_stats(engine, &stats);
    assert_int_equal(stats.applied[EVENT_ORDER], 2);
    assert_int_equal(stats.late[EVENT_ORDER], 1);
    assert_true(stats.watermark_ms[EVENT_ORDER] == start_ms - 2 * MINUTE_MS);
    assert_true(stats.watermark_ms[EVENT_AUTH] == INT64_MIN);
    engine_close(engine);
    engine_config_set_lateness(config, 0);
    engine = engine_open(config, 0);
    assert_int_equal(apply(engine, "a", "acme", start_ms), VERDICT_APPLIED);
    assert_int_equal(apply(engine, "b", "acme", start_ms), VERDICT_APPLIED);
    assert_int_equal(apply(engine, "c", "acme", start_ms - 1), VERDICT_LATE_SET_ASIDE);
    engine_close(engine);
    engine_config_destroy(config);
}

static void test_the_future_is_measured_from_the_last_tick(void **state)
{
    struct engine_config *config = good_config("engine: {future.max: 30m}");
    struct engine *engine = engine_open(config, 0);
    struct engine_stats stats;

    (void)state;
    assert_int_equal(apply(engine, "a", "acme", start_ms), VERDICT_APPLIED);
    engine_tick(engine, start_ms, outbox);
    assert_int_equal(apply(engine, "b", "acme", start_ms + 30 * MINUTE_MS), VERDICT_APPLIED);
    assert_int_equal(apply(engine, "c", "acme", start_ms + 30 * MINUTE_MS + 1), VERDICT_FUTURE);
    engine_tick(engine, start_ms - HOUR_MS, outbox);
    engine_tick(engine, start_ms + 1, outbox);
    assert_int_equal(apply(engine, "c", "acme", start_ms + 30 * MINUTE_MS + 1), VERDICT_APPLIED);
    engine_stats(engine, &stats);
    assert_int_equal(stats.future[EVENT_ORDER], 1);
    engine_close(engine);
    engine_config_destroy(config);
}

static void test_rooms_that_are_left_out(void **state)
{
    struct engine_config *config = good_config("engine: {rooms: anomaly}");
    struct engine *engine = engine_open(config, 0);
    struct event command = {.kind = EVENT_COMMAND, .id = VIEW_LITERAL("c")};

    (void)state;
    assert_int_equal(apply(engine, "a", "acme", start_ms), VERDICT_APPLIED);
    assert_int_equal(count_results(RESULT_ALERT), 1);
    command.tenant_id = VIEW_LITERAL("acme");
    command.command.type = VIEW_LITERAL("summarize-tenant");
    outbox_reset(outbox);
    engine_apply(engine, &command, outbox);
    assert_int_equal(outbox_at(outbox, 0)->command_result.status, COMMAND_REJECTED);
    engine_close(engine);
    engine_config_destroy(config);
    config = good_config("engine: {rooms: [recommend]}");
    engine = engine_open(config, 0);
    outbox_reset(outbox);
    assert_int_equal(apply(engine, "a", "acme", start_ms), VERDICT_APPLIED);
    assert_int_equal(count_results(RESULT_ALERT), 0);
    engine_apply(engine, &command, outbox);
    assert_int_equal(count_results(RESULT_COMMAND_RESULT), 1);
    assert_true(count_results(RESULT_ANALYTICS) > 0);
    engine_close(engine);
    engine_config_destroy(config);
    assert_null(read_config("engine: {rooms: [anomaly, kitchen]}"));
    assert_string_equal(complaints.first->text,
                        "weir.yaml:1: engine.rooms: expected anomaly or recommend, not 'kitchen'");
}

static void test_unknown_tenants(void **state)
{
    struct engine_config *config = good_config("tenants: {unknown: reject, list: [acme, emca]}");
    struct engine *engine = engine_open(config, 0);

    (void)state;
    assert_int_equal(apply(engine, "a", "acme", start_ms), VERDICT_APPLIED);
    assert_int_equal(apply(engine, "a", "emca", start_ms), VERDICT_APPLIED);
    assert_int_equal(apply(engine, "a", "acm", start_ms), VERDICT_UNKNOWN_TENANT);
    engine_close(engine);
    engine_config_destroy(config);
}

/* A state saved under a larger budget is one of the same configuration, not so under another
 * lateness. */
static void test_digest_of_the_configuration(void **state)
{
    static const char *const others[] = {
        "engine: {lateness: 61s}",
        "engine: {lateness_by_topic: {orders: 61s}}",
        "engine: {deduplicate: {orders: 5m}}",
        "engine: {rooms: anomaly}",
        "tenants: {time_zone: Europe/Berlin}",
        "tenants: {list: [acme]}",
        "currency: {rates: {EUR: 1.1}}",
    };
    struct engine_config *preset = good_config("{}");
    struct engine_config *larger = good_config("engine: {memory.bytes_max: 1GiB}");

    (void)state;
    assert_true(engine_config_digest(preset) == engine_config_digest(larger));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct engine_config *other = good_config(others[i]);
        assert_true(engine_config_digest(preset) != engine_config_digest(other));
        engine_config_destroy(other);
    }
    assert_int_equal(engine_config_switch(larger, VIEW_LITERAL("large-order"), false), STATUS_OK);
    assert_int_equal(engine_config_switch(larger, VIEW_LITERAL("no-rule"), false), STATUS_ABSENT);
    assert_true(engine_config_digest(preset) != engine_config_digest(larger));
    engine_config_destroy(preset);
    engine_config_destroy(larger);
}

static void test_states_of_others_are_refused(void **state)
{
    struct engine_config *config = good_config("{}");
    struct engine *engine = engine_open(config, 3);
    struct byte_writer saved;
    struct byte_reader reader;
    struct failure failure;

    (void)state;
    byte_writer_init(&saved);
    engine_save(engine, &saved);
    reader = byte_reader_of(saved.data, saved.size);
    assert_null(engine_load(config, 4, &reader, &failure));
    assert_non_null(strstr(failure.text, "partition 3, not 4"));
    saved.data[4]++;
    reader = byte_reader_of(saved.data, saved.size);
    assert_null(engine_load(config, 3, &reader, &failure));
    assert_non_null(strstr(failure.text, "version 3"));
    saved.data[0]++;
    reader = byte_reader_of(saved.data, saved.size);
    assert_null(engine_load(config, 3, &reader, &failure));
    byte_writer_free(&saved);
    engine_close(engine);
    engine_config_destroy(config);
}

/* All partitions carry out a command; one answers. */
static void test_one_partition_answers(void **state)
{
    enum { PARTITIONS = 7 };
    struct engine_config *config = good_config("{}");
    struct event command = {.kind = EVENT_COMMAND, .id = VIEW_LITERAL("c")};
    uint32_t platform = 0, tenant = 0;

    (void)state;
    engine_config_set_partitions(config, PARTITIONS);
    command.event_time_ms = start_ms;
    for (int32_t partition = 0; partition < PARTITIONS; partition++) {
        struct engine *engine = engine_open(config, partition);
        outbox_reset(outbox);
        command.tenant_id = (struct view){NULL, 0};
        command.command.type = VIEW_LITERAL("disable-rule");
        command.command.subject = VIEW_LITERAL("large-order");
        engine_apply(engine, &command, outbox);
        assert_int_equal(count_results(RESULT_COMMAND_RESULT), partition == 0 ? 1 : 0);
        platform += count_results(RESULT_COMMAND_RESULT);
        assert_int_equal(count_results(RESULT_AUDIT), count_results(RESULT_COMMAND_RESULT));
        apply(engine, "o", "acme", start_ms);
        assert_int_equal(count_results(RESULT_ALERT), 0);
        outbox_reset(outbox);
        command.tenant_id = VIEW_LITERAL("acme");
        command.command.type = VIEW_LITERAL("resolve-anomaly");
        command.command.status = VIEW_LITERAL("resolved");
        engine_apply(engine, &command, outbox);
        tenant += count_results(RESULT_COMMAND_RESULT);
        assert_int_equal(count_results(RESULT_COMMAND_RESULT),
                         hash_partition(command.tenant_id, PARTITIONS) == partition ? 1 : 0);
        assert_int_equal(count_results(RESULT_ALERT), count_results(RESULT_COMMAND_RESULT));
        engine_close(engine);
    }
    assert_int_equal(platform, 1);
    assert_int_equal(tenant, 1);
    engine_config_destroy(config);
}

static struct event make_failure(const char *id, int64_t time_ms)
{
    struct event event = {.kind = EVENT_AUTH, .id = view_of(id), .tenant_id = VIEW_LITERAL("acme")};
    static const char *const fields[] = {"event_id", "tenant_id", "event_time", "user_id",
                                         "outcome"};

    event.event_time_ms = time_ms;
    event.auth.user_id = VIEW_LITERAL("ann");
    event.auth.outcome = AUTH_FAILURE;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        uint32_t index = 0;
        assert_non_null(shape_find(event_shape(EVENT_AUTH), view_of(fields[i]), &index));
        shape_set_present(event_shape(EVENT_AUTH), &event, index);
    }
    return event;
}

static uint32_t count_closed(void)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < outbox_count(outbox); i++)
        count += outbox_at(outbox, i)->kind == RESULT_ALERT &&
                         outbox_at(outbox, i)->alert.status == ALERT_CLOSED
                     ? 1
                     : 0;
    return count;
}

/* Nobody sends any more: the alert closes by the clock, but not because the program was
 * down for a night. */
static void test_silence_closes_and_a_night_off_does_not(void **state)
{
    struct engine_config *config = good_config("{}");
    struct engine *engine = engine_open(config, 0);
    int64_t now_ms = start_ms;

    (void)state;
    outbox_reset(outbox);
    engine_tick(engine, now_ms, outbox);
    for (int i = 0; i < 5; i++) {
        char id[8];
        snprintf(id, sizeof id, "f%d", i);
        struct event event = make_failure(id, start_ms + i);
        assert_int_equal(engine_apply(engine, &event, outbox), VERDICT_APPLIED);
    }
    assert_true(count_results(RESULT_ALERT) >= 2);
    outbox_reset(outbox);
    now_ms += 12 * HOUR_MS;
    engine_tick(engine, now_ms, outbox);
    assert_int_equal(count_closed(), 0);
    for (int minute = 0; minute < 8; minute++)
        for (int i = 0; i < 4; i++)
            engine_tick(engine, now_ms += 15000, outbox);
    assert_true(count_closed() >= 2);
    engine_close(engine);
    engine_config_destroy(config);
}

static struct engine *load_under(const char *settings, const char *rules,
                                 const struct byte_writer *saved, struct engine_config **config)
{
    struct byte_reader reader = byte_reader_of(saved->data, saved->size);
    struct tree *root = NULL, *document = NULL;
    struct failure failure;

    assert_int_equal(yaml_parse_text(view_of(settings), "weir.yaml", arena, &root, &complaints),
                     STATUS_OK);
    if (rules != NULL)
        assert_int_equal(
            yaml_parse_text(view_of(rules), "rules.yaml", arena, &document, &complaints),
            STATUS_OK);
    *config = engine_config_create(root, document, yaml_parse_text, &complaints);
    if (*config == NULL)
        fail_msg("%s", complaints.first->text);
    struct engine *engine = engine_load(*config, 0, &reader, &failure);
    if (engine == NULL)
        fail_msg("%s: %s", settings, failure.text);
    assert_int_equal(byte_reader_left(&reader), 0);
    return engine;
}

static bool has_opened(const char *rule)
{
    for (uint32_t i = 0; i < outbox_count(outbox); i++) {
        const struct result *result = outbox_at(outbox, i);
        if (result->kind == RESULT_ALERT && view_is_text(result->alert.type, rule))
            return true;
    }
    return false;
}

/* Four failed logins of five, three orders learnt, and a rule switched off by command. */
static void save_some(struct byte_writer *saved)
{
    struct engine_config *config = good_config("engine: {deduplicate: {orders: 5m}}");
    struct engine *engine = engine_open(config, 0);
    struct event command = {.kind = EVENT_COMMAND, .id = VIEW_LITERAL("c1")};
    char id[8];

    engine_tick(engine, start_ms, outbox);
    for (int i = 0; i < 4; i++) {
        snprintf(id, sizeof id, "f%d", i);
        struct event event = make_failure(id, start_ms + i);
        assert_int_equal(engine_apply(engine, &event, outbox), VERDICT_APPLIED);
    }
    for (int i = 0; i < 3; i++) {
        snprintf(id, sizeof id, "o%d", i);
        assert_int_equal(apply(engine, id, "acme", start_ms + i), VERDICT_APPLIED);
    }
    command.event_time_ms = start_ms;
    command.command.type = VIEW_LITERAL("disable-rule");
    command.command.subject = VIEW_LITERAL("failed-auth");
    event_mark(&command);
    assert_int_equal(engine_apply(engine, &command, outbox), VERDICT_APPLIED);
    byte_writer_init(saved);
    engine_save(engine, saved);
    engine_close(engine);
    engine_config_destroy(config);
    outbox_reset(outbox);
}

/* Whatever is changed in the configuration: what was learnt, and windows of rules that are the
 * same, go on. */
static void test_a_changed_configuration_takes_the_state_over(void **state)
{
    static const char *const others[] = {
        "engine: {lateness: 5m}",
        "engine: {lateness: 1s}",
        "engine: {deduplicate: {auth-events: 5m}}",
        "tenants: {time_zone: Europe/Berlin, list: {acme: {plan: enterprise, sharing: true}}}",
        "currency: {rates: {EUR: 1.1}}",
        "recommend: {push: true, model: popularity, history.products_max: 16}",
        "recommend: {products.max: 4096, dedicated.kept_orders_max: 0}",
    };
    struct engine_config *config;
    struct engine_stats stats;
    struct byte_writer saved;

    (void)state;
    save_some(&saved);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct engine *engine = load_under(others[i], NULL, &saved, &config);
        struct event event = make_failure("f4", start_ms + 4);
        engine_stats(engine, &stats);
        assert_int_equal(stats.orders_learnt, 3);
        outbox_reset(outbox);
        assert_int_equal(engine_apply(engine, &event, outbox), VERDICT_APPLIED);
        assert_true(has_opened("failed-auth-by-user"));
        assert_false(has_opened("failed-auth"));
        engine_close(engine);
        engine_config_destroy(config);
    }
    struct engine *engine = load_under("engine: {rooms: anomaly}", NULL, &saved, &config);
    engine_close(engine);
    engine_config_destroy(config);
    byte_writer_free(&saved);
}

/* The rules document itself was changed: it says what is on. */
static void test_changed_rules_take_the_state_over(void **state)
{
    static const char rules[] =
        "rules:\n"
        "  - {name: failed-auth, on: auth-events, severity: low, type: event_count,"
        " selection: {outcome: failure}, timespan: 5m, condition: {gte: 2}}\n";
    struct engine_config *config;
    struct engine_stats stats;
    struct byte_writer saved;

    (void)state;
    save_some(&saved);
    struct engine *engine = load_under("{}", rules, &saved, &config);
    engine_stats(engine, &stats);
    assert_int_equal(stats.orders_learnt, 3);
    assert_int_equal(stats.keys, 0);
    for (int i = 4; i < 6; i++) {
        struct event event = make_failure(i == 4 ? "f4" : "f5", start_ms + i);
        outbox_reset(outbox);
        assert_int_equal(engine_apply(engine, &event, outbox), VERDICT_APPLIED);
        assert_int_equal(has_opened("failed-auth"), i == 5);
    }
    engine_close(engine);
    engine_config_destroy(config);
    byte_writer_free(&saved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_error_has_its_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lateness_by_topic, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_future_is_measured_from_the_last_tick, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_rooms_that_are_left_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unknown_tenants, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_digest_of_the_configuration, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_states_of_others_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_changed_configuration_takes_the_state_over, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_changed_rules_take_the_state_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_partition_answers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_silence_closes_and_a_night_off_does_not, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
