#include "engine/audit.h"

#include <assert.h>
#include <inttypes.h>

#include "base/bytes.h"
#include "base/hash.h"

enum { AFTER_MAX = 8 };

static const char *const audit_numbers[] = {"event_time", NULL};

/* The names of an alert's choices, as its shape has them. */
static struct view choice_of(const char *field_name, int64_t index)
{
    const struct field *field = shape_find(result_shape(RESULT_ALERT), view_of(field_name), NULL);

    assert(field != NULL && field->choices != NULL);
    return view_of(field->choices[index]);
}

struct view audit_id(struct arena *arena, struct view subject, struct view action, uint64_t salt)
{
    uint64_t high = hash_view(subject, hash_view(action, salt));
    uint64_t low = hash_view(subject, hash_view(action, hash_mix(salt, 1)));

    return view_of(arena_print(arena, "%016" PRIx64 "%016" PRIx64, high, low));
}

static struct view int_text(struct arena *arena, int64_t value)
{
    return view_of(arena_print(arena, "%" PRId64, value));
}

static void describe_alert(struct arena *arena, const struct alert *alert, struct pair *pairs,
                           struct pair_list *after)
{
    uint32_t count = 0;

    pairs[count++] = (struct pair){VIEW_LITERAL("type"), alert->type};
    pairs[count++] = (struct pair){VIEW_LITERAL("status"), choice_of("status", alert->status)};
    pairs[count++] =
        (struct pair){VIEW_LITERAL("severity"), choice_of("severity", alert->severity)};
    pairs[count++] = (struct pair){VIEW_LITERAL("count"), int_text(arena, alert->count)};
    pairs[count++] =
        (struct pair){VIEW_LITERAL("opened_time"), int_text(arena, alert->opened_time_ms)};
    pairs[count++] =
        (struct pair){VIEW_LITERAL("last_event_time"), int_text(arena, alert->last_event_time_ms)};
    if (!view_is_absent(alert->merged_into))
        pairs[count++] = (struct pair){VIEW_LITERAL("merged_into"), alert->merged_into};
    assert(count <= AFTER_MAX);
    *after = (struct pair_list){pairs, count};
}

static void add_alert(struct outbox *outbox, const struct result *alert)
{
    struct arena *arena = outbox_scratch(outbox);
    struct pair pairs[AFTER_MAX];
    struct result entry = {.kind = RESULT_AUDIT, .tenant_id = alert->tenant_id};
    uint64_t salt =
        hash_mix((uint64_t)alert->alert.opened_time_ms, (uint64_t)alert->alert.last_event_time_ms);

    salt = hash_mix(salt, (uint64_t)alert->alert.count);
    entry.audit.actor = VIEW_LITERAL("weir");
    entry.audit.action = alert->alert.status == ALERT_OPEN ? VIEW_LITERAL("alert.open")
                                                           : VIEW_LITERAL("alert.close");
    entry.audit.subject = alert->id;
    entry.audit.event_time_ms = alert->alert.last_event_time_ms;
    describe_alert(arena, &alert->alert, pairs, &entry.audit.after);
    entry.id = audit_id(arena, alert->id, entry.audit.action, salt);
    result_mark(&entry, audit_numbers);
    outbox_add(outbox, &entry);
}

void audit_alerts(struct outbox *outbox, uint32_t from)
{
    uint32_t end = outbox_count(outbox);

    for (uint32_t i = from; i < end; i++) {
        const struct result *result = outbox_at(outbox, i);
        if (result->kind == RESULT_ALERT &&
            (result->alert.status == ALERT_OPEN || result->alert.status == ALERT_CLOSED))
            add_alert(outbox, result);
    }
}

void audit_command(struct outbox *outbox, const struct event *command,
                   const struct pair_list *before, const struct pair_list *after)
{
    struct arena *arena = outbox_scratch(outbox);
    struct result entry = {.kind = RESULT_AUDIT, .tenant_id = command->tenant_id};

    entry.audit.actor =
        view_is_absent(command->command.actor) ? VIEW_LITERAL("unknown") : command->command.actor;
    entry.audit.action =
        view_of(arena_print(arena, "command.%.*s", VIEW_PRINT(command->command.type)));
    entry.audit.subject = command->id;
    entry.audit.event_time_ms = command->event_time_ms;
    entry.audit.before = *before;
    entry.audit.after = *after;
    entry.id = audit_id(arena, command->id, entry.audit.action, (uint64_t)command->event_time_ms);
    result_mark(&entry, audit_numbers);
    outbox_add(outbox, &entry);
}
