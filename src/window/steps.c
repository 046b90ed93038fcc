/*
 * Every point keeps, for each step, how many of its events there were up to then since
 * the series began (a running number that may wrap: only differences are used). The
 * count-th latest event up to a point is then found by a binary search for its number,
 * and forgetting old points loses nothing: numbers from before the first point kept are
 * older than any window.
 */
#include "window/steps.h"

#include <assert.h>
#include <string.h>

#include "window/entry.h"

enum { CAPACITY_LEAST = 2, COUNT_MAX = 1 << 28 };

struct step {
    int64_t reach_ms; /* INT64_MIN: not complete */
    uint32_t here;    /* events at this point */
    uint32_t number;  /* of the last event up to this point */
};

struct step_point {
    int64_t time_ms;
    uint32_t count;
    uint32_t value;
    struct step steps[];
};

static size_t stride_of(const struct steps_rule *rule)
{
    return sizeof(struct step_point) + rule->step_count * sizeof(struct step);
}

static inline struct step_point *point_at(const struct steps *steps, const struct steps_rule *rule,
                                          uint32_t index)
{
    return (struct step_point *)(void *)(steps->points + index * stride_of(rule));
}

static inline uint32_t end_of(const struct steps *steps)
{
    return steps->head + steps->count;
}

static uint32_t index_after(const struct steps *steps, const struct steps_rule *rule,
                            int64_t after_ms)
{
    uint32_t low = steps->head, high = end_of(steps);

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (point_at(steps, rule, middle)->time_ms <= after_ms)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void resize(struct steps *steps, struct blocks *blocks, const struct steps_rule *rule,
                   uint32_t capacity)
{
    size_t stride = stride_of(rule);
    char *points = blocks_take(blocks, capacity * stride);

    if (steps->count > 0)
        memcpy(points, point_at(steps, rule, steps->head), steps->count * stride);
    if (steps->capacity > 0)
        blocks_give(blocks, steps->points, steps->capacity * stride);
    steps->points = points;
    steps->capacity = capacity;
    steps->head = 0;
}

static void make_room(struct steps *steps, struct blocks *blocks, const struct steps_rule *rule)
{
    if (end_of(steps) < steps->capacity)
        return;
    if (steps->head > 0 && steps->head >= steps->capacity / 4) {
        memmove(steps->points, point_at(steps, rule, steps->head), steps->count * stride_of(rule));
        steps->head = 0;
        return;
    }
    assert(steps->capacity < COUNT_MAX);
    resize(steps, blocks, rule, steps->capacity == 0 ? CAPACITY_LEAST : steps->capacity * 2);
}

/* Number of the last event of step `step` before the first point kept. */
static uint32_t base_of(const struct steps *steps, const struct steps_rule *rule, uint32_t step)
{
    const struct step *first = &point_at(steps, rule, steps->head)->steps[step];

    return first->number - first->here;
}

/* The point with the count-th latest event of the step up to point `index`; end_of when
 * there are not so many. */
static uint32_t find_latest(const struct steps *steps, const struct steps_rule *rule, uint32_t step,
                            uint32_t index)
{
    uint32_t base = base_of(steps, rule, step);
    uint32_t known = point_at(steps, rule, index)->steps[step].number - base;

    if (known < rule->counts[step])
        return end_of(steps);
    uint32_t sought = known - rule->counts[step] + 1;
    uint32_t low = steps->head, high = index;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (point_at(steps, rule, middle)->steps[step].number - base < sought)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void compute_point(const struct steps *steps, const struct steps_rule *rule, uint32_t index)
{
    struct step_point *point = point_at(steps, rule, index);
    int64_t edge_ms = time_minus(point->time_ms, rule->window_ms);

    point->value = 0;
    for (uint32_t step = 0; step < rule->step_count; step++) {
        uint32_t latest = find_latest(steps, rule, step, index);
        int64_t reach_ms = INT64_MIN;
        if (latest != end_of(steps)) {
            const struct step_point *at = point_at(steps, rule, latest);
            reach_ms = rule->is_in_turn && step > 0 ? at->steps[step - 1].reach_ms : at->time_ms;
        }
        point->steps[step].reach_ms = reach_ms;
        if (reach_ms > edge_ms)
            point->value++;
    }
}

/* A point at which nothing has happened yet, at `index`. */
static void insert_point(struct steps *steps, const struct steps_rule *rule, uint32_t index,
                         int64_t time_ms)
{
    size_t stride = stride_of(rule);
    struct step_point *point = point_at(steps, rule, index);
    uint32_t numbers[STEPS_MAX] = {0};

    for (uint32_t step = 0; step < rule->step_count && steps->count > 0; step++)
        numbers[step] = index > steps->head ? point_at(steps, rule, index - 1)->steps[step].number
                                            : base_of(steps, rule, step);
    memmove((char *)point + stride, point, (end_of(steps) - index) * stride);
    memset(point, 0, stride);
    point->time_ms = time_ms;
    for (uint32_t step = 0; step < rule->step_count; step++)
        point->steps[step].number = numbers[step];
    steps->count++;
}

void steps_add(struct steps *steps, struct blocks *blocks, const struct steps_rule *rule,
               int64_t time_ms, uint32_t mask, struct series_outcome *outcome,
               struct point_list *satisfied)
{
    make_room(steps, blocks, rule);
    uint32_t index = index_after(steps, rule, time_minus(time_ms, 1));
    bool is_new = index == end_of(steps) || point_at(steps, rule, index)->time_ms != time_ms;

    satisfied->count = 0;
    if (is_new)
        insert_point(steps, rule, index, time_ms);
    struct step_point *point = point_at(steps, rule, index);
    outcome->is_last = index + 1 == end_of(steps);
    outcome->was_satisfied = !is_new && point->value >= rule->need;
    point->count++;
    for (uint32_t step = 0; step < rule->step_count; step++)
        if ((mask >> step & 1) != 0)
            point->steps[step].here++;
    for (uint32_t later = index; later < end_of(steps); later++) {
        struct step_point *at = point_at(steps, rule, later);
        bool was_satisfied = at->value >= rule->need && !(is_new && later == index);
        for (uint32_t step = 0; step < rule->step_count; step++)
            at->steps[step].number += mask >> step & 1;
        compute_point(steps, rule, later);
        if (!was_satisfied && at->value >= rule->need)
            point_list_add(satisfied, at->time_ms, at->count);
    }
    outcome->value = point->value;
}

void steps_trim(struct steps *steps, struct blocks *blocks, const struct steps_rule *rule,
                int64_t watermark_ms)
{
    int64_t until_ms = time_minus(watermark_ms, rule->window_ms);

    while (steps->count > 0 && point_at(steps, rule, steps->head)->time_ms <= until_ms) {
        steps->head++;
        steps->count--;
    }
    uint32_t capacity = steps->capacity;
    while (capacity > CAPACITY_LEAST && steps->count * 4 <= capacity)
        capacity /= 2;
    if (capacity < steps->capacity)
        resize(steps, blocks, rule, capacity);
}

uint32_t steps_max(const struct steps *steps, const struct steps_rule *rule, int64_t from_ms,
                   int64_t until_ms)
{
    uint32_t highest = 0;

    for (uint32_t index = index_after(steps, rule, time_minus(from_ms, 1));
         index < end_of(steps) && point_at(steps, rule, index)->time_ms < until_ms; index++)
        if (point_at(steps, rule, index)->value > highest)
            highest = point_at(steps, rule, index)->value;
    return highest;
}

int64_t steps_first_after(const struct steps *steps, const struct steps_rule *rule,
                          int64_t after_ms)
{
    uint32_t index = index_after(steps, rule, after_ms);

    return index < end_of(steps) ? point_at(steps, rule, index)->time_ms : INT64_MAX;
}

int64_t steps_last(const struct steps *steps, const struct steps_rule *rule)
{
    return steps->count == 0 ? INT64_MIN : point_at(steps, rule, end_of(steps) - 1)->time_ms;
}

void steps_prefetch(const struct steps *steps, const struct steps_rule *rule)
{
    if (steps->count == 0)
        return;
    __builtin_prefetch(point_at(steps, rule, steps->head), 1);
    __builtin_prefetch(point_at(steps, rule, end_of(steps) - 1), 1);
}

void steps_free(struct steps *steps, struct blocks *blocks, const struct steps_rule *rule)
{
    if (steps->capacity > 0)
        blocks_give(blocks, steps->points, steps->capacity * stride_of(rule));
    *steps = (struct steps){0};
}

void steps_save(const struct steps *steps, const struct steps_rule *rule, struct byte_writer *out)
{
    byte_put_varint(out, steps->capacity);
    byte_put_varint(out, steps->head);
    byte_put_varint(out, steps->count);
    for (uint32_t index = steps->head; index < end_of(steps); index++) {
        const struct step_point *point = point_at(steps, rule, index);
        byte_put_i64(out, point->time_ms);
        byte_put_u32(out, point->count);
        byte_put_u32(out, point->value);
        for (uint32_t step = 0; step < rule->step_count; step++) {
            byte_put_i64(out, point->steps[step].reach_ms);
            byte_put_u32(out, point->steps[step].here);
            byte_put_u32(out, point->steps[step].number);
        }
    }
}

bool steps_load(struct steps *steps, struct blocks *blocks, const struct steps_rule *rule,
                struct byte_reader *in)
{
    uint64_t capacity = byte_take_varint(in);
    uint64_t head = byte_take_varint(in);
    uint64_t count = byte_take_count(in, stride_of(rule));

    /* A run is at most four times what is in it, or the least: a corrupt capacity must
     * not size an allocation. */
    if (in->broken || head > capacity || count > capacity - head || capacity > COUNT_MAX ||
        capacity > 4 * count + 2 * CAPACITY_LEAST)
        return false;
    if (capacity > 0)
        resize(steps, blocks, rule, (uint32_t)capacity);
    steps->head = (uint32_t)head;
    for (; steps->count < count; steps->count++) {
        struct step_point *point = point_at(steps, rule, end_of(steps));
        point->time_ms = byte_take_i64(in);
        point->count = byte_take_u32(in);
        point->value = byte_take_u32(in);
        for (uint32_t step = 0; step < rule->step_count; step++) {
            point->steps[step].reach_ms = byte_take_i64(in);
            point->steps[step].here = byte_take_u32(in);
            point->steps[step].number = byte_take_u32(in);
        }
        if (steps->count > 0 && point->time_ms <= point_at(steps, rule, end_of(steps) - 1)->time_ms)
            return false;
    }
    return !in->broken;
}
