#ifndef CLI_ARGS_H
#define CLI_ARGS_H
/*
 * args.h - the words after `weir COMMAND`, by a table, the same way everywhere.
 *
 *   --name VALUE, --name=VALUE, --flag, words in between, -- ends the options
 *
 * --help (-h) prints usage, options, examples and exit codes, made from the table, on
 * standard output. An error is one line on standard error, with the remedy, and exit
 * code 2.
 *
 * Memory   texts are borrowed from argv; lists and copies come from the arena
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/view.h"
#include "event/shape.h"

/* What every sub-command returns; printed by --help. */
enum exit_code {
    CODE_DONE = 0,
    CODE_FAILED = 1, /* the world: no broker, a full disk, a refused delivery */
    CODE_USAGE = 2,  /* the command line */
    CODE_CONFIG = 3, /* the configuration file, its rules or the environment */
};

enum arg_type {
    ARG_FLAG,        /* bool, no value */
    ARG_TEXT,        /* const char * */
    ARG_TEXTS,       /* struct view_list: may be repeated */
    ARG_INT,         /* int64_t */
    ARG_DOUBLE,      /* double */
    ARG_DURATION_MS, /* int64_t: 90s, 5m, ... */
    ARG_CHOICE,      /* int64_t, index into choices */
};

struct arg {
    const char *name; /* "config": the user writes --config */
    enum arg_type type;
    size_t offset;              /* into the struct that args_read fills */
    const char *value;          /* "FILE"; NULL for a flag */
    double least, most;         /* numbers; both 0: no bound */
    const char *const *choices; /* ends in NULL */
    const char *purpose;        /* a line; says the preset */
};

struct arg_table {
    const char *command; /* "topics" */
    const char *words;   /* "create|describe"; NULL: takes no words */
    uint32_t words_min, words_max;
    const char *summary; /* a sentence or a paragraph */
    const struct arg *args;
    size_t count;
    const char *examples; /* lines, each with its own indent; may be NULL */
    const char *notes;    /* further paragraphs; may be NULL */
};

/* The caller has put the presets into `values`; what is not given stays untouched.
 * `words` (may be NULL when the table takes none) gets the rest, in order.
 * False: everything is said (help or an error), leave with *exit_code. argv[0] is the
 * command's name and is skipped. */
bool args_read(const struct arg_table *table, int argc, char **argv, void *values,
               struct view_list *words, struct arena *arena, int *exit_code);

/* "weir COMMAND: text (weir COMMAND --help)" on standard error; returns CODE_USAGE. */
int args_refuse(const struct arg_table *table, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* "weir COMMAND: text" on standard error; returns CODE_FAILED. */
int args_fail(const struct arg_table *table, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The name nearest to `word`, NULL when none is near enough to be meant. */
const char *args_nearest(const char *word, const char *const *names, size_t count);
#endif
