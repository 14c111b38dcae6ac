/* wire.c: the waiting, and nothing but the waiting: one connection, with the limits of one fetch.
 * It does not look at what it carries. */
#include "client/client.h"

#include <errno.h>
#include <poll.h>

#include "base/clock.h"
#include "net/net.h"

static int or_default(int given, int standard)
{
    return given == 0 ? standard : given;
}

int mh__wire_init(struct mh__wire *wire, const mh_fetch *fetch)
{
    wire->fd = -1;
    wire->phase = MH_PHASE_START;
    wire->broken = 0;
    wire->detail = NULL;
    wire->timeout_ms = or_default(fetch->timeout_ms, MH_FETCH_TIMEOUT_MS);
    wire->connect_ms = or_default(fetch->connect_timeout_ms, MH_FETCH_CONNECT_TIMEOUT_MS);
    wire->idle_ms = or_default(fetch->idle_timeout_ms, MH_FETCH_IDLE_TIMEOUT_MS);
    wire->deadline = mh__deadline_in(wire->timeout_ms);
    wire->connect_deadline = mh__deadline_in(wire->connect_ms);
    if (wire->timeout_ms >= -1 && wire->connect_ms >= -1 && wire->idle_ms >= -1)
        return 0;
    wire->detail = "a timeout below -1";
    return -EINVAL;
}

/* Whose time was it that ran out? A timeout of the kernel's own is none of ours. */
static int connect_failed(struct mh__wire *wire, int err)
{
    if (err != -ETIMEDOUT)
        return err;
    if (mh__deadline_left(wire->deadline) == 0)
        wire->detail = mh__words(wire->words, "not complete within %d ms", wire->timeout_ms);
    else if (mh__deadline_left(wire->connect_deadline) == 0)
        wire->detail = mh__words(wire->words, "no connection within %d ms", wire->connect_ms);
    return err;
}

static int transfer_failed(struct mh__wire *wire, int err)
{
    if (err != -ETIMEDOUT)
        return err;
    if (mh__deadline_left(wire->deadline) == 0)
        wire->detail = mh__words(wire->words, "not complete within %d ms", wire->timeout_ms);
    else if (wire->idle_ms >= 0)
        wire->detail = mh__words(wire->words, "no byte for %d ms", wire->idle_ms);
    return err;
}

int mh__wire_connect(struct mh__wire *wire, const mh_url *url)
{
    struct mh__addresses found;
    int64_t deadline = mh__deadline_min(wire->deadline, wire->connect_deadline);
    wire->phase = MH_PHASE_RESOLVE;
    int err = mh__resolve(&found, url->host, url->port, deadline, &wire->detail);
    if (err < 0)
        return connect_failed(wire, err);
    wire->phase = MH_PHASE_CONNECT;
    int fd = mh__connect(&found, deadline);
    if (fd < 0)
        return connect_failed(wire, fd);
    wire->fd = fd;
    return 0;
}

/* sendmsg() does not write through iov_base, whose type says that it could. */
static struct iovec slice(mh_str s)
{
    return (struct iovec){(void *)(uintptr_t)s.ptr, s.len};
}

/* 0: all has gone, or there is something to be received. */
static int send_rest(struct mh__wire *wire)
{
    int err = mh__send_until(wire->fd, wire->unsent, 2, POLLIN, wire->idle_ms, wire->deadline);
    if (err != -EPIPE && err != -ECONNRESET)
        return transfer_failed(wire, err);
    wire->unsent[0].iov_len = wire->unsent[1].iov_len = 0;
    wire->broken = err;
    return 0;
}

int mh__wire_send(struct mh__wire *wire, const struct mh__request *request)
{
    wire->unsent[0] = slice(mh_buf_str(&request->head));
    wire->unsent[1] = slice(request->body);
    wire->phase = MH_PHASE_SEND;
    int err = send_rest(wire);
    if (err == 0)
        wire->phase = MH_PHASE_HEAD;
    return err;
}

static bool is_unsent(const struct mh__wire *wire)
{
    return wire->unsent[0].iov_len + wire->unsent[1].iov_len > 0;
}

/* No byte came. Where there is no answer, what ended sending is what went wrong. */
static int nothing_came(struct mh__wire *wire, int err)
{
    if (is_unsent(wire) && err != -ETIMEDOUT)
        wire->broken = err < 0 ? err : MH_ERR_CLOSED;
    if (wire->phase != MH_PHASE_HEAD || wire->broken == 0)
        return transfer_failed(wire, err);
    wire->phase = MH_PHASE_SEND;
    return wire->broken;
}

ssize_t mh__wire_recv(struct mh__wire *wire, void *buf, size_t cap)
{
    int err = is_unsent(wire) ? send_rest(wire) : 0;
    if (err < 0)
        return err;
    int64_t idle = mh__deadline_in(wire->idle_ms);
    ssize_t len = mh__recv(wire->fd, buf, cap, mh__deadline_min(wire->deadline, idle));
    return len > 0 ? len : nothing_came(wire, (int)len);
}

void mh__wire_close(struct mh__wire *wire)
{
    if (wire->fd >= 0)
        mh__close(wire->fd);
    wire->fd = -1;
}
