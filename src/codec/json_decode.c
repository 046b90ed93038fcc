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

/* Every function that reads takes the cursor and returns it, so that it stays in a
 * register: as a pointer, NULL when the message is broken, or with how a value ended. */
struct reading {
    const char *at;
    enum ending ending;
};

struct scan {
    const char *start;
    const char *end;
    struct arena *arena;
    struct codec_reason *reason;
    struct trail trail;
    uint32_t depth; /* containers open */
    bool is_describing;
};

static inline struct reading ended(const char *at, enum ending ending)
{
    return (struct reading){at, at != NULL ? ending : VALUE_BROKEN};
}

/* `expected` is a whole phrase: "expected a comma or the end of the object". */
static const char *broken(struct scan *scan, const char *at, const char *expected)
{
    reason_set(scan->reason, CODEC_ERROR_SYNTAX, &scan->trail, (size_t)(at - scan->start), "%s%s",
               expected, at == scan->end ? ", but the message ends" : "");
    return NULL;
}

/* Between fields: none is to blame. */
static const char *broken_outside(struct scan *scan, const char *at, const char *expected)
{
    trail_at(&scan->trail, NULL);
    return broken(scan, at, expected);
}

static const char *broken_text(struct scan *scan, const char *at, const char *what)
{
    reason_set(scan->reason, CODEC_ERROR_ENCODING, &scan->trail, (size_t)(at - scan->start), "%s",
               what);
    return NULL;
}

static inline const char *skip_space(const char *at, const char *end)
{
    while (at < end && (unsigned char)*at <= ' ' &&
           (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
        at++;
    return at;
}

/* The byte under the cursor, 0 at the end. */
static inline char first_of(const char *at, const char *end)
{
    return at < end ? *at : '\0';
}

/* ---- texts --------------------------------------------------------------------- */

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

/* Puts the character that \uXXXX at `at` stands for, with its second half if it is a
 * surrogate. */
static const char *put_escaped_rune(struct scan *scan, const char *at, const char *end, char **to)
{
    const char *next = at + 6;
    int32_t rune = take_hex(at + 2, end);

    if (rune < 0)
        return broken(scan, at, "expected four hexadecimal digits after \\u");
    if (rune >= 0xD800 && rune < 0xDC00) {
        const bool has_second = end - next >= 6 && next[0] == '\\' && next[1] == 'u';
        const int32_t low = has_second ? take_hex(next + 2, end) : -1;
        if (low < 0xDC00 || low > 0xDFFF)
            return broken_text(scan, at, "expected both halves of a surrogate pair");
        rune = 0x10000 + ((rune - 0xD800) << 10) + (low - 0xDC00);
        next += 6;
    } else if (rune >= 0xDC00 && rune <= 0xDFFF) {
        return broken_text(scan, at, "expected both halves of a surrogate pair");
    }
    if (rune == 0)
        return broken_text(scan, at, "expected a text without U+0000");
    *to = put_rune(*to, (uint32_t)rune);
    return next;
}

/* Resolves the escapes between `from` and `end`; an escape never grows. */
static bool unescape(struct scan *scan, const char *from, const char *end, struct view *text)
{
    static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
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
        const char *letter = memchr(letters, from[1], sizeof letters - 1);
        if (letter != NULL) {
            *to++ = meant[letter - letters];
            from += 2;
            continue;
        }
        if (from[1] == 'u')
            from = put_escaped_rune(scan, from, end, &to);
        else
            from = broken(scan, from, "expected an escape sequence of JSON");
        if (from == NULL)
            return false;
    }
    *text = (struct view){copy, (uint32_t)(to - copy)};
    return true;
}

/* A text of which no end is found, or with a control character inside. */
static const char *broken_end(struct scan *scan, const char *at)
{
    return broken(scan, at,
                  at == scan->end ? "expected the end of a text"
                                  : "expected a text without bare control characters");
}

static const char *scan_any_text(struct scan *scan, const char *from, struct view *text)
{
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
        return NULL;
    return at + 1;
}

/* At the opening quote. `text` does not hold the quotes. Most texts are short and plain: their
 * closing quote is in the first lanes, with nothing special before it. */
static inline const char *scan_text(struct scan *scan, const char *at, struct view *text)
{
    const char *const from = at + 1;

    if (scan->end - from >= LANE_COUNT) {
        const uint64_t special = lanes_special(from);
        const uint64_t before = (special & -special) - 1;
        const uint32_t size = special != 0 ? (uint32_t)__builtin_ctzll(special) / LANE_BITS : 0;
        if (special != 0 && from[size] == '"' && (lanes_high(from) & before) == 0) {
            *text = (struct view){from, size};
            return from + size + 1;
        }
    }
    return scan_any_text(scan, from, text);
}

/* ---- values that are skipped --------------------------------------------------- */

static const char *scan_word(struct scan *scan, const char *at, const char *word, size_t size)
{
    if ((size_t)(scan->end - at) < size || memcmp(at, word, size) != 0)
        return broken(scan, at, "expected a JSON value");
    return at + size;
}

static const char *skip_scalar(struct scan *scan, const char *at)
{
    struct number number;
    struct view text;
    const char *next;

    switch (first_of(at, scan->end)) {
    case '"':
        return scan_text(scan, at, &text);
    case 't':
        return scan_word(scan, at, "true", 4);
    case 'f':
        return scan_word(scan, at, "false", 5);
    case 'n':
        return scan_word(scan, at, "null", 4);
    default:
        next = number_scan(at, scan->end, &number);
        return next != NULL ? next : broken(scan, at, "expected a JSON value");
    }
}

static const char *expect_colon(struct scan *scan, const char *at)
{
    at = skip_space(at, scan->end);
    return first_of(at, scan->end) == ':' ? at + 1 : broken(scan, at, "expected a colon");
}

/* A name and its colon. */
static const char *scan_name(struct scan *scan, const char *at, struct view *name)
{
    at = skip_space(at, scan->end);
    if (first_of(at, scan->end) != '"')
        return broken(scan, at, "expected a name in quotes");
    at = scan_text(scan, at, name);
    return at != NULL ? expect_colon(scan, at) : NULL;
}

static const char *open_container(struct scan *scan, const char *at)
{
    if (scan->depth == JSON_DEPTH_MAX)
        return broken(scan, at, "expected at most 64 levels of nesting");
    scan->depth++;
    return at + 1;
}

/* A value has ended; so do the containers that it was the last of. `objects` has a bit for
 * each container that is open, 1 for an object. Behind the comma, or at depth `outside`. */
static const char *end_containers(struct scan *scan, const char *at, uint64_t *objects,
                                  uint32_t outside)
{
    while (scan->depth > outside) {
        at = skip_space(at, scan->end);
        const char next = first_of(at, scan->end);
        if (next == ',')
            return at + 1;
        if (next != ((*objects & 1) != 0 ? '}' : ']'))
            return broken(scan, at, "expected a comma or the end of the container");
        at++;
        scan->depth--;
        *objects >>= 1;
    }
    return at;
}

/* Any value, checked but not kept; no recursion, whatever the message nests. */
static const char *skip_value(struct scan *scan, const char *at)
{
    const uint32_t outside = scan->depth;
    uint64_t objects = 0;
    struct view name;

    for (;;) {
        at = skip_space(at, scan->end);
        char first = first_of(at, scan->end);
        if (first == '{' || first == '[') {
            at = open_container(scan, at);
            if (at == NULL)
                return NULL;
            objects = objects << 1 | (first == '{');
            at = skip_space(at, scan->end);
            first = first_of(at, scan->end);
            /* An empty one ends at once; in another, the first value is next. */
            if (first != ((objects & 1) != 0 ? '}' : ']')) {
                if ((objects & 1) != 0)
                    at = scan_name(scan, at, &name);
                if (at == NULL)
                    return NULL;
                continue;
            }
        } else {
            at = skip_scalar(scan, at);
            if (at == NULL)
                return NULL;
        }
        at = end_containers(scan, at, &objects, outside);
        if (at == NULL || scan->depth == outside)
            return at;
        if ((objects & 1) != 0)
            at = scan_name(scan, at, &name);
        if (at == NULL)
            return NULL;
    }
}

/* ---- values of fields ---------------------------------------------------------- */

/* A value of a kind that the field does not take. */
static struct reading wrong_type(struct scan *scan, const char *at,
                                 const struct layout_field *field)
{
    const char *const next = skip_value(scan, at);

    if (next != NULL && scan->is_describing)
        layout_refuse_type(field, &scan->trail, (size_t)(at - scan->start), scan->reason);
    return ended(next, VALUE_BAD);
}

typedef enum codec_error refuse_fn(const struct layout_field *field, const struct trail *trail,
                                   size_t offset, struct codec_reason *reason);

/* A value that breaks a rule: it stands at `at`, and ends at `next`. */
static struct reading bad(struct scan *scan, const char *at, const char *next,
                          const struct layout_field *field, refuse_fn *refuse)
{
    if (scan->is_describing)
        refuse(field, &scan->trail, (size_t)(at - scan->start), scan->reason);
    return ended(next, VALUE_BAD);
}

static inline struct reading read_text(struct scan *scan, const char *at,
                                       const struct layout_field *field, struct view *text)
{
    if (first_of(at, scan->end) != '"')
        return wrong_type(scan, at, field);
    const char *const next = scan_text(scan, at, text);
    if (next != NULL && text->size - field->bytes_min > field->bytes_max - field->bytes_min)
        return bad(scan, at, next, field, layout_refuse_bytes);
    return ended(next, VALUE_GOOD);
}

/* A number of any form. */
static struct reading read_long_number(struct scan *scan, const char *at,
                                       const struct layout_field *field, void *to)
{
    struct number number;
    enum number_fit fit;
    int64_t whole = 0;
    double value = 0;
    const char *const next = number_scan(at, scan->end, &number);

    if (next == NULL)
        return ended(broken(scan, at, "expected a JSON value"), VALUE_BROKEN);
    if (field->type == FIELD_DOUBLE) {
        fit = number_double(&number, &value);
        if (fit != NUMBER_FITS || !(value >= field->double_min && value <= field->double_max))
            return bad(scan, at, next, field, layout_refuse_number);
        *(double *)to = value;
        return ended(next, VALUE_GOOD);
    }
    fit = number_int(&number, &whole);
    if (fit == NUMBER_NOT_WHOLE)
        return bad(scan, at, next, field, layout_refuse_type);
    if (fit == NUMBER_TOO_LARGE || whole < field->int_min || whole > field->int_max)
        return bad(scan, at, next, field, layout_refuse_number);
    *(int64_t *)to = whole;
    return ended(next, VALUE_GOOD);
}

static inline struct reading read_number(struct scan *scan, const char *at,
                                         const struct layout_field *field, void *to)
{
    static const double powers[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7};
    const char first = first_of(at, scan->end);
    uint32_t digits, places;

    if (first != '-' && (first < '0' || first > '9'))
        return wrong_type(scan, at, field);
    const char *const next = number_scan_short(at, scan->end, &digits, &places);
    if (next != NULL && field->type == FIELD_DOUBLE) {
        /* Two exact doubles: the quotient is the nearest to the decimal. */
        const double value = places == 0 ? digits : digits / powers[places];
        if (value >= field->double_min && value <= field->double_max) {
            *(double *)to = value;
            return ended(next, VALUE_GOOD);
        }
    } else if (next != NULL && places == 0 && digits >= field->int_min &&
               digits <= field->int_max) {
        *(int64_t *)to = digits;
        return ended(next, VALUE_GOOD);
    }
    return read_long_number(scan, at, field, to);
}

static struct reading read_bool(struct scan *scan, const char *at, const struct layout_field *field,
                                bool *to)
{
    const char first = first_of(at, scan->end);

    if (first != 't' && first != 'f')
        return wrong_type(scan, at, field);
    *to = first == 't';
    return ended(first == 't' ? scan_word(scan, at, "true", 4) : scan_word(scan, at, "false", 5),
                 VALUE_GOOD);
}

static struct reading read_choice(struct scan *scan, const char *at,
                                  const struct layout_field *field, int64_t *to)
{
    struct view name = {NULL, 0};

    if (first_of(at, scan->end) != '"')
        return wrong_type(scan, at, field);
    const char *const next = scan_text(scan, at, &name);
    if (next == NULL)
        return ended(NULL, VALUE_BROKEN);
    *to = layout_choice(field, name);
    return *to >= 0 ? ended(next, VALUE_GOOD) : bad(scan, at, next, field, layout_refuse_choice);
}

/* What a list is read into: it doubles in the arena as it grows. */
struct growing {
    char *data;
    uint32_t count, capacity;
    uint32_t element_bytes;
};

static inline void *next_element(struct growing *list, struct arena *arena)
{
    if (list->count == list->capacity) {
        const uint32_t capacity = list->capacity == 0 ? 8 : list->capacity * 2;
        char *data = arena_alloc(arena, (size_t)capacity * list->element_bytes);
        if (list->count > 0)
            memcpy(data, list->data, (size_t)list->count * list->element_bytes);
        list->data = data;
        list->capacity = capacity;
    }
    return list->data + (size_t)list->count * list->element_bytes;
}

static struct reading read_object(struct scan *scan, const char *at, const struct layout *layout,
                                  char *record);

/* An object of a list or a field: one level deeper on the trail. */
static inline struct reading read_inner(struct scan *scan, const char *at,
                                        const struct layout_field *field, char *record)
{
    struct reading reading;

    if (first_of(at, scan->end) != '{')
        return wrong_type(scan, at, field);
    assert(scan->trail.level + 1 < TRAIL_STEPS_MAX);
    scan->trail.level++;
    reading = read_object(scan, at, field->layout, record);
    scan->trail.level--;
    return reading;
}

/* The elements of a list, up to and with its end. */
static struct reading read_elements(struct scan *scan, const char *at,
                                    const struct layout_field *field, struct growing *list)
{
    struct trail_step *step = &scan->trail.steps[scan->trail.level];
    const char *const from = at;
    bool is_good = true;

    at = skip_space(at, scan->end);
    if (first_of(at, scan->end) == ']')
        return ended(at + 1, VALUE_GOOD);
    for (uint32_t index = 0;; index++) {
        struct reading reading;
        at = skip_space(at, scan->end);
        step->index = index;
        if (is_good && index == field->count_max) {
            step->index = -1;
            bad(scan, from, at, field, layout_refuse_count);
            is_good = false;
        }
        if (!is_good)
            reading = ended(skip_value(scan, at), VALUE_GOOD); /* the list is bad already */
        else if (field->type == FIELD_TEXTS)
            reading = read_text(scan, at, field, next_element(list, scan->arena));
        else
            reading = read_inner(scan, at, field, next_element(list, scan->arena));
        /* In a description nothing after the first bad element matters. */
        if (reading.ending == VALUE_BROKEN || (reading.ending == VALUE_BAD && scan->is_describing))
            return reading;
        is_good &= reading.ending == VALUE_GOOD;
        list->count += is_good;
        at = skip_space(reading.at, scan->end);
        const char next = first_of(at, scan->end);
        if (next == ']')
            break;
        step->index = -1;
        if (next != ',')
            return ended(broken(scan, at, "expected a comma or the end of the list"), VALUE_BROKEN);
        at++;
    }
    step->index = -1;
    return ended(at + 1, is_good ? VALUE_GOOD : VALUE_BAD);
}

static struct reading read_list(struct scan *scan, const char *at, const struct layout_field *field,
                                void *to)
{
    const bool is_texts = field->type == FIELD_TEXTS;
    struct growing list = {
        .element_bytes = is_texts ? sizeof(struct view) : (uint32_t)field->layout->shape->bytes,
    };

    if (first_of(at, scan->end) != '[')
        return wrong_type(scan, at, field);
    const char *const inside = open_container(scan, at);
    if (inside == NULL)
        return ended(NULL, VALUE_BROKEN);
    const struct reading reading = read_elements(scan, inside, field, &list);
    scan->depth--;
    if (reading.ending != VALUE_GOOD)
        return reading;
    if (list.count < field->count_min)
        return bad(scan, at, reading.at, field, layout_refuse_count);
    if (is_texts)
        *(struct view_list *)to = (struct view_list){(const void *)list.data, list.count};
    else
        *(struct record_list *)to = (struct record_list){list.data, list.count};
    return reading;
}

/* A value of a map: text as it is, null as absent, the rest as its JSON text. */
static const char *read_map_value(struct scan *scan, const char *at, struct view *value)
{
    const char *next;

    at = skip_space(at, scan->end);
    if (first_of(at, scan->end) == '"')
        return scan_text(scan, at, value);
    next = skip_value(scan, at);
    if (next == NULL)
        return NULL;
    *value = (struct view){at, (uint32_t)(next - at)};
    if (*at == 'n')
        *value = (struct view){NULL, 0};
    return next;
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
static struct reading read_pairs(struct scan *scan, const char *at,
                                 const struct layout_field *field, struct growing *list)
{
    const char *const from = at;
    const char *bad_at = NULL;
    refuse_fn *refuse = NULL;

    at = skip_space(at, scan->end);
    if (first_of(at, scan->end) == '}')
        return ended(at + 1, VALUE_GOOD);
    for (;;) {
        struct pair pair = {{NULL, 0}, {NULL, 0}};
        const char *const name_at = skip_space(at, scan->end);
        at = scan_name(scan, name_at, &pair.name);
        if (at != NULL)
            at = read_map_value(scan, at, &pair.value);
        if (at == NULL)
            return ended(NULL, VALUE_BROKEN);
        if (refuse == NULL &&
            (pair.name.size > field->bytes_max || pair.value.size > field->bytes_max)) {
            refuse = layout_refuse_bytes;
            bad_at = name_at;
        } else if (refuse == NULL && !put_pair(scan, field, list, &pair)) {
            refuse = layout_refuse_count;
            bad_at = from;
        }
        at = skip_space(at, scan->end);
        const char next = first_of(at, scan->end);
        if (next == '}')
            break;
        if (next != ',')
            return ended(broken(scan, at, "expected a comma or the end of the object"),
                         VALUE_BROKEN);
        at++;
    }
    return refuse == NULL ? ended(at + 1, VALUE_GOOD) : bad(scan, bad_at, at + 1, field, refuse);
}

static struct reading read_map(struct scan *scan, const char *at, const struct layout_field *field,
                               struct pair_list *to)
{
    struct growing list = {.element_bytes = sizeof(struct pair)};

    if (first_of(at, scan->end) != '{')
        return wrong_type(scan, at, field);
    const char *const inside = open_container(scan, at);
    if (inside == NULL)
        return ended(NULL, VALUE_BROKEN);
    const struct reading reading = read_pairs(scan, inside, field, &list);
    scan->depth--;
    if (reading.ending != VALUE_GOOD)
        return reading;
    if (list.count < field->count_min)
        return bad(scan, at, reading.at, field, layout_refuse_count);
    *to = (struct pair_list){(const void *)list.data, list.count};
    return reading;
}

/* The value of a field, into its place in the record. */
static inline struct reading read_value(struct scan *scan, const char *at,
                                        const struct layout_field *field, char *record)
{
    void *to = record + field->offset;

    at = skip_space(at, scan->end);
    if (first_of(at, scan->end) == 'n')
        return ended(scan_word(scan, at, "null", 4), VALUE_NULL);
    switch (field->type) {
    case FIELD_TEXT:
        return read_text(scan, at, field, to);
    case FIELD_INT:
    case FIELD_TIME:
    case FIELD_DOUBLE:
        return read_number(scan, at, field, to);
    case FIELD_BOOL:
        return read_bool(scan, at, field, to);
    case FIELD_CHOICE:
        return read_choice(scan, at, field, to);
    case FIELD_TEXTS:
    case FIELD_RECORDS:
        return read_list(scan, at, field, to);
    case FIELD_MAP:
        return read_map(scan, at, field, to);
    case FIELD_RECORD:
        return read_inner(scan, at, field, to);
    }
    return ended(NULL, VALUE_BROKEN);
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

/* ---- objects ------------------------------------------------------------------- */

/* Any name, in any writing. `field` is NULL for an unknown one. */
static const char *read_other_name(struct scan *scan, const char *at, const struct layout *layout,
                                   const struct layout_field **field)
{
    struct view name;

    trail_at(&scan->trail, NULL);
    at = scan_name(scan, at, &name);
    if (at == NULL)
        return NULL;
    const uint32_t index = layout_find(layout, name);
    *field = index < layout->field_count ? &layout->fields[index] : NULL;
    return at;
}

/* The field that the name under the cursor means, NULL for an unknown one; past the colon.
 * `hint` is the field expected here. */
static inline const char *read_name(struct scan *scan, const char *at, const struct layout *layout,
                                    uint32_t hint, const struct layout_field **field)
{
    at = skip_space(at, scan->end);
    if (hint < layout->field_count && scan->end - at >= 17 && *at == '"') {
        const uint32_t size = layout_match_name(&layout->fields[hint], at + 1, scan->end);
        if (size > 0) {
            *field = &layout->fields[hint];
            return at + 1 + size;
        }
    }
    return read_other_name(scan, at, layout, field);
}

/* Which fields of an object were given, and which of them are bad, and where. */
struct tally {
    uint64_t seen, present, bad;
    const char *bad_at[64];
};

static inline void note(struct tally *tally, uint32_t index, enum ending ending, const char *at)
{
    const uint64_t bit = UINT64_C(1) << index;

    /* Of a name that stands twice, the last one counts. */
    tally->present = (tally->present & ~bit) | (ending == VALUE_GOOD ? bit : 0);
    tally->bad &= ~bit;
    tally->seen |= bit;
    if (ending == VALUE_BAD) {
        tally->bad |= bit;
        tally->bad_at[index] = at;
    }
}

/* The fields of an object, up to and with its end. */
static const char *read_fields(struct scan *scan, const char *at, const struct layout *layout,
                               char *record, struct tally *tally)
{
    uint32_t hint = 0;

    for (;;) {
        const struct layout_field *field;
        at = read_name(scan, at, layout, hint, &field);
        if (at == NULL)
            return NULL;
        if (field != NULL) {
            const uint32_t index = (uint32_t)(field - layout->fields);
            hint = index + 1;
            trail_at(&scan->trail, field->field);
            if ((tally->seen >> index & 1) != 0)
                memset(record + field->offset, 0, value_bytes(field));
            const struct reading reading = read_value(scan, at, field, record);
            if (reading.ending == VALUE_BROKEN)
                return NULL;
            note(tally, index, reading.ending, at);
            at = reading.at;
        } else {
            at = skip_value(scan, at);
            if (at == NULL)
                return NULL;
        }
        at = skip_space(at, scan->end);
        const char next = first_of(at, scan->end);
        if (next == '}')
            return at + 1;
        if (next != ',')
            return broken_outside(scan, at, "expected a comma or the end of the object");
        at++;
    }
}

/* Reads the first value that is bad once more, to say what is wrong with it. */
static void describe(struct scan *scan, const struct layout *layout, char *record,
                     const struct tally *tally)
{
    uint32_t first = (uint32_t)__builtin_ctzll(tally->bad);

    for (uint32_t i = first + 1; i < layout->field_count; i++)
        if ((tally->bad >> i & 1) != 0 && tally->bad_at[i] < tally->bad_at[first])
            first = i;
    trail_at(&scan->trail, layout->fields[first].field);
    (void)read_value(scan, tally->bad_at[first], &layout->fields[first], record);
}

/* At the opening brace. `record` is all zeros. */
static struct reading read_object(struct scan *scan, const char *at, const struct layout *layout,
                                  char *record)
{
    const bool is_describing = scan->is_describing;
    struct tally tally;

    tally.seen = tally.present = tally.bad = 0;
    trail_at(&scan->trail, NULL);
    at = open_container(scan, at);
    if (at == NULL)
        return ended(NULL, VALUE_BROKEN);
    scan->is_describing = false;
    at = skip_space(at, scan->end);
    if (first_of(at, scan->end) == '}')
        at++;
    else
        at = read_fields(scan, at, layout, record, &tally);
    scan->depth--;
    scan->is_describing = is_describing;
    if (at == NULL)
        return ended(NULL, VALUE_BROKEN);

    const uint64_t missing =
        (layout->seen_mask & ~tally.seen) | (layout->present_mask & ~tally.present & ~tally.bad);
    *layout_present(layout, record) = tally.present;
    if ((tally.bad | missing) == 0)
        return ended(at, VALUE_GOOD);
    if (is_describing && tally.bad != 0)
        describe(scan, layout, record, &tally);
    else if (is_describing)
        layout_refuse_missing(layout, missing, &scan->trail, (size_t)(at - 1 - scan->start),
                              scan->reason);
    return ended(at, VALUE_BAD);
}

enum codec_error json_decode(const struct layout *layout, struct view message, struct arena *arena,
                             void *record, struct codec_reason *reason)
{
    struct scan scan;

    scan.start = message.data;
    scan.end = message.data + message.size;
    scan.arena = arena;
    scan.reason = reason;
    scan.trail.level = 0;
    scan.depth = 0;
    scan.is_describing = true;
    memset(record, 0, layout->shape->bytes);

    const char *at = skip_space(scan.start, scan.end);
    if (first_of(at, scan.end) != '{') {
        broken_outside(&scan, at, "expected a JSON object");
        return reason->error;
    }
    const struct reading reading = read_object(&scan, at, layout, record);
    if (reading.ending == VALUE_BROKEN)
        return reason->error;
    at = skip_space(reading.at, scan.end);
    if (at < scan.end) {
        broken_outside(&scan, at, "expected nothing after the object");
        return reason->error;
    }
    return reading.ending == VALUE_GOOD ? CODEC_OK : reason->error;
}
