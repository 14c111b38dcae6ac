/* chars.h: which byte may stand where. */
#ifndef MH_HTTP_CHARS_H
#define MH_HTTP_CHARS_H

#include <stdbool.h>
#include <stdint.h>

enum {
    MH__TOKEN = 1,  /* tchar (RFC 9110 section 5.6.2) */
    MH__TARGET = 2, /* pchar, "/" and "?", but for "%" (RFC 9112 section 3.2.1, RFC 3986) */
    MH__VALUE = 4,  /* HTAB, SP, VCHAR, obs-text (RFC 9110 section 5.5) */
    MH__URI = 8,    /* MH__TARGET and the brackets of an IPv6 address */
    MH__QUOTED = 16 /* qdtext (RFC 9110 section 5.6.4) */
};

extern const uint8_t mh__chars[256];

static inline bool mh__is(char c, int set)
{
    return (mh__chars[(uint8_t)c] & set) != 0;
}

#endif
