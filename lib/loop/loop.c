/* loop.c: what a turn is, whatever the backend. */
#include "loop/loop.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>

#include "base/clock.h"

/* ---- what a loop holds ---- */

void mh__loop_init(mh_loop *loop)
{
    *loop = (mh_loop){0};
    mh__list_init(&loop->tasks);
    mh__list_init(&loop->attachments);
    mh__list_init(&loop->closed);
}

static void release_closed(mh_loop *loop)
{
    struct mh__link *link;
    while ((link = mh__list_take(&loop->closed))) {
        struct mh__socket *socket = MH__CONTAINER(link, struct mh__socket, link);
        socket->events->released(socket);
    }
}

void mh__loop_detach_all(mh_loop *loop)
{
    struct mh__link *link;
    loop->now = mh__loop_now(loop);
    loop->turning = loop->ending = true;
    while ((link = mh__list_take(&loop->attachments))) {
        struct mh__attachment *attachment = MH__CONTAINER(link, struct mh__attachment, link);
        attachment->detached(attachment);
    }
    release_closed(loop);
}

int64_t mh__loop_now(mh_loop *loop)
{
    if (!loop->turning)
        loop->now = mh__backend_clock_ms(loop);
    return loop->now;
}

void mh__loop_hold(mh_loop *loop)
{
    loop->holds++;
}

void mh__loop_release(mh_loop *loop)
{
    assert(loop->holds > 0);
    loop->holds--;
}

void mh__loop_defer(mh_loop *loop, struct mh__task *task)
{
    if (!mh__link_used(&task->link))
        mh__list_append(&loop->tasks, &task->link);
}

void mh__loop_forget(struct mh__task *task)
{
    mh__list_remove(&task->link);
}

void mh__loop_attach(mh_loop *loop, struct mh__attachment *attachment)
{
    mh__list_prepend(&loop->attachments, &attachment->link);
}

struct mh__attachment *mh__loop_find(const mh_loop *loop, const void *owner)
{
    struct mh__link *link = loop->attachments.next;
    for (; link != &loop->attachments; link = link->next) {
        struct mh__attachment *attachment = MH__CONTAINER(link, struct mh__attachment, link);
        if (attachment->owner == owner)
            return attachment;
    }
    return NULL;
}

void mh__loop_detach(struct mh__attachment *attachment)
{
    mh__list_remove(&attachment->link);
}

void mh__loop_tell_nudged(mh_loop *loop)
{
    struct mh__link *link = loop->attachments.next, *next;
    for (; link != &loop->attachments; link = next) {
        struct mh__attachment *attachment = MH__CONTAINER(link, struct mh__attachment, link);
        next = link->next;
        if (attachment->nudged)
            attachment->nudged(attachment);
    }
}

/* One that sets itself again, for now, must not keep a turn from its end. */
void mh__timer_set(mh_loop *loop, struct mh__timer *timer, int64_t at)
{
    if (loop->turning && at <= loop->now)
        at = loop->now + 1;
    mh__timers_set(&loop->timers, timer, at);
}

void mh__timer_stop(mh_loop *loop, struct mh__timer *timer)
{
    mh__timers_stop(&loop->timers, timer);
}

/* ---- a turn ---- */

static int until(int64_t at, int64_t now)
{
    if (at <= now)
        return 0;
    return at - now < INT_MAX ? (int)(at - now) : INT_MAX;
}

static int left(int64_t end, int64_t now)
{
    return end == MH__NEVER ? -1 : until(end, now);
}

static int shorter(int a, int b)
{
    if (a < 0 || b < 0)
        return a < 0 ? b : a;
    return a < b ? a : b;
}

/* How long a turn may wait before something is due; -1: as long as nothing comes. */
static int patience(const mh_loop *loop, int64_t now)
{
    if (!mh__list_empty(&loop->tasks) || !mh__list_empty(&loop->closed))
        return 0;
    const struct mh__timer *first = loop->timers.first;
    return first ? until(first->at, now) : -1;
}

static void run_timers(mh_loop *loop)
{
    struct mh__timer *timer;
    while ((timer = mh__timers_take(&loop->timers, loop->now)))
        timer->expired(timer);
}

/* Those that tasks leave behind are for the next turn, or two could keep each other going. */
static void run_tasks(mh_loop *loop)
{
    struct mh__link *link, line;
    mh__list_move(&loop->tasks, &line);
    while ((link = mh__list_take(&line))) {
        struct mh__task *task = MH__CONTAINER(link, struct mh__task, link);
        task->run(task);
    }
}

int mh__loop_turn(mh_loop *loop, int timeout_ms)
{
    int wait = patience(loop, mh__loop_now(loop));
    loop->woken = false;
    loop->turning = true;
    loop->turn++;
    int err = mh__backend_wait(loop, shorter(wait, timeout_ms));
    run_timers(loop);
    run_tasks(loop);
    release_closed(loop);
    loop->turning = false;
    return err;
}

void mh__loop_work(mh_loop *loop)
{
    loop->now = mh__loop_now(loop);
    loop->turning = true;
    run_tasks(loop);
    release_closed(loop);
    loop->turning = false;
}

/* ---- from outside ---- */

static int result(const mh_loop *loop)
{
    return loop->holds < INT_MAX ? (int)loop->holds : INT_MAX;
}

int mh_loop_run(mh_loop *loop, int timeout_ms)
{
    if (loop->turning)
        return -EINVAL;
    int64_t now = mh__loop_now(loop);
    int64_t end = timeout_ms < 0 ? MH__NEVER : now + timeout_ms;
    int err;
    do {
        err = mh__loop_turn(loop, loop->holds > 0 ? left(end, loop->now) : 0);
    } while (err == 0 && loop->holds > 0 && left(end, loop->now) != 0 && !loop->woken);
    return err < 0 ? err : result(loop);
}

int mh_loop_timeout_ms(const mh_loop *loop)
{
    return patience(loop, mh__backend_clock_ms(loop));
}
