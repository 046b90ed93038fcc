/* rules_fuzz.c - any text as rules: a compiled set, or complaints; the same twice. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/yaml.h"
#include "engine/engine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct engine_config *compile(struct view text, struct arena *arena,
                                     struct complaints *complaints)
{
    struct tree *root;

    complaints_init(complaints, arena);
    yaml_parse_text(text, "fuzz.yaml", arena, &root, complaints);
    /* Nothing there would mean the default rules. */
    if (root == NULL || root->kind == TREE_NULL || complaints->count > 0)
        return NULL;
    return engine_config_create(NULL, root, yaml_parse_text, complaints);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view text = {(const char *)data, (uint32_t)size};
    struct arena *arena = arena_create(65536);
    struct complaints complaints, again;
    struct engine_config *config = compile(text, arena, &complaints);
    struct engine_config *twin = compile(text, arena, &again);

    assert((config == NULL) == (twin == NULL));
    assert(complaints.count == again.count);
    assert(config == NULL || complaints.count == 0);
    if (config != NULL) {
        assert(engine_config_digest(config) == engine_config_digest(twin));
        engine_close(engine_open(config, 0));
    }
    engine_config_destroy(config);
    engine_config_destroy(twin);
    arena_destroy(arena);
    return 0;
}
