#include "base/tree.h"

#include <assert.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DECIMAL_BYTES_MAX = 1000,
    EXPONENT_LIMIT = 1000000, /* beyond it every decimal of that many bytes is 0 or infinite */
    DISTANCE_BYTES_MAX = 64,
    COMPLAINT_BYTES_MAX = 1000,
};

struct unit {
    const char *name;
    int64_t factor;
};

const struct tree *tree_get(const struct tree *tree, const char *name)
{
    if (tree == NULL || tree->kind != TREE_MAP)
        return NULL;
    for (const struct tree *child = tree->child; child != NULL; child = child->next)
        if (view_is_text(child->name, name))
            return child;
    return NULL;
}

uint32_t tree_count(const struct tree *tree)
{
    uint32_t count = 0;

    if (tree == NULL)
        return 0;
    for (const struct tree *child = tree->child; child != NULL; child = child->next)
        count++;
    return count;
}

void complaints_init(struct complaints *complaints, struct arena *arena)
{
    *complaints = (struct complaints){.arena = arena};
    complaints->last = &complaints->first;
}

void complain(struct complaints *complaints, const struct tree *at, const char *format, ...)
{
    char text[COMPLAINT_BYTES_MAX];
    struct complaint *complaint = arena_alloc(complaints->arena, sizeof *complaint);
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    assert(length >= 0);
    if (at != NULL && at->file != NULL)
        complaint->text = arena_print(complaints->arena, "%s:%u: %s", at->file, at->line, text);
    else if (at != NULL)
        complaint->text = arena_print(complaints->arena, "line %u: %s", at->line, text);
    else
        complaint->text = arena_print(complaints->arena, "%s", text);
    *complaints->last = complaint;
    complaints->last = &complaint->next;
    complaints->count++;
}

/* Complains that `tree` is not what was expected; returns false. */
static bool refuse(const struct tree *tree, const char *expected, struct complaints *complaints)
{
    struct view name = {"", 0};
    const char *colon = "";

    if (tree != NULL && tree->name.size != 0) {
        name = tree->name;
        colon = ": ";
    }
    if (tree == NULL || tree->kind == TREE_NULL)
        complain(complaints, tree, "%.*s%sexpected %s", VIEW_PRINT(name), colon, expected);
    else if (tree->kind == TREE_LIST)
        complain(complaints, tree, "%.*s%sexpected %s, not a list", VIEW_PRINT(name), colon,
                 expected);
    else if (tree->kind == TREE_MAP)
        complain(complaints, tree, "%.*s%sexpected %s, not a map", VIEW_PRINT(name), colon,
                 expected);
    else
        complain(complaints, tree, "%.*s%sexpected %s, not %s'%.*s'", VIEW_PRINT(name), colon,
                 expected, tree->is_quoted ? "the text " : "", VIEW_PRINT(tree->value));
    return false;
}

static bool is_scalar(const struct tree *tree)
{
    return tree != NULL && tree->kind == TREE_SCALAR;
}

static bool is_plain_scalar(const struct tree *tree)
{
    return is_scalar(tree) && !tree->is_quoted;
}

bool tree_int(const struct tree *tree, int64_t *value, struct complaints *complaints)
{
    return (is_plain_scalar(tree) && text_int(tree->value, value)) ||
           refuse(tree, "a whole number", complaints);
}

bool tree_double(const struct tree *tree, double *value, struct complaints *complaints)
{
    return (is_plain_scalar(tree) && text_double(tree->value, value)) ||
           refuse(tree, "a number", complaints);
}

bool tree_bool(const struct tree *tree, bool *value, struct complaints *complaints)
{
    return (is_plain_scalar(tree) && text_bool(tree->value, value)) ||
           refuse(tree, "true or false", complaints);
}

/* A duration or a size in quotes is still one: it is text with a unit anyway. */
bool tree_duration_ms(const struct tree *tree, int64_t *value, struct complaints *complaints)
{
    return (is_scalar(tree) && text_duration_ms(tree->value, value)) ||
           refuse(tree, "a duration such as 250ms, 60s, 5m, 1h or 7d", complaints);
}

static bool is_digit(char letter)
{
    return letter >= '0' && letter <= '9';
}

bool text_int(struct view text, int64_t *value)
{
    const char *at = text.data;
    const char *end = text.data + text.size;
    int64_t sum = 0;
    int sign = 1;

    if (at < end && (*at == '-' || *at == '+'))
        sign = *at++ == '-' ? -1 : 1;
    if (at == end)
        return false;
    for (; at < end; at++)
        if (!is_digit(*at) || __builtin_mul_overflow(sum, 10, &sum) ||
            __builtin_add_overflow(sum, sign * (*at - '0'), &sum))
            return false;
    *value = sum;
    return true;
}

/* A decimal taken apart: mantissa * 10^exponent, unless it has too many digits. */
struct decimal {
    uint64_t mantissa;
    int64_t exponent;
    bool is_negative;
    bool is_whole_known; /* every digit is in the mantissa */
};

static void add_digit(struct decimal *decimal, char digit, int places)
{
    const uint64_t room = (UINT64_MAX - 9) / 10;

    if (decimal->mantissa > room) {
        decimal->is_whole_known = false;
        return;
    }
    decimal->mantissa = decimal->mantissa * 10 + (uint64_t)(digit - '0');
    decimal->exponent -= places;
}

/* [+-] digits, the whole text; cut short beyond EXPONENT_LIMIT. */
static bool read_exponent(struct view text, int64_t *exponent)
{
    const char *at = text.data;
    const char *const end = text.data + text.size;
    bool is_negative = false;

    *exponent = 0;
    if (at < end && (*at == '-' || *at == '+'))
        is_negative = *at++ == '-';
    if (at == end)
        return false;
    for (; at < end && is_digit(*at); at++)
        if (*exponent < EXPONENT_LIMIT)
            *exponent = *exponent * 10 + (*at - '0');
    if (is_negative)
        *exponent = -*exponent;
    return at == end;
}

/* [+-] digits [. digits] [e [+-] digits]; digits on one side of the point suffice. */
static bool take_apart(struct view text, struct decimal *decimal)
{
    const char *at = text.data;
    const char *end = text.data + text.size;
    int64_t exponent;
    bool has_digits = false;

    *decimal = (struct decimal){.is_whole_known = true};
    if (at < end && (*at == '-' || *at == '+'))
        decimal->is_negative = *at++ == '-';
    for (; at < end && is_digit(*at); at++, has_digits = true)
        add_digit(decimal, *at, 0);
    if (at < end && *at == '.')
        for (at++; at < end && is_digit(*at); at++, has_digits = true)
            add_digit(decimal, *at, 1);
    if (!has_digits)
        return false;
    if (at == end)
        return true;
    if (*at != 'e' && *at != 'E')
        return false;
    at++;
    if (!read_exponent((struct view){at, (uint32_t)(end - at)}, &exponent))
        return false;
    decimal->exponent += exponent;
    return true;
}

static bool read_exactly(struct view text, double *value)
{
    /* glibc's "C" locale is static: nothing is allocated, nothing to free. */
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    char copy[DECIMAL_BYTES_MAX + 1];

    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    *value = strtod_l(copy, NULL, plain);
    freelocale(plain);
    return isfinite(*value);
}

bool text_double(struct view text, double *value)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    const uint64_t exact_max = UINT64_C(1) << 53;
    struct decimal decimal;
    double read;

    if (text.size > DECIMAL_BYTES_MAX || !take_apart(text, &decimal))
        return false;
    /* Both factors are exact doubles, so one rounding gives the nearest double. */
    if (decimal.is_whole_known && decimal.mantissa <= exact_max && decimal.exponent >= -22 &&
        decimal.exponent <= 22) {
        read = (double)decimal.mantissa;
        read = decimal.exponent < 0 ? read / powers[-decimal.exponent]
                                    : read * powers[decimal.exponent];
        *value = decimal.is_negative ? -read : read;
        return true;
    }
    if (!read_exactly(text, &read))
        return false;
    *value = read;
    return true;
}

bool text_bool(struct view text, bool *value)
{
    if (view_is_text(text, "true") || view_is_text(text, "yes") || view_is_text(text, "on"))
        *value = true;
    else if (view_is_text(text, "false") || view_is_text(text, "no") || view_is_text(text, "off"))
        *value = false;
    else
        return false;
    return true;
}

/* number * factor, where a fraction is allowed if the product is whole. */
static bool scale(struct view number, int64_t factor, int64_t *value)
{
    const char *point = number.size == 0 ? NULL : memchr(number.data, '.', number.size);
    struct decimal decimal;
    int64_t divisor = 1;
    int64_t product;

    if (point == NULL)
        return text_int(number, &product) && !__builtin_mul_overflow(product, factor, value);
    if (!take_apart(number, &decimal) || !decimal.is_whole_known || decimal.exponent < -9)
        return false;
    for (; decimal.exponent < 0; decimal.exponent++)
        divisor *= 10;
    if (__builtin_mul_overflow(decimal.mantissa, factor, &product) || product % divisor != 0)
        return false;
    *value = decimal.is_negative ? -(product / divisor) : product / divisor;
    return true;
}

/* units: the last one has no name and is that of a bare number. */
static bool read_with_unit(struct view text, const struct unit *units, int64_t *value)
{
    uint32_t split = 0;

    while (split < text.size && (is_digit(text.data[split]) || text.data[split] == '.' ||
                                 text.data[split] == '-' || text.data[split] == '+'))
        split++;
    struct view number = {text.data, split};
    struct view name = {text.data + split, text.size - split};
    while (units->name[0] != '\0' && !view_is_text(name, units->name))
        units++;
    if (units->name[0] == '\0' && name.size != 0)
        return false;
    return scale(number, units->factor, value);
}

bool text_duration_ms(struct view text, int64_t *value)
{
    static const struct unit units[] = {
        {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {"", 1},
    };

    return !view_is_absent(text) && read_with_unit(text, units, value);
}

bool text_bytes(struct view text, int64_t *value)
{
    static const struct unit units[] = {
        {"B", 1},
        {"kB", 1000},
        {"KB", 1000},
        {"MB", 1000000},
        {"GB", 1000000000},
        {"TB", INT64_C(1000000000000)},
        {"KiB", INT64_C(1) << 10},
        {"MiB", INT64_C(1) << 20},
        {"GiB", INT64_C(1) << 30},
        {"TiB", INT64_C(1) << 40},
        {"", 1},
    };

    return !view_is_absent(text) && read_with_unit(text, units, value);
}

static uint32_t least_of(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Optimal string alignment; row[i] holds the distances from a's first i letters. */
uint32_t text_distance(struct view a, struct view b)
{
    uint32_t rows[3][DISTANCE_BYTES_MAX + 1];
    uint32_t *before = rows[0], *last = rows[1], *row = rows[2];

    if (a.size > DISTANCE_BYTES_MAX || b.size > DISTANCE_BYTES_MAX)
        return UINT32_MAX;
    for (uint32_t column = 0; column <= b.size; column++)
        row[column] = column;
    for (uint32_t line = 1; line <= a.size; line++) {
        uint32_t *recycled = before;
        before = last;
        last = row;
        row = recycled;
        row[0] = line;
        for (uint32_t column = 1; column <= b.size; column++) {
            bool is_same = a.data[line - 1] == b.data[column - 1];
            row[column] = least_of(last[column - 1] + (is_same ? 0 : 1),
                                   least_of(last[column], row[column - 1]) + 1);
            if (line > 1 && column > 1 && a.data[line - 1] == b.data[column - 2] &&
                a.data[line - 2] == b.data[column - 1])
                row[column] = least_of(row[column], before[column - 2] + 1);
        }
    }
    return row[b.size];
}
