/* programs.c: the example programs, each with its main() under another name. Such a run ends with 0
 * and prints what it prints on a good day, or with 1 and one line that says why. */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "inject.h"
#include "names.h"
#include "peer.h"
#include "scenario.h"
#include "stream.h"

int simple_get_main(int argc, char **argv);
int large_file_get_main(int argc, char **argv);
int simple_server_main(int argc, char **argv);

static struct capture out, err;

static int run(int (*program)(int, char **), char **argv)
{
    int argc = 0, status;
    while (argv[argc])
        argc++;
    optind = 0; /* begin anew */
    stream_capture(&out, &err);
    COUNTED(status = program(argc, argv); stream_flush());
    stream_restore();
    return status;
}

static int lines(const struct capture *capture)
{
    int count = 0;
    for (size_t i = 0; i < capture->len; i++)
        count += capture->text[i] == '\n';
    return count;
}

static int judge(int status)
{
    check(status == 0 || status == 1);
    if (status == 0) {
        note_bytes("out", (mh_str){out.text, out.len});
        note_bytes("err", (mh_str){err.text, err.len});
        return 0;
    }
    check(lines(&err) == 1 && err.text[err.len - 1] == '\n');
    return EXIT_1;
}

/* ---- those that fetch ---- */

#define BODY "<html>\n<p>Congratulations!\n</html>\n"

static const struct answer page = {
    .pieces = {"HTTP/1.1 200 OK\r\nContent-Length: 35\r\n\r\n" BODY}};
static const struct answer pieces = {
    .pieces = {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "23\r\n" BODY "\r\n",
               "23\r\n" BODY "\r\n0\r\n\r\n"}};

static int fetch(int (*program)(int, char **), const struct answer *answer, const char *host,
                 const char *output)
{
    char url[64], seconds[] = "2", timeout[] = "--timeout", name[] = "program",
                  option[] = "--output";
    char file[128] = "";
    if (output)
        snprintf(file, sizeof(file), "%s", output);
    snprintf(url, sizeof(url), "http://%s:%d/page", host, peer_serve(answer, 1));
    char *argv[] = {name, timeout, seconds, url, output ? option : NULL, file, NULL};
    int result = judge(run(program, argv));
    note_bytes("asked", peer_stop());
    return result;
}

static int simple_get(void)
{
    return fetch(simple_get_main, &page, "localhost", NULL);
}

static int large_file_get(void)
{
    return fetch(large_file_get_main, &pieces, "127.0.0.1", NULL);
}

/* More than stdio keeps back: some of it is written before the end. */
static int large_file_get_large(void)
{
    static char text[20000] = "HTTP/1.1 200 OK\r\n\r\n";
    size_t head = strlen(text);
    memset(text + head, 'x', sizeof(text) - head - 1);
    return fetch(large_file_get_main, &(struct answer){.pieces = {text}}, "127.0.0.1", NULL);
}

static const char *output_path(void)
{
    static char path[100];
    snprintf(path, sizeof(path), "%s/faults-%d.out", P_tmpdir, (int)getpid());
    return path;
}

/* "" when there is none. */
static mh_str file_bytes(void)
{
    static char bytes[4096];
    FILE *file = fopen(output_path(), "rb");
    size_t len = file ? fread(bytes, 1, sizeof(bytes), file) : 0;
    if (file)
        fclose(file);
    return (mh_str){bytes, len};
}

static bool remove_part(void)
{
    char path[128];
    snprintf(path, sizeof(path), "%s.part%d", output_path(), (int)getpid());
    return unlink(path) == 0;
}

/* What is there is whole, or is what was there before; and it is alone, unless the rest could not
 * be removed. */
static int output_over(const char *before)
{
    int result = fetch(large_file_get_main, &pieces, "127.0.0.1", output_path());
    if (result == 0)
        note_bytes("file", file_bytes());
    else
        check(mh_str_equal(file_bytes(), before));
    check(!remove_part() || inject_was_call(CALL_UNLINK));
    unlink(output_path());
    return result;
}

static int large_file_get_output(void)
{
    return output_over("");
}

static int large_file_get_replaces(void)
{
    FILE *file = fopen(output_path(), "wb");
    if (!file || fputs("before", file) < 0 || fclose(file) != 0)
        abort();
    return output_over("before");
}

static int help(int (*program)(int, char **))
{
    char name[] = "program", option[] = "--help";
    char *argv[] = {name, option, NULL};
    return judge(run(program, argv));
}

static int large_file_get_help(void)
{
    return help(large_file_get_main);
}

static int simple_server_help(void)
{
    return help(simple_server_main);
}

/* ---- the one that serves ---- */

static char received[CAPTURE_MAX + 1];
static atomic_bool has_ended;

static void ask(int fd)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    size_t len = 0;
    ssize_t more = send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL);
    while (more > 0 && (more = recv(fd, received + len, CAPTURE_MAX - len, 0)) > 0)
        len += (size_t)more;
    received[len] = '\0';
    close(fd);
}

/* Asks for the page once the server waits, then interrupts it. */
static void *visit(void *arg)
{
    while (!names_polled() && !atomic_load(&has_ended))
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    int fd = atomic_load(&has_ended) ? -1 : peer_connect(names_listener());
    if (fd >= 0)
        ask(fd);
    if (!atomic_load(&has_ended))
        pthread_kill(pthread_self(), SIGINT);
    return arg;
}

/* The ports are others each time. */
static void note_without_ports(const char *what, const char *text)
{
    note("%s: ", what);
    while (*text) {
        size_t digits = strspn(text, "0123456789");
        if (digits >= 4)
            note("PORT");
        else
            note("%.*s", (int)(digits ? digits : 1), text);
        text += digits ? digits : 1;
    }
    note("\n");
}

/* It goes on when a client cannot be answered, and says so in its log. A log that cannot be written
 * keeps nobody from being answered. */
static int judge_server(int status)
{
    bool mute = inject_was_call(CALL_WRITE);
    check(status == 0 || status == 1);
    if (status == 1) {
        check(lines(&err) >= 1);
        return EXIT_1;
    }
    note_without_ports("out", out.text);
    note_without_ports("received", received);
    if (mute && err.len == 0)
        check(strncmp(received, "HTTP/1.1 200", 12) == 0);
    return mute || err.len > 0 ? GRUMBLED : 0;
}

static int simple_server(void)
{
    char name[] = "simple_server", option[] = "--port", zero[] = "0";
    char *argv[] = {name, option, zero, NULL};
    pthread_t visitor;
    names_forget();
    atomic_store(&has_ended, false);
    received[0] = '\0';
    if (pthread_create(&visitor, NULL, visit, NULL) != 0)
        abort();
    int status = run(simple_server_main, argv);
    atomic_store(&has_ended, true);
    pthread_join(visitor, NULL);
    if (names_listener() >= 0)
        close(names_listener()); /* the end of the process would have done it */
    return judge_server(status);
}

const struct scenario program_scenarios[] = {
    {.name = "simple_get", .run = simple_get, .also = {EXIT_1}, .one_recv = true},
    {.name = "large_file_get", .run = large_file_get, .also = {EXIT_1}},
    {.name = "large_file_get_large",
     .run = large_file_get_large,
     .also = {EXIT_1},
     .eof_is_end = true},
    {.name = "large_file_get_output", .run = large_file_get_output, .also = {EXIT_1}},
    {.name = "large_file_get_replaces", .run = large_file_get_replaces, .also = {EXIT_1}},
    {.name = "large_file_get_help", .run = large_file_get_help, .also = {EXIT_1}},
    {.name = "simple_server_help", .run = simple_server_help, .also = {EXIT_1}},
    {.name = "simple_server",
     .run = simple_server,
     .also = {EXIT_1, GRUMBLED},
     .endless = true,
     .own_process = true},
    {0},
};
