/* bench_event.c: the small reply by libevent's evhttp, on one thread. Prints its port, and goes on
 * until it is killed. */
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

static void answer(struct evhttp_request *request, void *user)
{
    (void)user;
    evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type", "text/plain");
    evbuffer_add_reference(evhttp_request_get_output_buffer(request), "Hello, world!", 13, NULL,
                           NULL);
    evhttp_send_reply(request, HTTP_OK, "OK", NULL);
}

static void fail(const char *what)
{
    fprintf(stderr, "bench_event: %s\n", what);
    exit(1);
}

/* No locks, and no system call for a descriptor whose events change and change back. */
static struct event_base *new_base(void)
{
    struct event_config *config = event_config_new();
    if (!config)
        fail("event_config_new");
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

static void print_port(struct evhttp_bound_socket *bound)
{
    struct sockaddr_in address = {0};
    socklen_t len = sizeof(address);
    if (!bound || getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&address, &len))
        fail("evhttp_bind_socket_with_handle");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
}

int main(void)
{
    struct event_base *base = new_base();
    struct evhttp *http = base ? evhttp_new(base) : NULL;
    if (!http)
        fail("evhttp_new");
    evhttp_set_gencb(http, answer, NULL);
    evhttp_set_timeout(http, 600);
    print_port(evhttp_bind_socket_with_handle(http, "127.0.0.1", 0));
    event_base_dispatch(base);
    fail("event_base_dispatch");
}
