/*
 * Episodes of a group are disjoint and lie apart by more than `quiet`; they hang in a
 * list by time. A point that comes to satisfy extends one, joins two, or opens one.
 *
 *      e1                       e2
 *   [-------]···quiet···>    [------]
 *              p                             extends e1; if within reach of e2 as well,
 *                                            they become one and the younger ends
 *
 * All that is known of an episode only grows when events are added: it opens earlier,
 * lasts longer, counts more, its value rises. So the figures kept are exact for the
 * events seen so far at any moment, and final when the watermark has passed.
 *
 * Which episode is due when lies in a heap. An episode that lasts longer is not moved in
 * it: its entry comes up too early, is found so, and goes back with the right time.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "anomaly/state.h"
#include "base/hash.h"
#include "window/entry.h"

enum { PUBLISH_MS = 60000, HEAP_LEAST = 64, ID_DIGITS = 32 };

struct episode *episode_at(const struct anomaly *anomaly, uint32_t reference)
{
    return slab_at(&anomaly->episodes, reference);
}

static uint32_t reference_of(struct anomaly *anomaly, const struct episode *episode,
                             const struct group *group)
{
    uint32_t reference = group->episodes;

    while (reference != 0 && episode_at(anomaly, reference) != episode)
        reference = episode_at(anomaly, reference)->next;
    assert(reference != 0);
    return reference;
}

/* ------------------------------------------------------------- due times */

static bool is_before(const struct due *a, const struct due *b)
{
    return a->time_ms != b->time_ms ? a->time_ms < b->time_ms : a->sequence < b->sequence;
}

static void push_due(struct lane *lane, struct due due)
{
    if (lane->count == lane->capacity) {
        lane->capacity = lane->capacity == 0 ? HEAP_LEAST : lane->capacity * 2;
        lane->heap = realloc(lane->heap, lane->capacity * sizeof *lane->heap);
        if (lane->heap == NULL) {
            fprintf(stderr, "anomaly: the heap has no room for %u episodes\n", lane->capacity);
            abort();
        }
    }
    uint32_t at = lane->count++;
    while (at > 0 && is_before(&due, &lane->heap[(at - 1) / 2])) {
        lane->heap[at] = lane->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    lane->heap[at] = due;
}

static struct due pop_due(struct lane *lane)
{
    struct due first = lane->heap[0];
    struct due last = lane->heap[--lane->count];
    uint32_t at = 0;

    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= lane->count)
            break;
        if (child + 1 < lane->count && is_before(&lane->heap[child + 1], &lane->heap[child]))
            child++;
        if (!is_before(&lane->heap[child], &last))
            break;
        lane->heap[at] = lane->heap[child];
        at = child;
    }
    if (lane->count > 0)
        lane->heap[at] = last;
    return first;
}

static int64_t due_of(const struct rule *rule, const struct episode *episode)
{
    return time_plus(episode->last_ms, rule->quiet_ms);
}

void episode_schedule(struct anomaly *anomaly, const struct rule *rule, uint32_t reference)
{
    const struct episode *episode = episode_at(anomaly, reference);

    push_due(&anomaly->lanes[rule->kinds],
             (struct due){due_of(rule, episode), episode->sequence, reference});
}

/* ----------------------------------------------------------- publication */

/* In one rounding: a sum in millionths has more digits than a double, which the sum itself
 * may well fit. */
static double value_out(const struct rule *rule, __int128 value)
{
    __int128 whole = value / (int64_t)SUM_SCALE, rest = value % (int64_t)SUM_SCALE;

    if (rule->type != RULE_VALUE_SUM)
        return (double)value;
    return (double)((long double)whole + (long double)rest / (long double)SUM_SCALE);
}

static struct view print_id(const struct episode *episode, struct arena *arena)
{
    return (struct view){
        arena_print(arena, "%016" PRIx64 "%016" PRIx64, episode->id[0], episode->id[1]), ID_DIGITS};
}

static struct view take_part(struct byte_reader *key)
{
    uint64_t size = byte_take_varint(key);
    const char *data = byte_take(key, size);

    return (struct view){data, (uint32_t)size};
}

/* The group-by values but tenant_id, which is put in *tenant. */
static struct pair_list read_key(const struct rule *rule, struct view key, struct arena *arena,
                                 struct view *tenant)
{
    struct byte_reader reader = byte_reader_of(key.data, key.size);
    struct pair *pairs = arena_alloc(arena, (rule->group_count + 1) * sizeof *pairs);

    *tenant = take_part(&reader);
    for (uint32_t index = 0; index < rule->group_count; index++)
        pairs[index] = (struct pair){rule->group_names[index], take_part(&reader)};
    return (struct pair_list){pairs, rule->group_count};
}

/* For people: twelve digits are enough. */
static const char *print_number(double number, struct arena *arena)
{
    return arena_print(arena, "%.12g", number);
}

static const char *print_span(int64_t span_ms, struct arena *arena)
{
    static const struct {
        int64_t ms;
        const char *name;
    } units[] = {{86400000, "d"}, {3600000, "h"}, {60000, "m"}, {1000, "s"}, {1, "ms"}};
    uint32_t unit = 0;

    while (span_ms % units[unit].ms != 0)
        unit++;
    return arena_print(arena, "%" PRId64 "%s", span_ms / units[unit].ms, units[unit].name);
}

/* "Failed logins of a user: 7 events within 5m (limit 5), tenant acme, user_id bob" */
static struct view print_message(const struct rule *rule, const struct episode *episode,
                                 const struct alert *alert, struct view tenant, struct arena *arena)
{
    struct view title = rule->title.size > 0 ? rule->title : rule->name;
    const char *value = print_number(value_out(rule, episode->value), arena);
    const char *limit = print_number(rule->threshold, arena);
    const char *span = rule->window_ms > 0 ? print_span(rule->window_ms, arena) : "";
    const char *over = rule->is_strict ? "limit: more than" : "limit:";
    const char *what = "";

    switch (rule->type) {
    case RULE_EVENT:
        what = episode->count == 1 ? "one event"
                                   : arena_print(arena, "%" PRIu64 " events", episode->count);
        break;
    case RULE_EVENT_COUNT:
        what = arena_print(arena, "%s events within %s (%s %s)", value, span, over, limit);
        break;
    case RULE_VALUE_COUNT:
        what = arena_print(arena, "%s different values of %.*s within %s (%s %s)", value,
                           VIEW_PRINT(rule->value_name), span, over, limit);
        break;
    case RULE_VALUE_SUM:
        what = arena_print(arena, "%.*s adds up to %s within %s (%s %s)",
                           VIEW_PRINT(rule->value_name), value, span, over, limit);
        break;
    case RULE_TEMPORAL:
    case RULE_TEMPORAL_ORDERED:
        what = arena_print(arena, "%s of %u steps%s within %s", value, rule->step_count,
                           rule->steps.is_in_turn ? " in turn" : "", span);
        break;
    }
    const char *text =
        arena_print(arena, "%.*s: %s, tenant %.*s", VIEW_PRINT(title), what, VIEW_PRINT(tenant));
    for (uint32_t index = 0; index < alert->group.count; index++)
        text = arena_print(arena, "%s, %.*s %.*s", text, VIEW_PRINT(alert->group.at[index].name),
                           VIEW_PRINT(alert->group.at[index].value));
    return view_of(text);
}

static struct view_list list_evidence(const struct episode *episode, struct arena *arena)
{
    struct view *ids = arena_alloc(arena, EVIDENCE_MAX * sizeof *ids);

    for (uint32_t index = 0; index < episode->evidence_count; index++)
        ids[index] = (struct view){episode->evidence[index].text, episode->evidence[index].size};
    return (struct view_list){ids, episode->evidence_count};
}

static void publish(const struct rule *rule, struct view key, struct episode *episode,
                    enum alert_status status, struct view merged_into, struct outbox *outbox)
{
    static const char *const event_numbers[] = {
        "category",         "severity",        "status",      "count",
        "first_event_time", "last_event_time", "opened_time", NULL};
    static const char *const window_numbers[] = {
        "category",         "severity",        "status",      "count",
        "first_event_time", "last_event_time", "opened_time", "threshold",
        "window_ms",        "value",           NULL};
    struct arena *arena = outbox_scratch(outbox);
    struct result result = {.kind = RESULT_ALERT};
    struct alert *alert = &result.alert;

    episode->published_value = episode->value;
    episode->published_ms = episode->last_ms;
    result.id = print_id(episode, arena);
    alert->type = rule->name;
    alert->category = rule->category;
    alert->severity = rule->severity;
    alert->status = status;
    alert->group = read_key(rule, key, arena, &result.tenant_id);
    alert->count = (int64_t)episode->count;
    alert->threshold = rule->threshold;
    alert->window_ms = rule->window_ms;
    alert->value = value_out(rule, episode->value);
    alert->first_event_time_ms = episode->first_event_ms;
    alert->last_event_time_ms = episode->last_ms;
    alert->opened_time_ms = episode->opened_ms;
    alert->evidence = list_evidence(episode, arena);
    alert->message = print_message(rule, episode, alert, result.tenant_id, arena);
    alert->merged_into = merged_into;
    result_mark(&result, rule->type == RULE_EVENT ? event_numbers : window_numbers);
    outbox_add(outbox, &result);
}

/* From the rule, the group and the event that opened it: its id and its time, for producers
 * that use an id again. One late event may open several episodes at once: they are told apart
 * by their number among them. */
static void make_id(struct episode *episode, const struct rule *rule, struct view key,
                    struct view event_id, int64_t event_time_ms, uint32_t number)
{
    for (uint64_t half = 0; half < 2; half++) {
        uint64_t hash = hash_view(rule->name, half + 1);
        hash = hash_mix(hash, hash_view(key, half + 1));
        hash = hash_mix(hash, hash_view(event_id, half + 1));
        hash = hash_mix(hash, (uint64_t)event_time_ms);
        episode->id[half] = hash_mix(hash, number);
    }
}

void episode_publish_event(struct anomaly *anomaly, const struct rule *rule, struct view key,
                           const struct event *event, struct outbox *outbox)
{
    struct episode episode = {.opened_ms = event->event_time_ms,
                              .last_ms = event->event_time_ms,
                              .first_event_ms = event->event_time_ms,
                              .count = 1,
                              .evidence_count = 1};
    struct view id = arena_copy(outbox_scratch(outbox), event->id);

    memcpy(&episode.evidence[0].text, &id.data, sizeof id.data);
    episode.evidence[0].size = id.size;
    make_id(&episode, rule, key, event->id, event->event_time_ms, 0);
    anomaly->opened[rule->severity]++;
    publish(rule, key, &episode, ALERT_OPEN, (struct view){NULL, 0}, outbox);
}

/* -------------------------------------------------------------- evidence */

static int compare_evidence(const struct evidence *a, const struct evidence *b)
{
    if (a->time_ms != b->time_ms)
        return a->time_ms < b->time_ms ? -1 : 1;
    return view_compare((struct view){a->text, a->size}, (struct view){b->text, b->size});
}

static void drop_evidence(struct anomaly *anomaly, struct evidence *evidence)
{
    blocks_give(&anomaly->blocks, evidence->text, evidence->size);
    *evidence = (struct evidence){0};
}

/* Puts it in its place, or drops it: the first few by time and id are kept. */
static void keep_evidence(struct anomaly *anomaly, struct episode *episode,
                          struct evidence evidence)
{
    uint32_t place = 0;

    while (place < episode->evidence_count &&
           compare_evidence(&episode->evidence[place], &evidence) < 0)
        place++;
    bool is_known = place < episode->evidence_count &&
                    compare_evidence(&episode->evidence[place], &evidence) == 0;
    if (place == EVIDENCE_MAX || is_known) {
        drop_evidence(anomaly, &evidence);
        return;
    }
    if (episode->evidence_count == EVIDENCE_MAX)
        drop_evidence(anomaly, &episode->evidence[EVIDENCE_MAX - 1]);
    else
        episode->evidence_count++;
    memmove(&episode->evidence[place + 1], &episode->evidence[place],
            (episode->evidence_count - place - 1) * sizeof evidence);
    episode->evidence[place] = evidence;
}

static void note_evidence(struct anomaly *anomaly, struct episode *episode,
                          const struct event *event)
{
    const struct evidence *last = &episode->evidence[EVIDENCE_MAX - 1];
    struct evidence evidence = {.time_ms = event->event_time_ms, .size = event->id.size};

    if (event->id.size == 0 ||
        (episode->evidence_count == EVIDENCE_MAX && last->time_ms < evidence.time_ms))
        return;
    evidence.text = blocks_take(&anomaly->blocks, evidence.size);
    memcpy(evidence.text, event->id.data, evidence.size);
    keep_evidence(anomaly, episode, evidence);
}

/* --------------------------------------------------------------- changes */

/* Forgets it; whatever had to be published has been. */
static void release(struct anomaly *anomaly, struct group *group, uint32_t reference)
{
    struct episode *episode = episode_at(anomaly, reference);
    uint32_t *link = &group->episodes;

    while (*link != reference)
        link = &episode_at(anomaly, *link)->next;
    *link = episode->next;
    for (uint32_t index = 0; index < episode->evidence_count; index++)
        drop_evidence(anomaly, &episode->evidence[index]);
    if (!episode->is_silent)
        anomaly->open_counts[group->rule]--;
    /* Whoever still names it, in the heap, finds another sequence. */
    episode->sequence = UINT64_MAX;
    slab_give(&anomaly->episodes, reference);
}

static void close_episode(struct anomaly *anomaly, struct group *group, const struct rule *rule,
                          uint32_t reference, struct outbox *outbox)
{
    struct episode *episode = episode_at(anomaly, reference);

    if (!episode->is_silent && outbox != NULL)
        publish(rule, group_key(group), episode, ALERT_CLOSED, (struct view){NULL, 0}, outbox);
    release(anomaly, group, reference);
}

static struct episode *open_episode(struct anomaly *anomaly, struct group *group, uint32_t after,
                                    int64_t time_ms)
{
    uint32_t reference = slab_take(&anomaly->episodes);
    struct episode *episode = episode_at(anomaly, reference);
    uint32_t *link = after != 0 ? &episode_at(anomaly, after)->next : &group->episodes;

    episode->next = *link;
    *link = reference;
    episode->group = group->reference;
    episode->sequence = ++anomaly->episode_count;
    episode->opened_ms = time_ms;
    episode->last_ms = time_ms;
    episode->marks = MARK_NEW | MARK_REOPENED;
    anomaly->open_counts[group->rule]++;
    return episode;
}

/* `later` follows `earlier`. The elder takes over what the younger knew. Returns it. */
static struct episode *join(struct anomaly *anomaly, struct group *group, const struct rule *rule,
                            struct episode *earlier, struct episode *later, struct outbox *outbox)
{
    struct episode *elder = earlier->sequence < later->sequence ? earlier : later;
    struct episode *younger = elder == earlier ? later : earlier;

    if ((younger->marks & MARK_NEW) == 0)
        publish(rule, group_key(group), younger, ALERT_CLOSED,
                print_id(elder, outbox_scratch(outbox)), outbox);
    elder->first_event_ms = earlier->first_event_ms;
    elder->opened_ms = earlier->opened_ms;
    elder->last_ms = later->last_ms;
    elder->count += younger->count;
    if (younger->value > elder->value)
        elder->value = younger->value;
    elder->marks |= MARK_MOVED | (younger->marks & MARK_SEEN) | (earlier->marks & MARK_REOPENED);
    for (uint32_t index = 0; index < younger->evidence_count; index++)
        keep_evidence(anomaly, elder, younger->evidence[index]);
    younger->evidence_count = 0;
    release(anomaly, group, reference_of(anomaly, younger, group));
    return elder;
}

/* A time has come to satisfy. */
static void place_point(struct anomaly *anomaly, struct group *group, const struct rule *rule,
                        const struct point *point, bool is_late, struct outbox *outbox)
{
    uint32_t left_reference = 0, right_reference = group->episodes;

    while (right_reference != 0 &&
           episode_at(anomaly, right_reference)->opened_ms <= point->time_ms) {
        left_reference = right_reference;
        right_reference = episode_at(anomaly, right_reference)->next;
    }
    struct episode *left = left_reference != 0 ? episode_at(anomaly, left_reference) : NULL;
    struct episode *right = right_reference != 0 ? episode_at(anomaly, right_reference) : NULL;
    bool meets_left = left != NULL && point->time_ms <= due_of(rule, left);
    bool meets_right =
        right != NULL && right->opened_ms <= time_plus(point->time_ms, rule->quiet_ms);
    struct episode *episode = left;
    if (meets_left && meets_right) {
        episode = join(anomaly, group, rule, left, right, outbox);
    } else if (meets_left) {
        if (point->time_ms > left->last_ms) {
            left->last_ms = point->time_ms;
            left->marks |= is_late ? MARK_MOVED : 0;
        }
    } else if (meets_right) {
        episode = right;
        right->opened_ms = point->time_ms;
        right->marks |= MARK_MOVED | MARK_REOPENED;
    } else {
        episode = open_episode(anomaly, group, left_reference, point->time_ms);
    }
    episode->count += point->count;
    episode->marks |= MARK_SEEN;
}

static __int128 highest_value(const struct anomaly *anomaly, const struct group *group,
                              const struct rule *rule, int64_t from_ms, int64_t until_ms)
{
    switch (rule->type) {
    case RULE_EVENT:
        return 0;
    case RULE_EVENT_COUNT:
    case RULE_VALUE_COUNT:
    case RULE_VALUE_SUM:
        return series_max(&group->series, &anomaly->series, &rule->series, from_ms, until_ms);
    case RULE_TEMPORAL:
    case RULE_TEMPORAL_ORDERED:
        return steps_max(&group->steps, &rule->steps, from_ms, until_ms);
    }
    return 0;
}

static int64_t first_after(const struct anomaly *anomaly, const struct group *group,
                           const struct rule *rule, int64_t after_ms)
{
    switch (rule->type) {
    case RULE_EVENT:
        break;
    case RULE_EVENT_COUNT:
    case RULE_VALUE_COUNT:
    case RULE_VALUE_SUM:
        return series_first_after(&group->series, &anomaly->series, &rule->series, after_ms);
    case RULE_TEMPORAL:
    case RULE_TEMPORAL_ORDERED:
        return steps_first_after(&group->steps, &rule->steps, after_ms);
    }
    return after_ms;
}

static void note_value(struct episode *episode, __int128 value)
{
    if (value <= episode->value)
        return;
    episode->value = value;
    episode->marks |= MARK_CHANGED;
}

/* Brings first_event and value up to date after the points are placed. */
static void refresh(struct anomaly *anomaly, struct group *group, const struct rule *rule,
                    const struct sighting *sighting, struct episode *episode)
{
    int64_t edge_ms = time_minus(episode->opened_ms, rule->window_ms);
    int64_t from_ms = episode->opened_ms, until_ms = time_plus(episode->last_ms, 1);

    if (rule->window_ms == 0) {
        episode->first_event_ms = episode->opened_ms;
        return;
    }
    if ((episode->marks & MARK_REOPENED) != 0) {
        episode->first_event_ms = first_after(anomaly, group, rule, edge_ms);
    } else if (edge_ms < sighting->time_ms && sighting->time_ms < episode->first_event_ms) {
        episode->first_event_ms = sighting->time_ms;
        episode->marks |= MARK_CHANGED;
    }
    if (from_ms <= sighting->time_ms && sighting->time_ms < until_ms)
        note_value(episode, sighting->value);
    if (!sighting->is_late)
        return;
    if (from_ms < sighting->from_ms)
        from_ms = sighting->from_ms;
    if (until_ms > sighting->until_ms)
        until_ms = sighting->until_ms;
    if (from_ms < until_ms)
        note_value(episode, highest_value(anomaly, group, rule, from_ms, until_ms));
}

static bool is_worth_an_update(const struct rule *rule, const struct episode *episode)
{
    return (episode->marks & MARK_MOVED) != 0 ||
           (rule->window_ms > 0 && episode->value >= 2 * episode->published_value) ||
           time_minus(episode->last_ms, episode->published_ms) >= PUBLISH_MS;
}

static void publish_change(struct anomaly *anomaly, struct group *group, const struct rule *rule,
                           const struct event *event, uint32_t reference, uint32_t *opened,
                           struct outbox *outbox)
{
    struct episode *episode = episode_at(anomaly, reference);
    struct view key = group_key(group);
    uint8_t marks = episode->marks;

    if (marks == 0)
        return;
    if ((marks & MARK_SEEN) != 0)
        note_evidence(anomaly, episode, event);
    if ((marks & MARK_NEW) != 0) {
        make_id(episode, rule, key, event->id, event->event_time_ms, (*opened)++);
        anomaly->opened[rule->severity]++;
        publish(rule, key, episode, ALERT_OPEN, (struct view){NULL, 0}, outbox);
        episode_schedule(anomaly, rule, reference);
    } else if (episode->is_silent || is_worth_an_update(rule, episode)) {
        publish(rule, key, episode, ALERT_UPDATED, (struct view){NULL, 0}, outbox);
    }
    if (episode->is_silent) {
        episode->is_silent = false;
        anomaly->open_counts[group->rule]++;
    }
    episode->marks = 0;
}

void episode_apply(struct anomaly *anomaly, struct group *group, const struct rule *rule,
                   const struct sighting *sighting, const struct point_list *satisfied,
                   struct outbox *outbox)
{
    uint32_t opened = 0;

    for (uint32_t index = 0; index < satisfied->count; index++)
        place_point(anomaly, group, rule, &satisfied->at[index], sighting->is_late, outbox);
    for (uint32_t at = group->episodes; at != 0; at = episode_at(anomaly, at)->next) {
        struct episode *episode = episode_at(anomaly, at);
        if (sighting->was_satisfied && episode->opened_ms <= sighting->time_ms &&
            sighting->time_ms <= episode->last_ms) {
            episode->count++;
            episode->marks |= MARK_SEEN;
        }
        refresh(anomaly, group, rule, sighting, episode);
    }
    for (uint32_t at = group->episodes; at != 0; at = episode_at(anomaly, at)->next)
        publish_change(anomaly, group, rule, sighting->event, at, &opened, outbox);
}

void episode_close_due(struct anomaly *anomaly, struct lane *lane, struct outbox *outbox)
{
    while (lane->count > 0 && lane->heap[0].time_ms < lane->watermark_ms) {
        struct due due = pop_due(lane);
        struct episode *episode = episode_at(anomaly, due.episode);
        if (episode->sequence != due.sequence)
            continue;
        struct group *group = group_at(anomaly, episode->group);
        const struct rule *rule = group_rule(anomaly, group);
        /* Only entries with the right time close, so that the order of closing follows
         * from the episodes and not from when their entries were last looked at. */
        if (due.time_ms == due_of(rule, episode)) {
            close_episode(anomaly, group, rule, due.episode, outbox);
        } else {
            due.time_ms = due_of(rule, episode);
            push_due(lane, due);
        }
    }
}

void episode_close_all(struct anomaly *anomaly, struct group *group, struct outbox *outbox)
{
    while (group->episodes != 0)
        close_episode(anomaly, group, group_rule(anomaly, group), group->episodes, outbox);
}

static int compare_due(const void *a, const void *b)
{
    return is_before(a, b) ? -1 : is_before(b, a);
}

void episode_close_silent(struct anomaly *anomaly, const struct rule *rule, struct outbox *outbox)
{
    const struct lane *lane = &anomaly->lanes[rule->kinds];
    struct due *silent = arena_alloc(outbox_scratch(outbox), (lane->count + 1) * sizeof *silent);
    uint32_t count = 0;

    for (uint32_t index = 0; index < lane->count; index++) {
        const struct episode *episode = episode_at(anomaly, lane->heap[index].episode);
        if (episode->sequence != lane->heap[index].sequence || episode->is_silent ||
            group_at(anomaly, episode->group)->rule != rule->index)
            continue;
        silent[count] = lane->heap[index];
        silent[count++].time_ms = due_of(rule, episode);
    }
    /* The heap's own order is an accident of history. */
    qsort(silent, count, sizeof *silent, compare_due);
    for (uint32_t index = 0; index < count; index++) {
        struct episode *episode = episode_at(anomaly, silent[index].episode);
        publish(rule, group_key(group_at(anomaly, episode->group)), episode, ALERT_CLOSED,
                (struct view){NULL, 0}, outbox);
        episode->is_silent = true;
        anomaly->open_counts[rule->index]--;
    }
}
