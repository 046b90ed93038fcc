/* state.c - `weir state inspect|verify`. */
#include "pipeline/state.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

#include "cli/args.h"
#include "cli/cli.h"
#include "cli/settings.h"
#include "kafka/kafka.h"

struct state_values {
    struct settings_request request;
    int64_t partition;
};

#define AT(member) offsetof(struct state_values, member)
static const struct arg state_args[] = {
    SETTINGS_ARGS(struct state_values),
    {"rules", ARG_TEXT, AT(request.rules), "FILE", 0, 0, NULL,
     "the rules, instead of those that the configuration names"},
    {"partition", ARG_INT, AT(partition), "N", 0, INT32_MAX, NULL, "inspect: only this one"},
};
#undef AT

static const struct arg_table state_table = {
    .command = "state",
    .words = "inspect|verify",
    .words_min = 1,
    .words_max = 1,
    .summary = "inspect prints, as one JSON line a partition, its snapshots, what its journal "
               "holds, and the\ndigests. verify runs an uncrashed machine through the whole "
               "journal and compares what it says\nwith what was published, record for record, "
               "and its digests with those of the snapshots.",
    .args = state_args,
    .count = sizeof state_args / sizeof state_args[0],
    .notes = "Both only read. verify needs the journal and the inputs from their beginning, the "
             "rules that were\nin force all the time, and processors that are stopped. Exit code "
             "1 when anything differs.",
    .examples = "  weir state inspect --config weir.yaml --partition 3\n"
                "  weir state verify --config weir.yaml",
};

static enum status inspect(const struct state_setup *setup, int64_t partition,
                           struct failure *failure)
{
    int32_t count = 0;
    struct byte_writer out;
    enum status status =
        setup->side.door->partition_count(setup->side.context, TOPIC_JOURNAL, &count, failure);

    byte_writer_init(&out);
    for (int32_t i = 0; i < count && status == STATUS_OK; i++) {
        if (partition >= 0 && partition != i)
            continue;
        byte_writer_reset(&out);
        status = state_inspect(setup, i, &out, failure);
        if (status == STATUS_OK)
            printf("%.*s\n", VIEW_PRINT(byte_writer_view(&out)));
    }
    byte_writer_free(&out);
    return status;
}

static enum status verify(const struct state_setup *setup, bool *is_equal, struct failure *failure)
{
    struct state_report report;
    struct byte_writer out;
    enum status status = state_verify(setup, &report, failure);

    if (status != STATUS_OK)
        return status;
    byte_writer_init(&out);
    state_print_report(&report, &out);
    printf("%.*s\n", VIEW_PRINT(byte_writer_view(&out)));
    byte_writer_free(&out);
    *is_equal = report.differences == 0 && report.is_whole;
    return STATUS_OK;
}

static int run_state(const struct settings *settings, bool is_verify, int64_t partition)
{
    struct kafka_setup kafka = {
        .options = &settings->kafka, .role = KAFKA_SIDE, .name = "state", .wait_ms = 10000};
    struct state_setup setup = {.engine_config = settings->engine_config};
    struct failure failure = {0};
    bool is_equal = true;
    enum status status = codec_create(&settings->codec, &setup.codec, &failure);

    if (status == STATUS_OK)
        status = kafka_open(&kafka, &setup.side, &failure);
    if (status == STATUS_OK)
        status =
            is_verify ? verify(&setup, &is_equal, &failure) : inspect(&setup, partition, &failure);
    if (setup.side.door != NULL)
        setup.side.door->close(setup.side.context);
    codec_destroy(setup.codec);
    if (status != STATUS_OK)
        return args_fail(&state_table, "%s", failure.text);
    return is_equal ? CODE_DONE
                    : args_fail(&state_table, "what was published is not what the "
                                              "journal says");
}

int state_main(int argc, char **argv)
{
    struct state_values values = {
        .request.parts = SETTINGS_KAFKA | SETTINGS_CODEC | SETTINGS_ENGINE, .partition = -1};
    struct arena *arena = arena_create(4096);
    struct settings settings = {0};
    struct view_list words;
    int code;

    if (!args_read(&state_table, argc, argv, &values, &words, arena, &code))
        goto done;
    bool is_verify = view_is_text(words.at[0], "verify");
    if (!is_verify && !view_is_text(words.at[0], "inspect")) {
        code = args_refuse(&state_table, "expected inspect or verify, not '%.*s'",
                           VIEW_PRINT(words.at[0]));
        goto done;
    }
    code = settings_open(&values.request, &settings);
    if (code == CODE_DONE)
        code = run_state(&settings, is_verify, values.partition);

done:
    if (settings.arena != NULL)
        settings_close(&settings);
    arena_destroy(arena);
    return code;
}
