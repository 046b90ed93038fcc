#ifndef BASE_MAP_H
#define BASE_MAP_H
/*
 * map.h - text to number, for tables that are filled once or seldom (topic
 * names, schema ids, metric labels). Hot state has tables of its own.
 *
 * Open addressing, at most 3/4 full, grows by doubling. Keys are copied.
 *
 * Memory   owned; map_destroy gives it back
 * Threads  one owner, no locks
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"

struct map;

struct map *map_create(void);
void map_destroy(struct map *map);
/* Replaces what was there. Returns true when the key is new. */
bool map_put(struct map *map, struct view key, uint64_t value);
/* `value` may be NULL, to ask only. */
bool map_get(const struct map *map, struct view key, uint64_t *value);
bool map_remove(struct map *map, struct view key);
uint32_t map_count(const struct map *map);
/* In no particular order; start with *cursor = 0. False at the end. */
bool map_next(const struct map *map, uint32_t *cursor, struct view *key, uint64_t *value);
#endif
