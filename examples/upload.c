/* upload.c: PUT a file as it is read, so that it may be larger than the memory.
 *
 *   upload [options] FILE URL
 *
 * What has a length is sent with it; what has none, a pipe, goes in chunks. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "options.h"

static const char usage[] = "usage: upload [options] FILE URL\n"
                            "PUT FILE, '-' is the standard input, and print the body of the "
                            "response.\n\n" TRACE_HELP CLIENT_HELP;

#define PROGRESS_STEP (256u << 10) /* bytes between two progress lines */

struct upload {
    struct program program;
    struct options options;
    const char *name;
    int fd;
    int err;        /* why reading failed, or 0 */
    uint64_t shown; /* bytes in the last progress line */
};

/* ---- the file ---- */

/* It may wait for a pipe, which holds up nobody but us: there is one transfer only. */
static ssize_t on_upload(mh_response *res, char *buf, size_t cap)
{
    struct upload *upload = res->user;
    ssize_t len = read(upload->fd, buf, cap);
    if (len < 0)
        upload->err = -errno;
    return len < 0 ? upload->err : len;
}

/* From where it is read on, which need not be its beginning. What is empty is not asked for. */
static int describe(struct upload *upload, mh_fetch *fetch)
{
    struct stat info;
    if (fstat(upload->fd, &info) != 0)
        return -errno;
    fetch->on_upload = on_upload;
    if (!S_ISREG(info.st_mode))
        return 0;
    off_t at = lseek(upload->fd, 0, SEEK_CUR);
    if (at >= info.st_size)
        fetch->on_upload = NULL;
    else
        fetch->upload_len = (uint64_t)(info.st_size - (at > 0 ? at : 0));
    return 0;
}

static int open_file(struct upload *upload)
{
    bool standard = strcmp(upload->name, "-") == 0;
    upload->fd = standard ? STDIN_FILENO : open(upload->name, O_RDONLY | O_CLOEXEC);
    return upload->fd < 0 ? -errno : 0;
}

/* ---- out and back ---- */

static int on_progress(mh_response *res)
{
    struct upload *upload = res->user;
    if (res->sent - upload->shown < PROGRESS_STEP && res->sent != res->sent_total)
        return 0;
    if (res->sent == upload->shown)
        return 0; /* it is the response that comes */
    upload->shown = res->sent;
    print_progress(res->sent, res->sent_total);
    return 0;
}

static int on_head(mh_response *res)
{
    struct upload *upload = res->user;
    return check_status(&upload->options, res);
}

static int explain(struct upload *upload, const mh_response *res)
{
    if (upload->shown > 0)
        fputc('\n', stderr); /* the progress line ends here */
    if (upload->err == 0)
        return report(&upload->program, res);
    end_trace();
    return explain_file(&upload->program, upload->name, upload->err);
}

static int send_file(struct upload *upload, mh_client *client, mh_fetch fetch)
{
    mh_response res = {0};
    fetch.url = upload->program.url;
    fetch.method = "PUT";
    fetch.on_head = on_head;
    fetch.on_body = print_body;
    fetch.user = upload;
    if (fetch.timeout_ms == 0)
        fetch.timeout_ms = -1; /* however long a large file takes, only silence ends it */
    if (isatty(STDERR_FILENO) && !fetch.on_trace)
        fetch.on_progress = on_progress;
    (void)!mh_client_fetch(client, &fetch, &res);
    int status = explain(upload, &res);
    mh_response_free(&res);
    return finish_bodies(&upload->program, status);
}

static int run(struct upload *upload)
{
    mh_fetch fetch = upload->options.fetch;
    mh_client *client;
    int err = open_file(upload);
    if (err == 0)
        err = describe(upload, &fetch);
    if (err < 0)
        return explain_file(&upload->program, upload->name, err);
    int status = open_client(&upload->program, &client, &upload->options);
    if (status != GO_ON)
        return status;
    status = send_file(upload, client, fetch);
    mh_client_free(client);
    close(upload->fd);
    return status;
}

int main(int argc, char **argv)
{
    static const struct option names[] = {TRACE_OPTIONS, CLIENT_OPTIONS, {0}};
    static struct upload upload = {.program = {.name = "upload", .usage = usage}};
    int option, status = GO_ON;
    argv[0] = upload.program.name;
    while (status == GO_ON && (option = getopt_long(argc, argv, "", names, NULL)) != -1)
        status = take_client_option(&upload.program, &upload.options, option);
    if (status != GO_ON)
        return status;
    if (optind != argc - 2)
        return usage_error(&upload.program, "FILE URL", "there are to be these two");
    upload.name = argv[optind];
    upload.program.url = argv[optind + 1];
    return run(&upload);
}
