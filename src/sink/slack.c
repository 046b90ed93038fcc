#include "sink/slack.h"

#include <assert.h>

#include "base/json_writer.h"
#include "sink/alert_text.h"

enum { FIELDS_IN_SECTION = 10, ELLIPSIS_CHARS = 1 };

static const char *escape_of(const char *at, uint32_t length)
{
    switch (*at) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    default:
        /* Nothing that people could read, and some of it Slack refuses. A value that breaks the
         * line could pass for another fact of the alert. */
        return view_rune_is_control(at, length) ? " " : NULL;
    }
}

static uint32_t count_escaped(struct view text)
{
    uint32_t chars = 0;

    for (uint32_t i = 0; i < text.size; chars++) {
        uint32_t length = view_rune_size(text.data + i, text.size - i);
        const char *escape = escape_of(text.data + i, length);

        if (escape != NULL)
            chars += (uint32_t)strlen(escape) - 1;
        i += length > 0 ? length : 1;
    }
    return chars;
}

struct view slack_escape(struct view text, uint32_t chars_max, struct arena *arena)
{
    bool is_cut = count_escaped(text) > chars_max;
    uint32_t room = is_cut ? chars_max - ELLIPSIS_CHARS : chars_max;
    struct byte_writer writer;
    struct view escaped;

    assert(chars_max > ELLIPSIS_CHARS);
    byte_writer_init(&writer);
    for (uint32_t i = 0; i < text.size;) {
        uint32_t length = view_rune_size(text.data + i, text.size - i);
        const char *escape = escape_of(text.data + i, length);
        uint32_t chars = escape != NULL ? (uint32_t)strlen(escape) : 1;

        if (length == 0)
            length = 1;
        if (chars > room)
            break;
        room -= chars;
        byte_put(&writer, escape != NULL ? escape : text.data + i, escape != NULL ? chars : length);
        i += length;
    }
    if (is_cut)
        byte_put(&writer, "…", strlen("…"));
    escaped = arena_copy(arena, byte_writer_view(&writer));
    byte_writer_free(&writer);
    return escaped;
}

static const char *sign_of(const struct result *alert)
{
    switch ((enum alert_severity)alert->alert.severity) {
    case SEVERITY_LOW:
        return "🔵";
    case SEVERITY_MEDIUM:
        return "🟠";
    case SEVERITY_HIGH:
        return "🔴";
    }
    assert(!"a severity outside the enum");
    return "";
}

static void write_text(struct json_writer *json, const char *type, struct view text)
{
    json_begin_object(json);
    json_name(json, "type");
    json_text(json, type);
    json_name(json, "text");
    json_view(json, text);
    if (strcmp(type, "mrkdwn") == 0) {
        json_name(json, "verbatim");
        json_bool(json, true);
    }
    json_end_object(json);
}

static void begin_block(struct json_writer *json, const char *type)
{
    json_begin_object(json);
    json_name(json, "type");
    json_text(json, type);
}

static void write_fields(struct json_writer *json, const struct alert_text *text,
                         struct arena *arena)
{
    for (uint32_t i = 0; i < text->fact_count; i++) {
        const struct fact *fact = &text->facts[i];
        struct view label = slack_escape(view_of(fact->label), 200, arena);
        struct view value = slack_escape(fact->value, SLACK_FIELD_MAX - 300, arena);

        if (i % FIELDS_IN_SECTION == 0) {
            begin_block(json, "section");
            json_name(json, "fields");
            json_begin_array(json);
        }
        write_text(
            json, "mrkdwn",
            view_of(arena_print(arena, "*%.*s*\n%.*s", VIEW_PRINT(label), VIEW_PRINT(value))));
        if (i % FIELDS_IN_SECTION == FIELDS_IN_SECTION - 1 || i + 1 == text->fact_count) {
            json_end_array(json);
            json_end_object(json);
        }
    }
}

void slack_write(const struct result *alert, struct arena *arena, struct byte_writer *out)
{
    struct json_writer json = json_writer_on(out);
    struct alert_text text;
    struct view title, fallback;

    alert_describe(alert, arena, &text);
    title = view_of(arena_print(arena, "%s %.*s%s", sign_of(alert), VIEW_PRINT(text.title),
                                alert->alert.status == ALERT_CLOSED ? " (closed)" : ""));
    fallback =
        view_of(arena_print(arena, "%.*s: %.*s", VIEW_PRINT(title), VIEW_PRINT(text.message)));
    json_begin_object(&json);
    /* What notifications and screen readers show. */
    json_name(&json, "text");
    json_view(&json, slack_escape(fallback, SLACK_SECTION_MAX, arena));
    json_name(&json, "blocks");
    json_begin_array(&json);
    begin_block(&json, "header");
    json_name(&json, "text");
    write_text(&json, "plain_text", slack_escape(title, SLACK_HEADER_MAX, arena));
    json_end_object(&json);
    begin_block(&json, "section");
    json_name(&json, "text");
    write_text(&json, "mrkdwn", slack_escape(text.message, SLACK_SECTION_MAX, arena));
    json_end_object(&json);
    write_fields(&json, &text, arena);
    json_end_array(&json);
    json_end_object(&json);
}
