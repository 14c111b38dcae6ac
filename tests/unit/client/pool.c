/* Connections that are kept, how many there may be, and who waits: lib/client/pool.c. */
#include "stage.h"

TestSuite(pool, .timeout = 60);

static struct call a, b, c, d;

static void free_calls(void)
{
    call_free(&a);
    call_free(&b);
    call_free(&c);
    call_free(&d);
}

/* One request, and its connection is kept. */
static int keep_one(void)
{
    stage_get(&a);
    int fd = stage_accept();
    stage_exchange(&a, fd);
    cr_assert_not(a.res.timings.reused);
    cr_assert_geq(a.res.timings.connected_us, 0);
    return fd;
}

/* ---- reuse ---- */

Test(pool, a_connection_is_used_again)
{
    stage_open(NULL);
    int fd = keep_one();
    for (int i = 0; i < 5; i++) {
        stage_get(&b);
        stage_exchange(&b, fd);
        cr_assert(b.res.timings.reused);
        cr_assert_eq(b.res.timings.resolved_us, -1);
        cr_assert_eq(b.res.timings.connected_us, -1);
        cr_assert_str_eq(b.res.peer, stage.authority);
    }
    cr_assert(nobody_comes());
    free_calls();
    close(fd);
    stage_close();
}

Test(pool, in_on_done_the_connection_is_free_already)
{
    stage_open(&(mh_client_options){.connections_max = 1});
    stage_get(&a);
    stage_get(&b);
    int fd = stage_accept();
    stage_exchange(&a, fd);
    stage_exchange(&b, fd);
    cr_assert(b.res.timings.reused);
    free_calls();
    close(fd);
    stage_close();
}

/* Whoever was used last is used next. */
Test(pool, the_one_that_was_used_last)
{
    stage_open(NULL);
    stage_get(&a);
    stage_get(&b);
    int one = stage_accept(), two = stage_accept();
    stage_exchange(&a, one);
    stage_exchange(&b, two);
    stage_get(&c);
    stage_exchange(&c, two);
    stage_get(&c);
    stage_get(&d);
    stage_exchange(&c, two);
    stage_exchange(&d, one);
    free_calls();
    close(one);
    close(two);
    stage_close();
}

/* The response is complete, and its connection is of no more use. */
static void not_kept_after(const char *script, mh_fetch fetch, int status)
{
    stage_open(NULL);
    stage_submit(&a, fetch);
    int fd = stage_accept();
    stage_hear_head(fd);
    stage_say(fd, script);
    stage_finish(&a);
    call_expect(&a, status, MH_PHASE_DONE, NULL);
    stage_swallow(fd, SIZE_MAX);
    stage_expect_closed(fd);
    stage_get(&b);
    fd = stage_accept();
    stage_exchange(&b, fd);
    cr_assert_not(b.res.timings.reused);
    free_calls();
    close(fd);
    stage_close();
}

Test(pool, not_after_connection_close)
{
    not_kept_after("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
                   (mh_fetch){0}, 200);
}

Test(pool, not_after_our_connection_close)
{
    not_kept_after(HELLO, (mh_fetch){.headers = (const char *const[]){"Connection: close", NULL}},
                   200);
}

Test(pool, not_after_http_1_0)
{
    not_kept_after("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", (mh_fetch){0}, 200);
}

/* A second response that nobody asked for: whose would it be (RFC 9112 section 9.2)? */
Test(pool, not_after_more_than_was_asked_for)
{
    not_kept_after(HELLO HELLO, (mh_fetch){0}, 200);
}

Test(pool, not_after_one_byte_too_many)
{
    not_kept_after("HTTP/1.1 204 No Content\r\n\r\n\n", (mh_fetch){0}, 204);
}

Test(pool, not_after_more_than_a_redirect)
{
    stage_open(NULL);
    stage_get(&a);
    int fd = stage_accept();
    stage_hear(fd);
    stage_say(fd, "HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n" HELLO);
    stage_expect_closed(fd);
    fd = stage_accept();
    stage_exchange(&a, fd);
    free_calls();
    close(fd);
    stage_close();
}

static ssize_t rest_forever(mh_response *res, char *buf, size_t cap)
{
    (void)res;
    (void)buf;
    (void)cap;
    return -EAGAIN;
}

Test(pool, not_while_the_body_of_the_request_is_unfinished)
{
    not_kept_after(HELLO, (mh_fetch){.on_upload = rest_forever}, 200);
}

static char large[8 << 20];

Test(pool, not_while_the_body_of_the_request_is_on_its_way)
{
    not_kept_after(HELLO, (mh_fetch){.body = {large, sizeof(large)}, .expect_timeout_ms = -1}, 200);
}

Test(pool, http_1_0_with_keep_alive)
{
    stage_open(NULL);
    stage_get(&a);
    int fd = stage_accept();
    stage_hear(fd);
    stage_say(fd, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n");
    stage_finish(&a);
    bool kept = is_open(fd);
    stage_get(&b);
    if (!kept) { /* RFC 9112 section 9.3 leaves it to the client */
        close(fd);
        fd = stage_accept();
    }
    stage_exchange(&b, fd);
    cr_assert_eq(b.res.timings.reused, kept);
    free_calls();
    close(fd);
    stage_close();
}

/* ---- a kept connection that ends ---- */

Test(pool, bytes_that_nobody_asked_for_close_it)
{
    stage_open(NULL);
    int fd = keep_one();
    stage_say(fd, HELLO);
    stage_expect_closed(fd);
    stage_get(&b);
    fd = stage_accept();
    stage_exchange(&b, fd);
    free_calls();
    close(fd);
    stage_close();
}

Test(pool, a_close_that_was_seen)
{
    stage_open(NULL);
    stage_hang_up(keep_one());
    stage_submit(&b, (mh_fetch){.body = MH_STR("x")});
    int fd = stage_accept();
    stage_exchange(&b, fd);
    cr_assert_not(b.res.timings.reused);
    free_calls();
    close(fd);
    stage_close();
}

/* The loop has not been turned since: what is known of the connection is old. */
Test(pool, a_close_that_was_not_seen_yet)
{
    stage_open(NULL);
    int fd = keep_one();
    close(fd);
    (void)poll(NULL, 0, 150); /* a while, in which nobody turns the loop */
    stage_submit(&b, (mh_fetch){.body = MH_STR("x")});
    fd = stage_accept();
    stage_exchange(&b, fd);
    cr_assert_not(b.res.timings.reused);
    free_calls();
    close(fd);
    stage_close();
}

/* It closes when the request is there already. */
static void race(mh_fetch fetch, bool by_reset)
{
    int fd = keep_one();
    stage_submit(&b, fetch);
    stage_hear(fd);
    if (by_reset)
        stage_reset(fd);
    else
        stage_hang_up(fd);
}

Test(pool, a_race_is_run_again)
{
    stage_open(NULL);
    for (int i = 0; i < 2; i++) {
        race((mh_fetch){0}, i == 1);
        int fd = stage_accept();
        stage_exchange(&b, fd);
        cr_assert_not(b.res.timings.reused);
        stage_hang_up(fd);
    }
    free_calls();
    stage_close();
}

Test(pool, a_race_of_a_put_with_its_body)
{
    stage_open(NULL);
    race((mh_fetch){.method = "PUT", .body = MH_STR("text")}, false);
    int fd = stage_accept();
    stage_exchange(&b, fd);
    cr_assert_str_eq(heard_body(), "text");
    cr_assert_eq(b.res.sent, 4);
    free_calls();
    close(fd);
    stage_close();
}

Test(pool, a_race_is_run_again_only_once)
{
    stage_open(NULL);
    race((mh_fetch){0}, false);
    int fd = stage_accept();
    stage_hear(fd);
    close(fd);
    stage_finish(&b);
    call_expect(&b, MH_ERR_CLOSED, MH_PHASE_HEAD, "closed before a byte of the response came");
    cr_assert(b.res.retryable);
    cr_assert(nobody_comes());
    free_calls();
    stage_close();
}

/* The second try does not trust in what else was kept. */
Test(pool, a_second_try_makes_a_connection)
{
    stage_open(NULL);
    stage_get(&a);
    stage_get(&c);
    int one = stage_accept(), two = stage_accept();
    stage_exchange(&a, one);
    stage_exchange(&c, two);
    stage_get(&b);
    stage_hear(two);
    stage_hang_up(two);
    two = stage_accept();
    stage_exchange(&b, two);
    cr_assert(is_open(one));
    free_calls();
    close(one);
    close(two);
    stage_close();
}

Test(pool, a_race_of_a_post_is_lost)
{
    stage_open(NULL);
    race((mh_fetch){.body = MH_STR("text")}, false);
    stage_finish(&b);
    call_expect(&b, MH_ERR_CLOSED, MH_PHASE_HEAD, "closed before a byte of the response came");
    cr_assert_not(b.res.retryable);
    cr_assert(b.res.timings.reused);
    cr_assert(nobody_comes());
    free_calls();
    stage_close();
}

static ssize_t upload_one(mh_response *res, char *buf, size_t cap)
{
    (void)cap;
    buf[0] = 'x';
    return res->sent == 0;
}

Test(pool, a_race_of_what_was_uploaded_is_lost)
{
    stage_open(NULL);
    race((mh_fetch){.method = "PUT", .on_upload = upload_one, .upload_len = 1}, false);
    stage_finish(&b);
    call_expect(&b, MH_ERR_CLOSED, MH_PHASE_HEAD, "closed before a byte of the response came");
    cr_assert(nobody_comes());
    free_calls();
    stage_close();
}

Test(pool, not_again_when_a_byte_has_come)
{
    stage_open(NULL);
    int fd = keep_one();
    stage_get(&b);
    stage_hear(fd);
    stage_say(fd, "H");
    stage_hang_up(fd);
    stage_finish(&b);
    call_expect(&b, MH_ERR_CLOSED, MH_PHASE_HEAD, "closed in the middle of the head");
    cr_assert(nobody_comes());
    free_calls();
    stage_close();
}

Test(pool, not_again_on_a_new_connection)
{
    stage_open(NULL);
    stage_get(&b);
    int fd = stage_accept();
    stage_hear(fd);
    stage_hang_up(fd);
    stage_finish(&b);
    call_expect(&b, MH_ERR_CLOSED, MH_PHASE_HEAD, "closed before a byte of the response came");
    cr_assert(nobody_comes());
    free_calls();
    stage_close();
}

/* ---- age ---- */

Test(pool, what_is_not_used_is_closed)
{
    stage_open(&(mh_client_options){.idle_timeout_ms = 30});
    int fd = keep_one();
    cr_assert(is_open(fd));
    int64_t from = mh__clock_ms();
    stage_expect_closed(fd);
    cr_assert_geq(mh__clock_ms() - from, 20);
    free_calls();
    stage_close();
}

/* Nobody has turned the loop when its time was over. */
Test(pool, what_is_too_old_is_not_taken)
{
    stage_open(&(mh_client_options){.idle_timeout_ms = 30});
    int old = keep_one();
    (void)poll(NULL, 0, 60);
    stage_get(&b);
    int fd = stage_accept();
    stage_exchange(&b, fd);
    stage_expect_closed(old);
    free_calls();
    close(fd);
    stage_close();
}

Test(pool, minus_one_is_for_ever)
{
    stage_open(&(mh_client_options){.idle_timeout_ms = -1});
    int fd = keep_one();
    stage_rest(60);
    stage_get(&b);
    stage_exchange(&b, fd);
    free_calls();
    close(fd);
    stage_close();
}

/* The loop has nothing to do but to wait for its time to come. */
Test(pool, a_kept_connection_is_no_work)
{
    stage_open(NULL);
    int fd = keep_one();
    cr_assert_eq(mh_loop_run(stage.loop, -1), 0);
    int left = mh_loop_timeout_ms(stage.loop);
    cr_assert(left > 50000 && left <= MH_CLIENT_IDLE_TIMEOUT_MS, "%d", left);
    free_calls();
    close(fd);
    stage_close();
}

/* ---- limits ---- */

#define MANY 20

static struct call many[MANY];

static void submit_many(void)
{
    for (int i = 0; i < MANY; i++)
        stage_get(&many[i]);
}

static void free_many(void)
{
    for (int i = 0; i < MANY; i++)
        call_free(&many[i]);
}

/* As many at a time as there may be, and the others in order. */
static void in_turns(int limit)
{
    int fd[MANY];
    submit_many();
    for (int i = 0; i < limit; i++)
        fd[i] = stage_accept();
    cr_assert(nobody_comes());
    for (int i = 0; i < MANY; i++) {
        cr_assert_eq(many[i].done, 0);
        stage_exchange(&many[i], fd[i % limit]);
        cr_assert_eq(many[i].place, i + 1);
        cr_assert_eq(many[i].res.timings.reused, i >= limit);
    }
    for (int i = 0; i < limit; i++)
        close(fd[i]);
}

Test(pool, the_limit_of_a_host)
{
    stage_open(&(mh_client_options){.connections_per_host_max = 3});
    in_turns(3);
    free_many();
    stage_close();
}

Test(pool, the_limit_in_all)
{
    stage_open(&(mh_client_options){.connections_max = 2});
    in_turns(2);
    free_many();
    stage_close();
}

Test(pool, the_standard_limit_of_a_host)
{
    static struct call calls[MH_CLIENT_PER_HOST_MAX + 1];
    int fd[MH_CLIENT_PER_HOST_MAX];
    stage_open(NULL);
    for (int i = 0; i <= MH_CLIENT_PER_HOST_MAX; i++)
        stage_get(&calls[i]);
    for (int i = 0; i < MH_CLIENT_PER_HOST_MAX; i++)
        fd[i] = stage_accept();
    cr_assert(nobody_comes());
    for (int i = 0; i <= MH_CLIENT_PER_HOST_MAX; i++)
        stage_exchange(&calls[i], fd[i % MH_CLIENT_PER_HOST_MAX]);
    for (int i = 0; i <= MH_CLIENT_PER_HOST_MAX; i++)
        call_free(&calls[i]);
    for (int i = 0; i < MH_CLIENT_PER_HOST_MAX; i++)
        close(fd[i]);
    stage_close();
}

/* A connection that cannot be used again makes room too. */
Test(pool, a_new_connection_for_whoever_waits)
{
    stage_open(&(mh_client_options){.connections_max = 1});
    submit_many();
    for (int i = 0; i < MANY; i++) {
        int fd = stage_accept();
        stage_hear(fd);
        if (i % 2)
            stage_say(fd, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        close(fd);
        stage_finish(&many[i]);
        call_expect(&many[i], i % 2 ? 200 : MH_ERR_CLOSED, i % 2 ? MH_PHASE_DONE : MH_PHASE_HEAD,
                    i % 2 ? NULL : "closed before a byte of the response came");
    }
    free_many();
    stage_close();
}

Test(pool, no_turn_within_the_time)
{
    stage_open(&(mh_client_options){.connections_max = 1});
    stage_get(&a);
    stage_submit(&b, (mh_fetch){.timeout_ms = 30, .body = MH_STR("x")});
    stage_get(&c);
    int fd = stage_accept();
    stage_finish(&b);
    call_expect(&b, -ETIMEDOUT, MH_PHASE_WAIT, "not complete within 30 ms");
    cr_assert(b.res.retryable, "nothing of it was sent");
    cr_assert_null(b.res.peer);
    stage_exchange(&a, fd);
    stage_exchange(&c, fd);
    free_calls();
    close(fd);
    stage_close();
}

Test(pool, whoever_waits_can_be_cancelled)
{
    stage_open(&(mh_client_options){.connections_max = 1});
    stage_get(&a);
    stage_get(&b);
    stage_get(&c);
    int fd = stage_accept();
    mh_client_cancel(&b.res);
    stage_finish(&b);
    call_expect(&b, -ECANCELED, MH_PHASE_WAIT, NULL);
    stage_exchange(&a, fd);
    stage_exchange(&c, fd);
    free_calls();
    close(fd);
    stage_close();
}

/* ---- several hosts ---- */

static char elsewhere[80]; /* the URL of another listener */

static int listen_elsewhere(void)
{
    int port, fd = stage_listen("127.0.0.1:0", &port);
    snprintf(elsewhere, sizeof(elsewhere), "http://127.0.0.1:%d/", port);
    return fd;
}

Test(pool, hosts_do_not_share_connections)
{
    stage_open(NULL);
    int other = listen_elsewhere(), one = keep_one();
    stage_submit(&b, (mh_fetch){.url = elsewhere});
    int two = stage_accept_at(other);
    stage_exchange(&b, two);
    cr_assert(is_open(one));
    stage_get(&c);
    stage_exchange(&c, one);
    free_calls();
    close(one);
    close(two);
    close(other);
    stage_close();
}

/* A name has a case only for people, and the path is of no interest. */
Test(pool, one_host_shares_connections)
{
    char url[2][100];
    stage_open(NULL);
    int fd = keep_one();
    snprintf(url[0], sizeof(url[0]), "HTTP://user@%s/other?path", stage.authority);
    snprintf(url[1], sizeof(url[1]), "http://%s", stage.authority);
    for (int i = 0; i < 2; i++) {
        stage_submit(&b, (mh_fetch){.url = url[i]});
        stage_exchange(&b, fd);
        cr_assert(b.res.timings.reused);
    }
    free_calls();
    close(fd);
    stage_close();
}

Test(pool, a_kept_one_makes_way_for_another_host)
{
    stage_open(&(mh_client_options){.connections_max = 1});
    int other = listen_elsewhere(), one = keep_one();
    stage_submit(&b, (mh_fetch){.url = elsewhere});
    stage_expect_closed(one);
    int two = stage_accept_at(other);
    stage_exchange(&b, two);
    free_calls();
    close(two);
    close(other);
    stage_close();
}

/* The one that was not used for the longest time. */
Test(pool, the_oldest_makes_way)
{
    stage_open(&(mh_client_options){.connections_max = 2});
    int other = listen_elsewhere();
    stage_get(&a);
    stage_get(&b);
    int one = stage_accept(), two = stage_accept();
    stage_exchange(&b, two);
    stage_exchange(&a, one);
    stage_submit(&c, (mh_fetch){.url = elsewhere});
    stage_expect_closed(two);
    int three = stage_accept_at(other);
    cr_assert(is_open(one));
    stage_exchange(&c, three);
    free_calls();
    close(one);
    close(three);
    close(other);
    stage_close();
}

Test(pool, a_busy_one_does_not_make_way)
{
    stage_open(&(mh_client_options){.connections_max = 1});
    int other = listen_elsewhere();
    stage_get(&a);
    int one = stage_accept();
    stage_submit(&b, (mh_fetch){.url = elsewhere});
    stage_rest(20);
    cr_assert_not(is_ready(other, POLLIN, 0));
    stage_exchange(&a, one);
    int two = stage_accept_at(other);
    stage_expect_closed(one);
    stage_exchange(&b, two);
    free_calls();
    close(two);
    close(other);
    stage_close();
}

/* Those who wait for different hosts are served in turns. */
Test(pool, no_host_starves_another)
{
    stage_open(&(mh_client_options){.connections_max = 1});
    int other = listen_elsewhere();
    stage_get(&a);
    stage_get(&b);
    stage_submit(&c, (mh_fetch){.url = elsewhere});
    stage_get(&d);
    int one = stage_accept();
    stage_exchange(&a, one);
    stage_exchange(&b, one);
    stage_expect_closed(one);
    int two = stage_accept_at(other);
    stage_exchange(&c, two);
    stage_expect_closed(two);
    one = stage_accept();
    stage_exchange(&d, one);
    cr_assert_eq(d.place, 4);
    free_calls();
    close(one);
    close(other);
    stage_close();
}

/* All of them begin before a loop is turned: none may lose what it knows of its host. */
Test(pool, more_hosts_than_are_remembered)
{
    enum { HOSTS = 150 };
    static struct call calls[HOSTS];
    static char urls[HOSTS][80];
    stage_open(&(mh_client_options){.connections_max = 4});
    int other, port;
    other = stage_listen("0.0.0.0:0", &port);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < HOSTS; i++) {
            snprintf(urls[i], sizeof(urls[i]), "http://127.0.1.%d:%d/", i + 1, port);
            stage_submit(&calls[i], (mh_fetch){.url = urls[i]});
        }
        for (int i = 0; i < HOSTS; i++) {
            int fd = stage_accept_at(other);
            stage_exchange(&calls[i], fd);
            close(fd);
        }
    }
    for (int i = 0; i < HOSTS; i++)
        call_free(&calls[i]);
    close(other);
    stage_close();
}

/* ---- pauses ---- */

static int pause_in_progress(mh_response *res)
{
    if (res->received == 5)
        mh_client_pause(res, true);
    return 0;
}

/* A pause is the transfer's, not its connection's. */
Test(pool, a_pause_at_the_end_is_no_pause_of_the_next_one)
{
    stage_open(NULL);
    stage_submit(&a, (mh_fetch){.on_progress = pause_in_progress});
    int fd = stage_accept();
    stage_hear(fd);
    stage_say(fd, HELLO);
    stage_rest(20);
    mh_client_pause(&a.res, false);
    stage_finish(&a);
    call_expect(&a, 200, MH_PHASE_DONE, NULL);
    bool kept = is_open(fd);
    stage_get(&b);
    if (!kept) {
        close(fd);
        fd = stage_accept();
    }
    stage_exchange(&b, fd);
    free_calls();
    close(fd);
    stage_close();
}

static int pause_for_a_moment(mh_response *res, const char *data, size_t len)
{
    (void)data;
    (void)len;
    mh_client_pause(res, true);
    mh_client_pause(res, false);
    return 0;
}

/* It is over with the last piece of the body, before what was asked for with `false` is done. */
Test(pool, a_pause_that_is_over_at_the_end_is_none_of_the_next_one)
{
    stage_open(NULL);
    stage_submit(&a, (mh_fetch){.on_body = pause_for_a_moment});
    int fd = stage_accept();
    stage_exchange(&a, fd);
    stage_submit(&b, (mh_fetch){.idle_timeout_ms = 200});
    stage_exchange(&b, fd);
    cr_assert(b.res.timings.reused);
    free_calls();
    close(fd);
    stage_close();
}
