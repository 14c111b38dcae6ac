/* handler.c: the server's handler in the simulation: it replies what the plan says, now or later,
 * and holds what it is told about each request against what may be. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ask.h"
#include "base/clock.h"
#include "mem.h"

#define FILE_OFFSET 7
#define RETRY_US 1000 /* after a reply for which there was no memory */

char ask_body(unsigned id, uint64_t i)
{
    return (char)('a' + pattern(((uint64_t)id << 32) + 1, i) % 26);
}

char ask_upload(unsigned id, uint64_t i)
{
    return (char)pattern(((uint64_t)id << 32) + ((uint64_t)1 << 31), i);
}

bool ask_has_content(const struct ask *ask)
{
    return strcmp(ask->method, "HEAD") != 0 && ask->status != 204 && ask->status != 304;
}

static void *make_bytes(size_t len)
{
    void *bytes = malloc(len > 0 ? len : 1);
    if (!bytes)
        sim_fail("this machine itself is out of memory");
    return bytes;
}

static void fill(const struct ask *ask, char *to, uint64_t from, size_t len)
{
    for (size_t i = 0; i < len; i++)
        to[i] = ask_body(ask->id, from + i + (hosting.lie == 3 && ask->id % 7 == 3));
}

static bool chance(struct visit *visit, uint32_t per_mille)
{
    return random_chance(&visit->random, per_mille);
}

static struct visit *visit_of(const mh_request *req)
{
    struct visit *visit = req->data;
    if (visit->req != req)
        sim_fail("ask %u: called back with the request of another one", visit->ask->id);
    if (visit->ended)
        sim_fail("ask %u: called back after its end", visit->ask->id);
    return visit;
}

/* ---- a stream ---- */

static void wake_comes(struct sim_event *event)
{
    struct visit *visit = MH__CONTAINER(event, struct visit, waker);
    sim_log("ask %u: wakes", visit->ask->id);
    mh_reply_wake(visit->req);
}

static ssize_t rest(struct visit *visit)
{
    visit->rests_left--;
    if (chance(visit, 300))
        mh_reply_wake(visit->req); /* at once */
    else
        sim_event_set(&visit->waker, sim.now_us + random_below(&visit->random, 100000));
    return -EAGAIN;
}

static uint64_t flaw_at(const struct ask *ask)
{
    return (uint64_t)ask->size * ask->flaw_at / 1000;
}

static ssize_t produce(mh_request *req, char *buf, size_t cap)
{
    struct visit *visit = visit_of(req);
    const struct ask *ask = visit->ask;
    bool stops = ask->flaw == PRODUCER_FAILS || ask->flaw == BODY_IS_SHORT;
    uint64_t end = stops ? flaw_at(ask) : ask->size;
    if (visit->rests_left > 0 && chance(visit, ask->rests))
        return rest(visit);
    if (visit->made >= end) {
        if (ask->flaw == PRODUCER_FAILS)
            return HANDLER_ERROR;
        return 0;
    }
    size_t most = end - visit->made < cap ? (size_t)(end - visit->made) : cap;
    size_t len = chance(visit, 500) ? most : 1 + random_below(&visit->random, (uint32_t)most);
    fill(ask, buf, visit->made, len);
    visit->made += len;
    return (ssize_t)len;
}

static int reply_stream(struct visit *visit)
{
    const struct ask *ask = visit->ask;
    mh_request *req = visit->req;
    if (ask->trailers && mh_reply_trailer(req, "X-Sum", "right") < 0)
        return -ENOMEM;
    int result = mh_reply_stream(req, ask->status, "text/plain",
                                 ask->announced ? ask->size : MH_LENGTH_UNKNOWN, produce);
    if (result > 0 && ask->wakes_early && !visit->owed)
        mh_reply_wake(req);
    return result;
}

/* ---- replies ---- */

static int reply_file(struct visit *visit)
{
    const struct ask *ask = visit->ask;
    size_t len = FILE_OFFSET + (ask->flaw == BODY_IS_SHORT ? flaw_at(ask) : ask->size);
    char *bytes = make_bytes(len);
    int fd = memfd_create("reply", MFD_CLOEXEC);
    memset(bytes, '#', FILE_OFFSET);
    fill(ask, bytes + FILE_OFFSET, 0, len - FILE_OFFSET);
    if (fd < 0 || write(fd, bytes, len) != (ssize_t)len)
        sim_fail("this machine has no memory for a file");
    free(bytes);
    return mh_reply_file(visit->req, ask->status, "text/plain", fd, FILE_OFFSET, ask->size);
}

static int reply_take(struct visit *visit)
{
    const struct ask *ask = visit->ask;
    mh_buf body = {0};
    int result = mh_buf_reserve(&body, ask->size);
    if (result == 0) {
        fill(ask, body.data, 0, ask->size);
        body.len = ask->size;
        result = mh_reply_take(visit->req, ask->status, NULL, &body);
    }
    mh_buf_free(&body);
    return result;
}

static int reply_borrow(struct visit *visit)
{
    const struct ask *ask = visit->ask;
    if (!visit->lent) {
        visit->lent = make_bytes(ask->size);
        fill(ask, visit->lent, 0, ask->size);
    }
    return mh_reply_borrow(visit->req, ask->status, "text/plain", visit->lent, ask->size);
}

static int reply_bytes(struct visit *visit)
{
    const struct ask *ask = visit->ask;
    char *bytes = make_bytes(ask->size + 1);
    fill(ask, bytes, 0, ask->size);
    bytes[ask->size] = '\0';
    int result = ask->reply == REPLY_TEXT
                     ? mh_reply_text(visit->req, ask->status, bytes)
                     : mh_reply_copy(visit->req, ask->status, NULL, bytes, ask->size);
    free(bytes);
    return result;
}

static int add_fields(struct visit *visit)
{
    char id[16];
    unsigned lie = hosting.lie == 1 && visit->ask->id % 7 == 3;
    snprintf(id, sizeof(id), "%u", visit->ask->id + lie);
    return mh_reply_header(visit->req, "X-Ask", id);
}

/* What a handler returns, or an error of a verb, after which another one may follow. */
static int reply(struct visit *visit)
{
    int err = visit->ask->reply == REPLY_ERROR ? 0 : add_fields(visit);
    if (err < 0)
        return err;
    switch (visit->ask->reply) {
    case REPLY_STREAM:
        return reply_stream(visit);
    case REPLY_FILE:
        return reply_file(visit);
    case REPLY_TAKE:
        return reply_take(visit);
    case REPLY_BORROW:
        return reply_borrow(visit);
    case REPLY_STATUS:
        return visit->ask->status;
    case REPLY_ERROR:
        return HANDLER_ERROR;
    default:
        return reply_bytes(visit);
    }
}

/* ---- later ---- */

/* The fields stay where a verb fails, and a second X-Ask is only a second field: the guest takes
 * the first one. What a handler would return needs a verb here. */
static int reply_by_verb(struct visit *visit)
{
    enum reply kind = visit->ask->reply;
    if (kind == REPLY_STATUS || kind == REPLY_ERROR)
        return mh_reply_text(visit->req, 500, "later");
    return reply(visit);
}

static void reply_now(struct visit *visit)
{
    struct ask *ask = visit->ask;
    bool complete = visit->complete;
    visit->replying = true;
    int result = reply_by_verb(visit);
    visit->replying = false;
    sim_log("ask %u: replied later, %d", ask->id, result);
    if (result == MH_ERR_CLOSED) {
        if (!visit->ended)
            sim_fail("ask %u: its peer has left, and on_end was not called", ask->id);
        return;
    }
    if (result == -ENOMEM) {
        sim_event_set(&visit->later, sim.now_us + RETRY_US);
        return;
    }
    if (result < 0)
        sim_fail("ask %u: no reply can be made later, %d", ask->id, result);
    visit->replied = true;
    ask->early |= !complete;
}

static void later_comes(struct sim_event *event)
{
    reply_now(MH__CONTAINER(event, struct visit, later));
}

/* ---- an upload ---- */

static void resume_comes(struct sim_event *event)
{
    struct visit *visit = MH__CONTAINER(event, struct visit, resumer);
    sim_log("ask %u: goes on", visit->ask->id);
    visit->paused = false;
    if (!hosting.calm && chance(visit, 100))
        guest_vanish(visit->conn);
    mh_request_pause(visit->req, false);
}

static void pause_now(struct visit *visit)
{
    visit->pauses_left--;
    visit->paused = true;
    sim_log("ask %u: pauses", visit->ask->id);
    mh_request_pause(visit->req, true);
    if (chance(visit, 200)) { /* or only seems to */
        visit->paused = false;
        mh_request_pause(visit->req, false);
    } else {
        sim_event_set(&visit->resumer, sim.now_us + visit->ask->pause_us);
    }
}

static void check_upload(struct visit *visit, const char *data, size_t len)
{
    const struct ask *ask = visit->ask;
    for (size_t i = 0; i < len; i++) {
        if (data[i] != ask_upload(ask->id, visit->got + i))
            sim_fail("ask %u: byte %llu of its upload is wrong", ask->id,
                     (unsigned long long)(visit->got + i));
    }
    visit->got += len;
    if (visit->got > ask->upload)
        sim_fail("ask %u: more was uploaded than there is", ask->id);
}

static void check_complete(struct visit *visit)
{
    if (visit->got != visit->ask->upload)
        sim_fail("ask %u: %llu bytes were uploaded", visit->ask->id,
                 (unsigned long long)visit->got);
    visit->complete = true;
}

/* After that it owes no reply. */
static int decline(struct visit *visit)
{
    visit->owed = false;
    return HANDLER_ERROR;
}

/* Who is told that there is no end may still reply, now or later, or say that he will not. */
static int body_ends(struct visit *visit, bool cut)
{
    visit->cut = cut;
    if (cut && !visit->owed)
        sim_fail("ask %u: told of a body's end, and owes nothing", visit->ask->id);
    if (cut && chance(visit, 300))
        return decline(visit);
    if (!cut)
        check_complete(visit);
    if (visit->ask->when == AFTER_BODY)
        reply_now(visit);
    return 0;
}

static int on_body(mh_request *req, const char *data, size_t len)
{
    struct visit *visit = visit_of(req);
    struct ask *ask = visit->ask;
    if (visit->complete || visit->cut)
        sim_fail("ask %u: a body after its end", ask->id);
    if (visit->paused && data)
        sim_fail("ask %u: a body while it is paused", ask->id);
    sim_log("ask %u: %zu bytes of body%s", ask->id, len, data ? "" : ", and no more");
    if (len == 0)
        return body_ends(visit, data == NULL);
    check_upload(visit, data, len);
    if (ask->flaw == UPLOAD_IS_DECLINED && visit->got >= ask->upload / 2)
        return decline(visit);
    if (visit->pauses_left > 0 && chance(visit, ask->pauses))
        pause_now(visit);
    return 0;
}

/* ---- the request ---- */

static void on_end(mh_request *req)
{
    struct visit *visit = visit_of(req);
    sim_log("ask %u: ends", visit->ask->id);
    if (visit->owed && !visit->replied && !visit->replying)
        sim_fail("ask %u: it ends, and another thread is about to reply to it", visit->ask->id);
    visit->ended = hosting.lie != 2 || visit->ask->id % 7 != 3;
    visit->ask->ended_us = sim.now_us;
    sim_event_stop(&visit->later);
    sim_event_stop(&visit->waker);
    sim_event_stop(&visit->resumer);
    free(visit->lent);
    visit->lent = NULL;
}

static struct ask *find_ask(const mh_request *req)
{
    unsigned id = 0;
    if (req->path.len < 4 || memcmp(req->path.ptr, "/q/", 3) != 0)
        sim_fail("the handler is asked for " MH_FMT, MH_ARG(req->path));
    for (size_t i = 3; i < req->path.len; i++)
        id = id * 10 + (unsigned)(req->path.ptr[i] - '0');
    if (id >= hosting.ask_count)
        sim_fail("the handler is asked for " MH_FMT ", which there is not", MH_ARG(req->path));
    return &hosting.asks[id];
}

static void check_request(const struct ask *ask, const mh_request *req)
{
    if (!mh_str_equal(req->method, ask->method))
        sim_fail("ask %u: its method is " MH_FMT, ask->id, MH_ARG(req->method));
    if (req->minor_version != ask->minor || req->tls || !req->user)
        sim_fail("ask %u: its request is not the one that was sent", ask->id);
    if (!mh_str_equal(mh_headers_get(req->headers, "Host"), "sim.test"))
        sim_fail("ask %u: its host is another one", ask->id);
}

static unsigned number_of(const struct sockaddr *peer)
{
    unsigned number = (unsigned)ntohs(((const struct sockaddr_in *)(const void *)peer)->sin_port);
    if (number < 10000 || number - 10000 >= sim.conn_count)
        sim_fail("the server knows a peer that there is not");
    return number - 10000;
}

static struct visit *begin_visit(mh_request *req)
{
    struct ask *ask = find_ask(req);
    if (hosting.visit_count == VISITS_MAX)
        sim_fail("the handler was called more than %d times", VISITS_MAX);
    check_request(ask, req);
    struct visit *visit = &hosting.visits[hosting.visit_count++];
    *visit = (struct visit){.ask = ask, .req = req, .rests_left = 5, .pauses_left = 3};
    visit->begun_us = sim.now_us;
    visit->random.state = random_mix(sim.seed * 1000 + hosting.visit_count);
    visit->conn = number_of(req->peer);
    visit->later.run = later_comes;
    visit->waker.run = wake_comes;
    visit->resumer.run = resume_comes;
    req->data = visit;
    req->on_end = on_end;
    ask->handled++;
    sim_log("ask %u: handled", ask->id);
    return visit;
}

static void begin_body(struct visit *visit)
{
    mh_request *req = visit->req;
    if (hosting.settings.stream_bodies) {
        if (visit->ask->when == AFTER_BODY || visit->ask->pauses > 0 || chance(visit, 500))
            req->on_body = on_body;
    } else {
        check_upload(visit, req->body.ptr, req->body.len);
        check_complete(visit);
    }
    if (visit->pauses_left > 0 && chance(visit, visit->ask->pauses))
        pause_now(visit);
}

int handler_serve(mh_request *req)
{
    struct visit *visit = begin_visit(req);
    struct ask *ask = visit->ask;
    begin_body(visit);
    if (ask->when == LATER)
        sim_event_set(&visit->later, sim.now_us + ask->later_us);
    visit->owed = ask->when == LATER || (ask->when == AFTER_BODY && req->on_body);
    if (visit->owed)
        return MH_LATER;
    int result = reply(visit);
    ask->early |= !visit->complete && hosting.settings.stream_bodies;
    sim_log("ask %u: the handler returns %d", ask->id, result);
    return result;
}

/* ---- what is told about it ---- */

void handler_access(const mh_request *req, int status, uint64_t sent, int64_t took_us)
{
    sim_log("access: " MH_FMT ", %d", MH_ARG(req->target), status);
    if (took_us < 0)
        sim_fail("a request took %lld us", (long long)took_us);
    if (!req->data)
        return;
    struct visit *visit = visit_of(req);
    visit->accessed += hosting.lie == 4 && visit->ask->id % 7 == 3 ? 2 : 1;
    visit->status = status;
    visit->sent = sent;
}

static bool is_explained(int err)
{
    return err == -ETIMEDOUT || err == -ECANCELED || err == -EMFILE || err == HANDLER_ERROR ||
           (err <= -1000) || sim.given[-err] || (err == -ENOMEM && mem.failures > 0) ||
           err == -ECONNRESET || err == -EPIPE;
}

void handler_error(void *user, const struct sockaddr *peer, int err, const char *why)
{
    sim_log("error %d: %s", err, why);
    if (err >= 0 || !why || user != &hosting || !is_explained(err))
        sim_fail("on_error is told %d, %s", err, why ? why : "without a word");
    if (!peer) {
        hosting.refusals++;
        return;
    }
    unsigned number = number_of(peer);
    if (hosting.told[number] == 0)
        hosting.told[number] = err;
}

/* ---- coincidences ---- */

static void hurry(struct sim_event *event, int64_t at_us)
{
    if (mh__link_used(&event->link) && event->at > at_us)
        sim_event_set(event, at_us);
}

void handler_hurry(unsigned conn, int64_t at_us)
{
    for (unsigned i = 0; i < hosting.visit_count; i++) {
        struct visit *visit = &hosting.visits[i];
        if (visit->conn != conn || visit->ended)
            continue;
        hurry(&visit->resumer, at_us);
        hurry(&visit->waker, at_us);
        if (chance(visit, 500))
            hurry(&visit->later, at_us);
    }
}

/* ---- the end ---- */

/* Who takes too little of a reply is not waited for: what is behind its head, and one batch of
 * earlier replies, at the rate that is demanded. */
static void judge_rate(const struct visit *visit)
{
    const struct ask *ask = visit->ask;
    int64_t limit = hosting.settings.limits[MH__LINE_SEND], rate = hosting.settings.rate_min;
    bool plain = ask->when == AT_ONCE && ask->upload == 0 && ask->reply != REPLY_STREAM;
    if (!plain || ask->handled > 1 || limit == MH__NEVER)
        return;
    int64_t bytes = ask->size + 2 * MH__BATCH_BYTES;
    int64_t most = 2 * limit * 1000 + bytes * 1000000 / rate + SLACK_US;
    if (ask->ended_us - visit->begun_us > most)
        sim_fail("ask %u: its reply took %lld ms", ask->id,
                 (long long)(ask->ended_us - visit->begun_us) / 1000);
}

static void judge_visit(const struct visit *visit)
{
    const struct ask *ask = visit->ask;
    bool may_be_dropped =
        visit->ask->when != AT_ONCE && hosting.told[visit->conn] < 0; /* for another answer */
    if (!visit->ended)
        sim_fail("ask %u: on_end was not called", ask->id);
    if (visit->accessed > 1 || (visit->accessed == 0 && !may_be_dropped))
        sim_fail("ask %u: on_access was called %u times", ask->id, visit->accessed);
    judge_rate(visit);
    if (visit->sent > ask->size && ask->reply < REPLY_STATUS && visit->status == ask->status)
        sim_fail("ask %u: on_access was told of more than there is", ask->id);
    if (!ask->answered || ask->handled > 1 || ask->reply >= REPLY_STATUS ||
        hosting.told[visit->conn] < 0)
        return;
    uint64_t size = ask_has_content(ask) ? ask->size : 0;
    if (visit->status != ask->status || visit->sent != size)
        sim_fail("ask %u: on_access was told of %d and %llu bytes", ask->id, visit->status,
                 (unsigned long long)visit->sent);
}

void handler_judge(void)
{
    for (unsigned i = 0; i < hosting.visit_count; i++)
        judge_visit(&hosting.visits[i]);
}
