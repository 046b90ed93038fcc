#ifndef PIPELINE_MACHINE_H
#define PIPELINE_MACHINE_H
/*
 * machine.h - the inside of a pipeline, shared by the files of this room.
 *
 *   pipeline.c   open, the turn, drain, close
 *   intake.c     records ─► engines, strays, dead letters
 *   commit.c     what leaves, and when it counts
 *   restore.c    a partition's way back to its last commit
 *   member.c     partitions come and go
 *   report.c     metrics, /status
 *
 * Threads  one owner, but for the summary behind its lock
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "pipeline/journal.h"
#include "pipeline/parcel.h"
#include "pipeline/pipeline.h"
#include "pipeline/single.h"
#include "pipeline/snapshot.h"
#include "pipeline/snapshot_writer.h"
#include "pipeline/tap.h"

#define ROOM "pipeline"

enum {
    HOLD_MS = 1000,                 /* before a record that could not be decoded is tried again */
    COMPLAIN_MS = 5000,             /* between two lines of trouble, at first, */
    COMPLAIN_MOST_MS = 300000,      /* and at most: the pause doubles while it lasts */
    TROUBLE_MS = 15000,             /* without trouble, and it has passed */
    SINGLE_BATCH_RECORDS = 64,      /* commands taken in a turn */
    HELD_BYTES_MAX = 64 << 20,      /* of results that wait for a commit to end */
    HELD_COMMITS_MAX = 8,           /* so many commits' records may be taken during one */
    JOURNAL_OPERATIONS_MAX = 32768, /* of one partition in one record: some 200 KB */
    JOURNAL_HELD_MAX = 3 * JOURNAL_OPERATIONS_MAX, /* the same, while a commit is under way */
    COMMIT_DEADLINE_MS = 20000, /* for the last commit of partitions that are leaving */
    COMMIT_SLICE_MS = 50,       /* of waiting for a commit */
};

enum partition_phase {
    PARTITION_RESTORING,
    PARTITION_CATCHING_UP, /* with the commands; then live */
    PARTITION_LIVE,
    PARTITION_PARKED, /* revoked, committed: its machine is the freshest snapshot, should
                       * the partition come straight back */
};

struct restore;

struct partition {
    int32_t number;
    enum partition_phase phase;
    struct engine *engine;   /* NULL while restoring */
    struct restore *restore; /* PARTITION_RESTORING only */

    struct journal_draft draft;               /* decided since the last cut */
    int64_t positions[TOPIC_INPUT_COUNT];     /* next to process, or POSITION_BEGINNING */
    int64_t hold_until_ms[TOPIC_INPUT_COUNT]; /* monotonic; 0: not held */
    int64_t single_positions[SINGLE_COUNT];   /* next to process */
    uint32_t singles_read;                    /* bits: read to the end since it went live */
    int64_t tick_ms;                          /* last tick given; INT64_MIN: none */

    uint64_t epoch, base;
    uint64_t sequence;       /* of the last journal record cut */
    uint64_t found_sequence; /* of the last one when we took over */
    uint64_t cut_sequence;   /* of the commit under way */
    uint64_t committed_sequence;
    int64_t committed_positions[TOPIC_INPUT_COUNT];
    int64_t cut_positions[TOPIC_INPUT_COUNT];

    int64_t journal_floor;  /* no record of ours after the last snapshot stands before it */
    uint32_t snapshot_slot; /* the next one's */
    uint32_t chunk_counts[SNAPSHOT_SLOT_COUNT];
    int64_t snapshot_ms;      /* monotonic, of the last one, or of going live */
    uint64_t snapshot_events; /* since then */
    bool wants_snapshot;      /* soon, whatever the interval says */

    uint64_t assigned_topics; /* bits by enum topic */
    uint64_t life;            /* how many partitions had gone live in this pipeline when it did */
    struct partition_meters *meters;
};

enum commit_phase {
    COMMIT_IDLE,
    COMMIT_LEAVING,  /* cut: what belongs to it is being produced */
    COMMIT_STARTING, /* to be started, or started again */
    COMMIT_RUNNING,
    COMMIT_ABORTING, /* void; nothing else before the abort succeeds */
    COMMIT_SWEEPING, /* at-least-once: nothing is void. Before the journal is read again, what
                      * is on its way must have arrived: to be asked for, */
    COMMIT_SWEPT,    /* and awaited */
};

/* Records of one partition to be applied, decoded ahead: told of all of them, the engine
 * fetches the memory that they need at once, not of one after the other. */
struct intake_batch {
    const struct record *records[ENGINE_EXPECT_MAX];
    struct event events[ENGINE_EXPECT_MAX];
    uint32_t count;
};

struct pipeline {
    struct pipeline_setup setup;
    struct pipeline_options options;
    bool is_exact; /* GUARANTEE_EXACTLY_ONCE */
    int32_t partition_count;
    struct partition **partitions; /* by number; NULL: not ours */
    int64_t wall_ms, now_ms;       /* read once a turn; now_ms is monotonic */

    struct record *records;
    struct intake_batch *batch;
    struct arena *arena; /* of the records being decoded */
    struct outbox *outbox;
    struct outbox *muted;  /* for replay */
    uint32_t outbox_next;  /* first result not encoded */
    bool is_encoding_late; /* the registry did not answer */
    bool fetch_is_stale;   /* resume before the next poll */
    bool is_restore_idle;  /* no partition that is restoring has work at hand */
    int32_t restore_next;  /* partition whose turn it is */

    struct parcel_queue queues[2];
    struct parcel_queue *current; /* of the next commit */
    struct parcel_queue *leaving; /* of the commit under way */

    enum commit_phase commit_phase;
    struct position *commit_positions;
    uint32_t commit_position_count;
    int64_t commit_cut_ms;   /* monotonic, of the last cut */
    int64_t commit_began_ns; /* of commit_start */
    uint64_t records_since_cut;

    struct single_reader {
        struct tap tap;
        int64_t next; /* the offset that the tap stands before */
        int64_t retry_ms;
    } singles[SINGLE_COUNT];
    int32_t busy_turn; /* the partition whose work was done last */

    struct snapshot_writer *snapshots; /* NULL: none are made */
    int32_t snapshot_partition;        /* being written; -1: none */

    bool is_stopped;
    bool has_assignment;
    uint64_t life_count;
    struct failure stop;
    char trouble[FAILURE_TEXT_MAX];       /* the last one that may pass; "" when it did */
    bool is_troubled;                     /* it was met since the turn began */
    int64_t troubled_ms;                  /* monotonic; the end of the turn that met it */
    int64_t complain_due_ms, complain_ms; /* monotonic, of the next line; the pause after it */
    struct transport_listener listener;

    struct meters *meters;
    struct summary *summary;
};

/* ---- pipeline.c ---- */
/* What a door's failure means here. STATUS_AGAIN: go on with the turn, later it may
 * work. STATUS_BROKEN: the pipeline is stopped, pipeline->stop says why. */
enum status machine_obey(struct pipeline *pipeline, const struct failure *failure);
/* Serves the transport without taking records. */
enum status machine_serve(struct pipeline *pipeline, int64_t timeout_ms);

/* ---- intake.c ---- */
/* What a record asks for, without its engine. */
enum intake_verdict {
    INTAKE_APPLY,
    INTAKE_FORWARD,   /* to its home */
    INTAKE_SET_ASIDE, /* to dead-letter */
    INTAKE_WAIT,      /* the registry does not answer */
};
/* Why a record goes to dead-letter. */
struct dead_letter {
    const char *code; /* part of the interface: "missing-field", "late", "stray", ... */
    char field[64];
    char text[200];
};
/* Decodes into pipeline->arena. `transport`: where the record came from. */
enum intake_verdict intake_judge(struct pipeline *pipeline, const struct transport *transport,
                                 const struct record *record, struct event *event, int32_t *home,
                                 struct dead_letter *letter, struct failure *failure);
void intake_forward(struct pipeline *pipeline, const struct record *record, int32_t home);
void intake_set_aside(struct pipeline *pipeline, const struct transport *transport,
                      const struct record *record, const struct dead_letter *dead);
/* The engine's verdict on an event that it got; sets aside what the verdict says. */
void intake_settle(struct pipeline *pipeline, const struct transport *transport,
                   const struct record *record, enum verdict verdict);
enum status intake_ticks(struct pipeline *pipeline);
/* Some partition has batch work at hand, and nothing is in its way. */
bool intake_is_busy(const struct pipeline *pipeline);
enum status intake_singles(struct pipeline *pipeline);
enum status intake_records(struct pipeline *pipeline, int64_t timeout_ms);
/* The first record of that topic at or after `offset`, which stays until asked for a later
 * one. */
enum status intake_single_at(struct pipeline *pipeline, enum single single, int64_t offset,
                             const struct record **record, struct failure *failure);
/* Decodes what a tenant shares into pipeline->arena. INTAKE_APPLY, INTAKE_SET_ASIDE or
 * INTAKE_WAIT. A tombstone says that the tenant shares nothing any more. */
enum intake_verdict intake_judge_popularity(struct pipeline *pipeline, const struct record *record,
                                            struct result *result, struct dead_letter *letter,
                                            struct failure *failure);
/* Results of the outbox become parcels. STATUS_AGAIN: not all of them yet. */
enum status intake_encode(struct pipeline *pipeline);

/* ---- commit.c ---- */
/* Goes on with the commit under way, begins one that is due; never waits. */
enum status commit_step(struct pipeline *pipeline);
/* Commits everything that was applied, and waits. STATUS_AGAIN: not in time, or rolled back. */
enum status commit_now(struct pipeline *pipeline, int64_t deadline_ms);
/* More is held than may be: the intake waits. */
bool commit_is_overfull(const struct pipeline *pipeline);
/* Waits a little for the commit under way when it is overfull. */
enum status commit_relieve(struct pipeline *pipeline);
/* Voids the transaction: every partition goes back to its last commit. */
void commit_roll_back(struct pipeline *pipeline, const struct failure *failure);
/* At-least-once: the journal of what was decided goes ahead of its results. */
void commit_journal_ahead(struct pipeline *pipeline);
/* Milliseconds until a commit is due; INT64_MAX: nothing to commit. */
int64_t commit_due_ms(const struct pipeline *pipeline);
bool commit_is_rolling_back(const struct pipeline *pipeline);
bool commit_is_under_way(const struct pipeline *pipeline);

/* ---- member.c ---- */
struct partition *partition_create(int32_t number);
void partition_destroy(struct partition *partition);
bool partition_is_running(const struct partition *partition); /* live or catching up */
bool partition_is_dirty(const struct partition *partition);
void member_listen(struct pipeline *pipeline, struct transport_listener *listener);
/* Tells the transport what to read. */
enum status member_fetch(struct pipeline *pipeline);
void member_go_live(struct pipeline *pipeline, struct partition *partition);
/* Empties the partition and sends it back to the start of its restoration. */
void member_restart(struct pipeline *pipeline, struct partition *partition);

/* ---- restore.c ---- */
/* Takes over the partition's engine, when it is parked, as what to begin from. */
struct restore *restore_begin(struct pipeline *pipeline, struct partition *partition);
void restore_end(struct restore *restore);
/* Works on every partition that is restoring, in slices. */
enum status restore_step(struct pipeline *pipeline);
struct restore_progress {
    const char *phase;
    uint64_t events_done, events_total; /* replayed */
    int64_t elapsed_ms, left_ms;        /* left: -1 not known */
};
void restore_progress(const struct restore *restore, int64_t now_ms,
                      struct restore_progress *progress);

/* ---- keep.c ---- */
/* At the cut: begins a snapshot of a partition that is due. */
void keep_at_cut(struct pipeline *pipeline);
void keep_step(struct pipeline *pipeline);

/* ---- report.c ---- */
struct meters *meters_create(struct pipeline *pipeline);
void meters_destroy(struct pipeline *pipeline);
struct partition_meters *partition_meters_create(struct pipeline *pipeline, int32_t number);
void partition_meters_destroy(struct partition_meters *meters);
/* When a partition has its state, before its first live event. */
void meters_baseline(struct partition *partition);
void meters_dead_letter(struct pipeline *pipeline, const char *code);
void meters_forward(struct pipeline *pipeline);
/* An answer is on its way. */
void meters_recommendation(struct pipeline *pipeline, const struct result *result);
void meters_batch(struct pipeline *pipeline, uint32_t count);
void meters_commit(struct pipeline *pipeline, int64_t duration_ns);
void meters_commit_wait(struct pipeline *pipeline, int64_t duration_ns);
void meters_roll_back(struct pipeline *pipeline);
void meters_snapshot(struct pipeline *pipeline, const struct snapshot_outcome *outcome);
void meters_restored(struct pipeline *pipeline, int64_t duration_ms, uint64_t events);
void meters_gap(struct pipeline *pipeline);
/* Once a turn: flushes counts, renews gauges and the summary when they are old. */
void report_turn(struct pipeline *pipeline);
#endif
