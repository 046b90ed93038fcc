/* generate.c - `weir generate`: events of synthetic tenants, to a log or to files. */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "cli/args.h"
#include "cli/cli.h"
#include "cli/outlet.h"
#include "cli/settings.h"
#include "cli/stop.h"
#include "cli/world.h"

/* Files begin on a Monday morning unless told otherwise, the same for everybody. */
#define FILE_START_MS INT64_C(1767600000000) /* 2026-01-05 08:00 UTC */

enum {
    ALL_TOPICS = 1 << TOPIC_ORDERS | 1 << TOPIC_AUTH_EVENTS | 1 << TOPIC_API_CALLS |
                 1 << TOPIC_INTERACTIONS | 1 << TOPIC_REQUESTS,
    FILE_DURATION_MS = 10 * 60 * 1000,
    PACE_WAIT_MS = 20, /* longest sleep between looks at the clock */
};

struct generate_values {
    struct settings_request request;
    int64_t seed;
    int64_t tenants; /* 0: by the rate */
    double rate;
    int64_t duration_ms; /* 0: no end */
    int64_t count;       /* 0: no end */
    int64_t format;
    const char *output;
    const char *labels;
    int64_t attack_interval_ms;
    struct view_list topics;
    const char *start;
    int64_t history_ms;
    bool is_unpaced;
};

static const char *const formats[] = {"json", "avro-registry", "avro-single-object", NULL};

#define AT(member) offsetof(struct generate_values, member)
static const struct arg generate_args[] = {
    SETTINGS_ARGS(struct generate_values),
    {"output", ARG_TEXT, AT(output), "FILE", 0, 0, NULL,
     "JSON lines to FILE (- is standard output) or, when it ends in /, to DIR/TOPIC.jsonl"},
    {"labels", ARG_TEXT, AT(labels), "FILE", 0, 0, NULL,
     "the attacks, a JSON line each: who, when, which rules must find it"},
    {"seed", ARG_INT, AT(seed), "N", 0, 9e15, NULL,
     "same seed, same options: same events (default 1)"},
    {"rate", ARG_DOUBLE, AT(rate), "N", 0.001, 1e7, NULL, "events a second (default 50)"},
    {"tenants", ARG_INT, AT(tenants), "N", 1, 1e6, NULL,
     "default 2 for each event a second, so that ordinary life breaks no rule"},
    {"duration", ARG_DURATION_MS, AT(duration_ms), "TIME", 1, 3.2e12, NULL,
     "of event time; default: files 10m, topics no end"},
    {"count", ARG_INT, AT(count), "N", 1, 9e15, NULL, "ends after so many events"},
    {"attack-every", ARG_DURATION_MS, AT(attack_interval_ms), "TIME", 0, 1e12, NULL,
     "mean time between attacks; 0: none (default 15s)"},
    {"topic", ARG_TEXTS, AT(topics), "TOPIC", 0, 0, NULL,
     "only this input; may be repeated (default: orders, auth-events, api-calls, "
     "interactions, recommendation-requests)"},
    {"format", ARG_CHOICE, AT(format), NULL, 0, 0, formats, "on topics (default json)"},
    {"start", ARG_TEXT, AT(start), "TIME", 0, 0, NULL,
     "event time of the first event, as 2026-01-05T08:00:00Z or in epoch milliseconds "
     "(default: topics now, files that one)"},
    {"history", ARG_DURATION_MS, AT(history_ms), "TIME", 1, 3.2e10, NULL,
     "to topics: first, at once, the orders and interactions of so long before the start"},
    {"unpaced", ARG_FLAG, AT(is_unpaced), NULL, 0, 0, NULL,
     "to topics: as fast as they take them, instead of by the clock"},
};
#undef AT

static const struct arg_table generate_table = {
    .command = "generate",
    .summary = "Makes events of synthetic tenants: shops whose customers have tastes and habits, "
               "and\nattacks, one kind for each default rule. Without --output they go to the "
               "topics of the\nconfiguration, by the clock, until stopped.",
    .args = generate_args,
    .count = sizeof generate_args / sizeof generate_args[0],
    .notes = "In files, nobody but attackers is up from 02:00 to 06:00 UTC; by the clock, life "
             "goes on at\nnight, and the rule unusual-time says so.",
    .examples = "  weir generate --rate 200\n"
                "  weir generate --output events/ --labels attacks.jsonl --duration 2h --seed 7\n"
                "  weir replay --input orders=events/orders.jsonl",
};

/* ---- the command line ---- */

static bool read_time(const char *text, int64_t *time_ms)
{
    struct tm parts = {0};
    char *end;

    if (text_int(view_of(text), time_ms))
        return *time_ms >= 0;
    end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    *time_ms = (int64_t)timegm(&parts) * 1000;
    return end != NULL && *end == '\0' && *time_ms >= 0;
}

static int choose_topics(const struct generate_values *values, uint32_t *topics)
{
    *topics = values->topics.count == 0 ? ALL_TOPICS : 0;
    for (uint32_t i = 0; i < values->topics.count; i++) {
        enum topic topic = topic_find(values->topics.at[i]);
        if (topic == TOPIC_COUNT || (ALL_TOPICS >> topic & 1) == 0)
            return args_refuse(&generate_table,
                               "--topic: expected orders, auth-events, api-calls, interactions or "
                               "recommendation-requests, not '%.*s'",
                               VIEW_PRINT(values->topics.at[i]));
        *topics |= 1u << topic;
    }
    return CODE_DONE;
}

static int choose_world(struct generate_values *values, struct world_options *options)
{
    int code = choose_topics(values, &options->topics);

    if (code != CODE_DONE)
        return code;
    options->seed = (uint64_t)values->seed;
    options->rate = values->rate;
    options->attack_interval_ms = values->attack_interval_ms;
    options->has_quiet_nights = values->output != NULL;
    options->tenant_count = (uint32_t)values->tenants;
    if (values->tenants == 0)
        options->tenant_count = (uint32_t)(values->rate / WORLD_TENANT_RATE_MAX) + 1;
    if (values->output != NULL && values->duration_ms == 0 && values->count == 0)
        values->duration_ms = FILE_DURATION_MS;
    options->start_ms = values->output != NULL ? FILE_START_MS : clock_wall_ms(clock_system());
    /* Poured in at once, events that end now have all happened. */
    if (values->output == NULL && values->is_unpaced)
        options->start_ms -= values->duration_ms != 0
                                 ? values->duration_ms
                                 : (int64_t)((double)values->count / values->rate * 1000);
    if (values->is_unpaced && values->duration_ms == 0 && values->count == 0)
        return args_refuse(&generate_table, "--unpaced needs an end: --duration or --count");
    if (values->start != NULL && !read_time(values->start, &options->start_ms))
        return args_refuse(&generate_table,
                           "--start: expected a time such as 2026-01-05T08:00:00Z, not '%s'",
                           values->start);
    if (values->history_ms > 0 && values->output != NULL)
        return args_refuse(&generate_table, "--history is for topics; files need no hurry");
    options->start_ms -= values->history_ms;
    options->quiet_ms = values->history_ms;
    if (options->rate / options->tenant_count > WORLD_TENANT_RATE_MAX * 1.01)
        fprintf(stderr,
                "weir generate: %.3g events a second for each tenant are so many that ordinary "
                "life may break rules; more --tenants keep it quiet\n",
                options->rate / options->tenant_count);
    return CODE_DONE;
}

/* ---- the work ---- */

struct generation {
    struct outlet *outlet;
    FILE *labels;
    uint64_t label_count;
    uint64_t event_count;
    struct byte_writer line;
};

static void on_label(void *context, const struct world_label *label)
{
    struct generation *generation = context;

    generation->label_count++;
    if (generation->labels == NULL)
        return;
    byte_writer_reset(&generation->line);
    world_label_json(label, &generation->line);
    byte_put_u8(&generation->line, '\n');
    fwrite(generation->line.data, 1, generation->line.size, generation->labels);
}

/* False when asked to stop. */
static bool wait_until(struct generation *generation, int64_t time_ms)
{
    for (;;) {
        int64_t left_ms = time_ms - clock_wall_ms(clock_system());
        if (left_ms <= 0)
            return !stop_is_asked();
        outlet_serve(generation->outlet);
        if (stop_wait(left_ms < PACE_WAIT_MS ? left_ms : PACE_WAIT_MS))
            return false;
    }
}

/* Of the past only what recommendations are learnt from: no alert is raised over it. */
static bool is_wanted(const struct generate_values *values, const struct world_options *options,
                      const struct event *event)
{
    return event->event_time_ms >= options->start_ms + values->history_ms ||
           event->kind == EVENT_ORDER || event->kind == EVENT_INTERACTION;
}

static enum status generate(const struct generate_values *values,
                            const struct world_options *options, struct generation *generation,
                            struct failure *failure)
{
    struct world *world = world_create(options, on_label, generation);
    int64_t end_ms = values->duration_ms == 0
                         ? INT64_MAX
                         : options->start_ms + values->history_ms + values->duration_ms;
    uint64_t count_max = values->count == 0 ? UINT64_MAX : (uint64_t)values->count;
    bool is_paced = values->output == NULL && !values->is_unpaced;
    enum status status = STATUS_OK;
    struct event event;

    while (status == STATUS_OK && generation->event_count < count_max && !stop_is_asked()) {
        world_next(world, &event);
        if (event.event_time_ms >= end_ms ||
            (is_paced && !wait_until(generation, event.event_time_ms)))
            break;
        if (!is_wanted(values, options, &event))
            continue;
        status = outlet_put(generation->outlet, &event, failure);
        generation->event_count += status == STATUS_OK;
    }
    world_finish(world);
    world_destroy(world);
    return status == STATUS_END ? STATUS_OK : status;
}

static enum status open_outlet(const struct generate_values *values,
                               const struct world_options *options, const struct settings *settings,
                               struct outlet **outlet, struct failure *failure)
{
    const char *output = values->output;
    bool is_one_topic = (options->topics & (options->topics - 1)) == 0;

    if (output == NULL)
        return outlet_open_log(settings, (enum codec_format)values->format, outlet, failure);
    if (output[strlen(output) - 1] != '/')
        return outlet_open_file(output, is_one_topic, outlet, failure);
    if (mkdir(output, 0777) != 0 && errno != EEXIST)
        return failure_set(failure, REMEDY_STOP, "%s: %s", output, strerror(errno));
    return outlet_open_folder(output, outlet, failure);
}

static int run_generation(const struct generate_values *values, const struct world_options *options,
                          const struct settings *settings)
{
    struct generation generation = {0};
    struct failure failure = {0}, late = {0};
    int64_t start_ms = clock_monotonic_ms(clock_system());
    enum status status = open_outlet(values, options, settings, &generation.outlet, &failure);

    if (status == STATUS_AGAIN)
        return CODE_DONE; /* asked to stop before there was a broker */
    if (status != STATUS_OK)
        return args_fail(&generate_table, "%s", failure.text);
    if (values->labels != NULL && (generation.labels = fopen(values->labels, "we")) == NULL)
        status = failure_set(&failure, REMEDY_STOP, "%s: %s", values->labels, strerror(errno));
    byte_writer_init(&generation.line);
    if (status == STATUS_OK)
        status = generate(values, options, &generation, &failure);
    if (outlet_close(generation.outlet, &late) != STATUS_OK && status == STATUS_OK) {
        failure = late;
        status = STATUS_BROKEN;
    }
    if (generation.labels != NULL && fclose(generation.labels) != 0 && status == STATUS_OK)
        status = failure_set(&failure, REMEDY_STOP, "%s: %s", values->labels, strerror(errno));
    byte_writer_free(&generation.line);
    if (status != STATUS_OK)
        return args_fail(&generate_table, "%s", failure.text);
    fprintf(stderr,
            "weir generate: %" PRIu64 " events of %" PRIu32 " tenants, %" PRIu64
            " attacks among them, in %.1f s\n",
            generation.event_count, options->tenant_count, generation.label_count,
            (double)(clock_monotonic_ms(clock_system()) - start_ms) / 1000);
    return CODE_DONE;
}

int generate_main(int argc, char **argv)
{
    struct generate_values values = {.seed = 1, .rate = 50, .attack_interval_ms = 15000};
    struct arena *arena = arena_create(4096);
    struct settings settings = {0};
    struct world_options options;
    int code;

    values.request.parts = SETTINGS_KAFKA | SETTINGS_CODEC;
    if (!args_read(&generate_table, argc, argv, &values, NULL, arena, &code))
        goto done;
    code = choose_world(&values, &options);
    if (code != CODE_DONE)
        goto done;
    stop_install();
    if (values.output == NULL)
        code = settings_open(&values.request, &settings);
    if (code == CODE_DONE)
        code = run_generation(&values, &options, &settings);

done:
    if (settings.arena != NULL)
        settings_close(&settings);
    arena_destroy(arena);
    return code;
}
