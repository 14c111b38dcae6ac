/* loop.c: the loop with threads around it, for ThreadSanitizer: wakes from several at once, and
 * names whose threads answer while the loop waits, works, and goes. */
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "loop/loop.h"

#define WAKERS 4
#define WAKES 2000     /* of each */
#define NAMES 24       /* at a time, of which some wait for their turn */
#define ROUNDS 60      /* of names, a new loop for each */
#define ANSWER_US 2000 /* the longest time that a name takes */

#define expect(holds)                                                                              \
    do {                                                                                           \
        if (!(holds)) {                                                                            \
            printf("FAILED: loop.c:%d: %s\n", __LINE__, #holds);                                   \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* ---- the resolver: no name leaves this program ---- */

static struct sockaddr_in v4 = {.sin_family = AF_INET};
static struct addrinfo list = {
    .ai_family = AF_INET, .ai_addr = (struct sockaddr *)&v4, .ai_addrlen = sizeof(v4)};
static atomic_int answers;

static void pause_us(long us)
{
    nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **res)
{
    (void)service;
    (void)hints;
    int number = atomic_fetch_add(&answers, 1);
    pause_us(number * 997 % ANSWER_US);
    *res = &list;
    return strncmp(node, "no", 2) == 0 ? EAI_NONAME : 0;
}

void freeaddrinfo(struct addrinfo *res)
{
    expect(res == &list);
}

/* ---- wakes ---- */

static void *wake_often(void *loop)
{
    for (int i = 0; i < WAKES; i++)
        mh_loop_wake(loop);
    return NULL;
}

static void wakes(void)
{
    mh_loop *loop;
    pthread_t threads[WAKERS];
    int woken = 0;
    expect(mh_loop_new(&loop) == 0);
    mh__loop_hold(loop);
    for (int i = 0; i < WAKERS; i++)
        expect(pthread_create(&threads[i], NULL, wake_often, loop) == 0);
    expect(mh_loop_run(loop, -1) == 1);
    for (; woken < 100 && mh_loop_run(loop, 1) == 1; woken++)
        ;
    for (int i = 0; i < WAKERS; i++)
        pthread_join(threads[i], NULL);
    expect(mh_loop_run(loop, 1) == 1);
    mh_loop_free(loop);
}

/* ---- names ---- */

struct name {
    struct mh__lookup lookup;
    int calls;
};

static void found(struct mh__lookup *lookup, int err, const struct mh__addresses *addresses,
                  const char *why)
{
    struct name *name = MH__CONTAINER(lookup, struct name, lookup);
    expect(err == MH_ERR_RESOLVE ? why != NULL : addresses->count == 1);
    name->calls++;
}

static void begin(mh_loop *loop, struct name *names)
{
    static const char *const hosts[] = {"some.invalid", "no.invalid", "127.0.0.1"};
    for (size_t i = 0; i < NAMES; i++) {
        names[i] = (struct name){.lookup.found = found};
        expect(mh__lookup_start(&names[i].lookup, loop, mh_str_from(hosts[i % 3]), 80) == 0);
    }
}

/* Some are cancelled before and some after they were asked for; the last ones when the loop goes,
 * which is sooner or later. */
static void names(int turns)
{
    struct name names[NAMES];
    mh_loop *loop;
    expect(mh_loop_new(&loop) == 0);
    begin(loop, names);
    mh__lookup_cancel(&names[NAMES - 1].lookup);
    for (int i = 0; i < turns; i++) {
        expect(mh__loop_turn(loop, 10) == 0);
        mh__lookup_cancel(&names[i % NAMES].lookup);
    }
    for (size_t i = 0; i < NAMES; i++) {
        expect(names[i].calls <= 1);
        mh__lookup_cancel(&names[i].lookup);
    }
    mh_loop_free(loop);
}

int main(void)
{
    wakes();
    for (int i = 0; i < ROUNDS; i++)
        names(i % NAMES);
    pause_us(2 * ANSWER_US); /* threads that were left alone have come to their end */
    puts("ok");
    return 0;
}
