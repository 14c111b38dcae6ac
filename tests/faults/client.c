/* client.c: fetching, from a peer that does everything right. */
#include <minihttp/client.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "account.h"
#include "inject.h"
#include "names.h"
#include "peer.h"
#include "scenario.h"

#define KEPT "kept"

static char url[128];

static void serve(const struct answer *answers, size_t count, const char *host)
{
    int port = peer_serve(answers, count);
    snprintf(url, sizeof(url), "http://%s:%d/path?query", host, port);
}

/* ---- what is answered ---- */

static const struct answer short_one = {
    .pieces = {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"}};
static const struct answer with_length = {
    .pieces = {"HTTP/1.1 200 OK\r\nContent-Length: 2048\r\n\r\n", KIB_, KIB_}};
static const struct answer in_chunks = {
    .pieces = {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4", "00;x=y\r\n" KIB_ "\r\n",
               "3\r\nend\r\n0\r\nTrailer: t", "railer\r\n\r\n"}};
static const struct answer until_close = {.pieces = {"HTTP/1.1 200 OK\r\n\r\n", KIB_, "the end"}};
static const struct answer not_found = {
    .pieces = {"HTTP/1.1 100 Continue\r\n\r\n",
               "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"}};

/* ---- the front doors ---- */

static int get_once(void)
{
    char buf[4096];
    serve(&short_one, 1, "127.0.0.1");
    ssize_t len;
    COUNTED(len = mh_get_once(url, buf, sizeof(buf)));
    note_bytes("asked", peer_stop());
    if (len > 0)
        note_bytes("raw", (mh_str){buf, (size_t)len});
    check(len != 0);
    return (int)len;
}

/* On an error the buffer is as it was. */
static int get(const struct answer *answer, const char *host)
{
    mh_buf body = {0};
    int status = mh_buf_append(&body, KEPT, strlen(KEPT));
    serve(answer, 1, host);
    COUNTED(status = mh_get(url, &body));
    note_bytes("asked", peer_stop());
    note_bytes("body", mh_buf_str(&body));
    if (status < 0)
        check(mh_str_equal(mh_buf_str(&body), KEPT));
    check(memcmp(body.data, KEPT, strlen(KEPT)) == 0 && body.data[body.len] == '\0');
    mh_buf_free(&body);
    return status;
}

static int get_length(void)
{
    return get(&with_length, "127.0.0.1");
}

static int get_chunked(void)
{
    return get(&in_chunks, "127.0.0.1");
}

static int get_until_close(void)
{
    return get(&until_close, "127.0.0.1");
}

static int get_not_found(void)
{
    return get(&not_found, "127.0.0.1");
}

static int get_name(void)
{
    return get(&short_one, "localhost");
}

static int get_two_addresses(void)
{
    return get(&short_one, "two.test");
}

static int get_two_families(void)
{
    return get(&short_one, "six.test");
}

/* ---- with options, and an account ---- */

static int fetch_into(mh_response *res, const mh_fetch *fetch)
{
    int status;
    COUNTED(status = mh_client_fetch(NULL, fetch, res));
    check_account(res, status);
    if (status >= 0)
        note_response(res);
    return status;
}

/* What changes something is only tried again when the peer has not seen a byte of it. */
static int finish(mh_response *res, int status, bool idempotent)
{
    bool retryable = res->retryable;
    mh_str asked = peer_stop();
    note_bytes("asked", asked);
    check(idempotent || !retryable || asked.len == 0);
    COUNTED(mh_response_free(res));
    check(!res->private_ && !res->body.data && !res->url.ptr);
    return status;
}

static int post(int timeout_ms, int idle_timeout_ms)
{
    static const char *const headers[] = {"Content-Type: text/plain", "X-Other:  value ", NULL};
    mh_response res = {0};
    mh_fetch fetch = {.url = url,
                      .headers = headers,
                      .body = MH_STR(KIB_),
                      .timeout_ms = timeout_ms,
                      .idle_timeout_ms = idle_timeout_ms};
    serve(&with_length, 1, "127.0.0.1");
    return finish(&res, fetch_into(&res, &fetch), false);
}

static int fetch_post(void)
{
    return post(TIMEOUT_MS, 0);
}

/* It leaves in small pieces, and only silence ends it. */
static int fetch_post_slowly(void)
{
    return post(-1, 1000);
}

/* The second one, into memory that is there already, brings more than the first. */
static int fetch_again(void)
{
    const struct answer answers[] = {short_one, in_chunks, not_found};
    mh_response res = {0};
    mh_fetch fetch = {.url = url, .timeout_ms = TIMEOUT_MS};
    int status = 0;
    serve(answers, 3, "127.0.0.1");
    for (int i = 0; i < 3 && status >= 0; i++)
        status = fetch_into(&res, &fetch);
    return finish(&res, status, true);
}

/* An error is forgotten by the next fetch. */
static int fetch_after_error(void)
{
    mh_response res = {0};
    mh_fetch fetch = {.url = url, .timeout_ms = TIMEOUT_MS};
    serve(&with_length, 1, "127.0.0.1");
    int status = fetch_into(&res, &fetch);
    if (status < 0)
        status = fetch_into(&res, &fetch);
    (void)peer_stop();
    mh_response_free(&res);
    return status;
}

struct story {
    int heads, progress;
    mh_buf body;
};

static int on_head(mh_response *res)
{
    ((struct story *)res->user)->heads++;
    return 0;
}

static int on_body(mh_response *res, const char *data, size_t len)
{
    struct story *story = res->user;
    return mh_buf_append(&story->body, data, len);
}

static int on_progress(mh_response *res)
{
    struct story *story = res->user;
    check(res->received == story->body.len);
    story->progress++;
    return 0;
}

static int fetch_on_body(void)
{
    mh_response res = {0};
    struct story story = {0};
    mh_fetch fetch = {.url = url,
                      .timeout_ms = TIMEOUT_MS,
                      .on_head = on_head,
                      .on_body = on_body,
                      .on_progress = on_progress,
                      .user = &story};
    serve(&in_chunks, 1, "127.0.0.1");
    int status = fetch_into(&res, &fetch);
    check(story.heads <= 1 && (status < 0 || story.heads == 1));
    check(res.body.len == 0);
    note_bytes("story", mh_buf_str(&story.body));
    mh_buf_free(&story.body);
    return finish(&res, status, true);
}

static int fetch_once(void)
{
    char buf[4096];
    mh_response res = {0};
    mh_fetch fetch = {.url = url, .body = MH_STR("body"), .timeout_ms = TIMEOUT_MS};
    serve(&short_one, 1, "localhost");
    ssize_t len;
    COUNTED(len = mh_client_fetch_once(NULL, &fetch, buf, sizeof(buf), &res));
    check_account(&res, (int)len);
    if (len > 0)
        note_bytes("raw", (mh_str){buf, (size_t)len});
    return finish(&res, (int)len, false);
}

/* Nobody answers the lookup in time; its thread goes on alone, and cleans up behind itself. */
static int slow_name(void)
{
    mh_response res = {0};
    mh_fetch fetch = {.url = url, .connect_timeout_ms = 20, .timeout_ms = TIMEOUT_MS};
    names_hold();
    serve(&short_one, 1, "slow.test");
    int status = fetch_into(&res, &fetch);
    status = finish(&res, status, true);
    names_release();
    return status;
}

const struct scenario client_scenarios[] = {
    {.name = "get_once", .run = get_once, .one_recv = true},
    {
        .name = "get_length",
        .run = get_length,
    },
    {
        .name = "get_chunked",
        .run = get_chunked,
    },
    {.name = "get_until_close", .run = get_until_close, .eof_is_end = true},
    {
        .name = "get_not_found",
        .run = get_not_found,
    },
    {.name = "get_name", .run = get_name, .also = {MH_ERR_RESOLVE, -ENOMEM}},
    {.name = "get_two_addresses",
     .run = get_two_addresses,
     .also = {MH_ERR_RESOLVE, -ENOMEM, -ECONNREFUSED}},
    {.name = "get_two_families",
     .run = get_two_families,
     .also = {MH_ERR_RESOLVE, -ENOMEM, -ECONNREFUSED}},
    {
        .name = "fetch_post",
        .run = fetch_post,
    },
    {.name = "fetch_post_slowly", .run = fetch_post_slowly, .send_max = 200},
    {
        .name = "fetch_again",
        .run = fetch_again,
    },
    {
        .name = "fetch_after_error",
        .run = fetch_after_error,
    },
    {
        .name = "fetch_on_body",
        .run = fetch_on_body,
    },
    {.name = "fetch_once", .run = fetch_once, .also = {MH_ERR_RESOLVE, -ENOMEM}, .one_recv = true},
    {.name = "slow_name", .run = slow_name, .also = {MH_ERR_RESOLVE, -ENOMEM}},
    {0},
};
