/*
 * A treap (Seidel and Aragon, "Randomized search trees", Algorithmica 16, 1996) whose
 * nodes are chunks of up to 64 points in order of time. Every chunk knows, of its own
 * points and of its subtree: the span of times, the sum of weights, the highest value,
 * and the highest value that does not satisfy yet. A rise over a range is left pending
 * at the highest nodes that it covers, unless a point below would come to satisfy: then
 * it is followed down to that point, which happens once in a point's life.
 *
 * Priorities come from a counter, mixed: nothing observable depends on the shape.
 *
 * The cursor stands at the first point inside the window of the series' last point. It
 * walks along `next`; whatever moves points loses it, and the next slide seeks it again.
 */
#include "window/trunk.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "window/entry.h"

enum { CHUNK_MAX = SERIES_FLAT_MAX };

static const __int128 none_below = -1; /* every point satisfies: values are >= 0 */

struct summary {
    int64_t first_ms, last_ms;
    __int128 weight;
    __int128 top;   /* highest value */
    __int128 below; /* highest value less than need; none_below */
};

struct chunk {
    uint32_t left, right;
    uint32_t next; /* in order of time */
    uint32_t priority;
    uint32_t count;
    uint32_t unused[3];
    struct summary own;
    struct summary all;
    __int128 own_rise;   /* to be added to the values of the entries */
    __int128 below_rise; /* to be passed on to left and right */
    char entries[];
};

struct trunk {
    uint32_t root;
    uint32_t first, last;
    uint32_t made_count; /* for priorities */
    uint32_t cursor;     /* chunk; 0: behind the last point */
    uint32_t cursor_index;
    bool is_cursor_known;
};

/* What every step through a tree needs. */
struct walk {
    struct slab *slab;
    const struct series_rule *rule;
    size_t stride;
};

static size_t chunk_bytes(size_t stride)
{
    return sizeof(struct chunk) + CHUNK_MAX * stride;
}

void series_memory_open(struct series_memory *memory, struct pages *pages, struct blocks *blocks)
{
    memory->blocks = blocks;
    slab_open_in(&memory->narrow, pages, chunk_bytes(sizeof(struct narrow_entry)));
    slab_open_in(&memory->wide, pages, chunk_bytes(sizeof(struct wide_entry)));
}

void series_memory_close(struct series_memory *memory)
{
    slab_close(&memory->narrow);
    slab_close(&memory->wide);
}

size_t series_memory_chunk_bytes(const struct series_memory *memory)
{
    return memory->narrow.live_count * memory->narrow.item_bytes +
           memory->wide.live_count * memory->wide.item_bytes;
}

/* Reading and changing share the walk; those who only read call nothing that changes. */
static struct walk walk_of(const struct series_memory *memory, const struct series_rule *rule)
{
    const struct slab *slab = is_wide(rule) ? &memory->wide : &memory->narrow;
    struct walk walk = {.rule = rule, .stride = entry_bytes(rule)};

    memcpy(&walk.slab, &slab, sizeof slab);
    return walk;
}

static inline struct chunk *chunk_at(const struct walk *walk, uint32_t reference)
{
    return slab_at(walk->slab, reference);
}

static inline char *entry_of(const struct walk *walk, struct chunk *chunk, uint32_t index)
{
    return chunk->entries + index * walk->stride;
}

/* First index whose time is above `after`. */
static uint32_t index_after(const struct walk *walk, struct chunk *chunk, int64_t after_ms)
{
    uint32_t low = 0, high = chunk->count;

    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (entry_time(entry_of(walk, chunk, middle)) <= after_ms)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static __int128 higher(__int128 a, __int128 b)
{
    return a > b ? a : b;
}

/* From the entries, which must not have a rise pending. */
static void sum_up_own(const struct walk *walk, struct chunk *chunk)
{
    struct summary own = {.below = none_below};

    assert(chunk->count > 0 && chunk->own_rise == 0);
    own.first_ms = entry_time(entry_of(walk, chunk, 0));
    own.last_ms = entry_time(entry_of(walk, chunk, chunk->count - 1));
    for (uint32_t index = 0; index < chunk->count; index++) {
        const char *entry = entry_of(walk, chunk, index);
        __int128 value = entry_value(walk->rule, entry);
        own.weight += entry_weight(walk->rule, entry);
        own.top = higher(own.top, value);
        if (value < walk->rule->need)
            own.below = higher(own.below, value);
    }
    chunk->own = own;
}

static void join_summary(struct summary *into, const struct summary *from)
{
    if (from->first_ms < into->first_ms)
        into->first_ms = from->first_ms;
    if (from->last_ms > into->last_ms)
        into->last_ms = from->last_ms;
    into->weight += from->weight;
    into->top = higher(into->top, from->top);
    into->below = higher(into->below, from->below);
}

static void sum_up_all(const struct walk *walk, struct chunk *chunk)
{
    chunk->all = chunk->own;
    if (chunk->left != 0)
        join_summary(&chunk->all, &chunk_at(walk, chunk->left)->all);
    if (chunk->right != 0)
        join_summary(&chunk->all, &chunk_at(walk, chunk->right)->all);
}

static void raise_summary(struct summary *summary, __int128 rise)
{
    summary->top += rise;
    if (summary->below != none_below)
        summary->below += rise;
}

static void raise_own(struct chunk *chunk, __int128 rise)
{
    raise_summary(&chunk->own, rise);
    chunk->own_rise += rise;
}

static void raise_all(struct chunk *chunk, __int128 rise)
{
    raise_own(chunk, rise);
    raise_summary(&chunk->all, rise);
    chunk->below_rise += rise;
}

static void pass_down(const struct walk *walk, struct chunk *chunk)
{
    if (chunk->below_rise == 0)
        return;
    if (chunk->left != 0)
        raise_all(chunk_at(walk, chunk->left), chunk->below_rise);
    if (chunk->right != 0)
        raise_all(chunk_at(walk, chunk->right), chunk->below_rise);
    chunk->below_rise = 0;
}

static void settle_entries(const struct walk *walk, struct chunk *chunk)
{
    if (chunk->own_rise == 0)
        return;
    for (uint32_t index = 0; index < chunk->count; index++)
        entry_raise(walk->rule, entry_of(walk, chunk, index), chunk->own_rise);
    chunk->own_rise = 0;
}

/* Chunks of `left` are earlier than those of `right`. */
static uint32_t join(const struct walk *walk, uint32_t left, uint32_t right)
{
    if (left == 0 || right == 0)
        return left != 0 ? left : right;
    struct chunk *a = chunk_at(walk, left);
    struct chunk *b = chunk_at(walk, right);
    if (a->priority >= b->priority) {
        pass_down(walk, a);
        a->right = join(walk, a->right, right);
        sum_up_all(walk, a);
        return left;
    }
    pass_down(walk, b);
    b->left = join(walk, left, b->left);
    sum_up_all(walk, b);
    return right;
}

/* *left gets the chunks that begin before `time`, *right the others. */
static void split(const struct walk *walk, uint32_t node, int64_t time_ms, uint32_t *left,
                  uint32_t *right)
{
    if (node == 0) {
        *left = 0;
        *right = 0;
        return;
    }
    struct chunk *chunk = chunk_at(walk, node);
    uint32_t rest;
    pass_down(walk, chunk);
    if (chunk->own.first_ms < time_ms) {
        split(walk, chunk->right, time_ms, &rest, right);
        chunk->right = rest;
        *left = node;
    } else {
        split(walk, chunk->left, time_ms, left, &rest);
        chunk->left = rest;
        *right = node;
    }
    sum_up_all(walk, chunk);
}

struct trunk *trunk_create(struct series_memory *memory)
{
    struct trunk *trunk = blocks_take(memory->blocks, sizeof *trunk);

    *trunk = (struct trunk){0};
    return trunk;
}

void trunk_destroy(struct trunk *trunk, struct series_memory *memory,
                   const struct series_rule *rule)
{
    struct walk walk = walk_of(memory, rule);

    for (uint32_t node = trunk->first; node != 0;) {
        uint32_t next = chunk_at(&walk, node)->next;
        slab_give(walk.slab, node);
        node = next;
    }
    blocks_give(memory->blocks, trunk, sizeof *trunk);
}

static uint32_t make_chunk(struct trunk *trunk, const struct walk *walk, const void *entries,
                           uint32_t count)
{
    uint32_t node = slab_take(walk->slab);
    struct chunk *chunk = chunk_at(walk, node);

    assert(count > 0 && count <= CHUNK_MAX);
    chunk->priority = (uint32_t)hash_mix(0, trunk->made_count++);
    chunk->count = count;
    memcpy(chunk->entries, entries, count * walk->stride);
    sum_up_own(walk, chunk);
    sum_up_all(walk, chunk);
    trunk->is_cursor_known = false;
    return node;
}

void trunk_append(struct trunk *trunk, struct series_memory *memory, const struct series_rule *rule,
                  const void *entries, uint32_t count)
{
    struct walk walk = walk_of(memory, rule);
    uint32_t node = make_chunk(trunk, &walk, entries, count);

    if (trunk->last != 0)
        chunk_at(&walk, trunk->last)->next = node;
    else
        trunk->first = node;
    trunk->last = node;
    trunk->root = join(&walk, trunk->root, node);
}

static uint32_t without_first(const struct walk *walk, uint32_t node)
{
    struct chunk *chunk = chunk_at(walk, node);

    pass_down(walk, chunk);
    if (chunk->left == 0)
        return chunk->right;
    chunk->left = without_first(walk, chunk->left);
    sum_up_all(walk, chunk);
    return node;
}

bool trunk_trim(struct trunk *trunk, struct series_memory *memory, const struct series_rule *rule,
                int64_t until_ms)
{
    struct walk walk = walk_of(memory, rule);

    while (trunk->first != 0 && chunk_at(&walk, trunk->first)->own.last_ms <= until_ms) {
        uint32_t node = trunk->first;
        trunk->root = without_first(&walk, trunk->root);
        trunk->first = chunk_at(&walk, node)->next;
        if (trunk->first == 0)
            trunk->last = 0;
        if (trunk->cursor == node)
            trunk->is_cursor_known = false;
        slab_give(walk.slab, node);
    }
    return trunk->first == 0;
}

int64_t trunk_last(const struct trunk *trunk, const struct series_memory *memory,
                   const struct series_rule *rule)
{
    struct walk walk = walk_of(memory, rule);

    return trunk->last == 0 ? INT64_MIN : chunk_at(&walk, trunk->last)->own.last_ms;
}

/* The chunk that holds the first point after that time, or 0. */
static uint32_t seek(const struct trunk *trunk, const struct walk *walk, int64_t after_ms)
{
    uint32_t found = 0;

    for (uint32_t node = trunk->root; node != 0;) {
        struct chunk *chunk = chunk_at(walk, node);
        if (chunk->own.last_ms > after_ms) {
            found = node;
            node = chunk->left;
        } else {
            node = chunk->right;
        }
    }
    return found;
}

int64_t trunk_first_after(const struct trunk *trunk, const struct series_memory *memory,
                          const struct series_rule *rule, int64_t after_ms)
{
    struct walk walk = walk_of(memory, rule);
    uint32_t node = seek(trunk, &walk, after_ms);

    if (node == 0)
        return INT64_MAX;
    struct chunk *chunk = chunk_at(&walk, node);
    return entry_time(entry_of(&walk, chunk, index_after(&walk, chunk, after_ms)));
}

bool trunk_before(const struct trunk *trunk, const struct series_memory *memory,
                  const struct series_rule *rule, int64_t time_ms, int64_t *found_ms,
                  __int128 *value)
{
    struct walk walk = walk_of(memory, rule);
    struct chunk *found = NULL;
    __int128 rise = 0, found_rise = 0;

    for (uint32_t node = trunk->root; node != 0;) {
        struct chunk *chunk = chunk_at(&walk, node);
        bool is_candidate = chunk->own.first_ms <= time_ms;
        if (is_candidate) {
            found = chunk;
            found_rise = rise + chunk->own_rise;
        }
        rise += chunk->below_rise;
        node = is_candidate ? chunk->right : chunk->left;
    }
    if (found == NULL)
        return false;
    const char *entry = entry_of(&walk, found, index_after(&walk, found, time_ms) - 1);
    *found_ms = entry_time(entry);
    *value = entry_value(rule, entry) + found_rise;
    return true;
}

/* Sum of the weights of points at or before that time. */
static __int128 sum_until(const struct trunk *trunk, const struct walk *walk, int64_t until_ms)
{
    __int128 sum = 0;

    for (uint32_t node = trunk->root; node != 0;) {
        struct chunk *chunk = chunk_at(walk, node);
        if (chunk->own.first_ms > until_ms) {
            node = chunk->left;
            continue;
        }
        if (chunk->left != 0)
            sum += chunk_at(walk, chunk->left)->all.weight;
        if (chunk->own.last_ms > until_ms) {
            uint32_t end = index_after(walk, chunk, until_ms);
            for (uint32_t index = 0; index < end; index++)
                sum += entry_weight(walk->rule, entry_of(walk, chunk, index));
            return sum;
        }
        sum += chunk->own.weight;
        node = chunk->right;
    }
    return sum;
}

__int128 trunk_sum(const struct trunk *trunk, const struct series_memory *memory,
                   const struct series_rule *rule, int64_t after_ms, int64_t until_ms)
{
    struct walk walk = walk_of(memory, rule);

    if (until_ms <= after_ms)
        return 0;
    return sum_until(trunk, &walk, until_ms) - sum_until(trunk, &walk, after_ms);
}

__int128 trunk_slide(struct trunk *trunk, const struct series_memory *memory,
                     const struct series_rule *rule, int64_t after_ms, int64_t until_ms)
{
    struct walk walk = walk_of(memory, rule);
    __int128 sum = 0;

    if (!trunk->is_cursor_known) {
        trunk->cursor = seek(trunk, &walk, after_ms);
        trunk->cursor_index = 0;
        if (trunk->cursor != 0)
            trunk->cursor_index = index_after(&walk, chunk_at(&walk, trunk->cursor), after_ms);
        trunk->is_cursor_known = true;
    }
    while (trunk->cursor != 0) {
        struct chunk *chunk = chunk_at(&walk, trunk->cursor);
        for (; trunk->cursor_index < chunk->count; trunk->cursor_index++) {
            const char *entry = entry_of(&walk, chunk, trunk->cursor_index);
            if (entry_time(entry) > until_ms)
                return sum;
            sum += entry_weight(rule, entry);
        }
        trunk->cursor = chunk->next;
        trunk->cursor_index = 0;
    }
    return sum;
}

/* The chunk into which a point at that time belongs. */
static uint32_t home_of(const struct trunk *trunk, const struct walk *walk, int64_t time_ms)
{
    uint32_t found = trunk->first;

    for (uint32_t node = trunk->root; node != 0;) {
        struct chunk *chunk = chunk_at(walk, node);
        if (chunk->own.first_ms <= time_ms) {
            found = node;
            node = chunk->right;
        } else {
            node = chunk->left;
        }
    }
    return found;
}

/* Runs `change` on the chunk that begins at that time, with its entries settled and the
 * way there repaired afterwards. */
typedef void change_fn(const struct walk *walk, struct chunk *chunk, void *context);

static void change_chunk(const struct walk *walk, uint32_t node, int64_t first_ms,
                         change_fn *change, void *context)
{
    struct chunk *chunk = chunk_at(walk, node);

    pass_down(walk, chunk);
    if (first_ms == chunk->own.first_ms) {
        settle_entries(walk, chunk);
        change(walk, chunk, context);
        sum_up_own(walk, chunk);
    } else {
        change_chunk(walk, first_ms < chunk->own.first_ms ? chunk->left : chunk->right, first_ms,
                     change, context);
    }
    sum_up_all(walk, chunk);
}

struct insertion {
    int64_t time_ms;
    __int128 weight;
    __int128 value;
    bool is_new;
};

static void insert_entry(const struct walk *walk, struct chunk *chunk, void *context)
{
    struct insertion *insertion = context;
    uint32_t index = index_after(walk, chunk, time_minus(insertion->time_ms, 1));
    char *entry = entry_of(walk, chunk, index);

    insertion->is_new = index == chunk->count || entry_time(entry) != insertion->time_ms;
    if (insertion->is_new) {
        assert(chunk->count < CHUNK_MAX);
        memmove(entry + walk->stride, entry, (chunk->count - index) * walk->stride);
        entry_init(walk->rule, entry, insertion->time_ms, insertion->value);
        chunk->count++;
    }
    entry_count_one(entry);
    entry_add_weight(walk->rule, entry, insertion->weight);
}

static void add_weight(const struct walk *walk, struct chunk *chunk, void *context)
{
    const struct insertion *insertion = context;
    uint32_t index = index_after(walk, chunk, time_minus(insertion->time_ms, 1));

    assert(index < chunk->count);
    assert(entry_time(entry_of(walk, chunk, index)) == insertion->time_ms);
    entry_add_weight(walk->rule, entry_of(walk, chunk, index), insertion->weight);
}

static void drop_upper_half(const struct walk *walk, struct chunk *chunk, void *context)
{
    (void)walk;
    (void)context;
    chunk->count = CHUNK_MAX / 2;
}

/* The later half of a full chunk becomes a chunk of its own. */
static void split_chunk(struct trunk *trunk, const struct walk *walk, uint32_t node)
{
    struct chunk *chunk = chunk_at(walk, node);
    int64_t first_ms = chunk->own.first_ms;
    uint32_t left, right;

    /* Settles the entries before they are copied. */
    struct insertion nothing = {.time_ms = first_ms};
    change_chunk(walk, trunk->root, first_ms, add_weight, &nothing);
    uint32_t later = make_chunk(trunk, walk, entry_of(walk, chunk, CHUNK_MAX / 2), CHUNK_MAX / 2);
    change_chunk(walk, trunk->root, first_ms, drop_upper_half, NULL);
    chunk_at(walk, later)->next = chunk->next;
    chunk->next = later;
    if (trunk->last == node)
        trunk->last = later;
    split(walk, trunk->root, chunk_at(walk, later)->own.first_ms, &left, &right);
    trunk->root = join(walk, join(walk, left, later), right);
}

bool trunk_insert(struct trunk *trunk, struct series_memory *memory, const struct series_rule *rule,
                  int64_t time_ms, __int128 weight, __int128 value)
{
    struct walk walk = walk_of(memory, rule);
    struct insertion insertion = {.time_ms = time_ms, .weight = weight, .value = value};
    uint32_t node = home_of(trunk, &walk, time_ms);

    if (chunk_at(&walk, node)->count == CHUNK_MAX) {
        split_chunk(trunk, &walk, node);
        node = home_of(trunk, &walk, time_ms);
    }
    trunk->is_cursor_known = false;
    change_chunk(&walk, trunk->root, chunk_at(&walk, node)->own.first_ms, insert_entry, &insertion);
    return insertion.is_new;
}

void trunk_add_weight(struct trunk *trunk, struct series_memory *memory,
                      const struct series_rule *rule, int64_t time_ms, __int128 weight)
{
    struct walk walk = walk_of(memory, rule);
    struct insertion insertion = {.time_ms = time_ms, .weight = weight};
    uint32_t node = home_of(trunk, &walk, time_ms);

    change_chunk(&walk, trunk->root, chunk_at(&walk, node)->own.first_ms, add_weight, &insertion);
}

struct rising {
    int64_t from_ms, until_ms;
    __int128 rise;
    struct point_list *satisfied;
};

static bool is_inside(const struct rising *rising, const struct summary *summary)
{
    return rising->from_ms <= summary->first_ms && summary->last_ms < rising->until_ms;
}

static bool is_outside(const struct rising *rising, const struct summary *summary)
{
    return summary->last_ms < rising->from_ms || rising->until_ms <= summary->first_ms;
}

static bool makes_satisfy(const struct walk *walk, const struct rising *rising,
                          const struct summary *summary)
{
    return summary->below != none_below && summary->below + rising->rise >= walk->rule->need;
}

static void raise_entries(const struct walk *walk, struct chunk *chunk, const struct rising *rising)
{
    if (is_outside(rising, &chunk->own))
        return;
    if (is_inside(rising, &chunk->own) && !makes_satisfy(walk, rising, &chunk->own)) {
        raise_own(chunk, rising->rise);
        return;
    }
    settle_entries(walk, chunk);
    for (uint32_t index = index_after(walk, chunk, time_minus(rising->from_ms, 1));
         index < chunk->count; index++) {
        char *entry = entry_of(walk, chunk, index);
        if (entry_time(entry) >= rising->until_ms)
            break;
        bool was_satisfied = entry_value(walk->rule, entry) >= walk->rule->need;
        entry_raise(walk->rule, entry, rising->rise);
        if (!was_satisfied && entry_value(walk->rule, entry) >= walk->rule->need)
            point_list_add(rising->satisfied, entry_time(entry), entry_count(entry));
    }
    sum_up_own(walk, chunk);
}

static void raise_tree(const struct walk *walk, uint32_t node, const struct rising *rising)
{
    if (node == 0)
        return;
    struct chunk *chunk = chunk_at(walk, node);
    if (is_outside(rising, &chunk->all))
        return;
    if (is_inside(rising, &chunk->all) && !makes_satisfy(walk, rising, &chunk->all)) {
        raise_all(chunk, rising->rise);
        return;
    }
    pass_down(walk, chunk);
    raise_tree(walk, chunk->left, rising);
    raise_entries(walk, chunk, rising);
    raise_tree(walk, chunk->right, rising);
    sum_up_all(walk, chunk);
}

void trunk_raise(struct trunk *trunk, struct series_memory *memory, const struct series_rule *rule,
                 int64_t from_ms, int64_t until_ms, __int128 rise, struct point_list *satisfied)
{
    struct walk walk = walk_of(memory, rule);
    struct rising rising = {from_ms, until_ms, rise, satisfied};

    if (rise != 0 && from_ms < until_ms)
        raise_tree(&walk, trunk->root, &rising);
}

/* `rise`: pending above. */
static __int128 max_of(const struct walk *walk, uint32_t node, const struct rising *range,
                       __int128 rise)
{
    if (node == 0)
        return 0;
    struct chunk *chunk = chunk_at(walk, node);
    if (is_outside(range, &chunk->all))
        return 0;
    if (is_inside(range, &chunk->all))
        return chunk->all.top + rise;
    __int128 highest = higher(max_of(walk, chunk->left, range, rise + chunk->below_rise),
                              max_of(walk, chunk->right, range, rise + chunk->below_rise));
    if (is_outside(range, &chunk->own))
        return highest;
    if (is_inside(range, &chunk->own))
        return higher(highest, chunk->own.top + rise);
    for (uint32_t index = index_after(walk, chunk, time_minus(range->from_ms, 1));
         index < chunk->count; index++) {
        const char *entry = entry_of(walk, chunk, index);
        if (entry_time(entry) >= range->until_ms)
            break;
        highest = higher(highest, entry_value(walk->rule, entry) + chunk->own_rise + rise);
    }
    return highest;
}

__int128 trunk_max(const struct trunk *trunk, const struct series_memory *memory,
                   const struct series_rule *rule, int64_t from_ms, int64_t until_ms)
{
    struct walk walk = walk_of(memory, rule);
    struct rising range = {.from_ms = from_ms, .until_ms = until_ms};

    return max_of(&walk, trunk->root, &range, 0);
}

static void put_wide(struct byte_writer *out, __int128 value)
{
    byte_put_u64(out, (uint64_t)value);
    byte_put_i64(out, (int64_t)(value >> 64));
}

static __int128 take_wide(struct byte_reader *in)
{
    uint64_t low = byte_take_u64(in);
    int64_t high = byte_take_i64(in);

    return (__int128)((unsigned __int128)(uint64_t)high << 64 | low);
}

void entry_save(const struct series_rule *rule, const void *entry, __int128 more,
                int64_t *before_ms, struct byte_writer *out)
{
    byte_put_svarint(out, entry_time(entry) - *before_ms);
    byte_put_varint(out, entry_count(entry));
    if (is_wide(rule)) {
        put_wide(out, entry_weight(rule, entry));
        put_wide(out, entry_value(rule, entry) + more);
    } else {
        byte_put_varint(out, (uint64_t)(entry_value(rule, entry) + more));
    }
    *before_ms = entry_time(entry);
}

bool entry_load(const struct series_rule *rule, void *entry, int64_t *before_ms,
                struct byte_reader *in)
{
    int64_t time_ms;
    uint64_t count;

    if (__builtin_add_overflow(*before_ms, byte_take_svarint(in), &time_ms))
        return false;
    count = byte_take_varint(in);
    if (in->broken || count == 0 || count > UINT32_MAX)
        return false;
    *before_ms = time_ms;
    if (is_wide(rule)) {
        struct wide_entry wide = {.time_ms = time_ms, .count = (uint32_t)count};
        wide.weight = take_wide(in);
        wide.value = take_wide(in);
        *(struct wide_entry *)entry = wide;
        return !in->broken && wide.weight >= 0 && wide.value >= 0;
    }
    uint64_t value = byte_take_varint(in);
    *(struct narrow_entry *)entry =
        (struct narrow_entry){time_ms, (uint32_t)count, (uint32_t)value};
    return !in->broken && value <= UINT32_MAX;
}

static void save_tree(const struct walk *walk, uint32_t node, __int128 rise, int64_t *before_ms,
                      struct byte_writer *out)
{
    if (node == 0)
        return;
    struct chunk *chunk = chunk_at(walk, node);
    save_tree(walk, chunk->left, rise + chunk->below_rise, before_ms, out);
    byte_put_varint(out, chunk->count);
    for (uint32_t index = 0; index < chunk->count; index++)
        entry_save(walk->rule, entry_of(walk, chunk, index), rise + chunk->own_rise, before_ms,
                   out);
    save_tree(walk, chunk->right, rise + chunk->below_rise, before_ms, out);
}

/* Chunks as they are, since how full they are decides when memory is taken next. */
void trunk_save(const struct trunk *trunk, const struct series_memory *memory,
                const struct series_rule *rule, struct byte_writer *out)
{
    struct walk walk = walk_of(memory, rule);
    int64_t before_ms = 0;

    save_tree(&walk, trunk->root, 0, &before_ms, out);
    byte_put_varint(out, 0);
}

bool trunk_load(struct trunk *trunk, struct series_memory *memory, const struct series_rule *rule,
                struct byte_reader *in)
{
    _Alignas(16) char entries[CHUNK_MAX * sizeof(struct wide_entry)];
    struct walk walk = walk_of(memory, rule);
    int64_t before_ms = 0;

    for (;;) {
        uint64_t count = byte_take_varint(in);
        if (in->broken || count > CHUNK_MAX)
            return false;
        if (count == 0)
            return trunk->first != 0;
        for (uint32_t index = 0; index < count; index++) {
            int64_t last_ms = before_ms;
            if (!entry_load(rule, entries + index * walk.stride, &before_ms, in) ||
                ((index > 0 || trunk->first != 0) && before_ms <= last_ms))
                return false;
        }
        trunk_append(trunk, memory, rule, entries, (uint32_t)count);
    }
}
