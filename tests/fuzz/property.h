/* property.h: what holds of every input, for the fuzzers of the protocol engine. */
#ifndef TESTS_FUZZ_PROPERTY_H
#define TESTS_FUZZ_PROPERTY_H

#include "../agree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HOLDS(condition) property_holds(condition, #condition, __FILE__, __LINE__)

/* Aborts with its name when it does not. */
void property_holds(bool condition, const char *text, const char *file, int line);

/* The first byte of a fuzzer's input says how many bytes of cuts follow it (low four bits), and
 * which variant of the test it is (high four). What is left is for the engine. */
struct fuzz_input {
    unsigned variant;
    const unsigned char *cuts;
    size_t cut_count;
    mh_str text;
};

bool fuzz_input(struct fuzz_input *out, const uint8_t *data, size_t size);

/* The engine says the same of the whole and of the pieces, from exact-size blocks that are gone
 * before the next call. */
void property_cuts(struct walk how, const struct fuzz_input *input, mh_str text);

/* It says the same as the checker of the first message. */
void property_checker(mh_h1_role role, const char *method, mh_str text);

/* The fields of `wrote` are there again, in order; others may have been added behind them. */
void property_same_fields(mh_headers wrote, mh_headers read);
void property_same(mh_str a, mh_str b);

#endif
