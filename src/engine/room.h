#ifndef ENGINE_ROOM_H
#define ENGINE_ROOM_H
/*
 * room.h - the domain rooms as the engine sees them: a table, one row a room.
 *
 * A new judgement is a file room_NAME.c that fits the room's functions to this row, and
 * the row in room.c. `state` is what `open` returned, owned by the engine and given to
 * no other row. A function that a room has no use for is NULL.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "anomaly/anomaly.h"
#include "base/arena.h"
#include "base/bytes.h"
#include "base/option.h"
#include "base/status.h"
#include "base/view.h"
#include "engine/engine.h"
#include "engine/tenant.h"
#include "event/event.h"
#include "event/outbox.h"

/* What a room is opened with; all of it outlives the room but `rules`, which
 * replace_rules changes. */
struct room_setup {
    const struct rule_set *rules;
    const void *options;        /* as its option table filled them; NULL: it has none */
    const int64_t *lateness_ms; /* EVENT_KIND_COUNT of them */
    size_t bytes_max;           /* its share of the budget */
    int32_t partition;
};

/* An event, and what the engine knows of it. */
struct room_event {
    const struct event *event;
    const struct tenant *tenant;
    int32_t local_hour;
    uint32_t expected; /* its number in the last `expect`, from 1; 0: in none */
    double reference_amount;
};

/* What came of a command. Texts live in the arena given, or in the command. */
struct room_answer {
    bool is_accepted;
    struct view error; /* when rejected */
    struct pair_list before, after;
    struct pair_list result;
};

struct room {
    const char *name;                   /* also in snapshots: never changes */
    uint32_t kinds;                     /* bit 1 << enum event_kind: what it reads */
    uint32_t memory_share;              /* of the budget, against the other rooms' */
    const struct option_table *options; /* NULL: none */
    uint64_t (*options_digest)(const void *options);
    const char *const *command_types; /* commands of its own, each of one tenant; ends in NULL */

    void *(*open)(const struct room_setup *setup);
    void (*close)(void *state);
    void (*apply)(void *state, const struct room_event *event, struct outbox *outbox);
    /* A hint: these come next, at most ENGINE_EXPECT_MAX; events[i] is what seen[i] is about,
     * and `apply` will get both as they are now, or nothing of them. */
    void (*expect)(void *state, const struct event *events, const struct room_event *seen,
                   uint32_t count);
    /* The watermark of a kind moved; INT64_MIN: none yet, INT64_MAX: idle. */
    void (*advance)(void *state, const int64_t *watermark_ms, struct outbox *outbox);
    /* now_ms is the time; awake_ms leaves out what passed between ticks far apart (the
     * program was down), last_arrival_ms is in the same measure. */
    void (*tick)(void *state, int64_t now_ms, int64_t awake_ms, const int64_t *last_arrival_ms,
                 struct outbox *outbox);
    /* What other tenants let this partition know. */
    void (*take_popularity)(void *state, const struct result *result);
    void (*finish)(void *state, struct outbox *outbox);
    /* The old rules live until it returns. */
    void (*replace_rules)(void *state, const struct rule_set *rules, struct outbox *outbox);
    /* One of command_types, with a tenant; only in the tenant's home partition. `tenant` is NULL
     * when such tenants are rejected. */
    void (*command)(void *state, const struct event *event, const struct tenant *tenant,
                    struct arena *arena, struct outbox *outbox, struct room_answer *answer);
    /* There is work for the next tick, the sooner the better. */
    bool (*is_busy)(const void *state);
    void (*save)(const void *state, struct byte_writer *out);
    /* Also what was saved under other rules or options: of it, what fits these. */
    void *(*load)(const struct room_setup *setup, struct byte_reader *in, struct failure *failure);
    uint64_t (*digest)(const void *state);
    /* Adds its part. */
    void (*stats)(const void *state, struct engine_stats *stats);
};

enum { ROOM_COUNT = 2 };

extern const struct room *const rooms[ROOM_COUNT];
/* Option tables of the engine and of all rooms; ends in NULL. */
extern const struct option_table *const room_option_tables[];
extern const struct room room_anomaly;
extern const struct room room_recommend;

/* A row at work in an engine. */
struct room_instance {
    const struct room *row;
    const void *options;
    void *state;
};

bool room_has_command(const struct room *room, struct view type);
#endif
