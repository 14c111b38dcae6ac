/* lab_clock.c: a thread that does things later, in the order of their time. It knows nothing of
 * HTTP; that it is another thread than the server's is what it is for. */
#include "lab_server.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

struct task {
    struct task *next;
    struct timespec due;
    void (*run)(void *data);
    void *data;
};

static struct {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct task *first;
    bool stopping;
} ticker = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool is_before(struct timespec a, struct timespec b)
{
    return a.tv_sec < b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec < b.tv_nsec);
}

static struct timespec in_ms(int ms)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    now.tv_sec += ms / 1000;
    now.tv_nsec += ms % 1000 * 1000000L;
    if (now.tv_nsec >= 1000000000) {
        now.tv_nsec -= 1000000000;
        now.tv_sec++;
    }
    return now;
}

static bool is_due(const struct task *task)
{
    return ticker.stopping || !is_before(in_ms(0), task->due);
}

/* Until the first task is due, or there is another first one. */
static void wait_for_change(void)
{
    if (ticker.first)
        pthread_cond_timedwait(&ticker.changed, &ticker.lock, &ticker.first->due);
    else
        pthread_cond_wait(&ticker.changed, &ticker.lock);
}

static void run_first(void)
{
    struct task *task = ticker.first;
    ticker.first = task->next;
    pthread_mutex_unlock(&ticker.lock);
    task->run(task->data);
    free(task);
    pthread_mutex_lock(&ticker.lock);
}

static void *tick(void *unused)
{
    pthread_mutex_lock(&ticker.lock);
    while (ticker.first || !ticker.stopping) {
        if (ticker.first && is_due(ticker.first))
            run_first();
        else
            wait_for_change();
    }
    pthread_mutex_unlock(&ticker.lock);
    return unused;
}

void lab_clock_start(void)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&ticker.changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    /* Signals are the server's, and would be the end of us if this thread took them. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&ticker.thread, NULL, tick, NULL) != 0)
        abort();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void lab_clock_after(int ms, void (*run)(void *data), void *data)
{
    struct task *task = lab_alloc(sizeof(*task));
    *task = (struct task){.due = in_ms(ms), .run = run, .data = data};
    pthread_mutex_lock(&ticker.lock);
    struct task **place = &ticker.first;
    while (*place && !is_before(task->due, (*place)->due))
        place = &(*place)->next;
    task->next = *place;
    *place = task;
    pthread_cond_signal(&ticker.changed);
    pthread_mutex_unlock(&ticker.lock);
}

void lab_clock_stop(void)
{
    pthread_mutex_lock(&ticker.lock);
    ticker.stopping = true;
    pthread_cond_signal(&ticker.changed);
    pthread_mutex_unlock(&ticker.lock);
    pthread_join(ticker.thread, NULL);
    pthread_cond_destroy(&ticker.changed);
}
