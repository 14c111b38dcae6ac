/* many.c: transfers on a loop of one's own: at once, in turn, cancelled, paused, and left behind by
 * those that they belong to. */
#include <minihttp/client.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "account.h"
#include "inject.h"
#include "loop/loop.h"
#include "names.h"
#include "peer.h"
#include "scenario.h"

#define CROWD_MAX 70

static const struct answer four[] = {
    {.pieces = {"HTTP/1.1 200 OK\r\nContent-Length: 2048\r\n\r\n", KIB_, KIB_},
     .target = "/0",
     .keep = true},
    {.pieces = {"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"},
     .target = "/1",
     .keep = true},
    {.pieces = {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n"},
     .target = "/2"},
    {.pieces = {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "three"}, .target = "/3"}};

/* The client has to end these, and the connection with them. */
static const struct answer without_end = {
    .pieces = {"HTTP/1.1 200 OK\r\nContent-Length: 2048\r\n\r\n", KIB_}, .keep = true};

/* ---- transfers, and what becomes of them ---- */

struct crowd;

struct one {
    struct crowd *crowd;
    mh_response res;
    mh_fetch fetch;
    char url[64];
    int expected; /* a status, or an error */
    int result, dones;
    bool started, pauses, cancels, rests;
    size_t uploaded;
};

struct crowd {
    mh_loop *loop;
    mh_client *client;
    size_t count;
    struct one one[CROWD_MAX];
};

static struct crowd crowd;

static struct one *one_of(mh_response *res)
{
    return res->user;
}

static void on_done(mh_response *res)
{
    struct one *one = one_of(res);
    check(one->started);
    one->dones++;
    one->result = res->error < 0 ? res->error : res->status;
    check_account(res, one->result);
    mh_loop_wake(one->crowd->loop);
}

static int on_head(mh_response *res)
{
    struct one *one = one_of(res);
    if (one->cancels)
        mh_client_cancel(res);
    if (one->pauses)
        mh_client_pause(res, true);
    mh_loop_wake(one->crowd->loop);
    return 0;
}

static int on_progress(mh_response *res)
{
    mh_loop_wake(one_of(res)->crowd->loop);
    return 0;
}

static ssize_t on_upload(mh_response *res, char *buf, size_t cap)
{
    struct one *one = one_of(res);
    if (one->rests) {
        one->rests = false;
        mh_loop_wake(one->crowd->loop);
        return -EAGAIN;
    }
    check(cap >= 10);
    memcpy(buf, "0123456789", 10);
    one->uploaded += 10;
    one->rests = true;
    return one->uploaded > 30 ? 0 : 10;
}

static struct one *expect(const char *host, int port, const char *path, int expected)
{
    struct one *one = &crowd.one[crowd.count++];
    *one = (struct one){.crowd = &crowd, .expected = expected};
    snprintf(one->url, sizeof(one->url), "http://%s:%d/%s", host, port, path);
    one->fetch = (mh_fetch){.url = one->url,
                            .timeout_ms = TIMEOUT_MS,
                            .on_head = on_head,
                            .on_progress = on_progress,
                            .on_done = on_done,
                            .user = one};
    return one;
}

/* A call that fails has called nobody. */
static void submit(struct one *one)
{
    one->started = true;
    int err = mh_client_submit(crowd.client, crowd.loop, &one->fetch, &one->res);
    check(err == one->res.error && one->dones == 0);
    one->started = err == 0;
    if (err < 0)
        one->result = err;
}

static int begin(const mh_client_options *options)
{
    crowd.client = NULL;
    crowd.loop = NULL;
    int err = mh_loop_new(&crowd.loop);
    if (err == 0)
        err = mh_client_new(&crowd.client, options);
    for (size_t i = 0; i < crowd.count && err == 0; i++)
        submit(&crowd.one[i]);
    return err;
}

/* Until nothing is left to do; `then` is done whenever somebody has woken the loop. */
static int run_until_done(void (*then)(void))
{
    int left;
    do {
        left = mh_loop_run(crowd.loop, -1);
        if (left > 0 && then)
            then();
    } while (left > 0);
    return left;
}

/* 0, or the first that was not to be. */
static int unexpected(const struct one *one)
{
    check(one->dones == (one->started ? 1 : 0));
    return one->result == one->expected ? 0 : one->result;
}

static int judge(int err)
{
    for (size_t i = 0; i < crowd.count && err == 0; i++)
        err = unexpected(&crowd.one[i]);
    check(err == 0 || inject_hit());
    for (size_t i = 0; i < crowd.count && err == 0; i++) {
        if (crowd.one[i].result > 0)
            note_response(&crowd.one[i].res);
    }
    for (size_t i = 0; i < crowd.count; i++)
        COUNTED(mh_response_free(&crowd.one[i].res));
    crowd.count = 0;
    return err;
}

static int run_all(const mh_client_options *options, void (*then)(void), bool loop_first)
{
    int err;
    inject_enter();
    err = begin(options);
    if (err == 0)
        err = run_until_done(then);
    if (loop_first)
        mh_loop_free(crowd.loop);
    mh_client_free(crowd.client);
    if (!loop_first)
        mh_loop_free(crowd.loop);
    inject_leave();
    (void)peer_stop();
    return judge(err);
}

/* ---- to their end ---- */

static void expect_four(int port)
{
    (void)expect("127.0.0.1", port, "0", 200);
    (void)expect("localhost", port, "1", 404);
    (void)expect("127.0.0.1", port, "2", 200);
    (void)expect("localhost", port, "3", 200);
}

static int in_turn(void)
{
    expect_four(peer_serve(four, 4));
    return run_all(&(mh_client_options){.proxy = "", .connections_max = 1}, NULL, false);
}

static int at_once(void)
{
    int port = peer_serve(four + 2, 2);
    for (int i = 0; i < 3; i++)
        (void)expect("127.0.0.1", port, "3", 200);
    return run_all(&(mh_client_options){.proxy = "", .connections_per_host_max = 2}, NULL, true);
}

/* So many origins that the pool forgets some. */
static int many_origins(void)
{
    int port = peer_serve(four, 4);
    for (int i = 0; i < CROWD_MAX; i++) {
        char host[32];
        snprintf(host, sizeof(host), "127.1.1.%d", i);
        (void)expect(host, port, "", -ECONNREFUSED);
    }
    return run_all(&(mh_client_options){.proxy = ""}, NULL, true);
}

/* One whose name leads nowhere: while it ends, so many others are refused that its origin could be
 * forgotten under the feet of who tells it. */
static void refuse_many(mh_response *res)
{
    static const char *const headers[] = {"no colon", NULL};
    on_done(res);
    for (int i = 0; i < CROWD_MAX; i++) {
        mh_response refused = {0};
        char url[32];
        snprintf(url, sizeof(url), "http://127.1.1.%d/", i);
        int err = mh_client_submit(crowd.client, crowd.loop,
                                   &(mh_fetch){.url = url, .headers = headers}, &refused);
        check(err == -EINVAL || err == -ENOMEM);
        mh_response_free(&refused);
    }
}

static int many_refused(void)
{
    int port = peer_serve(four, 4);
    expect("nowhere.test", port, "", MH_ERR_RESOLVE)->fetch.on_done = refuse_many;
    return run_all(&(mh_client_options){.proxy = ""}, NULL, true);
}

/* As many names hang as may be asked for at a time. Nobody waits for them any more when the last
 * one, which is known, is submitted: it gets its turn. */
static int slow_names(void)
{
    int port = peer_serve(four, 4), err;
    for (int i = 1; i <= MH__LOOKUPS_MAX; i++)
        expect("slow.test", i, "", -ETIMEDOUT)->fetch.resolve_timeout_ms = 1;
    names_hold();
    inject_enter();
    err = begin(&(mh_client_options){.proxy = ""});
    if (err == 0)
        err = run_until_done(NULL);
    if (err == 0)
        submit(expect("localhost", port, "3", 200));
    if (err == 0)
        err = run_until_done(NULL);
    mh_client_free(crowd.client);
    mh_loop_free(crowd.loop);
    inject_leave();
    names_release();
    (void)peer_stop();
    return judge(err);
}

/* ---- cancelled ---- */

/* The first one in its middle, the next one while it waits; the last one goes on. */
static int cancelled(void)
{
    int port = peer_serve(four, 4), err;
    expect("127.0.0.1", port, "0", -ECANCELED)->cancels = true;
    (void)expect("127.0.0.1", port, "1", -ECANCELED);
    (void)expect("127.0.0.1", port, "2", 200);
    inject_enter();
    err = begin(&(mh_client_options){.proxy = "", .connections_max = 1});
    if (err == 0) {
        mh_client_cancel(&crowd.one[1].res);
        err = run_until_done(NULL);
    }
    mh_client_free(crowd.client);
    mh_loop_free(crowd.loop);
    inject_leave();
    (void)peer_stop();
    return judge(err);
}

/* ---- paused ---- */

/* Some turns go by meanwhile, in which nothing may come. */
static void resume(void)
{
    struct one *one = &crowd.one[0];
    uint64_t before = one->res.decoded;
    if (one->pauses) {
        (void)mh_loop_run(crowd.loop, 0);
        (void)mh_loop_run(crowd.loop, 0);
        check(one->dones || one->res.decoded == before);
        one->pauses = false;
    }
    mh_client_pause(&one->res, false);
}

static int paused(void)
{
    int port = peer_serve(four, 4);
    expect("127.0.0.1", port, "0", 200)->pauses = true;
    return run_all(&(mh_client_options){.proxy = ""}, resume, false);
}

static int paused_gzip(void)
{
    struct answer answer = {
        .pieces = {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 57\r\n\r\n"},
        .tail = gzipped};
    if (!has_coding("gzip"))
        return SKIP;
    int port = peer_serve(&answer, 1);
    expect("127.0.0.1", port, "0", 200)->pauses = true;
    return run_all(&(mh_client_options){.proxy = ""}, resume, false);
}

/* on_upload has nothing every second time that it is asked. */
static int upload_rests(void)
{
    int port = peer_serve(four + 3, 1);
    struct one *one = expect("127.0.0.1", port, "3", 200);
    one->rests = true;
    one->fetch.on_upload = on_upload;
    one->fetch.expect_timeout_ms = -1;
    return run_all(&(mh_client_options){.proxy = ""}, resume, false);
}

/* ---- left behind ---- */

static bool has_begun(void)
{
    for (size_t i = 0; i < crowd.count; i++) {
        if (crowd.one[i].res.received > 0)
            return true;
    }
    return false;
}

/* One has some of its body, one waits for its connection, and one for its name. */
static int loop_freed(void)
{
    int port = peer_serve(&without_end, 1), err, left = 1;
    (void)expect("127.0.0.1", port, "0", -ECANCELED);
    (void)expect("127.0.0.1", port, "0", -ECANCELED);
    (void)expect("slow.test", port, "0", -ECANCELED);
    names_hold();
    inject_enter();
    err = begin(&(mh_client_options){.proxy = "", .connections_per_host_max = 1});
    while (err == 0 && left > 0 && !has_begun())
        left = mh_loop_run(crowd.loop, -1);
    mh_loop_free(crowd.loop);
    mh_client_free(crowd.client);
    inject_leave();
    names_release();
    (void)peer_stop();
    return judge(err);
}

const struct scenario many_scenarios[] = {
    {.name = "in_turn", .run = in_turn, .also = {MH_ERR_RESOLVE, -ENOMEM, -EAGAIN}},
    {
        .name = "at_once",
        .run = at_once,
    },
    {.name = "many_origins", .run = many_origins, .calls_max = 14},
    {.name = "many_refused",
     .run = many_refused,
     .also = {MH_ERR_RESOLVE, -ENOMEM, -EAGAIN},
     .calls_max = 40},
    {.name = "slow_names",
     .run = slow_names,
     .also = {MH_ERR_RESOLVE, -ENOMEM, -EAGAIN},
     .calls_max = 14},
    {
        .name = "cancelled",
        .run = cancelled,
    },
    {
        .name = "paused",
        .run = paused,
    },
    {
        .name = "paused_gzip",
        .run = paused_gzip,
    },
    {
        .name = "upload_rests",
        .run = upload_rests,
    },
    {.name = "loop_freed", .run = loop_freed, .also = {MH_ERR_RESOLVE, -ENOMEM, -EAGAIN}},
    {0},
};
