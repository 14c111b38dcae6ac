/* lookup.c: names beside the loop. A thread asks for each (net/resolve.c) and leaves the answer in
 * the loop's mailbox, which lives as long as anybody holds it: the loop never waits for a thread.
 *
 * At most MH__LOOKUPS_MAX are asked for at a time, the others wait in order. One that is cancelled
 * gives its place up at once, though its thread may hang for as long as the resolver is patient:
 * names that hang do not hold up the others. Only when MH__LOOKUP_THREADS_MAX threads are out, the
 * next name waits until one of them comes back, which each does in the end. */
#include "loop/epoll.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "base/mem.h"

struct mh__mailbox {
    atomic_int holders; /* the loop, and each thread */
    pthread_mutex_t lock;
    int wake_fd;             /* -1: the loop is gone; under the lock, as is */
    struct mh__link answers; /* of struct job */
};

/* What a thread works on. */
struct job {
    struct mh__query query; /* the thread's until it has answered */
    struct mh__link link;
    struct mh__mailbox *mailbox;
    struct mh__lookup *lookup; /* the loop's; NULL: cancelled */
};

/* ---- the mailbox ---- */

static struct mh__mailbox *mailbox_new(int wake_fd)
{
    struct mh__mailbox *mailbox = mh__malloc(sizeof(*mailbox));
    if (!mailbox)
        return NULL;
    *mailbox = (struct mh__mailbox){.wake_fd = wake_fd};
    atomic_init(&mailbox->holders, 1);
    pthread_mutex_init(&mailbox->lock, NULL);
    mh__list_init(&mailbox->answers);
    return mailbox;
}

static void let_go(struct mh__mailbox *mailbox)
{
    if (atomic_fetch_sub(&mailbox->holders, 1) > 1)
        return;
    pthread_mutex_destroy(&mailbox->lock);
    mh__free(mailbox);
}

/* Take everything out; with `last`, nothing comes in any more. */
static void empty(struct mh__mailbox *mailbox, struct mh__link *into, bool last)
{
    pthread_mutex_lock(&mailbox->lock);
    mh__list_move(&mailbox->answers, into);
    if (last)
        mailbox->wake_fd = -1;
    pthread_mutex_unlock(&mailbox->lock);
}

/* In the thread. The descriptor is written to under the lock: it is not closed before the loop has
 * taken it out of here. A write that fails has found the counter full, which wakes as well. */
static void answered(struct mh__query *query)
{
    struct job *job = MH__CONTAINER(query, struct job, query);
    struct mh__mailbox *mailbox = job->mailbox;
    uint64_t one = 1;
    pthread_mutex_lock(&mailbox->lock);
    bool wanted = mailbox->wake_fd >= 0;
    if (wanted) {
        mh__list_append(&mailbox->answers, &job->link);
        (void)!write(mailbox->wake_fd, &one, sizeof(one));
    }
    pthread_mutex_unlock(&mailbox->lock);
    if (!wanted)
        mh__free(job);
    let_go(mailbox);
}

/* ---- asking ---- */

static struct mh__lookups *lookups_of(const mh_loop *loop)
{
    return &mh__epoll_loop(loop)->lookups;
}

static bool has_room(const struct mh__lookups *lookups)
{
    return lookups->running < MH__LOOKUPS_MAX &&
           lookups->running + lookups->abandoned < MH__LOOKUP_THREADS_MAX;
}

static int ask(struct mh__lookups *lookups, struct mh__lookup *lookup)
{
    struct job *job = mh__malloc(sizeof(*job));
    if (!job)
        return -ENOMEM;
    job->link = (struct mh__link){0};
    job->mailbox = lookups->mailbox;
    job->lookup = lookup;
    mh__query_init(&job->query, lookup->host, lookup->port, answered);
    atomic_fetch_add(&job->mailbox->holders, 1);
    int err = mh__query_start(&job->query);
    if (err < 0) {
        let_go(job->mailbox); /* on behalf of the thread that there is not */
        mh__free(job);
        return err;
    }
    lookup->job = job;
    lookups->running++;
    return 0;
}

/* It is at rest before it is told, and may begin anew, or be freed, meanwhile. */
static void tell(struct mh__lookup *lookup, int err, const struct mh__addresses *found,
                 const char *why)
{
    lookup->loop = NULL;
    lookup->job = NULL;
    lookup->found(lookup, err, err < 0 ? NULL : found, err < 0 ? why : NULL);
}

static void ask_next(struct mh__lookups *lookups)
{
    struct mh__link *link;
    while (has_room(lookups) && (link = mh__list_take(&lookups->waiting))) {
        struct mh__lookup *lookup = MH__CONTAINER(link, struct mh__lookup, link);
        int err = ask(lookups, lookup);
        if (err < 0)
            tell(lookup, err, NULL, NULL);
    }
}

/* ---- answers ---- */

static void tell_known(struct mh__lookup *lookup)
{
    struct mh__addresses found = {.count = 1};
    if (mh__literal_address(&found.at[0], lookup->host, lookup->port))
        tell(lookup, 0, &found, NULL);
    else
        tell(lookup, MH_ERR_RESOLVE, NULL, "not a host name");
}

/* Those that begin meanwhile are for the next turn. */
static void tell_all_known(struct mh__lookups *lookups)
{
    struct mh__link known, *link;
    mh__list_move(&lookups->known, &known);
    while ((link = mh__list_take(&known)))
        tell_known(MH__CONTAINER(link, struct mh__lookup, link));
}

static void run(struct mh__task *task)
{
    struct mh__lookups *lookups = MH__CONTAINER(task, struct mh__lookups, task);
    tell_all_known(lookups);
    ask_next(lookups);
}

static void take_back(struct mh__lookups *lookups, struct job *job)
{
    if (job->lookup) {
        lookups->running--;
        tell(job->lookup, job->query.err, &job->query.found, job->query.why);
    } else {
        lookups->abandoned--;
    }
    mh__free(job);
}

bool mh__lookups_pending(const struct mh__lookups *lookups)
{
    return lookups->running > 0 || !mh__list_empty(&lookups->known) ||
           !mh__list_empty(&lookups->waiting);
}

void mh__lookups_answer(struct mh__lookups *lookups)
{
    struct mh__link answers, *link;
    empty(lookups->mailbox, &answers, false);
    while ((link = mh__list_take(&answers)))
        take_back(lookups, MH__CONTAINER(link, struct job, link));
    ask_next(lookups);
}

/* ---- the lookups of a loop ---- */

int mh__lookups_init(struct mh__lookups *lookups, int wake_fd)
{
    *lookups = (struct mh__lookups){.task = {.run = run}, .mailbox = mailbox_new(wake_fd)};
    mh__list_init(&lookups->known);
    mh__list_init(&lookups->waiting);
    return lookups->mailbox ? 0 : -ENOMEM;
}

void mh__lookups_deinit(struct mh__lookups *lookups)
{
    struct mh__link answers, *link;
    empty(lookups->mailbox, &answers, true);
    while ((link = mh__list_take(&answers)))
        mh__free(MH__CONTAINER(link, struct job, link));
    let_go(lookups->mailbox);
}

int mh__lookup_start(struct mh__lookup *lookup, mh_loop *loop, mh_str host, uint16_t port)
{
    struct mh__lookups *lookups = lookups_of(loop);
    struct mh__address literal;
    if (loop->ending)
        return -ECANCELED;
    lookup->link = (struct mh__link){0};
    lookup->job = NULL;
    lookup->host = host;
    lookup->port = port;
    int err = 0;
    if (mh__literal_address(&literal, host, port) || !mh__is_host_name(host)) {
        mh__list_append(&lookups->known, &lookup->link);
        mh__loop_defer(loop, &lookups->task);
    } else if (has_room(lookups) && mh__list_empty(&lookups->waiting)) {
        err = ask(lookups, lookup);
    } else {
        mh__list_append(&lookups->waiting, &lookup->link);
    }
    lookup->loop = err == 0 ? loop : NULL;
    return err;
}

/* Whose turn it is now is asked for in the next turn: a failure is told, and not from in here. */
void mh__lookup_cancel(struct mh__lookup *lookup)
{
    struct job *job = lookup->job;
    if (!lookup->loop)
        return;
    struct mh__lookups *lookups = lookups_of(lookup->loop);
    mh__list_remove(&lookup->link);
    if (job) {
        job->lookup = NULL;
        lookups->running--;
        lookups->abandoned++;
        if (!mh__list_empty(&lookups->waiting))
            mh__loop_defer(lookup->loop, &lookups->task);
    }
    lookup->job = NULL;
    lookup->loop = NULL;
}
