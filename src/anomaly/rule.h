#ifndef ANOMALY_RULE_H
#define ANOMALY_RULE_H
/*
 * rule.h - a rule as compiled: for the rooms of anomaly/ only.
 *
 * Memory  in the arena of its rule_set, never changed but for `is_enabled`
 */
#include <stdbool.h>
#include <stdint.h>

#include "anomaly/anomaly.h"
#include "anomaly/selection.h"
#include "base/arena.h"
#include "window/series.h"
#include "window/steps.h"

enum { GROUP_FIELDS_MAX = 8, RULES_MAX = 1000, LANE_COUNT = 1 << EVENT_KIND_COUNT };

/* Sums are kept as whole millionths, so that no order of adding changes them. */
#define SUM_SCALE 1e6

enum rule_type {
    RULE_EVENT,
    RULE_EVENT_COUNT,
    RULE_VALUE_COUNT,
    RULE_VALUE_SUM,
    RULE_TEMPORAL,
    RULE_TEMPORAL_ORDERED,
};

struct rule_step {
    struct selection selections[EVENT_KIND_COUNT];
    uint32_t kinds;
};

struct rule {
    struct view name;
    struct view title;
    enum alert_category category;
    enum alert_severity severity;
    enum rule_type type;
    bool is_enabled;
    bool has_episodes; /* else each event is an alert, published once */
    uint32_t index;
    uint32_t kinds;    /* bit per enum event_kind; also the number of its lane */
    int64_t window_ms; /* 0: RULE_EVENT */
    int64_t quiet_ms;
    double threshold; /* as the user wrote it */
    bool is_strict;   /* gt, not gte */
    struct series_rule series;
    struct steps_rule steps;
    /* So many points of a group cannot satisfy, so that their times are all that is kept
     * (brief.h); 0: it is never plain. In turn, as long as all are of the same steps and
     * none of the first. */
    uint32_t brief_most;
    const struct rule_step *step; /* one without a count but for temporal kinds */
    uint32_t step_count;
    struct view value_name;
    struct field_source values[EVENT_KIND_COUNT];
    uint32_t group_count; /* without tenant_id */
    struct view group_names[GROUP_FIELDS_MAX];
    struct field_source groups[EVENT_KIND_COUNT][GROUP_FIELDS_MAX];
    uint64_t digest;
};

/* A rule, asked about events of one kind. */
struct reader {
    const struct rule *rule;
    const struct selection *only; /* NULL: it has several steps */
    uint32_t other;               /* the next reader that asks for anything else */
};

struct rule_set {
    struct arena *arena;
    struct rule *rules;
    uint32_t count;
    /* Enabled rules by the kind of event that they read. */
    struct reader *readers[EVENT_KIND_COUNT];
    uint32_t reader_counts[EVENT_KIND_COUNT];
    /* Sets of kinds of enabled rules with episodes, each once, in the order of the rules. */
    uint32_t *lanes;
    uint32_t lane_count;
};

/* The enabled rule of that definition, or NULL. */
const struct rule *rule_set_find(const struct rule_set *rules, uint64_t digest);
#endif
