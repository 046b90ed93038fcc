#ifndef EVENT_SHAPE_H
#define EVENT_SHAPE_H
/*
 * shape.h - what a struct that crosses the house looks like, as a table.
 *
 * One table a struct, and from it: the JSON scanner and writer, the Avro decode
 * program and encoder, validation with the name of the bad field, the fields that
 * rules may name, deep copies, the columns that sinks store. A test holds each
 * table against schemas/NAME.avsc, which is the source of truth.
 *
 * A shaped struct has a `uint64_t present`: bit i is set when field i was given and
 * is not null. The value of a field whose bit is clear is zero (a view: absent).
 *
 *   type           C type at offset           JSON                    Avro
 *   FIELD_TEXT     struct view                string                  string
 *   FIELD_INT      int64_t                    whole number            long, int
 *   FIELD_DOUBLE   double                     number                  double, float, long, int
 *   FIELD_TIME     int64_t, epoch ms          whole number            long (timestamp-millis)
 *   FIELD_BOOL     bool                       true, false             boolean
 *   FIELD_CHOICE   int64_t, index in choices  one of the names        enum, string
 *   FIELD_TEXTS    struct view_list           array of strings        array<string>
 *   FIELD_MAP      struct pair_list           object; scalar values   map<string>
 *                                             are kept as their text
 *   FIELD_RECORD   the sub-struct itself      object                  record
 *   FIELD_RECORDS  struct record_list         array of objects        array<record>
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/view.h"

enum field_type {
    FIELD_TEXT,
    FIELD_INT,
    FIELD_DOUBLE,
    FIELD_TIME,
    FIELD_BOOL,
    FIELD_CHOICE,
    FIELD_TEXTS,
    FIELD_MAP,
    FIELD_RECORD,
    FIELD_RECORDS,
};

struct view_list {
    const struct view *at;
    uint32_t count;
};
struct pair {
    struct view name, value;
};
struct pair_list {
    const struct pair *at;
    uint32_t count;
};
struct record_list {
    const void *at; /* count structs of field->shape->bytes each */
    uint32_t count;
};

enum {
    FIELD_REQUIRED = 1, /* must be there; null only with FIELD_NULLABLE */
    FIELD_NULLABLE = 2,
    FIELD_ID = 4, /* text of 1..256 bytes */
};

struct shape;

struct field {
    const char *name;
    enum field_type type;
    uint32_t flags;
    size_t offset;
    double least, most; /* numbers, list lengths, a text's least bytes; both 0: the type's own */
    uint32_t bytes_max; /* texts; 0: FIELD_ID's 256, else TEXT_BYTES_MAX */
    const char *const *choices; /* FIELD_CHOICE: lower case, ends in NULL */
    const struct shape *shape;  /* FIELD_RECORD, FIELD_RECORDS */
};

enum { TEXT_BYTES_MAX = 65536, ID_BYTES_MAX = 256 };

struct shape {
    const char *name; /* of schemas/NAME.avsc and, capitalised, of the Avro record */
    const struct field *fields;
    uint32_t field_count; /* <= 64 */
    size_t bytes;
    size_t present_offset;
};

/* NULL, or the field; *index (may be NULL) gets its number. */
const struct field *shape_find(const struct shape *shape, struct view name, uint32_t *index);
bool shape_has(const struct shape *shape, const void *record, uint32_t index);
void shape_set_present(const struct shape *shape, void *record, uint32_t index);
/* Copies the struct and everything it points to. */
void shape_copy(const struct shape *shape, const void *from, void *to, struct arena *arena);
/* The same fields with the same values, byte for byte (doubles: same bits or equal). */
bool shape_is_equal(const struct shape *shape, const void *a, const void *b);
#endif
