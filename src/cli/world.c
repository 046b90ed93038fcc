/*
 * Three clocks run towards the next event, and the earliest wins:
 *
 *   background_ns   the next ordinary event (exponential gaps: a Poisson stream)
 *   attack.next_ms  the next step of an attack under way
 *   plan_ms         the moment at which the next attack begins
 */
#include "cli/world.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/json_writer.h"
#include "cli/attack.h"
#include "cli/shop.h"

enum {
    ATTACKS_MAX = 64,
    ARENA_CHUNK_BYTES = 16384,
    FIRST_ATTACK_MS = 500,
    HOUR_MS = 3600 * 1000,
    DAY_MS = 24 * HOUR_MS,
    NIGHT_START_MS = 2 * HOUR_MS,
    NIGHT_END_MS = 6 * HOUR_MS,
    EVENING_MS = 15 * 60 * 1000, /* no new attack so short before the night */
};

struct world {
    struct world_options options;
    struct shop shop;
    world_label_fn *on_label;
    void *context;
    struct attack attacks[ATTACKS_MAX];
    uint32_t attack_count;
    uint64_t attack_number;
    int64_t background_ns; /* since start_ms */
    int64_t plan_ms;       /* INT64_MAX: no attacks */
    int64_t night_ms;      /* beginning of the last night that was thought of */
};

/* What an ordinary event is, in a hundred. */
static const struct {
    enum event_kind kind;
    uint32_t weight;
} mixture[] = {
    {EVENT_API_CALL, 42}, {EVENT_INTERACTION, 26}, {EVENT_ORDER, 15},
    {EVENT_AUTH, 15},     {EVENT_REQUEST, 2},
};
enum { MIXTURE_COUNT = sizeof mixture / sizeof mixture[0] };

static bool is_wanted(const struct world *world, enum event_kind kind)
{
    return (world->options.topics >> topic_of_event(kind) & 1) != 0;
}

static int64_t exponential_gap(struct random *random, double mean)
{
    return (int64_t)(-log(1 - random_unit(random)) * mean) + 1;
}

static int64_t background_ms(const struct world *world)
{
    return world->options.start_ms + world->background_ns / 1000000;
}

static uint32_t choose_tenant(struct world *world)
{
    return (uint32_t)random_skewed(&world->shop.random, world->options.tenant_count, 1.15);
}

/* ---- nights ---- */

static int64_t time_of_day(int64_t time_ms)
{
    return ((time_ms % DAY_MS) + DAY_MS) % DAY_MS;
}

static bool is_night(int64_t time_ms)
{
    int64_t time = time_of_day(time_ms);

    return time >= NIGHT_START_MS && time < NIGHT_END_MS;
}

static void add_attack(struct world *world, enum attack_kind kind, int64_t start_ms)
{
    uint32_t tenant = (uint32_t)random_below(&world->shop.random, world->options.tenant_count);

    if (world->attack_count == ATTACKS_MAX)
        return;
    attack_plan(&world->attacks[world->attack_count++], kind, tenant, ++world->attack_number,
                start_ms, &world->shop);
}

/* The background sleeps from two to six; some nights somebody is up. */
static void pass_night(struct world *world)
{
    int64_t now_ms = background_ms(world);
    int64_t night_ms = now_ms - time_of_day(now_ms) + NIGHT_START_MS;

    if (night_ms != world->night_ms && world->options.attack_interval_ms > 0 &&
        is_wanted(world, attack_event_kind(ATTACK_NIGHT_ACTIVITY)))
        add_attack(world, ATTACK_NIGHT_ACTIVITY,
                   now_ms + random_between(&world->shop.random, 0, 3 * HOUR_MS));
    world->night_ms = night_ms;
    world->background_ns += (NIGHT_END_MS - time_of_day(now_ms)) * INT64_C(1000000) +
                            exponential_gap(&world->shop.random, 1e9 / world->options.rate);
}

/* ---- attacks ---- */

/* Each kind in turn, so that a short run has seen them all; those on topics that are not
 * wanted are left out. ATTACK_KIND_COUNT: there is none. */
static enum attack_kind choose_attack(const struct world *world)
{
    for (uint64_t i = 0; i < ATTACK_NIGHT_ACTIVITY; i++) {
        enum attack_kind kind =
            (enum attack_kind)((world->attack_number + i) % ATTACK_NIGHT_ACTIVITY);
        if (is_wanted(world, attack_event_kind(kind)))
            return kind;
    }
    return ATTACK_KIND_COUNT;
}

/* The first of each kind come soon, one after the other: a short run has seen them all. */
static int64_t choose_pause(struct world *world)
{
    if (world->attack_number + 1 < ATTACK_NIGHT_ACTIVITY)
        return world->options.attack_interval_ms / 2;
    return exponential_gap(&world->shop.random, (double)world->options.attack_interval_ms);
}

static void begin_attack(struct world *world)
{
    enum attack_kind kind = choose_attack(world);
    int64_t start_ms = world->plan_ms;

    if (kind == ATTACK_KIND_COUNT) {
        world->plan_ms = INT64_MAX;
        return;
    }
    world->plan_ms += choose_pause(world);
    if (world->options.has_quiet_nights && (is_night(start_ms) || is_night(start_ms + EVENING_MS)))
        return;
    add_attack(world, kind, start_ms);
}

static struct attack *earliest_attack(struct world *world)
{
    struct attack *earliest = NULL;

    for (uint32_t i = 0; i < world->attack_count; i++)
        if (earliest == NULL || world->attacks[i].next_ms < earliest->next_ms)
            earliest = &world->attacks[i];
    return earliest;
}

static void report_attack(struct world *world, const struct attack *attack)
{
    struct world_label label;

    if (world->on_label == NULL || attack->step == 0)
        return;
    attack_label(attack, &world->shop, &label);
    world->on_label(world->context, &label);
}

/* ---- the world ---- */

struct world *world_create(const struct world_options *options, world_label_fn *on_label,
                           void *context)
{
    struct world *world = calloc(1, sizeof *world);

    assert(options->tenant_count > 0 && options->rate > 0 && options->topics != 0);
    if (world == NULL)
        abort();
    world->options = *options;
    world->on_label = on_label;
    world->context = context;
    world->shop.seed = options->seed;
    world->shop.random.state = options->seed;
    world->shop.arena = arena_create(ARENA_CHUNK_BYTES);
    world->shop.run_id = (uint32_t)hash_mix(options->seed, (uint64_t)options->start_ms);
    world->plan_ms = options->attack_interval_ms > 0
                         ? options->start_ms + options->quiet_ms + FIRST_ATTACK_MS
                         : INT64_MAX;
    world->night_ms = INT64_MIN;
    world->background_ns = exponential_gap(&world->shop.random, 1e9 / options->rate);
    return world;
}

void world_destroy(struct world *world)
{
    if (world == NULL)
        return;
    arena_destroy(world->shop.arena);
    free(world);
}

static enum event_kind choose_kind(struct world *world)
{
    uint64_t total = 0;

    for (uint32_t i = 0; i < MIXTURE_COUNT; i++)
        total += is_wanted(world, mixture[i].kind) ? mixture[i].weight : 0;
    assert(total > 0);
    uint64_t number = random_below(&world->shop.random, total);
    for (uint32_t i = 0; i < MIXTURE_COUNT; i++) {
        uint64_t weight = is_wanted(world, mixture[i].kind) ? mixture[i].weight : 0;
        if (number < weight)
            return mixture[i].kind;
        number -= weight;
    }
    return EVENT_API_CALL;
}

static void make_ordinary(struct world *world, struct event *event)
{
    struct shop *shop = &world->shop;
    uint32_t tenant = choose_tenant(world);
    int64_t time_ms = background_ms(world);
    enum event_kind kind = choose_kind(world);

    if (kind == EVENT_ORDER)
        shop_order(shop, tenant, shop_visitor(shop), time_ms, event);
    else if (kind == EVENT_AUTH)
        shop_sign_in(shop, tenant, time_ms, event);
    else if (kind == EVENT_INTERACTION)
        shop_interaction(shop, tenant, time_ms, event);
    else if (kind == EVENT_REQUEST)
        shop_request(shop, tenant, time_ms, event);
    else
        shop_api_call(shop, tenant, (uint32_t)random_below(&shop->random, SHOP_CLIENT_COUNT),
                      time_ms, event);
    world->background_ns += exponential_gap(&shop->random, 1e9 / world->options.rate);
}

void world_next(struct world *world, struct event *event)
{
    arena_reset(world->shop.arena);
    if (world->options.has_quiet_nights && is_night(background_ms(world)))
        pass_night(world);
    struct attack *attack = earliest_attack(world);
    int64_t due_ms = background_ms(world);
    if (attack != NULL && attack->next_ms < due_ms)
        due_ms = attack->next_ms;
    while (world->plan_ms < due_ms) {
        begin_attack(world);
        attack = earliest_attack(world);
        if (attack != NULL && attack->next_ms < due_ms)
            due_ms = attack->next_ms;
    }
    if (attack == NULL || attack->next_ms > due_ms) {
        make_ordinary(world, event);
    } else if (!attack_step(attack, &world->shop, event)) {
        report_attack(world, attack);
        *attack = world->attacks[--world->attack_count];
    }
}

void world_finish(struct world *world)
{
    for (uint32_t i = 0; i < world->attack_count; i++)
        report_attack(world, &world->attacks[i]);
    world->attack_count = 0;
}

static void put_text(struct json_writer *json, const char *name, const char *text)
{
    if (text == NULL)
        return;
    json_name(json, name);
    json_text(json, text);
}

void world_label_json(const struct world_label *label, struct byte_writer *out)
{
    struct json_writer json = json_writer_on(out);

    json_begin_object(&json);
    put_text(&json, "attack", label->attack);
    put_text(&json, "tenant_id", label->tenant_id);
    put_text(&json, "user_id", label->user_id);
    put_text(&json, "customer_id", label->customer_id);
    put_text(&json, "client_id", label->client_id);
    put_text(&json, "ip", label->ip);
    json_name(&json, "start_time");
    json_int(&json, label->start_ms);
    json_name(&json, "end_time");
    json_int(&json, label->end_ms);
    json_name(&json, "events");
    json_int(&json, label->event_count);
    json_name(&json, "is_complete");
    json_bool(&json, label->is_complete);
    json_name(&json, "rules");
    json_begin_array(&json);
    for (uint32_t i = 0; label->rules[i] != NULL; i++)
        json_text(&json, label->rules[i]);
    json_end_array(&json);
    json_end_object(&json);
}
