#include "base/bytes.h"

#include <assert.h>
#include <endian.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CAPACITY_LEAST = 64, VARINT_MAX = 10 };

void byte_writer_init(struct byte_writer *writer)
{
    *writer = (struct byte_writer){0};
}

void byte_writer_free(struct byte_writer *writer)
{
    free(writer->data);
    *writer = (struct byte_writer){0};
}

static void grow(struct byte_writer *writer, size_t bytes)
{
    size_t capacity = writer->capacity < CAPACITY_LEAST ? CAPACITY_LEAST : writer->capacity;

    assert(bytes <= SIZE_MAX / 4 && writer->size <= SIZE_MAX / 4);
    while (capacity - writer->size < bytes)
        capacity *= 2;
    char *data = realloc(writer->data, capacity);
    if (data == NULL) {
        fprintf(stderr, "bytes: the heap has no %zu bytes left\n", capacity);
        abort();
    }
    writer->data = data;
    writer->capacity = capacity;
}

char *byte_writer_reserve(struct byte_writer *writer, size_t bytes)
{
    if (writer->data == NULL || writer->capacity - writer->size < bytes)
        grow(writer, bytes);
    return writer->data + writer->size;
}

void byte_put(struct byte_writer *writer, const void *data, size_t size)
{
    if (size == 0)
        return;
    memcpy(byte_writer_reserve(writer, size), data, size);
    writer->size += size;
}

void byte_put_u8(struct byte_writer *writer, uint8_t value)
{
    *byte_writer_reserve(writer, 1) = (char)value;
    writer->size++;
}

void byte_put_u16(struct byte_writer *writer, uint16_t value)
{
    value = htole16(value);
    byte_put(writer, &value, sizeof value);
}

void byte_put_u32(struct byte_writer *writer, uint32_t value)
{
    value = htole32(value);
    byte_put(writer, &value, sizeof value);
}

void byte_put_u64(struct byte_writer *writer, uint64_t value)
{
    value = htole64(value);
    byte_put(writer, &value, sizeof value);
}

void byte_put_i64(struct byte_writer *writer, int64_t value)
{
    byte_put_u64(writer, (uint64_t)value);
}

void byte_put_float(struct byte_writer *writer, float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    byte_put_u32(writer, bits);
}

void byte_put_double(struct byte_writer *writer, double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    byte_put_u64(writer, bits);
}

void byte_put_varint(struct byte_writer *writer, uint64_t value)
{
    char *at = byte_writer_reserve(writer, VARINT_MAX);

    while (value >= 0x80) {
        *at++ = (char)(value | 0x80);
        value >>= 7;
    }
    *at++ = (char)value;
    writer->size = (size_t)(at - writer->data);
}

void byte_put_svarint(struct byte_writer *writer, int64_t value)
{
    byte_put_varint(writer, ((uint64_t)value << 1) ^ (uint64_t)(value >> 63));
}

size_t byte_begin_section(struct byte_writer *writer)
{
    byte_put_u64(writer, 0);
    return writer->size;
}

void byte_end_section(struct byte_writer *writer, size_t section)
{
    uint64_t length = htole64(writer->size - section);

    memcpy(writer->data + section - sizeof length, &length, sizeof length);
}

/* The length is one more than it is, so that 0 is left to say "absent". */
void byte_put_view(struct byte_writer *writer, struct view view)
{
    if (view_is_absent(view)) {
        byte_put_u8(writer, 0);
        return;
    }
    byte_put_varint(writer, (uint64_t)view.size + 1);
    byte_put(writer, view.data, view.size);
}

void byte_print(struct byte_writer *writer, const char *format, ...)
{
    va_list arguments;
    char *at = byte_writer_reserve(writer, CAPACITY_LEAST);
    size_t room = writer->capacity - writer->size;

    va_start(arguments, format);
    int length = vsnprintf(at, room, format, arguments);
    va_end(arguments);
    assert(length >= 0);
    if ((size_t)length >= room) {
        at = byte_writer_reserve(writer, (size_t)length + 1);
        va_start(arguments, format);
        vsnprintf(at, (size_t)length + 1, format, arguments);
        va_end(arguments);
    }
    writer->size += (size_t)length;
}

/* Digits of `value`, at least `least` of them, written so that they end at `end`. */
static char *write_digits(char *end, uint64_t value, int least)
{
    char *at = end;

    for (; value != 0 || end - at < least; value /= 10)
        *--at = (char)('0' + value % 10);
    return at;
}

void byte_print_int(struct byte_writer *writer, int64_t value)
{
    char digits[24];
    char *end = digits + sizeof digits;
    char *at = write_digits(end, value < 0 ? -(uint64_t)value : (uint64_t)value, 1);

    if (value < 0)
        *--at = '-';
    byte_put(writer, at, (size_t)(end - at));
}

/*
 * Most doubles that people write have a few decimals. When value * 10^places,
 * rounded to a whole number below 10^15, divides back to the value, then those
 * are its digits: a division of two exact doubles is rounded as reading the
 * decimal is, and up to 15 digits no second decimal of that length reads the same.
 */
static bool print_few_places(struct byte_writer *writer, double value)
{
    static const double powers[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6};
    const double magnitude = fabs(value);
    char digits[40];
    char *end = digits + sizeof digits;

    if (!(magnitude >= 1e-4 && magnitude < 1e14))
        return false;
    for (int places = 1; places <= 6; places++) {
        double scaled = rint(magnitude * powers[places]);
        if (scaled >= 1e15)
            return false;
        if (scaled / powers[places] != magnitude)
            continue;
        uint64_t whole = (uint64_t)scaled / (uint64_t)powers[places];
        uint64_t fraction = (uint64_t)scaled % (uint64_t)powers[places];
        char *at = write_digits(end, fraction, places);
        *--at = '.';
        at = write_digits(at, whole, 1);
        if (value < 0)
            *--at = '-';
        byte_put(writer, at, (size_t)(end - at));
        return true;
    }
    return false;
}

static void print_many_places(struct byte_writer *writer, double value)
{
    /* glibc's "C" locale is static: nothing is allocated, nothing to free. */
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    locale_t before = uselocale(plain);
    char text[40];

    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    uselocale(before);
    freelocale(plain);
    byte_put(writer, text, strlen(text));
}

void byte_print_double(struct byte_writer *writer, double value)
{
    const double whole_max = 9007199254740992.0; /* 2^53 */

    if (isnan(value))
        byte_put(writer, "NaN", 3);
    else if (isinf(value))
        byte_put(writer, value > 0 ? "+Inf" : "-Inf", 4);
    else if (fabs(value) < whole_max && value == rint(value) && !(value == 0 && signbit(value)))
        byte_print_int(writer, (int64_t)value);
    else if (!print_few_places(writer, value))
        print_many_places(writer, value);
}

static void break_off(struct byte_reader *reader)
{
    reader->broken = true;
    reader->at = reader->end;
}

const void *byte_take(struct byte_reader *reader, size_t size)
{
    const char *at = reader->at;

    if (reader->broken || byte_reader_left(reader) < size) {
        break_off(reader);
        return NULL;
    }
    if (at == NULL)
        return "";
    reader->at += size;
    return at;
}

uint8_t byte_take_u8(struct byte_reader *reader)
{
    const unsigned char *at = byte_take(reader, 1);

    return at != NULL ? *at : 0;
}

uint16_t byte_take_u16(struct byte_reader *reader)
{
    const void *at = byte_take(reader, sizeof(uint16_t));
    uint16_t value = 0;

    if (at != NULL)
        memcpy(&value, at, sizeof value);
    return le16toh(value);
}

uint32_t byte_take_u32(struct byte_reader *reader)
{
    const void *at = byte_take(reader, sizeof(uint32_t));
    uint32_t value = 0;

    if (at != NULL)
        memcpy(&value, at, sizeof value);
    return le32toh(value);
}

uint64_t byte_take_u64(struct byte_reader *reader)
{
    const void *at = byte_take(reader, sizeof(uint64_t));
    uint64_t value = 0;

    if (at != NULL)
        memcpy(&value, at, sizeof value);
    return le64toh(value);
}

int64_t byte_take_i64(struct byte_reader *reader)
{
    return (int64_t)byte_take_u64(reader);
}

float byte_take_float(struct byte_reader *reader)
{
    uint32_t bits = byte_take_u32(reader);
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

double byte_take_double(struct byte_reader *reader)
{
    uint64_t bits = byte_take_u64(reader);
    double value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

uint64_t byte_take_varint(struct byte_reader *reader)
{
    uint64_t value = 0;

    for (int index = 0; index < VARINT_MAX; index++) {
        if (reader->at == reader->end)
            break;
        uint8_t byte = (uint8_t)*reader->at++;
        if (index == VARINT_MAX - 1 && byte > 1)
            break; /* more than 64 bits */
        value |= (uint64_t)(byte & 0x7F) << (7 * index);
        if (byte < 0x80)
            return value;
    }
    break_off(reader);
    return 0;
}

uint32_t byte_take_upto(struct byte_reader *reader, uint32_t most)
{
    uint64_t value = byte_take_varint(reader);

    if (value > most) {
        break_off(reader);
        return 0;
    }
    return (uint32_t)value;
}

int64_t byte_take_svarint(struct byte_reader *reader)
{
    uint64_t value = byte_take_varint(reader);

    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

struct view byte_take_view(struct byte_reader *reader)
{
    uint64_t size = byte_take_varint(reader);

    if (size == 0)
        return (struct view){NULL, 0};
    if (size - 1 > byte_reader_left(reader) || size - 1 > UINT32_MAX) {
        break_off(reader);
        return (struct view){NULL, 0};
    }
    return (struct view){byte_take(reader, (size_t)(size - 1)), (uint32_t)(size - 1)};
}

uint64_t byte_take_count(struct byte_reader *reader, size_t least)
{
    uint64_t count = byte_take_varint(reader);

    assert(least > 0);
    if (count > byte_reader_left(reader) / least) {
        break_off(reader);
        return 0;
    }
    return count;
}

struct byte_reader byte_take_section(struct byte_reader *reader)
{
    uint64_t length = byte_take_u64(reader);
    const void *data =
        length <= byte_reader_left(reader) ? byte_take(reader, (size_t)length) : NULL;

    if (data == NULL)
        reader->broken = true;
    return byte_reader_of(data != NULL ? data : "", data != NULL ? (size_t)length : 0);
}
