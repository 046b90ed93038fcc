#ifndef EVENT_OUTBOX_H
#define EVENT_OUTBOX_H
/*
 * outbox.h - the one way out of the engine: results of a batch, in order.
 *
 * Adding copies the result and all it points to, so that makers may point into
 * their state. Recovery replays with the outbox muted.
 *
 * Memory   one arena, reset with the batch
 * Threads  one owner, no locks
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "event/result.h"

struct outbox;

struct outbox *outbox_create(void);
void outbox_destroy(struct outbox *outbox);
/* Muted: outbox_add does nothing. */
void outbox_mute(struct outbox *outbox, bool is_muted);
void outbox_add(struct outbox *outbox, const struct result *result);
uint32_t outbox_count(const struct outbox *outbox);
const struct result *outbox_at(const struct outbox *outbox, uint32_t index);
/* For texts that only the next outbox_add needs; ends with the batch. */
struct arena *outbox_scratch(struct outbox *outbox);
void outbox_reset(struct outbox *outbox);
#endif
