/* peer.c: see peer.h. Requests are read by the engine, in its other role; answers are written by
 * hand, as many of them are wrong. */
#include "peer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

#define FILL_US 1000 /* between two pieces of what has no end */
#define FILL_SIZE 4000
#define FILL_MAX (4u << 20) /* a client that takes that much would take anything */

struct peer peer;

struct visit {
    struct sim_conn *conn;
    struct sim_event event; /* the answer, the next drop, the next piece, the end of idleness */
    mh_h1 h1;
    mh_buf in, out, body;
    size_t sent;          /* of out */
    struct peer_job *job; /* NULL: no request */
    struct peer_hop *hop;
    uint64_t got;    /* of the request's body */
    size_t head_len; /* of out: where the final head ends */
    bool request_over, answering, answered, gone, gzip;
    const char *filler;
    size_t filled;
};

/* ---- what is said ---- */

static char pattern(uint64_t seed, uint64_t i)
{
    return (char)(random_mix(seed + i / 8) >> (8 * (i % 8)));
}

char peer_body(unsigned id, uint64_t i)
{
    return pattern(((uint64_t)id << 32) + 1, i);
}

char peer_upload(unsigned id, uint64_t i)
{
    return pattern(((uint64_t)id << 32) + ((uint64_t)1 << 31), i);
}

static void say(struct visit *visit, const char *fmt, ...) MH_PRINTF(2, 3);
static void say(struct visit *visit, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (mh_buf_append(&visit->out, text, (size_t)len) < 0)
        sim_fail("the peer is out of memory");
}

bool peer_has_body(const struct peer_hop *hop)
{
    return strcmp(hop->method, "HEAD") != 0 && hop->status != 204 && hop->status != 304;
}

static void add(mh_buf *buf, const void *bytes, size_t len)
{
    if (mh_buf_append(buf, bytes, len) < 0)
        sim_fail("the peer is out of memory");
}

static void add_number(mh_buf *buf, uint32_t number, int bytes)
{
    for (int i = 0; i < bytes; i++)
        add(buf, &(char){(char)(number >> (8 * i))}, 1);
}

static void add_plain(struct visit *visit, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        add(&visit->body, &(char){peer_body(visit->job->id, i)}, 1);
}

static uint32_t crc_of(unsigned id, size_t len)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < len; i++) {
        crc ^= (uint8_t)peer_body(id, i);
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

/* A gzip of stored blocks (RFC 1952; RFC 1951 section 3.2.4). */
static void add_gzip(struct visit *visit)
{
    size_t size = visit->hop->size, from = 0;
    add(&visit->body, "\x1f\x8b\x08\0\0\0\0\0\0\xff", 10);
    do {
        size_t left = size - from;
        uint32_t most = left < 60000 ? (uint32_t)left : 60000;
        uint32_t len = most > 0 ? random_between(&peer.random, 1, most) : 0;
        add_number(&visit->body, from + len == size, 1);
        add_number(&visit->body, len, 2);
        add_number(&visit->body, ~len, 2);
        add_plain(visit, from, from + len);
        from += len;
    } while (from < size);
    add_number(&visit->body, crc_of(visit->job->id, size), 4);
    add_number(&visit->body, (uint32_t)size, 4);
}

static void make_body(struct visit *visit)
{
    struct peer_hop *hop = visit->hop;
    mh_buf_clear(&visit->body);
    hop->coded = visit->gzip && hop->gzip;
    if (hop->coded && peer_has_body(hop))
        add_gzip(visit);
    else if (peer_has_body(hop))
        add_plain(visit, 0, hop->size);
    hop->body_len = visit->body.len;
}

static void say_extension(struct visit *visit)
{
    static const char *const extensions[] = {";a", ";name=value", "; q=\"a;b\\\"c\"", " ;x=1;y"};
    if (random_chance(&peer.random, 200))
        say(visit, "%s", extensions[random_below(&peer.random, 4)]);
}

static bool is_chunked(const struct peer_hop *hop)
{
    return hop->framing == PEER_CHUNKED && peer_has_body(hop);
}

static void say_chunks(struct visit *visit)
{
    const struct peer_hop *hop = visit->hop;
    size_t from = 0;
    while (from < visit->body.len) {
        size_t left = visit->body.len - from;
        size_t len = random_between(&peer.random, 1, (uint32_t)left);
        if (hop->fault == PEER_GARBLES_CHUNK)
            say(visit, "zz");
        say(visit, random_chance(&peer.random, 500) ? "%zx" : "%zX", len);
        say_extension(visit);
        say(visit, "\r\n");
        add(&visit->out, visit->body.data + from, len);
        say(visit, "\r\n");
        from += len;
    }
    say(visit, hop->fault == PEER_GARBLES_CHUNK ? "g" : "0");
    say_extension(visit);
    say(visit, "\r\n");
    if (hop->trailers)
        say(visit, "X-Job: %u\r\nX-Size: %u\r\n", visit->job->id, hop->size);
    say(visit, "\r\n");
}

static void say_interims(struct visit *visit)
{
    for (int i = 0; i < visit->hop->interims; i++) {
        if (random_chance(&peer.random, 500))
            say(visit, "HTTP/1.1 102 Processing\r\n\r\n");
        else
            say(visit, "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n");
    }
}

static void say_location(struct visit *visit)
{
    const struct peer_hop *hop = visit->hop;
    if (hop->next < 0)
        return;
    if (hop->relative)
        say(visit, "Location: %d\r\n", hop->next);
    else
        say(visit, "Location: http://%s/r/%u/%d\r\n", visit->job->hops[hop->next].host,
            visit->job->id, hop->next);
}

static void say_framing(struct visit *visit)
{
    const struct peer_hop *hop = visit->hop;
    if (!hop->keeps || hop->framing == PEER_UNTIL_CLOSE)
        say(visit, "Connection: close\r\n");
    if (hop->coded)
        say(visit, "Content-Encoding: gzip\r\n");
    if (hop->status == 204 || hop->status == 304)
        return;
    if (hop->framing == PEER_LENGTH)
        say(visit, "Content-Length: %zu\r\n", peer_has_body(hop) ? visit->body.len : hop->size);
    else if (hop->framing == PEER_CHUNKED)
        say(visit, "Transfer-Encoding: chunked\r\n");
}

static void say_answer(struct visit *visit)
{
    const struct peer_hop *hop = visit->hop;
    mh_buf_clear(&visit->out);
    visit->sent = 0;
    make_body(visit);
    say_interims(visit);
    say(visit, "HTTP/1.1 %d %s\r\nServer: sim\r\n", hop->status, mh_reason(hop->status));
    say_location(visit);
    say_framing(visit);
    say(visit, "\r\n");
    visit->head_len = visit->out.len;
    if (is_chunked(hop))
        say_chunks(visit);
    else if (visit->body.len > 0)
        add(&visit->out, visit->body.data, visit->body.len);
}

/* ---- how it is said ---- */

static void send_until(struct visit *visit, size_t to)
{
    sim_send(visit->conn, visit->out.data + visit->sent, to - visit->sent);
    visit->sent = to;
}

static void begin_idling(struct visit *visit)
{
    visit->job = NULL;
    visit->hop = NULL;
    visit->request_over = visit->answering = visit->answered = false;
    visit->got = 0;
    mh_h1_init(&visit->h1, MH_H1_SERVER, 0);
    if (random_chance(&peer.random, peer.idle_close))
        sim_event_set(&visit->event, sim.now_us + random_between(&peer.random, 0, peer.idle_us));
}

/* What is left of a request is read even where the connection ends, so that the answer is. */
static void end_exchange(struct visit *visit)
{
    if (!visit->request_over || !visit->answered)
        return;
    if (visit->hop->keeps && visit->hop->framing != PEER_UNTIL_CLOSE)
        begin_idling(visit);
    else
        visit->gone = true;
}

static void finish_answer(struct visit *visit)
{
    send_until(visit, visit->out.len);
    visit->answered = true;
    if (!visit->hop->keeps || visit->hop->framing == PEER_UNTIL_CLOSE)
        sim_finish(visit->conn);
    end_exchange(visit);
}

static void fill(struct visit *visit)
{
    if (visit->filled > FILL_MAX)
        sim_fail("job %u took %zu bytes of what has no end", visit->job->id, visit->filled);
    if (sim_unsent(visit->conn) < 16 * FILL_SIZE) {
        for (size_t len = 0; len < FILL_SIZE; len += strlen(visit->filler)) {
            sim_send(visit->conn, visit->filler, strlen(visit->filler));
            visit->filled += strlen(visit->filler);
        }
    }
    sim_event_set(&visit->event, sim.now_us + FILL_US);
}

static void begin_filling(struct visit *visit, size_t from, const char *filler)
{
    send_until(visit, from);
    visit->filler = filler;
    visit->gone = true;
    fill(visit);
}

/* Where the chunks begin, and where the last one ends. */
static void fill_chunks(struct visit *visit, bool trailers)
{
    if (!is_chunked(visit->hop)) {
        begin_filling(visit, visit->head_len - 2, "X-Fill: 0123456789\r\n");
    } else if (trailers) {
        send_until(visit, visit->head_len);
        mh_buf_clear(&visit->out);
        visit->sent = 0;
        say(visit, "0\r\n");
        begin_filling(visit, visit->out.len, "X-Fill: 0123456789\r\n");
    } else {
        send_until(visit, visit->head_len);
        mh_buf_clear(&visit->out);
        visit->sent = 0;
        say(visit, "5");
        begin_filling(visit, visit->out.len, ";name=value");
    }
}

static void garble(struct visit *visit, size_t cut)
{
    static const char garbage[] = "\0\1\r\r\n\n garbage";
    if (cut >= visit->head_len)
        cut = visit->head_len - 1;
    send_until(visit, cut);
    sim_send(visit->conn, garbage, sizeof(garbage));
    visit->gone = true;
}

static void drip(struct visit *visit)
{
    size_t left = visit->out.len - visit->sent;
    if (left <= 1) {
        finish_answer(visit);
        return;
    }
    send_until(visit, visit->sent + random_between(&peer.random, 1, left < 200 ? 1 : 100));
    sim_event_set(&visit->event, sim.now_us + (int64_t)visit->hop->drip_ms * 1000);
}

static void go_wrong(struct visit *visit)
{
    size_t cut = visit->out.len * visit->hop->fault_at / 1000;
    visit->hop->struck = true;
    sim_log("job %u: fault %d at %zu of %zu", visit->job->id, visit->hop->fault, cut,
            visit->out.len);
    switch (visit->hop->fault) {
    case PEER_CLOSES:
        send_until(visit, cut);
        sim_close(visit->conn);
        visit->gone = true;
        break;
    case PEER_RESETS:
        send_until(visit, cut);
        sim_break(visit->conn, -ECONNRESET);
        visit->gone = true;
        break;
    case PEER_FALLS_SILENT:
    case PEER_STALLS:
        send_until(visit, cut);
        visit->gone = true;
        break;
    case PEER_GARBLES_HEAD:
        garble(visit, cut);
        break;
    case PEER_ENDLESS_HEAD:
        begin_filling(visit, visit->head_len - 2, "X-Fill: 0123456789\r\n");
        break;
    case PEER_ENDLESS_INTERIMS:
        begin_filling(visit, 0, "HTTP/1.1 102 Processing\r\n\r\n");
        break;
    case PEER_ENDLESS_EXTENSION:
    case PEER_ENDLESS_TRAILERS:
        fill_chunks(visit, visit->hop->fault == PEER_ENDLESS_TRAILERS);
        break;
    case PEER_DRIPS:
        drip(visit);
        break;
    default:
        finish_answer(visit);
    }
}

static void answer(struct visit *visit)
{
    say_answer(visit);
    if (visit->hop->fault == PEER_FINE)
        finish_answer(visit);
    else
        go_wrong(visit);
}

static void say_408(struct visit *visit)
{
    static const char text[] = "HTTP/1.1 408 Late\r\nServer: sim\r\nContent-Length: 0\r\n"
                               "Connection: close\r\n\r\n";
    peer.said_408++;
    sim_send(visit->conn, text, sizeof(text) - 1);
}

static void on_time(struct sim_event *event)
{
    struct visit *visit = MH__CONTAINER(event, struct visit, event);
    mem.others++;
    if (visit->filler) {
        fill(visit);
    } else if (visit->answering && !visit->answered && visit->out.len == 0) {
        answer(visit);
    } else if (visit->answering && !visit->answered) {
        drip(visit);
    } else if (!visit->job && visit->in.len == 0 && !visit->gone) {
        sim_log("%u: the peer closes while it is idle", visit->conn->number);
        peer.closed_idle++;
        if (peer.says_408)
            say_408(visit);
        visit->gone = true;
        sim_close(visit->conn);
    }
    mem.others--;
}

static void begin_answer(struct visit *visit)
{
    if (visit->answering)
        return;
    visit->answering = true;
    mh_buf_clear(&visit->out);
    sim_event_set(&visit->event, sim.now_us + visit->hop->wait_us);
}

/* ---- what is heard ---- */

static bool take_number(mh_str *text, unsigned *number)
{
    *number = 0;
    size_t len = 0;
    while (len < text->len && text->ptr[len] >= '0' && text->ptr[len] <= '9')
        *number = *number * 10 + (unsigned)(text->ptr[len++] - '0');
    *text = (mh_str){text->ptr + len, text->len - len};
    return len > 0 && len < 8;
}

/* "/r/JOB/HOP", or that behind "http://HOST" for a proxy (RFC 9112 section 3.2.2) */
static bool parse_target(mh_str target, unsigned *id, unsigned *hop)
{
    const char *path = memmem(target.ptr, target.len, "/r/", 3);
    bool whole = target.len > 7 && memcmp(target.ptr, "http://", 7) == 0;
    if (!path || whole != peer.is_proxy || (!whole && path != target.ptr))
        return false;
    mh_str rest = {path + 3, target.len - (size_t)(path + 3 - target.ptr)};
    if (!take_number(&rest, id) || rest.len == 0 || *rest.ptr != '/')
        return false;
    rest = (mh_str){rest.ptr + 1, rest.len - 1};
    return take_number(&rest, hop);
}

static void find_job(struct visit *visit, mh_str target)
{
    unsigned id, hop;
    if (!parse_target(target, &id, &hop))
        sim_fail("the peer is asked for " MH_FMT, MH_ARG(target));
    visit->job = peer.find(id);
    if (!visit->job || hop >= visit->job->hop_count)
        sim_fail("the peer is asked for a job that there is not: " MH_FMT, MH_ARG(target));
    visit->hop = &visit->job->hops[hop];
}

/* Back from elsewhere, in a loop of redirects: it gets no secrets any more. */
static bool is_back(const struct peer_job *job)
{
    return job->hops[0].begun > 0 && job->hops[job->hop_count - 1].foreign &&
           job->hops[job->hop_count - 1].next >= 0;
}

static void check_secret(const struct visit *visit, const mh_h1_head *head, const char *name,
                         const char *value)
{
    mh_str found = mh_headers_get(head->headers, name);
    if (!mh_str_equal(found, visit->hop->foreign ? NULL : value) &&
        !(is_back(visit->job) && !found.ptr))
        sim_fail("job %u: %s is " MH_FMT " at %s", visit->job->id, name, MH_ARG(found),
                 visit->hop->host);
}

static void check_request(const struct visit *visit, const mh_h1_head *head)
{
    const struct peer_hop *hop = visit->hop;
    unsigned id = visit->job->id;
    if (!mh_str_equal(head->method, hop->method))
        sim_fail("job %u asks with " MH_FMT " in place of %s", id, MH_ARG(head->method),
                 hop->method);
    if (!mh_str_equal(mh_headers_get(head->headers, "Host"), hop->host))
        sim_fail("job %u names another host than %s", id, hop->host);
    check_secret(visit, head, "Authorization", visit->job->login);
    check_secret(visit, head, "Cookie", visit->job->cookie ? "k=v" : NULL);
    check_secret(visit, head, "X-Key", visit->job->cookie ? "k" : NULL);
    if (mh_h1_body_left(&visit->h1) != 0 && !hop->has_body)
        sim_fail("job %u has a body at a hop where it should not", id);
}

static void refuse(struct visit *visit)
{
    static const char refusal[] = "HTTP/1.1 417 No\r\nServer: sim\r\nContent-Length: 0\r\n\r\n";
    sim_log("job %u: its expectation is refused", visit->job->id);
    visit->hop->refused = true;
    visit->gone = true;
    sim_send(visit->conn, refusal, sizeof(refusal) - 1);
}

static void begin_request(struct visit *visit, const mh_h1_head *head)
{
    find_job(visit, head->target);
    visit->hop->conn = visit->conn;
    visit->gzip = mh_headers_list(head->headers, "Accept-Encoding", "gzip");
    visit->got = 0;
    sim_log("job %u: request at hop %d", visit->job->id, (int)(visit->hop - visit->job->hops));
    check_request(visit, head);
    sim_event_stop(&visit->event);
    if (mh_h1_wants_continue(&visit->h1) && visit->hop->refuses) {
        refuse(visit);
        return;
    }
    visit->hop->begun++;
    if (visit->hop->fault == PEER_STALLS)
        sim_stall(visit->conn, true);
    if (mh_h1_wants_continue(&visit->h1) && visit->hop->continues && !visit->hop->early)
        sim_send(visit->conn, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    if (visit->hop->early || visit->hop->fault == PEER_STALLS)
        begin_answer(visit);
}

static void take_body(struct visit *visit, mh_str body)
{
    unsigned id = visit->job->id;
    for (size_t i = 0; i < body.len; i++) {
        if (body.ptr[i] != peer_upload(id, visit->got + i))
            sim_fail("job %u: byte %llu of its upload is wrong", id,
                     (unsigned long long)(visit->got + i));
    }
    visit->got += body.len;
}

static void end_request(struct visit *visit)
{
    const struct peer_hop *hop = visit->hop;
    uint64_t expected = hop->has_body ? visit->job->upload : 0;
    if (visit->got != expected)
        sim_fail("job %u uploaded %llu bytes, not %llu", visit->job->id,
                 (unsigned long long)visit->got, (unsigned long long)expected);
    visit->hop->complete++;
    visit->request_over = true;
    begin_answer(visit);
    end_exchange(visit);
}

static void read_requests(struct visit *visit, mh_str *in)
{
    mh_h1_view view;
    while (!visit->gone && !visit->request_over) {
        switch (mh_h1_next(&visit->h1, in, &view)) {
        case MH_H1_HEAD:
            begin_request(visit, &view.head);
            break;
        case MH_H1_BODY:
            take_body(visit, view.body);
            break;
        case MH_H1_END:
            end_request(visit);
            break;
        case MH_H1_NEED_MORE:
            return;
        default:
            sim_fail("a request is no HTTP: %s at byte %llu", view.fault.reason,
                     (unsigned long long)view.fault.offset);
        }
    }
}

/* ---- connections ---- */

static void opened(struct sim_conn *conn)
{
    struct visit *visit = calloc(1, sizeof(*visit));
    if (!visit)
        sim_fail("this machine itself is out of memory");
    visit->conn = conn;
    visit->event.run = on_time;
    mh_h1_init(&visit->h1, MH_H1_SERVER, 0);
    conn->user = visit;
}

static void received(struct sim_conn *conn, const char *data, size_t len)
{
    struct visit *visit = conn->user;
    if (visit->gone)
        return;
    if (visit->request_over)
        sim_fail("job %u: the client sends before it was answered", visit->job->id);
    if (mh_buf_append(&visit->in, data, len) < 0)
        sim_fail("the peer is out of memory");
    mh_str in = mh_buf_str(&visit->in);
    read_requests(visit, &in);
    if (visit->request_over && in.len > 0)
        sim_fail("job %u: the client sends before it was answered", visit->job->id);
    mh_buf_consume(&visit->in, visit->in.len - in.len);
}

/* A target in a head that is not complete was seen, too. */
static void note_rest(struct visit *visit)
{
    unsigned id, hop;
    const char *target = visit->in.len > 0 ? memchr(visit->in.data, ' ', visit->in.len) : NULL;
    const char *end =
        target ? memchr(target + 1, ' ', visit->in.len - (size_t)(target + 1 - visit->in.data))
               : NULL;
    if (visit->job || !end ||
        !parse_target((mh_str){target + 1, (size_t)(end - target - 1)}, &id, &hop))
        return;
    struct peer_job *job = peer.find(id);
    if (job && hop < job->hop_count)
        job->hops[hop].begun++;
}

static void closed(struct sim_conn *conn)
{
    struct visit *visit = conn->user;
    if (visit->in.len > 0 && !visit->gone)
        note_rest(visit);
    sim_event_stop(&visit->event);
    mh_buf_free(&visit->in);
    mh_buf_free(&visit->out);
    mh_buf_free(&visit->body);
    free(visit);
    conn->user = NULL;
}

const struct sim_service peer_service = {.opened = opened, .received = received, .closed = closed};

void peer_begin(uint64_t seed, struct peer_job *(*find)(unsigned id))
{
    peer = (struct peer){.random = {seed}, .find = find};
}
