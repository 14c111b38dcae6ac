/* bench_client.c: what a request costs the client, and what it costs others.
 *
 *   bench_client WHAT URL COUNT     prints microseconds of CPU time for each request (or GB)
 *
 * WHAT: bare, mini, curl: one kept connection, one request after another;
 *       mini-64, curl-64: 64 at once on one thread;
 *       bare-large, mini-large, curl-large: one body to a callback, seconds for all of it;
 *       mini-held: COUNT at once to a server that does not answer, bytes of memory for each.
 *
 * client.py starts the server on the other core and runs them in turns. */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <minihttp.h>

#define PARALLEL 64

static double cpu_us(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void fail(const char *what)
{
    fprintf(stderr, "bench_client: %s\n", what);
    exit(1);
}

static uint64_t taken; /* bytes of bodies */

/* ---- a bare loop ---- */

static int bare_connect(const char *url, char *request, size_t size)
{
    mh_url parsed;
    if (mh_url_parse(&parsed, mh_str_from(url)) < 0)
        fail(url);
    snprintf(request, size, "GET " MH_FMT " HTTP/1.1\r\nHost: " MH_FMT ":%d\r\n\r\n",
             MH_ARG(parsed.target), MH_ARG(parsed.host), parsed.port);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(parsed.port)};
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
        fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

static size_t head_len(const char *buf, size_t len)
{
    const char *end = memmem(buf, len, "\r\n\r\n", 4);
    return end ? (size_t)(end - buf) + 4 : 0;
}

/* 0: the head is not complete. */
static size_t response_len(char *buf, size_t len)
{
    size_t head = head_len(buf, len);
    buf[len] = '\0';
    const char *length = head > 0 ? strcasestr(buf, "\r\nContent-Length: ") : NULL;
    return length ? head + (size_t)atol(length + 18) : 0;
}

/* Every response is as long as the first one. */
static void bare(const char *url, long count)
{
    char request[512], buf[16384];
    int fd = bare_connect(url, request, sizeof(request));
    size_t len = strlen(request), whole = 0;
    for (long i = 0; i < count; i++) {
        size_t have = 0;
        if (send(fd, request, len, MSG_NOSIGNAL) != (ssize_t)len)
            fail("send");
        do {
            ssize_t got = recv(fd, buf + have, sizeof(buf) - have, 0);
            if (got <= 0)
                fail("recv");
            have += (size_t)got;
            if (whole == 0)
                whole = response_len(buf, have);
        } while (whole == 0 || have < whole);
        taken += have - head_len(buf, have);
    }
    close(fd);
}

static void bare_large(const char *url, long size)
{
    enum { ROOM = 256 << 10 };
    char request[512], *buf = malloc(ROOM);
    int fd = bare_connect(url, request, sizeof(request));
    ssize_t len = send(fd, request, strlen(request), MSG_NOSIGNAL);
    for (bool first = true; len > 0 && taken < (uint64_t)size; first = false) {
        len = recv(fd, buf, ROOM, 0);
        if (len > 0)
            taken += (size_t)len - (first ? head_len(buf, (size_t)len) : 0);
    }
    close(fd);
    free(buf);
}

/* ---- ours ---- */

static int mini_take(mh_response *res, const char *data, size_t len)
{
    (void)res;
    (void)data;
    taken += len;
    return 0;
}

static void mini(const char *url, long count)
{
    mh_client *client;
    mh_response res = {0};
    mh_fetch fetch = {.url = url, .on_body = mini_take};
    if (mh_client_new(&client, NULL) < 0)
        fail("mh_client_new");
    for (long i = 0; i < count; i++) {
        if (mh_client_fetch(client, &fetch, &res) != 200)
            fail(res.detail ? res.detail : mh_strerror(res.error));
    }
    mh_response_free(&res);
    mh_client_free(client);
}

static long mini_left;
static mh_loop *mini_loop;
static mh_client *mini_client;
static mh_fetch mini_fetch;

static void mini_done(mh_response *res)
{
    if (res->status != 200)
        fail(res->detail ? res->detail : mh_strerror(res->error));
    if (mini_left-- > 0 && mh_client_submit(mini_client, mini_loop, &mini_fetch, res) < 0)
        fail("mh_client_submit");
}

static void mini_many(const char *url, long count)
{
    static mh_response res[PARALLEL];
    mh_client_options options = {.connections_per_host_max = PARALLEL};
    mini_fetch = (mh_fetch){.url = url, .on_body = mini_take, .on_done = mini_done};
    mini_left = count - PARALLEL;
    if (mh_loop_new(&mini_loop) < 0 || mh_client_new(&mini_client, &options) < 0)
        fail("mh_client_new");
    for (int i = 0; i < PARALLEL; i++) {
        if (mh_client_submit(mini_client, mini_loop, &mini_fetch, &res[i]) < 0)
            fail("mh_client_submit");
    }
    if (mh_loop_run(mini_loop, -1) != 0)
        fail("mh_loop_run");
    for (int i = 0; i < PARALLEL; i++)
        mh_response_free(&res[i]);
    mh_client_free(mini_client);
    mh_loop_free(mini_loop);
}

static long held;

static int count_sent(mh_response *res, mh_direction direction, const char *data, size_t len)
{
    (void)res;
    (void)data;
    (void)len;
    held += direction == MH_SENT;
    return 0;
}

/* Prints bytes for each transfer that waits for its answer, and ends. */
static void mini_held(const char *url, long count)
{
    mh_client_options options = {.connections_max = (int)count,
                                 .connections_per_host_max = (int)count};
    mh_response *res = calloc((size_t)count, sizeof(*res));
    mh_fetch fetch = {.url = url, .on_trace = count_sent, .timeout_ms = -1};
    if (!res || mh_loop_new(&mini_loop) < 0 || mh_client_new(&mini_client, &options) < 0)
        fail("mh_client_new");
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    for (long i = 0; i < count; i++) {
        if (mh_client_submit(mini_client, mini_loop, &fetch, &res[i]) < 0)
            fail("mh_client_submit");
    }
    while (held < count && mh_loop_run(mini_loop, 1000) == (int)count)
        continue;
    if (held < count)
        fail("not all of them were sent");
    size_t after = mallinfo2().uordblks + mallinfo2().hblkhd;
    printf("%zu bytes for each, and %zu of them in its mh_response\n",
           (after - before) / (size_t)count + sizeof(*res), sizeof(*res));
    exit(0);
}

/* ---- libcurl ---- */

static size_t curl_take(char *data, size_t size, size_t count, void *user)
{
    (void)data;
    (void)user;
    taken += size * count;
    return size * count;
}

static CURL *curl_easy(const char *url)
{
    CURL *easy = curl_easy_init();
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, curl_take);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    return easy;
}

static void curl(const char *url, long count)
{
    CURL *easy = curl_easy(url);
    for (long i = 0; i < count; i++) {
        if (curl_easy_perform(easy) != CURLE_OK)
            fail("curl_easy_perform");
    }
    curl_easy_cleanup(easy);
}

static void curl_again(CURLM *multi, long *left)
{
    CURLMsg *message;
    int more;
    while ((message = curl_multi_info_read(multi, &more))) {
        CURL *easy = message->easy_handle;
        if (message->data.result != CURLE_OK)
            fail("curl_multi");
        curl_multi_remove_handle(multi, easy);
        if ((*left)-- > 0)
            curl_multi_add_handle(multi, easy);
        else
            curl_easy_cleanup(easy);
    }
}

static void curl_many(const char *url, long count)
{
    CURLM *multi = curl_multi_init();
    long left = count - PARALLEL;
    int running = PARALLEL;
    for (int i = 0; i < PARALLEL; i++)
        curl_multi_add_handle(multi, curl_easy(url));
    while (running > 0 || left > -PARALLEL) {
        if (curl_multi_perform(multi, &running) != CURLM_OK)
            fail("curl_multi_perform");
        curl_again(multi, &left);
        if (running > 0 && curl_multi_poll(multi, NULL, 0, 1000, NULL) != CURLM_OK)
            fail("curl_multi_poll");
    }
    curl_multi_cleanup(multi);
}

/* ---- */

static const struct {
    const char *name;
    void (*run)(const char *url, long count);
    bool large; /* count is the size of the body */
} benches[] = {
    {"mini-held", mini_held, false},
    {"bare", bare, false},
    {"mini", mini, false},
    {"curl", curl, false},
    {"mini-64", mini_many, false},
    {"curl-64", curl_many, false},
    {"bare-large", bare_large, true},
    {"mini-large", mini, true},
    {"curl-large", curl, true},
};

int main(int argc, char **argv)
{
    long count = argc == 4 ? atol(argv[3]) : 0;
    curl_global_init(CURL_GLOBAL_ALL);
    for (size_t i = 0; count > 0 && i < sizeof(benches) / sizeof(benches[0]); i++) {
        if (strcmp(argv[1], benches[i].name) != 0)
            continue;
        double before = cpu_us();
        benches[i].run(argv[2], benches[i].large && benches[i].run != bare_large ? 1 : count);
        double spent = cpu_us() - before;
        printf("%.3f %llu\n", benches[i].large ? spent / 1e6 : spent / (double)count,
               (unsigned long long)taken);
        return 0;
    }
    fail("usage: bench_client WHAT URL COUNT");
}
