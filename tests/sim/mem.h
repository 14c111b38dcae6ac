/* mem.h: base/mem.c as the simulator has it: counts what is live, and runs out when it is told to.
 */
#ifndef TESTS_SIM_MEM_H
#define TESTS_SIM_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "random.h"

struct mem {
    struct random random;
    uint32_t fail_per_mille; /* of allocations */
    uint64_t fail_at;        /* the n-th one, counted from 1; 0: none */
    uint64_t calls, failures;
    size_t live, peak, ceiling; /* bytes; above the ceiling an allocation is a finding */
    size_t blocks;
    int others; /* greater than 0: the test itself is at work, which is not counted */
};
extern struct mem mem;

void mem_begin(uint64_t seed, size_t ceiling);

#endif
