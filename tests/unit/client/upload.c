/* The request's way out: lib/client/upload.c. */
#include "stage.h"

TestSuite(upload, .timeout = 60);

static struct call a, b;
static int fd;

static void begin(mh_fetch fetch)
{
    stage_open(NULL);
    stage_submit(&a, fetch);
    fd = stage_accept();
}

static void answer(void)
{
    stage_say(fd, HELLO);
    stage_finish(&a);
    call_expect(&a, 200, MH_PHASE_DONE, NULL);
}

static void end(void)
{
    call_free(&a);
    call_free(&b);
    close(fd);
    stage_close();
}

static bool head_has(const char *line)
{
    const char *at = strstr(heard, line);
    return at && at < strstr(heard, "\r\n\r\n") + 2;
}

/* ---- from memory ---- */

Test(upload, a_small_body)
{
    begin((mh_fetch){.body = MH_STR("hello")});
    stage_hear(fd);
    cr_assert_eq(strncmp(heard, "POST / HTTP/1.1\r\n", 17), 0);
    cr_assert(head_has("Content-Length: 5\r\n"));
    cr_assert_str_eq(heard_body(), "hello");
    answer();
    cr_assert_eq(a.res.sent, 5);
    cr_assert_eq(a.res.sent_total, 5);
    cr_assert_geq(a.res.timings.sent_us, 0);
    end();
}

Test(upload, an_empty_body_is_one)
{
    begin((mh_fetch){.body = MH_STR("")});
    stage_hear(fd);
    cr_assert_eq(strncmp(heard, "POST ", 5), 0);
    cr_assert(head_has("Content-Length: 0\r\n"));
    answer();
    cr_assert_eq(a.res.sent, 0);
    cr_assert_eq(a.res.sent_total, 0);
    end();
}

Test(upload, no_body)
{
    begin((mh_fetch){0});
    stage_hear(fd);
    cr_assert_not(head_has("Content-Length"));
    answer();
    cr_assert_eq(a.res.sent, 0);
    cr_assert_eq(a.res.sent_total, 0);
    end();
}

#define LARGE ((size_t)5 << 20)

static char *pattern(size_t len)
{
    char *data = malloc(len);
    cr_assert(data);
    for (size_t i = 0; i < len; i++)
        data[i] = (char)(i * 31 + (i >> 9));
    return data;
}

/* What stands behind the head that was heard, and what comes after it, is the pattern. */
static void expect_pattern(const char *data, size_t len)
{
    static char got[1 << 16];
    size_t at = heard_len - (size_t)(heard_body() - heard);
    cr_assert_eq(memcmp(heard_body(), data, at), 0);
    for (int64_t late = mh__deadline_in(STAGE_MS); at < len;) {
        cr_assert_lt(mh__clock_ms(), late, "%zu of %zu", at, len);
        stage_turn();
        ssize_t more = recv(fd, got, sizeof(got), MSG_DONTWAIT);
        if (more < 0) {
            (void)is_ready(fd, POLLIN, 1);
            continue;
        }
        cr_assert(more > 0 && (size_t)more <= len - at);
        cr_assert_eq(memcmp(got, data + at, (size_t)more), 0, "at %zu", at);
        at += (size_t)more;
    }
}

static int progresses;
static uint64_t last_sent;

static int note_progress(mh_response *res)
{
    progresses++;
    cr_assert(res->sent > last_sent || res->received > 0);
    cr_assert_leq(res->sent, res->sent_total);
    last_sent = res->sent;
    return 0;
}

Test(upload, a_large_body)
{
    char *data = pattern(LARGE);
    begin((mh_fetch){.body = {data, LARGE}, .expect_timeout_ms = -1, .on_progress = note_progress});
    stage_hear_head(fd);
    cr_assert_not(head_has("Expect"));
    expect_pattern(data, LARGE);
    stage_until(a.res.sent == LARGE);
    cr_assert_eq(last_sent, LARGE);
    cr_assert_gt(progresses, 1);
    answer();
    cr_assert_eq(a.res.sent, LARGE);
    cr_assert(is_open(fd), "it is kept");
    free(data);
    end();
}

/* ---- from a callback ---- */

/* What is to be given, and in pieces of which size; beside what is to go wrong. */
static struct {
    const char *data;
    size_t len, at, piece;
    int calls, rest_at, fail_at, err;
    size_t caps; /* the largest */
} source;

static ssize_t give(mh_response *res, char *buf, size_t cap)
{
    size_t left = source.len - source.at;
    size_t len = left < source.piece ? left : source.piece;
    (void)res;
    source.calls++;
    if (source.calls == source.rest_at)
        return -EAGAIN;
    if (source.calls == source.fail_at)
        return source.err;
    source.caps = cap > source.caps ? cap : source.caps;
    len = len < cap ? len : cap;
    memcpy(buf, source.data + source.at, len);
    source.at += len;
    return (ssize_t)len;
}

static void source_is(const char *text, size_t piece)
{
    memset(&source, 0, sizeof(source));
    source.data = text;
    source.len = strlen(text);
    source.piece = piece;
}

Test(upload, a_known_length)
{
    source_is("hello world", 4);
    begin((mh_fetch){.on_upload = give, .upload_len = 11});
    stage_hear(fd);
    cr_assert(head_has("Content-Length: 11\r\n"));
    cr_assert_str_eq(heard_body(), "hello world");
    answer();
    cr_assert_eq(a.res.sent, 11);
    cr_assert_eq(a.res.sent_total, 11);
    cr_assert_eq(source.calls, 3, "it is not asked for more");
    cr_assert_eq(source.caps, 11, "nor offered more room than there is left");
    cr_assert(is_open(fd));
    end();
}

Test(upload, an_unknown_length)
{
    source_is("hello world", 4);
    begin((mh_fetch){.on_upload = give, .expect_timeout_ms = -1});
    stage_hear_head(fd);
    cr_assert(head_has("Transfer-Encoding: chunked\r\n"));
    stage_until(hear_more(fd) < 0 || strstr(heard, "\r\n0\r\n\r\n"));
    cr_assert_str_eq(heard_body(), "4\r\nhell\r\n4\r\no wo\r\n3\r\nrld\r\n0\r\n\r\n");
    cr_assert_eq(a.res.sent_total, MH_LENGTH_UNKNOWN);
    answer();
    cr_assert_eq(a.res.sent, 11);
    cr_assert(is_open(fd));
    end();
}

Test(upload, nothing_of_an_unknown_length)
{
    source_is("", 4);
    begin((mh_fetch){.on_upload = give, .method = "PUT", .expect_timeout_ms = -1});
    stage_hear_head(fd);
    stage_until(hear_more(fd) < 0 || strstr(heard, "0\r\n\r\n"));
    cr_assert_str_eq(heard_body(), "0\r\n\r\n");
    answer();
    cr_assert_eq(a.res.sent, 0);
    end();
}

Test(upload, a_large_one_of_a_known_length)
{
    char *data = pattern(LARGE);
    source_is("", 100000);
    source.data = data;
    source.len = LARGE;
    begin((mh_fetch){.on_upload = give,
                     .upload_len = LARGE,
                     .expect_timeout_ms = -1,
                     .on_progress = note_progress});
    stage_hear_head(fd);
    expect_pattern(data, LARGE);
    answer();
    cr_assert_eq(a.res.sent, LARGE);
    cr_assert_gt(progresses, 1);
    free(data);
    end();
}

static void fails(mh_fetch fetch, int err, const char *words)
{
    fetch.on_upload = give;
    begin(fetch);
    stage_finish(&a);
    call_expect(&a, err, MH_PHASE_SEND, words);
    stage_swallow(fd, SIZE_MAX);
    stage_expect_closed(fd);
    fd = stage_listen("127.0.0.1:0", &stage.port); /* for end() to close */
    end();
}

Test(upload, too_short)
{
    source_is("hello", 5);
    fails((mh_fetch){.upload_len = 6}, MH_ERR_FRAMING, "on_upload ended before upload_len bytes");
}

Test(upload, an_error_of_the_callback)
{
    source_is("hello", 1);
    source.fail_at = 3;
    source.err = -ENOENT;
    fails((mh_fetch){.expect_timeout_ms = -1}, -ENOENT, NULL);
}

Test(upload, an_error_of_the_callback_and_nothing_was_given)
{
    source_is("hello", 1);
    source.fail_at = 1;
    source.err = MH_ERR_CODING;
    fails((mh_fetch){.upload_len = 5}, MH_ERR_CODING, NULL);
}

static ssize_t give_too_much(mh_response *res, char *buf, size_t cap)
{
    (void)res;
    (void)buf;
    return (ssize_t)cap + 1;
}

Test(upload, more_than_there_was_room_for)
{
    stage_open(NULL);
    stage_submit(&a, (mh_fetch){.on_upload = give_too_much, .expect_timeout_ms = -1});
    stage_finish(&a);
    cr_assert_eq(a.result, -EINVAL);
    fd = stage_accept();
    end();
}

Test(upload, nothing_for_now)
{
    source_is("hello world", 6);
    source.rest_at = 2;
    begin((mh_fetch){.on_upload = give, .upload_len = 11, .idle_timeout_ms = 15});
    stage_hear_head(fd);
    stage_hear_up_to(fd, heard_len - strlen(heard_body()) + 6);
    stage_rest(40);
    cr_assert_eq(a.done, 0, "it is not the peer's fault");
    cr_assert_eq(source.calls, 2, "and not asked again by itself");
    cr_assert_eq(a.res.sent, 6);
    mh_client_pause(&a.res, false);
    stage_hear_up_to(fd, heard_len + 5);
    cr_assert_str_eq(heard_body(), "hello world");
    answer();
    end();
}

Test(upload, nothing_at_first)
{
    source_is("hello", 6);
    source.rest_at = 1;
    begin((mh_fetch){.on_upload = give, .upload_len = 5});
    stage_hear_head(fd);
    stage_rest(10);
    cr_assert_str_eq(heard_body(), "");
    mh_client_pause(&a.res, false);
    stage_hear_up_to(fd, heard_len + 5);
    answer();
    end();
}

static ssize_t resume_at_once(mh_response *res, char *buf, size_t cap)
{
    static int calls;
    (void)cap;
    if (calls++ % 2 == 0) {
        mh_client_pause(res, false);
        return -EAGAIN;
    }
    buf[0] = 'x';
    return calls < 10;
}

Test(upload, asked_for_again_from_within)
{
    begin((mh_fetch){.on_upload = resume_at_once, .expect_timeout_ms = -1});
    stage_hear_head(fd);
    stage_until(hear_more(fd) < 0 || strstr(heard, "\r\n0\r\n\r\n"));
    answer();
    cr_assert_eq(a.res.sent, 4);
    end();
}

/* Whoever has much to send does not keep the loop from its other work. */
Test(upload, it_is_no_more_than_a_share_of_a_turn)
{
    char *data = pattern(LARGE);
    source_is("", 1);
    source.data = data;
    source.len = LARGE;
    begin((mh_fetch){.on_upload = give, .upload_len = LARGE, .expect_timeout_ms = -1});
    for (int i = 0; i < 10; i++) {
        int calls = source.calls;
        stage_turn();
        cr_assert(source.calls > calls && source.calls <= calls + 100);
    }
    mh_client_cancel(&a.res);
    stage_finish(&a);
    call_expect(&a, -ECANCELED, MH_PHASE_SEND, NULL);
    free(data);
    end();
}

/* A pause is for what is received: what is sent goes on. */
Test(upload, a_pause_does_not_stop_it)
{
    char *data = pattern(LARGE);
    begin((mh_fetch){.body = {data, LARGE}, .expect_timeout_ms = -1});
    stage_hear_head(fd);
    mh_client_pause(&a.res, true);
    expect_pattern(data, LARGE);
    stage_say(fd, HELLO);
    stage_rest(20);
    cr_assert_eq(a.done, 0);
    mh_client_pause(&a.res, false);
    stage_finish(&a);
    free(data);
    end();
}

/* ---- answers before the end ---- */

static char large[16 << 20];

Test(upload, an_early_answer)
{
    begin((mh_fetch){.body = {large, sizeof(large)}, .expect_timeout_ms = -1});
    stage_hear_head(fd);
    answer();
    cr_assert_lt(a.res.sent, sizeof(large));
    cr_assert_eq(a.res.sent_total, sizeof(large));
    cr_assert_str_eq(a.res.body.data, "hello");
    end();
}

Test(upload, an_early_answer_and_then_a_reset)
{
    begin((mh_fetch){.body = {large, sizeof(large)}, .expect_timeout_ms = -1});
    stage_hear_head(fd);
    stage_say(fd, "HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno");
    close(fd); /* there is something unread: a reset */
    stage_finish(&a);
    call_expect(&a, 413, MH_PHASE_DONE, NULL);
    fd = stage_listen("127.0.0.1:0", &stage.port);
    end();
}

Test(upload, a_reset_and_no_answer)
{
    begin((mh_fetch){.body = {large, sizeof(large)}, .expect_timeout_ms = -1, .method = "PUT"});
    stage_hear_head(fd);
    close(fd);
    stage_finish(&a);
    cr_assert(a.result == -ECONNRESET || a.result == -EPIPE, "%s", mh_errname(a.result));
    cr_assert_eq(a.res.phase, MH_PHASE_SEND);
    cr_assert(a.res.retryable);
    fd = stage_listen("127.0.0.1:0", &stage.port);
    end();
}

Test(upload, a_peer_that_takes_nothing)
{
    begin(
        (mh_fetch){.body = {large, sizeof(large)}, .expect_timeout_ms = -1, .idle_timeout_ms = 50});
    stage_finish(&a);
    call_expect(&a, -ETIMEDOUT, MH_PHASE_SEND, "no byte for 50 ms");
    end();
}

/* A little at a time is not nothing. */
Test(upload, a_peer_that_is_slow)
{
    int room = 65536; /* or the kernel takes all of it */
    stage_open(NULL);
    setsockopt(stage.listener, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
    stage_submit(&a, (mh_fetch){.body = {large, sizeof(large)},
                                .expect_timeout_ms = -1,
                                .idle_timeout_ms = 500});
    fd = stage_accept();
    for (size_t taken = 0; taken < sizeof(large); taken += 1 << 20) {
        cr_assert_gt(stage_swallow(fd, 1 << 20), 0);
        stage_rest(60);
    }
    cr_assert_eq(a.done, 0, "%s", a.res.detail);
    answer();
    end();
}

/* ---- Expect: 100-continue (RFC 9110 section 10.1.1) ---- */

#define WAITING .body = MH_STR("hello"), .expect_timeout_ms = 5000

static void begin_waiting(mh_fetch fetch)
{
    begin(fetch);
    stage_hear_head(fd);
    cr_assert(head_has("Expect: 100-continue\r\n"));
    stage_rest(10);
    cr_assert_str_eq(heard_body(), "");
    cr_assert_eq(a.res.sent, 0);
}

static void expect_body(const char *text)
{
    stage_hear_up_to(fd, heard_len + strlen(text));
    cr_assert_str_eq(heard_body(), text);
}

Test(upload, it_is_told_to_continue)
{
    begin_waiting((mh_fetch){WAITING});
    stage_say(fd, "HTTP/1.1 100 Continue\r\n\r\n");
    expect_body("hello");
    answer();
    cr_assert_eq(a.res.sent, 5);
    cr_assert_eq(a.heads, 1);
    cr_assert(is_open(fd));
    end();
}

/* Another interim answer says nothing about the body. */
Test(upload, it_is_told_to_wait_and_to_continue)
{
    begin_waiting((mh_fetch){WAITING});
    stage_say(fd, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
    stage_rest(10);
    cr_assert_eq(hear_more(fd), 0);
    cr_assert_str_eq(heard_body(), "");
    stage_say(fd, "HTTP/1.1 100 Continue\r\n\r\n");
    expect_body("hello");
    answer();
    end();
}

Test(upload, it_is_refused)
{
    begin_waiting((mh_fetch){WAITING});
    stage_say(fd, "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno");
    stage_finish(&a);
    call_expect(&a, 403, MH_PHASE_DONE, NULL);
    cr_assert_eq(a.res.sent, 0);
    cr_assert_eq(a.res.sent_total, 5);
    stage_expect_closed(fd); /* the peer could not know whether a body comes */
    fd = stage_listen("127.0.0.1:0", &stage.port);
    end();
}

Test(upload, it_is_answered_and_wanted_all_the_same)
{
    begin_waiting((mh_fetch){WAITING});
    stage_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
    expect_body("hello");
    stage_say(fd, "ok");
    stage_finish(&a);
    call_expect(&a, 200, MH_PHASE_DONE, NULL);
    cr_assert_eq(a.res.sent, 5);
    end();
}

Test(upload, silence_is_consent)
{
    int64_t from = mh__clock_ms();
    begin((mh_fetch){.body = MH_STR("hello"), .expect_timeout_ms = 30});
    stage_hear(fd);
    cr_assert(head_has("Expect: 100-continue\r\n"));
    cr_assert_str_eq(heard_body(), "hello");
    cr_assert_geq(mh__clock_ms() - from, 30);
    answer();
    end();
}

Test(upload, silence_is_consent_and_the_answer_comes_late)
{
    begin((mh_fetch){.body = MH_STR("hello"), .expect_timeout_ms = 10});
    stage_hear(fd);
    stage_say(fd, "HTTP/1.1 100 Continue\r\n\r\n");
    answer();
    cr_assert_str_eq(heard_body(), "hello");
    end();
}

/* The first byte of an answer is no answer. */
Test(upload, silence_in_the_middle_of_an_answer)
{
    begin((mh_fetch){.body = MH_STR("hello"), .expect_timeout_ms = 40});
    stage_hear_head(fd);
    stage_say(fd, "HTTP/1.1 ");
    expect_body("hello");
    stage_say(fd, "100 Continue\r\n\r\n");
    answer();
    end();
}

Test(upload, a_large_body_waits)
{
    begin((mh_fetch){.body = {large, MH_FETCH_EXPECT_MIN}});
    stage_hear_head(fd);
    cr_assert(head_has("Expect: 100-continue\r\n"));
    stage_say(fd, "HTTP/1.1 100 Continue\r\n\r\n");
    cr_assert_eq(stage_swallow(fd, MH_FETCH_EXPECT_MIN), MH_FETCH_EXPECT_MIN);
    answer();
    end();
}

Test(upload, a_smaller_one_does_not)
{
    begin((mh_fetch){.body = {large, MH_FETCH_EXPECT_MIN - 1}});
    stage_hear_head(fd);
    cr_assert_not(head_has("Expect"));
    answer();
    end();
}

/* It could be large. */
Test(upload, a_body_of_unknown_length_waits)
{
    source_is("hello", 9);
    begin_waiting((mh_fetch){.on_upload = give});
    cr_assert_eq(source.calls, 0);
    answer();
    end();
}

Test(upload, an_upload_waits_too)
{
    source_is("hello", 9);
    begin_waiting((mh_fetch){.on_upload = give, .expect_timeout_ms = 5000});
    cr_assert_eq(source.calls, 0);
    stage_say(fd, "HTTP/1.1 100 Continue\r\n\r\n");
    stage_until(hear_more(fd) < 0 || strstr(heard, "\r\n0\r\n\r\n"));
    answer();
    cr_assert_eq(a.res.sent, 5);
    end();
}

/* Once more, and without: whatever the peer thinks of it. */
Test(upload, the_expectation_is_refused)
{
    begin_waiting((mh_fetch){WAITING});
    stage_say(fd, "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n");
    stage_expect_closed(fd);
    fd = stage_accept();
    stage_hear(fd);
    cr_assert_not(head_has("Expect"));
    cr_assert_str_eq(heard_body(), "hello");
    answer();
    cr_assert_eq(a.res.redirects, 0);
    end();
}

Test(upload, refused_again_is_a_result)
{
    begin_waiting((mh_fetch){WAITING});
    stage_say(fd, "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n");
    stage_expect_closed(fd);
    fd = stage_accept();
    stage_hear(fd);
    stage_say(fd, "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n");
    stage_finish(&a);
    call_expect(&a, 417, MH_PHASE_DONE, NULL);
    end();
}

/* An Expect of the caller's is his. */
Test(upload, refused_and_we_had_not_asked)
{
    begin((mh_fetch){.body = MH_STR("hello"),
                     .headers = (const char *const[]){"Expect: 100-continue", NULL}});
    stage_hear(fd);
    stage_say(fd, "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n");
    stage_finish(&a);
    call_expect(&a, 417, MH_PHASE_DONE, NULL);
    end();
}

/* The wait for an answer has a limit, and so have others: before there is a connection, and behind
 * the answer. */
Test(upload, no_connection_while_a_body_would_wait)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(addr);
    char url[80];
    int full = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), filler[4];
    cr_assert_eq(bind(full, (struct sockaddr *)&addr, sizeof(addr)), 0);
    cr_assert_eq(listen(full, 0), 0);
    cr_assert_eq(getsockname(full, (struct sockaddr *)&addr, &len), 0);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", ntohs(addr.sin_port));
    for (int i = 0; i < 4; i++) {
        filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)!connect(filler[i], (struct sockaddr *)&addr, sizeof(addr));
    }
    stage_open(NULL);
    stage_submit(&a, (mh_fetch){WAITING, .url = url, .connect_timeout_ms = 50});
    stage_finish(&a);
    call_expect(&a, -ETIMEDOUT, MH_PHASE_CONNECT, "no connection within 50 ms");
    call_free(&a);
    stage_close();
    for (int i = 0; i < 4; i++)
        close(filler[i]);
    close(full);
}

Test(upload, silence_behind_a_refusal)
{
    begin_waiting((mh_fetch){WAITING, .idle_timeout_ms = 50});
    stage_say(fd, "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nn");
    stage_finish(&a);
    call_expect(&a, -ETIMEDOUT, MH_PHASE_BODY, "no byte for 50 ms");
    end();
}

Test(upload, no_time_while_it_waits)
{
    begin_waiting((mh_fetch){WAITING, .timeout_ms = 60});
    stage_finish(&a);
    call_expect(&a, -ETIMEDOUT, MH_PHASE_SEND, "not complete within 60 ms");
    end();
}

/* ---- redirects ---- */

static void redirect(int status)
{
    char text[200];
    snprintf(text, sizeof(text), "HTTP/1.1 %d -\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n",
             status);
    stage_say(fd, text);
}

Test(upload, a_body_in_memory_is_repeated)
{
    for (int status = 307; status <= 308; status++) {
        begin((mh_fetch){.body = MH_STR("hello"), .on_progress = NULL});
        stage_hear(fd);
        redirect(status);
        stage_hear(fd);
        cr_assert_eq(strncmp(heard, "POST /there HTTP/1.1\r\n", 22), 0);
        cr_assert_str_eq(heard_body(), "hello");
        answer();
        cr_assert_eq(a.res.sent, 5);
        cr_assert_eq(a.res.redirects, 1);
        end();
    }
}

Test(upload, what_was_uploaded_cannot_be_repeated)
{
    source_is("hello", 9);
    begin((mh_fetch){.on_upload = give, .upload_len = 5});
    stage_hear(fd);
    redirect(307);
    stage_finish(&a);
    call_expect(&a, MH_ERR_REDIRECT, a.res.phase,
                "a redirect, and the body from on_upload cannot be sent again");
    end();
}

Test(upload, what_was_uploaded_need_not_be_repeated)
{
    source_is("hello", 9);
    begin((mh_fetch){.on_upload = give, .upload_len = 5});
    stage_hear(fd);
    redirect(303);
    stage_hear(fd);
    cr_assert_eq(strncmp(heard, "GET /there HTTP/1.1\r\n", 21), 0);
    cr_assert_not(head_has("Content-Length"));
    cr_assert_not(head_has("Transfer-Encoding"));
    answer();
    cr_assert_eq(source.calls, 1);
    cr_assert_eq(a.res.sent, 0);
    cr_assert_eq(a.res.sent_total, 0);
    end();
}

/* It was not asked for yet. */
Test(upload, an_upload_that_waits_is_sent_elsewhere)
{
    source_is("hello", 9);
    begin_waiting((mh_fetch){.on_upload = give, .upload_len = 5, .expect_timeout_ms = 5000});
    redirect(307);
    stage_expect_closed(fd);
    fd = stage_accept();
    stage_hear_head(fd);
    stage_say(fd, "HTTP/1.1 100 Continue\r\n\r\n");
    expect_body("hello");
    answer();
    end();
}

/* The redirect is there before the body has gone. */
Test(upload, a_redirect_while_it_is_sent)
{
    begin((mh_fetch){.body = {large, sizeof(large)}, .expect_timeout_ms = -1});
    stage_hear_head(fd);
    redirect(302);
    stage_swallow(fd, SIZE_MAX);
    close(fd);
    fd = stage_accept();
    stage_hear(fd);
    cr_assert_eq(strncmp(heard, "GET /there HTTP/1.1\r\n", 21), 0);
    answer();
    end();
}
