/* worker.h: the server on one loop, and the connections that are on it.
 *
 *   server.c      listens, has a thread and a worker for each loop, and stops them
 *   worker.c      accepts, knows who has waited how long, and hears of other threads
 *   session.c  one connection: bytes in, requests, replies, bytes out
 *   carrier.c     what bytes travel on: a socket, with TLS on it or without
 *   exchange.c    one request: what its target means, and its memory
 *   reply.c       the verbs of a handler
 *   inproc.c      a connection without a socket: mh_server_fetch()
 *   respond.c     a worker for one connection and one request: mh_respond()
 *
 * A worker belongs to one thread; what others may touch is mh__inbox alone. */
#ifndef MH_SERVER_WORKER_H
#define MH_SERVER_WORKER_H

#include <pthread.h>

#include "loop/loop.h"
#include "server/exchange.h"
#include "tls/tls.h"

#define MH__ACCEPT_PAUSE_MS 100 /* after a failure to accept that only time can mend */
#define MH__BATCH_BYTES 65536   /* of replies that are put together before they are sent */
#define MH__SMALL_BODY_MAX 4096 /* bytes of a body that is copied behind its head */
#define MH__PIECE_SIZE 65536    /* of a producer's bytes, or a file's that cannot be sent as such */
#define MH__TURN_BYTES (1u << 20) /* that a reply may send in a turn, while others wait */
#define MH__WAITING_MAX 16384     /* bytes that come in while a reply is owed */
#define MH__SPARE_EXCHANGES_MAX 64
#define MH__WORKER_OUT_MAX (1u << 20) /* of the buffer that a worker keeps */

/* What a connection waits for, and so how long it may. Each line is in the order of time. */
enum mh__line {
    MH__LINE_HANDSHAKE,
    MH__LINE_IDLE,
    MH__LINE_HEAD,
    MH__LINE_BODY,
    MH__LINE_SEND,
    MH__LINE_LINGER,
    MH__LINE_BUSY, /* for the handler or its producer: no limit */
    MH__LINES
};

/* What all workers of a server have in common; nothing here changes while they run. */
struct mh__settings {
    mh_handler *handler;
    void *user;
    bool stream_bodies;
    bool single;               /* one request on a connection */
    bool own_listeners;        /* nobody else accepts there, once we have stopped */
    int64_t limits[MH__LINES]; /* ms; MH__NEVER */
    int64_t stop_ms;
    int64_t rate_min; /* 0: none */
    size_t head_max, body_max;
    int connections_max; /* of one worker */
    struct mh__tls_context *tls;
    void (*on_access)(const mh_request *req, int status, uint64_t sent, int64_t took_us);
    void (*on_error)(void *user, const struct sockaddr *peer, int err, const char *why);
};

/* Replies of other threads. It outlives its worker, for those who still owe one. */
struct mh__inbox {
    pthread_mutex_t lock;
    mh_loop *loop;          /* NULL: the worker has gone */
    struct mh__link posted; /* of struct mh__exchange.link */
    atomic_int references;
};

struct mh__worker {
    struct mh__attachment attachment;
    const struct mh__settings *settings;
    mh_loop *loop;
    struct mh__listener listener;
    struct mh__timer deadline; /* of whoever is the first in some line */
    struct mh__timer pause;    /* until the next try to accept */
    struct mh__timer stop;
    struct mh__link lines[MH__LINES]; /* of struct mh__session.link */
    int live;                         /* connections ... */
    int count;                        /* ... and with those that are closed, but not released yet */
    bool full;                        /* nothing is accepted until one has gone */
    struct mh__inbox *inbox;
    struct mh__link spare; /* of struct mh__exchange.link */
    int spare_count;
    mh_buf out;    /* what a batch of requests is answered with */
    mh_buf cipher; /* the same, encrypted */
    mh_buf plain;  /* what came in, decrypted */
    struct mh__file_cache *files;
    atomic_int stop_asked; /* by any thread: 1, or 2 to stop at once */
    bool stopping, stopped;
    bool detached;                                          /* the loop has gone */
    void (*on_stopped)(struct mh__worker *worker);          /* no connection is left */
    void (*note_error)(struct mh__worker *worker, int err); /* beside the settings'; may be NULL */
    void *owner;
    uint64_t date_turn;
    int64_t date_s;
    char date[sizeof("Date: \r\n") + MH_DATE_LEN];
    mh_h1_view view;
    char scratch[MH__PIECE_SIZE]; /* from a producer, before it becomes a chunk */
};

/* ---- worker.c ---- */

/* On a loop, with a listening descriptor (-1: none). -ENOMEM, -ENOSPC. */
MH_CHECK int mh__worker_new(struct mh__worker **out, const struct mh__settings *settings,
                            mh_loop *loop, int listener);
/* Connections are closed at once, and there are no more. Somebody may still ask it to stop. */
void mh__worker_close(struct mh__worker *worker);
void mh__worker_free(struct mh__worker *worker); /* connections are closed at once */
/* asked: 1; 2: at once. Again makes no difference. Any thread, or a signal handler. */
void mh__worker_ask_to_stop(struct mh__worker *worker, int asked);

void mh__worker_stop_after(struct mh__worker *worker); /* what is there; from its own thread */
mh_str mh__worker_date(struct mh__worker *worker);     /* "Date: ... CR LF" */
void mh__worker_left(struct mh__worker *worker);       /* a connection was released */

/* An exchange with nothing in it; NULL: out of memory. */
struct mh__exchange *mh__worker_exchange(struct mh__worker *worker);
void mh__worker_recycle(struct mh__worker *worker, struct mh__exchange *ex);

/* The first reference is the caller's. */
struct mh__inbox *mh__inbox_new(mh_loop *loop);
void mh__inbox_release(struct mh__inbox *inbox);
void mh__inbox_post(struct mh__exchange *ex); /* its lock is held */

/* ---- what bytes travel on ---- */

struct mh__session;

struct mh__carrier {
    bool sends_files;
    /* As mh__socket_send(): 1, 0 or an error; mh__session_sent() follows a 0. */
    int (*send)(struct mh__session *c, const struct iovec *pieces, int count);
    int (*send_file)(struct mh__session *c, const struct iovec *pieces, int count, int file,
                     uint64_t offset, uint64_t len);
    int (*receive)(struct mh__session *c, bool on);
    void (*finish)(struct mh__session *c);            /* no more from us */
    void (*close)(struct mh__session *c);             /* mh__session_release() follows */
    size_t (*left)(const struct mh__session *c);      /* bytes that the kernel has not taken ... */
    uint64_t (*untaken)(const struct mh__session *c); /* ... and that the peer has not */
};

struct mh__secure;

struct mh__session {
    struct mh__socket socket;
    struct mh__worker *worker;
    const struct mh__carrier *carrier;
    struct mh__link link; /* in worker->lines */
    int64_t since;        /* ms: the time that its line counts from */
    mh_h1 h1;
    mh_buf in;                     /* received, and not used up */
    char *unsent;                  /* what a send has left behind ... */
    uint64_t untaken;              /* ... and what the peer had still to take at `since` */
    struct mh__exchange *exchange; /* under way */
    struct mh__secure *secure;     /* the carrier's */
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } peer;
    uint8_t line;
    bool receiving; /* is asked for */
    bool sending;   /* mh__session_sent() is to come */
    bool ended;     /* the peer has closed its side */
    bool last;      /* nothing more is read as a request */
    bool lingering;
    bool closed;
    bool driving; /* mh__session_drive() is at work */
};

/* carrier.c */
extern const struct mh__carrier mh__carrier_socket, mh__carrier_tls;
/* Take a descriptor over and begin. After an error, -ENOMEM, c is gone, and the descriptor is still
 * the caller's. */
MH_CHECK int mh__carrier_adopt(struct mh__session *c, int fd);

/* ---- file_cache.c ---- */

void mh__file_cache_free(struct mh__file_cache *cache); /* NULL is fine */

/* ---- session.c ---- */

/* Of a carrier that has been set up by the caller, or by mh__carrier_adopt(). */
MH_CHECK int mh__session_new(struct mh__session **out, struct mh__worker *worker,
                             const struct mh__carrier *carrier, const struct mh__address *from);
void mh__session_start(struct mh__session *c);
void mh__session_drop(struct mh__session *c); /* instead: it was never carried */

/* What the carrier tells: as of struct mh__socket_events. */
void mh__session_received(struct mh__session *c, const char *data, ssize_t len);
void mh__session_sent(struct mh__session *c, int err);
void mh__session_release(struct mh__session *c);

void mh__session_go_on(struct mh__session *c);  /* something has changed */
void mh__session_expire(struct mh__session *c); /* its line says so */
void mh__session_close(struct mh__session *c, int err, const char *why);
void mh__session_stop(struct mh__session *c); /* after what is under way */

/* Into a line, from now on. */
void mh__session_line(struct mh__session *c, enum mh__line line, int64_t since);

/* ---- exchange.c ---- */

/* MH_H1_HEAD has come: fill the request in; nothing of it points at the view. 0; MH_ERR_URL: no
 * path can be made of the target; -ENOMEM. */
MH_CHECK int mh__exchange_begin(struct mh__exchange *ex, const mh_h1_view *view);
MH_CHECK int mh__exchange_body(struct mh__exchange *ex,
                               mh_str data); /* MH_ERR_TOO_LARGE, -ENOMEM */
MH_CHECK int mh__exchange_end(struct mh__exchange *ex, const mh_h1_view *view); /* -ENOMEM */
void mh__exchange_clear(struct mh__exchange *ex);
void mh__exchange_free(struct mh__exchange *ex);

/* ---- reply.c ---- */

/* The standard page of a status, with the fields that were added; why, if any, is its second line.
 * Returns the status, or what a reply verb returns. */
MH_CHECK int mh__reply_page(struct mh__exchange *ex, int status, mh_str why);

/* The same in place of whatever reply and fields there were. Returns 0 or -ENOMEM. */
MH_CHECK int mh__reply_refuse(struct mh__exchange *ex, int status, mh_str why);

/* What the handler has returned becomes a reply. 1: there is one; 0: it is owed; -ENOMEM. */
MH_CHECK int mh__reply_settle(struct mh__exchange *ex, int result);
void mh__reply_clear(struct mh__reply *reply); /* releases the body */

#endif
