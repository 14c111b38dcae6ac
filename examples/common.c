/* common.c: see common.h. */
#include "common.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define TIMEOUT_MAX_S 86400 /* a day */

/* ---- the command line ---- */

static int hint(const struct program *program)
{
    fprintf(stderr, "Try '%s --help'.\n", program->name);
    return 2;
}

int usage_error(const struct program *program, const char *about, const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", program->name, about, what);
    return hint(program);
}

int take_standard_option(const struct program *program, int option)
{
    if (option == 'h')
        fputs(program->usage, stdout);
    else if (option == 'v')
        printf("%s %s\n", program->name, mh_version());
    else
        return hint(program);
    return finish_output(program);
}

bool parse_number(int *number, const char *text, int min, int max)
{
    char *end;
    errno = 0;
    long found = strtol(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || found < min || found > max)
        return false;
    *number = (int)found;
    return true;
}

int take_timeout(const struct program *program, int *timeout_ms, const char *text)
{
    int seconds;
    if (!parse_number(&seconds, text, 1, TIMEOUT_MAX_S))
        return usage_error(program, text, "not a number of seconds from 1 to 86400");
    *timeout_ms = seconds * 1000;
    return GO_ON;
}

static int take_option(struct program *program, int option)
{
    switch (option) {
    case 'o':
        program->output = optarg;
        return GO_ON;
    case 'r':
        program->traces = true;
        return GO_ON;
    case 't':
        return take_timeout(program, &program->timeout_ms, optarg);
    default:
        return take_standard_option(program, option);
    }
}

static int take_options(struct program *program, int argc, char **argv)
{
    static const struct option all[] = {
        {"output", required_argument, NULL, 'o'},  {"trace", no_argument, NULL, 'r'},
        {"timeout", required_argument, NULL, 't'}, {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},       {0}};
    int option, status = GO_ON;
    const struct option *options = program->receives_all ? all : all + 2;
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

int print_body(mh_response *res, const char *data, size_t len)
{
    (void)res;
    errno = 0;
    if (fwrite(data, 1, len, stdout) == len)
        return 0;
    return errno ? -errno : -EIO;
}

void print_progress(uint64_t bytes, uint64_t total)
{
    fprintf(stderr, "\r%" PRIu64 " bytes", bytes);
    if (total != MH_LENGTH_UNKNOWN && total > 0)
        fprintf(stderr, ", %.0f %%", 100.0 * (double)bytes / (double)total);
}

int finish_output(const struct program *program)
{
    errno = 0;
    bool failed = ferror(stdout) != 0;
    if (fclose(stdout) == 0 && !failed)
        return 0;
    return explain_file(program, "standard output", errno ? -errno : -EIO);
}

/* ---- the transcript ---- */

static struct {
    mh_direction direction;
    bool line;        /* one has begun */
    uint64_t unshown; /* bytes that are no text, since it was last said how many */
} transcript;

static const char *arrow(void)
{
    return transcript.direction == MH_SENT ? "> " : "< ";
}

void begin_trace(void)
{
    setvbuf(stderr, NULL, _IOLBF, 0); /* or each byte would be written by itself */
}

void end_trace(void)
{
    if (transcript.line)
        fputc('\n', stderr);
    if (transcript.unshown > 0)
        fprintf(stderr, "%s(%" PRIu64 " bytes)\n", arrow(), transcript.unshown);
    transcript.line = false;
    transcript.unshown = 0;
}

static bool is_control(unsigned char byte)
{
    return byte == 0x7f || (byte < 0x20 && byte != '\r' && byte != '\n' && byte != '\t');
}

static bool is_text(const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (is_control((unsigned char)data[i]))
            return false;
    }
    return true;
}

static void trace_byte(unsigned char byte)
{
    if (!transcript.line)
        fputs(arrow(), stderr);
    transcript.line = byte != '\n';
    if (byte >= 0x80)
        fprintf(stderr, "\\x%02x", byte); /* whatever a terminal would make of it */
    else if (byte != '\r')
        fputc(byte, stderr);
}

int print_trace(mh_response *res, mh_direction direction, const char *data, size_t len)
{
    (void)res;
    bool text = is_text(data, len);
    if (direction != transcript.direction || (text ? transcript.unshown > 0 : transcript.line))
        end_trace();
    transcript.direction = direction;
    if (!text)
        transcript.unshown += len;
    for (size_t i = 0; text && i < len; i++)
        trace_byte((unsigned char)data[i]);
    return 0;
}

/* ---- what went wrong ---- */

static int explain(const struct program *program, const mh_response *res, const char *reason)
{
    mh_url url;
    /* After redirects it is the last one; it is empty where it was refused. */
    mh_str text = res->url.ptr ? res->url : mh_str_from(program->url);
    mh_str host = mh_url_parse(&url, text) == 0 ? url.host : text;
    fprintf(stderr, "%s: " MH_FMT ": %s: %s\n", program->name, MH_ARG(host),
            mh_phase_name(res->phase), reason);
    return 1;
}

int explain_failure(const struct program *program, const mh_response *res)
{
    return explain(program, res, res->detail ? res->detail : mh_strerror(res->error));
}

int explain_status(const struct program *program, const mh_response *res)
{
    char reason[64];
    snprintf(reason, sizeof(reason), "the answer was %d %s", res->status, mh_reason(res->status));
    return explain(program, res, reason);
}

int explain_file(const struct program *program, const char *file, int err)
{
    fprintf(stderr, "%s: %s: %s\n", program->name, file, mh_strerror(err));
    return 1;
}
