#include "base/metric.h"

#include <assert.h>
#include <ctype.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"

/* Bucket i holds what is at most 2^(i + EXPONENT_LEAST) seconds; the last, the rest. */
enum { EXPONENT_LEAST = -14, EXPONENT_MOST = 6 };
enum { BOUND_COUNT = EXPONENT_MOST - EXPONENT_LEAST + 1, BUCKET_COUNT = BOUND_COUNT + 1 };

struct metric {
    enum metric_kind kind;
    char *labels; /* "" when there are none */
    struct metric *next;
    _Atomic double value; /* a histogram's sum */
    atomic_uint_least64_t buckets[];
};

/* The metrics of one name, in the order of registration. */
struct family {
    char *name;
    char *help;
    enum metric_kind kind;
    struct metric *first, **last;
    struct family *next;
};

struct metric_registry {
    pthread_mutex_t lock;
    struct family *first, **last;
    struct map *families;    /* name: struct family */
    struct map *metrics;     /* name{labels}: struct metric */
    struct byte_writer name; /* scratch, under the lock */
};

static void *heap_take(size_t bytes)
{
    void *memory = calloc(1, bytes);

    if (memory == NULL) {
        fprintf(stderr, "metric: the heap has no %zu bytes left\n", bytes);
        abort();
    }
    return memory;
}

static char *copy_text(const char *text)
{
    size_t size = strlen(text) + 1;

    return memcpy(heap_take(size), text, size);
}

struct metric_registry *metric_registry_create(void)
{
    struct metric_registry *registry = heap_take(sizeof *registry);

    pthread_mutex_init(&registry->lock, NULL);
    registry->last = &registry->first;
    registry->families = map_create();
    registry->metrics = map_create();
    return registry;
}

static void free_family(struct family *family)
{
    struct metric *next;

    for (struct metric *metric = family->first; metric != NULL; metric = next) {
        next = metric->next;
        free(metric->labels);
        free(metric);
    }
    free(family->name);
    free(family->help);
    free(family);
}

void metric_registry_destroy(struct metric_registry *registry)
{
    struct family *next;

    if (registry == NULL)
        return;
    for (struct family *family = registry->first; family != NULL; family = next) {
        next = family->next;
        free_family(family);
    }
    map_destroy(registry->families);
    map_destroy(registry->metrics);
    byte_writer_free(&registry->name);
    pthread_mutex_destroy(&registry->lock);
    free(registry);
}

static bool is_metric_name(const char *name)
{
    if (name[0] == '\0' || isdigit((unsigned char)name[0]))
        return false;
    for (; *name != '\0'; name++)
        if (!isalnum((unsigned char)*name) && *name != '_' && *name != ':')
            return false;
    return true;
}

static struct family *find_family(struct metric_registry *registry, enum metric_kind kind,
                                  const char *name, const char *help)
{
    uint64_t address;

    if (map_get(registry->families, view_of(name), &address)) {
        struct family *family = (struct family *)(uintptr_t)address;
        assert(family->kind == kind);
        return family;
    }
    assert(is_metric_name(name));
    struct family *family = heap_take(sizeof *family);
    family->name = copy_text(name);
    family->help = copy_text(help);
    family->kind = kind;
    family->last = &family->first;
    *registry->last = family;
    registry->last = &family->next;
    map_put(registry->families, view_of(name), (uintptr_t)family);
    return family;
}

static struct metric *add_metric(struct family *family, const char *labels)
{
    size_t bucket_count = family->kind == METRIC_HISTOGRAM ? BUCKET_COUNT : 0;
    struct metric *metric;

    metric = heap_take(sizeof *metric + bucket_count * sizeof metric->buckets[0]);
    metric->kind = family->kind;
    metric->labels = copy_text(labels);
    *family->last = metric;
    family->last = &metric->next;
    return metric;
}

static struct metric *register_metric(struct metric_registry *registry, enum metric_kind kind,
                                      const char *name, const char *help, const char *labels)
{
    struct metric *metric;
    uint64_t address;

    if (labels == NULL)
        labels = "";
    pthread_mutex_lock(&registry->lock);
    struct family *family = find_family(registry, kind, name, help);
    byte_writer_reset(&registry->name);
    byte_print(&registry->name, "%s{%s}", name, labels);
    struct view full_name = byte_writer_view(&registry->name);
    if (map_get(registry->metrics, full_name, &address)) {
        metric = (struct metric *)(uintptr_t)address;
    } else {
        metric = add_metric(family, labels);
        map_put(registry->metrics, full_name, (uintptr_t)metric);
    }
    pthread_mutex_unlock(&registry->lock);
    return metric;
}

struct metric *metric_counter(struct metric_registry *registry, const char *name, const char *help,
                              const char *labels)
{
    return register_metric(registry, METRIC_COUNTER, name, help, labels);
}

struct metric *metric_gauge(struct metric_registry *registry, const char *name, const char *help,
                            const char *labels)
{
    return register_metric(registry, METRIC_GAUGE, name, help, labels);
}

struct metric *metric_histogram(struct metric_registry *registry, const char *name,
                                const char *help, const char *labels)
{
    return register_metric(registry, METRIC_HISTOGRAM, name, help, labels);
}

static void add_relaxed(_Atomic double *sum, double amount)
{
    double seen = atomic_load_explicit(sum, memory_order_relaxed);

    while (!atomic_compare_exchange_weak_explicit(sum, &seen, seen + amount, memory_order_relaxed,
                                                  memory_order_relaxed))
        ;
}

void metric_add(struct metric *metric, double amount)
{
    if (metric == NULL)
        return;
    assert(metric->kind != METRIC_HISTOGRAM);
    assert(metric->kind != METRIC_COUNTER || amount >= 0);
    add_relaxed(&metric->value, amount);
}

void metric_set(struct metric *metric, double value)
{
    if (metric == NULL)
        return;
    assert(metric->kind == METRIC_GAUGE);
    atomic_store_explicit(&metric->value, value, memory_order_relaxed);
}

static int bucket_of(double seconds)
{
    int exponent;
    double fraction = frexp(seconds, &exponent);

    if (!(seconds > 0))
        return 0;
    /* seconds = fraction * 2^exponent, fraction in [1/2, 1): a power of two itself
     * still belongs to the bucket that it bounds. */
    if (fraction == 0.5)
        exponent--;
    if (exponent < EXPONENT_LEAST)
        return 0;
    return exponent > EXPONENT_MOST ? BOUND_COUNT : exponent - EXPONENT_LEAST;
}

void metric_observe(struct metric *metric, double seconds)
{
    if (metric == NULL)
        return;
    assert(metric->kind == METRIC_HISTOGRAM);
    assert(isfinite(seconds));
    add_relaxed(&metric->value, seconds);
    atomic_fetch_add_explicit(&metric->buckets[bucket_of(seconds)], 1, memory_order_relaxed);
}

static uint64_t histogram_count(const struct metric *metric)
{
    uint64_t count = 0;

    for (int index = 0; index < BUCKET_COUNT; index++)
        count += atomic_load_explicit(&metric->buckets[index], memory_order_relaxed);
    return count;
}

double metric_value(const struct metric *metric)
{
    if (metric == NULL)
        return 0;
    if (metric->kind == METRIC_HISTOGRAM)
        return (double)histogram_count(metric);
    return atomic_load_explicit(&metric->value, memory_order_relaxed);
}

/* Backslash and newline are escaped in help and labels, the quote in labels alone. */
static void put_escaped(struct byte_writer *out, struct view text, bool is_label)
{
    for (uint32_t index = 0; index < text.size; index++) {
        char letter = text.data[index];
        if (letter == '\n') {
            byte_put(out, "\\n", 2);
            continue;
        }
        if (letter == '\\' || (is_label && letter == '"'))
            byte_put_u8(out, '\\');
        byte_put_u8(out, (uint8_t)letter);
    }
}

static void put_text(struct byte_writer *out, const char *text)
{
    byte_put(out, text, strlen(text));
}

static void put_series(struct byte_writer *out, const char *name, const char *suffix,
                       const char *labels)
{
    put_text(out, name);
    put_text(out, suffix);
    if (labels[0] != '\0') {
        byte_put_u8(out, '{');
        put_text(out, labels);
        byte_put_u8(out, '}');
    }
    byte_put_u8(out, ' ');
}

static void print_histogram(const struct family *family, const struct metric *metric,
                            struct byte_writer *out)
{
    const char *comma = metric->labels[0] != '\0' ? "," : "";
    uint64_t count = 0;

    for (int index = 0; index < BUCKET_COUNT; index++) {
        count += atomic_load_explicit(&metric->buckets[index], memory_order_relaxed);
        byte_print(out, "%s_bucket{%s%sle=\"", family->name, metric->labels, comma);
        byte_print_double(out, index < BOUND_COUNT ? ldexp(1, index + EXPONENT_LEAST) : INFINITY);
        byte_print(out, "\"} ");
        byte_print_int(out, (int64_t)count);
        byte_put_u8(out, '\n');
    }
    put_series(out, family->name, "_sum", metric->labels);
    byte_print_double(out, atomic_load_explicit(&metric->value, memory_order_relaxed));
    byte_put_u8(out, '\n');
    /* The count is that of the buckets just printed: the two always agree. */
    put_series(out, family->name, "_count", metric->labels);
    byte_print_int(out, (int64_t)count);
    byte_put_u8(out, '\n');
}

static void print_family(const struct family *family, struct byte_writer *out)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};

    byte_print(out, "# HELP %s ", family->name);
    put_escaped(out, view_of(family->help), false);
    byte_print(out, "\n# TYPE %s %s\n", family->name, kinds[family->kind]);
    for (const struct metric *metric = family->first; metric != NULL; metric = metric->next) {
        if (family->kind == METRIC_HISTOGRAM) {
            print_histogram(family, metric, out);
            continue;
        }
        put_series(out, family->name, "", metric->labels);
        byte_print_double(out, metric_value(metric));
        byte_put_u8(out, '\n');
    }
}

void metric_print(struct metric_registry *registry, struct byte_writer *out)
{
    pthread_mutex_lock(&registry->lock);
    for (const struct family *family = registry->first; family != NULL; family = family->next)
        print_family(family, out);
    pthread_mutex_unlock(&registry->lock);
}

void metric_label(struct byte_writer *labels, const char *name, struct view value)
{
    byte_print(labels, "%s%s=\"", labels->size > 0 ? "," : "", name);
    put_escaped(labels, value, true);
    byte_put_u8(labels, '"');
}
