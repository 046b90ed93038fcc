#ifndef CODEC_PROGRAM_H
#define CODEC_PROGRAM_H
/*
 * program.h - a writer's schema, resolved once against a shape of ours, as a flat list
 * of steps that read its bytes straight into the struct.
 *
 * Resolution is that of the Avro specification for a reader with our fields: by name,
 * in any order; unknown fields are skipped; int and long become double, float becomes
 * double; bytes are text and text is bytes; an enum matches by symbol; a union is
 * resolved branch by branch, and a message with a branch that does not fit is refused
 * alone. Beyond it: the names of the writer's records and enums do not matter; an enum
 * may be read as text and text as a choice; a timestamp in micros or nanos is brought to
 * milliseconds.
 *
 * Texts are views into the message; lists live in the arena. A corrupt count never
 * sizes an allocation and never makes a loop longer than the message.
 *
 * Memory   a program lives in the arena it was compiled into
 * Threads  immutable after program_compile
 */
#include "base/arena.h"
#include "codec/layout.h"
#include "codec/schema.h"

struct program;

/* Both the layout and the writer's schema outlive the program. Otherwise the error is
 * CODEC_ERROR_SCHEMA, and `reason` names the field. */
enum codec_error program_compile(const struct layout *layout, const struct schema *writer,
                                 struct arena *arena, const struct program **program,
                                 struct codec_reason *reason);

/* Reads one datum at *at and moves *at behind it. `record` is overwritten. Offsets in
 * `reason` count from `start`; all from there to `end` may be read. */
enum codec_error program_run(const struct program *program, const char *start, const char **at,
                             const char *end, struct arena *arena, void *record,
                             struct codec_reason *reason);
#endif
