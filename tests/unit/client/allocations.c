/* How often and how much lib/client/ allocates. The allocator is this file's own. */
#include <malloc.h>
#include <pthread.h>
#include <sys/resource.h>

#include "stage.h"

#include "base/mem.h"

static int allocations;
static size_t held; /* bytes */
static pthread_t counted;

static bool counts(void)
{
    return pthread_equal(pthread_self(), counted); /* not the server's */
}

static void *take(void *ptr)
{
    if (ptr && counts()) {
        allocations++;
        held += malloc_usable_size(ptr);
    }
    return ptr;
}

static void give_back(void *ptr)
{
    if (ptr && counts())
        held -= malloc_usable_size(ptr);
}

void *mh__malloc(size_t size)
{
    return take(malloc(size));
}

void *mh__calloc(size_t number, size_t size)
{
    return take(calloc(number, size));
}

void *mh__realloc(void *ptr, size_t size)
{
    give_back(ptr);
    return take(realloc(ptr, size));
}

void mh__free(void *ptr)
{
    give_back(ptr);
    free(ptr);
}

static void setup(void)
{
    counted = pthread_self();
}

TestSuite(allocations, .init = setup, .timeout = 60);

/* ---- none, once everything is there ---- */

enum { WARM = 3, ROUNDS = 20 };

static const char *const answers[] = {
    HELLO,
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 404 No\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nT: x\r\n\r\n",
};

static ssize_t upload(mh_response *res, char *buf, size_t cap)
{
    (void)cap;
    buf[0] = 'x';
    return res->sent < 1;
}

static const mh_fetch fetches[] = {
    {.url = NULL},
    {.method = "PUT", .headers = (const char *const[]){"A: b", "C: d", NULL}},
    {.on_upload = upload, .upload_len = 1},
    {.method = "DELETE", .timeout_ms = 5000, .idle_timeout_ms = 5000},
};

Test(allocations, none_on_a_loop)
{
    static struct call a;
    for (size_t i = 0; i < sizeof(fetches) / sizeof(fetches[0]); i++) {
        int before = 0;
        stage_open(NULL);
        stage_submit(&a, fetches[i]);
        int fd = stage_accept();
        for (int round = 0; round < ROUNDS; round++) {
            if (round > 0)
                stage_submit(&a, fetches[i]);
            if (round == WARM)
                before = allocations;
            stage_hear(fd);
            stage_say(fd, answers[i]);
            stage_finish(&a);
            cr_assert_eq(a.result, atoi(answers[i] + 9));
            cr_assert_eq(a.res.timings.reused, round > 0);
        }
        cr_assert_eq(allocations, before, "%zu: %d", i, allocations - before);
        close(fd);
        call_free(&a);
        stage_close();
    }
    cr_assert_eq(held, 0);
}

/* Many connections at a time are no different. */
Test(allocations, none_with_several_connections)
{
    enum { COUNT = 8 };
    static struct call calls[COUNT];
    int fd[COUNT], before = 0;
    stage_open(NULL);
    for (int round = 0; round < ROUNDS; round++) {
        if (round == WARM)
            before = allocations;
        for (int i = 0; i < COUNT; i++)
            stage_get(&calls[i]);
        for (int i = 0; i < COUNT; i++) {
            if (round == 0)
                fd[i] = stage_accept();
        }
        for (int i = 0; i < COUNT; i++) {
            stage_hear(fd[i]);
            stage_say(fd[i], HELLO);
        }
        for (int i = 0; i < COUNT; i++)
            stage_finish(&calls[i]);
    }
    cr_assert_eq(allocations, before, "%d", allocations - before);
    for (int i = 0; i < COUNT; i++) {
        close(fd[i]);
        call_free(&calls[i]);
    }
    stage_close();
}

static void *serve(void *arg)
{
    (void)arg;
    char buf[4096];
    cr_assert(is_ready(stage.listener, POLLIN, STAGE_MS));
    int fd = accept4(stage.listener, NULL, NULL, SOCK_CLOEXEC);
    for (size_t len = 0; is_ready(fd, POLLIN, STAGE_MS);) {
        ssize_t more = recv(fd, buf + len, sizeof(buf) - len, 0);
        if (more <= 0)
            break;
        len += (size_t)more;
        if (len < 4 || memcmp(buf + len - 4, "\r\n\r\n", 4) != 0)
            continue;
        (void)!send(fd, HELLO, strlen(HELLO), MSG_NOSIGNAL);
        len = 0;
    }
    close(fd);
    return NULL;
}

Test(allocations, none_in_a_blocking_call)
{
    int before = 0;
    pthread_t thread;
    mh_response res = {0};
    stage_open(NULL);
    mh_fetch fetch = {.url = stage.url};
    cr_assert_eq(pthread_create(&thread, NULL, serve, NULL), 0);
    for (int round = 0; round < ROUNDS; round++) {
        if (round == WARM)
            before = allocations;
        cr_assert_eq(mh_client_fetch(stage.client, &fetch, &res), 200, "%s", res.detail);
        cr_assert_str_eq(res.body.data, "hello");
    }
    cr_assert_eq(allocations, before, "%d", allocations - before);
    mh_response_free(&res);
    mh_client_free(stage.client);
    stage.client = NULL;
    pthread_join(thread, NULL);
    stage_close();
    cr_assert_eq(held, 0);
}

/* ---- how much ---- */

#define MANY 1000
#define EACH_MAX 4096 /* bytes for a transfer in flight and its connection */

static void allow_descriptors(rlim_t wanted)
{
    struct rlimit limit;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static struct call many[MANY];
static int many_fds[MANY];

Test(allocations, a_thousand_transfers_in_flight)
{
    struct call first = {0};
    allow_descriptors(2 * MANY + 100);
    stage_open(&(mh_client_options){.connections_max = MANY, .connections_per_host_max = MANY});
    stage_get(&first);
    int fd = stage_accept();
    stage_exchange(&first, fd);
    size_t before = held;
    for (int i = 0; i < MANY; i++)
        stage_get(&many[i]);
    many_fds[0] = fd;
    for (int i = 1; i < MANY; i++)
        many_fds[i] = stage_accept();
    for (int i = 0; i < MANY; i++)
        stage_hear(many_fds[i]);
    cr_assert_lt((held - before) / MANY, EACH_MAX, "%zu each", (held - before) / MANY);
    mh_loop_free(stage.loop);
    stage.loop = NULL;
    for (int i = 0; i < MANY; i++) {
        cr_assert_eq(many[i].result, -ECANCELED);
        call_free(&many[i]);
        close(many_fds[i]);
    }
    call_free(&first);
    stage_close();
    cr_assert_eq(held, 0);
}
