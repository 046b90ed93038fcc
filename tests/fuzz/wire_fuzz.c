/*
 * Whole messages, as they come from a topic: one byte chooses the kind, the rest is the
 * message. What is accepted must survive the way out and back in each format; what is
 * refused must say why. A fingerprint of ours is hard to guess, so that a message which
 * begins 0xC3 0x02 stands for one with the fingerprint of its kind.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { KINDS = (int)EVENT_KIND_COUNT + (int)RESULT_KIND_COUNT };

struct world {
    struct codec *codec, *single;
    struct arena *arena;
    char head[EVENT_KIND_COUNT][10];
};

static void insist(bool is_true, const char *text)
{
    if (is_true)
        return;
    fprintf(stderr, "wire: %s\n", text);
    abort();
}

static struct codec *open_codec(enum codec_format output)
{
    struct codec_options options = {.output = output, .message_bytes_max = 1 << 20};
    struct codec *codec = NULL;
    struct failure failure = {0};

    insist(codec_create(&options, &codec, &failure) == STATUS_OK, failure.text);
    return codec;
}

static void open_world(struct world *world)
{
    static const char message[] =
        "{\"event_id\":\"e\",\"tenant_id\":\"t\",\"client_id\":\"c\",\"method\":\"GET\",\"path\":"
        "\"/\","
        "\"status\":200,\"event_time\":5,\"order_id\":\"o\",\"amount\":1,\"currency\":\"EUR\","
        "\"outcome\":\"failure\",\"customer_id\":\"c\",\"type\":\"view\",\"product_id\":\"p\","
        "\"model_name\":\"m\",\"model_version\":\"1\",\"request_id\":\"r\",\"command_id\":\"c\"}";
    struct byte_writer out;

    world->codec = open_codec(CODEC_JSON);
    world->single = open_codec(CODEC_AVRO_SINGLE_OBJECT);
    world->arena = arena_create(65536);
    byte_writer_init(&out);
    for (int kind = 0; kind < EVENT_KIND_COUNT; kind++) {
        struct event event;
        struct failure failure = {0};
        char *copy = strdup(message);
        /* status is a number in an API call and a name in an order. */
        char *status = strstr(copy, "\"status\":200,");
        if (kind != EVENT_API_CALL)
            memset(status, ' ', strlen("\"status\":200,"));
        insist(codec_decode_event(world->codec, (enum event_kind)kind, view_of(copy), world->arena,
                                  &event, NULL, &failure) == STATUS_OK,
               failure.text);
        byte_writer_reset(&out);
        insist(codec_encode_event(world->codec, CODEC_AVRO_SINGLE_OBJECT, &event, &out, &failure) ==
                   STATUS_OK,
               failure.text);
        memcpy(world->head[kind], out.data, sizeof world->head[kind]);
        free(copy);
    }
    byte_writer_free(&out);
}

static void check_reason(const struct codec_reason *reason, const struct failure *failure)
{
    insist(failure->remedy == REMEDY_SET_ASIDE, "refused without being set aside");
    insist(reason->error != CODEC_OK && reason->text[0] != '\0', "refused without a reason");
    insist(view_is_utf8(view_of(reason->text)), "a reason that is not UTF-8");
}

static void try_event(struct world *world, enum event_kind kind, struct view message)
{
    struct codec_reason reason = {0};
    struct failure failure = {0};
    struct event event, again;
    struct byte_writer out;

    if (codec_decode_event(world->codec, kind, message, world->arena, &event, &reason, &failure) !=
        STATUS_OK) {
        check_reason(&reason, &failure);
        return;
    }
    byte_writer_init(&out);
    for (int format = CODEC_JSON; format <= CODEC_AVRO_SINGLE_OBJECT; format++) {
        if (format == CODEC_AVRO_REGISTRY)
            continue;
        byte_writer_reset(&out);
        insist(codec_encode_event(world->codec, (enum codec_format)format, &event, &out,
                                  &failure) == STATUS_OK &&
                   codec_decode_event(world->codec, kind, byte_writer_view(&out), world->arena,
                                      &again, &reason, &failure) == STATUS_OK,
               failure.text);
        insist(shape_is_equal(event_shape(kind), &event, &again), "an event changed on the way");
    }
    byte_writer_free(&out);
}

static void try_result(struct world *world, enum result_kind kind, struct view message)
{
    struct codec_reason reason = {0};
    struct failure failure = {0};
    struct result result, again;
    struct byte_writer out;

    if (codec_decode_result(world->codec, kind, message, world->arena, &result, &reason,
                            &failure) != STATUS_OK) {
        check_reason(&reason, &failure);
        return;
    }
    byte_writer_init(&out);
    insist(codec_encode_result(world->single, &result, &out, &failure) == STATUS_OK &&
               codec_decode_result(world->codec, kind, byte_writer_view(&out), world->arena, &again,
                                   &reason, &failure) == STATUS_OK,
           failure.text);
    insist(shape_is_equal(result_shape(kind), &result, &again), "a result changed on the way");
    byte_writer_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world world;

    if (world.arena == NULL)
        open_world(&world);
    if (size < 1)
        return 0;
    arena_reset(world.arena);
    const int kind = data[0] % KINDS;
    struct view message = {(const char *)data + 1, (uint32_t)(size - 1)};
    if (kind >= EVENT_KIND_COUNT) {
        try_result(&world, (enum result_kind)(kind - EVENT_KIND_COUNT), message);
        return 0;
    }
    if (size > 11 && data[1] == 0xC3 && data[2] == 0x02) {
        char *whole = arena_text(world.arena, size - 1);
        memcpy(whole, data + 1, size - 1);
        memcpy(whole, world.head[kind], sizeof world.head[kind]);
        message.data = whole;
    }
    try_event(&world, (enum event_kind)kind, message);
    return 0;
}
