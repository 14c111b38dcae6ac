/* epoll.c: the backend of the kernel's: sockets, the wait, and who ends it. lookup.c has the names.
 *
 * Level-triggered, and everything is tried before it is waited for: a small request on a kept
 * connection costs a send, a wait and a receive. A socket is registered when it begins to connect,
 * and what it waits for is told to the kernel only when that has changed. */
#include "loop/epoll.h"

#include <assert.h>
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#define BLOCK_MIN_MS 64 /* what is more urgent is waited for more precisely */
#define BLOCK_MAX_MS (1 << 20)
#define EVENTS_MAX 256  /* of one wait, so that timers and tasks have their turn as well */
#define ACCEPT_SLICE 64 /* connections that a listener gives at a time, for the same reason */

/* mh__socket.state. EPOLLIN and EPOLLOUT in it are what the kernel was asked for. */
#define REGISTERED (1u << 16)
#define CONNECTING (1u << 17)
#define RECEIVING (1u << 18) /* received() is wanted, and may come */
#define ENDED (1u << 19)     /* received() comes no more */
#define BUSY (1u << 20)      /* its events are under way, and told to the kernel after them */
#define BLOCKING (1u << 21)  /* its descriptor: what is not to wait says so in each call */

#define ASKED_FOR ((uint32_t)(EPOLLIN | EPOLLOUT))
_Static_assert((ASKED_FOR & (REGISTERED | CONNECTING | RECEIVING | ENDED | BUSY | BLOCKING)) == 0,
               "the flags are beside what epoll knows");

/* ---- what the kernel is asked for ---- */

static int control(struct mh__socket *socket, int op, uint32_t wanted)
{
    struct epoll_event event = {.events = wanted, .data.ptr = socket};
    int epoll_fd = mh__epoll_loop(socket->loop)->epoll_fd;
    return epoll_ctl(epoll_fd, op, socket->fd, &event) == 0 ? 0 : -errno;
}

static bool has_unsent(const struct mh__socket *socket)
{
    return socket->unsent_count > 0 || socket->file_left > 0;
}

static uint32_t interest(const struct mh__socket *socket)
{
    if (socket->state & CONNECTING)
        return EPOLLOUT;
    uint32_t events = has_unsent(socket) ? EPOLLOUT : 0;
    return socket->state & RECEIVING ? events | EPOLLIN : events;
}

static void count(struct mh__socket *socket, int change)
{
    struct mh__epoll_loop *loop = mh__epoll_loop(socket->loop);
    loop->registered += change;
    loop->only = loop->registered == 1 && change > 0 ? socket : NULL;
}

/* Fails only where the socket is not registered. */
static int watch(struct mh__socket *socket)
{
    uint32_t wanted = interest(socket), asked = socket->state & ASKED_FOR;
    bool registered = socket->state & REGISTERED;
    if ((socket->state & BUSY) || asked == wanted)
        return 0;
    int err = control(socket, registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, wanted);
    if (err == 0 && !registered)
        count(socket, 1);
    if (err == 0)
        socket->state = (socket->state & ~ASKED_FOR) | wanted | REGISTERED;
    return err;
}

static void unwatch(struct mh__socket *socket)
{
    if (socket->state & REGISTERED) {
        (void)control(socket, EPOLL_CTL_DEL, 0);
        count(socket, -1);
    }
    socket->state &= ~(ASKED_FOR | REGISTERED);
}

/* ---- sending ---- */

/* Pass over what has gone, and over empty pieces. */
static void advance(struct mh__socket *socket, size_t sent)
{
    int done = 0;
    struct iovec *unsent = socket->unsent;
    for (; done < socket->unsent_count && sent >= unsent[done].iov_len; done++)
        sent -= unsent[done].iov_len;
    socket->unsent_count -= done;
    for (int i = 0; i < socket->unsent_count; i++)
        unsent[i] = unsent[i + done];
    if (socket->unsent_count > 0) {
        unsent[0].iov_base = (char *)unsent[0].iov_base + sent;
        unsent[0].iov_len -= sent;
    }
}

static ssize_t send_pieces(struct mh__socket *socket)
{
    /* No MSG_MORE before a file: what is held back costs more than the segment that is saved. */
    int flags = MSG_NOSIGNAL | MSG_DONTWAIT;
    ssize_t sent;
    if (socket->unsent_count == 1) {
        sent = send(socket->fd, socket->unsent[0].iov_base, socket->unsent[0].iov_len, flags);
    } else {
        struct msghdr msg = {.msg_iov = socket->unsent, .msg_iovlen = (size_t)socket->unsent_count};
        sent = sendmsg(socket->fd, &msg, flags);
    }
    return sent < 0 ? -errno : sent;
}

static void drop_unsent(struct mh__socket *socket)
{
    socket->unsent_count = 0;
    socket->file_left = 0;
}

/* What one call has sent, or its error. */
static void count_sent(struct mh__socket *socket, ssize_t sent)
{
    if (sent < 0 && sent != -EAGAIN && sent != -EINTR)
        socket->err = (int)sent;
}

static void try_pieces(struct mh__socket *socket)
{
    ssize_t sent = send_pieces(socket);
    count_sent(socket, sent);
    if (sent > 0)
        advance(socket, (size_t)sent);
}

static void try_file(struct mh__socket *socket)
{
    ssize_t sent = mh__send_file(socket->fd, socket->file, socket->file_offset, socket->file_left);
    count_sent(socket, sent == 0 ? MH_ERR_CLOSED : sent);
    if (sent > 0) {
        socket->file_offset += (uint64_t)sent;
        socket->file_left -= (uint64_t)sent;
    }
}

/* Returns 1: all has gone; 0: there is no room; or an error, after which nothing is unsent. */
static int try_send(struct mh__socket *socket)
{
    advance(socket, 0);
    if (socket->unsent_count > 0)
        try_pieces(socket);
    if (socket->unsent_count == 0 && socket->file_left > 0 && socket->err == 0)
        try_file(socket);
    if (socket->err < 0)
        drop_unsent(socket);
    return socket->err < 0 ? socket->err : !has_unsent(socket);
}

static void send_rest(struct mh__socket *socket)
{
    int result = try_send(socket);
    if (result != 0)
        socket->events->sent(socket, result < 0 ? result : 0);
}

/* ---- receiving ---- */

/* The kernel tells once why a connection was lost. When that was said to send(), what would look
 * like an end in good order to recv() is none. */
static ssize_t end_of(const struct mh__socket *socket)
{
    switch (socket->err) {
    case 0:
    case -EPIPE: /* we cannot send any more, which says nothing about the peer's side */
    case -ENOMEM:
    case -ENOBUFS:
    case MH_ERR_CLOSED: /* it was the file that ended */
        return 0;
    default:
        return socket->err;
    }
}

/* What recv() has returned, and errno. */
static void take(struct mh__socket *socket, ssize_t len)
{
    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (len < 0)
        len = -errno;
    else if (len == 0)
        len = end_of(socket);
    if (len <= 0)
        socket->state = (socket->state & ~RECEIVING) | ENDED;
    socket->events->received(socket, mh__epoll_loop(socket->loop)->buffer, len);
}

static void receive(struct mh__socket *socket)
{
    char *buffer = mh__epoll_loop(socket->loop)->buffer;
    take(socket, recv(socket->fd, buffer, MH__RECEIVE_SIZE, MSG_DONTWAIT));
}

/* ---- events ---- */

static void finish_connect(struct mh__socket *socket)
{
    socket->err = mh__connect_outcome(socket->fd);
    socket->state &= ~CONNECTING;
    if (socket->err < 0)
        socket->state |= ENDED;
    socket->events->connected(socket, socket->err);
}

/* Each callback may close the socket, which is remembered until released(). An error or a hang-up
 * is found by whoever waits for something. */
static void call_back(struct mh__socket *socket, uint32_t events)
{
    if (socket->state & CONNECTING) {
        finish_connect(socket);
        return;
    }
    if ((socket->state & RECEIVING) && (events & ~(uint32_t)EPOLLOUT))
        receive(socket);
    if (socket->fd >= 0 && has_unsent(socket) && (events & ~(uint32_t)EPOLLIN))
        send_rest(socket);
}

/* The kernel cannot watch it: whoever waits for something is told so, or would wait for ever. */
static void lose(struct mh__socket *socket, int err)
{
    bool sending = has_unsent(socket);
    drop_unsent(socket);
    socket->err = err;
    if (socket->state & RECEIVING) {
        socket->state = (socket->state & ~RECEIVING) | ENDED;
        socket->events->received(socket, NULL, err);
    } else if (sending) {
        socket->events->sent(socket, err);
    }
}

/* EPOLLERR and EPOLLHUP cannot be declined, and would come again and again: where nobody waits for
 * anything the socket is taken out, and put in again when somebody does. */
static void settle(struct mh__socket *socket, uint32_t events)
{
    socket->state &= ~BUSY;
    if (socket->fd < 0)
        return;
    int err = 0;
    if (interest(socket) == 0 && (events & (EPOLLERR | EPOLLHUP)))
        unwatch(socket);
    else
        err = watch(socket);
    if (err < 0)
        lose(socket, err);
}

static void dispatch(struct mh__socket *socket, uint32_t events)
{
    if (socket->fd < 0) /* closed by an earlier callback of this turn */
        return;
    socket->state |= BUSY;
    call_back(socket, events);
    settle(socket, events);
}

static void take_wake(struct mh__epoll_loop *loop)
{
    uint64_t count;
    (void)!read(loop->wake_fd, &count, sizeof(count));
    if (atomic_exchange(&loop->woken, false))
        loop->base.woken = true;
    if (atomic_exchange(&loop->nudged, false))
        mh__loop_tell_nudged(&loop->base);
    mh__lookups_answer(&loop->lookups);
}

/* ---- listeners ---- */

/* In what epoll hands back, beside the address of one; a socket's has neither. */
#define IS_LISTENER 1u
#define IS_WATCH 2u

/* struct mh__listener.state */
enum { LISTENING = 1 };

/* A connection mostly brings its request along: that is looked for before it is waited for. */
static void begin_adopted(struct mh__socket *socket)
{
    if (socket->fd >= 0 && (socket->state & RECEIVING))
        receive(socket);
    settle(socket, 0);
}

static void hand_over(struct mh__epoll_loop *loop, struct mh__listener *listener, int fd,
                      const struct mh__address *from)
{
    loop->accepting = true;
    loop->adopted = NULL;
    listener->events->accepted(listener, fd, from);
    loop->accepting = false;
    if (loop->adopted)
        begin_adopted(loop->adopted);
}

static void fail_listener(struct mh__listener *listener, int err)
{
    (void)!mh__listener_accept(listener, false); /* cannot fail */
    listener->events->failed(listener, err);
}

static void accept_some(struct mh__epoll_loop *loop, struct mh__listener *listener)
{
    struct mh__address from = {.len = 0};
    for (int i = 0; i < ACCEPT_SLICE && (listener->state & LISTENING); i++) {
        int fd = mh__accept_now(listener->fd, &from);
        if (fd >= 0)
            hand_over(loop, listener, fd, &from);
        else if (fd == -EAGAIN)
            return;
        else if (fd != -ECONNABORTED)
            fail_listener(listener, fd);
    }
}

int mh__listener_accept(struct mh__listener *listener, bool on)
{
    int epoll_fd = mh__epoll_loop(listener->loop)->epoll_fd;
    struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE};
    event.data.u64 = (uint64_t)(uintptr_t)listener | IS_LISTENER;
    if (on == ((listener->state & LISTENING) != 0))
        return 0;
    if (epoll_ctl(epoll_fd, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, listener->fd, &event) < 0 && on)
        return -errno;
    listener->state = on ? LISTENING : 0;
    return 0;
}

int mh__listener_open(struct mh__listener *listener, mh_loop *loop,
                      const struct mh__listener_events *events, int fd)
{
    *listener = (struct mh__listener){.loop = loop, .events = events, .fd = fd};
    return mh__listener_accept(listener, true);
}

void mh__listener_close(struct mh__listener *listener)
{
    if (listener->loop)
        (void)!mh__listener_accept(listener, false);
    listener->loop = NULL;
}

/* As many as can have been waiting. */
void mh__listener_finish(struct mh__listener *listener)
{
    if (!listener->loop)
        return;
    for (int i = 0; i < MH__BACKLOG / ACCEPT_SLICE && (listener->state & LISTENING); i++)
        accept_some(mh__epoll_loop(listener->loop), listener);
    mh__listener_close(listener);
    (void)shutdown(listener->fd, SHUT_RDWR);
}

int mh__watch_open(struct mh__watch *watch, mh_loop *loop, int fd,
                   void (*ready)(struct mh__watch *watch))
{
    struct epoll_event event = {.events = EPOLLIN};
    *watch = (struct mh__watch){.loop = loop, .fd = fd, .ready = ready};
    event.data.u64 = (uint64_t)(uintptr_t)watch | IS_WATCH;
    return epoll_ctl(mh__epoll_loop(loop)->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

void mh__watch_close(struct mh__watch *watch)
{
    (void)epoll_ctl(mh__epoll_loop(watch->loop)->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
}

void mh__descriptor_close(int fd)
{
    mh__close(fd);
}

/* ---- one socket alone ---- */

/* A blocking call waits for one answer on one connection. There recv() can wait itself, and of
 * three system calls for a small request two are left: measured, a tenth of its CPU time. */
static bool may_block(const struct mh__epoll_loop *loop, int timeout_ms)
{
    const struct mh__socket *socket = loop->only;
    return loop->alone && socket && (socket->state & RECEIVING) && !(socket->state & CONNECTING) &&
           !has_unsent(socket) && (timeout_ms < 0 || timeout_ms >= BLOCK_MIN_MS) &&
           !mh__lookups_pending(&loop->lookups);
}

/* The largest power of two that is no longer, so that it need not be told to the kernel for each
 * request; who wakes up too early waits again. */
static uint32_t round_down(int timeout_ms)
{
    uint32_t ms = BLOCK_MIN_MS;
    while (ms < BLOCK_MAX_MS && (timeout_ms < 0 || ms <= (uint32_t)timeout_ms / 2))
        ms *= 2;
    return ms;
}

static int make_blocking(struct mh__socket *socket, int timeout_ms)
{
    uint32_t ms = round_down(timeout_ms);
    struct timeval limit = {.tv_sec = (time_t)(ms / 1000),
                            .tv_usec = (suseconds_t)(ms % 1000) * 1000};
    int err = socket->state & BLOCKING ? 0 : mh__set_blocking(socket->fd);
    if (err < 0)
        return err;
    socket->state |= BLOCKING;
    if (socket->block_ms == ms)
        return 0;
    if (setsockopt(socket->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0)
        return -errno;
    socket->block_ms = ms;
    return 0;
}

/* false: it was interrupted. */
static bool set_blocked(struct mh__epoll_loop *loop, int fd)
{
    pthread_mutex_lock(&loop->lock);
    bool quiet = !loop->interrupted;
    loop->blocked = quiet ? fd : -1;
    pthread_mutex_unlock(&loop->lock);
    return quiet;
}

static void block(struct mh__epoll_loop *loop, struct mh__socket *socket)
{
    if (!set_blocked(loop, socket->fd))
        return;
    ssize_t len = recv(socket->fd, loop->buffer, MH__RECEIVE_SIZE, 0);
    int err = errno;
    loop->base.now = mh__clock_ms();
    if (!set_blocked(loop, -1))
        return; /* what looks like the peer's end may be the interruption */
    socket->state |= BUSY;
    errno = err;
    take(socket, len);
    settle(socket, 0);
}

void mh__loop_alone(mh_loop *loop, bool alone)
{
    struct mh__epoll_loop *mine = mh__epoll_loop(loop);
    mine->alone = alone;
    pthread_mutex_lock(&mine->lock);
    mine->interrupted = false;
    pthread_mutex_unlock(&mine->lock);
}

void mh__loop_interrupt(mh_loop *loop)
{
    struct mh__epoll_loop *mine = mh__epoll_loop(loop);
    pthread_mutex_lock(&mine->lock);
    mine->interrupted = true;
    if (mine->blocked >= 0)
        (void)shutdown(mine->blocked, SHUT_RDWR);
    pthread_mutex_unlock(&mine->lock);
    mh_loop_wake(loop);
}

/* ---- the wait ---- */

static void tell_watch(struct mh__watch *watch)
{
    watch->ready(watch);
}

/* A listener that was closed in this turn is not touched: it says so where its state is. */
static void deliver(struct mh__epoll_loop *loop, const struct epoll_event *event)
{
    uintptr_t at = (uintptr_t)event->data.u64;
    if (at & IS_LISTENER)
        accept_some(loop, (struct mh__listener *)(at & ~(uintptr_t)IS_LISTENER));
    else if (at & IS_WATCH)
        tell_watch((struct mh__watch *)(at & ~(uintptr_t)IS_WATCH));
    else if (at)
        dispatch((struct mh__socket *)at, event->events);
    else
        take_wake(loop);
}

int mh__backend_wait(mh_loop *base, int timeout_ms)
{
    struct mh__epoll_loop *loop = mh__epoll_loop(base);
    if (may_block(loop, timeout_ms) && make_blocking(loop->only, timeout_ms) == 0) {
        block(loop, loop->only);
        return 0;
    }
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(loop->epoll_fd, events, EVENTS_MAX, timeout_ms);
    int err = count < 0 && errno != EINTR ? -errno : 0;
    base->now = mh__clock_ms();
    for (int i = 0; i < count; i++)
        deliver(loop, &events[i]);
    return err;
}

int64_t mh__backend_clock_ms(const mh_loop *loop)
{
    (void)loop;
    return mh__clock_ms();
}

int64_t mh__backend_clock_us(const mh_loop *loop)
{
    (void)loop;
    return mh__clock_us();
}

/* ---- sockets ---- */

int mh__socket_connect(struct mh__socket *socket, mh_loop *loop,
                       const struct mh__socket_events *events, const struct mh__address *to)
{
    bool connected; /* that is told from the loop, which the kernel reports at once */
    if (loop->ending)
        return -ECANCELED;
    int fd = mh__connect_begin(to, &connected);
    if (fd < 0)
        return fd;
    struct mh__socket made = {.loop = loop, .events = events, .fd = fd, .state = CONNECTING};
    *socket = made;
    int err = watch(socket);
    if (err < 0)
        mh__close(fd);
    return err;
}

int mh__socket_receive(struct mh__socket *socket, bool on)
{
    if (!on)
        socket->state &= ~RECEIVING;
    else if (!(socket->state & ENDED))
        socket->state |= RECEIVING;
    return watch(socket);
}

int mh__socket_send(struct mh__socket *socket, const struct iovec *pieces, int count)
{
    return mh__socket_send_file(socket, pieces, count, -1, 0, 0);
}

int mh__socket_send_file(struct mh__socket *socket, const struct iovec *pieces, int count, int file,
                         uint64_t offset, uint64_t len)
{
    assert(count <= MH__SEND_PIECES && !has_unsent(socket));
    assert(!(socket->state & CONNECTING));
    if (socket->err < 0)
        return socket->err;
    for (int i = 0; i < count; i++)
        socket->unsent[i] = pieces[i];
    socket->unsent_count = count;
    socket->file = file;
    socket->file_offset = offset;
    socket->file_left = len;
    int result = try_send(socket);
    if (result == 0)
        result = watch(socket);
    if (result >= 0)
        return result;
    drop_unsent(socket);
    socket->err = result;
    return result;
}

uint64_t mh__socket_untaken(const struct mh__socket *socket)
{
    uint64_t sum = socket->file_left + mh__unacknowledged(socket->fd);
    for (int i = 0; i < socket->unsent_count; i++)
        sum += socket->unsent[i].iov_len;
    return sum;
}

void mh__socket_finish(struct mh__socket *socket)
{
    (void)shutdown(socket->fd, SHUT_WR); /* who is gone needs no end */
}

void mh__socket_adopt(struct mh__socket *socket, mh_loop *loop,
                      const struct mh__socket_events *events, int fd)
{
    struct mh__epoll_loop *mine = mh__epoll_loop(loop);
    struct mh__socket made = {.loop = loop, .events = events, .fd = fd};
    *socket = made;
    if (!mine->accepting)
        return;
    socket->state = BUSY;
    mine->adopted = socket;
}

/* Closing takes a descriptor out of epoll only where no other process has it, after a fork(). */
void mh__socket_close(struct mh__socket *socket)
{
    unwatch(socket);
    mh__close(socket->fd);
    socket->fd = -1;
    drop_unsent(socket);
    mh__list_append(&socket->loop->closed, &socket->link);
}

/* ---- the loop ---- */

static void close_open(int fd)
{
    if (fd >= 0)
        mh__close(fd);
}

static int open_descriptors(struct mh__epoll_loop *loop)
{
    struct epoll_event event = {.events = EPOLLIN};
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0)
        return -errno;
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->wake_fd < 0)
        return -errno;
    return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &event) == 0 ? 0 : -errno;
}

int mh_loop_new(mh_loop **out)
{
    *out = NULL;
    struct mh__epoll_loop *loop = mh__malloc(sizeof(*loop) + MH__RECEIVE_SIZE);
    if (!loop)
        return -ENOMEM;
    mh__loop_init(&loop->base);
    atomic_init(&loop->woken, false);
    atomic_init(&loop->nudged, false);
    loop->accepting = false;
    loop->adopted = NULL;
    loop->epoll_fd = loop->wake_fd = loop->blocked = -1;
    loop->registered = 0;
    loop->only = NULL;
    loop->alone = loop->interrupted = false;
    pthread_mutex_init(&loop->lock, NULL);
    int err = open_descriptors(loop);
    if (err == 0)
        err = mh__lookups_init(&loop->lookups, loop->wake_fd);
    if (err == 0) {
        *out = &loop->base;
        return 0;
    }
    close_open(loop->wake_fd);
    close_open(loop->epoll_fd);
    pthread_mutex_destroy(&loop->lock);
    mh__free(loop);
    return err;
}

void mh_loop_free(mh_loop *base)
{
    if (!base)
        return;
    struct mh__epoll_loop *loop = mh__epoll_loop(base);
    mh__loop_detach_all(base);
    mh__lookups_deinit(&loop->lookups);
    mh__close(loop->wake_fd);
    mh__close(loop->epoll_fd);
    pthread_mutex_destroy(&loop->lock);
    mh__free(loop);
}

/* A write that fails has found the counter full, which wakes as well. */
static void ring(struct mh__epoll_loop *loop)
{
    int before = errno;
    uint64_t one = 1;
    (void)!write(loop->wake_fd, &one, sizeof(one));
    errno = before;
}

void mh_loop_wake(mh_loop *base)
{
    struct mh__epoll_loop *loop = mh__epoll_loop(base);
    atomic_store(&loop->woken, true);
    ring(loop);
}

void mh__loop_nudge(mh_loop *loop)
{
    struct mh__epoll_loop *mine = mh__epoll_loop(loop);
    if (!atomic_exchange(&mine->nudged, true))
        ring(mine);
}

int mh_loop_fd(const mh_loop *loop)
{
    return mh__epoll_loop(loop)->epoll_fd;
}
