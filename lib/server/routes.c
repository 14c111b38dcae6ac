/* routes.c: which handler a path belongs to, and what else there is to say about that path. Knows
 * no socket, allocates nothing but the value of an Allow, and keeps nothing but which route it was:
 * its parameters are found again whenever somebody asks. */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "server/exchange.h"

/* ---- a pattern, and a path beside it ---- */

/* What is left of both. */
struct walk {
    const char *pattern;
    mh_str path;
    bool at_segment; /* one begins here */
};

static struct walk begin(const char *pattern, mh_str path)
{
    return (struct walk){.pattern = pattern, .path = path, .at_segment = true};
}

static bool is_rest(const char *pattern)
{
    return pattern[0] == '*' && pattern[1] == '\0';
}

/* The length of "{name}" with its braces, where that is the whole segment; 0: a brace is a brace.
 */
static size_t braces_len(const char *pattern)
{
    size_t len = 1;
    if (pattern[0] != '{')
        return 0;
    while (pattern[len] != '}') {
        if (pattern[len] == '\0' || pattern[len] == '/')
            return 0;
        len++;
    }
    const char *end = pattern + ++len;
    return *end == '\0' || *end == '/' || is_rest(end) ? len : 0;
}

static mh_str take_path(struct walk *walk, size_t len)
{
    mh_str taken = {walk->path.ptr, len};
    walk->path = mh__str_from(walk->path, len);
    return taken;
}

static size_t segment_len(mh_str path)
{
    const char *slash = path.len > 0 ? memchr(path.ptr, '/', path.len) : NULL;
    return slash ? (size_t)(slash - path.ptr) : path.len;
}

/* A parameter that stands for nothing would make "/users/" a user. */
static bool take_segment(struct walk *walk, size_t braces, mh_str *name, mh_str *value)
{
    *name = (mh_str){walk->pattern + 1, braces - 2};
    *value = take_path(walk, segment_len(walk->path));
    walk->pattern += braces;
    return value->len > 0;
}

static bool take_rest(struct walk *walk, mh_str *name, mh_str *value)
{
    *name = (mh_str){walk->pattern, 1};
    *value = take_path(walk, walk->path.len);
    walk->pattern++;
    return true;
}

static bool take_byte(struct walk *walk)
{
    if (walk->path.len == 0 || walk->path.ptr[0] != walk->pattern[0])
        return false;
    walk->at_segment = walk->pattern[0] == '/';
    walk->pattern++;
    (void)take_path(walk, 1);
    return true;
}

/* One parameter off the front of both, or one byte, and then *name is absent. false: they differ.
 * Not at the end of the pattern. */
static bool step(struct walk *walk, mh_str *name, mh_str *value)
{
    size_t braces = walk->at_segment ? braces_len(walk->pattern) : 0;
    if (braces > 0)
        return take_segment(walk, braces, name, value);
    if (is_rest(walk->pattern))
        return take_rest(walk, name, value);
    *name = (mh_str){0};
    return take_byte(walk);
}

static bool path_fits(const char *pattern, mh_str path)
{
    struct walk walk = begin(pattern, path);
    mh_str name, value;
    while (*walk.pattern != '\0') {
        if (!step(&walk, &name, &value))
            return false;
    }
    return walk.path.len == 0;
}

mh_str mh_request_param(const mh_request *req, const char *name)
{
    const char *route = mh__exchange_of(req)->route;
    struct walk walk = begin(route ? route : "", req->path);
    mh_str found, value;
    while (*walk.pattern != '\0' && step(&walk, &found, &value)) {
        if (found.ptr && mh_str_equal(found, name))
            return value;
    }
    return (mh_str){0};
}

/* ---- one of many ---- */

/* What gets may be asked for its head (RFC 9110 section 9.3.2). Methods differ by case (section
 * 9.1). */
static bool method_fits(const mh_route *route, mh_str method)
{
    if (!route->method || mh_str_equal(method, route->method))
        return true;
    return strcmp(route->method, "GET") == 0 && mh_str_equal(method, "HEAD");
}

static const mh_route *find(const mh_route *routes, const mh_request *req)
{
    for (const mh_route *route = routes; route->path; route++) {
        if (method_fits(route, req->method) && path_fits(route->path, req->path))
            return route;
    }
    return NULL;
}

/* The route's user stays in the request: on_end() and a reply that comes later want it, too. */
static int take(mh_request *req, const mh_route *route)
{
    if (!route->handler)
        return -EINVAL;
    mh__exchange_of(req)->route = route->path;
    if (route->user)
        req->user = route->user;
    return route->handler(req);
}

/* ---- no route ---- */

/* Takes what stands before the next ", " off the front of *list. */
static mh_str take_method(mh_str *list)
{
    const char *comma = memchr(list->ptr, ',', list->len);
    mh_str method = {list->ptr, comma ? (size_t)(comma - list->ptr) : list->len};
    *list = mh__str_from(*list, method.len);
    while (list->len > 0 && (list->ptr[0] == ',' || list->ptr[0] == ' '))
        *list = mh__str_from(*list, 1);
    return method;
}

static bool is_listed(mh_str list, const char *method)
{
    while (list.len > 0) {
        if (mh_str_equal(take_method(&list), method))
            return true;
    }
    return false;
}

static int list(mh_buf *allow, const char *method)
{
    if (is_listed(mh_buf_str(allow), method))
        return 0;
    return mh_buf_printf(allow, allow->len > 0 ? ", %s" : "%s", method);
}

static int list_route(mh_buf *allow, const mh_route *route)
{
    int err = route->method ? list(allow, route->method) : 0;
    if (err == 0 && route->method && strcmp(route->method, "GET") == 0)
        err = list(allow, "HEAD");
    return err;
}

/* "*" is the server, which is all of the routes (RFC 9110 section 9.3.7). */
static bool is_about(const mh_route *route, mh_str path)
{
    return mh_str_equal(path, "*") || path_fits(route->path, path);
}

/* The methods of each route that is about this path; *allow stays empty where there is none. */
static int list_methods(mh_buf *allow, const mh_route *routes, mh_str path)
{
    bool found = false;
    int err = 0;
    for (const mh_route *route = routes; route->path; route++) {
        if (err < 0 || !is_about(route, path))
            continue;
        err = list_route(allow, route);
        found = true;
    }
    return err == 0 && found ? list(allow, "OPTIONS") : err;
}

/* Those of RFC 9110 section 9.3 and RFC 5789, but for CONNECT: without a route for it nobody here
 * is a proxy. */
static bool is_known(mh_str method)
{
    static const char *const known[] = {"GET",    "HEAD",    "POST",  "PUT",
                                        "DELETE", "OPTIONS", "TRACE", "PATCH"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (mh_str_equal(method, known[i]))
            return true;
    }
    return false;
}

static bool is_used(const mh_route *routes, mh_str method)
{
    for (const mh_route *route = routes; route->path; route++) {
        if (route->method && mh_str_equal(method, route->method))
            return true;
    }
    return false;
}

static int say_allow(mh_request *req, mh_buf *allow)
{
    int err = list_methods(allow, req->user, req->path);
    if (err < 0)
        return err;
    if (allow->len == 0)
        return 404;
    err = mh_reply_header(req, "Allow", allow->data);
    if (err < 0)
        return err;
    return mh_str_equal(req->method, "OPTIONS") ? 204 : 405;
}

/* A method that nobody has heard of is none that this path does not allow: 501, whatever the path
 * (RFC 9110 section 9.1). All others are known, and a 405 has to say which ones are allowed
 * (section 15.5.6). */
static int refuse(mh_request *req)
{
    if (!is_known(req->method) && !is_used(req->user, req->method))
        return 501;
    mh_buf allow = {0};
    int status = say_allow(req, &allow);
    mh_buf_free(&allow);
    return status;
}

int mh_serve_routes(mh_request *req)
{
    if (!req->user)
        return -EINVAL;
    const mh_route *route = find(req->user, req);
    return route ? take(req, route) : refuse(req);
}
