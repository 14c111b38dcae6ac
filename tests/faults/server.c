/* server.c: listening, accepting, answering; to a peer that does everything right, or asks for
 * something that is not to be had. */
#include <minihttp/server.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "inject.h"
#include "peer.h"
#include "scenario.h"

/* ---- is what came out a reply? ---- */

/* Past the interim ones. */
static const char *final_head(const char *got)
{
    while (strncmp(got, "HTTP/1.1 1", 10) == 0) {
        const char *end = strstr(got, "\r\n\r\n");
        if (!end)
            return got;
        got = end + 4;
    }
    return got;
}

static bool is_whole(mh_str got, int status, bool with_body)
{
    const char *head = final_head(got.ptr), *end = strstr(head, "\r\n\r\n");
    char line[32];
    snprintf(line, sizeof(line), "HTTP/1.1 %d ", status);
    if (strncmp(head, line, strlen(line)) != 0 || !end)
        return false;
    const char *field = strstr(head, "Content-Length: ");
    size_t body = field && field < end && with_body ? strtoul(field + 16, NULL, 10) : 0;
    return (size_t)(end + 4 - got.ptr) + body == got.len;
}

/* What came on a good day; other ends are told from it. */
static char calm[1 << 17];

static void keep_calm(mh_str got)
{
    if (!inject_hit() && got.len < sizeof(calm))
        memcpy(calm, got.ptr, got.len + 1);
}

/* When it went wrong on the way out, there is less of it; before that, there may be a refusal, and
 * without memory for one there is 503, which takes none. But never one behind part of another. */
static bool is_end(int status, mh_str got)
{
    if (strncmp(got.ptr, calm, got.len) == 0 || inject_was_call(CALL_SENDMSG))
        return true;
    if (inject_was_storm()) /* time ran out in the middle of a refusal */
        return status == -ETIMEDOUT;
    return status == -ENOMEM ? is_whole(got, 503, true) : is_whole(got, 400, true);
}

/* 500 stands for memory that was missing in the handler, 408 for a request that took too long. */
static void check_reply(int status, mh_str got, bool with_body)
{
    keep_calm(got);
    if (status > 0)
        check(is_whole(got, status, with_body));
    if (status == 500)
        check(inject_was(ENOMEM));
    if (status == 408)
        check(inject_was_storm());
    if (status < 0)
        check(is_end(status, got));
}

/* ---- one request over a pair of sockets ---- */

static int answer_on(int connection, mh_handler *handler, bool with_body)
{
    int status;
    COUNTED(status = mh_respond(connection, handler, NULL));
    mh_str got = peer_hang_up();
    note_bytes("got", got);
    check_reply(status, got, with_body);
    return status;
}

static int respond(const struct step *steps, mh_handler *handler, bool with_body)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        abort();
    peer_call(pair[1], steps, false);
    return answer_on(pair[0], handler, with_body);
}

static void note_request(const mh_request *req)
{
    note_bytes("method", req->method);
    note_bytes("path", req->path);
    note_bytes("query", req->query);
    note_bytes("body", req->body);
    note_bytes("head", req->head);
    mh_headers_each(header, req->headers) note_bytes("value", header->value);
    mh_headers_each(trailer, req->trailers) note_bytes("trailer", trailer->value);
}

static int say_hello(mh_request *req)
{
    note_request(req);
    return mh_reply_text(req, 200, "hello\n");
}

#define GET "GET /a%20b/../c?d=e HTTP/1.1\r\nHost: h\r\nX: y\r\n\r\n"

static int respond_get(void)
{
    return respond((struct step[]){{GET, NULL}, {0}}, say_hello, true);
}

static int respond_head(void)
{
    return respond((struct step[]){{"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", NULL}, {0}}, say_hello,
                   false);
}

static int respond_absolute(void)
{
    return respond((struct step[]){{"GET http://h/p?q HTTP/1.1\r\nHost: h\r\n\r\n", NULL}, {0}},
                   say_hello, true);
}

static int respond_length(void)
{
    return respond((struct step[]){{"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n"
                                    "0123456789",
                                    NULL},
                                   {0}},
                   say_hello, true);
}

static int respond_chunked(void)
{
    return respond(
        (struct step[]){{"PUT /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                         "4\r\n0123\r\n6;ext\r\n456789\r\n0\r\nTrailer: t\r\n\r\n",
                         NULL},
                        {0}},
        say_hello, true);
}

static int respond_continue(void)
{
    return respond((struct step[]){{"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n"
                                    "Expect: 100-continue\r\n\r\n",
                                    NULL},
                                   {"body", "HTTP/1.1 100 Continue\r\n\r\n"},
                                   {0}},
                   say_hello, true);
}

static int respond_malformed(void)
{
    return respond((struct step[]){{"GET / HTTP/1.1\r\nHost : h\r\n\r\n", NULL}, {0}}, say_hello,
                   true);
}

static int respond_no_path(void)
{
    return respond((struct step[]){{"GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", NULL}, {0}}, say_hello,
                   true);
}

static int respond_too_large(void)
{
    return respond(
        (struct step[]){{"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n", NULL},
                        {0}},
        say_hello, true);
}

/* ---- the ways to reply ---- */

static int borrow(mh_request *req)
{
    static const char bytes[] = "these stay where they are\n";
    return mh_reply_borrow(req, 200, "text/plain", bytes, sizeof(bytes) - 1);
}

static int take(mh_request *req)
{
    mh_buf body = {0};
    int result = mh_buf_printf(&body, "%0*d\n", 600, 1);
    if (result == 0)
        result = mh_reply_take(req, 201, "text/plain", &body);
    check((body.data == NULL) == (result == 201) || result == -ENOMEM);
    mh_buf_free(&body);
    return result;
}

static int print(mh_request *req)
{
    return mh_reply_printf(req, 200, "text/html", "<p>%s is %d</p>\n", "it", 42);
}

/* An error from a verb does not stand: it may be called again. */
static int add_field(mh_request *req, const char *name, const char *value)
{
    int err = mh_reply_header(req, name, value);
    return err == -ENOMEM ? mh_reply_header(req, name, value) : err;
}

static int with_fields(mh_request *req)
{
    static char value[700];
    memset(value, 'v', sizeof(value) - 1);
    int err = add_field(req, "Cache-Control", "no-store");
    if (err == 0)
        err = add_field(req, "X-Long", value);
    return err < 0 ? err : 404; /* the standard page */
}

static int second_try(mh_request *req)
{
    static char bytes[2000];
    memset(bytes, 'b', sizeof(bytes));
    int result = mh_reply_copy(req, 200, "text/plain", bytes, sizeof(bytes));
    return result == -ENOMEM ? mh_reply_copy(req, 200, "text/plain", bytes, sizeof(bytes)) : result;
}

static int borrow_much(mh_request *req)
{
    static char bytes[9000];
    memset(bytes, 'b', sizeof(bytes));
    return mh_reply_borrow(req, 200, "text/plain", bytes, sizeof(bytes));
}

static int no_content(mh_request *req)
{
    (void)req;
    return 204;
}

#define RESPOND(name, handler)                                                                     \
    static int name(void)                                                                          \
    {                                                                                              \
        return respond((struct step[]){{GET, NULL}, {0}}, handler, true);                          \
    }
RESPOND(respond_borrow, borrow)
RESPOND(respond_take, take)
RESPOND(respond_printf, print)
RESPOND(respond_fields, with_fields)
RESPOND(respond_second_try, second_try)
RESPOND(respond_no_content, no_content)
RESPOND(respond_slowly, borrow_much)

/* ---- listen, accept, respond ---- */

/* Somebody who comes is there to be accepted. */
static void check_listening(int listener)
{
    if (listener < 0)
        return;
    int fd = peer_connect(listener);
    check(fd >= 0);
    if (fd >= 0)
        close(fd);
    close(listener);
    note("it listens\n");
}

static int listen_on(const char *address)
{
    int listener;
    COUNTED(listener = mh_listen(address));
    check_listening(listener);
    return listener < 0 ? listener : 0;
}

static int listen_tcp(void)
{
    return listen_on("127.0.0.1:0");
}

static int listen_name(void)
{
    return listen_on("two.test:0");
}

static int listen_ipv6(void)
{
    int result = listen_on("[::1]:0");
    return result == -EADDRNOTAVAIL && inject_calls() == 0 ? SKIP : result;
}

static int listen_any(void)
{
    return listen_on(":0");
}

static const char *socket_path(void)
{
    static char path[100];
    snprintf(path, sizeof(path), "%s/faults-%d.sock", P_tmpdir, (int)getpid());
    return path;
}

static int listen_unix(void)
{
    char address[128];
    snprintf(address, sizeof(address), "unix:%s", socket_path());
    int result = listen_on(address);
    unlink(socket_path());
    return result;
}

/* A socket file that nobody listens at any more. */
static void leave_stale(void)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    snprintf(un.sun_path, sizeof(un.sun_path), "%s", socket_path());
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unlink(un.sun_path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&un, sizeof(un)) < 0)
        abort();
    close(fd);
}

static int listen_stale(void)
{
    leave_stale();
    return listen_unix();
}

/* Somebody listens there: what is looked for is a stale file, and nothing may be left of it. */
static int listen_busy(void)
{
    char address[128];
    snprintf(address, sizeof(address), "unix:%s", socket_path());
    int first = mh_listen(address);
    int result = listen_on(address);
    check(first >= 0 && (result < 0 || inject_was(ECONNREFUSED)));
    close(first);
    unlink(socket_path());
    return result < 0 ? result : -ECONNREFUSED; /* a lie that it had to believe */
}

static int serve_at(const char *address, const struct step *steps)
{
    int listener, connection;
    COUNTED(listener = mh_listen(address));
    if (listener < 0)
        return listener;
    int peer = peer_connect(listener);
    struct sockaddr_storage from = {0};
    COUNTED(connection = mh_accept(listener, &from));
    if (connection >= 0)
        note("family %d\n", from.ss_family);
    int status = connection;
    if (connection < 0) {
        close(peer);
    } else {
        peer_call(peer, steps, true);
        status = answer_on(connection, say_hello, true);
    }
    close(listener);
    return status;
}

static int serve_tcp(void)
{
    return serve_at("127.0.0.1:0", (struct step[]){{GET, NULL}, {0}});
}

static int serve_unix(void)
{
    char address[128];
    snprintf(address, sizeof(address), "unix:%s", socket_path());
    int result = serve_at(address, (struct step[]){{GET, NULL}, {0}});
    unlink(socket_path());
    return result;
}

#define SERVER_ERRORS 408, 500

const struct scenario server_scenarios[] = {
    {.name = "respond_get", .run = respond_get, .also = {SERVER_ERRORS}},
    {.name = "respond_head", .run = respond_head, .also = {SERVER_ERRORS}},
    {.name = "respond_absolute", .run = respond_absolute, .also = {SERVER_ERRORS}},
    {.name = "respond_length", .run = respond_length, .also = {SERVER_ERRORS}},
    {.name = "respond_chunked", .run = respond_chunked, .also = {SERVER_ERRORS}},
    {.name = "respond_continue", .run = respond_continue, .also = {SERVER_ERRORS}},
    {.name = "respond_continue_slowly",
     .run = respond_continue,
     .also = {SERVER_ERRORS},
     .send_max = 10},
    {.name = "respond_malformed", .run = respond_malformed, .also = {SERVER_ERRORS}},
    {.name = "respond_no_path", .run = respond_no_path, .also = {SERVER_ERRORS}},
    {.name = "respond_too_large", .run = respond_too_large, .also = {SERVER_ERRORS}},
    {.name = "respond_borrow", .run = respond_borrow, .also = {SERVER_ERRORS}},
    {.name = "respond_take", .run = respond_take, .also = {SERVER_ERRORS}},
    {.name = "respond_printf", .run = respond_printf, .also = {SERVER_ERRORS}},
    {.name = "respond_fields", .run = respond_fields, .also = {SERVER_ERRORS}},
    {.name = "respond_second_try", .run = respond_second_try, .also = {SERVER_ERRORS}},
    {.name = "respond_no_content", .run = respond_no_content, .also = {SERVER_ERRORS}},
    {.name = "respond_slowly", .run = respond_slowly, .also = {SERVER_ERRORS}, .send_max = 700},
    {.name = "listen_tcp", .run = listen_tcp},
    {.name = "listen_name", .run = listen_name, .also = {MH_ERR_RESOLVE, -ENOMEM}},
    {.name = "listen_ipv6", .run = listen_ipv6},
    {.name = "listen_any", .run = listen_any},
    {.name = "listen_unix", .run = listen_unix, .also = {-EADDRINUSE}},
    {.name = "listen_stale", .run = listen_stale, .also = {-EADDRINUSE}},
    {.name = "listen_busy", .run = listen_busy, .also = {-EADDRINUSE}},
    {.name = "serve_tcp", .run = serve_tcp, .also = {SERVER_ERRORS}, .endless = true},
    {.name = "serve_unix", .run = serve_unix, .also = {SERVER_ERRORS}, .endless = true},
    {0},
};
