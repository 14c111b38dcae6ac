/* respond.c: one connection, one request, one reply, in the caller's thread. Decides what is waited
 * for, and how long; what is answered is decided in exchange.c and reply.c. */
#include <errno.h>

#include "base/clock.h"
#include "net/net.h"
#include "server/exchange.h"

/* Room for one receive: most heads come whole in one. */
#define RECEIVE_MIN 4096

_Static_assert(MH_SERVER_HEAD_TIMEOUT_MS + MH_SERVER_LINGER_MS < MH_SERVER_REQUEST_MAX_MS,
               "there is time to answer a head that came late");

/* Beside the events of mh_h1_next(): the exchange holds a reply that says no. */
enum { REFUSED = 1000 };

struct session {
    int fd;
    int64_t end;           /* nothing is waited for any longer */
    int64_t head_deadline; /* the head is complete by then */
    bool heard;            /* a byte has come */
    bool spoken;           /* a reply was sent, which the peer should be able to read */
    bool stuck;            /* sending failed; nothing may go behind the part that went */
    mh_buf wire;           /* received; [0, used) was consumed */
    size_t used;
    mh_buf head;             /* the bytes that the request's slices point into ... */
    mh_h1_view *head_view;   /* ... and the array of its fields */
    mh_h1_view *behind_view; /* for the events behind the head */
    struct sockaddr_storage peer;
    struct mh__exchange ex;
};

static int refuse(struct session *s, int status, mh_str why)
{
    int err = mh__reply_refuse(&s->ex, status, why);
    return err < 0 ? err : REFUSED;
}

/* ---- sending ---- */

/* All that the exchange holds goes out, with one call where the kernel takes it. */
static int flush(struct session *s)
{
    struct iovec iov[2] = {{s->ex.out.data, s->ex.out.len},
                           {(char *)s->ex.behind.ptr, s->ex.behind.len}};
    int count = s->ex.behind.len > 0 ? 2 : 1;
    int err = mh__send(s->fd, iov, count, MH_SERVER_SEND_TIMEOUT_MS, s->end);
    s->stuck = err < 0;
    mh_buf_clear(&s->ex.out);
    return err;
}

static int send_reply(struct session *s)
{
    int err = flush(s);
    s->spoken = err == 0;
    return err < 0 ? err : s->ex.status;
}

/* There is no memory for a reply. This one needs none. */
static void send_unavailable(struct session *s)
{
    static const char reply[] = "HTTP/1.1 503 Service Unavailable\r\n"
                                "Content-Length: 0\r\n"
                                "Connection: close\r\n"
                                "\r\n";
    struct iovec iov = {(char *)reply, sizeof(reply) - 1};
    s->spoken = mh__send(s->fd, &iov, 1, MH_SERVER_SEND_TIMEOUT_MS, s->end) == 0;
}

/* ---- receiving ---- */

/* A body may take its time, but leaves some for saying that it took too long. */
static int64_t receive_deadline(const struct session *s)
{
    if (!s->ex.request.head.ptr)
        return s->head_deadline;
    return mh__deadline_min(mh__deadline_in(MH_SERVER_BODY_TIMEOUT_MS),
                            s->end - MH_SERVER_LINGER_MS);
}

static void hear(struct session *s, size_t len)
{
    s->wire.len += len;
    s->wire.data[s->wire.len] = '\0';
    if (!s->heard)
        s->head_deadline = mh__deadline_in(MH_SERVER_HEAD_TIMEOUT_MS);
    s->heard = true;
}

/* Receive once, behind what is not consumed. Returns how much, 0 at the end, or an error. */
static ssize_t receive(struct session *s)
{
    mh_buf *wire = &s->wire;
    mh_buf_consume(wire, s->used);
    s->used = 0;
    int err = mh_buf_reserve(wire, RECEIVE_MIN);
    if (err < 0)
        return err;
    size_t room = wire->cap - wire->len - 1;
    ssize_t len = mh__recv(s->fd, wire->data + wire->len, room, receive_deadline(s));
    if (len > 0)
        hear(s, (size_t)len);
    return len;
}

/* The peer is gone. Its other half may still listen, so it is told; but nobody counts on it. */
static int peer_left(struct session *s)
{
    int err = refuse(s, 400, MH_STR("the connection was closed in the middle of the request"));
    if (err == -ENOMEM)
        return err;
    (void)!send_reply(s);
    return MH_ERR_CLOSED;
}

/* Nothing more comes: the peer closed (why is MH_ERR_CLOSED), or is silent (-ETIMEDOUT). */
static int cut_short(struct session *s, mh_h1_view *view, int why)
{
    if (mh_h1_eof(&s->ex.h1, view) >= 0)
        return why; /* not a byte of the request had come: there is nothing to answer */
    if (why == MH_ERR_CLOSED)
        return peer_left(s);
    return refuse(s, 408, MH_STR("the request took too long to arrive"));
}

static int malformed(struct session *s, const mh_h1_fault *fault)
{
    mh_buf why = {0};
    int err = mh_h1_explain(fault, &why);
    if (err == 0)
        err = refuse(s, fault->status, mh_buf_str(&why));
    mh_buf_free(&why);
    return err;
}

/* What mh_h1_next() makes of the bytes that are there. */
static int parse(struct session *s, mh_h1_view *view)
{
    mh_str left = {s->wire.data, s->wire.len};
    if (s->used > 0)
        left = (mh_str){s->wire.data + s->used, s->wire.len - s->used};
    int event = mh_h1_next(&s->ex.h1, &left, view);
    s->used = s->wire.len - left.len;
    return event < 0 ? malformed(s, &view->fault) : event;
}

/* The next event, however many receives it takes; or REFUSED, or an error. Bounded by the
 * deadlines, and by the engine's limits. */
static int next_event(struct session *s, mh_h1_view *view)
{
    for (;;) {
        int event = parse(s, view);
        if (event != MH_H1_NEED_MORE)
            return event;
        ssize_t len = receive(s);
        if (len == 0)
            return cut_short(s, view, MH_ERR_CLOSED);
        if (len == -ETIMEDOUT)
            return cut_short(s, view, -ETIMEDOUT);
        if (len < 0)
            return (int)len;
    }
}

/* The request's slices point into these bytes: from now on they stay where they are. */
static int keep_head(struct session *s)
{
    s->head = s->wire;
    s->wire = (mh_buf){0};
    size_t used = s->used;
    s->used = 0;
    if (used == s->head.len)
        return 0;
    return mh_buf_append(&s->wire, s->head.data + used, s->head.len - used);
}

static int read_head(struct session *s)
{
    int event = next_event(s, s->head_view);
    if (event != MH_H1_HEAD)
        return event;
    int err = keep_head(s);
    if (err == 0)
        err = mh__exchange_begin(&s->ex, s->head_view);
    if (err == MH_ERR_URL)
        return refuse(s, 400, MH_STR("the request's target is not a path"));
    return err;
}

/* "Expect: 100-continue" (RFC 9110 section 10.1.1). Whoever has sent some of the body does not wait
 * for it. */
static int invite_body(struct session *s)
{
    if (!mh_h1_wants_continue(&s->ex.h1) || s->wire.len > 0)
        return 0;
    mh_h1_head head = {.status = 100, .reason = mh_str_from(mh_reason(100))};
    int err = mh_h1_put_head(&s->ex.h1, &head, &s->ex.out);
    return err < 0 ? err : flush(s);
}

static int refuse_body(struct session *s)
{
    return refuse(s, 413, MH_STR("the request's body is too large"));
}

static bool announces_too_much(const mh_h1 *h1)
{
    uint64_t left = mh_h1_body_left(h1);
    return left != MH_LENGTH_UNKNOWN && left > MH_SERVER_BODY_MAX;
}

static int read_body(struct session *s)
{
    if (announces_too_much(&s->ex.h1))
        return refuse_body(s);
    int err = invite_body(s);
    if (err < 0)
        return err;
    int event;
    while ((event = next_event(s, s->behind_view)) == MH_H1_BODY) {
        err = mh__exchange_body(&s->ex, s->behind_view->body);
        if (err < 0)
            return err == MH_ERR_TOO_LARGE ? refuse_body(s) : err;
    }
    if (event != MH_H1_END)
        return event;
    mh__exchange_end(&s->ex, s->behind_view);
    return 0;
}

/* ---- all of it ---- */

/* The handler takes its own time, not that of the connection. */
static int handle(struct session *s, mh_handler *handler)
{
    int64_t start = mh__clock_ms();
    int err = mh__exchange_handle(&s->ex, handler);
    s->end += mh__clock_ms() - start;
    return err;
}

static int answer(struct session *s, mh_handler *handler)
{
    int result = read_head(s);
    if (result == 0)
        result = read_body(s);
    if (result == 0)
        result = handle(s, handler);
    if (result == -ENOMEM && !s->stuck)
        send_unavailable(s);
    return result < 0 ? result : send_reply(s);
}

static void finish(struct session *s)
{
    int64_t linger = mh__deadline_in(MH_SERVER_LINGER_MS);
    if (s->spoken)
        mh__close_lingering(s->fd, mh__deadline_min(linger, s->end));
    else
        mh__close(s->fd);
    mh__exchange_deinit(&s->ex);
    mh_buf_free(&s->head);
    mh_buf_free(&s->wire);
}

int mh_respond(int connection, mh_handler *handler, void *user)
{
    mh_h1_view head, behind;
    struct session s = {.fd = connection,
                        .end = mh__deadline_in(MH_SERVER_REQUEST_MAX_MS),
                        .head_deadline = mh__deadline_in(MH_SERVER_HEAD_TIMEOUT_MS),
                        .head_view = &head,
                        .behind_view = &behind};
    mh__exchange_init(&s.ex, user);
    if (mh__peer_name(connection, &s.peer))
        s.ex.request.peer = (const struct sockaddr *)&s.peer;
    int result = mh__set_nonblocking(connection);
    if (result == 0)
        result = answer(&s, handler);
    finish(&s);
    return result;
}
