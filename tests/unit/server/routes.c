/* Which handler a path belongs to: lib/server/routes.c. */
#include <errno.h>

#include <criterion/criterion.h>

#include "base/buffer.h"
#include "base/str.h"
#include "server/exchange.h"

#include "../scarce.h"

static struct mh__exchange ex;

/* A request as the engine would hand it over. */
static mh_request *request(const char *method, const char *path, void *user)
{
    mh_request *req = &ex.request;
    mh_buf_free(&ex.reply.lines);
    ex = (struct mh__exchange){0};
    *req = (mh_request){
        .method = mh_str_from(method), .path = mh_str_from(path), .user = user, .private_ = &ex};
    return req;
}

/* ---- paths ---- */

static int say_200(mh_request *req)
{
    (void)req;
    return 200;
}

static int status_of(const char *pattern, const char *path)
{
    const mh_route routes[] = {{NULL, pattern, say_200, NULL}, {0}};
    return mh_serve_routes(request("GET", path, (void *)routes));
}

static const struct {
    const char *pattern, *path;
    bool fits;
} paths[] = {
    {"/", "/", true},
    {"/", "/a", false},
    {"/a", "/", false},
    {"/a", "/a", true},
    {"/a", "/A", false},
    {"/a", "/a/", false},
    {"/a/", "/a", false},
    {"/a/b", "/a/b", true},
    {"/a/b", "/a//b", false},
    {"a", "/a", false},
    {"", "/", false},
    /* parameters are whole segments, and not empty */
    {"/{x}", "/a", true},
    {"/{x}", "/", false},
    {"/{x}", "/a/b", false},
    {"/{x}", "/a/", false},
    {"/{x}/", "/a/", true},
    {"/{x}/b", "/a/b", true},
    {"/{x}/b", "//b", false},
    {"/{x}/b", "/a/c", false},
    {"/{x}/{y}", "/a/b", true},
    {"/{x}/{y}", "/a", false},
    {"/{x}/{y}", "/a/", false},
    {"/{}", "/a", true},
    {"/{x}", "/{x}", true},
    {"{x}", "a:443", true},
    /* braces elsewhere are braces */
    {"/{x", "/{x", true},
    {"/{x", "/a", false},
    {"/{x/y}", "/{x/y}", true},
    {"/{x/y}", "/a/y}", false},
    {"/a{x}", "/a{x}", true},
    {"/a{x}", "/ab", false},
    {"/{x}b", "/ab", false},
    {"/{x}b", "/{x}b", true},
    {"/x}", "/x}", true},
    /* prefixes */
    {"*", "/", true},
    {"*", "*", true},
    {"/*", "/", true},
    {"/*", "/a/b", true},
    {"/*", "a:443", false},
    {"/a/*", "/a/", true},
    {"/a/*", "/a/b/c", true},
    {"/a/*", "/a", false},
    {"/a/*", "/ab", false},
    {"/a*", "/a", true},
    {"/a*", "/ab/c", true},
    {"/a*", "/b", false},
    {"/{x}/*", "/a/b/c", true},
    {"/{x}/*", "/a", false},
    {"/{x}*", "/a", true},
    {"/{x}*", "/a/b", true},
    {"/{x}*", "/", false},
    {"/{x}*", "//", false},
    /* an asterisk elsewhere is one */
    {"/*/a", "/*/a", true},
    {"/*/a", "/b/a", false},
    {"/**", "/*b", true},
    {"/**", "/b", false},
};

Test(routes, paths)
{
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        cr_expect_eq(status_of(paths[i].pattern, paths[i].path), paths[i].fits ? 200 : 404,
                     "%s and %s", paths[i].pattern, paths[i].path);
}

/* ---- parameters ---- */

static const struct {
    const char *pattern, *path, *name, *value;
} params[] = {
    {"/{x}", "/a", "x", "a"},
    {"/{x}", "/a", "y", NULL},
    {"/{x}", "/a", "", NULL},
    {"/{x}", "/a", "*", NULL},
    {"/{x}", "/a", NULL, NULL},
    {"/{x}", "/a", "X", NULL},
    {"/{id}", "/a", "i", NULL},
    {"/{id}", "/a b\xc3\xa4", "id", "a b\xc3\xa4"},
    {"/{x}/{y}", "/a/b", "x", "a"},
    {"/{x}/{y}", "/a/b", "y", "b"},
    {"/{x}/{x}", "/a/b", "x", "a"},
    {"/{}", "/a", "", "a"},
    {"/u/{x}/v/{y}/", "/u/12/v/345/", "x", "12"},
    {"/u/{x}/v/{y}/", "/u/12/v/345/", "y", "345"},
    {"/a/*", "/a/b/c", "*", "b/c"},
    {"/a/*", "/a/", "*", ""},
    {"/a*", "/abc", "*", "bc"},
    {"*", "*", "*", "*"},
    {"/{x}/*", "/a/b", "x", "a"},
    {"/{x}/*", "/a/b", "*", "b"},
    {"/{x}*", "/a", "*", ""},
    {"/{x}*", "/a/b", "*", "/b"},
    {"/{x", "/{x", "x", NULL},
};

Test(routes, params)
{
    for (size_t i = 0; i < sizeof(params) / sizeof(params[0]); i++) {
        cr_assert_eq(status_of(params[i].pattern, params[i].path), 200);
        mh_str value = mh_request_param(&ex.request, params[i].name);
        cr_expect(mh_str_equal(value, params[i].value), "%s, %s: " MH_FMT, params[i].pattern,
                  params[i].path, MH_ARG(value));
    }
}

Test(routes, no_params_without_a_route)
{
    cr_assert_eq(status_of("/{x}/b", "/a"), 404);
    cr_assert_null(mh_request_param(&ex.request, "x").ptr);
}

/* ---- methods ---- */

static int say_number(mh_request *req)
{
    return *(const int *)req->user;
}

static int n201 = 201, n202 = 202, n203 = 203, n207 = 207;

/* Read from the top. */
static const mh_route table[] = {
    {"GET", "/a", say_number, &n201},        {"POST", "/a", say_number, &n202},
    {"GET", "/{any}", say_number, &n203},    {"GET", "/a", say_200, NULL}, /* never */
    {"HEAD", "/h", say_200, NULL},           {"QUERY", "/q/{x}", say_number, &n201},
    {NULL, "/any/*", say_number, &n207},     {"OPTIONS", "/own", say_number, &n202},
    {"CONNECT", "b:443", say_number, &n203}, {"DELETE", "/x/{x}", say_number, &n202},
    {"GET", "/x/*", say_number, &n203},      {"HEAD", "/x/*", say_200, NULL},
    {"DELETE", "/x/1/*", say_number, &n201}, {0},
};

#define EVERYTHING "GET, HEAD, POST, QUERY, OPTIONS, CONNECT, DELETE"

static const struct {
    const char *method, *path;
    int status;
    const char *allow;
} answers[] = {
    {"GET", "/a", 201, NULL},
    {"POST", "/a", 202, NULL},
    {"HEAD", "/a", 201, NULL},
    {"GET", "/b", 203, NULL},
    {"HEAD", "/h", 203, NULL}, /* the first one that fits */
    {"get", "/a", 501, NULL},  /* methods differ by case */
    {"PUT", "/a", 405, "GET, HEAD, POST, OPTIONS"},
    {"TRACE", "/a", 405, "GET, HEAD, POST, OPTIONS"},
    {"POST", "/b", 405, "GET, HEAD, OPTIONS"},
    {"POST", "/h", 405, "GET, HEAD, OPTIONS"},
    {"GET", "/q/1", 405, "QUERY, OPTIONS"},
    {"QUERY", "/q/1", 201, NULL},
    {"QUERY", "/a", 405, "GET, HEAD, POST, OPTIONS"}, /* known, from another route */
    {"PATCH", "/x/1", 405, "DELETE, GET, HEAD, OPTIONS"},
    {"PATCH", "/x/1/2", 405, "GET, HEAD, DELETE, OPTIONS"},
    {"DELETE", "/x/1", 202, NULL},
    {"BREW", "/a", 501, NULL},
    {"BREW", "/no/where", 501, NULL},
    {"BREW", "/any/thing", 207, NULL},
    {"GET", "/no/where", 404, NULL},
    {"PUT", "/no/where", 404, NULL},
    {"OPTIONS", "/no/where", 404, NULL},
    {"OPTIONS", "/a", 204, "GET, HEAD, POST, OPTIONS"},
    {"OPTIONS", "/own", 202, NULL},
    {"PUT", "/own", 405, "GET, HEAD, OPTIONS"},
    {"OPTIONS", "/any/thing", 207, NULL},
    {"OPTIONS", "*", 204, EVERYTHING},
    {"CONNECT", "b:443", 203, NULL},
    {"CONNECT", "c:443", 404, NULL},
};

static void expect_allow(const char *allow, const char *path)
{
    mh_buf line = {0};
    if (allow)
        cr_assert_eq(mh_buf_printf(&line, "Allow: %s\r\n", allow), 0);
    cr_expect(mh__str_same(mh_buf_str(&ex.reply.lines), mh_buf_str(&line)), "%s: " MH_FMT, path,
              MH_ARG(mh_buf_str(&ex.reply.lines)));
    mh_buf_free(&line);
}

Test(routes, methods)
{
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        const char *method = answers[i].method, *path = answers[i].path;
        int status = mh_serve_routes(request(method, path, (void *)table));
        cr_expect_eq(status, answers[i].status, "%s %s: %d", method, path, status);
        expect_allow(answers[i].allow, path);
    }
}

Test(routes, connect_where_nobody_is_a_proxy)
{
    const mh_route routes[] = {{"GET", "/*", say_200, NULL}, {0}};
    cr_assert_eq(mh_serve_routes(request("CONNECT", "b:443", (void *)routes)), 501);
}

Test(routes, an_empty_table)
{
    const mh_route none[] = {{0}};
    cr_assert_eq(mh_serve_routes(request("GET", "/", (void *)none)), 404);
    cr_assert_eq(mh_serve_routes(request("OPTIONS", "*", (void *)none)), 404);
    expect_allow(NULL, "*");
}

Test(routes, what_is_no_table)
{
    const mh_route no_handler[] = {{NULL, "/", NULL, NULL}, {0}};
    cr_assert_eq(mh_serve_routes(request("GET", "/", NULL)), -EINVAL);
    cr_assert_eq(mh_serve_routes(request("GET", "/", (void *)no_handler)), -EINVAL);
}

Test(routes, no_memory_for_an_allow)
{
    for (int left = 0; left < 2; left++) {
        mh_request *req = request("PUT", "/a", (void *)table);
        allocations_left = left;
        int status = mh_serve_routes(req);
        allocations_left = -1;
        cr_expect_eq(status, -ENOMEM, "%d: %d", left, status);
        expect_allow(NULL, "without memory");
    }
}

/* ---- user, and tables in tables ---- */

static const void *user_seen;

static int see_user(mh_request *req)
{
    user_seen = req->user;
    return 200;
}

static const mh_route inner[] = {
    {"GET", "/in/{x}", see_user, &n201}, {"GET", "/in/own/*", see_user, NULL}, {0}};
static const mh_route outer[] = {{NULL, "/in/*", mh_serve_routes, (void *)inner},
                                 {NULL, "/plain", see_user, NULL},
                                 {NULL, "/{y}/x", see_user, &n202},
                                 {0}};

static int serve_outer(const char *method, const char *path)
{
    user_seen = NULL;
    return mh_serve_routes(request(method, path, (void *)outer));
}

Test(routes, users)
{
    cr_assert_eq(serve_outer("GET", "/plain"), 200);
    cr_assert_eq(user_seen, outer);
    cr_assert_eq(serve_outer("GET", "/b/x"), 200);
    cr_assert_eq(user_seen, &n202);
    cr_assert_eq(ex.request.user, &n202); /* for who comes after the handler */
    cr_assert_eq(serve_outer("GET", "/c"), 404);
    cr_assert_eq(ex.request.user, outer);
}

Test(routes, a_table_in_a_table)
{
    cr_assert_eq(serve_outer("GET", "/in/12"), 200);
    cr_assert_eq(user_seen, &n201);
    cr_assert(mh_str_equal(mh_request_param(&ex.request, "x"), "12"));
    cr_assert_null(mh_request_param(&ex.request, "*").ptr);
    cr_assert_eq(serve_outer("GET", "/in/own/a/b"), 200);
    cr_assert_eq(user_seen, inner);
    cr_assert(mh_str_equal(mh_request_param(&ex.request, "*"), "a/b"));
    cr_assert_eq(serve_outer("PUT", "/in/12"), 405);
    expect_allow("GET, HEAD, OPTIONS", "/in/12");
    cr_assert_eq(serve_outer("GET", "/in/"), 404);
}
