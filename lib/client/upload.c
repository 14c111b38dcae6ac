/* upload.c: the request's way out: its head, and its body from memory or from a callback, as far as
 * the connection takes it. */
#include "client/client.h"

#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "http/h1.h"

static void fail(struct mh__connection *c, int err, const char *detail)
{
    struct mh__transfer *x = c->transfer;
    c->transfer = NULL;
    x->connection = NULL;
    mh__connection_close(c);
    mh__transfer_fail(x, err, detail);
}

/* ---- what goes next ---- */

/* TLS makes a copy of it, which is to stay small. */
static size_t slice_max(const struct mh__connection *c)
{
    return c->tls ? MH__SCRATCH_SIZE : MH__SEND_SLICE;
}

static int take_slice(struct mh__transfer *x, struct mh__connection *c)
{
    size_t most = slice_max(c);
    x->slice = x->body.len < most ? x->body.len : most;
    x->upload_over = x->slice == x->body.len;
    int err = x->slice > 0 ? mh__h1_account_body(&c->h1, x->slice) : 0;
    return err < 0 ? err : 0;
}

static size_t upload_cap(const struct mh__transfer *x)
{
    if (x->fetch.upload_len == 0)
        return MH__SCRATCH_SIZE;
    uint64_t left = x->fetch.upload_len - x->uploaded;
    return left < MH__SCRATCH_SIZE ? (size_t)left : MH__SCRATCH_SIZE;
}

static int take_uploaded(struct mh__transfer *x, struct mh__connection *c, ssize_t len)
{
    x->uploaded += (uint64_t)len;
    x->upload_over = len == 0 || (x->fetch.upload_len > 0 && x->uploaded == x->fetch.upload_len);
    return mh_h1_put_body(&c->h1, (mh_str){x->pool->plain, (size_t)len}, &x->out);
}

static int ask(struct mh__transfer *x, struct mh__connection *c)
{
    size_t cap = upload_cap(x);
    x->asked = x->upload_rests = true; /* it may be told to go on from within already */
    ssize_t len = x->fetch.on_upload(x->res, x->pool->plain, cap);
    if (len == -EAGAIN)
        return 0;
    x->upload_rests = false;
    if (len < 0)
        return (int)len;
    return (size_t)len <= cap ? take_uploaded(x, c, len) : -EINVAL;
}

static int end_body(struct mh__transfer *x, struct mh__connection *c)
{
    if (!x->upload_over || x->put_ended)
        return 0;
    x->put_ended = true;
    int err = mh_h1_put_end(&c->h1, (mh_headers){0}, &x->out);
    if (err == MH_ERR_FRAMING)
        x->detail = "on_upload ended before upload_len bytes";
    return err;
}

static bool has_upload(const struct mh__transfer *x)
{
    return x->fetch.on_upload && !x->bodiless;
}

/* The next piece into x->out and x->slice: both may stay empty, when there is nothing for now. */
static int collect(struct mh__transfer *x, struct mh__connection *c)
{
    size_t from = x->out.len;
    bool first = x->head_waits;
    x->slice = 0;
    x->head_waits = false;
    if (x->expecting || x->upload_rests)
        return 0;
    int err = 0;
    if (!x->upload_over)
        err = has_upload(x) ? ask(x, c) : take_slice(x, c);
    if (err == 0)
        err = end_body(x, c);
    if (err == 0 && (!first || x->out.len > from))
        err = mh__trace_body(x, MH_SENT, mh__str_from(mh_buf_str(&x->out), from));
    return err < 0 ? err : mh__trace_body(x, MH_SENT, (mh_str){x->body.ptr, x->slice});
}

/* ---- out ---- */

static int encrypt(struct mh__transfer *x, struct mh__connection *c)
{
    int err = mh__tls_write(c->tls, mh_buf_str(&x->out), &c->out);
    if (err == 0 && x->slice > 0)
        err = mh__tls_write(c->tls, (mh_str){x->body.ptr, x->slice}, &c->out);
    return err;
}

/* 1: it has gone; 0: it is on its way; or an error. */
static int send_collected(struct mh__transfer *x, struct mh__connection *c)
{
    struct iovec pieces[] = {{x->out.data, x->out.len}, {(void *)(uintptr_t)x->body.ptr, x->slice}};
    if (!c->tls)
        return mh__connection_send(c, pieces, 2);
    int err = encrypt(x, c);
    return err < 0 ? err : mh__connection_send(c, NULL, 0);
}

static void expect(struct mh__transfer *x)
{
    int ms =
        x->fetch.expect_timeout_ms > 0 ? x->fetch.expect_timeout_ms : MH_FETCH_EXPECT_TIMEOUT_MS;
    mh__transfer_enter(x, MH_PHASE_SEND, x->pool->loop->now + ms);
}

static void finish(struct mh__transfer *x)
{
    x->gone = true;
    x->res->timings.sent_us = mh__transfer_us(x);
    if (x->phase == MH_PHASE_SEND)
        mh__transfer_enter(x, MH_PHASE_HEAD, MH__NEVER);
}

/* What was collected has gone. */
static int went(struct mh__transfer *x)
{
    uint64_t before = x->res->sent;
    x->flying = false;
    mh_buf_clear(&x->out);
    x->body = mh__str_from(x->body, x->slice);
    x->res->sent += x->slice;
    if (has_upload(x))
        x->res->sent = x->uploaded;
    x->slice = 0;
    if (x->put_ended)
        finish(x);
    else if (x->expecting)
        expect(x);
    if (!x->fetch.on_progress || x->res->sent == before)
        return 0;
    int err = x->fetch.on_progress(x->res);
    return err < 0 ? err : 0;
}

/* A peer that takes no more may have answered all the same (RFC 9112 section 9.5). */
static int broke(struct mh__transfer *x, int err)
{
    if (err != -EPIPE && err != -ECONNRESET)
        return err;
    x->broken = err;
    return 0;
}

/* One piece. 1: go on; 0: that is all for now. */
static int step(struct mh__transfer *x, struct mh__connection *c)
{
    int err = collect(x, c);
    if (err < 0)
        return err;
    if (x->out.len + x->slice == 0 && !x->put_ended)
        return 0;
    x->flying = true;
    int gone = send_collected(x, c);
    if (gone < 0)
        return broke(x, gone);
    if (gone == 0) {
        mh__transfer_enter(x, x->phase, x->phase_deadline); /* it is the peer's turn to take it */
        return 0;
    }
    err = went(x);
    return err < 0 ? err : 1;
}

static bool may_send(const struct mh__transfer *x, const struct mh__connection *c)
{
    return !c->sending && !x->gone && x->broken == 0;
}

void mh__upload_go_on(struct mh__connection *c)
{
    struct mh__transfer *x = c->transfer;
    int more = 1;
    x->detail = NULL;
    for (int i = 0; i < MH__SEND_STEPS && more > 0 && may_send(x, c); i++)
        more = step(x, c);
    if (more < 0)
        fail(c, more, x->detail);
    else if (more > 0 && may_send(x, c))
        mh__transfer_owe(x, MH__OWE_GO_ON); /* others have their turn too */
}

void mh__upload_sent(struct mh__connection *c, int err)
{
    struct mh__transfer *x = c->transfer;
    if (err == 0 && x->flying)
        err = went(x);
    else if (err < 0)
        err = broke(x, err);
    if (err < 0)
        fail(c, err, NULL);
    else
        mh__upload_go_on(c);
}
