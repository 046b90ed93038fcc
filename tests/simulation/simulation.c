/*
 * simulation.c - thousands of small worlds, each from its seed.
 *
 *   simulation [--seeds N] [--from SEED]   N worlds, each judged; every 16th is run
 *                                          twice, and must leave the same trace
 *   simulation --seed SEED [--log]         one, with its log
 *   simulation --sweep N                   N worlds without chance faults, in which the
 *                                          first call at a door fails, then the second, ...
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "simulation/world.h"

enum {
    SEEDS_PRESET = 2000,
    TURNS_MAX = 250,
    TRACE_TURNS = 20,
    TWICE_EVERY = 16,
    SWEEP_CALLS_MAX = 100000,
};

struct totals {
    uint64_t worlds, turns, events, crashes, stops, freezes, restarts, calls, episodes,
        popularities, gaps;
};

static struct world world;
static struct totals totals;

static void print_failure(void)
{
    fprintf(stderr, "seed %" PRIu64 " failed in turn %" PRIu64 "%s: %s\n", world.seed,
            world.cluster.turn, world.is_settling ? " (settling)" : "", world.text);
    fprintf(stderr,
            "  guarantee %s, zombies %d, partitions %d, failing call %" PRIu64 " remedy %d\n",
            world.options.guarantee == GUARANTEE_EXACTLY_ONCE ? "exactly_once" : "at_least_once",
            world.options.has_zombies, world.cluster.partition_count, world.cluster.fail_call,
            world.cluster.fail_remedy);
    cluster_print_trace(&world.cluster, TRACE_TURNS);
}

static bool finish_world(void)
{
    if (!world.has_failed && !world_settle(&world))
        world_fail(&world, "it does not come to rest");
    if (!world.has_failed)
        world_judge(&world);
    if (world.has_failed)
        print_failure();
    totals.worlds++;
    totals.turns += world.cluster.turn;
    totals.events += world.produced_count;
    totals.crashes += world.crash_count;
    totals.stops += world.stop_count;
    totals.freezes += world.freeze_count;
    totals.restarts += world.restart_count;
    totals.calls += world.cluster.call_count;
    totals.episodes += world.episode_count;
    totals.popularities += world.popularity_count;
    totals.gaps += world.gap_count > 0;
    return !world.has_failed;
}

/* The hash of the trace; 0: failed. */
static uint64_t run_seed(uint64_t seed)
{
    uint64_t hash;

    world_begin(&world, seed);
    for (int turn = 0; turn < TURNS_MAX && !world.has_failed; turn++)
        world_turn(&world);
    hash = finish_world() ? world.cluster.trace_hash : 0;
    world_end(&world);
    return hash;
}

static int run_seeds(uint64_t from, uint64_t count)
{
    for (uint64_t seed = from; seed < from + count; seed++) {
        uint64_t hash = run_seed(seed);

        if (hash == 0)
            return 1;
        if (seed % TWICE_EVERY == 0 && run_seed(seed) != hash) {
            fprintf(stderr, "seed %" PRIu64 ": the same seed left two traces\n", seed);
            return 1;
        }
    }
    return 0;
}

/* STATUS: 0 the call came and all was well, 1 it never came, 2 failed. */
static int run_with_failing_call(uint64_t seed, uint64_t call, enum remedy remedy)
{
    bool has_come;
    bool is_well;

    world_begin(&world, seed);
    world.cluster.fault_permille = 0;
    world.options.fault_permille = 0;
    world.options.event_count = 30;
    world.cluster.fail_call = world.cluster.call_count + call;
    world.cluster.fail_remedy = remedy;
    for (int turn = 0; turn < 40 && !world.has_failed; turn++)
        world_turn(&world);
    world.cluster.fail_call = world.cluster.has_failed_call ? world.cluster.fail_call : 0;
    has_come = world.cluster.has_failed_call;
    is_well = finish_world();
    world_end(&world);
    return !is_well ? 2 : has_come ? 0 : 1;
}

static int sweep(uint64_t from, uint64_t count)
{
    static const enum remedy remedies[] = {REMEDY_RETRY, REMEDY_ROLL_BACK, REMEDY_NONE};

    for (uint64_t seed = from; seed < from + count; seed++)
        for (size_t i = 0; i < sizeof(remedies) / sizeof(remedies[0]); i++)
            for (uint64_t call = 1; call < SWEEP_CALLS_MAX; call++) {
                int outcome = run_with_failing_call(seed, call, remedies[i]);

                if (outcome == 2)
                    return 1;
                if (outcome == 1)
                    break;
            }
    return 0;
}

static uint64_t number(const char *text)
{
    return strtoull(text, NULL, 10);
}

int main(int argc, char **argv)
{
    uint64_t from = 1, count = SEEDS_PRESET, sweeps = 0;
    int code;

    log_set(LOG_OFF, LOG_TEXT);
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "0";

        if (strcmp(argv[i], "--seeds") == 0) {
            count = number(value);
        } else if (strcmp(argv[i], "--from") == 0) {
            from = number(value);
        } else if (strcmp(argv[i], "--sweep") == 0) {
            sweeps = number(value);
        } else if (strcmp(argv[i], "--seed") == 0) {
            from = number(value);
            count = 1;
        } else if (strcmp(argv[i], "--log") == 0) {
            log_set(LOG_DEBUG, LOG_TEXT);
            continue;
        } else {
            fprintf(stderr, "usage: %s [--seeds N] [--from S] [--seed S] [--sweep N] [--log]\n",
                    argv[0]);
            return 2;
        }
        i++;
    }
    code = sweeps > 0 ? sweep(from, sweeps) : run_seeds(from, count);
    printf("%" PRIu64 " worlds, %" PRIu64 " turns, %" PRIu64 " calls at doors, %" PRIu64
           " events, %" PRIu64 " episodes, %" PRIu64 " summaries, %" PRIu64 " crashes, %" PRIu64
           " stops, %" PRIu64 " zombies, %" PRIu64 " starts, %" PRIu64
           " worlds with gaps that were told: %s\n",
           totals.worlds, totals.turns, totals.calls, totals.events, totals.episodes,
           totals.popularities, totals.crashes, totals.stops, totals.freezes, totals.restarts,
           totals.gaps, code == 0 ? "all exact" : "FAILED");
    return code;
}
