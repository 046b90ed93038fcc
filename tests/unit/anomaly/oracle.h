#ifndef UNIT_ANOMALY_ORACLE_H
#define UNIT_ANOMALY_ORACLE_H
/*
 * oracle.h - episodes by brute force, straight from the definitions of README.md.
 *
 * Knows all events at once; for every time it looks at all of them again.
 */
#include <stdbool.h>
#include <stdint.h>

enum oracle_kind {
    ORACLE_EVENT,
    ORACLE_EVENT_COUNT,
    ORACLE_VALUE_COUNT,
    ORACLE_VALUE_SUM,
    ORACLE_TEMPORAL,
    ORACLE_TEMPORAL_ORDERED,
};

enum { ORACLE_EVENTS_MAX = 4096, ORACLE_STEPS_MAX = 3 };

struct oracle_rule {
    enum oracle_kind kind;
    int64_t window_ms;
    int64_t quiet_ms;
    int64_t need; /* sums: in hundredths */
    uint32_t step_count;
    uint32_t step_counts[ORACLE_STEPS_MAX];
};

/* A selected event of the group. */
struct oracle_event {
    int64_t time_ms;
    int64_t weight; /* hundredths */
    int value;      /* < 0: null */
    uint32_t steps; /* bits */
};

struct oracle_episode {
    int64_t opened_ms, last_ms, first_event_ms;
    int64_t count;
    int64_t value;
};

static inline bool oracle_is_inside(const struct oracle_rule *rule, int64_t time_ms, int64_t end_ms)
{
    return end_ms - rule->window_ms < time_ms && time_ms <= end_ms;
}

static inline int64_t oracle_distinct(const struct oracle_rule *rule,
                                      const struct oracle_event *events, uint32_t count,
                                      int64_t end_ms)
{
    int64_t distinct = 0;

    for (uint32_t at = 0; at < count; at++) {
        bool is_first = events[at].value >= 0 && oracle_is_inside(rule, events[at].time_ms, end_ms);
        for (uint32_t before = 0; before < at && is_first; before++)
            is_first = events[before].value != events[at].value ||
                       !oracle_is_inside(rule, events[before].time_ms, end_ms);
        distinct += is_first;
    }
    return distinct;
}

static inline uint32_t oracle_step_between(const struct oracle_event *events, uint32_t count,
                                           uint32_t step, int64_t from_ms, int64_t until_ms)
{
    uint32_t found = 0;

    for (uint32_t at = 0; at < count; at++)
        found += (events[at].steps >> step & 1) != 0 && from_ms <= events[at].time_ms &&
                 events[at].time_ms <= until_ms;
    return found;
}

/* Step by step, each complete as early as can be. */
static inline int64_t oracle_in_turn(const struct oracle_rule *rule,
                                     const struct oracle_event *events, uint32_t count,
                                     int64_t end_ms)
{
    int64_t from_ms = end_ms - rule->window_ms + 1;

    for (uint32_t step = 0; step < rule->step_count; step++) {
        int64_t until_ms = from_ms;
        while (until_ms <= end_ms && oracle_step_between(events, count, step, from_ms, until_ms) <
                                         rule->step_counts[step])
            until_ms++;
        if (until_ms > end_ms)
            return step;
        from_ms = until_ms;
    }
    return rule->step_count;
}

static inline int64_t oracle_value(const struct oracle_rule *rule,
                                   const struct oracle_event *events, uint32_t count,
                                   int64_t end_ms)
{
    int64_t value = 0;

    switch (rule->kind) {
    case ORACLE_EVENT:
        return 1;
    case ORACLE_VALUE_COUNT:
        return oracle_distinct(rule, events, count, end_ms);
    case ORACLE_TEMPORAL_ORDERED:
        return oracle_in_turn(rule, events, count, end_ms);
    case ORACLE_TEMPORAL:
        for (uint32_t step = 0; step < rule->step_count; step++)
            value += oracle_step_between(events, count, step, end_ms - rule->window_ms + 1,
                                         end_ms) >= rule->step_counts[step];
        return value;
    case ORACLE_EVENT_COUNT:
    case ORACLE_VALUE_SUM:
        for (uint32_t at = 0; at < count; at++)
            if (oracle_is_inside(rule, events[at].time_ms, end_ms))
                value += rule->kind == ORACLE_VALUE_SUM ? events[at].weight : 1;
        return value;
    }
    return 0;
}

static inline int64_t oracle_first(const struct oracle_rule *rule,
                                   const struct oracle_event *events, uint32_t count,
                                   int64_t opened_ms)
{
    if (rule->kind == ORACLE_EVENT)
        return opened_ms;
    for (uint32_t at = 0; at < count; at++)
        if (oracle_is_inside(rule, events[at].time_ms, opened_ms))
            return events[at].time_ms;
    return opened_ms;
}

/* events: of one group, by time. Returns how many episodes there are. */
static inline uint32_t oracle_episodes(const struct oracle_rule *rule,
                                       const struct oracle_event *events, uint32_t count,
                                       struct oracle_episode *episodes)
{
    uint32_t found = 0;

    for (uint32_t at = 0; at < count;) {
        int64_t time_ms = events[at].time_ms;
        int64_t value = oracle_value(rule, events, count, time_ms);
        uint32_t here = 0;
        for (; at < count && events[at].time_ms == time_ms; at++)
            here++;
        if (rule->kind != ORACLE_EVENT && value < rule->need)
            continue;
        if (found == 0 || time_ms - episodes[found - 1].last_ms > rule->quiet_ms)
            episodes[found++] = (struct oracle_episode){
                .opened_ms = time_ms, .first_event_ms = oracle_first(rule, events, count, time_ms)};
        struct oracle_episode *episode = &episodes[found - 1];
        episode->last_ms = time_ms;
        episode->count += here;
        if (value > episode->value)
            episode->value = value;
    }
    return found;
}
#endif
