/* simple_get.c: send one GET request, call recv() once, print what came.
 *
 *   simple_get [--timeout SECONDS] [URL] */
#include <stdio.h>

#include "common.h"

#define URL "http://gaia.cs.umass.edu/wireshark-labs/INTRO-wireshark-file1.html"

static const char usage[] = "usage: simple_get [options] [URL]\n"
                            "Send one GET request, receive once, print the bytes that came.\n"
                            "Without a URL: " URL "\n\n"
                            "  --timeout SECONDS  give up after that time\n"
                            "  --help             print this\n"
                            "  --version          print the version\n";

int main(int argc, char **argv)
{
    struct program program = {.name = "simple_get", .usage = usage, .url = URL};
    int status = parse_command_line(&program, argc, argv);
    if (status >= 0)
        return status;

    static char buf[65536];
    mh_response res = {0};
    mh_fetch fetch = {.url = program.url, .timeout_ms = program.timeout_ms};
    ssize_t len = mh_client_fetch_once(NULL, &fetch, buf, sizeof(buf), &res);
    if (len < 0) {
        status = explain_failure(&program, &res);
    } else {
        print_request(res.url);
        printf("[RECV] - length: %zd\n", len);
        print_bytes((mh_str){buf, (size_t)len});
        status = finish_output(&program);
    }
    mh_response_free(&res);
    return status;
}
