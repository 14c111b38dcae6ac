/* proxy.c: which proxy a URL goes by. Knows neither connections nor requests. This file alone reads
 * the environment, and only in mh__proxies_init(). */
#include "client/proxy.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "client/basic.h"
#include "net/net.h"

#define MASK_DIGITS_MAX 3 /* "128" */

/* ---- what a proxy is ---- */

/* Where a proxy is named, and the words when it is no good. */
struct source {
    const char *name; /* NULL behind the last */
    const char *malformed, *scheme;
};

#define SOURCE(name)                                                                               \
    {                                                                                              \
        name, name ": malformed, not http://user:password@host:port",                              \
            name ": not an http:// proxy, and others are not supported"                            \
    }

static const struct source option = SOURCE("proxy");
static const struct source for_http[] = {
    SOURCE("http_proxy"), SOURCE("all_proxy"), SOURCE("ALL_PROXY"), {NULL, NULL, NULL}};
static const struct source for_https[] = {SOURCE("https_proxy"),
                                          SOURCE("HTTPS_PROXY"),
                                          SOURCE("all_proxy"),
                                          SOURCE("ALL_PROXY"),
                                          {NULL, NULL, NULL}};

/* A whole URL, so that one parser reads both forms. "host:port" alone would have a scheme. */
static int put_url(mh_buf *url, const char *value)
{
    static const char scheme[] = "http://";
    int err = strstr(value, "://") ? 0 : mh_buf_append(url, scheme, sizeof(scheme) - 1);
    return err < 0 ? err : mh_buf_append(url, value, strlen(value));
}

static int check(const mh_url *url)
{
    if (!mh_str_equal_nocase(url->scheme, "http"))
        return MH_ERR_SCHEME;
    bool bare = url->path.len == 0 || mh_str_equal(url->path, "/");
    return bare && !url->query.ptr && !url->fragment.ptr ? 0 : MH_ERR_URL;
}

static int read_proxy(struct mh__proxy *proxy, const char *value)
{
    mh_url url = {0};
    int err = put_url(&proxy->url, value);
    if (err == 0)
        err = mh_url_parse(&url, mh_buf_str(&proxy->url));
    if (err == 0)
        err = check(&url);
    if (err == 0 && url.userinfo.len > 0)
        err = mh__basic(&proxy->credentials, url.userinfo);
    if (err < 0)
        return err;
    proxy->host = url.host;
    proxy->port = url.port;
    proxy->authorization = mh_buf_str(&proxy->credentials);
    return 0;
}

static int take(struct mh__proxy *proxy, const char *value, const struct source *source,
                const char **why)
{
    int err = read_proxy(proxy, value);
    if (err == MH_ERR_URL)
        *why = source->malformed;
    else if (err == MH_ERR_SCHEME)
        *why = source->scheme;
    return err;
}

/* ---- where it is said ---- */

/* An empty variable is one that is not set. */
static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static int take_first(struct mh__proxy *proxy, const struct source *sources, const char **why)
{
    for (; sources->name; sources++) {
        const char *value = variable(sources->name);
        if (value)
            return take(proxy, value, sources, why);
    }
    return 0;
}

static int take_no_proxy(mh_buf *out, const char *list)
{
    return list ? mh_buf_append(out, list, strlen(list)) : 0;
}

static int from_environment(struct mh__proxies *proxies, const char **why)
{
    int err = take_first(&proxies->http, for_http, why);
    if (err == 0)
        err = take_first(&proxies->https, for_https, why);
    if (err < 0)
        return err;
    const char *list = variable("no_proxy");
    return take_no_proxy(&proxies->no_proxy, list ? list : variable("NO_PROXY"));
}

static int from_option(struct mh__proxies *proxies, const char *proxy, const char *no_proxy,
                       const char **why)
{
    if (!*proxy)
        return 0;
    int err = take(&proxies->http, proxy, &option, why);
    if (err == 0)
        err = take(&proxies->https, proxy, &option, why);
    return err < 0 ? err : take_no_proxy(&proxies->no_proxy, no_proxy);
}

/* ---- what goes directly ---- */

/* The host that is asked for. */
struct asked {
    mh_str name; /* without a dot at its end */
    mh_str ip;   /* 4 or 16 bytes; absent for a name */
    uint16_t port;
};

static bool is_separator(char c)
{
    return c == ',' || c == ' ' || c == '\t';
}

/* Take the next element off the front. false: there are no more. */
static bool next_element(mh_str *rest, mh_str *element)
{
    while (rest->len > 0 && is_separator(rest->ptr[0]))
        *rest = mh__str_from(*rest, 1);
    size_t len = 0;
    while (len < rest->len && !is_separator(rest->ptr[len]))
        len++;
    *element = (mh_str){rest->ptr, len};
    *rest = mh__str_from(*rest, len);
    return len > 0;
}

static mh_str without_dot(mh_str name)
{
    if (name.len > 0 && name.ptr[name.len - 1] == '.')
        name.len--;
    return name;
}

/* An address, in brackets or not. */
static bool read_ip(struct mh__address *out, mh_str text)
{
    if (text.len >= 2 && text.ptr[0] == '[' && text.ptr[text.len - 1] == ']')
        text = (mh_str){text.ptr + 1, text.len - 2};
    return mh__literal_address(out, text, 0);
}

/* Is `name` the domain itself, or below it? */
static bool is_within(mh_str name, mh_str domain)
{
    if (domain.len > 0 && domain.ptr[0] == '.')
        domain = mh__str_from(domain, 1);
    domain = without_dot(domain);
    if (domain.len == 0 || name.len < domain.len)
        return false;
    size_t above = name.len - domain.len;
    return mh__str_same_nocase(mh__str_from(name, above), domain) &&
           (above == 0 || name.ptr[above - 1] == '.');
}

/* The digits behind a slash: the number, or -1 for what no address has as many bits of. */
static int read_mask(mh_str digits, size_t bits_max)
{
    unsigned bits = 0;
    if (digits.len == 0 || digits.len > MASK_DIGITS_MAX)
        return -1;
    for (size_t i = 0; i < digits.len; i++) {
        if (!mh__is_digit(digits.ptr[i]))
            return -1;
        bits = bits * 10 + (unsigned)(digits.ptr[i] - '0');
    }
    return bits <= bits_max ? (int)bits : -1;
}

static bool same_bits(mh_str a, mh_str b, size_t bits)
{
    size_t whole = bits / 8;
    if (memcmp(a.ptr, b.ptr, whole) != 0)
        return false;
    if (bits % 8 == 0)
        return true;
    return (uint8_t)(a.ptr[whole] ^ b.ptr[whole]) >> (8 - bits % 8) == 0;
}

/* An address and, at `slash`, how many bits of it count. */
static bool matches_network(mh_str element, size_t slash, const struct asked *asked)
{
    struct mh__address network;
    if (!asked->ip.ptr || !read_ip(&network, (mh_str){element.ptr, slash}))
        return false;
    mh_str ip = mh__address_ip(&network);
    int bits = read_mask(mh__str_from(element, slash + 1), ip.len * 8);
    return bits >= 0 && ip.len == asked->ip.len && same_bits(ip, asked->ip, (size_t)bits);
}

/* A domain is no part of an address, whatever it looks like. */
static bool matches_host(mh_str host, const struct asked *asked)
{
    struct mh__address literal;
    if (read_ip(&literal, host))
        return mh__str_same(mh__address_ip(&literal), asked->ip);
    return !asked->ip.ptr && is_within(asked->name, host);
}

/* With a port or without one. Colons alone do not tell: an IPv6 address has some. */
static bool matches_host_port(mh_str element, const struct asked *asked)
{
    struct mh__address literal;
    mh_str host = element;
    uint16_t port = asked->port;
    if (!read_ip(&literal, element) && memchr(element.ptr, ':', element.len) &&
        mh__host_port(element, &host, &port) < 0)
        return false;
    return port == asked->port && matches_host(host, asked);
}

static bool matches(mh_str element, const struct asked *asked)
{
    if (mh_str_equal(element, "*"))
        return true;
    const char *slash = memchr(element.ptr, '/', element.len);
    if (slash)
        return matches_network(element, (size_t)(slash - element.ptr), asked);
    return matches_host_port(element, asked);
}

static bool is_excluded(const mh_url *url, mh_str list)
{
    struct mh__address literal;
    struct asked asked = {.name = without_dot(url->host), .port = url->port};
    if (mh__literal_address(&literal, url->host, 0))
        asked.ip = mh__address_ip(&literal);
    for (mh_str element; next_element(&list, &element);) {
        if (matches(element, &asked))
            return true;
    }
    return false;
}

/* ---- the seam ---- */

int mh__proxies_init(struct mh__proxies *proxies, const char *proxy, const char *no_proxy,
                     const char **why)
{
    struct mh__proxies found = {0};
    int err = proxy ? from_option(&found, proxy, no_proxy, why) : from_environment(&found, why);
    if (err == 0)
        *proxies = found;
    else
        mh__proxies_deinit(&found);
    return err;
}

static void deinit(struct mh__proxy *proxy)
{
    mh_buf_free(&proxy->url);
    mh_buf_free(&proxy->credentials);
    *proxy = (struct mh__proxy){0};
}

void mh__proxies_deinit(struct mh__proxies *proxies)
{
    deinit(&proxies->http);
    deinit(&proxies->https);
    mh_buf_free(&proxies->no_proxy);
}

const struct mh__proxy *mh__proxies_find(const struct mh__proxies *proxies, const mh_url *url)
{
    bool secure = mh_str_equal_nocase(url->scheme, "https");
    const struct mh__proxy *proxy = secure ? &proxies->https : &proxies->http;
    if (!proxy->host.ptr || is_excluded(url, mh_buf_str(&proxies->no_proxy)))
        return NULL;
    return proxy;
}
