/* client.h: fetch things. Steps up, one vocabulary:
 *
 *   mh_get_once()        one connect, one send, one recv(), into your array
 *   mh_get()             the whole body, into a growable buffer
 *   mh_client_fetch()    any method, headers, streaming, keep-alive, TLS; waits
 *   mh_client_submit()   the same mh_fetch, many at once, on a loop
 *
 * A client may be used by any number of threads at once. A response belongs to one thread at a
 * time, and while its transfer is on a loop, to that loop's. */
#ifndef MINIHTTP_CLIENT_H
#define MINIHTTP_CLIENT_H

#include <minihttp/h1.h>
#include <minihttp/loop.h>
#include <minihttp/message.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MH_FETCH_TIMEOUT_MS 60000         /* a whole transfer, redirects and all */
#define MH_FETCH_RESOLVE_TIMEOUT_MS 5000  /* a name */
#define MH_FETCH_CONNECT_TIMEOUT_MS 10000 /* name and connection together, a proxy's tunnel too */
#define MH_FETCH_TLS_TIMEOUT_MS 10000     /* the handshake behind it */
#define MH_FETCH_IDLE_TIMEOUT_MS 30000    /* no byte either way */
#define MH_FETCH_EXPECT_TIMEOUT_MS                                                                 \
    1000                                /* for "100 Continue", before a body is sent all the same  \
                                         */
#define MH_FETCH_EXPECT_MIN (1u << 20)  /* bytes of a body from which on it is waited for */
#define MH_FETCH_HEAD_MAX (64u << 10)   /* bytes in a response's head */
#define MH_FETCH_REQUEST_HEAD_MAX 16384 /* bytes in a request's head, most of it the URL */
#define MH_FETCH_REDIRECTS_MAX 10       /* that are followed */
#define MH_CLIENT_CONNECTIONS_MAX 256   /* of a client on one loop, busy and kept */
#define MH_CLIENT_PER_HOST_MAX 32       /* of these, to one scheme, host and port */
#define MH_CLIENT_IDLE_TIMEOUT_MS 60000 /* that a connection is kept without use */

/* Send one GET, with a Host field and no other, call recv() once, return how many raw bytes came:
 * head and body as they are, at most cap, at least 1. buf is not NUL-terminated. http only, and
 * never by a proxy. Nothing is allocated, but by the resolver for a host name. Waits no longer than
 * MH_FETCH_CONNECT_TIMEOUT_MS to be connected, then MH_FETCH_IDLE_TIMEOUT_MS.
 *
 * Errors: MH_ERR_URL, MH_ERR_SCHEME, MH_ERR_TOO_LARGE (the URL, see MH_FETCH_REQUEST_HEAD_MAX),
 * MH_ERR_RESOLVE, MH_ERR_CLOSED (nothing came), -ETIMEDOUT, -ECONNREFUSED and the other errnos of
 * connect(), send() and recv(), -EAGAIN (no thread to look a name up with), -EINVAL when cap is 0.
 */
MH_API MH_CHECK ssize_t mh_get_once(const char *url, void *buf, size_t cap);

/* GET a URL, follow redirects, append the decoded body to *body, return the status (100..999,
 * whatever it is: a 404 is no error) or an error. body->max is the ceiling: MH_ERR_TOO_LARGE above
 * it. On an error *body is as it was. Errors: those of mh_client_fetch(). */
MH_API MH_CHECK int mh_get(const char *url, mh_buf *body);

/* How far a transfer came. On an error: where it happened. */
typedef enum mh_phase {
    MH_PHASE_START,   /* the URL and the options are looked at */
    MH_PHASE_WAIT,    /* for a connection: as many as allowed are in use */
    MH_PHASE_RESOLVE, /* the name is looked up */
    MH_PHASE_CONNECT,
    MH_PHASE_PROXY, /* a tunnel is asked for (CONNECT) */
    MH_PHASE_TLS,
    MH_PHASE_SEND, /* the request is on its way */
    MH_PHASE_HEAD, /* waiting for the response, or in its head */
    MH_PHASE_BODY,
    MH_PHASE_DONE
} mh_phase;

/* "connect", "send request", "receive head", ... Static text, never NULL. */
MH_API const char *mh_phase_name(mh_phase phase);

/* Microseconds from the start of a transfer to each point of its last request; -1: it was not
 * reached, or there was nothing to do (a kept connection needs no name). */
typedef struct mh_timings {
    int64_t resolved_us, connected_us, secured_us;
    int64_t sent_us;       /* all of the request */
    int64_t first_byte_us; /* of the response */
    int64_t done_us;
    bool reused; /* the connection had been kept from an earlier request */
} mh_timings;

/* What came back. {0} before the first use; mh_response_free() after the last, also when the fetch
 * failed. It may be used again for another fetch, and keeps its memory then. Everything in it lives
 * until the next fetch or mh_response_free(). */
typedef struct mh_response {
    int status;         /* 100..999; 0 while no status line has arrived */
    int error;          /* 0, or why the transfer ended early */
    mh_phase phase;     /* MH_PHASE_DONE, or where the error happened */
    bool retryable;     /* to repeat the request is safe: nothing of it can have been acted upon, or
                           it is idempotent; that does not say that it would help */
    const char *detail; /* to be used in place of mh_strerror()'s text: "byte 0x0b at offset 57:
                           ...", "certificate has expired"; NULL when there is none */
    const char *peer;   /* whom we talk to, or tried to: "127.0.0.1:80", "[::1]:80", "unix:/path", a
                           proxy where there is one; NULL while no address is known */
    mh_str url;         /* the last one, after redirects, without user and password */
    int redirects;      /* that were followed */
    mh_str head;        /* the head as it was received, blank line and all */
    mh_str reason;
    mh_headers headers, trailers;
    mh_buf body;             /* decoded; set .max for a ceiling; stays empty when on_body is set */
    uint64_t received;       /* bytes of the body so far, as they come: before decoding */
    uint64_t received_total; /* bytes of the whole body; MH_LENGTH_UNKNOWN while unknown */
    uint64_t decoded;        /* bytes of the body that were handed over */
    uint64_t sent;           /* bytes of the request's body so far */
    uint64_t sent_total;     /* of all of it; MH_LENGTH_UNKNOWN when it is not known */
    mh_timings timings;
    void *user;            /* copied from the fetch */
    void *private_;        /* keep zero */
    uintptr_t reserved[8]; /* keep zero */
} mh_response;

/* Give everything back; *res is {0} again, but for body.max. Safe on {0} and twice. Not while its
 * transfer is in flight. */
MH_API void mh_response_free(mh_response *res);

/* Which way bytes went, for on_trace. */
typedef enum mh_direction { MH_SENT, MH_RECEIVED } mh_direction;

#define MH_FETCH_DOWNGRADE 1u    /* follow a redirect from https to http */
#define MH_FETCH_SHOW_SECRETS 2u /* on_trace sees credentials as they are */

/* What to fetch and how. Fields left out are zero, and zero is the default. Everything it points to
 * is borrowed until the fetch is done. Callbacks return 0 to go on, or a negative error, which ends
 * the transfer and becomes its result; what is positive counts as 0. A callback may submit, cancel
 * and pause; it may not run the loop, nor free the response but in on_done.
 *
 * What is sent: Host, the caller's headers, User-Agent unless it is among them, Accept-Encoding
 * unless it is among them, Authorization (Basic, RFC 7617) where the URL has a user and it is not
 * among them, and what frames the body. Whoever sends an Accept-Encoding of his own gets the body
 * as it comes; else its codings are undone. While the request is sent, an answer is already
 * received.
 *
 * Redirects (RFC 9110 section 15.4): 303 becomes a GET, or a HEAD for a HEAD; 301 and 302 make a
 * GET of a POST; 307 and 308 repeat the request, with its body where that is in memory. To another
 * origin (scheme, host, port) Authorization, Cookie, Proxy-Authorization and the secrets are not
 * sent again. A 3xx without a Location is a result like any other. */
typedef struct mh_fetch {
    const char *url;            /* required; http, or https where TLS is built in */
    const char *method;         /* NULL: GET, or POST when there is a body; not CONNECT */
    const char *const *headers; /* "Name: value" lines, NULL at the end; a Host among them replaces
                                   ours; framing fields are refused with -EINVAL */
    const char *const *secrets; /* more names of fields that only the first origin may see, and no
                                   trace; NULL at the end */
    mh_str body;

    int timeout_ms;         /* the whole transfer; 0: MH_FETCH_TIMEOUT_MS, -1: never */
    int resolve_timeout_ms; /* 0: MH_FETCH_RESOLVE_TIMEOUT_MS, -1: never; and so on */
    int connect_timeout_ms;
    int tls_timeout_ms;
    int idle_timeout_ms;   /* no byte either way, while it is ours to wait */
    int expect_timeout_ms; /* -1: "Expect: 100-continue" is not sent; greater than 0: it is,
                              whatever the size of the body */
    int redirects_max;     /* 0: MH_FETCH_REDIRECTS_MAX, -1: hand them to the caller */
    unsigned flags;        /* MH_FETCH_... */
    size_t body_max;       /* 0: the buffer's own ceiling, or no limit when on_body is set; of this
                              and the buffer's, where both apply, the smaller one. Decoded bytes. */

    /* The request's body, in place of `body`: put up to cap bytes into buf, return how many; 0 ends
     * it; -EAGAIN: none for now, ask again after mh_client_pause(res, false). */
    ssize_t (*on_upload)(mh_response *res, char *buf, size_t cap);
    uint64_t upload_len; /* of on_upload; 0: not known, it is sent chunked (RFC 9112 section 7.1) */

    int (*on_head)(mh_response *res); /* the final head is there; interim ones are passed over */
    int (*on_body)(mh_response *res, const char *data, size_t len); /* data lives for this call */
    int (*on_progress)(mh_response *res); /* some of either body has gone by */
    int (*on_trace)(mh_response *res, mh_direction direction, const char *data, size_t len);
    void (*on_done)(mh_response *res); /* exactly once, last; res is complete */
    void *user;

    uintptr_t reserved[8]; /* zero; later options move in here */
} mh_fetch;

/* Zero is the default here too. Everything is copied by mh_client_new(). */
typedef struct mh_client_options {
    int connections_max;          /* 0: MH_CLIENT_CONNECTIONS_MAX */
    int connections_per_host_max; /* 0: MH_CLIENT_PER_HOST_MAX */
    int idle_timeout_ms;          /* a kept connection's; 0: MH_CLIENT_IDLE_TIMEOUT_MS, -1: never */
    const char *ca_file;          /* PEM, in place of the system's roots; NULL: these */
    const char *cert_file;        /* PEM: a certificate of our own, and its chain; NULL: none */
    const char *key_file;         /* PEM; NULL: in cert_file, without which it is -EINVAL */
    bool insecure;                /* true: certificates are not checked */
    const char *proxy;    /* "http://user:password@host:port"; NULL: http_proxy, https_proxy,
                             all_proxy and no_proxy of the environment decide; "": none */
    const char *no_proxy; /* beside `proxy`: "example.com,.example.org,10.0.0.0/8"; NULL */
    const char *const *addresses; /* "example.com:80=127.0.0.1:8080", "example.com:80=[::1]:8080",
                                     "example.com:80=unix:/path": where to connect in place of what
                                     the name says; NULL at the end */
    const char *user_agent;       /* NULL: "minihttp/x.y.z"; "": none */
    uintptr_t reserved[8];        /* zero */
} mh_client_options;

/* Connections that are kept, what TLS needs, and options: shared by threads. */
typedef struct mh_client mh_client;

/* *client is NULL after an error: -EINVAL (an option that is no good), MH_ERR_URL (the proxy's),
 * MH_ERR_SCHEME (certificates in a build without TLS), MH_ERR_TLS and errnos about the files,
 * -ENOMEM. options may be NULL. The environment is read here, and nowhere else. */
MH_API MH_CHECK int mh_client_new(mh_client **client, const mh_client_options *options);

/* Closes what is kept. Not while a transfer is in flight, or a loop that it was used on is run.
 * NULL is fine. */
MH_API void mh_client_free(mh_client *client);

/* Fetch and wait. client may be NULL: one with default options, for this call alone. Returns the
 * status, or the error that is also in res->error. Errors: those of mh_get_once(), MH_ERR_TLS,
 * MH_ERR_MALFORMED, MH_ERR_FRAMING, MH_ERR_CODING, MH_ERR_TOO_LARGE, MH_ERR_REDIRECT, MH_ERR_PROXY,
 * -ENOMEM, -ECANCELED; what a callback returned; -EINVAL for options that are no good: no URL, the
 * method CONNECT, a timeout below -1, a header that must not be sent, something in what is
 * reserved. */
MH_API MH_CHECK int mh_client_fetch(mh_client *client, const mh_fetch *fetch, mh_response *res);

/* Start on a loop and come back at once. *fetch is copied, what it points to is not; *res must stay
 * where it is until it is done. Returns 0, or an error (-EINVAL, MH_ERR_URL, MH_ERR_SCHEME,
 * MH_ERR_TOO_LARGE, -ENOMEM) after which no callback will be called. Many more may be submitted
 * than connections_max: the rest wait their turn, in order. client is not NULL. */
MH_API MH_CHECK int mh_client_submit(mh_client *client, mh_loop *loop, const mh_fetch *fetch,
                                     mh_response *res);

/* End a transfer with -ECANCELED, in the next turn of its loop. From its loop's thread; a transfer
 * of mh_client_fetch() from any thread, from the first of its callbacks on until that call returns.
 * Nothing happens where none is in flight. */
MH_API void mh_client_cancel(mh_response *res);

/* true: nothing more is received, and the peer will stop to send once the kernel's buffers are
 * full; silence does not count meanwhile. false: go on. From its loop's thread. */
MH_API void mh_client_pause(mh_response *res, bool pause);

/* mh_get_once() with the options of a fetch, and an account in *res (status and head stay empty:
 * the bytes are not looked at). A body and other methods are sent too, and no User-Agent or
 * Accept-Encoding of our own. Callbacks are not called. client must be NULL. */
MH_API MH_CHECK ssize_t mh_client_fetch_once(mh_client *client, const mh_fetch *fetch, void *buf,
                                             size_t cap, mh_response *res);

#ifdef __cplusplus
}
#endif
#endif
