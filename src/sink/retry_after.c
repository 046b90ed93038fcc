#include "sink/retry_after.h"

#include <curl/curl.h>
#include <stdio.h>
#include <strings.h>

#include "base/tree.h"

enum { DATE_BYTES_MAX = 64 };

static bool take_name(struct view *line, const char *name)
{
    size_t size = strlen(name);

    if (line->size <= size || strncasecmp(line->data, name, size) != 0 || line->data[size] != ':')
        return false;
    line->data += size + 1;
    line->size -= (uint32_t)size + 1;
    return true;
}

static struct view trim(struct view text)
{
    while (text.size > 0 && strchr(" \t", text.data[0]) != NULL && text.data[0] != '\0') {
        text.data++;
        text.size--;
    }
    while (text.size > 0 && strchr(" \t\r\n", text.data[text.size - 1]) != NULL &&
           text.data[text.size - 1] != '\0')
        text.size--;
    return text;
}

static int64_t bound_wait(int64_t wait_ms)
{
    if (wait_ms < 0)
        return 0;
    return wait_ms < RETRY_AFTER_MOST_MS ? wait_ms : RETRY_AFTER_MOST_MS;
}

static int64_t bound_seconds(int64_t seconds)
{
    return seconds > RETRY_AFTER_MOST_MS / 1000 ? RETRY_AFTER_MOST_MS : bound_wait(seconds * 1000);
}

static int64_t wait_until_date(struct view text, int64_t now_wall_ms)
{
    char date[DATE_BYTES_MAX];
    int64_t at_s;

    if (text.size >= sizeof(date) || memchr(text.data, '\0', text.size) != NULL)
        return -1;
    snprintf(date, sizeof(date), "%.*s", VIEW_PRINT(text));
    at_s = (int64_t)curl_getdate(date, NULL);
    return at_s < 0 ? -1 : bound_seconds(at_s - now_wall_ms / 1000);
}

int64_t retry_after_read(struct view line, int64_t now_wall_ms)
{
    int64_t seconds;

    if (take_name(&line, "Retry-After")) {
        line = trim(line);
        if (text_int(line, &seconds))
            return seconds < 0 ? -1 : bound_seconds(seconds);
        return wait_until_date(line, now_wall_ms);
    }
    if (take_name(&line, "X-RateLimit-Reset") && text_int(trim(line), &seconds) && seconds >= 0)
        return bound_seconds(seconds - now_wall_ms / 1000);
    return -1;
}
