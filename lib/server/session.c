/* session.c: one connection of the server: bytes in, requests to the handler, replies in order,
 * bytes out. Knows no socket; a carrier moves the bytes (carrier.c).
 *
 * Read it from drive() on: it takes one step after the other until one has to wait. All that the
 * requests of one receive are answered with goes out with one send, at its end. What the handler
 * does about a request is known when it returns, or when another thread replies; nothing that it
 * calls leads back in here. */
#include "server/worker.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "http/h1.h"

/* No line yet: what it waits for now is new. */
#define NO_LINE MH__LINES

static const char late[] = "the request took too long to arrive";
static const char unwanted[] = "the handler wants no more of the body";
static const char too_large[] = "the request's body is too large";
static const char cut[] = "the connection was closed in the middle of the request";

static const struct mh__settings *settings_of(const struct mh__session *c)
{
    return c->worker->settings;
}

static const struct sockaddr *peer_of(const struct mh__session *c)
{
    return c->peer.any.sa_family == AF_UNSPEC ? NULL : &c->peer.any;
}

MH__COLD static void complain(const struct mh__session *c, int err, const char *why)
{
    const struct mh__settings *settings = settings_of(c);
    if (settings->on_error)
        settings->on_error(settings->user, peer_of(c), err, why);
}

/* That there will be no whole reply, or nobody who counts on it. */
static void note(const struct mh__session *c, int err)
{
    if (c->worker->note_error)
        c->worker->note_error(c->worker, err);
}

/* ---- lines ---- */

/* Behind all that have waited longer, which nearly always is the end. */
void mh__session_line(struct mh__session *c, enum mh__line line, int64_t since)
{
    struct mh__worker *worker = c->worker;
    struct mh__link *head = &worker->lines[line], *at;
    mh__list_remove(&c->link);
    at = head->prev;
    while (at != head && MH__CONTAINER(at, struct mh__session, link)->since > since)
        at = at->prev;
    mh__list_prepend(at, &c->link);
    c->line = (uint8_t)line;
    c->since = since;
    int64_t limit = worker->settings->limits[line];
    if (limit == MH__NEVER)
        return;
    if (!worker->deadline.set || since + limit < worker->deadline.at)
        mh__timer_set(worker->loop, &worker->deadline, since + limit);
}

static bool reads_body(const struct mh__session *c)
{
    return c->exchange && !c->exchange->complete && !atomic_load(&c->exchange->paused);
}

static enum mh__line wanted_line(const struct mh__session *c)
{
    if (c->lingering)
        return MH__LINE_LINGER;
    if (c->sending)
        return MH__LINE_SEND;
    if (reads_body(c))
        return MH__LINE_BODY;
    if (c->exchange)
        return MH__LINE_BUSY;
    return c->in.len > 0 ? MH__LINE_HEAD : MH__LINE_IDLE;
}

/* Where it waits on, it has waited since it began to; but a body's silence begins anew with each
 * piece of it, and `heard` says that there was one. */
static void take_line(struct mh__session *c, bool heard)
{
    enum mh__line line = wanted_line(c);
    if (line != c->line || (heard && line == MH__LINE_BODY))
        mh__session_line(c, line, c->worker->loop->now);
}

/* ---- the exchange's end ---- */

static void report(struct mh__session *c, struct mh__exchange *ex, int status)
{
    const struct mh__settings *settings = settings_of(c);
    if (!settings->on_access || ex->reported)
        return;
    int64_t took = ex->begin_us > 0 ? mh__backend_clock_us(c->worker->loop) - ex->begin_us : 0;
    ex->reported = true;
    settings->on_access(&ex->request, status, ex->sent, took);
}

/* Is the exchange still with somebody who owes a reply? Then he ends it. It may be in the inbox for
 * another reason: its body goes on. */
MH__COLD static bool leave_to_replier(struct mh__exchange *ex)
{
    pthread_mutex_lock(&ex->inbox->lock);
    bool his = !ex->told;
    if (his) {
        mh__list_remove(&ex->link);
        ex->posted = false;
        ex->session = NULL;
        ex->worker = NULL;
        atomic_store(&ex->gone, true);
    }
    pthread_mutex_unlock(&ex->inbox->lock);
    return his;
}

/* After an error he owes no reply any more. */
static int hand_body(struct mh__exchange *ex, const char *data, size_t len)
{
    int err = ex->request.on_body ? ex->request.on_body(&ex->request, data, len) : 0;
    if (err < 0)
        ex->owed = false;
    return err;
}

/* Who waits for the end of a body before he replies would wait for ever. What he says now, if he
 * does, is heard by nobody, and the exchange ends as if it had been. */
MH__COLD static void tell_cut(struct mh__exchange *ex)
{
    if (ex->owed && !ex->complete)
        (void)hand_body(ex, NULL, 0);
}

/* Without a word about it. */
static void drop_exchange(struct mh__session *c)
{
    struct mh__exchange *ex = c->exchange;
    c->exchange = NULL;
    tell_cut(ex);
    if (ex->owed && leave_to_replier(ex))
        return;
    if (ex->request.on_end)
        ex->request.on_end(&ex->request);
    mh__worker_recycle(c->worker, ex);
}

static void end_exchange(struct mh__session *c)
{
    struct mh__exchange *ex = c->exchange;
    report(c, ex, ex->begun ? ex->reply.status : 0);
    drop_exchange(c);
}

/* ---- the connection's end ---- */

static void close_now(struct mh__session *c)
{
    c->closed = true;
    c->worker->live--;
    if (c->driving)
        mh_buf_clear(&c->worker->out);
    if (c->exchange)
        end_exchange(c);
    mh__list_remove(&c->link);
    c->carrier->close(c);
}

MH__COLD void mh__session_close(struct mh__session *c, int err, const char *why)
{
    if (c->closed)
        return;
    if (err < 0) {
        note(c, err);
        complain(c, err, why);
    }
    close_now(c);
}

MH__COLD static void lost(struct mh__session *c, int err, const char *step)
{
    char words[100];
    mh_buf text = mh__buf_over(words, sizeof(words));
    (void)!mh_buf_printf(&text, "%s: %s", step, mh_strerror(err)); /* cut, if need be */
    mh__session_close(c, err, words);
}

void mh__session_release(struct mh__session *c)
{
    struct mh__worker *worker = c->worker;
    mh_buf_free(&c->in);
    mh__free(c->unsent);
    mh__free(c);
    mh__worker_left(worker);
}

/* ---- sending ---- */

/* What a send has left behind stays where it is until sent(); the worker takes another buffer. */
MH__COLD static void keep_unsent(struct mh__session *c)
{
    c->unsent = mh_buf_take(&c->worker->out, NULL);
    c->untaken = c->carrier->untaken(c);
    c->line = NO_LINE; /* it counts from now on */
    c->sending = true;
}

/* What a send has returned. Whether all has gone. */
static bool took(struct mh__session *c, int result)
{
    mh_buf *out = &c->worker->out;
    if (result < 0) {
        lost(c, result, "send");
        return false;
    }
    if (result == 0)
        keep_unsent(c);
    else if (out->cap > MH__WORKER_OUT_MAX)
        mh_buf_free(out);
    else
        mh_buf_clear(out);
    return result > 0;
}

static bool flush(struct mh__session *c)
{
    mh_buf *out = &c->worker->out;
    if (out->len == 0)
        return true;
    struct iovec piece = {out->data, out->len};
    return took(c, c->carrier->send(c, &piece, 1));
}

/* What has been replied before goes out first. */
MH__COLD static void break_off(struct mh__session *c, int err, const char *why)
{
    (void)!flush(c);
    mh__session_close(c, err, why);
}

/* There is no memory for a reply. This one needs none. */
MH__COLD static void send_unavailable(struct mh__session *c)
{
    static const char reply[] = "HTTP/1.1 503 Service Unavailable\r\n"
                                "Content-Length: 0\r\n"
                                "Connection: close\r\n"
                                "\r\n";
    struct iovec piece = {(char *)(uintptr_t)reply, sizeof(reply) - 1};
    c->last = true;
    if (!flush(c) || c->closed) {
        mh__session_close(c, -ENOMEM, "no memory for a reply");
        return;
    }
    note(c, -ENOMEM);
    complain(c, -ENOMEM, "no memory for a reply");
    int result = c->carrier->send(c, &piece, 1);
    if (result == 0)
        keep_unsent(c);
    if (result < 0)
        close_now(c);
}

/* Nothing more can be said on this connection but what is said already. */
MH__COLD static void give_up(struct mh__session *c)
{
    if (c->exchange && c->exchange->begun) {
        break_off(c, -ENOMEM, "no memory for a reply");
        return;
    }
    if (c->exchange)
        end_exchange(c);
    send_unavailable(c);
}

/* ---- replies ---- */

MH__COLD static void note_trailer(mh_header *field, mh_str line)
{
    const char *colon = memchr(line.ptr, ':', line.len);
    size_t len = (size_t)(colon - line.ptr);
    field->name = (mh_str){line.ptr, len};
    field->value = mh__str_from(line, len + strlen(": "));
}

/* The lines as fields again, for the engine. */
MH__COLD static mh_headers trailers_of(const struct mh__reply *reply,
                                       mh_header fields[MH_HEADERS_MAX])
{
    mh_str rest = mh_buf_str(&reply->trailers);
    for (size_t i = 0; i < reply->trailer_count; i++) {
        const char *end = memchr(rest.ptr, '\r', rest.len);
        size_t len = (size_t)(end - rest.ptr);
        note_trailer(&fields[i], (mh_str){rest.ptr, len});
        rest = mh__str_from(rest, len + strlen("\r\n"));
    }
    return (mh_headers){fields, reply->trailer_count};
}

static int put_end(struct mh__session *c)
{
    const struct mh__reply *reply = &c->exchange->reply;
    mh_header fields[MH_HEADERS_MAX];
    if (reply->trailer_count == 0)
        return mh_h1_put_end(&c->h1, (mh_headers){0}, &c->worker->out);
    return mh_h1_put_end(&c->h1, trailers_of(reply, fields), &c->worker->out);
}

/* The peer gets what there is of the body, and can see that it is not all. */
MH__COLD static void cut_reply(struct mh__session *c, int err, const char *why)
{
    char words[100];
    mh_buf text = mh__buf_over(words, sizeof(words));
    (void)!mh_buf_printf(&text, "the reply's body: %s", why); /* cut, if need be */
    break_off(c, err, words);
}

/* The reply is out, as far as it depends on us. */
static bool complete(struct mh__session *c)
{
    int err = put_end(c);
    if (err < 0) {
        cut_reply(c, err, "it is shorter than it said");
        return false;
    }
    end_exchange(c);
    if (!mh_h1_reusable(&c->h1))
        c->last = true;
    else
        mh_h1_restart(&c->h1);
    return true;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The rest of the reply has been given to the carrier; `result` is what it said. */
static bool hand_over(struct mh__session *c, int result)
{
    struct mh__exchange *ex = c->exchange;
    ex->handed = true;
    if (result >= 0)
        ex->sent = ex->reply.length - least(ex->reply.length, c->carrier->left(c));
    (void)!mh__h1_account_body(&c->h1, ex->reply.length); /* the length is that of the head */
    return took(c, result) && complete(c);
}

static bool pump_bytes(struct mh__session *c)
{
    struct mh__exchange *ex = c->exchange;
    mh_buf *out = &c->worker->out;
    mh_str bytes = ex->reply.bytes;
    if (bytes.len <= MH__SMALL_BODY_MAX) {
        if (mh_h1_put_body(&c->h1, bytes, out) < 0) {
            break_off(c, -ENOMEM, "no memory for a reply");
            return false;
        }
        ex->sent = bytes.len;
        return complete(c);
    }
    struct iovec pieces[] = {{out->data, out->len}, {(char *)(uintptr_t)bytes.ptr, bytes.len}};
    return hand_over(c, c->carrier->send(c, pieces, 2));
}

/* Read some of a file where it cannot be sent as such. */
MH__COLD static ssize_t read_file(struct mh__reply *reply, char *buf, size_t cap, uint64_t done)
{
    uint64_t left = reply->length - done;
    size_t most = left < cap ? (size_t)left : cap;
    if (most == 0)
        return 0;
    ssize_t len = pread(reply->file, buf, most, (off_t)(reply->file_offset + done));
    if (len < 0)
        return -errno;
    return len == 0 ? MH_ERR_CLOSED : len; /* it is shorter than it was */
}

MH__COLD static ssize_t copy_bytes(const struct mh__reply *reply, char *buf, size_t cap,
                                   uint64_t done)
{
    mh_str rest = mh__str_from(reply->bytes, (size_t)done);
    size_t len = rest.len < cap ? rest.len : cap;
    if (len > 0)
        memcpy(buf, rest.ptr, len);
    return (ssize_t)len;
}

static ssize_t produce(struct mh__exchange *ex, char *buf, size_t cap)
{
    struct mh__reply *reply = &ex->reply;
    if (reply->source == MH__SOURCE_FILE)
        return read_file(reply, buf, cap, ex->sent);
    if (reply->source == MH__SOURCE_BYTES)
        return copy_bytes(reply, buf, cap, ex->sent);
    ssize_t len = reply->produce(&ex->request, buf, cap);
    return len > (ssize_t)cap ? -EINVAL : len;
}

/* The bytes go straight to where they are sent from; chunks need to know how many they are. */
MH__COLD static ssize_t produce_piece(struct mh__session *c)
{
    struct mh__exchange *ex = c->exchange;
    mh_buf *out = &c->worker->out;
    char *to = c->worker->scratch;
    if (!mh__h1_sends_chunks(&c->h1)) {
        int err = mh_buf_reserve(out, MH__PIECE_SIZE);
        if (err < 0)
            return err;
        to = out->data + out->len;
    }
    ssize_t len = produce(ex, to, MH__PIECE_SIZE);
    if (len <= 0)
        return len;
    int err;
    if (to == c->worker->scratch) {
        err = mh_h1_put_body(&c->h1, (mh_str){to, (size_t)len}, out);
    } else {
        err = mh__h1_account_body(&c->h1, (uint64_t)len);
        out->len += err > 0 ? (size_t)len : 0;
    }
    if (err < 0)
        return err;
    ex->sent += (uint64_t)len;
    return len;
}

/* Others are waiting: the next piece is for the next turn. */
static void defer(struct mh__exchange *ex)
{
    ex->waiting = true;
    mh__loop_defer(ex->worker->loop, &ex->task);
}

MH__COLD static bool pump_producer(struct mh__session *c)
{
    struct mh__exchange *ex = c->exchange;
    if (ex->waiting)
        return false;
    for (size_t sum = 0; sum < MH__TURN_BYTES;) {
        ssize_t len = produce_piece(c);
        if (c->closed)
            return false;
        if (len == 0)
            return complete(c);
        if (len == -EAGAIN) {
            ex->waiting = true;
            return false;
        }
        if (len < 0) {
            cut_reply(c, (int)len, mh_strerror((int)len));
            return false;
        }
        sum += (size_t)len;
        if (c->worker->out.len >= MH__BATCH_BYTES && !flush(c))
            return false;
    }
    defer(ex);
    return false;
}

static bool pump(struct mh__session *c)
{
    struct mh__exchange *ex = c->exchange;
    mh_buf *out = &c->worker->out;
    const struct mh__reply *reply = &ex->reply;
    if (ex->handed)
        ex->sent = reply->length;
    if (ex->handed || !mh__h1_sends_body(&c->h1))
        return complete(c);
    bool at_once = c->carrier->sends_files; /* where nothing has to be made of the bytes first */
    if (reply->source == MH__SOURCE_BYTES && (at_once || reply->bytes.len <= MH__PIECE_SIZE))
        return pump_bytes(c);
    if (reply->source == MH__SOURCE_PRODUCER || !at_once)
        return pump_producer(c);
    struct iovec piece = {out->data, out->len};
    return hand_over(
        c, c->carrier->send_file(c, &piece, 1, reply->file, reply->file_offset, reply->length));
}

static bool begin_reply(struct mh__session *c)
{
    struct mh__exchange *ex = c->exchange;
    const struct mh__reply *reply = &ex->reply;
    struct mh__ready_head ready = {
        .status = reply->status,
        .date = reply->has_date ? (mh_str){NULL, 0} : mh__worker_date(c->worker),
        .lines = mh_buf_str(&reply->lines),
        .length = reply->length,
        .close = c->last || !ex->complete || settings_of(c)->single || c->worker->stopping,
    };
    if (mh__h1_put_ready_head(&c->h1, &ready, &c->worker->out) < 0) {
        give_up(c);
        return false;
    }
    ex->begun = true;
    if (reply->source != MH__SOURCE_BYTES)
        atomic_store_explicit(&ex->shared, true, memory_order_relaxed); /* it may be woken */
    return true;
}

/* ---- refusing ---- */

static struct mh__exchange *take_exchange(struct mh__session *c)
{
    struct mh__exchange *ex = mh__worker_exchange(c->worker);
    if (!ex)
        return NULL;
    ex->session = c;
    ex->request.user = settings_of(c)->user;
    ex->request.tls = c->secure != NULL;
    if (c->peer.any.sa_family != AF_UNSPEC) {
        memcpy(&ex->peer, &c->peer, sizeof(ex->peer));
        ex->request.peer = &ex->peer.any;
    }
    c->exchange = ex;
    return ex;
}

/* Answer with a status that says what was wrong, and read nothing more. The exchange that is under
 * way may be with another thread; then this answer is another one. */
MH__COLD static void refuse(struct mh__session *c, int status, int err, mh_str why)
{
    if (c->exchange && c->exchange->begun) {
        break_off(c, err, why.ptr);
        return;
    }
    if (err == MH_ERR_CLOSED)
        note(c, err);
    complain(c, err, why.ptr);
    c->last = true;
    bool another = c->exchange && c->exchange->owed;
    if (another) {
        report(c, c->exchange, status);
        drop_exchange(c);
    }
    if (!c->exchange && !take_exchange(c)) {
        send_unavailable(c);
        return;
    }
    c->exchange->reported = another;
    if (mh__reply_refuse(c->exchange, status, why) < 0)
        give_up(c);
}

MH__COLD static void refuse_malformed(struct mh__session *c, int err, const mh_h1_fault *fault)
{
    char words[200];
    mh_buf why = mh__buf_over(words, sizeof(words));
    (void)!mh_h1_explain(fault, &why); /* nothing it says is longer */
    refuse(c, fault->status, err, mh_buf_str(&why));
}

MH__COLD static void refuse_text(struct mh__session *c, int status, int err, const char *why)
{
    refuse(c, status, err, mh_str_from(why));
}

/* ---- requests ---- */

static bool is_answered(const struct mh__exchange *ex)
{
    return !ex->owed && atomic_load(&ex->stage) == MH__REPLIED;
}

static bool handle(struct mh__session *c)
{
    struct mh__exchange *ex = c->exchange;
    int result = settings_of(c)->handler(&ex->request);
    if (ex->request.on_body)
        atomic_store_explicit(&ex->shared, true, memory_order_relaxed); /* it may be paused */
    if (mh__reply_settle(ex, result) < 0) {
        give_up(c);
        return false;
    }
    return true;
}

static bool announces_too_much(const struct mh__session *c)
{
    uint64_t left = mh_h1_body_left(&c->h1);
    return left != MH_LENGTH_UNKNOWN && left > settings_of(c)->body_max;
}

static bool take_head(struct mh__session *c)
{
    const struct mh__settings *settings = settings_of(c);
    struct mh__exchange *ex = take_exchange(c);
    c->line = NO_LINE;
    if (!ex) {
        send_unavailable(c);
        return false;
    }
    ex->begin_us = settings->on_access ? mh__backend_clock_us(c->worker->loop) : 0;
    ex->body_ms = c->worker->loop->now;
    ex->body.max = settings->body_max;
    int err = mh__exchange_begin(ex, &c->worker->view);
    if (err == MH_ERR_URL)
        refuse_text(c, 400, MH_ERR_MALFORMED, "the request's target is not a path");
    else if (err < 0)
        give_up(c);
    else if (announces_too_much(c))
        refuse_text(c, 413, MH_ERR_TOO_LARGE, too_large);
    else if (settings->stream_bodies)
        return handle(c);
    return !c->closed;
}

/* Nothing more will come: what is there is all there is. */
MH__COLD static bool no_more(struct mh__session *c)
{
    if (!c->ended)
        return false;
    if (mh_h1_eof(&c->h1, &c->worker->view) >= 0) {
        c->last = true; /* between two requests: nobody asks for anything */
        return false;
    }
    refuse_text(c, 400, MH_ERR_CLOSED, cut);
    return !c->closed;
}

static bool begin_request(struct mh__session *c, mh_str *in)
{
    mh_h1_view *view = &c->worker->view;
    int event = mh_h1_next(&c->h1, in, view);
    if (event == MH_H1_HEAD)
        return take_head(c);
    if (event < 0) {
        refuse_malformed(c, event, &view->fault);
        return !c->closed;
    }
    return no_more(c);
}

/* "Expect: 100-continue" (RFC 9110 section 10.1.1). Whoever has sent some of the body does not wait
 * for it. */
static bool invite_body(struct mh__session *c, const mh_str *in)
{
    mh_h1_head head = {.status = 100, .reason = MH_STR("Continue")};
    if (!mh_h1_wants_continue(&c->h1) || in->len > 0)
        return true;
    if (mh_h1_put_head(&c->h1, &head, &c->worker->out) == 0)
        return true;
    give_up(c);
    return false;
}

/* A body that moves, but so slowly that it would last for ever. */
MH__COLD static bool is_too_slow(const struct mh__session *c)
{
    const struct mh__settings *settings = settings_of(c);
    const struct mh__exchange *ex = c->exchange;
    int64_t took = c->worker->loop->now - ex->body_ms;
    int64_t limit = settings->limits[MH__LINE_BODY];
    return limit != MH__NEVER && took > limit &&
           ex->received - ex->before < (uint64_t)(took / 1000 * settings->rate_min);
}

MH__COLD static bool refuse_slow(struct mh__session *c)
{
    refuse_text(c, 408, -ETIMEDOUT, late);
    return !c->closed;
}

static bool take_body(struct mh__session *c, mh_str body)
{
    const struct mh__settings *settings = settings_of(c);
    struct mh__exchange *ex = c->exchange;
    ex->received += body.len;
    if (ex->received > settings->body_max) {
        refuse_text(c, 413, MH_ERR_TOO_LARGE, too_large);
        return !c->closed;
    }
    if (is_too_slow(c))
        return refuse_slow(c);
    int err =
        settings->stream_bodies ? hand_body(ex, body.ptr, body.len) : mh__exchange_body(ex, body);
    if (err < 0 && settings->stream_bodies)
        break_off(c, err, unwanted);
    else if (err < 0)
        give_up(c);
    return !c->closed;
}

static bool take_end(struct mh__session *c)
{
    struct mh__exchange *ex = c->exchange;
    if (mh__exchange_end(ex, &c->worker->view) < 0) {
        give_up(c);
        return false;
    }
    if (!settings_of(c)->stream_bodies)
        return handle(c);
    if (is_answered(ex) && atomic_load(&ex->paused)) /* it was not waited for: see is_at_end() */
        return true;
    int err = hand_body(ex, "", 0);
    if (err < 0)
        break_off(c, err, unwanted);
    return !c->closed;
}

static bool read_on(struct mh__session *c, mh_str *in)
{
    mh_h1_view *view = &c->worker->view;
    if (!invite_body(c, in))
        return false;
    int event = mh_h1_next(&c->h1, in, view);
    if (event == MH_H1_BODY)
        return take_body(c, view->body);
    if (event == MH_H1_END)
        return take_end(c);
    if (event < 0) {
        refuse_malformed(c, event, &view->fault);
        return !c->closed;
    }
    if (!c->ended && is_too_slow(c)) /* trailers are no body, and yet they drip */
        return refuse_slow(c);
    return no_more(c);
}

/* ---- one step after the other ---- */

/* Where no body is left, its end need not be waited for, and the connection can go on; also where
 * the handler has paused what it has answered since. */
static bool is_at_end(const struct mh__session *c)
{
    return !c->last && !c->exchange->complete && mh_h1_body_left(&c->h1) == 0;
}

/* false: it has to wait, or is at its end. */
static bool step(struct mh__session *c, mh_str *in)
{
    const struct mh__exchange *ex = c->exchange;
    if (c->sending || (c->worker->out.len >= MH__BATCH_BYTES && !flush(c)))
        return false;
    if (!ex)
        return !c->last && begin_request(c, in);
    bool begun = ex->begun;
    if (begun && pump(c))
        return true;
    if (begun && (c->closed || c->exchange != ex || c->last))
        return false;
    if (!begun && is_answered(ex))
        return is_at_end(c) ? read_on(c, in) : begin_reply(c);
    return reads_body(c) && read_on(c, in);
}

/* Say goodbye so that the peer can still read what was sent: what it is still sending would make
 * the kernel throw that away (RFC 9112 section 9.6). */
MH__COLD static void linger(struct mh__session *c)
{
    c->lingering = true;
    mh_buf_free(&c->in);
    mh_h1_init(&c->h1, MH_H1_SERVER, 0);
    c->carrier->finish(c);
}

/* Has the peer said all that it had to say, as far as can be known? */
static bool is_through(const struct mh__session *c, const mh_str *in)
{
    return c->ended || (in->len == 0 && c->h1.reading == MH__DONE);
}

MH__COLD static void end(struct mh__session *c, const mh_str *in)
{
    if (is_through(c, in))
        close_now(c);
    else
        linger(c);
}

static bool wants_more(const struct mh__session *c)
{
    if (c->lingering)
        return true;
    if (c->ended || c->last || c->sending)
        return false;
    return !c->exchange || reads_body(c) || c->in.len < MH__WAITING_MAX;
}

static void settle_receiving(struct mh__session *c)
{
    bool wanted = wants_more(c);
    if (wanted == c->receiving)
        return;
    c->receiving = wanted;
    int err = c->carrier->receive(c, wanted);
    if (err < 0)
        lost(c, err, "receive");
}

/* All that can be done with these bytes, and what became of it on the wire. */
static void drive(struct mh__session *c, mh_str *in)
{
    c->driving = true;
    while (!c->closed && step(c, in))
        ;
    if (!c->closed && !c->sending)
        (void)!flush(c);
    c->driving = false;
    if (!c->closed && c->last && !c->exchange && !c->sending && !c->lingering)
        end(c, in);
}

static void settle(struct mh__session *c, bool heard)
{
    if (!c->closed && c->worker->stopping && !settings_of(c)->single &&
        wanted_line(c) == MH__LINE_IDLE)
        close_now(c);
    if (!c->closed)
        settle_receiving(c);
    if (!c->closed)
        take_line(c, heard);
}

/* What was not used is kept; nearly always there is nothing. */
static void keep_rest(struct mh__session *c, mh_str rest)
{
    if (c->lingering || c->closed)
        return;
    if (c->in.len > 0)
        mh_buf_consume(&c->in, c->in.len - rest.len);
    else if (rest.len > 0 && mh_buf_append(&c->in, rest.ptr, rest.len) < 0)
        mh__session_close(c, -ENOMEM, "no memory for a request");
    if (!c->closed && c->in.len == 0)
        mh_buf_free(&c->in);
}

/* For as long as the handler has paused it, nobody has been slow. */
static void note_resumed(struct mh__session *c)
{
    struct mh__exchange *ex = c->exchange;
    if (c->line != MH__LINE_BUSY || !reads_body(c))
        return;
    ex->body_ms = c->worker->loop->now;
    ex->before = ex->received;
}

static void go_on(struct mh__session *c, bool heard)
{
    note_resumed(c);
    mh_str in = mh_buf_str(&c->in);
    drive(c, &in);
    keep_rest(c, in);
    settle(c, heard);
}

void mh__session_go_on(struct mh__session *c)
{
    if (!c->closed && !c->driving && !c->lingering)
        go_on(c, false);
}

/* ---- from the carrier ---- */

MH__COLD static void heard_end(struct mh__session *c, int err)
{
    c->ended = true;
    c->receiving = false;
    /* A reset between two requests is a way to say that there will be no more of them. */
    bool quiet = err < 0 && wanted_line(c) == MH__LINE_IDLE && !settings_of(c)->single;
    if (c->lingering || quiet)
        close_now(c);
    else if (err < 0)
        lost(c, err, "receive");
    else
        go_on(c, false);
}

/* What is thrown away has its limit, too. */
MH__COLD static void discard(struct mh__session *c, size_t len)
{
    c->h1.consumed += len;
    if (c->h1.consumed > MH__LINGER_BYTES)
        close_now(c);
}

static void heard(struct mh__session *c, const char *data, size_t len)
{
    mh_str in = {data, len};
    if (c->in.len == 0) {
        note_resumed(c);
        drive(c, &in);
        keep_rest(c, in);
        settle(c, true);
    } else if (mh_buf_append(&c->in, data, len) < 0) {
        mh__session_close(c, -ENOMEM, "no memory for a request");
    } else {
        go_on(c, true);
    }
}

void mh__session_received(struct mh__session *c, const char *data, ssize_t len)
{
    if (c->closed)
        return;
    if (len <= 0)
        heard_end(c, (int)len);
    else if (c->lingering)
        discard(c, (size_t)len);
    else
        heard(c, data, (size_t)len);
}

void mh__session_sent(struct mh__session *c, int err)
{
    if (c->closed)
        return;
    c->sending = false;
    mh__free(c->unsent);
    c->unsent = NULL;
    if (err < 0)
        lost(c, err, "send");
    else
        go_on(c, false);
}

/* ---- from the worker ---- */

/* It is looked at once in each time of this length what the peer has taken in it: nothing, or so
 * little that it would last for ever. */
MH__COLD static void expire_sending(struct mh__session *c)
{
    uint64_t untaken = c->carrier->untaken(c);
    uint64_t taken = c->untaken - least(untaken, c->untaken);
    int64_t took = c->worker->loop->now - c->since;
    if (taken == 0) {
        mh__session_close(c, -ETIMEDOUT, "the peer takes nothing of the reply");
    } else if (taken * 1000 < (uint64_t)(took * settings_of(c)->rate_min)) {
        mh__session_close(c, -ETIMEDOUT, "the peer takes too little of the reply");
    } else {
        c->untaken = untaken;
        mh__session_line(c, MH__LINE_SEND, c->worker->loop->now);
    }
}

MH__COLD void mh__session_expire(struct mh__session *c)
{
    switch ((enum mh__line)c->line) {
    case MH__LINE_HANDSHAKE:
        mh__session_close(c, -ETIMEDOUT, "TLS handshake: timed out");
        break;
    case MH__LINE_HEAD:
    case MH__LINE_BODY:
        refuse_text(c, 408, -ETIMEDOUT, late);
        if (!c->closed)
            go_on(c, false);
        break;
    case MH__LINE_SEND:
        expire_sending(c);
        break;
    case MH__LINE_IDLE:
        mh__session_close(c, settings_of(c)->single ? -ETIMEDOUT : 0, "the peer asks for nothing");
        break;
    case MH__LINE_LINGER:
    case MH__LINE_BUSY:
    case MH__LINES:
        close_now(c);
        break;
    }
}

MH__COLD void mh__session_stop(struct mh__session *c)
{
    if (c->line == MH__LINE_IDLE || c->line == MH__LINE_HANDSHAKE)
        close_now(c);
}

/* ---- the beginning ---- */

MH__COLD static void copy_peer(struct mh__session *c, const struct mh__address *from)
{
    size_t len = from->len < sizeof(c->peer) ? from->len : sizeof(c->peer);
    if (from->len >= sizeof(sa_family_t))
        memcpy(&c->peer, &from->addr, len);
}

int mh__session_new(struct mh__session **out, struct mh__worker *worker,
                    const struct mh__carrier *carrier, const struct mh__address *from)
{
    struct mh__session *c = mh__calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->worker = worker;
    c->carrier = carrier;
    copy_peer(c, from);
    mh_h1_init(&c->h1, MH_H1_SERVER, worker->settings->head_max);
    worker->count++;
    worker->live++;
    *out = c;
    return 0;
}

void mh__session_start(struct mh__session *c)
{
    mh__session_line(c, MH__LINE_IDLE, mh__loop_now(c->worker->loop)); /* maybe not in a turn */
    settle_receiving(c);
}

MH__COLD void mh__session_drop(struct mh__session *c)
{
    c->worker->live--;
    mh__session_release(c);
}
