/* respond.c: one connection, one request, one reply, in the caller's thread: a worker for it alone,
 * on a loop of its own. */
#include <errno.h>

#include "base/clock.h"
#include "server/server.h"

/* What is kept of how it went. */
struct outcome {
    int status; /* of the reply that was sent */
    int err;    /* why there was none, or not all of one: the first reason */
    bool over;
};

static void note_access(const mh_request *req, int status, uint64_t sent, int64_t took_us)
{
    struct outcome *outcome = mh__exchange_of(req)->worker->owner;
    (void)sent;
    (void)took_us;
    outcome->status = status;
}

static void note_error(struct mh__worker *worker, int err)
{
    struct outcome *outcome = worker->owner;
    if (outcome->err == 0)
        outcome->err = err;
}

static void note_end(struct mh__worker *worker)
{
    struct outcome *outcome = worker->owner;
    outcome->over = true;
}

static int result_of(const struct outcome *outcome)
{
    if (outcome->err < 0)
        return outcome->err;
    return outcome->status > 0 ? outcome->status : MH_ERR_CLOSED;
}

static int serve(struct mh__worker *worker, int connection, struct outcome *outcome)
{
    struct mh__address peer = {.len = 0};
    struct mh__session *session;
    worker->owner = outcome;
    worker->on_stopped = note_end;
    worker->note_error = note_error;
    if (mh__peer_name(connection, &peer.addr))
        peer.len = sizeof(peer.addr);
    int err = mh__session_new(&session, worker, &mh__carrier_socket, &peer);
    if (err == 0)
        err = mh__carrier_adopt(session, connection);
    if (err < 0) {
        mh__close(connection);
        return err;
    }
    mh__worker_stop_after(worker);
    while (err == 0 && !outcome->over)
        err = mh__loop_turn(worker->loop, -1);
    return err < 0 ? err : result_of(outcome);
}

static int respond(mh_loop *loop, int connection, mh_handler *handler, void *user)
{
    struct mh__settings settings;
    struct outcome outcome = {0};
    struct mh__worker *worker;
    mh__settings_init(&settings);
    settings.handler = handler;
    settings.user = user;
    settings.single = true;
    settings.on_access = note_access;
    settings.limits[MH__LINE_IDLE] = MH_SERVER_HEAD_TIMEOUT_MS;
    int err = mh__worker_new(&worker, &settings, loop, -1);
    if (err < 0) {
        mh__close(connection);
        return err;
    }
    int result = serve(worker, connection, &outcome);
    mh__worker_free(worker);
    return result;
}

int mh_respond(int connection, mh_handler *handler, void *user)
{
    mh_loop *loop = NULL;
    int err = mh__set_nonblocking(connection);
    if (err == 0)
        err = mh_loop_new(&loop);
    if (err < 0 || !loop) {
        mh__close(connection);
        return err;
    }
    int result = respond(loop, connection, handler, user);
    mh_loop_free(loop);
    return result;
}
