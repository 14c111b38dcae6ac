/* server.c: one server with four threads of its own, for ThreadSanitizer: our own client loads it
 * from several threads, other threads make its replies, wake its producers, let bodies go on and
 * ask whether a peer is still there, and one stops it in the middle. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <minihttp.h>

#define THREADS 4
#define REPLIERS 2
#define FETCHES 300 /* of each thread */
#define ROUNDS 12   /* of starting, loading and stopping; the last ones are cut short */
#define PIECES 4    /* that a producer makes */

#define expect(holds)                                                                              \
    do {                                                                                           \
        if (!(holds)) {                                                                            \
            printf("FAILED: server.c:%d: %s\n", __LINE__, #holds);                                 \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* ---- what is done elsewhere ---- */

enum kind { REPLY, WAKE, GO_ON };

struct job {
    struct job *next;
    mh_request *req;
    enum kind kind;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct job *first, **last;
    bool over;
} jobs = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static atomic_int begun, ended;

static void put_job(mh_request *req, enum kind kind)
{
    struct job *job = malloc(sizeof(*job));
    expect(job);
    *job = (struct job){NULL, req, kind};
    pthread_mutex_lock(&jobs.lock);
    *jobs.last = job;
    jobs.last = &job->next;
    pthread_cond_signal(&jobs.changed);
    pthread_mutex_unlock(&jobs.lock);
}

/* Under the lock, so that on_end() can take what is left of a request away. */
static struct job *take_job(void)
{
    struct job *job = jobs.first;
    jobs.first = job->next;
    if (!jobs.first)
        jobs.last = &jobs.first;
    return job;
}

static void drop_jobs(const mh_request *req)
{
    pthread_mutex_lock(&jobs.lock);
    for (struct job **at = &jobs.first; *at;) {
        struct job *job = *at;
        if (job->req != req) {
            at = &job->next;
            continue;
        }
        *at = job->next;
        free(job);
    }
    jobs.last = &jobs.first;
    while (*jobs.last)
        jobs.last = &(*jobs.last)->next;
    pthread_mutex_unlock(&jobs.lock);
}

/* The others are done under the lock: what they are about may end any time. A reply that is owed
 * keeps its request. */
static void do_job(struct job *job)
{
    if (job->kind == WAKE)
        mh_reply_wake(job->req);
    if (job->kind == GO_ON)
        mh_request_pause(job->req, false);
    if (job->kind != REPLY)
        return;
    pthread_mutex_unlock(&jobs.lock);
    bool alive = mh_request_alive(job->req);
    int status = mh_reply_text(job->req, 200, "hello");
    expect(status == MH_ERR_CLOSED || (alive && status == 200));
    pthread_mutex_lock(&jobs.lock);
}

static void *do_jobs(void *arg)
{
    pthread_mutex_lock(&jobs.lock);
    while (!jobs.over || jobs.first) {
        if (!jobs.first) {
            pthread_cond_wait(&jobs.changed, &jobs.lock);
            continue;
        }
        struct job *job = take_job();
        do_job(job);
        free(job);
    }
    pthread_mutex_unlock(&jobs.lock);
    return arg;
}

/* ---- the handlers ---- */

static void on_end(mh_request *req)
{
    drop_jobs(req);
    atomic_fetch_add(&ended, 1);
}

/* Every other time there is nothing, until another thread says that there is. */
static ssize_t produce(mh_request *req, char *buf, size_t cap)
{
    uintptr_t step = (uintptr_t)req->data;
    req->data = (void *)(step + 1);
    expect(cap >= 5);
    if (step % 2 == 0) {
        put_job(req, WAKE);
        return -EAGAIN;
    }
    if (step / 2 == PIECES)
        return 0;
    memcpy(buf, "hello", 5);
    return 5;
}

/* Stops after each piece, until another thread lets it go on. At the end another one replies. */
static int take_body(mh_request *req, const char *data, size_t len)
{
    if (len > 0) {
        mh_request_pause(req, true);
        put_job(req, GO_ON);
        return 0;
    }
    if (!data)
        return -ECONNRESET;
    put_job(req, REPLY);
    return 0;
}

static int handle(mh_request *req)
{
    atomic_fetch_add(&begun, 1);
    req->on_end = on_end;
    if (mh_str_equal(req->path, "/later")) {
        put_job(req, REPLY);
        return MH_LATER;
    }
    if (mh_str_equal(req->path, "/stream"))
        return mh_reply_stream(req, 200, NULL, MH_LENGTH_UNKNOWN, produce);
    if (mh_str_equal(req->path, "/upload")) {
        req->on_body = take_body;
        return MH_LATER;
    }
    return mh_reply_text(req, 200, "hello");
}

/* ---- the load ---- */

static char body[200000];
static uint16_t port;
static atomic_bool stopping;

static void fetch_one(mh_client *client, mh_response *res, int number)
{
    static const char *const paths[] = {"/", "/later", "/stream", "/upload"};
    char url[64];
    mh_fetch fetch = {.url = url};
    const char *path = paths[number % 4];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", port, path);
    if (number % 4 == 3)
        fetch.body = (mh_str){body, sizeof(body)};
    int status = mh_client_fetch(client, &fetch, res);
    expect(status == 200 || atomic_load(&stopping));
    if (status == 200)
        expect(res->body.len == (number % 4 == 2 ? 5 * PIECES : 5));
}

static void *load(void *arg)
{
    mh_response res = {0};
    for (int i = 0; i < FETCHES && !atomic_load(&stopping); i++)
        fetch_one(arg, &res, i);
    mh_response_free(&res);
    return NULL;
}

static void *run(void *server)
{
    expect(mh_server_run(server) == 0);
    return NULL;
}

static void start_all(pthread_t *threads, int count, void *(*what)(void *), void *arg)
{
    for (int i = 0; i < count; i++)
        expect(pthread_create(&threads[i], NULL, what, arg) == 0);
}

static void join_all(const pthread_t *threads, int count)
{
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

/* ---- a server from its beginning to its end ---- */

static void end_jobs(const pthread_t *repliers)
{
    pthread_mutex_lock(&jobs.lock);
    jobs.over = true;
    pthread_cond_broadcast(&jobs.changed);
    pthread_mutex_unlock(&jobs.lock);
    join_all(repliers, REPLIERS);
}

/* early: it is stopped while it has most to do, the second time at once. */
static void serve(bool early)
{
    pthread_t server_thread, loads[THREADS], repliers[REPLIERS];
    mh_server_options options = {.address = "127.0.0.1:0",
                                 .handler = handle,
                                 .threads = THREADS,
                                 .stream_bodies = true,
                                 .stop_timeout_ms = 500};
    mh_server *server;
    mh_client *client;
    jobs.first = NULL;
    jobs.last = &jobs.first;
    jobs.over = false;
    atomic_store(&stopping, false);
    expect(mh_server_new(&server, &options) == 0);
    port = mh_server_port(server);
    expect(mh_client_new(&client, &(mh_client_options){.proxy = ""}) == 0);
    start_all(repliers, REPLIERS, do_jobs, NULL);
    start_all(&server_thread, 1, run, server);
    start_all(loads, THREADS, load, client);
    if (early) {
        (void)poll(NULL, 0, 30);
        atomic_store(&stopping, true);
        mh_server_stop(server);
        mh_server_stop(server);
    }
    join_all(loads, early ? 0 : THREADS);
    mh_server_stop(server);
    pthread_join(server_thread, NULL);
    end_jobs(repliers);
    mh_server_free(server);
    join_all(loads, early ? THREADS : 0);
    mh_client_free(client);
    expect(atomic_load(&begun) == atomic_load(&ended));
}

int main(void)
{
    for (int i = 0; i < ROUNDS; i++)
        serve(i > 0);
    puts("ok");
    return 0;
}
