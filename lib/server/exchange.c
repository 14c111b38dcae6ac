/* exchange.c: what a request's target means, and what a handler's result means. Knows no socket. */
#include "server/exchange.h"

#include <string.h>

#include <minihttp/url.h>

#include "base/str.h"
#include "http/path.h"

void mh__exchange_init(struct mh__exchange *ex, void *user)
{
    *ex = (struct mh__exchange){
        .request = {.user = user, .private_ = ex},
        .body = {.max = MH_SERVER_BODY_MAX},
        .fields = {.max = MH__REPLY_FIELDS_BYTES},
    };
    mh_h1_init(&ex->h1, MH_H1_SERVER, MH_SERVER_HEAD_MAX);
}

void mh__exchange_deinit(struct mh__exchange *ex)
{
    mh_buf_free(&ex->path);
    mh_buf_free(&ex->body);
    mh_buf_free(&ex->fields);
    mh_buf_free(&ex->out);
    mh_buf_free(&ex->taken);
}

/* The path as a handler wants it. The query stays as it came: what its escapes mean is up to the
 * one who takes its pairs apart. */
static int set_path(struct mh__exchange *ex, mh_str path, mh_str query)
{
    int err = mh__path_decode(&ex->path, path);
    if (err < 0)
        return err;
    ex->request.path = mh_buf_str(&ex->path);
    ex->request.query = query;
    return 0;
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
static int set_absolute_form(struct mh__exchange *ex, mh_str target)
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

int mh__exchange_begin(struct mh__exchange *ex, const mh_h1_view *view)
{
    mh_request *req = &ex->request;
    req->method = view->head.method;
    req->target = view->head.target;
    req->headers = view->head.headers;
    req->minor_version = view->head.minor_version;
    req->head = view->raw;
    return set_target(ex);
}

int mh__exchange_body(struct mh__exchange *ex, mh_str data)
{
    return mh_buf_append(&ex->body, data.ptr, data.len);
}

void mh__exchange_end(struct mh__exchange *ex, const mh_h1_view *view)
{
    ex->request.body = mh_buf_str(&ex->body);
    ex->request.trailers = view->head.headers;
}

static bool is_final_status(int status)
{
    return status >= 200 && status <= 599;
}

int mh__exchange_handle(struct mh__exchange *ex, mh_handler *handler)
{
    int result = handler(&ex->request);
    if (result >= 0 && ex->status)
        return 0;
    if (is_final_status(result) && mh__reply_page(ex, result, (mh_str){0}) > 0)
        return 0;
    return mh__reply_refuse(ex, 500, (mh_str){0});
}
