#ifndef PIPELINE_RESULT_KEY_H
#define PIPELINE_RESULT_KEY_H
/*
 * result_key.h - the key under which a result is published.
 *
 * Tenants choose the ids of their batch jobs, so a job's key is TENANT/JOB, with %2F for a
 * slash in the tenant's id and %25 for a percent sign: no two jobs have the same.
 */
#include "base/arena.h"
#include "event/result.h"

/* Absent: none (a result about the platform). The key lives in the result or in the arena. */
struct view result_key(const struct result *result, struct arena *arena);
#endif
