/* serving.h: what hello, routes, stream and https can be told in common: where they listen; and how
 * the last three go on from there. */
#ifndef EXAMPLES_SERVING_H
#define EXAMPLES_SERVING_H

#include <getopt.h>

#include "common.h"

struct serving {
    const char *host;  /* NULL: 127.0.0.1 */
    int port;          /* DEFAULT_PORT, unless it was given */
    char address[300]; /* of both, once place_server() was called */
};

#define DEFAULT_PORT 8080

/* For the table of getopt_long(), and for --help. */
/* clang-format off */
#define SERVING_OPTIONS                              \
    {"address", required_argument, NULL, 'a'},       \
    {"port", required_argument, NULL, 'p'},          \
    {"help", no_argument, NULL, 'h'},                \
    {"version", no_argument, NULL, 'v'}
/* clang-format on */

#define SERVING_HELP                                                                               \
    "  --address A  listen at this address (127.0.0.1)\n"                                          \
    "  --port N     listen at this port (8080); 0: a free one\n"                                   \
    "  --help       print this\n"                                                                  \
    "  --version    print the version\n"

/* One that getopt_long() has found. GO_ON, or the exit status. */
int take_serving_option(const struct program *program, struct serving *serving, int option);

/* The options are all there; puts the address together. GO_ON, or the exit status. */
int place_server(const struct program *program, struct serving *serving, int argc, char **argv);

/* Both, for a program that has no options beside these. GO_ON, or the exit status. */
int parse_serving(struct program *program, struct serving *serving, int argc, char **argv);

/* Make a server at that address, print where it is, serve until Control-C with a line for each
 * request. Returns the exit status. */
int run_server(const struct program *program, const struct serving *serving,
               mh_server_options options);

#endif
