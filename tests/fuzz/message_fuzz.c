/*
 * An alert whose texts are any bytes, as Slack, SendGrid, a mail server and PostgreSQL get it:
 * valid JSON, no markup of its own, no header of its own, no array broken open.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "sink/email.h"
#include "sink/postgres_text.h"
#include "sink/slack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int is_true)
{
    if (!is_true)
        abort();
}

static void check_json(const struct byte_writer *out)
{
    json_t *root = json_loadb(out->data, out->size, 0, NULL);

    require(root != NULL);
    json_decref(root);
}

static void check_head(struct byte_writer *out)
{
    int lines = 0;

    byte_put_u8(out, 0);
    char *end = strstr(out->data, "\r\n\r\n");
    require(end != NULL);
    *end = '\0';
    for (const char *at = out->data; *at != '\0'; at++) {
        require((*at >= ' ' && *at <= '~') || (*at == '\r' && at[1] == '\n') || *at == '\n');
        lines += *at == '\n' && at[1] != ' ';
    }
    /* From, To, Subject, Date, Message-ID, alert, Auto-Submitted, MIME, Content-Type. */
    require(lines == 8);
}

/* Back out of the array: one element, quotes and backslashes in pairs. */
static void check_array(struct view text)
{
    struct byte_writer out;
    size_t i = 2;

    byte_writer_init(&out);
    array_begin(&out);
    array_put_text(&out, text, UINT32_MAX);
    array_end(&out);
    require(strlen(out.data) == out.size);
    require(view_is_utf8(byte_writer_view(&out)));
    require(memcmp(out.data, "{\"", 2) == 0);
    for (; out.data[i] != '"'; i++)
        if (out.data[i] == '\\')
            i++;
    require(strcmp(out.data + i, "\"}") == 0);
    byte_writer_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const recipients[] = {"a@example.org", NULL};
    const struct email_address address = {"weir@example.org", recipients};
    struct arena *arena = arena_create(4096);
    struct byte_writer out;
    struct view parts[5];
    struct pair group;

    for (size_t i = 0; i < 5; i++) {
        size_t from = size * i / 5, to = size * (i + 1) / 5;
        parts[i] = (struct view){(const char *)data + from, (uint32_t)(to - from)};
        if (parts[i].data == NULL)
            parts[i] = VIEW_LITERAL("");
    }
    group = (struct pair){parts[3], parts[4]};
    struct result alert = {
        .kind = RESULT_ALERT,
        .id = parts[0],
        .tenant_id = parts[1],
        .alert = {.type = parts[2], .message = parts[3], .group = {&group, 1}},
    };
    result_mark(&alert, NULL);

    byte_writer_init(&out);
    slack_write(&alert, arena, &out);
    check_json(&out);
    require(memchr(out.data, '<', out.size) == NULL);
    byte_writer_reset(&out);
    email_write_sendgrid(&alert, &address, arena, &out);
    check_json(&out);
    byte_writer_reset(&out);
    email_write_message(&alert, &address, 0, arena, &out);
    check_head(&out);
    for (size_t i = 0; i < 5; i++)
        check_array(parts[i]);
    byte_writer_free(&out);
    arena_destroy(arena);
    return 0;
}
