#ifndef CLI_GLANCE_H
#define CLI_GLANCE_H
/*
 * glance.h - a result as one line that a person takes in at a glance.
 *
 *   09:12:07 HIGH   open    tenant-0042 failed-auth-by-user user_id=anna  Failed sign-ins: ...
 *   09:12:08 offer  personal       tenant-0007 customer-012 tea-03 0.92, tea-11 0.71
 *
 * Times are UTC. Texts of users are made harmless: control characters and broken UTF-8
 * become '?', so that an event cannot write to the terminal.
 */
#include <stdbool.h>

#include "base/bytes.h"
#include "event/result.h"
#include "event/transport.h"

/* Appends the line, without a line end. */
void glance_result(const struct result *result, bool is_coloured, struct byte_writer *out);

/* What stands in the headers of a dead letter; absent where there is none. */
struct glance_letter {
    struct view code, reason, field, topic, partition, offset;
};
void glance_dead_letter(const struct record *record, const struct glance_letter *letter,
                        bool is_coloured, struct byte_writer *out);
/* Appends `text`, made harmless. */
void glance_text(struct view text, struct byte_writer *out);
#endif
