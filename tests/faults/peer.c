/* peer.c: see peer.h. */
#include "peer.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "inject.h"

#define TURN_NS 50000  /* between two looks at what has no descriptor to wait for */
#define GIVE_UP 400000 /* of them */

struct record {
    char bytes[PEER_GOT_MAX + 1];
    size_t len;
};

static void send_text(int fd, const char *text)
{
    size_t len = strlen(text);
    while (len > 0) {
        ssize_t sent = send(fd, text, len, MSG_NOSIGNAL);
        if (sent < 0)
            return;
        text += sent;
        len -= (size_t)sent;
    }
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
    size_t count;
    struct record got;
} server = {.listener = -1};

static bool has_stopped(void)
{
    struct pollfd wanted = {.fd = server.stop, .events = POLLIN};
    return poll(&wanted, 1, 0) > 0;
}

/* A head, and as much behind it as its Content-Length says. */
static bool is_complete(const char *request, size_t len)
{
    const char *end = strstr(request, "\r\n\r\n");
    if (!end)
        return false;
    const char *field = strstr(request, "Content-Length: ");
    size_t body = field && field < end ? strtoul(field + 16, NULL, 10) : 0;
    return (size_t)(end + 4 - request) + body <= len;
}

static bool read_request(int fd)
{
    size_t from = server.got.len;
    while (!is_complete(server.got.bytes + from, server.got.len - from)) {
        if (!read_some(fd, &server.got))
            return false;
    }
    return true;
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
}

static int accept_next(void)
{
    struct pollfd wanted[] = {{.fd = server.listener, .events = POLLIN},
                              {.fd = server.stop, .events = POLLIN}};
    if (poll(wanted, 2, -1) < 0 || wanted[1].revents)
        return -1;
    return accept4(server.listener, NULL, NULL, SOCK_CLOEXEC);
}

static void *serve(void *arg)
{
    int fd;
    for (size_t i = 0; (fd = accept_next()) >= 0; i++) {
        if (read_request(fd))
            answer(fd, &server.answers[i < server.count ? i : server.count - 1]);
        close(fd);
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
    server.got.len = 0;
    server.got.bytes[0] = '\0';
    start(&server.thread, serve);
    return server.port;
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
