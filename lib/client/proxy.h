/* proxy.h: which proxy a URL goes by. */
#ifndef MH_CLIENT_PROXY_H
#define MH_CLIENT_PROXY_H

#include <minihttp/url.h>

/* Reached by plain http. The slices live as long as the struct mh__proxies. */
struct mh__proxy {
    mh_str host; /* without brackets; absent: there is no proxy */
    uint16_t port;
    mh_str authorization;    /* "Basic ...", for Proxy-Authorization; or absent */
    mh_buf url, credentials; /* what the slices point into */
};

struct mh__proxies {
    struct mh__proxy http, https; /* by the scheme of what is fetched */
    mh_buf no_proxy;
};

/* `proxy` and `no_proxy` are those of mh_client_options, and are copied.
 *
 * A `proxy` that is NULL leaves it to the environment: http_proxy for http, https_proxy or
 * HTTPS_PROXY for https, all_proxy or ALL_PROXY for both, the first of them that is set and not
 * empty; and no_proxy or NO_PROXY. HTTP_PROXY is not read: a CGI server makes it of the Proxy field
 * that anybody may send to it. "" is no proxy at all.
 *
 * A proxy is "http://user:password@host:port". The scheme may be missing, and the port is 80 where
 * none is given, as in any http URL (and not 1080, as curl has it). Nothing but a "/" may follow.
 *
 * 0; MH_ERR_URL: malformed; MH_ERR_SCHEME: a proxy that is spoken to by https, socks, or what else
 * is not http, and *why (not NULL) gets static text with the variable's name for both; -ENOMEM,
 * MH_ERR_TOO_LARGE. *proxies is as it was after an error. */
MH_CHECK int mh__proxies_init(struct mh__proxies *proxies, const char *proxy, const char *no_proxy,
                              const char **why);
void mh__proxies_deinit(struct mh__proxies *proxies); /* also on {0}, and twice */

/* NULL: directly. So it is for what an element of no_proxy says, which commas or blanks separate:
 *
 *   *                        everything
 *   example.com              the domain and what is below it, in any case;
 *   .example.com             the same, itself included (as curl has it)
 *   example.com:8080         only that port; also behind an address
 *   127.0.0.1, ::1, [::1]    the address, however the URL spells it; never a name that has it
 *   10.0.0.0/8, fd00::/8     all addresses that begin with as many of these bits
 *
 * A dot at the end of a name does not count. What is none of these excludes nothing. */
const struct mh__proxy *mh__proxies_find(const struct mh__proxies *proxies, const mh_url *url);

#endif
