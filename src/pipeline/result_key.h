#ifndef PIPELINE_RESULT_KEY_H
#define PIPELINE_RESULT_KEY_H
/*
 * result_key.h - the key under which a result is published, and where that leads.
 *
 * Results of one key stand in one partition, in the order in which they were made. Those
 * about the platform have no key, and a producer would scatter them; they are made by the
 * machine of partition 0 and go to partition 0, so that they stand in their order too.
 *
 * Tenants choose the ids of their batch jobs, so a job's key is TENANT/JOB, with %2F for a
 * slash in the tenant's id and %25 for a percent sign: no two jobs have the same.
 */
#include <stdint.h>

#include "base/arena.h"
#include "event/result.h"

/* Absent: none (a result about the platform). The key lives in the result or in the arena. */
struct view result_key(const struct result *result, struct arena *arena);

/* Where that key leads; -1: as a producer places it. */
static inline int32_t result_partition(struct view key)
{
    return view_is_absent(key) ? 0 : -1;
}
#endif
