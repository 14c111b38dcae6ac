/* response.c: owns what a response holds, and the account of how a fetch went. */
#include "client/client.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/mem.h"

const char *mh_phase_name(mh_phase phase)
{
    switch (phase) {
    case MH_PHASE_START:
        return "start";
    case MH_PHASE_WAIT:
        return "wait for a connection";
    case MH_PHASE_RESOLVE:
        return "resolve";
    case MH_PHASE_CONNECT:
        return "connect";
    case MH_PHASE_PROXY:
        return "proxy";
    case MH_PHASE_TLS:
        return "TLS";
    case MH_PHASE_SEND:
        return "send request";
    case MH_PHASE_HEAD:
        return "receive head";
    case MH_PHASE_BODY:
        return "receive body";
    case MH_PHASE_DONE:
        return "done";
    }
    return "unknown";
}

const char *mh__words(char words[MH__DETAIL_MAX], const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(words, MH__DETAIL_MAX, fmt, args);
    va_end(args);
    return len >= 0 ? words : NULL;
}

/* ---- to begin ---- */

/* What the last fetch left is gone, but for the memory. */
static void reset(mh_response *res, const mh_fetch *fetch)
{
    mh_buf_clear(&res->body);
    *res = (mh_response){.body = res->body,
                         .received_total = MH_LENGTH_UNKNOWN,
                         .timings = {-1, -1, -1, -1, -1, -1, false},
                         .user = fetch->user,
                         .private_ = res->private_};
}

void mh__response_reset(struct mh__transfer *x)
{
    mh_response *res = x->res;
    mh_str url = res->url;
    int redirects = res->redirects;
    reset(res, &x->fetch);
    res->url = url;
    res->redirects = redirects;
    mh__decoder_close(&x->decoder);
    mh_buf_clear(&x->coded);
    x->coded_left = x->began = x->heard = x->draining = x->over = false;
}

/* Of the two that apply, the smaller one. */
static uint64_t ceiling_of(const mh_response *res, const mh_fetch *fetch)
{
    uint64_t buffer = res->body.max > 0 ? res->body.max : MH_BUF_MAX;
    if (fetch->on_body)
        buffer = UINT64_MAX;
    return fetch->body_max > 0 && fetch->body_max < buffer ? fetch->body_max : buffer;
}

static bool all_zero(const uintptr_t *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (words[i] != 0)
            return false;
    }
    return true;
}

static int check_options(struct mh__transfer *x, const mh_fetch *fetch)
{
    x->detail = "what is reserved is to be zero";
    if (!all_zero(fetch->reserved, sizeof(fetch->reserved) / sizeof(fetch->reserved[0])) ||
        fetch->flags & ~(MH_FETCH_DOWNGRADE | MH_FETCH_SHOW_SECRETS))
        return -EINVAL;
    x->detail = "a timeout or a limit below -1";
    if (fetch->timeout_ms < -1 || fetch->resolve_timeout_ms < -1 ||
        fetch->connect_timeout_ms < -1 || fetch->tls_timeout_ms < -1 ||
        fetch->idle_timeout_ms < -1 || fetch->expect_timeout_ms < -1 || fetch->redirects_max < -1)
        return -EINVAL;
    x->detail = NULL;
    return 0;
}

int mh__response_hide_login(struct mh__transfer *x, mh_url *url)
{
    mh_str login = url->userinfo;
    if (!login.ptr)
        return 0;
    mh_buf_clear(&x->login);
    int err = mh_buf_append(&x->login, login.ptr, login.len);
    if (err < 0)
        return err;
    char *from = x->url.data + (login.ptr - x->url.data);
    const char *behind = login.ptr + login.len + 1; /* the "@" too */
    size_t rest = x->url.len - (size_t)(behind - x->url.data);
    memmove(from, behind, rest + 1);
    x->url.len -= login.len + 1;
    x->res->url = mh_buf_str(&x->url);
    return mh_url_parse(url, x->res->url);
}

/* However early the fetch ends: who shows the URL shows no password. */
static int show_url(struct mh__transfer *x)
{
    mh_url url;
    x->res->url = mh_buf_str(&x->url);
    if (!memchr(x->url.data, '@', x->url.len) || mh_url_parse(&url, x->res->url) < 0)
        return 0;
    int err = mh__response_hide_login(x, &url);
    if (err < 0)
        x->res->url = (mh_str){NULL, 0};
    return err;
}

/* Everything in a response outlives the fetch, and the URL is the caller's. */
static int copy_url(struct mh__transfer *x, mh_str url)
{
    mh_buf_clear(&x->url);
    x->url.max = MH_FETCH_REQUEST_HEAD_MAX;
    int err = mh_buf_append(&x->url, url.ptr, url.len);
    if (err == 0 && url.ptr)
        err = show_url(x);
    if (err == MH_ERR_TOO_LARGE)
        x->detail = "the URL alone is larger than the head of a request may be";
    return err;
}

static struct mh__transfer *transfer_of(mh_response *res)
{
    struct mh__transfer *x = res->private_;
    if (x)
        return x;
    x = mh__calloc(1, sizeof(*x));
    if (!x)
        return NULL;
    pthread_mutex_init(&x->lock, NULL);
    return res->private_ = x;
}

/* What belongs to one fetch and not to the next one. */
static void begin(struct mh__transfer *x, const mh_fetch *fetch, mh_response *res)
{
    x->res = res;
    x->fetch = *fetch;
    x->origin = NULL;
    x->phase = MH_PHASE_START;
    x->ceiling = ceiling_of(res, fetch);
    x->idempotent = x->foreign = x->bodiless = x->unexpecting = false;
    x->asked = x->retried = x->looked = x->ended = x->paused = false;
    x->method = NULL;
    x->detail = NULL;
    x->outcome = NULL;
    x->words[0] = x->peer[0] = '\0';
    mh_buf_clear(&x->login);
    atomic_store(&x->cancelled, false);
}

int mh__response_begin(struct mh__transfer **out, const mh_fetch *fetch, mh_response *res)
{
    if (!fetch || !res)
        return -EINVAL;
    struct mh__transfer *x = transfer_of(res);
    if (x && x->pool)
        return -EBUSY; /* its last fetch is not done */
    reset(res, fetch);
    if (!x) {
        res->retryable = true;
        return res->error = -ENOMEM;
    }
    begin(x, fetch, res);
    int err = check_options(x, fetch);
    if (err == 0)
        err = copy_url(x, mh_str_from(fetch->url));
    if (err < 0)
        return mh__response_finish(x, err);
    *out = x;
    return 0;
}

/* ---- what is kept ---- */

/* A slice of what lay in one place is one of the same bytes in another. */
static mh_str moved(mh_str s, mh_str from, const char *to)
{
    return s.ptr ? (mh_str){to + (s.ptr - from.ptr), s.len} : s;
}

static bool inside(mh_str s, mh_str of)
{
    return s.ptr >= of.ptr && s.ptr <= of.ptr + of.len;
}

/* Values that were folded lie in the view; the others in the raw bytes. */
static size_t unfolded_size(const mh_h1_view *view, mh_str raw)
{
    size_t size = 0;
    mh_headers_each(h, view->head.headers)
    {
        if (!inside(h->value, raw))
            size += h->value.len;
    }
    return size;
}

/* Fields and the bytes that they point to, in one block: the fields first, for their alignment. */
static int keep(mh_buf *block, mh_headers *out, const mh_h1_view *view, mh_str raw)
{
    mh_headers from = view->head.headers;
    size_t fields = from.count * sizeof(mh_header);
    mh_buf_clear(block);
    int err = mh_buf_reserve(block, fields + raw.len + unfolded_size(view, raw));
    if (err < 0)
        return err;
    mh_header *at = (mh_header *)(void *)block->data;
    char *bytes = block->data + fields, *more = bytes + raw.len;
    if (raw.len > 0)
        memcpy(bytes, raw.ptr, raw.len);
    for (size_t i = 0; i < from.count; i++) {
        at[i].name = moved(from.at[i].name, raw, bytes);
        at[i].value = moved(from.at[i].value, raw, bytes);
        if (inside(from.at[i].value, raw))
            continue;
        memcpy(more, from.at[i].value.ptr, from.at[i].value.len);
        at[i].value = (mh_str){more, from.at[i].value.len};
        more += from.at[i].value.len;
    }
    *out = (mh_headers){at, from.count};
    return 0;
}

int mh__response_keep_head(struct mh__transfer *x, const mh_h1_view *view)
{
    mh_response *res = x->res;
    int err = keep(&x->kept, &res->headers, view, view->raw);
    if (err < 0)
        return err;
    const char *bytes = x->kept.data + res->headers.count * sizeof(mh_header);
    res->status = view->head.status;
    res->head = (mh_str){bytes, view->raw.len};
    res->reason = moved(view->head.reason, view->raw, bytes);
    return 0;
}

int mh__response_keep_trailers(struct mh__transfer *x, const mh_h1_view *view, mh_str raw)
{
    return keep(&x->trailers, &x->res->trailers, view, raw);
}

/* ---- to end ---- */

int mh__response_finish(struct mh__transfer *x, int err)
{
    mh_response *res = x->res;
    res->error = err;
    res->detail = err < 0 ? x->detail : NULL;
    res->retryable = x->phase < MH_PHASE_SEND || x->idempotent;
    res->phase = err < 0 ? x->phase : MH_PHASE_DONE;
    x->ended = true;
    return err;
}

void mh_response_free(mh_response *res)
{
    struct mh__transfer *x = res->private_;
    if (x) {
        mh__decoder_close(&x->decoder);
        mh_buf_free(&x->url);
        mh_buf_free(&x->login);
        mh_buf_free(&x->out);
        mh_buf_free(&x->coded);
        mh_buf_free(&x->location);
        mh_buf_free(&x->kept);
        mh_buf_free(&x->trailers);
        pthread_mutex_destroy(&x->lock);
    }
    mh__free(x);
    mh_buf_free(&res->body);
    *res = (mh_response){.body = res->body};
}
