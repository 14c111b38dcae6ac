/* redirect.c: where a redirect leads, and what becomes of the request (RFC 9110 section 15.4). Does
 * not know how many there were already, nor whether they are wanted. */
#include "client/redirect.h"

#include "base/buffer.h"
#include "base/str.h"

bool mh__redirect_is(int status)
{
    switch (status) {
    case 301:
    case 302:
    case 303:
    case 307:
    case 308:
        return true;
    default:
        return false;
    }
}

/* RFC 9110 sections 15.4.2 to 15.4.4. Methods have a case (section 9.1). */
bool mh__redirect_to_get(int status, mh_str method)
{
    if (status == 303)
        return !mh_str_equal(method, "GET") && !mh_str_equal(method, "HEAD");
    return (status == 301 || status == 302) && mh_str_equal(method, "POST");
}

/* RFC 9110 section 15.4, 9530 section 2 and 3, and what frames a body. */
bool mh__redirect_drops(mh_str field_name)
{
    static const char names[][18] = {
        "Content-Digest", "Content-Encoding", "Content-Language", "Content-Length",
        "Content-Type",   "Content-Location", "Digest",           "Expect",
        "Last-Modified",  "Repr-Digest",      "Trailer",          "Transfer-Encoding",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (mh_str_equal_nocase(field_name, names[i]))
            return true;
    }
    return false;
}

bool mh__same_origin(const mh_url *a, const mh_url *b)
{
    return a->port == b->port && mh__str_same_nocase(a->scheme, b->scheme) &&
           mh__str_same_nocase(a->host, b->host);
}

static int refuse(int err, const char **why)
{
    if (err == MH_ERR_URL)
        *why = "the Location of the redirect is malformed";
    else if (err == MH_ERR_SCHEME)
        *why = "the redirect leads to neither http nor https";
    else if (err == MH_ERR_TOO_LARGE)
        *why = "the redirect leads to a URL that is too long";
    return err;
}

int mh__redirect_target(mh_buf *out, const mh_url *from, mh_str location, const char **why)
{
    mh_url url;
    size_t start = out->len;
    int err = mh_url_resolve(out, from, location);
    if (err < 0)
        return refuse(err, why);
    err = mh_url_parse(&url, mh__str_from(mh_buf_str(out), start));
    if (err < 0)
        mh__buf_truncate(out, start);
    else if (url.fragment.ptr)
        mh__buf_truncate(out, (size_t)(url.fragment.ptr - out->data) - 1);
    return refuse(err, why);
}
