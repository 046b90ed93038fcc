/*
 * toy_engine.c - engine.h with a machine that notices everything.
 *
 * The state of a tenant is one running hash over all that happened to it and when;
 * most events publish it. An event lost, doubled or moved past another, a tick at
 * another place, a command seen too early: the next result differs. So replay equality
 * is held more strictly than with rules, most of whose results forgive much. What it is
 * told to expect must come, in that order.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "engine/engine.h"
#include "simulation/world.h"

enum {
    TENANTS_MAX = 16,
    TENANT_BYTES = 24,
    IDS_KEPT = 8,
    LATE_MS = 20000,
    FUTURE_MS = 600000,
    TOY_VERSION = 7,
};

struct engine_config {
    int32_t partition_count;
    uint64_t digest;
};

struct toy_tenant {
    char name[TENANT_BYTES];
    uint64_t chain;
};

struct engine {
    const struct engine_config *config;
    int32_t partition;
    struct toy_tenant tenants[TENANTS_MAX];
    uint32_t tenant_count;
    uint64_t tick_count;
    int64_t tick_ms;
    uint64_t ids[IDS_KEPT];
    uint64_t id_count;
    struct engine_stats stats;

    /* No part of the state. */
    uint64_t expected[ENGINE_EXPECT_MAX];
    uint32_t expected_count, expected_next;
};

/* ---- configuration ------------------------------------------------------------------ */

struct engine_config *engine_config_create(const struct tree *root, const struct tree *rules,
                                           engine_parse_fn *parse, struct complaints *complaints)
{
    struct engine_config *config = calloc(1, sizeof(*config));

    (void)root;
    (void)rules;
    (void)parse;
    (void)complaints;
    assert(config != NULL);
    config->partition_count = 1;
    config->digest = 42;
    return config;
}

void engine_config_destroy(struct engine_config *config)
{
    free(config);
}

void engine_config_set_partitions(struct engine_config *config, int32_t count)
{
    config->partition_count = count;
}

uint64_t engine_config_digest(const struct engine_config *config)
{
    return config->digest;
}

struct engine_config *machine_config(bool is_other)
{
    struct engine_config *config = engine_config_create(NULL, NULL, NULL, NULL);

    config->digest += is_other;
    return config;
}

void machine_note(int32_t partition, const struct event *event)
{
    (void)partition;
    (void)event;
}

void machine_check(struct world *world)
{
    (void)world; /* every result was compared; it has no episodes */
}

/* ---- the machine ----------------------------------------------------------------------- */

struct engine *engine_open(const struct engine_config *config, int32_t partition)
{
    struct engine *engine = calloc(1, sizeof(*engine));

    assert(engine != NULL);
    engine->config = config;
    engine->partition = partition;
    engine->tick_ms = INT64_MIN;
    for (int i = 0; i < EVENT_KIND_COUNT; i++)
        engine->stats.watermark_ms[i] = INT64_MIN;
    return engine;
}

void engine_close(struct engine *engine)
{
    free(engine);
}

static struct toy_tenant *find_tenant(struct engine *engine, struct view name)
{
    struct toy_tenant *tenant;

    for (uint32_t i = 0; i < engine->tenant_count; i++)
        if (view_is_text(name, engine->tenants[i].name))
            return &engine->tenants[i];
    assert(engine->tenant_count < TENANTS_MAX && name.size < TENANT_BYTES);
    tenant = &engine->tenants[engine->tenant_count++];
    memcpy(tenant->name, name.data, name.size);
    return tenant;
}

static void publish(struct toy_tenant *tenant, const char *action, int64_t time_ms,
                    struct outbox *outbox)
{
    static const char *const numbers[] = {"event_time", NULL};
    char id[24];
    struct result result = {.kind = RESULT_AUDIT};

    snprintf(id, sizeof(id), "%016" PRIx64, tenant->chain);
    result.id = view_of(id);
    result.tenant_id = view_of(tenant->name);
    result.audit.actor = view_of("toy");
    result.audit.action = view_of(action);
    result.audit.subject = view_of(id);
    result.audit.event_time_ms = time_ms;
    result_mark(&result, numbers);
    outbox_add(outbox, &result);
}

static void apply_command(struct engine *engine, const struct event *event, struct outbox *outbox)
{
    static const char *const numbers[] = {"status", NULL};
    struct result result = {.kind = RESULT_COMMAND_RESULT};

    for (uint32_t i = 0; i < engine->tenant_count; i++)
        engine->tenants[i].chain = hash_mix(engine->tenants[i].chain, hash_view(event->id, 3));
    if (engine->partition != 0)
        return;
    result.id = event->id;
    result.command_result.status = COMMAND_ACCEPTED;
    result_mark(&result, numbers);
    outbox_add(outbox, &result);
}

static bool is_seen(struct engine *engine, uint64_t id)
{
    for (int i = 0; i < IDS_KEPT; i++)
        if (engine->ids[i] == id)
            return true;
    engine->ids[engine->id_count++ % IDS_KEPT] = id;
    return false;
}

static uint64_t mark_of(const struct event *event)
{
    return hash_view(event->tenant_id, hash_view(event->id, (uint64_t)event->kind));
}

void engine_expect(struct engine *engine, const struct event *events, uint32_t count)
{
    assert(engine->expected_next == engine->expected_count);
    engine->expected_count = count < ENGINE_EXPECT_MAX ? count : ENGINE_EXPECT_MAX;
    engine->expected_next = 0;
    for (uint32_t i = 0; i < engine->expected_count; i++)
        engine->expected[i] = mark_of(&events[i]);
}

bool engine_is_busy(const struct engine *engine)
{
    return engine->id_count % 8 == 0 && engine->tick_count % 5 != 0;
}

enum verdict engine_apply(struct engine *engine, const struct event *event, struct outbox *outbox)
{
    struct toy_tenant *tenant;
    int64_t *watermark_ms = &engine->stats.watermark_ms[event->kind];

    if (engine->expected_next < engine->expected_count)
        assert(engine->expected[engine->expected_next++] == mark_of(event));
    if (event->kind == EVENT_COMMAND) {
        engine->stats.applied[event->kind]++;
        apply_command(engine, event, outbox);
        return VERDICT_APPLIED;
    }
    if (view_is_text(event->tenant_id, "stranger"))
        return VERDICT_UNKNOWN_TENANT;
    if (engine->tick_ms != INT64_MIN && event->event_time_ms > engine->tick_ms + FUTURE_MS)
        return VERDICT_FUTURE;
    if (*watermark_ms != INT64_MIN && event->event_time_ms < *watermark_ms) {
        engine->stats.late[event->kind]++;
        return hash_view(event->id, 5) % 2 == 0 ? VERDICT_LATE : VERDICT_LATE_SET_ASIDE;
    }
    if (is_seen(engine, hash_view(event->id, 1 + event->kind)))
        return VERDICT_DUPLICATE;
    if (event->event_time_ms - LATE_MS > *watermark_ms)
        *watermark_ms = event->event_time_ms - LATE_MS;
    tenant = find_tenant(engine, event->tenant_id);
    tenant->chain = hash_mix(tenant->chain, hash_view(event->id, 1 + event->kind));
    tenant->chain = hash_mix(tenant->chain, engine->tick_count);
    engine->stats.applied[event->kind]++;
    if (tenant->chain % 4 != 0)
        publish(tenant, "toy.event", event->event_time_ms, outbox);
    return VERDICT_APPLIED;
}

/* Nobody shares here. */
bool engine_config_is_sharing(const struct engine_config *config)
{
    (void)config;
    return false;
}

void engine_take_popularity(struct engine *engine, const struct result *result)
{
    (void)engine;
    (void)result;
}

void engine_tick(struct engine *engine, int64_t now_ms, struct outbox *outbox)
{
    if (engine->tick_ms != INT64_MIN && now_ms < engine->tick_ms)
        return;
    engine->tick_ms = now_ms;
    engine->tick_count++;
    if (engine->tick_count % 3 == 0 && engine->tenant_count > 0) {
        struct toy_tenant *tenant = &engine->tenants[engine->tick_count % engine->tenant_count];

        tenant->chain = hash_mix(tenant->chain, (uint64_t)now_ms);
        publish(tenant, "toy.tick", now_ms, outbox);
    }
}

/* ---- state -------------------------------------------------------------------------------- */

static void save_fields(const struct engine *engine, struct byte_writer *out)
{
    byte_put_u8(out, TOY_VERSION);
    byte_put_u32(out, engine->tenant_count);
    byte_put(out, engine->tenants, engine->tenant_count * sizeof(engine->tenants[0]));
    byte_put_u64(out, engine->tick_count);
    byte_put_i64(out, engine->tick_ms);
    byte_put(out, engine->ids, sizeof(engine->ids));
    byte_put_u64(out, engine->id_count);
    byte_put(out, &engine->stats, sizeof(engine->stats));
}

void engine_save(const struct engine *engine, struct byte_writer *out)
{
    save_fields(engine, out);
}

struct engine *engine_load(const struct engine_config *config, int32_t partition,
                           struct byte_reader *in, struct failure *failure)
{
    struct engine *engine = engine_open(config, partition);
    const void *bytes;

    if (byte_take_u8(in) != TOY_VERSION)
        goto broken;
    engine->tenant_count = byte_take_u32(in);
    if (in->broken || engine->tenant_count > TENANTS_MAX)
        goto broken;
    bytes = byte_take(in, engine->tenant_count * sizeof(engine->tenants[0]));
    if (bytes == NULL)
        goto broken;
    memcpy(engine->tenants, bytes, engine->tenant_count * sizeof(engine->tenants[0]));
    engine->tick_count = byte_take_u64(in);
    engine->tick_ms = byte_take_i64(in);
    bytes = byte_take(in, sizeof(engine->ids));
    if (bytes == NULL)
        goto broken;
    memcpy(engine->ids, bytes, sizeof(engine->ids));
    engine->id_count = byte_take_u64(in);
    bytes = byte_take(in, sizeof(engine->stats));
    if (bytes == NULL)
        goto broken;
    memcpy(&engine->stats, bytes, sizeof(engine->stats));
    return engine;

broken:
    failure_set(failure, REMEDY_STOP, "not the state of a toy");
    engine_close(engine);
    return NULL;
}

uint64_t engine_digest(const struct engine *engine)
{
    struct byte_writer out;
    uint64_t digest;

    byte_writer_init(&out);
    save_fields(engine, &out);
    digest = hash_bytes(out.data, out.size, 0);
    byte_writer_free(&out);
    return digest;
}

void engine_stats(const struct engine *engine, struct engine_stats *stats)
{
    *stats = engine->stats;
}
