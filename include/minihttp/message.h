/* message.h: what requests and responses have in common.
 *
 * Every function here may be called from any thread; nothing here allocates, but for what is
 * appended to an mh_buf. */
#ifndef MINIHTTP_MESSAGE_H
#define MINIHTTP_MESSAGE_H

#include <minihttp/buffer.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MH_HEADERS_MAX 128 /* fields in one head or trailer; above it MH_ERR_TOO_LARGE */

/* One field line (RFC 9110 section 5). */
typedef struct mh_header {
    mh_str name;  /* as sent; compare without case */
    mh_str value; /* no white space at either end; may be empty */
} mh_header;

typedef struct mh_headers {
    const mh_header *at;
    size_t count;
} mh_headers;

/* The first value of that name, compared without case; .ptr is NULL when there is none. */
MH_API mh_str mh_headers_get(mh_headers headers, const char *name);

/* Is `token` an element of the comma-separated list that all fields of that name make together
 * (RFC 9110 section 5.6.1)? Compared without case; a comma inside a quoted string does not count.
 * mh_headers_list(h, "Connection", "close") */
MH_API bool mh_headers_list(mh_headers headers, const char *name, const char *token);

#define mh_headers_each(header, headers)                                                           \
    for (const mh_header *header = (headers).at;                                                   \
         header && header < (headers).at + (headers).count; header++)

/* Walk through "a=1&b=2", of a query or of a urlencoded body: takes one pair off the front of
 * *rest. false: there are no more. Raw slices of *rest; value is absent when the pair has no "=".
 * Empty pairs are passed over. */
MH_API bool mh_pairs_next(mh_str *rest, mh_str *name, mh_str *value);

/* Append the first value of that name, decoded ("+" is a space, %XX a byte). Names are decoded
 * before they are compared. Returns 1: found, and out->data is not NULL, also when the value is
 * empty or absent; 0: there is none; or MH_ERR_URL for a broken "%" in that value, -ENOMEM,
 * MH_ERR_TOO_LARGE. *out is as it was unless 1 is returned. */
MH_API MH_CHECK int mh_pairs_get(mh_str pairs, const char *name, mh_buf *out);

/* 404 -> "Not Found" (RFC 9110 section 15). Static text; "" for a status without a name. */
MH_API const char *mh_reason(int status);

#define MH_DATE_LEN 29 /* "Sun, 06 Nov 1994 08:49:37 GMT" */

/* Seconds since 1970 as an HTTP date (RFC 9110 section 5.6.7), NUL-terminated. Returns MH_DATE_LEN,
 * or -ERANGE outside the years 0 to 9999 (and then nothing is written). */
MH_API int mh_date_format(char out[MH_DATE_LEN + 1], int64_t unix_s);

/* The other way, all three forms of RFC 9110 section 5.6.7. `now_s` (seconds since 1970) decides
 * the century of the form that has two digits for the year. Returns 0, or -EINVAL for anything else
 * than exactly one valid date, and then *unix_s is as it was. */
MH_API MH_CHECK int mh_date_parse(int64_t *unix_s, mh_str text, int64_t now_s);

#ifdef __cplusplus
}
#endif
#endif
