/*
 * The engine on files. Inputs are merged by event time, the way a partition would see
 * them if all topics were read at the same pace:
 *
 *   orders.jsonl     head ─┐
 *   auth.jsonl.gz    head ─┼─► least event time ─► engine_apply ─► results ─► stdout
 *   api.avro.zst     head ─┘
 *
 * Each file is sorted on the way, as far as the memory for it reaches. With --arrival it is
 * taken in its own order: an event too far behind those before it in the same file is late,
 * as it would be in Kafka. There are no ticks, since nobody waits here: event time alone
 * decides, and no event is from the future. Only batch jobs of
 * recommendations are done in ticks; where there are requests, event time ticks once a
 * second. A topic whose file has ended is retired, so that rules over several topics go on
 * with the others.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json_writer.h"
#include "cli/args.h"
#include "cli/cli.h"
#include "cli/input.h"
#include "cli/settings.h"
#include "cli/sorter.h"
#include "cli/yaml.h"
#include "event/topic.h"
#include "pipeline/result_key.h"

enum {
    INPUTS_MAX = 64,
    PARTITION = 0,
    OUTPUT_BYTES = 1 << 16,
    REPORTS_MAX = 100,      /* bad lines of one file that are told one by one */
    SORT_BYTES = 256 << 20, /* for all files together */
    TICK_MS = 1000,
    LAST_TICKS_MAX = 100000, /* for batch work at the end of the input */
};

enum output { OUTPUT_JSON, OUTPUT_NONE };
static const char *const outputs[] = {"json", "none", NULL};

struct replay_args {
    struct view_list inputs;
    const char *rules;
    const char *config;
    int64_t format; /* enum output */
    struct view_list enable;
    struct view_list disable;
    int64_t lateness_ms; /* -1: as configured */
    bool is_arrival;
};

#define AT(member) offsetof(struct replay_args, member)
static const struct arg args[] = {
    {.name = "input",
     .type = ARG_TEXTS,
     .offset = AT(inputs),
     .value = "TOPIC=FILE",
     .purpose = "events of an input topic; may be repeated; FILE - is standard input"},
    {.name = "rules",
     .type = ARG_TEXT,
     .offset = AT(rules),
     .value = "FILE",
     .purpose = "rules to try; default: those of the configuration, else the built-in ones"},
    {.name = "config",
     .type = ARG_TEXT,
     .offset = AT(config),
     .value = "FILE",
     .purpose = "configuration, for tenants, time zones, currencies, lateness"},
    {.name = "enable",
     .type = ARG_TEXTS,
     .offset = AT(enable),
     .value = "RULE",
     .purpose = "switch a rule on; may be repeated"},
    {.name = "disable",
     .type = ARG_TEXTS,
     .offset = AT(disable),
     .value = "RULE",
     .purpose = "switch a rule off; may be repeated"},
    {.name = "lateness",
     .type = ARG_DURATION_MS,
     .offset = AT(lateness_ms),
     .value = "DURATION",
     .least = 0,
     .most = 7 * 86400000.0,
     .purpose = "how late an event may be and still count; default: as configured, 60s"},
    {.name = "arrival",
     .type = ARG_FLAG,
     .offset = AT(is_arrival),
     .purpose = "keep the order of the files: one event of each in turn, not by event time"},
    {.name = "format",
     .type = ARG_CHOICE,
     .offset = AT(format),
     .value = "json|none",
     .choices = outputs,
     .purpose = "json: each result a line (default); none: the summary only"},
};

static const struct arg_table table = {
    .command = "replay",
    .summary =
        "Runs the engine over recorded events, without Kafka, and prints every result as one\n"
        "line of JSON. At the end all open episodes are closed with their final figures.",
    .args = args,
    .count = sizeof args / sizeof args[0],
    .examples = "  weir replay --input orders=orders.jsonl.gz --rules my-rules.yaml\n"
                "  weir replay --input orders=- --input auth-events=auth.avro < orders.jsonl",
    .notes = "Files hold one JSON object a line, or are Avro containers; plain, .gz or .zst.\n"
             "Events are taken by event time, whatever the order of a file: up to 256 MB of them\n"
             "are read ahead, and one that stands farther from its place may come late. With\n"
             "--arrival nothing is read ahead.\n"
             "A line that is no event is told on standard error and counted; the run goes on.\n"
             "Exit code 1: a file could not be opened, or not be read to its end, or not one of\n"
             "its lines was an event.",
};

struct source {
    struct input *input;
    struct sorter *sorter; /* NULL with --arrival */
    const char *topic;
    enum event_kind kind;
    struct event head;
    bool has_head;
    bool is_at_end;
    bool is_damaged; /* could not be read to its end */
    uint64_t good, bad;
};

struct replay {
    struct replay_args args;
    struct arena *arena;
    struct settings settings;
    struct codec *codec;
    struct engine *engine;
    struct outbox *outbox;
    struct byte_writer output;
    struct source sources[INPUTS_MAX];
    uint32_t source_count;
    uint32_t turn; /* the source whose turn it is, with --arrival */
    bool has_ticks;
    int64_t tick_ms; /* of the last one */
    uint64_t unknown_tenants;
    uint64_t results;
};

/* ---- sources ---- */

static void report(struct source *source, const char *text)
{
    if (source->bad <= REPORTS_MAX)
        fprintf(stderr, "%s:%" PRIu64 ": %s\n", input_path(source->input),
                input_number(source->input), text);
    if (source->bad == REPORTS_MAX)
        fprintf(stderr, "%s: further bad %ss are counted only\n", input_path(source->input),
                input_unit(source->input));
}

/* The next good event of the file; false at its end. */
static bool read_event(struct source *source, struct event *event)
{
    struct failure failure;
    enum status status;

    for (;;) {
        status = input_next(source->input, event, &failure);
        if (status != STATUS_BROKEN || failure.remedy != REMEDY_SET_ASIDE)
            break;
        source->bad++;
        report(source, failure.text);
    }
    source->is_at_end = status != STATUS_OK;
    source->good += status == STATUS_OK;
    if (status == STATUS_BROKEN) {
        source->is_damaged = true;
        fprintf(stderr, "%s: after %s %" PRIu64 ": %s\n", input_path(source->input),
                input_unit(source->input), input_number(source->input), failure.text);
    }
    return status == STATUS_OK;
}

/* The next event of the source becomes its head. */
static void advance(struct source *source)
{
    struct sorter *sorter = source->sorter;
    struct event event;

    if (sorter == NULL) {
        source->has_head = read_event(source, &source->head);
        return;
    }
    while (!source->is_at_end && (sorter_is_empty(sorter) || !sorter_is_full(sorter)))
        if (read_event(source, &event))
            sorter_put(sorter, &event);
    source->has_head = !sorter_is_empty(sorter);
    if (source->has_head)
        source->head = *sorter_take(sorter);
}

static struct source *least_time(struct replay *replay)
{
    struct source *least = NULL;

    for (uint32_t i = 0; i < replay->source_count; i++) {
        struct source *source = &replay->sources[i];
        if (source->has_head &&
            (least == NULL || source->head.event_time_ms < least->head.event_time_ms))
            least = source;
    }
    return least;
}

static struct source *next_turn(struct replay *replay)
{
    for (uint32_t i = 0; i < replay->source_count; i++) {
        struct source *source = &replay->sources[(replay->turn + i) % replay->source_count];
        if (!source->has_head)
            continue;
        replay->turn = (replay->turn + i + 1) % replay->source_count;
        return source;
    }
    return NULL;
}

static bool is_expected(const struct replay *replay, enum event_kind kind)
{
    for (uint32_t i = 0; i < replay->source_count; i++)
        if (replay->sources[i].has_head && replay->sources[i].kind == kind)
            return true;
    return false;
}

/* ---- results ---- */

static void write_out(struct replay *replay)
{
    if (replay->output.size > 0)
        fwrite(replay->output.data, 1, replay->output.size, stdout);
    byte_writer_reset(&replay->output);
}

static void print_result(struct replay *replay, const struct result *result)
{
    struct byte_writer *out = &replay->output;
    struct json_writer json = json_writer_on(out);

    json_begin_object(&json);
    json_name(&json, "topic");
    json_text(&json, topic_info(topic_of_result(result->kind))->name);
    json_name(&json, "key");
    json_view(&json, result_key(result, outbox_scratch(replay->outbox)));
    json_name(&json, "value");
    codec_json(result_shape(result->kind), result, out);
    json_end_object(&json);
    byte_put_u8(out, '\n');
}

static void take_results(struct replay *replay)
{
    uint32_t count = outbox_count(replay->outbox);

    /* What Kafka would bring back. */
    for (uint32_t i = 0; i < count; i++)
        if (outbox_at(replay->outbox, i)->kind == RESULT_POPULARITY)
            engine_take_popularity(replay->engine, outbox_at(replay->outbox, i));

    replay->results += count;
    if (replay->args.format == OUTPUT_JSON)
        for (uint32_t i = 0; i < count; i++)
            print_result(replay, outbox_at(replay->outbox, i));
    outbox_reset(replay->outbox);
    if (replay->output.size >= OUTPUT_BYTES)
        write_out(replay);
}

/* ---- the run ---- */

static void pass_time(struct replay *replay, int64_t time_ms)
{
    if (!replay->has_ticks || time_ms < replay->tick_ms + TICK_MS)
        return;
    replay->tick_ms = time_ms;
    engine_tick(replay->engine, time_ms, replay->outbox);
}

static void apply(struct replay *replay, struct source *source)
{
    enum verdict verdict;

    pass_time(replay, source->head.event_time_ms);
    verdict = engine_apply(replay->engine, &source->head, replay->outbox);

    switch (verdict) {
    case VERDICT_UNKNOWN_TENANT:
        replay->unknown_tenants++;
        break;
    case VERDICT_APPLIED:
    case VERDICT_DUPLICATE:
    case VERDICT_LATE:
    case VERDICT_LATE_SET_ASIDE:
    case VERDICT_FUTURE:
        break; /* the engine counts them */
    }
    advance(source);
    if (source->has_head)
        engine_expect(replay->engine, &source->head, 1);
    if (!source->has_head && source->kind != EVENT_COMMAND && !is_expected(replay, source->kind))
        engine_retire(replay->engine, source->kind, replay->outbox);
    if (outbox_count(replay->outbox) > 0)
        take_results(replay);
}

static bool has_jobs(const struct replay *replay)
{
    struct engine_stats stats;

    engine_stats(replay->engine, &stats);
    return stats.jobs_waiting + stats.jobs_running > 0 || engine_is_busy(replay->engine);
}

static void run(struct replay *replay)
{
    struct source *source;

    for (uint32_t i = 0; i < replay->source_count; i++) {
        advance(&replay->sources[i]);
        replay->has_ticks |= replay->sources[i].kind == EVENT_REQUEST;
    }
    for (int kind = 0; kind < EVENT_COMMAND; kind++)
        if (!is_expected(replay, (enum event_kind)kind))
            engine_retire(replay->engine, (enum event_kind)kind, replay->outbox);
    do {
        source = replay->args.is_arrival ? next_turn(replay) : least_time(replay);
        if (source != NULL)
            apply(replay, source);
    } while (source != NULL && ferror(stdout) == 0);
    for (int i = 0; replay->has_ticks && i < LAST_TICKS_MAX && has_jobs(replay); i++) {
        pass_time(replay, replay->tick_ms + TICK_MS);
        take_results(replay);
    }
    engine_finish(replay->engine, replay->outbox);
    take_results(replay);
    write_out(replay);
}

static uint64_t sum_kinds(const uint64_t *counts)
{
    uint64_t sum = 0;

    for (int kind = 0; kind < EVENT_KIND_COUNT; kind++)
        sum += counts[kind];
    return sum;
}

static void print_summary(const struct replay *replay, int64_t duration_ns)
{
    double seconds = (double)duration_ns / 1e9;
    struct engine_stats stats;
    uint64_t good = 0, bad = 0;

    engine_stats(replay->engine, &stats);
    for (uint32_t i = 0; i < replay->source_count; i++) {
        good += replay->sources[i].good;
        bad += replay->sources[i].bad;
    }
    fprintf(stderr,
            "weir replay: %" PRIu64 " events in %.3f s, %.0f events/s; applied %" PRIu64
            ", late %" PRIu64 ", duplicates %" PRIu64 ", unknown tenants %" PRIu64 ", bad %" PRIu64
            "\n",
            good, seconds, seconds > 0 ? (double)good / seconds : 0.0, sum_kinds(stats.applied),
            sum_kinds(stats.late), sum_kinds(stats.duplicates), replay->unknown_tenants, bad);
    fprintf(stderr,
            "weir replay: alerts opened: %" PRIu64 " high, %" PRIu64 " medium, %" PRIu64
            " low; %" PRIu64 " results; keys %" PRIu64 ", evicted %" PRIu64 "\n",
            stats.alerts_opened[SEVERITY_HIGH], stats.alerts_opened[SEVERITY_MEDIUM],
            stats.alerts_opened[SEVERITY_LOW], replay->results, stats.keys, stats.keys_evicted);
}

/* ---- setting up ---- */

static int open_source(struct replay *replay, struct view word)
{
    const char *equals = memchr(word.data, '=', word.size);
    struct source *source = &replay->sources[replay->source_count];
    struct failure failure;
    enum topic topic;
    const char *path;

    if (equals == NULL)
        return args_refuse(&table, "--input %.*s: expected TOPIC=FILE", VIEW_PRINT(word));
    topic = topic_find((struct view){word.data, (uint32_t)(equals - word.data)});
    if (topic == TOPIC_COUNT || topic_info(topic)->event_kind < 0)
        return args_refuse(&table, "--input %.*s: no such input topic", VIEW_PRINT(word));
    if (replay->source_count == INPUTS_MAX)
        return args_refuse(&table, "--input: at most %d files", INPUTS_MAX);
    path = arena_copy(replay->arena,
                      (struct view){equals + 1, word.size - (uint32_t)(equals + 1 - word.data)})
               .data;
    source->topic = topic_info(topic)->name;
    source->kind = (enum event_kind)topic_info(topic)->event_kind;
    if (input_open(path, source->kind, replay->codec,
                   (size_t)replay->settings.codec.message_bytes_max, &source->input,
                   &failure) != STATUS_OK)
        return args_fail(&table, "%s: %s", path, failure.text);
    replay->source_count++;
    return CODE_DONE;
}

static int switch_rules(struct replay *replay, const struct view_list *names, bool is_enabled)
{
    for (uint32_t i = 0; i < names->count; i++)
        if (engine_config_switch(replay->settings.engine_config, names->at[i], is_enabled) !=
            STATUS_OK)
            return args_refuse(&table, "--%s %.*s: no such rule", is_enabled ? "enable" : "disable",
                               VIEW_PRINT(names->at[i]));
    return CODE_DONE;
}

/* The configuration with the rules of --rules in the place of its own. */
static int read_settings(struct replay *replay)
{
    struct settings *settings = &replay->settings;
    struct settings_request request = {.file = replay->args.config, .parts = SETTINGS_CODEC};
    struct tree *rules = NULL;
    int code;

    if (replay->args.rules == NULL)
        request.parts |= SETTINGS_ENGINE;
    code = settings_open(&request, settings);
    if (code != CODE_DONE || replay->args.rules == NULL)
        return code;
    if (yaml_parse_file(replay->args.rules, settings->arena, &rules, &settings->complaints) ==
        STATUS_OK)
        settings->engine_config =
            engine_config_create(settings->root, rules, yaml_parse_text, &settings->complaints);
    if (settings->complaints.count == 0)
        return CODE_DONE;
    settings_print_complaints(settings);
    return CODE_CONFIG;
}

static int set_up(struct replay *replay)
{
    const struct replay_args *given = &replay->args;
    struct failure failure;
    int code = read_settings(replay);

    if (code == CODE_DONE)
        code = switch_rules(replay, &given->enable, true);
    if (code == CODE_DONE)
        code = switch_rules(replay, &given->disable, false);
    if (code != CODE_DONE)
        return code;
    if (given->lateness_ms >= 0)
        engine_config_set_lateness(replay->settings.engine_config, given->lateness_ms);
    if (codec_create(&replay->settings.codec, &replay->codec, &failure) != STATUS_OK)
        return args_fail(&table, "%s", failure.text);
    if (given->inputs.count == 0)
        return args_refuse(&table, "--input: at least one TOPIC=FILE");
    for (uint32_t i = 0; i < given->inputs.count && code == CODE_DONE; i++)
        code = open_source(replay, given->inputs.at[i]);
    for (uint32_t i = 0; i < replay->source_count && !given->is_arrival; i++)
        replay->sources[i].sorter =
            sorter_create(replay->sources[i].kind, SORT_BYTES / replay->source_count);
    replay->engine = engine_open(replay->settings.engine_config, PARTITION);
    replay->outbox = outbox_create();
    return code;
}

static void tear_down(struct replay *replay)
{
    for (uint32_t i = 0; i < replay->source_count; i++) {
        sorter_destroy(replay->sources[i].sorter);
        input_close(replay->sources[i].input);
    }
    engine_close(replay->engine);
    outbox_destroy(replay->outbox);
    codec_destroy(replay->codec);
    byte_writer_free(&replay->output);
    settings_close(&replay->settings);
}

static int judge(const struct replay *replay)
{
    uint64_t good = 0, bad = 0;
    bool is_damaged = false;

    for (uint32_t i = 0; i < replay->source_count; i++) {
        good += replay->sources[i].good;
        bad += replay->sources[i].bad;
        is_damaged |= replay->sources[i].is_damaged;
    }
    if (ferror(stdout) != 0)
        return args_fail(&table, "standard output cannot be written");
    return is_damaged || (good == 0 && bad > 0) ? CODE_FAILED : CODE_DONE;
}

int replay_main(int argc, char **argv)
{
    const struct clock *clock = clock_system();
    struct replay *replay = calloc(1, sizeof *replay);
    int code = CODE_DONE;
    int64_t started_ns;

    assert(replay != NULL);
    replay->arena = arena_create(4096);
    replay->args.lateness_ms = -1;
    byte_writer_init(&replay->output);
    if (!args_read(&table, argc, argv, &replay->args, NULL, replay->arena, &code)) {
        arena_destroy(replay->arena);
        free(replay);
        return code;
    }
    code = set_up(replay);
    if (code == CODE_DONE) {
        started_ns = clock_monotonic_ns(clock);
        run(replay);
        print_summary(replay, clock_monotonic_ns(clock) - started_ns);
        code = judge(replay);
    }
    tear_down(replay);
    arena_destroy(replay->arena);
    free(replay);
    return code;
}
