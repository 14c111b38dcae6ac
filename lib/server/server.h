/* server.h: what server.c makes of the options, for whoever has a worker of his own. */
#ifndef MH_SERVER_SERVER_H
#define MH_SERVER_SERVER_H

#include "server/worker.h"

/* Every default; no handler yet. */
void mh__settings_init(struct mh__settings *settings);

const struct mh__settings *mh__server_settings(const mh_server *server);

#endif
