/* secure.c: fetching by https, from a peer made with OpenSSL directly. What OpenSSL allocates for
 * itself is not counted; what stands around it is. */
#include <minihttp/server.h>

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "account.h"
#include "inject.h"
#include "scenario.h"

#define NAME "secure.test"
#define YEAR_S 31536000L

/* ---- a peer ---- */

static struct {
    SSL_CTX *ctx; /* made once in a process, as is */
    X509 *cert;   /* which lies in a file while there is a run */
    char cert_path[128];
    int listener, stop, port;
    bool closes; /* after each answer, without a length that would tell */
    pthread_t thread;
} peer;

static void must(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "a TLS peer: %s\n", what);
    abort();
}

static X509 *certificate(EVP_PKEY *key)
{
    X509 *cert = X509_new();
    X509_NAME *name = X509_get_subject_name(cert);
    X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:" NAME);
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -YEAR_S);
    X509_gmtime_adj(X509_getm_notAfter(cert), YEAR_S);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)NAME, -1, -1, 0);
    X509_set_issuer_name(cert, name);
    X509_set_pubkey(cert, key);
    must(names && X509_add_ext(cert, names, -1), "the name");
    must(X509_sign(cert, key, EVP_sha256()) > 0, "the signature");
    X509_EXTENSION_free(names);
    return cert;
}

static void prepare(void)
{
    if (peer.ctx)
        return;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    must(key, "the key");
    X509 *cert = certificate(key);
    snprintf(peer.cert_path, sizeof(peer.cert_path), "%s/faults-%d.pem", P_tmpdir, (int)getpid());
    peer.cert = cert;
    peer.ctx = SSL_CTX_new(TLS_server_method());
    must(peer.ctx && SSL_CTX_use_certificate(peer.ctx, cert) &&
             SSL_CTX_use_PrivateKey(peer.ctx, key),
         "the context");
    SSL_CTX_set_session_id_context(peer.ctx, (const unsigned char *)NAME, sizeof(NAME));
    EVP_PKEY_free(key);
}

static void put_certificate(void)
{
    FILE *file = fopen(peer.cert_path, "w");
    must(file && PEM_write_X509(file, peer.cert) &&
             PEM_write_PrivateKey(file, SSL_CTX_get0_privatekey(peer.ctx), NULL, NULL, 0, NULL,
                                  NULL) &&
             fclose(file) == 0,
         "the file");
}

static bool answer(SSL *ssl)
{
    static const char kept[] = "HTTP/1.1 200 OK\r\nContent-Length: 1024\r\n\r\n" KIB_;
    static const char last[] = "HTTP/1.1 200 OK\r\n\r\n" KIB_;
    char got[4096] = "";
    int len = 0, more = 1;
    while (!strstr(got, "\r\n\r\n") && more > 0) {
        more = SSL_read(ssl, got + len, (int)sizeof(got) - 1 - len);
        len += more > 0 ? more : 0;
        got[len] = '\0';
    }
    if (more <= 0)
        return false;
    if (!peer.closes)
        return SSL_write(ssl, kept, sizeof(kept) - 1) > 0;
    SSL_write(ssl, last, sizeof(last) - 1);
    SSL_shutdown(ssl);
    return false;
}

static void attend(int fd)
{
    SSL *ssl = SSL_new(peer.ctx);
    must(ssl && SSL_set_fd(ssl, fd), "a connection");
    if (SSL_accept(ssl) > 0) {
        while (answer(ssl))
            ;
    }
    SSL_free(ssl);
    close(fd);
}

static int accept_next(void)
{
    struct pollfd wanted[] = {{.fd = peer.listener, .events = POLLIN},
                              {.fd = peer.stop, .events = POLLIN}};
    if (poll(wanted, 2, -1) < 0 || wanted[1].revents)
        return -1;
    return accept4(peer.listener, NULL, NULL, SOCK_CLOEXEC);
}

/* OpenSSL writes to connections that the other side has closed. */
static void *serve(void *arg)
{
    sigset_t pipe;
    int fd;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, NULL);
    while ((fd = accept_next()) >= 0)
        attend(fd);
    return arg;
}

static void start(bool closes)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    prepare();
    put_certificate();
    peer.closes = closes;
    SSL_CTX_set_num_tickets(peer.ctx, closes ? 1 : 0);
    peer.stop = eventfd(0, EFD_CLOEXEC);
    peer.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    must(bind(peer.listener, (struct sockaddr *)&in, len) == 0 && listen(peer.listener, 8) == 0 &&
             getsockname(peer.listener, (struct sockaddr *)&in, &len) == 0,
         "a listener");
    peer.port = ntohs(in.sin_port);
    must(pthread_create(&peer.thread, NULL, serve, NULL) == 0, "a thread");
}

static void stop(void)
{
    eventfd_write(peer.stop, 1);
    pthread_join(peer.thread, NULL);
    close(peer.listener);
    close(peer.stop);
    unlink(peer.cert_path);
}

/* ---- a client ---- */

static int fetch_twice(mh_client *client)
{
    mh_response res = {0};
    const mh_fetch fetch = {.url = "https://" NAME "/path", .timeout_ms = TIMEOUT_MS};
    int status = 0;
    for (int i = 0; i < 2 && status >= 0; i++) {
        COUNTED(status = mh_client_fetch(client, &fetch, &res));
        check_account(&res, status);
        if (status >= 0)
            note_response(&res);
    }
    COUNTED(mh_response_free(&res));
    return status;
}

static int conduct(bool closes)
{
    char address[64];
    const char *const addresses[] = {address, NULL};
    mh_client *client;
    int status;
    start(closes);
    snprintf(address, sizeof(address), NAME ":443=127.0.0.1:%d", peer.port);
    const mh_client_options options = {
        .proxy = "", .ca_file = peer.cert_path, .addresses = addresses};
    COUNTED(status = mh_client_new(&client, &options));
    if (status == 0)
        status = fetch_twice(client);
    COUNTED(mh_client_free(client));
    stop();
    check(status > 0 || inject_hit());
    return status;
}

static int secure_kept(void)
{
    return conduct(false);
}

/* Each body lasts until the peer closes; the second connection takes up the session of the first.
 */
static int secure_closed(void)
{
    return conduct(true);
}

/* ---- a server: our own client visits it, and is not counted ---- */

static struct {
    mh_server *server;
    int status[3];
    bool was_calm; /* nothing had failed when it asked for the last time */
    pthread_t thread;
} guest;

static void ask(mh_client *client, int *status)
{
    mh_response res = {0};
    int ms = inject_mode() == MODE_AFTER ? 300 : TIMEOUT_MS;
    const mh_fetch fetch = {.url = "https://" NAME "/", .timeout_ms = ms};
    *status = mh_client_fetch(client, &fetch, &res);
    check(*status < 0 || *status >= 500 || mh_str_equal(mh_buf_str(&res.body), KIB_));
    mh_response_free(&res);
}

static void *be_guest(void *arg)
{
    char address[64];
    const char *const addresses[] = {address, NULL};
    mh_client *client;
    snprintf(address, sizeof(address), NAME ":443=127.0.0.1:%d", mh_server_port(guest.server));
    const mh_client_options options = {
        .proxy = "", .ca_file = peer.cert_path, .addresses = addresses};
    must(mh_client_new(&client, &options) == 0, "a client");
    for (int i = 0; i < 3; i++) {
        guest.was_calm = !inject_hit();
        ask(client, &guest.status[i]);
    }
    mh_client_free(client);
    mh_server_stop(guest.server);
    if (inject_mode() == MODE_AFTER)
        mh_server_stop(guest.server);
    return arg;
}

static int reply(mh_request *req)
{
    return mh_reply_borrow(req, 200, "text/plain", KIB_, sizeof(KIB_) - 1);
}

static int open_server(mh_loop **loop)
{
    const mh_server_options options = {.address = "127.0.0.1:0",
                                       .handler = reply,
                                       .stop_timeout_ms = 500,
                                       .cert_file = peer.cert_path};
    guest.server = NULL;
    int err = mh_loop_new(loop);
    if (err == 0)
        err = mh_server_new(&guest.server, &options);
    return err < 0 ? err : mh_server_attach(guest.server, *loop);
}

static int judge_guest(void)
{
    bool good = true;
    for (int i = 0; i < 3; i++)
        good = good && guest.status[i] == 200;
    if (inject_mode() == MODE_CALM)
        check(good);
    if (inject_mode() == MODE_ONLY)
        check(guest.status[2] == 200 || guest.was_calm);
    return good ? 0 : SERVED_LESS;
}

static int secure_server(void)
{
    mh_loop *loop;
    int result;
    prepare();
    put_certificate();
    COUNTED(result = open_server(&loop));
    if (result == 0) {
        must(pthread_create(&guest.thread, NULL, be_guest, NULL) == 0, "a thread");
        COUNTED(result = mh_loop_run(loop, -1));
        pthread_join(guest.thread, NULL);
        check(result == 0);
        result = judge_guest();
    }
    COUNTED(mh_server_free(guest.server); mh_loop_free(loop));
    unlink(peer.cert_path);
    return result;
}

/* A peer that is cut off in the middle of a record or of the handshake. */
const struct scenario secure_scenarios[] = {
    {.name = "secure_kept", .run = secure_kept, .also = {MH_ERR_TLS, MH_ERR_CLOSED}},
    {.name = "secure_closed", .run = secure_closed, .also = {MH_ERR_TLS, MH_ERR_CLOSED}},
    {.name = "secure_server",
     .run = secure_server,
     .also = {SERVED_LESS, MH_ERR_TLS},
     .endless = true},
    {0},
};
