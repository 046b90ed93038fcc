#ifndef ENGINE_LOCAL_TIME_H
#define ENGINE_LOCAL_TIME_H
/*
 * local_time.h - the hour on the wall of a tenant, without asking its time zone for
 * every event.
 *
 * A pure function with a memory: what is remembered changes the cost, never the
 * answer, so it is no part of the state.
 *
 * Memory   owned; a fixed amount for each zone
 * Threads  one owner; the zones are shared and outlive it
 */
#include <stdint.h>

#include "base/zone.h"

struct local_time;

/* zones[0] .. zones[count - 1], borrowed for its life. */
struct local_time *local_time_create(const struct zone *const *zones, uint32_t count);
void local_time_destroy(struct local_time *local);
/* 0..23 in zones[zone_index]. */
int32_t local_time_hour(struct local_time *local, uint32_t zone_index, int64_t time_ms);
#endif
