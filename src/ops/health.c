/*
 * Every source is asked by a thread of its own, so that one that hangs keeps nobody waiting
 * but itself:
 *
 *   question ─► asked++ ──► prober: is_live, is_ready, status_json ──► answered = asked
 *       └────── waits for answered, check_ms at most, all sources together ──► answer
 *
 * A question takes no answer that was begun before it.
 */
#include "ops/health.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/json_writer.h"
#include "base/log.h"

enum { SOURCE_COUNT_MAX = 256, CHANGE_COUNT_MAX = 32 };

struct source {
    struct health *health;
    struct ops_source asked_of;
    pthread_t prober;

    uint64_t asked, answered; /* questions by number */
    bool is_detail_wanted;    /* by one of them */
    bool is_asking;           /* the prober is at the source */
    int64_t asking_since_ms;
    bool is_live, is_ready; /* the last answer, or neither when none came in time */
    bool is_known;          /* it has been asked before */
    bool is_hanging;
    int64_t took_ms;
    struct byte_writer detail;
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
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t changed;
    bool is_closing;
    struct source sources[SOURCE_COUNT_MAX];
    uint32_t source_count;
    struct change changes[CHANGE_COUNT_MAX]; /* a ring */
    uint64_t change_count;
};

/* ---- the probers ---- */

static void note_change(struct health *health, const struct source *source)
{
    struct change *change = &health->changes[health->change_count++ % CHANGE_COUNT_MAX];

    *change = (struct change){source->asked_of.name, source->is_live, source->is_ready,
                              clock_wall_ms(health->clock)};
    if (source->is_hanging)
        log_warn("ops", "%s does not answer", source->asked_of.name);
    else if (!source->is_live)
        log_warn("ops", "%s is not live", source->asked_of.name);
    else
        log_info("ops", "%s is %s", source->asked_of.name,
                 source->is_ready ? "ready" : "live, not ready");
}

static void set_state(struct health *health, struct source *source, bool is_live, bool is_ready,
                      bool is_hanging)
{
    bool is_changed = !source->is_known || is_live != source->is_live ||
                      is_ready != source->is_ready || is_hanging != source->is_hanging;

    source->is_live = is_live;
    source->is_ready = is_ready;
    source->is_hanging = is_hanging;
    source->is_known = true;
    if (is_changed)
        note_change(health, source);
}

/* One answer; the lock is held before and after, not meanwhile. */
static void probe(struct health *health, struct source *source)
{
    const struct ops_source *asked_of = &source->asked_of;
    const uint64_t number = source->asked;
    const bool is_detail_wanted = source->is_detail_wanted && asked_of->status_json != NULL;
    struct byte_writer detail;

    byte_writer_init(&detail);
    source->is_detail_wanted = false;
    source->is_asking = true;
    source->asking_since_ms = clock_monotonic_ms(health->clock);
    pthread_mutex_unlock(&health->lock);

    bool is_live = asked_of->is_live == NULL || asked_of->is_live(asked_of->context);
    bool is_ready =
        is_live && (asked_of->is_ready == NULL || asked_of->is_ready(asked_of->context));
    if (is_detail_wanted)
        asked_of->status_json(asked_of->context, &detail);

    pthread_mutex_lock(&health->lock);
    source->is_asking = false;
    source->took_ms = clock_monotonic_ms(health->clock) - source->asking_since_ms;
    source->answered = number;
    set_state(health, source, is_live, is_ready, false);
    if (is_detail_wanted) {
        byte_writer_free(&source->detail);
        source->detail = detail;
    }
    pthread_cond_broadcast(&health->changed);
}

static void *run_prober(void *context)
{
    struct source *source = context;
    struct health *health = source->health;

    pthread_mutex_lock(&health->lock);
    while (!health->is_closing) {
        if (source->answered < source->asked)
            probe(health, source);
        else
            pthread_cond_wait(&health->changed, &health->lock);
    }
    pthread_mutex_unlock(&health->lock);
    return NULL;
}

/* ---- opening and closing ---- */

struct health *health_create(const struct clock *clock, int64_t check_ms)
{
    struct health *health = calloc(1, sizeof(*health));

    assert(health != NULL);
    assert(check_ms > 0);
    health->clock = clock;
    health->check_ms = check_ms;
    health->begun_ms = clock_wall_ms(clock);
    pthread_mutex_init(&health->lock, NULL);
    clock_condition_init(&health->changed);
    return health;
}

void health_destroy(struct health *health)
{
    if (health == NULL)
        return;
    pthread_mutex_lock(&health->lock);
    health->is_closing = true;
    pthread_cond_broadcast(&health->changed);
    pthread_mutex_unlock(&health->lock);
    for (uint32_t i = 0; i < health->source_count; i++) {
        pthread_join(health->sources[i].prober, NULL);
        byte_writer_free(&health->sources[i].detail);
    }
    pthread_cond_destroy(&health->changed);
    pthread_mutex_destroy(&health->lock);
    free(health);
}

void health_add(struct health *health, const struct ops_source *asked_of)
{
    struct source *source = &health->sources[health->source_count];

    assert(health->source_count < SOURCE_COUNT_MAX);
    *source = (struct source){.health = health, .asked_of = *asked_of};
    byte_writer_init(&source->detail);
    if (pthread_create(&source->prober, NULL, run_prober, source) != 0)
        abort();
    health->source_count++;
}

/* ---- questions ---- */

/* Whether it is worth waiting for: one that hangs already is not. */
static bool is_awaited(const struct health *health, const struct source *source, uint64_t number)
{
    return source->answered < number &&
           !(source->is_asking &&
             clock_monotonic_ms(health->clock) - source->asking_since_ms >= health->check_ms);
}

/* Asks all sources and waits for them, together. The lock is held. */
static void ask_all(struct health *health, bool is_detail_wanted)
{
    struct timespec until = clock_deadline(health->check_ms);
    const uint32_t count = health->source_count;
    uint64_t numbers[SOURCE_COUNT_MAX];
    int result = 0;

    for (uint32_t i = 0; i < count; i++) {
        numbers[i] = ++health->sources[i].asked;
        health->sources[i].is_detail_wanted |= is_detail_wanted;
    }
    pthread_cond_broadcast(&health->changed);
    for (uint32_t i = 0; i < count; i++)
        while (result == 0 && is_awaited(health, &health->sources[i], numbers[i]))
            result = pthread_cond_timedwait(&health->changed, &health->lock, &until);
    for (uint32_t i = 0; i < count; i++)
        if (health->sources[i].answered < numbers[i])
            set_state(health, &health->sources[i], false, false, true);
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
    ask_all(health, false);
    for (uint32_t i = 0; i < health->source_count; i++)
        if (health->sources[i].asked_of.is_critical)
            is_all_well &= is_well(&health->sources[i], is_readiness);
    json_begin_object(&json);
    json_name(&json, "status");
    json_text(&json, is_all_well ? "ok" : "failing");
    json_name(&json, "sources");
    json_begin_object(&json);
    for (uint32_t i = 0; i < health->source_count; i++) {
        const struct source *source = &health->sources[i];

        json_name(&json, source->asked_of.name);
        json_text(&json, source->is_hanging              ? "no answer"
                         : is_well(source, is_readiness) ? "ok"
                                                         : "failing");
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
    json_name(json, source->asked_of.name);
    json_begin_object(json);
    json_name(json, "critical");
    json_bool(json, source->asked_of.is_critical);
    json_name(json, "live");
    json_bool(json, source->is_live);
    json_name(json, "ready");
    json_bool(json, source->is_ready);
    json_name(json, "check_ms");
    json_int(json, source->took_ms);
    json_name(json, "answers");
    json_bool(json, !source->is_hanging);
    if (source->asked_of.status_json != NULL) {
        json_name(json, "detail");
        if (source->detail.size > 0 && !source->is_hanging)
            json_raw(json, byte_writer_view(&source->detail));
        else
            json_text(json, NULL);
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
    ask_all(health, true);
    for (uint32_t i = 0; i < health->source_count; i++) {
        const struct source *source = &health->sources[i];

        is_live &= source->is_live || !source->asked_of.is_critical;
        is_ready &= source->is_ready || !source->asked_of.is_critical;
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
