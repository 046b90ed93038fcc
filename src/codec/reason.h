#ifndef CODEC_REASON_H
#define CODEC_REASON_H
/*
 * reason.h - why a message was refused, and where in it a decoder stood.
 *
 * A decoder keeps a trail of the fields that it is inside of; when it gives up,
 * the trail becomes the name of the field: "items[3].quantity".
 *
 * The text names what was expected and the byte where it was not found, never a
 * value of the message: reasons end in logs and headers that more people may read
 * than the message.
 */
#include <stddef.h>
#include <stdint.h>

#include "codec/codec.h"

/* Shapes nest two deep; the rest is room to grow. */
enum { TRAIL_STEPS_MAX = 8 };

struct trail_step {
    const struct field *field; /* NULL: none, or one that we do not know */
    int64_t index;             /* in the field's list; -1: the field itself */
};

struct trail {
    struct trail_step steps[TRAIL_STEPS_MAX];
    uint32_t level; /* of the record being read; steps[level] is its field */
};

static inline void trail_at(struct trail *trail, const struct field *field)
{
    trail->steps[trail->level] = (struct trail_step){field, -1};
}

/* Fills `reason` with the field that the trail leads to, and returns `error`. `trail`
 * may be NULL: no field is to blame. `offset` counts from the start of the message. */
enum codec_error reason_set(struct codec_reason *reason, enum codec_error error,
                            const struct trail *trail, size_t offset, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
#endif
