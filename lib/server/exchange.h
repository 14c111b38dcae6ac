/* exchange.h: one request and the reply to it, in memory. Knows no socket and does not wait:
 * whoever receives the bytes fills it in, and sends what it holds. */
#ifndef MH_SERVER_EXCHANGE_H
#define MH_SERVER_EXCHANGE_H

#include <minihttp/h1.h>
#include <minihttp/server.h>

/* Date, Content-Type, Content-Length and Connection stand beside those of mh_reply_header(). */
#define MH__REPLY_FIELDS_MAX (MH_HEADERS_MAX - 4)

/* As much as a request's head may hold; what does not fit there fits no client either. */
#define MH__REPLY_FIELDS_BYTES MH_SERVER_HEAD_MAX

struct mh__exchange {
    mh_request request; /* what the handler sees; its private_ leads back here */
    mh_h1 h1;
    mh_buf path, body; /* what request.path and request.body point into */

    mh_buf fields; /* of mh_reply_header(): name, NUL, value, NUL, name ... */
    size_t field_count;

    int status;    /* of the reply; 0: there is none yet */
    mh_h1 before;  /* h1 as it was without that reply */
    mh_buf out;    /* to be sent: head and copied body */
    mh_str behind; /* to be sent after out: a body that was borrowed or taken */
    mh_buf taken;  /* keeps behind alive when it is ours */
};

/* deinit gives everything back that the exchange owns; user is for the handler. */
void mh__exchange_init(struct mh__exchange *ex, void *user);
void mh__exchange_deinit(struct mh__exchange *ex);

/* MH_H1_HEAD has come: fill the request in. Its slices stay valid for as long as the bytes and the
 * fields that view points at. Returns 0; MH_ERR_URL: no path can be made of the target; -ENOMEM. */
MH_CHECK int mh__exchange_begin(struct mh__exchange *ex, const mh_h1_view *view);

/* Some of the body has come. Returns 0; MH_ERR_TOO_LARGE above MH_SERVER_BODY_MAX; -ENOMEM. */
MH_CHECK int mh__exchange_body(struct mh__exchange *ex, mh_str data);

/* MH_H1_END has come: the request is complete. */
void mh__exchange_end(struct mh__exchange *ex, const mh_h1_view *view);

/* Let the handler answer, and see to it that there is an answer. Returns 0 or -ENOMEM. */
MH_CHECK int mh__exchange_handle(struct mh__exchange *ex, mh_handler *handler);

/* reply.c: the standard page of a status, with the fields that were added; why, if any, is its
 * second line. Returns the status, or what a reply verb returns. */
MH_CHECK int mh__reply_page(struct mh__exchange *ex, int status, mh_str why);

/* The same in place of whatever reply and fields there were. Returns 0 or -ENOMEM. */
MH_CHECK int mh__reply_refuse(struct mh__exchange *ex, int status, mh_str why);

#endif
