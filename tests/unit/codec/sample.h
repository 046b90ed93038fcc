#ifndef SAMPLE_H
#define SAMPLE_H
/*
 * sample.h - random structs of any shape, valid by its rules. Every choice comes from the
 * seed; everything pointed to lives in the arena.
 */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "event/shape.h"

struct dice {
    uint64_t state;
};

/* splitmix64 */
static inline uint64_t dice_roll(struct dice *dice)
{
    uint64_t mixed = dice->state += UINT64_C(0x9E3779B97F4A7C15);

    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94D049BB133111EB);
    return mixed ^ (mixed >> 31);
}

static inline uint32_t dice_below(struct dice *dice, uint32_t limit)
{
    return (uint32_t)(dice_roll(dice) % limit);
}

static inline bool dice_one_in(struct dice *dice, uint32_t count)
{
    return dice_below(dice, count) == 0;
}

/* Letters, with the occasional quote, control character and character of 2 to 4 bytes. */
static inline struct view sample_text(struct dice *dice, uint32_t bytes_min, uint32_t bytes_max,
                                      struct arena *arena)
{
    static const char *const rare[] = {
        "\"", "\\", "\n", "\x01", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "/", "\x7F"};
    const uint32_t most = bytes_max < 40 ? bytes_max : 40;
    const uint32_t size = bytes_min + dice_below(dice, most - bytes_min + 1);
    char *text = arena_text(arena, size + 1);
    uint32_t at = 0;

    while (at < size) {
        const char *piece = rare[dice_below(dice, sizeof rare / sizeof rare[0])];
        if (dice_one_in(dice, 12) && strlen(piece) <= size - at) {
            memcpy(text + at, piece, strlen(piece));
            at += (uint32_t)strlen(piece);
        } else {
            text[at++] = (char)('a' + dice_below(dice, 26));
        }
    }
    text[size] = '\0';
    return (struct view){text, size};
}

static inline double sample_double(struct dice *dice, const struct field *field)
{
    double value;

    if (field->least != 0 || field->most != 0)
        value = field->least + (field->most - field->least) *
                                   ((double)(dice_roll(dice) >> 11) / 9007199254740992.0);
    else
        value = ((double)dice_below(dice, 2000001) - 1000000) / 1000.0;
    if (dice_one_in(dice, 2))
        value = (double)(int64_t)value;
    return value < field->least && field->most != 0 ? field->least : value;
}

static inline int64_t sample_int(struct dice *dice, const struct field *field)
{
    if (field->type == FIELD_TIME)
        return (int64_t)(dice_roll(dice) % UINT64_C(253402300800000));
    if (field->least == 0 && field->most == 0)
        return (int64_t)dice_roll(dice) >> dice_below(dice, 64);
    return (int64_t)field->least +
           (int64_t)(dice_roll(dice) % (uint64_t)(field->most - field->least + 1));
}

static inline void sample_record(struct dice *dice, const struct shape *shape, void *record,
                                 struct arena *arena);

static inline struct view sample_field_text(struct dice *dice, const struct field *field,
                                            struct arena *arena)
{
    const bool is_id = (field->flags & FIELD_ID) != 0;
    const uint32_t bytes_max = field->bytes_max != 0 ? field->bytes_max : ID_BYTES_MAX;
    const uint32_t least = field->type == FIELD_TEXT ? (uint32_t)field->least : 0;

    return sample_text(dice, least > is_id ? least : is_id, bytes_max, arena);
}

static inline void sample_list(struct dice *dice, const struct field *field, void *at,
                               struct arena *arena)
{
    const uint32_t count = (field->least > 0 ? 1 : 0) + dice_below(dice, 4);

    if (field->type == FIELD_TEXTS) {
        struct view *texts = arena_alloc(arena, (count + 1) * sizeof *texts);
        for (uint32_t i = 0; i < count; i++)
            texts[i] = sample_field_text(dice, field, arena);
        *(struct view_list *)at = (struct view_list){texts, count};
    } else if (field->type == FIELD_MAP) {
        struct pair *pairs = arena_alloc(arena, (count + 1) * sizeof *pairs);
        for (uint32_t i = 0; i < count; i++) {
            pairs[i].name = view_of(arena_print(arena, "%c%u", 'a' + dice_below(dice, 26), i));
            pairs[i].value = sample_field_text(dice, field, arena);
        }
        *(struct pair_list *)at = (struct pair_list){pairs, count};
    } else {
        char *records = arena_alloc(arena, (count + 1) * field->shape->bytes);
        for (uint32_t i = 0; i < count; i++)
            sample_record(dice, field->shape, records + i * field->shape->bytes, arena);
        *(struct record_list *)at = (struct record_list){records, count};
    }
}

static inline void sample_field(struct dice *dice, const struct field *field, void *at,
                                struct arena *arena)
{
    uint32_t choice_count = 0;

    switch (field->type) {
    case FIELD_TEXT:
        *(struct view *)at = sample_field_text(dice, field, arena);
        break;
    case FIELD_INT:
    case FIELD_TIME:
        *(int64_t *)at = sample_int(dice, field);
        break;
    case FIELD_DOUBLE:
        *(double *)at = sample_double(dice, field);
        break;
    case FIELD_BOOL:
        *(bool *)at = dice_one_in(dice, 2);
        break;
    case FIELD_CHOICE:
        while (field->choices[choice_count] != NULL)
            choice_count++;
        *(int64_t *)at = dice_below(dice, choice_count);
        break;
    case FIELD_TEXTS:
    case FIELD_MAP:
    case FIELD_RECORDS:
        sample_list(dice, field, at, arena);
        break;
    case FIELD_RECORD:
        sample_record(dice, field->shape, at, arena);
        break;
    }
}

/* `record` is all zeros. */
static inline void sample_record(struct dice *dice, const struct shape *shape, void *record,
                                 struct arena *arena)
{
    for (uint32_t i = 0; i < shape->field_count; i++) {
        const struct field *field = &shape->fields[i];
        const bool may_be_absent =
            !(field->flags & FIELD_REQUIRED) || (field->flags & FIELD_NULLABLE);
        if (may_be_absent && dice_one_in(dice, 3))
            continue;
        sample_field(dice, field, (char *)record + field->offset, arena);
        shape_set_present(shape, record, i);
    }
}
#endif
