#ifndef SINK_EMAIL_H
#define SINK_EMAIL_H
/*
 * email.h - an alert as e-mail: for SendGrid's v3 API, and as a message for SMTP.
 *
 * Both carry the same subject, plain text and HTML. Values are escaped in HTML; a
 * control character in a header becomes a space, so that no value can add a header
 * (RFC 5322, 2.2); words that are not ASCII are encoded (RFC 2047), and so are
 * bodies (quoted-printable, RFC 2045).
 * The Message-ID comes from the alert: a message sent twice is one message.
 *
 * Pure: time comes as data.
 *
 * Units  _ms epoch milliseconds
 */
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/view.h"
#include "event/result.h"

struct email_address {
    const char *from;
    const char *const *recipients; /* the last NULL */
};

/* Appends the JSON body of POST /v3/mail/send. */
void email_write_sendgrid(const struct result *alert, const struct email_address *address,
                          struct arena *arena, struct byte_writer *out);
/* Appends a message with CR LF line ends. */
void email_write_message(const struct result *alert, const struct email_address *address,
                         int64_t now_ms, struct arena *arena, struct byte_writer *out);

/* The parts, for tests. */
struct view email_html_escape(struct view text, struct arena *arena);
/* A header of one value, folded where it is long. */
void email_put_header(struct byte_writer *out, const char *name, struct view value);
struct view email_message_id(const struct result *alert, struct arena *arena);
#endif
