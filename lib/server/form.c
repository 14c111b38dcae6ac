/* form.c: one value of what a form sends, in the query or in the body. Knows no socket. */
#include <string.h>

#include <minihttp/server.h>

#include "base/str.h"

#define FORM_TYPE "application/x-www-form-urlencoded"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Type and subtype without the parameters behind them, a charset for one; compared without case
 * (RFC 9110 section 8.3.1). */
static bool is_form(mh_str type)
{
    const char *end = type.len > 0 ? memchr(type.ptr, ';', type.len) : NULL;
    if (end)
        type.len = (size_t)(end - type.ptr);
    while (type.len > 0 && is_blank(type.ptr[type.len - 1]))
        type.len--;
    return mh_str_equal_nocase(type, FORM_TYPE);
}

int mh_request_query(const mh_request *req, const char *name, mh_buf *out)
{
    return mh_pairs_get(req->query, name, out);
}

int mh_request_form(const mh_request *req, const char *name, mh_buf *out)
{
    if (!is_form(mh_headers_get(req->headers, "Content-Type")))
        return 0;
    return mh_pairs_get(req->body, name, out);
}
