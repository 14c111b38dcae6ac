/* The kernel's sockets behind the loop: lib/loop/epoll.c, against peers that are this file's own
 * descriptors. */
#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "loop/epoll.h"

#include "../descriptors.h"
#include "../scarce.h"

#define LARGE (8u << 20) /* more than any buffer of the kernel's takes */
#define TURNS_MAX 100000

static mh_loop *loop;
static int listener, descriptors;
static struct mh__address address;

static struct mh__address address_of(int fd)
{
    struct mh__address at = {.len = sizeof(at.addr)};
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&at.addr, &at.len), 0);
    return at;
}

static void setup(void)
{
    descriptors = open_descriptors();
    cr_assert_eq(mh_loop_new(&loop), 0);
    listener = mh__listen("127.0.0.1:0");
    address = address_of(listener);
}

static void teardown(void)
{
    mh_loop_free(loop);
    mh__close(listener);
    cr_assert_eq(open_descriptors(), descriptors);
}

TestSuite(epoll, .init = setup, .fini = teardown, .timeout = 60);

/* ---- a socket that keeps account ---- */

struct conn;
typedef void hook(struct conn *conn);

struct conn {
    struct mh__socket socket;
    int connects, connect_err;
    size_t received;
    char bytes[64]; /* the first ones */
    ssize_t end;    /* what received() said that is not bytes */
    int ends, receipts, sents, sent_err, releases;
    hook *on_connected, *on_received, *on_sent;
    struct conn *other;
};

static struct conn *conn_of(struct mh__socket *socket)
{
    struct conn *conn = MH__CONTAINER(socket, struct conn, socket);
    cr_assert_geq(socket->fd, 0, "no callback after the close");
    cr_assert_eq(conn->releases, 0);
    return conn;
}

static void connected(struct mh__socket *socket, int err)
{
    struct conn *conn = conn_of(socket);
    conn->connects++;
    conn->connect_err = err;
    if (conn->on_connected)
        conn->on_connected(conn);
}

static void received(struct mh__socket *socket, const char *data, ssize_t len)
{
    struct conn *conn = conn_of(socket);
    cr_assert_eq(conn->ends, 0, "nothing after the end");
    conn->receipts++;
    if (len <= 0) {
        conn->end = len;
        conn->ends++;
    } else if (conn->received + (size_t)len < sizeof(conn->bytes)) {
        memcpy(conn->bytes + conn->received, data, (size_t)len);
    }
    conn->received += len > 0 ? (size_t)len : 0;
    if (conn->on_received)
        conn->on_received(conn);
}

static void sent(struct mh__socket *socket, int err)
{
    struct conn *conn = conn_of(socket);
    conn->sents++;
    conn->sent_err = err;
    if (conn->on_sent)
        conn->on_sent(conn);
}

static void released(struct mh__socket *socket)
{
    struct conn *conn = MH__CONTAINER(socket, struct conn, socket);
    cr_assert_lt(socket->fd, 0);
    conn->releases++;
    mh__loop_release(socket->loop);
}

static const struct mh__socket_events events = {connected, received, sent, released};

static void close_conn(struct conn *conn)
{
    mh__socket_close(&conn->socket);
}

/* ---- turns ---- */

static void turn(int timeout_ms)
{
    cr_assert_eq(mh__loop_turn(loop, timeout_ms), 0);
}

#define turn_until(condition)                                                                      \
    do {                                                                                           \
        for (int turns_ = 0; !(condition); turns_++) {                                             \
            cr_assert_lt(turns_, TURNS_MAX, "%s", #condition);                                     \
            turn(10000);                                                                           \
        }                                                                                          \
    } while (0)

/* There is nothing to wake up for: a wait that returns at once, for ever, would burn the CPU. */
static void expect_quiet(void)
{
    struct pollfd fd = {.fd = mh_loop_fd(loop), .events = POLLIN};
    turn(0);
    turn(0);
    cr_assert_eq(poll(&fd, 1, 0), 0);
}

static void begin(struct conn *conn)
{
    cr_assert_eq(mh__socket_connect(&conn->socket, loop, &events, &address), 0);
    cr_assert_eq(conn->connects, 0, "not from within the call");
    mh__loop_hold(loop);
}

/* Returns the other end. */
static int open_conn(struct conn *conn)
{
    begin(conn);
    turn_until(conn->connects > 0);
    cr_assert_eq(conn->connect_err, 0);
    return accept4(listener, NULL, NULL, SOCK_CLOEXEC);
}

static void end_conn(struct conn *conn)
{
    mh__socket_close(&conn->socket);
    cr_assert_eq(conn->releases, 0, "not from within the call");
    turn_until(conn->releases > 0);
    turn(0);
    cr_assert_eq(conn->releases, 1);
}

static void receive_on(struct conn *conn)
{
    cr_assert_eq(mh__socket_receive(&conn->socket, true), 0);
}

static void receive_off(struct conn *conn)
{
    cr_assert_eq(mh__socket_receive(&conn->socket, false), 0);
}

static int send_str(struct conn *conn, const char *text)
{
    struct iovec piece = {(char *)(uintptr_t)text, strlen(text)};
    return mh__socket_send(&conn->socket, &piece, 1);
}

static void reset(int fd)
{
    struct linger linger = {.l_onoff = 1};
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    close(fd);
}

static void write_str(int fd, const char *text)
{
    cr_assert_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* ---- to connect ---- */

Test(epoll, a_connection_that_is_not_inherited_not_delayed_and_does_not_block)
{
    struct conn conn = {0};
    int value = 0, peer = open_conn(&conn);
    socklen_t len = sizeof(value);
    cr_assert(fcntl(conn.socket.fd, F_GETFL) & O_NONBLOCK);
    cr_assert(fcntl(conn.socket.fd, F_GETFD) & FD_CLOEXEC);
    cr_assert_eq(getsockopt(conn.socket.fd, IPPROTO_TCP, TCP_NODELAY, &value, &len), 0);
    cr_assert_neq(value, 0);
    expect_quiet();
    cr_assert_eq(conn.connects, 1);
    end_conn(&conn);
    close(peer);
}

Test(epoll, refused)
{
    struct conn conn = {0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* its port is taken, and deaf */
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    cr_assert_eq(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
    address = address_of(fd);
    begin(&conn);
    turn_until(conn.connects > 0);
    cr_assert_eq(conn.connect_err, -ECONNREFUSED);
    receive_on(&conn);
    cr_assert_eq(send_str(&conn, "x"), -ECONNREFUSED);
    expect_quiet();
    cr_assert_eq(conn.receipts, 0);
    end_conn(&conn);
    close(fd);
}

Test(epoll, a_connection_is_closed_where_it_is_refused)
{
    struct conn conn = {.on_connected = close_conn};
    mh__close(listener);
    begin(&conn);
    turn_until(conn.releases > 0);
    cr_assert_eq(conn.connect_err, -ECONNREFUSED);
    listener = mh__listen("127.0.0.1:0");
}

Test(epoll, what_cannot_begin_leaves_nothing_behind)
{
    struct conn conn = {0};
    struct mh__address nowhere;
    cr_assert_eq(mh__unix_address(&nowhere, MH_STR("no/such/socket")), 0);
    cr_assert_eq(mh__socket_connect(&conn.socket, loop, &events, &nowhere), -ENOENT);
    turn(0);
    cr_assert_eq(conn.connects + conn.releases, 0);
}

Test(epoll, no_descriptor)
{
    struct conn conn = {0};
    struct rlimit before, none;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){0, before.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    mh_loop *second = loop;
    int err = mh_loop_new(&second);
    int connect_err = mh__socket_connect(&conn.socket, loop, &events, &address);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    cr_assert_eq(err, -EMFILE);
    cr_assert_null(second);
    cr_assert_eq(connect_err, -EMFILE);
}

Test(epoll, no_descriptor_for_the_second_of_two)
{
    struct rlimit before, one;
    int next = dup(0);
    close(next);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    one = (struct rlimit){(rlim_t)next + 1, before.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &one), 0);
    mh_loop *second = loop;
    int err = mh_loop_new(&second);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    cr_assert_eq(err, -EMFILE);
    cr_assert_null(second);
}

Test(epoll, no_memory)
{
    for (allocations_left = 0; allocations_left < 2;) {
        int given = allocations_left;
        mh_loop *second = loop;
        cr_assert_eq(mh_loop_new(&second), -ENOMEM);
        cr_assert_null(second);
        allocations_left = given + 1;
    }
    allocations_left = -1;
}

Test(epoll, a_unix_socket)
{
    struct conn conn = {.on_connected = receive_on};
    char at[] = "/tmp/minihttp-epoll-XXXXXX", path[64], text[96];
    cr_assert_not_null(mkdtemp(at));
    snprintf(path, sizeof(path), "%s/socket", at);
    snprintf(text, sizeof(text), "unix:%s", path);
    mh__close(listener);
    listener = mh__listen(text);
    cr_assert_geq(listener, 0);
    cr_assert_eq(mh__unix_address(&address, mh_str_from(path)), 0);
    int peer = open_conn(&conn);
    write_str(peer, "hello");
    turn_until(conn.received == 5);
    close(peer);
    turn_until(conn.ends > 0);
    cr_assert_eq(conn.end, 0);
    expect_quiet(); /* a unix socket hangs up where TCP does not */
    cr_assert_eq(send_str(&conn, "x"), -EPIPE);
    end_conn(&conn);
    unlink(path);
    rmdir(at);
}

/* ---- to send ---- */

Test(epoll, a_few_bytes_go_at_once)
{
    struct conn conn = {0};
    char got[32] = "";
    int peer = open_conn(&conn);
    struct iovec pieces[] = {{"he", 2}, {"", 0}, {"llo", 3}};
    cr_assert_eq(mh__socket_send(&conn.socket, pieces, 3), 1);
    cr_assert_eq(recv(peer, got, sizeof(got), 0), 5);
    cr_assert_str_eq(got, "hello");
    cr_assert_eq(send_str(&conn, "world"), 1);
    cr_assert_eq(recv(peer, got, sizeof(got), 0), 5);
    cr_assert_str_eq(got, "world");
    cr_assert_eq(mh__socket_send(&conn.socket, pieces + 1, 1), 1, "nothing is soon sent");
    cr_assert_eq(mh__socket_send(&conn.socket, NULL, 0), 1);
    expect_quiet();
    cr_assert_eq(conn.sents, 0, "it was told already");
    end_conn(&conn);
    close(peer);
}

static char *large(void)
{
    char *bytes = malloc(LARGE);
    cr_assert_not_null(bytes);
    for (size_t i = 0; i < LARGE; i++)
        bytes[i] = (char)(i * 2654435761u >> 24);
    return bytes;
}

/* At most `max` bytes of what is there. */
static size_t take_some(int peer, char *into, size_t max)
{
    ssize_t len = recv(peer, into, max, MSG_DONTWAIT);
    return len > 0 ? (size_t)len : 0;
}

Test(epoll, many_bytes_to_a_peer_that_takes_its_time)
{
    struct conn conn = {0};
    int peer = open_conn(&conn);
    char *out = large(), *in = malloc(LARGE);
    struct iovec pieces[] = {{out, 1}, {out + 1, LARGE / 2}, {out + 1 + LARGE / 2, LARGE / 2 - 1}};
    size_t got = 0;
    cr_assert_eq(mh__socket_send(&conn.socket, pieces, 3), 0);
    expect_quiet();
    while (got < LARGE) {
        got += take_some(peer, in + got, got % 7 ? 100000 : LARGE - got);
        turn(0);
    }
    turn_until(conn.sents > 0);
    cr_assert_eq(conn.sent_err, 0);
    cr_assert_eq(memcmp(in, out, LARGE), 0);
    expect_quiet();
    cr_assert_eq(conn.sents, 1);
    cr_assert_eq(send_str(&conn, "more"), 1);
    end_conn(&conn);
    close(peer);
    free(in);
    free(out);
}

static char *again;

static void send_again(struct conn *conn)
{
    struct iovec piece = {again, LARGE};
    if (conn->sents == 1)
        cr_assert_eq(mh__socket_send(&conn->socket, &piece, 1), 0);
}

Test(epoll, what_was_sent_is_followed_by_more_and_the_peer_talks_meanwhile)
{
    struct conn conn = {.on_sent = send_again};
    int peer = open_conn(&conn);
    char *in = malloc(LARGE);
    struct iovec piece = {again = large(), LARGE};
    size_t got = 0;
    receive_on(&conn);
    cr_assert_eq(mh__socket_send(&conn.socket, &piece, 1), 0);
    write_str(peer, "wait!");
    turn_until(conn.received == 5);
    while (got < 2 * LARGE) {
        got += take_some(peer, in, LARGE);
        turn(0);
    }
    turn_until(conn.sents == 2);
    cr_assert_eq(conn.sent_err, 0);
    end_conn(&conn);
    close(peer);
    free(again);
    free(in);
}

Test(epoll, a_reset_ends_what_is_unsent)
{
    struct conn conn = {0};
    int peer = open_conn(&conn);
    char *out = large();
    struct iovec piece = {out, LARGE};
    cr_assert_eq(mh__socket_send(&conn.socket, &piece, 1), 0);
    reset(peer);
    turn_until(conn.sents > 0);
    cr_assert_eq(conn.sent_err, -ECONNRESET);
    expect_quiet();
    cr_assert_eq(conn.sents, 1);
    cr_assert_eq(send_str(&conn, "x"), -ECONNRESET, "and for ever");
    receive_on(&conn);
    turn_until(conn.ends > 0);
    cr_assert_eq(conn.end, -ECONNRESET, "which the kernel has told already");
    expect_quiet();
    end_conn(&conn);
    free(out);
}

Test(epoll, after_a_reset_what_came_before_it_is_received)
{
    struct conn conn = {0};
    int peer = open_conn(&conn);
    char *out = large();
    struct iovec piece = {out, LARGE};
    cr_assert_eq(mh__socket_send(&conn.socket, &piece, 1), 0);
    write_str(peer, "go away");
    reset(peer);
    turn_until(conn.sents > 0);
    receive_on(&conn);
    turn_until(conn.ends > 0);
    cr_assert_str_eq(conn.bytes, "go away");
    cr_assert_eq(conn.end, -ECONNRESET);
    end_conn(&conn);
    free(out);
}

Test(epoll, sending_finds_a_reset_at_once)
{
    struct conn conn = {0};
    int peer = open_conn(&conn);
    reset(peer);
    expect_quiet();
    cr_assert_eq(send_str(&conn, "x"), -ECONNRESET);
    receive_on(&conn);
    turn_until(conn.ends > 0);
    cr_assert_eq(conn.end, -ECONNRESET);
    end_conn(&conn);
}

/* ---- to receive ---- */

Test(epoll, nothing_before_it_is_asked_for_and_nothing_while_it_is_not)
{
    struct conn conn = {0};
    int peer = open_conn(&conn);
    write_str(peer, "one");
    expect_quiet();
    receive_on(&conn);
    turn_until(conn.received == 3);
    receive_off(&conn);
    write_str(peer, "two");
    expect_quiet();
    cr_assert_eq(conn.received, 3);
    receive_on(&conn);
    receive_on(&conn);
    turn_until(conn.received == 6);
    cr_assert_str_eq(conn.bytes, "onetwo");
    cr_assert_eq(conn.receipts, 2);
    end_conn(&conn);
    close(peer);
}

Test(epoll, the_end_is_told_once)
{
    struct conn conn = {.on_connected = receive_on};
    int peer = open_conn(&conn);
    write_str(peer, "bye");
    shutdown(peer, SHUT_WR);
    turn_until(conn.ends > 0);
    cr_assert_eq(conn.end, 0);
    cr_assert_str_eq(conn.bytes, "bye");
    receive_off(&conn);
    receive_on(&conn);
    expect_quiet();
    char got[8] = "";
    cr_assert_eq(send_str(&conn, "yes"), 1, "the other direction is open");
    cr_assert_eq(recv(peer, got, sizeof(got), 0), 3);
    reset(peer);
    expect_quiet();
    end_conn(&conn);
}

Test(epoll, a_reset_is_told_once)
{
    struct conn conn = {.on_connected = receive_on};
    int peer = open_conn(&conn);
    reset(peer);
    turn_until(conn.ends > 0);
    cr_assert_eq(conn.end, -ECONNRESET);
    receive_on(&conn);
    expect_quiet();
    end_conn(&conn);
}

Test(epoll, a_reset_while_nobody_asks_is_quiet_and_found_later)
{
    struct conn conn = {.on_connected = receive_on};
    int peer = open_conn(&conn);
    receive_off(&conn);
    write_str(peer, "last words");
    reset(peer);
    expect_quiet();
    cr_assert_eq(conn.receipts, 0);
    receive_on(&conn);
    turn_until(conn.ends > 0);
    cr_assert_str_eq(conn.bytes, "last words");
    cr_assert_eq(conn.end, -ECONNRESET);
    expect_quiet();
    end_conn(&conn);
}

Test(epoll, as_much_as_there_is_comes_at_a_time_and_no_more_than_the_buffer_holds)
{
    struct conn conn = {0};
    int peer = open_conn(&conn);
    char *out = large();
    size_t given = 0;
    fcntl(peer, F_SETFL, O_NONBLOCK);
    for (ssize_t len = 1; len > 0; given += len > 0 ? (size_t)len : 0)
        len = send(peer, out, LARGE, MSG_NOSIGNAL);
    cr_assert_gt(given, MH__RECEIVE_SIZE);
    receive_on(&conn);
    turn_until(conn.receipts == 1);
    cr_assert_leq(conn.received, MH__RECEIVE_SIZE);
    turn_until(conn.received == given);
    cr_assert_lt(conn.receipts, 1000);
    end_conn(&conn);
    close(peer);
    free(out);
}

/* ---- to close, wherever it is ---- */

static void close_both(struct conn *conn)
{
    close_conn(conn);
    if (conn->other && conn->other->socket.fd >= 0)
        close_conn(conn->other);
}

Test(epoll, closed_before_it_was_connected)
{
    struct conn conn = {0};
    begin(&conn);
    end_conn(&conn);
    cr_assert_eq(conn.connects, 0);
}

Test(epoll, closed_when_it_is_connected)
{
    struct conn conn = {.on_connected = close_conn};
    begin(&conn);
    turn_until(conn.releases > 0);
    cr_assert_eq(conn.connects, 1);
}

Test(epoll, closed_when_something_comes)
{
    struct conn conn = {.on_received = close_conn};
    int peer = open_conn(&conn);
    receive_on(&conn);
    write_str(peer, "x");
    close(peer);
    turn_until(conn.releases > 0);
    cr_assert_eq(conn.receipts, 1);
}

Test(epoll, closed_when_the_end_comes_with_something_unsent)
{
    struct conn conn = {.on_received = close_conn};
    int peer = open_conn(&conn);
    char *out = large();
    struct iovec piece = {out, LARGE};
    cr_assert_eq(mh__socket_send(&conn.socket, &piece, 1), 0);
    receive_on(&conn);
    reset(peer);
    turn_until(conn.releases > 0);
    cr_assert_eq(conn.sents, 0);
    free(out);
}

Test(epoll, closed_when_all_was_sent)
{
    struct conn conn = {.on_sent = close_conn};
    int peer = open_conn(&conn);
    char *out = large(), *in = malloc(LARGE);
    struct iovec piece = {out, LARGE};
    cr_assert_eq(mh__socket_send(&conn.socket, &piece, 1), 0);
    for (size_t got = 0; got < LARGE;) {
        got += take_some(peer, in, LARGE);
        turn(0);
    }
    turn_until(conn.releases > 0);
    cr_assert_eq(conn.sents, 1);
    close(peer);
    free(in);
    free(out);
}

Test(epoll, another_one_whose_event_is_in_the_same_batch_is_closed)
{
    struct conn a = {.on_received = close_both}, b = {.on_received = close_both};
    a.other = &b;
    b.other = &a;
    int first = open_conn(&a), second = open_conn(&b);
    receive_on(&a);
    receive_on(&b);
    write_str(first, "x");
    write_str(second, "x");
    turn(1000);
    cr_assert_eq(a.receipts + b.receipts, 1);
    cr_assert_eq(a.releases + b.releases, 2);
    close(first);
    close(second);
}

static void pause_other(struct conn *conn)
{
    receive_off(conn->other);
}

Test(epoll, another_one_whose_event_is_in_the_same_batch_is_paused)
{
    struct conn a = {.on_received = pause_other}, b = {.on_received = pause_other};
    a.other = &b;
    b.other = &a;
    int first = open_conn(&a), second = open_conn(&b);
    receive_on(&a);
    receive_on(&b);
    write_str(first, "x");
    write_str(second, "x");
    turn(1000);
    cr_assert_eq(a.receipts + b.receipts, 1);
    expect_quiet();
    receive_on(a.receipts ? &b : &a);
    turn_until(a.receipts + b.receipts == 2);
    end_conn(&a);
    end_conn(&b);
    close(first);
    close(second);
}

Test(epoll, more_events_than_one_wait_takes)
{
    enum { COUNT = 300 };
    static struct conn conns[COUNT];
    static int peers[COUNT];
    int turns = 0;
    for (size_t i = 0; i < COUNT; i++) {
        peers[i] = open_conn(&conns[i]);
        receive_on(&conns[i]);
        conns[i].on_received = close_conn;
    }
    for (size_t i = 0; i < COUNT; i++)
        write_str(peers[i], "x");
    for (; loop->holds > 0; turns++) {
        turn(1000);
        cr_assert_lt(turns, 3);
    }
    cr_assert_eq(turns, 2);
    for (size_t i = 0; i < COUNT; i++) {
        cr_assert_eq(conns[i].releases, 1);
        close(peers[i]);
    }
}

/* ---- from outside ---- */

static void *wake_soon(void *arg)
{
    usleep(20000);
    mh_loop_wake(arg);
    return NULL;
}

Test(epoll, woken_from_a_thread)
{
    pthread_t thread;
    mh__loop_hold(loop);
    cr_assert_eq(pthread_create(&thread, NULL, wake_soon, loop), 0);
    cr_assert_eq(mh_loop_run(loop, -1), 1);
    pthread_join(thread, NULL);
    mh__loop_release(loop);
    expect_quiet();
}

Test(epoll, a_wake_before_it_runs_is_for_the_next_run_alone)
{
    mh__loop_hold(loop);
    mh_loop_wake(loop);
    mh_loop_wake(loop);
    cr_assert_eq(mh_loop_run(loop, -1), 1);
    int64_t begin_ms = mh__clock_ms();
    cr_assert_eq(mh_loop_run(loop, 30), 1);
    cr_assert_geq(mh__clock_ms() - begin_ms, 30);
    mh__loop_release(loop);
}

static void wake_from_handler(int number)
{
    (void)number;
    errno = 77;
    mh_loop_wake(loop);
    cr_assert_eq(errno, 77);
}

static void in_30_ms(void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    struct itimerval timer = {.it_value = {.tv_usec = 30000}};
    cr_assert_eq(sigaction(SIGALRM, &action, NULL), 0);
    cr_assert_eq(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

Test(epoll, woken_from_a_signal_handler)
{
    mh__loop_hold(loop);
    in_30_ms(wake_from_handler);
    cr_assert_eq(mh_loop_run(loop, -1), 1);
    mh__loop_release(loop);
}

Test(epoll, woken_though_the_counter_is_full)
{
    uint64_t most = UINT64_MAX - 1;
    int fd = mh__epoll_loop(loop)->wake_fd;
    mh__loop_hold(loop);
    cr_assert_eq(write(fd, &most, sizeof(most)), sizeof(most));
    errno = 77;
    mh_loop_wake(loop);
    cr_assert_eq(errno, 77);
    cr_assert_eq(mh_loop_run(loop, -1), 1);
    mh__loop_release(loop);
    expect_quiet();
}

static void do_nothing(int number)
{
    (void)number;
}

Test(epoll, a_signal_alone_does_not_end_it)
{
    mh__loop_hold(loop);
    in_30_ms(do_nothing);
    int64_t begin_ms = mh__clock_ms();
    cr_assert_eq(mh_loop_run(loop, 100), 1);
    cr_assert_geq(mh__clock_ms() - begin_ms, 100);
    mh__loop_release(loop);
}

Test(epoll, it_wakes_up_when_a_timer_is_due)
{
    struct mh__timer timer = {.expired = NULL};
    mh__timer_set(loop, &timer, mh__loop_now(loop) + 20);
    cr_assert(mh_loop_timeout_ms(loop) <= 20 && mh_loop_timeout_ms(loop) >= 0);
    mh__timer_stop(loop, &timer);
    cr_assert_eq(mh_loop_timeout_ms(loop), -1);
    int64_t begin_ms = mh__clock_ms();
    turn(20);
    cr_assert_geq(mh__clock_ms() - begin_ms, 20);
    cr_assert_eq(mh__backend_clock_us(loop) / 1000000, mh__clock_ms() / 1000);
}

static bool is_readable(int fd, int timeout_ms)
{
    struct pollfd wanted = {.fd = fd, .events = POLLIN};
    return poll(&wanted, 1, timeout_ms) > 0;
}

Test(epoll, inside_the_poll_of_somebody_else)
{
    struct conn conn = {.on_connected = receive_on, .on_received = close_conn};
    int fd = mh_loop_fd(loop), peer;
    cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    cr_assert(!is_readable(fd, 0));
    begin(&conn);
    cr_assert(is_readable(fd, 10000));
    while (conn.connects == 0)
        cr_assert_eq(mh_loop_run(loop, 0), 1);
    peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    cr_assert(!is_readable(fd, 0));
    write_str(peer, "x");
    cr_assert(is_readable(fd, 10000));
    cr_assert_eq(mh_loop_run(loop, 0), 0);
    cr_assert(!is_readable(fd, 0));
    mh_loop_wake(loop);
    cr_assert(is_readable(fd, 0));
    cr_assert_eq(mh_loop_run(loop, 0), 0);
    cr_assert(!is_readable(fd, 0));
    close(peer);
}

Test(epoll, what_the_kernel_says_about_a_wait_is_told)
{
    int fd = dup(mh_loop_fd(loop)), null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    cr_assert_eq(dup3(null, mh_loop_fd(loop), O_CLOEXEC), mh_loop_fd(loop));
    cr_assert_eq(mh_loop_run(loop, 0), -EINVAL);
    cr_assert_eq(dup3(fd, mh_loop_fd(loop), O_CLOEXEC), mh_loop_fd(loop));
    close(null);
    close(fd);
}

Test(epoll, a_descriptor_that_another_process_has_too_does_not_come_back)
{
    struct conn conn = {.on_connected = receive_on};
    int peer = open_conn(&conn);
    int copy = dup(conn.socket.fd); /* as after a fork() */
    end_conn(&conn);
    write_str(peer, "x");
    expect_quiet();
    close(copy);
    close(peer);
}

/* ---- to free it ---- */

static struct conn left;

static void let_go(struct mh__attachment *attachment)
{
    struct conn late = {0};
    struct mh__lookup lookup = {0};
    (void)attachment;
    mh__socket_close(&left.socket);
    cr_assert_eq(mh__socket_connect(&late.socket, loop, &events, &address), -ECANCELED);
    cr_assert_eq(mh__lookup_start(&lookup, loop, MH_STR("::1"), 80), -ECANCELED);
}

Test(epoll, whoever_is_attached_closes_and_nothing_new_begins)
{
    struct mh__attachment attachment = {.detached = let_go};
    int peer = open_conn(&left);
    mh__loop_attach(loop, &attachment);
    mh_loop_free(loop);
    cr_assert_eq(left.releases, 1);
    loop = NULL;
    close(peer);
}

Test(epoll, none_is_freed_too)
{
    mh_loop_free(NULL);
}
