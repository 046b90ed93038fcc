#include "engine/room.h"

/* In this order an event goes through them, and results leave. */
const struct room *const rooms[ROOM_COUNT] = {
    &room_anomaly,
};
