/* inject.c: see inject.h. */
#include "inject.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define FAULTS_MAX 9 /* of one call */

/* The errors are those that the call can really return (its man page, and the kernel's source where
 * that says less). A close() that fails has closed; an interrupted connect() goes on. */
static const struct {
    const char *name;
    struct fault faults[FAULTS_MAX];
} calls[CALL_COUNT] = {
    [CALL_MALLOC] = {"malloc", {{"ENOMEM", ENOMEM, FAILS, false}}},
    [CALL_CALLOC] = {"calloc", {{"ENOMEM", ENOMEM, FAILS, false}}},
    [CALL_REALLOC] = {"realloc", {{"ENOMEM", ENOMEM, FAILS, false}}},
    [CALL_SOCKET] = {"socket",
                     {{"EMFILE", EMFILE, FAILS, false},
                      {"ENFILE", ENFILE, FAILS, false},
                      {"EAFNOSUPPORT", EAFNOSUPPORT, FAILS, false},
                      {"ENOBUFS", ENOBUFS, FAILS, false},
                      {"ENOMEM", ENOMEM, FAILS, false}}},
    [CALL_CONNECT] = {"connect",
                      {{"ECONNREFUSED", ECONNREFUSED, FAILS, false},
                       {"ENETUNREACH", ENETUNREACH, FAILS, false},
                       {"EADDRNOTAVAIL", EADDRNOTAVAIL, FAILS, false},
                       {"ETIMEDOUT", ETIMEDOUT, FAILS, false},
                       {"EACCES", EACCES, FAILS, false},
                       {"EINTR", EINTR, HAPPENS, true},
                       {"EINPROGRESS", EINPROGRESS, HAPPENS, true}}},
    [CALL_BIND] = {"bind",
                   {{"EADDRINUSE", EADDRINUSE, FAILS, false},
                    {"EACCES", EACCES, FAILS, false},
                    {"EADDRNOTAVAIL", EADDRNOTAVAIL, FAILS, false}}},
    [CALL_LISTEN] = {"listen", {{"EADDRINUSE", EADDRINUSE, FAILS, false}}},
    [CALL_ACCEPT4] = {"accept4",
                      {{"EMFILE", EMFILE, FAILS, false},
                       {"ENFILE", ENFILE, FAILS, false},
                       {"ENOBUFS", ENOBUFS, FAILS, false},
                       {"ENOMEM", ENOMEM, FAILS, false},
                       {"ECONNABORTED", ECONNABORTED, FAILS, true},
                       {"EPROTO", EPROTO, FAILS, true},
                       {"EINTR", EINTR, FAILS, true},
                       {"EAGAIN", EAGAIN, FAILS, true}}},
    [CALL_POLL] = {"poll",
                   {{"ENOMEM", ENOMEM, FAILS, false},
                    {"EINTR", EINTR, FAILS, true},
                    {"EARLY", 0, ENDS, true}}},
    [CALL_RECV] = {"recv",
                   {{"ECONNRESET", ECONNRESET, BREAKS, false},
                    {"ETIMEDOUT", ETIMEDOUT, BREAKS, false},
                    {"ENOMEM", ENOMEM, FAILS, false},
                    {"EOF", 0, ENDS, false},
                    {"EINTR", EINTR, FAILS, true},
                    {"EAGAIN", EAGAIN, FAILS, true},
                    {"SHORT", 1, CUT, true}}},
    [CALL_SEND] = {"send",
                   {{"EPIPE", EPIPE, BREAKS, false},
                    {"ECONNRESET", ECONNRESET, BREAKS, false},
                    {"ENOBUFS", ENOBUFS, FAILS, false},
                    {"ENOMEM", ENOMEM, FAILS, false},
                    {"EINTR", EINTR, FAILS, true},
                    {"EAGAIN", EAGAIN, FAILS, true},
                    {"SHORT", 1, CUT, true}}},
    [CALL_SENDMSG] = {"sendmsg",
                      {{"EPIPE", EPIPE, BREAKS, false},
                       {"ECONNRESET", ECONNRESET, BREAKS, false},
                       {"ENOBUFS", ENOBUFS, FAILS, false},
                       {"ENOMEM", ENOMEM, FAILS, false},
                       {"EINTR", EINTR, FAILS, true},
                       {"EAGAIN", EAGAIN, FAILS, true},
                       {"SHORT", 1, CUT, true}}},
    [CALL_SETSOCKOPT] = {"setsockopt",
                         {{"ENOPROTOOPT", ENOPROTOOPT, FAILS, false},
                          {"ENOMEM", ENOMEM, FAILS, false}}},
    [CALL_GETSOCKOPT] = {"getsockopt",
                         {{"ENOBUFS", ENOBUFS, FAILS, false},
                          {"SO_ERROR=ECONNREFUSED", ECONNREFUSED, HAPPENS, false},
                          {"SO_ERROR=ETIMEDOUT", ETIMEDOUT, HAPPENS, false},
                          {"SO_ERROR=EHOSTUNREACH", EHOSTUNREACH, HAPPENS, false}}},
    [CALL_IOCTL] = {"ioctl", {{"EINVAL", EINVAL, FAILS, false}}},
    [CALL_GETPEERNAME] = {"getpeername",
                          {{"ENOTCONN", ENOTCONN, FAILS, false},
                           {"ENOBUFS", ENOBUFS, FAILS, false}}},
    [CALL_GETSOCKNAME] = {"getsockname", {{"ENOBUFS", ENOBUFS, FAILS, false}}},
    [CALL_FCNTL64] = {"fcntl64", {{"EPERM", EPERM, FAILS, false}}},
    [CALL_SHUTDOWN] = {"shutdown", {{"ENOTCONN", ENOTCONN, FAILS, false}}},
    [CALL_CLOSE] = {"close", {{"EINTR", EINTR, HAPPENS, true}, {"EIO", EIO, HAPPENS, true}}},
    [CALL_LSTAT64] = {"lstat64",
                      {{"EACCES", EACCES, FAILS, false}, {"ENOENT", ENOENT, FAILS, false}}},
    [CALL_UNLINK] = {"unlink", {{"EACCES", EACCES, FAILS, false}, {"EROFS", EROFS, FAILS, false}}},
    [CALL_GETADDRINFO] = {"getaddrinfo",
                          {{"EAI_AGAIN", EAI_AGAIN, FAILS, false},
                           {"EAI_NONAME", EAI_NONAME, FAILS, false},
                           {"EAI_MEMORY", EAI_MEMORY, FAILS, false},
                           {"EAI_SYSTEM", EAI_SYSTEM, FAILS, false}}},
    [CALL_PTHREAD_CREATE] = {"pthread_create", {{"EAGAIN", EAGAIN, FAILS, false}}},
    [CALL_PTHREAD_COND_WAIT] = {"pthread_cond_wait", {{"WAKE", 0, ENDS, true}}},
    [CALL_PTHREAD_COND_TIMEDWAIT] = {"pthread_cond_timedwait",
                                     {{"WAKE", 0, ENDS, true},
                                      {"ETIMEDOUT", ETIMEDOUT, FAILS, false}}},
    [CALL_EPOLL_CREATE1] = {"epoll_create1",
                            {{"EMFILE", EMFILE, FAILS, false},
                             {"ENFILE", ENFILE, FAILS, false},
                             {"ENOMEM", ENOMEM, FAILS, false}}},
    [CALL_EPOLL_CTL] = {"epoll_ctl",
                        {{"ENOMEM", ENOMEM, FAILS, false}, {"ENOSPC", ENOSPC, FAILS, false}}},
    [CALL_EPOLL_WAIT] = {"epoll_wait",
                         {{"EINTR", EINTR, FAILS, true},
                          {"EARLY", 0, ENDS, true},
                          {"SHORT", 1, CUT, true}}},
    [CALL_EVENTFD] = {"eventfd",
                      {{"EMFILE", EMFILE, FAILS, false},
                       {"ENFILE", ENFILE, FAILS, false},
                       {"ENOMEM", ENOMEM, FAILS, false}}},
    [CALL_EVENTFD_READ] = {"read",
                           {{"EINTR", EINTR, FAILS, true}, {"EAGAIN", EAGAIN, FAILS, true}}},
    [CALL_EVENTFD_WRITE] = {"write", {{"EAGAIN", EAGAIN, HAPPENS, true}}},
    [CALL_OPEN64] = {"open64",
                     {{"EMFILE", EMFILE, FAILS, false},
                      {"ENFILE", ENFILE, FAILS, false},
                      {"EACCES", EACCES, FAILS, false},
                      {"ENOMEM", ENOMEM, FAILS, false}}},
    [CALL_OPENAT64] = {"openat64",
                       {{"EMFILE", EMFILE, FAILS, false},
                        {"EACCES", EACCES, FAILS, false},
                        {"ELOOP", ELOOP, FAILS, false},
                        {"ENOMEM", ENOMEM, FAILS, false}}},
    [CALL_SYSCALL] = {"syscall",
                      {{"EMFILE", EMFILE, FAILS, false},
                       {"ENFILE", ENFILE, FAILS, false},
                       {"EACCES", EACCES, FAILS, false},
                       {"EXDEV", EXDEV, FAILS, false},
                       {"ENOMEM", ENOMEM, FAILS, false},
                       {"ENOSYS", ENOSYS, FAILS, false},
                       {"EPERM", EPERM, FAILS, false},
                       {"EINTR", EINTR, FAILS, true},
                       {"EAGAIN", EAGAIN, FAILS, false}}},
    [CALL_FSTAT64] = {"fstat64", {{"ENOMEM", ENOMEM, FAILS, false}, {"EIO", EIO, FAILS, false}}},
    [CALL_FSTATAT64] = {"fstatat64",
                        {{"ENOENT", ENOENT, FAILS, false}, {"ENOMEM", ENOMEM, FAILS, false}}},
    [CALL_GETDENTS64] = {"getdents64",
                         {{"ENOENT", ENOENT, FAILS, false}, {"EIO", EIO, FAILS, false}}},
    [CALL_PREAD64] = {"pread64",
                      {{"EIO", EIO, FAILS, false},
                       {"EOF", 0, ENDS, false},
                       {"EINTR", EINTR, FAILS, true},
                       {"SHORT", 1, CUT, true}}},
    [CALL_SENDFILE64] = {"sendfile64",
                         {{"EPIPE", EPIPE, BREAKS, false},
                          {"ECONNRESET", ECONNRESET, BREAKS, false},
                          {"EIO", EIO, FAILS, false},
                          {"ENOMEM", ENOMEM, FAILS, false},
                          {"EOF", 0, ENDS, false},
                          {"EINTR", EINTR, FAILS, true},
                          {"EAGAIN", EAGAIN, FAILS, true},
                          {"SHORT", 1, CUT, true}}},
    [CALL_SIGNALFD] = {"signalfd",
                       {{"EMFILE", EMFILE, FAILS, false}, {"ENOMEM", ENOMEM, FAILS, false}}},
    [CALL_SCHED_GETAFFINITY] = {"sched_getaffinity", {{"EINVAL", EINVAL, FAILS, false}}},
    [CALL_GETRANDOM] = {"getrandom", {{"ENOSYS", ENOSYS, FAILS, false}}},
    [CALL_FOPEN64] = {"fopen64",
                      {{"EMFILE", EMFILE, FAILS, false},
                       {"EACCES", EACCES, FAILS, false},
                       {"EEXIST", EEXIST, FAILS, false},
                       {"ENOSPC", ENOSPC, FAILS, false}}},
    [CALL_RENAME] = {"rename",
                     {{"EACCES", EACCES, FAILS, false}, {"ENOSPC", ENOSPC, FAILS, false}}},
    [CALL_WRITE] = {"write", {{"ENOSPC", ENOSPC, FAILS, false}, {"EIO", EIO, FAILS, false}}},
    [CALL_FCLOSE] = {"fclose", {{"EIO", EIO, HAPPENS, false}, {"EDQUOT", EDQUOT, HAPPENS, false}}},
};

/* Atomic where two threads of what is tested may meet. */
struct run {
    struct plan plan;
    atomic_int calls;
    atomic_int count[CALL_COUNT];
    atomic_bool failed[CALL_COUNT];
    atomic_int faults, idle;
    atomic_int threads;
    _Atomic(const struct fault *) hit;
    atomic_int hit_call;
    atomic_bool storm, end;
    struct fault send_cut;
    atomic_bool errors[256]; /* hard ones that have happened, by errno */
    atomic_size_t received;
    atomic_int_fast64_t clock_ms;
};

static struct run *run; /* in shared memory */

static _Thread_local bool counted;

/* ---- one run ---- */

void inject_init(void)
{
    void *shared =
        mmap(NULL, sizeof(*run), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        abort();
    run = shared;
}

void inject_begin(const struct plan *plan)
{
    memset(run, 0, sizeof(*run));
    run->plan = *plan;
    run->send_cut = (struct fault){"CUT", plan->send_max, CUT, true};
}

/* A thread of the library that is left alone (a lookup) ends when its peer lets it. */
void inject_end(void)
{
    for (int i = 0; i < 100000 && atomic_load(&run->threads) > 0; i++)
        nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
}

void inject_enter(void)
{
    counted = true;
}

void inject_leave(void)
{
    counted = false;
}

bool inject_counted(void)
{
    return counted;
}

void inject_thread_started(void)
{
    atomic_fetch_add(&run->threads, 1);
}

void inject_thread_ended(void)
{
    atomic_fetch_sub(&run->threads, 1);
}

/* ---- what happened ---- */

int inject_calls(void)
{
    return atomic_load(&run->calls);
}

int inject_count(enum call call)
{
    return atomic_load(&run->count[call]);
}

int inject_waits(void)
{
    return inject_count(CALL_PTHREAD_COND_WAIT) + inject_count(CALL_PTHREAD_COND_TIMEDWAIT) +
           inject_count(CALL_EPOLL_WAIT);
}

const struct fault *inject_hit(void)
{
    return atomic_load(&run->hit);
}

enum call inject_hit_call(void)
{
    return (enum call)atomic_load(&run->hit_call);
}

int inject_variants(enum call call)
{
    int count = 0;
    while (count < FAULTS_MAX && calls[call].faults[count].name)
        count++;
    return count;
}

enum mode inject_mode(void)
{
    return run->plan.mode;
}

bool inject_was(int error)
{
    return error > 0 && error < 256 && atomic_load(&run->errors[error]);
}

bool inject_was_call(enum call call)
{
    return atomic_load(&run->failed[call]);
}

bool inject_was_storm(void)
{
    return atomic_load(&run->storm);
}

bool inject_was_end(void)
{
    return atomic_load(&run->end);
}

size_t inject_received(void)
{
    return atomic_load(&run->received);
}

void inject_note_received(size_t len)
{
    atomic_fetch_add(&run->received, len);
}

const char *inject_call_name(enum call call)
{
    return calls[call].name;
}

int inject_variant_named(enum call call, const char *name)
{
    for (int i = 0; i < inject_variants(call); i++) {
        if (strcmp(calls[call].faults[i].name, name) == 0)
            return i;
    }
    return -1;
}

int64_t inject_clock_ms(void)
{
    return atomic_load(&run->clock_ms);
}

void inject_pass(int64_t ms)
{
    atomic_fetch_add(&run->clock_ms, ms);
}

/* ---- whose turn it is ---- */

static const struct fault *named(enum call call, const char *name)
{
    int variant = inject_variant_named(call, name);
    return variant < 0 ? NULL : &calls[call].faults[variant];
}

/* A call that carries bytes. */
static bool sends(enum call call)
{
    return call == CALL_SEND || call == CALL_SENDMSG || call == CALL_SENDFILE64;
}

static const struct fault *first(enum call call, const struct plan *plan, int n)
{
    if (plan->variant >= inject_variants(call))
        return NULL;
    const struct fault *fault = &calls[call].faults[plan->variant];
    if (n == plan->n) {
        atomic_store(&run->hit_call, (int)call);
        atomic_store(&run->hit, fault);
    }
    return fault;
}

/* The same fault where the call has it. Else a soft one spares this call, and after a hard one
 * everything goes wrong in the way that comes first. */
static const struct fault *later(enum call call)
{
    const struct fault *hit = inject_hit();
    if (!hit)
        return NULL;
    const struct fault *same = named(call, hit->name);
    return same || hit->soft ? same : &calls[call].faults[0];
}

/* Well mixed bits of the seed and the number of a call. */
static uint64_t draw(uint64_t seed, uint64_t number)
{
    uint64_t x = seed * 0x9e3779b97f4a7c15u + number * 0xd1b54a32d192ed03u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static const struct fault *soft(enum call call, const char *name)
{
    const struct fault *fault = named(call, name);
    return fault && fault->soft ? fault : NULL;
}

/* The seed first draws which faults there are at all, and how often: what comes with one and the
 * same chance everywhere never reaches the corners. */
static const struct fault *weather(enum call call, uint64_t seed, int n)
{
    static const struct fault cuts[] = {{"CUT 1", 1, CUT, true},
                                        {"CUT 7", 7, CUT, true},
                                        {"CUT 100", 100, CUT, true},
                                        {"CUT 1000", 1000, CUT, true}};
    static const unsigned chances[] = {0, 10, 25, 60}; /* of 100, and something is left */
    uint64_t climate = draw(seed, UINT64_MAX);
    unsigned roll = (unsigned)(draw(seed, (uint64_t)n) % 100);
    unsigned again = chances[climate % 4], interrupted = chances[(climate >> 8) % 3];
    if (roll < again)
        return soft(call, call == CALL_CONNECT ? "EINPROGRESS" : "EAGAIN");
    if (roll >= 100 - interrupted)
        return soft(call, "EINTR");
    if ((call == CALL_RECV || sends(call)) && (climate >> 16) % 5 < 4)
        return &cuts[(climate >> 16) % 5];
    return NULL;
}

static const struct fault *choose(enum call call, int n)
{
    const struct plan *plan = &run->plan;
    switch (plan->mode) {
    case MODE_CALM:
        return NULL;
    case MODE_ONLY:
        return n == plan->n ? first(call, plan, n) : NULL;
    case MODE_AFTER:
        if (n < plan->n || (plan->endless && atomic_load(&run->faults) >= STORM_MAX))
            return NULL;
        return n == plan->n ? first(call, plan, n) : later(call);
    case MODE_WEATHER:
        return weather(call, plan->seed, n);
    }
    return NULL;
}

/* Since bytes were last received or sent. */
static void count_idle(enum call call, const struct fault *fault)
{
    bool passes = !fault || fault->how == CUT;
    if (passes && (call == CALL_RECV || sends(call)))
        atomic_store(&run->idle, 0);
    if (passes || atomic_fetch_add(&run->idle, 1) < SPIN_MAX)
        return;
    fprintf(stderr, "%s: tried again and again, for ever\n", calls[call].name);
    abort();
}

static void commit(enum call call, const struct fault *fault)
{
    int faults = atomic_fetch_add(&run->faults, 1) + 1;
    atomic_store(&run->failed[call], true);
    if (!fault->soft && fault->value > 0)
        atomic_store(&run->errors[fault->value], true);
    if (call == CALL_RECV && fault->how == ENDS)
        atomic_store(&run->end, true);
    if (run->plan.mode != MODE_AFTER || !fault->soft || fault->how == CUT)
        return;
    atomic_store(&run->storm, faults > 1);
    inject_pass(STORM_STEP_MS);
}

const struct fault *inject_due(enum call call)
{
    if (!counted)
        return NULL;
    int n = atomic_fetch_add(&run->calls, 1) + 1;
    atomic_fetch_add(&run->count[call], 1);
    const struct fault *fault = choose(call, n);
    if (fault && fault->how == CUT && call == CALL_RECV && run->plan.keep_recv)
        fault = NULL;
    count_idle(call, fault);
    if (fault)
        commit(call, fault);
    else if (sends(call) && run->plan.send_max > 0)
        return &run->send_cut;
    return fault;
}
