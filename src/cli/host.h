#ifndef CLI_HOST_H
#define CLI_HOST_H
/*
 * host.h - what the roles of a process share, and lend to all below them.
 */
#include <stdatomic.h>

#include "base/clock.h"
#include "base/metric.h"
#include "cli/settings.h"

struct host {
    const struct settings *settings;
    const struct clock *clock;
    struct metric_registry *metrics;
    const atomic_bool *is_stopping; /* ends the waiting for a broker at the start */
};
#endif
