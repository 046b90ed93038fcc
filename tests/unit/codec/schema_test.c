/* Canonical forms and fingerprints; the files of schemas/ and the shape tables say the same. */
#include "codec/schema.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "codec/schema_text.h"
#include "event/event.h"
#include "event/result.h"

enum { SHAPES = (int)EVENT_KIND_COUNT + (int)RESULT_KIND_COUNT };

static void test_canonical_forms(void **state)
{
    static const struct {
        const char *text, *canonical;
        int64_t fingerprint; /* from the test data of the Avro project; 0: not in it */
    } cases[] = {
        {"\"null\"", "\"null\"", 7195948357588979594},
        {"{\"type\":\"null\"}", "\"null\"", 7195948357588979594},
        {"\"boolean\"", "\"boolean\"", -6970731678124411036},
        {"\"int\"", "\"int\"", 8247732601305521295},
        {"\"long\"", "\"long\"", -3434872931120570953},
        {"\"float\"", "\"float\"", 5583340709985441680},
        {"\"double\"", "\"double\"", -8181574048448539266},
        {"\"bytes\"", "\"bytes\"", 5746618253357095269},
        {"\"string\"", "\"string\"", -8142146995180207161},
        {"[ \"int\"  ]", "[\"int\"]", -5232228896498058493},
        {"[ \"int\" , {\"type\":\"boolean\"} ]", "[\"int\",\"boolean\"]", 5392556393470105090},
        {"{\"fields\":[], \"type\":\"record\", \"name\":\"foo\"}",
         "{\"name\":\"foo\",\"type\":\"record\",\"fields\":[]}", -4824392279771201922},
        {"{\"fields\":[], \"type\":\"record\", \"name\":\"foo\", \"namespace\":\"x.y\"}",
         "{\"name\":\"x.y.foo\",\"type\":\"record\",\"fields\":[]}", 5916914534497305771},
        /* names: full, inherited, with dots; a second one is only named */
        {"{\"type\":\"record\",\"name\":\"A\",\"namespace\":\"n\",\"doc\":\"d\",\"aliases\":[\"B\"]"
         ","
         "\"fields\":[{\"name\":\"e\",\"type\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":["
         "\"X\","
         "\"Y\"]},\"default\":\"X\"},{\"name\":\"f\",\"type\":[\"null\",\"E\"]},{\"name\":\"g\","
         "\"type\":{\"type\":\"fixed\",\"name\":\"m.F\",\"size\":16,\"logicalType\":\"uuid\"}},"
         "{\"name\":\"h\",\"type\":{\"type\":\"array\",\"items\":\"A\"}},{\"name\":\"i\",\"type\":{"
         "\"type\":\"map\",\"values\":\"m.F\"}}]}",
         "{\"name\":\"n.A\",\"type\":\"record\",\"fields\":[{\"name\":\"e\",\"type\":{\"name\":\"n."
         "E\","
         "\"type\":\"enum\",\"symbols\":[\"X\",\"Y\"]}},{\"name\":\"f\",\"type\":[\"null\",\"n.E\"]"
         "},{"
         "\"name\":\"g\",\"type\":{\"name\":\"m.F\",\"type\":\"fixed\",\"size\":16}},{\"name\":"
         "\"h\","
         "\"type\":{\"type\":\"array\",\"items\":\"n.A\"}},{\"name\":\"i\",\"type\":{\"type\":"
         "\"map\","
         "\"values\":\"m.F\"}}]}",
         0},
    };
    struct arena *arena = arena_create(4096);
    struct byte_writer out;

    (void)state;
    byte_writer_init(&out);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct schema *schema;
        struct failure failure = {0};
        if (schema_parse(view_of(cases[i].text), arena, &schema, &failure) != STATUS_OK)
            fail_msg("%s: %s", cases[i].text, failure.text);
        byte_writer_reset(&out);
        schema_canonical(schema, &out);
        byte_put_u8(&out, 0);
        assert_string_equal(out.data, cases[i].canonical);
        if (cases[i].fingerprint != 0)
            assert_int_equal((int64_t)schema_fingerprint(schema), cases[i].fingerprint);
    }
    byte_writer_free(&out);
    arena_destroy(arena);
}

static void test_what_is_no_schema(void **state)
{
    static const char *const cases[] = {
        "",
        "{",
        "\"nothing\"",
        "\"record\"",
        "[]",
        "[[\"int\"]]",
        "7",
        "{\"type\":\"record\",\"name\":\"A\"}",
        "{\"type\":\"record\",\"name\":\"1A\",\"fields\":[]}",
        "{\"type\":\"record\",\"name\":\"A\",\"fields\":[{\"name\":\"x\"}]}",
        "{\"type\":\"record\",\"name\":\"A\",\"fields\":[{\"name\":\"x\",\"type\":\"int\"},"
        "{\"name\":\"x\",\"type\":\"int\"}]}",
        "{\"type\":\"enum\",\"name\":\"A\",\"symbols\":[]}",
        "{\"type\":\"fixed\",\"name\":\"A\",\"size\":-1}",
        "{\"type\":\"array\"}",
        "[{\"type\":\"fixed\",\"name\":\"A\",\"size\":1},{\"type\":\"enum\",\"name\":\"A\","
        "\"symbols\":[\"X\"]}]",
    };
    struct arena *arena = arena_create(4096);
    const struct schema *schema;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct failure failure = {0};
        if (schema_parse(view_of(cases[i]), arena, &schema, &failure) != STATUS_BROKEN)
            fail_msg("accepted: %s", cases[i]);
        assert_int_equal(failure.remedy, REMEDY_SET_ASIDE);
        assert_true(failure.text[0] != '\0');
    }
    arena_destroy(arena);
}

static void test_deep_schemas_are_refused(void **state)
{
    struct arena *arena = arena_create(4096);
    const struct schema *schema;
    struct failure failure;
    struct byte_writer text;

    (void)state;
    byte_writer_init(&text);
    for (int i = 0; i < 1000; i++)
        byte_print(&text, "{\"type\":\"array\",\"items\":");
    byte_print(&text, "\"int\"");
    for (int i = 0; i < 1000; i++)
        byte_put_u8(&text, '}');
    assert_int_equal(schema_parse(byte_writer_view(&text), arena, &schema, &failure),
                     STATUS_BROKEN);
    byte_writer_free(&text);
    arena_destroy(arena);
}

/* ---- schemas/ ------------------------------------------------------------------ */

static const struct shape *shape_number(int number)
{
    return number < EVENT_KIND_COUNT ? event_shape((enum event_kind)number)
                                     : result_shape((enum result_kind)(number - EVENT_KIND_COUNT));
}

/* auth_event: AuthEvent */
static void put_camel(const char *name, struct byte_writer *out)
{
    for (const char *at = name; *at != '\0'; at++)
        if (*at != '_')
            byte_put_u8(out, (uint8_t)(at == name || at[-1] == '_' ? *at - 'a' + 'A' : *at));
}

static void put_record(const struct shape *shape, bool is_top, struct byte_writer *out);

/* The type that a field has in its schema. */
static void put_type(const struct shape *shape, const struct field *field, struct byte_writer *out)
{
    switch (field->type) {
    case FIELD_TEXT:
        byte_print(out, "\"string\"");
        break;
    case FIELD_INT:
        byte_print(out, "\"long\"");
        break;
    case FIELD_DOUBLE:
        byte_print(out, "\"double\"");
        break;
    case FIELD_TIME:
        byte_print(out, "{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}");
        break;
    case FIELD_BOOL:
        byte_print(out, "\"boolean\"");
        break;
    case FIELD_CHOICE:
        byte_print(out, "{\"type\":\"enum\",\"name\":\"");
        put_camel(shape->name, out);
        put_camel(field->name, out);
        byte_print(out, "\",\"symbols\":[");
        for (int i = 0; field->choices[i] != NULL; i++)
            byte_print(out, "%s\"%s\"", i > 0 ? "," : "", field->choices[i]);
        byte_print(out, "]}");
        break;
    case FIELD_TEXTS:
        byte_print(out, "{\"type\":\"array\",\"items\":\"string\"}");
        break;
    case FIELD_MAP:
        byte_print(out, "{\"type\":\"map\",\"values\":\"string\"}");
        break;
    case FIELD_RECORD:
        put_record(field->shape, false, out);
        break;
    case FIELD_RECORDS:
        byte_print(out, "{\"type\":\"array\",\"items\":");
        put_record(field->shape, false, out);
        byte_put_u8(out, '}');
        break;
    }
}

static void put_record(const struct shape *shape, bool is_top, struct byte_writer *out)
{
    byte_print(out, "{\"type\":\"record\",\"name\":\"");
    put_camel(shape->name, out);
    byte_print(out, "\",%s\"fields\":[", is_top ? "\"namespace\":\"weir\"," : "");
    for (uint32_t i = 0; i < shape->field_count; i++) {
        const struct field *field = &shape->fields[i];
        const bool is_required = (field->flags & FIELD_REQUIRED) != 0;
        const bool may_be_null = !is_required || (field->flags & FIELD_NULLABLE) != 0;
        byte_print(out, "%s{\"name\":\"%s\",\"type\":%s", i > 0 ? "," : "", field->name,
                   may_be_null ? "[\"null\"," : "");
        put_type(shape, field, out);
        byte_print(out, "%s%s}", may_be_null ? "]" : "", is_required ? "" : ",\"default\":null");
    }
    byte_print(out, "]}");
}

/* What people read, and a program does not. */
static void drop_docs(json_t *json)
{
    const char *name;
    json_t *value;
    size_t index;

    if (json_is_object(json)) {
        json_object_del(json, "doc");
        json_object_foreach(json, name, value) drop_docs(value);
    }
    json_array_foreach(json, index, value) drop_docs(value);
}

static json_t *load(const char *name, const char *text)
{
    json_error_t error;
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, &error);

    if (json == NULL)
        fail_msg("%s: line %d: %s", name, error.line, error.text);
    return json;
}

static const char *text_of(const char *name)
{
    for (const struct schema_text *text = schema_texts; text->name != NULL; text++)
        if (strcmp(text->name, name) == 0)
            return text->text;
    return NULL;
}

static void test_shapes_and_schemas_say_the_same(void **state)
{
    struct byte_writer out;

    (void)state;
    byte_writer_init(&out);
    for (int i = 0; i < SHAPES; i++) {
        const struct shape *shape = shape_number(i);
        if (text_of(shape->name) == NULL)
            fail_msg("schemas/%s.avsc is missing", shape->name);
        byte_writer_reset(&out);
        put_record(shape, true, &out);
        byte_put_u8(&out, 0);
        json_t *file = load(shape->name, text_of(shape->name)), *table = load("table", out.data);
        drop_docs(file);
        if (!json_equal(file, table)) {
            char *text = json_dumps(file, 0);
            fail_msg("schemas/%s.avsc says %s; the shape says %s", shape->name, text, out.data);
        }
        json_decref(file);
        json_decref(table);
    }
    byte_writer_free(&out);
}

static void test_every_schema_has_a_shape(void **state)
{
    (void)state;
    for (const struct schema_text *text = schema_texts; text->name != NULL; text++) {
        const size_t size = strcspn(text->name, "."); /* order.v1 */
        bool is_known = false;
        for (int i = 0; i < SHAPES; i++)
            is_known |= strlen(shape_number(i)->name) == size &&
                        strncmp(shape_number(i)->name, text->name, size) == 0;
        if (!is_known)
            fail_msg("schemas/%s.avsc belongs to no event and no result", text->name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_canonical_forms),
        cmocka_unit_test(test_what_is_no_schema),
        cmocka_unit_test(test_deep_schemas_are_refused),
        cmocka_unit_test(test_shapes_and_schemas_say_the_same),
        cmocka_unit_test(test_every_schema_has_a_shape),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
