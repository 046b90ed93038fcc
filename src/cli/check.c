/* check.c - `weir check`: everything that is wrong with a configuration, at once. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

#include "cli/args.h"
#include "cli/cli.h"
#include "cli/settings.h"

struct check_values {
    struct settings_request request;
};

#define AT(member) offsetof(struct check_values, request.member)
static const struct arg check_args[] = {
    {"config", ARG_TEXT, AT(file), "FILE", 0, 0, NULL,
     "the configuration; else WEIR_CONFIG, else ./weir.yaml if there is one"},
    {"rules", ARG_TEXT, AT(rules), "FILE", 0, 0, NULL,
     "rules to check instead of those that the configuration names"},
    {"roles", ARG_TEXT, AT(roles), "ROLES", 0, 0, NULL,
     "as `weir run` would be given: processor, postgres, notify, comma between"},
};
#undef AT

static const struct arg_table check_table = {
    .command = "check",
    .summary = "Reads the configuration, its rules and the environment as `weir run` would, and "
               "prints every\nerror, one a line: where it is, what was expected. Connects to "
               "nothing.",
    .args = check_args,
    .count = sizeof check_args / sizeof check_args[0],
    .examples = "  weir check --config weir.yaml\n"
                "  weir check --rules new-rules.yaml && cp new-rules.yaml /etc/weir/rules.yaml",
};

static void print_roles(const struct settings *settings)
{
    static const enum role roles[] = {ROLE_PROCESSOR, ROLE_POSTGRES, ROLE_NOTIFY};
    const char *comma = "";

    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        if ((settings->roles & (uint32_t)roles[i]) == 0)
            continue;
        printf("%s%s", comma, role_name(roles[i]));
        comma = ", ";
    }
}

int check_main(int argc, char **argv)
{
    struct check_values values = {.request.parts = SETTINGS_ALL};
    struct arena *arena = arena_create(4096);
    struct settings settings = {0};
    int code;

    if (!args_read(&check_table, argc, argv, &values, NULL, arena, &code))
        goto done;
    settings_read(&values.request, &settings);
    settings_print_complaints(&settings);
    if (settings.unknown_variables != NULL)
        fprintf(stderr, "warning: the environment has %s: no setting is called so (weir config)\n",
                settings.unknown_variables);
    if (settings.complaints.count > 0) {
        fprintf(stderr, "%" PRIu32 " error%s\n", settings.complaints.count,
                settings.complaints.count == 1 ? "" : "s");
        code = CODE_CONFIG;
        goto done;
    }
    printf("%s: good; roles: ", settings.file != NULL ? settings.file : "no file, only presets");
    print_roles(&settings);
    printf("\n");

done:
    if (settings.arena != NULL)
        settings_close(&settings);
    arena_destroy(arena);
    return code;
}
