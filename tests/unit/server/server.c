/* The server as a whole: lib/server/server.c. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "server/server.h"

#include "../descriptors.h"
#include "../scarce.h"
#include "sent.h"

TestSuite(server, .timeout = 60);

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ADDRESS "127.0.0.1:0"

static pthread_t served_by[100];
static atomic_int served;

static int hello(mh_request *req)
{
    served_by[atomic_fetch_add(&served, 1) % 100] = pthread_self();
    return mh_reply_text(req, 200, "hello");
}

static mh_server *server;

static int make(mh_server_options options)
{
    return mh_server_new(&server, &options);
}

/* ---- options ---- */

Test(server, options_that_are_refused)
{
    int before = open_descriptors();
    int listener = mh_listen(ADDRESS);
    const mh_server_options refused[] = {
        {.address = ADDRESS},
        {.handler = hello},
        {.handler = hello, .address = ADDRESS, .listener = listener},
        {.handler = hello, .listener = -1},
        {.handler = hello, .address = ADDRESS, .threads = -1},
        {.handler = hello, .address = ADDRESS, .threads = MH_SERVER_THREADS_MAX + 1},
        {.handler = hello, .address = ADDRESS, .connections_max = -1},
        {.handler = hello, .address = ADDRESS, .key_file = "key.pem"},
        {.handler = hello, .address = ADDRESS, .reserved = {[7] = 1}},
        {.handler = hello, .address = ADDRESS, .tls_timeout_ms = -2},
        {.handler = hello, .address = ADDRESS, .head_timeout_ms = -2},
        {.handler = hello, .address = ADDRESS, .body_timeout_ms = -2},
        {.handler = hello, .address = ADDRESS, .send_timeout_ms = -2},
        {.handler = hello, .address = ADDRESS, .idle_timeout_ms = -2},
        {.handler = hello, .address = ADDRESS, .stop_timeout_ms = -2},
        {.handler = hello, .address = ADDRESS, .rate_min = -2},
        {.handler = hello, .address = ""},
        {.handler = hello, .address = "nonsense"},
        {.handler = hello, .address = "127.0.0.1:70000"},
    };
    for (size_t i = 0; i < COUNT(refused); i++) {
        server = (mh_server *)&server;
        cr_assert_eq(make(refused[i]), -EINVAL, "%zu", i);
        cr_assert_null(server);
    }
    cr_assert_eq(mh_server_new(&server, NULL), -EINVAL);
    cr_assert_eq(close(listener), 0);
    cr_assert_eq(open_descriptors(), before);
}

Test(server, null_is_fine)
{
    mh_server_free(NULL);
    mh_server_stop(NULL);
}

Test(server, ports)
{
    mh_server *first;
    char address[40];
    cr_assert_eq(make((mh_server_options){.handler = hello, .address = ADDRESS}), 0);
    first = server;
    uint16_t port = mh_server_port(first);
    cr_assert_gt(port, 0);
    snprintf(address, sizeof(address), "127.0.0.1:%u", port);
    cr_assert_eq(make((mh_server_options){.handler = hello, .address = address, .threads = 1}),
                 -EADDRINUSE);
    cr_assert_eq(make((mh_server_options){.handler = hello, .address = address, .threads = 2}),
                 -EADDRINUSE);
    mh_server_free(first);
    cr_assert_eq(make((mh_server_options){.handler = hello, .address = address}), 0);
    cr_assert_eq(mh_server_port(server), port);
    mh_server_free(server);
}

Test(server, without_memory)
{
    int before = open_descriptors(), err = -ENOMEM, n = 0;
    for (; err == -ENOMEM && n < 20; n++) {
        allocations_left = n;
        err = make((mh_server_options){.handler = hello, .address = ADDRESS, .threads = 2});
        allocations_left = -1;
    }
    cr_assert(err == 0 && n > 2, "%d with %d", err, n);
    mh_server_free(server);
    cr_assert_eq(open_descriptors(), before);
}

/* ---- TLS ---- */

static int tls_errors;

static void count_errors(void *user, const struct sockaddr *peer, int err, const char *why)
{
    cr_assert(user == &tls_errors && !peer && err < 0 && why[0]);
    tls_errors++;
}

static int make_with_cert(const char *cert, const char *key)
{
    return make((mh_server_options){.handler = hello,
                                    .address = ADDRESS,
                                    .user = &tls_errors,
                                    .cert_file = cert,
                                    .key_file = key,
                                    .on_error = count_errors});
}

static bool has_tls(void)
{
    return make_with_cert("/nonexistent", NULL) != MH_ERR_SCHEME;
}

Test(server, certificates_that_are_none)
{
    int before = open_descriptors();
    int without = has_tls() ? 0 : MH_ERR_SCHEME;
    tls_errors = 0;
    cr_assert_eq(make_with_cert("/nonexistent", NULL), without ? without : -ENOENT);
    cr_assert_eq(make_with_cert("/dev/null", NULL), without ? without : MH_ERR_TLS);
    cr_assert_eq(make_with_cert("/dev/null", "/nonexistent"), without ? without : MH_ERR_TLS);
    cr_assert_null(server);
    cr_assert_eq(tls_errors, 3);
    cr_assert_eq(open_descriptors(), before);
}

/* ---- a client ---- */

static int dial(const struct sockaddr *to, socklen_t len)
{
    int fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval patience = {.tv_sec = 20};
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    cr_assert_eq(connect(fd, to, len), 0, "%s", strerror(errno));
    return fd;
}

static int dial_port(uint16_t port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return dial((struct sockaddr *)&to, sizeof(to));
}

/* One request, and the connection is kept by whoever called. */
static void ask(int fd)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    mh_buf got = {0};
    cr_assert_eq(send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL),
                 (ssize_t)sizeof(request) - 1);
    cr_assert_eq(mh_buf_reserve(&got, 4096), 0);
    while (!got.data[0] || !strstr(got.data, "hello")) {
        ssize_t len = recv(fd, got.data + got.len, 4096 - got.len, 0);
        cr_assert_gt(len, 0, "%s", strerror(errno));
        got.len += (size_t)len;
        got.data[got.len] = '\0';
    }
    check_sent(&got,
               "HTTP/1.1 200 OK\r\n" SENT_DATE "Content-Type: text/plain; charset=utf-8\r\n"
               "Content-Length: 5\r\n\r\nhello",
               "answer");
    mh_buf_free(&got);
}

static void ask_once(uint16_t port)
{
    int fd = dial_port(port);
    ask(fd);
    close(fd);
}

/* ---- running ---- */

static pthread_t runner;
static int run_result;

static void *run(void *arg)
{
    run_result = mh_server_run(arg);
    return NULL;
}

static void start(mh_server_options options)
{
    options.handler = hello;
    cr_assert_eq(make(options), 0);
    cr_assert_eq(pthread_create(&runner, NULL, run, server), 0);
}

static void stop(void)
{
    mh_server_stop(server);
    cr_assert_eq(pthread_join(runner, NULL), 0);
    cr_assert_eq(run_result, 0);
}

Test(server, run_and_stopped)
{
    int before = open_descriptors();
    start((mh_server_options){.address = ADDRESS, .threads = 1});
    ask_once(mh_server_port(server));
    cr_assert_eq(mh_server_run(server), -EINVAL);
    stop();
    cr_assert_eq(mh_server_run(server), -EINVAL);
    mh_server_stop(server);
    mh_server_free(server);
    cr_assert_eq(open_descriptors(), before);
}

Test(server, stopped_before_it_runs)
{
    cr_assert_eq(make((mh_server_options){.handler = hello, .address = ADDRESS}), 0);
    mh_server_stop(server);
    cr_assert_eq(mh_server_run(server), 0);
    mh_server_free(server);
}

Test(server, never_run)
{
    int before = open_descriptors();
    cr_assert_eq(make((mh_server_options){.handler = hello, .address = ADDRESS}), 0);
    int fd = dial_port(mh_server_port(server));
    mh_server_free(server);
    close(fd);
    cr_assert_eq(open_descriptors(), before);
}

Test(server, several_threads)
{
    enum { CONNECTIONS = 60 };
    int fds[CONNECTIONS], before = open_descriptors();
    bool others = false;
    start((mh_server_options){.address = ADDRESS, .threads = 3});
    for (int i = 0; i < CONNECTIONS; i++) {
        fds[i] = dial_port(mh_server_port(server));
        ask(fds[i]);
    }
    for (int i = 1; i < CONNECTIONS; i++)
        others = others || !pthread_equal(served_by[i], served_by[0]);
    cr_assert(others);
    stop();
    for (int i = 0; i < CONNECTIONS; i++)
        close(fds[i]);
    mh_server_free(server);
    cr_assert_eq(open_descriptors(), before);
}

/* What is missing is said, nothing of it stays, and another try may follow. */
Test(server, run_without_memory)
{
    int err = -ENOMEM, n = 0;
    cr_assert_eq(make((mh_server_options){.handler = hello, .address = ADDRESS, .threads = 2}), 0);
    mh_server_stop(server);
    int before = open_descriptors();
    for (; err == -ENOMEM && n < 50; n++) {
        allocations_left = n;
        err = mh_server_run(server);
        allocations_left = -1;
        cr_assert(err == 0 || open_descriptors() == before); /* its loops stay until it is freed */
    }
    cr_assert(err == 0 && n > 3, "%d with %d", err, n);
    mh_server_free(server);
    cr_assert_lt(open_descriptors(), before);
}

Test(server, a_listener_of_the_callers)
{
    int before = open_descriptors(), listener = mh_listen(ADDRESS);
    for (int threads = 1; threads < 3; threads++) {
        listener = threads == 1 ? listener : mh_listen(ADDRESS);
        start((mh_server_options){.listener = listener, .threads = threads});
        ask_once(mh_server_port(server));
        stop();
        mh_server_free(server);
        cr_assert_lt(fcntl(listener, F_GETFD), 0); /* it was the server's */
    }
    cr_assert_eq(open_descriptors(), before);
}

/* After an error it still is the caller's. */
Test(server, a_listener_after_an_error)
{
    int listener = mh_listen(ADDRESS);
    cr_assert_lt(make((mh_server_options){
                     .handler = hello, .listener = listener, .cert_file = "/nonexistent"}),
                 0);
    cr_assert_geq(fcntl(listener, F_GETFD), 0);
    close(listener);
}

Test(server, a_unix_socket)
{
    char directory[] = "/tmp/minihttp-server-XXXXXX", address[120];
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    cr_assert(mkdtemp(directory));
    snprintf(to.sun_path, sizeof(to.sun_path), "%s/socket", directory);
    snprintf(address, sizeof(address), "unix:%s", to.sun_path);
    start((mh_server_options){.address = address, .threads = 2});
    cr_assert_eq(mh_server_port(server), 0);
    int fd = dial((struct sockaddr *)&to, sizeof(to));
    ask(fd);
    close(fd);
    stop();
    mh_server_free(server);
    cr_assert_lt(access(to.sun_path, F_OK), 0);
    cr_assert_eq(rmdir(directory), 0);
}

/* ---- signals ---- */

static void *ask_and_signal(void *arg)
{
    ask_once(mh_server_port(server));
    cr_assert_eq(kill(getpid(), *(int *)arg), 0);
    return NULL;
}

static void check_signal(int number)
{
    sigset_t set, before, after;
    pthread_t thread;
    cr_assert_eq(make((mh_server_options){
                     .handler = hello, .address = ADDRESS, .threads = 2, .stop_on_signals = true}),
                 0);
    sigfillset(&set);
    cr_assert_eq(pthread_sigmask(SIG_SETMASK, &set, &before), 0);
    cr_assert_eq(pthread_create(&thread, NULL, ask_and_signal, &number), 0);
    cr_assert_eq(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
    cr_assert_eq(mh_server_run(server), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert_eq(pthread_sigmask(SIG_SETMASK, NULL, &after), 0);
    cr_assert_eq(sigismember(&after, number), sigismember(&before, number));
    mh_server_free(server);
}

Test(server, stopped_by_a_signal)
{
    check_signal(SIGTERM);
    check_signal(SIGINT);
}

static void *serve(void *arg)
{
    run_result = mh_serve(arg, hello, NULL);
    return NULL;
}

Test(server, serve)
{
    sigset_t set;
    char address[40];
    int probe = mh_listen(ADDRESS);
    struct sockaddr_in own;
    socklen_t len = sizeof(own);
    cr_assert_eq(getsockname(probe, (struct sockaddr *)&own, &len), 0);
    close(probe);
    snprintf(address, sizeof(address), "127.0.0.1:%u", ntohs(own.sin_port));
    sigfillset(&set);
    cr_assert_eq(pthread_sigmask(SIG_SETMASK, &set, NULL), 0);
    cr_assert_eq(mh_serve("nonsense", hello, NULL), -EINVAL);
    cr_assert_eq(mh_serve(address, NULL, NULL), -EINVAL);
    cr_assert_eq(pthread_create(&runner, NULL, serve, address), 0);
    int fd = -1;
    while (fd < 0 || connect(fd, (struct sockaddr *)&own, sizeof(own)) < 0) {
        if (fd >= 0)
            close(fd);
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        (void)poll(NULL, 0, 1);
    }
    ask(fd);
    close(fd);
    cr_assert_eq(kill(getpid(), SIGINT), 0);
    cr_assert_eq(pthread_join(runner, NULL), 0);
    cr_assert_eq(run_result, 0);
}

/* ---- on somebody's loop ---- */

static mh_loop *loop;

static void attach(void)
{
    cr_assert_eq(mh_loop_new(&loop), 0);
    cr_assert_eq(make((mh_server_options){.handler = hello, .address = ADDRESS, .threads = 4}), 0);
    cr_assert_eq(mh_server_attach(server, loop), 0);
    cr_assert_eq(mh_server_attach(server, loop), -EINVAL);
    cr_assert_eq(mh_server_run(server), -EINVAL);
    cr_assert_eq(mh_loop_run(loop, 0), 1);
}

static void *stop_it(void *arg)
{
    mh_server_stop(arg);
    return NULL;
}

Test(server, attached_and_stopped_by_another_thread)
{
    pthread_t thread;
    int before = open_descriptors();
    attach();
    cr_assert_eq(pthread_create(&thread, NULL, stop_it, server), 0);
    cr_assert_eq(mh_loop_run(loop, -1), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    mh_server_free(server);
    mh_loop_free(loop);
    cr_assert_eq(open_descriptors(), before);
}

/* Which one goes first is all the same; and the loop has nothing to wait for any longer. */
Test(server, attached_and_freed)
{
    int before = open_descriptors();
    attach();
    mh_server_free(server);
    cr_assert_eq(mh_loop_run(loop, 0), 0);
    mh_loop_free(loop);
    attach();
    int fd = dial_port(mh_server_port(server));
    cr_assert_eq(mh_loop_run(loop, 20), 1);
    mh_loop_free(loop);
    mh_server_stop(server);
    mh_server_free(server);
    close(fd);
    cr_assert_eq(open_descriptors(), before);
}

Test(server, attached_without_memory)
{
    int err = -ENOMEM, n = 0;
    cr_assert_eq(mh_loop_new(&loop), 0);
    cr_assert_eq(make((mh_server_options){.handler = hello, .address = ADDRESS}), 0);
    for (; err == -ENOMEM && n < 10; n++) {
        allocations_left = n;
        err = mh_server_attach(server, loop);
        allocations_left = -1;
    }
    cr_assert(err == 0 && n > 1, "%d with %d", err, n);
    cr_assert_eq(mh_loop_run(loop, 0), 1);
    mh_server_free(server);
    mh_loop_free(loop);
}
