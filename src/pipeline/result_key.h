#ifndef PIPELINE_RESULT_KEY_H
#define PIPELINE_RESULT_KEY_H
/*
 * result_key.h - the key under which a result is published.
 */
#include "event/result.h"

/* Absent: none (a result about the platform). */
static inline struct view result_key(const struct result *result)
{
    switch (result->kind) {
    case RESULT_BATCH_JOB:
    case RESULT_COMMAND_RESULT:
        return result->id;
    case RESULT_ALERT:
    case RESULT_RECOMMENDATION:
    case RESULT_ANALYTICS:
    case RESULT_AUDIT:
    case RESULT_NOTIFICATION:
    case RESULT_POPULARITY:
    case RESULT_KIND_COUNT:
        return result->tenant_id;
    }
    return result->tenant_id;
}
#endif
