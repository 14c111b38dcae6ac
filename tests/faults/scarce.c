/* scarce.c: descriptors that have really run out. Nothing is injected here. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <minihttp.h>

#include "faults.h"
#include "peer.h"

#define TRIES 200       /* of a server that does not wait between them */
#define CPU_MAX_MS 1000 /* for that many */

static int complaints;

#define expect(holds)                                                                              \
    do {                                                                                           \
        if (!(holds)) {                                                                            \
            printf("FAILED: scarce.c:%d: %s\n", __LINE__, #holds);                                 \
            complaints++;                                                                          \
        }                                                                                          \
    } while (0)

/* From now on there is not one more descriptor. */
static void use_up(void)
{
    int lowest = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct rlimit limit = {.rlim_cur = (rlim_t)lowest, .rlim_max = (rlim_t)lowest};
    close(lowest);
    expect(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

static int64_t cpu_ms(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (int64_t)used.tv_sec * 1000 + used.tv_nsec / 1000000;
}

static int say_hello(mh_request *req)
{
    return mh_reply_text(req, 200, "hello\n");
}

/* Each try tells at once, and none uses the connection up: when one descriptor is free, the one
 * that waits is answered. */
static void accepting(void)
{
    static const struct step get[] = {{"GET / HTTP/1.1\r\nHost: h\r\n\r\n", NULL}, {0}};
    int listener = mh_listen("127.0.0.1:0");
    int peer = peer_connect(listener), spare = dup(0), more[] = {dup(0), dup(0)};
    expect(listener >= 0 && peer >= 0 && spare >= 0 && more[1] >= 0);
    use_up();
    int64_t before = cpu_ms();
    for (int i = 0; i < TRIES; i++)
        expect(mh_accept(listener, NULL) == -EMFILE);
    expect(cpu_ms() - before < CPU_MAX_MS);
    close(spare);
    int connection = mh_accept(listener, NULL);
    expect(connection >= 0);
    close(more[0]); /* what it waits with */
    close(more[1]);
    peer_call(peer, get, false);
    expect(mh_respond(connection, say_hello, NULL) == 200);
    mh_str got = peer_hang_up();
    expect(got.len > 12 && memcmp(got.ptr, "HTTP/1.1 200", 12) == 0);
}

/* A listener that was shut down says so all the same, or its server would not end. */
static void stopping(void)
{
    int listener = mh_listen("127.0.0.1:0");
    expect(listener >= 0);
    use_up();
    expect(shutdown(listener, SHUT_RDWR) == 0);
    expect(mh_accept(listener, NULL) == MH_ERR_CLOSED);
}

/* Whoever asks for a descriptor is told why there is none, and gets one when there is. */
static void asking(void)
{
    mh_buf body = {0};
    char bytes[16];
    int spare = dup(0);
    expect(spare >= 0);
    use_up();
    expect(mh_get("http://127.0.0.1:9/", &body) == -EMFILE && body.len == 0);
    expect(mh_get_once("http://127.0.0.1:9/", bytes, sizeof(bytes)) == -EMFILE);
    expect(mh_listen("127.0.0.1:0") == -EMFILE);
    expect(mh_listen("[::1]:0") == -EMFILE);
    close(spare);
    expect(mh_listen("127.0.0.1:0") >= 0);
    mh_buf_free(&body);
}

static int in_child(void (*trial)(void))
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        trial();
        fflush(stdout);
        _exit(complaints > 0);
    }
    int status = 1;
    if (child < 0 || waitpid(child, &status, 0) < 0 || status != 0)
        printf("FAILED: with status %d\n", status);
    return status != 0;
}

int scarce(void)
{
    return in_child(accepting) + in_child(stopping) + in_child(asking);
}
