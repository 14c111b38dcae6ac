/* worker.c: what the connections of one loop share: who is accepted, who has waited too long, what
 * other threads have replied, and the end. */
#include "server/worker.h"

#include <assert.h>
#include <errno.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

static struct mh__session *session_at(struct mh__link *link)
{
    return MH__CONTAINER(link, struct mh__session, link);
}

/* ---- the inbox ---- */

struct mh__inbox *mh__inbox_new(mh_loop *loop)
{
    struct mh__inbox *inbox = mh__malloc(sizeof(*inbox));
    if (!inbox)
        return NULL;
    inbox->loop = loop;
    mh__list_init(&inbox->posted);
    atomic_init(&inbox->references, 1);
    pthread_mutex_init(&inbox->lock, NULL);
    return inbox;
}

void mh__inbox_release(struct mh__inbox *inbox)
{
    if (atomic_fetch_sub(&inbox->references, 1) > 1)
        return;
    pthread_mutex_destroy(&inbox->lock);
    mh__free(inbox);
}

void mh__inbox_post(struct mh__exchange *ex)
{
    struct mh__inbox *inbox = ex->inbox;
    if (ex->posted || !inbox->loop)
        return;
    ex->posted = true;
    mh__list_append(&inbox->posted, &ex->link);
    mh__loop_nudge(inbox->loop);
}

static struct mh__exchange *take_posted(struct mh__inbox *inbox)
{
    pthread_mutex_lock(&inbox->lock);
    struct mh__link *link = mh__list_take(&inbox->posted);
    struct mh__exchange *ex = link ? MH__CONTAINER(link, struct mh__exchange, link) : NULL;
    if (ex)
        ex->posted = false;
    if (ex && ex->told)
        ex->owed = false;
    pthread_mutex_unlock(&inbox->lock);
    return ex;
}

static void take_news(struct mh__exchange *ex)
{
    ex->waiting = false;
    mh__session_go_on(ex->session);
}

static void empty_inbox(struct mh__worker *worker)
{
    struct mh__exchange *ex;
    while ((ex = take_posted(worker->inbox)))
        take_news(ex);
}

/* ---- exchanges ---- */

static void next_turn(struct mh__task *task)
{
    take_news(MH__CONTAINER(task, struct mh__exchange, task));
}

static struct mh__exchange *new_exchange(struct mh__worker *worker)
{
    struct mh__exchange *ex = mh__calloc(1, sizeof(*ex));
    if (!ex)
        return NULL;
    atomic_fetch_add(&worker->inbox->references, 1);
    ex->inbox = worker->inbox;
    ex->worker = worker;
    ex->request.private_ = ex;
    ex->task.run = next_turn;
    return ex;
}

struct mh__exchange *mh__worker_exchange(struct mh__worker *worker)
{
    struct mh__link *link = mh__list_take(&worker->spare);
    if (!link)
        return new_exchange(worker);
    worker->spare_count--;
    return MH__CONTAINER(link, struct mh__exchange, link);
}

static void unpost(struct mh__exchange *ex)
{
    pthread_mutex_lock(&ex->inbox->lock);
    mh__list_remove(&ex->link);
    ex->posted = false;
    pthread_mutex_unlock(&ex->inbox->lock);
}

void mh__worker_recycle(struct mh__worker *worker, struct mh__exchange *ex)
{
    if (atomic_load_explicit(&ex->shared, memory_order_relaxed))
        unpost(ex);
    mh__loop_forget(&ex->task);
    if (worker->spare_count == MH__SPARE_EXCHANGES_MAX) {
        mh__exchange_free(ex);
        return;
    }
    mh__exchange_clear(ex);
    mh__list_prepend(&worker->spare, &ex->link);
    worker->spare_count++;
}

/* ---- the date ---- */

/* A server with a clock dates its responses (RFC 9110 section 6.6.1). The clock is looked at once
 * in a turn. */
mh_str mh__worker_date(struct mh__worker *worker)
{
    char text[MH_DATE_LEN + 1];
    int64_t now = worker->date_s;
    if (worker->date_turn != worker->loop->turn || worker->date_s == 0)
        now = mh__clock_unix_s();
    worker->date_turn = worker->loop->turn;
    if (now != worker->date_s && mh_date_format(text, now) > 0) {
        mh_buf line = mh__buf_over(worker->date, sizeof(worker->date));
        (void)!mh_buf_printf(&line, "Date: %s\r\n", text); /* it is made to fit */
        worker->date_s = now;
    }
    return (mh_str){worker->date, worker->date_s == 0 ? 0 : sizeof(worker->date) - 1};
}

/* ---- deadlines ---- */

static void expire_line(struct mh__worker *worker, enum mh__line line)
{
    int64_t limit = worker->settings->limits[line];
    struct mh__link *head = &worker->lines[line];
    while (limit != MH__NEVER && !mh__list_empty(head)) {
        struct mh__session *c = session_at(head->next);
        if (c->since + limit > worker->loop->now)
            return;
        mh__session_expire(c);
        if (head->next == &c->link && c->since + limit <= worker->loop->now)
            mh__session_close(c, -ETIMEDOUT, "timed out"); /* so that this ends, whatever */
    }
}

static int64_t first_deadline(const struct mh__worker *worker)
{
    int64_t first = MH__NEVER;
    for (int i = 0; i < MH__LINES; i++) {
        int64_t limit = worker->settings->limits[i];
        if (limit == MH__NEVER || mh__list_empty(&worker->lines[i]))
            continue;
        first = mh__deadline_min(first, session_at(worker->lines[i].next)->since + limit);
    }
    return first;
}

static void deadline_came(struct mh__timer *timer)
{
    struct mh__worker *worker = MH__CONTAINER(timer, struct mh__worker, deadline);
    for (int i = 0; i < MH__LINES; i++)
        expire_line(worker, (enum mh__line)i);
    int64_t next = first_deadline(worker);
    if (next != MH__NEVER)
        mh__timer_set(worker->loop, &worker->deadline, next);
}

/* ---- accepting ---- */

/* Who has had the least reason to be here makes room: the longest idle one, then who is slowest to
 * say what it wants. */
static struct mh__session *dispensable(const struct mh__worker *worker)
{
    static const enum mh__line order[] = {MH__LINE_IDLE, MH__LINE_LINGER, MH__LINE_HANDSHAKE,
                                          MH__LINE_HEAD};
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        const struct mh__link *head = &worker->lines[order[i]];
        if (!mh__list_empty(head))
            return session_at(head->next);
    }
    return NULL;
}

static bool make_room(struct mh__worker *worker)
{
    struct mh__session *c = dispensable(worker);
    if (c)
        mh__session_close(c, c->lingering ? 0 : -EMFILE, "it made room for another one");
    return c != NULL;
}

static void stop_accepting(struct mh__worker *worker)
{
    (void)!mh__listener_accept(&worker->listener, false); /* cannot fail */
    mh__timer_set(worker->loop, &worker->pause, worker->loop->now + MH__ACCEPT_PAUSE_MS);
}

static bool is_full(const struct mh__worker *worker)
{
    return worker->live >= worker->settings->connections_max;
}

static void turn_away(struct mh__worker *worker, int fd, int err, const char *why)
{
    const struct mh__settings *settings = worker->settings;
    mh__descriptor_close(fd);
    if (settings->on_error)
        settings->on_error(settings->user, NULL, err, why);
}

static void begin_connection(struct mh__worker *worker, int fd, const struct mh__address *from)
{
    const struct mh__settings *settings = worker->settings;
    const struct mh__carrier *carrier = settings->tls ? &mh__carrier_tls : &mh__carrier_socket;
    struct mh__session *c;
    int err = mh__session_new(&c, worker, carrier, from);
    if (err == 0)
        err = mh__carrier_adopt(c, fd);
    if (err < 0)
        turn_away(worker, fd, err, "accept: no memory");
}

/* Where all have something under way, one more is let in than there should be, for it is here; the
 * next one waits until others have gone, or is turned away where it has come meanwhile. */
static void accepted(struct mh__listener *listener, int fd, const struct mh__address *from)
{
    struct mh__worker *worker = MH__CONTAINER(listener, struct mh__worker, listener);
    bool room = !is_full(worker) || make_room(worker);
    if (room || worker->live <= worker->settings->connections_max)
        begin_connection(worker, fd, from);
    else
        turn_away(worker, fd, -EMFILE, "accept: too many connections");
    worker->full = !room || (is_full(worker) && !dispensable(worker));
    if (worker->full)
        stop_accepting(worker);
}

static void accept_again(struct mh__worker *worker)
{
    if (worker->stopping || !worker->listener.loop)
        return;
    worker->full = is_full(worker) && !dispensable(worker);
    if (worker->full || mh__listener_accept(&worker->listener, true) < 0)
        mh__timer_set(worker->loop, &worker->pause, worker->loop->now + MH__ACCEPT_PAUSE_MS);
}

static void pause_is_over(struct mh__timer *timer)
{
    accept_again(MH__CONTAINER(timer, struct mh__worker, pause));
}

static void accept_failed(struct mh__listener *listener, int err)
{
    struct mh__worker *worker = MH__CONTAINER(listener, struct mh__worker, listener);
    const struct mh__settings *settings = worker->settings;
    if (err == MH_ERR_CLOSED && atomic_load(&worker->stop_asked) > 0)
        return; /* another worker, which shares the listener, was faster to stop */
    if (settings->on_error)
        settings->on_error(settings->user, NULL, err, "accept");
    if (err == MH_ERR_CLOSED)
        return;
    (void)!make_room(worker);
    mh__timer_set(worker->loop, &worker->pause, worker->loop->now + MH__ACCEPT_PAUSE_MS);
}

/* ---- the end ---- */

static void stop_timers(struct mh__worker *worker)
{
    mh__timer_stop(worker->loop, &worker->stop);
    mh__timer_stop(worker->loop, &worker->pause);
    mh__timer_stop(worker->loop, &worker->deadline);
}

static void check_stopped(struct mh__worker *worker)
{
    if (!worker->stopping || worker->stopped || worker->count > 0)
        return;
    worker->stopped = true;
    stop_timers(worker);
    if (worker->on_stopped)
        worker->on_stopped(worker);
}

void mh__worker_left(struct mh__worker *worker)
{
    worker->count--;
    if (worker->full)
        accept_again(worker);
    check_stopped(worker);
}

static void close_all(struct mh__worker *worker, int err, const char *why)
{
    for (int i = 0; i < MH__LINES; i++) {
        while (!mh__list_empty(&worker->lines[i])) {
            bool quiet = i == MH__LINE_IDLE || i == MH__LINE_LINGER;
            mh__session_close(session_at(worker->lines[i].next), quiet ? 0 : err, why);
        }
    }
}

static void stop_is_due(struct mh__timer *timer)
{
    close_all(MH__CONTAINER(timer, struct mh__worker, stop), -ECANCELED, "the server has stopped");
}

static void close_idle(struct mh__worker *worker)
{
    static const enum mh__line idle[] = {MH__LINE_IDLE, MH__LINE_HANDSHAKE};
    for (size_t i = 0; i < sizeof(idle) / sizeof(idle[0]); i++) {
        while (!mh__list_empty(&worker->lines[idle[i]]))
            mh__session_stop(session_at(worker->lines[idle[i]].next));
    }
}

static void begin_stop(struct mh__worker *worker)
{
    worker->stopping = true;
    if (worker->settings->own_listeners)
        mh__listener_finish(&worker->listener);
    mh__listener_close(&worker->listener);
    close_idle(worker);
    if (worker->settings->stop_ms != MH__NEVER)
        mh__timer_set(worker->loop, &worker->stop, worker->loop->now + worker->settings->stop_ms);
    check_stopped(worker);
}

static void nudged(struct mh__attachment *attachment)
{
    struct mh__worker *worker = MH__CONTAINER(attachment, struct mh__worker, attachment);
    empty_inbox(worker);
    int asked = atomic_load(&worker->stop_asked);
    if (asked > 0 && !worker->stopping)
        begin_stop(worker);
    if (asked > 1)
        close_all(worker, -ECANCELED, "the server has stopped");
}

void mh__worker_stop_after(struct mh__worker *worker)
{
    worker->stopping = true;
}

void mh__worker_ask_to_stop(struct mh__worker *worker, int asked)
{
    if (worker->detached)
        return;
    int before = atomic_load(&worker->stop_asked);
    while (before < asked && !atomic_compare_exchange_weak(&worker->stop_asked, &before, asked))
        ;
    mh__loop_nudge(worker->loop);
}

/* ---- made and freed ---- */

static void close_inbox(struct mh__worker *worker)
{
    pthread_mutex_lock(&worker->inbox->lock);
    worker->inbox->loop = NULL;
    pthread_mutex_unlock(&worker->inbox->lock);
}

static void close_worker(struct mh__worker *worker)
{
    worker->stopping = true;
    mh__listener_close(&worker->listener);
    close_all(worker, -ECANCELED, "the server has stopped");
    stop_timers(worker);
}

/* The loop goes first; what was closed is released by it. */
static void detached(struct mh__attachment *attachment)
{
    struct mh__worker *worker = MH__CONTAINER(attachment, struct mh__worker, attachment);
    close_worker(worker);
    close_inbox(worker);
    worker->detached = true;
}

int mh__worker_new(struct mh__worker **out, const struct mh__settings *settings, mh_loop *loop,
                   int listener)
{
    static const struct mh__listener_events events = {accepted, accept_failed};
    *out = NULL;
    struct mh__worker *worker = mh__calloc(1, sizeof(*worker));
    if (!worker)
        return -ENOMEM;
    worker->inbox = mh__inbox_new(loop);
    if (!worker->inbox) {
        mh__free(worker);
        return -ENOMEM;
    }
    worker->settings = settings;
    worker->loop = loop;
    worker->attachment.owner = worker;
    worker->attachment.detached = detached;
    worker->attachment.nudged = nudged;
    worker->deadline.expired = deadline_came;
    worker->pause.expired = pause_is_over;
    worker->stop.expired = stop_is_due;
    mh__list_init(&worker->spare);
    for (int i = 0; i < MH__LINES; i++)
        mh__list_init(&worker->lines[i]);
    int err = listener < 0 ? 0 : mh__listener_open(&worker->listener, loop, &events, listener);
    if (err < 0) {
        mh__inbox_release(worker->inbox);
        mh__free(worker);
        return err;
    }
    mh__loop_attach(loop, &worker->attachment);
    *out = worker;
    return 0;
}

static void free_spare(struct mh__worker *worker)
{
    struct mh__link *link;
    while ((link = mh__list_take(&worker->spare)))
        mh__exchange_free(MH__CONTAINER(link, struct mh__exchange, link));
}

static void detach(struct mh__worker *worker)
{
    close_worker(worker);
    mh__loop_work(worker->loop); /* what was closed is released */
    check_stopped(worker);
    mh__loop_detach(&worker->attachment);
    close_inbox(worker);
}

void mh__worker_close(struct mh__worker *worker)
{
    if (worker->detached)
        return;
    close_worker(worker);
    mh__loop_work(worker->loop); /* what was closed is released */
}

void mh__worker_free(struct mh__worker *worker)
{
    if (!worker)
        return;
    if (!worker->detached)
        detach(worker);
    assert(worker->count == 0);
    free_spare(worker);
    mh__inbox_release(worker->inbox);
    mh_buf_free(&worker->out);
    mh_buf_free(&worker->cipher);
    mh_buf_free(&worker->plain);
    mh__file_cache_free(worker->files);
    mh__free(worker);
}
