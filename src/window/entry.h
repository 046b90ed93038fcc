#ifndef WINDOW_ENTRY_H
#define WINDOW_ENTRY_H
/*
 * entry.h - how a point of a series lies in memory; for series.c and trunk.c.
 *
 * A count needs 16 bytes, since its weight is its count; the others need 48.
 */
#include <stdbool.h>
#include <stdint.h>

#include "window/series.h"

struct narrow_entry {
    int64_t time_ms;
    uint32_t count;
    uint32_t value;
};
struct wide_entry {
    int64_t time_ms;
    uint32_t count;
    uint32_t unused;
    __int128 weight;
    __int128 value;
};

static inline bool is_wide(const struct series_rule *rule)
{
    return rule->kind != SERIES_COUNT;
}

static inline size_t entry_bytes(const struct series_rule *rule)
{
    return is_wide(rule) ? sizeof(struct wide_entry) : sizeof(struct narrow_entry);
}

static inline int64_t entry_time(const void *entry)
{
    return ((const struct narrow_entry *)entry)->time_ms;
}

/* count stands at the same place in both. */
static inline uint32_t entry_count(const void *entry)
{
    return ((const struct narrow_entry *)entry)->count;
}

static inline void entry_count_one(void *entry)
{
    ((struct narrow_entry *)entry)->count++;
}

static inline __int128 entry_weight(const struct series_rule *rule, const void *entry)
{
    return is_wide(rule) ? ((const struct wide_entry *)entry)->weight
                         : ((const struct narrow_entry *)entry)->count;
}

/* The weight of a count is its count: nothing to do. */
static inline void entry_add_weight(const struct series_rule *rule, void *entry, __int128 weight)
{
    if (is_wide(rule))
        ((struct wide_entry *)entry)->weight += weight;
}

static inline __int128 entry_value(const struct series_rule *rule, const void *entry)
{
    return is_wide(rule) ? ((const struct wide_entry *)entry)->value
                         : ((const struct narrow_entry *)entry)->value;
}

static inline void entry_raise(const struct series_rule *rule, void *entry, __int128 rise)
{
    if (is_wide(rule))
        ((struct wide_entry *)entry)->value += rise;
    else
        ((struct narrow_entry *)entry)->value += (uint32_t)rise;
}

/* An entry at which nothing has happened yet. */
static inline void entry_init(const struct series_rule *rule, void *entry, int64_t time_ms,
                              __int128 value)
{
    if (is_wide(rule))
        *(struct wide_entry *)entry = (struct wide_entry){.time_ms = time_ms, .value = value};
    else
        *(struct narrow_entry *)entry =
            (struct narrow_entry){.time_ms = time_ms, .value = (uint32_t)value};
}

/* Times at the ends of the axis stay there instead of wrapping. */
static inline int64_t time_plus(int64_t time_ms, int64_t more_ms)
{
    int64_t sum;

    if (__builtin_add_overflow(time_ms, more_ms, &sum))
        return more_ms < 0 ? INT64_MIN : INT64_MAX;
    return sum;
}
static inline int64_t time_minus(int64_t time_ms, int64_t less_ms)
{
    int64_t difference;

    if (__builtin_sub_overflow(time_ms, less_ms, &difference))
        return less_ms < 0 ? INT64_MAX : INT64_MIN;
    return difference;
}
#endif
