#ifndef SINK_SLACK_H
#define SINK_SLACK_H
/*
 * slack.h - an alert as a Block Kit message for an incoming webhook.
 *
 * Slack refuses a message with a section of more than 3,000 characters, more than 10
 * fields in a section or more than 50 blocks: texts are cut, with an ellipsis, between
 * characters and never inside an escape. &, < and > are escaped, so that no value can
 * become a link or call a channel; `verbatim` keeps Slack from finding links by itself. A
 * line break in a value becomes a space: it would begin what looks like another fact.
 *
 * Pure.
 */
#include "base/arena.h"
#include "base/bytes.h"
#include "base/view.h"
#include "event/result.h"

enum { SLACK_SECTION_MAX = 3000, SLACK_FIELD_MAX = 2000, SLACK_HEADER_MAX = 150 };

/* Appends the JSON body. */
void slack_write(const struct result *alert, struct arena *arena, struct byte_writer *out);
/* Text for mrkdwn of at most chars_max characters, escapes included. */
struct view slack_escape(struct view text, uint32_t chars_max, struct arena *arena);
#endif
