/* h1_read.c: the peer's bytes become events, in the one order that <minihttp/h1.h> promises.
 * Grammar is in head.c and chunk.c, meaning in framing.c; this file knows what comes next. */
#include "base/str.h"
#include "http/h1.h"
#include "http/quick.h"

_Static_assert(MH_H1_HEAD_MAX <= MH__HEAD_MAX_MAX, "the default is allowed");

void mh_h1_init(mh_h1 *h1, mh_h1_role role, size_t head_max)
{
    size_t max = head_max ? head_max : MH_H1_HEAD_MAX;
    *h1 = (mh_h1){
        .role = (uint8_t)role,
        .head_max = (uint32_t)(max < MH__HEAD_MAX_MAX ? max : MH__HEAD_MAX_MAX),
    };
}

bool mh_h1_reusable(const mh_h1 *h1)
{
    return h1->reading == MH__DONE && h1->writing == MH__PUT_DONE && !(h1->flags & MH__CLOSE);
}

void mh_h1_restart(mh_h1 *h1)
{
    if (mh_h1_reusable(h1))
        mh_h1_init(h1, (mh_h1_role)h1->role, h1->head_max);
}

uint64_t mh_h1_body_left(const mh_h1 *h1)
{
    if (h1->reading == MH__BODY_LENGTH)
        return h1->in_left;
    bool unknown = h1->reading == MH__BODY_CLOSE || h1->flags & MH__TRAILERS ||
                   (h1->reading >= MH__CHUNK_FIRST && h1->reading <= MH__CHUNK_DATA_LF);
    return unknown ? MH_LENGTH_UNKNOWN : 0;
}

bool mh_h1_wants_continue(const mh_h1 *h1)
{
    return h1->flags & MH__EXPECTS_100 && h1->writing == MH__PUT_HEAD && h1->reading != MH__BROKEN;
}

/* ---- events ---- */

static void consume(mh_h1 *h1, mh_str *in, size_t len)
{
    h1->consumed += len;
    *in = mh__str_from(*in, len);
}

/* Bytes on a connection where nothing was asked for are no response (RFC 9112 section 9.2). A call
 * of its own: merged into its caller, the four bytes are loaded as one word, which has to wait for
 * the bytes that were just stored one by one. */
__attribute__((noinline)) static bool unasked(const mh_h1 *h1)
{
    return h1->reading == MH__START && h1->interims == 0 && h1->writing == MH__PUT_HEAD;
}

/* Bytes of the head; 0: more is needed; or an error. */
static ptrdiff_t read_head(mh_h1 *h1, mh_str in, mh_h1_view *view, struct mh__seen *seen)
{
    if (h1->scanned == 0) {
        mh_str most = {in.ptr, in.len < h1->head_max ? in.len : h1->head_max};
        size_t len = mh__quick_head((mh_h1_role)h1->role, most, view, seen);
        if (len > 0)
            return (ptrdiff_t)len;
        *seen = (struct mh__seen){{0}, {0}};
    }
    return mh__head_read(h1, in, view, seen);
}

static int next_head(mh_h1 *h1, mh_str *in, mh_h1_view *view)
{
    struct mh__seen seen = {{0}, {0}};
    if (in->len == 0)
        return MH_H1_NEED_MORE;
    struct mh__input at = {in->ptr, in->ptr + in->len};
    if (h1->role == MH_H1_CLIENT && unasked(h1))
        return mh__fault(h1, view, at, MH_ERR_MALFORMED, 502, at.start, "no request was sent");
    ptrdiff_t len = read_head(h1, *in, view, &seen);
    if (len <= 0)
        return (int)len; /* 0 is MH_H1_NEED_MORE */
    at.end = at.start + len;
    view->raw = (mh_str){in->ptr, (size_t)len};
    int err = h1->role == MH_H1_SERVER ? mh__accept_request(h1, at, view, &seen)
                                       : mh__accept_response(h1, at, view, &seen);
    if (err < 0)
        return err;
    h1->scanned = 0;
    h1->fields = 0;
    consume(h1, in, (size_t)len);
    if (h1->reading == MH__START)
        h1->consumed = 0; /* an interim response: another message follows */
    return MH_H1_HEAD;
}

/* What follows a response was not asked for, and must not become the answer to the next request
 * (RFC 9112 section 9.2). */
static void check_behind(mh_h1 *h1, const mh_str *in)
{
    if (h1->role == MH_H1_CLIENT && in->len > 0)
        h1->flags |= MH__CLOSE;
}

static int next_end(mh_h1 *h1, const mh_str *in, mh_h1_view *view)
{
    view->head.headers = (mh_headers){view->headers, 0};
    h1->reading = MH__DONE;
    check_behind(h1, in);
    return MH_H1_END;
}

static int next_trailers(mh_h1 *h1, mh_str *in, mh_h1_view *view)
{
    struct mh__seen seen = {{0}, {0}};
    if (in->len == 0)
        return MH_H1_NEED_MORE;
    ptrdiff_t len = mh__head_read(h1, *in, view, &seen);
    if (len <= 0)
        return (int)len;
    consume(h1, in, (size_t)len);
    h1->flags &= ~(uint32_t)MH__TRAILERS;
    h1->reading = MH__DONE;
    check_behind(h1, in);
    return MH_H1_END;
}

/* Hand over what is there of the next `most` bytes. */
static int body_event(mh_h1 *h1, mh_str *in, mh_h1_view *view, uint64_t most)
{
    size_t len = in->len < most ? in->len : (size_t)most;
    if (len == 0)
        return MH_H1_NEED_MORE;
    view->body = (mh_str){in->ptr, len};
    consume(h1, in, len);
    return MH_H1_BODY;
}

static int next_counted(mh_h1 *h1, mh_str *in, mh_h1_view *view, uint8_t then)
{
    int event = body_event(h1, in, view, h1->in_left);
    if (event == MH_H1_BODY)
        h1->in_left -= view->body.len;
    if (h1->in_left == 0)
        h1->reading = then;
    return event;
}

static int next_chunked(mh_h1 *h1, mh_str *in, mh_h1_view *view)
{
    if (in->len == 0)
        return MH_H1_NEED_MORE;
    if (h1->reading != MH__CHUNK_DATA) {
        int err = mh__chunk_read(h1, in, view);
        if (err < 0)
            return err;
    }
    if (h1->reading == MH__CHUNK_DATA)
        return next_counted(h1, in, view, MH__CHUNK_DATA_CR);
    if (h1->reading == MH__FIELD)
        return next_trailers(h1, in, view);
    return MH_H1_NEED_MORE;
}

static int broken(mh_h1 *h1, mh_str *in, mh_h1_view *view)
{
    struct mh__input none = {in->ptr, in->ptr};
    return mh__fault(h1, view, none, MH_ERR_MALFORMED, 400, NULL, "an error before this one");
}

int mh_h1_next(mh_h1 *h1, mh_str *in, mh_h1_view *view)
{
    if (h1->reading <= MH__FIELD_VALUE)
        return h1->flags & MH__TRAILERS ? next_trailers(h1, in, view) : next_head(h1, in, view);
    if (in->len > 0 && h1->reading <= MH__CHUNK_DATA_LF)
        h1->flags &= ~(uint32_t)MH__EXPECTS_100;
    switch (h1->reading) {
    case MH__BODY_LENGTH:
        return next_counted(h1, in, view, MH__END);
    case MH__BODY_CLOSE:
        return body_event(h1, in, view, UINT64_MAX);
    case MH__END:
        return next_end(h1, in, view);
    case MH__DONE:
        if (h1->writing == MH__PUT_SWITCHED)
            return MH_H1_SWITCHED;
        check_behind(h1, in);
        return h1->flags & MH__CLOSE ? MH_H1_CLOSED : MH_H1_PAUSED;
    case MH__SWITCHED:
        return MH_H1_SWITCHED;
    case MH__BROKEN:
        return broken(h1, in, view);
    default:
        return next_chunked(h1, in, view);
    }
}

/* ---- the end of the input ---- */

/* Nothing of a message has come, and none is owed. */
static bool between_messages(const mh_h1 *h1)
{
    if (h1->role == MH_H1_CLIENT)
        return h1->reading == MH__START && h1->scanned == 0 && h1->writing == MH__PUT_HEAD;
    return h1->reading <= MH__METHOD_FIRST;
}

static const char *cut_short(const mh_h1 *h1)
{
    if (h1->flags & MH__TRAILERS)
        return "closed in the trailers";
    if (h1->reading > MH__FIELD_VALUE)
        return "closed in the body";
    return h1->reading == MH__START && h1->scanned == 0 ? "closed before a response"
                                                        : "closed in the head";
}

int mh_h1_eof(mh_h1 *h1, mh_h1_view *view)
{
    struct mh__input none = {NULL, NULL};
    switch (h1->reading) {
    case MH__BODY_CLOSE: /* RFC 9112 section 6.3, step 8 */
    case MH__END:
        return next_end(h1, &(mh_str){NULL, 0}, view);
    case MH__SWITCHED:
        return MH_H1_SWITCHED;
    case MH__DONE:
        h1->flags |= MH__CLOSE;
        return h1->writing == MH__PUT_SWITCHED ? MH_H1_SWITCHED : MH_H1_CLOSED;
    default:
        break;
    }
    if (h1->reading != MH__BROKEN && between_messages(h1)) {
        h1->flags |= MH__CLOSE;
        return MH_H1_CLOSED;
    }
    h1->consumed += h1->scanned;
    return mh__fault(h1, view, none, MH_ERR_CLOSED, 400, NULL, cut_short(h1));
}
