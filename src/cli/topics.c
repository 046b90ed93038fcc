/* topics.c - `weir topics create|describe`. */
#include "kafka/topics.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

#include "cli/args.h"
#include "cli/cli.h"
#include "cli/settings.h"

struct topics_values {
    struct settings_request request;
    int64_t partitions;
    int64_t replication_factor;
};

#define AT(member) offsetof(struct topics_values, member)
static const struct arg topics_args[] = {
    SETTINGS_ARGS(struct topics_values),
    {"partitions", ARG_INT, AT(partitions), "N", 1, 10000, NULL,
     "of what is created; instead of topics.partitions"},
    {"replication-factor", ARG_INT, AT(replication_factor), "N", 1, 100, NULL,
     "of what is created; instead of topics.replication.factor"},
};
#undef AT

static const struct arg_table topics_table = {
    .command = "topics",
    .words = "create|describe",
    .words_min = 1,
    .words_max = 1,
    .summary = "create makes the topics that are missing and changes nothing that is there; "
               "describe looks\nonly. Both print every topic, and what is wrong with it.",
    .args = topics_args,
    .count = sizeof topics_args / sizeof topics_args[0],
    .notes = "All inputs must have the same number of partitions, for the life of the "
             "installation: it is the\nmost workers that can share the work. Exit code 1 when "
             "a topic is missing or wrong.",
    .examples = "  weir topics create --config weir.yaml --partitions 16 --replication-factor 3",
};

static void print_retention(const struct topic_report *report)
{
    if (report->is_compacted)
        printf("%10s", "compacted");
    else if (report->retention_ms < 0)
        printf("%10s", "for ever");
    else if (report->retention_ms == 0)
        printf("%10s", "-");
    else
        printf("%8.3gd ", (double)report->retention_ms / 86400000);
}

/* Whether all is well with it. */
static bool print_report(const struct topic_report *report)
{
    static const char *const states[] = {
        [TOPIC_STATE_MISSING] = "missing",
        [TOPIC_STATE_CREATED] = "created",
        [TOPIC_STATE_PRESENT] = "present",
        [TOPIC_STATE_FAILED] = "FAILED",
    };

    printf("%-28s%-9s%10" PRId32 "%10" PRId32, report->name, states[report->state],
           report->partitions, report->replication_factor);
    print_retention(report);
    printf("%s%s\n", report->problem[0] != '\0' ? "  " : "", report->problem);
    return report->problem[0] == '\0' &&
           (report->state == TOPIC_STATE_CREATED || report->state == TOPIC_STATE_PRESENT);
}

static int run_topics(const struct settings *settings, bool is_create)
{
    struct topic_report reports[TOPIC_COUNT];
    struct failure failure = {0};
    uint32_t wrong_count = 0;
    enum status status = is_create ? topics_create(&settings->kafka, reports, &failure)
                                   : topics_describe(&settings->kafka, reports, &failure);

    if (status != STATUS_OK)
        return args_fail(&topics_table, "%s", failure.text);
    printf("%-28s%-9s%10s%10s%10s\n", "topic", "state", "partitions", "replicas", "kept");
    for (uint32_t i = 0; i < TOPIC_COUNT; i++)
        wrong_count += !print_report(&reports[i]);
    if (wrong_count == 0)
        return CODE_DONE;
    return args_fail(&topics_table, "%" PRIu32 " of %d topics need attention%s", wrong_count,
                     TOPIC_COUNT, is_create ? "" : "; weir topics create makes those missing");
}

int topics_main(int argc, char **argv)
{
    struct topics_values values = {.request.parts = SETTINGS_KAFKA};
    struct arena *arena = arena_create(4096);
    struct settings settings = {0};
    struct view_list words;
    int code;

    if (!args_read(&topics_table, argc, argv, &values, &words, arena, &code))
        goto done;
    bool is_create = view_is_text(words.at[0], "create");
    if (!is_create && !view_is_text(words.at[0], "describe")) {
        code = args_refuse(&topics_table, "expected create or describe, not '%.*s'",
                           VIEW_PRINT(words.at[0]));
        goto done;
    }
    code = settings_open(&values.request, &settings);
    if (values.partitions != 0)
        settings.kafka.topics.partitions = values.partitions;
    if (values.replication_factor != 0)
        settings.kafka.topics.replication_factor = values.replication_factor;
    if (code == CODE_DONE)
        code = run_topics(&settings, is_create);

done:
    if (settings.arena != NULL)
        settings_close(&settings);
    arena_destroy(arena);
    return code;
}
