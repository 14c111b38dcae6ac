/* epoll.h: what the files of the kernel's backend share. */
#ifndef MH_LOOP_EPOLL_H
#define MH_LOOP_EPOLL_H

#include <pthread.h>
#include <stdatomic.h>

#include "loop/loop.h"

/* Threads of one loop that ask for names. Up to MH__LOOKUPS_MAX do so for somebody; the others hang
 * in lookups that were cancelled, which must not keep the next ones from their turn. */
#define MH__LOOKUP_THREADS_MAX 32

_Static_assert(MH__LOOKUPS_MAX < MH__LOOKUP_THREADS_MAX, "a cancelled lookup gives up its place");

/* Where the threads leave their answers. */
struct mh__mailbox;

/* lookup.c: the names that are looked up for one loop. */
struct mh__lookups {
    struct mh__link known;   /* of struct mh__lookup: needs no thread, found() is owed */
    struct mh__link waiting; /* of struct mh__lookup: for a thread */
    struct mh__task task;    /* sees to both */
    struct mh__mailbox *mailbox;
    int running;   /* threads that ask for somebody */
    int abandoned; /* threads that ask for nobody any more */
};

struct mh__epoll_loop {
    mh_loop base;
    int epoll_fd;
    int wake_fd;                /* an eventfd; lookup.c writes to it as well */
    atomic_bool woken;          /* by mh_loop_wake(), and not seen yet */
    atomic_bool nudged;         /* by mh__loop_nudge(), likewise */
    bool accepting;             /* accepted() is under way ... */
    struct mh__socket *adopted; /* ... and has taken the connection over with this one */
    struct mh__lookups lookups;
    int registered;          /* sockets that epoll knows */
    struct mh__socket *only; /* of these, where there is but one; NULL: some other number */
    bool alone;              /* see mh__loop_alone() */
    pthread_mutex_t lock;    /* of what follows */
    int blocked;             /* the descriptor that is received from without a wait; -1: none */
    bool interrupted;
    char buffer[]; /* MH__RECEIVE_SIZE */
};

static inline struct mh__epoll_loop *mh__epoll_loop(const mh_loop *loop)
{
    return (struct mh__epoll_loop *)(void *)(uintptr_t)loop;
}

/* wake_fd is written to when there is an answer. -ENOMEM. */
MH_CHECK int mh__lookups_init(struct mh__lookups *lookups, int wake_fd);
bool mh__lookups_pending(const struct mh__lookups *lookups);
void mh__lookups_answer(struct mh__lookups *lookups); /* found() for all that have an answer */
void mh__lookups_deinit(struct mh__lookups *lookups); /* waits for no thread */

#endif
