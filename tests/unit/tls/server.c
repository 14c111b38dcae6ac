/* TLS, the server's end: lib/tls/openssl.c, against clients of OpenSSL's in memory (visitor.h) and
 * against our own. What both ends share is in openssl.c. */
#include <criterion/criterion.h>

#include <errno.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "../scarce.h"
#include "visitor.h"

static struct mh__tls_context *context;
static struct visitor visitor;
static char why[MH__TLS_WHY_MAX];

static void setup(void)
{
    cr_assert(getenv("MINIHTTP_CERTS"), "MINIHTTP_CERTS is not set");
}

static void teardown(void)
{
    visitor_close(&visitor);
    mh__tls_context_free(context);
    context = NULL;
}

TestSuite(server, .init = setup, .fini = teardown, .timeout = 60);

static void serve(void)
{
    cr_assert_eq(
        mh__tls_server_context(&context, world_path("good.pem"), world_path("good.key"), why), 0,
        "%s", why);
    cr_assert_str_empty(why);
    cr_assert_eq(ERR_peek_error(), 0);
}

static void visitor_of(int version)
{
    cr_assert(visitor_open(&visitor, version));
}

static void connect_visitor(void)
{
    cr_assert(visitor_connect(&visitor, context, NULL));
}

static void meet(void)
{
    connect_visitor();
    cr_assert_eq(visitor_handshake(&visitor), 1, "%s", mh__tls_why(visitor.tls));
    cr_assert(SSL_is_init_finished(visitor.ssl));
    cr_assert_str_empty(mh__tls_why(visitor.tls));
    cr_assert_eq(ERR_peek_error(), 0);
}

static void expect_read(const char *text)
{
    char data[100];
    cr_assert(visitor_says(&visitor));
    ssize_t len = visitor_read(&visitor, data, sizeof(data));
    cr_assert_eq(len, (ssize_t)strlen(text), "%zd", len);
    cr_assert_eq(memcmp(data, text, strlen(text)), 0);
}

static ssize_t read_result(void)
{
    char data[100];
    cr_assert(visitor_says(&visitor));
    return visitor_read(&visitor, data, sizeof(data));
}

static void expect_visitor_reads(const char *text)
{
    char data[100];
    cr_assert(visitor_hears(&visitor));
    int len = SSL_read(visitor.ssl, data, sizeof(data));
    cr_assert_eq(len, (int)strlen(text), "%d", len);
    cr_assert_eq(memcmp(data, text, strlen(text)), 0);
}

static void expect_talk(void)
{
    cr_assert_eq(SSL_write(visitor.ssl, "ping", 4), 4);
    expect_read("ping");
    cr_assert_eq(read_result(), 0);
    cr_assert_eq(mh__tls_write(visitor.tls, MH_STR("pong"), &visitor.to_visitor), 0);
    expect_visitor_reads("pong");
}

/* ---- handshakes ---- */

static void exchange(int version, size_t cut)
{
    serve();
    visitor_of(version);
    connect_visitor();
    visitor.cut = cut;
    cr_assert_eq(visitor_handshake(&visitor), 1, "%s", mh__tls_why(visitor.tls));
    cr_expect_eq(SSL_version(visitor.ssl), version);
    cr_expect_eq(SSL_get_verify_result(visitor.ssl), X509_V_OK, "the chain is sent");
    cr_expect_not(mh__tls_resumed(visitor.tls));
    expect_talk();
    expect_talk();
}

Test(server, tls_1_2)
{
    exchange(TLS1_2_VERSION, 0);
}

Test(server, tls_1_3)
{
    exchange(TLS1_3_VERSION, 0);
}

Test(server, tls_1_2_byte_by_byte)
{
    exchange(TLS1_2_VERSION, 1);
}

Test(server, tls_1_3_byte_by_byte)
{
    exchange(TLS1_3_VERSION, 1);
}

/* A client may send its request right behind its handshake. */
Test(server, data_behind_the_handshake)
{
    serve();
    visitor_of(TLS1_3_VERSION);
    connect_visitor();
    mh_str none = {0};
    cr_assert(visitor_hears(&visitor));
    mh_str in = mh_buf_str(&visitor.to_us);
    cr_assert_eq(mh__tls_handshake(visitor.tls, &in, &visitor.to_visitor), 0);
    mh_buf_clear(&visitor.to_us);
    cr_assert(visitor_hears(&visitor));
    cr_assert_eq(SSL_write(visitor.ssl, "GET", 3), 3);
    cr_assert(visitor_says(&visitor));
    in = mh_buf_str(&visitor.to_us);
    cr_assert_eq(mh__tls_handshake(visitor.tls, &in, &visitor.to_visitor), 1);
    char data[10];
    cr_assert_gt(in.len, 0);
    cr_assert_eq(mh__tls_read(visitor.tls, &in, data, sizeof(data), &visitor.to_visitor), 3);
    cr_assert_eq(mh__tls_read(visitor.tls, &none, data, sizeof(data), &visitor.to_visitor), 0);
}

/* Our own client and our own server. */
static int shake_hands(struct mh__tls *client, struct mh__tls *server, mh_buf *there, mh_buf *back)
{
    int ours = 0, theirs = 0;
    for (int turn = 0; turn < 5 && ours >= 0 && theirs >= 0 && ours + theirs < 2; turn++) {
        mh_str in = mh_buf_str(back);
        if (ours == 0)
            ours = mh__tls_handshake(client, &in, there);
        mh_buf_clear(back);
        in = mh_buf_str(there);
        if (theirs == 0)
            theirs = mh__tls_handshake(server, &in, back);
        mh_buf_clear(there);
    }
    return ours < 0 ? ours : theirs;
}

Test(server, with_our_own_client)
{
    struct mh__tls_client_options options = {.ca_file = world_path("root.pem")};
    struct mh__tls_context *clients = NULL;
    serve();
    cr_assert_eq(mh__tls_client_context(&clients, &options, why), 0, "%s", why);
    for (int visit = 0; visit < 3; visit++) {
        struct mh__tls *client = NULL, *server = NULL;
        mh_buf there = {0}, back = {0};
        char data[100];
        cr_assert_eq(mh__tls_client(&client, clients, MH_STR("localhost"), 443), 0);
        cr_assert_eq(mh__tls_server(&server, context), 0);
        cr_assert_eq(shake_hands(client, server, &there, &back), 1, "%s, %s", mh__tls_why(client),
                     mh__tls_why(server));
        cr_expect_eq(mh__tls_resumed(server), visit > 0);
        cr_expect_eq(mh__tls_resumed(client), visit > 0);
        cr_assert_eq(mh__tls_write(server, MH_STR("hello"), &back), 0);
        mh_str in = mh_buf_str(&back);
        cr_assert_eq(mh__tls_read(client, &in, data, sizeof(data), &there), 5);
        mh__tls_free(client);
        mh__tls_free(server);
        mh_buf_free(&there);
        mh_buf_free(&back);
    }
    mh__tls_context_free(clients);
}

#define LARGE ((size_t)256 << 10)

/* Full records, and one allocation for all of them. */
static void answer_large(int version)
{
    static char data[LARGE], part[20000];
    serve();
    visitor_of(version);
    meet();
    memset(data, 'x', sizeof(data));
    allocations_left = 1;
    cr_assert_eq(mh__tls_write(visitor.tls, (mh_str){data, LARGE}, &visitor.to_visitor), 0);
    allocations_left = -1;
    cr_expect_lt(visitor.to_visitor.len, LARGE + LARGE / 16384 * 30);
    cr_assert(visitor_hears(&visitor));
    for (size_t at = 0; at < LARGE; at += 16384)
        cr_assert_eq(SSL_read(visitor.ssl, part, sizeof(part)), 16384);
}

Test(server, a_large_answer)
{
    answer_large(TLS1_2_VERSION);
    teardown();
    answer_large(TLS1_3_VERSION);
}

/* ---- the protocol behind ---- */

static void offer(const char *wire)
{
    cr_assert_eq(
        SSL_CTX_set_alpn_protos(visitor.ctx, (const unsigned char *)wire, (unsigned)strlen(wire)),
        0);
}

static void expect_protocol(const char *name)
{
    const unsigned char *chosen;
    unsigned len;
    SSL_get0_alpn_selected(visitor.ssl, &chosen, &len);
    cr_expect_eq(len, strlen(name));
    cr_expect(len == 0 || memcmp(chosen, name, len) == 0);
}

static void choose(int version)
{
    serve();
    visitor_of(version);
    meet();
    expect_protocol("");
    visitor_leave(&visitor);
    offer("\x08http/1.1");
    meet();
    expect_protocol("http/1.1");
    visitor_leave(&visitor);
    offer("\x02h2\x08http/1.1\x08http/1.0");
    meet();
    expect_protocol("http/1.1");
}

Test(server, alpn)
{
    choose(TLS1_2_VERSION);
    teardown();
    choose(TLS1_3_VERSION);
}

/* The reason of the first error in the visitor's queue: its alert, as OpenSSL calls it. */
static int alert_heard(void)
{
    mh_buf *out = &visitor.to_visitor;
    (void)BIO_write(SSL_get_rbio(visitor.ssl), out->data, (int)out->len);
    mh_buf_clear(out);
    ERR_clear_error();
    (void)SSL_do_handshake(visitor.ssl);
    int reason = ERR_GET_REASON(ERR_peek_error());
    ERR_clear_error();
    return reason - SSL_AD_REASON_OFFSET;
}

/* What it says at first is refused by us, with these words and this alert. */
static void refuse(const char *words, int alert)
{
    connect_visitor();
    (void)SSL_do_handshake(visitor.ssl);
    cr_assert(visitor_says(&visitor));
    mh_str in = mh_buf_str(&visitor.to_us);
    cr_expect_eq(mh__tls_handshake(visitor.tls, &in, &visitor.to_visitor), MH_ERR_TLS);
    cr_expect_str_eq(mh__tls_why(visitor.tls), words);
    cr_expect_eq(ERR_peek_error(), 0);
    cr_expect_eq(alert_heard(), alert);
    cr_expect_eq(mh__tls_handshake(visitor.tls, &in, &visitor.to_visitor), MH_ERR_TLS, "again");
    cr_expect_eq(visitor.to_visitor.len, 0);
    mh__tls_close(visitor.tls, &visitor.to_visitor);
    cr_expect_eq(visitor.to_visitor.len, 0, "no close_notify behind an alert");
    visitor_leave(&visitor);
}

/* RFC 7301 section 3.2: no_application_protocol. */
Test(server, other_protocols_alone_are_refused)
{
    static const char *const lists[] = {"\x02h2", "\x08http/1.0", "\x07http/1.", "\x01h\x02h2"};
    serve();
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        visitor_of(version);
        for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
            offer(lists[i]);
            refuse("the peer offers other protocols than http/1.1 (ALPN)",
                   SSL_AD_NO_APPLICATION_PROTOCOL);
        }
        visitor_close(&visitor);
    }
}

/* ---- clients that have nothing in common with us ---- */

Test(server, too_old)
{
    serve();
    visitor_of(TLS1_1_VERSION);
    refuse("protocol version too old: the peer knows neither TLS 1.2 nor 1.3",
           SSL_AD_PROTOCOL_VERSION);
}

Test(server, no_common_cipher)
{
    serve();
    visitor_of(TLS1_2_VERSION);
    cr_assert_eq(SSL_CTX_set_cipher_list(visitor.ctx, "NULL-SHA256"), 1);
    refuse("no shared cipher", SSL_AD_HANDSHAKE_FAILURE);
}

/* It tells us so when we do not expect anything but the end of the handshake. */
static void distrust(int version)
{
    serve();
    visitor_of(version);
    SSL_CTX_set_cert_store(visitor.ctx, X509_STORE_new());
    connect_visitor();
    cr_expect_eq(visitor_handshake(&visitor), MH_ERR_TLS);
    cr_expect_str_eq(mh__tls_why(visitor.tls), "alert from the peer: unknown CA");
}

Test(server, a_client_that_does_not_trust_us)
{
    distrust(TLS1_2_VERSION);
    teardown();
    distrust(TLS1_3_VERSION);
}

/* The bytes of a peer; what we have said to them stands in to_visitor. */
static int hear(mh_str text, size_t cut)
{
    int result = 0;
    cr_assert_eq(mh__tls_server(&visitor.tls, context), 0);
    for (size_t at = 0; at < text.len && result == 0; at += cut) {
        mh_str in = {text.ptr + at, text.len - at < cut ? text.len - at : cut};
        result = mh__tls_handshake(visitor.tls, &in, &visitor.to_visitor);
        cr_assert(result != 0 || in.len == 0);
    }
    return result;
}

static void hear_text(mh_str text, const char *words, const char *words_in_pieces)
{
    cr_expect_eq(hear(text, text.len), MH_ERR_TLS, "%s", words);
    cr_expect_str_eq(mh__tls_why(visitor.tls), words);
    visitor_leave(&visitor);
    cr_expect_eq(hear(text, 1), MH_ERR_TLS, "%s", words);
    cr_expect_str_eq(mh__tls_why(visitor.tls), words_in_pieces);
    visitor_leave(&visitor);
}

Test(server, plain_http)
{
    static const char http[] = "the peer speaks plain HTTP, not TLS";
    static const char other[] = "peer speaks no TLS";
    serve();
    hear_text(MH_STR("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), http, other);
    hear_text(MH_STR("CONNECT localhost:443 HTTP/1.1\r\n\r\n"), http, other);
    hear_text(MH_STR("GET"), other, other);
    hear_text(MH_STR(" / "), other, other);
    hear_text(MH_STR("SSH-2.0-OpenSSH_9.2\r\n"), other, other);
    hear_text(MH_STR("\0\0\0\0\0"), other, other);
    hear_text(MH_STR("\x80\x2e\x01\x03\x03\x00\x15\x00\x00\x00\x10"), other, other);
}

Test(server, garbage_in_records)
{
    static const char other[] = "peer speaks no TLS";
    serve();
    hear_text(MH_STR("\x16 begins as if it did"), other, other);
    hear_text(MH_STR("\x16\x03\x01\x00\x04\x02\x00\x00\x00"), "unexpected message",
              "unexpected message");
    hear_text(MH_STR("\x16\x03\x01\x00\x04\x01\x00\x00\x00"), "length too short",
              "length too short");
    hear_text(MH_STR("\x16\x03\x01\xff\xff\x01\x00\x00\x00"), "packet length too long",
              "packet length too long");
    hear_text(MH_STR("\x16\x03\x01\x00\x04\x01\xff\xff\xff"), "excessive message size",
              "excessive message size");
    hear_text(MH_STR("\x15\x03\x01\x00\x02\x02\x28"), "unexpected message", "unexpected message");
}

/* Each beginning of a hello: more is waited for, and nothing is said. */
Test(server, a_truncated_hello)
{
    serve();
    visitor_of(TLS1_3_VERSION);
    connect_visitor();
    (void)SSL_do_handshake(visitor.ssl);
    cr_assert(visitor_says(&visitor));
    mh_buf hello = visitor.to_us;
    visitor.to_us = (mh_buf){0};
    for (size_t len = 1; len < hello.len; len += 7) {
        visitor_leave(&visitor);
        cr_expect_eq(hear((mh_str){hello.data, len}, len), 0, "%zu", len);
        cr_expect_eq(visitor.to_visitor.len, 0);
    }
    mh_buf_free(&hello);
}

/* A hello with one byte changed: an alert, a wait, or a handshake that goes on; no more. */
Test(server, each_byte_of_a_hello)
{
    serve();
    visitor_of(TLS1_3_VERSION);
    connect_visitor();
    (void)SSL_do_handshake(visitor.ssl);
    cr_assert(visitor_says(&visitor));
    mh_buf hello = visitor.to_us;
    visitor.to_us = (mh_buf){0};
    for (size_t at = 0; at < hello.len; at++) {
        visitor_leave(&visitor);
        hello.data[at] ^= 0x11;
        int result = hear(mh_buf_str(&hello), hello.len);
        cr_expect(result == 0 || result == MH_ERR_TLS, "byte %zu: %d", at, result);
        cr_expect_eq(result == 0, mh__tls_why(visitor.tls)[0] == '\0');
        hello.data[at] ^= 0x11;
    }
    mh_buf_free(&hello);
}

/* ---- peers that want to keep us busy ---- */

static void update_keys(int count, int type)
{
    for (int i = 0; i < count; i++) {
        cr_assert_eq(SSL_key_update(visitor.ssl, type), 1);
        cr_assert_eq(SSL_do_handshake(visitor.ssl), 1);
    }
}

Test(server, key_updates)
{
    serve();
    visitor_of(TLS1_3_VERSION);
    meet();
    for (int i = 0; i < 100; i++) {
        update_keys(1, i % 2 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED);
        expect_talk();
    }
    for (int i = 0; i < 100; i++) {
        update_keys(1, SSL_KEY_UPDATE_NOT_REQUESTED);
        cr_assert_eq(read_result(), 0, "%s", mh__tls_why(visitor.tls));
    }
    expect_talk();
}

static void flood_with_updates(int type)
{
    serve();
    visitor_of(TLS1_3_VERSION);
    meet();
    update_keys(32, type);
    cr_expect_eq(read_result(), 0, "%s", mh__tls_why(visitor.tls));
    expect_talk();
    update_keys(5000, type);
    cr_expect_eq(read_result(), MH_ERR_TLS);
    cr_expect_str_eq(mh__tls_why(visitor.tls), "too many key updates");
    cr_expect_gt(visitor.to_us.len, 4900 * 22, "what follows is not looked at");
    cr_expect_lt(visitor.to_visitor.len, 40 * 30);
    cr_expect_eq(read_result(), MH_ERR_TLS, "and again");
    cr_expect_eq(mh__tls_write(visitor.tls, MH_STR("x"), &visitor.to_visitor), MH_ERR_TLS);
}

Test(server, a_flood_of_key_updates)
{
    flood_with_updates(SSL_KEY_UPDATE_REQUESTED);
    teardown();
    flood_with_updates(SSL_KEY_UPDATE_NOT_REQUESTED);
}

/* RFC 5746 section 4.5 allows to refuse it: the connection goes on, and each try costs it as much
 * as us. */
Test(server, renegotiation_is_refused)
{
    serve();
    visitor_of(TLS1_2_VERSION);
    meet();
    cr_assert_eq(SSL_renegotiate(visitor.ssl), 1);
    (void)SSL_do_handshake(visitor.ssl);
    cr_assert_eq(read_result(), 0);
    cr_expect_gt(visitor.to_visitor.len, 0, "a warning");
    cr_expect_lt(visitor.to_visitor.len, 50);
    cr_assert_eq(mh__tls_write(visitor.tls, MH_STR("still here"), &visitor.to_visitor), 0);
}

static void flood_with_bytes(const char *record, size_t len, const char *words)
{
    serve();
    mh_buf flood = {0};
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(mh_buf_append(&flood, record, len), 0);
    cr_expect_eq(hear(mh_buf_str(&flood), flood.len), MH_ERR_TLS);
    cr_expect_str_eq(mh__tls_why(visitor.tls), words);
    cr_expect_lt(visitor.to_visitor.len, 50);
    mh_buf_free(&flood);
    teardown();
}

Test(server, floods_before_the_handshake)
{
    flood_with_bytes("\x15\x03\x01\x00\x02\x01\x5a", 7, "unexpected message");
    flood_with_bytes("\x16\x03\x01\x00\x00", 5, "record too small");
}

/* ---- sessions ---- */

static bool visit(SSL_SESSION **session)
{
    cr_assert(visitor_connect(&visitor, context, *session));
    cr_assert_eq(visitor_handshake(&visitor), 1, "%s", mh__tls_why(visitor.tls));
    bool resumed = mh__tls_resumed(visitor.tls);
    cr_assert_eq(SSL_session_reused(visitor.ssl), resumed);
    expect_talk();
    SSL_SESSION_free(*session);
    *session = SSL_get1_session(visitor.ssl);
    visitor_leave(&visitor);
    return resumed;
}

static void visits(int version)
{
    SSL_SESSION *session = NULL;
    serve();
    visitor_of(version);
    cr_expect_not(visit(&session));
    cr_expect(SSL_SESSION_has_ticket(session));
    cr_expect_eq(SSL_SESSION_get_max_early_data(session), 0);
    cr_expect(visit(&session));
    cr_expect(visit(&session));
    mh__tls_context_free(context);
    serve();
    cr_expect_not(visit(&session), "another server's ticket is none");
    cr_expect(visit(&session));
    SSL_SESSION_free(session);
}

Test(server, resumed_by_ticket)
{
    visits(TLS1_2_VERSION);
    teardown();
    visits(TLS1_3_VERSION);
}

static int tickets;

static int on_ticket(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    (void)session;
    tickets++;
    return 0;
}

Test(server, one_ticket_each)
{
    serve();
    visitor_of(TLS1_3_VERSION);
    SSL_CTX_set_session_cache_mode(visitor.ctx, SSL_SESS_CACHE_CLIENT);
    SSL_CTX_sess_set_new_cb(visitor.ctx, on_ticket);
    meet();
    expect_talk();
    cr_expect_eq(tickets, 1);
}

/* Sessions without a ticket would have to be kept here: there are none. */
Test(server, nothing_is_kept)
{
    SSL_SESSION *session = NULL;
    serve();
    visitor_of(TLS1_2_VERSION);
    SSL_CTX_set_options(visitor.ctx, SSL_OP_NO_TICKET);
    cr_expect_not(visit(&session));
    cr_expect_not(visit(&session));
    SSL_SESSION_free(session);
}

/* ---- the end ---- */

static void both_end(int version)
{
    serve();
    visitor_of(version);
    meet();
    cr_assert_eq(SSL_write(visitor.ssl, "last", 4), 4);
    cr_assert_eq(SSL_shutdown(visitor.ssl), 0);
    expect_read("last");
    cr_expect_eq(read_result(), MH__TLS_END);
    cr_expect_eq(read_result(), MH__TLS_END, "and again");
    cr_assert_eq(mh__tls_write(visitor.tls, MH_STR("the answer"), &visitor.to_visitor), 0);
    mh__tls_close(visitor.tls, &visitor.to_visitor);
    expect_visitor_reads("the answer");
    cr_expect_eq(SSL_shutdown(visitor.ssl), 1, "both have said it");
    visitor_leave(&visitor);
}

static void we_end(int version)
{
    serve();
    visitor_of(version);
    meet();
    mh__tls_close(visitor.tls, &visitor.to_visitor);
    cr_assert(visitor_hears(&visitor));
    char data[10];
    int ret = SSL_read(visitor.ssl, data, sizeof(data));
    cr_expect_eq(SSL_get_error(visitor.ssl, ret), SSL_ERROR_ZERO_RETURN);
    cr_assert_eq(SSL_write(visitor.ssl, "still", 5), 5, "its side is open");
    expect_read("still");
    cr_assert_eq(read_result(), 0);
    visitor_leave(&visitor);
}

Test(server, close_notify)
{
    both_end(TLS1_2_VERSION);
    teardown();
    both_end(TLS1_3_VERSION);
    teardown();
    we_end(TLS1_2_VERSION);
    teardown();
    we_end(TLS1_3_VERSION);
}

/* ---- files ---- */

static void no_context(const char *cert, const char *key, int err, const char *what,
                       const char *reason)
{
    struct mh__tls_context *none = NULL;
    cr_expect_eq(mh__tls_server_context(&none, cert, key, why), err, "%s", why);
    cr_expect_null(none);
    cr_expect_eq(strncmp(why, what, strlen(what)), 0, "%s", why);
    size_t len = strlen(why), wanted = strlen(reason);
    cr_expect(len >= wanted && strcmp(why + len - wanted, reason) == 0, "%s", why);
    cr_expect_eq(ERR_peek_error(), 0);
}

Test(server, files_that_are_no_good)
{
    const char *good = world_path("good.pem");
    no_context("no/such/file", NULL, -ENOENT,
               "the certificate in no/such/file: ", ": No such file or directory");
    no_context("/", NULL, MH_ERR_TLS, "the certificate in /: ", ": there is none in it");
    no_context("/dev/null", NULL, MH_ERR_TLS,
               "the certificate in /dev/null: ", ": there is none in it");
    no_context(world_path("good.key"), NULL, MH_ERR_TLS, "the certificate in ",
               "/good.key: there is none in it");
    no_context(good, "no/such/file", -ENOENT,
               "the key in no/such/file: ", ": No such file or directory");
    no_context(good, NULL, MH_ERR_TLS, "the key in ", "/good.pem: there is none in it");
    no_context(good, world_path("client.key"), MH_ERR_TLS, "the key in ",
               "/client.key: it is not that of the certificate");
}

Test(server, a_key_behind_the_certificate)
{
    cr_assert_eq(mh__tls_server_context(&context, world_path("mixed.pem"), NULL, why), 0, "%s",
                 why);
}

/* A key of another kind, for which OpenSSL would wait for a certificate. */
Test(server, a_key_of_another_kind)
{
    char path[] = "/tmp/minihttp-key-XXXXXX";
    int fd = mkstemp(path);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    cr_assert(file);
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    cr_assert_eq(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(file);
    EVP_PKEY_free(key);
    no_context(world_path("good.pem"), path, MH_ERR_TLS, "the key in /tmp/minihttp-key-",
               ": it is not that of the certificate");
    unlink(path);
}

/* Nobody is asked for the password: a server has no terminal, or has one that nobody looks at. */
Test(server, a_locked_key)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(dup2(ends[0], 0), 0, "whoever read from it would hang");
    no_context(world_path("client.pem"), world_path("locked.key"), MH_ERR_TLS, "the key in ",
               "/locked.key: it is locked by a password");
    close(ends[0]);
    close(ends[1]);
}

/* ---- memory ---- */

Test(server, our_memory_runs_out)
{
    struct mh__tls_context *none = NULL;
    struct mh__tls *tls = NULL;
    allocations_left = 0;
    cr_expect_eq(mh__tls_server_context(&none, world_path("good.pem"), world_path("good.key"), why),
                 -ENOMEM);
    cr_expect_null(none);
    allocations_left = -1;
    serve();
    allocations_left = 0;
    cr_expect_eq(mh__tls_server(&tls, context), -ENOMEM);
    cr_expect_null(tls);
    allocations_left = -1;
    visitor_of(TLS1_3_VERSION);
    connect_visitor();
    cr_assert(visitor_hears(&visitor));
    allocations_left = 0;
    mh_str in = mh_buf_str(&visitor.to_us);
    cr_expect_eq(mh__tls_handshake(visitor.tls, &in, &visitor.to_visitor), -ENOMEM);
    cr_expect_str_eq(mh__tls_why(visitor.tls), "Cannot allocate memory");
    allocations_left = -1;
}

/* ---- memory of OpenSSL's, which has an allocator of its own ---- */

static long live; /* blocks and bytes that are in use now */
static size_t live_bytes;
static bool allocator_is_ours;

struct block {
    size_t size;
    max_align_t data[];
};

static void *on_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    struct block *block = malloc(sizeof(*block) + size);
    if (!block)
        return NULL;
    block->size = size;
    live++;
    live_bytes += size;
    return block->data;
}

static void on_free(void *ptr, const char *file, int line)
{
    (void)file;
    (void)line;
    if (!ptr)
        return;
    struct block *block = (struct block *)((char *)ptr - sizeof(*block));
    live--;
    live_bytes -= block->size;
    free(block);
}

static void *on_realloc(void *ptr, size_t size, const char *file, int line)
{
    void *moved = on_malloc(size, file, line);
    if (!ptr || !moved)
        return moved;
    size_t old = ((struct block *)((char *)ptr - sizeof(struct block)))->size;
    memcpy(moved, ptr, old < size ? old : size);
    on_free(ptr, file, line);
    return moved;
}

/* Only possible before the first allocation. */
__attribute__((constructor)) static void take_the_allocator(void)
{
    allocator_is_ours = CRYPTO_set_mem_functions(on_malloc, on_realloc, on_free) == 1;
}

/* Carry one handshake and one exchange, and tell what our end still holds. */
static size_t idle_bytes(int version)
{
    cr_assert(allocator_is_ours);
    visitor_of(version);
    meet();
    expect_talk();
    size_t before = live_bytes;
    mh__tls_free(visitor.tls);
    visitor.tls = NULL;
    size_t ours = before - live_bytes;
    teardown();
    return ours;
}

/* An idle connection has no buffers: 13.6 KB with OpenSSL 3.0, 7.6 of them its SSL. */
Test(server, an_idle_connection_is_small)
{
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        serve();
        size_t ours = idle_bytes(version);
        cr_expect_lt(ours, 16384, "%#x: %zu", (unsigned)version, ours);
    }
}

/* However many come and go, nothing of them stays. */
Test(server, visits_leave_nothing)
{
    serve();
    visitor_of(TLS1_3_VERSION);
    long after[3];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 20; i++) {
            meet();
            expect_talk();
            visitor_leave(&visitor);
        }
        after[round] = live;
    }
    cr_expect_eq(after[2], after[1], "%ld and %ld", after[2], after[1]);
}
