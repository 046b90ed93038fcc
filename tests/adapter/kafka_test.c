/*
 * The transport against a real broker (WEIR_TEST_KAFKA=host:port): what the embedded one
 * cannot show. Transactions void and kept, predecessors fenced, positions that wait for them,
 * and records that come out exactly once however often their worker is killed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <librdkafka/rdkafka.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kafka/topics.h"
#include "unit/kafka/member.h"

enum { RECORDS = 3000 };

/* Topics and a group of its own for every test. */
static void real_world_open(struct world *world)
{
    static int number;
    struct topic_report reports[TOPIC_COUNT];
    struct failure failure = {0};
    const char *address = getenv("WEIR_TEST_KAFKA");

    if (address == NULL) {
        print_message("skipped: WEIR_TEST_KAFKA not set\n");
        skip();
    }
    world_prepare(world);
    world->options.bootstrap_servers = address;
    world->options.topics.prefix =
        arena_print(world->arena, "test-%ld-%d-", (long)getpid(), ++number);
    world->options.group_id = arena_print(world->arena, "%sgroup", world->options.topics.prefix);
    if (topics_create(&world->options, reports, &failure) != STATUS_OK)
        fail_msg("%s", failure.text);
    for (int topic = 0; topic < TOPIC_COUNT; topic++) {
        assert_string_equal(reports[topic].problem, "");
        assert_int_equal(reports[topic].state, TOPIC_STATE_CREATED);
    }
}

static void send_numbers(struct world *world, uint32_t first, uint32_t count)
{
    struct member producer;
    char text[32];

    member_open(&producer, world, KAFKA_SIDE, false, "producer");
    for (uint32_t index = first; index < first + count; index++) {
        snprintf(text, sizeof text, "%u", index);
        for (int32_t partition = 0; partition < PARTITIONS; partition++)
            member_send(&producer, TOPIC_ORDERS, partition, "k", text);
    }
    member_flush(&producer);
    member_close(&producer);
}

/* Read committed: how often each number is in a partition of alerts. */
static uint32_t read_numbers(struct world *world, int32_t partition, uint8_t *seen)
{
    struct member side;
    struct transport_reader *reader;
    struct record records[BATCH_MAX];
    struct failure failure = {0};
    uint32_t total = 0, count;
    enum status status = STATUS_OK;

    member_open(&side, world, KAFKA_SIDE, false, "reader");
    const struct transport_door *door = side.transport.door;
    assert_int_equal(door->reader_open(side.transport.context, TOPIC_ALERTS, partition,
                                       POSITION_BEGINNING, &reader, &failure),
                     STATUS_OK);
    UNTIL(status == STATUS_END, {
        status = door->reader_poll(reader, records, BATCH_MAX, 100, &count, &failure);
        assert_int_not_equal(status, STATUS_BROKEN);
        total += count;
        for (uint32_t index = 0; index < count && seen != NULL; index++) {
            int64_t number = -1;
            assert_true(text_int(records[index].value, &number));
            assert_in_range(number, 0, OFFSETS_MAX - 1);
            seen[number]++;
        }
    });
    door->reader_close(reader);
    member_close(&side);
    return total;
}

static void real_world_close(struct world *world)
{
    arena_destroy(world->arena);
}

/* ---- topics ---- */

static void create_more_partitions(struct world *world, const char *topic, size_t total)
{
    char error[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();

    rd_kafka_conf_set(conf, "bootstrap.servers", world->options.bootstrap_servers, NULL, 0);
    rd_kafka_t *handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(handle);
    rd_kafka_NewPartitions_t *wanted =
        rd_kafka_NewPartitions_new(topic, total, error, sizeof error);
    rd_kafka_CreatePartitions(handle, &wanted, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, PATIENCE_MS);
    assert_non_null(event);
    assert_int_equal(rd_kafka_event_error(event), 0);
    rd_kafka_event_destroy(event);
    rd_kafka_NewPartitions_destroy(wanted);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(handle);
}

static void test_topics_are_made_once_and_looked_at(void **state)
{
    struct world world;
    struct topic_report reports[TOPIC_COUNT];
    struct failure failure = {0};
    struct member member;

    (void)state;
    real_world_open(&world);
    assert_int_equal(topics_create(&world.options, reports, &failure), STATUS_OK);
    for (int topic = 0; topic < TOPIC_COUNT; topic++) {
        const struct topic_info *info = topic_info((enum topic)topic);
        assert_int_equal(reports[topic].state, TOPIC_STATE_PRESENT);
        assert_int_equal(reports[topic].partitions, info->layout == LAYOUT_SINGLE ? 1 : PARTITIONS);
        assert_int_equal(reports[topic].replication_factor, 1);
        assert_int_equal(reports[topic].is_compacted, info->is_compacted);
        if (!info->is_compacted)
            assert_true(reports[topic].retention_ms == 7 * 86400000LL);
        assert_string_equal(reports[topic].problem, "");
    }

    /* Kept for a week: enough for snapshots as rare as that, not for rarer ones. */
    const int64_t week_ms = 7 * 86400000LL;
    assert_int_equal(topics_check(&world.options, week_ms, &failure), STATUS_OK);
    assert_int_equal(topics_check(&world.options, week_ms + 1, &failure), STATUS_BROKEN);
    assert_int_equal(failure.remedy, REMEDY_STOP);
    assert_non_null(strstr(failure.text, "keeps its records for 604800000 ms (retention.ms), but a "
                                         "snapshot is taken every 604800001 ms"));

    /* One input grows alone: both the report and a worker that starts say so. */
    create_more_partitions(&world, reports[TOPIC_AUTH_EVENTS].name, PARTITIONS + 1);
    UNTIL(reports[TOPIC_AUTH_EVENTS].partitions == PARTITIONS + 1,
          assert_int_equal(topics_describe(&world.options, reports, &failure), STATUS_OK));
    assert_non_null(strstr(reports[TOPIC_AUTH_EVENTS].problem, "has 5 partitions"));
    member_open(&member, &world, KAFKA_PROCESSOR, false, "one");
    static const enum topic topics[] = {TOPIC_ORDERS, TOPIC_AUTH_EVENTS};
    const struct transport_listener listener = {
        .context = &member, .on_assigned = member_on_assigned, .on_revoked = member_on_revoked};
    assert_int_equal(
        member.transport.door->subscribe(member.transport.context, topics, 2, &listener, &failure),
        STATUS_BROKEN);
    assert_int_equal(failure.remedy, REMEDY_STOP);
    assert_non_null(strstr(failure.text, "5 partitions"));
    member_close(&member);

    /* A topic that is not there. */
    world.options.topics.prefix = "nobody-made-these-";
    assert_int_equal(topics_describe(&world.options, reports, &failure), STATUS_OK);
    assert_int_equal(reports[TOPIC_ORDERS].state, TOPIC_STATE_MISSING);
    member_open(&member, &world, KAFKA_PROCESSOR, false, "one");
    assert_int_equal(
        member.transport.door->subscribe(member.transport.context, topics, 2, &listener, &failure),
        STATUS_BROKEN);
    assert_int_equal(failure.remedy, REMEDY_STOP);
    assert_non_null(strstr(failure.text, "weir topics create"));
    member_close(&member);
    real_world_close(&world);
}

/* ---- transactions ---- */

static void own_everything(struct member *member)
{
    member_subscribe(member);
    UNTIL(member->is_assigned && member->position_count > 0, member_poll(member, 50, NULL));
    for (uint32_t index = 0; index < member->position_count; index++)
        member->positions[index].offset = 0;
}

static void test_void_transactions_are_never_seen(void **state)
{
    struct world world;
    struct member member;
    struct failure failure = {0};

    (void)state;
    real_world_open(&world);
    member_open(&member, &world, KAFKA_PROCESSOR, true, "one");
    own_everything(&member);
    member_send(&member, TOPIC_ALERTS, 0, "k", "1");
    assert_int_equal(member.transport.door->abort(member.transport.context, &failure), STATUS_OK);
    member_send(&member, TOPIC_ALERTS, 0, "k", "2");
    member_position(&member, TOPIC_ORDERS, 1)->offset = 77;
    member_commit(&member);
    assert_int_equal(member_committed(&member, TOPIC_ORDERS, 1), 77);
    member_send(&member, TOPIC_ALERTS, 0, "k", "3");
    member_position(&member, TOPIC_ORDERS, 1)->offset = 88;
    member_close(&member); /* without a commit: void */

    uint8_t seen[OFFSETS_MAX] = {0};
    assert_int_equal(read_numbers(&world, 0, seen), 1);
    assert_int_equal(seen[2], 1);
    member_open(&member, &world, KAFKA_PROCESSOR, true, "one");
    assert_int_equal(member_committed(&member, TOPIC_ORDERS, 1), 77);
    member_close(&member);
    real_world_close(&world);
}

/* Behind a record is the mark that ends its transaction: nobody waits for that. */
static void test_ends_of_transactions_are_no_lag(void **state)
{
    struct world world;
    struct member member;
    struct failure failure = {0};
    int64_t first, next = 0;

    (void)state;
    real_world_open(&world);
    member_open(&member, &world, KAFKA_PROCESSOR, true, "one");
    const struct transport_door *door = member.transport.door;
    void *context = member.transport.context;
    own_everything(&member);
    member_send(&member, TOPIC_ORDERS, 0, "k", "1");
    member_commit(&member);
    UNTIL(next == 2, {
        assert_int_equal(door->bounds(context, TOPIC_ORDERS, 0, &first, &next, &failure),
                         STATUS_OK);
    });
    UNTIL(door->known_end(context, TOPIC_ORDERS, 0) == 1 && member.received == 1,
          member_poll(&member, 50, NULL));
    /* Read again from the beginning, it is behind until it has. */
    member_position(&member, TOPIC_ORDERS, 0)->offset = 0;
    assert_int_equal(door->resume(context, member.positions, member.position_count, &failure),
                     STATUS_OK);
    assert_int_equal(door->known_end(context, TOPIC_ORDERS, 0), 2);
    UNTIL(door->known_end(context, TOPIC_ORDERS, 0) == 1, member_poll(&member, 50, NULL));
    assert_int_equal(member.received, 2);
    member_close(&member);
    real_world_close(&world);
}

static void test_successor_of_the_same_name_fences(void **state)
{
    struct world world;
    struct member old, new;
    struct failure failure = {0};

    (void)state;
    real_world_open(&world);
    world.options.group_instance_id = "pod-0";
    member_open(&old, &world, KAFKA_PROCESSOR, true, "one");
    own_everything(&old);
    member_send(&old, TOPIC_ALERTS, 0, "k", "1");
    member_open(&new, &world, KAFKA_PROCESSOR, true, "one");
    old.positions[0].offset = 5;
    assert_int_equal(member_try_commit(&old, &failure), STATUS_BROKEN);
    /* Where its record is refused before it is told that it is fenced, the group tells it. */
    if (failure.remedy != REMEDY_ROLL_BACK) {
        assert_int_equal(failure.remedy, REMEDY_STOP);
        assert_non_null(strstr(failure.text, "group.instance.id"));
    }
    member_subscribe(&new);
    UNTIL(new.position_count == 2 * PARTITIONS, member_poll(&new, 50, NULL));
    assert_int_equal(member_committed(&new, TOPIC_ORDERS, 0), POSITION_NONE);
    member_close(&old);
    member_close(&new);
    assert_int_equal(read_numbers(&world, 0, NULL), 0);
    real_world_close(&world);
}

/* A worker that stood still for too long comes back to life with a transaction in hand: its
 * partitions have gone to another, so nothing of it may count. */
static void test_worker_that_stood_still_rolls_back(void **state)
{
    struct world world;
    struct member sleeper, other;
    struct failure failure = {0};

    (void)state;
    real_world_open(&world);
    world_set_property(&world, KAFKA_CONSUMER, "session.timeout.ms", "6000");
    world_set_property(&world, KAFKA_CONSUMER, "max.poll.interval.ms", "6000");
    member_open(&sleeper, &world, KAFKA_PROCESSOR, true, "sleeper");
    own_everything(&sleeper);
    member_send(&sleeper, TOPIC_ALERTS, 0, "k", "1");
    member_open(&other, &world, KAFKA_PROCESSOR, true, "other");
    member_subscribe(&other);
    UNTIL(other.position_count == 2 * PARTITIONS, member_poll(&other, 50, NULL));
    sleeper.positions[0].offset = 500;
    assert_int_equal(member_try_commit(&sleeper, &failure), STATUS_BROKEN);
    assert_int_equal(failure.remedy, REMEDY_ROLL_BACK);
    enum status status = STATUS_BROKEN;
    UNTIL(status == STATUS_OK,
          status = sleeper.transport.door->abort(sleeper.transport.context, &failure));
    for (int32_t partition = 0; partition < PARTITIONS; partition++)
        assert_int_equal(member_committed(&other, TOPIC_ORDERS, partition), POSITION_NONE);
    /* It learns of its loss, and takes part again. */
    UNTIL(sleeper.losses + sleeper.refusals == 1 && sleeper.position_count == PARTITIONS, {
        member_poll(&sleeper, 10, NULL);
        member_poll(&other, 10, NULL);
    });
    member_send(&sleeper, TOPIC_ALERTS, 0, "k", "2");
    for (uint32_t index = 0; index < sleeper.position_count; index++)
        sleeper.positions[index].offset = 1;
    member_commit(&sleeper);
    member_close(&sleeper);
    member_close(&other);
    uint8_t seen[OFFSETS_MAX] = {0};
    assert_int_equal(read_numbers(&world, 0, seen), 1);
    assert_int_equal(seen[2], 1);
    real_world_close(&world);
}

static void test_handing_over_loses_and_repeats_nothing(void **state)
{
    enum { EACH = 4000 };
    static uint8_t seen[PARTITIONS][OFFSETS_MAX];
    struct world world;
    struct member one, two;
    uint32_t total = 0;

    (void)state;
    memset(seen, 0, sizeof seen);
    real_world_open(&world);
    world_set_property(&world, KAFKA_CONSUMER, "heartbeat.interval.ms",
                       "300"); /* learns of rebalances soon */
    send_numbers(&world, 0, EACH);
    for (int round = 0; round < 4; round++) {
        member_open(&one, &world, KAFKA_PROCESSOR, round % 2 == 1, "one");
        member_subscribe(&one);
        UNTIL(one.received >= 500, member_poll(&one, 50, seen));
        member_open(&two, &world, KAFKA_PROCESSOR, round % 2 == 1, "two");
        member_subscribe(&two);
        UNTIL(two.position_count == PARTITIONS && one.position_count == PARTITIONS, {
            member_poll(&two, 1, seen);
            member_poll_some(&one, 1, 1, seen);
        });
        UNTIL(two.received >= 500, member_poll(&two, 1, seen));
        member_commit(&one);
        member_commit(&two);
        assert_int_equal(one.refusals + two.refusals, 0);
        total += one.received + two.received;
        member_close(&two);
        member_close(&one);
    }
    assert_true(total < PARTITIONS * EACH);
    member_open(&one, &world, KAFKA_PROCESSOR, false, "one");
    member_subscribe(&one);
    UNTIL(total + one.received >= PARTITIONS * EACH, member_poll(&one, 50, seen));
    member_close(&one);
    for (int32_t partition = 0; partition < PARTITIONS; partition++)
        for (uint32_t offset = 0; offset < EACH; offset++)
            if (seen[partition][offset] != 1)
                fail_msg("partition %d offset %u seen %u times", (int)partition, offset,
                         seen[partition][offset]);
    real_world_close(&world);
}

/* ---- killed workers ---- */

static void roll_back(struct member *member)
{
    const struct transport_door *door = member->transport.door;
    struct failure failure = {0};
    enum status status = STATUS_BROKEN;

    UNTIL(status == STATUS_OK, status = door->abort(member->transport.context, &failure));
    if (member->position_count == 0)
        return;
    status = STATUS_AGAIN;
    UNTIL(status != STATUS_AGAIN,
          status = door->committed(member->transport.context, member->positions,
                                   member->position_count, &failure));
    assert_int_equal(status, STATUS_OK);
    door->resume(member->transport.context, member->positions, member->position_count, &failure);
}

/* Copies orders to alerts, partition by partition, until it is killed. A pause between a send
 * and its commit makes sure that kills find transactions open. */
static void copy_for_ever(struct world *world)
{
    struct member member;
    struct record records[BATCH_MAX];
    struct failure failure = {0};
    uint32_t count;

    member_open(&member, world, KAFKA_PROCESSOR, true, "copier");
    member_subscribe(&member);
    const struct transport_door *door = member.transport.door;
    void *context = member.transport.context;
    for (;;) {
        if (door->poll(context, records, BATCH_MAX, 20, &count, &failure) != STATUS_OK)
            _exit(1);
        for (uint32_t index = 0; index < count; index++) {
            const struct outgoing copy = {.topic = TOPIC_ALERTS,
                                          .partition = records[index].partition,
                                          .key = records[index].key,
                                          .value = records[index].value};
            if (records[index].topic == TOPIC_ORDERS &&
                door->produce(context, &copy, &failure) != STATUS_OK)
                _exit(2);
            member_position(&member, records[index].topic, records[index].partition)->offset =
                records[index].offset + 1;
        }
        if (count > 0 && member_try_commit(&member, &failure) != STATUS_OK) {
            if (failure.remedy != REMEDY_ROLL_BACK)
                _exit(3);
            roll_back(&member);
        }
    }
}

static pid_t start_copier(struct world *world)
{
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        copy_for_ever(world);
        _exit(0);
    }
    return child;
}

static void stop_copier(pid_t child)
{
    int state;

    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &state, 0), child);
    assert_true(WIFSIGNALED(state)); /* it did not give up before */
}

static void wait_for_copies(struct world *world, uint32_t wanted)
{
    uint32_t total = 0;

    UNTIL(total >= wanted, {
        total = 0;
        for (int32_t partition = 0; partition < PARTITIONS; partition++)
            total += read_numbers(world, partition, NULL);
    });
}

static void copy_under_kills(struct world *world, int kills)
{
    static uint8_t seen[OFFSETS_MAX];
    const uint32_t share = RECORDS / (uint32_t)kills;
    const uint32_t each = share * (uint32_t)kills;
    pid_t child = start_copier(world);

    /* Fed while it runs, so that every life has work; killed as soon as it has shown some. One
     * killed before it is a member would hold the next one up for another session, and so on. */
    for (int number = 0; number < kills; number++) {
        wait_for_copies(world, (uint32_t)number * share * PARTITIONS);
        send_numbers(world, (uint32_t)number * share, share);
        wait_for_copies(world, (uint32_t)number * share * PARTITIONS + 1);
        stop_copier(child);
        child = start_copier(world);
    }
    wait_for_copies(world, each * PARTITIONS);
    stop_copier(child);
    for (int32_t partition = 0; partition < PARTITIONS; partition++) {
        memset(seen, 0, sizeof seen);
        assert_int_equal(read_numbers(world, partition, seen), each);
        for (uint32_t number = 0; number < each; number++)
            assert_int_equal(seen[number], 1);
    }
}

/* A static member comes back to its partitions at once, and ends what it left open. */
static void test_killed_static_worker_is_exact(void **state)
{
    struct world world;

    (void)state;
    real_world_open(&world);
    world.options.group_instance_id = "pod-0";
    copy_under_kills(&world, 10);
    real_world_close(&world);
}

/* A dynamic one leaves a membership and a transaction behind that its successor must wait for:
 * its session, and the time of the transaction until the coordinator looks again. */
static void test_killed_dynamic_worker_is_exact(void **state)
{
    struct world world;

    (void)state;
    real_world_open(&world);
    world_set_property(&world, KAFKA_CONSUMER, "session.timeout.ms", "6000");
    world.options.transaction_timeout_ms = 5000;
    copy_under_kills(&world, 2);
    real_world_close(&world);
}

/* An argument is a pattern of tests to leave out. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_topics_are_made_once_and_looked_at),
        cmocka_unit_test(test_void_transactions_are_never_seen),
        cmocka_unit_test(test_ends_of_transactions_are_no_lag),
        cmocka_unit_test(test_successor_of_the_same_name_fences),
        cmocka_unit_test(test_worker_that_stood_still_rolls_back),
        cmocka_unit_test(test_handing_over_loses_and_repeats_nothing),
        cmocka_unit_test(test_killed_static_worker_is_exact),
        cmocka_unit_test(test_killed_dynamic_worker_is_exact),
    };
    if (argc > 1)
        cmocka_set_skip_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
