#include "cli/cli.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/hash.h"
#include "cli/args.h"

struct subcommand {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *purpose;
};

static const struct subcommand subcommands[] = {
    {"demo", demo_main, "everything at once on this machine: broker, events, alerts"},
    {"run", run_main, "process events, persist results, deliver alerts"},
    {"check", check_main, "say everything that is wrong with a configuration"},
    {"config", reference_main, "print the reference of all settings, or an example"},
    {"topics", topics_main, "create or describe the topics"},
    {"state", state_main, "look at journal and snapshots, or verify them"},
    {"tail", tail_main, "watch results as they appear"},
    {"replay", replay_main, "try rules on recorded events, without Kafka"},
    {"evaluate", evaluate_main, "judge the recommendations on recorded orders"},
    {"generate", generate_main, "make events of synthetic tenants, with labelled attacks"},
    {"notify", notify_main, "send a test message to a notification channel"},
    {"broker", broker_main, "serve a small Kafka in memory, for trying things out"},
};
enum { SUBCOMMAND_COUNT = sizeof subcommands / sizeof subcommands[0] };

static const struct subcommand *find_subcommand(const char *name)
{
    for (size_t i = 0; i < SUBCOMMAND_COUNT; i++)
        if (strcmp(name, subcommands[i].name) == 0)
            return &subcommands[i];
    return NULL;
}

static void print_overview(FILE *stream)
{
    fprintf(stream,
            "weir %s: alerts and recommendations from a stream of events\n\n"
            "Usage: weir COMMAND [OPTION...]\n\nCommands:\n",
            WEIR_VERSION);
    for (size_t i = 0; i < SUBCOMMAND_COUNT; i++)
        fprintf(stream, "  %-10s%s\n", subcommands[i].name, subcommands[i].purpose);
    fprintf(stream, "\nweir COMMAND --help says more; weir --version prints the version.\n"
                    "First steps: weir demo\n");
}

static int refuse_command(const char *name)
{
    const char *names[SUBCOMMAND_COUNT];

    for (size_t i = 0; i < SUBCOMMAND_COUNT; i++)
        names[i] = subcommands[i].name;
    const char *nearest = args_nearest(name, names, SUBCOMMAND_COUNT);
    if (nearest != NULL)
        fprintf(stderr, "weir: %s: no such command; did you mean %s? (weir --help)\n", name,
                nearest);
    else
        fprintf(stderr, "weir: %s: no such command (weir --help)\n", name);
    return CODE_USAGE;
}

/* `weir help run` is `weir run --help`. */
static int help(const char *name)
{
    char command[] = "", option[] = "--help";
    char *argv[] = {command, option, NULL};
    const struct subcommand *subcommand = find_subcommand(name);

    if (subcommand == NULL)
        return refuse_command(name);
    return subcommand->run(2, argv);
}

/* Nothing that is printed or saved depends on it. */
static void draw_secret(void)
{
    uint64_t secret = 0;

    if (getrandom(&secret, sizeof secret, 0) != (ssize_t)sizeof secret)
        secret = (uint64_t)clock_monotonic_ns(clock_system());
    hash_set_secret(secret);
}

int cli_main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;

    if (name == NULL) {
        print_overview(stderr);
        return CODE_USAGE;
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "version") == 0) {
        printf("weir %s\n", WEIR_VERSION);
        return CODE_DONE;
    }
    if (strcmp(name, "help") == 0 && argc > 2)
        return help(argv[2]);
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        print_overview(stdout);
        return CODE_DONE;
    }
    const struct subcommand *subcommand = find_subcommand(name);
    if (subcommand == NULL)
        return refuse_command(name);
    draw_secret();
    int code = subcommand->run(argc - 1, argv + 1);
    /* A full disk or a closed pipe must not look like success. */
    if (fflush(stdout) != 0 && code == CODE_DONE) {
        fprintf(stderr, "weir %s: standard output could not be written\n", name);
        code = CODE_FAILED;
    }
    return code;
}
