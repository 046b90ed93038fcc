#ifndef SINK_POST_H
#define SINK_POST_H
/*
 * post.h - hands one message over, by HTTP or SMTP, and says how it went.
 *
 * Blocks at most timeout_ms. A connection is kept for the next message. Redirects are
 * not followed: a webhook's address is a secret that goes nowhere else.
 *
 * Units    _ms milliseconds
 * Threads  one owner
 */
#include <stdint.h>

#include "base/clock.h"
#include "base/view.h"

enum post_outcome {
    POST_SENT,
    POST_RETRY,     /* no answer, time-out, 408, 5xx; SMTP: 4xx */
    POST_THROTTLED, /* 429: alive, and asks for a pause */
    POST_REFUSED,   /* other answers: the same message will never be taken */
};

enum post_tls { POST_TLS_NEVER, POST_TLS_OFFERED, POST_TLS_REQUIRED };

struct post_request {
    const char *url;
    struct view body;
    int64_t timeout_ms;
    /* HTTP: header lines, the last NULL; may be NULL. */
    const char *const *headers;
    /* SMTP */
    const char *from;
    const char *const *recipients; /* the last NULL */
    const char *user;              /* NULL: no login */
    const char *password;
    enum post_tls tls;
};

enum { POST_TEXT_MAX = 240 };

struct post_reply {
    int64_t code;           /* of the protocol; 0: no answer */
    int64_t retry_after_ms; /* -1: the server did not say */
    int64_t latency_ms;
    char text[POST_TEXT_MAX]; /* what went wrong, one line of UTF-8 */
};

struct post;

struct post *post_create(const struct clock *clock);
void post_destroy(struct post *post);
enum post_outcome post_http(struct post *post, const struct post_request *request,
                            struct post_reply *reply);
enum post_outcome post_mail(struct post *post, const struct post_request *request,
                            struct post_reply *reply);
#endif
