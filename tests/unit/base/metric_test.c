#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/metric.h"

static struct metric_registry *registry;
static struct byte_writer out;

static int begin(void **state)
{
    (void)state;
    registry = metric_registry_create();
    byte_writer_init(&out);
    return 0;
}

static int end(void **state)
{
    (void)state;
    metric_registry_destroy(registry);
    byte_writer_free(&out);
    return 0;
}

static const char *printed(void)
{
    byte_writer_reset(&out);
    metric_print(registry, &out);
    byte_put_u8(&out, 0);
    return out.data;
}

static void test_counters_and_gauges(void **state)
{
    struct metric *orders =
        metric_counter(registry, "weir_events_total", "Events read", "topic=\"orders\"");
    struct metric *lag = metric_gauge(registry, "weir_lag", "A \\ line\nand more", NULL);
    struct metric *clicks =
        metric_counter(registry, "weir_events_total", "Events read", "topic=\"clicks\"");

    (void)state;
    metric_add(orders, 2);
    metric_add(clicks, 0.5);
    metric_add(orders, 40);
    metric_set(lag, 12);
    metric_add(lag, -13.5);
    assert_true(metric_value(orders) == 42);
    assert_string_equal(printed(), "# HELP weir_events_total Events read\n"
                                   "# TYPE weir_events_total counter\n"
                                   "weir_events_total{topic=\"orders\"} 42\n"
                                   "weir_events_total{topic=\"clicks\"} 0.5\n"
                                   "# HELP weir_lag A \\\\ line\\nand more\n"
                                   "# TYPE weir_lag gauge\n"
                                   "weir_lag -1.5\n");
}

static void test_the_same_name_and_labels_are_the_same_metric(void **state)
{
    (void)state;
    struct metric *one = metric_counter(registry, "weir_a_total", "a", "x=\"1\"");
    assert_ptr_equal(metric_counter(registry, "weir_a_total", "a", "x=\"1\""), one);
    assert_ptr_not_equal(metric_counter(registry, "weir_a_total", "a", NULL), one);
    assert_ptr_equal(metric_counter(registry, "weir_a_total", "a", ""),
                     metric_counter(registry, "weir_a_total", "a", NULL));
}

static void test_nothing_happens_to_null(void **state)
{
    (void)state;
    metric_add(NULL, 1);
    metric_set(NULL, 1);
    metric_observe(NULL, 1);
    assert_true(metric_value(NULL) == 0);
    metric_registry_destroy(NULL);
}

static uint64_t bucket(const char *bound)
{
    char line[64];
    unsigned long count = 0;

    snprintf(line, sizeof line, "weir_wait_seconds_bucket{le=\"%s\"} ", bound);
    const char *at = strstr(printed(), line);
    assert_non_null(at);
    assert_int_equal(sscanf(at + strlen(line), "%lu", &count), 1);
    return count;
}

static void test_a_bound_belongs_to_its_bucket(void **state)
{
    struct metric *wait = metric_histogram(registry, "weir_wait_seconds", "Wait", NULL);

    (void)state;
    metric_observe(wait, 0);
    metric_observe(wait, -1); /* a clock went back */
    metric_observe(wait, 6.103515625e-05);
    assert_int_equal(bucket("6.103515625e-05"), 3);
    metric_observe(wait, 0.5);
    assert_int_equal(bucket("0.25"), 3);
    assert_int_equal(bucket("0.5"), 4);
    metric_observe(wait, 0.51);
    assert_int_equal(bucket("0.5"), 4);
    assert_int_equal(bucket("1"), 5);
    metric_observe(wait, 64);
    metric_observe(wait, 64.5);
    metric_observe(wait, 1e300);
    assert_int_equal(bucket("32"), 5);
    assert_int_equal(bucket("64"), 6);
    assert_int_equal(bucket("+Inf"), 8);
    assert_true(metric_value(wait) == 8);
    assert_non_null(strstr(printed(), "weir_wait_seconds_count 8\n"));
}

static void test_a_histogram_with_labels(void **state)
{
    struct metric *wait = metric_histogram(registry, "weir_wait_seconds", "Wait", "sink=\"a\"");

    (void)state;
    metric_observe(wait, 0.25);
    metric_observe(wait, 2);
    const char *text = printed();
    assert_non_null(strstr(text,
                           "# TYPE weir_wait_seconds histogram\n"
                           "weir_wait_seconds_bucket{sink=\"a\",le=\"6.103515625e-05\"} 0\n"));
    assert_non_null(strstr(text, "weir_wait_seconds_bucket{sink=\"a\",le=\"64\"} 2\n"
                                 "weir_wait_seconds_bucket{sink=\"a\",le=\"+Inf\"} 2\n"
                                 "weir_wait_seconds_sum{sink=\"a\"} 2.25\n"
                                 "weir_wait_seconds_count{sink=\"a\"} 2\n"));
}

static void test_labels_are_escaped(void **state)
{
    (void)state;
    metric_label(&out, "topic", view_of("or\"ders\\\n"));
    metric_label(&out, "partition", view_of("3"));
    assert_true(
        view_is_text(byte_writer_view(&out), "topic=\"or\\\"ders\\\\\\n\",partition=\"3\""));
}

enum { THREAD_COUNT = 4, ADD_COUNT = 20000 };

static void *add_many(void *context)
{
    (void)context;
    struct metric *sum = metric_counter(registry, "weir_sum_total", "Sum", NULL);
    struct metric *wait = metric_histogram(registry, "weir_wait_seconds", "Wait", NULL);
    for (int index = 0; index < ADD_COUNT; index++) {
        metric_add(sum, 1);
        metric_observe(wait, 0.5);
    }
    return NULL;
}

static void test_threads_lose_nothing(void **state)
{
    pthread_t threads[THREAD_COUNT];

    (void)state;
    for (int index = 0; index < THREAD_COUNT; index++)
        pthread_create(&threads[index], NULL, add_many, NULL);
    printed();
    for (int index = 0; index < THREAD_COUNT; index++)
        pthread_join(threads[index], NULL);
    assert_non_null(strstr(printed(), "weir_sum_total 80000\n"));
    assert_non_null(strstr(printed(), "weir_wait_seconds_sum 40000\n"));
    assert_non_null(strstr(printed(), "weir_wait_seconds_count 80000\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_counters_and_gauges, begin, end),
        cmocka_unit_test_setup_teardown(test_the_same_name_and_labels_are_the_same_metric, begin,
                                        end),
        cmocka_unit_test(test_nothing_happens_to_null),
        cmocka_unit_test_setup_teardown(test_a_bound_belongs_to_its_bucket, begin, end),
        cmocka_unit_test_setup_teardown(test_a_histogram_with_labels, begin, end),
        cmocka_unit_test_setup_teardown(test_labels_are_escaped, begin, end),
        cmocka_unit_test_setup_teardown(test_threads_lose_nothing, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
