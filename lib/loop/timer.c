/* timer.c: a pairing heap. Knows no clock.
 *
 * The first timer is the root. Each one is due no later than its children, which hang on `child` as
 * a list. Nothing here recurses: how deep the heap is depends on what was set, by whomever. */
#include "loop/timer.h"

#include <stddef.h>

/* Two heaps, or none where one is NULL, become one. */
static struct mh__timer *meld(struct mh__timer *a, struct mh__timer *b)
{
    if (!a || !b)
        return a ? a : b;
    struct mh__timer *first = b->at < a->at ? b : a;
    struct mh__timer *other = first == a ? b : a;
    other->prev = first;
    other->next = first->child;
    if (other->next)
        other->next->prev = other;
    first->child = other;
    return first;
}

/* The head of a list of heaps, as a heap of its own. */
static struct mh__timer *cut(struct mh__timer **list)
{
    struct mh__timer *timer = *list;
    if (!timer)
        return NULL;
    *list = timer->next;
    timer->next = timer->prev = NULL;
    return timer;
}

/* Neighbours first, then all pairs into one, from the back: that order is what makes taking out the
 * first one logarithmic in the long run. */
static struct mh__timer *meld_all(struct mh__timer *list)
{
    struct mh__timer *pairs = NULL, *all = NULL;
    while (list) {
        struct mh__timer *left = cut(&list);
        struct mh__timer *pair = meld(left, cut(&list));
        pair->next = pairs;
        pairs = pair;
    }
    while (pairs)
        all = meld(cut(&pairs), all);
    return all;
}

/* Take a timer that is not the first out of where it hangs; its children stay with it. */
static void unhook(struct mh__timer *timer)
{
    if (timer->next)
        timer->next->prev = timer->prev;
    if (timer->prev->child == timer)
        timer->prev->child = timer->next;
    else
        timer->prev->next = timer->next;
}

void mh__timers_stop(struct mh__timers *timers, struct mh__timer *timer)
{
    if (!timer->set)
        return;
    struct mh__timer *children = meld_all(timer->child);
    if (timers->first == timer) {
        timers->first = children;
    } else {
        unhook(timer);
        timers->first = meld(timers->first, children);
    }
    timer->child = timer->next = timer->prev = NULL;
    timer->set = false;
}

void mh__timers_set(struct mh__timers *timers, struct mh__timer *timer, int64_t at)
{
    mh__timers_stop(timers, timer);
    timer->at = at;
    timer->set = true;
    timers->first = meld(timers->first, timer);
}

struct mh__timer *mh__timers_take(struct mh__timers *timers, int64_t now)
{
    struct mh__timer *first = timers->first;
    if (!first || first->at > now)
        return NULL;
    mh__timers_stop(timers, first);
    return first;
}
