#include "event/result.h"

#include <assert.h>
#include <string.h>

static const char *const categories[] = {"security", "model", "usage", "system", NULL};
static const char *const severities[] = {"low", "medium", "high", NULL};
static const char *const alert_statuses[] = {"open",     "updated", "closed", "acknowledged",
                                             "resolved", "ignored", NULL};
const char *const strategy_names[] = {"personal", "item_item", "popular_tenant", "popular_all",
                                      NULL};
_Static_assert(sizeof strategy_names / sizeof strategy_names[0] == STRATEGY_COUNT + 1,
               "a name each");
static const char *const job_statuses[] = {"pending", "processing", "completed",
                                           "failed",  "cancelled",  NULL};
static const char *const command_statuses[] = {"accepted", "rejected", NULL};
static const char *const notification_statuses[] = {"sent",       "retrying", "failed",
                                                    "suppressed", "silenced", NULL};

#define AT(member) offsetof(struct result, member)
#define FIELD(label, kind, member)                                                                 \
    {                                                                                              \
        .name = label, .type = kind, .offset = AT(member)                                          \
    }
#define NEEDED(label, kind, member)                                                                \
    {                                                                                              \
        .name = label, .type = kind, .flags = FIELD_REQUIRED, .offset = AT(member)                 \
    }
#define CHOICE(label, member, names)                                                               \
    {                                                                                              \
        .name = label, .type = FIELD_CHOICE, .flags = FIELD_REQUIRED, .offset = AT(member),        \
        .choices = names                                                                           \
    }
#define RESULT_ID(label)                                                                           \
    {                                                                                              \
        .name = label, .type = FIELD_TEXT, .flags = FIELD_REQUIRED | FIELD_ID, .offset = AT(id)    \
    }
#define TENANT_ID                                                                                  \
    {                                                                                              \
        .name = "tenant_id", .type = FIELD_TEXT, .flags = FIELD_ID, .offset = AT(tenant_id)        \
    }
#define SHAPE(label, table)                                                                        \
    {                                                                                              \
        .name = label, .fields = table, .field_count = sizeof(table) / sizeof(table[0]),           \
        .bytes = sizeof(struct result), .present_offset = AT(present)                              \
    }

static const struct field alert_fields[] = {
    RESULT_ID("alert_id"),
    TENANT_ID,
    NEEDED("type", FIELD_TEXT, alert.type),
    CHOICE("category", alert.category, categories),
    CHOICE("severity", alert.severity, severities),
    CHOICE("status", alert.status, alert_statuses),
    FIELD("group", FIELD_MAP, alert.group),
    FIELD("count", FIELD_INT, alert.count),
    FIELD("threshold", FIELD_DOUBLE, alert.threshold),
    FIELD("window_ms", FIELD_INT, alert.window_ms),
    FIELD("value", FIELD_DOUBLE, alert.value),
    FIELD("first_event_time", FIELD_TIME, alert.first_event_time_ms),
    FIELD("last_event_time", FIELD_TIME, alert.last_event_time_ms),
    FIELD("opened_time", FIELD_TIME, alert.opened_time_ms),
    FIELD("evidence", FIELD_TEXTS, alert.evidence),
    FIELD("message", FIELD_TEXT, alert.message),
    FIELD("merged_into", FIELD_TEXT, alert.merged_into),
};

static const struct field recommended_item_fields[] = {
    {.name = "product_id",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED | FIELD_ID,
     .offset = offsetof(struct recommended_item, product_id)},
    {.name = "score",
     .type = FIELD_DOUBLE,
     .flags = FIELD_REQUIRED,
     .offset = offsetof(struct recommended_item, score)},
    {.name = "reason", .type = FIELD_TEXT, .offset = offsetof(struct recommended_item, reason)},
};
static const struct shape recommended_item_shape = {
    .name = "recommended_item",
    .fields = recommended_item_fields,
    .field_count = 3,
    .bytes = sizeof(struct recommended_item),
    .present_offset = offsetof(struct recommended_item, present),
};

static const struct field recommendation_fields[] = {
    RESULT_ID("recommendation_id"),
    FIELD("request_id", FIELD_TEXT, recommendation.request_id),
    FIELD("job_id", FIELD_TEXT, recommendation.job_id),
    TENANT_ID,
    FIELD("customer_id", FIELD_TEXT, recommendation.customer_id),
    {.name = "items",
     .type = FIELD_RECORDS,
     .offset = AT(recommendation.items),
     .shape = &recommended_item_shape},
    FIELD("model_name", FIELD_TEXT, recommendation.model_name),
    FIELD("model_version", FIELD_TEXT, recommendation.model_version),
    FIELD("variant", FIELD_TEXT, recommendation.variant),
    CHOICE("strategy", recommendation.strategy, strategy_names),
    NEEDED("event_time", FIELD_TIME, recommendation.event_time_ms),
};

static const struct field batch_job_fields[] = {
    RESULT_ID("job_id"),
    TENANT_ID,
    CHOICE("status", batch_job.status, job_statuses),
    FIELD("total", FIELD_INT, batch_job.total),
    FIELD("processed", FIELD_INT, batch_job.processed),
    FIELD("failed", FIELD_INT, batch_job.failed),
    FIELD("attempts", FIELD_INT, batch_job.attempts),
    FIELD("submitted_time", FIELD_TIME, batch_job.submitted_time_ms),
    FIELD("finished_time", FIELD_TIME, batch_job.finished_time_ms),
    FIELD("error", FIELD_TEXT, batch_job.error),
};

static const struct field analytics_item_fields[] = {
    {.name = "subject",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED,
     .offset = offsetof(struct analytics_item, subject)},
    {.name = "value",
     .type = FIELD_DOUBLE,
     .flags = FIELD_REQUIRED,
     .offset = offsetof(struct analytics_item, value)},
};
static const struct shape analytics_item_shape = {
    .name = "analytics_item",
    .fields = analytics_item_fields,
    .field_count = 2,
    .bytes = sizeof(struct analytics_item),
    .present_offset = offsetof(struct analytics_item, present),
};

static const struct field analytics_fields[] = {
    RESULT_ID("analytics_id"),
    TENANT_ID,
    NEEDED("type", FIELD_TEXT, analytics.type),
    FIELD("subject", FIELD_TEXT, analytics.subject),
    NEEDED("event_time", FIELD_TIME, analytics.event_time_ms),
    {.name = "items",
     .type = FIELD_RECORDS,
     .offset = AT(analytics.items),
     .shape = &analytics_item_shape},
};

static const struct field command_result_fields[] = {
    RESULT_ID("command_id"),
    TENANT_ID,
    CHOICE("status", command_result.status, command_statuses),
    FIELD("error", FIELD_TEXT, command_result.error),
    FIELD("result", FIELD_MAP, command_result.result),
};

static const struct field audit_fields[] = {
    RESULT_ID("audit_id"),
    TENANT_ID,
    FIELD("actor", FIELD_TEXT, audit.actor),
    NEEDED("action", FIELD_TEXT, audit.action),
    FIELD("subject", FIELD_TEXT, audit.subject),
    FIELD("before", FIELD_MAP, audit.before),
    FIELD("after", FIELD_MAP, audit.after),
    NEEDED("event_time", FIELD_TIME, audit.event_time_ms),
};

static const struct field notification_fields[] = {
    RESULT_ID("notification_id"),
    TENANT_ID,
    NEEDED("alert_id", FIELD_TEXT, notification.alert_id),
    NEEDED("channel", FIELD_TEXT, notification.channel),
    CHOICE("status", notification.status, notification_statuses),
    FIELD("attempt", FIELD_INT, notification.attempt),
    FIELD("http_status", FIELD_INT, notification.http_status),
    FIELD("latency_ms", FIELD_DOUBLE, notification.latency_ms),
    FIELD("error", FIELD_TEXT, notification.error),
    NEEDED("event_time", FIELD_TIME, notification.event_time_ms),
};

static const struct field popular_item_fields[] = {
    {.name = "product_id",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED | FIELD_ID,
     .offset = offsetof(struct popular_item, product_id)},
    {.name = "count",
     .type = FIELD_DOUBLE,
     .flags = FIELD_REQUIRED,
     .offset = offsetof(struct popular_item, count),
     .least = 0,
     .most = 1e15},
};
static const struct shape popular_item_shape = {
    .name = "popular_item",
    .fields = popular_item_fields,
    .field_count = 2,
    .bytes = sizeof(struct popular_item),
    .present_offset = offsetof(struct popular_item, present),
};

static const struct field popularity_fields[] = {
    RESULT_ID("popularity_id"),
    {.name = "tenant_id",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED | FIELD_ID,
     .offset = AT(tenant_id)},
    NEEDED("event_time", FIELD_TIME, popularity.event_time_ms),
    {.name = "items",
     .type = FIELD_RECORDS,
     .offset = AT(popularity.items),
     .most = 1000,
     .shape = &popular_item_shape},
};

static const struct shape shapes[RESULT_KIND_COUNT] = {
    [RESULT_ALERT] = SHAPE("alert", alert_fields),
    [RESULT_RECOMMENDATION] = SHAPE("recommendation", recommendation_fields),
    [RESULT_BATCH_JOB] = SHAPE("batch_job", batch_job_fields),
    [RESULT_ANALYTICS] = SHAPE("analytics", analytics_fields),
    [RESULT_COMMAND_RESULT] = SHAPE("command_result", command_result_fields),
    [RESULT_AUDIT] = SHAPE("audit", audit_fields),
    [RESULT_NOTIFICATION] = SHAPE("notification", notification_fields),
    [RESULT_POPULARITY] = SHAPE("popularity", popularity_fields),
};

const struct shape *result_shape(enum result_kind kind)
{
    assert((unsigned)kind < RESULT_KIND_COUNT);
    return &shapes[kind];
}

const char *result_kind_name(enum result_kind kind)
{
    return result_shape(kind)->name;
}

static bool is_listed(const char *name, const char *const *names)
{
    for (; names != NULL && *names != NULL; names++)
        if (strcmp(name, *names) == 0)
            return true;
    return false;
}

static bool is_filled(const struct field *field, const void *record, const char *const *numbers)
{
    const char *at = (const char *)record + field->offset;

    switch (field->type) {
    case FIELD_TEXT:
        return !view_is_absent(*(const struct view *)at);
    case FIELD_TEXTS:
        return ((const struct view_list *)at)->count > 0;
    case FIELD_MAP:
        return ((const struct pair_list *)at)->count > 0;
    case FIELD_RECORDS:
        return true;
    case FIELD_CHOICE:
    case FIELD_INT:
    case FIELD_DOUBLE:
    case FIELD_TIME:
    case FIELD_BOOL:
    case FIELD_RECORD:
        return (field->flags & FIELD_REQUIRED) != 0 || is_listed(field->name, numbers);
    }
    return false;
}

void result_mark(struct result *result, const char *const *numbers)
{
    const struct shape *shape = result_shape(result->kind);

    result->present = 0;
    for (uint32_t i = 0; i < shape->field_count; i++)
        if (is_filled(&shape->fields[i], result, numbers))
            shape_set_present(shape, result, i);
}
