/* transfer.c: a transfer from its submission to on_done: what it asks for next, how long it may
 * take, and what is done about an answer that is none. */
#include "client/client.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "client/redirect.h"

/* ---- time ---- */

int64_t mh__transfer_us(const struct mh__transfer *x)
{
    return mh__backend_clock_us(x->pool->loop) - x->began_us;
}

static int or_default(int given, int standard)
{
    return given == 0 ? standard : given;
}

/* The request is out but for its body, and no answer has refused that. */
static bool is_expecting(const struct mh__transfer *x)
{
    return x->expecting && !x->draining && !x->flying &&
           (x->phase == MH_PHASE_SEND || x->phase == MH_PHASE_HEAD);
}

/* Nobody is to be silent but while it is the peer's turn, or the network's. */
static int64_t idle_limit(const struct mh__transfer *x)
{
    int ms = or_default(x->fetch.idle_timeout_ms, MH_FETCH_IDLE_TIMEOUT_MS);
    bool ours = x->phase < MH_PHASE_SEND || x->paused || is_expecting(x) || x->upload_rests;
    return ours || ms < 0 ? MH__NEVER : x->active_at + ms;
}

static int64_t limit(const struct mh__transfer *x)
{
    return mh__deadline_min(mh__deadline_min(x->deadline, x->phase_deadline), idle_limit(x));
}

/* A timer that is set too early finds out when it fires: bytes that come move none. */
static void arm(struct mh__transfer *x)
{
    int64_t at = limit(x);
    if (at != MH__NEVER && (!x->timer.set || at < x->timer.at))
        mh__timer_set(x->pool->loop, &x->timer, at);
}

void mh__transfer_enter(struct mh__transfer *x, mh_phase phase, int64_t deadline)
{
    x->phase = phase;
    x->phase_deadline = deadline;
    arm(x);
}

/* Bytes have left since the last look, if not all that are to go. */
static bool is_sending(struct mh__connection *c)
{
    if (!c || !c->sending)
        return false;
    size_t unsent = mh__connection_unsent(c);
    bool less = unsent != c->unsent;
    c->unsent = unsent;
    return less;
}

static const char *connect_words(struct mh__transfer *x, int64_t now)
{
    const mh_fetch *fetch = &x->fetch;
    if (x->phase == MH_PHASE_TLS)
        return mh__words(x->words, "no TLS within %d ms",
                         or_default(fetch->tls_timeout_ms, MH_FETCH_TLS_TIMEOUT_MS));
    if (x->connect_deadline <= now)
        return mh__words(x->words, "no connection within %d ms",
                         or_default(fetch->connect_timeout_ms, MH_FETCH_CONNECT_TIMEOUT_MS));
    return mh__words(x->words, "no address within %d ms",
                     or_default(fetch->resolve_timeout_ms, MH_FETCH_RESOLVE_TIMEOUT_MS));
}

const char *mh__transfer_late(struct mh__transfer *x)
{
    return mh__words(x->words, "not complete within %d ms",
                     or_default(x->fetch.timeout_ms, MH_FETCH_TIMEOUT_MS));
}

/* Whose time was it that ran out? */
static const char *timeout_words(struct mh__transfer *x, int64_t now)
{
    if (x->deadline <= now)
        return mh__transfer_late(x);
    if (x->phase < MH_PHASE_SEND)
        return connect_words(x, now);
    return mh__words(x->words, "no byte for %d ms",
                     or_default(x->fetch.idle_timeout_ms, MH_FETCH_IDLE_TIMEOUT_MS));
}

/* "100 Continue" does not come from every server that waits for a body (RFC 9110 section 10.1.1).
 */
static void stop_expecting(struct mh__transfer *x)
{
    x->expecting = false;
    mh__transfer_touch(x);
    mh__transfer_enter(x, MH_PHASE_SEND, MH__NEVER);
    mh__upload_go_on(x->connection);
}

static void expired(struct mh__timer *timer)
{
    struct mh__transfer *x = MH__CONTAINER(timer, struct mh__transfer, timer);
    int64_t now = x->pool->loop->now;
    if (is_sending(x->connection))
        mh__transfer_touch(x);
    if (limit(x) > now) {
        arm(x);
    } else if (is_expecting(x) && x->deadline > now) {
        stop_expecting(x);
    } else {
        x->detail = timeout_words(x, now);
        mh__transfer_end(x, -ETIMEDOUT);
    }
}

/* ---- what is asked for ---- */

static int find_origin(struct mh__transfer *x, struct mh__request_how *how, mh_url *url)
{
    struct mh__origin *origin;
    int err = mh_url_parse(url, mh_buf_str(&x->url));
    if (err < 0)
        return 0; /* mh__request_build() has better words for it */
    err = mh__response_hide_login(x, url);
    if (err == 0)
        err = mh__origin_of(&origin, x->pool, url);
    if (err != 0)
        return err;
    mh__pool_claim(x, origin);
    how->url = url;
    how->whole_url = x->origin->way == MH__BY_PROXY;
    if (how->whole_url)
        how->proxy_login = x->origin->proxy->authorization;
    return 0;
}

static int take_request(struct mh__transfer *x, const struct mh__request *request)
{
    x->h1 = request->h1;
    x->body = request->body;
    x->idempotent = request->idempotent;
    x->decodes = request->decodes;
    x->expects = x->expecting = request->expects;
    x->res->sent_total = request->total;
    mh_buf_clear(&x->out);
    return mh_buf_append(&x->out, request->head.data, request->head.len);
}

/* Words that lie in the pool's scratch do not last. */
static void keep_words(struct mh__transfer *x, const char *why)
{
    x->detail = why ? mh__words(x->words, "%s", why) : NULL;
}

/* A GET of which nothing but its URL decides about its bytes. */
static bool is_plain(const struct mh__transfer *x)
{
    const mh_fetch *fetch = &x->fetch;
    return !fetch->method && !fetch->headers && !fetch->body.ptr && !fetch->on_upload &&
           !x->method && !x->foreign && !x->unexpecting && x->login.len == 0;
}

/* Who asks for the same again and again sends the same bytes, and to put them together anew would
 * be, as measured, a third of what a small request costs in this library. */
static bool is_again(const struct mh__transfer *x)
{
    const struct mh__last *last = &x->pool->last;
    return last->origin && x->url.len == last->len &&
           memcmp(x->url.data, last->url, last->len) == 0 && is_plain(x);
}

static void remember(const struct mh__transfer *x)
{
    struct mh__last *last = &x->pool->last;
    if (!is_plain(x) || x->url.len == 0 || x->url.len > sizeof(last->url))
        return;
    last->origin = x->origin;
    last->len = x->url.len;
    memcpy(last->url, x->url.data, last->len);
}

static int repeat(struct mh__transfer *x)
{
    mh__pool_claim(x, x->pool->last.origin);
    return take_request(x, &x->pool->request);
}

static int build(struct mh__transfer *x)
{
    const mh_client *client = x->pool->client;
    struct mh__request *request = &x->pool->request;
    const char *why = NULL;
    mh_url url;
    struct mh__request_how how = {.method = x->method,
                                  .agent = mh_buf_str(&client->agent),
                                  .codings = mh__coding_accepted(),
                                  .tls = mh__tls_available,
                                  .waits = !x->unexpecting,
                                  .bodiless = x->bodiless,
                                  .foreign = x->foreign};
    int err = find_origin(x, &how, &url);
    how.login = mh_buf_str(&x->login);
    if (err == 0)
        err = mh__request_build(request, &x->fetch, x->res->url, &how, &why);
    if (err < 0)
        keep_words(x, why);
    return err < 0 ? err : take_request(x, request);
}

static int prepare(struct mh__transfer *x)
{
    if (is_again(x))
        return repeat(x);
    x->pool->last.origin = NULL; /* its bytes are about to go */
    int err = build(x);
    if (err == 0)
        remember(x);
    return err;
}

static void reset(struct mh__transfer *x)
{
    mh__response_reset(x);
    x->slice = 0;
    x->uploaded = 0;
    x->broken = 0;
    x->head_waits = true;
    x->upload_rests = x->upload_over = x->put_ended = x->flying = x->gone = false;
}

/* Once more for the same. It can end here. */
static void again(struct mh__transfer *x)
{
    reset(x);
    int err = prepare(x);
    if (err < 0)
        mh__transfer_end(x, err);
    else
        mh__pool_want(x);
}

/* Ask for something else. Not at once: what stands behind the answer on its connection is to be
 * seen before that is used again, or it would be taken for the next one (RFC 9112 section 9.2). It
 * can end here. */
static void ask_next(struct mh__transfer *x)
{
    reset(x);
    int err = prepare(x);
    x->looked = false;
    if (err < 0)
        mh__transfer_end(x, err);
    else
        mh__transfer_owe(x, MH__OWE_START);
}

/* ---- redirects (RFC 9110 section 15.4) ---- */

static const char *method_of(const struct mh__transfer *x)
{
    if (x->method)
        return x->method;
    return x->fetch.method ? x->fetch.method
                           : (x->fetch.body.ptr || x->fetch.on_upload ? "POST" : "GET");
}

static int too_many(struct mh__transfer *x)
{
    int max = or_default(x->fetch.redirects_max, MH_FETCH_REDIRECTS_MAX);
    if (x->res->redirects < max)
        return 0;
    x->detail = mh__words(x->words, "more than %d redirects", max);
    return MH_ERR_REDIRECT;
}

static int check_downgrade(struct mh__transfer *x, const mh_url *from, const mh_url *to)
{
    if (x->fetch.flags & MH_FETCH_DOWNGRADE || !mh_str_equal_nocase(from->scheme, "https") ||
        mh_str_equal_nocase(to->scheme, "https"))
        return 0;
    x->detail = "a redirect from https to http";
    return MH_ERR_REDIRECT;
}

static int change_method(struct mh__transfer *x)
{
    if (mh__redirect_to_get(x->res->status, mh_str_from(method_of(x)))) {
        x->method = "GET";
        x->bodiless = true;
    }
    if (!x->asked || x->bodiless)
        return 0;
    x->detail = "a redirect, and the body from on_upload cannot be sent again";
    return MH_ERR_REDIRECT;
}

/* Where it leads, into *target. */
static int find_target(struct mh__transfer *x, mh_buf *target)
{
    mh_url from, to;
    target->max = MH_FETCH_REQUEST_HEAD_MAX;
    int err = mh_url_parse(&from, mh_buf_str(&x->url));
    if (err == 0)
        err = mh__redirect_target(target, &from, mh_buf_str(&x->location), &x->detail);
    if (err == 0)
        err = mh_url_parse(&to, mh_buf_str(target));
    if (err == 0)
        err = check_downgrade(x, &from, &to);
    if (err == 0 && !mh__same_origin(&from, &to)) {
        x->foreign = true;
        mh_buf_clear(&x->login);
    }
    return err;
}

static int follow(struct mh__transfer *x)
{
    mh_buf target = {0};
    int err = too_many(x);
    if (err == 0)
        err = change_method(x);
    if (err == 0)
        err = find_target(x, &target);
    if (err < 0) {
        mh_buf_free(&target);
        return err;
    }
    mh_buf_free(&x->url);
    x->url = target;
    x->res->url = mh_buf_str(&x->url);
    x->res->redirects++;
    return 0;
}

void mh__transfer_complete(struct mh__transfer *x)
{
    int err = 0;
    if (!x->draining) {
        mh__transfer_end(x, 0);
        return;
    }
    x->detail = NULL;
    if (x->res->status == 417)
        x->unexpecting = true;
    else
        err = follow(x);
    x->retried = false;
    if (err < 0)
        mh__transfer_end(x, err);
    else
        ask_next(x);
}

/* ---- failures ---- */

/* A connection that was kept may have been closed when the request met it: nothing of an answer has
 * come, and to repeat it is safe (RFC 9112 section 9.3.1, RFC 9110 section 9.2.2). */
static bool may_retry(const struct mh__transfer *x, int err)
{
    bool dead = err == MH_ERR_CLOSED || err == -ECONNRESET || err == -EPIPE;
    return dead && x->res->timings.reused && !x->began && !x->retried &&
           (!x->asked || x->bodiless) && x->idempotent && x->phase >= MH_PHASE_SEND;
}

void mh__transfer_fail(struct mh__transfer *x, int err, const char *detail)
{
    if (may_retry(x, err)) {
        x->retried = true;
        again(x);
        return;
    }
    x->detail = detail;
    mh__transfer_end(x, err);
}

/* ---- the end ---- */

static void drop_connection(struct mh__transfer *x)
{
    struct mh__connection *c = x->connection;
    if (!c)
        return;
    c->transfer = NULL;
    x->connection = NULL;
    mh__connection_close(c);
}

/* Whoever cancels from another thread finds no loop to wake from now on. */
static void stop_waiting(struct mh__transfer *x, int result)
{
    if (!x->outcome)
        return;
    pthread_mutex_lock(&x->lock);
    x->waiting = NULL;
    pthread_mutex_unlock(&x->lock);
    *x->outcome = (struct mh__outcome){.over = true, .result = result};
}

void mh__transfer_end(struct mh__transfer *x, int err)
{
    mh_response *res = x->res;
    mh_loop *loop = x->pool->loop;
    drop_connection(x);
    mh__pool_leave(x);
    mh__timer_stop(loop, &x->timer);
    mh__loop_forget(&x->task);
    mh__list_remove(&x->link);
    mh__loop_release(loop);
    res->timings.done_us = mh__transfer_us(x);
    x->pool = NULL;
    (void)mh__response_finish(x, err);
    stop_waiting(x, err < 0 ? err : res->status);
    if (x->fetch.on_done)
        x->fetch.on_done(res);
}

/* ---- what callers ask for in between ---- */

void mh__transfer_owe(struct mh__transfer *x, unsigned what)
{
    x->owed |= what;
    mh__loop_defer(x->pool->loop, &x->task);
}

static void go_on(struct mh__transfer *x)
{
    struct mh__connection *c = x->connection;
    if (!c || c->state != MH__BUSY)
        return;
    mh__transfer_touch(x);
    arm(x);
    if (!x->paused)
        mh__connection_resume(c);
    if (c->transfer == x && !x->flying)
        mh__upload_go_on(c);
}

/* Tasks come before the wait of a turn: one that is put off is done behind it. */
static void start(struct mh__transfer *x)
{
    if (x->looked || !mh__pool_is_stale(x->origin)) {
        mh__pool_want(x);
        return;
    }
    x->looked = true;
    mh__transfer_owe(x, MH__OWE_START);
}

static void run(struct mh__task *task)
{
    struct mh__transfer *x = MH__CONTAINER(task, struct mh__transfer, task);
    unsigned owed = x->owed;
    x->owed = 0;
    if (owed & MH__OWE_END)
        mh__transfer_end(x, -ECANCELED);
    else if (owed & MH__OWE_START)
        start(x);
    else
        go_on(x);
}

void mh_client_cancel(mh_response *res)
{
    struct mh__transfer *x = res->private_;
    if (!x)
        return;
    if (!x->outcome) {
        if (x->pool)
            mh__transfer_owe(x, MH__OWE_END);
        return;
    }
    pthread_mutex_lock(&x->lock);
    atomic_store(&x->cancelled, true);
    if (x->waiting)
        mh__loop_interrupt(x->waiting);
    pthread_mutex_unlock(&x->lock);
}

void mh_client_pause(mh_response *res, bool pause)
{
    struct mh__transfer *x = res->private_;
    if (!x || !x->pool)
        return;
    bool was = x->paused;
    x->paused = pause;
    if (!pause) { /* the loop may not have been turned all the while */
        x->active_at = mh__loop_now(x->pool->loop);
        x->upload_rests = false;
        mh__transfer_owe(x, MH__OWE_GO_ON);
    } else if (!was && x->connection && x->connection->state == MH__BUSY) {
        mh__connection_pause(x->connection);
    }
}

/* ---- the beginning ---- */

static void begin(struct mh__transfer *x, struct mh__outcome *outcome)
{
    mh_loop *loop = x->pool->loop;
    int timeout_ms = or_default(x->fetch.timeout_ms, MH_FETCH_TIMEOUT_MS);
    int64_t now = mh__loop_now(loop);
    x->timer = (struct mh__timer){.expired = expired};
    x->task = (struct mh__task){.run = run};
    x->owed = 0;
    x->deadline = timeout_ms < 0 ? MH__NEVER : now + timeout_ms;
    x->active_at = now;
    x->phase_deadline = MH__NEVER;
    x->outcome = outcome;
    x->waiting = outcome ? loop : NULL;
    mh__list_append(&x->pool->transfers, &x->link);
    mh__loop_hold(loop);
    arm(x);
    mh__transfer_owe(x, MH__OWE_START);
}

int mh__transfer_submit(struct mh__pool *pool, const mh_fetch *fetch, mh_response *res,
                        struct mh__outcome *outcome)
{
    struct mh__transfer *x;
    int err = mh__response_begin(&x, fetch, res);
    if (err < 0)
        return err;
    x->pool = pool;
    x->began_us = mh__backend_clock_us(pool->loop);
    reset(x);
    err = pool->closing ? -ECANCELED : prepare(x);
    if (err < 0) {
        mh__pool_leave(x);
        x->pool = NULL;
        return mh__response_finish(x, err);
    }
    begin(x, outcome);
    return 0;
}
