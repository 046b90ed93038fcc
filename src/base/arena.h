#ifndef BASE_ARENA_H
#define BASE_ARENA_H
/*
 * arena.h - memory that ends all at once.
 *
 * Chunks are taken from the heap when the arena grows, and what was taken is kept
 * over a reset: a batch arena stops calling malloc once it has seen its largest batch.
 *
 * Memory   arena_destroy gives everything back; running out of heap aborts
 * Threads  one owner, no locks
 */
#include <stddef.h>

#include "base/view.h"

struct arena;

/* chunk_bytes: the least amount taken from the heap at a time; > 0. */
struct arena *arena_create(size_t chunk_bytes);
void arena_destroy(struct arena *arena);

/* Zeroed, aligned to 16 bytes. Never NULL. */
void *arena_alloc(struct arena *arena, size_t bytes);
/* As arena_alloc, but not zeroed and aligned to 1: for text. */
char *arena_text(struct arena *arena, size_t bytes);
/* An absent view stays absent. The copy is followed by a NUL that is not counted. */
struct view arena_copy(struct arena *arena, struct view view);
/* printf into the arena; ends in NUL. */
char *arena_print(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Everything handed out is void; the memory stays, as one chunk. */
void arena_reset(struct arena *arena);
/* Bytes taken from the heap. */
size_t arena_bytes(const struct arena *arena);
#endif
