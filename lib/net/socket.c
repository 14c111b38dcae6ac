/* socket.c: bytes on a connection, and its end. */
#include "net/net.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sockios.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define SEND_FILE_MAX (2u << 20) /* of one call; more than a socket's buffer takes */

static int set_flags(int fd, int on, int off)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, (flags | on) & ~off) < 0)
        return -errno;
    return 0;
}

int mh__set_nonblocking(int fd)
{
    return set_flags(fd, O_NONBLOCK, 0);
}

int mh__set_blocking(int fd)
{
    return set_flags(fd, 0, O_NONBLOCK);
}

bool mh__peer_name(int fd, struct sockaddr_storage *out)
{
    socklen_t len = sizeof(*out);
    return getpeername(fd, (struct sockaddr *)out, &len) == 0 && len > sizeof(sa_family_t);
}

int mh__wait(int fd, short events, int64_t deadline)
{
    struct pollfd wanted = {.fd = fd, .events = events};
    int left;
    /* A peer that is always ready does not put the end off: the deadline is looked at first. */
    while ((left = mh__deadline_left(deadline)) != 0) {
        int count = poll(&wanted, 1, left);
        if (count > 0)
            return wanted.revents;
        if (count < 0 && errno != EINTR)
            return -errno;
    }
    return -ETIMEDOUT;
}

ssize_t mh__recv(int fd, void *buf, size_t cap, int64_t deadline)
{
    for (;;) {
        int found = mh__wait(fd, POLLIN, deadline);
        if (found < 0)
            return found;
        ssize_t len = recv(fd, buf, cap, 0);
        if (len >= 0)
            return len;
        if (errno != EAGAIN && errno != EINTR) /* poll() may have promised too much */
            return -errno;
    }
}

/* What sendmsg() takes at a time; the rest goes with the next call. */
static size_t iov_count(int count)
{
    return (size_t)(count < IOV_MAX ? count : IOV_MAX);
}

/* Pass over what has gone, which is empty from now on, and over empty ones. */
static void advance(struct iovec **iov, int *count, size_t sent)
{
    while (*count > 0 && sent >= (*iov)->iov_len) {
        sent -= (*iov)->iov_len;
        (*iov)->iov_len = 0;
        (*iov)++;
        (*count)--;
    }
    if (*count > 0) {
        (*iov)->iov_base = (char *)(*iov)->iov_base + sent;
        (*iov)->iov_len -= sent;
    }
}

/* Bytes that went at once, 0 when there is no room. */
static ssize_t send_some(int fd, struct iovec *iov, int count)
{
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = iov_count(count)};
    ssize_t sent = sendmsg(fd, &msg, MSG_NOSIGNAL);
    if (sent >= 0)
        return sent;
    return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

int mh__send_until(int fd, struct iovec *iov, int count, short events, int64_t idle_ms,
                   int64_t deadline)
{
    int64_t limit = mh__deadline_min(deadline, mh__deadline_in(idle_ms));
    advance(&iov, &count, 0);
    while (count > 0) {
        ssize_t sent = send_some(fd, iov, count);
        if (sent < 0)
            return (int)sent;
        advance(&iov, &count, (size_t)sent);
        if (count == 0)
            break;
        if (sent > 0)
            limit = mh__deadline_min(deadline, mh__deadline_in(idle_ms));
        int found = mh__wait(fd, (short)(POLLOUT | events), limit);
        if (found < 0)
            return found;
        if (found & events)
            break;
    }
    return 0;
}

void mh__close(int fd)
{
    int before = errno;
    (void)close(fd);
    errno = before;
}

uint64_t mh__unacknowledged(int fd)
{
    int bytes = 0;
    return ioctl(fd, SIOCOUTQ, &bytes) == 0 && bytes > 0 ? (uint64_t)bytes : 0;
}

static sigset_t only_sigpipe(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    return set;
}

/* Take the signal back that sendfile() has raised, which is this thread's and waits. */
static void take_sigpipe(const sigset_t *set)
{
    struct timespec now = {0, 0};
    while (sigtimedwait(set, NULL, &now) < 0 && errno == EINTR)
        ;
}

static bool is_waiting(int signal)
{
    sigset_t waiting;
    return sigpending(&waiting) == 0 && sigismember(&waiting, signal) == 1;
}

/* sendfile() knows no MSG_NOSIGNAL, and raises the signal also where it has sent some. Who has it
 * blocked or waiting already keeps it. */
ssize_t mh__send_file(int fd, int file, uint64_t offset, uint64_t len)
{
    sigset_t set = only_sigpipe(), before;
    off_t at = (off_t)offset;
    size_t most = len < SEND_FILE_MAX ? (size_t)len : SEND_FILE_MAX;
    if (pthread_sigmask(SIG_BLOCK, &set, &before) != 0)
        return -EINVAL;
    ssize_t sent = sendfile(fd, file, &at, most);
    int err = sent < 0 ? -errno : 0;
    bool whole = sent >= 0 && (size_t)sent == most;
    if (!whole && err != -EAGAIN && sigismember(&before, SIGPIPE) == 0 && is_waiting(SIGPIPE))
        take_sigpipe(&set);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return err < 0 ? err : sent;
}
