/* lab_server.h: what the three files of the lab's server share: lab_server.c is the program,
 * lab_routes.c what it answers, lab_clock.c the thread that does things later. */
#ifndef TESTS_PEERS_LAB_SERVER_H
#define TESTS_PEERS_LAB_SERVER_H

#include <minihttp.h>

/* The one that this program is. */
struct lab {
    mh_server *server;
    mh_files files, prefixed, listing; /* the same folder */
    mh_str large;                      /* what /large has */
    int access;                        /* a descriptor, or -1 */
    bool streams;                      /* bodies come in pieces, and handlers run before them */
};
extern struct lab lab;

/* Ends with {0}. */
extern const mh_route lab_routes[];

/* run(data) is called in the clock's thread, ms from now; or earlier, when the clock stops. */
void lab_clock_start(void);
void lab_clock_after(int ms, void (*run)(void *data), void *data);
void lab_clock_stop(void);

/* calloc() that ends the program when there is no memory. */
void *lab_alloc(size_t size);

#endif
