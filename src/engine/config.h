#ifndef ENGINE_CONFIG_H
#define ENGINE_CONFIG_H
/*
 * config.h - the inside of struct engine_config, for the files of this room.
 */
#include <stdbool.h>
#include <stdint.h>

#include "anomaly/anomaly.h"
#include "base/arena.h"
#include "base/tree.h"
#include "engine/currency.h"
#include "engine/engine.h"
#include "engine/room.h"
#include "engine/tenant.h"

enum late_policy { LATE_COUNT, LATE_DEAD_LETTER };

struct engine_options {
    const char *rooms; /* names, comma between */
    int64_t lateness_ms;
    const struct tree *lateness_by_topic;
    int64_t late; /* enum late_policy */
    int64_t future_max_ms;
    int64_t idle_after_ms;
    int64_t idle_unseen_ms;
    int64_t memory_bytes_max;
    const struct tree *deduplicate;
    int64_t deduplicate_bytes_max;
};
extern const struct option_table engine_option_table;

struct engine_config {
    struct arena *arena;
    struct engine_options options; /* its trees are gone; what they said is below */
    int64_t lateness_ms[EVENT_KIND_COUNT];
    int64_t deduplicate_ms[EVENT_KIND_COUNT]; /* 0: off */
    uint32_t deduplicate_count;               /* of kinds that have it on */
    int32_t partition_count;
    struct tenant_table *tenants;
    struct currency_table *currencies;
    bool has_room[ROOM_COUNT];
    const void *room_options[ROOM_COUNT];
    engine_parse_fn *parse;
    const struct tree *rules_tree; /* our copy, to compile anew after a switch by command */
    struct rule_set *rules;
    struct rule_switch *switches; /* by engine_config_switch, in order; ends in NULL */
};

struct rule_switch {
    struct view name;
    bool is_enabled;
    struct rule_switch *next;
};

/* Compiles the rules of the configuration anew, switches included. Never NULL: they
 * compiled when the configuration was made. */
struct rule_set *config_compile(const struct engine_config *config);
#endif
