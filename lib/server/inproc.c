/* inproc.c: ask a server without a socket. The request is written, parsed, handled, answered and
 * parsed again, by the code that does it on the wire; only the way between the two ends is memory.
 * The one file that sees client and server. */
#include <errno.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "client/client.h"
#include "server/server.h"

#define UPLOAD_PIECE 16384

struct wire {
    struct mh__transfer *transfer;
    struct mh__request request;
    struct mh__session *session; /* NULL: it has gone */
    mh_h1 h1;                    /* the client's end */
    mh_buf up;                   /* on its way to the server; [0, used) has arrived */
    size_t used;
    mh_buf down; /* the beginning of what is not complete */
    mh_h1_view view;
    uint64_t uploaded;
    bool wanted;   /* the session receives */
    bool put_all;  /* the request is written whole */
    bool complete; /* the response is there */
    bool closed;
    int err;
    const char *why;
};

static struct wire *wire_of(const struct mh__session *session)
{
    return session->worker->owner;
}

static void fail(struct wire *wire, int err, const char *why)
{
    if (wire->err < 0 || wire->complete)
        return;
    wire->err = err;
    wire->why = why;
}

/* ---- the response, on the client's end ---- */

static int take_head(struct wire *wire)
{
    struct mh__transfer *x = wire->transfer;
    if (wire->view.head.status < 200)
        return 0; /* interim ones are passed over */
    int err = mh__response_keep_head(x, &wire->view);
    x->phase = MH_PHASE_BODY;
    if (err == 0 && x->fetch.on_head)
        err = x->fetch.on_head(x->res);
    return err;
}

static int take_body(struct wire *wire)
{
    struct mh__transfer *x = wire->transfer;
    mh_response *res = x->res;
    mh_str body = wire->view.body;
    res->received += body.len;
    if (res->received > x->ceiling)
        return MH_ERR_TOO_LARGE;
    if (x->fetch.on_body)
        return x->fetch.on_body(res, body.ptr, body.len);
    return mh_buf_append(&res->body, body.ptr, body.len);
}

static int take_end(struct wire *wire)
{
    int err = 0;
    if (wire->view.head.headers.count > 0)
        err = mh__response_keep_trailers(wire->transfer, &wire->view, mh_buf_str(&wire->down));
    wire->complete = err == 0;
    return err;
}

static int take_event(struct wire *wire, int event)
{
    switch (event) {
    case MH_H1_HEAD:
        return take_head(wire);
    case MH_H1_BODY:
        return take_body(wire);
    case MH_H1_END:
        return take_end(wire);
    default:
        return event < 0 ? event : MH_ERR_MALFORMED;
    }
}

static int parse(struct wire *wire)
{
    mh_str in = mh_buf_str(&wire->down);
    int err = 0;
    while (err == 0 && !wire->complete) {
        int event = mh_h1_next(&wire->h1, &in, &wire->view);
        if (event == MH_H1_NEED_MORE)
            break;
        err = take_event(wire, event);
    }
    mh_buf_consume(&wire->down, wire->down.len - in.len);
    return err < 0 ? err : 0;
}

/* ---- the way ---- */

static int memory_send(struct mh__session *session, const struct iovec *pieces, int count)
{
    struct wire *wire = wire_of(session);
    int err = 0;
    for (int i = 0; i < count && err == 0; i++)
        err = mh_buf_append(&wire->down, pieces[i].iov_base, pieces[i].iov_len);
    if (err == 0 && wire->err == 0)
        err = parse(wire);
    if (err < 0)
        fail(wire, err, NULL);
    return 1; /* what the client's end makes of it is no business of the server's */
}

static int memory_send_file(struct mh__session *session, const struct iovec *pieces, int count,
                            int file, uint64_t offset, uint64_t len)
{
    (void)session, (void)pieces, (void)count, (void)file, (void)offset, (void)len;
    return -EINVAL;
}

static int memory_receive(struct mh__session *session, bool on)
{
    wire_of(session)->wanted = on;
    return 0;
}

static void memory_finish(struct mh__session *session)
{
    wire_of(session)->closed = true;
}

/* Released in the next turn, as if a loop had held it. */
static void memory_close(struct mh__session *session)
{
    wire_of(session)->closed = true;
}

static size_t memory_left(const struct mh__session *session)
{
    (void)session;
    return 0;
}

static uint64_t memory_untaken(const struct mh__session *session)
{
    (void)session;
    return 0;
}

static const struct mh__carrier carrier = {
    false,         memory_send,  memory_send_file, memory_receive,
    memory_finish, memory_close, memory_left,      memory_untaken,
};

/* ---- the request ---- */

static ssize_t ask_for_more(struct wire *wire, char *buf)
{
    const mh_fetch *fetch = &wire->transfer->fetch;
    ssize_t len = fetch->on_upload(wire->transfer->res, buf, UPLOAD_PIECE);
    return len > UPLOAD_PIECE ? -EINVAL : len;
}

static int put_end(struct wire *wire)
{
    wire->put_all = true;
    return mh_h1_put_end(&wire->h1, (mh_headers){0}, &wire->up);
}

/* Some of the body behind what is on its way. */
static int put_more(struct wire *wire)
{
    const mh_fetch *fetch = &wire->transfer->fetch;
    char piece[UPLOAD_PIECE];
    if (!fetch->on_upload) {
        int err = mh_h1_put_body(&wire->h1, wire->request.body, &wire->up);
        return err < 0 ? err : put_end(wire);
    }
    ssize_t len = ask_for_more(wire, piece);
    if (len <= 0)
        return len < 0 ? (int)len : put_end(wire);
    wire->uploaded += (uint64_t)len;
    return mh_h1_put_body(&wire->h1, (mh_str){piece, (size_t)len}, &wire->up);
}

/* Outside of the loop's turns: what time it is then has to be asked. */
static void deliver(struct wire *wire)
{
    (void)mh__loop_now(wire->session->worker->loop);
    mh_str up = mh__str_from(mh_buf_str(&wire->up), wire->used);
    mh_buf taken = wire->up;
    wire->up = (mh_buf){0};
    wire->used = 0;
    mh__session_received(wire->session, up.ptr, (ssize_t)up.len);
    mh_buf_free(&taken);
}

/* One step of whoever has something to do. Whether there was anything. */
static bool advance(struct wire *wire)
{
    if (!wire->wanted || wire->closed || wire->session->closed)
        return false;
    if (wire->up.len > 0) {
        deliver(wire);
        return true;
    }
    if (wire->put_all)
        return false;
    int err = put_more(wire);
    if (err < 0)
        fail(wire, err, "the request's body");
    return true;
}

/* ---- all of it ---- */

static void turn(struct wire *wire, mh_loop *loop, int64_t deadline)
{
    int left = mh__deadline_left(deadline);
    if (left == 0) {
        fail(wire, -ETIMEDOUT, "no answer within the time");
        return;
    }
    int err = mh__loop_turn(loop, left);
    if (err < 0)
        fail(wire, err, NULL);
}

static int64_t deadline_of(const mh_fetch *fetch)
{
    if (fetch->timeout_ms < 0)
        return MH__NEVER;
    return mh__deadline_in(fetch->timeout_ms > 0 ? fetch->timeout_ms : MH_FETCH_TIMEOUT_MS);
}

/* The server has closed: what lasts until then is complete, all else is cut. */
static void note_closed(struct wire *wire)
{
    if (wire->complete || wire->err < 0)
        return;
    int event = mh_h1_eof(&wire->h1, &wire->view);
    if (event == MH_H1_END)
        wire->complete = true;
    else
        fail(wire, MH_ERR_CLOSED, "the server closed the connection");
}

static void talk(struct wire *wire, mh_loop *loop)
{
    int64_t deadline = deadline_of(&wire->transfer->fetch);
    while (wire->err == 0 && !wire->complete && !wire->closed) {
        if (!advance(wire) && wire->err == 0)
            turn(wire, loop, deadline);
    }
    note_closed(wire);
}

static int open_session(struct wire *wire, struct mh__worker *worker)
{
    struct mh__address nobody = {.len = 0};
    worker->owner = wire;
    int err = mh__session_new(&wire->session, worker, &carrier, &nobody);
    if (err < 0)
        return err;
    mh__session_start(wire->session);
    talk(wire, worker->loop);
    mh__session_close(wire->session, 0, NULL);
    mh__session_release(wire->session);
    return wire->err;
}

static int run(struct wire *wire, const struct mh__settings *settings)
{
    mh_loop *loop;
    struct mh__worker *worker;
    int err = mh_loop_new(&loop);
    if (err < 0)
        return err;
    err = mh__worker_new(&worker, settings, loop, -1);
    if (err == 0)
        err = open_session(wire, worker);
    if (err == 0 || worker)
        mh__worker_free(worker);
    mh_loop_free(loop);
    return err;
}

static int ask(struct wire *wire, const struct mh__settings *settings)
{
    struct mh__transfer *x = wire->transfer;
    struct mh__request *request = &wire->request;
    const struct mh__request_how how = {.agent = MH_STR(MH__AGENT)};
    x->phase = MH_PHASE_SEND;
    int err = mh__request_build(request, &x->fetch, x->res->url, &how, &wire->why);
    if (err < 0)
        return err;
    x->idempotent = request->idempotent;
    wire->h1 = request->h1;
    err = mh_buf_append(&wire->up, request->head.data, request->head.len);
    if (err == 0)
        err = run(wire, settings);
    return err;
}

static int fetch_in_memory(const struct mh__settings *settings, const mh_fetch *fetch,
                           mh_response *res)
{
    struct wire *wire;
    struct mh__transfer *x;
    int err = mh__response_begin(&x, fetch, res);
    if (err < 0)
        return err;
    wire = mh__calloc(1, sizeof(*wire));
    if (!wire)
        return mh__response_finish(x, -ENOMEM);
    wire->transfer = x;
    err = ask(wire, settings);
    if (err < 0 && wire->why)
        x->detail = mh__words(x->words, "%s", wire->why);
    mh_buf_free(&wire->up);
    mh_buf_free(&wire->down);
    mh__free(wire);
    err = mh__response_finish(x, err < 0 ? err : 0);
    if (x->fetch.on_done)
        x->fetch.on_done(res);
    return err < 0 ? err : res->status;
}

/* A path alone is one of this server. */
static int put_url(mh_buf *out, const char *url)
{
    int err =
        url[0] == '/' ? mh_buf_append(out, "http://localhost", strlen("http://localhost")) : 0;
    return err < 0 ? err : mh_buf_append(out, url, strlen(url));
}

int mh_server_fetch(mh_server *server, const mh_fetch *fetch, mh_response *res)
{
    mh_buf url = {0};
    if (!server || !fetch || !fetch->url || !res)
        return -EINVAL;
    mh_fetch asked = *fetch;
    int err = put_url(&url, fetch->url);
    if (err == 0) {
        asked.url = url.data;
        err = fetch_in_memory(mh__server_settings(server), &asked, res);
    }
    mh_buf_free(&url);
    return err;
}
