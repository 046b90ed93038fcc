/*
 * A value ends in one of four ways (enum ending). A bad value is well-formed but
 * breaks a rule of its field; it does not end the reading, for the same name may come
 * again, and the last one counts. Reading on therefore skips it and notes where it
 * began. Only when an object has been read and a bad value still stands is it read
 * once more, this time to say what is wrong with it (is_describing): the first
 * pass never builds a text.
 *
 * Broken syntax or encoding ends everything at once.
 *
 * Names mostly come in one order, so the name after the last one is tried first.
 */
#include "codec/json_decode.h"

#include <assert.h>
#include <string.h>

#include "codec/lanes.h"
#include "codec/number.h"

enum ending { VALUE_GOOD, VALUE_NULL, VALUE_BAD, VALUE_BROKEN };

struct scan {
    const char *at;
    const char *start;
    const char *end;
    struct arena *arena;
    struct codec_reason *reason;
    struct trail trail;
    uint32_t depth; /* containers open */
    bool is_describing;
};

static size_t offset_of(const struct scan *scan, const char *at)
{
    return (size_t)(at - scan->start);
}

/* `expected` is a whole phrase: "expected a comma or the end of the object". */
static enum ending broken(struct scan *scan, const char *expected)
{
    reason_set(scan->reason, CODEC_ERROR_SYNTAX, &scan->trail, offset_of(scan, scan->at), "%s%s",
               expected, scan->at == scan->end ? ", but the message ends" : "");
    return VALUE_BROKEN;
}

static enum ending broken_text(struct scan *scan, const char *at, const char *what)
{
    reason_set(scan->reason, CODEC_ERROR_ENCODING, &scan->trail, offset_of(scan, at), "%s", what);
    return VALUE_BROKEN;
}

static inline void skip_space(struct scan *scan)
{
    while (scan->at < scan->end && (unsigned char)*scan->at <= ' ' &&
           (*scan->at == ' ' || *scan->at == '\n' || *scan->at == '\r' || *scan->at == '\t'))
        scan->at++;
}

/* The byte under the cursor after white space; 0 at the end. */
static inline char peek(struct scan *scan)
{
    skip_space(scan);
    return scan->at < scan->end ? *scan->at : '\0';
}

/* Four hexadecimal digits, or -1. */
static int32_t take_hex(const char *at, const char *end)
{
    int32_t value = 0;

    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        const char letter = at[i];
        if (letter >= '0' && letter <= '9')
            value = value * 16 + (letter - '0');
        else if ((letter | 0x20) >= 'a' && (letter | 0x20) <= 'f')
            value = value * 16 + ((letter | 0x20) - 'a' + 10);
        else
            return -1;
    }
    return value;
}

static char *put_rune(char *to, uint32_t rune)
{
    if (rune < 0x80) {
        *to++ = (char)rune;
    } else if (rune < 0x800) {
        *to++ = (char)(0xC0 | rune >> 6);
        *to++ = (char)(0x80 | (rune & 0x3F));
    } else if (rune < 0x10000) {
        *to++ = (char)(0xE0 | rune >> 12);
        *to++ = (char)(0x80 | (rune >> 6 & 0x3F));
        *to++ = (char)(0x80 | (rune & 0x3F));
    } else {
        *to++ = (char)(0xF0 | rune >> 18);
        *to++ = (char)(0x80 | (rune >> 12 & 0x3F));
        *to++ = (char)(0x80 | (rune >> 6 & 0x3F));
        *to++ = (char)(0x80 | (rune & 0x3F));
    }
    return to;
}

/* Puts the character that \uXXXX at *from stands for, with its second half if it is a
 * surrogate. */
static bool put_escaped_rune(struct scan *scan, const char **from, const char *end, char **to)
{
    const char *at = *from;
    int32_t rune = take_hex(at + 2, end);

    if (rune < 0) {
        scan->at = at;
        broken(scan, "expected four hexadecimal digits after \\u");
        return false;
    }
    *from += 6;
    if (rune >= 0xD800 && rune < 0xDC00) {
        const bool has_second = end - *from >= 6 && (*from)[0] == '\\' && (*from)[1] == 'u';
        const int32_t low = has_second ? take_hex(*from + 2, end) : -1;
        if (low < 0xDC00 || low > 0xDFFF) {
            broken_text(scan, at, "expected both halves of a surrogate pair");
            return false;
        }
        rune = 0x10000 + ((rune - 0xD800) << 10) + (low - 0xDC00);
        *from += 6;
    } else if (rune >= 0xDC00 && rune <= 0xDFFF) {
        broken_text(scan, at, "expected both halves of a surrogate pair");
        return false;
    }
    if (rune == 0) {
        broken_text(scan, at, "expected a text without U+0000");
        return false;
    }
    *to = put_rune(*to, (uint32_t)rune);
    return true;
}

/* Resolves the escapes between `from` and `end`; an escape never grows. */
static bool unescape(struct scan *scan, const char *from, const char *end, struct view *text)
{
    char *const copy = arena_text(scan->arena, (size_t)(end - from) + 1);
    char *to = copy;

    while (from < end) {
        const char *backslash = memchr(from, '\\', (size_t)(end - from));
        const size_t plain = (size_t)((backslash != NULL ? backslash : end) - from);
        memcpy(to, from, plain);
        to += plain;
        from += plain;
        if (from == end)
            break;
        static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
        const char *letter = memchr(letters, from[1], sizeof letters - 1);
        if (letter != NULL) {
            *to++ = meant[letter - letters];
            from += 2;
        } else if (from[1] != 'u') {
            scan->at = from;
            broken(scan, "expected an escape sequence of JSON");
            return false;
        } else if (!put_escaped_rune(scan, &from, end, &to)) {
            return false;
        }
    }
    *text = (struct view){copy, (uint32_t)(to - copy)};
    return true;
}

/* A text of which no end is found, or with a control character inside. */
static enum ending broken_end(struct scan *scan, const char *at)
{
    scan->at = at;
    return broken(scan, at == scan->end ? "expected the end of a text"
                                        : "expected a text without bare control characters");
}

/* At the opening quote. `text` does not hold the quotes. */
static enum ending scan_text(struct scan *scan, struct view *text)
{
    const char *const from = scan->at + 1;
    bool has_high = false, has_escapes = false;
    const char *at = lanes_find_special(from, scan->end, &has_high);

    while (at < scan->end && *at == '\\') {
        has_escapes = true;
        if (scan->end - at < 2)
            return broken_end(scan, scan->end);
        at = lanes_find_special(at + 2, scan->end, &has_high);
    }
    if (at == scan->end || *at != '"')
        return broken_end(scan, at);
    /* The byte after a backslash was jumped over; it may be a high or a control one. Both
     * are found in unescape, which knows no such escape. */
    if (has_high && !view_is_utf8((struct view){from, (uint32_t)(at - from)}))
        return broken_text(scan, from, "expected valid UTF-8");
    *text = (struct view){from, (uint32_t)(at - from)};
    if (has_escapes && !unescape(scan, from, at, text))
        return VALUE_BROKEN;
    scan->at = at + 1;
    return VALUE_GOOD;
}

static enum ending scan_word(struct scan *scan, const char *word, size_t size, enum ending ending)
{
    if ((size_t)(scan->end - scan->at) < size || memcmp(scan->at, word, size) != 0)
        return broken(scan, "expected a JSON value");
    scan->at += size;
    return ending;
}

static enum ending scan_number(struct scan *scan, struct number *number)
{
    const char *after = number_scan(scan->at, scan->end, number);

    if (after == NULL)
        return broken(scan, "expected a JSON value");
    scan->at = after;
    return VALUE_GOOD;
}

static enum ending skip_scalar(struct scan *scan, char first)
{
    struct number number;
    struct view text;

    switch (first) {
    case '"':
        return scan_text(scan, &text);
    case 't':
        return scan_word(scan, "true", 4, VALUE_GOOD);
    case 'f':
        return scan_word(scan, "false", 5, VALUE_GOOD);
    case 'n':
        return scan_word(scan, "null", 4, VALUE_GOOD);
    default:
        return scan_number(scan, &number);
    }
}

static enum ending skip_name(struct scan *scan)
{
    struct view name;

    if (peek(scan) != '"')
        return broken(scan, "expected a name in quotes");
    if (scan_text(scan, &name) != VALUE_GOOD)
        return VALUE_BROKEN;
    if (peek(scan) != ':')
        return broken(scan, "expected a colon");
    scan->at++;
    return VALUE_GOOD;
}

/* Any value, checked but not kept. `objects` has a bit for each container that is open, 1
 * for an object: no recursion, whatever the message nests. */
static enum ending skip_value(struct scan *scan)
{
    uint64_t objects = 0;
    const uint32_t outside = scan->depth;
    bool is_first = false;

    for (;;) {
        char first = peek(scan);
        if (is_first && first == ((objects & 1) != 0 ? '}' : ']')) {
            /* an empty container: nothing to skip in it */
        } else {
            if (is_first && (objects & 1) != 0) {
                if (skip_name(scan) != VALUE_GOOD)
                    return VALUE_BROKEN;
                first = peek(scan);
            }
            if (first == '{' || first == '[') {
                if (scan->depth == JSON_DEPTH_MAX)
                    return broken(scan, "expected at most 64 levels of nesting");
                scan->at++;
                scan->depth++;
                objects = objects << 1 | (first == '{');
                is_first = true;
                continue;
            }
            if (skip_scalar(scan, first) != VALUE_GOOD)
                return VALUE_BROKEN;
        }
        /* A value has ended; so do the containers that it was the last of. */
        for (;;) {
            if (scan->depth == outside)
                return VALUE_GOOD;
            const char next = peek(scan);
            if (next == ',')
                break;
            if (next != ((objects & 1) != 0 ? '}' : ']'))
                return broken(scan, "expected a comma or the end of the container");
            scan->at++;
            scan->depth--;
            objects >>= 1;
        }
        scan->at++;
        is_first = false;
        if ((objects & 1) != 0 && skip_name(scan) != VALUE_GOOD)
            return VALUE_BROKEN;
    }
}

/* A value of a kind that the field does not take. */
static enum ending wrong_type(struct scan *scan, const struct layout_field *field)
{
    const char *at = scan->at;
    const enum ending ending = skip_value(scan);

    if (ending != VALUE_GOOD)
        return ending;
    if (scan->is_describing)
        layout_refuse_type(field, &scan->trail, offset_of(scan, at), scan->reason);
    return VALUE_BAD;
}

typedef enum codec_error refuse_fn(const struct layout_field *field, const struct trail *trail,
                                   size_t offset, struct codec_reason *reason);

static enum ending bad(struct scan *scan, const struct layout_field *field, const char *at,
                       refuse_fn *refuse)
{
    if (scan->is_describing)
        refuse(field, &scan->trail, offset_of(scan, at), scan->reason);
    return VALUE_BAD;
}

static enum ending read_text(struct scan *scan, const struct layout_field *field, char first,
                             struct view *text)
{
    const char *at = scan->at;

    if (first != '"')
        return wrong_type(scan, field);
    if (scan_text(scan, text) != VALUE_GOOD)
        return VALUE_BROKEN;
    if (text->size - field->bytes_min > field->bytes_max - field->bytes_min)
        return bad(scan, field, at, layout_refuse_bytes);
    return VALUE_GOOD;
}

static enum ending read_number(struct scan *scan, const struct layout_field *field, char first,
                               void *to)
{
    const char *at = scan->at;
    struct number number;
    enum number_fit fit;
    int64_t whole = 0;
    double value = 0;

    if (first != '-' && (first < '0' || first > '9'))
        return wrong_type(scan, field);
    if (scan_number(scan, &number) != VALUE_GOOD)
        return VALUE_BROKEN;
    if (field->type == FIELD_DOUBLE) {
        fit = number_double(&number, &value);
        if (fit != NUMBER_FITS || !(value >= field->double_min && value <= field->double_max))
            return bad(scan, field, at, layout_refuse_number);
        *(double *)to = value;
        return VALUE_GOOD;
    }
    fit = number_int(&number, &whole);
    if (fit == NUMBER_NOT_WHOLE)
        return bad(scan, field, at, layout_refuse_type);
    if (fit == NUMBER_TOO_LARGE || whole < field->int_min || whole > field->int_max)
        return bad(scan, field, at, layout_refuse_number);
    *(int64_t *)to = whole;
    return VALUE_GOOD;
}

static enum ending read_bool(struct scan *scan, const struct layout_field *field, char first,
                             bool *to)
{
    if (first != 't' && first != 'f')
        return wrong_type(scan, field);
    *to = first == 't';
    return first == 't' ? scan_word(scan, "true", 4, VALUE_GOOD)
                        : scan_word(scan, "false", 5, VALUE_GOOD);
}

static enum ending read_choice(struct scan *scan, const struct layout_field *field, char first,
                               int64_t *to)
{
    const char *at = scan->at;
    struct view name;

    if (first != '"')
        return wrong_type(scan, field);
    if (scan_text(scan, &name) != VALUE_GOOD)
        return VALUE_BROKEN;
    *to = layout_choice(field, name);
    return *to >= 0 ? VALUE_GOOD : bad(scan, field, at, layout_refuse_choice);
}

/* What a list is read into: it doubles in the arena as it grows. */
struct growing {
    char *data;
    uint32_t count, capacity;
    uint32_t element_bytes;
};

static void *next_element(struct growing *list, struct arena *arena)
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

static enum ending open_container(struct scan *scan)
{
    if (scan->depth == JSON_DEPTH_MAX)
        return broken(scan, "expected at most 64 levels of nesting");
    scan->depth++;
    scan->at++;
    return VALUE_GOOD;
}

static enum ending read_object(struct scan *scan, const struct layout *layout, char *record);

/* An object of a list or a field: one level deeper on the trail. */
static enum ending read_inner(struct scan *scan, const struct layout_field *field, char *record)
{
    enum ending ending;

    if (peek(scan) != '{')
        return wrong_type(scan, field);
    assert(scan->trail.level + 1 < TRAIL_STEPS_MAX);
    scan->trail.level++;
    ending = read_object(scan, field->layout, record);
    scan->trail.level--;
    return ending;
}

/* The elements of a list, up to and with its end. With `list` NULL they are skipped: the
 * list is bad already. */
static enum ending read_elements(struct scan *scan, const struct layout_field *field,
                                 struct growing *list)
{
    struct trail_step *step = &scan->trail.steps[scan->trail.level];
    const char *const from = scan->at;
    bool is_good = true;

    for (uint32_t index = 0;; index++) {
        const char first = peek(scan);
        enum ending ending = VALUE_GOOD;
        if (index == 0 && first == ']')
            break;
        step->index = index;
        if (is_good && index == field->count_max) {
            step->index = -1;
            bad(scan, field, from, layout_refuse_count);
            is_good = false;
        }
        if (!is_good) {
            ending = skip_value(scan);
        } else if (field->type == FIELD_TEXTS) {
            ending = read_text(scan, field, first, next_element(list, scan->arena));
        } else {
            ending = read_inner(scan, field, next_element(list, scan->arena));
        }
        if (ending == VALUE_BROKEN)
            return VALUE_BROKEN;
        /* In a description nothing after the first bad element matters. */
        if (ending == VALUE_BAD && scan->is_describing)
            return VALUE_BAD;
        is_good &= ending == VALUE_GOOD;
        list->count += is_good;
        step->index = -1;
        const char next = peek(scan);
        if (next == ']')
            break;
        if (next != ',')
            return broken(scan, "expected a comma or the end of the list");
        scan->at++;
    }
    scan->at++;
    return is_good ? VALUE_GOOD : VALUE_BAD;
}

static enum ending read_list(struct scan *scan, const struct layout_field *field, char first,
                             void *to)
{
    const char *at = scan->at;
    const bool is_texts = field->type == FIELD_TEXTS;
    struct growing list = {
        .element_bytes = is_texts ? sizeof(struct view) : (uint32_t)field->layout->shape->bytes,
    };

    if (first != '[')
        return wrong_type(scan, field);
    if (open_container(scan) != VALUE_GOOD)
        return VALUE_BROKEN;
    const enum ending ending = read_elements(scan, field, &list);
    scan->depth--;
    if (ending != VALUE_GOOD)
        return ending;
    if (list.count < field->count_min)
        return bad(scan, field, at, layout_refuse_count);
    if (is_texts)
        *(struct view_list *)to = (struct view_list){(const void *)list.data, list.count};
    else
        *(struct record_list *)to = (struct record_list){list.data, list.count};
    return VALUE_GOOD;
}

/* A value of a map: text as it is, null as absent, the rest as its JSON text. */
static enum ending read_map_value(struct scan *scan, struct view *value)
{
    const char first = peek(scan);
    const char *at = scan->at;

    if (first == '"')
        return scan_text(scan, value);
    if (first == 'n') {
        *value = (struct view){NULL, 0};
        return scan_word(scan, "null", 4, VALUE_GOOD);
    }
    if (skip_value(scan) != VALUE_GOOD)
        return VALUE_BROKEN;
    *value = (struct view){at, (uint32_t)(scan->at - at)};
    return VALUE_GOOD;
}

/* Replaces the pair of that name, which a null removes. Maps are small (count_max). */
static bool put_pair(struct scan *scan, const struct layout_field *field, struct growing *list,
                     const struct pair *pair)
{
    struct pair *pairs = (void *)list->data;

    for (uint32_t i = 0; i < list->count; i++) {
        if (!view_is_equal(pairs[i].name, pair->name))
            continue;
        if (!view_is_absent(pair->value)) {
            pairs[i] = *pair;
        } else {
            memmove(&pairs[i], &pairs[i + 1], (list->count - i - 1) * sizeof *pairs);
            list->count--;
        }
        return true;
    }
    if (view_is_absent(pair->value))
        return true;
    if (list->count == field->count_max)
        return false;
    *(struct pair *)next_element(list, scan->arena) = *pair;
    list->count++;
    return true;
}

/* The pairs of a map, up to and with its end. */
static enum ending read_pairs(struct scan *scan, const struct layout_field *field,
                              struct growing *list)
{
    refuse_fn *refuse = NULL;
    const char *const from = scan->at;
    const char *bad_at = NULL;

    for (bool is_first = true;; is_first = false) {
        struct pair pair;
        const char first = peek(scan);
        const char *at = scan->at;
        if (is_first && first == '}')
            break;
        if (first != '"')
            return broken(scan, "expected a name in quotes");
        if (scan_text(scan, &pair.name) != VALUE_GOOD)
            return VALUE_BROKEN;
        if (peek(scan) != ':')
            return broken(scan, "expected a colon");
        scan->at++;
        if (read_map_value(scan, &pair.value) != VALUE_GOOD)
            return VALUE_BROKEN;
        if (refuse == NULL &&
            (pair.name.size > field->bytes_max || pair.value.size > field->bytes_max)) {
            refuse = layout_refuse_bytes;
            bad_at = at;
        } else if (refuse == NULL && !put_pair(scan, field, list, &pair)) {
            refuse = layout_refuse_count;
            bad_at = from;
        }
        const char next = peek(scan);
        if (next == '}')
            break;
        if (next != ',')
            return broken(scan, "expected a comma or the end of the object");
        scan->at++;
    }
    scan->at++;
    return refuse == NULL ? VALUE_GOOD : bad(scan, field, bad_at, refuse);
}

static enum ending read_map(struct scan *scan, const struct layout_field *field, char first,
                            struct pair_list *to)
{
    const char *at = scan->at;
    struct growing list = {.element_bytes = sizeof(struct pair)};

    if (first != '{')
        return wrong_type(scan, field);
    if (open_container(scan) != VALUE_GOOD)
        return VALUE_BROKEN;
    const enum ending ending = read_pairs(scan, field, &list);
    scan->depth--;
    if (ending != VALUE_GOOD)
        return ending;
    if (list.count < field->count_min)
        return bad(scan, field, at, layout_refuse_count);
    *to = (struct pair_list){(const void *)list.data, list.count};
    return VALUE_GOOD;
}

/* The value of a field, into its place in the record. */
static enum ending read_value(struct scan *scan, const struct layout_field *field, char *record)
{
    void *to = record + field->offset;
    const char first = peek(scan);

    if (first == 'n')
        return scan_word(scan, "null", 4, VALUE_NULL);
    switch (field->type) {
    case FIELD_TEXT:
        return read_text(scan, field, first, to);
    case FIELD_INT:
    case FIELD_TIME:
    case FIELD_DOUBLE:
        return read_number(scan, field, first, to);
    case FIELD_BOOL:
        return read_bool(scan, field, first, to);
    case FIELD_CHOICE:
        return read_choice(scan, field, first, to);
    case FIELD_TEXTS:
    case FIELD_RECORDS:
        return read_list(scan, field, first, to);
    case FIELD_MAP:
        return read_map(scan, field, first, to);
    case FIELD_RECORD:
        return read_inner(scan, field, to);
    }
    return VALUE_BROKEN;
}

static size_t value_bytes(const struct layout_field *field)
{
    switch (field->type) {
    case FIELD_TEXT:
        return sizeof(struct view);
    case FIELD_INT:
    case FIELD_TIME:
    case FIELD_CHOICE:
        return sizeof(int64_t);
    case FIELD_DOUBLE:
        return sizeof(double);
    case FIELD_BOOL:
        return sizeof(bool);
    case FIELD_TEXTS:
        return sizeof(struct view_list);
    case FIELD_MAP:
        return sizeof(struct pair_list);
    case FIELD_RECORD:
        return field->layout->shape->bytes;
    case FIELD_RECORDS:
        return sizeof(struct record_list);
    }
    return 0;
}

/* Any name, in any writing. */
static bool read_other_name(struct scan *scan, const struct layout *layout,
                            const struct layout_field **field)
{
    struct view name;

    if (peek(scan) != '"') {
        broken(scan, "expected a name in quotes");
        return false;
    }
    if (scan_text(scan, &name) != VALUE_GOOD)
        return false;
    const uint32_t index = layout_find(layout, name);
    *field = index < layout->field_count ? &layout->fields[index] : NULL;
    if (peek(scan) != ':') {
        broken(scan, "expected a colon");
        return false;
    }
    scan->at++;
    return true;
}

/* The field that the name under the cursor means, NULL for an unknown one; past the colon.
 * `hint` is the field expected here. False: broken. */
static inline bool read_name(struct scan *scan, const struct layout *layout, uint32_t hint,
                             const struct layout_field **field)
{
    skip_space(scan);
    if (hint < layout->field_count && scan->end - scan->at >= 17 && *scan->at == '"') {
        const uint32_t size = layout_match_name(&layout->fields[hint], scan->at + 1, scan->end);
        if (size > 0) {
            scan->at += size + 1;
            *field = &layout->fields[hint];
            return true;
        }
    }
    return read_other_name(scan, layout, field);
}

/* Which fields of an object were given, and which of them are bad, and where. */
struct tally {
    uint64_t seen, present, bad;
    const char *bad_at[64];
};

static enum ending read_fields(struct scan *scan, const struct layout *layout, char *record,
                               struct tally *tally)
{
    uint32_t hint = 0;

    for (;;) {
        const struct layout_field *field;
        trail_at(&scan->trail, NULL);
        if (!read_name(scan, layout, hint, &field))
            return VALUE_BROKEN;
        if (field == NULL) {
            if (skip_value(scan) != VALUE_GOOD)
                return VALUE_BROKEN;
        } else {
            const uint32_t index = (uint32_t)(field - layout->fields);
            const uint64_t bit = UINT64_C(1) << index;
            hint = index + 1;
            trail_at(&scan->trail, field->field);
            /* The last one counts: what an earlier one left is wiped. */
            if ((tally->seen & bit) != 0)
                memset(record + field->offset, 0, value_bytes(field));
            const char *at = scan->at;
            const enum ending ending = read_value(scan, field, record);
            if (ending == VALUE_BROKEN)
                return VALUE_BROKEN;
            tally->seen |= bit;
            tally->present &= ~bit;
            tally->bad &= ~bit;
            if (ending == VALUE_GOOD) {
                tally->present |= bit;
            } else if (ending == VALUE_BAD) {
                tally->bad |= bit;
                tally->bad_at[index] = at;
            }
        }
        const char next = peek(scan);
        if (next == '}')
            break;
        if (next != ',') {
            trail_at(&scan->trail, NULL);
            return broken(scan, "expected a comma or the end of the object");
        }
        scan->at++;
    }
    return VALUE_GOOD;
}

/* Reads the first value that is bad once more, to say what is wrong with it. */
static void describe(struct scan *scan, const struct layout *layout, char *record,
                     const struct tally *tally)
{
    const char *const after = scan->at;
    uint32_t first = (uint32_t)__builtin_ctzll(tally->bad);

    for (uint32_t i = first + 1; i < layout->field_count; i++)
        if ((tally->bad >> i & 1) != 0 && tally->bad_at[i] < tally->bad_at[first])
            first = i;
    scan->is_describing = true;
    scan->at = tally->bad_at[first];
    trail_at(&scan->trail, layout->fields[first].field);
    (void)read_value(scan, &layout->fields[first], record);
    scan->at = after;
}

/* At the opening brace. `record` is all zeros. */
static enum ending read_object(struct scan *scan, const struct layout *layout, char *record)
{
    const bool is_describing = scan->is_describing;
    struct tally tally;

    tally.seen = tally.present = tally.bad = 0;
    if (open_container(scan) != VALUE_GOOD)
        return VALUE_BROKEN;
    trail_at(&scan->trail, NULL);
    scan->is_describing = false;
    if (peek(scan) != '}' && read_fields(scan, layout, record, &tally) != VALUE_GOOD)
        return VALUE_BROKEN;
    const char *const brace = scan->at++;
    scan->depth--;
    scan->is_describing = is_describing;

    const uint64_t missing =
        (layout->seen_mask & ~tally.seen) | (layout->present_mask & ~tally.present & ~tally.bad);
    if (is_describing && tally.bad != 0) {
        describe(scan, layout, record, &tally);
    } else if (is_describing && missing != 0) {
        layout_refuse_missing(layout, missing, &scan->trail, offset_of(scan, brace), scan->reason);
    }
    *layout_present(layout, record) = tally.present;
    return (tally.bad | missing) == 0 ? VALUE_GOOD : VALUE_BAD;
}

enum codec_error json_decode(const struct layout *layout, struct view message, struct arena *arena,
                             void *record, struct codec_reason *reason)
{
    struct scan scan = {
        .at = message.data,
        .start = message.data,
        .end = message.data + message.size,
        .arena = arena,
        .reason = reason,
        .is_describing = true,
    };

    memset(record, 0, layout->shape->bytes);
    if (peek(&scan) != '{') {
        broken(&scan, "expected a JSON object");
        return reason->error;
    }
    const enum ending ending = read_object(&scan, layout, record);
    if (ending == VALUE_BROKEN)
        return reason->error;
    skip_space(&scan);
    if (scan.at < scan.end) {
        trail_at(&scan.trail, NULL);
        broken(&scan, "expected nothing after the object");
        return reason->error;
    }
    return ending == VALUE_GOOD ? CODEC_OK : reason->error;
}
