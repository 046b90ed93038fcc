/* config_fuzz.c - any text as a configuration: settings, or complaints with their place. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "cli/settings.h"
#include "cli/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_tables(const struct tree *root, struct arena *arena, struct complaints *complaints)
{
    const struct option_table *const *tables = settings_tables();

    for (size_t i = 0; tables[i] != NULL; i++) {
        const struct tree *section =
            tables[i]->section[0] != '\0' ? tree_get(root, tables[i]->section) : root;
        option_read(tables[i], section, arena_alloc(arena, tables[i]->bytes), arena, complaints);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view text = {(const char *)data, (uint32_t)size};
    struct arena *arena = arena_create(65536);
    struct complaints complaints;
    struct kafka_options kafka;
    struct tree *root;

    complaints_init(&complaints, arena);
    yaml_parse_text(text, "fuzz.yaml", arena, &root, &complaints);
    if (root != NULL && root->kind == TREE_MAP) {
        read_tables(root, arena, &complaints);
        kafka_options_read(root, &kafka, arena, &complaints);
        uint32_t count = complaints.count;
        struct engine_config *config =
            engine_config_create(root, NULL, yaml_parse_text, &complaints);
        assert((config == NULL) == (complaints.count > count));
        engine_config_destroy(config);
    }
    for (const struct complaint *complaint = complaints.first; complaint != NULL;
         complaint = complaint->next)
        assert(strlen(complaint->text) > 0);
    arena_destroy(arena);
    return 0;
}
