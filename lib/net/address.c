/* address.c: text to socket addresses, and back. Looks nothing up and makes no system call. */
#include "net/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "base/buffer.h"
#include "base/str.h"

#define PORT_DIGITS 5
#define UNIX "unix:"

_Static_assert(MH__ADDRESS_TEXT_MAX >= sizeof(UNIX) + sizeof(((struct sockaddr_un *)0)->sun_path),
               "the longest text");
_Static_assert(MH__ADDRESS_TEXT_MAX >= INET6_ADDRSTRLEN + sizeof("[]:") + PORT_DIGITS,
               "the other ones");

static bool ipv4(struct mh__address *out, const char *text, uint16_t port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (inet_pton(AF_INET, text, &in.sin_addr) != 1)
        return false;
    *out = (struct mh__address){.len = sizeof(in)};
    memcpy(&out->addr, &in, sizeof(in));
    return true;
}

static bool ipv6(struct mh__address *out, const char *text, uint16_t port)
{
    struct sockaddr_in6 in = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    if (inet_pton(AF_INET6, text, &in.sin6_addr) != 1)
        return false;
    *out = (struct mh__address){.len = sizeof(in)};
    memcpy(&out->addr, &in, sizeof(in));
    return true;
}

bool mh__literal_address(struct mh__address *out, mh_str host, uint16_t port)
{
    char text[INET6_ADDRSTRLEN];
    if (host.len == 0 || host.len >= sizeof(text) || memchr(host.ptr, '\0', host.len))
        return false;
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    return ipv4(out, text, port) || ipv6(out, text, port);
}

int mh__unix_address(struct mh__address *out, mh_str path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    if (path.len == 0 || memchr(path.ptr, '\0', path.len))
        return -EINVAL;
    if (path.len >= sizeof(un.sun_path))
        return -ENAMETOOLONG;
    memcpy(un.sun_path, path.ptr, path.len);
    *out = (struct mh__address){.len = sizeof(un)};
    memcpy(&out->addr, &un, sizeof(un));
    return 0;
}

static int parse_port(mh_str text, uint16_t *port)
{
    uint32_t number = 0;
    if (text.len == 0 || text.len > 5) /* five digits cannot overflow */
        return -EINVAL;
    for (size_t i = 0; i < text.len; i++) {
        if (!mh__is_digit(text.ptr[i]))
            return -EINVAL;
        number = number * 10 + (uint32_t)(text.ptr[i] - '0');
    }
    if (number > UINT16_MAX)
        return -EINVAL;
    *port = (uint16_t)number;
    return 0;
}

/* "[::1]" without its brackets, which only an IPv6 address may have. */
static int unbracket(mh_str *host)
{
    if (host->len == 0 || host->ptr[0] != '[')
        return memchr(host->ptr, ':', host->len) ? -EINVAL : 0;
    if (host->len < 2 || host->ptr[host->len - 1] != ']')
        return -EINVAL;
    mh_str inner = {host->ptr + 1, host->len - 2};
    struct mh__address address;
    if (!mh__literal_address(&address, inner, 0) || address.addr.ss_family != AF_INET6)
        return -EINVAL;
    *host = inner;
    return 0;
}

int mh__host_port(mh_str text, mh_str *host, uint16_t *port)
{
    const char *colon = text.len > 0 ? memrchr(text.ptr, ':', text.len) : NULL;
    if (!colon)
        return -EINVAL;
    size_t at = (size_t)(colon - text.ptr);
    mh_str before = {text.ptr, at};
    int err = unbracket(&before);
    if (err == 0)
        err = parse_port(mh__str_from(text, at + 1), port);
    if (err == 0)
        *host = before;
    return err;
}

mh_str mh__address_ip(const struct mh__address *address)
{
    const void *addr = &address->addr;
    const char *bytes = addr;
    switch (address->addr.ss_family) {
    case AF_INET:
        return (mh_str){bytes + offsetof(struct sockaddr_in, sin_addr), sizeof(struct in_addr)};
    case AF_INET6:
        return (mh_str){bytes + offsetof(struct sockaddr_in6, sin6_addr), sizeof(struct in6_addr)};
    default:
        return (mh_str){NULL, 0};
    }
}

/* ---- to text ---- */

/* As much as there is room for. */
static void put(mh_buf *out, mh_str s)
{
    size_t room = out->max - out->len;
    mh__buf_put(out, s.ptr, s.len < room ? s.len : room);
}

static void put_port(mh_buf *out, in_port_t network_order)
{
    char text[1 + PORT_DIGITS];
    size_t at = sizeof(text);
    unsigned port = ntohs(network_order);
    do {
        text[--at] = (char)('0' + port % 10);
        port /= 10;
    } while (port > 0);
    text[--at] = ':';
    put(out, (mh_str){text + at, sizeof(text) - at});
}

static void put_ip(mh_buf *out, int family, mh_str ip)
{
    char text[INET6_ADDRSTRLEN];
    put(out, mh_str_from(inet_ntop(family, ip.ptr, text, sizeof(text))));
}

/* The path ends with a NUL, or with the address: the kernel's may be without one. A socket that
 * has no path has no name to be shown. */
static void put_unix(mh_buf *out, const struct mh__address *address)
{
    size_t len = address->len, start = offsetof(struct sockaddr_un, sun_path);
    const void *addr = &address->addr;
    const char *path = (const char *)addr + start;
    put(out, MH_STR(UNIX));
    if (len > start)
        put(out, (mh_str){path, strnlen(path, len - start)});
}

void mh__address_text(char *out, size_t cap, const struct mh__address *address)
{
    mh_buf text = mh__buf_over(out, cap);
    const void *addr = &address->addr;
    const struct sockaddr_in *in = addr;
    const struct sockaddr_in6 *in6 = addr;
    switch (address->addr.ss_family) {
    case AF_INET:
        put_ip(&text, AF_INET, mh__address_ip(address));
        put_port(&text, in->sin_port);
        break;
    case AF_INET6:
        put(&text, MH_STR("["));
        put_ip(&text, AF_INET6, mh__address_ip(address));
        put(&text, MH_STR("]"));
        put_port(&text, in6->sin6_port);
        break;
    case AF_UNIX:
        put_unix(&text, address);
        break;
    default:
        break;
    }
}
