#ifndef ENGINE_COMMAND_H
#define ENGINE_COMMAND_H
/*
 * command.h - what people may tell the machine to do: a table, one row a type.
 *
 * Every partition sees every command in the same order and does the same, so that all
 * have the same rules; one of them answers.
 */
#include <stdbool.h>

#include "base/arena.h"
#include "engine/rulebook.h"
#include "event/event.h"
#include "event/result.h"

struct command_call {
    const struct event *event;
    struct rulebook *book;
    struct arena *arena; /* of the texts below */

    /* What came of it. */
    bool is_accepted;
    bool has_new_rules; /* the rules in force are others now */
    struct view error;  /* when rejected */
    struct pair_list before, after;
    struct pair_list result;
    bool has_decision; /* a person decided about an alert: to be published */
    struct result decision;
};

/* Carries out call->event and fills the answer. */
void command_run(struct command_call *call);
#endif
