#ifndef CODEC_LAYOUT_H
#define CODEC_LAYOUT_H
/*
 * layout.h - a shape, prepared for decoding: limits worked out, names hashed.
 *
 * Memory   taken from the arena, immutable after layout_create
 * Threads  any may read
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/view.h"
#include "codec/reason.h"
#include "event/shape.h"

/* What a list or map holds at most when its field does not say. */
enum { LIST_COUNT_MAX = 10000, MAP_COUNT_MAX = 1000 };

struct layout_field {
    const struct field *field;
    const struct layout *layout; /* FIELD_RECORD, FIELD_RECORDS */
    enum field_type type;
    uint32_t offset;
    uint32_t name_size;
    uint64_t name_words[2]; /* the first 16 bytes of NAME": as they stand in a message */
    uint64_t name_masks[2];
    uint32_t bytes_min, bytes_max; /* of a text, or of each text in a list or map */
    uint32_t count_min, count_max; /* of a list or map */
    uint32_t choice_count;
    int64_t int_min, int_max;
    double double_min, double_max;
};

enum { LAYOUT_SLOT_COUNT = 256 };

/* The length of NAME": when `at` begins with it, else 0. 16 bytes must be readable. */
static inline uint32_t layout_match_name(const struct layout_field *field, const char *at,
                                         const char *end)
{
    const uint32_t size = field->name_size + 2;
    uint64_t words[2];

    memcpy(words, at, sizeof words);
    if ((((words[0] ^ field->name_words[0]) & field->name_masks[0]) |
         ((words[1] ^ field->name_words[1]) & field->name_masks[1])) != 0)
        return 0;
    if (size <= 16)
        return size;
    if ((size_t)(end - at) < size || at[size - 2] != '"' || at[size - 1] != ':' ||
        (field->name_size > 16 &&
         memcmp(at + 16, field->field->name + 16, field->name_size - 16) != 0))
        return 0;
    return size;
}

struct layout {
    const struct shape *shape;
    uint64_t seen_mask;    /* fields that must be given, null or not */
    uint64_t present_mask; /* fields that must be given and not be null */
    uint32_t field_count;
    uint8_t slots[LAYOUT_SLOT_COUNT]; /* by hash of the name: field number + 1; 0: none */
    struct layout_field fields[];
};

const struct layout *layout_create(const struct shape *shape, struct arena *arena);
/* The number of a field by name; field_count when there is none. */
uint32_t layout_find(const struct layout *layout, struct view name);

static inline uint64_t *layout_present(const struct layout *layout, void *record)
{
    return (uint64_t *)(void *)((char *)record + layout->shape->present_offset);
}

/* Texts for reasons: what a field expects. */
enum codec_error layout_refuse_bytes(const struct layout_field *field, const struct trail *trail,
                                     size_t offset, struct codec_reason *reason);
enum codec_error layout_refuse_number(const struct layout_field *field, const struct trail *trail,
                                      size_t offset, struct codec_reason *reason);
enum codec_error layout_refuse_count(const struct layout_field *field, const struct trail *trail,
                                     size_t offset, struct codec_reason *reason);
enum codec_error layout_refuse_type(const struct layout_field *field, const struct trail *trail,
                                    size_t offset, struct codec_reason *reason);
enum codec_error layout_refuse_choice(const struct layout_field *field, const struct trail *trail,
                                      size_t offset, struct codec_reason *reason);
/* The first field of `missing` is named. */
enum codec_error layout_refuse_missing(const struct layout *layout, uint64_t missing,
                                       struct trail *trail, size_t offset,
                                       struct codec_reason *reason);
/* The number of the choice, or -1. */
int64_t layout_choice(const struct layout_field *field, struct view name);
#endif
