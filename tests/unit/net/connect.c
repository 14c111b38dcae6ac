/* From addresses to a connection: lib/net/connect.c. */
#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/net.h"

#include "../descriptors.h"

TestSuite(connect, .timeout = 30);

static int64_t soon(void)
{
    return mh__deadline_in(10000);
}

static struct mh__address address_of(int fd)
{
    struct mh__address at = {.len = sizeof(at.addr)};
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&at.addr, &at.len), 0);
    return at;
}

/* A port that is taken, and where nobody listens: no other process can turn up there. */
static int deaf(struct mh__address *at)
{
    struct mh__address any;
    cr_assert(mh__literal_address(&any, MH_STR("127.0.0.1"), 0));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&any.addr, any.len), 0);
    *at = address_of(fd);
    return fd;
}

/* A listener whose queue is full does not answer: connections to it stay where they are. */
struct silent {
    int listener, filler[8];
    struct mh__address at;
};

static void silent_open(struct silent *silent)
{
    silent->listener = deaf(&silent->at);
    cr_assert_eq(listen(silent->listener, 0), 0);
    for (int i = 0; i < 8; i++) {
        silent->filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)!connect(silent->filler[i], (struct sockaddr *)&silent->at.addr, silent->at.len);
    }
}

/* Does this kernel keep a connection waiting when the queue is full? */
static bool is_silent(struct silent *silent)
{
    struct pollfd last = {.fd = silent->filler[7], .events = POLLOUT};
    return poll(&last, 1, 200) == 0;
}

static void silent_close(struct silent *silent)
{
    for (int i = 0; i < 8; i++)
        close(silent->filler[i]);
    close(silent->listener);
}

Test(connect, a_connection_that_does_not_block_is_not_inherited_and_is_not_delayed)
{
    int before = open_descriptors(), value = 0;
    socklen_t len = sizeof(value);
    int listener = mh__listen("127.0.0.1:0");
    struct mh__addresses to = {.count = 1, .at = {address_of(listener)}};
    int fd = mh__connect(&to, soon());
    cr_assert_geq(fd, 0);
    cr_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
    cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    cr_assert_eq(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &len), 0);
    cr_assert_neq(value, 0);
    mh__close(fd);
    mh__close(listener);
    cr_assert_eq(open_descriptors(), before);
}

Test(connect, refused)
{
    struct mh__addresses to = {.count = 1};
    int held = deaf(&to.at[0]), before = open_descriptors();
    cr_assert_eq(mh__connect(&to, soon()), -ECONNREFUSED);
    cr_assert_eq(mh__connect(&to, MH__NEVER), -ECONNREFUSED);
    cr_assert_eq(open_descriptors(), before);
    close(held);
}

Test(connect, the_second_address_when_the_first_refuses)
{
    int listener = mh__listen("127.0.0.1:0");
    struct mh__addresses to = {.count = 2, .at = {{.len = 0}, address_of(listener)}};
    int held = deaf(&to.at[0]);
    int fd = mh__connect(&to, soon());
    cr_assert_geq(fd, 0);
    mh__close(fd);
    close(held);
    mh__close(listener);
}

Test(connect, no_address)
{
    struct mh__addresses to = {.count = 0};
    cr_assert_eq(mh__connect(&to, soon()), -EADDRNOTAVAIL);
}

Test(connect, what_the_peer_said_tells_more_than_what_this_machine_lacks)
{
    struct mh__addresses to = {.count = 2, .at = {[1] = {.len = sizeof(struct sockaddr)}}};
    int held = deaf(&to.at[0]);
    to.at[1].addr.ss_family = AF_MAX; /* EAFNOSUPPORT */
    cr_assert_eq(mh__connect(&to, soon()), -ECONNREFUSED);
    to.at[0] = to.at[1];
    to.count = 1;
    cr_assert_eq(mh__connect(&to, soon()), -EAFNOSUPPORT);
    close(held);
}

Test(connect, silence_ends_at_the_deadline)
{
    struct silent silent;
    silent_open(&silent);
    if (!is_silent(&silent))
        cr_skip("a full queue answers on this kernel");
    struct mh__addresses to = {.count = 1, .at = {silent.at}};
    int before = open_descriptors();
    int64_t begin = mh__clock_ms();
    cr_assert_eq(mh__connect(&to, mh__deadline_in(50)), -ETIMEDOUT);
    cr_assert_geq(mh__clock_ms() - begin, 50);
    cr_assert_eq(open_descriptors(), before);
    silent_close(&silent);
}

Test(connect, a_silent_address_leaves_time_for_the_next)
{
    struct silent silent;
    silent_open(&silent);
    if (!is_silent(&silent))
        cr_skip("a full queue answers on this kernel");
    int listener = mh__listen("127.0.0.1:0");
    struct mh__addresses to = {.count = 2, .at = {silent.at, address_of(listener)}};
    int fd = mh__connect(&to, mh__deadline_in(400));
    cr_assert_geq(fd, 0);
    mh__close(fd);
    mh__close(listener);
    silent_close(&silent);
}

Test(connect, no_descriptor_left)
{
    int listener = mh__listen("127.0.0.1:0");
    struct mh__addresses to = {.count = 1, .at = {address_of(listener)}};
    struct rlimit limit;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = 0;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    int err = mh__connect(&to, soon());
    limit.rlim_cur = before;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    cr_assert_eq(err, -EMFILE);
    mh__close(listener);
}
