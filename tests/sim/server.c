/* server.c: the server in the simulator.
 *
 *   sim-server [--seed N] [--count N] [--seconds S] [-v]
 *   sim-server --lies
 *
 * Runs --count seeds from --seed on (1), or as many as --seconds allow. A failure says its seed.
 * With
 * --lies the handler is wrong in one way after the other, and has to be found out each time.
 *
 * Whatever the weather, the guests and the handler: each request is answered once, in order, with
 * what was replied to it, or somebody has said why not; each ends once, and is not heard of after
 * it; deadlines are kept; nothing is left when all is freed; the same seed gives the same run. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <minihttp/client.h>

#include "ask.h"
#include "base/clock.h"
#include "mem.h"
#include "relay.h"

#define WATCHDOG_S 60 /* real ones, for a seed */
#define AGAIN 8       /* one seed of so many is run twice */
#define POSTS_MAX 2
#define LIES 4 /* see handler.c */
#define LIE_SEEDS 50
#define WAIT_MS 10000
#define PATIENCE_MS 1000000         /* of callers, after which a send that has failed is given up */
#define END_US INT64_C(10000000000) /* a run that lasts longer does not end */

static struct post {
    mh_loop *loop;
    struct mh__worker *worker;
} posts[POSTS_MAX];
static int post_count, stopped_count;
static mh_client *client;
static uint64_t answered, unanswered, fetched, failed;

/* ---- callers ---- */

static struct caller {
    struct ask *ask;
    mh_response res;
    mh_fetch fetch;
    char url[40], *upload;
    const char *headers[2];
    bool flying, over;
    int err;
} callers[CALLERS_MAX];

static bool is_page(int status)
{
    return status == 400 || status == 408 || status == 413 || status == 500 || status == 503;
}

/* Where nothing goes wrong, the client has no reason to fail. */
static void judge_caller(const struct caller *caller)
{
    const struct ask *ask = caller->ask;
    const mh_response *res = &caller->res;
    bool excused = !hosting.calm || hosting.stopped_at >= 0 || ask->flaw != NO_FLAW;
    if (caller->err < 0) {
        failed++;
        if (!excused)
            sim_fail("ask %u: its client is told %s", ask->id, mh_errname(caller->err));
        return;
    }
    fetched++;
    if (!mh_headers_get(res->headers, "X-Ask").ptr) {
        bool planned = res->status == 500 && ask->reply >= REPLY_STATUS;
        if (!is_page(res->status) || (!excused && !planned))
            sim_fail("ask %u: its client gets %d", ask->id, res->status);
        return;
    }
    if (res->status != ask->status)
        sim_fail("ask %u: its client gets %d", ask->id, res->status);
    if (ask->reply == REPLY_STATUS)
        return;
    uint64_t size = ask_has_content(ask) ? ask->size : 0;
    if (res->body.len != size)
        sim_fail("ask %u: its client gets %zu bytes", ask->id, res->body.len);
    for (size_t i = 0; i < size; i++) {
        if (res->body.data[i] != ask_body(ask->id, i))
            sim_fail("ask %u: its client gets a wrong byte at %zu", ask->id, i);
    }
}

static void caller_done(mh_response *res)
{
    struct caller *caller = MH__CONTAINER(res, struct caller, res);
    if (!caller->flying)
        sim_fail("ask %u: on_done, and it is not in flight", caller->ask->id);
    caller->flying = false;
    caller->over = true;
    caller->err = res->error;
    sim_log("ask %u: its client is told %d, %d", caller->ask->id, res->error, res->status);
    judge_caller(caller);
}

static void prepare_caller(struct caller *caller, struct ask *ask)
{
    *caller = (struct caller){.ask = ask};
    snprintf(caller->url, sizeof(caller->url), "http://sim.test/q/%u", ask->id);
    caller->fetch = (mh_fetch){.url = caller->url,
                               .method = ask->method,
                               .redirects_max = -1,
                               .timeout_ms = PATIENCE_MS,
                               .idle_timeout_ms = PATIENCE_MS,
                               .body_max = 8u << 20,
                               .on_done = caller_done};
    caller->upload = malloc(ask->upload + 1);
    for (size_t i = 0; i < ask->upload; i++)
        caller->upload[i] = ask_upload(ask->id, i);
    if (ask->upload > 0)
        caller->fetch.body = (mh_str){caller->upload, ask->upload};
}

static void begin_callers(void)
{
    if (hosting.caller_count == 0 || mh_client_new(&client, NULL) < 0)
        return;
    for (unsigned i = 0; i < hosting.caller_count; i++) {
        struct caller *caller = &callers[i];
        prepare_caller(caller, hosting.callers[i]);
        caller->flying = true;
        if (mh_client_submit(client, posts[0].loop, &caller->fetch, &caller->res) == 0)
            continue;
        if (hosting.calm)
            sim_fail("nothing has gone wrong, and nothing can be submitted");
        caller->flying = false;
        caller->over = true;
    }
}

static void end_callers(void)
{
    if (!client)
        return;
    mh_client_free(client);
    client = NULL;
    for (unsigned i = 0; i < hosting.caller_count; i++) {
        if (callers[i].flying)
            sim_fail("ask %u is in flight, and its client was freed", callers[i].ask->id);
        mh_response_free(&callers[i].res);
        free(callers[i].upload);
    }
}

static bool callers_are_over(void)
{
    for (unsigned i = 0; client && i < hosting.caller_count; i++) {
        if (!callers[i].over)
            return false;
    }
    return true;
}

/* ---- what happens at times ---- */

static void stop(void)
{
    if (post_count == 0)
        return;
    sim_log("the server is told to stop");
    int asked = hosting.stopped_at < 0 ? 1 : 2;
    if (hosting.stopped_at < 0)
        hosting.stopped_at = sim.now_us;
    for (int i = 0; i < post_count; i++)
        mh__worker_ask_to_stop(posts[i].worker, asked);
}

static void stop_comes(struct sim_event *event)
{
    (void)event;
    stop();
}

static void blow(struct sim_weather weather, uint32_t alloc_fault)
{
    sim.weather = weather;
    mem.fail_per_mille = alloc_fault;
}

static void calm_down(struct sim_event *event)
{
    (void)event;
    struct sim_weather weather = hosting.weather;
    weather.receive_fault = weather.send_fault = weather.accept_fault = 0;
    weather.connect_fault = weather.lookup_fault = 0;
    blow(weather, 0);
    sim_log("no more faults");
}

/* ---- a run ---- */

static bool guests_are_over(void)
{
    for (unsigned i = 0; i < hosting.guest_count; i++) {
        if (!guest_is_over(&hosting.guests[i]))
            return false;
    }
    return true;
}

static void shut(struct mh__worker *worker)
{
    (void)worker;
    if (++stopped_count < post_count)
        return;
    sim_log("the server has stopped");
    sim_shut(hosting.listener);
}

/* What was under way has its time, and no more. */
static void check_stop(void)
{
    int64_t limit = hosting.settings.stop_ms;
    bool twice = hosting.stop_again_at >= 0 && sim.now_us > hosting.stop_again_at + SLACK_US;
    if (hosting.stopped_at < 0 || stopped_count == post_count)
        return;
    if (twice || (limit != MH__NEVER && sim.now_us > hosting.stopped_at + limit * 1000 + SLACK_US))
        sim_fail("the server was told to stop at %lld ms, and has not",
                 (long long)hosting.stopped_at / 1000);
}

static int shorter(int a, int b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* One loop after the other, as if each had a thread: it waits until there is something for any. */
static void turn_post(int number)
{
    int timeout = WAIT_MS;
    for (int i = 0; i < post_count; i++) {
        if (i != number)
            timeout = shorter(timeout, mh_loop_timeout_ms(posts[i].loop));
    }
    if (mh__loop_turn(posts[number].loop, timeout) < 0)
        sim_fail("the loop fails");
}

static void turn(void)
{
    for (int i = 0; i < post_count; i++)
        turn_post(i);
    if (sim.now_us > END_US)
        sim_fail("this does not come to an end");
    check_stop();
}

static void open_post(struct post *post)
{
    while (mh_loop_new(&post->loop) < 0) {
        if (hosting.calm)
            sim_fail("there is no loop, and nothing has gone wrong");
    }
    while (mh__worker_new(&post->worker, &hosting.settings, post->loop, hosting.listener) < 0) {
        if (hosting.calm)
            sim_fail("there is no server, and nothing has gone wrong");
    }
    post->worker->on_stopped = shut;
}

static void open_posts(void)
{
    hosting.listener = sim_listen();
    relay_begin(hosting.listener);
    stopped_count = 0;
    post_count = hosting.posts;
    sim.share = post_count > 1;
    for (int i = 0; i < post_count; i++)
        open_post(&posts[i]);
}

static void free_loops(void)
{
    for (int i = 0; i < post_count; i++) {
        mh_loop_free(posts[i].loop);
        posts[i].loop = NULL;
    }
}

static void close_posts(void)
{
    if (hosting.stopped_at < 0 && hosting.end == END_STOPS)
        stop();
    while (hosting.end == END_STOPS && stopped_count < post_count)
        turn();
    if (hosting.stopped_at < 0)
        hosting.stopped_at = sim.now_us;
    if (hosting.end == END_LOOP_FIRST) {
        end_callers();
        free_loops();
    }
    for (int i = 0; i < post_count; i++)
        mh__worker_free(posts[i].worker);
    sim_log("the server was freed");
    sim_shut(hosting.listener);
    end_callers();
    free_loops();
    post_count = 0;
}

static void judge_run(void)
{
    for (unsigned i = 0; i < hosting.guest_count; i++) {
        const struct guest *guest = &hosting.guests[i];
        guest_judge(guest);
        answered += guest->answered;
        unanswered += guest->count - guest->answered;
    }
    handler_judge();
}

static int lowest_descriptor(void)
{
    int fd = dup(0);
    close(fd);
    return fd;
}

static void set_event(struct sim_event *event, void (*run)(struct sim_event *event), int64_t at)
{
    *event = (struct sim_event){.run = run};
    if (at >= 0 && at != INT64_MAX)
        sim_event_set(event, at);
}

static uint64_t run_seed(uint64_t seed)
{
    struct sim_event stopper, again, calm;
    int lowest = lowest_descriptor();
    sim_begin(seed);
    hosting_plan(seed);
    mem.ceiling = 64u << 20;
    mem.fail_at = hosting.fail_at;
    blow(hosting.weather, hosting.alloc_fault);
    sim.empty_turns_max = 5000; /* one that is full looks for room ten times a second */
    sim.adopted_max = hosting.settings.connections_max + 1; /* one more may be let in */
    sim_place_add(sim_host_add("sim.test", SIM_FOUND, 1000), "10.0.0.1", SIM_ACCEPTS,
                  &relay_service);
    open_posts();
    for (unsigned i = 0; i < hosting.guest_count; i++)
        guest_begin(&hosting.guests[i]);
    begin_callers();
    set_event(&stopper, stop_comes, hosting.stop_at);
    set_event(&again, stop_comes, hosting.stop_again_at);
    set_event(&calm, calm_down, hosting.calm_from);
    while (!guests_are_over() || !callers_are_over())
        turn();
    close_posts();
    sim_event_stop(&stopper);
    sim_event_stop(&again);
    sim_event_stop(&calm);
    sim_settle();
    judge_run();
    uint64_t log = sim.log;
    hosting_free();
    sim_end();
    if (lowest_descriptor() != lowest)
        sim_fail("a file was not closed");
    return log;
}

/* ---- many ---- */

static void check_seed(uint64_t seed)
{
    alarm(WATCHDOG_S);
    uint64_t log = run_seed(seed);
    if (seed % AGAIN == 0 && run_seed(seed) != log)
        sim_fail("another run of the same seed");
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
    fprintf(stderr, "usage: sim-server [--seed N] [--count N] [--seconds S] [-v] | --lies\n");
    return 2;
}

/* In a process of its own, which a finding ends. */
static bool is_found_out(int lie)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        hosting.lie = lie;
        if (!freopen("/dev/null", "w", stdout))
            _Exit(0);
        for (uint64_t seed = 1; seed <= LIE_SEEDS; seed++)
            check_seed(seed);
        _Exit(0);
    }
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
           WEXITSTATUS(status) == 1;
}

static int tell_lies(void)
{
    int found = 0;
    for (int lie = 1; lie <= LIES; lie++) {
        if (is_found_out(lie))
            found++;
        else
            printf("lie %d was believed\n", lie);
    }
    printf("%d passed, %d failed\n", found, LIES - found);
    return found == LIES ? 0 : 1;
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
        else if (strcmp(argv[i], "--lies") == 0)
            return tell_lies();
        else
            return usage();
    }
    if (count == 0)
        count = until == MH__NEVER ? 1 : UINT64_MAX;
    if (sim.verbose)
        setvbuf(stdout, NULL, _IOLBF, 0);
    watch(SIGALRM);
    watch(SIGABRT);
    watch(SIGSEGV);
    for (; passed < count && real_ms() < until; passed++)
        check_seed(seed + passed);
    printf("guests: %llu answers, %llu requests without one; callers: %llu answers, %llu errors\n",
           (unsigned long long)answered, (unsigned long long)unanswered,
           (unsigned long long)fetched, (unsigned long long)failed);
    printf("%llu passed, 0 failed\n", (unsigned long long)passed);
    return 0;
}
