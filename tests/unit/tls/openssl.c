/* TLS: lib/tls/openssl.c, against a server in memory (peer.h) and certs.py's certificates. */
#include <criterion/criterion.h>

#include <errno.h>

#include <openssl/crypto.h>

#include "base/buffer.h"
#include "../scarce.h"
#include "peer.h"

static struct host host;
static struct talk talk;
static struct mh__tls_context *context;
static char why[MH__TLS_WHY_MAX];

static struct mh__tls_client_options trusting(void)
{
    return (struct mh__tls_client_options){.ca_file = cert_path("root", ".pem")};
}

static void context_open(struct mh__tls_client_options options)
{
    cr_assert_eq(mh__tls_client_context(&context, &options, why), 0, "%s", why);
    cr_assert_str_empty(why);
}

static void host_serves(const char *cert, int version)
{
    cr_assert(host_open(&host, cert, version), "%s", cert);
}

static void setup(void)
{
    cr_assert(getenv("MINIHTTP_CERTS"), "MINIHTTP_CERTS is not set");
}

static void teardown(void)
{
    host_close(&host);
    mh__tls_context_free(context);
}

TestSuite(openssl, .init = setup, .fini = teardown, .timeout = 60);

static void connect_to(const char *name, uint16_t port)
{
    struct mh__tls *tls;
    cr_assert_eq(mh__tls_client(&tls, context, mh_str_from(name), port), 0);
    cr_assert(talk_open(&talk, &host, tls));
}

/* A handshake as it should be. */
static void meet(const char *name)
{
    connect_to(name, 443);
    cr_assert_eq(talk_handshake(&talk), 1, "%s", mh__tls_why(talk.tls));
    cr_assert(SSL_is_init_finished(talk.peer));
    cr_assert_str_empty(mh__tls_why(talk.tls));
    cr_assert_eq(ERR_peek_error(), 0);
}

/* One that is refused by us, with these words. */
static void meet_refused(const char *name, const char *words)
{
    connect_to(name, 443);
    cr_expect_eq(talk_handshake(&talk), MH_ERR_TLS);
    cr_expect_str_eq(mh__tls_why(talk.tls), words);
    cr_expect_eq(ERR_peek_error(), 0);
    cr_expect_not(SSL_is_init_finished(talk.peer));
    mh_str none = {0};
    cr_expect_eq(mh__tls_handshake(talk.tls, &none, &talk.to_peer), MH_ERR_TLS, "and again");
    cr_expect_str_eq(mh__tls_why(talk.tls), words);
    talk_close(&talk);
}

static void expect_read(const char *text)
{
    char data[100];
    ssize_t len = talk_read(&talk, data, sizeof(data));
    cr_assert_eq(len, (ssize_t)strlen(text), "%zd", len);
    cr_assert_eq(memcmp(data, text, strlen(text)), 0);
}

static void expect_nothing_to_read(void)
{
    char data[100];
    cr_assert_eq(talk_read(&talk, data, sizeof(data)), 0);
}

static void expect_peer_reads(const char *text)
{
    char data[100];
    cr_assert(carry(&talk));
    cr_assert_eq(SSL_read(talk.peer, data, sizeof(data)), (int)strlen(text));
    cr_assert_eq(memcmp(data, text, strlen(text)), 0);
}

static void expect_talk(void)
{
    cr_assert_eq(mh__tls_write(talk.tls, MH_STR("ping"), &talk.to_peer), 0);
    expect_peer_reads("ping");
    cr_assert(peer_write(&talk, "pong", 4));
    expect_read("pong");
    expect_nothing_to_read();
}

/* ---- handshakes and data ---- */

static void exchange(int version, size_t cut)
{
    host_serves("good", version);
    context_open(trusting());
    connect_to("localhost", 443);
    talk.cut = cut;
    cr_assert_eq(talk_handshake(&talk), 1, "%s", mh__tls_why(talk.tls));
    cr_expect_eq(SSL_version(talk.peer), version);
    cr_expect_not(mh__tls_resumed(talk.tls));
    expect_talk();
    expect_talk();
    talk_close(&talk);
}

Test(openssl, tls_1_2)
{
    exchange(TLS1_2_VERSION, 0);
}

Test(openssl, tls_1_3)
{
    exchange(TLS1_3_VERSION, 0);
}

Test(openssl, tls_1_2_byte_by_byte)
{
    exchange(TLS1_2_VERSION, 1);
}

Test(openssl, tls_1_3_byte_by_byte)
{
    exchange(TLS1_3_VERSION, 1);
}

Test(openssl, it_is_available)
{
    cr_expect(mh__tls_available);
}

/* A server may send its first data right behind its handshake. */
Test(openssl, data_behind_the_handshake)
{
    host_serves("good", TLS1_2_VERSION);
    context_open(trusting());
    meet("localhost");
    cr_assert(peer_write(&talk, "one", 3));
    cr_assert(peer_write(&talk, "two", 3));
    mh_str in = mh_buf_str(&talk.to_us);
    char data[10];
    cr_assert_eq(mh__tls_read(talk.tls, &in, data, sizeof(data), &talk.to_peer), 3);
    cr_assert_gt(in.len, 0, "the second record is still ours");
    cr_assert_eq(mh__tls_read(talk.tls, &in, data, sizeof(data), &talk.to_peer), 3);
    cr_assert_eq(memcmp(data, "two", 3), 0);
    cr_assert_eq(in.len, 0);
    cr_assert_eq(mh__tls_read(talk.tls, &in, data, sizeof(data), &talk.to_peer), 0);
    mh_buf_clear(&talk.to_us);
    talk_close(&talk);
}

/* What a record holds may be taken in pieces, when there is room. */
Test(openssl, less_room_than_data)
{
    host_serves("good", TLS1_3_VERSION);
    context_open(trusting());
    meet("localhost");
    cr_assert(peer_write(&talk, "abcdefg", 7));
    char data[3];
    cr_assert_eq(talk_read(&talk, data, 3), 3);
    cr_assert_eq(talk_read(&talk, data, 3), 3);
    cr_assert_eq(talk_read(&talk, data, 3), 1);
    cr_assert_eq(data[0], 'g');
    expect_nothing_to_read();
    talk_close(&talk);
}

#define LARGE ((size_t)3 << 20)

static char *pattern(size_t len)
{
    char *data = malloc(len);
    cr_assert(data);
    for (size_t i = 0; i < len; i++)
        data[i] = (char)(i * 31 + (i >> 9));
    return data;
}

static void expect_large_to_peer(const char *data)
{
    cr_assert_eq(mh__tls_write(talk.tls, (mh_str){data, LARGE}, &talk.to_peer), 0);
    cr_assert_lt(talk.to_peer.len, LARGE + LARGE / 100);
    cr_assert(carry(&talk));
    char part[16384];
    size_t at = 0;
    for (int len; at < LARGE; at += (size_t)len) {
        len = SSL_read(talk.peer, part, sizeof(part));
        cr_assert_gt(len, 0);
        cr_assert_eq(memcmp(part, data + at, (size_t)len), 0);
    }
    cr_assert_eq(at, LARGE);
}

static void expect_large_from_peer(const char *data)
{
    static char part[20000];
    size_t at = 0;
    cr_assert(peer_write(&talk, data, LARGE));
    mh_str in = mh_buf_str(&talk.to_us);
    for (ssize_t len; at < LARGE; at += (size_t)len) {
        len = mh__tls_read(talk.tls, &in, part, sizeof(part), &talk.to_peer);
        cr_assert_gt(len, 0);
        cr_assert_eq(memcmp(part, data + at, (size_t)len), 0);
    }
    cr_assert_eq(at, LARGE);
    cr_assert_eq(in.len, 0);
}

static void exchange_large(int version, const char *ciphers)
{
    char *data = pattern(LARGE);
    host_serves("good", version);
    cr_assert_eq(SSL_CTX_set_cipher_list(host.ctx, ciphers), 1);
    context_open(trusting());
    meet("localhost");
    expect_large_to_peer(data);
    expect_large_from_peer(data);
    talk_close(&talk);
    free(data);
}

Test(openssl, large_data)
{
    exchange_large(TLS1_3_VERSION, "DEFAULT");
}

Test(openssl, large_data_with_an_old_cipher)
{
    exchange_large(TLS1_2_VERSION, "ECDHE-ECDSA-AES256-SHA384");
}

/* All that is written is reserved at once: two steps, whatever its size. */
Test(openssl, a_large_write_allocates_once)
{
    char *data = pattern(LARGE);
    host_serves("good", TLS1_3_VERSION);
    context_open(trusting());
    meet("localhost");
    allocations_left = 1;
    cr_expect_eq(mh__tls_write(talk.tls, (mh_str){data, LARGE}, &talk.to_peer), 0);
    allocations_left = -1;
    talk_close(&talk);
    free(data);
}

Test(openssl, writing_nothing)
{
    host_serves("good", TLS1_3_VERSION);
    context_open(trusting());
    meet("localhost");
    cr_expect_eq(mh__tls_write(talk.tls, (mh_str){0}, &talk.to_peer), 0);
    cr_expect_eq(talk.to_peer.len, 0);
    talk_close(&talk);
}

Test(openssl, a_ceiling_for_what_is_written)
{
    host_serves("good", TLS1_3_VERSION);
    context_open(trusting());
    meet("localhost");
    mh_buf small = {.max = 50};
    cr_expect_eq(mh__tls_write(talk.tls, MH_STR("0123456789"), &small), MH_ERR_TOO_LARGE);
    cr_expect_eq(small.len, 0);
    mh_buf_free(&small);
    talk_close(&talk);
}

Test(openssl, a_ceiling_for_the_handshake)
{
    host_serves("good", TLS1_3_VERSION);
    context_open(trusting());
    connect_to("localhost", 443);
    mh_str none = {0};
    mh_buf small = {.max = 50};
    cr_expect_eq(mh__tls_handshake(talk.tls, &none, &small), MH_ERR_TOO_LARGE);
    cr_expect_str_eq(mh__tls_why(talk.tls), "a limit was reached");
    mh_buf_free(&small);
    talk_close(&talk);
}

/* RFC 8446 section 4.6.3: with "update_requested" it has to be answered. */
Test(openssl, key_update)
{
    host_serves("good", TLS1_3_VERSION);
    context_open(trusting());
    meet("localhost");
    expect_talk();
    cr_assert_eq(SSL_key_update(talk.peer, SSL_KEY_UPDATE_REQUESTED), 1);
    expect_talk();
    expect_talk();
    cr_expect_eq(SSL_get_key_update_type(talk.peer), SSL_KEY_UPDATE_NONE);
    talk_close(&talk);
}

/* RFC 5746 section 4.5 allows to refuse it: the connection goes on. */
Test(openssl, renegotiation_is_refused)
{
    host_serves("good", TLS1_2_VERSION);
    context_open(trusting());
    meet("localhost");
    cr_assert_eq(SSL_renegotiate(talk.peer), 1);
    cr_assert_eq(SSL_do_handshake(talk.peer), 1);
    cr_assert(carry(&talk));
    expect_nothing_to_read();
    cr_expect_gt(talk.to_peer.len, 0, "a warning");
    cr_expect_eq(SSL_do_handshake(talk.peer), 1);
    expect_nothing_to_read();
    cr_expect_eq(mh__tls_write(talk.tls, MH_STR("still here"), &talk.to_peer), 0);
    talk_close(&talk);
}

/* ---- the end ---- */

static void end_of(int version)
{
    host_serves("good", version);
    context_open(trusting());
    meet("localhost");
    cr_assert(peer_write(&talk, "last", 4));
    cr_assert_eq(SSL_shutdown(talk.peer), 0);
    cr_assert(carry(&talk));
    expect_read("last");
    char data[10];
    cr_assert_eq(talk_read(&talk, data, sizeof(data)), MH__TLS_END);
    cr_assert_eq(talk_read(&talk, data, sizeof(data)), MH__TLS_END);
    cr_assert_eq(mh__tls_write(talk.tls, MH_STR("not heard?"), &talk.to_peer), 0);
    mh__tls_close(talk.tls, &talk.to_peer);
    expect_peer_reads("not heard?");
    cr_assert_eq(SSL_shutdown(talk.peer), 1, "both have said it");
    talk_close(&talk);
}

Test(openssl, a_clean_end)
{
    end_of(TLS1_2_VERSION);
    teardown();
    end_of(TLS1_3_VERSION);
}

/* Half a record is no end, and neither is silence: whoever sees the TCP end knows what it means. */
Test(openssl, a_truncation_is_never_an_end)
{
    host_serves("good", TLS1_3_VERSION);
    context_open(trusting());
    meet("localhost");
    expect_nothing_to_read();
    cr_assert(peer_write(&talk, "cut off", 7));
    for (size_t len = 0; len < talk.to_us.len - 1; len++) {
        char data[10];
        mh_str in = {talk.to_us.data + len, 1};
        cr_assert_eq(mh__tls_read(talk.tls, &in, data, sizeof(data), &talk.to_peer), 0);
        cr_assert_eq(in.len, 0);
        in = (mh_str){0};
        cr_assert_eq(mh__tls_read(talk.tls, &in, data, sizeof(data), &talk.to_peer), 0);
    }
    talk_close(&talk);
}

Test(openssl, we_end_it)
{
    host_serves("good", TLS1_3_VERSION);
    context_open(trusting());
    meet("localhost");
    mh__tls_close(talk.tls, &talk.to_peer);
    cr_assert(carry(&talk));
    char data[10];
    int ret = SSL_read(talk.peer, data, sizeof(data));
    cr_expect_eq(SSL_get_error(talk.peer, ret), SSL_ERROR_ZERO_RETURN);
    talk_close(&talk);
}

Test(openssl, an_end_before_the_handshake_says_nothing)
{
    host_serves("good", TLS1_3_VERSION);
    context_open(trusting());
    connect_to("localhost", 443);
    mh__tls_close(talk.tls, &talk.to_peer);
    cr_expect_eq(talk.to_peer.len, 0);
    talk_close(&talk);
}

/* ---- who the peer is ---- */

Test(openssl, names_and_addresses)
{
    static const char *const names[] = {"localhost", "LocalHost", "localhost.",
                                        "127.0.0.1", "::1",       "0:0:0:0:0:0:0:1"};
    static const char *const sni[] = {"localhost", "LocalHost", "localhost", "", "", ""};
    host_serves("good", TLS1_3_VERSION);
    context_open(trusting());
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        meet(names[i]);
        cr_expect_str_eq(host.sni, sni[i], "%s: \"%s\"", names[i], host.sni);
        talk_close(&talk);
    }
}

Test(openssl, names_that_are_none)
{
    char longest[257];
    struct mh__tls *tls = NULL;
    memset(longest, 'a', sizeof(longest));
    context_open(trusting());
    cr_expect_eq(mh__tls_client(&tls, context, MH_STR(""), 1), -EINVAL);
    cr_expect_eq(mh__tls_client(&tls, context, MH_STR("localhost\0.example"), 1), -EINVAL);
    cr_expect_eq(mh__tls_client(&tls, context, (mh_str){longest, 256}, 1), -EINVAL);
    cr_expect_null(tls);
    cr_assert_eq(mh__tls_client(&tls, context, (mh_str){longest, 255}, 1), 0);
    mh__tls_free(tls);
}

Test(openssl, wildcards_are_whole_labels)
{
    host_serves("wildcard", TLS1_3_VERSION);
    context_open(trusting());
    meet("any.example.test");
    talk_close(&talk);
    meet_refused("two.labels.example.test",
                 "host name mismatch: the certificate is for *.example.test, w*.partial.test, not "
                 "two.labels.example.test");
    meet_refused("www.partial.test",
                 "host name mismatch: the certificate is for *.example.test, w*.partial.test, not "
                 "www.partial.test");
    meet_refused("example.test",
                 "host name mismatch: the certificate is for *.example.test, w*.partial.test, not "
                 "example.test");
}

static void refused_with(const char *cert, const char *words)
{
    host_serves(cert, TLS1_3_VERSION);
    meet_refused("localhost", words);
    host_close(&host);
    host_serves(cert, TLS1_2_VERSION);
    meet_refused("localhost", words);
    host_close(&host);
    host.ctx = NULL;
}

Test(openssl, certificates_that_are_refused)
{
    context_open(trusting());
    refused_with("expired", "certificate has expired");
    refused_with("early", "certificate is not yet valid");
    refused_with("self-signed", "self-signed certificate");
    refused_with("unknown", "unable to get local issuer certificate");
    refused_with("not-a-ca", "invalid CA certificate");
    refused_with("purpose", "unsuitable certificate purpose");
    refused_with("host", "host name mismatch: the certificate is for example.com, not localhost");
    refused_with("hosts",
                 "host name mismatch: the certificate is for 10.1.2.3, fe80:0:0:0:0:0:1:2, "
                 "one.example, ..., not localhost");
    refused_with("nameless", "host name mismatch: the certificate is for no host, not localhost");
}

Test(openssl, an_address_is_not_a_name)
{
    host_serves("host", TLS1_3_VERSION);
    context_open(trusting());
    meet_refused("127.0.0.1",
                 "host name mismatch: the certificate is for example.com, not 127.0.0.1");
}

Test(openssl, words_of_a_long_name_are_cut)
{
    char name[201];
    memset(name, 'n', sizeof(name) - 1);
    name[200] = '\0';
    host_serves("host", TLS1_3_VERSION);
    context_open(trusting());
    connect_to(name, 443);
    cr_expect_eq(talk_handshake(&talk), MH_ERR_TLS);
    const char *words = mh__tls_why(talk.tls);
    cr_expect_eq(strlen(words), MH__TLS_WHY_MAX - 1);
    cr_expect_str_eq(words + MH__TLS_WHY_MAX - 1 - 6, "nnn...");
    talk_close(&talk);
}

/* Trusting nothing but what the machine trusts: not ours. */
Test(openssl, the_roots_of_the_system)
{
    host_serves("good", TLS1_3_VERSION);
    context_open((struct mh__tls_client_options){0});
    meet_refused("localhost", "unable to get local issuer certificate");
}

/* As its user is told: the words of OpenSSL's own roots. */
Test(openssl, the_roots_of_the_environment)
{
    cr_assert_eq(setenv("SSL_CERT_FILE", cert_path("root", ".pem"), 1), 0);
    host_serves("good", TLS1_3_VERSION);
    context_open((struct mh__tls_client_options){0});
    meet("localhost");
    talk_close(&talk);
}

Test(openssl, the_peer_hears_why)
{
    host_serves("unknown", TLS1_3_VERSION);
    context_open(trusting());
    connect_to("localhost", 443);
    cr_expect_eq(talk_handshake(&talk), MH_ERR_TLS);
    cr_expect_eq(SSL_get_shutdown(talk.peer), SSL_RECEIVED_SHUTDOWN, "an alert");
    talk_close(&talk);
}

Test(openssl, insecure)
{
    static const char *const certs[] = {"expired",  "early",   "self-signed", "unknown",
                                        "not-a-ca", "purpose", "host"};
    context_open((struct mh__tls_client_options){.insecure = true});
    for (size_t i = 0; i < sizeof(certs) / sizeof(*certs); i++) {
        host_serves(certs[i], TLS1_3_VERSION);
        meet("localhost");
        expect_talk();
        talk_close(&talk);
        host_close(&host);
    }
    host.ctx = NULL;
}

/* ---- who we are ---- */

static void ask_for_certificate(void)
{
    cr_assert_eq(SSL_CTX_load_verify_file(host.ctx, cert_path("root", ".pem")), 1);
    SSL_CTX_set_verify(host.ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
}

static void present_ourselves(int version, const char *cert, const char *key)
{
    struct mh__tls_client_options options = trusting();
    options.cert_file = cert;
    options.key_file = key;
    host_serves("good", version);
    ask_for_certificate();
    context_open(options);
    meet("localhost");
    cr_assert_not_null(SSL_get0_peer_certificate(talk.peer));
    expect_talk();
    talk_close(&talk);
}

Test(openssl, a_client_certificate)
{
    present_ourselves(TLS1_2_VERSION, cert_path("client", ".pem"), cert_path("client", ".key"));
    teardown();
    present_ourselves(TLS1_3_VERSION, cert_path("client", ".pem"), cert_path("client", ".key"));
    teardown();
    present_ourselves(TLS1_3_VERSION, cert_path("mixed", ".pem"), NULL);
}

Test(openssl, no_client_certificate_with_tls_1_2)
{
    host_serves("good", TLS1_2_VERSION);
    ask_for_certificate();
    context_open(trusting());
    meet_refused("localhost", "alert from the peer: handshake failure");
}

/* With TLS 1.3 our handshake is over by then. */
Test(openssl, no_client_certificate_with_tls_1_3)
{
    host_serves("good", TLS1_3_VERSION);
    ask_for_certificate();
    context_open(trusting());
    connect_to("localhost", 443);
    cr_assert_eq(talk_handshake(&talk), 1);
    char data[10];
    cr_expect_eq(talk_read(&talk, data, sizeof(data)), MH_ERR_TLS);
    cr_expect_str_eq(mh__tls_why(talk.tls), "alert from the peer: certificate required");
    cr_expect_eq(talk_read(&talk, data, sizeof(data)), MH_ERR_TLS, "and again");
    cr_expect_eq(mh__tls_write(talk.tls, MH_STR("x"), &talk.to_peer), MH_ERR_TLS);
    mh__tls_close(talk.tls, &talk.to_peer);
    cr_expect_eq(talk.to_peer.len, 0);
    talk_close(&talk);
}

/* ---- files ---- */

static void no_context(struct mh__tls_client_options options, int err, const char *what,
                       const char *reason)
{
    struct mh__tls_context *none = NULL;
    cr_expect_eq(mh__tls_client_context(&none, &options, why), err, "%s", why);
    cr_expect_null(none);
    cr_expect_eq(strncmp(why, what, strlen(what)), 0, "%s", why);
    size_t len = strlen(why), wanted = strlen(reason);
    cr_expect(len >= wanted && strcmp(why + len - wanted, reason) == 0, "%s", why);
    cr_expect_eq(ERR_peek_error(), 0);
}

static void no_certificate(const char *cert, const char *key, int err, const char *what,
                           const char *reason)
{
    no_context((struct mh__tls_client_options){.cert_file = cert, .key_file = key}, err, what,
               reason);
}

Test(openssl, files_that_are_no_good)
{
    const char *client = cert_path("client", ".pem");
    no_context((struct mh__tls_client_options){.ca_file = "no/such/file"}, -ENOENT,
               "the roots in no/such/file: ", ": No such file or directory");
    no_context((struct mh__tls_client_options){.ca_file = "/dev/null"}, MH_ERR_TLS,
               "the roots in /dev/null: ", ": there is none in it");
    no_context((struct mh__tls_client_options){.ca_file = cert_path("good", ".key")}, MH_ERR_TLS,
               "the roots in ", "/good.key: there is none in it");
    no_certificate("no/such/file", NULL, -ENOENT,
                   "the certificate in no/such/file: ", ": No such file or directory");
    no_certificate("/dev/null", NULL, MH_ERR_TLS,
                   "the certificate in /dev/null: ", ": there is none in it");
    no_certificate(client, "no/such/file", -ENOENT,
                   "the key in no/such/file: ", ": No such file or directory");
    no_certificate(client, NULL, MH_ERR_TLS, "the key in ", "/client.pem: there is none in it");
    no_certificate(client, cert_path("good", ".key"), MH_ERR_TLS, "the key in ",
                   "/good.key: it is not that of the certificate");
    no_certificate(client, cert_path("locked", ".key"), MH_ERR_TLS, "the key in ",
                   "/locked.key: it is locked by a password");
}

Test(openssl, the_end_of_a_long_path_is_told)
{
    char path[300];
    memset(path, 'x', sizeof(path));
    snprintf(path + 250, 50, "/the/file.pem");
    no_context((struct mh__tls_client_options){.ca_file = path}, -ENOENT, "the roots in ...x",
               "/the/file.pem: No such file or directory");
}

/* ---- the protocol behind ---- */

Test(openssl, alpn)
{
    host_serves("good", TLS1_3_VERSION);
    context_open(trusting());
    meet("localhost");
    cr_expect_eq(host.asked, 1, "it is offered");
    talk_close(&talk);
    host.alpn = "http/1.1";
    meet("localhost");
    talk_close(&talk);
}

Test(openssl, another_protocol_is_refused)
{
    static const char *const names[] = {"h2", "http/1.0", "http/1.10"};
    host_serves("good", TLS1_3_VERSION);
    context_open(trusting());
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        host.alpn = names[i];
        connect_to("localhost", 443);
        cr_expect_eq(talk_handshake(&talk), MH_ERR_TLS, "%s", names[i]);
        const char *words = mh__tls_why(talk.tls);
        cr_expect(strcmp(words, "the peer chose another protocol than http/1.1 (ALPN)") == 0 ||
                      strcmp(words, "bad extension") == 0,
                  "%s", words);
        talk_close(&talk);
    }
}

/* ---- sessions ---- */

/* Was it taken up again? All that the peer sends behind the handshake is read. */
static bool visit(const char *name, uint16_t port)
{
    connect_to(name, port);
    cr_assert_eq(talk_handshake(&talk), 1, "%s", mh__tls_why(talk.tls));
    bool resumed = mh__tls_resumed(talk.tls);
    cr_assert_eq(SSL_session_reused(talk.peer), resumed);
    expect_talk();
    talk_close(&talk);
    return resumed;
}

static void visits(int version, long options)
{
    host_serves("good", version);
    SSL_CTX_set_options(host.ctx, (uint64_t)options);
    context_open(trusting());
    cr_expect_not(visit("localhost", 443));
    cr_expect(visit("localhost", 443));
    cr_expect(visit("localhost", 443));
    cr_expect_not(visit("localhost", 444), "another port");
    cr_expect_not(visit("127.0.0.1", 443), "another name");
    cr_expect(visit("localhost", 444));
    cr_expect(visit("localhost", 443));
}

Test(openssl, resumed_with_tls_1_2_and_tickets)
{
    visits(TLS1_2_VERSION, 0);
}

Test(openssl, resumed_with_tls_1_2_and_ids)
{
    visits(TLS1_2_VERSION, SSL_OP_NO_TICKET);
}

Test(openssl, resumed_with_tls_1_3)
{
    visits(TLS1_3_VERSION, 0);
}

Test(openssl, resumed_although_the_peer_was_rude)
{
    host_serves("good", TLS1_3_VERSION);
    context_open(trusting());
    meet("localhost");
    expect_talk();
    cr_assert_eq(SSL_shutdown(talk.peer), 0);
    cr_assert(carry(&talk));
    talk_close(&talk);
    cr_expect(visit("localhost", 443));
}

/* RFC 8446 appendix C.4. The peer gives two with each handshake. */
Test(openssl, a_ticket_is_used_once)
{
    host_serves("good", TLS1_3_VERSION);
    context_open(trusting());
    cr_expect_not(visit("localhost", 443));
    SSL_CTX_set_num_tickets(host.ctx, 0);
    cr_expect(visit("localhost", 443));
    cr_expect(visit("localhost", 443));
    cr_expect_not(visit("localhost", 443));
}

/* With TLS 1.2, connections side by side use the same one. */
Test(openssl, a_session_is_used_often)
{
    host_serves("good", TLS1_2_VERSION);
    context_open(trusting());
    cr_expect_not(visit("localhost", 443));
    struct talk first = {0};
    for (int i = 0; i < 3; i++) {
        meet("localhost");
        cr_expect(mh__tls_resumed(talk.tls));
        if (i > 0)
            talk_close(&first);
        first = talk;
    }
    talk_close(&first);
}

/* The server has forgotten it: a handshake like the first one. */
Test(openssl, a_session_that_is_not_known_any_more)
{
    context_open(trusting());
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        host_serves("good", version);
        cr_expect_not(visit("localhost", 443));
        host_close(&host);
        host_serves("good", version);
        cr_expect_not(visit("localhost", 443));
        cr_expect(visit("localhost", 443));
        host_close(&host);
    }
    host.ctx = NULL;
}

/* A session that a failed handshake had offered is not offered again. */
Test(openssl, a_session_that_did_not_help)
{
    host_serves("good", TLS1_2_VERSION);
    context_open(trusting());
    cr_expect_not(visit("localhost", 443));
    connect_to("localhost", 443);
    mh_str in = {0}, alert = MH_STR("\x15\x03\x03\x00\x02\x02\x28");
    cr_expect_eq(mh__tls_handshake(talk.tls, &in, &talk.to_peer), 0);
    cr_expect_eq(mh__tls_handshake(talk.tls, &alert, &talk.to_peer), MH_ERR_TLS);
    talk_close(&talk);
    cr_expect_not(visit("localhost", 443));
}

/* The oldest make room: so many ports that the first one is not known any more, and the last is. */
Test(openssl, so_many_sessions_and_no_more)
{
    host_serves("good", TLS1_2_VERSION);
    context_open(trusting());
    for (uint16_t port = 1; port <= MH__TLS_SESSIONS_MAX + 1; port++)
        cr_assert_not(visit("localhost", port));
    cr_expect(visit("localhost", MH__TLS_SESSIONS_MAX + 1));
    cr_expect(visit("localhost", 2), "the oldest that is left");
    cr_expect_not(visit("localhost", 1));
    cr_expect(visit("localhost", 2), "it was used just now");
}

/* One peer has its part, and leaves the others theirs. */
Test(openssl, so_many_sessions_of_one_peer)
{
    host_serves("good", TLS1_3_VERSION);
    context_open(trusting());
    cr_expect_not(visit("localhost", 1));
    SSL_CTX_set_num_tickets(host.ctx, 100);
    for (uint16_t port = 2; port < 6; port++)
        cr_expect_not(visit("localhost", port));
    SSL_CTX_set_num_tickets(host.ctx, 0);
    cr_expect(visit("localhost", 1));
    for (int i = 0; i < 8; i++)
        cr_expect(visit("localhost", 5), "%d", i);
    cr_expect_not(visit("localhost", 5));
}

/* ---- peers that speak something else ---- */

/* The peer says this, whatever we say. */
static void hear(const char *bytes, size_t len, size_t cut, const char *words)
{
    connect_to("localhost", 443);
    mh_str in = {0};
    int result = mh__tls_handshake(talk.tls, &in, &talk.to_peer);
    cr_assert_eq(result, 0);
    for (size_t at = 0; at < len && result == 0; at += cut) {
        in = (mh_str){bytes + at, len - at < cut ? len - at : cut};
        result = mh__tls_handshake(talk.tls, &in, &talk.to_peer);
    }
    cr_expect_eq(result, MH_ERR_TLS, "%d", result);
    cr_expect_str_eq(mh__tls_why(talk.tls), words);
    talk_close(&talk);
}

static void hear_text(mh_str text, const char *words)
{
    hear(text.ptr, text.len, text.len, words);
    hear(text.ptr, text.len, 1, words);
}

Test(openssl, a_peer_without_tls)
{
    host_serves("good", TLS1_3_VERSION);
    context_open(trusting());
    hear_text(MH_STR("HTTP/1.1 400 Bad Request\r\n\r\n"), "peer speaks no TLS");
    hear_text(MH_STR("SSH-2.0-OpenSSH_9.2\r\n"), "peer speaks no TLS");
    hear_text(MH_STR("\0\0\0\0\0\0"), "peer speaks no TLS");
    hear_text(MH_STR("2"), "peer speaks no TLS");
    hear_text(MH_STR("\x16 begins as if it did"), "peer speaks no TLS");
    hear_text(MH_STR("\x15 and so does this"), "peer speaks no TLS");
}

Test(openssl, garbage_in_records)
{
    host_serves("good", TLS1_3_VERSION);
    context_open(trusting());
    hear_text(MH_STR("\x16\x03\x03\x00\x04\x02\x00\x00\x00"), "length mismatch");
    hear_text(MH_STR("\x16\x03\x03\x00\x04\x63\x00\x00\x00"), "unexpected message");
    hear_text(MH_STR("\x16\x03\x03\xff\xff\x02\x00\x00\x00"), "packet length too long");
}

Test(openssl, alerts)
{
    host_serves("good", TLS1_3_VERSION);
    context_open(trusting());
    hear_text(MH_STR("\x15\x03\x03\x00\x02\x02\x28"), "alert from the peer: handshake failure");
    hear_text(MH_STR("\x15\x03\x03\x00\x02\x02\x70"), "alert from the peer: unrecognized name");
    hear_text(MH_STR("\x15\x03\x03\x00\x02\x02\x50"), "alert from the peer: internal error");
    hear_text(MH_STR("\x15\x03\x03\x00\x02\x02\x46"),
              "protocol version too old: the peer knows neither TLS 1.2 nor 1.3");
    hear_text(MH_STR("\x15\x03\x03\x00\x02\x01\x00"),
              "the peer ended the connection during the handshake");
}

Test(openssl, too_old)
{
    host_serves("good", TLS1_1_VERSION);
    context_open(trusting());
    meet_refused("localhost", "protocol version too old: the peer knows neither TLS 1.2 nor 1.3");
}

Test(openssl, corrupt_data)
{
    host_serves("good", TLS1_3_VERSION);
    context_open(trusting());
    meet("localhost");
    expect_nothing_to_read();
    cr_assert(peer_write(&talk, "data", 4));
    talk.to_us.data[7] ^= 1;
    char data[10];
    cr_expect_eq(talk_read(&talk, data, sizeof(data)), MH_ERR_TLS);
    cr_expect_str_eq(mh__tls_why(talk.tls), "decryption failed or bad record mac");
    cr_expect_gt(talk.to_peer.len, 0, "an alert");
    talk_close(&talk);
}

/* The answer of a peer with one byte changed. */
static int hear_changed(size_t at)
{
    connect_to("localhost", (uint16_t)(at + 1));
    mh_str in = {0};
    cr_assert_eq(mh__tls_handshake(talk.tls, &in, &talk.to_peer), 0);
    cr_assert(carry(&talk));
    int result = at < talk.to_us.len ? 0 : -1;
    if (result == 0) {
        talk.to_us.data[at] ^= 0x11;
        in = mh_buf_str(&talk.to_us);
        result = mh__tls_handshake(talk.tls, &in, &talk.to_peer);
        cr_assert(result != 0 || in.len == 0);
    }
    talk_close(&talk);
    return result;
}

/* No byte of it is without meaning, but for the version of a record (RFC 8446 section 5.1) and the
 * lengths behind which the rest is waited for. */
Test(openssl, each_byte_of_a_handshake_counts)
{
    host_serves("good", TLS1_3_VERSION);
    context_open(trusting());
    int refused = 0, waited = 0, done = 0;
    for (size_t at = 0;; at++) {
        int result = hear_changed(at);
        if (result == -1)
            break;
        cr_assert(result == 0 || result == 1 || result == MH_ERR_TLS, "byte %zu: %d", at, result);
        refused += result == MH_ERR_TLS;
        waited += result == 0;
        done += result == 1;
    }
    cr_expect_gt(refused, 800);
    cr_expect_leq(waited, 20, "%d", waited);
    cr_expect_leq(done, 2, "%d", done);
}

/* What others left in the queue of errors is not ours. */
Test(openssl, errors_of_others)
{
    host_serves("good", TLS1_3_VERSION);
    context_open(trusting());
    connect_to("localhost", 443);
    mh_str none = {0};
    ERR_raise(ERR_LIB_USER, ERR_R_MALLOC_FAILURE);
    cr_expect_eq(mh__tls_handshake(talk.tls, &none, &talk.to_peer), 0);
    cr_expect_eq(ERR_peek_error(), 0);
    cr_assert_eq(talk_handshake(&talk), 1);
    ERR_raise(ERR_LIB_USER, ERR_R_MALLOC_FAILURE);
    expect_nothing_to_read();
    cr_expect_eq(ERR_peek_error(), 0);
    talk_close(&talk);
}

/* ---- memory ---- */

Test(openssl, our_memory_runs_out)
{
    struct mh__tls *tls = NULL;
    struct mh__tls_client_options options = trusting();
    allocations_left = 0;
    cr_expect_eq(mh__tls_client_context(&context, &options, why), -ENOMEM);
    cr_expect_null(context);
    allocations_left = -1;
    host_serves("good", TLS1_3_VERSION);
    context_open(options);
    allocations_left = 0;
    cr_expect_eq(mh__tls_client(&tls, context, MH_STR("localhost"), 1), -ENOMEM);
    cr_expect_null(tls);
    allocations_left = -1;
    connect_to("localhost", 1);
    mh_str in = {0};
    allocations_left = 0;
    cr_expect_eq(mh__tls_handshake(talk.tls, &in, &talk.to_peer), -ENOMEM);
    cr_expect_str_eq(mh__tls_why(talk.tls), "Cannot allocate memory");
    allocations_left = -1;
    talk_close(&talk);
}

Test(openssl, a_session_that_there_is_no_memory_for)
{
    host_serves("good", TLS1_3_VERSION);
    context_open(trusting());
    meet("localhost");
    allocations_left = 0;
    expect_nothing_to_read();
    allocations_left = -1;
    expect_talk();
    talk_close(&talk);
    cr_expect_not(visit("localhost", 443));
}

/* ---- memory of OpenSSL's, which has an allocator of its own ---- */

#define STRIDE 7 /* there are thousands, most of them alike */

static long openssl_left = -1; /* up to the one that fails; 0: it has; negative: none does */
static bool and_all_after_it;

static bool openssl_is_out(void)
{
    if (openssl_left > 0)
        return --openssl_left == 0;
    return openssl_left == 0 && and_all_after_it;
}

static void *on_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return openssl_is_out() ? NULL : malloc(size);
}

static void *on_realloc(void *ptr, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return openssl_is_out() ? NULL : realloc(ptr, size);
}

static void on_free(void *ptr, const char *file, int line)
{
    (void)file;
    (void)line;
    free(ptr);
}

/* Only possible before the first allocation, and Criterion is linked to libraries that make some.
 */
static bool allocator_is_ours;

__attribute__((constructor)) static void take_the_allocator(void)
{
    allocator_is_ours = CRYPTO_set_mem_functions(on_malloc, on_realloc, on_free) == 1;
}

/* How many are left, while it is not our turn. */
static long put_aside;

static void ours(void)
{
    openssl_left = put_aside;
}

static void theirs(void)
{
    put_aside = openssl_left;
    openssl_left = -1;
}

/* A handshake and the reading behind it, in which nobody but us is short of memory. */
static ssize_t scarce_talk(void)
{
    char data[10];
    ssize_t result = 0;
    for (int turn = 0; turn < 5 && result == 0; turn++) {
        mh_str in = mh_buf_str(&talk.to_us);
        size_t len = in.len;
        ours();
        result = mh__tls_handshake(talk.tls, &in, &talk.to_peer);
        theirs();
        mh_buf_consume(&talk.to_us, len - in.len);
        cr_assert(carry(&talk));
    }
    if (result < 0)
        return result;
    cr_assert(peer_write(&talk, "pong", 4));
    mh_str in = mh_buf_str(&talk.to_us);
    ours();
    result = mh__tls_read(talk.tls, &in, data, sizeof(data), &talk.to_peer);
    theirs();
    return result;
}

/* The n-th allocation of a connection fails. */
static ssize_t scarce_connection(long n)
{
    struct mh__tls *tls = NULL;
    put_aside = n;
    ours();
    int err = mh__tls_client(&tls, context, MH_STR("localhost"), 443);
    theirs();
    if (err < 0) {
        cr_assert_eq(err, -ENOMEM);
        cr_assert_null(tls);
        return err;
    }
    cr_assert(talk_open(&talk, &host, tls));
    ssize_t result = scarce_talk();
    if (result < 0)
        cr_assert_str_not_empty(mh__tls_why(tls));
    talk_close(&talk);
    return result;
}

/* Each connection comes to its end, in one way or another. A single failure may be one that does
 * not matter: a session that is not kept. The next connection has not been harmed. */
static void scarce_connections(int version)
{
    host_serves("good", version);
    context_open(trusting());
    cr_expect_not(visit("localhost", 1));
    int without_memory = 0, otherwise = 0;
    put_aside = 0;
    for (long n = 1; put_aside <= 0; n += STRIDE) {
        cr_assert_lt(n, 20000);
        ssize_t result = scarce_connection(n);
        cr_assert(result == 4 || result == -ENOMEM || result == MH_ERR_TLS, "%ld: %zd", n, result);
        cr_assert(result != 4 || put_aside > 0 || !and_all_after_it, "%ld", n);
        without_memory += result == -ENOMEM;
        otherwise += result == MH_ERR_TLS;
    }
    cr_expect_gt(without_memory, otherwise);
    cr_expect(visit("localhost", 1));
}

static void scarce_with_each_version(bool and_more)
{
    cr_assert(allocator_is_ours);
    and_all_after_it = and_more;
    scarce_connections(TLS1_2_VERSION);
    teardown();
    scarce_connections(TLS1_3_VERSION);
}

Test(openssl, one_allocation_fails_inside)
{
    scarce_with_each_version(false);
}

Test(openssl, memory_runs_out_inside)
{
    scarce_with_each_version(true);
}
