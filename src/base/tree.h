#ifndef BASE_TREE_H
#define BASE_TREE_H
/*
 * tree.h - a document of settings: scalars, lists and maps, each with the line
 * that it came from. The cli fills it from YAML; rooms read their part of it and
 * report every error with file:line, not only the first.
 *
 * Memory   nodes and texts live in the arena they were made in
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/view.h"

enum tree_kind { TREE_NULL, TREE_SCALAR, TREE_LIST, TREE_MAP };

struct tree {
    enum tree_kind kind;
    bool is_quoted;     /* a scalar written in quotes is text, never a number */
    uint32_t line;      /* 1-based */
    const char *file;   /* borrowed; as the user named it */
    struct view name;   /* in a map: the key; else absent */
    struct view value;  /* scalar */
    struct tree *child; /* first of a list or map */
    struct tree *next;  /* next sibling */
};

/* Child of a map by name; NULL when `tree` is NULL, no map, or has none. */
const struct tree *tree_get(const struct tree *tree, const char *name);
uint32_t tree_count(const struct tree *tree);

/* Errors of a user's settings, all of them, in the order found. */
struct complaints {
    struct arena *arena;
    struct complaint *first, **last;
    uint32_t count;
};
struct complaint {
    const char *text; /* "rules.yaml:12: severity: expected low, medium or high, not 'hihg'" */
    struct complaint *next;
};

void complaints_init(struct complaints *complaints, struct arena *arena);
/* `at` may be NULL: then no file:line is put in front. */
void complain(struct complaints *complaints, const struct tree *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Each complains and returns false when the scalar does not say it. Durations:
 * "250ms", "60s", "5m", "1h", "7d", or a bare number of milliseconds. */
bool tree_int(const struct tree *tree, int64_t *value, struct complaints *complaints);
bool tree_double(const struct tree *tree, double *value, struct complaints *complaints);
bool tree_bool(const struct tree *tree, bool *value, struct complaints *complaints);
bool tree_duration_ms(const struct tree *tree, int64_t *value, struct complaints *complaints);

/* The same on plain text, without a complaint: the whole text must say it, in decimal,
 * whatever the locale. A double is finite and the nearest to the decimal; a text of more than
 * 1000 bytes is none. A fraction ("1.5h") must come out whole. Bool: true, false, yes, no,
 * on or off. Bytes: "64MB", "1GiB"; KB is 1000 bytes, KiB 1024. */
bool text_int(struct view text, int64_t *value);
bool text_double(struct view text, double *value);
bool text_bool(struct view text, bool *value);
bool text_duration_ms(struct view text, int64_t *value);
bool text_bytes(struct view text, int64_t *value);
/* Insertions, deletions, replacements and swaps of neighbours that make `a` into `b`, for
 * "did you mean". Texts over 64 bytes are far from everything: UINT32_MAX. */
uint32_t text_distance(struct view a, struct view b);
#endif
