/* judge.c: the oracle. It knows what the peers were to do, what they have seen, and which errors
 * the network has handed out; from that it says whether a transfer may have ended as it did. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "job.h"
#include "mem.h"

#define SLACK_US 20000 /* what turns take by themselves */

uint64_t judged[2];

static bool idempotent(const char *method)
{
    return strcmp(method, "POST") != 0;
}

/* The hop of the last request that was made, or would have been. */
static const struct peer_hop *last_hop(const struct job *job)
{
    const struct peer_hop *hop = &job->peer.hops[0];
    for (int i = 0; i < job->res->redirects; i++) {
        if (hop->next < 0)
            sim_fail("job %u followed more redirects than there are", job->peer.id);
        hop = &job->peer.hops[hop->next];
    }
    return hop;
}

/* ---- a response ---- */

/* What lasts until close can be cut without anybody's knowing. */
static bool may_be_short(const struct peer_hop *hop)
{
    return hop->fault == PEER_CLOSES && hop->framing == PEER_UNTIL_CLOSE;
}

static void judge_bytes(const struct job *job)
{
    const mh_buf *body = &job->res->body;
    if (job->fetch.on_body)
        return; /* judged as they came */
    for (size_t i = 0; i < body->len; i++) {
        if (body->data[i] != peer_body(job->peer.id, i))
            sim_fail("job %u: byte %zu of the body is wrong", job->peer.id, i);
    }
}

static void judge_body(const struct job *job, const struct peer_hop *hop)
{
    const mh_response *res = job->res;
    uint64_t len = job->fetch.on_body ? job->got : res->body.len;
    uint64_t whole = peer_has_body(hop) ? hop->size : 0;
    if (len != whole && !(may_be_short(hop) && len < whole && (!hop->coded || len == 0)))
        sim_fail("job %u: a body of %llu bytes, not %llu", job->peer.id, (unsigned long long)len,
                 (unsigned long long)whole);
    if (res->decoded != len || res->received != res->received_total ||
        (len == whole && res->received != (peer_has_body(hop) ? hop->body_len : 0)))
        sim_fail("job %u: the account of the body is wrong", job->peer.id);
    if (job->fetch.body_max > 0 && len > job->fetch.body_max)
        sim_fail("job %u: a body above its limit", job->peer.id);
    judge_bytes(job);
}

static void judge_trailers(const struct job *job, const struct peer_hop *hop)
{
    mh_headers trailers = job->res->trailers;
    bool expected = hop->trailers && hop->framing == PEER_CHUNKED && peer_has_body(hop);
    if (trailers.count != (expected ? 2 : 0))
        sim_fail("job %u: %zu trailers", job->peer.id, trailers.count);
    char id[16];
    snprintf(id, sizeof(id), "%u", job->peer.id);
    if (expected && !mh_str_equal(mh_headers_get(trailers, "x-job"), id))
        sim_fail("job %u: the trailers are wrong", job->peer.id);
}

static void judge_head(const struct job *job, const struct peer_hop *hop)
{
    const mh_response *res = job->res;
    if (res->status != hop->status)
        sim_fail("job %u: status %d, not %d", job->peer.id, res->status, hop->status);
    if (!mh_str_equal(mh_headers_get(res->headers, "server"), "sim"))
        sim_fail("job %u: the head is not the one that was sent", job->peer.id);
    if (!mh_str_equal(res->reason, mh_reason(hop->status)))
        sim_fail("job %u: another reason than was sent", job->peer.id);
}

/* RFC 9110 section 15.5.9, where a request meets what ends an idle connection; section 15.5.18,
 * where the body had been sent already, so that there was no second try.
 */
static bool is_refusal(const struct job *job, const struct peer_hop *hop)
{
    bool timed_out = peer.said_408 > 0 && job->res->status == 408 && job->res->timings.reused;
    return timed_out || (job->res->status == 417 && hop->refused);
}

/* Of the last request; what there was no need for was not timed. */
static void judge_timings(const struct job *job)
{
    const mh_timings *t = &job->res->timings;
    bool in_order = t->resolved_us <= t->connected_us && t->connected_us <= t->first_byte_us &&
                    t->first_byte_us <= t->done_us && t->sent_us <= t->done_us;
    if (!in_order || t->first_byte_us < 0 || t->reused != (t->connected_us < 0))
        sim_fail("job %u: the timings are wrong", job->peer.id);
    if (!job->res->peer)
        sim_fail("job %u: it has talked to nobody", job->peer.id);
}

static void judge_response(const struct job *job)
{
    const struct peer_hop *hop = last_hop(job);
    judge_timings(job);
    if (is_refusal(job, hop))
        return;
    if (hop->next >= 0 && job->fetch.redirects_max >= 0)
        sim_fail("job %u: a redirect as a result", job->peer.id);
    if (job->res->phase != MH_PHASE_DONE || job->res->detail)
        sim_fail("job %u: complete, and in phase %s", job->peer.id, mh_phase_name(job->res->phase));
    if (job->paused)
        sim_fail("job %u: complete while it is paused", job->peer.id);
    judge_head(job, hop);
    judge_body(job, hop);
    judge_trailers(job, hop);
    if (hop->complete == 0 && !hop->early)
        sim_fail("job %u: an answer before the request was complete", job->peer.id);
}

/* ---- an error ---- */

static bool any_hop(const struct job *job, bool (*is)(const struct peer_hop *hop))
{
    for (unsigned i = 0; i < job->peer.hop_count; i++) {
        if (is(&job->peer.hops[i]))
            return true;
    }
    return false;
}

static bool was_cut(const struct peer_hop *hop)
{
    return hop->struck && (hop->fault == PEER_CLOSES || hop->fault == PEER_RESETS);
}

static bool was_cut_in_coding(const struct peer_hop *hop)
{
    return hop->struck && hop->coded && may_be_short(hop);
}

static bool was_garbled(const struct peer_hop *hop)
{
    return hop->struck && (hop->fault == PEER_GARBLES_HEAD || hop->fault == PEER_GARBLES_CHUNK);
}

static bool was_endless(const struct peer_hop *hop)
{
    return hop->struck && hop->fault >= PEER_ENDLESS_HEAD;
}

/* A connection that the peer had closed: whoever can repeat his request has to. */
static bool met_a_closed_one(const struct job *job)
{
    const struct peer_hop *hop = last_hop(job);
    bool repeats = idempotent(hop->method) && !(job->by_callback && hop->has_body);
    bool twice = run.weather.send_fault > 0 || peer.said_408 > 0; /* some of a 408 had come */
    return peer.closed_idle > 0 && job->res->timings.reused && (!repeats || twice);
}

static bool keeps_a_body(const struct job *job)
{
    for (unsigned i = 1; i < job->peer.hop_count; i++) {
        if (job->peer.hops[i].has_body)
            return job->by_callback;
    }
    return false;
}

static int redirects(const struct job *job)
{
    const struct peer_hop *hop = &job->peer.hops[0];
    int count = 0;
    for (; hop->next >= 0 && count < 100; count++)
        hop = &job->peer.hops[hop->next];
    return count;
}

static bool redirects_too_often(const struct job *job)
{
    int max = job->fetch.redirects_max;
    return redirects(job) > (max == 0 ? MH_FETCH_REDIRECTS_MAX : max);
}

static bool above_limit(const struct job *job)
{
    const struct peer_hop *hop = last_hop(job);
    return job->fetch.body_max > 0 && peer_has_body(hop) && hop->size > job->fetch.body_max;
}

static int shorter(int a, int b)
{
    if (a < 0 || b < 0)
        return a < 0 ? b : a;
    return a < b ? a : b;
}

static int or_default(int given, int standard)
{
    return given == 0 ? standard : given;
}

/* The shortest time in which a transfer can have run out of it in that phase; -1: never. */
static int patience(const struct job *job)
{
    const mh_fetch *f = &job->fetch;
    int whole = or_default(f->timeout_ms, MH_FETCH_TIMEOUT_MS);
    int connect = or_default(f->connect_timeout_ms, MH_FETCH_CONNECT_TIMEOUT_MS);
    int resolve = or_default(f->resolve_timeout_ms, MH_FETCH_RESOLVE_TIMEOUT_MS);
    int idle = or_default(f->idle_timeout_ms, MH_FETCH_IDLE_TIMEOUT_MS);
    switch (job->res->phase) {
    case MH_PHASE_START:
    case MH_PHASE_WAIT:
        return whole;
    case MH_PHASE_RESOLVE:
        return shorter(whole, shorter(connect, resolve));
    case MH_PHASE_CONNECT:
        return shorter(whole, connect);
    default:
        return shorter(whole, idle);
    }
}

/* All of it, or silence for as long as that may last. A pause counts as a sign of life. */
static bool ran_out_of_time(const struct job *job)
{
    const struct peer_hop *hop = last_hop(job);
    int64_t ms = patience(job), whole = or_default(job->fetch.timeout_ms, MH_FETCH_TIMEOUT_MS);
    int64_t since = job->submitted_at;
    bool all = whole >= 0 && job->done_at - since >= (whole - 1) * 1000;
    if (!all && job->res->phase >= MH_PHASE_SEND && hop->conn)
        since = hop->conn->last_us;
    return ms >= 0 && job->done_at - since >= (ms - 1) * 1000;
}

static bool is_of_connect(int err)
{
    return err == -ECONNREFUSED || err == -EHOSTUNREACH || err == -ENETUNREACH ||
           err == -EADDRNOTAVAIL || err == -EACCES || err == -EPERM || err == -EMFILE ||
           err == -ENFILE || err == -ENOBUFS || err == -EAGAIN;
}

static bool is_explained(const struct job *job, int err)
{
    switch (err) {
    case -ENOMEM:
        return mem.failures > 0 || sim.given[ENOMEM];
    case -ECANCELED:
        return job->cancelled || run.abandoned;
    case CALLBACK_ERROR:
        return job->failed;
    case -ETIMEDOUT:
        return sim.given[ETIMEDOUT] || ran_out_of_time(job);
    case MH_ERR_RESOLVE:
        return strcmp(last_hop(job)->host, "unknown.test") == 0 &&
               job->res->phase == MH_PHASE_RESOLVE;
    case MH_ERR_CLOSED:
        return any_hop(job, was_cut) || any_hop(job, was_garbled) || met_a_closed_one(job) ||
               run.weather.send_fault > 0;
    case -ECONNRESET:
    case -EPIPE:
        return sim.given[-err] &&
               (any_hop(job, was_cut) || met_a_closed_one(job) || run.weather.send_fault > 0);
    case MH_ERR_FRAMING:
        return job->short_by > 0;
    case MH_ERR_CODING:
        return any_hop(job, was_cut_in_coding);
    case MH_ERR_MALFORMED:
        return any_hop(job, was_garbled);
    case MH_ERR_TOO_LARGE:
        return any_hop(job, was_endless) || above_limit(job);
    case MH_ERR_REDIRECT:
        return redirects_too_often(job) || keeps_a_body(job);
    default:
        return is_of_connect(err) && sim.given[-err];
    }
}

/* To repeat it is safe, it says. */
static void judge_retryable(const struct job *job)
{
    const struct peer_hop *hop = last_hop(job);
    if (job->res->retryable && !idempotent(hop->method) && hop->begun > 0 &&
        job->res->error != MH_ERR_REDIRECT)
        sim_fail("job %u: retryable, but the peer has seen it", job->peer.id);
}

static void judge_error(const struct job *job, int err)
{
    const mh_response *res = job->res;
    if (res->error != err)
        sim_fail("job %u: error %s, and in the response %s", job->peer.id, mh_errname(err),
                 mh_errname(res->error));
    if (run.calm)
        sim_fail("job %u: %s in phase %s (%s), and nothing has gone wrong", job->peer.id,
                 mh_errname(err), mh_phase_name(res->phase), res->detail ? res->detail : "-");
    if (!is_explained(job, err))
        sim_fail("job %u: %s in phase %s (%s), and nothing explains it", job->peer.id,
                 mh_errname(err), mh_phase_name(res->phase), res->detail ? res->detail : "-");
    if (res->phase == MH_PHASE_DONE)
        sim_fail("job %u: %s, and it is done", job->peer.id, mh_errname(err));
    judge_retryable(job);
}

/* ---- time ---- */

static void judge_time(const struct job *job)
{
    int ms = or_default(job->fetch.timeout_ms, MH_FETCH_TIMEOUT_MS);
    int64_t took = job->done_at - job->submitted_at;
    if (ms > 0 && took > (int64_t)ms * 1000 + SLACK_US)
        sim_fail("job %u: took %lld ms, and was to take no more than %d", job->peer.id,
                 (long long)(took / 1000), ms);
}

/* A peer that falls silent is found out; a look at what is sent is taken once in that time only. */
static void judge_silence(const struct job *job)
{
    const struct peer_hop *hop = last_hop(job);
    int64_t idle = or_default(job->fetch.idle_timeout_ms, MH_FETCH_IDLE_TIMEOUT_MS);
    int64_t expect = or_default(job->fetch.expect_timeout_ms, MH_FETCH_EXPECT_TIMEOUT_MS);
    bool silent = hop->struck && (hop->fault == PEER_FALLS_SILENT || hop->fault == PEER_STALLS);
    if (!silent || idle < 0 || job->was_paused)
        return;
    int64_t until = hop->conn->last_us + (2 * idle + (expect > 0 ? expect : 0)) * 1000 + SLACK_US;
    if (job->done_at > until)
        sim_fail("job %u: goes on for %lld ms after all was silent", job->peer.id,
                 (long long)((job->done_at - hop->conn->last_us) / 1000));
}

/* In the next turn of its loop. */
static void judge_cancelling(const struct job *job)
{
    if (job->cancelled && sim.turns - job->cancelled_at > 3 * (unsigned)run.loops)
        sim_fail("job %u: goes on for %llu turns after it was cancelled", job->peer.id,
                 (unsigned long long)(sim.turns - job->cancelled_at));
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
    return random_mix(hash ^ (value + 0x9e3779b97f4a7c15u));
}

static uint64_t hash_of(const struct job *job, int err)
{
    const mh_response *res = job->res;
    uint64_t hash = mix(job->peer.id, (uint64_t)err);
    hash = mix(hash, (uint64_t)res->status);
    hash = mix(hash, (uint64_t)res->redirects);
    hash = mix(hash, res->decoded);
    return mix(hash, res->trailers.count);
}

void judge_transfer(struct job *job, int err)
{
    sim_log("job %u ends, %d in phase %d after %d redirects", job->peer.id, err,
            (int)job->res->phase, job->res->redirects);
    if (err < 0)
        judge_error(job, err);
    else
        judge_response(job);
    judge_time(job);
    judge_silence(job);
    judge_cancelling(job);
    job->result = hash_of(job, err);
    judged[err < 0]++;
}

/* ---- the run ---- */

static bool loops(const struct job *job)
{
    return redirects(job) >= 100;
}

/* RFC 9110 section 9.2.2: what is not idempotent is not repeated. */
static void judge_repeats(const struct job *job)
{
    for (unsigned i = 0; i < job->peer.hop_count; i++) {
        const struct peer_hop *hop = &job->peer.hops[i];
        unsigned most = idempotent(hop->method) ? 2 : 1;
        if (hop->begun > most && !loops(job))
            sim_fail("job %u: asked for %u times at hop %u", job->peer.id, hop->begun, i);
        if (run.calm && !run.idle_closes && hop->begun != 1)
            sim_fail("job %u: asked for %u times at hop %u", job->peer.id, hop->begun, i);
    }
}

void judge_run(void)
{
    for (int i = 0; i < run.count; i++)
        judge_repeats(&run.jobs[i]);
}

uint64_t judge_results(void)
{
    uint64_t hash = 0;
    for (int i = 0; i < run.count; i++)
        hash = mix(hash, run.jobs[i].result);
    return hash;
}
