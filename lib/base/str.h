/* str.h: byte strings, for the library itself. */
#ifndef MH_BASE_STR_H
#define MH_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>

#include <minihttp/base.h>

static inline char mh__lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static inline bool mh__is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The value of a hexadecimal digit, or -1. */
static inline int mh__hex(char c)
{
    if (mh__is_digit(c))
        return c - '0';
    char l = mh__lower(c);
    return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

/* The bytes of s from `from` on. Of one that is absent there are none, which C does not let one say
 * with an addition of 0. */
static inline mh_str mh__str_from(mh_str s, size_t from)
{
    return (mh_str){from > 0 ? s.ptr + from : s.ptr, s.len - from};
}

bool mh__str_same(mh_str a, mh_str b); /* NULL or not makes no difference to an empty one */
bool mh__str_same_nocase(mh_str a, mh_str b);

#endif
