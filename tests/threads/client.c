/* client.c: one client with threads around it, for ThreadSanitizer: blocking calls of several at a
 * time, calls that another thread cancels, and a loop in each thread, against a small server in the
 * same program. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <minihttp/client.h>

#include "base/clock.h"
#include "net/net.h"

#define THREADS 4
#define FETCHES 150 /* of each */
#define CANCELS 60
#define SUBMITS 40 /* at a time, on a loop */
#define ROUNDS 8   /* of these */

#define expect(holds)                                                                              \
    do {                                                                                           \
        if (!(holds)) {                                                                            \
            printf("FAILED: client.c:%d: %s\n", __LINE__, #holds);                                 \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* ---- the server: a thread for each connection ---- */

static int listener;
static char url[80], slow_url[80];
static atomic_int lines; /* connections that are served */

/* Up to the blank line; 0: the client has closed. */
static size_t receive_head(int fd, char *buf, size_t cap)
{
    size_t len = 0;
    while (len < 4 || memcmp(buf + len - 4, "\r\n\r\n", 4) != 0) {
        ssize_t more = mh__recv(fd, buf + len, cap - len, mh__deadline_in(10000));
        if (more <= 0)
            return 0;
        len += (size_t)more;
        expect(len < cap);
    }
    return len;
}

static int say(int fd, const char *text)
{
    struct iovec iov = {(void *)(uintptr_t)text, strlen(text)};
    return mh__send_until(fd, &iov, 1, 0, 10000, mh__deadline_in(10000));
}

/* "/slow" is never answered in full; every seventh answer is the last one of its connection. */
static int answer(int fd, const char *head, int number)
{
    if (strncmp(head, "GET /slow", 9) == 0)
        return say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    if (number % 7 == 6)
        return say(fd, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"),
               -1;
    return say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
}

static void *serve(void *arg)
{
    int fd = *(int *)arg;
    char head[4096];
    free(arg);
    for (int i = 0; receive_head(fd, head, sizeof(head)) > 0 && answer(fd, head, i) == 0; i++)
        ;
    mh__close(fd);
    atomic_fetch_sub(&lines, 1);
    return NULL;
}

static void *accept_all(void *arg)
{
    (void)arg;
    for (;;) {
        pthread_t thread;
        int fd = mh__accept(listener, NULL), *copy = malloc(sizeof(fd));
        expect(copy);
        if (fd < 0) {
            free(copy);
            return NULL;
        }
        *copy = fd;
        atomic_fetch_add(&lines, 1);
        expect(pthread_create(&thread, NULL, serve, copy) == 0);
        pthread_detach(thread);
    }
}

static pthread_t server;

static void server_open(void)
{
    struct sockaddr_in addr;
    socklen_t len = sizeof(addr);
    listener = mh__listen("127.0.0.1:0");
    expect(listener >= 0);
    expect(getsockname(listener, (struct sockaddr *)&addr, &len) == 0);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", ntohs(addr.sin_port));
    snprintf(slow_url, sizeof(slow_url), "http://127.0.0.1:%d/slow", ntohs(addr.sin_port));
    expect(pthread_create(&server, NULL, accept_all, NULL) == 0);
}

/* All clients are gone: so are their connections, soon. */
static void server_close(void)
{
    shutdown(listener, SHUT_RDWR);
    pthread_join(server, NULL);
    mh__close(listener);
    for (int64_t late = mh__deadline_in(10000); atomic_load(&lines) > 0;) {
        expect(mh__clock_ms() < late);
        (void)poll(NULL, 0, 1);
    }
}

/* ---- what the threads do ---- */

static void together(void *(*run)(void *), mh_client *client)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        expect(pthread_create(&threads[i], NULL, run, client) == 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void *fetch_often(void *client)
{
    mh_response res = {0};
    mh_fetch fetch = {.url = url};
    for (int i = 0; i < FETCHES; i++) {
        expect(mh_client_fetch(client, &fetch, &res) == 200);
        expect(res.body.len == 5 && memcmp(res.body.data, "hello", 5) == 0);
    }
    mh_response_free(&res);
    return NULL;
}

struct victim {
    mh_response res;
    sem_t begun, cancelled;
};

static int begun(mh_response *res)
{
    return sem_post(&((struct victim *)res->user)->begun);
}

static void *cancel_often(void *arg)
{
    struct victim *victim = arg;
    for (int i = 0; i < CANCELS; i++) {
        while (sem_wait(&victim->begun) != 0)
            ;
        mh_client_cancel(&victim->res);
        sem_post(&victim->cancelled);
    }
    return NULL;
}

/* Every third one is complete, or about to be, when the cancel comes. */
static void *be_cancelled_often(void *client)
{
    struct victim victim = {.res = {.status = 0}};
    pthread_t thread;
    expect(sem_init(&victim.begun, 0, 0) == 0 && sem_init(&victim.cancelled, 0, 0) == 0);
    expect(pthread_create(&thread, NULL, cancel_often, &victim) == 0);
    for (int i = 0; i < CANCELS; i++) {
        mh_fetch fetch = {.url = i % 3 ? slow_url : url, .on_head = begun, .user = &victim};
        int status = mh_client_fetch(client, &fetch, &victim.res);
        expect(status == -ECANCELED || (i % 3 == 0 && status == 200));
        while (sem_wait(&victim.cancelled) != 0)
            ; /* it is not for the next one */
    }
    pthread_join(thread, NULL);
    mh_response_free(&victim.res);
    sem_destroy(&victim.begun);
    sem_destroy(&victim.cancelled);
    return NULL;
}

static void *submit_often(void *client)
{
    static const mh_response empty;
    mh_response res[SUBMITS];
    mh_loop *loop;
    expect(mh_loop_new(&loop) == 0);
    for (int i = 0; i < SUBMITS; i++)
        res[i] = empty;
    for (int round = 0; round < ROUNDS; round++) {
        mh_fetch fetch = {.url = url};
        for (int i = 0; i < SUBMITS; i++)
            expect(mh_client_submit(client, loop, &fetch, &res[i]) == 0);
        expect(mh_loop_run(loop, round + 1 < ROUNDS ? 20000 : 1) >= 0);
    }
    mh_loop_free(loop); /* with some in flight */
    for (int i = 0; i < SUBMITS; i++) {
        expect(res[i].status == 200 || res[i].error == -ECANCELED);
        mh_response_free(&res[i]);
    }
    return NULL;
}

int main(void)
{
    mh_client *client;
    server_open();
    expect(mh_client_new(&client, &(mh_client_options){.proxy = ""}) == 0);
    together(fetch_often, client);
    together(be_cancelled_often, client);
    together(submit_often, client);
    together(fetch_often, client);
    mh_client_free(client);
    server_close();
    puts("ok");
    return 0;
}
