#ifndef UNIT_ANOMALY_STREAM_H
#define UNIT_ANOMALY_STREAM_H
/*
 * stream.h - what the tests of rules share: rule sets from text, orders, last alerts.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "anomaly/anomaly.h"
#include "flow_text.h"

struct random {
    uint64_t state;
};

/* xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators"). */
static inline uint64_t random_next(struct random *random)
{
    random->state ^= random->state >> 12;
    random->state ^= random->state << 25;
    random->state ^= random->state >> 27;
    return random->state * UINT64_C(0x2545F4914F6CDD1D);
}

static inline uint32_t random_below(struct random *random, uint32_t limit)
{
    return (uint32_t)((random_next(random) >> 32) % limit);
}

static inline void present(struct event *event, const char *name)
{
    uint32_t index = 0;
    const struct field *field = shape_find(event_shape(event->kind), view_of(name), &index);

    assert(field != NULL);
    shape_set_present(event_shape(event->kind), event, index);
}

/* NULL: null. */
static inline struct event order_event(const char *id, const char *tenant, const char *customer,
                                       int64_t time_ms, double amount)
{
    struct event event = {.kind = EVENT_ORDER,
                          .id = view_of(id),
                          .tenant_id = view_of(tenant),
                          .event_time_ms = time_ms};

    event.order.order_id = view_of(id);
    event.order.customer_id = view_of(customer);
    event.order.amount = amount;
    event.order.currency = view_of("USD");
    present(&event, "event_id");
    present(&event, "tenant_id");
    present(&event, "order_id");
    present(&event, "amount");
    present(&event, "currency");
    present(&event, "event_time");
    if (customer != NULL)
        present(&event, "customer_id");
    return event;
}

static inline void order_set_text(struct event *event, const char *name, const char *value)
{
    const struct field *field = shape_find(event_shape(event->kind), view_of(name), NULL);

    if (value == NULL)
        return;
    *(struct view *)(void *)((char *)event + field->offset) = view_of(value);
    present(event, name);
}

static inline struct anomaly_context context_of(const struct event *event)
{
    return (struct anomaly_context){.local_hour = (int32_t)(event->event_time_ms / 3600000 % 24),
                                    .reference_amount =
                                        event->kind == EVENT_ORDER ? event->order.amount : 0};
}

/* Stops the test when the text has errors. */
static inline struct rule_set *rules_of(const char *text)
{
    struct arena *arena = arena_create(4096);
    struct complaints complaints;

    complaints_init(&complaints, arena);
    struct rule_set *rules = rule_set_compile(flow_tree(text, arena), &complaints);
    for (const struct complaint *at = complaints.first; at != NULL; at = at->next)
        fprintf(stderr, "%s\n", at->text);
    assert(rules != NULL);
    arena_destroy(arena);
    return rules;
}

static inline struct anomaly_options options_with(int64_t lateness_ms)
{
    struct anomaly_options options = {.bytes_max = (size_t)1 << 30};

    for (uint32_t kind = 0; kind < EVENT_KIND_COUNT; kind++)
        options.lateness_ms[kind] = lateness_ms;
    return options;
}

/* The same watermark for every kind. */
static inline void advance_to(struct anomaly *anomaly, int64_t watermark_ms, struct outbox *outbox)
{
    int64_t watermarks[EVENT_KIND_COUNT];

    for (uint32_t kind = 0; kind < EVENT_KIND_COUNT; kind++)
        watermarks[kind] = watermark_ms;
    anomaly_advance(anomaly, watermarks, outbox);
}

static inline void apply_one(struct anomaly *anomaly, const struct event *event,
                             struct outbox *outbox)
{
    struct anomaly_context context = context_of(event);

    anomaly_apply(anomaly, event, &context, outbox);
}

/* Save, load, close the old one. */
static inline struct anomaly *reload(struct anomaly *anomaly, const struct rule_set *rules,
                                     const struct anomaly_options *options)
{
    struct byte_writer saved;
    struct failure failure = {0};

    byte_writer_init(&saved);
    anomaly_save(anomaly, &saved);
    struct byte_reader reader = byte_reader_of(saved.data, saved.size);
    struct anomaly *loaded = anomaly_load(rules, options, &reader, &failure);
    if (loaded == NULL)
        fprintf(stderr, "%s\n", failure.text);
    assert(loaded != NULL);
    assert(byte_reader_left(&reader) == 0);
    assert(anomaly_digest(loaded) == anomaly_digest(anomaly));
    anomaly_close(anomaly);
    byte_writer_free(&saved);
    return loaded;
}
#endif
