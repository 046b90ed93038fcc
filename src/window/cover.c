#include "window/cover.h"

#include <assert.h>
#include <string.h>

#include "base/hash.h"
#include "window/entry.h"

enum { INLINE_BYTES = 24, INTERVALS_MAX = 65536 };

struct interval {
    int64_t from_ms, until_ms;
};

struct cover {
    uint32_t next, before;
    uint32_t owner;
    uint32_t hash;
    uint32_t value_size;
    uint32_t count, capacity; /* capacity 1: the interval inside */
    uint32_t unused;
    union {
        char text[INLINE_BYTES];
        char *long_text; /* value_size > INLINE_BYTES */
    };
    union {
        struct interval one;
        struct interval *many; /* disjoint, in order, with gaps between */
    };
    uint64_t padding;
};

void cover_memory_open(struct cover_memory *memory, struct pages *pages, struct blocks *blocks)
{
    *memory = (struct cover_memory){.blocks = blocks};
    slab_open_in(&memory->covers, pages, sizeof(struct cover));
    table_open(&memory->table);
}

void cover_memory_close(struct cover_memory *memory)
{
    slab_close(&memory->covers);
    table_close(&memory->table);
}

size_t cover_memory_bytes(const struct cover_memory *memory)
{
    return memory->covers.live_count * (sizeof(struct cover) + 2 * sizeof(struct table_slot));
}

static struct view value_of(const struct cover *cover)
{
    return (struct view){cover->value_size > INLINE_BYTES ? cover->long_text : cover->text,
                         cover->value_size};
}

static struct interval *intervals_of(struct cover *cover)
{
    return cover->capacity > 1 ? cover->many : &cover->one;
}

static void link_last(struct cover_memory *memory, struct cover_list *list, uint32_t reference)
{
    struct cover *cover = slab_at(&memory->covers, reference);

    cover->next = 0;
    cover->before = list->last;
    if (list->last != 0)
        ((struct cover *)slab_at(&memory->covers, list->last))->next = reference;
    else
        list->first = reference;
    list->last = reference;
}

static void unlink_cover(struct cover_memory *memory, struct cover_list *list, uint32_t reference)
{
    struct cover *cover = slab_at(&memory->covers, reference);

    if (cover->before != 0)
        ((struct cover *)slab_at(&memory->covers, cover->before))->next = cover->next;
    else
        list->first = cover->next;
    if (cover->next != 0)
        ((struct cover *)slab_at(&memory->covers, cover->next))->before = cover->before;
    else
        list->last = cover->before;
}

static void remove_cover(struct cover_memory *memory, struct cover_list *list, uint32_t reference)
{
    struct cover *cover = slab_at(&memory->covers, reference);

    unlink_cover(memory, list, reference);
    table_remove(&memory->table, cover->hash, reference);
    if (cover->value_size > INLINE_BYTES)
        blocks_give(memory->blocks, cover->long_text, cover->value_size);
    if (cover->capacity > 1)
        blocks_give(memory->blocks, cover->many, cover->capacity * sizeof *cover->many);
    slab_give(&memory->covers, reference);
}

static uint32_t hash_of(uint32_t owner, struct view value)
{
    return (uint32_t)hash_place(value, owner);
}

static uint32_t add_cover(struct cover_memory *memory, struct cover_list *list, uint32_t owner,
                          uint32_t hash, struct view value)
{
    uint32_t reference = slab_take(&memory->covers);
    struct cover *cover = slab_at(&memory->covers, reference);
    char *text = cover->text;

    cover->owner = owner;
    cover->hash = hash;
    cover->value_size = value.size;
    cover->capacity = 1;
    if (value.size > INLINE_BYTES) {
        text = blocks_take(memory->blocks, value.size);
        cover->long_text = text;
    }
    if (value.size > 0)
        memcpy(text, value.data, value.size);
    table_put(&memory->table, hash, reference);
    link_last(memory, list, reference);
    return reference;
}

static uint32_t find_cover(const struct cover_memory *memory, uint32_t owner, uint32_t hash,
                           struct view value)
{
    uint32_t at;
    uint32_t reference = table_first(&memory->table, hash, &at);

    for (; reference != 0; reference = table_next(&memory->table, hash, &at)) {
        const struct cover *cover = slab_at(&memory->covers, reference);
        struct view known = value_of(cover);
        if (cover->owner == owner && known.size == value.size &&
            (value.size == 0 || memcmp(known.data, value.data, value.size) == 0))
            break;
    }
    return reference;
}

static void drop_passed(struct cover *cover, int64_t watermark_ms)
{
    struct interval *intervals = intervals_of(cover);
    uint32_t passed = 0;

    while (passed < cover->count && intervals[passed].until_ms < watermark_ms)
        passed++;
    if (passed > 0)
        memmove(intervals, intervals + passed, (cover->count - passed) * sizeof *intervals);
    cover->count -= passed;
}

static void insert_interval(struct cover_memory *memory, struct cover *cover, uint32_t index,
                            struct interval interval)
{
    if (cover->count == cover->capacity) {
        uint32_t capacity = cover->capacity * 2;
        struct interval *many = blocks_take(memory->blocks, capacity * sizeof *many);
        memcpy(many, intervals_of(cover), cover->count * sizeof *many);
        if (cover->capacity > 1)
            blocks_give(memory->blocks, cover->many, cover->capacity * sizeof *many);
        cover->many = many;
        cover->capacity = capacity;
    }
    struct interval *intervals = intervals_of(cover);
    memmove(intervals + index + 1, intervals + index, (cover->count - index) * sizeof *intervals);
    intervals[index] = interval;
    cover->count++;
}

static void remove_interval(struct cover *cover, uint32_t index)
{
    struct interval *intervals = intervals_of(cover);

    memmove(intervals + index, intervals + index + 1,
            (cover->count - index - 1) * sizeof *intervals);
    cover->count--;
}

/* Every interval is at least a window long, so [time, time + window) reaches at most one
 * on each side, and what it newly covers is one piece. */
static void cover_more(struct cover_memory *memory, struct cover *cover, int64_t window_ms,
                       struct series_change *change)
{
    struct interval *intervals = intervals_of(cover);
    int64_t time_ms = change->time_ms;
    int64_t until_ms = time_plus(time_ms, window_ms);
    uint32_t right = 0;

    while (right < cover->count && intervals[right].from_ms <= time_ms)
        right++;
    bool meets_right = right < cover->count && intervals[right].from_ms <= until_ms;
    bool meets_left = right > 0 && time_ms <= intervals[right - 1].until_ms;
    change->from_ms = time_ms;
    change->until_ms = meets_right ? intervals[right].from_ms : until_ms;
    if (meets_left && until_ms <= intervals[right - 1].until_ms) {
        change->until_ms = change->from_ms;
        return;
    }
    change->rise = 1;
    change->weight = meets_right ? 0 : 1;
    if (meets_left) {
        struct interval *left = &intervals[right - 1];
        change->from_ms = left->until_ms;
        change->moved_ms = time_minus(left->until_ms, window_ms);
        left->until_ms = meets_right ? intervals[right].until_ms : until_ms;
        if (meets_right)
            remove_interval(cover, right);
    } else if (meets_right) {
        intervals[right].from_ms = time_ms;
    } else {
        insert_interval(memory, cover, right, (struct interval){time_ms, until_ms});
    }
}

void cover_add(struct cover_memory *memory, struct cover_list *list, uint32_t owner,
               struct view value, int64_t time_ms, int64_t window_ms, int64_t watermark_ms,
               struct series_change *change)
{
    *change = (struct series_change){
        .time_ms = time_ms, .from_ms = time_ms, .until_ms = time_ms, .moved_ms = INT64_MIN};
    if (view_is_absent(value))
        return;
    uint32_t hash = hash_of(owner, value);
    uint32_t reference = find_cover(memory, owner, hash, value);
    if (reference == 0) {
        reference = add_cover(memory, list, owner, hash, value);
    } else if (reference != list->last) {
        unlink_cover(memory, list, reference);
        link_last(memory, list, reference);
    }
    struct cover *cover = slab_at(&memory->covers, reference);
    drop_passed(cover, watermark_ms);
    cover_more(memory, cover, window_ms, change);
}

void cover_trim(struct cover_memory *memory, struct cover_list *list, int64_t watermark_ms)
{
    while (list->first != 0) {
        struct cover *cover = slab_at(&memory->covers, list->first);
        if (cover->count > 0 && intervals_of(cover)[cover->count - 1].until_ms >= watermark_ms)
            return;
        remove_cover(memory, list, list->first);
    }
}

void cover_free(struct cover_memory *memory, struct cover_list *list)
{
    while (list->first != 0)
        remove_cover(memory, list, list->first);
}

void cover_save(const struct cover_memory *memory, const struct cover_list *list,
                struct byte_writer *out)
{
    uint32_t count = 0;

    for (uint32_t at = list->first; at != 0;
         at = ((const struct cover *)slab_at(&memory->covers, at))->next)
        count++;
    byte_put_varint(out, count);
    for (uint32_t at = list->first; at != 0;) {
        struct cover *cover = slab_at(&memory->covers, at);
        const struct interval *intervals = intervals_of(cover);
        byte_put_view(out, value_of(cover));
        byte_put_varint(out, cover->capacity);
        byte_put_varint(out, cover->count);
        for (uint32_t index = 0; index < cover->count; index++) {
            byte_put_i64(out, intervals[index].from_ms);
            byte_put_i64(out, intervals[index].until_ms);
        }
        at = cover->next;
    }
}

static bool load_intervals(struct cover_memory *memory, struct cover *cover, struct byte_reader *in)
{
    uint64_t capacity = byte_take_varint(in);
    uint64_t count = byte_take_count(in, sizeof(struct interval));

    if (in->broken || count > capacity || capacity == 0 || capacity > INTERVALS_MAX ||
        (capacity & (capacity - 1)) != 0)
        return false;
    if (capacity > 1)
        cover->many = blocks_take(memory->blocks, capacity * sizeof *cover->many);
    cover->capacity = (uint32_t)capacity;
    cover->count = (uint32_t)count;
    struct interval *intervals = intervals_of(cover);
    for (uint64_t index = 0; index < count; index++) {
        intervals[index].from_ms = byte_take_i64(in);
        intervals[index].until_ms = byte_take_i64(in);
        if (intervals[index].until_ms <= intervals[index].from_ms ||
            (index > 0 && intervals[index].from_ms <= intervals[index - 1].until_ms))
            return false;
    }
    return !in->broken;
}

bool cover_load(struct cover_memory *memory, struct cover_list *list, uint32_t owner,
                struct byte_reader *in)
{
    uint64_t count = byte_take_count(in, 3);

    for (uint64_t index = 0; index < count; index++) {
        struct view value = byte_take_view(in);
        if (in->broken || view_is_absent(value))
            return false;
        uint32_t hash = hash_of(owner, value);
        if (find_cover(memory, owner, hash, value) != 0)
            return false;
        uint32_t reference = add_cover(memory, list, owner, hash, value);
        if (!load_intervals(memory, slab_at(&memory->covers, reference), in))
            return false;
    }
    return !in->broken;
}
