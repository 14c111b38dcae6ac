/* options.c: see options.h. */
#include "options.h"

#include <errno.h>
#include <stdio.h>

static int add_address(const struct program *program, struct options *options, const char *line)
{
    if (options->address_count == ADDRESSES_MAX)
        return usage_error(program, line, "too many addresses");
    options->client.addresses = options->addresses;
    options->addresses[options->address_count++] = line;
    return GO_ON;
}

int add_field(const struct program *program, struct options *options, const char *line)
{
    if (options->field_count == FIELDS_MAX)
        return usage_error(program, line, "too many headers");
    options->fetch.headers = options->fields;
    options->fields[options->field_count++] = line;
    return GO_ON;
}

static void trace(struct options *options, unsigned flags)
{
    begin_trace();
    options->fetch.on_trace = print_trace;
    options->fetch.flags |= flags;
}

int take_client_option(const struct program *program, struct options *options, int option)
{
    switch (option) {
    case 'A':
        return add_address(program, options, optarg);
    case 'C':
        options->client.ca_file = optarg;
        return GO_ON;
    case 'F':
        options->fail = true;
        return GO_ON;
    case 'H':
        return add_field(program, options, optarg);
    case 'K':
        options->client.insecure = true;
        return GO_ON;
    case 'P':
        options->client.proxy = optarg;
        return GO_ON;
    case 'r':
        trace(options, 0);
        return GO_ON;
    case 'R':
        trace(options, MH_FETCH_SHOW_SECRETS);
        return GO_ON;
    case 't':
        return take_timeout(program, &options->fetch.timeout_ms, optarg);
    default:
        return take_standard_option(program, option);
    }
}

/* mh_client_new() says what is wrong; which option it is about follows from that. */
static const char *blame(const mh_client_options *options, int err)
{
    if (err == -EINVAL)
        return "--address";
    if (err == MH_ERR_URL || (err == MH_ERR_SCHEME && !options->ca_file))
        return options->proxy ? options->proxy : "the proxy of the environment";
    return options->ca_file ? options->ca_file : "client";
}

int open_client(const struct program *program, mh_client **client, const struct options *options)
{
    int err = mh_client_new(client, &options->client);
    return err < 0 ? explain_file(program, blame(&options->client, err), err) : GO_ON;
}

int check_status(const struct options *options, const mh_response *res)
{
    return options->fail && res->status >= 400 ? -ECANCELED : 0;
}

int report(const struct program *program, const mh_response *res)
{
    end_trace();
    if (res->error == 0)
        return 0;
    if (ferror(stdout))
        return explain_file(program, "standard output", res->error);
    if (res->error == -ECANCELED)
        return explain_status(program, res);
    return explain_failure(program, res);
}

int finish_bodies(const struct program *program, int status)
{
    return ferror(stdout) ? 1 : finish_output(program) | status;
}
