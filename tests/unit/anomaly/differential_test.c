/*
 * Small random streams with many ties, shuffled inside the lateness, against the oracle:
 * the last publications are the oracle's episodes on the sorted stream. On the way the
 * laws of publication hold: an alert opens once, first; closes once, last; keeps its id.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "oracle.h"
#include "stream.h"

/* Under a sanitizer a tenth has to do. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { STREAMS_A_RULE = 50 };
#else
enum { STREAMS_A_RULE = 500 };
#endif

enum {
    RULES_A_KIND = 200,
    EVENTS_MAX = 640,
    EVENTS_SMALL_MAX = 48,
    EVENTS_BUSY_MIN = 400,
    BUSY_RULES_A_KIND = 12,
    BUSY_STREAMS_A_RULE = 4,
    GROUPS = 2,
    ALERTS_MAX = 1024,
};

struct arrival {
    struct oracle_event event;
    int64_t key_ms; /* arrives in the order of this */
    int group;      /* -1: null */
    char id[16];
    char value[16];
};

struct seen_alert {
    char id[33];
    int group;
    bool is_closed, is_merged;
    struct oracle_episode figures;
};

struct trial {
    struct random random;
    struct oracle_rule rule;
    int64_t lateness_ms;
    int64_t base_ms;
    uint32_t value_kinds;
    bool is_busy; /* more points in a window than a series keeps flat */
    uint32_t span_ms;
    struct rule_set *rules;
    struct outbox *outbox;
    struct arrival arrivals[EVENTS_MAX];
    uint32_t count;
    struct seen_alert alerts[ALERTS_MAX];
    uint32_t alert_count;
};

static const char *const group_names[GROUPS] = {"ada", "bob"};
static const char *const step_names[8] = {"zero",  "one",       "two",       "one-two",
                                          "three", "one-three", "two-three", "one-two-three"};

static void print_rule(struct trial *trial, char *text, size_t size)
{
    const struct oracle_rule *rule = &trial->rule;
    static const char *const types[] = {"event",     "event_count", "value_count",
                                        "value_sum", "temporal",    "temporal_ordered"};
    static const char *const selections[] = {"one", "two", "three"};
    int used = snprintf(text, size,
                        "{rules: [{name: r, severity: low, on: orders, group-by: [customer_id], "
                        "type: %s, quiet: %d",
                        types[rule->kind], (int)rule->quiet_ms);

    if (rule->kind != ORACLE_EVENT)
        used += snprintf(text + used, size - (size_t)used, ", timespan: %d", (int)rule->window_ms);
    if (rule->kind == ORACLE_VALUE_COUNT)
        used += snprintf(text + used, size - (size_t)used, ", field: country");
    if (rule->kind == ORACLE_VALUE_SUM)
        used += snprintf(text + used, size - (size_t)used, ", field: amount");
    if (rule->kind >= ORACLE_TEMPORAL) {
        used += snprintf(text + used, size - (size_t)used, ", steps: [");
        for (uint32_t step = 0; step < rule->step_count; step++)
            used += snprintf(text + used, size - (size_t)used,
                             "{selection: {payment_method|contains: %s}, count: %u}, ",
                             selections[step], rule->step_counts[step]);
        used += snprintf(text + used, size - (size_t)used, "]");
    }
    if (rule->kind == ORACLE_VALUE_SUM)
        used += snprintf(text + used, size - (size_t)used, ", condition: {gte: %d.%02d}",
                         (int)rule->need / 100, (int)rule->need % 100);
    else if (rule->kind != ORACLE_EVENT)
        used += snprintf(text + used, size - (size_t)used, ", condition: {gt: %d}",
                         (int)rule->need - 1);
    snprintf(text + used, size - (size_t)used, "}]}");
}

/* Windows of hundreds of points, with limits that some of them reach. */
static void make_busy(struct trial *trial)
{
    struct random *random = &trial->random;
    struct oracle_rule *rule = &trial->rule;

    if (rule->kind != ORACLE_EVENT)
        rule->window_ms = 100 + random_below(random, 500);
    rule->quiet_ms = random_below(random, 40);
    trial->lateness_ms = 1 + random_below(random, 600);
    trial->value_kinds = 20 + random_below(random, 200);
    trial->span_ms = 500 + random_below(random, 1000);
    if (rule->kind == ORACLE_EVENT_COUNT)
        rule->need = 20 + random_below(random, 150);
    else if (rule->kind == ORACLE_VALUE_COUNT)
        rule->need = 10 + random_below(random, 60);
    else if (rule->kind == ORACLE_VALUE_SUM)
        rule->need = 10000 + random_below(random, 20000);
    for (uint32_t step = 0; step < rule->step_count; step++)
        rule->step_counts[step] = 1 + random_below(random, 40);
}

static void draw_rule(struct trial *trial, enum oracle_kind kind)
{
    struct random *random = &trial->random;
    struct oracle_rule *rule = &trial->rule;
    char text[1000];

    *rule = (struct oracle_rule){.kind = kind};
    rule->window_ms = kind == ORACLE_EVENT ? 0 : 1 + random_below(random, 20);
    rule->quiet_ms = random_below(random, 3) == 0 ? rule->window_ms : random_below(random, 12);
    rule->step_count = 1 + random_below(random, ORACLE_STEPS_MAX);
    for (uint32_t step = 0; step < rule->step_count; step++)
        rule->step_counts[step] = 1 + random_below(random, 3);
    rule->need = 1 + random_below(random, 5);
    if (kind == ORACLE_VALUE_SUM)
        rule->need = 1 + random_below(random, 1000);
    if (kind >= ORACLE_TEMPORAL)
        rule->need = random_below(random, 3) == 0 ? 1 + random_below(random, rule->step_count)
                                                  : rule->step_count;
    trial->lateness_ms = random_below(random, 4) == 0 ? 0 : random_below(random, 40);
    trial->base_ms = random_below(random, 2) == 0 ? 0 : INT64_C(1700000000000);
    trial->value_kinds = 1 + random_below(random, 6);
    trial->span_ms = 5 + random_below(random, 80);
    if (trial->is_busy)
        make_busy(trial);
    print_rule(trial, text, sizeof text);
    trial->rules = rules_of(text);
}

static int compare_arrivals(const void *a, const void *b)
{
    const struct arrival *x = a, *y = b;

    return (x->key_ms > y->key_ms) - (x->key_ms < y->key_ms);
}

static void draw_stream(struct trial *trial)
{
    struct random *random = &trial->random;

    trial->count = 1 + random_below(random, EVENTS_SMALL_MAX);
    if (trial->is_busy)
        trial->count = EVENTS_BUSY_MIN + random_below(random, EVENTS_MAX - EVENTS_BUSY_MIN);
    for (uint32_t at = 0; at < trial->count; at++) {
        struct arrival *arrival = &trial->arrivals[at];
        memset(arrival, 0, sizeof *arrival);
        arrival->event.time_ms = trial->base_ms + random_below(random, trial->span_ms);
        arrival->event.weight = random_below(random, 400);
        arrival->event.value = (int)random_below(random, trial->value_kinds + 1) - 1;
        arrival->event.steps = 1 + random_below(random, 7);
        if (trial->rule.kind >= ORACLE_TEMPORAL)
            arrival->event.steps &= (1u << trial->rule.step_count) - 1;
        arrival->key_ms = arrival->event.time_ms;
        if (trial->lateness_ms > 0)
            arrival->key_ms += random_below(random, (uint32_t)trial->lateness_ms + 1);
        arrival->group = (int)random_below(random, GROUPS * 3 + 1) % (GROUPS + 1) - 1;
        if (random_below(random, 2) == 0)
            arrival->group = 0;
        snprintf(arrival->id, sizeof arrival->id, "e%u", at);
        snprintf(arrival->value, sizeof arrival->value, "v%d", arrival->event.value);
    }
    qsort(trial->arrivals, trial->count, sizeof trial->arrivals[0], compare_arrivals);
}

static struct event event_of(const struct trial *trial, const struct arrival *arrival)
{
    struct event event =
        order_event(arrival->id, "t", arrival->group < 0 ? NULL : group_names[arrival->group],
                    arrival->event.time_ms, (double)arrival->event.weight / 100);

    if (arrival->event.value >= 0)
        order_set_text(&event, "country", arrival->value);
    if (trial->rule.kind >= ORACLE_TEMPORAL)
        order_set_text(&event, "payment_method", step_names[arrival->event.steps]);
    return event;
}

static struct seen_alert *find_alert(struct trial *trial, struct view id)
{
    for (uint32_t at = 0; at < trial->alert_count; at++)
        if (view_is_text(id, trial->alerts[at].id))
            return &trial->alerts[at];
    return NULL;
}

static void check_publication(struct trial *trial, const struct result *result)
{
    const struct alert *alert = &result->alert;
    struct seen_alert *seen = find_alert(trial, result->id);
    int group = view_is_text(alert->group.at[0].value, group_names[0]) ? 0 : 1;

    assert_int_equal(result->id.size, 32);
    assert_true(alert->evidence.count >= 1 && alert->evidence.count <= 5);
    if (seen == NULL) {
        assert_int_equal(alert->status, ALERT_OPEN);
        assert_true(trial->alert_count < ALERTS_MAX);
        seen = &trial->alerts[trial->alert_count++];
        *seen = (struct seen_alert){.group = group};
        memcpy(seen->id, result->id.data, 32);
    } else {
        assert_int_not_equal(alert->status, ALERT_OPEN);
        assert_false(seen->is_closed);
        assert_int_equal(seen->group, group);
        /* What was said only grows. */
        assert_true(alert->opened_time_ms <= seen->figures.opened_ms);
        assert_true(alert->last_event_time_ms >= seen->figures.last_ms);
        assert_true(alert->count >= seen->figures.count);
    }
    seen->is_closed = alert->status == ALERT_CLOSED;
    seen->is_merged = !view_is_absent(alert->merged_into);
    if (seen->is_merged) {
        assert_true(seen->is_closed);
        const struct seen_alert *elder = find_alert(trial, alert->merged_into);
        assert_non_null(elder);
        assert_true(elder < seen && !elder->is_closed);
    }
    seen->figures = (struct oracle_episode){
        .opened_ms = alert->opened_time_ms,
        .last_ms = alert->last_event_time_ms,
        .first_event_ms = alert->first_event_time_ms,
        .count = alert->count,
        .value = (int64_t)(alert->value * (trial->rule.kind == ORACLE_VALUE_SUM ? 100 : 1) + 0.5)};
}

static void collect(struct trial *trial)
{
    for (uint32_t at = 0; at < outbox_count(trial->outbox); at++)
        check_publication(trial, outbox_at(trial->outbox, at));
    outbox_reset(trial->outbox);
}

/* Tells of up to AHEAD_MAX arrivals before the first of them comes, if `is_told`. */
static void apply_arrival(struct trial *trial, struct anomaly *anomaly, uint32_t at, bool is_told)
{
    enum { AHEAD_MAX = 8 };
    static struct event events[AHEAD_MAX];
    static struct anomaly_context contexts[AHEAD_MAX];
    uint32_t place = at % AHEAD_MAX, count = 0;

    for (; place == 0 && count < AHEAD_MAX && at + count < trial->count; count++) {
        events[count] = event_of(trial, &trial->arrivals[at + count]);
        contexts[count] = context_of(&events[count]);
        contexts[count].expected = is_told ? count + 1 : 0;
    }
    if (is_told && count > 0)
        anomaly_expect(anomaly, events, contexts, count);
    anomaly_apply(anomaly, &events[place], &contexts[place], trial->outbox);
}

static void run_stream(struct trial *trial)
{
    struct anomaly_options options = options_with(trial->lateness_ms);
    struct anomaly *anomaly = anomaly_open(trial->rules, &options);
    uint32_t cadence = 1 + random_below(&trial->random, 6);
    bool is_reloaded = random_below(&trial->random, 4) == 0;
    bool is_told = random_below(&trial->random, 2) == 0;
    int64_t newest_ms = INT64_MIN;

    trial->alert_count = 0;
    for (uint32_t at = 0; at < trial->count; at++) {
        int64_t time_ms = trial->arrivals[at].event.time_ms;
        if (newest_ms < time_ms)
            newest_ms = time_ms;
        assert_true(newest_ms - time_ms <= trial->lateness_ms);
        apply_arrival(trial, anomaly, at, is_told);
        if (random_below(&trial->random, cadence) == 0)
            advance_to(anomaly, newest_ms - trial->lateness_ms, trial->outbox);
        if (is_reloaded && random_below(&trial->random, 8) == 0)
            anomaly = reload(anomaly, trial->rules, &options);
    }
    anomaly_finish(anomaly, trial->outbox);
    collect(trial);
    struct anomaly_stats stats;
    anomaly_stats(anomaly, &stats);
    assert_int_equal(stats.episodes_open, 0);
    anomaly_close(anomaly);
}

static int compare_events(const void *a, const void *b)
{
    const struct oracle_event *x = a, *y = b;

    return (x->time_ms > y->time_ms) - (x->time_ms < y->time_ms);
}

static bool is_selected(const struct trial *trial, const struct arrival *arrival, int group)
{
    return arrival->group == group &&
           (trial->rule.kind < ORACLE_TEMPORAL || arrival->event.steps != 0);
}

static bool is_same(const struct trial *trial, const struct oracle_episode *a,
                    const struct oracle_episode *b)
{
    return a->opened_ms == b->opened_ms && a->last_ms == b->last_ms &&
           a->first_event_ms == b->first_event_ms && a->count == b->count &&
           (trial->rule.kind == ORACLE_EVENT || a->value == b->value);
}

static void check_group(const struct trial *trial, int group, uint64_t seed)
{
    struct oracle_event events[EVENTS_MAX];
    struct oracle_episode episodes[EVENTS_MAX];
    uint32_t count = 0, alerts = 0;

    for (uint32_t at = 0; at < trial->count; at++)
        if (is_selected(trial, &trial->arrivals[at], group))
            events[count++] = trial->arrivals[at].event;
    qsort(events, count, sizeof events[0], compare_events);
    uint32_t episode_count = oracle_episodes(&trial->rule, events, count, episodes);
    for (uint32_t at = 0; at < trial->alert_count; at++) {
        const struct seen_alert *seen = &trial->alerts[at];
        uint32_t same = 0;
        if (seen->group != group || seen->is_merged)
            continue;
        while (same < episode_count && !is_same(trial, &seen->figures, &episodes[same]))
            same++;
        if (same == episode_count || !seen->is_closed)
            fail_msg("seed %llu: no such episode: opened %lld last %lld first %lld count %lld "
                     "value %lld",
                     (unsigned long long)seed, (long long)seen->figures.opened_ms,
                     (long long)seen->figures.last_ms, (long long)seen->figures.first_event_ms,
                     (long long)seen->figures.count, (long long)seen->figures.value);
        alerts++;
    }
    if (alerts != episode_count)
        fail_msg("seed %llu: %u alerts, %u episodes", (unsigned long long)seed, alerts,
                 episode_count);
}

static void compare(enum oracle_kind kind, bool is_busy, uint32_t rules, uint32_t streams)
{
    static struct trial trial;
    uint64_t episodes = 0;

    trial.is_busy = is_busy;
    for (uint64_t rule = 0; rule < rules; rule++) {
        uint64_t seed = 1 + rule * 6 + kind;
        trial.random.state = seed * UINT64_C(0x9E3779B97F4A7C15);
        trial.outbox = outbox_create();
        draw_rule(&trial, kind);
        for (uint32_t stream = 0; stream < streams; stream++) {
            draw_stream(&trial);
            run_stream(&trial);
            for (int group = 0; group < GROUPS; group++)
                check_group(&trial, group, seed);
            episodes += trial.alert_count;
        }
        outbox_destroy(trial.outbox);
        rule_set_destroy(trial.rules);
    }
    /* A comparison of nothing with nothing would prove nothing. */
    assert_true(episodes > (uint64_t)rules * streams / 4);
}

static void compare_kind(enum oracle_kind kind)
{
    compare(kind, false, RULES_A_KIND, STREAMS_A_RULE);
    compare(kind, true, BUSY_RULES_A_KIND, BUSY_STREAMS_A_RULE);
}

static void event_rules_agree(void **state)
{
    (void)state;
    compare_kind(ORACLE_EVENT);
}
static void event_counts_agree(void **state)
{
    (void)state;
    compare_kind(ORACLE_EVENT_COUNT);
}
static void value_counts_agree(void **state)
{
    (void)state;
    compare_kind(ORACLE_VALUE_COUNT);
}
static void value_sums_agree(void **state)
{
    (void)state;
    compare_kind(ORACLE_VALUE_SUM);
}
static void temporal_rules_agree(void **state)
{
    (void)state;
    compare_kind(ORACLE_TEMPORAL);
}
static void ordered_rules_agree(void **state)
{
    (void)state;
    compare_kind(ORACLE_TEMPORAL_ORDERED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(event_rules_agree),    cmocka_unit_test(event_counts_agree),
        cmocka_unit_test(value_counts_agree),   cmocka_unit_test(value_sums_agree),
        cmocka_unit_test(temporal_rules_agree), cmocka_unit_test(ordered_rules_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
