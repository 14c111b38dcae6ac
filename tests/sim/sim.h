/* sim.h: a network in memory, whose clock nobody waits for and whose chances come from a seed: the
 * second backend of lib/loop/loop.h.
 *
 * There is one world, and one thread. Its time moves only while a loop waits, from one event to the
 * next. What happens on the way of the bytes is an event of the world; what a loop is told about
 * it, it is told in its own turn. The same seed gives the same run, to the last byte: sim.log says
 * so.
 *
 * Knows no HTTP. Who answers is a sim_service: a peer, or a test. */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include <stdnoreturn.h>

#include "loop/loop.h"
#include "random.h"

#define SIM_HOSTS_MAX 16
#define SIM_PLACES_MAX 64
#define SIM_PORTS_MAX 4
#define SIM_CONNS_MAX 4096      /* in one run */
#define SIM_EMPTY_TURNS_MAX 500 /* in a row that waited, and in which there was nothing to tell */
#define SIM_TURNS_MAX 400000    /* of all loops in one run; more of them do nothing but spin */

/* {0}: all is whole, at once, and nothing fails. Chances are per mille. */
struct sim_weather {
    uint32_t delay_us;  /* at most, of bytes on their way */
    uint32_t cut;       /* arrivals and receives that bring no more than piece_max bytes */
    uint32_t piece_max; /* at least 1 where anything is cut */
    uint32_t window;    /* bytes on their way or unread; 0: many */
    uint32_t short_send;
    uint32_t turn_us; /* that a turn takes by itself, at most */
    uint32_t connect_fault, receive_fault, send_fault, lookup_fault, loop_fault, accept_fault;
};

/* To happen at a time, once. */
struct sim_event {
    struct mh__link link;
    int64_t at; /* us */
    void (*run)(struct sim_event *event);
};

struct sim_conn;

/* The other end of connections, whoever has begun them. Calls about one connection end with
 * closed(). */
struct sim_service {
    void (*opened)(struct sim_conn *conn);
    void (*received)(struct sim_conn *conn, const char *data, size_t len);
    void (*closed)(struct sim_conn *conn); /* the library has gone, or the connection is broken */
    void (*ended)(struct sim_conn *conn);  /* the library sends no more; may be NULL */
    void (*taken)(struct sim_conn *conn);  /* it has read some; may be NULL */
};

enum sim_answer { SIM_FOUND, SIM_FAILS, SIM_HANGS };

struct sim_host {
    const char *name;
    enum sim_answer answer;
    uint32_t delay_us;
    const char *why; /* of SIM_FAILS */
    struct mh__addresses addresses;
};

enum sim_manner { SIM_ACCEPTS, SIM_REFUSES, SIM_SILENT, SIM_UNREACHABLE, SIM_NO_WAY };

/* An address, whatever the port. One that is not known is SIM_UNREACHABLE. */
struct sim_place {
    struct mh__address address;
    enum sim_manner manner;
    uint32_t delay_us;
    const struct sim_service *service;
};

/* Where connections come in: what stands for a listening descriptor is FIRST_PORT and its place. */
struct sim_port {
    struct mh__link waiting;   /* of struct sim_conn.ready: not accepted yet */
    struct mh__link listeners; /* of struct mh__listener.link */
    bool shut;
};

/* One direction. */
struct sim_flow {
    char *bytes; /* [from, len): not read yet; of these, those before `arrived` can be */
    size_t from, arrived, len, cap;
    struct sim_event arrival;
    bool finished; /* nothing follows `len` */
    bool ended;    /* ... and the receiver could know */
};

struct sim_conn {
    void *user; /* the service's */
    unsigned number;
    const struct sim_service *service;
    const struct sim_place *place; /* NULL: the service has dialled */
    uint16_t port;
    struct sim_port *dialled;  /* where; NULL: the library has connected */
    struct mh__socket *socket; /* NULL: the library has let go of it, or has not accepted it yet */
    struct mh__link ready;     /* in its loop: there is something to tell; or at its port */
    struct sim_flow up, down;  /* from the library, and to it */
    struct sim_event connecting, breaking;
    int connect_err, break_err;
    int broken; /* the error that both directions have; 0: none */
    int send_broken;
    int64_t last_us; /* when the library was told something, or bytes of its left it */
    bool connected, open, connect_due, sent_due, receiving, end_told;
    bool accepted;                /* its descriptor is with the library, and not adopted yet */
    bool left;                    /* the library has closed it ... */
    int64_t left_us, finished_us; /* ... then; and has sent its end then; 0: not yet */
    int64_t adopted_us;
    bool reset;    /* ... with bytes unread, so that what it had sent may be lost */
    bool end_seen; /* ended() was called */
    bool over;     /* closed() was called, or there is nobody to call it for */
    bool deaf;     /* bytes that arrive at the service are answered by a reset */
    bool stalled;  /* the service reads nothing */
};

struct sim_loop {
    struct mh_loop base;
    struct mh__link link;    /* in the world */
    struct mh__link ready;   /* of struct sim_conn.ready */
    struct mh__link answers; /* of lookups */
    int connected;           /* sockets that are */
    int adopted;             /* likewise, of the server's */
    bool woken, nudged;
};

extern struct sim {
    uint64_t seed;
    struct random random;
    struct sim_weather weather;
    int64_t now_us;
    struct mh__link events, loops, waiting; /* lookups that wait for their turn */
    struct sim_host hosts[SIM_HOSTS_MAX];
    struct sim_place places[SIM_PLACES_MAX];
    struct sim_port ports[SIM_PORTS_MAX];
    struct sim_conn *conns[SIM_CONNS_MAX];
    size_t host_count, place_count, port_count, conn_count;
    size_t sockets, descriptors, lookups, asking; /* open, at work */
    uint64_t turns, empty_turns;
    uint64_t empty_turns_max;         /* 0: SIM_EMPTY_TURNS_MAX */
    uint64_t log;                     /* a hash of all that happened */
    bool given[256];                  /* which errnos were handed out */
    bool share;                       /* a loop wakes when another one has something to do */
    int connected_max, per_place_max; /* of a loop; 0: any number */
    int adopted_max;
    bool verbose;
} sim;

void sim_begin(uint64_t seed);
void sim_settle(void); /* all that was closed is heard of at the other end */
void sim_end(void);    /* fails when something was left open */

/* "seed N: ..." and how to see it again; does not return. */
noreturn void sim_fail(const char *fmt, ...) MH_PRINTF(1, 2);
void sim_log(const char *fmt, ...) MH_PRINTF(1, 2);

int sim_error(int err); /* returns it; it was handed out from now on */

void sim_event_set(struct sim_event *event, int64_t at_us); /* again: moves it */
void sim_event_stop(struct sim_event *event);
/* As poll() on mh_loop_fd() would, in the event loop of somebody else. */
void sim_poll(mh_loop *loop, int timeout_ms);

bool sim_step(void); /* the next event, without a loop; false: there is none */

struct sim_host *sim_host_add(const char *name, enum sim_answer answer, uint32_t delay_us);
/* Text, such as "10.0.0.1" or "fd00::1", as one more address of the host, which may be NULL. */
struct sim_place *sim_place_add(struct sim_host *host, const char *text, enum sim_manner manner,
                                const struct sim_service *service);

/* A listening descriptor, which the kernel knows nothing of. */
int sim_listen(void);
void sim_shut(int listener); /* nobody is let in any more, and who waits is reset */
/* A service connects by itself. opened() follows, at a time of the network's. */
struct sim_conn *sim_dial(int listener, const struct sim_service *service, void *user);

/* What a service does. The bytes are copied; nothing here calls back. */
void sim_send(struct sim_conn *conn, const void *data, size_t len);
void sim_finish(struct sim_conn *conn);         /* nothing follows what was sent */
void sim_close(struct sim_conn *conn);          /* ... and nobody reads any more */
void sim_break(struct sim_conn *conn, int err); /* the library is told of an error, -ECONNRESET */
void sim_stall(struct sim_conn *conn, bool stalled);
size_t sim_unsent(
    const struct sim_conn *conn); /* of the service's bytes, not read by the library */

#endif
