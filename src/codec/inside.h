#ifndef CODEC_INSIDE_H
#define CODEC_INSIDE_H
/*
 * inside.h - what the files of this room know of a codec, and nobody else.
 */
#include "codec/codec.h"
#include "codec/layout.h"
#include "codec/program.h"

const struct layout *codec_layout(const struct codec *codec, enum event_kind kind);
/* What remains after the fields of an event are read: its kind, presets, and rules that
 * span fields. */
enum codec_error codec_finish_event(enum event_kind kind, struct event *event,
                                    struct codec_reason *reason);
#endif
