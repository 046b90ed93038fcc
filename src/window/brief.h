#ifndef WINDOW_BRIEF_H
#define WINDOW_BRIEF_H
/*
 * brief.h - the times of a few things that happened, and nothing else about them.
 *
 * Most keys never come near the limit of their rule. For as long as it is plain that no
 * window can satisfy, the times alone are enough: from them the owner can make the full
 * window (series.h, steps.h) on the day that it is needed, by adding them to it one after
 * the other. Adding here writes one number, in any order of time.
 *
 *   base                              base + 2^32 ms
 *    |-----x----x-------x---x----------|     each x four bytes, in the order of arrival
 *
 * Costs    O(1) amortised; what is too old is dropped when the room is used up
 * Memory   a cache line; beyond BRIEF_INLINE_MAX times, a run that doubles
 * Threads  one owner, no locks
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "window/blocks.h"

enum { BRIEF_INLINE_MAX = 12, BRIEF_MAX = 64 };

/* All zeros: empty. */
struct brief {
    int64_t base_ms;
    uint32_t newest; /* since base */
    uint8_t count;
    uint8_t capacity; /* of the run; 0: they lie inside */
    uint8_t mark;     /* the owner's: what all of them are */
    union {
        uint32_t inside[BRIEF_INLINE_MAX];
        uint32_t *run;
    };
};

static inline uint32_t *brief_times(struct brief *brief)
{
    return brief->capacity > 0 ? brief->run : brief->inside;
}
static inline uint32_t brief_room(const struct brief *brief)
{
    return brief->capacity > 0 ? brief->capacity : BRIEF_INLINE_MAX;
}

/* The same as brief_add. */
bool brief_add_anyhow(struct brief *brief, struct blocks *blocks, int64_t time_ms,
                      int64_t forget_ms);
/* False, and nothing has changed that matters: there is no room, or the times lie too far
 * apart. What is not later than forget_ms may be dropped. */
static inline bool brief_add(struct brief *brief, struct blocks *blocks, int64_t time_ms,
                             int64_t forget_ms)
{
    uint64_t since_ms = (uint64_t)time_ms - (uint64_t)brief->base_ms;

    if (brief->count == 0 || brief->count >= brief_room(brief) || since_ms > UINT32_MAX)
        return brief_add_anyhow(brief, blocks, time_ms, forget_ms);
    brief_times(brief)[brief->count++] = (uint32_t)since_ms;
    if (brief->newest < since_ms)
        brief->newest = (uint32_t)since_ms;
    return true;
}
/* Drops what is not later than until_ms. */
void brief_forget(struct brief *brief, struct blocks *blocks, int64_t until_ms);
/* INT64_MIN when empty. */
int64_t brief_newest(const struct brief *brief);
/* In order. Returns how many. */
uint32_t brief_list(const struct brief *brief, int64_t times_ms[BRIEF_MAX]);
void brief_free(struct brief *brief, struct blocks *blocks);
/* Asks for the memory that brief_add will write, when it is not in `brief` itself. */
static inline void brief_prefetch(const struct brief *brief)
{
    if (brief->capacity > 0)
        __builtin_prefetch(&brief->run[brief->count], 1);
}
void brief_save(const struct brief *brief, struct byte_writer *out);
/* Into an empty one. False: the bytes are none. */
bool brief_load(struct brief *brief, struct blocks *blocks, struct byte_reader *in);
#endif
