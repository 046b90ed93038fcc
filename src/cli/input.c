#include "cli/input.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cli/unpack.h"

enum { BLOCK_BYTES = 1 << 20, ARENA_CHUNK_BYTES = 64 * 1024 };

struct input {
    const char *path;
    enum event_kind kind;
    struct codec *codec;
    struct arena *arena; /* of the event handed out last */
    struct unpack *unpack;
    uint64_t number;

    /* Lines: [start, end) of the buffer is read and not yet handed out. */
    char *buffer;
    size_t capacity;
    size_t line_bytes_max;
    size_t start, end;
    bool is_at_end;
    bool is_skipping; /* the rest of a line that is too long */
};

/* Makes room behind what is left, and fills it. */
static enum status fill(struct input *input, struct failure *failure)
{
    enum status status;
    size_t got;

    memmove(input->buffer, input->buffer + input->start, input->end - input->start);
    input->end -= input->start;
    input->start = 0;
    status = unpack_read(input->unpack, input->buffer + input->end, input->capacity - input->end,
                         &got, failure);
    input->end += got;
    if (status == STATUS_END)
        input->is_at_end = true;
    return status == STATUS_END ? STATUS_OK : status;
}

enum status input_open(const char *path, enum event_kind kind, struct codec *codec,
                       size_t line_bytes_max, struct input **result, struct failure *failure)
{
    static const char byte_order_mark[] = "\xEF\xBB\xBF";
    struct input *input = calloc(1, sizeof *input);
    enum status status;

    assert(input != NULL);
    *result = NULL;
    input->path = path;
    input->kind = kind;
    input->codec = codec;
    input->arena = arena_create(ARENA_CHUNK_BYTES);
    input->line_bytes_max = line_bytes_max;
    input->capacity = line_bytes_max + BLOCK_BYTES;
    input->buffer = malloc(input->capacity);
    assert(input->buffer != NULL);
    status = unpack_open(path, &input->unpack, failure);
    if (status != STATUS_OK)
        goto done;
    status = fill(input, failure);
    if (status != STATUS_OK)
        goto done;
    if (input->end >= 3 && memcmp(input->buffer, byte_order_mark, 3) == 0)
        input->start = 3;
    *result = input;
    input = NULL;

done:
    input_close(input);
    return status;
}

void input_close(struct input *input)
{
    if (input == NULL)
        return;
    unpack_close(input->unpack);
    arena_destroy(input->arena);
    free(input->buffer);
    free(input);
}

static bool is_blank(struct view line)
{
    for (uint32_t i = 0; i < line.size; i++)
        if (line.data[i] != ' ' && line.data[i] != '\t' && line.data[i] != '\r')
            return false;
    return true;
}

/* The next line without its end, too long ones left out. STATUS_FULL: one was. */
static enum status take_line(struct input *input, struct view *line, struct failure *failure)
{
    for (;;) {
        const char *start = input->buffer + input->start;
        size_t left = input->end - input->start;
        const char *close = left > 0 ? memchr(start, '\n', left) : NULL;
        size_t size = close != NULL ? (size_t)(close - start) : left;
        bool is_whole = close != NULL || (input->is_at_end && left > 0);

        if (is_whole || size > input->line_bytes_max) {
            bool was_skipping = input->is_skipping;
            input->start += size + (close != NULL ? 1 : 0);
            input->is_skipping = !is_whole;
            if (was_skipping)
                continue;
            input->number++;
            *line = (struct view){start, (uint32_t)size};
            return size > input->line_bytes_max ? STATUS_FULL : STATUS_OK;
        }
        if (input->is_at_end)
            return STATUS_END;
        enum status status = fill(input, failure);
        if (status != STATUS_OK)
            return status;
    }
}

enum status input_next(struct input *input, struct event *event, struct failure *failure)
{
    struct codec_reason reason;
    enum status status;
    struct view line;

    do
        status = take_line(input, &line, failure);
    while (status == STATUS_OK && is_blank(line));
    if (status == STATUS_FULL)
        return failure_set(failure, REMEDY_SET_ASIDE, "longer than %zu bytes",
                           input->line_bytes_max);
    if (status != STATUS_OK)
        return status;
    arena_reset(input->arena);
    status =
        codec_decode_event(input->codec, input->kind, line, input->arena, event, &reason, failure);
    if (status == STATUS_BROKEN && failure->remedy == REMEDY_SET_ASIDE)
        return failure_set(failure, REMEDY_SET_ASIDE, "%s: %s%s%s", codec_error_name(reason.error),
                           reason.field, reason.field[0] != '\0' ? ": " : "", reason.text);
    if (status == STATUS_BROKEN)
        failure->remedy = REMEDY_SET_ASIDE; /* a file is not read again later */
    return status;
}

const char *input_path(const struct input *input)
{
    return input->path;
}

uint64_t input_number(const struct input *input)
{
    return input->number;
}

const char *input_unit(const struct input *input)
{
    (void)input;
    return "line";
}
