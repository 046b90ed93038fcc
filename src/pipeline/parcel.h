#ifndef PIPELINE_PARCEL_H
#define PIPELINE_PARCEL_H
/*
 * parcel.h - encoded messages on their way out, in order.
 *
 * While a transaction commits nothing may be produced, and yet the intake goes on:
 * what it makes waits here. A queue is two flat buffers, kept over a reset.
 *
 * Memory   owned, grows to the largest batch; a parcel with an origin borrows the
 *          origin's record (key, value, headers) until the next poll
 * Threads  one owner
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"
#include "event/transport.h"

enum { PARCEL_HEADERS_MAX = 12 };

struct parcel;

struct parcel_queue {
    struct parcel *parcels;
    uint32_t count, capacity;
    uint32_t next;         /* first that has not left */
    uint32_t origin_count; /* not left, and borrowing from a record */
    struct byte_writer bytes;
};

void parcel_queue_init(struct parcel_queue *queue);
void parcel_queue_free(struct parcel_queue *queue);
void parcel_queue_reset(struct parcel_queue *queue);
static inline bool parcel_queue_is_empty(const struct parcel_queue *queue)
{
    return queue->next == queue->count;
}

/* Begins a parcel; the value is what is appended to the writer returned, until
 * parcel_end or parcel_cancel. partition -1: by key. */
struct byte_writer *parcel_begin(struct parcel_queue *queue, enum topic topic, int32_t partition,
                                 struct view key);
void parcel_end(struct parcel_queue *queue);
void parcel_cancel(struct parcel_queue *queue);
/* The record as it is, with its headers and these (at most PARCEL_HEADERS_MAX, names
 * that live for ever, values copied). */
void parcel_add_record(struct parcel_queue *queue, enum topic topic, int32_t partition,
                       const struct record *origin, const struct header *headers,
                       uint32_t header_count);

/* A record that the log refuses for its size (REMEDY_SET_ASIDE) goes to the dead-letter topic
 * without its value, with the header weir.source.bytes, its size.
 * STATUS_OK: all have left, and the queue is reset. STATUS_FULL, STATUS_AGAIN: as
 * produce says; the rest stays. STATUS_BROKEN: the same, with the remedy. May be
 * called again from within the transport's listener. */
enum status parcel_flush(struct parcel_queue *queue, const struct transport *transport,
                         struct failure *failure);
#endif
