/* h1_runner.h: the cases in tests/cases, read and run. cases/README.md explains the format. */
#ifndef TESTS_H1_RUNNER_H
#define TESTS_H1_RUNNER_H

#include <limits.h>

#include <minihttp/h1.h>

#define H1_ANY_ERROR INT_MIN /* of MALFORMED, FRAMING and CODING, where the RFC leaves it open */

enum h1_what {          /* one line of a case */
               H1_FEED, /* what the peer sends */
               H1_WRITTEN,
               H1_PUT,
               H1_PUT_BODY,
               H1_PUT_END,
               H1_ASK,
               H1_REPLY,
               H1_RESTART,
               H1_EOF,
               H1_EVENT, /* HEAD, BODY, END, ... */
               H1_LEFT,
               H1_WANTS_CONTINUE,
               H1_REUSABLE,
               H1_REST
};

struct h1_item {
    enum h1_what what;
    int line;
    int event;  /* an mh_h1_event, or the error that is expected of an EVENT, EOF or put */
    int status; /* of a head, or of a fault; 0: not told */
    int minor;
    mh_str text; /* bytes, a method or a reason */
    mh_str target;
    size_t to;       /* FEED: all input up to here is there now */
    uint64_t amount; /* LEFT */
    int64_t offset;  /* -1: not told */
    int byte;        /* -1: none; -2: not told */
    bool late, yes;
    bool more_fields; /* "..." */
    size_t first_field, fields;
};

struct h1_case {
    const char *file;
    const char *title;
    int line;
    mh_h1_role role;
    size_t head_max;
    mh_buf input;
    size_t first_item, items;
};

struct h1_suite {
    struct h1_case *cases;
    struct h1_item *items;
    mh_header *fields;
    void **strings;
    size_t case_count, item_count, field_count, string_count;
};

/* Which ways to cut the input. */
enum h1_depth {
    H1_DEPTH_QUICK, /* whole and byte by byte: for valgrind */
    H1_DEPTH_FULL
};

/* Read one file, or each *.txt of a folder. false: a message was printed to stderr. A file without
 * a case is an error too. */
bool h1_suite_read(struct h1_suite *suite, const char *path);

/* Parse text as if it were a file of that name. */
bool h1_suite_parse(struct h1_suite *suite, const char *name, mh_str text);
void h1_suite_free(struct h1_suite *suite);

/* Run every case. Returns how many failed; each is printed to stderr with its file and line, unless
 * quiet. *runs: how often the engine was driven from start to end. */
size_t h1_suite_run(const struct h1_suite *suite, enum h1_depth depth, bool quiet, size_t *runs);

#endif
