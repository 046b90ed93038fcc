#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "pipeline/journal.h"

static const struct journal_head sample_head = {.config_digest = 0x1122334455667788,
                                                .epoch = 1700000000000,
                                                .sequence = 42,
                                                .base = 40,
                                                .partition_count = 12};
static struct journal_draft draft;
static struct byte_writer bytes;

static int begin(void **state)
{
    (void)state;
    journal_draft_init(&draft);
    byte_writer_init(&bytes);
    return 0;
}

static int end(void **state)
{
    (void)state;
    journal_draft_free(&draft);
    byte_writer_free(&bytes);
    return 0;
}

static void assert_operation(struct journal_cursor *cursor, enum journal_kind kind,
                             enum topic topic, int64_t from, int64_t to)
{
    struct journal_operation operation;

    assert_true(journal_next(cursor, &operation));
    assert_int_equal(operation.kind, kind);
    assert_int_equal(operation.topic, topic);
    assert_int_equal(operation.from, from);
    assert_int_equal(operation.to, to);
}

static void test_decisions_come_back_in_order(void **state)
{
    struct journal_head head;
    struct journal_cursor cursor;
    struct journal_operation operation;

    (void)state;
    journal_draft_tick(&draft, 1700000000123);
    journal_draft_record(&draft, JOURNAL_APPLY, TOPIC_ORDERS, 1000000);
    journal_draft_record(&draft, JOURNAL_APPLY, TOPIC_ORDERS, 1000001);
    journal_draft_record(&draft, JOURNAL_APPLY, TOPIC_ORDERS, 1000009); /* a gap inside a range */
    journal_draft_record(&draft, JOURNAL_PASS, TOPIC_ORDERS, 1000010);
    journal_draft_record(&draft, JOURNAL_APPLY, TOPIC_COMMANDS, 0);
    journal_draft_record(&draft, JOURNAL_APPLY, TOPIC_ORDERS, 1000012);
    journal_draft_tick(&draft, 1700000000122); /* clocks go back */
    journal_encode(&sample_head, &draft, &bytes);
    assert_int_equal(draft.record_count, 6);

    assert_int_equal(journal_open(byte_writer_view(&bytes), &head, &cursor, NULL), STATUS_OK);
    assert_int_equal(head.config_digest, sample_head.config_digest);
    assert_int_equal(head.epoch, sample_head.epoch);
    assert_int_equal(head.sequence, 42);
    assert_int_equal(head.base, 40);
    assert_int_equal(head.partition_count, 12);
    assert_false(head.is_ahead);
    assert_operation(&cursor, JOURNAL_TICK, TOPIC_COUNT, 1700000000123, 1700000000123);
    assert_operation(&cursor, JOURNAL_APPLY, TOPIC_ORDERS, 1000000, 1000010);
    assert_operation(&cursor, JOURNAL_PASS, TOPIC_ORDERS, 1000010, 1000011);
    assert_operation(&cursor, JOURNAL_APPLY, TOPIC_COMMANDS, 0, 1);
    assert_operation(&cursor, JOURNAL_APPLY, TOPIC_ORDERS, 1000012, 1000013);
    assert_operation(&cursor, JOURNAL_TICK, TOPIC_COUNT, 1700000000122, 1700000000122);
    assert_false(journal_next(&cursor, &operation));
}

static void test_a_busy_record_is_small(void **state)
{
    (void)state;
    for (int64_t i = 0; i < 100000; i++)
        journal_draft_record(&draft, JOURNAL_APPLY, i / 1000 % 2 ? TOPIC_ORDERS : TOPIC_API_CALLS,
                             5000000000 + i);
    journal_encode(&sample_head, &draft, &bytes);
    assert_int_equal(draft.count, 100);
    assert_true(bytes.size < 600);
}

static void test_every_flipped_bit_is_noticed(void **state)
{
    struct journal_head head;
    struct journal_cursor cursor;
    struct failure failure;

    (void)state;
    journal_draft_record(&draft, JOURNAL_APPLY, TOPIC_AUTH_EVENTS, 77);
    journal_encode(&sample_head, &draft, &bytes);
    for (size_t bit = 0; bit < bytes.size * 8; bit++) {
        bytes.data[bit / 8] ^= (char)(1 << bit % 8);
        assert_int_equal(journal_open(byte_writer_view(&bytes), &head, &cursor, &failure),
                         STATUS_BROKEN);
        assert_int_equal(failure.remedy, REMEDY_SET_ASIDE);
        bytes.data[bit / 8] ^= (char)(1 << bit % 8);
    }
    for (size_t size = 0; size < bytes.size; size++)
        assert_int_equal(
            journal_open((struct view){bytes.data, (uint32_t)size}, &head, &cursor, &failure),
            STATUS_BROKEN);
}

/* A record of another version says so, though its checksum is right. */
static void test_other_versions_are_named(void **state)
{
    struct journal_head head;
    struct journal_cursor cursor;
    struct failure failure;

    (void)state;
    journal_encode(&sample_head, &draft, &bytes);
    bytes.data[0] = 9;
    bytes.size -= 4;
    byte_put_u32(&bytes, hash_crc32c(bytes.data, bytes.size));
    assert_int_equal(journal_open(byte_writer_view(&bytes), &head, &cursor, &failure),
                     STATUS_BROKEN);
    assert_non_null(strstr(failure.text, "version 9"));
}

static void test_topics_keep_their_codes(void **state)
{
    (void)state;
    for (int topic = 0; topic <= TOPIC_COMMANDS; topic++) {
        uint8_t code = journal_topic_code((enum topic)topic);

        assert_int_not_equal(code, 0);
        assert_int_equal(journal_topic_of_code(code), topic);
    }
    /* Stored for ever. */
    assert_int_equal(journal_topic_code(TOPIC_ORDERS), 1);
    assert_int_equal(journal_topic_code(TOPIC_FORWARD), 7);
    assert_int_equal(journal_topic_code(TOPIC_COMMANDS), 8);
    assert_int_equal(journal_topic_code(TOPIC_ALERTS), 0);
    assert_int_equal(journal_topic_of_code(0), TOPIC_COUNT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_decisions_come_back_in_order, begin, end),
        cmocka_unit_test_setup_teardown(test_a_busy_record_is_small, begin, end),
        cmocka_unit_test_setup_teardown(test_every_flipped_bit_is_noticed, begin, end),
        cmocka_unit_test_setup_teardown(test_other_versions_are_named, begin, end),
        cmocka_unit_test(test_topics_keep_their_codes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
