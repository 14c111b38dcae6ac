/* secrets.h: which fields hold credentials. */
#ifndef MH_CLIENT_SECRETS_H
#define MH_CLIENT_SECRETS_H

#include <minihttp/buffer.h>

/* `more`: names of further fields, NULL at the end; may be NULL. */

/* May another origin than the first one not see the field of a request (RFC 9110 section 15.4)?
 * Authorization, Proxy-Authorization, Cookie, and more, in any case. */
bool mh__secrets_names(mh_str name, const char *const *more);

/* Append a copy of a head, or of any lines of one, where each byte of a value of those fields and
 * of Set-Cookie is a '*', those of folded lines too (RFC 9112 section 5.2). The scheme of an
 * Authorization with something behind it stays, and so does the length of it all. White space
 * before a colon, a line that ends with LF alone, and one that does not end show no more. -ENOMEM,
 * MH_ERR_TOO_LARGE: *out is as it was. */
MH_CHECK int mh__secrets_blank(mh_buf *out, mh_str head, const char *const *more);

#endif
