/* The reply verbs, without a connection: lib/server/reply.c. */
#include <errno.h>

#include "server/exchange.h"

#include "../scarce.h"
#include "sent.h"

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define HEAD "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
#define CONNECT "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n"
#define PLAIN "Content-Type: text/plain; charset=utf-8\r\n"
#define CLOSE "Connection: close\r\n\r\n"

static struct mh__exchange ex;
static mh_request *req;
static mh_h1_view view;

static void begin(const char *request)
{
    mh_str in = mh_str_from(request);
    mh__exchange_init(&ex, NULL);
    req = &ex.request;
    cr_assert_eq(mh_h1_next(&ex.h1, &in, &view), MH_H1_HEAD);
    cr_assert_eq(mh__exchange_begin(&ex, &view), 0);
}

static void end(void)
{
    mh__exchange_deinit(&ex);
}

/* What would go out is exactly this. */
static void check_out(const char *expected)
{
    mh_buf sent = {0};
    cr_assert_eq(mh_buf_append(&sent, ex.out.data, ex.out.len), 0);
    cr_assert_eq(mh_buf_append(&sent, ex.behind.ptr, ex.behind.len), 0);
    check_sent(&sent, expected, "reply");
    mh_buf_free(&sent);
}

static void check_nothing_put(void)
{
    cr_assert_eq(ex.status, 0);
    cr_assert_eq(ex.out.len, 0);
    cr_assert_eq(ex.behind.len, 0);
}

/* ---- the verbs ---- */

Test(reply, text)
{
    begin(GET);
    cr_assert_eq(mh_reply_text(req, 200, "caf\xc3\xa9"), 200);
    check_out("HTTP/1.1 200 OK\r\n" SENT_DATE PLAIN "Content-Length: 5\r\n" CLOSE "caf\xc3\xa9");
    end();
}

Test(reply, empty_text)
{
    begin(GET);
    cr_assert_eq(mh_reply_text(req, 200, ""), 200);
    check_out("HTTP/1.1 200 OK\r\n" SENT_DATE PLAIN "Content-Length: 0\r\n" CLOSE);
    end();
}

Test(reply, printf)
{
    begin(GET);
    cr_assert_eq(mh_reply_printf(req, 201, "a/b", "%d-%s", 7, "x"), 201);
    check_out("HTTP/1.1 201 Created\r\n" SENT_DATE
              "Content-Type: a/b\r\nContent-Length: 3\r\n" CLOSE "7-x");
    end();
}

Test(reply, copy_without_a_type)
{
    char data[] = "abc";
    begin(GET);
    cr_assert_eq(mh_reply_copy(req, 404, NULL, data, 3), 404);
    data[0] = 'X';
    check_out("HTTP/1.1 404 Not Found\r\n" SENT_DATE "Content-Length: 3\r\n" CLOSE "abc");
    end();
}

Test(reply, borrow_does_not_copy)
{
    static const char data[] = "borrowed";
    begin(GET);
    cr_assert_eq(mh_reply_borrow(req, 200, "a/b", data, 8), 200);
    cr_assert_eq(ex.behind.ptr, data);
    check_out("HTTP/1.1 200 OK\r\n" SENT_DATE "Content-Type: a/b\r\nContent-Length: 8\r\n" CLOSE
              "borrowed");
    end();
}

Test(reply, take_takes)
{
    mh_buf body = {0};
    cr_assert_eq(mh_buf_printf(&body, "taken"), 0);
    const char *data = body.data;
    begin(GET);
    cr_assert_eq(mh_reply_take(req, 200, "a/b", &body), 200);
    cr_assert(!body.data && body.len == 0 && body.cap == 0 && body.max == 0);
    cr_assert_eq(ex.behind.ptr, data);
    check_out("HTTP/1.1 200 OK\r\n" SENT_DATE "Content-Type: a/b\r\nContent-Length: 5\r\n" CLOSE
              "taken");
    end();
}

Test(reply, take_leaves_the_body_after_an_error)
{
    mh_buf body = {0};
    cr_assert_eq(mh_buf_printf(&body, "kept"), 0);
    begin(GET);
    cr_assert_eq(mh_reply_take(req, 99, "a/b", &body), -EINVAL);
    cr_assert_str_eq(body.data, "kept");
    check_nothing_put();
    mh_buf_free(&body);
    end();
}

Test(reply, binary_body)
{
    begin(GET);
    cr_assert_eq(mh_reply_copy(req, 200, NULL, "a\0\r\n", 4), 200);
    cr_assert_eq(memcmp(ex.out.data + ex.out.len - 4, "a\0\r\n", 4), 0);
    end();
}

Test(reply, no_data_of_no_length)
{
    begin(GET);
    cr_assert_eq(mh_reply_borrow(req, 200, NULL, NULL, 0), 200);
    check_out("HTTP/1.1 200 OK\r\n" SENT_DATE "Content-Length: 0\r\n" CLOSE);
    end();
}

/* RFC 9110 section 9.3.2: the fields of a GET, and no content. */
Test(reply, head_gets_the_same_head)
{
    static const char expected[] =
        "HTTP/1.1 200 OK\r\n" SENT_DATE "Content-Type: a/b\r\nContent-Length: 4\r\n" CLOSE;
    begin(HEAD);
    cr_assert_eq(mh_reply_copy(req, 200, "a/b", "body", 4), 200);
    check_out(expected);
    end();
    begin(HEAD);
    cr_assert_eq(mh_reply_borrow(req, 200, "a/b", "body", 4), 200);
    check_out(expected);
    end();
    begin(HEAD);
    cr_assert_eq(mh_reply_printf(req, 200, "a/b", "body"), 200);
    check_out(expected);
    end();
}

Test(reply, statuses_without_content)
{
    begin(GET);
    cr_assert_eq(mh_reply_copy(req, 204, NULL, "x", 1), -EINVAL);
    cr_assert_eq(mh_reply_copy(req, 304, NULL, "x", 1), -EINVAL);
    cr_assert_eq(mh_reply_copy(req, 205, NULL, "x", 1), -EINVAL);
    check_nothing_put();
    cr_assert_eq(mh_reply_copy(req, 204, NULL, NULL, 0), 204);
    check_out("HTTP/1.1 204 No Content\r\n" SENT_DATE CLOSE);
    end();
    begin(GET);
    cr_assert_eq(mh_reply_copy(req, 304, NULL, NULL, 0), 304);
    check_out("HTTP/1.1 304 Not Modified\r\n" SENT_DATE CLOSE);
    end();
    begin(GET);
    cr_assert_eq(mh_reply_copy(req, 205, NULL, NULL, 0), 205);
    check_out("HTTP/1.1 205 Reset Content\r\n" SENT_DATE "Content-Length: 0\r\n" CLOSE);
    end();
}

Test(reply, a_status_without_a_name)
{
    begin(GET);
    cr_assert_eq(mh_reply_copy(req, 299, NULL, "x", 1), 299);
    check_out("HTTP/1.1 299 \r\n" SENT_DATE "Content-Length: 1\r\n" CLOSE "x");
    end();
}

Test(reply, arguments_that_are_refused)
{
    mh_buf body = {0};
    begin(GET);
    static const int statuses[] = {-1, 0, 1, 100, 101, 199, 600, 1000};
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
        cr_assert_eq(mh_reply_text(req, statuses[i], "x"), -EINVAL, "%d", statuses[i]);
    cr_assert_eq(mh_reply_text(req, 200, NULL), -EINVAL);
    cr_assert_eq(mh_reply_copy(req, 200, NULL, NULL, 1), -EINVAL);
    cr_assert_eq(mh_reply_borrow(req, 200, NULL, NULL, 1), -EINVAL);
    cr_assert_eq(mh_reply_copy(req, 200, "a/b\r\nSet-Cookie: x", "x", 1), -EINVAL);
    cr_assert_eq(mh_reply_borrow(req, 200, "a/b\n", "x", 1), -EINVAL);
    cr_assert_eq(mh_reply_take(req, 200, "\x01", &body), -EINVAL);
    cr_assert_eq(mh_reply_printf(req, 200, "\x7f", "x"), -EINVAL);
    check_nothing_put();
    cr_assert_eq(mh_reply_copy(req, 200, NULL, "x", 1), 200);
    check_out("HTTP/1.1 200 OK\r\n" SENT_DATE "Content-Length: 1\r\n" CLOSE "x");
    end();
}

Test(reply, a_second_one_is_refused)
{
    mh_buf body = {0};
    begin(GET);
    cr_assert_eq(mh_reply_copy(req, 200, NULL, "first", 5), 200);
    cr_assert_eq(mh_reply_text(req, 404, "second"), -EINVAL);
    cr_assert_eq(mh_reply_copy(req, 404, NULL, "second", 6), -EINVAL);
    cr_assert_eq(mh_reply_borrow(req, 404, NULL, "second", 6), -EINVAL);
    cr_assert_eq(mh_reply_take(req, 404, NULL, &body), -EINVAL);
    cr_assert_eq(mh_reply_printf(req, 404, NULL, "second"), -EINVAL);
    cr_assert_eq(mh_reply_header(req, "X-Late", "1"), -EINVAL);
    cr_assert_eq(ex.status, 200);
    check_out("HTTP/1.1 200 OK\r\n" SENT_DATE "Content-Length: 5\r\n" CLOSE "first");
    end();
}

Test(reply, no_tunnel_is_promised)
{
    begin(CONNECT);
    cr_assert_eq(mh_reply_text(req, 200, "x"), -EINVAL);
    cr_assert_eq(mh_reply_copy(req, 204, NULL, NULL, 0), -EINVAL);
    check_nothing_put();
    cr_assert_eq(mh_reply_copy(req, 405, NULL, NULL, 0), 405);
    check_out("HTTP/1.1 405 Method Not Allowed\r\n" SENT_DATE "Content-Length: 0\r\n" CLOSE);
    end();
}

/* ---- fields ---- */

Test(reply, fields_stand_in_order)
{
    begin(GET);
    cr_assert_eq(mh_reply_header(req, "X-One", "1"), 0);
    cr_assert_eq(mh_reply_header(req, "Set-Cookie", "a=\"b c\"; Path=/"), 0);
    cr_assert_eq(mh_reply_header(req, "Set-Cookie", "c\t\xc3\xa9"), 0);
    cr_assert_eq(mh_reply_header(req, "X-Empty", ""), 0);
    cr_assert_eq(mh_reply_copy(req, 200, "a/b", "x", 1), 200);
    check_out("HTTP/1.1 200 OK\r\n" SENT_DATE "X-One: 1\r\nSet-Cookie: a=\"b c\"; Path=/\r\n"
              "Set-Cookie: c\t\xc3\xa9\r\nX-Empty: \r\nContent-Type: a/b\r\n"
              "Content-Length: 1\r\n" CLOSE "x");
    end();
}

Test(reply, fields_that_are_refused)
{
    static const char *const refused[][2] = {
        {NULL, "x"},
        {"X", NULL},
        {"", "x"},
        {"X Y", "x"},
        {"X:", "x"},
        {"X\r\nY", "x"},
        {"X\xc3\xa9", "x"},
        {"X", "a\r\nSet-Cookie: b"},
        {"X", "a\nb"},
        {"X", "a\rb"},
        {"X", "\x01"},
        {"X", "\x7f"},
        {"X", " a"},
        {"X", "a "},
        {"X", "\ta"},
        {"X", " "},
        {"Content-Length", "1"},
        {"content-length", "1"},
        {"Transfer-Encoding", "chunked"},
        {"TRANSFER-ENCODING", "chunked"},
        {"Connection", "keep-alive"},
        {"connection", "close"},
    };
    begin(GET);
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        cr_assert_eq(mh_reply_header(req, refused[i][0], refused[i][1]), -EINVAL, "%zu", i);
    cr_assert_eq(mh_reply_copy(req, 200, NULL, NULL, 0), 200);
    check_out("HTTP/1.1 200 OK\r\n" SENT_DATE "Content-Length: 0\r\n" CLOSE);
    end();
}

Test(reply, a_date_of_the_callers)
{
    begin(GET);
    cr_assert_eq(mh_reply_header(req, "date", "Sun, 06 Nov 1994 08:49:37 GMT"), 0);
    cr_assert_eq(mh_reply_header(req, "Date", "Sun, 06 Nov 1994 08:49:38 GMT"), -EINVAL);
    cr_assert_eq(mh_reply_copy(req, 200, NULL, NULL, 0), 200);
    check_out("HTTP/1.1 200 OK\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
              "Content-Length: 0\r\n" CLOSE);
    end();
}

Test(reply, a_type_of_the_callers)
{
    begin(GET);
    cr_assert_eq(mh_reply_header(req, "Content-Type", "a/b"), 0);
    cr_assert_eq(mh_reply_header(req, "content-type", "c/d"), -EINVAL);
    cr_assert_eq(mh_reply_text(req, 200, "x"), -EINVAL);
    cr_assert_eq(mh_reply_copy(req, 200, "c/d", "x", 1), -EINVAL);
    check_nothing_put();
    cr_assert_eq(mh_reply_copy(req, 200, NULL, "x", 1), 200);
    check_out("HTTP/1.1 200 OK\r\n" SENT_DATE "Content-Type: a/b\r\n"
              "Content-Length: 1\r\n" CLOSE "x");
    end();
}

Test(reply, as_many_fields_as_a_head_may_have)
{
    begin(GET);
    for (int i = 0; i < MH__REPLY_FIELDS_MAX; i++)
        cr_assert_eq(mh_reply_header(req, "X", "1"), 0);
    cr_assert_eq(mh_reply_header(req, "X", "1"), -EINVAL);
    cr_assert_eq(mh_reply_text(req, 200, "x"), 200);
    size_t fields = 0;
    for (const char *at = ex.out.data; (at = strstr(at, "X: 1\r\n")); at++)
        fields++;
    cr_assert_eq(fields, MH__REPLY_FIELDS_MAX);
    end();
}

Test(reply, fields_that_are_too_large)
{
    static char value[MH__REPLY_FIELDS_BYTES];
    memset(value, 'v', sizeof(value) - 1);
    begin(GET);
    cr_assert_eq(mh_reply_header(req, "X", value), MH_ERR_TOO_LARGE);
    cr_assert_eq(mh_reply_header(req, "Y", value + 3), 0); /* name, value, and a NUL for each */
    cr_assert_eq(mh_reply_header(req, "Z", ""), MH_ERR_TOO_LARGE);
    cr_assert_eq(mh_reply_copy(req, 200, NULL, NULL, 0), 200);
    cr_assert(strstr(ex.out.data, "\r\nY: vvv") && !strstr(ex.out.data, "\r\nX: "));
    end();
}

/* ---- pages ---- */

Test(reply, pages)
{
    begin(GET);
    cr_assert_eq(mh__reply_page(&ex, 404, (mh_str){0}), 404);
    check_out("HTTP/1.1 404 Not Found\r\n" SENT_DATE PLAIN "Content-Length: 14\r\n" CLOSE
              "404 Not Found\n");
    end();
    begin(GET);
    cr_assert_eq(mh__reply_page(&ex, 400, MH_STR("so it is")), 400);
    check_out("HTTP/1.1 400 Bad Request\r\n" SENT_DATE PLAIN "Content-Length: 25\r\n" CLOSE
              "400 Bad Request\nso it is\n");
    end();
    begin(GET);
    cr_assert_eq(mh__reply_page(&ex, 204, (mh_str){0}), 204);
    check_out("HTTP/1.1 204 No Content\r\n" SENT_DATE CLOSE);
    end();
}

Test(reply, a_page_keeps_the_fields)
{
    begin(GET);
    cr_assert_eq(mh_reply_header(req, "Allow", "GET"), 0);
    cr_assert_eq(mh_reply_header(req, "Content-Type", "text/plain"), 0);
    cr_assert_eq(mh__reply_page(&ex, 405, (mh_str){0}), 405);
    check_out("HTTP/1.1 405 Method Not Allowed\r\n" SENT_DATE
              "Allow: GET\r\nContent-Type: text/plain\r\nContent-Length: 23\r\n" CLOSE
              "405 Method Not Allowed\n");
    end();
}

Test(reply, a_refusal_replaces_everything)
{
    mh_buf body = {0};
    cr_assert_eq(mh_buf_printf(&body, "taken"), 0);
    begin(GET);
    cr_assert_eq(mh_reply_header(req, "X-Of", "the first"), 0);
    cr_assert_eq(mh_reply_take(req, 200, "a/b", &body), 200);
    cr_assert_eq(mh__reply_refuse(&ex, 500, (mh_str){0}), 0);
    cr_assert_eq(ex.status, 500);
    check_out("HTTP/1.1 500 Internal Server Error\r\n" SENT_DATE PLAIN
              "Content-Length: 26\r\n" CLOSE "500 Internal Server Error\n");
    end();
}

/* ---- out of memory ---- */

static int reply_by_verb(int verb)
{
    if (verb == 0)
        return mh_reply_text(req, 200, "text");
    if (verb == 1)
        return mh_reply_borrow(req, 200, NULL, "text", 4);
    if (verb == 2)
        return mh_reply_printf(req, 200, NULL, "text");
    return mh__reply_page(&ex, 200, MH_STR("text"));
}

/* Each verb with room for n allocations: either it is done, or nothing of it is. */
Test(reply, without_memory)
{
    for (int verb = 0; verb < 4; verb++) {
        int result = -ENOMEM;
        int n = 0;
        for (; result == -ENOMEM && n < 10; n++) {
            begin(GET);
            allocations_left = n;
            result = reply_by_verb(verb);
            allocations_left = -1;
            if (result == -ENOMEM) {
                check_nothing_put();
                cr_assert_eq(reply_by_verb(verb), 200);
            }
            end();
        }
        cr_assert(result == 200 && n > 1, "verb %d: %d with %d", verb, result, n);
    }
}

Test(reply, a_field_without_memory)
{
    begin(GET);
    allocations_left = 0;
    cr_assert_eq(mh_reply_header(req, "X", "1"), -ENOMEM);
    allocations_left = -1;
    cr_assert_eq(mh_reply_header(req, "Y", "2"), 0);
    cr_assert_eq(mh_reply_copy(req, 200, NULL, NULL, 0), 200);
    check_out("HTTP/1.1 200 OK\r\n" SENT_DATE "Y: 2\r\nContent-Length: 0\r\n" CLOSE);
    end();
}

/* A buffer with a low ceiling stands for a body that is too large to be copied. */
Test(reply, too_large_to_copy)
{
    static char large[2048];
    begin(GET);
    ex.out.max = 1024;
    cr_assert_eq(mh_reply_copy(req, 200, NULL, large, sizeof(large)), MH_ERR_TOO_LARGE);
    check_nothing_put();
    cr_assert_eq(mh_reply_borrow(req, 200, NULL, large, sizeof(large)), 200);
    cr_assert_eq(ex.behind.len, sizeof(large));
    end();
}
