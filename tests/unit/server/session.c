/* One connection of the server, over real sockets: lib/server/session.c, and worker.c beneath it.
 */
#include <linux/tcp.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "stage.h"

TestSuite(session, .timeout = 60);

_Static_assert(sizeof(struct mh__session) <= 400, "ten thousand of them wait");

/* "METHOD|/path|body" */
static int echo(mh_request *req)
{
    req->on_end = note_end;
    return mh_reply_printf(req, 200, NULL, MH_FMT "|" MH_FMT "|" MH_FMT, MH_ARG(req->method),
                           MH_ARG(req->path), MH_ARG(req->body));
}

#define ECHO_GET OK "Content-Length: 6\r\n\r\nGET|/|"

static mh_request *owed;
static int handled;

static int later(mh_request *req)
{
    handled++;
    owed = req;
    req->on_end = note_end;
    return MH_LATER;
}

/* ---- one after the other ---- */

/* How many segments with bytes in them have come: each send of the server's makes one of its own.
 */
static unsigned segments(int fd)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof(info);
    cr_assert_eq(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
    return info.tcpi_data_segs_in;
}

Test(session, kept)
{
    stage_open((mh_server_options){.handler = echo});
    int fd = stage_connect();
    for (int i = 0; i < 5; i++) {
        say(fd, GET);
        hear(fd, ECHO_GET);
        cr_assert_eq(stage.ends, i + 1);
    }
    close(fd);
    stage_rest(5);
    cr_assert_eq(stage.errors, 0);
    stage_close();
}

Test(session, pipelined)
{
    stage_open((mh_server_options){.handler = echo});
    int fd = say_once("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
                      "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"
                      "GET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
    hear(fd, OK "Content-Length: 7\r\n\r\nGET|/1|" OK "Content-Length: 9\r\n\r\nPOST|/2|x" OK
                "Content-Length: 7\r\n\r\nGET|/3|");
    cr_assert_eq(segments(fd), 1);
    close(fd);
    stage_close();
}

/* More replies than fit on the way, of more requests than one receive brings. */
Test(session, many_pipelined)
{
    enum { MANY = 20000 };
    mh_buf all = {0};
    stage_open((mh_server_options){.handler = echo});
    for (int i = 0; i < MANY; i++)
        cr_assert_eq(mh_buf_append(&all, GET, strlen(GET)), 0);
    int fd = stage_connect_with(4096);
    mh_str rest = mh_buf_str(&all);
    size_t bytes = 0, each = sizeof(ECHO_GET) - 1 + MH_DATE_LEN - 3;
    int64_t end_ms = mh__deadline_in(STAGE_MS);
    while (bytes < MANY * each) {
        hear_nothing_yet();
        ssize_t len = send(fd, rest.ptr, rest.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (len > 0)
            rest = (mh_str){rest.ptr + len, rest.len - (size_t)len};
        stage_turn();
        hear_more(fd);
        cr_assert(!heard_end && mh__clock_ms() < end_ms);
        bytes += heard.len;
    }
    cr_assert_eq(bytes, MANY * each);
    cr_assert_eq(stage.ends, MANY);
    close(fd);
    mh_buf_free(&all);
    stage_close();
}

/* Whoever asks for the next thing meanwhile waits, and nothing is lost. */
Test(session, pipelined_behind_one_that_is_owed)
{
    stage_open((mh_server_options){.handler = later});
    int fd = say_once(GET GET);
    cr_assert(is_silent(fd));
    cr_assert_eq(handled, 1);
    cr_assert_eq(mh_reply_text(owed, 200, "first"), 200);
    hear(fd, OK PLAIN "Content-Length: 5\r\n\r\nfirst");
    stage_until(handled == 2);
    cr_assert_eq(mh_reply_text(owed, 200, "second"), 200);
    hear(fd, OK PLAIN "Content-Length: 6\r\n\r\nsecond");
    close(fd);
    stage_close();
}

Test(session, in_pieces)
{
    static const char request[] = "\r\nPOST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked"
                                  "\r\n\r\n1\r\nx\r\n0\r\n\r\n";
    stage_open((mh_server_options){.handler = echo});
    int fd = stage_connect();
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; request[i]; i++)
            say_bytes(fd, (mh_str){request + i, 1});
        hear(fd, OK "Content-Length: 9\r\n\r\nPOST|/a|x");
    }
    close(fd);
    stage_close();
}

Test(session, http_1_0)
{
    stage_open((mh_server_options){.handler = echo});
    hear_last(say_once("GET / HTTP/1.0\r\n\r\n"), OK "Content-Length: 6\r\n" CLOSE "\r\nGET|/|");
    int fd = say_once("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    hear(fd, OK "Content-Length: 6\r\nConnection: keep-alive\r\n\r\nGET|/|");
    say(fd, GET);
    hear(fd, ECHO_GET);
    close(fd);
    stage_close();
}

Test(session, asked_to_close)
{
    stage_open((mh_server_options){.handler = echo});
    hear_last(say_once("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
              OK "Content-Length: 6\r\n" CLOSE "\r\nGET|/|");
    cr_assert_eq(stage.errors, 0);
    stage_close();
}

Test(session, head)
{
    stage_open((mh_server_options){.handler = echo});
    int fd = say_once("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" GET);
    hear(fd, OK "Content-Length: 7\r\n\r\n" ECHO_GET);
    close(fd);
    stage_close();
}

Test(session, half_closed)
{
    stage_open((mh_server_options){.handler = later});
    int fd = say_once(GET);
    cr_assert_eq(shutdown(fd, SHUT_WR), 0);
    stage_rest(10);
    cr_assert(mh_request_alive(owed));
    cr_assert_eq(mh_reply_text(owed, 200, "x"), 200);
    hear_last(fd, OK PLAIN "Content-Length: 1\r\n\r\nx");
    cr_assert_eq(stage.errors, 0);
    stage_close();
}

/* ---- "Expect: 100-continue" ---- */

#define EXPECTING "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
#define CONTINUE "HTTP/1.1 100 Continue\r\n\r\n"

Test(session, invited)
{
    stage_open((mh_server_options){.handler = echo});
    int fd = say_once(EXPECTING);
    hear(fd, CONTINUE);
    say(fd, "abc");
    hear(fd, OK "Content-Length: 10\r\n\r\nPOST|/|abc");
    close(fd);
    stage_close();
}

Test(session, not_invited_to_what_is_refused)
{
    stage_open((mh_server_options){.handler = echo, .body_max = 2});
    int fd = say_once(EXPECTING);
    hear(fd, "HTTP/1.1 413 Content Too Large\r\n" SENT_DATE PLAIN "Content-Length: 54\r\n" CLOSE
             "\r\n413 Content Too Large\nthe request's body is too large\n");
    close(fd);
    stage_close();
}

/* ---- streamed bodies ---- */

static mh_buf body;
static bool body_ended;

static int keep_body(mh_request *req, const char *data, size_t len)
{
    (void)req;
    cr_assert(!body_ended);
    cr_assert_eq(mh_buf_append(&body, data, len), 0);
    body_ended = len == 0;
    return 0;
}

static int stream_later(mh_request *req)
{
    mh_buf_clear(&body);
    body_ended = false;
    req->on_body = keep_body;
    return later(req);
}

static int stream_paused(mh_request *req)
{
    mh_request_pause(req, true);
    return stream_later(req);
}

static void expect_body(const char *expected)
{
    stage_until(body_ended);
    cr_assert_str_eq(body.data, expected);
    cr_assert_eq(owed->body.len, 0);
}

Test(session, streamed)
{
    stage_open((mh_server_options){.handler = stream_later, .stream_bodies = true});
    int fd = say_once("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    stage_until(handled == 1);
    say(fd, "2\r\nab\r\n");
    stage_until(body.len == 2);
    cr_assert(!body_ended);
    say(fd, "1\r\nc\r\n0\r\nX-Sum: 3\r\n\r\n");
    expect_body("abc");
    cr_assert(mh_str_equal(mh_headers_get(owed->trailers, "X-Sum"), "3"));
    cr_assert_eq(mh_reply_text(owed, 200, "x"), 200);
    hear(fd, OK PLAIN "Content-Length: 1\r\n\r\nx");
    cr_assert_eq(stage.ends, 1);
    close(fd);
    mh_buf_free(&body);
    stage_close();
}

/* A request without a body has its end, too. */
Test(session, streamed_nothing)
{
    stage_open((mh_server_options){.handler = stream_later, .stream_bodies = true});
    int fd = say_once(GET);
    stage_until(body_ended);
    cr_assert_eq(body.len, 0);
    cr_assert_eq(mh_reply_text(owed, 200, "x"), 200);
    hear(fd, OK PLAIN "Content-Length: 1\r\n\r\nx");
    close(fd);
    mh_buf_free(&body);
    stage_close();
}

Test(session, streamed_and_passed_over)
{
    stage_open((mh_server_options){.handler = later, .stream_bodies = true});
    int fd = say_once("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n");
    stage_until(handled == 1);
    say(fd, "abc" GET);
    stage_rest(5);
    cr_assert_eq(mh_reply_text(owed, 200, "x"), 200);
    hear(fd, OK PLAIN "Content-Length: 1\r\n\r\nx");
    stage_until(handled == 2);
    cr_assert_eq(mh_reply_text(owed, 200, "y"), 200);
    hear(fd, OK PLAIN "Content-Length: 1\r\n\r\ny");
    close(fd);
    stage_close();
}

Test(session, paused)
{
    static char large[1 << 20];
    memset(large, 'b', sizeof(large));
    stage_open((mh_server_options){.handler = stream_paused,
                                   .stream_bodies = true,
                                   .body_max = 2 * sizeof(large),
                                   .body_timeout_ms = 20});
    int fd = say_once("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n");
    (void)!send(fd, large, 100, MSG_NOSIGNAL);
    stage_rest(40); /* it is not the peer who is slow */
    cr_assert_eq(body.len, 0);
    cr_assert_eq(stage.errors, 0);
    mh_request_pause(owed, false);
    say_bytes(fd, (mh_str){large, sizeof(large) - 100});
    stage_until(body_ended);
    cr_assert_eq(body.len, sizeof(large));
    cr_assert_eq(mh_reply_text(owed, 200, "x"), 200);
    hear(fd, OK PLAIN "Content-Length: 1\r\n\r\nx");
    close(fd);
    mh_buf_free(&body);
    stage_close();
}

/* The handler decides when the client is asked to go on. */
Test(session, invited_by_the_handler)
{
    stage_open((mh_server_options){.handler = stream_paused, .stream_bodies = true});
    int fd = say_once(EXPECTING);
    cr_assert(is_silent(fd));
    mh_request_pause(owed, false);
    hear(fd, CONTINUE);
    say(fd, "abc");
    expect_body("abc");
    cr_assert_eq(mh_reply_text(owed, 200, "x"), 200);
    hear(fd, OK PLAIN "Content-Length: 1\r\n\r\nx");
    close(fd);
    mh_buf_free(&body);
    stage_close();
}

static int reply_early(mh_request *req)
{
    req->on_end = note_end;
    return mh_reply_text(req, 403, "no");
}

#define EARLY "HTTP/1.1 403 Forbidden\r\n" SENT_DATE PLAIN "Content-Length: 2\r\n" CLOSE "\r\nno"

/* The client that waits is not asked to go on, and hears why. */
Test(session, refused_by_the_handler)
{
    stage_open((mh_server_options){.handler = reply_early, .stream_bodies = true});
    int fd = say_once(EXPECTING);
    hear(fd, EARLY);
    close(fd);
    stage_rest(5);
    cr_assert_eq(stage.ends, 1);
    stage_close();
}

/* What the client still sends would make the kernel take the reply back: so it is waited for. */
Test(session, replied_early)
{
    static char rest[200000];
    stage_open((mh_server_options){.handler = reply_early, .stream_bodies = true});
    int fd = say_once("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nx");
    stage_rest(5);
    say_bytes(fd, (mh_str){rest, sizeof(rest)});
    hear_last(fd, EARLY);
    stage_rest(5);
    cr_assert_eq(stage.errors, 0);
    stage_close();
}

static int want_no_more(mh_request *req, const char *data, size_t len)
{
    (void)req, (void)data, (void)len;
    return -EIO;
}

static int stream_unwanted(mh_request *req)
{
    req->on_body = want_no_more;
    return later(req);
}

Test(session, the_handler_wants_no_more)
{
    stage_open((mh_server_options){.handler = stream_unwanted, .stream_bodies = true});
    int fd = say_once("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab");
    hear_last(fd, "");
    expect_error(-EIO, "the handler wants no more of the body");
    cr_assert_eq(stage.ends, 1); /* and so no reply is owed */
    stage_close();
}

/* The handler has not read it all, and never will. */
Test(session, replied_while_paused)
{
    stage_open((mh_server_options){.handler = stream_paused, .stream_bodies = true});
    int fd = say_once("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab");
    stage_until(handled == 1);
    cr_assert_eq(mh_reply_text(owed, 403, "no"), 403);
    hear(fd, EARLY);
    cr_assert_eq(stage.ends, 1);
    cr_assert_eq(body.len, 0);
    close(fd);
    stage_close();
}

/* There was nothing to pause, so nothing of it is left behind. */
Test(session, replied_while_paused_without_a_body)
{
    stage_open((mh_server_options){.handler = stream_paused, .stream_bodies = true});
    int fd = say_once(GET);
    stage_until(handled == 1);
    stage_rest(5);
    cr_assert(!body_ended); /* it is paused */
    cr_assert_eq(mh_reply_text(owed, 200, "x"), 200);
    hear(fd, OK PLAIN "Content-Length: 1\r\n\r\nx");
    cr_assert_eq(stage.ends, 1);
    cr_assert(!body_ended);
    say(fd, GET);
    stage_until(handled == 2);
    cr_assert_eq(mh_reply_text(owed, 200, "y"), 200);
    hear(fd, OK PLAIN "Content-Length: 1\r\n\r\ny");
    close(fd);
    stage_close();
}

/* A peer that stays for ever is not waited for that long. */
Test(session, lingering_has_an_end)
{
    stage_open((mh_server_options){.handler = reply_early, .stream_bodies = true});
    int64_t begin_ms = mh__clock_ms();
    int fd = say_once("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nx");
    hear(fd, EARLY);
    mh_server_stop(stage.server);
    cr_assert_eq(mh_loop_run(stage.loop, STAGE_MS), 0);
    int64_t took_ms = mh__clock_ms() - begin_ms;
    cr_assert(took_ms >= MH_SERVER_LINGER_MS && took_ms < 2 * MH_SERVER_LINGER_MS);
    cr_assert_eq(stage.errors, 0);
    close(fd);
    stage_close();
}

/* Whoever owes a reply then hears that there is nobody for it. */
static void check_refused_while_owed(const char *rest, const char *status, const char *why)
{
    mh_buf expected = {0};
    handled = 0;
    stage_open((mh_server_options){
        .handler = stream_later, .stream_bodies = true, .body_max = 2, .body_timeout_ms = 60});
    int fd = say_once("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    stage_until(handled == 1);
    say(fd, rest);
    cr_assert_eq(mh_buf_printf(&expected,
                               "HTTP/1.1 %s\r\n" SENT_DATE PLAIN "Content-Length: %zu\r\n" CLOSE
                               "\r\n%s\n%s\n",
                               status, strlen(status) + strlen(why) + 2, status, why),
                 0);
    hear(fd, expected.data);
    cr_assert_eq(stage.accesses, 1);
    cr_assert_str_eq(stage.method, "POST");
    cr_assert_eq(stage.status, atoi(status));
    cr_assert_eq(stage.ends, 0);
    cr_assert(!mh_request_alive(owed));
    cr_assert_eq(mh_reply_text(owed, 200, "x"), MH_ERR_CLOSED);
    cr_assert_eq(stage.ends, 1);
    close(fd);
    mh_buf_free(&expected);
    mh_buf_free(&body);
    stage_close();
}

Test(session, refused_while_owed)
{
    check_refused_while_owed("3\r\nabc\r\n", "413 Content Too Large",
                             "the request's body is too large");
    check_refused_while_owed("x\r\n", "400 Bad Request",
                             "byte 0x78 at offset 56: a chunk size begins with a hexadecimal "
                             "digit");
    check_refused_while_owed("1\r\na\r\n", "408 Request Timeout",
                             "the request took too long to arrive");
}

static void *go_on(void *arg)
{
    mh_request_pause(arg, false);
    return NULL;
}

Test(session, paused_and_resumed_by_another_thread)
{
    pthread_t thread;
    stage_open((mh_server_options){.handler = stream_paused, .stream_bodies = true});
    int fd = say_once("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    stage_until(handled == 1);
    cr_assert_eq(pthread_create(&thread, NULL, go_on, owed), 0);
    expect_body("abc");
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert_eq(mh_reply_text(owed, 200, "x"), 200);
    hear(fd, OK PLAIN "Content-Length: 1\r\n\r\nx");
    close(fd);
    mh_buf_free(&body);
    stage_close();
}

/* ---- both ways at a time ---- */

static int give_back(mh_request *req, const char *data, size_t len)
{
    (void)keep_body(req, data, len);
    mh_reply_wake(req);
    return 0;
}

static ssize_t produce_what_came(mh_request *req, char *buf, size_t cap)
{
    (void)req;
    size_t len = body.len < cap ? body.len : cap;
    if (len == 0)
        return body_ended ? 0 : -EAGAIN;
    memcpy(buf, body.data, len);
    mh_buf_consume(&body, len);
    return (ssize_t)len;
}

static int duplex(mh_request *req)
{
    mh_buf_clear(&body);
    body_ended = false;
    req->on_body = give_back;
    req->on_end = note_end;
    return mh_reply_stream(req, 200, NULL, MH_LENGTH_UNKNOWN, produce_what_came);
}

Test(session, both_ways_at_a_time)
{
    stage_open((mh_server_options){.handler = duplex, .stream_bodies = true});
    int fd = say_once("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    hear(fd, OK "Transfer-Encoding: chunked\r\n" CLOSE "\r\n");
    say(fd, "2\r\nab\r\n");
    hear(fd, "2\r\nab\r\n");
    say(fd, "1\r\nc\r\n");
    hear(fd, "1\r\nc\r\n");
    cr_assert_eq(stage.ends, 0);
    say(fd, "0\r\n\r\n");
    hear_last(fd, "0\r\n\r\n");
    cr_assert_eq(stage.ends, 1);
    cr_assert_eq(stage.errors, 0);
    mh_buf_free(&body);
    stage_close();
}

/* ---- producers ---- */

static mh_request *producing;
static const char *pieces[4]; /* NULL: nothing for now; "": the end */
static int next_piece;

static ssize_t produce(mh_request *req, char *buf, size_t cap)
{
    const char *piece = pieces[next_piece++];
    producing = req;
    if (!piece)
        return -EAGAIN;
    cr_assert_leq(strlen(piece), cap);
    if (piece[0] == '!')
        return -EIO;
    if (!piece[0] && mh_reply_trailer(req, "X-Sum", "2") < 0)
        return -EINVAL;
    memcpy(buf, piece, strlen(piece));
    return (ssize_t)strlen(piece);
}

static uint64_t produced_length;

static int stream_reply(mh_request *req)
{
    next_piece = 0;
    req->on_end = note_end;
    return mh_reply_stream(req, 200, NULL, produced_length, produce);
}

static void open_stream(uint64_t length, const char *first, const char *second, const char *third)
{
    pieces[0] = first;
    pieces[1] = second;
    pieces[2] = third;
    pieces[3] = "";
    produced_length = length;
    stage_open((mh_server_options){.handler = stream_reply});
}

#define CHUNKED OK "Transfer-Encoding: chunked\r\n\r\n"

Test(session, produced_in_chunks)
{
    open_stream(MH_LENGTH_UNKNOWN, "a", NULL, "b");
    int fd = say_once(GET GET);
    hear(fd, CHUNKED "1\r\na\r\n");
    cr_assert(is_silent(fd));
    cr_assert_eq(stage.ends, 0);
    mh_reply_wake(producing);
    hear(fd, "1\r\nb\r\n0\r\nX-Sum: 2\r\n\r\n" CHUNKED "1\r\na\r\n");
    cr_assert_eq(stage.ends, 1);
    cr_assert_eq(stage.sent, 2);
    mh_reply_wake(producing);
    hear(fd, "1\r\nb\r\n0\r\nX-Sum: 2\r\n\r\n");
    close(fd);
    stage_close();
}

static void *wake_it(void *arg)
{
    mh_reply_wake(arg);
    return NULL;
}

Test(session, woken_by_another_thread)
{
    pthread_t thread;
    open_stream(2, "a", NULL, "b");
    int fd = say_once(GET);
    hear(fd, OK "Content-Length: 2\r\n\r\na");
    cr_assert_eq(pthread_create(&thread, NULL, wake_it, producing), 0);
    hear(fd, "b");
    cr_assert_eq(pthread_join(thread, NULL), 0);
    say(fd, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    hear(fd, OK "Content-Length: 2\r\n" CLOSE "\r\na");
    mh_reply_wake(producing);
    hear_last(fd, "b");
    stage_close();
}

Test(session, produced_for_http_1_0)
{
    open_stream(MH_LENGTH_UNKNOWN, "a", "b", "");
    hear_last(say_once("GET / HTTP/1.0\r\n\r\n"), OK CLOSE "\r\nab");
    cr_assert_eq(stage.errors, 0);
    stage_close();
}

Test(session, not_produced_for_a_head)
{
    open_stream(MH_LENGTH_UNKNOWN, "a", "b", "");
    int fd = say_once("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    hear(fd, CHUNKED);
    cr_assert_eq(next_piece, 0);
    cr_assert_eq(stage.ends, 1);
    close(fd);
    stage_close();
}

Test(session, produced_too_little)
{
    open_stream(3, "a", "b", "");
    hear_last(say_once(GET), OK "Content-Length: 3\r\n\r\nab");
    cr_assert_eq(stage.errors, 1);
    cr_assert_eq(stage.ends, 1);
    stage_close();
}

Test(session, produced_too_much)
{
    open_stream(1, "ab", "", "");
    hear_last(say_once(GET), OK "Content-Length: 1\r\n\r\n");
    cr_assert_eq(stage.errors, 1);
    cr_assert_eq(stage.ends, 1);
    stage_close();
}

Test(session, a_producer_that_fails)
{
    open_stream(MH_LENGTH_UNKNOWN, "a", "!", "");
    hear_last(say_once(GET), CHUNKED "1\r\na\r\n");
    expect_error(-EIO, "the reply's body: Input/output error");
    cr_assert_eq(stage.ends, 1);
    stage_close();
}

Test(session, the_peer_leaves_a_producer)
{
    open_stream(MH_LENGTH_UNKNOWN, "a", NULL, "b");
    int fd = say_once(GET);
    hear(fd, CHUNKED "1\r\na\r\n");
    struct linger now = {1, 0};
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    close(fd);
    stage_until(stage.ends == 1);
    cr_assert_eq(stage.errors, 1);
    stage_close();
}

/* ---- later ---- */

static void *reply_in_thread(void *arg)
{
    mh_request *req = arg;
    cr_assert(mh_request_alive(req));
    cr_assert_eq(mh_reply_text(req, 200, "thread"), 200);
    return NULL;
}

#define FROM_THREAD OK PLAIN "Content-Length: 6\r\n\r\nthread"

Test(session, replied_by_another_thread)
{
    pthread_t thread;
    stage_open((mh_server_options){.handler = later});
    int fd = say_once(GET);
    stage_until(handled == 1);
    cr_assert_eq(pthread_create(&thread, NULL, reply_in_thread, owed), 0);
    hear(fd, FROM_THREAD);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert_eq(stage.ends, 1);
    close(fd);
    stage_close();
}

/* It is faster than the handler. */
static int reply_before(mh_request *req)
{
    pthread_t thread;
    req->on_end = note_end;
    cr_assert_eq(pthread_create(&thread, NULL, reply_in_thread, req), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    return MH_LATER;
}

Test(session, replied_before_the_handler_returns)
{
    stage_open((mh_server_options){.handler = reply_before});
    int fd = say_once(GET GET);
    hear(fd, FROM_THREAD FROM_THREAD);
    cr_assert_eq(stage.ends, 2);
    close(fd);
    stage_close();
}

static pthread_t repliers[200];
static int replier_count;

static int reply_meanwhile(mh_request *req)
{
    req->on_end = note_end;
    cr_assert_eq(pthread_create(&repliers[replier_count++], NULL, reply_in_thread, req), 0);
    return MH_LATER;
}

Test(session, replied_while_the_handler_returns)
{
    stage_open((mh_server_options){.handler = reply_meanwhile});
    int fd = stage_connect();
    for (size_t i = 0; i < COUNT(repliers); i++) {
        say(fd, GET);
        hear(fd, FROM_THREAD);
    }
    for (size_t i = 0; i < COUNT(repliers); i++)
        cr_assert_eq(pthread_join(repliers[i], NULL), 0);
    cr_assert_eq(stage.ends, (int)COUNT(repliers));
    close(fd);
    stage_close();
}

static void reset(int fd)
{
    struct linger now = {1, 0};
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    close(fd);
}

Test(session, the_peer_is_gone)
{
    stage_open((mh_server_options){.handler = later});
    int fd = say_once(GET);
    stage_until(handled == 1);
    cr_assert(mh_request_alive(owed));
    reset(fd);
    stage_until(!mh_request_alive(owed));
    expect_error(-ECONNRESET, "receive: Connection reset by peer");
    cr_assert_eq(stage.ends, 0);
    cr_assert_eq(stage.accesses, 1);
    cr_assert_eq(stage.status, 0);
    cr_assert_eq(mh_reply_text(owed, 99, "x"), -EINVAL);
    cr_assert_eq(stage.ends, 0);
    cr_assert_eq(mh_reply_text(owed, 200, "x"), MH_ERR_CLOSED);
    cr_assert_eq(stage.ends, 1);
    stage_close();
}

Test(session, the_server_is_gone)
{
    stage_open((mh_server_options){.handler = later});
    int fd = say_once(GET);
    stage_until(handled == 1);
    stage_rest(5);
    mh_server_free(stage.server);
    stage.server = NULL;
    cr_assert(!mh_request_alive(owed));
    mh_loop_free(stage.loop);
    stage.loop = NULL;
    cr_assert_eq(mh_reply_text(owed, 200, "x"), MH_ERR_CLOSED);
    cr_assert_eq(stage.ends, 1);
    close(fd);
    stage_close();
}

/* ---- large ---- */

static char large[3u << 20];

static int borrow(mh_request *req)
{
    req->on_end = note_end;
    return mh_reply_borrow(req, 200, NULL, large, sizeof(large));
}

static ssize_t produce_endlessly(mh_request *req, char *buf, size_t cap)
{
    (void)req;
    memset(buf, 'x', cap);
    return (ssize_t)cap;
}

static int endless(mh_request *req)
{
    return mh_reply_stream(req, 200, NULL, MH_LENGTH_UNKNOWN, produce_endlessly);
}

enum { CROWD = 100 }; /* more than a worker keeps exchanges for */
static mh_request *crowd[CROWD];
static int crowded;
static bool crowd_fails;

static ssize_t produce_with_the_crowd(mh_request *req, char *buf, size_t cap)
{
    (void)req, (void)buf, (void)cap;
    return crowd_fails ? -EIO : -EAGAIN;
}

static int join_crowd(mh_request *req)
{
    crowd[crowded++] = req;
    req->on_end = note_end;
    return mh_reply_stream(req, 200, NULL, MH_LENGTH_UNKNOWN, produce_with_the_crowd);
}

Test(session, many_producers_that_fail)
{
    int fd[CROWD];
    stage_open((mh_server_options){.handler = join_crowd});
    for (int i = 0; i < CROWD; i++)
        fd[i] = say_once(GET);
    stage_until(crowded == CROWD);
    crowd_fails = true;
    for (int i = 0; i < CROWD; i++)
        mh_reply_wake(crowd[i]);
    for (int i = 0; i < CROWD; i++)
        hear_all(fd[i]);
    cr_assert_eq(stage.ends, CROWD);
    cr_assert_eq(stage.errors, CROWD);
    stage_close();
}

static int refuse_body(mh_request *req, const char *data, size_t len)
{
    (void)req, (void)data, (void)len;
    return -EPERM;
}

static int refuse_bodies(mh_request *req)
{
    if (!mh_str_equal(req->method, "POST"))
        return mh_reply_text(req, 200, "x");
    req->on_body = refuse_body;
    return MH_LATER;
}

/* What was replied before is not lost with it. */
Test(session, a_body_that_is_refused_behind_a_reply)
{
    stage_open((mh_server_options){.handler = refuse_bodies, .stream_bodies = true});
    int fd = say_once(GET "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    hear_last(fd, OK PLAIN "Content-Length: 1\r\n\r\nx");
    expect_error(-EPERM, "the handler wants no more of the body");
    stage_close();
}

static int take(mh_request *req)
{
    mh_buf bytes = {0};
    req->on_end = note_end;
    cr_assert_eq(mh_buf_append(&bytes, large, sizeof(large)), 0);
    return mh_reply_take(req, 200, NULL, &bytes);
}

static int file_reply(mh_request *req)
{
    int fd = memfd_create("reply", MFD_CLOEXEC);
    cr_assert_eq(write(fd, large, sizeof(large)), (ssize_t)sizeof(large));
    req->on_end = note_end;
    return mh_reply_file(req, 200, NULL, fd, 0, sizeof(large));
}

static ssize_t produce_large(mh_request *req, char *buf, size_t cap)
{
    size_t done = (size_t)(uintptr_t)req->data, left = sizeof(large) - done;
    size_t len = left < cap ? left : cap;
    memcpy(buf, large + done, len);
    req->data = (void *)(uintptr_t)(done + len);
    return (ssize_t)len;
}

static int stream_large(mh_request *req)
{
    req->on_end = note_end;
    return mh_reply_stream(req, 200, NULL, sizeof(large), produce_large);
}

/* The bytes stay where they are as long as some are unsent; and the next request is read then. */
static void check_large(mh_handler *handler)
{
    static const char head[] = OK "Content-Length: 3145728\r\n\r\n";
    for (size_t i = 0; i < sizeof(large); i++)
        large[i] = (char)('a' + i % 23);
    stage_open((mh_server_options){.handler = handler});
    int fd = stage_connect_with(4096);
    say(fd, GET);
    stage_rest(10);
    cr_assert_eq(stage.ends, 0);
    hear_nothing_yet();
    size_t whole = sizeof(head) - 1 + sizeof(large) + MH_DATE_LEN - 3;
    stage_until((hear_more(fd), heard.len >= whole));
    scrub_date(&heard);
    cr_assert_eq(heard.len, sizeof(head) - 1 + sizeof(large));
    cr_assert_eq(memcmp(heard.data, head, sizeof(head) - 1), 0);
    cr_assert_eq(memcmp(heard.data + sizeof(head) - 1, large, sizeof(large)), 0);
    stage_until(stage.ends == 1);
    cr_assert_eq(stage.sent, sizeof(large));
    cr_assert(is_silent(fd));
    close(fd);
    mh_buf_free(&heard);
    stage_close();
}

Test(session, large_and_borrowed)
{
    check_large(borrow);
}

Test(session, large_and_taken)
{
    check_large(take);
}

Test(session, large_file)
{
    check_large(file_reply);
}

Test(session, large_and_produced)
{
    check_large(stream_large);
}

static int short_file(mh_request *req)
{
    int fd = memfd_create("reply", MFD_CLOEXEC);
    cr_assert_eq(write(fd, "abcdef", 6), 6);
    req->on_end = note_end;
    return mh_reply_file(req, 200, "a/b", fd, 2, mh_str_equal(req->path, "/") ? 3 : 100);
}

Test(session, part_of_a_file)
{
    stage_open((mh_server_options){.handler = short_file});
    int fd = say_once(GET);
    hear(fd, OK "Content-Type: a/b\r\nContent-Length: 3\r\n\r\ncde");
    say(fd, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" GET);
    hear(fd, OK "Content-Type: a/b\r\nContent-Length: 3\r\n\r\n" OK
                "Content-Type: a/b\r\nContent-Length: 3\r\n\r\ncde");
    cr_assert_eq(stage.ends, 3);
    close(fd);
    stage_close();
}

Test(session, a_file_that_is_too_short)
{
    stage_open((mh_server_options){.handler = short_file});
    int fd = say_once("GET /more HTTP/1.1\r\nHost: a\r\n\r\n");
    hear_last(fd, OK "Content-Type: a/b\r\nContent-Length: 100\r\n\r\ncdef");
    cr_assert_eq(stage.errors, 1);
    cr_assert_eq(stage.err, MH_ERR_CLOSED);
    cr_assert_eq(stage.ends, 1);
    stage_close();
}

/* ---- what takes too long ---- */

#define TOO_LATE                                                                                   \
    "HTTP/1.1 408 Request Timeout\r\n" SENT_DATE PLAIN "Content-Length: 56\r\n" CLOSE              \
    "\r\n408 Request Timeout\nthe request took too long to arrive\n"

Test(session, a_head_that_takes_too_long)
{
    stage_open((mh_server_options){.handler = echo, .head_timeout_ms = 60});
    int fd = say_once("GET / HT");
    stage_rest(30);
    say(fd, "TP/1.1\r\n"); /* it drips, and that does not help */
    int64_t begin_ms = mh__clock_ms();
    hear(fd, TOO_LATE);
    cr_assert_lt(mh__clock_ms() - begin_ms, 55);
    expect_error(-ETIMEDOUT, "the request took too long to arrive");
    close(fd);
    stage_close();
}

Test(session, a_body_that_takes_too_long)
{
    stage_open((mh_server_options){.handler = echo, .body_timeout_ms = 60});
    int fd = say_once("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na");
    stage_rest(40);
    say(fd, "b"); /* it moves */
    stage_rest(40);
    cr_assert_eq(stage.errors, 0);
    hear(fd, TOO_LATE);
    expect_error(-ETIMEDOUT, "the request took too long to arrive");
    close(fd);
    stage_close();
}

Test(session, a_body_that_drips)
{
    stage_open((mh_server_options){.handler = echo, .body_timeout_ms = 100, .rate_min = 1000});
    int fd = say_once("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\na");
    for (int i = 0; i < 200 && stage.errors == 0; i++) {
        (void)!send(fd, "b", 1, MSG_NOSIGNAL);
        stage_rest(10);
    }
    cr_assert_eq(stage.errors, 1);
    hear(fd, TOO_LATE);
    expect_error(-ETIMEDOUT, "the request took too long to arrive");
    close(fd);
    stage_close();
}

Test(session, a_peer_that_takes_nothing)
{
    stage_open((mh_server_options){.handler = borrow, .send_timeout_ms = 60});
    int fd = stage_connect_with(4096);
    say(fd, GET);
    stage_until(stage.errors > 0);
    expect_error(-ETIMEDOUT, "the peer takes nothing of the reply");
    cr_assert_eq(stage.ends, 1);
    cr_assert_eq(stage.accesses, 1);
    close(fd);
    stage_close();
}

/* So slow that the kernel takes nothing more for it in all this time. */
Test(session, a_peer_that_takes_little)
{
    stage_open((mh_server_options){.handler = borrow, .send_timeout_ms = 100});
    int fd = stage_connect_with(4096);
    char some[1024];
    say(fd, GET);
    size_t taken = 0;
    for (int i = 0; i < 100; i++) {
        ssize_t len = recv(fd, some, sizeof(some), MSG_DONTWAIT);
        taken += len > 0 ? (size_t)len : 0;
        stage_rest(5);
    }
    cr_assert_gt(taken, 0);
    cr_assert_lt(taken, sizeof(large) / 2);
    cr_assert_eq(stage.errors, 0);
    stage_until(stage.errors > 0);
    expect_error(-ETIMEDOUT, "the peer takes nothing of the reply");
    close(fd);
    stage_close();
}

/* Each piece that the kernel has no room for begins a time of its own. The peer takes 200 bytes in
 * a millisecond, which is four times as much as it has to. */
Test(session, a_peer_that_takes_little_of_many_pieces)
{
    int listener = mh_listen("127.0.0.1:0"), size = 32768;
    cr_assert_eq(setsockopt(listener, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
    stage_open((mh_server_options){
        .handler = endless, .listener = listener, .send_timeout_ms = 400, .rate_min = 50000});
    int fd = stage_connect_with(4096);
    char some[4096];
    int64_t taken = 0, begin = mh__clock_ms(), ms = 0;
    say(fd, GET);
    for (; ms < 3000; ms = mh__clock_ms() - begin) {
        ssize_t len = taken < ms * 200 ? recv(fd, some, sizeof(some), MSG_DONTWAIT) : 0;
        taken += len > 0 ? len : 0;
        stage_turn();
        cr_assert_eq(stage.errors, 0, "%lld ms: %s", (long long)ms, stage.why);
    }
    cr_assert_gt(taken, 300000);
    close(fd);
    stage_close();
}

/* Trailers are no body, and have no end of their own. */
Test(session, trailers_that_drip)
{
    stage_open((mh_server_options){.handler = echo, .body_timeout_ms = 100, .rate_min = 1000});
    int fd = say_once("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                      "0\r\nX: ");
    for (int i = 0; i < 200 && stage.errors == 0; i++) {
        (void)!send(fd, "b", 1, MSG_NOSIGNAL);
        stage_rest(10);
    }
    cr_assert_eq(stage.errors, 1);
    hear(fd, TOO_LATE);
    expect_error(-ETIMEDOUT, "the request took too long to arrive");
    close(fd);
    stage_close();
}

Test(session, idle)
{
    stage_open((mh_server_options){.handler = echo, .idle_timeout_ms = 40});
    int silent = stage_connect();
    int fd = say_once(GET);
    hear(fd, ECHO_GET);
    hear_last(silent, "");
    hear_last(fd, "");
    cr_assert_eq(stage.errors, 0);
    stage_close();
}

Test(session, no_limits)
{
    stage_open((mh_server_options){.handler = echo,
                                   .head_timeout_ms = -1,
                                   .idle_timeout_ms = -1,
                                   .body_timeout_ms = -1,
                                   .send_timeout_ms = -1,
                                   .stop_timeout_ms = -1,
                                   .rate_min = -1});
    cr_assert_eq(mh_loop_timeout_ms(stage.loop), -1);
    int fd = say_once("POST / HTTP/1.1\r\nHost: a\r\n");
    cr_assert_eq(mh_loop_timeout_ms(stage.loop), -1);
    say(fd, "Content-Length: 1\r\n\r\n");
    cr_assert_eq(mh_loop_timeout_ms(stage.loop), -1);
    say(fd, "x");
    hear(fd, OK "Content-Length: 8\r\n\r\nPOST|/|x");
    close(fd);
    stage_close();
}

/* ---- how many ---- */

Test(session, the_longest_idle_one_makes_room)
{
    stage_open((mh_server_options){.handler = echo, .connections_max = 2});
    int first = stage_connect(), second = stage_connect();
    say(second, GET);
    hear(second, ECHO_GET);
    stage_rest(5);
    say(first, GET);
    hear(first, ECHO_GET); /* now the second one is idle for longer */
    int third = stage_connect();
    hear_last(second, "");
    expect_error(-EMFILE, "it made room for another one");
    say(third, GET);
    hear(third, ECHO_GET);
    say(first, GET);
    hear(first, ECHO_GET);
    close(first);
    close(third);
    stage_close();
}

/* Where nobody is idle the next one waits, and is not turned away; but for one, which is here. */
Test(session, no_room)
{
    stage_open((mh_server_options){.handler = later, .connections_max = 1});
    int first = say_once(GET);
    stage_until(handled == 1);
    mh_request *first_owed = owed;
    int second = say_once(GET);
    stage_until(handled == 2);
    int third = say_once(GET);
    cr_assert(is_silent(third));
    cr_assert_eq(handled, 2);
    cr_assert_eq(mh_reply_text(first_owed, 200, "x"), 200);
    hear(first, OK PLAIN "Content-Length: 1\r\n\r\nx");
    mh_request *second_owed = owed;
    hear_last(first, "");
    expect_error(-EMFILE, "it made room for another one");
    stage_until(handled == 3);
    cr_assert_eq(mh_reply_text(owed, 200, "y"), 200);
    hear(third, OK PLAIN "Content-Length: 1\r\n\r\ny");
    cr_assert_eq(mh_reply_text(second_owed, 200, "z"), 200);
    hear(second, OK PLAIN "Content-Length: 1\r\n\r\nz");
    close(second);
    close(third);
    stage_close();
}

/* ---- how large ---- */

static void check_refused(mh_server_options options, const char *request, const char *status,
                          const char *why, int err)
{
    mh_buf expected = {0};
    options.handler = echo;
    stage_open(options);
    int fd = say_once(request);
    cr_assert_eq(mh_buf_printf(&expected,
                               "HTTP/1.1 %s\r\n" SENT_DATE PLAIN "Content-Length: %zu\r\n" CLOSE
                               "\r\n%s\n%s\n",
                               status, strlen(status) + strlen(why) + 2, status, why),
                 0);
    hear(fd, expected.data);
    expect_error(err, why);
    cr_assert(stage.peer_known);
    cr_assert_eq(stage.accesses, 1);
    cr_assert_eq(stage.status, atoi(status));
    close(fd);
    mh_buf_free(&expected);
    stage_close();
}

Test(session, too_large)
{
    static const char head[] = "GET / HTTP/1.1\r\nHost: a\r\nX-Long: 0123456789\r\n\r\n";
    static const char target[] = "GET /0123456789012345678901234567890 HTTP/1.1\r\nHost: a\r\n\r\n";
    static const char length[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    static const char chunks[] =
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    mh_server_options small_head = {.head_max = 32}, small_body = {.body_max = 2};
    mh_server_options streamed = {.body_max = 2, .stream_bodies = true};
    check_refused(small_head, head, "431 Request Header Fields Too Large",
                  "the head is too long (32 bytes in)", MH_ERR_TOO_LARGE);
    check_refused(small_head, target, "414 URI Too Long",
                  "the request target is too long (32 bytes in)", MH_ERR_TOO_LARGE);
    check_refused(small_body, length, "413 Content Too Large", "the request's body is too large",
                  MH_ERR_TOO_LARGE);
    check_refused(small_body, chunks, "413 Content Too Large", "the request's body is too large",
                  MH_ERR_TOO_LARGE);
    check_refused(streamed, length, "413 Content Too Large", "the request's body is too large",
                  MH_ERR_TOO_LARGE);
}

Test(session, no_request)
{
    check_refused((mh_server_options){0}, "\x01", "400 Bad Request",
                  "byte 0x01 at offset 0: byte that no method may hold", MH_ERR_MALFORMED);
    cr_assert_str_eq(stage.method, "");
}

/* ---- what is written down ---- */

static int slow(mh_request *req)
{
    (void)poll(NULL, 0, 20);
    return mh_reply_text(req, 201, "hello");
}

Test(session, access)
{
    stage_open((mh_server_options){.handler = slow});
    int fd = say_once("PUT /x HTTP/1.1\r\nHost: a\r\n\r\n");
    hear(fd, "HTTP/1.1 201 Created\r\n" SENT_DATE PLAIN "Content-Length: 5\r\n\r\nhello");
    cr_assert_eq(stage.accesses, 1);
    cr_assert_str_eq(stage.method, "PUT");
    cr_assert_eq(stage.status, 201);
    cr_assert_eq(stage.sent, 5);
    cr_assert(stage.took_us >= 20000 && stage.took_us < 5000000);
    say(fd, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    hear(fd, "HTTP/1.1 201 Created\r\n" SENT_DATE PLAIN "Content-Length: 5\r\n\r\n");
    cr_assert_eq(stage.accesses, 2);
    cr_assert_eq(stage.sent, 0);
    close(fd);
    stage_close();
}

/* ---- the end ---- */

#define POST_NOTHING "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"

static int later_to_post(mh_request *req)
{
    return mh_str_equal(req->method, "POST") ? later(req) : echo(req);
}

Test(session, stopped)
{
    stage_open((mh_server_options){.handler = later_to_post});
    int idle = say_once(GET);
    hear(idle, ECHO_GET);
    int fd = say_once(POST_NOTHING POST_NOTHING);
    stage_until(handled == 1);
    mh_server_stop(stage.server);
    hear_last(idle, "");
    cr_assert(mh_request_alive(owed));
    cr_assert_eq(mh_reply_text(owed, 200, "x"), 200);
    hear_last(fd, OK PLAIN "Content-Length: 1\r\n" CLOSE "\r\nx");
    cr_assert_eq(mh_loop_run(stage.loop, STAGE_MS), 0);
    cr_assert_eq(handled, 1);
    cr_assert_eq(stage.errors, 0);
    stage_close();
}

/* They are more than are accepted in one go. */
Test(session, a_stop_answers_who_has_waited)
{
    enum { WAITING = 200 };
    int fd[WAITING];
    stage_open((mh_server_options){.handler = echo});
    uint16_t port = mh_server_port(stage.server);
    for (int i = 0; i < WAITING; i++) {
        fd[i] = stage_connect_with(0);
        cr_assert_eq(send(fd[i], GET, strlen(GET), MSG_NOSIGNAL), (ssize_t)strlen(GET));
    }
    mh_server_stop(stage.server);
    int told = 0;
    for (int i = 0; i < WAITING; i++) {
        hear_all(fd[i]);
        cr_assert(strstr(heard.data, "\r\n\r\nGET|/|"), "%d: %s", i, heard.data);
        told += strstr(heard.data, CLOSE) != NULL; /* not whoever was accepted before the stop */
    }
    cr_assert_gt(told, 0);
    cr_assert_eq(mh_loop_run(stage.loop, STAGE_MS), 0);
    cr_assert_eq(stage.errors, 0);
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(late, (struct sockaddr *)&to, sizeof(to)), -1);
    cr_assert_eq(errno, ECONNREFUSED);
    close(late);
    stage_close();
}

Test(session, stopped_after_a_while)
{
    stage_open((mh_server_options){.handler = later, .stop_timeout_ms = 40});
    int fd = say_once(GET);
    stage_until(handled == 1);
    mh_server_stop(stage.server);
    hear_last(fd, "");
    expect_error(-ECANCELED, "the server has stopped");
    cr_assert_eq(mh_reply_text(owed, 200, "x"), MH_ERR_CLOSED);
    cr_assert_eq(mh_loop_run(stage.loop, STAGE_MS), 0);
    stage_close();
}

Test(session, stopped_at_once)
{
    stage_open((mh_server_options){.handler = later});
    int fd = say_once(GET);
    stage_until(handled == 1);
    mh_server_stop(stage.server);
    stage_rest(10);
    cr_assert_eq(stage.errors, 0);
    mh_server_stop(stage.server);
    hear_last(fd, "");
    expect_error(-ECANCELED, "the server has stopped");
    cr_assert_eq(mh_reply_text(owed, 200, "x"), MH_ERR_CLOSED);
    stage_close();
}
