/* visitor.h: a TLS client in memory, made with OpenSSL directly, and what carries bytes between it
 * and a server's end of ours. It says what went wrong by returning false. */
#ifndef TESTS_UNIT_TLS_VISITOR_H
#define TESTS_UNIT_TLS_VISITOR_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/buffer.h"
#include "tls/tls.h"

struct visitor {
    SSL_CTX *ctx;
    SSL *ssl;
    struct mh__tls *tls;      /* our end */
    mh_buf to_us, to_visitor; /* on the wire */
    size_t cut;               /* bytes that we get at once; 0: all there are */
};

static const char *world_path(const char *name)
{
    static _Thread_local char paths[16][512];
    static _Thread_local unsigned next;
    char *path = paths[next++ % 16];
    const char *folder = getenv("MINIHTTP_CERTS");
    snprintf(path, sizeof(paths[0]), "%s/%s", folder ? folder : ".", name);
    return path;
}

/* Of this version; trusts the world's root. What it is to be besides is set on its ctx. */
static bool visitor_open(struct visitor *visitor, int version)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    *visitor = (struct visitor){.ctx = ctx};
    if (!ctx)
        return false;
    SSL_CTX_set_security_level(ctx, 0); /* it may be of yesterday */
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    return SSL_CTX_load_verify_file(ctx, world_path("root.pem")) == 1 &&
           SSL_CTX_set_min_proto_version(ctx, version) == 1 &&
           SSL_CTX_set_max_proto_version(ctx, version) == 1;
}

/* Its next connection, with a session to take up again, or NULL. */
static bool visitor_connect(struct visitor *visitor, struct mh__tls_context *context,
                            SSL_SESSION *session)
{
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    SSL *ssl = visitor->ssl = SSL_new(visitor->ctx);
    if (!ssl || !in || !out)
        return false;
    BIO_set_mem_eof_return(in, -1);
    SSL_set_bio(ssl, in, out);
    SSL_set_connect_state(ssl);
    return (!session || SSL_set_session(ssl, session) == 1) &&
           mh__tls_server(&visitor->tls, context) == 0;
}

static void visitor_leave(struct visitor *visitor)
{
    mh__tls_free(visitor->tls);
    if (visitor->ssl)
        SSL_set_shutdown(visitor->ssl, SSL_SENT_SHUTDOWN);
    SSL_free(visitor->ssl);
    visitor->ssl = NULL;
    visitor->tls = NULL;
    mh_buf_free(&visitor->to_us);
    mh_buf_free(&visitor->to_visitor);
    ERR_clear_error();
}

static void visitor_close(struct visitor *visitor)
{
    visitor_leave(visitor);
    SSL_CTX_free(visitor->ctx);
    visitor->ctx = NULL;
}

/* What it has said is put behind to_us. */
static bool visitor_says(struct visitor *visitor)
{
    char *data;
    BIO *out = SSL_get_wbio(visitor->ssl);
    long said = BIO_get_mem_data(out, &data);
    bool fine = mh_buf_append(&visitor->to_us, data, (size_t)said) == 0;
    (void)BIO_reset(out);
    ERR_clear_error();
    return fine;
}

/* What we have said goes to it, and what it says to that comes back. */
static bool visitor_hears(struct visitor *visitor)
{
    mh_buf *out = &visitor->to_visitor;
    bool fine = out->len == 0 ||
                BIO_write(SSL_get_rbio(visitor->ssl), out->data, (int)out->len) == (int)out->len;
    mh_buf_clear(out);
    if (!SSL_is_init_finished(visitor->ssl))
        (void)SSL_do_handshake(visitor->ssl);
    return visitor_says(visitor) && fine;
}

static mh_str visitor_input(const struct visitor *visitor)
{
    mh_str in = mh_buf_str(&visitor->to_us);
    if (visitor->cut > 0 && in.len > visitor->cut)
        in.len = visitor->cut;
    return in;
}

/* Until there is a result of ours; 0: they wait for each other. */
static int visitor_handshake(struct visitor *visitor)
{
    int result = 0;
    if (!visitor_hears(visitor))
        return 0;
    while (result == 0 && visitor->to_us.len > 0) {
        mh_str in = visitor_input(visitor);
        size_t len = in.len;
        result = mh__tls_handshake(visitor->tls, &in, &visitor->to_visitor);
        mh_buf_consume(&visitor->to_us, len - in.len);
        if (!visitor_hears(visitor))
            return 0;
    }
    return result;
}

/* What we read of it: some, 0, MH__TLS_END, or an error. */
static ssize_t visitor_read(struct visitor *visitor, void *data, size_t cap)
{
    for (;;) {
        mh_str in = visitor_input(visitor);
        size_t len = in.len;
        ssize_t result = mh__tls_read(visitor->tls, &in, data, cap, &visitor->to_visitor);
        mh_buf_consume(&visitor->to_us, len - in.len);
        if (result != 0 || visitor->to_us.len == 0)
            return result;
    }
}

#endif
