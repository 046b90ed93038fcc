/*
 * Alerts a second into PostgreSQL (WEIR_TEST_POSTGRES=conninfo), by the size of a batch: new
 * rows, and the same rows again. One connection, as a sink has it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "sink/postgres.h"
#include "sink/postgres_session.h"
#include "unit/sink/alert.h"

enum { ROWS = 50000, BATCH_MOST = 5000 };

static void require(enum status status, const struct failure *failure)
{
    if (status == STATUS_OK)
        return;
    fprintf(stderr, "%s\n", failure->text);
    exit(1);
}

static void run_sql(const char *url, const char *statement)
{
    const struct session_options options = {url, 5000, 60000};
    struct session *session = session_create(&options, clock_system());
    struct failure failure = {0};

    require(session_connect(session, &failure), &failure);
    require(session_run_script(session, statement, &failure), &failure);
    session_destroy(session);
}

static double store(struct delivery delivery, struct delivery_item *items, uint32_t batch,
                    int64_t *offset)
{
    struct outbox *outbox = outbox_create();
    int64_t start_ns = clock_monotonic_ns(clock_system());
    struct failure failure = {0};
    char ids[BATCH_MOST][24];
    struct result alerts[BATCH_MOST];

    for (uint32_t done = 0; done < ROWS; done += batch) {
        for (uint32_t i = 0; i < batch; i++) {
            snprintf(ids[i], sizeof(ids[i]), "alert-%u", done + i);
            alerts[i] = make_alert(ids[i], SEVERITY_HIGH, ALERT_OPEN);
            items[i] = (struct delivery_item){
                .record = {.topic = TOPIC_ALERTS, .offset = (*offset)++, .timestamp_ms = 1},
                .result = &alerts[i],
            };
        }
        struct delivery_turn turn = {.items = items, .count = batch, .outbox = outbox};
        require(delivery.door->deliver(delivery.context, &turn, &failure), &failure);
    }
    outbox_destroy(outbox);
    return ROWS / ((double)(clock_monotonic_ns(clock_system()) - start_ns) / 1e9);
}

static void find_cluster(const void *context, char id[POSTGRES_CLUSTER_MAX])
{
    (void)context;
    snprintf(id, POSTGRES_CLUSTER_MAX, "bench");
}

int main(void)
{
    static const uint32_t batches[] = {100, 1000, 5000};
    const char *base = getenv("WEIR_TEST_POSTGRES");
    struct delivery_item *items = calloc(BATCH_MOST, sizeof(*items));
    char url[512], schema[40], statement[100];

    if (base == NULL) {
        printf("skipped: WEIR_TEST_POSTGRES not set\n");
        free(items);
        return 0;
    }
    snprintf(schema, sizeof(schema), "bench_%ld", (long)getpid());
    snprintf(url, sizeof(url), "%s&options=-csearch_path%%3D%s", base, schema);
    for (size_t b = 0; b < sizeof(batches) / sizeof(batches[0]); b++) {
        struct metric_registry *metrics = metric_registry_create();
        const struct postgres_options options = {url, 5000, 60000};
        const struct postgres_setup setup = {
            .options = &options,
            .group = "bench",
            .find_cluster = find_cluster,
            .clock = clock_system(),
            .metrics = metrics,
        };
        struct position position = {TOPIC_ALERTS, 0, POSITION_NONE};
        struct postgres *postgres = NULL;
        struct failure failure = {0};
        int64_t offset = 0;

        snprintf(statement, sizeof(statement), "CREATE SCHEMA %s", schema);
        run_sql(url, statement);
        require(postgres_create(&setup, &postgres, &failure), &failure);
        struct delivery delivery = postgres_delivery(postgres);
        require(delivery.door->open(delivery.context, &position, 1, &failure), &failure);
        double fresh = store(delivery, items, batches[b], &offset);
        double again = store(delivery, items, batches[b], &offset);
        printf("batch of %4u: %8.0f new rows/s, %8.0f replaced rows/s\n", batches[b], fresh, again);
        postgres_destroy(postgres);
        metric_registry_destroy(metrics);
        snprintf(statement, sizeof(statement), "DROP SCHEMA %s CASCADE", schema);
        run_sql(url, statement);
    }
    free(items);
    return 0;
}
