/*
 * Chunks form a list; `current` is the one being filled, those before it are
 * full, those after it wait empty (they are left from before a reset).
 *
 *   first -> [full] -> [full] -> [current ..    ] -> [empty] -> [empty]
 *
 * Invariant: every chunk after `current` has used == 0.
 */
#include "base/arena.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Under the address sanitizer, what a reset took back may not be read again. */
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define FORBID(data, bytes) ASAN_POISON_MEMORY_REGION(data, bytes)
#define ALLOW(data, bytes) ASAN_UNPOISON_MEMORY_REGION(data, bytes)
#else
#define FORBID(data, bytes) ((void)(data), (void)(bytes))
#define ALLOW(data, bytes) ((void)(data), (void)(bytes))
#endif

enum { ALIGNMENT = 16 };

struct chunk {
    struct chunk *next;
    size_t capacity;
    size_t used;
    _Alignas(ALIGNMENT) char data[];
};

struct arena {
    struct chunk *first;
    struct chunk *current;
    size_t chunk_bytes;
    size_t heap_bytes;
};

static void *heap_take(size_t bytes)
{
    void *memory = malloc(bytes);

    if (memory == NULL) {
        fprintf(stderr, "arena: the heap has no %zu bytes left\n", bytes);
        abort();
    }
    return memory;
}

static struct chunk *add_chunk(struct arena *arena, size_t bytes)
{
    size_t capacity = bytes > arena->chunk_bytes ? bytes : arena->chunk_bytes;
    struct chunk *chunk = heap_take(sizeof *chunk + capacity);

    *chunk = (struct chunk){.capacity = capacity};
    FORBID(chunk->data, capacity);
    arena->heap_bytes += sizeof *chunk + capacity;
    if (arena->current == NULL) {
        arena->first = chunk;
    } else {
        chunk->next = arena->current->next;
        arena->current->next = chunk;
    }
    arena->current = chunk;
    return chunk;
}

/* The next chunk that holds `bytes`: one that waits, moved up, or a new one. */
static struct chunk *advance(struct arena *arena, size_t bytes)
{
    struct chunk *current = arena->current;

    if (current == NULL)
        return add_chunk(arena, bytes);
    for (struct chunk **link = &current->next; *link != NULL; link = &(*link)->next) {
        struct chunk *chunk = *link;
        if (chunk->capacity < bytes)
            continue;
        *link = chunk->next;
        chunk->next = current->next;
        current->next = chunk;
        arena->current = chunk;
        return chunk;
    }
    return add_chunk(arena, bytes);
}

static char *take(struct arena *arena, size_t bytes, size_t alignment)
{
    struct chunk *chunk = arena->current;
    size_t start = 0;

    assert(bytes <= SIZE_MAX / 2);
    if (chunk != NULL)
        start = (chunk->used + (alignment - 1)) & ~(alignment - 1);
    if (chunk == NULL || start > chunk->capacity || chunk->capacity - start < bytes) {
        chunk = advance(arena, bytes);
        start = 0;
    }
    chunk->used = start + bytes;
    ALLOW(chunk->data + start, bytes);
    return chunk->data + start;
}

struct arena *arena_create(size_t chunk_bytes)
{
    struct arena *arena = heap_take(sizeof *arena);

    assert(chunk_bytes > 0);
    *arena = (struct arena){.chunk_bytes = chunk_bytes, .heap_bytes = sizeof *arena};
    return arena;
}

void arena_destroy(struct arena *arena)
{
    if (arena == NULL)
        return;
    for (struct chunk *chunk = arena->first; chunk != NULL;) {
        struct chunk *next = chunk->next;
        ALLOW(chunk->data, chunk->capacity);
        free(chunk);
        chunk = next;
    }
    free(arena);
}

void *arena_alloc(struct arena *arena, size_t bytes)
{
    char *memory = take(arena, bytes, ALIGNMENT);

    memset(memory, 0, bytes);
    return memory;
}

char *arena_text(struct arena *arena, size_t bytes)
{
    return take(arena, bytes, 1);
}

struct view arena_copy(struct arena *arena, struct view view)
{
    if (view_is_absent(view))
        return view;
    char *copy = arena_text(arena, (size_t)view.size + 1);
    memcpy(copy, view.data, view.size);
    copy[view.size] = '\0';
    return (struct view){copy, view.size};
}

char *arena_print(struct arena *arena, const char *format, ...)
{
    char small[256];
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(small, sizeof small, format, arguments);
    va_end(arguments);
    assert(length >= 0);
    char *text = arena_text(arena, (size_t)length + 1);
    if ((size_t)length < sizeof small) {
        memcpy(text, small, (size_t)length + 1);
        return text;
    }
    va_start(arguments, format);
    vsnprintf(text, (size_t)length + 1, format, arguments);
    va_end(arguments);
    return text;
}

void arena_reset(struct arena *arena)
{
    for (struct chunk *chunk = arena->first; chunk != NULL; chunk = chunk->next) {
        chunk->used = 0;
        FORBID(chunk->data, chunk->capacity);
    }
    arena->current = arena->first;
}

size_t arena_bytes(const struct arena *arena)
{
    return arena->heap_bytes;
}
