/* A time-zone file of any bytes: refused, or an offset for every moment. */
#include <stdlib.h>

#include "base/zone.h"

enum { OFFSET_MOST_S = 7 * 24 * 3600 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(const struct zone *zone, int64_t time_ms)
{
    int32_t offset_s = zone_offset_s(zone, time_ms), hour = zone_hour(zone, time_ms);

    if (hour < 0 || hour > 23 || offset_s < -OFFSET_MOST_S || offset_s > OFFSET_MOST_S)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int64_t times_ms[] = {INT64_MIN,        -1,       0, INT64_C(1700000000000),
                                       INT64_C(1) << 50, INT64_MAX};
    struct failure failure;
    struct zone *zone;

    if (zone_parse(data, size, &zone, &failure) != STATUS_OK)
        return 0;
    for (size_t i = 0; i < sizeof times_ms / sizeof times_ms[0]; i++)
        ask(zone, times_ms[i]);
    zone_close(zone);
    return 0;
}
