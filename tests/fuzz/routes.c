/* Any bytes as a pattern and as a path: what fits, fits by a second way of looking at it, too; and
 * a parameter is a piece of the path. Built with -fsanitize=fuzzer. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "property.h"
#include "server/exchange.h"

static int say_200(mh_request *req)
{
    (void)req;
    return 200;
}

/* ---- the second way: segment by segment ---- */

/* Takes what stands before the next '/' off the front, and the '/' too, where *more says so. */
static mh_str take_segment(mh_str *rest, bool *more)
{
    const char *slash = rest->len > 0 ? memchr(rest->ptr, '/', rest->len) : NULL;
    mh_str segment = {rest->ptr, slash ? (size_t)(slash - rest->ptr) : rest->len};
    *more = slash != NULL;
    *rest = mh__str_from(*rest, segment.len + *more);
    return segment;
}

static bool is_param(mh_str segment)
{
    return segment.len >= 2 && segment.ptr[0] == '{' &&
           memchr(segment.ptr, '}', segment.len) == segment.ptr + segment.len - 1;
}

static bool segment_fits(mh_str pattern, mh_str segment)
{
    return is_param(pattern) ? segment.len > 0 : mh__str_same(pattern, segment);
}

/* Only the beginning of what is left of the path has to fit the last segment of a prefix. */
static bool last_fits(mh_str pattern, mh_str path)
{
    bool more;
    if (is_param(pattern))
        return take_segment(&path, &more).len > 0;
    return path.len >= pattern.len &&
           (pattern.len == 0 || memcmp(path.ptr, pattern.ptr, pattern.len) == 0);
}

static bool fits(mh_str pattern, mh_str path)
{
    bool prefix = pattern.len > 0 && pattern.ptr[pattern.len - 1] == '*';
    bool more, path_more;
    pattern.len -= prefix;
    for (;;) {
        mh_str wanted = take_segment(&pattern, &more);
        if (!more && prefix)
            return last_fits(wanted, path);
        if (!segment_fits(wanted, take_segment(&path, &path_more)) || more != path_more)
            return false;
        if (!more)
            return true;
    }
}

/* ---- parameters ---- */

static void check_slice(mh_str path, mh_str value)
{
    HOLDS(value.ptr >= path.ptr && value.ptr + value.len <= path.ptr + path.len);
}

static void check_param(const mh_request *req, mh_str name)
{
    char text[256];
    if (name.len >= sizeof(text))
        return;
    memcpy(text, name.ptr, name.len);
    text[name.len] = '\0';
    mh_str value = mh_request_param(req, text);
    HOLDS(value.len > 0 && !memchr(value.ptr, '/', value.len));
    check_slice(req->path, value);
}

static void check_params(const mh_request *req, mh_str pattern)
{
    bool prefix = pattern.len > 0 && pattern.ptr[pattern.len - 1] == '*';
    bool more = true;
    mh_str rest = mh_request_param(req, "*"); /* or "{*}", which looks the same */
    if (prefix)
        HOLDS(rest.ptr);
    if (rest.ptr)
        check_slice(req->path, rest);
    for (pattern.len -= prefix; more;) {
        mh_str segment = take_segment(&pattern, &more);
        if (is_param(segment))
            check_param(req, (mh_str){segment.ptr + 1, segment.len - 2});
    }
}

/* ---- all of it ---- */

static void check(const char *pattern, mh_str path)
{
    static struct mh__exchange ex;
    const mh_route routes[] = {{NULL, pattern, say_200, NULL}, {0}};
    ex.route = NULL;
    ex.request = (mh_request){
        .method = MH_STR("GET"), .path = path, .user = (void *)routes, .private_ = &ex};
    int status = mh_serve_routes(&ex.request);
    HOLDS(status == (fits(mh_str_from(pattern), path) ? 200 : 404));
    HOLDS(status == 200 ? ex.route == pattern : !ex.route);
    if (status == 200)
        check_params(&ex.request, mh_str_from(pattern));
}

/* The pattern ends where the first NUL or line does, and the path is all the rest. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t len = 0;
    while (len < size && data[len] != '\n' && data[len] != '\0')
        len++;
    char *pattern = calloc(1, len + 1);
    size_t left = len < size ? size - len - 1 : 0;
    char *path = malloc(left); /* a block of its own size: reading past it is seen */
    HOLDS(pattern && (path || left == 0));
    memcpy(pattern, data, len);
    if (left > 0)
        memcpy(path, data + len + 1, left);
    if (left > 0 && !(left == 1 && path[0] == '*')) /* "*" is the server, and fits everything */
        check(pattern, (mh_str){path, left});
    free(pattern);
    free(path);
    return 0;
}
