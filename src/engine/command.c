#include "engine/command.h"

#include <assert.h>
#include <inttypes.h>

enum { COMPLAINTS_SHOWN_MAX = 20, RULES_SHOWN_MAX = 1000 };

enum command_scope { SCOPE_PLATFORM, SCOPE_TENANT };

struct command_row {
    const char *type;
    enum command_scope scope; /* platform: without tenant_id; tenant: with one */
    void (*run)(struct command_call *call);
};

static void reject(struct command_call *call, const char *text)
{
    call->answer.is_accepted = false;
    call->answer.error = view_of(text);
}

static struct pair_list one_pair(struct arena *arena, const char *name, struct view value)
{
    struct pair *pair = arena_alloc(arena, sizeof *pair);

    *pair = (struct pair){view_of(name), value};
    return (struct pair_list){pair, 1};
}

/* ---- rules ---- */

static struct pair_list describe_rules(struct command_call *call)
{
    const struct rule_set *rules = rulebook_rules(call->book);
    struct pair *pairs = arena_alloc(call->arena, 2 * sizeof *pairs);
    const char *names = "";

    for (uint32_t i = 0; i < rule_set_count(rules) && i < RULES_SHOWN_MAX; i++)
        if (rule_set_is_enabled(rules, i))
            names = arena_print(call->arena, "%s%s%.*s", names, names[0] != '\0' ? "," : "",
                                VIEW_PRINT(rule_set_name(rules, i)));
    pairs[0] =
        (struct pair){VIEW_LITERAL("digest"),
                      view_of(arena_print(call->arena, "%016" PRIx64, rule_set_digest(rules)))};
    pairs[1] = (struct pair){VIEW_LITERAL("enabled"), view_of(names)};
    return (struct pair_list){pairs, 2};
}

static const char *join_complaints(struct arena *arena, const struct complaints *complaints)
{
    const char *text = "";
    uint32_t shown = 0;

    for (const struct complaint *at = complaints->first; at != NULL && shown < COMPLAINTS_SHOWN_MAX;
         at = at->next, shown++)
        text = arena_print(arena, "%s%s%s", text, shown > 0 ? "; " : "", at->text);
    if (complaints->count > shown)
        text = arena_print(arena, "%s; and %u more", text, complaints->count - shown);
    return text;
}

static void update_rules(struct command_call *call)
{
    struct complaints complaints;

    if (view_is_absent(call->event->command.rules)) {
        reject(call, "rules: expected the text of a rules file");
        return;
    }
    complaints_init(&complaints, call->arena);
    call->answer.before = describe_rules(call);
    if (rulebook_update(call->book, call->event->command.rules, &complaints) != STATUS_OK) {
        reject(call, complaints.count > 0 ? join_complaints(call->arena, &complaints)
                                          : "rules: not readable");
        return;
    }
    call->has_new_rules = true;
    call->answer.after = describe_rules(call);
    call->answer.result = call->answer.after;
}

static void switch_rule(struct command_call *call, bool is_enabled)
{
    struct view name = call->event->command.subject;
    bool was_enabled = false;

    if (view_is_absent(name)) {
        reject(call, "subject: expected the name of a rule");
        return;
    }
    if (rulebook_switch(call->book, name, is_enabled, &was_enabled) != STATUS_OK) {
        reject(call,
               arena_print(call->arena, "subject: there is no rule named %.*s", VIEW_PRINT(name)));
        return;
    }
    call->has_new_rules = was_enabled != is_enabled;
    call->answer.before = one_pair(call->arena, "enabled", view_of(was_enabled ? "true" : "false"));
    call->answer.after = one_pair(call->arena, "enabled", view_of(is_enabled ? "true" : "false"));
    call->answer.result = call->answer.after;
}

static void enable_rule(struct command_call *call)
{
    switch_rule(call, true);
}

static void disable_rule(struct command_call *call)
{
    switch_rule(call, false);
}

/* ---- alerts ---- */

static bool read_decision(struct view text, int64_t *status)
{
    if (view_is_text(text, "acknowledged"))
        *status = ALERT_ACKNOWLEDGED;
    else if (view_is_text(text, "resolved"))
        *status = ALERT_RESOLVED;
    else if (view_is_text(text, "ignored"))
        *status = ALERT_IGNORED;
    else
        return false;
    return true;
}

/* A decision is published as an alert of that id which says the status and, as its
 * message, the notes. The alert may be closed and forgotten here, so its figures are
 * left to those who store alerts: they keep the ones they have. */
static void publish_decision(struct command_call *call, int64_t status)
{
    const struct command *command = &call->event->command;
    struct result *alert = &call->decision;

    *alert = (struct result){.kind = RESULT_ALERT};
    alert->id = command->subject;
    alert->tenant_id = call->event->tenant_id;
    alert->alert.type = VIEW_LITERAL("resolve-anomaly");
    alert->alert.category = ALERT_SYSTEM;
    alert->alert.severity = SEVERITY_LOW;
    alert->alert.status = status;
    alert->alert.message = command->notes;
    result_mark(alert, NULL);
    call->has_decision = true;
}

static void resolve_anomaly(struct command_call *call)
{
    const struct command *command = &call->event->command;
    struct pair *pairs;
    uint32_t count = 0;
    int64_t status;

    if (view_is_absent(command->subject)) {
        reject(call, "subject: expected the alert_id of an alert");
        return;
    }
    if (!read_decision(command->status, &status)) {
        reject(call, "status: expected acknowledged, resolved or ignored");
        return;
    }
    pairs = arena_alloc(call->arena, 5 * sizeof *pairs);
    pairs[count++] = (struct pair){VIEW_LITERAL("alert_id"), command->subject};
    pairs[count++] = (struct pair){VIEW_LITERAL("status"), command->status};
    pairs[count++] =
        (struct pair){VIEW_LITERAL("resolved_time"),
                      view_of(arena_print(call->arena, "%" PRId64, call->event->event_time_ms))};
    if (!view_is_absent(command->notes))
        pairs[count++] = (struct pair){VIEW_LITERAL("notes"), command->notes};
    if (!view_is_absent(command->actor))
        pairs[count++] = (struct pair){VIEW_LITERAL("actor"), command->actor};
    call->answer.result = (struct pair_list){pairs, count};
    call->answer.after = call->answer.result;
    publish_decision(call, status);
}

/* ---- the table ---- */

static const struct command_row rows[] = {
    {"update-rules", SCOPE_PLATFORM, update_rules},
    {"enable-rule", SCOPE_PLATFORM, enable_rule},
    {"disable-rule", SCOPE_PLATFORM, disable_rule},
    {"resolve-anomaly", SCOPE_TENANT, resolve_anomaly},
};
enum { ROW_COUNT = sizeof rows / sizeof rows[0] };

static const struct command_row *find_row(struct view type)
{
    for (uint32_t i = 0; i < ROW_COUNT; i++)
        if (view_is_text(type, rows[i].type))
            return &rows[i];
    return NULL;
}

static void reject_unknown(struct command_call *call)
{
    const char *known = "";

    for (uint32_t i = 0; i < ROW_COUNT; i++)
        known = arena_print(call->arena, "%s%s%s", known, i > 0 ? ", " : "", rows[i].type);
    for (uint32_t i = 0; i < call->room_count; i++)
        for (const char *const *at = call->rooms[i].row->command_types; at != NULL && *at != NULL;
             at++)
            known = arena_print(call->arena, "%s, %s", known, *at);
    reject(call, arena_print(call->arena, "type: %.*s is not known; known are %s",
                             VIEW_PRINT(call->event->command.type), known));
}

static void reject_missing_tenant(struct command_call *call)
{
    reject(call, "tenant_id: expected the tenant that this is about");
}

static void run_row(struct command_call *call, const struct command_row *row)
{
    bool has_tenant = !view_is_absent(call->event->tenant_id);

    if (row->scope == SCOPE_PLATFORM && has_tenant)
        reject(call, "tenant_id: this command is about all tenants; leave the tenant out");
    else if (row->scope == SCOPE_TENANT && !has_tenant)
        reject_missing_tenant(call);
    else
        row->run(call);
}

static void run_in_room(struct command_call *call, const struct room_instance *room)
{
    if (view_is_absent(call->event->tenant_id))
        reject_missing_tenant(call);
    else if (call->is_home)
        room->row->command(room->state, call->event, call->tenant, call->arena, call->outbox,
                           &call->answer);
}

static const struct room_instance *find_room(const struct command_call *call)
{
    for (uint32_t i = 0; i < call->room_count; i++)
        if (room_has_command(call->rooms[i].row, call->event->command.type))
            return &call->rooms[i];
    return NULL;
}

void command_run(struct command_call *call)
{
    const struct command_row *row = find_row(call->event->command.type);
    const struct room_instance *room = find_room(call);

    call->answer = (struct room_answer){.is_accepted = true};
    if (row != NULL)
        run_row(call, row);
    else if (room != NULL)
        run_in_room(call, room);
    else
        reject_unknown(call);
    if (!call->answer.is_accepted) {
        call->answer.after = one_pair(call->arena, "rejected", call->answer.error);
        call->answer.before = (struct pair_list){NULL, 0};
        call->answer.result = (struct pair_list){NULL, 0};
    }
}
