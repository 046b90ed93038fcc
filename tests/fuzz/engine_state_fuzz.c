/*
 * A saved state behind a good header: it loads into a sound engine, or is refused.
 *
 *   1   bit 0: it was made under another configuration, bit 1: under other rules
 *   n   what follows the header
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/yaml.h"
#include "engine/engine.h"

enum { CONFIG_DIGEST_AT = 4 + 2, RULES_DIGEST_AT = CONFIG_DIGEST_AT + 8, HEADER_BYTES = 30 };

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
    uint8_t origin = size > 0 ? data[0] : 0;

    byte_writer_init(&image);
    engine_save(engine, &image);
    engine_close(engine);
    image.size = HEADER_BYTES;
    image.data[CONFIG_DIGEST_AT] ^= (char)(origin & 1);
    image.data[RULES_DIGEST_AT] ^= (char)(origin >> 1 & 1);
    byte_put(&image, data + (size > 0), size - (size > 0));
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
