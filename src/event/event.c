#include "event/event.h"

#include <assert.h>

static const char *const order_statuses[] = {"placed", "cancelled", NULL};
static const char *const auth_outcomes[] = {"success", "failure", NULL};
static const char *const interaction_types[] = {"impression", "view",   "click", "add_to_cart",
                                                "purchase",   "rating", NULL};

#define AT(member) offsetof(struct event, member)
#define ID_REQUIRED (FIELD_REQUIRED | FIELD_ID)
#define EVENT_TIME                                                                                 \
    {                                                                                              \
        .name = "event_time", .type = FIELD_TIME, .flags = FIELD_REQUIRED,                         \
        .offset = AT(event_time_ms)                                                                \
    }
#define EVENT_ID                                                                                   \
    {                                                                                              \
        .name = "event_id", .type = FIELD_TEXT, .flags = ID_REQUIRED, .offset = AT(id)             \
    }
#define TENANT_ID                                                                                  \
    {                                                                                              \
        .name = "tenant_id", .type = FIELD_TEXT, .flags = ID_REQUIRED, .offset = AT(tenant_id)     \
    }
#define TEXT(label, member)                                                                        \
    {                                                                                              \
        .name = label, .type = FIELD_TEXT, .offset = AT(member)                                    \
    }
#define ID(label, member)                                                                          \
    {                                                                                              \
        .name = label, .type = FIELD_TEXT, .flags = FIELD_ID, .offset = AT(member)                 \
    }
#define SHAPE(label, table)                                                                        \
    {                                                                                              \
        .name = label, .fields = table, .field_count = sizeof(table) / sizeof(table[0]),           \
        .bytes = sizeof(struct event), .present_offset = AT(present)                               \
    }

/* 1970 to 9999, in milliseconds: what a date column and a human can hold. */
#define TIME_RANGE .least = 0, .most = 253402300799999.0

/* Units sold, and amounts, that a double and a person can still tell apart. */
#define MONEY_MAX 1e15

static const struct field order_item_fields[] = {
    {.name = "product_id",
     .type = FIELD_TEXT,
     .flags = ID_REQUIRED,
     .offset = offsetof(struct order_item, product_id)},
    {.name = "quantity",
     .type = FIELD_DOUBLE,
     .flags = FIELD_REQUIRED,
     .offset = offsetof(struct order_item, quantity),
     .least = 0,
     .most = MONEY_MAX},
    {.name = "unit_price",
     .type = FIELD_DOUBLE,
     .flags = FIELD_REQUIRED,
     .offset = offsetof(struct order_item, unit_price),
     .least = 0,
     .most = MONEY_MAX},
};
static const struct shape order_item_shape = {
    .name = "order_item",
    .fields = order_item_fields,
    .field_count = 3,
    .bytes = sizeof(struct order_item),
    .present_offset = offsetof(struct order_item, present),
};

static const struct field order_fields[] = {
    EVENT_ID,
    TENANT_ID,
    {.name = "order_id", .type = FIELD_TEXT, .flags = ID_REQUIRED, .offset = AT(order.order_id)},
    {.name = "customer_id",
     .type = FIELD_TEXT,
     .flags = FIELD_ID | FIELD_NULLABLE,
     .offset = AT(order.customer_id)},
    {.name = "amount",
     .type = FIELD_DOUBLE,
     .flags = FIELD_REQUIRED,
     .offset = AT(order.amount),
     .least = 0,
     .most = MONEY_MAX},
    {.name = "currency",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED,
     .offset = AT(order.currency),
     .least = 3,
     .bytes_max = 3},
    EVENT_TIME,
    {.name = "items",
     .type = FIELD_RECORDS,
     .offset = AT(order.items),
     .least = 0,
     .most = 10000,
     .shape = &order_item_shape},
    {.name = "status", .type = FIELD_CHOICE, .offset = AT(order.status), .choices = order_statuses},
    TEXT("ip", order.ip),
    TEXT("country", order.country),
    TEXT("payment_method", order.payment_method),
    ID("recommendation_id", order.recommendation_id),
};

static const struct field auth_fields[] = {
    EVENT_ID,
    TENANT_ID,
    {.name = "user_id",
     .type = FIELD_TEXT,
     .flags = FIELD_ID | FIELD_NULLABLE,
     .offset = AT(auth.user_id)},
    {.name = "outcome",
     .type = FIELD_CHOICE,
     .flags = FIELD_REQUIRED,
     .offset = AT(auth.outcome),
     .choices = auth_outcomes},
    EVENT_TIME,
    TEXT("reason", auth.reason),
    TEXT("ip", auth.ip),
    TEXT("country", auth.country),
    TEXT("user_agent", auth.user_agent),
    TEXT("method", auth.method),
};

static const struct field api_call_fields[] = {
    EVENT_ID,
    TENANT_ID,
    {.name = "client_id",
     .type = FIELD_TEXT,
     .flags = ID_REQUIRED,
     .offset = AT(api_call.client_id)},
    {.name = "method",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED,
     .offset = AT(api_call.method),
     .bytes_max = 64},
    {.name = "path", .type = FIELD_TEXT, .flags = FIELD_REQUIRED, .offset = AT(api_call.path)},
    {.name = "status",
     .type = FIELD_INT,
     .flags = FIELD_REQUIRED,
     .offset = AT(api_call.status),
     .least = 0,
     .most = 999},
    EVENT_TIME,
    {.name = "latency_ms",
     .type = FIELD_DOUBLE,
     .offset = AT(api_call.latency_ms),
     .least = 0,
     .most = 1e12},
    {.name = "bytes",
     .type = FIELD_INT,
     .offset = AT(api_call.bytes),
     .least = 0,
     .most = 9007199254740992.0},
    TEXT("ip", api_call.ip),
};

static const struct field interaction_fields[] = {
    EVENT_ID,
    TENANT_ID,
    {.name = "customer_id",
     .type = FIELD_TEXT,
     .flags = ID_REQUIRED,
     .offset = AT(interaction.customer_id)},
    {.name = "type",
     .type = FIELD_CHOICE,
     .flags = FIELD_REQUIRED,
     .offset = AT(interaction.type),
     .choices = interaction_types},
    {.name = "product_id",
     .type = FIELD_TEXT,
     .flags = ID_REQUIRED,
     .offset = AT(interaction.product_id)},
    EVENT_TIME,
    ID("session_id", interaction.session_id),
    ID("recommendation_id", interaction.recommendation_id),
    {.name = "position",
     .type = FIELD_INT,
     .offset = AT(interaction.position),
     .least = 1,
     .most = 1000000},
    {.name = "value", .type = FIELD_DOUBLE, .offset = AT(interaction.value)},
    {.name = "metadata", .type = FIELD_MAP, .offset = AT(interaction.metadata), .most = 256},
};

static const struct field outcome_fields[] = {
    EVENT_ID,
    TENANT_ID,
    {.name = "model_name",
     .type = FIELD_TEXT,
     .flags = ID_REQUIRED,
     .offset = AT(outcome.model_name)},
    {.name = "model_version",
     .type = FIELD_TEXT,
     .flags = ID_REQUIRED,
     .offset = AT(outcome.model_version)},
    EVENT_TIME,
    ID("prediction_id", outcome.prediction_id),
    TEXT("predicted", outcome.predicted),
    TEXT("actual", outcome.actual),
    {.name = "score", .type = FIELD_DOUBLE, .offset = AT(outcome.score)},
    {.name = "latency_ms",
     .type = FIELD_DOUBLE,
     .offset = AT(outcome.latency_ms),
     .least = 0,
     .most = 1e12},
    TEXT("error", outcome.error),
};

static const struct field context_fields[] = {
    {.name = "product_ids",
     .type = FIELD_TEXTS,
     .flags = FIELD_ID,
     .offset = offsetof(struct request_context, product_ids),
     .least = 0,
     .most = 1000},
};
static const struct shape context_shape = {
    .name = "request_context",
    .fields = context_fields,
    .field_count = 1,
    .bytes = sizeof(struct request_context),
    .present_offset = offsetof(struct request_context, present),
};

static const struct field request_fields[] = {
    {.name = "request_id", .type = FIELD_TEXT, .flags = ID_REQUIRED, .offset = AT(id)},
    TENANT_ID,
    EVENT_TIME,
    ID("customer_id", request.customer_id),
    {.name = "customer_ids",
     .type = FIELD_TEXTS,
     .flags = FIELD_ID,
     .offset = AT(request.customer_ids),
     .least = 1,
     .most = 1000},
    {.name = "count", .type = FIELD_INT, .offset = AT(request.count), .least = 1, .most = 100},
    {.name = "context",
     .type = FIELD_RECORD,
     .offset = AT(request.context),
     .shape = &context_shape},
    {.name = "exclude_purchased", .type = FIELD_BOOL, .offset = AT(request.exclude_purchased)},
    {.name = "priority", .type = FIELD_INT, .offset = AT(request.priority), .least = 0, .most = 9},
    {.name = "deadline_ms", .type = FIELD_INT, .offset = AT(request.deadline_ms), TIME_RANGE},
};

static const struct field command_fields[] = {
    {.name = "command_id", .type = FIELD_TEXT, .flags = ID_REQUIRED, .offset = AT(id)},
    {.name = "type", .type = FIELD_TEXT, .flags = ID_REQUIRED, .offset = AT(command.type)},
    EVENT_TIME,
    ID("tenant_id", tenant_id),
    ID("actor", command.actor),
    ID("subject", command.subject),
    ID("status", command.status),
    TEXT("notes", command.notes),
    {.name = "rules", .type = FIELD_TEXT, .offset = AT(command.rules), .bytes_max = 1048576},
    ID("customer_id", command.customer_id),
    ID("product_id", command.product_id),
    ID("model_name", command.model_name),
    ID("model_version", command.model_version),
    ID("plan", command.plan),
    ID("time_zone", command.time_zone),
    {.name = "enabled", .type = FIELD_BOOL, .offset = AT(command.enabled)},
    {.name = "value", .type = FIELD_DOUBLE, .offset = AT(command.value)},
    {.name = "settings", .type = FIELD_MAP, .offset = AT(command.settings), .most = 256},
};

static const struct shape shapes[EVENT_KIND_COUNT] = {
    [EVENT_ORDER] = SHAPE("order", order_fields),
    [EVENT_AUTH] = SHAPE("auth_event", auth_fields),
    [EVENT_API_CALL] = SHAPE("api_call", api_call_fields),
    [EVENT_INTERACTION] = SHAPE("interaction", interaction_fields),
    [EVENT_OUTCOME] = SHAPE("outcome", outcome_fields),
    [EVENT_REQUEST] = SHAPE("request", request_fields),
    [EVENT_COMMAND] = SHAPE("command", command_fields),
};

const struct shape *event_shape(enum event_kind kind)
{
    assert((unsigned)kind < EVENT_KIND_COUNT);
    return &shapes[kind];
}

const char *event_kind_name(enum event_kind kind)
{
    return event_shape(kind)->name;
}
