/* h1_walk.h: one engine, driven over one input from start to end, and what it said. For tests that
 * make up their own input: what the engine says has to be the same however the input is cut. */
#ifndef TESTS_H1_WALK_H
#define TESTS_H1_WALK_H

#include <minihttp/h1.h>

#include "memory.h"

struct walk {
    mh_h1_role role;
    const char *method; /* client: what was asked; a server answers each request with 200 */
    size_t head_max;
    const unsigned char *cuts; /* pieces of so many bytes and one, over and over */
    size_t cut_count;          /* 0: the input comes whole */
    size_t messages_max;       /* stop after so many; 0: no limit */
    struct memory *memory;
};

/* All but the log is about the first message. */
struct walked {
    mh_buf log; /* every event, and what it showed */
    bool head;
    int event; /* the last one: an error, or PAUSED, NEED_MORE, ... */
    mh_h1_fault fault;
    int status;
    size_t fields;
    size_t head_len;
    uint64_t left; /* of the body, behind the head */
    uint64_t body;
    bool end;
    size_t message_len;
};

/* *out is {0} before the first walk, and may be used again. */
void walk(const struct walk *how, mh_str input, struct walked *out);
void walked_free(struct walked *out);

#endif
