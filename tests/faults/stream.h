/* stream.h: standard streams and files whose writing can fail. */
#ifndef TESTS_FAULTS_STREAM_H
#define TESTS_FAULTS_STREAM_H

#include <stdio.h>

#define CAPTURE_MAX 65536

struct capture {
    char text[CAPTURE_MAX + 1];
    size_t len;
    FILE *stream; /* NULL once it was closed */
};

FILE *stream_over(FILE *file); /* what is written goes to the file, which is closed with it */

/* Take the place of stdout and stderr, of a program that runs in here. */
void stream_capture(struct capture *out, struct capture *err);
void stream_flush(void); /* as at the end of a process: nobody hears of it when that fails */
void stream_restore(void);

#endif
