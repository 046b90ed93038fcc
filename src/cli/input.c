#include "cli/input.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/unpack.h"
#include "codec/container.h"

enum { BLOCK_BYTES = 1 << 20, ARENA_CHUNK_BYTES = 64 * 1024 };

struct input {
    const char *path;
    enum event_kind kind;
    struct codec *codec;
    struct arena *arena; /* of the event handed out last */
    struct unpack *unpack;
    struct codec_container *container; /* NULL: lines */
    uint64_t number;

    /* Lines: [start, end) of the buffer is read and not yet handed out. */
    char *buffer;
    size_t capacity;
    size_t line_bytes_max;
    size_t start, end;
    bool is_at_end;
    bool is_skipping; /* the rest of a line that is too long */
};

/* For a container: the bytes looked at to see what the file is, then those after them. */
static enum status read_on(void *context, char *to, size_t size, size_t *got,
                           struct failure *failure)
{
    struct input *input = context;
    size_t left = input->end - input->start;

    if (left == 0)
        return unpack_read(input->unpack, to, size, got, failure);
    *got = left < size ? left : size;
    memcpy(to, input->buffer + input->start, *got);
    input->start += *got;
    return STATUS_OK;
}

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
    if (codec_container_is_head(input->buffer, input->end))
        status = codec_container_open(codec, kind, read_on, input, &input->container, failure);
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
    codec_container_close(input->container);
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

static enum status next_line(struct input *input, struct event *event, struct codec_reason *reason,
                             struct failure *failure)
{
    enum status status;
    struct view line;

    do
        status = take_line(input, &line, failure);
    while (status == STATUS_OK && is_blank(line));
    if (status == STATUS_FULL) {
        *reason = (struct codec_reason){.error = CODEC_ERROR_TOO_LARGE};
        snprintf(reason->text, sizeof reason->text, "longer than %zu bytes", input->line_bytes_max);
        return failure_set(failure, REMEDY_SET_ASIDE, "too large");
    }
    if (status != STATUS_OK)
        return status;
    return codec_decode_event(input->codec, input->kind, line, input->arena, event, reason,
                              failure);
}

enum status input_next(struct input *input, struct event *event, struct failure *failure)
{
    struct codec_reason reason = {0};
    enum status status;

    arena_reset(input->arena);
    if (input->container == NULL) {
        status = next_line(input, event, &reason, failure);
    } else {
        status = codec_container_next(input->container, input->arena, event, &reason, failure);
        input->number++;
    }
    if (status == STATUS_BROKEN && failure->remedy == REMEDY_SET_ASIDE)
        failure_set(failure, REMEDY_SET_ASIDE, "%s: %s", codec_error_name(reason.error),
                    reason.text);
    /* A registry that does not answer: a file is not read again later. */
    if (status == STATUS_BROKEN && failure->remedy == REMEDY_RETRY)
        failure->remedy = REMEDY_SET_ASIDE;
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
    return input->container == NULL ? "line" : "record";
}
