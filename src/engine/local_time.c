/*
 * Time is cut into quarters of an hour. A quarter whose two ends have the same offset
 * from UTC has it throughout (no zone changed its offset twice within a quarter). Where
 * the offset is itself so many quarters, as nearly everywhere today, the hour is the same
 * throughout too, and is remembered:
 *
 *     zone 0  | slot 0 | slot 1 | ... | slot 15 |     slot = quarter modulo 16
 *     zone 1  | slot 0 | ...
 *
 * Sixteen quarters are four hours: events displaced by less do not push each other
 * out. A quarter in which the offset or the hour changes is never remembered.
 */
#include "engine/local_time.h"

#include <assert.h>
#include <stdlib.h>

enum { SLOTS = 16, QUARTER_MS = 15 * 60 * 1000, QUARTER_S = 15 * 60, DAY_S = 86400, HOUR_S = 3600 };

struct slot {
    int64_t quarter;
    int32_t hour;
};

struct local_time {
    const struct zone *const *zones;
    uint32_t count;
    /* The quarter that was asked for last, most likely the next one too; hour -1: none. */
    uint32_t last_zone;
    int64_t last_ms;
    int32_t last_hour;
    struct slot slots[];
};

static int64_t floor_divide(int64_t value, int64_t divisor)
{
    return value / divisor - (value % divisor < 0 ? 1 : 0);
}

struct local_time *local_time_create(const struct zone *const *zones, uint32_t count)
{
    struct local_time *local =
        malloc(sizeof *local + (size_t)count * SLOTS * sizeof local->slots[0]);

    assert(local != NULL);
    local->zones = zones;
    local->count = count;
    local->last_zone = 0;
    local->last_ms = 0;
    local->last_hour = -1;
    for (uint32_t i = 0; i < count * SLOTS; i++)
        local->slots[i] = (struct slot){INT64_MIN, 0};
    return local;
}

void local_time_destroy(struct local_time *local)
{
    free(local);
}

static int32_t hour_of(int64_t time_ms, int32_t offset_s)
{
    int64_t local_s = floor_divide(time_ms, 1000) + offset_s;

    return (int32_t)((local_s - floor_divide(local_s, DAY_S) * DAY_S) / HOUR_S);
}

/* Not inlined: the answer mostly is the one before, and shall cost no saved registers. */
__attribute__((noinline)) static int32_t look_up(struct local_time *local, uint32_t zone_index,
                                                 int64_t time_ms)
{
    assert(zone_index < local->count);
    int64_t quarter = floor_divide(time_ms, QUARTER_MS);
    struct slot *slot = &local->slots[(size_t)zone_index * SLOTS + ((uint64_t)quarter % SLOTS)];

    if (slot->quarter == quarter) {
        local->last_zone = zone_index;
        local->last_ms = quarter * QUARTER_MS;
        local->last_hour = slot->hour;
        return slot->hour;
    }
    const struct zone *zone = local->zones[zone_index];
    int32_t offset_s = zone_offset_s(zone, time_ms);
    int32_t hour = hour_of(time_ms, offset_s);
    if (offset_s % QUARTER_S == 0 && zone_offset_s(zone, quarter * QUARTER_MS) == offset_s &&
        zone_offset_s(zone, quarter * QUARTER_MS + QUARTER_MS - 1) == offset_s)
        *slot = (struct slot){quarter, hour};
    return hour;
}

int32_t local_time_hour(struct local_time *local, uint32_t zone_index, int64_t time_ms)
{
    if ((uint64_t)time_ms - (uint64_t)local->last_ms < QUARTER_MS &&
        zone_index == local->last_zone && local->last_hour >= 0)
        return local->last_hour;
    return look_up(local, zone_index, time_ms);
}
