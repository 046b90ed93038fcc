#include "sink/alert_text.h"

#include <assert.h>
#include <inttypes.h>
#include <time.h>

#include "base/bytes.h"

enum { GROUP_FACTS_MAX = 6 };

static const char *choice_name(const char *field_name, int64_t index)
{
    const struct field *field = shape_find(result_shape(RESULT_ALERT), view_of(field_name), NULL);

    assert(field != NULL);
    return field->choices[index];
}

struct view time_text(struct arena *arena, int64_t time_ms)
{
    int64_t part_ms = time_ms % 1000;
    time_t seconds;
    struct tm parts;

    if (part_ms < 0)
        part_ms += 1000;
    seconds = (time_t)((time_ms - part_ms) / 1000);
    if (gmtime_r(&seconds, &parts) == NULL)
        return view_of(arena_print(arena, "%" PRId64 " ms", time_ms));
    return view_of(arena_print(arena, "%04d-%02d-%02d %02d:%02d:%02d.%03d UTC",
                               parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour,
                               parts.tm_min, parts.tm_sec, (int)part_ms));
}

static struct view number_text(struct arena *arena, double value)
{
    struct byte_writer writer;
    struct view text;

    byte_writer_init(&writer);
    byte_print_double(&writer, value);
    text = arena_copy(arena, byte_writer_view(&writer));
    byte_writer_free(&writer);
    return text;
}

static struct view duration_text(struct arena *arena, int64_t duration_ms)
{
    if (duration_ms % 1000 != 0)
        return view_of(arena_print(arena, "%" PRId64 " ms", duration_ms));
    if (duration_ms % 60000 != 0 || duration_ms < 120000)
        return view_of(arena_print(arena, "%" PRId64 " s", duration_ms / 1000));
    return view_of(arena_print(arena, "%" PRId64 " min", duration_ms / 60000));
}

static void add_fact(struct alert_text *text, const char *label, struct view value)
{
    if (view_is_absent(value) || text->fact_count == FACT_COUNT_MAX)
        return;
    text->facts[text->fact_count++] = (struct fact){label, value};
}

static bool is_given(const struct result *alert, const char *name)
{
    uint32_t index;
    const struct field *field = shape_find(result_shape(RESULT_ALERT), view_of(name), &index);

    assert(field != NULL);
    return shape_has(result_shape(RESULT_ALERT), alert, index);
}

static void add_figures(const struct result *alert, struct arena *arena, struct alert_text *text)
{
    const struct alert *figures = &alert->alert;

    if (is_given(alert, "count"))
        add_fact(text, "Events", number_text(arena, (double)figures->count));
    if (is_given(alert, "value"))
        add_fact(text, "Highest value", number_text(arena, figures->value));
    if (is_given(alert, "threshold"))
        add_fact(text, "Threshold", number_text(arena, figures->threshold));
    if (is_given(alert, "window_ms"))
        add_fact(text, "Window", duration_text(arena, figures->window_ms));
    if (is_given(alert, "opened_time"))
        add_fact(text, "Opened", time_text(arena, figures->opened_time_ms));
    if (is_given(alert, "first_event_time"))
        add_fact(text, "First event", time_text(arena, figures->first_event_time_ms));
    if (is_given(alert, "last_event_time"))
        add_fact(text, "Last event", time_text(arena, figures->last_event_time_ms));
}

static struct view evidence_text(const struct view_list *evidence, struct arena *arena)
{
    struct byte_writer writer;
    struct view text = {0};

    byte_writer_init(&writer);
    for (uint32_t i = 0; i < evidence->count; i++) {
        if (i > 0)
            byte_put(&writer, ", ", 2);
        byte_put(&writer, evidence->at[i].data, evidence->at[i].size);
    }
    if (evidence->count > 0)
        text = arena_copy(arena, byte_writer_view(&writer));
    byte_writer_free(&writer);
    return text;
}

void alert_describe(const struct result *alert, struct arena *arena, struct alert_text *text)
{
    static const char *const loud[] = {"LOW", "MEDIUM", "HIGH"};
    const struct alert *figures = &alert->alert;
    struct view tenant =
        view_is_absent(alert->tenant_id) ? VIEW_LITERAL("(platform)") : alert->tenant_id;

    *text = (struct alert_text){0};
    text->severity = choice_name("severity", figures->severity);
    text->status = choice_name("status", figures->status);
    text->title =
        view_of(arena_print(arena, "%s %.*s", loud[figures->severity], VIEW_PRINT(figures->type)));
    text->message = view_is_absent(figures->message) ? figures->type : figures->message;
    add_fact(text, "Tenant", tenant);
    add_fact(text, "Severity", view_of(text->severity));
    add_fact(text, "Status", view_of(text->status));
    add_fact(text, "Category", view_of(choice_name("category", figures->category)));
    for (uint32_t i = 0; i < figures->group.count && i < GROUP_FACTS_MAX; i++) {
        const struct pair *pair = &figures->group.at[i];

        add_fact(text, arena_print(arena, "%.*s", VIEW_PRINT(pair->name)), pair->value);
    }
    add_figures(alert, arena, text);
    add_fact(text, "Evidence", evidence_text(&figures->evidence, arena));
    add_fact(text, "Alert", alert->id);
}
