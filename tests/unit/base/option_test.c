#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/option.h"

struct settings {
    int64_t count_max;
    double ratio;
    int64_t interval_ms;
    int64_t memory_bytes;
    bool is_strict;
    const char *topics;
    int64_t level;
    const char *password;
    const struct tree *extra;
    const char *region;
};

static const char *const levels[] = {"low", "medium", "high", NULL};

static const struct option options[] = {
    {.name = "count_max",
     .type = OPTION_INT,
     .offset = offsetof(struct settings, count_max),
     .preset = "10",
     .least = 1,
     .most = 100,
     .unit = "events",
     .purpose = "How many events fit."},
    {.name = "ratio",
     .type = OPTION_DOUBLE,
     .offset = offsetof(struct settings, ratio),
     .preset = "0.5",
     .least = 0,
     .most = 1,
     .purpose = "A share, this | that."},
    {.name = "commit.interval_ms",
     .type = OPTION_DURATION_MS,
     .offset = offsetof(struct settings, interval_ms),
     .preset = "5s",
     .least = 100,
     .most = 3600000,
     .purpose = "Time between commits."},
    {.name = "commit.memory",
     .type = OPTION_BYTES,
     .offset = offsetof(struct settings, memory_bytes),
     .preset = "64MiB",
     .least = 1 << 20,
     .most = INT64_MAX,
     .purpose = "Memory of a commit."},
    {.name = "strict",
     .type = OPTION_BOOL,
     .offset = offsetof(struct settings, is_strict),
     .preset = "true",
     .purpose = "Refuse what is doubtful."},
    {.name = "topics",
     .type = OPTION_TEXT,
     .offset = offsetof(struct settings, topics),
     .is_list = true,
     .preset = "orders,clicks",
     .purpose = "Topics to read."},
    {.name = "level",
     .type = OPTION_CHOICE,
     .offset = offsetof(struct settings, level),
     .preset = "medium",
     .choices = levels,
     .purpose = "How much to say."},
    {.name = "pass-word",
     .type = OPTION_SECRET,
     .offset = offsetof(struct settings, password),
     .environment = "TESTPASSWORD",
     .purpose = "The password."},
    {.name = "extra",
     .type = OPTION_TREE,
     .offset = offsetof(struct settings, extra),
     .purpose = "Passed on as it is."},
    {.name = "region",
     .type = OPTION_TEXT,
     .offset = offsetof(struct settings, region),
     .environment = "TESTREGION",
     .purpose = "Where it runs."},
};

static const struct option_table table = {
    .section = "test",
    .options = options,
    .count = sizeof options / sizeof options[0],
    .bytes = sizeof(struct settings),
};

static struct arena *arena;
static struct complaints complaints;
static struct settings settings;
static const struct complaint *unread;

static int begin(void **state)
{
    (void)state;
    arena = arena_create(4096);
    complaints_init(&complaints, arena);
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_destroy(arena);
    return 0;
}

/* A document written as "name=value" lines; two spaces nest it under the map above,
 * "name:" opens a map, "-value" is an item of it as a list, quotes make text. */
static struct tree *add_node(struct tree *parent, uint32_t line)
{
    struct tree *node = arena_alloc(arena, sizeof *node);
    struct tree **link = &parent->child;

    while (*link != NULL)
        link = &(*link)->next;
    *link = node;
    node->line = line;
    node->file = "weir.yaml";
    return node;
}

static void set_scalar(struct tree *node, const char *value)
{
    size_t size = strlen(value);

    node->kind = strcmp(value, "null") == 0 ? TREE_NULL : TREE_SCALAR;
    node->is_quoted = size >= 2 && value[0] == '"';
    if (node->is_quoted)
        node->value = arena_copy(arena, (struct view){value + 1, (uint32_t)size - 2});
    else
        node->value = view_of(value);
}

static const struct tree *document(const char *text)
{
    struct tree *parents[8] = {arena_alloc(arena, sizeof(struct tree))};
    char *copy = arena_print(arena, "%s", text);
    uint32_t number = 0;

    parents[0]->kind = TREE_MAP;
    parents[0]->file = "weir.yaml";
    parents[0]->line = 1;
    for (char *line = strtok(copy, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        size_t depth = strspn(line, " ") / 2;
        char *word = line + 2 * depth;
        struct tree *node = add_node(parents[depth], ++number);
        char *sign = strpbrk(word, "=:");
        if (word[0] == '-') {
            parents[depth]->kind = TREE_LIST;
            set_scalar(node, word + 1);
        } else if (*sign == ':') {
            *sign = '\0';
            node->kind = TREE_MAP;
            parents[depth + 1] = node;
            node->name = view_of(word);
        } else {
            *sign = '\0';
            node->name = view_of(word);
            set_scalar(node, sign + 1);
        }
    }
    return parents[0];
}

static void read_document(const char *text)
{
    memset(&settings, 0xEE, sizeof settings);
    option_read(&table, text != NULL ? document(text) : NULL, &settings, arena, &complaints);
    unread = complaints.first;
}

static void assert_complaint(const char *text)
{
    assert_non_null(unread);
    assert_string_equal(unread->text, text);
    unread = unread->next;
}

static void test_presets(void **state)
{
    (void)state;
    read_document(NULL);
    assert_int_equal(complaints.count, 0);
    assert_int_equal(settings.count_max, 10);
    assert_true(settings.ratio == 0.5);
    assert_int_equal(settings.interval_ms, 5000);
    assert_int_equal(settings.memory_bytes, 64 << 20);
    assert_true(settings.is_strict);
    assert_string_equal(settings.topics, "orders,clicks");
    assert_int_equal(settings.level, 1);
    assert_null(settings.password);
    assert_null(settings.extra);
}

static void test_every_type_from_the_file(void **state)
{
    (void)state;
    read_document("count_max=7\n"
                  "ratio=0.25\n"
                  "commit:\n"
                  "  interval_ms=\"1m\"\n"
                  "  memory=2MB\n"
                  "strict=no\n"
                  "topics:\n"
                  "  -a\n"
                  "  -b.c\n"
                  "level=high\n"
                  "extra:\n"
                  "  anything=1\n"
                  "region=\"\"\n");
    assert_int_equal(complaints.count, 0);
    assert_int_equal(settings.count_max, 7);
    assert_true(settings.ratio == 0.25);
    assert_int_equal(settings.interval_ms, 60000);
    assert_int_equal(settings.memory_bytes, 2000000);
    assert_false(settings.is_strict);
    assert_string_equal(settings.topics, "a,b.c");
    assert_int_equal(settings.level, 2);
    assert_non_null(tree_get(settings.extra, "anything"));
    assert_string_equal(settings.region, "");
}

static void test_dotted_names_and_nulls(void **state)
{
    (void)state;
    read_document("commit.interval_ms=250ms\n"
                  "commit=null\n"
                  "count_max=null\n"
                  "topics=null\n");
    assert_int_equal(complaints.count, 0);
    assert_int_equal(settings.interval_ms, 250);
    assert_int_equal(settings.count_max, 10);
    assert_string_equal(settings.topics, "orders,clicks");
}

static void test_every_error_is_told_with_its_line(void **state)
{
    (void)state;
    read_document("count_max=101\n"
                  "ratio=-0.1\n"
                  "commit:\n"
                  "  interval_ms=5 minutes\n"
                  "  memory=1KB\n"
                  "strict=\"true\"\n"
                  "level=hihg\n"
                  "topics:\n"
                  "  -a,b\n");
    assert_complaint("weir.yaml:1: test.count_max: expected a whole number, 1 to 100; found '101'");
    assert_complaint("weir.yaml:2: test.ratio: expected a number, 0 to 1; found '-0.1'");
    assert_complaint("weir.yaml:4: test.commit.interval_ms: expected a duration such as 250ms, "
                     "60s, 5m, 1h or 7d, 100ms to 1h; found '5 minutes'");
    assert_complaint("weir.yaml:5: test.commit.memory: expected a size such as 64MB or 1GiB, at "
                     "least 1MiB; found '1KB'");
    assert_complaint("weir.yaml:6: test.strict: expected true or false; found the text 'true'");
    assert_complaint("weir.yaml:7: test.level: expected low, medium or high; found 'hihg'");
    assert_complaint("weir.yaml:8: test.topics: expected a text; found a list");
    assert_null(unread);
    assert_int_equal(settings.count_max, 10);
    assert_string_equal(settings.topics, "orders,clicks");
}

static void test_unknown_names_and_the_nearest(void **state)
{
    (void)state;
    read_document("cuont_max=1\n"
                  "comit.interval_ms=5s\n"
                  "commit:\n"
                  "  memroy=1MB\n"
                  "interval_ms=5s\n"
                  "elephant=1\n"
                  "extra=1\n"
                  "commit.interval_ms:\n"
                  "  deeper=1\n"
                  "strict:\n"
                  "  deeper=1\n");
    assert_complaint("weir.yaml:1: test.cuont_max: unknown; did you mean test.count_max?");
    assert_complaint(
        "weir.yaml:2: test.comit.interval_ms: unknown; did you mean test.commit.interval_ms?");
    assert_complaint("weir.yaml:4: test.commit.memroy: unknown; did you mean test.commit.memory?");
    assert_complaint(
        "weir.yaml:5: test.interval_ms: unknown; did you mean test.commit.interval_ms?");
    assert_complaint("weir.yaml:6: test.elephant: unknown");
    assert_complaint("weir.yaml:7: test.extra: expected a list or a map; found '1'");
    assert_complaint("weir.yaml:8: test.commit.interval_ms: expected a duration such as 250ms, "
                     "60s, 5m, 1h or 7d, 100ms to 1h; found a map");
    assert_complaint("weir.yaml:10: test.strict: expected true or false; found a map");
    assert_null(unread);
}

static void test_a_name_said_twice(void **state)
{
    (void)state;
    read_document("commit.interval_ms=1s\n"
                  "commit:\n"
                  "  interval_ms=2s\n");
    assert_complaint("weir.yaml:3: test.commit.interval_ms: said twice");
    assert_null(unread);
}

static void test_a_section_that_is_no_map(void **state)
{
    struct tree scalar = {
        .kind = TREE_SCALAR, .line = 3, .file = "weir.yaml", .value = view_of("x")};
    struct tree nothing = {.kind = TREE_NULL, .line = 3, .file = "weir.yaml"};

    (void)state;
    option_read(&table, &nothing, &settings, arena, &complaints);
    assert_int_equal(complaints.count, 0);
    option_read(&table, &scalar, &settings, arena, &complaints);
    unread = complaints.first;
    assert_complaint("weir.yaml:3: test: expected a map of settings, not 'x'");
}

static void test_the_top_level_leaves_other_sections_alone(void **state)
{
    struct option_table top = table;

    (void)state;
    top.section = "";
    option_read(&top, document("kafka:\n  brokers=x\ncount_mx=3\ncount_max=4\n"), &settings, arena,
                &complaints);
    unread = complaints.first;
    assert_complaint("weir.yaml:3: count_mx: unknown; did you mean count_max?");
    assert_null(unread);
    assert_int_equal(settings.count_max, 4);
    setenv("WEIR_COUNT_MAX", "5", 1);
    option_read(&top, NULL, &settings, arena, &complaints);
    unsetenv("WEIR_COUNT_MAX");
    assert_int_equal(settings.count_max, 5);
}

static void test_the_environment_comes_last(void **state)
{
    (void)state;
    setenv("WEIR_TEST_COMMIT_INTERVAL_MS", "30s", 1);
    setenv("WEIR_TEST_COUNT_MAX", "", 1);
    setenv("WEIR_TEST_RATIO", "2", 1);
    setenv("WEIR_TEST_TOPICS", "x,y", 1);
    setenv("TESTREGION", "north", 1);
    read_document("commit.interval_ms=1s\ncount_max=3\n");
    unsetenv("WEIR_TEST_COMMIT_INTERVAL_MS");
    unsetenv("WEIR_TEST_COUNT_MAX");
    unsetenv("WEIR_TEST_RATIO");
    unsetenv("WEIR_TEST_TOPICS");
    assert_int_equal(settings.interval_ms, 30000);
    assert_int_equal(settings.count_max, 3); /* an empty variable says nothing */
    assert_string_equal(settings.topics, "x,y");
    assert_string_equal(settings.region, "north");
    assert_complaint("WEIR_TEST_RATIO: expected a number, 0 to 1; found '2'");
    assert_null(unread);

    setenv("WEIR_TEST_REGION", "south", 1);
    read_document(NULL);
    assert_string_equal(settings.region, "south");
    unsetenv("WEIR_TEST_REGION");
    unsetenv("TESTREGION");
}

static void test_a_literal_secret_is_refused_and_not_repeated(void **state)
{
    (void)state;
    read_document("pass-word=hunter2\n");
    assert_complaint("weir.yaml:1: test.pass-word: a secret does not belong in this file; write "
                     "pass-word_file: PATH instead, or set WEIR_TEST_PASS_WORD");
    assert_null(unread);
    assert_null(settings.password);
}

static char secret_path[] = "/tmp/weir-option-XXXXXX";

static void write_secret(const char *text, size_t size)
{
    FILE *file = fopen(secret_path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    fclose(file);
}

static void read_with_secret_file(const char *text, size_t size)
{
    write_secret(text, size);
    read_document(arena_print(arena, "pass-word_file=%s\n", secret_path));
}

static void test_a_secret_from_a_file(void **state)
{
    static char large[70000];

    (void)state;
    int file = mkstemp(secret_path);
    assert_true(file >= 0);
    close(file);
    read_with_secret_file("hunter2\n", 8);
    assert_string_equal(settings.password, "hunter2");
    read_with_secret_file("hunter2\r\n", 9);
    assert_string_equal(settings.password, "hunter2");
    read_with_secret_file("two\nlines\n\n", 11);
    assert_string_equal(settings.password, "two\nlines\n");
    assert_int_equal(complaints.count, 0);

    setenv("WEIR_TEST_PASS_WORD_FILE", secret_path, 1);
    read_document(NULL);
    assert_string_equal(settings.password, "two\nlines\n");
    setenv("WEIR_TEST_PASS_WORD", "from outside", 1);
    read_document(NULL);
    assert_string_equal(settings.password, "from outside");
    unsetenv("WEIR_TEST_PASS_WORD_FILE");
    unsetenv("WEIR_TEST_PASS_WORD");
    setenv("TESTPASSWORD", "traditional", 1);
    read_document(NULL);
    assert_string_equal(settings.password, "traditional");
    unsetenv("TESTPASSWORD");
    assert_int_equal(complaints.count, 0);

    read_with_secret_file("\n", 1);
    read_with_secret_file("a\0b", 3);
    memset(large, 'x', sizeof large);
    read_with_secret_file(large, sizeof large);
    unlink(secret_path);
    assert_complaint(
        arena_print(arena, "weir.yaml:1: test.pass-word_file: %s: the file is empty", secret_path));
    assert_complaint(arena_print(
        arena, "weir.yaml:1: test.pass-word_file: %s: the file is not text", secret_path));
    assert_complaint(arena_print(
        arena, "weir.yaml:1: test.pass-word_file: %s: more than 65536 bytes are no secret",
        secret_path));
    assert_null(unread);
    assert_null(settings.password);
}

static void test_a_secret_file_that_is_not_there(void **state)
{
    (void)state;
    read_document("pass-word_file=/no/such/file\n");
    assert_complaint("weir.yaml:1: test.pass-word_file: /no/such/file: No such file or directory");
    assert_null(unread);
}

static void test_the_reference(void **state)
{
    struct byte_writer out;

    (void)state;
    byte_writer_init(&out);
    option_reference(&table, &out);
    byte_put_u8(&out, 0);
    assert_string_equal(
        out.data,
        "| Option | Type | Default | Values | Environment | Purpose |\n"
        "|---|---|---|---|---|---|\n"
        "| `test.count_max` | integer, events | `10` | 1 to 100 | `WEIR_TEST_COUNT_MAX` | How many "
        "events fit. |\n"
        "| `test.ratio` | number | `0.5` | 0 to 1 | `WEIR_TEST_RATIO` | A share, this \\| that. |\n"
        "| `test.commit.interval_ms` | duration | `5s` | 100ms to 1h | "
        "`WEIR_TEST_COMMIT_INTERVAL_MS` | Time between commits. |\n"
        "| `test.commit.memory` | bytes | `64MiB` | at least 1MiB | `WEIR_TEST_COMMIT_MEMORY` | "
        "Memory of a commit. |\n"
        "| `test.strict` | boolean | `true` | true or false | `WEIR_TEST_STRICT` | Refuse what is "
        "doubtful. |\n"
        "| `test.topics` | text | `orders,clicks` |  | `WEIR_TEST_TOPICS` | Topics to read. |\n"
        "| `test.level` | choice | `medium` | low, medium or high | `WEIR_TEST_LEVEL` | How much "
        "to "
        "say. |\n"
        "| `test.pass-word_file` | secret | unset |  | `WEIR_TEST_PASS_WORD`, `TESTPASSWORD` | The "
        "password. |\n"
        "| `test.extra` | section | unset |  |  | Passed on as it is. |\n"
        "| `test.region` | text | unset |  | `WEIR_TEST_REGION`, `TESTREGION` | Where it runs. "
        "|\n");
    byte_writer_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_presets, begin, end),
        cmocka_unit_test_setup_teardown(test_every_type_from_the_file, begin, end),
        cmocka_unit_test_setup_teardown(test_dotted_names_and_nulls, begin, end),
        cmocka_unit_test_setup_teardown(test_every_error_is_told_with_its_line, begin, end),
        cmocka_unit_test_setup_teardown(test_unknown_names_and_the_nearest, begin, end),
        cmocka_unit_test_setup_teardown(test_a_name_said_twice, begin, end),
        cmocka_unit_test_setup_teardown(test_a_section_that_is_no_map, begin, end),
        cmocka_unit_test_setup_teardown(test_the_top_level_leaves_other_sections_alone, begin, end),
        cmocka_unit_test_setup_teardown(test_the_environment_comes_last, begin, end),
        cmocka_unit_test_setup_teardown(test_a_literal_secret_is_refused_and_not_repeated, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_a_secret_from_a_file, begin, end),
        cmocka_unit_test_setup_teardown(test_a_secret_file_that_is_not_there, begin, end),
        cmocka_unit_test_setup_teardown(test_the_reference, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
