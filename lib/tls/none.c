/* none.c: in place of openssl.c, where a build is to do without TLS. No context comes to be, and so
 * nothing else here is ever called by a program. */
#include "tls/tls.h"

#include <string.h>

const bool mh__tls_available = false;

static const char words[] = "this build of the library has no TLS";
_Static_assert(sizeof(words) <= MH__TLS_WHY_MAX, "words that fit");

int mh__tls_client_context(struct mh__tls_context **out,
                           const struct mh__tls_client_options *options, char why[MH__TLS_WHY_MAX])
{
    (void)out;
    (void)options;
    memcpy(why, words, sizeof(words));
    return MH_ERR_SCHEME;
}

void mh__tls_context_free(struct mh__tls_context *context)
{
    (void)context;
}

int mh__tls_client(struct mh__tls **out, struct mh__tls_context *context, mh_str host,
                   uint16_t port)
{
    (void)out;
    (void)context;
    (void)host;
    (void)port;
    return MH_ERR_SCHEME;
}

int mh__tls_server_context(struct mh__tls_context **out, const char *cert_file,
                           const char *key_file, char why[MH__TLS_WHY_MAX])
{
    (void)cert_file;
    (void)key_file;
    (void)out;
    memcpy(why, words, sizeof(words));
    return MH_ERR_SCHEME;
}

int mh__tls_server(struct mh__tls **out, struct mh__tls_context *context)
{
    (void)context;
    (void)out;
    return MH_ERR_SCHEME;
}

void mh__tls_free(struct mh__tls *tls)
{
    (void)tls;
}

int mh__tls_handshake(struct mh__tls *tls, mh_str *in, mh_buf *out)
{
    (void)tls;
    (void)in;
    (void)out;
    return MH_ERR_SCHEME;
}

ssize_t mh__tls_read(struct mh__tls *tls, mh_str *in, void *data, size_t cap, mh_buf *out)
{
    (void)tls;
    (void)in;
    (void)data;
    (void)cap;
    (void)out;
    return MH_ERR_SCHEME;
}

int mh__tls_write(struct mh__tls *tls, mh_str data, mh_buf *out)
{
    (void)tls;
    (void)data;
    (void)out;
    return MH_ERR_SCHEME;
}

void mh__tls_close(struct mh__tls *tls, mh_buf *out)
{
    (void)tls;
    (void)out;
}

const char *mh__tls_why(const struct mh__tls *tls)
{
    (void)tls;
    return words;
}

bool mh__tls_resumed(const struct mh__tls *tls)
{
    (void)tls;
    return false;
}
