/*
 * real_engine.c - the simulation with the engine of the product, and rules.
 *
 * Besides the judge's comparison, record for record: what stands in the alerts topic
 * at the end is the episodes that brute force finds in the sorted stream, whatever the
 * order of arrival, the crashes and the moves.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "simulation/world.h"
#include "unit/anomaly/oracle.h"
#include "unit/pipeline/rule_tree.h"

enum { NOTES_MAX = 8192, ALERTS_MAX = 8192, NAME_BYTES = 32, GROUP_EPISODES_MAX = 512 };

static const struct count_rule {
    const char *name, *topic, *group, *limit, *timespan;
    enum event_kind kind;
    struct oracle_rule oracle;
} rules[] = {
    {"failures",
     "auth-events",
     "user_id",
     "2",
     "10s",
     EVENT_AUTH,
     {.kind = ORACLE_EVENT_COUNT, .window_ms = 10000, .quiet_ms = 10000, .need = 3}},
    {"buyers",
     "orders",
     "customer_id",
     "2",
     "5s",
     EVENT_ORDER,
     {.kind = ORACLE_EVENT_COUNT, .window_ms = 5000, .quiet_ms = 5000, .need = 3}},
    {"callers",
     "api-calls",
     NULL,
     "4",
     "7s",
     EVENT_API_CALL,
     {.kind = ORACLE_EVENT_COUNT, .window_ms = 7000, .quiet_ms = 7000, .need = 5}},
};
enum { RULE_COUNT = sizeof(rules) / sizeof(rules[0]) };

struct note {
    uint32_t rule;
    char tenant[NAME_BYTES], group[NAME_BYTES];
    int64_t time_ms;
};

struct final_alert {
    char id[64], rule[NAME_BYTES], tenant[NAME_BYTES], group[NAME_BYTES];
    int64_t status, opened_ms, last_ms, first_ms, count;
    double value;
    bool is_merged, is_matched;
};

/* The stranger buys nothing: it sees what the others sell. Nobody is there to differ by. */
static const char *const sharers[] = {"t0", "t1", "t2", "t3", "stranger"}, nobody[] = "nobody";

static void add_sharer(struct arena *arena, struct tree *ids, const char *id)
{
    rule_tree_add(arena, rule_tree_add(arena, ids, TREE_MAP, id, NULL), TREE_SCALAR, "sharing",
                  "true");
}

static struct note notes[NOTES_MAX];
static uint32_t note_count;
static struct final_alert alerts[ALERTS_MAX];
static uint32_t alert_count;

struct engine_config *machine_config(bool is_other)
{
    struct arena *arena = arena_create(16384);
    struct complaints complaints;
    struct tree *list;
    struct tree *root = rule_tree_begin(arena, &list);
    struct tree *root_config = rule_tree_add(arena, NULL, TREE_MAP, NULL, NULL);
    struct tree *tenants = rule_tree_add(arena, root_config, TREE_MAP, "tenants", NULL);
    struct tree *ids;
    struct engine_config *config;

    complaints_init(&complaints, arena);
    for (uint32_t i = 0; i < RULE_COUNT; i++)
        rule_tree_count(arena, list, rules[i].name, rules[i].topic, rules[i].group, rules[i].limit,
                        rules[i].timespan);
    ids = rule_tree_add(arena, tenants, TREE_MAP, "list", NULL);
    for (size_t i = 0; i < sizeof sharers / sizeof sharers[0]; i++)
        add_sharer(arena, ids, sharers[i]);
    if (is_other)
        add_sharer(arena, ids, nobody);
    rule_tree_add(arena, rule_tree_add(arena, root_config, TREE_MAP, "recommend", NULL),
                  TREE_SCALAR, "share", "1s");
    config = engine_config_create(root_config, root, NULL, &complaints);
    for (const struct complaint *each = complaints.first; each != NULL; each = each->next)
        fprintf(stderr, "%s\n", each->text);
    arena_destroy(arena);
    note_count = 0;
    if (config == NULL)
        exit(2);
    return config;
}

static void keep_text(char *place, struct view text)
{
    snprintf(place, NAME_BYTES, "%.*s", VIEW_PRINT(text));
}

void machine_note(int32_t partition, const struct event *event)
{
    (void)partition;
    for (uint32_t i = 0; i < RULE_COUNT; i++) {
        struct note *note = &notes[note_count];

        if (rules[i].kind != event->kind || note_count == NOTES_MAX)
            continue;
        *note = (struct note){.rule = i, .time_ms = event->event_time_ms};
        keep_text(note->tenant, event->tenant_id);
        if (event->kind == EVENT_AUTH)
            keep_text(note->group, event->auth.user_id);
        if (event->kind == EVENT_ORDER)
            keep_text(note->group, event->order.customer_id);
        note_count++;
    }
}

/* ---- what was published ----------------------------------------------------------------- */

static struct final_alert *find_alert(struct view id)
{
    for (uint32_t i = 0; i < alert_count; i++)
        if (view_is_text(id, alerts[i].id))
            return &alerts[i];
    if (alert_count == ALERTS_MAX || id.size >= sizeof(alerts[0].id))
        return NULL;
    snprintf(alerts[alert_count].id, sizeof(alerts[0].id), "%.*s", VIEW_PRINT(id));
    return &alerts[alert_count++];
}

static void take_alert(struct world *world, const struct entry *entry, struct arena *arena)
{
    struct result result;
    struct codec_reason reason;
    struct failure failure;
    struct final_alert *alert;

    if (codec_decode_result(world->codec, RESULT_ALERT,
                            (struct view){entry->value, entry->value_size}, arena, &result, &reason,
                            &failure) != STATUS_OK ||
        (alert = find_alert(result.id)) == NULL) {
        world_fail(world, "an alert cannot be read: %s", reason.text);
        return;
    }
    keep_text(alert->rule, result.alert.type);
    keep_text(alert->tenant, result.tenant_id);
    keep_text(alert->group,
              result.alert.group.count > 0 ? result.alert.group.at[0].value : VIEW_LITERAL(""));
    alert->status = result.alert.status;
    alert->opened_ms = result.alert.opened_time_ms;
    alert->last_ms = result.alert.last_event_time_ms;
    alert->first_ms = result.alert.first_event_time_ms;
    alert->count = result.alert.count;
    alert->value = result.alert.value;
    alert->is_merged = !view_is_absent(result.alert.merged_into);
    alert->is_matched = false;
}

static void read_alerts(struct world *world)
{
    struct arena *arena = arena_create(16384);

    alert_count = 0;
    for (int partition = 0; partition < PARTITIONS_MAX; partition++) {
        const struct log *log = &world->cluster.logs[TOPIC_ALERTS][partition];

        for (int64_t i = 0; i < log->count; i++)
            if (log->entries[i].state == ENTRY_VISIBLE)
                take_alert(world, &log->entries[i], arena);
    }
    arena_destroy(arena);
}

/* ---- against brute force --------------------------------------------------------------------- */

static int compare_notes(const void *a, const void *b)
{
    const struct note *left = a, *right = b;
    int order = (int)left->rule - (int)right->rule;

    if (order == 0)
        order = strcmp(left->tenant, right->tenant);
    if (order == 0)
        order = strcmp(left->group, right->group);
    if (order == 0)
        order = left->time_ms < right->time_ms ? -1 : left->time_ms > right->time_ms;
    return order;
}

static bool is_same_group(const struct note *a, const struct note *b)
{
    return a->rule == b->rule && strcmp(a->tenant, b->tenant) == 0 &&
           strcmp(a->group, b->group) == 0;
}

static bool match_episode(const struct note *note, const struct oracle_episode *episode)
{
    for (uint32_t i = 0; i < alert_count; i++) {
        struct final_alert *alert = &alerts[i];

        if (alert->is_matched || alert->is_merged || alert->status != ALERT_CLOSED ||
            strcmp(alert->rule, rules[note->rule].name) != 0 ||
            strcmp(alert->tenant, note->tenant) != 0 || strcmp(alert->group, note->group) != 0 ||
            alert->opened_ms != episode->opened_ms || alert->last_ms != episode->last_ms ||
            alert->first_ms != episode->first_event_ms || alert->count != episode->count ||
            alert->value != (double)episode->value)
            continue;
        alert->is_matched = true;
        return true;
    }
    return false;
}

static void check_group(struct world *world, const struct note *first, uint32_t count)
{
    static struct oracle_event events[ORACLE_EVENTS_MAX];
    static struct oracle_episode episodes[GROUP_EPISODES_MAX];
    uint32_t episode_count;

    for (uint32_t i = 0; i < count; i++)
        events[i] = (struct oracle_event){.time_ms = first[i].time_ms};
    episode_count = oracle_episodes(&rules[first->rule].oracle, events, count, episodes);
    world->episode_count += episode_count;
    for (uint32_t i = 0; i < episode_count; i++)
        if (!match_episode(first, &episodes[i]))
            world_fail(world,
                       "no final alert %s %s/%s opened %" PRId64 " last %" PRId64 " count %" PRId64
                       " value %" PRId64,
                       rules[first->rule].name, first->tenant, first->group, episodes[i].opened_ms,
                       episodes[i].last_ms, episodes[i].count, episodes[i].value);
}

/* A zombie's branch, at-least-once, may have published alerts of its own. */
static bool may_have_more(const struct world *world)
{
    return world->options.guarantee == GUARANTEE_AT_LEAST_ONCE && world->options.has_zombies;
}

void machine_check(struct world *world)
{
    uint32_t first = 0;

    read_alerts(world);
    qsort(notes, note_count, sizeof(notes[0]), compare_notes);
    for (uint32_t i = 1; i <= note_count; i++) {
        if (i < note_count && is_same_group(&notes[first], &notes[i]))
            continue;
        check_group(world, &notes[first], i - first);
        first = i;
    }
    for (uint32_t i = 0; i < alert_count && !may_have_more(world); i++)
        if (!alerts[i].is_matched && !alerts[i].is_merged)
            world_fail(world,
                       "alert %s of %s/%s (status %" PRId64 ", opened %" PRId64 ", last %" PRId64
                       ", count %" PRId64 ") is no episode of the sorted stream",
                       alerts[i].rule, alerts[i].tenant, alerts[i].group, alerts[i].status,
                       alerts[i].opened_ms, alerts[i].last_ms, alerts[i].count);
}
