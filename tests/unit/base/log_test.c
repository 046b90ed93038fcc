#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

/* Standard error goes into a file between begin_capture and end_capture. */
static FILE *capture;
static int standard_error;
static char captured[1 << 20];

static void begin_capture(void)
{
    capture = tmpfile();
    assert_non_null(capture);
    standard_error = dup(STDERR_FILENO);
    dup2(fileno(capture), STDERR_FILENO);
}

static const char *end_capture(void)
{
    dup2(standard_error, STDERR_FILENO);
    close(standard_error);
    rewind(capture);
    captured[fread(captured, 1, sizeof captured - 1, capture)] = '\0';
    fclose(capture);
    return captured;
}

static void test_a_text_line(void **state)
{
    char stamp[] = "dddd-dd-ddTdd:dd:dd.dddZ";

    (void)state;
    log_set(LOG_INFO, LOG_TEXT);
    begin_capture();
    log_info("pipeline", "partition %d restored in %d ms", 3, 812);
    const char *line = end_capture();
    for (size_t index = 0; index < strlen(stamp); index++) {
        if (stamp[index] == 'd')
            assert_in_range(line[index], '0', '9');
        else
            assert_int_equal(line[index], stamp[index]);
    }
    assert_string_equal(line + strlen(stamp), " INFO  pipeline: partition 3 restored in 812 ms\n");
}

static void test_a_json_line(void **state)
{
    (void)state;
    log_set(LOG_INFO, LOG_JSON);
    begin_capture();
    log_error("sink", "said \"%s\"", "no\nentry");
    const char *line = end_capture();
    assert_memory_equal(line, "{\"time\":\"", 9);
    assert_non_null(strstr(line, "Z\",\"level\":\"error\",\"room\":\"sink\","
                                 "\"text\":\"said \\\"no\\nentry\\\"\"}\n"));
    log_set(LOG_INFO, LOG_TEXT);
}

static void test_levels(void **state)
{
    (void)state;
    begin_capture();
    log_set(LOG_WARN, LOG_TEXT);
    log_debug("cli", "no");
    log_info("cli", "no");
    log_warn("cli", "yes");
    log_set(LOG_OFF, LOG_TEXT);
    log_error("cli", "no");
    const char *lines = end_capture();
    log_set(LOG_INFO, LOG_TEXT);
    assert_non_null(strstr(lines, "WARN  cli: yes\n"));
    assert_null(strstr(lines, "no"));
}

static void test_a_hostile_text_cannot_forge_a_line(void **state)
{
    (void)state;
    begin_capture();
    log_info("kafka", "key %s|",
             "a\n2026 ERROR\x1B[31m\x7F\xC2\x9B"
             "1m\xFF \xE2\x80\xAE\xC3\xBC");
    const char *line = end_capture();
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    assert_non_null(
        strstr(line, "key a\\x0a2026 ERROR\\x1b[31m\\x7f\\u009b1m\\xff \\u202e\xC3\xBC|\n"));
}

static void test_a_long_text_is_cut(void **state)
{
    (void)state;
    begin_capture();
    log_info("kafka", "%050000d", 1);
    const char *line = end_capture();
    assert_in_range(strlen(line), 4000, 5000);
    assert_int_equal(line[strlen(line) - 1], '\n');
}

enum { THREAD_COUNT = 4, LINES_EACH = 500 };

static void *write_lines(void *context)
{
    for (int index = 0; index < LINES_EACH; index++)
        log_info("ops", "%0100d", *(const int *)context);
    return NULL;
}

static void test_lines_of_threads_stay_whole(void **state)
{
    pthread_t threads[THREAD_COUNT];
    int numbers[THREAD_COUNT];
    int count = 0;

    (void)state;
    begin_capture();
    for (int index = 0; index < THREAD_COUNT; index++) {
        numbers[index] = index;
        pthread_create(&threads[index], NULL, write_lines, &numbers[index]);
    }
    for (int index = 0; index < THREAD_COUNT; index++)
        pthread_join(threads[index], NULL);
    const char *at = end_capture();
    for (const char *next; (next = strchr(at, '\n')) != NULL; at = next + 1, count++)
        assert_int_equal(next - at, 24 + 1 + 5 + 1 + 5 + 100);
    assert_int_equal(count, THREAD_COUNT * LINES_EACH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_text_line),
        cmocka_unit_test(test_a_json_line),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_a_hostile_text_cannot_forge_a_line),
        cmocka_unit_test(test_a_long_text_is_cut),
        cmocka_unit_test(test_lines_of_threads_stay_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
