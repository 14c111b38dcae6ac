/* One request, one recv(), with an account: lib/client/once.c. */
#include "peer.h"

#include <errno.h>

#include <minihttp/client.h>

TestSuite(once, .timeout = 60);

static mh_response res;
static char buf[1000];

static void expect_failure(ssize_t result, int err, mh_phase phase, const char *detail)
{
    cr_assert_eq(result, err);
    cr_assert_eq(res.error, err);
    cr_assert_eq(res.phase, phase);
    cr_assert_eq(!res.detail, !detail);
    if (detail)
        cr_assert_str_eq(res.detail, detail);
}

Test(once, the_bytes_as_they_came)
{
    mh_str script = MH_STR("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe");
    struct peer *peer = peer_new(script, PEER_WAITS);
    mh_fetch fetch = {.url = peer->url, .user = buf};
    cr_assert_eq(mh_client_fetch_once(NULL, &fetch, buf, sizeof(buf), &res), (ssize_t)script.len);
    cr_assert_eq(memcmp(buf, script.ptr, script.len), 0);
    cr_assert_eq(res.status, 0);
    cr_assert_eq(res.head.len, 0);
    cr_assert_eq(res.error, 0);
    cr_assert_eq(res.phase, MH_PHASE_DONE);
    cr_assert_eq(res.received, script.len);
    cr_assert_eq(res.user, buf);
    cr_assert(mh_str_equal(res.url, peer->url));
    mh_response_free(&res);
    peer_stop(peer);
}

Test(once, the_request_is_the_callers_alone)
{
    const char *const headers[] = {"Accept: text/html", NULL};
    struct peer *peer = peer_new(MH_STR("x"), PEER_WAITS);
    mh_fetch fetch = {.url = peer->url, .headers = headers};
    cr_assert_eq(mh_client_fetch_once(NULL, &fetch, buf, sizeof(buf), &res), 1);
    peer_join(peer);
    const char *end = strstr(peer->request, "\r\nAccept: text/html\r\n\r\n");
    cr_assert(end && strlen(end) == 23, "%s", peer->request);
    cr_assert_null(strstr(peer->request, "User-Agent"));
    mh_response_free(&res);
    free(peer);
}

Test(once, a_body_and_another_method)
{
    struct peer *peer = calloc(1, sizeof(*peer));
    *peer = (struct peer){.script = MH_STR("x"), .end = PEER_WAITS, .wanted_body = 4};
    peer_start(peer);
    mh_fetch fetch = {.url = peer->url, .method = "PUT", .body = MH_STR("data")};
    cr_assert_eq(mh_client_fetch_once(NULL, &fetch, buf, sizeof(buf), &res), 1);
    cr_assert(res.retryable, "PUT is idempotent");
    peer_join(peer);
    cr_assert_eq(strncmp(peer->request, "PUT / HTTP/1.1\r\n", 16), 0);
    cr_assert(strstr(peer->request, "\r\nContent-Length: 4\r\n\r\ndata"));
    mh_response_free(&res);
    free(peer);
}

Test(once, nothing_came)
{
    struct peer *peer = peer_new(MH_STR(""), PEER_CLOSES);
    mh_fetch fetch = {.url = peer->url};
    expect_failure(mh_client_fetch_once(NULL, &fetch, buf, sizeof(buf), &res), MH_ERR_CLOSED,
                   MH_PHASE_HEAD, "closed before a byte of the response came");
    mh_response_free(&res);
    peer_stop(peer);
}

Test(once, silence)
{
    struct peer *peer = peer_new(MH_STR(""), PEER_WAITS);
    mh_fetch fetch = {.url = peer->url, .idle_timeout_ms = 30};
    expect_failure(mh_client_fetch_once(NULL, &fetch, buf, sizeof(buf), &res), -ETIMEDOUT,
                   MH_PHASE_HEAD, "no byte for 30 ms");
    mh_response_free(&res);
    peer_stop(peer);
}

Test(once, refused)
{
    char url[64];
    int held = peer_deaf(url, sizeof(url));
    mh_fetch fetch = {.url = url};
    expect_failure(mh_client_fetch_once(NULL, &fetch, buf, sizeof(buf), &res), -ECONNREFUSED,
                   MH_PHASE_CONNECT, NULL);
    mh_response_free(&res);
    mh__close(held);
}

Test(once, options_that_are_no_good)
{
    mh_fetch fetch = {.url = "http://h/"}, none = {.url = NULL};
    expect_failure(mh_client_fetch_once(NULL, &fetch, buf, 0, &res), -EINVAL, MH_PHASE_START,
                   "no room for what comes");
    expect_failure(mh_client_fetch_once(NULL, &fetch, NULL, 9, &res), -EINVAL, MH_PHASE_START,
                   "no room for what comes");
    expect_failure(mh_client_fetch_once(NULL, &none, buf, 9, &res), -EINVAL, MH_PHASE_START,
                   "there is no URL");
    cr_assert_eq(mh_client_fetch_once(NULL, NULL, buf, 9, &res), -EINVAL);
    cr_assert_eq(mh_client_fetch_once(NULL, &fetch, buf, 9, NULL), -EINVAL);
    mh_response_free(&res);
}

/* Who shows the URL shows no password. */
Test(once, user_and_password_are_not_told)
{
    char url[120], without[80];
    int held = peer_deaf(without, sizeof(without));
    snprintf(url, sizeof(url), "http://user:pass@%s", without + 7);
    mh_fetch fetch = {.url = url};
    expect_failure(mh_client_fetch_once(NULL, &fetch, buf, sizeof(buf), &res), -ECONNREFUSED,
                   MH_PHASE_CONNECT, NULL);
    cr_assert(mh_str_equal(res.url, without), MH_FMT, MH_ARG(res.url));
    mh_response_free(&res);
    mh__close(held);
}
