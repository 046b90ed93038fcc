#include "codec/layout.h"

#include <assert.h>
#include <float.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* 1970 to 9999: beyond it no calendar and no database column follows. */
static const int64_t time_max_ms = 253402300799999;

/* Both ends of a name and its length: enough to spread the few names of a shape. */
static uint32_t slot_of(struct view name)
{
    uint64_t head = 0, tail = 0;

    if (name.size >= 8) {
        memcpy(&head, name.data, 8);
        memcpy(&tail, name.data + name.size - 8, 8);
    } else if (name.size > 0) {
        memcpy(&head, name.data, name.size);
    }
    uint64_t mixed = (head ^ (tail << 7 | tail >> 57) ^ name.size) * UINT64_C(0x9E3779B97F4A7C15);
    return (uint32_t)(mixed >> 56);
}

static int64_t whole_limit(double limit)
{
    if (limit >= 9223372036854775808.0)
        return INT64_MAX;
    if (limit <= -9223372036854775808.0)
        return INT64_MIN;
    return (int64_t)limit;
}

static void set_limits(struct layout_field *to, const struct field *field)
{
    const bool is_id = (field->flags & FIELD_ID) != 0;
    const bool is_free = field->least == 0 && field->most == 0;

    to->bytes_max = field->bytes_max;
    if (to->bytes_max == 0)
        to->bytes_max = is_id ? ID_BYTES_MAX : TEXT_BYTES_MAX;
    to->bytes_min = is_id ? 1 : 0;
    if (field->type == FIELD_TEXT && field->least > 0)
        to->bytes_min = (uint32_t)field->least;

    to->int_min = is_free ? INT64_MIN : whole_limit(field->least);
    to->int_max = is_free ? INT64_MAX : whole_limit(field->most);
    if (field->type == FIELD_TIME && is_free) {
        to->int_min = 0;
        to->int_max = time_max_ms;
    }
    to->double_min = is_free ? -DBL_MAX : field->least;
    to->double_max = is_free ? DBL_MAX : field->most;

    to->count_min = field->least > 0 ? (uint32_t)field->least : 0;
    to->count_max = field->type == FIELD_MAP ? MAP_COUNT_MAX : LIST_COUNT_MAX;
    if (field->most > 0 && field->most < UINT32_MAX)
        to->count_max = (uint32_t)field->most;
}

/* NAME": or what of it fits. */
static void set_name(struct layout_field *to, const char *name)
{
    char text[16] = "", mask[16] = "";

    to->name_size = (uint32_t)strlen(name);
    for (uint32_t i = 0; i < sizeof text && i < to->name_size + 2; i++) {
        text[i] = i < to->name_size ? name[i] : i == to->name_size ? '"' : ':';
        mask[i] = (char)0xFF;
    }
    memcpy(to->name_words, text, sizeof text);
    memcpy(to->name_masks, mask, sizeof mask);
}

const struct layout *layout_create(const struct shape *shape, struct arena *arena)
{
    struct layout *layout =
        arena_alloc(arena, sizeof *layout + shape->field_count * sizeof layout->fields[0]);

    assert(shape->field_count <= 64);
    layout->shape = shape;
    layout->field_count = shape->field_count;
    for (uint32_t i = 0; i < shape->field_count; i++) {
        const struct field *field = &shape->fields[i];
        struct layout_field *to = &layout->fields[i];

        to->field = field;
        to->type = field->type;
        to->offset = (uint32_t)field->offset;
        set_name(to, field->name);
        set_limits(to, field);
        for (; field->choices != NULL && field->choices[to->choice_count] != NULL;)
            to->choice_count++;
        if (field->shape != NULL)
            to->layout = layout_create(field->shape, arena);
        if (field->flags & FIELD_REQUIRED) {
            layout->seen_mask |= UINT64_C(1) << i;
            if (!(field->flags & FIELD_NULLABLE))
                layout->present_mask |= UINT64_C(1) << i;
        }
        uint32_t slot = slot_of(view_of(field->name));
        while (layout->slots[slot] != 0)
            slot = (slot + 1) % LAYOUT_SLOT_COUNT;
        layout->slots[slot] = (uint8_t)(i + 1);
    }
    return layout;
}

uint32_t layout_find(const struct layout *layout, struct view name)
{
    uint32_t slot = slot_of(name);

    while (layout->slots[slot] != 0) {
        uint32_t index = layout->slots[slot] - 1u;
        const struct layout_field *field = &layout->fields[index];
        if (field->name_size == name.size && memcmp(field->field->name, name.data, name.size) == 0)
            return index;
        slot = (slot + 1) % LAYOUT_SLOT_COUNT;
    }
    return layout->field_count;
}

int64_t layout_choice(const struct layout_field *field, struct view name)
{
    for (uint32_t i = 0; i < field->choice_count; i++)
        if (strlen(field->field->choices[i]) == name.size &&
            memcmp(field->field->choices[i], name.data, name.size) == 0)
            return i;
    return -1;
}

enum codec_error layout_refuse_bytes(const struct layout_field *field, const struct trail *trail,
                                     size_t offset, struct codec_reason *reason)
{
    return reason_set(reason, CODEC_ERROR_RANGE, trail, offset,
                      "expected a text of %" PRIu32 " to %" PRIu32 " bytes", field->bytes_min,
                      field->bytes_max);
}

enum codec_error layout_refuse_number(const struct layout_field *field, const struct trail *trail,
                                      size_t offset, struct codec_reason *reason)
{
    if (field->type == FIELD_DOUBLE)
        return reason_set(reason, CODEC_ERROR_RANGE, trail, offset,
                          "expected a number from %.15g to %.15g", field->double_min,
                          field->double_max);
    return reason_set(reason, CODEC_ERROR_RANGE, trail, offset,
                      "expected %s from %" PRId64 " to %" PRId64,
                      field->type == FIELD_TIME ? "epoch milliseconds" : "a whole number",
                      field->int_min, field->int_max);
}

enum codec_error layout_refuse_count(const struct layout_field *field, const struct trail *trail,
                                     size_t offset, struct codec_reason *reason)
{
    return reason_set(reason, CODEC_ERROR_RANGE, trail, offset,
                      "expected %" PRIu32 " to %" PRIu32 " entries", field->count_min,
                      field->count_max);
}

static const char *expected_name(enum field_type type)
{
    switch (type) {
    case FIELD_TEXT:
    case FIELD_CHOICE:
        return "a text";
    case FIELD_INT:
        return "a whole number";
    case FIELD_DOUBLE:
        return "a number";
    case FIELD_TIME:
        return "a whole number of epoch milliseconds";
    case FIELD_BOOL:
        return "true or false";
    case FIELD_TEXTS:
        return "a list of texts";
    case FIELD_MAP:
        return "a map of texts";
    case FIELD_RECORD:
        return "an object";
    case FIELD_RECORDS:
        return "a list of objects";
    }
    return "";
}

enum codec_error layout_refuse_type(const struct layout_field *field, const struct trail *trail,
                                    size_t offset, struct codec_reason *reason)
{
    return reason_set(reason, CODEC_ERROR_TYPE, trail, offset, "expected %s",
                      expected_name(field->type));
}

enum codec_error layout_refuse_choice(const struct layout_field *field, const struct trail *trail,
                                      size_t offset, struct codec_reason *reason)
{
    char names[150] = "";
    size_t used = 0;

    for (uint32_t i = 0; i < field->choice_count; i++) {
        int length = snprintf(names + used, sizeof names - used, "%s%s", i > 0 ? ", " : "",
                              field->field->choices[i]);
        if (length < 0 || (used += (size_t)length) >= sizeof names)
            break;
    }
    return reason_set(reason, CODEC_ERROR_CHOICE, trail, offset, "expected one of %s", names);
}

enum codec_error layout_refuse_missing(const struct layout *layout, uint64_t missing,
                                       struct trail *trail, size_t offset,
                                       struct codec_reason *reason)
{
    const struct layout_field *field = &layout->fields[__builtin_ctzll(missing)];

    trail_at(trail, field->field);
    return reason_set(reason, CODEC_ERROR_MISSING, trail, offset,
                      "required, but missing or null: expected %s", expected_name(field->type));
}
