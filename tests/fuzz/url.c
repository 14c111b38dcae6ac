/* Any bytes as a URL, as a reference, as a path, as a host, as text to escape: what is promised of
 * the results holds. Built with -fsanitize=fuzzer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "http/path.h"
#include "http/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition) check(condition, #condition, __LINE__)

static void check(bool condition, const char *text, int line)
{
    if (condition)
        return;
    fprintf(stderr, "line %d: %s does not hold\n", line, text);
    abort();
}

static bool is_dots(mh_str segment)
{
    return mh_str_equal(segment, ".") || mh_str_equal(segment, "..");
}

static bool has_dot_segments(mh_str path)
{
    size_t start = 0;
    for (size_t i = 0; i <= path.len; i++) {
        if (i < path.len && path.ptr[i] != '/')
            continue;
        if (is_dots((mh_str){path.ptr + start, i - start}))
            return true;
        start = i + 1;
    }
    return false;
}

/* ---- a URL put together from its slices is the same URL ---- */

static void put(mh_buf *out, const char *mark, mh_str part, const char *end)
{
    if (!part.ptr)
        return;
    CHECK(mh_buf_append(out, mark, strlen(mark)) == 0);
    CHECK(mh_buf_append(out, part.ptr, part.len) == 0);
    CHECK(mh_buf_append(out, end, strlen(end)) == 0);
}

static void put_together(mh_buf *out, const mh_url *url)
{
    bool brackets = memchr(url->host.ptr, ':', url->host.len) != NULL;
    put(out, "", url->scheme, "://");
    put(out, "", url->userinfo, "@");
    put(out, brackets ? "[" : "", url->host, brackets ? "]" : "");
    CHECK(mh_buf_printf(out, ":%u", url->port) == 0);
    put(out, "", url->path, "");
    put(out, "?", url->query, "");
    put(out, "#", url->fragment, "");
}

static bool same(mh_str a, mh_str b)
{
    return !a.ptr == !b.ptr && mh__str_same(a, b);
}

static void check_parse(mh_str text)
{
    mh_url url;
    int err = mh_url_parse(&url, text);
    CHECK(err == 0 || err == MH_ERR_URL || err == MH_ERR_SCHEME);
    if (err < 0)
        return;
    mh_buf again_text = {0};
    put_together(&again_text, &url);
    mh_url again;
    CHECK(mh_url_parse(&again, mh_buf_str(&again_text)) == 0);
    CHECK(same(url.scheme, again.scheme));
    CHECK(same(url.userinfo, again.userinfo));
    CHECK(same(url.host, again.host));
    CHECK(same(url.target, again.target));
    CHECK(same(url.path, again.path));
    CHECK(same(url.query, again.query));
    CHECK(same(url.fragment, again.fragment));
    CHECK(url.port == again.port && url.port > 0 && url.host.len > 0);
    CHECK(mh__absolute_form_valid(text) == (!url.userinfo.ptr && !url.fragment.ptr));
    mh_buf_free(&again_text);
}

/* ---- what a reference becomes ---- */

/* Of any valid URI; found without the help of the parser. */
static mh_str path_of(mh_str uri)
{
    const char *at = memchr(uri.ptr, ':', uri.len);
    const char *end = uri.ptr + uri.len;
    CHECK(at != NULL);
    at++;
    if (end - at >= 2 && memcmp(at, "//", 2) == 0) {
        for (at += 2; at < end && !strchr("/?#", *at);)
            at++;
    }
    const char *stop = at;
    while (stop < end && *stop != '?' && *stop != '#')
        stop++;
    return (mh_str){at, (size_t)(stop - at)};
}

static bool begins_with(mh_str text, const char *prefix)
{
    size_t len = strlen(prefix);
    return text.len >= len && mh_str_equal_nocase((mh_str){text.ptr, len}, prefix);
}

static void check_resolve(mh_str reference)
{
    mh_url base, url;
    CHECK(mh_url_parse(&base, MH_STR("http://u@base:81/a/b/c;d?q")) == 0);
    mh_buf out = {0}, again = {0};
    int err = mh_url_resolve(&out, &base, reference);
    CHECK(err == 0 || (err == MH_ERR_URL && out.len == 0));
    if (err == 0) {
        mh_str result = mh_buf_str(&out);
        CHECK(!has_dot_segments(path_of(result)));
        if (begins_with(result, "http://") || begins_with(result, "https://"))
            CHECK(mh_url_parse(&url, result) == 0);
        CHECK(mh_url_resolve(&again, &base, result) == 0);
        CHECK(mh__str_same(mh_buf_str(&again), result));
    }
    if (mh_url_parse(&url, reference) == 0)
        CHECK(err == 0);
    mh_buf_free(&out);
    mh_buf_free(&again);
}

/* ---- paths, hosts, escapes ---- */

static void check_path(mh_str raw)
{
    mh_buf out = {0};
    int err = mh__path_decode(&out, raw);
    CHECK(err == 0 || (err == MH_ERR_URL && out.len == 0));
    if (err == 0) {
        CHECK(out.len > 0 && out.data[0] == '/');
        CHECK(!memchr(out.data, '\0', out.len));
        CHECK(!has_dot_segments(mh_buf_str(&out)));
    }
    mh_buf_free(&out);
}

static void check_host(mh_str host)
{
    if (mh__authority_valid(host))
        CHECK(mh__host_valid(host));
    mh_buf text = {0};
    put(&text, "http://", host, "/");
    mh_url url;
    bool whole = host.len > 0 && mh_url_parse(&url, mh_buf_str(&text)) == 0 && !url.userinfo.ptr &&
                 mh_str_equal(url.path, "/") && !url.query.ptr && !url.fragment.ptr &&
                 host.ptr[host.len - 1] != '/';
    if (whole)
        CHECK(mh__host_valid(host));
    if (mh__authority_valid(host))
        CHECK(whole);
    mh_buf_free(&text);
}

static void check_escapes(mh_str text)
{
    mh_buf encoded = {0}, decoded = {0};
    CHECK(mh_url_encode(&encoded, text) == 0);
    CHECK(mh_url_decode(&decoded, mh_buf_str(&encoded)) == 0);
    CHECK(mh__str_same(mh_buf_str(&decoded), text));
    mh_buf_clear(&decoded);
    int err = mh_url_decode(&decoded, text);
    CHECK(err == 0 ? decoded.len <= text.len : err == MH_ERR_URL && decoded.len == 0);
    mh_buf_free(&encoded);
    mh_buf_free(&decoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *block = malloc(size); /* a block of its own size: reading past it is seen */
    CHECK(block || size == 0);
    if (size > 0)
        memcpy(block, data, size);
    mh_str text = {block, size};
    check_parse(text);
    check_resolve(text);
    check_path(text);
    check_host(text);
    check_escapes(text);
    free(block);
    return 0;
}
