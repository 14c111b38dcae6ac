/* Targets, and what a handler's result means: lib/server/exchange.c. */
#include <errno.h>

#include "server/exchange.h"

#include "../scarce.h"
#include "sent.h"

static struct mh__exchange ex;
static mh_h1_view view;

/* ---- targets ---- */

static int begin_with(const char *method, const char *target)
{
    mh__exchange_init(&ex, NULL);
    view = (mh_h1_view){.head = {.method = mh_str_from(method), .target = mh_str_from(target)}};
    return mh__exchange_begin(&ex, &view);
}

static void end(void)
{
    mh__exchange_deinit(&ex);
}

static const struct {
    const char *method, *target, *path, *query;
} accepted[] = {
    {"GET", "/", "/", NULL},
    {"GET", "/a/b", "/a/b", NULL},
    {"GET", "/a%20b%2f", "/a b/", NULL},
    {"GET", "/a/../b/./c", "/b/c", NULL},
    {"GET", "/%2e%2E/%2e/etc", "/etc", NULL},
    {"GET", "/../../etc", "/etc", NULL},
    {"GET", "/?", "/", ""},
    {"GET", "/a?b=%31&c?d", "/a", "b=%31&c?d"},
    {"GET", "//b/c", "//b/c", NULL},
    {"GET", "http://a", "/", NULL},
    {"GET", "http://a/", "/", NULL},
    {"GET", "http://a?b", "/", "b"},
    {"GET", "https://a:1/b%41?c", "/bA", "c"},
    {"OPTIONS", "*", "*", NULL},
    {"OPTIONS", "http://a", "*", NULL},
    {"OPTIONS", "http://a/", "/", NULL},
    {"OPTIONS", "http://a?b", "/", "b"},
    {"CONNECT", "a:443", "a:443", NULL},
};

Test(exchange, targets)
{
    for (size_t i = 0; i < sizeof(accepted) / sizeof(accepted[0]); i++) {
        const char *target = accepted[i].target;
        cr_assert_eq(begin_with(accepted[i].method, target), 0, "%s", target);
        cr_assert(mh_str_equal(ex.request.path, accepted[i].path), "%s: " MH_FMT, target,
                  MH_ARG(ex.request.path));
        cr_assert(mh_str_equal(ex.request.query, accepted[i].query), "%s", target);
        cr_assert(mh_str_equal(ex.request.target, target));
        end();
    }
}

Test(exchange, targets_that_are_no_path)
{
    static const char *const refused[] = {
        "",        "*",        "a:80",         "/%00",        "/a%0",      "/%zz",
        "http://", "ftp://a/", "http://a/%00", "http://a/#b", "mailto:a@b"};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        cr_assert_eq(begin_with("GET", refused[i]), MH_ERR_URL, "%s", refused[i]);
        end();
    }
}

Test(exchange, a_target_without_memory)
{
    allocations_left = 0;
    cr_assert_eq(begin_with("GET", "/a"), -ENOMEM);
    allocations_left = -1;
    end();
}

/* ---- bodies ---- */

Test(exchange, body_in_pieces)
{
    cr_assert_eq(begin_with("POST", "/"), 0);
    cr_assert_eq(mh__exchange_body(&ex, MH_STR("ab")), 0);
    cr_assert_eq(mh__exchange_body(&ex, MH_STR("c")), 0);
    mh__exchange_end(&ex, &view);
    cr_assert(mh_str_equal(ex.request.body, "abc"));
    end();
}

Test(exchange, body_at_its_limit)
{
    static char data[MH_SERVER_BODY_MAX];
    cr_assert_eq(begin_with("POST", "/"), 0);
    cr_assert_eq(mh__exchange_body(&ex, (mh_str){data, sizeof(data)}), 0);
    cr_assert_eq(mh__exchange_body(&ex, (mh_str){data, 1}), MH_ERR_TOO_LARGE);
    end();
}

/* ---- handlers ---- */

static int (*reply_first)(mh_request *);
static int result_then;

static int handler(mh_request *req)
{
    cr_assert_eq(req, &ex.request);
    if (reply_first)
        reply_first(req);
    return result_then;
}

static int reply_202(mh_request *req)
{
    return mh_reply_copy(req, 202, NULL, "x", 1);
}

static int add_field(mh_request *req)
{
    return mh_reply_header(req, "X", "1");
}

#define CLOSE "Connection: close\r\n\r\n"
#define PLAIN "Content-Type: text/plain; charset=utf-8\r\n"
#define SAYS_202 "HTTP/1.1 202 Accepted\r\n" SENT_DATE "Content-Length: 1\r\n" CLOSE "x"
#define SAYS_404                                                                                   \
    "HTTP/1.1 404 Not Found\r\n" SENT_DATE PLAIN "Content-Length: 14\r\n" CLOSE "404 Not Found\n"
#define SAYS_500                                                                                   \
    "HTTP/1.1 500 Internal Server Error\r\n" SENT_DATE PLAIN "Content-Length: 26\r\n" CLOSE        \
    "500 Internal Server Error\n"

static const struct {
    const char *name;
    int (*reply)(mh_request *);
    int result;
    const char *sent;
} handlers[] = {
    {"a reply", reply_202, 202, SAYS_202},
    {"a reply stands before another status", reply_202, 404, SAYS_202},
    {"a reply stands before 0", reply_202, 0, SAYS_202},
    {"a bare status", NULL, 404, SAYS_404},
    {"a bare status keeps fields", add_field, 404,
     "HTTP/1.1 404 Not Found\r\n" SENT_DATE "X: 1\r\n" PLAIN "Content-Length: 14\r\n" CLOSE
     "404 Not Found\n"},
    {"a bare status without content", NULL, 304, "HTTP/1.1 304 Not Modified\r\n" SENT_DATE CLOSE},
    {"an error", NULL, -EIO, SAYS_500},
    {"out of memory, but not here", NULL, -ENOMEM, SAYS_500},
    {"an error after a reply", reply_202, -EIO, SAYS_500},
    {"an error after a field", add_field, MH_ERR_URL, SAYS_500},
    {"nothing", NULL, 0, SAYS_500},
    {"an interim status", NULL, 100, SAYS_500},
    {"no status", NULL, 199, SAYS_500},
    {"no status either", NULL, 600, SAYS_500},
};

/* A request that the engine has seen too: it decides what may be put. */
static void receive(const char *request)
{
    mh_str in = mh_str_from(request);
    mh__exchange_init(&ex, NULL);
    cr_assert_eq(mh_h1_next(&ex.h1, &in, &view), MH_H1_HEAD);
    cr_assert_eq(mh__exchange_begin(&ex, &view), 0);
}

Test(exchange, handlers)
{
    for (size_t i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++) {
        receive("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        reply_first = handlers[i].reply;
        result_then = handlers[i].result;
        cr_assert_eq(mh__exchange_handle(&ex, handler), 0);
        check_sent(&ex.out, handlers[i].sent, handlers[i].name);
        end();
    }
}

Test(exchange, a_bare_2xx_to_connect)
{
    receive("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n");
    reply_first = NULL;
    result_then = 200;
    cr_assert_eq(mh__exchange_handle(&ex, handler), 0);
    check_sent(&ex.out, SAYS_500, "connect");
    end();
}

Test(exchange, no_memory_for_any_answer)
{
    static const int results[] = {404, -EIO, 0};
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        receive("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        reply_first = NULL;
        result_then = results[i];
        allocations_left = 0;
        cr_assert_eq(mh__exchange_handle(&ex, handler), -ENOMEM);
        allocations_left = -1;
        cr_assert_eq(ex.status, 0);
        cr_assert_eq(ex.out.len, 0);
        end();
    }
}
