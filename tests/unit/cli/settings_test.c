/* settings_test.c - file, environment and command line, put together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/settings.h"

extern char **environ;

/* Nothing of the caller's environment reaches the settings. */
static int clear_environment(void **state)
{
    (void)state;
    for (char **at = environ; *at != NULL;) {
        char name[256];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(*at, "="), *at);
        if (strncmp(name, "WEIR_", 5) == 0 || strcmp(name, "SLACK_WEBHOOK_URL") == 0 ||
            strcmp(name, "EMAIL_API_KEY") == 0 || strcmp(name, "ADMIN_EMAIL") == 0)
            unsetenv(name);
        else
            at++;
    }
    return 0;
}

/* Reads `text` as a configuration file. */
static void read_text(const char *text, struct settings_request request, struct settings *settings)
{
    char path[] = "/tmp/weir-settings-XXXXXX";
    int file = mkstemp(path);

    assert_true(file >= 0);
    assert_int_equal(write(file, text, strlen(text)), strlen(text));
    close(file);
    request.file = path;
    settings_read(&request, settings);
    unlink(path);
}

static void expect_roles(const char *text, const char *roles, uint32_t expected)
{
    struct settings_request request = {.roles = roles, .parts = SETTINGS_ALL};
    struct settings settings;

    read_text(text, request, &settings);
    if (settings.complaints.count > 0)
        fail_msg("%s", settings.complaints.first->text);
    assert_int_equal(settings.roles, expected);
    settings_close(&settings);
}

static void test_roles(void **state)
{
    (void)state;
    expect_roles("", NULL, ROLE_PROCESSOR);
    setenv("WEIR_POSTGRES_URL", "postgresql://u@h/d", 1);
    expect_roles("", NULL, ROLE_PROCESSOR | ROLE_POSTGRES);
    expect_roles("roles: [postgres]", NULL, ROLE_POSTGRES);
    expect_roles("roles: postgres, processor", NULL, ROLE_PROCESSOR | ROLE_POSTGRES);
    expect_roles("roles: [postgres]", "processor", ROLE_PROCESSOR);
    setenv("SLACK_WEBHOOK_URL", "https://example.com/hook", 1);
    expect_roles("", NULL, ROLE_PROCESSOR | ROLE_POSTGRES | ROLE_NOTIFY);
    setenv("WEIR_ROLES", "notify", 1);
    expect_roles("roles: [processor]", NULL, ROLE_NOTIFY);
}

static void test_file_then_environment(void **state)
{
    struct settings_request request = {.parts = SETTINGS_ALL};
    struct settings settings;

    (void)state;
    read_text("workers: 2\nkafka: {group.id: a}\nlog: {format: json}\n", request, &settings);
    assert_int_equal(settings.complaints.count, 0);
    assert_int_equal(settings.process.workers, 2);
    assert_string_equal(settings.kafka.group_id, "a");
    assert_int_equal(settings.log.format, 1);
    assert_non_null(settings.engine_config);
    settings_close(&settings);
    setenv("WEIR_WORKERS", "3", 1);
    setenv("WEIR_KAFKA_GROUP_ID", "b", 1);
    read_text("workers: 2\nkafka: {group.id: a}\n", request, &settings);
    assert_int_equal(settings.process.workers, 3);
    assert_string_equal(settings.kafka.group_id, "b");
    settings_close(&settings);
}

static void test_one_worker_a_core(void **state)
{
    struct settings_request request = {.parts = SETTINGS_KAFKA};
    struct settings settings;

    (void)state;
    read_text("", request, &settings);
    assert_int_equal(settings.process.workers, sysconf(_SC_NPROCESSORS_ONLN));
    settings_close(&settings);
}

/* A command that only reads topics does not mind errors of the database. */
static void test_parts(void **state)
{
    static const char text[] = "postgres: {url: secret}\nprocessing: {guarantee: never}\n";
    struct settings_request request = {.parts = SETTINGS_KAFKA | SETTINGS_CODEC};
    struct settings settings;

    (void)state;
    read_text(text, request, &settings);
    assert_int_equal(settings.complaints.count, 0);
    settings_close(&settings);
    request.parts = SETTINGS_ALL;
    read_text(text, request, &settings);
    assert_int_equal(settings.complaints.count, 2);
    for (const struct complaint *complaint = settings.complaints.first; complaint != NULL;
         complaint = complaint->next)
        assert_null(strstr(complaint->text, "secret\n"));
    settings_close(&settings);
}

static void test_embedded_broker(void **state)
{
    struct settings_request request = {.embedded = "127.0.0.1:4", .parts = SETTINGS_ALL};
    struct settings settings;

    (void)state;
    read_text("processing: {guarantee: exactly_once}\n", request, &settings);
    assert_int_equal(settings.complaints.count, 0);
    assert_string_equal(settings.kafka.bootstrap_servers, "127.0.0.1:4");
    assert_int_equal(settings.pipeline.guarantee, GUARANTEE_AT_LEAST_ONCE);
    settings_close(&settings);
}

static void test_memory_limits_add_up(void **state)
{
    struct settings_request request = {.parts = SETTINGS_ALL};
    struct settings settings;

    (void)state;
    read_text("", request, &settings);
    int64_t preset = settings_partition_bytes_max(&settings);
    settings_close(&settings);
    read_text("engine: {memory.bytes_max: 1MiB}\n", request, &settings);
    assert_int_equal(preset - settings_partition_bytes_max(&settings), INT64_C(511) << 20);
    settings_close(&settings);
}

static void test_no_map(void **state)
{
    struct settings_request request = {.parts = SETTINGS_ALL};
    struct settings settings;

    (void)state;
    read_text("- a\n", request, &settings);
    assert_int_equal(settings.complaints.count, 1);
    assert_non_null(strstr(settings.complaints.first->text, ":1: expected a map of settings"));
    settings_close(&settings);
}

/* Two options of one name would make the environment ambiguous. */
static void test_names_are_unique(void **state)
{
    const struct option_table *const *tables = settings_tables();

    (void)state;
    for (size_t i = 0; tables[i] != NULL; i++) {
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(tables[i]->section, tables[j]->section);
        for (size_t a = 0; a < tables[i]->count; a++) {
            assert_non_null(tables[i]->options[a].purpose);
            for (size_t b = 0; b < a; b++)
                assert_string_not_equal(tables[i]->options[a].name, tables[i]->options[b].name);
        }
    }
}

/* As the reference has them, with the section in front: beside the section and without it. */
static void test_whole_names(void **state)
{
    struct settings_request request = {.parts = SETTINGS_ALL};
    struct settings settings;

    (void)state;
    read_text("kafka.bootstrap.servers: a:1\n"
              "processing:\n  commit.interval_ms: 7ms\n"
              "processing.guarantee: at_least_once\n"
              "kafka: {group.id: b}\n",
              request, &settings);
    if (settings.complaints.count > 0)
        fail_msg("%s", settings.complaints.first->text);
    assert_string_equal(settings.kafka.bootstrap_servers, "a:1");
    assert_string_equal(settings.kafka.group_id, "b");
    assert_int_equal(settings.pipeline.commit_interval_ms, 7);
    assert_int_equal(settings.pipeline.guarantee, GUARANTEE_AT_LEAST_ONCE);
    settings_close(&settings);
}

static void expect_complaint(const char *text, const char *expected)
{
    struct settings_request request = {.parts = SETTINGS_ALL};
    struct settings settings;

    read_text(text, request, &settings);
    assert_int_equal(settings.complaints.count, 1);
    if (strstr(settings.complaints.first->text, expected) == NULL)
        fail_msg("%s", settings.complaints.first->text);
    settings_close(&settings);
}

static void test_misplaced(void **state)
{
    (void)state;
    expect_complaint("guarantee: at_least_once\n", ":1: guarantee: unknown here; "
                                                   "did you mean processing.guarantee?");
    expect_complaint("\nsnapshot: {interval_ms: 5s}\n", ":2: snapshot: unknown here; "
                                                        "did you mean processing.snapshot?");
    expect_complaint("http: {listen: '127.0.0.1:1'}\nhttp.listen: '127.0.0.1:2'\n", "twice");
    expect_complaint("http: 5\nhttp.listen: '127.0.0.1:2'\n", ":1: http: expected a map");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_roles, clear_environment),
        cmocka_unit_test_setup(test_file_then_environment, clear_environment),
        cmocka_unit_test_setup(test_one_worker_a_core, clear_environment),
        cmocka_unit_test_setup(test_parts, clear_environment),
        cmocka_unit_test_setup(test_embedded_broker, clear_environment),
        cmocka_unit_test_setup(test_memory_limits_add_up, clear_environment),
        cmocka_unit_test_setup(test_no_map, clear_environment),
        cmocka_unit_test_setup(test_whole_names, clear_environment),
        cmocka_unit_test_setup(test_misplaced, clear_environment),
        cmocka_unit_test_setup(test_names_are_unique, clear_environment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
