/* get.c: fetch URLs, one after the other, and print their bodies as they come.
 *
 *   get [options] URL...
 *
 * One client for all of them: a server that is asked twice is connected to once. */
#include <stdio.h>

#include "options.h"

static const char usage[] = "usage: get [options] URL...\n"
                            "Fetch URLs, one after the other, and print their bodies.\n\n"
                            "  --head                  ask for the head alone, and print it\n"
                            "  --include               print the head too\n"
                            "  --no-redirects          do not follow them\n" TRACE_HELP CLIENT_HELP;

struct get {
    struct program program;
    struct options options;
    bool heads; /* are printed */
};

static int on_head(mh_response *res)
{
    const struct get *get = res->user;
    int err = check_status(&get->options, res);
    if (err < 0 || !get->heads)
        return err;
    return print_body(res, res->head.ptr, res->head.len);
}

static int fetch_one(struct get *get, mh_client *client, const char *url)
{
    mh_response res = {0};
    mh_fetch fetch = get->options.fetch;
    fetch.url = get->program.url = url;
    fetch.on_head = on_head;
    fetch.on_body = print_body;
    fetch.user = get;
    (void)!mh_client_fetch(client, &fetch, &res);
    int failed = report(&get->program, &res);
    mh_response_free(&res);
    return failed;
}

static int fetch_all(struct get *get, char **urls)
{
    mh_client *client;
    int status = open_client(&get->program, &client, &get->options);
    if (status != GO_ON)
        return status;
    setvbuf(stdout, NULL, _IONBF, 0); /* what has come is not held back */
    for (status = 0; *urls && !ferror(stdout); urls++)
        status |= fetch_one(get, client, *urls);
    mh_client_free(client);
    return finish_bodies(&get->program, status);
}

static int take_option(struct get *get, int option)
{
    switch (option) {
    case 'I':
        get->options.fetch.method = "HEAD";
        get->heads = true;
        return GO_ON;
    case 'i':
        get->heads = true;
        return GO_ON;
    case 'n':
        get->options.fetch.redirects_max = -1;
        return GO_ON;
    default:
        return take_client_option(&get->program, &get->options, option);
    }
}

int main(int argc, char **argv)
{
    static const struct option names[] = {{"head", no_argument, NULL, 'I'},
                                          {"include", no_argument, NULL, 'i'},
                                          {"no-redirects", no_argument, NULL, 'n'},
                                          TRACE_OPTIONS,
                                          CLIENT_OPTIONS,
                                          {0}};
    static struct get get = {.program = {.name = "get", .usage = usage}};
    int option, status = GO_ON;
    argv[0] = get.program.name;
    while (status == GO_ON && (option = getopt_long(argc, argv, "", names, NULL)) != -1)
        status = take_option(&get, option);
    if (status != GO_ON)
        return status;
    if (optind == argc)
        return usage_error(&get.program, "URL", "there is none");
    return fetch_all(&get, argv + optind);
}
