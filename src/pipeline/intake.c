/*
 * intake.c - records in, decisions made.
 *
 *   record ─► decode ─┬─ cannot be read ────────────► dead-letter   PASS
 *                     ├─ another partition's tenant ─► forward       PASS
 *                     └─ engine_apply ─┬─ applied                    APPLY
 *                                      └─ late, future, unknown ────► dead-letter   APPLY
 *
 * Every record ends in exactly one of these, and the journal draft says which: what
 * the outside world had a part in (a registry that knew a schema or did not) must not
 * be judged a second time when the record is replayed.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "event/letter.h"
#include "pipeline/machine.h"
#include "pipeline/result_key.h"

void intake_forward(struct pipeline *pipeline, const struct record *record, int32_t home)
{
    const struct transport *transport = &pipeline->setup.transport;
    struct letter letter = {0};

    letter_add_source(&letter, transport, record);
    parcel_add_record(pipeline->current, TOPIC_FORWARD, home, transport, record, &letter);
    meters_forward(pipeline);
}

void intake_set_aside(struct pipeline *pipeline, const struct transport *transport,
                      const struct record *record, const struct dead_letter *dead)
{
    struct letter letter = {0};

    letter_add_error(&letter, dead->code, dead->text, dead->field);
    /* A stray says where it came from at first, not where it was forwarded. */
    if (record->topic != TOPIC_FORWARD || !letter_has_source(transport, record))
        letter_add_source(&letter, transport, record);
    parcel_add_record(pipeline->current, TOPIC_DEAD_LETTER, -1, transport, record, &letter);
    meters_dead_letter(pipeline, dead->code);
}

static void refuse(struct dead_letter *letter, const char *code, const char *field,
                   const char *text)
{
    letter->code = code;
    snprintf(letter->field, sizeof(letter->field), "%s", field);
    snprintf(letter->text, sizeof(letter->text), "%s", text);
}

void intake_settle(struct pipeline *pipeline, const struct transport *transport,
                   const struct record *record, enum verdict verdict)
{
    struct dead_letter letter;

    switch (verdict) {
    case VERDICT_APPLIED:
    case VERDICT_DUPLICATE:
    case VERDICT_LATE:
        return;
    case VERDICT_LATE_SET_ASIDE:
        refuse(&letter, "late", "event_time", "older than the allowed lateness");
        break;
    case VERDICT_FUTURE:
        refuse(&letter, "future", "event_time", "further in the future than future.max allows");
        break;
    case VERDICT_UNKNOWN_TENANT:
        refuse(&letter, "unknown-tenant", "tenant_id",
               "not a registered tenant, and tenants.unknown is reject");
        break;
    }
    intake_set_aside(pipeline, transport, record, &letter);
}

/* -1: a forwarded record that does not say what it is. */
static int event_kind_of(const struct transport *transport, const struct record *record)
{
    enum topic topic = record->topic;

    if (topic == TOPIC_FORWARD)
        topic = letter_source(transport, record);
    return topic < TOPIC_FORWARD || topic == TOPIC_COMMANDS ? topic_info(topic)->event_kind : -1;
}

enum intake_verdict intake_judge(struct pipeline *pipeline, const struct transport *transport,
                                 const struct record *record, struct event *event, int32_t *home,
                                 struct dead_letter *letter, struct failure *failure)
{
    struct codec_reason reason = {0};
    int kind = event_kind_of(transport, record);

    if (kind < 0) {
        refuse(letter, "stray", "", "forwarded without a header that says from which topic");
        return INTAKE_SET_ASIDE;
    }
    if (codec_decode_event(pipeline->setup.codec, (enum event_kind)kind, record->value,
                           pipeline->arena, event, &reason, failure) != STATUS_OK) {
        if (failure->remedy != REMEDY_SET_ASIDE)
            return INTAKE_WAIT;
        refuse(letter, codec_error_name(reason.error), reason.field, reason.text);
        return INTAKE_SET_ASIDE;
    }
    if (topic_is_single(record->topic))
        return INTAKE_APPLY;
    *home = hash_partition(event->tenant_id, pipeline->partition_count);
    if (*home == record->partition)
        return INTAKE_APPLY;
    if (record->topic != TOPIC_FORWARD)
        return INTAKE_FORWARD;
    /* Once is enough: a record that is sent on from partition to partition never ends. */
    refuse(letter, "stray", "tenant_id", "forwarded, and still not in its tenant's partition");
    return INTAKE_SET_ASIDE;
}

enum intake_verdict intake_judge_popularity(struct pipeline *pipeline, const struct record *record,
                                            struct result *result, struct dead_letter *letter,
                                            struct failure *failure)
{
    struct codec_reason reason = {0};

    if (view_is_absent(record->value) && !view_is_absent(record->key)) {
        *result = (struct result){.kind = RESULT_POPULARITY, .tenant_id = record->key};
        return INTAKE_APPLY;
    }
    if (codec_decode_result(pipeline->setup.codec, RESULT_POPULARITY, record->value,
                            pipeline->arena, result, &reason, failure) == STATUS_OK)
        return INTAKE_APPLY;
    if (failure->remedy != REMEDY_SET_ASIDE)
        return INTAKE_WAIT;
    refuse(letter, codec_error_name(reason.error), reason.field, reason.text);
    return INTAKE_SET_ASIDE;
}

/* ---- live records ------------------------------------------------------------------ */

static void hold(struct pipeline *pipeline, struct partition *partition,
                 const struct record *record, const struct failure *failure)
{
    partition->hold_until_ms[record->topic] = pipeline->now_ms + HOLD_MS;
    pipeline->fetch_is_stale = true;
    machine_obey(pipeline, failure);
}

/* The listener may have taken partitions away in the very poll that gave the record, and
 * what was asked for again may come twice. */
static bool is_wanted(const struct partition *partition, const struct record *record)
{
    return partition != NULL && partition->phase == PARTITION_LIVE &&
           partition->hold_until_ms[record->topic] == 0 &&
           record->offset >= partition->positions[record->topic];
}

static void note_taken(struct pipeline *pipeline, struct partition *partition,
                       const struct record *record, enum journal_kind kind)
{
    journal_draft_record(&partition->draft, kind, record->topic, record->offset);
    partition->snapshot_events++;
    pipeline->records_since_cut++;
}

static void apply_batch(struct pipeline *pipeline, struct partition *partition)
{
    const struct intake_batch *batch = pipeline->batch;

    engine_expect(partition->engine, batch->events, batch->count);
    for (uint32_t i = 0; i < batch->count; i++) {
        enum verdict verdict = engine_apply(partition->engine, &batch->events[i], pipeline->outbox);

        intake_settle(pipeline, &pipeline->setup.transport, batch->records[i], verdict);
        note_taken(pipeline, partition, batch->records[i], JOURNAL_APPLY);
    }
}

/* Decodes a run of one partition's records, applies it, and deals with the record that
 * ended it, if one did. Returns how many records that were. */
static uint32_t take_run(struct pipeline *pipeline, const struct record *records, uint32_t count)
{
    const struct transport *transport = &pipeline->setup.transport;
    struct partition *partition = pipeline->partitions[records->partition];
    struct intake_batch *batch = pipeline->batch;
    const struct record *record = NULL;
    enum intake_verdict verdict = INTAKE_APPLY;
    struct dead_letter letter;
    struct failure failure = {0};
    int32_t home = records->partition;
    uint32_t taken = 0;

    batch->count = 0;
    while (verdict == INTAKE_APPLY && taken < count && batch->count < ENGINE_EXPECT_MAX &&
           records[taken].partition == records->partition) {
        if (taken + CODEC_EXPECT_AHEAD < count)
            codec_expect(records[taken + CODEC_EXPECT_AHEAD].value);
        record = &records[taken++];
        if (!is_wanted(partition, record))
            continue;
        verdict = intake_judge(pipeline, transport, record, &batch->events[batch->count], &home,
                               &letter, &failure);
        if (verdict == INTAKE_APPLY)
            batch->records[batch->count++] = record;
        if (verdict != INTAKE_WAIT)
            partition->positions[record->topic] = record->offset + 1;
    }
    if (batch->count > 0)
        apply_batch(pipeline, partition);
    switch (verdict) {
    case INTAKE_APPLY:
        break;
    case INTAKE_WAIT:
        hold(pipeline, partition, record, &failure);
        break;
    case INTAKE_SET_ASIDE:
        intake_set_aside(pipeline, transport, record, &letter);
        note_taken(pipeline, partition, record, JOURNAL_PASS);
        break;
    case INTAKE_FORWARD:
        intake_forward(pipeline, record, home);
        note_taken(pipeline, partition, record, JOURNAL_PASS);
        break;
    }
    arena_reset(pipeline->arena);
    return taken;
}

static bool may_take(const struct pipeline *pipeline)
{
    return !pipeline->fetch_is_stale && !commit_is_rolling_back(pipeline) &&
           !commit_is_overfull(pipeline);
}

/* Serves the transport instead. */
static enum status stand_by(struct pipeline *pipeline, int64_t timeout_ms)
{
    int64_t began_ns = clock_monotonic_ns(pipeline->setup.clock);
    enum status status =
        machine_serve(pipeline, timeout_ms < COMMIT_SLICE_MS ? timeout_ms : COMMIT_SLICE_MS);

    if (commit_is_overfull(pipeline))
        meters_commit_wait(pipeline, clock_monotonic_ns(pipeline->setup.clock) - began_ns);
    return status;
}

enum status intake_records(struct pipeline *pipeline, int64_t timeout_ms)
{
    const struct transport *transport = &pipeline->setup.transport;
    struct failure failure = {0};
    uint32_t count = 0;
    enum status status;

    if (!may_take(pipeline))
        return stand_by(pipeline, timeout_ms);
    status = transport->door->poll(transport->context, pipeline->records,
                                   (uint32_t)pipeline->options.poll_records_max, timeout_ms, &count,
                                   &failure);
    if (status == STATUS_BROKEN)
        return machine_obey(pipeline, &failure);
    if (status != STATUS_OK)
        return STATUS_OK;
    for (uint32_t i = 0; i < count;) {
        if (pipeline->records[i].partition >= pipeline->partition_count) {
            i++;
            continue;
        }
        i += take_run(pipeline, &pipeline->records[i], count - i);
        if (pipeline->is_stopped)
            return STATUS_BROKEN;
    }
    meters_batch(pipeline, count);
    return STATUS_OK;
}

/* ---- time --------------------------------------------------------------------------- */

static bool is_tick_due(const struct pipeline *pipeline, const struct partition *partition)
{
    /* A clock that was set back ticks again when it has caught up. */
    return partition->tick_ms == INT64_MIN ||
           pipeline->wall_ms >= partition->tick_ms + pipeline->options.tick_interval_ms;
}

static void tick(struct pipeline *pipeline, struct partition *partition)
{
    engine_tick(partition->engine, pipeline->wall_ms, pipeline->outbox);
    journal_draft_tick(&partition->draft, pipeline->wall_ms);
    partition->tick_ms = pipeline->wall_ms;
}

bool intake_is_busy(const struct pipeline *pipeline)
{
    if (pipeline->is_encoding_late || commit_is_overfull(pipeline))
        return false;
    for (int32_t i = 0; i < pipeline->partition_count; i++)
        if (pipeline->partitions[i] != NULL && partition_is_running(pipeline->partitions[i]) &&
            engine_is_busy(pipeline->partitions[i]->engine))
            return true;
    return false;
}

/* Batch work is done in slices, one a turn between two batches of events: partitions that
 * have some take turns. */
static void tick_busy(struct pipeline *pipeline)
{
    for (int32_t i = 1; i <= pipeline->partition_count; i++) {
        int32_t number = (pipeline->busy_turn + i) % pipeline->partition_count;
        struct partition *partition = pipeline->partitions[number];

        if (partition == NULL || !partition_is_running(partition) ||
            partition->tick_ms >= pipeline->wall_ms || !engine_is_busy(partition->engine))
            continue;
        tick(pipeline, partition);
        pipeline->busy_turn = number;
        return;
    }
}

enum status intake_ticks(struct pipeline *pipeline)
{
    for (int32_t i = 0; i < pipeline->partition_count; i++) {
        struct partition *partition = pipeline->partitions[i];

        if (partition != NULL && partition_is_running(partition) &&
            is_tick_due(pipeline, partition))
            tick(pipeline, partition);
    }
    if (!commit_is_overfull(pipeline))
        tick_busy(pipeline);
    return STATUS_OK;
}

/* ---- commands, and what tenants share ------------------------------------------------- */

enum status intake_single_at(struct pipeline *pipeline, enum single single, int64_t offset,
                             const struct record **record, struct failure *failure)
{
    struct single_reader *reader = &pipeline->singles[single];
    enum status status;

    if (tap_is_open(&reader->tap) && offset < reader->next)
        tap_close(&reader->tap);
    if (!tap_is_open(&reader->tap)) {
        status = tap_open(&reader->tap, &pipeline->setup.side, single_topic(single), 0,
                          offset > 0 ? offset : POSITION_BEGINNING, SINGLE_BATCH_RECORDS, failure);
        if (status != STATUS_OK)
            return status;
        reader->next = offset;
    }
    for (;;) {
        status = tap_peek(&reader->tap, 0, record, failure);
        if (status != STATUS_OK || (*record)->offset >= offset)
            break;
        reader->next = (*record)->offset + 1;
        tap_skip(&reader->tap);
    }
    if (status == STATUS_OK)
        reader->next = (*record)->offset;
    return status;
}

/* The least that a running partition still has to see; -1: nobody runs. */
static int64_t next_single(const struct pipeline *pipeline, enum single single)
{
    int64_t least = -1;

    for (int32_t i = 0; i < pipeline->partition_count; i++) {
        const struct partition *partition = pipeline->partitions[i];

        if (partition != NULL && partition_is_running(partition) &&
            (least < 0 || partition->single_positions[single] < least))
            least = partition->single_positions[single];
    }
    return least;
}

/* What a record of such a topic turned out to be. */
struct single_record {
    const struct record *record;
    enum intake_verdict verdict;
    struct event event;       /* SINGLE_COMMANDS */
    struct result popularity; /* SINGLE_POPULARITY */
    struct dead_letter letter;
};

/* Every partition takes every record; partition 0 answers for those that cannot be read,
 * so that each is set aside once. */
static void give_single(struct pipeline *pipeline, struct partition *partition, enum single single,
                        const struct single_record *taken)
{
    bool is_speaker = partition->number == 0;

    if (taken->verdict != INTAKE_APPLY) {
        if (is_speaker)
            intake_set_aside(pipeline, &pipeline->setup.side, taken->record, &taken->letter);
    } else if (single == SINGLE_POPULARITY) {
        engine_take_popularity(partition->engine, &taken->popularity);
    } else {
        enum verdict outcome = engine_apply(partition->engine, &taken->event, pipeline->outbox);

        if (is_speaker)
            intake_settle(pipeline, &pipeline->setup.side, taken->record, outcome);
    }
    journal_draft_record(&partition->draft,
                         taken->verdict == INTAKE_APPLY ? JOURNAL_APPLY : JOURNAL_PASS,
                         taken->record->topic, taken->record->offset);
    partition->single_positions[single] = taken->record->offset + 1;
    partition->snapshot_events++;
    pipeline->records_since_cut++;
}

/* STATUS_OK: one was taken. STATUS_AGAIN: not now. STATUS_END: there is none. */
static enum status take_single(struct pipeline *pipeline, enum single single, int64_t offset,
                               struct failure *failure)
{
    struct single_record taken = {0};
    int32_t home;
    enum status status = intake_single_at(pipeline, single, offset, &taken.record, failure);

    if (status != STATUS_OK)
        return status;
    if (single == SINGLE_POPULARITY)
        taken.verdict = intake_judge_popularity(pipeline, taken.record, &taken.popularity,
                                                &taken.letter, failure);
    else
        taken.verdict = intake_judge(pipeline, &pipeline->setup.side, taken.record, &taken.event,
                                     &home, &taken.letter, failure);
    if (taken.verdict == INTAKE_WAIT)
        return STATUS_BROKEN;
    for (int32_t i = 0; i < pipeline->partition_count; i++) {
        struct partition *partition = pipeline->partitions[i];

        if (partition != NULL && partition_is_running(partition) &&
            taken.record->offset >= partition->single_positions[single])
            give_single(pipeline, partition, single, &taken);
    }
    return STATUS_OK;
}

/* A partition is live when it has read all of these topics once. */
static void end_catching_up(struct pipeline *pipeline, enum single single)
{
    for (int32_t i = 0; i < pipeline->partition_count; i++) {
        struct partition *partition = pipeline->partitions[i];

        if (partition == NULL || partition->phase != PARTITION_CATCHING_UP)
            continue;
        partition->singles_read |= 1u << single;
        if (partition->singles_read != (1u << SINGLE_COUNT) - 1)
            continue;
        partition->phase = PARTITION_LIVE;
        pipeline->fetch_is_stale = true;
    }
}

static enum status read_single(struct pipeline *pipeline, enum single single)
{
    struct single_reader *reader = &pipeline->singles[single];
    struct failure failure = {0};

    if (pipeline->now_ms < reader->retry_ms)
        return STATUS_OK;
    if (single == SINGLE_POPULARITY && !engine_config_is_sharing(pipeline->setup.engine_config)) {
        end_catching_up(pipeline, single);
        return STATUS_OK;
    }
    for (int i = 0; i < SINGLE_BATCH_RECORDS; i++) {
        int64_t next = next_single(pipeline, single);
        enum status status;

        if (next < 0)
            break;
        status = take_single(pipeline, single, next, &failure);
        if (status == STATUS_END)
            end_catching_up(pipeline, single);
        if (status == STATUS_BROKEN) {
            tap_close(&reader->tap);
            reader->retry_ms = pipeline->now_ms + HOLD_MS;
            return machine_obey(pipeline, &failure);
        }
        if (status != STATUS_OK)
            break;
    }
    return STATUS_OK;
}

enum status intake_singles(struct pipeline *pipeline)
{
    for (int single = 0; single < SINGLE_COUNT && !commit_is_rolling_back(pipeline); single++)
        if (read_single(pipeline, (enum single)single) == STATUS_BROKEN)
            return STATUS_BROKEN;
    arena_reset(pipeline->arena);
    return STATUS_OK;
}

/* ---- out of the outbox ----------------------------------------------------------------- */

/* Nothing is fetched meanwhile, but poll goes on: a member that does not poll is
 * thrown out of its group. */
static void set_late(struct pipeline *pipeline, bool is_late)
{
    if (pipeline->is_encoding_late != is_late)
        pipeline->fetch_is_stale = true;
    pipeline->is_encoding_late = is_late;
}

enum status intake_encode(struct pipeline *pipeline)
{
    if (!pipeline->is_exact && pipeline->outbox_next < outbox_count(pipeline->outbox))
        commit_journal_ahead(pipeline);
    while (pipeline->outbox_next < outbox_count(pipeline->outbox)) {
        const struct result *result = outbox_at(pipeline->outbox, pipeline->outbox_next);
        struct failure failure = {0};
        struct view key = result_key(result, outbox_scratch(pipeline->outbox));
        struct byte_writer *value = parcel_begin(pipeline->current, topic_of_result(result->kind),
                                                 result_partition(key), key);

        if (codec_encode_result(pipeline->setup.codec, result, value, &failure) != STATUS_OK) {
            parcel_cancel(pipeline->current);
            set_late(pipeline, true);
            return machine_obey(pipeline, &failure);
        }
        parcel_end(pipeline->current);
        if (result->kind == RESULT_RECOMMENDATION)
            meters_recommendation(pipeline, result);
        pipeline->outbox_next++;
    }
    set_late(pipeline, false);
    pipeline->outbox_next = 0;
    outbox_reset(pipeline->outbox);
    return STATUS_OK;
}
