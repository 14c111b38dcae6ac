/* guest.c: a connection that a script has begun: requests as bytes, in pieces, and an end of some
 * kind; right ones and wrong ones. The replies are read by the engine, in its other role, and held
 * against what was to be replied. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ask.h"
#include "base/clock.h"
#include "mem.h"

#define EXPECT_US 1000000  /* how long "100 Continue" is waited for */
#define TRANSIT_US 4000000 /* at most, what the network takes for all of it */
#define PAGE_MAX 1000      /* bytes of one that the server makes by itself */

static struct guest *guest_of(const struct sim_conn *conn)
{
    return conn->user;
}

static struct ask *next_ask(struct guest *guest)
{
    return guest->answered < guest->count ? &guest->asks[guest->answered] : NULL;
}

/* ---- sending ---- */

/* The one whose body must not be sent yet; NULL: there is none. */
static struct ask *hesitates(struct guest *guest)
{
    for (unsigned i = 0; i < guest->count; i++) {
        struct ask *ask = &guest->asks[i];
        if (ask->expects && !ask->continued && guest->sent <= ask->body_at)
            return ask;
    }
    return NULL;
}

static size_t limit_of(struct guest *guest)
{
    size_t limit = guest->cut;
    const struct ask *next = next_ask(guest), *waiting = hesitates(guest);
    if (guest->one_by_one && next && next->end_at < limit)
        limit = next->end_at;
    return waiting && waiting->body_at < limit ? waiting->body_at : limit;
}

static void tick_in(struct guest *guest, int64_t us)
{
    sim_event_set(&guest->ticker, sim.now_us + us);
}

static void leave(struct guest *guest)
{
    guest->self = true;
    sim_log("guest %u: leaves", guest->number);
    sim_close(guest->conn);
}

static void reset(struct guest *guest)
{
    guest->self = true;
    sim_break(guest->conn, -ECONNRESET);
    if (random_chance(&guest->random, 500))
        handler_hurry(guest->conn->number, guest->conn->breaking.at);
}

static void act(struct guest *guest)
{
    guest->acted = true;
    if (guest->act == FINISHES)
        sim_finish(guest->conn);
    if (guest->act == LEAVES)
        leave(guest);
    if (guest->act == RESETS)
        reset(guest);
}

static bool is_done(const struct guest *guest)
{
    return guest->answered == guest->count ||
           (!guest->asking && (guest->said_close || guest->refused));
}

static void note_sent(struct guest *guest, size_t before)
{
    for (unsigned i = 0; i < guest->count; i++) {
        struct ask *ask = &guest->asks[i];
        if (before <= ask->begin_at && guest->sent > ask->begin_at)
            ask->begun_us = sim.now_us;
        if (before < ask->body_at && guest->sent >= ask->body_at)
            ask->head_us = sim.now_us;
    }
}

static void send_some(struct guest *guest, size_t most)
{
    size_t len = 1 + random_below(&guest->random, guest->piece_max);
    len = len < most ? len : most;
    sim_send(guest->conn, guest->bytes.data + guest->sent, len);
    guest->sent += len;
    guest->sent_us = sim.now_us;
    note_sent(guest, guest->sent - len);
}

static void hesitate(struct guest *guest, struct ask *ask)
{
    if (guest->waited)
        ask->continued = true;
    guest->waited = !guest->waited;
    tick_in(guest, guest->waited ? EXPECT_US : 0);
}

static void ticks(struct sim_event *event)
{
    struct guest *guest = MH__CONTAINER(event, struct guest, ticker);
    size_t limit = limit_of(guest);
    struct ask *waiting = hesitates(guest);
    if (guest->over || guest->self)
        return;
    if ((is_done(guest) || guest->ended) && !guest->stays) {
        leave(guest);
    } else if (guest->sent < limit) {
        send_some(guest, limit - guest->sent);
        tick_in(guest, random_between(&guest->random, 0, guest->gap_us));
    } else if (guest->sent == guest->cut && !guest->acted) {
        act(guest);
    } else if (waiting && guest->sent == waiting->body_at) {
        hesitate(guest, waiting);
    }
}

/* ---- not reading ---- */

static void stall_ends(struct sim_event *event)
{
    struct guest *guest = MH__CONTAINER(event, struct guest, staller);
    if (!guest->over)
        sim_stall(guest->conn, false);
}

/* A sip, and then nothing for a while. */
static void sip(struct guest *guest)
{
    if (guest->sip_us == 0 || guest->conn->stalled)
        return;
    sim_stall(guest->conn, true);
    sim_event_set(&guest->staller, sim.now_us + guest->sip_us);
}

static void stall(struct guest *guest)
{
    if (!random_chance(&guest->random, guest->stalls))
        return;
    sim_log("guest %u: takes nothing", guest->number);
    sim_stall(guest->conn, true);
    if (guest->stall_us < UINT32_MAX)
        sim_event_set(&guest->staller, sim.now_us + guest->stall_us);
}

/* ---- replies ---- */

static void begin_reply(struct guest *guest)
{
    mh_header host = {MH_STR("Host"), MH_STR("sim.test")};
    const struct ask *ask = next_ask(guest);
    const char *method =
        guest->sent < ask->body_at ? "GET" : ask->method; /* as the server sees it */
    mh_h1_head head = {.method = mh_str_from(method), .target = MH_STR("/"), .headers = {&host, 1}};
    mh_buf out = {0};
    mh_h1_init(&guest->h1, MH_H1_CLIENT, 0);
    if (mh_h1_put_head(&guest->h1, &head, &out) < 0 ||
        mh_h1_put_end(&guest->h1, (mh_headers){0}, &out) < 0)
        sim_fail("guest %u cannot ask", guest->number);
    mh_buf_free(&out);
    guest->asking = true;
    guest->headed = guest->ours = false;
    guest->got = 0;
}

static bool may_be_page(const struct guest *guest, const struct ask *ask, int status)
{
    switch (status) {
    case 400:
        return guest->wrong != RIGHT || (guest->acted && guest->act == FINISHES);
    case 408:
        return !hosting.calm || guest->cut < guest->bytes.len;
    case 413:
        return guest->wrong == HUGE_BODY || ask->upload > hosting.settings.body_max;
    case 431:
    case 414:
        return guest->wrong == HUGE_HEAD;
    case 500:
        return ask->reply == REPLY_ERROR || (ask->reply == REPLY_STATUS && ask->when != AT_ONCE) ||
               mem.failures > 0;
    case 503:
        return mem.failures > 0;
    default:
        return false;
    }
}

/* The server has begun to count when it saw the first byte, or later. */
static bool was_slow(const struct ask *ask)
{
    const int64_t *limits = hosting.settings.limits;
    int64_t limit = mh__deadline_min(limits[MH__LINE_HEAD], limits[MH__LINE_BODY]);
    return sim.now_us - ask->begun_us >= limit * 1000 - SLACK_US;
}

static void take_page(struct guest *guest, const struct ask *ask, int status)
{
    if (!may_be_page(guest, ask, status))
        sim_fail("ask %u is answered with %d", ask->id, status);
    if (status == 408 && !was_slow(ask))
        sim_fail("ask %u is late, and was not", ask->id);
    guest->page = status;
    if (status != 500)
        guest->refused = true;
}

static bool may_close(const struct guest *guest, const struct ask *ask)
{
    return ask->minor == 0 || ask->says_close ||
           (ask->early && (ask->upload > 0 || ask->pauses > 0)) || guest->refused ||
           guest->page > 0 || hosting.stopped_at >= 0;
}

static void check_ours(const struct guest *guest, const mh_h1_head *head)
{
    const struct ask *ask = &guest->asks[guest->answered];
    char id[16];
    snprintf(id, sizeof(id), "%u", ask->id);
    if (!mh_str_equal(mh_headers_get(head->headers, "X-Ask"), id))
        sim_fail("ask %u is answered with the reply to " MH_FMT, ask->id,
                 MH_ARG(mh_headers_get(head->headers, "X-Ask")));
    if (ask->handled == 0)
        sim_fail("ask %u is answered, and was not handled", ask->id);
    if (head->status != ask->status)
        sim_fail("ask %u is answered with %d", ask->id, head->status);
    if (mh_headers_get(head->headers, "Date").len != MH_DATE_LEN)
        sim_fail("ask %u: its reply has no date", ask->id);
}

static void take_head(struct guest *guest, const mh_h1_head *head)
{
    struct ask *ask = next_ask(guest);
    if (head->status == 100) {
        if (!ask->expects)
            sim_fail("ask %u: a 100 that it did not expect", ask->id);
        ask->continued = true;
        tick_in(guest, 0);
        return;
    }
    sim_log("guest %u: head, %d", guest->number, head->status);
    guest->headed = true;
    guest->page = 0;
    guest->ours = mh_headers_get(head->headers, "X-Ask").ptr != NULL;
    if (guest->ours)
        check_ours(guest, head);
    else
        take_page(guest, ask, head->status);
    guest->chunked = mh_headers_list(head->headers, "Transfer-Encoding", "chunked");
    guest->said_close = mh_headers_list(head->headers, "Connection", "close");
    if (guest->said_close && !may_close(guest, ask))
        sim_fail("ask %u: the server closes, and has no reason to", ask->id);
    if (guest->refused && !guest->said_close)
        sim_fail("ask %u is refused, and may go on", ask->id);
    stall(guest);
}

static void take_body(struct guest *guest, mh_str body)
{
    const struct ask *ask = next_ask(guest);
    bool made = !guest->ours || ask->reply == REPLY_STATUS;
    for (size_t i = 0; i < body.len && !made; i++) {
        if (body.ptr[i] != ask_body(ask->id, guest->got + i))
            sim_fail("ask %u: byte %llu of its reply is wrong", ask->id,
                     (unsigned long long)(guest->got + i));
    }
    guest->got += body.len;
    if (made && guest->got > PAGE_MAX)
        sim_fail("ask %u: an endless page", ask->id);
}

static int told(const struct guest *guest)
{
    return hosting.told[guest->conn->number];
}

/* What lasts until close can be cut without the peer's knowing. */
static bool may_be_short(const struct guest *guest, const struct ask *ask)
{
    return ask->reply == REPLY_STREAM && !ask->announced && !guest->chunked && told(guest) < 0;
}

static void check_whole(struct guest *guest, struct ask *ask, mh_headers trailers)
{
    uint64_t size = ask_has_content(ask) ? ask->size : 0;
    if (may_be_short(guest, ask) && guest->got < size)
        return;
    if (ask->reply != REPLY_STATUS && guest->got != size)
        sim_fail("ask %u: a reply of %llu bytes", ask->id, (unsigned long long)guest->got);
    bool trails =
        ask->reply == REPLY_STREAM && ask->trailers && guest->chunked && ask_has_content(ask);
    if (trails && !mh_str_equal(mh_headers_get(trailers, "X-Sum"), "right"))
        sim_fail("ask %u: its trailers are wrong", ask->id);
    if (ask->flaw == PRODUCER_FAILS && ask->reply == REPLY_STREAM && ask_has_content(ask) &&
        (guest->chunked || ask->announced))
        sim_fail("ask %u: its reply was cut, and looks whole", ask->id);
    ask->answered = true;
}

static void take_end(struct guest *guest, mh_headers trailers)
{
    struct ask *ask = next_ask(guest);
    sim_log("guest %u: ask %u is answered", guest->number, ask->id);
    if (guest->ours)
        check_whole(guest, ask, trailers);
    guest->asking = guest->headed = guest->waited = false;
    if (!guest->refused)
        guest->answered++;
    tick_in(guest, random_between(&guest->random, 0, guest->gap_us));
}

static void check_expected(const struct guest *guest)
{
    if (guest->asking)
        return;
    if (guest->said_close || guest->refused)
        sim_fail("guest %u: bytes behind the last reply", guest->number);
    if (guest->answered == guest->count || guest->sent <= guest->asks[guest->answered].begin_at)
        sim_fail("guest %u: a reply that nobody has asked for", guest->number);
}

static void read_replies(struct guest *guest, mh_str *in)
{
    static mh_h1_view view;
    while (in->len > 0 || guest->asking) {
        check_expected(guest);
        if (!guest->asking)
            begin_reply(guest);
        switch (mh_h1_next(&guest->h1, in, &view)) {
        case MH_H1_HEAD:
            take_head(guest, &view.head);
            break;
        case MH_H1_BODY:
            take_body(guest, view.body);
            break;
        case MH_H1_END:
            take_end(guest, view.head.headers);
            break;
        case MH_H1_NEED_MORE:
            return;
        default:
            sim_fail("guest %u: a reply is no HTTP: %s at byte %llu", guest->number,
                     view.fault.reason, (unsigned long long)view.fault.offset);
        }
    }
}

/* ---- the connection ---- */

static void life_ends(struct sim_event *event)
{
    struct guest *guest = MH__CONTAINER(event, struct guest, life);
    sim_log("guest %u: its life is over", guest->number);
    reset(guest);
}

static void opened(struct sim_conn *conn)
{
    struct guest *guest = guest_of(conn);
    guest->open = true;
    guest->heard_us = guest->sent_us = sim.now_us;
    sim_event_set(&guest->life, sim.now_us + guest->life_us);
    tick_in(guest, random_between(&guest->random, 0, guest->gap_us));
}

static void received(struct sim_conn *conn, const char *data, size_t len)
{
    struct guest *guest = guest_of(conn);
    guest->heard_us = sim.now_us;
    if (mh_buf_append(&guest->in, data, len) < 0)
        sim_fail("a guest is out of memory");
    mh_str in = mh_buf_str(&guest->in);
    read_replies(guest, &in);
    mh_buf_consume(&guest->in, guest->in.len - in.len);
    sip(guest);
}

/* A reply that lasts until close may be over now. */
static void hear_end(struct guest *guest)
{
    static mh_h1_view view;
    guest->ended = true;
    guest->ended_us = sim.now_us;
    if (guest->asking && guest->headed && mh_h1_eof(&guest->h1, &view) == MH_H1_END)
        take_end(guest, (mh_headers){0});
}

static void ended(struct sim_conn *conn)
{
    struct guest *guest = guest_of(conn);
    hear_end(guest);
    if (!guest->stays)
        tick_in(guest, 0);
}

static void closed(struct sim_conn *conn)
{
    struct guest *guest = guest_of(conn);
    if (!guest->ended && conn->broken == 0 && !conn->reset && !guest->self)
        hear_end(guest);
    guest->over = true;
    guest->over_us = sim.now_us;
    sim_event_stop(&guest->ticker);
    sim_event_stop(&guest->life);
    sim_event_stop(&guest->staller);
}

static const struct sim_service service = {
    .opened = opened, .received = received, .closed = closed, .ended = ended};

void guest_vanish(unsigned conn)
{
    if (sim.conns[conn]->service == &service)
        reset(guest_of(sim.conns[conn]));
}

static void dials(struct sim_event *event)
{
    struct guest *guest = MH__CONTAINER(event, struct guest, dialler);
    guest->conn = sim_dial(hosting.listener, &service, guest);
}

void guest_begin(struct guest *guest)
{
    guest->dialler.run = dials;
    guest->ticker.run = ticks;
    guest->life.run = life_ends;
    guest->staller.run = stall_ends;
    sim_event_set(&guest->dialler, guest->dial_at);
}

bool guest_is_over(const struct guest *guest)
{
    return guest->over;
}

void guest_free(struct guest *guest)
{
    mh_buf_free(&guest->bytes);
    mh_buf_free(&guest->in);
}

/* ---- the judge ---- */

/* Between two requests the server may close without a word. */
static bool was_idle(const struct guest *guest)
{
    int64_t last = guest->sent_us > guest->heard_us ? guest->sent_us : guest->heard_us;
    int64_t end = guest->conn->left_us > 0 ? guest->conn->left_us : guest->over_us;
    int64_t limit = hosting.settings.limits[MH__LINE_IDLE];
    return limit != MH__NEVER && end - last >= limit * 1000 - SLACK_US;
}

static bool was_refused_silently(const struct guest *guest)
{
    return hosting.refusals > 0 && guest->answered == 0;
}

/* The network may lose what the server had sent before it closed, or the guest was not reading. */
static bool may_be_lost(const struct guest *guest)
{
    return guest->conn->reset || guest->conn->stalled || guest->conn->broken < 0;
}

static void judge_unanswered(const struct guest *guest, const struct ask *ask)
{
    bool whole = guest->sent >= ask->end_at;
    if (told(guest) < 0 || guest->self || guest->refused || guest->said_close)
        return;
    if (ask->handled > 0 && !may_be_lost(guest))
        sim_fail("ask %u was handled and not answered, and nobody has said why", ask->id);
    if (ask->handled > 0 || !whole || guest->wrong != RIGHT)
        return;
    if (hosting.stopped_at >= 0 || was_idle(guest) || was_refused_silently(guest))
        return;
    sim_fail("ask %u was not answered, and nobody has said why", ask->id);
}

/* Who reads one request where the other side has written two is how requests are smuggled. */
static void judge_wrong(const struct guest *guest)
{
    for (unsigned i = guest->wrong_at + 1; i < guest->count; i++) {
        if (guest->asks[i].handled > 0)
            sim_fail("ask %u was handled, and comes after garbage", guest->asks[i].id);
    }
    bool reached = guest->sent >= guest->asks[guest->wrong_at].end_at;
    if (hosting.calm && reached && hosting.stopped_at < 0 && !guest->self && !guest->refused &&
        !guest->said_close && told(guest) == 0)
        sim_fail("guest %u sent garbage, and heard nothing of it", guest->number);
}

/* Nothing was wrong with it, and with the run. */
static bool is_blameless(const struct guest *guest)
{
    return hosting.calm && guest->wrong == RIGHT && guest->cut == guest->bytes.len &&
           (guest->act == WAITS || guest->act == FINISHES) && guest->stall_us < UINT32_MAX &&
           guest->sip_us == 0;
}

static bool has_flaw(const struct guest *guest)
{
    for (unsigned i = 0; i < guest->count; i++) {
        if (guest->asks[i].flaw != NO_FLAW)
            return true;
    }
    return false;
}

static void judge_blameless(const struct guest *guest)
{
    if (has_flaw(guest) || hosting.stopped_at >= 0)
        return;
    if (told(guest) < 0)
        sim_fail("guest %u has done nothing wrong, and on_error was told %d", guest->number,
                 told(guest));
    if (guest->answered < guest->count && !guest->said_close)
        sim_fail("guest %u has done nothing wrong, and %u of %u were answered", guest->number,
                 guest->answered, guest->count);
}

/* ---- deadlines ---- */

static int64_t longest(void)
{
    static const enum mh__line lines[] = {MH__LINE_IDLE, MH__LINE_HEAD, MH__LINE_BODY,
                                          MH__LINE_SEND, MH__LINE_LINGER};
    int64_t longest = 0;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        int64_t limit = hosting.settings.limits[lines[i]];
        if (limit == MH__NEVER)
            return MH__NEVER;
        longest = limit > longest ? limit : longest;
    }
    return longest;
}

static int64_t last_of(const struct guest *guest)
{
    int64_t last = guest->conn->last_us;
    for (unsigned i = 0; i < guest->count; i++)
        last = guest->asks[i].ended_us > last ? guest->asks[i].ended_us : last;
    return last;
}

/* No connection stays open for longer than any limit when nothing happens on it, unless it waits
 * for a handler. */
static void judge_times(const struct guest *guest)
{
    const struct sim_conn *conn = guest->conn;
    int64_t end = conn->left_us, linger = hosting.settings.limits[MH__LINE_LINGER];
    if (end > 0 && conn->finished_us > 0 && end - conn->finished_us > linger * 1000 + SLACK_US)
        sim_fail("guest %u: the server lingered for %lld ms", guest->number,
                 (long long)(end - conn->finished_us) / 1000);
    const struct ask *ask = guest->answered < guest->count ? &guest->asks[guest->answered] : NULL;
    bool waits = ask && ask->handled > 0 && !conn->stalled;
    if (longest() == MH__NEVER || waits || end == 0 || !conn->connected)
        return;
    if (end - last_of(guest) > longest() * 1000 + SLACK_US)
        sim_fail("guest %u: nothing happened for %lld ms", guest->number,
                 (long long)(end - last_of(guest)) / 1000);
}

/* Of the first one it is known when the server began to wait for it. */
static void judge_head(const struct guest *guest)
{
    const struct ask *ask = &guest->asks[0];
    int64_t limit = hosting.settings.limits[MH__LINE_HEAD];
    int64_t begun =
        ask->begun_us > guest->conn->adopted_us ? ask->begun_us : guest->conn->adopted_us;
    if (limit == MH__NEVER || ask->handled == 0)
        return;
    if (ask->head_us - begun > limit * 1000 + TRANSIT_US)
        sim_fail("ask %u was handled, and its head took %lld ms", ask->id,
                 (long long)(ask->head_us - begun) / 1000);
}

void guest_judge(const struct guest *guest)
{
    if (!guest->open)
        return;
    for (unsigned i = guest->answered; i < guest->count; i++)
        judge_unanswered(guest, &guest->asks[i]);
    if (guest->wrong != RIGHT)
        judge_wrong(guest);
    if (is_blameless(guest))
        judge_blameless(guest);
    judge_times(guest);
    judge_head(guest);
}
