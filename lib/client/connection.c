/* connection.c: from a name to a connection that can carry a request: addresses that race (RFC
 * 8305), the tunnel through a proxy (RFC 9110 section 9.3.6), TLS; and the bytes on it, decrypted.
 * What the bytes say is for fetch.c. */
#include "client/client.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/mem.h"

/* One address that is tried; of the winner, the connection's socket. The loop has its memory until
 * released() is called. */
struct mh__attempt {
    struct mh__socket socket;
    struct mh__connection *connection;
    struct mh__address to; /* the origin's list may be another one by the time it is connected */
};

static struct mh__connection *connection_of(struct mh__socket *socket)
{
    return MH__CONTAINER(socket, struct mh__attempt, socket)->connection;
}

/* ---- the end ---- */

static void free_connection(struct mh__connection *c)
{
    mh_buf_free(&c->in);
    mh_buf_free(&c->raw);
    mh_buf_free(&c->out);
    mh_buf_free(&c->flight);
    mh__free(c);
}

static void released(struct mh__socket *socket)
{
    struct mh__attempt *attempt = MH__CONTAINER(socket, struct mh__attempt, socket);
    struct mh__connection *c = attempt->connection;
    mh__free(attempt);
    if (--c->alive == 0 && c->state == MH__GONE)
        free_connection(c);
}

static void close_attempt(struct mh__connection *c, size_t i)
{
    struct mh__attempt *attempt = c->attempts[i];
    c->attempts[i] = NULL;
    if (attempt)
        mh__socket_close(&attempt->socket);
}

/* Before the connection ends for good, and only where it is quick. */
static void say_goodbye(struct mh__connection *c)
{
    if (!c->tls || !c->winner || c->sending || c->state == MH__SECURING)
        return;
    mh__tls_close(c->tls, &c->out);
    (void)!mh__connection_send(c, NULL, 0);
}

/* A name that nobody waits for any more gives its place up to the next one. */
static void stop_resolving(struct mh__origin *origin)
{
    if (mh__list_empty(&origin->resolving))
        mh__lookup_cancel(&origin->lookup);
}

void mh__connection_close(struct mh__connection *c)
{
    struct mh__origin *origin = c->origin;
    if (c->state == MH__GONE)
        return;
    say_goodbye(c);
    mh__tls_free(c->tls);
    c->tls = NULL;
    c->state = MH__GONE;
    mh__timer_stop(origin->pool->loop, &c->timer);
    mh__list_remove(&c->link);
    mh__list_remove(&c->idle);
    stop_resolving(origin);
    for (size_t i = 0; i < MH__ADDRESSES_MAX; i++)
        close_attempt(c, i);
    if (c->alive == 0)
        free_connection(c);
    mh__pool_count(origin, -1);
}

/* The transfer takes the news; it can end here. */
static void fail(struct mh__connection *c, int err, const char *detail)
{
    struct mh__transfer *x = c->transfer;
    assert(x);
    c->transfer = NULL;
    x->connection = NULL;
    mh__connection_close(c);
    mh__transfer_fail(x, err, detail);
}

/* ---- bytes out ---- */

static int send_pieces(struct mh__connection *c, const struct iovec *pieces, int count)
{
    struct iovec all[MH__SEND_PIECES];
    int used = 0;
    if (c->flight.len > 0)
        all[used++] = (struct iovec){c->flight.data, c->flight.len};
    for (int i = 0; i < count; i++) {
        if (pieces[i].iov_len > 0)
            all[used++] = pieces[i];
    }
    return used > 0 ? mh__socket_send(&c->winner->socket, all, used) : 1;
}

/* What goes now is put aside, so that more can be collected meanwhile. Its memory comes back. */
static void swap_out(struct mh__connection *c)
{
    mh_buf out = c->out;
    c->out = c->flight;
    c->flight = out;
}

int mh__connection_send(struct mh__connection *c, const struct iovec *pieces, int count)
{
    swap_out(c);
    int gone = send_pieces(c, pieces, count);
    if (gone == 0) {
        c->sending = true;
        return 0;
    }
    mh_buf_clear(&c->flight);
    if (c->flight.cap > c->out.cap)
        swap_out(c);
    return gone;
}

size_t mh__connection_unsent(const struct mh__connection *c)
{
    const struct mh__socket *socket = &c->winner->socket;
    size_t bytes = 0;
    for (int i = 0; i < socket->unsent_count; i++)
        bytes += socket->unsent[i].iov_len;
    return bytes;
}

/* What TLS or the tunnel has to say. */
static int flush(struct mh__connection *c)
{
    if (c->sending || c->out.len == 0)
        return 0;
    int gone = mh__connection_send(c, NULL, 0);
    return gone < 0 ? gone : 0;
}

/* ---- ready ---- */

static void ready(struct mh__connection *c)
{
    c->state = MH__BUSY;
    c->reused = false;
    mh__fetch_begin(c);
}

/* ---- TLS ---- */

static int64_t limit(const struct mh__transfer *x, int given, int standard)
{
    int ms = given == 0 ? standard : given;
    return ms < 0 ? MH__NEVER : x->pool->loop->now + ms;
}

static void take_raw(struct mh__connection *c, mh_str raw);

static void secure(struct mh__connection *c, mh_str raw)
{
    struct mh__transfer *x = c->transfer;
    assert(x);
    int done = mh__tls_handshake(c->tls, &raw, &c->out);
    int err = flush(c);
    if (done < 0) {
        fail(c, done, mh__words(x->words, "%s", mh__tls_why(c->tls)));
    } else if (err < 0) {
        fail(c, err, NULL);
    } else if (done > 0) {
        x->res->timings.secured_us = mh__transfer_us(x);
        ready(c);
        if (raw.len > 0 && c->state != MH__GONE)
            take_raw(c, raw);
    }
}

static void begin_tls(struct mh__connection *c, mh_str raw)
{
    struct mh__transfer *x = c->transfer;
    struct mh__tls_context *context;
    char why[MH__TLS_WHY_MAX] = "";
    c->state = MH__SECURING;
    mh__transfer_enter(x, MH_PHASE_TLS, limit(x, x->fetch.tls_timeout_ms, MH_FETCH_TLS_TIMEOUT_MS));
    int err = mh__client_tls(x->pool->client, &context, why);
    if (err == 0)
        err = mh__tls_client(&c->tls, context, c->origin->host, c->origin->port);
    if (err < 0)
        fail(c, err, why[0] ? mh__words(x->words, "%s", why) : NULL);
    else
        secure(c, raw);
}

/* ---- the tunnel ---- */

static void begin_tls_behind(struct mh__connection *c, mh_str rest)
{
    if (rest.len == 0) {
        mh_buf_clear(&c->in);
        begin_tls(c, (mh_str){NULL, 0});
        return;
    }
    /* Nobody speaks TLS before the client does. */
    fail(c, MH_ERR_PROXY, "the proxy sent more than its answer to CONNECT");
}

static void tunnel_fault(struct mh__connection *c, int err, const mh_h1_fault *fault)
{
    char words[MH__DETAIL_MAX];
    mh_buf text = mh__buf_over(words, sizeof(words));
    bool told = mh_h1_explain(fault, &text) == 0;
    fail(c, err, mh__words(c->transfer->words, "%s", told ? words : fault->reason));
}

static void refused(struct mh__connection *c, int status)
{
    fail(c, MH_ERR_PROXY,
         mh__words(c->transfer->words, "the proxy answered %d %s", status, mh_reason(status)));
}

/* Interim answers are passed over (RFC 9110 section 15.2). */
static void read_tunnel(struct mh__connection *c)
{
    mh_h1_view *view = &c->origin->pool->view;
    mh_str in = mh_buf_str(&c->in);
    for (;;) {
        int event = mh_h1_next(&c->h1, &in, view);
        if (event < 0)
            tunnel_fault(c, event, &view->fault);
        else if (event == MH_H1_NEED_MORE)
            mh_buf_consume(&c->in, c->in.len - in.len);
        else if (event == MH_H1_SWITCHED)
            begin_tls_behind(c, in);
        else if (event == MH_H1_HEAD && view->head.status >= 300)
            refused(c, view->head.status);
        else if (event == MH_H1_HEAD)
            continue;
        else
            fail(c, MH_ERR_PROXY, NULL);
        return;
    }
}

static void take_tunnel(struct mh__connection *c, mh_str in)
{
    int err = mh__trace_head(c->transfer, MH_RECEIVED, in);
    if (err == 0)
        err = mh_buf_append(&c->in, in.ptr, in.len);
    if (err < 0)
        fail(c, err, NULL);
    else
        read_tunnel(c);
}

/* RFC 9110 section 9.3.6. An IPv6 address has its brackets there. */
static int put_connect(struct mh__connection *c)
{
    const struct mh__origin *origin = c->origin;
    bool brackets = memchr(origin->host.ptr, ':', origin->host.len) != NULL;
    char name[MH__HOST_MAX + 16];
    mh_buf authority = mh__buf_over(name, sizeof(name));
    int err = mh_buf_printf(&authority, "%s" MH_FMT "%s:%u", brackets ? "[" : "",
                            MH_ARG(origin->host), brackets ? "]" : "", (unsigned)origin->port);
    mh_header headers[2] = {{MH_STR("Host"), mh_buf_str(&authority)},
                            {MH_STR("Proxy-Authorization"), origin->proxy->authorization}};
    mh_h1_head head = {.method = MH_STR("CONNECT"),
                       .target = mh_buf_str(&authority),
                       .headers = {headers, origin->proxy->authorization.ptr ? 2 : 1}};
    mh_h1_init(&c->h1, MH_H1_CLIENT, MH_FETCH_HEAD_MAX);
    if (err == 0)
        err = mh_h1_put_head(&c->h1, &head, &c->out);
    return err < 0 ? err : mh_h1_put_end(&c->h1, (mh_headers){0}, &c->out);
}

static void begin_tunnel(struct mh__connection *c)
{
    struct mh__transfer *x = c->transfer;
    c->state = MH__TUNNELLING;
    mh__transfer_enter(x, MH_PHASE_PROXY, x->connect_deadline);
    int err = put_connect(c);
    if (err == 0)
        err = mh__trace_head(x, MH_SENT, mh_buf_str(&c->out));
    if (err == 0)
        err = flush(c);
    if (err < 0)
        fail(c, err, NULL);
}

/* ---- bytes in ---- */

/* Decrypt what there is, and hand it on, until there is a pause or an end. */
static void take_records(struct mh__connection *c, mh_str *raw)
{
    char *plain = c->origin->pool->plain;
    while (c->state == MH__KEPT || (c->state == MH__BUSY && !mh__transfer_rests(c->transfer))) {
        ssize_t len = mh__tls_read(c->tls, raw, plain, MH__SCRATCH_SIZE, &c->out);
        (void)!flush(c); /* a connection that takes nothing is found out by what it sends */
        if (len == 0)
            return;
        bool kept = c->state == MH__KEPT;
        if (kept)
            mh__connection_close(c); /* nobody has asked for anything */
        else if (len > 0)
            mh__fetch_received(c, (mh_str){plain, (size_t)len});
        else if (len == MH__TLS_END)
            c->ended = true;
        else
            fail(c, (int)len, mh__words(c->transfer->words, "%s", mh__tls_why(c->tls)));
        if (len == MH__TLS_END && !kept)
            mh__fetch_closed(c, 0);
    }
}

static void take_raw(struct mh__connection *c, mh_str raw)
{
    int err = 0;
    if (c->raw.len > 0) {
        err = mh_buf_append(&c->raw, raw.ptr, raw.len);
        raw = mh_buf_str(&c->raw);
    }
    size_t all = raw.len;
    if (err == 0)
        take_records(c, &raw);
    if (c->state == MH__GONE)
        return;
    if (c->raw.len > 0)
        mh_buf_consume(&c->raw, all - raw.len);
    else if (err == 0 && raw.len > 0)
        err = mh_buf_append(&c->raw, raw.ptr, raw.len);
    if (err < 0 && c->transfer)
        fail(c, err, NULL);
    else if (err < 0)
        mh__connection_close(c);
}

static void take(struct mh__connection *c, mh_str in)
{
    switch (c->state) {
    case MH__TUNNELLING:
        take_tunnel(c, in);
        break;
    case MH__SECURING:
        secure(c, in);
        break;
    case MH__BUSY:
    case MH__KEPT:
        if (c->tls)
            take_raw(c, in);
        else if (c->state == MH__BUSY)
            mh__fetch_received(c, in);
        else
            mh__connection_close(c); /* nobody has asked for anything */
        break;
    default:
        break;
    }
}

/* err 0: the peer has closed. */
static void take_end(struct mh__connection *c, int err)
{
    switch (c->state) {
    case MH__TUNNELLING:
        fail(c, err < 0 ? err : MH_ERR_PROXY,
             err < 0 ? NULL : "the proxy closed before it had answered");
        break;
    case MH__SECURING:
        fail(c, err < 0 ? err : MH_ERR_CLOSED,
             err < 0 ? NULL : "closed in the middle of the TLS handshake");
        break;
    case MH__BUSY:
        mh__fetch_closed(c, err);
        break;
    default:
        mh__connection_close(c);
    }
}

static void received(struct mh__socket *socket, const char *data, ssize_t len)
{
    struct mh__connection *c = connection_of(socket);
    if (c->transfer)
        mh__transfer_touch(c->transfer);
    if (len > 0)
        take(c, (mh_str){data, (size_t)len});
    else
        take_end(c, (int)len);
}

static void sent(struct mh__socket *socket, int err)
{
    struct mh__connection *c = connection_of(socket);
    c->sending = false;
    mh_buf_clear(&c->flight);
    if (c->transfer)
        mh__transfer_touch(c->transfer);
    if (err == 0)
        err = flush(c);
    if (c->state == MH__BUSY)
        mh__upload_sent(c, err);
    else if (err < 0 && c->transfer)
        fail(c, err, NULL);
}

void mh__connection_pause(struct mh__connection *c)
{
    (void)!mh__socket_receive(&c->winner->socket, false);
}

int mh__connection_listen(struct mh__connection *c)
{
    return mh__socket_receive(&c->winner->socket, true);
}

void mh__connection_resume(struct mh__connection *c)
{
    struct mh__transfer *x = c->transfer;
    int err = mh__connection_listen(c);
    if (err < 0) {
        fail(c, err, NULL);
        return;
    }
    mh__fetch_received(c, (mh_str){NULL, 0});
    bool goes_on = c->state == MH__BUSY && c->transfer == x && !mh__transfer_rests(x);
    if (c->tls && (goes_on || c->state == MH__KEPT)) /* what is behind the answer ends it */
        take_raw(c, (mh_str){NULL, 0});
}

/* ---- the race ---- */

static sa_family_t family(const struct mh__addresses *a, size_t i)
{
    return a->at[i].addr.ss_family;
}

/* Whom the transfer talks to, or tries to. */
static void name_peer(const struct mh__connection *c, const struct mh__address *address)
{
    struct mh__transfer *x = c->transfer;
    mh__address_text(x->peer, sizeof(x->peer), address);
    x->res->peer = x->peer;
}

static void established(struct mh__connection *c, struct mh__attempt *winner)
{
    struct mh__transfer *x = c->transfer;
    c->winner = winner;
    name_peer(c, &winner->to);
    memcpy(c->peer, x->peer, sizeof(c->peer));
    x->res->timings.connected_us = mh__transfer_us(x);
    int err = mh__socket_receive(&winner->socket, true);
    if (err < 0)
        fail(c, err, NULL);
    else if (c->origin->way == MH__BY_TUNNEL)
        begin_tunnel(c);
    else if (c->origin->tls)
        begin_tls(c, (mh_str){NULL, 0});
    else
        ready(c);
}

/* This machine has no way to that address, which tells less than what another address said. */
static bool no_way(int err)
{
    return err == 0 || err == -ENETUNREACH || err == -EAFNOSUPPORT || err == -EADDRNOTAVAIL;
}

static bool any_runs(const struct mh__connection *c)
{
    for (size_t i = 0; i < MH__ADDRESSES_MAX; i++) {
        if (c->attempts[i])
            return true;
    }
    return false;
}

/* The error that will be told, and whose it is. */
static void note_error(struct mh__connection *c, int err, const struct mh__address *address)
{
    if (!no_way(c->connect_err) && no_way(err))
        return;
    c->connect_err = err;
    name_peer(c, address);
}

/* The URL does not say who refused where that was a proxy, or a place from the options. */
static const char *connect_failed(const struct mh__connection *c)
{
    struct mh__transfer *x = c->transfer;
    bool local = c->origin->addresses.count > 0 && family(&c->origin->addresses, 0) == AF_UNIX;
    if (!c->origin->proxy && !local)
        return NULL;
    return mh__words(x->words, "%s%s: %s", c->origin->proxy ? "proxy " : "", x->peer,
                     mh_strerror(c->connect_err));
}

static void connected(struct mh__socket *socket, int err);

static int try_address(struct mh__connection *c, size_t i)
{
    static const struct mh__socket_events events = {connected, received, sent, released};
    struct mh__attempt *attempt = mh__calloc(1, sizeof(*attempt));
    if (!attempt)
        return -ENOMEM;
    attempt->connection = c;
    attempt->to = c->origin->addresses.at[i];
    int err = mh__socket_connect(&attempt->socket, c->origin->pool->loop, &events, &attempt->to);
    if (err < 0) {
        mh__free(attempt);
        return err;
    }
    c->attempts[i] = attempt;
    c->alive++;
    return 0;
}

/* Start with the next address that can be started with at all, and give it some time before the one
 * behind it. The transfer can end here. */
static void try_next(struct mh__connection *c)
{
    struct mh__pool *pool = c->origin->pool;
    size_t count = c->origin->addresses.count;
    int err = -EADDRNOTAVAIL;
    while (c->tried < count && err < 0) {
        const struct mh__address *to = &c->origin->addresses.at[c->tried];
        err = try_address(c, c->tried++);
        if (err < 0)
            note_error(c, err, to);
        else
            name_peer(c, to);
    }
    if (c->tried < count)
        mh__timer_set(pool->loop, &c->timer, pool->loop->now + MH__ATTEMPT_DELAY_MS);
    if (any_runs(c))
        return;
    if (c->connect_err == 0)
        c->connect_err = -EADDRNOTAVAIL;
    if (c->origin->addresses_until != MH__NEVER)
        c->origin->addresses_until = 0; /* the host may have moved: ask again */
    fail(c, c->connect_err, connect_failed(c));
}

static void next_is_due(struct mh__timer *timer)
{
    try_next(MH__CONTAINER(timer, struct mh__connection, timer));
}

static size_t place_of(const struct mh__connection *c, const struct mh__socket *socket)
{
    size_t i = 0;
    while (!c->attempts[i] || &c->attempts[i]->socket != socket)
        i++;
    return i;
}

static void connected(struct mh__socket *socket, int err)
{
    struct mh__connection *c = connection_of(socket);
    size_t i = place_of(c, socket);
    mh__timer_stop(c->origin->pool->loop, &c->timer);
    if (err < 0) {
        note_error(c, err, &c->attempts[i]->to);
        close_attempt(c, i);
        try_next(c);
        return;
    }
    for (size_t other = 0; other < MH__ADDRESSES_MAX; other++) {
        if (other != i)
            close_attempt(c, other);
    }
    established(c, c->attempts[i]);
}

static void race(struct mh__connection *c)
{
    struct mh__transfer *x = c->transfer;
    c->state = MH__RACING;
    mh__transfer_enter(x, MH_PHASE_CONNECT, x->connect_deadline);
    try_next(c);
}

/* ---- the name ---- */

/* The families in turns, so that one that leads nowhere is left after one attempt (RFC 8305 section
 * 4). The order within each is the resolver's. */
static void interleave(struct mh__addresses *a)
{
    for (size_t i = 1; i < a->count; i++) {
        size_t other = i;
        while (other < a->count && family(a, other) == family(a, i - 1))
            other++;
        if (other == a->count)
            return;
        struct mh__address next = a->at[other];
        memmove(&a->at[i + 1], &a->at[i], (other - i) * sizeof(a->at[0]));
        a->at[i] = next;
    }
}

static void resolved(struct mh__connection *c, int err, const char *why)
{
    struct mh__transfer *x = c->transfer;
    if (err < 0) {
        fail(c, err, why);
        return;
    }
    x->res->timings.resolved_us = mh__transfer_us(x);
    race(c);
}

/* When the last one is told of an error nobody uses the origin any more, and what on_done submits
 * may make the pool forget it. */
static void found(struct mh__lookup *lookup, int err, const struct mh__addresses *addresses,
                  const char *why)
{
    struct mh__origin *origin = MH__CONTAINER(lookup, struct mh__origin, lookup);
    struct mh__link *link, line;
    if (err == 0) {
        origin->addresses = *addresses;
        interleave(&origin->addresses);
        origin->addresses_until = origin->pool->loop->now + MH__ADDRESSES_AGE_MS;
    }
    mh__list_move(&origin->resolving, &line);
    while ((link = mh__list_take(&line)))
        resolved(MH__CONTAINER(link, struct mh__connection, link), err, why);
}

static void resolve(struct mh__connection *c)
{
    struct mh__origin *origin = c->origin;
    struct mh__transfer *x = c->transfer;
    int64_t until = limit(x, x->fetch.resolve_timeout_ms, MH_FETCH_RESOLVE_TIMEOUT_MS);
    mh__transfer_enter(x, MH_PHASE_RESOLVE, mh__deadline_min(until, x->connect_deadline));
    bool asked = !mh__list_empty(&origin->resolving);
    mh__list_append(&origin->resolving, &c->link);
    if (asked || origin->lookup.loop)
        return;
    origin->lookup.found = found;
    int err =
        mh__lookup_start(&origin->lookup, origin->pool->loop, origin->dial_host, origin->dial_port);
    if (err < 0)
        fail(c, err, NULL);
}

static bool is_known(const struct mh__origin *origin)
{
    return origin->addresses.count > 0 && origin->pool->loop->now < origin->addresses_until;
}

void mh__connection_open(struct mh__origin *origin, struct mh__transfer *x)
{
    struct mh__connection *c = mh__calloc(1, sizeof(*c));
    if (!c) {
        mh__transfer_fail(x, -ENOMEM, NULL);
        return;
    }
    c->origin = origin;
    c->transfer = x;
    c->timer.expired = next_is_due;
    c->in.max = MH_FETCH_HEAD_MAX + 2 * MH__RECEIVE_SIZE;
    c->raw.max = 2 * MH__RECEIVE_SIZE;
    c->out.max = c->flight.max = MH__OUT_MAX;
    x->connection = c;
    mh__pool_count(origin, 1);
    x->connect_deadline = limit(x, x->fetch.connect_timeout_ms, MH_FETCH_CONNECT_TIMEOUT_MS);
    if (is_known(origin))
        race(c);
    else
        resolve(c);
}
