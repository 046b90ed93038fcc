#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event/letter.h"
#include "pipeline/parcel.h"

enum { LIMIT = 1000, HEADERS_MAX = 20, SENT_MAX = 4 };

/* A log that takes records of at most LIMIT bytes, those of their headers included. */
struct log {
    uint32_t own_header_bytes; /* of the one header that records have of their own; 0: none */
    struct sent {
        enum topic topic;
        int32_t partition;
        char key[32];
        size_t value_bytes;
        bool has_value, has_own_header;
        char headers[400]; /* "name=value;..." */
    } sent[SENT_MAX];
    uint32_t count;
};

static enum status produce(void *context, const struct outgoing *outgoing, struct failure *failure)
{
    struct log *log = context;
    struct sent *sent = &log->sent[log->count];
    size_t bytes = outgoing->key.size + outgoing->value.size;
    size_t used = 0;

    for (uint32_t i = 0; i < outgoing->header_count; i++)
        bytes += outgoing->headers[i].value.size;
    if (bytes > LIMIT)
        return failure_set(failure, REMEDY_SET_ASIDE, "too large");
    assert_true(log->count < SENT_MAX);
    log->count++;
    *sent = (struct sent){.topic = outgoing->topic,
                          .partition = outgoing->partition,
                          .value_bytes = outgoing->value.size,
                          .has_value = !view_is_absent(outgoing->value)};
    snprintf(sent->key, sizeof sent->key, "%.*s", VIEW_PRINT(outgoing->key));
    for (uint32_t i = 0; i < outgoing->header_count; i++) {
        if (strcmp(outgoing->headers[i].name, "own") == 0) {
            assert_int_equal(i, 0);
            sent->has_own_header = true;
            continue;
        }
        used += (size_t)snprintf(sent->headers + used, sizeof sent->headers - used, "%s=%.*s;",
                                 outgoing->headers[i].name, VIEW_PRINT(outgoing->headers[i].value));
    }
    return STATUS_OK;
}

static char bytes[2 * LIMIT];

/* The second is not the record's to keep: the letter says it. */
static bool header_at(void *context, const struct record *record, uint32_t index,
                      struct header *header)
{
    const struct log *log = context;

    (void)record;
    if (index == 0)
        *header = (struct header){"own", {bytes, log->own_header_bytes}};
    else
        *header = (struct header){"weir.source.offset", VIEW_LITERAL("of another")};
    return log->own_header_bytes > 0 && index < 2;
}

static const struct transport_door door = {.produce = produce, .header_at = header_at};

static void send_one(struct log *log, enum topic topic, uint32_t key_bytes, uint32_t value_bytes)
{
    const struct transport transport = {&door, log};
    const struct letter letter = {.headers = {{"weir.source.offset", VIEW_LITERAL("7")}},
                                  .header_count = 1};
    const struct record record = {
        .topic = TOPIC_ORDERS, .key = {bytes, key_bytes}, .value = {bytes, value_bytes}};
    struct parcel_queue queue;
    struct failure failure;

    memset(bytes, 'x', sizeof bytes);
    parcel_queue_init(&queue);
    parcel_add_record(&queue, topic, topic == TOPIC_FORWARD ? 3 : -1, &transport, &record, &letter);
    assert_int_equal(parcel_flush(&queue, &transport, &failure), STATUS_OK);
    assert_true(parcel_queue_is_empty(&queue));
    parcel_queue_free(&queue);
}

static void test_a_record_goes_as_it_is(void **state)
{
    struct log log = {.own_header_bytes = 2};

    (void)state;
    send_one(&log, TOPIC_DEAD_LETTER, 3, LIMIT - 6);
    send_one(&log, TOPIC_FORWARD, 3, 10);
    assert_int_equal(log.count, 2);
    assert_int_equal(log.sent[0].value_bytes, LIMIT - 6);
    assert_true(log.sent[0].has_own_header);
    assert_string_equal(log.sent[0].headers, "weir.source.offset=7;");
    assert_int_equal(log.sent[1].topic, TOPIC_FORWARD);
    assert_int_equal(log.sent[1].partition, 3);
}

static void test_a_letter_too_large_goes_without_its_value(void **state)
{
    struct log log = {.own_header_bytes = 2};

    (void)state;
    send_one(&log, TOPIC_DEAD_LETTER, 3, LIMIT);
    assert_int_equal(log.count, 1);
    assert_int_equal(log.sent[0].topic, TOPIC_DEAD_LETTER);
    assert_string_equal(log.sent[0].key, "xxx");
    assert_false(log.sent[0].has_value);
    assert_true(log.sent[0].has_own_header);
    assert_string_equal(log.sent[0].headers, "weir.source.offset=7;weir.source.bytes=1000;");
}

static void test_headers_or_a_key_too_large_stay_behind(void **state)
{
    struct log log = {.own_header_bytes = LIMIT};

    (void)state;
    send_one(&log, TOPIC_DEAD_LETTER, 3, 10);
    log.own_header_bytes = 0;
    send_one(&log, TOPIC_DEAD_LETTER, LIMIT, 10);
    assert_int_equal(log.count, 2);
    for (uint32_t i = 0; i < log.count; i++) {
        assert_string_equal(log.sent[i].key, "");
        assert_false(log.sent[i].has_value);
        assert_false(log.sent[i].has_own_header);
        assert_string_equal(log.sent[i].headers, "weir.source.offset=7;weir.source.bytes=10;");
    }
}

static void test_a_stray_too_large_is_set_aside(void **state)
{
    struct log log = {0};

    (void)state;
    send_one(&log, TOPIC_FORWARD, 3, LIMIT);
    assert_int_equal(log.count, 1);
    assert_int_equal(log.sent[0].topic, TOPIC_DEAD_LETTER);
    assert_int_equal(log.sent[0].partition, -1);
    assert_non_null(strstr(log.sent[0].headers, "weir.error.code=too-large;"));
    assert_non_null(strstr(log.sent[0].headers, "weir.source.bytes=1000;"));
    assert_non_null(strstr(log.sent[0].headers, "weir.source.offset=7;"));
}

/* What is ours has no source to stand at: nothing is cut. */
static void test_an_own_record_is_never_cut(void **state)
{
    struct log log = {0};
    const struct transport transport = {&door, &log};
    struct parcel_queue queue;
    struct failure failure;

    (void)state;
    parcel_queue_init(&queue);
    struct byte_writer *value = parcel_begin(&queue, TOPIC_ALERTS, -1, VIEW_LITERAL("k"));
    for (int i = 0; i <= LIMIT; i++)
        byte_put_u8(value, 'x');
    parcel_end(&queue);
    assert_int_equal(parcel_flush(&queue, &transport, &failure), STATUS_BROKEN);
    assert_int_equal(failure.remedy, REMEDY_SET_ASIDE);
    assert_int_equal(log.count, 0);
    parcel_queue_free(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_record_goes_as_it_is),
        cmocka_unit_test(test_a_letter_too_large_goes_without_its_value),
        cmocka_unit_test(test_headers_or_a_key_too_large_stay_behind),
        cmocka_unit_test(test_a_stray_too_large_is_set_aside),
        cmocka_unit_test(test_an_own_record_is_never_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
