/* https: lib/client/ against a TLS server made with OpenSSL, in the same thread, with certs.py's
 * certificates. */
#include <signal.h>

#include "stage.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "client/client.h"

static SSL_CTX *ctx;
static SSL *ssl; /* the server's end */
static int fd = -1;
static struct call a, b;

static void setup(void)
{
    cr_assert(getenv("MINIHTTP_CERTS"), "MINIHTTP_CERTS is not set");
    signal(SIGPIPE, SIG_IGN); /* OpenSSL's own writes */
}

TestSuite(secure, .init = setup, .timeout = 60);

/* ---- the server ---- */

static const char *cert_path(const char *name, const char *end)
{
    static char paths[4][512];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s%s", getenv("MINIHTTP_CERTS"), name, end);
    return path;
}

static void serve_as(const char *cert, int version)
{
    SSL_CTX_free(ctx);
    ctx = SSL_CTX_new(TLS_server_method());
    cr_assert(ctx);
    cr_assert_eq(SSL_CTX_use_certificate_chain_file(ctx, cert_path(cert, ".pem")), 1);
    cr_assert_eq(SSL_CTX_use_PrivateKey_file(ctx, cert_path(cert, ".key"), SSL_FILETYPE_PEM), 1);
    cr_assert_eq(SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"x", 1), 1);
    cr_assert_eq(SSL_CTX_set_min_proto_version(ctx, version), 1);
    cr_assert_eq(SSL_CTX_set_max_proto_version(ctx, version), 1);
}

static bool waits(int result)
{
    int err = SSL_get_error(ssl, result);
    return err == SSL_ERROR_WANT_READ || err == SSL_ERROR_WANT_WRITE;
}

/* Its handshake, to whichever end. */
static int greet(void)
{
    int result;
    ssl = SSL_new(ctx);
    cr_assert(ssl && SSL_set_fd(ssl, fd) == 1);
    stage_until((ERR_clear_error(), result = SSL_accept(ssl)) == 1 || !waits(result));
    ERR_clear_error();
    return result;
}

static void meet(void)
{
    fd = stage_accept();
    cr_assert_eq(greet(), 1);
}

static void part(bool notify)
{
    if (notify)
        (void)SSL_shutdown(ssl);
    else
        SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN); /* else it would forget the session */
    SSL_free(ssl);
    ssl = NULL;
    close(fd);
    fd = -1;
    ERR_clear_error();
}

/* A whole head, into `heard`. */
static int listen_more(void)
{
    ERR_clear_error();
    int len = SSL_read(ssl, heard + heard_len, (int)(sizeof(heard) - 1 - heard_len));
    if (len <= 0)
        return waits(len) ? 0 : -1;
    heard_len += (size_t)len;
    heard[heard_len] = '\0';
    return 0;
}

static void listen_to(void)
{
    heard_len = 0;
    heard[0] = '\0';
    stage_until(listen_more() < 0 || is_whole(true));
    cr_assert(is_whole(true), "%s", heard);
}

static void say_bytes(mh_str text)
{
    for (int64_t end = mh__deadline_in(STAGE_MS); text.len > 0;) {
        cr_assert_lt(mh__clock_ms(), end);
        ERR_clear_error();
        int len = SSL_write(ssl, text.ptr, text.len > 16384 ? 16384 : (int)text.len);
        cr_assert(len > 0 || waits(len));
        if (len > 0)
            text = (mh_str){text.ptr + len, text.len - (size_t)len};
        stage_turn();
    }
}

static void say(const char *text)
{
    say_bytes(mh_str_from(text));
}

/* ---- from beginning to end ---- */

static char url[80];

static void open_with(mh_client_options options, const char *cert, int version)
{
    char line[80];
    int port, other = stage_listen("127.0.0.1:0", &port);
    snprintf(line, sizeof(line), "localhost:443=127.0.0.1:%d", port);
    options.addresses = (const char *const[]){line, NULL};
    stage_open(&options);
    close(stage.listener);
    stage.listener = other;
    snprintf(stage.authority, sizeof(stage.authority), "127.0.0.1:%d", port);
    snprintf(url, sizeof(url), "https://localhost/");
    serve_as(cert, version);
}

static void trusting(int version)
{
    open_with((mh_client_options){.ca_file = cert_path("root", ".pem")}, "good", version);
}

static void ask(mh_fetch fetch)
{
    fetch.url = fetch.url ? fetch.url : url;
    stage_submit(&a, fetch);
}

static void answer(const char *script)
{
    listen_to();
    say(script);
    stage_finish(&a);
    call_expect(&a, 200, MH_PHASE_DONE, NULL);
}

static void end(void)
{
    call_free(&a);
    call_free(&b);
    if (fd >= 0)
        part(false);
    SSL_CTX_free(ctx);
    ctx = NULL;
    stage_close();
}

/* ---- exchanges ---- */

static void exchange(int version)
{
    trusting(version);
    ask((mh_fetch){.body = MH_STR("text")});
    meet();
    answer(HELLO);
    cr_assert(strcasestr(heard, "\r\nHost: localhost\r\n"));
    cr_assert_str_eq(strstr(heard, "\r\n\r\n") + 4, "text");
    cr_assert_str_eq(a.res.body.data, "hello");
    cr_assert_str_eq(a.res.peer, stage.authority);
    cr_assert_str_eq(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name), "localhost");
    cr_assert_geq(a.res.timings.secured_us, a.res.timings.connected_us);
    cr_assert_geq(a.res.timings.sent_us, a.res.timings.secured_us);
    for (int i = 0; i < 3; i++) {
        ask((mh_fetch){0});
        answer(HELLO);
        cr_assert(a.res.timings.reused);
        cr_assert_eq(a.res.timings.secured_us, -1);
    }
    end();
}

Test(secure, tls_1_2)
{
    exchange(TLS1_2_VERSION);
}

Test(secure, tls_1_3)
{
    exchange(TLS1_3_VERSION);
}

/* The same server, another connection: the handshake is a short one. */
Test(secure, sessions_are_resumed)
{
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        trusting(version);
        for (int i = 0; i < 3; i++) {
            ask((mh_fetch){0});
            meet();
            answer(HELLO);
            cr_assert_eq(SSL_session_reused(ssl), i > 0);
            cr_assert_not(a.res.timings.reused);
            part(true);
            stage_rest(5);
        }
        end();
    }
}

Test(secure, an_address_as_the_host)
{
    char address[80];
    trusting(TLS1_3_VERSION);
    snprintf(address, sizeof(address), "https://%s/", stage.authority);
    ask((mh_fetch){.url = address});
    meet();
    cr_assert_null(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
    answer(HELLO);
    end();
}

#define LARGE ((size_t)5 << 20)

static char *pattern(void)
{
    char *data = malloc(LARGE);
    cr_assert(data);
    for (size_t i = 0; i < LARGE; i++)
        data[i] = (char)(i * 31 + (i >> 9));
    return data;
}

static void say_large_head(void)
{
    char head[100];
    snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", LARGE);
    say(head);
}

Test(secure, a_large_body_each_way)
{
    char *data = pattern();
    static char part_of[16384];
    trusting(TLS1_3_VERSION);
    ask((mh_fetch){.body = {data, LARGE}, .expect_timeout_ms = -1});
    meet();
    heard_len = 0;
    heard[0] = '\0';
    stage_until(listen_more() < 0 || is_whole(false));
    size_t at = heard_len - (size_t)(strstr(heard, "\r\n\r\n") + 4 - heard);
    cr_assert_eq(memcmp(strstr(heard, "\r\n\r\n") + 4, data, at), 0);
    for (int64_t late = mh__deadline_in(STAGE_MS); at < LARGE;) {
        cr_assert_lt(mh__clock_ms(), late);
        stage_turn();
        ERR_clear_error();
        int len = SSL_read(ssl, part_of, sizeof(part_of));
        cr_assert(len > 0 || waits(len));
        if (len <= 0)
            continue;
        cr_assert_eq(memcmp(part_of, data + at, (size_t)len), 0);
        at += (size_t)len;
    }
    say_large_head();
    say_bytes((mh_str){data, LARGE});
    stage_finish(&a);
    call_expect(&a, 200, MH_PHASE_DONE, NULL);
    cr_assert_eq(a.res.sent, LARGE);
    cr_assert_eq(a.res.body.len, LARGE);
    cr_assert_eq(memcmp(a.res.body.data, data, LARGE), 0);
    free(data);
    end();
}

/* ---- pauses ---- */

static int pause_in_head(mh_response *res)
{
    mh_client_pause(res, true);
    return 0;
}

static int pause_in_body(mh_response *res, const char *data, size_t len)
{
    call_of(res)->bodies++;
    mh_client_pause(res, true);
    return mh_buf_append(&b.res.body, data, len); /* somewhere */
}

Test(secure, paused_and_all_is_there)
{
    trusting(TLS1_3_VERSION);
    ask((mh_fetch){.on_head = pause_in_head});
    meet();
    listen_to();
    say(HELLO);
    stage_rest(10);
    cr_assert_eq(a.done, 0);
    mh_client_pause(&a.res, false);
    stage_finish(&a);
    call_expect(&a, 200, MH_PHASE_DONE, NULL);
    cr_assert_str_eq(a.res.body.data, "hello");
    ask((mh_fetch){0});
    answer(HELLO);
    cr_assert(a.res.timings.reused);
    end();
}

Test(secure, paused_and_more_comes)
{
    char *data = pattern();
    trusting(TLS1_3_VERSION);
    ask((mh_fetch){.on_body = pause_in_body});
    meet();
    listen_to();
    say_large_head();
    size_t at = 0;
    int pauses = 0;
    for (int64_t late = mh__deadline_in(STAGE_MS); a.done == 0;) {
        cr_assert_lt(mh__clock_ms(), late);
        ERR_clear_error();
        int len = at < LARGE
                      ? SSL_write(ssl, data + at, LARGE - at > 16384 ? 16384 : (int)(LARGE - at))
                      : -1;
        at += len > 0 ? (size_t)len : 0;
        int bodies = a.bodies;
        stage_turn();
        cr_assert_leq(a.bodies, bodies + 1);
        if (len <= 0) {
            mh_client_pause(&a.res, false);
            pauses++;
        }
    }
    call_expect(&a, 200, MH_PHASE_DONE, NULL);
    cr_assert_gt(pauses, 10);
    cr_assert_eq(b.res.body.len, LARGE);
    cr_assert_eq(memcmp(b.res.body.data, data, LARGE), 0);
    free(data);
    end();
}

/* ---- the end of a body ---- */

Test(secure, a_body_until_close)
{
    trusting(TLS1_3_VERSION);
    ask((mh_fetch){0});
    meet();
    listen_to();
    say("HTTP/1.1 200 OK\r\n\r\nhello");
    part(true);
    stage_finish(&a);
    call_expect(&a, 200, MH_PHASE_DONE, NULL);
    cr_assert_str_eq(a.res.body.data, "hello");
    end();
}

Test(secure, a_body_until_close_that_was_cut)
{
    trusting(TLS1_3_VERSION);
    ask((mh_fetch){0});
    meet();
    listen_to();
    say("HTTP/1.1 200 OK\r\n\r\nhello");
    part(false);
    stage_finish(&a);
    call_expect(&a, MH_ERR_CLOSED, MH_PHASE_BODY,
                "closed without close_notify: the body may have been cut");
    end();
}

Test(secure, a_body_with_a_length_needs_no_goodbye)
{
    trusting(TLS1_3_VERSION);
    ask((mh_fetch){0});
    meet();
    answer("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello");
    end();
}

Test(secure, closed_in_the_body)
{
    trusting(TLS1_3_VERSION);
    ask((mh_fetch){0});
    meet();
    listen_to();
    say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello");
    part(true);
    stage_finish(&a);
    call_expect(&a, MH_ERR_CLOSED, MH_PHASE_BODY, "closed after 5 of 9 bytes of the body");
    end();
}

/* ---- a kept connection that ends ---- */

Test(secure, a_goodbye_to_what_is_kept)
{
    trusting(TLS1_3_VERSION);
    ask((mh_fetch){0});
    meet();
    answer(HELLO);
    (void)SSL_shutdown(ssl);
    int old = fd;
    stage_rest(5);
    ask((mh_fetch){.body = MH_STR("x")});
    SSL_free(ssl);
    meet();
    answer(HELLO);
    cr_assert_not(a.res.timings.reused);
    close(old);
    end();
}

Test(secure, data_on_what_is_kept)
{
    trusting(TLS1_3_VERSION);
    ask((mh_fetch){0});
    meet();
    answer(HELLO HELLO);
    int old = fd;
    SSL_free(ssl);
    ask((mh_fetch){.body = MH_STR("x")});
    meet();
    answer(HELLO);
    cr_assert_not(a.res.timings.reused);
    close(old);
    end();
}

Test(secure, a_race_is_run_again)
{
    trusting(TLS1_3_VERSION);
    ask((mh_fetch){0});
    meet();
    answer(HELLO);
    ask((mh_fetch){0});
    listen_to();
    part(true);
    meet();
    answer(HELLO);
    cr_assert_not(a.res.timings.reused);
    end();
}

/* ---- certificates ---- */

static const struct {
    const char *name, *words;
} bad[] = {
    {"expired", "certificate has expired"},
    {"early", "certificate is not yet valid"},
    {"self-signed", "self-signed certificate"},
    {"unknown", "unable to get local issuer certificate"},
    {"not-a-ca", "invalid CA certificate"},
    {"purpose", "unsuitable certificate purpose"},
    {"host", "host name mismatch: the certificate is for example.com, not localhost"},
    {"nameless", "host name mismatch: the certificate is for no host, not localhost"},
};

#define BAD (sizeof(bad) / sizeof(bad[0]))

Test(secure, certificates_that_are_refused)
{
    trusting(TLS1_3_VERSION);
    for (size_t i = 0; i < BAD; i++) {
        serve_as(bad[i].name, i % 2 ? TLS1_2_VERSION : TLS1_3_VERSION);
        ask((mh_fetch){.body = MH_STR("x")});
        fd = stage_accept();
        cr_assert_neq(greet(), 1);
        stage_finish(&a);
        call_expect(&a, MH_ERR_TLS, MH_PHASE_TLS, bad[i].words);
        cr_assert(a.res.retryable);
        cr_assert_eq(a.res.timings.secured_us, -1);
        cr_assert_str_eq(a.res.peer, stage.authority);
        part(false);
    }
    end();
}

Test(secure, certificates_that_are_not_looked_at)
{
    open_with((mh_client_options){.insecure = true}, "good", TLS1_3_VERSION);
    for (size_t i = 0; i < BAD; i++) {
        serve_as(bad[i].name, TLS1_3_VERSION);
        ask((mh_fetch){0});
        meet();
        answer(HELLO);
        part(true);
        stage_rest(2);
    }
    end();
}

Test(secure, the_roots_of_the_system)
{
    open_with((mh_client_options){0}, "good", TLS1_3_VERSION);
    ask((mh_fetch){0});
    fd = stage_accept();
    cr_assert_neq(greet(), 1);
    stage_finish(&a);
    call_expect(&a, MH_ERR_TLS, MH_PHASE_TLS, "unable to get local issuer certificate");
    end();
}

static void our_certificate(const char *cert, bool there)
{
    mh_client_options options = {.ca_file = cert_path("root", ".pem"), .cert_file = cert};
    open_with(options, "good", TLS1_2_VERSION);
    cr_assert_eq(SSL_CTX_load_verify_file(ctx, cert_path("root", ".pem")), 1);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    ask((mh_fetch){0});
    fd = stage_accept();
    cr_assert_eq(greet() == 1, there);
    if (there) {
        answer(HELLO);
    } else {
        stage_finish(&a);
        cr_assert_eq(a.result, MH_ERR_TLS);
        cr_assert_eq(a.res.phase, MH_PHASE_TLS);
        cr_assert_not_null(a.res.detail);
    }
    end();
}

Test(secure, a_certificate_of_our_own)
{
    our_certificate(cert_path("mixed", ".pem"), true);
}

Test(secure, no_certificate_of_our_own)
{
    our_certificate(NULL, false);
}

/* ---- handshakes that fail ---- */

Test(secure, a_handshake_that_is_not_answered)
{
    trusting(TLS1_3_VERSION);
    ask((mh_fetch){.tls_timeout_ms = 50, .body = MH_STR("x"), .expect_timeout_ms = 10});
    int silent = stage_accept();
    stage_finish(&a);
    call_expect(&a, -ETIMEDOUT, MH_PHASE_TLS, "no TLS within 50 ms");
    close(silent);
    ask((mh_fetch){.timeout_ms = 50});
    silent = stage_accept();
    stage_finish(&a);
    call_expect(&a, -ETIMEDOUT, MH_PHASE_TLS, "not complete within 50 ms");
    close(silent);
    end();
}

Test(secure, a_handshake_that_is_broken_off)
{
    trusting(TLS1_3_VERSION);
    ask((mh_fetch){0});
    int plain = stage_accept();
    stage_rest(5);
    shutdown(plain, SHUT_WR);
    stage_finish(&a);
    call_expect(&a, MH_ERR_CLOSED, MH_PHASE_TLS, "closed in the middle of the TLS handshake");
    close(plain);
    end();
}

Test(secure, a_peer_that_speaks_no_tls)
{
    trusting(TLS1_3_VERSION);
    ask((mh_fetch){0});
    int plain = stage_accept();
    stage_say(plain, "HTTP/1.1 400 Bad Request\r\n\r\n");
    stage_finish(&a);
    cr_assert_eq(a.result, MH_ERR_TLS);
    call_expect(&a, MH_ERR_TLS, MH_PHASE_TLS, "peer speaks no TLS");
    close(plain);
    end();
}

Test(secure, cancelled_in_the_handshake)
{
    trusting(TLS1_3_VERSION);
    ask((mh_fetch){0});
    int plain = stage_accept();
    stage_rest(5);
    mh_client_cancel(&a.res);
    stage_finish(&a);
    call_expect(&a, -ECANCELED, MH_PHASE_TLS, NULL);
    close(plain);
    end();
}

/* Garbage in place of a record, in the middle of a response. */
Test(secure, garbage_in_the_body)
{
    trusting(TLS1_3_VERSION);
    ask((mh_fetch){0});
    meet();
    listen_to();
    say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello");
    stage_rest(5);
    cr_assert_eq(send(fd, "garbage", 7, MSG_NOSIGNAL), 7);
    stage_finish(&a);
    cr_assert_eq(a.result, MH_ERR_TLS);
    cr_assert_eq(a.res.phase, MH_PHASE_BODY);
    cr_assert_not_null(a.res.detail);
    end();
}

static const char unasked[] = "HTTP/1.1 404 -\r\nContent-Length: 0\r\n\r\n";

/* The rest lies in records that a pause has kept from being looked at. */
Test(secure, a_pause_and_more_than_was_asked_for)
{
    trusting(TLS1_3_VERSION);
    ask((mh_fetch){.on_head = pause_in_head});
    meet();
    listen_to();
    char both[] = HELLO;
    ERR_clear_error();
    cr_assert_gt(SSL_write(ssl, both, (int)strlen(both)), 0);
    cr_assert_gt(SSL_write(ssl, unasked, (int)strlen(unasked)), 0);
    stage_rest(10);
    mh_client_pause(&a.res, false);
    stage_finish(&a);
    call_expect(&a, 200, MH_PHASE_DONE, NULL);
    int old = fd;
    SSL_free(ssl);
    ask((mh_fetch){0});
    meet();
    answer(HELLO);
    cr_assert_not(a.res.timings.reused);
    close(old);
    end();
}

/* What stands behind a redirect is no answer to the request that follows it. */
Test(secure, a_redirect_and_more_than_was_asked_for)
{
    static const char redirect[] =
        "HTTP/1.1 302 -\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n";
    trusting(TLS1_3_VERSION);
    ask((mh_fetch){0});
    meet();
    listen_to();
    ERR_clear_error();
    cr_assert_gt(SSL_write(ssl, redirect, (int)strlen(redirect)), 0);
    cr_assert_gt(SSL_write(ssl, unasked, (int)strlen(unasked)), 0);
    int old = fd;
    SSL_free(ssl);
    meet();
    answer(HELLO);
    cr_assert_not(a.res.timings.reused);
    close(old);
    end();
}

/* The client's end of the connection, of which the kernel is to hold little. */
static void make_narrow(void)
{
    struct sockaddr_in addr;
    for (int it = 3; it < 100; it++) {
        socklen_t len = sizeof(addr);
        if (getpeername(it, (struct sockaddr *)&addr, &len) == 0 &&
            ntohs(addr.sin_port) == atoi(strrchr(stage.authority, ':') + 1))
            cr_assert_eq(setsockopt(it, SOL_SOCKET, SO_SNDBUF, &(int){4096}, sizeof(int)), 0);
    }
}

/* Each one is to be answered, and this peer takes nothing. */
Test(secure, key_updates_without_end)
{
    size_t sent = 0;
    trusting(TLS1_3_VERSION);
    cr_assert_eq(setsockopt(stage.listener, SOL_SOCKET, SO_RCVBUF, &(int){4096}, sizeof(int)), 0);
    ask((mh_fetch){0});
    meet();
    make_narrow();
    listen_to();
    for (int64_t late = mh__deadline_in(STAGE_MS); a.done == 0;) {
        cr_assert_lt(mh__clock_ms(), late, "after %zu", sent);
        ERR_clear_error();
        if (SSL_get_key_update_type(ssl) == SSL_KEY_UPDATE_NONE)
            cr_assert_eq(SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        int result = SSL_do_handshake(ssl);
        if (result != 1 && !waits(result))
            break;
        sent += result == 1;
        if (result != 1 || sent % 16 == 0) /* more at once are a flood */
            stage_turn();
    }
    stage_until(a.done > 0);
    call_expect(&a, MH_ERR_TOO_LARGE, MH_PHASE_HEAD, a.res.detail);
    end();
}

/* ---- redirects from here to there ---- */

static void redirected(unsigned flags)
{
    char answer_text[200];
    trusting(TLS1_3_VERSION);
    ask((mh_fetch){.flags = flags, .headers = (const char *const[]){"Cookie: c", NULL}});
    meet();
    listen_to();
    snprintf(answer_text, sizeof(answer_text),
             "HTTP/1.1 302 -\r\nLocation: http://%s/\r\nContent-Length: 0\r\n\r\n",
             stage.authority);
    say(answer_text);
}

Test(secure, no_redirect_to_http)
{
    redirected(0);
    stage_finish(&a);
    call_expect(&a, MH_ERR_REDIRECT, a.res.phase, "a redirect from https to http");
    cr_assert_eq(a.res.status, 302);
    end();
}

Test(secure, a_redirect_to_http_where_it_is_wanted)
{
    redirected(MH_FETCH_DOWNGRADE);
    int plain = stage_accept();
    stage_exchange(&a, plain);
    cr_assert_not(strstr(heard, "Cookie"));
    close(plain);
    end();
}

Test(secure, a_redirect_to_https)
{
    char plain_url[80];
    trusting(TLS1_3_VERSION);
    snprintf(plain_url, sizeof(plain_url), "http://%s/", stage.authority);
    ask((mh_fetch){.url = plain_url});
    int plain = stage_accept();
    stage_hear(plain);
    stage_say(plain,
              "HTTP/1.1 301 -\r\nLocation: https://localhost/x\r\nContent-Length: 0\r\n\r\n");
    meet();
    answer(HELLO);
    cr_assert(mh_str_equal(a.res.url, "https://localhost/x"));
    close(plain);
    end();
}

/* ---- by a proxy ---- */

static void by_proxy(mh_fetch fetch)
{
    char proxy[80];
    int port, other = stage_listen("127.0.0.1:0", &port);
    snprintf(proxy, sizeof(proxy), "http://user:pass@127.0.0.1:%d", port);
    stage_open(&(mh_client_options){.proxy = proxy, .ca_file = cert_path("root", ".pem")});
    close(stage.listener);
    stage.listener = other;
    snprintf(url, sizeof(url), "https://localhost:8443/path");
    serve_as("good", TLS1_3_VERSION);
    ask(fetch);
    fd = stage_accept();
    stage_hear(fd);
    cr_assert_eq(strncmp(heard, "CONNECT localhost:8443 HTTP/1.1\r\n", 33), 0);
    cr_assert(strstr(heard, "\r\nProxy-Authorization: Basic dXNlcjpwYXNz\r\n"));
}

Test(secure, through_a_tunnel)
{
    by_proxy((mh_fetch){0});
    stage_say(fd, "HTTP/1.1 200 Connection established\r\nContent-Length: 5\r\n\r\n");
    cr_assert_eq(greet(), 1);
    answer(HELLO);
    cr_assert_eq(strncmp(heard, "GET /path HTTP/1.1\r\n", 20), 0);
    cr_assert_not(strstr(heard, "Proxy-Authorization"), "that is the proxy's");
    ask((mh_fetch){0});
    answer(HELLO);
    cr_assert(a.res.timings.reused);
    end();
}

Test(secure, a_tunnel_to_the_wrong_one)
{
    by_proxy((mh_fetch){0});
    serve_as("host", TLS1_3_VERSION);
    stage_say(fd, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 -\r\n\r\n");
    cr_assert_neq(greet(), 1);
    stage_finish(&a);
    call_expect(&a, MH_ERR_TLS, MH_PHASE_TLS,
                "host name mismatch: the certificate is for example.com, not localhost");
    end();
}

Test(secure, a_tunnel_and_then_silence)
{
    by_proxy((mh_fetch){.tls_timeout_ms = 50});
    stage_say(fd, "HTTP/1.1 200 OK\r\n\r\n");
    stage_finish(&a);
    call_expect(&a, -ETIMEDOUT, MH_PHASE_TLS, "no TLS within 50 ms");
    close(fd);
    fd = -1;
    end();
}
