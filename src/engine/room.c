#include "engine/room.h"

#include "engine/config.h"
#include "recommend/recommend.h"

/* In this order an event goes through them, and results leave. */
const struct room *const rooms[ROOM_COUNT] = {
    &room_anomaly,
    &room_recommend,
};

const struct option_table *const room_option_tables[] = {
    &engine_option_table,
    &tenant_option_table,
    &currency_option_table,
    &recommend_option_table,
    NULL,
};

bool room_has_command(const struct room *room, struct view type)
{
    for (const char *const *at = room->command_types; at != NULL && *at != NULL; at++)
        if (view_is_text(type, *at))
            return true;
    return false;
}
