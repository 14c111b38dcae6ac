/* client.h: what the files of the client share.
 *
 *   get.c         the front doors
 *   once.c        one request, one recv(); its waiting is in wire.c
 *
 *   client.c      options, and the loops that blocking calls borrow
 *   transfer.c    a transfer from its submission to on_done: deadlines, redirects, a second try
 *   fetch.c       one request and its response on a connection: events become callbacks
 *   upload.c      the request's way out
 *   connection.c  from a name to a connection that can carry a request: race, tunnel, TLS
 *   pool.c        connections by origin, busy and kept, and who waits for one
 *
 *   request.c     what was asked for, as the bytes of a request
 *   response.c    owns what a response holds
 *
 * The user's code is called from fetch.c, upload.c and transfer.c, and never from within a call
 * of the user's: what he calls from a callback only leaves a task behind. A transfer can end in any
 * function that says so; its memory is the response's, so nothing looks at it afterwards. A
 * connection's memory stays until the turn is over (see mh__socket_close()). */
#ifndef MH_CLIENT_CLIENT_H
#define MH_CLIENT_CLIENT_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/uio.h>

#include <minihttp/client.h>
#include <minihttp/url.h>

#include "base/clock.h"
#include "client/hosts.h"
#include "client/proxy.h"
#include "http/coding.h"
#include "loop/loop.h"
#include "tls/tls.h"

#define MH__DETAIL_MAX 192                /* bytes of the words about an error */
#define MH__PEER_MAX MH__ADDRESS_TEXT_MAX /* bytes of a peer's address in words */
#define MH__PUT_ROOM 256             /* what mh_h1_put_head() may ask for beside what it writes */
#define MH__SCRATCH_SIZE (32u << 10) /* pieces of what is decrypted, decoded, or sent */
#define MH__SEND_SLICE (256u << 10)  /* of a body in memory that is sent at a time */
#define MH__SEND_STEPS 16            /* pieces of one request that are sent in a turn */
#define MH__DECODE_STEPS 64          /* pieces of one body that are decoded in a turn */
#define MH__DRAIN_MAX (64u << 10)    /* of a redirect's body that is read to keep the connection */
#define MH__ATTEMPT_DELAY_MS 250     /* until the next address is tried (RFC 8305 section 8) */
#define MH__OUT_MAX (256u << 10)     /* of what TLS has to say to a peer that takes nothing */
#define MH__KEPT_CAP_MAX 4096        /* of a buffer that a kept connection keeps */
#define MH__ADDRESSES_AGE_MS 60000   /* how long what a name said is good for */
#define MH__ORIGINS_UNUSED_MAX 64    /* remembered for their addresses */
#define MH__LAST_URL_MAX 256         /* bytes of a URL that is recognised when it comes again */
#define MH__ORIGIN_BUCKETS 64
#define MH__SPARE_MAX 64      /* loops of blocking calls that are kept */
#define MH__PEEK_AFTER_MS 100 /* a kept connection is looked at before it is used again */

/* ---- request.c ---- */

/* What a request has beside what the fetch says; {0}: a plain one. */
struct mh__request_how {
    const mh_url *url;  /* taken apart already; NULL: not yet */
    const char *method; /* NULL: the fetch's */
    mh_str agent;       /* of us, unless the caller names one; absent or empty: none */
    mh_str codings;     /* Accept-Encoding, unless the caller has one; absent: none */
    mh_str proxy_login; /* Proxy-Authorization; absent: none */
    mh_str login;       /* user and password for Basic, as in a URL (RFC 7617); absent: none */
    bool tls;           /* https will do */
    bool waits;         /* for "100 Continue" */
    bool whole_url;     /* absolute-form, for a proxy (RFC 9112 section 3.2.2) */
    bool bodiless;      /* a redirect has made a GET of it */
    bool foreign;       /* another origin than the first: no secrets */
};

/* Not initialised before mh__request_build(); there is nothing to free. */
struct mh__request {
    const char **why;
    const struct mh__request_how *how;
    mh_url url;  /* slices of what was fetched */
    mh_h1 h1;    /* knows what was asked, and so can read the answer */
    mh_buf head; /* over storage */
    mh_str body;
    bool idempotent;     /* RFC 9110 section 9.2.2 */
    bool decodes;        /* we asked for codings, and undo them */
    bool expects;        /* "100 Continue" is waited for */
    uint64_t total;      /* bytes of the body; MH_LENGTH_UNKNOWN: chunked */
    size_t count, given; /* fields, and how many of them are the caller's, behind the first */
    mh_header headers[MH_HEADERS_MAX];
    char length[24];
    mh_buf words;                         /* over room */
    char room[MH_FETCH_REQUEST_HEAD_MAX]; /* values and targets that are put together */
    char storage[MH_FETCH_REQUEST_HEAD_MAX + MH__PUT_ROOM];
};

/* `url` is fetch->url, or a copy that lives longer. *why gets text when there is something to say
 * about an error; it lives as long as the request. */
MH_CHECK int mh__request_build(struct mh__request *request, const mh_fetch *fetch, mh_str url,
                               const struct mh__request_how *how, const char **why);

#define MH__TEXT_(number) #number
#define MH__TEXT(number) MH__TEXT_(number)
#define MH__AGENT                                                                                  \
    "minihttp/" MH__TEXT(MH_VERSION_MAJOR) "." MH__TEXT(MH_VERSION_MINOR) "." MH__TEXT(            \
        MH_VERSION_PATCH)

/* ---- wire.c: the waiting of once.c ---- */

struct mh__wire {
    int fd;
    int timeout_ms, connect_ms, idle_ms;
    int64_t deadline, connect_deadline;
    mh_phase phase;
    struct iovec unsent[2]; /* head and body of the request; what has gone is empty */
    int broken; /* the error that ended sending, while an answer may still be there to be read */
    const char *detail;
    char words[MH__DETAIL_MAX];
};

/* -EINVAL: a timeout below -1. The clock starts here. */
MH_CHECK int mh__wire_init(struct mh__wire *wire, const mh_fetch *fetch);

MH_CHECK int mh__wire_connect(struct mh__wire *wire, const mh_url *url);

/* Send the request, until all of it has gone or a response begins to come (RFC 9112 section 9.5). A
 * peer that closed before it had taken everything may have answered all the same: this is 0 then,
 * and mh__wire_recv() tells. */
MH_CHECK int mh__wire_send(struct mh__wire *wire, const struct mh__request *request);

/* One recv(). 0 at the end. What is left of the request is sent while we wait. */
MH_CHECK ssize_t mh__wire_recv(struct mh__wire *wire, void *buf, size_t cap);

void mh__wire_close(struct mh__wire *wire);

/* ---- once.c ---- */

/* Allocates nothing, but in the resolver. */
MH_CHECK ssize_t mh__once(const mh_fetch *fetch, mh_str url, struct mh__request *request,
                          struct mh__wire *wire, void *buf, size_t cap);

/* ---- client.c ---- */

struct mh_client {
    struct mh__proxies proxies;
    struct mh__hosts hosts;
    mh_buf agent;
    int connections_max, per_host_max, idle_ms;
    bool insecure;
    bool proxy_given;            /* by the options, not the environment */
    pthread_mutex_t lock;        /* of all that follows */
    struct mh__tls_context *tls; /* NULL: not needed yet */
    struct mh__link pools;       /* of struct mh__pool.siblings */
    struct mh__link spare;       /* of struct mh__pool.spare, the last one used first */
    int spares;
};

/* What TLS needs, made when it is first needed: the system's roots take a while to read. */
MH_CHECK int mh__client_tls(mh_client *client, struct mh__tls_context **out,
                            char why[MH__TLS_WHY_MAX]);

/* ---- pool.c ---- */

struct mh__connection;
struct mh__transfer;

/* What a plain GET asked for last, whose bytes still stand in mh__pool.request. */
struct mh__last {
    struct mh__origin *origin; /* NULL: they do not */
    size_t len;
    char url[MH__LAST_URL_MAX];
};

/* The connections of one client on one loop. */
struct mh__pool {
    struct mh__attachment attachment;
    mh_loop *loop;
    mh_client *client;
    struct mh__link siblings, spare; /* in the client, under its lock */
    struct mh__link transfers;       /* in flight, of struct mh__transfer.link */
    struct mh__link wanting;         /* of struct mh__origin.wanting: somebody waits there */
    struct mh__link idle;            /* of struct mh__connection.idle, the oldest first */
    struct mh__link unused;          /* of struct mh__origin.unused, the oldest first */
    struct mh__link buckets[MH__ORIGIN_BUCKETS];
    struct mh__timer idle_timer;
    struct mh__task task; /* whoever waits is served */
    int connections, unused_count;
    bool closing;  /* nothing can be submitted any more */
    bool own_loop; /* it is there for blocking calls, and goes with the pool */
    struct mh__last last;
    mh_h1_view view;
    struct mh__request request;
    char plain[MH__SCRATCH_SIZE]; /* decrypted, or about to be sent */
    char decoded[MH__SCRATCH_SIZE];
};

enum mh__way {
    MH__DIRECT,
    MH__BY_PROXY, /* the proxy is asked for the whole URL */
    MH__BY_TUNNEL /* CONNECT, then TLS with the origin */
};

/* Where connections of one kind lead to: scheme, host, port, and by which proxy. */
struct mh__origin {
    struct mh__pool *pool;
    struct mh__link link;            /* in a bucket */
    struct mh__link wanting, unused; /* in the pool */
    struct mh__link kept;            /* of struct mh__connection.link, the last used first */
    struct mh__link waiting;         /* of struct mh__transfer.line */
    struct mh__link resolving;       /* of struct mh__connection.link */
    const struct mh__proxy *proxy;   /* NULL: none */
    enum mh__way way;
    int connections;
    int claims; /* of transfers in flight: it stays as long as there are any */
    bool tls;
    uint16_t port, dial_port;
    mh_str host;      /* of the origin, or of the proxy where that is asked for whole URLs */
    mh_str dial_host; /* whom to connect to */
    struct mh__lookup lookup;
    int64_t addresses_until; /* the loop's clock */
    struct mh__addresses addresses;
    char name[]; /* host */
};

/* The client's pool on that loop, made when there is none. NULL: out of memory. */
struct mh__pool *mh__pool_of(mh_client *client, mh_loop *loop);
void mh__pool_free(struct mh__pool *pool); /* transfers end with -ECANCELED */

/* Where a URL leads to; it is forgotten after a while, unless a transfer claims it. -ENOMEM. */
MH_CHECK int mh__origin_of(struct mh__origin **out, struct mh__pool *pool, const mh_url *url);

/* What the transfer is for from now on; NULL: nothing. */
void mh__pool_claim(struct mh__transfer *x, struct mh__origin *origin);

/* Is the loop to be asked for news before what is kept there is used? */
bool mh__pool_is_stale(const struct mh__origin *origin);

/* Give it a connection now or in its turn; the transfer can end here. */
void mh__pool_want(struct mh__transfer *x);
void mh__pool_leave(struct mh__transfer *x); /* no more claim, no more waiting if it waits */

void mh__pool_keep(struct mh__connection *c); /* nothing to do for now */
void mh__pool_count(struct mh__origin *origin, int change);

/* ---- connection.c ---- */

enum mh__connection_state {
    MH__RESOLVING,
    MH__RACING,
    MH__TUNNELLING,
    MH__SECURING,
    MH__BUSY,
    MH__KEPT,
    MH__GONE
};

struct mh__attempt;

struct mh__connection {
    struct mh__origin *origin;
    struct mh__transfer *transfer; /* NULL: it is kept, or gone */
    struct mh__link link, idle;
    enum mh__connection_state state;
    struct mh__attempt *attempts[MH__ADDRESSES_MAX]; /* NULL: over */
    struct mh__attempt *winner;
    int alive;    /* attempts whose memory the loop has */
    size_t tried; /* addresses */
    int connect_err;
    struct mh__timer timer; /* the next attempt */
    struct mh__tls *tls;
    mh_h1 h1;
    mh_buf in;     /* plain bytes that were not used up */
    mh_buf raw;    /* TLS records that were not looked at, because of a pause */
    mh_buf out;    /* to be sent: of TLS, or of the tunnel */
    mh_buf flight; /* the same, on its way */
    size_t unsent; /* when it was last looked at, see transfer.c */
    bool sending;  /* sent() will be called */
    bool reused;
    bool ended; /* the peer said that nothing follows (TLS) */
    int64_t kept_since;
    char peer[MH__PEER_MAX];
};

/* Make one for the transfer, which can end here. */
void mh__connection_open(struct mh__origin *origin, struct mh__transfer *x);

/* No more of it; its transfer has let go already. */
void mh__connection_close(struct mh__connection *c);

/* Send what stands in c->out and the pieces, which must stay until sent. 1: gone; 0: on its way;
 * or an error. Not while c->sending. */
MH_CHECK int mh__connection_send(struct mh__connection *c, const struct iovec *pieces, int count);

/* Bytes of that which have not gone yet. */
size_t mh__connection_unsent(const struct mh__connection *c);

/* Go on to receive, with what was put aside first. The transfer can end here. */
void mh__connection_resume(struct mh__connection *c);
void mh__connection_pause(struct mh__connection *c);

/* It is heard again what comes. An error as of mh__socket_receive(). */
MH_CHECK int mh__connection_listen(struct mh__connection *c);

/* ---- fetch.c ---- */

/* Each of these can end the transfer. */
void mh__fetch_begin(struct mh__connection *c);
void mh__fetch_received(struct mh__connection *c, mh_str in);
void mh__fetch_closed(struct mh__connection *c, int err); /* 0: the peer has closed */

/* ---- upload.c ---- */

/* Send on, as far as it goes. Both can end the transfer. */
void mh__upload_go_on(struct mh__connection *c);
void mh__upload_sent(struct mh__connection *c, int err);

/* Trace bytes of a head, without what is secret, or of a body. */
MH_CHECK int mh__trace_head(struct mh__transfer *x, mh_direction direction, mh_str head);
MH_CHECK int mh__trace_body(struct mh__transfer *x, mh_direction direction, mh_str bytes);

/* ---- transfer.c ---- */

/* What mh_response.private_ points to. */
struct mh__transfer {
    mh_response *res;
    mh_fetch fetch;
    struct mh__pool *pool; /* NULL: not in flight */
    struct mh__origin *origin;
    struct mh__connection *connection; /* NULL: none */
    struct mh__link link, line;
    struct mh__timer timer;
    struct mh__task task;
    unsigned owed; /* what the task is to do: MH__OWE_... */
    mh_phase phase;
    int64_t began_us;
    int64_t deadline, connect_deadline, phase_deadline, active_at; /* the loop's clock */

    mh_buf url;         /* of this request, without user and password */
    mh_buf login;       /* these */
    const char *method; /* NULL: the fetch's */
    mh_h1 h1;           /* of this request, before any answer */
    mh_buf out;         /* its head, and then pieces of its body */
    mh_str body;        /* in memory, what has not gone */
    size_t slice;       /* bytes of it that are on their way */
    uint64_t uploaded;  /* bytes that on_upload gave */
    uint64_t ceiling;
    mh_buf location; /* of a redirect */
    int broken; /* the error that ended sending, while an answer may still be there to be read */

    /* What is asked for. */
    bool idempotent, decodes;
    bool bodiless, foreign; /* redirects have made it so */
    bool unexpecting;       /* "Expect" was refused */
    bool asked;             /* on_upload was called: there is no second time */
    bool retried;
    bool looked; /* the loop was asked for news of what is kept */
    /* The request. */
    bool head_waits;   /* out begins with the head */
    bool expects;      /* it says "Expect: 100-continue" */
    bool expecting;    /* and that is waited for */
    bool upload_rests; /* on_upload had nothing */
    bool upload_over, put_ended;
    bool flying; /* out and slice are on their way */
    bool gone;   /* all of it */
    /* The response. */
    bool began; /* a byte of it has come */
    bool heard; /* a head has come, if only an interim one */
    bool paused;
    bool draining; /* its body is of no interest, but for the sake of the connection */
    bool over;     /* enough of it was seen */
    bool ended;

    struct mh__decoder decoder;
    mh_buf coded;    /* what was not decoded, because of a pause */
    bool coded_left; /* there is such a thing, if only in the decoder */

    mh_buf kept;     /* what res->headers, head, reason point into */
    mh_buf trailers; /* the same of res->trailers */
    const char *detail;
    char words[MH__DETAIL_MAX];
    char peer[MH__PEER_MAX];

    struct mh__outcome *outcome; /* of a blocking call; NULL: of none */
    atomic_bool cancelled;
    pthread_mutex_t lock; /* of waiting */
    mh_loop *waiting;     /* the loop of a blocking call, which a cancel wakes */
};

struct mh__outcome {
    bool over;
    int result; /* a status, or an error */
};

enum { MH__OWE_START = 1, MH__OWE_END = 2, MH__OWE_GO_ON = 4 };

/* Start on the pool's loop. outcome: NULL, or where a blocking call waits. After an error *res
 * tells. */
MH_CHECK int mh__transfer_submit(struct mh__pool *pool, const mh_fetch *fetch, mh_response *res,
                                 struct mh__outcome *outcome);

/* It is over: err is 0 or negative. The last thing that is done with it. */
void mh__transfer_end(struct mh__transfer *x, int err);

/* The same, but for a second try where that is safe. detail: static text, x->words, or NULL. */
void mh__transfer_fail(struct mh__transfer *x, int err, const char *detail);

/* The response is complete and its connection taken care of. */
void mh__transfer_complete(struct mh__transfer *x);

/* A step forward: the phase, and until when it may last (MH__NEVER). */
void mh__transfer_enter(struct mh__transfer *x, mh_phase phase, int64_t deadline);
const char *mh__transfer_late(struct mh__transfer *x); /* words: the time in all is over */
int64_t mh__transfer_us(const struct mh__transfer *x); /* since it began */
void mh__transfer_owe(struct mh__transfer *x, unsigned what);

/* Nothing of the answer is looked at for now. */
static inline bool mh__transfer_rests(const struct mh__transfer *x)
{
    return x->paused || x->coded_left;
}

static inline void mh__transfer_touch(struct mh__transfer *x)
{
    x->active_at = x->pool->loop->now;
}

/* ---- response.c ---- */

/* Begin anew, memory kept, with the limits and the URL of the fetch. After an error *res tells. */
MH_CHECK int mh__response_begin(struct mh__transfer **x, const mh_fetch *fetch, mh_response *res);

/* User and password go another way than the URL: from x->url into x->login. *url is x->url taken
 * apart, before and after. */
MH_CHECK int mh__response_hide_login(struct mh__transfer *x, mh_url *url);

/* Write down how it went. err is 0 or negative; it is returned. */
int mh__response_finish(struct mh__transfer *x, int err);

/* Nothing of an earlier answer is left. */
void mh__response_reset(struct mh__transfer *x);

/* Keep a head, or trailers, which lie in the engine's view and in raw. -ENOMEM. */
MH_CHECK int mh__response_keep_head(struct mh__transfer *x, const mh_h1_view *view);
MH_CHECK int mh__response_keep_trailers(struct mh__transfer *x, const mh_h1_view *view, mh_str raw);

/* Words about an error, printf-like; what does not fit is cut. Returns them. */
const char *mh__words(char words[MH__DETAIL_MAX], const char *fmt, ...) MH_PRINTF(2, 3);

#endif
