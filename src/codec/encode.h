#ifndef CODEC_ENCODE_H
#define CODEC_ENCODE_H
/*
 * encode.h - a shaped struct as the bytes of an Avro datum in our own schema.
 *
 * The schemas of ours have the shape's fields in its order; what is not required is a
 * union of null and the type. (JSON: codec_json in codec.h.)
 */
#include "base/bytes.h"
#include "base/status.h"
#include "event/shape.h"

/* REMEDY_SET_ASIDE: a required field is absent. */
enum status encode_avro(const struct shape *shape, const void *record, struct byte_writer *out,
                        struct failure *failure);
#endif
