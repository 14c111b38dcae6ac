/* basic.c: Basic credentials (RFC 7617). Does not know which field they go into, nor who asked. */
#include "client/basic.h"

#include <string.h>

#include <minihttp/url.h>

#include "base/base64.h"
#include "base/buffer.h"
#include "base/str.h"

static const char scheme[] = "Basic ";

static bool has_control(mh_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if ((unsigned char)s.ptr[i] < ' ' || s.ptr[i] == 0x7f)
            return true;
    }
    return false;
}

static size_t colon_at(mh_str s)
{
    const char *colon = s.len > 0 ? memchr(s.ptr, ':', s.len) : NULL;
    return colon ? (size_t)(colon - s.ptr) : s.len;
}

/* The bytes that are encoded: user-id ":" password. The first colon divides them, so that a name
 * with one of its own would come out as another name. */
static int decode(mh_buf *pair, mh_str userinfo)
{
    size_t colon = colon_at(userinfo);
    int err = mh_url_decode(pair, (mh_str){userinfo.ptr, colon});
    if (err < 0)
        return err;
    if (colon_at(mh_buf_str(pair)) < pair->len)
        return MH_ERR_URL;
    err = mh_buf_append(pair, ":", 1);
    if (err == 0 && colon < userinfo.len)
        err = mh_url_decode(pair, mh__str_from(userinfo, colon + 1));
    if (err == 0 && has_control(mh_buf_str(pair)))
        err = MH_ERR_URL;
    return err;
}

static int put(mh_buf *out, mh_str pair)
{
    size_t start = out->len;
    int err = mh_buf_append(out, scheme, sizeof(scheme) - 1);
    if (err < 0)
        return err;
    err = mh__base64(out, pair);
    if (err < 0)
        mh__buf_truncate(out, start);
    return err;
}

int mh__basic(mh_buf *out, mh_str userinfo)
{
    mh_buf pair = {0};
    int err = decode(&pair, userinfo);
    if (err == 0)
        err = put(out, mh_buf_str(&pair));
    mh_buf_free(&pair);
    return err;
}
