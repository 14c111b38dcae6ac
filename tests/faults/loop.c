/* loop.c: the event loop on its own: a name, a connection, bytes both ways, and a limit in time. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "inject.h"
#include "loop/loop.h"
#include "names.h"
#include "peer.h"
#include "scenario.h"

#define TIMEOUT_MS 2000
#define GOT_MAX 4096

static const struct answer hello = {.pieces = {"HTTP/1.1 200 OK\r\n", "\r\nhel", "lo"}};

#define LINE_ "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\n" /* 64 bytes */
#define BODY_                                                                                      \
    LINE_ LINE_ LINE_ LINE_ LINE_ LINE_ LINE_ LINE_ LINE_ LINE_ LINE_ LINE_ LINE_ LINE_ LINE_ LINE_

struct exchange {
    struct mh__attachment attachment;
    struct mh__lookup lookup;
    struct mh__socket socket;
    struct mh__timer limit;
    mh_loop *loop;
    bool looks_up, open, over;
    const struct iovec *pieces;
    int count, result, releases;
    size_t len;
    char got[GOT_MAX];
};

/* What is left to do is to let go of everything, once. */
static void finish(struct exchange *exchange, int result)
{
    exchange->result = result;
    exchange->over = true;
    mh__timer_stop(exchange->loop, &exchange->limit);
    if (exchange->looks_up)
        mh__lookup_cancel(&exchange->lookup);
    exchange->looks_up = false;
    if (exchange->open)
        mh__socket_close(&exchange->socket);
    else
        mh__loop_release(exchange->loop);
    exchange->open = false;
}

static void expired(struct mh__timer *timer)
{
    finish(MH__CONTAINER(timer, struct exchange, limit), -ETIMEDOUT);
}

static void detached(struct mh__attachment *attachment)
{
    struct exchange *exchange = MH__CONTAINER(attachment, struct exchange, attachment);
    if (!exchange->over)
        finish(exchange, -ECANCELED);
}

/* ---- the connection ---- */

static void connected(struct mh__socket *socket, int err)
{
    struct exchange *exchange = MH__CONTAINER(socket, struct exchange, socket);
    if (err == 0)
        err = mh__socket_receive(socket, true);
    if (err == 0)
        err = mh__socket_send(socket, exchange->pieces, exchange->count);
    if (err < 0)
        finish(exchange, err);
}

static void received(struct mh__socket *socket, const char *data, ssize_t len)
{
    struct exchange *exchange = MH__CONTAINER(socket, struct exchange, socket);
    if (len <= 0) {
        finish(exchange, (int)len);
        return;
    }
    check((size_t)len < GOT_MAX - exchange->len);
    memcpy(exchange->got + exchange->len, data, (size_t)len);
    exchange->len += (size_t)len;
}

static void sent(struct mh__socket *socket, int err)
{
    if (err < 0)
        finish(MH__CONTAINER(socket, struct exchange, socket), err);
}

static void released(struct mh__socket *socket)
{
    struct exchange *exchange = MH__CONTAINER(socket, struct exchange, socket);
    exchange->releases++;
    mh__loop_release(exchange->loop);
}

static const struct mh__socket_events events = {connected, received, sent, released};

static void found(struct mh__lookup *lookup, int err, const struct mh__addresses *addresses,
                  const char *why)
{
    struct exchange *exchange = MH__CONTAINER(lookup, struct exchange, lookup);
    exchange->looks_up = false;
    check(err < 0 || (!why && addresses->count == 1));
    check(err != MH_ERR_RESOLVE || why);
    if (err == 0)
        err = mh__socket_connect(&exchange->socket, exchange->loop, &events, &addresses->at[0]);
    exchange->open = err == 0;
    if (err < 0)
        finish(exchange, err);
}

/* ---- from its beginning to its end ---- */

static int begin(struct exchange *exchange, const char *host, int port)
{
    exchange->attachment.detached = detached;
    exchange->limit.expired = expired;
    exchange->lookup.found = found;
    int err =
        mh__lookup_start(&exchange->lookup, exchange->loop, mh_str_from(host), (uint16_t)port);
    if (err < 0)
        return err;
    exchange->looks_up = true;
    mh__loop_attach(exchange->loop, &exchange->attachment);
    mh__loop_hold(exchange->loop);
    mh__timer_set(exchange->loop, &exchange->limit, mh__loop_now(exchange->loop) + TIMEOUT_MS);
    return 0;
}

static int conduct(struct exchange *exchange, const char *host, int port, int timeout_ms)
{
    int err = mh_loop_new(&exchange->loop);
    check((err == 0) == (exchange->loop != NULL));
    if (err == 0)
        err = begin(exchange, host, port);
    if (err == 0)
        err = mh_loop_run(exchange->loop, timeout_ms);
    mh_loop_free(exchange->loop);
    check(exchange->releases <= 1);
    return err == 0 ? exchange->result : err;
}

static int talk(const struct iovec *pieces, int count)
{
    struct exchange exchange = {.pieces = pieces, .count = count};
    int port = peer_serve(&hello, 1), result;
    COUNTED(result = conduct(&exchange, "localhost", port, -1));
    note_bytes("asked", peer_stop());
    note_bytes("got", (mh_str){exchange.got, exchange.len});
    check(exchange.over || result < 0);
    return result;
}

static int loop_one_piece(void)
{
    struct iovec piece = {"GET / HTTP/1.1\r\n\r\n", 18};
    return talk(&piece, 1);
}

static int loop_three_pieces(void)
{
    struct iovec pieces[] = {
        {"POST / HTTP/1.1\r\nContent-Length: 1024\r\n", 39}, {"\r\n", 2}, {BODY_, 1024}};
    return talk(pieces, 3);
}

/* The loop goes while the lookup hangs. */
static int loop_slow_name(void)
{
    struct exchange exchange = {0};
    names_hold();
    int result;
    COUNTED(result = conduct(&exchange, "slow.test", 80, 0));
    names_release();
    check(exchange.result == -ECANCELED || result < 0);
    return result < 0 ? result : 0;
}

/* A wake is seen, whatever becomes of the calls that carry it. */
static int loop_wake(void)
{
    mh_loop *loop;
    int result;
    inject_enter();
    result = mh_loop_new(&loop);
    if (result == 0) {
        mh__loop_hold(loop);
        mh_loop_wake(loop);
        result = mh_loop_run(loop, TIMEOUT_MS);
        note("woken %d\n", loop->woken);
        if (result == 1 && !loop->woken)
            result = -ETIMEDOUT;
        mh__loop_release(loop);
    }
    mh_loop_free(loop);
    inject_leave();
    return result;
}

const struct scenario loop_scenarios[] = {
    {.name = "loop_one_piece",
     .run = loop_one_piece,
     .also = {MH_ERR_RESOLVE, -ENOMEM},
     .eof_is_end = true},
    {.name = "loop_three_pieces",
     .run = loop_three_pieces,
     .also = {MH_ERR_RESOLVE, -ENOMEM},
     .eof_is_end = true,
     .send_max = 200},
    {.name = "loop_slow_name", .run = loop_slow_name, .also = {MH_ERR_RESOLVE, -ENOMEM}},
    {
        .name = "loop_wake",
        .run = loop_wake,
    },
    {0},
};
