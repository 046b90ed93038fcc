#ifndef AVRO_ORACLE_H
#define AVRO_ORACLE_H
/*
 * avro_oracle.h - random writers' schemas of our shapes, random data of them, and what a
 * datum means, said a second time and slowly: avro-c's generic reader builds its tree,
 * and a shape is filled from the tree, field by field and by name.
 */
#include <avro.h>
#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "codec/program.h"
#include "unit/codec/sample.h"

/* ---- random schemas ------------------------------------------------------------ */

struct schema_maker {
    struct dice *dice;
    struct byte_writer *out;
    struct arena *arena;
    uint32_t name_count; /* every name of a type is new */
};

static inline void maker_put(struct schema_maker *maker, const char *text)
{
    byte_put(maker->out, text, strlen(text));
}

/* A type that nobody asked for. */
static inline void make_any(struct schema_maker *maker, uint32_t depth)
{
    static const char *const plain[] = {"\"null\"",  "\"boolean\"", "\"int\"",   "\"long\"",
                                        "\"float\"", "\"double\"",  "\"bytes\"", "\"string\""};
    const uint32_t name = maker->name_count++;
    const uint32_t kind = dice_below(maker->dice, depth > 3 ? 8 : 15);
    const uint32_t count = 1 + dice_below(maker->dice, 3);

    if (kind < 8) {
        maker_put(maker, plain[kind]);
    } else if (kind == 8) {
        byte_print(maker->out, "{\"type\":\"fixed\",\"name\":\"f%u\",\"size\":%u}", name,
                   count * 3);
    } else if (kind == 9) {
        byte_print(maker->out, "{\"type\":\"enum\",\"name\":\"e%u\",\"symbols\":[\"A\",\"B\"]}",
                   name);
    } else if (kind == 10 || kind == 11) {
        maker_put(maker,
                  kind == 10 ? "{\"type\":\"array\",\"items\":" : "{\"type\":\"map\",\"values\":");
        make_any(maker, depth + 1);
        maker_put(maker, "}");
    } else if (kind == 12) {
        /* A list of itself: a record that is skipped may recur. */
        byte_print(maker->out,
                   "{\"type\":\"record\",\"name\":\"l%u\",\"fields\":[{\"name\":\"v\",\"type\":"
                   "\"long\"},{\"name\":\"next\",\"type\":[\"null\",\"l%u\"]}]}",
                   name, name);
    } else if (kind == 13) {
        byte_print(maker->out, "[\"null\",\"long\",{\"type\":\"array\",\"items\":\"string\"}]");
    } else {
        byte_print(maker->out, "{\"type\":\"record\",\"name\":\"r%u\",\"fields\":[", name);
        for (uint32_t i = 0; i < count; i++) {
            byte_print(maker->out, "%s{\"name\":\"x%u\",\"type\":", i > 0 ? "," : "", i);
            make_any(maker, depth + 1);
            maker_put(maker, "}");
        }
        maker_put(maker, "]}");
    }
}

static inline void make_record(struct schema_maker *maker, const struct shape *shape);

/* Our symbols in another order, some missing, some new. */
static inline void make_enum(struct schema_maker *maker, const struct field *field)
{
    uint32_t count = 0;

    while (field->choices[count] != NULL)
        count++;
    const uint32_t first = dice_below(maker->dice, count);
    byte_print(maker->out, "{\"type\":\"enum\",\"name\":\"e%u\",\"symbols\":[",
               maker->name_count++);
    for (uint32_t i = 0; i < count; i++)
        if (i == 0 || !dice_one_in(maker->dice, 8))
            byte_print(maker->out, "%s\"%s\"", i > 0 ? "," : "",
                       field->choices[(first + i) % count]);
    maker_put(maker, dice_one_in(maker->dice, 4) ? ",\"new_symbol\"]}" : "]}");
}

static inline void make_item(struct schema_maker *maker, const char *plain)
{
    static const char *const unions[] = {"[\"null\",%s]", "[%s,\"null\"]", "[\"long\",%s]"};

    if (!dice_one_in(maker->dice, 5))
        maker_put(maker, plain);
    else
        byte_print(maker->out, unions[dice_below(maker->dice, 3)], plain);
}

/* A type that can be read as the field's. */
static inline void make_fitting(struct schema_maker *maker, const struct field *field)
{
    static const char *const numbers[] = {"\"double\"", "\"float\"", "\"long\"", "\"int\""};

    switch (field->type) {
    case FIELD_TEXT:
        maker_put(maker, dice_one_in(maker->dice, 8) ? "\"bytes\"" : "\"string\"");
        break;
    case FIELD_INT:
        maker_put(maker, numbers[2 + dice_below(maker->dice, 2)]);
        break;
    case FIELD_TIME:
        maker_put(maker, dice_one_in(maker->dice, 2)
                             ? "\"long\""
                             : "{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}");
        break;
    case FIELD_DOUBLE:
        maker_put(maker, numbers[dice_below(maker->dice, 4)]);
        break;
    case FIELD_BOOL:
        maker_put(maker, "\"boolean\"");
        break;
    case FIELD_CHOICE:
        if (dice_one_in(maker->dice, 4))
            maker_put(maker, "\"string\"");
        else
            make_enum(maker, field);
        break;
    case FIELD_TEXTS:
    case FIELD_MAP:
        maker_put(maker, field->type == FIELD_MAP ? "{\"type\":\"map\",\"values\":"
                                                  : "{\"type\":\"array\",\"items\":");
        make_item(maker, dice_one_in(maker->dice, 8) ? "\"bytes\"" : "\"string\"");
        maker_put(maker, "}");
        break;
    case FIELD_RECORD:
        make_record(maker, field->shape);
        break;
    case FIELD_RECORDS:
        maker_put(maker, "{\"type\":\"array\",\"items\":");
        if (dice_one_in(maker->dice, 4)) {
            maker_put(maker, "[\"null\",");
            make_record(maker, field->shape);
            maker_put(maker, "]}");
        } else {
            make_record(maker, field->shape);
            maker_put(maker, "}");
        }
        break;
    }
}

static inline void make_field_type(struct schema_maker *maker, const struct field *field)
{
    const bool is_nullable = !(field->flags & FIELD_REQUIRED);

    if (dice_one_in(maker->dice, 200)) {
        make_any(maker, 0);
        return;
    }
    switch (dice_below(maker->dice, is_nullable ? 5 : 12)) {
    case 0:
        maker_put(maker, "[\"null\",");
        make_fitting(maker, field);
        maker_put(maker, "]");
        break;
    case 1:
        maker_put(maker, "[");
        make_fitting(maker, field);
        maker_put(maker, ",\"null\"]");
        break;
    case 2:
        byte_print(maker->out, "[{\"type\":\"fixed\",\"name\":\"f%u\",\"size\":2},\"null\",",
                   maker->name_count++);
        make_fitting(maker, field);
        maker_put(maker, "]");
        break;
    default:
        make_fitting(maker, field);
    }
}

static inline void make_record(struct schema_maker *maker, const struct shape *shape)
{
    const uint32_t first = dice_below(maker->dice, shape->field_count);
    const char *comma = "";

    byte_print(maker->out, "{\"type\":\"record\",\"name\":\"w%u\",\"fields\":[",
               maker->name_count++);
    for (uint32_t i = 0; i < shape->field_count; i++) {
        const struct field *field = &shape->fields[(first + i) % shape->field_count];
        if (dice_one_in(maker->dice, 5)) {
            byte_print(maker->out, "%s{\"name\":\"unknown_%u\",\"type\":", comma, i);
            make_any(maker, 0);
            maker_put(maker, "}");
            comma = ",";
        }
        if (dice_one_in(maker->dice, field->flags & FIELD_REQUIRED ? 300 : 4))
            continue;
        byte_print(maker->out, "%s{\"name\":\"%s\",\"type\":", comma, field->name);
        make_field_type(maker, field);
        maker_put(maker, "}");
        comma = ",";
    }
    maker_put(maker, "]}");
}

/* ---- random data --------------------------------------------------------------- */

/* `field` is what will read it, or NULL: its range makes most data valid. */
static inline void fill_value(struct dice *dice, avro_value_t *value, const struct field *field,
                              struct arena *arena, uint32_t depth);

static inline void fill_text(struct dice *dice, avro_value_t *value, const struct field *field,
                             struct arena *arena)
{
    struct view text = sample_text(dice, 0, 20, arena);

    if (field != NULL && field->type == FIELD_CHOICE && !dice_one_in(dice, 50))
        text = view_of(field->choices[dice_below(dice, 2)]);
    else if (field != NULL && !dice_one_in(dice, 100))
        text = sample_field_text(dice, field, arena);
    else if (dice_one_in(dice, 40))
        text = VIEW_LITERAL("\xFF");
    /* avro-c copies; its type is older than const. */
    if (avro_value_get_type(value) == AVRO_BYTES)
        avro_value_set_bytes(value, (void *)(uintptr_t)text.data, text.size);
    else
        avro_value_set_string_len(value, arena_copy(arena, text).data, text.size + 1);
}

static inline void fill_number(struct dice *dice, avro_value_t *value, const struct field *field)
{
    int64_t whole = (int64_t)dice_roll(dice) >> dice_below(dice, 64);
    double real = (double)whole / 1000;

    if (field != NULL && !dice_one_in(dice, 100)) {
        if (field->type == FIELD_DOUBLE)
            real = sample_double(dice, field), whole = (int64_t)real;
        else if (field->type == FIELD_INT || field->type == FIELD_TIME)
            whole = sample_int(dice, field);
    }
    switch (avro_value_get_type(value)) {
    case AVRO_INT32:
        avro_value_set_int(value, (int32_t)whole);
        break;
    case AVRO_INT64:
        avro_value_set_long(value, whole);
        break;
    case AVRO_FLOAT:
        avro_value_set_float(value, (float)real);
        break;
    default:
        avro_value_set_double(value, dice_one_in(dice, 300) ? NAN : real);
    }
}

static inline void fill_record(struct dice *dice, avro_value_t *value, const struct shape *shape,
                               struct arena *arena, uint32_t depth)
{
    size_t count = 0;

    avro_value_get_size(value, &count);
    for (size_t i = 0; i < count; i++) {
        const char *name;
        avro_value_t child;
        avro_value_get_by_index(value, i, &child, &name);
        const struct field *field = shape != NULL ? shape_find(shape, view_of(name), NULL) : NULL;
        fill_value(dice, &child, field, arena, depth + 1);
    }
}

static inline void fill_list(struct dice *dice, avro_value_t *value, const struct field *field,
                             struct arena *arena, uint32_t depth)
{
    const bool is_map = avro_value_get_type(value) == AVRO_MAP;
    const uint32_t count =
        (field != NULL && field->least > 0) + dice_below(dice, depth > 4 ? 1 : 4);

    for (uint32_t i = 0; i < count; i++) {
        avro_value_t child;
        if (is_map)
            avro_value_add(value, arena_print(arena, "k%u", i), &child, NULL, NULL);
        else
            avro_value_append(value, &child, NULL);
        fill_value(dice, &child, field, arena, depth + 1);
    }
}

static inline void fill_value(struct dice *dice, avro_value_t *value, const struct field *field,
                              struct arena *arena, uint32_t depth)
{
    avro_schema_t schema = avro_value_get_schema(value);
    char fixed[64] = "";
    avro_value_t branch;

    switch (avro_value_get_type(value)) {
    case AVRO_STRING:
    case AVRO_BYTES:
        fill_text(dice, value, field, arena);
        break;
    case AVRO_INT32:
    case AVRO_INT64:
    case AVRO_FLOAT:
    case AVRO_DOUBLE:
        fill_number(dice, value, field);
        break;
    case AVRO_BOOLEAN:
        avro_value_set_boolean(value, (int)dice_below(dice, 2));
        break;
    case AVRO_NULL:
        avro_value_set_null(value);
        break;
    case AVRO_ENUM:
        avro_value_set_enum(
            value, (int)dice_below(dice, (uint32_t)avro_schema_enum_number_of_symbols(schema)));
        break;
    case AVRO_FIXED:
        avro_value_set_fixed(value, fixed, (size_t)avro_schema_fixed_size(schema));
        break;
    case AVRO_RECORD:
        fill_record(dice, value, field != NULL ? field->shape : NULL, arena, depth);
        break;
    case AVRO_ARRAY:
    case AVRO_MAP:
        fill_list(dice, value, field, arena, depth);
        break;
    case AVRO_UNION:
        /* The last branch is the one that fits, mostly; a deep value takes the first. */
        avro_value_set_branch(value,
                              depth > 6 ? 0
                              : dice_one_in(dice, 4)
                                  ? (int)dice_below(dice, (uint32_t)avro_schema_union_size(schema))
                                  : (int)avro_schema_union_size(schema) - 1,
                              &branch);
        fill_value(dice, &branch, field, arena, depth + 1);
        break;
    case AVRO_LINK:
        break;
    }
}

/* ---- meaning ------------------------------------------------------------------- */

enum meaning { MEANS_VALUE, MEANS_NULL, MEANS_NOTHING };

struct avro_oracle {
    struct arena *arena;
};

static inline enum meaning mean_record(struct avro_oracle *oracle, const struct layout *layout,
                                       const avro_value_t *value, void *record);

static inline enum meaning mean_text(const struct layout_field *field, const avro_value_t *value,
                                     struct view *to)
{
    const void *data = NULL;
    const char *text = NULL;
    size_t size = 0;

    if (avro_value_get_type(value) == AVRO_BYTES) {
        avro_value_get_bytes(value, &data, &size);
        text = data;
    } else if (avro_value_get_type(value) == AVRO_STRING) {
        avro_value_get_string(value, &text, &size);
        size -= size > 0; /* its NUL, which avro-c leaves out of an empty one at times */
    } else {
        return MEANS_NOTHING;
    }
    *to = (struct view){size > 0 ? text : "", (uint32_t)size};
    return view_is_utf8(*to) && (size == 0 || memchr(text, 0, size) == NULL) &&
                   size >= field->bytes_min && size <= field->bytes_max
               ? MEANS_VALUE
               : MEANS_NOTHING;
}

static inline enum meaning mean_number(const struct layout_field *field, const avro_value_t *value,
                                       void *to)
{
    int32_t narrow = 0;
    int64_t whole = 0;
    float single = 0;
    double real = 0;

    switch (avro_value_get_type(value)) {
    case AVRO_INT32:
        avro_value_get_int(value, &narrow);
        whole = narrow;
        real = narrow;
        break;
    case AVRO_INT64:
        avro_value_get_long(value, &whole);
        real = (double)whole;
        break;
    case AVRO_FLOAT:
        avro_value_get_float(value, &single);
        real = single;
        break;
    case AVRO_DOUBLE:
        avro_value_get_double(value, &real);
        break;
    default:
        return MEANS_NOTHING;
    }
    if (field->type == FIELD_DOUBLE) {
        *(double *)to = real;
        return real >= field->double_min && real <= field->double_max ? MEANS_VALUE : MEANS_NOTHING;
    }
    *(int64_t *)to = whole;
    return (avro_value_get_type(value) == AVRO_INT32 || avro_value_get_type(value) == AVRO_INT64) &&
                   whole >= field->int_min && whole <= field->int_max
               ? MEANS_VALUE
               : MEANS_NOTHING;
}

static inline enum meaning mean_choice(const struct layout_field *field, const avro_value_t *value,
                                       int64_t *to)
{
    const char *text = "";
    size_t size;
    int number = 0;

    if (avro_value_get_type(value) == AVRO_STRING) {
        avro_value_get_string(value, &text, &size);
    } else if (avro_value_get_type(value) == AVRO_ENUM) {
        avro_value_get_enum(value, &number);
        text = avro_schema_enum_get(avro_value_get_schema(value), number);
    } else {
        return MEANS_NOTHING;
    }
    *to = layout_choice(field, view_of(text));
    return *to >= 0 ? MEANS_VALUE : MEANS_NOTHING;
}

static inline avro_value_t inside_union(const avro_value_t *value)
{
    avro_value_t branch = *value;

    if (avro_value_get_type(value) == AVRO_UNION)
        avro_value_get_current_branch(value, &branch);
    return branch;
}

static inline enum meaning mean_list(struct avro_oracle *oracle, const struct layout_field *field,
                                     const avro_value_t *value, void *to)
{
    const bool is_records = field->type == FIELD_RECORDS;
    const size_t bytes = is_records ? field->layout->shape->bytes : sizeof(struct view);
    char *items;
    size_t count = 0;

    if (avro_value_get_type(value) != AVRO_ARRAY)
        return MEANS_NOTHING;
    avro_value_get_size(value, &count);
    if (count < field->count_min || count > field->count_max)
        return MEANS_NOTHING;
    items = arena_alloc(oracle->arena, (count + 1) * bytes);
    for (size_t i = 0; i < count; i++) {
        avro_value_t child;
        avro_value_get_by_index(value, i, &child, NULL);
        child = inside_union(&child);
        void *item = items + i * bytes;
        if ((is_records ? mean_record(oracle, field->layout, &child, item)
                        : mean_text(field, &child, item)) != MEANS_VALUE)
            return MEANS_NOTHING;
    }
    if (is_records)
        *(struct record_list *)to = (struct record_list){items, (uint32_t)count};
    else
        *(struct view_list *)to = (struct view_list){(void *)items, (uint32_t)count};
    return MEANS_VALUE;
}

static inline enum meaning mean_map(struct avro_oracle *oracle, const struct layout_field *field,
                                    const avro_value_t *value, struct pair_list *to)
{
    uint32_t kept = 0;
    struct pair *pairs;
    size_t count = 0;

    if (avro_value_get_type(value) != AVRO_MAP)
        return MEANS_NOTHING;
    avro_value_get_size(value, &count);
    if (count > field->count_max)
        return MEANS_NOTHING;
    pairs = arena_alloc(oracle->arena, (count + 1) * sizeof *pairs);
    for (size_t i = 0; i < count; i++) {
        const char *name;
        avro_value_t child;
        avro_value_get_by_index(value, i, &child, &name);
        child = inside_union(&child);
        pairs[kept].name = view_of(name);
        if (avro_value_get_type(&child) == AVRO_NULL)
            continue;
        if (mean_text(field, &child, &pairs[kept].value) != MEANS_VALUE)
            return MEANS_NOTHING;
        kept++;
    }
    *to = (struct pair_list){pairs, kept};
    return MEANS_VALUE;
}

static inline enum meaning mean_value(struct avro_oracle *oracle, const struct layout_field *field,
                                      const avro_value_t *given, void *to)
{
    const avro_value_t value = inside_union(given);
    int truth = 0;

    if (avro_value_get_type(&value) == AVRO_NULL)
        return MEANS_NULL;
    switch (field->type) {
    case FIELD_TEXT:
        if (avro_value_get_type(&value) == AVRO_ENUM) {
            int number = 0;
            avro_value_get_enum(&value, &number);
            *(struct view *)to =
                view_of(avro_schema_enum_get(avro_value_get_schema(&value), number));
            return ((struct view *)to)->size >= field->bytes_min &&
                           ((struct view *)to)->size <= field->bytes_max
                       ? MEANS_VALUE
                       : MEANS_NOTHING;
        }
        return mean_text(field, &value, to);
    case FIELD_INT:
    case FIELD_TIME:
    case FIELD_DOUBLE:
        return mean_number(field, &value, to);
    case FIELD_BOOL:
        if (avro_value_get_type(&value) != AVRO_BOOLEAN)
            return MEANS_NOTHING;
        avro_value_get_boolean(&value, &truth);
        *(bool *)to = truth != 0;
        return MEANS_VALUE;
    case FIELD_CHOICE:
        return mean_choice(field, &value, to);
    case FIELD_TEXTS:
    case FIELD_RECORDS:
        return mean_list(oracle, field, &value, to);
    case FIELD_MAP:
        return mean_map(oracle, field, &value, to);
    case FIELD_RECORD:
        return mean_record(oracle, field->layout, &value, to);
    }
    return MEANS_NOTHING;
}

/* MEANS_NOTHING: some rule is broken. */
static inline enum meaning mean_record(struct avro_oracle *oracle, const struct layout *layout,
                                       const avro_value_t *value, void *record)
{
    uint64_t present = 0;

    if (avro_value_get_type(value) != AVRO_RECORD)
        return MEANS_NOTHING;
    for (uint32_t i = 0; i < layout->field_count; i++) {
        const struct layout_field *field = &layout->fields[i];
        avro_value_t child;
        if (avro_value_get_by_name(value, field->field->name, &child, NULL) != 0)
            continue;
        const enum meaning meaning =
            mean_value(oracle, field, &child, (char *)record + field->offset);
        if (meaning == MEANS_NOTHING)
            return MEANS_NOTHING;
        if (meaning == MEANS_VALUE)
            present |= UINT64_C(1) << i;
    }
    *layout_present(layout, record) = present;
    return (layout->present_mask & ~present) == 0 ? MEANS_VALUE : MEANS_NOTHING;
}

/* avro-c's maps have their own order: pairs are compared as sets. */
static inline void sort_pairs(struct pair_list *list)
{
    struct pair *pairs = (struct pair *)(uintptr_t)list->at;

    for (uint32_t i = 1; i < list->count; i++)
        for (uint32_t j = i; j > 0 && view_compare(pairs[j - 1].name, pairs[j].name) > 0; j--) {
            const struct pair swap = pairs[j];
            pairs[j] = pairs[j - 1];
            pairs[j - 1] = swap;
        }
}

static inline void sort_maps(const struct layout *layout, void *record)
{
    for (uint32_t i = 0; i < layout->field_count; i++)
        if (layout->fields[i].type == FIELD_MAP)
            sort_pairs((void *)((char *)record + layout->fields[i].offset));
}
#endif
