/* buffer.h: what the library itself may do with an mh_buf that has room. */
#ifndef MH_BASE_BUFFER_H
#define MH_BASE_BUFFER_H

#include <assert.h>
#include <stdarg.h>
#include <string.h>

#include <minihttp/buffer.h>

/* Append what mh_buf_reserve() has made room for. */
static inline void mh__buf_put(mh_buf *buf, const void *data, size_t len)
{
    assert(len < buf->cap - buf->len);
    memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
}

/* Back to an earlier length, after a failure half-way. */
static inline void mh__buf_truncate(mh_buf *buf, size_t len)
{
    assert(len <= buf->len);
    buf->len = len;
    if (buf->data)
        buf->data[len] = '\0';
}

/* A buffer over an array of the caller's, all of it: it never grows (MH_ERR_TOO_LARGE when it is
 * full) and is never freed. */
static inline mh_buf mh__buf_over(char *array, size_t size)
{
    assert(size > 1);
    array[0] = '\0';
    return (mh_buf){.data = array, .cap = size, .max = size - 1};
}

MH_CHECK int mh__buf_vprintf(mh_buf *buf, const char *fmt, va_list args) MH_PRINTF(2, 0);

#endif
