#include "event/topic.h"

#include <assert.h>

static const struct topic_info topics[TOPIC_COUNT] = {
    [TOPIC_ORDERS] = {"orders", LAYOUT_INPUT, false, EVENT_ORDER, -1},
    [TOPIC_AUTH_EVENTS] = {"auth-events", LAYOUT_INPUT, false, EVENT_AUTH, -1},
    [TOPIC_API_CALLS] = {"api-calls", LAYOUT_INPUT, false, EVENT_API_CALL, -1},
    [TOPIC_INTERACTIONS] = {"interactions", LAYOUT_INPUT, false, EVENT_INTERACTION, -1},
    [TOPIC_OUTCOMES] = {"outcomes", LAYOUT_INPUT, false, EVENT_OUTCOME, -1},
    [TOPIC_REQUESTS] = {"recommendation-requests", LAYOUT_INPUT, false, EVENT_REQUEST, -1},
    [TOPIC_FORWARD] = {"weir.forward", LAYOUT_INPUT, false, -1, -1},
    [TOPIC_COMMANDS] = {"commands", LAYOUT_SINGLE, false, EVENT_COMMAND, -1},
    [TOPIC_ALERTS] = {"alerts", LAYOUT_RESULT, false, -1, RESULT_ALERT},
    [TOPIC_RECOMMENDATIONS] = {"recommendations", LAYOUT_RESULT, false, -1, RESULT_RECOMMENDATION},
    [TOPIC_BATCH_JOBS] = {"batch-jobs", LAYOUT_RESULT, false, -1, RESULT_BATCH_JOB},
    [TOPIC_ANALYTICS] = {"analytics", LAYOUT_RESULT, false, -1, RESULT_ANALYTICS},
    [TOPIC_COMMAND_RESULTS] = {"command-results", LAYOUT_RESULT, false, -1, RESULT_COMMAND_RESULT},
    [TOPIC_AUDIT] = {"audit", LAYOUT_RESULT, false, -1, RESULT_AUDIT},
    [TOPIC_NOTIFICATIONS] = {"notifications", LAYOUT_RESULT, false, -1, RESULT_NOTIFICATION},
    [TOPIC_DEAD_LETTER] = {"dead-letter", LAYOUT_RESULT, false, -1, -1},
    [TOPIC_JOURNAL] = {"weir.journal", LAYOUT_INPUT, false, -1, -1},
    [TOPIC_SNAPSHOTS] = {"weir.snapshots", LAYOUT_INPUT, true, -1, -1},
    [TOPIC_POPULARITY] = {"weir.popularity", LAYOUT_SINGLE, true, -1, RESULT_POPULARITY},
};

const struct topic_info *topic_info(enum topic topic)
{
    assert((unsigned)topic < TOPIC_COUNT);
    return &topics[topic];
}

enum topic topic_find(struct view name)
{
    for (int i = 0; i < TOPIC_COUNT; i++)
        if (view_is_text(name, topics[i].name))
            return (enum topic)i;
    return TOPIC_COUNT;
}

enum topic topic_of_event(enum event_kind kind)
{
    for (int i = 0; i < TOPIC_COUNT; i++)
        if (topics[i].event_kind == (int)kind)
            return (enum topic)i;
    return TOPIC_COUNT;
}

enum topic topic_of_result(enum result_kind kind)
{
    for (int i = 0; i < TOPIC_COUNT; i++)
        if (topics[i].result_kind == (int)kind)
            return (enum topic)i;
    return TOPIC_COUNT;
}
