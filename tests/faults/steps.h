/* steps.h: calls that append to a buffer, one after the other. */
#ifndef TESTS_FAULTS_STEPS_H
#define TESTS_FAULTS_STEPS_H

#include <minihttp/buffer.h>

typedef int step(mh_buf *out);

/* After a step that fails the buffer must be as it was before, and the step must succeed when it is
 * taken again. NULL at the end. Returns 0 or the first error. */
int steps_in_turn(step *const *steps);

#endif
