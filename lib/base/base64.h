/* base64.h: bytes as text of A-Z a-z 0-9 + / and =. */
#ifndef MH_BASE_BASE64_H
#define MH_BASE_BASE64_H

#include <minihttp/buffer.h>

/* Append `bytes`, which must not lie in *out, in the standard alphabet with padding (RFC 4648
 * section 4), on one line. -ENOMEM, MH_ERR_TOO_LARGE; *out is as it was then. */
MH_CHECK int mh__base64(mh_buf *out, mh_str bytes);

#endif
