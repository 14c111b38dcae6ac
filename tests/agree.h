/* agree.h: do the engine and the checker say the same of a message? */
#ifndef TESTS_AGREE_H
#define TESTS_AGREE_H

#include "checker.h"
#include "h1_walk.h"

/* NULL, or what they disagree about: static text. The walk was one of one message. A limit that the
 * engine ran into is no disagreement: the checker has none. */
const char *agree(const struct walked *engine, const struct check *checker);

#endif
