/* faults.c: every call that can fail fails in turn.
 *
 *   faults GROUP|SCENARIO...            base, http, loop, client, fetch, many, secure,
 *                                       server, serve, programs
 *   faults SCENARIO N only|after ERROR  one run again, as a failure printed it
 *   faults weather [FIRST [COUNT]]      calls interrupted, refused for now, cut short: by seeds
 *   faults SCENARIO weather SEED        one of these again
 *   faults scarce                       descriptors that have really run out
 *   faults symbols FILE                 does wrap.c know all that the library calls?
 *   faults list
 *
 * A scenario runs calm once. Then its first call fails, in each way in which that call can fail,
 * then the second one, until a run does not come that far: each time alone, and with all later
 * calls failing too. After each run nothing may be left allocated or open, the outcome must be the
 * calm one or an error that the fault explains, and a calm run must give what it gave at first.
 *
 * The runs of a scenario share a child process, so that a crash or a hang is a finding like any
 * other, and the next child goes on behind it. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/descriptors.h"
#include "faults.h"
#include "inject.h"
#include "live.h"
#include "peer.h"
#include "scenario.h"

#define WATCHDOG_S 20
#define NOTES_MAX (1u << 20)
#define FAILURES_MAX 8 /* of one scenario; then it has made its point */
#define WEATHER_SEEDS 200

struct outcome {
    int result;
    size_t len;
    char notes[NOTES_MAX];
};

/* What parent and child share. */
static struct shared {
    struct plan plan; /* the run that is under way, or was the last one */
    bool has_calm;
    bool finished;
    int runs, calls, failures;
    struct outcome calm;
} * shared;

static struct outcome now;
static char complaint[256]; /* the first check() that failed in this run */
static bool verbose;

/* ---- for scenarios ---- */

void note(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(now.notes + now.len, NOTES_MAX - now.len, fmt, args);
    va_end(args);
    if (len < 0 || (size_t)len >= NOTES_MAX - now.len)
        abort();
    now.len += (size_t)len;
}

void note_bytes(const char *what, mh_str bytes)
{
    note("%s (%zu): ", what, bytes.len);
    if (bytes.len >= NOTES_MAX - now.len)
        abort();
    if (bytes.len > 0)
        memcpy(now.notes + now.len, bytes.ptr, bytes.len);
    now.len += bytes.len;
    note("\n");
}

void check_(bool holds, const char *words, const char *file, int line)
{
    if (!holds && !complaint[0])
        snprintf(complaint, sizeof(complaint), "%s:%d: %s", file, line, words);
}

/* ---- one run ---- */

static void check_left(int descriptors)
{
    int count = live_count(), after = open_descriptors();
    if (count > 0 && !complaint[0])
        snprintf(complaint, sizeof(complaint), "%d allocations, %zu bytes, were not given back",
                 count, live_bytes());
    if (after != descriptors && !complaint[0])
        snprintf(complaint, sizeof(complaint), "%d descriptors were left open",
                 after - descriptors);
    live_forget();
}

static void run(const struct scenario *scenario, struct plan plan)
{
    plan.endless = scenario->endless;
    plan.keep_recv = scenario->one_recv;
    plan.send_max = scenario->send_max;
    now.len = 0;
    complaint[0] = '\0';
    inject_begin(&plan);
    int descriptors = open_descriptors();
    now.result = scenario->run();
    inject_end();
    check_left(descriptors);
}

static bool is_listed(const int *results, int result)
{
    for (; *results; results++) {
        if (*results == result)
            return true;
    }
    return false;
}

static bool is_calm(void)
{
    return now.result == shared->calm.result && now.len == shared->calm.len &&
           memcmp(now.notes, shared->calm.notes, now.len) == 0;
}

static bool is_explained(const struct scenario *scenario)
{
    if (now.result < 0 && inject_was(-now.result))
        return true;
    if (inject_was_storm() && now.result == -ETIMEDOUT)
        return true;
    if (inject_hit()->how == BREAKS && (now.result == -EPIPE || now.result == -ECONNRESET))
        return true; /* the connection was dead, and that has been noticed later */
    if (now.result == MH_ERR_CLOSED && inject_was_end())
        return true;
    return is_listed(scenario->also, now.result);
}

/* NULL, or what is wrong with the outcome. */
static const char *judge(const struct scenario *scenario, const struct plan *plan)
{
    const struct fault *hit = inject_hit();
    if (complaint[0])
        return complaint;
    if (is_calm())
        return NULL;
    if (plan->mode == MODE_CALM)
        return "a calm run, and another outcome than the first one";
    if (plan->mode == MODE_WEATHER)
        return "weather has changed the outcome";
    if (!hit)
        return "nothing failed, and the outcome is another one";
    if (hit->soft && (plan->mode == MODE_ONLY || hit->how == CUT))
        return "a fault that must change nothing has changed the outcome";
    if (now.result == shared->calm.result)
        return hit->how == ENDS && scenario->eof_is_end ? NULL : "success with another result";
    return is_explained(scenario) ? NULL : "the fault does not explain this result";
}

/* ---- saying so ---- */

static const char *mode_name(enum mode mode)
{
    static const char *const names[] = {"calm", "only", "after", "weather"};
    return names[mode];
}

static const char *result_name(int result)
{
    static char number[16];
    if (result < 0 && result > -10000)
        return mh_errname(result);
    snprintf(number, sizeof(number), "%d", result);
    return result == EXIT_1 ? "exit 1" : result == GRUMBLED ? "it grumbled" : number;
}

static void print_plan(const struct scenario *scenario, const struct plan *plan)
{
    const struct fault *hit = inject_hit();
    if (plan->mode == MODE_WEATHER)
        printf("%s weather %llu", scenario->name, (unsigned long long)plan->seed);
    else if (plan->mode == MODE_CALM)
        printf("%s calm", scenario->name);
    else
        printf("%s %d %s %s", scenario->name, plan->n, mode_name(plan->mode),
               hit ? hit->name : "?");
}

static void print_failure(const struct scenario *scenario, const struct plan *plan,
                          const char *words, const char *result)
{
    printf("FAILED: %s\n    replay: faults ", words);
    print_plan(scenario, plan);
    if (inject_hit())
        printf("   (call %d is %s)", plan->n, inject_call_name(inject_hit_call()));
    printf("\n    result: %s, calm: ", result);
    printf("%s\n", shared->has_calm ? result_name(shared->calm.result) : "?");
    fflush(stdout);
    shared->failures++;
}

static void print_notes(void)
{
    printf("---- notes\n%.*s---- calm\n%.*s----\n", (int)now.len, now.notes, (int)shared->calm.len,
           shared->calm.notes);
}

/* ---- the child ---- */

static void attempt(const struct scenario *scenario, const struct plan *plan)
{
    alarm(WATCHDOG_S);
    run(scenario, *plan);
    alarm(0);
    shared->runs++;
    const char *words = judge(scenario, plan);
    if (words)
        print_failure(scenario, plan, words, result_name(now.result));
    if (verbose) {
        printf("%d calls; result: %s\n", inject_calls(), result_name(now.result));
        print_notes();
    }
}

static void take_calm(const struct scenario *scenario)
{
    alarm(WATCHDOG_S);
    run(scenario, (struct plan){0});
    alarm(0);
    shared->calm = now;
    shared->has_calm = true;
    shared->calls = inject_calls();
    if (complaint[0])
        print_failure(scenario, &(struct plan){0}, complaint, result_name(now.result));
}

/* A program has one main() in its life; so the calm run had a process of its own. */
static bool is_ready(const struct scenario *scenario)
{
    peer_prepare();
    if (scenario->own_process && shared->has_calm)
        return true;
    take_calm(scenario);
    shared->finished = shared->calm.result == SKIP || complaint[0];
    return !shared->finished && !scenario->own_process;
}

/* The next one that there is to try; false at the end. A run that did not come as far as call n was
 * the last one. */
static bool advance(const struct scenario *scenario, struct plan *plan, uint64_t last_seed)
{
    if (plan->mode == MODE_WEATHER)
        return plan->seed++ < last_seed;
    if (inject_calls() < plan->n || (scenario->calls_max > 0 && plan->n > scenario->calls_max))
        return false;
    if (plan->mode == MODE_ONLY) {
        plan->mode = MODE_AFTER;
        return true;
    }
    plan->mode = MODE_ONLY;
    plan->variant++;
    if (inject_hit() && plan->variant < inject_variants(inject_hit_call()))
        return true;
    plan->variant = 0;
    plan->n++;
    return true;
}

/* Does what remains to be done, from shared->plan on. */
static void explore(const struct scenario *scenario, uint64_t last_seed)
{
    if (!is_ready(scenario))
        return;
    for (bool more = true; more && shared->failures < FAILURES_MAX;) {
        struct plan plan = shared->plan;
        attempt(scenario, &plan);
        more = advance(scenario, &plan, last_seed);
        if (plan.mode != MODE_WEATHER && !scenario->own_process)
            attempt(scenario, &(struct plan){0});
        shared->plan = plan;
        if (scenario->own_process && more)
            return;
    }
    shared->finished = true;
}

/* What other libraries allocate is not counted; a sanitizer knows of it, where there is one. */
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static void look_for_leaks(const struct scenario *scenario)
{
    if (__lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check() != 0)
        print_failure(scenario, &shared->plan, "something has leaked before that", "none");
}

/* ---- the parent ---- */

static int in_child(const struct scenario *scenario, uint64_t last_seed)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        explore(scenario, last_seed);
        look_for_leaks(scenario);
        fflush(stdout);
        _exit(0);
    }
    int status = 0;
    while (child < 0 || (waitpid(child, &status, 0) < 0 && errno == EINTR)) {
        if (child < 0)
            abort();
    }
    return status;
}

static const char *end_of(int status)
{
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGALRM ? "it hangs" : "it crashed";
    return WEXITSTATUS(status) == 0 ? NULL : "a sanitizer, or exit(), ended it";
}

/* Returns how many runs were no good. */
static int conduct(const struct scenario *scenario, struct plan plan, uint64_t last_seed)
{
    *shared = (struct shared){.plan = plan};
    while (!shared->finished && shared->failures < FAILURES_MAX) {
        const char *end = end_of(in_child(scenario, last_seed));
        if (!end)
            continue;
        print_failure(scenario, &shared->plan, end, "none");
        if (!advance(scenario, &shared->plan, last_seed))
            break;
    }
    if (shared->calm.result == SKIP)
        printf("%-28s skipped: this machine cannot\n", scenario->name);
    else
        printf("%-28s %4d calls %6d runs%s\n", scenario->name, shared->calls, shared->runs,
               shared->failures ? "   FAILED" : "");
    return shared->failures;
}

static const struct {
    const char *name;
    const struct scenario *scenarios;
} groups[] = {{"base", base_scenarios},     {"http", http_scenarios},
              {"loop", loop_scenarios},     {"client", client_scenarios},
              {"fetch", fetch_scenarios},   {"many", many_scenarios},
              {"secure", secure_scenarios}, {"server", server_scenarios},
              {"serve", serve_scenarios},   {"programs", program_scenarios}};

#define GROUPS (sizeof(groups) / sizeof(groups[0]))
#define GROUPS_CALM 2 /* the first ones make no system call, so there is no weather for them */

static int conduct_all(const struct scenario *scenarios, struct plan plan, uint64_t last_seed)
{
    int failures = 0;
    for (; scenarios->name; scenarios++)
        failures += conduct(scenarios, plan, last_seed);
    return failures;
}

static const struct scenario *scenario_named(const char *name)
{
    for (size_t i = 0; i < GROUPS; i++) {
        for (const struct scenario *s = groups[i].scenarios; s->name; s++) {
            if (strcmp(s->name, name) == 0)
                return s;
        }
    }
    return NULL;
}

static int group_named(const char *name)
{
    const struct plan first = {.mode = MODE_ONLY, .n = 1};
    const struct scenario *scenario = scenario_named(name);
    for (size_t i = 0; i < GROUPS; i++) {
        if (strcmp(groups[i].name, name) == 0)
            return conduct_all(groups[i].scenarios, first, 0);
    }
    if (scenario)
        return conduct(scenario, first, 0);
    printf("there is no %s; see the first comment of faults.c\n", name);
    return 1;
}

static uint64_t number(const char *text)
{
    return strtoull(text, NULL, 10);
}

static int weather(uint64_t from, uint64_t count)
{
    int failures = 0;
    printf("seeds %llu to %llu\n", (unsigned long long)from,
           (unsigned long long)(from + count - 1));
    for (size_t i = GROUPS_CALM; i < GROUPS; i++)
        failures +=
            conduct_all(groups[i].scenarios, (struct plan){.mode = MODE_WEATHER, .seed = from},
                        from + count - 1);
    return failures;
}

/* ---- one run again ---- */

/* Two children where one has to find out first which call it is. */
static int replay_one(const struct scenario *scenario, const struct plan *plan)
{
    *shared = (struct shared){.plan = *plan};
    const char *end;
    do {
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            bool ready = is_ready(scenario);
            if (ready)
                attempt(scenario, plan);
            fflush(stdout);
            _exit(0);
        }
        int status = 0;
        waitpid(child, &status, 0);
        end = end_of(status);
    } while (!end && scenario->own_process && shared->runs == 0 && !shared->finished);
    if (end)
        print_failure(scenario, plan, end, "none");
    return shared->failures;
}

static int replay(const char *name, const char *n, const char *mode, const char *error)
{
    const struct scenario *scenario = scenario_named(name);
    struct plan plan = {.mode = MODE_ONLY, .n = (int)number(n)};
    if (!scenario)
        return group_named(name);
    (void)replay_one(scenario, &plan);
    if (!inject_hit()) {
        printf("there is no call %d\n", plan.n);
        return 1;
    }
    plan.variant = inject_variant_named(inject_hit_call(), error);
    plan.mode = strcmp(mode, "after") == 0 ? MODE_AFTER : MODE_ONLY;
    if (plan.variant < 0) {
        printf("%s never fails with %s\n", inject_call_name(inject_hit_call()), error);
        return 1;
    }
    verbose = true;
    return replay_one(scenario, &plan);
}

static int replay_weather(const char *name, const char *seed)
{
    const struct scenario *scenario = scenario_named(name);
    verbose = true;
    return scenario
               ? replay_one(scenario, &(struct plan){.mode = MODE_WEATHER, .seed = number(seed)})
               : group_named(name);
}

static int list(void)
{
    for (size_t i = 0; i < GROUPS; i++) {
        for (const struct scenario *s = groups[i].scenarios; s->name; s++)
            printf("%s\n", s->name);
    }
    return 0;
}

static int all_groups(int argc, char **argv)
{
    int failures = 0;
    for (int i = 1; i < argc; i++)
        failures += group_named(argv[i]);
    return failures;
}

static int command(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "list") == 0)
        return list();
    if (argc == 2 && strcmp(argv[1], "scarce") == 0)
        return scarce();
    if (argc == 3 && strcmp(argv[1], "symbols") == 0)
        return symbols(argv[2]);
    if (argc >= 2 && strcmp(argv[1], "weather") == 0)
        return weather(argc > 2 ? number(argv[2]) : 1, argc > 3 ? number(argv[3]) : WEATHER_SEEDS);
    if (argc == 4 && strcmp(argv[2], "weather") == 0)
        return replay_weather(argv[1], argv[3]);
    if (argc == 5 && argv[2][0] >= '0' && argv[2][0] <= '9')
        return replay(argv[1], argv[2], argv[3], argv[4]);
    return all_groups(argc, argv);
}

/* Those of whoever runs this. */
static void forget_proxies(void)
{
    static const char *const names[] = {"http_proxy",  "https_proxy", "all_proxy", "no_proxy",
                                        "HTTPS_PROXY", "ALL_PROXY",   "NO_PROXY"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unsetenv(names[i]);
}

int main(int argc, char **argv)
{
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || argc < 2)
        return 2;
    forget_proxies();
    inject_init();
    return command(argc, argv) == 0 ? 0 : 1;
}
