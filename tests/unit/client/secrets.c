/* Credentials, and heads without them: lib/client/secrets.c. */
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "client/secrets.h"
#include "../scarce.h"

static const char *const more[] = {"X-Api-Key", "Token", NULL};

/* In a block of its own size, so that the address sanitizer sees a byte read too far. */
static int blank(mh_buf *out, const char *head, size_t len, const char *const *names)
{
    char *copy = malloc(len ? len : 1);
    cr_assert(copy);
    memcpy(copy, head, len);
    int err = mh__secrets_blank(out, (mh_str){copy, len}, names);
    free(copy);
    return err;
}

static const char *const cases[][2] = {
    {"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Basic dXNlcjpwYXNz\r\nAccept: */*\r\n\r\n",
     "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Basic ************\r\nAccept: */*\r\n\r\n"},
    {"HTTP/1.1 200 OK\r\nSet-Cookie: id=7; Path=/\r\nContent-Length: 0\r\n\r\n",
     "HTTP/1.1 200 OK\r\nSet-Cookie: ************\r\nContent-Length: 0\r\n\r\n"},
    {"Cookie: a=b; c=d\r\n", "Cookie: ********\r\n"},
    {"Proxy-Authorization: Basic YTpi\r\n", "Proxy-Authorization: Basic ****\r\n"},
    {"COOKIE: x\r\nset-cookie:y\r\n", "COOKIE: *\r\nset-cookie:*\r\n"},
    {"AUTHORIZATION:Bearer\tabc\r\n", "AUTHORIZATION:Bearer\t***\r\n"},
    {"X-API-KEY: 12\r\ntoken: a b\r\n", "X-API-KEY: **\r\ntoken: ***\r\n"},

    /* what is no secret */
    {"", ""},
    {"\r\n", "\r\n"},
    {"\n", "\n"},
    {"\r", "\r"},
    {":", ":"},
    {": x\r\n", ": x\r\n"},
    {"GET /Cookie:x HTTP/1.1\r\n\r\n", "GET /Cookie:x HTTP/1.1\r\n\r\n"},
    {"Cookies: a\r\nX-Cookie: b\r\nCook: c\r\n", "Cookies: a\r\nX-Cookie: b\r\nCook: c\r\n"},
    {"WWW-Authenticate: Basic realm=\"x\"\r\n", "WWW-Authenticate: Basic realm=\"x\"\r\n"},
    {"X: Cookie: a\r\n", "X: Cookie: a\r\n"},
    {"Cookie\r\n", "Cookie\r\n"},
    {"X: a\r\n folded\r\n", "X: a\r\n folded\r\n"},
    {" at the beginning\r\n", " at the beginning\r\n"},

    /* no value, or hardly one */
    {"Cookie:\r\n", "Cookie:\r\n"},
    {"Cookie: \t\r\n", "Cookie: \t\r\n"},
    {"Cookie:  x\r\n", "Cookie:  *\r\n"},
    {"Cookie: x \r\n", "Cookie: **\r\n"},

    /* a scheme is one only when something follows */
    {"Authorization: secret\r\n", "Authorization: ******\r\n"},
    {"Authorization: secret \r\n", "Authorization: *******\r\n"},
    {"Authorization:\r\n", "Authorization:\r\n"},
    {"Authorization: Digest a=\"b\", c=\"d\"\r\n", "Authorization: Digest ************\r\n"},
    {"Cookie: Basic abc\r\n", "Cookie: *********\r\n"},

    /* folded */
    {"Cookie: a;\r\n b;\r\n\tc\r\nX: d\r\n", "Cookie: **\r\n **\r\n\t*\r\nX: d\r\n"},
    {"Authorization: Basic\r\n  YTpi\r\n", "Authorization: *****\r\n  ****\r\n"},
    {"Authorization:\r\n Basic YTpi\r\nA: b\r\n", "Authorization:\r\n **********\r\nA: b\r\n"},
    {"Token:a\r\n\r\n b\r\n", "Token:*\r\n\r\n b\r\n"}, /* behind an empty line */

    /* not well-formed */
    {"Cookie : a\r\nCookie\t \t: b\r\n", "Cookie : *\r\nCookie\t \t: *\r\n"},
    {"Cookie: a\nX: b\nToken: c\n", "Cookie: *\nX: b\nToken: *\n"},
    {"X: a\r\nCookie: b", "X: a\r\nCookie: *"},
    {"Cookie:", "Cookie:"},
    {"Cookie: a\rb\r\r\n", "Cookie: ****\r\n"},
    {"Cookie: a:b\r\n", "Cookie: ***\r\n"},
    {"Cookie: \x80\xff\r\n", "Cookie: **\r\n"},
};

Test(secrets, heads)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        mh_buf out = {0};
        cr_assert_eq(blank(&out, cases[i][0], strlen(cases[i][0]), more), 0);
        cr_assert_eq(out.len, strlen(cases[i][1]), "%s", cases[i][0]);
        cr_assert_arr_eq(out.len ? out.data : "", cases[i][1], out.len, "%s: %s", cases[i][0],
                         out.data);
        mh_buf_free(&out);
    }
}

Test(secrets, a_nul_in_a_value)
{
    mh_buf out = {0};
    cr_assert_eq(blank(&out, "Cookie: a\0b\r\n", 13, NULL), 0);
    cr_assert_eq(out.len, 13);
    cr_assert_str_eq(out.data, "Cookie: ***\r\n");
    mh_buf_free(&out);
}

Test(secrets, without_more_names)
{
    static const char *const none[] = {NULL};
    static const char *const *const lists[] = {NULL, none};
    for (size_t i = 0; i < 2; i++) {
        mh_buf out = {0};
        cr_assert_eq(blank(&out, "Token: a\r\nCookie: b\r\n", 21, lists[i]), 0);
        cr_assert_str_eq(out.data, "Token: a\r\nCookie: *\r\n");
        mh_buf_free(&out);
    }
}

Test(secrets, it_is_appended)
{
    mh_buf out = {0};
    cr_assert_eq(mh_buf_append(&out, "Cookie: before\r\n", 16), 0);
    cr_assert_eq(blank(&out, " x\r\nCookie: y\r\n", 15, NULL), 0);
    cr_assert_str_eq(out.data, "Cookie: before\r\n x\r\nCookie: *\r\n");
    mh_buf_free(&out);
}

Test(secrets, nothing)
{
    mh_buf out = {0};
    cr_assert_eq(mh__secrets_blank(&out, (mh_str){NULL, 0}, NULL), 0);
    cr_assert_eq(out.len, 0);
    mh_buf_free(&out);
}

Test(secrets, no_memory_and_no_room)
{
    mh_buf out = {0}, small = {.max = 8};
    cr_assert_eq(blank(&small, "Cookie: x", 9, NULL), MH_ERR_TOO_LARGE);
    cr_assert_eq(small.len, 0);
    allocations_left = 0;
    cr_assert_eq(blank(&out, "Cookie: x", 9, NULL), -ENOMEM);
    cr_assert_null(out.data);
}

Test(secrets, names)
{
    static const char *const yes[] = {"Authorization", "authorization", "Proxy-Authorization",
                                      "Cookie",        "COOKIE",        "x-api-key",
                                      "Token"};
    static const char *const no[] = {"",       "Set-Cookie", "Cookies",         "Cooki",
                                     "Accept", "Tokens",     "WWW-Authenticate"};
    for (size_t i = 0; i < 7; i++) {
        cr_assert(mh__secrets_names(mh_str_from(yes[i]), more), "%s", yes[i]);
        cr_assert_eq(mh__secrets_names(mh_str_from(yes[i]), NULL), i < 5, "%s", yes[i]);
        cr_assert_not(mh__secrets_names(mh_str_from(no[i]), more), "%s", no[i]);
    }
    cr_assert_not(mh__secrets_names((mh_str){NULL, 0}, more));
}
