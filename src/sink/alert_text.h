#ifndef SINK_ALERT_TEXT_H
#define SINK_ALERT_TEXT_H
/*
 * alert_text.h - an alert in words, before any markup: what every channel says.
 *
 * Memory   texts are in the arena or in the alert
 * Threads  any; nothing is shared
 */
#include "base/arena.h"
#include "base/view.h"
#include "event/result.h"

struct fact {
    const char *label;
    struct view value;
};

enum { FACT_COUNT_MAX = 20 };

struct alert_text {
    const char *severity; /* "high" */
    const char *status;   /* "open" */
    struct view title;    /* "HIGH failed-auth" */
    struct view message;  /* the alert's sentence; never absent */
    struct fact facts[FACT_COUNT_MAX];
    uint32_t fact_count;
};

void alert_describe(const struct result *alert, struct arena *arena, struct alert_text *text);
/* "2026-11-21 09:12:07.123 UTC" */
struct view time_text(struct arena *arena, int64_t time_ms);
#endif
