/* ask.h: what one run of the server's simulation consists of: guests, who are connections that a
 * script has begun, each with its requests; callers, who are transfers of the library's own client;
 * and what is to be replied to each of them.
 *
 *   hosting.c   draws a run from a seed
 *   guest.c     the scripts: what they send, and whether what they get is what it should be
 *   handler.c   the server's handler and its callbacks
 *   server.c    runs it, and judges the end */
#ifndef TESTS_SIM_ASK_H
#define TESTS_SIM_ASK_H

#include <minihttp/h1.h>
#include <minihttp/server.h>

#include "server/server.h"
#include "sim.h"

#define ASKS_MAX 96
#define GUESTS_MAX 10
#define CALLERS_MAX 6
#define VISITS_MAX 400
#define HANDLER_ERROR (-ENOTRECOVERABLE)
#define SLACK_US 50000 /* what turns and the granularity of timers take */

enum reply {
    REPLY_TEXT,
    REPLY_COPY,
    REPLY_BORROW,
    REPLY_TAKE,
    REPLY_STREAM,
    REPLY_FILE,
    REPLY_STATUS, /* the standard page */
    REPLY_ERROR,  /* the handler returns one */
    REPLIES
};

enum when { AT_ONCE, LATER, AFTER_BODY /* where bodies are streamed */ };

/* What the handler does wrong, on purpose. */
enum flaw { NO_FLAW, PRODUCER_FAILS, BODY_IS_SHORT, UPLOAD_IS_DECLINED, FLAWS };

struct ask {
    unsigned id;
    /* the request */
    const char *method;
    uint32_t upload;
    bool chunked, expects, says_close;
    int minor;
    size_t begin_at, body_at, end_at; /* in its guest's bytes */
    /* the reply */
    enum reply reply;
    enum when when;
    int status;
    uint32_t size;
    bool announced, trailers; /* of a stream */
    uint32_t later_us, rests, pauses, pause_us;
    bool wakes_early; /* it says that there is something before it is asked */
    enum flaw flaw;
    uint32_t flaw_at; /* per mille */
    /* what was seen */
    unsigned handled;
    int64_t ended_us;          /* on_end was called */
    int64_t begun_us, head_us; /* the first byte was sent, and the last one of its head; 0 */
    bool answered;             /* whole, and right */
    bool early;                /* replied to before its body was complete */
    bool continued;            /* its body may be sent: it was asked for, or that took too long */
};

/* One call of the handler. */
struct visit {
    struct ask *ask;
    mh_request *req;
    struct random random;
    struct sim_event later, waker, resumer;
    unsigned conn; /* which connection it came on */
    bool owed, replying, replied, complete, cut, paused, ended;
    unsigned accessed;
    int rests_left, pauses_left;
    uint64_t got, made;
    int64_t begun_us;
    char *lent;
    int status; /* as of on_access */
    uint64_t sent;
};

/* What a guest does when it has sent what it sends. */
enum last_act { WAITS, FINISHES, LEAVES, RESETS };

enum wrong { RIGHT, GARBAGE, BAD_CHUNK, HUGE_HEAD, HUGE_BODY, TWO_LENGTHS, NO_PATH, WRONGS };

struct guest {
    unsigned number;
    struct ask *asks;
    unsigned count;
    /* the plan */
    int64_t dial_at;
    uint32_t gap_us, piece_max;
    bool one_by_one; /* it waits for a reply before it asks again */
    bool stays;      /* until the server closes */
    enum last_act act;
    enum wrong wrong;
    unsigned wrong_at; /* which ask */
    uint32_t stall_us, stalls;
    uint32_t sip_us; /* between two bits of a reply; 0: it reads as it comes */
    int64_t life_us;
    mh_buf bytes;
    size_t cut; /* nothing behind it is sent */
    /* the state */
    struct random random;
    struct sim_conn *conn;
    struct sim_event dialler, ticker, life, staller;
    size_t sent;
    mh_h1 h1;
    mh_buf in;
    unsigned answered;
    bool asking, headed, ours; /* of the reply that comes: it is the handler's */
    bool acted, open, ended, over;
    bool said_close, refused, waited, chunked;
    bool self; /* it has left, or broken the connection */
    int page;  /* the status of a page that is the library's */
    uint64_t got;
    int64_t sent_us, heard_us, ended_us, over_us;
};

extern struct hosting {
    struct random random;
    int posts; /* loops with a worker, at the same port */
    bool calm; /* nothing goes wrong but what guests do, and so all that was asked is answered */
    struct mh__settings settings;
    struct sim_weather weather;
    uint32_t alloc_fault;
    uint64_t fail_at;
    int64_t calm_from, stop_at, stop_again_at;
    enum { END_STOPS, END_FREES, END_LOOP_FIRST } end;
    struct ask asks[ASKS_MAX];
    struct guest guests[GUESTS_MAX];
    struct ask *callers[CALLERS_MAX];
    unsigned ask_count, guest_count, caller_count;
    /* the state */
    int listener;
    struct visit visits[VISITS_MAX];
    unsigned visit_count;
    int64_t stopped_at;      /* when it was told to stop; -1: it was not */
    unsigned refusals;       /* of connections, as on_error was told */
    int told[SIM_CONNS_MAX]; /* the first error that on_error was told about a connection */
    int lie;                 /* a mistake of the test's own, by which the judge is judged */
} hosting;

/* hosting.c */
void hosting_plan(uint64_t seed);
void hosting_free(void);

/* handler.c */
int handler_serve(mh_request *req);
void handler_access(const mh_request *req, int status, uint64_t sent, int64_t took_us);
void handler_error(void *user, const struct sockaddr *peer, int err, const char *why);
/* What is to happen about requests of a connection happens then: just as something else does. */
void handler_hurry(unsigned conn, int64_t at_us);
void handler_judge(void); /* all visits are over */

/* Byte i of what is replied to an ask, and of what is uploaded with it. */
char ask_body(unsigned id, uint64_t i);
char ask_upload(unsigned id, uint64_t i);
bool ask_has_content(const struct ask *ask); /* its reply */

/* guest.c */
void guest_begin(struct guest *guest);
void guest_vanish(unsigned conn); /* the one with that connection, if it is a guest's */
bool guest_is_over(const struct guest *guest);
void guest_judge(const struct guest *guest);
void guest_free(struct guest *guest);

static inline uint64_t pattern(uint64_t seed, uint64_t i)
{
    return random_mix(seed + i / 8) >> (8 * (i % 8));
}

#endif
