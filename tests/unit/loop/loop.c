/* A turn, whatever the backend: lib/loop/loop.c. The backend is this file's own: its clock moves
 * when it waits, and what a wait brings is up to the test. */
#include <criterion/criterion.h>

#include <errno.h>
#include <limits.h>

#include "base/clock.h"
#include "loop/loop.h"

static int64_t now = 1000;
static int waits, last_timeout, wait_result;
static void (*during)(mh_loop *loop); /* what a wait brings */
static mh_loop loop;

int mh__backend_wait(mh_loop *base, int timeout_ms)
{
    waits++;
    last_timeout = timeout_ms;
    cr_assert(timeout_ms >= 0 || during, "it would wait for ever");
    if (timeout_ms > 0)
        now += timeout_ms;
    base->now = now;
    if (during)
        during(base);
    return wait_result;
}

int64_t mh__backend_clock_ms(const mh_loop *base)
{
    (void)base;
    return now;
}

static void setup(void)
{
    mh__loop_init(&loop);
}

TestSuite(loop, .init = setup, .timeout = 30);

/* ---- what happened, in order ---- */

static char story[64];

static void tell(char what)
{
    size_t len = strlen(story);
    cr_assert_lt(len + 1, sizeof(story));
    story[len] = what;
}

struct named_task {
    struct mh__task task;
    char name;
    struct mh__task *other;
};

static void run_task(struct mh__task *task)
{
    tell(((struct named_task *)task)->name);
}

static void run_and_defer(struct mh__task *task)
{
    run_task(task);
    mh__loop_defer(&loop, ((struct named_task *)task)->other);
}

static void run_and_forget(struct mh__task *task)
{
    run_task(task);
    mh__loop_forget(((struct named_task *)task)->other);
}

static void a_turn(void)
{
    cr_assert_eq(mh__loop_turn(&loop, 0), 0);
}

/* ---- tasks ---- */

Test(loop, tasks_run_once_and_in_the_order_in_which_they_were_put_off)
{
    struct named_task a = {{.run = run_task}, 'a', NULL}, b = {{.run = run_task}, 'b', NULL};
    mh__loop_defer(&loop, &b.task);
    mh__loop_defer(&loop, &a.task);
    mh__loop_defer(&loop, &b.task);
    cr_assert_eq(mh_loop_timeout_ms(&loop), 0);
    cr_assert_eq(mh__loop_turn(&loop, -1), 0);
    cr_assert_eq(last_timeout, 0, "and are not made to wait");
    cr_assert_str_eq(story, "ba");
    a_turn();
    cr_assert_str_eq(story, "ba");
    cr_assert_eq(mh_loop_timeout_ms(&loop), -1);
}

Test(loop, what_a_task_puts_off_is_for_the_next_turn)
{
    struct named_task a = {{.run = run_and_defer}, 'a', NULL};
    struct named_task b = {{.run = run_and_defer}, 'b', &a.task};
    a.other = &a.task;
    mh__loop_defer(&loop, &b.task);
    a_turn();
    cr_assert_str_eq(story, "b");
    a_turn();
    cr_assert_str_eq(story, "ba");
    a_turn();
    cr_assert_str_eq(story, "baa");
}

Test(loop, a_task_that_is_in_line_for_this_turn_stays_there)
{
    struct named_task b = {{.run = run_task}, 'b', NULL};
    struct named_task a = {{.run = run_and_defer}, 'a', &b.task};
    mh__loop_defer(&loop, &a.task);
    mh__loop_defer(&loop, &b.task);
    a_turn();
    a_turn();
    cr_assert_str_eq(story, "ab");
}

Test(loop, a_task_may_be_forgotten_also_by_the_one_before_it)
{
    struct named_task b = {{.run = run_task}, 'b', NULL};
    struct named_task a = {{.run = run_and_forget}, 'a', &b.task};
    mh__loop_forget(&a.task);
    mh__loop_defer(&loop, &a.task);
    mh__loop_defer(&loop, &b.task);
    a_turn();
    cr_assert_str_eq(story, "a");
    mh__loop_defer(&loop, &a.task);
    mh__loop_forget(&a.task);
    mh__loop_forget(&a.task);
    a_turn();
    cr_assert_str_eq(story, "a");
}

/* ---- timers ---- */

struct named_timer {
    struct mh__timer timer;
    char name;
    struct mh__timer *other;
};

static void expire(struct mh__timer *timer)
{
    tell(((struct named_timer *)timer)->name);
}

static void expire_and_set(struct mh__timer *timer)
{
    expire(timer);
    mh__timer_set(&loop, timer, 0);
}

static void expire_and_stop(struct mh__timer *timer)
{
    expire(timer);
    mh__timer_stop(&loop, ((struct named_timer *)timer)->other);
}

Test(loop, timers_expire_in_order_and_before_tasks)
{
    struct named_timer a = {{.expired = expire}, 'a', NULL}, b = {{.expired = expire}, 'b', NULL};
    struct named_timer c = {{.expired = expire}, 'c', NULL};
    struct named_task task = {{.run = run_task}, 't', NULL};
    mh__timer_set(&loop, &c.timer, 1021);
    mh__timer_set(&loop, &b.timer, 1020);
    mh__timer_set(&loop, &a.timer, 1010);
    cr_assert_eq(mh_loop_timeout_ms(&loop), 10);
    cr_assert_eq(mh__loop_turn(&loop, -1), 0);
    cr_assert_eq(last_timeout, 10);
    cr_assert_str_eq(story, "a");
    now = 1020;
    mh__loop_defer(&loop, &task.task);
    a_turn();
    cr_assert_str_eq(story, "abt");
    mh__timer_stop(&loop, &c.timer);
    mh__timer_stop(&loop, &c.timer);
    cr_assert_eq(mh_loop_timeout_ms(&loop), -1);
}

Test(loop, a_timer_stops_another_one_that_is_due)
{
    struct named_timer b = {{.expired = expire}, 'b', NULL};
    struct named_timer a = {{.expired = expire_and_stop}, 'a', &b.timer};
    mh__timer_set(&loop, &a.timer, 1000);
    mh__timer_set(&loop, &b.timer, 1001);
    now = 1002;
    a_turn();
    cr_assert_str_eq(story, "a");
}

Test(loop, a_timer_that_sets_itself_for_now_does_not_keep_the_turn_from_its_end)
{
    struct named_timer a = {{.expired = expire_and_set}, 'a', NULL};
    mh__timer_set(&loop, &a.timer, 0);
    a_turn();
    cr_assert_str_eq(story, "a");
    cr_assert_eq(mh__loop_turn(&loop, -1), 0);
    cr_assert_eq(last_timeout, 1);
    cr_assert_str_eq(story, "aa");
}

Test(loop, a_turn_waits_for_the_shorter_of_its_limit_and_the_first_timer)
{
    struct named_timer a = {{.expired = expire}, 'a', NULL};
    mh__timer_set(&loop, &a.timer, 1500);
    cr_assert_eq(mh__loop_turn(&loop, 100), 0);
    cr_assert_eq(last_timeout, 100);
    mh__timer_set(&loop, &a.timer, MH__NEVER);
    cr_assert_eq(mh__loop_turn(&loop, 100), 0);
    cr_assert_eq(last_timeout, 100);
    cr_assert_eq(mh_loop_timeout_ms(&loop), INT_MAX);
}

static void advance_within(mh_loop *base)
{
    cr_assert_eq(mh__loop_now(base), 1000);
    now += 50;
    cr_assert_eq(mh__loop_now(base), 1000, "the time when the turn began");
}

Test(loop, the_time_stands_still_within_a_turn)
{
    during = advance_within;
    a_turn();
    cr_assert_eq(mh__loop_now(&loop), 1050);
}

/* ---- attachments ---- */

struct named_attachment {
    struct mh__attachment attachment;
    char name;
};

static void detached(struct mh__attachment *attachment)
{
    tell(((struct named_attachment *)attachment)->name);
    cr_assert_null(mh__loop_find(&loop, attachment->owner));
    cr_assert_eq(mh_loop_run(&loop, 0), -EINVAL, "it is about to go");
    cr_assert(loop.ending);
}

Test(loop, an_attachment_is_found_by_its_owner_until_it_is_detached)
{
    static const int owner, other;
    struct named_attachment a = {{.owner = &owner, .detached = detached}, 'a'};
    struct named_attachment b = {{.owner = &other, .detached = detached}, 'b'};
    cr_assert_null(mh__loop_find(&loop, &owner));
    mh__loop_attach(&loop, &a.attachment);
    mh__loop_attach(&loop, &b.attachment);
    cr_assert_eq(mh__loop_find(&loop, &owner), &a.attachment);
    cr_assert_eq(mh__loop_find(&loop, &other), &b.attachment);
    mh__loop_detach(&b.attachment);
    cr_assert_null(mh__loop_find(&loop, &other));
    mh__loop_detach_all(&loop);
    cr_assert_str_eq(story, "a", "b went on its own");
    cr_assert_eq(waits, 0);
}

/* ---- sockets that were closed ---- */

static struct mh__socket again;

static void released(struct mh__socket *socket)
{
    (void)socket;
    tell('r');
}

static void released_and_one_more(struct mh__socket *socket)
{
    (void)socket;
    tell('R');
    mh__list_append(&loop.closed, &again.link);
}

static const struct mh__socket_events events = {.released = released};
static const struct mh__socket_events chain = {.released = released_and_one_more};

Test(loop, what_was_closed_is_released_after_the_tasks_and_without_a_wait)
{
    struct mh__socket socket = {.events = &events};
    struct named_task task = {{.run = run_task}, 't', NULL};
    mh__list_append(&loop.closed, &socket.link);
    cr_assert_eq(mh_loop_timeout_ms(&loop), 0);
    cr_assert_eq(mh__loop_turn(&loop, -1), 0);
    cr_assert_str_eq(story, "r");
    mh__list_append(&loop.closed, &socket.link);
    mh__loop_defer(&loop, &task.task);
    a_turn();
    a_turn();
    cr_assert_str_eq(story, "rtr");
}

static struct mh__socket goodbye;

static void close_on_detach(struct mh__attachment *attachment)
{
    (void)attachment;
    mh__list_append(&loop.closed, &goodbye.link);
}

Test(loop, what_is_closed_when_the_loop_goes_is_released)
{
    struct mh__attachment attachment = {.detached = close_on_detach};
    goodbye = again = (struct mh__socket){.events = &events};
    goodbye.events = &chain;
    mh__loop_attach(&loop, &attachment);
    mh__loop_detach_all(&loop);
    cr_assert_str_eq(story, "Rr");
}

/* ---- mh_loop_run() ---- */

Test(loop, nothing_is_held_nothing_is_waited_for)
{
    cr_assert_eq(mh_loop_run(&loop, -1), 0);
    cr_assert_eq(last_timeout, 0);
    cr_assert_eq(mh_loop_run(&loop, 100), 0);
    cr_assert_eq(last_timeout, 0);
    cr_assert_eq(waits, 2, "but what is ready has its turn");
}

Test(loop, it_runs_until_the_time_has_come)
{
    mh__loop_hold(&loop);
    mh__loop_hold(&loop);
    struct named_timer a = {{.expired = expire}, 'a', NULL};
    mh__timer_set(&loop, &a.timer, 1040);
    cr_assert_eq(mh_loop_run(&loop, 100), 2);
    cr_assert_eq(waits, 2);
    cr_assert_eq(now, 1100);
    cr_assert_eq(mh_loop_run(&loop, 0), 2);
    cr_assert_eq(waits, 3);
}

static void let_go_later(mh_loop *base)
{
    if (waits == 3)
        mh__loop_release(base);
}

Test(loop, it_runs_until_nothing_is_held)
{
    mh__loop_hold(&loop);
    during = let_go_later;
    cr_assert_eq(mh_loop_run(&loop, -1), 0);
    cr_assert_eq(waits, 3);
    cr_assert_eq(last_timeout, -1);
}

static void hold_first(mh_loop *base)
{
    if (waits == 1)
        mh__loop_hold(base);
    let_go_later(base);
}

Test(loop, what_begins_in_the_first_turn_is_waited_for)
{
    during = hold_first;
    cr_assert_eq(mh_loop_run(&loop, -1), 0);
    cr_assert_eq(waits, 3);
}

static void wake_at_the_second(mh_loop *base)
{
    base->woken = waits == 2;
}

Test(loop, it_runs_until_it_is_woken)
{
    mh__loop_hold(&loop);
    during = wake_at_the_second;
    cr_assert_eq(mh_loop_run(&loop, -1), 1);
    cr_assert_eq(waits, 2);
}

Test(loop, a_wait_that_fails_ends_it)
{
    mh__loop_hold(&loop);
    wait_result = -EBADF;
    cr_assert_eq(mh_loop_run(&loop, 1000), -EBADF);
    cr_assert_eq(waits, 1);
}

static void run_within(mh_loop *base)
{
    cr_assert_eq(mh_loop_run(base, 0), -EINVAL);
}

Test(loop, not_from_within_a_callback)
{
    during = run_within;
    cr_assert_eq(mh_loop_run(&loop, 0), 0);
    cr_assert_eq(waits, 1);
}
