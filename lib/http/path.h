/* path.h: the path of a URL, as the one who looks something up by it wants it. */
#ifndef MH_HTTP_PATH_H
#define MH_HTTP_PATH_H

#include <minihttp/buffer.h>

/* Append a request's path as handlers get it: percent-decoded, then without "." and ".." segments,
 * however they were written. It begins with '/', contains no NUL and never climbs above the root. A
 * raw path that does not begin with '/' (that of "http://host?query" is empty) means "/".
 *
 * Returns 0; MH_ERR_URL for a broken "%" or a NUL; -ENOMEM; MH_ERR_TOO_LARGE. After an error *out
 * is as it was. `raw` must not lie in *out. */
MH_CHECK int mh__path_decode(mh_buf *out, mh_str raw);

/* Take the dot segments out of a path where it lies (RFC 3986 section 5.2.4). Returns its new
 * length; it never grows. */
size_t mh__path_remove_dots(char *path, size_t len);

#endif
