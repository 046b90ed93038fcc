#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/sorter.h"
#include "unit/codec/sample.h"

enum { EVENTS = 20000, NO_LIMIT = 1 << 30 };

struct row {
    int64_t time_ms;
    uint32_t number;
};

static void put(struct sorter *sorter, struct row row)
{
    char id[32];
    const int size = snprintf(id, sizeof id, "event-%u", row.number);
    struct event event = {
        .kind = EVENT_API_CALL, .id = {id, (uint32_t)size}, .event_time_ms = row.time_ms};

    shape_set_present(event_shape(EVENT_API_CALL), &event, 0);
    sorter_put(sorter, &event);
    memset(id, '?', sizeof id); /* a copy was made, or the reader sees this */
}

static struct row take(struct sorter *sorter)
{
    const struct event *event = sorter_take(sorter);
    struct row row = {.time_ms = event->event_time_ms};

    assert_memory_equal(event->id.data, "event-", 6);
    row.number = (uint32_t)strtoul(event->id.data + 6, NULL, 10);
    return row;
}

static int compare(const void *a, const void *b)
{
    const struct row *x = a, *y = b;

    if (x->time_ms != y->time_ms)
        return x->time_ms < y->time_ms ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

/* The rows go through a sorter as a file does: read while it has room, then take one. */
static void pass(struct row *rows, uint32_t count, size_t bytes_max)
{
    struct sorter *sorter = sorter_create(EVENT_API_CALL, bytes_max);
    uint32_t next = 0, taken = 0;
    struct row *out = calloc(count, sizeof *out);

    while (next < count || !sorter_is_empty(sorter)) {
        while (next < count && (sorter_is_empty(sorter) || !sorter_is_full(sorter)))
            put(sorter, rows[next++]);
        out[taken++] = take(sorter);
    }
    assert_int_equal(taken, count);
    memcpy(rows, out, count * sizeof *out);
    free(out);
    sorter_destroy(sorter);
}

static void test_any_order_is_sorted_and_ties_stay(void **state)
{
    struct dice dice = {7};
    struct row *rows = calloc(EVENTS, sizeof *rows), *sorted = calloc(EVENTS, sizeof *sorted);

    (void)state;
    /* Within a second, within the file, backwards. */
    for (int way = 0; way < 3; way++) {
        for (uint32_t i = 0; i < EVENTS; i++) {
            const int64_t around = (int64_t)dice_below(&dice, way == 0 ? 1000 : EVENTS * 10);
            rows[i] = (struct row){way == 2 ? -(int64_t)i / 3 : i * 10 * (way == 0) + around, i};
        }
        memcpy(sorted, rows, EVENTS * sizeof *rows);
        qsort(sorted, EVENTS, sizeof *sorted, compare);
        assert_memory_not_equal(rows, sorted, EVENTS * sizeof *rows);
        pass(rows, EVENTS, NO_LIMIT);
        assert_memory_equal(rows, sorted, EVENTS * sizeof *rows);
    }
    free(rows);
    free(sorted);
}

/* With memory for some thousand events, those that stand less far from their place are sorted
 * all the same; and none is lost when they stand farther. */
static void test_memory_is_bounded(void **state)
{
    enum { BYTES = 2 << 20, NEAR = 500 };
    struct dice dice = {8};
    struct row *rows = calloc(EVENTS, sizeof *rows), *sorted = calloc(EVENTS, sizeof *sorted);
    struct sorter *sorter = sorter_create(EVENT_API_CALL, BYTES);
    uint32_t held = 0;

    (void)state;
    for (; !sorter_is_full(sorter); held++)
        put(sorter, (struct row){held, held});
    assert_in_range(held, 2 * NEAR, EVENTS / 2);
    sorter_destroy(sorter); /* with everything still in it */

    for (uint32_t i = 0; i < EVENTS; i++)
        rows[i] = (struct row){i + (int64_t)dice_below(&dice, NEAR), i};
    memcpy(sorted, rows, EVENTS * sizeof *rows);
    qsort(sorted, EVENTS, sizeof *sorted, compare);
    pass(rows, EVENTS, BYTES);
    assert_memory_equal(rows, sorted, EVENTS * sizeof *rows);

    for (uint32_t i = 0; i < EVENTS; i++)
        rows[i] = (struct row){(int64_t)dice_below(&dice, 1000000), i};
    memcpy(sorted, rows, EVENTS * sizeof *rows);
    qsort(sorted, EVENTS, sizeof *sorted, compare);
    pass(rows, EVENTS, BYTES);
    qsort(rows, EVENTS, sizeof *rows, compare);
    assert_memory_equal(rows, sorted, EVENTS * sizeof *rows);
    free(rows);
    free(sorted);
}

/* Large events stretch the blocks they are copied into; the memory comes back. */
static void test_large_events_go_by_bytes(void **state)
{
    enum { LARGE = 60000, BYTES = 4 << 20 };
    struct sorter *sorter = sorter_create(EVENT_API_CALL, BYTES);
    char *path = malloc(LARGE);
    uint32_t held = 0, number = 0;

    (void)state;
    memset(path, 'a', LARGE);
    struct event event = {.kind = EVENT_API_CALL, .api_call.path = {path, LARGE}};
    for (int round = 0; round < 3; round++) {
        for (held = 0; !sorter_is_full(sorter); held++) {
            event.event_time_ms = number++;
            sorter_put(sorter, &event);
        }
        assert_in_range(held, BYTES / LARGE / 2, BYTES / LARGE * 2);
        for (; held > 0; held--) {
            const struct event *taken = sorter_take(sorter);
            assert_int_equal(taken->event_time_ms, number - held);
            assert_memory_equal(taken->api_call.path.data, path, LARGE);
        }
        assert_true(sorter_is_empty(sorter));
    }
    sorter_destroy(sorter);
    sorter_destroy(NULL);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_order_is_sorted_and_ties_stay),
        cmocka_unit_test(test_memory_is_bounded),
        cmocka_unit_test(test_large_events_go_by_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
