#include "sink/email.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/hash.h"
#include "base/json_writer.h"
#include "sink/alert_text.h"

/* Lines of quoted-printable (RFC 2045); bytes in an encoded word (RFC 2047), which makes 75
 * letters with its marks. */
enum { LINE_BYTES_MAX = 76, WORD_BYTES_MAX = 45, SUBJECT_BYTES_MAX = 200 };

static void put_text(struct byte_writer *out, const char *text)
{
    byte_put(out, text, strlen(text));
}

static void put_view(struct byte_writer *out, struct view text)
{
    byte_put(out, text.data, text.size);
}

static struct view finish(struct byte_writer *writer, struct arena *arena)
{
    struct view text = arena_copy(arena, byte_writer_view(writer));

    byte_writer_free(writer);
    return text;
}

/* ---- HTML and text ---- */

struct view email_html_escape(struct view text, struct arena *arena)
{
    struct byte_writer writer;

    byte_writer_init(&writer);
    for (uint32_t i = 0; i < text.size;) {
        uint32_t length = view_rune_size(text.data + i, text.size - i);
        unsigned char letter = (unsigned char)text.data[i];

        if (length == 0 ||
            (view_rune_is_control(text.data + i, length) && letter != '\n' && letter != '\t'))
            put_text(&writer, "\xEF\xBF\xBD");
        else if (letter == '&')
            put_text(&writer, "&amp;");
        else if (letter == '<')
            put_text(&writer, "&lt;");
        else if (letter == '>')
            put_text(&writer, "&gt;");
        else if (letter == '"')
            put_text(&writer, "&quot;");
        else if (letter == '\'')
            put_text(&writer, "&#39;");
        else
            byte_put(&writer, text.data + i, length);
        i += length > 0 ? length : 1;
    }
    return finish(&writer, arena);
}

/* One line: every control character is a space, and what is not UTF-8 a U+FFFD. */
static struct view one_line(struct view text, uint32_t bytes_max, struct arena *arena)
{
    struct byte_writer writer;

    byte_writer_init(&writer);
    for (uint32_t i = 0; i < text.size;) {
        uint32_t length = view_rune_size(text.data + i, text.size - i);

        if (writer.size + (length > 0 ? length : 3) > bytes_max)
            break;
        if (length == 0)
            put_text(&writer, "\xEF\xBF\xBD");
        else if (view_rune_is_control(text.data + i, length))
            byte_put_u8(&writer, ' ');
        else
            byte_put(&writer, text.data + i, length);
        i += length > 0 ? length : 1;
    }
    return finish(&writer, arena);
}

static struct view plain_body(const struct alert_text *text, struct arena *arena)
{
    struct byte_writer writer;

    byte_writer_init(&writer);
    put_view(&writer, one_line(text->title, UINT32_MAX, arena));
    put_text(&writer, "\r\n\r\n");
    put_view(&writer, one_line(text->message, UINT32_MAX, arena));
    put_text(&writer, "\r\n\r\n");
    for (uint32_t i = 0; i < text->fact_count; i++) {
        byte_print(&writer, "%-16s ", text->facts[i].label);
        put_view(&writer, one_line(text->facts[i].value, UINT32_MAX, arena));
        put_text(&writer, "\r\n");
    }
    return finish(&writer, arena);
}

static struct view html_body(const struct result *alert, const struct alert_text *text,
                             struct arena *arena)
{
    static const char *const colours[] = {"#3b82f6", "#d97706", "#dc2626"};
    struct byte_writer writer;

    byte_writer_init(&writer);
    byte_print(&writer,
               "<!DOCTYPE html>\r\n<html><body style=\"font-family:sans-serif\">\r\n"
               "<h2 style=\"color:%s\">",
               colours[alert->alert.severity]);
    put_view(&writer, email_html_escape(text->title, arena));
    put_text(&writer, "</h2>\r\n<p>");
    put_view(&writer, email_html_escape(text->message, arena));
    put_text(&writer, "</p>\r\n<table cellpadding=\"4\">\r\n");
    for (uint32_t i = 0; i < text->fact_count; i++) {
        put_text(&writer, "<tr><th align=\"left\">");
        put_view(&writer, email_html_escape(view_of(text->facts[i].label), arena));
        put_text(&writer, "</th><td>");
        put_view(&writer, email_html_escape(text->facts[i].value, arena));
        put_text(&writer, "</td></tr>\r\n");
    }
    put_text(&writer, "</table>\r\n</body></html>\r\n");
    return finish(&writer, arena);
}

static struct view subject_of(const struct result *alert, const struct alert_text *text,
                              struct arena *arena)
{
    struct byte_writer writer;

    byte_writer_init(&writer);
    put_text(&writer, "[Weir] ");
    put_view(&writer, text->title);
    if (!view_is_absent(alert->tenant_id)) {
        put_text(&writer, " ");
        put_view(&writer, alert->tenant_id);
    }
    if (alert->alert.status == ALERT_CLOSED)
        put_text(&writer, " (closed)");
    return one_line(finish(&writer, arena), SUBJECT_BYTES_MAX, arena);
}

/* ---- SendGrid ---- */

static void write_address(struct json_writer *json, const char *address)
{
    json_begin_object(json);
    json_name(json, "email");
    json_text(json, address);
    json_end_object(json);
}

static void write_content(struct json_writer *json, const char *type, struct view value)
{
    json_begin_object(json);
    json_name(json, "type");
    json_text(json, type);
    json_name(json, "value");
    json_view(json, value);
    json_end_object(json);
}

void email_write_sendgrid(const struct result *alert, const struct email_address *address,
                          struct arena *arena, struct byte_writer *out)
{
    struct json_writer json = json_writer_on(out);
    struct alert_text text;

    alert_describe(alert, arena, &text);
    json_begin_object(&json);
    json_name(&json, "personalizations");
    json_begin_array(&json);
    json_begin_object(&json);
    json_name(&json, "to");
    json_begin_array(&json);
    for (const char *const *to = address->recipients; *to != NULL; to++)
        write_address(&json, *to);
    json_end_array(&json);
    json_name(&json, "custom_args");
    json_begin_object(&json);
    json_name(&json, "alert_id");
    json_view(&json, one_line(alert->id, UINT32_MAX, arena));
    json_end_object(&json);
    json_end_object(&json);
    json_end_array(&json);
    json_name(&json, "from");
    write_address(&json, address->from);
    json_name(&json, "subject");
    json_view(&json, subject_of(alert, &text, arena));
    json_name(&json, "content");
    json_begin_array(&json);
    write_content(&json, "text/plain", plain_body(&text, arena));
    write_content(&json, "text/html", html_body(alert, &text, arena));
    json_end_array(&json);
    json_end_object(&json);
}

/* ---- SMTP ---- */

static void put_base64(struct byte_writer *out, const char *data, size_t size)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t bits = (uint32_t)(unsigned char)data[i] << 16;

        if (left > 1)
            bits |= (uint32_t)(unsigned char)data[i + 1] << 8;
        if (left > 2)
            bits |= (unsigned char)data[i + 2];
        byte_put_u8(out, (uint8_t)letters[bits >> 18]);
        byte_put_u8(out, (uint8_t)letters[(bits >> 12) & 63]);
        byte_put_u8(out, left > 1 ? (uint8_t)letters[(bits >> 6) & 63] : '=');
        byte_put_u8(out, left > 2 ? (uint8_t)letters[bits & 63] : '=');
    }
}

static bool is_plain_ascii(struct view text)
{
    for (uint32_t i = 0; i < text.size; i++)
        if ((unsigned char)text.data[i] < ' ' || (unsigned char)text.data[i] > '~')
            return false;
    return true;
}

/* As encoded words, each whole characters of at most WORD_BYTES_MAX bytes, one a line. */
static void put_words(struct byte_writer *out, struct view text)
{
    uint32_t from = 0;

    while (from < text.size) {
        uint32_t size = 0;

        for (;;) {
            uint32_t length = view_rune_size(text.data + from + size, text.size - from - size);

            if (length == 0 || size + length > WORD_BYTES_MAX)
                break;
            size += length;
        }
        put_text(out, from > 0 ? "\r\n =?UTF-8?B?" : "=?UTF-8?B?");
        put_base64(out, text.data + from, size);
        put_text(out, "?=");
        from += size;
    }
}

void email_put_header(struct byte_writer *out, const char *name, struct view value)
{
    struct arena *arena = arena_create(1024);
    struct view line = one_line(value, SUBJECT_BYTES_MAX, arena);

    byte_print(out, "%s: ", name);
    if (is_plain_ascii(line) && view_contains(line, VIEW_LITERAL("=?")) == false &&
        line.size + strlen(name) + 2 <= 78)
        put_view(out, line);
    else
        put_words(out, line);
    put_text(out, "\r\n");
    arena_destroy(arena);
}

struct view email_message_id(const struct result *alert, struct arena *arena)
{
    uint64_t high = hash_view(alert->id, 1);
    uint64_t low = hash_mix(hash_view(alert->id, 2), (uint64_t)alert->alert.status);

    return view_of(
        arena_print(arena, "<%016" PRIx64 "%016" PRIx64 ".alert@weir.invalid>", high, low));
}

static void put_date(struct byte_writer *out, int64_t now_ms)
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm parts = {0};

    gmtime_r(&seconds, &parts);
    byte_print(out, "Date: %s, %02d %s %04d %02d:%02d:%02d +0000\r\n", days[parts.tm_wday],
               parts.tm_mday, months[parts.tm_mon], parts.tm_year + 1900, parts.tm_hour,
               parts.tm_min, parts.tm_sec);
}

/* Quoted-printable (RFC 2045, 6.7): readable as it stands, and pure ASCII in short lines
 * whatever the text. */
static void put_quoted(struct byte_writer *out, struct view body)
{
    uint32_t column = 0;

    for (uint32_t i = 0; i < body.size; i++) {
        unsigned char letter = (unsigned char)body.data[i];
        bool is_line_end = letter == '\r' && i + 1 < body.size && body.data[i + 1] == '\n';
        bool is_before_end = i + 1 == body.size || body.data[i + 1] == '\r';
        bool is_blank = letter == ' ' || letter == '\t';

        if (is_line_end) {
            put_text(out, "\r\n");
            column = 0;
            i++;
            continue;
        }
        if (column > LINE_BYTES_MAX - 4) {
            put_text(out, "=\r\n");
            column = 0;
        }
        if ((letter > ' ' && letter <= '~' && letter != '=') || (is_blank && !is_before_end)) {
            byte_put_u8(out, letter);
            column++;
        } else {
            byte_print(out, "=%02X", letter);
            column += 3;
        }
    }
    put_text(out, "\r\n");
}

static void put_part(struct byte_writer *out, const char *boundary, const char *type,
                     struct view body)
{
    byte_print(out,
               "--%s\r\nContent-Type: %s; charset=utf-8\r\n"
               "Content-Transfer-Encoding: quoted-printable\r\n\r\n",
               boundary, type);
    put_quoted(out, body);
}

static void put_recipients(struct byte_writer *out, const struct email_address *address)
{
    put_text(out, "To: ");
    for (const char *const *to = address->recipients; *to != NULL; to++)
        byte_print(out, "%s%s", to != address->recipients ? ",\r\n " : "", *to);
    put_text(out, "\r\n");
}

void email_write_message(const struct result *alert, const struct email_address *address,
                         int64_t now_ms, struct arena *arena, struct byte_writer *out)
{
    struct alert_text text;
    const char *boundary =
        arena_print(arena, "=_weir_%016" PRIx64, hash_view(alert->id, (uint64_t)now_ms));

    alert_describe(alert, arena, &text);
    byte_print(out, "From: %s\r\n", address->from);
    put_recipients(out, address);
    email_put_header(out, "Subject", subject_of(alert, &text, arena));
    put_date(out, now_ms);
    byte_print(out, "Message-ID: %s\r\n", email_message_id(alert, arena).data);
    email_put_header(out, "X-Weir-Alert-Id", alert->id);
    byte_print(out,
               "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
               "Content-Type: multipart/alternative; boundary=\"%s\"\r\n\r\n",
               boundary);
    put_part(out, boundary, "text/plain", plain_body(&text, arena));
    put_part(out, boundary, "text/html", html_body(alert, &text, arena));
    byte_print(out, "--%s--\r\n", boundary);
}
