/* Names beside the loop: lib/loop/lookup.c. getaddrinfo(), pthread_create() and the allocator are
 * this file's own. A name that begins with "hang" has no answer before the test gives one. */
#include <criterion/criterion.h>

#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "loop/epoll.h"

#include "../descriptors.h"

/* ---- the allocator: counts, and says when something is given back ---- */

static atomic_int live;
static bool no_memory;
static sem_t given_back;

static void *counted(void *ptr)
{
    atomic_fetch_add(&live, ptr != NULL);
    return ptr;
}

void *mh__malloc(size_t size)
{
    return no_memory ? NULL : counted(malloc(size));
}

void *mh__calloc(size_t count, size_t size)
{
    return no_memory ? NULL : counted(calloc(count, size));
}

void *mh__realloc(void *ptr, size_t size)
{
    (void)ptr;
    (void)size;
    return NULL;
}

void mh__free(void *ptr)
{
    free(ptr);
    atomic_fetch_sub(&live, ptr != NULL);
    sem_post(&given_back);
}

static void wait_for(sem_t *semaphore)
{
    struct timespec limit;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += 10;
    cr_assert_eq(sem_timedwait(semaphore, &limit), 0);
}

static void wait_all_given_back(void)
{
    while (atomic_load(&live) > 0)
        wait_for(&given_back);
}

/* ---- the resolver ---- */

static atomic_int asked;
static sem_t hanging, answer; /* one has begun to hang; one may stop hanging */
static bool no_threads;

static struct sockaddr_in v4 = {.sin_family = AF_INET};
static struct addrinfo list = {
    .ai_family = AF_INET, .ai_addr = (struct sockaddr *)&v4, .ai_addrlen = sizeof(v4)};

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **res)
{
    (void)service;
    (void)hints;
    sigset_t set;
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    cr_assert(sigismember(&set, SIGALRM));
    atomic_fetch_add(&asked, 1);
    if (strncmp(node, "hang", 4) == 0) {
        sem_post(&hanging);
        while (sem_wait(&answer) != 0)
            ;
    }
    if (strcmp(node, "no.invalid") == 0)
        return EAI_NONAME;
    *res = &list;
    return 0;
}

void freeaddrinfo(struct addrinfo *res)
{
    cr_assert_eq(res, &list);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    void *symbol = dlsym(RTLD_NEXT, "pthread_create");
    memcpy(&real, &symbol, sizeof(real));
    return no_threads ? EAGAIN : real(thread, attr, run, arg);
}

/* ---- a lookup that keeps account ---- */

static mh_loop *loop;
static int descriptors;

struct name {
    struct mh__lookup lookup;
    int calls, err;
    struct mh__addresses found;
    const char *why;
    void (*then)(struct name *name);
    struct name *other;
};

static void found(struct mh__lookup *lookup, int err, const struct mh__addresses *addresses,
                  const char *why)
{
    struct name *name = MH__CONTAINER(lookup, struct name, lookup);
    cr_assert_null(lookup->loop, "at rest");
    cr_assert_eq(err < 0, addresses == NULL);
    name->calls++;
    name->err = err;
    name->why = why;
    if (addresses)
        name->found = *addresses;
    if (name->then)
        name->then(name);
}

static int start(struct name *name, const char *host)
{
    name->lookup.found = found;
    int err = mh__lookup_start(&name->lookup, loop, mh_str_from(host), 80);
    cr_assert_eq(name->calls, 0, "not from within the call");
    return err;
}

static void begin(struct name *name, const char *host)
{
    cr_assert_eq(start(name, host), 0);
}

static void turn(int timeout_ms)
{
    cr_assert_eq(mh__loop_turn(loop, timeout_ms), 0);
}

static void await(const struct name *name)
{
    for (int i = 0; name->calls == 0; i++) {
        cr_assert_lt(i, 100);
        turn(10000);
    }
    cr_assert_eq(name->calls, 1);
}

static const struct mh__lookups *lookups(void)
{
    return &mh__epoll_loop(loop)->lookups;
}

static void setup(void)
{
    sem_init(&given_back, 0, 0);
    sem_init(&hanging, 0, 0);
    sem_init(&answer, 0, 0);
    descriptors = open_descriptors();
    cr_assert_eq(mh_loop_new(&loop), 0);
}

static void teardown(void)
{
    mh_loop_free(loop);
    wait_all_given_back();
    cr_assert_eq(open_descriptors(), descriptors);
}

TestSuite(lookup, .init = setup, .fini = teardown, .timeout = 60);

/* ---- */

Test(lookup, a_name_is_found_and_the_loop_wakes_up_for_it)
{
    struct name name = {0};
    begin(&name, "some.invalid");
    struct pollfd fd = {.fd = mh_loop_fd(loop), .events = POLLIN};
    cr_assert_eq(poll(&fd, 1, 10000), 1);
    await(&name);
    cr_assert_eq(name.err, 0);
    cr_assert_null(name.why);
    cr_assert_eq(name.found.count, 1);
    cr_assert_eq(((struct sockaddr_in *)&name.found.at[0].addr)->sin_port, htons(80));
    turn(0);
    cr_assert_eq(poll(&fd, 1, 0), 0);
    cr_assert_eq(name.calls, 1);
    cr_assert_eq(lookups()->running, 0);
}

Test(lookup, there_is_no_such_name)
{
    struct name name = {0};
    begin(&name, "no.invalid");
    await(&name);
    cr_assert_eq(name.err, MH_ERR_RESOLVE);
    cr_assert_str_eq(name.why, gai_strerror(EAI_NONAME));
}

Test(lookup, a_literal_needs_no_thread_and_no_memory)
{
    struct name four = {0}, six = {0};
    no_memory = no_threads = true;
    begin(&four, "127.0.0.1");
    begin(&six, "::1");
    cr_assert_eq(mh_loop_timeout_ms(loop), 0);
    turn(-1);
    no_memory = false;
    cr_assert_eq(four.calls + six.calls, 2);
    cr_assert_eq(four.found.at[0].addr.ss_family, AF_INET);
    cr_assert_eq(((struct sockaddr_in *)&four.found.at[0].addr)->sin_port, htons(80));
    cr_assert_eq(six.found.at[0].addr.ss_family, AF_INET6);
    cr_assert_eq(atomic_load(&asked), 0);
}

Test(lookup, what_cannot_be_a_name_is_not_asked_for)
{
    struct name name = {0};
    begin(&name, "");
    turn(-1);
    cr_assert_eq(name.err, MH_ERR_RESOLVE);
    cr_assert_str_eq(name.why, "not a host name");
    cr_assert_eq(atomic_load(&asked), 0);
}

Test(lookup, no_memory_and_no_thread)
{
    struct name name = {0};
    no_memory = true;
    cr_assert_eq(start(&name, "some.invalid"), -ENOMEM);
    no_memory = false;
    no_threads = true;
    cr_assert_eq(start(&name, "some.invalid"), -EAGAIN);
    cr_assert_null(name.lookup.loop);
    mh__lookup_cancel(&name.lookup);
    no_threads = false;
    begin(&name, "some.invalid");
    await(&name);
    cr_assert_eq(name.err, 0);
}

/* ---- to cancel ---- */

Test(lookup, cancelled_in_each_state)
{
    struct name literal = {0}, known = {0}, hang = {0}, rest = {0};
    mh__lookup_cancel(&rest.lookup);
    begin(&literal, "::1");
    mh__lookup_cancel(&literal.lookup);
    mh__lookup_cancel(&literal.lookup);
    begin(&hang, "hang.invalid");
    wait_for(&hanging);
    mh__lookup_cancel(&hang.lookup);
    mh__lookup_cancel(&hang.lookup);
    begin(&known, "some.invalid");
    struct pollfd fd = {.fd = mh_loop_fd(loop), .events = POLLIN};
    cr_assert_eq(poll(&fd, 1, 10000), 1, "there is an answer");
    mh__lookup_cancel(&known.lookup);
    sem_post(&answer);
    while (lookups()->abandoned > 0)
        turn(10000);
    turn(0);
    cr_assert_eq(literal.calls + known.calls + hang.calls, 0);
    cr_assert_eq(lookups()->running, 0);
}

static void cancel_other(struct name *name)
{
    mh__lookup_cancel(&name->other->lookup);
}

Test(lookup, cancelled_by_another_one_of_the_same_turn)
{
    struct name a = {.then = cancel_other}, b = {.then = cancel_other};
    a.other = &b;
    b.other = &a;
    begin(&a, "::1");
    begin(&b, "::1");
    turn(-1);
    cr_assert_eq(a.calls, 1);
    cr_assert_eq(b.calls, 0);
    a.calls = 0;
    begin(&a, "hang.invalid");
    begin(&b, "hang.invalid");
    wait_for(&hanging);
    wait_for(&hanging);
    sem_post(&answer);
    sem_post(&answer);
    while (lookups()->running + lookups()->abandoned > 0)
        turn(10000);
    cr_assert_eq(a.calls + b.calls, 1);
}

static void start_anew(struct name *name)
{
    name->then = NULL;
    name->calls = 0;
    begin(name, "::1");
}

Test(lookup, begun_anew_where_it_is_found)
{
    struct name literal = {.then = start_anew}, name = {.then = start_anew};
    begin(&literal, "::1");
    turn(-1);
    cr_assert_eq(literal.calls, 0);
    await(&literal);
    begin(&name, "some.invalid");
    await(&name);
    cr_assert_eq(name.found.at[0].addr.ss_family, AF_INET6);
}

/* ---- how many at a time ---- */

Test(lookup, the_rest_wait_in_order)
{
    struct name first[MH__LOOKUPS_MAX] = {0}, next = {0}, last = {0}, gone = {0};
    for (size_t i = 0; i < MH__LOOKUPS_MAX; i++) {
        begin(&first[i], "hang.invalid");
        wait_for(&hanging);
    }
    begin(&next, "hang2.invalid");
    begin(&gone, "gone.invalid");
    begin(&last, "hang3.invalid");
    mh__lookup_cancel(&gone.lookup);
    turn(0);
    cr_assert_eq(atomic_load(&asked), MH__LOOKUPS_MAX);
    sem_post(&answer);
    while (lookups()->waiting.next == &next.lookup.link)
        turn(10000);
    wait_for(&hanging);
    cr_assert_eq(lookups()->waiting.next, &last.lookup.link);
    for (size_t i = 0; i < MH__LOOKUPS_MAX + 1; i++)
        sem_post(&answer);
    await(&next);
    await(&last);
    while (lookups()->running > 0)
        turn(10000);
    for (size_t i = 0; i < MH__LOOKUPS_MAX; i++)
        cr_assert_eq(first[i].calls, 1);
    cr_assert_eq(gone.calls, 0);
}

Test(lookup, names_that_hang_and_were_cancelled_do_not_hold_up_others)
{
    struct name hang[MH__LOOKUPS_MAX] = {0}, waits = {0}, later = {0};
    for (size_t i = 0; i < MH__LOOKUPS_MAX; i++)
        begin(&hang[i], "hang.invalid");
    begin(&waits, "some.invalid");
    mh__lookup_cancel(&hang[0].lookup);
    cr_assert_eq(waits.calls, 0);
    await(&waits);
    for (size_t i = 1; i < MH__LOOKUPS_MAX; i++)
        mh__lookup_cancel(&hang[i].lookup);
    begin(&later, "some.invalid");
    await(&later);
    for (size_t i = 0; i < MH__LOOKUPS_MAX; i++)
        sem_post(&answer);
    while (lookups()->abandoned > 0)
        turn(10000);
}

Test(lookup, there_is_an_end_of_threads_and_one_that_comes_back_serves_the_next)
{
    struct name hang = {0}, waits = {0};
    for (int i = 0; i < MH__LOOKUP_THREADS_MAX; i++) {
        begin(&hang, "hang.invalid");
        wait_for(&hanging);
        mh__lookup_cancel(&hang.lookup);
    }
    begin(&waits, "some.invalid");
    turn(0);
    cr_assert_eq(atomic_load(&asked), MH__LOOKUP_THREADS_MAX);
    cr_assert_eq(lookups()->abandoned, MH__LOOKUP_THREADS_MAX);
    sem_post(&answer);
    await(&waits);
    cr_assert_eq(waits.err, 0);
    for (int i = 1; i < MH__LOOKUP_THREADS_MAX; i++)
        sem_post(&answer);
    while (lookups()->abandoned > 0)
        turn(10000);
}

Test(lookup, there_is_no_thread_when_its_turn_comes)
{
    struct name hang[MH__LOOKUPS_MAX] = {0}, waits = {0};
    for (size_t i = 0; i < MH__LOOKUPS_MAX; i++)
        begin(&hang[i], "hang.invalid");
    begin(&waits, "some.invalid");
    no_threads = true;
    mh__lookup_cancel(&hang[0].lookup);
    cr_assert_eq(mh_loop_timeout_ms(loop), 0);
    turn(-1);
    cr_assert_eq(waits.calls, 1);
    cr_assert_eq(waits.err, -EAGAIN);
    for (size_t i = 0; i < MH__LOOKUPS_MAX; i++)
        sem_post(&answer);
    while (lookups()->abandoned + lookups()->running > 0)
        turn(10000);
}

/* ---- the loop goes ---- */

Test(lookup, the_loop_goes_while_one_hangs)
{
    struct name name = {0};
    begin(&name, "hang.invalid");
    wait_for(&hanging);
    mh__lookup_cancel(&name.lookup);
    mh_loop_free(loop);
    loop = NULL;
    cr_assert_gt(atomic_load(&live), 0, "the thread still holds it");
    sem_post(&answer);
    wait_all_given_back();
    cr_assert_eq(name.calls, 0);
}

Test(lookup, the_loop_goes_while_an_answer_lies_there)
{
    struct name name = {0};
    begin(&name, "some.invalid");
    struct pollfd fd = {.fd = mh_loop_fd(loop), .events = POLLIN};
    cr_assert_eq(poll(&fd, 1, 10000), 1);
    mh__lookup_cancel(&name.lookup);
    mh_loop_free(loop);
    loop = NULL;
    wait_all_given_back();
    cr_assert_eq(name.calls, 0);
}
