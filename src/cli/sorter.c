/*
 * Most files are nearly in order. So there are two places to wait in: a run, for an event
 * that is not earlier than the last one of the run, and a heap for the others. The earliest
 * event is the front of the one or the top of the other.
 *
 *      run    10:01 10:02 10:02 10:07 10:08      a ring, in order
 *      heap   10:03 10:06 10:04                  earlier than the end of the run when they came
 *
 * The copies lie in blocks of some hundred events. A block is used again when the last of
 * them has been handed out, which in a file that is nearly in order is soon.
 */
#include "cli/sorter.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/arena.h"

enum { BLOCK_BYTES = 256 * 1024, BLOCK_EVENTS = 512, FIRST_CAPACITY = 1024 };

struct block {
    struct arena *arena;
    uint32_t filled;  /* events put into it */
    uint32_t waiting; /* of those, not handed out yet */
    struct block *next;
};

struct item {
    int64_t time_ms;
    uint64_t number; /* in the order they came */
    struct block *block;
    struct event *event;
};

/* A ring or a heap. */
struct items {
    struct item *at;
    size_t first, count, capacity; /* the capacity is a power of two */
};

struct sorter {
    const struct shape *shape;
    size_t bytes_max;
    size_t bytes; /* of blocks and items; events in a block are at most BLOCK_BYTES, mostly */
    uint64_t number;
    struct block *filling; /* may be NULL */
    struct block *spare;
    struct block *lent; /* of the event handed out last */
    struct items run, heap;
};

struct sorter *sorter_create(enum event_kind kind, size_t bytes_max)
{
    struct sorter *sorter = calloc(1, sizeof *sorter);

    if (sorter == NULL)
        abort();
    sorter->shape = event_shape(kind);
    sorter->bytes_max = bytes_max;
    return sorter;
}

/* ---- blocks ---- */

static void free_block(struct sorter *sorter, struct block *block)
{
    sorter->bytes -= sizeof *block + arena_bytes(block->arena);
    arena_destroy(block->arena);
    free(block);
}

static bool is_block_full(const struct block *block)
{
    return block->filled == BLOCK_EVENTS || arena_bytes(block->arena) > 2 * BLOCK_BYTES;
}

/* One that large events have stretched is given back: it would stay so. */
static void retire_block(struct sorter *sorter, struct block *block)
{
    if (block->waiting > 0)
        return;
    if (arena_bytes(block->arena) > 2 * BLOCK_BYTES) {
        free_block(sorter, block);
        return;
    }
    block->next = sorter->spare;
    sorter->spare = block;
}

/* An event of the block has been done with. */
static void leave_block(struct sorter *sorter, struct block *block)
{
    block->waiting--;
    if (block != sorter->filling)
        retire_block(sorter, block);
}

static struct block *block_to_fill(struct sorter *sorter)
{
    struct block *block = sorter->filling;

    if (block != NULL && !is_block_full(block))
        return block;
    if (block != NULL)
        retire_block(sorter, block);
    block = sorter->spare;
    if (block != NULL) {
        sorter->spare = block->next;
        sorter->bytes -= arena_bytes(block->arena);
        arena_reset(block->arena);
        sorter->bytes += arena_bytes(block->arena);
        block->filled = 0;
    } else {
        block = calloc(1, sizeof *block);
        if (block == NULL)
            abort();
        block->arena = arena_create(BLOCK_BYTES);
        sorter->bytes += sizeof *block;
    }
    sorter->filling = block;
    return block;
}

static struct event *keep_copy(struct sorter *sorter, const struct event *event)
{
    struct block *block = block_to_fill(sorter);
    const size_t before = arena_bytes(block->arena);
    struct event *copy = arena_alloc(block->arena, sizeof *copy);

    *copy = *event;
    shape_copy(sorter->shape, event, copy, block->arena);
    sorter->bytes += arena_bytes(block->arena) - before;
    block->filled++;
    block->waiting++;
    return copy;
}

/* ---- the run and the heap ---- */

static void make_room(struct sorter *sorter, struct items *items)
{
    const size_t capacity = items->capacity == 0 ? FIRST_CAPACITY : items->capacity * 2;
    struct item *at;

    if (items->count < items->capacity)
        return;
    at = malloc(capacity * sizeof *at);
    if (at == NULL)
        abort();
    for (size_t i = 0; i < items->count; i++)
        at[i] = items->at[(items->first + i) & (items->capacity - 1)];
    free(items->at);
    sorter->bytes += (capacity - items->capacity) * sizeof *at;
    *items = (struct items){.at = at, .count = items->count, .capacity = capacity};
}

static struct item *ring_at(const struct items *ring, size_t index)
{
    return &ring->at[(ring->first + index) & (ring->capacity - 1)];
}

static bool is_before(const struct item *a, const struct item *b)
{
    return a->time_ms != b->time_ms ? a->time_ms < b->time_ms : a->number < b->number;
}

static void heap_put(struct items *heap, struct item item)
{
    size_t hole = heap->count++;

    for (; hole > 0 && is_before(&item, &heap->at[(hole - 1) / 2]); hole = (hole - 1) / 2)
        heap->at[hole] = heap->at[(hole - 1) / 2];
    heap->at[hole] = item;
}

static struct item heap_take(struct items *heap)
{
    const struct item top = heap->at[0];
    const struct item last = heap->at[--heap->count];
    size_t hole = 0;

    for (size_t child = 1; child < heap->count; child = 2 * hole + 1) {
        if (child + 1 < heap->count && is_before(&heap->at[child + 1], &heap->at[child]))
            child++;
        if (!is_before(&heap->at[child], &last))
            break;
        heap->at[hole] = heap->at[child];
        hole = child;
    }
    heap->at[hole] = last;
    return top;
}

static struct item take_earliest(struct sorter *sorter)
{
    struct items *run = &sorter->run, *heap = &sorter->heap;

    if (run->count == 0 || (heap->count > 0 && is_before(&heap->at[0], ring_at(run, 0))))
        return heap_take(heap);
    const struct item first = *ring_at(run, 0);
    run->first = (run->first + 1) & (run->capacity - 1);
    run->count--;
    return first;
}

/* ---- the contract ---- */

bool sorter_is_full(const struct sorter *sorter)
{
    return sorter->bytes >= sorter->bytes_max && sorter->spare == NULL &&
           (sorter->filling == NULL || is_block_full(sorter->filling));
}

bool sorter_is_empty(const struct sorter *sorter)
{
    return sorter->run.count + sorter->heap.count == 0;
}

void sorter_put(struct sorter *sorter, const struct event *event)
{
    struct items *run = &sorter->run, *heap = &sorter->heap;
    struct event *copy = keep_copy(sorter, event);
    const struct item item = {
        .time_ms = event->event_time_ms,
        .number = sorter->number++,
        .block = sorter->filling,
        .event = copy,
    };

    if (run->count == 0 || item.time_ms >= ring_at(run, run->count - 1)->time_ms) {
        make_room(sorter, run);
        *ring_at(run, run->count++) = item;
    } else {
        make_room(sorter, heap);
        heap_put(heap, item);
    }
}

const struct event *sorter_take(struct sorter *sorter)
{
    assert(!sorter_is_empty(sorter));
    const struct item item = take_earliest(sorter);
    if (sorter->lent != NULL)
        leave_block(sorter, sorter->lent);
    sorter->lent = item.block;
    return item.event;
}

void sorter_destroy(struct sorter *sorter)
{
    struct block *next;

    if (sorter == NULL)
        return;
    while (!sorter_is_empty(sorter))
        (void)sorter_take(sorter);
    /* A block is given back only when none of its events waits, this one with them. */
    if (sorter->lent != NULL)
        leave_block(sorter, sorter->lent); /* NOLINT(clang-analyzer-unix.Malloc) */
    if (sorter->filling != NULL)
        free_block(sorter, sorter->filling);
    for (struct block *block = sorter->spare; block != NULL; block = next) {
        next = block->next;
        free_block(sorter, block);
    }
    free(sorter->run.at);
    free(sorter->heap.at);
    free(sorter);
}
