/* lab_routes.c: what the lab's server answers.
 *
 *   GET  /                      "hello\n"
 *   POST /echo                  the decoded body
 *   GET  /chunked?bytes=N       N bytes of the pattern, of unknown length
 *   GET  /length?bytes=N        the same, of known length
 *   GET  /short?bytes=N         says twice as many as come
 *   GET  /broken?bytes=N        the producer fails behind them
 *   GET  /slow-producer?pieces=N&ms=N   one line at a time, the clock between them
 *   GET  /large                 borrowed bytes of the pattern
 *   GET  /later?ms=N            answered by the clock's thread
 *   POST /early?status=N        answered at once, the body is passed over
 *   POST /upload?pause=N        counts the body; pauses N ms after each piece
 *   POST /trailers              the trailers that came; some go back
 *   GET  /whoami                the peer's address
 *   GET  /page                  HTML with two hundred images from /files
 *   GET  /status/{code}         a bare status
 *   GET  /error                 the handler fails
 *   GET  /trim                  malloc_trim(), and how many bytes are allocated
 *   POST /stop                  stops the server
 *   GET  /listing/...           the folder --root, with listings
 *   GET  /files/..., /...       the folder --root
 *
 * The pattern's byte i is i modulo 251. */
#include "lab_server.h"

#include <errno.h>
#include <malloc.h>
#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BINARY "application/octet-stream"
#define IMAGES 200

/* A request, and what is kept for it. It has two holders where the clock knows it too. */
struct visit {
    pthread_mutex_t lock;
    mh_request *req; /* NULL: it is over */
    int holders;
    mh_buf body;
    uint64_t count, end;
    int ms;
    bool ready; /* the clock has struck for the next piece */
};

static void drop(struct visit *visit)
{
    pthread_mutex_lock(&visit->lock);
    int left = --visit->holders;
    pthread_mutex_unlock(&visit->lock);
    if (left > 0)
        return;
    pthread_mutex_destroy(&visit->lock);
    mh_buf_free(&visit->body);
    free(visit);
}

static void leave(mh_request *req)
{
    struct visit *visit = req->data;
    pthread_mutex_lock(&visit->lock);
    visit->req = NULL;
    pthread_mutex_unlock(&visit->lock);
    drop(visit);
}

static struct visit *enter(mh_request *req)
{
    struct visit *visit = lab_alloc(sizeof(*visit));
    *visit = (struct visit){.req = req, .holders = 1};
    pthread_mutex_init(&visit->lock, NULL);
    req->data = visit;
    req->on_end = leave;
    return visit;
}

static void hold(struct visit *visit)
{
    pthread_mutex_lock(&visit->lock);
    visit->holders++;
    pthread_mutex_unlock(&visit->lock);
}

/* A number of the query, or what stands in for it. */
static int number(const mh_request *req, const char *name, int standard)
{
    mh_buf text = {0};
    int value = standard;
    if (mh_request_query(req, name, &text) > 0 && mh_buf_append(&text, "", 1) == 0)
        value = (int)strtol(text.data, NULL, 10);
    mh_buf_free(&text);
    return value;
}

static void fill(char *buf, size_t len, uint64_t offset)
{
    for (size_t i = 0; i < len; i++)
        buf[i] = (char)((offset + i) % 251);
}

/* ---- small ones ---- */

static int hello(mh_request *req)
{
    return mh_reply_text(req, 200, "hello\n");
}

static int whoami(mh_request *req)
{
    char host[64] = "unix", port[16] = "0";
    socklen_t len = req->peer && req->peer->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                                  : sizeof(struct sockaddr_in);
    if (req->peer)
        getnameinfo(req->peer, len, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV);
    return mh_reply_printf(req, 200, "text/plain", "%s %s%s\n", host, port, req->tls ? " tls" : "");
}

static int large(mh_request *req)
{
    mh_str bytes = lab.large;
    return mh_reply_borrow(req, 200, BINARY, bytes.ptr, bytes.len);
}

static int page(mh_request *req)
{
    mh_buf html = {0};
    int err = mh_buf_printf(&html, "<!DOCTYPE html><title>page</title><body><p id=n>-</p>\n");
    for (int i = 0; i < IMAGES && err == 0; i++)
        err = mh_buf_printf(&html, "<img src='/files/%d.svg' width=20 height=20>\n", i);
    if (err == 0)
        err = mh_buf_printf(
            &html, "<script>onload = () => document.getElementById('n').textContent =\n"
                   "[...document.images].filter(i => i.naturalWidth > 0).length</script>\n");
    if (err == 0)
        err = mh_reply_take(req, 200, "text/html; charset=utf-8", &html);
    mh_buf_free(&html);
    return err;
}

static int status(mh_request *req)
{
    mh_str code = mh_request_param(req, "code");
    int value = 0;
    for (size_t i = 0; i < code.len && value < 1000; i++)
        value = value * 10 + (code.ptr[i] - '0');
    return value;
}

static int error(mh_request *req)
{
    (void)req;
    return -EIO;
}

static int trim(mh_request *req)
{
    malloc_trim(0);
    return mh_reply_printf(req, 200, "text/plain", "%zu\n", mallinfo2().uordblks);
}

static int stop(mh_request *req)
{
    mh_server_stop(lab.server);
    return mh_reply_text(req, 200, "stopping\n");
}

/* ---- bodies that come ---- */

static int collect(mh_request *req, const char *data, size_t len)
{
    struct visit *visit = req->data;
    if (len > 0)
        return mh_buf_append(&visit->body, data, len);
    int err = mh_reply_take(req, 200, BINARY, &visit->body);
    return err < 0 ? err : 0;
}

static int echo(mh_request *req)
{
    if (!lab.streams)
        return mh_reply_copy(req, 200, BINARY, req->body.ptr, req->body.len);
    enter(req);
    req->on_body = collect;
    return MH_LATER;
}

static void go_on(void *data)
{
    struct visit *visit = data;
    pthread_mutex_lock(&visit->lock);
    if (visit->req)
        mh_request_pause(visit->req, false);
    pthread_mutex_unlock(&visit->lock);
    drop(visit);
}

static int count(mh_request *req, const char *data, size_t len)
{
    (void)data;
    struct visit *visit = req->data;
    visit->count += len;
    if (len == 0) {
        int err = mh_reply_printf(req, 200, "text/plain", "%llu bytes\n",
                                  (unsigned long long)visit->count);
        return err < 0 ? err : 0;
    }
    if (visit->ms > 0) {
        mh_request_pause(req, true);
        hold(visit);
        lab_clock_after(visit->ms, go_on, visit);
    }
    return 0;
}

static int upload(mh_request *req)
{
    if (!lab.streams)
        return mh_reply_printf(req, 200, "text/plain", "%zu bytes\n", req->body.len);
    enter(req)->ms = number(req, "pause", 0);
    req->on_body = count;
    return MH_LATER;
}

static int early(mh_request *req)
{
    return mh_reply_text(req, number(req, "status", 413), "early\n");
}

/* ---- bodies that go ---- */

static ssize_t produce(mh_request *req, char *buf, size_t cap)
{
    struct visit *visit = req->data;
    uint64_t left = visit->end - visit->count;
    size_t len = left < cap ? (size_t)left : cap;
    fill(buf, len, visit->count);
    visit->count += len;
    return (ssize_t)len;
}

static ssize_t produce_and_fail(mh_request *req, char *buf, size_t cap)
{
    ssize_t len = produce(req, buf, cap);
    return len > 0 ? len : -EIO;
}

static int chunked(mh_request *req)
{
    enter(req)->end = (uint64_t)number(req, "bytes", 100000);
    return mh_reply_stream(req, 200, BINARY, MH_LENGTH_UNKNOWN, produce);
}

static int of_length(mh_request *req)
{
    struct visit *visit = enter(req);
    visit->end = (uint64_t)number(req, "bytes", 100000);
    return mh_reply_stream(req, 200, BINARY, visit->end, produce);
}

static int too_short(mh_request *req)
{
    struct visit *visit = enter(req);
    visit->end = (uint64_t)number(req, "bytes", 1000);
    return mh_reply_stream(req, 200, BINARY, visit->end * 2, produce);
}

static int broken(mh_request *req)
{
    enter(req)->end = (uint64_t)number(req, "bytes", 1000);
    return mh_reply_stream(req, 200, BINARY, MH_LENGTH_UNKNOWN, produce_and_fail);
}

static void strike(void *data)
{
    struct visit *visit = data;
    pthread_mutex_lock(&visit->lock);
    visit->ready = true;
    if (visit->req)
        mh_reply_wake(visit->req);
    pthread_mutex_unlock(&visit->lock);
    drop(visit);
}

/* A line when the clock has struck since the last one. */
static ssize_t produce_slowly(mh_request *req, char *buf, size_t cap)
{
    struct visit *visit = req->data;
    pthread_mutex_lock(&visit->lock);
    bool ready = visit->ready;
    visit->ready = false;
    pthread_mutex_unlock(&visit->lock);
    if (!ready)
        return -EAGAIN;
    if (visit->count == visit->end || cap < 5)
        return 0;
    memcpy(buf, "line\n", 5);
    visit->count++;
    hold(visit);
    lab_clock_after(visit->ms, strike, visit);
    return 5;
}

static int slow_producer(mh_request *req)
{
    struct visit *visit = enter(req);
    visit->end = (uint64_t)number(req, "pieces", 10);
    visit->ms = number(req, "ms", 20);
    visit->ready = true;
    return mh_reply_stream(req, 200, "text/plain", MH_LENGTH_UNKNOWN, produce_slowly);
}

static void answer(void *data)
{
    struct visit *visit = data;
    mh_request *req = visit->req; /* it stays as long as the reply is owed */
    (void)mh_reply_text(req, 200, mh_request_alive(req) ? "later\n" : "too late\n");
    drop(visit);
}

static int later(mh_request *req)
{
    struct visit *visit = enter(req);
    hold(visit);
    lab_clock_after(number(req, "ms", 0), answer, visit);
    return MH_LATER;
}

/* ---- trailers ---- */

static ssize_t produce_collected(mh_request *req, char *buf, size_t cap)
{
    struct visit *visit = req->data;
    size_t left = visit->body.len - (size_t)visit->count;
    size_t len = left < cap ? left : cap;
    if (len == 0)
        return 0;
    memcpy(buf, visit->body.data + visit->count, len);
    visit->count += len;
    return (ssize_t)len;
}

static int list_trailers(mh_request *req)
{
    struct visit *visit = req->data;
    int err = mh_buf_append(&visit->body, "trailers:\n", 10);
    for (size_t i = 0; i < req->trailers.count && err == 0; i++)
        err = mh_buf_printf(&visit->body, MH_FMT "=" MH_FMT "\n", MH_ARG(req->trailers.at[i].name),
                            MH_ARG(req->trailers.at[i].value));
    if (err == 0)
        err = mh_reply_trailer(req, "X-Count", "1");
    return err < 0 ? err
                   : mh_reply_stream(req, 200, "text/plain", MH_LENGTH_UNKNOWN, produce_collected);
}

static int list_at_end(mh_request *req, const char *data, size_t len)
{
    (void)data;
    int err = len == 0 ? list_trailers(req) : 0;
    return err < 0 ? err : 0;
}

static int trailers(mh_request *req)
{
    enter(req);
    if (!lab.streams)
        return list_trailers(req);
    req->on_body = list_at_end;
    return MH_LATER;
}

/* ---- the table ---- */

const mh_route lab_routes[] = {
    {"GET", "/", hello, NULL},
    {"POST", "/echo", echo, NULL},
    {"GET", "/chunked", chunked, NULL},
    {"GET", "/length", of_length, NULL},
    {"GET", "/short", too_short, NULL},
    {"GET", "/broken", broken, NULL},
    {"GET", "/slow-producer", slow_producer, NULL},
    {"GET", "/large", large, NULL},
    {"GET", "/later", later, NULL},
    {NULL, "/early", early, NULL},
    {NULL, "/upload", upload, NULL},
    {"POST", "/trailers", trailers, NULL},
    {"GET", "/whoami", whoami, NULL},
    {"GET", "/page", page, NULL},
    {"GET", "/status/{code}", status, NULL},
    {"GET", "/error", error, NULL},
    {"GET", "/trim", trim, NULL},
    {"POST", "/stop", stop, NULL},
    {"GET", "/listing/*", mh_serve_files, &lab.listing},
    {"GET", "/files/*", mh_serve_files, &lab.prefixed},
    {"GET", "/*", mh_serve_files, &lab.files},
    {0},
};
