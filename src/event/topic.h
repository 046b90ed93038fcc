#ifndef EVENT_TOPIC_H
#define EVENT_TOPIC_H
/*
 * topic.h - the topics, said once: names, what they carry, how they are laid out.
 *
 * A prefix (topics.prefix) may stand before every name; the transport adds it.
 */
#include <stdbool.h>
#include <stdint.h>

#include "event/event.h"
#include "event/result.h"

enum topic {
    /* inputs: co-partitioned, key = tenant_id */
    TOPIC_ORDERS,
    TOPIC_AUTH_EVENTS,
    TOPIC_API_CALLS,
    TOPIC_INTERACTIONS,
    TOPIC_OUTCOMES,
    TOPIC_REQUESTS,
    TOPIC_FORWARD,  /* strays on their way home; co-partitioned */
    TOPIC_COMMANDS, /* one partition, read whole by every worker, outside the group */
    /* results */
    TOPIC_ALERTS,
    TOPIC_RECOMMENDATIONS,
    TOPIC_BATCH_JOBS,
    TOPIC_ANALYTICS,
    TOPIC_COMMAND_RESULTS,
    TOPIC_AUDIT,
    TOPIC_NOTIFICATIONS,
    TOPIC_DEAD_LETTER,
    /* our own */
    TOPIC_JOURNAL,    /* partition p belongs to partition p of the inputs */
    TOPIC_SNAPSHOTS,  /* the same; compacted */
    TOPIC_POPULARITY, /* what tenants share; one partition, compacted, read like commands */
    TOPIC_COUNT,
};

/* Inputs that the group consumes: TOPIC_ORDERS .. TOPIC_FORWARD. */
enum { TOPIC_INPUT_COUNT = TOPIC_FORWARD + 1 };

enum topic_layout {
    LAYOUT_INPUT,  /* as many partitions as the other inputs */
    LAYOUT_SINGLE, /* one partition */
    LAYOUT_RESULT, /* as the inputs by default; no rule */
};

struct topic_info {
    const char *name;
    enum topic_layout layout;
    bool is_compacted;
    int event_kind;  /* enum event_kind, or -1 */
    int result_kind; /* enum result_kind, or -1 */
};

const struct topic_info *topic_info(enum topic topic);
/* TOPIC_COUNT when there is none of that name (without prefix). */
enum topic topic_find(struct view name);
enum topic topic_of_event(enum event_kind kind);
enum topic topic_of_result(enum result_kind kind);
#endif
