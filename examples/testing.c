/* testing.c: a handler, and the unit tests of it.
 *
 *   testing
 *
 * mh_server_fetch() asks the server in memory: nothing is connected, and nobody waits. */
#include <getopt.h>
#include <stdio.h>

#include "common.h"

/* ---- what is tested ---- */

static int greet(mh_request *req)
{
    return mh_reply_printf(req, 200, "text/plain; charset=utf-8", "Hello, " MH_FMT "!\n",
                           MH_ARG(mh_request_param(req, "name")));
}

static const mh_route routes[] = {{"GET", "/hello/{name}", greet, NULL}, {0}};

/* ---- the tests ---- */

static const struct test {
    const char *name, *method, *url;
    int status;
    const char *header, *value, *body; /* NULL: whatever it is */
} tests[] = {
    {"a name is greeted", "GET", "/hello/world", 200, "Content-Length", "14", "Hello, world!\n"},
    {"it is decoded first", "GET", "/hello/J%C3%BCrgen", 200, NULL, NULL,
     "Hello, J\xc3\xbcrgen!\n"},
    {"HEAD has the head alone", "HEAD", "/hello/world", 200, "Content-Length", "14", ""},
    {"nobody is not greeted", "GET", "/hello/", 404, NULL, NULL, NULL},
    {"greetings cannot be deleted", "DELETE", "/hello/world", 405, "Allow", "GET, HEAD, OPTIONS",
     NULL},
};

/* What is not as it should be, in a word; NULL: nothing. */
static const char *check(const struct test *test, int status, const mh_response *res)
{
    if (status != test->status)
        return status < 0 ? mh_strerror(status) : "the status";
    if (test->header && !mh_str_equal(mh_headers_get(res->headers, test->header), test->value))
        return test->header;
    mh_str body = {res->body.data ? res->body.data : "", res->body.len};
    return test->body && !mh_str_equal(body, test->body) ? "the body" : NULL;
}

static bool run_test(mh_server *server, const struct test *test)
{
    mh_response res = {0};
    mh_fetch fetch = {.method = test->method, .url = test->url};
    const char *wrong = check(test, mh_server_fetch(server, &fetch, &res), &res);
    printf("%s - %s%s%s\n", wrong ? "not ok" : "ok", test->name, wrong ? ": " : "",
           wrong ? wrong : "");
    mh_response_free(&res);
    return !wrong;
}

/* Returns how many have failed, or an error. */
static int run_tests(void)
{
    mh_server *server;
    int failed = 0;
    int err = mh_server_new(&server, &(mh_server_options){.address = "127.0.0.1:0",
                                                          .handler = mh_serve_routes,
                                                          .user = (void *)routes});
    if (err < 0)
        return err;
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
        failed += !run_test(server, &tests[i]);
    mh_server_free(server);
    return failed;
}

int main(int argc, char **argv)
{
    static struct program program = {.name = "testing",
                                     .usage = "usage: testing\n"
                                              "Test a handler, and say how that went.\n\n"
                                              "  --help     print this\n"
                                              "  --version  print the version\n"};
    static const struct option names[] = {
        {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'v'}, {0}};
    argv[0] = program.name;
    int option = getopt_long(argc, argv, "", names, NULL);
    if (option != -1)
        return take_standard_option(&program, option);
    if (optind < argc)
        return usage_error(&program, argv[optind], "unexpected argument");
    int failed = run_tests();
    if (failed < 0)
        return explain_file(&program, "server", failed);
    return finish_output(&program) | (failed > 0);
}
