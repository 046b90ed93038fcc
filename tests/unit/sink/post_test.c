#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sink/post.h"
#include "unit/sink/stub.h"

static struct post_request request_to(struct stub *stub, char *url, size_t bytes)
{
    static const char *const headers[] = {"Content-Type: application/json", NULL};

    snprintf(url, bytes, "http://127.0.0.1:%u/services/T/B/secret", stub_port(stub));
    return (struct post_request){
        .url = url, .body = VIEW_LITERAL("{\"a\":1}"), .timeout_ms = 5000, .headers = headers};
}

static void answers_are_judged(void **state)
{
    static const struct {
        const char *status;
        enum post_outcome outcome;
    } cases[] = {
        {"200 OK", POST_SENT},
        {"202 Accepted", POST_SENT},
        {"302 Found", POST_REFUSED},
        {"400 Bad Request", POST_REFUSED},
        {"403 Forbidden", POST_REFUSED},
        {"404 Not Found", POST_REFUSED},
        {"408 Request Timeout", POST_RETRY},
        {"413 Payload Too Large", POST_REFUSED},
        {"429 Too Many Requests", POST_THROTTLED},
        {"500 Internal Server Error", POST_RETRY},
        {"503 Service Unavailable", POST_RETRY},
    };
    enum { CASES = sizeof(cases) / sizeof(cases[0]) };
    struct stub *stub = stub_start_http();
    struct post *post = post_create(clock_system());
    struct post_reply reply;
    char url[100];
    struct post_request request = request_to(stub, url, sizeof(url));

    (void)state;
    for (int i = 0; i < CASES; i++)
        stub_answer(stub, cases[i].status, "Location: /elsewhere\r\n", "in\x01valid \xFF text");
    for (int i = 0; i < CASES; i++) {
        assert_int_equal(post_http(post, &request, &reply), cases[i].outcome);
        assert_int_equal(reply.code, atoi(cases[i].status));
        assert_true(view_is_utf8(view_of(reply.text)));
        if (cases[i].outcome != POST_SENT)
            assert_non_null(strstr(reply.text, "in valid   text"));
        assert_null(strstr(reply.text, "secret"));
    }
    /* One request each: a redirect is not followed. */
    assert_int_equal(stub_count(stub), CASES);
    const char *first = stub_request(stub, 0);
    assert_true(strncmp(first, "POST /services/T/B/secret HTTP/1.1\r\n", 36) == 0);
    assert_non_null(strstr(first, "\r\nContent-Type: application/json\r\n"));
    assert_non_null(strstr(first, "\r\n\r\n{\"a\":1}"));
    post_destroy(post);
    stub_stop(stub);
}

static void a_pause_that_is_asked_for_is_told(void **state)
{
    struct stub *stub = stub_start_http();
    struct post *post = post_create(clock_system());
    struct post_reply reply;
    char url[100];
    struct post_request request = request_to(stub, url, sizeof(url));

    (void)state;
    stub_answer(stub, "429 Too Many", "Retry-After: 7\r\nX-RateLimit-Reset: 5\r\n", "");
    stub_answer(stub, "200 OK", "", "ok");
    assert_int_equal(post_http(post, &request, &reply), POST_THROTTLED);
    assert_int_equal(reply.retry_after_ms, 7000);
    assert_int_equal(post_http(post, &request, &reply), POST_SENT);
    assert_int_equal(reply.retry_after_ms, -1);
    assert_string_equal(reply.text, "");
    post_destroy(post);
    stub_stop(stub);
}

static void silence_ends_at_the_time_limit(void **state)
{
    struct stub *stub = stub_start_http();
    struct post *post = post_create(clock_system());
    int64_t start_ms = clock_monotonic_ms(clock_system());
    struct post_reply reply;
    char url[100];
    struct post_request request = request_to(stub, url, sizeof(url));

    (void)state;
    stub_answer(stub, NULL, "", "");
    request.timeout_ms = 200;
    assert_int_equal(post_http(post, &request, &reply), POST_RETRY);
    assert_int_equal(reply.code, 0);
    assert_non_null(strstr(reply.text, "no answer"));
    assert_in_range(clock_monotonic_ms(clock_system()) - start_ms, 190, 5000);
    post_destroy(post);
    stub_stop(stub);
}

static void nobody_there_is_tried_again(void **state)
{
    struct stub *stub = stub_start_http();
    struct post *post = post_create(clock_system());
    struct post_reply reply;
    char url[100];
    struct post_request request = request_to(stub, url, sizeof(url));

    (void)state;
    stub_stop(stub);
    assert_int_equal(post_http(post, &request, &reply), POST_RETRY);
    assert_int_equal(reply.code, 0);
    /* Files and the like are no destinations. */
    request.url = "file:///etc/passwd";
    assert_int_equal(post_http(post, &request, &reply), POST_RETRY);
    post_destroy(post);
}

static void mail_is_judged_by_its_codes(void **state)
{
    static const struct {
        const char *to_recipient, *to_data;
        enum post_outcome outcome;
        int64_t code;
    } cases[] = {
        {"250 ok", "250 queued", POST_SENT, 250},
        {"250 ok", "451 later", POST_RETRY, 451},
        {"250 ok", "554 spam", POST_REFUSED, 554},
        {"550 no such user", "250 ok", POST_REFUSED, 550},
        {"450 mailbox busy", "250 ok", POST_RETRY, 450},
    };
    static const char *const recipients[] = {"a@example.org", "b@example.org", NULL};
    char url[60];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct stub *stub = stub_start_smtp();
        struct post *post = post_create(clock_system());
        struct post_reply reply;

        snprintf(url, sizeof(url), "smtp://127.0.0.1:%u", stub_port(stub));
        stub_answer_mail(stub, cases[i].to_recipient, cases[i].to_data);
        struct post_request request = {
            .url = url,
            .body = VIEW_LITERAL("Subject: x\r\n\r\n.a line\r\n.\r\nthe end\r\n"),
            .timeout_ms = 5000,
            .from = "weir@example.org",
            .recipients = recipients,
            .tls = POST_TLS_OFFERED,
        };
        assert_int_equal(post_mail(post, &request, &reply), cases[i].outcome);
        assert_int_equal(reply.code, cases[i].code);
        if (cases[i].outcome == POST_SENT) {
            const char *talk = stub_request(stub, 0);

            assert_non_null(strstr(talk, "MAIL FROM:<weir@example.org>"));
            assert_non_null(strstr(talk, "RCPT TO:<a@example.org>"));
            assert_non_null(strstr(talk, "RCPT TO:<b@example.org>"));
            /* A dot at the beginning of a line does not end the mail. */
            assert_non_null(strstr(talk, "\r\n..a line\r\n..\r\nthe end\r\n."));
        }
        post_destroy(post);
        stub_stop(stub);
    }
}

static void encryption_that_must_be_is_never_given_up(void **state)
{
    static const char *const recipients[] = {"a@example.org", NULL};
    struct stub *stub = stub_start_smtp();
    struct post *post = post_create(clock_system());
    struct post_reply reply;
    char url[60];

    (void)state;
    snprintf(url, sizeof(url), "smtp://127.0.0.1:%u", stub_port(stub));
    struct post_request request = {
        .url = url,
        .body = VIEW_LITERAL("Subject: x\r\n\r\nx\r\n"),
        .timeout_ms = 5000,
        .from = "weir@example.org",
        .recipients = recipients,
        .user = "weir",
        .password = "pass-word",
        .tls = POST_TLS_REQUIRED,
    };
    assert_int_equal(post_mail(post, &request, &reply), POST_RETRY);
    assert_int_equal(stub_count(stub), 0);
    assert_null(strstr(reply.text, "pass-word"));
    post_destroy(post);
    stub_stop(stub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_judged),
        cmocka_unit_test(a_pause_that_is_asked_for_is_told),
        cmocka_unit_test(silence_ends_at_the_time_limit),
        cmocka_unit_test(nobody_there_is_tried_again),
        cmocka_unit_test(mail_is_judged_by_its_codes),
        cmocka_unit_test(encryption_that_must_be_is_never_given_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
