/* The waiting, and which limit ended it: lib/client/wire.c. getaddrinfo() is this file's own. */
#include "peer.h"

#include <errno.h>
#include <netdb.h>
#include <semaphore.h>
#include <unistd.h>

#include "client/client.h"

static sem_t released, returned;

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **result)
{
    (void)service;
    (void)hints;
    (void)result;
    if (strcmp(node, "hang.invalid") == 0) {
        while (sem_wait(&released) != 0)
            ;
    }
    sem_post(&returned);
    return EAI_NONAME;
}

static void setup(void)
{
    sem_init(&released, 0, 0);
    sem_init(&returned, 0, 0);
}

TestSuite(wire, .init = setup, .timeout = 60);

static mh_response res;

static void expect(int err, mh_phase phase, const char *detail)
{
    cr_assert_eq(res.error, err, "%s", mh_errname(res.error));
    cr_assert_eq(res.phase, phase, "%s", mh_phase_name(res.phase));
    cr_assert_str_eq(res.detail, detail);
    cr_assert(res.retryable);
    mh_response_free(&res);
}

Test(wire, no_such_host)
{
    mh_fetch fetch = {.url = "http://no.invalid/", .method = "POST"};
    cr_assert_eq(mh_client_fetch(NULL, &fetch, &res), MH_ERR_RESOLVE);
    expect(MH_ERR_RESOLVE, MH_PHASE_RESOLVE, gai_strerror(EAI_NONAME));
}

static void let_it_return(void)
{
    sem_post(&released);
    while (sem_wait(&returned) != 0)
        ;
}

Test(wire, a_lookup_that_hangs)
{
    mh_fetch fetch = {.url = "http://hang.invalid/", .connect_timeout_ms = 30};
    cr_assert_eq(mh_client_fetch(NULL, &fetch, &res), -ETIMEDOUT);
    expect(-ETIMEDOUT, MH_PHASE_RESOLVE, "no connection within 30 ms");
    let_it_return();
}

Test(wire, a_lookup_that_hangs_and_the_time_in_all_is_shorter)
{
    mh_fetch fetch = {.url = "http://hang.invalid/", .timeout_ms = 30, .connect_timeout_ms = -1};
    cr_assert_eq(mh_client_fetch(NULL, &fetch, &res), -ETIMEDOUT);
    expect(-ETIMEDOUT, MH_PHASE_RESOLVE, "not complete within 30 ms");
    let_it_return();
}

Test(wire, zero_is_the_standard_limit)
{
    struct mh__wire wire;
    mh_fetch fetch = {0};
    int64_t now = mh__clock_ms();
    cr_assert_eq(mh__wire_init(&wire, &fetch), 0);
    cr_assert_eq(wire.timeout_ms, MH_FETCH_TIMEOUT_MS);
    cr_assert_eq(wire.connect_ms, MH_FETCH_CONNECT_TIMEOUT_MS);
    cr_assert_eq(wire.idle_ms, MH_FETCH_IDLE_TIMEOUT_MS);
    cr_assert_geq(wire.deadline, now + MH_FETCH_TIMEOUT_MS);
    cr_assert_geq(wire.connect_deadline, now + MH_FETCH_CONNECT_TIMEOUT_MS);
}

Test(wire, minus_one_is_no_limit)
{
    struct mh__wire wire;
    mh_fetch fetch = {.timeout_ms = -1, .connect_timeout_ms = -1, .idle_timeout_ms = -1};
    cr_assert_eq(mh__wire_init(&wire, &fetch), 0);
    cr_assert_eq(wire.deadline, MH__NEVER);
    cr_assert_eq(wire.connect_deadline, MH__NEVER);
}

static void ready(struct mh__wire *wire, struct mh__request *request, int fd[2], mh_str body)
{
    static const struct mh__request_how plain = {0};
    const char *why = NULL;
    mh_fetch fetch = {.url = "http://h/", .body = body, .idle_timeout_ms = 10000};
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
    cr_assert_eq(mh__request_build(request, &fetch, MH_STR("http://h/"), &plain, &why), 0);
    cr_assert_eq(mh__wire_init(wire, &fetch), 0);
    wire->fd = fd[0];
}

/* When the peer closed while we were sending, its answer still counts; without one, the error is
 * that of sending. */
static void after_a_broken_send(bool answer, ssize_t result, mh_phase phase)
{
    int fd[2];
    char buf[16];
    static struct mh__request request;
    struct mh__wire wire;
    ready(&wire, &request, fd, (mh_str){0});
    if (answer)
        cr_assert_eq(write(fd[1], "answer", 6), 6);
    mh__close(fd[1]);
    cr_assert_eq(mh__wire_send(&wire, &request), 0);
    cr_assert_eq(mh__wire_recv(&wire, buf, sizeof(buf)), result);
    cr_assert_eq(wire.phase, phase);
    mh__wire_close(&wire);
    cr_assert_eq(wire.fd, -1);
    mh__wire_close(&wire);
}

Test(wire, a_broken_send)
{
    after_a_broken_send(true, 6, MH_PHASE_HEAD);
    after_a_broken_send(false, -EPIPE, MH_PHASE_SEND);
}

static char body[4 << 20];

/* The peer says that nothing will come, before all of the request has gone. */
Test(wire, an_end_in_the_middle_of_a_request)
{
    int fd[2];
    char buf[16];
    static struct mh__request request;
    struct mh__wire wire;
    ready(&wire, &request, fd, (mh_str){body, sizeof(body)});
    shutdown(fd[1], SHUT_WR);
    cr_assert_eq(mh__wire_send(&wire, &request), 0);
    cr_assert_eq(mh__wire_recv(&wire, buf, sizeof(buf)), MH_ERR_CLOSED);
    cr_assert_eq(wire.phase, MH_PHASE_SEND);
    mh__wire_close(&wire);
    mh__close(fd[1]);
}

/* What was left of the request goes while we wait for more of the answer. */
Test(wire, an_answer_in_the_middle_of_a_request)
{
    int fd[2];
    char buf[16];
    static struct mh__request request;
    struct mh__wire wire;
    ready(&wire, &request, fd, (mh_str){body, sizeof(body)});
    cr_assert_eq(write(fd[1], "answer", 6), 6);
    cr_assert_eq(mh__wire_send(&wire, &request), 0);
    cr_assert_gt(wire.unsent[1].iov_len, 0);
    cr_assert_eq(mh__wire_recv(&wire, buf, 3), 3);
    cr_assert_eq(mh__wire_recv(&wire, buf, 3), 3);
    cr_assert_eq(wire.phase, MH_PHASE_HEAD);
    size_t came = 0, before = wire.unsent[1].iov_len;
    for (ssize_t len; (len = recv(fd[1], body, sizeof(body), 0)) > 0;)
        came += (size_t)len;
    cr_assert_eq(came, request.head.len + sizeof(body) - before);
    cr_assert_eq(write(fd[1], "x", 1), 1);
    cr_assert_eq(mh__wire_recv(&wire, buf, sizeof(buf)), 1);
    cr_assert_lt(wire.unsent[1].iov_len, before);
    mh__wire_close(&wire);
    mh__close(fd[1]);
}
