/* Once it is warm, a codec takes nothing from the heap, whatever the message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codec/codec.h"
#include "unit/codec/sample.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_OWN_HEAP 1
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_OWN_HEAP 1
#endif
#endif

static uint64_t heap_calls;

/* A sanitizer brings a heap of its own; its builds leave the counting to the others. */
#ifndef HAS_OWN_HEAP
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);

void *malloc(size_t size)
{
    heap_calls++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    heap_calls++;
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    heap_calls++;
    return __libc_realloc(memory, size);
}
#endif

enum { SAMPLES = 400 };

struct world {
    struct codec *codec;
    struct arena *arena;
    struct byte_writer out;
    struct view messages[SAMPLES]; /* every kind, in JSON and Avro; some are broken */
};

static void decode_all(struct world *world)
{
    arena_reset(world->arena);
    for (int i = 0; i < SAMPLES; i++) {
        struct codec_reason reason;
        struct failure failure;
        struct event event;
        const enum event_kind kind = (enum event_kind)(i / 2 % EVENT_KIND_COUNT);
        if (codec_decode_event(world->codec, kind, world->messages[i], world->arena, &event,
                               &reason, &failure) != STATUS_OK)
            continue;
        byte_writer_reset(&world->out);
        codec_encode_event(world->codec, i % 4 < 2 ? CODEC_JSON : CODEC_AVRO_SINGLE_OBJECT, &event,
                           &world->out, &failure);
    }
}

static void make_messages(struct world *world, struct arena *kept)
{
    struct dice dice = {21};

    for (int i = 0; i < SAMPLES; i++) {
        struct event event = {.kind = (enum event_kind)(i / 2 % EVENT_KIND_COUNT)};
        struct failure failure;
        sample_record(&dice, event_shape(event.kind), &event, kept);
        byte_writer_reset(&world->out);
        assert_int_equal(codec_encode_event(world->codec,
                                            i % 2 ? CODEC_JSON : CODEC_AVRO_SINGLE_OBJECT, &event,
                                            &world->out, &failure),
                         STATUS_OK);
        struct view message = arena_copy(kept, byte_writer_view(&world->out));
        if (i % 10 == 0)
            message.size -= 3;
        world->messages[i] = message;
    }
    /* Digits that only the C library can round. */
    world->messages[5] = VIEW_LITERAL(
        "{\"event_id\":\"e\",\"tenant_id\":\"t\",\"client_id\":\"c\",\"method\":\"GET\",\"path\":"
        "\"\\u20ac\",\"status\":200,\"event_time\":5,\"latency_ms\":0.1234567890123456789012345}");
}

static void test_nothing_from_the_heap(void **state)
{
    struct codec_options options;
    struct world world = {.arena = arena_create(1 << 20)};
    struct arena *kept = arena_create(1 << 20);
    struct failure failure;

    (void)state;
    option_preset(&codec_option_table, &options);
    assert_int_equal(codec_create(&options, &world.codec, &failure), STATUS_OK);
    byte_writer_init(&world.out);
    make_messages(&world, kept);
    decode_all(&world);
    const uint64_t before = heap_calls;
    for (int times = 0; times < 20; times++)
        decode_all(&world);
    assert_int_equal(heap_calls, before);
#ifndef HAS_OWN_HEAP
    assert_true(before > 0); /* or the counting does not work */
#endif
    byte_writer_free(&world.out);
    arena_destroy(world.arena);
    arena_destroy(kept);
    codec_destroy(world.codec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_from_the_heap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
