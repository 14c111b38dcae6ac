/* options.h: what get, post, upload and many can be told in common: how a server is reached, and
 * what it is asked with. */
#ifndef EXAMPLES_OPTIONS_H
#define EXAMPLES_OPTIONS_H

#include <getopt.h>

#include "common.h"

#define ADDRESSES_MAX 32 /* --address, so many times */
#define FIELDS_MAX 64    /* --header */

struct options { /* {0}, and then take_client_option() fills it in */
    mh_client_options client;
    mh_fetch fetch; /* what holds for every URL */
    bool fail;      /* an answer of 400 or above is a failure */
    int address_count, field_count;
    const char *addresses[ADDRESSES_MAX + 1];
    const char *fields[FIELDS_MAX + 1];
};

/* For the table of getopt_long(), and for --help. */
/* clang-format off */
#define CLIENT_OPTIONS                               \
    {"address", required_argument, NULL, 'A'},       \
    {"ca-file", required_argument, NULL, 'C'},       \
    {"fail", no_argument, NULL, 'F'},                \
    {"header", required_argument, NULL, 'H'},        \
    {"insecure", no_argument, NULL, 'K'},            \
    {"proxy", required_argument, NULL, 'P'},         \
    {"timeout", required_argument, NULL, 't'},       \
    {"help", no_argument, NULL, 'h'},                \
    {"version", no_argument, NULL, 'v'}
#define TRACE_OPTIONS                                \
    {"trace", no_argument, NULL, 'r'},               \
    {"trace-secrets", no_argument, NULL, 'R'}
/* clang-format on */

#define CLIENT_HELP                                                                                \
    "  --address HOST:PORT=TO  connect to TO, \"127.0.0.1:8080\" or \"unix:/path\", for that\n"    \
    "  --ca-file FILE          trust the certificates in FILE, and no others\n"                    \
    "  --fail                  an answer of 400 or above is a failure\n"                           \
    "  --header 'NAME: VALUE'  send this too\n"                                                    \
    "  --insecure              do not check certificates\n"                                        \
    "  --proxy URL             go by that proxy; '': by none\n"                                    \
    "  --timeout SECONDS       give up after that time\n"                                          \
    "  --help                  print this\n"                                                       \
    "  --version               print the version\n"
#define TRACE_HELP                                                                                 \
    "  --trace                 show what is sent and received\n"                                   \
    "  --trace-secrets         the same, with the credentials in it\n"

/* One that getopt_long() has found. GO_ON, or the exit status. */
int take_client_option(const struct program *program, struct options *options, int option);

/* A field that is sent. It stays where it is. GO_ON, or the exit status. */
int add_field(const struct program *program, struct options *options, const char *line);

/* A client with these options. GO_ON; or 1, and what is wrong has been said. */
int open_client(const struct program *program, mh_client **client, const struct options *options);

/* For an on_head: ends the transfer where --fail says so. */
int check_status(const struct options *options, const mh_response *res);

/* A fetch with print_body() is over: what there is to say about it. Returns 0, or 1 when it failed.
 */
int report(const struct program *program, const mh_response *res);

/* No more fetches, of which `status` has become. Returns the exit status. */
int finish_bodies(const struct program *program, int status);

#endif
