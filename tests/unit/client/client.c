/* What a client is made of: lib/client/client.c; and what on_trace sees. */
#include "stage.h"

#include "client/client.h"

TestSuite(client, .timeout = 60);

static struct call a, b;
static int fd = -1;

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

/* ---- options ---- */

static void refused(mh_client_options options, int err)
{
    mh_client *client = (mh_client *)(void *)&options;
    int before = open_descriptors();
    cr_assert_eq(mh_client_new(&client, &options), err);
    cr_assert_null(client);
    cr_assert_eq(open_descriptors(), before);
}

Test(client, options_that_are_no_good)
{
    refused((mh_client_options){.connections_max = -1}, -EINVAL);
    refused((mh_client_options){.connections_per_host_max = -1}, -EINVAL);
    refused((mh_client_options){.idle_timeout_ms = -2}, -EINVAL);
    refused((mh_client_options){.reserved = {0, 0, 0, 0, 0, 0, 0, 1}}, -EINVAL);
    refused((mh_client_options){.proxy = "http://"}, MH_ERR_URL);
    refused((mh_client_options){.proxy = "http://h/path"}, MH_ERR_URL);
    refused((mh_client_options){.proxy = "socks5://h:1080"}, MH_ERR_SCHEME);
    refused((mh_client_options){.addresses = (const char *const[]){"nonsense", NULL}}, -EINVAL);
    refused((mh_client_options){.addresses = (const char *const[]){"a:80=1.2.3.4:5", "b", NULL}},
            -EINVAL);
}

Test(client, files_that_are_not_there)
{
    int err = mh__tls_available ? -ENOENT : MH_ERR_SCHEME;
    refused((mh_client_options){.ca_file = "/nonexistent/ca.pem"}, err);
    refused((mh_client_options){.cert_file = "/nonexistent/cert.pem"}, err);
    refused((mh_client_options){.cert_file = "/nonexistent/cert.pem", .key_file = "/none"}, err);
    refused((mh_client_options){.key_file = "/none"}, -EINVAL); /* of which certificate? */
}

Test(client, files_that_hold_something_else)
{
    int err = mh__tls_available ? MH_ERR_TLS : MH_ERR_SCHEME;
    refused((mh_client_options){.ca_file = "/dev/null"}, err);
    refused((mh_client_options){.cert_file = "/dev/null"}, err);
}

Test(client, no_options_are_the_standard)
{
    mh_client *client;
    cr_assert_eq(mh_client_new(&client, NULL), 0);
    cr_assert_eq(client->connections_max, MH_CLIENT_CONNECTIONS_MAX);
    cr_assert_eq(client->per_host_max, MH_CLIENT_PER_HOST_MAX);
    cr_assert_eq(client->idle_ms, MH_CLIENT_IDLE_TIMEOUT_MS);
    cr_assert_not(client->insecure);
    cr_assert(mh_str_equal(mh_buf_str(&client->agent), MH__AGENT));
    mh_client_free(client);
    mh_client_free(NULL);
}

/* What they point to may go. */
Test(client, options_are_copied)
{
    char agent[] = "agent", line[80], proxy[] = "";
    stage_open(NULL);
    mh_client_free(stage.client);
    snprintf(line, sizeof(line), "some.test:80=127.0.0.1:%d", stage.port);
    const char *lines[] = {line, NULL};
    mh_client_options options = {.user_agent = agent, .addresses = lines, .proxy = proxy};
    cr_assert_eq(mh_client_new(&stage.client, &options), 0);
    memset(agent, 'x', sizeof(agent));
    memset(line, 'x', sizeof(line));
    memset(&options, 1, sizeof(options));
    lines[0] = NULL;
    stage_submit(&a, (mh_fetch){.url = "http://some.test/"});
    fd = stage_accept();
    stage_exchange(&a, fd);
    cr_assert(head_has("\r\nUser-Agent: agent\r\n"));
    end();
}

static void agent_is(const char *option, const char *const *headers, const char *line)
{
    stage_open(&(mh_client_options){.user_agent = option});
    stage_submit(&a, (mh_fetch){.headers = headers});
    fd = stage_accept();
    stage_exchange(&a, fd);
    if (line)
        cr_assert(head_has(line), "%s", heard);
    else
        cr_assert_not(head_has("User-Agent"));
    end();
}

Test(client, user_agents)
{
    char line[80];
    snprintf(line, sizeof(line), "\r\nUser-Agent: minihttp/%s\r\n", mh_version());
    agent_is(NULL, NULL, line);
    agent_is("me/1", NULL, "\r\nUser-Agent: me/1\r\n");
    agent_is("", NULL, NULL);
    agent_is("me/1", (const char *const[]){"user-agent: other", NULL}, "\r\nuser-agent: other\r\n");
}

/* It is found out where it is to be sent. */
Test(client, a_user_agent_that_cannot_be_sent)
{
    stage_open(&(mh_client_options){.user_agent = "a\r\nb"});
    mh_fetch fetch = {.url = stage.url};
    cr_assert_eq(mh_client_submit(stage.client, stage.loop, &fetch, &a.res), -EINVAL);
    end();
}

/* ---- the environment ---- */

static void environment_client(const mh_client_options *options)
{
    mh_client_free(stage.client);
    cr_assert_eq(mh_client_new(&stage.client, options), 0);
    cr_assert_eq(unsetenv("http_proxy"), 0, "it is not looked at later");
}

Test(client, a_proxy_of_the_environment)
{
    stage_open(NULL);
    setenv("http_proxy", stage.authority, 1);
    setenv("no_proxy", "127.0.0.0/8", 1);
    environment_client(NULL);
    stage_submit(&a, (mh_fetch){.url = "http://some.test/x"});
    fd = stage_accept();
    stage_exchange(&a, fd);
    cr_assert_eq(strncmp(heard, "GET http://some.test/x ", 23), 0);
    stage_get(&b);
    int direct = stage_accept();
    stage_exchange(&b, direct);
    cr_assert_eq(strncmp(heard, "GET / ", 6), 0, "%s", heard);
    close(direct);
    end();
}

Test(client, a_blocking_call_without_a_client_reads_the_environment_too)
{
    mh_response res = {0};
    mh_fetch fetch = {.url = "http://some.test/x"};
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    cr_assert_eq(mh_client_fetch(NULL, &fetch, &res), -ECONNREFUSED);
    cr_assert_eq(res.phase, MH_PHASE_CONNECT);
    mh_response_free(&res);
    setenv("http_proxy", "socks5://127.0.0.1:1", 1);
    cr_assert_eq(mh_client_fetch(NULL, &fetch, &res), MH_ERR_SCHEME);
    cr_assert_eq(res.error, MH_ERR_SCHEME);
    cr_assert_eq(res.phase, MH_PHASE_START);
    mh_response_free(&res);
}

Test(client, an_empty_proxy_is_none)
{
    stage_open(NULL);
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    environment_client(&(mh_client_options){.proxy = ""});
    stage_get(&a);
    fd = stage_accept();
    stage_exchange(&a, fd);
    end();
}

Test(client, an_option_counts_more_than_the_environment)
{
    stage_open(NULL);
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("no_proxy", "*", 1);
    environment_client(&(mh_client_options){.proxy = stage.authority});
    stage_submit(&a, (mh_fetch){.url = "http://some.test/x"});
    fd = stage_accept();
    stage_exchange(&a, fd);
    cr_assert_eq(strncmp(heard, "GET http://some.test/x ", 23), 0);
    end();
}

/* ---- on_trace ---- */

static char traced[2][1 << 16];
static size_t traced_len[2];

static int trace(mh_response *res, mh_direction direction, const char *data, size_t len)
{
    (void)res;
    cr_assert_gt(len, 0);
    cr_assert_lt(traced_len[direction] + len, sizeof(traced[0]));
    memcpy(traced[direction] + traced_len[direction], data, len);
    traced_len[direction] += len;
    traced[direction][traced_len[direction]] = '\0';
    return 0;
}

static void trace_anew(void)
{
    traced_len[MH_SENT] = traced_len[MH_RECEIVED] = 0;
    traced[MH_SENT][0] = traced[MH_RECEIVED][0] = '\0';
}

static ssize_t upload(mh_response *res, char *buf, size_t cap)
{
    (void)cap;
    memcpy(buf, "hello", 5);
    return res->sent < 10 ? 5 : 0;
}

static const char chunked[] = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
                              "HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n"
                              "5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nT: railer\r\n\r\n";

static void expect_trace(size_t piece)
{
    for (size_t at = 0; at < strlen(chunked); at += piece) {
        size_t left = strlen(chunked) - at;
        stage_say_bytes(fd, (mh_str){chunked + at, left < piece ? left : piece});
        stage_turn();
    }
    stage_finish(&a);
    call_expect(&a, 200, MH_PHASE_DONE, NULL);
    cr_assert_str_eq(traced[MH_SENT], heard);
    cr_assert_str_eq(traced[MH_RECEIVED], chunked);
}

/* The bytes as they pass, framing and all; in whatever pieces. */
Test(client, a_trace_of_all_bytes)
{
    for (size_t piece = 1; piece < 200; piece = piece * 3 + 1) {
        stage_open(NULL);
        trace_anew();
        stage_submit(&a, (mh_fetch){.on_trace = trace, .body = MH_STR("hello")});
        fd = stage_accept();
        stage_hear(fd);
        expect_trace(piece);
        end();
    }
}

Test(client, a_trace_of_an_upload)
{
    stage_open(NULL);
    stage_submit(&a, (mh_fetch){.on_trace = trace, .on_upload = upload, .expect_timeout_ms = -1});
    fd = stage_accept();
    stage_hear_head(fd);
    stage_until(hear_more(fd) < 0 || strstr(heard, "\r\n0\r\n\r\n"));
    expect_trace(1000);
    end();
}

Test(client, a_trace_of_a_redirect)
{
    stage_open(NULL);
    stage_submit(&a, (mh_fetch){.on_trace = trace});
    fd = stage_accept();
    stage_hear(fd);
    const char redirect[] = "HTTP/1.1 302 -\r\nLocation: /b\r\nContent-Length: 3\r\n\r\nbye";
    stage_say(fd, redirect);
    size_t first = heard_len;
    stage_exchange(&a, fd);
    cr_assert_eq(traced_len[MH_SENT], first + heard_len);
    cr_assert_eq(strncmp(traced[MH_RECEIVED], redirect, strlen(redirect)), 0);
    cr_assert_str_eq(traced[MH_RECEIVED] + strlen(redirect), HELLO);
    end();
}

static void with_secrets(unsigned flags)
{
    char url[100];
    stage_open(NULL);
    snprintf(url, sizeof(url), "http://user:pass@%s/", stage.authority);
    stage_submit(&a, (mh_fetch){.on_trace = trace,
                                .url = url,
                                .flags = flags,
                                .headers = (const char *const[]){"Cookie: one", "X-Key: two", NULL},
                                .secrets = (const char *const[]){"x-key", NULL}});
    fd = stage_accept();
    stage_hear(fd);
    cr_assert(head_has("Cookie: one\r\n"));
    cr_assert(head_has("X-Key: two\r\n"));
    cr_assert(head_has("Authorization: Basic dXNlcjpwYXNz\r\n"));
    stage_say(fd, "HTTP/1.1 200 OK\r\nSet-Cookie: three\r\nContent-Length: 0\r\n\r\n");
    stage_finish(&a);
    cr_assert_eq(traced_len[MH_SENT], heard_len);
    cr_assert(mh_str_equal(mh_headers_get(a.res.headers, "Set-Cookie"), "three"));
}

Test(client, secrets_are_blanked)
{
    with_secrets(0);
    cr_assert(strstr(traced[MH_SENT], "Cookie: ***\r\n"));
    cr_assert(strstr(traced[MH_SENT], "X-Key: ***\r\n"));
    cr_assert(strstr(traced[MH_SENT], "Authorization: Basic ************\r\n"));
    cr_assert(strstr(traced[MH_RECEIVED], "Set-Cookie: *****\r\n"));
    end();
}

Test(client, secrets_are_shown)
{
    with_secrets(MH_FETCH_SHOW_SECRETS);
    cr_assert_str_eq(traced[MH_SENT], heard);
    cr_assert(strstr(traced[MH_RECEIVED], "Set-Cookie: three\r\n"));
    end();
}

static int trace_fails(mh_response *res, mh_direction direction, const char *data, size_t len)
{
    (void)data;
    (void)len;
    return (int)direction == *(int *)res->user ? -EPERM : 0;
}

Test(client, a_trace_ends_it)
{
    stage_open(NULL);
    for (int direction = MH_SENT; direction <= MH_RECEIVED; direction++) {
        stage_submit(&a, (mh_fetch){.on_trace = trace_fails, .user = &direction});
        fd = stage_accept();
        if (direction == MH_RECEIVED) {
            stage_hear(fd);
            stage_say(fd, HELLO);
        }
        stage_finish(&a);
        cr_assert_eq(a.result, -EPERM);
        close(fd);
    }
    fd = -1;
    end();
}

/* ---- blocking calls ---- */

static void *serve(void *arg)
{
    int count = *(int *)arg;
    cr_assert(is_ready(stage.listener, POLLIN, STAGE_MS));
    int at = accept4(stage.listener, NULL, NULL, SOCK_CLOEXEC);
    for (int i = 0; i < count; i++) {
        char buf[4096];
        size_t len = 0;
        while (is_ready(at, POLLIN, STAGE_MS) &&
               (len < 4 || memcmp(buf + len - 4, "\r\n\r\n", 4) != 0)) {
            ssize_t more = recv(at, buf + len, sizeof(buf) - len, 0);
            if (more <= 0)
                break;
            len += (size_t)more;
            if (memcmp(buf + len - 4, "\r\n\r\n", 4) == 0)
                break;
        }
        (void)!send(at, HELLO, strlen(HELLO), MSG_NOSIGNAL);
    }
    close(at);
    return NULL;
}

/* Its connections are kept for the next call. */
Test(client, blocking_calls_keep_their_connection)
{
    enum { COUNT = 5 };
    int count = COUNT;
    pthread_t thread;
    mh_response res = {0};
    stage_open(NULL);
    cr_assert_eq(pthread_create(&thread, NULL, serve, &count), 0);
    for (int i = 0; i < COUNT; i++) {
        mh_fetch fetch = {.url = stage.url, .user = &count};
        cr_assert_eq(mh_client_fetch(stage.client, &fetch, &res), 200, "%s", res.detail);
        cr_assert_eq(res.timings.reused, i > 0);
        cr_assert_str_eq(res.body.data, "hello");
        cr_assert_eq(res.user, &count);
    }
    pthread_join(thread, NULL);
    mh_response_free(&res);
    stage_close();
}

/* The server has closed since: the next call makes a connection, a POST too. */
Test(client, blocking_calls_notice_a_close)
{
    int count = 1;
    pthread_t thread;
    mh_response res = {0};
    stage_open(NULL);
    for (int i = 0; i < 3; i++) {
        mh_fetch fetch = {.url = stage.url, .method = "POST"};
        cr_assert_eq(pthread_create(&thread, NULL, serve, &count), 0);
        cr_assert_eq(mh_client_fetch(stage.client, &fetch, &res), 200, "%s", res.detail);
        cr_assert_not(res.timings.reused);
        pthread_join(thread, NULL);
        (void)poll(NULL, 0, 110); /* a while, in which nobody looks at what was kept */
    }
    mh_response_free(&res);
    stage_close();
}

Test(client, no_fetch_or_response)
{
    mh_response res = {0};
    mh_fetch fetch = {.url = "http://h/"};
    cr_assert_eq(mh_client_fetch(NULL, NULL, &res), -EINVAL);
    cr_assert_eq(mh_client_fetch(NULL, &fetch, NULL), -EINVAL);
}
