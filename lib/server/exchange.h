/* exchange.h: one request and the reply to it, as data. Knows no socket and does not wait: whoever
 * receives the bytes fills the request in; the handler's verbs fill the reply in, in whatever
 * thread; and session.c puts it on the wire. */
#ifndef MH_SERVER_EXCHANGE_H
#define MH_SERVER_EXCHANGE_H

#include <netinet/in.h>
#include <stdatomic.h>

#include <minihttp/h1.h>
#include <minihttp/server.h>

#include "loop/loop.h"

/* Date, Content-Type, Content-Length and Connection stand beside those of mh_reply_header(). */
#define MH__REPLY_FIELDS_MAX (MH_HEADERS_MAX - 4)

/* As much as a request's head may hold; what does not fit there fits no client either. */
#define MH__REPLY_FIELDS_BYTES MH_SERVER_HEAD_MAX

/* Of an exchange that is kept for the next request: what it needed for one is kept up to here. */
#define MH__EXCHANGE_KEPT_MAX 8192

struct mh__session;
struct mh__worker;
struct mh__file_cache;

/* Where the bytes of a reply's body come from. */
enum mh__source { MH__SOURCE_BYTES, MH__SOURCE_FILE, MH__SOURCE_PRODUCER };

struct mh__reply {
    int status;      /* 0: there is none yet */
    mh_buf lines;    /* "Name: value CR LF" of mh_reply_header() and the type, all of them valid */
    mh_buf trailers; /* the same, of mh_reply_trailer() */
    size_t line_count, trailer_count;
    bool has_date, has_type;

    enum mh__source source;
    uint64_t length; /* of the body; MH_LENGTH_UNKNOWN of a producer that does not say */
    mh_str bytes;    /* in copy, in taken, or the user's */
    mh_buf copy;     /* is kept from one exchange to the next */
    mh_buf taken;
    int file;
    uint64_t file_offset;
    mh_producer *produce;
    void (*release)(void *owner); /* when the body is no longer needed; NULL */
    void *owner;
};

/* Whoever comes second, the handler that returned MH_LATER or the one who replies, goes on with it.
 */
enum mh__stage { MH__HANDLING, MH__OWED, MH__REPLIED };

struct mh__exchange {
    mh_request request; /* what the handler sees; its private_ leads back here */
    struct mh__worker *worker;
    struct mh__session *session; /* the loop's thread alone; NULL: it is gone */
    struct mh__inbox *inbox;     /* how other threads reach the worker */
    struct mh__link link;        /* in the inbox, or among the spare ones */

    mh_buf head, path, body;           /* what the request's slices point into ... */
    mh_header headers[MH_HEADERS_MAX]; /* ... and its fields */
    void *trailers;                    /* the fields behind the body, and their bytes */
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } peer;

    atomic_int stage; /* enum mh__stage */
    atomic_bool gone; /* the peer is */
    atomic_bool paused;
    bool posted;        /* in the inbox; its lock's ... */
    bool told;          /* ... as is this: the reply that was owed is there */
    atomic_bool shared; /* it may be, or have been, in the inbox */

    /* The loop's thread alone. */
    bool owed;     /* the handler has returned MH_LATER, and no reply was taken out of the inbox */
    bool complete; /* the request has been received whole */
    bool begun;    /* the reply's head has been put */
    bool handed;   /* all of its body is with the carrier */
    bool waiting;  /* the producer has nothing for now */
    bool reported; /* to on_access() */
    struct mh__task task;
    uint64_t received; /* of the request's body */
    int64_t body_ms;   /* when it began, or has last gone on after a pause ... */
    uint64_t before;   /* ... and what had been received by then */

    const char *route; /* mh_route.path of the one that was taken; NULL */
    int64_t begin_us;  /* the head was complete */
    uint64_t sent;     /* of the reply's body */
    struct mh__reply reply;
};

static inline struct mh__exchange *mh__exchange_of(const mh_request *req)
{
    return req->private_;
}

/* Where the worker keeps its open files: made by whoever needs it first. NULL: there is no worker.
 */
struct mh__file_cache **mh__exchange_file_cache(struct mh__exchange *ex);

/* Changes with every turn of the loop: what was looked at in this one need not be looked at twice.
 */
uint64_t mh__exchange_turn(const struct mh__exchange *ex);

/* Body verbs like the public ones, for bytes, files and producers that belong to somebody: release
 * is called exactly once, when they are no longer needed, also after an error. */
MH_CHECK int mh__reply_borrow(mh_request *req, int status, const char *type, mh_str bytes,
                              void (*release)(void *owner), void *owner);
MH_CHECK int mh__reply_file(mh_request *req, int status, const char *type, int file,
                            uint64_t offset, uint64_t len, void (*release)(void *owner),
                            void *owner);
/* The producer finds owner in mh__exchange_of(req)->reply.owner. */
MH_CHECK int mh__reply_stream(mh_request *req, int status, const char *type, uint64_t length,
                              mh_producer *produce, void (*release)(void *owner), void *owner);

#endif
