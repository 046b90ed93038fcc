#ifndef WINDOW_SERIES_H
#define WINDOW_SERIES_H
/*
 * series.h - what happened to one key, and what a sliding window over it shows.
 *
 * The points of a series are the distinct times at which something happened. The
 * value at a point t is an aggregate over (t - window, t], everything at t included:
 *
 *   SERIES_COUNT   how many
 *   SERIES_SUM     their weights added up
 *   SERIES_COVER   how many intervals cover t; the intervals are the caller's (cover.h)
 *
 * A value only grows when something is added, so a point comes to satisfy
 * value >= need at most once: each addition reports the points that it made satisfy.
 *
 * Costs   n points in the window: in order O(1) amortised (SERIES_COVER: O(log n)
 *         beyond SERIES_FLAT_MAX points), otherwise O(log n); each reported point O(log n)
 * Units   times in milliseconds on one axis; weights are the caller's
 * Memory  from series_memory, counted; a series of up to two points may be given room
 *         by its owner
 * Threads one owner, no locks
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "window/blocks.h"
#include "window/slab.h"

enum series_kind { SERIES_COUNT, SERIES_SUM, SERIES_COVER };

enum { SERIES_FLAT_MAX = 64, SERIES_LENT_BYTES = 32 };

struct series_rule {
    enum series_kind kind;
    int64_t window_ms; /* > 0 */
    __int128 need;     /* > 0 */
};

struct series_memory {
    struct blocks *blocks;
    struct slab narrow; /* chunks of SERIES_COUNT */
    struct slab wide;   /* chunks of the others */
};

struct trunk;

/* All zeros but `lent` is an empty series. */
struct series {
    char *entries;       /* the newest points, in order */
    struct trunk *trunk; /* older ones, when there are many; NULL: none */
    uint16_t head;       /* the first entry in use */
    uint16_t count;
    uint16_t capacity; /* 0: none taken */
    uint16_t low;      /* the first entry inside the window of the last */
};

struct point {
    int64_t time_ms;
    uint32_t count; /* what happened at that time */
};
/* Grows as needed; points are in the order of time. */
struct point_list {
    struct point *at;
    uint32_t count;
    uint32_t capacity;
};

struct series_change {
    int64_t time_ms;
    int64_t from_ms, until_ms; /* values at points in [from, until) rise */
    __int128 rise;             /* >= 0 */
    __int128 weight;           /* SERIES_SUM: leaves the window of points at time + window;
                                * SERIES_COVER: intervals that end at time + window */
    int64_t moved_ms;          /* SERIES_COVER: the end that one interval had till now is
                                * this + window; INT64_MIN: none moves */
};

struct series_outcome {
    bool is_last;       /* nothing later was there */
    bool was_satisfied; /* its point satisfied before; it is not reported again */
    __int128 value;     /* at its point, afterwards */
};

void series_memory_open(struct series_memory *memory, struct pages *pages, struct blocks *blocks);
void series_memory_close(struct series_memory *memory);
void point_list_add(struct point_list *list, int64_t time_ms, uint32_t count);
void point_list_free(struct point_list *list);

/* lent: SERIES_LENT_BYTES that stay where they are, or NULL. */
void series_add(struct series *series, struct series_memory *memory, void *lent,
                const struct series_rule *rule, const struct series_change *change,
                struct series_outcome *outcome, struct point_list *satisfied);
/* Nothing before `watermark_ms` will be added any more: forgets what no later window sees. */
void series_trim(struct series *series, struct series_memory *memory, void *lent,
                 const struct series_rule *rule, int64_t watermark_ms);
/* Highest value at a point in [from, until); 0 when there is none. */
__int128 series_max(const struct series *series, const struct series_memory *memory,
                    const struct series_rule *rule, int64_t from_ms, int64_t until_ms);
/* First point after that time; INT64_MAX when there is none. */
int64_t series_first_after(const struct series *series, const struct series_memory *memory,
                           const struct series_rule *rule, int64_t after_ms);
/* Asks for the memory that series_trim and series_add will look at first. */
void series_prefetch(const struct series *series, const struct series_rule *rule);
/* INT64_MIN when empty. */
int64_t series_last(const struct series *series, const struct series_rule *rule);
/* Bytes of `memory` in use beyond its blocks. */
size_t series_memory_chunk_bytes(const struct series_memory *memory);
void series_free(struct series *series, struct series_memory *memory, void *lent,
                 const struct series_rule *rule);

void series_save(const struct series *series, const struct series_memory *memory,
                 const struct series_rule *rule, struct byte_writer *out);
/* Into an empty series. False: the bytes are no series. */
bool series_load(struct series *series, struct series_memory *memory, void *lent,
                 const struct series_rule *rule, struct byte_reader *in);
#endif
