/* conditional.h: is what the client has, or thinks there is, still so (RFC 9110 section 13)? Knows
 * no file and no clock. */
#ifndef MH_HTTP_CONDITIONAL_H
#define MH_HTTP_CONDITIONAL_H

#include <minihttp/message.h>

/* Of the representation that would be sent. */
struct mh__validators {
    mh_str etag;        /* with its quotes, and its "W/" where it is weak; absent: there is none */
    int64_t modified_s; /* seconds since 1970 */
};

/* Says one look at the names that there is nothing of sections 13 and 14 among these fields? */
bool mh__is_unconditional(mh_headers headers);

/* 0: go on; or 304 or 412, to be answered with, in the order of section 13.2.2. `reads`: the method
 * is GET or HEAD. now_s is for dates that have two digits for their year. */
int mh__conditional(mh_headers headers, bool reads, const struct mh__validators *validators,
                    int64_t now_s);

/* Does If-Range, where there is one, allow for a part (section 13.1.5)? Only if the validator is a
 * strong one, and exactly that of the representation. */
bool mh__if_range(mh_headers headers, const struct mh__validators *validators, int64_t now_s);

/* How many fields of that name there are; the value of the last one is in *value. */
size_t mh__field_count(mh_headers headers, const char *name, mh_str *value);

#endif
