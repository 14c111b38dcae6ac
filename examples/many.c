/* many.c: fetch many URLs at the same time, in one thread.
 *
 *   many [options] [URL...]
 *
 * As many slots as may be in flight, each with a response. When one is done, its on_done submits
 * the next URL from the same slot: so the memory does not grow with the list. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "options.h"

static const char usage[] =
    "usage: many [options] [URL...]\n"
    "Fetch URLs, many at the same time. Without a URL they are read from the standard input.\n\n"
    "  --from FILE             read URLs from FILE, one in a line; '-': the standard input\n"
    "  --parallel N            so many at the same time (16)\n"
    "  --output-dir DIR        write the bodies to DIR/1, DIR/2, ...\n" CLIENT_HELP;

#define PARALLEL 16
#define PARALLEL_MAX 1000
#define LIST_MAX (64u << 20) /* bytes of URLs */
#define BAR 40               /* columns of it */

struct slot {
    struct many *many;
    mh_response res;
    const char *url;
    FILE *file; /* NULL: none */
    int err;    /* why it could not be written, or 0 */
    char path[PATH_MAX];
};

struct many {
    struct program program;
    struct options options;
    const char *from, *output_dir;
    int parallel;
    bool shows_progress;

    char **arguments; /* what is left of the URLs, here or there */
    char *lines;
    mh_buf list; /* what the lines are in */

    mh_client *client;
    mh_loop *loop;
    int total, begun, fetched, failed;
    uint64_t bytes;
};

/* ---- the list ---- */

/* Take one off the front; NULL: there are no more. Empty lines are none. */
static char *next_line(char **rest)
{
    char *line = *rest + strspn(*rest, "\r\n");
    size_t len = strcspn(line, "\r\n");
    *rest = line + len + (line[len] ? 1 : 0);
    line[len] = '\0';
    return len > 0 ? line : NULL;
}

static const char *next_url(struct many *many)
{
    if (*many->arguments)
        return *many->arguments++;
    return many->lines ? next_line(&many->lines) : NULL;
}

static int count_lines(const char *rest)
{
    int count = 0;
    while (*(rest += strspn(rest, "\r\n"))) {
        rest += strcspn(rest, "\r\n");
        count++;
    }
    return count;
}

static int read_lines(struct many *many, FILE *file)
{
    char piece[16384];
    size_t len;
    int err = 0;
    many->list.max = LIST_MAX;
    while (err == 0 && (len = fread(piece, 1, sizeof(piece), file)) > 0)
        err = mh_buf_append(&many->list, piece, len);
    many->lines = many->list.data;
    return err == 0 && ferror(file) ? -errno : err;
}

static int read_list(struct many *many)
{
    if (strcmp(many->from, "-") == 0)
        return read_lines(many, stdin);
    FILE *file = fopen(many->from, "r");
    if (!file)
        return -errno;
    int err = read_lines(many, file);
    fclose(file);
    return err;
}

/* ---- what is shown ---- */

static void show_progress(const struct many *many)
{
    static const char full[] = "########################################";
    int done = many->fetched + many->failed;
    if (!many->shows_progress)
        return;
    int columns = (int)((int64_t)BAR * done / many->total);
    fprintf(stderr, "\r[%-*.*s] %d of %d", BAR, columns, full, done, many->total);
}

static void clear_progress(const struct many *many)
{
    if (many->shows_progress)
        fputs("\r\033[K", stderr);
}

/* ---- one URL ---- */

static int on_head(mh_response *res)
{
    struct slot *slot = res->user;
    const struct many *many = slot->many;
    int err = check_status(&many->options, res);
    if (err < 0 || !many->output_dir)
        return err;
    slot->file = fopen(slot->path, "wb");
    return slot->err = slot->file ? 0 : -errno;
}

static int on_body(mh_response *res, const char *data, size_t len)
{
    struct slot *slot = res->user;
    if (slot->file && fwrite(data, 1, len, slot->file) != len)
        slot->err = -errno;
    return slot->err;
}

/* What is not whole is not kept. */
static void close_file(struct slot *slot)
{
    if (!slot->file)
        return;
    if (fclose(slot->file) != 0 && slot->err == 0)
        slot->err = -errno;
    if (slot->err < 0 || slot->res.error < 0)
        unlink(slot->path);
    slot->file = NULL;
}

static void explain(struct slot *slot)
{
    struct many *many = slot->many;
    clear_progress(many);
    many->program.url = slot->url;
    if (slot->err < 0)
        explain_file(&many->program, slot->path, slot->err);
    else
        report(&many->program, &slot->res);
}

/* It is over, however it went. */
static void account(struct slot *slot)
{
    struct many *many = slot->many;
    close_file(slot);
    if (slot->res.error == 0 && slot->err == 0) {
        many->fetched++;
        many->bytes += slot->res.decoded;
    } else {
        many->failed++;
        explain(slot);
    }
    show_progress(many);
}

static void on_done(mh_response *res);

static int submit(struct slot *slot)
{
    struct many *many = slot->many;
    mh_fetch fetch = many->options.fetch;
    fetch.url = slot->url;
    fetch.on_head = on_head;
    fetch.on_body = on_body;
    fetch.on_done = on_done;
    fetch.user = slot;
    slot->err = 0;
    many->begun++;
    if (many->output_dir)
        snprintf(slot->path, sizeof(slot->path), "%s/%d", many->output_dir, many->begun);
    return mh_client_submit(many->client, many->loop, &fetch, &slot->res);
}

/* The next one that can be asked for at all. */
static void start_next(struct slot *slot)
{
    while ((slot->url = next_url(slot->many)) && submit(slot) < 0)
        account(slot);
}

static void on_done(mh_response *res)
{
    struct slot *slot = res->user;
    account(slot);
    start_next(slot);
}

/* ---- all of them ---- */

/* Returns 0, or why they could not be waited for. */
static int fetch_all(struct many *many, struct slot *slots)
{
    show_progress(many);
    for (int i = 0; i < many->parallel; i++) {
        slots[i].many = many;
        start_next(&slots[i]);
    }
    int left = mh_loop_run(many->loop, -1);
    clear_progress(many);
    return left < 0 ? left : 0;
}

static double seconds_since(const struct timespec *from)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - from->tv_sec) + (double)(now.tv_nsec - from->tv_nsec) / 1e9;
}

static int run(struct many *many)
{
    struct timespec begin;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    struct slot *slots = calloc((size_t)many->parallel, sizeof(*slots));
    int err = slots ? mh_loop_new(&many->loop) : -ENOMEM;
    if (err == 0)
        err = fetch_all(many, slots);
    mh_loop_free(many->loop);
    for (int i = 0; slots && i < many->parallel; i++)
        mh_response_free(&slots[i].res);
    free(slots);
    if (err < 0)
        return explain_file(&many->program, "loop", err);
    printf("%d fetched, %d failed, %" PRIu64 " bytes, %.2f s\n", many->fetched, many->failed,
           many->bytes, seconds_since(&begin));
    return finish_output(&many->program) | (many->failed > 0);
}

static int open_and_run(struct many *many)
{
    many->options.client.connections_max = many->parallel;
    many->options.client.connections_per_host_max = many->parallel;
    int status = open_client(&many->program, &many->client, &many->options);
    if (status != GO_ON)
        return status;
    int err = many->from ? read_list(many) : 0;
    if (many->lines)
        many->total += count_lines(many->lines);
    many->shows_progress = isatty(STDERR_FILENO) && many->total > 0;
    status = err < 0 ? explain_file(&many->program, many->from, err) : run(many);
    mh_buf_free(&many->list);
    mh_client_free(many->client);
    return status;
}

/* ---- the command line ---- */

static int take_option(struct many *many, int option)
{
    switch (option) {
    case 'f':
        many->from = optarg;
        return GO_ON;
    case 'p':
        if (!parse_number(&many->parallel, optarg, 1, PARALLEL_MAX))
            return usage_error(&many->program, optarg, "not a number from 1 to 1000");
        return GO_ON;
    case 'd':
        many->output_dir = optarg;
        return GO_ON;
    default:
        return take_client_option(&many->program, &many->options, option);
    }
}

int main(int argc, char **argv)
{
    static const struct option names[] = {{"from", required_argument, NULL, 'f'},
                                          {"parallel", required_argument, NULL, 'p'},
                                          {"output-dir", required_argument, NULL, 'd'},
                                          CLIENT_OPTIONS,
                                          {0}};
    static struct many many = {.program = {.name = "many", .usage = usage}, .parallel = PARALLEL};
    int option, status = GO_ON;
    argv[0] = many.program.name;
    while (status == GO_ON && (option = getopt_long(argc, argv, "", names, NULL)) != -1)
        status = take_option(&many, option);
    if (status != GO_ON)
        return status;
    many.arguments = argv + optind;
    many.total = argc - optind;
    if (optind == argc && !many.from)
        many.from = "-";
    return open_and_run(&many);
}
