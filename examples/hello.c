/* hello.c: the smallest server, and still one on every core.
 *
 *   hello [--address A] [--port N]
 *
 * What it takes is hello() and mh_serve(); all the rest is the command line. */
#include "serving.h"

static int hello(mh_request *req)
{
    return mh_reply_text(req, 200, "Hello, world!\n");
}

int main(int argc, char **argv)
{
    static struct program program = {
        .name = "hello",
        .usage = "usage: hello [--address A] [--port N]\n"
                 "Answer every request with a greeting, until Control-C.\n\n" SERVING_HELP};
    struct serving serving;
    int status = parse_serving(&program, &serving, argc, argv);
    if (status != GO_ON)
        return status;
    int err = mh_serve(serving.address, hello, NULL);
    return err < 0 ? explain_file(&program, serving.address, err) : 0;
}
