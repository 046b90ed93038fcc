#include "sink/notify.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "sink/backoff.h"
#include "sink/breaker.h"
#include "sink/courier.h"
#include "sink/token_bucket.h"

/* Alerts told lately, remembered by hash so that one repeated in the log is told once. */
enum { RECENT_COUNT = 4096, TURN_MS = 5000 };

struct notify {
    struct notify_setup setup;
    struct courier *courier;
    struct token_bucket bucket;
    struct breaker breaker;
    struct backoff backoff;
    uint32_t severities; /* bit of each that is told */
    uint32_t statuses;
    char name[24];

    /* The alert at the head, between attempts. */
    struct position head;
    int64_t attempt;
    int64_t attempt_due_ms;
    bool is_away;

    struct position *positions; /* of the partitions opened */
    uint32_t position_count;
    uint64_t recent[RECENT_COUNT];
    uint32_t recent_next;

    struct metric *outcome_metrics[NOTIFICATION_SILENCED + 1];
    struct metric *send_metric, *breaker_metric;
};

static const char *const tls_names[] = {"never", "offered", "required", NULL};

#define AT(member) offsetof(struct notify_options, member)
#define NOTIFY_TEXT(label, kind, member, preset_text, variable, text)                              \
    {                                                                                              \
        .name = label, .type = kind, .offset = AT(member), .preset = preset_text,                  \
        .environment = variable, .purpose = text                                                   \
    }
#define NOTIFY_LIST(label, member, preset_text, variable, text)                                    \
    {                                                                                              \
        .name = label, .type = OPTION_TEXT, .offset = AT(member), .preset = preset_text,           \
        .environment = variable, .is_list = true, .purpose = text                                  \
    }
#define NOTIFY_NUMBER(label, kind, member, preset_text, low, high, unit_text, text)                \
    {                                                                                              \
        .name = label, .type = kind, .offset = AT(member), .preset = preset_text, .least = low,    \
        .most = high, .unit = unit_text, .purpose = text                                           \
    }

static const struct option options[] = {
    NOTIFY_LIST("statuses", statuses, "open", NULL,
                "Which statuses of an alert are told: open, updated, closed."),
    NOTIFY_NUMBER("timeout_ms", OPTION_DURATION_MS, timeout_ms, "10s", 100, 10000, "ms",
                  "How long one message may take."),
    NOTIFY_NUMBER("interval_ms", OPTION_DURATION_MS, interval_ms, "1s", 1, 3600000, "ms",
                  "A channel gets one message in this time, on average."),
    NOTIFY_NUMBER("burst_max", OPTION_INT, burst_max, "3", 1, 1000, "messages",
                  "So many messages may go at once after a pause."),
    NOTIFY_NUMBER("age_max_ms", OPTION_DURATION_MS, age_max_ms, "24h", 1000, 31536000000, "ms",
                  "Alerts that have waited longer than this are not told any more, but recorded "
                  "as suppressed or failed."),
    NOTIFY_TEXT("slack.webhook_url", OPTION_SECRET, slack_webhook_url, NULL, "SLACK_WEBHOOK_URL",
                "Incoming webhook; unset: no Slack."),
    NOTIFY_LIST("slack.severities", slack_severities, "high,medium", NULL,
                "Severities told to Slack."),
    NOTIFY_LIST("email.severities", email_severities, "high", NULL, "Severities told by e-mail."),
    NOTIFY_TEXT("email.api_key", OPTION_SECRET, email_api_key, NULL, "EMAIL_API_KEY",
                "SendGrid API key; unset, and no smtp.url: no e-mail."),
    NOTIFY_TEXT("email.url", OPTION_TEXT, email_url, "https://api.sendgrid.com/v3/mail/send", NULL,
                "Where SendGrid's v3 API is."),
    NOTIFY_TEXT("email.from", OPTION_TEXT, email_from, NULL, NULL,
                "Sender's address; unset: the first of email.to."),
    NOTIFY_LIST("email.to", email_to, NULL, "ADMIN_EMAIL",
                "Addresses that e-mail goes to, comma between."),
    NOTIFY_TEXT("smtp.url", OPTION_TEXT, smtp_url, NULL, NULL,
                "Mail server, smtp://host:port or smtps://host:port; set: e-mail goes by SMTP."),
    NOTIFY_TEXT("smtp.user", OPTION_TEXT, smtp_user, NULL, NULL, "Login at the mail server."),
    NOTIFY_TEXT("smtp.password", OPTION_SECRET, smtp_password, NULL, NULL, "Its password."),
    {.name = "smtp.starttls",
     .type = OPTION_CHOICE,
     .offset = AT(smtp_tls),
     .preset = "offered",
     .choices = tls_names,
     .purpose = "STARTTLS on smtp:// connections; with a login, offered means required."},
};

const struct option_table notify_option_table = {
    .section = "notify",
    .options = options,
    .count = sizeof(options) / sizeof(options[0]),
    .bytes = sizeof(struct notify_options),
};

static const enum topic topics[] = {TOPIC_ALERTS};
static const char *const channel_names[NOTIFY_CHANNEL_COUNT] = {"slack", "email"};
static const char *const outcome_names[] = {"sent", "retrying", "failed", "suppressed", "silenced"};

/* ---- settings ---- */

const char *notify_channel_name(enum notify_channel channel)
{
    assert((unsigned)channel < NOTIFY_CHANNEL_COUNT);
    return channel_names[channel];
}

enum notify_channel notify_channel_find(const char *name)
{
    for (int i = 0; i < NOTIFY_CHANNEL_COUNT; i++)
        if (strcmp(name, channel_names[i]) == 0)
            return (enum notify_channel)i;
    return NOTIFY_CHANNEL_COUNT;
}

static bool has_text(const char *text)
{
    return text != NULL && text[0] != '\0';
}

bool notify_is_configured(const struct notify_options *notify_options, enum notify_channel channel)
{
    switch (channel) {
    case NOTIFY_SLACK:
        return has_text(notify_options->slack_webhook_url);
    case NOTIFY_EMAIL:
        return has_text(notify_options->email_to) &&
               (has_text(notify_options->smtp_url) || has_text(notify_options->email_api_key));
    case NOTIFY_CHANNEL_COUNT:
        break;
    }
    return false;
}

/* The bits of the named choices of an alert's field; false: `*wrong` is none of them. An empty
 * list and `none` are no bits. */
static bool read_choices(const char *field_name, const char *list, uint32_t *bits,
                         struct view *wrong)
{
    const struct field *field = shape_find(result_shape(RESULT_ALERT), view_of(field_name), NULL);

    assert(field != NULL && field->choices != NULL);
    *bits = 0;
    while (has_text(list)) {
        bool is_known;

        list += strspn(list, ", ");
        *wrong = (struct view){list, (uint32_t)strcspn(list, ", ")};
        is_known = wrong->size == 0 || view_is_text(*wrong, "none");
        for (uint32_t i = 0; field->choices[i] != NULL; i++) {
            if (!view_is_text(*wrong, field->choices[i]))
                continue;
            *bits |= 1u << i;
            is_known = true;
        }
        if (!is_known)
            return false;
        list += wrong->size;
    }
    return true;
}

static void check_choices(const char *name, const char *field_name, const char *list,
                          struct complaints *complaints)
{
    struct view wrong;
    uint32_t bits;

    if (!read_choices(field_name, list, &bits, &wrong))
        complain(complaints, NULL, "notify.%s: '%.*s' is no %s of an alert", name,
                 VIEW_PRINT(wrong), field_name);
}

/* Enough that it cannot add a header or a second address; the mail server knows the rest. */
static void check_addresses(const char *name, const char *list, struct complaints *complaints)
{
    if (!has_text(list))
        return;
    for (const char *at = list; *at != '\0'; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7F || *at == '<' || *at == '>') {
            complain(complaints, NULL, "notify.%s: expected plain addresses, name@host", name);
            return;
        }
    if (strchr(list, '@') == NULL)
        complain(complaints, NULL, "notify.%s: expected name@host, not '%s'", name, list);
}

static void check_url(const char *name, const char *url, const char *scheme, bool is_secret,
                      struct complaints *complaints)
{
    size_t size = strlen(scheme);

    if (!has_text(url) || strncmp(url, scheme, size) != 0)
        complain(complaints, NULL, "notify.%s: expected %s://... or %ss://...%s%s", name, scheme,
                 scheme, is_secret ? "" : ", not ", is_secret || url == NULL ? "" : url);
    else if (strncmp(url + size, "://", 3) != 0 && strncmp(url + size, "s://", 4) != 0)
        complain(complaints, NULL, "notify.%s: expected %s://... or %ss://...", name, scheme,
                 scheme);
}

void notify_check(const struct notify_options *notify_options, struct complaints *complaints)
{
    check_choices("statuses", "status", notify_options->statuses, complaints);
    check_choices("slack.severities", "severity", notify_options->slack_severities, complaints);
    check_choices("email.severities", "severity", notify_options->email_severities, complaints);
    check_addresses("email.from", notify_options->email_from, complaints);
    check_addresses("email.to", notify_options->email_to, complaints);
    if (has_text(notify_options->slack_webhook_url))
        check_url("slack.webhook_url", notify_options->slack_webhook_url, "http", true, complaints);
    if (has_text(notify_options->smtp_url))
        check_url("smtp.url", notify_options->smtp_url, "smtp", false, complaints);
    if (has_text(notify_options->email_api_key))
        check_url("email.url", notify_options->email_url, "http", false, complaints);
    if (has_text(notify_options->smtp_user) != has_text(notify_options->smtp_password))
        complain(complaints, NULL, "notify.smtp.user and notify.smtp.password: give both or none");
    if (has_text(notify_options->smtp_url) || has_text(notify_options->email_api_key))
        if (!has_text(notify_options->email_to))
            complain(complaints, NULL, "notify.email.to: missing; e-mail needs an address");
}

/* ---- the head of the queue ---- */

static bool is_wanted(const struct notify *notify, const struct delivery_item *item)
{
    const struct result *result = item->result;

    if (result == NULL || result->kind != RESULT_ALERT)
        return false;
    /* An alert that was merged into another one has its say there. */
    return (notify->severities >> result->alert.severity & 1) != 0 &&
           (notify->statuses >> result->alert.status & 1) != 0 &&
           view_is_absent(result->alert.merged_into);
}

static uint64_t recent_key(const struct result *alert)
{
    return hash_mix(hash_view(alert->id, 0), (uint64_t)alert->alert.status);
}

static bool is_recent(const struct notify *notify, const struct result *alert)
{
    uint64_t key = recent_key(alert);

    for (uint32_t i = 0; i < RECENT_COUNT; i++)
        if (notify->recent[i] == key)
            return true;
    return false;
}

static void remember(struct notify *notify, const struct result *alert)
{
    notify->recent[notify->recent_next] = recent_key(alert);
    notify->recent_next = (notify->recent_next + 1) % RECENT_COUNT;
}

static void begin_head(struct notify *notify, const struct record *record)
{
    const struct position head = {record->topic, record->partition, record->offset};

    if (notify->head.topic == head.topic && notify->head.partition == head.partition &&
        notify->head.offset == head.offset)
        return;
    notify->head = head;
    notify->attempt = 0;
    notify->attempt_due_ms = 0;
}

/* ---- what is said of it ---- */

static void tell(struct notify *notify, struct outbox *outbox, const struct result *alert,
                 enum notification_status status, const struct post_reply *reply)
{
    static const char *const numbers[] = {"attempt", "http_status", "latency_ms", "event_time",
                                          NULL};
    static const char *const sent_numbers[] = {"attempt", "event_time", NULL};
    const char *channel = notify_channel_name(notify->setup.channel);
    struct result result = {.kind = RESULT_NOTIFICATION, .tenant_id = alert->tenant_id};
    char id[40];

    /* From what caused it: a repetition after a crash is the same notification. */
    uint64_t key = hash_view(view_of(channel), recent_key(alert));
    snprintf(id, sizeof(id), "%016" PRIx64 "-%s-%" PRId64, key, outcome_names[status],
             notify->attempt);
    result.id = view_of(id);
    result.notification = (struct notification){
        .alert_id = alert->id,
        .channel = view_of(channel),
        .status = status,
        .attempt = notify->attempt,
        .http_status = reply->code,
        .latency_ms = (double)reply->latency_ms,
        .error = view_of(reply->text[0] != '\0' ? reply->text : NULL),
        .event_time_ms = clock_wall_ms(notify->setup.clock),
    };
    result_mark(&result, reply->code != 0 ? numbers : sent_numbers);
    outbox_add(outbox, &result);
    metric_add(notify->outcome_metrics[status], 1);
}

static void log_change(struct notify *notify, bool is_away, const char *text)
{
    if (is_away && !notify->is_away)
        log_warn("sink", "%s: %s; retrying", notify->name, text);
    if (!is_away && notify->is_away)
        log_info("sink", "%s: is back", notify->name);
    notify->is_away = is_away;
    metric_set(notify->breaker_metric, notify->breaker.state == BREAKER_CLOSED ? 0 : 1);
}

static bool is_too_old(const struct notify *notify, const struct record *record)
{
    return record->timestamp_ms >= 0 && clock_wall_ms(notify->setup.clock) - record->timestamp_ms >
                                            notify->setup.options->age_max_ms;
}

static void schedule(struct notify *notify, enum post_outcome outcome,
                     const struct post_reply *reply)
{
    int64_t now_ms = clock_monotonic_ms(notify->setup.clock);
    int64_t wait_ms = backoff_next_ms(&notify->backoff);

    /* A server that asks for a pause is alive. */
    if (outcome == POST_RETRY)
        breaker_failed(&notify->breaker, now_ms);
    else
        breaker_succeeded(&notify->breaker);
    if (reply->retry_after_ms > wait_ms)
        wait_ms = reply->retry_after_ms;
    notify->attempt_due_ms = now_ms + wait_ms;
}

/* True: the item is done with. */
static bool attempt_head(struct notify *notify, const struct delivery_item *item,
                         struct outbox *outbox)
{
    const struct result *alert = item->result;
    struct post_reply reply;
    enum post_outcome outcome;

    notify->attempt++;
    outcome = courier_send(notify->courier, alert, &reply);
    metric_observe(notify->send_metric, (double)reply.latency_ms / 1000);
    switch (outcome) {
    case POST_SENT:
    case POST_REFUSED:
        breaker_succeeded(&notify->breaker);
        backoff_reset(&notify->backoff);
        log_change(notify, false, "");
        if (outcome == POST_REFUSED)
            log_error("sink", "%s: an alert is refused: %s", notify->name, reply.text);
        tell(notify, outbox, alert, outcome == POST_SENT ? NOTIFICATION_SENT : NOTIFICATION_FAILED,
             &reply);
        remember(notify, alert);
        return true;
    case POST_RETRY:
    case POST_THROTTLED:
        break;
    }
    schedule(notify, outcome, &reply);
    log_change(notify, true, reply.text);
    if (is_too_old(notify, &item->record)) {
        tell(notify, outbox, alert, NOTIFICATION_FAILED, &reply);
        return true;
    }
    tell(notify, outbox, alert, NOTIFICATION_RETRYING, &reply);
    return false;
}

/* Until the head may be sent; 0: now. */
static int64_t head_wait_ms(const struct notify *notify)
{
    int64_t now_ms = clock_monotonic_ms(notify->setup.clock);
    int64_t due_ms = notify->attempt_due_ms - now_ms;
    int64_t breaker_ms = breaker_wait_ms(&notify->breaker, now_ms);
    int64_t bucket_ms = token_bucket_wait_ms(&notify->bucket, now_ms);
    int64_t wait_ms = due_ms > breaker_ms ? due_ms : breaker_ms;

    if (bucket_ms > wait_ms)
        wait_ms = bucket_ms;
    return wait_ms > 0 ? wait_ms : 0;
}

static void pass(struct notify *notify, const struct record *record)
{
    for (uint32_t i = 0; i < notify->position_count; i++)
        if (notify->positions[i].topic == record->topic &&
            notify->positions[i].partition == record->partition)
            notify->positions[i].offset = record->offset + 1;
}

/* True: the item is done with; false: *wait_ms is how long it must wait. */
static bool handle(struct notify *notify, const struct delivery_item *item, struct outbox *outbox,
                   int64_t *wait_ms)
{
    static const struct post_reply nothing = {0};
    int64_t now_ms = clock_monotonic_ms(notify->setup.clock);

    if (!is_wanted(notify, item) || is_recent(notify, item->result))
        return true;
    begin_head(notify, &item->record);
    if (notify->attempt == 0 && is_too_old(notify, &item->record)) {
        tell(notify, outbox, item->result, NOTIFICATION_SUPPRESSED, &nothing);
        return true;
    }
    *wait_ms = head_wait_ms(notify);
    if (*wait_ms > 0)
        return false;
    /* One thread: the outcome is known before the next question, so both say yes. */
    if (!breaker_allows(&notify->breaker, now_ms) || !token_bucket_take(&notify->bucket, now_ms))
        return false;
    if (attempt_head(notify, item, outbox))
        return true;
    *wait_ms = head_wait_ms(notify);
    return false;
}

/* ---- the door ---- */

static enum status open_notify(void *context, struct position *positions, uint32_t count,
                               struct failure *failure)
{
    struct notify *notify = context;
    size_t bytes = (count > 0 ? count : 1) * sizeof(struct position);

    (void)failure;
    notify->positions = realloc(notify->positions, bytes);
    assert(notify->positions != NULL);
    memcpy(notify->positions, positions, count * sizeof(struct position));
    notify->position_count = count;
    return STATUS_OK;
}

static enum status deliver_notify(void *context, struct delivery_turn *turn,
                                  struct failure *failure)
{
    struct notify *notify = context;
    int64_t start_ms = clock_monotonic_ms(notify->setup.clock);

    (void)failure;
    while (turn->taken < turn->count) {
        const struct delivery_item *item = &turn->items[turn->taken];

        if (!handle(notify, item, turn->outbox, &turn->wait_ms))
            break;
        pass(notify, &item->record);
        turn->taken++;
        /* The group wants to see us between messages. */
        if (clock_monotonic_ms(notify->setup.clock) - start_ms >= TURN_MS)
            break;
    }
    return STATUS_OK;
}

static void confirmed_notify(void *context, struct position *positions, uint32_t count)
{
    const struct notify *notify = context;

    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < notify->position_count; k++)
            if (positions[i].topic == notify->positions[k].topic &&
                positions[i].partition == notify->positions[k].partition)
                positions[i].offset = notify->positions[k].offset;
}

static void close_notify(void *context)
{
    struct notify *notify = context;

    /* The next owner begins with a first attempt. */
    notify->head = (struct position){0};
    notify->attempt = 0;
    notify->attempt_due_ms = 0;
}

struct delivery notify_delivery(struct notify *notify)
{
    static const struct delivery_door door = {
        .open = open_notify,
        .deliver = deliver_notify,
        .confirmed = confirmed_notify,
        .close = close_notify,
    };

    return (struct delivery){
        .door = &door,
        .context = notify,
        .name = notify->name,
        .topics = topics,
        .topic_count = sizeof(topics) / sizeof(topics[0]),
    };
}

/* ---- making and ending ---- */

static void register_metrics(struct notify *notify)
{
    struct metric_registry *metrics = notify->setup.metrics;
    const char *channel = notify_channel_name(notify->setup.channel);
    char labels[80];

    for (int i = 0; i <= NOTIFICATION_SILENCED; i++) {
        snprintf(labels, sizeof(labels), "channel=\"%s\",status=\"%s\"", channel, outcome_names[i]);
        notify->outcome_metrics[i] = metric_counter(
            metrics, "weir_notifications_total", "Notifications by what became of them.", labels);
    }
    snprintf(labels, sizeof(labels), "channel=\"%s\"", channel);
    notify->send_metric = metric_histogram(metrics, "weir_notify_send_seconds",
                                           "Time of one attempt to send.", labels);
    notify->breaker_metric =
        metric_gauge(metrics, "weir_notify_breaker_open",
                     "1 while the circuit breaker leaves the channel alone.", labels);
}

struct notify *notify_create(const struct notify_setup *setup)
{
    const struct notify_options *given = setup->options;
    const struct sink_options *sink = setup->sink;
    struct notify *notify = calloc(1, sizeof(*notify));
    const char *severities =
        setup->channel == NOTIFY_SLACK ? given->slack_severities : given->email_severities;
    struct view wrong;

    assert(notify != NULL);
    notify->setup = *setup;
    snprintf(notify->name, sizeof(notify->name), "notify-%s", notify_channel_name(setup->channel));
    if (!read_choices("severity", severities, &notify->severities, &wrong) ||
        !read_choices("status", given->statuses, &notify->statuses, &wrong))
        assert(!"options that were not checked");
    notify->courier = courier_create(given, setup->channel, setup->clock);
    token_bucket_init(&notify->bucket, given->interval_ms, given->burst_max,
                      clock_monotonic_ms(setup->clock));
    breaker_init(&notify->breaker, sink->breaker_failures_max, sink->breaker_open_ms);
    backoff_init(&notify->backoff, sink->retry_base_ms,
                 sink->retry_most_ms > sink->retry_base_ms ? sink->retry_most_ms
                                                           : sink->retry_base_ms,
                 setup->seed);
    register_metrics(notify);
    return notify;
}

void notify_destroy(struct notify *notify)
{
    if (notify == NULL)
        return;
    courier_destroy(notify->courier);
    free(notify->positions);
    free(notify);
}

/* ---- a test message ---- */

static struct result example_alert(int64_t now_ms, struct pair *group, struct view *evidence)
{
    static const char *const numbers[] = {
        "count",           "threshold",   "window_ms", "value", "first_event_time",
        "last_event_time", "opened_time", NULL};
    struct result alert = {
        .kind = RESULT_ALERT,
        .id = VIEW_LITERAL("weir-notify-test"),
        .tenant_id = VIEW_LITERAL("example"),
        .alert =
            {
                .type = VIEW_LITERAL("test-message"),
                .category = ALERT_SYSTEM,
                .severity = SEVERITY_HIGH,
                .status = ALERT_OPEN,
                .group = {group, 1},
                .count = 1,
                .threshold = 1,
                .window_ms = 60000,
                .value = 1,
                .first_event_time_ms = now_ms,
                .last_event_time_ms = now_ms,
                .opened_time_ms = now_ms,
                .evidence = {evidence, 1},
                .message = VIEW_LITERAL("This is a test: Weir can reach this channel."),
            },
    };

    *group = (struct pair){VIEW_LITERAL("user_id"), VIEW_LITERAL("nobody")};
    *evidence = VIEW_LITERAL("no-event");
    result_mark(&alert, numbers);
    return alert;
}

enum status notify_test(const struct notify_options *notify_options, const char *channel_name,
                        struct failure *failure)
{
    enum notify_channel channel = notify_channel_find(channel_name);
    struct post_reply reply;
    struct courier *courier;
    enum post_outcome outcome;
    struct pair group;
    struct view evidence;

    if (channel == NOTIFY_CHANNEL_COUNT)
        return failure_set(failure, REMEDY_STOP, "%s: no such channel; expected slack or email",
                           channel_name);
    if (!notify_is_configured(notify_options, channel))
        return failure_set(failure, REMEDY_STOP, "%s is not configured: set %s", channel_name,
                           channel == NOTIFY_SLACK
                               ? "SLACK_WEBHOOK_URL"
                               : "notify.email.to (ADMIN_EMAIL) and EMAIL_API_KEY or "
                                 "notify.smtp.url");
    struct result alert = example_alert(clock_wall_ms(clock_system()), &group, &evidence);
    courier = courier_create(notify_options, channel, clock_system());
    outcome = courier_send(courier, &alert, &reply);
    courier_destroy(courier);
    if (outcome == POST_SENT)
        return STATUS_OK;
    return failure_set(failure, outcome == POST_REFUSED ? REMEDY_STOP : REMEDY_RETRY, "%s: %s",
                       channel_name, reply.text);
}
