/* names.h: the field names that the engine itself looks at. */
#ifndef MH_HTTP_NAMES_H
#define MH_HTTP_NAMES_H

#include <string.h>

#include "http/h1.h"
#include "http/scan.h"

static inline uint64_t mh__word(const char *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof w);
    return w;
}

static inline uint32_t mh__half_word(const char *p)
{
    uint32_t w;
    memcpy(&w, p, sizeof w);
    return w;
}

/* Without regard to case. Only for tokens, where 0x20 makes no letter or "-" of anything else. */
MH__INLINE bool mh__same8(const char *p, const char *lower)
{
    return (mh__word(p) | 0x2020202020202020u) == mh__word(lower);
}

MH__INLINE bool mh__same4(const char *p, const char *lower)
{
    return (mh__half_word(p) | 0x20202020u) == mh__half_word(lower);
}

/* Length and first letter tell nearly every other name apart from these. What is compared twice,
 * where the words overlap, costs nothing. */
MH__INLINE enum mh__kind mh__kind_of(mh_str name)
{
    enum { H4 = 4 << 8 | 'h', E6 = 6 << 8 | 'e', U7 = 7 << 8 | 'u', C10 = 10 << 8 | 'c' };
    enum { C14 = 14 << 8 | 'c', T17 = 17 << 8 | 't' };
    const char *p = name.ptr;
    bool same;
    if (name.len < 4 || name.len > 17)
        return MH__KINDS;
    switch (name.len << 8 | (uint8_t)(p[0] | 0x20)) {
    case H4:
        return mh__same4(p, "host") ? MH__HOST : MH__KINDS;
    case E6:
        same = mh__same4(p, "expe") && mh__same4(p + 2, "pect");
        return same ? MH__EXPECT : MH__KINDS;
    case U7:
        same = mh__same4(p, "upgr") && mh__same4(p + 3, "rade");
        return same ? MH__UPGRADE_FIELD : MH__KINDS;
    case C10:
        same = mh__same8(p, "connecti") && mh__same4(p + 6, "tion");
        return same ? MH__CONNECTION : MH__KINDS;
    case C14:
        same = mh__same8(p, "content-") && mh__same8(p + 6, "t-length");
        return same ? MH__CONTENT_LENGTH : MH__KINDS;
    case T17:
        same = mh__same8(p, "transfer") && mh__same8(p + 8, "-encodin") && (p[16] | 0x20) == 'g';
        return same ? MH__TRANSFER_ENCODING : MH__KINDS;
    default:
        return MH__KINDS;
    }
}

MH__INLINE void mh__note(struct mh__seen *seen, mh_str name, size_t index)
{
    enum mh__kind kind = mh__kind_of(name);
    if (kind != MH__KINDS && seen->count[kind]++ == 0)
        seen->first[kind] = (uint8_t)index;
}

/* OWS is no part of a value (RFC 9112 section 5.1). */
MH__INLINE bool mh__is_blank(char c)
{
    return c == ' ' || c == '\t';
}

MH__INLINE mh_str mh__trimmed(const char *p, const char *end)
{
    while (p < end && mh__is_blank(*p))
        p++;
    while (p < end && mh__is_blank(end[-1]))
        end--;
    return (mh_str){p, (size_t)(end - p)};
}

#endif
