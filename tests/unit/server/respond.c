/* Whole connections: lib/server/respond.c. Bytes in, bytes out, over real sockets. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "server/exchange.h"

#include "../descriptors.h"
#include "../scarce.h"
#include "sent.h"

TestSuite(respond, .timeout = 60);

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PLAIN "Content-Type: text/plain; charset=utf-8\r\n"
#define CLOSE "Connection: close\r\n\r\n"
#define CONTINUE "HTTP/1.1 100 Continue\r\n\r\n"

/* Shows what a handler sees: "GET|/path|query|body". */
static int echo(mh_request *req)
{
    return mh_reply_printf(req, 200, "text/plain; charset=utf-8",
                           MH_FMT "|" MH_FMT "|" MH_FMT "|" MH_FMT, MH_ARG(req->method),
                           MH_ARG(req->path), MH_ARG(req->query), MH_ARG(req->body));
}

/* ---- both ends of a connection ---- */

struct server {
    int fd, result;
    mh_handler *handler;
    void *user;
    pthread_t thread;
};

static void *serve(void *arg)
{
    struct server *server = arg;
    server->result = mh_respond(server->fd, server->handler, server->user);
    return NULL;
}

/* Returns the client's end. SOCK_SEQPACKET keeps the borders: each send is one receive. */
static int start(struct server *server, int type, mh_handler *handler)
{
    int fds[2];
    cr_assert_eq(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds), 0);
    *server = (struct server){.fd = fds[1], .handler = handler};
    cr_assert_eq(pthread_create(&server->thread, NULL, serve, server), 0);
    struct timeval patience = {.tv_sec = 20};
    cr_assert_eq(setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    return fds[0];
}

static int finish(struct server *server, int fd)
{
    close(fd);
    cr_assert_eq(pthread_join(server->thread, NULL), 0);
    return server->result;
}

/* In pieces. A server that has closed already is no failure: what it said is looked at. */
static void say(int fd, mh_str text, size_t piece)
{
    while (text.len > 0) {
        size_t len = text.len < piece ? text.len : piece;
        ssize_t sent = send(fd, text.ptr, len, MSG_NOSIGNAL);
        if (sent < 0)
            return;
        text = (mh_str){text.ptr + sent, text.len - (size_t)sent};
    }
}

static void hear_once(int fd, mh_buf *heard)
{
    cr_assert_eq(mh_buf_reserve(heard, 1u << 16), 0);
    ssize_t len = recv(fd, heard->data + heard->len, 1u << 16, 0);
    cr_assert(len >= 0 || errno == ECONNRESET, "%s", strerror(errno));
    if (len > 0)
        heard->len += (size_t)len;
    heard->data[heard->len] = '\0';
}

/* Until the server's end. */
static void hear(int fd, mh_buf *heard)
{
    size_t before;
    do {
        before = heard->len;
        hear_once(fd, heard);
    } while (heard->len > before);
}

static mh_buf heard;

/* Say all of it, hear all of the answer, and leave it in heard. */
static int talk(mh_str request, int type, size_t piece, mh_handler *handler)
{
    struct server server;
    int fd = start(&server, type, handler);
    mh_buf_clear(&heard);
    say(fd, request, piece);
    hear(fd, &heard);
    return finish(&server, fd);
}

/* ---- one request, one answer ---- */

struct talk {
    const char *name, *request;
    const char *status; /* of the answer; its number is the result */
    const char *body;   /* of the answer; for a refusal, without its first line */
    bool without_body;  /* the answer to a HEAD: only the length of that body */
};

static mh_buf expected;

static void expect(const char *status, const char *body, bool without_body)
{
    bool echoed = strncmp(status, "200", 3) == 0;
    mh_buf page = {0};
    if (!echoed)
        cr_assert_eq(mh_buf_printf(&page, "%s\n", status), 0);
    cr_assert_eq(mh_buf_printf(&page, "%s%s", body, echoed || !body[0] ? "" : "\n"), 0);
    mh_buf_clear(&expected);
    cr_assert_eq(mh_buf_printf(&expected, "HTTP/1.1 %s\r\n" SENT_DATE PLAIN, status), 0);
    cr_assert_eq(mh_buf_printf(&expected, "Content-Length: %zu\r\n" CLOSE, page.len), 0);
    if (!without_body)
        cr_assert_eq(mh_buf_append(&expected, page.data, page.len), 0);
    mh_buf_free(&page);
}

static int number(const char *status)
{
    return (status[0] - '0') * 100 + (status[1] - '0') * 10 + (status[2] - '0');
}

static void check_talk(const struct talk *t, int type, size_t piece)
{
    int before = open_descriptors();
    int result = talk(mh_str_from(t->request), type, piece, echo);
    cr_assert_eq(result, number(t->status), "%s: %d", t->name, result);
    expect(t->status, t->body, t->without_body);
    check_sent(&heard, expected.data, t->name);
    cr_assert_eq(open_descriptors(), before, "%s", t->name);
}

/* Whole; and with each receive one byte. */
static void check_talks(const struct talk *talks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        check_talk(&talks[i], SOCK_STREAM, SIZE_MAX);
        check_talk(&talks[i], SOCK_SEQPACKET, 1);
        check_talk(&talks[i], SOCK_SEQPACKET, 7);
    }
    mh_buf_free(&heard);
    mh_buf_free(&expected);
}

static const struct talk answered[] = {
    {"GET", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "200 OK", "GET|/||", false},
    {"query", "GET /a%20b?c=%20d HTTP/1.1\r\nHost: a\r\n\r\n", "200 OK", "GET|/a b|c=%20d|", false},
    {"absolute form", "GET http://b/c?d HTTP/1.1\r\nHost: b\r\n\r\n", "200 OK", "GET|/c|d|", false},
    {"HEAD", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "200 OK", "HEAD|/||", true},
    {"POST", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "200 OK", "POST|/||abc",
     false},
    {"POST nothing", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "200 OK",
     "POST|/||", false},
    {"POST in chunks",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
     "2\r\nab\r\n1;x=y\r\nc\r\n0\r\nX: y\r\n\r\n",
     "200 OK", "POST|/||abc", false},
    {"PUT", "PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n\n", "200 OK", "PUT|/x||\n",
     false},
    {"PATCH", "PATCH / HTTP/1.1\r\nHost: a\r\n\r\n", "200 OK", "PATCH|/||", false},
    {"DELETE", "DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", "200 OK", "DELETE|/||", false},
    {"TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "200 OK", "TRACE|/||", false},
    {"OPTIONS", "OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n", "200 OK", "OPTIONS|/||", false},
    {"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "200 OK", "OPTIONS|*||", false},
    {"a verb of its own", "m-search / HTTP/1.1\r\nHost: a\r\n\r\n", "200 OK", "m-search|/||",
     false},
    {"HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", "200 OK", "GET|/||", false},
    {"HTTP/1.0 that would stay", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "200 OK",
     "GET|/||", false},
    {"HTTP/1.0 with a body", "POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\nx", "200 OK", "POST|/||x",
     false},
    {"HTTP/1.0 is not asked to go on",
     "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx", "200 OK", "POST|/||x",
     false},
    {"empty lines before it", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "200 OK", "GET|/||", false},
    {"no upgrade", "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
     "200 OK", "GET|/||", false},
    {"a handler that would tunnel", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
     "500 Internal Server Error", "", false},
};

Test(respond, answered)
{
    check_talks(answered, COUNT(answered));
}

static const struct talk followed[] = {
    {"another one behind it",
     "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", "200 OK", "GET|/1||",
     false},
    {"another one behind a body",
     "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nxGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
     "200 OK", "POST|/1||x", false},
};

/* What comes later than the reply finds nobody: so all of it comes at once. */
Test(respond, one_request_only)
{
    for (size_t i = 0; i < COUNT(followed); i++)
        check_talk(&followed[i], SOCK_STREAM, SIZE_MAX);
    mh_buf_free(&heard);
    mh_buf_free(&expected);
}

static const struct talk refused[] = {
    {"no Host", "GET / HTTP/1.1\r\n\r\n", "400 Bad Request", "no Host field (18 bytes in)", false},
    {"a tunnel through a path", "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "400 Bad Request",
     "byte 0x61 at offset 4: a target that does not go with the method", false},
    {"NUL in the path", "GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", "400 Bad Request",
     "the request's target is not a path", false},
    {"broken escape", "GET /%2 HTTP/1.1\r\nHost: a\r\n\r\n", "400 Bad Request",
     "byte 0x20 at offset 7: broken percent-encoding in the target", false},
    {"garbage", "\x16\x03\x01\x02", "400 Bad Request",
     "byte 0x16 at offset 0: byte that no method may hold", false},
    {"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 HTTP Version Not Supported",
     "byte 0x32 at offset 11: HTTP version not supported", false},
    {"HTTP/0.9", "GET /\r\n", "400 Bad Request",
     "byte 0x0d at offset 5: the request line has no version", false},
    {"LF alone", "GET / HTTP/1.1\nHost: a\n\n", "400 Bad Request",
     "byte 0x0a at offset 14: LF without CR", false},
    {"two lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
     "400 Bad Request", "byte 0x43 at offset 45: more than one Content-Length field", false},
    {"length and chunks",
     "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx",
     "400 Bad Request", "byte 0x54 at offset 45: Transfer-Encoding beside Content-Length", false},
    {"a coding that nobody knows",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
     "501 Not Implemented", "byte 0x67 at offset 45: transfer coding not supported", false},
    {"a broken chunk", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
     "400 Bad Request", "byte 0x78 at offset 56: a chunk size begins with a hexadecimal digit",
     false},
    {"a length that is too large", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n",
     "413 Content Too Large", "the request's body is too large", false},
    {"and nobody is asked for it",
     "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1048577\r\n\r\n",
     "413 Content Too Large", "the request's body is too large", false},
    {"nor for the body of a bad path",
     "POST /%00 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
     "400 Bad Request", "the request's target is not a path", false},
    {"HEAD, and too large", "HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n",
     "413 Content Too Large", "the request's body is too large", true},
};

Test(respond, refused)
{
    check_talks(refused, COUNT(refused));
}

/* ---- requests that are too large ---- */

/* The text, with `len` times "x" in place of its "@". The caller frees it. */
static mh_str stuffed(const char *text, size_t len)
{
    mh_buf out = {0};
    const char *at = strchr(text, '@');
    cr_assert_eq(mh_buf_append(&out, text, (size_t)(at - text)), 0);
    cr_assert_eq(mh_buf_reserve(&out, len), 0);
    memset(out.data + out.len, 'x', len);
    out.len += len;
    cr_assert_eq(mh_buf_append(&out, at + 1, strlen(at + 1)), 0);
    return mh_buf_str(&out);
}

static void forget(void)
{
    mh_buf_free(&heard);
    mh_buf_free(&expected);
}

static void check_stuffed(const char *text, size_t len, const char *status, const char *body)
{
    static const size_t pieces[] = {SIZE_MAX, 1000};
    mh_str request = stuffed(text, len);
    for (size_t i = 0; i < COUNT(pieces); i++) {
        cr_assert_eq(talk(request, SOCK_STREAM, pieces[i], echo), number(status), "%s", status);
        expect(status, body, false);
        check_sent(&heard, expected.data, status);
    }
    free((char *)request.ptr);
    forget();
}

#define STUFFED_HEAD "GET / HTTP/1.1\r\nHost: a\r\nX: @\r\n\r\n"
#define STUFFED_TARGET "GET /@ HTTP/1.1\r\nHost: a\r\n\r\n"

Test(respond, large_head)
{
    size_t fits = MH_SERVER_HEAD_MAX - (sizeof(STUFFED_HEAD) - 2);
    check_stuffed(STUFFED_HEAD, fits, "200 OK", "GET|/||");
    check_stuffed(STUFFED_HEAD, fits + 1, "431 Request Header Fields Too Large",
                  "the head is too long (16384 bytes in)");
    check_stuffed(STUFFED_HEAD, 100000, "431 Request Header Fields Too Large",
                  "the head is too long (16384 bytes in)");
    check_stuffed(STUFFED_TARGET, 20000, "414 URI Too Long",
                  "the request target is too long (16384 bytes in)");
}

Test(respond, too_many_fields)
{
    mh_buf request = {0};
    cr_assert_eq(mh_buf_printf(&request, "GET / HTTP/1.1\r\nHost: a\r\n"), 0);
    for (int i = 0; i < MH_HEADERS_MAX; i++)
        cr_assert_eq(mh_buf_printf(&request, "X: y\r\n"), 0);
    cr_assert_eq(mh_buf_printf(&request, "\r\n"), 0);
    cr_assert_eq(talk(mh_buf_str(&request), SOCK_STREAM, SIZE_MAX, echo), 431);
    cr_assert(strstr(heard.data, "too many fields\n"));
    mh_buf_free(&request);
    forget();
}

static int body_length(mh_request *req)
{
    return mh_reply_printf(req, 200, "text/plain; charset=utf-8", "%zu", req->body.len);
}

Test(respond, body_at_its_limit)
{
    static const char *const requests[] = {
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n@",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        "100000\r\n@\r\n0\r\n\r\n"};
    for (size_t i = 0; i < COUNT(requests); i++) {
        mh_str request = stuffed(requests[i], MH_SERVER_BODY_MAX);
        cr_assert_eq(talk(request, SOCK_STREAM, SIZE_MAX, body_length), 200);
        expect("200 OK", "1048576", false);
        check_sent(&heard, expected.data, "at the limit");
        free((char *)request.ptr);
    }
    forget();
}

/* Nothing announces it: it is refused when it is there. */
Test(respond, chunks_above_the_limit)
{
    check_stuffed("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                  "100001\r\n@\r\n0\r\n\r\n",
                  MH_SERVER_BODY_MAX + 1, "413 Content Too Large",
                  "the request's body is too large");
}

/* ---- "Expect: 100-continue" ---- */

#define EXPECTING "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"

static void check_invited(const char *head, const char *body)
{
    struct server server;
    int fd = start(&server, SOCK_STREAM, echo);
    say(fd, mh_str_from(head), SIZE_MAX);
    hear_once(fd, &heard);
    check_sent(&heard, CONTINUE, "invitation");
    mh_buf_clear(&heard);
    say(fd, mh_str_from(body), SIZE_MAX);
    hear(fd, &heard);
    cr_assert_eq(finish(&server, fd), 200);
    expect("200 OK", "POST|/||abc", false);
    check_sent(&heard, expected.data, "after the invitation");
    forget();
}

Test(respond, a_client_that_waits_is_invited)
{
    check_invited(EXPECTING "Content-Length: 3\r\n\r\n", "abc");
    check_invited(EXPECTING "Transfer-Encoding: chunked\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n");
}

static const struct talk impatient[] = {
    {"body at once", EXPECTING "Content-Length: 3\r\n\r\nabc", "200 OK", "POST|/||abc", false},
    {"no body", EXPECTING "Content-Length: 0\r\n\r\n", "200 OK", "POST|/||", false},
    {"no length", EXPECTING "\r\n", "200 OK", "POST|/||", false},
};

Test(respond, a_client_that_does_not_wait_is_not)
{
    for (size_t i = 0; i < COUNT(impatient); i++)
        check_talk(&impatient[i], SOCK_STREAM, SIZE_MAX);
    forget();
}

/* ---- clients that leave ---- */

/* Says this, and no more; hears what is said to that. */
static int half_close(const char *text)
{
    struct server server;
    int fd = start(&server, SOCK_STREAM, echo);
    mh_buf_clear(&heard);
    say(fd, mh_str_from(text), SIZE_MAX);
    cr_assert_eq(shutdown(fd, SHUT_WR), 0);
    hear(fd, &heard);
    return finish(&server, fd);
}

Test(respond, half_closed_after_the_request)
{
    cr_assert_eq(half_close("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"), 200);
    expect("200 OK", "POST|/||x", false);
    check_sent(&heard, expected.data, "half-closed");
    forget();
}

Test(respond, half_closed_before_a_request)
{
    cr_assert_eq(half_close(""), MH_ERR_CLOSED);
    check_sent(&heard, "", "nothing");
    cr_assert_eq(half_close("\r\n"), MH_ERR_CLOSED);
    check_sent(&heard, "", "an empty line");
    forget();
}

Test(respond, half_closed_in_the_middle)
{
    static const char *const halves[] = {
        "G",
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
    };
    for (size_t i = 0; i < COUNT(halves); i++) {
        cr_assert_eq(half_close(halves[i]), MH_ERR_CLOSED, "%zu", i);
        expect("400 Bad Request", "the connection was closed in the middle of the request", false);
        check_sent(&heard, expected.data, halves[i]);
    }
    forget();
}

/* The client has come, spoken and gone before the server looks. */
static int too_late(const char *text)
{
    int fds[2], before = open_descriptors();
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    say(fds[0], mh_str_from(text), SIZE_MAX);
    close(fds[0]);
    int result = mh_respond(fds[1], echo, NULL);
    cr_assert_eq(open_descriptors(), before);
    return result;
}

Test(respond, gone)
{
    cr_assert_eq(too_late(""), MH_ERR_CLOSED);
    cr_assert_eq(too_late("GET / HT"), MH_ERR_CLOSED);
    cr_assert_eq(too_late("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), -EPIPE);
    cr_assert_eq(too_late("GET / FTP"), -EPIPE);
    cr_assert_eq(too_late(EXPECTING "Content-Length: 3\r\n\r\n"), -EPIPE);
}

/* Silence of both kinds, at the same time: this takes as long as a head may. */
Test(respond, silent)
{
    struct server nothing, half;
    int64_t start_ms = mh__clock_ms();
    int fd_nothing = start(&nothing, SOCK_STREAM, echo), fd_half = start(&half, SOCK_STREAM, echo);
    say(fd_half, MH_STR("GET / HTTP/1.1\r\n"), SIZE_MAX);
    hear(fd_nothing, &heard);
    check_sent(&heard, "", "silence");
    mh_buf_clear(&heard);
    hear(fd_half, &heard);
    expect("408 Request Timeout", "the request took too long to arrive", false);
    check_sent(&heard, expected.data, "half of a request");
    int64_t took_ms = mh__clock_ms() - start_ms;
    cr_assert_eq(finish(&nothing, fd_nothing), -ETIMEDOUT);
    cr_assert_eq(finish(&half, fd_half), 408);
    cr_assert(took_ms >= MH_SERVER_HEAD_TIMEOUT_MS && took_ms < MH_SERVER_HEAD_TIMEOUT_MS + 5000);
    forget();
}

/* ---- what a handler sees and does ---- */

static int inspect(mh_request *req)
{
    cr_assert(!req->peer, "the sockets of a pair have no names");
    cr_assert_eq(req->user, NULL);
    cr_assert_eq(req->data, NULL);
    cr_assert_eq(req->minor_version, 1);
    cr_assert(mh_str_equal(req->target, "/t%41?q"));
    cr_assert(mh_str_equal(req->path, "/tA"));
    cr_assert(mh_str_equal(req->query, "q"));
    cr_assert(mh_str_equal(req->body, "body"));
    cr_assert_eq(req->headers.count, 3);
    cr_assert(mh_str_equal(mh_headers_get(req->headers, "x-one"), "1"));
    cr_assert_eq(req->trailers.count, 1);
    cr_assert(mh_str_equal(mh_headers_get(req->trailers, "X-Two"), "2"));
    cr_assert(mh_str_equal(req->head, "POST /t%41?q HTTP/1.1\r\nHost: a\r\nX-One: 1\r\n"
                                      "Transfer-Encoding: chunked\r\n\r\n"));
    return 204;
}

Test(respond, request)
{
    static const size_t pieces[] = {SIZE_MAX, 1, 5};
    for (size_t i = 0; i < COUNT(pieces); i++) {
        int result = talk(MH_STR("POST /t%41?q HTTP/1.1\r\nHost: a\r\nX-One: 1\r\n"
                                 "Transfer-Encoding: chunked\r\n\r\n"
                                 "4\r\nbody\r\n0\r\nX-Two: 2\r\n\r\n"),
                          i == 0 ? SOCK_STREAM : SOCK_SEQPACKET, pieces[i], inspect);
        cr_assert_eq(result, 204);
        check_sent(&heard, "HTTP/1.1 204 No Content\r\n" SENT_DATE CLOSE, "204");
    }
    forget();
}

static char large[3u << 20];

static int borrow(mh_request *req)
{
    return mh_reply_borrow(req, 200, NULL, large, sizeof(large));
}

static int take(mh_request *req)
{
    mh_buf body = {0};
    cr_assert_eq(mh_buf_append(&body, large, sizeof(large)), 0);
    return mh_reply_take(req, 200, NULL, &body);
}

/* More than a socket takes at once. */
Test(respond, large_bodies)
{
    static const char head[] = "HTTP/1.1 200 OK\r\n" SENT_DATE "Content-Length: 3145728\r\n" CLOSE;
    static mh_handler *const handlers[] = {borrow, take};
    mh_str request = MH_STR("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    for (size_t i = 0; i < sizeof(large); i++)
        large[i] = (char)('a' + i % 23);
    for (size_t i = 0; i < COUNT(handlers); i++) {
        int result = talk(request, SOCK_STREAM, SIZE_MAX, handlers[i]);
        cr_assert_eq(result, 200, "%s", mh_errname(result));
        scrub_date(&heard);
        cr_assert_eq(heard.len, sizeof(head) - 1 + sizeof(large));
        cr_assert_eq(memcmp(heard.data, head, sizeof(head) - 1), 0);
        cr_assert_eq(memcmp(heard.data + sizeof(head) - 1, large, sizeof(large)), 0);
    }
    forget();
}

/* ---- over TCP ---- */

/* The client's end, and the one for mh_respond(). */
static void tcp_pair(int fds[2])
{
    int listener = mh_listen("127.0.0.1:0");
    struct sockaddr_storage name;
    socklen_t len = sizeof(name);
    cr_assert_geq(listener, 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&name, &len), 0);
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fds[0], (struct sockaddr *)&name, len), 0);
    fds[1] = mh_accept(listener, NULL);
    cr_assert_geq(fds[1], 0);
    close(listener);
}

static int check_peer(mh_request *req)
{
    const struct sockaddr_in *own = req->user;
    cr_assert(req->peer && req->peer->sa_family == AF_INET);
    cr_assert_eq(((const struct sockaddr_in *)req->peer)->sin_port, own->sin_port);
    return 204;
}

Test(respond, peer)
{
    int fds[2], before = open_descriptors();
    struct sockaddr_in own;
    socklen_t len = sizeof(own);
    tcp_pair(fds);
    cr_assert_eq(getsockname(fds[0], (struct sockaddr *)&own, &len), 0);
    say(fds[0], MH_STR("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), SIZE_MAX);
    cr_assert_eq(shutdown(fds[0], SHUT_WR), 0);
    cr_assert_eq(mh_respond(fds[1], check_peer, &own), 204);
    hear(fds[0], &heard);
    check_sent(&heard, "HTTP/1.1 204 No Content\r\n" SENT_DATE CLOSE, "tcp");
    close(fds[0]);
    cr_assert_eq(open_descriptors(), before);
    forget();
}

Test(respond, reset)
{
    int fds[2], before = open_descriptors();
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    tcp_pair(fds);
    cr_assert_eq(setsockopt(fds[0], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
    close(fds[0]);
    cr_assert_eq(mh_respond(fds[1], echo, NULL), -ECONNRESET);
    cr_assert_eq(open_descriptors(), before);
}

/* To close with bytes unread would reset the connection, and take the answer back. */
Test(respond, the_answer_arrives_though_the_body_was_not_read)
{
    struct server server = {.handler = echo};
    int fds[2];
    tcp_pair(fds);
    server.fd = fds[1];
    cr_assert_eq(pthread_create(&server.thread, NULL, serve, &server), 0);
    mh_str request = stuffed("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n@",
                             MH_SERVER_BODY_MAX + 1);
    say(fds[0], request, 4096);
    hear(fds[0], &heard);
    int result = finish(&server, fds[0]);
    cr_assert_eq(result, 413, "%s", mh_errname(result));
    expect("413 Content Too Large", "the request's body is too large", false);
    check_sent(&heard, expected.data, "unread");
    free((char *)request.ptr);
    forget();
}

Test(respond, no_connection)
{
    int fds[2];
    cr_assert_eq(mh_respond(-1, echo, NULL), -EBADF);
    cr_assert_eq(pipe(fds), 0);
    cr_assert_eq(write(fds[1], "x", 1), 1);
    cr_assert_eq(mh_respond(fds[0], echo, NULL), -ENOTSOCK);
    close(fds[1]);
}

/* ---- out of memory ---- */

/* With room for n allocations and no more: the answer, or the one that needs no memory, or, where
 * there is none for a connection, none. */
static int respond_with(int allocations, const char *request)
{
    int fds[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    say(fds[0], mh_str_from(request), SIZE_MAX);
    cr_assert_eq(shutdown(fds[0], SHUT_WR), 0);
    allocations_left = allocations;
    int result = mh_respond(fds[1], echo, NULL);
    allocations_left = -1;
    mh_buf_clear(&heard);
    hear(fds[0], &heard);
    close(fds[0]);
    return result;
}

#define NO_MEMORY                                                                                  \
    "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

static void check_without_memory(const char *request, const char *status, const char *body)
{
    int result = -ENOMEM, n = 0;
    for (; result == -ENOMEM && n < 50; n++) {
        result = respond_with(n, request);
        expect(status, body, false);
        if (result != -ENOMEM || heard.len > 0)
            check_sent(&heard, result == -ENOMEM ? NO_MEMORY : expected.data, request);
    }
    cr_assert(result == number(status) && n > 2, "%d after %d", result, n);
}

Test(respond, without_memory)
{
    check_without_memory("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "200 OK", "GET|/||");
    check_without_memory("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                         "1\r\nx\r\n0\r\n\r\n",
                         "200 OK", "POST|/||x");
    check_without_memory("GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", "400 Bad Request",
                         "the request's target is not a path");
    check_without_memory("\x01", "400 Bad Request",
                         "byte 0x01 at offset 0: byte that no method may hold");
    forget();
}
