#ifndef ENGINE_DEDUPLICATE_H
#define ENGINE_DEDUPLICATE_H
/*
 * deduplicate.h - the ids of the events of one topic, remembered for a while.
 *
 * Two events are the same when tenant and id are, and their times are at most
 * `window` apart. An id is remembered until no event that could still be accepted
 * is within the window; or, when the bytes are used up, until newer ones push it out.
 *
 * Units    _ms milliseconds
 * Memory   grows in doublings up to bytes_max; no heap call below the last growth
 * Threads  one owner
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/view.h"

struct deduplicate;

/* window_ms > 0; less than 4 KiB count as 4 KiB. */
struct deduplicate *deduplicate_create(int64_t window_ms, size_t bytes_max);
void deduplicate_destroy(struct deduplicate *deduplicate);
/* False when the event was seen already; otherwise it is remembered. No event older
 * than watermark_ms is going to be asked for. */
bool deduplicate_admit(struct deduplicate *deduplicate, struct view tenant_id, struct view id,
                       int64_t time_ms, int64_t watermark_ms);
size_t deduplicate_bytes(const struct deduplicate *deduplicate);
/* Ids forgotten early, for want of bytes. */
uint64_t deduplicate_pushed_out(const struct deduplicate *deduplicate);

void deduplicate_save(const struct deduplicate *deduplicate, struct byte_writer *out);
/* Into one that is empty; NULL: what was saved is passed over. When more was saved than it may
 * hold, the oldest go first. A broken reader leaves an unspecified but sound content. */
void deduplicate_load(struct deduplicate *deduplicate, struct byte_reader *in);
#endif
