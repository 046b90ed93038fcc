#ifndef SINK_BATCH_H
#define SINK_BATCH_H
/*
 * batch.h - records that a sink has read and not yet handed over, decoded.
 *
 *      taken    decoded     not yet
 *   |---------|-----------|---------|
 *   0       first      decoded    count
 *
 * The transport lends records only until the next poll, and a destination that is
 * away makes the sink poll many times with the same records in hand: so they are
 * copied. A batch is filled by one poll, and emptied before the next poll has room.
 *
 * Memory   an arena, reset when the batch is filled anew
 * Threads  one owner, no locks
 */
#include "base/arena.h"
#include "codec/codec.h"
#include "event/delivery.h"

struct batch {
    struct arena *arena;
    struct record *records; /* room for records_max: what poll fills */
    struct delivery_item *items;
    uint32_t records_max;
    uint32_t first;
    uint32_t decoded;
    uint32_t count;
};

void batch_init(struct batch *batch, uint32_t records_max);
void batch_free(struct batch *batch);
static inline bool batch_is_empty(const struct batch *batch)
{
    return batch->first == batch->count;
}
/* Copies the first `count` of batch->records; the batch is empty. */
void batch_hold(struct batch *batch, const struct transport *transport, uint32_t count);
/* Decodes what is not yet; what cannot be is refused. STATUS_BROKEN with REMEDY_RETRY: the
 * schema registry does not answer; the rest waits. */
enum status batch_decode(struct batch *batch, struct codec *codec, struct failure *failure);
void batch_take(struct batch *batch, uint32_t count);
void batch_drop(struct batch *batch);

/* Marks an item as refused: code in lower case with dashes, field and reason for people. */
void item_refuse(struct delivery_item *item, const char *code, const char *field,
                 const char *reason);
#endif
