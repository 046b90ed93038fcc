#ifndef JSON_ORACLE_H
#define JSON_ORACLE_H
/*
 * json_oracle.h - what a JSON message means, said a second time and slowly: jansson builds
 * its tree, and a shape is filled from the tree, field by field.
 */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "codec/json_decode.h"

struct oracle {
    const struct layout *layout;
    struct arena *arena;
    bool is_unsure; /* a case in which jansson rounds and we do not */
};

static inline bool oracle_record(struct oracle *oracle, const struct layout *layout,
                                 const json_t *json, void *record, uint64_t *bad);

static inline bool oracle_text(const struct layout_field *field, const json_t *json,
                               struct view *to)
{
    if (!json_is_string(json))
        return false;
    *to = (struct view){json_string_value(json), (uint32_t)json_string_length(json)};
    return to->size >= field->bytes_min && to->size <= field->bytes_max;
}

static inline bool oracle_int(struct oracle *oracle, const struct layout_field *field,
                              const json_t *json, int64_t *to)
{
    if (json_is_real(json))
        oracle->is_unsure = true;
    if (!json_is_integer(json))
        return false;
    *to = json_integer_value(json);
    return *to >= field->int_min && *to <= field->int_max;
}

static inline bool oracle_texts(struct oracle *oracle, const struct layout_field *field,
                                const json_t *json, struct view_list *to)
{
    const size_t count = json_array_size(json);
    struct view *texts = arena_alloc(oracle->arena, (count + 1) * sizeof *texts);

    if (!json_is_array(json) || count < field->count_min || count > field->count_max)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!oracle_text(field, json_array_get(json, i), &texts[i]))
            return false;
    *to = (struct view_list){texts, (uint32_t)count};
    return true;
}

static inline bool oracle_records(struct oracle *oracle, const struct layout_field *field,
                                  const json_t *json, struct record_list *to)
{
    const size_t count = json_array_size(json), bytes = field->layout->shape->bytes;
    char *records = arena_alloc(oracle->arena, (count + 1) * bytes);
    uint64_t bad;

    if (!json_is_array(json) || count < field->count_min || count > field->count_max)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!oracle_record(oracle, field->layout, json_array_get(json, i), records + i * bytes,
                           &bad))
            return false;
    *to = (struct record_list){records, (uint32_t)count};
    return true;
}

/* Pairs whose value is no text are left absent here; oracle_is_equal looks at the tree. */
static inline bool oracle_map(const struct layout_field *field, json_t *json)
{
    uint32_t count = 0;
    const char *name;
    json_t *value;

    if (!json_is_object(json))
        return false;
    json_object_foreach(json, name, value)
    {
        count += !json_is_null(value);
        if (strlen(name) > field->bytes_max || json_string_length(value) > field->bytes_max)
            return false;
    }
    return count >= field->count_min && count <= field->count_max;
}

static inline bool oracle_value(struct oracle *oracle, const struct layout_field *field,
                                json_t *json, void *to)
{
    struct view name = {json_string_value(json), (uint32_t)json_string_length(json)};
    uint64_t bad;
    double value;

    switch (field->type) {
    case FIELD_TEXT:
        return oracle_text(field, json, to);
    case FIELD_INT:
    case FIELD_TIME:
        return oracle_int(oracle, field, json, to);
    case FIELD_DOUBLE:
        value = json_number_value(json);
        *(double *)to = value;
        return json_is_number(json) && value >= field->double_min && value <= field->double_max;
    case FIELD_BOOL:
        *(bool *)to = json_is_true(json);
        return json_is_boolean(json);
    case FIELD_CHOICE:
        *(int64_t *)to = json_is_string(json) ? layout_choice(field, name) : -1;
        return *(int64_t *)to >= 0;
    case FIELD_TEXTS:
        return oracle_texts(oracle, field, json, to);
    case FIELD_MAP:
        return oracle_map(field, json);
    case FIELD_RECORD:
        return oracle_record(oracle, field->layout, json, to, &bad);
    case FIELD_RECORDS:
        return oracle_records(oracle, field, json, to);
    }
    return false;
}

/* *bad gets the fields that are wrong or missing. */
static inline bool oracle_record(struct oracle *oracle, const struct layout *layout,
                                 const json_t *json, void *record, uint64_t *bad)
{
    uint64_t seen = 0, present = 0;

    *bad = 0;
    if (!json_is_object(json))
        return false;
    for (uint32_t i = 0; i < layout->field_count; i++) {
        const struct layout_field *field = &layout->fields[i];
        json_t *value = json_object_get(json, field->field->name);
        const uint64_t bit = UINT64_C(1) << i;
        if (value == NULL)
            continue;
        seen |= bit;
        if (json_is_null(value))
            continue;
        present |= bit;
        if (!oracle_value(oracle, field, value, (char *)record + field->offset))
            *bad |= bit;
    }
    *layout_present(layout, record) = present;
    *bad |= (layout->seen_mask & ~seen) | (layout->present_mask & ~present);
    return *bad == 0;
}

/* A map against the tree: the same names; texts equal, other values the same JSON. */
static inline bool oracle_map_is_equal(const struct pair_list *list, json_t *json)
{
    uint32_t count = 0;
    const char *name;
    json_t *value;

    json_object_foreach(json, name, value) count += !json_is_null(value);
    if (count != list->count)
        return false;
    for (uint32_t i = 0; i < list->count; i++) {
        const struct view text = list->at[i].value;
        value = json_object_getn(json, list->at[i].name.data, list->at[i].name.size);
        if (json_is_string(value)) {
            if (!view_is_equal(text, (struct view){json_string_value(value),
                                                   (uint32_t)json_string_length(value)}))
                return false;
            continue;
        }
        json_t *again = json_loadb(text.data, text.size, JSON_DECODE_ANY, NULL);
        const bool is_same = value != NULL && again != NULL && json_equal(value, again);
        json_decref(again);
        if (!is_same)
            return false;
    }
    return true;
}

static inline uint32_t oracle_depth(const json_t *json)
{
    uint32_t deepest = 0;
    const char *name;
    json_t *value;
    size_t index;

    if (json_is_object(json)) {
        json_object_foreach((json_t *)(uintptr_t)json, name, value)
        {
            const uint32_t depth = oracle_depth(value);
            deepest = depth > deepest ? depth : deepest;
        }
    } else if (json_is_array(json)) {
        json_array_foreach(json, index, value)
        {
            const uint32_t depth = oracle_depth(value);
            deepest = depth > deepest ? depth : deepest;
        }
    } else {
        return 0;
    }
    return deepest + 1;
}

/* NULL when both agree on `message`, else what they disagree on. */
static inline const char *oracle_check(const struct layout *layout, struct view message,
                                       struct arena *arena)
{
    struct oracle oracle = {.layout = layout, .arena = arena};
    struct codec_reason reason = {0};
    json_error_t parse_error;
    const char *verdict = NULL;
    uint64_t bad = 0;
    void *expected = arena_alloc(arena, layout->shape->bytes);
    void *record = arena_alloc(arena, layout->shape->bytes);
    json_t *json = json_loadb(message.data, message.size, 0, &parse_error);
    const enum codec_error error = json_decode(layout, message, arena, record, &reason);

    if (error != CODEC_OK && (reason.error != error || reason.text[0] == '\0'))
        verdict = "a refusal without a reason";
    else if (json == NULL && json_error_code(&parse_error) == json_error_numeric_overflow)
        verdict = NULL; /* jansson refuses the number wherever it stands */
    else if (json != NULL && memchr(message.data, '\0', message.size) != NULL)
        verdict = error == CODEC_OK ? "accepted a bare NUL" : NULL; /* jansson loses some */
    else if (json == NULL)
        verdict = error == CODEC_OK ? "accepted, but not JSON" : NULL;
    else if (!json_is_object(json))
        verdict = error == CODEC_OK ? "accepted, but no object" : NULL;
    else if (strstr(reason.text, "64 levels") != NULL)
        verdict = NULL; /* a value that a later one replaced may have been the deep one */
    else if (error == CODEC_ERROR_SYNTAX || error == CODEC_ERROR_ENCODING)
        verdict = "refused, but JSON";
    else {
        const bool is_valid = oracle_record(&oracle, layout, json, expected, &bad);
        if (oracle.is_unsure || (error == CODEC_ERROR_RANGE && message.size > 1000 && is_valid))
            verdict = NULL;
        else if (is_valid != (error == CODEC_OK))
            verdict = is_valid ? "refused, but valid" : "accepted, but not valid";
        else if (!is_valid) {
            uint32_t index;
            const size_t size = strcspn(reason.field, ".[");
            index = layout_find(layout, (struct view){reason.field, (uint32_t)size});
            if (index == layout->field_count || (bad >> index & 1) == 0)
                verdict = "another field is blamed";
        } else {
            for (uint32_t i = 0; i < layout->field_count; i++) {
                const struct layout_field *field = &layout->fields[i];
                struct pair_list *pairs = (void *)((char *)record + field->offset);
                if (field->type != FIELD_MAP)
                    continue;
                if (shape_has(layout->shape, record, i) &&
                    !oracle_map_is_equal(pairs, json_object_get(json, field->field->name)))
                    verdict = "a map differs";
                *pairs = (struct pair_list){NULL, 0};
            }
            if (!shape_is_equal(layout->shape, expected, record))
                verdict = "a value differs";
        }
    }
    json_decref(json);
    return verdict;
}
#endif
