/* bench_server.c: the server as a program would have it, to be measured. Prints its port, and goes
 * on until SIGTERM.
 *
 *   bench_server THREADS ROOT [CERT KEY]
 *
 * "/" is answered with 13 bytes, "/files/NAME" with a file below ROOT. */
#include <stdio.h>
#include <stdlib.h>

#include <minihttp.h>

#define CONNECTIONS 20000

static int answer(mh_request *req)
{
    if (mh_str_equal(req->path, "/"))
        return mh_reply_borrow(req, 200, "text/plain", "Hello, world!", 13);
    return mh_serve_files(req);
}

static int serve(const mh_server_options *options)
{
    mh_server *server;
    int err = mh_server_new(&server, options);
    if (err == 0) {
        printf("%d\n", mh_server_port(server));
        fflush(stdout);
        err = mh_server_run(server);
    }
    mh_server_free(server);
    return err;
}

int main(int argc, char **argv)
{
    if (argc != 3 && argc != 5) {
        fprintf(stderr, "usage: bench_server THREADS ROOT [CERT KEY]\n");
        return 2;
    }
    mh_files files = {.root = argv[2], .prefix = "/files"};
    int err = serve(&(mh_server_options){
        .address = "127.0.0.1:0",
        .handler = answer,
        .user = &files,
        .threads = atoi(argv[1]),
        .stop_on_signals = true,
        .connections_max = CONNECTIONS,
        .idle_timeout_ms = -1,
        .cert_file = argc == 5 ? argv[3] : NULL,
        .key_file = argc == 5 ? argv[4] : NULL,
    });
    if (err < 0)
        fprintf(stderr, "bench_server: %s\n", mh_strerror(err));
    return err < 0;
}
