#ifndef CODEC_CODEC_H
#define CODEC_CODEC_H
/*
 * codec.h - bytes ⇄ events and results.
 *
 *   0x00 id(4)                Confluent wire format, Avro body; schema registry
 *   0xC3 0x01 fingerprint(8)  Avro single-object encoding; CRC-64-AVRO, our schemas
 *   {                         JSON
 *
 * The format is recognised for each message from its first bytes. Texts of a
 * decoded struct are views into the message where possible, else into the arena:
 * both must outlive the struct.
 *
 * Decoding checks everything that the shape says (required, ranges, lengths, UTF-8,
 * known choices). A message that cannot be decoded yields the reason that goes into
 * its dead-letter headers; a registry that cannot be reached yields STATUS_BROKEN with
 * REMEDY_RETRY: nothing is lost, the same message is asked for again.
 *
 * In JSON unknown names are skipped, of a name that stands twice the last one counts, null is
 * absent, and 1e3 is a whole number (json_decode.h says the rest). In Avro the writer's
 * schema may be any that can be resolved against ours (program.h). U+0000 is refused in both.
 *
 * Memory   a codec owns its caches; nothing is taken from the heap per message
 * Threads  one owner a codec; the schema cache behind the registry is shared and locked
 */
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/option.h"
#include "base/status.h"
#include "base/view.h"
#include "event/event.h"
#include "event/result.h"
#include "event/shape.h"

enum codec_format { CODEC_JSON, CODEC_AVRO_REGISTRY, CODEC_AVRO_SINGLE_OBJECT };

struct codec_options {
    int64_t output;           /* enum codec_format: output.format; preset json */
    const char *registry_url; /* schema.registry.url; NULL: no registry */
    const char *registry_user;
    const char *registry_password;
    int64_t registry_timeout_ms;
    int64_t message_bytes_max; /* larger ones are set aside */
    const char *topic_prefix;  /* topics.prefix, in the subjects of our schemas; NULL: none */
};
/* Section "codec"; topic_prefix is Kafka's, and filled by who reads both. */
extern const struct option_table codec_option_table;

/* Why a message was refused; the codes are part of the interface. */
enum codec_error {
    CODEC_OK,
    CODEC_ERROR_EMPTY, /* no bytes */
    CODEC_ERROR_TOO_LARGE,
    CODEC_ERROR_FORMAT,         /* none of the three */
    CODEC_ERROR_SYNTAX,         /* broken JSON or Avro; the field is the one being read */
    CODEC_ERROR_SCHEMA_UNKNOWN, /* the registry has no such id, or no such fingerprint */
    CODEC_ERROR_SCHEMA,         /* the writer's schema cannot be resolved against ours */
    CODEC_ERROR_MISSING,        /* a required field is missing or null */
    CODEC_ERROR_TYPE,
    CODEC_ERROR_RANGE,    /* number or length out of range */
    CODEC_ERROR_ENCODING, /* not UTF-8 */
    CODEC_ERROR_CHOICE,   /* not one of the names */
};
const char *codec_error_name(enum codec_error error); /* "missing-field", "bad-syntax", ... */

struct codec_reason {
    enum codec_error error;
    char field[64]; /* "items[3].quantity"; empty when no field is to blame */
    char text[200]; /* one line for people, never a value of the message */
};

struct codec;

/* Loads and checks our schemas, connects to nothing. */
enum status codec_create(const struct codec_options *options, struct codec **codec,
                         struct failure *failure);
void codec_destroy(struct codec *codec);
/* For the back-off of the registry; preset clock_system(). Borrowed. Read only when a schema
 * is met that is not known yet. */
void codec_set_clock(struct codec *codec, const struct clock *clock);

/* A request that does not say how many it wants: request.count is this, its bit stays clear. */
enum { CODEC_REQUEST_COUNT = 10 };

/* A hint: this message is going to be decoded CODEC_EXPECT_AHEAD messages from now, so its
 * memory is asked for already. */
enum { CODEC_EXPECT_AHEAD = 6 };
static inline void codec_expect(struct view message)
{
    if (view_is_absent(message))
        return;
    __builtin_prefetch(message.data);
    __builtin_prefetch(message.data + 64);
}
/* STATUS_OK; STATUS_BROKEN with REMEDY_SET_ASIDE (then `reason` is filled) or REMEDY_RETRY. */
enum status codec_decode_event(struct codec *codec, enum event_kind kind, struct view message,
                               struct arena *arena, struct event *event,
                               struct codec_reason *reason, struct failure *failure);
enum status codec_decode_result(struct codec *codec, enum result_kind kind, struct view message,
                                struct arena *arena, struct result *result,
                                struct codec_reason *reason, struct failure *failure);

/* Appends the encoded message in the output format. REMEDY_RETRY: the registry must be
 * asked for an id first and does not answer. */
enum status codec_encode_result(struct codec *codec, const struct result *result,
                                struct byte_writer *out, struct failure *failure);
enum status codec_encode_event(struct codec *codec, enum codec_format format,
                               const struct event *event, struct byte_writer *out,
                               struct failure *failure);
/* JSON of any shaped struct, whatever the output format: for replay, tail, sinks. */
void codec_json(const struct shape *shape, const void *record, struct byte_writer *out);
#endif
