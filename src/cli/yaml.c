#include "cli/yaml.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "base/bytes.h"
#include "base/map.h"

struct reading {
    yaml_parser_t parser;
    const char *file;
    struct arena *arena;
    struct complaints *complaints;
    struct map *keys; /* of (number of the map, key): to find duplicates */
    struct byte_writer key;
    uint32_t node_count;
    struct view text;
};

static void complain_at(struct reading *reading, size_t line_index, const char *text)
{
    struct tree at = {.file = reading->file, .line = (uint32_t)line_index + 1};

    complain(reading->complaints, &at, "%s", text);
}

static struct view line_of_text(struct view text, size_t line_index)
{
    const char *at = text.data, *end = text.data + text.size;

    for (; line_index > 0 && at < end; line_index--) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        at = newline != NULL ? newline + 1 : end;
    }
    const char *stop = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
    return (struct view){at, (uint32_t)((stop != NULL ? stop : end) - at)};
}

/* The library's words for a tab are a riddle, and tabs are what people get wrong. */
static bool is_indented_by_tab(struct view line)
{
    for (uint32_t i = 0; i < line.size; i++) {
        if (line.data[i] == '\t')
            return true;
        if (line.data[i] != ' ')
            return false;
    }
    return false;
}

static void complain_of_syntax(struct reading *reading)
{
    const yaml_parser_t *parser = &reading->parser;
    size_t line = parser->problem_mark.line;

    if (parser->error == YAML_READER_ERROR) {
        /* A reader error has an offset and no mark. */
        line = 0;
        for (size_t i = 0; i < parser->problem_offset && i < reading->text.size; i++)
            line += reading->text.data[i] == '\n';
        complain_at(reading, line,
                    arena_print(reading->arena, "not valid UTF-8 text: %s", parser->problem));
    } else if (is_indented_by_tab(line_of_text(reading->text, line))) {
        complain_at(reading, line, "a tab in the indentation; use spaces");
    } else if (parser->context != NULL) {
        complain_at(reading, line,
                    arena_print(reading->arena, "not valid YAML: %s (%s that began in line %zu)",
                                parser->problem, parser->context, parser->context_mark.line + 1));
    } else {
        complain_at(reading, line,
                    arena_print(reading->arena, "not valid YAML: %s",
                                parser->problem != NULL ? parser->problem : "out of memory"));
    }
}

/* False when the text breaks off here; that is complained of. */
static bool next_event(struct reading *reading, yaml_event_t *event)
{
    if (yaml_parser_parse(&reading->parser, event) != 0)
        return true;
    complain_of_syntax(reading);
    return false;
}

static struct tree *add_node(struct reading *reading, size_t line_index, enum tree_kind kind)
{
    struct tree *node = arena_alloc(reading->arena, sizeof *node);

    node->kind = kind;
    node->file = reading->file;
    node->line = (uint32_t)line_index + 1;
    reading->node_count++;
    return node;
}

static bool is_null_word(struct view value)
{
    return value.size == 0 || view_is_text(value, "~") || view_is_text(value, "null") ||
           view_is_text(value, "Null") || view_is_text(value, "NULL");
}

static void refuse_decoration(struct reading *reading, size_t line, const void *anchor,
                              const void *tag)
{
    if (anchor != NULL)
        complain_at(reading, line, "anchors (&name) are not supported");
    if (tag != NULL)
        complain_at(reading, line, "tags (!name) are not supported");
}

static struct tree *read_scalar(struct reading *reading, const yaml_event_t *event)
{
    struct view value = {(const char *)event->data.scalar.value,
                         (uint32_t)event->data.scalar.length};
    bool is_quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    struct tree *node = add_node(reading, event->start_mark.line, TREE_SCALAR);

    refuse_decoration(reading, event->start_mark.line, event->data.scalar.anchor,
                      event->data.scalar.tag);
    if (memchr(value.data, '\0', value.size) != NULL) {
        complain_at(reading, event->start_mark.line, "a text may not contain a NUL");
        value.size = 0;
        is_quoted = true;
    }
    node->is_quoted = is_quoted;
    if (!is_quoted && is_null_word(value))
        node->kind = TREE_NULL;
    else
        node->value = arena_copy(reading->arena, value);
    return node;
}

static bool read_list(struct reading *reading, struct tree *list, uint32_t depth);
static bool read_map(struct reading *reading, struct tree *map, uint32_t depth);

/* The node that `event` begins; NULL when reading cannot go on. Takes the event. */
static struct tree *read_node(struct reading *reading, yaml_event_t *event, uint32_t depth)
{
    struct tree *node = NULL;
    size_t line = event->start_mark.line;
    bool is_read = true;

    if (depth > YAML_DEPTH_MAX || reading->node_count >= YAML_NODES_MAX) {
        complain_at(reading, line,
                    depth > YAML_DEPTH_MAX
                        ? arena_print(reading->arena, "nested deeper than %d", YAML_DEPTH_MAX)
                        : arena_print(reading->arena, "more than %d values", YAML_NODES_MAX));
        yaml_event_delete(event);
        return NULL;
    }
    if (event->type == YAML_SCALAR_EVENT) {
        node = read_scalar(reading, event);
    } else if (event->type == YAML_ALIAS_EVENT) {
        complain_at(reading, line, "aliases (*name) are not supported; write the value out");
        node = add_node(reading, line, TREE_NULL);
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        refuse_decoration(reading, line, event->data.sequence_start.anchor,
                          event->data.sequence_start.tag);
        node = add_node(reading, line, TREE_LIST);
        is_read = read_list(reading, node, depth);
    } else {
        assert(event->type == YAML_MAPPING_START_EVENT);
        refuse_decoration(reading, line, event->data.mapping_start.anchor,
                          event->data.mapping_start.tag);
        node = add_node(reading, line, TREE_MAP);
        is_read = read_map(reading, node, depth);
    }
    yaml_event_delete(event);
    return is_read ? node : NULL;
}

static bool read_list(struct reading *reading, struct tree *list, uint32_t depth)
{
    struct tree **last = &list->child;
    yaml_event_t event;

    while (next_event(reading, &event)) {
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&event);
            return true;
        }
        struct tree *item = read_node(reading, &event, depth + 1);
        if (item == NULL)
            return false;
        *last = item;
        last = &item->next;
    }
    return false;
}

static bool is_new_key(struct reading *reading, uint32_t map_number, struct view key)
{
    byte_writer_reset(&reading->key);
    byte_put_u32(&reading->key, map_number);
    byte_put(&reading->key, key.data, key.size);
    return map_put(reading->keys, byte_writer_view(&reading->key), 1);
}

static bool read_map(struct reading *reading, struct tree *map, uint32_t depth)
{
    struct tree **last = &map->child;
    uint32_t map_number = reading->node_count;
    yaml_event_t event;

    while (next_event(reading, &event)) {
        if (event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            return true;
        }
        size_t line = event.start_mark.line;
        struct tree *key = read_node(reading, &event, depth + 1);
        if (key == NULL || !next_event(reading, &event))
            return false;
        struct tree *value = read_node(reading, &event, depth + 1);
        if (value == NULL)
            return false;
        if (key->kind == TREE_LIST || key->kind == TREE_MAP) {
            complain_at(reading, line, "a key must be a text, not a list or a map");
            continue;
        }
        value->name = key->kind == TREE_NULL ? VIEW_LITERAL("null") : key->value;
        /* A map is found where its key stands, not where its first entry does. */
        value->line = (uint32_t)line + 1;
        if (!is_new_key(reading, map_number, value->name)) {
            complain_at(reading, line,
                        arena_print(reading->arena, "%.*s: given twice", VIEW_PRINT(value->name)));
            continue;
        }
        *last = value;
        last = &value->next;
    }
    return false;
}

/* A text without any node is an empty document. */
static struct tree *read_document(struct reading *reading)
{
    struct tree *root = NULL;
    yaml_event_t event;

    while (next_event(reading, &event)) {
        yaml_event_type_t type = event.type;
        size_t line = event.start_mark.line;

        if (type == YAML_STREAM_END_EVENT) {
            yaml_event_delete(&event);
            return root != NULL ? root : add_node(reading, 0, TREE_NULL);
        }
        if (type == YAML_STREAM_START_EVENT || type == YAML_DOCUMENT_START_EVENT ||
            type == YAML_DOCUMENT_END_EVENT) {
            yaml_event_delete(&event);
            if (type == YAML_DOCUMENT_START_EVENT && root != NULL) {
                complain_at(reading, line, "a second document; one file holds one");
                return root;
            }
            continue;
        }
        root = read_node(reading, &event, 1);
        if (root == NULL)
            return NULL;
    }
    return NULL;
}

enum status yaml_parse_text(struct view text, const char *file, struct arena *arena,
                            struct tree **root, struct complaints *complaints)
{
    struct reading reading = {.arena = arena, .complaints = complaints, .text = text};
    uint32_t complaint_count = complaints->count;

    *root = NULL;
    reading.file = file != NULL ? arena_copy(arena, view_of(file)).data : NULL;
    if (text.size > YAML_TEXT_BYTES_MAX) {
        complain_at(&reading, 0, arena_print(arena, "larger than %d bytes", YAML_TEXT_BYTES_MAX));
        return STATUS_BROKEN;
    }
    if (yaml_parser_initialize(&reading.parser) == 0)
        abort(); /* out of heap, as everywhere */
    reading.keys = map_create();
    byte_writer_init(&reading.key);
    yaml_parser_set_encoding(&reading.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(
        &reading.parser, (const unsigned char *)(text.data != NULL ? text.data : ""), text.size);
    *root = read_document(&reading);
    map_destroy(reading.keys);
    byte_writer_free(&reading.key);
    yaml_parser_delete(&reading.parser);
    return complaints->count == complaint_count ? STATUS_OK : STATUS_BROKEN;
}

enum status yaml_parse_file(const char *file, struct arena *arena, struct tree **root,
                            struct complaints *complaints)
{
    enum { PIECE_BYTES = 16384 };
    struct byte_writer text;
    FILE *stream = fopen(file, "rb");
    size_t got = 1;
    enum status status = STATUS_BROKEN;

    *root = NULL;
    byte_writer_init(&text);
    /* Past the limit there is no need to read on: it is refused for its size. */
    while (stream != NULL && got > 0 && text.size <= YAML_TEXT_BYTES_MAX) {
        got = fread(byte_writer_reserve(&text, PIECE_BYTES), 1, PIECE_BYTES, stream);
        text.size += got;
    }
    if (stream == NULL || ferror(stream) != 0)
        complain(complaints, NULL, "%s: cannot be read: %s", file, strerror(errno));
    else
        status = yaml_parse_text(byte_writer_view(&text), file, arena, root, complaints);
    if (stream != NULL)
        fclose(stream);
    byte_writer_free(&text);
    return status;
}
