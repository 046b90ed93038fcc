/*
 * A sink runner between a log and a destination that are both in memory, on a clock that
 * moves when we say so: every fault is chosen, nothing waits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "sink/batch.h"
#include "sink/runner.h"
#include "unit/sink/alert.h"

enum { PARTITIONS = 3, RECORDS_MAX = 300, LETTERS_MAX = 500 };

/* ---- the log ---- */

struct partition {
    char *values[RECORDS_MAX];
    uint32_t count;
    int64_t reads_from; /* -1: it is not asked for */
    int64_t committed;  /* -1: never */
    bool is_owned;
};

struct letter {
    int32_t partition;
    int64_t offset;
    char code[REFUSAL_CODE_MAX];
    bool is_flushed;
};

struct log_world {
    struct partition partitions[PARTITIONS];
    struct transport_listener listener;
    struct letter letters[LETTERS_MAX];
    uint32_t letter_count;
    uint32_t notification_count, notifications_flushed;
    bool is_committing;
    struct position pending[PARTITIONS];
    uint32_t pending_count;
    bool has_joined;
    bool wants_rebalance, is_loss;
    uint32_t polls_with_room;
    /* faults, in percent of calls */
    uint32_t poll_fails, produce_full, commit_fails, commit_waits, committed_waits;
    uint64_t random;
};

static uint32_t draw(uint64_t *random, uint32_t below)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((*random >> 33) % below);
}

static bool happens(struct log_world *log, uint32_t percent)
{
    return percent > 0 && draw(&log->random, 100) < percent;
}

static enum status log_subscribe(void *context, const enum topic *topics, uint32_t count,
                                 const struct transport_listener *listener, struct failure *failure)
{
    struct log_world *log = context;

    (void)failure;
    assert_int_equal(count, 1);
    assert_int_equal(topics[0], TOPIC_ALERTS);
    log->listener = *listener;
    return STATUS_OK;
}

static enum status log_resume(void *context, const struct position *positions, uint32_t count,
                              struct failure *failure)
{
    struct log_world *log = context;

    (void)failure;
    for (int p = 0; p < PARTITIONS; p++)
        log->partitions[p].reads_from = -1;
    for (uint32_t i = 0; i < count; i++) {
        struct partition *partition = &log->partitions[positions[i].partition];

        assert_true(partition->is_owned);
        assert_true(positions[i].offset >= 0 || positions[i].offset == POSITION_BEGINNING);
        partition->reads_from = positions[i].offset < 0 ? 0 : positions[i].offset;
    }
    return STATUS_OK;
}

static void list_partitions(struct topic_partition *list)
{
    for (int p = 0; p < PARTITIONS; p++)
        list[p] = (struct topic_partition){TOPIC_ALERTS, p};
}

static void rebalance(struct log_world *log)
{
    struct topic_partition list[PARTITIONS];

    list_partitions(list);
    if (log->has_joined)
        log->listener.on_revoked(log->listener.context, list, PARTITIONS, log->is_loss);
    for (int p = 0; p < PARTITIONS; p++) {
        log->partitions[p].is_owned = true;
        log->partitions[p].reads_from = -1;
    }
    log->listener.on_assigned(log->listener.context, list, PARTITIONS);
    log->has_joined = true;
    log->wants_rebalance = false;
}

static enum status log_poll(void *context, struct record *records, uint32_t max, int64_t timeout_ms,
                            uint32_t *count, struct failure *failure)
{
    struct log_world *log = context;

    (void)timeout_ms;
    *count = 0;
    if (max == 0)
        return STATUS_OK;
    log->polls_with_room++;
    if (happens(log, log->poll_fails))
        return failure_set(failure, REMEDY_RETRY, "poll");
    if (!log->has_joined || log->wants_rebalance)
        rebalance(log);
    for (int p = 0; p < PARTITIONS; p++) {
        struct partition *partition = &log->partitions[p];

        while (partition->reads_from >= 0 && partition->reads_from < partition->count &&
               *count < max) {
            const char *value = partition->values[partition->reads_from];

            records[(*count)++] = (struct record){
                .topic = TOPIC_ALERTS,
                .partition = p,
                .offset = partition->reads_from++,
                .timestamp_ms = 1000,
                .key = VIEW_LITERAL("acme"),
                .value = view_of(value),
            };
        }
    }
    return STATUS_OK;
}

static struct view log_header(void *context, const struct record *record, const char *name)
{
    (void)context;
    (void)record;
    (void)name;
    return (struct view){0};
}

static struct view log_topic_name(void *context, enum topic topic)
{
    (void)context;
    return topic == TOPIC_ALERTS ? VIEW_LITERAL("prefix.alerts") : VIEW_LITERAL("prefix.other");
}

static struct view find_header(const struct outgoing *outgoing, const char *name)
{
    for (uint32_t i = 0; i < outgoing->header_count; i++)
        if (strcmp(outgoing->headers[i].name, name) == 0)
            return outgoing->headers[i].value;
    fail_msg("no header %s", name);
    return (struct view){0};
}

static enum status log_produce(void *context, const struct outgoing *outgoing,
                               struct failure *failure)
{
    struct log_world *log = context;
    struct letter *letter = &log->letters[log->letter_count];

    (void)failure;
    if (happens(log, log->produce_full))
        return STATUS_FULL;
    if (outgoing->topic == TOPIC_NOTIFICATIONS) {
        log->notification_count++;
        return STATUS_OK;
    }
    assert_int_equal(outgoing->topic, TOPIC_DEAD_LETTER);
    assert_true(log->letter_count < LETTERS_MAX);
    letter->partition = atoi(find_header(outgoing, "weir.source.partition").data);
    letter->offset = atoll(find_header(outgoing, "weir.source.offset").data);
    snprintf(letter->code, sizeof(letter->code), "%.*s",
             VIEW_PRINT(find_header(outgoing, "weir.error.code")));
    assert_true(view_is_text(find_header(outgoing, "weir.source.topic"), "prefix.alerts"));
    assert_true(
        view_is_text(outgoing->value, log->partitions[letter->partition].values[letter->offset]));
    log->letter_count++;
    return STATUS_OK;
}

static enum status log_commit_start(void *context, const struct position *positions, uint32_t count,
                                    struct failure *failure)
{
    struct log_world *log = context;

    assert_false(log->is_committing);
    if (happens(log, log->commit_fails))
        return failure_set(failure, REMEDY_RETRY, "commit");
    assert_true(count <= PARTITIONS);
    memcpy(log->pending, positions, count * sizeof(*positions));
    log->pending_count = count;
    log->is_committing = true;
    return STATUS_OK;
}

static enum status log_commit_wait(void *context, int64_t timeout_ms, struct failure *failure)
{
    struct log_world *log = context;

    if (!log->is_committing)
        return STATUS_OK;
    if (timeout_ms == 0 && happens(log, log->commit_waits))
        return STATUS_AGAIN;
    log->is_committing = false;
    if (happens(log, log->commit_fails))
        return failure_set(failure, REMEDY_RETRY, "commit");
    for (uint32_t i = 0; i < log->letter_count; i++)
        log->letters[i].is_flushed = true;
    log->notifications_flushed = log->notification_count;
    for (uint32_t i = 0; i < log->pending_count; i++)
        log->partitions[log->pending[i].partition].committed = log->pending[i].offset;
    return STATUS_OK;
}

static enum status log_abort(void *context, struct failure *failure)
{
    (void)context;
    (void)failure;
    return STATUS_OK;
}

static enum status log_committed(void *context, struct position *positions, uint32_t count,
                                 struct failure *failure)
{
    struct log_world *log = context;

    (void)failure;
    if (happens(log, log->committed_waits))
        return STATUS_AGAIN;
    for (uint32_t i = 0; i < count; i++) {
        int64_t committed = log->partitions[positions[i].partition].committed;

        positions[i].offset = committed < 0 ? POSITION_NONE : committed;
    }
    return STATUS_OK;
}

static enum status log_bounds(void *context, enum topic topic, int32_t partition, int64_t *first,
                              int64_t *next, struct failure *failure)
{
    struct log_world *log = context;

    (void)topic;
    (void)failure;
    *first = 0;
    *next = log->partitions[partition].count;
    return STATUS_OK;
}

static int64_t log_known_end(void *context, enum topic topic, int32_t partition)
{
    struct log_world *log = context;

    (void)topic;
    return log->partitions[partition].count;
}

static const struct transport_door log_door = {
    .subscribe = log_subscribe,
    .resume = log_resume,
    .poll = log_poll,
    .header = log_header,
    .topic_name = log_topic_name,
    .produce = log_produce,
    .commit_start = log_commit_start,
    .commit_wait = log_commit_wait,
    .abort = log_abort,
    .committed = log_committed,
    .bounds = log_bounds,
    .known_end = log_known_end,
};

/* ---- the destination ---- */

struct destination {
    struct log_world *log;
    int64_t stored[PARTITIONS]; /* next offset; what a sink like PostgreSQL keeps */
    bool keeps_positions;
    bool is_open;
    uint32_t delivered[PARTITIONS][RECORDS_MAX];
    bool is_away, is_fenced, notifies;
    int64_t refuses_offset; /* -1: none */
    uint32_t fails, takes_max;
    uint32_t attempts, opens;
    int64_t next[PARTITIONS]; /* confirmed */
};

static enum status destination_open(void *context, struct position *positions, uint32_t count,
                                    struct failure *failure)
{
    struct destination *destination = context;

    destination->attempts++;
    if (destination->is_away || happens(destination->log, destination->fails))
        return failure_set(failure, REMEDY_RETRY, "away");
    destination->opens++;
    destination->is_open = true;
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(positions[i].offset, POSITION_NONE);
        destination->next[positions[i].partition] = POSITION_NONE;
        if (destination->keeps_positions && destination->stored[positions[i].partition] >= 0)
            positions[i].offset = destination->next[positions[i].partition] =
                destination->stored[positions[i].partition];
    }
    return STATUS_OK;
}

static bool has_flushed_letter(const struct log_world *log, const struct record *record)
{
    for (uint32_t i = 0; i < log->letter_count; i++)
        if (log->letters[i].partition == record->partition &&
            log->letters[i].offset == record->offset && log->letters[i].is_flushed)
            return true;
    return false;
}

static void add_notification(struct outbox *outbox)
{
    static const char *const numbers[] = {"event_time", NULL};
    struct result result = {
        .kind = RESULT_NOTIFICATION,
        .id = VIEW_LITERAL("n"),
        .tenant_id = VIEW_LITERAL("acme"),
        .notification = {.alert_id = VIEW_LITERAL("a"), .channel = VIEW_LITERAL("slack")},
    };

    result_mark(&result, numbers);
    outbox_add(outbox, &result);
}

static enum status destination_deliver(void *context, struct delivery_turn *turn,
                                       struct failure *failure)
{
    struct destination *destination = context;

    destination->attempts++;
    assert_true(destination->is_open);
    assert_true(turn->count > 0);
    if (destination->is_fenced) {
        destination->is_fenced = false;
        return failure_set(failure, REMEDY_ROLL_BACK, "fenced");
    }
    if (destination->is_away || happens(destination->log, destination->fails))
        return failure_set(failure, REMEDY_RETRY, "away");
    for (uint32_t i = 0; i < turn->count; i++)
        if (turn->items[i].record.offset == destination->refuses_offset &&
            !item_is_refused(&turn->items[i])) {
            item_refuse(&turn->items[i], "refused-by-test", "", "because");
            return STATUS_AGAIN;
        }
    turn->taken = turn->count < destination->takes_max ? turn->count : destination->takes_max;
    for (uint32_t i = 0; i < turn->taken; i++) {
        const struct delivery_item *item = &turn->items[i];
        int32_t p = item->record.partition;

        if (item_is_refused(item)) {
            assert_null(item->result);
            assert_true(has_flushed_letter(destination->log, &item->record));
        } else {
            assert_non_null(item->result);
        }
        /* In order; where positions are kept, each once. */
        if (destination->keeps_positions)
            assert_int_equal(item->record.offset,
                             destination->stored[p] < 0 ? 0 : destination->stored[p]);
        destination->delivered[p][item->record.offset]++;
        destination->stored[p] = destination->next[p] = item->record.offset + 1;
        if (destination->notifies)
            add_notification(turn->outbox);
    }
    return STATUS_OK;
}

static void destination_confirmed(void *context, struct position *positions, uint32_t count)
{
    struct destination *destination = context;

    for (uint32_t i = 0; i < count; i++)
        positions[i].offset = destination->next[positions[i].partition];
}

static void destination_close(void *context)
{
    struct destination *destination = context;

    destination->is_open = false;
}

static const struct delivery_door destination_door = {
    .open = destination_open,
    .deliver = destination_deliver,
    .confirmed = destination_confirmed,
    .close = destination_close,
};

/* ---- the world ---- */

struct world {
    struct log_world log;
    struct destination destination;
    struct sink_options options;
    struct codec_options codec_options;
    struct codec *codec;
    struct metric_registry *metrics;
    struct clock clock;
    int64_t now_ms;
    struct sink_runner *runner;
};

static int64_t world_ms(void *context)
{
    return *(int64_t *)context;
}

static int64_t world_ns(void *context)
{
    return *(int64_t *)context * 1000000;
}

static const enum topic alert_topics[] = {TOPIC_ALERTS};

static struct sink_setup setup_of(struct world *world)
{
    return (struct sink_setup){
        .options = &world->options,
        .delivery = {&destination_door, &world->destination, "test", alert_topics, 1},
        .transport = {&log_door, &world->log},
        .codec = world->codec,
        .clock = &world->clock,
        .metrics = world->metrics,
        .seed = 1,
    };
}

static struct world *world_open(void)
{
    struct world *world = calloc(1, sizeof(*world));
    struct failure failure = {0};

    assert_non_null(world);
    option_preset(&sink_option_table, &world->options);
    option_preset(&codec_option_table, &world->codec_options);
    world->options.batch_records_max = 10;
    world->now_ms = 1000000;
    world->clock = (struct clock){world_ms, world_ns, &world->now_ms};
    if (codec_create(&world->codec_options, &world->codec, &failure) != STATUS_OK)
        fail_msg("%s", failure.text);
    world->metrics = metric_registry_create();
    world->destination.log = &world->log;
    world->destination.takes_max = UINT32_MAX;
    world->destination.refuses_offset = -1;
    for (int p = 0; p < PARTITIONS; p++) {
        world->log.partitions[p].committed = world->log.partitions[p].reads_from = -1;
        world->destination.stored[p] = world->destination.next[p] = POSITION_NONE;
    }
    struct sink_setup setup = setup_of(world);
    assert_int_equal(sink_runner_open(&setup, &world->runner, &failure), STATUS_OK);
    return world;
}

static void world_close(struct world *world)
{
    sink_runner_close(world->runner);
    codec_destroy(world->codec);
    metric_registry_destroy(world->metrics);
    for (int p = 0; p < PARTITIONS; p++)
        for (uint32_t i = 0; i < world->log.partitions[p].count; i++)
            free(world->log.partitions[p].values[i]);
    free(world);
}

static void append(struct world *world, int32_t p, const char *value)
{
    struct partition *partition = &world->log.partitions[p];

    assert_true(partition->count < RECORDS_MAX);
    partition->values[partition->count++] = strdup(value);
}

static void append_alerts(struct world *world, int32_t p, int count)
{
    struct result alert = make_alert("a", SEVERITY_HIGH, ALERT_OPEN);
    struct byte_writer out;
    struct failure failure = {0};

    for (int i = 0; i < count; i++) {
        byte_writer_init(&out);
        assert_int_equal(codec_encode_result(world->codec, &alert, &out, &failure), STATUS_OK);
        byte_put_u8(&out, 0);
        append(world, p, out.data);
        byte_writer_free(&out);
    }
}

static void turn(struct world *world)
{
    struct failure failure = {0};
    int64_t wait_ms;

    if (sink_runner_turn(world->runner, 0, &wait_ms, &failure) != STATUS_OK)
        fail_msg("%s", failure.text);
    assert_in_range(wait_ms, 0, 100);
    world->now_ms += wait_ms > 0 ? wait_ms : 10;
    /* No commit passes a record that is neither delivered nor a dead letter in the log. */
    for (int p = 0; p < PARTITIONS; p++)
        for (int64_t i = 0; i < world->log.partitions[p].committed; i++)
            assert_true(world->destination.delivered[p][i] > 0);
}

static bool is_settled(const struct world *world)
{
    for (int p = 0; p < PARTITIONS; p++) {
        int64_t committed = world->log.partitions[p].committed;

        if ((committed < 0 ? 0 : committed) != world->log.partitions[p].count)
            return false;
    }
    return true;
}

static void settle(struct world *world)
{
    for (int turns = 0; !is_settled(world); turns++) {
        if (turns > 20000)
            fail_msg("does not settle");
        turn(world);
    }
}

static void check_delivered(const struct world *world, uint32_t most)
{
    for (int p = 0; p < PARTITIONS; p++)
        for (uint32_t i = 0; i < world->log.partitions[p].count; i++)
            assert_in_range(world->destination.delivered[p][i], 1, most);
}

/* ---- tests ---- */

static void records_arrive_and_are_committed(void **state)
{
    struct world *world = world_open();

    (void)state;
    for (int p = 0; p < PARTITIONS; p++)
        append_alerts(world, p, 25);
    settle(world);
    check_delivered(world, 1);
    assert_int_equal(world->log.letter_count, 0);
    sink_runner_drain(world->runner);
    assert_false(world->destination.is_open);
    world_close(world);
}

static void what_cannot_be_read_is_set_aside_first(void **state)
{
    struct world *world = world_open();

    (void)state;
    append_alerts(world, 0, 3);
    append(world, 0, "{\"alert_id\": 5");
    append(world, 0, "rubbish");
    append_alerts(world, 0, 3);
    world->log.commit_waits = 50;
    settle(world);
    check_delivered(world, 1);
    assert_int_equal(world->log.letter_count, 2);
    assert_int_equal(world->log.letters[0].offset, 3);
    assert_int_equal(world->log.letters[1].offset, 4);
    assert_string_equal(world->log.letters[1].code, "unknown-format");
    world_close(world);
}

static void what_is_refused_is_set_aside_before_the_rest_goes_on(void **state)
{
    struct world *world = world_open();

    (void)state;
    world->destination.refuses_offset = 4;
    world->destination.keeps_positions = true;
    append_alerts(world, 0, 8);
    settle(world);
    check_delivered(world, 1);
    assert_int_equal(world->log.letter_count, 1);
    assert_string_equal(world->log.letters[0].code, "refused-by-test");
    world_close(world);
}

static void an_outage_loses_nothing_and_keeps_the_group(void **state)
{
    struct world *world = world_open();
    uint32_t polls, attempts;

    (void)state;
    append_alerts(world, 0, 30);
    append_alerts(world, 1, 30);
    world->destination.is_away = false;
    turn(world);
    world->destination.is_away = true;
    for (int i = 0; i < 200; i++)
        turn(world);
    /* Long after: few attempts, and the group sees us all the time. */
    polls = world->log.polls_with_room;
    attempts = world->destination.attempts;
    int64_t until_ms = world->now_ms + 600000;
    uint32_t turns = 0;
    for (; world->now_ms < until_ms; turns++)
        turn(world);
    assert_int_equal(world->log.polls_with_room - polls, turns);
    assert_in_range(world->destination.attempts - attempts, 5, 15);
    assert_true(metric_value(metric_gauge(world->metrics, "weir_sink_breaker_open",
                                          "1 while the circuit breaker holds calls back.",
                                          "sink=\"test\"")) == 1);
    world->destination.is_away = false;
    settle(world);
    check_delivered(world, 1);
    world_close(world);
}

static void a_slow_destination_takes_what_it_can(void **state)
{
    struct world *world = world_open();

    (void)state;
    world->destination.takes_max = 1;
    for (int p = 0; p < PARTITIONS; p++)
        append_alerts(world, p, 15);
    settle(world);
    check_delivered(world, 1);
    world_close(world);
}

static void notifications_are_in_the_log_before_their_cause_is_committed(void **state)
{
    struct world *world = world_open();

    (void)state;
    world->destination.notifies = true;
    world->log.produce_full = 50;
    append_alerts(world, 0, 40);
    for (int turns = 0; !is_settled(world); turns++) {
        assert_true(turns < 20000);
        turn(world);
        int64_t committed = world->log.partitions[0].committed;
        assert_true(committed <= (int64_t)world->log.notifications_flushed);
    }
    assert_int_equal(world->log.notification_count, 40);
    world_close(world);
}

static void revoked_partitions_are_committed_and_lost_ones_are_not(void **state)
{
    struct world *world = world_open();

    (void)state;
    world->options.commit_interval_ms = 600000;
    append_alerts(world, 0, 5);
    for (int i = 0; i < 6; i++)
        turn(world);
    int64_t before = world->log.partitions[0].committed;
    world->log.wants_rebalance = true;
    turn(world);
    assert_true(before < 5);
    assert_int_equal(world->log.partitions[0].committed, 5);
    append_alerts(world, 0, 5);
    for (int i = 0; i < 6; i++)
        turn(world);
    assert_int_equal(world->destination.delivered[0][9], 1);
    before = world->log.partitions[0].committed;
    world->log.wants_rebalance = world->log.is_loss = true;
    turn(world);
    assert_int_equal(world->log.partitions[0].committed, before);
    world->options.commit_interval_ms = 10;
    world->now_ms += 600000;
    settle(world);
    check_delivered(world, 2);
    world_close(world);
}

static void a_fenced_owner_waits_and_asks_again(void **state)
{
    struct world *world = world_open();

    (void)state;
    world->destination.keeps_positions = true;
    append_alerts(world, 0, 5);
    settle(world);
    world->destination.is_fenced = true;
    append_alerts(world, 0, 5);
    for (int i = 0; i < 5; i++)
        turn(world);
    assert_false(world->destination.is_open);
    assert_int_equal(world->destination.opens, 1);
    /* Somebody else goes on meanwhile. */
    world->destination.stored[0] = 8;
    for (int i = 5; i < 8; i++)
        world->destination.delivered[0][i]++;
    int64_t from_ms = world->now_ms;
    settle(world);
    assert_true(world->now_ms - from_ms >= world->options.takeover_wait_ms - 100);
    check_delivered(world, 1);
    world_close(world);
}

static void a_position_outside_of_the_log_is_corrected(void **state)
{
    struct world *world = world_open();

    (void)state;
    /* The topic was made anew, and is shorter than what the group remembers. */
    world->log.partitions[0].committed = 7;
    append_alerts(world, 0, 2);
    for (int i = 0; i < 10; i++) {
        struct failure failure = {0};
        int64_t wait_ms;

        assert_int_equal(sink_runner_turn(world->runner, 0, &wait_ms, &failure), STATUS_OK);
        world->now_ms += 1000;
    }
    assert_int_equal(world->log.partitions[0].committed, 2);
    check_delivered(world, 1);
    world_close(world);
}

static void whatever_fails_nothing_is_lost(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        struct world *world = world_open();

        world->log.random = seed;
        world->destination.keeps_positions = seed % 2 == 0;
        world->destination.takes_max = seed % 3 == 0 ? 4 : UINT32_MAX;
        world->destination.notifies = seed % 5 == 0;
        world->destination.refuses_offset = (int64_t)(seed % 40);
        for (int turns = 0; turns < 1500; turns++) {
            int32_t p = (int32_t)draw(&world->log.random, PARTITIONS);

            if (turns % 50 == 0) {
                world->log.poll_fails = draw(&world->log.random, 20);
                world->log.produce_full = draw(&world->log.random, 60);
                world->log.commit_fails = draw(&world->log.random, 40);
                world->log.commit_waits = draw(&world->log.random, 80);
                world->log.committed_waits = draw(&world->log.random, 50);
                world->destination.fails = draw(&world->log.random, 50);
                world->destination.is_away = draw(&world->log.random, 4) == 0;
                world->now_ms += draw(&world->log.random, 2) * 60000;
            }
            if (draw(&world->log.random, 10) == 0 &&
                world->log.partitions[p].count < RECORDS_MAX - 2) {
                append_alerts(world, p, 1);
                if (draw(&world->log.random, 8) == 0)
                    append(world, p, "rubbish");
            }
            world->log.wants_rebalance |= draw(&world->log.random, 200) == 0;
            world->log.is_loss = draw(&world->log.random, 2) == 0;
            world->destination.is_fenced |= draw(&world->log.random, 300) == 0;
            turn(world);
        }
        world->log.poll_fails = world->log.produce_full = world->log.commit_fails = 0;
        world->log.commit_waits = world->log.committed_waits = world->destination.fails = 0;
        world->destination.is_away = false;
        settle(world);
        check_delivered(world, world->destination.keeps_positions ? 1 : UINT32_MAX);
        world_close(world);
    }
}

static void it_turns_on_a_thread_of_its_own_and_stops(void **state)
{
    struct world *world = world_open();
    struct failure failure = {0};
    struct byte_writer out;

    (void)state;
    append_alerts(world, 0, 5);
    assert_int_equal(sink_runner_start(world->runner, &failure), STATUS_OK);
    sink_runner_stop(world->runner);
    sink_runner_stop(world->runner);
    assert_false(sink_runner_has_failed(world->runner));
    assert_false(world->destination.is_open);
    byte_writer_init(&out);
    sink_runner_status(world->runner, &out);
    byte_put_u8(&out, 0);
    assert_non_null(strstr(out.data, "\"breaker\":\"closed\""));
    byte_writer_free(&out);
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_arrive_and_are_committed),
        cmocka_unit_test(what_cannot_be_read_is_set_aside_first),
        cmocka_unit_test(what_is_refused_is_set_aside_before_the_rest_goes_on),
        cmocka_unit_test(an_outage_loses_nothing_and_keeps_the_group),
        cmocka_unit_test(a_slow_destination_takes_what_it_can),
        cmocka_unit_test(notifications_are_in_the_log_before_their_cause_is_committed),
        cmocka_unit_test(revoked_partitions_are_committed_and_lost_ones_are_not),
        cmocka_unit_test(a_fenced_owner_waits_and_asks_again),
        cmocka_unit_test(a_position_outside_of_the_log_is_corrected),
        cmocka_unit_test(whatever_fails_nothing_is_lost),
        cmocka_unit_test(it_turns_on_a_thread_of_its_own_and_stops),
    };

    log_set(LOG_OFF, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
