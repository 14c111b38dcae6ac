/* hosting.c: a run of the server's simulation, drawn from a seed: first which things happen in it
 * at all, and how often, then who asks for what. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ask.h"
#include "base/clock.h"
#include "mem.h"

struct hosting hosting;

static uint32_t below(uint32_t n)
{
    return random_below(&hosting.random, n);
}

static bool chance(uint32_t per_mille)
{
    return random_chance(&hosting.random, per_mille);
}

static uint32_t sometimes(uint32_t at_most)
{
    return chance(500) ? 0 : 1 + below(at_most);
}

/* From 0 to `most`, small ones as often as large ones. */
static uint32_t scaled(uint32_t most)
{
    uint32_t top = 1;
    while (top < most && chance(850))
        top *= 2;
    return below((top < most ? top : most) + 1);
}

static struct traits {
    bool uploads, laters, streams, pauses, rests, flaws, wrongs, cuts, acts, stalls, old, huge;
    uint32_t size_max;
} traits;

static void draw_traits(void)
{
    traits = (struct traits){.uploads = chance(600),
                             .laters = chance(500),
                             .streams = chance(700),
                             .pauses = chance(400),
                             .rests = chance(500),
                             .flaws = chance(250),
                             .wrongs = chance(400),
                             .cuts = chance(300),
                             .acts = chance(400),
                             .stalls = chance(300),
                             .old = chance(200),
                             .huge = chance(60),
                             .size_max = chance(200) ? 200000 : 20000};
}

/* ---- asks ---- */

static void draw_reply(struct ask *ask)
{
    static const int statuses[] = {200, 200, 200, 200, 201, 404, 503, 204, 304};
    ask->reply = (enum reply)below(traits.streams ? REPLIES : REPLY_STREAM);
    ask->status = statuses[below(9)];
    ask->size = ask->status == 204 || ask->status == 304 ? 0 : scaled(traits.size_max);
    if (traits.huge && chance(100) && ask->size > 0)
        ask->size = 2000000 + below(1000000);
    ask->announced = chance(500);
    ask->trailers = chance(300);
    ask->wakes_early = chance(200);
    ask->rests = traits.rests ? below(600) : 0;
    if (traits.laters && chance(400))
        ask->when = hosting.settings.stream_bodies && chance(500) ? AFTER_BODY : LATER;
    ask->later_us = chance(100) ? 200000000 : scaled(5000000);
    if (traits.pauses && chance(500)) {
        ask->pauses = 1 + below(1000);
        ask->pause_us = chance(100) ? 100000000 : scaled(3000000);
    }
    if (ask->reply == REPLY_STREAM && (ask->status == 204 || ask->status == 304))
        ask->status = 200;
}

static void draw_flaw(struct ask *ask)
{
    if (!traits.flaws || !chance(200))
        return;
    ask->flaw = (enum flaw)(1 + below(FLAWS - 1));
    ask->flaw_at = below(1000);
    if (ask->flaw == PRODUCER_FAILS)
        ask->reply = REPLY_STREAM;
    if (ask->flaw == BODY_IS_SHORT) {
        ask->reply = chance(500) ? REPLY_STREAM : REPLY_FILE;
        ask->announced = true;
    }
    if (ask->flaw != UPLOAD_IS_DECLINED) {
        ask->status = 200;
        ask->size = 100 + scaled(traits.size_max);
    }
}

static struct ask *draw_ask(void)
{
    static const char *const without[] = {"GET", "GET", "GET", "HEAD", "DELETE"};
    struct ask *ask = &hosting.asks[hosting.ask_count];
    *ask = (struct ask){.id = hosting.ask_count++, .minor = 1};
    ask->method = without[below(5)];
    if (traits.uploads && chance(500)) {
        ask->method = chance(500) ? "POST" : "PUT";
        ask->upload = 1 + scaled(traits.size_max);
        ask->chunked = chance(400);
        ask->expects = chance(200);
    }
    draw_reply(ask);
    draw_flaw(ask);
    return ask;
}

/* ---- a guest's bytes ---- */

static void say(mh_buf *out, const char *fmt, ...) MH_PRINTF(2, 3);
static void say(mh_buf *out, const char *fmt, ...)
{
    char text[256];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (mh_buf_append(out, text, (size_t)len) < 0)
        sim_fail("a guest is out of memory");
}

static void say_upload(mh_buf *out, const struct ask *ask, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        char byte = ask_upload(ask->id, i);
        if (mh_buf_append(out, &byte, 1) < 0)
            sim_fail("a guest is out of memory");
    }
}

static void say_body(mh_buf *out, const struct ask *ask, bool garbled)
{
    uint32_t at = 0;
    while (ask->chunked && at < ask->upload) {
        uint32_t len = 1 + below(ask->upload - at);
        say(out, garbled ? "%xg\r\n" : "%x\r\n", (unsigned)len);
        say_upload(out, ask, at, at + len);
        say(out, "\r\n");
        at += len;
    }
    if (ask->chunked)
        say(out, chance(300) ? "0\r\nX-Sum: right\r\n\r\n" : "0\r\n\r\n");
    else
        say_upload(out, ask, 0, ask->upload);
}

static void say_length(mh_buf *out, const struct ask *ask, enum wrong wrong)
{
    if (wrong == HUGE_BODY)
        say(out, "Content-Length: %zu\r\n", hosting.settings.body_max + 1);
    else if (ask->chunked)
        say(out, "Transfer-Encoding: chunked\r\n");
    else if (ask->upload > 0)
        say(out, "Content-Length: %u\r\n", (unsigned)ask->upload);
    if (wrong == TWO_LENGTHS)
        say(out, "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n");
}

static void say_ask(mh_buf *out, struct ask *ask, enum wrong wrong)
{
    ask->begin_at = out->len;
    if (chance(100) && wrong == RIGHT)
        say(out, "\r\n"); /* RFC 9112 section 2.2 */
    if (wrong == GARBAGE)
        say(out, chance(500) ? "what is this\r\n\r\n" : "G\x01T / HTTP/1.1\r\n");
    say(out, "%s %s/q/%u%s HTTP/1.%d\r\nHost: sim.test\r\n", ask->method,
        wrong == NO_PATH ? "*" : "", ask->id, chance(300) ? "?a=b" : "", ask->minor);
    say_length(out, ask, wrong);
    if (ask->says_close)
        say(out, "Connection: close\r\n");
    if (ask->expects)
        say(out, "Expect: 100-continue\r\n");
    for (size_t i = 0; wrong == HUGE_HEAD && i < hosting.settings.head_max; i += 32)
        say(out, "X-Fill: 01234567890123456789012345\r\n");
    say(out, "\r\n");
    ask->body_at = out->len;
    say_body(out, ask, wrong == BAD_CHUNK);
    ask->end_at = out->len;
}

/* ---- guests ---- */

static void draw_wrong(struct guest *guest)
{
    if (!traits.wrongs || !chance(400))
        return;
    guest->wrong = (enum wrong)(1 + below(WRONGS - 1));
    guest->wrong_at = below(guest->count);
    struct ask *ask = &guest->asks[guest->wrong_at];
    ask->expects = false;
    if (ask->upload == 0)
        ask->method = "GET"; /* the server need not have seen that it is a HEAD */
    if (guest->wrong == BAD_CHUNK) {
        ask->method = "POST";
        ask->upload = 1 + scaled(1000);
        ask->chunked = true;
    }
}

static void draw_act(struct guest *guest)
{
    static const enum last_act acts[] = {WAITS, FINISHES, LEAVES, RESETS};
    guest->cut = guest->bytes.len;
    if (traits.cuts && chance(300))
        guest->cut = below((uint32_t)guest->bytes.len + 1);
    if (traits.acts && chance(500))
        guest->act = acts[below(4)];
}

/* Where the run is calm all of it comes in time. */
static uint32_t gap_of(const struct guest *guest)
{
    uint64_t pieces = guest->bytes.len / (guest->piece_max / 2 + 1) + 2 * guest->count + 2;
    uint64_t most = 3000000 / pieces;
    uint32_t gap = chance(300) ? 0 : scaled(20000);
    if (!hosting.calm && chance(300))
        return scaled(30000000);
    return gap < most ? gap : (uint32_t)most;
}

static void draw_pace(struct guest *guest)
{
    guest->piece_max = 1 + (chance(500) ? scaled(1000) : 100000);
    if (guest->piece_max < guest->bytes.len / 1000)
        guest->piece_max = (uint32_t)(guest->bytes.len / 1000) + 1;
    guest->gap_us = gap_of(guest);
    guest->one_by_one = chance(400);
    guest->stays = chance(300);
    guest->stalls = traits.stalls ? below(500) : 0;
    guest->stall_us = chance(200) ? UINT32_MAX : scaled(2000000);
    if (guest->stalls == 0)
        guest->stall_us = 0;
    if (traits.stalls && chance(150))
        guest->sip_us = 1 + scaled(20000000);
    guest->life_us = 1000000000 + below(500000000);
    guest->dial_at = sim.now_us + scaled(3000000);
}

static void draw_guest(void)
{
    struct guest *guest = &hosting.guests[hosting.guest_count];
    uint32_t count = 1 + scaled(7);
    *guest = (struct guest){.number = hosting.guest_count++, .count = count};
    guest->random.state = random_next(&hosting.random);
    guest->asks = &hosting.asks[hosting.ask_count];
    for (uint32_t i = 0; i < count; i++) {
        struct ask *ask = draw_ask();
        ask->minor = traits.old && chance(100) && !ask->chunked && !ask->expects ? 0 : 1;
        ask->says_close = chance(15);
    }
    draw_wrong(guest);
    for (uint32_t i = 0; i < count; i++)
        say_ask(&guest->bytes, &guest->asks[i], guest->wrong_at == i ? guest->wrong : RIGHT);
    draw_pace(guest);
    draw_act(guest);
}

static void draw_callers(void)
{
    hosting.caller_count = chance(500) ? 0 : 1 + below(CALLERS_MAX);
    for (unsigned i = 0; i < hosting.caller_count; i++) {
        hosting.callers[i] = draw_ask();
        hosting.callers[i]->expects = false;
        if (hosting.callers[i]->when == AFTER_BODY)
            hosting.callers[i]->when = LATER;
    }
}

/* ---- the run ---- */

static int64_t some_limit(int64_t usual)
{
    return chance(700) ? usual : chance(100) ? MH__NEVER : 500 + scaled(60000);
}

static void draw_settings(void)
{
    struct mh__settings *settings = &hosting.settings;
    mh__settings_init(settings);
    settings->handler = handler_serve;
    settings->user = &hosting;
    settings->on_access = handler_access;
    settings->on_error = handler_error;
    settings->stream_bodies = chance(500);
    if (hosting.calm)
        return;
    for (int i = MH__LINE_IDLE; i <= MH__LINE_LINGER; i++)
        settings->limits[i] = some_limit(settings->limits[i]);
    if (settings->limits[MH__LINE_LINGER] == MH__NEVER)
        settings->limits[MH__LINE_LINGER] = MH_SERVER_LINGER_MS;
    settings->stop_ms = some_limit(settings->stop_ms);
    if (chance(300))
        settings->rate_min = 1000 + scaled(100000);
    if (chance(200))
        settings->connections_max = 1 + (int)below(5);
    if (chance(200))
        settings->body_max = 1000 + scaled(100000);
}

static uint64_t most_bytes(void)
{
    uint64_t most = 0;
    for (unsigned i = 0; i < hosting.guest_count; i++) {
        const struct guest *guest = &hosting.guests[i];
        uint64_t sum = guest->bytes.len;
        for (unsigned k = 0; k < guest->count; k++)
            sum += guest->asks[k].size + 300;
        most = sum > most ? sum : most;
    }
    for (unsigned i = 0; i < hosting.caller_count; i++)
        most += hosting.callers[i]->size + hosting.callers[i]->upload + 500;
    return most;
}

/* Whatever the pieces, all of it is through in some seconds, and in some thousand turns. */
static void draw_weather(void)
{
    uint64_t most = most_bytes();
    uint32_t least = (uint32_t)(most / 2000) + 1;
    struct sim_weather *weather = &hosting.weather;
    weather->piece_max = least + scaled(3000);
    weather->cut = chance(500) ? below(1001) : 0;
    weather->window = chance(400) ? least + scaled(20000) : 0;
    uint64_t pieces =
        most / (weather->window > 0
                    ? (weather->window < weather->piece_max ? weather->window : weather->piece_max)
                    : weather->piece_max) +
        10;
    uint64_t delay = 2000000 / pieces;
    weather->delay_us = chance(500) ? 0 : scaled(delay < 20000 ? (uint32_t)delay : 20000);
    weather->short_send = sometimes(300);
    weather->turn_us = chance(500) ? 0 : below(100);
}

static void draw_faults(void)
{
    struct sim_weather *weather = &hosting.weather;
    weather->receive_fault = sometimes(30);
    weather->send_fault = sometimes(30);
    weather->accept_fault = sometimes(300);
    weather->connect_fault = sometimes(100);
    weather->lookup_fault = sometimes(100);
    hosting.alloc_fault = chance(500) ? 0 : scaled(100);
    hosting.fail_at = chance(800) ? 0 : 1 + below(300);
    hosting.calm_from = sim.now_us + scaled(60000000);
}

static void draw_end(void)
{
    hosting.stop_at = chance(300) ? sim.now_us + scaled(20000000) : -1;
    hosting.stop_again_at =
        hosting.stop_at >= 0 && chance(200) ? hosting.stop_at + scaled(10000000) : -1;
    hosting.end = chance(700) ? END_STOPS : chance(500) ? END_FREES : END_LOOP_FIRST;
}

void hosting_plan(uint64_t seed)
{
    int lie = hosting.lie;
    memset(&hosting, 0, sizeof(hosting));
    hosting.lie = lie;
    hosting.random.state = random_mix(seed + 3);
    hosting.calm = chance(400);
    hosting.posts = chance(250) ? 2 : 1;
    hosting.stopped_at = -1;
    hosting.calm_from = INT64_MAX;
    draw_traits();
    draw_settings();
    mem.others++;
    unsigned guests = chance(50) ? 0 : 1 + below(GUESTS_MAX);
    for (unsigned i = 0; i < guests; i++)
        draw_guest();
    draw_callers();
    draw_weather();
    if (!hosting.calm)
        draw_faults();
    draw_end();
    mem.others--;
}

void hosting_free(void)
{
    mem.others++;
    for (unsigned i = 0; i < hosting.guest_count; i++)
        guest_free(&hosting.guests[i]);
    mem.others--;
}
