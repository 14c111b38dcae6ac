/* h1.h: what the files of the protocol engine share. See <minihttp/h1.h> for the engine itself.
 *
 *   quick.h     heads as nearly all are, in one go
 *   head.c      heads and trailers: bytes to fields, resumable at every byte
 *   framing.c   what the fields mean: target, Host, length, keep-alive
 *   chunk.c     the lines between the chunks
 *   h1_read.c   the events, in order
 *   h1_write.c  the other direction */
#ifndef MH_HTTP_H1_H
#define MH_HTTP_H1_H

#include <stdint.h>

#include <minihttp/h1.h>

#define MH__HEAD_MAX_MAX (16u << 20) /* offsets in a head fit in 32 bits with much to spare */

/* How far the peer's message has come: mh_h1.reading. The first ones are places in a head or in
 * trailers, where bytes are looked at but stay in the caller's buffer. */
enum mh__reading {
    MH__START,
    MH__METHOD_FIRST,
    MH__METHOD,
    MH__TARGET_FIRST,
    MH__TARGET_ORIGIN, /* "/...", by far the most frequent */
    MH__TARGET_OTHER,
    MH__VERSION,
    MH__REASON,
    MH__FIELD, /* at the start of a field line, or of the empty line */
    MH__NAME,
    MH__FIELD_VALUE,

    MH__BODY_LENGTH,
    MH__BODY_CLOSE,

    MH__CHUNK_FIRST, /* at the first digit of a chunk-size; the places in its line follow */
    MH__CHUNK_SIZE,
    MH__CHUNK_SPACE, /* white space that ";" has to follow */
    MH__EXT_FIRST,
    MH__EXT_NAME,
    MH__EXT_NAME_SPACE,
    MH__EXT_EQUALS,
    MH__EXT_VALUE,
    MH__EXT_QUOTED,
    MH__EXT_ESCAPED,
    MH__EXT_QUOTED_END,
    MH__CHUNK_LINE_LF,
    MH__CHUNK_DATA,
    MH__CHUNK_DATA_CR,
    MH__CHUNK_DATA_LF,

    MH__END,  /* the message is complete, mh_h1_next() has yet to say so */
    MH__DONE, /* it has */
    MH__SWITCHED,
    MH__BROKEN
};

/* How far our own message has come: mh_h1.writing. */
enum mh__writing { MH__PUT_HEAD, MH__PUT_BODY, MH__PUT_DONE, MH__PUT_SWITCHED };

/* mh_h1.in_framing, .out_framing (RFC 9112 section 6) */
enum mh__framing { MH__NO_BODY, MH__BY_LENGTH, MH__CHUNKED, MH__UNTIL_CLOSE };

/* mh_h1.request */
enum mh__method_kind { MH__OTHER, MH__HEAD, MH__CONNECT };

/* mh_h1.flags */
enum {
    MH__CLOSE = 1,       /* the connection ends with this exchange */
    MH__PEER_IS_1_0 = 2, /* the request that is answered came as HTTP/1.0 */
    MH__KEEP_ALIVE = 4,  /* ... and asked to keep the connection */
    MH__EXPECTS_100 = 8, /* the request said so, and nothing of its body has come */
    MH__UPGRADE = 16,    /* the request offers another protocol */
    MH__TRAILERS = 32,   /* the fields that are read come behind a body */
    MH__SKIP_BODY = 64,  /* our response's body is not sent: it answers a HEAD */
    MH__HEARD = 128      /* the head of a request was accepted */
};

/* Fields that the engine itself looks at. */
enum mh__kind {
    MH__HOST,
    MH__CONTENT_LENGTH,
    MH__TRANSFER_ENCODING,
    MH__CONNECTION,
    MH__EXPECT,
    MH__UPGRADE_FIELD,
    MH__KINDS
};

struct mh__seen {
    uint8_t count[MH__KINDS]; /* fields of that kind */
    uint8_t first[MH__KINDS]; /* index of the first one; of no meaning when count is 0 */
};

_Static_assert(MH_HEADERS_MAX <= UINT8_MAX, "indices of fields are kept in a byte");
_Static_assert(MH_H1_INTERIM_MAX < UINT8_MAX, "and so are interim responses");

/* Which kind a field name is, or MH__KINDS. */
enum mh__kind mh__field_kind(mh_str name);
void mh__see(struct mh__seen *seen, mh_str name, size_t index);

/* Record what is wrong, at which byte (NULL: no single byte), and stop reading. Returns err. */
struct mh__input {
    const char *start, *end;
};
int mh__fault(mh_h1 *h1, mh_h1_view *view, struct mh__input in, int err, int status, const char *at,
              const char *reason);

/* head.c: read on in a head, or in trailers. Returns its bytes (> 0) once all of it is there; 0:
 * more is needed; or an error. */
MH_CHECK ptrdiff_t mh__head_read(mh_h1 *h1, mh_str in, mh_h1_view *view, struct mh__seen *seen);

/* framing.c: take a complete head for what it means, and set up for what follows it. */
MH_CHECK int mh__accept_request(mh_h1 *h1, struct mh__input in, mh_h1_view *view,
                                const struct mh__seen *seen);
MH_CHECK int mh__accept_response(mh_h1 *h1, struct mh__input in, mh_h1_view *view,
                                 const struct mh__seen *seen);

/* Is this target one that goes with the method (RFC 9112 section 3.2)? All of its bytes are known
 * to be MH__URI or part of a "%XX", and those of a target that starts with "/" MH__TARGET. */
bool mh__target_fits(mh_str method, mh_str target);
enum mh__method_kind mh__request_kind(mh_str method);

/* A Content-Length: digits only, at most INT64_MAX. Returns whether it is one. */
bool mh__length_parse(uint64_t *out, mh_str text);

/* What the Connection fields say (RFC 9110 section 7.6.1). */
enum { MH__SAYS_CLOSE = 1, MH__SAYS_KEEP_ALIVE = 2, MH__SAYS_UPGRADE = 4 };
uint8_t mh__connection_options(mh_headers headers, const struct mh__seen *seen);

/* chunk.c: read on in the line before a chunk, or the CRLF behind it. Moves *in on. Returns 0, with
 * h1->reading telling where we are, or an error. */
MH_CHECK int mh__chunk_read(mh_h1 *h1, mh_str *in, mh_h1_view *view);

/* h1_write.c: may it be the name of a field; and, but for white space at its ends, the value of one
 * (RFC 9110 sections 5.1 and 5.5)? */
bool mh__is_token(mh_str text);
bool mh__is_text(mh_str text);

/* h1_write.c: the head of a final response whose lines ("Name: value CR LF" each) are known to be
 * valid, and say nothing about framing or connection; what the status and the peer's version ask
 * for is added. length: of the body; MH_LENGTH_UNKNOWN: chunked, or until close. close: it is the
 * last one. 0, -EINVAL out of order, -ENOMEM, MH_ERR_TOO_LARGE; out as it was then. */
struct mh__ready_head {
    int status;
    mh_str date, lines; /* the first may be empty */
    uint64_t length;
    bool close;
};
MH_CHECK int mh__h1_put_ready_head(mh_h1 *h1, const struct mh__ready_head *ready, mh_buf *out);

/* Is a body sent at all, and if so, in chunks? After the head was put. */
bool mh__h1_sends_body(const mh_h1 *h1);
bool mh__h1_sends_chunks(const mh_h1 *h1);

/* h1_write.c: as mh_h1_put_body() with `len` bytes, which the caller sends himself behind *out; not
 * for chunked bodies. Returns 1; 0 if they must not be sent (the answer to a HEAD); or an error. */
MH_CHECK int mh__h1_account_body(mh_h1 *h1, uint64_t len);

#endif
