/* request.c: what was asked for, as the bytes of a request. The engine writes them and refuses what
 * a request must not hold; they land in an array, so that the smallest fetch allocates nothing. */
#include "client/client.h"

#include <errno.h>
#include <string.h>

#include "base/buffer.h"
#include "base/str.h"
#include "http/chars.h"

#define TEXT_(number) #number
#define TEXT(number) TEXT_(number)
#define AGENT                                                                                      \
    "minihttp/" TEXT(MH_VERSION_MAJOR) "." TEXT(MH_VERSION_MINOR) "." TEXT(MH_VERSION_PATCH)

static const char host_name[] = "Host";

_Static_assert(MH_FETCH_REQUEST_HEAD_MAX == 16384, "the text names it");
#define HEAD_TOO_LARGE "the head of the request is larger than 16384 bytes"

static int refuse(struct mh__request *request, int err, const char *why)
{
    *request->why = why;
    return err;
}

/* Which byte is it? Where none is to blame, it is most often the beginning that is missing. The
 * words go where the request would have gone. */
static int refuse_url(struct mh__request *request, mh_str url)
{
    size_t at = 0;
    while (at < url.len && (mh__is(url.ptr[at], MH__URI) || strchr("%#", url.ptr[at])))
        at++;
    if (at == url.len)
        return refuse(request, MH_ERR_URL, "malformed URL, not http://host:port/path?query");
    int err = mh_buf_printf(&request->head, "malformed URL: byte 0x%02x at offset %zu",
                            (unsigned char)url.ptr[at], at);
    return refuse(request, MH_ERR_URL, err < 0 ? NULL : request->head.data);
}

static int take_url(struct mh__request *request, mh_str url)
{
    if (!url.ptr)
        return refuse(request, -EINVAL, "there is no URL");
    int err = mh_url_parse(&request->url, url);
    if (err == MH_ERR_URL)
        return refuse_url(request, url);
    if (err == 0 && !mh_str_equal_nocase(request->url.scheme, "http"))
        return refuse(request, MH_ERR_SCHEME, "https: there is no TLS in this version");
    return err;
}

/* The host as it stands in the URL, brackets and port included, userinfo not (RFC 9110 section
 * 7.2). The port only when it says something. */
static mh_str authority(const mh_url *url)
{
    const char *from = url->host.ptr, *host_end = from + url->host.len;
    if (from[-1] == '[') { /* a host always stands behind "//", "@" or "[" */
        from--;
        host_end++;
    }
    const char *end = url->port == 80 ? host_end : url->path.ptr;
    return (mh_str){from, (size_t)(end - from)};
}

/* A "/" in front of the query. */
static int add_slash(struct mh__request *request, mh_str *target)
{
    if (target->len >= sizeof(request->target))
        return refuse(request, MH_ERR_TOO_LARGE, HEAD_TOO_LARGE);
    request->target[0] = '/';
    memcpy(request->target + 1, target->ptr, target->len);
    *target = (mh_str){request->target, target->len + 1};
    return 0;
}

/* What goes on the request line (RFC 9112 section 3.2.1). */
static int take_target(struct mh__request *request, mh_str *target)
{
    *target = request->url.target;
    if (request->url.path.len > 0)
        return 0;
    if (target->len > 0)
        return add_slash(request, target);
    *target = MH_STR("/");
    return 0;
}

typedef char method_name[8]; /* "OPTIONS" just fits */

static bool is_one_of(const char *name, const method_name *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

static const char *method_of(const mh_fetch *fetch)
{
    if (fetch->method)
        return fetch->method;
    return fetch->body.ptr ? "POST" : "GET";
}

static int take_method(struct mh__request *request, const char *method)
{
    static const method_name idempotent[] = {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"};
    if (!request->body.ptr && request->body.len > 0)
        return refuse(request, -EINVAL, "a body with a length and no bytes");
    request->idempotent = is_one_of(method, idempotent, sizeof(idempotent) / sizeof(method_name));
    if (strcmp(method, "CONNECT") == 0)
        return refuse(request, -EINVAL, "CONNECT makes a tunnel, not a fetch");
    if (strcmp(method, "TRACE") == 0 && request->body.ptr) /* RFC 9110 section 9.3.8 */
        return refuse(request, -EINVAL, "TRACE has no body");
    return 0;
}

static int add(struct mh__request *request, mh_str name, mh_str value)
{
    if (request->count == MH_HEADERS_MAX)
        return refuse(request, MH_ERR_TOO_LARGE, "more headers than MH_HEADERS_MAX");
    request->headers[request->count++] = (mh_header){name, value};
    return 0;
}

static mh_str trim(mh_str s)
{
    while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
        s = mh__str_from(s, 1);
    while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* One of the caller's lines. Their Host stands where ours stood; that it is one, and only one, is
 * seen to when the head is put. The framing is ours to say. */
static int add_line(struct mh__request *request, const char *line)
{
    const char *colon = strchr(line, ':');
    if (!colon)
        return refuse(request, -EINVAL, "a header without a colon");
    mh_str name = {line, (size_t)(colon - line)};
    if (mh_str_equal_nocase(name, "Content-Length") ||
        mh_str_equal_nocase(name, "Transfer-Encoding"))
        return refuse(request, -EINVAL, "the framing fields are written by the library");
    mh_str value = trim(mh_str_from(colon + 1));
    mh_header *host = request->headers;
    if (host->name.ptr != host_name || !mh_str_equal_nocase(name, host_name))
        return add(request, name, value);
    *host = (mh_header){name, value};
    return 0;
}

static int add_lines(struct mh__request *request, const char *const *lines)
{
    int err = 0;
    for (; err == 0 && lines && *lines; lines++)
        err = add_line(request, *lines);
    return err;
}

static int add_agent(struct mh__request *request)
{
    mh_headers so_far = {request->headers, request->count};
    if (mh_headers_get(so_far, "User-Agent").ptr)
        return 0;
    return add(request, MH_STR("User-Agent"), MH_STR(AGENT));
}

/* RFC 9110 section 8.6: where a method gives a body a meaning, its length is said, 0 too. */
static int add_length(struct mh__request *request, const char *method)
{
    static const method_name with_body[] = {"POST", "PUT", "PATCH"};
    if (!request->body.ptr &&
        !is_one_of(method, with_body, sizeof(with_body) / sizeof(method_name)))
        return 0;
    mh_buf digits = mh__buf_over(request->length, sizeof(request->length));
    int err = mh_buf_printf(&digits, "%zu", request->body.len);
    return err < 0 ? err : add(request, MH_STR("Content-Length"), mh_buf_str(&digits));
}

static int add_fields(struct mh__request *request, const mh_fetch *fetch, const char *method,
                      bool agent)
{
    int err = add(request, mh_str_from(host_name), authority(&request->url));
    if (err == 0)
        err = add_lines(request, fetch->headers);
    if (err == 0 && agent)
        err = add_agent(request);
    if (err == 0)
        err = add_length(request, method);
    return err;
}

static int put(struct mh__request *request, const char *method)
{
    mh_h1_head head = {.method = mh_str_from(method),
                       .headers = {request->headers, request->count}};
    int err = take_target(request, &head.target);
    if (err < 0)
        return err;
    mh_h1_init(&request->h1, MH_H1_CLIENT, MH_FETCH_HEAD_MAX);
    err = mh_h1_put_head(&request->h1, &head, &request->head);
    if (err == -EINVAL)
        return refuse(request, err, "a method, a header or a Host that must not be sent");
    if (err == MH_ERR_TOO_LARGE || request->head.len > MH_FETCH_REQUEST_HEAD_MAX)
        return refuse(request, MH_ERR_TOO_LARGE, HEAD_TOO_LARGE);
    return err;
}

int mh__request_build(struct mh__request *request, const mh_fetch *fetch, mh_str url, bool agent,
                      const char **why)
{
    const char *method = method_of(fetch);
    request->why = why;
    request->count = 0;
    request->body = fetch->body;
    request->head = mh__buf_over(request->storage, sizeof(request->storage));
    int err = take_method(request, method);
    if (err == 0)
        err = take_url(request, url);
    if (err == 0)
        err = add_fields(request, fetch, method, agent);
    return err < 0 ? err : put(request, method);
}
