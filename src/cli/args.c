#include "cli/args.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/tree.h"

enum { HELP_COLUMN = 28, HELP_WIDTH = 96 };

struct reading {
    const struct arg_table *table;
    char *values;
    struct arena *arena;
    int argc;
    char **argv;
    int at;
};

/* ---- errors ---- */

static void print_error(const struct arg_table *table, const char *format, va_list arguments,
                        bool has_hint)
{
    fprintf(stderr, "weir %s: ", table->command);
    vfprintf(stderr, format, arguments);
    if (has_hint)
        fprintf(stderr, " (weir %s --help)", table->command);
    fputc('\n', stderr);
}

int args_refuse(const struct arg_table *table, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print_error(table, format, arguments, true);
    va_end(arguments);
    return CODE_USAGE;
}

int args_fail(const struct arg_table *table, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print_error(table, format, arguments, false);
    va_end(arguments);
    return CODE_FAILED;
}

const char *args_nearest(const char *word, const char *const *names, size_t count)
{
    const char *nearest = NULL;
    uint32_t best = 2 + (uint32_t)strlen(word) / 4;

    for (size_t i = 0; i < count; i++) {
        uint32_t distance = text_distance(view_of(word), view_of(names[i]));
        if (distance < best) {
            best = distance;
            nearest = names[i];
        }
    }
    return nearest;
}

static int refuse_unknown(const struct reading *reading, const char *word)
{
    const char *names[64];
    size_t count = reading->table->count;

    assert(count < 63);
    for (size_t i = 0; i < count; i++)
        names[i] = arena_print(reading->arena, "--%s", reading->table->args[i].name);
    names[count] = "--help";
    const char *name = arena_print(reading->arena, "%.*s", (int)strcspn(word, "="), word);
    const char *nearest = args_nearest(name, names, count + 1);
    if (nearest == NULL)
        return args_refuse(reading->table, "%s: no such option", name);
    return args_refuse(reading->table, "%s: no such option; did you mean %s?", name, nearest);
}

/* ---- help ---- */

static void print_choices(const struct arg *arg)
{
    for (size_t i = 0; arg->choices[i] != NULL; i++)
        printf("%s%s", i > 0 ? "|" : "", arg->choices[i]);
}

/* In a column of its own, broken between words. */
static void print_purpose(const char *text)
{
    int column = HELP_COLUMN;

    while (*text != '\0') {
        int length = (int)strcspn(text, " ");
        if (column > HELP_COLUMN && column + 1 + length > HELP_WIDTH) {
            printf("\n%*s", HELP_COLUMN, "");
            column = HELP_COLUMN;
        } else if (column > HELP_COLUMN) {
            putchar(' ');
            column++;
        }
        column += printf("%.*s", length, text);
        text += length;
        text += strspn(text, " ");
    }
    putchar('\n');
}

static void print_option(const struct arg *arg)
{
    int width = printf("  --%s", arg->name);

    if (arg->type == ARG_CHOICE && arg->value == NULL) {
        putchar(' ');
        print_choices(arg);
        width = HELP_COLUMN; /* the purpose goes to a line of its own */
    } else if (arg->value != NULL) {
        width += printf(" %s", arg->value);
    }
    if (width >= HELP_COLUMN)
        printf("\n%*s", HELP_COLUMN, "");
    else
        printf("%*s", HELP_COLUMN - width, "");
    print_purpose(arg->purpose);
}

static void print_help(const struct arg_table *table)
{
    printf("Usage: weir %s%s%s%s\n\n%s\n", table->command, table->count > 0 ? " [OPTION...]" : "",
           table->words != NULL ? " " : "", table->words != NULL ? table->words : "",
           table->summary);
    printf("\nOptions:\n");
    for (size_t i = 0; i < table->count; i++)
        print_option(&table->args[i]);
    printf("  --help%*sprints this\n", HELP_COLUMN - 8, "");
    if (table->notes != NULL)
        printf("\n%s\n", table->notes);
    if (table->examples != NULL)
        printf("\nExamples:\n%s\n", table->examples);
    printf("\nExit codes: 0 done, 1 failed (the reason is on standard error), 2 wrong command "
           "line,\n3 wrong configuration or rules\n");
}

/* ---- values ---- */

static bool is_in_range(const struct arg *arg, double value)
{
    return (arg->least == 0 && arg->most == 0) || (value >= arg->least && value <= arg->most);
}

static bool store_number(const struct arg *arg, struct view text, void *slot)
{
    int64_t whole = 0;
    double real = 0;

    if (arg->type == ARG_DOUBLE) {
        if (!text_double(text, &real) || !is_in_range(arg, real))
            return false;
        memcpy(slot, &real, sizeof real);
        return true;
    }
    if (arg->type == ARG_INT ? !text_int(text, &whole) : !text_duration_ms(text, &whole))
        return false;
    if (!is_in_range(arg, (double)whole))
        return false;
    memcpy(slot, &whole, sizeof whole);
    return true;
}

static bool store_choice(const struct arg *arg, struct view text, void *slot)
{
    for (int64_t i = 0; arg->choices[i] != NULL; i++) {
        if (view_is_text(text, arg->choices[i])) {
            memcpy(slot, &i, sizeof i);
            return true;
        }
    }
    return false;
}

static void append_view(struct arena *arena, struct view_list *list, struct view item)
{
    struct view *grown = arena_alloc(arena, (list->count + 1) * sizeof *grown);

    if (list->count > 0)
        memcpy(grown, list->at, list->count * sizeof *grown);
    grown[list->count] = item;
    *list = (struct view_list){grown, list->count + 1};
}

static const char *expectation(struct arena *arena, const struct arg *arg)
{
    const char *what = arg->type == ARG_INT      ? "a whole number"
                       : arg->type == ARG_DOUBLE ? "a number"
                                                 : "a duration such as 90s or 5m";
    const char *text = "";

    if (arg->type != ARG_CHOICE && arg->least == 0 && arg->most == 0)
        return what;
    if (arg->type != ARG_CHOICE)
        return arena_print(arena, "%s from %.15g to %.15g", what, arg->least, arg->most);
    for (size_t i = 0; arg->choices[i] != NULL; i++) {
        const char *comma = i == 0 ? "" : arg->choices[i + 1] != NULL ? ", " : " or ";
        text = arena_print(arena, "%s%s%s", text, comma, arg->choices[i]);
    }
    return text;
}

static bool store_value(struct reading *reading, const struct arg *arg, const char *text)
{
    void *slot = reading->values + arg->offset;
    bool is_good = true;

    switch (arg->type) {
    case ARG_FLAG:
        assert(!"a flag has no value");
        break;
    case ARG_TEXT:
        memcpy(slot, &text, sizeof text);
        is_good = text[0] != '\0';
        break;
    case ARG_TEXTS:
        append_view(reading->arena, slot, view_of(text));
        is_good = text[0] != '\0';
        break;
    case ARG_INT:
    case ARG_DOUBLE:
    case ARG_DURATION_MS:
        is_good = store_number(arg, view_of(text), slot);
        break;
    case ARG_CHOICE:
        is_good = store_choice(arg, view_of(text), slot);
        break;
    }
    if (!is_good && (arg->type == ARG_TEXT || arg->type == ARG_TEXTS))
        args_refuse(reading->table, "--%s: expected %s, not an empty text", arg->name, arg->value);
    else if (!is_good)
        args_refuse(reading->table, "--%s: expected %s, not '%s'", arg->name,
                    expectation(reading->arena, arg), text);
    return is_good;
}

/* ---- the line ---- */

static const struct arg *find_arg(const struct arg_table *table, struct view name)
{
    for (size_t i = 0; i < table->count; i++)
        if (view_is_text(name, table->args[i].name))
            return &table->args[i];
    return NULL;
}

static bool read_option(struct reading *reading, const char *word)
{
    const char *sign = strchr(word, '=');
    struct view name = {word + 2, (uint32_t)strcspn(word, "=") - 2};
    const struct arg *arg = find_arg(reading->table, name);

    if (arg == NULL) {
        refuse_unknown(reading, word);
        return false;
    }
    if (arg->type == ARG_FLAG) {
        bool is_set = true;
        if (sign != NULL) {
            args_refuse(reading->table, "--%s takes no value", arg->name);
            return false;
        }
        memcpy(reading->values + arg->offset, &is_set, sizeof is_set);
        return true;
    }
    if (sign != NULL)
        return store_value(reading, arg, sign + 1);
    if (reading->at + 1 >= reading->argc) {
        args_refuse(reading->table, "--%s needs a value%s%s", arg->name,
                    arg->value != NULL ? ": " : "", arg->value != NULL ? arg->value : "");
        return false;
    }
    return store_value(reading, arg, reading->argv[++reading->at]);
}

static bool check_words(const struct reading *reading, const struct view_list *words)
{
    const struct arg_table *table = reading->table;

    if (words->count > table->words_max) {
        args_refuse(table, "'%.*s' is too much", VIEW_PRINT(words->at[table->words_max]));
        return false;
    }
    if (words->count < table->words_min) {
        args_refuse(table, "expected %s", table->words);
        return false;
    }
    return true;
}

bool args_read(const struct arg_table *table, int argc, char **argv, void *values,
               struct view_list *words, struct arena *arena, int *exit_code)
{
    struct reading reading = {table, values, arena, argc, argv, 1};
    struct view_list found = {NULL, 0};
    bool is_option_allowed = true;

    *exit_code = CODE_USAGE;
    for (; reading.at < argc; reading.at++) {
        const char *word = argv[reading.at];
        if (is_option_allowed && strcmp(word, "--") == 0) {
            is_option_allowed = false;
        } else if (is_option_allowed && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)) {
            print_help(table);
            *exit_code = CODE_DONE;
            return false;
        } else if (is_option_allowed && strncmp(word, "--", 2) == 0) {
            if (!read_option(&reading, word))
                return false;
        } else if (is_option_allowed && word[0] == '-' && word[1] != '\0') {
            refuse_unknown(&reading, word);
            return false;
        } else {
            append_view(arena, &found, view_of(word));
        }
    }
    if (!check_words(&reading, &found))
        return false;
    if (words != NULL)
        *words = found;
    *exit_code = CODE_DONE;
    return true;
}
