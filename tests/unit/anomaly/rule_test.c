/* Rules as users write them: what is selected, and every error with its line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "stream.h"

/* How many alerts an event rule with this selection makes of one order. */
static uint32_t count_selected(const char *selection, const struct event *event,
                               const struct anomaly_context *context)
{
    char text[500];
    struct anomaly_options options = options_with(0);
    struct outbox *outbox = outbox_create();

    snprintf(text, sizeof text, "{rules: [{name: r, severity: low, on: orders, %s}]}", selection);
    struct rule_set *rules = rules_of(text);
    struct anomaly *anomaly = anomaly_open(rules, &options);
    anomaly_apply(anomaly, event, context, outbox);
    uint32_t count = outbox_count(outbox);
    anomaly_close(anomaly);
    rule_set_destroy(rules);
    outbox_destroy(outbox);
    return count;
}

struct selection_case {
    const char *selection;
    bool is_selected;
};

static void selections_mean_what_they_say(void **state)
{
    static const struct selection_case cases[] = {
        {"selection: {customer_id: ada}", true},
        {"selection: {customer_id: Ada}", false},
        {"selection: {customer_id: [bob, ada]}", true},
        {"selection: {customer_id: [bob, eve]}", false},
        {"selection: {customer_id|not: bob}", true},
        {"selection: {customer_id|not: [bob, ada]}", false},
        {"selection: {customer_id: ada, amount: 12.5}", true},
        {"selection: {customer_id: ada, amount: 13}", false},
        {"selection: [{customer_id: bob}, {amount|gt: 12}]", true},
        {"selection: [{customer_id: bob}, {amount|gt: 13}]", false},
        {"selection: {amount|gt: 12.5}", false},
        {"selection: {amount|gte: 12.5}", true},
        {"selection: {amount|lt: 12.5}", false},
        {"selection: {amount|lte: 12.5}", true},
        {"selection: {amount|not|gt: 100}", true},
        {"selection: {payment_method|contains: red}", true},
        {"selection: {payment_method|contains|all: [red, card]}", true},
        {"selection: {payment_method|contains|all: [red, gift]}", false},
        {"selection: {payment_method|contains: [red, gift]}", true},
        {"selection: {payment_method|startswith: credit}", true},
        {"selection: {payment_method|startswith: card}", false},
        {"selection: {payment_method|endswith: card}", true},
        {"selection: {ip|cidr: 10.1.0.0/16}", true},
        {"selection: {ip|cidr: 10.2.0.0/15}", false},
        {"selection: {ip|cidr: 10.1.2.3}", true},
        {"selection: {ip|cidr: ['2001:db8::/32', 10.0.0.0/9]}", true},
        {"selection: {ip|cidr: 0.0.0.0/0}", true},
        {"selection: {ip|cidr: '::/0'}", false},
        {"selection: {country|exists: true}", false},
        {"selection: {country|exists: false}", true},
        {"selection: {country: null}", true},
        {"selection: {ip: null}", false},
        {"selection: {country: DE}", false},
        {"selection: {country|not: DE}", true},
        {"selection: {status: placed}", true},
        {"selection: {status: [cancelled]}", false},
        {"selection: {local_hour|gte: 2, local_hour|lte: 5}", true},
        {"selection: {local_hour: [3, 4]}", true},
        {"selection: {local_hour|lt: 3}", false},
        {"selection: {tenant_id: t, event_id: e1}", true},
        {"filter: {customer_id: ada}", false},
        {"filter: {customer_id: bob}", true},
        {"selection: {customer_id: ada}, filter: [{amount|gt: 100}, {ip|cidr: 10.0.0.0/8}]", false},
        {"selection: {items|exists: false}", true},
    };
    struct anomaly_context context = {.local_hour = 3, .reference_amount = 12.5};
    struct event event = order_event("e1", "t", "ada", 1000, 99);

    (void)state;
    order_set_text(&event, "payment_method", "credit card");
    order_set_text(&event, "ip", "10.1.2.3");
    present(&event, "status");
    for (size_t at = 0; at < sizeof cases / sizeof cases[0]; at++) {
        uint32_t count = count_selected(cases[at].selection, &event, &context);
        if (count != (cases[at].is_selected ? 1 : 0))
            fail_msg("%s: %u", cases[at].selection, count);
    }
}

struct complaint_case {
    const char *rule;     /* what follows the name */
    const char *parts[3]; /* all of them are in the text */
};

/* Whether some complaint has all the parts. */
static bool is_complained(const struct complaints *complaints, const char *const parts[3])
{
    for (const struct complaint *at = complaints->first; at != NULL; at = at->next) {
        uint32_t found = 0;
        for (uint32_t part = 0; part < 3; part++)
            found += parts[part] == NULL || strstr(at->text, parts[part]) != NULL;
        if (found == 3)
            return true;
    }
    return false;
}

static void check_complaints(const struct complaint_case *cases, size_t count)
{
    struct arena *arena = arena_create(65536);

    for (size_t at = 0; at < count; at++) {
        char text[1000];
        struct complaints complaints;
        complaints_init(&complaints, arena);
        snprintf(text, sizeof text, "{rules: [\n{name: r, %s}]}", cases[at].rule);
        assert_null(rule_set_compile(flow_tree(text, arena), &complaints));
        if (!is_complained(&complaints, cases[at].parts))
            fail_msg("%s\ngave: %s", cases[at].rule,
                     complaints.first != NULL ? complaints.first->text : "nothing");
    }
    arena_destroy(arena);
}

#define COUNT "on: orders, severity: low, type: event_count, timespan: 60s"

static void errors_say_where_and_what_was_expected(void **state)
{
    static const struct complaint_case cases[] = {
        {"on: orders", {"rules.yaml:2", "severity: missing", "low, medium or high"}},
        {"on: orders, severity: hihg", {"severity", "not hihg", "did you mean 'high'?"}},
        {"on: order, severity: low", {"on: expected one of orders", "did you mean 'orders'?"}},
        {"severity: low", {"on: expected a topic"}},
        {"on: orders, severity: low, colour: red", {"colour: unknown", "expected one of name"}},
        {"on: orders, severity: low, category: hr", {"category", "security"}},
        {"on: orders, severity: low, severity: low", {"severity: given twice"}},
        {"on: orders, severity: low,\nselection: {amuont: 3}",
         {"rules.yaml:3: amuont", "expected one of event_id", "did you mean 'amount'?"}},
        {"on: orders, severity: low, selection: {amount|above: 3}", {"modifier", "not 'above'"}},
        {"on: orders, severity: low, selection: {amount|gt|lt: 3}", {"one comparison"}},
        {"on: orders, severity: low, selection: {amount: much}", {"amount: expected a number"}},
        {"on: orders, severity: low, selection: {amount|contains: 3}", {"a text field"}},
        {"on: orders, severity: low, selection: {currency|gt: 3}", {"a number field"}},
        {"on: orders, severity: low, selection: {amount|gt: [3, 4]}", {"one number"}},
        {"on: orders, severity: low, selection: {customer_id: []}", {"at least one value"}},
        {"on: orders, severity: low, selection: {status: paid}",
         {"status: expected one of placed, cancelled", "'paid'"}},
        {"on: orders, severity: low, selection: {ip|cidr: 10.0.0.0/33}", {"a network such as"}},
        {"on: orders, severity: low, selection: {ip|cidr: home}", {"a network such as"}},
        {"on: orders, severity: low, selection: {items: 3}", {"|exists"}},
        {"on: orders, severity: low, selection: 3", {"selection: expected a map"}},
        {"on: orders, severity: low, timespan: soon", {"timespan", "a duration"}},
        {"on: orders, severity: low, timespan: 5m", {"type: expected one of event"}},
        {"on: orders, severity: low, type: event_count, condition: {gte: 3}",
         {"timespan: expected a duration"}},
        {COUNT, {"condition: expected a limit"}},
        {COUNT ", condition: {lt: 3}", {"expected gte or gt, not 'lt'", "withdrawn"}},
        {COUNT ", condition: {gte: 3, gt: 4}", {"one limit"}},
        {COUNT ", condition: {gte: 0}", {"above 0"}},
        {COUNT ", condition: {gte: many}", {"a number"}},
        {COUNT ", condition: {gte: 3}, field: amount", {"only value_count"}},
        {COUNT ", condition: {gte: 3, field: amount}", {"only value_count"}},
        {COUNT ", condition: {field: amount}", {"one limit"}},
        {"on: orders, severity: low, type: value_count, timespan: 1m, field: ip, "
         "condition: {field: ip, gte: 3}",
         {"field: expected once"}},
        {COUNT ", condition: {gte: 3}, group-by: [customer]", {"customer", "'customer_id'?"}},
        {COUNT ", condition: {gte: 3}, group-by: [items]", {"single value"}},
        {COUNT ", condition: {gte: 3}, quiet: -1s", {"quiet: expected 0ms"}},
        {"on: [orders, auth-events], severity: low, group-by: [user_id]",
         {"user_id: order has no such field"}},
        {"on: orders, severity: low, type: value_sum, timespan: 1m, condition: {gte: 3}, "
         "field: currency",
         {"field: expected a number"}},
        {"on: orders, severity: low, type: value_count, timespan: 1m, condition: {gte: 3}",
         {"field: expected the name"}},
        {"on: orders, severity: low, condition: {gte: 3}", {"without a timespan"}},
        {"severity: low, type: temporal, timespan: 1m", {"steps: expected a list"}},
        {"severity: low, type: temporal, timespan: 1m, steps: [{selection: {amount: 3}}]",
         {"on: expected a topic, here or in the rule"}},
        {"on: orders, severity: low, type: temporal, timespan: 1m, steps: [{count: 0}]",
         {"count: expected 1 to"}},
        {"on: orders, severity: low, type: temporal, timespan: 1m, rules: [nobody]",
         {"rules: expected the names", "no nobody"}},
        {"on: orders, severity: low, type: temporal, timespan: 1m, steps: [{}], "
         "condition: {gte: 2}",
         {"condition", "at most 1"}},
        {"on: orders, severity: low, enabled: maybe", {"true or false"}},
    };

    (void)state;
    check_complaints(cases, sizeof cases / sizeof cases[0]);
}

static void all_errors_are_reported_together(void **state)
{
    struct arena *arena = arena_create(4096);
    struct complaints complaints;

    (void)state;
    complaints_init(&complaints, arena);
    const struct tree *root = flow_tree("{rules: [\n"
                                        "{name: a b, on: orders, severity: low},\n"
                                        "{name: c, on: nowhere, severity: low},\n"
                                        "{name: d, on: orders, severity: none},\n"
                                        "{name: d, on: orders, severity: low}]}",
                                        arena);
    assert_null(rule_set_compile(root, &complaints));
    assert_int_equal(complaints.count, 4);
    const char *lines[] = {"rules.yaml:2", "rules.yaml:3", "rules.yaml:4", "rules.yaml:5"};
    const struct complaint *complaint = complaints.first;
    for (int line = 0; line < 4; line++, complaint = complaint->next)
        assert_ptr_equal(strstr(complaint->text, lines[line]), complaint->text);
    arena_destroy(arena);
}

static void sets_answer_for_their_rules(void **state)
{
    struct rule_set *rules =
        rules_of("{rules: [{name: a, on: orders, severity: low},"
                 "{name: b, on: [auth-events], severity: low, enabled: false}]}");
    uint64_t digest = rule_set_digest(rules);

    (void)state;
    assert_int_equal(rule_set_count(rules), 2);
    assert_true(view_is_text(rule_set_name(rules, 1), "b"));
    assert_true(rule_set_is_enabled(rules, 0));
    assert_false(rule_set_is_enabled(rules, 1));
    assert_true(rule_set_reads(rules, EVENT_ORDER));
    assert_false(rule_set_reads(rules, EVENT_AUTH));
    assert_int_equal(rule_set_switch(rules, view_of("b"), true), STATUS_OK);
    assert_true(rule_set_reads(rules, EVENT_AUTH));
    assert_true(rule_set_digest(rules) != digest);
    assert_int_equal(rule_set_switch(rules, view_of("b"), false), STATUS_OK);
    assert_true(rule_set_digest(rules) == digest);
    assert_int_equal(rule_set_switch(rules, view_of("c"), true), STATUS_ABSENT);
    rule_set_destroy(rules);
}

static void digests_tell_definitions_apart(void **state)
{
    const char *const texts[] = {
        "{rules: [{name: a, on: orders, severity: low}]}",
        "{rules: [{name: b, on: orders, severity: low}]}",
        "{rules: [{name: a, on: orders, severity: high}]}",
        "{rules: [{name: a, on: orders, severity: low, quiet: 1h}]}",
        "{rules: [{name: a, on: orders, severity: low, title: A}]}",
        "{rules: [{name: a, on: orders, severity: low, selection: {amount: 1}}]}",
        "{rules: [{name: a, on: orders, severity: low, filter: {amount: 1}}]}",
        "{rules: []}",
    };
    uint64_t digests[sizeof texts / sizeof texts[0]];

    (void)state;
    for (size_t at = 0; at < sizeof texts / sizeof texts[0]; at++) {
        struct rule_set *rules = rules_of(texts[at]);
        digests[at] = rule_set_digest(rules);
        for (size_t before = 0; before < at; before++)
            assert_true(digests[at] != digests[before]);
        rule_set_destroy(rules);
    }
}

static void rules_of_the_file_can_be_steps(void **state)
{
    struct rule_set *rules = rules_of(
        "{rules: [{name: small, on: orders, severity: low, enabled: false, type: event_count,"
        "timespan: 1m, condition: {gt: 2}, selection: {amount|lt: 5}},"
        "{name: big, on: orders, severity: low, enabled: false, selection: {amount|gt: 100}},"
        "{name: both, severity: high, type: temporal_ordered, timespan: 1m, group-by: customer_id,"
        "rules: [small, big]}]}");
    struct anomaly_options options = options_with(0);
    struct anomaly *anomaly = anomaly_open(rules, &options);
    struct outbox *outbox = outbox_create();
    double amounts[] = {1, 2, 3, 500};

    (void)state;
    for (int at = 0; at < 4; at++) {
        struct event event = order_event("e", "t", "ada", 1000 + at, amounts[at]);
        apply_one(anomaly, &event, outbox);
        assert_int_equal(outbox_count(outbox), at == 3 ? 1 : 0);
    }
    assert_true(view_is_text(outbox_at(outbox, 0)->alert.type, "both"));
    anomaly_close(anomaly);
    outbox_destroy(outbox);
    rule_set_destroy(rules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(selections_mean_what_they_say),
        cmocka_unit_test(errors_say_where_and_what_was_expected),
        cmocka_unit_test(all_errors_are_reported_together),
        cmocka_unit_test(sets_answer_for_their_rules),
        cmocka_unit_test(digests_tell_definitions_apart),
        cmocka_unit_test(rules_of_the_file_can_be_steps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
