/* clock.c: the one file that asks the time. */
#include "base/clock.h"

#include <limits.h>
#include <time.h>

int64_t mh__clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail on Linux with this clock */
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t mh__clock_ms(void)
{
    return mh__clock_us() / 1000;
}

int64_t mh__clock_unix_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec;
}

int64_t mh__deadline_in(int64_t timeout_ms)
{
    int64_t now = mh__clock_ms();
    if (timeout_ms < 0 || timeout_ms > MH__NEVER - now)
        return MH__NEVER;
    return now + timeout_ms;
}

int mh__deadline_left(int64_t deadline)
{
    if (deadline == MH__NEVER)
        return -1;
    int64_t now = mh__clock_ms();
    if (deadline <= now)
        return 0;
    int64_t left = deadline - now;
    return left < INT_MAX ? (int)left : INT_MAX;
}
