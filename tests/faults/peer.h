/* peer.h: the other end of a connection. Peers run in threads that are not counted, wait for what
 * they need and not a moment longer, and end when the other side does. */
#ifndef TESTS_FAULTS_PEER_H
#define TESTS_FAULTS_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <minihttp/base.h>

#define PEER_PIECES_MAX 8
#define PEER_GOT_MAX (256u << 10)

/* ---- a server: reads each request to its end, and answers with the pieces. The next piece goes
 *      out when the one before has been received. One connection after the other: what comes
 *      meanwhile waits. ---- */

struct answer {
    const char *pieces[PEER_PIECES_MAX]; /* NULL at the end */
    mh_str tail;                         /* bytes that go out behind the last piece */
    const char *target;      /* it is for requests for that; NULL: for whatever comes next */
    const char *before_body; /* what is said when the head is there and the body is not */
    bool keep;               /* the connection stays for another request */
};

void peer_prepare(void); /* once in a process, before descriptors are counted */

/* For the next requests, one answer each; the last one is given again and again. Returns the port.
 * 127.0.0.1; the same port in every run of this process. */
int peer_serve(const struct answer *answers, size_t count);

/* Waits until that many connections were closed by the server. */
void peer_await_closed(int count);

/* Ends it, and returns all that was asked. */
mh_str peer_stop(void);

/* ---- a client: does the steps, reads until the end, closes. ---- */

struct step {
    const char *send;     /* NULL at the end */
    const char *wait_for; /* before that: until this stands in what came; NULL: at once */
};

void peer_call(int fd, const struct step *steps, bool half_close);
mh_str peer_hang_up(void); /* waits for its end; all that came */

/* A connection to the address that a listener has, or -1. */
int peer_connect(int listener);

#endif
