/* timer.h: what is to happen at a time. A pairing heap whose links are in the timers themselves: it
 * allocates nothing, setting one costs a comparison, and one that does not fire costs no more.
 *
 * A timer that is all zero but for `expired` is not set. */
#ifndef MH_LOOP_TIMER_H
#define MH_LOOP_TIMER_H

#include <stdbool.h>
#include <stdint.h>

struct mh__timer {
    void (*expired)(struct mh__timer *timer);
    int64_t at; /* milliseconds on the loop's clock */
    struct mh__timer *child, *next;
    struct mh__timer *prev; /* the one before it, or its parent where it is the first child */
    bool set;
};

struct mh__timers { /* {0}: none */
    struct mh__timer *first;
};

void mh__timers_set(struct mh__timers *timers, struct mh__timer *timer, int64_t at);
void mh__timers_stop(struct mh__timers *timers, struct mh__timer *timer);

/* Take out one that is due at `now`, the earliest first; NULL: none is. */
struct mh__timer *mh__timers_take(struct mh__timers *timers, int64_t now);

#endif
