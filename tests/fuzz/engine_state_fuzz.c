/* A saved state behind a good header: it loads into a sound engine, or is refused. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/yaml.h"
#include "engine/engine.h"

enum { HEADER_BYTES = 4 + 2 + 8 + 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct engine_config *config_of_the_run(void)
{
    static const char text[] = "engine: {deduplicate: {orders: 5m}, memory.bytes_max: 4MiB}";
    static struct engine_config *config;
    struct complaints complaints;
    struct tree *root;

    if (config != NULL)
        return config;
    struct arena *arena = arena_create(65536);
    complaints_init(&complaints, arena);
    yaml_parse_text(view_of(text), "fuzz", arena, &root, &complaints);
    config = engine_config_create(root, NULL, yaml_parse_text, &complaints);
    assert(config != NULL);
    arena_destroy(arena);
    return config;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct engine_config *config = config_of_the_run();
    struct engine *engine = engine_open(config, 0);
    struct outbox *outbox = outbox_create();
    struct byte_writer image;
    struct byte_reader reader;
    struct failure failure;

    byte_writer_init(&image);
    engine_save(engine, &image);
    engine_close(engine);
    image.size = HEADER_BYTES;
    byte_put(&image, data, size);
    reader = byte_reader_of(image.data, image.size);
    engine = engine_load(config, 0, &reader, &failure);
    if (engine != NULL) {
        byte_writer_reset(&image);
        engine_save(engine, &image);
        engine_finish(engine, outbox);
        engine_close(engine);
    }
    byte_writer_free(&image);
    outbox_destroy(outbox);
    return 0;
}
