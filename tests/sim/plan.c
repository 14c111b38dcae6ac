/* plan.c: a run, drawn from a seed. Chance that is the same everywhere never comes to the corners:
 * so a run first draws which things happen in it at all, and how often (swarm testing). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job.h"
#include "mem.h"

struct run run;

static uint32_t below(uint32_t n)
{
    return random_below(&run.random, n);
}

static bool chance(uint32_t per_mille)
{
    return random_chance(&run.random, per_mille);
}

/* Not at all, half of the time. */
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

/* ---- the map ---- */

struct traits {
    bool gzip, logins, refuses, many_origins;
    bool redirects, uploads, pauses, cancels, fails, timeouts, limits, interims, expects, bad_hosts;
    uint32_t hosts; /* how many good ones */
    uint32_t first_host;
    uint32_t fault; /* per mille of answers */
    bool faults[PEER_FAULTS];
    uint32_t size_max;
};

static const char *const good_hosts[] = {"a.test",      "b.test",     "c.test",
                                         "a.test:8080", "10.0.0.1:1", "[fd00::1]:81"};
static const char *const bad_hosts[] = {"dead.test", "hangs.test", "unknown.test", "silent.test",
                                        "lost.test"};

static uint32_t some_us(void)
{
    return scaled(200000);
}

/* Now and then longer than the client waits before it tries another address. */
static uint32_t race_us(void)
{
    return chance(300) ? 200000 + below(400000) : some_us();
}

/* b.test has an address that is of no use, and is found all the same; those of c.test race. */
static void draw_map(void)
{
    static const enum sim_manner useless[] = {SIM_REFUSES, SIM_SILENT, SIM_UNREACHABLE, SIM_NO_WAY};
    struct sim_host *a = sim_host_add("a.test", SIM_FOUND, some_us());
    struct sim_host *b = sim_host_add("b.test", SIM_FOUND, some_us());
    struct sim_host *c = sim_host_add("c.test", SIM_FOUND, some_us());
    sim_place_add(a, "10.0.0.1", SIM_ACCEPTS, &peer_service)->delay_us = some_us();
    sim_place_add(b, "10.0.0.2", useless[below(4)], &peer_service)->delay_us = some_us();
    sim_place_add(b, "10.0.0.3", SIM_ACCEPTS, &peer_service)->delay_us = some_us();
    sim_place_add(c, "fd00::1", SIM_ACCEPTS, &peer_service)->delay_us = race_us();
    sim_place_add(c, "10.0.0.4", SIM_ACCEPTS, &peer_service)->delay_us = race_us();
    sim_place_add(sim_host_add("proxy.test", SIM_FOUND, some_us()), "10.0.2.1", SIM_ACCEPTS,
                  &peer_service);
    struct sim_host *dead = sim_host_add("dead.test", SIM_FOUND, some_us());
    sim_place_add(dead, "10.0.1.1", SIM_REFUSES, &peer_service)->delay_us = some_us();
    sim_place_add(dead, "fd00::11", useless[below(4)], &peer_service)->delay_us = some_us();
    sim_host_add("hangs.test", SIM_HANGS, 0);
    sim_host_add("unknown.test", SIM_FAILS, some_us())->why = "no such name";
    sim_place_add(sim_host_add("silent.test", SIM_FOUND, 0), "10.0.1.2", SIM_SILENT, &peer_service);
    sim_place_add(sim_host_add("lost.test", SIM_FOUND, 0), "10.0.1.3", SIM_NO_WAY, &peer_service);
}

static void draw_host(const struct traits *traits, char host[32])
{
    const char *name = good_hosts[(traits->first_host + below(traits->hosts)) % 6];
    if (traits->bad_hosts && chance(200))
        name = bad_hosts[below(5)];
    if (traits->many_origins && chance(900))
        snprintf(host, 32, "a.test:%u", 1000 + below(1000));
    else
        snprintf(host, 32, "%s", name);
}

/* ---- answers ---- */

/* RFC 9110 section 15.4. */
static void draw_next_request(const struct peer_hop *from, struct peer_hop *to)
{
    bool to_get = from->status == 303 ? strcmp(from->method, "HEAD") != 0
                                      : from->status < 303 && strcmp(from->method, "POST") == 0;
    to->method = to_get ? "GET" : from->method;
    to->has_body = from->has_body && !to_get;
}

static void draw_fault(const struct traits *traits, struct peer_hop *hop)
{
    if (!chance(traits->fault))
        return;
    uint32_t fault = below(PEER_FAULTS);
    for (int i = 0; i < PEER_FAULTS && !traits->faults[fault]; i++)
        fault = (fault + 1) % PEER_FAULTS;
    if (!traits->faults[fault])
        return;
    hop->fault = (enum peer_fault)fault;
    hop->fault_at = chance(300) ? 0 : below(1000);
    hop->drip_ms = 1 + scaled(2000);
    if (fault == PEER_GARBLES_CHUNK)
        hop->framing = PEER_CHUNKED;
}

static void draw_hop(const struct traits *traits, struct job *job, struct peer_hop *hop)
{
    static const int final[] = {200, 200, 200, 200, 201, 404, 500, 204, 304};
    hop->status = final[below(9)];
    hop->framing = (enum peer_framing)below(3);
    hop->size = scaled(traits->size_max);
    hop->wait_us = chance(500) ? 0 : some_us();
    hop->interims = traits->interims && chance(300) ? 1 + (int)below(5) : 0;
    hop->next = -1;
    draw_host(traits, hop->host);
    hop->gzip = traits->gzip && chance(500);
    hop->refuses = traits->refuses && chance(300);
    hop->trailers = chance(300);
    hop->keeps = chance(800);
    hop->early = job->peer.upload > 0 && chance(250);
    hop->continues = chance(700);
    hop->relative = chance(300);
    draw_fault(traits, hop);
}

/* The last one redirects to the first one, now and then. */
static void draw_redirects(const struct traits *traits, struct job *job)
{
    static const int statuses[] = {301, 302, 303, 307, 308};
    struct peer_job *peer_job = &job->peer;
    bool loops = !run.calm && !peer_job->hops[0].has_body && chance(100);
    peer_job->hop_count = traits->redirects && chance(400) ? 2 + below(PEER_HOPS_MAX - 1) : 1;
    if (traits->many_origins)
        peer_job->hop_count = PEER_HOPS_MAX;
    for (unsigned i = 0; i < peer_job->hop_count; i++) {
        struct peer_hop *hop = &peer_job->hops[i];
        draw_hop(traits, job, hop);
        bool last = i + 1 == peer_job->hop_count;
        if (last && !(loops && i > 0))
            break;
        hop->status = run.calm && job->by_callback ? 303 : statuses[below(5)];
        hop->next = last ? 0 : (int)i + 1;
        if (last)
            hop->status = 307;
        else
            draw_next_request(hop, &hop[1]);
    }
    for (unsigned i = 0; i + 1 < peer_job->hop_count; i++) {
        if (peer_job->hops[i].relative)
            memcpy(peer_job->hops[i + 1].host, peer_job->hops[i].host, 32);
    }
    if (peer_job->hops[peer_job->hop_count - 1].next == 0)
        peer_job->hops[peer_job->hop_count - 1].relative = false;
    for (unsigned i = 1; i < peer_job->hop_count; i++)
        peer_job->hops[i].foreign = peer_job->hops[i - 1].foreign ||
                                    strcmp(peer_job->hops[i].host, peer_job->hops[0].host) != 0;
}

/* ---- what is asked ---- */

static void draw_method(const struct traits *traits, struct job *job)
{
    static const char *const plain[] = {"GET", "GET", "GET", "HEAD"};
    struct peer_hop *first = &job->peer.hops[0];
    bool uploads = traits->uploads && chance(500);
    first->method = uploads ? (chance(500) ? "POST" : "PUT") : plain[below(4)];
    if (run.calm && run.idle_closes && uploads)
        first->method = "PUT";
    job->fetch.method = first->method;
    if (strcmp(first->method, "GET") == 0 && chance(500))
        job->fetch.method = NULL;
    if (!uploads)
        return;
    job->peer.upload = scaled(traits->size_max);
    first->has_body = true;
}

static void draw_upload(struct job *job)
{
    size_t len = (size_t)job->peer.upload;
    if (!job->peer.hops[0].has_body)
        return;
    job->upload = malloc(len + 1);
    if (!job->upload)
        sim_fail("this machine itself is out of memory");
    for (size_t i = 0; i < len; i++)
        job->upload[i] = peer_upload(job->peer.id, i);
    job->by_callback = !(run.calm && run.idle_closes) && chance(400);
    if (!job->by_callback)
        job->fetch.body = (mh_str){job->upload, len};
    else if (chance(500))
        job->fetch.upload_len = len;
    if (!run.calm && job->fetch.upload_len > 0 && chance(100))
        job->short_by = 1 + below((uint32_t)len);
}

/* By a header, or by the URL: to the peer it is the same. */
static void draw_login(const struct traits *traits, struct job *job)
{
    const char *user = "";
    size_t count = 0;
    if (traits->logins && chance(500)) {
        job->peer.login = "Basic dTpw";
        if (chance(500))
            user = "u:p@";
        else
            job->headers[count++] = "Authorization: Basic dTpw";
    }
    job->peer.cookie = traits->logins && chance(500);
    if (job->peer.cookie) {
        job->headers[count++] = "Cookie: k=v";
        job->headers[count++] = "X-Key: k";
        job->secrets[0] = "x-key";
        job->fetch.secrets = job->secrets;
    }
    if (count > 0)
        job->fetch.headers = job->headers;
    snprintf(job->url, sizeof(job->url), "http://%s%s/r/%u/0", user, job->peer.hops[0].host,
             job->peer.id);
    job->fetch.url = job->url;
}

static int draw_limit(void)
{
    if (chance(600))
        return 0;
    return 1 + (int)scaled(5000);
}

/* Not both without a limit: what is silent for ever would never end. */
static void draw_limits(const struct traits *traits, struct job *job)
{
    mh_fetch *fetch = &job->fetch;
    fetch->expect_timeout_ms = traits->expects ? (int)scaled(2000) - 1 : -1;
    if (run.calm)
        fetch->timeout_ms = -1; /* others may pause for long where connections are few */
    if (run.calm || !traits->timeouts)
        return;
    fetch->timeout_ms = chance(200) ? -1 : draw_limit();
    fetch->resolve_timeout_ms = draw_limit();
    fetch->connect_timeout_ms = draw_limit();
    fetch->idle_timeout_ms = fetch->timeout_ms < 0 || chance(800) ? draw_limit() : -1;
    fetch->redirects_max = chance(800) ? 0 : (int)below(4) - 1;
    if (traits->limits && chance(200))
        fetch->body_max = 1 + scaled(traits->size_max);
}

static void draw_job(const struct traits *traits, struct job *job)
{
    job->random.state = random_next(&run.random);
    draw_method(traits, job);
    draw_upload(job);
    draw_redirects(traits, job);
    draw_limits(traits, job);
    draw_login(traits, job);
    job->fetch.user = job;
    job->submit_at = sim.now_us + (chance(300) ? 0 : scaled(5000000));
    job->cancel_after = traits->cancels && chance(200) ? (int64_t)scaled(3000000) : -1;
    job->cancels = traits->cancels ? sometimes(20) : 0;
    job->fails = traits->fails ? sometimes(50) : 0;
    job->pauses = traits->pauses ? sometimes(300) : 0;
    job->rests = traits->pauses ? sometimes(500) : 0;
    job->pauses_left = 10;
    job->pause_us = run.calm && chance(100) ? 40000000 : scaled(500000); /* above any idle limit */
    job->frees = chance(300);
    job->loop = (int)below((uint32_t)run.loops);
}

/* Those that are called for one after the other come last: nothing else is under way then. */
static void draw_blocking(void)
{
    int count = chance(400) ? (int)below(4) : 0;
    for (int i = run.count - 1; i >= 0 && count > 0; i--, count--) {
        run.jobs[i].blocking = true;
        run.jobs[i].pauses = run.jobs[i].rests = 0;
    }
    run.own_client = !run.proxied && chance(200);
}

static void draw_chains(void)
{
    for (int i = 1; i < run.count; i++) {
        struct job *before = &run.jobs[i - 1], *job = &run.jobs[i];
        if (job->blocking || !chance(200))
            continue;
        before->next = job;
        job->submit_at = CHAINED;
        job->loop = before->loop;
    }
}

/* ---- the run ---- */

static void draw_weather(const struct traits *traits)
{
    struct sim_weather *w = &run.weather;
    w->cut = sometimes(1000);
    w->piece_max = 1 + scaled(2000);
    w->short_send = sometimes(1000);
    w->window = chance(500) ? 0 : 1 + scaled(100000);
    w->turn_us = scaled(200);
    /* All that is on its way has to arrive long before a transfer's standard limit. */
    uint32_t step = w->piece_max;
    if (w->window > 0 && w->window < step)
        step = w->window;
    uint32_t pieces = 2 + (traits->size_max + 2000) / (step / 2 + 1);
    uint32_t most = 4000000 / (pieces * (uint32_t)run.count);
    w->delay_us = scaled(most < 100000 ? most : 100000);
    if (run.calm)
        return;
    w->connect_fault = sometimes(200);
    w->receive_fault = sometimes(50);
    w->send_fault = sometimes(50);
    w->lookup_fault = sometimes(200);
    w->loop_fault = sometimes(200);
    run.alloc_fault = chance(300) ? 0 : sometimes(chance(500) ? 5 : 100);
    run.fail_at = chance(300) ? 1 + scaled(2000) : 0;
    run.calm_from = sim.now_us + (int64_t)scaled(20000000);
}

static void draw_options(void)
{
    run.proxied = peer.is_proxy = chance(100);
    run.options.proxy = run.proxied ? "http://proxy.test:3128" : "";
    run.options.connections_max = chance(500) ? 0 : 1 + (int)below(4);
    run.options.connections_per_host_max = chance(500) ? 0 : 1 + (int)below(3);
    run.options.idle_timeout_ms = chance(500) ? 0 : (int)scaled(10000) - 1;
}

static void draw_traits(struct traits *traits)
{
    *traits = (struct traits){.hosts = 1 + below(6),
                              .first_host = below(6),
                              .gzip = chance(300),
                              .logins = chance(300),
                              .many_origins = chance(100),
                              .redirects = chance(500),
                              .uploads = chance(600),
                              .pauses = chance(400),
                              .interims = chance(500),
                              .expects = chance(400),
                              .size_max = scaled(chance(100) ? 200000 : 8000)};
    if (run.calm)
        return;
    traits->cancels = chance(400);
    traits->fails = chance(300);
    traits->timeouts = chance(500);
    traits->limits = chance(300);
    traits->bad_hosts = !run.proxied && chance(300);
    traits->refuses = traits->expects && chance(300);
    traits->fault = chance(300) ? 0 : 50 + below(600);
    for (int i = 1; i < PEER_FAULTS; i++)
        traits->faults[i] = chance(400);
}

static struct peer_job *find(unsigned id)
{
    return id >= 1 && id <= (unsigned)run.count ? &run.jobs[id - 1].peer : NULL;
}

void plan_run(uint64_t seed)
{
    struct traits traits;
    memset(&run, 0, sizeof(run));
    run.random.state = random_mix(seed + 3);
    run.calm = chance(400);
    run.idle_closes = chance(400);
    run.loops = chance(200) ? 2 : 1;
    run.embedded = chance(200);
    run.count = 1 + (int)scaled(JOBS_MAX - 1);
    run.abandon_at = !run.calm && chance(200) ? (int64_t)scaled(10000000) : -1;
    peer_begin(random_next(&run.random), find);
    peer.idle_close = run.idle_closes ? below(1001) : 0;
    peer.idle_us = scaled(5000000);
    peer.says_408 = !run.calm && chance(300);
    draw_map();
    draw_options();
    draw_traits(&traits);
    if (traits.many_origins)
        run.count = JOBS_MAX;
    for (int i = 0; i < run.count; i++) {
        run.jobs[i].peer.id = (unsigned)i + 1;
        draw_job(&traits, &run.jobs[i]);
    }
    draw_weather(&traits);
    draw_blocking();
    draw_chains();
}

void plan_free(void)
{
    for (int i = 0; i < run.count; i++)
        free(run.jobs[i].upload);
}
