#ifndef SINK_NOTIFY_H
#define SINK_NOTIFY_H
/*
 * notify.h - alerts to people: Slack and e-mail.
 *
 *   alerts ─► routed by severity and status ─► rate ─► breaker ─► send
 *                                                                  │
 *   notifications ◄── sent, retrying, failed, suppressed ──────────┘
 *
 * Each channel is a sink of its own, with its own runner and consumer group: one that is
 * dead delays nobody else, and its position in the log is its queue, however long.
 * Alerts go out in order, one at a time. What is taken has been sent, refused for good
 * (a notification says so) or was not meant for the channel; so nothing is lost while a
 * destination is away, and an alert is sent twice only when a crash comes between the
 * sending and the commit. Alerts repeated by the log in one life are sent once.
 *
 * 429, 5xx, 408, time-outs and lost connections are tried again with full-jitter
 * back-off, after as long as the server asks for; other answers are final.
 *
 * Units    _ms milliseconds
 * Threads  one owner a channel; sending blocks for at most timeout_ms
 */
#include <stdbool.h>

#include "base/clock.h"
#include "base/metric.h"
#include "base/option.h"
#include "event/delivery.h"
#include "sink/runner.h"

enum notify_channel { NOTIFY_SLACK, NOTIFY_EMAIL, NOTIFY_CHANNEL_COUNT };

struct notify_options {
    const char *statuses; /* which of an alert's statuses are told; comma between */
    int64_t timeout_ms;
    int64_t interval_ms; /* one message a channel in so long ... */
    int64_t burst_max;   /* ... with bursts of so many */
    int64_t age_max_ms;
    const char *slack_webhook_url;
    const char *slack_severities;
    const char *email_severities;
    const char *email_api_key;
    const char *email_url;
    const char *email_from;
    const char *email_to; /* comma between */
    const char *smtp_url;
    const char *smtp_user;
    const char *smtp_password;
    int64_t smtp_tls; /* enum post_tls */
};
/* Section "notify". */
extern const struct option_table notify_option_table;

const char *notify_channel_name(enum notify_channel channel); /* "slack", "email" */
/* NOTIFY_CHANNEL_COUNT when there is none of that name. */
enum notify_channel notify_channel_find(const char *name);
bool notify_is_configured(const struct notify_options *options, enum notify_channel channel);
/* Complains of what the option table cannot know: severities, addresses, half a login. */
void notify_check(const struct notify_options *options, struct complaints *complaints);

/* Everything borrowed, and alive longer than the sink. */
struct notify_setup {
    const struct notify_options *options; /* checked */
    const struct sink_options *sink;      /* for retry and breaker */
    enum notify_channel channel;          /* configured */
    const struct clock *clock;
    struct metric_registry *metrics;
    uint64_t seed;
};

struct notify;

struct notify *notify_create(const struct notify_setup *setup);
void notify_destroy(struct notify *notify);
/* Its name is "notify-slack" or "notify-email". */
struct delivery notify_delivery(struct notify *notify);

/* Sends one example alert now, by the name of the channel. STATUS_BROKEN: the text says what
 * the destination answered, or what is not configured. */
enum status notify_test(const struct notify_options *options, const char *channel,
                        struct failure *failure);
#endif
