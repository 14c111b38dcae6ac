/* Deadlines: how long is left, at the edges too. */
#include <limits.h>
#include <time.h>

#include <criterion/criterion.h>

#include "base/clock.h"

#define HOUR_MS INT64_C(3600000)

Test(clock, never_goes_back)
{
    int64_t last = mh__clock_ms();
    for (int i = 0; i < 10000; i++) {
        int64_t now = mh__clock_ms();
        cr_assert(now >= last, "%lld after %lld", (long long)now, (long long)last);
        last = now;
    }
}

Test(clock, counts_milliseconds_of_the_monotonic_clock)
{
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    int64_t now = mh__clock_ms();
    clock_gettime(CLOCK_MONOTONIC, &after);
    cr_expect(now >= (int64_t)before.tv_sec * 1000 + before.tv_nsec / 1000000);
    cr_expect(now <= (int64_t)after.tv_sec * 1000 + after.tv_nsec / 1000000);
}

Test(clock, counts_microseconds_of_the_same_clock)
{
    int64_t before = mh__clock_ms(), now = mh__clock_us(), after = mh__clock_ms();
    cr_expect(now / 1000 >= before && now / 1000 <= after);
}

Test(clock, tells_the_time)
{
    time_t before = time(NULL) - 1; /* its clock may be a tick behind */
    int64_t now = mh__clock_unix_s();
    cr_expect(now >= before && now <= time(NULL) + 1, "%lld", (long long)now);
}

Test(deadline, in_a_while)
{
    int64_t before = mh__clock_ms();
    int64_t deadline = mh__deadline_in(HOUR_MS);
    int64_t after = mh__clock_ms();
    cr_expect(deadline >= before + HOUR_MS && deadline <= after + HOUR_MS);
    int left = mh__deadline_left(deadline);
    cr_expect(left <= HOUR_MS && left > HOUR_MS - 60000, "%d ms are left", left);
}

Test(deadline, never)
{
    cr_expect(mh__deadline_in(-1) == MH__NEVER);
    cr_expect(mh__deadline_in(INT64_MIN) == MH__NEVER);
    cr_expect(mh__deadline_left(MH__NEVER) == -1);
}

Test(deadline, has_passed)
{
    cr_expect(mh__deadline_left(mh__deadline_in(0)) == 0);
    cr_expect(mh__deadline_left(mh__clock_ms() - 1) == 0);
    cr_expect(mh__deadline_left(0) == 0);
    cr_expect(mh__deadline_left(INT64_MIN) == 0);
}

/* poll() takes an int. */
Test(deadline, further_than_poll_can_wait)
{
    cr_expect(mh__deadline_left(mh__deadline_in((int64_t)INT_MAX + HOUR_MS)) == INT_MAX);
    cr_expect(mh__deadline_left(MH__NEVER - 1) == INT_MAX);
}

Test(deadline, beyond_the_end_of_time_is_never)
{
    cr_expect(mh__deadline_in(INT64_MAX) == MH__NEVER);
    cr_expect(mh__deadline_in(INT64_MAX - 1) == MH__NEVER);
}

Test(deadline, min)
{
    cr_expect(mh__deadline_min(1, 2) == 1);
    cr_expect(mh__deadline_min(2, 1) == 1);
    cr_expect(mh__deadline_min(MH__NEVER, 5) == 5);
    cr_expect(mh__deadline_min(MH__NEVER, MH__NEVER) == MH__NEVER);
}
