/*
 * The newest points lie in a short sorted array. When it is full, its oldest part
 * goes into the trunk, a balanced tree:
 *
 *     [ trunk: chunks of points, O(log n) to change ] [ entries: <= 64 points ]
 *                                                        ^low        ^last
 *
 * Every point carries the value of its window. Adding at time s with rise x adds x to
 * the values in [s, s + window). The value of a new last point is that of the last one
 * less what has left the window since; `low` (or the trunk's own cursor) marks how far
 * the window's lower edge has come, so that the edge moves once over each point.
 *
 * Values and weights are exact integers; the order of arrival cannot change a sum.
 */
#include "window/series.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "window/entry.h"
#include "window/trunk.h"

enum { CAPACITY_LEAST = 4, SEAL_COUNT = 48, POINTS_LEAST = 64 };

void point_list_add(struct point_list *list, int64_t time_ms, uint32_t count)
{
    if (list->count == list->capacity) {
        uint32_t capacity = list->capacity == 0 ? POINTS_LEAST : list->capacity * 2;
        struct point *at = realloc(list->at, capacity * sizeof *at);
        if (at == NULL) {
            fprintf(stderr, "series: the heap has no room for %u points\n", capacity);
            abort();
        }
        list->at = at;
        list->capacity = capacity;
    }
    list->at[list->count++] = (struct point){time_ms, count};
}

void point_list_free(struct point_list *list)
{
    free(list->at);
    *list = (struct point_list){0};
}

static inline char *entry_at(const struct series *series, const struct series_rule *rule,
                             uint32_t index)
{
    return series->entries + index * entry_bytes(rule);
}

static inline uint32_t end_of(const struct series *series)
{
    return (uint32_t)series->head + series->count;
}

/* The first entry in use with a time above `after`; end_of when there is none. */
static uint32_t index_after(const struct series *series, const struct series_rule *rule,
                            int64_t after_ms)
{
    uint32_t low = series->head, high = end_of(series);

    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (entry_time(entry_at(series, rule, middle)) <= after_ms)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int64_t series_last(const struct series *series, const struct series_rule *rule)
{
    if (series->count == 0)
        return INT64_MIN;
    return entry_time(entry_at(series, rule, end_of(series) - 1));
}

static void set_low(struct series *series, const struct series_rule *rule)
{
    int64_t last = series_last(series, rule);

    series->low = (uint16_t)index_after(series, rule, time_minus(last, rule->window_ms));
}

static void move_entries(struct series *series, struct series_memory *memory, void *lent,
                         const struct series_rule *rule, uint32_t capacity)
{
    size_t bytes = capacity * entry_bytes(rule);
    char *entries =
        lent != NULL && bytes <= SERIES_LENT_BYTES ? lent : blocks_take(memory->blocks, bytes);

    if (series->count > 0)
        memmove(entries, entry_at(series, rule, series->head), series->count * entry_bytes(rule));
    if (series->entries != lent)
        blocks_give(memory->blocks, series->entries, series->capacity * entry_bytes(rule));
    series->low = (uint16_t)(series->low - series->head);
    series->head = 0;
    series->entries = entries;
    series->capacity = (uint16_t)capacity;
}

/* The oldest entries go to the trunk; the newest stay, as most of what is late is
 * only a little late. */
static void seal(struct series *series, struct series_memory *memory,
                 const struct series_rule *rule)
{
    if (series->trunk == NULL)
        series->trunk = trunk_create(memory);
    trunk_append(series->trunk, memory, rule, entry_at(series, rule, series->head), SEAL_COUNT);
    series->head += SEAL_COUNT;
    series->count -= SEAL_COUNT;
    if (series->low < series->head)
        series->low = series->head;
}

/* Room for one more entry after the last. */
static void make_room(struct series *series, struct series_memory *memory, void *lent,
                      const struct series_rule *rule)
{
    size_t stride = entry_bytes(rule);

    if (series->capacity == 0) {
        bool is_lent = lent != NULL && stride <= SERIES_LENT_BYTES;
        move_entries(series, memory, lent, rule,
                     is_lent ? SERIES_LENT_BYTES / (uint32_t)stride : CAPACITY_LEAST);
        return;
    }
    if (series->count == SERIES_FLAT_MAX)
        seal(series, memory, rule);
    if (end_of(series) < series->capacity)
        return;
    if (series->head * 4 >= series->capacity || series->capacity == SERIES_FLAT_MAX) {
        memmove(series->entries, entry_at(series, rule, series->head), series->count * stride);
        series->low = (uint16_t)(series->low - series->head);
        series->head = 0;
        return;
    }
    move_entries(series, memory, lent, rule,
                 series->capacity < CAPACITY_LEAST ? CAPACITY_LEAST : series->capacity * 2u);
}

static __int128 flat_sum(const struct series *series, const struct series_rule *rule,
                         int64_t after_ms, int64_t until_ms)
{
    __int128 sum = 0;

    for (uint32_t index = index_after(series, rule, after_ms);
         index < end_of(series) && entry_time(entry_at(series, rule, index)) <= until_ms; index++)
        sum += entry_weight(rule, entry_at(series, rule, index));
    return sum;
}

/* What leaves the window when its upper edge goes from the last point to `time`. */
static __int128 slide(struct series *series, struct series_memory *memory,
                      const struct series_rule *rule, int64_t time_ms)
{
    int64_t until_ms = time_minus(time_ms, rule->window_ms);
    __int128 sum = 0;

    if (series->trunk != NULL)
        sum = trunk_slide(series->trunk, memory, rule,
                          time_minus(series_last(series, rule), rule->window_ms), until_ms);
    for (; series->low < end_of(series); series->low++) {
        const char *entry = entry_at(series, rule, series->low);
        if (entry_time(entry) > until_ms)
            break;
        sum += entry_weight(rule, entry);
    }
    return sum;
}

static __int128 sum_between(const struct series *series, const struct series_memory *memory,
                            const struct series_rule *rule, int64_t after_ms, int64_t until_ms)
{
    __int128 sum = flat_sum(series, rule, after_ms, until_ms);

    if (series->trunk != NULL)
        sum += trunk_sum(series->trunk, memory, rule, after_ms, until_ms);
    return sum;
}

/* The value that a point at a time not yet in the series would have. */
static __int128 value_between(const struct series *series, const struct series_memory *memory,
                              const struct series_rule *rule, int64_t time_ms)
{
    int64_t edge_ms = time_minus(time_ms, rule->window_ms);
    int64_t before_ms = 0;
    __int128 value = 0;

    if (rule->kind != SERIES_COVER)
        return sum_between(series, memory, rule, edge_ms, time_ms);
    uint32_t index = index_after(series, rule, time_ms);
    if (index > series->head) {
        before_ms = entry_time(entry_at(series, rule, index - 1));
        value = entry_value(rule, entry_at(series, rule, index - 1));
    } else if (series->trunk == NULL ||
               !trunk_before(series->trunk, memory, rule, time_ms, &before_ms, &value)) {
        return 0;
    }
    if (before_ms <= edge_ms)
        return 0;
    return value -
           sum_between(series, memory, rule, time_minus(before_ms, rule->window_ms), edge_ms);
}

static void insert_flat(struct series *series, struct series_memory *memory, void *lent,
                        const struct series_rule *rule, int64_t time_ms, __int128 value)
{
    make_room(series, memory, lent, rule);
    size_t stride = entry_bytes(rule);
    uint32_t index = index_after(series, rule, time_ms);
    char *entry = entry_at(series, rule, index);

    memmove(entry + stride, entry, (end_of(series) - index) * stride);
    entry_init(rule, entry, time_ms, value);
    series->count++;
}

/* Raises the values of entries in [from, until), reporting those that come to satisfy. */
static void raise_flat(struct series *series, const struct series_rule *rule, int64_t from_ms,
                       int64_t until_ms, __int128 rise, struct point_list *satisfied)
{
    uint32_t index = index_after(series, rule, time_minus(from_ms, 1));

    for (; index < end_of(series); index++) {
        char *entry = entry_at(series, rule, index);
        if (entry_time(entry) >= until_ms)
            break;
        bool was_satisfied = entry_value(rule, entry) >= rule->need;
        entry_raise(rule, entry, rise);
        if (!was_satisfied && entry_value(rule, entry) >= rule->need)
            point_list_add(satisfied, entry_time(entry), entry_count(entry));
    }
}

static void add_weight_at(struct series *series, struct series_memory *memory,
                          const struct series_rule *rule, int64_t time_ms, __int128 weight)
{
    uint32_t index = index_after(series, rule, time_minus(time_ms, 1));

    if (index < end_of(series) && entry_time(entry_at(series, rule, index)) == time_ms)
        entry_add_weight(rule, entry_at(series, rule, index), weight);
    else
        trunk_add_weight(series->trunk, memory, rule, time_ms, weight);
}

/* Nothing later is there: the last point, or a new one after it. */
static void add_last(struct series *series, struct series_memory *memory, void *lent,
                     const struct series_rule *rule, const struct series_change *change,
                     struct series_outcome *outcome, struct point_list *satisfied)
{
    bool is_new = series->count == 0 || series_last(series, rule) < change->time_ms;

    if (is_new) {
        __int128 value = 0;
        if (series->count > 0)
            value = entry_value(rule, entry_at(series, rule, end_of(series) - 1)) -
                    slide(series, memory, rule, change->time_ms);
        make_room(series, memory, lent, rule);
        if (series->count == 0)
            series->low = series->head;
        entry_init(rule, entry_at(series, rule, end_of(series)), change->time_ms, value);
        series->count++;
    }
    char *entry = entry_at(series, rule, end_of(series) - 1);
    __int128 before = entry_value(rule, entry);
    entry_count_one(entry);
    entry_add_weight(rule, entry, change->weight);
    if (change->from_ms <= change->time_ms && change->time_ms < change->until_ms)
        entry_raise(rule, entry, change->rise);
    outcome->is_last = true;
    outcome->value = entry_value(rule, entry);
    outcome->was_satisfied = !is_new && before >= rule->need;
    if (!outcome->was_satisfied && outcome->value >= rule->need)
        point_list_add(satisfied, change->time_ms, entry_count(entry));
}

/* Puts the points in order and counts each once: the new point may be one of those
 * that the rise made satisfy. */
static void report_point(struct point_list *satisfied, int64_t time_ms, uint32_t count)
{
    uint32_t index;

    for (uint32_t known = 0; known < satisfied->count; known++)
        if (satisfied->at[known].time_ms == time_ms)
            return;
    point_list_add(satisfied, time_ms, count);
    for (index = satisfied->count - 1; index > 0 && satisfied->at[index - 1].time_ms > time_ms;
         index--)
        satisfied->at[index] = satisfied->at[index - 1];
    satisfied->at[index] = (struct point){time_ms, count};
}

/* Counts one more at a time that lies amid the flat entries. */
static void count_flat(struct series *series, struct series_memory *memory, void *lent,
                       const struct series_rule *rule, const struct series_change *change,
                       bool is_new, __int128 value)
{
    if (is_new)
        insert_flat(series, memory, lent, rule, change->time_ms, value);
    uint32_t index = index_after(series, rule, time_minus(change->time_ms, 1));
    entry_count_one(entry_at(series, rule, index));
    entry_add_weight(rule, entry_at(series, rule, index), change->weight);
    set_low(series, rule);
}

/* The value at a time, which may be a point already. */
static __int128 value_at(const struct series *series, const struct series_memory *memory,
                         const struct series_rule *rule, int64_t time_ms, bool is_trunk,
                         bool *is_point)
{
    uint32_t index = index_after(series, rule, time_minus(time_ms, 1));
    int64_t found_ms = 0;
    __int128 value = 0;

    *is_point = !is_trunk && entry_time(entry_at(series, rule, index)) == time_ms;
    if (*is_point)
        return entry_value(rule, entry_at(series, rule, index));
    *is_point = is_trunk && trunk_before(series->trunk, memory, rule, time_ms, &found_ms, &value) &&
                found_ms == time_ms;
    return *is_point ? value : value_between(series, memory, rule, time_ms);
}

/* Something later is there already. */
static void add_amid(struct series *series, struct series_memory *memory, void *lent,
                     const struct series_rule *rule, const struct series_change *change,
                     struct series_outcome *outcome, struct point_list *satisfied)
{
    bool is_trunk, is_point;

    /* Now, since it decides where the point belongs. */
    if (series->count == SERIES_FLAT_MAX)
        seal(series, memory, rule);
    is_trunk = series->trunk != NULL && change->time_ms <= trunk_last(series->trunk, memory, rule);
    __int128 value = value_at(series, memory, rule, change->time_ms, is_trunk, &is_point);
    if (is_trunk)
        trunk_insert(series->trunk, memory, rule, change->time_ms, change->weight, value);
    else
        count_flat(series, memory, lent, rule, change, !is_point, value);
    if (series->trunk != NULL)
        trunk_raise(series->trunk, memory, rule, change->from_ms, change->until_ms, change->rise,
                    satisfied);
    raise_flat(series, rule, change->from_ms, change->until_ms, change->rise, satisfied);
    outcome->is_last = false;
    outcome->was_satisfied = is_point && value >= rule->need;
    outcome->value = value;
    if (change->from_ms <= change->time_ms && change->time_ms < change->until_ms)
        outcome->value += change->rise;
    if (!is_point && value >= rule->need)
        report_point(satisfied, change->time_ms, 1);
}

void series_add(struct series *series, struct series_memory *memory, void *lent,
                const struct series_rule *rule, const struct series_change *change,
                struct series_outcome *outcome, struct point_list *satisfied)
{
    satisfied->count = 0;
    if (series->count == 0 || series_last(series, rule) <= change->time_ms)
        add_last(series, memory, lent, rule, change, outcome, satisfied);
    else
        add_amid(series, memory, lent, rule, change, outcome, satisfied);
    if (change->moved_ms != INT64_MIN)
        add_weight_at(series, memory, rule, change->moved_ms, -1);
}

/* What is not later than this is in no window of a point that may still come, and no value
 * is derived from it. The value of a new last point is derived from that of the last one,
 * so the window of the last one stays whole. The value of a new point among intervals is
 * derived from the point before it, which reaches one window further back. */
static int64_t forget_until(const struct series *series, const struct series_rule *rule,
                            int64_t watermark_ms)
{
    int64_t last_ms = series_last(series, rule);
    int64_t until_ms = time_minus(watermark_ms, rule->window_ms);

    if (rule->kind == SERIES_COVER)
        until_ms = time_minus(until_ms, rule->window_ms);
    if (last_ms <= until_ms)
        return until_ms;
    int64_t edge_ms = time_minus(last_ms, rule->window_ms);
    return edge_ms < until_ms ? edge_ms : until_ms;
}

void series_trim(struct series *series, struct series_memory *memory, void *lent,
                 const struct series_rule *rule, int64_t watermark_ms)
{
    int64_t until_ms = forget_until(series, rule, watermark_ms);

    if (series->trunk != NULL && trunk_trim(series->trunk, memory, rule, until_ms)) {
        trunk_destroy(series->trunk, memory, rule);
        series->trunk = NULL;
    }
    /* What stands in the trunk goes first. */
    if (series->trunk != NULL)
        return;
    while (series->count > 0 && entry_time(entry_at(series, rule, series->head)) <= until_ms) {
        series->head++;
        series->count--;
    }
    if (series->low < series->head)
        series->low = series->head;
    if (series->capacity > CAPACITY_LEAST && series->count * 4 <= series->capacity)
        move_entries(series, memory, lent, rule,
                     series->capacity / 2 < CAPACITY_LEAST ? CAPACITY_LEAST
                                                           : series->capacity / 2u);
}

__int128 series_max(const struct series *series, const struct series_memory *memory,
                    const struct series_rule *rule, int64_t from_ms, int64_t until_ms)
{
    __int128 highest =
        series->trunk != NULL ? trunk_max(series->trunk, memory, rule, from_ms, until_ms) : 0;

    for (uint32_t index = index_after(series, rule, time_minus(from_ms, 1));
         index < end_of(series) && entry_time(entry_at(series, rule, index)) < until_ms; index++)
        if (entry_value(rule, entry_at(series, rule, index)) > highest)
            highest = entry_value(rule, entry_at(series, rule, index));
    return highest;
}

int64_t series_first_after(const struct series *series, const struct series_memory *memory,
                           const struct series_rule *rule, int64_t after_ms)
{
    if (series->trunk != NULL) {
        int64_t first_ms = trunk_first_after(series->trunk, memory, rule, after_ms);
        if (first_ms != INT64_MAX)
            return first_ms;
    }
    uint32_t index = index_after(series, rule, after_ms);
    return index < end_of(series) ? entry_time(entry_at(series, rule, index)) : INT64_MAX;
}

void series_prefetch(const struct series *series, const struct series_rule *rule)
{
    if (series->count == 0)
        return;
    __builtin_prefetch(entry_at(series, rule, series->head), 1);
    __builtin_prefetch(entry_at(series, rule, end_of(series) - 1), 1);
}

void series_free(struct series *series, struct series_memory *memory, void *lent,
                 const struct series_rule *rule)
{
    if (series->trunk != NULL)
        trunk_destroy(series->trunk, memory, rule);
    if (series->capacity > 0 && series->entries != lent)
        blocks_give(memory->blocks, series->entries, series->capacity * entry_bytes(rule));
    *series = (struct series){0};
}

void series_save(const struct series *series, const struct series_memory *memory,
                 const struct series_rule *rule, struct byte_writer *out)
{
    int64_t before_ms = 0;

    byte_put_varint(out, series->capacity);
    byte_put_varint(out, series->head);
    byte_put_varint(out, series->count);
    for (uint32_t index = series->head; index < end_of(series); index++)
        entry_save(rule, entry_at(series, rule, index), 0, &before_ms, out);
    byte_put_u8(out, series->trunk != NULL);
    if (series->trunk != NULL)
        trunk_save(series->trunk, memory, rule, out);
}

bool series_load(struct series *series, struct series_memory *memory, void *lent,
                 const struct series_rule *rule, struct byte_reader *in)
{
    uint64_t capacity = byte_take_varint(in);
    uint64_t head = byte_take_varint(in);
    uint64_t count = byte_take_varint(in);
    int64_t before_ms = 0;

    if (in->broken || capacity > SERIES_FLAT_MAX || head > capacity || count > capacity - head)
        return false;
    if (capacity > 0)
        move_entries(series, memory, lent, rule, (uint32_t)capacity);
    series->head = (uint16_t)head;
    for (; series->count < count; series->count++) {
        char *entry = entry_at(series, rule, end_of(series));
        int64_t last_ms = before_ms;
        if (!entry_load(rule, entry, &before_ms, in) ||
            (series->count > 0 && entry_time(entry) <= last_ms))
            return false;
    }
    if (series->count > 0)
        set_low(series, rule);
    else
        series->low = series->head;
    if (byte_take_u8(in) == 0)
        return !in->broken;
    series->trunk = trunk_create(memory);
    if (!trunk_load(series->trunk, memory, rule, in))
        return false;
    return series->count > 0 && trunk_last(series->trunk, memory, rule) <
                                    entry_time(entry_at(series, rule, series->head));
}
