#ifndef UNIT_SINK_ALERT_H
#define UNIT_SINK_ALERT_H
/*
 * alert.h - an alert as the engine would publish it.
 */
#include "event/result.h"

static inline struct result make_alert(const char *id, enum alert_severity severity,
                                       enum alert_status status)
{
    static const struct pair group[] = {{VIEW_LITERAL("user_id"), VIEW_LITERAL("mallory")}};
    static const struct view evidence[] = {VIEW_LITERAL("e-1"), VIEW_LITERAL("e-2")};
    static const char *const numbers[] = {
        "count",           "threshold",   "window_ms", "value", "first_event_time",
        "last_event_time", "opened_time", NULL};
    struct result alert = {
        .kind = RESULT_ALERT,
        .id = view_of(id),
        .tenant_id = VIEW_LITERAL("acme"),
        .alert = {.type = VIEW_LITERAL("failed-auth-by-user"),
                  .category = ALERT_SECURITY,
                  .severity = severity,
                  .status = status,
                  .group = {group, 1},
                  .count = 5,
                  .threshold = 5,
                  .window_ms = 300000,
                  .value = 5,
                  .first_event_time_ms = 1700000000000,
                  .last_event_time_ms = 1700000004000,
                  .opened_time_ms = 1700000004000,
                  .evidence = {evidence, 2},
                  .message = VIEW_LITERAL("5 failed logins of mallory in 5 minutes")},
    };

    result_mark(&alert, numbers);
    return alert;
}
#endif
