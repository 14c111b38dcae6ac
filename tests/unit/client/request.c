/* What was asked for, as the bytes of a request: lib/client/request.c. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/client.h"

static struct mh__request request;
static const char *why;

static int build(const mh_fetch *fetch, bool agent)
{
    const struct mh__request_how plain = {0}, named = {.agent = MH_STR(MH__AGENT)};
    why = NULL;
    return mh__request_build(&request, fetch, mh_str_from(fetch->url), agent ? &named : &plain,
                             &why);
}

static void expect(const mh_fetch *fetch, const char *head)
{
    cr_assert_eq(build(fetch, false), 0, "%s: %s", fetch->url, why ? why : "");
    cr_assert(mh_str_equal(mh_buf_str(&request.head), head), "%s", request.head.data);
    cr_assert_null(why);
}

Test(request, a_plain_get)
{
    expect(&(mh_fetch){.url = "http://example.com/page"},
           "GET /page HTTP/1.1\r\nHost: example.com\r\n\r\n");
}

Test(request, what_of_a_url_is_sent)
{
    static const char *const cases[][3] = {
        {"http://h", "/", "h"},
        {"http://h/", "/", "h"},
        {"HTTP://H/a?b=c#d", "/a?b=c", "H"},
        {"http://h?q", "/?q", "h"},
        {"http://h:81?q#f", "/?q", "h:81"},
        {"http://h?", "/?", "h"},
        {"http://h#f", "/", "h"},
        {"http://h:80/", "/", "h"},
        {"http://h:/", "/", "h"},
        {"http://h:8080/", "/", "h:8080"},
        {"http://user:pass@h:8080/", "/", "h:8080"},
        {"http://user@h/", "/", "h"},
        {"http://[::1]/", "/", "[::1]"},
        {"http://[::1]:80/", "/", "[::1]"},
        {"http://[::1]:8080/x", "/x", "[::1]:8080"},
        {"http://u@[::1]:8080?x", "/?x", "[::1]:8080"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char head[256];
        snprintf(head, sizeof(head), "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", cases[i][1],
                 cases[i][2]);
        expect(&(mh_fetch){.url = cases[i][0]}, head);
    }
}

Test(request, it_names_the_library_unless_the_caller_names_something)
{
    mh_fetch fetch = {.url = "http://h/"};
    const char *const headers[] = {"user-agent: mine", NULL};
    char head[128];
    snprintf(head, sizeof(head), "GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: minihttp/%s\r\n\r\n",
             mh_version());
    cr_assert_eq(build(&fetch, true), 0);
    cr_assert_str_eq(request.head.data, head);
    fetch.headers = headers;
    cr_assert_eq(build(&fetch, true), 0);
    cr_assert_str_eq(request.head.data, "GET / HTTP/1.1\r\nHost: h\r\nuser-agent: mine\r\n\r\n");
}

Test(request, the_callers_headers)
{
    const char *const headers[] = {"Accept: text/html", "X-Empty:", "X-Tab:\t a: b \t", NULL};
    expect(&(mh_fetch){.url = "http://h/", .headers = headers},
           "GET / HTTP/1.1\r\nHost: h\r\nAccept: text/html\r\nX-Empty: \r\nX-Tab: a: b\r\n\r\n");
}

/* As it is for a server that has other names as well. */
Test(request, the_callers_host_stands_where_ours_stood)
{
    const char *const headers[] = {"Accept: text/html", "hOsT:\tother.example:81 ", NULL};
    expect(&(mh_fetch){.url = "http://127.0.0.1:8080/", .headers = headers},
           "GET / HTTP/1.1\r\nhOsT: other.example:81\r\nAccept: text/html\r\n\r\n");
}

Test(request, a_body_has_a_length)
{
    expect(&(mh_fetch){.url = "http://h/", .body = MH_STR("12345")},
           "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n");
    cr_assert(mh_str_equal(request.body, "12345"));
    expect(&(mh_fetch){.url = "http://h/", .body = MH_STR("")},
           "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    expect(&(mh_fetch){.url = "http://h/", .method = "DELETE", .body = MH_STR("1")},
           "DELETE / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n");
}

Test(request, no_body_has_a_length_where_one_is_expected)
{
    static const char *const with[] = {"POST", "PUT", "PATCH"}, *const without[] = {"DELETE",
                                                                                    "HEAD"};
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(build(&(mh_fetch){.url = "http://h/", .method = with[i]}, false), 0);
        cr_assert(strstr(request.head.data, "\r\nContent-Length: 0\r\n"), "%s", with[i]);
    }
    for (size_t i = 0; i < 2; i++) {
        cr_assert_eq(build(&(mh_fetch){.url = "http://h/", .method = without[i]}, false), 0);
        cr_assert_null(strstr(request.head.data, "Content-Length"), "%s", without[i]);
    }
}

Test(request, idempotent_methods)
{
    static const char *const yes[] = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"},
                             *const no[] = {"POST", "PATCH", "get", "GETS"};
    for (size_t i = 0; i < 6; i++) {
        cr_assert_eq(build(&(mh_fetch){.url = "http://h/", .method = yes[i]}, false), 0);
        cr_assert(request.idempotent, "%s", yes[i]);
    }
    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(build(&(mh_fetch){.url = "http://h/", .method = no[i]}, false), 0);
        cr_assert_not(request.idempotent, "%s", no[i]);
    }
}

static void refuses(const mh_fetch *fetch, int err, const char *text)
{
    cr_assert_eq(build(fetch, true), err, "%s", fetch->url ? fetch->url : "NULL");
    cr_assert((!text && !why) || (text && why && strcmp(text, why) == 0), "%s", why ? why : "NULL");
}

Test(request, urls_that_are_refused)
{
    refuses(&(mh_fetch){.url = NULL}, -EINVAL, "there is no URL");
    static const char no_url[] = "malformed URL, not http://host:port/path?query";
    static const char *const plain[] = {"",         "example.com",     "http:/h/",
                                        "http://",  "http://h:99999/", "http://[::1/",
                                        "http://?", "http://h/%zz",    "http://h/#a#b"};
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
        refuses(&(mh_fetch){.url = plain[i]}, MH_ERR_URL, no_url);
    refuses(&(mh_fetch){.url = "http://h/a b"}, MH_ERR_URL,
            "malformed URL: byte 0x20 at offset 10");
    refuses(&(mh_fetch){.url = "http://h/\r\nX: y"}, MH_ERR_URL,
            "malformed URL: byte 0x0d at offset 9");
    refuses(&(mh_fetch){.url = "http://h/\xc3\xa4"}, MH_ERR_URL,
            "malformed URL: byte 0xc3 at offset 9");
    refuses(&(mh_fetch){.url = "https://h/"}, MH_ERR_SCHEME, "https: there is no TLS here");
    refuses(&(mh_fetch){.url = "ftp://h/"}, MH_ERR_SCHEME, NULL);
}

Test(request, methods_that_are_refused)
{
    static const char bad[] = "a method, a header or a Host that must not be sent";
    refuses(&(mh_fetch){.url = "http://h/", .method = ""}, -EINVAL, bad);
    refuses(&(mh_fetch){.url = "http://h/", .method = "GET /x"}, -EINVAL, bad);
    refuses(&(mh_fetch){.url = "http://h/", .method = "A\r\n"}, -EINVAL, bad);
    refuses(&(mh_fetch){.url = "http://h/", .method = "CONNECT"}, -EINVAL,
            "CONNECT makes a tunnel, not a fetch");
    refuses(&(mh_fetch){.url = "http://h/", .method = "TRACE", .body = MH_STR("x")}, -EINVAL,
            "TRACE has no body");
    refuses(&(mh_fetch){.url = "http://h/", .body = {NULL, 5}}, -EINVAL,
            "a body with a length and no bytes");
}

Test(request, headers_that_are_refused)
{
    static const char bad[] = "a method, a header or a Host that must not be sent",
                      framing[] = "the framing fields are written by the library";
    static const char *const cases[][2] = {{"nothing", "a header without a colon"},
                                           {"", "a header without a colon"},
                                           {"Content-Length: 5", framing},
                                           {"content-length:5", framing},
                                           {"Transfer-Encoding: chunked", framing},
                                           {"Transfer-Encoding : chunked", bad},
                                           {"A: b\r\nC: d", bad},
                                           {"A: b\nC: d", bad},
                                           {"A: \x01", bad},
                                           {"A b: c", bad},
                                           {": c", bad},
                                           {" A: c", bad}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *const headers[] = {cases[i][0], NULL};
        refuses(&(mh_fetch){.url = "http://h/", .headers = headers}, -EINVAL, cases[i][1]);
    }
}

Test(request, hosts_that_are_refused)
{
    static const char *const bad[] = {"Host:", "Host: ", "Host: a b", "Host: a, b", "Host: u@h"};
    static const char why_bad[] = "a method, a header or a Host that must not be sent";
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const char *const headers[] = {bad[i], NULL};
        refuses(&(mh_fetch){.url = "http://h/", .headers = headers}, -EINVAL, why_bad);
    }
    const char *const two[] = {"Host: a", "Accept: b", "host: a", NULL};
    refuses(&(mh_fetch){.url = "http://h/", .headers = two}, -EINVAL, why_bad);
}

Test(request, too_many_headers)
{
    const char *headers[MH_HEADERS_MAX + 1] = {NULL};
    mh_fetch fetch = {.url = "http://h/", .headers = headers};
    for (size_t i = 0; i < MH_HEADERS_MAX - 1; i++)
        headers[i] = "A: b";
    cr_assert_eq(build(&fetch, false), 0);
    refuses(&fetch, MH_ERR_TOO_LARGE, "more headers than MH_HEADERS_MAX"); /* with our name */
}

/* "http://h/aaa..." whose request has a head of `len` bytes. */
static char *url_for_head(size_t len, const char *prefix, size_t overhead)
{
    size_t path = len - overhead;
    char *url = malloc(strlen(prefix) + path + 1);
    cr_assert(url);
    snprintf(url, strlen(prefix) + path + 1, "%s", prefix);
    memset(url + strlen(prefix), 'a', path);
    url[strlen(prefix) + path] = '\0';
    return url;
}

static void head_of_the_limit(const char *prefix)
{
    static const char too_large[] = "the head of the request is larger than 16384 bytes";
    size_t overhead = strlen("GET /? HTTP/1.1\r\nHost: h\r\n\r\n") - (strchr(prefix, '?') ? 0 : 1);
    for (size_t over = 0; over <= 1; over++) {
        char *url = url_for_head(MH_FETCH_REQUEST_HEAD_MAX + over, prefix, overhead);
        mh_fetch fetch = {.url = url};
        cr_assert_eq(build(&fetch, false), over ? MH_ERR_TOO_LARGE : 0);
        if (over)
            cr_assert_str_eq(why, too_large);
        else
            cr_assert_eq(request.head.len, MH_FETCH_REQUEST_HEAD_MAX);
        free(url);
    }
}

Test(request, as_large_as_it_may_be_and_one_byte_more)
{
    head_of_the_limit("http://h/");
    head_of_the_limit("http://h?");
}

Test(request, far_too_large)
{
    char *url = url_for_head(100000, "http://h?", 0);
    refuses(&(mh_fetch){.url = url}, MH_ERR_TOO_LARGE,
            "the head of the request is larger than 16384 bytes");
    free(url);
}
