/* response.c: owns what a response holds, and the account of how a fetch went. */
#include "client/client.h"

#include <errno.h>

#include "base/buffer.h"
#include "base/mem.h"

const char *mh_phase_name(mh_phase phase)
{
    switch (phase) {
    case MH_PHASE_START:
        return "start";
    case MH_PHASE_RESOLVE:
        return "resolve";
    case MH_PHASE_CONNECT:
        return "connect";
    case MH_PHASE_TLS:
        return "TLS";
    case MH_PHASE_SEND:
        return "send request";
    case MH_PHASE_HEAD:
        return "receive head";
    case MH_PHASE_BODY:
        return "receive body";
    case MH_PHASE_DONE:
        return "done";
    }
    return "unknown";
}

/* What the last fetch left is gone, but for the memory. */
static void reset(mh_response *res, const mh_fetch *fetch)
{
    mh_buf_clear(&res->body);
    *res = (mh_response){.body = res->body,
                         .received_total = MH_LENGTH_UNKNOWN,
                         .user = fetch->user,
                         .private_ = res->private_};
}

/* Of the two that apply, the smaller one. */
static uint64_t ceiling_of(const mh_response *res, const mh_fetch *fetch)
{
    uint64_t buffer = res->body.max > 0 ? res->body.max : MH_BUF_MAX;
    if (fetch->on_body)
        buffer = UINT64_MAX;
    return fetch->body_max > 0 && fetch->body_max < buffer ? fetch->body_max : buffer;
}

static int check_options(struct mh__wire *wire, const mh_client *client, const mh_fetch *fetch)
{
    wire->detail = "client must be NULL, and reserved zero";
    if (client)
        return -EINVAL;
    for (size_t i = 0; i < sizeof(fetch->reserved) / sizeof(fetch->reserved[0]); i++) {
        if (fetch->reserved[i] != 0)
            return -EINVAL;
    }
    wire->detail = NULL;
    return 0;
}

/* Everything in a response outlives the fetch, and the URL is the caller's. */
static int copy_url(struct mh__transfer *x, mh_response *res, mh_str url)
{
    mh_buf_clear(&x->url);
    x->url.max = MH_FETCH_REQUEST_HEAD_MAX;
    int err = mh_buf_append(&x->url, url.ptr, url.len);
    if (err == 0 && url.ptr)
        res->url = mh_buf_str(&x->url);
    if (err == MH_ERR_TOO_LARGE)
        x->wire.detail = "the URL alone is larger than the head of a request may be";
    return err;
}

static int begin(struct mh__transfer *x, const mh_client *client, const mh_fetch *fetch,
                 mh_response *res)
{
    x->ceiling = ceiling_of(res, fetch);
    int err = mh__wire_init(&x->wire, fetch);
    if (err == 0)
        err = check_options(&x->wire, client, fetch);
    return err < 0 ? err : copy_url(x, res, mh_str_from(fetch->url));
}

/* Not zeroed: most of it is room that no fetch may ever touch. */
static struct mh__transfer *exchange_of(mh_response *res)
{
    struct mh__transfer *x = res->private_;
    if (x)
        return x;
    res->private_ = x = mh__malloc(sizeof(*x));
    if (!x)
        return NULL;
    x->url = (mh_buf){0};
    x->input = NULL;
    return x;
}

int mh__response_begin(struct mh__transfer **x, const mh_client *client, const mh_fetch *fetch,
                       mh_response *res)
{
    if (!fetch || !res)
        return -EINVAL;
    reset(res, fetch);
    *x = exchange_of(res);
    if (!*x) {
        res->retryable = true;
        return res->error = -ENOMEM;
    }
    int err = begin(*x, client, fetch, res);
    return err < 0 ? mh__response_finish(res, err) : 0;
}

int mh__response_finish(mh_response *res, int err)
{
    struct mh__transfer *x = res->private_;
    mh__wire_close(&x->wire);
    res->error = err;
    res->detail = err < 0 ? x->wire.detail : NULL;
    res->retryable = x->wire.phase < MH_PHASE_SEND || x->request.idempotent;
    res->phase = err < 0 ? x->wire.phase : MH_PHASE_DONE;
    return err;
}

void mh_response_free(mh_response *res)
{
    struct mh__transfer *x = res->private_;
    if (x) {
        mh_buf_free(&x->url);
        mh__free(x->input);
    }
    mh__free(x);
    mh_buf_free(&res->body);
    *res = (mh_response){.body = res->body};
}
