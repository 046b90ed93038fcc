/* broker.c - `weir broker`: a small Kafka in memory. */
#include "kafka/broker.h"

#include <stddef.h>
#include <stdio.h>

#include "cli/args.h"
#include "cli/cli.h"
#include "cli/settings.h"
#include "cli/stop.h"

enum { WAIT_MS = 3600000 };

struct broker_values {
    struct settings_request request;
    int64_t partitions;
};

static const struct arg broker_args[] = {
    {"config", ARG_TEXT, offsetof(struct broker_values, request.file), "FILE", 0, 0, NULL,
     "topics.prefix and topics.partitions are taken from it"},
    {"partitions", ARG_INT, offsetof(struct broker_values, partitions), "N", 1, 1000, NULL,
     "of each topic (default 8)"},
};

static const struct arg_table broker_table = {
    .command = "broker",
    .summary = "Serves a small Kafka on this machine, in memory, with all topics; ends with "
               "Ctrl-C. Prints its\naddress on standard output, for --embedded HOST:PORT of the "
               "other commands. For trying things\nout: what it cannot do is printed when it "
               "starts.",
    .args = broker_args,
    .count = sizeof broker_args / sizeof broker_args[0],
    .examples = "  weir broker &\n"
                "  weir run --embedded 127.0.0.1:40123\n"
                "  weir generate --embedded 127.0.0.1:40123\n"
                "  weir tail --embedded 127.0.0.1:40123",
};

static int serve(const struct settings *settings)
{
    struct broker *broker = NULL;
    struct failure failure = {0};

    if (broker_start(&settings->kafka, &broker, &failure) != STATUS_OK)
        return args_fail(&broker_table, "%s", failure.text);
    fprintf(stderr, "weir broker: for trying things out only:\n");
    for (const char *const *limit = broker_limits(); *limit != NULL; limit++)
        fprintf(stderr, "  - %s\n", *limit);
    printf("%s\n", broker_address(broker));
    fflush(stdout);
    while (!stop_wait(WAIT_MS))
        continue;
    broker_stop(broker);
    return CODE_DONE;
}

int broker_main(int argc, char **argv)
{
    struct broker_values values = {.request.parts = SETTINGS_KAFKA};
    struct arena *arena = arena_create(4096);
    struct settings settings = {0};
    int code;

    if (!args_read(&broker_table, argc, argv, &values, NULL, arena, &code))
        goto done;
    stop_install();
    code = settings_open(&values.request, &settings);
    if (values.partitions != 0)
        settings.kafka.topics.partitions = values.partitions;
    if (code == CODE_DONE)
        code = serve(&settings);

done:
    if (settings.arena != NULL)
        settings_close(&settings);
    arena_destroy(arena);
    return code;
}
