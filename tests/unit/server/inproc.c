/* A server that is asked without a socket: lib/server/inproc.c. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "server/server.h"

#include "../descriptors.h"
#include "../scarce.h"
#include "sent.h"

TestSuite(inproc, .timeout = 60);

static mh_server *server;
static mh_response res;
static int ends, accesses, status_noted;

static void note_end(mh_request *req)
{
    (void)req;
    ends++;
}

static void note_access(const mh_request *req, int status, uint64_t sent, int64_t took_us)
{
    (void)req, (void)sent;
    cr_assert(took_us >= 0);
    accesses++;
    status_noted = status;
}

static void open_with(mh_server_options options)
{
    options.address = "127.0.0.1:0";
    options.threads = 1;
    options.on_access = note_access;
    cr_assert_eq(mh_server_new(&server, &options), 0);
}

static void open_for(mh_handler *handler)
{
    open_with((mh_server_options){.handler = handler});
}

static void shut(void)
{
    mh_response_free(&res);
    mh_server_free(server);
}

static int fetch(mh_fetch fetch)
{
    return mh_server_fetch(server, &fetch, &res);
}

static int get(const char *url)
{
    return fetch((mh_fetch){.url = url});
}

static bool says(const char *body)
{
    return mh_str_equal(mh_buf_str(&res.body), body);
}

/* "METHOD|/path|query|body" */
static int echo(mh_request *req)
{
    cr_assert_null(req->peer);
    cr_assert(!req->tls);
    req->on_end = note_end;
    return mh_reply_printf(req, 200, "a/b", MH_FMT "|" MH_FMT "|" MH_FMT "|" MH_FMT,
                           MH_ARG(req->method), MH_ARG(req->path), MH_ARG(req->query),
                           MH_ARG(req->body));
}

/* ---- one request ---- */

Test(inproc, paths_and_urls)
{
    open_for(echo);
    cr_assert_eq(get("/"), 200, "%s", res.detail);
    cr_assert(says("GET|/||"), "%s", res.body.data);
    cr_assert_eq(get("/a%20b?c=%20d"), 200);
    cr_assert(says("GET|/a b|c=%20d|"), "%s", res.body.data);
    cr_assert_eq(get("http://example.com:8080/x?y"), 200);
    cr_assert(says("GET|/x|y|"), "%s", res.body.data);
    cr_assert_eq(ends, 3);
    cr_assert_eq(accesses, 3);
    cr_assert_eq(status_noted, 200);
    shut();
}

Test(inproc, response)
{
    open_for(echo);
    cr_assert_eq(get("/"), 200);
    cr_assert(res.status == 200 && res.error == 0 && res.phase == MH_PHASE_DONE && !res.detail);
    cr_assert(mh_str_equal(mh_headers_get(res.headers, "content-type"), "a/b"));
    cr_assert(mh_headers_get(res.headers, "Date").len > 0);
    cr_assert(mh_str_equal(res.reason, "OK"));
    shut();
}

static int show_fields(mh_request *req)
{
    return mh_reply_printf(req, 200, NULL, MH_FMT "|" MH_FMT,
                           MH_ARG(mh_headers_get(req->headers, "Host")),
                           MH_ARG(mh_headers_get(req->headers, "X-One")));
}

Test(inproc, fields)
{
    static const char *const fields[] = {"X-One: 1", NULL};
    open_for(show_fields);
    cr_assert_eq(fetch((mh_fetch){.url = "/", .headers = fields}), 200);
    cr_assert(says("localhost|1"), "%s", res.body.data);
    cr_assert_eq(fetch((mh_fetch){.url = "http://a:81/", .headers = fields}), 200);
    cr_assert(says("a:81|1"), "%s", res.body.data);
    shut();
}

Test(inproc, methods)
{
    open_for(echo);
    cr_assert_eq(fetch((mh_fetch){.url = "/", .method = "DELETE"}), 200);
    cr_assert(says("DELETE|/||"));
    cr_assert_eq(fetch((mh_fetch){.url = "/", .method = "HEAD"}), 200);
    cr_assert_eq(res.body.len, 0);
    cr_assert(mh_str_equal(mh_headers_get(res.headers, "Content-Length"), "8"));
    shut();
}

Test(inproc, arguments_that_are_refused)
{
    mh_fetch plain = {.url = "/"}, none = {.url = NULL};
    open_for(echo);
    cr_assert_eq(mh_server_fetch(NULL, &plain, &res), -EINVAL);
    cr_assert_eq(mh_server_fetch(server, NULL, &res), -EINVAL);
    cr_assert_eq(mh_server_fetch(server, &none, &res), -EINVAL);
    cr_assert_eq(mh_server_fetch(server, &plain, NULL), -EINVAL);
    cr_assert_eq(fetch((mh_fetch){.url = "/", .timeout_ms = -2}), -EINVAL);
    cr_assert_eq(fetch((mh_fetch){.url = "/", .method = "CONNECT"}), -EINVAL);
    cr_assert_eq(get("nonsense"), MH_ERR_URL);
    cr_assert_eq(accesses, 0);
    cr_assert_eq(get("/"), 200);
    shut();
}

/* ---- bodies ---- */

Test(inproc, bodies)
{
    open_for(echo);
    cr_assert_eq(fetch((mh_fetch){.url = "/", .body = MH_STR("abc")}), 200);
    cr_assert(says("POST|/||abc"));
    cr_assert_eq(fetch((mh_fetch){.url = "/", .method = "PUT", .body = MH_STR("abc")}), 200);
    cr_assert(says("PUT|/||abc"));
    shut();
}

static int left_to_upload;

static ssize_t upload(mh_response *response, char *buf, size_t cap)
{
    (void)response, (void)cap;
    if (left_to_upload < 0)
        return -EIO;
    if (left_to_upload == 0)
        return 0;
    buf[0] = (char)('0' + left_to_upload--);
    return 1;
}

Test(inproc, uploads)
{
    open_for(echo);
    left_to_upload = 3;
    cr_assert_eq(fetch((mh_fetch){.url = "/", .on_upload = upload}), 200);
    cr_assert(says("POST|/||321"), "%s", res.body.data);
    left_to_upload = 2;
    cr_assert_eq(fetch((mh_fetch){.url = "/", .on_upload = upload, .upload_len = 2}), 200);
    cr_assert(says("POST|/||21"), "%s", res.body.data);
    left_to_upload = -1;
    cr_assert_eq(fetch((mh_fetch){.url = "/", .on_upload = upload}), -EIO);
    left_to_upload = 1;
    cr_assert_eq(fetch((mh_fetch){.url = "/", .on_upload = upload, .upload_len = 2}),
                 MH_ERR_FRAMING);
    shut();
}

Test(inproc, body_that_is_too_large)
{
    static char large[3000];
    open_with((mh_server_options){.handler = echo, .body_max = 1000});
    cr_assert_eq(fetch((mh_fetch){.url = "/", .body = {large, sizeof(large)}}), 413);
    shut();
}

static char large[3u << 20];

static int large_reply(mh_request *req)
{
    return mh_reply_borrow(req, 200, NULL, large, sizeof(large));
}

Test(inproc, large_bodies)
{
    for (size_t i = 0; i < sizeof(large); i++)
        large[i] = (char)('a' + i % 23);
    open_for(large_reply);
    cr_assert_eq(get("/"), 200);
    cr_assert_eq(res.body.len, sizeof(large));
    cr_assert_eq(memcmp(res.body.data, large, sizeof(large)), 0);
    cr_assert_eq(fetch((mh_fetch){.url = "/", .body_max = 1000}), MH_ERR_TOO_LARGE);
    shut();
}

static int file_reply(mh_request *req)
{
    int fd = memfd_create("reply", MFD_CLOEXEC);
    cr_assert_eq(write(fd, "abcdef", 6), 6);
    return mh_reply_file(req, 200, NULL, fd, 2, mh_str_equal(req->path, "/") ? 3 : 100);
}

Test(inproc, files)
{
    int before = open_descriptors();
    open_for(file_reply);
    cr_assert_eq(get("/"), 200);
    cr_assert(says("cde"));
    cr_assert_eq(get("/more"), MH_ERR_CLOSED);
    shut();
    cr_assert_eq(open_descriptors(), before);
}

/* ---- callbacks ---- */

static int heads, bodies, dones;
static int head_result, body_result;

static int note_head(mh_response *response)
{
    cr_assert_eq(response->status, 200);
    heads++;
    return head_result;
}

static int note_body(mh_response *response, const char *data, size_t len)
{
    cr_assert_eq(response->user, &bodies);
    cr_assert_eq(strncmp(data, "GET|/||", len), 0);
    bodies++;
    return body_result;
}

static void note_done(mh_response *response)
{
    cr_assert_eq(response, &res);
    dones++;
}

Test(inproc, callbacks)
{
    mh_fetch all = {.url = "/",
                    .on_head = note_head,
                    .on_body = note_body,
                    .on_done = note_done,
                    .user = &bodies};
    open_for(echo);
    cr_assert_eq(fetch(all), 200);
    cr_assert(heads == 1 && bodies == 1 && dones == 1);
    cr_assert_eq(res.body.len, 0);
    body_result = -EIO;
    cr_assert_eq(fetch(all), -EIO);
    cr_assert_eq(res.error, -EIO);
    head_result = -EPERM;
    cr_assert_eq(fetch(all), -EPERM);
    cr_assert(heads == 3 && bodies == 2 && dones == 3);
    shut();
}

/* ---- later, and in pieces ---- */

static pthread_t replier;

static void *reply_in_thread(void *arg)
{
    (void)poll(NULL, 0, 10);
    cr_assert_eq(mh_reply_text(arg, 200, "later"), 200);
    return NULL;
}

static int later(mh_request *req)
{
    req->on_end = note_end;
    cr_assert_eq(pthread_create(&replier, NULL, reply_in_thread, req), 0);
    return MH_LATER;
}

Test(inproc, replied_by_another_thread)
{
    open_for(later);
    cr_assert_eq(get("/"), 200);
    cr_assert(says("later"));
    cr_assert_eq(pthread_join(replier, NULL), 0);
    cr_assert_eq(ends, 1);
    shut();
}

static mh_request *owed;

static int never(mh_request *req)
{
    owed = req;
    req->on_end = note_end;
    return MH_LATER;
}

Test(inproc, not_replied_in_time)
{
    open_for(never);
    int64_t begin_ms = mh__clock_ms();
    cr_assert_eq(fetch((mh_fetch){.url = "/", .timeout_ms = 30}), -ETIMEDOUT);
    cr_assert(mh__clock_ms() - begin_ms >= 30 && mh__clock_ms() - begin_ms < 5000);
    cr_assert_eq(ends, 0);
    cr_assert(!mh_request_alive(owed));
    cr_assert_eq(mh_reply_text(owed, 200, "x"), MH_ERR_CLOSED);
    cr_assert_eq(ends, 1);
    shut();
}

static int piece;

static void *wake(void *arg)
{
    (void)poll(NULL, 0, 10);
    mh_reply_wake(arg);
    return NULL;
}

static ssize_t produce(mh_request *req, char *buf, size_t cap)
{
    cr_assert_gt(cap, 1);
    switch (piece++) {
    case 0:
        buf[0] = 'a';
        return 1;
    case 1:
        cr_assert_eq(pthread_create(&replier, NULL, wake, req), 0);
        return -EAGAIN;
    case 2:
        buf[0] = 'b';
        return 1;
    default:
        return mh_reply_trailer(req, "X-Sum", "2");
    }
}

static int stream(mh_request *req)
{
    piece = 0;
    return mh_reply_stream(req, 200, NULL, MH_LENGTH_UNKNOWN, produce);
}

Test(inproc, produced)
{
    open_for(stream);
    cr_assert_eq(get("/"), 200);
    cr_assert_eq(pthread_join(replier, NULL), 0);
    cr_assert(says("ab"));
    cr_assert(mh_str_equal(mh_headers_get(res.trailers, "X-Sum"), "2"));
    shut();
}

static ssize_t produce_nothing(mh_request *req, char *buf, size_t cap)
{
    (void)req, (void)buf, (void)cap;
    return -EIO;
}

static int stream_broken(mh_request *req)
{
    req->on_end = note_end;
    return mh_reply_stream(req, 200, NULL, 5, produce_nothing);
}

Test(inproc, cut)
{
    open_for(stream_broken);
    cr_assert_eq(get("/"), MH_ERR_CLOSED);
    cr_assert_eq(res.status, 200);
    cr_assert_eq(ends, 1);
    shut();
}

static mh_buf kept;

static int keep_body(mh_request *req, const char *data, size_t len)
{
    if (len == 0)
        return mh_reply_borrow(req, 200, NULL, kept.data, kept.len) < 0 ? -EINVAL : 0;
    return mh_buf_append(&kept, data, len);
}

static int streamed(mh_request *req)
{
    req->on_body = keep_body;
    return MH_LATER;
}

Test(inproc, streamed_bodies)
{
    open_with((mh_server_options){.handler = streamed, .stream_bodies = true});
    left_to_upload = 3;
    cr_assert_eq(fetch((mh_fetch){.url = "/", .on_upload = upload}), 200);
    cr_assert(says("321"), "%s", res.body.data);
    mh_buf_free(&kept);
    shut();
}

/* ---- what goes wrong ---- */

static int fails(mh_request *req)
{
    (void)req;
    return -EIO;
}

Test(inproc, a_handler_that_fails)
{
    open_for(fails);
    cr_assert_eq(get("/"), 500);
    cr_assert(says("500 Internal Server Error\n"));
    shut();
}

/* With room for n allocations: an error, or a reply that says so, and nothing stays. */
Test(inproc, without_memory)
{
    int before = open_descriptors(), result = -ENOMEM, n = 0;
    open_for(echo);
    for (; (result == -ENOMEM || result == 503) && n < 100; n++) {
        allocations_left = n;
        result = fetch((mh_fetch){.url = "/", .body = MH_STR("abc")});
        allocations_left = -1;
        mh_response_free(&res);
    }
    cr_assert(result == 200 && n > 5, "%d with %d", result, n);
    shut();
    cr_assert_eq(open_descriptors(), before);
}

/* It is asked for as well while it runs. */
Test(inproc, attached)
{
    mh_loop *loop;
    open_for(echo);
    cr_assert_eq(mh_loop_new(&loop), 0);
    cr_assert_eq(mh_server_attach(server, loop), 0);
    cr_assert_eq(get("/"), 200);
    cr_assert_eq(mh_loop_run(loop, 0), 1);
    shut();
    mh_loop_free(loop);
}
