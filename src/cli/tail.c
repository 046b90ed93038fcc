/* tail.c - `weir tail`: results, decoded, as they appear on their topics. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json_writer.h"
#include "base/log.h"
#include "cli/args.h"
#include "cli/cli.h"
#include "cli/glance.h"
#include "cli/settings.h"
#include "cli/stop.h"

enum {
    BROKER_WAIT_MS = 30000,
    RECORDS_MAX = 256,
    IDLE_WAIT_MS = 25,
    SOURCES_MAX = 4096,
    ARENA_CHUNK_BYTES = 65536,
    RETRY_WAIT_MS = 1000,
};

enum start { START_END, START_BEGINNING };
enum colouring { COLOUR_AUTO, COLOUR_ALWAYS, COLOUR_NEVER };

struct tail_values {
    struct settings_request request;
    struct view_list topics;
    struct view_list tenants;
    int64_t start;
    int64_t colouring;
    int64_t count;
    int64_t duration_ms;
    bool is_json;
};

static const char *const starts[] = {"end", "beginning", NULL};
static const char *const colourings[] = {"auto", "always", "never", NULL};

#define AT(member) offsetof(struct tail_values, member)
static const struct arg tail_args[] = {
    SETTINGS_ARGS(struct tail_values),
    {"topic", ARG_TEXTS, AT(topics), "TOPIC", 0, 0, NULL,
     "only this one; may be repeated, inputs are topics too (default: alerts, "
     "recommendations, batch-jobs, command-results, notifications, dead-letter)"},
    {"tenant", ARG_TEXTS, AT(tenants), "TENANT", 0, 0, NULL, "only this one; may be repeated"},
    {"from", ARG_CHOICE, AT(start), NULL, 0, 0, starts, "where to begin (default end)"},
    {"json", ARG_FLAG, AT(is_json), NULL, 0, 0, NULL,
     "a line each: {\"topic\": ..., \"key\": ..., \"value\": {...}}"},
    {"color", ARG_CHOICE, AT(colouring), NULL, 0, 0, colourings,
     "auto: on a terminal, unless NO_COLOR is set"},
    {"count", ARG_INT, AT(count), "N", 1, 9e15, NULL, "ends after so many lines"},
    {"duration", ARG_DURATION_MS, AT(duration_ms), "TIME", 1, 1e15, NULL, "ends after so long"},
};
#undef AT

static const struct arg_table tail_table = {
    .command = "tail",
    .summary = "Prints results as they appear, a line each: what happened when (UTC), how bad it "
               "is, to whom.\nReads outside every consumer group: it disturbs nobody.",
    .args = tail_args,
    .count = sizeof tail_args / sizeof tail_args[0],
    .examples = "  weir tail --from beginning --topic alerts\n"
                "  weir tail --json --topic alerts | jq .value.message",
};

static const enum topic preset_topics[] = {
    TOPIC_ALERTS,          TOPIC_RECOMMENDATIONS, TOPIC_BATCH_JOBS,
    TOPIC_COMMAND_RESULTS, TOPIC_NOTIFICATIONS,   TOPIC_DEAD_LETTER,
};

struct tail {
    const struct tail_values *values;
    const struct settings *settings;
    struct transport transport;
    struct codec *codec;
    struct arena *arena; /* of one record */
    struct byte_writer line;
    bool is_coloured;
    enum topic topics[TOPIC_COUNT];
    uint32_t topic_count;
    struct transport_reader *sources[SOURCES_MAX];
    uint32_t source_count;
    int64_t printed_count;
};

static int choose_topics(struct tail *tail)
{
    const struct view_list *names = &tail->values->topics;

    if (names->count == 0) {
        memcpy(tail->topics, preset_topics, sizeof preset_topics);
        tail->topic_count = sizeof preset_topics / sizeof preset_topics[0];
    }
    for (uint32_t i = 0; i < names->count; i++) {
        enum topic topic = topic_find(names->at[i]);
        bool is_chosen = false;
        for (uint32_t j = 0; j < tail->topic_count; j++)
            is_chosen = is_chosen || tail->topics[j] == topic;
        if (topic == TOPIC_COUNT ||
            (topic_info(topic)->event_kind < 0 && topic_info(topic)->result_kind < 0 &&
             topic != TOPIC_DEAD_LETTER))
            return args_refuse(&tail_table, "--topic: %.*s holds nothing to show",
                               VIEW_PRINT(names->at[i]));
        if (!is_chosen)
            tail->topics[tail->topic_count++] = topic;
    }
    return CODE_DONE;
}

/* ---- one record ---- */

static bool is_wanted(const struct tail *tail, struct view tenant)
{
    const struct view_list *tenants = &tail->values->tenants;

    for (uint32_t i = 0; i < tenants->count; i++)
        if (view_is_equal(tenants->at[i], tenant))
            return true;
    return tenants->count == 0;
}

static struct view header_of(const struct tail *tail, const struct record *record, const char *name)
{
    return tail->transport.door->header(tail->transport.context, record, name);
}

static void put_dead_letter(struct tail *tail, const struct record *record)
{
    static const char *const names[] = {
        "weir.error.code",       "weir.error.reason",  "weir.error.field",      "weir.source.topic",
        "weir.source.partition", "weir.source.offset", "weir.source.timestamp", "weir.version",
    };
    struct glance_letter letter = {
        .code = header_of(tail, record, names[0]),
        .reason = header_of(tail, record, names[1]),
        .field = header_of(tail, record, names[2]),
        .topic = header_of(tail, record, names[3]),
        .partition = header_of(tail, record, names[4]),
        .offset = header_of(tail, record, names[5]),
    };

    if (!tail->values->is_json) {
        glance_dead_letter(record, &letter, tail->is_coloured, &tail->line);
        return;
    }
    struct json_writer json = json_writer_on(&tail->line);
    json_begin_object(&json);
    json_name(&json, "topic");
    json_text(&json, topic_info(TOPIC_DEAD_LETTER)->name);
    json_name(&json, "key");
    json_view(&json, record->key);
    json_name(&json, "headers");
    json_begin_object(&json);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct view value = header_of(tail, record, names[i]);
        if (view_is_absent(value))
            continue;
        json_name(&json, names[i]);
        json_view(&json, value);
    }
    json_end_object(&json);
    json_name(&json, "value");
    json_view(&json, record->value);
    json_end_object(&json);
}

static void put_json(struct tail *tail, const struct record *record, const struct shape *shape,
                     const void *value)
{
    struct json_writer json = json_writer_on(&tail->line);

    json_begin_object(&json);
    json_name(&json, "topic");
    json_text(&json, topic_info(record->topic)->name);
    json_name(&json, "key");
    json_view(&json, record->key);
    json_name(&json, "value");
    codec_json(shape, value, &tail->line);
    byte_put_u8(&tail->line, '}');
}

static void put_event_line(struct tail *tail, const struct record *record,
                           const struct event *event)
{
    const struct shape *shape = event_shape(event->kind);

    if (tail->values->is_json) {
        put_json(tail, record, shape, event);
        return;
    }
    struct byte_writer text;
    byte_writer_init(&text);
    codec_json(shape, event, &text);
    byte_print(&tail->line, "%s ", topic_info(record->topic)->name);
    glance_text(byte_writer_view(&text), &tail->line);
    byte_writer_free(&text);
}

/* False when the record is not one of those asked for. */
static bool put_record(struct tail *tail, const struct record *record)
{
    const struct topic_info *info = topic_info(record->topic);
    struct codec_reason reason = {0};
    struct failure failure = {0};
    struct result result;
    struct event event;
    enum status status;

    if (!is_wanted(tail, record->key))
        return false;
    if (record->topic == TOPIC_DEAD_LETTER) {
        put_dead_letter(tail, record);
        return true;
    }
    if (info->event_kind >= 0)
        status = codec_decode_event(tail->codec, (enum event_kind)info->event_kind, record->value,
                                    tail->arena, &event, &reason, &failure);
    else
        status = codec_decode_result(tail->codec, (enum result_kind)info->result_kind,
                                     record->value, tail->arena, &result, &reason, &failure);
    if (status != STATUS_OK) {
        log_warn("tail", "%s/%d@%lld cannot be read: %s", info->name, record->partition,
                 (long long)record->offset, reason.text[0] != '\0' ? reason.text : failure.text);
        return false;
    }
    if (info->event_kind >= 0)
        put_event_line(tail, record, &event);
    else if (tail->values->is_json)
        put_json(tail, record, result_shape(result.kind), &result);
    else
        glance_result(&result, tail->is_coloured, &tail->line);
    return true;
}

static enum status print_record(struct tail *tail, const struct record *record,
                                struct failure *failure)
{
    byte_writer_reset(&tail->line);
    arena_reset(tail->arena);
    if (!put_record(tail, record))
        return STATUS_OK;
    byte_put_u8(&tail->line, '\n');
    tail->printed_count++;
    if (fwrite(tail->line.data, 1, tail->line.size, stdout) != tail->line.size)
        return failure_set(failure, REMEDY_STOP, "standard output is closed");
    return STATUS_OK;
}

/* ---- all records ---- */

static bool is_finished(const struct tail *tail)
{
    return stop_is_asked() ||
           (tail->values->count > 0 && tail->printed_count >= tail->values->count);
}

static enum status open_topic(struct tail *tail, enum topic topic, struct failure *failure)
{
    const struct transport_door *door = tail->transport.door;
    void *context = tail->transport.context;
    int64_t from = tail->values->start == START_BEGINNING ? POSITION_BEGINNING : POSITION_END;
    int32_t count = 0;
    enum status status;

    while ((status = door->partition_count(context, topic, &count, failure)) == STATUS_BROKEN &&
           failure->remedy == REMEDY_RETRY) {
        log_warn("tail", "%s; trying again", failure->text);
        if (stop_wait(RETRY_WAIT_MS))
            return STATUS_END;
    }
    for (int32_t partition = 0; status == STATUS_OK && partition < count; partition++) {
        if (tail->source_count == SOURCES_MAX)
            return failure_set(failure, REMEDY_STOP, "more than %d partitions", SOURCES_MAX);
        status = door->reader_open(context, topic, partition, from,
                                   &tail->sources[tail->source_count], failure);
        tail->source_count += status == STATUS_OK;
    }
    return status;
}

static enum status poll_source(struct tail *tail, struct transport_reader *source, uint32_t *count,
                               struct failure *failure)
{
    struct record records[RECORDS_MAX];
    enum status status =
        tail->transport.door->reader_poll(source, records, RECORDS_MAX, 0, count, failure);

    if (status == STATUS_BROKEN && failure->remedy == REMEDY_RETRY) {
        log_warn("tail", "%s; trying again", failure->text);
        *count = 0;
        stop_wait(RETRY_WAIT_MS);
        return STATUS_OK;
    }
    if (status == STATUS_BROKEN)
        return status;
    status = STATUS_OK;
    for (uint32_t i = 0; i < *count && status == STATUS_OK && !is_finished(tail); i++)
        status = print_record(tail, &records[i], failure);
    return status;
}

static enum status follow(struct tail *tail, struct failure *failure)
{
    int64_t end_ms = tail->values->duration_ms == 0
                         ? INT64_MAX
                         : clock_monotonic_ms(clock_system()) + tail->values->duration_ms;
    enum status status = STATUS_OK;

    while (status == STATUS_OK && !is_finished(tail) &&
           clock_monotonic_ms(clock_system()) < end_ms) {
        bool is_idle = true;
        for (uint32_t i = 0; i < tail->source_count && status == STATUS_OK; i++) {
            uint32_t count = 0;
            status = poll_source(tail, tail->sources[i], &count, failure);
            is_idle = is_idle && count == 0;
        }
        if (status == STATUS_OK && fflush(stdout) != 0)
            status = failure_set(failure, REMEDY_STOP, "standard output is closed");
        if (is_idle)
            stop_wait(IDLE_WAIT_MS);
    }
    return status;
}

static enum status tail_topics(struct tail *tail, struct failure *failure)
{
    struct kafka_setup setup = {
        .options = &tail->settings->kafka,
        .role = KAFKA_SIDE,
        .name = "tail",
        .is_stopping = stop_flag(),
        .wait_ms = BROKER_WAIT_MS,
    };
    enum status status = codec_create(&tail->settings->codec, &tail->codec, failure);

    if (status == STATUS_OK)
        status = kafka_open(&setup, &tail->transport, failure);
    for (uint32_t i = 0; i < tail->topic_count && status == STATUS_OK; i++)
        status = open_topic(tail, tail->topics[i], failure);
    if (status == STATUS_OK)
        status = follow(tail, failure);
    for (uint32_t i = 0; i < tail->source_count; i++)
        tail->transport.door->reader_close(tail->sources[i]);
    if (tail->transport.door != NULL)
        tail->transport.door->close(tail->transport.context);
    codec_destroy(tail->codec);
    return status;
}

static bool wants_colour(const struct tail_values *values)
{
    const char *refused = getenv("NO_COLOR");

    if (values->is_json || values->colouring == COLOUR_NEVER)
        return false;
    if (values->colouring == COLOUR_ALWAYS)
        return true;
    return isatty(STDOUT_FILENO) && (refused == NULL || refused[0] == '\0');
}

int tail_main(int argc, char **argv)
{
    struct tail_values values = {.start = START_END};
    struct arena *arena = arena_create(4096);
    struct settings settings = {0};
    struct tail *tail = arena_alloc(arena, sizeof *tail);
    struct failure failure = {0};
    int code;

    values.request.parts = SETTINGS_KAFKA | SETTINGS_CODEC;
    tail->values = &values;
    tail->settings = &settings;
    if (!args_read(&tail_table, argc, argv, &values, NULL, arena, &code))
        goto done;
    code = choose_topics(tail);
    if (code == CODE_DONE)
        code = settings_open(&values.request, &settings);
    if (code != CODE_DONE)
        goto done;
    stop_install();
    tail->is_coloured = wants_colour(&values);
    tail->arena = arena_create(ARENA_CHUNK_BYTES);
    byte_writer_init(&tail->line);
    if (tail_topics(tail, &failure) == STATUS_BROKEN)
        code = args_fail(&tail_table, "%s", failure.text);
    byte_writer_free(&tail->line);
    arena_destroy(tail->arena);

done:
    if (settings.arena != NULL)
        settings_close(&settings);
    arena_destroy(arena);
    return code;
}
