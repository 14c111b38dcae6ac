/* The public door to listening: lib/server/listen.c. What is behind it has its own test. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include <minihttp/server.h>

#include "../descriptors.h"

TestSuite(server_listen, .timeout = 30);

static struct sockaddr_storage name_of(int fd)
{
    struct sockaddr_storage name = {0};
    socklen_t len = sizeof(name);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&name, &len), 0);
    return name;
}

static int connect_to(int listener)
{
    struct sockaddr_storage to = name_of(listener);
    int fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof(struct sockaddr_in)), 0);
    return fd;
}

static int listen_somewhere(void)
{
    int listener = mh_listen("127.0.0.1:0");
    cr_assert_geq(listener, 0, "%s", mh_strerror(listener));
    return listener;
}

Test(server_listen, what_is_no_address)
{
    static const char *const wrong[] = {
        NULL, "", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "[::1", "unix:"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        cr_assert_eq(mh_listen(wrong[i]), -EINVAL, "%zu", i);
}

Test(server_listen, taken)
{
    int listener = listen_somewhere();
    struct sockaddr_storage name = name_of(listener);
    char address[32];
    snprintf(address, sizeof(address), "127.0.0.1:%u",
             ntohs(((struct sockaddr_in *)&name)->sin_port));
    cr_assert_eq(mh_listen(address), -EADDRINUSE);
    close(listener);
}

Test(server_listen, accepts)
{
    int before = open_descriptors();
    int listener = listen_somewhere();
    int client = connect_to(listener);
    struct sockaddr_storage peer, own = name_of(client);
    int connection = mh_accept(listener, &peer);
    cr_assert_geq(connection, 0);
    cr_assert_eq(((struct sockaddr_in *)&peer)->sin_port, ((struct sockaddr_in *)&own)->sin_port);
    cr_assert(fcntl(listener, F_GETFD) & FD_CLOEXEC);
    cr_assert(fcntl(connection, F_GETFD) & FD_CLOEXEC);
    cr_assert(fcntl(connection, F_GETFL) & O_NONBLOCK);
    close(connection);
    close(client);
    client = connect_to(listener);
    connection = mh_accept(listener, NULL);
    cr_assert_geq(connection, 0);
    close(connection);
    close(client);
    close(listener);
    cr_assert_eq(open_descriptors(), before);
}

static void *accept_one(void *listener)
{
    return (void *)(intptr_t)mh_accept(*(int *)listener, NULL);
}

/* Whether accept waits already or comes later makes no difference. */
Test(server_listen, shutdown_ends_the_wait)
{
    int listener = listen_somewhere();
    pthread_t thread;
    void *result;
    cr_assert_eq(pthread_create(&thread, NULL, accept_one, &listener), 0);
    cr_assert_eq(shutdown(listener, SHUT_RDWR), 0);
    cr_assert_eq(pthread_join(thread, &result), 0);
    cr_assert_eq((int)(intptr_t)result, MH_ERR_CLOSED);
    cr_assert_eq(mh_accept(listener, NULL), MH_ERR_CLOSED);
    close(listener);
}
