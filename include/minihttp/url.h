/* url.h: take a URL apart without copying it (RFC 3986; RFC 9110 section 4.2).
 *
 * Every function here may be called from any thread. */
#ifndef MINIHTTP_URL_H
#define MINIHTTP_URL_H

#include <minihttp/buffer.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Slices of the text that was parsed; they live as long as that text. What is not there has a NULL
 * ptr. */
typedef struct mh_url {
    mh_str scheme;   /* "http", as written: compare without case */
    mh_str userinfo; /* "user:password", still encoded; absent unless given */
    mh_str host;     /* "example.com", "::1" (given in brackets); never empty */
    mh_str target;   /* "/path?query", what a request line carries; "?query" or empty when the path
                        is empty, and then a "/" goes in front */
    mh_str path;     /* "/path"; empty, but not absent, when nothing follows the authority */
    mh_str query;    /* "query"; absent when there is no '?' */
    mh_str fragment; /* never sent; absent when there is no '#' */
    uint16_t port;   /* given, or the scheme's default: 80, 443 */
} mh_url;

/* Take an absolute http or https URL apart. Only the characters of RFC 3986 are allowed: a space, a
 * control byte, a byte above 0x7e or a broken "%" is an error, never repaired. Returns 0;
 * MH_ERR_URL; MH_ERR_SCHEME for an absolute URL with another scheme. *url is as it was after an
 * error. */
MH_API MH_CHECK int mh_url_parse(mh_url *url, mh_str text);

/* Append the absolute URL that `reference` means when it is met at `base` (RFC 3986 section 5.2,
 * the strict algorithm, dot segments removed). Returns 0; MH_ERR_URL; -ENOMEM; MH_ERR_TOO_LARGE.
 * After an error *out is as it was. The result may have any scheme. `base` is as mh_url_parse()
 * made it, its text still there; neither text may lie in *out. */
MH_API MH_CHECK int mh_url_resolve(mh_buf *out, const mh_url *base, mh_str reference);

/* Append `text`, which must not lie in *out, with each %XX turned into its byte; "+" stays.
 * MH_ERR_URL for a "%" without two hexadecimal digits. NUL bytes may come out. */
MH_API MH_CHECK int mh_url_decode(mh_buf *out, mh_str text);

/* Append `text` with all but the unreserved characters (A-Z a-z 0-9 - . _ ~) turned into %XX. */
MH_API MH_CHECK int mh_url_encode(mh_buf *out, mh_str text);

#ifdef __cplusplus
}
#endif
#endif
