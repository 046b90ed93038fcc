#ifndef ENGINE_COMMAND_H
#define ENGINE_COMMAND_H
/*
 * command.h - what people may tell the machine to do: a table, one row a type.
 *
 * Every partition sees every command in the same order and does the same, so that all
 * have the same rules; one of them answers. What only the tenant's home partition knows
 * of is done there alone: those commands are the rooms' (room.h).
 */
#include <stdbool.h>

#include "base/arena.h"
#include "engine/room.h"
#include "engine/rulebook.h"
#include "event/event.h"
#include "event/outbox.h"
#include "event/result.h"

struct command_call {
    const struct event *event;
    struct rulebook *book;
    const struct room_instance *rooms; /* those at work */
    uint32_t room_count;
    const struct tenant *tenant; /* NULL: it is none, or is rejected */
    bool is_home;                /* this partition answers, and holds the tenant's state */
    struct arena *arena;         /* of the texts below */
    struct outbox *outbox;       /* of what a room publishes beside the answer */

    /* What came of it. */
    struct room_answer answer;
    bool has_new_rules; /* the rules in force are others now */
    bool has_decision;  /* a person decided about an alert: to be published */
    struct result decision;
};

/* Carries out call->event and fills the answer. */
void command_run(struct command_call *call);
#endif
