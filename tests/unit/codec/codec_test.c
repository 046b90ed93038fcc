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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events_come_back),
        cmocka_unit_test(test_results_come_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
