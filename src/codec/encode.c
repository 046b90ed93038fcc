#include "codec/encode.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/json_writer.h"
#include "codec/codec.h"

static const char *choice_name(const struct field *field, int64_t number)
{
    for (int64_t i = 0; field->choices[i] != NULL; i++)
        if (i == number)
            return field->choices[i];
    return NULL;
}

/* ---- JSON ---------------------------------------------------------------------- */

static void put_json_record(const struct shape *shape, const void *record,
                            struct json_writer *json);

static void put_json_texts(const struct view_list *list, struct json_writer *json)
{
    json_begin_array(json);
    for (uint32_t i = 0; i < list->count; i++)
        json_view(json, list->at[i]);
    json_end_array(json);
}

static void put_json_pairs(const struct pair_list *list, struct json_writer *json)
{
    json_begin_object(json);
    for (uint32_t i = 0; i < list->count; i++) {
        json_name_view(json, list->at[i].name);
        json_view(json, list->at[i].value);
    }
    json_end_object(json);
}

static void put_json_records(const struct shape *shape, const struct record_list *list,
                             struct json_writer *json)
{
    json_begin_array(json);
    for (uint32_t i = 0; i < list->count; i++)
        put_json_record(shape, (const char *)list->at + i * shape->bytes, json);
    json_end_array(json);
}

static void put_json_value(const struct field *field, const void *at, struct json_writer *json)
{
    switch (field->type) {
    case FIELD_TEXT:
        json_view(json, *(const struct view *)at);
        break;
    case FIELD_INT:
    case FIELD_TIME:
        json_int(json, *(const int64_t *)at);
        break;
    case FIELD_DOUBLE:
        json_double(json, *(const double *)at);
        break;
    case FIELD_BOOL:
        json_bool(json, *(const bool *)at);
        break;
    case FIELD_CHOICE:
        json_text(json, choice_name(field, *(const int64_t *)at));
        break;
    case FIELD_TEXTS:
        put_json_texts(at, json);
        break;
    case FIELD_MAP:
        put_json_pairs(at, json);
        break;
    case FIELD_RECORD:
        put_json_record(field->shape, at, json);
        break;
    case FIELD_RECORDS:
        put_json_records(field->shape, at, json);
        break;
    }
}

static void put_json_record(const struct shape *shape, const void *record, struct json_writer *json)
{
    json_begin_object(json);
    for (uint32_t i = 0; i < shape->field_count; i++) {
        const struct field *field = &shape->fields[i];
        const bool is_given = shape_has(shape, record, i);
        if (!is_given && !(field->flags & FIELD_REQUIRED))
            continue;
        json_name(json, field->name);
        if (is_given)
            put_json_value(field, (const char *)record + field->offset, json);
        else
            json_null_value(json);
    }
    json_end_object(json);
}

void codec_json(const struct shape *shape, const void *record, struct byte_writer *out)
{
    struct json_writer json = json_writer_on(out);

    put_json_record(shape, record, &json);
}

/* ---- Avro ---------------------------------------------------------------------- */

static void put_text(struct view text, struct byte_writer *out)
{
    byte_put_svarint(out, text.size);
    byte_put(out, text.data, text.size);
}

/* A list is one block, if any, and the empty block that ends it. */
static void put_count(uint32_t count, struct byte_writer *out)
{
    if (count > 0)
        byte_put_svarint(out, count);
}

static enum status put_records(const struct shape *shape, const struct record_list *list,
                               struct byte_writer *out, struct failure *failure)
{
    put_count(list->count, out);
    for (uint32_t i = 0; i < list->count; i++) {
        const void *record = (const char *)list->at + i * shape->bytes;
        if (encode_avro(shape, record, out, failure) != STATUS_OK)
            return STATUS_BROKEN;
    }
    byte_put_u8(out, 0);
    return STATUS_OK;
}

static enum status put_value(const struct field *field, const void *at, struct byte_writer *out,
                             struct failure *failure)
{
    const struct view_list *texts = at;
    const struct pair_list *pairs = at;

    switch (field->type) {
    case FIELD_TEXT:
        put_text(*(const struct view *)at, out);
        break;
    case FIELD_INT:
    case FIELD_TIME:
        byte_put_svarint(out, *(const int64_t *)at);
        break;
    case FIELD_CHOICE:
        /* Symbols are in the order of the choices. */
        assert(choice_name(field, *(const int64_t *)at) != NULL);
        byte_put_svarint(out, *(const int64_t *)at);
        break;
    case FIELD_DOUBLE:
        byte_put_double(out, *(const double *)at);
        break;
    case FIELD_BOOL:
        byte_put_u8(out, *(const bool *)at);
        break;
    case FIELD_TEXTS:
        put_count(texts->count, out);
        for (uint32_t i = 0; i < texts->count; i++)
            put_text(texts->at[i], out);
        byte_put_u8(out, 0);
        break;
    case FIELD_MAP:
        put_count(pairs->count, out);
        for (uint32_t i = 0; i < pairs->count; i++) {
            put_text(pairs->at[i].name, out);
            put_text(pairs->at[i].value, out);
        }
        byte_put_u8(out, 0);
        break;
    case FIELD_RECORD:
        return encode_avro(field->shape, at, out, failure);
    case FIELD_RECORDS:
        return put_records(field->shape, at, out, failure);
    }
    return STATUS_OK;
}

enum status encode_avro(const struct shape *shape, const void *record, struct byte_writer *out,
                        struct failure *failure)
{
    for (uint32_t i = 0; i < shape->field_count; i++) {
        const struct field *field = &shape->fields[i];
        const bool is_given = shape_has(shape, record, i);
        const bool may_be_null =
            !(field->flags & FIELD_REQUIRED) || (field->flags & FIELD_NULLABLE);

        if (may_be_null)
            byte_put_u8(out, is_given ? 2 : 0); /* branch 1 or 0, zig-zag */
        else if (!is_given)
            return failure_set(failure, REMEDY_SET_ASIDE, "%s: required field %s is absent",
                               shape->name, field->name);
        if (is_given &&
            put_value(field, (const char *)record + field->offset, out, failure) != STATUS_OK)
            return STATUS_BROKEN;
    }
    return STATUS_OK;
}
