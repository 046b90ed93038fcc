/*
 * From a rules document to rules. Compiling goes on after an error, so that all of
 * them are reported together.
 */
#include "anomaly/rule.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "event/topic.h"
#include "window/brief.h"

enum { NAME_BYTES_MAX = 64, TOPIC_KINDS = EVENT_OUTCOME + 1 };

static const char *const rule_fields[] = {
    "name",      "title",  "description", "category", "severity", "on",
    "selection", "filter", "type",        "field",    "group-by", "timespan",
    "condition", "quiet",  "enabled",     "steps",    "rules",    NULL,
};
static const char *const step_fields[] = {"on", "selection", "filter", "count", "name", NULL};
static const char *const type_names[] = {"event",    "event_count",      "value_count", "value_sum",
                                         "temporal", "temporal_ordered", NULL};
static const char *const category_names[] = {"security", "model", "usage", "system", NULL};
static const char *const severity_names[] = {"low", "medium", "high", NULL};

/* While one document is compiled. */
struct compiler {
    struct rule_set *set;
    struct arena *arena;
    struct complaints *complaints;
    const struct tree *list; /* of rules, for references by name */
};

static void check_names(struct compiler *compiler, const struct tree *map, const char *const *known)
{
    char list[300] = "";
    size_t used = 0;

    for (uint32_t index = 0; known[index] != NULL && used < sizeof list; index++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", index > 0 ? ", " : "",
                                 known[index]);
    for (const struct tree *child = map->child; child != NULL; child = child->next) {
        uint32_t index = 0;
        while (known[index] != NULL && !view_is_text(child->name, known[index]))
            index++;
        if (known[index] == NULL)
            complain(compiler->complaints, child, "%.*s: unknown; expected one of %s%s",
                     VIEW_PRINT(child->name), list,
                     nearest_hint(child->name, known, compiler->complaints->arena));
    }
    for (const struct tree *child = map->child; child != NULL; child = child->next)
        for (const struct tree *before = map->child; before != child; before = before->next)
            if (view_is_equal(child->name, before->name))
                complain(compiler->complaints, child, "%.*s: given twice", VIEW_PRINT(child->name));
}

/* The index of a scalar among names; `preset` when `at` is NULL; -1: complained. */
static int read_choice(struct compiler *compiler, const struct tree *at, const char *what,
                       const char *const *names, int preset)
{
    char list[200] = "";
    size_t used = 0;

    if (at == NULL && preset >= 0)
        return preset;
    for (int index = 0; names[index] != NULL; index++) {
        if (at != NULL && at->kind == TREE_SCALAR && view_is_text(at->value, names[index]))
            return index;
        if (used < sizeof list)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", index > 0 ? ", " : "",
                                     names[index]);
    }
    bool is_scalar = at != NULL && at->kind == TREE_SCALAR;
    complain(compiler->complaints, at, "%s: expected one of %s%s%.*s%s", what, list,
             is_scalar ? ", not " : "", is_scalar ? (int)at->value.size : 0,
             is_scalar ? at->value.data : "",
             is_scalar ? nearest_hint(at->value, names, compiler->complaints->arena) : "");
    return -1;
}

static uint32_t read_topic(struct compiler *compiler, const struct tree *at)
{
    const char *names[TOPIC_KINDS + 1] = {0};

    for (uint32_t kind = 0; kind < TOPIC_KINDS; kind++)
        names[kind] = topic_info(topic_of_event((enum event_kind)kind))->name;
    int kind = read_choice(compiler, at, "on", names, -1);
    return kind < 0 ? 0 : 1u << kind;
}

/* Topics as a mask of kinds; 0: complained. */
static uint32_t read_topics(struct compiler *compiler, const struct tree *at)
{
    uint32_t kinds = 0;

    if (at->kind != TREE_LIST)
        return read_topic(compiler, at);
    if (at->child == NULL)
        complain(compiler->complaints, at, "on: expected at least one topic");
    for (const struct tree *child = at->child; child != NULL; child = child->next) {
        uint32_t kind = read_topic(compiler, child);
        if (kind == 0)
            return 0;
        kinds |= kind;
    }
    return kinds;
}

static bool is_name(struct view name)
{
    for (uint32_t index = 0; index < name.size; index++)
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.",
                   name.data[index]) == NULL ||
            name.data[index] == '\0')
            return false;
    return name.size > 0 && name.size <= NAME_BYTES_MAX;
}

static const struct tree *find_rule_tree(const struct compiler *compiler, struct view name)
{
    for (const struct tree *at = compiler->list->child; at != NULL; at = at->next) {
        const struct tree *known = tree_get(at, "name");
        if (known != NULL && known->kind == TREE_SCALAR && view_is_equal(known->value, name))
            return at;
    }
    return NULL;
}

static void read_name(struct compiler *compiler, const struct tree *tree, struct rule *rule)
{
    const struct tree *at = tree_get(tree, "name");

    if (at == NULL || at->kind != TREE_SCALAR || !is_name(at->value)) {
        complain(compiler->complaints, at != NULL ? at : tree,
                 "name: expected 1 to %d letters, digits, dashes, dots or underscores",
                 NAME_BYTES_MAX);
        return;
    }
    rule->name = arena_copy(compiler->arena, at->value);
    if (find_rule_tree(compiler, at->value) != tree)
        complain(compiler->complaints, at, "name: '%.*s' is the name of an earlier rule",
                 VIEW_PRINT(at->value));
}

static void read_group(struct compiler *compiler, const struct tree *tree, struct rule *rule)
{
    const struct tree *at = tree_get(tree, "group-by");

    if (at == NULL || at->kind == TREE_NULL)
        return;
    const struct tree *name = at->kind == TREE_LIST ? at->child : at;
    for (; name != NULL; name = at->kind == TREE_LIST ? name->next : NULL) {
        if (name->kind != TREE_SCALAR) {
            complain(compiler->complaints, name, "group-by: expected names of fields");
            return;
        }
        if (view_is_text(name->value, "tenant_id"))
            continue;
        if (rule->group_count == GROUP_FIELDS_MAX) {
            complain(compiler->complaints, name, "group-by: expected at most %d fields",
                     GROUP_FIELDS_MAX);
            return;
        }
        if (!field_check(name, name->value, rule->kinds, true, compiler->complaints))
            continue;
        uint32_t index = rule->group_count++;
        rule->group_names[index] = arena_copy(compiler->arena, name->value);
        for (uint32_t kind = 0; kind < EVENT_KIND_COUNT; kind++) {
            struct field_source *source = &rule->groups[kind][index];
            if ((rule->kinds >> kind & 1) == 0)
                continue;
            *source = field_find((enum event_kind)kind, name->value, compiler->arena);
            if (source->type >= FIELD_TEXTS)
                complain(compiler->complaints, name,
                         "group-by: expected a field with a single "
                         "value, which %.*s is not",
                         VIEW_PRINT(name->value));
        }
    }
}

static void read_value_field(struct compiler *compiler, const struct tree *tree, struct rule *rule)
{
    const struct tree *at = tree_get(tree, "field");
    const struct tree *sigma = tree_get(tree_get(tree, "condition"), "field");
    bool is_needed = rule->type == RULE_VALUE_COUNT || rule->type == RULE_VALUE_SUM;
    struct complaints *complaints = compiler->complaints;

    if (at != NULL && sigma != NULL)
        complain(complaints, sigma, "field: expected once, here or in the rule");
    if (at == NULL)
        at = sigma;
    if (!is_needed) {
        if (at != NULL)
            complain(complaints, at, "field: only value_count and value_sum look at a field");
        return;
    }
    if (at == NULL || at->kind != TREE_SCALAR) {
        complain(complaints, at != NULL ? at : tree,
                 "field: expected the name of the field "
                 "whose values are %s",
                 rule->type == RULE_VALUE_SUM ? "added up" : "counted");
        return;
    }
    if (!field_check(at, at->value, rule->kinds, false, complaints))
        return;
    rule->value_name = arena_copy(compiler->arena, at->value);
    for (uint32_t kind = 0; kind < EVENT_KIND_COUNT; kind++) {
        struct field_source *source = &rule->values[kind];
        if ((rule->kinds >> kind & 1) == 0)
            continue;
        *source = field_find((enum event_kind)kind, at->value, compiler->arena);
        if (source->place == PLACE_NOWHERE)
            continue;
        bool is_number = source->type == FIELD_INT || source->type == FIELD_DOUBLE;
        if (rule->type == RULE_VALUE_SUM && !is_number)
            complain(complaints, at, "field: expected a number, which %.*s is not",
                     VIEW_PRINT(at->value));
        else if (source->type >= FIELD_TEXTS)
            complain(complaints, at,
                     "field: expected a field with a single value, which %.*s "
                     "is not",
                     VIEW_PRINT(at->value));
    }
}

/* The scalar of gte or gt; NULL: complained. */
static const struct tree *read_limit(struct compiler *compiler, const struct tree *at,
                                     struct rule *rule)
{
    const struct tree *limit = at->kind == TREE_MAP ? at->child : NULL;
    uint32_t limits = tree_count(at);

    /* As Sigma writes it: {field: user_id, gte: 10}. read_value_field looks at the field. */
    if (limit != NULL && tree_get(at, "field") != NULL) {
        limits--;
        if (view_is_text(limit->name, "field"))
            limit = limit->next;
    }
    if (limit == NULL || limits != 1) {
        complain(compiler->complaints, at, "condition: expected one limit, such as {gte: 5}");
        return NULL;
    }
    if (!view_is_text(limit->name, "gte") && !view_is_text(limit->name, "gt")) {
        complain(compiler->complaints, limit,
                 "condition: expected gte or gt, not '%.*s': only a condition that further "
                 "events make truer can be published at once and never be withdrawn",
                 VIEW_PRINT(limit->name));
        return NULL;
    }
    rule->is_strict = view_is_text(limit->name, "gt");
    return limit;
}

/* What the value must reach, as a whole number of the rule's unit. */
static void read_condition(struct compiler *compiler, const struct tree *tree, struct rule *rule)
{
    const struct tree *at = tree_get(tree, "condition");
    bool is_temporal = rule->type == RULE_TEMPORAL || rule->type == RULE_TEMPORAL_ORDERED;
    double scale = rule->type == RULE_VALUE_SUM ? SUM_SCALE : 1;
    double most = rule->type == RULE_VALUE_SUM ? 1e15 : 4e9;

    if (rule->type == RULE_EVENT) {
        if (at != NULL)
            complain(compiler->complaints, at,
                     "condition: a rule without a timespan has none: "
                     "each selected event counts by itself");
        return;
    }
    if (is_temporal && at == NULL) {
        rule->threshold = rule->step_count;
        rule->series.need = rule->step_count;
        return;
    }
    if (at == NULL) {
        complain(compiler->complaints, tree, "condition: expected a limit, such as {gte: 5}");
        return;
    }
    const struct tree *limit = read_limit(compiler, at, rule);
    if (limit == NULL || !tree_double(limit, &rule->threshold, compiler->complaints))
        return;
    double need = rule->threshold * scale;
    if (rule->type == RULE_VALUE_SUM)
        need = rule->is_strict ? nearbyint(need) + 1 : nearbyint(need);
    else
        need = rule->is_strict ? floor(need) + 1 : ceil(need);
    if (is_temporal)
        most = rule->step_count;
    if (!(need >= 1) || need > most * scale) {
        complain(compiler->complaints, limit,
                 "condition: expected a limit that something "
                 "reaches and nothing does not: above 0, at most %.17g",
                 most);
        return;
    }
    rule->series.need = (__int128)need;
}

static bool compile_step(struct compiler *compiler, const struct tree *source, uint32_t kinds,
                         struct rule_step *step)
{
    step->kinds = kinds;
    return selection_compile(tree_get(source, "selection"), tree_get(source, "filter"), kinds,
                             compiler->arena, compiler->complaints, step->selections);
}

static bool read_count(struct compiler *compiler, const struct tree *at, uint32_t *count)
{
    int64_t value = 1;

    if (at != NULL && !tree_int(at, &value, compiler->complaints))
        return false;
    if (value < 1 || value > 1000000) {
        complain(compiler->complaints, at, "count: expected 1 to 1000000");
        return false;
    }
    *count = (uint32_t)value;
    return true;
}

static void read_step(struct compiler *compiler, const struct tree *at, uint32_t preset_kinds,
                      struct rule_step *step, uint32_t *count)
{
    const struct tree *on = tree_get(at, "on");
    uint32_t kinds = preset_kinds;

    if (at->kind != TREE_MAP) {
        complain(compiler->complaints, at, "steps: expected a map with a selection");
        return;
    }
    check_names(compiler, at, step_fields);
    if (on != NULL)
        kinds = read_topics(compiler, on);
    else if (kinds == 0)
        complain(compiler->complaints, at, "on: expected a topic, here or in the rule");
    if (kinds == 0 || !read_count(compiler, tree_get(at, "count"), count))
        return;
    compile_step(compiler, at, kinds, step);
}

/* A step that is another rule's selection; its count is what that rule waits for. */
static void read_reference(struct compiler *compiler, const struct tree *at, struct rule_step *step,
                           uint32_t *count)
{
    const struct tree *other = at->kind == TREE_SCALAR ? find_rule_tree(compiler, at->value) : NULL;
    const struct tree *on = tree_get(other, "on");
    const struct tree *type = tree_get(other, "type");
    struct rule like = {.type = RULE_EVENT_COUNT};

    if (other == NULL || on == NULL) {
        complain(compiler->complaints, at, "rules: expected the names of rules of this file%s%.*s",
                 at->kind == TREE_SCALAR ? ", which has no " : "",
                 at->kind == TREE_SCALAR ? (int)at->value.size : 0,
                 at->kind == TREE_SCALAR ? at->value.data : "");
        return;
    }
    if (type != NULL && (type->kind != TREE_SCALAR || (!view_is_text(type->value, "event_count") &&
                                                       !view_is_text(type->value, "event")))) {
        complain(compiler->complaints, at,
                 "rules: '%.*s' is neither an event rule nor an event_count: write its selection "
                 "as a step instead",
                 VIEW_PRINT(at->value));
        return;
    }
    uint32_t kinds = read_topics(compiler, on);
    if (tree_get(other, "timespan") != NULL)
        read_condition(compiler, other, &like);
    if (like.series.need > 0)
        *count = (uint32_t)like.series.need;
    if (kinds != 0)
        compile_step(compiler, other, kinds, step);
}

static void read_steps(struct compiler *compiler, const struct tree *tree, struct rule *rule,
                       uint32_t kinds)
{
    const struct tree *steps = tree_get(tree, "steps");
    const struct tree *references = tree_get(tree, "rules");
    const struct tree *list = steps != NULL ? steps : references;
    uint32_t count = list != NULL && list->kind == TREE_LIST ? tree_count(list) : 0;

    if (steps != NULL && references != NULL)
        complain(compiler->complaints, references, "rules: expected either steps or rules");
    if (count < 1 || count > STEPS_MAX) {
        complain(compiler->complaints, list != NULL ? list : tree,
                 "steps: expected a list of 1 to %d steps", STEPS_MAX);
        return;
    }
    if (tree_get(tree, "selection") != NULL || tree_get(tree, "filter") != NULL)
        complain(compiler->complaints, tree,
                 "selection: in a temporal rule it belongs into each step");
    struct rule_step *step = arena_alloc(compiler->arena, count * sizeof *step);
    rule->step = step;
    rule->step_count = count;
    const struct tree *at = list->child;
    for (uint32_t index = 0; index < count; index++, at = at->next) {
        rule->steps.counts[index] = 1;
        if (steps != NULL)
            read_step(compiler, at, kinds, &step[index], &rule->steps.counts[index]);
        else
            read_reference(compiler, at, &step[index], &rule->steps.counts[index]);
        rule->kinds |= step[index].kinds;
    }
}

static void read_what(struct compiler *compiler, const struct tree *tree, struct rule *rule)
{
    const struct tree *on = tree_get(tree, "on");
    uint32_t kinds = on != NULL ? read_topics(compiler, on) : 0;

    if (rule->type == RULE_TEMPORAL || rule->type == RULE_TEMPORAL_ORDERED) {
        read_steps(compiler, tree, rule, kinds);
        return;
    }
    if (tree_get(tree, "steps") != NULL || tree_get(tree, "rules") != NULL)
        complain(compiler->complaints, tree, "steps: only temporal and temporal_ordered have them");
    if (on == NULL)
        complain(compiler->complaints, tree, "on: expected a topic or a list of topics");
    rule->kinds = kinds;
    struct rule_step *step = arena_alloc(compiler->arena, sizeof *step);
    rule->step = step;
    rule->step_count = 1;
    if (kinds != 0)
        compile_step(compiler, tree, kinds, step);
}

/* type, timespan and quiet, which decide what else there may be. */
static void read_window(struct compiler *compiler, const struct tree *tree, struct rule *rule)
{
    const struct tree *span = tree_get(tree, "timespan");
    const struct tree *type = tree_get(tree, "type");
    const struct tree *quiet = tree_get(tree, "quiet");
    const int64_t most_ms = INT64_C(366) * 86400000;
    int chosen = read_choice(compiler, type, "type", type_names, span == NULL ? RULE_EVENT : -1);

    rule->type = chosen < 0 ? RULE_EVENT : (enum rule_type)chosen;
    if (span != NULL && tree_duration_ms(span, &rule->window_ms, compiler->complaints) &&
        (rule->window_ms < 1 || rule->window_ms > most_ms))
        complain(compiler->complaints, span, "timespan: expected 1ms to 366d");
    if (span == NULL && rule->type != RULE_EVENT)
        complain(compiler->complaints, tree,
                 "timespan: expected a duration such as 5m, which "
                 "type: %s needs",
                 type_names[rule->type]);
    if (span != NULL && rule->type == RULE_EVENT && chosen >= 0)
        complain(compiler->complaints, span, "timespan: a rule of type event has none");
    rule->has_episodes = rule->type != RULE_EVENT || quiet != NULL;
    rule->quiet_ms = rule->window_ms;
    if (quiet != NULL && tree_duration_ms(quiet, &rule->quiet_ms, compiler->complaints) &&
        (rule->quiet_ms < 0 || rule->quiet_ms > most_ms))
        complain(compiler->complaints, quiet, "quiet: expected 0ms to 366d");
}

static void digest_tree(const struct tree *tree, uint64_t *digest)
{
    uint32_t count = 0;

    *digest = hash_mix(*digest, (uint64_t)tree->kind);
    *digest = hash_mix(*digest, hash_view(tree->name, 1));
    *digest = hash_mix(*digest, hash_view(tree->value, tree->is_quoted ? 3 : 2));
    for (const struct tree *child = tree->child; child != NULL; child = child->next) {
        /* What people read, and whether it runs, is not what it means. */
        if (view_is_text(child->name, "title") || view_is_text(child->name, "description") ||
            view_is_text(child->name, "enabled"))
            continue;
        digest_tree(child, digest);
        count++;
    }
    *digest = hash_mix(*digest, count);
}

/* Of the definition as written, with those of the rules that it refers to. */
static uint64_t digest_rule(const struct compiler *compiler, const struct tree *tree)
{
    const struct tree *references = tree_get(tree, "rules");
    uint64_t digest = 0;

    digest_tree(tree, &digest);
    if (references == NULL)
        return digest;
    for (const struct tree *at = references->child; at != NULL; at = at->next) {
        const struct tree *other = find_rule_tree(compiler, at->value);
        if (other != NULL)
            digest_tree(other, &digest);
    }
    return digest;
}

static struct view read_text(struct compiler *compiler, const struct tree *tree, const char *name)
{
    const struct tree *at = tree_get(tree, name);

    if (at == NULL || at->kind == TREE_NULL)
        return (struct view){NULL, 0};
    if (at->kind != TREE_SCALAR) {
        complain(compiler->complaints, at, "%s: expected a text", name);
        return (struct view){NULL, 0};
    }
    return arena_copy(compiler->arena, at->value);
}

static void compile_rule(struct compiler *compiler, const struct tree *tree, struct rule *rule)
{
    const struct tree *enabled = tree_get(tree, "enabled");

    rule->is_enabled = true;
    if (tree->kind != TREE_MAP) {
        complain(compiler->complaints, tree, "rules: expected a map with a name");
        return;
    }
    check_names(compiler, tree, rule_fields);
    read_name(compiler, tree, rule);
    rule->title = read_text(compiler, tree, "title");
    read_text(compiler, tree, "description");
    int category = read_choice(compiler, tree_get(tree, "category"), "category", category_names,
                               ALERT_SECURITY);
    int severity = SEVERITY_LOW;
    if (tree_get(tree, "severity") != NULL)
        severity =
            read_choice(compiler, tree_get(tree, "severity"), "severity", severity_names, -1);
    else
        complain(compiler->complaints, tree, "severity: missing; expected low, medium or high");
    rule->category = (enum alert_category)category;
    rule->severity = (enum alert_severity)severity;
    if (enabled != NULL)
        tree_bool(enabled, &rule->is_enabled, compiler->complaints);
    read_window(compiler, tree, rule);
    read_what(compiler, tree, rule);
    if (rule->kinds != 0) {
        read_group(compiler, tree, rule);
        read_value_field(compiler, tree, rule);
    }
    read_condition(compiler, tree, rule);
    rule->series.kind = rule->type == RULE_VALUE_COUNT ? SERIES_COVER
                        : rule->type == RULE_VALUE_SUM ? SERIES_SUM
                                                       : SERIES_COUNT;
    rule->series.window_ms = rule->window_ms;
    rule->steps.window_ms = rule->window_ms;
    rule->steps.is_in_turn = rule->type == RULE_TEMPORAL_ORDERED;
    rule->steps.need = (uint32_t)rule->series.need;
    rule->steps.step_count = rule->step_count;
    if (rule->type == RULE_EVENT_COUNT && rule->series.need > 1)
        rule->brief_most =
            rule->series.need > BRIEF_MAX ? BRIEF_MAX : (uint32_t)rule->series.need - 1;
    else if (rule->type == RULE_TEMPORAL_ORDERED)
        rule->brief_most = BRIEF_MAX;
    rule->digest = digest_rule(compiler, tree);
}

static void list_lane(struct rule_set *set, uint32_t kinds)
{
    for (uint32_t index = 0; index < set->lane_count; index++)
        if (set->lanes[index] == kinds)
            return;
    set->lanes[set->lane_count++] = kinds;
}

static void skip_same(struct reader *readers, uint32_t count)
{
    for (uint32_t at = count; at-- > 0;) {
        const struct reader *next = &readers[at + 1];
        readers[at].other = at + 1;
        if (at + 1 < count && readers[at].only != NULL && next->only != NULL &&
            selection_is_same(readers[at].only, next->only))
            readers[at].other = next->other;
    }
}

static void list_readers(struct rule_set *set)
{
    set->lane_count = 0;
    for (uint32_t index = 0; index < set->count; index++)
        if (set->rules[index].is_enabled && set->rules[index].has_episodes)
            list_lane(set, set->rules[index].kinds);
    for (uint32_t kind = 0; kind < EVENT_KIND_COUNT; kind++) {
        set->reader_counts[kind] = 0;
        for (uint32_t index = 0; index < set->count; index++) {
            const struct rule *rule = &set->rules[index];
            if (rule->is_enabled && (rule->kinds >> kind & 1) != 0)
                set->readers[kind][set->reader_counts[kind]++] = (struct reader){
                    rule, rule->step_count == 1 ? &rule->step[0].selections[kind] : NULL, 0};
        }
        skip_same(set->readers[kind], set->reader_counts[kind]);
    }
}

static struct rule_set *create_set(uint32_t count)
{
    struct arena *arena = arena_create(16384);
    struct rule_set *set = arena_alloc(arena, sizeof *set);

    set->arena = arena;
    set->count = count;
    set->rules = arena_alloc(arena, (count + 1) * sizeof *set->rules);
    set->lanes = arena_alloc(arena, (count + 1) * sizeof *set->lanes);
    for (uint32_t kind = 0; kind < EVENT_KIND_COUNT; kind++)
        set->readers[kind] = arena_alloc(arena, (count + 1) * sizeof *set->readers[kind]);
    return set;
}

struct rule_set *rule_set_compile(const struct tree *root, struct complaints *complaints)
{
    static const char *const root_fields[] = {"rules", NULL};
    const struct tree *list = tree_get(root, "rules");
    uint32_t complained = complaints->count;

    if (list == NULL || (list->kind != TREE_LIST && list->kind != TREE_NULL)) {
        complain(complaints, list != NULL ? list : root, "rules: expected a list of rules");
        return NULL;
    }
    uint32_t count = tree_count(list);
    if (count > RULES_MAX) {
        complain(complaints, list, "rules: expected at most %d", RULES_MAX);
        return NULL;
    }
    struct rule_set *set = create_set(count);
    struct compiler compiler = {set, set->arena, complaints, list};
    check_names(&compiler, root, root_fields);
    uint32_t index = 0;
    for (const struct tree *tree = list->child; tree != NULL; tree = tree->next, index++) {
        set->rules[index].index = index;
        compile_rule(&compiler, tree, &set->rules[index]);
    }
    if (complaints->count > complained) {
        rule_set_destroy(set);
        return NULL;
    }
    list_readers(set);
    return set;
}

void rule_set_destroy(struct rule_set *rules)
{
    if (rules != NULL)
        arena_destroy(rules->arena);
}

uint32_t rule_set_count(const struct rule_set *rules)
{
    return rules->count;
}

struct view rule_set_name(const struct rule_set *rules, uint32_t index)
{
    assert(index < rules->count);
    return rules->rules[index].name;
}

bool rule_set_is_enabled(const struct rule_set *rules, uint32_t index)
{
    assert(index < rules->count);
    return rules->rules[index].is_enabled;
}

enum status rule_set_switch(struct rule_set *rules, struct view name, bool is_enabled)
{
    for (uint32_t index = 0; index < rules->count; index++) {
        if (!view_is_equal(rules->rules[index].name, name))
            continue;
        rules->rules[index].is_enabled = is_enabled;
        list_readers(rules);
        return STATUS_OK;
    }
    return STATUS_ABSENT;
}

bool rule_set_reads(const struct rule_set *rules, enum event_kind kind)
{
    return rules->reader_counts[kind] > 0;
}

uint64_t rule_set_digest(const struct rule_set *rules)
{
    uint64_t digest = rules->count;

    for (uint32_t index = 0; index < rules->count; index++) {
        const struct rule *rule = &rules->rules[index];
        digest = hash_mix(digest, rule->digest);
        /* Alerts carry the title. */
        digest = hash_mix(digest, hash_view(rule->title, rule->is_enabled ? 1 : 0));
    }
    return digest;
}

const struct rule *rule_set_find(const struct rule_set *rules, uint64_t digest)
{
    for (uint32_t index = 0; index < rules->count; index++)
        if (rules->rules[index].digest == digest && rules->rules[index].is_enabled)
            return &rules->rules[index];
    return NULL;
}
