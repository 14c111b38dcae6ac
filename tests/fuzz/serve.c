/* Any bytes as all that a client ever says to a server, on the network of tests/sim, in pieces and
 * at times of its own: whatever they are, what comes back are whole responses, one for each request
 * at the most; each request that a handler was given ends once; the connection is closed, and
 * nothing is left. */
#include <errno.h>
#include <string.h>

#include "../sim/mem.h"
#include "../sim/sim.h"
#include "property.h"
#include "server/server.h"
#include "server/worker.h"

#define REPLIES_MAX 512
#define HEARD_MAX (4u << 20)
#define TURNS_MAX 4000
#define METHOD_MAX 16

/* ---- the handler ---- */

static struct {
    char methods[REPLIES_MAX][METHOD_MAX];
    int begun, ended;
} served;

static int keep_nothing(mh_request *req, const char *data, size_t len)
{
    (void)req, (void)data;
    return len > 1000 ? -EPERM : 0;
}

static void ended(mh_request *req)
{
    (void)req;
    served.ended++;
}

static ssize_t produce(mh_request *req, char *buf, size_t cap)
{
    int *left = req->data;
    (void)cap;
    if (*left == 0)
        return 0;
    *left -= 1;
    memset(buf, 'p', 100);
    return 100;
}

/* What it does is up to the request, so that a fuzzer can find its way to all of it. */
static int answer(mh_request *req)
{
    static int left;
    if (served.begun == REPLIES_MAX)
        return 503;
    size_t len = req->method.len < METHOD_MAX - 1 ? req->method.len : METHOD_MAX - 1;
    memcpy(served.methods[served.begun], req->method.ptr, len);
    served.methods[served.begun++][len] = '\0';
    req->on_end = ended;
    req->on_body = keep_nothing;
    switch (req->path.len % 5) {
    case 0:
        return 404;
    case 1:
        return mh_reply_text(req, 200, "text");
    case 2:
        left = 3;
        req->data = &left;
        return mh_reply_stream(req, 200, NULL, MH_LENGTH_UNKNOWN, produce);
    case 3:
        return mh_reply_copy(req, 200, "a/b", req->body.ptr, req->body.len);
    default:
        return mh_reply_copy(req, 204, NULL, NULL, 0);
    }
}

/* ---- the client ---- */

static struct {
    mh_str text;
    char heard[HEARD_MAX];
    size_t len;
    bool closed;
} client;

static void opened(struct sim_conn *conn)
{
    sim_send(conn, client.text.ptr, client.text.len);
    sim_finish(conn);
}

static void received(struct sim_conn *conn, const char *data, size_t len)
{
    (void)conn;
    HOLDS(len <= HEARD_MAX - client.len);
    memcpy(client.heard + client.len, data, len);
    client.len += len;
}

static void closed(struct sim_conn *conn)
{
    (void)conn;
    client.closed = true;
}

static const struct sim_service service = {
    .opened = opened, .received = received, .closed = closed};

/* ---- what came back ---- */

/* A request that the response is to. */
static void ask(mh_h1 *h1, mh_str method)
{
    char bytes[200];
    mh_buf out = {.data = bytes, .cap = sizeof(bytes), .max = sizeof(bytes) - 1};
    static const mh_header host[] = {{{"Host", 4}, {"a", 1}}};
    mh_h1_head head = {.method = method, .target = MH_STR("/"), .headers = {host, 1}};
    mh_h1_init(h1, MH_H1_CLIENT, 1u << 20);
    HOLDS(mh_h1_put_head(h1, &head, &out) == 0);
    HOLDS(mh_h1_put_end(h1, (mh_headers){0}, &out) == 0);
}

/* Whether it was whole. */
static bool read_response(mh_str method, mh_str *in)
{
    static mh_h1_view view;
    mh_h1 h1;
    mh_str rest = *in;
    int event;
    ask(&h1, method);
    do {
        event = mh_h1_next(&h1, &rest, &view);
        if (event == MH_H1_NEED_MORE)
            event = mh_h1_eof(&h1, &view);
    } while (event == MH_H1_HEAD || event == MH_H1_BODY);
    if (event == MH_H1_END)
        *in = rest;
    return event == MH_H1_END;
}

/* The last one may be to something malformed, of which nobody knows whether it was a HEAD. */
static bool read_next(int number, mh_str *in)
{
    const char *method = number < served.begun ? served.methods[number] : "";
    if (strcmp(method, "HEAD") == 0)
        return read_response(MH_STR("HEAD"), in);
    return read_response(MH_STR("GET"), in) ||
           (method[0] == '\0' && read_response(MH_STR("HEAD"), in));
}

static void judge(void)
{
    mh_str in = {client.heard, client.len};
    int count = 0;
    for (; in.len > 0; count++)
        HOLDS(read_next(count, &in));
    HOLDS(count <= served.begun + 1); /* one more that says what was wrong */
    HOLDS(served.ended == served.begun);
}

/* ---- the server ---- */

static void settle_on(struct mh__settings *settings, unsigned variant)
{
    mh__settings_init(settings);
    settings->handler = answer;
    settings->stream_bodies = variant & 1;
    settings->body_max = 4000;
    settings->connections_max = 10;
}

static void run(const struct mh__settings *settings)
{
    mh_loop *loop;
    struct mh__worker *worker;
    int listener = sim_listen();
    HOLDS(mh_loop_new(&loop) == 0);
    HOLDS(mh__worker_new(&worker, settings, loop, listener) == 0);
    sim_dial(listener, &service, NULL);
    for (int i = 0; i < TURNS_MAX && !client.closed; i++)
        HOLDS(mh__loop_turn(loop, 1000) == 0);
    HOLDS(client.closed);
    mh__worker_free(worker);
    sim_shut(listener);
    mh_loop_free(loop);
    sim_settle();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input;
    struct mh__settings settings;
    if (!fuzz_input(&input, data, size))
        return 0;
    served.begun = served.ended = 0;
    client.text = input.text;
    client.len = 0;
    client.closed = false;
    sim_begin(1 + input.cut_count);
    if (input.variant & 2)
        sim.weather = (struct sim_weather){.delay_us = 5000, .cut = 500, .piece_max = 20};
    settle_on(&settings, input.variant);
    run(&settings);
    sim_end();
    judge();
    return 0;
}
