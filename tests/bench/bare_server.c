/* bare_server.c: what the kernel alone takes for a request. Accepts, receives, sends; parses
 * nothing.
 *
 *   bare_server REPLY [close]       prints its port, and goes on until it is killed
 *
 * REPLY is a file with the bytes of one reply. The first request that comes says how long requests
 * are; all others have to be of the same length. With "close", a connection ends after one reply.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define AT_ONCE 64 /* replies that one send takes */
#define FD_MAX 65536

static char replies[AT_ONCE * 1024];
static size_t reply_len, request_len;
static size_t pending[FD_MAX]; /* bytes of a request that has not come whole, by descriptor */
static bool closing;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void read_reply(const char *name)
{
    int fd = open(name, O_RDONLY);
    ssize_t len = fd < 0 ? -1 : read(fd, replies, sizeof(replies) / AT_ONCE);
    if (len <= 0)
        fail(name);
    close(fd);
    reply_len = (size_t)len;
    for (size_t i = 1; i < AT_ONCE; i++)
        memcpy(replies + i * reply_len, replies, reply_len);
}

static int listen_on_loopback(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), seconds = 1;
    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof(seconds)) < 0 ||
        bind(fd, (struct sockaddr *)&address, len) < 0 || listen(fd, 4096) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) < 0)
        fail("listen");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static void watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        fail("epoll_ctl");
}

/* False: the peer is gone. */
static bool send_replies(int fd, size_t count)
{
    for (size_t now; count > 0; count -= now) {
        now = count < AT_ONCE ? count : AT_ONCE;
        if (send(fd, replies, now * reply_len, MSG_NOSIGNAL) != (ssize_t)(now * reply_len))
            return false;
    }
    return true;
}

static void learn_length(const char *buf, size_t len)
{
    const char *end = memmem(buf, len, "\r\n\r\n", 4);
    if (end)
        request_len = (size_t)(end - buf) + 4;
}

/* False: the connection is done with. */
static bool answer(int fd)
{
    static char buf[32768];
    ssize_t got = recv(fd, buf, sizeof(buf), 0);
    if (got <= 0)
        return got < 0 && errno == EAGAIN;
    if (request_len == 0)
        learn_length(buf, (size_t)got);
    if (request_len == 0)
        return false;
    size_t have = pending[fd] + (size_t)got;
    pending[fd] = have % request_len;
    return send_replies(fd, have / request_len) && !closing;
}

/* False: there is none. It was accepted because a request is there, so it is not waited for one. */
static bool take_connection(int epoll, int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return false;
    if (fd >= FD_MAX)
        fail("too many connections");
    pending[fd] = 0;
    if (answer(fd))
        watch(epoll, fd);
    else
        close(fd);
    return true;
}

static void take_connections(int epoll, int listener)
{
    for (int i = 0; i < AT_ONCE && take_connection(epoll, listener); i++)
        continue;
}

static void serve(int epoll, int listener)
{
    struct epoll_event events[256];
    for (;;) {
        int count = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener)
                take_connections(epoll, listener);
            else if (!answer(events[i].data.fd))
                close(events[i].data.fd);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    closing = argc > 2;
    read_reply(argv[1]);
    int listener = listen_on_loopback(), epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(epoll, listener);
    serve(epoll, listener);
}
