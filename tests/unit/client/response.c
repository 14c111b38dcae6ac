/* What a response owns: lib/client/response.c. */
#include "peer.h"

#include <errno.h>

#include "client/client.h"

#include "../scarce.h"

TestSuite(response, .timeout = 60);

Test(response, every_phase_has_a_name)
{
    static const char *const names[] = {
        "start", "wait for a connection", "resolve",      "connect",      "proxy",
        "TLS",   "send request",          "receive head", "receive body", "done"};
    for (int i = MH_PHASE_START; i <= MH_PHASE_DONE; i++)
        cr_assert_str_eq(mh_phase_name((mh_phase)i), names[i]);
    cr_assert_str_eq(mh_phase_name((mh_phase)99), "unknown");
}

Test(response, freeing_nothing_and_twice)
{
    mh_response res = {0};
    mh_response_free(&res);
    res.body.max = 7;
    mh_response_free(&res);
    cr_assert_eq(res.body.max, 7);
}

Test(response, zero_after_it_is_freed_but_for_the_ceiling)
{
    struct peer *peer = peer_new(MH_STR("HTTP/1.1 200 OK\r\n\r\nhello"), PEER_CLOSES);
    mh_response res = {.body = {.max = 100}};
    mh_fetch fetch = {.url = peer->url, .user = peer};
    cr_assert_eq(mh_client_fetch(NULL, &fetch, &res), 200);
    mh_response_free(&res);
    cr_assert_eq(res.status, 0);
    cr_assert_null(res.url.ptr);
    cr_assert_null(res.head.ptr);
    cr_assert_null(res.headers.at);
    cr_assert_null(res.body.data);
    cr_assert_null(res.private_);
    cr_assert_null(res.user);
    cr_assert_eq(res.body.max, 100);
    mh_response_free(&res);
    peer_stop(peer);
}

/* Each allocation in turn is the first that fails; one after another all of them are enough. */
Test(response, memory_that_runs_out)
{
    int status = -ENOMEM, tries = 0;
    for (; status == -ENOMEM && tries < 60; tries++) {
        struct peer *peer = peer_new(MH_STR("HTTP/1.1 200 OK\r\n\r\nhello"), PEER_CLOSES);
        mh_response res = {0};
        mh_fetch fetch = {.url = peer->url};
        allocations_left = tries;
        status = mh_client_fetch(NULL, &fetch, &res);
        allocations_left = -1;
        cr_assert(status == 200 || status == -ENOMEM, "%d", status);
        cr_assert_eq(res.error, status < 0 ? status : 0);
        cr_assert_eq(mh_str_equal(mh_buf_str(&res.body), "hello"), status == 200);
        mh_response_free(&res);
        peer_stop(peer);
    }
    cr_assert_eq(status, 200);
    cr_assert_gt(tries, 1);
}

Test(response, no_memory_at_all_is_told)
{
    mh_response res = {0};
    mh_fetch fetch = {.url = "http://127.0.0.1:1/", .user = &res};
    allocations_left = 0;
    cr_assert_eq(mh_client_fetch(NULL, &fetch, &res), -ENOMEM);
    allocations_left = -1;
    cr_assert_eq(res.error, -ENOMEM);
    cr_assert_eq(res.phase, MH_PHASE_START);
    cr_assert(res.retryable);
    cr_assert_eq(res.user, &res);
    mh_response_free(&res);
}

Test(response, a_url_that_is_too_long_to_be_kept)
{
    char *url = malloc(20000);
    cr_assert(url);
    memset(url, 'a', 19999);
    memcpy(url, "http://h/", 9);
    url[19999] = '\0';
    mh_response res = {0};
    mh_fetch fetch = {.url = url};
    cr_assert_eq(mh_client_fetch(NULL, &fetch, &res), MH_ERR_TOO_LARGE);
    cr_assert_eq(res.phase, MH_PHASE_START);
    cr_assert_str_eq(res.detail, "the URL alone is larger than the head of a request may be");
    cr_assert_null(res.url.ptr);
    mh_response_free(&res);
    free(url);
}

Test(response, words_that_do_not_fit_are_cut)
{
    char words[MH__DETAIL_MAX];
    cr_assert_eq((const void *)mh__words(words, "%0*d", 1000, 1), (const void *)words);
    cr_assert_eq(strlen(words), MH__DETAIL_MAX - 1);
}
