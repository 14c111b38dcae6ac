/* Waiting for connections: lib/net/listen.c. accept4() is this file's own, so that it can fail in
 * the ways that a test cannot bring about. */
#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/net.h"

#include "../descriptors.h"

static int fail_with, fail_times, accepts;

/* Under another name here, because glibc's own declaration has a type that no one can write. */
int fake_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags) __asm__("accept4");

int fake_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
    accepts++;
    if (fail_times != 0) {
        fail_times -= fail_times > 0;
        errno = fail_with;
        return -1;
    }
    return (int)syscall(SYS_accept4, fd, addr, len, flags);
}

static char folder[] = "/tmp/minihttp-listen-XXXXXX";
static char path[64], unix_address[80];

static void setup(void)
{
    cr_assert(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/socket", folder);
    snprintf(unix_address, sizeof(unix_address), "unix:%s", path);
}

static void teardown(void)
{
    unlink(path);
    rmdir(folder);
}

TestSuite(listen, .init = setup, .fini = teardown, .timeout = 30);

static int64_t soon(void)
{
    return mh__deadline_in(10000);
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage addr = {0};
    socklen_t len = sizeof(addr);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    return ntohs(addr.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&addr)->sin6_port
                                            : ((struct sockaddr_in *)&addr)->sin_port);
}

static int connect_to(const char *host, uint16_t port)
{
    struct mh__addresses to;
    cr_assert_eq(mh__resolve(&to, mh_str_from(host), port, soon(), NULL), 0);
    return mh__connect(&to, soon());
}

static int connect_unix(void)
{
    struct mh__addresses to = {.count = 1};
    cr_assert_eq(mh__unix_address(&to.at[0], mh_str_from(path)), 0);
    return mh__connect(&to, soon());
}

/* A connection through the listener, which is closed afterwards. */
static void meet(int listener, int client, int family)
{
    struct sockaddr_storage peer;
    cr_assert_geq(client, 0, "%s", mh_strerror(client));
    int fd = mh__accept(listener, &peer);
    cr_assert_geq(fd, 0, "%s", mh_strerror(fd));
    cr_assert_eq(peer.ss_family, family);
    cr_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
    cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    mh__close(fd);
    mh__close(client);
    mh__close(listener);
}

static bool has_ipv6(void)
{
    int fd = mh__listen("[::1]:0");
    if (fd >= 0)
        mh__close(fd);
    return fd >= 0;
}

Test(listen, ipv4)
{
    int before = open_descriptors(), value = 0;
    socklen_t len = sizeof(value);
    int listener = mh__listen("127.0.0.1:0");
    cr_assert_geq(listener, 0);
    cr_assert(fcntl(listener, F_GETFL) & O_NONBLOCK);
    cr_assert(fcntl(listener, F_GETFD) & FD_CLOEXEC);
    cr_assert_eq(getsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &value, &len), 0);
    cr_assert_neq(value, 0);
    meet(listener, connect_to("127.0.0.1", port_of(listener)), AF_INET);
    cr_assert_eq(open_descriptors(), before);
}

Test(listen, ipv6)
{
    int listener = mh__listen("[::1]:0");
    if (listener == -EAFNOSUPPORT || listener == -EADDRNOTAVAIL)
        cr_skip("no IPv6 here");
    meet(listener, connect_to("::1", port_of(listener)), AF_INET6);
}

Test(listen, a_name)
{
    int listener = mh__listen("localhost:0");
    cr_assert_geq(listener, 0);
    mh__close(listener);
}

Test(listen, every_address_takes_ipv4)
{
    int listener = mh__listen(":0");
    cr_assert_geq(listener, 0);
    meet(listener, connect_to("127.0.0.1", port_of(listener)), has_ipv6() ? AF_INET6 : AF_INET);
}

Test(listen, every_address_takes_ipv6)
{
    if (!has_ipv6())
        cr_skip("no IPv6 here");
    int listener = mh__listen(":0");
    meet(listener, connect_to("::1", port_of(listener)), AF_INET6);
}

Test(listen, all_of_ipv6_is_ipv6_alone)
{
    char text[32];
    if (!has_ipv6())
        cr_skip("no IPv6 here");
    int listener = mh__listen("[::]:0");
    snprintf(text, sizeof(text), "0.0.0.0:%d", port_of(listener));
    int other = mh__listen(text);
    cr_assert_geq(other, 0, "%s", mh_strerror(other));
    mh__close(other);
    mh__close(listener);
}

Test(listen, a_port_that_is_taken)
{
    char text[32];
    int listener = mh__listen("127.0.0.1:0");
    snprintf(text, sizeof(text), "127.0.0.1:%d", port_of(listener));
    int before = open_descriptors();
    cr_assert_eq(mh__listen(text), -EADDRINUSE);
    cr_assert_eq(open_descriptors(), before);
    mh__close(listener);
}

Test(listen, an_address_of_another_machine)
{
    cr_assert_eq(mh__listen("192.0.2.1:0"), -EADDRNOTAVAIL);
}

Test(listen, what_is_no_address)
{
    static const char *const bad[] = {"",          "80",     "localhost", "::1:80",
                                      "[host]:80", ":65536", "unix:"};
    int before = open_descriptors();
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_eq(mh__listen(bad[i]), -EINVAL, "%s", bad[i]);
    cr_assert_eq(mh__listen(NULL), -EINVAL);
    cr_assert_eq(open_descriptors(), before);
}

/* ---- unix sockets ---- */

Test(listen, unix_socket)
{
    int before = open_descriptors();
    int listener = mh__listen(unix_address);
    cr_assert_geq(listener, 0);
    meet(listener, connect_unix(), AF_UNIX);
    cr_assert_eq(open_descriptors(), before);
}

Test(listen, a_stale_socket_file_is_replaced)
{
    mh__close(mh__listen(unix_address));
    cr_assert_eq(access(path, F_OK), 0);
    int listener = mh__listen(unix_address);
    cr_assert_geq(listener, 0, "%s", mh_strerror(listener));
    meet(listener, connect_unix(), AF_UNIX);
}

Test(listen, a_socket_file_in_use_is_not_touched)
{
    int listener = mh__listen(unix_address), before = open_descriptors();
    cr_assert_eq(mh__listen(unix_address), -EADDRINUSE);
    cr_assert_eq(open_descriptors(), before);
    int probe = mh__accept(listener, NULL); /* the second one looked whether anybody is there */
    cr_assert_geq(probe, 0);
    mh__close(probe);
    meet(listener, connect_unix(), AF_UNIX);
}

Test(listen, a_file_that_is_no_socket_is_not_touched)
{
    struct stat info;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    cr_assert_eq(write(fd, "precious", 8), 8);
    close(fd);
    cr_assert_eq(mh__listen(unix_address), -EADDRINUSE);
    cr_assert_eq(stat(path, &info), 0);
    cr_assert_eq(info.st_size, 8);
}

Test(listen, a_symbolic_link_is_not_followed)
{
    char target[80];
    snprintf(target, sizeof(target), "%s/target", folder);
    cr_assert_eq(symlink(target, path), 0);
    cr_assert_eq(mh__listen(unix_address), -EADDRINUSE);
    cr_assert_neq(access(target, F_OK), 0);
}

Test(listen, a_path_that_cannot_be)
{
    char text[256] = "unix:/";
    cr_assert_eq(mh__listen("unix:/nonexistent/folder/socket"), -ENOENT);
    memset(text + 6, 'a', 200);
    cr_assert_eq(mh__listen(text), -ENAMETOOLONG);
}

/* ---- accept ---- */

static void *shut(void *listener)
{
    shutdown(*(int *)listener, SHUT_RDWR);
    return NULL;
}

static void shut_while_waiting(int listener)
{
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, shut, &listener), 0);
    cr_assert_eq(mh__accept(listener, NULL), MH_ERR_CLOSED);
    pthread_join(thread, NULL);
    cr_assert_eq(mh__accept(listener, NULL), MH_ERR_CLOSED, "and it stays so");
    mh__close(listener);
}

Test(listen, shutdown_ends_the_wait)
{
    shut_while_waiting(mh__listen("127.0.0.1:0"));
    shut_while_waiting(mh__listen(":0"));
}

Test(listen, shutdown_ends_the_wait_on_a_unix_socket)
{
    shut_while_waiting(mh__listen(unix_address));
}

Test(listen, dead_connections_are_passed_over)
{
    static const int errors[] = {ECONNABORTED, ENETDOWN, EPROTO,       ENOPROTOOPT,
                                 EHOSTDOWN,    ENONET,   EHOSTUNREACH, EOPNOTSUPP,
                                 ENETUNREACH,  EPERM,    EAGAIN,       EINTR};
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        int listener = mh__listen("127.0.0.1:0");
        accepts = 0;
        fail_with = errors[i];
        fail_times = 3;
        meet(listener, connect_to("127.0.0.1", port_of(listener)), AF_INET);
        cr_assert_eq(accepts, 4, "%s", strerror(errors[i]));
    }
}

Test(listen, not_for_ever)
{
    int listener = mh__listen("127.0.0.1:0");
    int client = connect_to("127.0.0.1", port_of(listener));
    fail_with = EPROTO;
    fail_times = -1;
    cr_assert_eq(mh__accept(listener, NULL), -ECONNABORTED);
    cr_assert_eq(accepts, MH__ACCEPT_PASSED_MAX + 1);
    mh__close(client);
    mh__close(listener);
}

Test(listen, a_full_machine_is_told)
{
    static const int errors[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM};
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        int listener = mh__listen("127.0.0.1:0");
        int client = connect_to("127.0.0.1", port_of(listener));
        fail_with = errors[i];
        fail_times = 1;
        cr_assert_eq(mh__accept(listener, NULL), -errors[i]);
        meet(listener, client, AF_INET);
    }
}

Test(listen, the_peer_is_as_it_was_after_an_error)
{
    struct sockaddr_storage peer = {.ss_family = 77};
    int listener = mh__listen("127.0.0.1:0");
    shutdown(listener, SHUT_RDWR);
    cr_assert_eq(mh__accept(listener, &peer), MH_ERR_CLOSED);
    cr_assert_eq(peer.ss_family, 77);
    mh__close(listener);
}

Test(listen, no_listener_at_all)
{
    cr_assert_eq(mh__accept(-1, NULL), -EBADF);
    cr_assert_eq(mh__accept(-EADDRINUSE, NULL), -EBADF, "what mh_listen() returned, unchecked");
}
