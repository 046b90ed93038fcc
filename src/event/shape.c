#include "event/shape.h"

#include <assert.h>
#include <string.h>

const struct field *shape_find(const struct shape *shape, struct view name, uint32_t *index)
{
    for (uint32_t i = 0; i < shape->field_count; i++) {
        if (!view_is_text(name, shape->fields[i].name))
            continue;
        if (index != NULL)
            *index = i;
        return &shape->fields[i];
    }
    return NULL;
}

static const uint64_t *present_of(const struct shape *shape, const void *record)
{
    return (const uint64_t *)(const void *)((const char *)record + shape->present_offset);
}

bool shape_has(const struct shape *shape, const void *record, uint32_t index)
{
    assert(index < shape->field_count);
    return (*present_of(shape, record) >> index) & 1;
}

void shape_set_present(const struct shape *shape, void *record, uint32_t index)
{
    assert(index < shape->field_count);
    *(uint64_t *)(void *)((char *)record + shape->present_offset) |= (uint64_t)1 << index;
}

static void copy_texts(struct view_list *list, struct arena *arena)
{
    struct view *copy = list->count > 0 ? arena_alloc(arena, list->count * sizeof(*copy)) : NULL;

    for (uint32_t i = 0; i < list->count; i++)
        copy[i] = arena_copy(arena, list->at[i]);
    list->at = copy;
}

static void copy_pairs(struct pair_list *list, struct arena *arena)
{
    struct pair *copy = list->count > 0 ? arena_alloc(arena, list->count * sizeof(*copy)) : NULL;

    for (uint32_t i = 0; i < list->count; i++) {
        copy[i].name = arena_copy(arena, list->at[i].name);
        copy[i].value = arena_copy(arena, list->at[i].value);
    }
    list->at = copy;
}

/* What the fields of a record point to; the record itself is copied already. */
static void copy_inside(const struct shape *shape, void *record, struct arena *arena);

static void copy_records(const struct shape *shape, struct record_list *list, struct arena *arena)
{
    char *copy = list->count > 0 ? arena_alloc(arena, list->count * shape->bytes) : NULL;

    for (uint32_t i = 0; i < list->count; i++) {
        memcpy(copy + i * shape->bytes, (const char *)list->at + i * shape->bytes, shape->bytes);
        copy_inside(shape, copy + i * shape->bytes, arena);
    }
    list->at = copy;
}

static void copy_inside(const struct shape *shape, void *record, struct arena *arena)
{
    for (uint32_t i = 0; i < shape->field_count; i++) {
        const struct field *field = &shape->fields[i];
        void *at = (char *)record + field->offset;

        switch (field->type) {
        case FIELD_TEXT:
            *(struct view *)at = arena_copy(arena, *(struct view *)at);
            break;
        case FIELD_TEXTS:
            copy_texts(at, arena);
            break;
        case FIELD_MAP:
            copy_pairs(at, arena);
            break;
        case FIELD_RECORD:
            copy_inside(field->shape, at, arena);
            break;
        case FIELD_RECORDS:
            copy_records(field->shape, at, arena);
            break;
        case FIELD_INT:
        case FIELD_DOUBLE:
        case FIELD_TIME:
        case FIELD_BOOL:
        case FIELD_CHOICE:
            break;
        }
    }
}

void shape_copy(const struct shape *shape, const void *from, void *to, struct arena *arena)
{
    memcpy(to, from, shape->bytes);
    copy_inside(shape, to, arena);
}

static bool texts_are_equal(const struct view_list *a, const struct view_list *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (!view_is_equal(a->at[i], b->at[i]))
            return false;
    return true;
}

static bool pairs_are_equal(const struct pair_list *a, const struct pair_list *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (!view_is_equal(a->at[i].name, b->at[i].name) ||
            !view_is_equal(a->at[i].value, b->at[i].value))
            return false;
    return true;
}

static bool records_are_equal(const struct shape *shape, const struct record_list *a,
                              const struct record_list *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (!shape_is_equal(shape, (const char *)a->at + i * shape->bytes,
                            (const char *)b->at + i * shape->bytes))
            return false;
    return true;
}

static bool field_is_equal(const struct field *field, const void *a, const void *b)
{
    const void *left = (const char *)a + field->offset;
    const void *right = (const char *)b + field->offset;

    switch (field->type) {
    case FIELD_TEXT:
        return view_is_equal(*(const struct view *)left, *(const struct view *)right);
    case FIELD_INT:
    case FIELD_TIME:
    case FIELD_CHOICE:
        return *(const int64_t *)left == *(const int64_t *)right;
    case FIELD_DOUBLE:
        return memcmp(left, right, sizeof(double)) == 0 ||
               *(const double *)left == *(const double *)right;
    case FIELD_BOOL:
        return *(const bool *)left == *(const bool *)right;
    case FIELD_TEXTS:
        return texts_are_equal(left, right);
    case FIELD_MAP:
        return pairs_are_equal(left, right);
    case FIELD_RECORD:
        return shape_is_equal(field->shape, left, right);
    case FIELD_RECORDS:
        return records_are_equal(field->shape, left, right);
    }
    return false;
}

bool shape_is_equal(const struct shape *shape, const void *a, const void *b)
{
    if (*present_of(shape, a) != *present_of(shape, b))
        return false;
    for (uint32_t i = 0; i < shape->field_count; i++)
        if (!field_is_equal(&shape->fields[i], a, b))
            return false;
    return true;
}
