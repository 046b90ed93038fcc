#include "sink/postgres_text.h"

#include <math.h>
#include <string.h>

#include "base/json_writer.h"
#include "codec/codec.h"

void array_begin(struct byte_writer *out)
{
    byte_writer_reset(out);
    byte_put_u8(out, '{');
}

static void begin_element(struct byte_writer *out)
{
    if (out->size > 1)
        byte_put_u8(out, ',');
}

void array_put_null(struct byte_writer *out)
{
    begin_element(out);
    byte_put(out, "NULL", 4);
}

void array_put_text(struct byte_writer *out, struct view text, uint32_t bytes_max)
{
    const char *at = text.data;
    const char *end = text.data + text.size;
    const char *last = text.size > bytes_max ? text.data + bytes_max : end;

    if (view_is_absent(text)) {
        array_put_null(out);
        return;
    }
    begin_element(out);
    byte_put_u8(out, '"');
    while (at < last) {
        uint32_t length = view_rune_size(at, (size_t)(end - at));

        if (length > (size_t)(last - at))
            break;
        if (length == 0 || *at == '\0') {
            byte_put(out, "\xEF\xBF\xBD", 3);
            at++;
            continue;
        }
        if (*at == '"' || *at == '\\')
            byte_put_u8(out, '\\');
        byte_put(out, at, length);
        at += length;
    }
    byte_put_u8(out, '"');
}

void array_put_int(struct byte_writer *out, int64_t value)
{
    begin_element(out);
    byte_print_int(out, value);
}

void array_put_double(struct byte_writer *out, double value)
{
    begin_element(out);
    if (isnan(value))
        byte_put(out, "NaN", 3);
    else if (isinf(value))
        byte_print(out, "%sInfinity", value < 0 ? "-" : "");
    else
        byte_print_double(out, value);
}

void array_put_bytes(struct byte_writer *out, struct view bytes)
{
    static const char hex[] = "0123456789abcdef";
    char *at;

    if (view_is_absent(bytes)) {
        array_put_null(out);
        return;
    }
    begin_element(out);
    byte_put(out, "\"\\\\x", 4);
    at = byte_writer_reserve(out, 2 * (size_t)bytes.size);
    for (uint32_t i = 0; i < bytes.size; i++) {
        *at++ = hex[(unsigned char)bytes.data[i] >> 4];
        *at++ = hex[(unsigned char)bytes.data[i] & 15];
    }
    out->size += 2 * (size_t)bytes.size;
    byte_put_u8(out, '"');
}

void array_end(struct byte_writer *out)
{
    byte_put(out, "}", 2);
    out->size--;
}

void json_drop_null_escapes(char *text, size_t size)
{
    for (size_t i = 0; i + 1 < size; i++) {
        if (text[i] != '\\')
            continue;
        if (size - i >= 6 && memcmp(text + i, "\\u0000", 6) == 0)
            memcpy(text + i, "\\ufffd", 6);
        /* Past the letter after the backslash, which may be a backslash itself. */
        i++;
    }
}

static void write_texts(const struct view_list *list, struct byte_writer *out)
{
    struct json_writer json = json_writer_on(out);

    json_begin_array(&json);
    for (uint32_t i = 0; i < list->count; i++)
        json_view(&json, list->at[i]);
    json_end_array(&json);
}

static void write_pairs(const struct pair_list *list, struct byte_writer *out)
{
    struct json_writer json = json_writer_on(out);

    json_begin_object(&json);
    for (uint32_t i = 0; i < list->count; i++) {
        json_name_view(&json, list->at[i].name);
        json_view(&json, list->at[i].value);
    }
    json_end_object(&json);
}

static void write_records(const struct shape *shape, const struct record_list *list,
                          struct byte_writer *out)
{
    byte_put_u8(out, '[');
    for (uint32_t i = 0; i < list->count; i++) {
        if (i > 0)
            byte_put_u8(out, ',');
        codec_json(shape, (const char *)list->at + i * shape->bytes, out);
    }
    byte_put_u8(out, ']');
}

void array_put_json(struct byte_writer *out, const struct field *field, const void *at,
                    struct byte_writer *scratch)
{
    byte_writer_reset(scratch);
    switch (field->type) {
    case FIELD_TEXTS:
        write_texts(at, scratch);
        break;
    case FIELD_MAP:
        write_pairs(at, scratch);
        break;
    case FIELD_RECORDS:
        write_records(field->shape, at, scratch);
        break;
    case FIELD_RECORD:
        codec_json(field->shape, at, scratch);
        break;
    case FIELD_TEXT:
    case FIELD_INT:
    case FIELD_DOUBLE:
    case FIELD_TIME:
    case FIELD_BOOL:
    case FIELD_CHOICE:
        byte_put(scratch, "null", 4);
        break;
    }
    json_drop_null_escapes(scratch->data, scratch->size);
    array_put_text(out, byte_writer_view(scratch), UINT32_MAX);
}
