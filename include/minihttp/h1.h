/* h1.h: one HTTP/1.1 connection as a state machine (RFC 9112). Bytes in, events out; events in,
 * bytes out.
 *
 * Knows no socket, no clock, no thread, and allocates nothing of its own: input stays in the
 * caller's buffer and is seen through slices; output is appended to the caller's mh_buf. The
 * library's client and server are both built on it, and so can yours be. An mh_h1 belongs to one
 * thread at a time. It holds no pointers: copy it, move it, forget it; there is nothing to free. */
#ifndef MINIHTTP_H1_H
#define MINIHTTP_H1_H

#include <minihttp/message.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MH_H1_HEAD_MAX (16u << 10) /* bytes in a head, or in trailers, when head_max is 0 */
#define MH_H1_INTERIM_MAX 32       /* 1xx responses before a final one; above it MH_ERR_TOO_LARGE */
#define MH_H1_UNFOLDED_MAX 1024    /* bytes of a response's folded field values, joined */
#define MH_LENGTH_UNKNOWN UINT64_MAX

typedef enum mh_h1_role { MH_H1_CLIENT, MH_H1_SERVER } mh_h1_role;

/* What mh_h1_next() returns. Negative: an error of the peer, see view->fault. */
typedef enum mh_h1_event {
    MH_H1_NEED_MORE, /* receive more behind the bytes that are left in *in, call again */
    MH_H1_HEAD,      /* view->head is complete (an interim 1xx too: look at its status) */
    MH_H1_BODY,      /* view->body holds some of the body, framing removed; never empty */
    MH_H1_END,       /* the message is over; view->head.headers holds its trailers */
    MH_H1_PAUSED,    /* the exchange is not over, or waits for mh_h1_restart() */
    MH_H1_SWITCHED,  /* after 101, or 2xx to a CONNECT: the rest of *in is not HTTP */
    MH_H1_CLOSED     /* no more messages will come: close, once our own is out */
} mh_h1_event;

typedef struct mh_h1_head {
    mh_str method, target; /* of a request */
    mh_str reason;         /* of a response; may be empty */
    int status;            /* of a response; a number above 599 stands for a 5xx (RFC 9110, 15) */
    int minor_version;     /* 0 or 1, or what a peer of the future says; ignored when put */
    mh_headers headers;
} mh_h1_head;

/* What was wrong with the peer's bytes, and where. */
typedef struct mh_h1_fault {
    const char *reason; /* static text: "white space before the colon" */
    uint64_t offset;    /* of the byte, from the first byte of this message */
    int byte;           /* the byte at fault, 0..255; -1: no single one (a limit, an early end) */
    int status;         /* what a server should answer: 400, 413, 414, 431, 501, 505 */
} mh_h1_fault;

/* Where events put what they found. About 5 KiB: one per thread or call, not one per connection.
 * Need not be initialised. */
typedef struct mh_h1_view {
    mh_h1_head head;
    mh_str raw;  /* with MH_H1_HEAD: the head as it was received, blank line and all */
    mh_str body; /* with MH_H1_BODY */
    mh_h1_fault fault;
    mh_header headers[MH_HEADERS_MAX];
    char unfolded[MH_H1_UNFOLDED_MAX];
} mh_h1_view;

typedef struct mh_h1 { /* private, all of it */
    uint8_t role, reading, writing;
    uint8_t in_framing, out_framing;
    uint8_t request; /* what the request of this exchange asked for */
    uint8_t fields, interims;
    uint32_t flags;
    uint32_t head_max;
    uint32_t scanned;  /* bytes of an incomplete head that need not be looked at again */
    uint32_t overhead; /* bytes of chunk lines that this message may still spend */
    uint64_t in_left, out_left;
    uint64_t consumed; /* bytes of this message that are no longer in the caller's buffer */
} mh_h1;

/* Begin with a new connection. head_max: bytes, 0 means MH_H1_HEAD_MAX, at most 16 MiB. */
MH_API void mh_h1_init(mh_h1 *h1, mh_h1_role role, size_t head_max);

/* Read: take the next event from the front of *in, and move *in past what was consumed. After
 * MH_H1_NEED_MORE, call again with the bytes that were left and more behind them (they may have
 * moved). Slices in *view die with the bytes that they point at, or with the next call that gets
 * the view. Of a request: HEAD, BODY..., END. Of a response: HEAD for each 1xx, HEAD, BODY..., END.
 *
 * Returns an mh_h1_event or an error: MH_ERR_MALFORMED (RFC 9112 sections 2 to 5), MH_ERR_FRAMING
 * (section 6.3), MH_ERR_CODING (section 6.1: unknown), MH_ERR_TOO_LARGE. After an error view->fault
 * is set, and nothing more can be read from this connection; a server can still put its answer. */
MH_API MH_CHECK int mh_h1_next(mh_h1 *h1, mh_str *in, mh_h1_view *view);

/* The peer closed its side, and mh_h1_next() wanted more. Returns MH_H1_END (a body that lasts
 * until close is complete), MH_H1_CLOSED (between messages; our own answer may still be put),
 * MH_H1_SWITCHED, or MH_ERR_CLOSED: in the middle of a message (RFC 9112 section 8). */
MH_API MH_CHECK int mh_h1_eof(mh_h1 *h1, mh_h1_view *view);

/* Of the message that is being read, after its head: body bytes still to come; MH_LENGTH_UNKNOWN
 * when it is chunked or lasts until close. */
MH_API uint64_t mh_h1_body_left(const mh_h1 *h1);

/* Server: the client waits for "100 Continue" before it sends the body (RFC 9110 section 10.1.1).
 * false once a byte of the body has come or a response was put. */
MH_API bool mh_h1_wants_continue(const mh_h1 *h1);

/* Write: append a head to *out; what is put must not lie in *out itself. The version is always
 * HTTP/1.1. Framing is read from the fields: one Content-Length, or Transfer-Encoding: chunked.
 * Where there is neither, a request has no body, and a response is chunked, or lasts until close
 * for an HTTP/1.0 client; the field that says so is added. So is "Connection: close" to a response
 * after which the connection cannot go on, and "Connection: keep-alive" for an HTTP/1.0 client. A
 * request needs a valid Host field. status 1xx: an interim head, others may follow; it is left out
 * for an HTTP/1.0 client, and before a request.
 *
 * Returns 0; -EINVAL, and nothing is written: a byte that is not allowed (CR, LF and NUL first of
 * all), a field twice that may be there once, framing fields where RFC 9110 section 8.6 or RFC 9112
 * section 6.1 forbid them, a call out of order; -ENOMEM, or MH_ERR_TOO_LARGE (up to 64 bytes more
 * than are written have to fit), with *out as it was. */
MH_API MH_CHECK int mh_h1_put_head(mh_h1 *h1, const mh_h1_head *head, mh_buf *out);

/* Append some of the body, with its framing. To a HEAD request nothing is written. Returns 0;
 * MH_ERR_FRAMING when it is more than was announced; -EINVAL out of order; -ENOMEM;
 * MH_ERR_TOO_LARGE. After an error nothing was written. data may be empty: nothing happens. */
MH_API MH_CHECK int mh_h1_put_body(mh_h1 *h1, mh_str data, mh_buf *out);

/* End the message. Trailers only where the body is chunked (they are left out where it is not, RFC
 * 9110 section 6.5.1), and none that frames or routes. Returns 0; MH_ERR_FRAMING when the body is
 * shorter than announced; -EINVAL; -ENOMEM; MH_ERR_TOO_LARGE. After an error nothing is written. */
MH_API MH_CHECK int mh_h1_put_end(mh_h1 *h1, mh_headers trailers, mh_buf *out);

/* Both messages are over, and the connection can carry another exchange (RFC 9112 section 9.3). For
 * a client not after bytes behind the response, which nobody asked for (section 9.2): what comes
 * while the connection idles is to be given to mh_h1_next(), which says MH_H1_CLOSED then. */
MH_API bool mh_h1_reusable(const mh_h1 *h1);

/* Begin the next exchange. Only when mh_h1_reusable(); else it does nothing. */
MH_API void mh_h1_restart(mh_h1 *h1);

/* Append the fault in words, "byte 0x0b at offset 57: control byte in a field value". Returns 0,
 * -ENOMEM or MH_ERR_TOO_LARGE. */
MH_API int mh_h1_explain(const mh_h1_fault *fault, mh_buf *out);

#ifdef __cplusplus
}
#endif
#endif
