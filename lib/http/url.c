/* url.c: URLs taken apart, put together and escaped (RFC 3986). Knows nothing of messages.
 *
 * split() reads any URI reference; what is asked of an http or https URL beyond that is checked by
 * connectable(). */
#include <string.h>

#include "base/buffer.h"
#include "base/str.h"
#include "http/path.h"
#include "http/url.h"

#define PORT_MAX 65535
#define NO_PORT                                                                                    \
    (-1) /* none given, or an empty one, which means the same (RFC 3986 section 3.2.3) */

/* Where a byte may stand as it is. '%' is in none of them: see is_escape(). */
enum {
    UNRESERVED = 1,
    REG_NAME = 2,
    USERINFO = 4,
    PATH = 8,
    QUERY = 16, /* a fragment has the same bytes */
    SCHEME = 32,
};

/* RFC 3986 section 2: unreserved and sub-delims may stand in every part behind the scheme. */
#define SUB (REG_NAME | USERINFO | PATH | QUERY)
#define UNR (UNRESERVED | SUB)
#define ALNUM (UNR | SCHEME)

static const uint8_t classes[256] = {
    ['0'] = ALNUM,
    ['1'] = ALNUM,
    ['2'] = ALNUM,
    ['3'] = ALNUM,
    ['4'] = ALNUM,
    ['5'] = ALNUM,
    ['6'] = ALNUM,
    ['7'] = ALNUM,
    ['8'] = ALNUM,
    ['9'] = ALNUM,

    ['A'] = ALNUM,
    ['B'] = ALNUM,
    ['C'] = ALNUM,
    ['D'] = ALNUM,
    ['E'] = ALNUM,
    ['F'] = ALNUM,
    ['G'] = ALNUM,
    ['H'] = ALNUM,
    ['I'] = ALNUM,
    ['J'] = ALNUM,
    ['K'] = ALNUM,
    ['L'] = ALNUM,
    ['M'] = ALNUM,
    ['N'] = ALNUM,
    ['O'] = ALNUM,
    ['P'] = ALNUM,
    ['Q'] = ALNUM,
    ['R'] = ALNUM,
    ['S'] = ALNUM,
    ['T'] = ALNUM,
    ['U'] = ALNUM,
    ['V'] = ALNUM,
    ['W'] = ALNUM,
    ['X'] = ALNUM,
    ['Y'] = ALNUM,
    ['Z'] = ALNUM,

    ['a'] = ALNUM,
    ['b'] = ALNUM,
    ['c'] = ALNUM,
    ['d'] = ALNUM,
    ['e'] = ALNUM,
    ['f'] = ALNUM,
    ['g'] = ALNUM,
    ['h'] = ALNUM,
    ['i'] = ALNUM,
    ['j'] = ALNUM,
    ['k'] = ALNUM,
    ['l'] = ALNUM,
    ['m'] = ALNUM,
    ['n'] = ALNUM,
    ['o'] = ALNUM,
    ['p'] = ALNUM,
    ['q'] = ALNUM,
    ['r'] = ALNUM,
    ['s'] = ALNUM,
    ['t'] = ALNUM,
    ['u'] = ALNUM,
    ['v'] = ALNUM,
    ['w'] = ALNUM,
    ['x'] = ALNUM,
    ['y'] = ALNUM,
    ['z'] = ALNUM,

    ['-'] = ALNUM,
    ['.'] = ALNUM,
    ['_'] = UNR,
    ['~'] = UNR,

    ['!'] = SUB,
    ['$'] = SUB,
    ['&'] = SUB,
    ['\''] = SUB,
    ['('] = SUB,
    [')'] = SUB,
    ['*'] = SUB,
    [','] = SUB,
    [';'] = SUB,
    ['='] = SUB,
    ['+'] = SUB | SCHEME,

    [':'] = USERINFO | PATH | QUERY,
    ['@'] = PATH | QUERY,
    ['/'] = PATH | QUERY,
    ['?'] = QUERY,
};

/* A URI reference in its parts; what is not there has a NULL ptr. */
struct parts {
    mh_str scheme;
    mh_str authority; /* the three below, as written */
    mh_str userinfo;
    mh_str host; /* without brackets */
    int port;
    mh_str path; /* never absent */
    mh_str query;
    mh_str fragment;
};

static bool has_class(char c, unsigned class)
{
    return classes[(unsigned char)c] & class;
}

/* Does a whole "%XX" begin at `at`? */
static bool is_escape(mh_str s, size_t at)
{
    return s.ptr[at] == '%' && s.len - at > 2 && mh__hex(s.ptr[at + 1]) >= 0 &&
           mh__hex(s.ptr[at + 2]) >= 0;
}

/* How many bytes from the front are of that class, or escapes. */
static size_t span(mh_str s, unsigned class)
{
    size_t at = 0;
    while (at < s.len) {
        if (has_class(s.ptr[at], class))
            at++;
        else if (is_escape(s, at))
            at += 3;
        else
            break;
    }
    return at;
}

/* ---- taking things off the front of what is left to read ---- */

static mh_str take_bytes(mh_str *rest, size_t len)
{
    mh_str taken = {rest->ptr, len};
    *rest = mh__str_from(*rest, len);
    return taken;
}

static mh_str take_span(mh_str *rest, unsigned class)
{
    return take_bytes(rest, span(*rest, class));
}

static bool take(mh_str *rest, char c)
{
    if (rest->len == 0 || rest->ptr[0] != c)
        return false;
    take_bytes(rest, 1);
    return true;
}

static bool take_two(mh_str *rest, char c)
{
    if (rest->len < 2 || rest->ptr[0] != c || rest->ptr[1] != c)
        return false;
    take_bytes(rest, 2);
    return true;
}

/* dec-octet: 0 to 255, without leading zeros. */
static bool take_octet(mh_str *rest)
{
    int value = 0;
    size_t len = 0;
    while (len < rest->len && len < 3 && mh__is_digit(rest->ptr[len]))
        value = value * 10 + (rest->ptr[len++] - '0');
    if (len == 0 || value > 255 || (len > 1 && rest->ptr[0] == '0'))
        return false;
    take_bytes(rest, len);
    return true;
}

static bool take_ipv4(mh_str *rest)
{
    return take_octet(rest) && take(rest, '.') && take_octet(rest) && take(rest, '.') &&
           take_octet(rest) && take(rest, '.') && take_octet(rest);
}

/* The 16-bit groups that the next piece of an IPv6 address stands for: one as hexadecimal digits,
 * two as an IPv4 address; 0 when it is neither. */
static int take_groups(mh_str *rest)
{
    size_t len = 0;
    while (len < rest->len && mh__hex(rest->ptr[len]) >= 0)
        len++;
    if (len < rest->len && rest->ptr[len] == '.')
        return take_ipv4(rest) && rest->len == 0 ? 2 : 0;
    if (len == 0 || len > 4)
        return 0;
    take_bytes(rest, len);
    return 1;
}

/* RFC 3986 section 3.2.2: eight groups, or fewer and one "::" for those that are zero. */
static bool is_ipv6(mh_str s)
{
    int groups = 0;
    bool gap = take_two(&s, ':');
    while (s.len > 0) {
        int more = take_groups(&s);
        groups += more;
        if (more == 0 || groups > 8)
            return false;
        if (s.len == 0)
            break;
        if (!gap && take_two(&s, ':'))
            gap = true;
        else if (!take(&s, ':') || s.len == 0)
            return false;
    }
    return gap ? groups < 8 : groups == 8;
}

/* An address in brackets. That of a future version of IP ("[v7.x]") is refused: there is none that
 * one could connect to, and without its brackets it would be taken for a name (RFC 3986
 * section 3.2.2). */
static bool take_ip_literal(mh_str *rest, mh_str *host)
{
    const char *end = rest->len > 0 ? memchr(rest->ptr, ']', rest->len) : NULL;
    if (!end)
        return false;
    *host = take_bytes(rest, (size_t)(end - rest->ptr));
    return take(rest, ']') && is_ipv6(*host);
}

/* A name may be empty here. */
static bool take_host(mh_str *rest, mh_str *host)
{
    if (take(rest, '['))
        return take_ip_literal(rest, host);
    *host = take_span(rest, REG_NAME);
    return true;
}

/* ---- whole parts ---- */

/* What follows a host: nothing, or ':' and digits. */
static bool read_port(mh_str s, int *port)
{
    *port = NO_PORT;
    if (s.len == 0)
        return true;
    if (!take(&s, ':'))
        return false;
    int value = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (!mh__is_digit(s.ptr[i]))
            return false;
        value = value * 10 + (s.ptr[i] - '0');
        if (value > PORT_MAX)
            return false;
    }
    if (s.len > 0)
        *port = value;
    return true;
}

static bool read_host_and_port(mh_str s, mh_str *host, int *port)
{
    return take_host(&s, host) && read_port(s, port);
}

static bool read_authority(struct parts *parts)
{
    mh_str rest = parts->authority;
    size_t len = span(rest, USERINFO);
    if (len < rest.len && rest.ptr[len] == '@') {
        parts->userinfo = take_bytes(&rest, len);
        take(&rest, '@');
    }
    return read_host_and_port(rest, &parts->host, &parts->port);
}

static size_t authority_len(mh_str s)
{
    size_t len = 0;
    while (len < s.len && s.ptr[len] != '/' && s.ptr[len] != '?' && s.ptr[len] != '#')
        len++;
    return len;
}

/* Is there a scheme at the front? It begins with a letter, and has no escapes. */
static bool take_scheme(mh_str *rest, mh_str *scheme)
{
    size_t len = 0;
    while (len < rest->len && has_class(rest->ptr[len], SCHEME))
        len++;
    bool begins_with_letter = len > 0 && mh__lower(rest->ptr[0]) >= 'a';
    if (!begins_with_letter || len == rest->len || rest->ptr[len] != ':')
        return false;
    *scheme = take_bytes(rest, len);
    return take(rest, ':');
}

/* The first segment of a relative path has no ':': it would be a scheme (RFC 3986 section 4.2). */
static bool colon_is_clear(const struct parts *parts)
{
    if (parts->scheme.ptr || parts->authority.ptr)
        return true;
    for (size_t i = 0; i < parts->path.len && parts->path.ptr[i] != '/'; i++) {
        if (parts->path.ptr[i] == ':')
            return false;
    }
    return true;
}

/* Take any URI reference apart (RFC 3986 section 4.1). */
static bool split(struct parts *parts, mh_str text)
{
    mh_str rest = text.len > 0 ? text : MH_STR("");
    *parts = (struct parts){.port = NO_PORT};
    take_scheme(&rest, &parts->scheme);
    if (take_two(&rest, '/')) {
        parts->authority = take_bytes(&rest, authority_len(rest));
        if (!read_authority(parts))
            return false;
    }
    parts->path = take_span(&rest, PATH);
    if (take(&rest, '?'))
        parts->query = take_span(&rest, QUERY);
    if (take(&rest, '#'))
        parts->fragment = take_span(&rest, QUERY);
    return rest.len == 0 && colon_is_clear(parts);
}

/* 0 for a scheme that this library does not speak. */
static uint16_t default_port(mh_str scheme)
{
    if (mh__str_same_nocase(scheme, MH_STR("http")))
        return 80;
    return mh__str_same_nocase(scheme, MH_STR("https")) ? 443 : 0;
}

/* An http or https URL says where to connect to (RFC 9110 section 4.2.1). */
static bool connectable(const struct parts *parts)
{
    return parts->host.len > 0 && parts->port != 0;
}

/* From the first byte of the path to the last of the query. */
static mh_str target_of(const struct parts *parts)
{
    size_t query_len = parts->query.ptr ? 1 + parts->query.len : 0;
    return (mh_str){parts->path.ptr, parts->path.len + query_len};
}

int mh_url_parse(mh_url *url, mh_str text)
{
    struct parts parts;
    if (!split(&parts, text) || !parts.scheme.ptr)
        return MH_ERR_URL;
    uint16_t port = default_port(parts.scheme);
    if (port == 0)
        return MH_ERR_SCHEME;
    if (!connectable(&parts))
        return MH_ERR_URL;
    *url = (mh_url){
        .scheme = parts.scheme,
        .userinfo = parts.userinfo,
        .host = parts.host,
        .target = target_of(&parts),
        .path = parts.path,
        .query = parts.query,
        .fragment = parts.fragment,
        .port = parts.port == NO_PORT ? port : (uint16_t)parts.port,
    };
    return 0;
}

/* ---- resolving ---- */

/* The target of RFC 3986 section 5.2.2. Its path comes in two pieces. */
struct target {
    mh_str scheme;
    mh_str authority;
    mh_str directory; /* of the base, when the path of the reference is relative to it */
    mh_str path;
    mh_str query;
    mh_str fragment;
    bool keep_dots; /* the path is that of the base, untouched */
};

/* As it was written. Whatever mh_url_parse() accepted has "://" in front of it and the path, which
 * may be empty, behind it. */
static mh_str authority_of(const mh_url *url)
{
    const char *start = url->scheme.ptr + url->scheme.len + 3;
    return (mh_str){start, (size_t)(url->path.ptr - start)};
}

/* All of the path up to its last '/' (RFC 3986 section 5.2.3). */
static mh_str directory_of(mh_str path)
{
    if (path.len == 0)
        return MH_STR("/");
    while (path.ptr[path.len - 1] != '/')
        path.len--;
    return path;
}

static struct target find_target(const mh_url *base, const struct parts *ref)
{
    struct target target = {
        .scheme = ref->scheme,
        .authority = ref->authority,
        .path = ref->path,
        .query = ref->query,
        .fragment = ref->fragment,
    };
    if (ref->scheme.ptr)
        return target;
    target.scheme = base->scheme;
    if (ref->authority.ptr)
        return target;
    target.authority = authority_of(base);
    if (ref->path.len == 0) {
        target.path = base->path;
        target.query = ref->query.ptr ? ref->query : base->query;
        target.keep_dots = true;
    } else if (ref->path.ptr[0] != '/') {
        target.directory = directory_of(base->path);
    }
    return target;
}

/* Bytes of a part that is there, and of the mark that says so. */
static size_t room(mh_str part, size_t mark_len)
{
    return part.ptr ? mark_len + part.len : 0;
}

static size_t room_for(const struct target *t)
{
    return room(t->scheme, 1) + room(t->authority, 2) + t->directory.len + t->path.len +
           room(t->query, 1) + room(t->fragment, 1);
}

static void put(mh_buf *out, const char *mark, mh_str part)
{
    if (!part.ptr)
        return;
    mh__buf_put(out, mark, strlen(mark));
    mh__buf_put(out, part.ptr, part.len);
}

static mh_str put_path(mh_buf *out, const struct target *t)
{
    size_t start = out->len;
    put(out, "", t->directory);
    put(out, "", t->path);
    char *path = out->data + start;
    if (!t->keep_dots)
        mh__buf_truncate(out, start + mh__path_remove_dots(path, out->len - start));
    return (mh_str){path, out->len - start};
}

/* RFC 3986 section 5.3. Without an authority, a path that has become "//x" would be read as one:
 * such a reference ("http:/.//x") means nothing that could be written down. */
static bool put_target(mh_buf *out, const struct target *t)
{
    put(out, "", t->scheme);
    mh__buf_put(out, ":", 1);
    put(out, "//", t->authority);
    mh_str path = put_path(out, t);
    if (!t->authority.ptr && take_two(&path, '/'))
        return false;
    put(out, "?", t->query);
    put(out, "#", t->fragment);
    return true;
}

int mh_url_resolve(mh_buf *out, const mh_url *base, mh_str reference)
{
    struct parts ref;
    if (!split(&ref, reference))
        return MH_ERR_URL;
    struct target target = find_target(base, &ref);
    if (ref.authority.ptr && default_port(target.scheme) && !connectable(&ref))
        return MH_ERR_URL;
    int err = mh_buf_reserve(out, room_for(&target));
    if (err < 0)
        return err;
    size_t start = out->len;
    if (put_target(out, &target))
        return 0;
    mh__buf_truncate(out, start);
    return MH_ERR_URL;
}

/* ---- escaping ---- */

/* A run without '%', or one escape. */
static int decode_some(mh_buf *out, mh_str *rest)
{
    const char *percent = memchr(rest->ptr, '%', rest->len);
    size_t len = percent ? (size_t)(percent - rest->ptr) : rest->len;
    if (len > 0)
        return mh_buf_append(out, take_bytes(rest, len).ptr, len);
    if (!is_escape(*rest, 0))
        return MH_ERR_URL;
    mh_str escape = take_bytes(rest, 3);
    char byte = (char)(mh__hex(escape.ptr[1]) * 16 + mh__hex(escape.ptr[2]));
    return mh_buf_append(out, &byte, 1);
}

/* A run of unreserved characters, or one byte that is escaped. */
static int encode_some(mh_buf *out, mh_str *rest)
{
    static const char digits[] = "0123456789ABCDEF"; /* upper case: RFC 3986 section 2.1 */
    size_t len = 0;
    while (len < rest->len && has_class(rest->ptr[len], UNRESERVED))
        len++;
    if (len > 0)
        return mh_buf_append(out, take_bytes(rest, len).ptr, len);
    unsigned char byte = (unsigned char)take_bytes(rest, 1).ptr[0];
    char escape[] = {'%', digits[byte >> 4], digits[byte & 15]};
    return mh_buf_append(out, escape, sizeof escape);
}

static int put_all(mh_buf *out, mh_str text, int (*put_some)(mh_buf *, mh_str *))
{
    size_t start = out->len;
    int err = 0;
    while (text.len > 0 && err == 0)
        err = put_some(out, &text);
    if (err < 0)
        mh__buf_truncate(out, start);
    return err;
}

int mh_url_decode(mh_buf *out, mh_str text)
{
    return put_all(out, text, decode_some);
}

int mh_url_encode(mh_buf *out, mh_str text)
{
    return put_all(out, text, encode_some);
}

/* ---- what the engine asks ---- */

bool mh__host_valid(mh_str host)
{
    mh_str name;
    int port;
    return host.len > 0 && read_host_and_port(host, &name, &port) && name.len > 0;
}

bool mh__authority_valid(mh_str authority)
{
    mh_str name;
    int port;
    return authority.len > 0 && read_host_and_port(authority, &name, &port) && name.len > 0 &&
           port > 0;
}

bool mh__absolute_form_valid(mh_str url)
{
    mh_url parsed;
    return mh_url_parse(&parsed, url) == 0 && !parsed.userinfo.ptr && !parsed.fragment.ptr;
}
