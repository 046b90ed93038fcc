#ifndef BASE_LOG_H
#define BASE_LOG_H
/*
 * log.h - one line an occurrence, on standard error.
 *
 *   2026-11-21T09:12:07.123Z INFO  pipeline: partition 3 restored in 812 ms
 *
 * or, with log_format(LOG_JSON), one JSON object a line. The room comes first in
 * the text. Control characters in the text are escaped: a hostile key cannot
 * forge a line. Never pass a secret.
 *
 * Threads  any; a line is written whole
 */
enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_OFF };
enum log_format { LOG_TEXT, LOG_JSON };

void log_set(enum log_level least, enum log_format format);
void log_write(enum log_level level, const char *room, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define log_debug(room, ...) log_write(LOG_DEBUG, room, __VA_ARGS__)
#define log_info(room, ...) log_write(LOG_INFO, room, __VA_ARGS__)
#define log_warn(room, ...) log_write(LOG_WARN, room, __VA_ARGS__)
#define log_error(room, ...) log_write(LOG_ERROR, room, __VA_ARGS__)
#endif
