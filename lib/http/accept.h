/* accept.h: which of several codings of the same thing does the client like best (RFC 9110 section
 * 12.5.3)? */
#ifndef MH_HTTP_ACCEPT_H
#define MH_HTTP_ACCEPT_H

#include <minihttp/message.h>

/* What Accept-Encoding says of a coding, from 0 (not at all) to 1000. "*" is for those that are not
 * named. Without the field, and of what it does not name, it is 0; of "identity" it is 1 then, the
 * last resort. An element that is wrong counts for nothing. */
int mh__accept_quality(mh_headers headers, const char *coding);

#endif
