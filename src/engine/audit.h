#ifndef ENGINE_AUDIT_H
#define ENGINE_AUDIT_H
/*
 * audit.h - who did what, as results of their own.
 *
 * The id of an entry is computed from what it is about, so that an entry made twice is
 * the same entry.
 */
#include <stdbool.h>
#include <stdint.h>

#include "event/event.h"
#include "event/outbox.h"

/* Adds an entry for each alert that opened or closed among the results from `from` on. */
void audit_alerts(struct outbox *outbox, uint32_t from);
/* Adds the entry of a command, carried out or rejected. */
void audit_command(struct outbox *outbox, const struct event *command,
                   const struct pair_list *before, const struct pair_list *after);
/* 32 hexadecimal digits of `digest` and what is added to it, in the arena. */
struct view audit_id(struct arena *arena, struct view subject, struct view action, uint64_t salt);
#endif
