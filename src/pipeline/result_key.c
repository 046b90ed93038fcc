#include "pipeline/result_key.h"

#include <string.h>

static struct view job_key(const struct result *result, struct arena *arena)
{
    struct view tenant = result->tenant_id;
    char *key = arena_alloc(arena, 3 * (size_t)tenant.size + 1 + result->id.size);
    char *at = key;

    for (uint32_t i = 0; i < tenant.size; i++) {
        if (tenant.data[i] == '/' || tenant.data[i] == '%') {
            *at++ = '%';
            *at++ = '2';
            *at++ = tenant.data[i] == '/' ? 'F' : '5';
        } else {
            *at++ = tenant.data[i];
        }
    }
    *at++ = '/';
    memcpy(at, result->id.data, result->id.size);
    return (struct view){key, (uint32_t)(at - key) + result->id.size};
}

struct view result_key(const struct result *result, struct arena *arena)
{
    switch (result->kind) {
    case RESULT_BATCH_JOB:
        return job_key(result, arena);
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
