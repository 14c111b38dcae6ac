/* Bytes on a connection: lib/net/socket.c. */
#include <criterion/criterion.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/net.h"

#include "../descriptors.h"

TestSuite(socket, .timeout = 30);

static int64_t soon(void)
{
    return mh__deadline_in(10000);
}

static void pair(int fd[2])
{
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
}

static void close_both(int fd[2])
{
    mh__close(fd[0]);
    mh__close(fd[1]);
}

/* ---- receive ---- */

Test(socket, receives_what_is_there_and_then_the_end)
{
    int fd[2];
    char buf[16];
    pair(fd);
    cr_assert_eq(write(fd[1], "hello", 5), 5);
    cr_assert_eq(mh__recv(fd[0], buf, sizeof(buf), soon()), 5);
    cr_assert_eq(memcmp(buf, "hello", 5), 0);
    shutdown(fd[1], SHUT_WR);
    cr_assert_eq(mh__recv(fd[0], buf, sizeof(buf), soon()), 0);
    close_both(fd);
}

/* Or a peer that never stops would never be late. */
Test(socket, a_deadline_that_has_passed_is_the_end_whatever_is_there)
{
    int fd[2];
    char buf[16];
    pair(fd);
    cr_assert_eq(mh__recv(fd[0], buf, sizeof(buf), 0), -ETIMEDOUT);
    cr_assert_eq(write(fd[1], "x", 1), 1);
    cr_assert_eq(mh__recv(fd[0], buf, sizeof(buf), 0), -ETIMEDOUT);
    cr_assert_eq(mh__recv(fd[0], buf, sizeof(buf), soon()), 1);
    close_both(fd);
}

Test(socket, silence_ends_at_the_deadline_and_not_before)
{
    int fd[2];
    char buf[16];
    pair(fd);
    int64_t begin = mh__clock_ms();
    cr_assert_eq(mh__recv(fd[0], buf, sizeof(buf), mh__deadline_in(40)), -ETIMEDOUT);
    cr_assert_geq(mh__clock_ms() - begin, 40);
    close_both(fd);
}

static void on_alarm(int number)
{
    (void)number;
}

Test(socket, signals_do_not_cut_a_wait_short_or_make_it_longer)
{
    int fd[2];
    char buf[16];
    struct sigaction action = {.sa_handler = on_alarm}; /* no SA_RESTART */
    struct itimerval often = {{0, 5000}, {0, 5000}}, never = {0};
    pair(fd);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    int64_t begin = mh__clock_ms();
    cr_assert_eq(mh__recv(fd[0], buf, sizeof(buf), mh__deadline_in(60)), -ETIMEDOUT);
    int64_t took = mh__clock_ms() - begin;
    setitimer(ITIMER_REAL, &never, NULL);
    cr_assert(took >= 60 && took < 5000, "%d ms", (int)took);
    close_both(fd);
}

Test(socket, a_descriptor_that_is_none)
{
    int fd[2];
    char buf[16];
    pair(fd);
    close_both(fd);
    cr_assert_eq(mh__recv(fd[0], buf, sizeof(buf), soon()), -EBADF);
}

/* ---- send ---- */

struct reader {
    int fd;
    size_t step; /* bytes that are taken at a time */
    char *got;
    size_t len, cap;
};

static void *read_all(void *arg)
{
    struct reader *reader = arg;
    ssize_t len;
    while ((len = mh__recv(reader->fd, reader->got + reader->len,
                           reader->cap - reader->len < reader->step ? reader->cap - reader->len
                                                                    : reader->step,
                           soon())) > 0)
        reader->len += (size_t)len;
    return NULL;
}

Test(socket, sends_everything_however_little_the_peer_takes)
{
    enum { PARTS = 2000, EACH = 700 }; /* more parts than one sendmsg() takes */
    static char data[PARTS * EACH], got[PARTS * EACH + 1];
    static struct iovec iov[PARTS + 3];
    int fd[2], size = 4096, before = open_descriptors();
    pthread_t thread;
    pair(fd);
    setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char)(i * 7 + i / 251);
    iov[0] = (struct iovec){NULL, 0}; /* an empty one in front, in the middle, at the end */
    for (size_t i = 0; i < PARTS; i++)
        iov[i + 1 + (i >= 1000)] = (struct iovec){data + i * EACH, EACH};
    struct reader reader = {.fd = fd[1], .step = 5000, .got = got, .cap = sizeof(got)};
    cr_assert_eq(pthread_create(&thread, NULL, read_all, &reader), 0);
    cr_assert_eq(mh__send_until(fd[0], iov, PARTS + 3, 0, 10000, soon()), 0);
    mh__close(fd[0]);
    pthread_join(thread, NULL);
    mh__close(fd[1]);
    cr_assert_eq(reader.len, sizeof(data));
    cr_assert_eq(memcmp(got, data, sizeof(data)), 0);
    cr_assert_eq(open_descriptors(), before);
}

Test(socket, sends_nothing)
{
    int fd[2];
    struct iovec none = {NULL, 0};
    pair(fd);
    cr_assert_eq(mh__send_until(fd[0], &none, 1, 0, 0, 0), 0);
    cr_assert_eq(mh__send_until(fd[0], NULL, 0, 0, 0, 0), 0);
    close_both(fd);
}

static int send_too_much(int fd, int64_t idle_ms, int64_t deadline)
{
    static char data[8 << 20];
    struct iovec iov = {data, sizeof(data)};
    return mh__send_until(fd, &iov, 1, 0, idle_ms, deadline);
}

/* What is left in the iov is what has not gone. */
Test(socket, sends_until_something_comes)
{
    static char data[8 << 20];
    struct iovec iov[] = {{data, 10}, {data, sizeof(data)}};
    char buf[65536];
    int fd[2];
    pair(fd);
    cr_assert_eq(write(fd[1], "x", 1), 1);
    cr_assert_eq(mh__send_until(fd[0], iov, 2, POLLIN, 10000, soon()), 0);
    cr_assert_eq(iov[0].iov_len, 0);
    cr_assert_gt(iov[1].iov_len, 0);
    size_t left = iov[1].iov_len, came = 0;
    for (ssize_t len; (len = recv(fd[1], buf, sizeof(buf), 0)) > 0;)
        came += (size_t)len;
    cr_assert_eq(came, 10 + sizeof(data) - left);
    cr_assert_eq((char *)iov[1].iov_base, data + sizeof(data) - left);
    cr_assert_eq(recv(fd[0], buf, 1, 0), 1);
    cr_assert_eq(mh__send_until(fd[0], iov, 2, POLLIN, 40, soon()), -ETIMEDOUT);
    cr_assert_lt(iov[1].iov_len, left);
    close_both(fd);
}

Test(socket, a_peer_that_takes_nothing_ends_the_idle_time)
{
    int fd[2];
    pair(fd);
    int64_t begin = mh__clock_ms();
    cr_assert_eq(send_too_much(fd[0], 40, MH__NEVER), -ETIMEDOUT);
    cr_assert_geq(mh__clock_ms() - begin, 40);
    close_both(fd);
}

Test(socket, a_peer_that_takes_nothing_ends_the_time_in_all)
{
    int fd[2];
    pair(fd);
    cr_assert_eq(send_too_much(fd[0], -1, mh__deadline_in(40)), -ETIMEDOUT);
    close_both(fd);
}

struct sipper {
    int fd;
    int64_t until;
};

static void *sip(void *arg)
{
    struct sipper *sipper = arg;
    char buf[65536];
    while (mh__deadline_left(sipper->until) > 0) {
        (void)!recv(sipper->fd, buf, sizeof(buf), 0);
        poll(NULL, 0, 5);
    }
    return NULL;
}

Test(socket, a_peer_that_sips_cannot_pass_the_time_in_all)
{
    int fd[2];
    pthread_t thread;
    pair(fd);
    int64_t deadline = mh__deadline_in(80);
    struct sipper sipper = {fd[1], deadline};
    cr_assert_eq(pthread_create(&thread, NULL, sip, &sipper), 0);
    int err = 0;
    for (int i = 0; i < 10000 && err == 0; i++)
        err = send_too_much(fd[0], 10000, deadline);
    cr_assert_eq(err, -ETIMEDOUT);
    pthread_join(thread, NULL);
    close_both(fd);
}

Test(socket, a_peer_that_is_gone_is_an_error_and_no_signal)
{
    int fd[2];
    pair(fd);
    mh__close(fd[1]);
    cr_assert_eq(send_too_much(fd[0], 1000, soon()), -EPIPE);
    mh__close(fd[0]);
}

Test(socket, closing_leaves_errno)
{
    int fd[2];
    pair(fd);
    errno = E2BIG;
    mh__close(fd[0]);
    mh__close(fd[1]);
    mh__close(-1);
    cr_assert_eq(errno, E2BIG);
}

/* ---- descriptors of others ---- */

Test(socket, makes_a_descriptor_not_blocking)
{
    int fd[2];
    char byte;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    cr_assert_eq(mh__set_nonblocking(fd[0]), 0);
    cr_assert_eq(recv(fd[0], &byte, 1, 0), -1);
    cr_assert_eq(errno, EAGAIN);
    cr_assert_eq(mh__set_nonblocking(-1), -EBADF);
    close_both(fd);
}

Test(socket, names_the_peer_where_it_has_a_name)
{
    int fd[2];
    struct sockaddr_storage peer, own = {0};
    socklen_t len = sizeof(own);
    pair(fd);
    cr_assert(!mh__peer_name(fd[0], &peer), "a pair has no names");
    close_both(fd);
    cr_assert(!mh__peer_name(-1, &peer));

    int listener = mh__listen("127.0.0.1:0");
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&own, &len), 0);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(!mh__peer_name(client, &peer), "not connected");
    cr_assert_eq(connect(client, (struct sockaddr *)&own, len), 0);
    cr_assert(mh__peer_name(client, &peer));
    cr_assert_eq(memcmp(&peer, &own, len), 0);
    mh__close(client);
    mh__close(listener);
}
