/* A file for `weir replay`: plain, .gz or .zst; lines of JSON or an Avro container. The
 * first byte chooses what the events are. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/input.h"

enum { LINE_BYTES_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct codec *codec_of_the_run(void)
{
    static struct codec *codec;
    struct codec_options options;
    struct failure failure;

    if (codec != NULL)
        return codec;
    option_preset(&codec_option_table, &options);
    enum status status = codec_create(&options, &codec, &failure);
    assert(status == STATUS_OK);
    (void)status;
    return codec;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct codec *codec = codec_of_the_run();
    struct input *input = NULL;
    struct failure failure;
    struct event event;
    enum status status;
    char path[64];

    if (size < 1)
        return 0;
    int file = memfd_create("fuzz", MFD_CLOEXEC);
    assert(file >= 0);
    if (write(file, data + 1, size - 1) != (ssize_t)(size - 1)) {
        close(file);
        return 0;
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    status = input_open(path, (enum event_kind)(data[0] % EVENT_KIND_COUNT), codec, LINE_BYTES_MAX,
                        &input, &failure);
    while (status == STATUS_OK ||
           (input != NULL && status == STATUS_BROKEN && failure.remedy == REMEDY_SET_ASIDE))
        status = input_next(input, &event, &failure);
    input_close(input);
    close(file);
    return 0;
}
