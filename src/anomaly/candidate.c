/*
 * Which groups an event touches: the rules that select it, and the keys that its fields
 * give. What was asked ahead of time for many events is kept until they come, so that
 * nothing is asked twice.
 *
 * The memory of a candidate comes in three steps, each some candidates behind the one
 * before it, so that what a step looks at is here:
 *
 *     slot of the table ─► group ─► what its window has outside of it
 *
 * A step is done for a few candidates at once. A prefetch of a page of which the processor
 * has yet to look up the address holds up all that follows but the prefetches right behind
 * it; and of those it looks up four or so at a time.
 */
#include <assert.h>
#include <string.h>

#include "anomaly/state.h"
#include "base/hash.h"

enum { SLOTS_AT_ONCE = 4, GROUPS_BEHIND = 20, WINDOWS_AHEAD = 8 };
enum { VARINT32_MAX = 5, SHORT_BYTES = 8 };

/* The bits of the steps that select the event. */
static uint32_t select_steps(const struct rule *rule, const struct event *event,
                             const struct anomaly_context *context)
{
    uint32_t steps = 0;

    for (uint32_t index = 0; index < rule->step_count; index++)
        if ((rule->step[index].kinds >> event->kind & 1) != 0 &&
            selection_matches(&rule->step[index].selections[event->kind], event, context))
            steps |= 1u << index;
    return steps;
}

/* Ids are short: two words that overlap, where memcpy would be a call. */
static inline void copy_text(char *to, struct view text)
{
    uint64_t first, last;

    if (text.size < SHORT_BYTES || text.size > 2 * SHORT_BYTES) {
        memcpy(to, text.data, text.size);
        return;
    }
    memcpy(&first, text.data, sizeof first);
    memcpy(&last, text.data + text.size - sizeof last, sizeof last);
    memcpy(to, &first, sizeof first);
    memcpy(to + text.size - sizeof last, &last, sizeof last);
}

/* As byte_put_view does, without its calls. */
static inline void put_part(struct byte_writer *keys, struct view part)
{
    uint32_t size = part.size;
    char *at;

    if (keys->capacity - keys->size < (size_t)size + VARINT32_MAX)
        byte_writer_reserve(keys, (size_t)size + VARINT32_MAX);
    at = keys->data + keys->size;
    for (; size >= 0x80; size >>= 7)
        *at++ = (char)(size | 0x80);
    *at++ = (char)size;
    copy_text(at, part);
    keys->size = (size_t)(at + part.size - keys->data);
}

/* The part that the keys of an event have in common: it stands once in front of the first that
 * needs more behind it. */
struct prefix {
    struct view tenant_id;
    uint32_t at, end; /* among the keys */
    uint64_t hash;
};

static inline struct prefix put_prefix(struct byte_writer *keys, struct view tenant_id)
{
    struct prefix prefix = {.tenant_id = tenant_id, .at = (uint32_t)keys->size};

    prefix.hash = group_hash_part(0, tenant_id);
    put_part(keys, tenant_id);
    prefix.end = (uint32_t)keys->size;
    return prefix;
}

/* The key of the event for the candidate's rule. False: a field is null, so the event is in no
 * group. */
static inline bool put_key(struct byte_writer *keys, const struct prefix *prefix,
                           const struct event *event, const struct anomaly_context *context,
                           struct candidate *candidate)
{
    const struct rule *rule = candidate->rule;
    const struct field_source *source = rule->groups[event->kind];
    const size_t before = keys->size;
    uint64_t hash = prefix->hash;
    char room[FIELD_ROOM];

    candidate->key_at = prefix->at;
    if (rule->group_count > 0 && before != prefix->end) {
        candidate->key_at = (uint32_t)before;
        put_part(keys, prefix->tenant_id);
    }
    for (uint32_t left = rule->group_count; left > 0; left--, source++) {
        struct view part = field_is_plain_text(source) ? field_plain_text(source, event)
                                                       : field_text(source, event, context, room);
        if (view_is_absent(part)) {
            keys->size = before;
            return false;
        }
        hash = group_hash_part(hash, part);
        put_part(keys, part);
    }
    const size_t end = rule->group_count > 0 ? keys->size : prefix->end;
    candidate->key_size = (uint32_t)end - candidate->key_at;
    candidate->hash = group_hash_of(rule, hash);
    return true;
}

uint32_t candidate_list(const struct anomaly *anomaly, const struct event *event,
                        const struct anomaly_context *context, uint32_t *from,
                        struct byte_writer *keys, struct candidate *candidates, uint32_t most)
{
    const struct reader *readers = anomaly->rules->readers[event->kind];
    const uint32_t reader_count = anomaly->rules->reader_counts[event->kind];
    uint32_t at = *from, count = 0;

    *from = reader_count;
    if (view_is_absent(event->tenant_id))
        return 0;
    const struct prefix prefix = put_prefix(keys, event->tenant_id);
    while (at < reader_count && count < most) {
        const struct reader *reader = &readers[at];
        uint32_t steps = 1;
        if (reader->only == NULL)
            steps = select_steps(reader->rule, event, context);
        else if (!selection_matches(reader->only, event, context))
            steps = 0;
        at = steps != 0 ? at + 1 : reader->other;
        if (steps == 0)
            continue;
        candidates[count] = (struct candidate){.rule = reader->rule, .steps = steps};
        if (put_key(keys, &prefix, event, context, &candidates[count]))
            count++;
    }
    *from = at;
    return count;
}

static void prefetch_group(const struct anomaly *anomaly, struct candidate *candidate)
{
    uint32_t at, reference;

    if (!candidate->rule->has_episodes)
        return;
    reference = table_first(&anomaly->table, candidate->hash, &at);
    if (reference == 0)
        return;
    candidate->guess = group_at(anomaly, reference);
    __builtin_prefetch(candidate->guess, 1);
    __builtin_prefetch((char *)candidate->guess + 64, 1);
}

/* The oldest point, which may have to go, and the newest. */
static void prefetch_window(const struct candidate *candidate)
{
    const struct group *group = candidate->guess;

    if (group == NULL)
        return;
    if (group->is_brief) {
        brief_prefetch(&group->brief);
        return;
    }
    switch (candidate->rule->type) {
    case RULE_EVENT:
        break;
    case RULE_EVENT_COUNT:
    case RULE_VALUE_COUNT:
    case RULE_VALUE_SUM:
        series_prefetch(&group->series, &candidate->rule->series);
        break;
    case RULE_TEMPORAL:
    case RULE_TEMPORAL_ORDERED:
        steps_prefetch(&group->steps, &candidate->rule->steps);
        break;
    }
}

static void prefetch_slots(const struct anomaly *anomaly, const struct candidate *candidates,
                           uint32_t from, uint32_t until)
{
    for (uint32_t index = from; index < until; index++)
        table_prefetch(&anomaly->table, candidates[index].hash);
}

static void prefetch_groups(const struct anomaly *anomaly, struct candidate *candidates,
                            uint32_t from, uint32_t until)
{
    for (uint32_t index = from; index < until; index++)
        prefetch_group(anomaly, &candidates[index]);
}

void candidate_prefetch(const struct anomaly *anomaly, struct candidate *candidates, uint32_t count)
{
    prefetch_slots(anomaly, candidates, 0, count);
    prefetch_groups(anomaly, candidates, 0, count);
}

void candidate_fetch_windows(struct anomaly *anomaly, uint32_t until)
{
    struct expected *expected = &anomaly->expected;

    until += WINDOWS_AHEAD;
    if (until > expected->candidate_count)
        until = expected->candidate_count;
    for (; expected->windows < until; expected->windows++)
        prefetch_window(&expected->candidates[expected->windows]);
}

void anomaly_expect(struct anomaly *anomaly, const struct event *events,
                    const struct anomaly_context *contexts, uint32_t count)
{
    struct expected *expected = &anomaly->expected;
    uint32_t found = 0;
    uint32_t slots = 0, groups = 0; /* of so many candidates are asked for */

    assert(count <= ANOMALY_EXPECT_MAX);
    byte_writer_reset(&expected->keys);
    expected->count = 0;
    expected->windows = 0;
    for (uint32_t at = 0; at < count; at++) {
        const struct event *event = &events[at];
        uint32_t from = 0;
        found += candidate_list(anomaly, event, &contexts[at], &from, &expected->keys,
                                &expected->candidates[found], EXPECTED_MAX - found);
        if (from < anomaly->rules->reader_counts[event->kind])
            break;
        expected->ends[at] = found;
        expected->count = at + 1;
        if (found - slots < SLOTS_AT_ONCE)
            continue;
        if (slots > groups + GROUPS_BEHIND) {
            prefetch_groups(anomaly, expected->candidates, groups, slots - GROUPS_BEHIND);
            groups = slots - GROUPS_BEHIND;
        }
        prefetch_slots(anomaly, expected->candidates, slots, found);
        slots = found;
    }
    expected->candidate_count = found;
    prefetch_slots(anomaly, expected->candidates, slots, found);
    prefetch_groups(anomaly, expected->candidates, groups, found);
}
