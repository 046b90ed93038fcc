/*
 * One path for every value, wherever it was written:
 *
 *   preset ----------.
 *   file: scalar ----+--> text --> read_number --> is_in_range --> the struct
 *   environment -----'                 |                |
 *                                      '---- expected --'--> complaint
 */
#include "base/option.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECRET_BYTES_MAX = 64 * 1024 };

static const char file_suffix[] = "_file";

struct reading {
    const struct option_table *table;
    char *values;
    bool *is_given; /* by option: the file has said it */
    struct arena *arena;
    struct complaints *complaints;
};

/* ---- one value ---- */

static void *slot_of(const struct option *option, char *values)
{
    return values + option->offset;
}

static bool read_choice(const struct option *option, struct view text, int64_t *index)
{
    for (*index = 0; option->choices[*index] != NULL; (*index)++)
        if (view_is_text(text, option->choices[*index]))
            return true;
    return false;
}

static bool is_in_range(const struct option *option, double value)
{
    if (option->least == 0 && option->most == 0)
        return true;
    return value >= (double)option->least && value <= (double)option->most;
}

static bool is_whole_in_range(const struct option *option, int64_t value)
{
    if (option->least == 0 && option->most == 0)
        return true;
    return value >= option->least && value <= option->most;
}

static bool is_text_type(enum option_type type)
{
    return type == OPTION_TEXT || type == OPTION_SECRET;
}

/* Stores what `text` says, if it says it and is in range. Not for texts and trees. */
static bool store_number(const struct option *option, struct view text, char *values)
{
    int64_t whole = 0;
    double real;
    bool truth;

    switch (option->type) {
    case OPTION_INT:
        if (!text_int(text, &whole))
            return false;
        break;
    case OPTION_DURATION_MS:
        if (!text_duration_ms(text, &whole))
            return false;
        break;
    case OPTION_BYTES:
        if (!text_bytes(text, &whole))
            return false;
        break;
    case OPTION_DOUBLE:
        if (!text_double(text, &real) || !is_in_range(option, real))
            return false;
        memcpy(slot_of(option, values), &real, sizeof real);
        return true;
    case OPTION_BOOL:
        if (!text_bool(text, &truth))
            return false;
        memcpy(slot_of(option, values), &truth, sizeof truth);
        return true;
    case OPTION_CHOICE:
        if (!read_choice(option, text, &whole))
            return false;
        memcpy(slot_of(option, values), &whole, sizeof whole);
        return true;
    case OPTION_TEXT:
    case OPTION_SECRET:
    case OPTION_TREE:
        assert(!"a number");
        return false;
    }
    if (!is_whole_in_range(option, whole))
        return false;
    memcpy(slot_of(option, values), &whole, sizeof whole);
    return true;
}

static void store_text(const struct option *option, const char *text, char *values)
{
    memcpy(slot_of(option, values), &text, sizeof text);
}

/* ---- words about an option ---- */

struct scale {
    const char *name;
    int64_t factor;
};

/* A whole number in the largest unit that divides it. */
static void put_scaled(struct byte_writer *out, int64_t value, const struct scale *scales)
{
    while (scales->factor > 1 && (value == 0 || value % scales->factor != 0))
        scales++;
    byte_print_int(out, value / scales->factor);
    byte_print(out, "%s", scales->name);
}

static void put_bound(struct byte_writer *out, const struct option *option, int64_t bound)
{
    static const struct scale durations[] = {
        {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1},
    };
    static const struct scale sizes[] = {
        {"TiB", INT64_C(1) << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1},
    };

    if (option->type == OPTION_DURATION_MS)
        put_scaled(out, bound, durations);
    else if (option->type == OPTION_BYTES)
        put_scaled(out, bound, sizes);
    else
        byte_print_int(out, bound);
}

static void put_range(struct byte_writer *out, const struct option *option)
{
    if (option->least == 0 && option->most == 0)
        return;
    if (option->most == INT64_MAX) {
        byte_print(out, "at least ");
        put_bound(out, option, option->least);
    } else if (option->least == INT64_MIN) {
        byte_print(out, "at most ");
        put_bound(out, option, option->most);
    } else {
        put_bound(out, option, option->least);
        byte_print(out, " to ");
        put_bound(out, option, option->most);
    }
}

/* one, two or three */
static void put_choices(struct byte_writer *out, const struct option *option)
{
    for (size_t index = 0; option->choices[index] != NULL; index++) {
        if (index > 0)
            byte_print(out, option->choices[index + 1] != NULL ? ", " : " or ");
        byte_print(out, "%s", option->choices[index]);
    }
}

static void put_expected(struct byte_writer *out, const struct option *option)
{
    size_t start;

    switch (option->type) {
    case OPTION_INT:
        byte_print(out, "a whole number");
        break;
    case OPTION_DOUBLE:
        byte_print(out, "a number");
        break;
    case OPTION_DURATION_MS:
        byte_print(out, "a duration such as 250ms, 60s, 5m, 1h or 7d");
        break;
    case OPTION_BYTES:
        byte_print(out, "a size such as 64MB or 1GiB");
        break;
    case OPTION_BOOL:
        byte_print(out, "true or false");
        return;
    case OPTION_CHOICE:
        put_choices(out, option);
        return;
    case OPTION_TEXT:
    case OPTION_SECRET:
        byte_print(out, "a text");
        return;
    case OPTION_TREE:
        byte_print(out, "a list or a map");
        return;
    }
    start = out->size;
    byte_print(out, ", ");
    put_range(out, option);
    if (out->size == start + 2)
        out->size = start;
}

/* Complains that `what` (as the user wrote the name) has a value that is not expected. */
static void refuse(struct reading *reading, const struct tree *at, const char *what,
                   const struct option *option, const char *found)
{
    struct byte_writer expected;

    byte_writer_init(&expected);
    put_expected(&expected, option);
    complain(reading->complaints, at, "%s: expected %.*s; found %s", what,
             VIEW_PRINT(byte_writer_view(&expected)), found);
    byte_writer_free(&expected);
}

static void put_full_name(struct byte_writer *out, const struct option_table *table,
                          const char *name)
{
    byte_print(out, "%s%s%s", table->section, table->section[0] != '\0' ? "." : "", name);
}

static const char *full_name(struct reading *reading, const char *name)
{
    const char *section = reading->table->section;

    return arena_print(reading->arena, "%s%s%s", section, section[0] != '\0' ? "." : "", name);
}

static void put_environment_name(struct byte_writer *out, const struct option_table *table,
                                 const char *name)
{
    size_t start = out->size;

    byte_print(out, "WEIR_");
    put_full_name(out, table, name);
    for (size_t index = start; index < out->size; index++) {
        char letter = out->data[index];
        out->data[index] =
            letter == '.' || letter == '-' ? '_' : (char)toupper((unsigned char)letter);
    }
}

static const char *environment_name(struct reading *reading, const char *name, const char *suffix)
{
    struct byte_writer text;

    byte_writer_init(&text);
    put_environment_name(&text, reading->table, name);
    byte_print(&text, "%s", suffix);
    const char *copy = arena_copy(reading->arena, byte_writer_view(&text)).data;
    byte_writer_free(&text);
    return copy;
}

/* ---- secrets ---- */

/* One line break at the end, as editors and `echo` leave it, is not part of the secret. */
static uint32_t trim_line_break(const char *data, uint32_t size)
{
    if (size > 0 && data[size - 1] == '\n')
        size--;
    if (size > 0 && data[size - 1] == '\r')
        size--;
    return size;
}

static void read_secret_file(struct reading *reading, const struct tree *at, const char *what,
                             const struct option *option, const char *path)
{
    char *data = arena_text(reading->arena, SECRET_BYTES_MAX + 1);
    FILE *file = fopen(path, "rbe");

    if (file == NULL) {
        complain(reading->complaints, at, "%s: %s: %s", what, path, strerror(errno));
        return;
    }
    uint32_t size = (uint32_t)fread(data, 1, SECRET_BYTES_MAX + 1, file);
    int error = ferror(file) != 0 ? errno : 0;
    fclose(file);
    if (error != 0) {
        complain(reading->complaints, at, "%s: %s: %s", what, path, strerror(error));
        return;
    }
    if (size > SECRET_BYTES_MAX) {
        complain(reading->complaints, at, "%s: %s: more than %d bytes are no secret", what, path,
                 SECRET_BYTES_MAX);
        return;
    }
    size = trim_line_break(data, size);
    if (size == 0 || memchr(data, '\0', size) != NULL) {
        complain(reading->complaints, at, "%s: %s: %s", what, path,
                 size == 0 ? "the file is empty" : "the file is not text");
        return;
    }
    data[size] = '\0';
    store_text(option, data, reading->values);
}

static void refuse_literal_secret(struct reading *reading, const struct tree *at,
                                  const struct option *option)
{
    complain(reading->complaints, at,
             "%s: a secret does not belong in this file; write %s%s: PATH instead, or set %s",
             full_name(reading, option->name), option->name, file_suffix,
             environment_name(reading, option->name, ""));
}

/* ---- the file ---- */

/* A list of texts becomes one text with commas. NULL when it is none. */
static const char *join_list(struct reading *reading, const struct tree *list)
{
    const char *text = "";

    for (const struct tree *item = list->child; item != NULL; item = item->next) {
        if (item->kind != TREE_SCALAR || item->value.size == 0 ||
            memchr(item->value.data, ',', item->value.size) != NULL)
            return NULL;
        text = arena_print(reading->arena, "%s%s%.*s", text, text[0] != '\0' ? "," : "",
                           VIEW_PRINT(item->value));
    }
    return text;
}

static const char *describe_node(struct reading *reading, const struct tree *node)
{
    switch (node->kind) {
    case TREE_NULL:
        return "nothing";
    case TREE_LIST:
        return "a list";
    case TREE_MAP:
        return "a map";
    case TREE_SCALAR:
        break;
    }
    return arena_print(reading->arena, node->is_quoted ? "the text '%.*s'" : "'%.*s'",
                       VIEW_PRINT(node->value));
}

static bool store_node(struct reading *reading, const struct option *option,
                       const struct tree *node)
{
    /* A duration or a size is text with a unit, so quotes do it no harm. */
    bool may_be_quoted = option->type == OPTION_DURATION_MS || option->type == OPTION_BYTES ||
                         option->type == OPTION_CHOICE;
    const char *text;

    if (option->type == OPTION_TREE) {
        if (node->kind == TREE_SCALAR)
            return false;
        memcpy(slot_of(option, reading->values), &node, sizeof node);
        return true;
    }
    if (option->type == OPTION_TEXT) {
        if (node->kind == TREE_MAP || (node->kind == TREE_LIST && !option->is_list))
            return false;
        text = node->kind == TREE_LIST ? join_list(reading, node)
                                       : arena_copy(reading->arena, node->value).data;
        if (text == NULL)
            return false;
        store_text(option, text, reading->values);
        return true;
    }
    return node->kind == TREE_SCALAR && (!node->is_quoted || may_be_quoted) &&
           store_number(option, node->value, reading->values);
}

static void read_node(struct reading *reading, size_t index, const struct tree *node,
                      bool is_secret_file)
{
    const struct option *option = &reading->table->options[index];
    const char *what = full_name(reading, option->name);

    if (reading->is_given[index]) {
        complain(reading->complaints, node, "%s: said twice", what);
        return;
    }
    reading->is_given[index] = true;
    if (node->kind == TREE_NULL)
        return;
    if (option->type != OPTION_SECRET) {
        if (!store_node(reading, option, node))
            refuse(reading, node, what, option, describe_node(reading, node));
        return;
    }
    if (!is_secret_file) {
        refuse_literal_secret(reading, node, option);
        return;
    }
    what = arena_print(reading->arena, "%s%s", what, file_suffix);
    if (node->kind != TREE_SCALAR)
        complain(reading->complaints, node, "%s: expected the path of a file", what);
    else
        read_secret_file(reading, node, what, option, arena_copy(reading->arena, node->value).data);
}

static bool is_secret_file_name(const struct option *option, struct view path)
{
    struct view name = view_of(option->name);

    return option->type == OPTION_SECRET && path.size == name.size + sizeof file_suffix - 1 &&
           view_has_prefix(path, name) && view_has_suffix(path, view_of(file_suffix));
}

/* Is there an option named path.something? */
static bool is_group(const struct option_table *table, struct view path)
{
    for (size_t index = 0; index < table->count; index++) {
        struct view name = view_of(table->options[index].name);
        if (view_has_prefix(name, path) && name.size > path.size && name.data[path.size] == '.')
            return true;
    }
    return false;
}

static struct view last_part(struct view path)
{
    const char *dot = path.size == 0 ? NULL : memrchr(path.data, '.', path.size);

    if (dot == NULL)
        return path;
    return (struct view){dot + 1, path.size - (uint32_t)(dot + 1 - path.data)};
}

/* The option that `path` was probably meant to be; NULL when none is near. One in another
 * group with the same last part counts as near. */
static const char *nearest_name(struct reading *reading, struct view path)
{
    uint32_t best = 2 + path.size / 4; /* a far name would only confuse */
    const char *nearest = NULL;

    for (size_t index = 0; index < reading->table->count; index++) {
        const struct option *option = &reading->table->options[index];
        const char *name = option->name;
        if (option->type == OPTION_SECRET)
            name = arena_print(reading->arena, "%s%s", name, file_suffix);
        uint32_t distance = text_distance(path, view_of(name));
        if (view_is_equal(last_part(path), last_part(view_of(name))))
            distance = distance < 2 ? distance : 2;
        if (distance < best) {
            best = distance;
            nearest = name;
        }
    }
    return nearest;
}

static void complain_unknown(struct reading *reading, const struct tree *node, struct view path)
{
    const char *what = full_name(reading, path.data);
    const char *nearest = nearest_name(reading, path);

    if (nearest != NULL)
        complain(reading->complaints, node, "%s: unknown; did you mean %s?", what,
                 full_name(reading, nearest));
    else
        complain(reading->complaints, node, "%s: unknown", what);
}

/* Recurses into groups only, so no deeper than the names of the table have dots. */
static void read_map(struct reading *reading, const struct tree *map, const char *prefix)
{
    const struct option_table *table = reading->table;

    for (const struct tree *node = map->child; node != NULL; node = node->next) {
        struct view path =
            view_of(arena_print(reading->arena, "%s%.*s", prefix, VIEW_PRINT(node->name)));
        bool is_found = false;
        for (size_t index = 0; index < table->count && !is_found; index++) {
            bool is_file = is_secret_file_name(&table->options[index], path);
            is_found = is_file || view_is_text(path, table->options[index].name);
            if (is_found)
                read_node(reading, index, node, is_file);
        }
        if (is_found)
            continue;
        if (node->kind == TREE_MAP && is_group(table, path))
            read_map(reading, node, arena_print(reading->arena, "%s.", path.data));
        else if (node->kind == TREE_NULL && is_group(table, path))
            continue;
        else if (table->section[0] != '\0' || node->kind == TREE_SCALAR)
            complain_unknown(reading, node, path);
    }
}

/* ---- the environment ---- */

static const char *find_variable(const char *name)
{
    const char *text = name != NULL ? getenv(name) : NULL;

    return text != NULL && text[0] != '\0' ? text : NULL;
}

static void read_environment(struct reading *reading, const struct option *option)
{
    const char *name = environment_name(reading, option->name, "");
    const char *text = find_variable(name);

    if (option->type == OPTION_TREE)
        return;
    if (text == NULL && option->type == OPTION_SECRET) {
        const char *file_name = environment_name(reading, option->name, "_FILE");
        const char *path = find_variable(file_name);
        if (path != NULL) {
            read_secret_file(reading, NULL, file_name, option, path);
            return;
        }
    }
    if (text == NULL) {
        name = option->environment;
        text = find_variable(name);
    }
    if (text == NULL)
        return;
    if (is_text_type(option->type))
        store_text(option, arena_copy(reading->arena, view_of(text)).data, reading->values);
    else if (!store_number(option, view_of(text), reading->values))
        refuse(reading, NULL, name, option, arena_print(reading->arena, "'%s'", text));
}

bool option_has_variable(const struct option_table *table, const char *name)
{
    bool has_it = false;

    for (size_t index = 0; index < table->count && !has_it; index++) {
        const struct option *option = &table->options[index];
        struct view tail = view_of(name);
        struct byte_writer text;

        if (option->environment != NULL && strcmp(option->environment, name) == 0)
            return true;
        if (option->type == OPTION_TREE)
            continue;
        byte_writer_init(&text);
        put_environment_name(&text, table, option->name);
        has_it = view_has_prefix(tail, byte_writer_view(&text));
        if (has_it) {
            tail.data += text.size;
            tail.size -= (uint32_t)text.size;
            has_it =
                tail.size == 0 || (option->type == OPTION_SECRET && view_is_text(tail, "_FILE"));
        }
        byte_writer_free(&text);
    }
    return has_it;
}

/* ---- the whole table ---- */

void option_preset(const struct option_table *table, void *values)
{
    memset(values, 0, table->bytes);
    for (size_t index = 0; index < table->count; index++) {
        const struct option *option = &table->options[index];
        if (option->preset == NULL)
            continue;
        if (is_text_type(option->type)) {
            store_text(option, option->preset, values);
            continue;
        }
        bool is_good = store_number(option, view_of(option->preset), values);
        assert(is_good);
        (void)is_good;
    }
}

void option_read(const struct option_table *table, const struct tree *section, void *values,
                 struct arena *arena, struct complaints *complaints)
{
    struct reading reading = {
        .table = table,
        .values = values,
        .is_given = arena_alloc(arena, table->count + 1),
        .arena = arena,
        .complaints = complaints,
    };

    option_preset(table, values);
    if (section != NULL && section->kind == TREE_MAP)
        read_map(&reading, section, "");
    else if (section != NULL && section->kind != TREE_NULL)
        complain(complaints, section, "%s: expected a map of settings, not %s", table->section,
                 describe_node(&reading, section));
    for (size_t index = 0; index < table->count; index++)
        read_environment(&reading, &table->options[index]);
}

/* ---- the reference ---- */

static const char *type_name(enum option_type type)
{
    switch (type) {
    case OPTION_INT:
        return "integer";
    case OPTION_DOUBLE:
        return "number";
    case OPTION_DURATION_MS:
        return "duration";
    case OPTION_BYTES:
        return "bytes";
    case OPTION_BOOL:
        return "boolean";
    case OPTION_TEXT:
        return "text";
    case OPTION_CHOICE:
        return "choice";
    case OPTION_SECRET:
        return "secret";
    case OPTION_TREE:
        return "section";
    }
    assert(!"a type outside the enum");
    return "";
}

/* A bar would end the cell. */
static void put_cell(struct byte_writer *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '|')
            byte_put_u8(out, '\\');
        byte_put_u8(out, (uint8_t)*text);
    }
}

static void put_row(struct byte_writer *out, const struct option_table *table,
                    const struct option *option)
{
    byte_print(out, "| `");
    put_full_name(out, table, option->name);
    byte_print(out, "%s` | %s", option->type == OPTION_SECRET ? file_suffix : "",
               type_name(option->type));
    if (option->unit != NULL) {
        byte_print(out, ", ");
        put_cell(out, option->unit);
    }
    byte_print(out, " | ");
    if (option->preset != NULL && option->preset[0] != '\0') {
        byte_put_u8(out, '`');
        put_cell(out, option->preset);
        byte_put_u8(out, '`');
    } else {
        byte_print(out, "unset");
    }
    byte_print(out, " | ");
    if (option->type == OPTION_CHOICE)
        put_choices(out, option);
    else if (option->type == OPTION_BOOL)
        byte_print(out, "true or false");
    else
        put_range(out, option);
    byte_print(out, " | ");
    if (option->type != OPTION_TREE) {
        byte_put_u8(out, '`');
        put_environment_name(out, table, option->name);
        byte_put_u8(out, '`');
    }
    if (option->environment != NULL)
        byte_print(out, ", `%s`", option->environment);
    byte_print(out, " | ");
    put_cell(out, option->purpose);
    byte_print(out, " |\n");
}

void option_reference(const struct option_table *table, struct byte_writer *out)
{
    byte_print(out, "| Option | Type | Default | Values | Environment | Purpose |\n"
                    "|---|---|---|---|---|---|\n");
    for (size_t index = 0; index < table->count; index++)
        put_row(out, table, &table->options[index]);
}
