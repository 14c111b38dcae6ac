/* server.c: the server: its options, its listeners, a thread and a worker for each loop, and how
 * they are stopped. */
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "server/server.h"

enum state { MADE, RUNNING, ATTACHED, ENDED };

/* A thread, its loop, and the worker on it. */
struct post {
    mh_server *server;
    mh_loop *loop;
    struct mh__worker *worker;
    pthread_t thread;
    int listener;
    bool own_listener;
    int err;
};

struct mh_server {
    struct mh__settings settings;
    atomic_int state;
    atomic_int stops; /* how often mh_server_stop() was called */
    int listener;
    uint16_t port; /* where that is; known after it was closed, too */
    bool stop_on_signals;
    char *unix_path;     /* to be removed in the end */
    int connections_max; /* the option */
    int count;
    atomic_int working; /* threads of ours that are */
    atomic_int ready;   /* posts whose worker may be told to stop */
    struct post *posts;
};

/* ---- options ---- */

void mh__settings_init(struct mh__settings *settings)
{
    *settings = (struct mh__settings){
        .limits =
            {
                [MH__LINE_HANDSHAKE] = MH_SERVER_TLS_TIMEOUT_MS,
                [MH__LINE_IDLE] = MH_SERVER_IDLE_TIMEOUT_MS,
                [MH__LINE_HEAD] = MH_SERVER_HEAD_TIMEOUT_MS,
                [MH__LINE_BODY] = MH_SERVER_BODY_TIMEOUT_MS,
                [MH__LINE_SEND] = MH_SERVER_SEND_TIMEOUT_MS,
                [MH__LINE_LINGER] = MH_SERVER_LINGER_MS,
                [MH__LINE_BUSY] = MH__NEVER,
            },
        .stop_ms = MH_SERVER_STOP_TIMEOUT_MS,
        .rate_min = MH_SERVER_RATE_MIN,
        .head_max = MH_SERVER_HEAD_MAX,
        .body_max = MH_SERVER_BODY_MAX,
        .connections_max = MH_SERVER_CONNECTIONS_MAX,
    };
}

static void set_limit(int64_t *limit, int ms)
{
    if (ms != 0)
        *limit = ms < 0 ? MH__NEVER : ms;
}

static void set_limits(struct mh__settings *settings, const mh_server_options *options)
{
    set_limit(&settings->limits[MH__LINE_HANDSHAKE], options->tls_timeout_ms);
    set_limit(&settings->limits[MH__LINE_HEAD], options->head_timeout_ms);
    set_limit(&settings->limits[MH__LINE_BODY], options->body_timeout_ms);
    set_limit(&settings->limits[MH__LINE_SEND], options->send_timeout_ms);
    set_limit(&settings->limits[MH__LINE_IDLE], options->idle_timeout_ms);
    set_limit(&settings->stop_ms, options->stop_timeout_ms);
    if (options->rate_min != 0)
        settings->rate_min = options->rate_min < 0 ? 0 : options->rate_min;
    if (options->head_max > 0)
        settings->head_max = options->head_max;
    if (options->body_max > 0)
        settings->body_max = options->body_max;
}

static bool has_sensible_times(const mh_server_options *options)
{
    const int numbers[] = {options->tls_timeout_ms,  options->head_timeout_ms,
                           options->body_timeout_ms, options->send_timeout_ms,
                           options->idle_timeout_ms, options->stop_timeout_ms,
                           options->rate_min};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (numbers[i] < -1)
            return false;
    }
    return true;
}

static bool is_sensible(const mh_server_options *options)
{
    if (!options || !options->handler || options->listener < 0)
        return false;
    if (!options->address == (options->listener == 0))
        return false;
    if (options->threads < 0 || options->threads > MH_SERVER_THREADS_MAX)
        return false;
    if (options->key_file && !options->cert_file)
        return false;
    for (size_t i = 0; i < sizeof(options->reserved) / sizeof(options->reserved[0]); i++) {
        if (options->reserved[i] != 0)
            return false;
    }
    return options->connections_max >= 0 && has_sensible_times(options);
}

static int count_cpus(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) < 0)
        return 1; /* more of them than the set has room for, or a kernel that does not say */
    int count = CPU_COUNT(&set);
    return count < MH_SERVER_THREADS_MAX ? count : MH_SERVER_THREADS_MAX;
}

static void share_out(struct mh__settings *settings, int connections_max, int threads)
{
    int64_t max = connections_max > 0 ? connections_max : MH_SERVER_CONNECTIONS_MAX;
    settings->connections_max = (int)((max + threads - 1) / threads);
}

/* ---- listening ---- */

/* A socket file is the server's, and goes with it. */
static int keep_path(mh_server *server, const struct sockaddr_un *un)
{
    if (un->sun_path[0] == '\0')
        return 0;
    size_t len = strnlen(un->sun_path, sizeof(un->sun_path));
    server->unix_path = mh__calloc(1, len + 1);
    if (!server->unix_path)
        return -ENOMEM;
    memcpy(server->unix_path, un->sun_path, len);
    return 0;
}

/* The kernel lets anybody of the same user share a port that is shared at all: so whoever is there
 * already is looked for first. */
static int listen_shared(const char *address)
{
    if (strncmp(address, "unix:", strlen("unix:")) == 0)
        return mh__listen_shared(address);
    int alone = mh__listen(address);
    if (alone < 0)
        return alone;
    mh__close(alone);
    return mh__listen_shared(address);
}

static int listen_at(mh_server *server, const char *address)
{
    int fd = server->count > 1 ? listen_shared(address) : mh__listen(address);
    server->listener = fd;
    server->settings.own_listeners = true;
    if (fd >= 0)
        mh__listen_for_bytes(fd);
    return fd < 0 ? fd : 0;
}

/* Where it is, which a caller asks for who has asked for any free port. */
static int note_address(mh_server *server)
{
    struct mh__address own;
    int err = mh__own_address(server->listener, &own);
    if (err < 0)
        return err;
    const struct sockaddr *at = (const struct sockaddr *)&own.addr;
    if (at->sa_family == AF_INET)
        server->port = ntohs(((const struct sockaddr_in *)&own.addr)->sin_port);
    if (at->sa_family == AF_INET6)
        server->port = ntohs(((const struct sockaddr_in6 *)&own.addr)->sin6_port);
    if (at->sa_family == AF_UNIX && server->settings.own_listeners)
        return keep_path(server, (const struct sockaddr_un *)&own.addr);
    return 0;
}

static int begin_to_listen(mh_server *server, const mh_server_options *options)
{
    server->listener = options->listener;
    int err = options->address ? listen_at(server, options->address)
                               : mh__set_nonblocking(options->listener);
    return err < 0 ? err : note_address(server);
}

uint16_t mh_server_port(const mh_server *server)
{
    return server->port;
}

/* Where the kernel cannot share connections out, all loops wait at the same descriptor. */
static void give_listener(mh_server *server, struct post *post)
{
    int fd = post == server->posts ? -EOPNOTSUPP : mh__listen_beside(server->listener);
    post->own_listener = fd >= 0;
    if (fd >= 0)
        mh__listen_for_bytes(fd);
    post->listener = fd >= 0 ? fd : server->listener;
}

const struct mh__settings *mh__server_settings(const mh_server *server)
{
    return &server->settings;
}

/* ---- made ---- */

static int set_tls(mh_server *server, const mh_server_options *options)
{
    char why[MH__TLS_WHY_MAX];
    if (!options->cert_file)
        return 0;
    int err =
        mh__tls_server_context(&server->settings.tls, options->cert_file, options->key_file, why);
    if (err < 0 && err != -ENOMEM && options->on_error)
        options->on_error(options->user, NULL, err, why);
    return err;
}

static int set_up(mh_server *server, const mh_server_options *options)
{
    struct mh__settings *settings = &server->settings;
    mh__settings_init(settings);
    settings->handler = options->handler;
    settings->user = options->user;
    settings->stream_bodies = options->stream_bodies;
    settings->on_access = options->on_access;
    settings->on_error = options->on_error;
    set_limits(settings, options);
    server->stop_on_signals = options->stop_on_signals;
    server->count = options->threads > 0 ? options->threads : count_cpus();
    server->connections_max = options->connections_max;
    share_out(settings, options->connections_max, server->count);
    server->posts = mh__calloc((size_t)server->count, sizeof(*server->posts));
    if (!server->posts)
        return -ENOMEM;
    int err = set_tls(server, options);
    return err < 0 ? err : begin_to_listen(server, options);
}

int mh_server_new(mh_server **out, const mh_server_options *options)
{
    *out = NULL;
    if (!is_sensible(options))
        return -EINVAL;
    mh_server *server = mh__calloc(1, sizeof(*server));
    if (!server)
        return -ENOMEM;
    server->listener = -1;
    int err = set_up(server, options);
    if (err == 0) {
        *out = server;
        return 0;
    }
    if (options->listener > 0)
        server->listener = -1; /* it stays the caller's */
    mh_server_free(server);
    return err;
}

static void close_listener(struct post *post)
{
    if (post->own_listener)
        mh__close(post->listener);
    post->own_listener = false;
}

static void free_post(struct post *post, bool own_loop)
{
    mh__worker_free(post->worker);
    post->worker = NULL;
    if (own_loop)
        mh_loop_free(post->loop);
    post->loop = NULL;
    close_listener(post);
}

void mh_server_free(mh_server *server)
{
    if (!server)
        return;
    atomic_store(&server->ready, 0);
    for (int i = 0; i < server->count && server->posts; i++)
        free_post(&server->posts[i], atomic_load(&server->state) == ENDED);
    if (server->unix_path)
        (void)unlink(server->unix_path);
    if (server->listener >= 0)
        mh__close(server->listener);
    mh__tls_context_free(server->settings.tls);
    mh__free(server->unix_path);
    mh__free(server->posts);
    mh__free(server);
}

/* ---- stopping ---- */

/* The counter first: a post that becomes ready later looks at it itself. */
void mh_server_stop(mh_server *server)
{
    if (!server)
        return;
    int stops = atomic_fetch_add(&server->stops, 1) + 1;
    int count = atomic_load(&server->ready);
    for (int i = 0; i < count; i++)
        mh__worker_ask_to_stop(server->posts[i].worker, stops < 2 ? stops : 2);
}

static void catch_up(struct post *post)
{
    int stops = atomic_load(&post->server->stops);
    if (stops > 0)
        mh__worker_ask_to_stop(post->worker, stops < 2 ? stops : 2);
}

/* ---- threads ---- */

static int open_post(mh_server *server, struct post *post)
{
    post->server = server;
    int err = mh_loop_new(&post->loop);
    if (err < 0)
        return err;
    give_listener(server, post);
    err = mh__worker_new(&post->worker, &server->settings, post->loop, post->listener);
    if (err < 0)
        free_post(post, true);
    return err;
}

/* The caller's thread hears of signals, and so is there until the last one has stopped. */
static bool has_work(const struct post *post)
{
    const mh_server *server = post->server;
    return !post->worker->stopped || (post == server->posts && atomic_load(&server->working) > 0);
}

static void work(struct post *post)
{
    catch_up(post);
    while (post->err == 0 && has_work(post))
        post->err = mh__loop_turn(post->loop, -1);
}

static void *work_in_thread(void *arg)
{
    struct post *post = arg;
    work(post);
    atomic_fetch_sub(&post->server->working, 1);
    mh__loop_nudge(post->server->posts[0].loop);
    return NULL;
}

/* Signals are for the threads of the caller's. */
static int start_thread(struct post *post)
{
    sigset_t all, before;
    sigfillset(&all);
    int err = pthread_sigmask(SIG_SETMASK, &all, &before);
    if (err != 0)
        return -err;
    atomic_fetch_add(&post->server->working, 1);
    err = pthread_create(&post->thread, NULL, work_in_thread, post);
    if (err != 0)
        atomic_fetch_sub(&post->server->working, 1);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -err;
}

static int run_posts(mh_server *server)
{
    int started = 1, err = 0;
    for (; started < server->count && err == 0; started++)
        err = start_thread(&server->posts[started]);
    if (err < 0) {
        started--;
        mh_server_stop(server);
        mh_server_stop(server);
    }
    work(&server->posts[0]);
    for (int i = 1; i < started; i++)
        (void)pthread_join(server->posts[i].thread, NULL);
    for (int i = 0; i < server->count && err == 0; i++)
        err = server->posts[i].err;
    return err;
}

static int open_posts(mh_server *server)
{
    int opened = 0, err = 0;
    for (; opened < server->count && err == 0; opened++)
        err = open_post(server, &server->posts[opened]);
    if (err == 0)
        atomic_store(&server->ready, server->count);
    for (int i = 0; i < opened - 1 && err < 0; i++)
        free_post(&server->posts[i], true);
    return err;
}

/* They are freed with the server: somebody may be about to stop it, for the second time. */
static void close_posts(mh_server *server)
{
    atomic_store(&server->ready, 0);
    for (int i = 0; i < server->count; i++) {
        mh__worker_close(server->posts[i].worker);
        close_listener(&server->posts[i]);
    }
}

/* ---- signals ---- */

struct signals {
    sigset_t set, before;
    struct mh__watch watch;
    mh_server *server;
    int fd;
};

static void signal_came(struct mh__watch *watch)
{
    struct signals *signals = MH__CONTAINER(watch, struct signals, watch);
    struct signalfd_siginfo info;
    if (read(signals->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        mh_server_stop(signals->server);
}

static int listen_for_signals(struct signals *signals, mh_server *server)
{
    signals->server = server;
    sigemptyset(&signals->set);
    sigaddset(&signals->set, SIGINT);
    sigaddset(&signals->set, SIGTERM);
    int err = pthread_sigmask(SIG_BLOCK, &signals->set, &signals->before);
    if (err != 0)
        return -err;
    signals->fd = signalfd(-1, &signals->set, SFD_CLOEXEC | SFD_NONBLOCK);
    err = signals->fd < 0 ? -errno : 0;
    if (err == 0)
        err = mh__watch_open(&signals->watch, server->posts[0].loop, signals->fd, signal_came);
    if (err == 0)
        return 0;
    if (signals->fd >= 0)
        mh__close(signals->fd);
    (void)pthread_sigmask(SIG_SETMASK, &signals->before, NULL);
    return err;
}

/* A second one that came meanwhile was taken as well, so that it does not strike afterwards. */
static void ignore_signals(struct signals *signals)
{
    struct signalfd_siginfo info;
    while (read(signals->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        ;
    mh__watch_close(&signals->watch);
    mh__close(signals->fd);
    (void)pthread_sigmask(SIG_SETMASK, &signals->before, NULL);
}

static int run_with_signals(mh_server *server)
{
    struct signals signals;
    int err = listen_for_signals(&signals, server);
    if (err < 0)
        return err;
    err = run_posts(server);
    ignore_signals(&signals);
    return err;
}

/* ---- running ---- */

static int claim(mh_server *server, enum state state)
{
    int made = MADE;
    return atomic_compare_exchange_strong(&server->state, &made, (int)state) ? 0 : -EINVAL;
}

int mh_server_run(mh_server *server)
{
    int err = claim(server, RUNNING);
    if (err < 0)
        return err;
    err = open_posts(server);
    if (err < 0) {
        atomic_store(&server->state, MADE);
        return err;
    }
    err = server->stop_on_signals ? run_with_signals(server) : run_posts(server);
    close_posts(server);
    atomic_store(&server->state, ENDED);
    return err;
}

static void release_loop(struct mh__worker *worker)
{
    mh__loop_release(worker->loop);
}

int mh_server_attach(mh_server *server, mh_loop *loop)
{
    struct post *post = &server->posts[0];
    int err = claim(server, ATTACHED);
    if (err < 0)
        return err;
    post->server = server;
    post->loop = loop;
    share_out(&server->settings, server->connections_max, 1);
    err = mh__worker_new(&post->worker, &server->settings, loop, server->listener);
    if (err < 0) {
        post->loop = NULL;
        atomic_store(&server->state, MADE);
        return err;
    }
    mh__loop_hold(loop);
    post->worker->on_stopped = release_loop;
    atomic_store(&server->ready, 1);
    catch_up(post);
    return 0;
}

int mh_serve(const char *address, mh_handler *handler, void *user)
{
    mh_server *server;
    mh_server_options options = {
        .address = address, .handler = handler, .user = user, .stop_on_signals = true};
    int err = mh_server_new(&server, &options);
    if (err < 0)
        return err;
    err = server ? mh_server_run(server) : -EINVAL; /* there is one, which not every tool sees */
    mh_server_free(server);
    return err;
}
