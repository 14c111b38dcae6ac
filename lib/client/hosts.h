/* hosts.h: where to connect in place of what a name says. */
#ifndef MH_CLIENT_HOSTS_H
#define MH_CLIENT_HOSTS_H

#include "net/net.h"

struct mh__host {
    char name[MH__HOST_MAX];
    size_t name_len;
    uint16_t port;
    struct mh__address address;
};

struct mh__hosts {
    size_t count;
    struct mh__host *at;
};

/* Lines "example.com:80=127.0.0.1:8080", "[::1]:80=[::1]:8080", "example.com:80=unix:/path", NULL
 * at the end; `lines` may be NULL. Everything is copied. 0; -EINVAL, and *why (not NULL) gets
 * static text: a line that is none of these; -ENOMEM. *hosts is as it was after an error. */
MH_CHECK int mh__hosts_init(struct mh__hosts *hosts, const char *const *lines, const char **why);
void mh__hosts_deinit(struct mh__hosts *hosts); /* also on {0}, and twice */

/* The address of the first line for that host, compared without case as a URL has it (IPv6 without
 * brackets), and that port. false, and *out is as it was: there is none. */
bool mh__hosts_find(const struct mh__hosts *hosts, mh_str host, uint16_t port,
                    struct mh__address *out);

#endif
