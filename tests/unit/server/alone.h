/* alone.h: an exchange that no connection has: a request as a handler gets it, and the reply to it
 * as data. */
#ifndef TESTS_UNIT_SERVER_ALONE_H
#define TESTS_UNIT_SERVER_ALONE_H

#include <criterion/criterion.h>
#include <string.h>

#include "base/buffer.h"
#include "server/server.h"

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define CONNECT "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n"
#define PLAIN "Content-Type: text/plain; charset=utf-8\r\n"

static struct mh__settings settings;
static mh_loop *loop;
static struct mh__worker *worker;
static struct mh__exchange *ex;
static mh_request *req;
static mh_h1_view view;

static inline void open_exchange(void)
{
    mh__settings_init(&settings);
    cr_assert_eq(mh_loop_new(&loop), 0);
    cr_assert_eq(mh__worker_new(&worker, &settings, loop, -1), 0);
    ex = mh__worker_exchange(worker);
    cr_assert(ex);
    req = &ex->request;
}

static inline void begin(const char *request)
{
    mh_h1 h1;
    mh_str in = mh_str_from(request);
    open_exchange();
    mh_h1_init(&h1, MH_H1_SERVER, 0);
    cr_assert_eq(mh_h1_next(&h1, &in, &view), MH_H1_HEAD);
    cr_assert_eq(mh__exchange_begin(ex, &view), 0);
}

static inline void end(void)
{
    mh__worker_recycle(worker, ex);
    mh__worker_free(worker);
    mh_loop_free(loop);
}

static inline bool same(mh_str got, const char *want)
{
    return got.len == strlen(want) && (got.len == 0 || !memcmp(got.ptr, want, got.len));
}

/* The reply is exactly this: its own fields and its bytes. */
static inline void check_reply(int status, const char *lines, const char *body)
{
    const struct mh__reply *reply = &ex->reply;
    mh_str got = mh_buf_str(&reply->lines);
    cr_assert_eq(reply->status, status, "%d", reply->status);
    cr_assert(same(got, lines), "expected\n%s\n---- but got\n" MH_FMT, lines, MH_ARG(got));
    cr_assert_eq(reply->source, MH__SOURCE_BYTES);
    cr_assert(same(reply->bytes, body), "expected\n%s\n---- but got\n" MH_FMT, body,
              MH_ARG(reply->bytes));
    cr_assert_eq(reply->length, strlen(body));
}

static inline void check_no_reply(void)
{
    cr_assert_eq(ex->reply.status, 0);
    cr_assert_eq(ex->reply.lines.len, 0);
    cr_assert_eq(ex->reply.release, NULL);
    cr_assert_eq(ex->reply.taken.data, NULL);
}

#endif
