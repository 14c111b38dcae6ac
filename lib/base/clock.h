/* clock.h: what time it is, and how long until a deadline. */
#ifndef MH_BASE_CLOCK_H
#define MH_BASE_CLOCK_H

#include <stdint.h>

/* A deadline is a point on the monotonic clock, in milliseconds. */
#define MH__NEVER INT64_MAX

int64_t mh__clock_ms(void);     /* monotonic: never set, never goes back */
int64_t mh__clock_us(void);     /* the same clock, finer */
int64_t mh__clock_unix_s(void); /* wall clock: seconds since 1970 */

/* A deadline in timeout_ms from now; negative: never. */
int64_t mh__deadline_in(int64_t timeout_ms);

/* Milliseconds until a deadline, for poll(): 0 when it has passed, -1 for never. */
int mh__deadline_left(int64_t deadline);

static inline int64_t mh__deadline_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

#endif
