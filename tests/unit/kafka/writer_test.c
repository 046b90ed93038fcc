/* Producing and committing over the embedded broker, with the errors that a broker gives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/kafka/member.h"
#include "unit/kafka/side_by_side.h"

/* Request numbers and errors of Kafka's protocol (protocol guide, "API keys", "Error codes"). */
enum {
    REQUEST_PRODUCE = 0,
    REQUEST_OFFSET_COMMIT = 8,
    REQUEST_END_TXN = 26,
    REQUEST_TXN_OFFSET_COMMIT = 28,
    REQUEST_INIT_PRODUCER_ID = 22,
    ERROR_MESSAGE_TOO_LARGE = 10,
    ERROR_COORDINATOR_LOADING = 14,
    ERROR_ILLEGAL_GENERATION = 22,
    ERROR_INVALID_PRODUCER_EPOCH = 47,
    ERROR_TRANSACTIONAL_ID_DENIED = 53,
    ERROR_PRODUCER_FENCED = 90,
};

static void own_everything(struct member *member)
{
    member_subscribe(member);
    UNTIL(member->is_assigned, member_poll(member, 50, NULL));
    for (uint32_t index = 0; index < member->position_count; index++)
        member->positions[index].offset = 0;
}

static uint32_t count_records(struct member *member, enum topic topic, int32_t partition)
{
    const struct transport_door *door = member->transport.door;
    struct transport_reader *reader;
    struct record records[BATCH_MAX];
    struct failure failure;
    uint32_t total = 0, count;
    enum status status = STATUS_OK;

    assert_int_equal(door->reader_open(member->transport.context, topic, partition,
                                       POSITION_BEGINNING, &reader, &failure),
                     STATUS_OK);
    UNTIL(status == STATUS_END, {
        status = door->reader_poll(reader, records, BATCH_MAX, 100, &count, &failure);
        total += count;
    });
    door->reader_close(reader);
    return total;
}

static void test_positions_wait_for_deliveries(void **state)
{
    struct world world;
    struct member member;
    struct failure failure = {0};
    uint32_t turns = 0;

    (void)state;
    world_open(&world);
    member_open(&member, &world, KAFKA_PROCESSOR, false, "one");
    const struct transport_door *door = member.transport.door;
    void *context = member.transport.context;
    own_everything(&member);
    assert_int_equal(member_committed(&member, TOPIC_ORDERS, 0), POSITION_NONE);
    member_send(&member, TOPIC_ALERTS, 0, "k", "first");
    member_flush(&member);

    /* The broker goes away: the commit waits, neither fails nor gets ahead. */
    broker_set_away(world.broker, true);
    for (int index = 0; index < 100; index++)
        member_send(&member, TOPIC_ALERTS, 0, "k", "later");
    member.positions[0].offset = 7;
    assert_int_equal(door->commit_start(context, member.positions, 1, &failure), STATUS_OK);
    assert_int_equal(door->commit_start(context, member.positions, 1, &failure), STATUS_AGAIN);
    for (; turns < 10; turns++)
        assert_int_equal(door->commit_wait(context, 50, &failure), STATUS_AGAIN);
    /* Records of the next interval are taken meanwhile. */
    member_send(&member, TOPIC_ALERTS, 0, "k", "next");
    broker_set_away(world.broker, false);
    enum status status = STATUS_AGAIN;
    UNTIL(status != STATUS_AGAIN, status = door->commit_wait(context, 50, &failure));
    if (status != STATUS_OK)
        fail_msg("%s", failure.text);
    assert_int_equal(
        member_committed(&member, member.positions[0].topic, member.positions[0].partition), 7);
    member_flush(&member);
    assert_int_equal(count_records(&member, TOPIC_ALERTS, 0), 102);
    member_close(&member);
    world_close(&world);
}

/* The coordinator may be away for as long as it likes: whoever goes back does not wait for it. */
static void test_commit_under_way_is_let_go(void **state)
{
    struct world world;
    struct member member;
    struct failure failure = {0};
    enum status status = STATUS_AGAIN;

    (void)state;
    world_open(&world);
    member_open(&member, &world, KAFKA_PROCESSOR, false, "one");
    const struct transport_door *door = member.transport.door;
    void *context = member.transport.context;
    own_everything(&member);
    member_send(&member, TOPIC_ALERTS, 0, "k", "before");
    member_flush(&member);
    broker_set_away(world.broker, true);
    assert_int_equal(door->commit_start(context, member.positions, 1, &failure), STATUS_OK);
    for (int turn = 0; turn < 5; turn++)
        assert_int_equal(door->commit_wait(context, 20, &failure), STATUS_AGAIN);
    assert_int_equal(door->abort(context, &failure), STATUS_OK);
    assert_int_equal(door->commit_start(context, NULL, 0, &failure), STATUS_OK);
    assert_int_equal(door->commit_wait(context, 20, &failure), STATUS_OK);

    /* A record under way is still waited for. */
    member_send(&member, TOPIC_ALERTS, 0, "k", "meanwhile");
    assert_int_equal(door->commit_start(context, member.positions, 1, &failure), STATUS_OK);
    assert_int_equal(door->commit_wait(context, 20, &failure), STATUS_AGAIN);
    assert_int_equal(door->abort(context, &failure), STATUS_OK);
    assert_int_equal(door->commit_start(context, NULL, 0, &failure), STATUS_AGAIN);
    broker_set_away(world.broker, false);
    UNTIL(status != STATUS_AGAIN, {
        member_poll(&member, 20, NULL);
        status = door->commit_start(context, NULL, 0, &failure);
    });
    assert_int_equal(status, STATUS_OK);
    UNTIL((status = door->commit_wait(context, 20, &failure)) != STATUS_AGAIN, (void)0);
    assert_int_equal(status, STATUS_OK);
    assert_int_equal(count_records(&member, TOPIC_ALERTS, 0), 2);
    member_close(&member);
    world_close(&world);
}

static void test_commit_of_a_past_generation_is_void(void **state)
{
    struct world world;
    struct member member;
    struct failure failure = {0};

    (void)state;
    world_open(&world);
    member_open(&member, &world, KAFKA_PROCESSOR, false, "one");
    own_everything(&member);
    broker_fail_requests(world.broker, REQUEST_OFFSET_COMMIT, ERROR_ILLEGAL_GENERATION, 1);
    assert_int_equal(member_try_commit(&member, &failure), STATUS_BROKEN);
    assert_int_equal(failure.remedy, REMEDY_ROLL_BACK);
    member_close(&member);
    world_close(&world);
}

static void test_record_that_the_broker_refuses_stops(void **state)
{
    struct world world;
    struct member member;
    struct failure failure = {0};

    (void)state;
    world_open(&world);
    member_open(&member, &world, KAFKA_PROCESSOR, false, "one");
    own_everything(&member);
    broker_fail_requests(world.broker, REQUEST_PRODUCE, ERROR_MESSAGE_TOO_LARGE, 1);
    member_send(&member, TOPIC_ALERTS, 0, "k", "v");
    member.positions[0].offset = 9;
    assert_int_equal(member_try_commit(&member, &failure), STATUS_BROKEN);
    assert_int_equal(failure.remedy, REMEDY_STOP);
    assert_non_null(strstr(failure.text, "alerts"));
    /* What stands behind it stays uncommitted, now and later. */
    assert_int_equal(member_try_commit(&member, &failure), STATUS_BROKEN);
    assert_int_equal(
        member_committed(&member, member.positions[0].topic, member.positions[0].partition),
        POSITION_NONE);
    member_close(&member);
    world_close(&world);
}

static void test_too_large_a_record_is_set_aside(void **state)
{
    enum { BYTES = 3 << 20 };
    struct world world;
    struct member member;
    struct failure failure = {0};
    char *large = calloc(1, BYTES);

    (void)state;
    world_open(&world);
    member_open(&member, &world, KAFKA_SIDE, false, "one");
    const struct outgoing outgoing = {
        .topic = TOPIC_DEAD_LETTER, .partition = -1, .value = {large, BYTES}};
    assert_int_equal(member.transport.door->produce(member.transport.context, &outgoing, &failure),
                     STATUS_BROKEN);
    assert_int_equal(failure.remedy, REMEDY_SET_ASIDE);
    member_close(&member);
    world_close(&world);
    free(large);
}

static void test_missing_topic_names_the_remedy(void **state)
{
    struct world world;
    struct member member;
    struct failure failure = {0};
    const struct outgoing outgoing = {.topic = TOPIC_ALERTS, .partition = 99};

    (void)state;
    world_open(&world);
    member_open(&member, &world, KAFKA_SIDE, false, "one");
    assert_int_equal(member.transport.door->produce(member.transport.context, &outgoing, &failure),
                     STATUS_BROKEN);
    assert_int_equal(failure.remedy, REMEDY_STOP);
    assert_non_null(strstr(failure.text, "weir topics create"));
    member_close(&member);
    world_close(&world);
}

static void test_headers_go_there_and_back(void **state)
{
    static const struct header sent[] = {
        {"one", {"1", 1}}, {"empty", {"", 0}}, {"null", {NULL, 0}}};
    struct header header;
    struct world world;
    struct member member;
    struct failure failure = {0};
    struct record record;
    struct transport_reader *reader;
    uint32_t count = 0;

    (void)state;
    world_open(&world);
    member_open(&member, &world, KAFKA_SIDE, false, "one");
    const struct transport_door *door = member.transport.door;
    void *context = member.transport.context;
    struct outgoing outgoing = {.topic = TOPIC_ORDERS,
                                .partition = 0,
                                .key = {NULL, 0},
                                .value = {"", 0},
                                .headers = sent,
                                .header_count = 3,
                                .timestamp_ms = 1234567890123};
    assert_int_equal(door->produce(context, &outgoing, &failure), STATUS_OK);
    assert_int_equal(
        door->reader_open(context, TOPIC_ORDERS, 0, POSITION_BEGINNING, &reader, &failure),
        STATUS_OK);
    UNTIL(count == 1, door->reader_poll(reader, &record, 1, 100, &count, &failure));
    assert_null(record.key.data);
    assert_non_null(record.value.data);
    assert_int_equal(record.value.size, 0);
    assert_true(record.timestamp_ms == 1234567890123);

    for (uint32_t index = 0; index < 3; index++) {
        assert_true(door->header_at(context, &record, index, &header));
        assert_string_equal(header.name, sent[index].name);
        assert_true(view_is_equal(header.value, sent[index].value));
        assert_int_equal(view_is_absent(header.value), view_is_absent(sent[index].value));
    }
    assert_false(door->header_at(context, &record, 3, &header));
    assert_true(view_is_text(door->header(context, &record, "one"), "1"));
    assert_true(view_is_absent(door->header(context, &record, "missing")));
    door->reader_close(reader);
    member_close(&member);
    world_close(&world);
}

/* ---- transactions, with the errors of their coordinator ---- */

static void test_transaction_commits_beside_polling(void **state)
{
    struct world world;
    struct member member;
    struct failure failure = {0};
    const struct outgoing outgoing = {.topic = TOPIC_ALERTS, .partition = 0, .value = {"v", 1}};

    (void)state;
    world_open(&world);
    member_open(&member, &world, KAFKA_PROCESSOR, true, "one");
    const struct transport_door *door = member.transport.door;
    void *context = member.transport.context;
    own_everything(&member);
    /* Nothing produced and nothing to commit: no transaction at all. */
    assert_int_equal(door->commit_start(context, NULL, 0, &failure), STATUS_OK);
    assert_int_equal(door->commit_wait(context, 0, &failure), STATUS_OK);
    for (int round = 0; round < 20; round++) {
        enum status status = STATUS_AGAIN;
        member_send(&member, TOPIC_ALERTS, 0, "k", "v");
        assert_int_equal(
            door->commit_start(context, member.positions, member.position_count, &failure),
            STATUS_OK);
        assert_int_equal(door->produce(context, &outgoing, &failure), STATUS_AGAIN);
        UNTIL(status != STATUS_AGAIN, {
            member_poll(&member, 0, NULL);
            status = door->commit_wait(context, 1, &failure);
        });
        if (status != STATUS_OK)
            fail_msg("%s", failure.text);
    }
    assert_int_equal(count_records(&member, TOPIC_ALERTS, 0), 20);
    member_close(&member);
    world_close(&world);
}

static void test_loading_coordinator_is_asked_again(void **state)
{
    struct world world;
    struct member member;

    (void)state;
    world_open(&world);
    member_open(&member, &world, KAFKA_PROCESSOR, true, "one");
    own_everything(&member);
    member_send(&member, TOPIC_ALERTS, 0, "k", "v");
    broker_fail_requests(world.broker, REQUEST_TXN_OFFSET_COMMIT, ERROR_COORDINATOR_LOADING, 3);
    broker_fail_requests(world.broker, REQUEST_END_TXN, ERROR_COORDINATOR_LOADING, 3);
    member_commit(&member);
    member_close(&member);
    world_close(&world);
}

/* What a group answers to one who has been thrown out of it: void, and then as before. */
static void test_transaction_of_a_past_generation_rolls_back(void **state)
{
    struct world world;
    struct member member;
    struct failure failure = {0};
    const struct outgoing outgoing = {.topic = TOPIC_ALERTS, .partition = 0, .value = {"v", 1}};

    (void)state;
    world_open(&world);
    member_open(&member, &world, KAFKA_PROCESSOR, true, "one");
    const struct transport_door *door = member.transport.door;
    void *context = member.transport.context;
    own_everything(&member);
    member_send(&member, TOPIC_ALERTS, 0, "k", "v");
    broker_fail_requests(world.broker, REQUEST_TXN_OFFSET_COMMIT, ERROR_ILLEGAL_GENERATION, 1);
    assert_int_equal(member_try_commit(&member, &failure), STATUS_BROKEN);
    assert_int_equal(failure.remedy, REMEDY_ROLL_BACK);
    /* Nothing goes in before it is voided. */
    assert_int_equal(door->produce(context, &outgoing, &failure), STATUS_BROKEN);
    assert_int_equal(failure.remedy, REMEDY_ROLL_BACK);
    assert_int_equal(door->abort(context, &failure), STATUS_OK);
    assert_int_equal(door->abort(context, &failure), STATUS_OK);
    member_send(&member, TOPIC_ALERTS, 0, "k", "v");
    member_commit(&member);
    member_close(&member);
    world_close(&world);
}

static void test_refused_record_in_a_transaction_stops(void **state)
{
    struct world world;
    struct member member;
    struct failure failure = {0};

    (void)state;
    world_open(&world);
    member_open(&member, &world, KAFKA_PROCESSOR, true, "one");
    own_everything(&member);
    broker_fail_requests(world.broker, REQUEST_PRODUCE, ERROR_MESSAGE_TOO_LARGE, 1);
    member_send(&member, TOPIC_ALERTS, 0, "k", "v");
    assert_int_equal(member_try_commit(&member, &failure), STATUS_BROKEN);
    /* Done again it would end the same way. The refusal may come to light while voiding. */
    if (failure.remedy == REMEDY_ROLL_BACK)
        assert_int_equal(member.transport.door->abort(member.transport.context, &failure),
                         STATUS_BROKEN);
    assert_int_equal(failure.remedy, REMEDY_STOP);
    assert_non_null(strstr(failure.text, "record for alerts not delivered"));
    member_close(&member);
    world_close(&world);
}

/* The coordinator has ended a transaction that took too long: nobody else can have this id. */
static void test_producer_that_broke_down_is_replaced(void **state)
{
    struct world world;
    struct member member;
    struct failure failure = {0};
    enum status status = STATUS_BROKEN;

    (void)state;
    world_open(&world);
    member_open(&member, &world, KAFKA_PROCESSOR, true, "one");
    own_everything(&member);
    member_send(&member, TOPIC_ALERTS, 0, "k", "v");
    broker_fail_requests(world.broker, REQUEST_END_TXN, ERROR_PRODUCER_FENCED, 1);
    assert_int_equal(member_try_commit(&member, &failure), STATUS_BROKEN);
    assert_int_equal(failure.remedy, REMEDY_ROLL_BACK);
    UNTIL(status == STATUS_OK,
          status = member.transport.door->abort(member.transport.context, &failure));
    member_send(&member, TOPIC_ALERTS, 0, "k", "v");
    member_commit(&member);
    member_close(&member);
    world_close(&world);
}

/* Under a name that outlives the process it is a successor, who must not be fenced in turn. */
static void test_producer_that_was_taken_over_stops(void **state)
{
    struct world world;
    struct member member;
    struct failure failure = {0};

    (void)state;
    world_open(&world);
    world.options.group_instance_id = "pod-0";
    member_open(&member, &world, KAFKA_PROCESSOR, true, "one");
    own_everything(&member);
    member_send(&member, TOPIC_ALERTS, 0, "k", "v");
    broker_fail_requests(world.broker, REQUEST_END_TXN, ERROR_PRODUCER_FENCED, 1);
    assert_int_equal(member_try_commit(&member, &failure), STATUS_BROKEN);
    assert_int_equal(failure.remedy, REMEDY_STOP);
    assert_non_null(strstr(failure.text, "another process has taken over"));
    member_close(&member);
    world_close(&world);
}

/* Unless the transaction took too long: then the coordinator itself has ended it. */
static void test_static_producer_that_took_too_long_is_replaced(void **state)
{
    struct world world;
    struct member member;
    struct failure failure = {0};
    enum status status = STATUS_BROKEN;

    (void)state;
    world_open(&world);
    world.options.group_instance_id = "pod-0";
    world.options.transaction_timeout_ms = 1000;
    member_open(&member, &world, KAFKA_PROCESSOR, true, "one");
    own_everything(&member);
    member_send(&member, TOPIC_ALERTS, 0, "k", "v");
    const int64_t begun_ms = now_ms();
    UNTIL(now_ms() - begun_ms > world.options.transaction_timeout_ms,
          member_poll(&member, 50, NULL));
    broker_fail_requests(world.broker, REQUEST_END_TXN, ERROR_PRODUCER_FENCED, 1);
    assert_int_equal(member_try_commit(&member, &failure), STATUS_BROKEN);
    assert_int_equal(failure.remedy, REMEDY_ROLL_BACK);
    UNTIL(status == STATUS_OK,
          status = member.transport.door->abort(member.transport.context, &failure));
    member_send(&member, TOPIC_ALERTS, 0, "k", "v");
    member_commit(&member);
    member_close(&member);
    world_close(&world);
}

static void test_denied_transactional_id_names_the_right(void **state)
{
    struct world world;
    struct transport transport;
    struct failure failure = {0};

    (void)state;
    world_open(&world);
    struct kafka_setup setup = {.options = &world.options,
                                .role = KAFKA_PROCESSOR,
                                .is_transactional = true,
                                .name = "one",
                                .wait_ms = PATIENCE_MS};
    broker_fail_requests(world.broker, REQUEST_INIT_PRODUCER_ID, ERROR_TRANSACTIONAL_ID_DENIED, 1);
    assert_int_equal(kafka_open(&setup, &transport, &failure), STATUS_BROKEN);
    assert_int_equal(failure.remedy, REMEDY_STOP);
    assert_non_null(strstr(failure.text, "grant Write and Describe"));
    assert_non_null(strstr(failure.text, "'weir'"));
    world_close(&world);
}

static void test_no_broker_says_where_it_looked(void **state)
{
    struct world world;
    struct transport transport;
    struct failure failure = {0};
    atomic_bool is_stopping = true;

    (void)state;
    world_open(&world);
    broker_set_away(world.broker, true);
    struct kafka_setup setup = {
        .options = &world.options, .role = KAFKA_SIDE, .name = "one", .wait_ms = 1000};
    assert_int_equal(kafka_open(&setup, &transport, &failure), STATUS_BROKEN);
    assert_int_equal(failure.remedy, REMEDY_RETRY);
    assert_non_null(strstr(failure.text, broker_address(world.broker)));
    setup.wait_ms = -1;
    setup.is_stopping = &is_stopping;
    assert_int_equal(kafka_open(&setup, &transport, &failure), STATUS_AGAIN);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_positions_wait_for_deliveries),
        cmocka_unit_test(test_commit_under_way_is_let_go),
        cmocka_unit_test(test_commit_of_a_past_generation_is_void),
        cmocka_unit_test(test_record_that_the_broker_refuses_stops),
        cmocka_unit_test(test_too_large_a_record_is_set_aside),
        cmocka_unit_test(test_missing_topic_names_the_remedy),
        cmocka_unit_test(test_headers_go_there_and_back),
        cmocka_unit_test(test_transaction_commits_beside_polling),
        cmocka_unit_test(test_loading_coordinator_is_asked_again),
        cmocka_unit_test(test_transaction_of_a_past_generation_rolls_back),
        cmocka_unit_test(test_refused_record_in_a_transaction_stops),
        cmocka_unit_test(test_producer_that_broke_down_is_replaced),
        cmocka_unit_test(test_producer_that_was_taken_over_stops),
        cmocka_unit_test(test_static_producer_that_took_too_long_is_replaced),
        cmocka_unit_test(test_denied_transactional_id_names_the_right),
        cmocka_unit_test(test_no_broker_says_where_it_looked),
    };
    return run_side_by_side(tests, sizeof tests / sizeof tests[0]);
}
