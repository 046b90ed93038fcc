/* Rules over windows, as a row of the dispatch table. */
#include "engine/room.h"

static struct anomaly_options options_of(const struct room_setup *setup)
{
    struct anomaly_options options = {.bytes_max = setup->bytes_max};

    for (int kind = 0; kind < EVENT_KIND_COUNT; kind++)
        options.lateness_ms[kind] = setup->lateness_ms[kind];
    return options;
}

static void *open_anomaly(const struct room_setup *setup)
{
    struct anomaly_options options = options_of(setup);

    return anomaly_open(setup->rules, &options);
}

static void close_anomaly(void *state)
{
    anomaly_close(state);
}

_Static_assert((int)ENGINE_EXPECT_MAX <= (int)ANOMALY_EXPECT_MAX, "the hint is passed on whole");

static struct anomaly_context context_of(const struct room_event *event)
{
    return (struct anomaly_context){event->local_hour, event->reference_amount, event->expected};
}

static void apply(void *state, const struct room_event *event, struct outbox *outbox)
{
    struct anomaly_context context = context_of(event);

    anomaly_apply(state, event->event, &context, outbox);
}

static void expect(void *state, const struct event *events, const struct room_event *seen,
                   uint32_t count)
{
    struct anomaly_context contexts[ENGINE_EXPECT_MAX];

    for (uint32_t i = 0; i < count; i++)
        contexts[i] = context_of(&seen[i]);
    anomaly_expect(state, events, contexts, count);
}

static void advance(void *state, const int64_t *watermark_ms, struct outbox *outbox)
{
    anomaly_advance(state, watermark_ms, outbox);
}

static void tick(void *state, int64_t now_ms, int64_t awake_ms, const int64_t *last_arrival_ms,
                 struct outbox *outbox)
{
    (void)now_ms;
    anomaly_tick(state, awake_ms, last_arrival_ms, outbox);
}

static void finish(void *state, struct outbox *outbox)
{
    anomaly_finish(state, outbox);
}

static void replace_rules(void *state, const struct rule_set *rules, struct outbox *outbox)
{
    anomaly_replace_rules(state, rules, outbox);
}

static void save(const void *state, struct byte_writer *out)
{
    anomaly_save(state, out);
}

static void *load(const struct room_setup *setup, struct byte_reader *in, struct failure *failure)
{
    struct anomaly_options options = options_of(setup);

    return anomaly_load(setup->rules, &options, in, failure);
}

static uint64_t digest(const void *state)
{
    return anomaly_digest(state);
}

static void add_stats(const void *state, struct engine_stats *stats)
{
    struct anomaly_stats own;

    anomaly_stats(state, &own);
    stats->keys += own.groups;
    stats->keys_evicted += own.groups_evicted;
    stats->episodes_open += own.episodes_open;
    stats->state_bytes += own.bytes;
    for (int i = 0; i < 3; i++)
        stats->alerts_opened[i] += own.opened[i];
}

const struct room room_anomaly = {
    .name = "anomaly",
    .kinds = (1u << EVENT_COMMAND) - 1,
    .memory_share = 3,
    .open = open_anomaly,
    .close = close_anomaly,
    .apply = apply,
    .expect = expect,
    .advance = advance,
    .tick = tick,
    .finish = finish,
    .replace_rules = replace_rules,
    .save = save,
    .load = load,
    .digest = digest,
    .stats = add_stats,
};
