/*
 * A header line of a server that we do not know: any bytes give -1 or a bounded wait.
 */
#include <stdlib.h>

#include "sink/retry_after.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view line = {(const char *)data, (uint32_t)size};
    int64_t wait_ms = retry_after_read(line, 1700000000000);

    if (wait_ms < -1 || wait_ms > RETRY_AFTER_MOST_MS)
        abort();
    return 0;
}
