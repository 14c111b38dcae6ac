/* lab_server.c: one server with something of everything, for the tests from outside. What it
 * answers is in lab_routes.c.
 *
 *   lab_server [--NAME VALUE]...
 *
 * Prints "listening on ADDRESS", serves until SIGINT, SIGTERM or a POST to /stop, and prints
 * "stopped". --address and the rest of mh_server_options: --threads, --connections-max,
 * --head-timeout-ms and so on; --stream 1 streams bodies; --cert and --key are PEM files; --unix is
 * a path; --root has the files; --access-log is a file; --large the size of /large; --attach 1
 * serves on a loop of its own. On the standard error output: "closed: PEER: WHY". */
#include "lab_server.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LARGE_SIZE 50000000

struct lab lab;

struct setup {
    mh_server_options server;
    const char *unix_path, *root, *access_log;
    char address[160];
    int large, attach, stream, head_max, body_max;
};

/* ---- the command line ---- */

#define NUMBER(name, field)                                                                        \
    {                                                                                              \
        name, offsetof(struct setup, field), true                                                  \
    }
#define TEXT(name, field)                                                                          \
    {                                                                                              \
        name, offsetof(struct setup, field), false                                                 \
    }

static const struct setting {
    const char *name;
    size_t offset;
    bool is_number;
} settings[] = {
    TEXT("--address", server.address),
    TEXT("--unix", unix_path),
    TEXT("--root", root),
    TEXT("--access-log", access_log),
    TEXT("--cert", server.cert_file),
    TEXT("--key", server.key_file),
    NUMBER("--stream", stream),
    NUMBER("--attach", attach),
    NUMBER("--large", large),
    NUMBER("--threads", server.threads),
    NUMBER("--connections-max", server.connections_max),
    NUMBER("--tls-timeout-ms", server.tls_timeout_ms),
    NUMBER("--head-timeout-ms", server.head_timeout_ms),
    NUMBER("--body-timeout-ms", server.body_timeout_ms),
    NUMBER("--send-timeout-ms", server.send_timeout_ms),
    NUMBER("--idle-timeout-ms", server.idle_timeout_ms),
    NUMBER("--stop-timeout-ms", server.stop_timeout_ms),
    NUMBER("--rate-min", server.rate_min),
    NUMBER("--head-max", head_max),
    NUMBER("--body-max", body_max),
};

static int complain(const char *about, const char *what)
{
    fprintf(stderr, "lab_server: %s: %s\n", about, what);
    return 1;
}

static const struct setting *find_setting(const char *name)
{
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        if (strcmp(settings[i].name, name) == 0)
            return &settings[i];
    }
    return NULL;
}

static void set(struct setup *setup, const struct setting *setting, const char *value)
{
    void *field = (char *)setup + setting->offset;
    int number = atoi(value);
    if (setting->is_number)
        memcpy(field, &number, sizeof(number));
    else
        memcpy(field, &value, sizeof(value));
}

/* 0, or 1 after a word that is unknown. */
static int take_command_line(struct setup *setup, char **word)
{
    for (; word[0]; word += 2) {
        const struct setting *setting = find_setting(word[0]);
        if (!setting || !word[1])
            return complain(word[0], setting ? "needs a value" : "unknown");
        set(setup, setting, word[1]);
    }
    return 0;
}

/* ---- what it writes ---- */

static void name_peer(char *name, size_t size, const struct sockaddr *peer)
{
    char host[64] = "unix", port[16] = "0";
    snprintf(name, size, "-");
    if (!peer)
        return;
    bool is_v6 = peer->sa_family == AF_INET6;
    socklen_t len = is_v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    getnameinfo(peer, len, host, sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(name, size, is_v6 ? "[%s]:%s" : "%s:%s", host, port);
}

static void on_error(void *user, const struct sockaddr *peer, int err, const char *why)
{
    (void)user;
    char name[96];
    name_peer(name, sizeof(name), peer);
    fprintf(stderr, "closed: %s: %s (%s)\n", name, why, mh_errname(err));
}

static void on_access(const mh_request *req, int status, uint64_t sent, int64_t took_us)
{
    (void)took_us;
    mh_buf line = {0};
    if (mh_log_combined(&line, req, status, sent) == 0 &&
        write(lab.access, line.data, line.len) < 0)
        complain("access log", strerror(errno));
    mh_buf_free(&line);
}

/* ---- serving ---- */

static void complete(struct setup *setup)
{
    if (setup->unix_path) {
        snprintf(setup->address, sizeof(setup->address), "unix:%s", setup->unix_path);
        setup->server.address = setup->address;
    }
    setup->server.stream_bodies = setup->stream != 0;
    setup->server.head_max = (size_t)setup->head_max;
    setup->server.body_max = (size_t)setup->body_max;
    setup->server.stop_on_signals = true;
    setup->server.handler = mh_serve_routes;
    setup->server.user = (void *)lab_routes;
    setup->server.on_error = on_error;
}

void *lab_alloc(size_t size)
{
    void *memory = calloc(1, size);
    if (!memory)
        abort();
    return memory;
}

static int serve_attached(mh_server *server)
{
    mh_loop *loop;
    int err = mh_loop_new(&loop);
    if (err == 0)
        err = mh_server_attach(server, loop);
    if (err == 0)
        err = mh_loop_run(loop, -1);
    lab_clock_stop();
    mh_server_free(server);
    mh_loop_free(loop);
    return err;
}

static int serve(mh_server *server)
{
    int err = mh_server_run(server);
    lab_clock_stop();
    mh_server_free(server);
    return err;
}

static void announce(const struct setup *setup, const mh_server *server)
{
    if (setup->unix_path)
        printf("listening on unix:%s\n", setup->unix_path);
    else
        printf("listening on port %u\n", (unsigned)mh_server_port(server));
    fflush(stdout);
}

static int run(struct setup *setup)
{
    int err = mh_server_new(&lab.server, &setup->server);
    if (err < 0)
        return complain(setup->server.address, mh_strerror(err));
    announce(setup, lab.server);
    lab_clock_start();
    err = setup->attach ? serve_attached(lab.server) : serve(lab.server);
    if (err < 0)
        return complain("serving", mh_strerror(err));
    puts("stopped");
    return 0;
}

static char *make_large(size_t len)
{
    char *bytes = lab_alloc(len);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)(i % 251);
    return bytes;
}

static int open_access_log(const char *path)
{
    return path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
}

int main(int argc, char **argv)
{
    struct setup setup = {.server.address = "127.0.0.1:0", .root = ".", .large = LARGE_SIZE};
    if (argc < 1 || take_command_line(&setup, argv + 1) != 0)
        return 2;
    complete(&setup);
    char *large = make_large((size_t)setup.large);
    lab = (struct lab){
        .files = {.root = setup.root},
        .prefixed = {.root = setup.root, .prefix = "/files"},
        .listing = {.root = setup.root, .prefix = "/listing", .listing = true},
        .large = {large, (size_t)setup.large},
        .access = open_access_log(setup.access_log),
        .streams = setup.stream != 0,
    };
    if (lab.access >= 0)
        setup.server.on_access = on_access;
    int status = run(&setup);
    if (lab.access >= 0)
        close(lab.access);
    free(large);
    return status;
}
