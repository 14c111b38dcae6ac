/* common.c: see common.h. */
#include "common.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#define TIMEOUT_MAX_S 86400 /* a day */

/* ---- the command line ---- */

static int print_usage(const struct program *program)
{
    printf("usage: %s [options] [URL]\n"
           "%s\n"
           "Without a URL: %s\n\n",
           program->name, program->purpose, program->url);
    if (program->has_output)
        puts("  --output FILE      write the body to FILE, not the response to the terminal");
    puts("  --timeout SECONDS  give up after that time\n"
         "  --help             print this\n"
         "  --version          print the version");
    return finish_output(program);
}

static int print_version(const struct program *program)
{
    printf("%s %s\n", program->name, mh_version());
    return finish_output(program);
}

static int hint(const struct program *program)
{
    fprintf(stderr, "Try '%s --help'.\n", program->name);
    return 2;
}

static int usage_error(const struct program *program, const char *about, const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", program->name, about, what);
    return hint(program);
}

static bool parse_timeout(int *timeout_ms, const char *text)
{
    char *end;
    errno = 0;
    unsigned long seconds = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || seconds < 1 || seconds > TIMEOUT_MAX_S)
        return false;
    *timeout_ms = (int)seconds * 1000;
    return true;
}

#define GO_ON (-1)

static int take_option(struct program *program, int option)
{
    switch (option) {
    case 'o':
        program->output = optarg;
        return GO_ON;
    case 't':
        if (!parse_timeout(&program->timeout_ms, optarg))
            return usage_error(program, optarg, "not a number of seconds from 1 to 86400");
        return GO_ON;
    case 'h':
        return print_usage(program);
    case 'v':
        return print_version(program);
    default:
        return hint(program); /* getopt_long() has said what is wrong */
    }
}

static int take_options(struct program *program, int argc, char **argv)
{
    static const struct option all[] = {{"output", required_argument, NULL, 'o'},
                                        {"timeout", required_argument, NULL, 't'},
                                        {"help", no_argument, NULL, 'h'},
                                        {"version", no_argument, NULL, 'v'},
                                        {0}};
    int option, status = GO_ON;
    const struct option *options = program->has_output ? all : all + 1;
    argv[0] = program->name; /* what getopt_long() says begins as all other lines do */
    while (status == GO_ON && (option = getopt_long(argc, argv, "", options, NULL)) != -1)
        status = take_option(program, option);
    return status;
}

int parse_command_line(struct program *program, int argc, char **argv)
{
    int status = take_options(program, argc, argv);
    if (status != GO_ON)
        return status;
    if (optind < argc)
        program->url = argv[optind++];
    return optind < argc ? usage_error(program, argv[optind], "one URL is enough") : GO_ON;
}

/* ---- what is printed ---- */

/* Host and port as they stand in the URL, an IPv6 address in its brackets. */
static mh_str authority(const mh_url *url)
{
    const char *from = url->host.ptr[-1] == '[' ? url->host.ptr - 1 : url->host.ptr;
    return (mh_str){from, (size_t)(url->path.ptr - from)};
}

void print_request(mh_str text)
{
    mh_url url;
    if (mh_url_parse(&url, text) < 0)
        return;
    mh_str host = authority(&url);
    printf("Request: GET %s" MH_FMT " HTTP/1.1\n", url.path.len == 0 ? "/" : "",
           MH_ARG(url.target));
    printf("Host:" MH_FMT "\n", MH_ARG(host));
}

void print_bytes(mh_str bytes)
{
    if (bytes.len > 0)
        fwrite(bytes.ptr, 1, bytes.len, stdout);
}

/* ---- what went wrong ---- */

int explain_transfer(const struct program *program, const mh_response *res, const char *reason)
{
    mh_url url;
    mh_str text = mh_str_from(program->url); /* res->url is empty where it was refused */
    mh_str host = mh_url_parse(&url, text) == 0 ? url.host : text;
    fprintf(stderr, "%s: " MH_FMT ": %s: %s\n", program->name, MH_ARG(host),
            mh_phase_name(res->phase), reason);
    return 1;
}

int explain_failure(const struct program *program, const mh_response *res)
{
    return explain_transfer(program, res, res->detail ? res->detail : mh_strerror(res->error));
}

int explain_file(const struct program *program, const char *file, int err)
{
    fprintf(stderr, "%s: %s: %s\n", program->name, file, mh_strerror(err));
    return 1;
}

int finish_output(const struct program *program)
{
    errno = 0;
    bool failed = ferror(stdout) != 0;
    if (fclose(stdout) == 0 && !failed)
        return 0;
    return explain_file(program, "standard output", errno ? -errno : -EIO);
}
