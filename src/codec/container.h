#ifndef CODEC_CONTAINER_H
#define CODEC_CONTAINER_H
/*
 * container.h - the events in an Avro object container file.
 *
 *   Obj 1 | metadata: schema, codec | sync | block | sync | block | sync ...
 *
 * Codecs: null, deflate, zstandard. The file's schema is resolved against the shape of
 * the kind once, at open, and each datum is read straight into the struct.
 *
 * Texts of an event are views into the block: valid until the next call; lists live in
 * the arena.
 *
 * Memory   one block, packed and unpacked, each at most CONTAINER_BLOCK_BYTES_MAX
 * Threads  one owner
 */
#include <stdbool.h>
#include <stddef.h>

#include "codec/codec.h"

enum { CONTAINER_BLOCK_BYTES_MAX = 256 << 20, CONTAINER_HEAD_BYTES_MAX = 8 << 20 };

struct codec_container;

/* Where the bytes come from. Fills `to` as far as there are any. STATUS_END: not a byte is
 * left; STATUS_BROKEN: what it says is passed on. */
typedef enum status codec_read_fn(void *context, char *to, size_t size, size_t *got,
                                  struct failure *failure);

/* Whether a file that begins so is a container. Four bytes suffice. */
bool codec_container_is_head(const void *data, size_t size);

/* STATUS_BROKEN with REMEDY_STOP: no container, or a schema that cannot be resolved. The
 * codec is borrowed. */
enum status codec_container_open(struct codec *codec, enum event_kind kind, codec_read_fn *read,
                                 void *context, struct codec_container **container,
                                 struct failure *failure);
void codec_container_close(struct codec_container *container);

/* STATUS_OK; STATUS_END; STATUS_BROKEN with REMEDY_SET_ASIDE: this datum is no valid event,
 * `reason` says why (its offset counts from the datum), go on; with REMEDY_STOP: the file is
 * damaged, nothing more can be read. */
enum status codec_container_next(struct codec_container *container, struct arena *arena,
                                 struct event *event, struct codec_reason *reason,
                                 struct failure *failure);
#endif
