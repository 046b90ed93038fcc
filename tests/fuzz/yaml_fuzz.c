/* yaml_fuzz.c - any text: a tree within its limits, or complaints; the same twice. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t count_nodes(const struct tree *tree, uint32_t depth)
{
    uint32_t count = 1;

    assert(depth <= YAML_DEPTH_MAX);
    assert(tree->line >= 1);
    assert((tree->kind == TREE_SCALAR) == !view_is_absent(tree->value));
    for (const struct tree *child = tree->child; child != NULL; child = child->next) {
        assert(view_is_absent(child->name) == (tree->kind == TREE_LIST));
        count += count_nodes(child, depth + 1);
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view text = {(const char *)data, (uint32_t)size};
    struct arena *arena = arena_create(4096);
    struct complaints complaints, again;
    struct tree *root, *root_again;

    complaints_init(&complaints, arena);
    complaints_init(&again, arena);
    enum status status = yaml_parse_text(text, "fuzz.yaml", arena, &root, &complaints);
    assert(status == (complaints.count == 0 ? STATUS_OK : STATUS_BROKEN));
    assert(root != NULL || status == STATUS_BROKEN);
    if (root != NULL)
        assert(count_nodes(root, 1) <= YAML_NODES_MAX);
    assert(yaml_parse_text(text, "fuzz.yaml", arena, &root_again, &again) == status);
    assert(again.count == complaints.count);
    arena_destroy(arena);
    return 0;
}
