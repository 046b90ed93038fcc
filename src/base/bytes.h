#ifndef BASE_BYTES_H
#define BASE_BYTES_H
/*
 * bytes.h - writing and reading flat bytes.
 *
 * Integers are little-endian of fixed width, or varints (LEB128; signed ones
 * zig-zag first, as Avro and protobuf do). A text is a varint length and bytes;
 * an absent view is kept apart from an empty one.
 *
 * Memory   a writer owns a growing buffer; a reader borrows what it reads
 * Errors   a writer cannot fail; a reader that runs past its end, or meets a
 *          varint over 10 bytes, returns zeros from then on and `broken` stays
 *          set: check once, at the end
 */
#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/view.h"

struct byte_writer {
    char *data;
    size_t size;
    size_t capacity;
};

void byte_writer_init(struct byte_writer *writer);
void byte_writer_free(struct byte_writer *writer);
static inline void byte_writer_reset(struct byte_writer *writer)
{
    writer->size = 0;
}
/* Room for `bytes` more at data + size; the caller advances size. */
char *byte_writer_reserve(struct byte_writer *writer, size_t bytes);

void byte_put(struct byte_writer *writer, const void *data, size_t size);
void byte_put_u8(struct byte_writer *writer, uint8_t value);
void byte_put_u16(struct byte_writer *writer, uint16_t value);
void byte_put_u32(struct byte_writer *writer, uint32_t value);
void byte_put_u64(struct byte_writer *writer, uint64_t value);
void byte_put_i64(struct byte_writer *writer, int64_t value);
void byte_put_float(struct byte_writer *writer, float value);
void byte_put_double(struct byte_writer *writer, double value);
void byte_put_varint(struct byte_writer *writer, uint64_t value);
void byte_put_svarint(struct byte_writer *writer, int64_t value);
void byte_put_view(struct byte_writer *writer, struct view view);
/* What is put until byte_end_section is preceded by its length, for byte_take_section. */
size_t byte_begin_section(struct byte_writer *writer);
void byte_end_section(struct byte_writer *writer, size_t section);
void byte_print(struct byte_writer *writer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Decimal, whatever the locale. A double prints as the shortest decimal that reads
 * back equal, without a fraction when it is whole; else NaN, +Inf or -Inf. */
void byte_print_int(struct byte_writer *writer, int64_t value);
void byte_print_double(struct byte_writer *writer, double value);
/* What was written, which must be less than 4 GiB. */
static inline struct view byte_writer_view(const struct byte_writer *writer)
{
    assert(writer->size <= UINT32_MAX);
    return (struct view){writer->data != NULL ? writer->data : "", (uint32_t)writer->size};
}

struct byte_reader {
    const char *at;
    const char *end;
    bool broken;
};

static inline struct byte_reader byte_reader_of(const void *data, size_t size)
{
    return (struct byte_reader){(const char *)data, (const char *)data + size, false};
}
static inline size_t byte_reader_left(const struct byte_reader *reader)
{
    return (size_t)(reader->end - reader->at);
}

/* NULL when fewer than `size` bytes are left. */
const void *byte_take(struct byte_reader *reader, size_t size);
uint8_t byte_take_u8(struct byte_reader *reader);
uint16_t byte_take_u16(struct byte_reader *reader);
uint32_t byte_take_u32(struct byte_reader *reader);
uint64_t byte_take_u64(struct byte_reader *reader);
int64_t byte_take_i64(struct byte_reader *reader);
float byte_take_float(struct byte_reader *reader);
double byte_take_double(struct byte_reader *reader);
uint64_t byte_take_varint(struct byte_reader *reader);
/* A varint of at most `most`: broken when it is more. */
uint32_t byte_take_upto(struct byte_reader *reader, uint32_t most);
int64_t byte_take_svarint(struct byte_reader *reader);
/* Borrowed from the bytes read. */
struct view byte_take_view(struct byte_reader *reader);
/* A reader of what one section holds; the given reader is behind it. */
struct byte_reader byte_take_section(struct byte_reader *reader);
/* A count of things that need at least `least` bytes each (>= 1): broken when
 * that many cannot follow, so that a corrupt count never sizes an allocation. */
uint64_t byte_take_count(struct byte_reader *reader, size_t least);
#endif
