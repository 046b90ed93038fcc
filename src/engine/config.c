#include "engine/config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "engine/default_rules.h"
#include "event/topic.h"

enum { CONFIG_CHUNK_BYTES = 64 * 1024, DAY_MS = 86400000 };

static const char *const late_policies[] = {"count", "dead_letter", NULL};

#define AT(member) offsetof(struct engine_options, member)
static const struct option options[] = {
    {.name = "rooms",
     .type = OPTION_TEXT,
     .offset = AT(rooms),
     .preset = "anomaly,recommend",
     .is_list = true,
     .purpose = "What is made of the events: `anomaly` (rules and alerts), `recommend` "
                "(recommendations), or both. They share `engine.memory.bytes_max`; one that is "
                "left out takes no memory and no time."},
    {.name = "lateness",
     .type = OPTION_DURATION_MS,
     .offset = AT(lateness_ms),
     .preset = "60s",
     .least = 0,
     .most = 7 * (int64_t)DAY_MS,
     .purpose = "How far behind the newest event of its topic and partition an event may be and "
                "still count where it belongs."},
    {.name = "lateness_by_topic",
     .type = OPTION_TREE,
     .offset = AT(lateness_by_topic),
     .purpose = "Another lateness for some topics, such as `{orders: 5m}`."},
    {.name = "late",
     .type = OPTION_CHOICE,
     .offset = AT(late),
     .preset = "count",
     .choices = late_policies,
     .purpose = "What happens to an event that is later than that: it is counted only, or goes to "
                "`dead-letter` too."},
    {.name = "future.max",
     .type = OPTION_DURATION_MS,
     .offset = AT(future_max_ms),
     .preset = "1h",
     .least = 0,
     .most = 365 * (int64_t)DAY_MS,
     .purpose = "An event dated further ahead of the clock than this goes to `dead-letter`: it "
                "would make all others late."},
    {.name = "idle.after",
     .type = OPTION_DURATION_MS,
     .offset = AT(idle_after_ms),
     .preset = "5m",
     .least = 1000,
     .most = 7 * (int64_t)DAY_MS,
     .purpose = "A topic silent for so long no longer holds back rules that read several topics."},
    {.name = "idle.unseen",
     .type = OPTION_DURATION_MS,
     .offset = AT(idle_unseen_ms),
     .preset = "10s",
     .least = 1000,
     .most = 7 * (int64_t)DAY_MS,
     .purpose = "The same for a topic of which nothing has come yet in this partition: many shops "
                "never write some of them."},
    {.name = "memory.bytes_max",
     .type = OPTION_BYTES,
     .offset = AT(memory_bytes_max),
     .preset = "512MiB",
     .least = 1 << 20,
     .most = INT64_C(1) << 40,
     .unit = "a partition",
     .purpose = "The most that the state of a partition may take. The least recently active keys "
                "go first, and are counted."},
    {.name = "deduplicate",
     .type = OPTION_TREE,
     .offset = AT(deduplicate),
     .purpose = "Topics whose repeated events count once, and for how long their ids are "
                "remembered, such as `{orders: 5m}`. Repeated: same tenant, same `event_id`, and "
                "times not further apart than that."},
    {.name = "deduplicate_bytes_max",
     .type = OPTION_BYTES,
     .offset = AT(deduplicate_bytes_max),
     .preset = "64MiB",
     .least = 1 << 16,
     .most = INT64_C(1) << 37,
     .unit = "a partition",
     .purpose =
         "The most that remembered ids may take, 32 bytes each; shared equally by the topics "
         "of `engine.deduplicate`. The oldest go first."},
};

const struct option_table engine_option_table = {
    .section = "engine",
    .options = options,
    .count = sizeof options / sizeof options[0],
    .bytes = sizeof(struct engine_options),
};

const struct option_table *const *engine_option_tables(void)
{
    return room_option_tables;
}

/* The kind of event in that input topic; EVENT_KIND_COUNT and a complaint when the
 * name is none. Commands are never late and never doubled. */
static enum event_kind kind_of_topic(const struct tree *node, const char *option,
                                     struct complaints *complaints)
{
    enum topic topic = topic_find(node->name);
    int kind = topic != TOPIC_COUNT ? topic_info(topic)->event_kind : -1;

    if (kind >= 0 && kind != EVENT_COMMAND)
        return (enum event_kind)kind;
    complain(complaints, node, "engine.%s: expected an input topic such as orders, not '%.*s'",
             option, VIEW_PRINT(node->name));
    return EVENT_KIND_COUNT;
}

/* {topic: duration, ...} over what is in `values`. */
static void read_durations(const struct tree *map, const char *option, int64_t least_ms,
                           int64_t *values, struct complaints *complaints)
{
    if (map == NULL)
        return;
    if (map->kind != TREE_MAP) {
        complain(complaints, map, "engine.%s: expected a map such as {orders: 5m}", option);
        return;
    }
    for (const struct tree *node = map->child; node != NULL; node = node->next) {
        enum event_kind kind = kind_of_topic(node, option, complaints);
        int64_t value = 0;
        if (kind == EVENT_KIND_COUNT || !tree_duration_ms(node, &value, complaints))
            continue;
        if (value < least_ms || value > 7 * (int64_t)DAY_MS)
            complain(complaints, node, "engine.%s.%.*s: expected %s to 7d", option,
                     VIEW_PRINT(node->name), least_ms > 0 ? "1ms" : "0");
        else
            values[kind] = value;
    }
}

static void read_engine(struct engine_config *config, const struct tree *section,
                        struct complaints *complaints)
{
    struct engine_options *read = &config->options;

    option_read(&engine_option_table, section, read, config->arena, complaints);
    for (int kind = 0; kind < EVENT_KIND_COUNT; kind++)
        config->lateness_ms[kind] = read->lateness_ms;
    read_durations(read->lateness_by_topic, "lateness_by_topic", 0, config->lateness_ms,
                   complaints);
    read_durations(read->deduplicate, "deduplicate", 1, config->deduplicate_ms, complaints);
    for (int kind = 0; kind < EVENT_KIND_COUNT; kind++)
        if (config->deduplicate_ms[kind] > 0)
            config->deduplicate_count++;
    read->lateness_by_topic = NULL;
    read->deduplicate = NULL;
}

static uint32_t find_room(struct view name)
{
    uint32_t index = 0;

    while (index < ROOM_COUNT && !view_is_text(name, rooms[index]->name))
        index++;
    return index;
}

/* A comma between names; blanks around them do no harm. */
static void read_room_names(struct engine_config *config, const struct tree *at,
                            struct complaints *complaints)
{
    const char *rest = config->options.rooms;

    while (rest != NULL) {
        size_t size = strcspn(rest, ",");
        size_t blanks = strspn(rest, " ");
        struct view name = {rest + blanks, blanks < size ? (uint32_t)(size - blanks) : 0};
        while (name.size > 0 && name.data[name.size - 1] == ' ')
            name.size--;
        uint32_t index = find_room(name);
        if (index < ROOM_COUNT)
            config->has_room[index] = true;
        else
            complain(complaints, at, "engine.rooms: expected anomaly or recommend, not '%.*s'",
                     VIEW_PRINT(name));
        rest = rest[size] == ',' ? rest + size + 1 : NULL;
    }
}

static void read_rooms(struct engine_config *config, const struct tree *root,
                       struct complaints *complaints)
{
    for (uint32_t i = 0; i < ROOM_COUNT; i++) {
        const struct option_table *table = rooms[i]->options;
        if (table == NULL)
            continue;
        void *values = arena_alloc(config->arena, table->bytes);
        option_read(table, tree_get(root, table->section), values, config->arena, complaints);
        config->room_options[i] = values;
    }
}

static struct tree *copy_tree(const struct tree *tree, struct arena *arena)
{
    struct tree *copy = arena_alloc(arena, sizeof *copy);
    struct tree **link = &copy->child;

    *copy = *tree;
    copy->file = tree->file != NULL ? arena_copy(arena, view_of(tree->file)).data : NULL;
    copy->name = arena_copy(arena, tree->name);
    copy->value = arena_copy(arena, tree->value);
    copy->child = NULL;
    copy->next = NULL;
    for (const struct tree *child = tree->child; child != NULL; child = child->next) {
        *link = copy_tree(child, arena);
        link = &(*link)->next;
    }
    return copy;
}

static void read_rules(struct engine_config *config, const struct tree *rules,
                       struct complaints *complaints)
{
    struct tree *built_in = NULL;

    if (rules != NULL) {
        config->rules_tree = copy_tree(rules, config->arena);
    } else {
        assert(config->parse != NULL);
        if (config->parse(view_of(default_rules_text), "default rules", config->arena, &built_in,
                          complaints) != STATUS_OK)
            return;
        config->rules_tree = built_in;
    }
    config->rules = rule_set_compile(config->rules_tree, complaints);
}

struct engine_config *engine_config_create(const struct tree *root, const struct tree *rules,
                                           engine_parse_fn *parse, struct complaints *complaints)
{
    struct engine_config *config = calloc(1, sizeof *config);
    uint32_t before = complaints->count;

    assert(config != NULL);
    config->arena = arena_create(CONFIG_CHUNK_BYTES);
    config->parse = parse;
    config->partition_count = 1;
    read_engine(config, tree_get(root, "engine"), complaints);
    config->currencies = currency_read(tree_get(root, "currency"), config->arena, complaints);
    config->tenants =
        tenant_read(tree_get(root, "tenants"), config->currencies, config->arena, complaints);
    read_room_names(config, tree_get(tree_get(root, "engine"), "rooms"), complaints);
    read_rooms(config, root, complaints);
    read_rules(config, rules, complaints);
    if (complaints->count == before && config->rules != NULL)
        return config;
    engine_config_destroy(config);
    return NULL;
}

void engine_config_destroy(struct engine_config *config)
{
    if (config == NULL)
        return;
    if (config->rules != NULL)
        rule_set_destroy(config->rules);
    tenant_close(config->tenants);
    arena_destroy(config->arena);
    free(config);
}

enum status engine_config_switch(struct engine_config *config, struct view rule, bool is_enabled)
{
    enum status status = rule_set_switch(config->rules, rule, is_enabled);
    struct rule_switch **link = &config->switches;

    if (status != STATUS_OK)
        return status;
    while (*link != NULL && !view_is_equal((*link)->name, rule))
        link = &(*link)->next;
    if (*link == NULL) {
        *link = arena_alloc(config->arena, sizeof **link);
        (*link)->name = arena_copy(config->arena, rule);
    }
    (*link)->is_enabled = is_enabled;
    return STATUS_OK;
}

void engine_config_set_lateness(struct engine_config *config, int64_t lateness_ms)
{
    assert(lateness_ms >= 0);
    for (int kind = 0; kind < EVENT_KIND_COUNT; kind++)
        config->lateness_ms[kind] = lateness_ms;
}

bool engine_config_is_sharing(const struct engine_config *config)
{
    return tenant_is_any_sharing(config->tenants);
}

void engine_config_set_partitions(struct engine_config *config, int32_t count)
{
    assert(count > 0);
    config->partition_count = count;
}

/* Budgets and what is done with a refused event are left out: they shape no state, and a
 * state must survive a larger budget. So is the number of partitions: which tenants come
 * here is the input's affair. */
uint64_t engine_config_digest(const struct engine_config *config)
{
    uint64_t digest = 0;

    for (int kind = 0; kind < EVENT_KIND_COUNT; kind++) {
        digest = hash_mix(digest, (uint64_t)config->lateness_ms[kind]);
        digest = hash_mix(digest, (uint64_t)config->deduplicate_ms[kind]);
    }
    digest = hash_mix(digest, (uint64_t)config->options.future_max_ms);
    digest = hash_mix(digest, (uint64_t)config->options.idle_after_ms);
    digest = hash_mix(digest, (uint64_t)config->options.idle_unseen_ms);
    digest = tenant_digest(config->tenants, digest);
    digest = currency_digest(config->currencies, digest);
    for (uint32_t i = 0; i < ROOM_COUNT; i++)
        digest = hash_mix(digest, config->has_room[i] ? 1 : 0);
    for (uint32_t i = 0; i < ROOM_COUNT; i++)
        if (config->has_room[i] && rooms[i]->options_digest != NULL)
            digest = hash_mix(digest, rooms[i]->options_digest(config->room_options[i]));
    return hash_mix(digest, rule_set_digest(config->rules));
}

struct rule_set *config_compile(const struct engine_config *config)
{
    struct arena *arena = arena_create(CONFIG_CHUNK_BYTES);
    struct complaints complaints;
    struct rule_set *rules;

    complaints_init(&complaints, arena);
    rules = rule_set_compile(config->rules_tree, &complaints);
    assert(rules != NULL);
    for (const struct rule_switch *at = config->switches; at != NULL; at = at->next) {
        enum status status = rule_set_switch(rules, at->name, at->is_enabled);
        assert(status == STATUS_OK);
        (void)status;
    }
    arena_destroy(arena);
    return rules;
}
