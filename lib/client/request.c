/* request.c: what was asked for, as the bytes of a request. The engine writes them and refuses what
 * a request must not hold; they land in an array, so that the smallest fetch allocates nothing. */
#include "client/client.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/buffer.h"
#include "base/str.h"
#include "client/basic.h"
#include "client/redirect.h"
#include "client/secrets.h"
#include "http/chars.h"

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
    int err = 0;
    if (request->how->url)
        request->url = *request->how->url;
    else
        err = mh_url_parse(&request->url, url);
    if (err == MH_ERR_URL)
        return refuse_url(request, url);
    if (err == 0 && !request->how->tls && !mh_str_equal_nocase(request->url.scheme, "http"))
        return refuse(request, MH_ERR_SCHEME, "https: there is no TLS here");
    return err;
}

static bool is_default_port(const mh_url *url)
{
    return url->port == (mh_str_equal_nocase(url->scheme, "https") ? 443 : 80);
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
    const char *end = is_default_port(url) ? host_end : url->path.ptr;
    return (mh_str){from, (size_t)(end - from)};
}

/* ---- text that is put together ---- */

static int add_text(struct mh__request *request, mh_str text)
{
    int err = mh_buf_append(&request->words, text.ptr, text.len);
    return err == MH_ERR_TOO_LARGE ? refuse(request, err, HEAD_TOO_LARGE) : err;
}

/* What was added since `from`. */
static mh_str text_since(const struct mh__request *request, size_t from)
{
    return (mh_str){request->words.data + from, request->words.len - from};
}

/* absolute-form (RFC 9112 section 3.2.2), without what a proxy has no use for. */
static int add_origin(struct mh__request *request)
{
    int err = add_text(request, request->url.scheme);
    if (err == 0)
        err = add_text(request, MH_STR("://"));
    return err < 0 ? err : add_text(request, authority(&request->url));
}

/* What goes on the request line (RFC 9112 section 3.2.1). */
static int take_target(struct mh__request *request, mh_str *target)
{
    const mh_url *url = &request->url;
    size_t from = request->words.len;
    *target = url->target;
    if (url->path.len > 0 && !request->how->whole_url)
        return 0;
    if (target->len == 0 && !request->how->whole_url) {
        *target = MH_STR("/");
        return 0;
    }
    int err = request->how->whole_url ? add_origin(request) : 0;
    if (err == 0 && url->path.len == 0)
        err = add_text(request, MH_STR("/"));
    if (err == 0)
        err = add_text(request, url->target);
    *target = text_since(request, from);
    return err;
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

static bool has_body(const mh_fetch *fetch)
{
    return fetch->body.ptr || fetch->on_upload;
}

static const char *method_of(const mh_fetch *fetch, const struct mh__request_how *how)
{
    if (how->method)
        return how->method;
    if (fetch->method)
        return fetch->method;
    return has_body(fetch) ? "POST" : "GET";
}

static int take_body(struct mh__request *request, const mh_fetch *fetch)
{
    request->body = (mh_str){NULL, 0};
    request->total = 0;
    if (request->how->bodiless)
        return 0;
    if (!fetch->body.ptr && fetch->body.len > 0)
        return refuse(request, -EINVAL, "a body with a length and no bytes");
    if (fetch->body.ptr && fetch->on_upload)
        return refuse(request, -EINVAL, "a body, and on_upload as well");
    request->body = fetch->body;
    request->total = fetch->body.len;
    if (fetch->on_upload)
        request->total = fetch->upload_len > 0 ? fetch->upload_len : MH_LENGTH_UNKNOWN;
    return 0;
}

static int take_method(struct mh__request *request, const mh_fetch *fetch, const char *method)
{
    static const method_name idempotent[] = {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"};
    request->idempotent = is_one_of(method, idempotent, sizeof(idempotent) / sizeof(method_name));
    if (strcmp(method, "CONNECT") == 0)
        return refuse(request, -EINVAL, "CONNECT makes a tunnel, not a fetch");
    if (strcmp(method, "TRACE") == 0 && has_body(fetch)) /* RFC 9110 section 9.3.8 */
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

/* What a redirect has made senseless, or would give away. */
static bool is_left_out(const struct mh__request *request, mh_str name, const char *const *secrets)
{
    if (request->how->bodiless && mh__redirect_drops(name))
        return true;
    return request->how->foreign &&
           (mh_str_equal_nocase(name, host_name) || mh__secrets_names(name, secrets));
}

/* One of the caller's lines. Their Host stands where ours stood; that it is one, and only one, is
 * seen to when the head is put. The framing is ours to say. */
static int add_line(struct mh__request *request, const char *line, const char *const *secrets)
{
    const char *colon = strchr(line, ':');
    if (!colon)
        return refuse(request, -EINVAL, "a header without a colon");
    mh_str name = {line, (size_t)(colon - line)};
    if (is_left_out(request, name, secrets))
        return 0;
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

static int add_lines(struct mh__request *request, const mh_fetch *fetch)
{
    const char *const *lines = fetch->headers;
    int err = 0;
    for (; err == 0 && lines && *lines; lines++)
        err = add_line(request, *lines, fetch->secrets);
    return err;
}

/* Has the caller given it? The first field is the Host. */
static bool has(const struct mh__request *request, const char *name)
{
    mh_headers given = {request->headers + 1, request->given};
    return given.count > 0 && mh_headers_get(given, name).ptr != NULL;
}

static int add_agent(struct mh__request *request)
{
    if (request->how->agent.len == 0 || has(request, "User-Agent"))
        return 0;
    return add(request, MH_STR("User-Agent"), request->how->agent);
}

/* Part of a coded body cannot be decoded, so whoever asks for a range gets it as it is. */
static int add_codings(struct mh__request *request)
{
    request->decodes =
        request->how->codings.len > 0 && !has(request, "Accept-Encoding") && !has(request, "Range");
    return request->decodes ? add(request, MH_STR("Accept-Encoding"), request->how->codings) : 0;
}

static int add_login(struct mh__request *request)
{
    size_t from = request->words.len;
    if (request->how->login.len == 0 || has(request, "Authorization"))
        return 0;
    int err = mh__basic(&request->words, request->how->login);
    if (err == MH_ERR_URL)
        return refuse(request, err, "a user and password that cannot be sent");
    return err < 0 ? err : add(request, MH_STR("Authorization"), text_since(request, from));
}

static int add_proxy_login(struct mh__request *request)
{
    if (!request->how->proxy_login.ptr || has(request, "Proxy-Authorization"))
        return 0;
    return add(request, MH_STR("Proxy-Authorization"), request->how->proxy_login);
}

/* RFC 9110 section 8.6: where a method gives a body a meaning, its length is said, 0 too. */
static int add_length(struct mh__request *request, const char *method)
{
    static const method_name with_body[] = {"POST", "PUT", "PATCH"};
    if (request->total == MH_LENGTH_UNKNOWN)
        return add(request, MH_STR("Transfer-Encoding"), MH_STR("chunked"));
    if (!request->body.ptr && request->total == 0 &&
        !is_one_of(method, with_body, sizeof(with_body) / sizeof(method_name)))
        return 0;
    mh_buf digits = mh__buf_over(request->length, sizeof(request->length));
    int err = mh_buf_printf(&digits, "%" PRIu64, request->total);
    return err < 0 ? err : add(request, MH_STR("Content-Length"), mh_buf_str(&digits));
}

/* RFC 9110 section 10.1.1: where it is worth a wait, because much would be sent in vain. */
static int add_expect(struct mh__request *request, const mh_fetch *fetch)
{
    bool large = fetch->expect_timeout_ms > 0 || request->total >= MH_FETCH_EXPECT_MIN;
    request->expects = request->how->waits && request->total > 0 && large &&
                       fetch->expect_timeout_ms >= 0 && !has(request, "Expect");
    return request->expects ? add(request, MH_STR("Expect"), MH_STR("100-continue")) : 0;
}

static int add_fields(struct mh__request *request, const mh_fetch *fetch, const char *method)
{
    int err = add(request, mh_str_from(host_name), authority(&request->url));
    if (err == 0)
        err = add_lines(request, fetch);
    request->given = request->count - 1;
    if (err == 0)
        err = add_agent(request);
    if (err == 0)
        err = add_codings(request);
    if (err == 0)
        err = add_login(request);
    if (err == 0)
        err = add_proxy_login(request);
    if (err == 0)
        err = add_length(request, method);
    return err < 0 ? err : add_expect(request, fetch);
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

int mh__request_build(struct mh__request *request, const mh_fetch *fetch, mh_str url,
                      const struct mh__request_how *how, const char **why)
{
    const char *method = method_of(fetch, how);
    request->why = why;
    request->how = how;
    request->count = 0;
    request->head = mh__buf_over(request->storage, sizeof(request->storage));
    request->words = mh__buf_over(request->room, sizeof(request->room));
    int err = take_body(request, fetch);
    if (err == 0)
        err = take_method(request, fetch, method);
    if (err == 0)
        err = take_url(request, url);
    if (err == 0)
        err = add_fields(request, fetch, method);
    return err < 0 ? err : put(request, method);
}
