/* net.h: names, connections, bytes on sockets. Knows nothing of HTTP.
 *
 * Every wait has a deadline (base/clock.h). Every descriptor is close-on-exec and not blocking.
 * EINTR and short sends are dealt with here; SIGPIPE is never raised. Errors are negated errnos or
 * MH_ERR_*; a deadline that passes is -ETIMEDOUT. */
#ifndef MH_NET_NET_H
#define MH_NET_NET_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <minihttp/base.h>

#define MH__ADDRESSES_MAX 8      /* of one name that are tried; more only make a failure slower */
#define MH__HOST_MAX 255         /* bytes in a host name (RFC 1035 section 2.3.4) */
#define MH__ADDRESS_TEXT_MAX 128 /* "unix:", the 108 bytes of sun_path, a NUL */
#define MH__BACKLOG 1024 /* connections that wait for mh__accept(); or what the kernel allows */
#define MH__ACCEPT_PASSED_MAX 1024  /* dead connections that one mh__accept() passes over */
#define MH__LISTEN_RESOLVE_MS 10000 /* a name that mh__listen() is given */
#define MH__LINGER_BYTES (4u << 20) /* thrown away after the last word; not a whole disk */

struct mh__address {
    struct sockaddr_storage addr;
    socklen_t len;
};

struct mh__addresses {
    size_t count;
    struct mh__address at[MH__ADDRESSES_MAX];
};

/* ---- address.c: nothing here makes a system call or allocates. ---- */

/* "127.0.0.1", "::1" (without brackets). false, and *out is as it was, for anything else. */
MH_CHECK bool mh__literal_address(struct mh__address *out, mh_str host, uint16_t port);

/* The address of a unix socket. -ENAMETOOLONG, -EINVAL (empty, or with a NUL in it). */
MH_CHECK int mh__unix_address(struct mh__address *out, mh_str path);

/* Take "host:port", ":port", "[::1]:port" apart; *host is empty for the second. -EINVAL. */
MH_CHECK int mh__host_port(mh_str text, mh_str *host, uint16_t *port);

/* The 4 or 16 bytes of an IP address, in *address; absent for any other family. */
mh_str mh__address_ip(const struct mh__address *address);

/* "127.0.0.1:80", "[::1]:80", "unix:/path", and "" for any other family; NUL-terminated, and cut
 * where cap (at least 2) is too small, which MH__ADDRESS_TEXT_MAX never is. */
void mh__address_text(char *out, size_t cap, const struct mh__address *address);

/* ---- resolve.c ---- */

/* Can the resolver be asked for it: not empty, not too long, no NUL in it? */
MH_CHECK bool mh__is_host_name(mh_str host);

/* A name that is asked for with getaddrinfo(), which knows no deadline; so it runs in a thread of
 * its own. */
struct mh__query {
    /* In the thread, whose last step it is: the query is the callee's from then on. */
    void (*answered)(struct mh__query *query);
    int err; /* 0, MH_ERR_RESOLVE, -ENOMEM; all this is for after answered() */
    const char *why;
    struct mh__addresses found;
    uint16_t port;
    char host[MH__HOST_MAX + 1];
};

/* The host must pass mh__is_host_name(). */
void mh__query_init(struct mh__query *query, mh_str host, uint16_t port,
                    void (*answered)(struct mh__query *query));

/* 0: answered() is called, however late; or -EAGAIN: there is no thread to be had. */
MH_CHECK int mh__query_start(struct mh__query *query);

/* Look a host up: an IPv4 or IPv6 literal at once (without a system call or an allocation), a name
 * with getaddrinfo() in a thread that is left alone when the deadline comes first. MH_ERR_RESOLVE:
 * there is no such name, or nobody could say, and then *why (which may be NULL) gets static text;
 * -ETIMEDOUT; -ENOMEM; -EAGAIN: no thread to be had. *out is as it was after an error. */
MH_CHECK int mh__resolve(struct mh__addresses *out, mh_str host, uint16_t port, int64_t deadline,
                         const char **why);

/* ---- connect.c ---- */

/* Try one address without waiting. Returns a descriptor (TCP_NODELAY set where it is TCP), which
 * becomes writable when there is an outcome, unless *connected says that it is connected already;
 * or an error. */
MH_CHECK int mh__connect_begin(const struct mh__address *to, bool *connected);
MH_CHECK int mh__connect_outcome(int fd); /* 0 or an error, which is told once */

/* Try each address in turn. What is left of the time is shared out among those that are left, so
 * that a silent first one cannot use it all. Returns a connected descriptor (TCP_NODELAY set where
 * it is TCP), or the error of the last address that could be tried from this machine. */
MH_CHECK int mh__connect(const struct mh__addresses *addresses, int64_t deadline);

/* ---- socket.c ---- */

/* For a descriptor that somebody else has made: the other calls here want it so. */
MH_CHECK int mh__set_nonblocking(int fd);
MH_CHECK int mh__set_blocking(int fd);

/* Who is at the other end. false: nobody can say, it is gone or a unix socket without a name. */
MH_CHECK bool mh__peer_name(int fd, struct sockaddr_storage *out);

/* Wait for poll()'s events. Returns what poll() found, -ETIMEDOUT, or what else poll() failed with.
 * A deadline that has passed is -ETIMEDOUT even where something is ready. */
MH_CHECK int mh__wait(int fd, short events, int64_t deadline);

/* One recv() when there is something. Returns its bytes, 0 at the end. */
MH_CHECK ssize_t mh__recv(int fd, void *buf, size_t cap, int64_t deadline);

/* Send it all; the iov is used up. idle_ms: the longest time without progress; negative: none. It
 * also ends with 0 when one of poll()'s `events` comes while it waits. What is left in the iov then
 * may be sent later. */
MH_CHECK int mh__send_until(int fd, struct iovec *iov, int count, short events, int64_t idle_ms,
                            int64_t deadline);

/* One sendfile() of at most `len` bytes of a file from offset on. Returns how many; 0: the file is
 * shorter; or an error, -EAGAIN among them. No SIGPIPE either. */
MH_CHECK ssize_t mh__send_file(int fd, int file, uint64_t offset, uint64_t len);

/* Bytes that were sent, and that the peer's side has not confirmed; 0 also where nobody can say. */
uint64_t mh__unacknowledged(int fd);

void mh__close(int fd); /* errno as it was; a close that fails has closed */

/* ---- listen.c ---- */

/* "host:port", ":port" (IPv6 and IPv4, or IPv4 where there is no IPv6), "[::1]:0", "unix:/path". A
 * listener at "[::]:port" has IPv6 alone. A socket file is replaced when nobody accepts on it. */
MH_CHECK int mh__listen(const char *address);

/* The same; where it is TCP, others may listen there too, who say so as well: the kernel shares the
 * connections out among them (SO_REUSEPORT). */
MH_CHECK int mh__listen_shared(const char *address);

/* One more of them, where that one listens. -EOPNOTSUPP: it is not shared. */
MH_CHECK int mh__listen_beside(int listener);

/* Accept a connection together with its first bytes, or after a second without any. Only where the
 * peer is the first one to speak. */
void mh__listen_for_bytes(int listener);

/* Its own address. -ENOTSOCK, -ENOBUFS. */
MH_CHECK int mh__own_address(int fd, struct mh__address *out);

/* The next connection, if one is there: -EAGAIN if not. -ECONNABORTED: one that died while it
 * waited; others may follow. MH_ERR_CLOSED after shutdown() of a TCP listener. */
MH_CHECK int mh__accept_now(int listener, struct mh__address *from);

/* Wait for a connection, without a limit. *peer may be NULL. A connection that died while it waited
 * is passed over. MH_ERR_CLOSED after shutdown(listener, SHUT_RDWR). */
MH_CHECK int mh__accept(int listener, struct sockaddr_storage *peer);

#endif
