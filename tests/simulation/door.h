#ifndef SIMULATION_DOOR_H
#define SIMULATION_DOOR_H
/*
 * door.h - what the cluster knows of its doors.
 */
#include "simulation/cluster.h"

/* The stored record behind one that was lent. */
const struct entry *door_entry_of(const struct record *record);
/* Sessions that expire. */
void door_step(struct door *door);
/* Frees a killed door that nobody closed. */
void door_forget(struct door *door);
#endif
