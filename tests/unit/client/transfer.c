/* A transfer from its submission to on_done: lib/client/transfer.c. getaddrinfo() is this file's
 * own. */
#include "stage.h"

#include <netdb.h>
#include <pthread.h>
#include <semaphore.h>

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

static void let_it_return(void)
{
    sem_post(&released);
    while (sem_wait(&returned) != 0)
        ;
}

static void setup(void)
{
    sem_init(&released, 0, 0);
    sem_init(&returned, 0, 0);
}

TestSuite(transfer, .init = setup, .timeout = 60);

static struct call a, b;
static int fd = -1;

static void begin(mh_fetch fetch)
{
    stage_open(NULL);
    stage_submit(&a, fetch);
    fd = stage_accept();
    stage_hear(fd);
}

static void end(void)
{
    call_free(&a);
    call_free(&b);
    if (fd >= 0)
        close(fd);
    fd = -1;
    stage_close();
}

static bool head_has(const char *line)
{
    const char *at = strstr(heard, line);
    return at && at < strstr(heard, "\r\n\r\n") + 2;
}

/* ---- many ---- */

#define MANY 500

static struct call many[MANY];

/* Each takes its own time, and its answer is its own. */
Test(transfer, many_at_once)
{
    enum { LINES = 20 };
    static char urls[MANY][100];
    int fds[LINES];
    char answer[200];
    stage_open(&(mh_client_options){.connections_per_host_max = LINES});
    for (int i = 0; i < MANY; i++) {
        snprintf(urls[i], sizeof(urls[i]), "%s%d", stage.url, i);
        stage_submit(&many[i], (mh_fetch){.url = urls[i]});
    }
    for (int i = 0; i < LINES; i++)
        fds[i] = stage_accept();
    for (int i = 0; i < MANY; i++) {
        int at = fds[(i * 7) % LINES];
        stage_hear(at);
        int number = atoi(heard + strlen("GET /"));
        snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\nX: %d\r\nContent-Length: 0\r\n\r\n",
                 number);
        stage_say(at, answer);
        stage_finish(&many[number]);
        snprintf(answer, sizeof(answer), "%d", number);
        cr_assert(mh_str_equal(mh_headers_get(many[number].res.headers, "X"), answer));
    }
    cr_assert_eq(mh_loop_run(stage.loop, 1000), 0);
    for (int i = 0; i < MANY; i++) {
        call_expect(&many[i], 200, MH_PHASE_DONE, NULL);
        call_free(&many[i]);
    }
    cr_assert_eq(dones, MANY);
    for (int i = 0; i < LINES; i++)
        close(fds[i]);
    stage_close();
}

Test(transfer, nothing_is_called_from_within_submit)
{
    stage_open(NULL);
    stage_submit(&a, (mh_fetch){.url = "http://127.0.0.1:1/"});
    cr_assert_eq(a.done, 0);
    stage_finish(&a);
    cr_assert_eq(a.result, -ECONNREFUSED);
    cr_assert_eq(a.res.phase, MH_PHASE_CONNECT);
    end();
}

static void count_done(mh_response *res)
{
    ++*(int *)res->user;
}

Test(transfer, what_cannot_begin_calls_nothing)
{
    const struct {
        mh_fetch fetch;
        int err;
    } cases[] = {
        {{.url = NULL}, -EINVAL},
        {{.url = "nonsense"}, MH_ERR_URL},
        {{.url = "ftp://h/"}, MH_ERR_SCHEME},
        {{.url = "http://h/", .timeout_ms = -2}, -EINVAL},
        {{.url = "http://h/", .flags = 4}, -EINVAL},
        {{.url = "http://h/", .reserved = {1}}, -EINVAL},
        {{.url = "http://h/", .method = "CONNECT"}, -EINVAL},
        {{.url = "http://h/", .headers = (const char *const[]){"Content-Length: 1", NULL}},
         -EINVAL},
    };
    int count = 0;
    stage_open(NULL);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        mh_fetch fetch = cases[i].fetch;
        fetch.on_done = count_done;
        fetch.user = &count;
        cr_assert_eq(mh_client_submit(stage.client, stage.loop, &fetch, &a.res), cases[i].err);
        cr_assert_eq(a.res.error, cases[i].err);
        cr_assert_eq(a.res.phase, MH_PHASE_START);
        cr_assert_eq(mh_loop_run(stage.loop, -1), 0);
    }
    cr_assert_eq(count, 0);
    end();
}

Test(transfer, no_client_or_loop_or_fetch_or_response)
{
    mh_fetch fetch = {.url = "http://h/"};
    stage_open(NULL);
    cr_assert_eq(mh_client_submit(NULL, stage.loop, &fetch, &a.res), -EINVAL);
    cr_assert_eq(mh_client_submit(stage.client, NULL, &fetch, &a.res), -EINVAL);
    cr_assert_eq(mh_client_submit(stage.client, stage.loop, NULL, &a.res), -EINVAL);
    cr_assert_eq(mh_client_submit(stage.client, stage.loop, &fetch, NULL), -EINVAL);
    end();
}

Test(transfer, a_response_in_flight_is_not_taken_twice)
{
    begin((mh_fetch){0});
    mh_fetch again = {.url = stage.url};
    cr_assert_eq(mh_client_submit(stage.client, stage.loop, &again, &a.res), -EBUSY);
    cr_assert_eq(mh_client_fetch(stage.client, &again, &a.res), -EBUSY);
    stage_say(fd, HELLO);
    stage_finish(&a);
    call_expect(&a, 200, MH_PHASE_DONE, NULL);
    end();
}

/* ---- the end ---- */

static void expect_complete(mh_response *res)
{
    call_done(res);
    cr_assert_eq(res->phase, MH_PHASE_DONE);
    cr_assert_eq(res->error, 0);
    cr_assert_str_eq(res->body.data, "hello");
    cr_assert_geq(res->timings.done_us, res->timings.first_byte_us);
}

Test(transfer, in_on_done_all_is_there)
{
    begin((mh_fetch){.on_done = expect_complete});
    stage_say(fd, HELLO);
    stage_finish(&a);
    end();
}

static void submit_again(mh_response *res)
{
    call_done(res);
    mh_fetch fetch = {.url = stage.url,
                      .on_done = call_of(res)->done < 5 ? submit_again : call_done};
    cr_assert_eq(mh_client_submit(stage.client, stage.loop, &fetch, res), 0);
}

Test(transfer, the_same_response_again_from_on_done)
{
    begin((mh_fetch){.on_done = submit_again});
    for (int i = 1; i <= 6; i++) {
        stage_say(fd, HELLO);
        stage_until(a.done == i);
        cr_assert_eq(a.result, 200);
        if (i < 6)
            stage_hear(fd);
    }
    cr_assert(a.res.timings.reused);
    end();
}

static void free_it(mh_response *res)
{
    call_done(res);
    mh_response_free(res);
}

Test(transfer, the_response_is_freed_in_on_done)
{
    begin((mh_fetch){.on_done = free_it});
    stage_say(fd, HELLO);
    stage_finish(&a);
    cr_assert_eq(a.result, 200);
    cr_assert_null(a.res.private_);
    stage_submit(&a, (mh_fetch){.url = "http://127.0.0.1:1/", .on_done = free_it});
    stage_finish(&a);
    stage_submit(&a, (mh_fetch){.on_done = free_it, .timeout_ms = 10});
    stage_finish(&a);
    cr_assert_eq(a.result, -ETIMEDOUT);
    end();
}

static int free_blocking_dones;

static void free_blocking(mh_response *res)
{
    free_blocking_dones++;
    mh_response_free(res);
}

Test(transfer, the_response_of_a_blocking_call_is_freed_in_on_done)
{
    mh_response res = {0};
    mh_fetch fetch = {.url = "http://127.0.0.1:1/", .on_done = free_blocking};
    cr_assert_eq(mh_client_fetch(NULL, &fetch, &res), -ECONNREFUSED);
    cr_assert_eq(free_blocking_dones, 1);
    cr_assert_null(res.private_);
}

/* ---- more from within ---- */

static int submitted;

/* The second one, once; and the loop is not to be run. */
static int submit_more(mh_response *res)
{
    cr_assert_eq(res, &a.res);
    cr_assert_eq(mh_loop_run(stage.loop, 0), -EINVAL);
    if (submitted++ == 0)
        stage_submit(&b, (mh_fetch){.body = MH_STR("more")});
    return 0;
}

static int submit_in_body(mh_response *res, const char *data, size_t len)
{
    cr_assert(len == 5 && memcmp(data, "hello", 5) == 0);
    submit_more(res);
    cr_assert_eq(memcmp(data, "hello", 5), 0, "as it was");
    return 0;
}

static int submit_in_trace(mh_response *res, mh_direction direction, const char *data, size_t len)
{
    (void)direction;
    cr_assert(data && len > 0);
    return submit_more(res);
}

static ssize_t submit_in_upload(mh_response *res, char *buf, size_t cap)
{
    memset(buf, 'x', cap);
    submit_more(res);
    return 1;
}

Test(transfer, more_is_submitted_from_each_callback)
{
    static const mh_fetch fetches[] = {
        {.on_head = submit_more},
        {.on_body = submit_in_body},
        {.on_progress = submit_more},
        {.on_trace = submit_in_trace},
        {.on_upload = submit_in_upload, .upload_len = 1},
    };
    for (size_t i = 0; i < sizeof(fetches) / sizeof(fetches[0]); i++) {
        submitted = 0;
        begin(fetches[i]);
        if (fetches[i].on_upload)
            cr_assert_str_eq(heard_body(), "x");
        stage_say(fd, HELLO);
        stage_finish(&a);
        call_expect(&a, 200, MH_PHASE_DONE, NULL);
        cr_assert_geq(submitted, 1);
        int other = stage_accept_or(fd);
        stage_exchange(&b, other);
        cr_assert_str_eq(heard_body(), "more");
        if (other != fd)
            close(other);
        end();
    }
}

/* ---- cancel ---- */

static void cancelled(mh_phase phase)
{
    mh_client_cancel(&a.res);
    mh_client_cancel(&a.res);
    cr_assert_eq(a.done, 0, "not from within the call");
    stage_finish(&a);
    call_expect(&a, -ECANCELED, phase, NULL);
    mh_client_cancel(&a.res);
    stage_turn();
    cr_assert_eq(a.done, 1);
    cr_assert_eq(mh_loop_run(stage.loop, 0), 0);
}

Test(transfer, cancelled_before_the_start)
{
    stage_open(NULL);
    stage_get(&a);
    cancelled(MH_PHASE_START);
    cr_assert(a.res.retryable);
    cr_assert(nobody_comes());
    end();
}

Test(transfer, cancelled_while_a_name_is_looked_up)
{
    stage_open(NULL);
    stage_submit(&a, (mh_fetch){.url = "http://hang.invalid/"});
    stage_rest(5);
    cancelled(MH_PHASE_RESOLVE);
    let_it_return();
    end();
}

/* Of two that wait for the same name, one stays. */
Test(transfer, one_of_two_cancelled_while_a_name_is_looked_up)
{
    stage_open(NULL);
    stage_submit(&a, (mh_fetch){.url = "http://hang.invalid/"});
    stage_submit(&b, (mh_fetch){.url = "http://hang.invalid/"});
    stage_rest(5);
    mh_client_cancel(&a.res);
    stage_finish(&a);
    call_expect(&a, -ECANCELED, MH_PHASE_RESOLVE, NULL);
    let_it_return();
    stage_finish(&b);
    call_expect(&b, MH_ERR_RESOLVE, MH_PHASE_RESOLVE, gai_strerror(EAI_NONAME));
    end();
}

static struct {
    int listener, filler[4];
    char url[80];
} silent; /* a listener whose line is full: who connects to it waits */

static void silent_open(void)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(addr);
    silent.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(silent.listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
    cr_assert_eq(listen(silent.listener, 0), 0);
    cr_assert_eq(getsockname(silent.listener, (struct sockaddr *)&addr, &len), 0);
    snprintf(silent.url, sizeof(silent.url), "http://127.0.0.1:%d/", ntohs(addr.sin_port));
    for (int i = 0; i < 4; i++) {
        silent.filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)!connect(silent.filler[i], (struct sockaddr *)&addr, sizeof(addr));
    }
}

static void silent_close(void)
{
    for (int i = 0; i < 4; i++)
        close(silent.filler[i]);
    close(silent.listener);
}

Test(transfer, cancelled_while_connecting)
{
    silent_open();
    stage_open(NULL);
    stage_submit(&a, (mh_fetch){.url = silent.url});
    stage_rest(5);
    cancelled(MH_PHASE_CONNECT);
    end();
    silent_close();
}

Test(transfer, cancelled_before_the_head)
{
    begin((mh_fetch){.body = MH_STR("x")});
    cancelled(MH_PHASE_HEAD);
    cr_assert_not(a.res.retryable);
    stage_expect_closed(fd);
    fd = -1;
    end();
}

Test(transfer, cancelled_in_the_head)
{
    begin((mh_fetch){0});
    stage_say(fd, "HTTP/1.1 200 OK\r\nContent-");
    stage_rest(5);
    cancelled(MH_PHASE_HEAD);
    cr_assert_eq(a.res.status, 0);
    stage_expect_closed(fd);
    fd = -1;
    end();
}

Test(transfer, cancelled_in_the_body)
{
    begin((mh_fetch){0});
    stage_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    stage_until(a.res.received == 5);
    cancelled(MH_PHASE_BODY);
    cr_assert_eq(a.res.status, 200);
    cr_assert_str_eq(a.res.body.data, "hello");
    stage_expect_closed(fd);
    fd = -1;
    end();
}

Test(transfer, cancelled_while_paused)
{
    begin((mh_fetch){0});
    mh_client_pause(&a.res, true);
    stage_say(fd, HELLO);
    stage_rest(5);
    cancelled(MH_PHASE_HEAD);
    end();
}

Test(transfer, nothing_to_cancel)
{
    stage_open(NULL);
    mh_client_cancel(&a.res);
    mh_client_pause(&a.res, true);
    mh_client_pause(&a.res, false);
    stage_get(&a);
    fd = stage_accept();
    stage_exchange(&a, fd);
    mh_client_cancel(&a.res);
    mh_client_pause(&a.res, true);
    stage_get(&a);
    stage_exchange(&a, fd);
    end();
}

static bool blocking; /* the callback acts on a blocking call */
static int cancels;

static void cancel_now(mh_response *res)
{
    cancels++;
    mh_client_cancel(res);
    if (!blocking)
        cr_assert_eq(call_of(res)->done, 0);
}

static int cancel_in_head(mh_response *res)
{
    cancel_now(res);
    return 0;
}

static int cancel_in_body(mh_response *res, const char *data, size_t len)
{
    (void)data;
    (void)len;
    cancel_now(res);
    return 0;
}

static int cancel_in_trace(mh_response *res, mh_direction direction, const char *data, size_t len)
{
    (void)direction;
    return cancel_in_body(res, data, len);
}

static ssize_t cancel_in_upload(mh_response *res, char *buf, size_t cap)
{
    (void)cap;
    cancel_now(res);
    buf[0] = 'x';
    return 1;
}

static const mh_fetch cancelling[] = {
    {.on_head = cancel_in_head},
    {.on_body = cancel_in_body},
    {.on_progress = cancel_in_head},
    {.on_trace = cancel_in_trace},
    {.on_upload = cancel_in_upload, .upload_len = 1000000000, .expect_timeout_ms = -1},
};

Test(transfer, cancelled_from_each_callback)
{
    stage_open(NULL);
    for (size_t i = 0; i < sizeof(cancelling) / sizeof(cancelling[0]); i++) {
        cancels = 0;
        stage_submit(&a, cancelling[i]);
        fd = stage_accept();
        if (!cancelling[i].on_upload && !cancelling[i].on_trace) {
            stage_hear(fd);
            stage_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        }
        stage_finish(&a);
        cr_assert_eq(a.result, -ECANCELED, "%zu", i);
        cr_assert(cancels > 0 && cancels < 50, "%d", cancels);
        close(fd);
    }
    fd = -1;
    end();
}

static void cancel_in_done(mh_response *res)
{
    call_done(res);
    mh_client_cancel(res);
}

Test(transfer, cancelled_in_on_done_is_nothing)
{
    begin((mh_fetch){.on_done = cancel_in_done});
    stage_say(fd, HELLO);
    stage_finish(&a);
    call_expect(&a, 200, MH_PHASE_DONE, NULL);
    stage_get(&a);
    stage_exchange(&a, fd);
    end();
}

/* What comes first is the result; but it comes once. */
Test(transfer, cancelled_in_the_head_of_what_is_complete)
{
    begin((mh_fetch){.on_head = cancel_in_head});
    stage_say(fd, HELLO);
    stage_finish(&a);
    cr_assert(a.result == 200 || a.result == -ECANCELED);
    stage_rest(5);
    cr_assert_eq(a.done, 1);
    end();
}

static struct call *victim;

static int cancel_the_other(mh_response *res)
{
    (void)res;
    mh_client_cancel(&victim->res);
    return 0;
}

Test(transfer, one_cancels_the_other)
{
    begin((mh_fetch){.on_head = cancel_the_other});
    stage_get(&b);
    int other = stage_accept();
    victim = &b;
    stage_say(fd, HELLO);
    stage_finish(&b);
    call_expect(&b, -ECANCELED, MH_PHASE_HEAD, NULL);
    stage_finish(&a);
    call_expect(&a, 200, MH_PHASE_DONE, NULL);
    close(other);
    end();
}

/* ---- blocking calls and other threads ---- */

/* The server of a blocking call: another thread says this to whoever comes, and keeps the line. */
static const char *server_says;
static int server_fd = -1;

static void *serve_one(void *arg)
{
    (void)arg;
    cr_assert(is_ready(stage.listener, POLLIN, STAGE_MS));
    server_fd = accept4(stage.listener, NULL, NULL, SOCK_CLOEXEC);
    (void)!send(server_fd, server_says, strlen(server_says), MSG_NOSIGNAL);
    return NULL;
}

static pthread_t server;

static void server_open(const char *says)
{
    server_says = says;
    cr_assert_eq(pthread_create(&server, NULL, serve_one, NULL), 0);
}

static void server_close(void)
{
    pthread_join(server, NULL);
    close(server_fd);
}

Test(transfer, a_blocking_call_cancelled_from_its_callback)
{
    stage_open(NULL);
    blocking = true;
    for (size_t i = 0; i < sizeof(cancelling) / sizeof(cancelling[0]); i++) {
        mh_response res = {0};
        mh_fetch fetch = cancelling[i];
        fetch.url = stage.url;
        server_open("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        cr_assert_eq(mh_client_fetch(stage.client, &fetch, &res), -ECANCELED, "%zu", i);
        cr_assert_eq(res.error, -ECANCELED);
        server_close();
        mh_response_free(&res);
    }
    stage_close();
}

static sem_t in_head;

static int tell(mh_response *res)
{
    (void)res;
    sem_post(&in_head);
    return 0;
}

static void *cancel_it(void *res)
{
    while (sem_wait(&in_head) != 0)
        ;
    mh_client_cancel(res);
    return NULL;
}

/* Whatever ends its wait, it is no end of the body. */
Test(transfer, a_blocking_call_cancelled_from_another_thread)
{
    static const char *const says[] = {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
                                       "HTTP/1.1 200 OK\r\n\r\nhello"};
    pthread_t thread;
    mh_response res = {0};
    stage_open(NULL);
    sem_init(&in_head, 0, 0);
    for (int i = 0; i < 20; i++) {
        mh_fetch fetch = {.url = stage.url, .on_head = tell};
        server_open(says[i % 2]);
        cr_assert_eq(pthread_create(&thread, NULL, cancel_it, &res), 0);
        cr_assert_eq(mh_client_fetch(stage.client, &fetch, &res), -ECANCELED);
        cr_assert_eq(res.phase, MH_PHASE_BODY);
        pthread_join(thread, NULL);
        server_close();
    }
    mh_client_cancel(&res);
    mh_response_free(&res);
    stage_close();
}

/* ---- loops and clients that go ---- */

static int refused;

static void try_again(mh_response *res)
{
    call_done(res);
    mh_fetch fetch = {.url = stage.url, .on_done = call_done};
    refused += mh_client_submit(stage.client, stage.loop, &fetch, res) == -ECANCELED;
}

Test(transfer, a_loop_goes_with_transfers_in_flight)
{
    enum { COUNT = 6 };
    static struct call calls[COUNT];
    silent_open();
    stage_open(&(mh_client_options){.connections_max = 4});
    const char *urls[COUNT] = {stage.url,  stage.url, "http://hang.invalid/",
                               silent.url, stage.url, stage.url};
    for (int i = 0; i < COUNT - 1; i++)
        stage_submit(&calls[i], (mh_fetch){.url = urls[i], .on_done = try_again});
    int one = stage_accept(), two = stage_accept();
    stage_hear(one);
    stage_say(one, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    stage_rest(5);
    stage_submit(&calls[COUNT - 1], (mh_fetch){.on_done = try_again}); /* not even begun */
    mh_loop_free(stage.loop);
    static const mh_phase phases[COUNT] = {MH_PHASE_BODY,    MH_PHASE_HEAD, MH_PHASE_RESOLVE,
                                           MH_PHASE_CONNECT, MH_PHASE_WAIT, MH_PHASE_START};
    for (int i = 0; i < COUNT; i++) {
        cr_assert_eq(calls[i].done, 1);
        cr_assert_eq(calls[i].result, -ECANCELED);
        cr_assert_eq(calls[i].phase, phases[i], "%d: %s", i, mh_phase_name(calls[i].phase));
        call_free(&calls[i]);
    }
    cr_assert_eq(refused, COUNT);
    let_it_return();
    stage.loop = NULL;
    close(one);
    close(two);
    stage_close();
    silent_close();
}

Test(transfer, a_loop_goes_and_says_where)
{
    begin((mh_fetch){0});
    stage_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    stage_until(a.res.received == 5);
    mh_loop_free(stage.loop);
    stage.loop = NULL;
    call_expect(&a, -ECANCELED, MH_PHASE_BODY, NULL);
    cr_assert_str_eq(a.res.body.data, "hello");
    end();
}

Test(transfer, the_client_goes_before_the_loop)
{
    stage_open(NULL);
    stage_get(&a);
    fd = stage_accept();
    stage_exchange(&a, fd);
    call_free(&a);
    mh_client_free(stage.client);
    cr_assert_eq(mh_loop_run(stage.loop, 0), 0);
    cr_assert_eq(mh_loop_timeout_ms(stage.loop), -1, "nothing is left to do");
    cr_assert_eq(mh_client_new(&stage.client, &(mh_client_options){.proxy = ""}), 0);
    stage_expect_closed(fd);
    stage_get(&a);
    fd = stage_accept();
    stage_exchange(&a, fd);
    mh_client_free(stage.client);
    stage.client = NULL;
    end();
}

Test(transfer, two_clients_on_one_loop_and_two_loops_of_one_client)
{
    mh_client *client;
    mh_loop *loop;
    begin((mh_fetch){0});
    cr_assert_eq(mh_client_new(&client, &(mh_client_options){.proxy = ""}), 0);
    cr_assert_eq(mh_loop_new(&loop), 0);
    stage_say(fd, HELLO);
    stage_finish(&a);
    mh_fetch fetch = {.url = stage.url, .on_done = call_done};
    cr_assert_eq(mh_client_submit(client, stage.loop, &fetch, &b.res), 0);
    int other = stage_accept();
    stage_exchange(&b, other);
    call_free(&b);
    mh_client_free(client);
    stage_expect_closed(other);
    memset(&b, 0, sizeof(b));
    cr_assert_eq(mh_client_submit(stage.client, loop, &fetch, &b.res), 0);
    cr_assert_geq(mh_loop_run(loop, 5), 0);
    other = stage_accept();
    cr_assert_eq(mh_loop_run(loop, 0), 1);
    mh_loop_free(loop);
    call_expect(&b, -ECANCELED, MH_PHASE_HEAD, NULL);
    close(other);
    end();
}

/* ---- deadlines ---- */

static void runs_out(int ms, mh_phase phase, const char *words, int64_t from)
{
    stage_finish(&a);
    call_expect(&a, -ETIMEDOUT, phase, words);
    cr_assert_geq(mh__clock_ms() - from, ms - 1);
    cr_assert_lt(mh__clock_ms() - from, ms + 2000);
}

Test(transfer, no_address_within_the_time)
{
    static const struct {
        mh_fetch fetch;
        const char *words;
    } cases[] = {
        {{.resolve_timeout_ms = 30}, "no address within 30 ms"},
        {{.connect_timeout_ms = 30}, "no connection within 30 ms"},
        {{.connect_timeout_ms = 30, .resolve_timeout_ms = -1}, "no connection within 30 ms"},
        {{.timeout_ms = 30, .connect_timeout_ms = -1, .resolve_timeout_ms = -1},
         "not complete within 30 ms"},
    };
    stage_open(NULL);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t from = mh__clock_ms();
        mh_fetch fetch = cases[i].fetch;
        fetch.url = "http://hang.invalid/";
        stage_submit(&a, fetch);
        runs_out(30, MH_PHASE_RESOLVE, cases[i].words, from);
        cr_assert(a.res.retryable);
    }
    let_it_return();
    end();
}

Test(transfer, no_connection_within_the_time)
{
    silent_open();
    stage_open(NULL);
    int64_t from = mh__clock_ms();
    stage_submit(&a, (mh_fetch){.url = silent.url, .connect_timeout_ms = 30});
    runs_out(30, MH_PHASE_CONNECT, "no connection within 30 ms", from);
    from = mh__clock_ms();
    stage_submit(&a, (mh_fetch){.url = silent.url, .timeout_ms = 30, .connect_timeout_ms = -1});
    runs_out(30, MH_PHASE_CONNECT, "not complete within 30 ms", from);
    end();
    silent_close();
}

Test(transfer, no_head_within_the_time)
{
    int64_t from = mh__clock_ms();
    begin((mh_fetch){.idle_timeout_ms = 50});
    runs_out(50, MH_PHASE_HEAD, "no byte for 50 ms", from);
    stage_expect_closed(fd);
    from = mh__clock_ms();
    stage_submit(&a, (mh_fetch){.timeout_ms = 50, .idle_timeout_ms = -1});
    fd = stage_accept();
    stage_say(fd, "HTTP/1.1 200 OK\r\n");
    runs_out(50, MH_PHASE_HEAD, "not complete within 50 ms", from);
    end();
}

Test(transfer, no_body_within_the_time)
{
    int64_t from = mh__clock_ms();
    begin((mh_fetch){.idle_timeout_ms = 50});
    stage_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    runs_out(50, MH_PHASE_BODY, "no byte for 50 ms", from);
    cr_assert_str_eq(a.res.body.data, "hello");
    end();
}

/* A byte in time is enough. */
Test(transfer, a_slow_body_is_waited_for)
{
    begin((mh_fetch){.idle_timeout_ms = 150});
    stage_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(a.done, 0);
        stage_rest(50);
        stage_say(fd, "x");
    }
    stage_finish(&a);
    call_expect(&a, 200, MH_PHASE_DONE, NULL);
    end();
}

Test(transfer, a_slow_body_and_the_time_in_all)
{
    begin((mh_fetch){.timeout_ms = 100});
    stage_say(fd, "HTTP/1.1 200 OK\r\n\r\n");
    for (int i = 0; i < 1000 && a.done == 0; i++) {
        (void)!send(fd, "x", 1, MSG_NOSIGNAL);
        stage_rest(5);
    }
    call_expect(&a, -ETIMEDOUT, MH_PHASE_BODY, "not complete within 100 ms");
    end();
}

/* The time in all is that of all requests. */
Test(transfer, redirects_gain_no_time)
{
    begin((mh_fetch){.timeout_ms = 100, .redirects_max = 1000});
    for (int i = 0; i < 1000 && a.done == 0; i++) {
        stage_say(fd, "HTTP/1.1 302 -\r\nLocation: /\r\nContent-Length: 0\r\n\r\n");
        stage_rest(5);
        while (recv(fd, heard, sizeof(heard), MSG_DONTWAIT) > 0)
            ;
    }
    call_expect(&a, -ETIMEDOUT, a.res.phase, "not complete within 100 ms");
    cr_assert_geq(a.res.redirects, 2);
    end();
}

Test(transfer, a_response_that_waited_is_used_again_without_its_deadlines)
{
    begin((mh_fetch){.timeout_ms = 30});
    stage_finish(&a);
    close(fd);
    stage_get(&a);
    fd = stage_accept();
    stage_rest(60);
    stage_exchange(&a, fd);
    end();
}

/* ---- pauses ---- */

static char seen[100];
static size_t seen_len;

/* And pause after each piece. */
static int see(mh_response *res, const char *data, size_t len)
{
    cr_assert_lt(seen_len + len, sizeof(seen));
    memcpy(seen + seen_len, data, len);
    seen_len += len;
    call_of(res)->bodies++;
    mh_client_pause(res, true);
    return 0;
}

static int pause_in_head(mh_response *res)
{
    call_of(res)->heads++;
    mh_client_pause(res, true);
    return 0;
}

Test(transfer, paused_in_the_head_and_all_is_there)
{
    begin((mh_fetch){.on_head = pause_in_head});
    stage_say(fd, HELLO);
    stage_rest(10);
    cr_assert_eq(a.heads, 1);
    cr_assert_eq(a.done, 0);
    cr_assert_eq(a.res.body.len, 0);
    mh_client_pause(&a.res, false);
    cr_assert_eq(a.done, 0, "not from within the call");
    stage_finish(&a);
    call_expect(&a, 200, MH_PHASE_DONE, NULL);
    cr_assert_str_eq(a.res.body.data, "hello");
    cr_assert(is_open(fd), "it is kept");
    stage_get(&b);
    stage_exchange(&b, fd);
    end();
}

Test(transfer, paused_in_the_head_and_there_is_no_body)
{
    begin((mh_fetch){.on_head = pause_in_head});
    stage_say(fd, "HTTP/1.1 204 -\r\n\r\n");
    stage_rest(10);
    cr_assert_eq(a.done, 0);
    mh_client_pause(&a.res, false);
    stage_finish(&a);
    call_expect(&a, 204, MH_PHASE_DONE, NULL);
    end();
}

Test(transfer, paused_after_each_piece)
{
    begin((mh_fetch){.on_body = see});
    stage_say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    stage_say(fd, "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\nT: x\r\n\r\n");
    for (int i = 1; i <= 3; i++) {
        stage_rest(5);
        cr_assert_eq(a.bodies, i);
        cr_assert_eq(seen_len, (size_t)i);
        cr_assert_eq(a.done, 0);
        mh_client_pause(&a.res, false);
    }
    stage_finish(&a);
    call_expect(&a, 200, MH_PHASE_DONE, NULL);
    cr_assert_str_eq(seen, "abc");
    cr_assert(mh_str_equal(mh_headers_get(a.res.trailers, "T"), "x"));
    end();
}

Test(transfer, paused_before_the_start)
{
    stage_open(NULL);
    stage_get(&a);
    mh_client_pause(&a.res, true);
    fd = stage_accept();
    stage_hear(fd);
    stage_say(fd, HELLO);
    stage_rest(10);
    cr_assert_eq(a.heads, 0);
    mh_client_pause(&a.res, false);
    stage_finish(&a);
    call_expect(&a, 200, MH_PHASE_DONE, NULL);
    end();
}

Test(transfer, paused_and_not_before_the_start)
{
    stage_open(NULL);
    stage_get(&a);
    mh_client_pause(&a.res, true);
    mh_client_pause(&a.res, false);
    fd = stage_accept();
    stage_exchange(&a, fd);
    end();
}

static int pause_and_go_on(mh_response *res, const char *data, size_t len)
{
    see(res, data, len);
    mh_client_pause(res, false);
    mh_client_pause(res, true);
    mh_client_pause(res, false);
    return 0;
}

Test(transfer, paused_and_not_in_one_callback)
{
    begin((mh_fetch){.on_body = pause_and_go_on});
    stage_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    stage_rest(5);
    stage_say(fd, "hello");
    stage_finish(&a);
    call_expect(&a, 200, MH_PHASE_DONE, NULL);
    cr_assert_str_eq(seen, "hellohello");
    end();
}

/* No more is taken from the peer than the kernel's buffers. */
Test(transfer, a_pause_stops_the_peer)
{
    static char data[1 << 16];
    begin((mh_fetch){.on_head = pause_in_head});
    stage_say(fd, "HTTP/1.1 200 OK\r\n\r\n");
    stage_rest(5);
    size_t sent = 0;
    for (int i = 0; i < 20;) {
        ssize_t len = send(fd, data, sizeof(data), MSG_NOSIGNAL | MSG_DONTWAIT);
        stage_turn();
        sent += len > 0 ? (size_t)len : 0;
        i += len < 0;
        cr_assert_lt(sent, 64u << 20);
        if (len < 0)
            (void)poll(NULL, 0, 1);
    }
    cr_assert_lt(a.res.received, 1u << 20);
    cr_assert_eq(a.res.body.len, 0);
    mh_client_pause(&a.res, false);
    close(fd);
    fd = -1;
    stage_finish(&a);
    call_expect(&a, 200, MH_PHASE_DONE, NULL);
    cr_assert_eq(a.res.body.len, sent);
    end();
}

/* Only the time in all counts meanwhile. */
Test(transfer, a_pause_has_no_idle_limit)
{
    begin((mh_fetch){.on_head = pause_in_head, .idle_timeout_ms = 40});
    stage_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    stage_rest(120);
    cr_assert_eq(a.done, 0, "%s", a.res.detail);
    mh_client_pause(&a.res, false);
    stage_rest(15);
    cr_assert_eq(a.done, 0, "%s", a.res.detail);
    stage_finish(&a);
    call_expect(&a, -ETIMEDOUT, MH_PHASE_BODY, "no byte for 40 ms");
    end();
}

/* Nor when nobody has turned the loop meanwhile, and so nobody has looked at the clock. */
Test(transfer, a_pause_in_which_the_loop_rests)
{
    begin((mh_fetch){.on_head = pause_in_head, .idle_timeout_ms = 40});
    stage_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    stage_until(a.heads == 1);
    (void)poll(NULL, 0, 80);
    mh_client_pause(&a.res, false);
    stage_turn();
    cr_assert_eq(a.done, 0, "%s", a.res.detail);
    stage_say(fd, "hello");
    stage_finish(&a);
    call_expect(&a, 200, MH_PHASE_DONE, NULL);
    end();
}

Test(transfer, a_pause_and_the_time_in_all)
{
    begin((mh_fetch){.on_head = pause_in_head, .timeout_ms = 60});
    stage_say(fd, HELLO);
    stage_finish(&a);
    call_expect(&a, -ETIMEDOUT, MH_PHASE_BODY, "not complete within 60 ms");
    end();
}

/* A peer that goes meanwhile is found out later, and costs no time of the processor's. */
Test(transfer, a_peer_that_resets_during_a_pause)
{
    begin((mh_fetch){.on_head = pause_in_head});
    stage_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    stage_rest(5);
    stage_reset(fd);
    fd = -1;
    clock_t before = clock();
    cr_assert_eq(mh_loop_run(stage.loop, 200), 1);
    cr_assert_lt((double)(clock() - before) / CLOCKS_PER_SEC, 0.1);
    mh_client_pause(&a.res, false);
    stage_finish(&a);
    call_expect(&a, -ECONNRESET, MH_PHASE_BODY, a.res.detail);
    end();
}

Test(transfer, a_peer_that_ends_during_a_pause)
{
    begin((mh_fetch){.on_head = pause_in_head});
    stage_say(fd, "HTTP/1.1 200 OK\r\n\r\nhello");
    stage_rest(5);
    stage_hang_up(fd);
    fd = -1;
    clock_t before = clock();
    cr_assert_eq(mh_loop_run(stage.loop, 200), 1);
    cr_assert_lt((double)(clock() - before) / CLOCKS_PER_SEC, 0.1);
    mh_client_pause(&a.res, false);
    stage_finish(&a);
    call_expect(&a, 200, MH_PHASE_DONE, NULL);
    cr_assert_str_eq(a.res.body.data, "hello");
    end();
}

/* ---- redirects (RFC 9110 section 15.4) ---- */

static void say_redirect(int status, const char *location)
{
    char text[400];
    snprintf(text, sizeof(text), "HTTP/1.1 %d -\r\nLocation: %s\r\nContent-Length: 3\r\n\r\nbye",
             status, location);
    stage_say(fd, text);
}

static void finish_well(void)
{
    stage_say(fd, HELLO);
    stage_finish(&a);
    call_expect(&a, 200, MH_PHASE_DONE, NULL);
    cr_assert_str_eq(a.res.body.data, "hello", "nothing of what was passed by");
    cr_assert_eq(a.heads, 1);
}

static void expect_asked(const char *line)
{
    stage_hear(fd);
    cr_assert_eq(strncmp(heard, line, strlen(line)), 0, "%.60s", heard);
}

Test(transfer, redirects_and_methods)
{
    static const struct {
        int status;
        const char *method, *then;
        bool body;
    } cases[] = {
        {301, "GET", "GET ", false},   {302, "GET", "GET ", false},
        {303, "GET", "GET ", false},   {307, "GET", "GET ", false},
        {308, "GET", "GET ", false},   {301, "HEAD", "HEAD ", false},
        {303, "HEAD", "HEAD ", false}, {301, "POST", "GET ", false},
        {302, "POST", "GET ", false},  {303, "POST", "GET ", false},
        {307, "POST", "POST ", true},  {308, "POST", "POST ", true},
        {301, "PUT", "PUT ", true},    {302, "PATCH", "PATCH ", true},
        {303, "PUT", "GET ", false},   {303, "DELETE", "GET ", false},
        {307, "PUT", "PUT ", true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool has_body = cases[i].method[0] == 'P';
        bool is_head = cases[i].method[0] == 'H';
        begin((mh_fetch){.method = cases[i].method,
                         .body = has_body ? MH_STR("text") : (mh_str){0},
                         .headers = (const char *const[]){"Content-Type: x", "A: b", NULL}});
        char text[200];
        snprintf(text, sizeof(text), "HTTP/1.1 %d -\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n",
                 cases[i].status);
        stage_say(fd, text);
        expect_asked(cases[i].then);
        cr_assert(head_has("A: b\r\n"));
        bool became_get = strcmp(cases[i].then, "GET ") == 0 && strcmp(cases[i].method, "GET") != 0;
        cr_assert_eq(head_has("Content-Type: x\r\n"), !became_get, "%zu", i);
        cr_assert_eq(head_has("Content-Length: 4\r\n"), cases[i].body, "%zu", i);
        cr_assert_str_eq(heard_body(), cases[i].body ? "text" : "");
        stage_say(fd, is_head ? "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" : HELLO);
        stage_finish(&a);
        call_expect(&a, 200, MH_PHASE_DONE, NULL);
        cr_assert_eq(a.res.redirects, 1);
        cr_assert(a.res.timings.reused);
        end();
    }
}

Test(transfer, where_a_redirect_leads)
{
    static const struct {
        const char *location, *line; /* %d: our port */
    } cases[] = {
        {"/x/y?z", "GET /x/y?z HTTP/1.1\r\n"},
        {"y", "GET /dir/y HTTP/1.1\r\n"},
        {"../y", "GET /y HTTP/1.1\r\n"},
        {"?q", "GET /dir/file?q HTTP/1.1\r\n"},
        {"", "GET /dir/file HTTP/1.1\r\n"},
        {"#fragment", "GET /dir/file HTTP/1.1\r\n"},
        {"//127.0.0.1:%d/p", "GET /p HTTP/1.1\r\n"},
        {"http://127.0.0.1:%d", "GET / HTTP/1.1\r\n"},
        {"http://127.0.0.1:%d/a#b", "GET /a HTTP/1.1\r\n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char url[100], location[100];
        stage_open(NULL);
        snprintf(url, sizeof(url), "http://127.0.0.1:%d/dir/file?old", stage.port);
        const char *mark = strstr(cases[i].location, "%d");
        snprintf(location, sizeof(location), "%.*s", mark ? (int)(mark - cases[i].location) : 99,
                 cases[i].location);
        if (mark)
            snprintf(location + strlen(location), 50, "%d%s", stage.port, mark + 2);
        stage_submit(&a, (mh_fetch){.url = url});
        fd = stage_accept();
        stage_hear(fd);
        say_redirect(302, location);
        stage_hear(fd);
        if (cases[i].location[0] && cases[i].location[0] != '#') /* what remains of a query is */
            cr_assert_eq(strncmp(heard, cases[i].line, strlen(cases[i].line)), 0, "%s: %.50s",
                         location, heard);
        cr_assert(head_has(stage.authority));
        finish_well();
        end();
    }
}

Test(transfer, redirects_are_counted)
{
    begin((mh_fetch){.redirects_max = 3});
    for (int i = 0; i < 4; i++) {
        if (i > 0)
            stage_hear(fd);
        say_redirect(302, "/again");
    }
    stage_finish(&a);
    call_expect(&a, MH_ERR_REDIRECT, a.res.phase, "more than 3 redirects");
    cr_assert_eq(a.res.redirects, 3);
    cr_assert_eq(a.res.status, 302);
    end();
}

Test(transfer, redirects_without_end)
{
    begin((mh_fetch){0});
    for (int i = 0; i <= MH_FETCH_REDIRECTS_MAX; i++) {
        if (i > 0)
            stage_hear(fd);
        say_redirect(302, "/");
    }
    stage_finish(&a);
    call_expect(&a, MH_ERR_REDIRECT, a.res.phase, "more than 10 redirects");
    end();
}

Test(transfer, a_redirect_as_a_result)
{
    begin((mh_fetch){.redirects_max = -1});
    say_redirect(302, "/there");
    stage_finish(&a);
    call_expect(&a, 302, MH_PHASE_DONE, NULL);
    cr_assert_eq(a.res.redirects, 0);
    cr_assert_str_eq(a.res.body.data, "bye");
    cr_assert(mh_str_equal(mh_headers_get(a.res.headers, "Location"), "/there"));
    end();
}

Test(transfer, no_redirect_without_a_location_or_with_another_status)
{
    static const char *const scripts[] = {
        "HTTP/1.1 302 -\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 300 -\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 304 -\r\nLocation: /\r\n\r\n",
        "HTTP/1.1 305 -\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 201 -\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
        begin((mh_fetch){0});
        stage_say(fd, scripts[i]);
        stage_finish(&a);
        call_expect(&a, atoi(scripts[i] + 9), MH_PHASE_DONE, NULL);
        cr_assert_eq(a.heads, 1);
        end();
    }
}

Test(transfer, a_redirect_to_nowhere)
{
    static const struct {
        const char *location;
        int err;
        const char *words;
    } cases[] = {
        {"http://", MH_ERR_URL, "the Location of the redirect is malformed"},
        {"http://h:99999/", MH_ERR_URL, "the Location of the redirect is malformed"},
        {"/a b", MH_ERR_URL, "the Location of the redirect is malformed"},
        {"ftp://h/", MH_ERR_SCHEME, "the redirect leads to neither http nor https"},
        {"javascript:x", MH_ERR_SCHEME, "the redirect leads to neither http nor https"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        begin((mh_fetch){0});
        say_redirect(302, cases[i].location);
        stage_finish(&a);
        call_expect(&a, cases[i].err, a.res.phase, cases[i].words);
        cr_assert(a.res.phase >= MH_PHASE_HEAD && a.res.phase < MH_PHASE_DONE);
        cr_assert_eq(a.res.status, 302, "the answer is still there");
        cr_assert(mh_str_equal(a.res.url, stage.url));
        end();
    }
}

#define CREDENTIALS                                                                                \
    "Authorization: Basic eDp5", "Cookie: c", "Proxy-Authorization: Basic eDp5", "X-Key: k"

/* Host, credentials and secrets are for the first origin alone. */
Test(transfer, a_redirect_to_another_origin)
{
    int port, other;
    char location[200], host[100];
    begin((mh_fetch){.headers = (const char *const[]){CREDENTIALS, "Host: named", "A: b", NULL},
                     .secrets = (const char *const[]){"x-key", NULL}});
    cr_assert(head_has("Authorization: Basic eDp5\r\n"));
    cr_assert(head_has("Cookie: c\r\n"));
    cr_assert(head_has("X-Key: k\r\n"));
    cr_assert(head_has("Host: named\r\n"));
    other = stage_listen("127.0.0.1:0", &port);
    snprintf(location, sizeof(location), "http://127.0.0.1:%d/x", port);
    snprintf(host, sizeof(host), "Host: 127.0.0.1:%d\r\n", port);
    say_redirect(307, location);
    int next = stage_accept_at(other);
    stage_hear(next);
    cr_assert_not(head_has("Authorization"));
    cr_assert_not(head_has("Cookie"));
    cr_assert_not(head_has("X-Key"));
    cr_assert(head_has(host));
    cr_assert(head_has("A: b\r\n"));
    snprintf(location, sizeof(location),
             "HTTP/1.1 302 -\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", stage.url);
    stage_say(next, location);
    stage_hear(fd);
    cr_assert_not(head_has("Authorization"), "nor when it leads back");
    cr_assert_not(head_has("X-Key"));
    finish_well();
    cr_assert(mh_str_equal(a.res.url, stage.url));
    cr_assert_eq(a.res.redirects, 2);
    close(next);
    close(other);
    end();
}

Test(transfer, a_redirect_to_the_same_origin)
{
    begin((mh_fetch){.headers = (const char *const[]){CREDENTIALS, "Host: named", NULL},
                     .secrets = (const char *const[]){"x-key", NULL}});
    say_redirect(302, "/there");
    stage_hear(fd);
    cr_assert(head_has("Authorization: Basic eDp5\r\n"));
    cr_assert(head_has("Cookie: c\r\n"));
    cr_assert(head_has("X-Key: k\r\n"));
    cr_assert(head_has("Host: named\r\n"));
    finish_well();
    end();
}

Test(transfer, user_and_password_in_the_url)
{
    int port, other;
    char url[100], location[100];
    stage_open(NULL);
    snprintf(url, sizeof(url), "http://user:pass@127.0.0.1:%d/", stage.port);
    stage_submit(&a, (mh_fetch){.url = url});
    fd = stage_accept();
    stage_hear(fd);
    cr_assert(head_has("Authorization: Basic dXNlcjpwYXNz\r\n"));
    cr_assert(mh_str_equal(a.res.url, stage.url), "without them: " MH_FMT, MH_ARG(a.res.url));
    say_redirect(302, "/same");
    stage_hear(fd);
    cr_assert(head_has("Authorization: Basic dXNlcjpwYXNz\r\n"));
    other = stage_listen("127.0.0.1:0", &port);
    snprintf(location, sizeof(location), "http://127.0.0.1:%d/x", port);
    say_redirect(302, location);
    int next = stage_accept_at(other);
    stage_hear(next);
    cr_assert_not(head_has("Authorization"));
    stage_say(next, HELLO);
    stage_finish(&a);
    call_expect(&a, 200, MH_PHASE_DONE, NULL);
    cr_assert(mh_str_equal(a.res.url, location));
    close(next);
    close(other);
    end();
}

/* ---- the same again ---- */

static char firsts[2][1000]; /* what was asked for "/a" and for "/b" when it was new */

static void ask(const char *path, const mh_fetch *how, const char *as)
{
    char url[100];
    mh_fetch fetch = how ? *how : (mh_fetch){0};
    snprintf(url, sizeof(url), "%s%s", stage.url, path);
    fetch.url = url;
    stage_submit(&a, fetch);
    if (fd < 0)
        fd = stage_accept();
    stage_exchange(&a, fd);
    if (as)
        cr_assert_str_eq(heard, as);
}

/* A request's bytes may be those of the one before: they are never those of another. */
Test(transfer, the_same_again_is_the_same)
{
    static const char *const field[] = {"X-Field: 1", NULL};
    stage_open(NULL);
    ask("a", NULL, NULL);
    strcpy(firsts[0], heard);
    ask("b", NULL, NULL);
    strcpy(firsts[1], heard);
    cr_assert(head_has("GET /b HTTP/1.1\r\n"));
    ask("a", NULL, firsts[0]);
    ask("a", NULL, firsts[0]);
    ask("a", &(mh_fetch){.headers = field}, NULL);
    cr_assert(head_has("X-Field: 1\r\n"));
    ask("a", NULL, firsts[0]);
    ask("a", &(mh_fetch){.method = "DELETE"}, NULL);
    cr_assert(head_has("DELETE /a HTTP/1.1\r\n"));
    ask("a", NULL, firsts[0]);
    ask("a", &(mh_fetch){.body = MH_STR("body")}, NULL);
    cr_assert(head_has("POST /a HTTP/1.1\r\n"));
    cr_assert_str_eq(heard_body(), "body");
    ask("a", NULL, firsts[0]);
    ask("b", NULL, firsts[1]);
    end();
}

/* What a redirect or a login made of it is not what the next one begins with. */
Test(transfer, the_same_again_after_a_redirect)
{
    stage_open(NULL);
    ask("a", NULL, NULL);
    strcpy(firsts[0], heard);
    for (int i = 0; i < 3; i++) {
        char url[100];
        snprintf(url, sizeof(url), "%sa", stage.url);
        stage_submit(&a, (mh_fetch){.url = url});
        stage_hear(fd);
        cr_assert_str_eq(heard, firsts[0]);
        say_redirect(302, i == 0 ? "/b" : "/a?again");
        stage_exchange(&a, fd);
        cr_assert(head_has(i == 0 ? "GET /b HTTP/1.1\r\n" : "GET /a?again HTTP/1.1\r\n"));
        ask("a", NULL, firsts[0]);
    }
    end();
}

Test(transfer, the_same_again_with_a_login)
{
    char url[100];
    stage_open(NULL);
    snprintf(url, sizeof(url), "http://user:pass@127.0.0.1:%d/a", stage.port);
    for (int i = 0; i < 3; i++) {
        stage_submit(&a, (mh_fetch){.url = url});
        if (fd < 0)
            fd = stage_accept();
        stage_exchange(&a, fd);
        cr_assert(head_has("Authorization: Basic dXNlcjpwYXNz\r\n"));
        ask("a", NULL, NULL);
        cr_assert_not(head_has("Authorization"));
    }
    end();
}

/* A body that is small is read for the sake of the connection. */
Test(transfer, what_a_redirect_says_is_read)
{
    begin((mh_fetch){0});
    stage_say(fd, "HTTP/1.1 302 -\r\nLocation: /b\r\nTransfer-Encoding: chunked\r\n\r\n");
    stage_rest(5);
    stage_say(fd, "3\r\nbye\r\n0\r\n\r\n");
    expect_asked("GET /b ");
    finish_well();
    cr_assert_eq(a.res.received, 5);
    end();
}

Test(transfer, too_much_is_not_read)
{
    begin((mh_fetch){.body_max = 10});
    stage_say(fd, "HTTP/1.1 302 -\r\nLocation: /b\r\nContent-Length: 1000000\r\n\r\n");
    stage_expect_closed(fd);
    fd = stage_accept();
    expect_asked("GET /b ");
    finish_well();
    end();
}

Test(transfer, a_redirect_without_an_end)
{
    static char data[100000];
    begin((mh_fetch){0});
    stage_say(fd, "HTTP/1.1 302 -\r\nLocation: /b\r\n\r\n");
    stage_say_bytes(fd, (mh_str){data, sizeof(data)});
    int next = stage_accept();
    close(fd);
    fd = next;
    expect_asked("GET /b ");
    finish_well();
    end();
}

/* What it was to say is of no interest, but where it leads is. */
Test(transfer, a_redirect_that_is_cut_short)
{
    begin((mh_fetch){0});
    stage_say(fd, "HTTP/1.1 302 -\r\nLocation: /b\r\nContent-Length: 10\r\n\r\nbye");
    close(fd);
    fd = stage_accept();
    expect_asked("GET /b ");
    finish_well();
    end();
}

Test(transfer, a_second_try_after_a_redirect)
{
    begin((mh_fetch){0});
    say_redirect(302, "/b");
    expect_asked("GET /b ");
    close(fd); /* it was reused: another connection is tried */
    fd = stage_accept();
    expect_asked("GET /b ");
    finish_well();
    cr_assert_eq(a.res.redirects, 1);
    end();
}
