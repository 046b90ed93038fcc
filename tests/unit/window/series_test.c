/*
 * A series against an array that looks at everything: values, maxima, first points, what
 * comes to satisfy, what is forgotten, what is saved.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "window/cover.h"
#include "window/series.h"

enum { EVENTS_MAX = 6000, VALUES = 40 };

struct event {
    int64_t time_ms;
    int64_t weight;
    uint32_t value;
};

struct world {
    struct blocks blocks;
    struct series_memory memory;
    struct cover_memory covers;
    struct cover_list list;
    struct series series;
    char lent[SERIES_LENT_BYTES];
    struct series_rule rule;
    struct point_list satisfied;
    struct event events[EVENTS_MAX];
    uint32_t count;
    bool is_satisfied[EVENTS_MAX]; /* by time */
};

static void open_world(struct world *world, struct series_rule rule)
{
    memset(world, 0, sizeof *world);
    world->rule = rule;
    blocks_open(&world->blocks);
    series_memory_open(&world->memory, world->blocks.pages, &world->blocks);
    cover_memory_open(&world->covers, world->blocks.pages, &world->blocks);
}

static void close_world(struct world *world)
{
    series_free(&world->series, &world->memory, world->lent, &world->rule);
    cover_free(&world->covers, &world->list);
    assert_int_equal(series_memory_chunk_bytes(&world->memory), 0);
    assert_int_equal(cover_memory_bytes(&world->covers), 0);
    assert_int_equal(world->blocks.bytes, 0);
    cover_memory_close(&world->covers);
    series_memory_close(&world->memory);
    blocks_close(&world->blocks);
    point_list_free(&world->satisfied);
}

static int64_t naive_value(const struct world *world, int64_t time_ms)
{
    bool seen[VALUES] = {false};
    int64_t value = 0;

    for (uint32_t at = 0; at < world->count; at++) {
        const struct event *event = &world->events[at];
        if (event->time_ms > time_ms || event->time_ms <= time_ms - world->rule.window_ms)
            continue;
        if (world->rule.kind == SERIES_COVER)
            value += !seen[event->value];
        else
            value += event->weight;
        seen[event->value] = true;
    }
    return value;
}

static bool is_point(const struct world *world, int64_t time_ms)
{
    for (uint32_t at = 0; at < world->count; at++)
        if (world->events[at].time_ms == time_ms)
            return true;
    return false;
}

static void add(struct world *world, struct event event, int64_t watermark_ms)
{
    void *lent = world->rule.kind == SERIES_COUNT ? world->lent : NULL;
    struct series_change change = {.time_ms = event.time_ms,
                                   .from_ms = event.time_ms,
                                   .until_ms = event.time_ms + world->rule.window_ms,
                                   .rise = event.weight,
                                   .weight = event.weight,
                                   .moved_ms = INT64_MIN};
    struct series_outcome outcome;
    int64_t newest_ms = series_last(&world->series, &world->rule);
    char text[4];

    series_trim(&world->series, &world->memory, lent, &world->rule, watermark_ms);
    text[0] = (char)('A' + event.value);
    if (world->rule.kind == SERIES_COVER) {
        cover_trim(&world->covers, &world->list, watermark_ms);
        cover_add(&world->covers, &world->list, 1, (struct view){text, 1}, event.time_ms,
                  world->rule.window_ms, watermark_ms, &change);
    }
    series_add(&world->series, &world->memory, lent, &world->rule, &change, &outcome,
               &world->satisfied);
    world->events[world->count++] = event;
    assert_int_equal(outcome.is_last, newest_ms == INT64_MIN || event.time_ms >= newest_ms);
    assert_int_equal((int64_t)outcome.value, naive_value(world, event.time_ms));
    assert_int_equal(outcome.was_satisfied, world->is_satisfied[event.time_ms]);
    for (uint32_t at = 0; at < world->satisfied.count; at++) {
        int64_t time_ms = world->satisfied.at[at].time_ms;
        assert_true(at == 0 || world->satisfied.at[at - 1].time_ms < time_ms);
        assert_false(world->is_satisfied[time_ms]);
        world->is_satisfied[time_ms] = true;
    }
}

/* All of it, from the watermark on. */
static void check(const struct world *world, int64_t watermark_ms, int64_t newest_ms)
{
    int64_t highest = 0, first_ms = INT64_MAX;

    for (int64_t time_ms = newest_ms; time_ms >= watermark_ms; time_ms--) {
        bool is_here = is_point(world, time_ms);
        int64_t value = is_here ? naive_value(world, time_ms) : 0;
        if (is_here && value > highest)
            highest = value;
        assert_int_equal(
            (int64_t)series_max(&world->series, &world->memory, &world->rule, time_ms, time_ms + 1),
            value);
        assert_int_equal((int64_t)series_max(&world->series, &world->memory, &world->rule, time_ms,
                                             newest_ms + 1),
                         highest);
        assert_int_equal(series_first_after(&world->series, &world->memory, &world->rule, time_ms),
                         first_ms);
        assert_int_equal(world->is_satisfied[time_ms],
                         is_here && value >= (int64_t)world->rule.need);
        if (is_here)
            first_ms = time_ms;
    }
}

static void reload_world(struct world *world)
{
    void *lent = world->rule.kind == SERIES_COUNT ? world->lent : NULL;
    struct byte_writer first, second;

    byte_writer_init(&first);
    byte_writer_init(&second);
    series_save(&world->series, &world->memory, &world->rule, &first);
    cover_save(&world->covers, &world->list, &first);
    series_free(&world->series, &world->memory, lent, &world->rule);
    cover_free(&world->covers, &world->list);
    struct byte_reader reader = byte_reader_of(first.data, first.size);
    assert_true(series_load(&world->series, &world->memory, lent, &world->rule, &reader));
    assert_true(cover_load(&world->covers, &world->list, 1, &reader));
    assert_int_equal(byte_reader_left(&reader), 0);
    series_save(&world->series, &world->memory, &world->rule, &second);
    cover_save(&world->covers, &world->list, &second);
    assert_int_equal(first.size, second.size);
    assert_memory_equal(first.data, second.data, first.size);
    byte_writer_free(&first);
    byte_writer_free(&second);
}

static void run(struct series_rule rule, uint64_t seed, uint32_t events, uint32_t speed,
                uint32_t lateness)
{
    struct world *world = malloc(sizeof *world);
    int64_t newest_ms = 0;

    open_world(world, rule);
    for (uint32_t number = 0; number < events; number++) {
        uint64_t random = hash_mix(seed, number);
        int64_t now_ms = lateness + number / speed;
        struct event event = {.time_ms = now_ms - (int64_t)(random % (lateness + 1)),
                              .weight = rule.kind == SERIES_SUM ? (int64_t)(random >> 32) % 50 : 1,
                              .value = (random >> 40) % VALUES};
        if (newest_ms < event.time_ms)
            newest_ms = event.time_ms;
        add(world, event, newest_ms - lateness);
        if (number % (events / 4) == events / 8) {
            reload_world(world);
            check(world, newest_ms - lateness, newest_ms);
        }
    }
    check(world, newest_ms - lateness, newest_ms);
    close_world(world);
    free(world);
}

static void values_are_those_of_the_definition(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        run((struct series_rule){SERIES_COUNT, 300, 200}, seed, 1200, 1, 400);
        run((struct series_rule){SERIES_COUNT, 7, 9}, seed, 800, 1, 30);
        run((struct series_rule){SERIES_COUNT, 50, 160}, seed, 1200, 3, 0);
        run((struct series_rule){SERIES_SUM, 300, 6000}, seed, 1200, 1, 400);
        run((struct series_rule){SERIES_SUM, 40, 1000}, seed, 800, 2, 500);
        run((struct series_rule){SERIES_COVER, 60, 31}, seed, 1200, 1, 200);
        run((struct series_rule){SERIES_COVER, 20, 12}, seed, 800, 1, 300);
        run((struct series_rule){SERIES_COVER, 500, 39}, seed, 1200, 2, 500);
    }
}

static void what_is_over_is_forgotten(void **state)
{
    static struct world world;
    struct series_outcome outcome;

    (void)state;
    open_world(&world, (struct series_rule){SERIES_COUNT, 1000, 1000000});
    for (int64_t time_ms = 0; time_ms < 200000; time_ms++) {
        struct series_change change = {.time_ms = time_ms,
                                       .from_ms = time_ms,
                                       .until_ms = time_ms + 1000,
                                       .rise = 1,
                                       .weight = 1,
                                       .moved_ms = INT64_MIN};
        series_trim(&world.series, &world.memory, world.lent, &world.rule, time_ms - 100);
        series_add(&world.series, &world.memory, world.lent, &world.rule, &change, &outcome,
                   &world.satisfied);
        assert_int_equal((int64_t)outcome.value, time_ms < 1000 ? time_ms + 1 : 1000);
        /* 1,100 points of 16 bytes, in chunks not all full. */
        assert_true(series_memory_chunk_bytes(&world.memory) + world.blocks.bytes < 50000);
    }
    series_trim(&world.series, &world.memory, world.lent, &world.rule, 300000);
    assert_int_equal(series_memory_chunk_bytes(&world.memory), 0);
    close_world(&world);
}

static void damaged_bytes_are_refused(void **state)
{
    static struct world world;
    struct byte_writer saved;

    (void)state;
    open_world(&world, (struct series_rule){SERIES_COUNT, 500, 1000});
    for (int64_t time_ms = 0; time_ms < 300; time_ms++)
        add(&world, (struct event){.time_ms = time_ms, .weight = 1}, 0);
    byte_writer_init(&saved);
    series_save(&world.series, &world.memory, &world.rule, &saved);
    for (size_t size = 0; size < saved.size; size++) {
        struct byte_reader reader = byte_reader_of(saved.data, size);
        struct series series = {0};
        char lent[SERIES_LENT_BYTES];
        assert_false(series_load(&series, &world.memory, lent, &world.rule, &reader));
        series_free(&series, &world.memory, lent, &world.rule);
    }
    byte_writer_free(&saved);
    close_world(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_those_of_the_definition),
        cmocka_unit_test(what_is_over_is_forgotten),
        cmocka_unit_test(damaged_bytes_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
