/* common.h: what simple_get and large_file_get share: the command line, and what they print. */
#ifndef EXAMPLES_COMMON_H
#define EXAMPLES_COMMON_H

#include <stdbool.h>

#include <minihttp.h>

struct program {
    char name[16];
    const char *purpose; /* a line for --help */
    const char *url;     /* the standard one; an argument replaces it */
    bool has_output;     /* takes --output */
    const char *output;  /* a file name, or NULL */
    int timeout_ms;      /* 0: the library's standard */
};

/* Look at the command line. Returns -1 to go on, or an exit status: 0 after --help or --version, 2
 * after a mistake, which has been explained. */
int parse_command_line(struct program *program, int argc, char **argv);

/* "Request: GET /index.html HTTP/1.1" and "Host:example.com", of a URL that was fetched. */
void print_request(mh_str text);

/* Bytes to the standard output, as they are. */
void print_bytes(mh_str bytes);

/* One line on the standard error output: "simple_get: example.com: connect: Connection refused".
 * Returns 1, the exit status. explain_transfer(): a reason that is no error of the library. */
int explain_failure(const struct program *program, const mh_response *res);
int explain_transfer(const struct program *program, const mh_response *res, const char *reason);
int explain_file(const struct program *program, const char *file, int err);

/* Has everything been printed? A full disk shows here. Returns the exit status. */
int finish_output(const struct program *program);

#endif
