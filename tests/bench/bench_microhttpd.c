/* bench_microhttpd.c: the small reply by libmicrohttpd, as fast as it can: one thread, epoll,
 * turbo, one response for all requests. Prints its port, and goes on until it is killed. */
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>

#define CONNECTIONS 20000

/* Called at the end of the head, and again at the end of the request. An answer to the first call
 * would close the connection. */
static enum MHD_Result answer(void *user, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *body,
                              size_t *body_len, void **request)
{
    (void)url;
    (void)method;
    (void)version;
    (void)body;
    (void)body_len;
    if (!*request) {
        *request = user;
        return MHD_YES;
    }
    return MHD_queue_response(connection, MHD_HTTP_OK, user);
}

static void fail(const char *what)
{
    fprintf(stderr, "bench_microhttpd: %s\n", what);
    exit(1);
}

int main(void)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(13, (void *)"Hello, world!", MHD_RESPMEM_PERSISTENT);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain");
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_TURBO, 0, NULL, NULL, answer, response, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned int)CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, 0U,
        MHD_OPTION_LISTEN_BACKLOG_SIZE, 4096U, MHD_OPTION_END);
    if (!daemon)
        fail("MHD_start_daemon");
    printf("%d\n", MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
    fflush(stdout);
    while (MHD_run_wait(daemon, -1) == MHD_YES)
        continue;
    fail("MHD_run_wait");
}
