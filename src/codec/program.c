/*
 * The compiler walks the writer's schema and emits steps in the order of its bytes:
 *
 *   {long a; union{null, string} b; array<int> c}     a, b known to us, c is not
 *
 *     0  INT       a
 *     1  UNION     2 branches -> 2, 3
 *     2  JUMP      -> 4
 *     3  TEXT      b
 *     4  SKIP_LIST item at 6
 *     5  END
 *     6  SKIP_VARINT
 *     7  END
 *
 * What repeats (items of a list, a record inside) is a subroutine, ended by END, and
 * so is a record that is skipped: it may contain itself. The machine calls itself for
 * those, at most CALLS_MAX deep.
 */
#include "codec/program.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "codec/lanes.h"

enum { STEPS_MAX = 100000, CALLS_MAX = 64, LEAST_BYTES_MAX = 64 };

enum step_code {
    STEP_END,
    STEP_TEXT,       /* string, bytes -> text */
    STEP_SYMBOL,     /* enum -> text */
    STEP_INT,        /* int, long -> whole number */
    STEP_FINE_TIME,  /* long in micros or nanos -> milliseconds */
    STEP_INT_DOUBLE, /* int, long -> double */
    STEP_FLOAT,      /* float -> double */
    STEP_DOUBLE,
    STEP_BOOL,
    STEP_CHOICE,      /* enum -> choice */
    STEP_TEXT_CHOICE, /* string -> choice */
    STEP_LIST,        /* array -> texts, records; map -> pairs */
    STEP_RECORD,      /* record -> record */
    STEP_OPTIONAL,    /* union of null and one type: on null, jump */
    STEP_UNION,       /* jump by branch */
    STEP_JUMP,
    STEP_MISFIT, /* a branch that our type cannot take */
    STEP_SKIP_VARINT,
    STEP_SKIP_BYTES,
    STEP_SKIP_FIXED,
    STEP_SKIP_BOOL,
    STEP_SKIP_ENUM,
    STEP_SKIP_LIST,
    STEP_CALL,
};

struct step {
    uint8_t code;
    uint8_t bit;                      /* number of the field in its record */
    uint16_t null;                    /* STEP_OPTIONAL: the branch of null */
    uint32_t target;                  /* step to jump to, or subroutine */
    uint32_t count;                   /* branches, symbols, bytes of a fixed */
    uint32_t least;                   /* bytes that an item takes at least */
    int64_t per_ms;                   /* STEP_FINE_TIME */
    const struct layout_field *field; /* NULL while skipping */
    union {
        const int32_t *choices;     /* by symbol; -1: none of ours */
        const uint32_t *targets;    /* by branch */
        const struct view *symbols; /* by number */
    };
};

struct program {
    const struct layout *layout;
    const struct step *steps;
};

/* ---- the compiler -------------------------------------------------------------- */

/* Where the items of a list are read to: a text or a pair, as if it were a record. */
struct item_field {
    struct layout_field name, value;
};

struct compiler {
    struct arena *arena;
    struct codec_reason *reason;
    struct trail trail;
    struct step *steps; /* from the heap while it grows */
    uint32_t count, capacity;
    uint32_t *skip_targets; /* by number of a named schema: its subroutine + 1 */
    bool is_broken;
};

static void give_up(struct compiler *compiler, const char *text)
{
    if (!compiler->is_broken)
        reason_set(compiler->reason, CODEC_ERROR_SCHEMA, &compiler->trail, 0,
                   "the writer's schema: %s", text);
    compiler->is_broken = true;
}

static struct step *emit(struct compiler *compiler, enum step_code code,
                         const struct layout_field *field)
{
    if (compiler->count == STEPS_MAX) {
        give_up(compiler, "too large");
        compiler->count = 0; /* what follows is written and thrown away */
    }
    if (compiler->count == compiler->capacity) {
        compiler->capacity = compiler->capacity == 0 ? 64 : compiler->capacity * 2;
        compiler->steps = realloc(compiler->steps, compiler->capacity * sizeof *compiler->steps);
        if (compiler->steps == NULL)
            abort();
    }
    struct step *step = &compiler->steps[compiler->count++];
    *step = (struct step){.code = (uint8_t)code, .field = field};
    return step;
}

/* Bytes that a datum takes at least; a smaller answer is harmless. `budget` cuts the walk
 * short: a schema may contain itself. */
static uint32_t least_bytes(const struct schema *schema, uint32_t *budget)
{
    uint32_t least = 0;

    if (*budget == 0)
        return 0;
    --*budget;
    switch (schema->kind) {
    case SCHEMA_NULL:
        return 0;
    case SCHEMA_BOOLEAN:
    case SCHEMA_INT:
    case SCHEMA_LONG:
    case SCHEMA_BYTES:
    case SCHEMA_STRING:
    case SCHEMA_ENUM:
    case SCHEMA_ARRAY:
    case SCHEMA_MAP:
    case SCHEMA_UNION:
        return 1;
    case SCHEMA_FLOAT:
        return 4;
    case SCHEMA_DOUBLE:
        return 8;
    case SCHEMA_FIXED:
        return schema->fixed_bytes < LEAST_BYTES_MAX ? schema->fixed_bytes : LEAST_BYTES_MAX;
    case SCHEMA_RECORD:
        for (uint32_t i = 0; i < schema->part_count && least < LEAST_BYTES_MAX; i++)
            least += least_bytes(schema->parts[i].schema, budget);
        return least < LEAST_BYTES_MAX ? least : LEAST_BYTES_MAX;
    }
    return 0;
}

static uint32_t least_item_bytes(const struct schema *list)
{
    uint32_t budget = 1000;

    return least_bytes(list->item, &budget) + (list->kind == SCHEMA_MAP);
}

static void compile_skip(struct compiler *compiler, const struct schema *writer);

/* The subroutine that skips a record; compiled behind a jump where first met. */
static void compile_skip_record(struct compiler *compiler, const struct schema *writer)
{
    assert(writer->number < SCHEMA_NAMES_MAX);
    if (compiler->skip_targets[writer->number] == 0) {
        const uint32_t jump = compiler->count;
        emit(compiler, STEP_JUMP, NULL);
        compiler->skip_targets[writer->number] = compiler->count + 1;
        for (uint32_t i = 0; i < writer->part_count && !compiler->is_broken; i++)
            compile_skip(compiler, writer->parts[i].schema);
        emit(compiler, STEP_END, NULL);
        if (compiler->is_broken)
            return;
        compiler->steps[jump].target = compiler->count;
    }
    emit(compiler, STEP_CALL, NULL)->target = compiler->skip_targets[writer->number] - 1;
}

static void compile_skip_list(struct compiler *compiler, const struct schema *writer)
{
    const bool is_map = writer->kind == SCHEMA_MAP;
    const uint32_t list = compiler->count;

    emit(compiler, STEP_SKIP_LIST, NULL)->least = least_item_bytes(writer);
    const uint32_t jump = compiler->count;
    emit(compiler, STEP_JUMP, NULL);
    if (is_map)
        emit(compiler, STEP_SKIP_BYTES, NULL);
    compile_skip(compiler, writer->item);
    emit(compiler, STEP_END, NULL);
    if (compiler->is_broken)
        return;
    compiler->steps[list].target = jump + 1;
    compiler->steps[jump].target = compiler->count;
}

static void compile_union(struct compiler *compiler, const struct schema *writer,
                          const struct layout_field *field, uint8_t bit);

static void compile_skip(struct compiler *compiler, const struct schema *writer)
{
    if (compiler->is_broken)
        return;
    switch (writer->kind) {
    case SCHEMA_NULL:
        break;
    case SCHEMA_BOOLEAN:
        emit(compiler, STEP_SKIP_BOOL, NULL);
        break;
    case SCHEMA_INT:
    case SCHEMA_LONG:
        emit(compiler, STEP_SKIP_VARINT, NULL);
        break;
    case SCHEMA_FLOAT:
        emit(compiler, STEP_SKIP_FIXED, NULL)->count = 4;
        break;
    case SCHEMA_DOUBLE:
        emit(compiler, STEP_SKIP_FIXED, NULL)->count = 8;
        break;
    case SCHEMA_FIXED:
        emit(compiler, STEP_SKIP_FIXED, NULL)->count = writer->fixed_bytes;
        break;
    case SCHEMA_BYTES:
    case SCHEMA_STRING:
        emit(compiler, STEP_SKIP_BYTES, NULL);
        break;
    case SCHEMA_ENUM:
        emit(compiler, STEP_SKIP_ENUM, NULL)->count = writer->symbol_count;
        break;
    case SCHEMA_ARRAY:
    case SCHEMA_MAP:
        compile_skip_list(compiler, writer);
        break;
    case SCHEMA_UNION:
        compile_union(compiler, writer, NULL, 0);
        break;
    case SCHEMA_RECORD:
        compile_skip_record(compiler, writer);
        break;
    }
}

static void compile_choices(struct compiler *compiler, const struct schema *writer,
                            const struct layout_field *field)
{
    int32_t *choices = arena_alloc(compiler->arena, writer->symbol_count * sizeof *choices);

    for (uint32_t i = 0; i < writer->symbol_count; i++)
        choices[i] = (int32_t)layout_choice(field, writer->symbols[i]);
    struct step *step = emit(compiler, STEP_CHOICE, field);
    step->choices = choices;
    step->count = writer->symbol_count;
}

static void compile_record_fields(struct compiler *compiler, const struct schema *writer,
                                  const struct layout *layout);

static void compile_record(struct compiler *compiler, const struct schema *writer,
                           const struct layout_field *field)
{
    const uint32_t record = compiler->count;

    emit(compiler, STEP_RECORD, field)->target = record + 2;
    emit(compiler, STEP_JUMP, NULL);
    assert(compiler->trail.level + 1 < TRAIL_STEPS_MAX);
    compiler->trail.level++;
    compile_record_fields(compiler, writer, field->layout);
    compiler->trail.level--;
    if (!compiler->is_broken)
        compiler->steps[record + 1].target = compiler->count;
}

static bool can_read(const struct schema *writer, const struct layout_field *field);
static void compile_value(struct compiler *compiler, const struct schema *writer,
                          const struct layout_field *field, uint8_t bit);

/* A record inside a union, as an item: read as if it were the one field of the item. */
static void compile_wrapped_item(struct compiler *compiler, const struct schema *item,
                                 const struct layout_field *field)
{
    struct layout_field *record = arena_alloc(compiler->arena, sizeof *record);

    *record = *field;
    record->type = FIELD_RECORD;
    record->offset = 0;
    compile_value(compiler, item, record, 0);
    emit(compiler, STEP_END, NULL);
}

/* Items are read by a subroutine into one struct each: a view, a pair or a record. */
static void compile_list(struct compiler *compiler, const struct schema *writer,
                         const struct layout_field *field)
{
    const uint32_t list = compiler->count;
    const bool is_map = field->type == FIELD_MAP;

    emit(compiler, STEP_LIST, field)->least = least_item_bytes(writer);
    emit(compiler, STEP_JUMP, NULL);
    if (field->type == FIELD_RECORDS && writer->item->kind == SCHEMA_RECORD) {
        compiler->trail.level++;
        compile_record_fields(compiler, writer->item, field->layout);
        compiler->trail.level--;
    } else if (field->type == FIELD_RECORDS) {
        compile_wrapped_item(compiler, writer->item, field);
    } else {
        struct item_field *item = arena_alloc(compiler->arena, sizeof *item);
        item->name = item->value = *field;
        item->name.type = item->value.type = FIELD_TEXT;
        item->name.offset = offsetof(struct pair, name);
        item->value.offset = is_map ? offsetof(struct pair, value) : 0;
        if (is_map)
            emit(compiler, STEP_TEXT, &item->name);
        compile_value(compiler, writer->item, &item->value, 1);
        emit(compiler, STEP_END, NULL);
    }
    if (compiler->is_broken)
        return;
    compiler->steps[list].target = list + 2;
    compiler->steps[list].count = writer->item->kind != SCHEMA_RECORD;
    compiler->steps[list + 1].target = compiler->count;
}

/* The items of a list, as one field. */
static bool can_read_item(const struct schema *item, const struct layout_field *field)
{
    struct layout_field one = *field;

    one.type = field->type == FIELD_RECORDS ? FIELD_RECORD : FIELD_TEXT;
    return can_read(item, &one);
}

/* Whether some datum of the writer's type can be a value of the field. */
static bool can_read(const struct schema *writer, const struct layout_field *field)
{
    const enum schema_kind kind = writer->kind;

    if (kind == SCHEMA_NULL)
        return true;
    if (kind == SCHEMA_UNION) {
        for (uint32_t i = 0; i < writer->part_count; i++)
            if (writer->parts[i].schema->kind != SCHEMA_NULL &&
                can_read(writer->parts[i].schema, field))
                return true;
        return writer->part_count == 1 && writer->parts[0].schema->kind == SCHEMA_NULL;
    }
    switch (field->type) {
    case FIELD_TEXT:
        return kind == SCHEMA_STRING || kind == SCHEMA_BYTES || kind == SCHEMA_ENUM;
    case FIELD_INT:
    case FIELD_TIME:
        return kind == SCHEMA_INT || kind == SCHEMA_LONG;
    case FIELD_DOUBLE:
        return kind == SCHEMA_INT || kind == SCHEMA_LONG || kind == SCHEMA_FLOAT ||
               kind == SCHEMA_DOUBLE;
    case FIELD_BOOL:
        return kind == SCHEMA_BOOLEAN;
    case FIELD_CHOICE:
        return kind == SCHEMA_ENUM || kind == SCHEMA_STRING;
    case FIELD_TEXTS:
    case FIELD_RECORDS:
        return kind == SCHEMA_ARRAY && can_read_item(writer->item, field);
    case FIELD_MAP:
        return kind == SCHEMA_MAP && can_read_item(writer->item, field);
    case FIELD_RECORD:
        return kind == SCHEMA_RECORD;
    }
    return false;
}

static void compile_number(struct compiler *compiler, const struct schema *writer,
                           const struct layout_field *field)
{
    switch (writer->kind) {
    case SCHEMA_FLOAT:
        emit(compiler, STEP_FLOAT, field);
        return;
    case SCHEMA_DOUBLE:
        emit(compiler, STEP_DOUBLE, field);
        return;
    default: /* can_read has left int and long */
        break;
    }
    if (field->type == FIELD_DOUBLE)
        emit(compiler, STEP_INT_DOUBLE, field);
    else if (field->type == FIELD_TIME && writer->per_ms > 1)
        emit(compiler, STEP_FINE_TIME, field)->per_ms = writer->per_ms;
    else
        emit(compiler, STEP_INT, field);
}

static void compile_plain(struct compiler *compiler, const struct schema *writer,
                          const struct layout_field *field)
{
    struct step *step;

    switch (field->type) {
    case FIELD_TEXT:
        step = emit(compiler, writer->kind == SCHEMA_ENUM ? STEP_SYMBOL : STEP_TEXT, field);
        step->symbols = writer->symbols;
        step->count = writer->symbol_count;
        break;
    case FIELD_INT:
    case FIELD_TIME:
    case FIELD_DOUBLE:
        compile_number(compiler, writer, field);
        break;
    case FIELD_BOOL:
        emit(compiler, STEP_BOOL, field);
        break;
    case FIELD_CHOICE:
        if (writer->kind == SCHEMA_ENUM)
            compile_choices(compiler, writer, field);
        else
            emit(compiler, STEP_TEXT_CHOICE, field);
        break;
    case FIELD_TEXTS:
    case FIELD_RECORDS:
    case FIELD_MAP:
        compile_list(compiler, writer, field);
        break;
    case FIELD_RECORD:
        compile_record(compiler, writer, field);
        break;
    }
}

/* One value of a field. The step that reads it comes first, and carries the bit. */
static void compile_value(struct compiler *compiler, const struct schema *writer,
                          const struct layout_field *field, uint8_t bit)
{
    if (compiler->is_broken || writer->kind == SCHEMA_NULL)
        return;
    if (writer->kind == SCHEMA_UNION) {
        compile_union(compiler, writer, field, bit);
        return;
    }
    const uint32_t first = compiler->count;
    if (can_read(writer, field))
        compile_plain(compiler, writer, field);
    else
        emit(compiler, STEP_MISFIT, field);
    if (!compiler->is_broken)
        compiler->steps[first].bit = bit;
}

static void compile_branch(struct compiler *compiler, const struct schema *writer,
                           const struct layout_field *field, uint8_t bit)
{
    if (field == NULL)
        compile_skip(compiler, writer);
    else
        compile_value(compiler, writer, field, bit);
}

/* [null, T] and [T, null] are most of all unions: one step and no table. */
static void compile_optional(struct compiler *compiler, const struct schema *writer, uint16_t null,
                             const struct layout_field *field, uint8_t bit)
{
    const uint32_t optional = compiler->count;

    emit(compiler, STEP_OPTIONAL, field)->null = null;
    compile_branch(compiler, writer->parts[1 - null].schema, field, bit);
    if (!compiler->is_broken)
        compiler->steps[optional].target = compiler->count;
}

static void compile_union(struct compiler *compiler, const struct schema *writer,
                          const struct layout_field *field, uint8_t bit)
{
    const uint32_t count = writer->part_count;

    for (uint16_t i = 0; i < 2 && count == 2; i++)
        if (writer->parts[i].schema->kind == SCHEMA_NULL) {
            compile_optional(compiler, writer, i, field, bit);
            return;
        }

    const uint32_t first = compiler->count;
    struct step *step = emit(compiler, STEP_UNION, field);
    uint32_t *targets = arena_alloc(compiler->arena, count * sizeof *targets);
    uint32_t *jumps = arena_alloc(compiler->arena, count * sizeof *jumps);
    step->targets = targets;
    step->count = count;
    for (uint32_t i = 0; i < count && !compiler->is_broken; i++) {
        targets[i] = compiler->count;
        compile_branch(compiler, writer->parts[i].schema, field, bit);
        jumps[i] = compiler->count;
        emit(compiler, STEP_JUMP, NULL);
    }
    for (uint32_t i = 0; i < count && !compiler->is_broken; i++)
        compiler->steps[jumps[i]].target = compiler->count;
    assert(compiler->is_broken || compiler->steps[first].code == STEP_UNION);
}

static void compile_record_fields(struct compiler *compiler, const struct schema *writer,
                                  const struct layout *layout)
{
    uint64_t written = 0;

    for (uint32_t i = 0; i < writer->part_count && !compiler->is_broken; i++) {
        const struct schema_part *part = &writer->parts[i];
        const uint32_t index = layout_find(layout, part->name);
        if (index == layout->field_count) {
            compile_skip(compiler, part->schema);
            continue;
        }
        const struct layout_field *field = &layout->fields[index];
        trail_at(&compiler->trail, field->field);
        written |= UINT64_C(1) << index;
        if (!can_read(part->schema, field))
            give_up(compiler, "its type cannot be read as ours");
        compile_value(compiler, part->schema, field, (uint8_t)index);
    }
    for (uint32_t i = 0; i < layout->field_count && !compiler->is_broken; i++) {
        trail_at(&compiler->trail, layout->fields[i].field);
        if ((layout->seen_mask & ~written) >> i & 1)
            give_up(compiler, "a required field is missing");
    }
    trail_at(&compiler->trail, NULL);
    emit(compiler, STEP_END, NULL);
}

enum codec_error program_compile(const struct layout *layout, const struct schema *writer,
                                 struct arena *arena, const struct program **program,
                                 struct codec_reason *reason)
{
    struct compiler compiler = {.arena = arena, .reason = reason};

    if (writer->kind != SCHEMA_RECORD) {
        give_up(&compiler, "it is no record");
        return reason->error;
    }
    compiler.skip_targets = arena_alloc(arena, SCHEMA_NAMES_MAX * sizeof *compiler.skip_targets);
    compile_record_fields(&compiler, writer, layout);
    if (!compiler.is_broken) {
        struct program *made = arena_alloc(arena, sizeof *made);
        struct step *steps = arena_alloc(arena, compiler.count * sizeof *steps);
        memcpy(steps, compiler.steps, compiler.count * sizeof *steps);
        *made = (struct program){layout, steps};
        *program = made;
    }
    free(compiler.steps);
    return compiler.is_broken ? reason->error : CODEC_OK;
}

/* ---- the machine --------------------------------------------------------------- */

struct machine {
    const struct step *steps;
    const char *at;
    const char *start;
    const char *end;
    struct arena *arena;
    struct codec_reason *reason;
    struct trail trail;
    uint32_t calls;
};

static size_t offset_of(const struct machine *machine, const char *at)
{
    return (size_t)(at - machine->start);
}

/* A step that fails says so through its field. */
static bool fail(struct machine *machine, const struct step *step, const char *expected)
{
    struct trail_step *place = &machine->trail.steps[machine->trail.level];

    if (place->index < 0)
        place->field = step->field != NULL ? step->field->field : NULL;
    reason_set(machine->reason, CODEC_ERROR_SYNTAX, &machine->trail,
               offset_of(machine, machine->at), "%s", expected);
    return false;
}

typedef enum codec_error refuse_fn(const struct layout_field *field, const struct trail *trail,
                                   size_t offset, struct codec_reason *reason);

static bool refuse(struct machine *machine, const struct step *step, refuse_fn *refuse_field)
{
    struct trail_step *place = &machine->trail.steps[machine->trail.level];

    if (place->index < 0)
        place->field = step->field->field;
    refuse_field(step->field, &machine->trail, offset_of(machine, machine->at), machine->reason);
    return false;
}

static bool refuse_encoding(struct machine *machine, const struct step *step)
{
    fail(machine, step, "expected valid UTF-8 without U+0000");
    machine->reason->error = CODEC_ERROR_ENCODING;
    return false;
}

/* At most ten bytes, at most 64 bits. */
static bool take_varint_slowly(struct machine *machine, uint64_t *value)
{
    uint64_t sum = 0;

    for (uint32_t shift = 0; shift < 70 && machine->at < machine->end; shift += 7) {
        const uint8_t byte = (uint8_t)*machine->at++;
        if (shift == 63 && byte > 1)
            return false;
        sum |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *value = sum;
            return true;
        }
    }
    return false;
}

static inline bool take_varint(struct machine *machine, uint64_t *value)
{
    if (machine->at < machine->end && (uint8_t)*machine->at < 0x80) {
        *value = (uint8_t)*machine->at++;
        return true;
    }
    return take_varint_slowly(machine, value);
}

static inline bool take_long(struct machine *machine, int64_t *value)
{
    uint64_t raw;

    if (!take_varint(machine, &raw))
        return false;
    *value = (int64_t)(raw >> 1) ^ -(int64_t)(raw & 1);
    return true;
}

/* A length and its bytes. */
static inline bool take_bytes(struct machine *machine, struct view *bytes)
{
    int64_t size;

    if (!take_long(machine, &size) || (uint64_t)size > (uint64_t)(machine->end - machine->at))
        return false;
    *bytes = (struct view){machine->at, (uint32_t)size};
    machine->at += size;
    return true;
}

static inline bool take_fixed(struct machine *machine, void *to, size_t size)
{
    if ((size_t)(machine->end - machine->at) < size)
        return false;
    memcpy(to, machine->at, size);
    machine->at += size;
    return true;
}

static inline bool run_text(struct machine *machine, const struct step *step, struct view *to)
{
    const struct layout_field *field = step->field;
    struct view text;

    if (!take_bytes(machine, &text))
        return fail(machine, step, "expected a text inside the message");
    if (text.size - field->bytes_min > field->bytes_max - field->bytes_min)
        return refuse(machine, step, layout_refuse_bytes);
    if (!lanes_is_clean(text.data, text.size, (size_t)(machine->end - text.data)))
        return refuse_encoding(machine, step);
    *to = text;
    return true;
}

static bool run_symbol(struct machine *machine, const struct step *step, struct view *to)
{
    int64_t number;

    if (!take_long(machine, &number) || (uint64_t)number >= step->count)
        return fail(machine, step, "expected the number of a symbol");
    *to = step->symbols[number];
    if (to->size < step->field->bytes_min || to->size > step->field->bytes_max)
        return refuse(machine, step, layout_refuse_bytes);
    return true;
}

static inline bool run_int(struct machine *machine, const struct step *step, int64_t *to)
{
    int64_t value;

    if (!take_long(machine, &value))
        return fail(machine, step, "expected a whole number");
    if (step->code == STEP_FINE_TIME)
        value = value / step->per_ms - (value % step->per_ms < 0);
    if (value < step->field->int_min || value > step->field->int_max)
        return refuse(machine, step, layout_refuse_number);
    *to = value;
    return true;
}

static bool run_double(struct machine *machine, const struct step *step, double *to)
{
    double value = 0;
    int64_t whole = 0;
    uint64_t bits = 0;
    uint32_t short_bits = 0;
    float narrow;
    bool is_read;

    if (step->code == STEP_INT_DOUBLE) {
        is_read = take_long(machine, &whole);
        value = (double)whole;
    } else if (step->code == STEP_FLOAT) {
        is_read = take_fixed(machine, &short_bits, sizeof short_bits);
        short_bits = le32toh(short_bits);
        memcpy(&narrow, &short_bits, sizeof narrow);
        value = narrow;
    } else {
        is_read = take_fixed(machine, &bits, sizeof bits);
        bits = le64toh(bits);
        memcpy(&value, &bits, sizeof value);
    }
    if (!is_read)
        return fail(machine, step, "expected a number inside the message");
    if (!(value >= step->field->double_min && value <= step->field->double_max))
        return refuse(machine, step, layout_refuse_number);
    *to = value;
    return true;
}

static bool run_bool(struct machine *machine, const struct step *step, bool *to)
{
    if (machine->at == machine->end || (uint8_t)*machine->at > 1)
        return fail(machine, step, "expected true or false");
    if (to != NULL)
        *to = *machine->at != 0;
    machine->at++;
    return true;
}

static bool run_choice(struct machine *machine, const struct step *step, int64_t *to)
{
    int64_t number;
    struct view text;

    if (step->code == STEP_TEXT_CHOICE) {
        if (!take_bytes(machine, &text))
            return fail(machine, step, "expected a text inside the message");
        *to = layout_choice(step->field, text);
    } else {
        if (!take_long(machine, &number) || (uint64_t)number >= step->count)
            return fail(machine, step, "expected the number of a symbol");
        *to = step->choices[number];
    }
    return *to >= 0 || refuse(machine, step, layout_refuse_choice);
}

static bool run(struct machine *machine, uint32_t from, char *record, uint64_t *present);

/* A subroutine, one level deeper. */
static bool call(struct machine *machine, const struct step *step, char *record, uint64_t *present)
{
    if (machine->calls == CALLS_MAX)
        return fail(machine, step, "expected at most 64 levels of nesting");
    machine->calls++;
    const bool is_good = run(machine, step->target, record, present);
    machine->calls--;
    return is_good;
}

/* The number of items in the next block; its size in bytes is not needed. Items that take
 * bytes are no more than the bytes that are left. */
static bool take_block(struct machine *machine, const struct step *step, uint64_t *count,
                       int64_t *bytes)
{
    int64_t number;

    *bytes = -1;
    if (!take_long(machine, &number))
        return fail(machine, step, "expected the number of items");
    if (number < 0) {
        if (number == INT64_MIN || !take_long(machine, bytes) || *bytes < 0 ||
            *bytes > machine->end - machine->at)
            return fail(machine, step, "expected the size of a block");
        number = -number;
    }
    *count = (uint64_t)number;
    if (step->least > 0 && *count > (uint64_t)(machine->end - machine->at) / step->least)
        return fail(machine, step, "expected a number of items that the message can hold");
    return true;
}

static bool skip_list(struct machine *machine, const struct step *step)
{
    for (;;) {
        uint64_t count;
        int64_t bytes;
        if (!take_block(machine, step, &count, &bytes))
            return false;
        if (count == 0)
            return true;
        if (bytes >= 0) {
            machine->at += bytes;
            continue;
        }
        /* Items that take no bytes need no skipping, however many they are. */
        uint64_t unused = 0;
        for (; count > 0 && step->least > 0; count--)
            if (!call(machine, step, NULL, &unused))
                return false;
    }
}

/* What a list is read into: it doubles in the arena as it grows. */
struct growing {
    char *data;
    uint32_t count, capacity;
    uint32_t element_bytes;
};

static char *next_element(struct growing *list, struct arena *arena)
{
    if (list->count == list->capacity) {
        const uint32_t capacity = list->capacity == 0 ? 4 : list->capacity * 2;
        char *data = arena_alloc(arena, (size_t)capacity * list->element_bytes);
        if (list->count > 0)
            memcpy(data, list->data, (size_t)list->count * list->element_bytes);
        list->data = data;
        list->capacity = capacity;
    }
    char *element = list->data + (size_t)list->count * list->element_bytes;
    return memset(element, 0, list->element_bytes);
}

/* The pair just read takes the place of an earlier one of its name; a null removes it. */
static void settle_pair(struct growing *list)
{
    struct pair *pairs = (void *)list->data;
    const struct pair pair = pairs[list->count];

    for (uint32_t i = 0; i < list->count; i++) {
        if (!view_is_equal(pairs[i].name, pair.name))
            continue;
        if (view_is_absent(pair.value))
            memmove(&pairs[i], &pairs[i + 1], (--list->count - i) * sizeof *pairs);
        else
            pairs[i] = pair;
        return;
    }
    list->count += !view_is_absent(pair.value);
}

static bool check_record(struct machine *machine, const struct layout *layout, char *record,
                         uint64_t present)
{
    const uint64_t missing = layout->present_mask & ~present;

    *layout_present(layout, record) = present;
    if (missing == 0)
        return true;
    layout_refuse_missing(layout, missing, &machine->trail, offset_of(machine, machine->at),
                          machine->reason);
    return false;
}

static bool run_inner(struct machine *machine, const struct step *step, char *record)
{
    const struct layout *layout = step->field->layout;
    uint64_t present = 0;

    machine->trail.level++;
    machine->trail.steps[machine->trail.level].index = -1;
    if (!call(machine, step, record, &present) || !check_record(machine, layout, record, present))
        return false;
    machine->trail.level--;
    return true;
}

static bool run_item(struct machine *machine, const struct step *step, struct growing *list)
{
    char *element = next_element(list, machine->arena);
    uint64_t given = 0;

    if (step->field->type == FIELD_RECORDS && step->count == 0) {
        if (!run_inner(machine, step, element))
            return false;
        list->count++;
        return true;
    }
    if (!call(machine, step, element, &given))
        return false;
    if (step->field->type == FIELD_MAP) {
        settle_pair(list);
        return true;
    }
    if (given == 0)
        return refuse(machine, step, layout_refuse_type);
    list->count++;
    return true;
}

static bool run_list(struct machine *machine, const struct step *step, void *to)
{
    const struct layout_field *field = step->field;
    struct trail_step *place = &machine->trail.steps[machine->trail.level];
    struct growing list = {0};
    uint64_t index = 0;

    list.element_bytes = field->type == FIELD_RECORDS ? (uint32_t)field->layout->shape->bytes
                         : field->type == FIELD_MAP   ? sizeof(struct pair)
                                                      : sizeof(struct view);
    for (;;) {
        uint64_t count;
        int64_t bytes;
        if (!take_block(machine, step, &count, &bytes))
            return false;
        if (count == 0)
            break;
        if (count > field->count_max - index)
            return refuse(machine, step, layout_refuse_count);
        for (; count > 0; count--, index++) {
            place->field = field->field;
            place->index = field->type == FIELD_MAP ? -1 : (int64_t)index;
            if (!run_item(machine, step, &list))
                return false;
        }
        place->index = -1;
    }
    if (list.count < field->count_min)
        return refuse(machine, step, layout_refuse_count);
    if (field->type == FIELD_RECORDS)
        *(struct record_list *)to = (struct record_list){list.data, list.count};
    else if (field->type == FIELD_MAP)
        *(struct pair_list *)to = (struct pair_list){(const void *)list.data, list.count};
    else
        *(struct view_list *)to = (struct view_list){(const void *)list.data, list.count};
    return true;
}

/* Steps that read nothing into a field. */
static bool run_skip(struct machine *machine, const struct step *step)
{
    struct view bytes;
    int64_t number;
    uint64_t unused = 0;

    switch ((enum step_code)step->code) {
    case STEP_SKIP_VARINT:
        return take_long(machine, &number) || fail(machine, step, "expected a whole number");
    case STEP_SKIP_BYTES:
        return take_bytes(machine, &bytes) ||
               fail(machine, step, "expected a text inside the message");
    case STEP_SKIP_FIXED:
        if ((size_t)(machine->end - machine->at) < step->count)
            return fail(machine, step, "expected more bytes");
        machine->at += step->count;
        return true;
    case STEP_SKIP_BOOL:
        return run_bool(machine, step, NULL);
    case STEP_SKIP_ENUM:
        return (take_long(machine, &number) && (uint64_t)number < step->count) ||
               fail(machine, step, "expected the number of a symbol");
    case STEP_SKIP_LIST:
        return skip_list(machine, step);
    case STEP_CALL:
        return call(machine, step, NULL, &unused);
    default:
        break;
    }
    return refuse(machine, step, layout_refuse_type); /* STEP_MISFIT */
}

static bool run(struct machine *machine, uint32_t from, char *record, uint64_t *present)
{
    const struct step *step = &machine->steps[from];
    uint64_t given = 0;
    int64_t branch;

    for (;; step++) {
        void *to = step->field != NULL ? record + step->field->offset : NULL;
        bool is_good;

        switch ((enum step_code)step->code) {
        case STEP_END:
            *present = given;
            return true;
        case STEP_OPTIONAL:
            if (!take_long(machine, &branch) || (uint64_t)branch > 1)
                return fail(machine, step, "expected the number of a branch");
            if (branch == step->null)
                step = &machine->steps[step->target - 1];
            continue;
        case STEP_UNION:
            if (!take_long(machine, &branch) || (uint64_t)branch >= step->count)
                return fail(machine, step, "expected the number of a branch");
            step = &machine->steps[step->targets[branch]] - 1;
            continue;
        case STEP_JUMP:
            step = &machine->steps[step->target] - 1;
            continue;
        case STEP_TEXT:
            is_good = run_text(machine, step, to);
            break;
        case STEP_SYMBOL:
            is_good = run_symbol(machine, step, to);
            break;
        case STEP_INT:
        case STEP_FINE_TIME:
            is_good = run_int(machine, step, to);
            break;
        case STEP_INT_DOUBLE:
        case STEP_FLOAT:
        case STEP_DOUBLE:
            is_good = run_double(machine, step, to);
            break;
        case STEP_BOOL:
            is_good = run_bool(machine, step, to);
            break;
        case STEP_CHOICE:
        case STEP_TEXT_CHOICE:
            is_good = run_choice(machine, step, to);
            break;
        case STEP_LIST:
            is_good = run_list(machine, step, to);
            break;
        case STEP_RECORD:
            machine->trail.steps[machine->trail.level].field = step->field->field;
            is_good = run_inner(machine, step, to);
            break;
        case STEP_MISFIT:
        case STEP_SKIP_VARINT:
        case STEP_SKIP_BYTES:
        case STEP_SKIP_FIXED:
        case STEP_SKIP_BOOL:
        case STEP_SKIP_ENUM:
        case STEP_SKIP_LIST:
        case STEP_CALL:
            if (!run_skip(machine, step))
                return false;
            continue;
        }
        if (!is_good)
            return false;
        given |= UINT64_C(1) << step->bit;
    }
}

enum codec_error program_run(const struct program *program, const char *start, const char **at,
                             const char *end, struct arena *arena, void *record,
                             struct codec_reason *reason)
{
    struct machine machine = {
        .steps = program->steps,
        .at = *at,
        .start = start,
        .end = end,
        .arena = arena,
        .reason = reason,
        .trail.steps[0].index = -1,
    };
    uint64_t present = 0;

    memset(record, 0, program->layout->shape->bytes);
    if (!run(&machine, 0, record, &present) ||
        !check_record(&machine, program->layout, record, present))
        return reason->error;
    *at = machine.at;
    return CODEC_OK;
}
