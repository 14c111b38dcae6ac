/* Targets, bodies, and the memory of a request: lib/server/exchange.c; and what a handler's result
 * means. */
#include <errno.h>

#include "../scarce.h"
#include "alone.h"

/* ---- targets ---- */

/* As if a head had been read, whatever stands in it. */
static int begin_with(const char *method, const char *target)
{
    static char raw[200];
    size_t first = strlen(method), second = strlen(target);
    memcpy(raw, method, first);
    memcpy(raw + first, target, second);
    open_exchange();
    view = (mh_h1_view){
        .raw = {raw, first + second},
        .head = {.method = {raw, first}, .target = {raw + first, second}},
    };
    int err = mh__exchange_begin(ex, &view);
    memset(raw, 'X', first + second);
    return err;
}

static const struct {
    const char *method, *target, *path, *query;
} accepted[] = {
    {"GET", "/", "/", NULL},
    {"GET", "/a/b", "/a/b", NULL},
    {"GET", "/a.b/c.", "/a.b/c.", NULL},
    {"GET", "/a%20b%2f", "/a b/", NULL},
    {"GET", "/a/../b/./c", "/b/c", NULL},
    {"GET", "/a/..", "/", NULL},
    {"GET", "/.", "/", NULL},
    {"GET", "/%2e%2E/%2e/etc", "/etc", NULL},
    {"GET", "/../../etc", "/etc", NULL},
    {"GET", "/?", "/", ""},
    {"GET", "/a?b=%31&c?d", "/a", "b=%31&c?d"},
    {"GET", "/a%41?b", "/aA", "b"},
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
        cr_assert(mh_str_equal(req->path, accepted[i].path), "%s: " MH_FMT, target,
                  MH_ARG(req->path));
        cr_assert(mh_str_equal(req->query, accepted[i].query), "%s", target);
        cr_assert_eq(!req->query.ptr, !accepted[i].query);
        cr_assert(mh_str_equal(req->target, target));
        cr_assert(mh_str_equal(req->method, accepted[i].method));
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

/* The head, and the path where it is another one. */
Test(exchange, a_target_without_memory)
{
    for (int n = 0; n < 2; n++) {
        begin(GET);
        end();
        open_exchange();
        view = (mh_h1_view){.raw = MH_STR("GET/%41"),
                            .head = {.method = MH_STR("GET"), .target = {NULL, 0}}};
        view.head.method = (mh_str){view.raw.ptr, 3};
        view.head.target = (mh_str){view.raw.ptr + 3, 4};
        allocations_left = n;
        cr_assert_eq(mh__exchange_begin(ex, &view), -ENOMEM, "%d", n);
        allocations_left = -1;
        end();
    }
}

/* ---- what is kept ---- */

/* Nothing of a request points at the bytes that it was read from. */
Test(exchange, the_head_is_copied)
{
    char text[] = "GET /a?b HTTP/1.1\r\nHost: c\r\nX-One: 1\r\n\r\n";
    begin(text);
    memset(text, 'X', sizeof(text) - 1);
    cr_assert(mh_str_equal(req->method, "GET"));
    cr_assert(mh_str_equal(req->target, "/a?b"));
    cr_assert(mh_str_equal(req->path, "/a"));
    cr_assert(mh_str_equal(req->query, "b"));
    cr_assert_eq(req->headers.count, 2);
    cr_assert(mh_str_equal(mh_headers_get(req->headers, "x-one"), "1"));
    cr_assert(mh_str_equal(req->head, "GET /a?b HTTP/1.1\r\nHost: c\r\nX-One: 1\r\n\r\n"));
    end();
}

Test(exchange, body_in_pieces)
{
    begin(GET);
    cr_assert_eq(mh__exchange_body(ex, MH_STR("ab")), 0);
    cr_assert_eq(mh__exchange_body(ex, MH_STR("c")), 0);
    view.head.headers.count = 0;
    cr_assert_eq(mh__exchange_end(ex, &view), 0);
    cr_assert(mh_str_equal(req->body, "abc"));
    cr_assert(ex->complete);
    end();
}

Test(exchange, body_at_its_limit)
{
    static char data[MH_SERVER_BODY_MAX];
    begin(GET);
    ex->body.max = MH_SERVER_BODY_MAX;
    cr_assert_eq(mh__exchange_body(ex, (mh_str){data, sizeof(data)}), 0);
    cr_assert_eq(mh__exchange_body(ex, (mh_str){data, 1}), MH_ERR_TOO_LARGE);
    end();
}

static mh_header trailing[] = {{{"X-One", 5}, {"1", 1}}, {{"X-Two", 5}, {"", 0}}};

Test(exchange, trailers_are_copied)
{
    char name[] = "X-One";
    mh_header fields[] = {{{name, 5}, MH_STR("1")}, trailing[1]};
    begin(GET);
    view.head.headers = (mh_headers){fields, 2};
    cr_assert_eq(mh__exchange_end(ex, &view), 0);
    name[0] = 'Y';
    cr_assert_eq(req->trailers.count, 2);
    cr_assert(mh_str_equal(mh_headers_get(req->trailers, "X-One"), "1"));
    cr_assert(mh_str_equal(mh_headers_get(req->trailers, "X-Two"), ""));
    end();
}

Test(exchange, trailers_without_memory)
{
    begin(GET);
    view.head.headers = (mh_headers){trailing, 2};
    allocations_left = 0;
    cr_assert_eq(mh__exchange_end(ex, &view), -ENOMEM);
    allocations_left = -1;
    cr_assert_eq(req->trailers.count, 0);
    end();
}

/* Large memory is given back, little of it is kept; and nothing of one request is left for the
 * next. */
Test(exchange, from_one_request_to_the_next)
{
    static char data[MH__EXCHANGE_KEPT_MAX + 1];
    begin("GET /%41?b HTTP/1.1\r\nHost: a\r\n\r\n");
    const char *head = ex->head.data;
    cr_assert_eq(mh__exchange_body(ex, (mh_str){data, sizeof(data)}), 0);
    view.head.headers = (mh_headers){trailing, 2};
    cr_assert_eq(mh__exchange_end(ex, &view), 0);
    cr_assert_eq(mh_reply_header(req, "Date", "now"), 0);
    cr_assert_eq(mh_reply_header(req, "Content-Type", "a/b"), 0);
    cr_assert_eq(mh_reply_copy(req, 200, NULL, data, sizeof(data)), 200);
    req->data = data;
    mh__exchange_clear(ex);
    cr_assert_eq(ex->head.data, head);
    cr_assert_eq(ex->body.cap, 0);
    cr_assert_eq(ex->reply.copy.cap, 0);
    check_no_reply();
    cr_assert(!ex->reply.has_date && !ex->reply.has_type && ex->reply.line_count == 0);
    cr_assert(!req->data && !req->query.ptr && req->body.len == 0 && req->trailers.count == 0);
    cr_assert_eq(atomic_load(&ex->stage), MH__HANDLING);
    end();
}

/* ---- what the handler has returned ---- */

static int reply_202(mh_request *request)
{
    return mh_reply_copy(request, 202, NULL, "x", 1);
}

static int add_field(mh_request *request)
{
    return mh_reply_header(request, "X", "1");
}

#define PAGE_500 500, PLAIN, "500 Internal Server Error\n"

static const struct {
    const char *name;
    int (*reply)(mh_request *);
    int result;
    int status;
    const char *lines, *body;
} results[] = {
    {"a reply", reply_202, 202, 202, "", "x"},
    {"a reply stands before another status", reply_202, 404, 202, "", "x"},
    {"a reply stands before MH_LATER", reply_202, MH_LATER, 202, "", "x"},
    {"a bare status", NULL, 404, 404, PLAIN, "404 Not Found\n"},
    {"a bare status keeps fields", add_field, 404, 404, "X: 1\r\n" PLAIN, "404 Not Found\n"},
    {"a bare status without content", NULL, 304, 304, "", ""},
    {"an error", NULL, -EIO, PAGE_500},
    {"out of memory, but not here", NULL, -ENOMEM, PAGE_500},
    {"an error after a reply", reply_202, -EIO, PAGE_500},
    {"an error after a field", add_field, MH_ERR_URL, PAGE_500},
    {"an interim status", NULL, 100, PAGE_500},
    {"no status", NULL, 199, PAGE_500},
    {"no status either", NULL, 600, PAGE_500},
};

Test(exchange, results)
{
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        begin(GET);
        if (results[i].reply)
            (void)results[i].reply(req);
        cr_assert_eq(mh__reply_settle(ex, results[i].result), 1, "%s", results[i].name);
        check_reply(results[i].status, results[i].lines, results[i].body);
        cr_assert(!ex->owed);
        end();
    }
}

Test(exchange, later_is_owed)
{
    begin(GET);
    cr_assert_eq(mh__reply_settle(ex, MH_LATER), 0);
    cr_assert(ex->owed);
    check_no_reply();
    cr_assert(mh_request_alive(req));
    cr_assert_eq(reply_202(req), 202);
    cr_assert(ex->posted);
    check_reply(202, "", "x");
    end();
}

Test(exchange, a_bare_2xx_to_connect)
{
    begin(CONNECT);
    cr_assert_eq(mh__reply_settle(ex, 200), 1);
    check_reply(PAGE_500);
    end();
}

Test(exchange, no_memory_for_any_reply)
{
    static const int without[] = {404, -EIO, 600};
    for (size_t i = 0; i < sizeof(without) / sizeof(without[0]); i++) {
        begin(GET);
        allocations_left = 0;
        cr_assert_eq(mh__reply_settle(ex, without[i]), -ENOMEM);
        allocations_left = -1;
        check_no_reply();
        end();
    }
}
