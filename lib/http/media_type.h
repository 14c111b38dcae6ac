/* media_type.h: what a file is, by the end of its name (RFC 9110 section 8.3). */
#ifndef MH_HTTP_MEDIA_TYPE_H
#define MH_HTTP_MEDIA_TYPE_H

#include <minihttp/base.h>

/* "/a/index.html" -> "text/html; charset=utf-8"; a name without an extension, or with one that is
 * not known, is "application/octet-stream". Static text. Extensions are compared without case. */
const char *mh__media_type(mh_str name);

#endif
