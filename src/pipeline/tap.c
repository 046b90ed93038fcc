#include "pipeline/tap.h"

#include <assert.h>
#include <stdlib.h>

enum status tap_open(struct tap *tap, const struct transport *transport, enum topic topic,
                     int32_t partition, int64_t from, uint32_t batch, struct failure *failure)
{
    enum status status;

    assert(tap->reader == NULL);
    status = transport->door->reader_open(transport->context, topic, partition, from, &tap->reader,
                                          failure);
    if (status != STATUS_OK) {
        tap->reader = NULL;
        return status;
    }
    tap->transport = transport;
    if (tap->capacity < batch) {
        free(tap->records);
        tap->records = calloc(batch, sizeof(*tap->records));
        if (tap->records == NULL)
            abort();
    }
    tap->capacity = batch;
    tap->count = 0;
    tap->next = 0;
    tap->is_at_end = false;
    return STATUS_OK;
}

void tap_close(struct tap *tap)
{
    if (tap->reader != NULL)
        tap->transport->door->reader_close(tap->reader);
    free(tap->records);
    *tap = (struct tap){0};
}

enum status tap_peek(struct tap *tap, int64_t timeout_ms, const struct record **record,
                     struct failure *failure)
{
    if (tap->next == tap->count) {
        enum status status;

        if (tap->is_at_end) {
            tap->is_at_end = false;
            return STATUS_END;
        }
        tap->next = 0;
        tap->count = 0;
        status = tap->transport->door->reader_poll(tap->reader, tap->records, tap->capacity,
                                                   timeout_ms, &tap->count, failure);
        if (status != STATUS_OK && status != STATUS_END) {
            tap->count = 0;
            return status;
        }
        if (tap->count == 0)
            return status == STATUS_END ? STATUS_END : STATUS_AGAIN;
        tap->is_at_end = status == STATUS_END;
    }
    *record = &tap->records[tap->next];
    return STATUS_OK;
}

void tap_skip(struct tap *tap)
{
    assert(tap->next < tap->count);
    tap->next++;
}
