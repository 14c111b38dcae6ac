/* Where a redirect leads, and what becomes of the request: lib/client/redirect.c. */
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "client/redirect.h"
#include "../scarce.h"

Test(redirect, statuses)
{
    for (int status = 0; status < 1000; status++) {
        bool expected =
            status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
        cr_assert_eq(mh__redirect_is(status), expected, "%d", status);
    }
}

Test(redirect, which_methods_become_a_get)
{
    static const struct {
        const char *method;
        bool of_301_and_302, of_303;
    } cases[] = {
        {"GET", false, false},    {"HEAD", false, false}, {"POST", true, true},
        {"PUT", false, true},     {"PATCH", false, true}, {"DELETE", false, true},
        {"OPTIONS", false, true}, {"post", false, true},  {"head", false, true},
        {"POSTS", false, true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        mh_str method = mh_str_from(cases[i].method);
        cr_assert_eq(mh__redirect_to_get(301, method), cases[i].of_301_and_302, "301 %s",
                     cases[i].method);
        cr_assert_eq(mh__redirect_to_get(302, method), cases[i].of_301_and_302, "302 %s",
                     cases[i].method);
        cr_assert_eq(mh__redirect_to_get(303, method), cases[i].of_303, "303 %s", cases[i].method);
        cr_assert_not(mh__redirect_to_get(307, method), "307 %s", cases[i].method);
        cr_assert_not(mh__redirect_to_get(308, method), "308 %s", cases[i].method);
    }
}

Test(redirect, fields_that_go_with_a_body)
{
    static const char *const yes[] = {
        "Content-Encoding", "Content-Language", "Content-Location",  "Content-Type",
        "Content-Length",   "content-length",   "CONTENT-TYPE",      "Digest",
        "Content-Digest",   "Repr-Digest",      "Transfer-Encoding", "Last-Modified",
        "Expect",           "Trailer",
    };
    static const char *const no[] = {
        "",         "Content", "Content-Lengths", "Content-Disposition", "Accept",   "Cookie",
        "If-Match", "TE",      "Authorization",   "Want-Content-Digest", "Trailers",
    };
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
        cr_assert(mh__redirect_drops(mh_str_from(yes[i])), "%s", yes[i]);
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
        cr_assert_not(mh__redirect_drops(mh_str_from(no[i])), "%s", no[i]);
}

static mh_url url_of(const char *text)
{
    mh_url url;
    cr_assert_eq(mh_url_parse(&url, mh_str_from(text)), 0, "%s", text);
    return url;
}

Test(redirect, origins)
{
    static const struct {
        const char *a, *b;
        bool same;
    } cases[] = {
        {"http://a/", "http://a/b?c", true},   {"http://a/", "HTTP://A/", true},
        {"http://a/", "http://a:80/", true},   {"https://a/", "https://a:443/", true},
        {"http://a/", "http://u:p@a/", true},  {"http://[::1]/", "http://[::1]:80", true},
        {"http://a/", "https://a/", false},    {"http://a:443/", "https://a/", false},
        {"https://a:80/", "http://a/", false}, {"http://a/", "http://a:81/", false},
        {"http://a/", "http://b/", false},     {"http://a/", "http://www.a/", false},
        {"http://a/", "http://a./", false},    {"http://a/", "http://a@b/", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        mh_url a = url_of(cases[i].a), b = url_of(cases[i].b);
        cr_assert_eq(mh__same_origin(&a, &b), cases[i].same, "%s %s", cases[i].a, cases[i].b);
        cr_assert_eq(mh__same_origin(&b, &a), cases[i].same, "%s %s", cases[i].b, cases[i].a);
    }
}

static const char base[] = "http://user@example.com:8080/a/b?q#f";

Test(redirect, targets)
{
    static const char *const cases[][2] = {
        {"http://other.example/x", "http://other.example/x"},
        {"https://other.example", "https://other.example"},
        {"HTTPS://Other.example:1/?y#z", "HTTPS://Other.example:1/?y"},
        {"http://u:p@h/", "http://u:p@h/"},
        {"//h:81/x", "http://h:81/x"},
        {"/x", "http://user@example.com:8080/x"},
        {"x", "http://user@example.com:8080/a/x"},
        {"../../x/./y", "http://user@example.com:8080/x/y"},
        {"?y", "http://user@example.com:8080/a/b?y"},
        {"", "http://user@example.com:8080/a/b?q"},
        {"#g", "http://user@example.com:8080/a/b?q"},
        {"#", "http://user@example.com:8080/a/b?q"},
        {"/x#a?b#", NULL},
        {"/x#a?b", "http://user@example.com:8080/x"},
        {"/%20%0d", "http://user@example.com:8080/%20%0d"},
    };
    mh_url from = url_of(base);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        mh_buf out = {0};
        const char *why = NULL;
        int err = mh__redirect_target(&out, &from, mh_str_from(cases[i][0]), &why);
        cr_assert_eq(err, cases[i][1] ? 0 : MH_ERR_URL, "%s", cases[i][0]);
        if (cases[i][1]) {
            cr_assert_str_eq(out.data, cases[i][1], "%s", cases[i][0]);
            cr_assert_null(why);
        }
        mh_buf_free(&out);
    }
}

static void refuses(mh_str location, int expected, const char *words)
{
    mh_url from = url_of(base);
    mh_buf out = {0};
    const char *why = NULL;
    cr_assert_eq(mh_buf_append(&out, "before", 6), 0);
    cr_assert_eq(mh__redirect_target(&out, &from, location, &why), expected, "%s", location.ptr);
    cr_assert_str_eq(out.data, "before", "%s", location.ptr);
    cr_assert(why && strstr(why, words), "%s", location.ptr);
    mh_buf_free(&out);
}

Test(redirect, targets_that_are_refused)
{
    static const mh_str malformed[] = {
        {"/a b", 4},         {"/a\r\nX: y", 8},    {"/a\n", 3},
        {"/a\0b", 4},        {"/\x80", 2},         {"/%", 2},
        {"http://", 7},      {"http:///x", 9},     {"http:x", 6},
        {"http://h:0/", 11}, {"http://[::", 10},   {"//h:65536/", 10},
        {":x", 2},           {"http://u@@h/", 12}, {"/\\x", 3},
    };
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++)
        refuses(malformed[i], MH_ERR_URL, "malformed");
    refuses(MH_STR("ftp://h/"), MH_ERR_SCHEME, "neither http nor https");
    refuses(MH_STR("javascript:alert(1)"), MH_ERR_SCHEME, "neither http nor https");
    refuses(MH_STR("file:///etc/passwd"), MH_ERR_SCHEME, "neither http nor https");
}

Test(redirect, a_target_is_appended)
{
    mh_url from = url_of(base);
    mh_buf out = {0};
    const char *why = NULL;
    cr_assert_eq(mh_buf_append(&out, "#before ", 8), 0);
    cr_assert_eq(mh__redirect_target(&out, &from, MH_STR("http://h/x#y"), &why), 0);
    cr_assert_str_eq(out.data, "#before http://h/x");
    mh_buf_free(&out);
}

Test(redirect, no_memory_and_no_room)
{
    mh_url from = url_of(base);
    mh_buf out = {0}, small = {.max = 9};
    const char *why = NULL;
    cr_assert_eq(mh__redirect_target(&small, &from, MH_STR("http://h/x"), &why), MH_ERR_TOO_LARGE);
    cr_assert_str_eq(why, "the redirect leads to a URL that is too long");
    mh_buf_free(&small);
    why = NULL;
    allocations_left = 0;
    cr_assert_eq(mh__redirect_target(&out, &from, MH_STR("http://h/x"), &why), -ENOMEM);
    cr_assert_null(out.data);
    cr_assert_null(why);
}
