/*
 * The real writer, with its thread and a forked child, and the real reader, over a log
 * of one partition in memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/hash.h"
#include "pipeline/snapshot.h"
#include "pipeline/snapshot_reader.h"
#include "pipeline/snapshot_writer.h"
#include "unit/pipeline/rule_tree.h"

enum { LOG_MAX = 4096, DEADLINE_MS = 20000, CHUNK_BYTES = 4096, EVENTS = 500 };

/* ---- a log --------------------------------------------------------------------------- */

struct stored {
    char *key, *value;
    uint32_t key_size, value_size;
    bool has_value;
};

static struct memory_log {
    pthread_mutex_t lock;
    struct stored records[LOG_MAX];
    uint32_t count;
    uint32_t full_every; /* each nth produce finds the queue full */
    uint32_t call_count;
} memory = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct transport_reader {
    uint32_t next;
};

static char *keep(struct view view)
{
    char *copy = malloc(view.size + 1);

    assert_non_null(copy);
    if (view.size > 0)
        memcpy(copy, view.data, view.size);
    return copy;
}

static enum status log_produce(void *context, const struct outgoing *outgoing,
                               struct failure *failure)
{
    enum status status = STATUS_FULL;

    (void)context;
    (void)failure;
    pthread_mutex_lock(&memory.lock);
    if (memory.full_every == 0 || ++memory.call_count % memory.full_every != 0) {
        memory.records[memory.count++] =
            (struct stored){keep(outgoing->key), keep(outgoing->value), outgoing->key.size,
                            outgoing->value.size, !view_is_absent(outgoing->value)};
        status = STATUS_OK;
    }
    pthread_mutex_unlock(&memory.lock);
    return status;
}

static enum status log_poll(void *context, struct record *records, uint32_t max, int64_t timeout_ms,
                            uint32_t *count, struct failure *failure)
{
    (void)context;
    (void)records;
    (void)max;
    (void)timeout_ms;
    (void)failure;
    *count = 0;
    return STATUS_OK;
}

static enum status log_commit_start(void *context, const struct position *positions, uint32_t count,
                                    struct failure *failure)
{
    (void)context;
    (void)positions;
    (void)count;
    (void)failure;
    return STATUS_OK;
}

static enum status log_commit_wait(void *context, int64_t timeout_ms, struct failure *failure)
{
    (void)context;
    (void)timeout_ms;
    (void)failure;
    return STATUS_OK;
}

static enum status log_bounds(void *context, enum topic topic, int32_t partition, int64_t *first,
                              int64_t *next, struct failure *failure)
{
    (void)context;
    (void)partition;
    (void)failure;
    pthread_mutex_lock(&memory.lock);
    *first = 0;
    *next = topic == TOPIC_SNAPSHOTS ? memory.count : 7;
    pthread_mutex_unlock(&memory.lock);
    return STATUS_OK;
}

static enum status log_reader_open(void *context, enum topic topic, int32_t partition, int64_t from,
                                   struct transport_reader **reader, struct failure *failure)
{
    (void)context;
    (void)topic;
    (void)partition;
    (void)failure;
    *reader = calloc(1, sizeof(**reader));
    assert_non_null(*reader);
    (*reader)->next = (uint32_t)from;
    return STATUS_OK;
}

static enum status log_reader_poll(struct transport_reader *reader, struct record *records,
                                   uint32_t max, int64_t timeout_ms, uint32_t *count,
                                   struct failure *failure)
{
    (void)timeout_ms;
    (void)failure;
    for (*count = 0; *count < max && reader->next < memory.count; reader->next++) {
        const struct stored *stored = &memory.records[reader->next];

        records[(*count)++] = (struct record){
            .topic = TOPIC_SNAPSHOTS,
            .offset = reader->next,
            .key = {stored->key, stored->key_size},
            .value = {stored->has_value ? stored->value : NULL, stored->value_size}};
    }
    return *count == 0 ? STATUS_END : STATUS_OK;
}

static void log_reader_close(struct transport_reader *reader)
{
    free(reader);
}

static const struct transport_door log_door = {.produce = log_produce,
                                               .poll = log_poll,
                                               .commit_start = log_commit_start,
                                               .commit_wait = log_commit_wait,
                                               .bounds = log_bounds,
                                               .reader_open = log_reader_open,
                                               .reader_poll = log_reader_poll,
                                               .reader_close = log_reader_close};
static const struct transport log_transport = {&log_door, NULL};

/* ---- machines --------------------------------------------------------------------------- */

static struct engine_config *config;
static struct outbox *outbox;

static struct engine *make_engine(uint32_t count)
{
    struct engine *engine = engine_open(config, 0);

    engine_tick(engine, 1700000000000, outbox);
    for (uint32_t i = 0; i < count; i++) {
        char id[24], user[24];
        struct event event = {.kind = EVENT_AUTH, .present = UINT64_MAX};

        snprintf(id, sizeof(id), "e%u", i);
        snprintf(user, sizeof(user), "u%u", i % 97);
        event.id = view_of(id);
        event.tenant_id = VIEW_LITERAL("acme");
        event.event_time_ms = 1700000000000 + i;
        event.present = 0;
        event.auth.user_id = view_of(user);
        event.auth.outcome = AUTH_FAILURE;
        event.auth.ip = VIEW_LITERAL("10.0.0.1");
        for (uint32_t field = 0; field < event_shape(EVENT_AUTH)->field_count; field++) {
            const char *name = event_shape(EVENT_AUTH)->fields[field].name;

            if (strcmp(name, "reason") != 0 && strcmp(name, "country") != 0 &&
                strcmp(name, "user_agent") != 0 && strcmp(name, "method") != 0)
                event.present |= UINT64_C(1) << field;
        }
        engine_apply(engine, &event, outbox);
        outbox_reset(outbox);
    }
    return engine;
}

static int begin(void **state)
{
    struct arena *arena = arena_create(4096);
    struct complaints complaints;
    struct tree *rules;
    struct tree *root = rule_tree_begin(arena, &rules);

    (void)state;
    complaints_init(&complaints, arena);
    rule_tree_count(arena, rules, "failures", "auth-events", "user_id", "3", "5m");
    config = engine_config_create(NULL, root, NULL, &complaints);
    assert_non_null(config);
    arena_destroy(arena);
    outbox = outbox_create();
    memory.count = 0;
    memory.full_every = 0;
    return 0;
}

static int end(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < memory.count; i++) {
        free(memory.records[i].key);
        free(memory.records[i].value);
    }
    outbox_destroy(outbox);
    engine_config_destroy(config);
    return 0;
}

static struct snapshot_writer *open_writer(bool is_threaded)
{
    return snapshot_writer_create(&(struct snapshot_writer_setup){.transport = log_transport,
                                                                  .clock = clock_system(),
                                                                  .chunk_bytes = CHUNK_BYTES,
                                                                  .is_threaded = is_threaded});
}

static void await_outcome(struct snapshot_writer *writer, struct snapshot_outcome *outcome)
{
    int64_t deadline_ms = clock_monotonic_ms(clock_system()) + DEADLINE_MS;

    while (!snapshot_writer_outcome(writer, outcome)) {
        snapshot_writer_step(writer);
        sched_yield();
        assert_true(clock_monotonic_ms(clock_system()) < deadline_ms);
    }
}

static uint64_t write_snapshot(bool is_threaded, uint32_t slot, uint64_t sequence,
                               uint32_t event_count, uint32_t stale_chunk_count)
{
    struct snapshot_writer *writer = open_writer(is_threaded);
    struct snapshot_outcome outcome;
    struct snapshot_manifest manifest = {
        .generation = 1000 + sequence,
        .slot = slot,
        .epoch = 1,
        .sequence = sequence,
        .positions = {10, 20, POSITION_NONE, POSITION_NONE, POSITION_NONE, POSITION_NONE, 5},
        .config_digest = engine_config_digest(config)};
    struct engine *engine = make_engine(event_count);
    uint64_t digest = engine_digest(engine);
    struct failure failure;

    assert_int_equal(
        snapshot_writer_take(writer, 0, engine, &manifest, stale_chunk_count, &failure), STATUS_OK);
    assert_false(snapshot_writer_is_idle(writer));
    engine_close(engine); /* the image is its own */
    snapshot_writer_settle(writer, true);
    await_outcome(writer, &outcome);
    assert_true(outcome.is_written);
    assert_int_equal(outcome.manifest.engine_digest, digest);
    assert_int_equal(outcome.journal_next, 7);
    snapshot_writer_destroy(writer);
    return digest;
}

/* The digest of what the reader finds; 0: nothing. */
static uint64_t read_snapshot(uint64_t *sequence, uint32_t *refused_count)
{
    struct snapshot_reader *reader = snapshot_reader_create(&log_transport, 0);
    enum status status = STATUS_OK;
    uint64_t digest = 0;
    struct failure failure;

    while (!snapshot_reader_is_found(reader) && status != STATUS_ABSENT) {
        status = snapshot_reader_step(reader, 0, &failure);
        assert_true(status != STATUS_BROKEN || failure.remedy == REMEDY_SET_ASIDE);
    }
    *refused_count = snapshot_reader_refused_count(reader);
    if (snapshot_reader_is_found(reader)) {
        struct byte_reader image = snapshot_reader_image(reader);
        struct engine *engine = engine_load(config, 0, &image, &failure);

        assert_non_null(engine);
        *sequence = snapshot_reader_manifest(reader)->sequence;
        assert_int_equal(snapshot_reader_manifest(reader)->positions[1], 20);
        digest = engine_digest(engine);
        engine_close(engine);
    }
    snapshot_reader_destroy(reader);
    return digest;
}

static void check_newest_is_found(bool is_threaded)
{
    uint64_t sequence = 0;
    uint32_t refused_count;

    write_snapshot(is_threaded, 0, 5, EVENTS, 0);
    uint64_t digest = write_snapshot(is_threaded, 1, 9, 2 * EVENTS, 0);
    assert_true(memory.count > 6);
    assert_int_equal(read_snapshot(&sequence, &refused_count), digest);
    assert_int_equal(sequence, 9);
    assert_int_equal(refused_count, 0);
}

static void test_a_forked_image_comes_back(void **state)
{
    (void)state;
    check_newest_is_found(true);
}

static void test_an_image_saved_in_process_comes_back(void **state)
{
    (void)state;
    check_newest_is_found(false);
}

static void test_a_full_queue_only_delays(void **state)
{
    (void)state;
    memory.full_every = 3;
    check_newest_is_found(true);
}

static void test_a_corrupt_generation_is_passed_over(void **state)
{
    uint64_t sequence = 0, older, found;
    uint32_t refused_count, first;

    (void)state;
    older = write_snapshot(false, 0, 5, EVENTS, 0);
    first = memory.count;
    write_snapshot(false, 1, 9, 2 * EVENTS, 0);
    for (uint32_t i = first; i < memory.count; i++) {
        struct stored *stored = &memory.records[i];

        stored->value[stored->value_size / 2] ^= 1;
        found = read_snapshot(&sequence, &refused_count);
        stored->value[stored->value_size / 2] ^= 1;
        assert_int_equal(found, older);
        assert_int_equal(sequence, 5);
        assert_int_equal(refused_count, 1);
    }
}

static void test_a_torn_generation_is_passed_over(void **state)
{
    uint64_t sequence = 0, older;
    uint32_t refused_count, first, count;

    (void)state;
    older = write_snapshot(false, 0, 5, EVENTS, 0);
    first = memory.count;
    write_snapshot(false, 1, 9, 2 * EVENTS, 0);
    count = memory.count;
    for (memory.count = first; memory.count < count; memory.count++)
        assert_int_equal(read_snapshot(&sequence, &refused_count), older);
    assert_int_not_equal(read_snapshot(&sequence, &refused_count), older);
}

static void test_no_snapshot_is_no_fault(void **state)
{
    uint64_t sequence = 0;
    uint32_t refused_count;

    (void)state;
    assert_int_equal(read_snapshot(&sequence, &refused_count), 0);
    assert_int_equal(refused_count, 0);
}

static void test_chunks_left_from_a_larger_generation_are_deleted(void **state)
{
    uint32_t tombstone_count = 0, first;

    (void)state;
    write_snapshot(false, 0, 5, 4 * EVENTS, 0);
    first = memory.count;
    write_snapshot(false, 0, 7, 1, first - 1);
    for (uint32_t i = first; i < memory.count; i++)
        tombstone_count += !memory.records[i].has_value;
    assert_true(tombstone_count > 0);
    assert_int_equal(memory.count - first - tombstone_count - 1, first - 1 - tombstone_count);
}

static void test_a_void_commit_leaves_no_manifest(void **state)
{
    struct snapshot_writer *writer = open_writer(true);
    struct snapshot_outcome outcome;
    struct engine *engine = make_engine(EVENTS);
    struct snapshot_manifest manifest = {.generation = 3, .sequence = 3};
    uint64_t sequence;
    uint32_t refused_count;
    struct failure failure;

    (void)state;
    assert_int_equal(snapshot_writer_take(writer, 0, engine, &manifest, 0, &failure), STATUS_OK);
    snapshot_writer_settle(writer, false);
    await_outcome(writer, &outcome);
    assert_false(outcome.is_written);
    assert_true(outcome.is_void);
    assert_int_equal(read_snapshot(&sequence, &refused_count), 0);
    snapshot_writer_destroy(writer);
    engine_close(engine);
}

static void test_giving_up_ends_thread_and_child(void **state)
{
    struct snapshot_writer *writer = open_writer(true);
    struct engine *engine = make_engine(EVENTS);
    struct snapshot_manifest manifest = {.generation = 3, .sequence = 3};
    struct failure failure;

    (void)state;
    assert_int_equal(snapshot_writer_take(writer, 0, engine, &manifest, 0, &failure), STATUS_OK);
    snapshot_writer_destroy(writer); /* never settled */
    engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_forked_image_comes_back, begin, end),
        cmocka_unit_test_setup_teardown(test_an_image_saved_in_process_comes_back, begin, end),
        cmocka_unit_test_setup_teardown(test_a_full_queue_only_delays, begin, end),
        cmocka_unit_test_setup_teardown(test_a_corrupt_generation_is_passed_over, begin, end),
        cmocka_unit_test_setup_teardown(test_a_torn_generation_is_passed_over, begin, end),
        cmocka_unit_test_setup_teardown(test_no_snapshot_is_no_fault, begin, end),
        cmocka_unit_test_setup_teardown(test_chunks_left_from_a_larger_generation_are_deleted,
                                        begin, end),
        cmocka_unit_test_setup_teardown(test_a_void_commit_leaves_no_manifest, begin, end),
        cmocka_unit_test_setup_teardown(test_giving_up_ends_thread_and_child, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
