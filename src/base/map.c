#include "base/map.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

enum { CAPACITY_LEAST = 16 };

struct slot {
    struct view key; /* owned */
    uint64_t hash;
    uint64_t value;
    bool is_used;
};

struct map {
    struct slot *slots;
    uint32_t capacity; /* a power of two */
    uint32_t count;
};

static void *heap_take(size_t count, size_t bytes)
{
    void *memory = calloc(count, bytes);

    if (memory == NULL) {
        fprintf(stderr, "map: the heap has no %zu bytes left\n", count * bytes);
        abort();
    }
    return memory;
}

/* The slot of `key`, or the free one where it belongs. */
static struct slot *find_slot(const struct map *map, struct view key, uint64_t hash)
{
    uint32_t index = (uint32_t)hash & (map->capacity - 1);

    for (;; index = (index + 1) & (map->capacity - 1)) {
        struct slot *slot = &map->slots[index];
        if (!slot->is_used || (slot->hash == hash && view_is_equal(slot->key, key)))
            return slot;
    }
}

static void double_capacity(struct map *map)
{
    struct map larger = {.capacity = map->capacity * 2, .count = map->count};

    assert(larger.capacity != 0);
    larger.slots = heap_take(larger.capacity, sizeof *larger.slots);
    for (uint32_t index = 0; index < map->capacity; index++) {
        const struct slot *slot = &map->slots[index];
        if (slot->is_used)
            *find_slot(&larger, slot->key, slot->hash) = *slot;
    }
    free(map->slots);
    *map = larger;
}

static struct view copy_key(struct view key)
{
    if (view_is_absent(key))
        return key;
    char *copy = heap_take((size_t)key.size + 1, 1);
    memcpy(copy, key.data, key.size);
    return (struct view){copy, key.size};
}

static void free_key(struct view key)
{
    free((void *)(uintptr_t)key.data);
}

struct map *map_create(void)
{
    struct map *map = heap_take(1, sizeof *map);

    map->capacity = CAPACITY_LEAST;
    map->slots = heap_take(map->capacity, sizeof *map->slots);
    return map;
}

void map_destroy(struct map *map)
{
    if (map == NULL)
        return;
    for (uint32_t index = 0; index < map->capacity; index++)
        free_key(map->slots[index].key);
    free(map->slots);
    free(map);
}

bool map_put(struct map *map, struct view key, uint64_t value)
{
    uint64_t hash = hash_view(key, 0);
    struct slot *slot = find_slot(map, key, hash);

    if (slot->is_used) {
        slot->value = value;
        return false;
    }
    if (map->count >= map->capacity / 4 * 3) {
        double_capacity(map);
        slot = find_slot(map, key, hash);
    }
    *slot = (struct slot){copy_key(key), hash, value, true};
    map->count++;
    return true;
}

bool map_get(const struct map *map, struct view key, uint64_t *value)
{
    const struct slot *slot = find_slot(map, key, hash_view(key, 0));

    if (slot->is_used && value != NULL)
        *value = slot->value;
    return slot->is_used;
}

bool map_remove(struct map *map, struct view key)
{
    const uint32_t mask = map->capacity - 1;
    struct slot *slot = find_slot(map, key, hash_view(key, 0));

    if (!slot->is_used)
        return false;
    free_key(slot->key);
    map->count--;
    /* Those behind the gap move up into it when the gap lies on their way from home:
     * a search must meet no free slot before its key. */
    uint32_t gap = (uint32_t)(slot - map->slots);
    for (uint32_t index = (gap + 1) & mask; map->slots[index].is_used; index = (index + 1) & mask) {
        uint32_t home = (uint32_t)map->slots[index].hash & mask;
        if (((index - home) & mask) < ((index - gap) & mask))
            continue;
        map->slots[gap] = map->slots[index];
        gap = index;
    }
    map->slots[gap] = (struct slot){0};
    return true;
}

uint32_t map_count(const struct map *map)
{
    return map->count;
}

bool map_next(const struct map *map, uint32_t *cursor, struct view *key, uint64_t *value)
{
    while (*cursor < map->capacity) {
        const struct slot *slot = &map->slots[(*cursor)++];
        if (!slot->is_used)
            continue;
        *key = slot->key;
        *value = slot->value;
        return true;
    }
    return false;
}
