#include "base/json_writer.h"

#include <math.h>
#include <string.h>

/* What a byte inside a JSON text needs: 0 nothing, 'u' a \u00XX escape, '+' a look
 * at the UTF-8 sequence it begins, else the letter after the backslash. */
static const unsigned char treatment[256] = {
    [0x00 ... 0x07] = 'u', ['\b'] = 'b',  ['\t'] = 't',          ['\n'] = 'n',
    [0x0B] = 'u',          ['\f'] = 'f',  ['\r'] = 'r',          [0x0E ... 0x1F] = 'u',
    ['"'] = '"',           ['\\'] = '\\', [0x80 ... 0xFF] = '+',
};

static void begin_value(struct json_writer *json)
{
    if (json->needs_comma)
        byte_put_u8(json->out, ',');
    json->needs_comma = true;
}

static void put_literal(struct json_writer *json, const char *text)
{
    begin_value(json);
    byte_put(json->out, text, strlen(text));
}

/* Puts what stands at `at` in an escaped form; returns the bytes that it took. */
static size_t put_special(struct byte_writer *out, const char *at, const char *end)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char byte = (unsigned char)*at;
    uint32_t length;

    switch (treatment[byte]) {
    case 'u':
        byte_put(out, (char[]){'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]}, 6);
        return 1;
    case '+':
        length = view_rune_size(at, (size_t)(end - at));
        if (length == 0) {
            byte_put(out, "\xEF\xBF\xBD", 3);
            return 1;
        }
        byte_put(out, at, length);
        return length;
    default:
        byte_put(out, (char[]){'\\', (char)treatment[byte]}, 2);
        return 1;
    }
}

static void put_quoted(struct byte_writer *out, struct view text)
{
    const char *at = text.data;
    const char *end = text.data + text.size;

    byte_put_u8(out, '"');
    while (at < end) {
        const char *start = at;
        while (at < end && treatment[(unsigned char)*at] == 0)
            at++;
        byte_put(out, start, (size_t)(at - start));
        if (at < end)
            at += put_special(out, at, end);
    }
    byte_put_u8(out, '"');
}

void json_begin_object(struct json_writer *json)
{
    begin_value(json);
    byte_put_u8(json->out, '{');
    json->needs_comma = false;
}

void json_end_object(struct json_writer *json)
{
    byte_put_u8(json->out, '}');
    json->needs_comma = true;
}

void json_begin_array(struct json_writer *json)
{
    begin_value(json);
    byte_put_u8(json->out, '[');
    json->needs_comma = false;
}

void json_end_array(struct json_writer *json)
{
    byte_put_u8(json->out, ']');
    json->needs_comma = true;
}

void json_name(struct json_writer *json, const char *name)
{
    json_name_view(json, view_of(name));
}

void json_name_view(struct json_writer *json, struct view name)
{
    begin_value(json);
    put_quoted(json->out, name);
    byte_put_u8(json->out, ':');
    json->needs_comma = false;
}

void json_view(struct json_writer *json, struct view value)
{
    if (view_is_absent(value)) {
        json_null_value(json);
        return;
    }
    begin_value(json);
    put_quoted(json->out, value);
}

void json_text(struct json_writer *json, const char *value)
{
    json_view(json, view_of(value));
}

void json_int(struct json_writer *json, int64_t value)
{
    begin_value(json);
    byte_print_int(json->out, value);
}

void json_double(struct json_writer *json, double value)
{
    if (!isfinite(value)) {
        json_null_value(json);
        return;
    }
    begin_value(json);
    byte_print_double(json->out, value);
}

void json_bool(struct json_writer *json, bool value)
{
    put_literal(json, value ? "true" : "false");
}

void json_null_value(struct json_writer *json)
{
    put_literal(json, "null");
}

void json_raw(struct json_writer *json, struct view value)
{
    begin_value(json);
    byte_put(json->out, value.data, value.size);
}
