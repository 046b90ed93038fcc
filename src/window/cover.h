#ifndef WINDOW_COVER_H
#define WINDOW_COVER_H
/*
 * cover.h - how many different values a sliding window holds.
 *
 * A value seen at s is in the window of every point in [s, s + window). All sightings of
 * a value together cover some intervals; the number of values at a point is the number
 * of intervals that cover it, which is what a SERIES_COVER series counts. Each sighting
 * thus becomes a change of that series: one more over the part newly covered.
 *
 *   seen      s1      s2                    s3
 *   covered   [--------------------)        [------------)
 *
 * Costs    one probe a sighting; values are texts, compared whole
 * Memory   one slot a value and owner, until the watermark has passed its intervals
 * Threads  one owner, no locks
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/view.h"
#include "window/blocks.h"
#include "window/series.h"
#include "window/slab.h"
#include "window/table.h"

struct cover_memory {
    struct blocks *blocks;
    struct slab covers;
    struct table table;
};

/* The values of one owner, the longest unseen first. All zeros: none. */
struct cover_list {
    uint32_t first, last;
};

void cover_memory_open(struct cover_memory *memory, struct pages *pages, struct blocks *blocks);
void cover_memory_close(struct cover_memory *memory);
/* Bytes in use beyond the blocks. */
size_t cover_memory_bytes(const struct cover_memory *memory);

/* owner: a number that no other list has. Fills all of `change`, for series_add. */
void cover_add(struct cover_memory *memory, struct cover_list *list, uint32_t owner,
               struct view value, int64_t time_ms, int64_t window_ms, int64_t watermark_ms,
               struct series_change *change);
/* Forgets values of which no event at or after the watermark could extend an interval. */
void cover_trim(struct cover_memory *memory, struct cover_list *list, int64_t watermark_ms);
void cover_free(struct cover_memory *memory, struct cover_list *list);
void cover_save(const struct cover_memory *memory, const struct cover_list *list,
                struct byte_writer *out);
/* Into an empty list. False: the bytes are none. */
bool cover_load(struct cover_memory *memory, struct cover_list *list, uint32_t owner,
                struct byte_reader *in);
#endif
