/* peer.c: see peer.h. */
#include "peer.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "inject.h"

#define TURN_NS 50000  /* between two looks at what has no descriptor to wait for */
#define GIVE_UP 400000 /* of them */

struct record {
    char bytes[PEER_GOT_MAX + 1];
    size_t len;
};

static void send_bytes(int fd, mh_str bytes)
{
    while (bytes.len > 0) {
        ssize_t sent = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (sent < 0)
            return;
        bytes = (mh_str){bytes.ptr + sent, bytes.len - (size_t)sent};
    }
}

static void send_text(int fd, const char *text)
{
    send_bytes(fd, mh_str_from(text));
}

/* Returns false at the end. */
static bool read_some(int fd, struct record *record)
{
    ssize_t len = recv(fd, record->bytes + record->len, PEER_GOT_MAX - record->len, 0);
    if (len <= 0)
        return false;
    record->len += (size_t)len;
    record->bytes[record->len] = '\0';
    return true;
}

static bool hangs_up_soon(int fd)
{
    struct pollfd wanted = {.fd = fd, .events = POLLRDHUP};
    return ppoll(&wanted, 1, &(struct timespec){.tv_nsec = TURN_NS}, NULL) > 0;
}

/* ---- a server ---- */

static struct {
    int listener, stop;
    uint16_t port;
    pthread_t thread;
    const struct answer *answers;
    size_t count, next;
    atomic_int closed;
    struct record got;
} server = {.listener = -1};

static bool has_stopped(void)
{
    struct pollfd wanted = {.fd = server.stop, .events = POLLIN};
    return poll(&wanted, 1, 0) > 0;
}

/* Behind the head. */
static const char *body_of(const char *request)
{
    const char *end = strstr(request, "\r\n\r\n");
    return end ? end + 4 : NULL;
}

static const char *field(const char *request, const char *name)
{
    const char *found = strstr(request, name);
    return found && found < body_of(request) ? found + strlen(name) : NULL;
}

/* A head, and as much behind it as it says. */
static bool is_complete(const char *request, size_t len)
{
    const char *body = body_of(request);
    if (!body)
        return false;
    if (field(request, "Transfer-Encoding: chunked"))
        return strstr(body - 2, "\r\n0\r\n\r\n") != NULL;
    const char *size = field(request, "Content-Length: ");
    return (size_t)(body - request) + (size ? strtoul(size, NULL, 10) : 0) <= len;
}

/* What was sent before we are stopped is read all the same. */
static bool read_more(int fd)
{
    struct pollfd wanted[] = {{.fd = fd, .events = POLLIN}, {.fd = server.stop, .events = POLLIN}};
    return poll(wanted, 2, -1) > 0 && wanted[0].revents && read_some(fd, &server.got);
}

static bool is_for(const struct answer *answer, const char *request)
{
    const char *target = strchr(request, ' ');
    size_t len = answer->target ? strlen(answer->target) : 0;
    return len > 0 && target && strncmp(target + 1, answer->target, len) == 0 &&
           target[1 + len] == ' ';
}

static const struct answer *answer_to(const char *request)
{
    for (size_t i = 0; i < server.count; i++) {
        if (is_for(&server.answers[i], request))
            return &server.answers[i];
    }
    size_t i = server.next++;
    return &server.answers[i < server.count ? i : server.count - 1];
}

/* NULL when it does not come to its end. */
static const struct answer *read_request(int fd)
{
    size_t from = server.got.len;
    const char *request = server.got.bytes + from;
    while (!body_of(request)) {
        if (!read_more(fd))
            return NULL;
    }
    const struct answer *answer = answer_to(request);
    if (answer->before_body && !is_complete(request, server.got.len - from))
        send_text(fd, answer->before_body);
    while (!is_complete(request, server.got.len - from)) {
        if (!read_more(fd))
            return NULL;
    }
    return answer;
}

/* It has been received up to there, or will not be. */
static void wait_received(int fd, size_t total)
{
    for (int i = 0; i < GIVE_UP && inject_received() < total && !has_stopped(); i++) {
        if (hangs_up_soon(fd))
            return;
    }
}

static void answer(int fd, const struct answer *answer)
{
    size_t total = inject_received();
    for (int i = 0; i < PEER_PIECES_MAX && answer->pieces[i]; i++) {
        wait_received(fd, total);
        send_text(fd, answer->pieces[i]);
        total += strlen(answer->pieces[i]);
    }
    if (answer->tail.len > 0) {
        wait_received(fd, total);
        send_bytes(fd, answer->tail);
    }
}

static int accept_next(void)
{
    struct pollfd wanted[] = {{.fd = server.listener, .events = POLLIN},
                              {.fd = server.stop, .events = POLLIN}};
    if (poll(wanted, 2, -1) < 0 || wanted[1].revents)
        return -1;
    return accept4(server.listener, NULL, NULL, SOCK_CLOEXEC);
}

/* Nagle's algorithm would make each piece wait for somebody's delayed acknowledgement. */
static void attend(int fd)
{
    const struct answer *next;
    int at_once = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof(at_once));
    do {
        next = read_request(fd);
        if (next)
            answer(fd, next);
    } while (next && next->keep);
}

static void *serve(void *arg)
{
    int fd;
    while ((fd = accept_next()) >= 0) {
        attend(fd);
        close(fd);
        atomic_fetch_add(&server.closed, 1);
    }
    return arg;
}

void peer_prepare(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    server.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    server.stop = eventfd(0, EFD_CLOEXEC);
    if (bind(server.listener, (struct sockaddr *)&in, len) < 0 || listen(server.listener, 64) < 0 ||
        getsockname(server.listener, (struct sockaddr *)&in, &len) < 0) {
        perror("a peer's listener");
        abort();
    }
    server.port = ntohs(in.sin_port);
}

static void start(pthread_t *thread, void *(*run)(void *))
{
    if (pthread_create(thread, NULL, run, NULL) != 0) {
        fputs("no thread for a peer\n", stderr);
        abort();
    }
}

int peer_serve(const struct answer *answers, size_t count)
{
    server.answers = answers;
    server.count = count;
    server.next = 0;
    server.got.len = 0;
    atomic_store(&server.closed, 0);
    server.got.bytes[0] = '\0';
    start(&server.thread, serve);
    return server.port;
}

void peer_await_closed(int count)
{
    for (int i = 0; i < GIVE_UP && atomic_load(&server.closed) < count; i++)
        nanosleep(&(struct timespec){.tv_nsec = TURN_NS}, NULL);
}

/* Those that gave up before they were accepted are not for the next run. */
static void drain(void)
{
    int fd;
    while ((fd = accept4(server.listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
        close(fd);
}

mh_str peer_stop(void)
{
    eventfd_t value;
    eventfd_write(server.stop, 1);
    pthread_join(server.thread, NULL);
    eventfd_read(server.stop, &value);
    drain();
    return (mh_str){server.got.bytes, server.got.len};
}

/* ---- a client ---- */

static struct {
    int fd;
    bool half_close;
    pthread_t thread;
    const struct step *steps;
    struct record got;
} client;

static void do_steps(void)
{
    for (const struct step *step = client.steps; step->send; step++) {
        while (step->wait_for && !strstr(client.got.bytes, step->wait_for)) {
            if (!read_some(client.fd, &client.got))
                return;
        }
        send_text(client.fd, step->send);
    }
    if (client.half_close)
        shutdown(client.fd, SHUT_WR);
}

static void *call(void *arg)
{
    do_steps();
    while (read_some(client.fd, &client.got))
        ;
    close(client.fd);
    return arg;
}

void peer_call(int fd, const struct step *steps, bool half_close)
{
    client.fd = fd;
    client.steps = steps;
    client.half_close = half_close;
    client.got.len = 0;
    client.got.bytes[0] = '\0';
    start(&client.thread, call);
}

mh_str peer_hang_up(void)
{
    pthread_join(client.thread, NULL);
    return (mh_str){client.got.bytes, client.got.len};
}

int peer_connect(int listener)
{
    struct sockaddr_storage addr = {0};
    socklen_t len = sizeof(addr);
    if (getsockname(listener, (struct sockaddr *)&addr, &len) < 0)
        return -1;
    int fd = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, len) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}
