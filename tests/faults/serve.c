/* serve.c: the server that goes on: on a loop in this thread, or with threads of its own, and in no
 * socket at all. A peer has one conversation with it, and then asks once more: whatever failed
 * before, that is answered. */
#include <minihttp/server.h>

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <fcntl.h>

#include "account.h"
#include "inject.h"
#include "scenario.h"

#define GOT_MAX (256u << 10)
#define PATIENCE_MS 5000
#define STORM_PATIENCE_MS 200 /* where everything fails from some point on, so does an answer */
#define ATTEMPTS_MAX 1000     /* at a reply that is owed */

/* ---- the peer ---- */

struct talk {
    const char *send;     /* NULL at the end */
    const char *wait_for; /* before that: until this stands in what came */
};

struct conversation {
    size_t len;
    bool ended; /* by the server, where the peer can see it */
    char got[GOT_MAX + 1];
};

static struct {
    const struct talk *talk;
    mh_server *server;
    uint16_t port;
    bool by_signal;
    bool was_calm; /* nothing had failed when the last question was asked */
    struct conversation first, last;
} visit;

static int connect_to(uint16_t port)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int ms = inject_mode() == MODE_AFTER ? STORM_PATIENCE_MS : PATIENCE_MS;
    struct timeval patience = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (fd >= 0 && connect(fd, (struct sockaddr *)&in, sizeof(in)) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool read_some(int fd, struct conversation *c)
{
    ssize_t len = recv(fd, c->got + c->len, GOT_MAX - c->len, 0);
    c->ended = len == 0 || (len < 0 && errno != EAGAIN);
    if (len <= 0)
        return false;
    c->len += (size_t)len;
    c->got[c->len] = '\0';
    return true;
}

/* What it waits for has come, or a refusal in its place. */
static bool has_come(const char *got, const char *wanted)
{
    return !wanted || strstr(got, wanted) || strstr(got, "HTTP/1.1 4") || strstr(got, "HTTP/1.1 5");
}

static void say(int fd, const struct talk *talk, struct conversation *c)
{
    for (; talk->send; talk++) {
        while (!has_come(c->got, talk->wait_for)) {
            if (!read_some(fd, c))
                return;
        }
        if (send(fd, talk->send, strlen(talk->send), MSG_NOSIGNAL) < 0)
            return;
    }
}

static void converse(const struct talk *talk, struct conversation *c)
{
    c->len = 0;
    c->got[0] = '\0';
    int fd = connect_to(visit.port);
    c->ended = fd < 0;
    if (fd < 0)
        return;
    say(fd, talk, c);
    while (read_some(fd, c))
        ;
    close(fd);
}

#define CLOSE_ "Connection: close\r\n\r\n"
#define ASK(method, path) method " " path " HTTP/1.1\r\nHost: h\r\n"

/* The second stop makes sure that there is an end, also where nothing works. */
static void stop_server(void)
{
    if (visit.by_signal)
        kill(getpid(), SIGINT);
    else
        mh_server_stop(visit.server);
    if (inject_mode() == MODE_AFTER)
        mh_server_stop(visit.server);
}

/* The signal is for the thread that serves. */
static void block_signal(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void *pay_visit(void *arg)
{
    static const struct talk again[] = {{ASK("GET", "/") CLOSE_, NULL}, {0}};
    block_signal();
    converse(visit.talk, &visit.first);
    visit.was_calm = !inject_hit();
    converse(again, &visit.last);
    stop_server();
    return arg;
}

/* ---- what it may have got ---- */

static bool is_chunked(const char *head, const char *end)
{
    const char *field = strstr(head, "Transfer-Encoding: chunked");
    return field && field < end;
}

/* Of the first reply; 0 where it is not whole. */
static size_t reply_len(const char *got, size_t len)
{
    const char *end = strstr(got, "\r\n\r\n");
    if (!end)
        return 0;
    const char *field = strstr(got, "Content-Length: ");
    size_t head = (size_t)(end + 4 - got), body = 0;
    if (is_chunked(got, end)) {
        const char *last = strstr(got, "\r\n0\r\n");
        const char *stop = last ? strstr(last + 3, "\r\n\r\n") : NULL;
        return stop ? (size_t)(stop + 4 - got) : 0;
    }
    if (field && field < end)
        body = strtoul(field + 16, NULL, 10);
    return head + body <= len ? head + body : 0;
}

static bool is_refusal(const char *got, size_t len)
{
    static const char four[] = "HTTP/1.1 4", five[] = "HTTP/1.1 5";
    size_t most = len < sizeof(four) - 1 ? len : sizeof(four) - 1;
    return strncmp(got, four, most) == 0 || strncmp(got, five, most) == 0;
}

/* Replies as on a good day, or refusals in their place; the last one may be cut. */
static bool is_fair(const struct conversation *c, const char *calm, size_t calm_len)
{
    size_t at = 0, calm_at = 0;
    while (at < c->len) {
        size_t len = reply_len(c->got + at, c->len - at);
        size_t usual = calm_at < calm_len ? reply_len(calm + calm_at, calm_len - calm_at) : 0;
        size_t compared = len > 0 ? len : c->len - at;
        bool same = calm_at + compared <= calm_len && (len == 0 || len == usual) &&
                    memcmp(c->got + at, calm + calm_at, compared) == 0;
        if (!same && !is_refusal(c->got + at, compared))
            return false;
        if (len == 0)
            return true;
        at += len;
        calm_at += usual;
    }
    return true;
}

static struct conversation calm_first, calm_last;

static bool is_same(const struct conversation *c, const struct conversation *calm)
{
    return c->len == calm->len && memcmp(c->got, calm->got, c->len) == 0;
}

static int judge_visit(void)
{
    if (inject_mode() == MODE_CALM) {
        calm_first = visit.first;
        calm_last = visit.last;
        check(visit.first.ended && visit.last.ended);
        check(strncmp(visit.last.got, "HTTP/1.1 200 ", 13) == 0);
    }
    note_bytes("first", (mh_str){visit.first.got, visit.first.len});
    note_bytes("last", (mh_str){visit.last.got, visit.last.len});
    check(is_fair(&visit.first, calm_first.got, calm_first.len));
    check(is_fair(&visit.last, calm_last.got, calm_last.len));
    bool good = is_same(&visit.first, &calm_first), again = is_same(&visit.last, &calm_last);
    if (inject_mode() == MODE_ONLY) {
        check(visit.first.ended && visit.last.ended);
        check(again || visit.was_calm);
    }
    return good && again ? 0 : SERVED_LESS;
}

/* ---- the handlers ---- */

static atomic_int begun, over;

static void ended(mh_request *req)
{
    (void)req;
    atomic_fetch_add(&over, 1);
}

static int hello(mh_request *req)
{
    return mh_reply_text(req, 200, "hello\n");
}

static int echo(mh_request *req)
{
    return mh_reply_copy(req, 200, "text/plain", req->body.ptr, req->body.len);
}

static char many[100000];

static int borrow(mh_request *req)
{
    memset(many, 'm', sizeof(many));
    return mh_reply_borrow(req, 200, "text/plain", many, sizeof(many));
}

static int take(mh_request *req)
{
    mh_buf body = {0};
    int result = mh_buf_printf(&body, "%0*d\n", 6000, 1);
    if (result == 0)
        result = mh_reply_take(req, 201, NULL, &body);
    mh_buf_free(&body);
    return result;
}

/* A few hundred bytes at a time; in the middle it has nothing, and says soon that it has. */
static ssize_t produce(mh_request *req, char *buf, size_t cap)
{
    uintptr_t step = (uintptr_t)req->data;
    req->data = (void *)(step + 1);
    if (step == 2) {
        mh_reply_wake(req);
        return -EAGAIN;
    }
    if (step == 5 && mh_reply_trailer(req, "X-Sum", "5") < 0)
        return -ENOMEM;
    if (step == 5)
        return 0;
    size_t len = cap < 700 ? cap : 700;
    memset(buf, 'p', len);
    return (ssize_t)len;
}

static int stream(mh_request *req)
{
    return mh_reply_stream(req, 200, "text/plain", MH_LENGTH_UNKNOWN, produce);
}

static int file(mh_request *req)
{
    int fd = open(FOLDER "/wrap.c", O_RDONLY | O_CLOEXEC);
    return fd < 0 ? 503 : mh_reply_file(req, 200, "text/plain", fd, 0, 15000);
}

/* It is owed: who has no memory for it now has it later. */
static void *reply_later(void *arg)
{
    mh_request *req = arg;
    int result = -ENOMEM;
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    for (int i = 0; i < ATTEMPTS_MAX && result == -ENOMEM; i++)
        result = mh_reply_text(req, 200, "later\n");
    check(result == 200 || result == MH_ERR_CLOSED);
    return NULL;
}

static int later(mh_request *req)
{
    pthread_t thread;
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    int err = pthread_create(&thread, &detached, reply_later, req);
    pthread_attr_destroy(&detached);
    return err != 0 ? 503 : MH_LATER;
}

static const mh_files files = {.root = FOLDER, .prefix = "/files", .listing = false};

static int serve_files(mh_request *req)
{
    req->user = (void *)(uintptr_t)&files;
    return mh_serve_files(req);
}

static const mh_route routes[] = {
    {"GET", "/", hello, NULL},
    {"POST", "/echo", echo, NULL},
    {"GET", "/borrow", borrow, NULL},
    {"GET", "/take", take, NULL},
    {"GET", "/stream", stream, NULL},
    {"GET", "/file", file, NULL},
    {"GET", "/later", later, NULL},
    {"GET", "/files/*", serve_files, NULL},
    {0},
};

static void begin_request(mh_request *req)
{
    atomic_fetch_add(&begun, 1);
    req->on_end = ended;
}

static int handle(mh_request *req)
{
    begin_request(req);
    return mh_serve_routes(req);
}

/* ---- bodies that are streamed ---- */

static int count_body(mh_request *req, const char *data, size_t len)
{
    (void)data;
    req->data = (void *)((uintptr_t)req->data + len);
    if (len > 0)
        return 0;
    return mh_reply_printf(req, 200, "text/plain", "%zu\n", (size_t)(uintptr_t)req->data);
}

static int handle_stream(mh_request *req)
{
    begin_request(req);
    if (strncmp(req->method.ptr, "POST", 4) != 0)
        return hello(req);
    req->on_body = count_body;
    return MH_LATER;
}

/* ---- a server from its beginning to its end ---- */

static void access_log(const mh_request *req, int status, uint64_t sent, int64_t took_us)
{
    mh_buf line = {0};
    (void)took_us;
    (void)!mh_log_combined(&line, req, status, sent);
    mh_buf_free(&line);
}

static mh_server_options options_for(mh_handler *handler)
{
    return (mh_server_options){.address = "127.0.0.1:0",
                               .handler = handler,
                               .user = (void *)(uintptr_t)routes,
                               .on_access = access_log,
                               .stop_timeout_ms = 1000};
}

static pthread_t visitor;

static void begin_visit(mh_server *server, const struct talk *talk, bool by_signal)
{
    visit.talk = talk;
    visit.server = server;
    visit.port = mh_server_port(server);
    visit.by_signal = by_signal;
    if (pthread_create(&visitor, NULL, pay_visit, NULL) != 0)
        abort();
}

static int open_attached(mh_server **server, mh_loop **loop, const mh_server_options *options)
{
    *server = NULL;
    int err = mh_loop_new(loop);
    if (err == 0)
        err = mh_server_new(server, options);
    if (err == 0)
        err = mh_server_attach(*server, *loop);
    return err;
}

/* Once it is on the loop, whatever fails is a matter between it and its peer. */
static int attend(mh_loop *loop)
{
    int result;
    COUNTED(result = mh_loop_run(loop, -1));
    pthread_join(visitor, NULL);
    check(result == 0);
    return judge_visit();
}

static int serve(const struct talk *talk, mh_handler *handler, bool stream_bodies)
{
    mh_server_options options = options_for(handler);
    mh_server *server;
    mh_loop *loop;
    int result;
    options.stream_bodies = stream_bodies;
    atomic_store(&begun, 0);
    atomic_store(&over, 0);
    COUNTED(result = open_attached(&server, &loop, &options));
    if (result == 0) {
        begin_visit(server, talk, false);
        result = attend(loop);
    }
    inject_end(); /* of threads that reply */
    COUNTED(mh_server_free(server); mh_loop_free(loop));
    check(atomic_load(&begun) == atomic_load(&over));
    return result;
}

/* ---- conversations ---- */

#define SERVE(name, ...)                                                                           \
    static int name(void)                                                                          \
    {                                                                                              \
        static const struct talk talk[] = {__VA_ARGS__, {0}};                                      \
        return serve(talk, handle, false);                                                         \
    }

SERVE(serve_kept, {ASK("GET", "/") "\r\n", NULL}, {ASK("GET", "/take") "\r\n", "hello\n"},
      {ASK("HEAD", "/") CLOSE_, "01\n"})
SERVE(serve_pipelined, {ASK("GET", "/") "\r\n" ASK("GET", "/take") "\r\n" ASK(
                            "GET", "/borrow") "\r\n" ASK("GET", "/") CLOSE_,
                        NULL})
SERVE(serve_echo, {ASK("POST", "/echo") "Content-Length: 10\r\n\r\n0123", NULL},
      {"456789" ASK("POST", "/echo") "Transfer-Encoding: chunked\r\n" CLOSE_ "4\r\nab", NULL},
      {"cd\r\n0\r\n\r\n", "0123456789"})
SERVE(serve_continue,
      {ASK("POST", "/echo") "Content-Length: 4\r\nExpect: 100-continue\r\n" CLOSE_, NULL},
      {"body", "100 Continue\r\n\r\n"})
SERVE(serve_produced, {ASK("GET", "/stream") "\r\n" ASK("GET", "/") CLOSE_, NULL})
SERVE(serve_file, {ASK("GET", "/file") "\r\n" ASK("GET", "/") CLOSE_, NULL})
SERVE(serve_later, {ASK("GET", "/later") "\r\n" ASK("GET", "/") "\r\n", NULL},
      {ASK("GET", "/later") CLOSE_, "hello\n"})
SERVE(serve_malformed, {ASK("GET", "/") "\r\n" ASK("GET", "/ ") "\r\n", NULL})
SERVE(serve_tree,
      {ASK("GET", "/files/steps.h") "\r\n" ASK("GET", "/files/wrap.c") "\r\n" ASK(
           "GET", "/files/steps.h") "\r\n" ASK("GET", "/files/none") "\r\n" ASK("HEAD",
                                                                                "/files/wrap.c")
           CLOSE_,
       NULL})

SERVE(serve_parts, {ASK("GET", "/files/wrap.c") "Range: bytes=100-199\r\n\r\n", NULL},
      {ASK("GET", "/files/steps.h") "Range: bytes=-5\r\n\r\n", NULL},
      {ASK("GET", "/files/steps.h") "If-None-Match: *\r\n\r\n", NULL},
      {ASK("GET", "/files/steps.h") "Range: bytes=9999999-\r\n" CLOSE_, NULL})

static int serve_streamed(void)
{
    static const struct talk talk[] = {
        {ASK("POST", "/") "Content-Length: 10\r\n\r\n0123", NULL},
        {"456789" ASK("POST", "/") "Transfer-Encoding: chunked\r\n" CLOSE_ "4\r\nab", NULL},
        {"cd\r\n0\r\n\r\n", "\r\n\r\n10\n"},
        {0}};
    return serve(talk, handle_stream, true);
}

/* The loop goes first, with a request under way. */
static int serve_loop_freed(void)
{
    static const struct talk talk[] = {{ASK("POST", "/") "Content-Length: 10\r\n\r\n0123", NULL},
                                       {0}};
    mh_server_options options = options_for(handle_stream);
    mh_server *server;
    mh_loop *loop;
    int result;
    options.stream_bodies = true;
    atomic_store(&begun, 0);
    atomic_store(&over, 0);
    COUNTED(result = open_attached(&server, &loop, &options));
    int fd = result == 0 ? connect_to(mh_server_port(server)) : -1;
    if (fd >= 0) {
        static struct conversation nothing;
        say(fd, talk, &nothing);
        COUNTED(result = mh_loop_run(loop, 10));
    }
    COUNTED(mh_loop_free(loop); mh_server_stop(server); mh_server_free(server));
    if (fd >= 0)
        close(fd);
    check(atomic_load(&begun) == atomic_load(&over));
    return result < 0 ? result : 0;
}

/* ---- with threads of its own, until a signal comes ---- */

static void ignore(int number)
{
    (void)number;
}

static int run_until_stopped(mh_server *server, int listener)
{
    static const struct talk talk[] = {{ASK("GET", "/") CLOSE_, NULL}, {0}};
    int result;
    begin_visit(server, talk, true);
    COUNTED(result = mh_server_run(server));
    if (result < 0)
        shutdown(listener, SHUT_RDWR); /* whoever has come is told */
    return result;
}

static int serve_threads(void)
{
    mh_server_options options = options_for(handle);
    struct sigaction before, action = {.sa_handler = ignore};
    mh_server *server;
    int result;
    options.threads = 2;
    options.address = NULL;
    options.listener = mh_listen("127.0.0.1:0");
    options.stop_on_signals = true;
    atomic_store(&begun, 0);
    atomic_store(&over, 0);
    sigaction(SIGINT, &action, &before);
    COUNTED(result = mh_server_new(&server, &options));
    if (result == 0) {
        result = run_until_stopped(server, options.listener);
        pthread_join(visitor, NULL);
        result = result < 0 ? result : judge_visit();
    } else {
        close(options.listener);
    }
    COUNTED(mh_server_free(server));
    sigaction(SIGINT, &before, NULL);
    check(atomic_load(&begun) == atomic_load(&over));
    return result;
}

/* ---- without a socket ---- */

static int fetch_in_memory(mh_server *server, const mh_fetch *fetch)
{
    mh_response res = {0};
    int status;
    COUNTED(status = mh_server_fetch(server, fetch, &res));
    if (status >= 0)
        note_response(&res);
    COUNTED(mh_response_free(&res));
    return status;
}

static int serve_in_memory(void)
{
    static const mh_fetch fetches[] = {{.url = "/echo", .body = {"hello", 5}},
                                       {.url = "/stream"},
                                       {.url = "/files/steps.h"},
                                       {.url = "/borrow"}};
    mh_server_options options = options_for(handle);
    mh_server *server;
    int result;
    atomic_store(&begun, 0);
    atomic_store(&over, 0);
    COUNTED(result = mh_server_new(&server, &options));
    for (size_t i = 0; i < sizeof(fetches) / sizeof(fetches[0]) && result >= 0 && result < 400; i++)
        result = fetch_in_memory(server, &fetches[i]);
    COUNTED(mh_server_free(server));
    check(atomic_load(&begun) == atomic_load(&over));
    return result;
}

/* A server goes on whatever happens to one connection. */
#define SERVED(scenario)                                                                           \
    {                                                                                              \
        .name = #scenario, .run = scenario, .also = {SERVED_LESS}, .endless = true                 \
    }

const struct scenario serve_scenarios[] = {
    SERVED(serve_kept),
    SERVED(serve_pipelined),
    SERVED(serve_echo),
    SERVED(serve_continue),
    SERVED(serve_streamed),
    SERVED(serve_produced),
    SERVED(serve_file),
    SERVED(serve_later),
    SERVED(serve_malformed),
    SERVED(serve_tree),
    SERVED(serve_parts),
    SERVED(serve_loop_freed),
    SERVED(serve_threads),
    {.name = "serve_in_memory",
     .run = serve_in_memory,
     .also = {403, 404, 500, 503, MH_ERR_CLOSED},
     .endless = true},
    {0},
};
