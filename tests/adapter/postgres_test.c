/*
 * The PostgreSQL sink against a real server (WEIR_TEST_POSTGRES=conninfo), each test in a
 * schema of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "sink/batch.h"
#include "sink/postgres.h"
#include "sink/postgres_migration.h"
#include "sink/postgres_session.h"

enum { ITEM_COUNT_MAX = 400 };

struct world {
    char url[512];
    struct postgres_options options;
    struct metric_registry *metrics;
    struct postgres *postgres;
    struct delivery delivery;
    struct session_options session_options;
    struct session *session; /* ours, to look */
    const char *cluster;
    struct outbox *outbox;
    struct arena *arena;
    struct delivery_item items[ITEM_COUNT_MAX];
    uint32_t count;
};

static void run_sql(struct world *world, const char *statement)
{
    struct failure failure = {0};

    if (session_run(world->session, statement, NULL, 0, &failure) != STATUS_OK)
        fail_msg("%s: %s", statement, failure.text);
}

/* The first row's first column. */
static const char *ask(struct world *world, const char *statement)
{
    run_sql(world, statement);
    assert_true(session_row_count(world->session) > 0);
    return session_value(world->session, 0, 0);
}

static void find_cluster(const void *context, char id[POSTGRES_CLUSTER_MAX])
{
    const struct world *world = context;

    snprintf(id, POSTGRES_CLUSTER_MAX, "%s", world->cluster);
}

static struct postgres *make_sink(struct world *world, const char *group)
{
    const struct postgres_setup setup = {
        .options = &world->options,
        .group = group,
        .find_cluster = find_cluster,
        .context = world,
        .clock = clock_system(),
        .metrics = world->metrics,
    };
    struct failure failure = {0};
    struct postgres *postgres = NULL;

    if (postgres_create(&setup, &postgres, &failure) != STATUS_OK)
        fail_msg("%s", failure.text);
    return postgres;
}

/* The connection string, with `schema` as the only one that is seen. */
static void write_url(char *url, size_t bytes, const char *base, const char *schema)
{
    bool is_uri = strncmp(base, "postgres", 8) == 0 && strstr(base, "://") != NULL;

    if (is_uri)
        snprintf(url, bytes, "%s%soptions=-csearch_path%%3D%s", base,
                 strchr(base, '?') != NULL ? "&" : "?", schema);
    else
        snprintf(url, bytes, "%s options='-csearch_path=%s'", base, schema);
}

static void world_open(struct world *world)
{
    static int number;
    const char *base = getenv("WEIR_TEST_POSTGRES");
    struct failure failure = {0};
    char statement[120], schema[64];

    if (base == NULL) {
        print_message("skipped: WEIR_TEST_POSTGRES not set\n");
        skip();
    }
    memset(world, 0, sizeof(*world));
    snprintf(schema, sizeof(schema), "test_%ld_%d", (long)getpid(), ++number);
    write_url(world->url, sizeof(world->url), base, schema);
    world->options = (struct postgres_options){world->url, 5000, 30000};
    world->session_options = (struct session_options){world->url, 5000, 30000};
    world->session = session_create(&world->session_options, clock_system());
    if (session_connect(world->session, &failure) != STATUS_OK)
        fail_msg("%s", failure.text);
    snprintf(statement, sizeof(statement), "CREATE SCHEMA %s", schema);
    run_sql(world, statement);
    world->metrics = metric_registry_create();
    world->outbox = outbox_create();
    world->arena = arena_create(65536);
    world->cluster = "first";
    world->postgres = make_sink(world, "weir-postgres");
    world->delivery = postgres_delivery(world->postgres);
}

static void world_close(struct world *world)
{
    run_sql(world, "SELECT format('DROP SCHEMA %I CASCADE', current_schema())");
    char drop[120];

    snprintf(drop, sizeof(drop), "%s", session_value(world->session, 0, 0));
    postgres_destroy(world->postgres);
    run_sql(world, drop);
    session_destroy(world->session);
    metric_registry_destroy(world->metrics);
    outbox_destroy(world->outbox);
    arena_destroy(world->arena);
}

static struct position open_at(struct world *world, struct delivery delivery, enum topic topic)
{
    struct position position = {topic, 0, POSITION_NONE};
    struct failure failure = {0};

    (void)world;
    if (delivery.door->open(delivery.context, &position, 1, &failure) != STATUS_OK)
        fail_msg("%s", failure.text);
    return position;
}

static struct delivery_item *add_item(struct world *world, const struct result *result,
                                      int64_t offset)
{
    struct delivery_item *item = &world->items[world->count++];

    assert_true(world->count <= ITEM_COUNT_MAX);
    *item = (struct delivery_item){
        .record = {.topic = topic_of_result(result->kind),
                   .offset = offset,
                   .timestamp_ms = 1700000000000 + offset},
    };
    struct result *copy = arena_alloc(world->arena, sizeof(*copy));
    shape_copy(result_shape(result->kind), result, copy, world->arena);
    item->result = copy;
    return item;
}

static struct result make_alert(const char *id, enum alert_status status, int64_t count)
{
    static const char *const numbers[] = {
        "count",           "threshold",   "window_ms", "value", "first_event_time",
        "last_event_time", "opened_time", NULL};
    struct result alert = {
        .kind = RESULT_ALERT,
        .id = view_of(id),
        .tenant_id = VIEW_LITERAL("acme"),
        .alert = {.type = VIEW_LITERAL("failed-auth"),
                  .severity = SEVERITY_HIGH,
                  .status = status,
                  .count = count,
                  .threshold = 5,
                  .window_ms = 300000,
                  .value = (double)count,
                  .first_event_time_ms = 1700000000001,
                  .last_event_time_ms = 1700000000002,
                  .opened_time_ms = 1700000000003,
                  .message = VIEW_LITERAL("too many failures")},
    };

    result_mark(&alert, numbers);
    return alert;
}

static enum status deliver(struct world *world, struct delivery delivery, uint32_t from,
                           uint32_t count, struct failure *failure)
{
    struct delivery_turn turn = {
        .items = world->items + from, .count = count, .outbox = world->outbox};
    enum status status = delivery.door->deliver(delivery.context, &turn, failure);

    assert_int_equal(turn.taken, status == STATUS_OK ? count : 0);
    return status;
}

static void deliver_all(struct world *world)
{
    struct failure failure = {0};

    if (deliver(world, world->delivery, 0, world->count, &failure) != STATUS_OK)
        fail_msg("%s", failure.text);
}

static void *migrate_alone(void *context)
{
    struct world *world = context;
    struct session *session = session_create(&world->session_options, clock_system());
    struct failure failure = {0};
    enum status status = session_connect(session, &failure);

    if (status == STATUS_OK)
        status = migrate(session, &failure);
    if (status != STATUS_OK)
        print_message("%s\n", failure.text);
    session_destroy(session);
    return status == STATUS_OK ? world : NULL;
}

static void many_migrate_at_once(void **state)
{
    struct world world;
    pthread_t threads[4];
    void *result;
    char expected[16];

    (void)state;
    world_open(&world);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, migrate_alone, &world), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &result);
        assert_non_null(result);
    }
    snprintf(expected, sizeof(expected), "%u", migration_count());
    assert_string_equal(ask(&world, "SELECT count(*) FROM weir_schema_migrations"), expected);
    world_close(&world);
}

static void an_alert_has_all_its_columns(void **state)
{
    struct world world;
    struct result alert = make_alert("a-1", ALERT_OPEN, 7);
    const struct pair group[] = {{VIEW_LITERAL("user_id"), VIEW_LITERAL("mallory")}};
    const struct view evidence[] = {VIEW_LITERAL("e-1"), VIEW_LITERAL("e-2")};

    (void)state;
    world_open(&world);
    open_at(&world, world.delivery, TOPIC_ALERTS);
    alert.alert.group = (struct pair_list){group, 1};
    alert.alert.evidence = (struct view_list){evidence, 2};
    result_mark(&alert, (const char *const[]){"count", "opened_time", NULL});
    add_item(&world, &alert, 4);
    deliver_all(&world);
    assert_string_equal(ask(&world, "SELECT to_jsonb(alerts) - 'stored_at' FROM alerts"),
                        "{\"type\": \"failed-auth\", \"count\": 7, \"group\": {\"user_id\": "
                        "\"mallory\"}, \"value\": null, \"status\": \"open\", \"message\": \"too "
                        "many failures\", \"alert_id\": \"a-1\", \"category\": \"security\", "
                        "\"evidence\": [\"e-1\", \"e-2\"], \"severity\": \"high\", "
                        "\"tenant_id\": \"acme\", \"threshold\": null, \"window_ms\": null, "
                        "\"log_offset\": 4, \"resolution\": null, \"merged_into\": null, "
                        "\"opened_time\": \"2023-11-14T22:13:20.003+00:00\", \"log_partition\": "
                        "0, \"last_event_time\": null, \"first_event_time\": null}");
    world_close(&world);
}

static void deliver_list(struct world *world, const char *id, const char *tenant, int64_t time_ms,
                         int64_t offset)
{
    struct result list = {
        .kind = RESULT_RECOMMENDATION,
        .id = view_of(id),
        .tenant_id = view_of(tenant),
        .recommendation = {.customer_id = VIEW_LITERAL("c1"), .event_time_ms = time_ms},
    };

    result_mark(&list, NULL);
    open_at(world, world->delivery, TOPIC_RECOMMENDATIONS);
    world->count = 0;
    add_item(world, &list, offset);
    deliver_all(world);
}

/* What was stored goes, what comes late stays out, what comes after is somebody new. */
static void a_forgotten_customer_stays_forgotten(void **state)
{
    struct result forgotten = {
        .kind = RESULT_ANALYTICS,
        .id = VIEW_LITERAL("f"),
        .tenant_id = VIEW_LITERAL("acme"),
        .analytics = {.type = VIEW_LITERAL("forgotten"),
                      .subject = VIEW_LITERAL("c1"),
                      .event_time_ms = 2000},
    };
    struct result summary = forgotten;
    struct world world;

    (void)state;
    world_open(&world);
    summary.id = VIEW_LITERAL("s");
    summary.analytics.type = VIEW_LITERAL("user_summary");
    summary.analytics.event_time_ms = 1000;
    result_mark(&forgotten, NULL);
    result_mark(&summary, NULL);
    deliver_list(&world, "r-1", "acme", 1000, 0);
    deliver_list(&world, "r-2", "emca", 1000, 1);
    open_at(&world, world.delivery, TOPIC_ANALYTICS);
    world.count = 0;
    add_item(&world, &summary, 0);
    deliver_all(&world);
    assert_string_equal(ask(&world, "SELECT count(*) FROM analytics"), "1");
    world.count = 0;
    add_item(&world, &forgotten, 1);
    deliver_all(&world);
    assert_string_equal(ask(&world, "SELECT count(*) FROM analytics"), "0");
    assert_string_equal(ask(&world, "SELECT string_agg(tenant_id, ' ') FROM recommendations"),
                        "emca");
    deliver_list(&world, "r-3", "acme", 2000, 2);
    assert_string_equal(ask(&world, "SELECT count(*) FROM recommendations"), "1");
    deliver_list(&world, "r-4", "acme", 2001, 3);
    assert_string_equal(ask(&world, "SELECT count(*) FROM recommendations"), "2");
    assert_string_equal(ask(&world, "SELECT count(*) FROM forgotten_customers AS f"
                                    " WHERE f::text LIKE '%c1%'"),
                        "0");
    world_close(&world);
}

/* The request as its audit records describe it; other records are none of its business. */
static void requests_for_a_model_are_kept(void **state)
{
    struct pair pairs[] = {
        {VIEW_LITERAL("status"), VIEW_LITERAL("active")},
        {VIEW_LITERAL("request_id"), VIEW_LITERAL("r-1")},
        {VIEW_LITERAL("requested_time"), VIEW_LITERAL("1700000000000")},
        {VIEW_LITERAL("loss_default"), VIEW_LITERAL("6.5000")},
        {VIEW_LITERAL("model_version"), VIEW_LITERAL("3")},
    };
    struct result audit = {
        .kind = RESULT_AUDIT,
        .id = VIEW_LITERAL("a-1"),
        .tenant_id = VIEW_LITERAL("acme"),
        .audit = {.action = VIEW_LITERAL("command.select-model"), .after = {pairs, 5}},
    };
    struct world world;

    (void)state;
    world_open(&world);
    open_at(&world, world.delivery, TOPIC_AUDIT);
    result_mark(&audit, NULL);
    add_item(&world, &audit, 0);
    audit.id = VIEW_LITERAL("a-2");
    audit.audit.action = VIEW_LITERAL("model.fitted");
    add_item(&world, &audit, 1);
    audit.id = VIEW_LITERAL("a-3");
    audit.tenant_id = VIEW_LITERAL("emca");
    pairs[0].value = VIEW_LITERAL("pending");
    audit.audit.action = VIEW_LITERAL("command.request-isolation");
    add_item(&world, &audit, 2);
    deliver_all(&world);
    assert_string_equal(
        ask(&world, "SELECT string_agg(concat_ws(' ', tenant_id, request_id, status, model_version,"
                    " extract(epoch FROM requested_at)::bigint, loss_default, decided_at), ', '"
                    " ORDER BY tenant_id) FROM model_isolation_requests"),
        "acme r-1 active 3 1700000000 6.5, emca r-1 pending 3 1700000000 6.5");
    assert_string_equal(ask(&world, "SELECT count(*) FROM audit"), "3");
    world_close(&world);
}

/* One result of every kind, with nothing but what must be there. */
static void every_kind_has_its_table(void **state)
{
    static const char *const tables[RESULT_KIND_COUNT] = {
        [RESULT_ALERT] = "alerts",
        [RESULT_RECOMMENDATION] = "recommendations",
        [RESULT_BATCH_JOB] = "batch_jobs",
        [RESULT_ANALYTICS] = "analytics",
        [RESULT_COMMAND_RESULT] = "command_results",
        [RESULT_AUDIT] = "audit",
        [RESULT_NOTIFICATION] = "notifications",
    };
    struct world world;

    (void)state;
    world_open(&world);
    for (int kind = 0; kind < RESULT_KIND_COUNT; kind++) {
        struct result result = {.kind = (enum result_kind)kind,
                                .id = VIEW_LITERAL("r-1"),
                                .tenant_id = VIEW_LITERAL("acme")};
        const struct shape *shape = result_shape(result.kind);
        char statement[120];

        if (tables[kind] == NULL)
            continue; /* Weir's own */
        for (uint32_t i = 1; i < shape->field_count; i++)
            if (shape->fields[i].type == FIELD_TEXT && shape->fields[i].flags & FIELD_REQUIRED)
                *(struct view *)(void *)((char *)&result + shape->fields[i].offset) =
                    VIEW_LITERAL("x");
        result_mark(&result, NULL);
        open_at(&world, world.delivery, topic_of_result(result.kind));
        world.count = 0;
        add_item(&world, &result, 0);
        deliver_all(&world);
        snprintf(statement, sizeof(statement), "SELECT count(*) FROM %s", tables[kind]);
        assert_string_equal(ask(&world, statement), "1");
    }
    world_close(&world);
}

static void hostile_text_stays_text(void **state)
{
    static const char evil[] = "'; DROP TABLE alerts; -- \" \\ {a,b} NULL \n\t \0 \xC3\xA9 $1 %s";
    struct world world;
    struct result alert = make_alert("a\"b\\c'd", ALERT_OPEN, 1);
    const struct pair group[] = {{VIEW_LITERAL("we\"ird\\"), {evil, sizeof(evil) - 1}},
                                 {VIEW_LITERAL("back\\u0000slash"), VIEW_LITERAL("\\u0000")}};

    (void)state;
    world_open(&world);
    open_at(&world, world.delivery, TOPIC_ALERTS);
    alert.alert.message = (struct view){evil, sizeof(evil) - 1};
    alert.alert.group = (struct pair_list){group, 2};
    result_mark(&alert, NULL);
    add_item(&world, &alert, 0);
    deliver_all(&world);
    assert_string_equal(ask(&world, "SELECT alert_id FROM alerts"), "a\"b\\c'd");
    const char expected[] =
        "'; DROP TABLE alerts; -- \" \\ {a,b} NULL \n\t \xEF\xBF\xBD \xC3\xA9 $1 %s";
    assert_string_equal(ask(&world, "SELECT message FROM alerts"), expected);
    assert_string_equal(ask(&world, "SELECT \"group\"->>'we\"ird\\' FROM alerts"), expected);
    assert_string_equal(ask(&world, "SELECT \"group\"->>'back\\u0000slash' FROM alerts"),
                        "\\u0000");
    world_close(&world);
}

static void positions_come_back(void **state)
{
    struct world world;
    struct result alert = make_alert("a-1", ALERT_OPEN, 1);
    struct position confirmed = {TOPIC_ALERTS, 0, 0};

    (void)state;
    world_open(&world);
    assert_int_equal(open_at(&world, world.delivery, TOPIC_ALERTS).offset, POSITION_NONE);
    world.delivery.door->confirmed(world.delivery.context, &confirmed, 1);
    assert_int_equal(confirmed.offset, POSITION_NONE);
    add_item(&world, &alert, 41);
    deliver_all(&world);
    world.delivery.door->close(world.delivery.context);
    world.delivery.door->confirmed(world.delivery.context, &confirmed, 1);
    assert_int_equal(confirmed.offset, 42);
    assert_int_equal(open_at(&world, world.delivery, TOPIC_ALERTS).offset, 42);

    /* Another group has positions of its own. */
    struct postgres *other = make_sink(&world, "other");
    assert_int_equal(open_at(&world, postgres_delivery(other), TOPIC_ALERTS).offset, POSITION_NONE);
    postgres_destroy(other);
    world_close(&world);
}

/* Ids that tenants choose for their commands; the platform's have no tenant. */
static void commands_of_one_name_are_three(void **state)
{
    static const char *const tenants[] = {"acme", "emca", NULL};
    struct world world;
    struct result result = {.kind = RESULT_COMMAND_RESULT,
                            .id = VIEW_LITERAL("c-1"),
                            .command_result = {.status = COMMAND_REJECTED}};

    (void)state;
    world_open(&world);
    open_at(&world, world.delivery, TOPIC_COMMAND_RESULTS);
    for (int64_t i = 0; i < 6; i++) {
        result.tenant_id = tenants[i % 3] != NULL ? view_of(tenants[i % 3]) : (struct view){0};
        result.command_result.status = i < 3 ? COMMAND_REJECTED : COMMAND_ACCEPTED;
        result_mark(&result, NULL);
        world.count = 0;
        add_item(&world, &result, i);
        deliver_all(&world);
    }
    assert_string_equal(ask(&world, "SELECT string_agg(coalesce(tenant_id, '-') || ' ' || status,"
                                    " ', ' ORDER BY tenant_id) FROM command_results"),
                        "acme accepted, emca accepted, - accepted");
    world_close(&world);
}

static void a_former_owner_stores_nothing(void **state)
{
    struct world world;
    struct result alert = make_alert("a-1", ALERT_OPEN, 1);
    struct failure failure = {0};

    (void)state;
    world_open(&world);
    open_at(&world, world.delivery, TOPIC_ALERTS);
    struct postgres *next = make_sink(&world, "weir-postgres");
    open_at(&world, postgres_delivery(next), TOPIC_ALERTS);
    add_item(&world, &alert, 0);
    assert_int_equal(deliver(&world, world.delivery, 0, 1, &failure), STATUS_BROKEN);
    assert_int_equal(failure.remedy, REMEDY_ROLL_BACK);
    assert_string_equal(ask(&world, "SELECT count(*) FROM alerts"), "0");
    assert_int_equal(deliver(&world, postgres_delivery(next), 0, 1, &failure), STATUS_OK);
    assert_string_equal(ask(&world, "SELECT count(*) FROM alerts"), "1");
    postgres_destroy(next);
    world_close(&world);
}

/* Offsets of one cluster are nothing in another; rows from before clusters were told apart are of
 * the first that comes. */
static void each_cluster_has_its_own_positions(void **state)
{
    struct world world;
    struct result alert = make_alert("a-1", ALERT_OPEN, 7);
    struct position position = {TOPIC_ALERTS, 0, POSITION_NONE};
    struct failure failure = {0};
    struct postgres *next;

    (void)state;
    world_open(&world);
    open_at(&world, world.delivery, TOPIC_ALERTS);
    add_item(&world, &alert, 41);
    deliver_all(&world);
    run_sql(&world, "UPDATE weir_sink_positions SET cluster = ''");
    next = make_sink(&world, "weir-postgres");
    assert_int_equal(open_at(&world, postgres_delivery(next), TOPIC_ALERTS).offset, 42);
    postgres_destroy(next);
    world.cluster = "second";
    next = make_sink(&world, "weir-postgres");
    assert_int_equal(open_at(&world, postgres_delivery(next), TOPIC_ALERTS).offset, POSITION_NONE);
    postgres_destroy(next);
    world.cluster = "first";
    next = make_sink(&world, "weir-postgres");
    assert_int_equal(open_at(&world, postgres_delivery(next), TOPIC_ALERTS).offset, 42);
    postgres_destroy(next);
    world.cluster = "";
    next = make_sink(&world, "weir-postgres");
    assert_int_equal(
        postgres_delivery(next).door->open(postgres_delivery(next).context, &position, 1, &failure),
        STATUS_BROKEN);
    assert_int_equal(failure.remedy, REMEDY_RETRY);
    postgres_destroy(next);
    world_close(&world);
}

static void poison_is_found_and_refused(void **state)
{
    struct world world;
    struct failure failure = {0};
    char id[32];

    (void)state;
    world_open(&world);
    open_at(&world, world.delivery, TOPIC_ALERTS);
    for (int i = 0; i < 100; i++) {
        snprintf(id, sizeof(id), "a-%d", i);
        struct result alert = make_alert(id, ALERT_OPEN, i);
        /* Outside of what a timestamp can say. */
        if (i == 17 || i == 18 || i == 99)
            alert.alert.opened_time_ms = INT64_MAX;
        add_item(&world, &alert, i);
    }
    assert_int_equal(deliver(&world, world.delivery, 0, 100, &failure), STATUS_AGAIN);
    assert_string_equal(ask(&world, "SELECT count(*) FROM alerts"), "0");
    for (int i = 0; i < 100; i++)
        assert_int_equal(item_is_refused(&world.items[i]), i == 17 || i == 18 || i == 99);
    assert_string_equal(world.items[17].refusal.code, "refused-by-postgres");
    assert_non_null(strstr(world.items[17].refusal.reason, "timestamp out of range"));
    deliver_all(&world);
    assert_string_equal(ask(&world, "SELECT count(*) FROM alerts"), "97");
    assert_string_equal(ask(&world, "SELECT next_offset FROM weir_sink_positions"), "100");
    world_close(&world);
}

static void an_older_record_never_wins(void **state)
{
    struct world world;
    struct result closed = make_alert("a-1", ALERT_CLOSED, 9);
    struct result updated = make_alert("a-1", ALERT_UPDATED, 5);

    (void)state;
    world_open(&world);
    open_at(&world, world.delivery, TOPIC_ALERTS);
    add_item(&world, &closed, 9);
    deliver_all(&world);
    world.count = 0;
    add_item(&world, &updated, 5);
    deliver_all(&world);
    assert_string_equal(ask(&world, "SELECT status || count FROM alerts"), "closed9");
    world_close(&world);
}

static void decisions_fill_resolutions(void **state)
{
    struct world world;
    struct result open = make_alert("a-1", ALERT_OPEN, 5);
    struct result resolved = make_alert("a-1", ALERT_RESOLVED, 0);
    struct result updated = make_alert("a-1", ALERT_UPDATED, 10);

    (void)state;
    world_open(&world);
    open_at(&world, world.delivery, TOPIC_ALERTS);
    resolved.alert.message = VIEW_LITERAL("a test of ours");
    add_item(&world, &open, 0);
    add_item(&world, &resolved, 1);
    deliver_all(&world);
    assert_string_equal(ask(&world, "SELECT status || ' ' || resolution || ' ' || count || ' ' ||"
                                    " message FROM alerts"),
                        "resolved resolved 5 too many failures");
    assert_string_equal(ask(&world, "SELECT anomaly_id || ' ' || status || ' ' || notes || ' ' ||"
                                    " resolved_at FROM anomaly_resolutions"),
                        "a-1 resolved a test of ours 2023-11-14 22:13:20.001+00");
    world.count = 0;
    add_item(&world, &updated, 2);
    add_item(&world, &resolved, 3);
    deliver_all(&world);
    assert_string_equal(ask(&world, "SELECT status || ' ' || resolution || ' ' || count "
                                    "FROM alerts"),
                        "resolved resolved 10");
    /* The same decision, said twice by the log, is one. */
    assert_string_equal(ask(&world, "SELECT count(*) FROM anomaly_resolutions"), "1");
    world_close(&world);
}

static void decisions_change_only_what_is_there_and_theirs(void **state)
{
    struct world world;
    struct result open = make_alert("a-1", ALERT_OPEN, 5);
    struct result own = make_alert("a-1", ALERT_ACKNOWLEDGED, 0);
    struct result foreign = make_alert("a-1", ALERT_IGNORED, 0);
    struct result unknown = make_alert("a-2", ALERT_IGNORED, 0);

    (void)state;
    world_open(&world);
    open_at(&world, world.delivery, TOPIC_ALERTS);
    foreign.tenant_id = VIEW_LITERAL("mallory");
    add_item(&world, &open, 0);
    add_item(&world, &own, 1);
    add_item(&world, &foreign, 2);
    add_item(&world, &unknown, 3);
    deliver_all(&world);
    assert_string_equal(ask(&world, "SELECT string_agg(alert_id || ' ' || status || ' ' ||"
                                    " resolution, ',') FROM alerts"),
                        "a-1 acknowledged acknowledged");
    /* What was decided is kept all the same. */
    assert_string_equal(ask(&world, "SELECT count(*) FROM anomaly_resolutions"), "3");
    world_close(&world);
}

static void dead_letters_keep_their_bytes(void **state)
{
    static const char bytes[] = "\x00\xFF{\"broken\":\\";
    const struct dead_letter letter = {
        .code = VIEW_LITERAL("bad-syntax"),
        .reason = VIEW_LITERAL("not JSON\0 at all"),
        .source_topic = VIEW_LITERAL("orders"),
        .source_partition = VIEW_LITERAL("3"),
        .source_offset = VIEW_LITERAL("99999999999999999999"),
        .source_timestamp = VIEW_LITERAL("-5"),
    };
    const struct dead_letter nothing = {0};
    struct world world;

    (void)state;
    world_open(&world);
    open_at(&world, world.delivery, TOPIC_DEAD_LETTER);
    world.items[0] = (struct delivery_item){
        .record = {.topic = TOPIC_DEAD_LETTER,
                   .offset = 3,
                   .timestamp_ms = 1700000000000,
                   .key = VIEW_LITERAL("acme\xFE"),
                   .value = {bytes, sizeof(bytes) - 1}},
        .dead_letter = &letter,
    };
    world.items[1] = (struct delivery_item){
        .record = {.topic = TOPIC_DEAD_LETTER, .offset = 4, .timestamp_ms = -1},
        .dead_letter = &nothing,
    };
    world.count = 2;
    deliver_all(&world);
    assert_string_equal(ask(&world, "SELECT encode(value, 'hex') FROM dead_letters "
                                    "WHERE log_offset = 3"),
                        "00ff7b2262726f6b656e223a5c");
    assert_string_equal(ask(&world, "SELECT to_jsonb(d) - 'stored_at' - 'value' FROM dead_letters"
                                    " d WHERE log_offset = 3"),
                        "{\"id\": \"orders/3/99999999999999999999/bad-syntax\", \"key\": "
                        "\"\\\\x61636d65fe\", \"code\": \"bad-syntax\", \"field\": null, "
                        "\"reason\": \"not JSON\xEF\xBF\xBD at all\", \"version\": null, "
                        "\"tenant_id\": \"acme\xEF\xBF\xBD\", \"log_offset\": 3, \"recorded_at\": "
                        "\"2023-11-14T22:13:20+00:00\", \"source_time\": null, \"source_topic\": "
                        "\"orders\", \"log_partition\": 0, \"source_offset\": null, "
                        "\"source_partition\": 3}");
    assert_string_equal(ask(&world, "SELECT id FROM dead_letters WHERE log_offset = 4"),
                        "dead-letter/0/4");
    world_close(&world);
}

static uint64_t draw(uint64_t *random)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return *random >> 33;
}

/* Whatever the batch boundaries, the tables end up the same. */
static void batches_equal_single_records(void **state)
{
    static const char snapshot[] =
        "SELECT (SELECT coalesce(string_agg((to_jsonb(a) - 'stored_at')::text, e'\\n' "
        "ORDER BY alert_id), '') FROM alerts a) || (SELECT coalesce(string_agg((to_jsonb(r) - "
        "'stored_at')::text, e'\\n' ORDER BY id), '') FROM anomaly_resolutions r)";
    static const uint32_t sizes[] = {1, 7, 60};

    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        char *first = NULL;

        for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
            struct world world;
            struct failure failure = {0};
            uint64_t random = seed;
            char id[8];

            world_open(&world);
            open_at(&world, world.delivery, TOPIC_ALERTS);
            for (int i = 0; i < 60; i++) {
                enum alert_status status = (enum alert_status)(draw(&random) % 6);

                snprintf(id, sizeof(id), "a-%u", (unsigned)(draw(&random) % 4));
                /* An alert is published before anybody can decide on it. */
                if (i < 4) {
                    snprintf(id, sizeof(id), "a-%d", i);
                    status = ALERT_OPEN;
                }
                struct result alert = make_alert(id, status, i);
                add_item(&world, &alert, i);
            }
            for (uint32_t from = 0; from < world.count; from += sizes[s]) {
                uint32_t left = world.count - from;
                uint32_t count = left < sizes[s] ? left : sizes[s];

                if (deliver(&world, world.delivery, from, count, &failure) != STATUS_OK)
                    fail_msg("%s", failure.text);
            }
            if (first == NULL)
                first = strdup(ask(&world, snapshot));
            else
                assert_string_equal(ask(&world, snapshot), first);
            world_close(&world);
        }
        assert_true(strlen(first) > 0);
        free(first);
    }
}

static void a_lost_connection_is_made_again(void **state)
{
    struct world world;
    struct result alert = make_alert("a-1", ALERT_OPEN, 1);
    struct failure failure = {0};

    (void)state;
    world_open(&world);
    open_at(&world, world.delivery, TOPIC_ALERTS);
    add_item(&world, &alert, 0);
    ask(&world, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND application_name = 'weir' AND query LIKE "
                "'COMMIT%'");
    assert_int_equal(deliver(&world, world.delivery, 0, 1, &failure), STATUS_BROKEN);
    assert_int_equal(failure.remedy, REMEDY_RETRY);
    deliver_all(&world);
    assert_string_equal(ask(&world, "SELECT count(*) FROM alerts"), "1");
    world_close(&world);
}

static void a_lock_of_somebody_else_is_waited_out(void **state)
{
    struct world world;
    struct result alert = make_alert("a-1", ALERT_OPEN, 1);
    struct failure failure = {0};

    (void)state;
    world_open(&world);
    open_at(&world, world.delivery, TOPIC_ALERTS);
    world.options.statement_timeout_ms = 200;
    struct postgres *hasty = make_sink(&world, "weir-postgres");
    struct delivery delivery = postgres_delivery(hasty);
    open_at(&world, delivery, TOPIC_ALERTS);
    add_item(&world, &alert, 0);
    run_sql(&world, "BEGIN");
    run_sql(&world, "LOCK TABLE alerts IN EXCLUSIVE MODE");
    assert_int_equal(deliver(&world, delivery, 0, 1, &failure), STATUS_BROKEN);
    assert_int_equal(failure.remedy, REMEDY_RETRY);
    run_sql(&world, "COMMIT");
    assert_int_equal(deliver(&world, delivery, 0, 1, &failure), STATUS_OK);
    assert_string_equal(ask(&world, "SELECT count(*) FROM alerts"), "1");
    postgres_destroy(hasty);
    world_close(&world);
}

static void a_transaction_is_of_bearable_size(void **state)
{
    enum { LETTERS = 40, LETTER_BYTES = 1 << 20 };
    const struct dead_letter nothing = {0};
    char *bytes = calloc(1, LETTER_BYTES);
    struct failure failure = {0};
    struct world world;
    uint32_t turns = 0;

    (void)state;
    world_open(&world);
    open_at(&world, world.delivery, TOPIC_DEAD_LETTER);
    for (uint32_t i = 0; i < LETTERS; i++)
        world.items[i] = (struct delivery_item){
            .record = {.topic = TOPIC_DEAD_LETTER,
                       .offset = i,
                       .timestamp_ms = 1,
                       .value = {bytes, LETTER_BYTES}},
            .dead_letter = &nothing,
        };
    for (uint32_t taken = 0; taken < LETTERS; turns++) {
        struct delivery_turn turn = {
            .items = world.items + taken, .count = LETTERS - taken, .outbox = world.outbox};

        if (world.delivery.door->deliver(world.delivery.context, &turn, &failure) != STATUS_OK)
            fail_msg("%s", failure.text);
        assert_in_range(turn.taken, 1, 16);
        taken += turn.taken;
    }
    assert_int_equal(turns, 3);
    assert_string_equal(ask(&world, "SELECT sum(length(value)) FROM dead_letters"), "41943040");
    world_close(&world);
    free(bytes);
}

/* A server that accepts and says nothing is given up in time. */
static void silence_is_not_waited_for(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof(address);
    int listening = socket(AF_INET, SOCK_STREAM, 0);
    char url[100];
    struct postgres_options options = {url, 200, 200};
    struct failure failure = {0};
    int64_t start_ms = clock_monotonic_ms(clock_system());

    (void)state;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(listening, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listening, 1), 0);
    assert_int_equal(getsockname(listening, (struct sockaddr *)&address, &size), 0);
    snprintf(url, sizeof(url), "postgresql://weir:pass-word@127.0.0.1:%u/weir",
             ntohs(address.sin_port));
    assert_int_equal(postgres_probe(&options, clock_system(), &failure), STATUS_BROKEN);
    assert_int_equal(failure.remedy, REMEDY_RETRY);
    assert_true(clock_monotonic_ms(clock_system()) - start_ms < 5000);
    close(listening);

    /* Nor is one that is not there; and the password stays where it is. */
    assert_int_equal(postgres_probe(&options, clock_system(), &failure), STATUS_BROKEN);
    assert_int_equal(failure.remedy, REMEDY_RETRY);
    assert_null(strstr(failure.text, "pass-word"));
}

static void a_broken_url_is_told_without_quoting_it(void **state)
{
    struct postgres_options options = {"host=db password=pass-word verybroken", 200, 200};
    struct failure failure = {0};

    (void)state;
    assert_int_equal(postgres_probe(&options, clock_system(), &failure), STATUS_BROKEN);
    assert_int_equal(failure.remedy, REMEDY_STOP);
    assert_null(strstr(failure.text, "pass-word"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_migrate_at_once),
        cmocka_unit_test(an_alert_has_all_its_columns),
        cmocka_unit_test(every_kind_has_its_table),
        cmocka_unit_test(a_forgotten_customer_stays_forgotten),
        cmocka_unit_test(requests_for_a_model_are_kept),
        cmocka_unit_test(hostile_text_stays_text),
        cmocka_unit_test(positions_come_back),
        cmocka_unit_test(commands_of_one_name_are_three),
        cmocka_unit_test(a_former_owner_stores_nothing),
        cmocka_unit_test(each_cluster_has_its_own_positions),
        cmocka_unit_test(poison_is_found_and_refused),
        cmocka_unit_test(an_older_record_never_wins),
        cmocka_unit_test(decisions_fill_resolutions),
        cmocka_unit_test(decisions_change_only_what_is_there_and_theirs),
        cmocka_unit_test(dead_letters_keep_their_bytes),
        cmocka_unit_test(batches_equal_single_records),
        cmocka_unit_test(a_lost_connection_is_made_again),
        cmocka_unit_test(a_lock_of_somebody_else_is_waited_out),
        cmocka_unit_test(a_transaction_is_of_bearable_size),
        cmocka_unit_test(silence_is_not_waited_for),
        cmocka_unit_test(a_broken_url_is_told_without_quoting_it),
    };

    log_set(LOG_WARN, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
