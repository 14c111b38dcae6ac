/* message.c: looking things up in what a message carries. Knows nothing of how it got here. */
#include <minihttp/message.h>

#include <string.h>

#include <minihttp/url.h>

#include "base/buffer.h"
#include "base/str.h"

/* Takes what stands before `c` off the front of *rest, and `c` too; all of it if there is none. */
static mh_str cut(mh_str *rest, char c)
{
    const char *end = memchr(rest->ptr, c, rest->len);
    mh_str taken = {rest->ptr, end ? (size_t)(end - rest->ptr) : rest->len};
    *rest = mh__str_from(*rest, end ? taken.len + 1 : taken.len);
    return taken;
}

/* ---- header fields ---- */

static bool has_name(const mh_header *header, mh_str name)
{
    return header->name.len == name.len && mh__str_same_nocase(header->name, name);
}

mh_str mh_headers_get(mh_headers headers, const char *name)
{
    mh_str wanted = mh_str_from(name);
    mh_headers_each(header, headers)
    {
        if (has_name(header, wanted))
            return header->value;
    }
    return (mh_str){0};
}

static bool is_ows(char c)
{
    return c == ' ' || c == '\t';
}

static mh_str trimmed(mh_str s)
{
    while (s.len > 0 && is_ows(s.ptr[0]))
        s = mh__str_from(s, 1);
    while (s.len > 0 && is_ows(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

/* Up to the next comma that is not in a quoted string (RFC 9110 section 5.6.4). A quote that is
 * never closed lasts to the end of its field, not into the next one. */
static size_t element_len(mh_str list)
{
    bool quoted = false;
    size_t at = 0;
    for (; at < list.len; at++) {
        char c = list.ptr[at];
        if (c == '"')
            quoted = !quoted;
        else if (c == '\\' && quoted && at + 1 < list.len)
            at++;
        else if (c == ',' && !quoted)
            break;
    }
    return at;
}

static bool list_has(mh_str list, mh_str token)
{
    while (list.len > 0) {
        size_t len = element_len(list);
        mh_str element = trimmed((mh_str){list.ptr, len});
        if (element.len > 0 && mh__str_same_nocase(element, token))
            return true;
        list = mh__str_from(list, len < list.len ? len + 1 : len);
    }
    return false;
}

bool mh_headers_list(mh_headers headers, const char *name, const char *token)
{
    mh_str wanted = mh_str_from(name);
    mh_str element = mh_str_from(token);
    mh_headers_each(header, headers)
    {
        if (has_name(header, wanted) && list_has(header->value, element))
            return true;
    }
    return false;
}

/* ---- pairs ---- */

bool mh_pairs_next(mh_str *rest, mh_str *name, mh_str *value)
{
    while (rest->len > 0) {
        mh_str pair = cut(rest, '&');
        if (pair.len == 0)
            continue;
        bool has_value = memchr(pair.ptr, '=', pair.len) != NULL;
        *name = cut(&pair, '=');
        *value = has_value ? pair : (mh_str){0};
        return true;
    }
    return false;
}

/* Take one byte off the front, decoded; -1 for a broken "%". */
static int decoded_byte(mh_str *rest)
{
    const char *at = rest->ptr;
    if (at[0] != '%') {
        *rest = mh__str_from(*rest, 1);
        return at[0] == '+' ? ' ' : (unsigned char)at[0];
    }
    if (rest->len < 3 || mh__hex(at[1]) < 0 || mh__hex(at[2]) < 0)
        return -1;
    *rest = mh__str_from(*rest, 3);
    return mh__hex(at[1]) * 16 + mh__hex(at[2]);
}

/* A name that cannot be decoded is no one's. */
static bool name_is(mh_str raw, mh_str wanted)
{
    size_t at = 0;
    while (raw.len > 0) {
        int byte = decoded_byte(&raw);
        if (at == wanted.len || byte != (unsigned char)wanted.ptr[at])
            return false;
        at++;
    }
    return at == wanted.len;
}

/* Append a value, piece by piece between its "+". An empty one leaves a NUL to be found. */
static int put_decoded(mh_buf *out, mh_str raw)
{
    int err = mh_buf_reserve(out, 0);
    while (raw.len > 0 && err == 0) {
        size_t before = raw.len;
        mh_str piece = cut(&raw, '+');
        err = mh_url_decode(out, piece);
        if (err == 0 && piece.len < before - raw.len)
            err = mh_buf_append(out, " ", 1);
    }
    return err;
}

int mh_pairs_get(mh_str pairs, const char *name, mh_buf *out)
{
    mh_str wanted = mh_str_from(name);
    mh_str raw_name, raw_value;
    while (mh_pairs_next(&pairs, &raw_name, &raw_value)) {
        if (!name_is(raw_name, wanted))
            continue;
        size_t start = out->len;
        int err = put_decoded(out, raw_value);
        if (err < 0)
            mh__buf_truncate(out, start);
        return err < 0 ? err : 1;
    }
    return 0;
}

/* ---- reasons ---- */

/* The registered status codes (RFC 9110 section 15, and the registry it keeps). 306 and 418 are
 * reserved without a name. */
#define REASONS(X)                                                                                 \
    X(100, "Continue")                                                                             \
    X(101, "Switching Protocols")                                                                  \
    X(102, "Processing")                                                                           \
    X(103, "Early Hints")                                                                          \
    X(200, "OK")                                                                                   \
    X(201, "Created")                                                                              \
    X(202, "Accepted")                                                                             \
    X(203, "Non-Authoritative Information")                                                        \
    X(204, "No Content")                                                                           \
    X(205, "Reset Content")                                                                        \
    X(206, "Partial Content")                                                                      \
    X(207, "Multi-Status")                                                                         \
    X(208, "Already Reported")                                                                     \
    X(226, "IM Used")                                                                              \
    X(300, "Multiple Choices")                                                                     \
    X(301, "Moved Permanently")                                                                    \
    X(302, "Found")                                                                                \
    X(303, "See Other")                                                                            \
    X(304, "Not Modified")                                                                         \
    X(305, "Use Proxy")                                                                            \
    X(307, "Temporary Redirect")                                                                   \
    X(308, "Permanent Redirect")                                                                   \
    X(400, "Bad Request")                                                                          \
    X(401, "Unauthorized")                                                                         \
    X(402, "Payment Required")                                                                     \
    X(403, "Forbidden")                                                                            \
    X(404, "Not Found")                                                                            \
    X(405, "Method Not Allowed")                                                                   \
    X(406, "Not Acceptable")                                                                       \
    X(407, "Proxy Authentication Required")                                                        \
    X(408, "Request Timeout")                                                                      \
    X(409, "Conflict")                                                                             \
    X(410, "Gone")                                                                                 \
    X(411, "Length Required")                                                                      \
    X(412, "Precondition Failed")                                                                  \
    X(413, "Content Too Large")                                                                    \
    X(414, "URI Too Long")                                                                         \
    X(415, "Unsupported Media Type")                                                               \
    X(416, "Range Not Satisfiable")                                                                \
    X(417, "Expectation Failed")                                                                   \
    X(421, "Misdirected Request")                                                                  \
    X(422, "Unprocessable Content")                                                                \
    X(423, "Locked")                                                                               \
    X(424, "Failed Dependency")                                                                    \
    X(425, "Too Early")                                                                            \
    X(426, "Upgrade Required")                                                                     \
    X(428, "Precondition Required")                                                                \
    X(429, "Too Many Requests")                                                                    \
    X(431, "Request Header Fields Too Large")                                                      \
    X(451, "Unavailable For Legal Reasons")                                                        \
    X(500, "Internal Server Error")                                                                \
    X(501, "Not Implemented")                                                                      \
    X(502, "Bad Gateway")                                                                          \
    X(503, "Service Unavailable")                                                                  \
    X(504, "Gateway Timeout")                                                                      \
    X(505, "HTTP Version Not Supported")                                                           \
    X(506, "Variant Also Negotiates")                                                              \
    X(507, "Insufficient Storage")                                                                 \
    X(508, "Loop Detected")                                                                        \
    X(510, "Not Extended")                                                                         \
    X(511, "Network Authentication Required")

#define REASON_FIRST 100
#define REASON_LAST 511

/* One text behind the other, and where each begins: half the size of a table of pointers, and
 * nothing in it for the loader to relocate. Offset 0 is the text of those without a name. */
struct texts {
    char none[1];
#define X(status, text) char s##status[sizeof text];
    REASONS(X)
#undef X
};

static const struct texts texts = {.none = "",
#define X(status, text) .s##status = text,
                                   REASONS(X)
#undef X
};

static const uint16_t offsets[REASON_LAST - REASON_FIRST + 1] = {
#define X(status, text) [status - REASON_FIRST] = offsetof(struct texts, s##status),
    REASONS(X)
#undef X
};

_Static_assert(sizeof texts <= UINT16_MAX, "an offset into the texts fits into its table");

const char *mh_reason(int status)
{
    if (status < REASON_FIRST || status > REASON_LAST)
        return texts.none;
    return (const char *)&texts + offsets[status - REASON_FIRST];
}
