/*
 * The laws of engine.h, on random streams under the default rules: all topics but outcomes, few
 * tenants and users so that episodes open, close and join, many ties, events late inside
 * the lateness and beyond it, events twice, ticks and commands in between.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "cli/yaml.h"
#include "codec/codec.h"
#include "engine/engine.h"
#include "support/event_mark.h"

enum { SEEDS = 12, EVENTS = 6000, LATENESS_MS = 60000, TEXT_MAX = 64 };

static const int64_t start_ms = INT64_C(1700000000000);

/* ---- the heap, watched ---- */

static uint64_t heap_calls;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

void *__wrap_malloc(size_t size)
{
    heap_calls++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    heap_calls++;
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    heap_calls++;
    return __real_realloc(memory, size);
}

/* ---- a random stream: event `number` of `seed` is always the same ---- */

struct made {
    struct event event;
    char id[TEXT_MAX], tenant[TEXT_MAX], who[TEXT_MAX], ip[TEXT_MAX];
};

static void make_command(struct made *made, uint64_t random)
{
    static const char *const types[] = {"enable-rule", "disable-rule", "no-such-command"};
    static const char *const rules[] = {"rapid-orders", "failed-auth", "high-api-rate", "nothing"};

    made->event.kind = EVENT_COMMAND;
    made->event.tenant_id = (struct view){NULL, 0};
    made->event.command.type = view_of(types[random % 3]);
    made->event.command.subject = view_of(rules[(random >> 8) % 4]);
}

static void make_of_recommendations(struct made *made, uint64_t random)
{
    struct event *event = &made->event;

    if (random % 3 == 0) {
        event->kind = EVENT_REQUEST;
        event->request.customer_id = view_of(made->who);
        event->request.count = 10;
        return;
    }
    event->kind = EVENT_INTERACTION;
    event->interaction.customer_id = view_of(made->who);
    event->interaction.product_id = view_of(made->ip);
    event->interaction.type = random % 2 == 0 ? INTERACTION_PURCHASE : INTERACTION_VIEW;
}

/* `keys`: how many tenants; the pace is such that windows hold from none to hundreds. */
static void make_event(uint64_t seed, uint64_t number, uint32_t keys, bool has_commands,
                       struct made *made)
{
    uint64_t twin = hash_mix(seed + 1, number) % 50 == 0 && number > 0 ? number - 1 : number;
    uint64_t random = hash_mix(seed, twin);
    uint64_t pace = 1 + (twin / 500) % 5 * 700;
    struct event *event = &made->event;

    *event = (struct event){0};
    snprintf(made->id, sizeof made->id, "e%llu", (unsigned long long)twin);
    snprintf(made->tenant, sizeof made->tenant, "tenant-%llu",
             (unsigned long long)(random >> 8) % keys);
    snprintf(made->who, sizeof made->who, "who-%llu", (unsigned long long)(random >> 24) % 3);
    snprintf(made->ip, sizeof made->ip, "192.0.2.%llu", (unsigned long long)(random >> 32) % 4);
    event->id = view_of(made->id);
    event->tenant_id = view_of(made->tenant);
    event->event_time_ms = start_ms + (int64_t)(twin * pace / 1000 * 1000) -
                           (int64_t)((random >> 40) % (LATENESS_MS + LATENESS_MS / 50));
    if (has_commands && random % 400 == 0) {
        make_command(made, random >> 16);
    } else if (random % 13 == 0) {
        make_of_recommendations(made, random >> 16);
    } else if (random % 3 == 0) {
        event->kind = EVENT_API_CALL;
        event->api_call.client_id = view_of(made->who);
        event->api_call.method = VIEW_LITERAL("GET");
        event->api_call.path = VIEW_LITERAL("/");
        event->api_call.status = 200;
    } else if (random % 3 == 1) {
        event->kind = EVENT_AUTH;
        if (random % 5 != 0)
            event->auth.user_id = view_of(made->who);
        event->auth.ip = view_of(made->ip);
        event->auth.outcome = random % 7 == 0 ? AUTH_SUCCESS : AUTH_FAILURE;
    } else {
        event->kind = EVENT_ORDER;
        event->order.order_id = event->id;
        event->order.customer_id = view_of(made->who);
        event->order.amount = random % 11 == 0 ? 20000 : 15;
        event->order.currency = VIEW_LITERAL("USD");
    }
    event_mark(event);
}

/* ---- a run ---- */

static struct engine_config *make_config(const char *text)
{
    struct arena *arena = arena_create(65536);
    struct complaints complaints;
    struct tree *root = NULL;
    struct engine_config *config;

    complaints_init(&complaints, arena);
    if (text != NULL)
        assert_int_equal(yaml_parse_text(view_of(text), "test", arena, &root, &complaints),
                         STATUS_OK);
    config = engine_config_create(root, NULL, yaml_parse_text, &complaints);
    if (config == NULL)
        fail_msg("%s", complaints.first->text);
    arena_destroy(arena);
    return config;
}

static struct engine_config *config_with_ids(void)
{
    return make_config("engine: {deduplicate: {orders: 5m, auth-events: 1m}}");
}

/* Appends all results as text and empties the outbox. */
static void drain(struct outbox *outbox, struct byte_writer *text)
{
    for (uint32_t i = 0; i < outbox_count(outbox); i++) {
        const struct result *result = outbox_at(outbox, i);
        codec_json(result_shape(result->kind), result, text);
        byte_put_u8(text, '\n');
    }
    outbox_reset(outbox);
}

static struct engine *save_and_load(const struct engine_config *config, struct engine *engine)
{
    struct byte_writer saved, resaved;
    struct byte_reader reader;
    struct failure failure = {0};
    struct engine *again;

    byte_writer_init(&saved);
    byte_writer_init(&resaved);
    engine_save(engine, &saved);
    reader = byte_reader_of(saved.data, saved.size);
    again = engine_load(config, 0, &reader, &failure);
    if (again == NULL)
        fail_msg("%s", failure.text);
    assert_int_equal(byte_reader_left(&reader), 0);
    assert_true(engine_digest(again) == engine_digest(engine));
    engine_save(again, &resaved);
    assert_int_equal(resaved.size, saved.size);
    assert_memory_equal(resaved.data, saved.data, saved.size);
    byte_writer_free(&saved);
    byte_writer_free(&resaved);
    engine_close(engine);
    return again;
}

struct plan {
    uint64_t batch;      /* events between two drains */
    uint64_t save_every; /* 0: never */
    bool is_expecting;   /* the engine is told what comes next */
};

/* Events that the engine was told of, more than it looks at. */
struct told {
    struct made made[ENGINE_EXPECT_MAX + 3];
    struct event events[ENGINE_EXPECT_MAX + 3];
    uint64_t first;
    uint32_t count;
};

static void expect_events(struct engine *engine, uint64_t seed, uint64_t number, struct told *told)
{
    enum { AHEAD = ENGINE_EXPECT_MAX + 3 };

    told->first = number;
    told->count = (uint32_t)(hash_mix(seed, number) % (AHEAD + 1));
    for (uint64_t i = 0; i < AHEAD; i++) {
        make_event(seed, number + i, 4, true, &told->made[i]);
        told->events[i] = told->made[i].event;
    }
    engine_expect(engine, told->events, told->count);
}

/* From where it was told of, but for one of fifty, which comes from elsewhere. */
static const struct event *find_told(const struct told *told, uint64_t number)
{
    uint64_t at = number - told->first;

    return at < told->count && number % 50 != 7 ? &told->events[at] : NULL;
}

/* Runs a stream to its end; *text gets all results. Returns the digest before the end. */
static uint64_t run(const struct engine_config *config, uint64_t seed, struct plan plan,
                    struct byte_writer *text)
{
    struct engine *engine = engine_open(config, 0);
    struct outbox *outbox = outbox_create();
    static struct told told;
    struct made made;
    uint64_t digest;

    told = (struct told){0};
    byte_writer_init(text);
    for (uint64_t i = 0; i < EVENTS; i++) {
        if (i % 300 == 0)
            engine_tick(engine, start_ms + (int64_t)i * 1500, outbox);
        if (plan.is_expecting && i % 20 == 0)
            expect_events(engine, seed, i, &told);
        make_event(seed, i, 4, true, &made);
        const struct event *event = find_told(&told, i);
        engine_apply(engine, event != NULL ? event : &made.event, outbox);
        if ((i + 1) % plan.batch == 0)
            drain(outbox, text);
        if (plan.save_every > 0 && (i + 1) % plan.save_every == 0)
            engine = save_and_load(config, engine);
    }
    digest = engine_digest(engine);
    engine_finish(engine, outbox);
    drain(outbox, text);
    engine_close(engine);
    outbox_destroy(outbox);
    return digest;
}

static void assert_same_run(const struct engine_config *config, uint64_t seed, struct plan a,
                            struct plan b)
{
    struct byte_writer text_a, text_b;
    uint64_t digest_a = run(config, seed, a, &text_a);
    uint64_t digest_b = run(config, seed, b, &text_b);

    assert_true(text_a.size > 1000);
    assert_int_equal(text_a.size, text_b.size);
    assert_memory_equal(text_a.data, text_b.data, text_a.size);
    assert_true(digest_a == digest_b);
    byte_writer_free(&text_a);
    byte_writer_free(&text_b);
}

/* ---- the laws ---- */

static void test_batches_do_not_matter(void **state)
{
    struct engine_config *config = config_with_ids();

    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++)
        assert_same_run(config, seed, (struct plan){.batch = 1}, (struct plan){.batch = 997});
    engine_config_destroy(config);
}

static void test_hints_do_not_matter(void **state)
{
    struct engine_config *config = config_with_ids();

    (void)state;
    for (uint64_t seed = 50; seed < 50 + SEEDS; seed++)
        assert_same_run(config, seed, (struct plan){.batch = 20},
                        (struct plan){.batch = 20, .is_expecting = true});
    engine_config_destroy(config);
}

/* Another process draws another secret; what it says and saves is the same. */
static void test_places_in_tables_do_not_matter(void **state)
{
    (void)state;
    for (uint64_t seed = 70; seed < 70 + SEEDS; seed++) {
        struct byte_writer texts[2];
        uint64_t digests[2];
        for (uint64_t i = 0; i < 2; i++) {
            hash_set_secret(hash_mix(seed, i));
            struct engine_config *config =
                make_config("engine: {deduplicate: {orders: 5m, auth-events: 1m}}\n"
                            "tenants: {list: [tenant-0, tenant-1, tenant-2]}");
            digests[i] =
                run(config, seed, (struct plan){.batch = 20, .save_every = 700}, &texts[i]);
            engine_config_destroy(config);
        }
        assert_true(digests[0] == digests[1]);
        assert_int_equal(texts[0].size, texts[1].size);
        assert_memory_equal(texts[0].data, texts[1].data, texts[0].size);
        byte_writer_free(&texts[0]);
        byte_writer_free(&texts[1]);
    }
    hash_set_secret(0);
}

static void test_a_loaded_state_goes_on_as_the_saved_one(void **state)
{
    struct engine_config *config = config_with_ids();

    (void)state;
    for (uint64_t seed = 100; seed < 100 + SEEDS; seed++)
        assert_same_run(config, seed, (struct plan){.batch = 50},
                        (struct plan){.batch = 50, .save_every = 61 + seed % 7 * 100});
    engine_config_destroy(config);
}

static void test_digests_tell_states_apart(void **state)
{
    struct engine_config *config = config_with_ids();
    struct engine *engine = engine_open(config, 0);
    struct outbox *outbox = outbox_create();
    uint64_t last = engine_digest(engine);
    struct made made;

    (void)state;
    for (uint64_t i = 0; i < 300; i++) {
        make_event(5, i, 4, false, &made);
        engine_apply(engine, &made.event, outbox);
        outbox_reset(outbox);
        assert_true(engine_digest(engine) != last);
        last = engine_digest(engine);
        assert_true(engine_digest(engine) == last);
    }
    engine_close(engine);
    outbox_destroy(outbox);
    engine_config_destroy(config);
}

static void give_command(struct engine *engine, struct outbox *outbox, const char *type,
                         const char *subject, const char *rules)
{
    struct event command = {.kind = EVENT_COMMAND, .id = VIEW_LITERAL("c1")};

    command.event_time_ms = start_ms;
    command.command.type = view_of(type);
    command.command.subject = view_of(subject);
    command.command.rules = view_of(rules);
    event_mark(&command);
    outbox_reset(outbox);
    assert_int_equal(engine_apply(engine, &command, outbox), VERDICT_APPLIED);
    assert_int_equal(outbox_at(outbox, 0)->kind, RESULT_COMMAND_RESULT);
    assert_int_equal(outbox_at(outbox, 0)->command_result.status, COMMAND_ACCEPTED);
    outbox_reset(outbox);
}

/* Rules by command are part of the state: a loaded engine has them, and goes on alike. */
static void test_rules_by_command_survive(void **state)
{
    static const char rules[] = "rules:\n"
                                "  - {name: every-order, on: orders, severity: low}\n"
                                "  - {name: every-call, on: api-calls, severity: low}\n";
    struct engine_config *config = make_config(NULL);
    struct engine *engine = engine_open(config, 0);
    struct outbox *outbox = outbox_create();
    uint32_t orders = 0, alerts = 0, others = 0;
    struct made made;

    (void)state;
    give_command(engine, outbox, "update-rules", NULL, rules);
    give_command(engine, outbox, "disable-rule", "every-call", NULL);
    engine = save_and_load(config, engine);
    for (uint64_t i = 0; i < 200; i++) {
        make_event(9, i, 1, false, &made);
        if (engine_apply(engine, &made.event, outbox) == VERDICT_APPLIED)
            orders += made.event.kind == EVENT_ORDER ? 1 : 0;
    }
    for (uint32_t i = 0; i < outbox_count(outbox); i++) {
        const struct result *result = outbox_at(outbox, i);
        if (result->kind != RESULT_ALERT)
            continue;
        if (view_is_text(result->alert.type, "every-order"))
            alerts++;
        else
            others++;
    }
    assert_true(orders > 20);
    assert_int_equal(alerts, orders);
    assert_int_equal(others, 0);
    engine_close(engine);
    outbox_destroy(outbox);
    engine_config_destroy(config);
}

static void test_memory_is_bounded(void **state)
{
    enum { BUDGET = 4 << 20, KEYS = 200000 };
    struct engine_config *config = make_config("engine: {memory.bytes_max: 4MiB}");
    struct engine *engine = engine_open(config, 0);
    struct outbox *outbox = outbox_create();
    struct engine_stats stats;
    struct made made;

    (void)state;
    for (uint64_t i = 0; i < 150000; i++) {
        make_event(3, i, KEYS, false, &made);
        made.event.event_time_ms = start_ms + (int64_t)i / 100; /* no window ends */
        engine_apply(engine, &made.event, outbox);
        if (i % 1000 == 0) {
            outbox_reset(outbox);
            engine_stats(engine, &stats);
            assert_in_range(stats.state_bytes, 1, BUDGET + BUDGET / 4);
        }
    }
    engine_stats(engine, &stats);
    assert_true(stats.keys_evicted > 0);
    assert_true(stats.keys > 1000);
    engine_close(engine);
    outbox_destroy(outbox);
    engine_config_destroy(config);
}

static void test_no_heap_call_for_an_event_once_warm(void **state)
{
    enum { WARM = 60000, MEASURED = 20000 };
    struct engine_config *config = config_with_ids();
    struct engine *engine = engine_open(config, 0);
    struct outbox *outbox = outbox_create();
    uint64_t results = 0, before = 0;
    struct made made;

    (void)state;
    for (uint64_t i = 0; i < WARM + MEASURED; i++) {
        if (i == WARM)
            before = heap_calls;
        make_event(1, i % 5000 + i / 5000 * 5000, 4, false, &made);
        engine_apply(engine, &made.event, outbox);
        if (i % 100 == 99) {
            results += i >= WARM ? outbox_count(outbox) : 0;
            outbox_reset(outbox);
        }
    }
    assert_true(results > 100);
    assert_int_equal(heap_calls - before, 0);
    engine_close(engine);
    outbox_destroy(outbox);
    engine_config_destroy(config);
}

/* No input can make loading crash, or accept what is cut off. */
static void test_damaged_states_are_refused(void **state)
{
    struct engine_config *config = config_with_ids();
    struct engine *engine = engine_open(config, 0);
    struct outbox *outbox = outbox_create();
    struct byte_writer saved;
    struct failure failure;
    struct made made;

    (void)state;
    for (uint64_t i = 0; i < 400; i++) {
        make_event(2, i, 2, true, &made);
        engine_apply(engine, &made.event, outbox);
    }
    byte_writer_init(&saved);
    engine_save(engine, &saved);
    for (size_t size = 0; size < saved.size; size += 1 + size / 50) {
        struct byte_reader reader = byte_reader_of(saved.data, size);
        failure.text[0] = '\0';
        assert_null(engine_load(config, 0, &reader, &failure));
        assert_true(failure.text[0] != '\0');
    }
    for (size_t i = 0; i < saved.size; i += 7) {
        struct byte_reader reader = byte_reader_of(saved.data, saved.size);
        struct engine *loaded;
        saved.data[i] = (char)(saved.data[i] ^ (1 << (i % 8)));
        loaded = engine_load(config, 0, &reader, &failure);
        engine_close(loaded);
        saved.data[i] = (char)(saved.data[i] ^ (1 << (i % 8)));
    }
    byte_writer_free(&saved);
    engine_close(engine);
    outbox_destroy(outbox);
    engine_config_destroy(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batches_do_not_matter),
        cmocka_unit_test(test_hints_do_not_matter),
        cmocka_unit_test(test_a_loaded_state_goes_on_as_the_saved_one),
        cmocka_unit_test(test_places_in_tables_do_not_matter),
        cmocka_unit_test(test_digests_tell_states_apart),
        cmocka_unit_test(test_rules_by_command_survive),
        cmocka_unit_test(test_memory_is_bounded),
        cmocka_unit_test(test_no_heap_call_for_an_event_once_warm),
        cmocka_unit_test(test_damaged_states_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
