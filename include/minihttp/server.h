/* server.h: answer requests. Three steps up, one handler:
 *
 *   mh_accept() + mh_respond()   accept one connection, answer one request, close
 *   mh_serve()                   every core, until SIGINT or SIGTERM
 *   mh_server_new()              the same, with all options and a handle to stop it */
#ifndef MINIHTTP_SERVER_H
#define MINIHTTP_SERVER_H

#include <minihttp/client.h>
#include <minihttp/loop.h>
#include <minihttp/message.h>
#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MH_SERVER_CONNECTIONS_MAX 10000 /* of a server; above it the longest idle one is closed */
#define MH_SERVER_TLS_TIMEOUT_MS 10000  /* the handshake */
#define MH_SERVER_HEAD_TIMEOUT_MS 10000 /* first byte to end of head, however it drips */
#define MH_SERVER_BODY_TIMEOUT_MS 30000 /* longest silence while a body arrives */
#define MH_SERVER_SEND_TIMEOUT_MS 30000 /* longest time a peer may take nothing */
#define MH_SERVER_IDLE_TIMEOUT_MS 60000 /* between requests */
#define MH_SERVER_STOP_TIMEOUT_MS 10000 /* how long a stop waits for replies under way */
#define MH_SERVER_LINGER_MS 2000        /* how long a reply is waited for to be read by the peer */
#define MH_SERVER_RATE_MIN 256          /* bytes a second, on average, of a body either way */
#define MH_SERVER_HEAD_MAX (16u << 10)  /* bytes; above it 431, or 414 */
#define MH_SERVER_BODY_MAX (1u << 20)   /* bytes; above it 413 */

typedef struct mh_request mh_request;

/* Return what a mh_reply_*() call returned; or a bare status from 200 to 599 (404) for its standard
 * page, to which the fields that were added belong; or a negative error: sends 500, in place of
 * whatever reply and fields there were; or MH_LATER, and then one mh_reply_*() call is owed, which
 * any thread may make. A reply that was made stands before any status. */
typedef int mh_handler(mh_request *req);
#define MH_LATER 0

/* Made by the library, valid until on_end() or, without one, until the reply is complete. Do not
 * copy it: it will grow. */
struct mh_request {
    mh_str method;
    mh_str target; /* as on the request line */
    mh_str path;   /* percent-decoded, dot segments gone, starts with '/'; "*" for OPTIONS *; the
                      authority for CONNECT */
    mh_str query;  /* raw; absent when there was no '?' */
    mh_headers headers;
    mh_headers trailers; /* once the body is complete */
    mh_str body;         /* complete, framing removed; empty where bodies are streamed */
    mh_str head;         /* the head as it was received */
    int minor_version;
    bool tls;                    /* it came encrypted */
    const struct sockaddr *peer; /* NULL when it is not known */
    void *user;                  /* the server's or the route's */

    /* yours to set */
    void *data;
    /* Where bodies are streamed: some of it, on the loop's thread; data lives for this call. len 0:
     * the end; with data NULL: there is none, the peer has left or was refused, and a reply that is
     * owed is still to be made, to nobody. Set it in the handler; without it the body is passed
     * over. Returning an error (negative) closes the connection, and no reply is owed any more. */
    int (*on_body)(mh_request *req, const char *data, size_t len);
    /* The last call about this request, exactly once, however it ended. */
    void (*on_end)(mh_request *req);

    void *private_; /* the library's */
};

/* "{id}" of the route that was taken, percent-decoded; absent when there is none of that name. */
MH_API mh_str mh_request_param(const mh_request *req, const char *name);

/* Append the first value of that name in the query, decoded. Returns what mh_pairs_get() does: 1
 * found, 0 not, or an error. */
MH_API MH_CHECK int mh_request_query(const mh_request *req, const char *name, mh_buf *out);

/* The same of a body that is application/x-www-form-urlencoded; 0 where it is not. */
MH_API MH_CHECK int mh_request_form(const mh_request *req, const char *name, mh_buf *out);

/* Is the peer still there? Any thread, as long as the reply is owed. What false says is final. */
MH_API bool mh_request_alive(const mh_request *req);

/* Stop (true) or go on with (false) on_body(): meanwhile no more than some 16 KiB of the body is
 * received, and the peer's sending comes to a halt. Any thread, from the handler on until on_end().
 * A client that waits for "100 Continue" gets it when the handler has returned and on_body() is
 * wanted. */
MH_API void mh_request_pause(mh_request *req, bool paused);

/* ---- replying. A body verb completes the reply and returns `status`, or a negative error: -EINVAL
 *      (a second reply; a status outside 200..599; a byte that a field may not have; a body with a
 *      status that has none, RFC 9110 section 6.4.1; a 2xx to a CONNECT), -ENOMEM,
 *      MH_ERR_TOO_LARGE; MH_ERR_CLOSED: the peer has left, *req is gone. After another error
 *      nothing is sent, and another reply may be made. The verb says who owns the bytes. type is a
 *      media type; NULL: no Content-Type. Date and Content-Length are added. To a HEAD request the
 *      same head goes out, without the body. After MH_LATER any thread may call it, and *req
 *      belongs to the library again. ---- */

MH_API int mh_reply_text(mh_request *req, int status, const char *text); /* copied; plain, UTF-8 */
MH_API int mh_reply_printf(mh_request *req, int status, const char *type, const char *fmt, ...)
    MH_PRINTF(4, 5);
/* data may be NULL when len is 0. */
MH_API int mh_reply_copy(mh_request *req, int status, const char *type, const void *data,
                         size_t len);
/* Not copied: data stays where it is until on_end(), or until mh_respond() has returned. */
MH_API int mh_reply_borrow(mh_request *req, int status, const char *type, const void *data,
                           size_t len);
/* *body is {0} afterwards, and the library frees its bytes; as it was after an error. */
MH_API int mh_reply_take(mh_request *req, int status, const char *type, mh_buf *body);
/* len bytes of a file from offset on. The fd is closed for you, also after an error. A file that
 * turns out shorter cuts the connection. */
MH_API int mh_reply_file(mh_request *req, int status, const char *type, int fd, uint64_t offset,
                         uint64_t len);

/* Made on the fly: called on the loop's thread whenever the connection can take more. Returns bytes
 * put into buf, 0 at the end, -EAGAIN to be called again after mh_reply_wake(), or an error, which
 * cuts the reply and the connection. */
typedef ssize_t mh_producer(mh_request *req, char *buf, size_t cap);
/* length: of the body; MH_LENGTH_UNKNOWN: it goes out chunked, or until close to HTTP/1.0 (RFC 9112
 * section 7.1). An end before that length cuts the connection. */
MH_API int mh_reply_stream(mh_request *req, int status, const char *type, uint64_t length,
                           mh_producer *produce);
/* The producer has something again. Any thread, until on_end(). */
MH_API void mh_reply_wake(mh_request *req);

/* Add a field to the reply, before the body verb. A Date takes the place of the library's; a
 * Content-Type needs a body verb whose type is NULL (with a type that verb returns -EINVAL).
 *
 * Returns 0; -EINVAL: a CR, LF, NUL or another byte that is not allowed in it (RFC 9110 section
 * 5.5), white space at an end of value, a second Date or Content-Type, a field that the library
 * writes itself (Content-Length, Transfer-Encoding, Connection), too many, or too late; -ENOMEM;
 * MH_ERR_TOO_LARGE. */
MH_API MH_CHECK int mh_reply_header(mh_request *req, const char *name, const char *value);

/* Add a field behind the body of mh_reply_stream(), any time before its end, also from the
 * producer. It goes out where the body is chunked, else it is left out (RFC 9110 section 6.5.1).
 * Errors as above, and -EINVAL for one that frames or routes. */
MH_API MH_CHECK int mh_reply_trailer(mh_request *req, const char *name, const char *value);

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
 * or in the middle), -ECONNRESET, -EPIPE, -ETIMEDOUT (it says nothing, or takes nothing), -ENOMEM,
 * -EMFILE. The limits are those of a server, by default; but that of an idle connection is
 * MH_SERVER_HEAD_TIMEOUT_MS. */
MH_API int mh_respond(int connection, mh_handler *handler, void *user);

/* ---- the server ---- */

/* Listen, answer on every core, until SIGINT or SIGTERM. 0, or an error as of mh_server_new() and
 * mh_server_run(). */
MH_API MH_CHECK int mh_serve(const char *address, mh_handler *handler, void *user);

/* {0} is every default; of a time 0 is its default and -1 no limit. */
typedef struct mh_server_options {
    const char *address; /* as of mh_listen(); required, unless listener is set */
    int listener;        /* a listening socket you already have; 0: none. It becomes the server's */
    mh_handler *handler; /* required; runs on the loops' threads, so it must not block */
    void *user;

    int threads;          /* 0: one per CPU this process may use; at most MH_SERVER_THREADS_MAX */
    bool stop_on_signals; /* in mh_server_run(): SIGINT and SIGTERM call mh_server_stop(). Not where
                           * another thread of the program takes them: block them there. */
    bool stream_bodies;   /* the handler runs at the end of the head; see on_body */

    int connections_max; /* 0: MH_SERVER_CONNECTIONS_MAX; shared out among the threads */
    int tls_timeout_ms;  /* 0: MH_SERVER_TLS_TIMEOUT_MS, and so on */
    int head_timeout_ms;
    int body_timeout_ms;
    int send_timeout_ms; /* looked at once in this time, so it may become twice as long */
    int idle_timeout_ms;
    int stop_timeout_ms;
    int rate_min; /* 0: MH_SERVER_RATE_MIN; -1: none. Counts once a body has taken longer than its
                     time of silence */
    size_t head_max;
    size_t body_max; /* also of a body that is streamed */

    const char *cert_file; /* PEM, the chain: TLS */
    const char *key_file;  /* PEM; NULL: in cert_file */

    /* A request is over: what was sent of the body, and how long it took from the end of its head.
     * status 0: none was sent. What was no request has no method. On the loop's thread. */
    void (*on_access)(const mh_request *req, int status, uint64_t sent, int64_t took_us);
    /* A connection was closed for another reason than that both sides were done with it, or could
     * not be accepted (peer is NULL). `why` lives for this call. On the loop's thread. */
    void (*on_error)(void *user, const struct sockaddr *peer, int err, const char *why);

    uintptr_t reserved[8]; /* zero */
} mh_server_options;

#define MH_SERVER_THREADS_MAX 256

typedef struct mh_server mh_server;

/* Listens from now on. Options are copied, strings among them need not stay. *server is NULL after
 * an error: -EINVAL (no handler, neither address nor listener, a number that is no good), what
 * mh_listen() returns; MH_ERR_TLS, -ENOENT and the like for the certificate, MH_ERR_SCHEME (TLS is
 * not built in); -ENOMEM, -EMFILE. */
MH_API MH_CHECK int mh_server_new(mh_server **server, const mh_server_options *options);

/* Serve, in this thread and others, until it is stopped. 0; -EINVAL: it runs, or is attached; or
 * what could not be had: -ENOMEM, -EMFILE, -EAGAIN (a thread). */
MH_API MH_CHECK int mh_server_run(mh_server *server);

/* Instead: serve on your loop, in its thread; mh_loop_run() goes on until the server is stopped. */
MH_API MH_CHECK int mh_server_attach(mh_server *server, mh_loop *loop);

/* No new connections, idle ones are closed, replies under way are finished within stop_timeout_ms.
 * Any thread, or a signal handler; the second time: at once. NULL is fine. */
MH_API void mh_server_stop(mh_server *server);

/* The real one when you gave 0; 0 for a unix socket. */
MH_API uint16_t mh_server_port(const mh_server *server);

/* Closes what is left. Not while it runs; an attached one in the thread of its loop, and not from
 * within a callback. NULL is fine. */
MH_API void mh_server_free(mh_server *server);

/* Ask this server without a socket, a port or a thread: the request is written, parsed, handled,
 * answered and parsed again in this call. For the unit tests of your handlers. Returns what
 * mh_client_fetch() does. url may be a path ("/users/7"). Any thread, one at a time. */
MH_API MH_CHECK int mh_server_fetch(mh_server *server, const mh_fetch *fetch, mh_response *res);

/* ---- ready-made handlers: functions, so they compose by calling each other ---- */

typedef struct mh_files {
    const char *root;   /* required; nothing outside it is ever opened */
    const char *prefix; /* of the path, taken off before it is looked up: "/static"; NULL: none */
    const char *index;  /* NULL: "index.html" */
    int max_age_s;      /* Cache-Control; 0: not sent */
    bool listing;       /* true: directories without an index are listed */
    bool precompressed; /* true: NAME.br or NAME.gz beside NAME is preferred */
    uintptr_t reserved[4];
} mh_files;

MH_API int mh_serve_files(mh_request *req); /* req->user: const mh_files * */

typedef struct mh_route {
    const char *method; /* NULL: any; HEAD, OPTIONS and 405 with Allow come by themselves */
    const char *path;   /* "/users/{id}", or a prefix when it ends in an asterisk */
    mh_handler *handler;
    void *user; /* NULL: req->user stays the server's */
} mh_route;

/* req->user: const mh_route[], {0} at the end. The first one that fits is taken. */
MH_API int mh_serve_routes(mh_request *req);

/* Append a line of the Combined log format, from on_access: "127.0.0.1 - - [06/Nov/1994:08:49:37
 * +0000] \"GET / HTTP/1.1\" 200 13 \"referer\" \"agent\"\n". Bytes that would break a line or
 * deceive a terminal are escaped. 0, -ENOMEM, MH_ERR_TOO_LARGE; *out is as it was then. */
MH_API MH_CHECK int mh_log_combined(mh_buf *out, const mh_request *req, int status, uint64_t sent);

#ifdef __cplusplus
}
#endif
#endif
