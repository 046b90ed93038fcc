/* args_test.c - a command line, its values, its refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/args.h"

struct values {
    const char *config;
    int64_t partitions;
    int64_t seconds_ms;
    double rate;
    int64_t format;
    bool is_json;
    struct view_list inputs;
};

static const char *const formats[] = {"json", "avro", NULL};
static const struct arg args[] = {
    {"config", ARG_TEXT, offsetof(struct values, config), "FILE", 0, 0, NULL, "the file"},
    {"partitions", ARG_INT, offsetof(struct values, partitions), "N", 1, 100, NULL, "how many"},
    {"seconds", ARG_DURATION_MS, offsetof(struct values, seconds_ms), "TIME", 0, 0, NULL, "long"},
    {"rate", ARG_DOUBLE, offsetof(struct values, rate), "N", 0, 0, NULL, "how fast"},
    {"format", ARG_CHOICE, offsetof(struct values, format), NULL, 0, 0, formats, "what form"},
    {"json", ARG_FLAG, offsetof(struct values, is_json), NULL, 0, 0, NULL, "JSON"},
    {"input", ARG_TEXTS, offsetof(struct values, inputs), "FILE", 0, 0, NULL, "what to read"},
};
static const struct arg_table table = {
    .command = "try",
    .words = "WORD",
    .words_min = 0,
    .words_max = 1,
    .summary = "Tries.",
    .args = args,
    .count = sizeof args / sizeof args[0],
    .examples = "  weir try",
};

/* Runs args_read with one of the standard streams caught in `caught`. */
static bool read_line(const char *line, int stream, struct values *values, struct view_list *words,
                      struct arena *arena, int *code, char *caught, size_t caught_bytes)
{
    char *argv[16];
    int argc = 0;
    char *copy = strdup(line), *rest = copy;
    FILE *file = tmpfile();

    assert_non_null(copy);
    assert_non_null(file);
    for (char *word = strsep(&rest, " "); word != NULL; word = strsep(&rest, " "))
        argv[argc++] = arena_print(arena, "%s", word);
    free(copy);
    fflush(stdout);
    int kept = dup(stream);
    dup2(fileno(file), stream);
    bool is_read = args_read(&table, argc, argv, values, words, arena, code);
    fflush(stdout);
    dup2(kept, stream);
    close(kept);
    rewind(file);
    caught[fread(caught, 1, caught_bytes - 1, file)] = '\0';
    fclose(file);
    return is_read;
}

static void test_values(void **state)
{
    struct arena *arena = arena_create(4096);
    struct values values = {.partitions = 7};
    struct view_list words;
    char caught[4096];
    int code;

    (void)state;
    assert_true(read_line("try --config=a.yaml --input x --rate 1.5 --format avro --json w "
                          "--input=y=z --seconds 2m",
                          STDERR_FILENO, &values, &words, arena, &code, caught, sizeof caught));
    assert_string_equal(caught, "");
    assert_string_equal(values.config, "a.yaml");
    assert_int_equal(values.partitions, 7);
    assert_int_equal(values.seconds_ms, 120000);
    assert_true(values.rate == 1.5);
    assert_int_equal(values.format, 1);
    assert_true(values.is_json);
    assert_int_equal(values.inputs.count, 2);
    assert_true(view_is_text(values.inputs.at[1], "y=z"));
    assert_int_equal(words.count, 1);
    assert_true(view_is_text(words.at[0], "w"));
    assert_true(read_line("try -- --json", STDERR_FILENO, &values, &words, arena, &code, caught,
                          sizeof caught));
    assert_true(view_is_text(words.at[0], "--json"));
    arena_destroy(arena);
}

static void test_refusals(void **state)
{
    static const struct {
        const char *line, *text;
    } rows[] = {
        {"try --confg x",
         "weir try: --confg: no such option; did you mean --config? (weir try --help)\n"},
        {"try --confg=x",
         "weir try: --confg: no such option; did you mean --config? (weir try --help)\n"},
        {"try --quite-other", "weir try: --quite-other: no such option (weir try --help)\n"},
        {"try -x", "weir try: -x: no such option (weir try --help)\n"},
        {"try --config", "weir try: --config needs a value: FILE (weir try --help)\n"},
        {"try --json=1", "weir try: --json takes no value (weir try --help)\n"},
        {"try --partitions 0", "weir try: --partitions: expected a whole number from 1 to 100, "
                               "not '0' (weir try --help)\n"},
        {"try --partitions 1x", "weir try: --partitions: expected a whole number from 1 to 100, "
                                "not '1x' (weir try --help)\n"},
        {"try --format xml",
         "weir try: --format: expected json or avro, not 'xml' (weir try --help)\n"},
        {"try --seconds long", "weir try: --seconds: expected a duration such as 90s or 5m, not "
                               "'long' (weir try --help)\n"},
        {"try --config=",
         "weir try: --config: expected FILE, not an empty text (weir try --help)\n"},
        {"try a b", "weir try: 'b' is too much (weir try --help)\n"},
    };
    struct arena *arena = arena_create(4096);

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct values values = {0};
        struct view_list words;
        char caught[4096];
        int code = -1;
        assert_false(read_line(rows[i].line, STDERR_FILENO, &values, &words, arena, &code, caught,
                               sizeof caught));
        assert_string_equal(caught, rows[i].text);
        assert_int_equal(code, CODE_USAGE);
    }
    arena_destroy(arena);
}

static void test_help(void **state)
{
    struct arena *arena = arena_create(4096);
    struct values values = {0};
    struct view_list words;
    char caught[4096];
    int code = -1;

    (void)state;
    assert_false(read_line("try --help --no-matter", STDOUT_FILENO, &values, &words, arena, &code,
                           caught, sizeof caught));
    assert_int_equal(code, CODE_DONE);
    assert_string_equal(caught, "Usage: weir try [OPTION...] WORD\n\nTries.\n\nOptions:\n"
                                "  --config FILE             the file\n"
                                "  --partitions N            how many\n"
                                "  --seconds TIME            long\n"
                                "  --rate N                  how fast\n"
                                "  --format json|avro\n"
                                "                            what form\n"
                                "  --json                    JSON\n"
                                "  --input FILE              what to read\n"
                                "  --help                    prints this\n"
                                "\nExamples:\n  weir try\n"
                                "\nExit codes: 0 done, 1 failed (the reason is on standard error), "
                                "2 wrong command line,\n3 wrong configuration or rules\n");
    arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_help),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
