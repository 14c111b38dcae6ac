/* loop.h: one thread's worth of waiting. Any number of transfers share it.
 *
 * A loop is used by one thread at a time; only mh_loop_wake() is for any. */
#ifndef MINIHTTP_LOOP_H
#define MINIHTTP_LOOP_H

#include <minihttp/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mh_loop mh_loop;

/* Make a loop; two descriptors. *loop is NULL after an error: -ENOMEM, -EMFILE, -ENFILE,
 * -ENOSPC (the limit of what epoll watches). */
MH_API MH_CHECK int mh_loop_new(mh_loop **loop);

/* Ends what is in flight with -ECANCELED, and closes the connections that were kept on it. Not from
 * a callback of the loop's own. NULL is fine. */
MH_API void mh_loop_free(mh_loop *loop);

/* Work until nothing is left to do, or timeout_ms has passed (0: only what is ready now; -1: no
 * limit), or mh_loop_wake() was called. Returns how many transfers are still in flight, or an
 * error: -EINVAL from within a callback, and what epoll_wait() can fail with. */
MH_API int mh_loop_run(mh_loop *loop, int timeout_ms);

/* mh_loop_run() returns soon, or returns at once when it is called next. From any thread, and from
 * a signal handler. */
MH_API void mh_loop_wake(mh_loop *loop);

/* To live inside another event loop (poll, libuv, GLib): watch the descriptor for reading, wait no
 * longer than the timeout (-1: no limit), then call mh_loop_run(loop, 0). The descriptor belongs to
 * the loop. Ask for the timeout again after every call that gets the loop or a transfer on it. */
MH_API int mh_loop_fd(const mh_loop *loop);
MH_API int mh_loop_timeout_ms(const mh_loop *loop);

#ifdef __cplusplus
}
#endif
#endif
