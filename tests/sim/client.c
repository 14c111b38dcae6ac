/* client.c: the client in the simulator.
 *
 *   sim-client [--seed N] [--count N] [--seconds S] [-v]
 *
 * Runs --count seeds from --seed on (1), or as many as --seconds allow. A failure says its seed.
 *
 * Whatever the weather and the peers: each transfer ends once, in time, and with a result that what
 * happened explains; nothing is left when all is freed; the same seed gives the same run, and where
 * nothing goes wrong, other pieces of the same bytes give the same results. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "job.h"
#include "mem.h"

#define WATCHDOG_S 60 /* real ones, for a seed */
#define AGAIN 8       /* one seed of so many is run twice */

static mh_client *client;
static mh_loop *loops[LOOPS_MAX];

static struct job *job_of(const mh_response *res)
{
    return res->user;
}

/* ---- callbacks ---- */

static bool chance(struct job *job, uint32_t per_mille)
{
    return random_chance(&job->random, per_mille);
}

static void check_flying(const struct job *job)
{
    if (job->state != JOB_FLYING)
        sim_fail("job %u: called back, and it is not in flight", job->peer.id);
    if (job->failed)
        sim_fail("job %u: called back after an error of a callback", job->peer.id);
}

static void cancel(struct job *job)
{
    if (!job->cancelled)
        job->cancelled_at = sim.turns;
    job->cancelled = true;
    sim_log("job %u: cancelled", job->peer.id);
    mh_client_cancel(job->res);
}

/* What a callback may do by the way. Returns what it is to return. */
static int meddle(struct job *job)
{
    check_flying(job);
    if (chance(job, job->cancels)) {
        struct job *other = &run.jobs[random_below(&job->random, (uint32_t)run.count)];
        if (job->blocking)
            cancel(job);
        else if (other->state == JOB_FLYING && other->loop == job->loop && !other->blocking)
            cancel(other);
    }
    if (chance(job, job->fails)) {
        job->failed = true;
        return CALLBACK_ERROR;
    }
    return chance(job, 100) ? 1 : 0; /* what is positive means nothing */
}

static void go_on_later(struct job *job)
{
    sim_event_set(&job->timer, sim.now_us + job->pause_us);
}

static void pause_now(struct job *job)
{
    if (job->pauses_left == 0 || !chance(job, job->pauses))
        return;
    job->pauses_left--;
    job->paused = job->was_paused = true;
    sim_log("job %u: pauses", job->peer.id);
    mh_client_pause(job->res, true);
    go_on_later(job);
}

static int on_head(mh_response *res)
{
    struct job *job = job_of(res);
    sim_log("job %u: head, %d", job->peer.id, res->status);
    if (job->headed)
        sim_fail("job %u: a second final head", job->peer.id);
    job->headed = true;
    if (job->blocking && job->cancel_after >= 0)
        sim_event_set(&job->canceller, sim.now_us + job->cancel_after / 16);
    int result = meddle(job);
    if (result >= 0)
        pause_now(job);
    return result;
}

static int on_body(mh_response *res, const char *data, size_t len)
{
    struct job *job = job_of(res);
    sim_log("job %u: %zu bytes of body", job->peer.id, len);
    if (job->paused)
        sim_fail("job %u: a body while it is paused", job->peer.id);
    if (!job->headed)
        sim_fail("job %u: a body before its head", job->peer.id);
    for (size_t i = 0; i < len; i++) {
        if (data[i] != peer_body(job->peer.id, job->got + i))
            sim_fail("job %u: byte %llu of the body is wrong", job->peer.id,
                     (unsigned long long)(job->got + i));
    }
    job->got += len;
    int result = meddle(job);
    if (result >= 0)
        pause_now(job);
    return result;
}

static ssize_t on_upload(mh_response *res, char *buf, size_t cap)
{
    struct job *job = job_of(res);
    size_t left = (size_t)(job->peer.upload - job->short_by - job->given);
    int result = meddle(job);
    if (result < 0)
        return result;
    if (!job->blocking && job->pauses_left > 0 && chance(job, job->rests)) {
        job->pauses_left--;
        job->was_paused = true;
        go_on_later(job);
        return -EAGAIN;
    }
    if (left == 0)
        return 0;
    size_t len = 1 + random_below(&job->random, (uint32_t)(left < cap ? left : cap));
    len = len < left ? len : left;
    len = len < cap ? len : cap;
    memcpy(buf, job->upload + job->given, len);
    job->given += len;
    return (ssize_t)len;
}

static int on_progress(mh_response *res)
{
    return meddle(job_of(res));
}

static int on_trace(mh_response *res, mh_direction direction, const char *data, size_t len)
{
    (void)direction;
    (void)data;
    if (len == 0)
        sim_fail("job %u: a trace of nothing", job_of(res)->peer.id);
    return meddle(job_of(res));
}

static void submit(struct job *job);

static void end(struct job *job, int err)
{
    job->done_at = sim.now_us;
    job->state = JOB_DONE;
    sim_event_stop(&job->timer);
    sim_event_stop(&job->canceller);
    judge_transfer(job, err);
}

static bool takes_over(const struct job *job)
{
    return job->next && job->next->state == JOB_PLANNED;
}

static void on_done(mh_response *res)
{
    struct job *job = job_of(res);
    if (job->state != JOB_FLYING)
        sim_fail("job %u ends, and it is not in flight", job->peer.id);
    end(job, res->error);
    bool reuses = takes_over(job) && chance(job, 500) && res == &job->own;
    if (reuses) {
        job->next->res = res;
        job->res = NULL;
    } else if (job->frees && !job->blocking) {
        mh_response_free(res);
    }
    if (takes_over(job))
        submit(job->next);
}

/* ---- what the driver does at times ---- */

static void owe(struct job *job, unsigned due)
{
    job->due |= due;
    sim_log("job %u: due, %u", job->peer.id, due);
    if (loops[job->loop])
        mh_loop_wake(loops[job->loop]);
}

static void time_has_come(struct sim_event *event)
{
    struct job *job = MH__CONTAINER(event, struct job, timer);
    owe(job, job->state == JOB_PLANNED ? DUE_SUBMIT : DUE_GO_ON);
}

/* A blocking call can be cancelled from any thread, once it has called back. */
static void cancel_has_come(struct sim_event *event)
{
    struct job *job = MH__CONTAINER(event, struct job, canceller);
    if (!job->blocking)
        owe(job, DUE_CANCEL);
    else if (job->headed && job->state == JOB_FLYING)
        cancel(job);
}

/* ---- a transfer ---- */

static void choose_callbacks(struct job *job)
{
    mh_fetch *fetch = &job->fetch;
    if (chance(job, 700))
        fetch->on_head = on_head;
    if (fetch->on_head && chance(job, 600))
        fetch->on_body = on_body;
    if (chance(job, 200))
        fetch->on_progress = on_progress;
    if (chance(job, 200))
        fetch->on_trace = on_trace;
    if (job->by_callback)
        fetch->on_upload = on_upload;
    fetch->on_done = on_done;
}

static void take_off(struct job *job)
{
    sim_log("job %u: submitted, %s %s", job->peer.id, job->peer.hops[0].method, job->url);
    job->state = JOB_FLYING;
    job->submitted_at = sim.now_us;
    job->res->user = job;
    if (job->cancel_after >= 0 && !job->blocking)
        sim_event_set(&job->canceller, sim.now_us + job->cancel_after);
}

static void submit(struct job *job)
{
    take_off(job);
    int err = mh_client_submit(client, loops[job->loop], &job->fetch, job->res);
    if (err > 0)
        sim_fail("job %u: submit returns %d", job->peer.id, err);
    if (err == 0) {
        if (chance(job, 300))
            pause_now(job); /* before there is anything to be received */
        return;
    }
    if (job->state != JOB_FLYING)
        sim_fail("job %u: an error of submit, and on_done was called", job->peer.id);
    end(job, err);
    if (takes_over(job))
        submit(job->next);
}

static void fetch(struct job *job)
{
    take_off(job);
    int status = mh_client_fetch(run.own_client ? NULL : client, &job->fetch, job->res);
    if (job->state == JOB_FLYING && status < 0)
        end(job, status); /* it did not begin */
    if (job->state != JOB_DONE)
        sim_fail("job %u: a blocking call is over, and on_done was not called", job->peer.id);
    if (status != (job->res->error < 0 ? job->res->error : job->res->status))
        sim_fail("job %u: a blocking call returns %d", job->peer.id, status);
}

static void go_on(struct job *job)
{
    job->paused = false;
    sim_log("job %u: goes on", job->peer.id);
    mh_client_pause(job->res, false);
}

static void serve(struct job *job)
{
    unsigned due = job->due;
    job->due = 0;
    if (due & DUE_SUBMIT && job->state == JOB_PLANNED)
        submit(job);
    if (due & DUE_CANCEL && job->state == JOB_FLYING)
        cancel(job);
    if (due & DUE_GO_ON && job->state == JOB_FLYING)
        go_on(job);
}

/* ---- a run ---- */

static void blow(struct sim_weather weather, uint32_t alloc_fault)
{
    sim.weather = weather;
    mem.fail_per_mille = alloc_fault;
}

static void calm_down(struct sim_event *event)
{
    (void)event;
    struct sim_weather weather = run.weather;
    weather.connect_fault = weather.receive_fault = weather.send_fault = 0;
    weather.lookup_fault = weather.loop_fault = 0;
    blow(weather, 0);
    sim_log("no more faults");
}

static void prepare(struct job *job)
{
    job->res = &job->own;
    job->timer.run = time_has_come;
    job->canceller.run = cancel_has_come;
    choose_callbacks(job);
    if (!job->blocking && job->submit_at != CHAINED)
        sim_event_set(&job->timer, job->submit_at);
}

/* What cannot be had at first is asked for again: the faults do not last. */
static void open_all(void)
{
    while (!client) {
        if (mh_client_new(&client, &run.options) < 0 && run.calm)
            sim_fail("there is no client, and nothing has gone wrong");
        blow(run.weather, client ? run.alloc_fault : run.alloc_fault / 2);
    }
    for (int i = 0; i < run.loops; i++) {
        while (mh_loop_new(&loops[i]) < 0) {
            if (run.calm)
                sim_fail("there is no loop, and nothing has gone wrong");
        }
    }
}

static bool in_flight(int loop)
{
    for (int i = 0; i < run.count; i++) {
        if (run.jobs[i].state == JOB_FLYING && run.jobs[i].loop == loop)
            return true;
    }
    return false;
}

static int shorter(int a, int b)
{
    if (a < 0 || b < 0)
        return a < 0 ? b : a;
    return a < b ? a : b;
}

/* Until something is due, on any loop. One with nothing in flight has connections that may close.
 */
static void run_loop(int loop, bool waits)
{
    int timeout = waits ? -1 : 0;
    for (int i = 0; i < run.loops; i++) {
        if (i != loop)
            timeout = shorter(timeout, mh_loop_timeout_ms(loops[i]));
    }
    if (waits && run.embedded) {
        sim_poll(loops[loop], shorter(timeout, mh_loop_timeout_ms(loops[loop])));
        timeout = 0;
    }
    int left = mh_loop_run(loops[loop], timeout);
    if (left < 0)
        sim_fail("a loop fails, %s", mh_errname(left));
}

static void serve_all(void)
{
    for (int i = 0; i < run.count; i++)
        serve(&run.jobs[i]);
}

static void turn(void)
{
    bool any = false;
    for (int i = 0; i < run.loops; i++) {
        serve_all(); /* what has become due while another loop was waiting, too */
        run_loop(i, in_flight(i));
    }
    for (int i = 0; i < run.loops; i++)
        any |= in_flight(i);
    if (!any)
        (void)sim_step();
}

static bool any_left(void)
{
    for (int i = 0; i < run.count; i++) {
        const struct job *job = &run.jobs[i];
        if (job->state == JOB_FLYING || (job->state == JOB_PLANNED && !job->blocking))
            return true;
    }
    return false;
}

static void free_loops(void)
{
    for (int i = 0; i < run.loops; i++) {
        mh_loop_free(loops[i]);
        loops[i] = NULL;
    }
}

static void abandon(void)
{
    sim_log("the loops are freed");
    run.abandoned = true;
    free_loops();
    for (int i = 0; i < run.count; i++) {
        struct job *job = &run.jobs[i];
        if (job->state == JOB_FLYING)
            sim_fail("job %u is in flight, and its loop was freed", job->peer.id);
        sim_event_stop(&job->timer);
        job->state = JOB_DROPPED;
    }
}

/* A response may be used for one after the other. */
static void run_blocking(void)
{
    struct job *before = NULL;
    sim.share = false;
    if (run.own_client)
        sim.connected_max = sim.per_place_max = 0;
    for (int i = 0; i < run.count; i++) {
        struct job *job = &run.jobs[i];
        if (!job->blocking || job->state != JOB_PLANNED)
            continue;
        if (before && chance(job, 500))
            job->res = before->res;
        fetch(job);
        before = job;
    }
}

static void close_all(void)
{
    for (int i = 0; i < run.count; i++)
        mh_response_free(&run.jobs[i].own);
    bool client_first = random_chance(&run.random, 500);
    if (client_first)
        mh_client_free(client);
    free_loops();
    if (!client_first)
        mh_client_free(client);
    client = NULL;
}

struct outcome {
    uint64_t log, results;
};

/* variant: other chances for the network, all else as it was. */
static struct outcome run_seed(uint64_t seed, uint64_t variant)
{
    struct sim_event calm = {.run = calm_down};
    sim_begin(seed);
    sim.random.state ^= variant;
    plan_run(seed);
    sim.connected_max =
        run.options.connections_max ? run.options.connections_max : MH_CLIENT_CONNECTIONS_MAX;
    sim.per_place_max = run.options.connections_per_host_max;
    mem.ceiling = (8u << 20) + (size_t)run.count * (1u << 20);
    blow(run.weather, run.alloc_fault);
    mem.fail_at = run.fail_at;
    for (int i = 0; i < run.count; i++)
        prepare(&run.jobs[i]);
    sim.share = run.loops > 1;
    open_all();
    if (!run.calm)
        sim_event_set(&calm, run.calm_from);
    while (any_left() && !run.abandoned) {
        turn();
        if (run.abandon_at >= 0 && sim.now_us >= run.abandon_at)
            abandon();
    }
    run_blocking();
    close_all();
    sim_event_stop(&calm);
    sim_settle();
    judge_run();
    struct outcome outcome = {sim.log, judge_results()};
    sim_end();
    plan_free();
    return outcome;
}

/* ---- many ---- */

static void check_seed(uint64_t seed)
{
    alarm(WATCHDOG_S);
    struct outcome first = run_seed(seed, 0);
    if (seed % AGAIN == 0 && run_seed(seed, 0).log != first.log)
        sim_fail("another run of the same seed");
    if (run.calm && run_seed(seed, seed + 1).results != first.results)
        sim_fail("other results with other pieces");
}

static void say_seed(void)
{
    char text[64];
    int len = snprintf(text, sizeof(text), "\nin seed %llu\n", (unsigned long long)sim.seed);
    (void)!write(STDOUT_FILENO, text, (size_t)len);
}

static void on_signal(int number)
{
    say_seed();
    signal(number, SIG_DFL);
    raise(number);
}

/* A sanitizer's own handler says more, and calls the one below. */
static void watch(int number)
{
    struct sigaction before;
    if (sigaction(number, NULL, &before) == 0 && before.sa_handler == SIG_DFL)
        signal(number, on_signal);
}

/* AddressSanitizer calls this one when it has found something. */
void __asan_on_error(void);
void __asan_on_error(void)
{
    say_seed();
}

static int usage(void)
{
    fprintf(stderr, "usage: sim-client [--seed N] [--count N] [--seconds S] [-v]\n");
    return 2;
}

static int64_t real_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int main(int argc, char **argv)
{
    uint64_t seed = 1, count = 0, passed = 0;
    int64_t until = MH__NEVER;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-v") == 0)
            sim.verbose = true;
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            seed = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--count") == 0 && i + 1 < argc)
            count = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc)
            until = real_ms() + strtol(argv[++i], NULL, 10) * 1000;
        else
            return usage();
    }
    if (count == 0)
        count = until == MH__NEVER ? 1 : UINT64_MAX;
    static const char *const names[] = {"http_proxy", "https_proxy", "all_proxy",
                                        "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unsetenv(names[i]);
    watch(SIGALRM);
    watch(SIGABRT);
    watch(SIGSEGV);
    for (; passed < count && real_ms() < until; passed++)
        check_seed(seed + passed);
    printf("%llu transfers, %llu of them with an error\n",
           (unsigned long long)(judged[0] + judged[1]), (unsigned long long)judged[1]);
    printf("%llu passed, 0 failed\n", (unsigned long long)passed);
    return 0;
}
