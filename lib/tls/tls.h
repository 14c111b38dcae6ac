/* tls.h: TLS as a transformation of bytes: what came from the peer in, what is to be sent out. No
 * socket, clock or thread. One file of this folder implements it: openssl.c, or none.c in a build
 * without TLS, where mh__tls_available is false and mh__tls_context_new() fails with MH_ERR_SCHEME.
 *
 * A context may be shared by threads once it is set up; a connection belongs to one at a time. */
#ifndef MH_TLS_TLS_H
#define MH_TLS_TLS_H

#include <minihttp/buffer.h>

struct mh__tls_context;
struct mh__tls;

#define MH__TLS_WHY_MAX 160      /* bytes of the words about an error */
#define MH__TLS_SESSIONS_MAX 256 /* sessions that a client's context keeps for resumption */

extern const bool mh__tls_available;

/* Of a client. Everything is copied or read before mh__tls_client_context() returns. */
struct mh__tls_client_options {
    const char *ca_file;   /* PEM; NULL: the system's roots, where OpenSSL looks for them */
    const char *cert_file; /* PEM, the chain; NULL: none */
    const char *key_file;  /* PEM; NULL: in cert_file */
    bool insecure;         /* neither chain nor name is checked */
};

/* TLS 1.2 and later, ALPN "http/1.1". An error: MH_ERR_TLS, or -ENOENT and the like for files, with
 * words in why: which file, and what is wrong with it; -ENOMEM without. */
MH_CHECK int mh__tls_client_context(struct mh__tls_context **out,
                                    const struct mh__tls_client_options *options,
                                    char why[MH__TLS_WHY_MAX]);
/* Of a server: TLS 1.2 and later; of ALPN "http/1.1" is taken (a client that offers others alone is
 * refused, RFC 7301 section 3.2); tickets. key_file may be NULL: in cert_file. Errors as above. */
MH_CHECK int mh__tls_server_context(struct mh__tls_context **out, const char *cert_file,
                                    const char *key_file, char why[MH__TLS_WHY_MAX]);

/* After its connections. NULL is fine. */
void mh__tls_context_free(struct mh__tls_context *context);

/* A client's end of a connection to `host`, a name (sent as SNI, RFC 6066 section 3) or an address
 * without brackets (not sent). The certificate has to be for it. A session of an earlier connection
 * to the same host and port is offered again: one of TLS 1.3 once (RFC 8446 appendix C.4). -ENOMEM,
 * or -EINVAL for a host that is empty, longer than 255 bytes, or has a NUL in it. */
MH_CHECK int mh__tls_client(struct mh__tls **out, struct mh__tls_context *context, mh_str host,
                            uint16_t port);
/* A server's end. -ENOMEM. */
MH_CHECK int mh__tls_server(struct mh__tls **out, struct mh__tls_context *context);
void mh__tls_free(struct mh__tls *tls); /* NULL is fine */

/* Go on with the handshake: takes from the front of *in what came from the peer, appends to *out
 * what is to be sent to it, also when there is an error (an alert). Returns 1: done; 0: more is
 * needed from the peer, *in is used up; MH_ERR_TLS, and mh__tls_why() says what is wrong; -ENOMEM;
 * MH_ERR_TOO_LARGE: out is full. Once it has failed, it and the calls below fail again. What is
 * left of *in when it is done is for mh__tls_read(). */
MH_CHECK int mh__tls_handshake(struct mh__tls *tls, mh_str *in, mh_buf *out);

/* Take from the front of *in, put up to cap bytes of what they say into data, of one record at most
 * (16384 bytes). Returns their number; 0: more is needed from the peer, *in is used up;
 * MH__TLS_END: the peer said that nothing follows (close_notify, RFC 8446 section 6.1); MH_ERR_TLS;
 * -ENOMEM; MH_ERR_TOO_LARGE as above. *out may get bytes to send (RFC 8446 section 4.6.3: a key
 * update). Call it until it returns 0, or again once there is room for more, then also without
 * input. A TCP end before MH__TLS_END is a truncation; only the caller sees it. */
#define MH__TLS_END (-5999)
MH_CHECK ssize_t mh__tls_read(struct mh__tls *tls, mh_str *in, void *data, size_t cap, mh_buf *out);

/* Append to *out the records that carry `data`, all of it. 0, MH_ERR_TLS, -ENOMEM,
 * MH_ERR_TOO_LARGE. After an error the connection is of no more use, unless out is as it was. Out
 * grows once, by the length of data and some 0.6 % of it. */
MH_CHECK int mh__tls_write(struct mh__tls *tls, mh_str data, mh_buf *out);

/* Append close_notify, but not before the handshake is done. Errors are of no interest any more. */
void mh__tls_close(struct mh__tls *tls, mh_buf *out);

/* About the last error: "certificate has expired", "host name mismatch: the certificate is for
 * example.com, not localhost", "peer speaks no TLS". Never NULL; lives as long as tls. */
const char *mh__tls_why(const struct mh__tls *tls);

bool mh__tls_resumed(const struct mh__tls *tls); /* an earlier session was taken up again */

#endif
