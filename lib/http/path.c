/* path.c: percent-decoding and dot segments, see path.h. Knows no file system. */
#include "http/path.h"

#include <string.h>

#include <minihttp/url.h>

#include "base/buffer.h"

/* Dot segments at the front of a path without a leading '/' mean nothing (RFC 3986 section 5.2.4,
 * steps A and D). Returns where the path goes on. */
static size_t leading_dots(const char *path, size_t len)
{
    size_t at = 0;
    while (at < len && path[at] == '.') {
        size_t dots = at + 1 < len && path[at + 1] == '.' ? 2 : 1;
        if (at + dots == len)
            return len;
        if (path[at + dots] != '/')
            break;
        at += dots + 1;
    }
    return at;
}

static size_t segment_end(const char *path, size_t at, size_t len)
{
    const char *slash = memchr(path + at + 1, '/', len - at - 1);
    return slash ? (size_t)(slash - path) : len;
}

/* 1 for the segment "/.", 2 for "/..", 0 for another. */
static size_t count_dots(const char *segment, size_t len)
{
    bool all_dots =
        segment[0] == '/' && (len == 2 || len == 3) && segment[1] == '.' && segment[len - 1] == '.';
    return all_dots ? len - 1 : 0;
}

/* The length without the last segment and its '/'. */
static size_t parent(const char *path, size_t len)
{
    while (len > 0) {
        if (path[--len] == '/')
            break;
    }
    return len;
}

size_t mh__path_remove_dots(char *path, size_t len)
{
    size_t out = 0;
    for (size_t at = leading_dots(path, len), end; at < len; at = end) {
        end = segment_end(path, at, len);
        size_t dots = count_dots(path + at, end - at);
        if (dots == 0) {
            memmove(path + out, path + at, end - at);
            out += end - at;
            continue;
        }
        if (dots == 2)
            out = parent(path, out);
        if (end == len)
            path[out++] = '/';
    }
    return out;
}

int mh__path_decode(mh_buf *out, mh_str raw)
{
    if (raw.len == 0 || raw.ptr[0] != '/')
        return mh_buf_append(out, "/", 1);
    size_t start = out->len;
    int err = mh_url_decode(out, raw);
    if (err < 0)
        return err;
    char *path = out->data + start;
    size_t len = out->len - start;
    if (memchr(path, '\0', len)) {
        mh__buf_truncate(out, start);
        return MH_ERR_URL;
    }
    mh__buf_truncate(out, start + mh__path_remove_dots(path, len));
    return 0;
}
