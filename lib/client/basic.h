/* basic.h: a user's name and password, as they stand in a URL, for a field. */
#ifndef MH_CLIENT_BASIC_H
#define MH_CLIENT_BASIC_H

#include <minihttp/buffer.h>

/* Append "Basic dXNlcjpwYXNz" (RFC 7617) for the userinfo of a URL, "user:pass" or "user" (whose
 * password is empty), percent-decoded. MH_ERR_URL: a broken "%", or, decoded, a colon in the name
 * or a control byte anywhere, which cannot be sent so (RFC 7617 section 2); -ENOMEM,
 * MH_ERR_TOO_LARGE. *out is as it was after an error. */
MH_CHECK int mh__basic(mh_buf *out, mh_str userinfo);

#endif
