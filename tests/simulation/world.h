#ifndef SIMULATION_WORLD_H
#define SIMULATION_WORLD_H
/*
 * world.h - processes with real pipelines on a fake cluster, and all that befalls them.
 *
 *   world_begin(&world, seed)          every choice comes from the seed
 *   world_turn(&world)                 produce, disturb, one turn of each process, check
 *   world_settle(&world)               calm: everything is consumed in bounded turns
 *   world_judge(&world)                against an uncrashed machine, and the journal
 *
 * Threads  one world at a time, one thread
 */
#include <stdbool.h>
#include <stdint.h>

#include "pipeline/pipeline.h"
#include "simulation/cluster.h"

enum { PROCESSES_MAX = 3, PARTITIONS_ALL = PARTITIONS_MAX };

struct process {
    struct door *door, *side;
    struct pipeline *pipeline; /* NULL: not running */
    uint32_t number;
    uint32_t birth; /* tells one start from another */
    bool is_frozen;
    uint32_t frozen_turns;
    uint64_t producer;
};

struct world_options {
    int64_t guarantee;
    bool has_zombies;
    bool has_retention; /* the brokers delete what they like of inputs and journal */
    uint32_t event_count;
    uint32_t fault_permille;
};

struct world {
    uint64_t seed;
    struct world_options options;
    struct cluster cluster;
    struct pipeline_options pipeline_options;
    struct engine_config *config;       /* the judge's, and that of most processes */
    struct engine_config *other_config; /* equal in effect, with another digest */
    struct codec *codec;
    struct process processes[PROCESSES_MAX];
    uint32_t door_next;
    uint32_t produced_count;
    uint32_t episode_count;    /* found and right */
    uint32_t popularity_count; /* summaries taken, as the journals say */
    uint32_t gap_count;        /* told by the pipelines: from then on not everything can be exact */
    uint32_t crash_count, restart_count, freeze_count, stop_count;
    bool is_settling;
    bool may_mend; /* the registry has learnt what it did not know */
    uint64_t down_until_turn;
    int64_t wall_last_ms; /* the latest that any clock has shown */
    int64_t watermarks[PARTITIONS_MAX][EVENT_KIND_COUNT];
    uint64_t watermark_lives[PARTITIONS_MAX];
    bool has_failed;
    char text[600];
};

void world_begin(struct world *world, uint64_t seed);
void world_end(struct world *world);
void world_turn(struct world *world);
/* False: it did not come to rest. */
bool world_settle(struct world *world);
void world_judge(struct world *world);
/* What differs between the machines: toy_engine.c, real_engine.c. */
struct engine_config *machine_config(bool is_other);
/* The judge's machine applied this event. */
void machine_note(int32_t partition, const struct event *event);
/* Everything has been published and closed: are the episodes those of the sorted stream? */
void machine_check(struct world *world);

/* Keeps the first. */
void world_fail(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
#endif
