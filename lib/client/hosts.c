/* hosts.c: where to connect in place of what a name says. Looks nothing up. */
#include "client/hosts.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

static int refuse(const char **why, const char *text)
{
    *why = text;
    return -EINVAL;
}

static int read_name(struct mh__host *host, mh_str text, const char **why)
{
    mh_str name;
    if (mh__host_port(text, &name, &host->port) < 0 || name.len == 0 || host->port == 0)
        return refuse(why, "addresses: before the '=' stands no host:port");
    if (name.len > sizeof(host->name))
        return refuse(why, "addresses: a host name of more than 255 bytes");
    memcpy(host->name, name.ptr, name.len);
    host->name_len = name.len;
    return 0;
}

static bool is_unix(mh_str text)
{
    return text.len >= 5 && memcmp(text.ptr, "unix:", 5) == 0;
}

static int read_address(struct mh__host *host, mh_str text, const char **why)
{
    mh_str ip;
    uint16_t port;
    if (is_unix(text)) {
        if (mh__unix_address(&host->address, mh__str_from(text, 5)) < 0)
            return refuse(why, "addresses: the path of a unix socket is empty or too long");
        return 0;
    }
    if (mh__host_port(text, &ip, &port) < 0 || port == 0 ||
        !mh__literal_address(&host->address, ip, port))
        return refuse(why, "addresses: behind the '=' stands no ip:port, [ip]:port or unix:/path");
    return 0;
}

/* The first '=' divides: a path may have more of them. */
static int read_line(struct mh__host *host, mh_str line, const char **why)
{
    const char *mark = line.len > 0 ? memchr(line.ptr, '=', line.len) : NULL;
    if (!mark)
        return refuse(why, "addresses: a line without '='");
    size_t at = (size_t)(mark - line.ptr);
    int err = read_name(host, (mh_str){line.ptr, at}, why);
    return err < 0 ? err : read_address(host, mh__str_from(line, at + 1), why);
}

static size_t count_of(const char *const *lines)
{
    size_t count = 0;
    while (lines && lines[count])
        count++;
    return count;
}

int mh__hosts_init(struct mh__hosts *hosts, const char *const *lines, const char **why)
{
    struct mh__hosts found = {.count = count_of(lines)};
    int err = 0;
    if (found.count > 0 && !(found.at = mh__calloc(found.count, sizeof(*found.at))))
        return -ENOMEM;
    for (size_t i = 0; i < found.count && err == 0; i++)
        err = read_line(&found.at[i], mh_str_from(lines[i]), why);
    if (err == 0)
        *hosts = found;
    else
        mh__hosts_deinit(&found);
    return err;
}

void mh__hosts_deinit(struct mh__hosts *hosts)
{
    mh__free(hosts->at);
    *hosts = (struct mh__hosts){0};
}

bool mh__hosts_find(const struct mh__hosts *hosts, mh_str host, uint16_t port,
                    struct mh__address *out)
{
    for (size_t i = 0; i < hosts->count; i++) {
        const struct mh__host *it = &hosts->at[i];
        mh_str name = {it->name, it->name_len};
        if (it->port == port && mh__str_same_nocase(name, host)) {
            *out = it->address;
            return true;
        }
    }
    return false;
}
