/* resolve.c: host names to addresses, with a deadline, which getaddrinfo() does not have. So it
 * runs in a thread of its own, and whoever lets go of the lookup last frees it: when the deadline
 * comes first, that is the thread, however long it hangs. What runs there is a query, which the
 * loop starts as well. */
#include "net/net.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"

/* Of a thread that runs getaddrinfo() and whatever modules the system hangs below it. */
#define STACK_SIZE (512u << 10)

/* ---- a query ---- */

static void set_port(struct sockaddr_storage *addr, uint16_t port)
{
    if (addr->ss_family == AF_INET)
        ((struct sockaddr_in *)addr)->sin_port = htons(port);
    else
        ((struct sockaddr_in6 *)addr)->sin6_port = htons(port);
}

static void copy_found(struct mh__addresses *found, const struct addrinfo *list, uint16_t port)
{
    for (; list && found->count < MH__ADDRESSES_MAX; list = list->ai_next) {
        if (list->ai_family != AF_INET && list->ai_family != AF_INET6)
            continue;
        struct mh__address *at = &found->at[found->count++];
        memcpy(&at->addr, list->ai_addr, list->ai_addrlen);
        at->len = list->ai_addrlen;
        set_port(&at->addr, port);
    }
}

static void ask(struct mh__query *query)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int gai = getaddrinfo(query->host, NULL, &hints, &list);
    if (gai != 0) {
        query->err = gai == EAI_MEMORY ? -ENOMEM : MH_ERR_RESOLVE;
        query->why = gai == EAI_SYSTEM ? mh_strerror(-errno) : gai_strerror(gai);
        return;
    }
    copy_found(&query->found, list, query->port);
    freeaddrinfo(list);
    if (query->found.count == 0) {
        query->err = MH_ERR_RESOLVE;
        query->why = "the name has neither an IPv4 nor an IPv6 address";
    }
}

static void *run(void *arg)
{
    struct mh__query *query = arg;
    ask(query);
    query->answered(query);
    return NULL;
}

bool mh__is_host_name(mh_str host)
{
    return host.len > 0 && host.len <= MH__HOST_MAX && !memchr(host.ptr, '\0', host.len);
}

void mh__query_init(struct mh__query *query, mh_str host, uint16_t port,
                    void (*answered)(struct mh__query *query))
{
    *query = (struct mh__query){.answered = answered, .port = port};
    memcpy(query->host, host.ptr, host.len);
}

/* All signals are blocked in the thread, so that a handler of the program never runs there. */
int mh__query_start(struct mh__query *query)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int err = pthread_create(&thread, &attr, run, query);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return err == 0 ? 0 : -EAGAIN;
}

/* ---- somebody who waits for one ---- */

struct lookup {
    atomic_int holders; /* the caller and the thread */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool finished;          /* under the lock */
    struct mh__query query; /* the thread's until it has finished */
};

static void let_go(struct lookup *lookup)
{
    if (atomic_fetch_sub(&lookup->holders, 1) > 1)
        return;
    pthread_cond_destroy(&lookup->changed);
    pthread_mutex_destroy(&lookup->lock);
    mh__free(lookup);
}

static void finish(struct mh__query *query)
{
    struct lookup *lookup = MH__CONTAINER(query, struct lookup, query);
    pthread_mutex_lock(&lookup->lock);
    lookup->finished = true;
    pthread_cond_signal(&lookup->changed);
    pthread_mutex_unlock(&lookup->lock);
    let_go(lookup);
}

static struct lookup *lookup_new(mh_str host, uint16_t port)
{
    struct lookup *lookup = mh__calloc(1, sizeof(*lookup));
    if (!lookup)
        return NULL;
    atomic_init(&lookup->holders, 2);
    mh__query_init(&lookup->query, host, port, finish);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&lookup->changed, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&lookup->lock, NULL);
    return lookup;
}

static bool wait_finished(struct lookup *lookup, int64_t deadline)
{
    struct timespec at = {.tv_sec = (time_t)(deadline / 1000),
                          .tv_nsec = (long)(deadline % 1000) * 1000000};
    int err = 0;
    pthread_mutex_lock(&lookup->lock);
    while (!lookup->finished && err == 0) {
        if (deadline == MH__NEVER)
            err = pthread_cond_wait(&lookup->changed, &lookup->lock);
        else
            err = pthread_cond_timedwait(&lookup->changed, &lookup->lock, &at);
    }
    bool finished = lookup->finished;
    pthread_mutex_unlock(&lookup->lock);
    return finished;
}

static int result(const struct mh__query *query, struct mh__addresses *out, const char **why)
{
    if (query->err == 0)
        *out = query->found;
    else if (why)
        *why = query->why;
    return query->err;
}

static int resolve_name(struct mh__addresses *out, mh_str host, uint16_t port, int64_t deadline,
                        const char **why)
{
    struct lookup *lookup = lookup_new(host, port);
    if (!lookup)
        return -ENOMEM;
    int err = mh__query_start(&lookup->query);
    if (err < 0)
        let_go(lookup); /* on behalf of the thread that there is not */
    else
        err = wait_finished(lookup, deadline) ? result(&lookup->query, out, why) : -ETIMEDOUT;
    let_go(lookup);
    return err;
}

int mh__resolve(struct mh__addresses *out, mh_str host, uint16_t port, int64_t deadline,
                const char **why)
{
    struct mh__address literal;
    if (mh__literal_address(&literal, host, port)) {
        out->at[0] = literal;
        out->count = 1;
        return 0;
    }
    if (mh__is_host_name(host))
        return resolve_name(out, host, port, deadline, why);
    if (why)
        *why = "not a host name";
    return MH_ERR_RESOLVE;
}
