#ifndef BASE_JSON_WRITER_H
#define BASE_JSON_WRITER_H
/*
 * json_writer.h - JSON text, appended to a byte_writer.
 *
 * The caller keeps the nesting right; commas and escapes are done here. Text
 * that is not valid UTF-8 has each bad byte replaced by U+FFFD, so that the output
 * is always valid JSON. Control characters, quotes and backslashes are escaped.
 * A double prints as the shortest decimal that reads back equal, without a
 * fraction when it is whole; NaN and infinities print as null.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/view.h"

struct json_writer {
    struct byte_writer *out;
    bool needs_comma;
};

static inline struct json_writer json_writer_on(struct byte_writer *out)
{
    return (struct json_writer){out, false};
}

void json_begin_object(struct json_writer *json);
void json_end_object(struct json_writer *json);
void json_begin_array(struct json_writer *json);
void json_end_array(struct json_writer *json);
/* Inside an object: a name, then exactly one value. */
void json_name(struct json_writer *json, const char *name);
void json_name_view(struct json_writer *json, struct view name);
void json_view(struct json_writer *json, struct view value); /* absent: null */
void json_text(struct json_writer *json, const char *value); /* NULL: null */
void json_int(struct json_writer *json, int64_t value);
void json_double(struct json_writer *json, double value);
void json_bool(struct json_writer *json, bool value);
void json_null_value(struct json_writer *json); /* json_null is a function of jansson */
/* Text that is JSON already, put in as it stands. */
void json_raw(struct json_writer *json, struct view value);
#endif
