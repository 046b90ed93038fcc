#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/json_writer.h"

enum { TEXT_MAX = 4096 };

static atomic_int level_least = LOG_INFO;
static atomic_int line_format = LOG_TEXT;

/* One line is built at a time, in a buffer that grows once and is kept. */
static pthread_mutex_t line_lock = PTHREAD_MUTEX_INITIALIZER;
static struct byte_writer line;

static const char *const level_texts[] = {"DEBUG", "INFO ", "WARN ", "ERROR", "OFF  "};
static const char *const level_names[] = {"debug", "info", "warn", "error", "off"};

void log_set(enum log_level least, enum log_format format)
{
    atomic_store(&level_least, (int)least);
    atomic_store(&line_format, (int)format);
}

static uint32_t rune_of(const unsigned char *at, uint32_t size)
{
    if (size == 2)
        return (at[0] & 0x1FU) << 6 | (at[1] & 0x3FU);
    return (at[0] & 0x0FU) << 12 | (at[1] & 0x3FU) << 6 | (at[2] & 0x3FU);
}

/* Control characters and broken UTF-8. */
static void put_escaped(struct byte_writer *out, const char *text)
{
    const char *end = text + strlen(text);

    while (text < end) {
        unsigned char byte = (unsigned char)*text;
        uint32_t length = view_rune_size(text, (size_t)(end - text));
        bool is_control = view_rune_is_control(text, length);
        if (length == 0 || (is_control && length == 1)) {
            byte_print(out, "\\x%02x", byte);
            text++;
        } else if (is_control) {
            byte_print(out, "\\u%04x", rune_of((const unsigned char *)text, length));
            text += length;
        } else {
            byte_put(out, text, length);
            text += length;
        }
    }
}

static void put_time(struct byte_writer *out)
{
    int64_t now_ms = clock_wall_ms(clock_system());
    time_t now_s = (time_t)(now_ms / 1000);
    struct tm parts;

    gmtime_r(&now_s, &parts);
    byte_print(out, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", parts.tm_year + 1900, parts.tm_mon + 1,
               parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, (int)(now_ms % 1000));
}

static void build_text_line(enum log_level level, const char *room, const char *text)
{
    put_time(&line);
    byte_print(&line, " %s %s: ", level_texts[level], room);
    put_escaped(&line, text);
}

static void build_json_line(enum log_level level, const char *room, const char *text)
{
    struct json_writer json = json_writer_on(&line);

    byte_print(&line, "{\"time\":\"");
    put_time(&line);
    byte_print(&line, "\",");
    json_name(&json, "level");
    json_text(&json, level_names[level]);
    json_name(&json, "room");
    json_text(&json, room);
    json_name(&json, "text");
    json_text(&json, text);
    json_end_object(&json);
}

void log_write(enum log_level level, const char *room, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list arguments;

    if ((int)level < atomic_load_explicit(&level_least, memory_order_relaxed))
        return;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length < 0)
        text[0] = '\0';

    pthread_mutex_lock(&line_lock);
    byte_writer_reset(&line);
    if (atomic_load(&line_format) == LOG_JSON)
        build_json_line(level, room, text);
    else
        build_text_line(level, room, text);
    byte_put_u8(&line, '\n');
    /* Nobody is left to hear that standard error does not take the line. */
    ssize_t written = write(STDERR_FILENO, line.data, line.size);
    (void)written;
    pthread_mutex_unlock(&line_lock);
}
