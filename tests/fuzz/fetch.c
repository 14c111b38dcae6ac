/* Any bytes as all that a server ever says to a client, on the network of tests/sim, in pieces and
 * at times of its own: whatever they are, each fetch ends once, with a status or an error, and
 * nothing is left. */
#include <string.h>

#include <minihttp/client.h>

#include "../sim/mem.h"
#include "../sim/sim.h"
#include "property.h"

#define FETCHES 3
#define TURNS_MAX 20000

static struct {
    mh_str text;
    bool stays; /* after what it has said */
} server;

static void received(struct sim_conn *conn, const char *data, size_t len)
{
    (void)data, (void)len;
    if (conn->user) /* it has said all */
        return;
    conn->user = &server;
    sim_send(conn, server.text.ptr, server.text.len);
    if (!server.stays)
        sim_finish(conn);
}

static void nothing(struct sim_conn *conn)
{
    (void)conn;
}

static const struct sim_service service = {
    .opened = nothing, .received = received, .closed = nothing};

/* ---- the client ---- */

static int done;

static void count_done(mh_response *res)
{
    done++;
    HOLDS(res->error < 0 || (res->status >= 100 && res->status <= 999));
}

static int take_body(mh_response *res, const char *data, size_t len)
{
    (void)res;
    HOLDS(data && len > 0);
    return 0;
}

static void ask(mh_fetch *fetch, int number, unsigned variant)
{
    static const char *const methods[] = {"GET", "HEAD", "POST"};
    *fetch = (mh_fetch){.url = "http://h.test/path?query",
                        .method = methods[number],
                        .timeout_ms = 100000,
                        .idle_timeout_ms = 2000,
                        .body_max = 10000,
                        .on_body = variant & 1 ? take_body : NULL,
                        .on_done = count_done};
    if (number == 2)
        fetch->body = MH_STR("a body");
}

/* One after the other, so that what was left on a kept connection meets the next one. */
static void run(unsigned variant)
{
    static mh_response responses[FETCHES];
    mh_fetch fetch;
    mh_loop *loop;
    mh_client *client;
    HOLDS(mh_loop_new(&loop) == 0);
    HOLDS(mh_client_new(&client, NULL) == 0);
    for (int i = 0; i < FETCHES; i++) {
        responses[i] = (mh_response){0};
        ask(&fetch, i, variant);
        HOLDS(mh_client_submit(client, loop, &fetch, &responses[i]) == 0);
        for (int turn = 0; turn < TURNS_MAX && done == i; turn++)
            HOLDS(mh__loop_turn(loop, 1000) == 0);
        HOLDS(done == i + 1);
    }
    for (int i = 0; i < FETCHES; i++)
        mh_response_free(&responses[i]);
    mh_client_free(client);
    mh_loop_free(loop);
    sim_settle();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input;
    if (!fuzz_input(&input, data, size))
        return 0;
    done = 0;
    server.text = input.text;
    server.stays = input.variant & 4;
    sim_begin(1 + input.cut_count);
    if (input.variant & 2)
        sim.weather = (struct sim_weather){.delay_us = 5000, .cut = 500, .piece_max = 20};
    sim_place_add(sim_host_add("h.test", SIM_FOUND, 0), "10.0.0.1", SIM_ACCEPTS, &service);
    run(input.variant);
    sim_end();
    return 0;
}
