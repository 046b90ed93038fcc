#include "sink/postgres.h"

#include <assert.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "sink/batch.h"
#include "sink/postgres_migration.h"
#include "sink/postgres_session.h"
#include "sink/postgres_table.h"
#include "sink/postgres_text.h"

enum { TABLE_COUNT_MAX = 16, TRANSACTION_BYTES_MAX = 16 * 1024 * 1024 };

struct postgres {
    struct postgres_setup setup;
    struct session_options session_options;
    struct session *session;
    bool is_migrated;
    struct table *tables[TABLE_COUNT_MAX];
    uint32_t table_count;

    char cluster[POSTGRES_CLUSTER_MAX];
    char owner[24];           /* ours in weir_sink_positions */
    struct position *stored;  /* of the partitions opened: what the database holds */
    struct position *pending; /* the same, with the batch under way */
    uint32_t position_count;

    const struct delivery_item **items; /* of one table */
    uint32_t item_capacity;
    struct byte_writer topics, partitions, offsets;
    struct metric *rows_metric, *refused_metric, *up_metric;
};

#define DURATION(label, member, preset_text, text)                                                 \
    {                                                                                              \
        .name = label, .type = OPTION_DURATION_MS,                                                 \
        .offset = offsetof(struct postgres_options, member), .preset = preset_text, .least = 10,   \
        .most = 60000, .unit = "ms", .purpose = text                                               \
    }

static const struct option options[] = {
    {.name = "url",
     .type = OPTION_SECRET,
     .offset = offsetof(struct postgres_options, url),
     .purpose = "Connection string of the database, as libpq takes it "
                "(postgresql://user:password@host/database); unset: no PostgreSQL sink."},
    DURATION("connect_timeout_ms", connect_timeout_ms, "5s",
             "How long a connection attempt may take."),
    DURATION("statement_timeout_ms", statement_timeout_ms, "20s",
             "How long one transaction may take before it is given up and tried again."),
};

const struct option_table postgres_option_table = {
    .section = "postgres",
    .options = options,
    .count = sizeof(options) / sizeof(options[0]),
    .bytes = sizeof(struct postgres_options),
};

static const enum topic topics[] = {
    TOPIC_ALERTS, TOPIC_RECOMMENDATIONS, TOPIC_BATCH_JOBS,    TOPIC_ANALYTICS,
    TOPIC_AUDIT,  TOPIC_COMMAND_RESULTS, TOPIC_NOTIFICATIONS, TOPIC_DEAD_LETTER,
};

bool postgres_is_configured(const struct postgres_options *postgres_options)
{
    return postgres_options->url != NULL && postgres_options->url[0] != '\0';
}

/* ---- connection ---- */

static enum status check_url(const char *url, struct failure *failure)
{
    char *message = NULL;
    PQconninfoOption *parts = PQconninfoParse(url, &message);

    PQfreemem(message);
    if (parts == NULL)
        /* libpq's own words quote the text, which holds a password. */
        return failure_set(failure, REMEDY_STOP,
                           "postgres.url: not a connection string; expected "
                           "postgresql://user:password@host/database");
    PQconninfoFree(parts);
    return STATUS_OK;
}

static enum status connect_ready(struct postgres *postgres, struct failure *failure)
{
    enum status status;

    session_start_clock(postgres->session);
    if (session_is_connected(postgres->session))
        return STATUS_OK;
    metric_set(postgres->up_metric, 0);
    status = session_connect(postgres->session, failure);
    if (status == STATUS_OK && !postgres->is_migrated)
        status = migrate(postgres->session, failure);
    if (status != STATUS_OK)
        return status;
    postgres->is_migrated = true;
    metric_set(postgres->up_metric, 1);
    return STATUS_OK;
}

/* Leaves no transaction behind, and no connection in an unknown state. */
static void roll_back(struct postgres *postgres)
{
    if (session_is_connected(postgres->session) &&
        session_run_script(postgres->session, "ROLLBACK", NULL) != STATUS_OK)
        session_disconnect(postgres->session);
}

/* ---- positions ---- */

/* All positions as three arrays, in the order of the list. */
static void write_positions(struct postgres *postgres, const struct position *positions,
                            uint32_t count, bool is_known_only)
{
    array_begin(&postgres->topics);
    array_begin(&postgres->partitions);
    array_begin(&postgres->offsets);
    for (uint32_t i = 0; i < count; i++) {
        if (is_known_only && positions[i].offset == POSITION_NONE)
            continue;
        array_put_text(&postgres->topics, view_of(topic_info(positions[i].topic)->name),
                       UINT32_MAX);
        array_put_int(&postgres->partitions, positions[i].partition);
        array_put_int(&postgres->offsets, positions[i].offset);
    }
    array_end(&postgres->topics);
    array_end(&postgres->partitions);
    array_end(&postgres->offsets);
}

static struct position *find_position(struct position *positions, uint32_t count, enum topic topic,
                                      int32_t partition)
{
    for (uint32_t i = 0; i < count; i++)
        if (positions[i].topic == topic && positions[i].partition == partition)
            return &positions[i];
    return NULL;
}

static void read_positions(const struct postgres *postgres, struct position *positions,
                           uint32_t count)
{
    for (uint32_t row = 0; row < session_row_count(postgres->session); row++) {
        const char *topic = session_value(postgres->session, row, 0);
        const char *partition = session_value(postgres->session, row, 1);
        const char *offset = session_value(postgres->session, row, 2);
        struct position *position;

        position = find_position(positions, count, topic_find(view_of(topic)),
                                 (int32_t)strtol(partition, NULL, 10));
        if (position != NULL && offset != NULL)
            position->offset = strtoll(offset, NULL, 10);
    }
}

static enum status find_cluster(struct postgres *postgres, struct failure *failure)
{
    if (postgres->cluster[0] == '\0')
        postgres->setup.find_cluster(postgres->setup.context, postgres->cluster);
    if (postgres->cluster[0] == '\0')
        return failure_set(failure, REMEDY_RETRY,
                           "no broker says which cluster the positions are of");
    return STATUS_OK;
}

/* One transaction: lock, mark as ours, read. Rows are made and locked in one order, so that
 * two that take over at once wait for each other instead of for ever. Rows without a cluster
 * are older than that column. */
static enum status claim_positions(struct postgres *postgres, struct position *positions,
                                   uint32_t count, struct failure *failure)
{
    static const struct {
        const char *statement;
        int value_count;
    } steps[] = {
        {"UPDATE weir_sink_positions SET cluster = $4 WHERE cluster = '' AND group_name = $1"
         " AND (topic, partition) IN (SELECT * FROM unnest($2::text[], $3::integer[]))",
         4},
        {"INSERT INTO weir_sink_positions (cluster, group_name, topic, partition, owner)"
         " SELECT $4, $1, topic, partition, $5::bigint"
         " FROM unnest($2::text[], $3::integer[]) AS u(topic, partition)"
         " ORDER BY topic, partition ON CONFLICT DO NOTHING",
         5},
        {"SELECT 1 FROM weir_sink_positions WHERE cluster = $4 AND group_name = $1"
         " AND (topic, partition) IN (SELECT * FROM unnest($2::text[], $3::integer[]))"
         " ORDER BY topic, partition FOR UPDATE",
         4},
        {"UPDATE weir_sink_positions SET owner = $5::bigint, updated_at = now()"
         " WHERE cluster = $4 AND group_name = $1"
         " AND (topic, partition) IN (SELECT * FROM unnest($2::text[], $3::integer[]))"
         " RETURNING topic, partition, next_offset",
         5},
    };
    struct session *session = postgres->session;
    const char *values[5] = {postgres->setup.group};
    enum status status;

    write_positions(postgres, positions, count, false);
    values[1] = postgres->topics.data;
    values[2] = postgres->partitions.data;
    values[3] = postgres->cluster;
    values[4] = postgres->owner;
    status = session_run_script(session, "BEGIN", failure);
    if (status == STATUS_OK)
        status = session_run(session, "SELECT nextval('weir_sink_owner')", NULL, 0, failure);
    if (status == STATUS_OK)
        snprintf(postgres->owner, sizeof(postgres->owner), "%s", session_value(session, 0, 0));
    for (size_t i = 0; i < sizeof steps / sizeof steps[0] && status == STATUS_OK; i++)
        status = session_run(session, steps[i].statement, values, steps[i].value_count, failure);
    if (status == STATUS_OK) {
        read_positions(postgres, positions, count);
        status = session_run_script(session, "COMMIT", failure);
    }
    return status;
}

static enum status open_postgres(void *context, struct position *positions, uint32_t count,
                                 struct failure *failure)
{
    struct postgres *postgres = context;
    size_t bytes = (count > 0 ? count : 1) * sizeof(struct position);
    enum status status = connect_ready(postgres, failure);

    if (status == STATUS_OK)
        status = find_cluster(postgres, failure);
    if (status == STATUS_OK) {
        status = claim_positions(postgres, positions, count, failure);
        if (status != STATUS_OK)
            roll_back(postgres);
    }
    if (status != STATUS_OK) {
        failure->remedy = REMEDY_RETRY;
        return status;
    }
    postgres->stored = realloc(postgres->stored, bytes);
    postgres->pending = realloc(postgres->pending, bytes);
    assert(postgres->stored != NULL && postgres->pending != NULL);
    postgres->position_count = count;
    memcpy(postgres->stored, positions, count * sizeof(struct position));
    return STATUS_OK;
}

/* Moves the positions on, and proves on the way that they are still ours. */
static enum status advance_positions(struct postgres *postgres, uint32_t count,
                                     struct failure *failure)
{
    struct session *session = postgres->session;
    enum status status;

    write_positions(postgres, postgres->pending, postgres->position_count, true);
    const char *const values[] = {postgres->setup.group,     postgres->topics.data,
                                  postgres->partitions.data, postgres->offsets.data,
                                  postgres->owner,           postgres->cluster};
    status = session_run(
        session,
        "UPDATE weir_sink_positions p SET next_offset = u.next_offset, updated_at = now()"
        " FROM unnest($2::text[], $3::integer[], $4::bigint[]) AS u(topic, partition,"
        " next_offset) WHERE p.cluster = $6 AND p.group_name = $1 AND p.topic = u.topic"
        " AND p.partition = u.partition AND p.owner = $5::bigint",
        values, 6, failure);
    if (status == STATUS_OK && session_affected(session) != (int64_t)count)
        return failure_set(failure, REMEDY_ROLL_BACK,
                           "another process has taken the positions of group %s over",
                           postgres->setup.group);
    return status;
}

/* Returns how many partitions the batch moves. */
static uint32_t plan_positions(struct postgres *postgres, const struct delivery_turn *turn)
{
    uint32_t moved = 0;

    for (uint32_t i = 0; i < postgres->position_count; i++) {
        postgres->pending[i] = postgres->stored[i];
        postgres->pending[i].offset = POSITION_NONE;
    }
    for (uint32_t i = 0; i < turn->count; i++) {
        const struct record *record = &turn->items[i].record;
        struct position *position = find_position(postgres->pending, postgres->position_count,
                                                  record->topic, record->partition);

        assert(position != NULL);
        moved += position->offset == POSITION_NONE;
        position->offset = record->offset + 1;
    }
    return moved;
}

/* ---- rows ---- */

static uint32_t gather_items(struct postgres *postgres, struct table *table,
                             const struct delivery_turn *turn)
{
    uint32_t count = 0;

    if (turn->count > postgres->item_capacity) {
        postgres->item_capacity = turn->count;
        postgres->items =
            realloc(postgres->items, postgres->item_capacity * sizeof(*postgres->items));
        assert(postgres->items != NULL);
    }
    for (uint32_t i = 0; i < turn->count; i++)
        if (table_takes(table, &turn->items[i]))
            postgres->items[count++] = &turn->items[i];
    return count > 1 ? table_dedupe(table, postgres->items, count) : count;
}

/* REMEDY_SET_ASIDE: some value is at fault, and the transaction is void. */
static enum status store_all(struct postgres *postgres, const struct delivery_turn *turn,
                             uint32_t moved, struct failure *failure)
{
    enum status status = session_run_script(postgres->session, "BEGIN", failure);
    uint64_t rows = 0;

    if (status == STATUS_OK)
        status = advance_positions(postgres, moved, failure);
    for (uint32_t t = 0; t < postgres->table_count && status == STATUS_OK; t++) {
        uint32_t count = gather_items(postgres, postgres->tables[t], turn);

        if (count == 0)
            continue;
        rows += count;
        status =
            table_store(postgres->tables[t], postgres->session, postgres->items, count, failure);
    }
    if (status == STATUS_OK)
        status = session_run_script(postgres->session, "COMMIT", failure);
    if (status == STATUS_OK)
        metric_add(postgres->rows_metric, (double)rows);
    return status;
}

static struct delivery_item *item_in(const struct delivery_turn *turn,
                                     const struct delivery_item *item)
{
    return &turn->items[item - turn->items];
}

/* Stores items[0..count) inside a transaction, halving where a value is at fault; a single item
 * that fails is refused. */
static enum status find_poison(struct postgres *postgres, struct table *table,
                               const struct delivery_turn *turn, uint32_t from, uint32_t count,
                               struct failure *failure)
{
    struct session *session = postgres->session;
    enum status status = session_run_script(session, "SAVEPOINT weir", failure);

    if (status != STATUS_OK)
        return status;
    status = table_store(table, session, postgres->items + from, count, failure);
    if (status == STATUS_OK)
        return session_run_script(session, "RELEASE SAVEPOINT weir", failure);
    if (failure->remedy != REMEDY_SET_ASIDE)
        return status;
    if (count == 1) {
        item_refuse(item_in(turn, postgres->items[from]), "refused-by-postgres", "", failure->text);
        metric_add(postgres->refused_metric, 1);
    }
    status =
        session_run_script(session, "ROLLBACK TO SAVEPOINT weir; RELEASE SAVEPOINT weir", failure);
    if (status == STATUS_OK && count > 1)
        status = find_poison(postgres, table, turn, from, count / 2, failure);
    if (status == STATUS_OK && count > 1)
        status = find_poison(postgres, table, turn, from + count / 2, count - count / 2, failure);
    return status;
}

static uint32_t refused_count(const struct delivery_turn *turn)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < turn->count; i++)
        count += item_is_refused(&turn->items[i]);
    return count;
}

/* A rehearsal that is rolled back: it only says which items are refused. They must be in the
 * dead-letter topic before the positions move past them. */
static enum status rehearse(struct postgres *postgres, const struct delivery_turn *turn,
                            struct failure *failure)
{
    uint32_t refused_before = refused_count(turn);
    struct failure cause = *failure;
    enum status status = session_run_script(postgres->session, "BEGIN", failure);

    for (uint32_t t = 0; t < postgres->table_count && status == STATUS_OK; t++) {
        uint32_t count = gather_items(postgres, postgres->tables[t], turn);

        if (count > 0)
            status = find_poison(postgres, postgres->tables[t], turn, 0, count, failure);
    }
    roll_back(postgres);
    if (status != STATUS_OK)
        return status;
    /* Nothing to blame the failure on: it may pass. */
    if (refused_count(turn) == refused_before)
        return failure_set(failure, REMEDY_RETRY, "%s", cause.text);
    return STATUS_AGAIN;
}

/* So many items from the front that one transaction stays of a bearable size; at least one. */
static uint32_t fitting_count(const struct delivery_turn *turn)
{
    size_t bytes = 0;

    for (uint32_t i = 0; i < turn->count; i++) {
        bytes += (size_t)turn->items[i].record.key.size + turn->items[i].record.value.size;
        if (bytes > TRANSACTION_BYTES_MAX && i > 0)
            return i;
    }
    return turn->count;
}

static enum status deliver_postgres(void *context, struct delivery_turn *offered,
                                    struct failure *failure)
{
    struct postgres *postgres = context;
    enum status status = connect_ready(postgres, failure);
    const struct delivery_turn fitting = {.items = offered->items, .count = fitting_count(offered)};
    const struct delivery_turn *turn = &fitting;
    uint32_t moved;

    if (status != STATUS_OK)
        return status;
    moved = plan_positions(postgres, turn);
    status = store_all(postgres, turn, moved, failure);
    if (status == STATUS_OK) {
        for (uint32_t i = 0; i < postgres->position_count; i++)
            if (postgres->pending[i].offset != POSITION_NONE)
                postgres->stored[i].offset = postgres->pending[i].offset;
        offered->taken = turn->count;
        return STATUS_OK;
    }
    roll_back(postgres);
    session_start_clock(postgres->session);
    if (failure->remedy == REMEDY_SET_ASIDE)
        status = rehearse(postgres, turn, failure);
    metric_set(postgres->up_metric, session_is_connected(postgres->session) ? 1 : 0);
    return status;
}

static void confirmed_postgres(void *context, struct position *positions, uint32_t count)
{
    struct postgres *postgres = context;

    for (uint32_t i = 0; i < count; i++) {
        const struct position *stored = find_position(postgres->stored, postgres->position_count,
                                                      positions[i].topic, positions[i].partition);

        positions[i].offset = stored != NULL ? stored->offset : POSITION_NONE;
    }
}

/* No transaction is left open between calls, and the connection serves the next owner in this
 * process, too. */
static void close_postgres(void *context)
{
    (void)context;
}

struct delivery postgres_delivery(struct postgres *postgres)
{
    static const struct delivery_door door = {
        .open = open_postgres,
        .deliver = deliver_postgres,
        .confirmed = confirmed_postgres,
        .close = close_postgres,
    };

    return (struct delivery){
        .door = &door,
        .context = postgres,
        .name = "postgres",
        .topics = topics,
        .topic_count = sizeof(topics) / sizeof(topics[0]),
    };
}

static struct session_options session_options_of(const struct postgres_options *postgres_options)
{
    return (struct session_options){
        .url = postgres_options->url,
        .connect_timeout_ms = postgres_options->connect_timeout_ms,
        .statement_timeout_ms = postgres_options->statement_timeout_ms,
    };
}

enum status postgres_create(const struct postgres_setup *setup, struct postgres **postgres,
                            struct failure *failure)
{
    struct postgres *made;
    enum status status;

    assert(postgres_is_configured(setup->options));
    status = check_url(setup->options->url, failure);
    if (status != STATUS_OK)
        return status;
    made = calloc(1, sizeof(*made));
    assert(made != NULL);
    made->setup = *setup;
    made->session_options = session_options_of(setup->options);
    made->session = session_create(&made->session_options, setup->clock);
    for (struct table *table; (table = table_create(made->table_count)) != NULL;) {
        assert(made->table_count < TABLE_COUNT_MAX);
        made->tables[made->table_count++] = table;
    }
    byte_writer_init(&made->topics);
    byte_writer_init(&made->partitions);
    byte_writer_init(&made->offsets);
    made->rows_metric = metric_counter(setup->metrics, "weir_postgres_rows_total",
                                       "Rows stored in PostgreSQL.", NULL);
    made->refused_metric = metric_counter(setup->metrics, "weir_postgres_refused_total",
                                          "Records whose values PostgreSQL refused.", NULL);
    made->up_metric =
        metric_gauge(setup->metrics, "weir_postgres_up", "1 while there is a connection.", NULL);
    *postgres = made;
    return STATUS_OK;
}

void postgres_destroy(struct postgres *postgres)
{
    if (postgres == NULL)
        return;
    session_destroy(postgres->session);
    for (uint32_t t = 0; t < postgres->table_count; t++)
        table_destroy(postgres->tables[t]);
    byte_writer_free(&postgres->topics);
    byte_writer_free(&postgres->partitions);
    byte_writer_free(&postgres->offsets);
    free(postgres->stored);
    free(postgres->pending);
    free(postgres->items);
    free(postgres);
}

enum status postgres_probe(const struct postgres_options *postgres_options,
                           const struct clock *clock, struct failure *failure)
{
    struct session_options session_options = session_options_of(postgres_options);
    struct session *session;
    enum status status = check_url(postgres_options->url, failure);

    if (status != STATUS_OK)
        return status;
    session = session_create(&session_options, clock);
    status = session_connect(session, failure);
    if (status == STATUS_OK)
        status = session_run(session, "SELECT 1", NULL, 0, failure);
    session_destroy(session);
    return status;
}
