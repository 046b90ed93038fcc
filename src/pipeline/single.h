#ifndef PIPELINE_SINGLE_H
#define PIPELINE_SINGLE_H
/*
 * single.h - topics of one partition that every worker reads whole, outside the group, and
 * gives to all its machines.
 */
#include <stdbool.h>

#include "event/topic.h"

enum single { SINGLE_COMMANDS, SINGLE_POPULARITY, SINGLE_COUNT };

static inline enum topic single_topic(enum single single)
{
    return single == SINGLE_COMMANDS ? TOPIC_COMMANDS : TOPIC_POPULARITY;
}

static inline bool topic_is_single(enum topic topic)
{
    return topic_info(topic)->layout == LAYOUT_SINGLE;
}

static inline enum single single_of(enum topic topic)
{
    return topic == TOPIC_COMMANDS ? SINGLE_COMMANDS : SINGLE_POPULARITY;
}
#endif
