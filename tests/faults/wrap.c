/* wrap.c: stands between the library and the system. The linker sends every call of these functions
 * here (--wrap, see meson.build); those of threads that are not counted go straight on. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "inject.h"
#include "live.h"
#include "names.h"
#include "stream.h"

#define WRAP(type, name, ...)                                                                      \
    type __real_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__)

/* Does the call fail without being made? errno is set then. */
static bool fails(const struct fault *fault)
{
    if (!fault || (fault->how != FAILS && fault->how != BREAKS))
        return false;
    errno = fault->value;
    return true;
}

/* What a call returns that is made and then reported as failed; an error of its own counts more. */
static int happens(const struct fault *fault, int result)
{
    if (!fault || fault->how != HAPPENS || (result < 0 && errno != EINPROGRESS))
        return result;
    errno = fault->value;
    return -1;
}

/* ---- memory: never what was there before, and a block that grows always moves ---- */

#define GARBAGE 0xa5

WRAP(void *, malloc, size_t size)
{
    if (!inject_counted())
        return __real_malloc(size);
    if (fails(inject_due(CALL_MALLOC)))
        return NULL;
    void *ptr = __real_malloc(size);
    if (ptr) {
        memset(ptr, GARBAGE, size);
        live_add(ptr, size);
    }
    return ptr;
}

WRAP(void *, calloc, size_t count, size_t size)
{
    if (!inject_counted())
        return __real_calloc(count, size);
    if (fails(inject_due(CALL_CALLOC)))
        return NULL;
    void *ptr = __real_calloc(count, size);
    if (ptr)
        live_add(ptr, count * size);
    return ptr;
}

WRAP(void, free, void *ptr)
{
    size_t size;
    if (live_remove(ptr, &size))
        memset(ptr, GARBAGE, size);
    __real_free(ptr);
}

/* `old` bytes are in the block that is given up. */
static void *moved(void *ptr, size_t old, size_t size)
{
    char *next = malloc(size);
    if (!next)
        return NULL;
    size_t kept = old < size ? old : size;
    if (kept > 0)
        memcpy(next, ptr, kept);
    memset(next + kept, GARBAGE, size - kept);
    live_add(next, size);
    return next;
}

/* What was not allocated here is of unknown size, and left to the real realloc(). */
WRAP(void *, realloc, void *ptr, size_t size)
{
    size_t old = 0;
    if (inject_counted() && fails(inject_due(CALL_REALLOC)))
        return NULL;
    bool ours = live_remove(ptr, &old);
    if (!ours && (!inject_counted() || ptr)) {
        void *next = __real_realloc(ptr, size);
        if (next && inject_counted())
            live_add(next, size);
        return next;
    }
    bool before = inject_counted();
    inject_leave();
    void *next = moved(ptr, old, size);
    if (before)
        inject_enter();
    if (!next) {
        live_add(ptr, old);
        return NULL;
    }
    __real_free(ptr);
    return next;
}

/* ---- sockets ---- */

WRAP(int, socket, int domain, int type, int protocol)
{
    return fails(inject_due(CALL_SOCKET)) ? -1 : __real_socket(domain, type, protocol);
}

WRAP(int, connect, int fd, const struct sockaddr *addr, socklen_t len)
{
    const struct fault *fault = inject_due(CALL_CONNECT);
    return fails(fault) ? -1 : happens(fault, __real_connect(fd, addr, len));
}

WRAP(int, bind, int fd, const struct sockaddr *addr, socklen_t len)
{
    return fails(inject_due(CALL_BIND)) ? -1 : __real_bind(fd, addr, len);
}

WRAP(int, listen, int fd, int backlog)
{
    if (fails(inject_due(CALL_LISTEN)))
        return -1;
    int result = __real_listen(fd, backlog);
    if (result == 0 && inject_counted())
        names_note_listener(fd);
    return result;
}

WRAP(int, accept4, int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
    return fails(inject_due(CALL_ACCEPT4)) ? -1 : __real_accept4(fd, addr, len, flags);
}

/* An early end is one a moment before the time has come; a wait without a limit has none. */
WRAP(int, poll, struct pollfd *fds, nfds_t count, int timeout)
{
    if (inject_counted())
        names_note_poll();
    const struct fault *fault = inject_due(CALL_POLL);
    if (fails(fault))
        return -1;
    if (fault && timeout >= 0)
        return 0;
    return __real_poll(fds, count, timeout);
}

static void break_connection(const struct fault *fault, int fd)
{
    int before = errno;
    if (fault->how == BREAKS)
        shutdown(fd, SHUT_RDWR);
    errno = before;
}

/* shutdown() is counted as well, and this one is not the library's. */
static int broken(const struct fault *fault, int fd)
{
    inject_leave();
    break_connection(fault, fd);
    inject_enter();
    return -1;
}

WRAP(ssize_t, recv, int fd, void *buf, size_t cap, int flags)
{
    const struct fault *fault = inject_due(CALL_RECV);
    if (fails(fault))
        return broken(fault, fd);
    if (fault && fault->how == ENDS)
        return 0;
    if (fault && (size_t)fault->value < cap)
        cap = (size_t)fault->value;
    ssize_t len = __real_recv(fd, buf, cap, flags);
    if (len > 0 && inject_counted())
        inject_note_received((size_t)len);
    return len;
}

WRAP(ssize_t, send, int fd, const void *buf, size_t len, int flags)
{
    const struct fault *fault = inject_due(CALL_SEND);
    if (fails(fault))
        return broken(fault, fd);
    if (fault && (size_t)fault->value < len)
        len = (size_t)fault->value;
    return __real_send(fd, buf, len, flags);
}

/* A message cut short: its first `max` bytes. */
static size_t cut(struct iovec *out, size_t room, const struct msghdr *msg, size_t max)
{
    size_t count = 0;
    for (; count < msg->msg_iovlen && count < room && max > 0; count++) {
        out[count] = msg->msg_iov[count];
        if (out[count].iov_len > max)
            out[count].iov_len = max;
        max -= out[count].iov_len;
    }
    return count;
}

WRAP(ssize_t, sendmsg, int fd, const struct msghdr *msg, int flags)
{
    const struct fault *fault = inject_due(CALL_SENDMSG);
    if (fails(fault))
        return broken(fault, fd);
    if (!fault)
        return __real_sendmsg(fd, msg, flags);
    struct iovec iov[8];
    struct msghdr less = *msg;
    less.msg_iov = iov;
    less.msg_iovlen = cut(iov, 8, msg, (size_t)fault->value);
    return __real_sendmsg(fd, &less, flags);
}

WRAP(int, setsockopt, int fd, int level, int name, const void *value, socklen_t len)
{
    return fails(inject_due(CALL_SETSOCKOPT)) ? -1 : __real_setsockopt(fd, level, name, value, len);
}

/* Only SO_ERROR is asked for. */
WRAP(int, getsockopt, int fd, int level, int name, void *value, socklen_t *len)
{
    const struct fault *fault = inject_due(CALL_GETSOCKOPT);
    if (fails(fault))
        return -1;
    int result = __real_getsockopt(fd, level, name, value, len);
    if (fault && result == 0)
        memcpy(value, &fault->value, sizeof(fault->value));
    return result;
}

/* Only what has not been acknowledged is asked for. */
WRAP(int, ioctl, int fd, unsigned long what, void *value)
{
    return fails(inject_due(CALL_IOCTL)) ? -1 : __real_ioctl(fd, what, value);
}

WRAP(int, getpeername, int fd, struct sockaddr *addr, socklen_t *len)
{
    return fails(inject_due(CALL_GETPEERNAME)) ? -1 : __real_getpeername(fd, addr, len);
}

WRAP(int, getsockname, int fd, struct sockaddr *addr, socklen_t *len)
{
    return fails(inject_due(CALL_GETSOCKNAME)) ? -1 : __real_getsockname(fd, addr, len);
}

WRAP(int, shutdown, int fd, int how)
{
    return fails(inject_due(CALL_SHUTDOWN)) ? -1 : __real_shutdown(fd, how);
}

/* ---- what a loop waits with ---- */

WRAP(int, epoll_create1, int flags)
{
    return fails(inject_due(CALL_EPOLL_CREATE1)) ? -1 : __real_epoll_create1(flags);
}

/* Only what is new can meet a limit. */
WRAP(int, epoll_ctl, int fd, int op, int about, struct epoll_event *event)
{
    if (op == EPOLL_CTL_ADD && fails(inject_due(CALL_EPOLL_CTL)))
        return -1;
    return __real_epoll_ctl(fd, op, about, event);
}

/* An early end, as of poll(); or only the first of what there is. */
WRAP(int, epoll_wait, int fd, struct epoll_event *events, int max, int timeout)
{
    const struct fault *fault = inject_due(CALL_EPOLL_WAIT);
    if (fails(fault))
        return -1;
    if (fault && fault->how == ENDS && timeout >= 0)
        return 0;
    return __real_epoll_wait(fd, events, fault && fault->how == CUT ? 1 : max, timeout);
}

WRAP(int, eventfd, unsigned value, int flags)
{
    return fails(inject_due(CALL_EVENTFD)) ? -1 : __real_eventfd(value, flags);
}

/* The library reads and writes nothing else: its wakes. One that is told to have failed has woken.
 */
WRAP(ssize_t, read, int fd, void *buf, size_t cap)
{
    return fails(inject_due(CALL_EVENTFD_READ)) ? -1 : __real_read(fd, buf, cap);
}

WRAP(ssize_t, write, int fd, const void *buf, size_t len)
{
    const struct fault *fault = inject_due(CALL_EVENTFD_WRITE);
    return happens(fault, (int)__real_write(fd, buf, len));
}

/* ---- descriptors and files ---- */

WRAP(int, fcntl64, int fd, int command, ...)
{
    va_list args;
    va_start(args, command);
    long argument = va_arg(args, long);
    va_end(args);
    return fails(inject_due(CALL_FCNTL64)) ? -1 : __real_fcntl64(fd, command, argument);
}

WRAP(int, close, int fd)
{
    const struct fault *fault = inject_due(CALL_CLOSE);
    return happens(fault, __real_close(fd));
}

WRAP(int, lstat64, const char *path, struct stat64 *out)
{
    return fails(inject_due(CALL_LSTAT64)) ? -1 : __real_lstat64(path, out);
}

WRAP(int, unlink, const char *path)
{
    return fails(inject_due(CALL_UNLINK)) ? -1 : __real_unlink(path);
}

WRAP(int, open64, const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return fails(inject_due(CALL_OPEN64)) ? -1 : __real_open64(path, flags, mode);
}

WRAP(int, openat64, int directory, const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return fails(inject_due(CALL_OPENAT64)) ? -1 : __real_openat64(directory, path, flags, mode);
}

/* The library calls openat2() by its number, and nothing else. */
WRAP(long, syscall, long number, ...)
{
    va_list args;
    va_start(args, number);
    long a = va_arg(args, long), b = va_arg(args, long), c = va_arg(args, long),
         d = va_arg(args, long);
    va_end(args);
    bool ours = number == SYS_openat2 && inject_counted();
    return ours && fails(inject_due(CALL_SYSCALL)) ? -1 : __real_syscall(number, a, b, c, d);
}

WRAP(int, fstat64, int fd, struct stat64 *out)
{
    return fails(inject_due(CALL_FSTAT64)) ? -1 : __real_fstat64(fd, out);
}

WRAP(int, fstatat64, int directory, const char *path, struct stat64 *out, int flags)
{
    return fails(inject_due(CALL_FSTATAT64)) ? -1 : __real_fstatat64(directory, path, out, flags);
}

WRAP(ssize_t, getdents64, int fd, void *buf, size_t cap)
{
    return fails(inject_due(CALL_GETDENTS64)) ? -1 : __real_getdents64(fd, buf, cap);
}

WRAP(ssize_t, pread64, int fd, void *buf, size_t cap, off64_t offset)
{
    const struct fault *fault = inject_due(CALL_PREAD64);
    if (fails(fault))
        return -1;
    if (fault && fault->how == ENDS)
        return 0;
    if (fault && fault->how == CUT && (size_t)fault->value < cap)
        cap = (size_t)fault->value;
    return __real_pread64(fd, buf, cap, offset);
}

/* An end is that of a file that was cut meanwhile. */
WRAP(ssize_t, sendfile64, int fd, int file, off64_t *offset, size_t len)
{
    const struct fault *fault = inject_due(CALL_SENDFILE64);
    if (fails(fault))
        return broken(fault, fd);
    if (fault && fault->how == ENDS)
        return 0;
    if (fault && (size_t)fault->value < len)
        len = (size_t)fault->value;
    return __real_sendfile64(fd, file, offset, len);
}

WRAP(int, signalfd, int fd, const sigset_t *set, int flags)
{
    return fails(inject_due(CALL_SIGNALFD)) ? -1 : __real_signalfd(fd, set, flags);
}

WRAP(int, sched_getaffinity, pid_t pid, size_t size, cpu_set_t *set)
{
    return fails(inject_due(CALL_SCHED_GETAFFINITY)) ? -1
                                                     : __real_sched_getaffinity(pid, size, set);
}

WRAP(ssize_t, getrandom, void *buf, size_t len, unsigned flags)
{
    return fails(inject_due(CALL_GETRANDOM)) ? -1 : __real_getrandom(buf, len, flags);
}

WRAP(FILE *, fopen64, const char *path, const char *mode)
{
    if (fails(inject_due(CALL_FOPEN64)))
        return NULL;
    FILE *file = __real_fopen64(path, mode);
    return file && inject_counted() ? stream_over(file) : file;
}

WRAP(int, rename, const char *from, const char *to)
{
    return fails(inject_due(CALL_RENAME)) ? -1 : __real_rename(from, to);
}

int __real_nanosleep(const struct timespec *, struct timespec *);

/* ---- names ---- */

/* Two threads, and one order of their calls: whoever started this one waits before it looks for an
 * answer. */
static _Thread_local int waits_before;

static void await_waiter(void)
{
    for (int i = 0; i < 1000 && inject_waits() <= waits_before; i++)
        __real_nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
}

WRAP(int, getaddrinfo, const char *host, const char *service, const struct addrinfo *hints,
     struct addrinfo **out)
{
    if (!inject_counted())
        return __real_getaddrinfo(host, service, hints, out);
    await_waiter();
    const struct fault *fault = inject_due(CALL_GETADDRINFO);
    if (!fault)
        return names_look_up(host, out);
    errno = ENOMEM; /* EAI_SYSTEM points here */
    return fault->value;
}

WRAP(void, freeaddrinfo, struct addrinfo *list)
{
    if (inject_counted())
        names_free(list);
    else
        __real_freeaddrinfo(list);
}

/* ---- threads: those that counted ones start are counted ---- */

struct start {
    void *(*run)(void *);
    void *arg;
    int waits_before;
};

static void *run_counted(void *arg)
{
    struct start start = *(struct start *)arg;
    free(arg);
    waits_before = start.waits_before;
    inject_enter();
    void *result = start.run(start.arg);
    inject_leave();
    inject_thread_ended();
    return result;
}

int __real_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

static int create_counted(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *arg)
{
    struct start *start = malloc(sizeof(*start));
    if (!start)
        return EAGAIN;
    *start = (struct start){run, arg, inject_waits()};
    inject_thread_started();
    int err = __real_pthread_create(thread, attr, run_counted, start);
    if (err == 0)
        return 0;
    inject_thread_ended();
    free(start);
    return err;
}

WRAP(int, pthread_create, pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
     void *arg)
{
    if (!inject_counted())
        return __real_pthread_create(thread, attr, run, arg);
    const struct fault *fault = inject_due(CALL_PTHREAD_CREATE);
    if (fault)
        return fault->value;
    inject_leave();
    int err = create_counted(thread, attr, run, arg);
    inject_enter();
    return err;
}

/* A wake for no reason, which POSIX allows: others have a chance to take the lock. */
static int wake(pthread_mutex_t *lock)
{
    pthread_mutex_unlock(lock);
    nanosleep(&(struct timespec){.tv_nsec = 10000}, NULL);
    pthread_mutex_lock(lock);
    return 0;
}

int __real_clock_gettime(clockid_t, struct timespec *);

WRAP(int, pthread_cond_wait, pthread_cond_t *changed, pthread_mutex_t *lock)
{
    return inject_due(CALL_PTHREAD_COND_WAIT) ? wake(lock)
                                              : __real_pthread_cond_wait(changed, lock);
}

/* The same moment on the real clock. */
static struct timespec earlier(const struct timespec *at, int64_t ms)
{
    int64_t ns = (int64_t)at->tv_sec * 1000000000 + at->tv_nsec - ms * 1000000;
    return (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
}

static bool is_past(const struct timespec *at)
{
    struct timespec now;
    __real_clock_gettime(CLOCK_MONOTONIC, &now);
    return at->tv_sec < now.tv_sec || (at->tv_sec == now.tv_sec && at->tv_nsec <= now.tv_nsec);
}

WRAP(int, pthread_cond_timedwait, pthread_cond_t *changed, pthread_mutex_t *lock,
     const struct timespec *at)
{
    const struct fault *fault = inject_due(CALL_PTHREAD_COND_TIMEDWAIT);
    if (fails(fault))
        return fault->value;
    struct timespec real = earlier(at, inject_counted() ? inject_clock_ms() : 0);
    if (fault && !is_past(&real))
        return wake(lock);
    return __real_pthread_cond_timedwait(changed, lock, &real);
}

/* ---- the clock: the same date in every run, and no waiting for what only comes with time ---- */

WRAP(int, clock_gettime, clockid_t clock, struct timespec *out)
{
    int result = __real_clock_gettime(clock, out);
    if (!inject_counted() || result < 0)
        return result;
    if (clock == CLOCK_REALTIME) {
        *out = (struct timespec){.tv_sec = WALL_CLOCK};
        return 0;
    }
    *out = earlier(out, -inject_clock_ms());
    return 0;
}

static int64_t wall_start_ms(void)
{
    struct timespec now;
    __real_clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)(now.tv_sec - WALL_CLOCK) * 1000 + now.tv_nsec / 1000000;
}

/* `at` was counted from WALL_CLOCK, which stands still: it is that much from now. */
WRAP(int, sem_timedwait, sem_t *semaphore, const struct timespec *at)
{
    struct timespec real = *at;
    if (inject_counted())
        real = earlier(at, -wall_start_ms());
    return __real_sem_timedwait(semaphore, &real);
}

WRAP(int, nanosleep, const struct timespec *time, struct timespec *left)
{
    if (!inject_counted())
        return __real_nanosleep(time, left);
    inject_pass((int64_t)time->tv_sec * 1000 + time->tv_nsec / 1000000);
    return __real_nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}
