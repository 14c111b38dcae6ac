/* listing.h: a directory as a page that a person reads. Knows no request. */
#ifndef MH_SERVER_LISTING_H
#define MH_SERVER_LISTING_H

#include <minihttp/buffer.h>

#define MH__LISTING_ENTRIES_MAX 2000       /* are shown; each is looked at, while others wait */
#define MH__LISTING_NAMES_MAX (512u << 10) /* bytes of their names */
#define MH__LISTING_PAGE_MAX (4u << 20)    /* bytes of the page */

#define MH__LISTING_TYPE "text/html; charset=utf-8"

/* All that the page may do (Content-Security-Policy): be read, in its own style. */
#define MH__LISTING_POLICY                                                                         \
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "              \
    "form-action 'none'; frame-ancestors 'self'"

/* Append the page of a directory, which is "root/name". `path` is how it was asked for, decoded,
 * and ends in '/'; `top` bytes of it lead to the root: nothing above it is shown. Hidden files are
 * left out. -ENOMEM, MH_ERR_TOO_LARGE, or what opening and reading fail with. */
MH_CHECK int mh__listing(mh_buf *page, const char *root, const char *name, mh_str path, size_t top);

#endif
