/* names.c: see names.h. */
#include "names.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "inject.h"
#include "live.h"

/* ---- names ---- */

static const struct {
    const char *name;
    const char *addresses[2];
} hosts[] = {{"localhost", {"127.0.0.1", NULL}},
             {"two.test", {"127.0.0.2", "127.0.0.1"}},
             {"six.test", {"::1", "127.0.0.1"}},
             {"slow.test", {"127.0.0.1", NULL}}};

static atomic_bool held;

void names_hold(void)
{
    atomic_store(&held, true);
}

void names_release(void)
{
    atomic_store(&held, false);
}

static void wait_released(void)
{
    while (atomic_load(&held))
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void set_address(struct sockaddr_storage *out, struct addrinfo *info, const char *text)
{
    struct sockaddr_in *in = (struct sockaddr_in *)out;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
    info->ai_addr = (struct sockaddr *)out;
    info->ai_family = strchr(text, ':') ? AF_INET6 : AF_INET;
    out->ss_family = (sa_family_t)info->ai_family;
    info->ai_addrlen = info->ai_family == AF_INET ? sizeof(*in) : sizeof(*in6);
    if (info->ai_family == AF_INET)
        inet_pton(AF_INET, text, &in->sin_addr);
    else
        inet_pton(AF_INET6, text, &in6->sin6_addr);
}

struct entry {
    struct addrinfo info; /* first: freed through it */
    struct sockaddr_storage addr;
};

/* It cannot fail on its own, getaddrinfo() does that; but live.h sees whether it is given back. */
static struct addrinfo *list_of(const char *const addresses[2])
{
    struct addrinfo *list = NULL;
    for (int i = 1; i >= 0; i--) {
        struct entry *entry = addresses[i] ? calloc(1, sizeof(*entry)) : NULL;
        if (!entry)
            continue;
        live_add(entry, sizeof(*entry));
        set_address(&entry->addr, &entry->info, addresses[i]);
        entry->info.ai_socktype = SOCK_STREAM;
        entry->info.ai_next = list;
        list = &entry->info;
    }
    return list;
}

int names_look_up(const char *host, struct addrinfo **out)
{
    inject_leave();
    int result = EAI_NONAME;
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        if (strcmp(host, hosts[i].name) != 0)
            continue;
        if (strcmp(host, "slow.test") == 0)
            wait_released();
        *out = list_of(hosts[i].addresses);
        result = 0;
    }
    inject_enter();
    return result;
}

void names_free(struct addrinfo *list)
{
    while (list) {
        struct addrinfo *next = list->ai_next;
        free(list);
        list = next;
    }
}

/* ---- what is going on ---- */

static atomic_int listener = -1;
static atomic_bool polled;

void names_note_listener(int fd)
{
    atomic_store(&polled, false);
    atomic_store(&listener, fd);
}

void names_note_poll(void)
{
    atomic_store(&polled, true);
}

void names_forget(void)
{
    atomic_store(&polled, false);
    atomic_store(&listener, -1);
}

int names_listener(void)
{
    return atomic_load(&listener);
}

bool names_polled(void)
{
    return atomic_load(&polled);
}
