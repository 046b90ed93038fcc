#ifndef SIMULATION_DOOR_H
#define SIMULATION_DOOR_H
/*
 * door.h - what the cluster knows of its doors.
 */
#include "simulation/cluster.h"

/* Sessions that expire. */
void door_step(struct door *door);
/* Frees a killed door that nobody closed. */
void door_forget(struct door *door);
#endif
