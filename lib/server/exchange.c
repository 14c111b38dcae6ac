/* exchange.c: what a request's target means, and the memory that a request needs. Knows no socket.
 */
#include "server/worker.h"

#include <errno.h>
#include <string.h>

#include <minihttp/url.h>

#include "base/buffer.h"
#include "base/mem.h"
#include "base/str.h"
#include "http/path.h"

/* ---- the target ---- */

/* Nothing to decode, and no dot segment: it can stay where it is. */
static bool is_plain(mh_str path)
{
    for (size_t i = 0; i < path.len; i++) {
        if (path.ptr[i] == '%' || (path.ptr[i] == '.' && i > 0 && path.ptr[i - 1] == '/'))
            return false;
    }
    return path.len > 0 && path.ptr[0] == '/';
}

/* The path as a handler wants it. The query stays as it came: what its escapes mean is up to the
 * one who takes its pairs apart. */
static int set_path(struct mh__exchange *ex, mh_str path, mh_str query)
{
    ex->request.query = query;
    ex->request.path = path;
    if (is_plain(path))
        return 0;
    int err = mh__path_decode(&ex->path, path);
    if (err == 0)
        ex->request.path = mh_buf_str(&ex->path);
    return err;
}

/* "/path?query" (RFC 9112 section 3.2.1) */
static int set_origin_form(struct mh__exchange *ex, mh_str target)
{
    const char *mark = memchr(target.ptr, '?', target.len);
    if (!mark)
        return set_path(ex, target, (mh_str){0});
    size_t len = (size_t)(mark - target.ptr);
    return set_path(ex, (mh_str){target.ptr, len}, mh__str_from(target, len + 1));
}

/* "http://host/path?query", which a server has to understand (RFC 9112 section 3.2.2). Without a
 * path it is "/"; but an OPTIONS without one is about the server (section 3.2.4). */
MH__COLD static int set_absolute_form(struct mh__exchange *ex, mh_str target)
{
    mh_url url;
    if (mh_url_parse(&url, target) < 0 || url.fragment.ptr)
        return MH_ERR_URL;
    if (url.target.len == 0 && mh_str_equal(ex->request.method, "OPTIONS")) {
        ex->request.path = MH_STR("*");
        return 0;
    }
    return set_path(ex, url.path, url.query);
}

static int set_target(struct mh__exchange *ex)
{
    mh_request *req = &ex->request;
    if (req->target.len == 0)
        return MH_ERR_URL;
    if (mh_str_equal(req->method, "CONNECT")) {
        req->path = req->target;
        return 0;
    }
    if (req->target.ptr[0] == '/')
        return set_origin_form(ex, req->target);
    if (!mh_str_equal(req->target, "*"))
        return set_absolute_form(ex, req->target);
    if (!mh_str_equal(req->method, "OPTIONS"))
        return MH_ERR_URL;
    req->path = req->target;
    return 0;
}

/* ---- the bytes ---- */

/* A slice of `from` becomes the same one of the copy at `to`. */
static mh_str moved(mh_str s, const char *from, const char *to)
{
    return s.ptr ? (mh_str){to + (s.ptr - from), s.len} : s;
}

static void move_fields(mh_header *to, mh_headers headers, const char *from, const char *base)
{
    for (size_t i = 0; i < headers.count; i++)
        to[i] = (mh_header){moved(headers.at[i].name, from, base),
                            moved(headers.at[i].value, from, base)};
}

int mh__exchange_begin(struct mh__exchange *ex, const mh_h1_view *view)
{
    mh_request *req = &ex->request;
    const char *from = view->raw.ptr;
    int err = mh_buf_append(&ex->head, from, view->raw.len);
    if (err < 0)
        return err;
    const char *to = ex->head.data;
    req->head = mh_buf_str(&ex->head);
    req->method = moved(view->head.method, from, to);
    req->target = moved(view->head.target, from, to);
    req->minor_version = view->head.minor_version;
    move_fields(ex->headers, view->head.headers, from, to);
    req->headers = (mh_headers){ex->headers, view->head.headers.count};
    return set_target(ex);
}

int mh__exchange_body(struct mh__exchange *ex, mh_str data)
{
    return mh_buf_append(&ex->body, data.ptr, data.len);
}

MH__COLD static size_t bytes_of(mh_headers headers)
{
    size_t sum = 0;
    mh_headers_each(h, headers)
    {
        sum += h->name.len + h->value.len;
    }
    return sum;
}

MH__COLD static mh_str put_copy(char **at, mh_str s)
{
    char *to = *at;
    if (s.len > 0)
        memcpy(to, s.ptr, s.len);
    *at += s.len;
    return (mh_str){to, s.len};
}

MH__COLD static int keep_trailers(struct mh__exchange *ex, mh_headers headers)
{
    mh_header *fields = mh__malloc(headers.count * sizeof(*fields) + bytes_of(headers));
    if (!fields)
        return -ENOMEM;
    char *at = (char *)(fields + headers.count);
    for (size_t i = 0; i < headers.count; i++) {
        fields[i].name = put_copy(&at, headers.at[i].name);
        fields[i].value = put_copy(&at, headers.at[i].value);
    }
    ex->trailers = fields;
    ex->request.trailers = (mh_headers){fields, headers.count};
    return 0;
}

int mh__exchange_end(struct mh__exchange *ex, const mh_h1_view *view)
{
    int err = view->head.headers.count > 0 ? keep_trailers(ex, view->head.headers) : 0;
    ex->request.body = mh_buf_str(&ex->body);
    ex->complete = err == 0;
    return err;
}

/* ---- from one request to the next ---- */

static void clear_buffer(mh_buf *buf)
{
    if (buf->cap > MH__EXCHANGE_KEPT_MAX)
        mh_buf_free(buf);
    else
        mh_buf_clear(buf);
}

void mh__exchange_clear(struct mh__exchange *ex)
{
    mh__reply_clear(&ex->reply);
    clear_buffer(&ex->head);
    clear_buffer(&ex->path);
    clear_buffer(&ex->body);
    clear_buffer(&ex->reply.lines);
    clear_buffer(&ex->reply.trailers);
    clear_buffer(&ex->reply.copy);
    if (ex->trailers)
        mh__free(ex->trailers);
    ex->trailers = NULL;
    memset(&ex->request, 0, sizeof(ex->request));
    ex->request.private_ = ex;
    ex->session = NULL;
    ex->told = false;
    ex->owed = ex->complete = ex->begun = ex->handed = ex->waiting = ex->reported = false;
    ex->received = ex->before = ex->sent = 0;
    ex->route = NULL;
    ex->begin_us = 0;
    atomic_store_explicit(&ex->stage, MH__HANDLING, memory_order_relaxed);
    atomic_store_explicit(&ex->paused, false, memory_order_relaxed);
    atomic_store_explicit(&ex->shared, false, memory_order_relaxed);
}

MH__COLD void mh__exchange_free(struct mh__exchange *ex)
{
    mh__exchange_clear(ex);
    mh_buf_free(&ex->head);
    mh_buf_free(&ex->path);
    mh_buf_free(&ex->body);
    mh_buf_free(&ex->reply.lines);
    mh_buf_free(&ex->reply.trailers);
    mh_buf_free(&ex->reply.copy);
    mh__inbox_release(ex->inbox);
    mh__free(ex);
}

struct mh__file_cache **mh__exchange_file_cache(struct mh__exchange *ex)
{
    return ex->worker ? &ex->worker->files : NULL;
}

uint64_t mh__exchange_turn(const struct mh__exchange *ex)
{
    return ex->worker ? ex->worker->loop->turn : 0;
}

bool mh_request_alive(const mh_request *req)
{
    return !atomic_load(&mh__exchange_of(req)->gone);
}

/* Whoever gets the lock first while a reply is owed decides whether there is anybody to tell. */
MH__COLD static void tell(struct mh__exchange *ex)
{
    pthread_mutex_lock(&ex->inbox->lock);
    atomic_store_explicit(&ex->shared, true, memory_order_relaxed);
    if (!atomic_load(&ex->gone))
        mh__inbox_post(ex);
    pthread_mutex_unlock(&ex->inbox->lock);
}

MH__COLD void mh_request_pause(mh_request *req, bool paused)
{
    struct mh__exchange *ex = mh__exchange_of(req);
    if (atomic_exchange(&ex->paused, paused) && !paused)
        tell(ex);
}

void mh_reply_wake(mh_request *req)
{
    tell(mh__exchange_of(req));
}
