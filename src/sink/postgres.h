#ifndef SINK_POSTGRES_H
#define SINK_POSTGRES_H
/*
 * postgres.h - results into PostgreSQL, each once.
 *
 * The rows of a batch and the positions up to which the log is stored travel in one
 * database transaction, so that neither can be without the other. At the start the
 * database says where to go on; the group's committed positions are for monitoring.
 *
 *   weir_sink_positions(cluster, group_name, topic, partition, next_offset, owner)
 *
 * Whoever takes partitions over locks these rows, reads where to begin and writes a new
 * owner. A former owner that has not noticed yet finds its mark gone at its next
 * transaction and stores nothing (REMEDY_ROLL_BACK). An offset means nothing in another
 * Kafka cluster, whose topics may bear the same names: each cluster has its own rows.
 *
 * A value that PostgreSQL refuses makes its batch fail: halving finds the items, which
 * go to the dead-letter topic. U+0000 in a text is stored as U+FFFD.
 *
 * Tables: alerts, anomaly_resolutions, audit, dead_letters, command_results,
 * notifications, recommendations, batch_jobs, analytics, model_isolation_requests,
 * forgotten_customers; migrations make them.
 *
 * Threads  one owner
 */
#include <stdbool.h>

#include "base/clock.h"
#include "base/metric.h"
#include "base/option.h"
#include "event/delivery.h"

struct postgres_options {
    const char *url; /* a secret; NULL: no database */
    int64_t connect_timeout_ms;
    int64_t statement_timeout_ms;
};
/* Section "postgres". */
extern const struct option_table postgres_option_table;

bool postgres_is_configured(const struct postgres_options *options);

enum { POSTGRES_CLUSTER_MAX = 64 };

/* Everything borrowed, and alive longer than the sink. */
struct postgres_setup {
    const struct postgres_options *options;
    const char *group; /* whose positions: the consumer group, topic prefix included */
    /* Writes the id of the cluster that the log is in; "" when it cannot be told now, and then
     * no partition is taken over yet. */
    void (*find_cluster)(const void *context, char id[POSTGRES_CLUSTER_MAX]);
    const void *context;
    const struct clock *clock;
    struct metric_registry *metrics;
};

struct postgres;

/* Connects to nothing yet. REMEDY_STOP: the url cannot be read. */
enum status postgres_create(const struct postgres_setup *setup, struct postgres **postgres,
                            struct failure *failure);
void postgres_destroy(struct postgres *postgres);
struct delivery postgres_delivery(struct postgres *postgres);

/* Connects and asks one question: for health checks and `weir check`. */
enum status postgres_probe(const struct postgres_options *options, const struct clock *clock,
                           struct failure *failure);
#endif
