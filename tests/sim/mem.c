/* mem.c: takes the place of lib/base/mem.c. What the test allocates through the library's own
 * functions, between mem.others++ and mem.others--, neither fails nor counts. */
#include "mem.h"

#include <malloc.h>
#include <stdlib.h>

#include "base/mem.h"
#include "sim.h"

struct mem mem;

void mem_begin(uint64_t seed, size_t ceiling)
{
    mem = (struct mem){.random = {seed}, .ceiling = ceiling};
}

static bool fails(void)
{
    if (mem.others > 0)
        return false;
    mem.calls++;
    bool now = mem.calls == mem.fail_at ||
               (mem.fail_per_mille > 0 && random_chance(&mem.random, mem.fail_per_mille));
    mem.failures += now;
    return now;
}

static void forget(void *ptr)
{
    if (mem.others > 0 || !ptr)
        return;
    mem.live -= malloc_usable_size(ptr);
    mem.blocks--;
}

static void *note(void *ptr)
{
    if (!ptr)
        sim_fail("this machine itself is out of memory");
    if (mem.others > 0)
        return ptr;
    mem.blocks++;
    mem.live += malloc_usable_size(ptr);
    if (mem.live > mem.peak)
        mem.peak = mem.live;
    if (mem.live > mem.ceiling)
        sim_fail("%zu bytes are live, more than the %zu that are allowed", mem.live, mem.ceiling);
    return ptr;
}

/* 0 bytes are given one, so that NULL always is a failure. */
void *mh__malloc(size_t size)
{
    return fails() ? NULL : note(malloc(size > 0 ? size : 1));
}

void *mh__calloc(size_t count, size_t size)
{
    return fails() ? NULL : note(calloc(count > 0 ? count : 1, size > 0 ? size : 1));
}

void *mh__realloc(void *ptr, size_t size)
{
    if (fails())
        return NULL;
    forget(ptr);
    return note(realloc(ptr, size > 0 ? size : 1));
}

void mh__free(void *ptr)
{
    forget(ptr);
    free(ptr);
}
