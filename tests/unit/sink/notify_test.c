/*
 * Channels against stand-ins for their destinations. Time is ours: a channel that waits is asked
 * again after the clock has been moved.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "sink/batch.h"
#include "sink/notify.h"
#include "unit/sink/alert.h"
#include "unit/sink/stub.h"

enum { WALL_MS_START = 1700000000 };

struct world {
    struct stub *stub;
    char url[100];
    struct notify_options options;
    struct sink_options sink;
    struct metric_registry *metrics;
    struct clock clock;
    int64_t now_ms;
    struct notify *notify;
    struct delivery delivery;
    struct outbox *outbox;
    struct delivery_item items[16];
    struct result results[16];
    uint32_t count;
    int64_t wait_ms; /* of the last turn */
};

static int64_t wall(void *context)
{
    return (int64_t)WALL_MS_START * 1000 + *(int64_t *)context;
}

static int64_t monotonic(void *context)
{
    return *(int64_t *)context * 1000000;
}

static void open_channel(struct world *world, enum notify_channel channel)
{
    const struct notify_setup setup = {&world->options, &world->sink,   channel,
                                       &world->clock,   world->metrics, 1};
    struct position positions[1] = {{TOPIC_ALERTS, 0, POSITION_NONE}};
    struct failure failure = {0};

    world->notify = notify_create(&setup);
    world->delivery = notify_delivery(world->notify);
    assert_int_equal(world->delivery.door->open(world->delivery.context, positions, 1, &failure),
                     STATUS_OK);
    assert_int_equal(positions[0].offset, POSITION_NONE);
}

static void world_open(struct world *world, enum notify_channel channel)
{
    memset(world, 0, sizeof(*world));
    option_preset(&notify_option_table, &world->options);
    option_preset(&sink_option_table, &world->sink);
    world->stub = stub_start_http();
    snprintf(world->url, sizeof(world->url), "http://127.0.0.1:%u/hook", stub_port(world->stub));
    world->options.slack_webhook_url = world->options.email_url = world->url;
    world->options.email_api_key = "SG.key";
    world->options.email_to = "ops@example.org, oncall@example.org";
    world->metrics = metric_registry_create();
    world->now_ms = 1000;
    world->clock = (struct clock){wall, monotonic, &world->now_ms};
    world->outbox = outbox_create();
    open_channel(world, channel);
}

static void world_close(struct world *world)
{
    world->delivery.door->close(world->delivery.context);
    notify_destroy(world->notify);
    stub_stop(world->stub);
    outbox_destroy(world->outbox);
    metric_registry_destroy(world->metrics);
}

static struct result *add_alert(struct world *world, const char *id, enum alert_severity severity,
                                enum alert_status status)
{
    struct result *result = &world->results[world->count];

    *result = make_alert(id, severity, status);
    world->items[world->count] = (struct delivery_item){
        .record = {.topic = TOPIC_ALERTS,
                   .offset = world->count,
                   .timestamp_ms = wall(&world->now_ms)},
        .result = result,
    };
    world->count++;
    return result;
}

/* Offers everything from `from` on; returns how much was taken. */
static uint32_t offer(struct world *world, uint32_t from)
{
    struct delivery_turn turn = {
        .items = world->items + from, .count = world->count - from, .outbox = world->outbox};
    struct failure failure = {0};

    assert_int_equal(world->delivery.door->deliver(world->delivery.context, &turn, &failure),
                     STATUS_OK);
    world->wait_ms = turn.wait_ms;
    if (turn.taken < turn.count)
        assert_true(turn.wait_ms > 0);
    return turn.taken;
}

static int64_t confirmed(struct world *world)
{
    struct position position = {TOPIC_ALERTS, 0, POSITION_NONE};

    world->delivery.door->confirmed(world->delivery.context, &position, 1);
    return position.offset;
}

static const struct notification *told(struct world *world, uint32_t index)
{
    const struct result *result = outbox_at(world->outbox, index);

    assert_int_equal(result->kind, RESULT_NOTIFICATION);
    return &result->notification;
}

static void severities_are_routed(void **state)
{
    static const enum notify_channel channels[] = {NOTIFY_SLACK, NOTIFY_EMAIL};
    static const uint32_t expected[] = {2, 1};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct world world;

        world_open(&world, channels[i]);
        stub_answer(world.stub, "202 Accepted", "", "");
        add_alert(&world, "low", SEVERITY_LOW, ALERT_OPEN);
        add_alert(&world, "medium", SEVERITY_MEDIUM, ALERT_OPEN);
        add_alert(&world, "high", SEVERITY_HIGH, ALERT_OPEN);
        add_alert(&world, "updated", SEVERITY_HIGH, ALERT_UPDATED);
        add_alert(&world, "closed", SEVERITY_HIGH, ALERT_CLOSED);
        add_alert(&world, "decided", SEVERITY_HIGH, ALERT_RESOLVED);
        add_alert(&world, "merged", SEVERITY_HIGH, ALERT_OPEN)->alert.merged_into =
            VIEW_LITERAL("high");
        item_refuse(&world.items[world.count - 1], "unread", "", "");
        world.items[world.count - 1].result = NULL;
        assert_int_equal(confirmed(&world), POSITION_NONE);
        assert_int_equal(offer(&world, 0), 7);
        assert_int_equal(stub_count(world.stub), expected[i]);
        assert_int_equal(outbox_count(world.outbox), expected[i]);
        assert_int_equal(confirmed(&world), 7);
        world_close(&world);
    }
}

static void a_sent_alert_is_told_of(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, NOTIFY_EMAIL);
    stub_answer(world.stub, "202 Accepted", "", "");
    add_alert(&world, "a-1", SEVERITY_HIGH, ALERT_OPEN);
    assert_int_equal(offer(&world, 0), 1);
    const struct notification *note = told(&world, 0);
    assert_true(view_is_text(note->alert_id, "a-1"));
    assert_true(view_is_text(note->channel, "email"));
    assert_int_equal(note->status, NOTIFICATION_SENT);
    assert_int_equal(note->attempt, 1);
    assert_int_equal(note->http_status, 202);
    assert_true(view_is_absent(note->error));
    assert_true(view_is_text(outbox_at(world.outbox, 0)->tenant_id, "acme"));
    const char *request = stub_request(world.stub, 0);
    assert_non_null(strstr(request, "\r\nAuthorization: Bearer SG.key\r\n"));
    assert_non_null(strstr(request, "{\"email\":\"oncall@example.org\"}"));
    world_close(&world);
}

static void failures_are_retried_and_nothing_is_lost(void **state)
{
    struct world world;
    uint32_t turns = 0;

    (void)state;
    world_open(&world, NOTIFY_SLACK);
    for (int i = 0; i < 3; i++)
        stub_answer(world.stub, "503 Away", "", "try later");
    stub_answer(world.stub, "200 OK", "", "ok");
    add_alert(&world, "a-1", SEVERITY_HIGH, ALERT_OPEN);
    add_alert(&world, "a-2", SEVERITY_HIGH, ALERT_OPEN);
    while (offer(&world, 0) == 0) {
        assert_true(turns++ < 100);
        assert_int_equal(confirmed(&world), POSITION_NONE);
        world.now_ms += world.wait_ms;
    }
    assert_int_equal(confirmed(&world), 2);
    assert_int_equal(stub_count(world.stub), 5);
    assert_int_equal(outbox_count(world.outbox), 5);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(told(&world, i)->status, NOTIFICATION_RETRYING);
        assert_int_equal(told(&world, i)->attempt, i + 1);
        assert_int_equal(told(&world, i)->http_status, 503);
        assert_true(view_is_text(told(&world, i)->error, "HTTP 503: try later"));
    }
    assert_int_equal(told(&world, 3)->status, NOTIFICATION_SENT);
    assert_int_equal(told(&world, 3)->attempt, 4);
    world_close(&world);
}

static void an_outage_opens_the_breaker(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, NOTIFY_SLACK);
    for (int i = 0; i < 6; i++)
        stub_answer(world.stub, "500 Broken", "", "");
    stub_answer(world.stub, "200 OK", "", "ok");
    add_alert(&world, "a-1", SEVERITY_HIGH, ALERT_OPEN);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(offer(&world, 0), 0);
        if (i < 4)
            world.now_ms += world.wait_ms;
    }
    assert_true(world.wait_ms >= 60000);
    world.now_ms += 59999;
    assert_int_equal(offer(&world, 0), 0);
    assert_int_equal(stub_count(world.stub), 5);
    world.now_ms += world.wait_ms;
    assert_int_equal(offer(&world, 0), 0); /* half open: one attempt, and it fails */
    assert_int_equal(stub_count(world.stub), 6);
    assert_true(world.wait_ms >= 60000);
    world.now_ms += world.wait_ms;
    assert_int_equal(offer(&world, 0), 1);
    world_close(&world);
}

static void a_pause_is_kept_and_does_not_open_the_breaker(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, NOTIFY_SLACK);
    for (int i = 0; i < 8; i++)
        stub_answer(world.stub, "429 Too Many Requests", "Retry-After: 40\r\n", "");
    stub_answer(world.stub, "200 OK", "", "ok");
    add_alert(&world, "a-1", SEVERITY_HIGH, ALERT_OPEN);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(offer(&world, 0), 0);
        assert_int_equal(world.wait_ms, 40000);
        world.now_ms += 39999;
        assert_int_equal(offer(&world, 0), 0);
        assert_int_equal(stub_count(world.stub), i + 1);
        world.now_ms += 1;
    }
    assert_int_equal(offer(&world, 0), 1);
    world_close(&world);
}

static void a_refusal_is_final_and_told(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, NOTIFY_SLACK);
    stub_answer(world.stub, "400 Bad Request", "", "invalid_blocks");
    stub_answer(world.stub, "200 OK", "", "ok");
    add_alert(&world, "a-1", SEVERITY_HIGH, ALERT_OPEN);
    add_alert(&world, "a-2", SEVERITY_HIGH, ALERT_OPEN);
    assert_int_equal(offer(&world, 0), 2);
    assert_int_equal(told(&world, 0)->status, NOTIFICATION_FAILED);
    assert_true(view_is_text(told(&world, 0)->error, "HTTP 400: invalid_blocks"));
    assert_int_equal(told(&world, 1)->status, NOTIFICATION_SENT);
    world_close(&world);
}

static void the_rate_is_kept(void **state)
{
    struct world world;
    uint32_t taken = 0;

    (void)state;
    world_open(&world, NOTIFY_SLACK);
    stub_answer(world.stub, "200 OK", "", "ok");
    for (int i = 0; i < 10; i++) {
        static const char *const ids[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
        add_alert(&world, ids[i], SEVERITY_HIGH, ALERT_OPEN);
    }
    taken += offer(&world, taken);
    assert_int_equal(taken, 3);
    assert_int_equal(world.wait_ms, 1000);
    int64_t start_ms = world.now_ms;
    while (taken < 10) {
        world.now_ms += world.wait_ms;
        taken += offer(&world, taken);
    }
    assert_int_equal(world.now_ms - start_ms, 7000);
    world_close(&world);
}

static void a_repeated_alert_is_told_once(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, NOTIFY_SLACK);
    stub_answer(world.stub, "200 OK", "", "ok");
    add_alert(&world, "a-1", SEVERITY_HIGH, ALERT_OPEN);
    add_alert(&world, "a-1", SEVERITY_HIGH, ALERT_OPEN);
    assert_int_equal(offer(&world, 0), 2);
    assert_int_equal(offer(&world, 0), 2);
    assert_int_equal(stub_count(world.stub), 1);
    assert_int_equal(confirmed(&world), 2);
    world_close(&world);
}

static void what_is_too_old_is_not_told_but_recorded(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, NOTIFY_SLACK);
    stub_answer(world.stub, "503 Away", "", "");
    add_alert(&world, "a-1", SEVERITY_HIGH, ALERT_OPEN);
    assert_int_equal(offer(&world, 0), 0);
    add_alert(&world, "a-2", SEVERITY_HIGH, ALERT_OPEN);
    world.now_ms += world.options.age_max_ms + 1;
    /* The first has been tried and is tried a last time; the second never was. */
    assert_int_equal(offer(&world, 0), 2);
    assert_int_equal(stub_count(world.stub), 2);
    assert_int_equal(told(&world, 1)->status, NOTIFICATION_FAILED);
    assert_int_equal(told(&world, 2)->status, NOTIFICATION_SUPPRESSED);
    world_close(&world);
}

static void settings_are_checked(void **state)
{
    struct arena *arena = arena_create(4096);
    struct complaints complaints;
    struct notify_options options;

    (void)state;
    complaints_init(&complaints, arena);
    option_preset(&notify_option_table, &options);
    notify_check(&options, &complaints);
    assert_int_equal(complaints.count, 0);
    assert_false(notify_is_configured(&options, NOTIFY_SLACK));
    assert_false(notify_is_configured(&options, NOTIFY_EMAIL));
    options.slack_severities = "high, hihg";
    options.statuses = "opened";
    options.slack_webhook_url = "ftp://secret";
    options.email_to = "a@b\r\nBcc: c@d";
    options.email_from = "nobody";
    options.smtp_url = "http://mail";
    options.smtp_user = "weir";
    notify_check(&options, &complaints);
    assert_int_equal(complaints.count, 7);
    for (struct complaint *complaint = complaints.first; complaint; complaint = complaint->next)
        assert_null(strstr(complaint->text, "secret"));
    complaints_init(&complaints, arena);
    option_preset(&notify_option_table, &options);
    options.slack_severities = "none";
    options.email_api_key = "SG.key";
    notify_check(&options, &complaints);
    assert_int_equal(complaints.count, 1);
    assert_false(notify_is_configured(&options, NOTIFY_EMAIL));
    arena_destroy(arena);
}

static void a_test_message_says_how_it_went(void **state)
{
    struct failure failure = {0};
    struct world world;

    (void)state;
    world_open(&world, NOTIFY_SLACK);
    stub_answer(world.stub, "200 OK", "", "ok");
    stub_answer(world.stub, "403 Forbidden", "", "invalid_token");
    assert_int_equal(notify_test(&world.options, "slack", &failure), STATUS_OK);
    assert_non_null(strstr(stub_request(world.stub, 0), "This is a test"));
    assert_int_equal(notify_test(&world.options, "email", &failure), STATUS_BROKEN);
    assert_string_equal(failure.text, "email: HTTP 403: invalid_token");
    assert_int_equal(notify_test(&world.options, "pigeon", &failure), STATUS_BROKEN);
    world.options.slack_webhook_url = NULL;
    assert_int_equal(notify_test(&world.options, "slack", &failure), STATUS_BROKEN);
    assert_non_null(strstr(failure.text, "SLACK_WEBHOOK_URL"));
    world_close(&world);
}

static void mail_goes_by_smtp_where_that_is_set(void **state)
{
    struct world world;
    struct stub *mail = stub_start_smtp();
    char url[60];

    (void)state;
    world_open(&world, NOTIFY_SLACK);
    snprintf(url, sizeof(url), "smtp://127.0.0.1:%u", stub_port(mail));
    world.options.smtp_url = url;
    world.options.email_from = "weir@example.org";
    notify_destroy(world.notify);
    open_channel(&world, NOTIFY_EMAIL);
    add_alert(&world, "a-1", SEVERITY_HIGH, ALERT_OPEN);
    assert_int_equal(offer(&world, 0), 1);
    assert_int_equal(stub_count(world.stub), 0);
    const char *talk = stub_request(mail, 0);
    assert_non_null(strstr(talk, "RCPT TO:<oncall@example.org>"));
    assert_non_null(strstr(talk, "\r\nSubject: [Weir] HIGH failed-auth-by-user acme\r\n"));
    assert_int_equal(told(&world, 0)->http_status, 250);
    world_close(&world);
    stub_stop(mail);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(severities_are_routed),
        cmocka_unit_test(a_sent_alert_is_told_of),
        cmocka_unit_test(failures_are_retried_and_nothing_is_lost),
        cmocka_unit_test(an_outage_opens_the_breaker),
        cmocka_unit_test(a_pause_is_kept_and_does_not_open_the_breaker),
        cmocka_unit_test(a_refusal_is_final_and_told),
        cmocka_unit_test(the_rate_is_kept),
        cmocka_unit_test(a_repeated_alert_is_told_once),
        cmocka_unit_test(what_is_too_old_is_not_told_but_recorded),
        cmocka_unit_test(settings_are_checked),
        cmocka_unit_test(a_test_message_says_how_it_went),
        cmocka_unit_test(mail_goes_by_smtp_where_that_is_set),
    };

    log_set(LOG_OFF, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
