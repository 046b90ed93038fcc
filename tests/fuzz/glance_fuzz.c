/*
 * Any bytes on a terminal: a text, and a dead letter with it in every place. What comes out
 * is UTF-8 without control characters, whatever the event holds.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/glance.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require_harmless(const struct byte_writer *out)
{
    struct view line = byte_writer_view(out);

    if (!view_is_utf8(line))
        abort();
    for (uint32_t i = 0; i < line.size; i++)
        if ((unsigned char)line.data[i] < 0x20 || line.data[i] == 0x7F)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view text = {(const char *)data, (uint32_t)size};
    const struct record record = {.value = text, .timestamp_ms = (int64_t)size};
    const struct glance_letter letter = {text, text, text, text, text, text};
    struct byte_writer out;

    byte_writer_init(&out);
    glance_text(text, &out);
    require_harmless(&out);
    byte_writer_reset(&out);
    glance_dead_letter(&record, &letter, false, &out);
    require_harmless(&out);
    byte_writer_free(&out);
    return 0;
}
