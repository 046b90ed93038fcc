#ifndef SINK_POSTGRES_TEXT_H
#define SINK_POSTGRES_TEXT_H
/*
 * postgres_text.h - values as PostgreSQL reads them, whatever bytes they hold.
 *
 * A column of a batch is one array parameter in text form, `{"a",NULL,"b"}`: values
 * never become part of a statement. PostgreSQL stores no U+0000 and nothing that is
 * not UTF-8: each NUL and each bad byte becomes U+FFFD, in texts and inside JSON. The
 * record itself stays in the log as it was.
 *
 * Threads  any; nothing is shared
 */
#include "base/bytes.h"
#include "base/view.h"
#include "event/shape.h"

/* An array under construction: begin, any number of put, end. */
void array_begin(struct byte_writer *out);
void array_put_null(struct byte_writer *out);
/* Absent: null. Texts are cut after bytes_max bytes, between characters. */
void array_put_text(struct byte_writer *out, struct view text, uint32_t bytes_max);
void array_put_int(struct byte_writer *out, int64_t value);
void array_put_double(struct byte_writer *out, double value);
/* bytea; absent: null. */
void array_put_bytes(struct byte_writer *out, struct view bytes);
/* Ends in a NUL that is not counted in size, so that out->data is the parameter. */
void array_end(struct byte_writer *out);

/* The JSON of one list, map or record field; scratch is overwritten. */
void array_put_json(struct byte_writer *out, const struct field *field, const void *at,
                    struct byte_writer *scratch);
/* \u0000 in a JSON text becomes \ufffd, in place. */
void json_drop_null_escapes(char *text, size_t size);
#endif
