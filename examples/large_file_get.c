/* large_file_get.c: fetch a page that comes in many pieces, all of it.
 *
 *   large_file_get [--output FILE] [--trace] [--timeout SECONDS] [URL]
 *
 * Without --output the whole response is printed. With it, the body goes to the file piece by
 * piece, so that it may be larger than the memory; FILE is as it was until all of it has come. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common.h"

#define PROGRESS_STEP (256u << 10) /* bytes between two progress lines */

#define URL "http://gaia.cs.umass.edu/wireshark-labs/HTTP-wireshark-file3.html"

static const char usage[] = "usage: large_file_get [options] [URL]\n"
                            "Fetch a page that comes in many pieces.\n"
                            "Without a URL: " URL "\n\n"
                            "  --output FILE      write the body to FILE, not the response to the "
                            "terminal\n"
                            "  --trace            show what is sent and received\n"
                            "  --timeout SECONDS  give up after that time\n"
                            "  --help             print this\n"
                            "  --version          print the version\n";

/* Straight to the server that the URL names, and the body as it lies there: so the bytes can be
 * counted. */
static int fetch_plain(const struct program *program, mh_fetch fetch, mh_response *res)
{
    static const mh_client_options direct = {.proxy = ""};
    static const char *const headers[] = {"Accept-Encoding: identity", NULL};
    mh_client *client;
    int status = mh_client_new(&client, &direct);
    if (status < 0)
        return res->error = status;
    fetch.url = program->url;
    fetch.headers = headers;
    fetch.redirects_max = -1;
    if (program->traces) {
        begin_trace();
        fetch.on_trace = print_trace;
    }
    status = mh_client_fetch(client, &fetch, res);
    end_trace();
    mh_client_free(client);
    return status;
}

/* ---- to the terminal ---- */

static int print_page(const struct program *program)
{
    mh_response res = {0};
    int status = fetch_plain(program, (mh_fetch){.timeout_ms = program->timeout_ms}, &res);
    if (status < 0) {
        status = explain_failure(program, &res);
    } else {
        print_request(res.url);
        printf("[RECV] - total length: %zu\n", res.head.len + res.body.len);
        print_bytes(res.head);
        print_bytes(mh_buf_str(&res.body));
        status = finish_output(program);
    }
    mh_response_free(&res);
    return status;
}

/* ---- a file that is whole or not there ---- */

/* The body is written beside FILE, under a name that is made of FILE's, and takes its place when it
 * is complete. */
static char part[PATH_MAX];
static volatile sig_atomic_t has_part; /* it exists, and this run has made it */

/* As if it had not been caught, but for the part. */
static void on_signal(int number)
{
    if (has_part)
        unlink(part);
    signal(number, SIG_DFL);
    raise(number);
}

static void remove_part_at(int number)
{
    struct sigaction before, action = {.sa_handler = on_signal};
    if (sigaction(number, NULL, &before) == 0 && before.sa_handler != SIG_IGN)
        sigaction(number, &action, NULL);
}

struct download {
    const char *path;
    const char *target; /* the same, or the file that it is a link to; NULL: no file */
    FILE *file;         /* NULL until there is a body that is worth a file */
    int err;            /* why writing failed, or 0 */
    uint64_t shown;     /* bytes in the last progress line */
};

/* What will be replaced: a file that may be written. A device or a pipe is written to as it is, and
 * so is what a broken link points to. */
static int find_target(struct download *download)
{
    static char real[PATH_MAX];
    struct stat info;
    if (lstat(download->path, &info) != 0)
        download->target = download->path; /* a new one */
    else if (stat(download->path, &info) == 0 && S_ISREG(info.st_mode))
        download->target = realpath(download->path, real);
    return download->target != real || access(real, W_OK) == 0 ? 0 : -errno;
}

static int name_part(const struct download *download)
{
    if (!download->target)
        return 0;
    int len = snprintf(part, sizeof(part), "%s.part%d", download->target, (int)getpid());
    return len > 0 && (size_t)len < sizeof(part) ? 0 : -ENAMETOOLONG;
}

static int open_file(struct download *download)
{
    bool replaces = download->target != NULL;
    download->file = replaces ? fopen(part, "wbx") : fopen(download->path, "wb");
    if (!download->file)
        return -errno;
    has_part = replaces;
    return 0;
}

/* The last bytes are written here, and can fail here. */
static void close_file(struct download *download, int status)
{
    if (!download->file)
        return;
    if (fclose(download->file) != 0 && download->err == 0)
        download->err = -errno;
    if (!has_part)
        return;
    bool whole = status >= 0 && download->err == 0;
    if (whole && rename(part, download->target) != 0)
        download->err = -errno;
    if (!whole || download->err < 0)
        unlink(part);
    has_part = false;
}

/* ---- to a file ---- */

/* The file is opened when the server has what was asked for: an error page is no download. */
static int on_head(mh_response *res)
{
    struct download *download = res->user;
    if (res->status < 200 || res->status > 299)
        return -ECANCELED;
    return download->err = open_file(download);
}

static int on_body(mh_response *res, const char *data, size_t len)
{
    struct download *download = res->user;
    if (fwrite(data, 1, len, download->file) != len)
        download->err = -errno;
    return download->err;
}

static int on_progress(mh_response *res)
{
    struct download *download = res->user;
    if (res->received - download->shown < PROGRESS_STEP && res->received != res->received_total)
        return 0;
    download->shown = res->received;
    print_progress(res->received, res->received_total);
    return 0;
}

static bool shows_progress(const struct program *program)
{
    return isatty(STDERR_FILENO) && !program->traces;
}

static int explain_download(const struct program *program, const struct download *download,
                            const mh_response *res)
{
    if (download->shown > 0)
        fputc('\n', stderr); /* the progress line ends here */
    if (download->err < 0)
        return explain_file(program, download->path, download->err);
    if (res->error == -ECANCELED)
        return explain_status(program, res);
    return res->error < 0 ? explain_failure(program, res) : 0;
}

static int save_page(const struct program *program)
{
    struct download download = {.path = program->output};
    mh_response res = {0};
    if ((download.err = find_target(&download)) < 0 || (download.err = name_part(&download)) < 0)
        return explain_file(program, download.path, download.err);
    remove_part_at(SIGINT);
    remove_part_at(SIGTERM);
    remove_part_at(SIGHUP);
    /* However long a large file takes, only silence ends it. */
    mh_fetch fetch = {.timeout_ms = program->timeout_ms ? program->timeout_ms : -1,
                      .on_head = on_head,
                      .on_body = on_body,
                      .on_progress = shows_progress(program) ? on_progress : NULL,
                      .user = &download};
    int status = fetch_plain(program, fetch, &res);
    close_file(&download, status);
    status = explain_download(program, &download, &res);
    mh_response_free(&res);
    return status;
}

int main(int argc, char **argv)
{
    struct program program = {
        .name = "large_file_get",
        .usage = usage,
        .url = URL,
        .receives_all = true,
    };
    int status = parse_command_line(&program, argc, argv);
    if (status >= 0)
        return status;
    return program.output ? save_page(&program) : print_page(&program);
}
