/* job.h: what one run of the client's simulation consists of: transfers, each with its plan, its
 * state, and what may come of it.
 *
 *   plan.c     draws a run from a seed: first which faults and operations there are at all, and how
 *              often, then the jobs
 *   judge.c    the oracle: was that a result that what happened explains?
 *   client.c   runs it
 *   peer.c     the servers */
#ifndef TESTS_SIM_JOB_H
#define TESTS_SIM_JOB_H

#include <minihttp/client.h>

#include "peer.h"
#include "sim.h"

#define JOBS_MAX 24
#define LOOPS_MAX 2
#define CALLBACK_ERROR (-ENOTRECOVERABLE)
#define CHAINED INT64_MAX /* job.submit_at: from another one's on_done */

enum job_state { JOB_PLANNED, JOB_FLYING, JOB_DONE, JOB_DROPPED };
enum job_due { DUE_SUBMIT = 1, DUE_CANCEL = 2, DUE_GO_ON = 4 };

struct job {
    struct peer_job peer;
    /* the plan */
    char url[96];
    const char *headers[4], *secrets[2];
    mh_fetch fetch;
    char *upload;
    int64_t submit_at, cancel_after;        /* us; cancel_after is negative: never */
    uint32_t pauses, rests, fails, cancels; /* per mille of callbacks */
    uint32_t pause_us;
    int pauses_left;   /* and rests */
    uint64_t short_by; /* bytes of the upload that never come */
    bool blocking, frees, by_callback;
    int loop;
    /* the state */
    struct random random;
    mh_response own, *res;
    enum job_state state;
    unsigned due;
    struct sim_event timer, canceller;
    int64_t submitted_at, done_at;
    uint64_t cancelled_at; /* the turn */
    uint64_t got, given;   /* bytes of the answer's body, and of the upload */
    bool cancelled, failed, paused, was_paused, headed;
    struct job *next; /* chained behind this one */
    uint64_t result;  /* a hash */
};

extern struct run {
    struct random random;
    bool calm;        /* nothing goes wrong, and everything has to succeed */
    bool idle_closes; /* calm as well, but kept connections may close */
    int loops, count;
    struct job jobs[JOBS_MAX];
    mh_client_options options;
    uint32_t alloc_fault, abandon; /* per mille */
    uint64_t fail_at;              /* the allocation that fails; 0: none */
    int64_t calm_from, abandon_at; /* us */
    bool abandoned;                /* -ECANCELED is nobody's fault */
    bool proxied;
    bool embedded;   /* in an event loop of somebody else */
    bool own_client; /* blocking calls without a client */
    struct sim_weather weather;
} run;

/* plan.c */
void plan_run(uint64_t seed);
void plan_free(void);

/* judge.c: fail when it cannot be explained. */
extern uint64_t judged[2]; /* transfers of all runs: well, and with an error */
void judge_transfer(struct job *job, int err);
void judge_run(void); /* when all is over, and the peers know everything */
uint64_t judge_results(void);

#endif
