#ifndef CLI_INPUT_H
#define CLI_INPUT_H
/*
 * input.h - the messages in a file: lines of JSON, or the records of an Avro container.
 *
 * Plain, .gz or .zst; "-" is standard input. What a file is shows in its first bytes.
 * Empty lines are skipped, so is a byte order mark in front.
 *
 * Memory   owned; lines of at most line_bytes_max and a block ahead
 * Threads  one owner
 */
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/view.h"
#include "codec/codec.h"
#include "event/event.h"

struct input;

/* Borrows `path` and `codec` for its life. */
enum status input_open(const char *path, enum event_kind kind, struct codec *codec,
                       size_t line_bytes_max, struct input **input, struct failure *failure);
void input_close(struct input *input);

/*
 * The next event; its texts are valid until the next call. STATUS_OK; STATUS_END;
 * STATUS_BROKEN with REMEDY_SET_ASIDE: this one is not an event, `failure` says why, go on;
 * STATUS_BROKEN with REMEDY_STOP: nothing more can be read.
 */
enum status input_next(struct input *input, struct event *event, struct failure *failure);

const char *input_path(const struct input *input);
/* What the last event or failure was: "line 12" or "record 12", counted from 1. */
uint64_t input_number(const struct input *input);
const char *input_unit(const struct input *input);
#endif
