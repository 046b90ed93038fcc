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
 *     6  SKIP_INT
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
    STEP_INT,        /* int -> whole number */
    STEP_LONG,       /* long -> whole number */
    STEP_FINE_TIME,  /* long in micros or nanos -> milliseconds */
    STEP_INT_DOUBLE, /* int -> double */
    STEP_LONG_DOUBLE,
    STEP_FLOAT, /* float -> double */
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
    STEP_SKIP_INT,
    STEP_SKIP_LONG,
    STEP_SKIP_BYTES,
    STEP_SKIP_FIXED,
    STEP_SKIP_BOOL,
    STEP_SKIP_ENUM,
    STEP_SKIP_LIST,
    STEP_CALL,
};

struct step {
    uint8_t code;
    uint8_t bit;     /* number of the field in its record */
    uint8_t null;    /* STEP_OPTIONAL: the byte that says null; of two branches */
    uint32_t offset; /* of the value in the record */
    uint32_t target; /* step to jump to, or subroutine */
    uint32_t count;  /* branches, symbols, bytes of a fixed; STEP_LIST: 1 if items are wrapped */
    const struct layout_field *field; /* NULL while skipping */
    union {
        struct {
            uint32_t bytes_min, bytes_span; /* of a text: the least, and how many more */
        };
        uint32_t least;             /* bytes that an item of a list takes at least */
        int64_t per_ms;             /* STEP_FINE_TIME */
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
    if (field != NULL)
        step->offset = field->offset;
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

/* Zero means that an item really takes none: skip_list relies on it. */
static uint32_t least_item_bytes(struct compiler *compiler, const struct schema *list)
{
    uint32_t budget = 1000;
    const uint32_t least = least_bytes(list->item, &budget) + (list->kind == SCHEMA_MAP);

    if (least == 0 && budget == 0)
        give_up(compiler, "the items of a list nest too deeply");
    return least;
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

    emit(compiler, STEP_SKIP_LIST, NULL)->least = least_item_bytes(compiler, writer);
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
        emit(compiler, STEP_SKIP_INT, NULL);
        break;
    case SCHEMA_LONG:
        emit(compiler, STEP_SKIP_LONG, NULL);
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

static void emit_text(struct compiler *compiler, const struct layout_field *field)
{
    struct step *step = emit(compiler, STEP_TEXT, field);

    step->bytes_min = field->bytes_min;
    step->bytes_span = field->bytes_max - field->bytes_min;
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

    emit(compiler, STEP_LIST, field)->least = least_item_bytes(compiler, writer);
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
            emit_text(compiler, &item->name);
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
    const bool is_short = writer->kind == SCHEMA_INT;

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
        emit(compiler, is_short ? STEP_INT_DOUBLE : STEP_LONG_DOUBLE, field);
    else if (field->type == FIELD_TIME && writer->per_ms > 1)
        emit(compiler, STEP_FINE_TIME, field)->per_ms = writer->per_ms;
    else
        emit(compiler, is_short ? STEP_INT : STEP_LONG, field);
}

static void compile_plain(struct compiler *compiler, const struct schema *writer,
                          const struct layout_field *field)
{
    struct step *step;

    switch (field->type) {
    case FIELD_TEXT:
        if (writer->kind != SCHEMA_ENUM) {
            emit_text(compiler, field);
            break;
        }
        step = emit(compiler, STEP_SYMBOL, field);
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

    emit(compiler, STEP_OPTIONAL, field)->null = (uint8_t)(null << 1); /* zig-zag */
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

/* Every function that reads takes the next byte and returns the one behind what it
 * read, or NULL when it gave up: so the cursor stays in a register. */
struct machine {
    const struct step *steps;
    const char *start;
    const char *end;
    struct arena *arena;
    struct codec_reason *reason;
    struct trail trail;
    uint32_t calls;
};

/* The place that a step reads to blame; inside a list the trail stands there already. */
static void stand_at(struct machine *machine, const struct step *step)
{
    struct trail_step *place = &machine->trail.steps[machine->trail.level];

    if (place->index < 0)
        place->field = step->field != NULL ? step->field->field : NULL;
}

static const char *fail(struct machine *machine, const struct step *step, const char *at,
                        const char *expected)
{
    stand_at(machine, step);
    reason_set(machine->reason, CODEC_ERROR_SYNTAX, &machine->trail, (size_t)(at - machine->start),
               "%s", expected);
    return NULL;
}

typedef enum codec_error refuse_fn(const struct layout_field *field, const struct trail *trail,
                                   size_t offset, struct codec_reason *reason);

static const char *refuse(struct machine *machine, const struct step *step, const char *at,
                          refuse_fn *refuse_field)
{
    stand_at(machine, step);
    refuse_field(step->field, &machine->trail, (size_t)(at - machine->start), machine->reason);
    return NULL;
}

static const char *refuse_encoding(struct machine *machine, const struct step *step, const char *at)
{
    fail(machine, step, at, "expected valid UTF-8 without U+0000");
    machine->reason->error = CODEC_ERROR_ENCODING;
    return NULL;
}

/* At most ten bytes, at most 64 bits. */
static const char *take_varint_slowly(const char *at, const char *end, uint64_t *value)
{
    uint64_t sum = 0;

    for (uint32_t shift = 0; shift < 70 && at < end; shift += 7) {
        const uint8_t byte = (uint8_t)*at++;
        if (shift == 63 && byte > 1)
            return NULL;
        sum |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *value = sum;
            return at;
        }
    }
    return NULL;
}

/* Up to eight bytes at once: the first byte without its top bit is the last one, and the
 * groups of seven bits move together in three steps. */
static const char *take_varint(const char *at, const char *end, uint64_t *value)
{
    uint64_t bytes;

    if (end - at < 8)
        return take_varint_slowly(at, end, value);
    memcpy(&bytes, at, sizeof bytes);
    bytes = le64toh(bytes);
    const uint64_t stops = ~bytes & UINT64_C(0x8080808080808080);
    if (stops == 0)
        return take_varint_slowly(at, end, value);
    bytes &= (stops ^ (stops - 1)) & UINT64_C(0x7F7F7F7F7F7F7F7F);
    bytes = (bytes & UINT64_C(0x007F007F007F007F)) | ((bytes & UINT64_C(0x7F007F007F007F00)) >> 1);
    bytes = (bytes & UINT64_C(0x00003FFF00003FFF)) | ((bytes & UINT64_C(0x3FFF00003FFF0000)) >> 2);
    *value = (bytes & UINT64_C(0x000000000FFFFFFF)) | ((bytes & UINT64_C(0x0FFFFFFF00000000)) >> 4);
    return at + __builtin_ctzll(stops) / 8 + 1;
}

/* Most lengths, branches and small numbers are one byte: that much is worth its place in
 * every caller. */
__attribute__((always_inline)) static inline const char *take_long(const char *at, const char *end,
                                                                   int64_t *value)
{
    uint64_t raw;

    if (at < end && (uint8_t)*at < 0x80) {
        raw = (uint8_t)*at++;
    } else {
        at = take_varint(at, end, &raw);
        if (at == NULL)
            return NULL;
    }
    *value = (int64_t)(raw >> 1) ^ -(int64_t)(raw & 1);
    return at;
}

/* An int and a long are written alike: the bytes of an int can say more than an int holds. */
static inline bool is_int(int64_t value)
{
    return value >= INT32_MIN && value <= INT32_MAX;
}

static const char *fail_int(struct machine *machine, const struct step *step, const char *at)
{
    return fail(machine, step, at, "expected a whole number of 32 bits");
}

/* A length and its bytes. */
static inline const char *take_bytes(const char *at, const char *end, struct view *bytes)
{
    int64_t size;

    at = take_long(at, end, &size);
    if (at == NULL || (uint64_t)size > (uint64_t)(end - at))
        return NULL;
    *bytes = (struct view){at, (uint32_t)size};
    return at + size;
}

static inline const char *read_text(struct machine *machine, const struct step *step,
                                    const char *at, const char *end, struct view *to)
{
    struct view text;
    const char *const next = take_bytes(at, end, &text);

    if (next == NULL)
        return fail(machine, step, at, "expected a text inside the message");
    if (text.size - step->bytes_min > step->bytes_span)
        return refuse(machine, step, at, layout_refuse_bytes);
    if (!lanes_is_clean(text.data, text.size, (size_t)(text.data - machine->start)))
        return refuse_encoding(machine, step, at);
    *to = text;
    return next;
}

static const char *read_symbol(struct machine *machine, const struct step *step, const char *at,
                               struct view *to)
{
    int64_t number;
    const char *const next = take_long(at, machine->end, &number);

    if (next == NULL || (uint64_t)number >= step->count)
        return fail(machine, step, at, "expected the number of a symbol");
    *to = step->symbols[number];
    if (to->size < step->field->bytes_min || to->size > step->field->bytes_max)
        return refuse(machine, step, at, layout_refuse_bytes);
    return next;
}

static inline const char *read_int(struct machine *machine, const struct step *step, const char *at,
                                   const char *end, int64_t *to)
{
    int64_t value;
    const char *const next = take_long(at, end, &value);

    if (next == NULL)
        return fail(machine, step, at, "expected a whole number");
    if (step->code == STEP_INT && !is_int(value))
        return fail_int(machine, step, at);
    if (step->code == STEP_FINE_TIME)
        value = value / step->per_ms - (value % step->per_ms < 0);
    if (value < step->field->int_min || value > step->field->int_max)
        return refuse(machine, step, at, layout_refuse_number);
    *to = value;
    return next;
}

static const char *take_float(const char *at, const char *end, double *value)
{
    uint32_t bits;
    float narrow;

    if (end - at < (ptrdiff_t)sizeof bits)
        return NULL;
    memcpy(&bits, at, sizeof bits);
    bits = le32toh(bits);
    memcpy(&narrow, &bits, sizeof narrow);
    *value = narrow;
    return at + sizeof bits;
}

static inline const char *take_double(const char *at, const char *end, double *value)
{
    uint64_t bits;

    if (end - at < (ptrdiff_t)sizeof bits)
        return NULL;
    memcpy(&bits, at, sizeof bits);
    bits = le64toh(bits);
    memcpy(value, &bits, sizeof bits);
    return at + sizeof bits;
}

static inline const char *read_double(struct machine *machine, const struct step *step,
                                      const char *at, const char *end, double *to)
{
    const char *next;
    double value = 0;
    int64_t whole = 0;

    if (step->code == STEP_DOUBLE) {
        next = take_double(at, end, &value);
    } else if (step->code == STEP_FLOAT) {
        next = take_float(at, end, &value);
    } else {
        next = take_long(at, end, &whole);
        if (next != NULL && step->code == STEP_INT_DOUBLE && !is_int(whole))
            return fail_int(machine, step, at);
        value = (double)whole;
    }
    if (next == NULL)
        return fail(machine, step, at, "expected a number inside the message");
    if (!(value >= step->field->double_min && value <= step->field->double_max))
        return refuse(machine, step, at, layout_refuse_number);
    *to = value;
    return next;
}

static const char *read_bool(struct machine *machine, const struct step *step, const char *at,
                             bool *to)
{
    if (at == machine->end || (uint8_t)*at > 1)
        return fail(machine, step, at, "expected true or false");
    *to = *at != 0;
    return at + 1;
}

static const char *read_choice(struct machine *machine, const struct step *step, const char *at,
                               int64_t *to)
{
    const char *next;
    int64_t number;
    struct view text;

    if (step->code == STEP_TEXT_CHOICE) {
        next = take_bytes(at, machine->end, &text);
        if (next == NULL)
            return fail(machine, step, at, "expected a text inside the message");
        *to = layout_choice(step->field, text);
    } else {
        next = take_long(at, machine->end, &number);
        if (next == NULL || (uint64_t)number >= step->count)
            return fail(machine, step, at, "expected the number of a symbol");
        *to = step->choices[number];
    }
    return *to >= 0 ? next : refuse(machine, step, at, layout_refuse_choice);
}

static const char *run(struct machine *machine, uint32_t from, const char *at, char *record,
                       uint64_t *present);

/* A subroutine, one level deeper. */
static const char *call(struct machine *machine, const struct step *step, const char *at,
                        char *record, uint64_t *present)
{
    if (machine->calls == CALLS_MAX)
        return fail(machine, step, at, "expected at most 64 levels of nesting");
    machine->calls++;
    at = run(machine, step->target, at, record, present);
    machine->calls--;
    return at;
}

/* The number of items in the next block. Items that take bytes are no more than the bytes
 * that are left. A block may say its size, for those who skip it: it is not believed,
 * or a wrong one would shift all that follows. */
static const char *take_block(struct machine *machine, const struct step *step, const char *at,
                              uint64_t *count)
{
    const char *const end = machine->end;
    int64_t number, bytes;
    const char *next = take_long(at, end, &number);

    if (next == NULL)
        return fail(machine, step, at, "expected the number of items");
    if (number < 0) {
        next = number == INT64_MIN ? NULL : take_long(next, end, &bytes);
        if (next == NULL || bytes < 0 || bytes > end - next)
            return fail(machine, step, at, "expected the size of a block");
        number = -number;
    }
    *count = (uint64_t)number;
    if (step->least > 0 && *count > (uint64_t)(end - next) / step->least)
        return fail(machine, step, at, "expected a number of items that the message can hold");
    return next;
}

static const char *skip_list(struct machine *machine, const struct step *step, const char *at)
{
    for (;;) {
        uint64_t count, unused;
        at = take_block(machine, step, at, &count);
        if (at == NULL || count == 0)
            return at;
        /* Items that take no bytes need no skipping, however many they are. */
        for (; count > 0 && step->least > 0; count--) {
            at = call(machine, step, at, NULL, &unused);
            if (at == NULL)
                return NULL;
        }
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
    return list->data + (size_t)list->count * list->element_bytes;
}

/* The pair just read takes the place of an earlier one of its name; a null removes it. */
static void settle_pair(struct growing *list)
{
    struct pair *pairs = (void *)list->data;
    const struct pair pair = pairs[list->count];

    pairs[list->count] = (struct pair){{NULL, 0}, {NULL, 0}};
    for (uint32_t i = 0; i < list->count; i++) {
        if (!view_is_equal(pairs[i].name, pair.name))
            continue;
        if (view_is_absent(pair.value))
            memmove(&pairs[i], &pairs[i + 1], (list->count-- - i) * sizeof *pairs);
        else
            pairs[i] = pair;
        return;
    }
    if (!view_is_absent(pair.value))
        pairs[list->count++] = pair;
}

static bool check_record(struct machine *machine, const struct layout *layout, const char *at,
                         char *record, uint64_t present)
{
    const uint64_t missing = layout->present_mask & ~present;

    *layout_present(layout, record) = present;
    if (missing == 0)
        return true;
    layout_refuse_missing(layout, missing, &machine->trail, (size_t)(at - machine->start),
                          machine->reason);
    return false;
}

static const char *run_inner(struct machine *machine, const struct step *step, const char *at,
                             char *record)
{
    uint64_t present = 0;

    machine->trail.level++;
    machine->trail.steps[machine->trail.level].index = -1;
    at = call(machine, step, at, record, &present);
    if (at == NULL || !check_record(machine, step->field->layout, at, record, present))
        return NULL;
    machine->trail.level--;
    return at;
}

static const char *run_item(struct machine *machine, const struct step *step, const char *at,
                            struct growing *list)
{
    char *element = next_element(list, machine->arena);
    uint64_t given = 0;

    if (step->field->type == FIELD_RECORDS && step->count == 0) {
        at = run_inner(machine, step, at, element);
        list->count++;
        return at;
    }
    const char *const next = call(machine, step, at, element, &given);
    if (next == NULL)
        return NULL;
    if (step->field->type == FIELD_MAP) {
        settle_pair(list);
        return next;
    }
    if (given == 0)
        return refuse(machine, step, at, layout_refuse_type);
    list->count++;
    return next;
}

static uint32_t element_bytes(const struct layout_field *field)
{
    if (field->type == FIELD_RECORDS)
        return (uint32_t)field->layout->shape->bytes;
    return field->type == FIELD_MAP ? sizeof(struct pair) : sizeof(struct view);
}

static const char *run_list(struct machine *machine, const struct step *step, const char *at,
                            void *to)
{
    const struct layout_field *field = step->field;
    struct trail_step *place = &machine->trail.steps[machine->trail.level];
    struct growing list = {.element_bytes = element_bytes(field)};
    uint64_t index = 0;

    place->field = field->field;
    for (;;) {
        uint64_t count;
        const char *const next = take_block(machine, step, at, &count);
        if (next == NULL)
            return NULL;
        if (count > field->count_max - index)
            return refuse(machine, step, at, layout_refuse_count);
        at = next;
        if (count == 0)
            break;
        for (; count > 0; count--, index++) {
            place->index = field->type == FIELD_MAP ? -1 : (int64_t)index;
            at = run_item(machine, step, at, &list);
            if (at == NULL)
                return NULL;
        }
        place->index = -1;
    }
    if (list.count < field->count_min)
        return refuse(machine, step, at, layout_refuse_count);
    if (field->type == FIELD_RECORDS)
        *(struct record_list *)to = (struct record_list){list.data, list.count};
    else if (field->type == FIELD_MAP)
        *(struct pair_list *)to = (struct pair_list){(const void *)list.data, list.count};
    else
        *(struct view_list *)to = (struct view_list){(const void *)list.data, list.count};
    return at;
}

/* The branch of a union: nearly always one byte, zig-zag. */
static inline const char *take_branch(struct machine *machine, const struct step *step,
                                      const char *at, const char *end, uint32_t count,
                                      int64_t *branch)
{
    const char *const next = take_long(at, end, branch);

    if (next == NULL || (uint64_t)*branch >= count)
        return fail(machine, step, at, "expected the number of a branch");
    return next;
}

/* Steps that read nothing into a field. */
static const char *run_skip(struct machine *machine, const struct step *step, const char *at)
{
    const char *const end = machine->end;
    const char *next = NULL;
    struct view bytes;
    int64_t number;
    uint64_t unused;
    bool truth;

    switch ((enum step_code)step->code) {
    case STEP_SKIP_INT:
    case STEP_SKIP_LONG:
        next = take_long(at, end, &number);
        if (next == NULL)
            return fail(machine, step, at, "expected a whole number");
        return step->code == STEP_SKIP_LONG || is_int(number) ? next : fail_int(machine, step, at);
    case STEP_SKIP_BYTES:
        next = take_bytes(at, end, &bytes);
        return next != NULL ? next : fail(machine, step, at, "expected a text inside the message");
    case STEP_SKIP_FIXED:
        if ((size_t)(end - at) < step->count)
            return fail(machine, step, at, "expected more bytes");
        return at + step->count;
    case STEP_SKIP_BOOL:
        return read_bool(machine, step, at, &truth);
    case STEP_SKIP_ENUM:
        next = take_long(at, end, &number);
        if (next == NULL || (uint64_t)number >= step->count)
            return fail(machine, step, at, "expected the number of a symbol");
        return next;
    case STEP_SKIP_LIST:
        return skip_list(machine, step, at);
    case STEP_CALL:
        return call(machine, step, at, NULL, &unused);
    default:
        break;
    }
    return refuse(machine, step, at, layout_refuse_type); /* STEP_MISFIT */
}

/* What is left out mostly is so together with its neighbours: passes them, and the branch of the
 * first that is there. *at_step becomes the step before the next one. */
__attribute__((always_inline)) static inline const char *
run_optional(struct machine *machine, const struct step **at_step, const char *at, const char *end)
{
    const struct step *step = *at_step;
    int64_t branch;

    while (step->code == STEP_OPTIONAL && at < end && (uint8_t)*at == step->null) {
        step = &machine->steps[step->target];
        at++;
    }
    *at_step = step - 1;
    if (step->code != STEP_OPTIONAL)
        return at;
    at = take_branch(machine, step, at, end, 2, &branch);
    if (at != NULL)
        *at_step = branch == step->null >> 1 ? &machine->steps[step->target - 1] : step;
    return at;
}

/* How it lies across cache lines is a tenth of its time: not for the linker to decide. */
__attribute__((aligned(64))) static const char *run(struct machine *machine, uint32_t from,
                                                    const char *at, char *record, uint64_t *present)
{
    const struct step *const steps = machine->steps, *step = &steps[from];
    const char *const end = machine->end;
    uint64_t given = 0;
    int64_t branch;

    for (;; step++) {
        switch ((enum step_code)step->code) {
        case STEP_END:
            *present = given;
            return at;
        case STEP_OPTIONAL:
            at = run_optional(machine, &step, at, end);
            goto next;
        case STEP_UNION:
            at = take_branch(machine, step, at, end, step->count, &branch);
            if (at != NULL)
                step = &steps[step->targets[branch] - 1];
            goto next;
        case STEP_JUMP:
            step = &steps[step->target - 1];
            continue;
        case STEP_TEXT:
            at = read_text(machine, step, at, end, (void *)(record + step->offset));
            break;
        case STEP_SYMBOL:
            at = read_symbol(machine, step, at, (void *)(record + step->offset));
            break;
        case STEP_INT:
        case STEP_LONG:
        case STEP_FINE_TIME:
            at = read_int(machine, step, at, end, (void *)(record + step->offset));
            break;
        case STEP_INT_DOUBLE:
        case STEP_LONG_DOUBLE:
        case STEP_FLOAT:
        case STEP_DOUBLE:
            at = read_double(machine, step, at, end, (void *)(record + step->offset));
            break;
        case STEP_BOOL:
            at = read_bool(machine, step, at, (void *)(record + step->offset));
            break;
        case STEP_CHOICE:
        case STEP_TEXT_CHOICE:
            at = read_choice(machine, step, at, (void *)(record + step->offset));
            break;
        case STEP_LIST:
            at = run_list(machine, step, at, record + step->offset);
            break;
        case STEP_RECORD:
            machine->trail.steps[machine->trail.level].field = step->field->field;
            at = run_inner(machine, step, at, record + step->offset);
            break;
        case STEP_MISFIT:
        case STEP_SKIP_INT:
        case STEP_SKIP_LONG:
        case STEP_SKIP_BYTES:
        case STEP_SKIP_FIXED:
        case STEP_SKIP_BOOL:
        case STEP_SKIP_ENUM:
        case STEP_SKIP_LIST:
        case STEP_CALL:
            at = run_skip(machine, step, at);
            goto next;
        }
        given |= UINT64_C(1) << step->bit;
    next:
        if (at == NULL)
            return NULL;
    }
}

enum codec_error program_run(const struct program *program, const char *start, const char **at,
                             const char *end, struct arena *arena, void *record,
                             struct codec_reason *reason)
{
    struct machine machine;
    uint64_t present = 0;

    machine.steps = program->steps;
    machine.start = start;
    machine.end = end;
    machine.arena = arena;
    machine.reason = reason;
    machine.calls = 0;
    machine.trail.level = 0;
    machine.trail.steps[0] = (struct trail_step){NULL, -1};
    memset(record, 0, program->layout->shape->bytes);
    const char *const next = run(&machine, 0, *at, record, &present);
    if (next == NULL || !check_record(&machine, program->layout, next, record, present))
        return reason->error;
    *at = next;
    return CODEC_OK;
}
