/* One byte chooses the kind, the rest is a message: the scanner and jansson must agree. */
#include <stdio.h>
#include <stdlib.h>

#include "event/event.h"
#include "unit/codec/json_oracle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct layout *layouts[EVENT_KIND_COUNT];
    static struct arena *kept, *arena;

    if (arena == NULL) {
        kept = arena_create(65536);
        arena = arena_create(65536);
        for (int kind = 0; kind < EVENT_KIND_COUNT; kind++)
            layouts[kind] = layout_create(event_shape((enum event_kind)kind), kept);
    }
    if (size < 1)
        return 0;
    arena_reset(arena);
    const struct view message = {(const char *)data + 1, (uint32_t)(size - 1)};
    const char *verdict = oracle_check(layouts[data[0] % EVENT_KIND_COUNT], message, arena);
    if (verdict != NULL) {
        fprintf(stderr, "json: %s\n", verdict);
        abort();
    }
    return 0;
}
