/* get.c: the front doors. */
#include "client/client.h"

#include "base/buffer.h"

ssize_t mh_get_once(const char *url, void *buf, size_t cap)
{
    struct mh__request request;
    struct mh__wire wire;
    mh_fetch fetch = {.url = url};
    return mh__once(&fetch, mh_str_from(url), &request, &wire, buf, cap);
}

static int append(mh_response *res, const char *data, size_t len)
{
    return mh_buf_append(res->user, data, len);
}

/* 0 where there is none, and then append() says so. */
static size_t room_in(const mh_buf *body)
{
    size_t max = body->max ? body->max : MH_BUF_MAX;
    return body->len < max ? max - body->len : 0;
}

int mh_get(const char *url, mh_buf *body)
{
    size_t before = body->len;
    mh_response res = {0};
    mh_fetch fetch = {.url = url, .on_body = append, .user = body, .body_max = room_in(body)};
    int status = mh_client_fetch(NULL, &fetch, &res);
    if (status < 0)
        mh__buf_truncate(body, before);
    mh_response_free(&res);
    return status;
}
