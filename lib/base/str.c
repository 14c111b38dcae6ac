/* str.c: comparing runs of bytes. Knows no locale. */
#include "base/str.h"

#include <string.h>

#include <minihttp/base.h>

mh_str mh_str_from(const char *text)
{
    return (mh_str){text, text ? strlen(text) : 0};
}

bool mh_str_equal(mh_str a, const char *b)
{
    if (!a.ptr || !b)
        return !a.ptr && !b;
    return mh__str_same(a, mh_str_from(b));
}

bool mh_str_equal_nocase(mh_str a, const char *b)
{
    if (!a.ptr || !b)
        return !a.ptr && !b;
    return mh__str_same_nocase(a, mh_str_from(b));
}

bool mh__str_same(mh_str a, mh_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool mh__str_same_nocase(mh_str a, mh_str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (a.ptr[i] != b.ptr[i] && mh__lower(a.ptr[i]) != mh__lower(b.ptr[i]))
            return false;
    }
    return true;
}
