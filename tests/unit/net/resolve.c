/* Names to addresses: lib/net/resolve.c. getaddrinfo(), pthread_create() and the allocator are this
 * file's own, so that each outcome can be had. */
#include <criterion/criterion.h>

#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/net.h"

/* ---- the allocator: counts, and says when something is given back ---- */

static atomic_int live;
static bool no_memory;
static sem_t given_back;

void *mh__malloc(size_t size)
{
    (void)size;
    return NULL;
}

void *mh__calloc(size_t count, size_t size)
{
    void *ptr = no_memory ? NULL : calloc(count, size);
    atomic_fetch_add(&live, ptr != NULL);
    return ptr;
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

static void wait_given_back(void)
{
    struct timespec limit;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += 10;
    cr_assert_eq(sem_timedwait(&given_back, &limit), 0);
    cr_assert_eq(atomic_load(&live), 0);
}

/* ---- the resolver ---- */

static atomic_int asked, lists_freed;
static sem_t released;
static bool signals_blocked;

static struct sockaddr_in v4 = {.sin_family = AF_INET};
static struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
static struct addrinfo list[12];

static void add(size_t i, void *addr, socklen_t len)
{
    list[i] = (struct addrinfo){
        .ai_family = ((struct sockaddr *)addr)->sa_family, .ai_addr = addr, .ai_addrlen = len};
    if (i > 0)
        list[i - 1].ai_next = &list[i];
}

static int twelve_addresses(struct addrinfo **res)
{
    for (size_t i = 0; i < 12; i += 2) {
        add(i, &v6, sizeof(v6));
        add(i + 1, &v4, sizeof(v4));
    }
    *res = list;
    return 0;
}

static int odd_address(struct addrinfo **res)
{
    static struct sockaddr odd = {.sa_family = AF_UNIX};
    add(0, &odd, sizeof(odd));
    *res = list;
    return 0;
}

static void look_at_signals(void)
{
    sigset_t set;
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    signals_blocked = sigismember(&set, SIGINT) && sigismember(&set, SIGALRM);
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **res)
{
    (void)service;
    atomic_fetch_add(&asked, 1);
    look_at_signals();
    if (hints->ai_socktype != SOCK_STREAM)
        return EAI_SOCKTYPE;
    if (strcmp(node, "hang.invalid") == 0) {
        while (sem_wait(&released) != 0)
            ;
        return twelve_addresses(res);
    }
    if (strcmp(node, "many.invalid") == 0)
        return twelve_addresses(res);
    if (strcmp(node, "odd.invalid") == 0)
        return odd_address(res);
    errno = EMFILE;
    if (strcmp(node, "system.invalid") == 0)
        return EAI_SYSTEM;
    return strcmp(node, "memory.invalid") == 0 ? EAI_MEMORY : EAI_NONAME;
}

void freeaddrinfo(struct addrinfo *res)
{
    atomic_fetch_add(&lists_freed, res == list);
}

static bool no_threads;

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    void *symbol = dlsym(RTLD_NEXT, "pthread_create");
    memcpy(&real, &symbol, sizeof(real));
    return no_threads ? EAGAIN : real(thread, attr, run, arg);
}

static void setup(void)
{
    sem_init(&given_back, 0, 0);
    sem_init(&released, 0, 0);
}

TestSuite(resolve, .init = setup, .timeout = 30);

/* ---- */

static int64_t soon(void)
{
    return mh__deadline_in(10000);
}

Test(resolve, a_literal_needs_no_thread_and_no_memory)
{
    struct mh__addresses found;
    no_memory = no_threads = true;
    cr_assert_eq(mh__resolve(&found, MH_STR("127.0.0.1"), 80, 0, NULL), 0);
    cr_assert_eq(found.count, 1);
    cr_assert_eq(found.at[0].addr.ss_family, AF_INET);
    cr_assert_eq(mh__resolve(&found, MH_STR("::1"), 80, 0, NULL), 0);
    cr_assert_eq(found.at[0].addr.ss_family, AF_INET6);
    cr_assert_eq(atomic_load(&asked), 0);
}

Test(resolve, the_first_addresses_of_a_name_with_the_port_and_in_order)
{
    struct mh__addresses found;
    cr_assert_eq(mh__resolve(&found, MH_STR("many.invalid"), 8080, soon(), NULL), 0);
    cr_assert_eq(found.count, MH__ADDRESSES_MAX);
    cr_assert_eq(found.at[0].len, sizeof(v6));
    cr_assert_eq(((struct sockaddr_in6 *)&found.at[0].addr)->sin6_port, htons(8080));
    cr_assert_eq(found.at[1].len, sizeof(v4));
    cr_assert_eq(((struct sockaddr_in *)&found.at[1].addr)->sin_port, htons(8080));
    cr_assert_eq(atomic_load(&lists_freed), 1);
    wait_given_back();
}

Test(resolve, without_a_deadline)
{
    struct mh__addresses found;
    cr_assert_eq(mh__resolve(&found, MH_STR("many.invalid"), 80, MH__NEVER, NULL), 0);
    wait_given_back();
}

static void refused(mh_str host, int err, const char *text)
{
    struct mh__addresses found = {.count = 77};
    const char *why = NULL;
    cr_assert_eq(mh__resolve(&found, host, 80, soon(), &why), err);
    cr_assert_str_eq(why, text);
    cr_assert_eq(found.count, 77);
    cr_assert_eq(mh__resolve(&found, host, 80, soon(), NULL), err);
}

Test(resolve, no_such_name)
{
    refused(MH_STR("no.invalid"), MH_ERR_RESOLVE, gai_strerror(EAI_NONAME));
}

Test(resolve, nobody_could_say)
{
    refused(MH_STR("system.invalid"), MH_ERR_RESOLVE, "Too many open files");
}

Test(resolve, the_resolver_had_no_memory)
{
    refused(MH_STR("memory.invalid"), -ENOMEM, gai_strerror(EAI_MEMORY));
}

Test(resolve, only_addresses_of_another_kind)
{
    refused(MH_STR("odd.invalid"), MH_ERR_RESOLVE,
            "the name has neither an IPv4 nor an IPv6 address");
}

Test(resolve, what_cannot_be_a_name_is_not_asked_for)
{
    char longest[MH__HOST_MAX + 1];
    memset(longest, 'a', sizeof(longest));
    refused((mh_str){longest, sizeof(longest)}, MH_ERR_RESOLVE, "not a host name");
    refused(MH_STR(""), MH_ERR_RESOLVE, "not a host name");
    refused(MH_STR("many.invalid\0.example"), MH_ERR_RESOLVE, "not a host name");
    cr_assert_eq(atomic_load(&asked), 0);
}

Test(resolve, the_longest_name_is_asked_for_whole)
{
    struct mh__addresses found;
    char longest[MH__HOST_MAX];
    memset(longest, 'a', sizeof(longest));
    mh_str host = {longest, sizeof(longest)};
    cr_assert_eq(mh__resolve(&found, host, 80, soon(), NULL), MH_ERR_RESOLVE);
    cr_assert_eq(atomic_load(&asked), 1);
}

Test(resolve, a_lookup_that_hangs_is_left_alone_and_cleans_up_after_itself)
{
    struct mh__addresses found = {.count = 77};
    int64_t begin = mh__clock_ms();
    cr_assert_eq(mh__resolve(&found, MH_STR("hang.invalid"), 80, mh__deadline_in(30), NULL),
                 -ETIMEDOUT);
    cr_assert_geq(mh__clock_ms() - begin, 30);
    cr_assert_eq(found.count, 77);
    cr_assert_eq(atomic_load(&live), 1, "the thread still holds it");
    sem_post(&released);
    wait_given_back();
    cr_assert_eq(found.count, 77);
}

Test(resolve, no_signal_is_handled_in_the_thread_and_the_callers_mask_is_kept)
{
    struct mh__addresses found;
    sigset_t before, after;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    cr_assert_eq(mh__resolve(&found, MH_STR("many.invalid"), 80, soon(), NULL), 0);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    cr_assert(signals_blocked);
    cr_assert_eq(sigismember(&before, SIGINT), sigismember(&after, SIGINT));
    wait_given_back();
}

Test(resolve, no_thread_to_be_had)
{
    struct mh__addresses found;
    no_threads = true;
    cr_assert_eq(mh__resolve(&found, MH_STR("many.invalid"), 80, soon(), NULL), -EAGAIN);
    wait_given_back();
}

Test(resolve, no_memory_to_be_had)
{
    struct mh__addresses found;
    no_memory = true;
    cr_assert_eq(mh__resolve(&found, MH_STR("many.invalid"), 80, soon(), NULL), -ENOMEM);
    cr_assert_eq(atomic_load(&asked), 0);
}
