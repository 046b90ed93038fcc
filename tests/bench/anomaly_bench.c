/*
 * What the rules cost: ns an event with the default rules, by the number of tenants, and
 * bytes a key of a count rule. Time goes on through the windows, so that points are
 * forgotten as they come; every figure is of a state that has settled.
 *
 *   bench_anomaly [rules.yaml]
 */
#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "anomaly/anomaly.h"
#include "base/hash.h"
#include "cli/yaml.h"
#include "support/event_mark.h"

/* Ten events a millisecond. */
enum { EVENTS = 4000000, BATCH = 1000, NAME_BYTES = 24, STEP_US = 100 };

/* Texts are written over for each event, as a decoder's would be. */
struct maker {
    struct event event;
    uint32_t tenants;
    uint64_t drawn;
    char id[NAME_BYTES], tenant[NAME_BYTES], who[NAME_BYTES], ip[NAME_BYTES];
};

/* Of this process alone: neighbours on the machine do not count. */
static double nanoseconds_since(clock_t started)
{
    return (double)(clock() - started) * (1e9 / CLOCKS_PER_SEC);
}

static struct view put_number(char *text, const char *prefix, uint64_t number)
{
    size_t size = strlen(prefix);

    memcpy(text, prefix, size);
    for (int digit = 7; digit >= 0; digit--, number /= 10)
        text[size + (size_t)digit] = (char)('0' + number % 10);
    return (struct view){text, (uint32_t)size + 8};
}

static void make(struct maker *maker, int64_t time_ms)
{
    static const enum event_kind kinds[] = {EVENT_API_CALL, EVENT_AUTH, EVENT_ORDER};
    uint64_t number = maker->drawn;
    uint64_t random = hash_mix(11, number);
    uint64_t tenant = random % maker->tenants;
    struct event *event = &maker->event;

    event->kind = kinds[number % 3];
    event->event_time_ms = time_ms;
    event->id = put_number(maker->id, "event-", number);
    event->tenant_id = put_number(maker->tenant, "tenant-", tenant);
    struct view who = put_number(maker->who, "who-", tenant * 64 + (random >> 40) % 64);
    struct view ip = put_number(maker->ip, "10.", tenant * 2 + (random >> 50) % 2);
    if (event->kind == EVENT_API_CALL) {
        event->api_call.client_id = who;
        event->api_call.status = 200;
    } else if (event->kind == EVENT_AUTH) {
        event->auth.user_id = who;
        event->auth.outcome = (random >> 46) % 50 == 0 ? AUTH_FAILURE : AUTH_SUCCESS;
        event->auth.ip = ip;
    } else {
        event->order.customer_id = who;
        event->order.amount = 19.5;
        event->order.ip = ip;
    }
    event_mark(event);
}

static struct rule_set *read_rules(const char *file)
{
    struct arena *arena = arena_create(65536);
    struct complaints complaints;
    struct tree *root = NULL;
    struct rule_set *rules = NULL;

    complaints_init(&complaints, arena);
    if (yaml_parse_file(file, arena, &root, &complaints) == STATUS_OK)
        rules = rule_set_compile(root, &complaints);
    for (const struct complaint *at = complaints.first; at != NULL; at = at->next)
        fprintf(stderr, "%s\n", at->text);
    arena_destroy(arena);
    return rules;
}

static void apply_one(struct anomaly *anomaly, const struct event *event,
                      const struct anomaly_context *context, struct outbox *outbox)
{
    int64_t watermarks[EVENT_KIND_COUNT];

    anomaly_apply(anomaly, event, context, outbox);
    for (uint32_t kind = 0; kind < EVENT_KIND_COUNT; kind++)
        watermarks[kind] = event->event_time_ms - 60000;
    anomaly_advance(anomaly, watermarks, outbox);
}

/* ns an event; `anomaly` NULL: making the events only. */
static double measure(struct maker *makers, struct anomaly *anomaly, bool is_expected,
                      struct outbox *outbox, int64_t *time_us)
{
    static struct event events[ANOMALY_EXPECT_MAX];
    static struct anomaly_context contexts[ANOMALY_EXPECT_MAX];
    clock_t started = clock();

    for (uint32_t i = 0; i < EVENTS; i += ANOMALY_EXPECT_MAX) {
        for (uint32_t at = 0; at < ANOMALY_EXPECT_MAX; at++, *time_us += STEP_US) {
            makers[at].drawn = (uint64_t)(*time_us / STEP_US);
            make(&makers[at], *time_us / 1000);
            events[at] = makers[at].event;
            contexts[at] = (struct anomaly_context){12, 19.5, at + 1};
        }
        outbox_reset(outbox);
        if (anomaly != NULL && is_expected)
            anomaly_expect(anomaly, events, contexts, ANOMALY_EXPECT_MAX);
        for (uint32_t at = 0; anomaly != NULL && at < ANOMALY_EXPECT_MAX; at++)
            apply_one(anomaly, &events[at], &contexts[at], outbox);
    }
    return nanoseconds_since(started) / EVENTS;
}

static void print_tenants(const struct rule_set *rules, uint32_t tenants)
{
    static struct maker makers[ANOMALY_EXPECT_MAX];
    struct anomaly_options options = {.bytes_max = (size_t)8 << 30};
    struct anomaly *anomaly = anomaly_open(rules, &options);
    struct outbox *outbox = outbox_create();
    int64_t time_us = INT64_C(1700000000000000);
    struct anomaly_stats stats;

    for (uint32_t at = 0; at < ANOMALY_EXPECT_MAX; at++)
        makers[at].tenants = tenants;
    double making_ns = measure(makers, NULL, false, outbox, &time_us);
    measure(makers, anomaly, true, outbox, &time_us);
    measure(makers, anomaly, true, outbox, &time_us);
    double alone_ns = measure(makers, anomaly, false, outbox, &time_us);
    double expected_ns = measure(makers, anomaly, true, outbox, &time_us);
    anomaly_stats(anomaly, &stats);
    printf("%9u tenants  %6.1f ns an event one by one, %6.1f ns expected"
           "  (%llu groups, %.0f bytes each)\n",
           tenants, alone_ns - making_ns, expected_ns - making_ns, (unsigned long long)stats.groups,
           (double)stats.bytes / (double)stats.groups);
    outbox_destroy(outbox);
    anomaly_close(anomaly);
}

/* Four events a key of failed-auth-by-user, the most that do not satisfy. */
static void print_key_bytes(struct rule_set *rules, uint32_t keys)
{
    struct anomaly_options options = {.bytes_max = (size_t)8 << 30};
    struct outbox *outbox = outbox_create();
    struct anomaly_context context = {.local_hour = 12};
    struct maker maker = {.tenants = 1};
    struct anomaly_stats stats;

    for (uint32_t index = 0; index < rule_set_count(rules); index++)
        rule_set_switch(rules, rule_set_name(rules, index),
                        view_is_text(rule_set_name(rules, index), "failed-auth-by-user"));
    struct anomaly *anomaly = anomaly_open(rules, &options);
    maker.event.kind = EVENT_AUTH;
    event_mark(&maker.event);
    maker.event.auth.outcome = AUTH_FAILURE;
    clock_t started = clock();
    for (uint32_t number = 0; number < keys * 4; number++) {
        uint32_t key = number % keys;
        maker.event.id = put_number(maker.id, "event-", number);
        maker.event.tenant_id = put_number(maker.tenant, "tenant-", key / 100);
        maker.event.auth.user_id = put_number(maker.who, "user-", key);
        maker.event.event_time_ms = INT64_C(1700000000000) + number / keys;
        anomaly_apply(anomaly, &maker.event, &context, outbox);
    }
    double taken_ns = nanoseconds_since(started);
    anomaly_stats(anomaly, &stats);
    assert(stats.groups == keys);
    printf("%9u keys     %6.1f ns an event, %.0f bytes a key with four points\n", keys,
           taken_ns / (4.0 * keys), (double)stats.bytes / keys);
    anomaly_close(anomaly);
    outbox_destroy(outbox);
}

/* One key, busy: `late` of 100 events come up to a minute late. */
static void print_busy(struct rule_set *rules, uint32_t late, uint32_t events_a_ms)
{
    struct anomaly_options options = {.bytes_max = (size_t)8 << 30};
    struct outbox *outbox = outbox_create();
    struct anomaly_context context = {.local_hour = 12};
    struct maker maker = {.tenants = 1};
    const uint32_t count = 2000000;

    for (uint32_t index = 0; index < rule_set_count(rules); index++)
        rule_set_switch(rules, rule_set_name(rules, index),
                        view_is_text(rule_set_name(rules, index), "high-api-rate"));
    struct anomaly *anomaly = anomaly_open(rules, &options);
    maker.event.kind = EVENT_API_CALL;
    event_mark(&maker.event);
    maker.event.tenant_id = put_number(maker.tenant, "tenant-", 1);
    clock_t started = clock();
    for (uint32_t number = 0; number < count; number++) {
        uint64_t random = hash_mix(13, number);
        int64_t now_ms = INT64_C(1700000000000) + number / events_a_ms;
        int64_t watermarks[EVENT_KIND_COUNT];
        maker.event.event_time_ms = now_ms;
        if (random % 100 < late)
            maker.event.event_time_ms -= (int64_t)(random >> 32) % 60000;
        maker.event.id = put_number(maker.id, "event-", number);
        anomaly_apply(anomaly, &maker.event, &context, outbox);
        for (uint32_t kind = 0; kind < EVENT_KIND_COUNT; kind++)
            watermarks[kind] = now_ms - 60000;
        anomaly_advance(anomaly, watermarks, outbox);
        if (number % BATCH == 0)
            outbox_reset(outbox);
    }
    printf("one busy key, %3u%% late: %6.1f ns an event\n", late,
           nanoseconds_since(started) / count);
    anomaly_close(anomaly);
    outbox_destroy(outbox);
}

int main(int argument_count, char **arguments)
{
    struct rule_set *rules = read_rules(argument_count > 1 ? arguments[1] : "config/rules.yaml");

    if (rules == NULL)
        return 1;
    for (uint32_t tenants = 1000; tenants <= 1000000; tenants *= 10)
        print_tenants(rules, tenants);
    for (uint32_t keys = 1000; keys <= 1000000; keys *= 10)
        print_key_bytes(rules, keys);
    print_busy(rules, 0, 10);
    print_busy(rules, 10, 10);
    print_busy(rules, 100, 10);
    rule_set_destroy(rules);
    return 0;
}
