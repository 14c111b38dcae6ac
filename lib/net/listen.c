/* listen.c: wait at an address for connections. */
#include "net/net.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"

static int bind_to(int fd, const struct mh__address *at)
{
    return bind(fd, (const struct sockaddr *)&at->addr, at->len) == 0 ? 0 : -errno;
}

/* A socket file that a process left behind: a socket, and nobody accepts on it. */
static bool is_stale(const struct mh__address *at)
{
    struct stat info;
    const struct sockaddr_un *un = (const struct sockaddr_un *)&at->addr;
    if (lstat(un->sun_path, &info) < 0 || !S_ISSOCK(info.st_mode))
        return false;
    struct mh__addresses one = {.count = 1, .at = {*at}};
    int fd = mh__connect(&one, mh__deadline_in(0));
    if (fd >= 0)
        mh__close(fd);
    return fd == -ECONNREFUSED;
}

static int bind_unix(int fd, const struct mh__address *at)
{
    int err = bind_to(fd, at);
    if (err != -EADDRINUSE || !is_stale(at))
        return err;
    if (unlink(((const struct sockaddr_un *)&at->addr)->sun_path) < 0)
        return -errno;
    return bind_to(fd, at);
}

static int set_option(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value)) == 0 ? 0 : -errno;
}

/* What becomes of a listener. */
struct manner {
    bool v6only, shared;
};

/* TCP_NODELAY is handed on to the connections that are accepted (Linux). */
static int bind_tcp(int fd, const struct mh__address *at, struct manner manner)
{
    int err = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (err == 0 && manner.shared)
        err = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (err == 0)
        err = set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (err == 0 && at->addr.ss_family == AF_INET6)
        err = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, manner.v6only);
    return err < 0 ? err : bind_to(fd, at);
}

static int listen_at(const struct mh__address *at, struct manner manner)
{
    int fd = socket(at->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int err = at->addr.ss_family == AF_UNIX ? bind_unix(fd, at) : bind_tcp(fd, at, manner);
    if (err == 0 && listen(fd, MH__BACKLOG) < 0)
        err = -errno;
    if (err == 0)
        return fd;
    mh__close(fd);
    return err;
}

static int listen_unix(mh_str path)
{
    struct mh__address at;
    int err = mh__unix_address(&at, path);
    return err < 0 ? err : listen_at(&at, (struct manner){0});
}

static int listen_literal(mh_str host, uint16_t port, struct manner manner)
{
    struct mh__address at;
    if (!mh__literal_address(&at, host, port))
        return -EINVAL;
    return listen_at(&at, manner);
}

/* IPv6 that takes IPv4 as well; IPv4 alone where the machine has no IPv6. */
static int listen_any(uint16_t port, bool shared)
{
    struct manner manner = {.shared = shared};
    int fd = listen_literal(MH_STR("::"), port, manner);
    if (fd != -EAFNOSUPPORT && fd != -EADDRNOTAVAIL)
        return fd;
    return listen_literal(MH_STR("0.0.0.0"), port, manner);
}

static int listen_host(mh_str host, uint16_t port, bool shared)
{
    struct mh__addresses found;
    int fd = mh__resolve(&found, host, port, mh__deadline_in(MH__LISTEN_RESOLVE_MS), NULL);
    if (fd < 0)
        return fd;
    fd = -EADDRNOTAVAIL;
    for (size_t i = 0; i < found.count && fd < 0; i++)
        fd = listen_at(&found.at[i], (struct manner){.v6only = true, .shared = shared});
    return fd;
}

static int listen_text(const char *address, bool shared)
{
    mh_str text = mh_str_from(address), host = {0}, scheme = MH_STR("unix:");
    uint16_t port = 0;
    if (text.len >= scheme.len && memcmp(text.ptr, scheme.ptr, scheme.len) == 0)
        return listen_unix(mh__str_from(text, scheme.len));
    int err = mh__host_port(text, &host, &port);
    if (err < 0)
        return err;
    return host.len == 0 ? listen_any(port, shared) : listen_host(host, port, shared);
}

int mh__listen(const char *address)
{
    return listen_text(address, false);
}

int mh__listen_shared(const char *address)
{
    return listen_text(address, true);
}

/* What the kernel does not know it need not do: whoever is silent is accepted a little later, or at
 * once. */
void mh__listen_for_bytes(int listener)
{
    int seconds = 1;
    (void)setsockopt(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof(seconds));
}

int mh__own_address(int fd, struct mh__address *out)
{
    *out = (struct mh__address){.len = sizeof(out->addr)};
    return getsockname(fd, (struct sockaddr *)&out->addr, &out->len) < 0 ? -errno : 0;
}

static bool has_option(int fd, int level, int name)
{
    int value = 0;
    socklen_t len = sizeof(value);
    return getsockopt(fd, level, name, &value, &len) == 0 && value != 0;
}

int mh__listen_beside(int listener)
{
    struct mh__address at;
    if (mh__own_address(listener, &at) < 0 || at.addr.ss_family == AF_UNIX ||
        !has_option(listener, SOL_SOCKET, SO_REUSEPORT))
        return -EOPNOTSUPP;
    bool v6only = at.addr.ss_family == AF_INET6 && has_option(listener, IPPROTO_IPV6, IPV6_V6ONLY);
    return listen_at(&at, (struct manner){.v6only = v6only, .shared = true});
}

/* The connection died while it waited, and its error came out of accept(): accept(2) asks to take
 * these like EAGAIN. They say nothing about the listener. */
static bool died_waiting(int err)
{
    switch (err) {
    case ECONNABORTED:
    case ENETDOWN:
    case EPROTO:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
    case EPERM: /* a firewall rule */
        return true;
    default:
        return false;
    }
}

static int accept_one(int listener, struct mh__address *from)
{
    from->len = sizeof(from->addr);
    int fd =
        accept4(listener, (struct sockaddr *)&from->addr, &from->len, SOCK_CLOEXEC | SOCK_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

int mh__accept_now(int listener, struct mh__address *from)
{
    int fd = accept_one(listener, from);
    if (fd == -EINTR)
        return -EAGAIN; /* the next wait returns at once */
    if (fd == -EINVAL)
        return MH_ERR_CLOSED;
    return died_waiting(-fd) ? -ECONNABORTED : fd;
}

/* A listener that was shut down: EINVAL from TCP; a unix socket has nothing to give, for ever; and
 * where there is no descriptor to be had, accept4() does not look. */
static bool was_shut(int err, int found)
{
    return err == -EINVAL || (err < 0 && err != -EINTR && (found & POLLHUP));
}

/* EAGAIN does not count as passed over: another thread was faster, the next wait is a real one. */
int mh__accept(int listener, struct sockaddr_storage *peer)
{
    int passed = 0;
    struct mh__address from = {.len = 0};
    if (listener < 0) /* which poll() would pass over, for ever */
        return -EBADF;
    for (;;) {
        int found = mh__wait(listener, POLLIN, MH__NEVER);
        if (found < 0)
            return found;
        int fd = accept_one(listener, &from);
        if (was_shut(fd, found))
            return MH_ERR_CLOSED;
        if (died_waiting(-fd) && passed++ == MH__ACCEPT_PASSED_MAX)
            return -ECONNABORTED;
        if (fd >= 0 && peer)
            *peer = from.addr;
        if (!died_waiting(-fd) && fd != -EAGAIN && fd != -EINTR)
            return fd;
    }
}
