/* sim.c: takes the place of lib/loop/epoll.c. The bytes of a connection lie in two flows; events
 * move them along, in pieces, later, and in order. What a loop is to be told stands in its list
 * `ready`, and is told when it waits. */
#include "sim.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "mem.h"

#define SILENCE_US INT64_C(127000000) /* until the kernel itself gives a connection up */
#define MANY (4u << 20)
#define FIRST_PORT 1000000 /* descriptors below it are the numbers of connections */
#define ACCEPT_SLICE 16    /* connections of one turn */
#define FILE_PIECE 4096

static struct sim_loop *loop_of(const mh_loop *loop)
{
    return (struct sim_loop *)(void *)loop;
}

static struct sim_conn *conn_of(const struct mh__socket *socket)
{
    return sim.conns[socket->fd];
}

static size_t min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static int64_t soon(uint32_t at_most_us)
{
    return sim.now_us + (at_most_us > 0 ? random_between(&sim.random, 0, at_most_us) : 0);
}

/* How many of `n` come at once. */
static size_t piece(size_t n)
{
    const struct sim_weather *w = &sim.weather;
    if (n == 0 || !random_chance(&sim.random, w->cut))
        return n;
    return min(n, random_between(&sim.random, 1, w->piece_max > 0 ? w->piece_max : 1));
}

static int pick_error(const int *errors, size_t count)
{
    return sim_error(-errors[random_below(&sim.random, (uint32_t)count)]);
}

/* ---- what a loop is to be told ---- */

static bool has_news(const struct sim_conn *conn)
{
    const struct sim_flow *down = &conn->down;
    if (!conn->socket)
        return false;
    if (conn->connect_due || conn->sent_due)
        return true;
    return conn->connected && conn->receiving && !conn->end_told &&
           (down->arrived > down->from || down->ended || conn->broken < 0);
}

/* Where nobody has it yet it stands at its port, and stays there. */
static void look(struct sim_conn *conn)
{
    if (!conn->socket)
        return;
    if (!has_news(conn))
        mh__list_remove(&conn->ready);
    else if (!mh__link_used(&conn->ready))
        mh__list_append(&loop_of(conn->socket->loop)->ready, &conn->ready);
}

/* ---- flows ---- */

static size_t window(void)
{
    return sim.weather.window > 0 ? sim.weather.window : MANY;
}

static size_t unread(const struct sim_flow *flow)
{
    return flow->len - flow->from;
}

static void put(struct sim_flow *flow, const void *data, size_t len)
{
    if (flow->len + len > flow->cap) {
        flow->cap = 2 * (flow->len + len);
        flow->bytes = realloc(flow->bytes, flow->cap);
        if (!flow->bytes)
            sim_fail("this machine itself is out of memory");
    }
    if (len > 0)
        memcpy(flow->bytes + flow->len, data, len);
    flow->len += len;
}

/* A copy of its own, so that whoever reads too far, or later, is found out. */
static char *take(struct sim_flow *flow, size_t len)
{
    char *copy = malloc(len);
    if (!copy)
        sim_fail("this machine itself is out of memory");
    memcpy(copy, flow->bytes + flow->from, len);
    flow->from += len;
    if (flow->from == flow->len)
        flow->from = flow->len = flow->arrived = 0;
    return copy;
}

/* The first bytes take their time; those behind them follow closely, or do not. */
static void move_on(struct sim_flow *flow)
{
    size_t end = min(flow->len, flow->from + window());
    bool more =
        flow->arrived < end || (flow->finished && !flow->ended && flow->arrived == flow->len);
    if (more && !mh__link_used(&flow->arrival.link))
        sim_event_set(&flow->arrival, soon(sim.weather.delay_us));
}

/* Returns the bytes that have come. */
static size_t arrive(struct sim_flow *flow)
{
    size_t end = min(flow->len, flow->from + window());
    size_t came = piece(end > flow->arrived ? end - flow->arrived : 0);
    flow->arrived += came;
    flow->ended =
        flow->finished && flow->arrived == flow->len && (came == 0 || sim.weather.cut == 0);
    return came;
}

static void drop(struct sim_flow *flow)
{
    flow->from = flow->arrived = flow->len = 0;
    sim_event_stop(&flow->arrival);
}

/* ---- the service's side ---- */

static bool has_unsent(const struct mh__socket *socket)
{
    return socket->unsent_count > 0 || socket->file_left > 0;
}

static void drop_unsent(struct mh__socket *socket)
{
    socket->unsent_count = 0;
    socket->file_left = 0;
}

static void tell_closed(struct sim_conn *conn)
{
    if (conn->over)
        return;
    conn->over = true;
    sim_event_stop(&conn->up.arrival);
    sim_log("%u: the service has seen the end", conn->number);
    mem.others++;
    if (conn->open)
        conn->service->closed(conn);
    mem.others--;
}

static void break_now(struct sim_conn *conn, int err)
{
    if (conn->broken < 0 || conn->over)
        return;
    sim_log("%u: broken, %d", conn->number, err);
    conn->broken = sim_error(err);
    drop(&conn->up);
    sim_event_stop(&conn->down.arrival);
    conn->down.len = conn->down.arrived; /* what was on its way is lost */
    if (conn->socket && has_unsent(conn->socket)) {
        drop_unsent(conn->socket);
        conn->sent_due = true;
    }
    look(conn);
    tell_closed(conn);
}

static void breaks(struct sim_event *event)
{
    struct sim_conn *conn = MH__CONTAINER(event, struct sim_conn, breaking);
    break_now(conn, conn->break_err);
}

static void hand_up(struct sim_conn *conn)
{
    struct sim_flow *up = &conn->up;
    size_t len = up->arrived - up->from;
    if (len == 0 || conn->stalled || conn->over)
        return;
    if (conn->deaf) {
        drop(up);
        sim_break(conn, -ECONNRESET);
        return;
    }
    char *bytes = take(up, len);
    sim_log("%u: %zu bytes reach the service", conn->number, len);
    mem.others++;
    conn->service->received(conn, bytes, len);
    mem.others--;
    free(bytes);
}

/* ---- what the library sends ---- */

static void put_up(struct sim_conn *conn, const void *bytes, size_t len)
{
    put(&conn->up, bytes, len);
    if (len > 0)
        conn->last_us = sim.now_us;
}

static size_t put_some(struct sim_conn *conn, struct iovec *piece_, size_t room)
{
    size_t len = min(piece_->iov_len, room);
    put_up(conn, piece_->iov_base, len);
    piece_->iov_base = (char *)piece_->iov_base + len;
    piece_->iov_len -= len;
    return len;
}

static void push_file(struct sim_conn *conn, size_t room)
{
    struct mh__socket *socket = conn->socket;
    char bytes[FILE_PIECE];
    while (socket->file_left > 0 && room > 0) {
        size_t most = min(min(sizeof(bytes), room), (size_t)socket->file_left);
        ssize_t len = pread(socket->file, bytes, most, (off_t)socket->file_offset);
        if (len <= 0) {
            conn->send_broken = len < 0 ? sim_error(-errno) : MH_ERR_CLOSED;
            drop_unsent(socket);
            return;
        }
        put_up(conn, bytes, (size_t)len);
        room -= (size_t)len;
        socket->file_offset += (uint64_t)len;
        socket->file_left -= (uint64_t)len;
    }
}

/* As far as there is room. true: all has gone, or the rest never will. */
static bool push(struct sim_conn *conn, size_t room)
{
    struct mh__socket *socket = conn->socket;
    int gone = 0;
    while (gone < socket->unsent_count) {
        room -= put_some(conn, &socket->unsent[gone], room);
        if (socket->unsent[gone].iov_len > 0)
            break;
        gone++;
    }
    socket->unsent_count -= gone;
    memmove(socket->unsent, socket->unsent + gone,
            (size_t)socket->unsent_count * sizeof(socket->unsent[0]));
    if (socket->unsent_count == 0)
        push_file(conn, room);
    move_on(&conn->up);
    return !has_unsent(socket);
}

static size_t room_for(const struct sim_conn *conn)
{
    size_t used = unread(&conn->up);
    return used < window() ? window() - used : 0;
}

static void push_on(struct sim_conn *conn)
{
    if (!conn->socket || !has_unsent(conn->socket) || room_for(conn) == 0)
        return;
    conn->sent_due = push(conn, piece(room_for(conn)));
    look(conn);
}

/* Who has dialled and stalls will read the rest when he goes on. */
static void tell_end(struct sim_conn *conn)
{
    if (conn->stalled && (conn->socket || conn->dialled))
        return;
    if (conn->left) {
        tell_closed(conn);
    } else if (!conn->end_seen && !conn->over) {
        conn->end_seen = true;
        sim_log("%u: the service has seen that no more comes", conn->number);
        mem.others++;
        if (conn->service->ended)
            conn->service->ended(conn);
        mem.others--;
    }
}

static void up_arrives(struct sim_event *event)
{
    struct sim_conn *conn = MH__CONTAINER(event, struct sim_conn, up.arrival);
    arrive(&conn->up);
    hand_up(conn);
    push_on(conn);
    move_on(&conn->up);
    if (conn->up.ended)
        tell_end(conn);
}

static void down_arrives(struct sim_event *event)
{
    struct sim_conn *conn = MH__CONTAINER(event, struct sim_conn, down.arrival);
    arrive(&conn->down);
    move_on(&conn->down);
    look(conn);
}

/* ---- what a service does ---- */

/* Bytes that nobody will read make a reset, which may overtake what was sent. */
static void reset_late(struct sim_conn *conn)
{
    conn->reset = true;
    if (!random_chance(&sim.random, 500))
        return;
    drop(&conn->up);
    tell_closed(conn);
}

void sim_send(struct sim_conn *conn, const void *data, size_t len)
{
    if (conn->over || conn->down.finished || conn->broken < 0)
        return;
    if (conn->dialled && conn->left) {
        if (len > 0 && !conn->reset)
            reset_late(conn);
        return;
    }
    put(&conn->down, data, len);
    move_on(&conn->down);
}

void sim_finish(struct sim_conn *conn)
{
    if (conn->over || conn->broken < 0)
        return;
    conn->down.finished = true;
    move_on(&conn->down);
}

void sim_close(struct sim_conn *conn)
{
    sim_finish(conn);
    conn->deaf = true;
}

/* What is on its way is overtaken, or not. */
void sim_break(struct sim_conn *conn, int err)
{
    if (conn->over || conn->broken < 0 || mh__link_used(&conn->breaking.link))
        return;
    conn->break_err = err;
    conn->breaking.run = breaks;
    sim_event_set(&conn->breaking, soon(3 * sim.weather.delay_us));
}

void sim_stall(struct sim_conn *conn, bool stalled)
{
    conn->stalled = stalled;
    if (!stalled)
        sim_event_set(&conn->up.arrival, sim.now_us);
}

size_t sim_unsent(const struct sim_conn *conn)
{
    return unread(&conn->down);
}

/* ---- sockets ---- */

static void connect_ends(struct sim_event *event)
{
    struct sim_conn *conn = MH__CONTAINER(event, struct sim_conn, connecting);
    sim_log("%u: connect ends, %d", conn->number, conn->connect_err);
    conn->connect_due = true;
    conn->open = conn->connect_err == 0;
    if (conn->open) {
        mem.others++;
        conn->service->opened(conn);
        mem.others--;
    }
    look(conn);
}

static bool same_address(const struct mh__address *a, const struct mh__address *b)
{
    const struct sockaddr_in *a4 = (const void *)&a->addr, *b4 = (const void *)&b->addr;
    const struct sockaddr_in6 *a6 = (const void *)&a->addr, *b6 = (const void *)&b->addr;
    if (a->addr.ss_family != b->addr.ss_family)
        return false;
    if (a->addr.ss_family == AF_INET)
        return a4->sin_addr.s_addr == b4->sin_addr.s_addr;
    return memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof(a6->sin6_addr)) == 0;
}

static const struct sim_place *place_of(const struct mh__address *address)
{
    static const struct sim_place nowhere = {.manner = SIM_UNREACHABLE};
    for (size_t i = 0; i < sim.place_count; i++) {
        if (same_address(&sim.places[i].address, address))
            return &sim.places[i];
    }
    return &nowhere;
}

static int refusal(enum sim_manner manner)
{
    switch (manner) {
    case SIM_REFUSES:
        return -ECONNREFUSED;
    case SIM_SILENT:
        return -ETIMEDOUT;
    case SIM_UNREACHABLE:
        return -EHOSTUNREACH;
    default:
        return 0;
    }
}

static struct sim_conn *conn_new(const struct sim_service *service)
{
    if (sim.conn_count == SIM_CONNS_MAX)
        sim_fail("there have been more than %d connections", SIM_CONNS_MAX);
    struct sim_conn *conn = calloc(1, sizeof(*conn));
    if (!conn)
        sim_fail("this machine itself is out of memory");
    conn->number = (unsigned)sim.conn_count;
    conn->service = service;
    sim.conns[sim.conn_count++] = conn;
    conn->connecting.run = connect_ends;
    conn->up.arrival.run = up_arrives;
    conn->down.arrival.run = down_arrives;
    return conn;
}

int mh__socket_connect(struct mh__socket *socket, mh_loop *loop,
                       const struct mh__socket_events *events, const struct mh__address *to)
{
    static const int errors[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL, EACCES, EPERM};
    const struct sim_place *place = place_of(to);
    if (loop->ending)
        return -ECANCELED;
    if (random_chance(&sim.random, sim.weather.connect_fault))
        return pick_error(errors, sizeof(errors) / sizeof(errors[0]));
    if (place->manner == SIM_NO_WAY)
        return sim_error(-ENETUNREACH);
    struct sim_conn *conn = conn_new(place->service);
    conn->place = place;
    conn->connect_err = refusal(place->manner);
    *socket = (struct mh__socket){.loop = loop, .events = events, .fd = (int)conn->number};
    conn->socket = socket;
    conn->port = ((const struct sockaddr_in *)(const void *)&to->addr)->sin_port;
    sim.sockets++;
    sim_log("%u: connect", conn->number);
    sim_event_set(&conn->connecting,
                  place->manner == SIM_SILENT ? sim.now_us + SILENCE_US : soon(place->delay_us));
    return 0;
}

int mh__socket_receive(struct mh__socket *socket, bool on)
{
    struct sim_conn *conn = conn_of(socket);
    if (conn->socket != socket || !conn->connected)
        sim_fail("receive on a socket that is not connected");
    if (on && !conn->receiving && random_chance(&sim.random, sim.weather.receive_fault))
        return sim_error(-ENOMEM);
    conn->receiving = on;
    look(conn);
    return 0;
}

static void check_send(const struct sim_conn *conn, const struct mh__socket *socket, int count)
{
    if (conn->socket != socket || !conn->connected)
        sim_fail("send on a socket that is not connected");
    if (count < 0 || count > MH__SEND_PIECES)
        sim_fail("send with %d pieces", count);
    if (has_unsent(socket) || conn->sent_due)
        sim_fail("send while an earlier one is not done");
    if (conn->up.finished)
        sim_fail("send after the end");
}

static int send_error(struct sim_conn *conn)
{
    static const int errors[] = {ENOBUFS, ENOMEM, EPIPE, ECONNRESET, ETIMEDOUT, EHOSTUNREACH};
    if (conn->send_broken == 0 && random_chance(&sim.random, sim.weather.send_fault))
        conn->send_broken = pick_error(errors, sizeof(errors) / sizeof(errors[0]));
    if (conn->send_broken < 0)
        return conn->send_broken;
    return conn->broken < 0 ? sim_error(-EPIPE) : 0;
}

int mh__socket_send(struct mh__socket *socket, const struct iovec *pieces, int count)
{
    return mh__socket_send_file(socket, pieces, count, -1, 0, 0);
}

int mh__socket_send_file(struct mh__socket *socket, const struct iovec *pieces, int count, int file,
                         uint64_t offset, uint64_t len)
{
    struct sim_conn *conn = conn_of(socket);
    check_send(conn, socket, count);
    int err = send_error(conn);
    if (err < 0)
        return err;
    if (count > 0)
        memcpy(socket->unsent, pieces, (size_t)count * sizeof(pieces[0]));
    socket->unsent_count = count;
    socket->file = file;
    socket->file_offset = offset;
    socket->file_left = len;
    size_t room = room_for(conn);
    if (random_chance(&sim.random, sim.weather.short_send))
        room = random_below(&sim.random, (uint32_t)room + 1) / 2;
    bool all = push(conn, room);
    if (conn->send_broken < 0)
        return conn->send_broken;
    if (!all && !mh__link_used(&conn->up.arrival.link))
        sim_event_set(&conn->up.arrival, soon(sim.weather.delay_us)); /* there will be room */
    return all;
}

static int connected_to(const mh_loop *loop, const struct sim_place *place, uint16_t port)
{
    int count = 0;
    for (size_t i = 0; i < sim.conn_count; i++) {
        const struct sim_conn *conn = sim.conns[i];
        if (conn->socket && conn->socket->loop == loop && conn->connected && conn->place == place &&
            conn->port == port)
            count++;
    }
    return count;
}

static void count_connected(mh_loop *loop, int change)
{
    int connected = loop_of(loop)->connected += change;
    if (change > 0 && sim.connected_max > 0 && connected > sim.connected_max)
        sim_fail("%d connections at the same time", connected);
}

uint64_t mh__socket_untaken(const struct mh__socket *socket)
{
    uint64_t sum = socket->file_left + unread(&conn_of(socket)->up);
    for (int i = 0; i < socket->unsent_count; i++)
        sum += socket->unsent[i].iov_len;
    return sum;
}

void mh__socket_finish(struct mh__socket *socket)
{
    struct sim_conn *conn = conn_of(socket);
    check_send(conn, socket, 0);
    sim_log("%u: finish", conn->number);
    conn->up.finished = true;
    conn->finished_us = sim.now_us;
    if (conn->broken == 0)
        move_on(&conn->up);
}

/* Bytes that were not read make a reset of it, which may overtake what was sent. */
static void leave(struct sim_conn *conn)
{
    conn->reset = unread(&conn->down) > 0;
    bool resets = conn->reset && random_chance(&sim.random, 500);
    drop(&conn->down);
    if (resets)
        drop(&conn->up);
    conn->up.finished = true;
    conn->left = true;
    conn->left_us = sim.now_us;
    bool reads_on = conn->dialled && (conn->stalled || unread(&conn->up) > 0);
    if ((conn->stalled || !conn->open || conn->up.ended) && !reads_on)
        tell_closed(conn);
    else
        move_on(&conn->up);
}

void mh__socket_close(struct mh__socket *socket)
{
    struct sim_conn *conn = conn_of(socket);
    if (conn->socket != socket)
        sim_fail("a socket is closed twice");
    sim_log("%u: close", conn->number);
    if (conn->dialled)
        loop_of(socket->loop)->adopted--;
    else
        count_connected(socket->loop, conn->connected ? -1 : 0);
    conn->socket = NULL;
    sim.sockets--;
    mh__list_remove(&conn->ready);
    sim_event_stop(&conn->connecting);
    sim_event_stop(&conn->breaking);
    leave(conn);
    mh__list_append(&socket->loop->closed, &socket->link);
}

static void tell_taken(struct sim_conn *conn)
{
    if (conn->over || !conn->service->taken)
        return;
    mem.others++;
    conn->service->taken(conn);
    mem.others--;
}

static void tell_received(struct sim_conn *conn)
{
    struct sim_flow *down = &conn->down;
    size_t len = piece(min(down->arrived - down->from, MH__RECEIVE_SIZE));
    struct mh__socket *socket = conn->socket;
    if (len > 0) {
        char *bytes = take(down, len);
        sim_log("%u: receives %zu", conn->number, len);
        move_on(down);
        tell_taken(conn);
        socket->events->received(socket, bytes, (ssize_t)len);
        memset(bytes, 0xdb, len);
        free(bytes);
        return;
    }
    conn->end_told = true;
    sim_log("%u: receives the end, %d", conn->number, conn->broken);
    socket->events->received(socket, NULL, down->ended ? 0 : conn->broken);
}

static void tell_sent(struct sim_conn *conn)
{
    struct mh__socket *socket = conn->socket;
    conn->sent_due = false;
    int err = conn->send_broken < 0 ? conn->send_broken : conn->broken;
    sim_log("%u: sent, %d", conn->number, err);
    socket->events->sent(socket, err);
}

static void tell_connected(struct sim_conn *conn)
{
    struct mh__socket *socket = conn->socket;
    conn->connect_due = false;
    conn->connected = conn->connect_err == 0;
    sim_log("%u: connected, %d", conn->number, conn->connect_err);
    count_connected(socket->loop, conn->connected ? 1 : 0);
    if (sim.per_place_max > 0 &&
        connected_to(socket->loop, conn->place, conn->port) > sim.per_place_max)
        sim_fail("more than %d connections to one place", sim.per_place_max);
    socket->events->connected(socket, sim_error(conn->connect_err));
}

static void tell(struct sim_conn *conn)
{
    if (!conn->dialled || conn->broken == 0)
        conn->last_us = sim.now_us;
    if (conn->connect_due) {
        tell_connected(conn);
    } else {
        bool sent_first = random_chance(&sim.random, 500);
        if (sent_first && conn->sent_due)
            tell_sent(conn);
        bool receives = conn->socket && conn->receiving && has_news(conn) &&
                        (conn->down.arrived > conn->down.from || conn->down.ended || conn->broken);
        if (receives && !conn->end_told)
            tell_received(conn);
        if (conn->socket && conn->sent_due)
            tell_sent(conn);
    }
    look(conn);
}

/* ---- ports ---- */

static struct sim_port *port_of(int listener)
{
    size_t i = (size_t)(listener - FIRST_PORT);
    if (listener < FIRST_PORT || i >= sim.port_count)
        sim_fail("%d is no listening descriptor", listener);
    return &sim.ports[i];
}

int sim_listen(void)
{
    if (sim.port_count == SIM_PORTS_MAX)
        sim_fail("the test has too many ports");
    struct sim_port *port = &sim.ports[sim.port_count];
    mh__list_init(&port->waiting);
    mh__list_init(&port->listeners);
    return FIRST_PORT + (int)sim.port_count++;
}

static struct sim_conn *next_waiting(struct sim_port *port)
{
    struct mh__link *link = mh__list_take(&port->waiting);
    return link ? MH__CONTAINER(link, struct sim_conn, ready) : NULL;
}

/* Nobody in the library will ever hear of it. */
static void turn_away(struct sim_conn *conn)
{
    conn->left = true;
    break_now(conn, -ECONNREFUSED);
}

void sim_shut(int listener)
{
    struct sim_port *port = port_of(listener);
    struct sim_conn *conn;
    port->shut = true;
    while ((conn = next_waiting(port)))
        turn_away(conn);
}

/* It may send from now on: who accepts it comes later. */
static void dial_ends(struct sim_event *event)
{
    struct sim_conn *conn = MH__CONTAINER(event, struct sim_conn, connecting);
    sim_log("%u: has come in", conn->number);
    conn->open = true;
    mem.others++;
    conn->service->opened(conn);
    mem.others--;
    if (conn->dialled->shut)
        turn_away(conn);
    else
        mh__list_append(&conn->dialled->waiting, &conn->ready);
}

struct sim_conn *sim_dial(int listener, const struct sim_service *service, void *user)
{
    struct sim_conn *conn = conn_new(service);
    conn->dialled = port_of(listener);
    conn->user = user;
    conn->connecting.run = dial_ends;
    sim_log("%u: dials", conn->number);
    sim_event_set(&conn->connecting, soon(sim.weather.delay_us));
    return conn;
}

/* ---- listeners ---- */

static struct mh__listener *listener_of(struct mh__link *link)
{
    return MH__CONTAINER(link, struct mh__listener, link);
}

/* One on this loop that has something to say; NULL: none. */
static struct mh__listener *ready_listener(const struct sim_loop *loop)
{
    for (size_t i = 0; i < sim.port_count; i++) {
        struct sim_port *port = &sim.ports[i];
        struct mh__link *link = port->listeners.next;
        for (; link != &port->listeners; link = link->next) {
            struct mh__listener *listener = listener_of(link);
            if (listener->loop == &loop->base && listener->state > 0 &&
                (port->shut || !mh__list_empty(&port->waiting)))
                return listener;
        }
    }
    return NULL;
}

int mh__listener_accept(struct mh__listener *listener, bool on)
{
    if (on && listener->state == 0 && random_chance(&sim.random, sim.weather.receive_fault))
        return sim_error(-ENOMEM);
    listener->state = on;
    return 0;
}

int mh__listener_open(struct mh__listener *listener, mh_loop *loop,
                      const struct mh__listener_events *events, int fd)
{
    *listener = (struct mh__listener){.loop = loop, .events = events, .fd = fd};
    int err = mh__listener_accept(listener, true);
    if (err == 0)
        mh__list_append(&port_of(fd)->listeners, &listener->link);
    return err;
}

void mh__listener_close(struct mh__listener *listener)
{
    mh__list_remove(&listener->link);
    listener->loop = NULL;
    listener->state = 0;
}

/* Whoever waits is refused here: it is the kernel that keeps a line of them. */
void mh__listener_finish(struct mh__listener *listener)
{
    mh__listener_close(listener);
}

static void fail_listener(struct mh__listener *listener, int err)
{
    sim_log("accept fails, %d", err);
    listener->state = 0;
    listener->events->failed(listener, err);
}

static struct mh__address address_of(const struct sim_conn *conn)
{
    struct mh__address from = {.len = sizeof(struct sockaddr_in)};
    struct sockaddr_in *in = (struct sockaddr_in *)(void *)&from.addr;
    in->sin_family = AF_INET;
    in->sin_port = htons((uint16_t)(10000 + conn->number));
    in->sin_addr.s_addr = htonl(0x0a090001);
    return from;
}

static void accept_one(struct mh__listener *listener)
{
    static const int errors[] = {EMFILE, ENFILE, ENOMEM, ENOBUFS};
    struct sim_port *port = port_of(listener->fd);
    if (port->shut) {
        fail_listener(listener, MH_ERR_CLOSED);
        return;
    }
    if (random_chance(&sim.random, sim.weather.accept_fault)) {
        fail_listener(listener, pick_error(errors, sizeof(errors) / sizeof(errors[0])));
        return;
    }
    struct sim_conn *conn = next_waiting(port);
    struct mh__address from = address_of(conn);
    sim_log("%u: accepted", conn->number);
    conn->accepted = true;
    sim.descriptors++;
    listener->events->accepted(listener, (int)conn->number, &from);
    if (has_news(conn) && random_chance(&sim.random, 500))
        tell(conn);
}

static void accept_some(struct sim_loop *loop)
{
    struct mh__listener *listener;
    for (int i = 0; i < ACCEPT_SLICE && (listener = ready_listener(loop)); i++)
        accept_one(listener);
}

static struct sim_conn *take_descriptor(int fd)
{
    struct sim_conn *conn = fd >= 0 && (size_t)fd < sim.conn_count ? sim.conns[fd] : NULL;
    if (!conn || !conn->accepted)
        sim_fail("%d is no descriptor that was accepted", fd);
    conn->accepted = false;
    sim.descriptors--;
    return conn;
}

void mh__socket_adopt(struct mh__socket *socket, mh_loop *loop,
                      const struct mh__socket_events *events, int fd)
{
    struct sim_conn *conn = take_descriptor(fd);
    *socket = (struct mh__socket){.loop = loop, .events = events, .fd = fd};
    conn->socket = socket;
    conn->connected = true;
    conn->adopted_us = conn->last_us = sim.now_us;
    sim.sockets++;
    if (++loop_of(loop)->adopted > sim.adopted_max && sim.adopted_max > 0)
        sim_fail("%d connections at the same time", loop_of(loop)->adopted);
}

void mh__descriptor_close(int fd)
{
    struct sim_conn *conn = take_descriptor(fd);
    sim_log("%u: closed, and not adopted", conn->number);
    leave(conn);
}

/* ---- what the simulator has not ---- */

int mh__watch_open(struct mh__watch *watch, mh_loop *loop, int fd,
                   void (*ready)(struct mh__watch *watch))
{
    (void)watch, (void)loop, (void)fd, (void)ready;
    sim_fail("there are no other descriptors here");
}

void mh__watch_close(struct mh__watch *watch)
{
    (void)watch;
    sim_fail("there are no other descriptors here");
}

/* ---- names ---- */

struct question {
    struct sim_event event;
    struct mh__link link; /* in the loop's answers, or in those that wait */
    struct mh__lookup *lookup;
    struct mh__addresses addresses;
    int err;
    const char *why;
    int64_t delay_us; /* negative: for ever */
    bool asked;       /* false: it waits for its turn */
};

static struct question *question_of(struct mh__link *link)
{
    return MH__CONTAINER(link, struct question, link);
}

static void set_port(struct mh__address *address, uint16_t port)
{
    if (address->addr.ss_family == AF_INET)
        ((struct sockaddr_in *)(void *)&address->addr)->sin_port = htons(port);
    else
        ((struct sockaddr_in6 *)(void *)&address->addr)->sin6_port = htons(port);
}

static void answered(struct sim_event *event)
{
    struct question *q = MH__CONTAINER(event, struct question, event);
    mh__list_append(&loop_of(q->lookup->loop)->answers, &q->link);
}

static const struct sim_host *host_of(mh_str name)
{
    for (size_t i = 0; i < sim.host_count; i++) {
        if (mh_str_equal_nocase(name, sim.hosts[i].name))
            return &sim.hosts[i];
    }
    return NULL;
}

static void find(struct question *q, mh_str name, uint16_t port)
{
    const struct sim_host *host = host_of(name);
    q->delay_us = host ? random_between(&sim.random, 0, host->delay_us) : 0;
    if (mh__literal_address(&q->addresses.at[0], name, port)) {
        q->addresses.count = 1;
    } else if (host && host->answer == SIM_HANGS) {
        q->delay_us = -1;
    } else if (!host || host->answer == SIM_FAILS) {
        q->err = MH_ERR_RESOLVE;
        q->why = host ? host->why : "nobody knows that name";
    } else {
        q->addresses = host->addresses;
        for (size_t i = 0; i < q->addresses.count; i++)
            set_port(&q->addresses.at[i], port);
    }
}

static void ask(struct question *q)
{
    sim.asking++;
    q->asked = true;
    if (q->delay_us >= 0)
        sim_event_set(&q->event, sim.now_us + q->delay_us);
}

static void ask_next(void)
{
    if (mh__list_empty(&sim.waiting) || sim.asking >= MH__LOOKUPS_MAX)
        return;
    ask(question_of(mh__list_take(&sim.waiting)));
}

int mh__lookup_start(struct mh__lookup *lookup, mh_loop *loop, mh_str host, uint16_t port)
{
    if (lookup->loop)
        sim_fail("a lookup is started twice");
    if (loop->ending)
        return -ECANCELED;
    if (random_chance(&sim.random, sim.weather.lookup_fault))
        return sim_error(random_chance(&sim.random, 500) ? -ENOMEM : -EAGAIN);
    struct question *q = calloc(1, sizeof(*q));
    if (!q)
        sim_fail("this machine itself is out of memory");
    q->lookup = lookup;
    q->event.run = answered;
    lookup->loop = loop;
    lookup->job = q;
    sim.lookups++;
    sim_log("lookup of " MH_FMT, MH_ARG(host));
    find(q, host, port);
    if (sim.asking < MH__LOOKUPS_MAX)
        ask(q);
    else
        mh__list_append(&sim.waiting, &q->link);
    return 0;
}

static void forget(struct question *q)
{
    sim_event_stop(&q->event);
    mh__list_remove(&q->link);
    q->lookup->loop = NULL;
    q->lookup->job = NULL;
    sim.lookups--;
    sim.asking -= q->asked;
    free(q);
    ask_next();
}

void mh__lookup_cancel(struct mh__lookup *lookup)
{
    if (!lookup->loop)
        return;
    sim_log("a lookup is given up");
    forget(lookup->job);
}

static void tell_answer(struct question *q)
{
    struct question told = *q;
    forget(q);
    sim_log("a lookup ends, %d", told.err);
    told.lookup->found(told.lookup, told.err, told.err < 0 ? NULL : &told.addresses, told.why);
}

/* ---- the loop ---- */

int mh_loop_new(mh_loop **loop)
{
    static const int errors[] = {EMFILE, ENFILE, ENOMEM};
    *loop = NULL;
    if (random_chance(&sim.random, sim.weather.loop_fault))
        return pick_error(errors, sizeof(errors) / sizeof(errors[0]));
    struct sim_loop *new = mh__calloc(1, sizeof(*new));
    if (!new)
        return -ENOMEM;
    mh__loop_init(&new->base);
    mh__list_init(&new->ready);
    mh__list_init(&new->answers);
    mh__list_append(&sim.loops, &new->link);
    *loop = &new->base;
    return 0;
}

static bool has_listener(const mh_loop *loop)
{
    for (size_t i = 0; i < sim.port_count; i++) {
        struct mh__link *link = sim.ports[i].listeners.next;
        for (; link != &sim.ports[i].listeners; link = link->next) {
            if (listener_of(link)->loop == loop)
                return true;
        }
    }
    return false;
}

void mh_loop_free(mh_loop *loop)
{
    if (!loop)
        return;
    mh__loop_detach_all(loop);
    struct sim_loop *mine = loop_of(loop);
    if (loop->timers.first)
        sim_fail("a timer is set when its loop is freed");
    if (!mh__list_empty(&loop->tasks))
        sim_fail("a task is in line when its loop is freed");
    if (!mh__list_empty(&mine->ready) || !mh__list_empty(&mine->answers))
        sim_fail("a socket or a lookup is open when its loop is freed");
    if (loop->holds > 0)
        sim_fail("a loop is held when it is freed");
    if (mine->adopted > 0 || has_listener(loop))
        sim_fail("a connection or a listener is open when its loop is freed");
    mh__list_remove(&mine->link);
    mh__free(mine);
}

/* Whatever it waits in, it is the simulation. */
void mh__loop_alone(mh_loop *loop, bool alone)
{
    (void)loop;
    (void)alone;
}

void mh__loop_interrupt(mh_loop *loop)
{
    mh_loop_wake(loop);
}

void mh_loop_wake(mh_loop *loop)
{
    loop_of(loop)->woken = true;
}

void mh__loop_nudge(mh_loop *loop)
{
    loop_of(loop)->nudged = true;
}

int mh_loop_fd(const mh_loop *loop)
{
    (void)loop;
    return -1;
}

int64_t mh__backend_clock_us(const mh_loop *loop)
{
    (void)loop;
    return sim.now_us;
}

int64_t mh__backend_clock_ms(const mh_loop *loop)
{
    (void)loop;
    return sim.now_us / 1000;
}

static bool has_something(const struct sim_loop *loop)
{
    return loop->woken || loop->nudged || !mh__list_empty(&loop->ready) ||
           !mh__list_empty(&loop->answers) || ready_listener(loop);
}

static bool others_have_something(void)
{
    struct mh__link *link = sim.loops.next;
    for (; sim.share && link != &sim.loops; link = link->next) {
        if (has_something(MH__CONTAINER(link, struct sim_loop, link)))
            return true;
    }
    return false;
}

/* The next thing that happens, if it does before `until`. */
static bool happens(int64_t until)
{
    if (mh__list_empty(&sim.events))
        return false;
    struct sim_event *event = MH__CONTAINER(sim.events.next, struct sim_event, link);
    if (event->at > until)
        return false;
    if (event->at > sim.now_us)
        sim.now_us = event->at;
    mh__list_remove(&event->link);
    event->run(event);
    return true;
}

bool sim_step(void)
{
    return happens(MH__NEVER - 1);
}

static void wait_until(struct sim_loop *loop, int64_t until)
{
    while (!has_something(loop) && !others_have_something()) {
        if (happens(until))
            continue;
        if (until == MH__NEVER)
            sim_fail("a loop waits for ever, and nothing is ever going to happen");
        if (until > sim.now_us)
            sim.now_us = until;
        return;
    }
    while (random_chance(&sim.random, 500) && happens(sim.now_us))
        ;
}

static int64_t in_ms(int timeout_ms)
{
    return timeout_ms < 0 ? MH__NEVER : sim.now_us + (int64_t)timeout_ms * 1000;
}

void sim_poll(mh_loop *loop, int timeout_ms)
{
    wait_until(loop_of(loop), in_ms(timeout_ms));
}

/* Those that are ready now, in any order; those that become it meanwhile have to wait. */
static void tell_all(struct sim_loop *loop)
{
    struct sim_conn *ready[64];
    uint32_t count = 0;
    struct mh__link *link = loop->ready.next;
    for (; link != &loop->ready && count < 64; link = link->next)
        ready[count++] = MH__CONTAINER(link, struct sim_conn, ready);
    while (count > 0) {
        uint32_t i = random_below(&sim.random, count);
        struct sim_conn *conn = ready[i];
        ready[i] = ready[--count];
        if (has_news(conn))
            tell(conn);
    }
}

static void count_turn(const struct sim_loop *loop, int timeout_ms)
{
    uint64_t empty_max = sim.empty_turns_max > 0 ? sim.empty_turns_max : SIM_EMPTY_TURNS_MAX;
    if (++sim.turns > SIM_TURNS_MAX)
        sim_fail("more than %d turns: something spins", SIM_TURNS_MAX);
    if (has_something(loop) || others_have_something())
        sim.empty_turns = 0;
    else if (timeout_ms != 0 && ++sim.empty_turns > empty_max)
        sim_fail("%llu turns in a row were in vain", (unsigned long long)empty_max);
}

static void tell_nudged(struct sim_loop *loop)
{
    if (!loop->nudged)
        return;
    loop->nudged = false;
    sim_log("a loop was nudged");
    mh__loop_tell_nudged(&loop->base);
}

/* Connections, nudges and all the rest, one before the other or the other way round. */
static void tell_in_some_order(struct sim_loop *loop)
{
    uint32_t order = random_below(&sim.random, 4);
    if (order & 1)
        tell_nudged(loop);
    if (order & 2)
        accept_some(loop);
    tell_all(loop);
    if (!(order & 2))
        accept_some(loop);
    if (!(order & 1))
        tell_nudged(loop);
}

int mh__backend_wait(mh_loop *loop, int timeout_ms)
{
    struct sim_loop *mine = loop_of(loop);
    wait_until(mine, in_ms(timeout_ms));
    count_turn(mine, timeout_ms);
    sim.now_us = soon(sim.weather.turn_us);
    loop->now = mh__backend_clock_ms(loop);
    loop->woken = mine->woken || (!has_something(mine) && others_have_something());
    mine->woken = false;
    struct mh__link *link;
    while ((link = mh__list_take(&mine->answers)))
        tell_answer(question_of(link));
    tell_in_some_order(mine);
    return 0;
}
