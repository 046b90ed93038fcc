#include "base/status.h"

#include <assert.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

enum status failure_set(struct failure *failure, enum remedy remedy, const char *format, ...)
{
    va_list arguments;

    if (failure == NULL)
        return STATUS_BROKEN;
    failure->remedy = remedy;
    va_start(arguments, format);
    int length = vsnprintf(failure->text, sizeof failure->text, format, arguments);
    va_end(arguments);
    if (length < 0)
        failure->text[0] = '\0';
    /* Libraries end their messages with a newline, and servers send several lines. */
    for (char *at = failure->text; *at != '\0'; at++)
        if ((unsigned char)*at < ' ')
            *at = ' ';
    return STATUS_BROKEN;
}

const char *status_name(enum status status)
{
    switch (status) {
    case STATUS_OK:
        return "ok";
    case STATUS_AGAIN:
        return "again";
    case STATUS_FULL:
        return "full";
    case STATUS_LATE:
        return "late";
    case STATUS_END:
        return "end";
    case STATUS_ABSENT:
        return "absent";
    case STATUS_BROKEN:
        return "broken";
    }
    assert(!"a status outside the enum");
    return "";
}
