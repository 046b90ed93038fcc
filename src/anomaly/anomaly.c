/*
 * One event goes through three passes, so that the memory of its groups is on its way
 * while the next rule is looked at: select and hash; find where the group may lie;
 * change it.
 */
#include "anomaly/anomaly.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "anomaly/state.h"
#include "base/hash.h"
#include "window/entry.h"

enum { CANDIDATES_MAX = 16 };

/* Times beyond this are no times of events; sums of two of them do not overflow. */
static const int64_t time_most_ms = INT64_MAX / 4;

/* More than any currency's amount; in millionths far from the end of the 128 bits of a sum. */
static const double number_max = 1e15;

static void *take_zeroed(size_t count, size_t size)
{
    void *memory = calloc(count, size);

    if (memory == NULL)
        abort();
    return memory;
}

struct anomaly *anomaly_open(const struct rule_set *rules, const struct anomaly_options *options)
{
    struct anomaly *anomaly = take_zeroed(1, sizeof *anomaly);

    anomaly->rules = rules;
    anomaly->options = *options;
    anomaly->pages = pages_create();
    blocks_open_in(&anomaly->blocks, anomaly->pages);
    slab_open_in(&anomaly->groups, anomaly->pages, sizeof(struct group));
    slab_open_in(&anomaly->episodes, anomaly->pages, sizeof(struct episode));
    series_memory_open(&anomaly->series, anomaly->pages, &anomaly->blocks);
    cover_memory_open(&anomaly->covers, anomaly->pages, &anomaly->blocks);
    table_open(&anomaly->table);
    byte_writer_init(&anomaly->keys);
    byte_writer_init(&anomaly->expected.keys);
    anomaly->queues = take_zeroed(rules->count + 1, sizeof *anomaly->queues);
    anomaly->open_counts = take_zeroed(rules->count + 1, sizeof *anomaly->open_counts);
    for (uint32_t kind = 0; kind < EVENT_KIND_COUNT; kind++)
        anomaly->watermark_ms[kind] = INT64_MIN;
    for (uint32_t lane = 0; lane < LANE_COUNT; lane++)
        anomaly->lanes[lane].watermark_ms = INT64_MIN;
    return anomaly;
}

/* Every group, without a word. */
static void forget_groups(struct anomaly *anomaly)
{
    for (uint32_t rule = 0; rule < anomaly->rules->count; rule++)
        while (anomaly->queues[rule].first != 0)
            group_remove_first(anomaly, rule, NULL);
}

void anomaly_close(struct anomaly *anomaly)
{
    if (anomaly == NULL)
        return;
    forget_groups(anomaly);
    for (uint32_t lane = 0; lane < LANE_COUNT; lane++)
        free(anomaly->lanes[lane].heap);
    free(anomaly->queues);
    free(anomaly->open_counts);
    point_list_free(&anomaly->satisfied);
    byte_writer_free(&anomaly->keys);
    byte_writer_free(&anomaly->expected.keys);
    table_close(&anomaly->table);
    cover_memory_close(&anomaly->covers);
    series_memory_close(&anomaly->series);
    slab_close(&anomaly->episodes);
    slab_close(&anomaly->groups);
    pages_destroy(anomaly->pages);
    free(anomaly);
}

/* In millionths. Whole and fraction apart: their product with the scale would not fit the
 * digits of a double where the amount itself does. */
static __int128 weigh(const struct rule *rule, const struct event *event,
                      const struct anomaly_context *context)
{
    const struct field_source *source = &rule->values[event->kind];
    double number, whole;

    if (!field_is_there(source, event))
        return 0;
    number = field_number(source, event, context);
    /* Only what adds keeps a satisfied condition satisfied. Also: not a number. */
    if (!(number > 0))
        return 0;
    if (number > number_max)
        number = number_max;
    whole = floor(number);
    return (__int128)whole * (int64_t)SUM_SCALE + (int64_t)nearbyint((number - whole) * SUM_SCALE);
}

static void fill_sighting(struct sighting *sighting, const struct series_outcome *outcome,
                          const struct series_change *change)
{
    sighting->is_late = !outcome->is_last;
    sighting->was_satisfied = outcome->was_satisfied;
    sighting->value = outcome->value;
    sighting->from_ms = change->from_ms;
    sighting->until_ms = change->until_ms;
}

static void add_to_series(struct anomaly *anomaly, struct group *group, const struct rule *rule,
                          const struct anomaly_context *context, struct sighting *sighting)
{
    int64_t watermark_ms = group_watermark(anomaly, rule);
    const struct field_source *source = &rule->values[sighting->event->kind];
    void *lent = rule->type == RULE_VALUE_COUNT ? NULL : group->lent;
    struct series_change change = {
        .time_ms = sighting->time_ms,
        .from_ms = sighting->time_ms,
        .until_ms = time_plus(sighting->time_ms, rule->window_ms),
        .rise = 1,
        .weight = 1,
        .moved_ms = INT64_MIN,
    };
    struct series_outcome outcome;
    char room[FIELD_ROOM];

    if (watermark_ms != INT64_MIN)
        series_trim(&group->series, &anomaly->series, lent, &rule->series, watermark_ms);
    if (rule->type == RULE_VALUE_SUM) {
        change.rise = weigh(rule, sighting->event, context);
        change.weight = change.rise;
    } else if (rule->type == RULE_VALUE_COUNT) {
        cover_trim(&anomaly->covers, &group->covers, watermark_ms);
        cover_add(&anomaly->covers, &group->covers, group->reference,
                  field_text(source, sighting->event, context, room), sighting->time_ms,
                  rule->window_ms, watermark_ms, &change);
    }
    series_add(&group->series, &anomaly->series, lent, &rule->series, &change, &outcome,
               &anomaly->satisfied);
    fill_sighting(sighting, &outcome, &change);
}

static void add_to_steps(struct anomaly *anomaly, struct group *group, const struct rule *rule,
                         uint32_t steps, struct sighting *sighting)
{
    int64_t watermark_ms = group_watermark(anomaly, rule);
    struct series_change reach = {
        .from_ms = sighting->time_ms,
        .until_ms = time_plus(sighting->time_ms, rule->window_ms),
    };
    struct series_outcome outcome;

    if (watermark_ms != INT64_MIN)
        steps_trim(&group->steps, &anomaly->blocks, &rule->steps, watermark_ms);
    steps_add(&group->steps, &anomaly->blocks, &rule->steps, sighting->time_ms, steps, &outcome,
              &anomaly->satisfied);
    fill_sighting(sighting, &outcome, &reach);
}

static int64_t forget_until(const struct anomaly *anomaly, const struct rule *rule)
{
    int64_t watermark_ms = group_watermark(anomaly, rule);

    return watermark_ms == INT64_MIN ? INT64_MIN : time_minus(watermark_ms, rule->window_ms);
}

/* True when the times are still all that has to be known. What is forgotten lies outside
 * the window of whatever may still come, and has not satisfied; so the window made of the
 * rest later on goes on as if it had been there all along. */
static bool add_briefly(struct anomaly *anomaly, struct group *group, const struct rule *rule,
                        uint32_t steps, int64_t time_ms)
{
    struct brief *brief = &group->brief;
    int64_t forget_ms = forget_until(anomaly, rule);

    if (brief->count >= rule->brief_most)
        brief_forget(brief, &anomaly->blocks, forget_ms);
    if (brief->count >= rule->brief_most)
        return false;
    if (rule->type == RULE_TEMPORAL_ORDERED &&
        ((steps & 1) != 0 || (brief->count > 0 && brief->mark != steps)))
        return false;
    brief->mark = (uint8_t)steps;
    return brief_add(brief, &anomaly->blocks, time_ms, forget_ms);
}

/* This and the two below are rare: inlined, their registers would be saved at every event.
 * From the times, the window as it would be had it been kept from the start. */
__attribute__((noinline)) static void widen(struct anomaly *anomaly, struct group *group,
                                            const struct rule *rule)
{
    int64_t times_ms[BRIEF_MAX];
    uint32_t count = brief_list(&group->brief, times_ms);
    uint32_t steps = group->brief.mark;
    struct series_outcome outcome;

    brief_free(&group->brief, &anomaly->blocks);
    group->is_brief = false;
    group->newest_ms = count > 0 ? times_ms[count - 1] : INT64_MIN;
    for (uint32_t index = 0; index < count; index++) {
        struct series_change change = {
            .time_ms = times_ms[index],
            .from_ms = times_ms[index],
            .until_ms = time_plus(times_ms[index], rule->window_ms),
            .rise = 1,
            .weight = 1,
            .moved_ms = INT64_MIN,
        };
        if (rule->type == RULE_EVENT_COUNT)
            series_add(&group->series, &anomaly->series, group->lent, &rule->series, &change,
                       &outcome, &anomaly->satisfied);
        else
            steps_add(&group->steps, &anomaly->blocks, &rule->steps, times_ms[index], steps,
                      &outcome, &anomaly->satisfied);
        assert(anomaly->satisfied.count == 0);
    }
}

/* After a quiet time nothing is left of the window, and the times are enough again. */
__attribute__((noinline)) static void narrow(struct anomaly *anomaly, struct group *group,
                                             const struct rule *rule)
{
    int64_t forget_ms = forget_until(anomaly, rule);

    if (rule->brief_most == 0 || group->episodes != 0 || group->newest_ms > forget_ms)
        return;
    if (rule->type == RULE_EVENT_COUNT)
        series_free(&group->series, &anomaly->series, group->lent, &rule->series);
    else
        steps_free(&group->steps, &anomaly->blocks, &rule->steps);
    group->brief = (struct brief){0};
    group->is_brief = true;
}

/* Into a window of which more is kept than the times. */
__attribute__((noinline)) static void
add_in_full(struct anomaly *anomaly, struct group *group, const struct candidate *candidate,
            const struct event *event, const struct anomaly_context *context, struct outbox *outbox)
{
    const struct rule *rule = candidate->rule;
    struct sighting sighting = {.event = event, .time_ms = event->event_time_ms};

    switch (rule->type) {
    case RULE_EVENT:
        sighting.is_late = sighting.time_ms < group->newest_ms;
        anomaly->satisfied.count = 0;
        point_list_add(&anomaly->satisfied, sighting.time_ms, 1);
        break;
    case RULE_EVENT_COUNT:
    case RULE_VALUE_COUNT:
    case RULE_VALUE_SUM:
        add_to_series(anomaly, group, rule, context, &sighting);
        break;
    case RULE_TEMPORAL:
    case RULE_TEMPORAL_ORDERED:
        add_to_steps(anomaly, group, rule, candidate->steps, &sighting);
        break;
    }
    if (group->newest_ms < sighting.time_ms)
        group->newest_ms = sighting.time_ms;
    if (anomaly->satisfied.count > 0 || group->episodes != 0)
        episode_apply(anomaly, group, rule, &sighting, &anomaly->satisfied, outbox);
}

static inline void apply_to_group(struct anomaly *anomaly, const struct candidate *candidate,
                                  const struct byte_writer *keys, const struct event *event,
                                  const struct anomaly_context *context, struct outbox *outbox)
{
    const struct rule *rule = candidate->rule;
    struct view key = candidate_key(keys, candidate);
    int64_t time_ms = event->event_time_ms;

    /* An event older than the least watermark of the rule's kinds can come when a kind
     * was left out for a while: its time is settled. */
    if (time_ms < group_watermark(anomaly, rule))
        return;
    if (!rule->has_episodes) {
        episode_publish_event(anomaly, rule, key, event, outbox);
        return;
    }
    uint32_t group_count = anomaly->groups.live_count;
    size_t block_bytes = anomaly->blocks.bytes;
    struct group *group = group_take(anomaly, rule, candidate->hash, key, candidate->guess);
    group->touched = anomaly->event_count;
    if (!group->is_brief)
        narrow(anomaly, group, rule);
    if (group->is_brief) {
        if (add_briefly(anomaly, group, rule, candidate->steps, time_ms)) {
            if (anomaly->groups.live_count == group_count && anomaly->blocks.bytes == block_bytes)
                return; /* nothing was taken */
            goto done;
        }
        widen(anomaly, group, rule);
    }
    add_in_full(anomaly, group, candidate, event, context, outbox);

done:
    if (group_bytes(anomaly) > anomaly->options.bytes_max)
        group_enforce_budget(anomaly, group, outbox);
}

static void apply_unexpected(struct anomaly *anomaly, const struct event *event,
                             const struct anomaly_context *context, struct outbox *outbox)
{
    uint32_t reader_count = anomaly->rules->reader_counts[event->kind];
    struct candidate candidates[CANDIDATES_MAX];

    for (uint32_t at = 0; at < reader_count;) {
        byte_writer_reset(&anomaly->keys);
        uint32_t count = candidate_list(anomaly, event, context, &at, &anomaly->keys, candidates,
                                        CANDIDATES_MAX);
        candidate_prefetch(anomaly, candidates, count);
        for (uint32_t index = 0; index < count; index++)
            apply_to_group(anomaly, &candidates[index], &anomaly->keys, event, context, outbox);
    }
}

void anomaly_apply(struct anomaly *anomaly, const struct event *event,
                   const struct anomaly_context *context, struct outbox *outbox)
{
    struct expected *expected = &anomaly->expected;

    if (event->event_time_ms > time_most_ms || event->event_time_ms < -time_most_ms)
        return;
    anomaly->event_count++;
    if (context->expected == 0 || context->expected > expected->count) {
        apply_unexpected(anomaly, event, context, outbox);
        return;
    }
    uint32_t at = context->expected > 1 ? expected->ends[context->expected - 2] : 0;
    uint32_t end = expected->ends[context->expected - 1];
    candidate_fetch_windows(anomaly, end);
    for (; at < end; at++)
        apply_to_group(anomaly, &expected->candidates[at], &expected->keys, event, context, outbox);
}

/* The least watermark of the kinds; INT64_MAX when all of them are left out. */
static int64_t least_watermark(const struct anomaly *anomaly, uint32_t kinds)
{
    int64_t least_ms = INT64_MAX;

    for (; kinds != 0; kinds &= kinds - 1) {
        int64_t watermark_ms = anomaly->watermark_ms[__builtin_ctz(kinds)];
        if (watermark_ms < least_ms)
            least_ms = watermark_ms;
    }
    return least_ms;
}

void anomaly_advance(struct anomaly *anomaly, const int64_t watermark_ms[EVENT_KIND_COUNT],
                     struct outbox *outbox)
{
    uint32_t changed = 0;

    for (uint32_t kind = 0; kind < EVENT_KIND_COUNT; kind++) {
        if (anomaly->watermark_ms[kind] == watermark_ms[kind])
            continue;
        anomaly->watermark_ms[kind] = watermark_ms[kind];
        changed |= 1u << kind;
    }
    if (changed == 0)
        return;
    for (uint32_t index = 0; index < anomaly->rules->lane_count; index++) {
        uint32_t kinds = anomaly->rules->lanes[index];
        struct lane *lane = &anomaly->lanes[kinds];
        if ((kinds & changed) == 0)
            continue;
        int64_t least_ms = least_watermark(anomaly, kinds);
        if (least_ms == INT64_MAX || least_ms <= lane->watermark_ms)
            continue;
        lane->watermark_ms = least_ms;
        episode_close_due(anomaly, lane, outbox);
    }
}

void anomaly_tick(struct anomaly *anomaly, int64_t now_ms,
                  const int64_t last_arrival_ms[EVENT_KIND_COUNT], struct outbox *outbox)
{
    for (uint32_t index = 0; index < anomaly->rules->count; index++) {
        const struct rule *rule = &anomaly->rules->rules[index];
        int64_t silent_ms = INT64_MAX, lateness_ms = 0;
        if (anomaly->open_counts[index] == 0)
            continue;
        for (uint32_t kind = 0; kind < EVENT_KIND_COUNT; kind++) {
            if ((rule->kinds >> kind & 1) == 0)
                continue;
            int64_t silence_ms = time_minus(now_ms, last_arrival_ms[kind]);
            if (silence_ms < silent_ms)
                silent_ms = silence_ms;
            if (anomaly->options.lateness_ms[kind] > lateness_ms)
                lateness_ms = anomaly->options.lateness_ms[kind];
        }
        if (silent_ms >= time_plus(rule->quiet_ms, lateness_ms))
            episode_close_silent(anomaly, rule, outbox);
    }
}

void anomaly_finish(struct anomaly *anomaly, struct outbox *outbox)
{
    for (uint32_t index = 0; index < anomaly->rules->lane_count; index++) {
        struct lane *lane = &anomaly->lanes[anomaly->rules->lanes[index]];
        lane->watermark_ms = INT64_MAX;
        episode_close_due(anomaly, lane, outbox);
    }
}

/* Moves what the new rules know to their numbers, in the same order. */
static void adopt_queue(struct anomaly *anomaly, struct queue *queue, const struct rule *rule)
{
    for (uint32_t at = queue->first; at != 0;) {
        struct group *group = group_at(anomaly, at);
        at = group->next;
        group->rule = (uint16_t)rule->index;
    }
}

void anomaly_replace_rules(struct anomaly *anomaly, const struct rule_set *rules,
                           struct outbox *outbox)
{
    const struct rule_set *old = anomaly->rules;
    struct queue *queues = take_zeroed(rules->count + 1, sizeof *queues);
    uint32_t *open_counts = take_zeroed(rules->count + 1, sizeof *open_counts);

    for (uint32_t index = 0; index < old->count; index++)
        if (rule_set_find(rules, old->rules[index].digest) == NULL)
            while (anomaly->queues[index].first != 0)
                group_remove_first(anomaly, index, outbox);
    for (uint32_t index = 0; index < old->count; index++) {
        const struct rule *rule = rule_set_find(rules, old->rules[index].digest);
        if (rule == NULL || anomaly->queues[index].first == 0)
            continue;
        adopt_queue(anomaly, &anomaly->queues[index], rule);
        queues[rule->index] = anomaly->queues[index];
        open_counts[rule->index] = anomaly->open_counts[index];
    }
    free(anomaly->queues);
    free(anomaly->open_counts);
    anomaly->queues = queues;
    anomaly->open_counts = open_counts;
    anomaly->rules = rules;
    anomaly->expected.count = 0;
    for (uint32_t index = 0; index < rules->lane_count; index++) {
        struct lane *lane = &anomaly->lanes[rules->lanes[index]];
        int64_t least_ms = least_watermark(anomaly, rules->lanes[index]);
        if (least_ms != INT64_MAX && least_ms > lane->watermark_ms)
            lane->watermark_ms = least_ms;
        episode_close_due(anomaly, lane, outbox);
    }
}

void anomaly_stats(const struct anomaly *anomaly, struct anomaly_stats *stats)
{
    *stats = (struct anomaly_stats){
        .groups = anomaly->groups.live_count,
        .groups_evicted = anomaly->evicted_count,
        .episodes_open = anomaly->episodes.live_count,
        .bytes = group_bytes(anomaly),
    };
    memcpy(stats->opened, anomaly->opened, sizeof stats->opened);
}
