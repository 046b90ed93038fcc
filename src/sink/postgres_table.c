/*
 * Most columns are fields of a result's shape under their own name. The rest are
 * written by a function of the item: the position in the log, the headers of a dead
 * letter, what a resolution is made of.
 *
 * An alert's life has two strands. What the engine publishes (open, updated, closed)
 * replaces the row; what a person decides (acknowledged, resolved, ignored) sets status
 * and resolution and leaves the figures alone. The first comes before the second in the
 * order of tables, so that a decision about an alert of the same batch finds its row.
 */
#include "sink/postgres_table.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/tree.h"
#include "sink/postgres_text.h"

enum { COLUMN_COUNT_MAX = 24, LETTER_TEXT_MAX = 256, REASON_TEXT_MAX = 2000 };

typedef void put_fn(struct byte_writer *out, const struct delivery_item *item);

struct column {
    const char *name;
    const char *type; /* of the array's elements; NULL: from the field */
    const char *form; /* the expression stored, with one %s for the element; NULL: as it is */
    put_fn *put;      /* NULL: a field of the shape */
};

struct table_info {
    const char *name;
    const char *key;
    int kind;                                        /* enum result_kind, or -1: dead letters */
    bool (*takes)(const struct delivery_item *item); /* NULL: all of that kind */
    put_fn *put_key;                                 /* NULL: the id of the result */
    const struct column *columns;
    const char *update; /* NULL: a newer record replaces every column, or makes the row; else
                         * rows that are there, and of the same tenant, are changed so */
    const char *guard;  /* what a new row must meet, in the names of write_select; NULL: nothing */
    const char *remove; /* instead of storing: the rows t to drop for each row of `excluded` */
};

struct bound_column {
    const struct column *column;
    const struct field *field;
    uint32_t field_index;
    struct byte_writer array;
};

struct table {
    const struct table_info *info;
    const struct shape *shape; /* NULL for dead letters */
    struct bound_column columns[COLUMN_COUNT_MAX];
    uint32_t column_count;
    struct byte_writer statement;
    struct byte_writer scratch;
    uint32_t *slots; /* of dedupe: index of an item + 1 */
    uint32_t slot_count;
    struct byte_writer key_a, key_b;
};

#define TIME_FORM "to_timestamp(%s / 1000.0)"

static void put_log_partition(struct byte_writer *out, const struct delivery_item *item)
{
    array_put_int(out, item->record.partition);
}

static void put_log_offset(struct byte_writer *out, const struct delivery_item *item)
{
    array_put_int(out, item->record.offset);
}

static void put_log_time(struct byte_writer *out, const struct delivery_item *item)
{
    if (item->record.timestamp_ms < 0)
        array_put_int(out, 0);
    else
        array_put_int(out, item->record.timestamp_ms);
}

#define LOG_COLUMNS                                                                                \
    {"log_partition", "integer", NULL, put_log_partition},                                         \
        {"log_offset", "bigint", NULL, put_log_offset},                                            \
    {                                                                                              \
        NULL, NULL, NULL, NULL                                                                     \
    }
#define SAME(name)                                                                                 \
    {                                                                                              \
        name, NULL, NULL, NULL                                                                     \
    }

/* ---- alerts ---- */

static bool is_decision(const struct delivery_item *item)
{
    return item->result->alert.status >= ALERT_ACKNOWLEDGED;
}

static bool is_published(const struct delivery_item *item)
{
    return !is_decision(item);
}

static const char *decision_of(const struct delivery_item *item)
{
    switch ((enum alert_status)item->result->alert.status) {
    case ALERT_OPEN:
    case ALERT_UPDATED:
    case ALERT_CLOSED:
        break;
    case ALERT_ACKNOWLEDGED:
        return "acknowledged";
    case ALERT_RESOLVED:
        return "resolved";
    case ALERT_IGNORED:
        return "ignored";
    }
    return NULL;
}

static void put_decision(struct byte_writer *out, const struct delivery_item *item)
{
    array_put_text(out, view_of(decision_of(item)), LETTER_TEXT_MAX);
}

static const struct column alert_columns[] = {
    SAME("alert_id"),        SAME("tenant_id"),   SAME("type"),     SAME("category"),
    SAME("severity"),        SAME("status"),      SAME("group"),    SAME("count"),
    SAME("threshold"),       SAME("window_ms"),   SAME("value"),    SAME("first_event_time"),
    SAME("last_event_time"), SAME("opened_time"), SAME("evidence"), SAME("message"),
    SAME("merged_into"),     LOG_COLUMNS,
};
static const struct column decision_columns[] = {SAME("alert_id"),
                                                 SAME("tenant_id"),
                                                 SAME("status"),
                                                 {"resolution", "text", NULL, put_decision},
                                                 LOG_COLUMNS};

/* Whose decision, too: another tenant's never takes the place of the owner's. */
static void put_decision_key(struct byte_writer *out, const struct delivery_item *item)
{
    array_put_text(out, item->result->id, UINT32_MAX);
    array_put_text(out, item->result->tenant_id, UINT32_MAX);
}

/* A newer figure of the episode may have come first: then only the resolution is set. */
#define DECISION_UPDATE                                                                            \
    "resolution = excluded.resolution, "                                                           \
    "status = CASE WHEN t.log_partition <> excluded.log_partition"                                 \
    " OR t.log_offset <= excluded.log_offset THEN excluded.status ELSE t.status END, "             \
    "log_offset = CASE WHEN t.log_partition = excluded.log_partition"                              \
    " THEN greatest(t.log_offset, excluded.log_offset) ELSE excluded.log_offset END, "             \
    "log_partition = excluded.log_partition, stored_at = now()"

/* ---- resolutions ---- */

static uint64_t resolution_hash(const struct delivery_item *item)
{
    uint64_t hash = hash_view(item->result->id, hash_view(item->result->tenant_id, 0));

    hash = hash_view(view_of(decision_of(item)), hash);
    return hash_view(item->result->alert.message, hash);
}

static void put_resolution_id(struct byte_writer *out, const struct delivery_item *item)
{
    char id[24];

    snprintf(id, sizeof(id), "%016llx", (unsigned long long)resolution_hash(item));
    array_put_text(out, view_of(id), LETTER_TEXT_MAX);
}

static void put_alert_id(struct byte_writer *out, const struct delivery_item *item)
{
    array_put_text(out, item->result->id, UINT32_MAX);
}

static void put_notes(struct byte_writer *out, const struct delivery_item *item)
{
    array_put_text(out, item->result->alert.message, UINT32_MAX);
}

static const struct column resolution_columns[] = {
    {"id", "text", NULL, put_resolution_id},
    {"anomaly_id", "text", NULL, put_alert_id},
    SAME("status"),
    {"notes", "text", NULL, put_notes},
    {"resolved_at", "bigint", TIME_FORM, put_log_time},
    SAME("tenant_id"),
    LOG_COLUMNS,
};

/* ---- dead letters ---- */

static struct view cut(struct view text, uint32_t bytes_max)
{
    return (struct view){text.data, text.size < bytes_max ? text.size : bytes_max};
}

static void put_letter_id(struct byte_writer *out, const struct delivery_item *item)
{
    const struct dead_letter *letter = item->dead_letter;
    char id[LETTER_TEXT_MAX];

    /* Two programs may refuse one record for two reasons; one program, restarted, writes
     * the same letter twice. */
    if (view_is_absent(letter->source_topic) || view_is_absent(letter->source_offset))
        snprintf(id, sizeof(id), "dead-letter/%d/%lld", item->record.partition,
                 (long long)item->record.offset);
    else
        snprintf(id, sizeof(id), "%.*s/%.*s/%.*s/%.*s", VIEW_PRINT(cut(letter->source_topic, 100)),
                 VIEW_PRINT(cut(letter->source_partition, 20)),
                 VIEW_PRINT(cut(letter->source_offset, 24)), VIEW_PRINT(cut(letter->code, 64)));
    array_put_text(out, view_of(id), LETTER_TEXT_MAX);
}

static void put_letter_tenant(struct byte_writer *out, const struct delivery_item *item)
{
    array_put_text(out, item->record.key, LETTER_TEXT_MAX);
}

static void put_letter_code(struct byte_writer *out, const struct delivery_item *item)
{
    array_put_text(out, item->dead_letter->code, LETTER_TEXT_MAX);
}

static void put_letter_reason(struct byte_writer *out, const struct delivery_item *item)
{
    array_put_text(out, item->dead_letter->reason, REASON_TEXT_MAX);
}

static void put_letter_field(struct byte_writer *out, const struct delivery_item *item)
{
    array_put_text(out, item->dead_letter->field, LETTER_TEXT_MAX);
}

static void put_letter_topic(struct byte_writer *out, const struct delivery_item *item)
{
    array_put_text(out, item->dead_letter->source_topic, LETTER_TEXT_MAX);
}

/* Headers are whatever somebody wrote: a number that is none, or too great, is null. */
static void put_header_number(struct byte_writer *out, struct view text, int64_t most)
{
    int64_t value;

    if (!view_is_absent(text) && text_int(text, &value) && value >= 0 && value <= most)
        array_put_int(out, value);
    else
        array_put_null(out);
}

static void put_letter_partition(struct byte_writer *out, const struct delivery_item *item)
{
    put_header_number(out, item->dead_letter->source_partition, INT32_MAX);
}

static void put_letter_offset(struct byte_writer *out, const struct delivery_item *item)
{
    put_header_number(out, item->dead_letter->source_offset, INT64_MAX);
}

static void put_letter_time(struct byte_writer *out, const struct delivery_item *item)
{
    /* The year 9999 is within every reader's reach. */
    put_header_number(out, item->dead_letter->source_timestamp, 253402300799999);
}

static void put_letter_version(struct byte_writer *out, const struct delivery_item *item)
{
    array_put_text(out, item->dead_letter->version, LETTER_TEXT_MAX);
}

static void put_letter_key(struct byte_writer *out, const struct delivery_item *item)
{
    array_put_bytes(out, item->record.key);
}

static void put_letter_value(struct byte_writer *out, const struct delivery_item *item)
{
    array_put_bytes(out, item->record.value);
}

static const struct column letter_columns[] = {
    {"id", "text", NULL, put_letter_id},
    {"tenant_id", "text", NULL, put_letter_tenant},
    {"code", "text", NULL, put_letter_code},
    {"reason", "text", NULL, put_letter_reason},
    {"field", "text", NULL, put_letter_field},
    {"source_topic", "text", NULL, put_letter_topic},
    {"source_partition", "integer", NULL, put_letter_partition},
    {"source_offset", "bigint", NULL, put_letter_offset},
    {"source_time", "bigint", TIME_FORM, put_letter_time},
    {"version", "text", NULL, put_letter_version},
    {"key", "bytea", NULL, put_letter_key},
    {"value", "bytea", NULL, put_letter_value},
    {"recorded_at", "bigint", TIME_FORM, put_log_time},
    LOG_COLUMNS,
};

/* ---- batch jobs and commands ---- */

/* Tenants choose these ids, so two of them may choose the same. */
static void put_tenant_key(struct byte_writer *out, const struct delivery_item *item)
{
    array_put_text(out, item->result->tenant_id, UINT32_MAX);
    array_put_text(out, item->result->id, UINT32_MAX);
}

/* ---- dedicated models: the request as its last audit record describes it ---- */

static struct view pair_of(const struct delivery_item *item, const char *name)
{
    const struct pair_list *pairs = &item->result->audit.after;

    for (uint32_t i = 0; i < pairs->count; i++)
        if (view_is_text(pairs->at[i].name, name))
            return pairs->at[i].value;
    return (struct view){NULL, 0};
}

static bool is_isolation(const struct delivery_item *item)
{
    static const char *const actions[] = {
        "command.request-isolation", "command.approve-isolation",   "command.reject-isolation",
        "command.revoke-isolation",  "command.create-tenant-model", "model.fitted",
    };
    bool is_known = false;

    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
        is_known |= view_is_text(item->result->audit.action, actions[i]);
    return is_known && !view_is_absent(pair_of(item, "request_id"));
}

static void put_isolation_key(struct byte_writer *out, const struct delivery_item *item)
{
    array_put_text(out, item->result->tenant_id, UINT32_MAX);
    array_put_text(out, pair_of(item, "request_id"), UINT32_MAX);
}

/* A column from the pair of that name: as text, as a whole number, as a real number. */
#define PAIR_TEXT(name)                                                                            \
    static void put_##name(struct byte_writer *out, const struct delivery_item *item)              \
    {                                                                                              \
        array_put_text(out, pair_of(item, #name), UINT32_MAX);                                     \
    }
#define PAIR_INT(name)                                                                             \
    static void put_##name(struct byte_writer *out, const struct delivery_item *item)              \
    {                                                                                              \
        put_header_number(out, pair_of(item, #name), INT64_MAX);                                   \
    }

PAIR_TEXT(request_id)
PAIR_TEXT(status)
PAIR_TEXT(requested_by)
PAIR_INT(requested_time)
PAIR_TEXT(decided_by)
PAIR_INT(decided_time)
PAIR_TEXT(reason)
PAIR_INT(orders)
PAIR_TEXT(model_name)
PAIR_TEXT(model_version)
PAIR_INT(fitted_orders)
PAIR_INT(fitted_time)
PAIR_INT(next_fit_time)
PAIR_TEXT(strength)
PAIR_TEXT(loss_default)
PAIR_TEXT(loss_dedicated)

#define REAL_FORM "%s::double precision"

static const struct column isolation_columns[] = {
    SAME("tenant_id"),
    {"request_id", "text", NULL, put_request_id},
    {"status", "text", NULL, put_status},
    {"requested_by", "text", NULL, put_requested_by},
    {"requested_at", "bigint", TIME_FORM, put_requested_time},
    {"decided_by", "text", NULL, put_decided_by},
    {"decided_at", "bigint", TIME_FORM, put_decided_time},
    {"reason", "text", NULL, put_reason},
    {"orders", "bigint", NULL, put_orders},
    {"model_name", "text", NULL, put_model_name},
    {"model_version", "text", NULL, put_model_version},
    {"fitted_orders", "bigint", NULL, put_fitted_orders},
    {"fitted_at", "bigint", TIME_FORM, put_fitted_time},
    {"next_fit_at", "bigint", TIME_FORM, put_next_fit_time},
    {"strength", "text", REAL_FORM, put_strength},
    {"loss_default", "text", REAL_FORM, put_loss_default},
    {"loss_dedicated", "text", REAL_FORM, put_loss_dedicated},
    LOG_COLUMNS,
};

/* ---- the others: fields under their own names ---- */

static const struct column audit_columns[] = {
    SAME("audit_id"), SAME("tenant_id"), SAME("actor"),      SAME("action"), SAME("subject"),
    SAME("before"),   SAME("after"),     SAME("event_time"), LOG_COLUMNS,
};
static const struct column command_columns[] = {
    SAME("command_id"), SAME("tenant_id"), SAME("status"),
    SAME("error"),      SAME("result"),    LOG_COLUMNS,
};
static const struct column notification_columns[] = {
    SAME("notification_id"), SAME("tenant_id"),  SAME("alert_id"),    SAME("channel"),
    SAME("status"),          SAME("attempt"),    SAME("http_status"), SAME("latency_ms"),
    SAME("error"),           SAME("event_time"), LOG_COLUMNS,
};
static const struct column recommendation_columns[] = {
    SAME("recommendation_id"), SAME("request_id"), SAME("job_id"),     SAME("tenant_id"),
    SAME("customer_id"),       SAME("items"),      SAME("model_name"), SAME("model_version"),
    SAME("variant"),           SAME("strategy"),   SAME("event_time"), LOG_COLUMNS,
};
static const struct column job_columns[] = {
    SAME("job_id"),        SAME("tenant_id"), SAME("status"),   SAME("total"),
    SAME("processed"),     SAME("failed"),    SAME("attempts"), SAME("submitted_time"),
    SAME("finished_time"), SAME("error"),     LOG_COLUMNS,
};
static const struct column analytics_columns[] = {
    SAME("analytics_id"), SAME("tenant_id"), SAME("type"), SAME("subject"),
    SAME("event_time"),   SAME("items"),     LOG_COLUMNS,
};

/* ---- forgotten customers: a mark without the name, so that what comes late stays out ---- */

static bool is_forgotten(const struct delivery_item *item)
{
    return view_is_text(item->result->analytics.type, "forgotten");
}

static bool is_kept_analytics(const struct delivery_item *item)
{
    return !is_forgotten(item);
}

static void put_forgotten_key(struct byte_writer *out, const struct delivery_item *item)
{
    array_put_text(out, item->result->tenant_id, UINT32_MAX);
    array_put_text(out, item->result->analytics.subject, UINT32_MAX);
}

static void put_forgotten(struct byte_writer *out, const struct delivery_item *item)
{
    array_put_text(out, item->result->analytics.subject, UINT32_MAX);
}

static void put_forgotten_time(struct byte_writer *out, const struct delivery_item *item)
{
    array_put_int(out, item->result->analytics.event_time_ms);
}

static const struct column forgotten_columns[] = {
    SAME("tenant_id"),
    {"customer", "text", "md5(%s)", put_forgotten},
    {"forgotten_at", "bigint", TIME_FORM, put_forgotten_time},
    LOG_COLUMNS,
};

#define FORGOTTEN(customer)                                                                        \
    "NOT EXISTS (SELECT 1 FROM forgotten_customers AS f WHERE f.tenant_id = new.tenant_id"         \
    " AND f.customer = md5(new." customer ") AND f.forgotten_at >= new.event_time)"
#define NOT_FORGOTTEN FORGOTTEN("customer_id")
#define ANALYTICS_NOT_FORGOTTEN FORGOTTEN("subject")

static const struct table_info infos[] = {
    {"alerts", "alert_id", RESULT_ALERT, is_published, NULL, alert_columns, NULL, NULL, NULL},
    {"alerts", "alert_id", RESULT_ALERT, is_decision, put_decision_key, decision_columns,
     DECISION_UPDATE, NULL, NULL},
    {"anomaly_resolutions", "id", RESULT_ALERT, is_decision, put_resolution_id, resolution_columns,
     NULL, NULL, NULL},
    {"audit", "audit_id", RESULT_AUDIT, NULL, NULL, audit_columns, NULL, NULL, NULL},
    {"dead_letters", "id", -1, NULL, put_letter_id, letter_columns, NULL, NULL, NULL},
    {"command_results", "coalesce(tenant_id, ''), command_id", RESULT_COMMAND_RESULT, NULL,
     put_tenant_key, command_columns, NULL, NULL, NULL},
    {"notifications", "notification_id", RESULT_NOTIFICATION, NULL, NULL, notification_columns,
     NULL, NULL, NULL},
    {"recommendations", "recommendation_id", RESULT_RECOMMENDATION, NULL, NULL,
     recommendation_columns, NULL, NOT_FORGOTTEN, NULL},
    {"batch_jobs", "tenant_id, job_id", RESULT_BATCH_JOB, NULL, put_tenant_key, job_columns, NULL,
     NULL, NULL},
    {"analytics", "analytics_id", RESULT_ANALYTICS, is_kept_analytics, NULL, analytics_columns,
     NULL, ANALYTICS_NOT_FORGOTTEN, NULL},
    {"forgotten_customers", "tenant_id, customer", RESULT_ANALYTICS, is_forgotten,
     put_forgotten_key, forgotten_columns, NULL, NULL, NULL},
    {"recommendations", "", RESULT_ANALYTICS, is_forgotten, put_forgotten_key, forgotten_columns,
     NULL, NULL,
     "md5(t.customer_id) = excluded.customer AND t.event_time <= excluded.forgotten_at"},
    {"analytics", "", RESULT_ANALYTICS, is_forgotten, put_forgotten_key, forgotten_columns, NULL,
     NULL, "md5(t.subject) = excluded.customer AND t.event_time <= excluded.forgotten_at"},
    {"model_isolation_requests", "tenant_id, request_id", RESULT_AUDIT, is_isolation,
     put_isolation_key, isolation_columns, NULL, NULL, NULL},
};

static const char *element_type(const struct bound_column *bound)
{
    if (bound->column->type != NULL)
        return bound->column->type;
    switch (bound->field->type) {
    case FIELD_INT:
    case FIELD_TIME:
        return "bigint";
    case FIELD_DOUBLE:
        return "double precision";
    case FIELD_BOOL:
        return "boolean";
    case FIELD_TEXT:
    case FIELD_CHOICE:
    case FIELD_TEXTS:
    case FIELD_MAP:
    case FIELD_RECORD:
    case FIELD_RECORDS:
        break;
    }
    return "text";
}

static const char *stored_form(const struct bound_column *bound)
{
    if (bound->column->form != NULL)
        return bound->column->form;
    if (bound->field == NULL)
        return "%s";
    switch (bound->field->type) {
    case FIELD_TIME:
        return TIME_FORM;
    case FIELD_TEXTS:
    case FIELD_MAP:
    case FIELD_RECORD:
    case FIELD_RECORDS:
        return "%s::jsonb";
    case FIELD_TEXT:
    case FIELD_INT:
    case FIELD_DOUBLE:
    case FIELD_BOOL:
    case FIELD_CHOICE:
        break;
    }
    return "%s";
}

static void write_form(struct byte_writer *out, const char *form, uint32_t index)
{
    const char *mark = strstr(form, "%s");

    assert(mark != NULL);
    byte_put(out, form, (size_t)(mark - form));
    byte_print(out, "c%u%s", index, mark + 2);
}

/* SELECT of all columns from one array each. */
static void write_select(struct table *table, struct byte_writer *out)
{
    byte_print(out, "SELECT ");
    for (uint32_t i = 0; i < table->column_count; i++) {
        byte_print(out, "%s", i > 0 ? ", " : "");
        write_form(out, stored_form(&table->columns[i]), i);
        byte_print(out, " AS \"%s\"", table->columns[i].column->name);
    }
    byte_print(out, " FROM unnest(");
    for (uint32_t i = 0; i < table->column_count; i++)
        byte_print(out, "%s$%u::%s[]", i > 0 ? ", " : "", i + 1, element_type(&table->columns[i]));
    byte_print(out, ") AS u(");
    for (uint32_t i = 0; i < table->column_count; i++)
        byte_print(out, "%sc%u", i > 0 ? ", " : "", i);
    byte_print(out, ")");
}

static void write_upsert(struct table *table, struct byte_writer *out)
{
    byte_print(out, "INSERT INTO %s AS t (", table->info->name);
    for (uint32_t i = 0; i < table->column_count; i++)
        byte_print(out, "%s\"%s\"", i > 0 ? ", " : "", table->columns[i].column->name);
    byte_print(out, ") ");
    if (table->info->guard != NULL)
        byte_print(out, "SELECT * FROM (");
    write_select(table, out);
    if (table->info->guard != NULL)
        byte_print(out, ") AS new WHERE %s", table->info->guard);
    byte_print(out, " ON CONFLICT (%s) DO UPDATE SET ", table->info->key);
    for (uint32_t i = 0; i < table->column_count; i++)
        byte_print(out, "\"%s\" = excluded.\"%s\", ", table->columns[i].column->name,
                   table->columns[i].column->name);
    byte_print(out, "stored_at = now() WHERE t.log_partition <> excluded.log_partition"
                    " OR t.log_offset <= excluded.log_offset");
}

/* A tenant that names another one's row changes nothing. */
static void write_update(struct table *table, struct byte_writer *out)
{
    byte_print(out, "UPDATE %s AS t SET %s FROM (", table->info->name, table->info->update);
    write_select(table, out);
    byte_print(out,
               ") AS excluded WHERE t.%s = excluded.%s"
               " AND t.tenant_id IS NOT DISTINCT FROM excluded.tenant_id",
               table->info->key, table->info->key);
}

static void write_remove(struct table *table, struct byte_writer *out)
{
    byte_print(out, "DELETE FROM %s AS t USING (", table->info->name);
    write_select(table, out);
    byte_print(out, ") AS excluded WHERE t.tenant_id = excluded.tenant_id AND %s",
               table->info->remove);
}

struct table *table_create(uint32_t index)
{
    struct table *table;

    if (index >= sizeof(infos) / sizeof(infos[0]))
        return NULL;
    table = calloc(1, sizeof(*table));
    assert(table != NULL);
    table->info = &infos[index];
    if (table->info->kind >= 0)
        table->shape = result_shape((enum result_kind)table->info->kind);
    for (const struct column *column = table->info->columns; column->name != NULL; column++) {
        struct bound_column *bound = &table->columns[table->column_count++];

        assert(table->column_count <= COLUMN_COUNT_MAX);
        bound->column = column;
        byte_writer_init(&bound->array);
        if (column->put != NULL)
            continue;
        bound->field = shape_find(table->shape, view_of(column->name), &bound->field_index);
        assert(bound->field != NULL);
    }
    byte_writer_init(&table->statement);
    byte_writer_init(&table->scratch);
    byte_writer_init(&table->key_a);
    byte_writer_init(&table->key_b);
    if (table->info->remove != NULL)
        write_remove(table, &table->statement);
    else if (table->info->update != NULL)
        write_update(table, &table->statement);
    else
        write_upsert(table, &table->statement);
    byte_put_u8(&table->statement, 0);
    return table;
}

void table_destroy(struct table *table)
{
    if (table == NULL)
        return;
    for (uint32_t i = 0; i < table->column_count; i++)
        byte_writer_free(&table->columns[i].array);
    byte_writer_free(&table->statement);
    byte_writer_free(&table->scratch);
    byte_writer_free(&table->key_a);
    byte_writer_free(&table->key_b);
    free(table->slots);
    free(table);
}

const char *table_name(const struct table *table)
{
    return table->info->name;
}

const char *table_statement(const struct table *table)
{
    return table->statement.data;
}

bool table_takes(const struct table *table, const struct delivery_item *item)
{
    if (item_is_refused(item))
        return false;
    if (table->info->kind < 0)
        return item->dead_letter != NULL;
    return item->result != NULL && (int)item->result->kind == table->info->kind &&
           (table->info->takes == NULL || table->info->takes(item));
}

static void put_field(struct table *table, struct bound_column *bound, const struct result *result)
{
    const struct field *field = bound->field;
    const void *at = (const char *)result + field->offset;
    bool is_given = shape_has(table->shape, result, bound->field_index);

    switch (field->type) {
    case FIELD_TEXTS:
    case FIELD_MAP:
    case FIELD_RECORDS:
        /* Not given is empty: the columns are never null. */
        array_put_json(&bound->array, field, at, &table->scratch);
        return;
    case FIELD_TEXT:
    case FIELD_INT:
    case FIELD_TIME:
    case FIELD_DOUBLE:
    case FIELD_BOOL:
    case FIELD_CHOICE:
    case FIELD_RECORD:
        break;
    }
    if (!is_given)
        array_put_null(&bound->array);
    else if (field->type == FIELD_TEXT)
        array_put_text(&bound->array, *(const struct view *)at, UINT32_MAX);
    else if (field->type == FIELD_DOUBLE)
        array_put_double(&bound->array, *(const double *)at);
    else if (field->type == FIELD_CHOICE)
        array_put_text(&bound->array, view_of(field->choices[*(const int64_t *)at]), UINT32_MAX);
    else if (field->type == FIELD_BOOL)
        array_put_text(&bound->array, view_of(*(const bool *)at ? "t" : "f"), UINT32_MAX);
    else if (field->type == FIELD_RECORD)
        array_put_json(&bound->array, field, at, &table->scratch);
    else
        array_put_int(&bound->array, *(const int64_t *)at);
}

enum status table_store(struct table *table, struct session *session,
                        const struct delivery_item *const *items, uint32_t count,
                        struct failure *failure)
{
    const char *values[COLUMN_COUNT_MAX];

    for (uint32_t c = 0; c < table->column_count; c++) {
        struct bound_column *bound = &table->columns[c];

        array_begin(&bound->array);
        for (uint32_t i = 0; i < count; i++) {
            if (bound->field != NULL)
                put_field(table, bound, items[i]->result);
            else
                bound->column->put(&bound->array, items[i]);
        }
        array_end(&bound->array);
        values[c] = bound->array.data;
    }
    return session_run(session, table->statement.data, values, table->column_count, failure);
}

/* As the database will see it: two ids that differ only in bytes it cannot store are one. */
static void write_key(const struct table *table, const struct delivery_item *item,
                      struct byte_writer *key)
{
    array_begin(key);
    if (table->info->put_key != NULL)
        table->info->put_key(key, item);
    else
        array_put_text(key, item->result->id, UINT32_MAX);
}

static void make_slots(struct table *table, uint32_t count)
{
    uint32_t needed = 16;

    while (needed < 2 * count)
        needed *= 2;
    if (needed > table->slot_count) {
        free(table->slots);
        table->slots = calloc(needed, sizeof(*table->slots));
        assert(table->slots != NULL);
        table->slot_count = needed;
    }
    memset(table->slots, 0, table->slot_count * sizeof(*table->slots));
}

/* True when a later item of the same key has been seen; else remembers this one. */
static bool is_overtaken(struct table *table, const struct delivery_item *const *items,
                         uint32_t index)
{
    uint32_t slot;

    write_key(table, items[index], &table->key_a);
    slot = (uint32_t)hash_bytes(table->key_a.data, table->key_a.size, 0);
    for (slot &= table->slot_count - 1; table->slots[slot] != 0;
         slot = (slot + 1) & (table->slot_count - 1)) {
        write_key(table, items[table->slots[slot] - 1], &table->key_b);
        if (view_is_equal(byte_writer_view(&table->key_a), byte_writer_view(&table->key_b)))
            return true;
    }
    table->slots[slot] = index + 1;
    return false;
}

uint32_t table_dedupe(struct table *table, const struct delivery_item **items, uint32_t count)
{
    uint32_t kept = 0;

    make_slots(table, count);
    /* From the end, so that the last of a key is met first. */
    for (uint32_t i = count; i-- > 0;)
        if (is_overtaken(table, items, i))
            items[i] = NULL;
    for (uint32_t i = 0; i < count; i++)
        if (items[i] != NULL)
            items[kept++] = items[i];
    return kept;
}
