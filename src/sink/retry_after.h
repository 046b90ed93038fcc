#ifndef SINK_RETRY_AFTER_H
#define SINK_RETRY_AFTER_H
/*
 * retry_after.h - what a server's header says about when to come back.
 *
 *   Retry-After: 30                              seconds (RFC 9110, 10.2.3)
 *   Retry-After: Fri, 31 Dec 1999 23:59:59 GMT   a date
 *   X-RateLimit-Reset: 1392815263                epoch seconds, as SendGrid says it
 *
 * Pure; bytes of any kind are taken.
 *
 * Units  _ms milliseconds
 */
#include <stdint.h>

#include "base/view.h"

enum { RETRY_AFTER_MOST_MS = 3600000 };

/* One header line, with or without its line end. -1: it says nothing of the kind; else
 * 0 .. RETRY_AFTER_MOST_MS. */
int64_t retry_after_read(struct view line, int64_t now_wall_ms);
#endif
