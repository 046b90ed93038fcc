#ifndef UNIT_PIPELINE_RULE_TREE_H
#define UNIT_PIPELINE_RULE_TREE_H
/*
 * rule_tree.h - a rules document made by hand, for tests below the floor of YAML.
 */
#include "base/arena.h"
#include "base/tree.h"

static inline struct tree *rule_tree_add(struct arena *arena, struct tree *parent,
                                         enum tree_kind kind, const char *name, const char *value)
{
    struct tree *node = arena_alloc(arena, sizeof(*node));
    struct tree **place = parent != NULL ? &parent->child : NULL;

    node->kind = kind;
    node->file = "test";
    node->line = 1;
    node->name = view_of(name);
    node->value = view_of(value);
    while (place != NULL && *place != NULL)
        place = &(*place)->next;
    if (place != NULL)
        *place = node;
    return node;
}

/* More than `limit` events of `topic` within the timespan, by `group` and tenant. */
static inline void rule_tree_count(struct arena *arena, struct tree *rules, const char *name,
                                   const char *topic, const char *group, const char *limit,
                                   const char *timespan)
{
    struct tree *rule = rule_tree_add(arena, rules, TREE_MAP, NULL, NULL);
    struct tree *groups;

    rule_tree_add(arena, rule, TREE_SCALAR, "name", name);
    rule_tree_add(arena, rule, TREE_SCALAR, "severity", "high");
    rule_tree_add(arena, rule, TREE_SCALAR, "on", topic);
    rule_tree_add(arena, rule, TREE_SCALAR, "type", "event_count");
    groups = rule_tree_add(arena, rule, TREE_LIST, "group-by", NULL);
    rule_tree_add(arena, groups, TREE_SCALAR, NULL, "tenant_id");
    if (group != NULL)
        rule_tree_add(arena, groups, TREE_SCALAR, NULL, group);
    rule_tree_add(arena, rule, TREE_SCALAR, "timespan", timespan);
    rule_tree_add(arena, rule_tree_add(arena, rule, TREE_MAP, "condition", NULL), TREE_SCALAR, "gt",
                  limit);
}

static inline struct tree *rule_tree_begin(struct arena *arena, struct tree **rules)
{
    struct tree *root = rule_tree_add(arena, NULL, TREE_MAP, NULL, NULL);

    *rules = rule_tree_add(arena, root, TREE_LIST, "rules", NULL);
    return root;
}
#endif
