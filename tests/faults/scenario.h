/* scenario.h: something the library is used for, and what may come of it. */
#ifndef TESTS_FAULTS_SCENARIO_H
#define TESTS_FAULTS_SCENARIO_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include <minihttp.h>

#define SKIP INT_MIN         /* this machine cannot (no IPv6) */
#define EXIT_1 (-10001)      /* a program failed, and said why in one line */
#define GRUMBLED (-10002)    /* a server went on; its log says what it could not do, or has a gap */
#define SERVED_LESS (-10003) /* a peer got another answer, or none, and an end that it can see */

struct scenario {
    const char *name;
    int (*run)(void);
    int also[10];     /* results that a fault may lead to, beside the errno that was injected */
    bool endless;     /* may wait for ever */
    bool one_recv;    /* its result is what one recv() gave */
    bool eof_is_end;  /* a body that ends when the peer closes */
    bool own_process; /* a program that can be run once */
    int calls_max;    /* only so many calls fail in turn: there are more of the same; 0: all */
    int send_max;     /* bytes that one send takes; 0: all */
};

/* Each ends with one without a name. */
extern const struct scenario base_scenarios[], http_scenarios[], loop_scenarios[],
    client_scenarios[], fetch_scenarios[], many_scenarios[], secure_scenarios[], server_scenarios[],
    serve_scenarios[], program_scenarios[];

/* Write down what came out: two runs with the same result have written the same. */
void note(const char *fmt, ...) MH_PRINTF(1, 2);
void note_bytes(const char *what, mh_str bytes);

/* Something that must hold however the run ends. */
void check_(bool holds, const char *words, const char *file, int line);
#define check(holds) check_((holds), #holds, __FILE__, __LINE__)

#endif
