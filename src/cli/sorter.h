#ifndef CLI_SORTER_H
#define CLI_SORTER_H
/*
 * sorter.h - the events of one file, put in the order of their event times.
 *
 * It holds events back, as many as it has memory for, and hands out the earliest of them:
 * what stood farther from its place than that comes out of order. Events of one
 * millisecond keep the order they came in.
 *
 * Memory   bytes_max, and the largest event once more; the events are copies
 * Threads  one owner
 */
#include <stdbool.h>
#include <stddef.h>

#include "event/event.h"

struct sorter;

struct sorter *sorter_create(enum event_kind kind, size_t bytes_max);
void sorter_destroy(struct sorter *sorter);

bool sorter_is_full(const struct sorter *sorter);
bool sorter_is_empty(const struct sorter *sorter);
void sorter_put(struct sorter *sorter, const struct event *event);
/* The earliest; not when empty. Valid until the next one is taken. */
const struct event *sorter_take(struct sorter *sorter);
#endif
