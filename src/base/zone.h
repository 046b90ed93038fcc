#ifndef BASE_ZONE_H
#define BASE_ZONE_H
/*
 * zone.h - local time in a named time zone (IANA), without the process-wide TZ.
 *
 * A zone is read once (TZif, RFC 8536, versions 1 to 4, and the POSIX rule at its
 * end for the years after the table) and then only computed with: a pure function.
 *
 * Memory   owned; zones are shared and immutable after zone_open
 */
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct zone;

/* UTC, always there, never closed. */
const struct zone *zone_utc(void);
/* name: "Europe/Berlin". Read from TZDIR or /usr/share/zoneinfo. A name that
 * climbs out of that folder is refused. */
enum status zone_open(const char *name, struct zone **zone, struct failure *failure);
/* From bytes: for tests and fuzzing. */
enum status zone_parse(const void *data, size_t size, struct zone **zone, struct failure *failure);
void zone_close(struct zone *zone);

/* Seconds east of UTC at that moment. */
int32_t zone_offset_s(const struct zone *zone, int64_t time_ms);
/* 0..23 */
int32_t zone_hour(const struct zone *zone, int64_t time_ms);
#endif
