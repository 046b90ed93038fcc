#ifndef CLI_OUTLET_H
#define CLI_OUTLET_H
/*
 * outlet.h - where generated events go: a log of topics, or files of JSON lines.
 *
 *   outlet_open_log     each event to its topic, in the format asked for
 *   outlet_open_file    one file (or "-", standard output), a line each:
 *                       {"topic": ..., "key": ..., "value": {...}}, or the value alone
 *   outlet_open_folder  DIR/TOPIC.jsonl, the values alone: what `weir replay` reads
 *
 * Threads  one owner
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "cli/settings.h"
#include "event/event.h"

struct outlet;

enum status outlet_open_log(const struct settings *settings, enum codec_format format,
                            struct outlet **outlet, struct failure *failure);
enum status outlet_open_file(const char *path, bool is_bare, struct outlet **outlet,
                             struct failure *failure);
enum status outlet_open_folder(const char *path, struct outlet **outlet, struct failure *failure);

/* Waits for room where needed. STATUS_END: asked to stop while waiting. */
enum status outlet_put(struct outlet *outlet, const struct event *event, struct failure *failure);
/* Lets a log do its work meanwhile, where nothing was put for a while. */
void outlet_serve(struct outlet *outlet);
/* Everything put is where it belongs, or STATUS_BROKEN. Frees the outlet in any case. */
enum status outlet_close(struct outlet *outlet, struct failure *failure);
#endif
