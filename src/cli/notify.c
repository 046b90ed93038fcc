/* notify.c - `weir notify --test CHANNEL`: does it arrive? */
#include "sink/notify.h"

#include <stddef.h>
#include <stdio.h>

#include "cli/args.h"
#include "cli/cli.h"
#include "cli/settings.h"

struct notify_values {
    struct settings_request request;
    const char *channel;
};

static const struct arg notify_args[] = {
    {"config", ARG_TEXT, offsetof(struct notify_values, request.file), "FILE", 0, 0, NULL,
     "the configuration; else WEIR_CONFIG, else ./weir.yaml if there is one"},
    {"test", ARG_TEXT, offsetof(struct notify_values, channel), "CHANNEL", 0, 0, NULL,
     "slack or email: sends one example alert there, now"},
};

static const struct arg_table notify_table = {
    .command = "notify",
    .summary = "Sends an example alert to a notification channel, as `weir run` would send a real "
               "one, and\nsays what the destination answered.",
    .args = notify_args,
    .count = sizeof notify_args / sizeof notify_args[0],
    .examples = "  SLACK_WEBHOOK_URL=https://hooks.slack.com/... weir notify --test slack",
};

static int test_channel(const struct settings *settings, const char *channel)
{
    struct failure failure = {0};

    if (notify_test(&settings->notify, channel, &failure) != STATUS_OK)
        return args_fail(&notify_table, "%s: %s", channel, failure.text);
    printf("%s: delivered\n", channel);
    return CODE_DONE;
}

int notify_main(int argc, char **argv)
{
    struct notify_values values = {.request.parts = SETTINGS_SINKS};
    struct arena *arena = arena_create(4096);
    struct settings settings = {0};
    int code;

    if (!args_read(&notify_table, argc, argv, &values, NULL, arena, &code))
        goto done;
    if (values.channel == NULL) {
        code = args_refuse(&notify_table, "expected --test CHANNEL");
        goto done;
    }
    if (notify_channel_find(values.channel) == NOTIFY_CHANNEL_COUNT) {
        code =
            args_refuse(&notify_table, "--test: expected slack or email, not '%s'", values.channel);
        goto done;
    }
    code = settings_open(&values.request, &settings);
    if (code == CODE_DONE)
        code = test_channel(&settings, values.channel);

done:
    if (settings.arena != NULL)
        settings_close(&settings);
    arena_destroy(arena);
    return code;
}
