/*
 * An event on its way:
 *
 *   tenant known? ─► not from the future? ─► not late? ─► not seen before?
 *        │                  │                   │              │
 *        └─ set aside       └─ set aside        └─ counted     └─ counted
 *
 *   ─► each room that reads its kind ─► watermark ─► each room ─► audit of its alerts
 *
 * Whatever decides a result is in `struct state` or in a room, and is saved: laws 1
 * and 2 hold because nothing else is asked. Caches (local_time, ahead) are pure.
 *
 * Quiet is measured in awake time: the sum of the steps between ticks, each cut at
 * STEP_MS_MAX. A machine that comes back after a night would else find every topic
 * silent for hours and close episodes that go on in the records it has yet to read.
 */
#include "engine/engine.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "engine/audit.h"
#include "engine/command.h"
#include "engine/config.h"
#include "engine/deduplicate.h"
#include "engine/local_time.h"
#include "engine/room.h"
#include "engine/rulebook.h"

enum { SAVED_VERSION = 2, STEP_MS_MAX = 30000 };
#define SAVED_MAGIC UINT32_C(0x52494557) /* "WEIR" */

struct state {
    int64_t now_ms;                            /* of the last tick; INT64_MIN: none yet */
    int64_t awake_ms;                          /* how much tick time was lived through */
    int64_t last_arrival_ms[EVENT_KIND_COUNT]; /* in awake time */
    int64_t watermark_ms[EVENT_KIND_COUNT];    /* INT64_MIN: none yet */
    uint32_t idle_kinds;                       /* bits: hold back nothing */
    uint64_t applied[EVENT_KIND_COUNT];
    uint64_t duplicates[EVENT_KIND_COUNT];
    uint64_t late[EVENT_KIND_COUNT];
    uint64_t future[EVENT_KIND_COUNT];
};

/* Events that were announced, and what is known of them. */
struct ahead {
    const struct event *next; /* the one to come */
    uint32_t at, count;
    struct room_event seen[ENGINE_EXPECT_MAX];
};

struct engine {
    const struct engine_config *config;
    int32_t partition;
    struct state state;
    struct rulebook *book;
    struct deduplicate *seen[EVENT_KIND_COUNT]; /* NULL: off */
    struct room_instance rooms[ROOM_COUNT];
    uint32_t room_count;
    struct local_time *local;             /* a cache */
    struct ahead ahead;                   /* a cache */
    int64_t future_limit_ms;              /* derived from now_ms */
    int64_t holding_ms[EVENT_KIND_COUNT]; /* derived: watermarks, INT64_MAX for idle kinds */
};

/* ---- life ---- */

static struct room_setup setup_of(const struct engine *engine, const struct room_instance *room)
{
    uint64_t shares = 0;

    for (uint32_t i = 0; i < engine->room_count; i++)
        shares += engine->rooms[i].row->memory_share;
    return (struct room_setup){
        .rules = rulebook_rules(engine->book),
        .options = room->options,
        .lateness_ms = engine->config->lateness_ms,
        .bytes_max = (size_t)((uint64_t)engine->config->options.memory_bytes_max / shares *
                              room->row->memory_share),
        .partition = engine->partition,
    };
}

/* Everything but the states of the rooms. */
static struct engine *create_engine(const struct engine_config *config, int32_t partition)
{
    struct engine *engine = calloc(1, sizeof *engine);
    const struct zone *const *zones;
    uint32_t zone_count;

    assert(engine != NULL);
    engine->config = config;
    engine->partition = partition;
    engine->state.now_ms = INT64_MIN;
    engine->future_limit_ms = INT64_MAX;
    engine->book = rulebook_create(config);
    for (uint32_t i = 0; i < ROOM_COUNT; i++)
        if (config->has_room[i])
            engine->rooms[engine->room_count++] =
                (struct room_instance){rooms[i], config->room_options[i], NULL};
    zones = tenant_zones(config->tenants, &zone_count);
    engine->local = local_time_create(zones, zone_count);
    for (int kind = 0; kind < EVENT_KIND_COUNT; kind++) {
        engine->state.watermark_ms[kind] = INT64_MIN;
        engine->holding_ms[kind] = INT64_MIN;
        if (config->deduplicate_ms[kind] > 0)
            engine->seen[kind] = deduplicate_create(config->deduplicate_ms[kind],
                                                    (size_t)config->options.deduplicate_bytes_max /
                                                        config->deduplicate_count);
    }
    return engine;
}

struct engine *engine_open(const struct engine_config *config, int32_t partition)
{
    struct engine *engine = create_engine(config, partition);

    for (uint32_t i = 0; i < engine->room_count; i++) {
        struct room_instance *room = &engine->rooms[i];
        struct room_setup setup = setup_of(engine, room);
        room->state = room->row->open(&setup);
        assert(room->state != NULL);
    }
    return engine;
}

void engine_close(struct engine *engine)
{
    if (engine == NULL)
        return;
    for (uint32_t i = 0; i < engine->room_count; i++)
        if (engine->rooms[i].state != NULL)
            engine->rooms[i].row->close(engine->rooms[i].state);
    for (int kind = 0; kind < EVENT_KIND_COUNT; kind++)
        deduplicate_destroy(engine->seen[kind]);
    local_time_destroy(engine->local);
    rulebook_destroy(engine->book);
    free(engine);
}

/* ---- watermarks ---- */

static void advance_rooms(struct engine *engine, struct outbox *outbox)
{
    for (uint32_t i = 0; i < engine->room_count; i++)
        if (engine->rooms[i].row->advance != NULL)
            engine->rooms[i].row->advance(engine->rooms[i].state, engine->holding_ms, outbox);
}

static void derive_holding(struct engine *engine)
{
    const struct state *state = &engine->state;

    for (int kind = 0; kind < EVENT_KIND_COUNT; kind++)
        engine->holding_ms[kind] =
            (state->idle_kinds >> kind) & 1 ? INT64_MAX : state->watermark_ms[kind];
}

/* An event that counts came: its kind is idle no more. */
static void raise_watermark(struct engine *engine, const struct event *event, struct outbox *outbox)
{
    struct state *state = &engine->state;
    enum event_kind kind = event->kind;
    int64_t watermark_ms = event->event_time_ms - engine->config->lateness_ms[kind];

    if (watermark_ms <= state->watermark_ms[kind] && ((state->idle_kinds >> kind) & 1) == 0)
        return;
    state->idle_kinds &= ~(1u << kind);
    if (watermark_ms > state->watermark_ms[kind])
        state->watermark_ms[kind] = watermark_ms;
    engine->holding_ms[kind] = state->watermark_ms[kind];
    advance_rooms(engine, outbox);
}

/* ---- an event ---- */

static struct room_event look_at(struct engine *engine, const struct event *event,
                                 const struct tenant *tenant)
{
    struct room_event seen = {.event = event, .tenant = tenant};

    seen.local_hour = local_time_hour(engine->local, tenant->zone_index, event->event_time_ms);
    if (event->kind == EVENT_ORDER)
        seen.reference_amount = currency_convert(engine->config->currencies, event->order.amount,
                                                 event->order.currency, tenant->currency);
    return seen;
}

static void apply_rooms(struct engine *engine, const struct room_event *seen, struct outbox *outbox)
{
    for (uint32_t i = 0; i < engine->room_count; i++)
        if ((engine->rooms[i].row->kinds >> seen->event->kind) & 1)
            engine->rooms[i].row->apply(engine->rooms[i].state, seen, outbox);
}

void engine_expect(struct engine *engine, const struct event *events, uint32_t count)
{
    struct ahead *ahead = &engine->ahead;

    ahead->next = events;
    ahead->at = 0;
    for (ahead->count = 0; ahead->count < count && ahead->count < ENGINE_EXPECT_MAX;) {
        const struct event *event = &events[ahead->count];
        const struct tenant *tenant = tenant_find(engine->config->tenants, event->tenant_id);
        /* Rooms are told of events only, not of commands, and not of strangers. */
        if (event->kind == EVENT_COMMAND || tenant == NULL)
            break;
        ahead->seen[ahead->count] = look_at(engine, event, tenant);
        ahead->seen[ahead->count].expected = ahead->count + 1;
        ahead->count++;
    }
    for (uint32_t i = 0; ahead->count > 0 && i < engine->room_count; i++) {
        const struct room_instance *room = &engine->rooms[i];
        assert(room->row != NULL);
        if (room->row->expect != NULL)
            room->row->expect(room->state, events, ahead->seen, ahead->count);
    }
}

/* What is known of the event, if it is the one to come; else nothing is known of any. */
static const struct room_event *take_ahead(struct engine *engine, const struct event *event)
{
    struct ahead *ahead = &engine->ahead;

    if (ahead->at == ahead->count)
        return NULL;
    if (event != ahead->next) {
        ahead->count = ahead->at;
        return NULL;
    }
    ahead->next++;
    return &ahead->seen[ahead->at++];
}

static bool is_home(const struct engine *engine, struct view tenant_id)
{
    if (view_is_absent(tenant_id))
        return engine->partition == 0;
    return hash_partition(tenant_id, engine->config->partition_count) == engine->partition;
}

static void add_command_result(const struct command_call *call, struct outbox *outbox)
{
    struct result result = {.kind = RESULT_COMMAND_RESULT};

    result.id = call->event->id;
    result.tenant_id = call->event->tenant_id;
    result.command_result.status = call->answer.is_accepted ? COMMAND_ACCEPTED : COMMAND_REJECTED;
    result.command_result.error = call->answer.error;
    result.command_result.result = call->answer.result;
    result_mark(&result, NULL);
    outbox_add(outbox, &result);
}

static void apply_command(struct engine *engine, const struct event *event, struct outbox *outbox)
{
    struct command_call call = {
        .event = event,
        .book = engine->book,
        .rooms = engine->rooms,
        .room_count = engine->room_count,
        .tenant = view_is_absent(event->tenant_id)
                      ? NULL
                      : tenant_find(engine->config->tenants, event->tenant_id),
        .is_home = is_home(engine, event->tenant_id),
        .arena = outbox_scratch(outbox),
        .outbox = outbox,
    };
    uint32_t from = outbox_count(outbox);

    engine->state.applied[EVENT_COMMAND]++;
    command_run(&call);
    if (call.has_new_rules) {
        for (uint32_t i = 0; i < engine->room_count; i++)
            if (engine->rooms[i].row->replace_rules != NULL)
                engine->rooms[i].row->replace_rules(engine->rooms[i].state,
                                                    rulebook_rules(engine->book), outbox);
        rulebook_settle(engine->book);
        audit_alerts(outbox, from);
    }
    if (!call.is_home)
        return;
    if (call.has_decision)
        outbox_add(outbox, &call.decision);
    add_command_result(&call, outbox);
    audit_command(outbox, event, &call.answer.before, &call.answer.after);
}

enum verdict engine_apply(struct engine *engine, const struct event *event, struct outbox *outbox)
{
    struct state *state = &engine->state;
    enum event_kind kind = event->kind;
    const struct room_event *seen = take_ahead(engine, event);
    const struct tenant *tenant;
    struct room_event fresh;
    uint32_t from;

    assert((unsigned)kind < EVENT_KIND_COUNT);
    if (kind == EVENT_COMMAND) {
        apply_command(engine, event, outbox);
        return VERDICT_APPLIED;
    }
    tenant = seen != NULL ? seen->tenant : tenant_find(engine->config->tenants, event->tenant_id);
    if (tenant == NULL)
        return VERDICT_UNKNOWN_TENANT;
    if (event->event_time_ms > engine->future_limit_ms) {
        state->future[kind]++;
        return VERDICT_FUTURE;
    }
    state->last_arrival_ms[kind] = state->awake_ms;
    /* A request asks for an answer; it belongs to no window that could have closed. */
    if (event->event_time_ms < state->watermark_ms[kind] && kind != EVENT_REQUEST) {
        state->late[kind]++;
        return engine->config->options.late == LATE_DEAD_LETTER ? VERDICT_LATE_SET_ASIDE
                                                                : VERDICT_LATE;
    }
    if (engine->seen[kind] != NULL &&
        !deduplicate_admit(engine->seen[kind], event->tenant_id, event->id, event->event_time_ms,
                           state->watermark_ms[kind])) {
        state->duplicates[kind]++;
        return VERDICT_DUPLICATE;
    }
    state->applied[kind]++;
    from = outbox_count(outbox);
    if (seen == NULL) {
        fresh = look_at(engine, event, tenant);
        seen = &fresh;
    }
    apply_rooms(engine, seen, outbox);
    raise_watermark(engine, event, outbox);
    if (outbox_count(outbox) != from)
        audit_alerts(outbox, from);
    return VERDICT_APPLIED;
}

void engine_take_popularity(struct engine *engine, const struct result *result)
{
    const struct tenant *tenant = tenant_find(engine->config->tenants, result->tenant_id);

    assert(result->kind == RESULT_POPULARITY);
    if (tenant == NULL || !tenant->is_sharing)
        return;
    for (uint32_t i = 0; i < engine->room_count; i++)
        if (engine->rooms[i].row->take_popularity != NULL)
            engine->rooms[i].row->take_popularity(engine->rooms[i].state, result);
}

/* ---- time without events ---- */

static void pass_time(struct engine *engine, int64_t now_ms)
{
    struct state *state = &engine->state;

    if (state->now_ms != INT64_MIN) {
        int64_t step_ms = now_ms - state->now_ms;
        state->awake_ms += step_ms < STEP_MS_MAX ? step_ms : STEP_MS_MAX;
    }
    state->now_ms = now_ms;
    engine->future_limit_ms = now_ms + engine->config->options.future_max_ms;
}

static bool is_idle(const struct engine *engine, int kind)
{
    const struct state *state = &engine->state;
    int64_t silence_ms = state->awake_ms - state->last_arrival_ms[kind];

    return silence_ms > (state->watermark_ms[kind] == INT64_MIN
                             ? engine->config->options.idle_unseen_ms
                             : engine->config->options.idle_after_ms);
}

void engine_tick(struct engine *engine, int64_t now_ms, struct outbox *outbox)
{
    struct state *state = &engine->state;
    uint32_t idle_kinds = state->idle_kinds;
    uint32_t from = outbox_count(outbox);

    if (now_ms <= state->now_ms)
        return;
    pass_time(engine, now_ms);
    for (int kind = 0; kind < EVENT_KIND_COUNT; kind++)
        if (is_idle(engine, kind))
            state->idle_kinds |= 1u << kind;
    if (state->idle_kinds != idle_kinds) {
        derive_holding(engine);
        advance_rooms(engine, outbox);
    }
    for (uint32_t i = 0; i < engine->room_count; i++)
        if (engine->rooms[i].row->tick != NULL)
            engine->rooms[i].row->tick(engine->rooms[i].state, now_ms, state->awake_ms,
                                       state->last_arrival_ms, outbox);
    if (outbox_count(outbox) != from)
        audit_alerts(outbox, from);
}

bool engine_is_busy(const struct engine *engine)
{
    for (uint32_t i = 0; i < engine->room_count; i++)
        if (engine->rooms[i].row->is_busy != NULL &&
            engine->rooms[i].row->is_busy(engine->rooms[i].state))
            return true;
    return false;
}

void engine_retire(struct engine *engine, enum event_kind kind, struct outbox *outbox)
{
    struct state *state = &engine->state;
    uint32_t from = outbox_count(outbox);

    assert((unsigned)kind < EVENT_KIND_COUNT);
    if ((state->idle_kinds >> kind) & 1)
        return;
    state->idle_kinds |= 1u << kind;
    derive_holding(engine);
    advance_rooms(engine, outbox);
    if (outbox_count(outbox) != from)
        audit_alerts(outbox, from);
}

void engine_finish(struct engine *engine, struct outbox *outbox)
{
    uint32_t from = outbox_count(outbox);

    for (uint32_t i = 0; i < engine->room_count; i++)
        if (engine->rooms[i].row->finish != NULL)
            engine->rooms[i].row->finish(engine->rooms[i].state, outbox);
    if (outbox_count(outbox) != from)
        audit_alerts(outbox, from);
}

/* ---- saved state ---- */

static void save_state(const struct engine *engine, struct byte_writer *out)
{
    const struct state *state = &engine->state;

    byte_put_i64(out, state->now_ms);
    byte_put_i64(out, state->awake_ms);
    byte_put_u32(out, state->idle_kinds);
    byte_put_varint(out, EVENT_KIND_COUNT);
    for (int kind = 0; kind < EVENT_KIND_COUNT; kind++) {
        byte_put_i64(out, state->last_arrival_ms[kind]);
        byte_put_i64(out, state->watermark_ms[kind]);
        byte_put_u64(out, state->applied[kind]);
        byte_put_u64(out, state->duplicates[kind]);
        byte_put_u64(out, state->late[kind]);
        byte_put_u64(out, state->future[kind]);
    }
    rulebook_save(engine->book, out);
    for (int kind = 0; kind < EVENT_KIND_COUNT; kind++) {
        byte_put_u8(out, engine->seen[kind] != NULL);
        if (engine->seen[kind] != NULL)
            deduplicate_save(engine->seen[kind], out);
    }
}

static void save_room(const struct room_instance *room, struct byte_writer *out)
{
    byte_put_view(out, view_of(room->row->name));
    size_t section = byte_begin_section(out);
    room->row->save(room->state, out);
    byte_end_section(out, section);
}

void engine_save(const struct engine *engine, struct byte_writer *out)
{
    byte_put_u32(out, SAVED_MAGIC);
    byte_put_u16(out, SAVED_VERSION);
    byte_put_u64(out, engine_config_digest(engine->config));
    byte_put_u64(out, rule_set_digest(engine->config->rules));
    byte_put_i64(out, engine->partition);
    save_state(engine, out);
    byte_put_varint(out, engine->room_count);
    for (uint32_t i = 0; i < engine->room_count; i++)
        save_room(&engine->rooms[i], out);
}

/* What the saved state was made under. */
struct origin {
    uint64_t config_digest;
    uint64_t rules_digest;
};

static enum status load_header(const struct engine *engine, struct byte_reader *in,
                               struct origin *origin, struct failure *failure)
{
    uint32_t magic = byte_take_u32(in);
    uint16_t version = byte_take_u16(in);
    *origin = (struct origin){.config_digest = byte_take_u64(in)};
    origin->rules_digest = byte_take_u64(in);
    int64_t partition = byte_take_i64(in);

    if (in->broken || magic != SAVED_MAGIC)
        return failure_set(failure, REMEDY_STOP, "the saved state is none of ours");
    if (version != SAVED_VERSION)
        return failure_set(failure, REMEDY_STOP,
                           "the saved state has version %u, this program reads version %u", version,
                           SAVED_VERSION);
    if (partition != engine->partition)
        return failure_set(failure, REMEDY_STOP,
                           "the saved state is that of partition %lld, not %d",
                           (long long)partition, engine->partition);
    return STATUS_OK;
}

static enum status load_state(struct engine *engine, const struct origin *origin,
                              struct byte_reader *in, struct failure *failure)
{
    bool has_same_rules = origin->rules_digest == rule_set_digest(engine->config->rules);
    struct state *state = &engine->state;

    state->now_ms = byte_take_i64(in);
    state->awake_ms = byte_take_i64(in);
    state->idle_kinds = byte_take_u32(in);
    if (byte_take_varint(in) != EVENT_KIND_COUNT)
        in->broken = true;
    for (int kind = 0; kind < EVENT_KIND_COUNT; kind++) {
        state->last_arrival_ms[kind] = byte_take_i64(in);
        state->watermark_ms[kind] = byte_take_i64(in);
        state->applied[kind] = byte_take_u64(in);
        state->duplicates[kind] = byte_take_u64(in);
        state->late[kind] = byte_take_u64(in);
        state->future[kind] = byte_take_u64(in);
    }
    if (in->broken)
        return failure_set(failure, REMEDY_STOP, "the saved state is cut off");
    if (state->now_ms != INT64_MIN)
        engine->future_limit_ms = state->now_ms + engine->config->options.future_max_ms;
    derive_holding(engine);
    if (rulebook_load(engine->book, has_same_rules, in, failure) != STATUS_OK)
        return STATUS_BROKEN;
    for (int kind = 0; kind < EVENT_KIND_COUNT; kind++)
        if (byte_take_u8(in) != 0)
            deduplicate_load(engine->seen[kind], in);
    return STATUS_OK;
}

/* One that is not ours is passed over. */
static enum status load_room(struct engine *engine, struct byte_reader *in, struct failure *failure)
{
    struct view name = byte_take_view(in);
    struct byte_reader section = byte_take_section(in);
    struct room_instance *room = NULL;

    if (in->broken)
        return failure_set(failure, REMEDY_STOP, "the saved state is cut off");
    for (uint32_t i = 0; i < engine->room_count; i++)
        if (view_is_text(name, engine->rooms[i].row->name))
            room = &engine->rooms[i];
    if (room == NULL)
        return STATUS_OK;
    if (room->state != NULL)
        return failure_set(failure, REMEDY_STOP, "the saved state has %s twice", room->row->name);
    struct room_setup setup = setup_of(engine, room);
    room->state = room->row->load(&setup, &section, failure);
    if (room->state == NULL)
        return STATUS_BROKEN;
    if (section.broken || byte_reader_left(&section) > 0)
        return failure_set(failure, REMEDY_STOP, "the saved state of %s is damaged",
                           room->row->name);
    return STATUS_OK;
}

static enum status load_rooms(struct engine *engine, const struct origin *origin,
                              struct byte_reader *in, struct failure *failure)
{
    bool is_same = origin->config_digest == engine_config_digest(engine->config);
    uint64_t count = byte_take_count(in, 1);
    enum status status = STATUS_OK;

    for (uint64_t i = 0; i < count && status == STATUS_OK; i++)
        status = load_room(engine, in, failure);
    for (uint32_t i = 0; i < engine->room_count && status == STATUS_OK; i++) {
        struct room_instance *room = &engine->rooms[i];
        struct room_setup setup = setup_of(engine, room);

        if (room->state != NULL)
            continue;
        if (is_same)
            status = failure_set(failure, REMEDY_STOP, "the saved state has no part for %s",
                                 room->row->name);
        else
            room->state = room->row->open(&setup);
    }
    return status;
}

struct engine *engine_load(const struct engine_config *config, int32_t partition,
                           struct byte_reader *in, struct failure *failure)
{
    struct engine *engine = create_engine(config, partition);
    struct origin origin;
    enum status status = load_header(engine, in, &origin, failure);

    if (status == STATUS_OK)
        status = load_state(engine, &origin, in, failure);
    if (status == STATUS_OK)
        status = load_rooms(engine, &origin, in, failure);
    if (status == STATUS_OK && in->broken)
        status = failure_set(failure, REMEDY_STOP, "the saved state is cut off");
    if (status == STATUS_OK)
        return engine;
    engine_close(engine);
    return NULL;
}

uint64_t engine_digest(const struct engine *engine)
{
    struct byte_writer own;
    uint64_t digest;

    byte_writer_init(&own);
    save_state(engine, &own);
    digest = hash_bytes(own.data, own.size, (uint64_t)engine->partition);
    byte_writer_free(&own);
    for (uint32_t i = 0; i < engine->room_count; i++)
        digest = hash_mix(digest, engine->rooms[i].row->digest(engine->rooms[i].state));
    return digest;
}

void engine_stats(const struct engine *engine, struct engine_stats *stats)
{
    const struct state *state = &engine->state;

    *stats = (struct engine_stats){.state_bytes = sizeof *engine};
    for (int kind = 0; kind < EVENT_KIND_COUNT; kind++) {
        stats->applied[kind] = state->applied[kind];
        stats->duplicates[kind] = state->duplicates[kind];
        stats->late[kind] = state->late[kind];
        stats->future[kind] = state->future[kind];
        stats->watermark_ms[kind] = state->watermark_ms[kind];
        if (engine->seen[kind] == NULL)
            continue;
        stats->state_bytes += deduplicate_bytes(engine->seen[kind]);
        stats->ids_pushed_out += deduplicate_pushed_out(engine->seen[kind]);
    }
    for (uint32_t i = 0; i < engine->room_count; i++)
        if (engine->rooms[i].row->stats != NULL)
            engine->rooms[i].row->stats(engine->rooms[i].state, stats);
}
