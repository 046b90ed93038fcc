#include "codec/schema.h"

#include <assert.h>
#include <avro.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* Schemas come from a registry or from the head of a file: outside bytes. */
enum { SCHEMA_DEPTH_MAX = 64, SCHEMA_NODES_MAX = 20000 };
enum { SCHEMA_NAME_BYTES_MAX = 512 };

static const struct {
    const char *name;
    enum schema_kind kind;
} kinds[] = {
    {"null", SCHEMA_NULL},    {"boolean", SCHEMA_BOOLEAN}, {"int", SCHEMA_INT},
    {"long", SCHEMA_LONG},    {"float", SCHEMA_FLOAT},     {"double", SCHEMA_DOUBLE},
    {"bytes", SCHEMA_BYTES},  {"string", SCHEMA_STRING},   {"record", SCHEMA_RECORD},
    {"error", SCHEMA_RECORD}, {"enum", SCHEMA_ENUM},       {"fixed", SCHEMA_FIXED},
    {"array", SCHEMA_ARRAY},  {"map", SCHEMA_MAP},
};

struct parser {
    struct arena *arena;
    struct failure *failure;
    const struct schema *named[SCHEMA_NAMES_MAX];
    uint32_t named_count;
    uint32_t node_count;
    uint32_t depth;
};

static const struct schema *refuse(struct parser *parser, const char *text)
{
    failure_set(parser->failure, REMEDY_SET_ASIDE, "schema: %s", text);
    return NULL;
}

static struct schema *new_schema(struct parser *parser, enum schema_kind kind)
{
    struct schema *schema = arena_alloc(parser->arena, sizeof *schema);

    parser->node_count++;
    schema->kind = kind;
    schema->per_ms = 1;
    return schema;
}

static const struct schema *find_named(const struct parser *parser, struct view name)
{
    for (uint32_t i = 0; i < parser->named_count; i++)
        if (view_is_equal(parser->named[i]->name, name))
            return parser->named[i];
    return NULL;
}

static struct view text_of(const json_t *value)
{
    if (!json_is_string(value))
        return (struct view){NULL, 0};
    return (struct view){json_string_value(value), (uint32_t)json_string_length(value)};
}

/* A name with a dot is full already; any other belongs to the space. */
static struct view full_name(struct parser *parser, struct view name, struct view space)
{
    if (memchr(name.data, '.', name.size) != NULL || space.size == 0)
        return arena_copy(parser->arena, name);
    const char *text = arena_print(parser->arena, "%.*s.%.*s", VIEW_PRINT(space), VIEW_PRINT(name));
    return view_of(text);
}

/* What stands before the last dot. */
static struct view space_of(struct view name)
{
    for (uint32_t i = name.size; i > 0; i--)
        if (name.data[i - 1] == '.')
            return (struct view){name.data, i - 1};
    return (struct view){"", 0};
}

static bool is_name(struct view name, bool may_have_dots)
{
    bool is_start = true;

    if (name.size == 0 || name.size > SCHEMA_NAME_BYTES_MAX)
        return false;
    for (uint32_t i = 0; i < name.size; i++) {
        const char letter = name.data[i];
        const bool is_letter = ((letter | 0x20) >= 'a' && (letter | 0x20) <= 'z') || letter == '_';
        const bool is_digit = letter >= '0' && letter <= '9';
        if (letter == '.' && may_have_dots && !is_start)
            is_start = true;
        else if (is_letter || (is_digit && !is_start))
            is_start = false;
        else
            return false;
    }
    return !is_start;
}

static const struct schema *parse_any(struct parser *parser, const json_t *json, struct view space);

static const struct schema *parse_word(struct parser *parser, struct view word, struct view space)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (view_is_text(word, kinds[i].name))
            return kinds[i].kind <= SCHEMA_STRING ? new_schema(parser, kinds[i].kind)
                                                  : refuse(parser, "a type lacks its definition");
    if (!is_name(word, true))
        return refuse(parser, "a type has no valid name");
    const struct schema *known = find_named(parser, full_name(parser, word, space));
    if (known == NULL && space.size > 0)
        known = find_named(parser, word);
    return known != NULL ? known : refuse(parser, "a type is named that is not defined");
}

static const struct schema *parse_union(struct parser *parser, const json_t *json,
                                        struct view space)
{
    struct schema *schema = new_schema(parser, SCHEMA_UNION);
    const size_t count = json_array_size(json);

    if (count == 0)
        return refuse(parser, "a union has no branches");
    struct schema_part *parts = arena_alloc(parser->arena, count * sizeof *parts);
    for (size_t i = 0; i < count; i++) {
        parts[i].schema = parse_any(parser, json_array_get(json, i), space);
        if (parts[i].schema == NULL)
            return NULL;
        if (parts[i].schema->kind == SCHEMA_UNION)
            return refuse(parser, "a union stands in a union");
    }
    schema->parts = parts;
    schema->part_count = (uint32_t)count;
    return schema;
}

/* Registers the name before the parts are read: they may refer to it. */
static bool name_schema(struct parser *parser, struct schema *schema, const json_t *json,
                        struct view space)
{
    const struct view name = text_of(json_object_get(json, "name"));
    const struct view own_space = text_of(json_object_get(json, "namespace"));

    if (!is_name(name, true))
        return refuse(parser, "a type has no valid name") != NULL;
    if (own_space.size > 0 && !is_name(own_space, true))
        return refuse(parser, "a namespace is not valid") != NULL;
    schema->name = full_name(parser, name, view_is_absent(own_space) ? space : own_space);
    if (find_named(parser, schema->name) != NULL)
        return refuse(parser, "a name is defined twice") != NULL;
    if (parser->named_count == SCHEMA_NAMES_MAX)
        return refuse(parser, "too many names") != NULL;
    schema->number = parser->named_count;
    parser->named[parser->named_count++] = schema;
    return true;
}

static const struct schema *parse_record(struct parser *parser, struct schema *schema,
                                         const json_t *json, struct view space)
{
    const json_t *fields = json_object_get(json, "fields");
    const size_t count = json_array_size(fields);

    if (!name_schema(parser, schema, json, space))
        return NULL;
    if (!json_is_array(fields))
        return refuse(parser, "a record has no fields");
    struct schema_part *parts = arena_alloc(parser->arena, (count + 1) * sizeof *parts);
    for (size_t i = 0; i < count; i++) {
        const json_t *field = json_array_get(fields, i);
        const struct view name = text_of(json_object_get(field, "name"));
        const json_t *type = json_object_get(field, "type");
        if (!is_name(name, false) || type == NULL)
            return refuse(parser, "a field has no valid name or no type");
        for (size_t j = 0; j < i; j++)
            if (view_is_equal(parts[j].name, name))
                return refuse(parser, "a field is defined twice");
        parts[i].name = arena_copy(parser->arena, name);
        parts[i].schema = parse_any(parser, type, space_of(schema->name));
        if (parts[i].schema == NULL)
            return NULL;
    }
    schema->parts = parts;
    schema->part_count = (uint32_t)count;
    return schema;
}

static const struct schema *parse_enum(struct parser *parser, struct schema *schema,
                                       const json_t *json, struct view space)
{
    const json_t *symbols = json_object_get(json, "symbols");
    const size_t count = json_array_size(symbols);

    if (!name_schema(parser, schema, json, space))
        return NULL;
    if (count == 0)
        return refuse(parser, "an enum has no symbols");
    struct view *copies = arena_alloc(parser->arena, count * sizeof *copies);
    for (size_t i = 0; i < count; i++) {
        const struct view symbol = text_of(json_array_get(symbols, i));
        if (!is_name(symbol, false))
            return refuse(parser, "a symbol is not valid");
        copies[i] = arena_copy(parser->arena, symbol);
    }
    schema->symbols = copies;
    schema->symbol_count = (uint32_t)count;
    return schema;
}

static const struct schema *parse_fixed(struct parser *parser, struct schema *schema,
                                        const json_t *json, struct view space)
{
    const json_t *size = json_object_get(json, "size");

    if (!name_schema(parser, schema, json, space))
        return NULL;
    if (!json_is_integer(size) || json_integer_value(size) < 0 ||
        json_integer_value(size) > INT32_MAX)
        return refuse(parser, "a fixed has no valid size");
    schema->fixed_bytes = (uint32_t)json_integer_value(size);
    return schema;
}

static int64_t units_per_ms(struct view logical)
{
    if (view_is_text(logical, "timestamp-micros") ||
        view_is_text(logical, "local-timestamp-micros"))
        return 1000;
    if (view_is_text(logical, "timestamp-nanos") || view_is_text(logical, "local-timestamp-nanos"))
        return 1000000;
    return 1;
}

static const struct schema *parse_object(struct parser *parser, const json_t *json,
                                         struct view space)
{
    const json_t *type = json_object_get(json, "type");
    const struct view word = text_of(type);
    struct schema *schema;
    size_t row = 0;

    /* {"type": {"type": ...}} and {"type": "a.name"} */
    for (; row < sizeof kinds / sizeof kinds[0]; row++)
        if (!view_is_absent(word) && view_is_text(word, kinds[row].name))
            break;
    if (row == sizeof kinds / sizeof kinds[0])
        return parse_any(parser, type, space);

    schema = new_schema(parser, kinds[row].kind);
    switch (kinds[row].kind) {
    case SCHEMA_RECORD:
        return parse_record(parser, schema, json, space);
    case SCHEMA_ENUM:
        return parse_enum(parser, schema, json, space);
    case SCHEMA_FIXED:
        return parse_fixed(parser, schema, json, space);
    case SCHEMA_ARRAY:
        schema->item = parse_any(parser, json_object_get(json, "items"), space);
        return schema->item != NULL ? schema : NULL;
    case SCHEMA_MAP:
        schema->item = parse_any(parser, json_object_get(json, "values"), space);
        return schema->item != NULL ? schema : NULL;
    case SCHEMA_LONG:
        schema->per_ms = units_per_ms(text_of(json_object_get(json, "logicalType")));
        return schema;
    case SCHEMA_NULL:
    case SCHEMA_BOOLEAN:
    case SCHEMA_INT:
    case SCHEMA_FLOAT:
    case SCHEMA_DOUBLE:
    case SCHEMA_BYTES:
    case SCHEMA_STRING:
    case SCHEMA_UNION:
        break;
    }
    return schema;
}

static const struct schema *parse_any(struct parser *parser, const json_t *json, struct view space)
{
    const struct schema *schema;

    if (++parser->depth > SCHEMA_DEPTH_MAX || parser->node_count > SCHEMA_NODES_MAX)
        return refuse(parser, "too deep or too large");
    if (json_is_string(json))
        schema = parse_word(parser, text_of(json), space);
    else if (json_is_array(json))
        schema = parse_union(parser, json, space);
    else if (json_is_object(json))
        schema = parse_object(parser, json, space);
    else
        schema = refuse(parser, "a type is missing");
    parser->depth--;
    return schema;
}

/* avro-c has the last word on what a schema is. */
static bool is_accepted(struct view text, struct failure *failure)
{
    avro_schema_t schema = NULL;
    const bool is_good = avro_schema_from_json_length(text.data, text.size, &schema) == 0;

    if (is_good)
        avro_schema_decref(schema);
    else
        failure_set(failure, REMEDY_SET_ASIDE, "schema: %s", avro_strerror());
    return is_good;
}

enum status schema_parse(struct view text, struct arena *arena, const struct schema **schema,
                         struct failure *failure)
{
    struct parser *parser = arena_alloc(arena, sizeof *parser);
    json_error_t error;
    json_t *json = json_loadb(text.data, text.size, JSON_DECODE_ANY, &error);

    if (json == NULL)
        return failure_set(failure, REMEDY_SET_ASIDE, "schema: not JSON: %s", error.text);
    parser->arena = arena;
    parser->failure = failure;
    *schema = parse_any(parser, json, (struct view){"", 0});
    json_decref(json);
    if (*schema == NULL || !is_accepted(text, failure))
        return STATUS_BROKEN;
    return STATUS_OK;
}

static void put_name(struct byte_writer *out, struct view name)
{
    byte_put_u8(out, '"');
    byte_put(out, name.data, name.size);
    byte_put_u8(out, '"');
}

/* `is_known` has a byte for each named schema: one is written out where it stands first. */
static void put_canonical(const struct schema *schema, bool *is_known, struct byte_writer *out);

static void put_record(const struct schema *schema, bool *is_known, struct byte_writer *out)
{
    byte_print(out, ",\"type\":\"record\",\"fields\":[");
    for (uint32_t i = 0; i < schema->part_count; i++) {
        byte_print(out, "%s{\"name\":", i > 0 ? "," : "");
        put_name(out, schema->parts[i].name);
        byte_print(out, ",\"type\":");
        put_canonical(schema->parts[i].schema, is_known, out);
        byte_put_u8(out, '}');
    }
    byte_print(out, "]}");
}

static void put_enum(const struct schema *schema, struct byte_writer *out)
{
    byte_print(out, ",\"type\":\"enum\",\"symbols\":[");
    for (uint32_t i = 0; i < schema->symbol_count; i++) {
        if (i > 0)
            byte_put_u8(out, ',');
        put_name(out, schema->symbols[i]);
    }
    byte_print(out, "]}");
}

static void put_canonical(const struct schema *schema, bool *is_known, struct byte_writer *out)
{
    const bool has_name = !view_is_absent(schema->name);

    if (has_name && is_known[schema->number]) {
        put_name(out, schema->name);
        return;
    }
    if (has_name) {
        is_known[schema->number] = true;
        byte_print(out, "{\"name\":");
        put_name(out, schema->name);
    }
    switch (schema->kind) {
    case SCHEMA_RECORD:
        put_record(schema, is_known, out);
        break;
    case SCHEMA_ENUM:
        put_enum(schema, out);
        break;
    case SCHEMA_FIXED:
        byte_print(out, ",\"type\":\"fixed\",\"size\":%u}", schema->fixed_bytes);
        break;
    case SCHEMA_ARRAY:
    case SCHEMA_MAP:
        byte_print(out, schema->kind == SCHEMA_MAP ? "{\"type\":\"map\",\"values\":"
                                                   : "{\"type\":\"array\",\"items\":");
        put_canonical(schema->item, is_known, out);
        byte_put_u8(out, '}');
        break;
    case SCHEMA_UNION:
        byte_put_u8(out, '[');
        for (uint32_t i = 0; i < schema->part_count; i++) {
            if (i > 0)
                byte_put_u8(out, ',');
            put_canonical(schema->parts[i].schema, is_known, out);
        }
        byte_put_u8(out, ']');
        break;
    case SCHEMA_NULL:
    case SCHEMA_BOOLEAN:
    case SCHEMA_INT:
    case SCHEMA_LONG:
    case SCHEMA_FLOAT:
    case SCHEMA_DOUBLE:
    case SCHEMA_BYTES:
    case SCHEMA_STRING:
        put_name(out, view_of(kinds[schema->kind].name));
        break;
    }
}

void schema_canonical(const struct schema *schema, struct byte_writer *out)
{
    bool is_known[SCHEMA_NAMES_MAX] = {false};

    put_canonical(schema, is_known, out);
}

/* Avro specification, "Schema Fingerprints". */
uint64_t schema_crc64(const void *data, size_t size)
{
    const uint64_t empty = UINT64_C(0xc15d213aa4d7a795);
    const unsigned char *bytes = data;
    uint64_t crc = empty;

    /* A schema is hashed once in its life; no table is worth its memory. */
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (empty & -(crc & 1));
    }
    return crc;
}

uint64_t schema_fingerprint(const struct schema *schema)
{
    struct byte_writer canonical;

    byte_writer_init(&canonical);
    schema_canonical(schema, &canonical);
    const uint64_t fingerprint = schema_crc64(canonical.data, canonical.size);
    byte_writer_free(&canonical);
    return fingerprint;
}
