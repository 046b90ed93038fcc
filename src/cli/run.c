/*
 * run.c - `weir run`: the roles of a process, from the first banner to the last commit.
 *
 *   settings ─► HTTP ─► processor, sinks (wait for a broker) ─► watch ─► stop
 */
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/args.h"
#include "cli/cli.h"
#include "cli/host.h"
#include "cli/processor.h"
#include "cli/settings.h"
#include "cli/sinks.h"
#include "cli/stop.h"
#include "ops/health.h"
#include "ops/http.h"

enum {
    WATCH_MS = 500,
    CHECK_MS = 1000,       /* after so long a source of health does not answer */
    STANDSTILL_MS = 60000, /* without a turn: not alive */
};

struct run_values {
    struct settings_request request;
};

#define AT(member) offsetof(struct run_values, request.member)
static const struct arg run_args[] = {
    SETTINGS_ARGS(struct run_values),
    {"roles", ARG_TEXT, AT(roles), "ROLES", 0, 0, NULL,
     "what this process does: processor, postgres, notify, comma between (default: processor "
     "and what is configured)"},
    {"rules", ARG_TEXT, AT(rules), "FILE", 0, 0, NULL,
     "the rules, instead of those that the configuration names"},
};
#undef AT

static const struct arg_table run_table = {
    .command = "run",
    .summary = "Processes events, stores results, delivers alerts, as the configuration says, "
               "until stopped.",
    .args = run_args,
    .count = sizeof run_args / sizeof run_args[0],
    .notes = "SIGTERM and SIGINT stop it in good order within stop.grace: the batch in hand is "
             "finished and\ncommitted. A second signal ends it at once; nothing is lost, some "
             "work is done again.",
    .examples = "  weir run --config weir.yaml\n"
                "  weir run --roles processor,notify\n"
                "  WEIR_KAFKA_BOOTSTRAP_SERVERS=broker:9092 weir run",
};

struct run {
    const struct settings *settings;
    struct host host;
    struct health *health;
    struct http *http;
    /* NULL until opened; the server's thread looks at them from the beginning. */
    _Atomic(struct processor *) processor;
    _Atomic(struct sinks *) sinks;
};

/* ---- health ---- */

static bool turned_lately(const struct run *run, int64_t turn_ms)
{
    return turn_ms == INT64_MAX || clock_monotonic_ms(run->host.clock) - turn_ms < STANDSTILL_MS;
}

/* While a role waits for a broker it is alive, and not ready. */
static bool processor_live(void *context)
{
    struct run *run = context;
    struct processor *processor = atomic_load(&run->processor);

    return processor == NULL || (!processor_has_failed(processor) &&
                                 turned_lately(run, processor_last_turn_ms(processor)));
}

static bool processor_ready(void *context)
{
    struct run *run = context;
    struct processor *processor = atomic_load(&run->processor);

    return processor != NULL && processor_is_ready(processor);
}

static void processor_tell(void *context, struct byte_writer *out)
{
    struct run *run = context;
    struct processor *processor = atomic_load(&run->processor);

    if (processor != NULL)
        processor_status(processor, out);
    else
        byte_print(out, "\"waiting for a broker\"");
}

static bool sinks_live(void *context)
{
    struct run *run = context;
    struct sinks *sinks = atomic_load(&run->sinks);

    return sinks == NULL ||
           (!sinks_have_failed(sinks) && turned_lately(run, sinks_last_turn_ms(sinks)));
}

static bool sinks_ready(void *context)
{
    struct run *run = context;
    struct sinks *sinks = atomic_load(&run->sinks);

    return sinks != NULL && sinks_are_ready(sinks);
}

static void sinks_tell(void *context, struct byte_writer *out)
{
    struct run *run = context;
    struct sinks *sinks = atomic_load(&run->sinks);

    if (sinks != NULL)
        sinks_status(sinks, out);
    else
        byte_print(out, "\"waiting for a broker\"");
}

static bool has_sinks(const struct run *run)
{
    return (run->settings->roles & (ROLE_POSTGRES | ROLE_NOTIFY)) != 0;
}

static bool has_processor(const struct run *run)
{
    return (run->settings->roles & ROLE_PROCESSOR) != 0;
}

static enum status open_window(struct run *run, struct failure *failure)
{
    struct ops_source processor = {"processor",     true,          run, processor_live,
                                   processor_ready, processor_tell};
    struct ops_source sinks = {"sinks", true, run, sinks_live, sinks_ready, sinks_tell};

    run->health = health_create(run->host.clock, CHECK_MS);
    if (has_processor(run))
        health_add(run->health, &processor);
    if (has_sinks(run))
        health_add(run->health, &sinks);
    if (!http_is_configured(&run->settings->http))
        return STATUS_OK;
    return http_start(&run->settings->http, run->health, run->host.metrics, run->host.clock,
                      &run->http, failure);
}

/* ---- words ---- */

static const char *roles_text(const struct settings *settings, char *text, size_t bytes)
{
    static const enum role roles[] = {ROLE_PROCESSOR, ROLE_POSTGRES, ROLE_NOTIFY};
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        if ((settings->roles & (uint32_t)roles[i]) != 0 && used < bytes)
            used += (size_t)snprintf(text + used, bytes - used, "%s%s", used > 0 ? ", " : "",
                                     role_name(roles[i]));
    return text;
}

static void say_hello(const struct run *run)
{
    const struct settings *settings = run->settings;
    char roles[64];

    log_info("run",
             "weir %s with %s: roles %s; %lld workers; broker %s, group %s; configuration %s",
             WEIR_VERSION, kafka_library_name(), roles_text(settings, roles, sizeof roles),
             (long long)settings->process.workers, settings->kafka.bootstrap_servers,
             settings->kafka.group_id, settings->file != NULL ? settings->file : "of presets");
    if (run->http != NULL)
        log_info("run", "metrics, health and status on port %u", http_port(run->http));
}

static void say_limits(const struct run *run, const struct processor *processor)
{
    int64_t bytes = settings_partition_bytes_max(run->settings);
    int32_t partitions = processor_partition_count(processor);

    log_info("run",
             "%" PRId32 " partitions, state of at most %" PRId64 " MiB each: %" PRId64
             " MiB in all, should this process have them all",
             partitions, bytes >> 20, (bytes >> 20) * partitions);
}

/* ---- life ---- */

static enum status open_roles(struct run *run, struct failure *failure)
{
    struct processor *processor = NULL;
    struct sinks *sinks = NULL;
    enum status status = kafka_check_cluster(&run->settings->kafka, failure);

    if (status == STATUS_OK && has_processor(run)) {
        status = processor_open(&run->host, &processor, failure);
        atomic_store(&run->processor, processor);
        if (status == STATUS_OK)
            say_limits(run, processor);
    }
    if (status == STATUS_OK && has_sinks(run)) {
        status = sinks_open(&run->host, &sinks, failure);
        atomic_store(&run->sinks, sinks);
    }
    return status;
}

static bool has_failed(struct run *run)
{
    struct processor *processor = atomic_load(&run->processor);
    struct sinks *sinks = atomic_load(&run->sinks);

    return (processor != NULL && processor_has_failed(processor)) ||
           (sinks != NULL && sinks_have_failed(sinks));
}

static void on_overtime(int number)
{
    static const char text[] = "weir run: stop.grace is over; ending without the last commits\n";
    ssize_t written = write(STDERR_FILENO, text, sizeof text - 1);

    (void)number;
    (void)written;
    _exit(CODE_FAILED);
}

static void limit_stopping(const struct settings *settings)
{
    struct sigaction action = {.sa_handler = on_overtime};

    sigemptyset(&action.sa_mask);
    sigaction(SIGALRM, &action, NULL);
    alarm((unsigned)((settings->process.stop_grace_ms + 999) / 1000));
}

/* The window first, since it looks at the others; sinks last, since they deliver what the
 * processor says at its end. */
static void close_run(struct run *run)
{
    http_stop(run->http);
    processor_close(atomic_load(&run->processor));
    sinks_close(atomic_load(&run->sinks));
    health_destroy(run->health);
    metric_registry_destroy(run->host.metrics);
}

static int run_roles(const struct settings *settings)
{
    struct failure failure = {0};
    struct run run = {
        .settings = settings,
        .host = {.settings = settings,
                 .clock = clock_system(),
                 .metrics = metric_registry_create(),
                 .is_stopping = stop_flag()},
    };
    enum status status = open_window(&run, &failure);
    int code = CODE_DONE;

    if (status == STATUS_OK) {
        say_hello(&run);
        status = open_roles(&run, &failure);
    }
    while (status == STATUS_OK && !has_failed(&run) && !stop_wait(WATCH_MS))
        continue;
    if (status == STATUS_BROKEN)
        code = args_fail(&run_table, "%s", failure.text);
    else if (!stop_is_asked())
        code = CODE_FAILED; /* the log has said why */
    else
        log_info("run", "stopping");
    limit_stopping(settings);
    close_run(&run);
    alarm(0);
    log_info("run", "stopped");
    return code;
}

int run_main(int argc, char **argv)
{
    struct run_values values = {.request.parts = SETTINGS_ALL};
    struct arena *arena = arena_create(4096);
    struct settings settings = {0};
    int code;

    if (!args_read(&run_table, argc, argv, &values, NULL, arena, &code))
        goto done;
    code = settings_open(&values.request, &settings);
    if (code != CODE_DONE)
        goto done;
    stop_install();
    code = run_roles(&settings);

done:
    if (settings.arena != NULL)
        settings_close(&settings);
    arena_destroy(arena);
    return code;
}
