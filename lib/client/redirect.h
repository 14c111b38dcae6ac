/* redirect.h: where a redirect leads, and what becomes of the request (RFC 9110 section 15.4). */
#ifndef MH_CLIENT_REDIRECT_H
#define MH_CLIENT_REDIRECT_H

#include <minihttp/url.h>

/* Is it one that can be followed: 301, 302, 303, 307, 308? */
bool mh__redirect_is(int status);

/* Does the next request become a GET without a body? Of 303 all but GET and HEAD; of 301 and 302
 * only POST; of 307 and 308 nothing does. */
bool mh__redirect_to_get(int status, mh_str method);

/* Is it a field that says something about a body, and goes when the body does? */
bool mh__redirect_drops(mh_str field_name);

/* Do they have scheme, host and port in common (RFC 9110 section 4.3.1)? */
bool mh__same_origin(const mh_url *a, const mh_url *b);

/* Append the URL that a Location means when it comes from `from`, without its fragment. MH_ERR_URL,
 * MH_ERR_SCHEME: neither http nor https, and *why (not NULL) gets static text for both; -ENOMEM,
 * MH_ERR_TOO_LARGE. *out is as it was after an error. Neither text may lie in *out. */
MH_CHECK int mh__redirect_target(mh_buf *out, const mh_url *from, mh_str location,
                                 const char **why);

#endif
