/* stage.h: both ends of a talk in one thread. The client's loop is turned in small steps while the
 * test plays the server by hand: whatever it says is said at a known moment, and nothing has to
 * sleep and hope. Every wait ends after STAGE_MS. */
#ifndef TESTS_UNIT_CLIENT_STAGE_H
#define TESTS_UNIT_CLIENT_STAGE_H

#include <criterion/criterion.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <minihttp/client.h>

#include "base/clock.h"
#include "net/net.h"

#include "../descriptors.h"

#define STAGE_MS 10000

struct stage {
    mh_client *client;
    mh_loop *loop;
    int listener, before;
    int port;
    char authority[64]; /* of the listener */
    char url[80];       /* of its "/" */
};

static struct stage stage;

/* ---- a transfer, and what was seen of it ---- */

static int dones; /* of all calls */

struct call {
    mh_response res;
    int heads, bodies, done;
    int place; /* among those that are done, the first is 1 */
    int result;
    mh_phase phase; /* at the end */
};

static inline struct call *call_of(mh_response *res)
{
    return (struct call *)(void *)res;
}

static inline int call_head(mh_response *res)
{
    struct call *call = call_of(res);
    call->heads++;
    cr_assert_eq(call->done, 0);
    return 0;
}

static inline void call_done(mh_response *res)
{
    struct call *call = call_of(res);
    call->done++;
    call->place = ++dones;
    call->result = res->error < 0 ? res->error : res->status;
    call->phase = res->phase;
}

/* ---- time ---- */

static inline void stage_turn(void)
{
    cr_assert_geq(mh_loop_run(stage.loop, 0), 0);
}

/* Turn the loop until `holds` does. The step is small: it bounds nothing. */
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

static inline void stage_finish(const struct call *call)
{
    stage_until(call->done > 0);
}

/* For so long that something which is not to happen would have happened. */
static inline void stage_rest(int ms)
{
    for (int64_t end = mh__deadline_in(ms); mh__clock_ms() < end;) {
        stage_turn();
        (void)poll(NULL, 0, 1);
    }
}

/* ---- the server's side ---- */

static inline bool is_ready(int fd, short events, int ms)
{
    struct pollfd wait = {.fd = fd, .events = events};
    return poll(&wait, 1, ms) == 1;
}

/* What is open now is open in the end. The first call counts. */
static inline void stage_count(void)
{
    if (stage.before == 0)
        stage.before = open_descriptors();
}

static inline int stage_listen(const char *address, int *port)
{
    struct sockaddr_in addr;
    socklen_t len = sizeof(addr);
    stage_count();
    int fd = mh__listen(address);
    cr_assert_geq(fd, 0, "%s", address);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    *port = ntohs(addr.sin_port);
    return fd;
}

/* The next connection. */
static inline int stage_accept_at(int listener)
{
    int fd = -1;
    stage_until((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0);
    return fd;
}

static inline int stage_accept(void)
{
    return stage_accept_at(stage.listener);
}

/* A new connection, or one that is there and is used again. */
static inline int stage_accept_or(int kept)
{
    int fd = -1;
    stage_until((fd = accept4(stage.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0 ||
                is_ready(kept, POLLIN, 0));
    return fd >= 0 ? fd : kept;
}

static inline bool nobody_comes_within(int ms)
{
    stage_rest(ms);
    return !is_ready(stage.listener, POLLIN, 0);
}

static inline bool nobody_comes(void)
{
    return nobody_comes_within(20);
}

static char heard[1 << 16]; /* by the last stage_hear(), NUL behind it */
static size_t heard_len;

static inline size_t length_said(void)
{
    const char *at = strcasestr(heard, "\r\nContent-Length:");
    const char *end = strstr(heard, "\r\n\r\n");
    return at && at < end ? strtoul(at + 17, NULL, 10) : 0;
}

static inline bool is_whole(bool with_body)
{
    const char *end = strstr(heard, "\r\n\r\n");
    if (!end)
        return false;
    return !with_body || heard_len >= (size_t)(end + 4 - heard) + length_said();
}

/* Some bytes more. -1: the client has closed. */
static inline int hear_more(int fd)
{
    ssize_t len = recv(fd, heard + heard_len, sizeof(heard) - 1 - heard_len, MSG_DONTWAIT);
    if (len == 0 || (len < 0 && errno != EAGAIN))
        return -1;
    heard_len += len > 0 ? (size_t)len : 0;
    heard[heard_len] = '\0';
    return 0;
}

static inline void hear(int fd, bool with_body)
{
    heard_len = 0;
    heard[0] = '\0';
    stage_until(hear_more(fd) < 0 || is_whole(with_body));
    cr_assert(is_whole(with_body), "only this came: \"%s\"", heard);
}

/* A whole request, its body with it where Content-Length says how long. */
static inline const char *stage_hear(int fd)
{
    hear(fd, true);
    return heard;
}

static inline const char *stage_hear_head(int fd)
{
    hear(fd, false);
    return heard;
}

/* More bytes, behind those that were heard, until there are `len` in all. */
static inline void stage_hear_up_to(int fd, size_t len)
{
    stage_until(hear_more(fd) < 0 || heard_len >= len);
    cr_assert_geq(heard_len, len, "only this came: \"%s\"", heard);
}

static inline const char *heard_body(void)
{
    const char *end = strstr(heard, "\r\n\r\n");
    cr_assert(end);
    return end + 4;
}

/* Bytes of any number are taken and forgotten, until the client closes or there are so many. */
static inline size_t stage_swallow(int fd, size_t most)
{
    static char bin[1 << 16];
    size_t sum = 0;
    for (int64_t end = mh__deadline_in(STAGE_MS); sum < most;) {
        cr_assert_lt(mh__clock_ms(), end, "%zu of %zu", sum, most);
        stage_turn();
        size_t want = most - sum < sizeof(bin) ? most - sum : sizeof(bin);
        ssize_t len = recv(fd, bin, want, MSG_DONTWAIT);
        if (len == 0 || (len < 0 && errno != EAGAIN))
            break;
        if (len < 0)
            (void)is_ready(fd, POLLIN, 1);
        sum += len > 0 ? (size_t)len : 0;
    }
    return sum;
}

static inline void stage_say_bytes(int fd, mh_str text)
{
    int64_t end = mh__deadline_in(STAGE_MS);
    while (text.len > 0) {
        cr_assert_lt(mh__clock_ms(), end);
        ssize_t len = send(fd, text.ptr, text.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        cr_assert(len >= 0 || errno == EAGAIN, "%s", strerror(errno));
        if (len > 0)
            text = (mh_str){text.ptr + len, text.len - (size_t)len};
        stage_turn();
    }
}

static inline void stage_say(int fd, const char *text)
{
    stage_say_bytes(fd, mh_str_from(text));
}

/* The client has closed, and said nothing before. */
static inline void stage_expect_closed(int fd)
{
    char byte;
    ssize_t len = -1;
    stage_until((len = recv(fd, &byte, 1, MSG_DONTWAIT)) >= 0 || errno != EAGAIN);
    cr_assert_leq(len, 0, "a byte came: '%c'", byte);
    close(fd);
}

static inline bool is_open(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
}

/* The client learns of it in its next turn. */
static inline void stage_hang_up(int fd)
{
    close(fd);
    stage_rest(5);
}

static inline void stage_reset(int fd)
{
    struct linger now = {1, 0};
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    stage_hang_up(fd);
}

/* ---- from beginning to end ---- */

static inline void stage_open(const mh_client_options *options)
{
    mh_client_options plain = options ? *options : (mh_client_options){0};
    if (!plain.proxy)
        plain.proxy = "";
    stage_count();
    stage.listener = stage_listen("127.0.0.1:0", &stage.port);
    snprintf(stage.authority, sizeof(stage.authority), "127.0.0.1:%d", stage.port);
    snprintf(stage.url, sizeof(stage.url), "http://%s/", stage.authority);
    cr_assert_eq(mh_client_new(&stage.client, &plain), 0);
    cr_assert_eq(mh_loop_new(&stage.loop), 0);
}

static inline void stage_close(void)
{
    mh_loop_free(stage.loop);
    mh_client_free(stage.client);
    close(stage.listener);
    cr_assert_eq(open_descriptors(), stage.before);
    stage.before = 0;
}

static inline void stage_submit(struct call *call, mh_fetch fetch)
{
    if (!fetch.url)
        fetch.url = stage.url;
    if (!fetch.on_done)
        fetch.on_done = call_done;
    if (!fetch.on_head)
        fetch.on_head = call_head;
    call->done = call->heads = call->bodies = 0;
    cr_assert_eq(mh_client_submit(stage.client, stage.loop, &fetch, &call->res), 0, "%s",
                 call->res.detail);
}

static inline void stage_get(struct call *call)
{
    stage_submit(call, (mh_fetch){0});
}

static inline void call_free(struct call *call)
{
    mh_response_free(&call->res);
}

static inline void call_expect(const struct call *call, int result, mh_phase phase,
                               const char *detail)
{
    cr_assert_eq(call->done, 1, "%d times done", call->done);
    cr_assert_eq(call->result, result, "%s: %s", mh_errname(call->result), call->res.detail);
    cr_assert_eq(call->res.phase, phase, "%s", mh_phase_name(call->res.phase));
    if (!detail)
        cr_assert_null(call->res.detail, "%s", call->res.detail);
    else
        cr_assert_str_eq(call->res.detail, detail);
}

#define HELLO "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

/* One whole exchange over a connection that is there. */
static inline void stage_exchange(struct call *call, int fd)
{
    stage_hear(fd);
    stage_say(fd, HELLO);
    stage_finish(call);
    call_expect(call, 200, MH_PHASE_DONE, NULL);
}

#endif
