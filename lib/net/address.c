/* address.c: text to socket addresses. Looks nothing up and makes no system call. */
#include "net/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "base/str.h"

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
