#ifndef WINDOW_TRUNK_H
#define WINDOW_TRUNK_H
/*
 * trunk.h - the older points of a busy series, in a balanced tree of chunks; for series.c.
 *
 * Memory  from series_memory
 */
#include "window/series.h"

struct trunk *trunk_create(struct series_memory *memory);
void trunk_destroy(struct trunk *trunk, struct series_memory *memory,
                   const struct series_rule *rule);
/* Entries later than all of the trunk; count <= SERIES_FLAT_MAX. */
void trunk_append(struct trunk *trunk, struct series_memory *memory, const struct series_rule *rule,
                  const void *entries, uint32_t count);
/* Drops chunks whose points are all at or before that time. True: none is left. */
bool trunk_trim(struct trunk *trunk, struct series_memory *memory, const struct series_rule *rule,
                int64_t until_ms);
int64_t trunk_last(const struct trunk *trunk, const struct series_memory *memory,
                   const struct series_rule *rule);
/* The value at the last point at or before that time; false when there is none. *time_ms
 * becomes that point's time. */
bool trunk_before(const struct trunk *trunk, const struct series_memory *memory,
                  const struct series_rule *rule, int64_t time_ms, int64_t *found_ms,
                  __int128 *value);
/* Sum of the weights of points in (after, until]. */
__int128 trunk_sum(const struct trunk *trunk, const struct series_memory *memory,
                   const struct series_rule *rule, int64_t after_ms, int64_t until_ms);
/* As trunk_sum, for calls whose `after` is the `until` of the one before: amortised O(1). */
__int128 trunk_slide(struct trunk *trunk, const struct series_memory *memory,
                     const struct series_rule *rule, int64_t after_ms, int64_t until_ms);
/* One more happened at that time; `value` is that of the point when it is new. Values are
 * not raised. True: the point is new. */
bool trunk_insert(struct trunk *trunk, struct series_memory *memory, const struct series_rule *rule,
                  int64_t time_ms, __int128 weight, __int128 value);
/* The point must be there. */
void trunk_add_weight(struct trunk *trunk, struct series_memory *memory,
                      const struct series_rule *rule, int64_t time_ms, __int128 weight);
void trunk_raise(struct trunk *trunk, struct series_memory *memory, const struct series_rule *rule,
                 int64_t from_ms, int64_t until_ms, __int128 rise, struct point_list *satisfied);
__int128 trunk_max(const struct trunk *trunk, const struct series_memory *memory,
                   const struct series_rule *rule, int64_t from_ms, int64_t until_ms);
int64_t trunk_first_after(const struct trunk *trunk, const struct series_memory *memory,
                          const struct series_rule *rule, int64_t after_ms);
void trunk_save(const struct trunk *trunk, const struct series_memory *memory,
                const struct series_rule *rule, struct byte_writer *out);
bool trunk_load(struct trunk *trunk, struct series_memory *memory, const struct series_rule *rule,
                struct byte_reader *in);
/* One entry, as series_save and trunk_save write it; times as differences. */
void entry_save(const struct series_rule *rule, const void *entry, __int128 more,
                int64_t *before_ms, struct byte_writer *out);
bool entry_load(const struct series_rule *rule, void *entry, int64_t *before_ms,
                struct byte_reader *in);
#endif
