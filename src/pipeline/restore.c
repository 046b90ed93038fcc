/*
 * restore.c - a partition's way back to its last commit.
 *
 *   ask       committed positions, and which journal record is the last that counts
 *   snapshot  newest good one becomes the machine (a parked machine is one already)
 *   scan      the journal from the snapshot's floor to its end: what is to be replayed,
 *             which records are a zombie's, is the last one visible yet
 *   replay    the journalled ranges, read again, with the outbox muted; and up to the
 *             committed positions, when the journal ends before them
 *   settle    positions to go on from; are their records still there
 *
 * Each turn does a slice, so that the other partitions go on. What was journalled
 * after the last commit exists only at-least-once; its results may not have left, so
 * they are made again, with the outbox open.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "pipeline/machine.h"
#include "pipeline/snapshot_reader.h"

enum {
    SLICE_STEPS = 4096, /* of work on a partition in a turn */
    SLICE_MS = 20,
    TURN_MS = 500,          /* for the slices of all */
    SLICE_CHECK_STEPS = 32, /* between two looks at the clock; a step is a batch, or less */
    IDLE_WAIT_MS = 5,       /* for records, when no partition is live */
    WAIT_MAX_MS = 30000,    /* for the last commit to become visible */
    PROGRESS_MS = 2000,     /* between two lines of progress */
    HELD_MS = 30000,        /* no transaction should last for so long */
    INPUT_BATCH_RECORDS = 1024,
    JOURNAL_BATCH_RECORDS = 256,
    COMMITTED_COUNT = TOPIC_INPUT_COUNT + 1, /* and the journal's sequence */
};

enum restore_phase {
    RESTORE_ASK,
    RESTORE_SNAPSHOT,
    RESTORE_SCAN,
    RESTORE_REPLAY,
    RESTORE_SETTLE,
};

/* Of an epoch; the rest is its moment. */
enum { OWNER_BITS = 12 };

/* The owner number `epoch` went on after record `base`. */
struct epoch_start {
    uint64_t epoch, base;
};

struct restore {
    struct pipeline *pipeline;
    struct partition *partition;
    enum restore_phase phase;
    int64_t began_ms, told_ms, waiting_since_ms;
    struct position committed[COMMITTED_COUNT];
    uint64_t target; /* committed sequence; 0: none */
    bool has_target;

    struct snapshot_reader *reader;
    bool is_parked;  /* the machine was parked here */
    bool has_base;   /* the machine is that of record base_sequence */
    bool is_adapted; /* the snapshot was made under another configuration */
    struct engine *engine;
    uint64_t base_epoch, base_sequence;
    int64_t journal_from;

    struct tap journal;
    struct epoch_start *epochs;
    uint32_t epoch_count, epoch_capacity;
    uint64_t last_epoch, last_sequence;
    uint64_t seen_sequence;  /* the last that there is; below last_sequence when records are lost */
    uint64_t first_sequence; /* replay begins here, when there is no base */
    bool is_begun;           /* first_sequence stands */
    bool is_ahead;           /* the last record may stand beyond the last commit */
    int64_t scan_since_ms;   /* 0: not yet */
    int64_t journal_next;
    bool has_gap;
    bool has_hidden;  /* committed records cannot be read; see replay_hidden */
    int hidden_topic; /* whose range is the next */
    uint64_t events_done, events_total;

    struct journal_cursor cursor;
    struct journal_operation operation;
    bool has_record, has_operation, is_record_ahead;
    int64_t operation_next;           /* next offset wanted of the operation's range */
    int64_t jumps[TOPIC_INPUT_COUNT]; /* first offset not found inside a range; -1: none */
    uint64_t epoch, sequence;         /* of the record being replayed, or the last one */
    struct tap inputs[TOPIC_INPUT_COUNT];
    int64_t positions[TOPIC_INPUT_COUNT];
    int64_t target_positions[TOPIC_INPUT_COUNT]; /* when record `target` had been replayed */
    int64_t single_positions[SINGLE_COUNT], tick_ms;
};

static const struct transport *side_of(const struct restore *restore)
{
    return &restore->pipeline->setup.side;
}

static int32_t number_of(const struct restore *restore)
{
    return restore->partition->number;
}

static void go(struct restore *restore, enum restore_phase phase)
{
    restore->phase = phase;
    restore->waiting_since_ms = restore->pipeline->now_ms;
}

/* ---- begin and end ------------------------------------------------------------------- */

struct restore *restore_begin(struct pipeline *pipeline, struct partition *partition)
{
    struct restore *restore = calloc(1, sizeof(*restore));

    if (restore == NULL)
        abort();
    restore->pipeline = pipeline;
    restore->partition = partition;
    restore->began_ms = pipeline->now_ms;
    restore->told_ms = restore->waiting_since_ms = pipeline->now_ms;
    restore->tick_ms = INT64_MIN;
    restore->journal_from = POSITION_BEGINNING;
    for (int i = 0; i < TOPIC_INPUT_COUNT; i++) {
        restore->positions[i] = POSITION_NONE;
        restore->jumps[i] = -1;
    }
    if (partition->engine != NULL) {
        restore->is_parked = true;
        restore->has_base = true;
        restore->engine = partition->engine;
        partition->engine = NULL;
        restore->base_epoch = partition->epoch;
        restore->base_sequence = partition->sequence;
        restore->journal_from = partition->journal_floor;
        memcpy(restore->single_positions, partition->single_positions,
               sizeof(restore->single_positions));
        restore->tick_ms = partition->tick_ms;
        memcpy(restore->positions, partition->positions, sizeof(restore->positions));
    }
    go(restore, RESTORE_ASK);
    return restore;
}

static void close_inputs(struct restore *restore)
{
    for (int i = 0; i < TOPIC_INPUT_COUNT; i++)
        tap_close(&restore->inputs[i]);
}

void restore_end(struct restore *restore)
{
    if (restore == NULL)
        return;
    tap_close(&restore->journal);
    close_inputs(restore);
    snapshot_reader_destroy(restore->reader);
    engine_close(restore->engine);
    free(restore->epochs);
    free(restore);
}

/* ---- ask ------------------------------------------------------------------------------ */

static enum status ask(struct restore *restore, struct failure *failure)
{
    const struct transport *transport = &restore->pipeline->setup.transport;
    enum status status;

    for (int i = 0; i < TOPIC_INPUT_COUNT; i++)
        restore->committed[i] = (struct position){(enum topic)i, number_of(restore), POSITION_NONE};
    restore->committed[TOPIC_INPUT_COUNT] =
        (struct position){TOPIC_JOURNAL, number_of(restore), POSITION_NONE};
    status = transport->door->committed(transport->context, restore->committed, COMMITTED_COUNT,
                                        failure);
    if (status != STATUS_OK)
        return status;
    restore->has_target = restore->committed[TOPIC_INPUT_COUNT].offset >= 0;
    restore->target =
        restore->has_target ? (uint64_t)restore->committed[TOPIC_INPUT_COUNT].offset : 0;
    go(restore, restore->has_base ? RESTORE_SCAN : RESTORE_SNAPSHOT);
    return STATUS_OK;
}

/* ---- snapshot --------------------------------------------------------------------------- */

static void refuse_snapshot(struct restore *restore, const char *reason)
{
    log_error(ROOM, "partition %" PRId32 ": a snapshot is of no use: %s", number_of(restore),
              reason);
    snapshot_reader_refuse(restore->reader);
}

static void load_snapshot(struct restore *restore)
{
    const struct engine_config *config = restore->pipeline->setup.engine_config;
    const struct snapshot_manifest *manifest = snapshot_reader_manifest(restore->reader);
    struct byte_reader image = snapshot_reader_image(restore->reader);
    struct failure failure = {0};

    restore->is_adapted = manifest->config_digest != engine_config_digest(config);
    restore->engine = engine_load(config, number_of(restore), &image, &failure);
    if (restore->engine != NULL && !restore->is_adapted &&
        engine_digest(restore->engine) != manifest->engine_digest) {
        failure_set(&failure, REMEDY_SET_ASIDE, "it loads into another state than was saved");
        engine_close(restore->engine);
        restore->engine = NULL;
    }
    if (restore->engine == NULL) {
        refuse_snapshot(restore, failure.text);
        return;
    }
    if (restore->is_adapted)
        log_info(ROOM,
                 "partition %" PRId32 ": rules or settings are others than when its state was "
                 "saved; what they do not touch is kept",
                 number_of(restore));
    if (manifest->partition_count != restore->pipeline->partition_count)
        log_error(ROOM,
                  "partition %" PRId32 ": the inputs had %" PRId32 " partitions when its state was "
                  "saved and have %" PRId32 " now: tenants that moved begin with empty windows",
                  number_of(restore), manifest->partition_count,
                  restore->pipeline->partition_count);
    restore->has_base = true;
    restore->base_epoch = manifest->epoch;
    restore->base_sequence = manifest->sequence;
    restore->journal_from = manifest->journal_floor;
    memcpy(restore->single_positions, manifest->single_positions,
           sizeof(restore->single_positions));
    restore->tick_ms = manifest->tick_ms;
    memcpy(restore->positions, manifest->positions, sizeof(restore->positions));
    restore->partition->snapshot_slot = (manifest->slot + 1) % SNAPSHOT_SLOT_COUNT;
    for (uint32_t i = 0; i < SNAPSHOT_SLOT_COUNT; i++)
        restore->partition->chunk_counts[i] = snapshot_reader_chunk_count(restore->reader, i);
    snapshot_reader_release(restore->reader);
    go(restore, RESTORE_SCAN);
}

static enum status find_snapshot(struct restore *restore, int64_t timeout_ms,
                                 struct failure *failure)
{
    enum status status;

    if (restore->reader == NULL)
        restore->reader = snapshot_reader_create(side_of(restore), number_of(restore));
    status = snapshot_reader_step(restore->reader, timeout_ms, failure);
    if (status == STATUS_ABSENT) {
        go(restore, RESTORE_SCAN);
        return STATUS_OK;
    }
    if (status == STATUS_BROKEN && failure->remedy == REMEDY_SET_ASIDE) {
        log_error(ROOM, "%s", failure->text);
        return STATUS_OK;
    }
    if (status == STATUS_OK && snapshot_reader_is_found(restore->reader))
        load_snapshot(restore);
    return status;
}

/* ---- scan ------------------------------------------------------------------------------- */

static void forget_base(struct restore *restore)
{
    engine_close(restore->engine);
    restore->engine = NULL;
    restore->has_base = false;
    restore->base_epoch = 0;
    restore->base_sequence = 0;
    restore->journal_from = POSITION_BEGINNING;
    memset(restore->single_positions, 0, sizeof(restore->single_positions));
    restore->tick_ms = INT64_MIN;
    for (int i = 0; i < TOPIC_INPUT_COUNT; i++)
        restore->positions[i] = POSITION_NONE;
    tap_close(&restore->journal);
    if (restore->reader != NULL && !restore->is_parked)
        refuse_snapshot(restore, "another owner of the partition decided otherwise");
    restore->is_parked = false;
    go(restore, RESTORE_SNAPSHOT);
}

static void add_epoch(struct restore *restore, const struct journal_head *head)
{
    if (restore->epoch_count == restore->epoch_capacity) {
        restore->epoch_capacity = restore->epoch_capacity == 0 ? 16 : 2 * restore->epoch_capacity;
        restore->epochs =
            realloc(restore->epochs, restore->epoch_capacity * sizeof(*restore->epochs));
        if (restore->epochs == NULL)
            abort();
    }
    restore->epochs[restore->epoch_count++] = (struct epoch_start){head->epoch, head->base};
}

static uint64_t count_events(struct journal_cursor cursor)
{
    struct journal_operation operation;
    uint64_t count = 0;

    while (journal_next(&cursor, &operation))
        if (operation.kind == JOURNAL_APPLY)
            count += (uint64_t)(operation.to - operation.from);
    return count;
}

/* Replay begins with this record when there is no snapshot. A journal that is whole is
 * replayed from its first record, else only its last snapshot.rebuild_ms: windows are short,
 * and what is older would only cost time. */
static bool is_too_old(const struct restore *restore, const struct record *record,
                       uint64_t sequence)
{
    if (sequence == 1)
        return false;
    return record->timestamp_ms > 0 &&
           record->timestamp_ms <
               restore->pipeline->wall_ms - restore->pipeline->options.snapshot_rebuild_ms;
}

/* False: the base belongs to a branch that a later owner did not follow. */
static bool scan_record(struct restore *restore, const struct record *record,
                        const struct journal_head *head, struct journal_cursor cursor)
{
    if (head->epoch < restore->last_epoch)
        return true; /* a zombie's */
    if (head->epoch > restore->last_epoch) {
        if (restore->has_base && head->base < restore->base_sequence &&
            head->epoch > restore->base_epoch)
            return false;
        add_epoch(restore, head);
        restore->last_epoch = head->epoch;
        if (head->base < restore->last_sequence)
            restore->last_sequence = head->base;
    }
    if (head->sequence <= restore->last_sequence)
        return true; /* older than the base, or delivered twice */
    if (!restore->has_base && !restore->is_begun) {
        restore->is_begun = !is_too_old(restore, record, head->sequence);
        restore->first_sequence = head->sequence + !restore->is_begun;
    } else if (head->sequence > restore->last_sequence + 1) {
        restore->has_gap = true;
    }
    restore->last_sequence = head->sequence;
    restore->is_ahead = head->is_ahead;
    if (!restore->has_base && !restore->is_begun)
        return true;
    restore->events_total += count_events(cursor);
    return true;
}

static enum status open_journal(struct restore *restore, struct failure *failure)
{
    return tap_open(&restore->journal, side_of(restore), TOPIC_JOURNAL, number_of(restore),
                    restore->journal_from, JOURNAL_BATCH_RECORDS, failure);
}

static void begin_scan(struct restore *restore)
{
    restore->epoch_count = 0;
    restore->last_epoch = restore->base_epoch;
    restore->last_sequence = restore->base_sequence;
    restore->first_sequence = 0;
    restore->is_begun = false;
    restore->is_ahead = false;
    restore->has_gap = false;
    restore->events_total = 0;
    restore->journal_next = restore->journal_from;
}

static void begin_replay(struct restore *restore)
{
    bool is_beginning_gone =
        !restore->has_base && restore->last_sequence > 0 && restore->first_sequence != 1;

    tap_close(&restore->journal);
    if (restore->has_gap)
        log_error(ROOM,
                  "partition %" PRId32 ": journal records are missing (retention of the journal "
                  "shorter than two snapshot intervals?): its state is not complete",
                  number_of(restore));
    else if (is_beginning_gone)
        log_warn(ROOM,
                 "partition %" PRId32 ": no snapshot: its state begins empty, at journal record "
                 "%" PRIu64 " of %" PRIu64,
                 number_of(restore), restore->first_sequence, restore->last_sequence);
    if (restore->has_gap || is_beginning_gone)
        meters_gap(restore->pipeline);
    if (restore->engine == NULL)
        restore->engine = engine_open(restore->pipeline->setup.engine_config, number_of(restore));
    restore->epoch = restore->base_epoch;
    restore->sequence = restore->base_sequence;
    memcpy(restore->target_positions, restore->positions, sizeof(restore->positions));
    go(restore, RESTORE_REPLAY);
}

/* Where there is anything to go on from, the committed positions say what is missing. */
static void tell_short(struct restore *restore)
{
    restore->has_hidden = restore->has_base || restore->seen_sequence > 0;
    log_error(
        ROOM,
        "partition %" PRId32 ": the journal ends at record %" PRIu64 " and %" PRIu64
        " were committed: %s",
        number_of(restore), restore->seen_sequence, restore->target,
        restore->has_hidden
            ? "a transaction that hangs may hide the rest (Kafka's kafka-transactions.sh finds "
              "it); events up to the committed positions are applied topic by topic instead"
            : "its state is not complete");
    meters_gap(restore->pipeline);
}

/* The last record that counts must have been seen; and of those written exactly-once
 * none may stand beyond it, so the answer to `ask` was too early then. */
static enum status end_scan(struct restore *restore)
{
    bool is_short = restore->last_sequence < restore->target;
    bool is_long =
        !restore->is_ahead && restore->has_target && restore->last_sequence > restore->target;
    bool is_waiting = restore->pipeline->now_ms - restore->scan_since_ms < WAIT_MAX_MS;

    restore->seen_sequence = restore->last_sequence;

    if ((is_short || is_long) && is_waiting) {
        if (is_long) {
            tap_close(&restore->journal);
            restore->phase = RESTORE_ASK;
        }
        return STATUS_AGAIN;
    }
    if (is_short) {
        tell_short(restore);
        restore->last_sequence = restore->target;
    } else if (!restore->has_target && restore->last_sequence > 0) {
        log_warn(ROOM,
                 "partition %" PRId32 ": the group has no committed positions: going on where the "
                 "journal ends, record %" PRIu64,
                 number_of(restore), restore->last_sequence);
    }
    begin_replay(restore);
    return STATUS_OK;
}

static enum status scan(struct restore *restore, int64_t timeout_ms, struct failure *failure)
{
    const struct record *record;
    struct journal_head head;
    struct journal_cursor cursor;
    struct failure reason;
    enum status status;

    if (!tap_is_open(&restore->journal)) {
        if (restore->scan_since_ms == 0)
            restore->scan_since_ms = restore->pipeline->now_ms;
        begin_scan(restore);
        status = open_journal(restore, failure);
        if (status != STATUS_OK)
            return status;
    }
    status = tap_peek(&restore->journal, timeout_ms, &record, failure);
    if (status == STATUS_END)
        return end_scan(restore);
    if (status != STATUS_OK)
        return status;
    if (journal_open(record->value, &head, &cursor, &reason) != STATUS_OK) {
        log_error(ROOM, "partition %" PRId32 ": offset %" PRId64 " of the journal: %s",
                  number_of(restore), record->offset, reason.text);
    } else if (!scan_record(restore, record, &head, cursor)) {
        forget_base(restore);
        return STATUS_OK;
    }
    restore->journal_next = record->offset + 1;
    tap_skip(&restore->journal);
    return STATUS_OK;
}

/* ---- replay ------------------------------------------------------------------------------ */

static bool is_void(const struct restore *restore, const struct journal_head *head)
{
    for (uint32_t i = 0; i < restore->epoch_count; i++)
        if (restore->epochs[i].epoch > head->epoch && restore->epochs[i].base < head->sequence)
            return true;
    return false;
}

/* Journalled ahead of results that may not have left. A group that has lost its
 * positions (has no target, and yet there is a snapshot) is not asked twice. */
static bool is_unconfirmed(const struct restore *restore)
{
    return restore->is_record_ahead && restore->sequence > restore->target &&
           (restore->has_target || !restore->has_base);
}

static void end_record(struct restore *restore)
{
    restore->has_record = false;
    if (restore->sequence <= restore->target)
        memcpy(restore->target_positions, restore->positions, sizeof(restore->positions));
    tap_skip(&restore->journal);
}

static enum status next_record(struct restore *restore, int64_t timeout_ms, struct failure *failure)
{
    const struct record *record;
    struct journal_head head;
    enum status status;

    if (restore->sequence >= restore->seen_sequence ||
        restore->first_sequence > restore->seen_sequence)
        return STATUS_END;
    if (!tap_is_open(&restore->journal)) {
        status = open_journal(restore, failure);
        if (status != STATUS_OK)
            return status;
    }
    status = tap_peek(&restore->journal, timeout_ms, &record, failure);
    if (status != STATUS_OK) /* what the scan has seen will come */
        return status == STATUS_END ? STATUS_AGAIN : status;
    if (journal_open(record->value, &head, &restore->cursor, NULL) != STATUS_OK ||
        head.sequence <= restore->sequence || is_void(restore, &head) ||
        head.sequence < restore->first_sequence) {
        tap_skip(&restore->journal);
        return STATUS_OK;
    }
    restore->epoch = head.epoch;
    restore->sequence = head.sequence;
    restore->is_record_ahead = head.is_ahead;
    restore->has_record = true;
    restore->has_operation = false;
    return STATUS_OK;
}

static struct outbox *outbox_of(struct restore *restore)
{
    return is_unconfirmed(restore) ? restore->pipeline->outbox : restore->pipeline->muted;
}

/* What a passed record gave to the outside may not have arrived. */
static void pass_again(struct restore *restore, const struct transport *transport,
                       const struct record *record, enum intake_verdict verdict, int32_t home,
                       struct dead_letter *letter)
{
    if (verdict == INTAKE_FORWARD) {
        intake_forward(restore->pipeline, record, home);
        return;
    }
    if (verdict == INTAKE_APPLY)
        *letter = (struct dead_letter){
            .code = "refused-before",
            .text = "could not be read when it was first met, and can be now: send it again"};
    intake_set_aside(restore->pipeline, transport, record, letter);
}

static enum status unreadable(struct restore *restore, const struct record *record,
                              const char *reason, struct failure *failure)
{
    return failure_set(failure, REMEDY_RETRY,
                       "partition %" PRId32 " waits: %s offset %" PRId64
                       " was applied before and cannot be read now: %s",
                       number_of(restore), topic_info(record->topic)->name, record->offset, reason);
}

static enum status replay_popularity(struct restore *restore, const struct record *record,
                                     struct failure *failure)
{
    struct pipeline *pipeline = restore->pipeline;
    struct result popularity;
    struct dead_letter letter = {0};
    struct failure reason = {0};
    enum intake_verdict verdict =
        intake_judge_popularity(pipeline, record, &popularity, &letter, &reason);

    if (verdict != INTAKE_APPLY)
        return unreadable(restore, record, verdict == INTAKE_WAIT ? reason.text : letter.text,
                          failure);
    engine_take_popularity(restore->engine, &popularity);
    restore->operation_next = record->offset + 1;
    restore->events_done++;
    arena_reset(pipeline->arena);
    return STATUS_OK;
}

/* Only of a record that is unconfirmed. */
static enum status replay_pass(struct restore *restore, const struct record *record,
                               struct failure *failure)
{
    struct pipeline *pipeline = restore->pipeline;
    const struct transport *transport = side_of(restore);
    struct event event;
    struct result popularity;
    struct dead_letter letter = {0};
    struct failure reason = {0};
    int32_t home = number_of(restore);
    enum intake_verdict verdict;

    /* Only partition 0 answers for what all partitions read. */
    if (!topic_is_single(record->topic) || number_of(restore) == 0) {
        verdict = record->topic == TOPIC_POPULARITY
                      ? intake_judge_popularity(pipeline, record, &popularity, &letter, &reason)
                      : intake_judge(pipeline, transport, record, &event, &home, &letter, &reason);
        if (verdict == INTAKE_WAIT)
            return unreadable(restore, record, reason.text, failure);
        pass_again(restore, transport, record, verdict, home, &letter);
    }
    restore->operation_next = record->offset + 1;
    return STATUS_OK;
}

static void end_operation(struct restore *restore)
{
    const struct journal_operation *operation = &restore->operation;

    restore->has_operation = false;
    if (operation->kind == JOURNAL_TICK)
        return;
    if (topic_is_single(operation->topic))
        restore->single_positions[single_of(operation->topic)] = operation->to;
    else
        restore->positions[operation->topic] = operation->to;
}

static enum status peek_range(struct restore *restore, int64_t timeout_ms,
                              const struct record **record, struct failure *failure)
{
    const struct journal_operation *operation = &restore->operation;
    struct tap *tap;
    enum status status;

    if (topic_is_single(operation->topic))
        return intake_single_at(restore->pipeline, single_of(operation->topic),
                                restore->operation_next, record, failure);
    tap = &restore->inputs[operation->topic];
    if (!tap_is_open(tap)) {
        status = tap_open(tap, side_of(restore), operation->topic, number_of(restore),
                          restore->operation_next, INPUT_BATCH_RECORDS, failure);
        if (status != STATUS_OK)
            return status;
    }
    for (;;) {
        status = tap_peek(tap, timeout_ms, record, failure);
        if (status != STATUS_OK || (*record)->offset >= restore->operation_next)
            return status;
        tap_skip(tap); /* of the batch before */
    }
}

static void tell_gone(struct restore *restore, int64_t to)
{
    /* What a tenant shares is replaced by what it shares later, and compaction takes the
     * earlier away; the later one is still to come. */
    if (topic_info(restore->operation.topic)->is_compacted) {
        log_info(ROOM,
                 "partition %" PRId32 ": offsets %" PRId64 " to %" PRId64
                 " of %s have been replaced since",
                 number_of(restore), restore->operation_next, to - 1,
                 topic_info(restore->operation.topic)->name);
        return;
    }
    log_error(ROOM,
              "partition %" PRId32 ": offsets %" PRId64 " to %" PRId64
              " of %s are gone: its state is not complete",
              number_of(restore), restore->operation_next, to - 1,
              topic_info(restore->operation.topic)->name);
    restore->has_gap = true;
    meters_gap(restore->pipeline);
}

/* Inside a range offsets may be missing for good reasons (markers of transactions), and are not
 * asked for one by one. What was deleted while we replayed shows at the end: the log begins
 * behind the first of them. */
static enum status check_jumps(struct restore *restore, struct failure *failure)
{
    const struct transport *side = side_of(restore);

    for (int i = 0; i < TOPIC_INPUT_COUNT; i++) {
        int64_t first, next;
        enum status status;

        if (restore->jumps[i] < 0)
            continue;
        status = side->door->bounds(side->context, (enum topic)i, number_of(restore), &first, &next,
                                    failure);
        if (status != STATUS_OK)
            return status;
        if (first > restore->jumps[i]) {
            log_error(ROOM,
                      "partition %" PRId32 ": offsets of %s from %" PRId64 " to %" PRId64
                      " were deleted while they were replayed: its state may not be complete",
                      number_of(restore), topic_info((enum topic)i)->name, restore->jumps[i],
                      first - 1);
            restore->has_gap = true;
            meters_gap(restore->pipeline);
        }
        restore->jumps[i] = -1;
    }
    return STATUS_OK;
}

/* The log ended before the range did: records are gone, or not visible yet. */
static enum status check_range(struct restore *restore, struct failure *failure)
{
    const struct journal_operation *operation = &restore->operation;
    int32_t partition = topic_is_single(operation->topic) ? 0 : number_of(restore);
    int64_t first, next;
    enum status status = side_of(restore)->door->bounds(side_of(restore)->context, operation->topic,
                                                        partition, &first, &next, failure);

    if (status != STATUS_OK)
        return status;
    if (next < operation->to && restore->pipeline->now_ms - restore->waiting_since_ms < WAIT_MAX_MS)
        return STATUS_AGAIN;
    tell_gone(restore, operation->to);
    end_operation(restore);
    return STATUS_OK;
}

/* Decodes and applies the run of records that begins with these and lies inside the
 * operation's range. The last one may have been unreadable. */
static enum status replay_run(struct restore *restore, const struct record *records, uint32_t count,
                              struct failure *failure)
{
    struct pipeline *pipeline = restore->pipeline;
    const struct transport *transport = side_of(restore);
    struct intake_batch *batch = pipeline->batch;
    struct dead_letter letter = {0};
    struct failure reason = {0};
    int32_t home = number_of(restore);
    enum intake_verdict verdict = INTAKE_APPLY;

    batch->count = 0;
    while (batch->count < count && batch->count < ENGINE_EXPECT_MAX &&
           records[batch->count].offset < restore->operation.to) {
        if (batch->count + CODEC_EXPECT_AHEAD < count)
            codec_expect(records[batch->count + CODEC_EXPECT_AHEAD].value);
        verdict = intake_judge(pipeline, transport, &records[batch->count],
                               &batch->events[batch->count], &home, &letter, &reason);
        if (verdict != INTAKE_APPLY)
            break;
        batch->count++;
    }
    engine_expect(restore->engine, batch->events, batch->count);
    for (uint32_t i = 0; i < batch->count; i++) {
        enum verdict outcome = engine_apply(restore->engine, &batch->events[i], outbox_of(restore));

        if (is_unconfirmed(restore) &&
            (!topic_is_single(records[i].topic) || number_of(restore) == 0))
            intake_settle(pipeline, transport, &records[i], outcome);
        restore->operation_next = records[i].offset + 1;
    }
    restore->events_done += batch->count;
    arena_reset(pipeline->arena);
    outbox_reset(pipeline->muted);
    if (verdict == INTAKE_APPLY)
        return STATUS_OK;
    /* Nobody says any more whether it was passed by; then it was set aside as well. */
    if (restore->has_hidden && !restore->has_record && verdict != INTAKE_WAIT) {
        restore->operation_next = records[batch->count].offset + 1;
        return STATUS_OK;
    }
    return unreadable(restore, &records[batch->count],
                      verdict == INTAKE_WAIT ? reason.text : letter.text, failure);
}

static enum status replay_range(struct restore *restore, int64_t timeout_ms,
                                struct failure *failure)
{
    struct journal_operation *operation = &restore->operation;
    const struct record *record;
    enum status status;

    if (operation->kind == JOURNAL_PASS && !is_unconfirmed(restore)) {
        end_operation(restore);
        return STATUS_OK;
    }
    status = peek_range(restore, timeout_ms, &record, failure);
    if (status == STATUS_END)
        return check_range(restore, failure);
    if (status != STATUS_OK)
        return status;
    /* Both ends of a range were records: when one is not there, records are gone. */
    if (record->offset >= operation->to)
        return check_range(restore, failure);
    if (restore->operation_next == operation->from && record->offset > operation->from)
        tell_gone(restore, record->offset);
    else if (record->offset > restore->operation_next && !topic_is_single(operation->topic) &&
             restore->jumps[operation->topic] < 0)
        restore->jumps[operation->topic] = restore->operation_next;
    restore->waiting_since_ms = restore->pipeline->now_ms;
    if (operation->kind == JOURNAL_PASS)
        status = replay_pass(restore, record, failure);
    else if (operation->topic == TOPIC_POPULARITY)
        status = replay_popularity(restore, record, failure);
    else if (operation->topic == TOPIC_COMMANDS)
        status = replay_run(restore, record, 1, failure);
    else
        status = replay_run(restore, record, tap_left(&restore->inputs[operation->topic]), failure);
    if (status == STATUS_OK && restore->operation_next >= operation->to)
        end_operation(restore);
    return status;
}

static enum status end_replay(struct restore *restore, struct failure *failure)
{
    enum status status = check_jumps(restore, failure);

    if (status != STATUS_OK)
        return status;
    tap_close(&restore->journal);
    close_inputs(restore);
    go(restore, RESTORE_SETTLE);
    return STATUS_OK;
}

/* The range of the next topic whose committed position lies beyond the journal. Nothing of it is
 * published again: it left with the positions. */
static enum status next_hidden(struct restore *restore, struct failure *failure)
{
    enum topic topic = (enum topic)restore->hidden_topic;
    int64_t to = restore->committed[topic].offset, from = restore->positions[topic], next;
    enum status status = STATUS_OK;

    if (from < 0 && to > 0)
        status = side_of(restore)->door->bounds(side_of(restore)->context, topic,
                                                number_of(restore), &from, &next, failure);
    if (status != STATUS_OK)
        return status;
    restore->hidden_topic++;
    if (to <= 0 || from >= to)
        return STATUS_OK;
    restore->operation =
        (struct journal_operation){.kind = JOURNAL_APPLY, .topic = topic, .from = from, .to = to};
    restore->has_operation = true;
    restore->operation_next = from;
    restore->is_record_ahead = false;
    restore->events_total += (uint64_t)(to - from);
    return STATUS_OK;
}

static enum status replay_hidden(struct restore *restore, int64_t timeout_ms,
                                 struct failure *failure)
{
    if (restore->has_operation)
        return replay_range(restore, timeout_ms, failure);
    if (restore->hidden_topic < TOPIC_INPUT_COUNT)
        return next_hidden(restore, failure);
    memcpy(restore->target_positions, restore->positions, sizeof(restore->positions));
    return end_replay(restore, failure);
}

static enum status replay(struct restore *restore, int64_t timeout_ms, struct failure *failure)
{
    if (!restore->has_record) {
        enum status status = STATUS_END;

        if (restore->hidden_topic == 0 && !restore->has_operation)
            status = next_record(restore, timeout_ms, failure);
        if (status == STATUS_END)
            return restore->has_hidden ? replay_hidden(restore, timeout_ms, failure)
                                       : end_replay(restore, failure);
        return status;
    }
    if (!restore->has_operation) {
        if (!journal_next(&restore->cursor, &restore->operation)) {
            end_record(restore);
            return STATUS_OK;
        }
        restore->has_operation = true;
        restore->operation_next = restore->operation.from;
    }
    if (restore->operation.kind != JOURNAL_TICK)
        return replay_range(restore, timeout_ms, failure);
    engine_tick(restore->engine, restore->operation.from, outbox_of(restore));
    restore->tick_ms = restore->operation.from;
    end_operation(restore);
    return STATUS_OK;
}

/* ---- settle -------------------------------------------------------------------------------- */

/* Committed positions follow the journal. When they do not, somebody has moved them by
 * hand, and has a reason. */
static void follow_committed(struct restore *restore, enum topic topic)
{
    int64_t committed = restore->committed[topic].offset;

    if (committed < 0)
        return;
    if (restore->positions[topic] < 0) {
        restore->positions[topic] = committed;
    } else if (restore->has_target && restore->target_positions[topic] >= 0 &&
               restore->target_positions[topic] != committed) {
        log_warn(ROOM,
                 "partition %" PRId32 ": the committed offset of %s is %" PRId64
                 ", the journal says %" PRId64 ": following the committed one",
                 number_of(restore), topic_info(topic)->name, committed,
                 restore->target_positions[topic]);
        restore->positions[topic] = committed;
        restore->target_positions[topic] = committed;
    }
}

/* The moment, then who: higher than all before, and than that of an owner whose first record
 * is still on its way (at-least-once, nobody fences it): he came earlier. */
static uint64_t next_epoch(const struct restore *restore)
{
    const struct pipeline *pipeline = restore->pipeline;
    uint64_t now = pipeline->wall_ms > 0 ? (uint64_t)pipeline->wall_ms : 0;
    uint64_t last = restore->last_epoch >> OWNER_BITS;

    return (now > last ? now : last + 1) << OWNER_BITS |
           (pipeline->setup.owner & ((1u << OWNER_BITS) - 1));
}

/* Where a topic was never read, it begins at its beginning. */
static void settle_positions(struct restore *restore)
{
    for (int i = 0; i < TOPIC_INPUT_COUNT; i++) {
        follow_committed(restore, (enum topic)i);
        if (restore->positions[i] < 0)
            restore->positions[i] = POSITION_BEGINNING;
    }
}

static enum status settle(struct restore *restore)
{
    struct partition *partition = restore->partition;
    int64_t duration_ms;

    settle_positions(restore);
    partition->engine = restore->engine;
    restore->engine = NULL;
    memcpy(partition->positions, restore->positions, sizeof(partition->positions));
    /* What the group has, not where we are: the next commit stores the difference. */
    for (int i = 0; i < TOPIC_INPUT_COUNT; i++)
        partition->committed_positions[i] = restore->committed[i].offset;
    memcpy(partition->single_positions, restore->single_positions,
           sizeof(partition->single_positions));
    partition->tick_ms = restore->tick_ms;
    partition->epoch = next_epoch(restore);
    partition->sequence = restore->last_sequence;
    partition->base = restore->last_sequence;
    partition->cut_sequence = restore->target;
    partition->committed_sequence = restore->target;
    partition->journal_floor = restore->journal_next;
    partition->wants_snapshot = restore->is_adapted || restore->has_hidden ||
                                (!restore->has_base && restore->events_done > 0);
    duration_ms = clock_monotonic_ms(restore->pipeline->setup.clock) - restore->began_ms;
    log_info(ROOM,
             "partition %" PRId32 ": restored in %" PRId64 " ms: %s%s, %" PRIu64
             " events replayed, journal record %" PRIu64,
             partition->number, duration_ms,
             restore->is_parked  ? "it was parked here"
             : restore->has_base ? "snapshot"
                                 : "no snapshot",
             restore->has_gap      ? " and a gap"
             : restore->has_hidden ? " and committed positions"
                                   : "",
             restore->events_done, partition->sequence);
    meters_restored(restore->pipeline, duration_ms, restore->events_done);
    return STATUS_END;
}

/* ---- slices -------------------------------------------------------------------------------- */

static enum status step(struct restore *restore, int64_t timeout_ms, struct failure *failure)
{
    switch (restore->phase) {
    case RESTORE_ASK:
        return ask(restore, failure);
    case RESTORE_SNAPSHOT:
        return find_snapshot(restore, timeout_ms, failure);
    case RESTORE_SCAN:
        return scan(restore, timeout_ms, failure);
    case RESTORE_REPLAY:
        return replay(restore, timeout_ms, failure);
    case RESTORE_SETTLE:
        return settle(restore);
    }
    return STATUS_AGAIN;
}

static void tell_progress(struct restore *restore)
{
    struct restore_progress progress;

    if (restore->pipeline->now_ms - restore->told_ms < PROGRESS_MS)
        return;
    restore->told_ms = restore->pipeline->now_ms;
    restore_progress(restore, restore->pipeline->now_ms, &progress);
    if (restore->phase == RESTORE_ASK && restore->told_ms - restore->waiting_since_ms > HELD_MS)
        log_warn(ROOM,
                 "partition %" PRId32 ": no answer where to begin for %" PRId64
                 " s: the group's coordinator is away, or a transaction of a former owner does not "
                 "end (Kafka's kafka-transactions.sh finds hanging ones, and aborts them)",
                 number_of(restore), (restore->told_ms - restore->waiting_since_ms) / 1000);
    else if (progress.left_ms < 0)
        log_info(ROOM, "partition %" PRId32 ": restoring, %s", number_of(restore), progress.phase);
    else
        log_info(ROOM,
                 "partition %" PRId32 ": restoring, %s: %" PRIu64 " of %" PRIu64
                 " events, %.1f s left",
                 number_of(restore), progress.phase, progress.events_done, progress.events_total,
                 (double)progress.left_ms / 1000);
}

/* STATUS_AGAIN: nothing came; STATUS_OK: the slice is used up; STATUS_END: restored. */
static enum status work(struct restore *restore, int64_t timeout_ms, struct failure *failure)
{
    const struct clock *clock = restore->pipeline->setup.clock;
    int64_t until_ms = clock_monotonic_ms(clock) + SLICE_MS;
    enum status status = STATUS_OK;

    for (int i = 1; i <= SLICE_STEPS && status == STATUS_OK; i++) {
        status = step(restore, timeout_ms, failure);
        if (i % SLICE_CHECK_STEPS == 0 && clock_monotonic_ms(clock) >= until_ms)
            break;
    }
    arena_reset(restore->pipeline->arena);
    outbox_reset(restore->pipeline->muted);
    return status;
}

static bool is_any_live(const struct pipeline *pipeline)
{
    for (int32_t i = 0; i < pipeline->partition_count; i++)
        if (pipeline->partitions[i] != NULL && partition_is_running(pipeline->partitions[i]))
            return true;
    return false;
}

/* A slice of one partition. */
static enum status restore_slice(struct pipeline *pipeline, struct partition *partition,
                                 int64_t timeout_ms)
{
    struct failure failure = {0};
    enum status status = work(partition->restore, timeout_ms, &failure);

    if (status == STATUS_BROKEN && machine_obey(pipeline, &failure) == STATUS_BROKEN)
        return STATUS_BROKEN;
    if (status == STATUS_BROKEN && commit_is_rolling_back(pipeline))
        return STATUS_OK;
    if (status == STATUS_OK || status == STATUS_END)
        pipeline->is_restore_idle = false;
    if (status == STATUS_END) {
        restore_end(partition->restore);
        partition->restore = NULL;
        member_go_live(pipeline, partition);
    } else {
        tell_progress(partition->restore);
    }
    return STATUS_OK;
}

/* A broker that is away makes each question last for seconds: the group must be served in
 * between, so the others then wait for the next turn. */
enum status restore_step(struct pipeline *pipeline)
{
    int64_t timeout_ms = is_any_live(pipeline) ? 0 : IDLE_WAIT_MS;
    int32_t first = pipeline->restore_next;

    pipeline->is_restore_idle = true;
    for (int32_t i = 0; i < pipeline->partition_count && !commit_is_rolling_back(pipeline); i++) {
        int32_t number = (first + i) % pipeline->partition_count;
        struct partition *partition = pipeline->partitions[number];

        if (partition == NULL || partition->phase != PARTITION_RESTORING)
            continue;
        if (restore_slice(pipeline, partition, timeout_ms) == STATUS_BROKEN)
            return STATUS_BROKEN;
        pipeline->restore_next = (number + 1) % pipeline->partition_count;
        if (clock_monotonic_ms(pipeline->setup.clock) - pipeline->now_ms >= TURN_MS)
            break;
    }
    return STATUS_OK;
}

void restore_progress(const struct restore *restore, int64_t now_ms,
                      struct restore_progress *progress)
{
    static const char *const phases[] = {"asking for positions", "reading the snapshot",
                                         "reading the journal", "replaying", "settling"};

    progress->phase = phases[restore->phase];
    progress->events_done = restore->events_done;
    progress->events_total = restore->events_total;
    progress->elapsed_ms = now_ms - restore->began_ms;
    progress->left_ms = -1;
    if (restore->phase == RESTORE_SETTLE)
        progress->left_ms = 0;
    else if (restore->phase == RESTORE_REPLAY && restore->events_done > 0 &&
             restore->events_total >= restore->events_done)
        progress->left_ms = (int64_t)((double)progress->elapsed_ms *
                                      (double)(restore->events_total - restore->events_done) /
                                      (double)restore->events_done);
}
