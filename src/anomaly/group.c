/*
 * Groups lie in a table by hash and in one queue a rule. A touch only notes the number
 * of the event, so that nothing but the group's own memory is written; the queue is put
 * in order when somebody looks at its head (second chance; Corbató, "A paging
 * experiment with the Multics system", 1968).
 */
#include <assert.h>
#include <string.h>

#include "anomaly/state.h"
#include "base/hash.h"
#include "window/entry.h"

enum { AGED_AT_ONCE = 2 };

_Static_assert(sizeof(struct group) == 128, "a group fills two cache lines");
_Static_assert(sizeof(struct episode) % 16 == 0, "slabs hold multiples of 16 bytes");

uint32_t group_hash(const struct rule *rule, struct view key)
{
    struct byte_reader reader = byte_reader_of(key.data, key.size);
    uint64_t hash = 0;

    while (byte_reader_left(&reader) > 0) {
        const uint32_t size = (uint32_t)byte_take_varint(&reader);
        const char *part = byte_take(&reader, size);
        assert(part != NULL);
        hash = group_hash_part(hash, (struct view){part, size});
    }
    return group_hash_of(rule, hash);
}

bool group_find(const struct anomaly *anomaly, const struct rule *rule, uint32_t hash,
                struct view key, uint32_t *reference)
{
    uint32_t at;

    *reference = table_first(&anomaly->table, hash, &at);
    for (; *reference != 0; *reference = table_next(&anomaly->table, hash, &at))
        if (group_has_key(group_at(anomaly, *reference), rule, key))
            return true;
    return false;
}

static void enqueue(struct anomaly *anomaly, struct group *group)
{
    struct queue *queue = &anomaly->queues[group->rule];

    group->next = 0;
    if (queue->last != 0)
        group_at(anomaly, queue->last)->next = group->reference;
    else
        queue->first = group->reference;
    queue->last = group->reference;
}

static struct group *dequeue(struct anomaly *anomaly, uint32_t rule)
{
    struct queue *queue = &anomaly->queues[rule];
    struct group *group = group_at(anomaly, queue->first);

    queue->first = group->next;
    if (queue->first == 0)
        queue->last = 0;
    return group;
}

struct group *group_add(struct anomaly *anomaly, const struct rule *rule, uint32_t hash,
                        struct view key)
{
    uint32_t reference = slab_take(&anomaly->groups);
    struct group *group = group_at(anomaly, reference);
    char *text = group->key;

    group->reference = reference;
    group->hash = hash;
    group->rule = (uint16_t)rule->index;
    group->key_size = key.size;
    group->is_brief = rule->brief_most > 0;
    if (!group->is_brief)
        group->newest_ms = INT64_MIN;
    if (key.size > KEY_INLINE_BYTES) {
        text = blocks_take(&anomaly->blocks, key.size);
        group->long_key = text;
    }
    memcpy(text, key.data, key.size);
    table_put(&anomaly->table, hash, reference);
    enqueue(anomaly, group);
    return group;
}

struct group *group_take_unguessed(struct anomaly *anomaly, const struct rule *rule, uint32_t hash,
                                   struct view key)
{
    uint32_t reference;

    if (!group_find(anomaly, rule, hash, key, &reference)) {
        group_age(anomaly, rule);
        return group_add(anomaly, rule, hash, key);
    }
    struct group *group = group_at(anomaly, reference);
    group->is_active = true;
    return group;
}

int64_t group_newest(const struct group *group)
{
    return group->is_brief ? brief_newest(&group->brief) : group->newest_ms;
}

static void free_window(struct anomaly *anomaly, struct group *group, const struct rule *rule)
{
    if (group->is_brief) {
        brief_free(&group->brief, &anomaly->blocks);
        return;
    }
    switch (rule->type) {
    case RULE_EVENT:
        break;
    case RULE_VALUE_COUNT:
        cover_free(&anomaly->covers, &group->covers);
        series_free(&group->series, &anomaly->series, NULL, &rule->series);
        break;
    case RULE_EVENT_COUNT:
    case RULE_VALUE_SUM:
        series_free(&group->series, &anomaly->series, group->lent, &rule->series);
        break;
    case RULE_TEMPORAL:
    case RULE_TEMPORAL_ORDERED:
        steps_free(&group->steps, &anomaly->blocks, &rule->steps);
        break;
    }
}

void group_remove_first(struct anomaly *anomaly, uint32_t rule, struct outbox *outbox)
{
    struct group *group = dequeue(anomaly, rule);

    episode_close_all(anomaly, group, outbox);
    free_window(anomaly, group, group_rule(anomaly, group));
    table_remove(&anomaly->table, group->hash, group->reference);
    if (group->key_size > KEY_INLINE_BYTES)
        blocks_give(&anomaly->blocks, group->long_key, group->key_size);
    group->key_size = 0; /* so that it is no longer taken for itself */
    slab_give(&anomaly->groups, group->reference);
}

/* No event that may still come sees anything of it. */
static bool is_over(const struct anomaly *anomaly, const struct group *group,
                    const struct rule *rule)
{
    return group->episodes == 0 &&
           (rule->window_ms == 0 ||
            group_newest(group) <= time_minus(group_watermark(anomaly, rule), rule->window_ms));
}

/* The next looks will be at the first two: by then their memory is here. */
static void prefetch_first(const struct anomaly *anomaly, const struct queue *queue)
{
    if (queue->first == 0)
        return;
    const struct group *group = group_at(anomaly, queue->first);
    table_prefetch(&anomaly->table, group->hash);
    if (group->next == 0)
        return;
    const char *next = slab_at(&anomaly->groups, group->next);
    __builtin_prefetch(next, 1);
    __builtin_prefetch(next + 64, 1);
}

void group_age(struct anomaly *anomaly, const struct rule *rule)
{
    for (int looks = 0; looks < AGED_AT_ONCE; looks++) {
        uint32_t first = anomaly->queues[rule->index].first;
        if (first == 0)
            return;
        struct group *group = group_at(anomaly, first);
        if (is_over(anomaly, group, rule)) {
            group_remove_first(anomaly, rule->index, NULL);
        } else if (group->is_active) {
            group->is_active = false;
            enqueue(anomaly, dequeue(anomaly, rule->index));
        } else {
            return;
        }
        prefetch_first(anomaly, &anomaly->queues[rule->index]);
    }
}

size_t group_bytes(const struct anomaly *anomaly)
{
    return anomaly->blocks.bytes + series_memory_chunk_bytes(&anomaly->series) +
           cover_memory_bytes(&anomaly->covers) +
           anomaly->groups.live_count * (sizeof(struct group) + 2 * sizeof(struct table_slot)) +
           anomaly->episodes.live_count * (sizeof(struct episode) + sizeof(struct due));
}

/* The queue's first group that was not touched since it was queued; NULL: none. */
static struct group *find_idle(struct anomaly *anomaly, uint32_t rule, const struct group *kept)
{
    struct queue *queue = &anomaly->queues[rule];

    while (queue->first != 0) {
        struct group *group = group_at(anomaly, queue->first);
        if (!group->is_active && group != kept)
            return group;
        if (group == kept && queue->first == queue->last)
            return NULL;
        group->is_active = false;
        enqueue(anomaly, dequeue(anomaly, rule));
    }
    return NULL;
}

void group_enforce_budget(struct anomaly *anomaly, const struct group *kept, struct outbox *outbox)
{
    while (group_bytes(anomaly) > anomaly->options.bytes_max) {
        const struct group *idlest = NULL;
        for (uint32_t rule = 0; rule < anomaly->rules->count; rule++) {
            const struct group *group = find_idle(anomaly, rule, kept);
            if (group != NULL && (idlest == NULL || group->touched < idlest->touched))
                idlest = group;
        }
        if (idlest == NULL)
            return;
        anomaly->evicted_count++;
        group_remove_first(anomaly, idlest->rule, outbox);
    }
}
