#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>

#include "sink/email.h"
#include "unit/sink/alert.h"

static const char *const recipients[] = {"ops@example.org", "oncall@example.org", NULL};
static const struct email_address address = {"weir@example.org", recipients};

enum { NOW_MS_PART = 784111777 };

static char *message_of(const struct result *alert)
{
    struct arena *arena = arena_create(4096);
    struct byte_writer out;

    byte_writer_init(&out);
    email_write_message(alert, &address, (int64_t)NOW_MS_PART * 1000, arena, &out);
    byte_put_u8(&out, 0);
    arena_destroy(arena);
    return out.data;
}

/* Every line is short ASCII that ends in CR LF, and the head has each header once. */
static void check_form(const char *message)
{
    static const char *const names[] = {"From: ",         "To: ",          "Subject: ",
                                        "Date: ",         "Message-ID: ",  "X-Weir-Alert-Id: ",
                                        "MIME-Version: ", "Content-Type: "};
    const char *body = strstr(message, "\r\n\r\n");
    int counts[8] = {0};
    int others = 0;

    assert_non_null(body);
    for (const char *line = message; *line != '\0';) {
        const char *end = strchr(line, '\n');

        assert_non_null(end);
        assert_true(end > line && end[-1] == '\r');
        assert_true(end - line <= 998);
        for (const char *at = line; at < end - 1; at++)
            assert_true((*at >= ' ' && *at <= '~') || *at == '\t');
        if (line < body && *line != ' ') {
            int known = 0;

            for (int i = 0; i < 8; i++) {
                bool is_it = strncmp(line, names[i], strlen(names[i])) == 0;

                counts[i] += is_it;
                known += is_it;
            }
            others += !known;
        }
        line = end + 1;
    }
    for (int i = 0; i < 8; i++)
        assert_int_equal(counts[i], 1);
    assert_int_equal(others, 1); /* Auto-Submitted */
}

static void a_message_has_both_forms(void **state)
{
    struct result alert = make_alert("a-1", SEVERITY_HIGH, ALERT_OPEN);
    char *message = message_of(&alert);

    (void)state;
    check_form(message);
    assert_non_null(strstr(message, "Subject: [Weir] HIGH failed-auth-by-user acme\r\n"));
    assert_non_null(strstr(message, "Date: Sun, 06 Nov 1994 08:49:37 +0000\r\n"));
    assert_non_null(strstr(message, "To: ops@example.org,\r\n oncall@example.org\r\n"));
    assert_non_null(strstr(message, "Content-Type: text/plain; charset=utf-8\r\n"));
    assert_non_null(strstr(message, "Content-Type: text/html; charset=utf-8\r\n"));
    assert_non_null(strstr(message, "user_id          mallory\r\n"));
    assert_non_null(strstr(message, "<td>mallory</td>"));
    free(message);
}

static void values_cannot_add_headers_or_markup(void **state)
{
    struct result alert =
        make_alert("a\r\nBcc: victim@example.org\r\n\r\nbody", SEVERITY_HIGH, ALERT_OPEN);
    char *message;

    (void)state;
    alert.tenant_id = VIEW_LITERAL("acme\r\nBcc: victim@example.org\n.\r\nQUIT");
    alert.alert.type = VIEW_LITERAL("<script>alert(1)</script>");
    alert.alert.message = VIEW_LITERAL("<img src=x onerror=\"alert('1')\"> & more");
    message = message_of(&alert);
    check_form(message);
    assert_null(strstr(message, "\nBcc:"));
    const char *html = strstr(message, "text/html");
    assert_null(strstr(html, "<script"));
    assert_null(strstr(html, "<img"));
    assert_non_null(strstr(html, "&lt;script&gt;"));
    free(message);
}

static void other_scripts_are_encoded(void **state)
{
    struct result alert = make_alert("a-1", SEVERITY_HIGH, ALERT_OPEN);
    char *message;

    (void)state;
    alert.tenant_id = VIEW_LITERAL("Größe und Maß, Größe und Maß, Größe und Maß, Größe und Maß");
    alert.alert.message = VIEW_LITERAL("a line \xFF of a = sign, very long: "
                                       "0123456789012345678901234567890123456789012345678901234567"
                                       "89 ends with blanks   ");
    message = message_of(&alert);
    check_form(message);
    assert_non_null(strstr(message, "Subject: =?UTF-8?B?"));
    assert_non_null(strstr(message, "?=\r\n =?UTF-8?B?"));
    assert_non_null(strstr(message, "=3D sign"));
    /* The base64 of the first word, whole characters only. */
    assert_non_null(strstr(message, "=?UTF-8?B?W1dlaXJdIEhJR0ggZmFpbGVkLWF1dGgtYnktdXNlciBHcsO2"));
    free(message);
}

static void the_same_alert_is_the_same_message(void **state)
{
    struct arena *arena = arena_create(1024);
    struct result open = make_alert("a-1", SEVERITY_HIGH, ALERT_OPEN);
    struct result closed = make_alert("a-1", SEVERITY_HIGH, ALERT_CLOSED);
    struct result other = make_alert("a-2", SEVERITY_HIGH, ALERT_OPEN);

    (void)state;
    struct view id = email_message_id(&open, arena);
    open.alert.count = 99;
    assert_true(view_is_equal(id, email_message_id(&open, arena)));
    assert_false(view_is_equal(id, email_message_id(&closed, arena)));
    assert_false(view_is_equal(id, email_message_id(&other, arena)));
    assert_true(view_has_prefix(id, VIEW_LITERAL("<")));
    assert_true(view_has_suffix(id, VIEW_LITERAL(".alert@weir.invalid>")));
    arena_destroy(arena);
}

static void sendgrid_gets_its_fields(void **state)
{
    struct result alert = make_alert("a-1", SEVERITY_HIGH, ALERT_OPEN);
    struct arena *arena = arena_create(4096);
    struct byte_writer out;
    const char *to, *from, *subject, *id, *type, *html;
    json_error_t error;

    (void)state;
    alert.tenant_id = VIEW_LITERAL("<b>acme</b>\r\xE2\x80\xAE\"");
    byte_writer_init(&out);
    email_write_sendgrid(&alert, &address, arena, &out);
    json_t *root = json_loadb(out.data, out.size, 0, &error);
    assert_non_null(root);
    assert_int_equal(json_unpack(root,
                                 "{s:[{s:[{s:s},{s:s}],s:{s:s}}],s:{s:s},s:s,s:[{s:s},{s:s,s:s}]}",
                                 "personalizations", "to", "email", &to, "email", &from,
                                 "custom_args", "alert_id", &id, "from", "email", &from, "subject",
                                 &subject, "content", "type", &type, "type", &type, "value", &html),
                     0);
    assert_string_equal(to, "ops@example.org");
    assert_string_equal(from, "weir@example.org");
    assert_string_equal(id, "a-1");
    assert_string_equal(subject, "[Weir] HIGH failed-auth-by-user <b>acme</b>  \"");
    assert_string_equal(type, "text/html");
    assert_null(strstr(html, "<b>"));
    assert_null(strstr(html, "\xE2\x80\xAE"));
    assert_non_null(strstr(html, "&lt;b&gt;acme&lt;/b&gt;"));
    json_decref(root);
    byte_writer_free(&out);
    arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_has_both_forms),
        cmocka_unit_test(values_cannot_add_headers_or_markup),
        cmocka_unit_test(other_scripts_are_encoded),
        cmocka_unit_test(the_same_alert_is_the_same_message),
        cmocka_unit_test(sendgrid_gets_its_fields),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
