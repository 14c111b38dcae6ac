/* stream.c: bodies that nobody has in memory.
 *
 *   stream [--address A] [--port N]
 *
 *   GET  /ticks    an event each second, to everybody who listens
 *   POST /upload   how many bytes it was; they are counted as they come
 *
 * The ticks come from a thread that knows nothing of connections: it wakes those who listen, and
 * their producers, on the threads of the server, write what is new. */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "serving.h"

#define BODY_MAX ((size_t)1 << 40) /* bytes of an upload: none is kept */
#define STOP_MS 1000               /* ticks never end by themselves */

/* ---- ticks ---- */

struct listener {
    struct listener *next;
    mh_request *req;
    unsigned seen;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all that follows */
static struct listener *listeners;
static unsigned ticks;

/* on_end() takes this lock before a request goes, so each one in the list is there. */
static void tick(void)
{
    pthread_mutex_lock(&lock);
    ticks++;
    for (struct listener *listener = listeners; listener; listener = listener->next)
        mh_reply_wake(listener->req);
    pthread_mutex_unlock(&lock);
}

static void *tick_each_second(void *arg)
{
    for (;;) {
        nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
        tick();
    }
    return arg;
}

/* What is new since the last call; ticks that were missed are not made up for. */
static ssize_t produce_tick(mh_request *req, char *buf, size_t cap)
{
    struct listener *listener = req->data;
    pthread_mutex_lock(&lock);
    unsigned now = ticks;
    pthread_mutex_unlock(&lock);
    if (now == listener->seen)
        return -EAGAIN;
    listener->seen = now;
    int len = snprintf(buf, cap, "data: tick %u\n\n", now);
    return len >= 0 && (size_t)len < cap ? len : -ENOBUFS;
}

static void add_listener(struct listener *listener)
{
    pthread_mutex_lock(&lock);
    listener->seen = ticks;
    listener->next = listeners;
    listeners = listener;
    pthread_mutex_unlock(&lock);
}

static void remove_listener(mh_request *req)
{
    pthread_mutex_lock(&lock);
    struct listener **at = &listeners;
    while (*at != req->data)
        at = &(*at)->next;
    *at = (*at)->next;
    pthread_mutex_unlock(&lock);
    free(req->data);
}

static int serve_ticks(mh_request *req)
{
    struct listener *listener = calloc(1, sizeof(*listener));
    if (!listener)
        return 503;
    listener->req = req;
    req->data = listener;
    req->on_end = remove_listener;
    add_listener(listener);
    return mh_reply_stream(req, 200, "text/event-stream", MH_LENGTH_UNKNOWN, produce_tick);
}

/* ---- uploads ---- */

static int count(mh_request *req, const char *data, size_t len)
{
    uint64_t *total = req->data;
    (void)data;
    *total += len;
    if (len > 0)
        return 0;
    return mh_reply_printf(req, 200, "text/plain", "%" PRIu64 " bytes\n", *total);
}

static void free_total(mh_request *req)
{
    free(req->data);
}

static int take_upload(mh_request *req)
{
    req->data = calloc(1, sizeof(uint64_t));
    if (!req->data)
        return 503;
    req->on_body = count;
    req->on_end = free_total;
    return MH_LATER; /* until the end of the body */
}

/* ---- the program ---- */

static const mh_route routes[] = {
    {"GET", "/ticks", serve_ticks, NULL},
    {"POST", "/upload", take_upload, NULL},
    {0},
};

/* It ends with the process. Signals are for the threads of the server. */
static int start_ticking(void)
{
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int err = pthread_create(&thread, NULL, tick_each_second, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err == 0)
        pthread_detach(thread);
    return -err;
}

int main(int argc, char **argv)
{
    static struct program program = {.name = "stream",
                                     .usage = "usage: stream [--address A] [--port N]\n"
                                              "Send ticks from /ticks, count what comes to "
                                              "/upload, until Control-C.\n\n" SERVING_HELP};
    struct serving serving;
    int status = parse_serving(&program, &serving, argc, argv);
    if (status != GO_ON)
        return status;
    int err = start_ticking();
    if (err < 0)
        return explain_file(&program, "thread", err);
    return run_server(&program, &serving,
                      (mh_server_options){.handler = mh_serve_routes,
                                          .user = (void *)routes,
                                          .stream_bodies = true,
                                          .body_max = BODY_MAX,
                                          .stop_timeout_ms = STOP_MS});
}
