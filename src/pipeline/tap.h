#ifndef PIPELINE_TAP_H
#define PIPELINE_TAP_H
/*
 * tap.h - reads one partition record by record, over the transport's batches.
 *
 * Memory   one array of records, from tap_open to tap_close
 * Threads  one owner, that of the transport
 */
#include <stdbool.h>
#include <stdint.h>

#include "event/transport.h"

struct tap {
    const struct transport *transport;
    struct transport_reader *reader; /* NULL: closed */
    struct record *records;
    uint32_t capacity, count, next;
    bool is_at_end; /* the last batch was followed by the end */
};

/* batch: records asked for at a time. A tap that is all zeros is closed. */
enum status tap_open(struct tap *tap, const struct transport *transport, enum topic topic,
                     int32_t partition, int64_t from, uint32_t batch, struct failure *failure);
void tap_close(struct tap *tap);
static inline bool tap_is_open(const struct tap *tap)
{
    return tap->reader != NULL;
}

/* The next record, which stays next until tap_skip. STATUS_AGAIN: none came in
 * timeout_ms. STATUS_END: all that was there is read; asked again, it looks again. */
enum status tap_peek(struct tap *tap, int64_t timeout_ms, const struct record **record,
                     struct failure *failure);
void tap_skip(struct tap *tap);
/* How many records, the next one among them, are at hand: they follow it in memory. */
static inline uint32_t tap_left(const struct tap *tap)
{
    return tap->count - tap->next;
}
#endif
