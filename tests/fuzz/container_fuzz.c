/*
 * Avro container files: one byte chooses the kind, the next how many bytes a read
 * gives at a time, the rest is the file.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/container.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct source {
    const uint8_t *at;
    size_t left, portion;
};

static enum status read_source(void *context, char *to, size_t size, size_t *got,
                               struct failure *failure)
{
    struct source *source = context;

    (void)failure;
    *got = size < source->portion ? size : source->portion;
    if (*got > source->left)
        *got = source->left;
    memcpy(to, source->at, *got);
    source->at += *got;
    source->left -= *got;
    return *got > 0 ? STATUS_OK : STATUS_END;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct codec *codec;
    static struct arena *arena;
    const struct codec_options options = {.message_bytes_max = 1 << 20};
    struct codec_container *container;
    struct codec_reason reason;
    struct failure failure = {0};
    struct event event;
    enum status status;

    if (codec == NULL) {
        arena = arena_create(65536);
        if (codec_create(&options, &codec, &failure) != STATUS_OK)
            abort();
    }
    if (size < 2)
        return 0;
    struct source source = {data + 2, size - 2, 1 + data[1]};
    if (codec_container_open(codec, (enum event_kind)(data[0] % EVENT_KIND_COUNT), read_source,
                             &source, &container, &failure) != STATUS_OK)
        return 0;
    do {
        arena_reset(arena);
        failure.remedy = REMEDY_NONE;
        status = codec_container_next(container, arena, &event, &reason, &failure);
    } while (status == STATUS_OK ||
             (status == STATUS_BROKEN && failure.remedy == REMEDY_SET_ASIDE));
    codec_container_close(container);
    return 0;
}
