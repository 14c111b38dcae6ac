/* relay.c: between a client of the library's and a server of the library's, both in the simulation:
 * a place for the one, and a dialler for the other. It carries bytes, ends and resets, and holds no
 * more than a little of what is not taken. */
#include "relay.h"

#include <errno.h>
#include <stdlib.h>

#define HELD_MAX 65536

struct relay {
    struct sim_conn *client, *server; /* NULL: it has been closed */
};

static int listener;

void relay_begin(int to)
{
    listener = to;
}

static struct sim_conn *other(const struct sim_conn *conn)
{
    const struct relay *relay = conn->user;
    return conn == relay->client ? relay->server : relay->client;
}

/* From one side to the other, as long as that one takes it. */
static void carry(struct sim_conn *from, const char *data, size_t len)
{
    struct sim_conn *to = other(from);
    if (!to)
        return;
    sim_send(to, data, len);
    if (sim_unsent(to) > HELD_MAX)
        sim_stall(from, true);
}

static void taken(struct sim_conn *conn)
{
    struct sim_conn *from = other(conn);
    if (from && from->stalled && sim_unsent(conn) <= HELD_MAX)
        sim_stall(from, false);
}

static void ended(struct sim_conn *conn)
{
    if (other(conn))
        sim_finish(other(conn));
}

static void closed(struct sim_conn *conn)
{
    struct relay *relay = conn->user;
    struct sim_conn *left = other(conn);
    if (conn == relay->client)
        relay->client = NULL;
    else
        relay->server = NULL;
    if (!left) {
        free(relay);
        return;
    }
    if (conn->broken < 0 || conn->reset)
        sim_break(left, -ECONNRESET);
    else
        sim_close(left);
    if (left->stalled)
        sim_stall(left, false);
}

static void dialled(struct sim_conn *conn)
{
    (void)conn; /* what the client has sent meanwhile is on its way */
}

static void opened(struct sim_conn *conn)
{
    static const struct sim_service to_server = {
        .opened = dialled, .received = carry, .closed = closed, .ended = ended, .taken = taken};
    struct relay *relay = calloc(1, sizeof(*relay));
    if (!relay)
        sim_fail("this machine itself is out of memory");
    conn->user = relay;
    relay->client = conn;
    relay->server = sim_dial(listener, &to_server, relay);
}

const struct sim_service relay_service = {
    .opened = opened, .received = carry, .closed = closed, .ended = ended, .taken = taken};
