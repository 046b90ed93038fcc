#include "window/brief.h"

#include <string.h>

#include "window/entry.h"

enum { RUN_LEAST = 32 };

/* The first time lies amid what can be said from its base, for what comes late. */
static const int64_t below_first_ms = INT64_C(1) << 31;

static inline const uint32_t *times_of(const struct brief *brief)
{
    return brief->capacity > 0 ? brief->run : brief->inside;
}

/* capacity 0: back inside. What is there must fit. */
static void resize(struct brief *brief, struct blocks *blocks, uint32_t capacity)
{
    uint32_t times[BRIEF_MAX];

    if (capacity == brief->capacity)
        return;
    memcpy(times, times_of(brief), brief->count * sizeof *times);
    if (brief->capacity > 0)
        blocks_give(blocks, brief->run, brief->capacity * sizeof *times);
    brief->capacity = (uint8_t)capacity;
    if (capacity > 0)
        brief->run = blocks_take(blocks, capacity * sizeof *times);
    memcpy(brief_times(brief), times, brief->count * sizeof *times);
}

void brief_forget(struct brief *brief, struct blocks *blocks, int64_t until_ms)
{
    uint32_t *times = brief_times(brief);
    uint32_t kept = 0;

    for (uint32_t index = 0; index < brief->count; index++)
        if (brief->base_ms + times[index] > until_ms)
            times[kept++] = times[index];
    brief->count = (uint8_t)kept;
    if (brief->capacity > 0 && kept * 4 <= brief->capacity)
        resize(brief, blocks, kept <= BRIEF_INLINE_MAX ? 0 : RUN_LEAST);
}

/* Room for one more after dropping what may be. A quarter of the room is left then, so that
 * looking at all of them is paid for. */
static bool make_room(struct brief *brief, struct blocks *blocks, int64_t forget_ms)
{
    brief_forget(brief, blocks, forget_ms);
    if (brief->count * 4 <= brief_room(brief) * 3)
        return true;
    if (brief->capacity == 0)
        resize(brief, blocks, RUN_LEAST);
    else if (brief->capacity < BRIEF_MAX)
        resize(brief, blocks, BRIEF_MAX);
    return brief->count * 4 <= brief_room(brief) * 3;
}

bool brief_add_anyhow(struct brief *brief, struct blocks *blocks, int64_t time_ms,
                      int64_t forget_ms)
{
    if (brief->count == brief_room(brief) && !make_room(brief, blocks, forget_ms))
        return false;
    if (brief->count == 0) {
        brief->base_ms = time_minus(time_ms, below_first_ms);
        brief->newest = 0;
    }
    int64_t since_ms = time_minus(time_ms, brief->base_ms);
    if (since_ms < 0 || since_ms > UINT32_MAX)
        return false;
    brief_times(brief)[brief->count++] = (uint32_t)since_ms;
    if (brief->newest < since_ms)
        brief->newest = (uint32_t)since_ms;
    return true;
}

int64_t brief_newest(const struct brief *brief)
{
    return brief->count == 0 ? INT64_MIN : brief->base_ms + brief->newest;
}

uint32_t brief_list(const struct brief *brief, int64_t times_ms[BRIEF_MAX])
{
    const uint32_t *times = times_of(brief);

    /* They mostly are in order. */
    for (uint32_t index = 0; index < brief->count; index++) {
        int64_t time_ms = brief->base_ms + times[index];
        uint32_t place = index;
        for (; place > 0 && times_ms[place - 1] > time_ms; place--)
            times_ms[place] = times_ms[place - 1];
        times_ms[place] = time_ms;
    }
    return brief->count;
}

void brief_free(struct brief *brief, struct blocks *blocks)
{
    if (brief->capacity > 0)
        blocks_give(blocks, brief->run, brief->capacity * sizeof *brief->run);
    *brief = (struct brief){0};
}

void brief_save(const struct brief *brief, struct byte_writer *out)
{
    const uint32_t *times = times_of(brief);

    byte_put_u8(out, brief->capacity);
    byte_put_u8(out, brief->count);
    byte_put_u8(out, brief->mark);
    byte_put_i64(out, brief->base_ms);
    byte_put_u32(out, brief->newest);
    for (uint32_t index = 0; index < brief->count; index++)
        byte_put_u32(out, times[index]);
}

bool brief_load(struct brief *brief, struct blocks *blocks, struct byte_reader *in)
{
    uint8_t capacity = byte_take_u8(in);
    uint8_t count = byte_take_u8(in);

    if (in->broken || (capacity != 0 && capacity != RUN_LEAST && capacity != BRIEF_MAX) ||
        count > (capacity > 0 ? capacity : BRIEF_INLINE_MAX))
        return false;
    brief->mark = byte_take_u8(in);
    brief->base_ms = byte_take_i64(in);
    brief->newest = byte_take_u32(in);
    resize(brief, blocks, capacity);
    uint32_t *times = brief_times(brief);
    for (; brief->count < count; brief->count++) {
        times[brief->count] = byte_take_u32(in);
        if (times[brief->count] > brief->newest)
            return false;
    }
    /* Sums of times and spans must not overflow. */
    return !in->broken && brief->base_ms > INT64_MIN / 2 && brief->base_ms < INT64_MAX / 2;
}
