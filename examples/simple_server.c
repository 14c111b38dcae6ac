/* simple_server.c: wait at an address, and answer everybody who comes with one page.
 *
 *   simple_server [--address A] [--port N]
 *
 * Each client is answered in a thread of its own. Control-C ends it. */
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <minihttp.h>

#define PROGRAM "simple_server"
#define TYPE "text/html; charset=UTF-8"
#define PAGE "<html>Congratulations! You've downloaded the first Wireshark lab file!</html>"

#define CLIENTS_MAX 256        /* threads at once; whoever comes then waits to be accepted */
#define STACK_SIZE (256 << 10) /* bytes per thread; answering takes some 20 KiB */
#define GOODBYE_S 1            /* how long the last answers are waited for */

struct options {
    const char *address;
    unsigned port;
};

struct client {
    int connection;
    char name[96]; /* "('127.0.0.1', 51822)" */
};

static int listener;
static sem_t free_slots; /* how many threads may still be started */
static atomic_flag stopping = ATOMIC_FLAG_INIT;

/* ---- what it prints ---- */

static void complain(const char *about, const char *what)
{
    fprintf(stderr, PROGRAM ": %s: %s\n", about, what);
}

/* An address in digits. */
struct numeric {
    char host[64], port[16];
};

static void to_numeric(struct numeric *out, const struct sockaddr_storage *address)
{
    *out = (struct numeric){"?", "0"};
    getnameinfo((const struct sockaddr *)address, sizeof(*address), out->host, sizeof(out->host),
                out->port, sizeof(out->port), NI_NUMERICHOST | NI_NUMERICSERV);
}

static int append_byte(mh_buf *out, unsigned char byte)
{
    switch (byte) {
    case '\r':
        return mh_buf_append(out, "\\r", 2);
    case '\n':
        return mh_buf_append(out, "\\n", 2);
    case '\t':
        return mh_buf_append(out, "\\t", 2);
    case '\\':
    case '\'':
        return mh_buf_printf(out, "\\%c", byte);
    default:
        break;
    }
    if (byte < 0x20 || byte >= 0x7f)
        return mh_buf_printf(out, "\\x%02x", byte);
    return mh_buf_append(out, &byte, 1);
}

/* As Python would show it: no byte that a client sent reaches the terminal as it is. */
static int append_escaped(mh_buf *out, mh_str text)
{
    int err = 0;
    for (size_t i = 0; i < text.len && err == 0; i++)
        err = append_byte(out, (unsigned char)text.ptr[i]);
    return err;
}

static int describe(mh_buf *out, const mh_request *req, const struct client *client)
{
    int err = mh_buf_printf(out, "Connected by %s\nReceived: b'", client->name);
    if (err == 0)
        err = append_escaped(out, req->head);
    if (err == 0)
        err = append_escaped(out, req->body);
    if (err == 0)
        err = mh_buf_printf(out,
                            "'\nSending>>>>>>>\n"
                            "HTTP/1.1 200 OK\n"
                            "Content-Type: " TYPE "\n"
                            "%s\n"
                            "<<<<<<<<\n",
                            PAGE);
    return err;
}

/* With one call, so that the lines of two threads do not mix. */
static void print_exchange(const mh_request *req, const struct client *client)
{
    mh_buf text = {0};
    if (describe(&text, req, client) == 0)
        fwrite(text.data, 1, text.len, stdout);
    else
        complain(client->name, "no memory to print the request");
    fflush(stdout);
    mh_buf_free(&text);
}

/* ---- one client ---- */

static int answer(mh_request *req)
{
    if (mh_str_equal(req->method, "CONNECT"))
        return 501; /* this is no proxy */
    print_exchange(req, req->user);
    return mh_reply_borrow(req, 200, TYPE, PAGE, sizeof(PAGE) - 1);
}

static void *serve_client(void *arg)
{
    struct client *client = arg;
    int status = mh_respond(client->connection, answer, client);
    if (status < 0)
        complain(client->name, mh_strerror(status));
    else if (status != 200)
        fprintf(stderr, PROGRAM ": %s: answered with %d %s\n", client->name, status,
                mh_reason(status));
    free(client);
    sem_post(&free_slots);
    return NULL;
}

static int start_thread(struct client *client)
{
    pthread_attr_t attributes;
    pthread_t thread;
    int err = pthread_attr_init(&attributes);
    if (err)
        return -err;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    err = pthread_create(&thread, &attributes, serve_client, client);
    pthread_attr_destroy(&attributes);
    return -err;
}

static void name_client(struct client *client, const struct sockaddr_storage *peer)
{
    struct numeric n;
    to_numeric(&n, peer);
    snprintf(client->name, sizeof(client->name), "('%s', %s)", n.host, n.port);
}

/* From here on the thread has the connection and the slot; when there is no thread, both are given
 * back. */
static void start_client(int connection, const struct sockaddr_storage *peer)
{
    struct client *client = malloc(sizeof(*client));
    int err = -ENOMEM;
    if (client) {
        client->connection = connection;
        name_client(client, peer);
        printf("Connection from %s\n", client->name);
        err = start_thread(client);
    }
    if (err == 0)
        return;
    complain("thread", mh_strerror(err));
    free(client);
    close(connection);
    sem_post(&free_slots);
}

/* ---- all of them ---- */

static void take_slot(void)
{
    while (sem_wait(&free_slots) < 0 && errno == EINTR)
        ;
}

static bool will_pass(int err)
{
    return err == -EMFILE || err == -ENFILE || err == -ENOMEM || err == -ENOBUFS ||
           err == -ECONNABORTED;
}

/* Returns 0 when it was told to stop, or what went wrong. */
static int serve(void)
{
    for (;;) {
        struct sockaddr_storage peer;
        take_slot();
        int connection = mh_accept(listener, &peer);
        if (connection == MH_ERR_CLOSED)
            return 0;
        if (connection >= 0) {
            start_client(connection, &peer);
            continue;
        }
        complain("accept", mh_strerror(connection));
        if (!will_pass(connection))
            return connection;
        sem_post(&free_slots);
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    }
}

/* Control-C. Both calls are allowed in a signal handler; the listener stays shut down, so it makes
 * no difference what main is doing just now, and all threads busy makes none either. */
static void stop(int signal_number)
{
    (void)signal_number;
    int before = errno;
    shutdown(listener, SHUT_RDWR);
    if (!atomic_flag_test_and_set(&stopping))
        sem_post(&free_slots);
    errno = before;
}

static void stop_on_signals(void)
{
    struct sigaction action = {.sa_handler = stop, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* Nobody is answered any more once all the slots are here: serve() has kept one, and stop() made
 * one more. */
static void say_goodbye(void)
{
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += GOODBYE_S;
    for (int slots = 0; slots < CLIENTS_MAX;) {
        if (sem_timedwait(&free_slots, &end) == 0)
            slots++;
        else if (errno != EINTR)
            return;
    }
}

/* ---- the command line ---- */

/* Has everything been printed? A full disk shows here. Returns the exit status. */
static int finish_output(void)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    complain("standard output", mh_strerror(errno ? -errno : -EIO));
    return 1;
}

static int print_usage(void)
{
    puts("usage: " PROGRAM " [--address A] [--port N]\n"
         "Answer every client with one page, each in a thread of its own, until Control-C.\n\n"
         "  --address A  listen at this address (127.0.0.1)\n"
         "  --port N     listen at this port (8080); 0: a free one\n"
         "  --help       print this\n"
         "  --version    print the version");
    return finish_output();
}

static int print_version(void)
{
    printf(PROGRAM " %s\n", mh_version());
    return finish_output();
}

static int hint(void)
{
    fputs("Try '" PROGRAM " --help'.\n", stderr);
    return 2;
}

static int usage_error(const char *about, const char *what)
{
    complain(about, what);
    return hint();
}

static int parse_port(unsigned *port, const char *text)
{
    char *end;
    errno = 0;
    unsigned long number = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || number > 65535)
        return -EINVAL;
    *port = (unsigned)number;
    return 0;
}

#define GO_ON (-1)

static int take_option(struct options *options, int c)
{
    switch (c) {
    case 'a':
        options->address = optarg;
        return *optarg ? GO_ON : usage_error("--address", "empty");
    case 'p':
        if (parse_port(&options->port, optarg) < 0)
            return usage_error(optarg, "not a port");
        return GO_ON;
    case 'h':
        return print_usage();
    case 'v':
        return print_version();
    default:
        return hint(); /* getopt_long() has said why */
    }
}

/* Returns GO_ON, or the exit status when there is nothing more to do. */
static int parse_options(struct options *options, int argc, char **argv)
{
    static const struct option names[] = {{"address", required_argument, NULL, 'a'},
                                          {"port", required_argument, NULL, 'p'},
                                          {"help", no_argument, NULL, 'h'},
                                          {"version", no_argument, NULL, 'v'},
                                          {0}};
    int c;
    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        int done = take_option(options, c);
        if (done != GO_ON)
            return done;
    }
    return optind == argc ? GO_ON : usage_error(argv[optind], "unexpected argument");
}

/* ---- the program ---- */

static int start_listening(const struct options *options)
{
    char where[300];
    bool ipv6 = strchr(options->address, ':') != NULL; /* goes into brackets */
    snprintf(where, sizeof(where), ipv6 ? "[%s]:%u" : "%s:%u", options->address, options->port);
    listener = mh_listen(where);
    if (listener < 0)
        fprintf(stderr, PROGRAM ": %s: listen: %s\n", where, mh_strerror(listener));
    return listener;
}

static void print_listening(void)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof(address);
    struct numeric n;
    if (getsockname(listener, (struct sockaddr *)&address, &len) < 0) {
        perror(PROGRAM ": getsockname");
        return;
    }
    to_numeric(&n, &address);
    bool ipv6 = address.ss_family == AF_INET6;
    printf("HTTP Server listening on %s%s%s:%s\n", ipv6 ? "[" : "", n.host, ipv6 ? "]" : "",
           n.port);
}

int main(int argc, char **argv)
{
    struct options options = {.address = "127.0.0.1", .port = 8080};
    int done = parse_options(&options, argc, argv);
    if (done != GO_ON)
        return done;
    setvbuf(stdout, NULL, _IOLBF, 0); /* line by line, in a pipe too */
    sem_init(&free_slots, 0, CLIENTS_MAX);
    if (start_listening(&options) < 0)
        return 1;
    stop_on_signals();
    print_listening();
    if (serve() < 0)
        return 1;
    puts("Shutting down server...");
    say_goodbye();
    return 0; /* the listener closes here: until now, a second Control-C may have touched it */
}
