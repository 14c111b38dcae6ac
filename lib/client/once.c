/* once.c: one request, one recv(). The bytes that come are not looked at. */
#include "client/client.h"

#include <errno.h>

static ssize_t exchange(struct mh__wire *wire, const struct mh__request *request, void *buf,
                        size_t cap)
{
    int err = mh__wire_connect(wire, &request->url);
    if (err == 0)
        err = mh__wire_send(wire, request);
    if (err < 0)
        return err;
    ssize_t len = mh__wire_recv(wire, buf, cap);
    if (len != 0)
        return len;
    wire->detail = "closed before a byte of the response came";
    return MH_ERR_CLOSED;
}

ssize_t mh__once(const mh_fetch *fetch, mh_str url, struct mh__request *request,
                 struct mh__wire *wire, void *buf, size_t cap)
{
    static const struct mh__request_how plain = {0};
    int err = mh__wire_init(wire, fetch);
    if (err == 0 && fetch->on_upload) {
        wire->detail = "a body from on_upload";
        err = -EINVAL;
    }
    if (err == 0)
        err = mh__request_build(request, fetch, url, &plain, &wire->detail);
    if (err == 0 && (!buf || cap == 0)) {
        wire->detail = "no room for what comes";
        err = -EINVAL;
    }
    ssize_t len = err < 0 ? err : exchange(wire, request, buf, cap);
    mh__wire_close(wire);
    return len;
}

/* Words that lie in the request or the wire do not last. */
static ssize_t report(struct mh__transfer *x, const struct mh__request *request,
                      const struct mh__wire *wire, ssize_t len)
{
    x->phase = wire->phase;
    x->idempotent = request->idempotent;
    if (len < 0) {
        x->detail = wire->detail ? mh__words(x->words, "%s", wire->detail) : NULL;
        return mh__response_finish(x, (int)len);
    }
    x->res->received = (uint64_t)len;
    (void)mh__response_finish(x, 0);
    return len;
}

ssize_t mh_client_fetch_once(mh_client *client, const mh_fetch *fetch, void *buf, size_t cap,
                             mh_response *res)
{
    struct mh__transfer *x;
    struct mh__request request;
    struct mh__wire wire;
    int err = mh__response_begin(&x, fetch, res);
    if (err < 0)
        return err;
    if (client) {
        x->detail = "client must be NULL";
        return mh__response_finish(x, -EINVAL);
    }
    request.idempotent = false;
    return report(x, &request, &wire, mh__once(fetch, res->url, &request, &wire, buf, cap));
}
