/* libuv.c: an mh_loop inside a loop of libuv, beside whatever else that loop looks after.
 *
 *   libuv URL...
 *
 * Fetches all URLs at the same time. A timer of libuv's own counts meanwhile, in place of the rest
 * of a program. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include "common.h"

static const char usage[] = "usage: libuv [options] URL...\n"
                            "Fetch URLs inside a loop of libuv, and say how each went.\n\n"
                            "  --help     print this\n"
                            "  --version  print the version\n";

#define TICK_MS 10

struct app {
    struct program program;
    uv_loop_t uv;
    uv_poll_t readable; /* something has come for the mh_loop */
    uv_timer_t timer;   /* or its time has come */
    uv_timer_t ticker;
    mh_client *client;
    mh_loop *loop;
    mh_response *responses;
    int failed;
    uint64_t ticks;
};

/* ---- one loop inside the other ---- */

static void on_timer(uv_timer_t *timer);

/* Again after every call that gets the mh_loop, or a transfer on it. */
static void set_timer(struct app *app)
{
    int ms = mh_loop_timeout_ms(app->loop);
    uv_update_time(&app->uv);
    if (ms < 0)
        uv_timer_stop(&app->timer);
    else
        uv_timer_start(&app->timer, on_timer, (uint64_t)ms, 0);
}

/* uv_run() comes back when nothing is left to wait for. */
static void stop(struct app *app)
{
    uv_close((uv_handle_t *)&app->readable, NULL);
    uv_close((uv_handle_t *)&app->timer, NULL);
    uv_close((uv_handle_t *)&app->ticker, NULL);
}

static void work(struct app *app)
{
    int left = mh_loop_run(app->loop, 0);
    if (left < 0)
        app->failed = explain_file(&app->program, "loop", left);
    if (left <= 0)
        stop(app);
    else
        set_timer(app);
}

static void on_timer(uv_timer_t *timer)
{
    work(timer->data);
}

static void on_readable(uv_poll_t *readable, int status, int events)
{
    (void)status, (void)events;
    work(readable->data);
}

static void on_tick(uv_timer_t *ticker)
{
    struct app *app = ticker->data;
    app->ticks++;
}

static void watch(struct app *app)
{
    uv_loop_init(&app->uv);
    uv_poll_init(&app->uv, &app->readable, mh_loop_fd(app->loop));
    uv_timer_init(&app->uv, &app->timer);
    uv_timer_init(&app->uv, &app->ticker);
    app->readable.data = app->timer.data = app->ticker.data = app;
    uv_poll_start(&app->readable, UV_READABLE, on_readable);
    uv_timer_start(&app->ticker, on_tick, TICK_MS, TICK_MS);
    work(app);
}

/* ---- fetching ---- */

static int ignore(mh_response *res, const char *data, size_t len)
{
    (void)res, (void)data, (void)len;
    return 0;
}

static void on_done(mh_response *res)
{
    struct app *app = res->user;
    if (res->error < 0)
        app->failed = explain_failure(&app->program, res);
    else
        printf(MH_FMT ": %d, %" PRIu64 " bytes\n", MH_ARG(res->url), res->status, res->decoded);
}

static void submit_all(struct app *app, char **urls)
{
    for (size_t i = 0; urls[i]; i++) {
        mh_fetch fetch = {.url = urls[i], .on_body = ignore, .on_done = on_done, .user = app};
        app->program.url = urls[i];
        if (mh_client_submit(app->client, app->loop, &fetch, &app->responses[i]) < 0)
            app->failed = explain_failure(&app->program, &app->responses[i]);
    }
}

static int run(struct app *app, char **urls)
{
    int err = mh_client_new(&app->client, NULL);
    if (err == 0)
        err = mh_loop_new(&app->loop);
    if (err < 0)
        return explain_file(&app->program, "client", err);
    submit_all(app, urls);
    watch(app);
    uv_run(&app->uv, UV_RUN_DEFAULT);
    uv_loop_close(&app->uv);
    printf("%" PRIu64 " ticks of %d ms meanwhile\n", app->ticks, TICK_MS);
    return finish_output(&app->program) | app->failed;
}

int main(int argc, char **argv)
{
    static const struct option names[] = {
        {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'v'}, {0}};
    static struct app app = {.program = {.name = "libuv", .usage = usage}};
    argv[0] = app.program.name;
    int option = getopt_long(argc, argv, "", names, NULL);
    if (option != -1)
        return take_standard_option(&app.program, option);
    if (optind == argc)
        return usage_error(&app.program, "URL", "there is none");
    app.responses = calloc((size_t)(argc - optind), sizeof(*app.responses));
    int status = app.responses ? run(&app, argv + optind) : 1;
    mh_loop_free(app.loop);
    mh_client_free(app.client);
    for (int i = 0; app.responses && i < argc - optind; i++)
        mh_response_free(&app.responses[i]);
    free(app.responses);
    return status;
}
