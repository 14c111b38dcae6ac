/* client.h: what the files of the client share.
 *
 *   request.c    what was asked for, as the bytes of a request
 *   wire.c       the waiting: resolve, connect, send, receive, each with its limit
 *   once.c       one request, one recv()
 *   fetch.c      bytes to the engine, its events to the response and the callbacks
 *   response.c   owns what a response holds
 *   get.c        the front doors */
#ifndef MH_CLIENT_CLIENT_H
#define MH_CLIENT_CLIENT_H

#include <sys/uio.h>

#include <minihttp/client.h>
#include <minihttp/url.h>

#define MH__DETAIL_MAX 192           /* bytes of the words about an error */
#define MH__PUT_ROOM 256             /* what mh_h1_put_head() may ask for beside what it writes */
#define MH__RECEIVE_ROOM (64u << 10) /* behind a response's head, for what one recv() may bring */

#define MH__INPUT_SIZE (MH_FETCH_HEAD_MAX + MH__RECEIVE_ROOM)

/* ---- request.c ---- */

/* Not initialised before mh__request_build(); there is nothing to free. */
struct mh__request {
    const char **why;
    mh_url url;  /* slices of what was fetched */
    mh_h1 h1;    /* knows what was asked, and so can read the answer */
    mh_buf head; /* over storage */
    mh_str body;
    bool idempotent; /* RFC 9110 section 9.2.2 */
    size_t count;
    mh_header headers[MH_HEADERS_MAX];
    char length[24];
    char target[MH_FETCH_REQUEST_HEAD_MAX]; /* only for a query without a path */
    char storage[MH_FETCH_REQUEST_HEAD_MAX + MH__PUT_ROOM];
};

/* `url` is fetch->url, or a copy that lives longer. `agent`: name ourselves unless fetch does. *why
 * gets text when there is something to say about an error; it lives as long as the request. */
MH_CHECK int mh__request_build(struct mh__request *request, const mh_fetch *fetch, mh_str url,
                               bool agent, const char **why);

/* ---- wire.c: what an event loop would do otherwise. ---- */

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

/* Words about the error, printf-like; what does not fit is cut. */
void mh__wire_explain(struct mh__wire *wire, const char *fmt, ...) MH_PRINTF(2, 3);

/* ---- once.c ---- */

/* Allocates nothing, but in the resolver. */
MH_CHECK ssize_t mh__once(const mh_fetch *fetch, mh_str url, struct mh__request *request,
                          struct mh__wire *wire, void *buf, size_t cap);

/* ---- response.c ---- */

/* What mh_response.private_ points to. */
struct mh__transfer {
    mh_buf url;
    struct mh__wire wire;
    struct mh__request request;
    uint64_t ceiling; /* bytes of body that are taken */
    mh_h1_view head;  /* of the final head, which res->headers points into */
    mh_h1_view rest;  /* of everything behind it; res->trailers points into it */
    mh_str unread;    /* what has come and is not consumed; lies in input */
    bool begun;       /* a head has come, if only an interim one */
    size_t kept;      /* bytes at the front of input that hold the final head */
    char *input;      /* MH__INPUT_SIZE bytes, which mh_client_fetch_once() does without */
};

/* Begin anew, memory kept, with the limits and the URL of the fetch. After an error *res tells. */
MH_CHECK int mh__response_begin(struct mh__transfer **x, const mh_client *client,
                                const mh_fetch *fetch, mh_response *res);

/* Close the wire and write down how it went. err is 0 or negative; it is returned. */
int mh__response_finish(mh_response *res, int err);

#endif
