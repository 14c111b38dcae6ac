/* peer.h: a TLS server in memory, made with OpenSSL directly, and what carries bytes between it and
 * a connection of ours. It says what went wrong by returning false: who tests has the words. */
#ifndef TESTS_UNIT_TLS_PEER_H
#define TESTS_UNIT_TLS_PEER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "tls/tls.h"

/* What the server is. It may serve many connections, one after the other. */
struct host {
    SSL_CTX *ctx;
    const char *alpn; /* its answer, whatever was asked; NULL: none */
    int asked;        /* a client that offers protocols */
    char sni[256];    /* of the last client; empty: none was sent */
};

/* One connection, both ends. */
struct talk {
    struct mh__tls *tls;
    SSL *peer;
    mh_buf to_peer, to_us; /* on the wire */
    size_t cut;            /* bytes that we get at once; 0: all there are */
};

static const char *cert_path(const char *name, const char *end)
{
    static _Thread_local char paths[16][512];
    static _Thread_local unsigned next;
    char *path = paths[next++ % 16];
    const char *folder = getenv("MINIHTTP_CERTS");
    snprintf(path, sizeof(paths[0]), "%s/%s%s", folder ? folder : ".", name, end);
    return path;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *len, const unsigned char *in,
                   unsigned in_len, void *user)
{
    struct host *host = user;
    (void)ssl;
    host->asked += in_len == 9 && memcmp(in, "\x08http/1.1", 9) == 0;
    if (!host->alpn)
        return SSL_TLSEXT_ERR_NOACK;
    *out = (const unsigned char *)host->alpn;
    *len = (unsigned char)strlen(host->alpn);
    return SSL_TLSEXT_ERR_OK;
}

static int on_sni(SSL *ssl, int *alert, void *user)
{
    struct host *host = user;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    (void)alert;
    snprintf(host->sni, sizeof(host->sni), "%s", name ? name : "");
    return SSL_TLSEXT_ERR_OK;
}

static bool host_open(struct host *host, const char *cert, int version)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    *host = (struct host){.ctx = ctx};
    if (!ctx)
        return false;
    SSL_CTX_set_security_level(ctx, 0); /* it may be of yesterday */
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, host);
    SSL_CTX_set_tlsext_servername_callback(ctx, on_sni);
    SSL_CTX_set_tlsext_servername_arg(ctx, host);
    return SSL_CTX_use_certificate_chain_file(ctx, cert_path(cert, ".pem")) == 1 &&
           SSL_CTX_use_PrivateKey_file(ctx, cert_path(cert, ".key"), SSL_FILETYPE_PEM) == 1 &&
           SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"x", 1) == 1 &&
           SSL_CTX_set_min_proto_version(ctx, version) == 1 &&
           SSL_CTX_set_max_proto_version(ctx, version) == 1;
}

static void host_close(struct host *host)
{
    SSL_CTX_free(host->ctx);
}

static bool talk_open(struct talk *talk, struct host *host, struct mh__tls *tls)
{
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    *talk = (struct talk){.tls = tls, .peer = SSL_new(host->ctx)};
    if (!talk->peer || !in || !out)
        return false;
    BIO_set_mem_eof_return(in, -1);
    SSL_set_bio(talk->peer, in, out);
    SSL_set_accept_state(talk->peer);
    return true;
}

static void talk_close(struct talk *talk)
{
    mh__tls_free(talk->tls);
    SSL_set_shutdown(talk->peer, SSL_SENT_SHUTDOWN); /* else it would forget the session */
    SSL_free(talk->peer);
    mh_buf_free(&talk->to_peer);
    mh_buf_free(&talk->to_us);
    ERR_clear_error();
}

/* What we have said goes to the peer; what it has said so far stands in to_us then. */
static bool carry(struct talk *talk)
{
    char *data;
    BIO *in = SSL_get_rbio(talk->peer), *out = SSL_get_wbio(talk->peer);
    size_t len = talk->to_peer.len;
    bool fine = len == 0 || BIO_write(in, talk->to_peer.data, (int)len) == (int)len;
    mh_buf_clear(&talk->to_peer);
    if (!SSL_is_init_finished(talk->peer))
        (void)SSL_do_handshake(talk->peer);
    long said = BIO_get_mem_data(out, &data);
    fine = fine && mh_buf_append(&talk->to_us, data, (size_t)said) == 0;
    (void)BIO_reset(out);
    ERR_clear_error();
    return fine;
}

static mh_str next_input(const struct talk *talk)
{
    mh_str in = mh_buf_str(&talk->to_us);
    if (talk->cut > 0 && in.len > talk->cut)
        in.len = talk->cut;
    return in;
}

/* Until there is a result; 0: they wait for each other. */
static int talk_handshake(struct talk *talk)
{
    for (;;) {
        mh_str in = next_input(talk);
        size_t len = in.len;
        int result = mh__tls_handshake(talk->tls, &in, &talk->to_peer);
        mh_buf_consume(&talk->to_us, len - in.len);
        if (result != 0) {
            (void)carry(talk);
            return result;
        }
        bool more = talk->to_us.len > 0 || talk->to_peer.len > 0;
        if (in.len > 0 || !carry(talk) || (!more && talk->to_us.len == 0))
            return 0;
    }
}

/* The same for data: some, 0, MH__TLS_END, or an error. */
static ssize_t talk_read(struct talk *talk, void *data, size_t cap)
{
    for (;;) {
        mh_str in = next_input(talk);
        size_t len = in.len;
        ssize_t result = mh__tls_read(talk->tls, &in, data, cap, &talk->to_peer);
        mh_buf_consume(&talk->to_us, len - in.len);
        if (result != 0 || talk->to_us.len == 0)
            return result;
    }
}

/* The peer says this. */
static bool peer_write(struct talk *talk, const char *data, size_t len)
{
    return SSL_write(talk->peer, data, (int)len) == (int)len && carry(talk);
}

#endif
