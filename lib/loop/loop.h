/* loop.h: one thread's waiting, shaped by completions: what was asked for is reported by a callback
 * later. Knows no HTTP.
 *
 *   loop.c    a turn: wait, call back, tasks, timers; what both backends have in common
 *   timer.c   what is to happen at a time
 *   epoll.c   the backend: sockets of the kernel's, and
 *   lookup.c  names, which threads ask for
 *
 * tests/sim/sim.c is the second backend: a network in memory, with a virtual clock and a seed. It
 * takes the place of the last two when a program is linked; what stands above cannot tell.
 *
 * No callback is called from within the call that asked for it, and none after the close, stop or
 * cancel that ends it. Nothing here is thread-safe, but mh_loop_wake(). */
#ifndef MH_LOOP_LOOP_H
#define MH_LOOP_LOOP_H

#include <sys/uio.h>

#include <minihttp/loop.h>

#include "base/list.h"
#include "loop/timer.h"
#include "net/net.h"

/* Bytes that one receive may bring: the buffer is the loop's, not each connection's. */
#define MH__RECEIVE_SIZE (256u << 10)
#define MH__SEND_PIECES 3 /* of one mh__socket_send() */
#define MH__LOOKUPS_MAX 8 /* names that are looked up at the same time; more wait */

/* ---- loop.c ---- */

/* A backend puts this first in a struct of its own. */
struct mh_loop {
    struct mh__timers timers;
    struct mh__link tasks;       /* of struct mh__task */
    struct mh__link attachments; /* of struct mh__attachment */
    struct mh__link closed;      /* of struct mh__socket: released() is owed */
    int64_t now;                 /* mh__clock_ms() when this turn began */
    uint64_t turn;               /* which one it is */
    size_t holds;                /* what mh_loop_run() waits for */
    bool turning;                /* a turn is under way */
    bool ending;                 /* mh_loop_free() is under way: nothing new begins */
    bool woken; /* in this turn the backend has seen that mh_loop_wake() was called */
};

/* mh__attachment.nudged() of each attachment, in the loop's thread. For backends. */
void mh__loop_tell_nudged(mh_loop *loop);

void mh__loop_init(mh_loop *loop);

/* The first step of a backend's mh_loop_free(): whoever is attached lets go, and what was closed is
 * released. */
void mh__loop_detach_all(mh_loop *loop);

/* Milliseconds on the loop's clock. Within a turn the time when it began. */
int64_t mh__loop_now(mh_loop *loop);

/* One wait of at most timeout_ms (-1: no limit), and what came of it: callbacks, timers, tasks.
 * Returns 0 or an error of the wait itself. Not from within a callback. */
MH_CHECK int mh__loop_turn(mh_loop *loop, int timeout_ms);

/* The tasks that are in line, and no wait: what a turn would do before it could wait. Not from
 * within a callback. */
void mh__loop_work(mh_loop *loop);

/* mh_loop_run() goes on while anything is held. */
void mh__loop_hold(mh_loop *loop);
void mh__loop_release(mh_loop *loop);

/* Something to do, once, before the turn ends; outside of a turn, in the next one, which does not
 * wait. A task that is in line already stays where it is. */
struct mh__task {
    struct mh__link link;
    void (*run)(struct mh__task *task);
};
void mh__loop_defer(mh_loop *loop, struct mh__task *task);
void mh__loop_forget(struct mh__task *task); /* also when it is not in line */

/* What belongs to a loop as long as it lives, found by the address of its owner. */
struct mh__attachment {
    struct mh__link link;
    const void *owner;
    void (*detached)(struct mh__attachment *attachment); /* the loop is about to go */
    void (*nudged)(struct mh__attachment *attachment);   /* see mh__loop_nudge(); may be NULL */
};
void mh__loop_attach(mh_loop *loop, struct mh__attachment *attachment);
struct mh__attachment *mh__loop_find(const mh_loop *loop, const void *owner);
void mh__loop_detach(struct mh__attachment *attachment); /* detached() is not called */

/* Again: moves it. What is set within a turn is not due in it, but a millisecond later. */
void mh__timer_set(mh_loop *loop, struct mh__timer *timer, int64_t at);
void mh__timer_stop(mh_loop *loop, struct mh__timer *timer); /* also when not set */

/* ---- what a backend does ---- */

/* Wait for at most timeout_ms (-1: no limit), and call back for what has come. Reads the clock into
 * loop->now when the wait is over, before the first callback. */
MH_CHECK int mh__backend_wait(mh_loop *loop, int timeout_ms);
int64_t mh__backend_clock_ms(const mh_loop *loop);
int64_t mh__backend_clock_us(const mh_loop *loop); /* the same clock, finer; for measuring */

/* Nobody but mh__loop_turn() waits for the loop, and nobody wakes it but mh__loop_interrupt(): so
 * it may wait in whatever call it likes. false: as it was before. */
void mh__loop_alone(mh_loop *loop, bool alone);

/* A wait of such a loop ends, from any thread; the connection that it receives from may be lost. */
void mh__loop_interrupt(mh_loop *loop);

/* nudged() of everything attached is called in a turn that ends no later than this call would have
 * wanted: at once, when the loop waits. Any thread, or a signal handler; mh_loop_run() goes on. */
void mh__loop_nudge(mh_loop *loop);

/* A stream: TCP, or a unix socket. Embedded in what owns it, which must stay where it is until
 * released() was called. */
struct mh__socket;
struct mh__socket_events {
    /* 0, or why there is no connection. After an error only mh__socket_close() is left to do. */
    void (*connected)(struct mh__socket *socket, int err);
    /* len > 0: bytes, which live for this call. 0: the peer has closed its side; negative: an
     * error; nothing is received after either. */
    void (*received)(struct mh__socket *socket, const char *data, ssize_t len);
    /* All of what mh__socket_send() left behind has gone; or an error, after which nothing can be
     * sent, and what the peer has sent can still be received. */
    void (*sent)(struct mh__socket *socket, int err);
    /* Closed, and the loop has let go of the memory. */
    void (*released)(struct mh__socket *socket);
};

struct mh__socket {
    mh_loop *loop;
    const struct mh__socket_events *events;
    struct mh__link link; /* in mh_loop.closed, where mh__socket_close() puts it */
    int fd;               /* the backend's, as is all that follows */
    uint32_t state;
    uint32_t block_ms; /* how long a receive of its own may wait */
    int err;           /* why nothing can be sent (any more) */
    struct iovec unsent[MH__SEND_PIECES];
    int unsent_count;
    int file; /* behind the pieces; of no meaning while file_left is 0 */
    uint64_t file_offset, file_left;
};

/* Begin to connect. 0: connected() follows. An error: nothing happened, and released() will not be
 * called either; -ECANCELED: the loop is about to go. Nothing is received before
 * mh__socket_receive(). */
MH_CHECK int mh__socket_connect(struct mh__socket *socket, mh_loop *loop,
                                const struct mh__socket_events *events,
                                const struct mh__address *to);

/* Whether received() is called when there is something. An error only from the kernel's being out
 * of memory. */
MH_CHECK int mh__socket_receive(struct mh__socket *socket, bool on);

/* Send at most MH__SEND_PIECES pieces, none while an earlier call is not done. Returns 1: all has
 * gone; 0: the rest goes when there is room, the bytes must stay until sent(); or an error, after
 * which what the peer has sent can still be received. */
MH_CHECK int mh__socket_send(struct mh__socket *socket, const struct iovec *pieces, int count);

/* The same, and behind the pieces `len` bytes of a file, which must stay open until sent(). A file
 * that is shorter is the error MH_ERR_CLOSED. */
MH_CHECK int mh__socket_send_file(struct mh__socket *socket, const struct iovec *pieces, int count,
                                  int file, uint64_t offset, uint64_t len);

/* Bytes of ours that the peer has not taken: what is unsent, and what the kernel has for it. */
uint64_t mh__socket_untaken(const struct mh__socket *socket);

/* Nothing more will be sent: the peer sees an end. Not while something is unsent. */
void mh__socket_finish(struct mh__socket *socket);

/* Take a connected descriptor over, which is not blocking; connected() is not called, and nothing
 * can fail. From within accepted() received() may come as soon as that returns. */
void mh__socket_adopt(struct mh__socket *socket, mh_loop *loop,
                      const struct mh__socket_events *events, int fd);

/* No more callbacks but released(), at the end of this turn, or of the next one outside of a turn.
 * What was not sent is lost. */
void mh__socket_close(struct mh__socket *socket);

/* Where connections come in. Embedded, like a socket; it needs no release. */
struct mh__listener;
struct mh__listener_events {
    /* A connection, whose descriptor is the callee's: mh__socket_adopt() or close it with
     * mh__descriptor_close(). from is its address, as of accept(). */
    void (*accepted)(struct mh__listener *listener, int fd, const struct mh__address *from);
    /* It could not be accepted: -EMFILE, -ENOMEM and the like. Nothing more is accepted until
     * mh__listener_accept() says so again. MH_ERR_CLOSED: the listener was shut down. */
    void (*failed)(struct mh__listener *listener, int err);
};

struct mh__listener {
    mh_loop *loop;
    const struct mh__listener_events *events;
    int fd; /* the backend's, as is all that follows */
    uint32_t state;
    struct mh__link link; /* the simulator's */
};

/* Begin to accept on a listening descriptor, which is not blocking and stays the caller's. Several
 * loops may share it: one of them is woken for a connection. -ENOMEM, -ENOSPC. */
MH_CHECK int mh__listener_open(struct mh__listener *listener, mh_loop *loop,
                               const struct mh__listener_events *events, int fd);
/* Whether accepted() is called. An error only from the kernel's being out of memory. */
MH_CHECK int mh__listener_accept(struct mh__listener *listener, bool on);
void mh__listener_close(struct mh__listener *listener); /* no more callbacks; also when closed */

/* The same, but those who wait are accepted first, and nobody can connect any more: the descriptor
 * is of no use to anybody then. */
void mh__listener_finish(struct mh__listener *listener);

/* Any other descriptor, as long as it is readable. Embedded. */
struct mh__watch {
    mh_loop *loop;
    void (*ready)(struct mh__watch *watch);
    int fd;
};
MH_CHECK int mh__watch_open(struct mh__watch *watch, mh_loop *loop, int fd,
                            void (*ready)(struct mh__watch *watch)); /* -ENOMEM, -ENOSPC */
void mh__watch_close(struct mh__watch *watch);

/* A descriptor that accepted() was given, and nobody adopts. */
void mh__descriptor_close(int fd);

/* A name that is looked up beside the loop. Embedded, like a socket. */
struct mh__lookup {
    /* After an error: no addresses, and `why` in static text, or NULL. */
    void (*found)(struct mh__lookup *lookup, int err, const struct mh__addresses *addresses,
                  const char *why);
    mh_loop *loop; /* the backend's, as is all that follows; NULL: at rest */
    struct mh__link link;
    void *job;
    uint16_t port;
    mh_str host;
};

/* Begin. 0: found() follows. host must stay where it is until then. -ENOMEM; -EAGAIN: no thread;
 * -ECANCELED: the loop is about to go. A literal address is found without a thread. */
MH_CHECK int mh__lookup_start(struct mh__lookup *lookup, mh_loop *loop, mh_str host, uint16_t port);
void mh__lookup_cancel(struct mh__lookup *lookup); /* also when it is at rest */

#endif
