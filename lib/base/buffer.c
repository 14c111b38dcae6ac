/* buffer.c: bytes that grow, see <minihttp/buffer.h>. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <minihttp/buffer.h>

#include "base/buffer.h"
#include "base/mem.h"

/* The first allocation: a response head of the usual size, or a small body, fits. */
#define FIRST_CAP 512

/* One more byte than max is allocated, for the NUL; an object is never larger than PTRDIFF_MAX. */
static size_t ceiling(const mh_buf *buf)
{
    size_t max = buf->max ? buf->max : MH_BUF_MAX;
    return max < PTRDIFF_MAX ? max : PTRDIFF_MAX - 1;
}

static size_t grown(size_t cap, size_t need, size_t max)
{
    size_t next = cap ? cap : FIRST_CAP;
    while (next < need)
        next = next <= max / 2 ? next * 2 : max;
    return next < max ? next : max;
}

int mh_buf_reserve(mh_buf *buf, size_t extra)
{
    size_t max = ceiling(buf);
    if (buf->len > max || extra > max - buf->len)
        return MH_ERR_TOO_LARGE;
    size_t need = buf->len + extra + 1;
    if (need <= buf->cap)
        return 0;
    size_t cap = grown(buf->cap, need, max + 1);
    char *data = mh__realloc(buf->data, cap);
    if (!data)
        return -ENOMEM;
    buf->data = data;
    buf->cap = cap;
    data[buf->len] = '\0';
    return 0;
}

int mh_buf_append(mh_buf *buf, const void *data, size_t len)
{
    int err = mh_buf_reserve(buf, len);
    if (err < 0)
        return err;
    if (len > 0)
        mh__buf_put(buf, data, len);
    return 0;
}

int mh_buf_printf(mh_buf *buf, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int err = mh__buf_vprintf(buf, fmt, args);
    va_end(args);
    return err;
}

int mh__buf_vprintf(mh_buf *buf, const char *fmt, va_list args)
{
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    if (len < 0)
        return -EINVAL;
    int err = mh_buf_reserve(buf, (size_t)len);
    if (err < 0)
        return err;
    vsnprintf(buf->data + buf->len, (size_t)len + 1, fmt, args);
    buf->len += (size_t)len;
    return 0;
}

void mh_buf_consume(mh_buf *buf, size_t len)
{
    if (len >= buf->len) {
        mh_buf_clear(buf);
        return;
    }
    if (len == 0)
        return;
    memmove(buf->data, buf->data + len, buf->len - len + 1);
    buf->len -= len;
}

void mh_buf_clear(mh_buf *buf)
{
    buf->len = 0;
    if (buf->data)
        buf->data[0] = '\0';
}

char *mh_buf_take(mh_buf *buf, size_t *len)
{
    char *data = buf->data;
    if (len)
        *len = buf->len;
    *buf = (mh_buf){.max = buf->max};
    return data;
}

void mh_buf_free(mh_buf *buf)
{
    mh__free(buf->data);
    *buf = (mh_buf){.max = buf->max};
}
