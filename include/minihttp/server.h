/* server.h: answer requests. The first step:
 *
 *   mh_listen(), mh_accept(), mh_respond()   accept one connection, answer one request, close */
#ifndef MINIHTTP_SERVER_H
#define MINIHTTP_SERVER_H

#include <minihttp/message.h>
#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MH_SERVER_HEAD_TIMEOUT_MS 10000 /* first byte to end of head, however it drips */
#define MH_SERVER_BODY_TIMEOUT_MS 30000 /* longest silence while a body arrives */
#define MH_SERVER_SEND_TIMEOUT_MS 30000 /* longest time a peer may take nothing */
#define MH_SERVER_LINGER_MS 2000        /* how long a reply is waited for to be read by the peer */
#define MH_SERVER_REQUEST_MAX_MS 120000 /* one request in all, reply included */
#define MH_SERVER_HEAD_MAX (16u << 10)  /* bytes; above it 431, or 414 */
#define MH_SERVER_BODY_MAX (1u << 20)   /* bytes; above it 413 */

typedef struct mh_request mh_request;

/* Return what a mh_reply_*() call returned; or a bare status from 200 to 599 (404) for its standard
 * page, to which the fields that were added belong; or a negative error: sends 500, in place of
 * whatever reply and fields there were. A reply that was made stands before any status. */
typedef int mh_handler(mh_request *req);

/* Made by the library, valid until the handler returns. Do not copy it: it will grow. */
struct mh_request {
    mh_str method;
    mh_str target; /* as on the request line */
    mh_str path;   /* percent-decoded, dot segments gone, starts with '/'; "*" for OPTIONS *; the
                      authority for CONNECT */
    mh_str query;  /* raw; absent when there was no '?' */
    mh_headers headers;
    mh_headers trailers;
    mh_str body; /* complete, framing removed */
    mh_str head; /* the head as it was received */
    int minor_version;
    const struct sockaddr *peer; /* NULL when it is not known */
    void *user;                  /* what mh_respond() was given */

    void *data;     /* yours to set */
    void *private_; /* the library's */
};

/* ---- replying. A body verb completes the reply and returns `status`, or a negative error: -EINVAL
 *      (a second reply; a status outside 200..599; a byte that a field may not have; a body with a
 *      status that has none, RFC 9110 section 6.4.1; a 2xx to a CONNECT), -ENOMEM,
 *      MH_ERR_TOO_LARGE. After an error nothing is sent, and another reply may be made. The verb
 *      says who owns the bytes. type is a media type; NULL: no Content-Type. Date and
 *      Content-Length are added. To a HEAD request the same head goes out, without the body.
 *      ---- */

MH_API int mh_reply_text(mh_request *req, int status, const char *text); /* copied; plain, UTF-8 */
MH_API int mh_reply_printf(mh_request *req, int status, const char *type, const char *fmt, ...)
    MH_PRINTF(4, 5);
/* data may be NULL when len is 0. */
MH_API int mh_reply_copy(mh_request *req, int status, const char *type, const void *data,
                         size_t len);
/* Not copied: data stays where it is until mh_respond() has returned. */
MH_API int mh_reply_borrow(mh_request *req, int status, const char *type, const void *data,
                           size_t len);
/* *body is {0} afterwards, and the library frees its bytes; as it was after an error. */
MH_API int mh_reply_take(mh_request *req, int status, const char *type, mh_buf *body);

/* Add a field to the reply, before the body verb. A Date takes the place of the library's; a
 * Content-Type needs a body verb whose type is NULL (with a type that verb returns -EINVAL).
 *
 * Returns 0; -EINVAL: a CR, LF, NUL or another byte that is not allowed in it (RFC 9110 section
 * 5.5), white space at an end of value, a second Date or Content-Type, a field that the library
 * writes itself (Content-Length, Transfer-Encoding, Connection), too many, or too late; -ENOMEM;
 * MH_ERR_TOO_LARGE. */
MH_API MH_CHECK int mh_reply_header(mh_request *req, const char *name, const char *value);

/* ---- accept and respond. Any thread. ---- */

/* "host:port", ":port" (every address of this machine), "[::1]:0" (0: a free port), "unix:/path" (a
 * stale socket file is replaced). Returns a listening descriptor, close-on-exec, which the caller
 * closes; or -EINVAL for an address that is none of these, MH_ERR_RESOLVE, -ETIMEDOUT (no answer
 * about a host name in 10 s), -EAGAIN (no thread to ask with), -EADDRINUSE, -EACCES and the other
 * errnos of socket(), bind() and listen(). */
MH_API MH_CHECK int mh_listen(const char *address);

/* Waits for a connection, without a limit. Returns its descriptor, close-on-exec and not blocking,
 * for mh_respond() or the caller to close. *peer may be NULL. A connection that died while it
 * waited is passed over. Errors: MH_ERR_CLOSED after shutdown(listener, SHUT_RDWR), which any
 * thread or signal handler may call to end the wait; -EMFILE, -ENFILE, -ENOMEM, -ENOBUFS,
 * -ECONNABORTED (a thousand in a row had died): wait a little, try again; -EBADF, -ENOTSOCK. */
MH_API MH_CHECK int mh_accept(int listener, struct sockaddr_storage *peer);

/* Reads one request, calls the handler, sends its reply, closes the connection, whatever happens.
 * What is not a request is answered with the 4xx or 5xx that fits, without the handler. Returns the
 * status that was sent; or an error: MH_ERR_CLOSED (the peer left before it had asked for anything,
 * or in the middle), -ECONNRESET, -EPIPE, -ETIMEDOUT (it says nothing, or takes nothing), -ENOMEM.
 * Never waits longer than MH_SERVER_REQUEST_MAX_MS, the handler's own time aside. */
MH_API int mh_respond(int connection, mh_handler *handler, void *user);

#ifdef __cplusplus
}
#endif
#endif
