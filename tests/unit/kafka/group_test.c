/* A group over the embedded broker: who reads what, from where, through rebalances. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "base/hash.h"
#include "unit/kafka/member.h"
#include "unit/kafka/side_by_side.h"

/* Of Kafka's protocol (protocol guide, "API keys", "Error codes"). */
enum {
    REQUEST_LIST_OFFSETS = 2,
    REQUEST_HEARTBEAT = 12,
    ERROR_NOT_LEADER = 6,
    ERROR_FENCED_INSTANCE_ID = 82,
};

static void send_numbers(struct world *world, uint32_t count)
{
    struct member producer;
    char text[32];

    member_open(&producer, world, KAFKA_SIDE, false, "producer");
    for (uint32_t index = 0; index < count; index++) {
        snprintf(text, sizeof text, "%u", index);
        for (int32_t partition = 0; partition < PARTITIONS; partition++)
            member_send(&producer, TOPIC_ORDERS, partition, "k", text);
    }
    member_flush(&producer);
    member_close(&producer);
}

static void check_all_seen_once(uint8_t (*seen)[OFFSETS_MAX], uint32_t count)
{
    for (int32_t partition = 0; partition < PARTITIONS; partition++)
        for (uint32_t offset = 0; offset < count; offset++)
            if (seen[partition][offset] != 1)
                fail_msg("partition %d offset %u seen %u times", (int)partition, offset,
                         seen[partition][offset]);
}

static uint32_t count_seen(uint8_t (*seen)[OFFSETS_MAX])
{
    uint32_t total = 0;

    for (int32_t partition = 0; partition < PARTITIONS; partition++)
        for (uint32_t offset = 0; offset < OFFSETS_MAX; offset++)
            total += seen[partition][offset];
    return total;
}

static void test_member_reads_all_and_resumes_from_its_commit(void **state)
{
    static uint8_t seen[PARTITIONS][OFFSETS_MAX];
    struct world world;
    struct member member;

    (void)state;
    memset(seen, 0, sizeof seen);
    world_open(&world);
    send_numbers(&world, 100);
    member_open(&member, &world, KAFKA_PROCESSOR, false, "one");
    member_subscribe(&member);
    UNTIL(member.received >= 200, member_poll(&member, 50, seen));
    member_commit(&member);
    member_close(&member);

    /* What came after the commit is not lost, what came before is not repeated. */
    memset(&member.received, 0, sizeof member.received);
    uint32_t before = count_seen(seen);
    member_open(&member, &world, KAFKA_PROCESSOR, false, "two");
    member_subscribe(&member);
    UNTIL(member.received >= 4 * 100 - before, member_poll(&member, 50, seen));
    check_all_seen_once(seen, 100);
    assert_int_equal(member.assignments, 1);
    member_close(&member);
    world_close(&world);
}

static void test_nothing_flows_before_resume(void **state)
{
    static uint8_t seen[PARTITIONS][OFFSETS_MAX];
    struct world world;
    struct member member;
    struct failure failure;

    (void)state;
    memset(seen, 0, sizeof seen);
    world_open(&world);
    send_numbers(&world, 50);
    member_open(&member, &world, KAFKA_PROCESSOR, false, "one");
    const struct transport_door *door = member.transport.door;
    void *context = member.transport.context;
    member.is_holding = true;
    member_subscribe(&member);
    UNTIL(member.is_assigned, member_poll(&member, 50, seen));
    assert_int_equal(member.position_count, 2 * PARTITIONS);
    for (int turn = 0; turn < 10; turn++)
        member_poll(&member, 20, seen);
    assert_int_equal(member.received, 0);

    /* One partition, from the middle. */
    struct position set[2] = {{TOPIC_ORDERS, 1, 30}, {TOPIC_ORDERS, 2, POSITION_BEGINNING}};
    assert_int_equal(door->resume(context, set, 1, &failure), STATUS_OK);
    UNTIL(member.received >= 20, member_poll(&member, 50, seen));
    for (int turn = 0; turn < 5; turn++)
        member_poll(&member, 20, seen);
    assert_int_equal(member.received, 20);
    assert_int_equal(seen[1][29], 0);
    assert_int_equal(seen[1][30], 1);

    /* A second joins; the first goes on where it is and repeats nothing. */
    set[0].offset = 50;
    assert_int_equal(door->resume(context, set, 2, &failure), STATUS_OK);
    UNTIL(member.received >= 70, member_poll(&member, 50, seen));
    assert_int_equal(member.received, 70);
    assert_int_equal(seen[2][0], 1);
    assert_int_equal(seen[2][49], 1);

    /* Back in time for one, out for the other. */
    set[0].offset = 40;
    member_position(&member, TOPIC_ORDERS, 1)->offset = 40;
    assert_int_equal(door->resume(context, set, 1, &failure), STATUS_OK);
    UNTIL(member.received >= 80, member_poll(&member, 50, seen));
    assert_int_equal(seen[1][40], 2);
    assert_int_equal(seen[1][39], 1);
    member_close(&member);
    world_close(&world);
}

static bool is_all_seen(uint8_t (*seen)[OFFSETS_MAX], uint32_t count)
{
    for (int32_t partition = 0; partition < PARTITIONS; partition++)
        for (uint32_t offset = 0; offset < count; offset++)
            if (seen[partition][offset] == 0)
                return false;
    return true;
}

/* The trap of librdkafka 2.0.2: records of a revoked partition that sit in the batch. Two
 * members hand partitions over while thousands of records are fetched and not yet polled.
 * (Nothing is repeated either with a broker that takes positions during a rebalance; that is
 * the adapter test's to show.) */
static void test_handing_over_loses_nothing(void **state)
{
    enum { EACH = 1500 };
    static uint8_t seen[PARTITIONS][OFFSETS_MAX];
    struct world world;
    struct member one, two;

    (void)state;
    memset(seen, 0, sizeof seen);
    world_open(&world);
    send_numbers(&world, EACH);
    member_open(&one, &world, KAFKA_PROCESSOR, false, "one");
    member_subscribe(&one);
    UNTIL(one.received >= 300, member_poll(&one, 50, seen));

    /* Few at a time, so that plenty is fetched and waiting when the revocation comes. */
    member_open(&two, &world, KAFKA_PROCESSOR, false, "two");
    member_subscribe(&two);
    UNTIL(two.position_count == PARTITIONS && one.position_count == PARTITIONS, {
        member_poll(&two, 1, seen);
        if (one.revocations > 0 || one.received < 4000)
            member_poll_some(&one, 8, 1, seen);
        else
            member_poll_some(&one, 1, 20, seen);
    });
    /* How many rounds that takes is the embedded broker's doing: it refuses the SyncGroup of a
     * follower that comes after the leader's, which must then join again. In each round, what was
     * given is taken back before more is given. */
    assert_true(one.revocations > 0);
    assert_int_equal(one.assignments, one.revocations + 1);
    assert_int_equal(two.assignments, two.revocations + 1);
    UNTIL(is_all_seen(seen, EACH), {
        member_poll(&one, 1, seen);
        member_poll(&two, 1, seen);
    });

    /* And back: the other leaves. */
    member_commit(&two);
    member_close(&two);
    UNTIL(one.position_count == 2 * PARTITIONS, member_poll(&one, 1, seen));
    send_numbers(&world, 10);
    UNTIL(is_all_seen(seen, EACH + 10), member_poll(&one, 1, seen));
    member_close(&one);
    world_close(&world);
}

/* Partition p of every input is on one member. */
static void test_inputs_are_co_partitioned(void **state)
{
    struct world world;
    struct member one, two;

    (void)state;
    world_open(&world);
    member_open(&one, &world, KAFKA_PROCESSOR, false, "one");
    member_open(&two, &world, KAFKA_PROCESSOR, false, "two");
    member_subscribe(&one);
    member_subscribe(&two);
    UNTIL(one.position_count == PARTITIONS && two.position_count == PARTITIONS, {
        member_poll(&one, 10, NULL);
        member_poll(&two, 10, NULL);
    });
    for (int32_t partition = 0; partition < PARTITIONS; partition++)
        assert_true((member_position(&one, TOPIC_ORDERS, partition) != NULL) ==
                    (member_position(&one, TOPIC_AUTH_EVENTS, partition) != NULL));
    member_close(&one);
    member_close(&two);
    world_close(&world);
}

static void test_key_decides_the_partition_as_in_java(void **state)
{
    struct world world;
    struct member member;
    struct record records[BATCH_MAX];
    struct failure failure;
    uint32_t total = 0;

    (void)state;
    world_open(&world);
    member_open(&member, &world, KAFKA_SIDE, false, "producer");
    const struct transport_door *door = member.transport.door;
    for (int index = 0; index < 40; index++) {
        char key[32];
        snprintf(key, sizeof key, "tenant-%d", index);
        member_send(&member, TOPIC_ALERTS, -1, key, "x");
    }
    member_flush(&member);
    for (int32_t partition = 0; partition < PARTITIONS; partition++) {
        struct transport_reader *reader;
        enum status status = STATUS_OK;
        uint32_t count;
        assert_int_equal(door->reader_open(member.transport.context, TOPIC_ALERTS, partition,
                                           POSITION_BEGINNING, &reader, &failure),
                         STATUS_OK);
        UNTIL(status == STATUS_END, {
            status = door->reader_poll(reader, records, BATCH_MAX, 100, &count, &failure);
            for (uint32_t index = 0; index < count; index++)
                assert_int_equal(hash_partition(records[index].key, PARTITIONS), partition);
            total += count;
        });
        door->reader_close(reader);
    }
    assert_int_equal(total, 40);
    member_close(&member);
    world_close(&world);
}

static void test_known_end_and_bounds(void **state)
{
    struct world world;
    struct member member;
    struct failure failure;
    int64_t first, next;
    int32_t count;

    (void)state;
    world_open(&world);
    send_numbers(&world, 25);
    member_open(&member, &world, KAFKA_PROCESSOR, false, "one");
    const struct transport_door *door = member.transport.door;
    void *context = member.transport.context;
    assert_int_equal(door->known_end(context, TOPIC_ORDERS, 0), -1);
    assert_int_equal(door->partition_count(context, TOPIC_ORDERS, &count, &failure), STATUS_OK);
    assert_int_equal(count, PARTITIONS);
    assert_int_equal(door->bounds(context, TOPIC_ORDERS, 3, &first, &next, &failure), STATUS_OK);
    assert_int_equal(first, 0);
    assert_int_equal(next, 25);
    member_subscribe(&member);
    UNTIL(member.received >= 100, member_poll(&member, 50, NULL));
    assert_int_equal(door->known_end(context, TOPIC_ORDERS, 0), 25);
    member_close(&member);
    world_close(&world);
}

/* Two brokers: the leader of a partition that nobody here reads goes to the other one. */
static void test_bounds_follow_the_leader(void **state)
{
    struct world world;
    struct member member;
    struct failure failure;
    int64_t first, next;

    (void)state;
    world_prepare(&world);
    rd_kafka_t *carrier = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), NULL, 0);
    rd_kafka_mock_cluster_t *cluster = rd_kafka_mock_cluster_new(carrier, 2);
    rd_kafka_mock_topic_create(cluster, "weir.snapshots", PARTITIONS, 2);
    rd_kafka_mock_partition_set_leader(cluster, "weir.snapshots", 1, 1);
    kafka_options_embed(&world.options, rd_kafka_mock_cluster_bootstraps(cluster), world.arena);
    member_open(&member, &world, KAFKA_SIDE, false, "side");
    const struct transport_door *door = member.transport.door;
    void *context = member.transport.context;
    assert_int_equal(door->bounds(context, TOPIC_SNAPSHOTS, 1, &first, &next, &failure), STATUS_OK);
    rd_kafka_mock_partition_set_leader(cluster, "weir.snapshots", 1, 2);
    UNTIL(door->bounds(context, TOPIC_SNAPSHOTS, 1, &first, &next, &failure) == STATUS_OK, (void)0);
    member_close(&member);
    rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(carrier);
    arena_destroy(world.arena);
}

/* An offset that the log does not have: behind its end stops, with the numbers. */
static void test_position_beyond_the_log_stops(void **state)
{
    struct world world;
    struct member member;
    struct failure failure = {0};
    struct record records[BATCH_MAX];
    uint32_t count;
    enum status status = STATUS_OK;

    (void)state;
    world_open(&world);
    send_numbers(&world, 5);
    member_open(&member, &world, KAFKA_PROCESSOR, false, "one");
    const struct transport_door *door = member.transport.door;
    member.is_holding = true;
    member_subscribe(&member);
    UNTIL(member.is_assigned, member_poll(&member, 50, NULL));
    const struct position beyond = {TOPIC_ORDERS, 0, 1000};
    assert_int_equal(door->resume(member.transport.context, &beyond, 1, &failure), STATUS_OK);
    UNTIL(status != STATUS_OK,
          status = door->poll(member.transport.context, records, BATCH_MAX, 50, &count, &failure));
    assert_int_equal(status, STATUS_BROKEN);
    assert_int_equal(failure.remedy, REMEDY_STOP);
    assert_non_null(strstr(failure.text, "ends at offset 5 but we have read up to 1000"));
    member_close(&member);
    world_close(&world);
}

/* A reader behind the end of the log goes on at its end, even if the question where that is
 * fails at first. */
static void test_reader_beyond_the_log_goes_on(void **state)
{
    struct world world;
    struct member member;
    struct transport_reader *reader;
    struct record records[BATCH_MAX];
    struct failure failure = {0};
    uint32_t count;
    enum status status = STATUS_OK;

    (void)state;
    world_open(&world);
    send_numbers(&world, 5);
    member_open(&member, &world, KAFKA_SIDE, false, "side");
    const struct transport_door *door = member.transport.door;
    broker_fail_requests(world.broker, REQUEST_LIST_OFFSETS, ERROR_NOT_LEADER, 2);
    assert_int_equal(
        door->reader_open(member.transport.context, TOPIC_ORDERS, 0, 1000, &reader, &failure),
        STATUS_OK);
    UNTIL(status == STATUS_BROKEN,
          status = door->reader_poll(reader, records, BATCH_MAX, 50, &count, &failure));
    assert_int_equal(failure.remedy, REMEDY_RETRY);
    UNTIL(status == STATUS_END,
          status = door->reader_poll(reader, records, BATCH_MAX, 50, &count, &failure));
    send_numbers(&world, 1);
    UNTIL(status == STATUS_OK && count > 0,
          status = door->reader_poll(reader, records, BATCH_MAX, 50, &count, &failure));
    assert_int_equal(records[0].offset, 5);
    door->reader_close(reader);
    member_close(&member);
    world_close(&world);
}

static enum status poll_door(struct member *member, struct failure *failure)
{
    struct record records[BATCH_MAX];
    uint32_t count;

    return member->transport.door->poll(member->transport.context, records, BATCH_MAX, 50, &count,
                                        failure);
}

/* A static member that was cut off is fenced by its own ghost, and goes on. */
static void test_fenced_after_an_outage_comes_back(void **state)
{
    static uint8_t seen[PARTITIONS][OFFSETS_MAX];
    struct world world;
    struct member member;
    struct failure failure = {0};

    (void)state;
    memset(seen, 0, sizeof seen);
    world_open(&world);
    world.options.group_instance_id = "pod-0";
    send_numbers(&world, 100);
    member_open(&member, &world, KAFKA_PROCESSOR, false, "one");
    member_subscribe(&member);
    UNTIL(member.received >= 400, member_poll(&member, 50, seen));
    member_commit(&member);
    broker_set_away(world.broker, true);
    const int64_t away_ms = now_ms();
    UNTIL(now_ms() - away_ms > 1500, member_poll(&member, 50, seen));
    broker_fail_requests(world.broker, REQUEST_HEARTBEAT, ERROR_FENCED_INSTANCE_ID, 1);
    broker_set_away(world.broker, false);
    UNTIL(member.losses == 1, assert_int_equal(poll_door(&member, &failure), STATUS_OK));
    send_numbers(&world, 50);
    UNTIL(member.received >= 600, member_poll(&member, 50, seen));
    assert_int_equal(member.assignments, 2);
    assert_int_equal(member.revocations, 1);
    check_all_seen_once(seen, 150);
    member_commit(&member);
    member_close(&member);
    world_close(&world);
}

/* Without an outage somebody else has its name. */
static void test_fenced_by_another_stops(void **state)
{
    struct world world;
    struct member member;
    struct failure failure = {0};
    enum status status = STATUS_OK;

    (void)state;
    world_open(&world);
    world.options.group_instance_id = "pod-0";
    member_open(&member, &world, KAFKA_PROCESSOR, false, "one");
    member_subscribe(&member);
    UNTIL(member.is_assigned, member_poll(&member, 50, NULL));
    broker_fail_requests(world.broker, REQUEST_HEARTBEAT, ERROR_FENCED_INSTANCE_ID, 1);
    UNTIL(status != STATUS_OK, status = poll_door(&member, &failure));
    assert_int_equal(status, STATUS_BROKEN);
    assert_int_equal(failure.remedy, REMEDY_STOP);
    assert_non_null(strstr(failure.text, "group.instance.id"));
    member_close(&member);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_member_reads_all_and_resumes_from_its_commit),
        cmocka_unit_test(test_nothing_flows_before_resume),
        cmocka_unit_test(test_handing_over_loses_nothing),
        cmocka_unit_test(test_inputs_are_co_partitioned),
        cmocka_unit_test(test_key_decides_the_partition_as_in_java),
        cmocka_unit_test(test_known_end_and_bounds),
        cmocka_unit_test(test_fenced_after_an_outage_comes_back),
        cmocka_unit_test(test_fenced_by_another_stops),
        cmocka_unit_test(test_bounds_follow_the_leader),
        cmocka_unit_test(test_position_beyond_the_log_stops),
        cmocka_unit_test(test_reader_beyond_the_log_goes_on),
    };
    return run_side_by_side(tests, sizeof tests / sizeof tests[0]);
}
