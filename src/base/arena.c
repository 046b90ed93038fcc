/*
 * Chunks form a list, the newest first; only the newest is filled.
 *
 *   newest [..    ] -> [full] -> [full]        a batch that grew
 *   newest [                          ]        the same after a reset
 *
 * A reset melts several chunks into one that holds as much as all of them, so the
 * next batch of that size fits whatever the order of its requests.
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
    struct chunk *newest;
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

static struct chunk *add_chunk(struct arena *arena, size_t capacity)
{
    struct chunk *chunk = heap_take(sizeof *chunk + capacity);

    *chunk = (struct chunk){.next = arena->newest, .capacity = capacity};
    FORBID(chunk->data, capacity);
    arena->newest = chunk;
    arena->heap_bytes += sizeof *chunk + capacity;
    return chunk;
}

static void free_chunks(struct arena *arena)
{
    struct chunk *next;

    for (struct chunk *chunk = arena->newest; chunk != NULL; chunk = next) {
        next = chunk->next;
        arena->heap_bytes -= sizeof *chunk + chunk->capacity;
        ALLOW(chunk->data, chunk->capacity);
        free(chunk);
    }
    arena->newest = NULL;
}

static char *take(struct arena *arena, size_t bytes, size_t alignment)
{
    struct chunk *chunk = arena->newest;
    size_t start = 0;

    assert(bytes <= SIZE_MAX / 2);
    if (chunk != NULL)
        start = (chunk->used + (alignment - 1)) & ~(alignment - 1);
    if (chunk == NULL || start > chunk->capacity || chunk->capacity - start < bytes) {
        chunk = add_chunk(arena, bytes > arena->chunk_bytes ? bytes : arena->chunk_bytes);
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
    free_chunks(arena);
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
    size_t capacity = 0;

    if (arena->newest == NULL)
        return;
    if (arena->newest->next != NULL) {
        for (const struct chunk *chunk = arena->newest; chunk != NULL; chunk = chunk->next)
            capacity += chunk->capacity;
        free_chunks(arena);
        add_chunk(arena, capacity);
    }
    arena->newest->used = 0;
    FORBID(arena->newest->data, arena->newest->capacity);
}

size_t arena_bytes(const struct arena *arena)
{
    return arena->heap_bytes;
}
