/* fetch.c: a client of one's own, and calls that wait: connections that are kept, and all that a
 * fetch can be asked for. */
#include <minihttp/client.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "account.h"
#include "inject.h"
#include "peer.h"
#include "scenario.h"

/* ---- what is answered ---- */

static const struct answer kept[] = {
    {.pieces = {"HTTP/1.1 200 OK\r\nContent-Length: 2048\r\n\r\n", KIB_, KIB_}, .keep = true},
    {.pieces = {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nagain\r\n", "0\r\n\r\n"},
     .keep = true}};
static const struct answer dead[] = {
    {.pieces = {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst"}},
    {.pieces = {"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond"}, .keep = true}};
static const struct answer redirect[] = {
    {.pieces = {"HTTP/1.1 302 Found\r\nLocation: ../other\r\nContent-Length: 5\r\n\r\n", "there"},
     .keep = true},
    {.pieces = {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother"},
     .target = "/other",
     .keep = true}};
static const struct answer taken = {
    .pieces = {"HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\n", "done"}, .keep = true};
static const struct answer goes_on = {
    .before_body = "HTTP/1.1 100 Continue\r\n\r\n",
    .pieces = {"HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\ndone"}};
static const struct answer no_expectations[] = {
    {.before_body = "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n"},
    {.pieces = {"HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\ndone"}}};
static const struct answer coded = {
    .pieces = {"HTTP/1.1 200 OK\r\nContent-Length: 57\r\nContent-Encoding: gzip\r\n\r\n"},
    .tail = {NULL, 0},
    .keep = true};
static const struct answer refusal = {
    .pieces = {"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"}};

/* ---- a client, some fetches, and the end ---- */

enum way { DIRECTLY, BY_PROXY, BY_ADDRESS };

struct talk {
    const struct answer *answers;
    size_t count;
    const char *host; /* of ours, and the path */
    const char *url;  /* in place of that */
    enum way way;
    mh_fetch fetch;
    int times;
    bool quiet; /* the peer closes behind the first one, and that is waited for */
    bool asked; /* what was asked is the same each time: no second try is possible */
};

static int dones;

static void on_done(mh_response *res)
{
    check((res->error < 0) == (res->phase != MH_PHASE_DONE));
    dones++;
}

static int fetch(mh_client *client, const mh_fetch *fetch, mh_response *res)
{
    int status;
    dones = 0;
    COUNTED(status = mh_client_fetch(client, fetch, res));
    check(dones <= 1 && (status < 0 || dones == 1));
    check_account(res, status);
    if (status >= 0)
        note_response(res);
    return status;
}

static int fetch_all(mh_client *client, const struct talk *talk, const char *url)
{
    mh_response res = {0};
    mh_fetch what = talk->fetch;
    int status = 0;
    what.url = url;
    what.timeout_ms = TIMEOUT_MS;
    what.on_done = on_done;
    for (int i = 0; i < talk->times && status >= 0; i++) {
        status = fetch(client, &what, &res);
        if (status >= 0 && i > 0 && !talk->quiet && talk->asked)
            check(res.timings.reused || inject_hit());
        if (talk->quiet && i == 0 && status >= 0)
            peer_await_closed(1);
    }
    COUNTED(mh_response_free(&res));
    check(!res.private_ && !res.body.data && !res.url.ptr);
    return status;
}

static int with_client(const struct talk *talk, int port)
{
    char url[128], proxy[64], address[64];
    const char *const addresses[] = {"other.test:81=[::1]:8080", address, NULL};
    mh_client_options options = {.proxy = talk->way == BY_PROXY ? proxy : "",
                                 .no_proxy = "10.0.0.0/8,.internal",
                                 .user_agent = "agent/1",
                                 .connections_max = 3,
                                 .connections_per_host_max = 2,
                                 .idle_timeout_ms = -1,
                                 .addresses = talk->way == BY_ADDRESS ? addresses : NULL};
    mh_client *client;
    int status;
    snprintf(url, sizeof(url), "http://%s:%d/a/path", talk->host, port);
    snprintf(proxy, sizeof(proxy), "http://user:secret@127.0.0.1:%d", port);
    snprintf(address, sizeof(address), "example.test:80=127.0.0.1:%d", port);
    COUNTED(status = mh_client_new(&client, &options));
    check((status == 0) == (client != NULL));
    if (status == 0)
        status = fetch_all(client, talk, talk->url ? talk->url : url);
    COUNTED(mh_client_free(client));
    return status;
}

static int conduct(const struct talk *talk)
{
    int port = peer_serve(talk->answers, talk->count);
    int status = with_client(talk, port);
    check(status > 0 || status == MH_ERR_PROXY || inject_hit());
    mh_str asked = peer_stop();
    if (talk->asked)
        note_bytes("asked", asked);
    return status;
}

/* ---- connections that are kept ---- */

#define HERE "127.0.0.1"

static int kept_twice(void)
{
    return conduct(&(struct talk){.answers = kept, .count = 2, .host = HERE, .times = 3});
}

/* It is dead when it is needed: the request is made again. */
static int kept_dead(void)
{
    return conduct(
        &(struct talk){.answers = dead, .count = 2, .host = HERE, .times = 2, .quiet = true});
}

static int kept_name(void)
{
    return conduct(&(struct talk){.answers = kept, .count = 2, .host = "two.test", .times = 2});
}

static int by_redirect(void)
{
    return conduct(
        &(struct talk){.answers = redirect, .count = 2, .host = "user:pw@" HERE, .times = 2});
}

/* ---- what is sent ---- */

#define UPLOAD 3000

static size_t uploaded;

static ssize_t on_upload(mh_response *res, char *buf, size_t cap)
{
    size_t left = UPLOAD - uploaded, len = left < 1200 ? left : 1200;
    check(cap >= len && res->sent <= uploaded);
    memset(buf, 'u', len);
    uploaded += len;
    return (ssize_t)len;
}

static int upload(uint64_t len, int expect_timeout_ms, const struct answer *answers)
{
    uploaded = 0;
    return conduct(&(struct talk){.answers = answers,
                                  .count = 1,
                                  .host = HERE,
                                  .times = 1,
                                  .asked = true,
                                  .fetch = {.on_upload = on_upload,
                                            .upload_len = len,
                                            .expect_timeout_ms = expect_timeout_ms}});
}

static int upload_known(void)
{
    return upload(UPLOAD, 0, &taken);
}

static int upload_unknown(void)
{
    return upload(0, -1, &taken);
}

static int upload_expects(void)
{
    return upload(UPLOAD, TIMEOUT_MS, &goes_on);
}

static int post_memory(void)
{
    return conduct(&(struct talk){.answers = &taken,
                                  .count = 1,
                                  .host = HERE,
                                  .times = 1,
                                  .asked = true,
                                  .fetch = {.body = MH_STR(KIB_)}});
}

static int post_expects(const struct answer *answers, size_t count)
{
    return conduct(
        &(struct talk){.answers = answers,
                       .count = count,
                       .host = HERE,
                       .times = 1,
                       .asked = true,
                       .fetch = {.body = MH_STR(KIB_), .expect_timeout_ms = TIMEOUT_MS}});
}

static int expect_continue(void)
{
    return post_expects(&goes_on, 1);
}

static int expect_refused(void)
{
    return post_expects(no_expectations, 2);
}

/* ---- what comes ---- */

static int gzip_body(void)
{
    struct answer answer = coded;
    answer.tail = gzipped;
    if (!has_coding("gzip"))
        return SKIP;
    return conduct(&(struct talk){.answers = &answer, .count = 1, .host = HERE, .times = 2});
}

/* ---- other ways ---- */

static int by_proxy(void)
{
    return conduct(&(struct talk){.answers = kept,
                                  .count = 2,
                                  .url = "http://example.test/path",
                                  .way = BY_PROXY,
                                  .times = 2});
}

static int tunnel_refused(void)
{
    return conduct(&(struct talk){.answers = &refusal,
                                  .count = 1,
                                  .url = "https://example.test/path",
                                  .way = BY_PROXY,
                                  .times = 1});
}

static int by_address(void)
{
    return conduct(&(struct talk){.answers = kept,
                                  .count = 2,
                                  .url = "http://example.test/path",
                                  .way = BY_ADDRESS,
                                  .times = 2});
}

/* ---- who listens ---- */

static mh_buf traced[2];

static int on_trace(mh_response *res, mh_direction direction, const char *data, size_t len)
{
    (void)res;
    return mh_buf_append(&traced[direction], data, len);
}

static int trace(void)
{
    static const char *const headers[] = {"Authorization: Basic c2VjcmV0", "X-Key: secret", NULL};
    static const char *const secrets[] = {"X-Key", NULL};
    int status = conduct(&(struct talk){
        .answers = kept,
        .count = 1,
        .host = HERE,
        .times = 1,
        .asked = true,
        .fetch = {
            .on_trace = on_trace, .headers = headers, .secrets = secrets, .body = MH_STR("some")}});
    note_bytes("sent", mh_buf_str(&traced[MH_SENT]));
    note_bytes("received", mh_buf_str(&traced[MH_RECEIVED]));
    check(!traced[MH_SENT].data || !strstr(traced[MH_SENT].data, "c2Vj"));
    mh_buf_free(&traced[MH_SENT]);
    mh_buf_free(&traced[MH_RECEIVED]);
    return status;
}

const struct scenario fetch_scenarios[] = {
    {
        .name = "kept_twice",
        .run = kept_twice,
    },
    {
        .name = "kept_dead",
        .run = kept_dead,
    },
    {.name = "kept_name",
     .run = kept_name,
     .also = {MH_ERR_RESOLVE, -ENOMEM, -EAGAIN, -ECONNREFUSED}},
    {
        .name = "by_redirect",
        .run = by_redirect,
    },
    {
        .name = "post_memory",
        .run = post_memory,
    },
    {
        .name = "upload_known",
        .run = upload_known,
    },
    {.name = "upload_unknown", .run = upload_unknown, .send_max = 700},
    {.name = "upload_expects", .run = upload_expects, .also = {MH_ERR_CLOSED}},
    {.name = "expect_continue", .run = expect_continue, .also = {MH_ERR_CLOSED}},
    {
        .name = "expect_refused",
        .run = expect_refused,
    },
    {
        .name = "gzip_body",
        .run = gzip_body,
    },
    {
        .name = "by_proxy",
        .run = by_proxy,
    },
    {
        .name = "tunnel_refused",
        .run = tunnel_refused,
    },
    {
        .name = "by_address",
        .run = by_address,
    },
    {
        .name = "trace",
        .run = trace,
    },
    {0},
};
