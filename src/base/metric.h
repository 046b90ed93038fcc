#ifndef BASE_METRIC_H
#define BASE_METRIC_H
/*
 * metric.h - numbers for Prometheus.
 *
 * A metric is registered once, at start or when its labels first appear, and
 * lives as long as the registry. Updating one is an atomic add or store, relaxed:
 * callers on the hot path keep plain counts and add them once a batch.
 *
 * Names: weir_, base units, _total for counters. Labels: a text such as
 * partition="3",topic="orders" (values escaped with metric_label), never an id of
 * a customer.
 *
 * Threads  registering takes a lock, updating does not, printing takes the lock
 */
#include <stdint.h>

#include "base/bytes.h"

struct metric_registry;
struct metric;

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric_registry *metric_registry_create(void);
void metric_registry_destroy(struct metric_registry *registry);

/* The same name and labels give the same metric. `labels` may be NULL. */
struct metric *metric_counter(struct metric_registry *registry, const char *name, const char *help,
                              const char *labels);
struct metric *metric_gauge(struct metric_registry *registry, const char *name, const char *help,
                            const char *labels);
/* Seconds in powers of two from 2^-14 s to 2^6 s. */
struct metric *metric_histogram(struct metric_registry *registry, const char *name,
                                const char *help, const char *labels);

/* NULL is allowed everywhere: nothing happens. */
void metric_add(struct metric *metric, double amount);
void metric_set(struct metric *metric, double value);
void metric_observe(struct metric *metric, double seconds);
double metric_value(const struct metric *metric); /* a histogram's count */

/* Text exposition format 0.0.4. */
void metric_print(struct metric_registry *registry, struct byte_writer *out);
/* Appends name="value" to a label text under construction, escaped, with a comma if needed. */
void metric_label(struct byte_writer *labels, const char *name, struct view value);
#endif
