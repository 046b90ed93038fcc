#ifndef PIPELINE_PARCEL_H
#define PIPELINE_PARCEL_H
/*
 * parcel.h - encoded messages on their way out, in order.
 *
 * While a transaction commits nothing may be produced, and yet the intake goes on:
 * what it makes waits here. A queue is three flat buffers, kept over a reset.
 *
 * Memory   owned, grows to the largest batch; what is given is copied
 * Threads  one owner
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"
#include "event/transport.h"

struct letter;
struct parcel;
struct parcel_header;

struct parcel_queue {
    struct parcel *parcels;
    uint32_t count, capacity;
    uint32_t next; /* first that has not left */
    struct parcel_header *headers;
    uint32_t header_count, header_capacity;
    struct header *leaving; /* headers of the parcel that leaves; and room to say that it was cut */
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
/* The record as it came from `transport`, and the letter: the record's headers in their
 * order, but for those of the letter's names, then the letter's. */
void parcel_add_record(struct parcel_queue *queue, enum topic topic, int32_t partition,
                       const struct transport *transport, const struct record *record,
                       const struct letter *letter);

/* A record that the log refuses for its size (REMEDY_SET_ASIDE) goes to the dead-letter topic
 * without its value, with the header weir.source.bytes, its size.
 * STATUS_OK: all have left, and the queue is reset. STATUS_FULL, STATUS_AGAIN: as
 * produce says; the rest stays. STATUS_BROKEN: the same, with the remedy. May be
 * called again from within the transport's listener. */
enum status parcel_flush(struct parcel_queue *queue, const struct transport *transport,
                         struct failure *failure);
#endif
