#ifndef UNIT_ANOMALY_FLOW_TEXT_H
#define UNIT_ANOMALY_FLOW_TEXT_H
/*
 * flow_text.h - trees for tests from YAML's flow style: {name: [a, 'b'], other: {c: 1}}.
 * Line breaks count, so that complaints can be checked with their lines.
 */
#include <assert.h>
#include <string.h>

#include "base/arena.h"
#include "base/tree.h"

struct flow_reader {
    const char *at;
    uint32_t line;
    struct arena *arena;
};

static inline void flow_skip(struct flow_reader *reader)
{
    for (; *reader->at == ' ' || *reader->at == '\n' || *reader->at == ','; reader->at++)
        reader->line += *reader->at == '\n';
}

static inline struct view flow_word(struct flow_reader *reader, bool *is_quoted)
{
    const char *ends = ",]}:\n";

    *is_quoted = *reader->at == '\'';
    if (*is_quoted) {
        ends = "'";
        reader->at++;
    }
    size_t size = strcspn(reader->at, ends);
    /* A colon ends a word only when a blank follows: 2001:db8::/32 is one word. */
    while (!*is_quoted && reader->at[size] == ':' && reader->at[size + 1] != ' ')
        size += 1 + strcspn(reader->at + size + 1, ends);
    struct view word = arena_copy(reader->arena, (struct view){reader->at, (uint32_t)size});
    reader->at += size + *is_quoted;
    return word;
}

static inline struct tree *flow_read(struct flow_reader *reader)
{
    struct tree *tree = arena_alloc(reader->arena, sizeof *tree);
    struct tree **link = &tree->child;
    char opening;

    flow_skip(reader);
    opening = *reader->at;
    tree->line = reader->line;
    tree->file = "rules.yaml";
    if (opening != '{' && opening != '[') {
        tree->kind = TREE_SCALAR;
        tree->value = flow_word(reader, &tree->is_quoted);
        if (!tree->is_quoted && view_is_text(tree->value, "null"))
            tree->kind = TREE_NULL;
        return tree;
    }
    tree->kind = opening == '{' ? TREE_MAP : TREE_LIST;
    reader->at++;
    for (flow_skip(reader); *reader->at != (opening == '{' ? '}' : ']'); flow_skip(reader)) {
        struct view name = {NULL, 0};
        bool is_quoted;
        uint32_t line = reader->line;
        assert(*reader->at != '\0');
        if (opening == '{') {
            name = flow_word(reader, &is_quoted);
            assert(*reader->at == ':');
            reader->at++;
        }
        struct tree *child = flow_read(reader);
        child->name = name;
        if (opening == '{')
            child->line = line;
        *link = child;
        link = &child->next;
    }
    reader->at++;
    return tree;
}

static inline struct tree *flow_tree(const char *text, struct arena *arena)
{
    struct flow_reader reader = {text, 1, arena};

    return flow_read(&reader);
}
#endif
