/* post.c: POST some bytes, print what comes back.
 *
 *   post [options] [--data TEXT | --data-file FILE] URL
 *
 * All of them are in memory first: so a redirect can have them again, and a server is told how many
 * they are. upload.c beside this sends a file as it reads it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "options.h"

static const char usage[] =
    "usage: post [options] URL\n"
    "POST the bytes of the standard input, and print the body of the response.\n\n"
    "  --data TEXT             POST this instead\n"
    "  --data-file FILE        POST what is in FILE; '-': the standard input\n"
    "  --type TYPE             they are of that type (application/octet-stream)\n" TRACE_HELP
        CLIENT_HELP;

#define DATA_MAX (16u << 20) /* bytes that are worth the memory */

struct post {
    struct program program;
    struct options options;
    const char *text, *file; /* NULL: not given */
    char type[256];
    mh_buf data;
};

/* ---- what is sent ---- */

static int read_all(mh_buf *data, FILE *file)
{
    char piece[16384];
    size_t len;
    int err = 0;
    while (err == 0 && (len = fread(piece, 1, sizeof(piece), file)) > 0)
        err = mh_buf_append(data, piece, len);
    return err == 0 && ferror(file) ? -errno : err;
}

static int read_file(mh_buf *data, const char *name)
{
    if (strcmp(name, "-") == 0)
        return read_all(data, stdin);
    FILE *file = fopen(name, "rb");
    if (!file)
        return -errno;
    int err = read_all(data, file);
    fclose(file);
    return err;
}

/* GO_ON, or the exit status. */
static int read_data(struct post *post)
{
    const char *name = post->file ? post->file : "-";
    post->data.max = DATA_MAX;
    int err = post->text ? mh_buf_append(&post->data, post->text, strlen(post->text))
                         : read_file(&post->data, name);
    return err < 0 ? explain_file(&post->program, name, err) : GO_ON;
}

/* ---- out and back ---- */

static int on_head(mh_response *res)
{
    const struct post *post = res->user;
    return check_status(&post->options, res);
}

static int send_data(struct post *post, mh_client *client)
{
    mh_response res = {0};
    mh_fetch fetch = post->options.fetch;
    fetch.url = post->program.url;
    fetch.method = "POST";
    fetch.body = mh_buf_str(&post->data);
    fetch.on_head = on_head;
    fetch.on_body = print_body;
    fetch.user = post;
    (void)!mh_client_fetch(client, &fetch, &res);
    int status = report(&post->program, &res);
    mh_response_free(&res);
    return finish_bodies(&post->program, status);
}

static int run(struct post *post)
{
    mh_client *client;
    int status = open_client(&post->program, &client, &post->options);
    if (status != GO_ON)
        return status;
    status = read_data(post);
    if (status == GO_ON)
        status = send_data(post, client);
    mh_buf_free(&post->data);
    mh_client_free(client);
    return status;
}

/* ---- the command line ---- */

static int take_type(struct post *post, const char *type)
{
    int len = snprintf(post->type, sizeof(post->type), "Content-Type: %s", type);
    if (len < 0 || (size_t)len >= sizeof(post->type))
        return usage_error(&post->program, "--type", "too long");
    return GO_ON;
}

static int take_option(struct post *post, int option)
{
    switch (option) {
    case 'd':
        post->text = optarg;
        return GO_ON;
    case 'f':
        post->file = optarg;
        return GO_ON;
    case 'y':
        return take_type(post, optarg);
    default:
        return take_client_option(&post->program, &post->options, option);
    }
}

static int take_options(struct post *post, int argc, char **argv)
{
    static const struct option names[] = {{"data", required_argument, NULL, 'd'},
                                          {"data-file", required_argument, NULL, 'f'},
                                          {"type", required_argument, NULL, 'y'},
                                          TRACE_OPTIONS,
                                          CLIENT_OPTIONS,
                                          {0}};
    int option, status = take_type(post, "application/octet-stream");
    argv[0] = post->program.name;
    while (status == GO_ON && (option = getopt_long(argc, argv, "", names, NULL)) != -1)
        status = take_option(post, option);
    if (status != GO_ON)
        return status;
    if (post->text && post->file)
        return usage_error(&post->program, "--data", "and --data-file as well");
    if (optind != argc - 1)
        return usage_error(&post->program, "URL", "there is to be one");
    post->program.url = argv[optind];
    return add_field(&post->program, &post->options, post->type);
}

int main(int argc, char **argv)
{
    static struct post post = {.program = {.name = "post", .usage = usage}};
    int status = take_options(&post, argc, argv);
    return status == GO_ON ? run(&post) : status;
}
