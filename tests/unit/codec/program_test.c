/* Compiled programs held against avro-c's generic reader: random schemas, random data. */
#include "codec/program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "event/event.h"
#include "unit/codec/avro_oracle.h"

enum { SCHEMAS = 3000, DATA_EACH = 8 };

struct world {
    struct arena *layouts, *arena;
    const struct layout *layout[EVENT_KIND_COUNT];
    uint32_t compiled, good, refused;
};

static int open_world(void **state)
{
    struct world *world = calloc(1, sizeof *world);

    world->layouts = arena_create(65536);
    world->arena = arena_create(65536);
    for (int kind = 0; kind < EVENT_KIND_COUNT; kind++)
        world->layout[kind] = layout_create(event_shape((enum event_kind)kind), world->layouts);
    *state = world;
    return 0;
}

static int close_world(void **state)
{
    struct world *world = *state;

    arena_destroy(world->layouts);
    arena_destroy(world->arena);
    free(world);
    return 0;
}

/* Decodes a copy of exactly that size, so that a sanitizer sees a step beyond its end. */
static enum codec_error run_exact(const struct program *program, const void *data, size_t size,
                                  struct world *world, struct event *event,
                                  struct codec_reason *reason, char **exact)
{
    *exact = malloc(size > 0 ? size : 1);
    assert_non_null(*exact);
    memcpy(*exact, data, size);
    const char *at = *exact;
    enum codec_error error =
        program_run(program, *exact, &at, *exact + size, world->arena, event, reason);
    assert_true(error != CODEC_OK || at <= *exact + size);
    return error;
}

/* Every beginning of a datum that ends before it does. */
static void check_cuts(const struct program *program, const char *data, size_t size,
                       struct world *world)
{
    for (size_t cut = 0; cut < size; cut++) {
        struct codec_reason reason = {0};
        struct event event;
        char *exact;
        const enum codec_error error =
            run_exact(program, data, cut, world, &event, &reason, &exact);
        free(exact);
        assert_int_equal(error, CODEC_ERROR_SYNTAX);
        assert_int_equal(reason.error, CODEC_ERROR_SYNTAX);
    }
}

/* Any answer will do, but no step beyond the end and no endless loop. */
static void check_damage(const struct program *program, char *data, size_t size, struct dice *dice,
                         struct world *world)
{
    for (int times = 0; times < 4 && size > 0; times++) {
        struct codec_reason reason;
        struct event event;
        char *exact;
        data[dice_below(dice, (uint32_t)size)] = (char)dice_roll(dice);
        run_exact(program, data, size, world, &event, &reason, &exact);
        free(exact);
    }
}

static void check_datum(const struct program *program, const struct layout *layout,
                        avro_value_t *value, avro_value_t *again, struct dice *dice,
                        struct world *world)
{
    const struct field whole = {.shape = layout->shape};
    struct avro_oracle oracle = {world->arena};
    struct codec_reason reason = {0};
    struct event event, expected = {0};
    char *exact;
    size_t size;

    avro_value_reset(value);
    fill_value(dice, value, &whole, world->arena, 0);
    assert_int_equal(avro_value_sizeof(value, &size), 0);
    char *data = arena_text(world->arena, size + 1);
    avro_writer_t writer = avro_writer_memory(data, (int64_t)size);
    assert_int_equal(avro_value_write(writer, value), 0);
    avro_writer_free(writer);

    avro_reader_t reader = avro_reader_memory(data, (int64_t)size);
    avro_value_reset(again);
    assert_int_equal(avro_value_read(reader, again), 0);
    avro_reader_free(reader);
    const bool is_valid = mean_record(&oracle, layout, again, &expected) == MEANS_VALUE;

    const enum codec_error error = run_exact(program, data, size, world, &event, &reason, &exact);
    if (is_valid != (error == CODEC_OK))
        fail_msg("%s: %s", is_valid ? "refused, but valid" : "accepted, but not valid",
                 reason.text);
    if (is_valid) {
        sort_maps(layout, &event);
        sort_maps(layout, &expected);
        assert_true(shape_is_equal(layout->shape, &event, &expected));
        check_cuts(program, data, size, world);
    } else {
        assert_true(reason.error != CODEC_ERROR_SYNTAX && reason.text[0] != '\0');
    }
    free(exact);
    check_damage(program, data, size, dice, world);
    world->good += is_valid;
    world->refused += !is_valid;
}

static void check_schema(struct world *world, struct dice *dice, enum event_kind kind)
{
    struct byte_writer text;
    struct schema_maker maker = {dice, &text, world->arena, 0};
    const struct schema *schema;
    const struct program *program;
    struct codec_reason reason = {0};
    struct failure failure = {0};
    avro_schema_t theirs;
    avro_value_t value, again;

    byte_writer_init(&text);
    make_record(&maker, event_shape(kind));
    if (schema_parse(byte_writer_view(&text), world->arena, &schema, &failure) != STATUS_OK)
        fail_msg("%s: %.*s", failure.text, VIEW_PRINT(byte_writer_view(&text)));
    if (program_compile(world->layout[kind], schema, world->arena, &program, &reason) == CODEC_OK) {
        world->compiled++;
        assert_int_equal(avro_schema_from_json_length(text.data, text.size, &theirs), 0);
        avro_value_iface_t *generic = avro_generic_class_from_schema(theirs);
        assert_non_null(generic);
        avro_generic_value_new(generic, &value);
        avro_generic_value_new(generic, &again);
        for (int i = 0; i < DATA_EACH; i++)
            check_datum(program, world->layout[kind], &value, &again, dice, world);
        avro_value_decref(&value);
        avro_value_decref(&again);
        avro_value_iface_decref(generic);
        avro_schema_decref(theirs);
    } else {
        assert_int_equal(reason.error, CODEC_ERROR_SCHEMA);
        assert_true(reason.text[0] != '\0');
    }
    byte_writer_free(&text);
}

static void test_agrees_with_avro_c(void **state)
{
    struct world *world = *state;
    struct dice dice = {99};

    for (uint32_t i = 0; i < SCHEMAS; i++) {
        arena_reset(world->arena);
        check_schema(world, &dice, (enum event_kind)(i % EVENT_KIND_COUNT));
    }
    /* The test is only worth its name if much is accepted and some refused. */
    assert_in_range(world->compiled, SCHEMAS / 2, SCHEMAS - 1);
    assert_in_range(world->good, SCHEMAS, SCHEMAS * DATA_EACH);
    assert_in_range(world->refused, SCHEMAS / 10, SCHEMAS * DATA_EACH);
}

/* ---- by hand ------------------------------------------------------------------- */

#define CALL_FIELDS(time)                                                                          \
    "{\"type\":\"record\",\"name\":\"Call\",\"fields\":["                                          \
    "{\"name\":\"event_id\",\"type\":\"string\"},{\"name\":\"tenant_id\",\"type\":\"string\"},"    \
    "{\"name\":\"client_id\",\"type\":\"string\"},{\"name\":\"method\",\"type\":\"string\"},"      \
    "{\"name\":\"path\",\"type\":\"string\"},{\"name\":\"status\",\"type\":\"int\"},"              \
    "{\"name\":\"event_time\",\"type\":" time "}"
#define CALL_DATA                                                                                  \
    "\x02"                                                                                         \
    "e"                                                                                            \
    "\x02"                                                                                         \
    "t"                                                                                            \
    "\x02"                                                                                         \
    "c"                                                                                            \
    "\x06"                                                                                         \
    "GET"                                                                                          \
    "\x02"                                                                                         \
    "/"                                                                                            \
    "\x90\x03"

static const struct program *compile(struct world *world, enum event_kind kind, const char *text)
{
    const struct schema *schema;
    const struct program *program;
    struct codec_reason reason;
    struct failure failure;

    assert_int_equal(schema_parse(view_of(text), world->arena, &schema, &failure), STATUS_OK);
    if (program_compile(world->layout[kind], schema, world->arena, &program, &reason) != CODEC_OK)
        fail_msg("%s", reason.text);
    return program;
}

static enum codec_error decode(struct world *world, const struct program *program, struct view data,
                               struct event *event, struct codec_reason *reason)
{
    const char *at = data.data;

    return program_run(program, data.data, &at, data.data + data.size, world->arena, event, reason);
}

static void test_fine_times_become_milliseconds(void **state)
{
    struct world *world = *state;
    const struct program *program =
        compile(world, EVENT_API_CALL,
                CALL_FIELDS("{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}") "]}");
    struct codec_reason reason;
    struct event event;

    /* 1,999 microseconds are 1 ms; zig-zag 3,998 = 0x0F9E. */
    assert_int_equal(decode(world, program, VIEW_LITERAL(CALL_DATA "\x9E\x1F"), &event, &reason),
                     CODEC_OK);
    assert_int_equal(event.event_time_ms, 1);
    assert_int_equal(event.api_call.status, 200);
}

static void test_blocks_may_say_their_size(void **state)
{
    struct world *world = *state;
    const struct program *program =
        compile(world, EVENT_REQUEST,
                "{\"type\":\"record\",\"name\":\"R\",\"fields\":["
                "{\"name\":\"old\",\"type\":{\"type\":\"array\",\"items\":\"string\"}},"
                "{\"name\":\"request_id\",\"type\":\"string\"},"
                "{\"name\":\"tenant_id\",\"type\":\"string\"},"
                "{\"name\":\"event_time\",\"type\":\"long\"},"
                "{\"name\":\"customer_ids\",\"type\":{\"type\":\"array\",\"items\":\"string\"}}]}");
    struct codec_reason reason;
    struct event event;

    /* A block of 2 items in 4 bytes that is skipped, and one that is read: -1 item, 2 bytes. */
    assert_int_equal(decode(world, program,
                            VIEW_LITERAL("\x03\x08\x02xx\x02y\x00"
                                         "\x02r\x02t\x02"
                                         "\x01\x04\x02z\x02\x02w\x00"),
                            &event, &reason),
                     CODEC_ERROR_SYNTAX);
    assert_int_equal(decode(world, program,
                            VIEW_LITERAL("\x03\x08\x02x\x02y\x00"
                                         "\x02r\x02t\x02"
                                         "\x01\x04\x02z\x02\x02w\x00"),
                            &event, &reason),
                     CODEC_OK);
    assert_int_equal(event.request.customer_ids.count, 2);
    assert_true(view_is_text(event.request.customer_ids.at[1], "w"));
}

/* Counts of 2^62 items: of nothing, of a byte each, with and without a size. */
static void test_a_corrupt_count_is_harmless(void **state)
{
    static const struct {
        const char *items;
        struct view data;
        enum codec_error error;
    } cases[] = {
        {"\"null\"", VIEW_LITERAL("\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F\x00"), CODEC_OK},
        {"\"string\"", VIEW_LITERAL("\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F\x00"),
         CODEC_ERROR_SYNTAX},
        {"\"string\"", VIEW_LITERAL("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01\x02\x00\x00"),
         CODEC_ERROR_SYNTAX},
        {"\"string\"", VIEW_LITERAL("\x02\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F"),
         CODEC_ERROR_SYNTAX},
    };
    struct world *world = *state;
    struct codec_reason reason;
    struct event event;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *schema = arena_print(
            world->arena, "%s,{\"name\":\"x\",\"type\":{\"type\":\"array\",\"items\":%s}}]}",
            CALL_FIELDS("\"long\""), cases[i].items);
        const struct program *program = compile(world, EVENT_API_CALL, schema);
        char *data = arena_text(world->arena, 64);
        const size_t head = sizeof CALL_DATA "\x02" - 1;
        memcpy(data, CALL_DATA "\x02", head);
        memcpy(data + head, cases[i].data.data, cases[i].data.size);
        const struct view message = {data, (uint32_t)(head + cases[i].data.size)};
        assert_int_equal(decode(world, program, message, &event, &reason), cases[i].error);
    }
    const size_t before = arena_bytes(world->arena);
    const struct program *program =
        compile(world, EVENT_REQUEST,
                "{\"type\":\"record\",\"name\":\"R\",\"fields\":["
                "{\"name\":\"customer_ids\",\"type\":{\"type\":\"array\",\"items\":\"string\"}},"
                "{\"name\":\"request_id\",\"type\":\"string\"},"
                "{\"name\":\"tenant_id\",\"type\":\"string\"},"
                "{\"name\":\"event_time\",\"type\":\"long\"}]}");
    assert_int_equal(decode(world, program,
                            VIEW_LITERAL("\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F\x02x"), &event,
                            &reason),
                     CODEC_ERROR_SYNTAX);
    assert_string_equal(reason.field, "customer_ids");
    assert_in_range(arena_bytes(world->arena), before, before + 65536 * 2);
}

static void test_a_schema_that_does_not_fit_names_the_field(void **state)
{
    struct world *world = *state;
    const struct schema *schema;
    const struct program *program;
    struct codec_reason reason;
    struct failure failure;

    assert_int_equal(
        schema_parse(VIEW_LITERAL(CALL_FIELDS("\"string\"") "]}"), world->arena, &schema, &failure),
        STATUS_OK);
    assert_int_equal(
        program_compile(world->layout[EVENT_API_CALL], schema, world->arena, &program, &reason),
        CODEC_ERROR_SCHEMA);
    assert_string_equal(reason.field, "event_time");
    assert_int_equal(
        program_compile(world->layout[EVENT_ORDER], schema, world->arena, &program, &reason),
        CODEC_ERROR_SCHEMA);
    assert_string_equal(reason.field, "status");
}

/* An int is written as a long is, and its bytes can say more than 32 bits: nobody wrote that,
 * whether we keep it, keep it as a double or skip it. */
static void test_an_int_has_32_bits(void **state)
{
    static const struct {
        const char *fields;
        struct view data;
        enum codec_error error;
    } cases[] = {
        {"\"x\",\"type\":\"int\"", VIEW_LITERAL("\xFF\xFF\xFF\xFF\x0F"), CODEC_OK},
        {"\"x\",\"type\":\"int\"", VIEW_LITERAL("\x80\x80\x80\x80\x10"), CODEC_ERROR_SYNTAX},
        {"\"x\",\"type\":\"long\"", VIEW_LITERAL("\x80\x80\x80\x80\x10"), CODEC_OK},
        {"\"bytes\",\"type\":\"int\"", VIEW_LITERAL("\xFE\xFF\xFF\xFF\x0F"), CODEC_OK},
        {"\"bytes\",\"type\":\"int\"", VIEW_LITERAL("\x80\x80\x80\x80\x10"), CODEC_ERROR_SYNTAX},
        {"\"bytes\",\"type\":\"long\"", VIEW_LITERAL("\x80\x80\x80\x80\x10"), CODEC_OK},
        {"\"latency_ms\",\"type\":\"int\"", VIEW_LITERAL("\xFE\xFF\xFF\xFF\x0F"), CODEC_OK},
        {"\"latency_ms\",\"type\":\"int\"", VIEW_LITERAL("\x80\x80\x80\x80\x10"),
         CODEC_ERROR_SYNTAX},
        {"\"latency_ms\",\"type\":\"long\"", VIEW_LITERAL("\x80\x80\x80\x80\x10"), CODEC_OK},
    };
    struct world *world = *state;
    struct codec_reason reason;
    struct event event;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct program *program =
            compile(world, EVENT_API_CALL,
                    arena_print(world->arena, "%s,{\"name\":%s}]}", CALL_FIELDS("\"long\""),
                                cases[i].fields));
        char data[64] = CALL_DATA "\x02";
        const uint32_t head = sizeof CALL_DATA "\x02" - 1;
        memcpy(data + head, cases[i].data.data, cases[i].data.size);
        const struct view message = {data, head + cases[i].data.size};
        assert_int_equal(decode(world, program, message, &event, &reason), cases[i].error);
    }
}

static void test_a_record_inside_itself_ends(void **state)
{
    struct world *world = *state;
    const struct program *program = compile(
        world, EVENT_API_CALL,
        CALL_FIELDS("\"long\"") ",{\"name\":\"x\",\"type\":{\"type\":\"record\",\"name\":\"L\","
                                "\"fields\":[{\"name\":\"next\",\"type\":[\"null\",\"L\"]}]}}]}");
    char data[256] = CALL_DATA "\x02";
    const uint32_t head = sizeof CALL_DATA "\x02" - 1;
    struct codec_reason reason;
    struct event event;

    memset(data + head, 2, 200);
    data[head + 30] = 0;
    assert_int_equal(decode(world, program, (struct view){data, head + 31}, &event, &reason),
                     CODEC_OK);
    data[head + 30] = 2;
    assert_int_equal(decode(world, program, (struct view){data, head + 200}, &event, &reason),
                     CODEC_ERROR_SYNTAX);
    assert_non_null(strstr(reason.text, "64 levels"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_agrees_with_avro_c, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_fine_times_become_milliseconds, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(test_blocks_may_say_their_size, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_a_corrupt_count_is_harmless, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_a_schema_that_does_not_fit_names_the_field, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(test_an_int_has_32_bits, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_a_record_inside_itself_ends, open_world, close_world),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
