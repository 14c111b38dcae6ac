/* fetch.c: one request and its response on a connection: bytes to the engine, its events to the
 * response and the callbacks. How the bytes come, and what happens afterwards, is not known here.
 */
#include "client/client.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/buffer.h"
#include "client/redirect.h"
#include "client/secrets.h"

/* ---- what goes by ---- */

int mh__trace_body(struct mh__transfer *x, mh_direction direction, mh_str bytes)
{
    if (!x->fetch.on_trace || bytes.len == 0)
        return 0;
    int err = x->fetch.on_trace(x->res, direction, bytes.ptr, bytes.len);
    return err < 0 ? err : 0;
}

int mh__trace_head(struct mh__transfer *x, mh_direction direction, mh_str head)
{
    mh_buf blanked = {0};
    if (!x->fetch.on_trace || x->fetch.flags & MH_FETCH_SHOW_SECRETS)
        return mh__trace_body(x, direction, head);
    int err = mh__secrets_blank(&blanked, head, x->fetch.secrets);
    if (err == 0)
        err = mh__trace_body(x, direction, mh_buf_str(&blanked));
    mh_buf_free(&blanked);
    return err;
}

/* ---- events ---- */

enum { GO_ON, COMPLETE }; /* beside errors */

/* The request may still be on its way: what is told about is the answer. */
static void turn_to_answer(struct mh__transfer *x)
{
    if (x->phase == MH_PHASE_SEND)
        x->phase = MH_PHASE_HEAD;
}

static int fault(struct mh__transfer *x, int err, const mh_h1_fault *what)
{
    turn_to_answer(x);
    mh_buf words = mh__buf_over(x->words, sizeof(x->words));
    x->detail = mh_h1_explain(what, &words) == 0 ? x->words : what->reason;
    return err;
}

/* All Content-Encoding fields as one list (RFC 9110 section 5.3). */
static int open_decoder(struct mh__transfer *x)
{
    char text[256];
    mh_buf list = mh__buf_over(text, sizeof(text));
    int err = 0;
    mh_headers_each(h, x->res->headers)
    {
        if (err < 0 || h->name.len != strlen("Content-Encoding") ||
            !mh_str_equal_nocase(h->name, "Content-Encoding"))
            continue;
        err = mh_buf_printf(&list, "%s" MH_FMT, list.len > 0 ? ", " : "", MH_ARG(h->value));
    }
    if (err < 0)
        return MH_ERR_CODING;
    return list.len > 0 ? mh__decoder_open(&x->decoder, mh_buf_str(&list), &x->detail) : 0;
}

/* Not a result, but a reason to ask again. Its body is read for the sake of the connection, up to a
 * point. 417: RFC 9110 section 10.1.1. */
static bool is_followed(const struct mh__transfer *x)
{
    const mh_response *res = x->res;
    if (res->status == 417 && x->expects && !x->asked)
        return true;
    return x->fetch.redirects_max >= 0 && mh__redirect_is(res->status) &&
           mh_headers_get(res->headers, "Location").ptr;
}

static int begin_draining(struct mh__transfer *x, const mh_h1 *h1)
{
    mh_str location = mh_headers_get(x->res->headers, "Location");
    uint64_t left = mh_h1_body_left(h1);
    mh__transfer_enter(x, x->phase, MH__NEVER); /* no "100 Continue" is waited for any more */
    x->draining = true;
    /* Where the request is not out, the connection ends anyway (RFC 9112 section 9.5). */
    x->over = !x->gone || (left != MH_LENGTH_UNKNOWN && left > MH__DRAIN_MAX);
    mh_buf_clear(&x->location);
    return mh_buf_append(&x->location, location.ptr, location.len);
}

/* A body that is announced to be too large is not waited for. */
static int check_announced(struct mh__transfer *x)
{
    uint64_t total = x->res->received_total;
    if (total == MH_LENGTH_UNKNOWN || total <= x->ceiling || x->decoder.count > 0)
        return 0;
    x->detail =
        mh__words(x->words, "a body of %" PRIu64 " bytes, and no more than %" PRIu64 " wanted",
                  total, x->ceiling);
    return MH_ERR_TOO_LARGE;
}

/* A server that does not wait to be sent the body, and does not refuse it, gets it. */
static void stop_expecting(struct mh__transfer *x)
{
    if (!x->expecting || x->res->status >= 400)
        return;
    x->expecting = false;
    mh__transfer_owe(x, MH__OWE_GO_ON);
}

static int take_final_head(struct mh__transfer *x, const mh_h1 *h1, const mh_h1_view *view)
{
    mh_response *res = x->res;
    int err = mh__response_keep_head(x, view);
    turn_to_answer(x);
    if (err < 0)
        return err;
    res->received_total = mh_h1_body_left(h1);
    if (is_followed(x))
        return begin_draining(x, h1);
    stop_expecting(x);
    err = x->decodes && res->received_total > 0 ? open_decoder(x) : 0;
    if (err == 0)
        err = check_announced(x);
    if (err < 0)
        return err;
    res->phase = MH_PHASE_HEAD;
    err = x->fetch.on_head ? x->fetch.on_head(res) : 0;
    if (err < 0)
        return err;
    res->phase = MH_PHASE_BODY;
    mh__transfer_enter(x, MH_PHASE_BODY, MH__NEVER);
    return 0;
}

/* Interim ones are passed over (RFC 9110 section 15.2); 101 is the last one in HTTP. */
static int take_head(struct mh__transfer *x, struct mh__connection *c, const mh_h1_view *view)
{
    int status = view->head.status;
    int err = mh__trace_head(x, MH_RECEIVED, view->raw);
    x->heard = true;
    if (err < 0)
        return err;
    if (status == 100 && x->expecting) {
        x->expecting = false;
        mh__transfer_enter(x, MH_PHASE_SEND, MH__NEVER);
        mh__transfer_owe(x, MH__OWE_GO_ON);
    }
    if (status < 200 && status != 101)
        return 0;
    return take_final_head(x, &c->h1, view);
}

/* Decoded bytes go where they were asked to go. */
static int hand_over(struct mh__transfer *x, mh_str body)
{
    mh_response *res = x->res;
    if (body.len > x->ceiling - res->decoded) {
        x->detail = mh__words(x->words, "a body of more than %" PRIu64 " bytes", x->ceiling);
        return MH_ERR_TOO_LARGE;
    }
    res->decoded += body.len;
    if (!x->fetch.on_body)
        return mh_buf_append(&res->body, body.ptr, body.len);
    int err = x->fetch.on_body(res, body.ptr, body.len);
    return err < 0 ? err : 0;
}

/* A few bytes can become so many that the time is over before the loop can look at it. */
static int check_time(struct mh__transfer *x)
{
    if (atomic_load(&x->cancelled))
        return -ECANCELED;
    if (mh__backend_clock_ms(x->pool->loop) < x->deadline)
        return 0;
    x->detail = mh__transfer_late(x);
    return -ETIMEDOUT;
}

/* Others have their turn too: the rest comes in the next one. */
static void rest(struct mh__transfer *x)
{
    mh__connection_pause(x->connection);
    mh__transfer_owe(x, MH__OWE_GO_ON);
}

/* As much as there is, until there is a pause, or enough for one turn: the rest is kept then. */
static int decode(struct mh__transfer *x, mh_str coded)
{
    char *plain = x->pool->decoded;
    for (int i = 0; !x->paused && i < MH__DECODE_STEPS; i++) {
        ssize_t len = mh__decoder_decode(&x->decoder, &coded, plain, MH__SCRATCH_SIZE, &x->detail);
        if (len == 0 || len == MH__CODING_END)
            return 0;
        int err = len < 0 ? (int)len : hand_over(x, (mh_str){plain, (size_t)len});
        if (err == 0)
            err = check_time(x);
        if (err < 0)
            return err;
    }
    if (!x->paused)
        rest(x);
    x->coded_left = true;
    return mh_buf_append(&x->coded, coded.ptr, coded.len);
}

static int take_body(struct mh__transfer *x, mh_str body)
{
    x->res->received += body.len;
    if (x->draining) {
        x->over = x->res->received > MH__DRAIN_MAX;
        return 0;
    }
    return x->decoder.count > 0 ? decode(x, body) : hand_over(x, body);
}

static int take_end(struct mh__transfer *x, const mh_h1_view *view, mh_str raw)
{
    int err = 0;
    x->res->received_total = x->res->received;
    if (x->draining)
        return COMPLETE;
    if (view->head.headers.count > 0)
        err = mh__response_keep_trailers(x, view, raw);
    if (err == 0 && x->decoder.count > 0)
        err = mh__decoder_finish(&x->decoder, &x->detail);
    return err < 0 ? err : COMPLETE;
}

static int take_event(struct mh__transfer *x, struct mh__connection *c, int event, mh_str raw)
{
    const mh_h1_view *view = &x->pool->view;
    if (event == MH_H1_HEAD)
        return take_head(x, c, view);
    int err = event == MH_H1_END ? mh__trace_head(x, MH_RECEIVED, raw) /* trailers */
                                 : mh__trace_body(x, MH_RECEIVED, raw);
    if (err < 0)
        return err;
    switch (event) {
    case MH_H1_BODY:
        return take_body(x, view->body);
    case MH_H1_END:
        return take_end(x, view, raw);
    case MH_H1_SWITCHED: /* no more HTTP; nothing of what follows is ours to show */
        x->res->received_total = x->res->received;
        return COMPLETE;
    default:
        return MH_ERR_CLOSED;
    }
}

/* All events of what has come, until there is a pause. GO_ON: more is needed. */
static int take_events(struct mh__transfer *x, struct mh__connection *c, mh_str *in)
{
    mh_h1_view *view = &x->pool->view;
    while (!mh__transfer_rests(x) && !x->over) {
        const char *from = in->ptr;
        int event = mh_h1_next(&c->h1, in, view);
        if (event == MH_H1_NEED_MORE)
            return mh__trace_body(x, MH_RECEIVED, (mh_str){from, (size_t)(in->ptr - from)});
        if (event < 0)
            return fault(x, event, &view->fault);
        int over = take_event(x, c, event, (mh_str){from, (size_t)(in->ptr - from)});
        if (over != GO_ON)
            return over;
    }
    return x->over ? COMPLETE : GO_ON;
}

/* ---- the end ---- */

static void let_go(struct mh__connection *c, struct mh__transfer *x)
{
    c->transfer = NULL;
    x->connection = NULL;
}

static void fail(struct mh__connection *c, int err, const char *detail)
{
    struct mh__transfer *x = c->transfer;
    let_go(c, x);
    mh__connection_close(c);
    mh__transfer_fail(x, err, detail);
}

/* RFC 9112 section 9.3: what is left of the request, or of the response, ends the connection; so
 * does a pause that came too late for this response, and must not be one of the next. One that was
 * over before the connection could go on is over for it as well. */
static void complete(struct mh__connection *c)
{
    struct mh__transfer *x = c->transfer;
    bool reusable = mh_h1_reusable(&c->h1) && !x->over && !x->paused && !c->sending && !c->ended &&
                    x->broken == 0 && mh__connection_listen(c) == 0;
    let_go(c, x);
    mh_buf_clear(&c->in);
    if (reusable)
        mh__pool_keep(c);
    else
        mh__connection_close(c);
    mh__transfer_complete(x);
}

static int report(struct mh__transfer *x, uint64_t before)
{
    if (!x->fetch.on_progress || x->draining || x->res->received == before)
        return 0;
    int err = x->fetch.on_progress(x->res);
    return err < 0 ? err : 0;
}

/* ---- the start ---- */

void mh__fetch_begin(struct mh__connection *c)
{
    struct mh__transfer *x = c->transfer;
    mh_response *res = x->res;
    c->h1 = x->h1;
    res->timings.reused = c->reused;
    if (c->reused) {
        memcpy(x->peer, c->peer, sizeof(x->peer));
        res->peer = x->peer;
    }
    if (x->paused)
        mh__connection_pause(c);
    mh__transfer_touch(x);
    mh__transfer_enter(x, MH_PHASE_SEND, MH__NEVER);
    int err = mh__trace_head(x, MH_SENT, mh_buf_str(&x->out));
    if (err < 0)
        fail(c, err, NULL);
    else
        mh__upload_go_on(c);
}

/* ---- bytes ---- */

static void note_first(struct mh__transfer *x)
{
    if (x->began)
        return;
    x->began = true;
    turn_to_answer(x);
    x->res->timings.first_byte_us = mh__transfer_us(x);
}

/* What a pause left, and then what has come. */
static int take_coded(struct mh__transfer *x)
{
    if (!x->coded_left)
        return 0;
    mh_buf coded = x->coded;
    x->coded = (mh_buf){.max = coded.max};
    x->coded_left = false;
    int err = decode(x, mh_buf_str(&coded));
    mh_buf_free(&coded);
    return err;
}

static int put_aside(struct mh__connection *c, mh_str rest, bool stored)
{
    if (!stored)
        return mh_buf_append(&c->in, rest.ptr, rest.len);
    mh_buf_consume(&c->in, c->in.len - rest.len);
    return 0;
}

static int read_on(struct mh__transfer *x, struct mh__connection *c, mh_str in)
{
    bool stored = c->in.len > 0;
    int over = take_coded(x);
    if (over == 0 && stored)
        over = mh_buf_append(&c->in, in.ptr, in.len);
    if (over < 0)
        return over;
    if (stored)
        in = mh_buf_str(&c->in);
    over = take_events(x, c, &in);
    if (over != GO_ON)
        return over;
    return in.len > 0 || stored ? put_aside(c, in, stored) : GO_ON;
}

void mh__fetch_received(struct mh__connection *c, mh_str in)
{
    struct mh__transfer *x = c->transfer;
    uint64_t before = x->res->received;
    if (in.len > 0)
        note_first(x);
    if (x->paused) {
        int err = mh_buf_append(&c->in, in.ptr, in.len);
        if (err < 0)
            fail(c, err, NULL);
        return;
    }
    x->detail = NULL;
    int over = read_on(x, c, in);
    int err = over < 0 ? over : report(x, before);
    if (err < 0)
        fail(c, err, x->detail);
    else if (over == COMPLETE)
        complete(c);
}

/* ---- the peer has closed ---- */

static const char *closed_early(struct mh__transfer *x, const struct mh__connection *c)
{
    const mh_response *res = x->res;
    if (x->phase <= MH_PHASE_HEAD && c->in.len > 0)
        return "closed in the middle of the head";
    if (x->phase <= MH_PHASE_HEAD)
        return x->heard ? "closed before the final response"
                        : "closed before a byte of the response came";
    if (res->received_total == MH_LENGTH_UNKNOWN)
        return mh__words(x->words,
                         "closed after %" PRIu64 " bytes of the body, before its last chunk",
                         res->received);
    return mh__words(x->words, "closed after %" PRIu64 " of %" PRIu64 " bytes of the body",
                     res->received, res->received_total);
}

/* No answer at all: what ended sending is what went wrong. */
static bool blame_sending(struct mh__connection *c, int err)
{
    struct mh__transfer *x = c->transfer;
    if (x->heard || c->in.len > 0)
        return false;
    if (!x->gone && x->broken == 0)
        x->broken = err < 0 ? err : MH_ERR_CLOSED;
    if (x->broken == 0)
        return false;
    x->phase = MH_PHASE_SEND;
    fail(c, x->broken, NULL);
    return true;
}

/* A body that lasts until close is complete (RFC 9112 section 6.3); behind TLS only when the peer
 * has said so, or anybody on the way could have cut it (RFC 9112 section 9.8). */
static void end_of_stream(struct mh__connection *c)
{
    struct mh__transfer *x = c->transfer;
    mh_h1_view *view = &x->pool->view;
    int event = mh_h1_eof(&c->h1, view);
    bool whole = event == MH_H1_END || event == MH_H1_SWITCHED;
    if (!whole || !x->heard) {
        fail(c, MH_ERR_CLOSED, closed_early(x, c));
        return;
    }
    if (c->tls && !c->ended && event == MH_H1_END) {
        fail(c, MH_ERR_CLOSED, "closed without close_notify: the body may have been cut");
        return;
    }
    view->head.headers.count = 0;
    int over = take_end(x, view, (mh_str){NULL, 0});
    if (over < 0)
        fail(c, over, x->detail);
    else
        complete(c);
}

void mh__fetch_closed(struct mh__connection *c, int err)
{
    struct mh__transfer *x = c->transfer;
    if (x->draining) { /* there was nothing more to learn from it */
        x->over = true;
        complete(c);
        return;
    }
    if (blame_sending(c, err))
        return;
    if (err < 0)
        fail(c, err, NULL);
    else
        end_of_stream(c);
}
