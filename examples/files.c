/* files.c: the files of a folder, for browsers.
 *
 *   files [--address A] [--port N] [--listing] [--max-age SECONDS] [--precompressed] [FOLDER]
 *
 * All of the work is mh_serve_files(): this file is the command line. */
#include <stdio.h>

#include "serving.h"

#define MAX_AGE_MAX 31536000 /* a year; nobody keeps anything longer */

static struct program program = {
    .name = "files",
    .usage = "usage: files [--address A] [--port N] [--listing] [--max-age SECONDS]\n"
             "             [--precompressed] [FOLDER]\n"
             "Serve the files of FOLDER (the current one), until Control-C.\n\n"
             "  --listing          show what is in a folder that has no index.html\n"
             "  --max-age SECONDS  browsers may keep a file so long without asking\n"
             "  --precompressed    send NAME.br or NAME.gz in place of NAME\n" SERVING_HELP};

static int take_max_age(mh_files *files, const char *text)
{
    if (!parse_number(&files->max_age_s, text, 0, MAX_AGE_MAX))
        return usage_error(&program, text, "not a number of seconds up to a year");
    return GO_ON;
}

static int take_option(struct serving *serving, mh_files *files, int option)
{
    switch (option) {
    case 'l':
        files->listing = true;
        return GO_ON;
    case 'm':
        return take_max_age(files, optarg);
    case 'c':
        files->precompressed = true;
        return GO_ON;
    default:
        return take_serving_option(&program, serving, option);
    }
}

static int parse(struct serving *serving, mh_files *files, int argc, char **argv)
{
    static const struct option names[] = {{"listing", no_argument, NULL, 'l'},
                                          {"max-age", required_argument, NULL, 'm'},
                                          {"precompressed", no_argument, NULL, 'c'},
                                          SERVING_OPTIONS,
                                          {0}};
    int option, status = GO_ON;
    argv[0] = program.name;
    while (status == GO_ON && (option = getopt_long(argc, argv, "", names, NULL)) != -1)
        status = take_option(serving, files, option);
    if (status != GO_ON)
        return status;
    if (optind < argc)
        files->root = argv[optind++];
    return place_server(&program, serving, argc, argv);
}

int main(int argc, char **argv)
{
    struct serving serving = {.port = DEFAULT_PORT};
    mh_files files = {.root = "."};
    int status = parse(&serving, &files, argc, argv);
    if (status != GO_ON)
        return status;
    return run_server(&program, &serving,
                      (mh_server_options){.handler = mh_serve_files, .user = &files});
}
