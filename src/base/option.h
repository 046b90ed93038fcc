#ifndef BASE_OPTION_H
#define BASE_OPTION_H
/*
 * option.h - a room's settings, said once in a table.
 *
 *   section.name  type  least..most  preset  unit  purpose
 *
 * From the table come: parsing of the configuration file, the environment name
 * (WEIR_ + SECTION_NAME in capitals, dots and dashes as underscores), range
 * checks, `weir config` and config/reference.md.
 *
 * A room exports `const struct option_table room_option_table` and a struct that
 * the table fills by offset. Texts are `const char *`, NULL when unset; lists of
 * texts are one text, comma between items.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/tree.h"

enum option_type {
    OPTION_INT,         /* int64_t */
    OPTION_DOUBLE,      /* double */
    OPTION_DURATION_MS, /* int64_t, milliseconds */
    OPTION_BYTES,       /* int64_t */
    OPTION_BOOL,        /* bool */
    OPTION_TEXT,        /* const char * */
    OPTION_CHOICE,      /* int64_t, index into choices */
    OPTION_SECRET,      /* const char *; from environment or NAME_file only, never printed */
    OPTION_TREE,        /* const struct tree *; a list or map that the room reads itself */
};

struct option {
    const char *name; /* inside the section: "commit.interval_ms" */
    enum option_type type;
    size_t offset;
    const char *preset;         /* as the user would write it; NULL: unset */
    int64_t least, most;        /* numbers; both 0: no bound */
    const char *const *choices; /* OPTION_CHOICE: names, ends in NULL */
    const char *environment;    /* a further, traditional name; NULL: none */
    bool is_list;               /* OPTION_TEXT: items, comma between; a list may be written */
    const char *unit;           /* for the reference; NULL: none */
    const char *purpose;        /* a sentence */
};

struct option_table {
    const char *section; /* "processing"; "" for the top level */
    const struct option *options;
    size_t count;
    size_t bytes; /* of the struct that it fills */
};

/* Presets only. */
void option_preset(const struct option_table *table, void *values);
/* Presets, then the map `section` (NULL: not in the file), then the environment.
 * Unknown names and bad values are complained of, with the nearest known name. A dotted name
 * may be written dotted or nested, a text of items also as a list. An empty variable counts as
 * unset. Texts are kept in `arena`.
 *
 * A secret comes from its variable, from the file that NAME_file names, or from the file that
 * the variable with _FILE at its end names; one newline at the end of the file is not part of it.
 *
 * With section "" the map is the whole document: maps and lists in it that no option names
 * are other tables' sections, and the caller's to check. */
void option_read(const struct option_table *table, const struct tree *section, void *values,
                 struct arena *arena, struct complaints *complaints);
/* Whether the table takes a value from the variable of this name. */
bool option_has_variable(const struct option_table *table, const char *name);
/* Appends the table as Markdown, one row an option. */
void option_reference(const struct option_table *table, struct byte_writer *out);
#endif
