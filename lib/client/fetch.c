/* fetch.c: one request, one response: bytes from the wire to the engine, its events to the response
 * and the callbacks. How to wait for bytes is not known here. */
#include "client/client.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/buffer.h"
#include "base/mem.h"

static int fail(struct mh__transfer *x, int err, const char *detail)
{
    x->wire.detail = detail;
    return err;
}

/* The engine's words about the peer's bytes. */
static int fault(struct mh__transfer *x, int err, const mh_h1_fault *what)
{
    mh_buf words = mh__buf_over(x->wire.words, sizeof(x->wire.words));
    return fail(x, err, mh_h1_explain(what, &words) == 0 ? x->wire.words : what->reason);
}

_Static_assert(MH__INPUT_SIZE - MH_FETCH_HEAD_MAX >= MH_FETCH_HEAD_MAX,
               "trailers may be as large as a head");

/* What has come and is not used up stays in front; what comes next goes behind it, and all of it
 * behind the final head, which the response points into. Until there is one, no more is taken than
 * a head may have: wherever the final head ends then, there is room for trailers behind it. */
static ssize_t receive(struct mh__transfer *x)
{
    char *from = x->input + x->kept;
    size_t size = x->wire.phase == MH_PHASE_HEAD ? MH_FETCH_HEAD_MAX : MH__INPUT_SIZE;
    size_t room = size - x->kept - x->unread.len;
    if (x->unread.ptr != from && x->unread.len > 0)
        memmove(from, x->unread.ptr, x->unread.len);
    x->unread.ptr = from;
    if (room == 0)
        return fail(x, MH_ERR_TOO_LARGE, "more than fits between two chunks");
    ssize_t len = mh__wire_recv(&x->wire, from + x->unread.len, room);
    if (len > 0)
        x->unread.len += (size_t)len;
    return len;
}

static void copy_head(struct mh__transfer *x, mh_response *res)
{
    const mh_h1_view *view = &x->head;
    res->status = view->head.status;
    res->reason = view->head.reason;
    res->headers = view->head.headers;
    res->head = view->raw;
    x->kept = (size_t)(view->raw.ptr + view->raw.len - x->input);
}

/* Interim ones are passed over (RFC 9110 section 15.2); 101 is the last one in HTTP. A body that is
 * announced to be too large is not waited for. */
static int take_head(struct mh__transfer *x, const mh_fetch *fetch, mh_response *res)
{
    int status = x->head.head.status;
    x->begun = true;
    if (status < 200 && status != 101)
        return 0;
    copy_head(x, res);
    res->phase = MH_PHASE_HEAD;
    res->received_total = mh_h1_body_left(&x->request.h1);
    if (res->received_total != MH_LENGTH_UNKNOWN && res->received_total > x->ceiling) {
        mh__wire_explain(&x->wire,
                         "a body of %" PRIu64 " bytes, and no more than %" PRIu64 " wanted",
                         res->received_total, x->ceiling);
        return MH_ERR_TOO_LARGE;
    }
    int err = fetch->on_head ? fetch->on_head(res) : 0;
    if (err < 0)
        return err;
    res->phase = x->wire.phase = MH_PHASE_BODY;
    return 0;
}

static int take_body(struct mh__transfer *x, const mh_fetch *fetch, mh_response *res)
{
    mh_str body = x->rest.body;
    if (body.len > x->ceiling - res->received) {
        mh__wire_explain(&x->wire, "a body of more than %" PRIu64 " bytes", x->ceiling);
        return MH_ERR_TOO_LARGE;
    }
    res->received += body.len;
    if (!fetch->on_body)
        return mh_buf_append(&res->body, body.ptr, body.len);
    int err = fetch->on_body(res, body.ptr, body.len);
    return err < 0 ? err : 0;
}

static mh_h1_view *view_of(struct mh__transfer *x)
{
    return x->wire.phase == MH_PHASE_HEAD ? &x->head : &x->rest;
}

static int end(struct mh__transfer *x, mh_response *res)
{
    if (x->wire.phase == MH_PHASE_BODY)
        res->trailers = x->rest.head.headers;
    res->received_total = res->received;
    return 1;
}

/* 1: the response is complete, 0: go on, or an error. */
static int take_event(struct mh__transfer *x, const mh_fetch *fetch, mh_response *res, int event)
{
    switch (event) {
    case MH_H1_HEAD:
        return take_head(x, fetch, res);
    case MH_H1_BODY:
        return take_body(x, fetch, res);
    case MH_H1_END:
    case MH_H1_SWITCHED:
        return end(x, res);
    default:
        return MH_ERR_CLOSED;
    }
}

/* All events of what has come. Returns like take_event(). */
static int take_events(struct mh__transfer *x, const mh_fetch *fetch, mh_response *res)
{
    for (;;) {
        mh_h1_view *view = view_of(x);
        int event = mh_h1_next(&x->request.h1, &x->unread, view);
        if (event == MH_H1_NEED_MORE)
            return 0;
        if (event < 0)
            return fault(x, event, &view->fault);
        int over = take_event(x, fetch, res, event);
        if (over != 0)
            return over;
    }
}

static int closed_early(struct mh__transfer *x, const mh_response *res)
{
    if (x->wire.phase == MH_PHASE_HEAD && x->unread.len == 0)
        return fail(x, MH_ERR_CLOSED,
                    x->begun ? "closed before the final response"
                             : "closed before a byte of the response came");
    if (x->wire.phase == MH_PHASE_HEAD)
        return fail(x, MH_ERR_CLOSED, "closed in the middle of the head");
    if (res->received_total == MH_LENGTH_UNKNOWN)
        mh__wire_explain(&x->wire,
                         "closed after %" PRIu64 " bytes of the body, before its last chunk",
                         res->received);
    else
        mh__wire_explain(&x->wire, "closed after %" PRIu64 " of %" PRIu64 " bytes of the body",
                         res->received, res->received_total);
    return MH_ERR_CLOSED;
}

/* The peer has closed. */
static int take_eof(struct mh__transfer *x, mh_response *res)
{
    int event = mh_h1_eof(&x->request.h1, view_of(x));
    if (x->wire.phase == MH_PHASE_BODY && (event == MH_H1_END || event == MH_H1_SWITCHED))
        return end(x, res);
    return closed_early(x, res);
}

static int report(const mh_fetch *fetch, mh_response *res, uint64_t before)
{
    if (!fetch->on_progress || res->received == before)
        return 0;
    int err = fetch->on_progress(res);
    return err < 0 ? err : 0;
}

/* One recv() and all that follows from it. Returns like take_event(). */
static int step(struct mh__transfer *x, const mh_fetch *fetch, mh_response *res)
{
    uint64_t before = res->received;
    ssize_t len = receive(x);
    if (len < 0)
        return (int)len;
    int over = len == 0 ? take_eof(x, res) : take_events(x, fetch, res);
    if (over < 0)
        return over;
    int err = report(fetch, res, before);
    return err < 0 ? err : over;
}

static int make_input(struct mh__transfer *x)
{
    if (!x->input)
        x->input = mh__malloc(MH__INPUT_SIZE);
    x->unread = (mh_str){x->input, 0};
    x->kept = 0;
    x->begun = false;
    return x->input ? 0 : -ENOMEM;
}

static int ask(struct mh__transfer *x, const mh_fetch *fetch, mh_str url)
{
    struct mh__request *request = &x->request;
    int err = make_input(x);
    if (err == 0)
        err = mh__request_build(request, fetch, url, true, &x->wire.detail);
    if (err == 0)
        err = mh__wire_connect(&x->wire, &request->url);
    if (err == 0)
        err = mh__wire_send(&x->wire, request);
    return err;
}

int mh_client_fetch(mh_client *client, const mh_fetch *fetch, mh_response *res)
{
    struct mh__transfer *x;
    int over = mh__response_begin(&x, client, fetch, res);
    if (over < 0)
        return over;
    over = ask(x, fetch, res->url);
    while (over == 0)
        over = step(x, fetch, res);
    int err = mh__response_finish(res, over < 0 ? over : 0);
    return err < 0 ? err : res->status;
}
