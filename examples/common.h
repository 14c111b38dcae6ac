/* common.h: what the programs here share: words on the terminal, and what a command line is made
 * of. options.h beside it has what a client is told. */
#ifndef EXAMPLES_COMMON_H
#define EXAMPLES_COMMON_H

#include <stdbool.h>

#include <minihttp.h>

struct program {
    char name[16];
    const char *usage;  /* what --help prints */
    const char *url;    /* what is fetched, for messages about it */
    bool receives_all;  /* parse_command_line(): takes --output and --trace */
    const char *output; /* a file name, or NULL */
    bool traces;        /* --trace */
    int timeout_ms;     /* 0: the library's standard */
};

/* ---- the command line ---- */

enum { GO_ON = -1 }; /* in place of an exit status: there is more to do */

/* That of simple_get and large_file_get. GO_ON, or an exit status: 0 after --help or --version, 2
 * after a mistake, which has been explained. */
int parse_command_line(struct program *program, int argc, char **argv);

/* 'h' and 'v' are --help and --version; of anything else getopt_long() has said what is wrong.
 * Returns the exit status. */
int take_standard_option(const struct program *program, int option);

/* "get: 0: not a number from 1 to 86400", and where help is. Returns 2, the exit status. */
int usage_error(const struct program *program, const char *about, const char *what);

/* Digits and nothing else, from min to max. */
bool parse_number(int *number, const char *text, int min, int max);

/* Seconds. GO_ON, or the exit status. */
int take_timeout(const struct program *program, int *timeout_ms, const char *text);

/* ---- what is printed ---- */

/* "Request: GET /index.html HTTP/1.1" and "Host:example.com", of a URL that was fetched. */
void print_request(mh_str text);

/* Bytes to the standard output, as they are. */
void print_bytes(mh_str bytes);

/* The same as an on_body. A disk that is full ends the transfer; finish_output() says so. */
int print_body(mh_response *res, const char *data, size_t len);

/* "81 bytes, 100 %", on the line of the standard error output where it stood before. */
void print_progress(uint64_t bytes, uint64_t total);

/* Has everything been printed? A full disk shows here. Returns the exit status. */
int finish_output(const struct program *program);

/* An on_trace: what goes by, as a person reads it, on the standard error output:
 *
 *   > GET / HTTP/1.1
 *   < HTTP/1.1 200 OK
 *   < (1024 bytes)
 *
 * begin_trace() comes before it, and end_trace() before anything else is printed there. */
int print_trace(mh_response *res, mh_direction direction, const char *data, size_t len);
void begin_trace(void);
void end_trace(void);

/* ---- what went wrong ---- */

/* One line on the standard error output: "simple_get: example.com: connect: Connection refused".
 * Returns 1, the exit status. */
int explain_failure(const struct program *program, const mh_response *res);
int explain_status(const struct program *program, const mh_response *res); /* "... was 404 ..." */
int explain_file(const struct program *program, const char *file, int err);

#endif
