/* buffer.h: bytes that grow, up to a ceiling.
 *
 * {0} is an empty buffer. Once data is not NULL, data[len] is a NUL that does not count. A buffer
 * belongs to one thread at a time; whoever declared it calls mh_buf_free(). */
#ifndef MINIHTTP_BUFFER_H
#define MINIHTTP_BUFFER_H

#include <minihttp/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MH_BUF_MAX (64u << 20) /* the ceiling in bytes when max is 0 */

typedef struct mh_buf {
    char *data; /* NULL while empty; read and write freely inside [0, len) */
    size_t len;
    size_t cap; /* private */
    size_t max; /* bytes it may hold; set before the first use; 0 means MH_BUF_MAX */
} mh_buf;

/* The growing calls return 0, or -ENOMEM, or MH_ERR_TOO_LARGE when max would be passed. After an
 * error the buffer is as it was. They may move data; slices of it are gone then. */

/* Make room for `extra` bytes behind len; len stays. */
MH_API MH_CHECK int mh_buf_reserve(mh_buf *buf, size_t extra);

/* Add `len` bytes, which must not lie in the buffer itself. data may be NULL when len is 0. */
MH_API MH_CHECK int mh_buf_append(mh_buf *buf, const void *data, size_t len);

/* Add what printf would print; no argument may lie in the buffer itself. -EINVAL when vsnprintf
 * refuses the format. */
MH_API MH_CHECK int mh_buf_printf(mh_buf *buf, const char *fmt, ...) MH_PRINTF(2, 3);

/* Drop `len` bytes from the front (all of them when len is larger). */
MH_API void mh_buf_consume(mh_buf *buf, size_t len);

/* len becomes 0; the memory is kept for the next use. */
MH_API void mh_buf_clear(mh_buf *buf);

/* Hand the memory over: the caller calls free() on it. *len may be NULL. The buffer is empty again
 * and keeps its max. Returns NULL when nothing was ever put in. */
MH_API char *mh_buf_take(mh_buf *buf, size_t *len);

/* Give the memory back. The buffer is empty again and keeps its max; safe on {0} and twice. */
MH_API void mh_buf_free(mh_buf *buf);

static inline mh_str mh_buf_str(const mh_buf *buf)
{
    mh_str s = {buf->data, buf->len};
    return s;
}

#ifdef __cplusplus
}
#endif
#endif
