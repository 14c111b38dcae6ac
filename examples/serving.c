/* serving.c: see serving.h. */
#include "serving.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int take_serving_option(const struct program *program, struct serving *serving, int option)
{
    switch (option) {
    case 'a':
        serving->host = optarg;
        return *optarg ? GO_ON : usage_error(program, "--address", "empty");
    case 'p':
        if (!parse_number(&serving->port, optarg, 0, 65535))
            return usage_error(program, optarg, "not a port");
        return GO_ON;
    default:
        return take_standard_option(program, option);
    }
}

int place_server(const struct program *program, struct serving *serving, int argc, char **argv)
{
    const char *host = serving->host ? serving->host : "127.0.0.1";
    bool ipv6 = strchr(host, ':') != NULL; /* goes into brackets */
    if (optind < argc)
        return usage_error(program, argv[optind], "unexpected argument");
    int len = snprintf(serving->address, sizeof(serving->address), ipv6 ? "[%s]:%d" : "%s:%d", host,
                       serving->port);
    if (len < 0 || (size_t)len >= sizeof(serving->address))
        return usage_error(program, "--address", "too long");
    return GO_ON;
}

int parse_serving(struct program *program, struct serving *serving, int argc, char **argv)
{
    static const struct option names[] = {SERVING_OPTIONS, {0}};
    int option, status = GO_ON;
    *serving = (struct serving){.port = DEFAULT_PORT};
    argv[0] = program->name;
    while (status == GO_ON && (option = getopt_long(argc, argv, "", names, NULL)) != -1)
        status = take_serving_option(program, serving, option);
    return status == GO_ON ? place_server(program, serving, argc, argv) : status;
}

/* ---- the server ---- */

/* A write to a terminal may block for a moment, and all of this thread's connections with it: a
 * program that must not put up with it hands its lines to another thread. */
static void print_access(const mh_request *req, int status, uint64_t sent, int64_t took_us)
{
    mh_buf line = {0};
    (void)took_us;
    if (mh_log_combined(&line, req, status, sent) == 0)
        print_bytes(mh_buf_str(&line));
    mh_buf_free(&line);
}

static void print_place(const struct serving *serving, const mh_server_options *options,
                        uint16_t port)
{
    int len = (int)(strrchr(serving->address, ':') - serving->address);
    printf("%s://%.*s:%u/\n", options->cert_file ? "https" : "http", len, serving->address, port);
}

/* Whether it is a file or the address follows from what mh_server_new() says. */
static const char *blame(const mh_server_options *options, int err)
{
    if (!options->cert_file)
        return options->address;
    if (options->key_file && access(options->key_file, R_OK) < 0)
        return options->key_file;
    bool file = err == MH_ERR_TLS || err == MH_ERR_SCHEME || access(options->cert_file, R_OK) < 0;
    return file ? options->cert_file : options->address;
}

int run_server(const struct program *program, const struct serving *serving,
               mh_server_options options)
{
    mh_server *server;
    setvbuf(stdout, NULL, _IOLBF, 0); /* line by line, in a pipe too */
    options.address = serving->address;
    options.stop_on_signals = true;
    options.on_access = print_access;
    int err = mh_server_new(&server, &options);
    if (err == 0) {
        print_place(serving, &options, mh_server_port(server));
        err = mh_server_run(server);
    }
    mh_server_free(server);
    return err < 0 ? explain_file(program, blame(&options, err), err) : finish_output(program);
}
