/* stage.h: both ends of a talk in one thread. The server is attached to the test's loop, which is
 * turned in small steps while the test plays the clients by hand. Every wait ends after STAGE_MS.
 */
#ifndef TESTS_UNIT_SERVER_STAGE_H
#define TESTS_UNIT_SERVER_STAGE_H

#include <criterion/criterion.h>

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "net/net.h"
#include "server/server.h"

#include "../descriptors.h"
#include "sent.h"

#define STAGE_MS 10000
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct stage {
    mh_server *server;
    mh_loop *loop;
    int before;
    int accesses, errors, ends;
    int status; /* as of the last on_access ... */
    uint64_t sent;
    int64_t took_us;
    char method[16];
    int err; /* ... and the last on_error */
    char why[200];
    bool peer_known;
};

static struct stage stage;

/* ---- what the server reports ---- */

static inline void note_access(const mh_request *req, int status, uint64_t sent, int64_t took_us)
{
    stage.accesses++;
    stage.status = status;
    stage.sent = sent;
    stage.took_us = took_us;
    snprintf(stage.method, sizeof(stage.method), MH_FMT, MH_ARG(req->method));
}

static inline void note_failure(void *user, const struct sockaddr *peer, int err, const char *why)
{
    (void)user;
    stage.errors++;
    stage.err = err;
    stage.peer_known = peer != NULL;
    snprintf(stage.why, sizeof(stage.why), "%s", why);
}

static inline void note_end(mh_request *req)
{
    (void)req;
    stage.ends++;
}

static inline void expect_error(int err, const char *why)
{
    cr_assert_eq(stage.errors, 1, "%d, %s", stage.errors, stage.why);
    cr_assert_eq(stage.err, err, "%s: %s", mh_errname(stage.err), stage.why);
    cr_assert_str_eq(stage.why, why);
}

/* ---- time ---- */

static inline void stage_turn(void)
{
    cr_assert_geq(mh_loop_run(stage.loop, 0), 0);
}

#define stage_until(holds)                                                                         \
    do {                                                                                           \
        int64_t stage_end = mh__deadline_in(STAGE_MS);                                             \
        stage_turn();                                                                              \
        while (!(holds)) {                                                                         \
            cr_assert_lt(mh__clock_ms(), stage_end, "never: %s", #holds);                          \
            cr_assert_geq(mh_loop_run(stage.loop, 1), 0);                                          \
            (void)poll(NULL, 0, 1);                                                                \
        }                                                                                          \
    } while (0)

/* For so long that something which is not to happen would have happened. */
static inline void stage_rest(int ms)
{
    for (int64_t end = mh__deadline_in(ms); mh__clock_ms() < end;) {
        stage_turn();
        (void)poll(NULL, 0, 1);
    }
}

/* ---- from beginning to end ---- */

static inline void stage_open(mh_server_options options)
{
    stage = (struct stage){.before = open_descriptors() - (options.listener > 0)};
    if (options.listener == 0)
        options.address = "127.0.0.1:0";
    options.threads = 1;
    options.on_access = note_access;
    options.on_error = note_failure;
    cr_assert_eq(mh_loop_new(&stage.loop), 0);
    cr_assert_eq(mh_server_new(&stage.server, &options), 0);
    cr_assert_eq(mh_server_attach(stage.server, stage.loop), 0);
}

static inline void stage_close(void)
{
    mh_server_free(stage.server);
    mh_loop_free(stage.loop);
    cr_assert_eq(open_descriptors(), stage.before);
}

/* ---- a client ---- */

/* receive_size: of its socket's buffer; 0: as it is. */
static inline int stage_connect_with(int receive_size)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(mh_server_port(stage.server)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_size > 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_size, sizeof(receive_size));
    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0, "%s", strerror(errno));
    return fd;
}

static inline int stage_connect(void)
{
    int fd = stage_connect_with(0);
    stage_rest(3);
    return fd;
}

static inline void say_bytes(int fd, mh_str text)
{
    int64_t end = mh__deadline_in(STAGE_MS);
    while (text.len > 0) {
        cr_assert_lt(mh__clock_ms(), end);
        ssize_t len = send(fd, text.ptr, text.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (len < 0 && errno != EAGAIN)
            return; /* the server has closed, which the test will see */
        if (len > 0)
            text = (mh_str){text.ptr + len, text.len - (size_t)len};
        stage_turn();
    }
}

static inline void say(int fd, const char *text)
{
    say_bytes(fd, mh_str_from(text));
}

static inline int say_once(const char *text)
{
    int fd = stage_connect();
    say(fd, text);
    return fd;
}

static mh_buf heard; /* by the last call below */
static bool heard_end;

static inline void hear_more(int fd)
{
    cr_assert_eq(mh_buf_reserve(&heard, 1u << 16), 0);
    ssize_t len = recv(fd, heard.data + heard.len, 1u << 16, MSG_DONTWAIT);
    if (len > 0)
        heard.len += (size_t)len;
    heard.data[heard.len] = '\0';
    heard_end = len == 0 || (len < 0 && errno != EAGAIN);
}

static inline void hear_nothing_yet(void)
{
    mh_buf_clear(&heard);
    heard_end = false;
}

/* Until as much as `expected` is there, which it must be, but for the time of day. */
static inline void hear(int fd, const char *expected)
{
    size_t dates = 0;
    for (const char *at = expected; (at = strstr(at, SENT_DATE)); at++)
        dates++;
    size_t len = strlen(expected) + dates * (MH_DATE_LEN - strlen("now"));
    hear_nothing_yet();
    stage_until((hear_more(fd), heard_end || heard.len >= len));
    check_sent(&heard, expected, "heard");
}

/* The same, and then the server closes. */
static inline void hear_last(int fd, const char *expected)
{
    hear(fd, expected);
    hear_nothing_yet();
    stage_until((hear_more(fd), heard_end));
    cr_assert_eq(heard.len, 0, "behind it came %s", heard.data);
    close(fd);
}

/* All that comes, up to the end. */
static inline void hear_all(int fd)
{
    hear_nothing_yet();
    stage_until((hear_more(fd), heard_end));
    close(fd);
}

static inline bool is_silent(int fd)
{
    char byte;
    stage_rest(20);
    return recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
}

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define PLAIN "Content-Type: text/plain; charset=utf-8\r\n"
#define OK "HTTP/1.1 200 OK\r\n" SENT_DATE
#define CLOSE "Connection: close\r\n"

#endif
