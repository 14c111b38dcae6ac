/* relay.h: a client of the library's meets a server of the library's. */
#ifndef TESTS_SIM_RELAY_H
#define TESTS_SIM_RELAY_H

#include "sim.h"

/* For places: who connects there is at a server that listens. */
extern const struct sim_service relay_service;

void relay_begin(int listener);

#endif
