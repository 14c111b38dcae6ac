/* peer.h: the servers of the simulation. A request says which job it belongs to and at which hop of
 * its redirects it is: "/r/JOB/HOP". The job says what is to be done about it, and the peer notes
 * what it has seen. */
#ifndef TESTS_SIM_PEER_H
#define TESTS_SIM_PEER_H

#include <minihttp/h1.h>

#include "sim.h"

#define PEER_HOPS_MAX 4

enum peer_framing { PEER_LENGTH, PEER_CHUNKED, PEER_UNTIL_CLOSE };

/* What it does in place of the whole answer, from some byte on. */
enum peer_fault {
    PEER_FINE,
    PEER_CLOSES,
    PEER_RESETS,
    PEER_FALLS_SILENT,
    PEER_STALLS, /* and reads nothing of the request behind its head */
    PEER_DRIPS,  /* slowly, but all of it */
    PEER_GARBLES_HEAD,
    PEER_GARBLES_CHUNK,
    PEER_ENDLESS_HEAD,
    PEER_ENDLESS_INTERIMS,
    PEER_ENDLESS_EXTENSION, /* these two where the answer is chunked; else the head is endless */
    PEER_ENDLESS_TRAILERS,
    PEER_FAULTS
};

struct peer_hop {
    /* the plan */
    int status;
    enum peer_framing framing;
    uint32_t size;
    uint32_t wait_us, drip_ms;
    int interims;
    int next;      /* the hop that it redirects to; -1: none */
    char host[32]; /* "name" or "name:port", of this hop's URL */
    bool trailers, keeps, early, continues, relative;
    bool gzip;    /* its answer, where the client asks for it */
    bool refuses; /* an Expect, with 417 */
    enum peer_fault fault;
    uint32_t fault_at; /* per mille of the answer */
    /* what has to be asked */
    const char *method;
    bool has_body;
    bool foreign; /* not of the first origin: no secrets */
    /* what was seen */
    unsigned begun, complete; /* requests whose target was read; and whose end was */
    bool struck;              /* the fault has happened */
    bool refused;             /* an Expect was */
    bool coded;               /* its answer was */
    uint64_t body_len;        /* of its answer's body, as it is sent */
    struct sim_conn *conn;    /* the last one that it was asked for on */
};

struct peer_job {
    unsigned id;
    uint64_t upload;   /* bytes */
    const char *login; /* the value of Authorization; NULL: none */
    bool cookie;       /* it has other secrets: "Cookie: k=v", "X-Key: k" */
    unsigned hop_count;
    struct peer_hop hops[PEER_HOPS_MAX];
};

extern struct peer {
    struct random random;
    struct peer_job *(*find)(unsigned id); /* NULL: there is no such job */
    bool is_proxy;                         /* it is asked for whole URLs */
    uint32_t idle_close;                   /* per mille of connections that could be kept */
    uint32_t idle_us;                      /* at most, until then */
    uint64_t closed_idle;                  /* how many were */
    bool says_408;                         /* before it does that */
    uint64_t said_408;
} peer;

extern const struct sim_service peer_service;

void peer_begin(uint64_t seed, struct peer_job *(*find)(unsigned id));

/* Byte i of what belongs to a job: the body of its answer, and what it uploads. */
char peer_body(unsigned id, uint64_t i);
char peer_upload(unsigned id, uint64_t i);

bool peer_has_body(const struct peer_hop *hop); /* its answer */

#endif
