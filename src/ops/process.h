#ifndef OPS_PROCESS_H
#define OPS_PROCESS_H
/*
 * process.h - what the process uses, under the names that Prometheus' client libraries
 * gave them: process_resident_memory_bytes, process_cpu_seconds_total,
 * process_open_fds, process_max_fds, process_start_time_seconds, and weir_build_info.
 *
 * Threads  one at a time
 */
#include "base/clock.h"
#include "base/metric.h"

struct process;

/* Registers the metrics, start time and build included. */
struct process *process_create(struct metric_registry *metrics, const struct clock *clock);
void process_destroy(struct process *process);
/* Reads the numbers anew, before they are printed. */
void process_observe(struct process *process);
#endif
