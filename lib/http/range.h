/* range.h: which bytes of a representation are asked for (RFC 9110 section 14). Knows no file. */
#ifndef MH_HTTP_RANGE_H
#define MH_HTTP_RANGE_H

#include <minihttp/message.h>

#include "http/conditional.h"

#define MH__RANGES_MAX 32    /* in one field; a reader of PDF files asks for some ten at a time */
#define MH__RANGE_GAP_MAX 80 /* bytes between two ranges; a part of its own costs about as many */

struct mh__range {
    uint64_t first, len; /* len > 0 */
};

struct mh__ranges {
    size_t count;
    struct mh__range at[MH__RANGES_MAX];
};

/* What a GET with these fields is answered with, where the representation has `length` bytes: 206,
 * and then *ranges says with which; 416: with none of it; 200: with all of it, because there is no
 * Range, or one that is not understood, or too long a list, or If-Range says so (section 13.1.5).
 * Ranges that overlap, or almost touch, are one; the others are in the order asked for. */
int mh__ranges_select(struct mh__ranges *ranges, mh_headers headers, uint64_t length,
                      const struct mh__validators *validators, int64_t now_s);

/* The same of the value of one Range field. */
int mh__ranges_parse(struct mh__ranges *ranges, mh_str value, uint64_t length);

#endif
