/* inject.h: which call fails, and how.
 *
 * A thread is counted between inject_enter() and inject_leave(), and so is every thread that it
 * starts meanwhile. The calls of wrap.c ask inject_due() there whether it is their turn to fail;
 * everywhere else (peers, setting up, looking at results) they do what they always do. */
#ifndef TESTS_FAULTS_INJECT_H
#define TESTS_FAULTS_INJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* What can fail. The lower half is only met in the programs. */
enum call {
    CALL_MALLOC,
    CALL_CALLOC,
    CALL_REALLOC,
    CALL_SOCKET,
    CALL_CONNECT,
    CALL_BIND,
    CALL_LISTEN,
    CALL_ACCEPT4,
    CALL_POLL,
    CALL_RECV,
    CALL_SEND,
    CALL_SENDMSG,
    CALL_SETSOCKOPT,
    CALL_GETSOCKOPT,
    CALL_IOCTL,
    CALL_GETPEERNAME,
    CALL_GETSOCKNAME,
    CALL_FCNTL64,
    CALL_SHUTDOWN,
    CALL_CLOSE,
    CALL_LSTAT64,
    CALL_UNLINK,
    CALL_GETADDRINFO,
    CALL_PTHREAD_CREATE,
    CALL_PTHREAD_COND_WAIT,
    CALL_PTHREAD_COND_TIMEDWAIT,
    CALL_EPOLL_CREATE1,
    CALL_EPOLL_CTL,
    CALL_EPOLL_WAIT,
    CALL_EVENTFD,
    CALL_EVENTFD_READ,
    CALL_EVENTFD_WRITE,
    CALL_OPEN64,
    CALL_OPENAT64,
    CALL_SYSCALL,
    CALL_FSTAT64,
    CALL_FSTATAT64,
    CALL_GETDENTS64,
    CALL_PREAD64,
    CALL_SENDFILE64,
    CALL_SIGNALFD,
    CALL_SCHED_GETAFFINITY,
    CALL_GETRANDOM,

    CALL_FOPEN64,
    CALL_RENAME,
    CALL_WRITE, /* what stdio does beneath fwrite(), printf(), fclose() */
    CALL_FCLOSE,
    CALL_COUNT
};

enum how {
    FAILS,   /* nothing is done, and the error is told */
    HAPPENS, /* the call is carried out all the same, and then the error is told */
    BREAKS,  /* as FAILS, and the connection is dead from then on */
    CUT,     /* only `value` bytes of it */
    ENDS     /* as if the peer had closed, or the time had come */
};

/* One way to fail. soft: the library deals with it; when it comes once, nothing may change. */
struct fault {
    const char *name;
    int value; /* an errno, an EAI_ number, bytes */
    enum how how;
    bool soft;
};

enum mode {
    MODE_CALM,   /* nothing fails */
    MODE_ONLY,   /* call n fails */
    MODE_AFTER,  /* call n fails and so does every later one, as far as it can */
    MODE_WEATHER /* each call fails softly, or is cut, now and then; `seed` says when */
};

struct plan {
    enum mode mode;
    int n;
    int variant; /* which of the faults of call n */
    uint64_t seed;
    bool endless;   /* what is tested may wait for ever: the faults stop at some point */
    bool keep_recv; /* recv() is not cut */
    int send_max;   /* bytes that a send takes at most; 0: as many as the kernel does */
};

#define STORM_MAX 100        /* faults after which they stop where the plan is endless */
#define SPIN_MAX 10000       /* faults in a row that only a loop without an end can meet */
#define STORM_STEP_MS 100    /* what a soft fault that comes again and again costs in time */
#define WALL_CLOCK 784111777 /* Sun, 06 Nov 1994 08:49:37 GMT, in every run */

/* ---- one run ---- */

void inject_init(void); /* once; what happened is seen by the parent of who did it, too */
void inject_begin(const struct plan *plan);
void inject_end(void); /* waits for the threads of what was tested */

void inject_enter(void);
void inject_leave(void);
#define COUNTED(...)                                                                               \
    do {                                                                                           \
        inject_enter();                                                                            \
        __VA_ARGS__;                                                                               \
        inject_leave();                                                                            \
    } while (0)

/* ---- what happened ---- */

int inject_calls(void);               /* counted so far */
int inject_count(enum call call);     /* of this one */
int inject_waits(void);               /* of those that wait for another thread */
const struct fault *inject_hit(void); /* the first fault; NULL: call n was not reached */
enum call inject_hit_call(void);      /* ... and whose it was */
int inject_variants(enum call call);  /* how many faults it has */
enum mode inject_mode(void);          /* of this run */
bool inject_was(int error);           /* did a hard fault with this errno happen? */
bool inject_was_call(enum call call); /* did this call fail? */
bool inject_was_storm(void);          /* has a soft fault come again and again? */
bool inject_was_end(void);            /* did recv() say that the peer had closed? */
size_t inject_received(void);         /* bytes that recv() has given so far */
const char *inject_call_name(enum call call);
int inject_variant_named(enum call call, const char *name); /* negative: there is none */

/* ---- for wrap.c ---- */

bool inject_counted(void);
const struct fault *inject_due(enum call call); /* NULL: go on */
void inject_note_received(size_t len);
void inject_thread_started(void);
void inject_thread_ended(void);
int64_t inject_clock_ms(void); /* how far our clock is ahead of the real one */
void inject_pass(int64_t ms);  /* let time pass */

#endif
