/* The front doors: lib/client/get.c. recv() and the allocator are this file's own, to count them.
 */
#include "peer.h"

#include <errno.h>
#include <stdatomic.h>

#include <minihttp/client.h>

#include "base/buffer.h"
#include "base/mem.h"

static atomic_int allocations, receives;
static pthread_t counted;

static void count(atomic_int *counter)
{
    if (pthread_equal(pthread_self(), counted)) /* not the peer's */
        atomic_fetch_add(counter, 1);
}

void *mh__malloc(size_t size)
{
    count(&allocations);
    return malloc(size);
}

void *mh__calloc(size_t number, size_t size)
{
    count(&allocations);
    return calloc(number, size);
}

void *mh__realloc(void *ptr, size_t size)
{
    count(&allocations);
    return realloc(ptr, size);
}

void mh__free(void *ptr)
{
    free(ptr);
}

ssize_t recv(int fd, void *buf, size_t cap, int flags)
{
    count(&receives);
    return recvfrom(fd, buf, cap, flags, NULL, NULL);
}

static void setup(void)
{
    counted = pthread_self();
}

TestSuite(get, .init = setup, .timeout = 60);

#define PAGE "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

/* ---- mh_get_once() ---- */

Test(get, once_calls_recv_once_and_malloc_never)
{
    char buf[1000], wanted[256];
    struct peer *peer = peer_new(MH_STR(PAGE), PEER_WAITS);
    ssize_t len = mh_get_once(peer->url, buf, sizeof(buf));
    int received = atomic_load(&receives), allocated = atomic_load(&allocations);
    peer_join(peer);
    cr_assert_eq(len, (ssize_t)strlen(PAGE));
    cr_assert_eq(memcmp(buf, PAGE, strlen(PAGE)), 0);
    cr_assert_eq(received, 1);
    cr_assert_eq(allocated, 0);
    snprintf(wanted, sizeof(wanted), "GET / HTTP/1.1\r\nHost: %.*s\r\n\r\n",
             (int)strlen(peer->url) - 8, peer->url + 7);
    cr_assert_str_eq(peer->request, wanted);
    free(peer);
}

Test(get, once_takes_what_fits)
{
    char buf[4];
    struct peer *peer = peer_new(MH_STR(PAGE), PEER_WAITS);
    cr_assert_eq(mh_get_once(peer->url, buf, sizeof(buf)), 4);
    cr_assert_eq(memcmp(buf, "HTTP", 4), 0);
    peer_stop(peer);
}

Test(get, once_does_not_look_at_the_bytes)
{
    char buf[100];
    struct peer *peer = peer_new(MH_STR("\0not HTTP"), PEER_CLOSES);
    cr_assert_eq(mh_get_once(peer->url, buf, sizeof(buf)), 9);
    peer_stop(peer);
}

Test(get, once_and_nothing_came)
{
    char buf[100];
    struct peer *peer = peer_new(MH_STR(""), PEER_CLOSES);
    cr_assert_eq(mh_get_once(peer->url, buf, sizeof(buf)), MH_ERR_CLOSED);
    peer_stop(peer);
}

Test(get, once_errors_need_no_memory_either)
{
    char buf[100], url[64];
    int held = peer_deaf(url, sizeof(url)), before = open_descriptors();
    cr_assert_eq(mh_get_once(url, buf, sizeof(buf)), -ECONNREFUSED);
    cr_assert_eq(mh_get_once(url, buf, 0), -EINVAL);
    cr_assert_eq(mh_get_once(url, NULL, 5), -EINVAL);
    cr_assert_eq(mh_get_once(NULL, buf, sizeof(buf)), -EINVAL);
    cr_assert_eq(mh_get_once("nonsense", buf, sizeof(buf)), MH_ERR_URL);
    cr_assert_eq(mh_get_once("https://h/", buf, sizeof(buf)), MH_ERR_SCHEME);
    cr_assert_eq(atomic_load(&allocations), 0);
    cr_assert_eq(open_descriptors(), before);
    mh__close(held);
}

/* ---- mh_get() ---- */

Test(get, appends_the_body_and_returns_the_status)
{
    mh_buf body = {0};
    cr_assert_eq(mh_buf_append(&body, "> ", 2), 0);
    struct peer *peer = peer_new(MH_STR(PAGE), PEER_WAITS);
    cr_assert_eq(mh_get(peer->url, &body), 200);
    cr_assert_str_eq(body.data, "> hello");
    mh_buf_free(&body);
    peer_stop(peer);
}

Test(get, any_status_is_a_result)
{
    mh_buf body = {0};
    struct peer *peer = peer_new(MH_STR("HTTP/1.1 404 No\r\n\r\ngone"), PEER_CLOSES);
    cr_assert_eq(mh_get(peer->url, &body), 404);
    cr_assert_str_eq(body.data, "gone");
    mh_buf_free(&body);
    peer_stop(peer);
}

static void unchanged_by(mh_str script, size_t max, int err)
{
    mh_buf body = {.max = max};
    cr_assert_eq(mh_buf_append(&body, "before", 6), 0);
    struct peer *peer = peer_new(script, PEER_CLOSES);
    cr_assert_eq(mh_get(peer->url, &body), err);
    cr_assert(mh_str_equal(mh_buf_str(&body), "before"));
    cr_assert_eq(body.max, max);
    mh_buf_free(&body);
    peer_stop(peer);
}

Test(get, the_body_is_as_it_was_after_an_error)
{
    unchanged_by(MH_STR("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"), 0, MH_ERR_CLOSED);
    unchanged_by(MH_STR("HTTP/1.1 200 OK\r\n\r\nhello"), 10, MH_ERR_TOO_LARGE);
    unchanged_by(MH_STR(PAGE), 10, MH_ERR_TOO_LARGE);
    unchanged_by(MH_STR(PAGE), 6, MH_ERR_TOO_LARGE);
    unchanged_by(MH_STR("nonsense\r\n\r\n"), 0, MH_ERR_MALFORMED);
}

Test(get, a_body_that_just_fits)
{
    mh_buf body = {.max = 5};
    struct peer *peer = peer_new(MH_STR(PAGE), PEER_WAITS);
    cr_assert_eq(mh_get(peer->url, &body), 200);
    cr_assert_str_eq(body.data, "hello");
    mh_buf_free(&body);
    peer_stop(peer);
}
