/* base64.c: three bytes become four characters. Knows nothing of lines, or of the way back. */
#include "base/base64.h"

#include "base/buffer.h"
#include "base/str.h"

/* Up to three bytes from the front of what is left; those that are missing are zero bits, and what
 * stands for nothing but them is padding. */
static void put_group(mh_buf *out, mh_str rest)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = 0;
    char group[4];
    for (size_t i = 0; i < 3; i++)
        bits = bits << 8 | (i < rest.len ? (uint8_t)rest.ptr[i] : 0u);
    for (size_t i = 0; i < 4; i++)
        group[i] = i <= rest.len ? alphabet[bits >> (18 - 6 * i) & 63] : '=';
    mh__buf_put(out, group, sizeof(group));
}

int mh__base64(mh_buf *out, mh_str bytes)
{
    /* No overflow: an object has at most PTRDIFF_MAX bytes, a half of what a size_t counts. */
    size_t groups = bytes.len / 3 + (bytes.len % 3 != 0);
    int err = mh_buf_reserve(out, groups * 4);
    if (err < 0)
        return err;
    for (size_t at = 0; at < bytes.len; at += 3)
        put_group(out, mh__str_from(bytes, at));
    return 0;
}
