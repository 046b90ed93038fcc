#ifndef SIMULATION_CLUSTER_H
#define SIMULATION_CLUSTER_H
/*
 * cluster.h - a log of records in memory, with everything that makes real ones hard.
 *
 *   logs           offsets with gaps (markers, aborted and compacted records), the last
 *                  stable offset, transactions whose markers arrive one by one
 *   coordinator    a group with generations, sessions that expire, zombies that are
 *                  fenced, committed positions that are unstable while a transaction ends
 *   doors          struct transport over both, for a member of the group or beside it
 *
 * Every choice comes from one seeded generator, every call at a door is traced: the same
 * seed gives the same trace. A door may be told to fail, or to die, at any call.
 *
 * Threads  one
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "event/transport.h"

enum {
    PARTITIONS_MAX = 4,
    MEMBERS_MAX = 16,
    TRANSACTIONS_MAX = 64,
    TRACE_RING = 4096,
    TOPIC_NAME_MAX = 64,
    SESSION_MS = 6000,
    TRANSACTION_MS = 3000,
};

enum entry_state {
    ENTRY_OPEN, /* of a transaction that has not ended */
    ENTRY_VISIBLE,
    ENTRY_ABORTED,
    ENTRY_MARKER,
    ENTRY_GONE, /* compacted */
};

struct entry_header {
    char *name;
    char *value;
    uint32_t size;
};

struct entry {
    enum entry_state state;
    bool has_key, has_value;
    char *key, *value;
    uint32_t key_size, value_size;
    struct entry_header *headers;
    uint32_t header_count;
    int64_t timestamp_ms;
    struct transaction *transaction;
};

struct log {
    struct entry *entries; /* those deleted too: the judge remembers them */
    int64_t count, capacity;
    int64_t first; /* what stands before it was deleted: nobody can read it */
};

enum transaction_state {
    TRANSACTION_FREE,
    TRANSACTION_OPEN,
    TRANSACTION_COMMITS,
    TRANSACTION_ABORTS
};

struct transaction {
    enum transaction_state state;
    uint64_t producer;
    uint64_t serial; /* a slot is used again */
    int64_t began_ms;
    bool touched[TOPIC_COUNT][PARTITIONS_MAX]; /* its marker is still to be written */
    struct position *positions;
    uint32_t position_count;
    bool has_positions; /* sent to the coordinator: unstable until the marker */
};

enum operation {
    OPERATION_SUBSCRIBE,
    OPERATION_RESUME,
    OPERATION_POLL,
    OPERATION_PRODUCE,
    OPERATION_COMMIT_START,
    OPERATION_COMMIT_WAIT,
    OPERATION_ABORT,
    OPERATION_COMMITTED,
    OPERATION_PARTITION_COUNT,
    OPERATION_BOUNDS,
    OPERATION_READER_OPEN,
    OPERATION_READER_POLL,
    OPERATION_ASSIGNED,
    OPERATION_REVOKED,
    OPERATION_DISTURB,
    OPERATION_COUNT,
};

struct trace_line {
    uint64_t turn;
    uint32_t door;
    enum operation operation;
    int topic;
    int32_t partition;
    int64_t number;
    enum status status;
    enum remedy remedy;
};

struct door;

struct cluster {
    uint64_t random;
    int64_t wall_ms, mono_ns;
    struct clock clock;
    uint64_t turn;

    int32_t partition_count;
    char topic_names[TOPIC_COUNT][TOPIC_NAME_MAX];
    struct log logs[TOPIC_COUNT][PARTITIONS_MAX];
    struct transaction transactions[TRANSACTIONS_MAX];
    uint64_t producer_next, serial_next;

    /* the coordinator */
    struct door *members[MEMBERS_MAX];
    uint32_t generation;
    bool is_rebalancing;
    int64_t committed[TOPIC_COUNT][PARTITIONS_MAX];

    /* faults */
    bool is_calm; /* none */
    bool is_down; /* the brokers answer nothing */
    uint32_t fault_permille;
    uint64_t call_count;     /* at all doors */
    uint64_t fail_call;      /* the one that fails, when not 0 */
    enum remedy fail_remedy; /* how; REMEDY_NONE: the process dies there */
    bool has_failed_call;

    uint64_t trace_hash;
    struct trace_line trace[TRACE_RING];
    uint64_t trace_count;
};

void cluster_create(struct cluster *cluster, uint64_t seed);
void cluster_destroy(struct cluster *cluster);
uint64_t cluster_random(struct cluster *cluster, uint64_t below);
bool cluster_chance(struct cluster *cluster, uint32_t permille);
void cluster_trace(struct cluster *cluster, uint32_t door, enum operation operation, int topic,
                   int32_t partition, int64_t number, enum status status, enum remedy remedy);
void cluster_print_trace(const struct cluster *cluster, uint64_t turns);
void cluster_pass_ms(struct cluster *cluster, int64_t time_ms);
static inline int64_t cluster_now_ms(const struct cluster *cluster)
{
    return cluster->mono_ns / 1000000;
}

/* Returns the offset. transaction NULL: none. */
int64_t cluster_append(struct cluster *cluster, const struct outgoing *outgoing, int32_t partition,
                       struct transaction *transaction);
/* The same in two steps, for what is in flight. */
struct entry cluster_make_entry(const struct cluster *cluster, const struct outgoing *outgoing);
struct entry cluster_copy_entry(const struct entry *entry);
void cluster_free_entry(struct entry *entry);
int64_t cluster_put_entry(struct cluster *cluster, enum topic topic, int32_t partition,
                          const struct entry *entry, struct transaction *transaction);
void cluster_append_marker(struct cluster *cluster, enum topic topic, int32_t partition);
/* The last stable offset. */
int64_t cluster_end(const struct cluster *cluster, enum topic topic, int32_t partition);
/* TOPIC_COUNT: none of that name. */
enum topic cluster_topic(const struct cluster *cluster, const char *name);
struct transaction *cluster_begin(struct cluster *cluster, uint64_t producer);
/* Decides; markers follow in cluster_step. */
void cluster_decide(struct cluster *cluster, struct transaction *transaction, bool is_commit);
/* Writes what is left of the markers at once. */
void cluster_finish(struct cluster *cluster, struct transaction *transaction);
/* Aborts the open transactions of a producer that has been fenced. */
void cluster_fence(struct cluster *cluster, uint64_t producer);
/* What happens at the brokers by itself: markers, time-outs, deliveries. */
void cluster_step(struct cluster *cluster);
/* Retention: deletes what stands before `first`. */
void cluster_delete(struct cluster *cluster, enum topic topic, int32_t partition, int64_t first);
/* Keeps the newest record of each key. */
void cluster_compact(struct cluster *cluster, enum topic topic, int32_t partition);

/* ---- doors ---- */

struct door_options {
    uint32_t number; /* in traces */
    bool is_member;
    bool is_transactional;
    uint64_t producer; /* the transactional id, so to speak */
};

struct door *door_open(struct cluster *cluster, const struct door_options *options);
struct transport door_transport(struct door *door);
/* From now on nothing that it does has an effect: kill -9. */
void door_kill(struct door *door);
bool door_is_dead(const struct door *door);
/* A clean leave; also frees. The coordinator hears of a dead one only by its silence. */
void door_close(struct door *door);
#endif
