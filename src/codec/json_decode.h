#ifndef CODEC_JSON_DECODE_H
#define CODEC_JSON_DECODE_H
/*
 * json_decode.h - a JSON object straight into a shaped struct: one pass, no tree.
 *
 * What is read is exactly RFC 8259, with these decisions:
 *   - of a name that stands twice the last one counts
 *   - unknown names are skipped, but their values must be valid JSON too
 *   - containers nest at most JSON_DEPTH_MAX deep
 *   - whole numbers may be written 1.0 or 1e3
 *   - texts are valid UTF-8, escaped surrogates come in pairs, and U+0000 is refused,
 *     escaped or not: no database column and no C string holds it
 *   - in a map, numbers, true, false, objects and lists are kept as their JSON text;
 *     a null is left out
 *
 * Texts without escapes are views into the message, others live in the arena.
 */
#include "base/arena.h"
#include "codec/layout.h"

enum { JSON_DEPTH_MAX = 64 };

/* `record` is overwritten; after an error it holds nothing of use. */
enum codec_error json_decode(const struct layout *layout, struct view message, struct arena *arena,
                             void *record, struct codec_reason *reason);
#endif
