/* world.c: time, chance, and who lives where. What moves in it is in sim.c. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "mem.h"
#include "sim.h"

#define SETTLE_MAX 1000000 /* events */

struct sim sim;

/* ---- words ---- */

static void add_to_log(const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        sim.log = (sim.log ^ (uint8_t)bytes[i]) * 1099511628211u;
}

void sim_log(const char *fmt, ...)
{
    char line[256];
    va_list args;
    int at = snprintf(line, sizeof(line), "%8lld.%03d ", (long long)(sim.now_us / 1000),
                      (int)(sim.now_us % 1000));
    va_start(args, fmt);
    vsnprintf(line + at, sizeof(line) - (size_t)at, fmt, args);
    va_end(args);
    add_to_log(line, strlen(line));
    if (sim.verbose)
        printf("%s\n", line);
}

void sim_fail(const char *fmt, ...)
{
    va_list args;
    printf("seed %llu: at %lld ms: ", (unsigned long long)sim.seed, (long long)(sim.now_us / 1000));
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    printf("\nagain: --seed %llu -v\n0 passed, 1 failed\n", (unsigned long long)sim.seed);
    fflush(stdout);
    _Exit(1);
}

int sim_error(int err)
{
    if (err < 0 && err > -(int)(sizeof(sim.given) / sizeof(sim.given[0])))
        sim.given[-err] = true;
    return err;
}

/* ---- time ---- */

static struct sim_event *event_of(struct mh__link *link)
{
    return MH__CONTAINER(link, struct sim_event, link);
}

/* Behind those of the same time. */
void sim_event_set(struct sim_event *event, int64_t at_us)
{
    mh__list_remove(&event->link);
    event->at = at_us < sim.now_us ? sim.now_us : at_us;
    struct mh__link *before = sim.events.prev;
    while (before != &sim.events && event_of(before)->at > event->at)
        before = before->prev;
    mh__list_prepend(before, &event->link);
}

void sim_event_stop(struct sim_event *event)
{
    mh__list_remove(&event->link);
}

/* ---- the map ---- */

struct sim_host *sim_host_add(const char *name, enum sim_answer answer, uint32_t delay_us)
{
    if (sim.host_count == SIM_HOSTS_MAX)
        sim_fail("the test has too many hosts");
    struct sim_host *host = &sim.hosts[sim.host_count++];
    *host = (struct sim_host){.name = name, .answer = answer, .delay_us = delay_us};
    return host;
}

struct sim_place *sim_place_add(struct sim_host *host, const char *text, enum sim_manner manner,
                                const struct sim_service *service)
{
    if (sim.place_count == SIM_PLACES_MAX || (host && host->addresses.count == MH__ADDRESSES_MAX))
        sim_fail("the test has too many addresses");
    struct sim_place *place = &sim.places[sim.place_count++];
    *place = (struct sim_place){.manner = manner, .service = service};
    if (!mh__literal_address(&place->address, mh_str_from(text), 0))
        sim_fail("the test has an address that is none: %s", text);
    if (host)
        host->addresses.at[host->addresses.count++] = place->address;
    return place;
}

/* ---- beginning and end ---- */

void sim_begin(uint64_t seed)
{
    bool verbose = sim.verbose;
    sim = (struct sim){.seed = seed, .verbose = verbose, .random = {random_mix(seed + 1)}};
    sim.log = 14695981039346656037u;
    sim.now_us = 1000000;
    mh__list_init(&sim.events);
    mh__list_init(&sim.loops);
    mh__list_init(&sim.waiting);
    mem_begin(random_mix(seed + 2), (size_t)-1);
}

void sim_settle(void)
{
    for (int i = 0; i < SETTLE_MAX && sim_step(); i++)
        ;
}

static void free_conn(struct sim_conn *conn)
{
    if (conn->open && !conn->over && !conn->socket)
        sim_fail("%u: its service was not told of the end", conn->number);
    free(conn->up.bytes);
    free(conn->down.bytes);
    free(conn);
}

void sim_end(void)
{
    for (size_t i = 0; i < sim.conn_count; i++)
        free_conn(sim.conns[i]);
    sim.conn_count = 0;
    if (!mh__list_empty(&sim.loops))
        sim_fail("a loop was not freed");
    if (sim.sockets > 0)
        sim_fail("%zu sockets are still open", sim.sockets);
    if (sim.descriptors > 0)
        sim_fail("%zu accepted descriptors are still open", sim.descriptors);
    if (sim.lookups > 0)
        sim_fail("%zu lookups are still at work", sim.lookups);
    if (mem.blocks > 0)
        sim_fail("%zu blocks, %zu bytes, were not freed", mem.blocks, mem.live);
}
