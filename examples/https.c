/* https.c: a server that speaks TLS.
 *
 *   https --cert FILE [--key FILE] [--address A] [--port N]
 *
 * Two options more than without it; the handler is the same. */
#include "serving.h"

static const char usage[] =
    "usage: https --cert FILE [--key FILE] [--address A] [--port N]\n"
    "Answer every request over TLS, until Control-C.\n\n"
    "  --cert FILE  the certificate and its chain, in PEM\n"
    "  --key FILE   its key, in PEM; without it that is in the file of --cert\n" SERVING_HELP;

static int hello(mh_request *req)
{
    return mh_reply_text(req, 200, req->tls ? "Hello, and nobody hears it.\n" : "Hello!\n");
}

static int take_option(const struct program *program, struct serving *serving,
                       mh_server_options *options, int option)
{
    switch (option) {
    case 'c':
        options->cert_file = optarg;
        return GO_ON;
    case 'k':
        options->key_file = optarg;
        return GO_ON;
    default:
        return take_serving_option(program, serving, option);
    }
}

static int take_options(struct program *program, struct serving *serving,
                        mh_server_options *options, int argc, char **argv)
{
    static const struct option names[] = {{"cert", required_argument, NULL, 'c'},
                                          {"key", required_argument, NULL, 'k'},
                                          SERVING_OPTIONS,
                                          {0}};
    int option, status = GO_ON;
    argv[0] = program->name;
    while (status == GO_ON && (option = getopt_long(argc, argv, "", names, NULL)) != -1)
        status = take_option(program, serving, options, option);
    if (status == GO_ON && !options->cert_file)
        return usage_error(program, "--cert", "is needed");
    return status == GO_ON ? place_server(program, serving, argc, argv) : status;
}

int main(int argc, char **argv)
{
    static struct program program = {.name = "https", .usage = usage};
    struct serving serving = {.port = DEFAULT_PORT};
    mh_server_options options = {.handler = hello};
    int status = take_options(&program, &serving, &options, argc, argv);
    return status == GO_ON ? run_server(&program, &serving, options) : status;
}
