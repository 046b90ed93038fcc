/* world_test.c - the synthetic world: the same for the same seed, in order, well formed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "cli/world.h"

enum { ALL_INPUTS = 0x2F, EVENT_COUNT = 20000 }; /* without outcomes */

struct tally {
    uint64_t digest;
    uint64_t kinds[EVENT_KIND_COUNT];
    int64_t last_ms;
    uint32_t night_count;
    struct byte_writer labels;
    uint32_t label_count;
};

static void on_label(void *context, const struct world_label *label)
{
    struct tally *tally = context;

    assert_true(label->start_ms <= label->end_ms);
    assert_true(label->event_count > 0);
    assert_non_null(label->rules[0]);
    world_label_json(label, &tally->labels);
    byte_put_u8(&tally->labels, '\n');
    tally->label_count++;
}

static void check_required(const struct event *event)
{
    const struct shape *shape = event_shape(event->kind);

    for (uint32_t i = 0; i < shape->field_count; i++) {
        bool is_needed =
            (shape->fields[i].flags & (FIELD_REQUIRED | FIELD_NULLABLE)) == FIELD_REQUIRED;
        if (is_needed && !event_has(event, i))
            fail_msg("%s: %s is missing", shape->name, shape->fields[i].name);
    }
}

static void live(const struct world_options *options, uint32_t count, struct tally *tally)
{
    struct world *world;
    struct event event;

    memset(tally, 0, sizeof *tally);
    byte_writer_init(&tally->labels);
    world = world_create(options, on_label, tally);
    tally->last_ms = options->start_ms;
    for (uint32_t i = 0; i < count; i++) {
        world_next(world, &event);
        assert_true(event.event_time_ms >= tally->last_ms);
        check_required(&event);
        tally->last_ms = event.event_time_ms;
        tally->kinds[event.kind]++;
        tally->digest = hash_mix(tally->digest, hash_view(event.id, 1));
        tally->digest = hash_mix(tally->digest, hash_view(event.tenant_id, 2));
        tally->digest = hash_mix(tally->digest, (uint64_t)event.event_time_ms);
        tally->digest = hash_mix(tally->digest, event.present);
        if (event.kind == EVENT_ORDER)
            tally->digest = hash_mix(tally->digest, (uint64_t)(event.order.amount * 100));
        if (event.event_time_ms / 3600000 % 24 >= 2 && event.event_time_ms / 3600000 % 24 < 6)
            tally->night_count++;
    }
    world_finish(world);
    world_destroy(world);
}

static struct world_options preset(void)
{
    return (struct world_options){
        .seed = 7,
        .tenant_count = 50,
        .rate = 25,
        .start_ms = INT64_C(1767600000000),
        .attack_interval_ms = 10000,
        .topics = ALL_INPUTS,
    };
}

static void test_same_seed_same_world(void **state)
{
    struct world_options options = preset();
    struct tally a, b;

    (void)state;
    live(&options, EVENT_COUNT, &a);
    live(&options, EVENT_COUNT, &b);
    assert_true(a.digest == b.digest);
    assert_int_equal(a.labels.size, b.labels.size);
    assert_memory_equal(a.labels.data, b.labels.data, a.labels.size);
    assert_true(a.label_count > 40);
    byte_writer_free(&b.labels);
    options.seed = 8;
    live(&options, EVENT_COUNT, &b);
    assert_true(a.digest != b.digest);
    byte_writer_free(&a.labels);
    byte_writer_free(&b.labels);
}

static void test_every_attack_appears(void **state)
{
    static const char *const names[] = {"large-order",     "brute-force",         "api-flood",
                                        "card-testing",    "credential-stuffing", "rapid-orders",
                                        "account-takeover"};
    struct world_options options = preset();
    struct tally tally;

    (void)state;
    live(&options, EVENT_COUNT, &tally);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_true(view_contains(byte_writer_view(&tally.labels), view_of(names[i])));
    for (int kind = 0; kind < EVENT_KIND_COUNT; kind++)
        assert_int_equal(tally.kinds[kind] > 0, kind != EVENT_OUTCOME && kind != EVENT_COMMAND);
    byte_writer_free(&tally.labels);
}

static void test_topics_are_obeyed(void **state)
{
    struct world_options options = preset();
    struct tally tally;

    (void)state;
    options.topics = 1u << TOPIC_AUTH_EVENTS;
    live(&options, EVENT_COUNT, &tally);
    assert_int_equal(tally.kinds[EVENT_AUTH], EVENT_COUNT);
    byte_writer_free(&tally.labels);
    options.topics = 1u << TOPIC_INTERACTIONS; /* which nobody attacks */
    live(&options, EVENT_COUNT, &tally);
    assert_int_equal(tally.kinds[EVENT_INTERACTION], EVENT_COUNT);
    assert_int_equal(tally.label_count, 0);
    byte_writer_free(&tally.labels);
}

static void test_nights(void **state)
{
    struct world_options options = preset();
    struct tally tally;

    (void)state;
    options.rate = 0.05; /* 20,000 events are some five days */
    options.has_quiet_nights = true;
    options.attack_interval_ms = 0;
    live(&options, EVENT_COUNT, &tally);
    assert_true(tally.last_ms - options.start_ms > INT64_C(4) * 86400000);
    assert_int_equal(tally.night_count, 0);
    byte_writer_free(&tally.labels);
    options.attack_interval_ms = 3600000;
    live(&options, EVENT_COUNT, &tally);
    assert_true(tally.night_count > 0);
    assert_true(tally.night_count < 100);
    assert_true(view_contains(byte_writer_view(&tally.labels), VIEW_LITERAL("night-activity")));
    byte_writer_free(&tally.labels);
}

static void test_one_tenant(void **state)
{
    struct world_options options = preset();
    struct tally tally;

    (void)state;
    options.tenant_count = 1;
    options.rate = 1e6;
    live(&options, EVENT_COUNT, &tally);
    byte_writer_free(&tally.labels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_seed_same_world), cmocka_unit_test(test_every_attack_appears),
        cmocka_unit_test(test_topics_are_obeyed),    cmocka_unit_test(test_nights),
        cmocka_unit_test(test_one_tenant),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
