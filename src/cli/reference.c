/* reference.c - `weir config`: the reference of all settings, or an example. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "cli/args.h"
#include "cli/cli.h"
#include "cli/example.h"
#include "cli/settings.h"

struct reference_values {
    bool is_example;
};

static const struct arg reference_args[] = {
    {"example", ARG_FLAG, offsetof(struct reference_values, is_example), NULL, 0, 0, NULL,
     "a small configuration with comments, to begin with"},
};

static const struct arg_table reference_table = {
    .command = "config",
    .summary = "Prints the reference of all settings, as Markdown: names, types, presets, "
               "environment variables.",
    .args = reference_args,
    .count = sizeof reference_args / sizeof reference_args[0],
    .examples = "  weir config --example > weir.yaml\n"
                "  weir config > config/reference.md",
};

static const char introduction[] =
    "# Settings\n"
    "\n"
    "Made by `weir config` from the tables in the program; a test holds the two together.\n"
    "\n"
    "A setting comes from the configuration file, and the environment wins over it. In the file,\n"
    "a dotted name may be written dotted or nested: `commit.interval_ms: 1s` in section "
    "`processing`\n"
    "is the same as `commit: {interval_ms: 1s}`, and as `processing.commit.interval_ms: 1s` at the "
    "top.\n"
    "Durations: `250ms`, `60s`, `5m`, `1h`, `7d`. Bytes: `64MB`, `1GiB`.\n"
    "\n"
    "A secret never stands in the file. It comes from its environment variable, or from a file\n"
    "that is named either in the configuration (`NAME_file`) or by the variable with `_FILE` at\n"
    "its end.\n"
    "\n"
    "`weir check` prints everything that is wrong with a configuration; `weir config --example`\n"
    "prints one to begin with.\n";

static const char kafka_notes[] =
    "\nEvery other name under `kafka` is a property of librdkafka, handed through as it stands,\n"
    "for instance `security.protocol` or `socket.keepalive.enable`; with `consumer.` or\n"
    "`producer.` before it, it goes to those clients only. From the environment:\n"
    "`WEIR_KAFKA_SECURITY_PROTOCOL`. What the guarantees stand on (isolation level, assignor,\n"
    "partitioner, offset handling) is Weir's own to set, and refused here.\n";

static void put_reference(struct byte_writer *out)
{
    const struct option_table *const *tables = settings_tables();

    byte_print(out, "%s", introduction);
    for (size_t i = 0; tables[i] != NULL; i++) {
        const char *section = tables[i]->section;
        if (section[0] == '\0')
            byte_print(out, "\n## Top level\n\n");
        else
            byte_print(out, "\n## Section `%s`\n\n", section);
        option_reference(tables[i], out);
        if (strcmp(section, "kafka") == 0)
            byte_print(out, "%s", kafka_notes);
    }
}

int reference_main(int argc, char **argv)
{
    struct reference_values values = {0};
    struct arena *arena = arena_create(4096);
    struct byte_writer out;
    int code;

    byte_writer_init(&out);
    if (!args_read(&reference_table, argc, argv, &values, NULL, arena, &code))
        goto done;
    if (values.is_example)
        byte_print(&out, "%s", example_text);
    else
        put_reference(&out);
    fwrite(out.data, 1, out.size, stdout);

done:
    byte_writer_free(&out);
    arena_destroy(arena);
    return code;
}
