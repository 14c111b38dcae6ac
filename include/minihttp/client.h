/* client.h: fetch things. Steps up, one vocabulary:
 *
 *   mh_get_once()        one connect, one send, one recv(), into your array
 *   mh_get()             the whole body, into a growable buffer
 *   mh_client_fetch()    the same with options, progress, and an account of what happened
 *
 * Every function here may be called from any thread; a response belongs to one thread at a time. */
#ifndef MINIHTTP_CLIENT_H
#define MINIHTTP_CLIENT_H

#include <minihttp/h1.h>
#include <minihttp/message.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MH_FETCH_TIMEOUT_MS 60000         /* a whole transfer */
#define MH_FETCH_CONNECT_TIMEOUT_MS 10000 /* name and connection together */
#define MH_FETCH_IDLE_TIMEOUT_MS 30000    /* no byte either way */
#define MH_FETCH_HEAD_MAX (64u << 10)     /* bytes in a response's head */
#define MH_FETCH_REQUEST_HEAD_MAX 16384   /* bytes in a request's head, most of it the URL */

/* Send one GET, with a Host field and no other, call recv() once, return how many raw bytes came:
 * head and body as they are, at most cap, at least 1. buf is not NUL-terminated. http only. Nothing
 * is allocated, but by the resolver for a host name. Waits no longer than
 * MH_FETCH_CONNECT_TIMEOUT_MS to be connected, then MH_FETCH_IDLE_TIMEOUT_MS.
 *
 * Errors: MH_ERR_URL, MH_ERR_SCHEME, MH_ERR_TOO_LARGE (the URL, see MH_FETCH_REQUEST_HEAD_MAX),
 * MH_ERR_RESOLVE, MH_ERR_CLOSED (nothing came), -ETIMEDOUT, -ECONNREFUSED and the other errnos of
 * connect(), send() and recv(), -EAGAIN (no thread to look a name up with), -EINVAL when cap is 0.
 */
MH_API MH_CHECK ssize_t mh_get_once(const char *url, void *buf, size_t cap);

/* GET a URL, append the body to *body with its framing removed, return the status (100..999,
 * whatever it is: a 404 is no error) or an error. body->max is the ceiling: MH_ERR_TOO_LARGE above
 * it. On an error *body is as it was. http only; redirects are not followed.
 *
 * Errors: those of mh_get_once(), MH_ERR_MALFORMED, MH_ERR_FRAMING, MH_ERR_CODING,
 * MH_ERR_TOO_LARGE, -ENOMEM. */
MH_API MH_CHECK int mh_get(const char *url, mh_buf *body);

/* How far a transfer came. On an error: where it happened. */
typedef enum mh_phase {
    MH_PHASE_START,   /* the URL and the options are looked at */
    MH_PHASE_RESOLVE, /* the name is looked up */
    MH_PHASE_CONNECT,
    MH_PHASE_TLS,
    MH_PHASE_SEND, /* the request is on its way */
    MH_PHASE_HEAD, /* waiting for the response, or in its head */
    MH_PHASE_BODY,
    MH_PHASE_DONE
} mh_phase;

/* "connect", "send request", "receive head", ... Static text, never NULL. */
MH_API const char *mh_phase_name(mh_phase phase);

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
                           ..."; NULL when there is none */
    mh_str url;         /* the one that was fetched */
    mh_str head;        /* the head as it was received, blank line and all */
    mh_str reason;
    mh_headers headers, trailers;
    mh_buf body;             /* set .max for a ceiling; stays empty when on_body is set */
    uint64_t received;       /* bytes of the body so far */
    uint64_t received_total; /* bytes of the whole body; MH_LENGTH_UNKNOWN while unknown */
    void *user;              /* copied from the fetch */
    void *private_;          /* keep zero */
} mh_response;

/* Give everything back; *res is {0} again, but for body.max. Safe on {0} and twice. */
MH_API void mh_response_free(mh_response *res);

/* What to fetch and how. Fields left out are zero, and zero is the default. Everything it points to
 * is borrowed until the fetch is done. Callbacks return 0 to go on, or a negative error, which ends
 * the transfer and becomes its result; what is positive counts as 0.
 *
 * What is sent: Host, the caller's headers, User-Agent ("minihttp/" and the version) unless it is
 * among them, and Content-Length where there is a body or the method expects one. The user and the
 * password of a URL are not sent. While the request is sent, an answer is already received. */
typedef struct mh_fetch {
    const char *url;            /* required; http */
    const char *method;         /* NULL: GET, or POST when there is a body; not CONNECT */
    const char *const *headers; /* "Name: value" lines, NULL at the end; a Host among them replaces
                                   ours; framing fields are refused with -EINVAL */
    mh_str body;

    int timeout_ms;         /* the whole transfer; 0: MH_FETCH_TIMEOUT_MS, -1: never */
    int connect_timeout_ms; /* 0: MH_FETCH_CONNECT_TIMEOUT_MS, -1: never */
    int idle_timeout_ms;    /* no byte either way; 0: MH_FETCH_IDLE_TIMEOUT_MS, -1: never */
    size_t body_max;        /* 0: the buffer's own ceiling, or no limit when on_body is set; of this
                               and the buffer's, where both apply, the smaller one */

    int (*on_head)(mh_response *res); /* the final head is there; interim ones are passed over */
    int (*on_body)(mh_response *res, const char *data, size_t len); /* data lives for this call */
    int (*on_progress)(mh_response *res); /* some of the body came, and on_body has had it:
                                             received, received_total */
    void *user;

    uintptr_t reserved[8]; /* zero; later options move in here */
} mh_fetch;

/* Connections kept alive, shared by threads. This version makes none: pass NULL, which means one
 * connection for this call alone. */
typedef struct mh_client mh_client;

/* Fetch and wait. Returns the status, or the error that is also in res->error. Errors: those of
 * mh_get(); what a callback returned; -EINVAL for options that are no good: a client that is not
 * NULL, no URL, the method CONNECT, a timeout below -1, a header that must not be sent, something
 * in what is reserved. Redirects are handed to the caller. */
MH_API MH_CHECK int mh_client_fetch(mh_client *client, const mh_fetch *fetch, mh_response *res);

/* mh_get_once() with the options of a fetch, and an account in *res (status and head stay empty:
 * the bytes are not looked at). A body and other methods are sent too, and no User-Agent of our
 * own. Callbacks are not called. */
MH_API MH_CHECK ssize_t mh_client_fetch_once(mh_client *client, const mh_fetch *fetch, void *buf,
                                             size_t cap, mh_response *res);

#ifdef __cplusplus
}
#endif
#endif
