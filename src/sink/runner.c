/*
 * One turn does, in this order, whatever can be done without waiting:
 *
 *   serve the log     poll, with room only when nothing is in hand
 *   take over         OPENING: ask destination and group where to begin
 *   refuse            dead letters of the batch, and wait until the log has them
 *   deliver           offer the batch, unless back-off or breaker say later
 *   give out          results that the delivery made on the way
 *   commit            what is confirmed, every commit interval
 *
 * WAITING ── assigned ──► OPENING ── taken over ──► LIVE
 *    ▲                       ▲                        │
 *    └─────── revoked ───────┴──── fenced, voided ────┘
 *
 * A member that does not poll with room loses its place in the group. So a batch that
 * cannot be handed over soon makes the runner ask for no partition at all: then it can
 * poll with room and nothing comes, until the batch is gone and it asks again.
 */
#include "sink/runner.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/json_writer.h"
#include "base/log.h"
#include "event/letter.h"
#include "sink/backoff.h"
#include "sink/batch.h"
#include "sink/breaker.h"

enum {
    TURN_TIMEOUT_MS = 100,
    FLUSH_SLICE_MS = 5,
    LAST_COMMIT_MS = 10000,
    LAG_INTERVAL_MS = 1000,
    HOLD_MS = 5000, /* how long a batch may wait before the flow is stopped */
};

enum phase { PHASE_WAITING, PHASE_OPENING, PHASE_LIVE, PHASE_FAILED };
static const char *const phase_names[] = {"waiting", "opening", "live", "failed"};

/* Refused records on their way to the dead-letter topic. */
enum letters { LETTERS_NONE, LETTERS_PRODUCED, LETTERS_FLUSHING };

struct sink_runner {
    struct sink_setup setup;
    struct batch batch;
    struct outbox *outbox;
    struct byte_writer encoded;
    uint32_t outbox_sent;
    uint32_t letters_sent; /* items of the batch looked at for dead letters */
    enum letters letters;

    struct position *assigned;  /* offset: where it goes on, after the batch in hand */
    struct position *confirmed; /* scratch, as many */
    struct position *committed; /* what the last commit said */
    uint32_t assigned_count;
    bool is_flowing; /* the transport has been asked for the partitions */
    int64_t held_since_ms;
    bool is_delivery_open; /* open succeeded; the group's positions may still be asked for */
    bool is_committing;
    int64_t commit_due_ms;
    int64_t lag_due_ms;

    struct backoff backoff;
    struct breaker breaker;
    int64_t attempt_due_ms; /* of open and deliver */
    bool is_away;           /* the last attempt failed, and the log says so */

    struct metric *records_metric, *letters_metric, *retries_metric, *lag_metric, *breaker_metric;
    struct metric *deliver_metric;

    pthread_t thread;
    bool is_started;
    pthread_mutex_t lock; /* is_stopping, last_failure */
    pthread_cond_t wake;
    bool is_stopping;
    char last_failure[FAILURE_TEXT_MAX];
    atomic_int phase;
    atomic_uint in_hand;
    atomic_int breaker_shown;
    atomic_llong lag;
    atomic_llong last_turn_ms;
};

#define OPTION(label, kind, member, least_value, most_value, preset_text, unit_text, text)         \
    {                                                                                              \
        .name = label, .type = kind, .offset = offsetof(struct sink_options, member),              \
        .preset = preset_text, .least = least_value, .most = most_value, .unit = unit_text,        \
        .purpose = text                                                                            \
    }

static const struct option options[] = {
    OPTION("batch.records_max", OPTION_INT, batch_records_max, 1, 100000, "1000", "records",
           "Records that a sink has in hand at once; one database transaction."),
    OPTION("commit.interval_ms", OPTION_DURATION_MS, commit_interval_ms, 10, 600000, "1s", "ms",
           "How often confirmed positions are committed to the consumer group."),
    OPTION("retry.base_ms", OPTION_DURATION_MS, retry_base_ms, 1, 60000, "1s", "ms",
           "Upper bound of the random wait after the first failure; doubles with each."),
    OPTION("retry.most_ms", OPTION_DURATION_MS, retry_most_ms, 1, 3600000, "30s", "ms",
           "The longest wait between two attempts."),
    OPTION("breaker.failures_max", OPTION_INT, breaker_failures_max, 1, 1000, "5", "failures",
           "Failures in a row after which a destination is left alone."),
    OPTION("breaker.open_ms", OPTION_DURATION_MS, breaker_open_ms, 1, 3600000, "60s", "ms",
           "How long it is left alone before one attempt is let through."),
    OPTION("takeover.wait_ms", OPTION_DURATION_MS, takeover_wait_ms, 0, 3600000, "30s", "ms",
           "Wait before partitions that another process took over are claimed back."),
};

const struct option_table sink_option_table = {
    .section = "sink",
    .options = options,
    .count = sizeof(options) / sizeof(options[0]),
    .bytes = sizeof(struct sink_options),
};

static int64_t now_of(const struct sink_runner *runner)
{
    return clock_monotonic_ms(runner->setup.clock);
}

static enum phase phase_of(const struct sink_runner *runner)
{
    return (enum phase)atomic_load(&runner->phase);
}

static const char *name_of(const struct sink_runner *runner)
{
    return runner->setup.delivery.name;
}

/* Logged when it begins, not at every attempt. */
static void note_failure(struct sink_runner *runner, const struct failure *failure)
{
    pthread_mutex_lock(&runner->lock);
    memcpy(runner->last_failure, failure->text, sizeof(runner->last_failure));
    pthread_mutex_unlock(&runner->lock);
    if (!runner->is_away)
        log_warn("sink", "%s: %s; retrying", name_of(runner), failure->text);
    runner->is_away = true;
}

static void note_success(struct sink_runner *runner)
{
    breaker_succeeded(&runner->breaker);
    backoff_reset(&runner->backoff);
    runner->attempt_due_ms = 0;
    if (!runner->is_away)
        return;
    runner->is_away = false;
    log_info("sink", "%s: is back", name_of(runner));
    pthread_mutex_lock(&runner->lock);
    runner->last_failure[0] = '\0';
    pthread_mutex_unlock(&runner->lock);
}

static void wait_for_destination(struct sink_runner *runner, const struct failure *failure)
{
    int64_t now_ms = now_of(runner);
    int64_t backoff_ms = backoff_next_ms(&runner->backoff);
    int64_t breaker_ms;

    breaker_failed(&runner->breaker, now_ms);
    breaker_ms = breaker_wait_ms(&runner->breaker, now_ms);
    runner->attempt_due_ms = now_ms + (breaker_ms > backoff_ms ? breaker_ms : backoff_ms);
    metric_add(runner->retries_metric, 1);
    note_failure(runner, failure);
}

static bool may_attempt(struct sink_runner *runner)
{
    int64_t now_ms = now_of(runner);

    return now_ms >= runner->attempt_due_ms && breaker_allows(&runner->breaker, now_ms);
}

/* Nothing of what is in hand may reach the destination any more. */
static void drop_work(struct sink_runner *runner)
{
    if (runner->is_delivery_open)
        runner->setup.delivery.door->close(runner->setup.delivery.context);
    runner->is_delivery_open = false;
    batch_drop(&runner->batch);
    outbox_reset(runner->outbox);
    runner->outbox_sent = 0;
    runner->letters_sent = 0;
    runner->letters = LETTERS_NONE;
}

/* Our partitions, begun anew from what is stored. */
static void start_over(struct sink_runner *runner, int64_t wait_ms)
{
    drop_work(runner);
    runner->attempt_due_ms = now_of(runner) + wait_ms;
    if (phase_of(runner) == PHASE_LIVE)
        atomic_store(&runner->phase, PHASE_OPENING);
}

/* ---- taking over ---- */

static void on_assigned(void *context, const struct topic_partition *partitions, uint32_t count)
{
    struct sink_runner *runner = context;
    uint32_t total = runner->assigned_count + count;
    size_t bytes = (total > 0 ? total : 1) * sizeof(struct position);

    drop_work(runner);
    runner->assigned = realloc(runner->assigned, bytes);
    runner->confirmed = realloc(runner->confirmed, bytes);
    runner->committed = realloc(runner->committed, bytes);
    assert(runner->assigned != NULL && runner->confirmed != NULL && runner->committed != NULL);
    for (uint32_t i = 0; i < count; i++)
        runner->assigned[runner->assigned_count++] =
            (struct position){partitions[i].topic, partitions[i].partition, POSITION_NONE};
    runner->attempt_due_ms = 0;
    runner->is_flowing = false;
    atomic_store(&runner->phase, runner->assigned_count > 0 ? PHASE_OPENING : PHASE_WAITING);
}

static void forget_commits(struct sink_runner *runner)
{
    for (uint32_t i = 0; i < runner->assigned_count; i++)
        runner->committed[i].offset = POSITION_NONE;
}

/* A position from before the log was cut or made anew points at nothing. */
static enum status fit_into_log(struct sink_runner *runner, struct position *position,
                                struct failure *failure)
{
    const struct transport *transport = &runner->setup.transport;
    int64_t first, next;
    enum status status;

    if (position->offset < 0)
        return STATUS_OK;
    status = transport->door->bounds(transport->context, position->topic, position->partition,
                                     &first, &next, failure);
    if (status != STATUS_OK || (position->offset >= first && position->offset <= next))
        return status;
    log_warn("sink", "%s: %s/%d: offset %lld is not in the log any more; going on at %lld",
             name_of(runner), topic_info(position->topic)->name, position->partition,
             (long long)position->offset, (long long)first);
    position->offset = first;
    return STATUS_OK;
}

static enum status find_positions(struct sink_runner *runner, struct failure *failure)
{
    const struct transport *transport = &runner->setup.transport;
    uint32_t asked = 0;
    enum status status;

    for (uint32_t i = 0; i < runner->assigned_count; i++)
        if (runner->assigned[i].offset == POSITION_NONE)
            runner->confirmed[asked++] = runner->assigned[i];
    if (asked > 0) {
        status = transport->door->committed(transport->context, runner->confirmed, asked, failure);
        if (status != STATUS_OK)
            return status;
    }
    for (uint32_t i = 0, answered = 0; i < runner->assigned_count; i++) {
        struct position *position = &runner->assigned[i];

        if (position->offset == POSITION_NONE)
            position->offset = runner->confirmed[answered++].offset;
        if (position->offset == POSITION_NONE)
            position->offset = POSITION_BEGINNING;
        status = fit_into_log(runner, position, failure);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static enum status take_over(struct sink_runner *runner, struct failure *failure)
{
    const struct delivery *delivery = &runner->setup.delivery;
    enum status status;

    if (!runner->is_delivery_open) {
        if (!may_attempt(runner))
            return STATUS_OK;
        for (uint32_t i = 0; i < runner->assigned_count; i++)
            runner->assigned[i].offset = POSITION_NONE;
        status = delivery->door->open(delivery->context, runner->assigned, runner->assigned_count,
                                      failure);
        if (status == STATUS_BROKEN && failure->remedy == REMEDY_RETRY) {
            wait_for_destination(runner, failure);
            return STATUS_OK;
        }
        note_success(runner);
        if (status != STATUS_OK)
            return status;
        runner->is_delivery_open = true;
    }
    status = find_positions(runner, failure);
    if (status == STATUS_AGAIN)
        return STATUS_OK;
    if (status != STATUS_OK)
        return status;
    memcpy(runner->committed, runner->assigned, runner->assigned_count * sizeof(struct position));
    /* A destination that keeps positions is believed; the group, whose lag people watch, hears
     * of them with the first commit. */
    forget_commits(runner);
    /* What flows may be somewhere else: after starting over, where the void work had come to. */
    runner->is_flowing = false;
    atomic_store(&runner->phase, PHASE_LIVE);
    log_info("sink", "%s: live with %u partitions", name_of(runner), runner->assigned_count);
    return STATUS_OK;
}

/* ---- committing ---- */

/* Fills `confirmed` for the commit; false when it says nothing new. */
static bool gather_confirmed(struct sink_runner *runner, uint32_t *count)
{
    const struct delivery *delivery = &runner->setup.delivery;
    bool is_new = false;
    uint32_t known = 0;

    for (uint32_t i = 0; i < runner->assigned_count; i++) {
        runner->confirmed[i] = runner->assigned[i];
        runner->confirmed[i].offset = POSITION_NONE;
    }
    delivery->door->confirmed(delivery->context, runner->confirmed, runner->assigned_count);
    for (uint32_t i = 0; i < runner->assigned_count; i++) {
        if (runner->confirmed[i].offset == POSITION_NONE)
            continue;
        is_new |= runner->confirmed[i].offset != runner->committed[i].offset;
        runner->committed[i].offset = runner->confirmed[i].offset;
        runner->confirmed[known++] = runner->confirmed[i];
    }
    *count = known;
    return is_new;
}

static enum status start_commit(struct sink_runner *runner, struct failure *failure)
{
    const struct transport *transport = &runner->setup.transport;
    uint32_t count;
    bool is_new = gather_confirmed(runner, &count);
    enum status status;

    runner->commit_due_ms = now_of(runner) + runner->setup.options->commit_interval_ms;
    if (!is_new && runner->letters != LETTERS_PRODUCED)
        return STATUS_OK;
    status = transport->door->commit_start(transport->context, runner->confirmed, count, failure);
    if (status == STATUS_OK) {
        runner->is_committing = true;
        if (runner->letters == LETTERS_PRODUCED)
            runner->letters = LETTERS_FLUSHING;
        return STATUS_OK;
    }
    /* Not said yet: the next round must find it new. */
    forget_commits(runner);
    return status == STATUS_AGAIN ? STATUS_OK : status;
}

static enum status finish_commit(struct sink_runner *runner, int64_t timeout_ms,
                                 struct failure *failure)
{
    const struct transport *transport = &runner->setup.transport;
    enum status status;

    if (!runner->is_committing)
        return STATUS_OK;
    status = transport->door->commit_wait(transport->context, timeout_ms, failure);
    if (status == STATUS_AGAIN)
        return STATUS_AGAIN;
    runner->is_committing = false;
    if (status == STATUS_OK) {
        if (runner->letters == LETTERS_FLUSHING)
            runner->letters = LETTERS_NONE;
        return STATUS_OK;
    }
    if (runner->letters == LETTERS_FLUSHING)
        runner->letters = LETTERS_PRODUCED;
    forget_commits(runner);
    return status;
}

static enum status serve_commit(struct sink_runner *runner, struct failure *failure)
{
    enum status status = finish_commit(runner, 0, failure);

    if (status == STATUS_AGAIN)
        return STATUS_OK;
    if (status != STATUS_OK || !runner->is_delivery_open || phase_of(runner) != PHASE_LIVE)
        return status;
    /* What a delivery made on the way must be in the log before its cause is committed. */
    if (outbox_count(runner->outbox) > runner->outbox_sent)
        return STATUS_OK;
    if (now_of(runner) < runner->commit_due_ms && runner->letters != LETTERS_PRODUCED)
        return STATUS_OK;
    return start_commit(runner, failure);
}

/* ---- what leaves for the log ---- */

static enum status produce_letter(struct sink_runner *runner, const struct delivery_item *item,
                                  struct failure *failure)
{
    const struct transport *transport = &runner->setup.transport;
    const struct record *record = &item->record;
    struct letter letter = {0};

    letter_add_error(&letter, item->refusal.code, item->refusal.reason, item->refusal.field);
    letter_add_source(&letter, transport, record);
    const struct outgoing outgoing = {
        .topic = TOPIC_DEAD_LETTER,
        .partition = -1,
        .key = record->key,
        .value = record->value,
        .headers = letter.headers,
        .header_count = letter.header_count,
    };
    return transport->door->produce(transport->context, &outgoing, failure);
}

/* STATUS_AGAIN: not all of them are in the log yet. */
static enum status send_letters(struct sink_runner *runner, struct failure *failure)
{
    struct batch *batch = &runner->batch;

    while (runner->letters_sent < batch->decoded) {
        const struct delivery_item *item = &batch->items[runner->letters_sent];

        if (item_is_refused(item) && item->record.topic == TOPIC_DEAD_LETTER)
            /* It is in the dead-letter topic already, and would come back for ever. */
            log_error("sink", "%s: a dead letter is refused: %s", name_of(runner),
                      item->refusal.reason);
        else if (item_is_refused(item)) {
            enum status status = produce_letter(runner, item, failure);

            if (status == STATUS_FULL || status == STATUS_AGAIN)
                return STATUS_AGAIN;
            if (status != STATUS_OK)
                return status;
            metric_add(runner->letters_metric, 1);
            runner->letters = LETTERS_PRODUCED;
        }
        runner->letters_sent++;
    }
    return runner->letters == LETTERS_NONE ? STATUS_OK : STATUS_AGAIN;
}

/* STATUS_AGAIN: some are left. */
static enum status give_out(struct sink_runner *runner, struct failure *failure)
{
    const struct transport *transport = &runner->setup.transport;

    while (runner->outbox_sent < outbox_count(runner->outbox)) {
        const struct result *result = outbox_at(runner->outbox, runner->outbox_sent);
        enum status status;

        byte_writer_reset(&runner->encoded);
        status = codec_encode_result(runner->setup.codec, result, &runner->encoded, failure);
        if (status != STATUS_OK)
            return status;
        const struct outgoing outgoing = {
            .topic = topic_of_result(result->kind),
            .partition = -1,
            .key = result->tenant_id,
            .value = byte_writer_view(&runner->encoded),
        };
        status = transport->door->produce(transport->context, &outgoing, failure);
        if (status == STATUS_FULL || status == STATUS_AGAIN)
            return STATUS_AGAIN;
        if (status != STATUS_OK)
            return status;
        runner->outbox_sent++;
    }
    outbox_reset(runner->outbox);
    runner->outbox_sent = 0;
    return STATUS_OK;
}

/* ---- delivering ---- */

static enum status deliver_batch(struct sink_runner *runner, struct failure *failure)
{
    const struct delivery *delivery = &runner->setup.delivery;
    struct batch *batch = &runner->batch;
    struct delivery_turn turn = {
        .items = batch->items + batch->first,
        .count = batch->decoded - batch->first,
        .outbox = runner->outbox,
    };
    int64_t start_ns;
    enum status status;

    if (turn.count == 0 || !may_attempt(runner))
        return STATUS_OK;
    start_ns = clock_monotonic_ns(runner->setup.clock);
    status = delivery->door->deliver(delivery->context, &turn, failure);
    metric_observe(runner->deliver_metric,
                   (double)(clock_monotonic_ns(runner->setup.clock) - start_ns) / 1e9);
    if (status == STATUS_BROKEN && failure->remedy == REMEDY_RETRY) {
        wait_for_destination(runner, failure);
        return STATUS_OK;
    }
    note_success(runner);
    if (status == STATUS_BROKEN)
        return status;
    if (status == STATUS_AGAIN) {
        /* Refused just now: look at them once more, dead letters first. */
        runner->letters_sent = batch->first;
        return STATUS_OK;
    }
    assert(status == STATUS_OK);
    batch_take(batch, turn.taken);
    metric_add(runner->records_metric, turn.taken);
    if (turn.wait_ms > 0)
        runner->attempt_due_ms = now_of(runner) + turn.wait_ms;
    return STATUS_OK;
}

static enum status work(struct sink_runner *runner, struct failure *failure)
{
    enum status status = give_out(runner, failure);

    if (status != STATUS_OK)
        return status == STATUS_AGAIN ? STATUS_OK : status;
    status = batch_decode(&runner->batch, runner->setup.codec, failure);
    if (status != STATUS_OK)
        return status;
    status = send_letters(runner, failure);
    if (status != STATUS_OK)
        return status == STATUS_AGAIN ? STATUS_OK : status;
    status = deliver_batch(runner, failure);
    if (status != STATUS_OK)
        return status;
    status = give_out(runner, failure);
    return status == STATUS_AGAIN ? STATUS_OK : status;
}

/* ---- giving up ---- */

/* Best effort: what is not committed is delivered again by the next owner. */
static void commit_last(struct sink_runner *runner)
{
    struct failure failure = {0};
    enum status status = give_out(runner, &failure);

    if (status == STATUS_OK)
        status = finish_commit(runner, LAST_COMMIT_MS, &failure);
    if (status == STATUS_OK)
        status = start_commit(runner, &failure);
    if (status == STATUS_OK)
        status = finish_commit(runner, LAST_COMMIT_MS, &failure);
    if (status == STATUS_BROKEN)
        log_warn("sink", "%s: last commit: %s", name_of(runner), failure.text);
}

static void on_revoked(void *context, const struct topic_partition *partitions, uint32_t count,
                       bool is_lost)
{
    struct sink_runner *runner = context;
    uint32_t kept = 0;

    if (runner->is_delivery_open && phase_of(runner) == PHASE_LIVE) {
        runner->setup.delivery.door->close(runner->setup.delivery.context);
        runner->is_delivery_open = false;
        if (!is_lost)
            commit_last(runner);
    }
    drop_work(runner);
    for (uint32_t i = 0; i < runner->assigned_count; i++) {
        bool is_gone = false;

        for (uint32_t k = 0; k < count; k++)
            is_gone |= partitions[k].topic == runner->assigned[i].topic &&
                       partitions[k].partition == runner->assigned[i].partition;
        if (!is_gone)
            runner->assigned[kept++] = runner->assigned[i];
    }
    runner->assigned_count = kept;
    runner->is_flowing = kept > 0 && runner->is_flowing;
    atomic_store(&runner->phase, kept > 0 ? PHASE_OPENING : PHASE_WAITING);
}

/* ---- turning ---- */

/* Asks for all partitions where we are, or for none. */
static enum status set_flow(struct sink_runner *runner, bool is_flowing, struct failure *failure)
{
    const struct transport *transport = &runner->setup.transport;
    enum status status = transport->door->resume(transport->context, runner->assigned,
                                                 is_flowing ? runner->assigned_count : 0, failure);

    if (status == STATUS_OK)
        runner->is_flowing = is_flowing;
    return status;
}

static enum status serve_flow(struct sink_runner *runner, struct failure *failure)
{
    bool is_idle = batch_is_empty(&runner->batch);
    bool is_stuck = phase_of(runner) != PHASE_LIVE ||
                    (!is_idle && now_of(runner) - runner->held_since_ms >= HOLD_MS);

    if (runner->is_flowing && is_stuck)
        return set_flow(runner, false, failure);
    if (!runner->is_flowing && is_idle && phase_of(runner) == PHASE_LIVE)
        return set_flow(runner, true, failure);
    return STATUS_OK;
}

static struct position *assigned_of(struct sink_runner *runner, const struct record *record)
{
    for (uint32_t i = 0; i < runner->assigned_count; i++)
        if (runner->assigned[i].topic == record->topic &&
            runner->assigned[i].partition == record->partition)
            return &runner->assigned[i];
    assert(!"a record of a partition that is not ours");
    return NULL;
}

/* Where to go on after the batch; its runs of one partition stand together. */
static void move_positions(struct sink_runner *runner)
{
    struct position *position = NULL;

    for (uint32_t i = 0; i < runner->batch.count; i++) {
        const struct record *record = &runner->batch.items[i].record;

        if (position == NULL || position->topic != record->topic ||
            position->partition != record->partition)
            position = assigned_of(runner, record);
        position->offset = record->offset + 1;
    }
}

static enum status serve_log(struct sink_runner *runner, int64_t timeout_ms,
                             struct failure *failure)
{
    const struct transport *transport = &runner->setup.transport;
    bool is_idle = batch_is_empty(&runner->batch) && outbox_count(runner->outbox) == 0;
    bool has_room = is_idle || !runner->is_flowing;
    bool may_wait = is_idle && phase_of(runner) != PHASE_OPENING;
    uint32_t count = 0;
    enum status status;

    status = transport->door->poll(transport->context, runner->batch.records,
                                   has_room ? runner->batch.records_max : 0,
                                   may_wait ? timeout_ms : 0, &count, failure);
    /* The group may have changed inside poll; then what came with it is read again. */
    if (status != STATUS_OK || count == 0 || phase_of(runner) != PHASE_LIVE)
        return status;
    assert(is_idle);
    batch_hold(&runner->batch, transport, count);
    move_positions(runner);
    runner->held_since_ms = now_of(runner);
    runner->letters_sent = 0;
    return STATUS_OK;
}

static void show_state(struct sink_runner *runner)
{
    const struct transport *transport = &runner->setup.transport;
    int64_t now_ms = now_of(runner);
    int64_t lag = runner->batch.count - runner->batch.first;

    atomic_store(&runner->in_hand, runner->batch.count - runner->batch.first);
    atomic_store(&runner->breaker_shown, (int)runner->breaker.state);
    atomic_store(&runner->last_turn_ms, now_ms);
    if (now_ms < runner->lag_due_ms)
        return;
    runner->lag_due_ms = now_ms + LAG_INTERVAL_MS;
    for (uint32_t i = 0; i < runner->assigned_count && phase_of(runner) == PHASE_LIVE; i++) {
        const struct position *position = &runner->assigned[i];
        int64_t end =
            transport->door->known_end(transport->context, position->topic, position->partition);

        if (end >= 0 && position->offset >= 0 && end > position->offset)
            lag += end - position->offset;
    }
    atomic_store(&runner->lag, lag);
    metric_set(runner->lag_metric, (double)lag);
    metric_set(runner->breaker_metric, runner->breaker.state == BREAKER_CLOSED ? 0 : 1);
}

/* How long nothing can be done; 0: poll will wait by itself, or there is work. */
static int64_t idle_ms(const struct sink_runner *runner)
{
    int64_t left_ms = runner->attempt_due_ms - now_of(runner);

    if (runner->letters != LETTERS_NONE || outbox_count(runner->outbox) > 0)
        return FLUSH_SLICE_MS;
    if (batch_is_empty(&runner->batch) && phase_of(runner) != PHASE_OPENING)
        return 0;
    if (runner->batch.decoded < runner->batch.count)
        return TURN_TIMEOUT_MS;
    if (left_ms <= 0)
        return runner->is_delivery_open && phase_of(runner) == PHASE_OPENING ? FLUSH_SLICE_MS : 0;
    return left_ms < TURN_TIMEOUT_MS ? left_ms : TURN_TIMEOUT_MS;
}

/* STATUS_OK: the runner goes on. */
static enum status obey(struct sink_runner *runner, const struct failure *failure)
{
    const struct transport *transport = &runner->setup.transport;

    switch (failure->remedy) {
    case REMEDY_RETRY:
        note_failure(runner, failure);
        return STATUS_OK;
    case REMEDY_ROLL_BACK:
        log_warn("sink", "%s: %s; starting over", name_of(runner), failure->text);
        transport->door->abort(transport->context, NULL);
        start_over(runner, runner->setup.options->takeover_wait_ms);
        return STATUS_OK;
    case REMEDY_NONE:
    case REMEDY_SET_ASIDE:
    case REMEDY_STOP:
        break;
    }
    pthread_mutex_lock(&runner->lock);
    memcpy(runner->last_failure, failure->text, sizeof(runner->last_failure));
    pthread_mutex_unlock(&runner->lock);
    atomic_store(&runner->phase, PHASE_FAILED);
    return STATUS_BROKEN;
}

enum status sink_runner_turn(struct sink_runner *runner, int64_t timeout_ms, int64_t *wait_ms,
                             struct failure *failure)
{
    enum status status;

    *wait_ms = 0;
    assert(phase_of(runner) != PHASE_FAILED);
    status = serve_log(runner, timeout_ms, failure);
    if (status == STATUS_OK && phase_of(runner) == PHASE_OPENING)
        status = take_over(runner, failure);
    if (status == STATUS_OK && phase_of(runner) == PHASE_LIVE)
        status = work(runner, failure);
    if (status == STATUS_OK)
        status = serve_flow(runner, failure);
    if (status == STATUS_OK)
        status = serve_commit(runner, failure);
    if (status == STATUS_BROKEN) {
        status = obey(runner, failure);
        *wait_ms = TURN_TIMEOUT_MS;
    } else {
        status = STATUS_OK;
        *wait_ms = idle_ms(runner);
    }
    show_state(runner);
    return status;
}

void sink_runner_drain(struct sink_runner *runner)
{
    if (runner->is_delivery_open && phase_of(runner) == PHASE_LIVE) {
        runner->setup.delivery.door->close(runner->setup.delivery.context);
        runner->is_delivery_open = false;
        commit_last(runner);
    }
    drop_work(runner);
    runner->assigned_count = 0;
    if (phase_of(runner) != PHASE_FAILED)
        atomic_store(&runner->phase, PHASE_WAITING);
}

/* ---- making and ending ---- */

static void register_metrics(struct sink_runner *runner)
{
    struct metric_registry *metrics = runner->setup.metrics;
    struct byte_writer labels;

    byte_writer_init(&labels);
    metric_label(&labels, "sink", view_of(name_of(runner)));
    byte_put_u8(&labels, 0);
    runner->records_metric = metric_counter(metrics, "weir_sink_records_total",
                                            "Records handed to the destination.", labels.data);
    runner->letters_metric =
        metric_counter(metrics, "weir_sink_dead_letters_total",
                       "Records that the sink sent to the dead-letter topic.", labels.data);
    runner->retries_metric =
        metric_counter(metrics, "weir_sink_retries_total",
                       "Attempts that found the destination away.", labels.data);
    runner->lag_metric =
        metric_gauge(metrics, "weir_sink_lag_records",
                     "Records in the log that are not at the destination.", labels.data);
    runner->breaker_metric =
        metric_gauge(metrics, "weir_sink_breaker_open",
                     "1 while the circuit breaker holds calls back.", labels.data);
    runner->deliver_metric = metric_histogram(metrics, "weir_sink_deliver_seconds",
                                              "Time of one delivery of a batch.", labels.data);
    byte_writer_free(&labels);
}

enum status sink_runner_open(const struct sink_setup *setup, struct sink_runner **runner,
                             struct failure *failure)
{
    struct sink_runner *made = calloc(1, sizeof(*made));
    const struct transport_listener listener = {
        .context = made,
        .on_assigned = on_assigned,
        .on_revoked = on_revoked,
    };
    enum status status;

    assert(made != NULL);
    made->setup = *setup;
    batch_init(&made->batch, (uint32_t)setup->options->batch_records_max);
    made->outbox = outbox_create();
    byte_writer_init(&made->encoded);
    backoff_init(&made->backoff, setup->options->retry_base_ms,
                 setup->options->retry_most_ms > setup->options->retry_base_ms
                     ? setup->options->retry_most_ms
                     : setup->options->retry_base_ms,
                 setup->seed);
    breaker_init(&made->breaker, setup->options->breaker_failures_max,
                 setup->options->breaker_open_ms);
    pthread_mutex_init(&made->lock, NULL);
    clock_condition_init(&made->wake);
    register_metrics(made);
    atomic_store(&made->last_turn_ms, now_of(made));
    status = setup->transport.door->subscribe(setup->transport.context, setup->delivery.topics,
                                              setup->delivery.topic_count, &listener, failure);
    if (status != STATUS_OK) {
        sink_runner_close(made);
        return status;
    }
    *runner = made;
    return STATUS_OK;
}

void sink_runner_close(struct sink_runner *runner)
{
    if (runner == NULL)
        return;
    assert(!runner->is_started);
    batch_free(&runner->batch);
    outbox_destroy(runner->outbox);
    byte_writer_free(&runner->encoded);
    free(runner->assigned);
    free(runner->confirmed);
    free(runner->committed);
    pthread_cond_destroy(&runner->wake);
    pthread_mutex_destroy(&runner->lock);
    free(runner);
}

/* False: it is time to stop. */
static bool rest(struct sink_runner *runner, int64_t wait_ms)
{
    struct timespec until = clock_deadline(wait_ms > 0 ? wait_ms : 0);
    bool is_stopping;

    pthread_mutex_lock(&runner->lock);
    while (!runner->is_stopping && wait_ms > 0)
        if (pthread_cond_timedwait(&runner->wake, &runner->lock, &until) == ETIMEDOUT)
            break;
    is_stopping = runner->is_stopping;
    pthread_mutex_unlock(&runner->lock);
    return !is_stopping;
}

static void *run(void *context)
{
    struct sink_runner *runner = context;
    struct failure failure = {0};
    int64_t wait_ms = 0;

    do {
        if (sink_runner_turn(runner, TURN_TIMEOUT_MS, &wait_ms, &failure) != STATUS_OK) {
            log_error("sink", "%s: stopped: %s", name_of(runner), failure.text);
            break;
        }
    } while (rest(runner, wait_ms));
    sink_runner_drain(runner);
    return NULL;
}

enum status sink_runner_start(struct sink_runner *runner, struct failure *failure)
{
    int error;

    assert(!runner->is_started);
    error = pthread_create(&runner->thread, NULL, run, runner);
    if (error != 0)
        return failure_set(failure, REMEDY_STOP, "%s: cannot start a thread: %s", name_of(runner),
                           strerror(error));
    runner->is_started = true;
    return STATUS_OK;
}

void sink_runner_stop(struct sink_runner *runner)
{
    if (runner == NULL || !runner->is_started)
        return;
    pthread_mutex_lock(&runner->lock);
    runner->is_stopping = true;
    pthread_cond_signal(&runner->wake);
    pthread_mutex_unlock(&runner->lock);
    pthread_join(runner->thread, NULL);
    runner->is_started = false;
}

bool sink_runner_is_ready(const struct sink_runner *runner)
{
    return phase_of(runner) != PHASE_FAILED;
}

bool sink_runner_has_failed(const struct sink_runner *runner)
{
    return phase_of(runner) == PHASE_FAILED;
}

int64_t sink_runner_last_turn_ms(const struct sink_runner *runner)
{
    return atomic_load(&runner->last_turn_ms);
}

void sink_runner_status(struct sink_runner *runner, struct byte_writer *out)
{
    struct json_writer json = json_writer_on(out);

    json_begin_object(&json);
    json_name(&json, "phase");
    json_text(&json, phase_names[phase_of(runner)]);
    json_name(&json, "in_hand");
    json_int(&json, atomic_load(&runner->in_hand));
    json_name(&json, "lag");
    json_int(&json, atomic_load(&runner->lag));
    json_name(&json, "breaker");
    json_text(&json, breaker_state_name((enum breaker_state)atomic_load(&runner->breaker_shown)));
    pthread_mutex_lock(&runner->lock);
    json_name(&json, "failure");
    json_text(&json, runner->last_failure[0] != '\0' ? runner->last_failure : NULL);
    pthread_mutex_unlock(&runner->lock);
    json_end_object(&json);
}
