/* reply.c: the reply verbs. They put the reply into the exchange, complete, and send nothing. */
#include "server/exchange.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/str.h"
#include "http/chars.h"
#include "http/h1.h"

#define TEXT_TYPE "text/plain; charset=utf-8"

/* The fields of a reply, in order. The two texts are what their values point at. */
struct head {
    mh_header fields[MH_HEADERS_MAX];
    size_t count;
    char date[MH_DATE_LEN + 1];
    char length[sizeof("18446744073709551615")];
};

static void add(struct head *head, const char *name, const char *value)
{
    head->fields[head->count++] = (mh_header){mh_str_from(name), mh_str_from(value)};
}

static void add_given(struct head *head, const struct mh__exchange *ex)
{
    const char *name = ex->fields.data;
    for (size_t i = 0; i < ex->field_count; i++) {
        const char *value = name + strlen(name) + 1;
        add(head, name, value);
        name = value + strlen(value) + 1;
    }
}

static bool is_given(const struct mh__exchange *ex, const char *wanted)
{
    const char *name = ex->fields.data;
    for (size_t i = 0; i < ex->field_count; i++) {
        if (mh_str_equal_nocase(mh_str_from(name), wanted))
            return true;
        name += strlen(name) + 1;
        name += strlen(name) + 1;
    }
    return false;
}

/* A server with a clock dates its responses (RFC 9110 section 6.6.1). */
static void add_date(struct head *head, const struct mh__exchange *ex)
{
    if (is_given(ex, "Date"))
        return;
    if (mh_date_format(head->date, mh__clock_unix_s()) > 0)
        add(head, "Date", head->date);
}

/* No content comes with 204 and 304 (RFC 9110 section 6.4.1), and none may come with 205 (section
 * 15.3.6), which says so with a length of 0. */
static bool has_length(int status)
{
    return status != 204 && status != 304;
}

static bool has_content(int status)
{
    return has_length(status) && status != 205;
}

static void add_length(struct head *head, int status, size_t len)
{
    if (!has_length(status))
        return;
    mh_buf text = mh__buf_over(head->length, sizeof(head->length));
    (void)!mh_buf_printf(&text, "%zu", len); /* there is room for any */
    add(head, "Content-Length", head->length);
}

static int put_head(struct mh__exchange *ex, int status, const char *type, size_t len)
{
    struct head head;
    head.count = 0;
    add_date(&head, ex);
    add_given(&head, ex);
    if (type)
        add(&head, "Content-Type", type);
    add_length(&head, status, len);
    add(&head, "Connection", "close"); /* one request per connection (RFC 9112 section 9.6) */

    mh_h1_head put = {.status = status,
                      .reason = mh_str_from(mh_reason(status)),
                      .headers = {head.fields, head.count}};
    return mh_h1_put_head(&ex->h1, &put, &ex->out);
}

/* What goes behind the head: a copy in out, or a slice that is sent after it. */
static int put_body(struct mh__exchange *ex, mh_str body, bool copied)
{
    if (body.len == 0)
        return 0;
    if (copied)
        return mh_h1_put_body(&ex->h1, body, &ex->out);
    int sent = mh__h1_account_body(&ex->h1, body.len);
    if (sent > 0)
        ex->behind = body;
    return sent < 0 ? sent : 0;
}

static int put(struct mh__exchange *ex, int status, const char *type, mh_str body, bool copied)
{
    int err = put_head(ex, status, type, body.len);
    if (err == 0)
        err = put_body(ex, body, copied);
    return err < 0 ? err : mh_h1_put_end(&ex->h1, (mh_headers){0}, &ex->out);
}

/* After a 2xx to a CONNECT the bytes are no longer HTTP (RFC 9110 section 9.3.6), and nobody here
 * could carry them. */
static bool opens_tunnel(const struct mh__exchange *ex, int status)
{
    return status < 300 && mh_str_equal(ex->request.method, "CONNECT");
}

static bool may_reply(const struct mh__exchange *ex, int status, const char *type, mh_str body)
{
    if (ex->status || status < 200 || status > 599 || opens_tunnel(ex, status))
        return false;
    if (body.len > 0 && (!body.ptr || !has_content(status)))
        return false;
    return !type || !is_given(ex, "Content-Type");
}

/* All of the reply, or nothing of it. */
static int reply(struct mh__exchange *ex, int status, const char *type, mh_str body, bool copied)
{
    if (!may_reply(ex, status, type, body))
        return -EINVAL;
    mh_h1 before = ex->h1;
    size_t len = ex->out.len;
    int err = put(ex, status, type, body, copied);
    if (err < 0) {
        ex->h1 = before;
        ex->behind = (mh_str){0};
        mh__buf_truncate(&ex->out, len);
        return err;
    }
    ex->before = before;
    ex->status = status;
    return status;
}

/* Back to before the reply and its fields. Nothing of it has been sent: the one who sends comes
 * when the handler is done. */
static void forget(struct mh__exchange *ex)
{
    if (ex->status)
        ex->h1 = ex->before;
    ex->status = 0;
    ex->field_count = 0;
    ex->behind = (mh_str){0};
    mh_buf_clear(&ex->fields);
    mh_buf_clear(&ex->out);
    mh_buf_free(&ex->taken);
}

int mh__reply_page(struct mh__exchange *ex, int status, mh_str why)
{
    if (!has_content(status))
        return reply(ex, status, NULL, (mh_str){0}, true);
    mh_buf page = {0};
    int err = mh_buf_printf(&page, "%d %s\n", status, mh_reason(status));
    if (err == 0 && why.len > 0)
        err = mh_buf_printf(&page, MH_FMT "\n", MH_ARG(why));
    if (err == 0)
        err = reply(ex, status, is_given(ex, "Content-Type") ? NULL : TEXT_TYPE, mh_buf_str(&page),
                    true);
    mh_buf_free(&page);
    return err;
}

int mh__reply_refuse(struct mh__exchange *ex, int status, mh_str why)
{
    forget(ex);
    int result = mh__reply_page(ex, status, why);
    return result < 0 ? result : 0;
}

int mh_reply_copy(mh_request *req, int status, const char *type, const void *data, size_t len)
{
    return reply(req->private_, status, type, (mh_str){data, len}, true);
}

int mh_reply_text(mh_request *req, int status, const char *text)
{
    if (!text)
        return -EINVAL;
    return reply(req->private_, status, TEXT_TYPE, mh_str_from(text), true);
}

int mh_reply_borrow(mh_request *req, int status, const char *type, const void *data, size_t len)
{
    return reply(req->private_, status, type, (mh_str){data, len}, false);
}

int mh_reply_take(mh_request *req, int status, const char *type, mh_buf *body)
{
    struct mh__exchange *ex = req->private_;
    int result = reply(ex, status, type, mh_buf_str(body), false);
    if (result < 0)
        return result;
    ex->taken = *body;
    *body = (mh_buf){0};
    return result;
}

int mh_reply_printf(mh_request *req, int status, const char *type, const char *fmt, ...)
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

static bool is_name(const char *name)
{
    for (const char *c = name; *c; c++) {
        if (!mh__is(*c, MH__TOKEN))
            return false;
    }
    return name[0] != '\0';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* RFC 9110 section 5.5: no control bytes, and no white space at either end. */
static bool is_value(const char *value)
{
    size_t len = strlen(value);
    for (size_t i = 0; i < len; i++) {
        if (!mh__is(value[i], MH__VALUE))
            return false;
    }
    return len == 0 || (!is_blank(value[0]) && !is_blank(value[len - 1]));
}

static bool is_ours(mh_str name)
{
    return mh_str_equal_nocase(name, "Content-Length") ||
           mh_str_equal_nocase(name, "Transfer-Encoding") ||
           mh_str_equal_nocase(name, "Connection");
}

/* A second one would contradict the first. */
static bool is_single(mh_str name)
{
    return mh_str_equal_nocase(name, "Date") || mh_str_equal_nocase(name, "Content-Type");
}

static bool may_add(const struct mh__exchange *ex, const char *name, const char *value)
{
    if (ex->status || ex->field_count == MH__REPLY_FIELDS_MAX)
        return false;
    if (!name || !value || !is_name(name) || !is_value(value))
        return false;
    mh_str s = mh_str_from(name);
    return !is_ours(s) && !(is_single(s) && is_given(ex, name));
}

int mh_reply_header(mh_request *req, const char *name, const char *value)
{
    struct mh__exchange *ex = req->private_;
    if (!may_add(ex, name, value))
        return -EINVAL;
    size_t len = ex->fields.len;
    int err = mh_buf_append(&ex->fields, name, strlen(name) + 1);
    if (err == 0)
        err = mh_buf_append(&ex->fields, value, strlen(value) + 1);
    if (err < 0) {
        mh__buf_truncate(&ex->fields, len);
        return err;
    }
    ex->field_count++;
    return 0;
}
