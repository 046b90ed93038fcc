#include "ops/health.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/json_writer.h"
#include "base/log.h"

enum { SOURCE_COUNT_MAX = 256, CHANGE_COUNT_MAX = 32 };

struct source {
    struct ops_source asked;
    bool is_live, is_ready, is_slow;
    bool is_known; /* it has been asked before */
    int64_t took_ms;
};

struct change {
    const char *name;
    bool is_live, is_ready;
    int64_t at_ms; /* epoch */
};

struct health {
    const struct clock *clock;
    int64_t check_ms;
    int64_t begun_ms;
    pthread_mutex_t lock;
    struct source sources[SOURCE_COUNT_MAX];
    uint32_t source_count;
    struct change changes[CHANGE_COUNT_MAX]; /* a ring */
    uint64_t change_count;
};

struct health *health_create(const struct clock *clock, int64_t check_ms)
{
    struct health *health = calloc(1, sizeof(*health));

    assert(health != NULL);
    assert(check_ms > 0);
    health->clock = clock;
    health->check_ms = check_ms;
    health->begun_ms = clock_wall_ms(clock);
    pthread_mutex_init(&health->lock, NULL);
    return health;
}

void health_destroy(struct health *health)
{
    if (health == NULL)
        return;
    pthread_mutex_destroy(&health->lock);
    free(health);
}

void health_add(struct health *health, const struct ops_source *source)
{
    pthread_mutex_lock(&health->lock);
    assert(health->source_count < SOURCE_COUNT_MAX);
    health->sources[health->source_count++] = (struct source){.asked = *source};
    pthread_mutex_unlock(&health->lock);
}

static void note_change(struct health *health, const struct source *source)
{
    struct change *change = &health->changes[health->change_count++ % CHANGE_COUNT_MAX];

    *change = (struct change){source->asked.name, source->is_live, source->is_ready,
                              clock_wall_ms(health->clock)};
    if (!source->is_live)
        log_warn("ops", "%s is not live", source->asked.name);
    else
        log_info("ops", "%s is %s", source->asked.name,
                 source->is_ready ? "ready" : "live, not ready");
}

static void ask(struct health *health, struct source *source)
{
    const struct ops_source *asked = &source->asked;
    int64_t start_ms = clock_monotonic_ms(health->clock);
    bool is_live = asked->is_live == NULL || asked->is_live(asked->context);
    bool is_ready = is_live && (asked->is_ready == NULL || asked->is_ready(asked->context));
    bool is_changed =
        !source->is_known || is_live != source->is_live || is_ready != source->is_ready;

    source->took_ms = clock_monotonic_ms(health->clock) - start_ms;
    source->is_slow = source->took_ms > health->check_ms;
    source->is_live = is_live;
    source->is_ready = is_ready;
    source->is_known = true;
    if (is_changed)
        note_change(health, source);
}

static bool is_well(const struct source *source, bool is_readiness)
{
    return is_readiness ? source->is_ready : source->is_live;
}

static bool check(struct health *health, bool is_readiness, struct byte_writer *out)
{
    struct json_writer json = json_writer_on(out);
    bool is_all_well = true;

    pthread_mutex_lock(&health->lock);
    for (uint32_t i = 0; i < health->source_count; i++) {
        struct source *source = &health->sources[i];

        ask(health, source);
        if (source->asked.is_critical)
            is_all_well &= is_well(source, is_readiness);
    }
    json_begin_object(&json);
    json_name(&json, "status");
    json_text(&json, is_all_well ? "ok" : "failing");
    json_name(&json, "sources");
    json_begin_object(&json);
    for (uint32_t i = 0; i < health->source_count; i++) {
        const struct source *source = &health->sources[i];

        json_name(&json, source->asked.name);
        json_text(&json, !is_well(source, is_readiness) ? "failing"
                         : source->is_slow              ? "slow"
                                                        : "ok");
    }
    json_end_object(&json);
    json_end_object(&json);
    pthread_mutex_unlock(&health->lock);
    return is_all_well;
}

bool health_live(struct health *health, struct byte_writer *out)
{
    return check(health, false, out);
}

bool health_ready(struct health *health, struct byte_writer *out)
{
    return check(health, true, out);
}

static void write_source(struct json_writer *json, const struct source *source)
{
    json_name(json, source->asked.name);
    json_begin_object(json);
    json_name(json, "critical");
    json_bool(json, source->asked.is_critical);
    json_name(json, "live");
    json_bool(json, source->is_live);
    json_name(json, "ready");
    json_bool(json, source->is_ready);
    json_name(json, "check_ms");
    json_int(json, source->took_ms);
    if (source->asked.status_json != NULL) {
        struct byte_writer detail;

        byte_writer_init(&detail);
        source->asked.status_json(source->asked.context, &detail);
        json_name(json, "detail");
        if (detail.size > 0)
            json_raw(json, byte_writer_view(&detail));
        else
            json_text(json, NULL);
        byte_writer_free(&detail);
    }
    json_end_object(json);
}

static void write_changes(struct json_writer *json, const struct health *health)
{
    uint64_t first =
        health->change_count > CHANGE_COUNT_MAX ? health->change_count - CHANGE_COUNT_MAX : 0;

    json_begin_array(json);
    for (uint64_t i = first; i < health->change_count; i++) {
        const struct change *change = &health->changes[i % CHANGE_COUNT_MAX];

        json_begin_object(json);
        json_name(json, "time");
        json_int(json, change->at_ms);
        json_name(json, "source");
        json_text(json, change->name);
        json_name(json, "live");
        json_bool(json, change->is_live);
        json_name(json, "ready");
        json_bool(json, change->is_ready);
        json_end_object(json);
    }
    json_end_array(json);
}

void health_status(struct health *health, struct byte_writer *out)
{
    struct json_writer json = json_writer_on(out);
    bool is_live = true, is_ready = true;

    pthread_mutex_lock(&health->lock);
    for (uint32_t i = 0; i < health->source_count; i++) {
        struct source *source = &health->sources[i];

        ask(health, source);
        is_live &= source->is_live || !source->asked.is_critical;
        is_ready &= source->is_ready || !source->asked.is_critical;
    }
    json_begin_object(&json);
    json_name(&json, "version");
    json_text(&json, WEIR_VERSION);
    json_name(&json, "start_time");
    json_int(&json, health->begun_ms);
    json_name(&json, "live");
    json_bool(&json, is_live);
    json_name(&json, "ready");
    json_bool(&json, is_ready);
    json_name(&json, "sources");
    json_begin_object(&json);
    for (uint32_t i = 0; i < health->source_count; i++)
        write_source(&json, &health->sources[i]);
    json_end_object(&json);
    json_name(&json, "changes");
    write_changes(&json, health);
    json_end_object(&json);
    pthread_mutex_unlock(&health->lock);
}
