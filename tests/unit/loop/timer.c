/* What is to happen at a time: lib/loop/timer.c, against an array that is looked through. */
#include <criterion/criterion.h>

#include <stdint.h>
#include <stdlib.h>

#include "loop/timer.h"

#define COUNT 300
#define ROUNDS 60000
#define DEEP 300000

static void never(struct mh__timer *timer)
{
    cr_assert_fail("%p: nothing here calls back", (void *)timer);
}

/* Numbers that are the same in every run. */
static uint64_t state = 88172645463325252u;

static uint64_t draw(uint64_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % below;
}

/* ---- what must hold ---- */

static struct mh__timer all[COUNT];

static int64_t earliest(void)
{
    int64_t at = INT64_MAX;
    for (size_t i = 0; i < COUNT; i++) {
        if (all[i].set && all[i].at < at)
            at = all[i].at;
    }
    return at;
}

static void same_order(const struct mh__timer *first)
{
    int64_t at = earliest();
    cr_assert_eq(at == INT64_MAX, first == NULL);
    cr_assert(!first || first->at == at);
}

static void take_some(struct mh__timers *timers, int64_t now)
{
    struct mh__timer *timer;
    int64_t before = INT64_MIN;
    while ((timer = mh__timers_take(timers, now))) {
        cr_assert(!timer->set && timer->at <= now && timer->at >= before);
        cr_assert(!timer->child && !timer->next && !timer->prev);
        before = timer->at;
    }
    cr_assert_gt(earliest(), now);
}

static void drain(struct mh__timers *timers)
{
    struct mh__timer *timer;
    int64_t before = INT64_MIN;
    size_t left = 0, taken = 0;
    for (size_t i = 0; i < COUNT; i++)
        left += all[i].set;
    for (; (timer = mh__timers_take(timers, INT64_MAX)); taken++) {
        cr_assert_geq(timer->at, before);
        before = timer->at;
    }
    cr_assert_eq(taken, left);
    cr_assert_null(timers->first);
}

/* ---- */

Test(timer, none)
{
    struct mh__timers timers = {0};
    struct mh__timer timer = {.expired = never};
    cr_assert_null(mh__timers_take(&timers, INT64_MAX));
    mh__timers_stop(&timers, &timer);
    cr_assert_null(timers.first);
}

Test(timer, it_is_due_at_its_time_and_not_before)
{
    struct mh__timers timers = {0};
    struct mh__timer timer = {.expired = never};
    mh__timers_set(&timers, &timer, 10);
    cr_assert(timer.set);
    cr_assert_null(mh__timers_take(&timers, 9));
    cr_assert_eq(mh__timers_take(&timers, 10), &timer);
    cr_assert(!timer.set);
    cr_assert_null(mh__timers_take(&timers, 10));
}

Test(timer, moved_to_an_earlier_and_to_a_later_time)
{
    struct mh__timers timers = {0};
    struct mh__timer a = {.expired = never}, b = {.expired = never};
    mh__timers_set(&timers, &a, 10);
    mh__timers_set(&timers, &b, 20);
    mh__timers_set(&timers, &b, 5);
    cr_assert_eq(timers.first, &b);
    mh__timers_set(&timers, &b, 15);
    cr_assert_eq(timers.first, &a);
    mh__timers_set(&timers, &a, INT64_MAX);
    mh__timers_set(&timers, &a, INT64_MIN);
    cr_assert_eq(mh__timers_take(&timers, 100), &a);
    cr_assert_eq(mh__timers_take(&timers, 100), &b);
    cr_assert_null(timers.first);
}

Test(timer, stopped_in_each_place)
{
    for (size_t stopped = 0; stopped < 8; stopped++) {
        struct mh__timers timers = {0};
        struct mh__timer timer[8] = {{0}};
        for (size_t i = 0; i < 8; i++)
            mh__timers_set(&timers, &timer[i], (int64_t)(i * 5 % 8));
        cr_assert_eq(mh__timers_take(&timers, 0), &timer[0],
                     "and the heap has more than one level");
        mh__timers_stop(&timers, &timer[stopped]);
        mh__timers_stop(&timers, &timer[stopped]);
        for (int64_t at = 1; at < 8; at++) {
            size_t i = (size_t)(at * 5 % 8); /* 5 is its own inverse */
            if (i != stopped)
                cr_assert_eq(mh__timers_take(&timers, 8), &timer[i]);
        }
        cr_assert_null(timers.first);
    }
}

Test(timer, whatever_is_done_the_earliest_is_first, .timeout = 60)
{
    struct mh__timers timers = {0};
    for (int round = 0; round < ROUNDS; round++) {
        struct mh__timer *timer = &all[draw(COUNT)];
        int64_t at = (int64_t)draw(1000) - 500; /* the same one now and then */
        switch (draw(8)) {
        case 0:
            take_some(&timers, earliest() == INT64_MAX ? 0 : earliest() + at % 20);
            break;
        case 1:
        case 2:
            mh__timers_stop(&timers, timer);
            cr_assert(!timer->set);
            break;
        default:
            mh__timers_set(&timers, timer, at);
            cr_assert(timer->set && timer->at == at);
        }
        same_order(timers.first);
    }
    drain(&timers);
}

/* ---- the shapes that a recursion, or a list, would not bear ---- */

static struct mh__timer *many(void)
{
    struct mh__timer *timers = calloc(DEEP, sizeof(*timers));
    cr_assert_not_null(timers);
    return timers;
}

static void take_in_order(struct mh__timers *timers)
{
    struct mh__timer *timer;
    int64_t before = INT64_MIN;
    size_t count = 0;
    for (; (timer = mh__timers_take(timers, INT64_MAX)); count++) {
        cr_assert(timer->at >= before);
        before = timer->at;
    }
    cr_assert_eq(count, DEEP);
}

Test(timer, each_earlier_than_the_one_before_is_one_long_chain, .timeout = 60)
{
    struct mh__timers timers = {0};
    struct mh__timer *timer = many();
    for (int64_t i = 0; i < DEEP; i++)
        mh__timers_set(&timers, &timer[i], -i);
    take_in_order(&timers);
    free(timer);
}

Test(timer, each_later_than_the_one_before_is_one_long_list, .timeout = 60)
{
    struct mh__timers timers = {0};
    struct mh__timer *timer = many();
    for (int64_t i = 0; i < DEEP; i++)
        mh__timers_set(&timers, &timer[i], i);
    take_in_order(&timers);
    free(timer);
}

Test(timer, a_chain_is_stopped_from_its_middle, .timeout = 60)
{
    struct mh__timers timers = {0};
    struct mh__timer *timer = many();
    for (int64_t i = 0; i < DEEP; i++)
        mh__timers_set(&timers, &timer[i], -i);
    for (size_t i = 0; i < DEEP; i++)
        mh__timers_stop(&timers, &timer[(i + DEEP / 2) % DEEP]);
    cr_assert_null(timers.first);
    free(timer);
}
