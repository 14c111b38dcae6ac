/* clock.c: takes the place of lib/base/clock.c. Nothing that runs in the simulator may look at a
 * real clock: the time there is the loop's; and the date is one that begins with the run. */
#include "base/clock.h"

#include "sim.h"

int64_t mh__clock_ms(void)
{
    sim_fail("the real clock was asked");
}

#define BEGIN_S 784111777 /* Sun, 06 Nov 1994 08:49:37 GMT */

int64_t mh__clock_unix_s(void)
{
    return BEGIN_S + sim.now_us / 1000000;
}

int64_t mh__deadline_in(int64_t timeout_ms)
{
    return timeout_ms < 0 ? MH__NEVER : mh__clock_ms() + timeout_ms;
}

int mh__deadline_left(int64_t deadline)
{
    return deadline == MH__NEVER ? -1 : (int)(deadline - mh__clock_ms());
}
