#ifndef BASE_STATUS_H
#define BASE_STATUS_H
/*
 * status.h - how a call ended, and what to do about a broken world.
 *
 * Three kinds of error, three treatments:
 *   our bug              assert, in release too
 *   an expected outcome  an enum status other than STATUS_BROKEN
 *   a broken world       STATUS_BROKEN, and a caller-owned struct failure that
 *                        says what to do (remedy) and what to tell people (text)
 *
 * The remedy is chosen where the failure is understood; whoever acts on it
 * logs the text once and never parses it.
 */
#include <stdbool.h>

enum status {
    STATUS_OK,
    STATUS_AGAIN,  /* nothing now; the same call may succeed later */
    STATUS_FULL,   /* a limit (an option ending in _max) is reached */
    STATUS_LATE,   /* the window has closed */
    STATUS_END,    /* the source has no more and never will */
    STATUS_ABSENT, /* what was asked for does not exist */
    STATUS_BROKEN, /* see struct failure */
};

enum remedy {
    REMEDY_NONE,
    REMEDY_RETRY,     /* the same input later */
    REMEDY_SET_ASIDE, /* this input to the dead-letter topic, then go on */
    REMEDY_ROLL_BACK, /* the transaction is void: state returns to the last commit */
    REMEDY_STOP,      /* no input can succeed */
};

enum { FAILURE_TEXT_MAX = 400 };

struct failure {
    enum remedy remedy;
    char text[FAILURE_TEXT_MAX]; /* one line, ends in NUL; cut if longer */
};

/* Fills `failure` (NULL is allowed: the text is dropped) and returns
 * STATUS_BROKEN, so that a caller can `return failure_set(...)`. */
enum status failure_set(struct failure *failure, enum remedy remedy, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

const char *status_name(enum status status);
#endif
