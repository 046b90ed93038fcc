/* Every kind of event and result, in every format: what goes in comes out. */
#include "codec/codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "unit/codec/sample.h"

enum { ROUNDS = 300 };

static struct codec *open_codec(enum codec_format output)
{
    struct codec_options options;
    struct codec *codec = NULL;
    struct failure failure = {0};

    option_preset(&codec_option_table, &options);
    options.output = output;
    if (codec_create(&options, &codec, &failure) != STATUS_OK)
        fail_msg("%s", failure.text);
    return codec;
}

static void test_events_come_back(void **state)
{
    static const enum codec_format formats[] = {CODEC_JSON, CODEC_AVRO_SINGLE_OBJECT};
    struct codec *codec = open_codec(CODEC_JSON);
    struct arena *arena = arena_create(65536);
    struct byte_writer out;
    struct dice dice = {7};

    (void)state;
    byte_writer_init(&out);
    for (int round = 0; round < ROUNDS; round++)
        for (int kind = 0; kind < EVENT_KIND_COUNT; kind++)
            for (int f = 0; f < 2; f++) {
                struct event in = {.kind = (enum event_kind)kind}, back;
                struct codec_reason reason;
                struct failure failure;
                arena_reset(arena);
                byte_writer_reset(&out);
                sample_record(&dice, event_shape(in.kind), &in, arena);
                if (kind == EVENT_REQUEST) {
                    in.request.customer_id = VIEW_LITERAL("c");
                    in.present |= UINT64_C(1) << 3;
                }
                assert_int_equal(codec_encode_event(codec, formats[f], &in, &out, &failure),
                                 STATUS_OK);
                if (codec_decode_event(codec, in.kind, byte_writer_view(&out), arena, &back,
                                       &reason, &failure) != STATUS_OK)
                    fail_msg("%s: %s", event_kind_name(in.kind), failure.text);
                assert_int_equal(back.kind, kind);
                if (kind == EVENT_REQUEST && !event_has(&in, 5)) {
                    assert_int_equal(back.request.count, CODEC_REQUEST_COUNT);
                    back.request.count = 0;
                }
                assert_true(shape_is_equal(event_shape(in.kind), &in, &back));
            }
    byte_writer_free(&out);
    arena_destroy(arena);
    codec_destroy(codec);
}

static void test_results_come_back(void **state)
{
    static const enum codec_format formats[] = {CODEC_JSON, CODEC_AVRO_SINGLE_OBJECT};
    struct arena *arena = arena_create(65536);
    struct byte_writer out;
    struct dice dice = {8};

    (void)state;
    byte_writer_init(&out);
    for (int f = 0; f < 2; f++) {
        struct codec *codec = open_codec(formats[f]);
        for (int round = 0; round < ROUNDS; round++)
            for (int kind = 0; kind < RESULT_KIND_COUNT; kind++) {
                struct result in = {.kind = (enum result_kind)kind}, back;
                struct codec_reason reason;
                struct failure failure;
                arena_reset(arena);
                byte_writer_reset(&out);
                sample_record(&dice, result_shape(in.kind), &in, arena);
                assert_int_equal(codec_encode_result(codec, &in, &out, &failure), STATUS_OK);
                if (codec_decode_result(codec, in.kind, byte_writer_view(&out), arena, &back,
                                        &reason, &failure) != STATUS_OK)
                    fail_msg("%s: %s", result_kind_name(in.kind), failure.text);
                assert_true(shape_is_equal(result_shape(in.kind), &in, &back));
            }
        codec_destroy(codec);
    }
    byte_writer_free(&out);
    arena_destroy(arena);
}

/* ---- recognition and refusals --------------------------------------------------- */

#define CALL(more)                                                                                 \
    "{\"event_id\":\"e\",\"tenant_id\":\"t\",\"client_id\":\"c\",\"method\":\"GET\",\"path\":\"/"  \
    "\","                                                                                          \
    "\"status\":200,\"event_time\":5" more "}"

static void test_what_cannot_be_read_is_set_aside(void **state)
{
    static const struct {
        struct view message;
        enum codec_error error;
        const char *name;
    } cases[] = {
        {{"", 0}, CODEC_ERROR_EMPTY, "empty"},
        {{NULL, 0}, CODEC_ERROR_EMPTY, "empty"},
        {VIEW_LITERAL("hello"), CODEC_ERROR_FORMAT, "unknown-format"},
        {VIEW_LITERAL("\xC3\x02xxxxxxxxxx"), CODEC_ERROR_FORMAT, "unknown-format"},
        {VIEW_LITERAL("\xEF\xBB\xBF{}"), CODEC_ERROR_FORMAT, "unknown-format"},
        {VIEW_LITERAL("\x00\x00\x00"), CODEC_ERROR_SYNTAX, "bad-syntax"},
        {VIEW_LITERAL("\xC3"), CODEC_ERROR_SYNTAX, "bad-syntax"},
        {VIEW_LITERAL("\xC3\x01xxxxxxx"), CODEC_ERROR_SYNTAX, "bad-syntax"},
        {VIEW_LITERAL("\xC3\x01xxxxxxxx"), CODEC_ERROR_SCHEMA_UNKNOWN, "unknown-schema"},
        {VIEW_LITERAL("\x00\x00\x00\x00\x01x"), CODEC_ERROR_SCHEMA_UNKNOWN, "unknown-schema"},
        {VIEW_LITERAL("  {"), CODEC_ERROR_SYNTAX, "bad-syntax"},
        {VIEW_LITERAL("{}"), CODEC_ERROR_MISSING, "missing-field"},
    };
    struct codec *codec = open_codec(CODEC_JSON);
    struct arena *arena = arena_create(4096);

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct codec_reason reason;
        struct failure failure = {0};
        struct event event;
        assert_int_equal(codec_decode_event(codec, EVENT_API_CALL, cases[i].message, arena, &event,
                                            &reason, &failure),
                         STATUS_BROKEN);
        assert_int_equal(failure.remedy, REMEDY_SET_ASIDE);
        assert_int_equal(reason.error, cases[i].error);
        assert_string_equal(codec_error_name(reason.error), cases[i].name);
        assert_string_equal(failure.text, reason.text);
    }
    arena_destroy(arena);
    codec_destroy(codec);
}

static void test_a_message_may_be_too_large(void **state)
{
    const char message[] = CALL("");
    struct codec_options options = {.message_bytes_max = sizeof message - 1};
    struct arena *arena = arena_create(4096);
    struct codec_reason reason;
    struct failure failure;
    struct codec *codec;
    struct event event;

    (void)state;
    assert_int_equal(codec_create(&options, &codec, &failure), STATUS_OK);
    assert_int_equal(codec_decode_event(codec, EVENT_API_CALL, VIEW_LITERAL(CALL("")), arena,
                                        &event, &reason, &failure),
                     STATUS_OK);
    assert_int_equal(codec_decode_event(codec, EVENT_API_CALL, VIEW_LITERAL(CALL("") " "), arena,
                                        &event, &reason, &failure),
                     STATUS_BROKEN);
    assert_int_equal(reason.error, CODEC_ERROR_TOO_LARGE);
    arena_destroy(arena);
    codec_destroy(codec);
}

/* A schema of ours, but of another kind; and a datum with something behind it. */
static void test_single_objects_that_do_not_fit(void **state)
{
    struct codec *codec = open_codec(CODEC_JSON);
    struct arena *arena = arena_create(4096);
    struct codec_reason reason;
    struct failure failure;
    struct byte_writer out;
    struct event event;

    (void)state;
    byte_writer_init(&out);
    assert_int_equal(codec_decode_event(codec, EVENT_API_CALL, VIEW_LITERAL(CALL("")), arena,
                                        &event, &reason, &failure),
                     STATUS_OK);
    assert_int_equal(codec_encode_event(codec, CODEC_AVRO_SINGLE_OBJECT, &event, &out, &failure),
                     STATUS_OK);
    for (int times = 0; times < 2; times++) {
        assert_int_equal(codec_decode_event(codec, EVENT_ORDER, byte_writer_view(&out), arena,
                                            &event, &reason, &failure),
                         STATUS_BROKEN);
        assert_int_equal(reason.error, CODEC_ERROR_SCHEMA);
        assert_string_equal(reason.field, "status");
    }
    byte_put_u8(&out, 0);
    assert_int_equal(codec_decode_event(codec, EVENT_API_CALL, byte_writer_view(&out), arena,
                                        &event, &reason, &failure),
                     STATUS_BROKEN);
    assert_int_equal(reason.error, CODEC_ERROR_SYNTAX);
    assert_int_equal(failure.remedy, REMEDY_SET_ASIDE);
    byte_writer_free(&out);
    arena_destroy(arena);
    codec_destroy(codec);
}

static void test_a_request_is_for_somebody(void **state)
{
    static const char *const good[] = {
        "{\"request_id\":\"r\",\"tenant_id\":\"t\",\"event_time\":1,\"customer_id\":\"c\"}",
        "{\"request_id\":\"r\",\"tenant_id\":\"t\",\"event_time\":1,\"customer_ids\":[\"c\"]}",
    };
    struct codec *codec = open_codec(CODEC_JSON);
    struct arena *arena = arena_create(4096);
    struct codec_reason reason;
    struct failure failure;
    struct event event;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(codec_decode_event(codec, EVENT_REQUEST, view_of(good[i]), arena, &event,
                                            &reason, &failure),
                         STATUS_OK);
        assert_int_equal(event.request.count, CODEC_REQUEST_COUNT);
        assert_false(event_has(&event, 5));
    }
    assert_int_equal(
        codec_decode_event(
            codec, EVENT_REQUEST,
            VIEW_LITERAL("{\"request_id\":\"r\",\"tenant_id\":\"t\",\"event_time\":1}"), arena,
            &event, &reason, &failure),
        STATUS_BROKEN);
    assert_int_equal(reason.error, CODEC_ERROR_MISSING);
    assert_string_equal(reason.field, "customer_id");
    arena_destroy(arena);
    codec_destroy(codec);
}

/* A result without a required field is not written, not even in part. */
static void test_an_incomplete_result_is_not_written(void **state)
{
    struct codec *codec = open_codec(CODEC_AVRO_SINGLE_OBJECT);
    const struct result result = {.kind = RESULT_AUDIT, .id = VIEW_LITERAL("a"), .present = 1};
    struct failure failure = {0};
    struct byte_writer out;

    (void)state;
    byte_writer_init(&out);
    byte_put_u8(&out, 'x');
    assert_int_equal(codec_encode_result(codec, &result, &out, &failure), STATUS_BROKEN);
    assert_int_equal(failure.remedy, REMEDY_SET_ASIDE);
    assert_string_equal(failure.text, "audit: required field action is absent");
    assert_int_equal(out.size, 1);
    byte_writer_free(&out);
    codec_destroy(codec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events_come_back),
        cmocka_unit_test(test_results_come_back),
        cmocka_unit_test(test_what_cannot_be_read_is_set_aside),
        cmocka_unit_test(test_a_message_may_be_too_large),
        cmocka_unit_test(test_single_objects_that_do_not_fit),
        cmocka_unit_test(test_a_request_is_for_somebody),
        cmocka_unit_test(test_an_incomplete_result_is_not_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
