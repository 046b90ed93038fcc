/* The scanner held against jansson on random messages, and on the cases in its header. */
#include "codec/json_decode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codec/codec.h"
#include "event/event.h"
#include "unit/codec/json_oracle.h"
#include "unit/codec/sample.h"

enum { DOCUMENTS = 20000 };

/* ---- random messages ----------------------------------------------------------- */

static void put(struct byte_writer *out, const char *text)
{
    byte_put(out, text, strlen(text));
}

static void put_space(struct dice *dice, struct byte_writer *out)
{
    static const char *const spaces[] = {" ", "\n", "\t", "\r", "  \n"};

    if (dice_one_in(dice, 6))
        put(out, spaces[dice_below(dice, 5)]);
}

/* A text in quotes, any of its characters escaped one way or the other; now and then broken. */
static void put_text(struct dice *dice, struct view text, struct byte_writer *out)
{
    static const char *const odd[] = {
        "\\u0000",  "\\ud83d\\ude00", "\\ud83d", "\\ude00", "\\u20AC",   "\\x",           "\xFF",
        "\xC0\x80", "\xED\xA0\x80",   "\\u12",   "\n",      "\\/\\b\\f", "\\ud83d\\u0041"};

    byte_put_u8(out, '"');
    for (uint32_t i = 0; i < text.size; i++) {
        const unsigned char byte = (unsigned char)text.data[i];
        if (byte < 0x20 || byte == '"' || byte == '\\' || (byte < 0x80 && dice_one_in(dice, 30)))
            byte_print(out, "\\u%04x", byte);
        else
            byte_put_u8(out, byte);
    }
    if (dice_one_in(dice, 150))
        put(out, odd[dice_below(dice, sizeof odd / sizeof odd[0])]);
    byte_put_u8(out, '"');
}

static void put_number(struct dice *dice, struct byte_writer *out)
{
    static const char *const odd[] = {"0",
                                      "-0",
                                      "1e3",
                                      "1.0",
                                      "1e400",
                                      "-1e-400",
                                      "01",
                                      "1.",
                                      ".5",
                                      "1e",
                                      "+1",
                                      "9007199254740993",
                                      "1E+2",
                                      "-",
                                      "0x10",
                                      "2.5e1",
                                      "NaN",
                                      "18446744073709551616",
                                      "9223372036854775807",
                                      "-9223372036854775808",
                                      "123456789012345678901234567890e-10",
                                      "0.1e-6"};

    switch (dice_below(dice, 6)) {
    case 0:
        put(out, odd[dice_below(dice, sizeof odd / sizeof odd[0])]);
        break;
    case 1:
        byte_print(out, "%.17g", (double)(int64_t)dice_roll(dice) / 1e7);
        break;
    case 2:
        byte_print(out, "%.*e", (int)dice_below(dice, 20),
                   (double)(int64_t)dice_roll(dice) * 1e-12);
        break;
    default:
        byte_print(out, "%lld", (long long)((int64_t)dice_roll(dice) >> dice_below(dice, 64)));
    }
}

static void put_any(struct dice *dice, struct arena *arena, uint32_t depth, struct byte_writer *out)
{
    static const char *const words[] = {"true", "false", "null", "nul", "True"};
    const uint32_t count = dice_below(dice, 4);
    const uint32_t kind = dice_below(dice, depth > 5 ? 4 : 7);

    if (depth == 0 && dice_one_in(dice, 60)) {
        const uint32_t levels = 55 + dice_below(dice, 15);
        for (uint32_t i = 0; i < levels; i++)
            put(out, "[");
        for (uint32_t i = 0; i < levels; i++)
            put(out, "]");
    } else if (kind == 0) {
        put_text(dice, sample_text(dice, 0, 40, arena), out);
    } else if (kind == 1) {
        put_number(dice, out);
    } else if (kind <= 3) {
        put(out, words[dice_below(dice, dice_one_in(dice, 100) ? 5 : 3)]);
    } else {
        put(out, kind == 4 ? "[" : "{");
        for (uint32_t i = 0; i < count; i++) {
            put(out, i > 0 ? "," : "");
            put_space(dice, out);
            if (kind != 4) {
                put_text(dice, sample_text(dice, 0, 3, arena), out);
                put(out, ":");
            }
            put_any(dice, arena, depth + 1, out);
        }
        put_space(dice, out);
        put(out, kind == 4 ? "]" : "}");
    }
}

static void put_record(struct dice *dice, const struct shape *shape, struct arena *arena,
                       struct byte_writer *out);

static void put_good_value(struct dice *dice, const struct field *field, struct arena *arena,
                           struct byte_writer *out)
{
    const uint32_t count = (field->least > 0) + dice_below(dice, 4);

    switch (field->type) {
    case FIELD_TEXT:
        put_text(dice, sample_field_text(dice, field, arena), out);
        break;
    case FIELD_INT:
    case FIELD_TIME:
        byte_print_int(out, sample_int(dice, field));
        break;
    case FIELD_DOUBLE:
        byte_print_double(out, sample_double(dice, field));
        break;
    case FIELD_BOOL:
        put(out, dice_one_in(dice, 2) ? "true" : "false");
        break;
    case FIELD_CHOICE:
        put_text(dice, view_of(field->choices[dice_below(dice, 2)]), out);
        break;
    case FIELD_TEXTS:
    case FIELD_RECORDS:
        put(out, "[");
        for (uint32_t i = 0; i < count; i++) {
            put(out, i > 0 ? " ," : "");
            if (field->type == FIELD_TEXTS)
                put_text(dice, sample_field_text(dice, field, arena), out);
            else
                put_record(dice, field->shape, arena, out);
        }
        put(out, "]");
        break;
    case FIELD_MAP:
        put(out, "{");
        for (uint32_t i = 0; i < count; i++) {
            put(out, i > 0 ? "," : "");
            put_text(dice, sample_text(dice, 0, 1, arena), out);
            put(out, ":");
            put_any(dice, arena, 4, out);
        }
        put(out, "}");
        break;
    case FIELD_RECORD:
        put_record(dice, field->shape, arena, out);
        break;
    }
}

static void put_member(struct dice *dice, const struct shape *shape, uint32_t index,
                       struct arena *arena, struct byte_writer *out)
{
    const struct field *field = &shape->fields[index];

    put_text(dice, view_of(field->name), out);
    put_space(dice, out);
    put(out, ":");
    put_space(dice, out);
    if (dice_one_in(dice, 40))
        put_any(dice, arena, 0, out);
    else if (!(field->flags & FIELD_REQUIRED) && dice_one_in(dice, 6))
        put(out, "null");
    else
        put_good_value(dice, field, arena, out);
}

/* The fields of a shape from a random one on, some of them twice, unknown ones between. */
static void put_record(struct dice *dice, const struct shape *shape, struct arena *arena,
                       struct byte_writer *out)
{
    const uint32_t first = dice_one_in(dice, 3) ? dice_below(dice, shape->field_count) : 0;
    const char *comma = "";

    put(out, "{");
    for (uint32_t i = 0; i < shape->field_count; i++) {
        const uint32_t index = (first + i) % shape->field_count;
        const uint32_t times = dice_one_in(dice, 60) ? 0 : 1 + dice_one_in(dice, 25);
        for (uint32_t time = 0; time < times; time++) {
            put(out, comma);
            put_member(dice, shape, index, arena, out);
            comma = ",";
        }
        if (dice_one_in(dice, 15)) {
            put(out, comma);
            put_text(dice, sample_text(dice, 0, 12, arena), out);
            put(out, ":");
            put_any(dice, arena, 0, out);
            comma = " , ";
        }
        put_space(dice, out);
    }
    put(out, "}");
}

static void damage(struct dice *dice, struct byte_writer *out)
{
    for (uint32_t times = 1 + dice_below(dice, 3); times > 0; times--) {
        const uint32_t at = dice_below(dice, (uint32_t)out->size);
        switch (dice_below(dice, 3)) {
        case 0:
            out->data[at] = (char)dice_roll(dice);
            break;
        case 1:
            out->data[at] = "{}[]\",:\\0ntf "[dice_below(dice, 13)];
            break;
        default:
            out->size = at + 1;
        }
    }
}

static void test_agrees_with_jansson(void **state)
{
    struct arena *layouts = arena_create(65536), *arena = arena_create(65536);
    const struct layout *layout[EVENT_KIND_COUNT];
    struct byte_writer out;
    struct dice dice = {42};
    uint32_t good = 0;

    (void)state;
    byte_writer_init(&out);
    for (int kind = 0; kind < EVENT_KIND_COUNT; kind++)
        layout[kind] = layout_create(event_shape((enum event_kind)kind), layouts);
    for (uint32_t i = 0; i < DOCUMENTS; i++) {
        const struct layout *one = layout[i % EVENT_KIND_COUNT];
        struct codec_reason reason;
        struct event event;
        arena_reset(arena);
        byte_writer_reset(&out);
        put_space(&dice, &out);
        put_record(&dice, one->shape, arena, &out);
        put_space(&dice, &out);
        if (dice_one_in(&dice, 4))
            damage(&dice, &out);
        /* A copy of its own size, so that a sanitizer sees a step beyond its end. */
        char *exact = malloc(out.size);
        assert_non_null(exact);
        memcpy(exact, out.data, out.size);
        const struct view message = {exact, (uint32_t)out.size};
        const char *verdict = oracle_check(one, message, arena);
        if (verdict != NULL)
            fail_msg("%s, document %u: %.*s", verdict, i, VIEW_PRINT(message));
        good += json_decode(one, message, arena, &event, &reason) == CODEC_OK;
        free(exact);
    }
    /* A test of refusals alone would prove little. */
    assert_in_range(good, DOCUMENTS / 4, DOCUMENTS);
    byte_writer_free(&out);
    arena_destroy(arena);
    arena_destroy(layouts);
}

/* ---- decisions ----------------------------------------------------------------- */

#define CALL_HEAD "{\"event_id\":\"e\",\"tenant_id\":\"t\",\"client_id\":\"c\",\"method\":\"GET\","
#define CALL(rest) CALL_HEAD "\"path\":\"/\",\"status\":200,\"event_time\":5" rest "}"

struct world {
    struct arena *arena;
    const struct layout *call, *order, *interaction;
    struct event event;
    struct codec_reason reason;
};

static int open_world(void **state)
{
    struct world *world = calloc(1, sizeof *world);

    world->arena = arena_create(65536);
    world->call = layout_create(event_shape(EVENT_API_CALL), world->arena);
    world->order = layout_create(event_shape(EVENT_ORDER), world->arena);
    world->interaction = layout_create(event_shape(EVENT_INTERACTION), world->arena);
    *state = world;
    return 0;
}

static int close_world(void **state)
{
    struct world *world = *state;

    arena_destroy(world->arena);
    free(world);
    return 0;
}

static enum codec_error read_as(struct world *world, const struct layout *layout, const char *text)
{
    return json_decode(layout, view_of(text), world->arena, &world->event, &world->reason);
}

static void test_texts_are_views(void **state)
{
    struct world *world = *state;
    const char *text = CALL(",\"ip\":\"1.2.3.4\"");

    assert_int_equal(read_as(world, world->call, text), CODEC_OK);
    assert_ptr_equal(world->event.id.data, strstr(text, "e\",\"tenant"));
    assert_ptr_equal(world->event.api_call.ip.data, strstr(text, "1.2.3.4"));
}

static void test_the_last_of_a_name_counts(void **state)
{
    struct world *world = *state;

    assert_int_equal(read_as(world, world->call, CALL(",\"status\":\"x\",\"status\":404")),
                     CODEC_OK);
    assert_int_equal(world->event.api_call.status, 404);
    assert_int_equal(read_as(world, world->call, CALL(",\"status\":null")), CODEC_ERROR_MISSING);
    assert_string_equal(world->reason.field, "status");
    assert_int_equal(read_as(world, world->call, CALL(",\"ip\":\"a\",\"ip\":null")), CODEC_OK);
    assert_true(view_is_absent(world->event.api_call.ip));
    assert_false(event_has(&world->event, 9));
}

static void test_whole_numbers_in_any_form(void **state)
{
    static const struct {
        const char *text;
        enum codec_error error;
        int64_t value;
    } cases[] = {
        {CALL(",\"bytes\":1.0"), CODEC_OK, 1},
        {CALL(",\"bytes\":1e3"), CODEC_OK, 1000},
        {CALL(",\"bytes\":12.50e1"), CODEC_OK, 125},
        {CALL(",\"bytes\":0.00000000000000000001e20"), CODEC_OK, 1},
        {CALL(",\"bytes\":1000000000000000000000e-20"), CODEC_OK, 10},
        {CALL(",\"bytes\":9007199254740992"), CODEC_OK, 9007199254740992},
        {CALL(",\"bytes\":9007199254740993"), CODEC_ERROR_RANGE, 0},
        {CALL(",\"bytes\":-1"), CODEC_ERROR_RANGE, 0},
        {CALL(",\"bytes\":1e400"), CODEC_ERROR_RANGE, 0},
        {CALL(",\"bytes\":99999999999999999999999"), CODEC_ERROR_RANGE, 0},
        {CALL(",\"bytes\":1.5"), CODEC_ERROR_TYPE, 0},
        {CALL(",\"bytes\":1e-400"), CODEC_ERROR_TYPE, 0},
        {CALL(",\"bytes\":\"1\""), CODEC_ERROR_TYPE, 0},
        {CALL(",\"bytes\":-0"), CODEC_OK, 0},
        {CALL(",\"bytes\":0e99999999999"), CODEC_OK, 0},
    };
    struct world *world = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(read_as(world, world->call, cases[i].text), cases[i].error);
        if (cases[i].error == CODEC_OK)
            assert_int_equal(world->event.api_call.bytes, cases[i].value);
        else
            assert_string_equal(world->reason.field, "bytes");
    }
}

static void test_reasons_name_the_field_and_never_the_value(void **state)
{
    static const struct {
        const char *text;
        enum codec_error error;
        const char *field, *reason;
    } cases[] = {
        {CALL(",\"latency_ms\":\"secret\""), CODEC_ERROR_TYPE, "latency_ms",
         "latency_ms: expected a number, at byte 115"},
        {CALL(",\"status\":1000"), CODEC_ERROR_RANGE, "status",
         "status: expected a whole number from 0 to 999, at byte 111"},
        {CALL_HEAD "\"status\":2,\"event_time\":5}", CODEC_ERROR_MISSING, "path",
         "path: required, but missing or null: expected a text, at byte 88"},
        {CALL(",\"ip\":\"\xFFsecret\""), CODEC_ERROR_ENCODING, "ip",
         "ip: expected valid UTF-8, at byte 108"},
        {CALL(",\"ip\":\"a\\u0000\""), CODEC_ERROR_ENCODING, "ip",
         "ip: expected a text without U+0000, at byte 109"},
        {CALL(",\"ip\":\"\\ud800\""), CODEC_ERROR_ENCODING, "ip",
         "ip: expected both halves of a surrogate pair, at byte 108"},
        {CALL(",\"ip\":\"a"), CODEC_ERROR_SYNTAX, "ip",
         "ip: expected the end of a text, but the message ends, at byte 110"},
        {CALL(",\"event_id\":\"\""), CODEC_ERROR_RANGE, "event_id",
         "event_id: expected a text of 1 to 256 bytes, at byte 113"},
        {"[]", CODEC_ERROR_SYNTAX, "", "expected a JSON object, at byte 0"},
        {CALL("") "x", CODEC_ERROR_SYNTAX, "", "expected nothing after the object, at byte 102"},
    };
    struct world *world = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(read_as(world, world->call, cases[i].text), cases[i].error);
        assert_string_equal(world->reason.field, cases[i].field);
        assert_string_equal(world->reason.text, cases[i].reason);
    }
}

#define ORDER_HEAD                                                                                 \
    "{\"event_id\":\"e\",\"tenant_id\":\"t\",\"order_id\":\"o\",\"amount\":1,\"currency\":"        \
    "\"EUR\","
#define ITEM "{\"product_id\":\"p\",\"quantity\":1,\"unit_price\":2}"

static void test_reasons_lead_into_lists(void **state)
{
    struct world *world = *state;

    assert_int_equal(read_as(world, world->order,
                             ORDER_HEAD "\"event_time\":5,\"items\":[" ITEM
                                        ",{\"product_id\":\"p\",\"quantity\":true}]}"),
                     CODEC_ERROR_TYPE);
    assert_string_equal(world->reason.field, "items[1].quantity");
    assert_int_equal(read_as(world, world->order,
                             ORDER_HEAD "\"event_time\":5,\"items\":[" ITEM "," ITEM
                                        ",{\"product_id\":\"p\",\"quantity\":1}]}"),
                     CODEC_ERROR_MISSING);
    assert_string_equal(world->reason.field, "items[2].unit_price");
    assert_int_equal(read_as(world, world->order, ORDER_HEAD "\"event_time\":5,\"items\":[7]}"),
                     CODEC_ERROR_TYPE);
    assert_string_equal(world->reason.field, "items[0]");
    assert_int_equal(
        read_as(world, world->order, ORDER_HEAD "\"event_time\":5,\"status\":\"Placed\"}"),
        CODEC_ERROR_CHOICE);
    assert_non_null(strstr(world->reason.text, "expected one of placed, cancelled"));
}

static void test_maps_keep_scalars_as_text(void **state)
{
    struct world *world = *state;
    const struct pair_list *map = &world->event.interaction.metadata;

    assert_int_equal(
        read_as(world, world->interaction,
                "{\"event_id\":\"e\",\"tenant_id\":\"t\",\"customer_id\":\"c\",\"type\":\"view\","
                "\"product_id\":\"p\",\"event_time\":1,\"metadata\":{\"a\":\"x\",\"b\":1.50,"
                "\"c\":null,\"d\":true,\"a\":\"y\",\"e\":{\"f\": [1]}}}"),
        CODEC_OK);
    assert_int_equal(map->count, 4);
    assert_true(view_is_text(map->at[0].value, "y"));
    assert_true(view_is_text(map->at[1].value, "1.50"));
    assert_true(view_is_text(map->at[2].value, "true"));
    assert_true(view_is_text(map->at[3].value, "{\"f\": [1]}"));
}

static void nest(struct byte_writer *out, uint32_t levels)
{
    byte_writer_reset(out);
    put(out, CALL_HEAD "\"path\":\"/\",\"status\":200,\"event_time\":5,\"x\":");
    for (uint32_t i = 0; i < levels; i++)
        put(out, i % 2 ? "[" : "{\"a\":");
    put(out, "1");
    for (uint32_t i = levels; i > 0; i--)
        put(out, (i - 1) % 2 ? "]" : "}");
    put(out, "}");
}

static void test_nesting_has_a_limit(void **state)
{
    struct world *world = *state;
    struct byte_writer out;

    byte_writer_init(&out);
    nest(&out, JSON_DEPTH_MAX - 1);
    byte_put_u8(&out, 0);
    assert_int_equal(read_as(world, world->call, out.data), CODEC_OK);
    nest(&out, JSON_DEPTH_MAX);
    byte_put_u8(&out, 0);
    assert_int_equal(read_as(world, world->call, out.data), CODEC_ERROR_SYNTAX);
    assert_non_null(strstr(world->reason.text, "64 levels"));
    nest(&out, 1000000);
    byte_put_u8(&out, 0);
    assert_int_equal(read_as(world, world->call, out.data), CODEC_ERROR_SYNTAX);
    byte_writer_free(&out);
}

static void test_every_cut_is_refused(void **state)
{
    struct world *world = *state;
    const char *text = ORDER_HEAD "\"event_time\":5,\"items\":[" ITEM "],\"status\":\"placed\","
                                  "\"x\":{\"y\":[null,-1.5e3,\"\\u20ac\"]},\"customer_id\":null}";
    const uint32_t size = (uint32_t)strlen(text);

    assert_int_equal(read_as(world, world->order, text), CODEC_OK);
    for (uint32_t cut = 0; cut < size; cut++) {
        char *exact = malloc(cut > 0 ? cut : 1);
        memcpy(exact, text, cut);
        /* The byte behind would complete it; the sanitizers watch that it is not read. */
        const enum codec_error error = json_decode(world->order, (struct view){exact, cut},
                                                   world->arena, &world->event, &world->reason);
        free(exact);
        assert_int_equal(error, CODEC_ERROR_SYNTAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agrees_with_jansson),
        cmocka_unit_test_setup_teardown(test_texts_are_views, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_the_last_of_a_name_counts, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_whole_numbers_in_any_form, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_reasons_name_the_field_and_never_the_value, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(test_reasons_lead_into_lists, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_maps_keep_scalars_as_text, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_nesting_has_a_limit, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_every_cut_is_refused, open_world, close_world),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
