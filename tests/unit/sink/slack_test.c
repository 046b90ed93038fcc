#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>

#include "sink/slack.h"
#include "unit/sink/alert.h"

struct message {
    struct arena *arena;
    struct byte_writer out;
    json_t *root;
};

static void write_message(struct message *message, const struct result *alert)
{
    json_error_t error;

    message->arena = arena_create(4096);
    byte_writer_init(&message->out);
    slack_write(alert, message->arena, &message->out);
    message->root = json_loadb(message->out.data, message->out.size, 0, &error);
    if (message->root == NULL)
        fail_msg("not JSON: %s", error.text);
}

static void free_message(struct message *message)
{
    json_decref(message->root);
    byte_writer_free(&message->out);
    arena_destroy(message->arena);
}

static size_t count_chars(const char *text)
{
    size_t chars = 0;

    for (; *text != '\0'; text++)
        chars += ((unsigned char)*text & 0xC0) != 0x80;
    return chars;
}

/* What Slack would answer 400 to. */
static void check_limits(json_t *root)
{
    json_t *blocks = json_object_get(root, "blocks");
    json_t *block, *field;
    size_t i, k;

    assert_in_range(json_array_size(blocks), 1, 50);
    json_array_foreach(blocks, i, block)
    {
        const char *type = json_string_value(json_object_get(block, "type"));
        json_t *text = json_object_get(block, "text");
        size_t most = strcmp(type, "header") == 0 ? 150 : 3000;

        if (text != NULL) {
            const char *words = json_string_value(json_object_get(text, "text"));
            assert_in_range(count_chars(words), 1, most);
        }
        assert_true(json_array_size(json_object_get(block, "fields")) <= 10);
        json_array_foreach(json_object_get(block, "fields"), k, field)
        {
            const char *words = json_string_value(json_object_get(field, "text"));
            assert_in_range(count_chars(words), 1, 2000);
        }
    }
}

static void says_what_happened(void **state)
{
    struct result alert = make_alert("a-1", SEVERITY_HIGH, ALERT_OPEN);
    struct message message;

    (void)state;
    write_message(&message, &alert);
    check_limits(message.root);
    const char *fallback = json_string_value(json_object_get(message.root, "text"));
    assert_non_null(strstr(fallback, "HIGH failed-auth-by-user"));
    const char *all = message.out.data;
    byte_put_u8(&message.out, 0);
    all = message.out.data;
    assert_non_null(strstr(all, "*Tenant*\\nacme"));
    assert_non_null(strstr(all, "*Severity*\\nhigh"));
    assert_non_null(strstr(all, "*user_id*\\nmallory"));
    assert_non_null(strstr(all, "*Opened*\\n2023-11-14 22:13:24.000 UTC"));
    assert_non_null(strstr(all, "*Window*\\n5 min"));
    assert_non_null(strstr(all, "*Evidence*\\ne-1, e-2"));
    assert_non_null(strstr(all, "*Alert*\\na-1"));
    free_message(&message);
}

static void markup_is_escaped(void **state)
{
    struct result alert = make_alert("<!channel>", SEVERITY_LOW, ALERT_CLOSED);
    struct message message;

    (void)state;
    alert.tenant_id =
        VIEW_LITERAL("<https://evil.example|click> & co\n*Severity*\xE2\x80\xAE\nlow");
    alert.alert.message = VIEW_LITERAL("a<b>&\"\\\n\x01\xFF end");
    write_message(&message, &alert);
    check_limits(message.root);
    byte_put_u8(&message.out, 0);
    assert_null(strchr(message.out.data, '<'));
    assert_null(strchr(message.out.data, '>'));
    assert_non_null(strstr(message.out.data, "&lt;!channel&gt;"));
    assert_non_null(strstr(message.out.data, "*Tenant*\\n&lt;https://evil.example|click&gt; &amp; "
                                             "co *Severity*  low\""));
    assert_non_null(strstr(message.out.data, "\"verbatim\":true"));
    assert_non_null(strstr(message.out.data, "(closed)"));
    free_message(&message);
}

static void long_texts_are_cut(void **state)
{
    enum { LONG = 60000 };
    struct result alert = make_alert("a-1", SEVERITY_MEDIUM, ALERT_OPEN);
    char *long_text = malloc(LONG);
    struct pair group[40];
    struct view evidence[5];
    struct message message;

    (void)state;
    for (int i = 0; i < LONG; i += 4)
        memcpy(long_text + i, i % 3 == 0 ? "&<>&" : "\xF0\x9F\x94\xB4", 4);
    for (int i = 0; i < 40; i++)
        group[i] = (struct pair){{long_text, LONG}, {long_text, LONG}};
    for (int i = 0; i < 5; i++)
        evidence[i] = (struct view){long_text, 256};
    alert.alert.type = alert.alert.message = alert.tenant_id = (struct view){long_text, LONG};
    alert.alert.group = (struct pair_list){group, 40};
    alert.alert.evidence = (struct view_list){evidence, 5};
    write_message(&message, &alert);
    check_limits(message.root);
    free_message(&message);
    free(long_text);
}

static void a_cut_is_never_inside_an_escape(void **state)
{
    struct arena *arena = arena_create(4096);
    struct view text = VIEW_LITERAL("ab&<\xC3\xA9\xC3\xA9");

    (void)state;
    assert_true(view_is_text(slack_escape(text, 13, arena), "ab&amp;&lt;\xC3\xA9\xC3\xA9"));
    assert_true(view_is_text(slack_escape(text, 12, arena), "ab&amp;&lt;…"));
    assert_true(view_is_text(slack_escape(text, 11, arena), "ab&amp;…"));
    assert_true(view_is_text(slack_escape(text, 7, arena), "ab…"));
    assert_true(view_is_text(slack_escape(text, 2, arena), "a…"));
    assert_true(view_is_text(slack_escape(VIEW_LITERAL(""), 2, arena), ""));
    arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_happened),
        cmocka_unit_test(markup_is_escaped),
        cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(a_cut_is_never_inside_an_escape),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
