#ifndef CLI_YAML_H
#define CLI_YAML_H
/*
 * yaml.h - a YAML text as a struct tree, each node with its line.
 *
 * The subset that people write settings in: maps, lists, scalars, block texts, flow
 * collections, comments. Refused, each with its line: duplicate keys, anchors and
 * aliases (a short text could grow without bound), tags, keys that are no scalars, a
 * second document, texts with a NUL, and whatever is over the limits below.
 *
 * A plain scalar that is empty, `~` or `null` is TREE_NULL. A scalar in quotes or a
 * block text has is_quoted set: it is text, never a number.
 *
 * Memory   nodes and texts in `arena`
 * Threads  any; pure: same text, same tree
 */
#include "base/arena.h"
#include "base/status.h"
#include "base/tree.h"
#include "base/view.h"

enum { YAML_DEPTH_MAX = 32, YAML_NODES_MAX = 200000, YAML_TEXT_BYTES_MAX = 4 << 20 };

/* Complains of every error found. STATUS_OK: there was none. STATUS_BROKEN: there was;
 * *root then holds what could be read, so that a caller can go on to look for errors of
 * other kinds, or NULL when the text is no YAML. An empty text is a TREE_NULL.
 * Matches engine_parse_fn. */
enum status yaml_parse_text(struct view text, const char *file, struct arena *arena,
                            struct tree **root, struct complaints *complaints);
/* The same for a file; one that cannot be read is complained of. */
enum status yaml_parse_file(const char *file, struct arena *arena, struct tree **root,
                            struct complaints *complaints);
#endif
