/*
 * demo.c - `weir demo`: everything at once, on this machine.
 *
 *   this process   embedded broker, and `weir tail` on the terminal
 *   a child        weir run
 *   a child        weir generate
 *
 * The children are the real commands, told apart from those of a user only by their
 * arguments and environment. They end with this process, however it ends.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/args.h"
#include "cli/cli.h"
#include "cli/settings.h"
#include "cli/stop.h"
#include "kafka/broker.h"

enum {
    PARTITIONS = 4,
    CHILD_STOP_MS = 10000, /* before a child is ended by force */
    CHILD_LOOK_MS = 20,
    ARGUMENTS_MAX = 16,
    HOUR_MS = 3600 * 1000,
};

struct demo_values {
    int64_t seconds;
    int64_t seed;
    double rate;
};

#define AT(member) offsetof(struct demo_values, member)
static const struct arg demo_args[] = {
    {"seconds", ARG_INT, AT(seconds), "N", 1, 1e9, NULL, "ends after so long (default: Ctrl-C)"},
    {"rate", ARG_DOUBLE, AT(rate), "N", 1, 10000, NULL, "events a second (default 60)"},
    {"seed", ARG_INT, AT(seed), "N", 0, 9e15, NULL, "of the events (default 1)"},
};
#undef AT

static const struct arg_table demo_table = {
    .command = "demo",
    .summary = "Starts an embedded broker, the processor and a generator of synthetic tenants "
               "with attacks, and\nshows alerts and recommendations as they happen. Needs nothing, "
               "leaves nothing behind.",
    .args = demo_args,
    .count = sizeof demo_args / sizeof demo_args[0],
    .examples = "  weir demo --seconds 60",
};

struct demo {
    const struct demo_values *values;
    const char *address;
    struct arena *arena;
    int port;
    pid_t processor;
    pid_t generator;
};

/* Whichever child ends before it is told to: nothing is left to show. */
static void on_child_end(int number)
{
    (void)number;
    stop_ask();
}

static int find_free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr *plain = (struct sockaddr *)(void *)&address;
    socklen_t size = sizeof address;
    int handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int port = 0;

    if (handle >= 0 && bind(handle, plain, size) == 0 && getsockname(handle, plain, &size) == 0)
        port = ntohs(address.sin_port);
    if (handle >= 0)
        close(handle);
    return port;
}

/* The children inherit it; a user's own weir.yaml plays no part here. */
static void set_environment(const struct demo *demo)
{
    int64_t hour = clock_wall_ms(clock_system()) / HOUR_MS % 24;

    setenv("WEIR_CONFIG", "/dev/null", 1);
    setenv("WEIR_ROLES", "processor", 1);
    setenv("WEIR_WORKERS", "2", 1);
    setenv("WEIR_LOG_LEVEL", "warn", 0);
    setenv("WEIR_HTTP_LISTEN", arena_print(demo->arena, "127.0.0.1:%d", demo->port), 1);
    /* At night every tenant's every event is unusual; these live where it is day. */
    if (hour >= 1 && hour < 6)
        setenv("WEIR_TENANTS_TIME_ZONE", "Etc/GMT-8", 0);
}

static pid_t start_child(const char *const *arguments)
{
    char *argv[ARGUMENTS_MAX];
    pid_t parent = getpid();
    size_t count = 0;

    for (; arguments[count] != NULL; count++)
        argv[count] = strdup(arguments[count]);
    argv[count] = NULL;
    pid_t child = fork();
    if (child == 0) {
        /* Ctrl-C is for the parent, who ends the children in order. */
        setpgid(0, 0);
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        signal(SIGCHLD, SIG_DFL);
        signal(SIGHUP, SIG_DFL);
        signal(SIGPIPE, SIG_DFL);
        if (getppid() != parent)
            _exit(CODE_FAILED);
        execv("/proc/self/exe", argv);
        _exit(CODE_FAILED);
    }
    for (size_t i = 0; i < count; i++)
        free(argv[i]);
    return child;
}

static bool start_children(struct demo *demo)
{
    const char *rate = arena_print(demo->arena, "%.15g", demo->values->rate);
    const char *seed = arena_print(demo->arena, "%lld", (long long)demo->values->seed);
    const char *const processor[] = {"weir", "run", "--embedded", demo->address, NULL};
    const char *const generator[] = {
        "weir", "generate",  "--embedded", demo->address, "--rate", rate, "--attack-every",
        "4s",   "--history", "10m",        "--seed",      seed,     NULL};

    demo->processor = start_child(processor);
    demo->generator = start_child(generator);
    return demo->processor > 0 && demo->generator > 0;
}

/* 0: it had ended well, or ends now; else its exit code. */
static int stop_child(pid_t child)
{
    int64_t end_ms = clock_monotonic_ms(clock_system()) + CHILD_STOP_MS;
    int state = 0;

    if (child <= 0 || waitpid(child, &state, WNOHANG) == child)
        return WIFEXITED(state) ? WEXITSTATUS(state) : CODE_FAILED;
    kill(child, SIGTERM);
    while (waitpid(child, &state, WNOHANG) == 0) {
        if (clock_monotonic_ms(clock_system()) > end_ms) {
            kill(child, SIGKILL);
            waitpid(child, &state, 0);
            break;
        }
        poll(NULL, 0, CHILD_LOOK_MS);
    }
    return CODE_DONE;
}

static int watch(const struct demo *demo)
{
    const char *words[ARGUMENTS_MAX] = {"tail", "--embedded", demo->address, "--from", "beginning"};
    char *argv[ARGUMENTS_MAX];
    int argc = 5;

    if (demo->values->seconds > 0) {
        words[argc++] = "--duration";
        words[argc++] = arena_print(demo->arena, "%llds", (long long)demo->values->seconds);
    }
    for (int i = 0; i < argc; i++)
        argv[i] = arena_print(demo->arena, "%s", words[i]);
    argv[argc] = NULL;
    return tail_main(argc, argv);
}

static int show(struct demo *demo)
{
    struct sigaction action = {.sa_handler = on_child_end, .sa_flags = SA_NOCLDSTOP};
    int code;

    demo->port = find_free_port();
    set_environment(demo);
    sigemptyset(&action.sa_mask);
    sigaction(SIGCHLD, &action, NULL);
    fprintf(stderr,
            "weir demo: an embedded broker on %s, %g events a second from synthetic tenants, an "
            "attack every few seconds.\n"
            "Alerts and recommendations follow as they happen (times are UTC). Metrics: "
            "http://127.0.0.1:%d/metrics. Ctrl-C ends.\n",
            demo->address, demo->values->rate, demo->port);
    if (!start_children(demo))
        code = args_fail(&demo_table, "a process could not be started: %s", strerror(errno));
    else
        code = watch(demo);
    signal(SIGCHLD, SIG_DFL);
    int generator_code = stop_child(demo->generator);
    int processor_code = stop_child(demo->processor);
    if (code == CODE_DONE && (generator_code != CODE_DONE || processor_code != CODE_DONE))
        code = args_fail(&demo_table, "the %s ended by itself; its reason stands above",
                         processor_code != CODE_DONE ? "processor" : "generator");
    return code;
}

int demo_main(int argc, char **argv)
{
    struct demo_values values = {.rate = 60, .seed = 1};
    struct settings_request request = {.file = "/dev/null", .parts = SETTINGS_KAFKA};
    struct demo demo = {.values = &values, .arena = arena_create(4096)};
    struct settings settings = {0};
    struct broker *broker = NULL;
    struct failure failure = {0};
    int code;

    if (!args_read(&demo_table, argc, argv, &values, NULL, demo.arena, &code))
        goto done;
    stop_install();
    code = settings_open(&request, &settings);
    if (code != CODE_DONE)
        goto done;
    settings.kafka.topics.partitions = PARTITIONS;
    if (broker_start(&settings.kafka, &broker, &failure) != STATUS_OK) {
        code = args_fail(&demo_table, "%s", failure.text);
        goto done;
    }
    demo.address = broker_address(broker);
    code = show(&demo);

done:
    if (broker != NULL)
        broker_stop(broker);
    if (settings.arena != NULL)
        settings_close(&settings);
    arena_destroy(demo.arena);
    return code;
}
