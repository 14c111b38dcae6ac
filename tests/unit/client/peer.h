/* peer.h: a server in a thread that takes one request, sends what the test wrote down for it, and
 * goes. Its waits are bounded, so that a test that fails does not hang. */
#ifndef TESTS_UNIT_CLIENT_PEER_H
#define TESTS_UNIT_CLIENT_PEER_H

#include <criterion/criterion.h>

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <minihttp/base.h>

#include "base/clock.h"
#include "net/net.h"

#include "../descriptors.h"

enum peer_end {
    PEER_CLOSES,
    PEER_WAITS,   /* until the client closes */
    PEER_RESETS,  /* after the client's request */
    PEER_IS_RUDE, /* closes without reading the request */
    PEER_REPEATS, /* sends again and again, until the client closes */
    PEER_STOPS,   /* neither sends nor reads nor closes, until the test is over */
    PEER_ECHOES   /* sends the request's body back while it reads it */
};

struct peer {
    mh_str script;
    enum peer_end end;
    size_t piece;       /* bytes that are sent at a time; 0: all at once */
    size_t wanted_body; /* of the request */
    char request[1 << 17];
    size_t len;
    int listener, before;
    char url[128]; /* of "/" */
    pthread_t thread;
};

static inline int64_t peer_limit(void)
{
    return mh__deadline_in(10000);
}

static inline void peer_receive(struct peer *peer, int fd)
{
    for (;;) {
        const char *end = memmem(peer->request, peer->len, "\r\n\r\n", 4);
        if (end && peer->len >= (size_t)(end - peer->request) + 4 + peer->wanted_body)
            return;
        ssize_t len = mh__recv(fd, peer->request + peer->len, sizeof(peer->request) - peer->len,
                               peer_limit());
        if (len <= 0)
            return;
        peer->len += (size_t)len;
    }
}

static inline int peer_send(const struct peer *peer, int fd)
{
    size_t piece = peer->piece ? peer->piece : peer->script.len;
    int err = 0;
    for (size_t at = 0; at < peer->script.len && err == 0; at += piece) {
        size_t len = peer->script.len - at < piece ? peer->script.len - at : piece;
        struct iovec iov = {(void *)(uintptr_t)(peer->script.ptr + at), len};
        err = mh__send_until(fd, &iov, 1, 0, 10000, peer_limit());
    }
    return err;
}

static inline void peer_wait(int fd)
{
    char buf[64];
    while (mh__recv(fd, buf, sizeof(buf), peer_limit()) > 0)
        ;
}

/* What was read with the head goes first. */
static inline void peer_echo(struct peer *peer, int fd)
{
    const char *body = (char *)memmem(peer->request, peer->len, "\r\n\r\n", 4) + 4;
    struct iovec iov = {(void *)(uintptr_t)body, peer->len - (size_t)(body - peer->request)};
    ssize_t len = 1;
    while (len > 0 && mh__send_until(fd, &iov, 1, 0, 10000, peer_limit()) == 0) {
        len = mh__recv(fd, peer->request, sizeof(peer->request), peer_limit());
        iov = (struct iovec){peer->request, (size_t)len};
    }
}

static inline void peer_reset(int fd)
{
    struct linger now = {1, 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

static inline void peer_talk(struct peer *peer, int fd)
{
    if (peer->end != PEER_IS_RUDE)
        peer_receive(peer, fd);
    int err = peer_send(peer, fd);
    for (int i = 0; i < 1000000 && err == 0 && peer->end == PEER_REPEATS; i++)
        err = peer_send(peer, fd);
    if (peer->end == PEER_WAITS)
        peer_wait(fd);
    if (peer->end == PEER_RESETS)
        peer_reset(fd);
    if (peer->end == PEER_STOPS)
        (void)!mh__wait(peer->listener, POLLIN, peer_limit());
    if (peer->end == PEER_ECHOES)
        peer_echo(peer, fd);
}

static inline void *peer_run(void *arg)
{
    struct peer *peer = arg;
    if (mh__wait(peer->listener, POLLIN, peer_limit()) < 0)
        return NULL;
    int fd = mh__accept(peer->listener, NULL);
    if (fd < 0)
        return NULL;
    peer_talk(peer, fd);
    mh__close(fd);
    return NULL;
}

static inline void peer_start(struct peer *peer)
{
    struct sockaddr_in addr;
    socklen_t len = sizeof(addr);
    peer->before = open_descriptors();
    peer->listener = mh__listen("127.0.0.1:0");
    cr_assert_geq(peer->listener, 0);
    cr_assert_eq(getsockname(peer->listener, (struct sockaddr *)&addr, &len), 0);
    snprintf(peer->url, sizeof(peer->url), "http://127.0.0.1:%d/", ntohs(addr.sin_port));
    cr_assert_eq(pthread_create(&peer->thread, NULL, peer_run, peer), 0);
}

/* A new peer, which lives until peer_stop(). */
static inline struct peer *peer_new(mh_str script, enum peer_end end)
{
    struct peer *peer = calloc(1, sizeof(*peer));
    cr_assert(peer);
    peer->script = script;
    peer->end = end;
    peer_start(peer);
    return peer;
}

/* Nobody will come any more; and what was open before is open now, and nothing else. */
static inline void peer_join(struct peer *peer)
{
    shutdown(peer->listener, SHUT_RDWR);
    pthread_join(peer->thread, NULL);
    mh__close(peer->listener);
    cr_assert_eq(open_descriptors(), peer->before);
}

static inline void peer_stop(struct peer *peer)
{
    peer_join(peer);
    free(peer);
}

/* A port that is taken, and where nobody listens. */
static inline int peer_deaf(char *url, size_t size)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    snprintf(url, size, "http://127.0.0.1:%d/", ntohs(addr.sin_port));
    return fd;
}

#endif
