/* connect.c: from addresses to a connection, in bounded time. */
#include "net/net.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

#include "base/clock.h"

int mh__connect_outcome(int fd)
{
    int err = 0;
    socklen_t len = sizeof(err);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
        return -errno;
    return -err;
}

/* 0: connected; -EINPROGRESS: it goes on in the background. */
static int connect_fd(int fd, const struct mh__address *to)
{
    if (connect(fd, (const struct sockaddr *)&to->addr, to->len) == 0)
        return 0;
    return errno == EINTR ? -EINPROGRESS : -errno; /* interrupted, it goes on all the same */
}

int mh__connect_begin(const struct mh__address *to, bool *connected)
{
    int family = to->addr.ss_family;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int err = connect_fd(fd, to);
    if (err < 0 && err != -EINPROGRESS) {
        mh__close(fd);
        return err;
    }
    if (family != AF_UNIX)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    *connected = err == 0;
    return fd;
}

static int connect_one(const struct mh__address *to, int64_t deadline)
{
    bool connected = false;
    int fd = mh__connect_begin(to, &connected);
    if (fd < 0 || connected)
        return fd;
    int err = mh__wait(fd, POLLOUT, deadline);
    if (err >= 0)
        err = mh__connect_outcome(fd);
    if (err == 0)
        return fd;
    mh__close(fd);
    return err;
}

static int64_t share(int64_t deadline, size_t among)
{
    if (deadline == MH__NEVER)
        return MH__NEVER;
    int64_t now = mh__clock_ms();
    return deadline > now ? now + (deadline - now) / (int64_t)among : deadline;
}

/* This machine has no way to that address, which tells less than what another address said. */
static bool no_way(int err)
{
    return err == -ENETUNREACH || err == -EAFNOSUPPORT || err == -EADDRNOTAVAIL;
}

int mh__connect(const struct mh__addresses *addresses, int64_t deadline)
{
    int err = -EADDRNOTAVAIL;
    for (size_t i = 0; i < addresses->count; i++) {
        int fd = connect_one(&addresses->at[i], share(deadline, addresses->count - i));
        if (fd >= 0)
            return fd;
        if (no_way(err) || !no_way(fd))
            err = fd;
    }
    return err;
}
