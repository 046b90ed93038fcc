#include "codec/reason.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const error_names[] = {
    [CODEC_OK] = "ok",
    [CODEC_ERROR_EMPTY] = "empty",
    [CODEC_ERROR_TOO_LARGE] = "too-large",
    [CODEC_ERROR_FORMAT] = "unknown-format",
    [CODEC_ERROR_SYNTAX] = "bad-syntax",
    [CODEC_ERROR_SCHEMA_UNKNOWN] = "unknown-schema",
    [CODEC_ERROR_SCHEMA] = "incompatible-schema",
    [CODEC_ERROR_MISSING] = "missing-field",
    [CODEC_ERROR_TYPE] = "wrong-type",
    [CODEC_ERROR_RANGE] = "out-of-range",
    [CODEC_ERROR_ENCODING] = "bad-encoding",
    [CODEC_ERROR_CHOICE] = "unknown-choice",
};

const char *codec_error_name(enum codec_error error)
{
    assert((unsigned)error < sizeof error_names / sizeof error_names[0]);
    return error_names[error];
}

static void print_path(const struct trail *trail, char *path, size_t bytes)
{
    size_t used = 0;

    path[0] = '\0';
    for (uint32_t level = 0; level <= trail->level && level < TRAIL_STEPS_MAX; level++) {
        const struct trail_step *step = &trail->steps[level];
        if (step->field == NULL)
            return;
        int length =
            snprintf(path + used, bytes - used, "%s%s", level > 0 ? "." : "", step->field->name);
        if (length < 0 || (used += (size_t)length) >= bytes)
            return;
        if (step->index < 0)
            continue;
        length = snprintf(path + used, bytes - used, "[%" PRId64 "]", step->index);
        if (length < 0 || (used += (size_t)length) >= bytes)
            return;
    }
}

enum codec_error reason_set(struct codec_reason *reason, enum codec_error error,
                            const struct trail *trail, size_t offset, const char *format, ...)
{
    char text[sizeof reason->text];
    va_list arguments;

    reason->error = error;
    reason->field[0] = '\0';
    if (trail != NULL)
        print_path(trail, reason->field, sizeof reason->field);
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);

    /* The place stands at both ends, whatever is cut in between. */
    char place[40];
    int place_size = snprintf(place, sizeof place, ", at byte %zu", offset);
    int field_size = snprintf(reason->text, sizeof reason->text, "%s%s", reason->field,
                              reason->field[0] != '\0' ? ": " : "");
    size_t used = (size_t)field_size;
    size_t size = strnlen(text, sizeof reason->text - 1 - used - (size_t)place_size);
    memcpy(reason->text + used, text, size);
    memcpy(reason->text + used + size, place, (size_t)place_size + 1);
    return error;
}
