/* checker.h: a second opinion on what a message is, written from the ABNF of RFC 9112, RFC 9110 and
 * RFC 3986. Slow, obvious, and without a line in common with lib/: it is what the engine is held
 * against. */
#ifndef TESTS_CHECKER_H
#define TESTS_CHECKER_H

#include <minihttp/h1.h>

#define CHECK_MAX (32u << 10) /* bytes that it looks at; callers give no more */

enum check_result {
    CHECK_OK,   /* the whole message is there */
    CHECK_MORE, /* what is there can still become one */
    CHECK_BAD   /* it cannot */
};

enum check_framing { CHECK_NONE, CHECK_LENGTH, CHECK_CHUNKED, CHECK_UNTIL_CLOSE, CHECK_TUNNEL };

struct check {
    enum check_result result;
    int error;       /* BAD: an mh_error */
    size_t at;       /* BAD: the first byte that cannot stand there; MORE: the end */
    bool late;       /* BAD: only a complete head shows it */
    size_t head_len; /* 0: the head is not complete, or not accepted */
    int status;      /* of a response */
    size_t fields;
    enum check_framing framing;
    uint64_t length;
    uint64_t body;      /* bytes of body that are there */
    size_t message_len; /* OK: where the next message begins */
};

/* Look at one request, or at one response (an interim one is a message too) to `method`. */
void check_request(struct check *out, mh_str text);
void check_response(struct check *out, mh_str text, const char *method);

#endif
