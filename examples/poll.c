/* poll.c: an mh_loop inside a poll() of the program's own, which waits for other things as well.
 *
 *   poll
 *
 * Reads URLs from the standard input, one in a line, and fetches each as soon as it is there; says
 * how each went when it is done. Neither waits for the other. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common.h"

static const char usage[] = "usage: poll [options]\n"
                            "Fetch URLs from the standard input, one in a line, as they come.\n\n"
                            "  --help     print this\n"
                            "  --version  print the version\n";

#define INPUT_MAX 65536 /* bytes of a line, and more than a URL may have */

static struct program program = {.name = "poll", .usage = usage};

struct job {
    mh_response res;
    char url[];
};

struct input {
    mh_buf bytes; /* a line that has not come to its end */
    bool over;
};

/* ---- fetching ---- */

static int ignore(mh_response *res, const char *data, size_t len)
{
    (void)res, (void)data, (void)len;
    return 0;
}

static void print_result(const struct job *job)
{
    const mh_response *res = &job->res;
    if (res->error < 0)
        printf("%s: %s: %s\n", job->url, mh_phase_name(res->phase),
               res->detail ? res->detail : mh_strerror(res->error));
    else
        printf("%s: %d, %" PRIu64 " bytes\n", job->url, res->status, res->decoded);
    fflush(stdout);
}

static void on_done(mh_response *res)
{
    struct job *job = res->user;
    print_result(job);
    mh_response_free(res);
    free(job);
}

static int start(mh_client *client, mh_loop *loop, const char *url, size_t len)
{
    struct job *job = calloc(1, sizeof(*job) + len + 1);
    if (!job)
        return -ENOMEM;
    memcpy(job->url, url, len);
    mh_fetch fetch = {.url = job->url, .on_body = ignore, .on_done = on_done, .user = job};
    if (mh_client_submit(client, loop, &fetch, &job->res) < 0) {
        job->res.user = job;
        on_done(&job->res);
    }
    return 0;
}

/* ---- the other thing that is waited for ---- */

static int take_lines(struct input *input, mh_client *client, mh_loop *loop)
{
    char *end;
    int err = 0;
    while (err == 0 && input->bytes.len > 0 &&
           (end = memchr(input->bytes.data, '\n', input->bytes.len))) {
        size_t len = (size_t)(end - input->bytes.data);
        if (len > 0)
            err = start(client, loop, input->bytes.data, len);
        mh_buf_consume(&input->bytes, len + 1);
    }
    return err;
}

static int read_input(struct input *input, mh_client *client, mh_loop *loop)
{
    char piece[4096];
    ssize_t len = read(STDIN_FILENO, piece, sizeof(piece));
    if (len < 0)
        return -errno;
    input->over = len == 0;
    if (input->over)
        piece[len++] = '\n'; /* the last line may lack it */
    int err = mh_buf_append(&input->bytes, piece, (size_t)len);
    return err < 0 ? err : take_lines(input, client, loop);
}

/* ---- both ---- */

/* The loop is run after every wait, whatever ended it: its deadlines are its own to look after. */
static int wait_for_both(struct input *input, mh_client *client, mh_loop *loop)
{
    for (;;) {
        struct pollfd fds[] = {
            {.fd = input->over ? -1 : STDIN_FILENO, .events = POLLIN},
            {.fd = mh_loop_fd(loop), .events = POLLIN},
        };
        if (poll(fds, 2, mh_loop_timeout_ms(loop)) < 0 && errno != EINTR)
            return -errno;
        int err = fds[0].revents ? read_input(input, client, loop) : 0;
        if (err < 0)
            return err;
        int left = mh_loop_run(loop, 0);
        if (left < 0 || (left == 0 && input->over))
            return left;
    }
}

static int run(void)
{
    struct input input = {.bytes.max = INPUT_MAX};
    mh_client *client;
    mh_loop *loop = NULL;
    int err = mh_client_new(&client, NULL);
    if (err == 0)
        err = mh_loop_new(&loop);
    if (err == 0)
        err = wait_for_both(&input, client, loop);
    mh_loop_free(loop);
    mh_client_free(client);
    mh_buf_free(&input.bytes);
    return err < 0 ? explain_file(&program, "standard input", err) : finish_output(&program);
}

int main(int argc, char **argv)
{
    static const struct option names[] = {
        {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'v'}, {0}};
    argv[0] = program.name;
    int option = getopt_long(argc, argv, "", names, NULL);
    if (option != -1)
        return take_standard_option(&program, option);
    if (optind < argc)
        return usage_error(&program, argv[optind], "unexpected argument");
    return run();
}
