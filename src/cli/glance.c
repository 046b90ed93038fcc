#include "cli/glance.h"

#include <string.h>
#include <time.h>

#include "event/topic.h"

enum { DEAD_BYTES_MAX = 120, ITEMS_SHOWN = 5, WORD_MAX = 24 };

enum colour { PLAIN, RED, YELLOW, GREEN, BLUE, CYAN, DIM, BOLD };

struct glance {
    struct byte_writer *out;
    bool is_coloured;
};

static const char *const severities[] = {"low", "MEDIUM", "HIGH"};
static const enum colour severity_colours[] = {CYAN, YELLOW, RED};
static const char *const statuses[] = {"open",         "updated",  "closed",
                                       "acknowledged", "resolved", "ignored"};
static const char *const strategies[] = {"personal", "item_item", "popular_tenant", "popular_all"};
static const char *const job_statuses[] = {"pending", "processing", "completed", "failed",
                                           "cancelled"};
static const char *const notification_statuses[] = {"sent", "retrying", "failed", "suppressed",
                                                    "silenced"};

void glance_text(struct view text, struct byte_writer *out)
{
    for (uint32_t i = 0; i < text.size;) {
        uint32_t size = view_rune_size(text.data + i, text.size - i);
        if (size == 0 || view_rune_is_control(text.data + i, size)) {
            byte_put_u8(out, '?');
            i += size == 0 ? 1 : size;
        } else {
            byte_put(out, text.data + i, size);
            i += size;
        }
    }
}

/* ---- pieces ---- */

static void begin_colour(struct glance *glance, enum colour colour)
{
    static const char *const codes[] = {"0", "1;31", "33", "32", "34", "36", "2", "1"};

    if (glance->is_coloured && colour != PLAIN)
        byte_print(glance->out, "\033[%sm", codes[colour]);
}

static void end_colour(struct glance *glance, enum colour colour)
{
    if (glance->is_coloured && colour != PLAIN)
        byte_print(glance->out, "\033[0m");
}

/* A word in a column: padded with spaces, and one space more. */
static void put_column(struct glance *glance, enum colour colour, struct view text, uint32_t width)
{
    begin_colour(glance, colour);
    size_t text_start = glance->out->size;
    glance_text(text, glance->out);
    size_t used = glance->out->size - text_start;
    end_colour(glance, colour);
    do
        byte_put_u8(glance->out, ' ');
    while (++used <= width);
}

static void put_word(struct glance *glance, enum colour colour, const char *text, uint32_t width)
{
    put_column(glance, colour, view_of(text), width);
}

static void put_time(struct glance *glance, int64_t time_ms)
{
    time_t time_s = (time_t)(time_ms / 1000);
    struct tm parts;
    char text[32] = "--:--:--";

    if (gmtime_r(&time_s, &parts) != NULL)
        strftime(text, sizeof text, "%H:%M:%S", &parts);
    put_word(glance, DIM, text, 8);
}

static void put_pairs(struct glance *glance, const struct pair_list *pairs)
{
    for (uint32_t i = 0; i < pairs->count; i++) {
        byte_print(glance->out, "%s", i > 0 ? " " : "");
        glance_text(pairs->at[i].name, glance->out);
        byte_put_u8(glance->out, '=');
        begin_colour(glance, BOLD);
        glance_text(pairs->at[i].value, glance->out);
        end_colour(glance, BOLD);
    }
}

static const char *choice(const char *const *names, size_t count, int64_t index)
{
    return index >= 0 && (size_t)index < count ? names[index] : "?";
}
#define CHOICE(names, index) choice(names, sizeof(names) / sizeof(names)[0], index)

static struct view tenant_of(const struct result *result)
{
    return view_is_absent(result->tenant_id) ? VIEW_LITERAL("platform") : result->tenant_id;
}

/* ---- kinds ---- */

/* The sentence without its end ", tenant T, ...": the line has said to whom already. */
static struct view strip_place(struct view message, struct view tenant)
{
    static const char comma[] = ", tenant ";
    uint32_t size = sizeof comma - 1;

    for (uint32_t i = 0; i + size + tenant.size <= message.size; i++) {
        struct view rest = {message.data + i, message.size - i};
        if (view_has_prefix(rest, VIEW_LITERAL(comma)) &&
            memcmp(rest.data + size, tenant.data, tenant.size) == 0)
            return (struct view){message.data, i};
    }
    return message;
}

static void put_alert(struct glance *glance, const struct result *result)
{
    const struct alert *alert = &result->alert;
    enum colour colour = alert->severity >= 0 && alert->severity <= SEVERITY_HIGH
                             ? severity_colours[alert->severity]
                             : PLAIN;
    enum colour status_colour = alert->status == ALERT_OPEN ? BOLD : DIM;

    put_time(glance, alert->last_event_time_ms);
    put_word(glance, colour, CHOICE(severities, alert->severity), 6);
    put_word(glance, status_colour, CHOICE(statuses, alert->status), 7);
    put_column(glance, PLAIN, tenant_of(result), 11);
    put_column(glance, colour, alert->type, WORD_MAX);
    put_pairs(glance, &alert->group);
    byte_print(glance->out, "%s", alert->group.count > 0 ? "  " : "");
    if (!view_is_absent(alert->merged_into)) {
        byte_print(glance->out, "merged into ");
        glance_text(alert->merged_into, glance->out);
        return;
    }
    glance_text(strip_place(alert->message, tenant_of(result)), glance->out);
}

static void put_recommendation(struct glance *glance, const struct result *result)
{
    const struct recommendation *recommendation = &result->recommendation;
    const struct recommended_item *items = recommendation->items.at;
    uint32_t count = recommendation->items.count;

    put_time(glance, recommendation->event_time_ms);
    put_word(glance, GREEN, "offer", 6);
    put_word(glance, DIM, CHOICE(strategies, recommendation->strategy), 14);
    put_column(glance, PLAIN, tenant_of(result), 11);
    put_column(glance, BOLD, recommendation->customer_id, 12);
    for (uint32_t i = 0; i < count && i < ITEMS_SHOWN; i++) {
        byte_print(glance->out, "%s", i > 0 ? ", " : "");
        glance_text(items[i].product_id, glance->out);
        byte_print(glance->out, " %.2f", items[i].score);
    }
    if (count > ITEMS_SHOWN)
        byte_print(glance->out, " and %u more", count - ITEMS_SHOWN);
    if (count == 0)
        byte_print(glance->out, "nothing");
}

static void put_job(struct glance *glance, const struct result *result)
{
    const struct batch_job *job = &result->batch_job;

    put_time(glance, job->finished_time_ms > 0 ? job->finished_time_ms : job->submitted_time_ms);
    put_word(glance, BLUE, "job", 6);
    put_word(glance, BOLD, CHOICE(job_statuses, job->status), 10);
    put_column(glance, PLAIN, tenant_of(result), 11);
    glance_text(result->id, glance->out);
    byte_print(glance->out, "  %lld of %lld, %lld failed", (long long)job->processed,
               (long long)job->total, (long long)job->failed);
    if (!view_is_absent(job->error)) {
        byte_print(glance->out, ": ");
        glance_text(job->error, glance->out);
    }
}

static void put_analytics(struct glance *glance, const struct result *result)
{
    const struct analytics *analytics = &result->analytics;
    const struct analytics_item *items = analytics->items.at;

    put_time(glance, analytics->event_time_ms);
    put_word(glance, BLUE, "figure", 6);
    put_column(glance, BOLD, analytics->type, 12);
    put_column(glance, PLAIN, tenant_of(result), 11);
    if (!view_is_absent(analytics->subject))
        put_column(glance, BOLD, analytics->subject, 12);
    for (uint32_t i = 0; i < analytics->items.count && i < ITEMS_SHOWN; i++) {
        byte_print(glance->out, "%s", i > 0 ? ", " : "");
        glance_text(items[i].subject, glance->out);
        byte_put_u8(glance->out, ' ');
        byte_print_double(glance->out, items[i].value);
    }
}

static void put_command_result(struct glance *glance, const struct result *result)
{
    const struct command_result *command = &result->command_result;
    bool is_accepted = command->status == COMMAND_ACCEPTED;

    put_word(glance, DIM, "--:--:--", 8);
    put_word(glance, BLUE, "answer", 6);
    put_word(glance, is_accepted ? GREEN : RED, is_accepted ? "accepted" : "rejected", 8);
    put_column(glance, PLAIN, tenant_of(result), 11);
    glance_text(result->id, glance->out);
    byte_print(glance->out, "  ");
    glance_text(command->error, glance->out);
    put_pairs(glance, &command->result);
}

static void put_audit(struct glance *glance, const struct result *result)
{
    const struct audit *audit = &result->audit;

    put_time(glance, audit->event_time_ms);
    put_word(glance, BLUE, "audit", 6);
    put_column(glance, BOLD, audit->action, 16);
    put_column(glance, PLAIN, tenant_of(result), 11);
    glance_text(audit->subject, glance->out);
    if (!view_is_absent(audit->actor)) {
        byte_print(glance->out, " by ");
        glance_text(audit->actor, glance->out);
    }
    byte_print(glance->out, "%s", audit->after.count > 0 ? "  " : "");
    put_pairs(glance, &audit->after);
}

static void put_notification(struct glance *glance, const struct result *result)
{
    const struct notification *notification = &result->notification;
    bool is_good = notification->status == NOTIFICATION_SENT;

    put_time(glance, notification->event_time_ms);
    put_word(glance, BLUE, "notify", 6);
    put_word(glance, is_good ? GREEN : YELLOW, CHOICE(notification_statuses, notification->status),
             10);
    put_column(glance, PLAIN, tenant_of(result), 11);
    put_column(glance, BOLD, notification->channel, 7);
    glance_text(notification->alert_id, glance->out);
    if (notification->attempt > 1)
        byte_print(glance->out, "  attempt %lld", (long long)notification->attempt);
    if (!view_is_absent(notification->error)) {
        byte_print(glance->out, "  ");
        glance_text(notification->error, glance->out);
    }
}

static void put_popularity(struct glance *glance, const struct result *result)
{
    const struct popularity *popularity = &result->popularity;
    const struct popular_item *items = popularity->items.at;

    put_time(glance, popularity->event_time_ms);
    put_word(glance, BLUE, "shares", 6);
    put_column(glance, PLAIN, tenant_of(result), 11);
    for (uint32_t i = 0; i < popularity->items.count && i < ITEMS_SHOWN; i++) {
        byte_print(glance->out, "%s", i > 0 ? ", " : "");
        glance_text(items[i].product_id, glance->out);
        byte_print(glance->out, " %.1f", items[i].count);
    }
    if (popularity->items.count == 0)
        byte_print(glance->out, "nothing");
}

void glance_result(const struct result *result, bool is_coloured, struct byte_writer *out)
{
    struct glance glance = {out, is_coloured};

    switch (result->kind) {
    case RESULT_ALERT:
        put_alert(&glance, result);
        break;
    case RESULT_RECOMMENDATION:
        put_recommendation(&glance, result);
        break;
    case RESULT_BATCH_JOB:
        put_job(&glance, result);
        break;
    case RESULT_ANALYTICS:
        put_analytics(&glance, result);
        break;
    case RESULT_COMMAND_RESULT:
        put_command_result(&glance, result);
        break;
    case RESULT_AUDIT:
        put_audit(&glance, result);
        break;
    case RESULT_NOTIFICATION:
        put_notification(&glance, result);
        break;
    case RESULT_POPULARITY:
        put_popularity(&glance, result);
        break;
    case RESULT_KIND_COUNT:
        break;
    }
}

void glance_dead_letter(const struct record *record, const struct glance_letter *letter,
                        bool is_coloured, struct byte_writer *out)
{
    struct glance glance = {out, is_coloured};
    struct view start = record->value;
    struct view code = view_is_absent(letter->code) ? VIEW_LITERAL("?") : letter->code;

    put_time(&glance, record->timestamp_ms);
    put_word(&glance, RED, "dead", 6);
    put_column(&glance, BOLD, code, 14);
    glance_text(letter->topic, out);
    byte_put_u8(out, '/');
    glance_text(letter->partition, out);
    byte_put_u8(out, '@');
    glance_text(letter->offset, out);
    byte_print(out, "  ");
    glance_text(letter->reason, out);
    if (letter->field.size > 0) {
        byte_print(out, " [");
        glance_text(letter->field, out);
        byte_put_u8(out, ']');
    }
    byte_print(out, "  ");
    begin_colour(&glance, DIM);
    if (start.size > DEAD_BYTES_MAX)
        start.size = DEAD_BYTES_MAX;
    glance_text(start, out);
    end_colour(&glance, DIM);
}
