#ifndef CODEC_SCHEMA_H
#define CODEC_SCHEMA_H
/*
 * schema.h - an Avro schema as a tree, its Parsing Canonical Form and fingerprint.
 *
 * avro-c decides what is a schema; the tree keeps what it drops and decoding needs
 * (units of time), with every name resolved.
 *
 * Memory   a schema lives in the arena that it was parsed into
 * Threads  immutable after schema_parse
 */
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/status.h"
#include "base/view.h"

enum schema_kind {
    SCHEMA_NULL,
    SCHEMA_BOOLEAN,
    SCHEMA_INT,
    SCHEMA_LONG,
    SCHEMA_FLOAT,
    SCHEMA_DOUBLE,
    SCHEMA_BYTES,
    SCHEMA_STRING,
    SCHEMA_RECORD,
    SCHEMA_ENUM,
    SCHEMA_FIXED,
    SCHEMA_ARRAY,
    SCHEMA_MAP,
    SCHEMA_UNION,
};

enum { SCHEMA_NAMES_MAX = 1000 };

struct schema;

struct schema_part {
    struct view name;            /* of a field; absent for a branch */
    const struct schema *schema; /* may be an enclosing one: schemas recur */
};

struct schema {
    enum schema_kind kind;
    struct view name;                /* records, enums, fixed: the full name */
    const struct schema_part *parts; /* fields of a record, branches of a union */
    uint32_t part_count;
    const struct view *symbols; /* of an enum */
    uint32_t symbol_count;
    const struct schema *item; /* of an array, values of a map */
    uint32_t fixed_bytes;
    int64_t per_ms;  /* a long with a finer timestamp type: units in a millisecond; else 1 */
    uint32_t number; /* this record, enum or fixed among those of the tree, from 0 */
};

/* What is refused is refused with REMEDY_SET_ASIDE and a text for people. */
enum status schema_parse(struct view text, struct arena *arena, const struct schema **schema,
                         struct failure *failure);
/* Appends the Parsing Canonical Form (Avro specification, "Transforming into Parsing
 * Canonical Form"). */
void schema_canonical(const struct schema *schema, struct byte_writer *out);
/* CRC-64-AVRO of the Parsing Canonical Form. */
uint64_t schema_fingerprint(const struct schema *schema);
uint64_t schema_crc64(const void *data, size_t size);
#endif
