/* reply.c: the reply verbs. They put the reply into the exchange, as data, in whatever thread; what
 * becomes of it on the wire is up to session.c. */
#include "server/worker.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/mem.h"
#include "base/str.h"
#include "http/h1.h"

#define TEXT_TYPE "text/plain; charset=utf-8"

/* ---- what may be replied ---- */

/* No content comes with 204 and 304 (RFC 9110 section 6.4.1), and none may come with 205 (section
 * 15.3.6), which says so with a length of 0. */
static bool has_content(int status)
{
    return status != 204 && status != 304 && status != 205;
}

static bool is_final_status(int status)
{
    return status >= 200 && status <= 599;
}

/* After a 2xx to a CONNECT the bytes are no longer HTTP (RFC 9110 section 9.3.6), and nobody here
 * could carry them. */
static bool opens_tunnel(const struct mh__exchange *ex, int status)
{
    return status < 300 && mh_str_equal(ex->request.method, "CONNECT");
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* RFC 9110 section 5.5: no control bytes, and no white space at either end. */
static bool is_value(mh_str value)
{
    return value.len == 0 ||
           (!is_blank(value.ptr[0]) && !is_blank(value.ptr[value.len - 1]) && mh__is_text(value));
}

/* ---- lines ---- */

/* The text is there, or it is as it was. */
static int put_line(mh_buf *lines, mh_str name, mh_str value)
{
    int err = mh_buf_reserve(lines, name.len + value.len + sizeof(": \r\n"));
    if (err < 0)
        return err;
    mh__buf_put(lines, name.ptr, name.len);
    mh__buf_put(lines, ": ", 2);
    mh__buf_put(lines, value.ptr, value.len);
    mh__buf_put(lines, "\r\n", 2);
    return 0;
}

static int put_type(struct mh__reply *reply, const char *type)
{
    if (!type)
        return 0;
    mh_str value = mh_str_from(type);
    if (reply->has_type || !is_value(value))
        return -EINVAL;
    return put_line(&reply->lines, MH_STR("Content-Type"), value);
}

/* ---- the reply is there ---- */

/* The peer has left, and the worker let go of the exchange: it ends here. */
MH__COLD static int end_here(struct mh__exchange *ex)
{
    if (ex->request.on_end)
        ex->request.on_end(&ex->request);
    mh__exchange_free(ex);
    return MH_ERR_CLOSED;
}

static int post(struct mh__exchange *ex, int status)
{
    struct mh__inbox *inbox = ex->inbox;
    pthread_mutex_lock(&inbox->lock);
    bool gone = atomic_load(&ex->gone);
    ex->told = true;
    if (!gone)
        mh__inbox_post(ex);
    pthread_mutex_unlock(&inbox->lock);
    return gone ? end_here(ex) : status;
}

static int publish(struct mh__exchange *ex, int status)
{
    ex->reply.status = status;
    return atomic_exchange(&ex->stage, MH__REPLIED) == MH__OWED ? post(ex, status) : status;
}

/* Begin a reply: its type, after all checks. What it says is not final before publish(). */
static int begin(struct mh__exchange *ex, int status, const char *type, uint64_t length)
{
    if (ex->reply.status || !is_final_status(status) || opens_tunnel(ex, status))
        return -EINVAL;
    if (length > 0 && !has_content(status))
        return -EINVAL;
    return put_type(&ex->reply, type);
}

static int reply_bytes(struct mh__exchange *ex, int status, const char *type, mh_str bytes)
{
    if (bytes.len > 0 && !bytes.ptr)
        return -EINVAL;
    int err = begin(ex, status, type, bytes.len);
    if (err < 0)
        return err;
    ex->reply.source = MH__SOURCE_BYTES;
    ex->reply.bytes = bytes;
    ex->reply.length = bytes.len;
    return 0;
}

static int reply_copy(struct mh__exchange *ex, int status, const char *type, mh_str bytes)
{
    struct mh__reply *reply = &ex->reply;
    size_t before = reply->lines.len;
    int err = reply_bytes(ex, status, type, bytes);
    if (err < 0)
        return err;
    mh_buf_clear(&reply->copy);
    err = mh_buf_append(&reply->copy, bytes.ptr, bytes.len);
    reply->bytes = mh_buf_str(&reply->copy);
    if (err < 0)
        mh__buf_truncate(&reply->lines, before);
    return err;
}

/* ---- the verbs ---- */

int mh_reply_copy(mh_request *req, int status, const char *type, const void *data, size_t len)
{
    struct mh__exchange *ex = mh__exchange_of(req);
    int err = reply_copy(ex, status, type, (mh_str){data, len});
    return err < 0 ? err : publish(ex, status);
}

int mh_reply_text(mh_request *req, int status, const char *text)
{
    if (!text)
        return -EINVAL;
    return mh_reply_copy(req, status, TEXT_TYPE, text, strlen(text));
}

int mh_reply_borrow(mh_request *req, int status, const char *type, const void *data, size_t len)
{
    struct mh__exchange *ex = mh__exchange_of(req);
    int err = reply_bytes(ex, status, type, (mh_str){data, len});
    return err < 0 ? err : publish(ex, status);
}

int mh_reply_take(mh_request *req, int status, const char *type, mh_buf *body)
{
    struct mh__exchange *ex = mh__exchange_of(req);
    int err = reply_bytes(ex, status, type, mh_buf_str(body));
    if (err < 0)
        return err;
    ex->reply.taken = *body;
    *body = (mh_buf){0};
    return publish(ex, status);
}

MH__COLD int mh_reply_printf(mh_request *req, int status, const char *type, const char *fmt, ...)
{
    mh_buf text = {0};
    va_list args;
    va_start(args, fmt);
    int result = mh__buf_vprintf(&text, fmt, args);
    va_end(args);
    if (result == 0)
        result = mh_reply_take(req, status, type, &text);
    mh_buf_free(&text);
    return result;
}

/* ---- bodies that belong to somebody ---- */

MH__COLD static int release_after(int err, void (*release)(void *owner), void *owner)
{
    if (release)
        release(owner);
    return err;
}

static void own(struct mh__reply *reply, void (*release)(void *owner), void *owner)
{
    reply->release = release;
    reply->owner = owner;
}

int mh__reply_borrow(mh_request *req, int status, const char *type, mh_str bytes,
                     void (*release)(void *owner), void *owner)
{
    struct mh__exchange *ex = mh__exchange_of(req);
    int err = reply_bytes(ex, status, type, bytes);
    if (err < 0)
        return release_after(err, release, owner);
    own(&ex->reply, release, owner);
    return publish(ex, status);
}

int mh__reply_file(mh_request *req, int status, const char *type, int file, uint64_t offset,
                   uint64_t len, void (*release)(void *owner), void *owner)
{
    struct mh__exchange *ex = mh__exchange_of(req);
    bool fits = file >= 0 && offset <= INT64_MAX && len <= INT64_MAX - offset;
    int err = fits ? begin(ex, status, type, len) : -EINVAL;
    if (err < 0)
        return release_after(err, release, owner);
    ex->reply.source = MH__SOURCE_FILE;
    ex->reply.file = file;
    ex->reply.file_offset = offset;
    ex->reply.length = len;
    own(&ex->reply, release, owner);
    return publish(ex, status);
}

static void close_file(void *owner)
{
    (void)close((int)(intptr_t)owner);
}

MH__COLD int mh_reply_file(mh_request *req, int status, const char *type, int fd, uint64_t offset,
                           uint64_t len)
{
    void (*release)(void *) = fd >= 0 ? close_file : NULL;
    return mh__reply_file(req, status, type, fd, offset, len, release, (void *)(intptr_t)fd);
}

MH__COLD int mh__reply_stream(mh_request *req, int status, const char *type, uint64_t length,
                              mh_producer *produce, void (*release)(void *owner), void *owner)
{
    struct mh__exchange *ex = mh__exchange_of(req);
    int err = produce ? begin(ex, status, type, length) : -EINVAL;
    if (err < 0)
        return release_after(err, release, owner);
    ex->reply.source = MH__SOURCE_PRODUCER;
    ex->reply.produce = produce;
    ex->reply.length = length;
    own(&ex->reply, release, owner);
    return publish(ex, status);
}

MH__COLD int mh_reply_stream(mh_request *req, int status, const char *type, uint64_t length,
                             mh_producer *produce)
{
    return mh__reply_stream(req, status, type, length, produce, NULL, NULL);
}

/* ---- fields ---- */

static bool is_ours(mh_str name)
{
    return mh_str_equal_nocase(name, "Content-Length") ||
           mh_str_equal_nocase(name, "Transfer-Encoding") ||
           mh_str_equal_nocase(name, "Connection");
}

/* A second one would contradict the first: where that is remembered. */
static bool *single(struct mh__reply *reply, mh_str name)
{
    if (mh_str_equal_nocase(name, "Date"))
        return &reply->has_date;
    return mh_str_equal_nocase(name, "Content-Type") ? &reply->has_type : NULL;
}

int mh_reply_header(mh_request *req, const char *name, const char *value)
{
    struct mh__reply *reply = &mh__exchange_of(req)->reply;
    mh_str n = mh_str_from(name), v = mh_str_from(value);
    if (reply->status || reply->line_count == MH__REPLY_FIELDS_MAX || !n.ptr || !v.ptr)
        return -EINVAL;
    if (!mh__is_token(n) || !is_value(v) || is_ours(n))
        return -EINVAL;
    bool *there = single(reply, n);
    if (there && *there)
        return -EINVAL;
    if (reply->lines.len + n.len + v.len + strlen(": \r\n") > MH__REPLY_FIELDS_BYTES)
        return MH_ERR_TOO_LARGE;
    int err = put_line(&reply->lines, n, v);
    if (err < 0)
        return err;
    if (there)
        *there = true;
    reply->line_count++;
    return 0;
}

/* RFC 9110 section 6.5.1: nothing that frames or routes. */
MH__COLD static bool may_trail(mh_str name)
{
    return mh__is_token(name) && mh__field_kind(name) == MH__KINDS &&
           !mh_str_equal_nocase(name, "Content-Type");
}

MH__COLD int mh_reply_trailer(mh_request *req, const char *name, const char *value)
{
    struct mh__reply *reply = &mh__exchange_of(req)->reply;
    mh_str n = mh_str_from(name), v = mh_str_from(value);
    if (reply->trailer_count == MH_HEADERS_MAX || !n.ptr || !v.ptr || !may_trail(n) || !is_value(v))
        return -EINVAL;
    if (reply->trailers.len + n.len + v.len + strlen(": \r\n") > MH__REPLY_FIELDS_BYTES)
        return MH_ERR_TOO_LARGE;
    int err = put_line(&reply->trailers, n, v);
    if (err == 0)
        reply->trailer_count++;
    return err;
}

/* ---- for the library ---- */

void mh__reply_clear(struct mh__reply *reply)
{
    if (reply->release)
        reply->release(reply->owner);
    reply->release = NULL;
    reply->owner = NULL;
    mh_buf_free(&reply->taken);
    mh_buf_clear(&reply->lines);
    mh_buf_clear(&reply->trailers);
    reply->line_count = reply->trailer_count = 0;
    reply->has_date = reply->has_type = false;
    reply->bytes = (mh_str){0};
    reply->status = 0;
}

MH__COLD int mh__reply_page(struct mh__exchange *ex, int status, mh_str why)
{
    if (!has_content(status))
        return mh_reply_copy(&ex->request, status, NULL, NULL, 0);
    mh_buf page = {0};
    int err = mh_buf_printf(&page, "%d %s\n", status, mh_reason(status));
    if (err == 0 && why.len > 0)
        err = mh_buf_printf(&page, MH_FMT "\n", MH_ARG(why));
    if (err == 0)
        err = mh_reply_copy(&ex->request, status, ex->reply.has_type ? NULL : TEXT_TYPE, page.data,
                            page.len);
    mh_buf_free(&page);
    return err;
}

MH__COLD int mh__reply_refuse(struct mh__exchange *ex, int status, mh_str why)
{
    mh__reply_clear(&ex->reply);
    atomic_store(&ex->stage, MH__HANDLING);
    int result = mh__reply_page(ex, status, why);
    return result < 0 ? result : 0;
}

/* Only when the worker knows that it is owed may another thread say that it is there. */
static int settle_later(struct mh__exchange *ex)
{
    int stage = MH__HANDLING;
    ex->owed = true;
    atomic_store_explicit(&ex->shared, true, memory_order_relaxed);
    if (atomic_compare_exchange_strong(&ex->stage, &stage, MH__OWED))
        return 0;
    ex->owed = false;
    return 1;
}

int mh__reply_settle(struct mh__exchange *ex, int result)
{
    if (result == MH_LATER)
        return settle_later(ex);
    if (result >= 0 && ex->reply.status)
        return 1;
    if (is_final_status(result) && mh__reply_page(ex, result, (mh_str){0}) > 0)
        return 1;
    int err = mh__reply_refuse(ex, 500, (mh_str){0});
    return err < 0 ? err : 1;
}
